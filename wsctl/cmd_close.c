/* wsctl close */
#include <inttypes.h>
#include <unistd.h>

#include "common.h"

struct wanted {
    struct wsc_filter filter;
    uint64_t code;
    const char *reason;
    bool all, yes, dry_run;
};

static int print_result(const struct wsc_run *run, const json_t *r)
{
    uint64_t targets = wsc_u64(r, "targets");
    uint64_t written = wsc_u64(json_object_get(r, "outcomes"), "written");
    if (run->json) {
        wsc_print_json(r);
    } else {
        (void)printf("closed %" PRIu64 " of %" PRIu64 "\n", written, targets);
        wsc_print_failures(r);
    }
    if (wsc_u64(r, "waiting"))
        return WSC_TIMEOUT;
    return targets && written == targets ? WSC_OK : WSC_NO;
}

static json_t *params_of(const struct wanted *w)
{
    json_t *params = wsc_filter_params(&w->filter);
    if (!params)
        return NULL;
    if (w->all)
        (void)json_object_set_new(params, "all", json_true());
    (void)json_object_set_new(params, "code", json_integer((json_int_t)w->code));
    if (w->reason)
        (void)json_object_set_new(params, "reason", json_string(w->reason));
    return params;
}

static int close_now(struct wsc_run *run, json_t *params)
{
    json_t *r;
    if (params)
        (void)json_object_set_new(params, "timeout_ms",
                                  json_integer((json_int_t)(run->timeout_ms < 600000 ? run->timeout_ms : 600000)));
    int status = wsc_ask(run, "close", params, run->timeout_ms + 1000, &r); /* the gate's own deadline comes first */
    if (status != WSC_GO_ON)
        return status;
    status = print_result(run, r);
    json_decref(r);
    return status;
}

static bool is_agreed(uint64_t count)
{
    (void)fprintf(stderr, "Close %" PRIu64 " connection%s? [y/N] ", count, count == 1 ? "" : "s");
    int answer = getchar();
    return answer == 'y' || answer == 'Y';
}

/* How many would it be? Nobody closes ten thousand clients by a slip of the finger. */
static int close_by_filter(struct wsc_run *run, const struct wanted *w)
{
    json_t *r;
    json_t *params = params_of(w);
    if (params)
        (void)json_object_set_new(params, "dry_run", json_true());
    int status = wsc_ask(run, "close", params, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    uint64_t matched = wsc_u64(r, "matched");
    if (w->dry_run) {
        if (run->json)
            wsc_print_json(r);
        else
            (void)printf("%" PRIu64 " connection%s would be closed\n", matched, matched == 1 ? "" : "s");
        json_decref(r);
        return matched ? WSC_OK : WSC_NO;
    }
    json_decref(r);
    if (matched == 0)
        return wsc_complain(run, WSC_NO, "no connection fits");
    if (!w->yes && !isatty(STDIN_FILENO))
        return wsc_complain(run, WSC_USAGE, "%" PRIu64 " connection%s would be closed: say --yes", matched,
                            matched == 1 ? "" : "s");
    if (!w->yes && !is_agreed(matched))
        return wsc_complain(run, WSC_NO, "nothing was closed");
    if (w->yes && !run->json)
        (void)fprintf(stderr, "closing %" PRIu64 " connection%s\n", matched, matched == 1 ? "" : "s");
    return close_now(run, params_of(w));
}

static int close_ids(struct wsc_run *run, const struct wanted *w)
{
    json_t *ids = json_array();
    for (int i = 0; i < run->argc; i++) {
        char id[17];
        int status = wsc_resolve_id(run, run->argv[i], id);
        if (status != WSC_GO_ON) {
            json_decref(ids);
            return status;
        }
        (void)json_array_append_new(ids, json_string(id));
    }
    json_t *params = params_of(w);
    if (params)
        (void)json_object_set_new(params, "ids", ids);
    return close_now(run, params);
}

int cmd_close(struct wsc_run *run)
{
    struct wanted w = {.code = 1000};
    const struct wsc_option options[] = {
        WSC_FILTER_OPTIONS(w.filter),
        {"all", 'a', WSC_FLAG, NULL, "all connections", &w.all},
        {"code", 0, WSC_NUMBER, "CODE", "close code; default 1000", &w.code},
        {"reason", 0, WSC_TEXT, "TEXT", "close reason, at most 123 bytes", &w.reason},
        {"dry-run", 0, WSC_FLAG, NULL, "only tell how many it would be", &w.dry_run},
        {"yes", 'y', WSC_FLAG, NULL, "do not ask", &w.yes},
    };
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    json_t *filter = wsc_filter_params(&w.filter);
    bool has_filter = json_object_size(filter) > 0;
    json_decref(filter);
    if ((run->argc > 0) + has_filter + w.all != 1)
        return wsc_complain(run, WSC_USAGE, "say which: either ids, or filters, or --all");
    if (run->argc && w.dry_run)
        return wsc_complain(run, WSC_USAGE, "--dry-run is for filters and --all");
    return run->argc ? close_ids(run, &w) : close_by_filter(run, &w);
}
