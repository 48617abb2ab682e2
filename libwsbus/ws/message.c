/*
 * The frame stream of one connection. The steps below each consume a part of the input and return WSB_OK (there is an
 * event), WSB_MORE (the input is used up), a failure, or WSB_AGAIN: the state has changed, take the next step.
 *
 * It relies on frame.c for what one header can break, and adds what concerns their order, sizes and payloads. It never
 * allocates by a length that a header claims.
 */
#include "ws/message.h"

#include <assert.h>
#include <string.h>

#include "base/size.h"
#include "base/span.h"
#include "ws/close.h"
#include "ws/mask.h"

_Static_assert(sizeof(struct wsb_ws_in) <= 64, "an idle connection pays for this");

/* Payloads are unmasked and checked in pieces that stay in the first-level cache between the two. */
enum { TAKE_CHUNK = 16 * 1024 };

static uint32_t limit_or_most(uint32_t limit)
{
    return limit ? limit : UINT32_MAX;
}

/* DEFLATE makes nothing longer by more than a few bytes in each block, whatever the block's size is in practice. */
static size_t packed_limit(uint32_t limit)
{
    return (size_t)limit + limit / 8 + 64;
}

void wsb_ws_in_init(struct wsb_ws_in *in, enum wsb_role role, uint8_t allowed_rsv, const struct wsb_ws_limits *limits)
{
    *in = (struct wsb_ws_in){
        .max_message = limit_or_most(limits->max_message),
        .max_frame = limit_or_most(limits->max_frame),
        .max_fragments = limit_or_most(limits->max_fragments),
        .state = WSB_WS_IN_HEAD,
        .role = role & 1u,
        .allowed_rsv = allowed_rsv & 7u,
    };
    size_t max; /* a control frame in the middle of a full message must still fit */
    if (!wsb_size_add(allowed_rsv ? packed_limit(in->max_message) : in->max_message, WSB_FRAME_CONTROL_MAX, &max))
        max = SIZE_MAX; /* 32-bit machines */
    wsb_buf_init(&in->buf, max);
}

void wsb_ws_in_deinit(struct wsb_ws_in *in)
{
    wsb_buf_deinit(&in->buf);
}

static bool has_message(const struct wsb_ws_in *in)
{
    return in->message_opcode != 0;
}

static void consume(struct wsb_span *rest, size_t n)
{
    if (n == 0)
        return; /* ptr may be NULL */
    rest->ptr += n;
    rest->len -= n;
}

/* Unmask one piece of text and go on with its check. Text that is all ASCII is checked by the unmasking itself. */
static wsb_err unmask_text(struct wsb_utf8 *utf8, uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4],
                           size_t phase)
{
    bool ascii = wsb_mask_copy_ascii(dst, src, len, mask, phase);
    if (ascii && wsb_utf8_is_complete(utf8))
        return WSB_OK;
    return wsb_utf8_feed(utf8, dst, len) ? WSB_OK : WSB_ERR_UTF8;
}

/* RFC 6455 §5.4: a continuation needs a message in flight, a new message needs none; control frames may come between. */
static wsb_err check_order(const struct wsb_ws_in *in, uint8_t opcode)
{
    if (wsb_opcode_is_control(opcode))
        return WSB_OK;
    return (opcode == WSB_OP_CONTINUATION) == has_message(in) ? WSB_OK : WSB_ERR_PROTO;
}

static wsb_err check_limits(const struct wsb_ws_in *in, const struct wsb_frame_hdr *hdr)
{
    size_t max_message = in->max_message;
    size_t max_frame = in->max_frame;
    size_t so_far = has_message(in) ? in->buf.len : 0;
    uint32_t fragments = has_message(in) ? in->fragments : 0;
    if (hdr->rsv || in->message_rsv) {
        max_message = packed_limit(in->max_message);
        max_frame = packed_limit(in->max_frame);
    }
    if (hdr->payload_len > max_frame || hdr->payload_len > max_message - so_far)
        return WSB_ERR_LIMIT;
    return fragments >= in->max_fragments ? WSB_ERR_LIMIT : WSB_OK;
}

