/* wsctl handlers [show|drain|weight|drop ID] */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

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
        {"ID", true, 0, 0},      {"NAME", false, 6, 0},    {"LANGUAGE", false, 4, 7}, {"PID", true, 0, 2},
        {"ROUTES", false, 6, 0}, {"LEVEL", false, 0, 4},   {"STATE", false, 0, 1},    {"CONNECTIONS", true, 0, 0},
        {"EVENTS", true, 0, 6},  {"COMMANDS", true, 0, 9}, {"ERRORS", true, 0, 8},    {"UNACKED", true, 0, 3},
        {"QUEUED", true, 0, 3},  {"RTT", true, 0, 5},      {"AGE", true, 0, 2},
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
        wsc_table_add(&t, wsc_str(h, "state"));
        wsc_table_add_u64(&t, wsc_u64(h, "connections"));
        wsc_table_add_u64(&t, wsc_u64(h, "events"));
        wsc_table_add_u64(&t, wsc_u64(h, "commands"));
        wsc_table_add_u64(&t, wsc_u64(h, "errors"));
        wsc_table_add_u64(&t, wsc_u64(h, "unacknowledged"));
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

static void print_link(const json_t *h)
{
    const json_t *shm = json_object_get(h, "shm");
    wsc_print_field("link", "%s", shm ? "shared memory" : "ZeroMQ");
    if (!shm)
        return;
    wsc_print_field("ring to it", "%" PRIu64 " KiB, %" PRIu64 " used, %" PRIu64 " messages lent",
                    wsc_u64(shm, "ring_down") >> 10, wsc_u64(shm, "used_down"), wsc_u64(shm, "lent"));
    wsc_print_field("ring from it", "%" PRIu64 " KiB, %" PRIu64 " used", wsc_u64(shm, "ring_up") >> 10,
                    wsc_u64(shm, "used_up"));
    wsc_print_field("records", "%" PRIu64 " to it, %" PRIu64 " from it, %" PRIu64 " times no room",
                    wsc_u64(shm, "records_out"), wsc_u64(shm, "records_in"), wsc_u64(shm, "stalls"));
    wsc_print_field("wakes", "%" PRIu64 " of it, %" PRIu64 " by it", wsc_u64(shm, "wakes_out"),
                    wsc_u64(shm, "wakes_in"));
}

static void print_one(const json_t *h)
{
    char text[WSC_SHORT], more[WSC_SHORT], kinds[64], routes[1024];
    size_t i;
    json_t *id;
    join(json_object_get(h, "routes"), routes, sizeof routes);
    join(json_object_get(h, "kinds"), kinds, sizeof kinds);
    wsc_print_field("handler", "%" PRIu64 " %s", wsc_u64(h, "id"), wsc_str(h, "name"));
    wsc_print_field("language, pid", "%s, %" PRIu64, *wsc_str(h, "language") ? wsc_str(h, "language") : "-",
                    wsc_u64(h, "pid"));
    wsc_print_field("routes", "%s", routes);
    wsc_print_field("kinds", "%s", kinds);
    wsc_print_field("level", "%s", wsc_str(h, "level"));
    wsc_print_field("state, weight", "%s, %" PRIu64, wsc_str(h, "state"), wsc_u64(h, "weight"));
    wsc_print_field("batches, acknowledges", "%s, %s", wsc_bool(h, "batch") ? "yes" : "no",
                    wsc_bool(h, "ack") ? "yes" : "no");
    if (json_object_get(h, "credit_messages"))
        wsc_print_field("credit", "%lld messages, %lld bytes",
                        (long long)json_integer_value(json_object_get(h, "credit_messages")),
                        (long long)json_integer_value(json_object_get(h, "credit_bytes")));
    wsc_size_format(wsc_u64(h, "waiting_bytes"), text);
    wsc_print_field("unacknowledged", "%" PRIu64 "; %" PRIu64 " connections wait with %s bytes",
                    wsc_u64(h, "unacknowledged"), wsc_u64(h, "waiting"), text);
    wsc_duration_format(wsc_u64(h, "full_ms"), text);
    wsc_print_field("delivered", "%" PRIu64 ", %" PRIu64 " of them again; it was full for %s", wsc_u64(h, "delivered"),
                    wsc_u64(h, "redelivered"), text);
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
    wsc_print_field("commands", "%" PRIu64 ", %" PRIu64 " bad, %" PRIu64 " stale", wsc_u64(h, "commands"),
                    wsc_u64(h, "errors"), wsc_u64(h, "stale"));
    print_link(h);
    wsc_print_field("connections", "%" PRIu64, wsc_u64(h, "connections"));
    json_array_foreach(json_object_get(h, "pinned"), i, id)
        wsc_print_field("", "%s", json_string_value(id) ? json_string_value(id) : "");
}

