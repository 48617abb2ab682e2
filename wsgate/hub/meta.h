#ifndef WSG_HUB_META_H
#define WSG_HUB_META_H

/* The metadata of OPEN: what the session said is kept, packed, and said anew to each owner with what has become of it. */

#include "base/json.h"
#include "hub/hub.h"

/* What OPEN said, packed, for the next owner. False without memory: it is as it was. */
bool wsg_hub_keep_meta(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span meta);
void wsg_hub_put_user(struct wsb_json *j, const struct wsg_hub *h, const struct wsg_pin *p);

/* The metadata of OPEN as it is now; valid until the next call. */
struct wsb_span wsg_hub_open_meta(struct wsg_hub *h, const struct wsg_pin *p);
/* OPEN says what the gate chose; whoever accepted may have chosen otherwise. Without memory it stays as it was. */
void wsg_hub_set_subprotocol(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name);

#endif
