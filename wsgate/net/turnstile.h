#ifndef WSG_NET_TURNSTILE_H
#define WSG_NET_TURNSTILE_H

/*
 * So many may pass in a second, of all addresses together, and none of them at the cost of the others: when passes become
 * scarce, what is left is for addresses that have had less than their share of this second. Who must wait is told how
 * long, and each later one a little longer, so that they do not come back all at once.
 *
 * Addresses are told apart by a hash with a seed of its own, in a table of a fixed size. Two of them that fall on the same
 * places share what there is for one, for a second; then they fall anew.
 *
 * Threads   any; it has a lock
 */

#include "base/ip.h"
#include "base/siphash.h"

struct wsg_turnstile;

struct wsg_turnstile_limits {
    uint32_t rate;  /* a second; at least 1 */
    uint32_t burst; /* so many at once before the rate counts; at least 2: one of them is for the modest */
};

WSB_MUST_CHECK wsb_err wsg_turnstile_new(struct wsg_turnstile **ret, const struct wsg_turnstile_limits *limits,
                                         const struct wsb_seed *seed);
void wsg_turnstile_free(struct wsg_turnstile *t);

/* May it pass? 0: yes, and it has; else in how many seconds it may try again. */
uint32_t wsg_turnstile_pass(struct wsg_turnstile *t, const struct wsb_ip *ip, uint64_t now_ms);

#endif
