/* wsctl send, wsctl publish */
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "common.h"

enum { INPUT_MAX = 700 << 10 /* base64 of it is within a request's limit */ };

struct wanted {
    const char *text, *base64;
    struct wsc_texts routes, groups, users, tags, except;
    bool all, binary;
};

static int read_input(struct wsc_run *run, struct wsb_buf *in)
{
    for (;;) {
        if (wsb_buf_reserve(in, 64 << 10) != WSB_OK)
            return wsc_complain(run, WSC_USAGE, "the message is longer than %d bytes", INPUT_MAX);
        ssize_t n = read(STDIN_FILENO, in->data + in->len, 64 << 10);
        if (n < 0)
            return wsc_client_is_interrupted() ? wsc_complain(run, WSC_INTERRUPTED, "interrupted")
                                               : wsc_complain(run, WSC_USAGE, "cannot read the message");
        if (n == 0)
            break;
        in->len += (size_t)n;
    }
    return in->len > INPUT_MAX ? wsc_complain(run, WSC_USAGE, "the message is longer than %d bytes", INPUT_MAX)
                               : WSC_GO_ON;
}

static json_t *base64_of(struct wsb_span s)
{
    char *text = malloc(wsb_base64_encoded_size(s.len) + 1);
    json_t *v = text ? json_stringn(text, wsb_base64_encode(s, text)) : NULL;
    free(text);
    return v;
}

static int put_message(struct wsc_run *run, const struct wanted *w, json_t *params)
{
    struct wsb_buf in;
    int status = WSC_GO_ON;
    if (w->text || w->base64) {
        (void)json_object_set_new(params, w->text ? "text" : "base64", json_string(w->text ? w->text : w->base64));
        if (w->text && !json_object_get(params, "text"))
            return wsc_complain(run, WSC_USAGE, "the text is not UTF-8");
        return WSC_GO_ON;
    }
    wsb_buf_init(&in, INPUT_MAX + (128 << 10));
    status = read_input(run, &in);
    if (status == WSC_GO_ON && w->binary)
        (void)json_object_set_new(params, "base64", base64_of(wsb_buf_span(&in)));
    else if (status == WSC_GO_ON && (!wsb_utf8_is_valid(in.data, in.len) || (in.len && memchr(in.data, 0, in.len))))
        status = wsc_complain(run, WSC_USAGE, "standard input is not text; --binary sends bytes");
    else if (status == WSC_GO_ON)
        (void)json_object_set_new(params, "text", json_stringn(in.len ? (const char *)in.data : "", in.len));
    wsb_buf_deinit(&in);
    return status;
}

static int put_ids(struct wsc_run *run, const char *name, const char *const *texts, size_t count, json_t *params)
{
    json_t *ids = count ? json_array() : NULL;
    if (ids)
        (void)json_object_set_new(params, name, ids);
    for (size_t i = 0; i < count; i++) {
        char id[17];
        int status = wsc_resolve_id(run, texts[i], id);
        if (status != WSC_GO_ON)
            return status;
        (void)json_array_append_new(ids, json_string(id));
    }
    return WSC_GO_ON;
}

/* One name as a string, several as an array. False: one is not UTF-8. */
static bool put_names(json_t *params, const char *key, const struct wsc_texts *names)
{
    json_t *value = names->count == 1 ? json_string(names->at[0]) : json_array();
    bool ok = value != NULL;
    for (size_t i = 0; ok && names->count > 1 && i < names->count; i++)
        ok = json_array_append_new(value, json_string(names->at[i])) == 0;
    if (!ok || names->count == 0) {
        json_decref(value);
        return ok;
    }
    return json_object_set_new(params, key, value) == 0;
}

