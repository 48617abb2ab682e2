/* wsctl shutdown */
#include "common.h"

int cmd_shutdown(struct wsc_run *run)
{
    bool now = false;
    bool wait = false;
    const struct wsc_option options[] = {
        {"now", 0, WSC_FLAG, NULL, "do not wait for clients to close", &now},
        {"wait", 'w', WSC_FLAG, NULL, "return when the gate is gone; exit status 4 if it is not by --timeout", &wait},
    };
    json_t *r;
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status == WSC_GO_ON)
        status = wsc_ask(run, "shutdown", now ? json_pack("{s:b}", "now", 1) : NULL, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    if (run->json)
        wsc_print_json(r);
    json_decref(r);
    while (wait) { /* it says nothing more, and closes when it ends */
        wsb_err err = wsc_client_next(run->client, (int)run->timeout_ms, &r);
        if (err == WSB_CLOSED)
            return WSC_OK;
        if (err == WSB_ERR_TIMEOUT)
            return wsc_complain(run, WSC_TIMEOUT, "the gate is still draining");
        if (err)
            return wsc_complain(run, WSC_UNREACHABLE, "cannot talk to the gate");
        json_decref(r);
    }
    return WSC_OK;
}
