#ifndef WSG_HUB_UNDELIVERABLE_H
#define WSG_HUB_UNDELIVERABLE_H

/*
 * Events that no handler gets done with: each that has it dies, or hangs. After `max_deliveries` the event is set aside, so
 * that one message does not take down every handler of its route in turn.
 */

#include "hub/hub.h"

/* The handler has acknowledged something: what was to be alone may be over, or begin. */
void wsg_hub_alone_on(struct wsg_hub *h, struct wsg_handler *to);
/* Once a second: nobody is waited for any longer than that. */
void wsg_hub_end_alone(struct wsg_hub *h, uint64_t now_ms);
/* `from` has lost the pin: what it has not acknowledged may have been delivered often enough, and is set aside. False: the
 * pin is given up, or gone. */
bool wsg_hub_spare(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_handler *from);

#endif
