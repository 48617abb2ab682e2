#ifndef WSG_HUB_PRESENCE_H
#define WSG_HUB_PRESENCE_H

/*
 * JOINED and LEFT, to the handlers that asked. One JOIN of many groups is many events for each of them, so they wait in a queue and are
 * told so many in one round; the queue is bounded, and what does not fit is counted: LIST tells who is there.
 */

#include "hub/hub.h"

void wsg_hub_presence_init(struct wsg_presence *t);
/* The connection has joined the group, or left it; now it has so many members. */
void wsg_hub_tell_presence(struct wsg_hub *h, uint8_t type, const struct wsg_pin *p, struct wsb_span group,
                           size_t count);
/* A round is over: tell more, as far as a round reaches. */
void wsg_hub_presence_on(struct wsg_hub *h);

#endif
