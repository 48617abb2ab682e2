/* What happens to a client while it is there, apart from reading (reading.c) and writing (flush.c): its timer, its outcomes. */
#include "session/session.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "session/compress.h"
#include "http/gzip.h"
#include "session/parts.h"

enum {
    A_TURN_MS = 100,    /* how often a client is looked at that waits for its turn */
    OUR_DOING_MS = 5000 /* and one that we do not read for another reason */
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
    env->turns.left = WSG_WORK_EVENTS;
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
    if (s->state == WSG_SESSION_DEAD)
        return;
    if (wsg_loop_arm(s->env->loop, &s->timer, wsg_loop_now_ms(s->env->loop) + after_ms) != WSB_OK)
        wsg_session_kill(s, "out of memory");
}

wsb_err wsg_session_renew_id(struct wsg_session *s)
{
    return wsg_slots_renew(&s->env->slots, &s->id);
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
    if (s->state == WSG_SESSION_DEAD) { /* by what the command has brought about: nobody would drop the receipt */
        wsg_emit_outcome(s, c->origin, c->seq, WSB_OUTCOME_GONE, "closed before it was written");
        return NULL;
    }
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
    if (!(s->paused & (WSG_PAUSE_HANDLER | WSG_PAUSE_OUTBOX | WSG_PAUSE_QUIET | WSG_PAUSE_TURN)) && !s->is_stalled)
        return false;
    if (s->alive_ping_us)
        s->alive_ping_us = wsg_loop_now_us(s->env->loop);
    if (s->paused & WSG_PAUSE_TURN)
        return true; /* what it was to say may lie there */
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
        wsg_session_set_timer(s, s->paused & WSG_PAUSE_TURN ? A_TURN_MS : OUR_DOING_MS);
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
