#ifndef WSG_HUB_ACK_H
#define WSG_HUB_ACK_H

/* What a handler has done with. */

#include "hub/hub.h"

void wsg_hub_acked(struct wsg_hub *h, struct wsg_handler *from, wsb_conn conn, uint64_t seq);
/* The response has begun: the request is not given to anybody else any more. */
void wsg_hub_answered(struct wsg_hub *h, struct wsg_pin *p);

#endif
