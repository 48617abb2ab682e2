#ifndef WSG_HUB_AGES_H
#define WSG_HUB_AGES_H

/*
 * How long the oldest event of each route has been kept. Begin a look at all connections once a second, and go on with it in
 * steps; what it finds stands in the route until the next look is over. An event that the look misses is younger than
 * two looks.
 */

#include "hub/hub.h"

/* Once a second: look for the oldest event of each route. It goes on in steps. */
void wsg_hub_ages_begin(struct wsg_hub *h);
void wsg_hub_ages_on(struct wsg_hub *h);

#endif
