/* One round: the phase, what it asks for, then whatever epoll says. */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "connecting.h"
#include "ws/mask.h"

enum { EVENTS = 256, ROUND_NS = 20000000 /* how late a new phase may be noticed */ };

wsb_err wsl_worker_init(struct wsl_worker *w, uint32_t first_conn, unsigned conn_count)
{
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->conns = calloc(conn_count, sizeof *w->conns);
    w->scratch = malloc(WSL_SCRATCH);
    wsb_buf_init(&w->frames, 0);
    if (w->epoll < 0)
        return WSB_ERR_IO;
    if (!w->conns || !w->scratch)
        return WSB_ERR_NOMEM;
    wsb_buf_init(&w->plain, 0);
    w->account.max = SIZE_MAX;
    if (w->shared->o->deflate && wsb_deflate_shared_new(&w->deflate, &w->account))
        return WSB_ERR_NOMEM;
    w->conn_count = conn_count;
    for (unsigned i = 0; i < conn_count; i++)
        wsl_conn_init(&w->conns[i], first_conn + i, w->shared->o->max_message);
    return WSB_OK;
}

void wsl_worker_deinit(struct wsl_worker *w)
{
    for (unsigned i = 0; i < w->conn_count; i++) {
        wsl_conn_deinit(&w->conns[i]);
        free(w->conns[i].slots);
    }
    free(w->conns);
    free(w->scratch);
    wsb_buf_deinit(&w->frames);
    wsb_buf_deinit(&w->plain);
    wsb_deflate_shared_free(w->deflate);
    w->deflate = NULL;
    if (w->epoll >= 0)
        (void)close(w->epoll);
    w->conns = NULL;
    w->scratch = NULL;
    w->conn_count = 0;
    w->epoll = -1;
}

