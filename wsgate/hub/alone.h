#ifndef WSG_HUB_ALONE_H
#define WSG_HUB_ALONE_H

/*
 * Which event it was that a handler died of is not known: all that it had not acknowledged may have been it. So the last
 * delivery of an event is made alone (bus/handler.h, enum wsg_alone): then it is known. Innocent ones are acknowledged, one by one, and
 * everybody goes on.
 */

#include "hub/hub.h"

/* An event that was delivered so often may be sent to the pin's owner now, and was. */
bool wsg_hub_may_try(struct wsg_hub *h, const struct wsg_pin *p, uint32_t deliveries);
void wsg_hub_note_try(struct wsg_hub *h, const struct wsg_pin *p, uint32_t deliveries);
/* The event's metadata says how often it has been delivered; valid until h->text is used again. */
void wsg_hub_say_deliveries(struct wsg_hub *h, struct wsb_envelope *e, uint32_t deliveries);

#endif
