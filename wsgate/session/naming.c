/*
 * What a request is called, by the proxy in front of us or else by ourselves, and the trace that it belongs to. The numbers
 * are a counter put through a keyed hash: as good as random to whoever does not have the key, and without a system call.
 */
#include <stdio.h>

#include "session/parts.h"

static uint64_t draw(struct wsg_env *env)
{
    uint64_t number = env->named++;
    return wsb_siphash(&env->naming_seed, wsb_span(&number, sizeof number));
}

const char *wsg_env_request_id(struct wsg_env *env, char made[WSG_REQUEST_ID_OWN + 1])
{
    made[0] = 0;
    if (env->has_request_ids) {
        const uint64_t random[] = {draw(env), draw(env)};
        wsg_request_id_write(random, made);
    }
    return made;
}

void wsg_exchange_name(struct wsg_session *s, const struct wsg_http_head *head)
{
    struct wsg_exchange *x = s->exchange;
    struct wsb_span given = {NULL, 0};
    if (s->is_trusted && s->env->has_request_ids)
        given = wsg_request_id_find(head->headers, head->header_count);
    if (given.ptr)
        (void)snprintf(x->request_id, sizeof x->request_id, "%.*s", (int)given.len, (const char *)given.ptr);
    else
        (void)wsg_env_request_id(s->env, x->request_id);
}

bool wsg_env_begin_trace(struct wsg_env *env, const struct wsg_http_head *head, char out[WSG_TRACEPARENT_LEN + 1])
{
    if (!env->begins_traces || wsg_traceparent_is_there(head->headers, head->header_count))
        return false;
    const uint64_t random[] = {draw(env), draw(env), draw(env)};
    wsg_traceparent_write(random, out);
    return true;
}
