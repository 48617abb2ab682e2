/*
 * The WebSocket clients of the process, and what wsbus/websocket.h promises of them. A handle is a slot number and a
 * generation, as those of handlers are; slots stay, so that a call which comes too late finds another generation and
 * nothing worse.
 *
 * Whoever calls does the work. One thread at a time pumps: it polls with the lock released, takes what has come, and lets
 * leave what waits; the others that have to wait do so on `changed`.
 */
#include "wsbus/websocket.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "api/line.h"
#include "api/sized.h"
#include "dial/dialing.h"
#include "dial/wait.h"
#include "base/utf8.h"
#include "ws/close.h"

enum {
    MAX_MESSAGE = 16 << 20, /* of a message from the server, unless the options say otherwise */
    SLOT_BITS = 16,
    CLOSE_TIMEOUT_MS = 10000,
};

struct slot {
    pthread_mutex_t lock;
    uint64_t value; /* of the open handle; 0: free */
    uint64_t generation;
    struct wsb_line *conn; /* owned */
};

static struct slot slots[WSB_WEBSOCKETS_MAX] = {
    [0 ... WSB_WEBSOCKETS_MAX - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER},
};
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* The latest failure of this thread. */
static _Thread_local struct {
    uint64_t handle;
    enum wsb_reason reason;
    char why[256];
} note;

/* In a child nothing of the parent's may be touched: the sockets are shared, the locks may be held by nobody. */
static void forget_all(void)
{
    for (size_t i = 0; i < WSB_WEBSOCKETS_MAX; i++) {
        slots[i].value = 0;
        slots[i].conn = NULL;
        (void)pthread_mutex_init(&slots[i].lock, NULL);
    }
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, forget_all);
}

static bool tell(wsb_websocket w, enum wsb_reason reason, const char *why)
{
    note.handle = w.v;
    note.reason = reason;
    (void)snprintf(note.why, sizeof note.why, "%s", why && *why ? why : wsb_reason_name(reason));
    return reason == WSB_REASON_OK;
}

/* ------------------------------------------------------------ in and out of calls */

static struct slot *slot_of(wsb_websocket w)
{
    uint64_t number = w.v & ((1u << SLOT_BITS) - 1);
    return w.v && number < WSB_WEBSOCKETS_MAX ? &slots[number] : NULL;
}

