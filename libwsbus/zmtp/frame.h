#ifndef WSB_ZMTP_FRAME_H
#define WSB_ZMTP_FRAME_H

/* Heads of ZMTP frames: flags and a length of one byte or eight. Pure. Source: RFC 37, "Framing". */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/err.h"

enum { WSB_ZMTP_HEAD_MAX = 9 };
enum { WSB_ZMTP_MORE = 1, WSB_ZMTP_LONG = 2, WSB_ZMTP_COMMAND = 4 };

struct wsb_zmtp_head {
    uint8_t flags;
    uint8_t len; /* of the head itself */
    size_t body_len;
};

/*
 * Parse the head of a frame.
 *
 * @body_max  a longer body is refused
 *
 * Returns    WSB_OK; WSB_MORE; WSB_ERR_PROTO: flags or a length that cannot be; WSB_ERR_LIMIT: longer than body_max
 */
WSB_MUST_CHECK wsb_err wsb_zmtp_head_parse(const uint8_t *in, size_t in_len, size_t body_max,
                                           struct wsb_zmtp_head *ret);

static inline size_t wsb_zmtp_head_len(size_t body_len)
{
    return body_len > 255 ? 9 : 2;
}

/* Write the head of a frame; WSB_ZMTP_LONG is added as needed. Returns its length. */
size_t wsb_zmtp_head_write(uint8_t out[WSB_ZMTP_HEAD_MAX], uint8_t flags, size_t body_len);

#endif
