#ifndef WSG_NET_CHUNK_H
#define WSG_NET_CHUNK_H

/* What outq.c and loose.c share, and nobody else uses: a link of the output queue's chain. */

#include "net/outq.h"

enum {
    WSG_CHUNK_BYTES = 4096,
    WSG_CHUNK_FEW =
        384 /* bytes of the first chunk of a queue when thousands of queues have one: fresh pages cost more than the messages */
};

enum wsg_chunk_kind { WSG_CHUNK_OWN, WSG_CHUNK_SHARED, WSG_CHUNK_FILE };

/*
 * The bytes of a chunk of its own are followed, from its far end, by a mark for each message that ends in it:
 *
 *     data │ message │ pong │ message │      free      │ mark 1 │ mark 0 │ cap
 *
 * A loose message fills its chunk, or is shared, and has no mark; its key stands behind its bytes.
 */
struct wsg_chunk {
    struct wsg_chunk *next;
    struct wsg_chunk *prev;
    uint64_t at;  /* position of its first byte */
    size_t start; /* first byte not yet written */
    size_t len;   /* end of the bytes */
    union {
        size_t cap;                /* OWN */
        struct wsg_shared *shared; /* SHARED, one reference owned */
        struct {
            int fd; /* owned */
            off_t offset;
        } file;
    } of;
    uint64_t sizes;    /* of the messages that end here and are not counted yet */
    uint32_t messages; /* that end here */
    uint32_t counted;  /* of them: written */
    uint8_t kind;      /* enum wsg_chunk_kind */
    bool is_loose;
    bool is_indexed;
    bool has_begun; /* loose: it leaves, or is about to, and cannot be dropped any more */
    uint32_t key_len;
    size_t extra; /* its share of the queue's */
    uint64_t key_hash;
    struct wsg_chunk *next_in_bucket;
    void *note; /* the caller's */
    uint8_t data[];
};

struct wsg_chunk *wsg_chunk_new(enum wsg_chunk_kind kind, size_t cap); /* not from a pool; NULL without memory */
void wsg_chunk_free(struct wsg_chunk_pool *pool, struct wsg_chunk *c);
void wsg_outq_push(struct wsg_outq *q, struct wsg_chunk *c);   /* with all its bytes and messages */
void wsg_outq_unlink(struct wsg_outq *q, struct wsg_chunk *c); /* it is the caller's to free */

/* The first byte of a loose message is leaving: it cannot be dropped any more. */
void wsg_loose_begin(struct wsg_outq *q, struct wsg_chunk *c);
void wsg_loose_deinit(struct wsg_outq *q);

#endif
