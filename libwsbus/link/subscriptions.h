#ifndef WSB_LINK_SUBSCRIPTIONS_H
#define WSB_LINK_SUBSCRIPTIONS_H

/*
 * Topic prefixes that several XPUB sockets have subscribers for. Each socket tells the first and the last subscriber of a
 * prefix; whoever reads all of them wants to hear that once.
 */

#include <stdbool.h>

#include "base/span.h"

enum { WSB_SUBSCRIPTIONS_MAX = 10000 }; /* beyond it they are passed on as they come */

struct wsb_subscription;

struct wsb_subscriptions {
    struct wsb_subscription *by_prefix; /* owned */
    size_t count;
};

/* A socket (0 to 31) told that its subscribers of the prefix begin or end: is that the first, or the last, of all? */
bool wsb_subscriptions_note(struct wsb_subscriptions *t, unsigned socket, struct wsb_span prefix, bool begins);
void wsb_subscriptions_deinit(struct wsb_subscriptions *t);

#endif
