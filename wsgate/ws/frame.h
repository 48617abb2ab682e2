#ifndef WSG_WS_FRAME_H
#define WSG_WS_FRAME_H

/* The header of one WebSocket frame, RFC 6455 §5.2: bytes ⇄ struct, and every rule that one header alone can break. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/err.h"

enum {
    WSG_FRAME_HDR_MAX = 14, /* longest header: 2 bytes, 8 of length, 4 of mask */
    WSG_CONTROL_MAX = 125,  /* longest payload of a control frame, RFC 6455 §5.5 */
    WSG_RSV1 = 4,           /* the reserved bits as they stand in wsg_frame_hdr.rsv */
    WSG_RSV2 = 2,
    WSG_RSV3 = 1,
};

enum wsg_opcode {
    WSG_OP_CONTINUATION = 0x0,
    WSG_OP_TEXT = 0x1,
    WSG_OP_BINARY = 0x2,
    WSG_OP_CLOSE = 0x8,
    WSG_OP_PING = 0x9,
    WSG_OP_PONG = 0xa,
};

/* Which end of the connection we are: a server accepts masked frames only, a client unmasked ones only. */
enum wsg_role {
    WSG_ROLE_SERVER,
    WSG_ROLE_CLIENT,
};

struct wsg_frame_hdr {
    uint8_t opcode; /* enum wsg_opcode */
    bool fin;
    uint8_t rsv; /* WSG_RSV1 | WSG_RSV2 | WSG_RSV3 */
    bool masked;
    uint8_t mask[4]; /* zeros when not masked */
    uint64_t payload_len;
};

static inline bool wsg_opcode_is_control(uint8_t opcode)
{
    return (opcode & 0x8) != 0;
}

/**
 * Parse one frame header.
 *
 * @in, in_len   bytes from the start of a frame
 * @role         our end of the connection
 * @allowed_rsv  reserved bits that a negotiated extension may set; on the first frame of a data message only
 * @ret_hdr      the header
 * @ret_used     its length in bytes, at most in_len
 *
 * Returns   WSB_OK; WSB_MORE the bytes so far are a good prefix, nothing is consumed; WSB_ERR_PROTO as soon as no
 *           further bytes could make the header a good one
 * Threads   any
 * Source    RFC 6455 §5.1, §5.2, §5.5
 */
WSB_MUST_CHECK wsb_err wsg_frame_hdr_parse(const uint8_t *in, size_t in_len, enum wsg_role role, uint8_t allowed_rsv,
                                           struct wsg_frame_hdr *ret_hdr, size_t *ret_used);

/* Write a header, with its length in the shortest form; returns the number of bytes, 2 to 14. */
size_t wsg_frame_hdr_write(uint8_t out[WSG_FRAME_HDR_MAX], const struct wsg_frame_hdr *hdr);

#endif
