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

#include "dial/dialing.h"
#include "dial/wait.h"
#include "base/utf8.h"
#include "ws/close.h"

enum {
    MAX_MESSAGE = 16 << 20, /* of a message from the server, unless the options say otherwise */
    SLOT_BITS = 16,
    QUEUE_BYTES = 1 << 20, /* of messages that nobody has read: more is left to the kernel */
    OUT_BYTES = 16 << 20,
    PING_TIMEOUT_MS = 20000,
    CLOSE_TIMEOUT_MS = 10000,
};

#define FOREVER UINT64_MAX

/* A message that has come. */
struct message {
    struct message *next;
    uint8_t opcode;
    size_t len;
    uint8_t data[];
};

/* A ping that a call waits for; on the stack of that call. */
struct pong {
    struct pong *next;
    uint8_t data[WSB_FRAME_CONTROL_MAX];
    size_t len;
    bool is_there;
};

/*
 *   OPEN ──we close──▶ CLOSING ──the server's close──▶ OVER
 *   OPEN ──the server closes, or anything fails──────▶ OVER
 */
enum state { OPEN, CLOSING, OVER };

struct conn {
    struct wsb_peer peer;
    enum state state;
    enum wsb_reason reason; /* OVER: why reads fail from then on */
    char why[256];          /* the latest failure, in words */
    struct wsb_websocket_close_info info;
    struct message *first, **end; /* owned; nobody has read them */
    size_t queued;
    struct message *current; /* owned; the one that was read last */
    struct pong *pongs;      /* borrowed from those who wait */
    bool is_reading;         /* a thread is in wsb_websocket_read() */
    bool is_pumping;
    bool is_leaving; /* the handle is being closed */
    unsigned inside; /* calls under way */
    unsigned ping_interval_ms, ping_timeout_ms;
    uint64_t heard_ms; /* when anything came last */
    uint64_t asked_ms; /* when our own ping left that was not answered; 0: none */
    int wake_fd;       /* owned; to end a poll */
    int epoll_fd;      /* owned; what the program may wait for; -1 until asked for */
    pthread_cond_t changed;
};