static int print_handler(struct wsc_run *run, json_t *r)
{
    if (run->json)
        wsc_print_json(r);
    else
        print_one(r);
    return WSC_OK;
}

static int print_dropped(struct wsc_run *run, json_t *r)
{
    if (run->json)
        wsc_print_json(r);
    else
        (void)printf("dropped; it had %" PRIu64 " connections\n", wsc_u64(r, "connections"));
    return WSC_OK;
}

static int print_weight(struct wsc_run *run, json_t *r)
{
    if (run->json)
        wsc_print_json(r);
    else
        (void)printf("handler %" PRIu64 " has weight %" PRIu64 "\n", wsc_u64(r, "id"), wsc_u64(r, "weight"));
    return WSC_OK;
}

static const json_t *find_handler(const json_t *list, uint64_t id)
{
    size_t i;
    json_t *h;
    json_array_foreach(json_object_get(list, "handlers"), i, h)
    {
        if (wsc_u64(h, "id") == id)
            return h;
    }
    return NULL;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Until nothing is left with it, or it has gone, which is how a drain ends. */
static int wait_drained(struct wsc_run *run, uint64_t id)
{
    const struct timespec pause = {.tv_nsec = 50000000}; /* 50 ms */
    uint64_t until_ms = now_ms() + run->timeout_ms;
    for (;;) {
        json_t *list = NULL;
        int status = wsc_ask(run, "handlers", NULL, run->timeout_ms, &list);
        if (status != WSC_GO_ON)
            return status;
        const json_t *h = find_handler(list, id);
        bool is_drained = !h || strcmp(wsc_str(h, "state"), "drained") == 0;
        uint64_t left = h ? wsc_u64(h, "connections") : 0;
        json_decref(list);
        if (is_drained)
            break;
        if (now_ms() >= until_ms)
            return wsc_complain(run, WSC_TIMEOUT, "%" PRIu64 " connections are still with it", left);
        (void)nanosleep(&pause, NULL);
    }
    if (!run->json)
        (void)puts("drained");
    return WSC_OK;
}

static int print_draining(struct wsc_run *run, json_t *r)
{
    if (run->json)
        wsc_print_json(r);
    else
        (void)printf("draining; it has %" PRIu64 " connections\n", wsc_u64(r, "connections"));
    return WSC_OK;
}

static int print_undrained(struct wsc_run *run, json_t *r)
{
    if (run->json)
        wsc_print_json(r);
    else
        (void)printf("serving; it has %" PRIu64 " connections\n", wsc_u64(r, "connections"));
    return WSC_OK;
}

struct verb {
    const char *name;
    const char *method;
    int arguments;
    int (*print)(struct wsc_run *run, json_t *r);
};

static const struct verb *find_verb(const struct wsc_run *run)
{
    static const struct verb verbs[] = {{"show", "handler_show", 1, print_handler},
                                        {"drop", "handler_drop", 1, print_dropped},
                                        {"drain", "handler_drain", 1, print_draining},
                                        {"undrain", "handler_undrain", 1, print_undrained},
                                        {"weight", "handler_weight", 2, print_weight}};
    for (size_t i = 0; i < WSC_COUNT(verbs); i++) {
        if (strcmp(verbs[i].name, run->argv[0]) == 0 && run->argc == verbs[i].arguments + 1)
            return &verbs[i];
    }
    return NULL;
}

static int one_handler(struct wsc_run *run, bool wait)
{
    const struct verb *v = find_verb(run);
    uint64_t id = 0;
    json_t *r = NULL;
    if (!v || (wait && v->print != print_draining))
        return wsc_complain(
            run, WSC_USAGE,
            "usage: wsctl handlers [show ID | drain ID [--wait] | undrain ID | weight ID NUMBER | drop ID]");
    int status = wsc_handler_id(run, run->argv[1], &id);
    if (status != WSC_GO_ON)
        return status;
    json_t *params = json_pack("{s:I}", "handler", (json_int_t)id);
    if (v->arguments == 2)
        (void)json_object_set_new(params, "weight", json_integer(strtoll(run->argv[2], NULL, 10)));
    status = wsc_ask(run, v->method, params, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    status = v->print(run, r);
    if (wait)
        status = wait_drained(run, id);
    json_decref(r);
    return status;
}

int cmd_handlers(struct wsc_run *run)
{
    bool wait = false;
    const struct wsc_option options[] = {{"wait", 0, WSC_FLAG, NULL, "drain: return when nothing is left", &wait}};
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    if (run->argc || wait)
        return run->argc ? one_handler(run, wait) : wsc_complain(run, WSC_USAGE, "--wait is for drain");
    return wsc_show(run, "handlers", NULL, print_all);
}
