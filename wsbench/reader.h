#ifndef WSL_READER_H
#define WSL_READER_H

/* Frames into messages, at the client's end. Pure; the caller pulls. */

#include "base/buf.h"
#include "ws/frame.h"

struct wsl_reader {
    struct wsb_buf joined; /* the fragments so far; its max is the largest message */
    uint8_t opcode;        /* of the message that has begun; 0: none has */
    uint8_t rsv;           /* likewise */
    uint8_t allowed_rsv;   /* of an extension that was agreed on; 0 at first */
};

/* A whole message, or a control frame. The payload is in what was read, or in the reader: valid until the next call. */
struct wsl_incoming {
    uint8_t opcode;
    uint8_t rsv; /* of its first frame */
    struct wsb_span payload;
};

void wsl_reader_init(struct wsl_reader *r, size_t max_message);
void wsl_reader_deinit(struct wsl_reader *r);

/**
 * The next message or control frame.
 *
 * @in         moved on behind what was used, also when there is no whole message yet
 * @ret_need   with WSB_MORE: bytes that the frame at the front of `in` has altogether; 0 when its header is not whole
 *
 * Returns  WSB_OK; WSB_MORE; WSB_ERR_PROTO the server broke the protocol; WSB_ERR_LIMIT a message above the largest;
 *          WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsl_reader_next(struct wsl_reader *r, struct wsb_span *in, struct wsl_incoming *ret,
                                       size_t *ret_need);

#endif
