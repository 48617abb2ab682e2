#ifndef WSG_GATE_HUB_PARTS_H
#define WSG_GATE_HUB_PARTS_H

/* What hub.c and hub_commands.c share. */

#include "gate/hub.h"

/* Send one message to a handler; with a batch it leaves at the end of the round. */
void wsg_hub_send(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_envelope *e);
void wsg_hub_error(struct wsg_hub *h, struct wsb_span peer, enum wsb_error_code code, uint64_t seq, const char *text);
/* It is gone, or as good as gone: its connections go to others, and it is freed. */
void wsg_hub_remove_handler(struct wsg_hub *h, struct wsg_handler *handler, const char *why);
/* Straight to a peer that may not be registered. */
void wsg_hub_send_peer(struct wsg_hub *h, struct wsb_span peer, const struct wsb_envelope *e);

/* One command of a handler (from NULL: of the commands endpoint, or of a peer that is not registered). */
void wsg_hub_command(struct wsg_hub *h, struct wsb_span peer, struct wsg_handler *from, const struct wsb_envelope *e);

#endif
