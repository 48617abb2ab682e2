/* Two ways for bytes, in and out; with TLS both have one stage more. */
#include "dial/peer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ws/close.h"
#include "ws/mask.h"

enum { READ_BYTES = 64 << 10, PACK_MIN = 64, PACK_LEVEL = 1, KEEP_BYTES = 256 << 10 };

void wsb_peer_init(struct wsb_peer *p)
{
    *p = (struct wsb_peer){.fd = -1};
}

void wsb_peer_deinit(struct wsb_peer *p)
{
    if (p->fd >= 0)
        (void)close(p->fd);
    wsb_tls_stream_free(p->tls);
    wsb_deflate_free(p->deflate);
    wsb_deflate_shared_free(p->shared);
    if (p->is_websocket)
        wsb_ws_in_deinit(&p->ws);
    wsb_buf_deinit(&p->cipher);
    wsb_buf_deinit(&p->in);
    wsb_buf_deinit(&p->plain);
    wsb_buf_deinit(&p->out);
    wsb_peer_init(p);
}

static wsb_err nomem(struct wsb_fault *fault)
{
    return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
}

/* Drop what is used off the front; a buffer that is empty and large is given back. */
static void compact(struct wsb_buf *b, size_t *at)
{
    if (*at == b->len) {
        if (b->cap > KEEP_BYTES)
            wsb_buf_deinit(b);
        else
            wsb_buf_clear(b);
    } else {
        wsb_buf_consume(b, *at);
    }
    *at = 0;
}

/* ------------------------------------------------------------------- bytes in */

/* One read of the socket, behind what is there. */
static wsb_err receive(struct wsb_peer *p, struct wsb_buf *into, struct wsb_fault *fault)
{
    ssize_t n;
    if (wsb_buf_reserve(into, READ_BYTES) != WSB_OK)
        return nomem(fault);
    do
        n = recv(p->fd, into->data + into->len, READ_BYTES, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        into->len += (size_t)n;
        return WSB_OK;
    }
    if (n == 0)
        return WSB_CLOSED;
    return errno == EAGAIN || errno == EWOULDBLOCK
               ? WSB_AGAIN
               : wsb_fault_set(fault, WSB_ERR_IO, errno, "the connection was lost: %s", strerror(errno));
}

/* What TLS wants to say goes behind what waits for the kernel. */
static wsb_err io_begin(struct wsb_peer *p, struct wsb_tls_io *io, size_t room, struct wsb_fault *fault)
{
    if (wsb_buf_reserve(&p->out, room) != WSB_OK)
        return nomem(fault);
    *io = (struct wsb_tls_io){.in = wsb_buf_span(&p->cipher), .out = p->out.data + p->out.len, .room = room};
    return WSB_OK;
}

static void io_end(struct wsb_peer *p, const struct wsb_tls_io *io)
{
    p->out.len += io->len;
    wsb_buf_consume(&p->cipher, p->cipher.len - io->in.len);
}

/* What stands in front of a goodbye comes first, even when one read brings both. */
static wsb_err decipher(struct wsb_peer *p, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    size_t before = p->in.len;
    while (!err) {
        struct wsb_tls_io io;
        size_t len = 0;
        if (wsb_buf_reserve(&p->in, WSB_TLS_RECORD_BYTES) != WSB_OK)
            return nomem(fault);
        err = io_begin(p, &io, WSB_TLS_RECORD_BYTES + WSB_TLS_RECORD_ROOM, fault);
        if (err)
            return err;
        err = wsb_tls_stream_read(p->tls, &io, p->in.data + p->in.len, WSB_TLS_RECORD_BYTES, &len, fault);
        io_end(p, &io);
        if (!err)
            p->in.len += len;
    }
    if (err == WSB_CLOSED) {
        p->has_ended = true;
        return p->in.len > before ? WSB_OK : WSB_CLOSED;
    }
    return err == WSB_MORE ? WSB_OK : err;
}

