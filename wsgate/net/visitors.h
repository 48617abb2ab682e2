#ifndef WSG_NET_VISITORS_H
#define WSG_NET_VISITORS_H

/*
 * How many connections each address has, and how fast it makes new ones: for the limits that one address may not pass,
 * whichever worker it comes to. A household (base/ip.h) counts as one. What is remembered of an address that has gone is
 * forgotten when its allowance is full again; all of it is bounded.
 *
 * Threads   any; it has a lock, taken once when a connection comes and once when it goes
 */

#include "base/ip.h"
#include "base/siphash.h"

struct wsg_visitors;

struct wsg_visitor_limits {
    uint32_t connections; /* of one address at a time; 0: any number */
    uint32_t rate;        /* new ones a second; 0: any number */
    uint32_t burst;       /* so many at once before the rate counts; at least 1 */
};

enum wsg_visit { WSG_VISIT_WELCOME, WSG_VISIT_TOO_MANY, WSG_VISIT_TOO_FAST, WSG_VISIT_NO_MEMORY };

/* `most`: addresses that are remembered, at least as many as there may be connections. */
WSB_MUST_CHECK wsb_err wsg_visitors_new(struct wsg_visitors **ret, const struct wsg_visitor_limits *limits, size_t most,
                                        const struct wsb_seed *seed);
void wsg_visitors_free(struct wsg_visitors *v);

/* WSG_VISIT_WELCOME: it is counted until it leaves. Whoever comes over a Unix socket is always welcome. */
enum wsg_visit wsg_visitors_enter(struct wsg_visitors *v, const struct wsb_ip *ip, uint64_t now_ms);
void wsg_visitors_leave(struct wsg_visitors *v, const struct wsb_ip *ip, uint64_t now_ms);

size_t wsg_visitors_count(struct wsg_visitors *v); /* addresses that are remembered */

#endif
