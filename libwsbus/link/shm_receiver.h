#ifndef WSB_LINK_SHM_RECEIVER_H
#define WSB_LINK_SHM_RECEIVER_H

/*
 * Records out of a ring: those that are there whole where they lie, those that came in parts put together. The other end may
 * write what it likes, whenever it likes.
 *
 * Threads   one
 */

#include "base/buf.h"
#include "ring/ring.h"

struct wsb_receiver {
    struct wsb_ring_rx ring;
    struct wsb_buf parts; /* owned: the record that is being put together */
    bool is_over;         /* it was handed out */
};

/* max: bytes of the largest message */
void wsb_receiver_init(struct wsb_receiver *r, const uint8_t *data, uint64_t size, uint64_t key,
                       struct wsb_ring_words *mine, const struct wsb_ring_words *peers, size_t max);
void wsb_receiver_deinit(struct wsb_receiver *r);

/**
 * The next record, as wsb_record_next() reads it.
 *
 * @ret_is_shared  it lies in the ring, where the other end can change it; until the ring is released. Otherwise it is ours,
 *                 until the next call
 *
 * Returns   WSB_OK; WSB_AGAIN none is there whole; WSB_ERR_PROTO, WSB_ERR_LIMIT, WSB_ERR_NOMEM: nothing more can be read
 */
WSB_MUST_CHECK wsb_err wsb_receiver_next(struct wsb_receiver *r, struct wsb_span *ret, bool *ret_is_shared);

#endif
