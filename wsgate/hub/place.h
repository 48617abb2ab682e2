#ifndef WSG_HUB_PLACE_H
#define WSG_HUB_PLACE_H

/* A connection without an owner: whose it becomes, or how long it waits for one. */

#include "hub/hub.h"

static inline struct wsg_handler *wsg_hub_pick(const struct wsg_hub *h, const struct wsg_pin *p,
                                               const struct wsg_handler *except)
{
    return wsg_handlers_pick(&h->handlers, p->route, wsg_pin_kind(p), p->key, except);
}

/* The route takes one more with this key: somebody serves it, or may come to. */
bool wsg_hub_has_place(const struct wsg_hub *h, const struct wsg_route *r, uint64_t key);
/* A new connection: into somebody's hands, or those of nobody for a while. False: it was failed, and the pin is gone. */
bool wsg_hub_place(struct wsg_hub *h, struct wsg_pin *p);
/* How long a connection that has lost its handler waits for another one. */
uint32_t wsg_hub_patience_ms(const struct wsg_pin *p);
/* Nobody's, until a handler takes it or its patience is over. */
void wsg_hub_orphan(struct wsg_hub *h, struct wsg_pin *p);
/* Look at h->orphans_left of those that wait, as far as the budget reaches. Returns what is left of it. */
size_t wsg_hub_look_at_orphans(struct wsg_hub *h, size_t budget);

#endif
