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
static struct wsb_span token_of(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params,
                                const char **ret_why)
{
    static const char scheme[] = "bearer ";
    const struct wsg_source *source = &s->route->token;
    bool is_twice;
    struct wsb_span token = wsg_session_value_of(s, source, head, params, &is_twice);
    *ret_why = is_twice ? "the token is there more than once" : "no token";
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
    const char *why;
    json_t *claims = NULL;
    wsb_err err = WSB_ERR_REFUSED;
    if (s->route->token.kind == WSG_SOURCE_NONE)
        return true;
    struct wsg_token_rule *rule = &s->env->gatekeeping->tokens[s->route->index];
    struct wsb_span token = token_of(s, head, params, &why);
    if (token.len) {
        struct wsb_token_keys *keys = wsg_token_rule_keys(rule);
        int64_t now_s = (int64_t)(wsg_loop_wall_ns(s->env->loop) / 1000000000u);
        uint64_t before_us = wsg_loop_read_us(s->env->loop); /* a signature may cost anything */
        err = wsb_token_check(keys, token, &rule->rules, now_s, &claims, &why);
        wsg_turns_charge(&s->env->turns, (size_t)(wsg_loop_read_us(s->env->loop) - before_us) * WSG_WORK_A_US);
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

static char *append(char *at, struct wsb_span text)
{
    if (text.len)
        memmove(at, text.ptr, text.len);
    return at + text.len;
}

/* What stands behind the name in a target, every time it does. One walk, whatever the target is. */
static void hide_value(char *target, const char *name)
{
    char *at = strchr(target, '?');
    struct wsg_http_param p;
    if (!at)
        return;
    struct wsb_span rest = wsb_span_str(++at);
    while (wsg_http_query_next(&rest, &p)) {
        bool has_value = p.value.ptr != p.name.ptr + p.name.len; /* a '=' stands between them */
        bool is_hidden = wsg_http_param_is(&p, name);
        at = append(at, p.name);
        if (has_value)
            *at++ = '=';
        if (!is_hidden)
            at = append(at, p.value);
        if (rest.ptr)
            *at++ = '&';
    }
    *at = 0;
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
