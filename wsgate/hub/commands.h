#ifndef WSG_HUB_COMMANDS_H
#define WSG_HUB_COMMANDS_H

/* What handlers say to connections. */

#include "hub/hub.h"

/* One command of a handler (from NULL: of the commands endpoint, or of a peer that is not registered). `by` says who brought
 * it, and with which key. */
void wsg_hub_command(struct wsg_hub *h, const struct wsb_inbound *by, struct wsg_handler *from,
                     const struct wsb_envelope *e);

#endif
