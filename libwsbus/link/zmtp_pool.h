#ifndef WSB_LINK_ZMTP_POOL_H
#define WSB_LINK_ZMTP_POOL_H

/*
 * Memory that peers' bytes are received into. A chunk has holders: the connection that reads into it, and whoever looks at a
 * message in it. All chunks together are bounded; one that is free is kept for the next.
 *
 * Threads   one at a time
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/err.h"

enum { WSB_CHUNK = 64 << 10 };

struct wsb_zmtp_chunk {
    uint32_t refs;
    size_t cap;
    uint8_t data[];
};

struct wsb_zmtp_pool {
    struct wsb_zmtp_chunk *spare; /* owned; of WSB_CHUNK bytes */
    size_t bytes;                 /* of all chunks */
    size_t max;
};

void wsb_zmtp_pool_deinit(struct wsb_zmtp_pool *p);
/* WSB_ERR_LIMIT: all chunks are as large as they may be; WSB_ERR_NOMEM. */
WSB_MUST_CHECK wsb_err wsb_zmtp_chunk_new(struct wsb_zmtp_pool *p, size_t cap, struct wsb_zmtp_chunk **ret);
/* The same chunk, larger, in another place perhaps. It has one holder. */
WSB_MUST_CHECK wsb_err wsb_zmtp_chunk_grow(struct wsb_zmtp_pool *p, struct wsb_zmtp_chunk **chunk, size_t cap);
void wsb_zmtp_chunk_free(struct wsb_zmtp_pool *p, struct wsb_zmtp_chunk *chunk); /* one holder less; accepts NULL */

#endif