wsb_err wsb_peer_fill(struct wsb_peer *p, struct wsb_fault *fault)
{
    compact(&p->in, &p->in_at);
    if (!p->tls)
        return receive(p, &p->in, fault);
    if (p->has_ended)
        return WSB_CLOSED;
    wsb_err err = receive(p, &p->cipher, fault);
    if (err == WSB_CLOSED && wsb_tls_stream_is_open(p->tls))
        return wsb_fault_set(fault, WSB_ERR_IO, 0, "the connection was cut off: TLS was not ended");
    if (err || !wsb_tls_stream_is_open(p->tls))
        return err;
    return decipher(p, fault);
}

struct wsb_span wsb_peer_unread(const struct wsb_peer *p)
{
    return wsb_span(p->in.data + p->in_at, p->in.len - p->in_at);
}

void wsb_peer_use(struct wsb_peer *p, size_t count)
{
    p->in_at += count;
}

struct wsb_buf wsb_peer_take_unread(struct wsb_peer *p)
{
    wsb_buf_consume(&p->in, p->in_at);
    struct wsb_buf unread = p->in;
    wsb_buf_init(&p->in, 0);
    p->in_at = 0;
    return unread;
}

/* ------------------------------------------------------------------ bytes out */

size_t wsb_peer_pending(const struct wsb_peer *p)
{
    return p->out.len - p->out_at;
}

