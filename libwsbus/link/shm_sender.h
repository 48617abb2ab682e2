#ifndef WSB_LINK_SHM_SENDER_H
#define WSB_LINK_SHM_SENDER_H

/*
 * Envelopes into a ring. One is written straight to its place, as long as nothing waits in front of it; what finds no room
 * waits in memory of our own, and goes in parts when it is larger than a record of the ring may be.
 *
 * What was written can be lent: whoever lends it may read it in the ring, instead of keeping a copy, until the ring
 * needs the place and recalls it.
 *
 * Threads   one
 */

#include "base/block.h"
#include "base/loan.h"
#include "ring/ring.h"
#include "wire/envelope.h"

struct wsb_queued;

struct wsb_sender {
    struct wsb_ring_tx ring;
    struct wsb_loan *oldest, *newest; /* borrowed list, in the order of their places */
    struct wsb_queued *first, *last;  /* owned */
    size_t reserved;                  /* bytes of the record that is being written */
    bool is_broken;                   /* the consumer says what cannot be */
    uint64_t stalls;                  /* how often there was no room */
    uint64_t records;
};

void wsb_sender_init(struct wsb_sender *s, uint8_t *data, uint64_t size, uint64_t key, struct wsb_ring_words *mine,
                     const struct wsb_ring_words *peers);
/* What is lent is recalled; false: some of it could not be, and the memory is still needed. */
bool wsb_sender_recall_all(struct wsb_sender *s);
void wsb_sender_deinit(struct wsb_sender *s); /* drops what waits */

/* Begin an envelope whose payload of h->payload_len bytes the caller writes to *ret_payload. False: it has to wait, or is too large for
 * one record; wsb_sender_send() it then. */
bool wsb_sender_reserve(struct wsb_sender *s, const struct wsb_header *h, struct wsb_span meta, uint8_t **ret_payload);
/* It is written. loan: where it is lent to, with `recall` set; NULL: it is not. */
void wsb_sender_commit(struct wsb_sender *s, struct wsb_loan *loan);

/* Write it, or let it wait. Takes payload, whatever it returns. WSB_ERR_NOMEM. */
WSB_MUST_CHECK wsb_err wsb_sender_send(struct wsb_sender *s, const struct wsb_header *h, struct wsb_block *payload,
                                       struct wsb_span meta);
/* What waits, as far as there is room. If some of it goes on waiting, the consumer will wake us when there is more. */
void wsb_sender_go_on(struct wsb_sender *s);
static inline bool wsb_sender_is_waiting(const struct wsb_sender *s)
{
    return s->first != NULL;
}

#endif
