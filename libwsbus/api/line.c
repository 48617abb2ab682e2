#include "api/line.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dial/wait.h"
#include "ws/close.h"

enum {
    QUEUE_BYTES = 1 << 20, /* of messages that nobody has read: more is left to the kernel */
    PING_TIMEOUT_MS = 20000,
};

void wsb_line_free(struct wsb_line *c)
{
    if (!c)
        return;
    while (c->first) {
        struct wsb_line_message *m = c->first;
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

struct wsb_line *wsb_line_new(const struct wsb_open_options *o)
{
    pthread_condattr_t attr;
    struct wsb_line *c = calloc(1, sizeof *c);
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
    wsb_line_free(c);
    return NULL;
}

/* A failure of this call alone. */
enum wsb_reason wsb_line_because(struct wsb_line *c, enum wsb_reason reason, const char *why)
{
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    return reason;
}

void wsb_line_wake(struct wsb_line *c)
{
    const uint64_t one = 1;
    if (c->is_pumping)
        (void)!write(c->wake_fd, &one, sizeof one);
}

/* ---------------------------------------------------------------------- the end */

void wsb_line_end(struct wsb_line *c, enum wsb_reason reason, const char *why)
{
    if (c->state == WSB_LINE_OVER)
        return;
    c->state = WSB_LINE_OVER;
    c->reason = wsb_line_because(c, reason, why);
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
static void fail(struct wsb_line *c, wsb_err err)
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
    if (c->state == WSB_LINE_OPEN && wsb_peer_send_close(&c->peer, code, wsb_span(NULL, 0), &ignored) == WSB_OK) {
        c->info.by_us = true;
        c->info.code = code;
        (void)!wsb_peer_flush(&c->peer, &ignored);
    }
    wsb_line_end(c, reason, words[reason]);
}

void wsb_line_lost(struct wsb_line *c, wsb_err err, const char *why)
{
    enum wsb_reason reason = err == WSB_ERR_NOMEM ? WSB_REASON_NOMEM
                             : err == WSB_ERR_IO  ? WSB_REASON_IO
                                                  : WSB_REASON_TLS;
    wsb_line_end(c, reason, why);
}

/* ----------------------------------------------------------------- what has come */

static void on_message(struct wsb_line *c, const struct wsb_ws_event *ev)
{
    if (c->state != WSB_LINE_OPEN) /* we have said goodbye: nobody will read it */
        return;
    struct wsb_line_message *m = malloc(sizeof *m + ev->len);
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

static void on_pong(struct wsb_line *c, const struct wsb_ws_event *ev)
{
    if (ev->len == 0)
        c->asked_ms = 0;
    for (struct wsb_line_pong *p = c->pongs; p; p = p->next) {
        if (p->len == ev->len && memcmp(p->data, ev->control, ev->len) == 0)
            p->is_there = true;
    }
}

static void on_close(struct wsb_line *c, const struct wsb_ws_event *ev)
{
    struct wsb_fault ignored;
    uint16_t code = ev->has_code ? ev->code : WSB_CLOSE_NO_STATUS;
    if (c->state == WSB_LINE_OPEN) { /* the same code back, RFC 6455 §5.5.1 */
        (void)!wsb_peer_send_close(&c->peer, code, wsb_span(NULL, 0), &ignored);
        (void)!wsb_peer_flush(&c->peer, &ignored);
        c->info.code = code;
        (void)snprintf(c->info.reason, sizeof c->info.reason, "%.*s", (int)ev->len, (const char *)ev->control);
    }
    c->info.clean = true;
    wsb_line_end(c, WSB_REASON_CLOSED, "the connection is closed");
}

static void on_event(struct wsb_line *c, const struct wsb_ws_event *ev)
{
    struct wsb_fault fault = {0};
    wsb_err err = WSB_OK;
    switch (ev->type) {
    case WSB_WS_MESSAGE:
        on_message(c, ev);
        break;
    case WSB_WS_PING:
        if (c->state == WSB_LINE_OPEN)
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
        wsb_line_lost(c, err, fault.text);
}

bool wsb_line_has_room(const struct wsb_line *c)
{
    return c->queued < QUEUE_BYTES && wsb_peer_pending(&c->peer) < 2 * (size_t)WSB_LINE_OUT_BYTES;
}

/* Events out of what has come, as long as somebody may want them. */
void wsb_line_parse(struct wsb_line *c)
{
    while (c->state != WSB_LINE_OVER && wsb_line_has_room(c)) {
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

void wsb_line_fill(struct wsb_line *c)
{
    struct wsb_fault fault = {0};
    wsb_err err = wsb_peer_fill(&c->peer, &fault);
    if (!err)
        c->heard_ms = wsb_monotonic_ms();
    wsb_line_parse(c);
    if (err == WSB_CLOSED && wsb_line_has_room(c)) /* else something is left that nobody has had room for */
        wsb_line_end(c, WSB_REASON_IO, "the server closed the connection without a goodbye");
    else if (err && err != WSB_AGAIN)
        wsb_line_lost(c, err, fault.text);
}

void wsb_line_flush(struct wsb_line *c)
{
    struct wsb_fault fault = {0};
    wsb_err err = c->state == WSB_LINE_OVER ? WSB_OK : wsb_peer_flush(&c->peer, &fault);
    if (err && err != WSB_AGAIN)
        wsb_line_lost(c, err, fault.text);
}

/* ------------------------------------------------------------------ to the program */

bool wsb_line_take(struct wsb_line *c, struct wsb_message *ret)
{
    struct wsb_line_message *m = c->first;
    if (!m)
        return false;
    c->first = m->next;
    if (!m->next)
        c->end = &c->first;
    c->queued -= sizeof *m + m->len;
    c->current = m;
    *ret = (struct wsb_message){
        .opcode = m->opcode == WSB_OP_TEXT ? WSB_TEXT : WSB_BINARY, .data = m->data, .len = m->len};
    return true;
}

/* Our own pings; returns when to look again. */
uint64_t wsb_line_keep_alive(struct wsb_line *c, uint64_t now_ms)
{
    struct wsb_fault fault = {0};
    if (!c->ping_interval_ms || c->state != WSB_LINE_OPEN)
        return WSB_LINE_FOREVER;
    if (c->asked_ms) {
        uint64_t due_ms = c->asked_ms + c->ping_timeout_ms;
        if (c->heard_ms > c->asked_ms) /* something came: it lives, and its pong may be behind that */
            due_ms = c->heard_ms + c->ping_timeout_ms;
        if (now_ms >= due_ms)
            wsb_line_end(c, WSB_REASON_IO, "the server does not answer pings");
        return due_ms;
    }
    uint64_t due_ms = c->heard_ms + c->ping_interval_ms;
    if (now_ms < due_ms)
        return due_ms;
    c->asked_ms = now_ms;
    if (wsb_peer_send(&c->peer, WSB_OP_PING, wsb_span(NULL, 0), &fault) != WSB_OK)
        wsb_line_lost(c, fault.err, fault.text);
    wsb_line_flush(c);
    return now_ms + c->ping_timeout_ms;
}
