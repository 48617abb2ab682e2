#ifndef WSG_GATE_UPLINK_H
#define WSG_GATE_UPLINK_H

/*
 * What the sessions of one worker said, on its way to the hub in another thread: a ring of outboxes, in order. Short ones are copied
 * into the ring, long ones change hands. While the hub is awake nobody makes a system call.
 *
 * Threads   put and tell: the worker's; next, done and may_sleep: the hub's; open and close: when neither runs
 */

#include "base/buf.h"
#include "ring/region.h"

struct wsg_uplink {
    struct wsb_region region;        /* the producer's */
    struct wsb_ring_words *consumer; /* owned: the consumer's words */
    struct wsb_ring_tx tx;
    struct wsb_ring_rx rx;
    struct wsb_buf taken; /* owned: the long one that was taken last */
};

WSB_MUST_CHECK wsb_err wsg_uplink_open(struct wsg_uplink *u, struct wsb_fault *fault);
void wsg_uplink_close(struct wsg_uplink *u); /* what is still in it is dropped */

/*
 * Give the hub what is in the outbox, which is empty afterwards. False: there is no room, and it is as it was; the hub makes room
 * with each that it is done with.
 */
bool wsg_uplink_put(struct wsg_uplink *u, struct wsb_buf *outbox);
/* The hub has taken, and is done with, all that was put. */
bool wsg_uplink_is_empty(struct wsg_uplink *u);
/* After put: must the hub be woken? */
bool wsg_uplink_tell(struct wsg_uplink *u);

/* The next one, valid until it is done with. False: there is none. */
bool wsg_uplink_next(struct wsg_uplink *u, struct wsb_span *ret);
void wsg_uplink_done(struct wsg_uplink *u);
/* The hub has looked, and wants to be woken for the next. False: there is one. */
bool wsg_uplink_may_sleep(struct wsg_uplink *u);

#endif
