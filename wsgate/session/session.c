/*
 * What happens to a client while it is there: its socket, its timer, the end of a round. The socket is read into the worker's
 * one scratch buffer, so that an idle connection holds none; what cannot be used at once is kept in `unread`.
 */
#include "session/session.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "session/compress.h"
#include "http/gzip.h"
#include "session/parts.h"

enum {
    DISCARD_MAX = 32 << 20,
    OUTBOX_SOFT = 8 << 20,
    UNSTALL_STEP = 64,  /* as many as a round hears */
    OUR_DOING_MS = 5000 /* how often a client is looked at that we do not read */
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

const char *wsg_by_name(enum wsg_by by)
{
    static const char *const names[] = {"client", "handler", "gate", "network", "admin"};
    return names[by];
}

const char *wsg_session_describe(const struct wsg_session *s)
{
    switch ((enum wsg_session_state)s->state) {
    case WSG_SESSION_PROXY:
        return "HTTP(server, CONNECTING)";
    case WSG_SESSION_SECURING:
        return "TLS(server, HANDSHAKE)";
    case WSG_SESSION_HTTP:
        return s->request_begun ? "HTTP(server, READING)" : "HTTP(server, IDLE)";
    case WSG_SESSION_EXCHANGE:
        return s->exchange && s->exchange->response_begun ? "HTTP(server, RESPONDING)" : "HTTP(server, WAITING)";
    case WSG_SESSION_PENDING:
        return "WebSocket(server, CONNECTING)";
    case WSG_SESSION_OPEN:
        return s->is_dialed ? "WebSocket(client, CONNECTED)" : "WebSocket(server, CONNECTED)";
    case WSG_SESSION_CLOSING:
        return s->is_dialed ? "WebSocket(client, CLOSING)" : "WebSocket(server, CLOSING)";
    case WSG_SESSION_LINGER:
    case WSG_SESSION_DEAD:
        return s->is_dialed  ? "WebSocket(client, CLOSED)"
               : s->in_is_ws ? "WebSocket(server, CLOSED)"
                             : "HTTP(server, CLOSED)";
    }
    return "";
}

/* ------------------------------------------------------------------ the env */

wsb_err wsg_env_init(struct wsg_env *env)
{
    env->scratch = malloc(WSG_SCRATCH_BYTES);
    env->traffic = calloc(env->routes->count ? env->routes->count : 1, sizeof *env->traffic);
    wsg_outbox_init(&env->outbox, 0);
    wsb_buf_init(&env->text, 0);
    wsb_buf_init(&env->text2, 0);
    wsb_buf_init(&env->packed, 0);
    env->date_s = -1;
    if (!env->scratch || !env->traffic)
        return WSB_ERR_NOMEM;
    return env->deflate_account ? wsb_deflate_shared_new(&env->deflate, env->deflate_account) : WSB_OK;
}

void wsg_env_deinit(struct wsg_env *env)
{
    free(env->scratch);
    free(env->traffic);
    free(env->masks);
    env->scratch = NULL;
    wsg_secure_env_deinit(&env->secure);
    env->traffic = NULL;
    wsg_compress_round_end(env);
    wsb_deflate_shared_free(env->deflate);
    env->deflate = NULL;
    wsg_outbox_deinit(&env->outbox);
    wsb_buf_deinit(&env->text);
    wsb_buf_deinit(&env->text2);
    wsb_buf_deinit(&env->packed);
    wsg_gzip_free(env->gzip);
    env->gzip = NULL;
    wsg_chunk_pool_deinit(&env->pool);
    wsg_slots_deinit(&env->slots);
}

const char *wsg_env_date(struct wsg_env *env)
{
    int64_t now_s = (int64_t)(wsg_loop_wall_ns(env->loop) / 1000000000u);
    if (now_s != env->date_s) {
        env->date_s = now_s;
        wsg_http_date_format(now_s, env->date);
    }
    return env->date;
}

/* ------------------------------------------------------------ small helpers */

void wsg_session_set_timer(struct wsg_session *s, uint32_t after_ms)
{
    if (wsg_loop_arm(s->env->loop, &s->timer, wsg_loop_now_ms(s->env->loop) + after_ms) != WSB_OK)
        wsg_session_kill(s, "out of memory");
}

wsb_err wsg_session_renew_id(struct wsg_session *s)
{
    return wsg_slots_renew(&s->env->slots, &s->id);
}

/* What epoll waits for follows from the state, here and nowhere else. */
void wsg_session_watch(struct wsg_session *s)
{
    uint32_t events = 0;
    if (s->exchange)
        wsg_body_check(s);
    if (s->state == WSG_SESSION_DEAD)
        return;
    if (s->paused == 0 && !s->is_stalled && !s->read_ended)
        events |= EPOLLIN;
    else if ((s->paused & WSG_PAUSE_EXCHANGE) && !s->half_closed)
        events |= EPOLLRDHUP; /* the client says no more, or is gone */
    if (s->wants_write)
        events |= EPOLLOUT;
    wsg_loop_rewatch(s->env->loop, &s->watch, events);
}

/* ------------------------------------------------------------------ reading */

static bool reads(const struct wsg_session *s)
{
    return s->paused == 0 && s->state != WSG_SESSION_DEAD;
}

/* Use as much of the bytes as can be used now. */
static size_t process(struct wsg_session *s, const uint8_t *data, size_t len)
{
    size_t used = 0;
    wsb_err err = WSB_OK;
    while (!err && reads(s)) {
        size_t step = 0;
        switch ((enum wsg_session_state)s->state) {
        case WSG_SESSION_HTTP:
        case WSG_SESSION_EXCHANGE:
            err = wsg_exchange_step(s, data + used, len - used, &step);
            break;
        case WSG_SESSION_OPEN:
        case WSG_SESSION_CLOSING:
            err = wsg_websocket_step(s, data + used, len - used, &step);
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
    return used;
}

void wsg_session_drop_unread(struct wsg_session *s)
{
    if (!s->unread)
        return;
    wsb_buf_deinit(s->unread);
    free(s->unread);
    s->unread = NULL;
}

void wsg_session_keep_unread(struct wsg_session *s, const uint8_t *data, size_t len)
{
    if (s->state == WSG_SESSION_DEAD || len == 0)
        return;
    if (!s->unread)
        s->unread = calloc(1, sizeof *s->unread);
    if (!s->unread || wsb_buf_append(s->unread, data, len) != WSB_OK)
        wsg_session_kill(s, "out of memory");
}

static void process_unread(struct wsg_session *s)
{
    size_t used = process(s, s->unread->data, s->unread->len);
    if (s->state == WSG_SESSION_DEAD || !s->unread) /* a goodbye drops it */
        return;
    if (used < s->unread->len)
        wsb_buf_consume(s->unread, used);
    else
        wsg_session_drop_unread(s);
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

void wsg_session_half_close(struct wsg_session *s, const char *why)
{
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
    if (s->env->outbox_full || s->env->outbox.buf.len > OUTBOX_SOFT) {
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
    if ((events & EPOLLIN) && reads(s) && !s->is_stalled) {
        struct wsg_env *env = s->env;
        env->outbox.is_reading = true;
        on_readable(s);
        env->outbox.is_reading = false;
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        wsg_session_end_of_input(s, "the connection was reset");
    } else if (events & EPOLLRDHUP) {
        wsg_session_half_close(s, "the client closed the connection");
    }
}

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
    if (before && !s->paused && s->unread) {
        process_unread(s);
        if (s->in_is_ws)
            wsg_unfinished_follow(s);
    }
    if (on || !s->is_dirty) /* or it is read again when it is its turn to be written to */
        wsg_session_watch(s);
}

void wsg_session_leave_stalled(struct wsg_session *s)
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

void wsg_sessions_unstall(struct wsg_env *env)
{
    for (int turn = 0; turn < UNSTALL_STEP && env->stalled; turn++) {
        struct wsg_session *s = env->stalled;
        wsg_session_leave_stalled(s);
        wsg_session_watch(s);
    }
}

/* ------------------------------------------------------------------ writing */

void wsg_session_end_receipt(struct wsg_session *s, struct wsg_receipt *r, enum wsb_outcome outcome, const char *reason)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    else
        s->receipts_end = r->link;
    s->receipt_count--;
    wsg_emit_outcome(s, r->origin, r->seq, outcome, reason);
    free(r);
}

/* The outcome of a command is known when the kernel has everything queued so far. */
struct wsg_receipt *wsg_session_add_receipt(struct wsg_session *s, const struct wsg_command *c)
{
    if (!(c->flags & WSB_FLAG_WANT_OUTCOME))
        return NULL;
    struct wsg_receipt *r = malloc(sizeof *r);
    if (!r) {
        wsg_emit_outcome(s, c->origin, c->seq, WSB_OUTCOME_DROPPED,
                         "out of memory for the outcome; the message was queued");
        return NULL;
    }
    *r = (struct wsg_receipt){.link = s->receipts_end, .end = s->out.queued, .origin = c->origin, .seq = c->seq};
    *s->receipts_end = r;
    s->receipts_end = &r->next;
    s->receipt_count++;
    return r;
}

/* What counts against the limit of the queue: keys, and empty messages with outcomes, cost memory too. */
size_t wsg_session_waiting(const struct wsg_session *s)
{
    return s->out.bytes + s->out.extra + (size_t)s->receipt_count * WSG_RECEIPT_BYTES;
}

void wsg_sessions_count(struct wsg_env *env)
{
    struct wsg_traffic *t;
    while ((t = env->listed) != NULL) {
        struct wsg_route_tally *tally = &env->routes->routes[t - env->traffic].tally;
        env->listed = t->next;
        wsg_count(&tally->messages_in, t->messages_in);
        wsg_count(&tally->bytes_in, t->bytes_in);
        wsg_count(&tally->messages_out, t->messages_out);
        wsg_count(&tally->bytes_out, t->bytes_out);
        *t = (struct wsg_traffic){0};
    }
}

/* -------------------------------------------------------------------- time */

bool wsg_session_has_taken(struct wsg_session *s)
{
    uint64_t written = s->out.written + (s->secure ? wsg_secure_sent(s) : 0);
    if (s->out.bytes == 0 || written == s->written_then)
        return false;
    s->written_then = written;
    return true;
}

/* A client that is still taking what it asked for is not idle, however long it takes. */
static bool is_taking(struct wsg_session *s)
{
    if (!wsg_session_has_taken(s))
        return false;
    wsg_session_set_timer(s, s->env->keepalive_timeout_ms);
    return true;
}

/* A request whose handler takes none of its body for as long as a response may last: there will be no response. */
static bool is_forgotten(const struct wsg_session *s)
{
    return (s->paused & WSG_PAUSE_HANDLER) &&
           wsg_loop_now_ms(s->env->loop) - s->paused_ms >= s->route->policy.request_timeout_ms;
}

/* While we do not read, a client's silence is our doing: its pong or its body may be waiting. */
static bool waits_for_us(struct wsg_session *s)
{
    if (!(s->paused & (WSG_PAUSE_HANDLER | WSG_PAUSE_OUTBOX | WSG_PAUSE_QUIET)) && !s->is_stalled)
        return false;
    if (s->alive_ping_us)
        s->alive_ping_us = wsg_loop_now_us(s->env->loop);
    if (s->state == WSG_SESSION_EXCHANGE && !s->exchange->request_complete)
        return !is_forgotten(s);
    return s->state == WSG_SESSION_OPEN;
}

void wsg_session_on_timer(struct wsg_timer *t)
{
    struct wsg_session *s = CONTAINER(t, struct wsg_session, timer);
    if ((s->state == WSG_SESSION_HTTP || s->state == WSG_SESSION_LINGER) && is_taking(s))
        return;
    if (!wsg_websocket_is_over(s) && waits_for_us(s)) {
        wsg_session_set_timer(s, OUR_DOING_MS);
        return;
    }
    switch ((enum wsg_session_state)s->state) {
    case WSG_SESSION_PROXY:
        wsg_gatekeeping_count(s->env->gatekeeping, WSG_REFUSED_PROXY);
        wsg_session_kill(s, "no PROXY header in time");
        break;
    case WSG_SESSION_SECURING:
        wsg_secure_timeout(s);
        break;
    case WSG_SESSION_HTTP:
        if (s->request_begun && !wsg_http_in_is_idle(s->in.http))
            wsg_exchange_error(s, 408, "the request did not come in time", NULL, 0);
        else
            wsg_session_kill(s, "idle");
        break;
    case WSG_SESSION_EXCHANGE:
        wsg_exchange_timeout(s);
        break;
    case WSG_SESSION_PENDING:
        wsg_websocket_accept_timeout(s);
        break;
    case WSG_SESSION_OPEN:
    case WSG_SESSION_CLOSING:
        wsg_websocket_timer(s);
        break;
    case WSG_SESSION_LINGER:
        wsg_session_kill(s, "lingered long enough");
        break;
    case WSG_SESSION_DEAD:
        break;
    }
}
