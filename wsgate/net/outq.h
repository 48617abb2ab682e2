#ifndef WSG_NET_OUTQ_H
#define WSG_NET_OUTQ_H

/*
 * What waits to be written to one socket: small pieces gathered in chunks, large or shared ones by reference, stretches of
 * files. All of it leaves in as few system calls as the kernel allows. A drained queue holds no memory; chunks go back to
 * the worker's pool.
 *
 * It knows which bytes are messages, so that it can say how many wait and how many the kernel has. A message may be loose:
 * then it can be dropped as long as none of its bytes has left, and found again by its key. A loose message has a chunk of
 * its own; all others cost no more than bytes do.
 *
 * Positions count every byte that was ever queued and not dropped again: what ends at position p is written when `written`
 * is p or more, whatever was dropped before it.
 *
 * Threads   one worker's; only the reference count of wsg_shared is for all
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"
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

/* Loose messages by their keys. */
struct wsg_outq_index {
    struct wsg_chunk **buckets; /* owned; NULL: no message has a key */
    size_t bucket_count;        /* a power of two */
    size_t count;
};

/* The loose messages of a queue none of which has left; memory that only those pay for who have some. */
struct wsg_outq_droppable {
    struct wsg_chunk *oldest;
    size_t count;
    size_t bytes; /* with their share of extra */
    size_t noted; /* of them, those with a note */
    struct wsg_outq_index index;
};

struct wsg_outq {
    struct wsg_chunk *head; /* owned */
    struct wsg_chunk *tail;
    size_t bytes;     /* waiting */
    size_t extra;     /* what waiting bytes need besides their own memory, where a peer could make it much: keys */
    uint64_t queued;  /* position of the end */
    uint64_t written; /* position up to which the kernel has all */
    size_t messages;  /* waiting, whole or in part */
    uint64_t messages_written;            /* ever */
    uint64_t sizes_written;               /* ever: their sizes as the caller counts them */
    struct wsg_outq_droppable *droppable; /* owned; NULL: no loose message since the queue was last empty */
};

/* Everything waiting is dropped; notes are forgotten. */
void wsg_outq_deinit(struct wsg_outq *q, struct wsg_chunk_pool *pool);

/* Room for len contiguous bytes at the end; they count as queued at once and must be filled before the next flush. */
WSB_MUST_CHECK wsb_err wsg_outq_space(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t len, uint8_t **ret);
WSB_MUST_CHECK wsb_err wsg_outq_append(struct wsg_outq *q, struct wsg_chunk_pool *pool, const void *data, size_t len);
/* On success the queue owns fd. */
WSB_MUST_CHECK wsb_err wsg_outq_append_file(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, off_t offset,
                                            size_t len);

/* A file waits, whole or in part: a descriptor. */
bool wsg_outq_has_file(const struct wsg_outq *q);

/* The same for a whole message, of at least one byte; `size` is what it adds to sizes_written. */
WSB_MUST_CHECK wsb_err wsg_outq_message(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t len, uint32_t size,
                                        uint8_t **ret);
/* Takes a reference of its own. */
WSB_MUST_CHECK wsb_err wsg_outq_message_shared(struct wsg_outq *q, struct wsg_chunk_pool *pool, struct wsg_shared *s,
                                               uint32_t size);

/* A message that may be dropped. */
struct wsg_loose {
    size_t len;
    struct wsg_shared *shared; /* its bytes, of which the queue takes a reference; NULL: they are filled in */
    uint32_t size;
    struct wsb_span key; /* copied; ptr NULL: none. The queue has no other of this key that wsg_outq_find() finds */
    uint64_t key_hash;
};

/* *ret is good until it is dropped, or the next flush; fill in wsg_outq_bytes() unless it is shared. */
WSB_MUST_CHECK wsb_err wsg_outq_loose(struct wsg_outq *q, const struct wsg_loose *m, struct wsg_chunk **ret);
uint8_t *wsg_outq_bytes(struct wsg_chunk *c);
/* What wsg_outq_drop() gives back, of a loose message that has not begun to leave; NULL: nothing. */
void wsg_outq_set_note(struct wsg_outq *q, struct wsg_chunk *c, void *note);
bool wsg_outq_has_note(const struct wsg_chunk *c);
size_t wsg_outq_len(const struct wsg_chunk *c);
/* What it adds to bytes and extra. */
size_t wsg_outq_cost(const struct wsg_chunk *c);

/* The loose messages that can still be dropped; never NULL, good until the queue changes. */
const struct wsg_outq_droppable *wsg_outq_droppable(const struct wsg_outq *q);
/* The loose message of that key, none of which has left; NULL: there is none. */
struct wsg_chunk *wsg_outq_find(const struct wsg_outq *q, struct wsb_span key, uint64_t hash);
/* As if it had never been queued. Returns its note. Of loose messages that have not begun to leave only. */
void *wsg_outq_drop(struct wsg_outq *q, struct wsg_chunk_pool *pool, struct wsg_chunk *c);

/*
 * Write until nothing waits, the kernel takes no more, or about `budget` bytes are gone.
 *
 * Returns   WSB_OK nothing waits; WSB_AGAIN the socket is full; WSB_MORE the budget is used up; WSB_ERR_IO the connection
 *           is lost, or a file became shorter than it was
 */
WSB_MUST_CHECK wsb_err wsg_outq_flush(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, size_t budget);

/*
 * The same in two steps, for whoever has to change the bytes on their way (TLS): walk over those at the front, and take
 * them off when the kernel has them. What was walked over stays in the queue, and counts, but is not droppable any more.
 */
struct wsg_outq_walk { /* zeroed: at the front; good until the queue is taken from */
    struct wsg_chunk *next;
    size_t at;
    bool has_begun;
};

/**
 * @buf, @max  room for bytes of a file, which are read; the most that is wanted
 *
 * Returns     WSB_OK at least one byte; WSB_MORE that was all; WSB_ERR_IO a file became shorter than it was
 */
WSB_MUST_CHECK wsb_err wsg_outq_walk(struct wsg_outq *q, struct wsg_outq_walk *w, uint8_t *buf, size_t max,
                                     struct wsb_span *ret);
void wsg_outq_take(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t count);

#endif
