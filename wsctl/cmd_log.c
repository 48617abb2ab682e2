/* wsctl log [set MODULE=LEVEL [--for TIME] | reopen] */
#include <inttypes.h>
#include <stdlib.h>

#include "common.h"

static const json_t *temporary_of(const json_t *result, const char *module)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(result, "temporary"), i, t)
    {
        if (strcmp(wsc_str(t, "module"), module) == 0)
            return t;
    }
    return NULL;
}

static int print_levels(const json_t *result)
{
    static const struct wsc_column columns[] = {
        {"MODULE", false, 0, 0}, {"LEVEL", false, 0, 0}, {"BACK TO", false, 0, 0}, {"IN", true, 0, 0}};
    struct wsc_table t;
    const char *module;
    size_t i;
    json_t *v;
    wsc_table_init(&t, columns, WSC_COUNT(columns));
    json_object_foreach(json_object_get(result, "levels"), module, v)
    {
        const json_t *back = temporary_of(result, module);
        char left[WSC_SHORT] = "";
        if (back)
            wsc_duration_format(wsc_u64(back, "left_ms"), left);
        wsc_table_add(&t, module);
        wsc_table_add(&t, json_string_value(v) ? json_string_value(v) : "");
        wsc_table_add(&t, wsc_str(back, "back_to"));
        wsc_table_add(&t, left);
    }
    json_array_foreach(json_object_get(result, "temporary"), i, v)
    {
        char text[WSC_SHORT];
        if (!wsc_u64(v, "handler"))
            continue;
        (void)snprintf(text, sizeof text, "handler:%" PRIu64, wsc_u64(v, "handler"));
        wsc_table_add(&t, text);
        wsc_table_add(&t, "");
        wsc_table_add(&t, wsc_str(v, "back_to"));
        wsc_duration_format(wsc_u64(v, "left_ms"), text);
        wsc_table_add(&t, text);
    }
    int status = wsc_print_table(&t);
    wsc_table_deinit(&t);
    return status;
}

/* "ws=debug", "handler:3=debug". The gate judges the names. */
static json_t *params_of(const char *assignment, uint64_t for_ms)
{
    const char *equals = strchr(assignment, '=');
    json_t *params = equals ? json_object() : NULL;
    if (!params)
        return NULL;
    char *end = NULL;
    unsigned long handler = strncmp(assignment, "handler:", 8) == 0 ? strtoul(assignment + 8, &end, 10) : 0;
    if (handler && end == equals)
        (void)json_object_set_new(params, "handler", json_integer((json_int_t)handler));
    else
        (void)json_object_set_new(params, "module", json_stringn(assignment, (size_t)(equals - assignment)));
    (void)json_object_set_new(params, "level", json_string(equals + 1));
    if (for_ms)
        (void)json_object_set_new(params, "for_s", json_integer((json_int_t)((for_ms + 999) / 1000)));
    return params;
}

int cmd_log(struct wsc_run *run)
{
    uint64_t for_ms = 0;
    const struct wsc_option options[] = {
        {"for", 'f', WSC_DURATION, "TIME", "and back again after this time: 30s, 5m", &for_ms}};
    json_t *params = NULL;
    json_t *r;
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    bool is_reopen = run->argc == 1 && strcmp(run->argv[0], "reopen") == 0;
    bool is_set = run->argc == 2 && strcmp(run->argv[0], "set") == 0;
    if (run->argc && !is_reopen && !is_set)
        return wsc_complain(run, WSC_USAGE, "usage: wsctl log [set MODULE=LEVEL [--for TIME] | reopen]");
    if (for_ms && !is_set)
        return wsc_complain(run, WSC_USAGE, "--for goes with set MODULE=LEVEL");
    if (is_set) {
        params = params_of(run->argv[1], for_ms);
        if (!params)
            return wsc_complain(run, WSC_USAGE, "'%.60s' is not MODULE=LEVEL", run->argv[1]);
    }
    status = wsc_ask(run, is_set ? "log_set" : is_reopen ? "log_reopen" : "log_get", params, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    status = WSC_OK;
    if (run->json)
        wsc_print_json(r);
    else if (!is_reopen)
        status = print_levels(r);
    json_decref(r);
    return status;
}