struct slot {
    pthread_mutex_t lock;
    uint64_t value; /* of the open handle; 0: free */
    uint64_t generation;
    struct conn *conn; /* owned */
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

/* A failure of this call alone. */
static enum wsb_reason because(struct conn *c, enum wsb_reason reason, const char *why)
{
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    return reason;
}

static void wake_pump(struct conn *c)
{
    const uint64_t one = 1;
    if (c->is_pumping)
        (void)!write(c->wake_fd, &one, sizeof one);
}

static uint64_t until_of(int timeout_ms)
{
    return timeout_ms < 0 ? FOREVER : wsb_monotonic_ms() + (uint64_t)timeout_ms;
}

/* ---------------------------------------------------------------------- the end */

static void end(struct conn *c, enum wsb_reason reason, const char *why)
{
    if (c->state == OVER)
        return;
    c->state = OVER;
    c->reason = because(c, reason, why);
    if (c->info.code == 0)
        c->info.code = WSB_CLOSE_ABNORMAL;
    pthread_cond_broadcast(&c->changed);
}

static enum wsb_reason reason_of(wsb_err err)
{
    switch (err) {
    case WSB_ERR_NOMEM:
        return WSB_REASON_NOMEM;
    case WSB_ERR_UTF8:
        return WSB_REASON_UTF8;
    case WSB_ERR_LIMIT:
        return WSB_REASON_TOO_BIG;
    default:
        return WSB_REASON_PROTOCOL;
    }
}

/* The server broke a rule: say which, and be done (RFC 6455 §7.1.7). */
static void fail(struct conn *c, wsb_err err)
{
    static const char *const words[] = {
        [WSB_REASON_NOMEM] = "out of memory",
        [WSB_REASON_UTF8] = "the server sent text that is not UTF-8",
        [WSB_REASON_TOO_BIG] = "the server sent a message that is too big",
        [WSB_REASON_PROTOCOL] = "the server broke a rule of the protocol",
    };
    struct wsb_fault ignored;
    enum wsb_reason reason = reason_of(err);
    uint16_t code = wsb_ws_in_close_code(err);
    if (c->state == OPEN && wsb_peer_send_close(&c->peer, code, wsb_span(NULL, 0), &ignored) == WSB_OK) {
        c->info.by_us = true;
        c->info.code = code;
        (void)!wsb_peer_flush(&c->peer, &ignored);
    }
    end(c, reason, words[reason]);
}

static void lost(struct conn *c, wsb_err err, const char *why)
{
    enum wsb_reason reason = err == WSB_ERR_NOMEM ? WSB_REASON_NOMEM
                             : err == WSB_ERR_IO  ? WSB_REASON_IO
                                                  : WSB_REASON_TLS;
    end(c, reason, why);
}

/* ----------------------------------------------------------------- what has come */

static void on_message(struct conn *c, const struct wsb_ws_event *ev)
{
    if (c->state != OPEN) /* we have said goodbye: nobody will read it */
        return;
    struct message *m = malloc(sizeof *m + ev->len);
    wsb_err err = m ? wsb_ws_event_take(ev, m->data) : WSB_ERR_NOMEM;
    if (err) {
        free(m);
        fail(c, err);
        return;
    }
    m->next = NULL;
    m->opcode = ev->opcode;
    m->len = ev->len;
    *c->end = m;
    c->end = &m->next;
    c->queued += sizeof *m + m->len;
    if (!ev->masked)
        wsb_ws_in_release(&c->peer.ws);
}

static void on_pong(struct conn *c, const struct wsb_ws_event *ev)
{
    if (ev->len == 0)
        c->asked_ms = 0;
    for (struct pong *p = c->pongs; p; p = p->next) {
        if (p->len == ev->len && memcmp(p->data, ev->control, ev->len) == 0)
            p->is_there = true;
    }
}

static void on_close(struct conn *c, const struct wsb_ws_event *ev)
{
    struct wsb_fault ignored;
    uint16_t code = ev->has_code ? ev->code : WSB_CLOSE_NO_STATUS;
    if (c->state == OPEN) { /* the same code back, RFC 6455 §5.5.1 */
        (void)!wsb_peer_send_close(&c->peer, code, wsb_span(NULL, 0), &ignored);
        (void)!wsb_peer_flush(&c->peer, &ignored);
        c->info.code = code;
        (void)snprintf(c->info.reason, sizeof c->info.reason, "%.*s", (int)ev->len, (const char *)ev->control);
    }
    c->info.clean = true;
    end(c, WSB_REASON_CLOSED, "the connection is closed");
}

static void on_event(struct conn *c, const struct wsb_ws_event *ev)
{
    struct wsb_fault fault = {0};
    wsb_err err = WSB_OK;
    switch (ev->type) {
    case WSB_WS_MESSAGE:
        on_message(c, ev);
        break;
    case WSB_WS_PING:
        if (c->state == OPEN)
            err = wsb_peer_send(&c->peer, WSB_OP_PONG, wsb_span(ev->control, ev->len), &fault);
        break;
    case WSB_WS_PONG:
        on_pong(c, ev);
        break;
    case WSB_WS_CLOSE:
        on_close(c, ev);
        break;
    }
    if (err)
        lost(c, err, fault.text);
}

static bool has_room(const struct conn *c)
{
    return c->queued < QUEUE_BYTES && wsb_peer_pending(&c->peer) < 2 * (size_t)OUT_BYTES;
}

/* Events out of what has come, as long as somebody may want them. */
static void parse(struct conn *c)
{
    while (c->state != OVER && has_room(c)) {
        struct wsb_ws_event ev;
        wsb_err err = wsb_peer_next(&c->peer, &ev);
        if (err == WSB_MORE)
            return;
        if (err)
            fail(c, err);
        else
            on_event(c, &ev);
    }
}

static void fill(struct conn *c)
{
    struct wsb_fault fault = {0};
    wsb_err err = wsb_peer_fill(&c->peer, &fault);
    if (!err)
        c->heard_ms = wsb_monotonic_ms();
    parse(c);
    if (err == WSB_CLOSED && has_room(c)) /* else something is left that nobody has had room for */
        end(c, WSB_REASON_IO, "the server closed the connection without a goodbye");
    else if (err && err != WSB_AGAIN)
        lost(c, err, fault.text);
}

static void flush(struct conn *c)
{
    struct wsb_fault fault = {0};
    wsb_err err = c->state == OVER ? WSB_OK : wsb_peer_flush(&c->peer, &fault);
    if (err && err != WSB_AGAIN)
        lost(c, err, fault.text);
}

/* -------------------------------------------------------------------- waiting */

/* Our own pings; returns when to look again. */
static uint64_t keep_alive(struct conn *c, uint64_t now_ms)
{
    struct wsb_fault fault = {0};
    if (!c->ping_interval_ms || c->state != OPEN)
        return FOREVER;
    if (c->asked_ms) {
        uint64_t due_ms = c->asked_ms + c->ping_timeout_ms;
        if (c->heard_ms > c->asked_ms) /* something came: it lives, and its pong may be behind that */
            due_ms = c->heard_ms + c->ping_timeout_ms;
        if (now_ms >= due_ms)
            end(c, WSB_REASON_IO, "the server does not answer pings");
        return due_ms;
    }
    uint64_t due_ms = c->heard_ms + c->ping_interval_ms;
    if (now_ms < due_ms)
        return due_ms;
    c->asked_ms = now_ms;
    if (wsb_peer_send(&c->peer, WSB_OP_PING, wsb_span(NULL, 0), &fault) != WSB_OK)
        lost(c, fault.err, fault.text);
    flush(c);
    return now_ms + c->ping_timeout_ms;
}

static int poll_ms(uint64_t until_ms, uint64_t now_ms)
{
    if (until_ms == FOREVER)
        return -1;
    uint64_t left = until_ms > now_ms ? until_ms - now_ms : 0;
    return left < INT32_MAX ? (int)left : INT32_MAX;
}

/* Wait for the socket once, until then at most, and do what is to be done. False: a signal. */
static bool pump(struct slot *s, uint64_t until_ms)
{
    struct conn *c = s->conn;
    uint64_t now_ms = wsb_monotonic_ms();
    uint64_t due_ms = keep_alive(c, now_ms);
    uint64_t count;
    if (c->state == OVER)
        return true;
    bool wants_in = has_room(c);
    if (wants_in && c->peer.has_ended) { /* by TLS: the socket need not tell */
        fill(c);
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
    if (n > 0 && (fds[0].revents & ~POLLOUT) && c->state != OVER)
        fill(c);
    flush(c);
    pthread_cond_broadcast(&c->changed);
    return failed != EINTR;
}

/* Wait until something has changed, by pumping or by the thread that does. */
static bool wait_change(struct slot *s, uint64_t until_ms)
{
    struct conn *c = s->conn;
    if (!c->is_pumping)
        return pump(s, until_ms);
    const struct timespec at = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    if (until_ms == FOREVER)
        pthread_cond_wait(&c->changed, &s->lock);
    else
        (void)pthread_cond_timedwait(&c->changed, &s->lock, &at);
    return true;
}

static bool is_late(uint64_t until_ms)
{
    return until_ms != FOREVER && wsb_monotonic_ms() >= until_ms;
}

/* --------------------------------------------------------------------- opening */

static void conn_free(struct conn *c)
{
    if (!c)
        return;
    while (c->first) {
        struct message *m = c->first;
        c->first = m->next;
        free(m);
    }
    free(c->current);
    wsb_peer_deinit(&c->peer);
    if (c->wake_fd >= 0)
        (void)close(c->wake_fd);
    if (c->epoll_fd >= 0)
        (void)close(c->epoll_fd);
    pthread_cond_destroy(&c->changed);
    free(c);
}

static struct conn *conn_new(const struct wsb_open_options *o)
{
    pthread_condattr_t attr;
    struct conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    wsb_peer_init(&c->peer);
    c->end = &c->first;
    c->ping_interval_ms = o->ping_interval_ms;
    c->ping_timeout_ms = o->ping_timeout_ms ? o->ping_timeout_ms : PING_TIMEOUT_MS;
    c->epoll_fd = -1;
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (c->wake_fd >= 0)
        return c;
    conn_free(c);
    return NULL;
}

static bool slot_take(struct conn *c, wsb_websocket *ret)
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

static void dial(struct conn *c, const char *url, const struct wsb_open_options *o, struct wsb_open_result *result)
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

bool wsb_open(const char *url, const struct wsb_open_options *options, wsb_websocket *ret,
              struct wsb_open_result *ret_result)
{
    static const struct wsb_open_options defaults;
    const struct wsb_open_options *o = options ? options : &defaults;
    struct wsb_open_result result = {.reason = WSB_REASON_MISUSE, .why = "a bad argument"};
    wsb_websocket none = {0};
    struct conn *c = NULL;
    (void)pthread_once(&fork_once, watch_forks);
    if (ret)
        *ret = none;
    if (ret && options_are_sane(url, o)) {
        result = (struct wsb_open_result){.reason = WSB_REASON_NOMEM, .why = "out of memory or descriptors"};
        c = conn_new(o);
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
            conn_free(c);
    }
    bool ok = tell(none, result.reason, result.why);
    if (ret_result)
        *ret_result = result;
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

static bool message_take(struct conn *c, struct wsb_message *ret)
{
    struct message *m = c->first;
    if (!m)
        return false;
    c->first = m->next;
    if (!m->next)
        c->end = &c->first;
    c->queued -= sizeof *m + m->len;
    c->current = m;
    *ret = (struct wsb_message){m->opcode == WSB_OP_TEXT ? WSB_TEXT : WSB_BINARY, m->data, m->len};
    return true;
}

static enum wsb_reason read_one(struct slot *s, struct wsb_message *ret, uint64_t until_ms)
{
    struct conn *c = s->conn;
    bool has_looked = false; /* a timeout of 0 still looks */
    for (;;) {
        parse(c); /* what was left for want of room */
        if (message_take(c, ret))
            return WSB_REASON_OK;
        if (c->is_leaving)
            return because(c, WSB_REASON_CLOSED, "the handle was closed");
        if (c->state != OPEN)
            return c->state == OVER ? c->reason : because(c, WSB_REASON_CLOSED, "the connection is closing");
        if (has_looked && is_late(until_ms))
            return because(c, WSB_REASON_TIMEOUT, "nothing came in time");
        if (!wait_change(s, until_ms))
            return because(c, WSB_REASON_SIGNAL, "a signal arrived");
        has_looked = true;
    }
}

bool wsb_websocket_read(wsb_websocket w, struct wsb_message *ret, int timeout_ms)
{
    uint64_t until_ms = until_of(timeout_ms);
    if (!ret)
        return tell(w, WSB_REASON_MISUSE, "a bad argument");
    *ret = (struct wsb_message){0};
    struct slot *s = enter(w);
    if (!s)
        return false;
    struct conn *c = s->conn;
    if (c->is_reading)
        return leave(s, w, because(c, WSB_REASON_MISUSE, "another thread reads"));
    c->is_reading = true;
    free(c->current);
    c->current = NULL;
    enum wsb_reason reason = read_one(s, ret, until_ms);
    c->is_reading = false;
    return leave(s, w, reason);
}

/* --------------------------------------------------------------------- writing */

static enum wsb_reason refuse_write(struct conn *c)
{
    if (c->state == OVER)
        return c->reason;
    return because(c, WSB_REASON_CLOSED, "the connection is closing");
}

static enum wsb_reason drain(struct slot *s, uint64_t until_ms)
{
    struct conn *c = s->conn;
    bool has_looked = false;
    for (;;) {
        flush(c);
        if (c->state == OVER)
            return c->reason;
        if (wsb_peer_pending(&c->peer) == 0)
            return WSB_REASON_OK;
        if (c->is_leaving)
            return because(c, WSB_REASON_CLOSED, "the handle was closed");
        if (has_looked && is_late(until_ms))
            return because(c, WSB_REASON_TIMEOUT, "the server does not take it");
        wake_pump(c); /* it does not know yet that something is to leave */
        if (!wait_change(s, until_ms))
            return because(c, WSB_REASON_SIGNAL, "a signal arrived");
        has_looked = true;
    }
}

static enum wsb_reason write_one(struct slot *s, enum wsb_opcode op, struct wsb_span data)
{
    struct conn *c = s->conn;
    struct wsb_fault fault = {0};
    if (c->state != OPEN)
        return refuse_write(c);
    flush(c);
    if (c->state == OPEN && wsb_peer_pending(&c->peer) && wsb_peer_pending(&c->peer) + data.len > OUT_BYTES)
        return because(c, WSB_REASON_FULL, "too much waits to be sent");
    if (c->state != OPEN)
        return c->reason;
    wsb_err err = wsb_peer_send(&c->peer, op == WSB_TEXT ? WSB_OP_TEXT : WSB_OP_BINARY, data, &fault);
    if (err == WSB_ERR_NOMEM)
        return because(c, WSB_REASON_NOMEM, "out of memory");
    if (err) {
        lost(c, err, fault.text);
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

static void pong_remove(struct conn *c, struct pong *p)
{
    struct pong **at = &c->pongs;
    while (*at && *at != p)
        at = &(*at)->next;
    if (*at)
        *at = p->next;
}

static enum wsb_reason pong_wait(struct slot *s, struct pong *p, uint64_t until_ms)
{
    struct conn *c = s->conn;
    for (;;) {
        flush(c);
        if (p->is_there)
            return WSB_REASON_OK;
        if (c->state != OPEN || c->is_leaving)
            return refuse_write(c);
        if (is_late(until_ms))
            return because(c, WSB_REASON_TIMEOUT, "no pong came in time");
        if (!has_room(c) && !c->is_reading)
            return because(c, WSB_REASON_FULL, "messages that nobody reads are in front of the pong");
        wake_pump(c);
        if (!wait_change(s, until_ms))
            return because(c, WSB_REASON_SIGNAL, "a signal arrived");
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
    struct pong p = {.len = len};
    struct wsb_fault fault = {0};
    if (len > WSB_CONTROL_MAX || (len && !data))
        return tell(w, WSB_REASON_MISUSE, "a ping has at most 125 bytes");
    struct slot *s = enter(w);
    if (!s)
        return false;
    struct conn *c = s->conn;
    if (c->state != OPEN)
        return leave(s, w, refuse_write(c));
    if (len)
        memcpy(p.data, data, len);
    uint64_t began_us = monotonic_us();
    if (wsb_peer_send(&c->peer, WSB_OP_PING, wsb_span(p.data, len), &fault) != WSB_OK) {
        lost(c, fault.err, fault.text);
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

bool wsb_websocket_closed(wsb_websocket w, struct wsb_websocket_close_info *ret)
{
    struct slot *s = enter(w);
    if (!s)
        return false;
    bool is_over = s->conn->state == OVER;
    if (is_over && ret)
        *ret = s->conn->info;
    (void)leave(s, w, WSB_REASON_OK);
    return is_over;
}

static void say_goodbye(struct conn *c, uint16_t code, struct wsb_span reason)
{
    struct wsb_fault fault = {0};
    if (c->state != OPEN)
        return;
    wsb_err err = wsb_peer_send_close(&c->peer, code, reason, &fault);
    if (err) {
        lost(c, err, fault.text);
        return;
    }
    c->state = CLOSING;
    c->info.by_us = true;
    c->info.code = code;
    (void)snprintf(c->info.reason, sizeof c->info.reason, "%.*s", (int)reason.len, (const char *)reason.ptr);
    flush(c);
}

/* Until the server has said goodbye too. What comes before that is nobody's any more. */
static enum wsb_reason goodbye_wait(struct slot *s, uint64_t until_ms)
{
    struct conn *c = s->conn;
    while (c->state == CLOSING && !is_late(until_ms)) {
        c->queued = 0; /* nobody reads them: their room is free */
        parse(c);
        if (c->state == CLOSING)
            (void)wait_change(s, until_ms);
    }
    if (c->state == CLOSING)
        return because(c, WSB_REASON_TIMEOUT, "the server did not say goodbye in time");
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
    struct conn *c = s->conn;
    say_goodbye(c, sent, text);
    c->is_leaving = true; /* no call comes in any more, and those that wait come out */
    wake_pump(c);
    pthread_cond_broadcast(&c->changed);
    enum wsb_reason end_reason = goodbye_wait(s, until_ms);
    while (c->inside > 1) {
        wake_pump(c);
        pthread_cond_wait(&c->changed, &s->lock);
    }
    bool ok = tell(w, end_reason, end_reason ? c->why : "");
    s->conn = NULL;
    s->value = 0;
    pthread_mutex_unlock(&s->lock);
    conn_free(c);
    return ok;
}

/* --------------------------------------------------------------------- the rest */

int wsb_websocket_fd(wsb_websocket w)
{
    struct slot *s = enter(w);
    if (!s)
        return -1;
    struct conn *c = s->conn;
    if (c->epoll_fd < 0) {
        struct epoll_event in = {.events = EPOLLIN | EPOLLRDHUP};
        c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (c->epoll_fd >= 0 && epoll_ctl(c->epoll_fd, EPOLL_CTL_ADD, c->peer.fd, &in) != 0) {
            (void)close(c->epoll_fd);
            c->epoll_fd = -1;
        }
    }
    int fd = c->epoll_fd;
    (void)leave(s, w, fd >= 0 ? WSB_REASON_OK : because(c, WSB_REASON_IO, "no descriptor to be had"));
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
