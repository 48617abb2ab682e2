#ifndef WSG_GATE_BELT_H
#define WSG_GATE_BELT_H

/*
 * Bytes on their way from one thread to another: a ring of loads, in order. Short ones are copied into the ring, long ones change
 * hands. While the other thread is awake nobody makes a system call. One belt takes what the sessions of a worker said to the hub,
 * another one what the hub has for them.
 *
 * Threads   put and tell: the producer's; next, done and may_sleep: the consumer's; open and close: when neither runs
 */

#include "base/buf.h"
#include "ring/region.h"

struct wsg_belt {
    struct wsb_region region;        /* the producer's */
    struct wsb_ring_words *consumer; /* owned: the consumer's words */
    struct wsb_ring_tx tx;
    struct wsb_ring_rx rx;
    struct wsb_buf taken; /* owned: the long one that was taken last */
};

WSB_MUST_CHECK wsb_err wsg_belt_open(struct wsg_belt *b, struct wsb_fault *fault);
void wsg_belt_close(struct wsg_belt *b); /* what is still on it is dropped */

/*
 * Put what is in the buffer on the belt; the buffer is empty afterwards. False: there is no room, and it is as it was; the consumer
 * makes room with each load that it is done with.
 */
bool wsg_belt_put(struct wsg_belt *b, struct wsb_buf *load);
/* The consumer has taken, and is done with, all that was put. */
bool wsg_belt_is_empty(struct wsg_belt *b);
/* After put: must the consumer be woken? */
bool wsg_belt_tell(struct wsg_belt *b);

/* The next load, valid until it is done with. False: there is none. */
bool wsg_belt_next(struct wsg_belt *b, struct wsb_span *ret);
void wsg_belt_done(struct wsg_belt *b);
/* Is there a load that next() would give? */
bool wsg_belt_has_next(const struct wsg_belt *b);
/* The consumer has looked, and wants to be woken for the next. False: there is one. */
bool wsg_belt_may_sleep(struct wsg_belt *b);

#endif