/* RFC 6455 §5.5.1: nothing, or a code that may be sent and a reason in UTF-8. `got` bytes are there, all when `whole`. */
static wsb_err check_close_payload(const uint8_t *payload, size_t got, bool whole)
{
    if (got < 2)
        return whole && got == 1 ? WSB_ERR_PROTO : WSB_OK;
    if (!wsb_close_code_is_sendable((uint16_t)(payload[0] << 8 | payload[1])))
        return WSB_ERR_PROTO;
    struct wsb_utf8 utf8;
    wsb_utf8_init(&utf8);
    if (!wsb_utf8_feed(&utf8, payload + 2, got - 2))
        return WSB_ERR_UTF8;
    return whole && !wsb_utf8_is_complete(&utf8) ? WSB_ERR_UTF8 : WSB_OK;
}

static wsb_err finish_control(struct wsb_ws_in *in, uint8_t opcode, const uint8_t *payload, size_t len,
                              struct wsb_ws_event *ret_ev)
{
    size_t skip = 0;
    *ret_ev = (struct wsb_ws_event){.opcode = opcode, .checked = true};
    in->state = WSB_WS_IN_HEAD;
    switch (opcode) {
    case WSB_OP_PING:
        ret_ev->type = WSB_WS_PING;
        break;
    case WSB_OP_PONG:
        ret_ev->type = WSB_WS_PONG;
        break;
    default:
        assert(opcode == WSB_OP_CLOSE);
        ret_ev->type = WSB_WS_CLOSE;
        ret_ev->has_code = len >= 2;
        if (ret_ev->has_code) {
            ret_ev->code = (uint16_t)(payload[0] << 8 | payload[1]);
            skip = 2;
        }
        in->state = WSB_WS_IN_CLOSED; /* §5.5.1: nothing that follows counts */
        break;
    }
    ret_ev->len = len - skip;
    if (ret_ev->len)
        memcpy(ret_ev->control, payload + skip, ret_ev->len);
    return WSB_OK;
}

static wsb_err open_control(struct wsb_ws_in *in, const struct wsb_frame_hdr *hdr, struct wsb_span *rest,
                            struct wsb_ws_event *ret_ev)
{
    size_t len = (size_t)hdr->payload_len; /* at most 125, the parser has seen to it */
    if (hdr->opcode == WSB_OP_CLOSE && len == 1)
        return WSB_ERR_PROTO; /* half a code: known before the payload is there */
    if (len > rest->len) {
        in->state = WSB_WS_IN_CONTROL;
        in->control_opcode = hdr->opcode & 15u;
        in->control_len = 0;
        in->left = (uint32_t)len;
        memcpy(in->mask, hdr->mask, sizeof in->mask);
        return WSB_AGAIN;
    }
    /* The usual case, a frame that is there whole, takes no memory. */
    uint8_t payload[WSB_FRAME_CONTROL_MAX];
    wsb_mask_copy(payload, rest->ptr, len, hdr->mask, /*phase=*/0);
    if (hdr->opcode == WSB_OP_CLOSE) {
        wsb_err err = check_close_payload(payload, len, /*whole=*/true);
        if (err)
            return err;
    }
    consume(rest, len);
    return finish_control(in, hdr->opcode, payload, len, ret_ev);
}

static void message_in_place(const struct wsb_frame_hdr *hdr, struct wsb_span *rest, struct wsb_ws_event *ret_ev)
{
    ret_ev->type =
        WSB_WS_MESSAGE; /* field by field: clearing the room for control payloads would cost more than all this */
    ret_ev->opcode = hdr->opcode;
    ret_ev->rsv = hdr->rsv;
    ret_ev->masked = hdr->masked;
    ret_ev->checked = hdr->opcode != WSB_OP_TEXT || hdr->rsv;
    memcpy(ret_ev->mask, hdr->mask, sizeof ret_ev->mask);
    ret_ev->has_code = false;
    ret_ev->code = 0;
    ret_ev->len = (size_t)hdr->payload_len;
    ret_ev->payload = rest->ptr;
    consume(rest, ret_ev->len);
}

