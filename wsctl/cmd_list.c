/* wsctl list */
#include <inttypes.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

enum { LIMIT_DEFAULT = 1000, INTERVAL_DEFAULT_MS = 2000, INTERVAL_LEAST_MS = 100 };

static const struct wsc_column columns[] = {
    {"ID", false, 0, 0},        {"CONNECTION", false, 0, 1}, {"ROUTE", false, 5, 0}, {"PEER", false, 9, 0},
    {"PROTOCOL", false, 4, 10}, {"HANDLER", false, 4, 4},    {"AGE", true, 0, 2},    {"IDLE", true, 0, 3},
    {"DEFLATE", false, 0, 9},   {"IN", true, 0, 5},          {"OUT", true, 0, 6},    {"QUEUED", true, 0, 8},
    {"RTT", true, 0, 7},
};

static void add_row(struct wsc_table *t, const json_t *r)
{
    char text[WSC_SHORT];
    char handler[96] = "-";
    uint64_t h = wsc_u64(r, "handler");
    wsc_table_add(t, wsc_str(r, "id"));
    wsc_table_add(t, wsc_str(r, "what"));
    wsc_table_add(t, *wsc_str(r, "route") ? wsc_str(r, "route") : "-");
    wsc_table_add(t, wsc_str(r, "peer"));
    wsc_table_add(t, *wsc_str(r, "subprotocol") ? wsc_str(r, "subprotocol") : "-");
    if (h)
        (void)snprintf(handler, sizeof handler, "%" PRIu64 " %s", h, wsc_str(r, "handler_name"));
    wsc_table_add(t, handler);
    wsc_duration_format(wsc_u64(r, "age_ms"), text);
    wsc_table_add(t, text);
    wsc_duration_format(wsc_u64(r, "idle_ms"), text);
    wsc_table_add(t, text);
    wsc_table_add(t, strncmp(wsc_str(r, "extensions"), "permessage-deflate", 18) == 0 ? "yes" : "-");
    wsc_table_add_u64(t, wsc_u64(r, "messages_in"));
    wsc_table_add_u64(t, wsc_u64(r, "messages_out"));
    wsc_size_format(wsc_u64(r, "queued"), text);
    wsc_table_add(t, text);
    wsc_rtt_format(wsc_u64(r, "rtt_us"), text);
    wsc_table_add(t, text);
}

static int print_rows(const json_t *result)
{
    struct wsc_table t;
    const json_t *rows = json_object_get(result, "connections");
    size_t count = json_array_size(rows);
    uint64_t matched = wsc_u64(result, "matched");
    uint64_t total = wsc_u64(result, "total");
    wsc_table_init(&t, columns, WSC_COUNT(columns));
    for (size_t i = 0; i < count; i++)
        add_row(&t, json_array_get(rows, i));
    int status = wsc_print_table(&t);
    wsc_table_deinit(&t);
    if (count < matched)
        (void)printf("%zu of %" PRIu64 " shown; --limit 0: all\n", count, matched);
    else if (matched < total)
        (void)printf("%" PRIu64 " of %" PRIu64 " connections\n", matched, total);
    else
        (void)printf("%" PRIu64 " connection%s\n", total, total == 1 ? "" : "s");
    return status;
}

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void sleep_ms(uint64_t ms)
{
    struct timespec ts = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&ts, NULL);
}

struct wanted {
    struct wsc_filter filter;
    uint64_t limit;
    const char *sort;
    bool reverse;
    bool watch;
    uint64_t interval_ms;
};

/* As people write it: "messages-in", and what the table calls a column. */
static json_t *sort_param(const char *text)
{
    static const char *const also[][2] = {{"queue", "queued"}, {"in", "messages_in"}, {"out", "messages_out"}};
    char name[64];
    (void)snprintf(name, sizeof name, "%s", text);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : *c;
    for (size_t i = 0; i < WSC_COUNT(also); i++) {
        if (strcmp(name, also[i][0]) == 0)
            return json_string(also[i][1]);
    }
    return json_string(name);
}

static int list_once(struct wsc_run *run, const struct wanted *w)
{
    json_t *result;
    json_t *params = wsc_filter_params(&w->filter);
    if (params)
        (void)json_object_set_new(params, "limit", json_integer((json_int_t)w->limit));
    if (params && w->sort)
        (void)json_object_set_new(params, "sort", sort_param(w->sort));
    if (params && w->reverse)
        (void)json_object_set_new(params, "reverse", json_true());
    int status = wsc_ask(run, "list", params, run->timeout_ms, &result);
    if (status != WSC_GO_ON)
        return status;
    if (w->watch && isatty(STDOUT_FILENO) && !run->json)
        (void)fputs("\x1b[H\x1b[2J", stdout);
    status = WSC_OK;
    if (run->json && w->watch)
        wsc_print_json_line(result);
    else if (run->json)
        wsc_print_json(result);
    else
        status = print_rows(result);
    json_decref(result);
    return status;
}

static int watch(struct wsc_run *run, const struct wanted *w)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    while (!stopped) {
        int status = list_once(run, w);
        if (status != WSC_OK)
            return stopped ? WSC_OK : status;
        if (fflush(stdout) != 0) /* nobody reads any more */
            return WSC_OK;
        if (!stopped)
            sleep_ms(w->interval_ms);
    }
    return WSC_OK;
}

int cmd_list(struct wsc_run *run)
{
    struct wanted w = {.limit = LIMIT_DEFAULT, .interval_ms = INTERVAL_DEFAULT_MS};
    const struct wsc_option options[] = {
        WSC_FILTER_OPTIONS(w.filter),
        {"limit", 'n', WSC_NUMBER, "COUNT", "at most so many; 0: all; default 1000", &w.limit},
        {"sort", 0, WSC_TEXT, "KEY", "age, idle, messages, bytes, queue, rtt, peer, ...; default age", &w.sort},
        {"reverse", 0, WSC_FLAG, NULL, "the other way round", &w.reverse},
        {"watch", 'w', WSC_FLAG, NULL, "again and again, until Ctrl-C", &w.watch},
        {"interval", 'i', WSC_DURATION, "TIME", "of --watch; default 2s", &w.interval_ms},
    };
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    if (w.interval_ms < INTERVAL_LEAST_MS)
        return wsc_complain(run, WSC_USAGE, "--interval must be at least 100ms");
    return w.watch ? watch(run, &w) : list_once(run, &w);
}
