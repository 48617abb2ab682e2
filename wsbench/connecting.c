/* Each failure is counted by what it was, and ends that connection only. */
#include "connecting.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

static uint64_t next_random(struct wsl_worker *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

static void fail(struct wsl_worker *w, struct wsl_conn *c, enum wsl_count why, const struct wsb_fault *fault)
{
    wsl_tally_fault(&w->tally, why, fault);
    wsl_conn_deinit(c);
    w->under_way--;
}

static enum wsl_count count_of(wsb_err err)
{
    return err == WSB_ERR_REFUSED ? WSL_REFUSED : WSL_NOT_CONNECTED;
}

static void begin(struct wsl_worker *w, struct wsl_conn *c)
{
    const struct wsl_shared *s = w->shared;
    struct wsb_fault fault = {0};
    c->began_ns = wsl_now_ns();
    c->state = WSL_CONNECTING;
    w->under_way++;
    wsb_err err = wsl_stream_open(&c->stream, s->target, s->o->sources, c->number, &fault);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    if (!err && epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->stream.fd, &event))
        err = wsb_fault_set(&fault, WSB_ERR_IO, errno, "epoll: %s", strerror(errno));
    c->wants_write = true;
    if (err)
        fail(w, c, count_of(err), &fault);
}

static void give_up(struct wsl_worker *w)
{
    struct wsb_fault fault = {0};
    (void)wsb_fault_set(&fault, WSB_ERR_TIMEOUT, 0, "not connected within %g s", w->shared->o->connect_s);
    for (unsigned i = 0; i < w->conn_count; i++) {
        struct wsl_conn *c = &w->conns[i];
        if (c->state >= WSL_OPEN)
            continue;
        if (c->state == WSL_NEW)
            w->under_way++; /* fail() takes it back */
        fail(w, c, WSL_TIMED_OUT, &fault);
    }
    w->begun = w->conn_count;
}

void wsl_connecting_round(struct wsl_worker *w, uint64_t now_ns, uint64_t deadline_ns)
{
    uint64_t handshakes = w->shared->o->handshakes / w->shared->worker_count; /* of all workers together */
    while (w->begun < w->conn_count && w->under_way < (handshakes ? handshakes : 1))
        begin(w, &w->conns[w->begun++]);
    if (now_ns > deadline_ns)
        give_up(w);
    if (w->begun == w->conn_count && !w->under_way)
        atomic_store(&w->is_connected, true);
}

static void ask(struct wsl_worker *w, struct wsl_conn *c)
{
    const struct wsl_shared *s = w->shared;
    struct wsb_fault fault = {0};
    const char *path = c->publishes && s->o->publish_path ? s->o->publish_path : s->target->path;
    uint64_t random[2] = {next_random(w), next_random(w)};
    wsl_shake_key(random, c->key);
    c->state = WSL_SHAKING;
    wsb_buf_clear(&w->frames);
    wsb_err err = wsl_shake_write(&w->frames, s->o, s->target, path, c->number, c->key);
    if (!err)
        err = wsl_conn_flush(c, w->epoll); /* nothing is there: do not wait for room any more */
    if (!err)
        err = wsl_conn_send(c, w->epoll, wsb_buf_span(&w->frames));
    if (err) {
        (void)wsb_fault_set(&fault, err, 0, "closed before the handshake");
        fail(w, c, WSL_HANDSHAKE, &fault);
    }
}

static void secure(struct wsl_worker *w, struct wsl_conn *c)
{
    const struct wsl_shared *s = w->shared;
    struct wsb_fault fault = {0};
    c->state = WSL_SECURING;
    wsb_err err = wsl_stream_secure(&c->stream, s->tls, s->target->host, !s->o->insecure, &fault);
    if (err == WSB_OK) {
        ask(w, c);
    } else if (err == WSB_MORE) {
        if (wsl_conn_flush(c, w->epoll))
            fail(w, c, WSL_NOT_CONNECTED, &fault);
    } else if (err != WSB_AGAIN) {
        fail(w, c, WSL_HANDSHAKE, &fault);
    }
}

