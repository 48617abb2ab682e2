#ifndef WSB_WS_FRAME_H
#define WSB_WS_FRAME_H

/* The header of one WebSocket frame, RFC 6455 §5.2: bytes ⇄ struct, and every rule that one header alone can break. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/err.h"

enum {
    WSB_FRAME_HDR_MAX = 14,      /* longest header: 2 bytes, 8 of length, 4 of mask */
    WSB_FRAME_CONTROL_MAX = 125, /* longest payload of a control frame, RFC 6455 §5.5 */
    WSB_RSV1 = 4,                /* the reserved bits as they stand in wsb_frame_hdr.rsv */
    WSB_RSV2 = 2,
    WSB_RSV3 = 1,
};

enum wsb_frame_opcode {
    WSB_OP_CONTINUATION = 0x0,
    WSB_OP_TEXT = 0x1,
    WSB_OP_BINARY = 0x2,
    WSB_OP_CLOSE = 0x8,
    WSB_OP_PING = 0x9,
    WSB_OP_PONG = 0xa,
};

/* Which end of the connection we are: a server accepts masked frames only, a client unmasked ones only. */
enum wsb_role {
    WSB_ROLE_SERVER,
    WSB_ROLE_CLIENT,
};

struct wsb_frame_hdr {
    uint8_t opcode; /* enum wsb_frame_opcode */
    bool fin;
    uint8_t rsv; /* WSB_RSV1 | WSB_RSV2 | WSB_RSV3 */
    bool masked;
    uint8_t mask[4]; /* zeros when not masked */
    uint64_t payload_len;
};

static inline bool wsb_opcode_is_control(uint8_t opcode)
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
WSB_MUST_CHECK wsb_err wsb_frame_hdr_parse(const uint8_t *in, size_t in_len, enum wsb_role role, uint8_t allowed_rsv,
                                           struct wsb_frame_hdr *ret_hdr, size_t *ret_used);

/* Write a header, with its length in the shortest form; returns the number of bytes, 2 to 14. */
size_t wsb_frame_hdr_write(uint8_t out[WSB_FRAME_HDR_MAX], const struct wsb_frame_hdr *hdr);

#endif