static int put_targets(struct wsc_run *run, const struct wanted *w, json_t *params)
{
    int status = put_ids(run, "ids", (const char *const *)run->argv, (size_t)run->argc, params);
    if (status == WSC_GO_ON)
        status = put_ids(run, "except", w->except.at, w->except.count, params);
    if (status != WSC_GO_ON)
        return status;
    if (!put_names(params, "route", &w->routes) || !put_names(params, "group", &w->groups) ||
        !put_names(params, "user", &w->users) || !put_names(params, "tag", &w->tags))
        return wsc_complain(run, WSC_USAGE, "a name is not UTF-8");
    if (w->all)
        (void)json_object_set_new(params, "all", json_true());
    (void)json_object_set_new(params, "timeout_ms",
                              json_integer((json_int_t)(run->timeout_ms < 600000 ? run->timeout_ms : 600000)));
    return WSC_GO_ON;
}

static int print_result(const struct wsc_run *run, const json_t *r)
{
    const json_t *outcomes = json_object_get(r, "outcomes");
    uint64_t targets = wsc_u64(r, "targets");
    uint64_t written = wsc_u64(outcomes, "written");
    if (run->json) {
        wsc_print_json(r);
    } else {
        (void)printf("written to %" PRIu64 " of %" PRIu64 "\n", written, targets);
        wsc_print_failures(r);
        if (wsc_u64(r, "waiting"))
            (void)fprintf(stderr, "%" PRIu64 " still wait for a slow client\n", wsc_u64(r, "waiting"));
    }
    if (wsc_u64(r, "waiting"))
        return WSC_TIMEOUT;
    return targets && written == targets ? WSC_OK : WSC_NO;
}

static int send_it(struct wsc_run *run, const struct wanted *w)
{
    json_t *r;
    if ((w->text != NULL) + (w->base64 != NULL) + w->binary > 1)
        return wsc_complain(run, WSC_USAGE, "either --text or --base64 or --binary");
    json_t *params = json_object();
    int status = put_targets(run, w, params);
    if (status == WSC_GO_ON)
        status = put_message(run, w, params);
    if (status != WSC_GO_ON) {
        json_decref(params);
        return status;
    }
    status = wsc_ask(run, "send", params, run->timeout_ms + 1000, &r); /* the gate's own deadline comes first */
    if (status != WSC_GO_ON)
        return status;
    status = print_result(run, r);
    json_decref(r);
    return status;
}

/* wsctl publish is the same: the gate knows one way to send. */
int cmd_send(struct wsc_run *run)
{
    struct wanted w = {0};
    const struct wsc_option options[] = {
        {"text", 't', WSC_TEXT, "TEXT", "the message, as text", &w.text},
        {"base64", 0, WSC_TEXT, "BASE64", "the message, as bytes", &w.base64},
        {"binary", 'b', WSC_FLAG, NULL, "standard input is bytes, not text", &w.binary},
        {"group", 'g', WSC_TEXTS, "NAME", "to the members of a group; may be given again, as the next three",
         &w.groups},
        {"user", 'u', WSC_TEXTS, "NAME", "to the connections of a user", &w.users},
        {"tag", 0, WSC_TEXTS, "NAME", "to the connections with a tag", &w.tags},
        {"route", 'r', WSC_TEXTS, "NAME", "to the connections of a route", &w.routes},
        {"all", 'a', WSC_FLAG, NULL, "to all connections", &w.all},
        {"except", 0, WSC_TEXTS, "ID", "but not to this one; may be given again", &w.except},
    };
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    bool has_names = w.routes.count + w.groups.count + w.users.count + w.tags.count > 0;
    if (run->argc > 0 && (has_names || w.all))
        return wsc_complain(run, WSC_USAGE,
                            "either ids, or --group, --user, --tag, --route or --all; --except ID leaves one out");
    if ((run->argc > 0) + has_names + w.all != 1)
        return wsc_complain(run, WSC_USAGE, "say to whom: ids; or --group, --user, --tag and --route; or --all");
    if (run->argc > 0 && w.except.count)
        return wsc_complain(run, WSC_USAGE, "--except is for many, and not for ids");
    return send_it(run, &w);
}
