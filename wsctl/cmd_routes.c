/* wsctl routes */
#include "common.h"

/* What it speaks; a route that only others ask speaks nothing. */
static const char *kind_of(json_t *r)
{
    bool http = wsc_bool(r, "http");
    return wsc_bool(r, "websocket") ? (http ? "both" : "websocket") : http ? "http" : "gatekeeper";
}

int cmd_routes(struct wsc_run *run)
{
    static const struct wsc_column columns[] = {
        {"NAME", false, 6, 0},    {"PATH", false, 6, 0},    {"HOST", false, 4, 9},    {"KIND", false, 0, 3},
        {"DELIVER", false, 0, 8}, {"ACCEPT", false, 0, 10}, {"HANDLERS", true, 0, 0}, {"CONNECTIONS", true, 0, 0},
        {"OPENED", true, 0, 2},   {"REFUSED", true, 0, 6},  {"REQUESTS", true, 0, 4}, {"IN", true, 0, 1},
        {"OUT", true, 0, 1},      {"DROPPED", true, 0, 5},  {"TAPS", true, 0, 7},
    };
    struct wsc_table t;
    size_t i;
    json_t *result;
    json_t *r;
    int status = wsc_begin(run, NULL, 0);
    if (status == WSC_GO_ON)
        status = wsc_ask(run, "routes", NULL, run->timeout_ms, &result);
    if (status != WSC_GO_ON)
        return status;
    if (run->json) {
        wsc_print_json(result);
        json_decref(result);
        return WSC_OK;
    }
    wsc_table_init(&t, columns, WSC_COUNT(columns));
    json_array_foreach(json_object_get(result, "routes"), i, r)
    {
        wsc_table_add(&t, wsc_str(r, "name"));
        wsc_table_add(&t, *wsc_str(r, "path") ? wsc_str(r, "path") : "-");
        wsc_table_add(&t, *wsc_str(r, "host") ? wsc_str(r, "host") : "-");
        wsc_table_add(&t, kind_of(r));
        wsc_table_add(&t, wsc_str(r, "deliver"));
        wsc_table_add(&t, *wsc_str(r, "gatekeeper") ? wsc_str(r, "gatekeeper") : wsc_str(r, "accept"));
        wsc_table_add_u64(&t, wsc_u64(r, "handlers"));
        wsc_table_add_u64(&t, wsc_u64(r, "connections"));
        wsc_table_add_u64(&t, wsc_u64(r, "opened"));
        wsc_table_add_u64(&t, wsc_u64(r, "refused"));
        wsc_table_add_u64(&t, wsc_u64(r, "requests"));
        wsc_table_add_u64(&t, wsc_u64(r, "messages_in"));
        wsc_table_add_u64(&t, wsc_u64(r, "messages_out"));
        wsc_table_add_u64(&t, wsc_u64(r, "dropped"));
        wsc_table_add_u64(&t, wsc_u64(r, "taps"));
    }
    status = wsc_print_table(&t);
    wsc_table_deinit(&t);
    json_decref(result);
    return status;
}
