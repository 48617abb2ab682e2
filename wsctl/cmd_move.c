/* wsctl move CONNECTION HANDLER */
#include "common.h"

int cmd_move(struct wsc_run *run)
{
    char id[17];
    uint64_t handler = 0;
    json_t *r;
    int status = wsc_begin(run, NULL, 0);
    if (status == WSC_GO_ON)
        status = wsc_handler_id(run, run->argv[1], &handler);
    if (status == WSC_GO_ON)
        status = wsc_resolve_id(run, run->argv[0], id);
    if (status == WSC_GO_ON)
        status = wsc_ask(run, "move", json_pack("{s:s, s:I}", "id", id, "handler", (json_int_t)handler),
                         run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    if (run->json)
        wsc_print_json(r);
    else
        (void)printf("%s moves\n", id);
    json_decref(r);
    return WSC_OK;
}
