/* Unfinished messages. */
#include "session/unfinished.h"

#include <stdlib.h>
#include <utlist.h>

#include "session/compress.h"
#include "session/parts.h"
#include "ws/close.h"

/* Of those of one size the oldest is first: a power of two, and what is below the next one. */
static size_t size_class(size_t held)
{
    size_t bits = held ? sizeof(unsigned long long) * 8 - (size_t)__builtin_clzll(held) : 0;
    return bits < WSG_UNFINISHED_SIZES ? bits : WSG_UNFINISHED_SIZES - 1;
}

static void change_size(struct wsg_env *env, struct wsg_unfinished *u, size_t held)
{
    size_t before = size_class(u->held);
    size_t after = size_class(held);
    u->held = held;
    if (before == after)
        return;
    DL_DELETE(env->unfinished[before], u);
    DL_APPEND(env->unfinished[after], u);
}

static bool begin(struct wsg_session *s)
{
    struct wsg_unfinished *u = malloc(sizeof *u);
    if (!u)
        return false;
    *u = (struct wsg_unfinished){.session = s, .since_ms = wsg_loop_now_ms(s->env->loop)};
    DL_APPEND(s->env->unfinished[0], u);
    s->unfinished = u;
    return true;
}

static void account(struct wsg_session *s, size_t held)
{
    struct wsg_unfinished *u = s->unfinished;
    struct wsg_unfinished_account *a = s->env->unfinished_account;
    if (a && held > u->held)
        atomic_fetch_add_explicit(&a->used, held - u->held, memory_order_relaxed);
    else if (a)
        atomic_fetch_sub_explicit(&a->used, u->held - held, memory_order_relaxed);
    s->env->unfinished_held = s->env->unfinished_held - u->held + held;
    change_size(s->env, u, held);
}

void wsg_unfinished_end(struct wsg_session *s)
{
    if (!s->unfinished)
        return;
    account(s, 0);
    DL_DELETE(s->env->unfinished[0], s->unfinished);
    free(s->unfinished);
    s->unfinished = NULL;
}

/* One that holds much: who sends little, however slowly, is not ended because others send much. */
static struct wsg_unfinished *largest(const struct wsg_env *env)
{
    for (size_t size = WSG_UNFINISHED_SIZES; size-- > 0;) {
        if (env->unfinished[size])
            return env->unfinished[size];
    }
    return NULL;
}

/* A worker with no more than its share ends nobody: where others have too much, they make room. */
static void make_room(struct wsg_env *env)
{
    const struct wsg_unfinished_account *a = env->unfinished_account;
    struct wsg_unfinished *u;
    while (a && env->unfinished_held > a->share && atomic_load_explicit(&a->used, memory_order_relaxed) > a->max &&
           (u = largest(env)) != NULL)
        wsg_websocket_give_up(u->session, WSG_ENDED_UNFINISHED, WSB_CLOSE_TRY_AGAIN_LATER,
                              "too many unfinished messages");
}

/* After our Close frame there is only the deadline of the closing handshake, and nothing is charged. */
static void charge(struct wsg_session *s, bool is_new)
{
    size_t arrived = wsb_ws_in_arrived(&s->in.ws);
    size_t more = arrived > s->unfinished->charged ? arrived - s->unfinished->charged : 0;
    s->unfinished->charged += more;
    if (is_new && s->route->policy.message_timeout_ms)
        wsg_deadlines_arm(s);
    wsg_terms_charge_bytes(s, more); /* it may end the session */
}

/* More of it has come. */
static void grow(struct wsg_session *s, size_t held)
{
    bool is_new = !s->unfinished;
    if (is_new && !begin(s)) {
        wsg_websocket_give_up(s, WSG_ENDED_MEMORY, WSB_CLOSE_TRY_AGAIN_LATER, "out of memory");
        return;
    }
    account(s, held);
    if (s->state == WSG_SESSION_OPEN)
        charge(s, is_new);
    make_room(s->env);
}

void wsg_unfinished_follow(struct wsg_session *s)
{
    bool is_reading = s->state == WSG_SESSION_OPEN || s->state == WSG_SESSION_CLOSING;
    size_t held = is_reading ? wsb_ws_in_held(&s->in.ws) + wsg_compress_held(s) : 0;
    if (held)
        grow(s, held);
    else
        wsg_unfinished_end(s);
}

size_t wsg_unfinished_rest(struct wsg_session *s, size_t len)
{
    size_t charged = s->unfinished ? s->unfinished->charged : 0;
    wsg_unfinished_end(s);
    return len > charged ? len - charged : 0;
}