static bool subscribe(struct wsl_worker *w, struct wsl_conn *c)
{
    const char *text = w->shared->o->subscribe;
    if (!text || c->publishes)
        return true;
    struct wsb_frame_hdr hdr = {.opcode = WSB_OP_TEXT, .fin = true, .masked = true, .payload_len = strlen(text)};
    wsb_buf_clear(&w->frames);
    if (wsb_buf_reserve(&w->frames, WSB_FRAME_HDR_MAX + hdr.payload_len))
        return false;
    w->frames.len = wsb_frame_hdr_write(w->frames.data, &hdr);
    if (wsb_buf_append(&w->frames, text, strlen(text))) /* a mask of zeros */
        return false;
    return wsl_worker_send(w, c);
}

static void opened(struct wsl_worker *w, struct wsl_conn *c)
{
    uint64_t now_ns = wsl_now_ns();
    wsl_histogram_add(&w->handshake, now_ns - c->began_ns);
    w->last_open_ns = now_ns;
    w->under_way--;
    w->open++;
    atomic_fetch_add(&w->alive, 1);
    c->state = WSL_OPEN;
    (void)subscribe(w, c);
}

static bool compress(struct wsl_worker *w, struct wsl_conn *c, const struct wsb_deflate_params *params)
{
    c->reader.allowed_rsv = WSB_RSV1;
    return wsb_deflate_new(&c->deflate, w->deflate, WSB_ROLE_CLIENT, params, /*level=*/1) == WSB_OK;
}

static void hear(struct wsl_worker *w, struct wsl_conn *c)
{
    struct wsb_fault fault = {0};
    struct wsb_span in;
    size_t used = 0;
    int status = 0;
    wsb_err err = wsl_conn_read(c, w->scratch, WSL_SCRATCH, &in);
    if (err == WSB_AGAIN)
        return;
    if (err) {
        (void)wsb_fault_set(&fault, err, 0, "closed in the handshake");
        fail(w, c, WSL_HANDSHAKE, &fault);
        return;
    }
    struct wsb_deflate_params deflate = {0};
    err = wsl_shake_read(in, w->shared->o, c->key, &used, &status, &deflate, &fault);
    if (err != WSB_OK && err != WSB_MORE) {
        w->tally.http_status = status == 101 ? 0 : status;
        fail(w, c, WSL_HANDSHAKE, &fault);
        return;
    }
    if (wsl_conn_keep(c, wsb_span(in.ptr + used, in.len - used), 0) ||
        (err == WSB_OK && w->deflate && !compress(w, c, &deflate))) {
        (void)wsb_fault_set(&fault, WSB_ERR_NOMEM, 0, "out of memory");
        fail(w, c, WSL_NOT_CONNECTED, &fault);
    } else if (err == WSB_OK) {
        opened(w, c);
    }
}

void wsl_connecting_step(struct wsl_worker *w, struct wsl_conn *c, uint32_t events)
{
    struct wsb_fault fault = {0};
    if (c->state == WSL_CONNECTING) {
        wsb_err err = wsl_stream_connected(&c->stream, &fault);
        if (err)
            fail(w, c, count_of(err), &fault);
        else if (!(events & EPOLLOUT))
            return;
        else if (w->shared->tls)
            secure(w, c);
        else
            ask(w, c);
        return;
    }
    if (c->state == WSL_SECURING) {
        secure(w, c);
        return;
    }
    if ((events & EPOLLOUT) && wsl_conn_flush(c, w->epoll)) {
        (void)wsb_fault_set(&fault, WSB_CLOSED, 0, "closed in the handshake");
        fail(w, c, WSL_HANDSHAKE, &fault);
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT)
        hear(w, c);
}
