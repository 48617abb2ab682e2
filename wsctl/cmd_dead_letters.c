/* wsctl dead-letters */
#include <time.h>

#include "common.h"

static const char *text_of(const json_t *d)
{
    return json_object_get(d, "text") ? wsc_str(d, "text") : wsc_str(d, "base64");
}

static int print_all(const json_t *result)
{
    static const struct wsc_column columns[] = {
        {"WHEN", false, 0, 1},    {"ROUTE", false, 4, 0}, {"CONN", false, 0, 0},
        {"EVENT", false, 0, 2},   {"SEQ", true, 0, 2},    {"DELIVERIES", true, 0, 3},
        {"HANDLER", false, 6, 1}, {"BYTES", true, 0, 2},  {"PAYLOAD", false, 10, 0},
    };
    struct wsc_table t;
    size_t i;
    json_t *d;
    wsc_table_init(&t, columns, WSC_COUNT(columns));
    json_array_foreach(json_object_get(result, "dead_letters"), i, d)
    {
        char when[32] = "-";
        struct tm tm;
        time_t at = (time_t)(wsc_u64(d, "time_ms") / 1000);
        if (gmtime_r(&at, &tm))
            (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
        wsc_table_add(&t, when);
        wsc_table_add(&t, wsc_str(d, "route"));
        wsc_table_add(&t, wsc_str(d, "conn"));
        wsc_table_add(&t, wsc_str(d, "event"));
        wsc_table_add_u64(&t, wsc_u64(d, "seq"));
        wsc_table_add_u64(&t, wsc_u64(d, "deliveries"));
        wsc_table_add(&t, wsc_str(d, "handler"));
        wsc_table_add_u64(&t, wsc_u64(d, "len"));
        wsc_table_add(&t, text_of(d));
    }
    int status = wsc_print_table(&t);
    wsc_table_deinit(&t);
    return status;
}

int cmd_dead_letters(struct wsc_run *run)
{
    uint64_t limit = 0;
    const struct wsc_option options[] = {
        {"limit", 'n', WSC_NUMBER, "COUNT", "at most so many; 0: all, which is the default; the gate keeps 128",
         &limit},
    };
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    json_t *params = limit ? json_pack("{s:I}", "limit", (json_int_t)limit) : NULL;
    return wsc_show(run, "dead_letters", params, print_all);
}
