#ifndef WSG_HUB_GOING_H
#define WSG_HUB_GOING_H

/* How a handler goes. One that is found dead while something iterates over handlers or pins is only marked; it is taken out at the end of the step. */

#include "hub/hub.h"

/* It is gone, or as good as gone: its connections go to others, in steps, and it is freed. */
void wsg_hub_remove_handler(struct wsg_hub *h, struct wsg_handler *handler, enum wsg_going how, const char *why);
void wsg_hub_remove_dead(struct wsg_hub *h);
/* Among those that serve its routes, or not any more. Each may be said twice. */
void wsg_hub_count_in(struct wsg_hub *h, struct wsg_handler *handler);
void wsg_hub_count_out(struct wsg_hub *h, struct wsg_handler *handler);

#endif
