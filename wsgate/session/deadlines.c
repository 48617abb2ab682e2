/*
 * What an open WebSocket may do, and how long: pings and their answers, idleness, age, the time of a token, messages and
 * bytes a second. One timer serves all of it.
 */
#include <stdlib.h>

#include "session/compress.h"
#include "session/parts.h"
#include "session/quota.h"
#include "ws/close.h"
#include "ws/frame.h"

static struct wsg_quota_limits quota_limits(const struct wsg_route_policy *p)
{
    return (struct wsg_quota_limits){p->message_rate, p->message_burst, p->byte_rate, p->byte_burst};
}

/* Not all at once, when all came at once: up to a tenth earlier, by the connection's id. */
static uint64_t lifetime_end_ms(const struct wsg_session *s)
{
    uint64_t lifetime_ms = s->route->policy.lifetime_ms;
    return s->opened_ms + lifetime_ms - (s->id * 0x9e3779b97f4a7c15u >> 32) % (lifetime_ms / 10 + 1);
}

static uint64_t idle_end_ms(const struct wsg_session *s)
{
    uint64_t latest_ms = s->active_ms > s->sent_ms ? s->active_ms : s->sent_ms;
    return latest_ms + s->route->policy.idle_timeout_ms;
}

/* When we ping next, or stop waiting for the answer to the one that is under way. */
static uint64_t ping_due_ms(const struct wsg_session *s, uint64_t now_ms)
{
    const struct wsg_route_policy *p = &s->route->policy;
    uint32_t since_ms = (uint32_t)now_ms - s->heard_ms; /* intervals are shorter than what 32 bits count */
    uint64_t heard_ms = now_ms - since_ms;
    if (!s->alive_ping_us)
        return heard_ms + p->ping_interval_ms;
    uint64_t sent_ms =
        (s->alive_ping_us + 999) / 1000; /* its pong may be behind what it sends, and behind what it has to read */
    return (heard_ms > sent_ms ? heard_ms : sent_ms) + p->ping_timeout_ms;
}

/* The client has taken something of the output since that was last looked at. What the kernel has is not taken yet. */
static bool takes_something(struct wsg_session *s)
{
    size_t waits = wsg_socket_unread(s->watch.fd);
    uint32_t taken = (uint32_t)(s->out.written > waits ? s->out.written - waits : 0);
    bool is_more = (int32_t)(taken - s->taken) > 0;
    s->taken = taken;
    return is_more;
}

