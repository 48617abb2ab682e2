#ifndef WSG_HUB_DRAIN_H
#define WSG_HUB_DRAIN_H

/* A handler drains: its connections move away in good order. The gate drains: a client is closed when all of it has been dealt with. */

#include "hub/hub.h"

/* Handlers that drain may have nothing left, or something that can go now: a step of that, each in its turn. */
void wsg_hub_drain_in_turn(struct wsg_hub *h);
/* Go on, for one step, with ending the responses that go on of handlers that drain. */
void wsg_hub_streams_on(struct wsg_hub *h);
/* The gate ends: a client that is not read any more is closed when everything of it has been dealt with. */
void wsg_hub_end_quiet(struct wsg_hub *h, struct wsg_pin *p);
void wsg_hub_drain_session(struct wsg_hub *h, wsb_conn conn);

#endif
