/* Places, counted in all and by address. */
#include "bus/places.h"

#include <assert.h>
#include <stdlib.h>

enum { BUCKET_BITS = 12 };

_Static_assert(WSG_PLACES_BUCKETS == 1 << BUCKET_BITS, "an index has so many bits");

#define IS_PLACE (UINT32_C(1) << 31) /* so that no place is 0 */

static wsg_place place_of(const struct wsb_seed *seed, const struct wsb_ip *ip)
{
    struct wsb_ip who = wsb_ip_household(ip);
    uint64_t hash = wsb_siphash(seed, wsb_span(who.at, sizeof who.at));
    return IS_PLACE | (uint32_t)(hash % ((uint64_t)WSG_PLACES_BUCKETS * WSG_PLACES_BUCKETS));
}

static _Atomic uint32_t *count_of(const struct wsg_places *p, wsg_place place, int row)
{
    return &p->of_address[row][(place >> (row * BUCKET_BITS)) % WSG_PLACES_BUCKETS];
}

/* Count one more of this address. Return how many it had. */
static uint32_t count_address(struct wsg_places *p, wsg_place place)
{
    uint32_t had = UINT32_MAX;
    for (int row = 0; row < WSG_PLACES_ROWS; row++) {
        uint32_t n = atomic_fetch_add_explicit(count_of(p, place, row), 1, memory_order_relaxed);
        had = n < had ? n : had;
    }
    return had;
}

static void uncount_address(struct wsg_places *p, wsg_place place)
{
    for (int row = 0; row < WSG_PLACES_ROWS; row++)
        atomic_fetch_sub_explicit(count_of(p, place, row), 1, memory_order_relaxed);
}

/*
 * For an address that has so many: no more than are free, so that there is room for one that has none until nothing is
 * free. Others of the address that are about to be counted are taken as if they were.
 */
static bool take_of(struct wsg_places *p, uint32_t had)
{
    uint32_t taken = wsg_places_taken(p);
    do {
        uint32_t seen = had > taken ? had : taken;
        if (seen >= p->max || had >= p->max - seen)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&p->taken, &taken, taken + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

wsg_place wsg_places_take(struct wsg_places *p, const struct wsb_seed *seed, const struct wsb_ip *ip)
{
    wsg_place place = place_of(seed, ip);
    if (!p->max) {
        atomic_fetch_add_explicit(&p->taken, 1, memory_order_relaxed);
        return place;
    }
    if (take_of(p, count_address(p, place)))
        return place;
    uncount_address(p, place);
    return 0;
}

void wsg_places_give_back(struct wsg_places *p, wsg_place *place)
{
    if (!*place)
        return;
    if (p->max)
        uncount_address(p, *place);
    uint32_t had = atomic_fetch_sub_explicit(&p->taken, 1, memory_order_relaxed);
    assert(had > 0);
    (void)had;
    *place = 0;
}

wsb_err wsg_places_init(struct wsg_places *p, uint32_t max)
{
    *p = (struct wsg_places){.max = max};
    if (max)
        p->of_address = calloc(WSG_PLACES_ROWS, sizeof *p->of_address);
    return max && !p->of_address ? WSB_ERR_NOMEM : WSB_OK;
}

void wsg_places_deinit(struct wsg_places *p)
{
    free(p->of_address);
    p->of_address = NULL;
}
