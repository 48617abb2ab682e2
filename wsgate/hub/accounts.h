#ifndef WSG_HUB_ACCOUNTS_H
#define WSG_HUB_ACCOUNTS_H

/* What is kept of connections, what is dropped, and their ends: each is counted once, so that the sums add up at every step. */

#include "hub/hub.h"

/* A route that has as much as it may keep. */
static inline bool wsg_hub_is_over_limit(const struct wsg_route *r)
{
    return r->retained.bytes >= r->policy.max_retained;
}

/* Well below the limit, so that a client is not stopped and let go for every message. */
static inline bool wsg_hub_is_under_limit(const struct wsg_route *r)
{
    return r->retained.bytes <= r->policy.max_retained - r->policy.max_retained / 4;
}

void wsg_hub_charge(struct wsg_pin *p, const struct wsg_backlog_sum *added);
/* What is kept of it no more. */
void wsg_hub_discharge(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_backlog_sum *freed);
void wsg_hub_count_dropped(struct wsg_pin *p, enum wsg_in_drop reason, uint32_t messages);
/* Take out one that was sent and has had its `limit` deliveries: accounted for as undeliverable; the caller's, NULL: none. */
struct wsg_kept *wsg_hub_take_spent(struct wsg_hub *h, struct wsg_pin *p, uint32_t limit);
/* It is about to leave its owner. If that has not acknowledged its OPEN, there is a place for another one. */
void wsg_hub_note_leaving(struct wsg_hub *h, const struct wsg_pin *p);
/* The client is gone and nothing of it is left to be done: the pin is gone. */
bool wsg_hub_end_if_over(struct wsg_hub *h, struct wsg_pin *p);
/* The pin ends; messages that are kept of it are counted as dropped. */
void wsg_hub_end_pin(struct wsg_hub *h, struct wsg_pin *p, enum wsg_in_drop reason);
/* Nobody will serve it: the session tells the client, nothing more of it is delivered. The pin may be gone afterwards. */
void wsg_hub_give_up(struct wsg_hub *h, struct wsg_pin *p, uint16_t status, const char *why, enum wsg_in_drop reason);
/* The same for what never had a pin. */
void wsg_hub_fail(struct wsg_hub *h, wsb_conn conn, uint16_t status, enum wsg_refusal reason, const char *why);
/* What is kept of it is forgotten, and messages among it are counted as dropped. */
void wsg_hub_drop_backlog(struct wsg_hub *h, struct wsg_pin *p, enum wsg_in_drop reason);

#endif
