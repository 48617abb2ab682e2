#ifndef WSG_HUB_MOVE_H
#define WSG_HUB_MOVE_H

/*
 * A connection moves in good order when its owner lives: what follows is held back until the owner has acknowledged what it has, then
 * it is told REVOKED, and the next owner gets OPEN and what was held back. One that does not acknowledge answers a PING instead.
 */

#include "hub/hub.h"

bool wsg_hub_can_move(const struct wsg_pin *p);
/* To a handler, or any (0). Of those that do not acknowledge, the caller sends the PING that is the barrier. The pin may be gone afterwards. */
void wsg_hub_begin_move(struct wsg_hub *h, struct wsg_pin *p, uint32_t to);
/* The owner has acknowledged all of a connection that moves. */
void wsg_hub_finish_move(struct wsg_hub *h, struct wsg_pin *p);
/* A handler that does not acknowledge, and does not answer its PING either, has had its chance with this one. */
bool wsg_hub_is_late(const struct wsg_hub *h, const struct wsg_pin *p);
/* Finish moves that wait for a PING no more, and begin those that keys or routes ask for. Return what is left of the budget. */
size_t wsg_hub_finish_some(struct wsg_hub *h, size_t budget);
size_t wsg_hub_rebalance_some(struct wsg_hub *h, size_t budget);

#endif
