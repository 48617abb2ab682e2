/* wsctl ping ID */
#include <inttypes.h>

#include "common.h"

int cmd_ping(struct wsc_run *run)
{
    uint64_t count = 1;
    const struct wsc_option options[] = {
        {"count", 'c', WSC_NUMBER, "COUNT", "so many pings, one after the other; default 1", &count},
    };
    char id[17];
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status == WSC_GO_ON)
        status = wsc_resolve_id(run, run->argv[0], id);
    for (uint64_t i = 0; status == WSC_GO_ON && i < count; i++) {
        char rtt[WSC_SHORT];
        json_t *r;
        uint64_t limit_ms = run->timeout_ms < 600000 ? run->timeout_ms : 600000;
        status = wsc_ask(run, "ping", json_pack("{s:s, s:I}", "id", id, "timeout_ms", (json_int_t)limit_ms),
                         limit_ms + 1000, &r);
        if (status != WSC_GO_ON)
            return status;
        wsc_rtt_format(wsc_u64(r, "rtt_us") ? wsc_u64(r, "rtt_us") : 1, rtt);
        if (run->json)
            wsc_print_json_line(r);
        else
            (void)printf("%s  %s\n", id, rtt);
        json_decref(r);
        if (fflush(stdout) != 0)
            return WSC_OK;
    }
    return status == WSC_GO_ON ? WSC_OK : status;
}
