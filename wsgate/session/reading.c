#include "session/reading.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "session/compress.h"
#include "session/parts.h"
#include "session/secure.h"

enum {
    DISCARD_MAX = 32 << 20,
    OUTBOX_SOFT = 8 << 20,
    UNSTALL_STEP = 64 /* as many as a round hears */
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* What epoll waits for follows from the state, here and nowhere else. */
void wsg_session_watch(struct wsg_session *s)
{
    uint32_t events = 0;
    if (s->state != WSG_SESSION_DEAD && s->exchange)
        wsg_body_check(s);
    if (s->state == WSG_SESSION_DEAD)
        return;
    if (s->paused == 0 && !s->is_stalled && !s->read_ended)
        events |= EPOLLIN;
    else if ((s->paused & WSG_PAUSE_EXCHANGE) && !s->half_closed && !(s->unread && s->unread->end))
        events |= EPOLLRDHUP; /* the client says no more, or is gone */
    if (s->wants_write)
        events |= EPOLLOUT;
    wsg_loop_rewatch(s->env->loop, &s->watch, events);
}

/* ---------------------------------------------------------------- what came and waits */

static void leave_line(struct wsg_session *s)
{
    if (!s->unread || !s->unread->is_in_line)
        return;
    if (s->unread->is_held)
        DL_DELETE(s->env->turns.held, s->unread);
    else
        DL_DELETE(s->env->turns.line, s->unread);
    s->env->turns.count--;
    s->unread->is_in_line = false;
}

void wsg_session_drop_unread(struct wsg_session *s)
{
    struct wsg_unread *u = s->unread;
    if (!u)
        return;
    leave_line(s);
    if (u->is_dropped)
        *u->is_dropped = true;
    wsb_buf_deinit(&u->bytes);
    free(u);
    s->unread = NULL;
    s->paused &= (uint8_t)~WSG_PAUSE_TURN;
}

static struct wsg_unread *unread_of(struct wsg_session *s)
{
    if (s->unread)
        return s->unread;
    s->unread = calloc(1, sizeof *s->unread);
    if (!s->unread)
        return NULL;
    s->unread->owner = s;
    wsb_buf_init(&s->unread->bytes, 0);
    return s->unread;
}

void wsg_session_keep_unread(struct wsg_session *s, const uint8_t *data, size_t len)
{
    if (s->state == WSG_SESSION_DEAD || len == 0)
        return;
    struct wsg_unread *u = unread_of(s);
    if (!u || wsb_buf_append(&u->bytes, data, len) != WSB_OK)
        wsg_session_end_of_input(s, "out of memory");
}

/* Its turn is over, and there may be more to use. */
static void give_way(struct wsg_session *s)
{
    struct wsg_unread *u = unread_of(s);
    if (!u) {
        wsg_session_end_of_input(s, "out of memory"); /* whoever was told of it is told of its end */
        return;
    }
    struct wsg_turns *t = &s->env->turns;
    u->is_in_line = true;
    u->is_held = wsg_compress_held(s) != 0;
    if (!u->is_held)
        DL_APPEND(t->line, u);
    else if (t->is_finishing)
        DL_PREPEND(t->held, u);
    else
        DL_APPEND(t->held, u);
    t->count++;
    wsg_session_set_paused(s, WSG_PAUSE_TURN, true);
}

/* ------------------------------------------------------------------------- using it */

/* The bus is behind, or will be when this round is over. */
static bool is_full(const struct wsg_env *env)
{
    return env->outbox_full || env->outbox.buf.len > OUTBOX_SOFT;
}

static bool reads(const struct wsg_session *s)
{
    return s->paused == 0 && s->state != WSG_SESSION_DEAD;
}

/* Use as much of the bytes as can be used now, and in one turn. */
static size_t process(struct wsg_session *s, const uint8_t *data, size_t len)
{
    struct wsg_turns *turns = &s->env->turns;
    int64_t least = turns->left > WSG_WORK_TURN ? turns->left - WSG_WORK_TURN : 0;
    size_t used = 0;
    wsb_err err = WSB_OK;
    while (!err && reads(s) && turns->left > least) {
        size_t step = 0;
        switch ((enum wsg_session_state)s->state) {
        case WSG_SESSION_HTTP:
        case WSG_SESSION_EXCHANGE:
            err = wsg_exchange_step(s, data + used, len - used, &step);
            wsg_turns_charge(turns, WSG_WORK_HTTP + (step >> 10));
            break;
        case WSG_SESSION_OPEN:
        case WSG_SESSION_CLOSING:
            err = wsg_websocket_step(s, data + used, len - used, &step);
            wsg_turns_charge(turns, WSG_WORK_MESSAGE + (step >> 9));
            break;
        case WSG_SESSION_LINGER:
            step = len - used; /* too late for anything */
            err = WSB_MORE;
            break;
        case WSG_SESSION_PROXY:
        case WSG_SESSION_SECURING:
        case WSG_SESSION_PENDING:
        case WSG_SESSION_DEAD:
            return len;
        }
        used += step;
    }
    if (!err && reads(s) && s->state != WSG_SESSION_LINGER)
        give_way(s);
    return used;
}

static void process_unread(struct wsg_session *s)
{
    struct wsg_unread *u = s->unread;
    bool is_dropped = false; /* by a goodbye, and there may be another one in its place */
    u->is_dropped = &is_dropped;
    size_t used = process(s, u->bytes.data, u->bytes.len);
    if (is_dropped)
        return;
    u->is_dropped = NULL;
    if (s->state == WSG_SESSION_DEAD)
        return;
    if (u->is_in_line || used < u->bytes.len || wsg_compress_held(s)) {
        wsb_buf_consume(&u->bytes, used);
        return;
    }
    bool is_quiet_due = u->is_quiet_due;
    wsg_session_drop_unread(s);
    if (is_quiet_due)
        wsg_session_quiet(s);
    if (s->state == WSG_SESSION_HTTP && wsg_secure_has_ended(s)) /* that was all, and it is answered */
        wsg_session_half_close(s, "the client closed the connection");
}

/* Nothing is in its way any more: what waits is used. */
static void go_on(struct wsg_session *s)
{
    const char *end = s->unread->end;
    process_unread(s);
    if (s->in_is_ws)
        wsg_unfinished_follow(s);
    if (end && s->state != WSG_SESSION_DEAD)
        wsg_session_half_close(s, end); /* or it still comes behind something */
}

static int64_t debt_of(int64_t left)
{
    int64_t debt = left < 0 ? left : 0;
    return debt > -WSG_WORK_DEBT ? debt : -WSG_WORK_DEBT;
}

static void have_turn(struct wsg_session *s)
{
    leave_line(s);
    wsg_session_set_paused(s, WSG_PAUSE_TURN, false);
}

/* One step for the first one of whom a message is half unpacked, beside what others may have. */
static void finish_message(struct wsg_env *env)
{
    struct wsg_turns *t = &env->turns;
    if (!t->held || is_full(env))
        return;
    t->left = WSG_WORK_LINE;
    t->is_finishing = true;
    have_turn(t->held->owner);
    t->is_finishing = false;
}

/* Those in line and the events pay for themselves alone: who is in line does not keep others from being read. */
void wsg_sessions_go_on(struct wsg_env *env)
{
    struct wsg_turns *t = &env->turns;
    int64_t events_debt = debt_of(t->left);
    finish_message(env);
    t->left = t->line_debt + WSG_WORK_LINE;
    while (t->line && t->left > 0 && !is_full(env)) /* whose turn is over again is behind the others */
        have_turn(t->line->owner);
    t->line_debt = debt_of(t->left);
    t->left = events_debt + WSG_WORK_EVENTS;
}

/* After our goodbye a message may still be on its way, but not a flood. */
static bool sends_too_much(struct wsg_session *s, size_t len)
{
    if (s->state != WSG_SESSION_CLOSING && s->state != WSG_SESSION_LINGER)
        return false;
    s->discarded += (uint32_t)len;
    return s->discarded > DISCARD_MAX;
}

void wsg_session_take_bytes(struct wsg_session *s, const uint8_t *data, size_t len)
{
    if (s->in_is_ws)
        s->heard_ms = (uint32_t)wsg_loop_now_ms(s->env->loop);
    if (!s->in_is_ws || wsb_ws_in_held(&s->in.ws))
        s->active_ms = wsg_loop_now_ms(s->env->loop); /* of a WebSocket only what is part of a message counts */
    if (sends_too_much(s, len)) {
        wsg_session_end_of_input(s, "does not stop sending");
        return;
    }
    if (!s->unread) {
        size_t used = process(s, data, len);
        wsg_session_keep_unread(s, data + used, len - used);
    } else {
        wsg_session_keep_unread(s, data, len);
        if (s->state != WSG_SESSION_DEAD)
            process_unread(s);
    }
    if (s->in_is_ws)
        wsg_unfinished_follow(s);
}

/* ---------------------------------------------------------------------- its end */

void wsg_session_end_of_input(struct wsg_session *s, const char *why)
{
    switch ((enum wsg_session_state)s->state) {
    case WSG_SESSION_EXCHANGE:
        wsg_exchange_abort(s, "the client went away");
        break;
    case WSG_SESSION_PENDING:
        wsg_emit_closed(s, WSG_BY_CLIENT, 1006, wsb_span_str("the client went away"), /*clean=*/false);
        s->exchange->is_sent = false;
        wsg_session_kill(s, why);
        break;
    case WSG_SESSION_OPEN:
    case WSG_SESSION_CLOSING:
        wsg_websocket_lost(s, why);
        break;
    case WSG_SESSION_PROXY:
    case WSG_SESSION_SECURING:
    case WSG_SESSION_HTTP:
    case WSG_SESSION_LINGER:
        wsg_session_kill(s, why);
        break;
    case WSG_SESSION_DEAD:
        break;
    }
}

/*
 * A client that has said all that it has to say, and waits for the answer. One that has closed its connection looks the same
 * until something is sent to it, which is why a route may take it for gone. A stream of events has no end to wait for.
 */
static bool waits_for_response(const struct wsg_session *s)
{
    return s->state == WSG_SESSION_EXCHANGE && s->exchange->request_complete && !s->exchange->is_events &&
           !(s->route && s->route->policy.half_close_aborts);
}

/*
 * What it has said before is not used yet, because somebody is not ready for it; with TLS the end may come with the same read. While a
 * response is under way, the next request that waits does not keep the client from being told of; nor does what is behind a handshake that
 * a gatekeeper has not answered.
 */
static bool comes_behind(const struct wsg_session *s)
{
    bool is_answering = s->state == WSG_SESSION_EXCHANGE && s->exchange->request_complete;
    return s->unread && s->paused && s->state != WSG_SESSION_PENDING && (!is_answering || (s->paused & WSG_PAUSE_TURN));
}

void wsg_session_half_close(struct wsg_session *s, const char *why)
{
    if (comes_behind(s)) {
        s->unread->end = why;
        wsg_session_watch(s); /* it is known, and would be told of again and again */
        return;
    }
    if (waits_for_response(s)) {
        s->half_closed = true;
        wsg_session_watch(s);
        return;
    }
    bool owes = s->out.bytes > 0 && (s->state == WSG_SESSION_HTTP || s->state == WSG_SESSION_LINGER);
    if (!owes) {
        wsg_session_end_of_input(s, why);
        return;
    }
    s->read_ended = true;
    wsg_session_linger(s);
}

/* ------------------------------------------------------------------- the socket */

static void stall(struct wsg_session *s)
{
    if (!s->is_stalled) {
        struct wsg_env *env = s->env;
        s->is_stalled = true;
        s->stalled.next = NULL;
        s->stalled.link = env->stalled ? env->stalled_end : &env->stalled;
        *s->stalled.link = s;
        env->stalled_end = &s->stalled.next;
    }
    wsg_session_watch(s);
}

static void on_readable(struct wsg_session *s)
{
    size_t len;
    if (is_full(s->env)) {
        stall(s);
        return;
    }
    if (s->state == WSG_SESSION_PROXY) {
        wsg_gatekeeping_read_proxy(s);
        return;
    }
    if (s->secure) {
        wsg_secure_read(s);
        return;
    }
    wsb_err err = wsg_socket_read(s->watch.fd, s->env->scratch, WSG_SCRATCH_BYTES, &len);
    if (err == WSB_OK)
        wsg_session_take_bytes(s, s->env->scratch, len);
    else if (err == WSB_CLOSED)
        wsg_session_half_close(s, "the client closed the connection");
    else if (err != WSB_AGAIN)
        wsg_session_end_of_input(s, "the connection was reset");
}

void wsg_session_on_socket(struct wsg_watch *w, uint32_t events)
{
    struct wsg_session *s = CONTAINER(w, struct wsg_session, watch);
    if ((events & EPOLLOUT) && s->state != WSG_SESSION_DEAD)
        wsg_session_mark_dirty(s);
    if ((events & EPOLLIN) && s->env->turns.left <= 0) {
        return; /* its bytes stay where they are, and it is told of them again in the next round */
    } else if ((events & EPOLLIN) && reads(s) && !s->is_stalled) {
        struct wsg_env *env = s->env;
        env->outbox.is_reading = true;
        on_readable(s);
        env->outbox.is_reading = false;
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        wsg_session_end_of_input(s, "the connection was reset");
    } else if ((events & EPOLLRDHUP) && (s->paused & WSG_PAUSE_EXCHANGE)) {
        wsg_session_half_close(s, "the client closed the connection");
    } else if (events & EPOLLRDHUP) {
        wsg_session_watch(s); /* it is read again: what came in front of the end is read first */
    }
}

/* -------------------------------------------------------------------- pauses */

static void begin_pause(struct wsg_session *s)
{
    s->paused |= WSG_PAUSE_HANDLER;
    s->paused_ms = wsg_loop_now_ms(s->env->loop);
    if (s->route)
        wsg_count(&s->route->tally.pauses, 1);
}

void wsg_session_end_pause(struct wsg_session *s)
{
    if (!(s->paused & WSG_PAUSE_HANDLER))
        return;
    s->paused &= (uint8_t)~WSG_PAUSE_HANDLER;
    if (s->route)
        wsg_count(&s->route->tally.paused_ms, wsg_loop_now_ms(s->env->loop) - s->paused_ms);
}

void wsg_session_set_paused(struct wsg_session *s, uint8_t reason, bool on)
{
    uint8_t before = s->paused;
    uint8_t after = (uint8_t)(on ? before | reason : before & ~reason);
    if (s->state == WSG_SESSION_DEAD || after == before)
        return;
    if (reason & WSG_PAUSE_HANDLER) {
        if (on)
            begin_pause(s);
        else
            wsg_session_end_pause(s);
    }
    s->paused = after;
    if (before && !s->paused && s->unread && !s->unread->is_dropped) /* or it is being used */
        go_on(s);
    if (on || !s->is_dirty) /* or it is read again when it is its turn to be written to */
        wsg_session_watch(s);
}

static void leave_stalled(struct wsg_session *s)
{
    if (!s->is_stalled)
        return;
    s->is_stalled = false;
    *s->stalled.link = s->stalled.next;
    if (s->stalled.next)
        s->stalled.next->stalled.link = s->stalled.link;
    else
        s->env->stalled_end = s->stalled.link;
}

void wsg_session_stop_reading(struct wsg_session *s)
{
    leave_stalled(s);
    leave_line(s);
}

void wsg_sessions_unstall(struct wsg_env *env)
{
    for (int turn = 0; turn < UNSTALL_STEP && env->stalled; turn++) {
        struct wsg_session *s = env->stalled;
        leave_stalled(s);
        wsg_session_watch(s);
    }
}