wsb_err wsb_peer_flush(struct wsb_peer *p, struct wsb_fault *fault)
{
    while (wsb_peer_pending(p)) {
        ssize_t n = send(p->fd, p->out.data + p->out_at, wsb_peer_pending(p), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return WSB_AGAIN;
        if (n < 0)
            return wsb_fault_set(fault, WSB_ERR_IO, errno, "the connection was lost: %s", strerror(errno));
        p->out_at += (size_t)n;
    }
    compact(&p->out, &p->out_at);
    return WSB_OK;
}

/* Without memory nothing is sent; once a part is sealed what is missing behind it cannot be left out any more. */
static wsb_err encipher(struct wsb_peer *p, struct wsb_span bytes, struct wsb_fault *fault)
{
    const size_t all = bytes.len;
    while (bytes.len) {
        struct wsb_tls_io io;
        size_t used = 0;
        wsb_err err = io_begin(p, &io, 2 * (WSB_TLS_RECORD_BYTES + WSB_TLS_RECORD_ROOM), fault);
        if (err)
            return bytes.len == all ? err : wsb_fault_set(fault, WSB_ERR_IO, 0, "out of memory inside a message");
        err = wsb_tls_stream_write(p->tls, &io, bytes, &used, fault);
        io_end(p, &io);
        if (err)
            return err;
        bytes = wsb_span(bytes.ptr + used, bytes.len - used);
    }
    return WSB_OK;
}

wsb_err wsb_peer_put(struct wsb_peer *p, struct wsb_span bytes, struct wsb_fault *fault)
{
    if (p->tls)
        return encipher(p, bytes, fault);
    return wsb_buf_append(&p->out, bytes.ptr, bytes.len) == WSB_OK ? WSB_OK : nomem(fault);
}

wsb_err wsb_peer_shake(struct wsb_peer *p, struct wsb_fault *fault)
{
    struct wsb_tls_io io;
    wsb_err err = io_begin(p, &io, 2 * WSB_TLS_RECORD_BYTES, fault);
    if (err)
        return err;
    err = wsb_tls_stream_handshake(p->tls, &io, fault);
    io_end(p, &io);
    if (!err)
        err = decipher(p, fault);            /* something may have come with its last message */
    return err == WSB_CLOSED ? WSB_OK : err; /* a goodbye: the next fill says so */
}

/* --------------------------------------------------------------------- frames */

wsb_err wsb_peer_begin(struct wsb_peer *p, size_t max_message, const struct wsb_deflate_params *params)
{
    static struct wsb_deflate_account account = {.max = (size_t)1 << 30};
    uint32_t most = (uint32_t)(max_message < UINT32_MAX ? max_message : UINT32_MAX);
    struct wsb_ws_limits limits = {.max_message = most, .max_frame = most, .max_fragments = 0};
    wsb_err err = params ? wsb_deflate_shared_new(&p->shared, &account) : WSB_OK;
    if (!err && params)
        err = wsb_deflate_new(&p->deflate, p->shared, WSB_ROLE_CLIENT, params, PACK_LEVEL);
    if (err)
        return err;
    wsb_ws_in_init(&p->ws, WSB_ROLE_CLIENT, params ? WSB_RSV1 : 0, &limits);
    p->is_websocket = true;
    p->max_message = max_message;
    return WSB_OK;
}

wsb_err wsb_peer_next(struct wsb_peer *p, struct wsb_ws_event *ret)
{
    struct wsb_span in = wsb_peer_unread(p);
    size_t used = 0;
    wsb_err err = wsb_ws_in_next(&p->ws, in.ptr, in.len, &used, ret);
    wsb_peer_use(p, used);
    if (!err && ret->type == WSB_WS_MESSAGE && (ret->rsv & WSB_RSV1))
        err = wsb_deflate_unpack(p->deflate, ret, p->max_message);
    return err;
}

/* RFC 6455 §5.3, §10.3: nobody may be able to tell the next one. */
static bool mask_next(struct wsb_peer *p, uint8_t ret[4])
{
    if (p->random_left < 4) {
        if (getrandom(p->random, sizeof p->random, 0) != (ssize_t)sizeof p->random)
            return false;
        p->random_left = sizeof p->random;
    }
    p->random_left -= 4;
    memcpy(ret, p->random + p->random_left, 4);
    return true;
}

static wsb_err frame_put(struct wsb_peer *p, uint8_t opcode, uint8_t rsv, struct wsb_span payload,
                         struct wsb_fault *fault)
{
    struct wsb_frame_hdr h = {.opcode = opcode, .fin = true, .rsv = rsv, .masked = true, .payload_len = payload.len};
    struct wsb_buf *to = p->tls ? &p->plain : &p->out;
    if (!mask_next(p, h.mask))
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no random numbers: %s", strerror(errno));
    if (wsb_buf_reserve(to, WSB_FRAME_HDR_MAX + payload.len) != WSB_OK)
        return nomem(fault);
    to->len += wsb_frame_hdr_write(to->data + to->len, &h);
    wsb_mask_copy(to->data + to->len, payload.ptr, payload.len, h.mask, 0);
    to->len += payload.len;
    if (!p->tls)
        return WSB_OK;
    wsb_err err = encipher(p, wsb_buf_span(to), fault);
    size_t all = to->len;
    compact(to, &all);
    return err;
}

wsb_err wsb_peer_send(struct wsb_peer *p, uint8_t opcode, struct wsb_span payload, struct wsb_fault *fault)
{
    struct wsb_span packed;
    bool may_pack = p->deflate && !wsb_opcode_is_control(opcode) && payload.len >= PACK_MIN;
    if (!may_pack || wsb_deflate_pack(p->deflate, WSB_DEFLATE_IN_ORDER, payload, &packed) != WSB_OK)
        return frame_put(p, opcode, 0, payload, fault);
    wsb_err err = frame_put(p, opcode, WSB_RSV1, packed, fault);
    if (err)
        wsb_deflate_forget(p->deflate);
    return err;
}

wsb_err wsb_peer_send_close(struct wsb_peer *p, uint16_t code, struct wsb_span reason, struct wsb_fault *fault)
{
    uint8_t frame[WSB_CLOSE_FRAME_MAX];
    size_t len = wsb_close_frame_write(frame, code, reason); /* as a server would: two bytes, and the payload */
    if (len < 2)
        return wsb_fault_set(fault, WSB_ERR_MISUSE, 0, "code %u may not be sent", (unsigned)code);
    return frame_put(p, WSB_OP_CLOSE, 0, wsb_span(frame + 2, len - 2), fault);
}