static wsb_err open_data(struct wsb_ws_in *in, const struct wsb_frame_hdr *hdr, struct wsb_span *rest,
                         struct wsb_ws_event *ret_ev)
{
    wsb_err err = check_limits(in, hdr);
    if (err)
        return err;
    if (!has_message(in)) {
        if (hdr->fin && hdr->payload_len <= rest->len) {
            message_in_place(hdr, rest, ret_ev);
            return WSB_OK;
        }
        in->message_opcode = hdr->opcode;
        in->message_rsv = hdr->rsv & 7u;
        in->fragments = 0;
        wsb_utf8_init(&in->utf8);
    }
    in->state = WSB_WS_IN_PAYLOAD;
    in->fragments++;
    in->fin = hdr->fin;
    in->left = (uint32_t)hdr->payload_len; /* checked against the limits */
    memcpy(in->mask, hdr->mask, sizeof in->mask);
    return WSB_AGAIN;
}

static wsb_err read_head(struct wsb_ws_in *in, struct wsb_span *rest, struct wsb_ws_event *ret_ev)
{
    struct wsb_frame_hdr hdr;
    size_t used;
    wsb_err err = wsb_frame_hdr_parse(rest->ptr, rest->len, (enum wsb_role)in->role, in->allowed_rsv, &hdr, &used);
    if (err == WSB_MORE && rest->len > 0 && check_order(in, rest->ptr[0] & 0x0f))
        return WSB_ERR_PROTO; /* a wrong opcode is wrong without the rest of its header */
    if (err)
        return err;
    err = check_order(in, hdr.opcode);
    if (err)
        return err;
    consume(rest, used);
    return wsb_opcode_is_control(hdr.opcode) ? open_control(in, &hdr, rest, ret_ev) : open_data(in, &hdr, rest, ret_ev);
}

/* Move up to `left` bytes of the current frame to the end of buf, unmasked; text is checked when `utf8` is given. */
static wsb_err gather(struct wsb_ws_in *in, struct wsb_span *rest, struct wsb_utf8 *utf8, size_t *ret_n)
{
    size_t n = in->left < rest->len ? in->left : rest->len;
    *ret_n = n;
    if (n == 0)
        return WSB_OK;
    wsb_err err = wsb_buf_reserve(&in->buf, n);
    if (err)
        return err;
    uint8_t *dst = in->buf.data + in->buf.len;
    if (utf8)
        err = unmask_text(utf8, dst, rest->ptr, n, in->mask, /*phase=*/0);
    else
        wsb_mask_copy(dst, rest->ptr, n, in->mask, /*phase=*/0);
    if (err)
        return err;

    uint8_t turned[4];
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = in->mask[(n + i) & 3];
    memcpy(in->mask, turned, sizeof turned);
    in->buf.len += n;
    in->left -= (uint32_t)n;
    consume(rest, n);
    return WSB_OK;
}

static wsb_err read_payload(struct wsb_ws_in *in, struct wsb_span *rest, struct wsb_ws_event *ret_ev)
{
    bool is_text = in->message_opcode == WSB_OP_TEXT && !in->message_rsv;
    size_t n;
    wsb_err err = gather(in, rest, is_text ? &in->utf8 : NULL, &n);
    if (err)
        return err;
    if (in->left)
        return WSB_MORE;
    in->state = WSB_WS_IN_HEAD;
    if (!in->fin)
        return WSB_AGAIN;
    if (is_text && !wsb_utf8_is_complete(&in->utf8))
        return WSB_ERR_UTF8; /* the message ends inside a character */

    *ret_ev = (struct wsb_ws_event){
        .type = WSB_WS_MESSAGE,
        .opcode = in->message_opcode,
        .rsv = in->message_rsv,
        .checked = true,
        .len = in->buf.len,
        .payload = in->buf.data,
    };
    in->message_opcode = 0; /* the bytes stay in buf until the next call */
    in->message_rsv = 0;
    return WSB_OK;
}

