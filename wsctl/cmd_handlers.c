/* wsctl handlers [show|drop ID] */
#include <inttypes.h>
#include <stdlib.h>

#include "common.h"

static void join(const json_t *names, char *out, size_t size)
{
    size_t i;
    size_t at = 0;
    json_t *name;
    *out = 0;
    json_array_foreach(names, i, name)
    {
        if (at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at ? " " : "",
                                   json_string_value(name) ? json_string_value(name) : "");
    }
}

static int print_all(const json_t *result)
{
    static const struct wsc_column columns[] = {
        {"ID", true, 0, 0},       {"NAME", false, 6, 0},  {"LANGUAGE", false, 4, 7},   {"PID", true, 0, 0},
        {"ROUTES", false, 6, 0},  {"LEVEL", false, 0, 4}, {"CONNECTIONS", true, 0, 0}, {"EVENTS", true, 0, 6},
        {"COMMANDS", true, 0, 9}, {"ERRORS", true, 0, 8}, {"QUEUED", true, 0, 3},      {"RTT", true, 0, 5},
        {"AGE", true, 0, 2},
    };
    struct wsc_table t;
    size_t i;
    json_t *h;
    wsc_table_init(&t, columns, WSC_COUNT(columns));
    json_array_foreach(json_object_get(result, "handlers"), i, h)
    {
        char text[WSC_SHORT], routes[256];
        wsc_table_add_u64(&t, wsc_u64(h, "id"));
        wsc_table_add(&t, wsc_str(h, "name"));
        wsc_table_add(&t, *wsc_str(h, "language") ? wsc_str(h, "language") : "-");
        wsc_table_add_u64(&t, wsc_u64(h, "pid"));
        join(json_object_get(h, "routes"), routes, sizeof routes);
        wsc_table_add(&t, routes);
        wsc_table_add(&t, wsc_str(h, "level"));
        wsc_table_add_u64(&t, wsc_u64(h, "connections"));
        wsc_table_add_u64(&t, wsc_u64(h, "events"));
        wsc_table_add_u64(&t, wsc_u64(h, "commands"));
        wsc_table_add_u64(&t, wsc_u64(h, "errors"));
        wsc_size_format(wsc_u64(h, "queued"), text);
        wsc_table_add(&t, text);
        wsc_rtt_format(wsc_u64(h, "rtt_us"), text);
        wsc_table_add(&t, text);
        wsc_duration_format(wsc_u64(h, "age_ms"), text);
        wsc_table_add(&t, text);
    }
    int status = wsc_print_table(&t);
    wsc_table_deinit(&t);
    return status;
}

static void print_one(const json_t *h)
{
    char text[WSC_SHORT], more[WSC_SHORT], routes[1024];
    size_t i;
    json_t *id;
    join(json_object_get(h, "routes"), routes, sizeof routes);
    wsc_print_field("handler", "%" PRIu64 " %s", wsc_u64(h, "id"), wsc_str(h, "name"));
    wsc_print_field("language, pid", "%s, %" PRIu64, *wsc_str(h, "language") ? wsc_str(h, "language") : "-",
                    wsc_u64(h, "pid"));
    wsc_print_field("routes", "%s", routes);
    wsc_print_field("level", "%s", wsc_str(h, "level"));
    wsc_print_field("batches", "%s", wsc_bool(h, "batch") ? "yes" : "no");
    wsc_duration_format(wsc_u64(h, "age_ms"), text);
    wsc_duration_format(wsc_u64(h, "silent_ms"), more);
    wsc_print_field("age, silent for", "%s, %s", text, more);
    wsc_rtt_format(wsc_u64(h, "rtt_us"), text);
    wsc_print_field("round trip", "%s", text);
    wsc_size_format(wsc_u64(h, "queued"), text);
    wsc_print_field("waiting for it", "%s bytes%s", text, wsc_bool(h, "paused") ? "; its clients wait" : "");
    wsc_size_format(wsc_u64(h, "event_bytes"), text);
    wsc_print_field("events", "%" PRIu64 ", %s bytes, %" PRIu64 " dropped", wsc_u64(h, "events"), text,
                    wsc_u64(h, "dropped"));
    wsc_print_field("commands", "%" PRIu64 ", %" PRIu64 " bad", wsc_u64(h, "commands"), wsc_u64(h, "errors"));
    wsc_print_field("connections", "%" PRIu64, wsc_u64(h, "connections"));
    json_array_foreach(json_object_get(h, "pinned"), i, id)
        wsc_print_field("", "%s", json_string_value(id) ? json_string_value(id) : "");
}

static int ask_one(struct wsc_run *run, const char *method, json_t **ret)
{
    char *end;
    unsigned long id = strtoul(run->argv[1], &end, 10);
    if (*end || run->argv[1][0] < '0' || run->argv[1][0] > '9' || id == 0 || id > UINT32_MAX)
        return wsc_complain(run, WSC_USAGE, "'%.40s' is not a handler's id; see wsctl handlers", run->argv[1]);
    return wsc_ask(run, method, json_pack("{s:I}", "handler", (json_int_t)id), run->timeout_ms, ret);
}

int cmd_handlers(struct wsc_run *run)
{
    json_t *r = NULL;
    int status = wsc_begin(run, NULL, 0);
    if (status != WSC_GO_ON)
        return status;
    const char *verb = run->argc ? run->argv[0] : "";
    bool is_show = strcmp(verb, "show") == 0;
    bool is_drop = strcmp(verb, "drop") == 0;
    if (run->argc && (run->argc != 2 || !(is_show || is_drop)))
        return wsc_complain(run, WSC_USAGE, "usage: wsctl handlers [show ID | drop ID]");
    status = run->argc ? ask_one(run, is_show ? "handler_show" : "handler_drop", &r)
                       : wsc_ask(run, "handlers", NULL, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    status = WSC_OK;
    if (run->json)
        wsc_print_json(r);
    else if (is_show)
        print_one(r);
    else if (is_drop)
        (void)printf("dropped; it had %" PRIu64 " connections\n", wsc_u64(r, "connections"));
    else
        status = print_all(r);
    json_decref(r);
    return status;
}
