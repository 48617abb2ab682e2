/*
 * Whose connection a request opens, as its route's configuration says: the key that it is pinned by, its user, its first
 * groups. What a client says here is taken as a name or not at all; nothing of it is cut or repaired.
 */
#include "base/log.h"
#include "http/target.h"
#include "session/parts.h"

/* Of the query string, decoded as forms are into env->text. Returns how many there are, 0 also when it cannot be decoded. */
static size_t query_value(struct wsg_session *s, const struct wsg_http_head *head, const char *name,
                          struct wsb_span *ret)
{
    struct wsb_span raw;
    struct wsb_buf *text = &s->env->text;
    size_t count = wsg_http_query_find(head->query, name, &raw);
    wsb_buf_clear(text);
    if (!count || wsb_buf_append(text, raw.ptr, raw.len) != WSB_OK)
        return 0;
    for (size_t i = 0; i < text->len; i++)
        text->data[i] = text->data[i] == '+' ? ' ' : text->data[i];
    if (wsg_http_percent_decode(wsb_buf_span(text), text->data, &text->len) != WSB_OK)
        return 0;
    *ret = wsb_buf_span(text);
    return count;
}

/* RFC 6265 §5.4: browsers send the cookie of the more specific path first. */
static bool cookie_value(const struct wsg_http_head *head, const char *name, struct wsb_span *ret)
{
    for (size_t i = 0; i < head->header_count; i++) {
        if (wsb_span_ieq_str(head->headers[i].name, "cookie") && wsg_cookie_find(head->headers[i].value, name, ret))
            return true;
    }
    return false;
}

/* What stands behind a name in the client's list of subprotocols, which may go over several fields. */
static size_t subprotocol_value(const struct wsg_http_head *head, const char *name, struct wsb_span *ret)
{
    bool is_next = false;
    size_t count = 0;
    for (size_t i = 0; i < head->header_count; i++) {
        struct wsb_span rest = head->headers[i].value;
        struct wsb_span item;
        if (!wsb_span_ieq_str(head->headers[i].name, "sec-websocket-protocol"))
            continue;
        while (wsg_http_list_next(&rest, &item)) {
            if (item.len == 0)
                continue; /* RFC 9110 §5.6.1.2: empty elements count for nothing */
            if (is_next && count++ == 0)
                *ret = item;
            is_next = !is_next && wsb_span_eq_str(item, name);
        }
    }
    return count;
}

struct wsb_span wsg_session_value_of(struct wsg_session *s, const struct wsg_source *source,
                                     const struct wsg_http_head *head, const struct wsb_span *params,
                                     bool *ret_is_twice)
{
    struct wsb_span value = {NULL, 0};
    size_t count = 1;
    switch (source->kind) {
    case WSG_SOURCE_NONE:
        count = 0;
        break;
    case WSG_SOURCE_QUERY:
        count = query_value(s, head, source->name, &value);
        break;
    case WSG_SOURCE_PARAM:
        value = params[source->param];
        break;
    case WSG_SOURCE_HEADER:
        count = wsg_http_header_find(head->headers, head->header_count, source->name, &value);
        break;
    case WSG_SOURCE_COOKIE:
        count = cookie_value(head, source->name, &value);
        break;
    case WSG_SOURCE_SUBPROTOCOL:
        count = subprotocol_value(head, source->name, &value);
        break;
    case WSG_SOURCE_CLAIM:
        value = wsg_claim_value(s->exchange->claims, source->name, &s->env->text);
        break;
    case WSG_SOURCE_ADDRESS:
        value = wsg_address_of_peer(wsb_span_str(s->peer));
        break;
    }
    if (ret_is_twice)
        *ret_is_twice = count > 1;
    return count == 1 ? value : wsb_span(NULL, 0);
}

static wsb_err add_user(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params,
                        struct wsb_buf *out)
{
    struct wsb_span user = wsg_session_value_of(s, &s->route->user, head, params, NULL);
    if (user.len && !wsg_is_name(user)) {
        WSB_LOG(WSB_LOG_HTTP, WSB_LOG_DEBUG, "not a user's name", WSB_KID("conn", s->id),
                WSB_KS("route", s->route->name), WSB_KU("bytes", user.len));
        user.len = 0;
    }
    wsb_err err = user.len ? wsb_buf_append(out, user.ptr, user.len) : WSB_OK;
    return err ? err : wsb_buf_append(out, "", 1);
}

static wsb_err add_groups(struct wsg_session *s, const struct wsb_span *params, struct wsb_buf *out)
{
    const struct wsg_route_policy *p = &s->route->policy;
    for (size_t i = 0; i < p->joins.count; i++) {
        wsb_err err = wsg_template_expand(p->joins.at[i], s->route->pattern, params, out);
        if (!err)
            err = wsb_buf_append(out, "", 1);
        else if (err == WSB_ERR_REFUSED)
            WSB_LOG(WSB_LOG_HTTP, WSB_LOG_DEBUG, "not a group's name", WSB_KID("conn", s->id),
                    WSB_KS("route", s->route->name), WSB_KS("join", p->joins.at[i]));
        if (err && err != WSB_ERR_REFUSED)
            return err;
    }
    return WSB_OK;
}

wsb_err wsg_session_identify(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params)
{
    struct wsg_exchange *x = s->exchange;
    struct wsb_span key = wsg_session_value_of(s, &s->route->pin_key, head, params, NULL);
    x->key = key.len ? wsg_key_hash(&s->env->routes->seed, key) : 0;
    if (!head->is_upgrade)
        return WSB_OK; /* the payload of REQUEST is its body; a request belongs to no group */
    wsb_err err = add_user(s, head, params, &x->body);
    if (!err)
        err = add_groups(s, params, &x->body);
    if (x->body.len == 1) /* no user and no group */
        wsb_buf_clear(&x->body);
    return err;
}
