#ifndef WSG_HUB_LEAVE_H
#define WSG_HUB_LEAVE_H

/* The connections of a handler that has left: they go to others, in steps, with what it has not acknowledged, marked as redelivered. */

#include "hub/hub.h"

/* Returns what is left of the budget. A handler whose connections have all gone is freed. */
size_t wsg_hub_rehome_some(struct wsg_hub *h, size_t budget);

#endif