/* With the lock; NULL: it is no open handle, and there is no lock. */
static struct slot *enter(wsb_websocket w)
{
    struct slot *s = slot_of(w);
    if (!s) {
        (void)tell(w, WSB_REASON_MISUSE, "not a handle");
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    if (s->value == w.v && !s->conn->is_leaving) {
        s->conn->inside++;
        return s;
    }
    pthread_mutex_unlock(&s->lock);
    (void)tell(w, WSB_REASON_MISUSE, "the handle is not open");
    return NULL;
}

static bool leave(struct slot *s, wsb_websocket w, enum wsb_reason reason)
{
    bool ok = tell(w, reason, reason == WSB_REASON_OK ? "" : s->conn->why);
    s->conn->inside--;
    pthread_cond_broadcast(&s->conn->changed);
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static uint64_t until_of(int timeout_ms)
{
    return timeout_ms < 0 ? WSB_LINE_FOREVER : wsb_monotonic_ms() + (uint64_t)timeout_ms;
}

/* -------------------------------------------------------------------- waiting */

static int poll_ms(uint64_t until_ms, uint64_t now_ms)
{
    if (until_ms == WSB_LINE_FOREVER)
        return -1;
    uint64_t left = until_ms > now_ms ? until_ms - now_ms : 0;
    return left < INT32_MAX ? (int)left : INT32_MAX;
}

/* Wait for the socket once, until then at most, and do what is to be done. False: a signal. */
static bool pump(struct slot *s, uint64_t until_ms)
{
    struct wsb_line *c = s->conn;
    uint64_t now_ms = wsb_monotonic_ms();
    uint64_t due_ms = wsb_line_keep_alive(c, now_ms);
    uint64_t count;
    if (c->state == WSB_LINE_OVER)
        return true;
    bool wants_in = wsb_line_has_room(c);
    if (wants_in && c->peer.has_ended) { /* by TLS: the socket need not tell */
        wsb_line_fill(c);
        return true;
    }
    struct pollfd fds[] = {
        {.fd = c->peer.fd, .events = (short)((wants_in ? POLLIN : 0) | (wsb_peer_pending(&c->peer) ? POLLOUT : 0))},
        {.fd = c->wake_fd, .events = POLLIN},
    };
    c->is_pumping = true;
    pthread_mutex_unlock(&s->lock);
    int n = poll(fds, 2, poll_ms(due_ms < until_ms ? due_ms : until_ms, now_ms));
    int failed = n < 0 ? errno : 0;
    pthread_mutex_lock(&s->lock);
    c->is_pumping = false;
    (void)!read(c->wake_fd, &count, sizeof count);
    if (n > 0 && (fds[0].revents & ~POLLOUT) && c->state != WSB_LINE_OVER)
        wsb_line_fill(c);
    wsb_line_flush(c);
    pthread_cond_broadcast(&c->changed);
    return failed != EINTR;
}

/* Wait until something has changed, by pumping or by the thread that does. */
static bool wait_change(struct slot *s, uint64_t until_ms)
{
    struct wsb_line *c = s->conn;
    if (!c->is_pumping)
        return pump(s, until_ms);
    const struct timespec at = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    if (until_ms == WSB_LINE_FOREVER)
        pthread_cond_wait(&c->changed, &s->lock);
    else
        (void)pthread_cond_timedwait(&c->changed, &s->lock, &at);
    return true;
}

static bool is_late(uint64_t until_ms)
{
    return until_ms != WSB_LINE_FOREVER && wsb_monotonic_ms() >= until_ms;
}

/* --------------------------------------------------------------------- opening */

static bool slot_take(struct wsb_line *c, wsb_websocket *ret)
{
    for (size_t i = 0; i < WSB_WEBSOCKETS_MAX; i++) {
        struct slot *s = &slots[i];
        pthread_mutex_lock(&s->lock);
        bool is_free = s->conn == NULL;
        if (is_free) {
            s->conn = c;
            s->generation++;
            s->value = s->generation << SLOT_BITS | i;
            ret->v = s->value;
        }
        pthread_mutex_unlock(&s->lock);
        if (is_free)
            return true;
    }
    return false;
}

static bool options_are_sane(const char *url, const struct wsb_open_options *o)
{
    bool ok = url && (o->header_count == 0 || o->headers) && (o->subprotocol_count == 0 || o->subprotocols) &&
              o->max_message <= UINT32_MAX && (!o->key || o->certificate);
    for (size_t i = 0; ok && i < o->header_count; i++)
        ok = o->headers[i] != NULL;
    for (size_t i = 0; ok && i < o->subprotocol_count; i++)
        ok = o->subprotocols[i] != NULL;
    return ok;
}

static void dial(struct wsb_line *c, const char *url, const struct wsb_open_options *o, struct wsb_open_result *result)
{
    static const struct wsb_dial_terms terms = {.stop_fd = -1};
    struct wsb_deflate_params params;
    if (wsb_dial(url, o, &terms, &c->peer, result, &params) == WSB_REASON_OK &&
        wsb_peer_begin(&c->peer, o->max_message ? o->max_message : MAX_MESSAGE,
                       result->is_compressed ? &params : NULL) != WSB_OK)
        result->reason = WSB_REASON_NOMEM;
    if (result->reason && !result->why[0])
        (void)snprintf(result->why, sizeof result->why, "%s", wsb_reason_name(result->reason));
}

bool wsb_open_sized(const char *url, const struct wsb_open_options *options, wsb_websocket *ret,
                    struct wsb_open_result *ret_result)
{
    struct wsb_open_options room = {0};
    struct wsb_open_result result = {.reason = WSB_REASON_MISUSE, .why = "a bad argument"};
    bool takes = WSB_TAKE(options, &room, ping_timeout_ms);
    const struct wsb_open_options *o = &room;
    size_t size = ret_result ? wsb_sized_claim(ret_result, WSB_END_OF(struct wsb_open_result, tls_version)) : 0;
    wsb_websocket none = {0};
    struct wsb_line *c = NULL;
    (void)pthread_once(&fork_once, watch_forks);
    if (ret)
        *ret = none;
    if (takes && ret && (size || !ret_result) && options_are_sane(url, o)) {
        result = (struct wsb_open_result){.reason = WSB_REASON_NOMEM, .why = "out of memory or descriptors"};
        c = wsb_line_new(o);
    }
    if (c) {
        result = (struct wsb_open_result){0};
        dial(c, url, o, &result);
        c->heard_ms = wsb_monotonic_ms();
        if (result.reason == WSB_REASON_OK && !slot_take(c, ret)) {
            result.reason = WSB_REASON_MISUSE;
            (void)snprintf(result.why, sizeof result.why, "there are %d WebSockets already", WSB_WEBSOCKETS_MAX);
        }
        if (result.reason != WSB_REASON_OK)
            wsb_line_free(c);
    }
    bool ok = tell(none, result.reason, result.why);
    if (size)
        wsb_sized_give(ret_result, size, &result, sizeof result);
    else
        wsb_open_result_free(&result);
    return ok;
}

void wsb_open_result_free(struct wsb_open_result *r)
{
    if (!r)
        return;
    free(r->fields);
    free(r->body);
    r->fields = r->body = NULL;
    r->body_len = 0;
}

/* --------------------------------------------------------------------- reading */

static enum wsb_reason read_one(struct slot *s, struct wsb_message *ret, uint64_t until_ms)
{
    struct wsb_line *c = s->conn;
    bool has_looked = false; /* a timeout of 0 still looks */
    for (;;) {
        wsb_line_parse(c); /* what was left for want of room */
        if (wsb_line_take(c, ret))
            return WSB_REASON_OK;
        if (c->is_leaving)
            return wsb_line_because(c, WSB_REASON_CLOSED, "the handle was closed");
        if (c->state != WSB_LINE_OPEN)
            return c->state == WSB_LINE_OVER ? c->reason
                                             : wsb_line_because(c, WSB_REASON_CLOSED, "the connection is closing");
        if (has_looked && is_late(until_ms))
            return wsb_line_because(c, WSB_REASON_TIMEOUT, "nothing came in time");
        if (!wait_change(s, until_ms))
            return wsb_line_because(c, WSB_REASON_SIGNAL, "a signal arrived");
        has_looked = true;
    }
}

bool wsb_websocket_read_sized(wsb_websocket w, struct wsb_message *ret, int timeout_ms)
{
    struct wsb_message message = {0};
    uint64_t until_ms = until_of(timeout_ms);
    size_t size = ret ? wsb_sized_claim(ret, WSB_END_OF(struct wsb_message, len)) : 0;
    if (!size)
        return tell(w, WSB_REASON_MISUSE, "a bad argument");
    wsb_sized_clear(ret, size);
    struct slot *s = enter(w);
    if (!s)
        return false;
    struct wsb_line *c = s->conn;
    if (c->is_reading)
        return leave(s, w, wsb_line_because(c, WSB_REASON_MISUSE, "another thread reads"));
    c->is_reading = true;
    free(c->current);
    c->current = NULL;
    enum wsb_reason reason = read_one(s, &message, until_ms);
    c->is_reading = false;
    if (!reason)
        wsb_sized_give(ret, size, &message, sizeof message);
    return leave(s, w, reason);
}

/* --------------------------------------------------------------------- writing */

static enum wsb_reason refuse_write(struct wsb_line *c)
{
    if (c->state == WSB_LINE_OVER)
        return c->reason;
    return wsb_line_because(c, WSB_REASON_CLOSED, "the connection is closing");
}

static enum wsb_reason drain(struct slot *s, uint64_t until_ms)
{
    struct wsb_line *c = s->conn;
    bool has_looked = false;
    for (;;) {
        wsb_line_flush(c);
        if (c->state == WSB_LINE_OVER)
            return c->reason;
        if (wsb_peer_pending(&c->peer) == 0)
            return WSB_REASON_OK;
        if (c->is_leaving)
            return wsb_line_because(c, WSB_REASON_CLOSED, "the handle was closed");
        if (has_looked && is_late(until_ms))
            return wsb_line_because(c, WSB_REASON_TIMEOUT, "the server does not take it");
        wsb_line_wake(c); /* it does not know yet that something is to leave */
        if (!wait_change(s, until_ms))
            return wsb_line_because(c, WSB_REASON_SIGNAL, "a signal arrived");
        has_looked = true;
    }
}

static enum wsb_reason write_one(struct slot *s, enum wsb_opcode op, struct wsb_span data)
{
    struct wsb_line *c = s->conn;
    struct wsb_fault fault = {0};
    if (c->state != WSB_LINE_OPEN)
        return refuse_write(c);
    wsb_line_flush(c);
    if (c->state == WSB_LINE_OPEN && wsb_peer_pending(&c->peer) &&
        wsb_peer_pending(&c->peer) + data.len > WSB_LINE_OUT_BYTES)
        return wsb_line_because(c, WSB_REASON_FULL, "too much waits to be sent");
    if (c->state != WSB_LINE_OPEN)
        return c->reason;
    wsb_err err = wsb_peer_send(&c->peer, op == WSB_TEXT ? WSB_OP_TEXT : WSB_OP_BINARY, data, &fault);
    if (err == WSB_ERR_NOMEM)
        return wsb_line_because(c, WSB_REASON_NOMEM, "out of memory");
    if (err) {
        wsb_line_lost(c, err, fault.text);
        return c->reason;
    }
    return WSB_REASON_OK;
}

bool wsb_websocket_write(wsb_websocket w, enum wsb_opcode op, const void *data, size_t len, int timeout_ms)
{
    uint64_t until_ms = until_of(timeout_ms);
    if ((op != WSB_TEXT && op != WSB_BINARY) || (len && !data) || len > UINT32_MAX)
        return tell(w, WSB_REASON_MISUSE, "a bad argument");
    if (op == WSB_TEXT && !wsb_utf8_is_valid(data, len))
        return tell(w, WSB_REASON_UTF8, "the text is not UTF-8");
    struct slot *s = enter(w);
    if (!s)
        return false;
    enum wsb_reason reason = write_one(s, op, wsb_span(data, len));
    if (!reason) {
        reason = drain(s, until_ms);
        if (reason == WSB_REASON_TIMEOUT || reason == WSB_REASON_SIGNAL)
            reason = WSB_REASON_OK; /* on its way: what is left leaves with later calls */
    }
    return leave(s, w, reason);
}

bool wsb_websocket_flush(wsb_websocket w, int timeout_ms)
{
    uint64_t until_ms = until_of(timeout_ms);
    struct slot *s = enter(w);
    return s ? leave(s, w, drain(s, until_ms)) : false;
}

/* ----------------------------------------------------------------------- pings */

static void pong_remove(struct wsb_line *c, struct wsb_line_pong *p)
{
    struct wsb_line_pong **at = &c->pongs;
    while (*at && *at != p)
        at = &(*at)->next;
    if (*at)
        *at = p->next;
}

static enum wsb_reason pong_wait(struct slot *s, struct wsb_line_pong *p, uint64_t until_ms)
{
    struct wsb_line *c = s->conn;
    for (;;) {
        wsb_line_flush(c);
        if (p->is_there)
            return WSB_REASON_OK;
        if (c->state != WSB_LINE_OPEN || c->is_leaving)
            return refuse_write(c);
        if (is_late(until_ms))
            return wsb_line_because(c, WSB_REASON_TIMEOUT, "no pong came in time");
        if (!wsb_line_has_room(c) && !c->is_reading)
            return wsb_line_because(c, WSB_REASON_FULL, "messages that nobody reads are in front of the pong");
        wsb_line_wake(c);
        if (!wait_change(s, until_ms))
            return wsb_line_because(c, WSB_REASON_SIGNAL, "a signal arrived");
    }
}

static uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool wsb_websocket_ping(wsb_websocket w, const void *data, size_t len, int timeout_ms, uint64_t *ret_rtt_us)
{
    uint64_t until_ms = until_of(timeout_ms);
    struct wsb_line_pong p = {.len = len};
    struct wsb_fault fault = {0};
    if (len > WSB_CONTROL_MAX || (len && !data))
        return tell(w, WSB_REASON_MISUSE, "a ping has at most 125 bytes");
    struct slot *s = enter(w);
    if (!s)
        return false;
    struct wsb_line *c = s->conn;
    if (c->state != WSB_LINE_OPEN)
        return leave(s, w, refuse_write(c));
    if (len)
        memcpy(p.data, data, len);
    uint64_t began_us = monotonic_us();
    if (wsb_peer_send(&c->peer, WSB_OP_PING, wsb_span(p.data, len), &fault) != WSB_OK) {
        wsb_line_lost(c, fault.err, fault.text);
        return leave(s, w, c->reason);
    }
    p.next = c->pongs;
    c->pongs = &p;
    enum wsb_reason reason = pong_wait(s, &p, until_ms);
    pong_remove(c, &p);
    if (!reason && ret_rtt_us)
        *ret_rtt_us = monotonic_us() - began_us;
    return leave(s, w, reason);
}

/* --------------------------------------------------------------------- closing */

bool wsb_websocket_closed_sized(wsb_websocket w, struct wsb_websocket_close_info *ret)
{
    size_t size = ret ? wsb_sized_claim(ret, WSB_END_OF(struct wsb_websocket_close_info, reason)) : 0;
    if (ret && !size)
        return tell(w, WSB_REASON_MISUSE, "a bad argument");
    struct slot *s = enter(w);
    if (!s)
        return false;
    bool is_over = s->conn->state == WSB_LINE_OVER;
    if (is_over && ret)
        wsb_sized_give(ret, size, &s->conn->info, sizeof s->conn->info);
    (void)leave(s, w, WSB_REASON_OK);
    return is_over;
}

static void say_goodbye(struct wsb_line *c, uint16_t code, struct wsb_span reason)
{
    struct wsb_fault fault = {0};
    if (c->state != WSB_LINE_OPEN)
        return;
    wsb_err err = wsb_peer_send_close(&c->peer, code, reason, &fault);
    if (err) {
        wsb_line_lost(c, err, fault.text);
        return;
    }
    c->state = WSB_LINE_CLOSING;
    c->info.by_us = true;
    c->info.code = code;
    (void)snprintf(c->info.reason, sizeof c->info.reason, "%.*s", (int)reason.len, (const char *)reason.ptr);
    wsb_line_flush(c);
}

/* Until the server has said goodbye too. What comes before that is nobody's any more. */
static enum wsb_reason goodbye_wait(struct slot *s, uint64_t until_ms)
{
    struct wsb_line *c = s->conn;
    while (c->state == WSB_LINE_CLOSING && !is_late(until_ms)) {
        c->queued = 0; /* nobody reads them: their room is free */
        wsb_line_parse(c);
        if (c->state == WSB_LINE_CLOSING)
            (void)wait_change(s, until_ms);
    }
    if (c->state == WSB_LINE_CLOSING)
        return wsb_line_because(c, WSB_REASON_TIMEOUT, "the server did not say goodbye in time");
    return c->reason == WSB_REASON_CLOSED ? WSB_REASON_OK : c->reason;
}

bool wsb_websocket_close(wsb_websocket w, unsigned code, const char *reason, int timeout_ms)
{
    uint64_t until_ms = until_of(timeout_ms < 0 ? CLOSE_TIMEOUT_MS : timeout_ms);
    struct wsb_span text = wsb_span_str(reason);
    uint16_t sent = code ? (uint16_t)code : WSB_CLOSE_NO_STATUS;
    if (code > UINT16_MAX || (code && !wsb_close_code_is_sendable((uint16_t)code)) || text.len > WSB_CLOSE_REASON_MAX ||
        (text.len && !code) || !wsb_utf8_is_valid(text.ptr, text.len))
        return tell(w, WSB_REASON_MISUSE, "a code or a reason that may not be sent");
    struct slot *s = enter(w);
    if (!s)
        return false;
    struct wsb_line *c = s->conn;
    say_goodbye(c, sent, text);
    c->is_leaving = true; /* no call comes in any more, and those that wait come out */
    wsb_line_wake(c);
    pthread_cond_broadcast(&c->changed);
    enum wsb_reason end_reason = goodbye_wait(s, until_ms);
    while (c->inside > 1) {
        wsb_line_wake(c);
        pthread_cond_wait(&c->changed, &s->lock);
    }
    bool ok = tell(w, end_reason, end_reason ? c->why : "");
    s->conn = NULL;
    s->value = 0;
    pthread_mutex_unlock(&s->lock);
    wsb_line_free(c);
    return ok;
}

/* --------------------------------------------------------------------- the rest */

int wsb_websocket_fd(wsb_websocket w)
{
    struct slot *s = enter(w);
    if (!s)
        return -1;
    struct wsb_line *c = s->conn;
    if (c->epoll_fd < 0) {
        struct epoll_event in = {.events = EPOLLIN | EPOLLRDHUP};
        c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (c->epoll_fd >= 0 && epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->peer.fd, &in) != 0) {
            (void)close(c->epoll_fd);
            c->epoll_fd = -1;
        }
    }
    int fd = c->epoll_fd;
    (void)leave(s, w, fd >= 0 ? WSB_REASON_OK : wsb_line_because(c, WSB_REASON_IO, "no descriptor to be had"));
    return fd;
}

enum wsb_reason wsb_websocket_reason(wsb_websocket w)
{
    if (note.handle == w.v)
        return note.reason;
    return WSB_REASON_OK;
}

const char *wsb_websocket_why(wsb_websocket w)
{
    return note.handle == w.v && note.why[0] ? note.why : "ok";
}
