#ifndef WSG_HUB_DELIVER_H
#define WSG_HUB_DELIVER_H

/*
 * Each event to its owner. An event is sent at once, or waits behind those of its connection that wait, or is dropped where
 * the route says so. What its owner acknowledges is kept until then. Whoever waits is on the waiting list of its lane, and
 * is looked at again when there is credit, when the link has room, or when a route has come under its limit.
 */

#include "hub/hub.h"

enum { WSG_HUB_OPENING_MAX = 32 /* clients that a handler is told of and has not done with, where it acknowledges */ };

/* It needs nothing but to be sent, and may be: nothing of its connection waits, its owner has room. */
bool wsg_hub_may_send(const struct wsg_pin *p);
/* The message with this header has been given to the owner. */
void wsg_hub_note_sent(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e);
/* The next event of a connection: numbered, and sent, kept or dropped as the route says. The pin may be gone afterwards. */
void wsg_hub_deliver(struct wsg_hub *h, struct wsg_pin *p, struct wsb_envelope *e);
/* It has a new owner, or may go on: send what waits, as far as there is room. The pin may be gone afterwards. */
void wsg_hub_go_on(struct wsg_hub *h, struct wsg_pin *p);
/* Something changed for all connections of the handler: send on, read on. False: the round has nothing left for it. */
bool wsg_hub_pump(struct wsg_hub *h, struct wsg_handler *to);

#endif