void wsl_worker_lose(struct wsl_worker *w, struct wsl_conn *c, enum wsl_count why, const char *words)
{
    struct wsb_fault fault = {0};
    if (c->state == WSL_DEAD)
        return;
    (void)wsb_fault_set(&fault, WSB_CLOSED, 0, "connection %u: %s", c->number, words);
    if (why < WSL_FAILURES)
        wsl_tally_fault(&w->tally, why, &fault);
    else
        w->tally.counts[why]++;
    wsl_conn_deinit(c);
    atomic_fetch_sub(&w->alive, 1);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

/* Masks of a client have to be unpredictable to others (RFC 6455 §5.3); here they only have to differ. */
static void next_mask(struct wsl_worker *w, uint8_t mask[4])
{
    w->random = w->random * 6364136223846793005u + 1442695040888963407u;
    uint32_t value = (uint32_t)(w->random >> 32);
    memcpy(mask, &value, 4);
}

/* What a message is made of: the payload as it is, or packed. */
struct source {
    const struct wsl_payload *payload;
    const struct wsl_stamp *stamp;
    struct wsb_span packed; /* ptr NULL: it is not */
};

static void write_masked(const struct source *s, size_t at, size_t len, const uint8_t mask[4], uint8_t *out)
{
    if (s->packed.ptr)
        wsb_mask_copy(out, s->packed.ptr + at, len, mask, /*phase=*/0);
    else
        wsl_payload_write_masked(s->payload, s->stamp, at, len, mask, out);
}

static wsb_err append_frames(struct wsl_worker *w, const struct source *s, size_t size)
{
    const struct wsl_options *o = w->shared->o;
    size_t piece = o->fragment ? o->fragment : size, done = 0;
    struct wsb_frame_hdr hdr = {.opcode = o->binary ? WSB_OP_BINARY : WSB_OP_TEXT, .masked = true};
    hdr.rsv = s->packed.ptr ? WSB_RSV1 : 0;
    do {
        size_t len = size - done < piece ? size - done : piece;
        hdr.fin = done + len == size;
        hdr.payload_len = len;
        next_mask(w, hdr.mask);
        wsb_err err = wsb_buf_reserve(&w->frames, WSB_FRAME_HDR_MAX + len);
        if (err)
            return err;
        w->frames.len += wsb_frame_hdr_write(w->frames.data + w->frames.len, &hdr);
        write_masked(s, done, len, hdr.mask, w->frames.data + w->frames.len);
        w->frames.len += len;
        done += len;
        hdr.opcode = WSB_OP_CONTINUATION;
        hdr.rsv = 0;
    } while (done < size);
    return WSB_OK;
}

/* WSB_AGAIN: it goes as it is. */
static wsb_err pack(struct wsl_worker *w, struct wsl_conn *c, struct source *s)
{
    static const uint8_t no_mask[4] = {0};
    size_t size = w->shared->o->size;
    wsb_buf_clear(&w->plain);
    wsb_err err = wsb_buf_reserve(&w->plain, size + 1);
    if (err)
        return err;
    wsl_payload_write_masked(s->payload, s->stamp, 0, size, no_mask, w->plain.data);
    return wsb_deflate_pack(c->deflate, WSB_DEFLATE_IN_ORDER, wsb_span(w->plain.data, size), &s->packed);
}

wsb_err wsl_worker_frame(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_stamp *stamp)
{
    struct source s = {.payload = w->shared->payload, .stamp = stamp};
    wsb_err err = c->deflate ? pack(w, c, &s) : WSB_AGAIN;
    if (err && err != WSB_AGAIN)
        return err;
    return append_frames(w, &s, s.packed.ptr ? s.packed.len : w->shared->o->size);
}

bool wsl_worker_send(struct wsl_worker *w, struct wsl_conn *c)
{
    wsb_err err = w->frames.len ? wsl_conn_send(c, w->epoll, wsb_buf_span(&w->frames)) : WSB_OK;
    if (err)
        wsl_worker_lose(w, c, WSL_DISCONNECTED, err == WSB_CLOSED ? "gone" : wsb_err_name(err));
    return !err;
}

/* A control frame. False: the connection is lost. */
static bool send_control(struct wsl_worker *w, struct wsl_conn *c, uint8_t opcode, struct wsb_span payload)
{
    struct wsb_frame_hdr hdr = {.opcode = opcode, .fin = true, .masked = true, .payload_len = payload.len};
    uint8_t frame[WSB_FRAME_HDR_MAX + WSB_FRAME_CONTROL_MAX];
    size_t len = wsb_frame_hdr_write(frame, &hdr); /* a mask of zeros */
    if (payload.len)
        memcpy(frame + len, payload.ptr, payload.len);
    wsb_err err = wsl_conn_send(c, w->epoll, wsb_span(frame, len + payload.len));
    if (err)
        wsl_worker_lose(w, c, WSL_DISCONNECTED, "gone");
    return !err;
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

static void on_close(struct wsl_worker *w, struct wsl_conn *c, struct wsb_span payload)
{
    char words[64];
    if (c->state == WSL_CLOSING) {
        wsl_worker_lose(w, c, WSL_CLEAN_CLOSES, "");
        return;
    }
    if (!send_control(w, c, WSB_OP_CLOSE, wsb_span(payload.ptr, payload.len < 2 ? 0 : 2)))
        return;
    (void)snprintf(words, sizeof words, "closed by the server with code %d",
                   payload.len >= 2 ? payload.ptr[0] << 8 | payload.ptr[1] : 1005);
    wsl_worker_lose(w, c, WSL_SERVER_CLOSED, words);
}

static void on_message(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_incoming *in, uint64_t now_ns)
{
    bool ours = w->load->message != NULL;
    if (ours && in->opcode != (w->shared->o->binary ? WSB_OP_BINARY : WSB_OP_TEXT))
        w->tally.counts[WSL_OTHER_OPCODE]++;
    if (ours)
        w->load->message(w, c, in, now_ns);
    else
        w->tally.counts[WSL_FOREIGN]++;
}

/* RFC 7692 §6.2 */
static wsb_err unpack(struct wsl_worker *w, struct wsl_conn *c, struct wsl_incoming *in)
{
    struct wsb_ws_event ev = {.type = WSB_WS_MESSAGE,
                              .opcode = in->opcode,
                              .rsv = in->rsv,
                              .payload = in->payload.ptr,
                              .len = in->payload.len};
    wsb_err err = wsb_deflate_unpack(c->deflate, &ev, w->shared->o->max_message);
    if (!err)
        in->payload = wsb_span(ev.payload, ev.len);
    return err;
}

static void dispatch(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_incoming *in, uint64_t now_ns)
{
    switch (in->opcode) {
    case WSB_OP_PING:
        w->tally.counts[WSL_PINGS]++;
        (void)send_control(w, c, WSB_OP_PONG, in->payload);
        break;
    case WSB_OP_PONG:
        w->tally.counts[WSL_PONGS]++;
        break;
    case WSB_OP_CLOSE:
        on_close(w, c, in->payload);
        break;
    default:
        on_message(w, c, in, now_ns);
    }
}

/* All frames of one read; false when the connection has ended. */
static bool take_all(struct wsl_worker *w, struct wsl_conn *c, struct wsb_span in)
{
    uint64_t now_ns = wsl_now_ns();
    struct wsl_incoming incoming;
    size_t need;
    wsb_err err;
    while ((err = wsl_reader_next(&c->reader, &in, &incoming, &need)) == WSB_OK) {
        if (incoming.rsv && (err = unpack(w, c, &incoming)))
            break;
        dispatch(w, c, &incoming, now_ns);
        if (c->state == WSL_DEAD)
            return false;
    }
    if (err == WSB_MORE)
        err = wsl_conn_keep(c, in, need);
    if (err) {
        wsl_worker_lose(w, c, WSL_PROTOCOL, wsb_err_name(err));
        return false;
    }
    if (w->load->taken)
        w->load->taken(w, c, now_ns);
    return c->state != WSL_DEAD;
}

/* TLS may hold bytes that epoll knows nothing of, so it is read until there are none. */
static void receive(struct wsl_worker *w, struct wsl_conn *c)
{
    wsb_err err;
    do {
        struct wsb_span in;
        w->tally.counts[WSL_READS]++;
        err = wsl_conn_read(c, w->scratch, WSL_SCRATCH, &in);
        if (err == WSB_OK && !take_all(w, c, in))
            return;
    } while (err == WSB_OK && c->stream.tls);
    if (err == WSB_ERR_NOMEM)
        wsl_worker_lose(w, c, WSL_DISCONNECTED, "out of memory");
    else if (err && err != WSB_AGAIN)
        wsl_worker_lose(w, c, WSL_DISCONNECTED, "gone without a Close frame");
}

static void on_event(struct wsl_worker *w, struct wsl_conn *c, uint32_t events)
{
    if (c->state < WSL_OPEN) {
        wsl_connecting_step(w, c, events);
        /* Frames may have come along with the answer. */
        if (c->state == WSL_OPEN && (c->in.len ? take_all(w, c, wsb_buf_span(&c->in)) : c->stream.tls != NULL))
            receive(w, c);
        return;
    }
    if (c->state == WSL_DEAD)
        return;
    if ((events & EPOLLOUT) && wsl_conn_flush(c, w->epoll)) {
        wsl_worker_lose(w, c, WSL_DISCONNECTED, "gone");
        return;
    }
    if (events & ~(uint32_t)EPOLLOUT)
        receive(w, c);
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

static void close_all(struct wsl_worker *w)
{
    static const uint8_t normal[2] = {1000 >> 8, 1000 & 0xff};
    for (unsigned i = 0; i < w->conn_count; i++) {
        struct wsl_conn *c = &w->conns[i];
        if (c->state == WSL_OPEN && send_control(w, c, WSB_OP_CLOSE, wsb_span(normal, sizeof normal)))
            c->state = WSL_CLOSING;
    }
}

static void wait_and_serve(struct wsl_worker *w, uint64_t wait_ns)
{
    struct epoll_event events[EVENTS];
    struct timespec longest = {.tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000)};
    int count = epoll_pwait2(w->epoll, events, EVENTS, &longest, NULL);
    for (int i = 0; i < count; i++)
        on_event(w, events[i].data.ptr, events[i].events);
}

static void *run(void *arg)
{
    struct wsl_worker *w = arg;
    bool has_closed = false;
    uint64_t deadline_ns = wsl_now_ns() + (uint64_t)(w->shared->o->connect_s * 1e9);
    (void)prctl(PR_SET_TIMERSLACK, 1000); /* ns: a schedule wants to be woken in time */
    for (;;) {
        enum wsl_phase phase = wsl_phase_of(w->shared);
        uint64_t wait_ns = ROUND_NS;
        if (phase == WSL_EXIT)
            return NULL;
        if (phase == WSL_CONNECT && !atomic_load(&w->is_connected))
            wsl_connecting_round(w, wsl_now_ns(), deadline_ns);
        if (phase == WSL_WARM_UP || phase == WSL_MEASURE || phase == WSL_DRAIN)
            w->load->round(w, phase, wsl_now_ns(), &wait_ns);
        if (phase == WSL_CLOSE && !has_closed) {
            has_closed = true;
            close_all(w);
        }
        wait_and_serve(w, wait_ns);
    }
}

wsb_err wsl_worker_start(struct wsl_worker *w)
{
    return pthread_create(&w->thread, NULL, run, w) ? WSB_ERR_IO : WSB_OK;
}
