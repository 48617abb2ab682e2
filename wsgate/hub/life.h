#ifndef WSG_HUB_LIFE_H
#define WSG_HUB_LIFE_H

/* Who is stopped, out of reach, or hangs. */

#include "hub/hub.h"

/* Once a second: who hangs, or does not run. */
void wsg_hub_check_life(struct wsg_hub *h);
void wsg_hub_judge_on(struct wsg_hub *h); /* the rest of it */

#endif
