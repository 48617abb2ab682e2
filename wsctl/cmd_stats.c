/* wsctl stats: "section.name value", one a line, so that grep and awk are at home. */
#include <inttypes.h>

#include "common.h"

static void print_tree(const char *path, const json_t *value)
{
    const char *name;
    json_t *v;
    if (!json_is_object(value)) {
        wsc_print_text(path);
        if (json_is_string(value)) {
            (void)fputs(" \"", stdout);
            wsc_print_text(json_string_value(value));
            (void)fputs("\"\n", stdout);
        } else {
            (void)printf(" %" PRIu64 "\n", (uint64_t)json_integer_value(value));
        }
        return;
    }
    json_object_foreach((json_t *)value, name, v)
    {
        char deeper[200];
        (void)snprintf(deeper, sizeof deeper, "%s%s%s", path, *path ? "." : "", name);
        print_tree(deeper, v);
    }
}

int cmd_stats(struct wsc_run *run)
{
    json_t *r;
    int status = wsc_begin(run, NULL, 0);
    if (status == WSC_GO_ON)
        status = wsc_ask(run, "stats", NULL, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    if (run->json)
        wsc_print_json(r);
    else
        print_tree("", r);
    json_decref(r);
    return WSC_OK;
}
