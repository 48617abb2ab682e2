#ifndef WSG_HUB_STEP_H
#define WSG_HUB_STEP_H

/* What steps bring about for handlers as a whole, and what is done in steps. */

#include "hub/hub.h"

/* A step is over: who is dead leaves, who has room is sent to, who drains goes on. */
void wsg_hub_end_step(struct wsg_hub *h);

#endif
