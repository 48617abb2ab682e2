#ifndef WSG_HUB_PUBLISH_H
#define WSG_HUB_PUBLISH_H

/* Copies of events for whoever subscribed. */

#include "hub/hub.h"

void wsg_hub_publish_copy(struct wsg_hub *h, const struct wsg_pin *p, const struct wsb_envelope *e);
/* An event for whoever subscribed to its kind, whatever the route says of copies. */
void wsg_hub_publish(struct wsg_hub *h, const struct wsg_route *r, const struct wsb_envelope *e);
/* OPEN, as it is now, for whoever subscribed to its route. */
void wsg_hub_publish_open(struct wsg_hub *h, const struct wsg_pin *p);

#endif
