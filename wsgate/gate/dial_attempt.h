#ifndef WSG_GATE_DIAL_ATTEMPT_H
#define WSG_GATE_DIAL_ATTEMPT_H

/*
 * One attempt to open a WebSocket as a client, in a thread of its own that waits for the name, the connection, TLS and the
 * answer, so that no worker has to. Attempts are few and seldom: what a thread costs is nothing beside a handshake.
 *
 * Threads   one loop's; the thread only posts the task
 */

#include "config/config.h"
#include "dial/dialing.h"
#include "loop/loop.h"

struct wsg_dial_attempt;

/*
 * @c        what to dial; borrowed until the end
 * @offer    of permessage-deflate; NULL: none is made; copied
 * @done     posted to the loop once the attempt is over; borrowed until then
 *
 * Returns   NULL without memory or threads
 */
struct wsg_dial_attempt *wsg_dial_attempt_start(const struct wsg_dial_config *c, const struct wsb_deflate_offer *offer,
                                                struct wsg_loop *loop, struct wsg_task *done);
/* It is not wanted any more: it ends soon. */
void wsg_dial_attempt_stop(struct wsg_dial_attempt *a);

/* What came of it, once it is over: waits for the thread. */
struct wsg_dial_outcome {
    enum wsb_reason reason;
    struct wsb_peer *peer; /* borrowed; open, when the reason is OK; what is taken out of it is the taker's */
    const struct wsb_open_result *result; /* borrowed */
    const struct wsb_deflate_params *params;
};
void wsg_dial_attempt_finish(struct wsg_dial_attempt *a, struct wsg_dial_outcome *ret);
void wsg_dial_attempt_free(struct wsg_dial_attempt *a); /* finished; NULL is nothing */

/* Can this be dialed at all? The fault says what is wrong. */
WSB_MUST_CHECK wsb_err wsg_dial_attempt_check(const struct wsg_dial_config *c, struct wsb_fault *fault);

#endif
