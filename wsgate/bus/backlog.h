#ifndef WSG_BUS_BACKLOG_H
#define WSG_BUS_BACKLOG_H

/*
 * The events of one connection that its handler has not been sent yet, or has been sent and has not acknowledged. Oldest
 * first; those that were sent stand in front of those that were not:
 *
 *     first ──▶ sent ──▶ sent ──▶ unsent ──▶ unsent ──▶ last
 *
 * Pure. Whoever owns the backlog charges what goes in and out.
 */

#include "base/loan.h"
#include "wire/envelope.h"

struct wsg_kept {
    struct wsg_kept *next;
    const uint8_t
        *bytes; /* payload, then metadata: in `data`, in memory of its own, or where it was sent from (`loan`) */
    struct wsb_loan loan;
    uint8_t *copy;              /* owned: what was recalled; NULL: nothing */
    struct wsg_kept_pool *pool; /* borrowed: where it goes when it is forgotten; NULL: nowhere */
    uint64_t seq;
    uint64_t time_ns;
    uint32_t payload_len;
    uint32_t meta_len;
    uint8_t type;
    uint8_t code;
    uint8_t flags;      /* REDELIVERED once it was sent to an owner that lost it */
    uint8_t deliveries; /* to owners that lost it; no more than 255 */
    uint8_t data[];
};

/* Free ones for messages that are lent: there is one for each message under way. */
struct wsg_kept_pool {
    struct wsg_kept *free; /* owned */
    uint32_t count;
};

struct wsg_backlog {
    struct wsg_kept *first; /* owned, and all behind it */
    struct wsg_kept *last;
    struct wsg_kept *last_sent; /* of the list; NULL: none */
    struct wsg_kept *unsent;    /* behind it; NULL: none */
    size_t unsent_bytes;
    uint32_t sent_count;
};

/* What was put in or taken out: messages of clients, and bytes of memory of all events. */
struct wsg_backlog_sum {
    uint32_t messages;
    size_t bytes;
};

size_t wsg_kept_bytes(const struct wsg_kept *k);
/* As an event of the bus, valid while k is. */
struct wsb_envelope wsg_kept_envelope(const struct wsg_kept *k);

/* Keep a copy at the end, as sent (then nothing may be unsent) or not. WSB_ERR_NOMEM. *sum grows. */
WSB_MUST_CHECK wsb_err wsg_backlog_add(struct wsg_backlog *b, const struct wsb_envelope *e, bool is_sent,
                                       struct wsg_backlog_sum *sum);
/* One whose bytes will be lent; it belongs to the caller until it is kept. NULL without memory. */
struct wsg_kept *wsg_kept_new(struct wsg_kept_pool *pool, const struct wsb_header *h);
void wsg_kept_free(struct wsg_kept *k);
/* Its bytes are its own from now on: before it is sent again, to where it might lie itself. False without memory. */
bool wsg_kept_settle(struct wsg_kept *k);
void wsg_kept_pool_deinit(struct wsg_kept_pool *pool);
/* Keep it at the end, as sent: nothing may be unsent. Its payload is where it was sent from, and its loan has begun. Takes k. */
void wsg_backlog_keep(struct wsg_backlog *b, struct wsg_kept *k, const uint8_t *payload, struct wsg_backlog_sum *sum);
/* The first unsent event has been sent: keep it, or, when it needs no acknowledgement, forget it. */
void wsg_backlog_sent(struct wsg_backlog *b, bool keep, struct wsg_backlog_sum *freed);
/* Forget what was sent with numbers up to `seq`. *freed grows by it. */
void wsg_backlog_acked(struct wsg_backlog *b, uint64_t seq, struct wsg_backlog_sum *freed);
/* The owner is another: nothing has been sent to it. */
void wsg_backlog_rewind(struct wsg_backlog *b);
/*
 * Take out the first of those that were sent and have, with this delivery, been delivered `limit` times.
 *
 * Returns   the event, the caller's, to be freed by wsg_kept_free(); NULL: there is none
 */
struct wsg_kept *wsg_backlog_take_spent(struct wsg_backlog *b, uint32_t limit, struct wsg_backlog_sum *freed);
/* Forget the oldest message of the client that was not sent; false when there is none. */
bool wsg_backlog_drop_oldest(struct wsg_backlog *b, struct wsg_backlog_sum *freed);
void wsg_backlog_clear(struct wsg_backlog *b, struct wsg_backlog_sum *freed);

#endif
