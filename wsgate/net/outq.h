#ifndef WSG_NET_OUTQ_H
#define WSG_NET_OUTQ_H

/*
 * What waits to be written to one socket: small pieces gathered in chunks, large or shared ones by reference, stretches of
 * files. All of it leaves in as few system calls as the kernel allows. A drained queue holds no memory; chunks go back to
 * the worker's pool.
 *
 * Threads   one worker's; only the reference count of wsg_shared is for all
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wsbus/err.h"

/* Bytes that several queues, of several workers, hold at once: a message framed once for all who get it. */
struct wsg_shared {
    _Atomic uint32_t refs;
    size_t len;
    uint8_t data[];
};

struct wsg_shared *wsg_shared_new(size_t len); /* one reference; NULL without memory */
struct wsg_shared *wsg_shared_ref(struct wsg_shared *s);
void wsg_shared_unref(struct wsg_shared *s);

struct wsg_chunk;

/* Spare chunks of one worker. */
struct wsg_chunk_pool {
    struct wsg_chunk *spare; /* owned */
    size_t count;
};

void wsg_chunk_pool_deinit(struct wsg_chunk_pool *p);

struct wsg_outq {
    struct wsg_chunk *head; /* owned */
    struct wsg_chunk *tail;
    size_t bytes;     /* waiting */
    uint64_t queued;  /* ever, so that a message can be found again by where it ends */
    uint64_t written; /* ever, taken by the kernel */
};

/* Everything waiting is dropped. */
void wsg_outq_deinit(struct wsg_outq *q, struct wsg_chunk_pool *pool);

/* Room for len contiguous bytes at the end; they count as queued at once and must be filled before the next flush. */
WSB_MUST_CHECK wsb_err wsg_outq_space(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t len, uint8_t **ret);
WSB_MUST_CHECK wsb_err wsg_outq_append(struct wsg_outq *q, struct wsg_chunk_pool *pool, const void *data, size_t len);
/* Takes a reference of its own. */
WSB_MUST_CHECK wsb_err wsg_outq_append_shared(struct wsg_outq *q, struct wsg_chunk_pool *pool, struct wsg_shared *s);
/* On success the queue owns fd. */
WSB_MUST_CHECK wsb_err wsg_outq_append_file(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, off_t offset,
                                            size_t len);

/*
 * Write until nothing waits, the kernel takes no more, or about `budget` bytes are gone.
 *
 * Returns   WSB_OK nothing waits; WSB_AGAIN the socket is full; WSB_MORE the budget is used up; WSB_ERR_IO the connection
 *           is lost, or a file became shorter than it was
 */
WSB_MUST_CHECK wsb_err wsg_outq_flush(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, size_t budget);

#endif
