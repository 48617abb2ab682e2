/*
 * The physical limit that a gate is compared with: a server of one process that does what no WebSocket server can leave out,
 * and nothing else. It prints "port=N" and serves until it is killed.
 *
 *   copy      recv, unmask into a reply, send: the limit of small messages
 *   in-place  the reply is made in the bytes that were received: saves a pass over large ones
 *
 * In both, what comes on /pub is framed once and sent to everybody on /sub; and a connection that is idle costs its
 * socket and one small struct: the limits of fan-out and of idle connections.
 */
#include <string.h>

#include "bench/common.h"
#include "bench/server.h"
#include "ws/mask.h"

/* Payload of a whole frame at the front of data; WSB_MORE. */
static wsb_err next_frame(uint8_t *data, size_t len, struct wsb_frame_hdr *ret_hdr, size_t *ret_head)
{
    wsb_err err = len ? wsb_frame_hdr_parse(data, len, WSB_ROLE_SERVER, 0, ret_hdr, ret_head) : WSB_MORE;
    return err || ret_hdr->payload_len <= len - *ret_head ? err : WSB_MORE;
}

/* Append a frame of the server with this payload, unmasked. */
static wsb_err append(struct wsb_buf *out, struct wsb_frame_hdr hdr, const uint8_t *payload)
{
    size_t len = (size_t)hdr.payload_len;
    wsb_err err = wsb_buf_reserve(out, WSB_FRAME_HDR_MAX + len);
    if (err)
        return err;
    hdr.masked = false;
    out->len += wsb_frame_hdr_write(out->data + out->len, &hdr);
    wsb_mask_copy(out->data + out->len, payload, len, hdr.mask, 0);
    out->len += len;
    return WSB_OK;
}

/* Every frame back as it came, a Close frame too. */
static wsb_err take_copying(struct server *s, struct client *c, uint8_t *data, size_t len, size_t *ret_used)
{
    struct wsb_frame_hdr hdr;
    size_t at = 0, head;
    wsb_err err;
    while ((err = next_frame(data + at, len - at, &hdr, &head)) == WSB_OK) {
        bool is_published = c->path == PATH_PUB && !wsb_opcode_is_control(hdr.opcode);
        err = append(is_published ? &s->publish : &s->reply, hdr, data + at + head);
        if (err)
            return err;
        at += head + (size_t)hdr.payload_len;
    }
    *ret_used = at;
    return err;
}

/* Forwards, eight bytes at a time: dst lies below src by the length of a mask or more, and may overlap it. */
static void unmask_down(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4])
{
    typedef uint64_t wide __attribute__((vector_size(32)));
    uint32_t key;
    memcpy(&key, mask, sizeof key);
    uint64_t twice = (uint64_t)key << 32 | key;
    const wide keys = {twice, twice, twice, twice};
    size_t i = 0;
    for (; i + sizeof(wide) <= len; i += sizeof(wide)) {
        wide block;
        memcpy(&block, src + i, sizeof block);
        block ^= keys;
        memcpy(dst + i, &block, sizeof block);
    }
    for (; i < len; i++)
        dst[i] = src[i] ^ mask[i & 3];
}

/* A frame of the server is four bytes shorter than the client's, so the reply never overtakes what it is made from. */
static wsb_err take_in_place(struct server *s, struct client *c, uint8_t *data, size_t len, size_t *ret_used)
{
    struct wsb_frame_hdr hdr;
    size_t at = 0, made = 0, head;
    wsb_err err;
    if (c->path == PATH_PUB || s->reply.len) /* behind a handshake */
        return take_copying(s, c, data, len, ret_used);
    while ((err = next_frame(data + at, len - at, &hdr, &head)) == WSB_OK) {
        hdr.masked = false;
        made += wsb_frame_hdr_write(data + made, &hdr);
        unmask_down(data + made, data + at + head, (size_t)hdr.payload_len, hdr.mask);
        made += (size_t)hdr.payload_len;
        at += head + (size_t)hdr.payload_len;
    }
    *ret_used = at;
    if (made && server_send(s, c, data, made))
        return WSB_CLOSED;
    return err;
}

int main(int argc, char **argv)
{
    const char *mode = argc == 2 ? argv[1] : "copy";
    if (strcmp(mode, "copy") == 0)
        server_run(take_copying);
    if (strcmp(mode, "in-place") == 0)
        server_run(take_in_place);
    bench_die("usage: bench_limit [copy|in-place]");
}