static wsb_err read_control(struct wsb_ws_in *in, struct wsb_span *rest, struct wsb_ws_event *ret_ev)
{
    size_t n;
    wsb_err err = gather(in, rest, /*utf8=*/NULL, &n);
    if (err)
        return err;
    in->control_len = (uint8_t)(in->control_len + n);
    size_t len = in->control_len;
    if (len == 0)
        return WSB_MORE;
    const uint8_t *payload = in->buf.data + in->buf.len - len;
    if (in->control_opcode == WSB_OP_CLOSE) {
        err = check_close_payload(payload, len, /*whole=*/in->left == 0);
        if (err)
            return err;
    }
    if (in->left)
        return WSB_MORE;
    in->buf.len -= len; /* the bytes stay readable behind the message */
    return finish_control(in, in->control_opcode, payload, len, ret_ev);
}

static wsb_err step(struct wsb_ws_in *in, struct wsb_span *rest, struct wsb_ws_event *ret_ev)
{
    switch ((enum wsb_ws_in_state)in->state) {
    case WSB_WS_IN_HEAD:
        return read_head(in, rest, ret_ev);
    case WSB_WS_IN_PAYLOAD:
        return read_payload(in, rest, ret_ev);
    case WSB_WS_IN_CONTROL:
        return read_control(in, rest, ret_ev);
    case WSB_WS_IN_CLOSED:
        consume(rest, rest->len);
        return WSB_CLOSED;
    case WSB_WS_IN_FAILED:
        return (wsb_err)in->failure;
    }
    return WSB_ERR_INTERNAL;
}

wsb_err wsb_ws_in_next(struct wsb_ws_in *in, const uint8_t *data, size_t len, size_t *ret_used,
                       struct wsb_ws_event *ret_ev)
{
    if (in->state == WSB_WS_IN_HEAD && !has_message(in))
        wsb_buf_clear(&in->buf); /* the message of an earlier event, read by now */

    struct wsb_span rest = wsb_span(data, len);
    wsb_err err;
    do {
        err = step(in, &rest, ret_ev);
    } while (err == WSB_AGAIN);

    switch (err) {
    case WSB_OK:
        break;
    case WSB_MORE:
    case WSB_CLOSED:
        wsb_ws_in_release(in);
        break;
    default:
        in->state = WSB_WS_IN_FAILED;
        in->failure = (uint8_t)err;
        wsb_ws_in_release(in);
        return err;
    }
    *ret_used = len - rest.len;
    return err;
}

wsb_err wsb_ws_event_take(const struct wsb_ws_event *ev, uint8_t *dst)
{
    static const uint8_t no_mask[4] = {0};
    const uint8_t *mask = ev->masked ? ev->mask : no_mask;
    assert(ev->type == WSB_WS_MESSAGE);
    if (ev->checked) {
        wsb_mask_copy(dst, ev->payload, ev->len, mask, /*phase=*/0);
        return WSB_OK;
    }
    struct wsb_utf8 utf8;
    wsb_utf8_init(&utf8);
    for (size_t at = 0; at < ev->len; at += TAKE_CHUNK) {
        size_t n = ev->len - at < TAKE_CHUNK ? ev->len - at : TAKE_CHUNK;
        wsb_err err = unmask_text(&utf8, dst + at, ev->payload + at, n, mask, /*phase=*/at);
        if (err)
            return err;
    }
    return wsb_utf8_is_complete(&utf8) ? WSB_OK : WSB_ERR_UTF8;
}

void wsb_ws_in_release(struct wsb_ws_in *in)
{
    bool in_flight = in->state == WSB_WS_IN_PAYLOAD || in->state == WSB_WS_IN_CONTROL ||
                     (in->state == WSB_WS_IN_HEAD && has_message(in));
    if (!in_flight)
        wsb_buf_deinit(&in->buf); /* CLOSED and FAILED: what was begun will never be a message */
}

size_t wsb_ws_in_held(const struct wsb_ws_in *in)
{
    return in->buf.cap;
}

size_t wsb_ws_in_arrived(const struct wsb_ws_in *in)
{
    return in->buf.len;
}

uint16_t wsb_ws_in_close_code(wsb_err err)
{
    switch (err) {
    case WSB_ERR_PROTO:
        return WSB_CLOSE_PROTOCOL_ERROR;
    case WSB_ERR_UTF8:
        return WSB_CLOSE_INVALID_DATA;
    case WSB_ERR_LIMIT:
        return WSB_CLOSE_TOO_BIG;
    default:
        return WSB_CLOSE_INTERNAL_ERROR;
    }
}
