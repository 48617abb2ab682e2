/* wsctl groups [NAME] */
#include <inttypes.h>

#include "common.h"

static int print_all(const json_t *result)
{
    static const struct wsc_column columns[] = {{"NAME", false, 8, 0}, {"CONNECTIONS", true, 0, 0}};
    struct wsc_table t;
    size_t i;
    json_t *g;
    wsc_table_init(&t, columns, WSC_COUNT(columns));
    json_array_foreach(json_object_get(result, "groups"), i, g)
    {
        wsc_table_add(&t, wsc_str(g, "name"));
        wsc_table_add_u64(&t, wsc_u64(g, "count"));
    }
    int status = wsc_print_table(&t);
    wsc_table_deinit(&t);
    if (wsc_u64(result, "total") > i)
        (void)printf("%zu of %" PRIu64 " shown; --limit shows more\n", i, wsc_u64(result, "total"));
    return status;
}

static void print_members(const json_t *group)
{
    size_t i;
    json_t *id;
    json_array_foreach(json_object_get(group, "members"), i, id)
    {
        wsc_print_text(json_string_value(id) ? json_string_value(id) : "");
        (void)putchar('\n');
    }
    if (i < wsc_u64(group, "count"))
        (void)printf("%zu of %" PRIu64 " members shown; --limit shows more\n", i, wsc_u64(group, "count"));
}

int cmd_groups(struct wsc_run *run)
{
    uint64_t limit = 1000;
    bool users = false;
    bool tags = false;
    const struct wsc_option options[] = {
        {"limit", 'n', WSC_NUMBER, "COUNT", "at most so many; 0: all; default 1000", &limit},
        {"users", 0, WSC_FLAG, NULL, "users instead of groups", &users},
        {"tags", 0, WSC_FLAG, NULL, "tags instead of groups", &tags},
    };
    json_t *r;
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    if (users && tags)
        return wsc_complain(run, WSC_USAGE, "either --users or --tags");
    json_t *params = json_pack("{s:I, s:s}", "limit", (json_int_t)limit, "of",
                               users  ? "users"
                               : tags ? "tags"
                                      : "groups");
    if (params && run->argc)
        (void)json_object_set_new(params, "name", json_string(run->argv[0]));
    status = wsc_ask(run, "groups", params, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    status = WSC_OK;
    if (run->json)
        wsc_print_json(r);
    else if (run->argc)
        print_members(json_array_get(json_object_get(r, "groups"), 0));
    else
        status = print_all(r);
    json_decref(r);
    return status;
}
