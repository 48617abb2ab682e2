#ifndef WSG_HUB_PAUSE_H
#define WSG_HUB_PAUSE_H

/* Back-pressure: whose client is not read, because its handler or its route has enough, and who is read again. */

#include "hub/hub.h"

/* A new client of a route that has enough: it is let in, and not read. */
void wsg_hub_pause_if_full(struct wsg_hub *h, struct wsg_pin *p);
/* Go on with pausing all clients of handlers that have too much, for one step. */
void wsg_hub_pause_on(struct wsg_hub *h);
/* Look again soon whether those that are full have room. */
void wsg_hub_watch_room(struct wsg_hub *h);
/* Not read, until it is settled. */
void wsg_hub_pause_client(struct wsg_hub *h, struct wsg_pin *p);
/* More than enough waits for one handler: whoever has not sent to it lately must not begin to. */
void wsg_hub_pause_all(struct wsg_hub *h, struct wsg_lane *lane);
/* Something is under way to the handler: does it have room? */
void wsg_hub_note_link(struct wsg_hub *h, struct wsg_handler *to);
void wsg_hub_note_full(struct wsg_hub *h, struct wsg_handler *to);
/* Nothing of it waits any more: it may speak, unless the handler or the route has enough as it is. */
void wsg_hub_settle(struct wsg_hub *h, struct wsg_pin *p);

#endif
