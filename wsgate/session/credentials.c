/*
 * Tokens: a route that wants one lets nobody in without. What the token claims goes to handlers, and can say whose
 * connection it is. Why somebody was refused is for the log and the counters; the client hears that it was.
 */
#include <stdlib.h>

#include "base/log.h"
#include "http/target.h"
#include "session/parts.h"

struct wsb_token_keys *wsg_token_rule_keys(struct wsg_token_rule *r)
{
    pthread_mutex_lock(&r->lock);
    struct wsb_token_keys *keys = wsb_token_keys_ref(r->keys);
    pthread_mutex_unlock(&r->lock);
    return keys;
}

void wsg_token_rule_set_keys(struct wsg_token_rule *r, struct wsb_token_keys *keys)
{
    pthread_mutex_lock(&r->lock);
    struct wsb_token_keys *before = r->keys;
    r->keys = keys;
    pthread_mutex_unlock(&r->lock);
    wsb_token_keys_unref(before);
}

/* "Bearer TOKEN" (RFC 6750 §2.1) in a header; elsewhere the token alone. */
static struct wsb_span token_of(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params)
{
    static const char scheme[] = "bearer ";
    const struct wsg_source *source = &s->route->token;
    struct wsb_span token = wsg_session_value_of(s, source, head, params);
    size_t len = sizeof scheme - 1;
    if (source->kind == WSG_SOURCE_HEADER && token.len > len && strncasecmp((const char *)token.ptr, scheme, len) == 0)
        token = wsg_http_trim(wsb_span(token.ptr + len, token.len - len));
    return token;
}

static bool refuse(struct wsg_session *s, const char *why)
{
    struct wsg_http_header challenge = {wsb_span_str("WWW-Authenticate"), wsb_span_str("Bearer")};
    wsg_exchange_refuse(s, WSG_REFUSED_TOKEN, 401, why, &challenge, 1);
    return false;
}

bool wsg_session_authorize(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params)
{
    const char *why = "no token";
    json_t *claims = NULL;
    wsb_err err = WSB_ERR_REFUSED;
    if (s->route->token.kind == WSG_SOURCE_NONE)
        return true;
    struct wsg_token_rule *rule = &s->env->gatekeeping->tokens[s->route->index];
    struct wsb_span token = token_of(s, head, params);
    if (token.len) {
        struct wsb_token_keys *keys = wsg_token_rule_keys(rule);
        int64_t now_s = (int64_t)(wsg_loop_wall_ns(s->env->loop) / 1000000000u);
        err = wsb_token_check(keys, token, &rule->rules, now_s, &claims, &why);
        wsb_token_keys_unref(keys);
    }
    if (err)
        return refuse(s, why);
    s->exchange->claims = claims;
    return true;
}

uint64_t wsg_claims_expiry_ms(const json_t *claims)
{
    double exp_s = json_number_value(json_object_get(claims, "exp"));
    return exp_s < (double)(1ll << 50) ? (uint64_t)(exp_s * 1000) : UINT64_MAX;
}

struct wsb_span wsg_claim_value(const json_t *claims, const char *name, struct wsb_buf *scratch)
{
    const json_t *v = json_object_get(claims, name);
    wsb_buf_clear(scratch);
    if (json_is_string(v))
        return wsb_span(json_string_value(v), json_string_length(v));
    if (json_is_integer(v) && wsb_buf_printf(scratch, "%lld", (long long)json_integer_value(v)) == WSB_OK)
        return wsb_buf_span(scratch);
    return wsb_span(NULL, 0);
}

/* What stands behind the name in a target, every time it does. */
static void hide_value(char *target, const char *name)
{
    struct wsb_span query, value;
    char *mark = strchr(target, '?');
    if (!mark)
        return;
    query = wsb_span_str(mark + 1);
    while (wsg_http_query_find(query, name, &value)) {
        char *at = target + (value.ptr - (const uint8_t *)target); /* within our own text */
        size_t rest = strlen(at + value.len);
        if (value.len)
            memmove(at, at + value.len, rest + 1);
        query = wsb_span(at, rest); /* behind the '=': what comes there is no name before the next '&' */
        const uint8_t *next = query.len ? memchr(query.ptr, '&', query.len) : NULL;
        if (!next)
            return;
        query = wsb_span(next + 1, rest - (size_t)(next + 1 - query.ptr));
    }
}

void wsg_session_hide_token(struct wsg_session *s)
{
    const struct wsg_routes *all = s->env->routes;
    const struct wsg_route *first = s->route ? s->route : all->routes;
    size_t count = s->route ? 1 : all->count;
    for (size_t i = 0; i < count && s->target; i++) {
        if (first[i].token.kind == WSG_SOURCE_QUERY)
            hide_value(s->target, first[i].token.name);
    }
}
