#ifndef WSG_HUB_HANDS_H
#define WSG_HUB_HANDS_H

/* What makes connections change hands, and that they do so in steps. */

#include "hub/hub.h"

/* A handler is there, or serves other routes than before: it takes what waits, and what is better off with it. */
void wsg_hub_welcome_handler(struct wsg_hub *h, struct wsg_handler *to);
/* Connections that a key, or the routes that are served, give to somebody else now begin to move. */
void wsg_hub_rebalance(struct wsg_hub *h);
/* Go on, for one step, with what changes hands: of handlers that left, of nobody's, and of keys that say so. */
void wsg_hub_change_hands(struct wsg_hub *h);
/* The handler answered a PING: whatever was sent before it has been seen. */
void wsg_hub_passed_barrier(struct wsg_hub *h, struct wsg_handler *from, uint64_t ping_seq);
/* What has waited too long. */
void wsg_hub_sweep(struct wsg_hub *h);

#endif
