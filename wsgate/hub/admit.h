#ifndef WSG_HUB_ADMIT_H
#define WSG_HUB_ADMIT_H

/*
 * Clients that wait to be let in. Their OPEN is pending: with a handler of their own route, or with one of the route's
 * gatekeeper. That one has the connection as an owner does until it accepts it:
 *
 *     PENDING ──ACCEPT──▶ ADMITTED                        where a handler of the same route was asked
 *     PENDING ──ACCEPT──▶ ADMITTING ──the 101──▶ ADMITTED  where a gatekeeper was
 *
 * With ACCEPT the connection leaves the gatekeeper, with all that is counted of it, for a handler of the route that the
 * client asked for. Only the session knows whether the client still gets its 101, so that handler hears nothing before the
 * session has said so, and nothing at all of one that did not.
 */

#include "hub/hub.h"

/* It waits until it is accepted. `wanted`: it goes to this route then (NULL: it stays), and joins these groups, each ended by a NUL.
 * False without memory. */
bool wsg_hub_ask(struct wsg_pin *p, struct wsg_route *wanted, uint64_t key, struct wsb_span names);
/* It is pending. False: there is nobody for it on the route that it wants, and it is to be told so instead. */
bool wsg_hub_can_admit(const struct wsg_hub *h, const struct wsg_pin *p);
/* It is accepted: it leaves its gatekeeper, if one was asked, and joins what it did not join before. */
void wsg_hub_admit(struct wsg_hub *h, struct wsg_pin *p);
/* And with the names that its ACCEPT gave it: into the hands of an owner. The pin may be gone afterwards. */
void wsg_hub_settle_in(struct wsg_hub *h, struct wsg_pin *p);
/* The session has sent the 101: the owner may hear of it. */
void wsg_hub_on_admitted(struct wsg_hub *h, const struct wsg_out *out);

#endif
