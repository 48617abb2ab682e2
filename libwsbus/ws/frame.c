/*
 * Frame headers. Each rule is checked as soon as the byte that can break it is there, because a peer that sends one bad
 * byte and then nothing should be told at once and not after a timeout.
 */
#include "ws/frame.h"

#include <assert.h>
#include <string.h>

enum {
    FIN_BIT = 0x80,
    MASK_BIT = 0x80,
    LEN_16BIT = 126, /* the 7-bit length says: a 16-bit length follows */
    LEN_64BIT = 127,
};

static bool is_known_opcode(uint8_t opcode)
{
    return opcode <= WSB_OP_BINARY || (opcode >= WSB_OP_CLOSE && opcode <= WSB_OP_PONG);
}

static wsb_err check_first_byte(uint8_t byte, uint8_t allowed_rsv)
{
    uint8_t opcode = byte & 0x0f;
    uint8_t rsv = (byte >> 4) & 0x07;

    if (!is_known_opcode(opcode))
        return WSB_ERR_PROTO; /* §5.2: an unknown opcode fails the connection */
    if (wsb_opcode_is_control(opcode) && !(byte & FIN_BIT))
        return WSB_ERR_PROTO; /* §5.5: control frames are never fragmented */
    /* §5.2: reserved bits are 0 unless an extension defines them; those in use (RFC 7692 §6.1) mark a whole message, on
     * its first frame. */
    if (opcode != WSB_OP_TEXT && opcode != WSB_OP_BINARY)
        allowed_rsv = 0;
    return rsv & ~allowed_rsv ? WSB_ERR_PROTO : WSB_OK;
}

static wsb_err check_second_byte(uint8_t byte, uint8_t opcode, enum wsb_role role)
{
    bool masked = (byte & MASK_BIT) != 0;
    if (masked != (role == WSB_ROLE_SERVER))
        return WSB_ERR_PROTO; /* §5.1: a client masks all its frames, a server none */
    if (wsb_opcode_is_control(opcode) && (byte & 0x7f) > WSB_FRAME_CONTROL_MAX)
        return WSB_ERR_PROTO; /* §5.5 */
    return WSB_OK;
}

static uint64_t read_be(const uint8_t *in, size_t count)
{
    uint64_t v = 0;
    for (size_t i = 0; i < count; i++)
        v = v << 8 | in[i];
    return v;
}

/* The extended length, of which `have` of `size` bytes are there. §5.2: the minimal number of bytes is used, and the
 * most significant bit of a 64-bit length is 0. */
static wsb_err read_ext_len(const uint8_t *in, size_t have, size_t size, uint64_t *ret_len)
{
    if (size == 8 && have > 0 && in[0] & 0x80)
        return WSB_ERR_PROTO;
    if (size == 8 && have >= 6 && read_be(in, 6) == 0)
        return WSB_ERR_PROTO; /* it will be below 65536, whatever the last two bytes are */
    if (have < size)
        return WSB_MORE;
    uint64_t len = read_be(in, size);
    if (size == 2 && len < LEN_16BIT)
        return WSB_ERR_PROTO;
    *ret_len = len;
    return WSB_OK;
}

wsb_err wsb_frame_hdr_parse(const uint8_t *in, size_t in_len, enum wsb_role role, uint8_t allowed_rsv,
                            struct wsb_frame_hdr *ret_hdr, size_t *ret_used)
{
    if (in_len < 1)
        return WSB_MORE;
    wsb_err err = check_first_byte(in[0], allowed_rsv);
    if (err)
        return err;

    if (in_len < 2)
        return WSB_MORE;
    struct wsb_frame_hdr hdr = {
        .opcode = in[0] & 0x0f,
        .fin = (in[0] & FIN_BIT) != 0,
        .rsv = (in[0] >> 4) & 0x07,
        .masked = (in[1] & MASK_BIT) != 0,
        .payload_len = in[1] & 0x7f,
    };
    err = check_second_byte(in[1], hdr.opcode, role);
    if (err)
        return err;

    size_t used = 2;
    if (hdr.payload_len >= LEN_16BIT) {
        size_t size = hdr.payload_len == LEN_16BIT ? 2 : 8;
        err = read_ext_len(in + used, in_len - used, size, &hdr.payload_len);
        if (err)
            return err;
        used += size;
    }
    if (hdr.masked) {
        if (in_len - used < sizeof hdr.mask)
            return WSB_MORE;
        memcpy(hdr.mask, in + used, sizeof hdr.mask);
        used += sizeof hdr.mask;
    }
    *ret_hdr = hdr;
    *ret_used = used;
    return WSB_OK;
}

static size_t write_be(uint8_t *out, uint64_t v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)(v >> (8 * (count - 1 - i)));
    return count;
}

size_t wsb_frame_hdr_write(uint8_t out[WSB_FRAME_HDR_MAX], const struct wsb_frame_hdr *hdr)
{
    assert(hdr->payload_len <= INT64_MAX);
    size_t used = 2;
    uint8_t short_len;
    if (hdr->payload_len < LEN_16BIT) {
        short_len = (uint8_t)hdr->payload_len;
    } else if (hdr->payload_len <= UINT16_MAX) {
        short_len = LEN_16BIT;
        used += write_be(out + used, hdr->payload_len, 2);
    } else {
        short_len = LEN_64BIT;
        used += write_be(out + used, hdr->payload_len, 8);
    }
    out[0] = (uint8_t)((hdr->fin ? FIN_BIT : 0) | (hdr->rsv & 0x07) << 4 | (hdr->opcode & 0x0f));
    out[1] = (uint8_t)((hdr->masked ? MASK_BIT : 0) | short_len);
    if (hdr->masked) {
        memcpy(out + used, hdr->mask, sizeof hdr->mask);
        used += sizeof hdr->mask;
    }
    return used;
}
