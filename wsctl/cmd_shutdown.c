/* wsctl shutdown */
#include "common.h"

int cmd_shutdown(struct wsc_run *run)
{
    bool now = false;
    bool wait = false;
    const char *delay = NULL;
    uint64_t delay_ms = 0;
    const struct wsc_option options[] = {
        {"now", 0, WSC_FLAG, NULL, "do not wait for clients to close", &now},
        {"delay", 0, WSC_TEXT, "TIME", "say so on /readyz, and go on serving so long; default as configured", &delay},
        {"wait", 0, WSC_FLAG, NULL, "return when the gate is gone; exit status 4 if it is not by --timeout", &wait},
    };
    json_t *r;
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status == WSC_GO_ON && delay && !wsc_duration_parse(delay, &delay_ms))
        return wsc_complain(run, WSC_USAGE, "--delay: '%.40s' is no time, such as 500ms, 10s or 5m", delay);
    json_t *params = json_object();
    if (now)
        (void)json_object_set_new(params, "now", json_true());
    if (delay)
        (void)json_object_set_new(params, "delay_ms", json_integer((json_int_t)delay_ms));
    if (status == WSC_GO_ON)
        status = wsc_ask(run, "shutdown", params, run->timeout_ms, &r);
    else
        json_decref(params);
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
        if (err == WSB_ERR_INTERRUPTED)
            return wsc_complain(run, WSC_INTERRUPTED, "interrupted");
        if (err)
            return wsc_complain(run, WSC_UNREACHABLE, "cannot talk to the gate");
        json_decref(r);
    }
    return WSC_OK;
}
