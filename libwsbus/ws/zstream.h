#ifndef WSB_WS_ZSTREAM_H
#define WSB_WS_ZSTREAM_H

/*
 * zlib's two machines as permessage-deflate needs them: raw DEFLATE, messages that end at a byte. Between deflate.c and the
 * library, so that zlib's ways are known in one place.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/span.h"
#include "wsbus/err.h"

struct wsb_inflater {
    z_stream z;
    bool is_ended; /* the last byte that was used ended a stream: a block with BFINAL */
};

struct wsb_deflater {
    z_stream z;
    uint8_t bits;
    uint8_t level;
};

/* bits: 8 to 15 */
WSB_MUST_CHECK wsb_err wsb_inflater_new(struct wsb_inflater **ret, unsigned bits);
void wsb_inflater_free(struct wsb_inflater *f);
void wsb_inflater_reset(struct wsb_inflater *f); /* forget all that was */
size_t wsb_inflater_cost(unsigned bits);         /* bytes, at most */

/* A message begins. */
void wsb_inflater_begin(struct wsb_inflater *f);
/**
 * Inflate as much of *in as there is room for.
 *
 * @in   what is left of the message; what was used is taken from its front
 *
 * Returns   WSB_OK *ret bytes were written, perhaps none; when fewer than `room`, all of *in is used. WSB_ERR_PROTO it is
 *           not DEFLATE; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsb_inflater_next(struct wsb_inflater *f, struct wsb_span *in, uint8_t *out, size_t room,
                                         size_t *ret);
/* Does the message end with a block that has BFINAL? Then it lacks nothing that its sender might have cut off. */
bool wsb_inflater_is_ended(const struct wsb_inflater *f);
/* Does what came so far end where a message may end: behind a whole block, at a byte? */
bool wsb_inflater_is_complete(const struct wsb_inflater *f);

/* bits: 9 to 15, level: 1 to 9 */
WSB_MUST_CHECK wsb_err wsb_deflater_new(struct wsb_deflater **ret, unsigned bits, int level);
void wsb_deflater_free(struct wsb_deflater *f);
void wsb_deflater_reset(struct wsb_deflater *f); /* what comes next refers to nothing before */
size_t wsb_deflater_cost(unsigned bits);

/**
 * Deflate a whole message, without the 00 00 ff ff that ends it.
 *
 * @out   replaced by the result
 *
 * Returns   WSB_OK; WSB_AGAIN the result is not smaller than the message; WSB_ERR_NOMEM. After all but WSB_OK the deflater
 *           must be reset
 */
WSB_MUST_CHECK wsb_err wsb_deflater_message(struct wsb_deflater *f, struct wsb_span message, struct wsb_buf *out);

#endif
