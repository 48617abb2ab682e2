/* Which connections are meant. */
#include "admin/filter.h"

#include <inttypes.h>
#include <stdio.h>

static wsb_err take_text(const json_t *params, const char *name, char *to, size_t size, struct wsb_fault *fault)
{
    const char *text = NULL;
    wsb_err err = wsg_param_str(params, name, &text, fault);
    if (err || !text)
        return err;
    if (!*text || strlen(text) >= size)
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must have 1 to %zu bytes", name, size - 1);
    (void)snprintf(to, size, "%s", text);
    return WSB_OK;
}

/* A word that is one of the given ones, in whatever case. */
static wsb_err check_word(const char *name, const char *word, const char *const *words, struct wsb_fault *fault)
{
    char all[120] = "";
    size_t at = 0;
    if (!*word)
        return WSB_OK;
    for (; *words; words++) {
        if (strcasecmp(word, *words) == 0)
            return WSB_OK;
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", at ? ", " : "", *words);
    }
    return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"%s\" must be one of %s", name, all);
}

static wsb_err check_suffix(const char *id, struct wsb_fault *fault)
{
    if (strspn(id, "0123456789abcdef") == strlen(id))
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_PROTO, 0,
                         "\"id\" must be the end of a connection id: lower-case hexadecimal digits");
}

wsb_err wsg_filter_parse(const json_t *params, struct wsg_filter *ret, struct wsb_fault *fault)
{
    static const char *const states[] = {"connecting", "connected", "closing",    "closed", "idle",
                                         "reading",    "waiting",   "responding", NULL};
    static const char *const kinds[] = {"websocket", "http", NULL};
    static const uint64_t ever = (uint64_t)1 << 53;
    struct wsg_filter f = {0};
    wsb_err err;
    if ((err = take_text(params, "id", f.id_suffix, sizeof f.id_suffix, fault)) ||
        (err = check_suffix(f.id_suffix, fault)) ||
        (err = take_text(params, "route", f.route, sizeof f.route, fault)) ||
        (err = take_text(params, "peer", f.peer, sizeof f.peer, fault)) ||
        (err = take_text(params, "subprotocol", f.subprotocol, sizeof f.subprotocol, fault)) ||
        (err = take_text(params, "user", f.user, sizeof f.user, fault)) ||
        (err = take_text(params, "group", f.group, sizeof f.group, fault)) ||
        (err = take_text(params, "tag", f.tag, sizeof f.tag, fault)) ||
        (err = take_text(params, "state", f.state, sizeof f.state, fault)) ||
        (err = check_word("state", f.state, states, fault)) ||
        (err = take_text(params, "kind", f.kind, sizeof f.kind, fault)) ||
        (err = check_word("kind", f.kind, kinds, fault)) ||
        (err = wsg_param_u64(params, "handler", 1, UINT32_MAX, &f.handler, fault)) ||
        (err = wsg_param_u64(params, "older_than_ms", 0, ever, &f.older_than_ms, fault)) ||
        (err = wsg_param_u64(params, "idle_ms", 0, ever, &f.idle_ms, fault)))
        return err;
    *ret = f;
    return WSB_OK;
}

bool wsg_filter_is_empty(const struct wsg_filter *f)
{
    return !*f->id_suffix && !*f->route && !*f->peer && !*f->subprotocol && !*f->state && !*f->kind && !f->handler &&
           !f->older_than_ms && !f->idle_ms && !*f->user && !*f->group && !*f->tag;
}

static bool ends_with(wsb_conn id, const char *suffix)
{
    char text[17];
    (void)snprintf(text, sizeof text, "%016" PRIx64, id);
    return strcmp(text + 16 - strlen(suffix), suffix) == 0;
}

/* "WebSocket(server, CONNECTED)": the kind stands in front, the state at the end. */
static bool is_in_state(const char *what, const char *state)
{
    const char *word = strrchr(what, ' ');
    size_t len = strlen(state);
    return word && strncasecmp(word + 1, state, len) == 0 && word[1 + len] == ')';
}

bool wsg_filter_matches(const struct wsg_filter *f, const struct wsg_conn_info *row, uint64_t handler)
{
    return row->age_ms >= f->older_than_ms && row->idle_ms >= f->idle_ms && (!f->handler || f->handler == handler) &&
           (!*f->route || strcmp(f->route, row->route) == 0) &&
           (!*f->peer || strncmp(f->peer, row->peer, strlen(f->peer)) == 0) &&
           (!*f->subprotocol || strcmp(f->subprotocol, row->subprotocol) == 0) &&
           (!*f->state || is_in_state(row->what, f->state)) &&
           (!*f->kind || strncasecmp(row->what, f->kind, strlen(f->kind)) == 0) &&
           (!*f->id_suffix || ends_with(row->id, f->id_suffix));
}
