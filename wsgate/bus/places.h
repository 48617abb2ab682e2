#ifndef WSG_BUS_PLACES_H
#define WSG_BUS_PLACES_H

/*
 * The places of a route for WebSocket clients of which no handler has heard. A place is taken when the gate lets a
 * handshake through; its owner is the session, then the OPEN event on its way to the hub, then the pin. Whoever owns it
 * last gives it back.
 *
 * One address has no more places than are free: alone it has half of them, and another address still gets in. Addresses
 * are told apart by a hash with a seed, in a table of a fixed size; a household (base/ip.h) counts as one.
 *
 * Threads   any; nobody waits. There are never more than `max`. Threads that take and give back at the same moment may let an address
 *           have more than its share by as many as they are: its two counts do not change together
 */

#include <stdatomic.h>

#include "base/ip.h"
#include "base/siphash.h"

enum { WSG_PLACES_ROWS = 2, WSG_PLACES_BUCKETS = 4096 /* of a row; a power of two */ };

/* One place: opaque. 0: none. */
typedef uint32_t wsg_place;

struct wsg_places {
    uint32_t max; /* 0: any number */
    _Atomic uint32_t taken;
    /* owned; how many an address has: the smaller of its two counts, should others share the one; NULL: any number */
    _Atomic uint32_t (*of_address)[WSG_PLACES_BUCKETS];
};

/* WSB_ERR_NOMEM: nothing is to be deinitialised. */
WSB_MUST_CHECK wsb_err wsg_places_init(struct wsg_places *p, uint32_t max);
void wsg_places_deinit(struct wsg_places *p);

/* Take a place for a client of this address. 0: there is none for it. */
wsg_place wsg_places_take(struct wsg_places *p, const struct wsb_seed *seed, const struct wsb_ip *ip);
/* Give *place back, which is none afterwards. A no-op with none. */
void wsg_places_give_back(struct wsg_places *p, wsg_place *place);

static inline uint32_t wsg_places_taken(const struct wsg_places *p)
{
    return atomic_load_explicit(&p->taken, memory_order_relaxed);
}

#endif