static uint64_t message_end_ms(const struct wsg_session *s)
{
    return s->unfinished->since_ms + s->route->policy.message_timeout_ms;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One timer for all that may end or check an open connection. It may come early: then it is set again. */
void wsg_deadlines_arm(struct wsg_session *s)
{
    const struct wsg_route_policy *p = &s->route->policy;
    uint64_t now_ms = wsg_loop_now_ms(s->env->loop);
    uint64_t due_ms = UINT64_MAX;
    if (p->ping_interval_ms || s->alive_ping_us)
        due_ms = ping_due_ms(s, now_ms);
    if (p->idle_timeout_ms)
        due_ms = earlier(due_ms, idle_end_ms(s));
    if (p->lifetime_ms)
        due_ms = earlier(due_ms, lifetime_end_ms(s));
    if (p->message_timeout_ms && s->unfinished && !wsg_compress_held(s)) /* or all of it is here */
        due_ms = earlier(due_ms, message_end_ms(s));
    if (s->terms)
        due_ms = earlier(due_ms, s->terms->until_ms);
    if (s->paused & WSG_PAUSE_RATE) {
        struct wsg_quota_limits limits = quota_limits(p);
        due_ms = earlier(due_ms, now_ms + wsg_quota_wait_ms(&s->terms->quota, &limits, now_ms));
    }
    if (due_ms == UINT64_MAX)
        wsg_loop_disarm(s->env->loop, &s->timer);
    else
        wsg_session_set_timer(s, (uint32_t)earlier(due_ms > now_ms ? due_ms - now_ms : 1, UINT32_MAX));
}

/* When the token of a connection that ends with it is good no more, in the loop's time. */
static uint64_t token_end_ms(const struct wsg_session *s)
{
    const json_t *claims = s->exchange ? s->exchange->claims : NULL;
    if (!s->route->policy.ends_with_token || !claims)
        return UINT64_MAX;
    uint64_t now_ms = wsg_loop_now_ms(s->env->loop);
    uint64_t wall_ms = wsg_loop_wall_ns(s->env->loop) / 1000000;
    uint64_t expiry_ms = wsg_claims_expiry_ms(claims);
    if (expiry_ms == UINT64_MAX)
        return UINT64_MAX;
    expiry_ms += s->env->gatekeeping->tokens[s->route->index].rules.leeway_ms; /* as long as it would let a client in */
    return expiry_ms > wall_ms ? now_ms + (expiry_ms - wall_ms) : now_ms;
}

/* Before the exchange is forgotten. */
bool wsg_terms_begin(struct wsg_session *s)
{
    struct wsg_quota_limits limits = quota_limits(&s->route->policy);
    bool has_quota = limits.message_rate || limits.byte_rate;
    uint64_t until_ms = token_end_ms(s);
    struct wsg_access_note *note = s->exchange ? s->exchange->note : NULL;
    if (!has_quota && until_ms == UINT64_MAX && !note)
        return true;
    s->terms = malloc(sizeof *s->terms);
    if (!s->terms)
        return false;
    *s->terms = (struct wsg_terms){.has_quota = has_quota, .until_ms = until_ms, .note = note};
    if (note)
        s->exchange->note = NULL;
    wsg_quota_init(&s->terms->quota, &limits, wsg_loop_now_ms(s->env->loop));
    return true;
}

void wsg_terms_free(struct wsg_session *s)
{
    if (s->terms)
        free(s->terms->note);
    free(s->terms);
    s->terms = NULL;
}

static bool has_rates(const struct wsg_session *s)
{
    return s->terms && s->terms->has_quota && s->state == WSG_SESSION_OPEN;
}

/* It has been charged: is it too much? */
static void look_at_rates(struct wsg_session *s)
{
    uint64_t now_ms = wsg_loop_now_ms(s->env->loop);
    struct wsg_quota_limits limits = quota_limits(&s->route->policy);
    if (wsg_quota_wait_ms(&s->terms->quota, &limits, now_ms) == 0)
        return;
    if (s->route->policy.over_rate == WSG_RATE_CLOSE) {
        wsg_websocket_end(s, WSG_ENDED_RATE, WSB_CLOSE_POLICY, "too many messages");
        return;
    }
    wsg_count(&s->route->tally.rate_pauses, 1);
    wsg_session_set_paused(s, WSG_PAUSE_RATE, true);
    wsg_deadlines_arm(s);
}

/* Whatever makes work counts, pings too. */
void wsg_terms_charge(struct wsg_session *s, size_t bytes)
{
    struct wsg_quota_limits limits = quota_limits(&s->route->policy);
    if (!has_rates(s))
        return;
    wsg_quota_charge(&s->terms->quota, &limits, bytes, wsg_loop_now_ms(s->env->loop));
    look_at_rates(s);
}

void wsg_terms_charge_bytes(struct wsg_session *s, size_t bytes)
{
    struct wsg_quota_limits limits = quota_limits(&s->route->policy);
    if (!bytes || !has_rates(s) || s->paused & WSG_PAUSE_RATE)
        return;
    wsg_quota_charge_bytes(&s->terms->quota, &limits, bytes, wsg_loop_now_ms(s->env->loop));
    look_at_rates(s);
}

static bool token_is_over(const struct wsg_session *s)
{
    return s->terms && wsg_loop_now_ms(s->env->loop) >= s->terms->until_ms;
}

bool wsg_websocket_is_over(const struct wsg_session *s)
{
    bool is_old = s->route && s->route->policy.lifetime_ms && wsg_loop_now_ms(s->env->loop) >= lifetime_end_ms(s);
    return s->state == WSG_SESSION_OPEN && (is_old || token_is_over(s));
}

static void ping_if_due(struct wsg_session *s, uint64_t now_ms)
{
    if (s->alive_ping_us || !s->route->policy.ping_interval_ms || now_ms < ping_due_ms(s, now_ms))
        return;
    (void)takes_something(s);
    uint64_t before = s->out.queued;
    if (wsg_deliver_has_room(s, 0) && wsg_websocket_append(s, WSB_OP_PING, wsb_span(NULL, 0)) == WSB_OK)
        s->alive_ping_us = wsg_loop_now_us(s->env->loop);
    else
        s->heard_ms = (uint32_t)now_ms;             /* no room for it: in an interval again */
    s->taken += (uint32_t)(s->out.queued - before); /* that the kernel takes the ping is no sign of life */
}

static void resume_if_due(struct wsg_session *s, uint64_t now_ms)
{
    struct wsg_quota_limits limits = quota_limits(&s->route->policy);
    if ((s->paused & WSG_PAUSE_RATE) && wsg_quota_wait_ms(&s->terms->quota, &limits, now_ms) == 0)
        wsg_session_set_paused(s, WSG_PAUSE_RATE, false);
}

void wsg_websocket_timer(struct wsg_session *s)
{
    const struct wsg_route_policy *p = &s->route->policy;
    uint64_t now_ms = wsg_loop_now_ms(s->env->loop);
    if (s->alive_ping_us && (s->paused & WSG_PAUSE_RATE))
        s->alive_ping_us = wsg_loop_now_us(s->env->loop); /* its pong may be among what we do not read */
    if (s->state == WSG_SESSION_CLOSING) {
        wsg_websocket_lost(s, "closing handshake timed out");
    } else if (token_is_over(s)) {
        wsg_websocket_end(s, WSG_ENDED_TOKEN, WSB_CLOSE_POLICY, "the token has expired");
    } else if (wsg_websocket_is_over(s)) {
        wsg_websocket_end(s, WSG_ENDED_LIFETIME, WSB_CLOSE_GOING_AWAY, "lifetime is over");
    } else if (p->message_timeout_ms && s->unfinished && !wsg_compress_held(s) && now_ms >= message_end_ms(s)) {
        wsg_websocket_give_up(s, WSG_ENDED_MESSAGE, WSB_CLOSE_POLICY, "the message takes too long");
    } else if (s->alive_ping_us && now_ms >= ping_due_ms(s, now_ms) && takes_something(s)) {
        s->heard_ms = (uint32_t)now_ms; /* slow, and alive */
        wsg_deadlines_arm(s);
    } else if (s->alive_ping_us && now_ms >= ping_due_ms(s, now_ms)) {
        wsg_count(&s->route->tally.ended[WSG_ENDED_PING], 1);
        wsg_websocket_lost(s, "no answer to a ping");
    } else if (p->idle_timeout_ms && now_ms >= idle_end_ms(s)) {
        wsg_websocket_end(s, WSG_ENDED_IDLE, WSB_CLOSE_GOING_AWAY, "idle");
    } else {
        ping_if_due(s, now_ms);
        resume_if_due(s, now_ms);
        if (s->state == WSG_SESSION_OPEN)
            wsg_deadlines_arm(s);
    }
}
