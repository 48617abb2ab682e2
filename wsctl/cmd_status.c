/* wsctl status */
#include <inttypes.h>

#include "common.h"

static void print_levels(const json_t *log)
{
    char text[400] = "";
    size_t at = 0;
    const char *name;
    json_t *level;
    json_object_foreach(json_object_get(log, "levels"), name, level)
    {
        if (at < sizeof text)
            at +=
                (size_t)snprintf(text + at, sizeof text - at, "%s%s=%s", at ? " " : "", name, json_string_value(level));
    }
    wsc_print_field("log levels", "%s", text);
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(log, "temporary"), i, t)
    {
        char left[WSC_SHORT];
        wsc_duration_format(wsc_u64(t, "left_ms"), left);
        if (wsc_u64(t, "handler"))
            wsc_print_field("", "handler:%" PRIu64 " goes back to %s in %s", wsc_u64(t, "handler"),
                            wsc_str(t, "back_to"), left);
        else
            wsc_print_field("", "%s goes back to %s in %s", wsc_str(t, "module"), wsc_str(t, "back_to"), left);
    }
}

int cmd_status(struct wsc_run *run)
{
    json_t *r;
    char up[WSC_SHORT];
    size_t i;
    json_t *listener;
    int status = wsc_begin(run, NULL, 0);
    if (status == WSC_GO_ON)
        status = wsc_ask(run, "status", NULL, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    if (run->json) {
        wsc_print_json(r);
        json_decref(r);
        return WSC_OK;
    }
    wsc_duration_format(wsc_u64(r, "uptime_ms"), up);
    wsc_print_field("gate", "wsgate %s, %s, pid %" PRIu64 ", up %s", wsc_str(r, "version"), wsc_str(r, "state"),
                    wsc_u64(r, "pid"), up);
    wsc_print_field("runtime directory", "%s", wsc_str(r, "runtime_dir"));
    json_array_foreach(json_object_get(r, "listeners"), i, listener)
        wsc_print_field(i ? "" : "listens on", "%s", json_string_value(listener) ? json_string_value(listener) : "");
    json_array_foreach(json_object_get(r, "bus"), i, listener)
        wsc_print_field(i ? "" : "bus on tcp", "%s %s%s%s", wsc_str(listener, "channel"), wsc_str(listener, "endpoint"),
                        *wsc_str(listener, "server_key") ? ", key " : "", wsc_str(listener, "server_key"));
    wsc_print_field("workers", "%" PRIu64, wsc_u64(r, "workers"));
    wsc_print_field("connections", "%" PRIu64 " of %" PRIu64 "; accepted %" PRIu64 ", refused %" PRIu64,
                    wsc_u64(r, "connections"), wsc_u64(r, "max_connections"), wsc_u64(r, "accepted"),
                    wsc_u64(r, "refused"));
    wsc_print_field("routes", "%" PRIu64, wsc_u64(r, "routes"));
    wsc_print_field("handlers", "%" PRIu64, wsc_u64(r, "handlers"));
    wsc_print_field("groups", "%" PRIu64, wsc_u64(r, "groups"));
    wsc_print_field("taps", "%" PRIu64, wsc_u64(r, "taps"));
    if (wsc_u64(r, "log_lines_lost"))
        wsc_print_field("log lines lost", "%" PRIu64, wsc_u64(r, "log_lines_lost"));
    if (wsc_u64(r, "access_lines_lost"))
        wsc_print_field("access lines lost", "%" PRIu64, wsc_u64(r, "access_lines_lost"));
    print_levels(json_object_get(r, "log"));
    json_decref(r);
    return WSC_OK;
}
