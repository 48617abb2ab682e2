#include "hub/hands.h"

#include "hub/leave.h"
#include "hub/move.h"
#include "hub/place.h"
#include "hub/round.h"

enum { HANDS_AT_ONCE = 2048 /* connections, and events of them, that go to others in one go */ };

static bool is_changing_hands(const struct wsg_hub *h)
{
    return h->handlers.leaving || h->has_passed || h->orphans_left || h->is_rebalancing;
}

/* However many connections change hands: so much in one go, and the rest behind what else there is to do. */
void wsg_hub_change_hands(struct wsg_hub *h)
{
    size_t budget = HANDS_AT_ONCE;
    if (h->changes_hands)
        return; /* called by what it calls */
    h->changes_hands = true;
    budget = wsg_hub_rehome_some(h, budget);
    budget = wsg_hub_finish_some(h, budget);
    budget = wsg_hub_look_at_orphans(h, budget);
    (void)wsg_hub_rebalance_some(h, budget);
    h->changes_hands = false;
    h->steps++;
    if (is_changing_hands(h))
        wsg_hub_again(h);
}

void wsg_hub_passed_barrier(struct wsg_hub *h, struct wsg_handler *from, uint64_t ping_seq)
{
    if (from->acks || !from->lane.moving)
        return;
    from->barrier_passed = ping_seq > from->barrier_passed ? ping_seq : from->barrier_passed;
    h->has_passed = true;
    wsg_hub_change_hands(h);
}

void wsg_hub_rebalance(struct wsg_hub *h)
{
    h->balance_round++;
    h->is_rebalancing = true;
    wsg_hub_change_hands(h);
}

void wsg_hub_weigh(struct wsg_hub *h, struct wsg_handler *handler, uint32_t weight)
{
    handler->weight = weight;
    wsg_hub_rebalance(h);
}

void wsg_hub_welcome_handler(struct wsg_hub *h, struct wsg_handler *to)
{
    (void)to;
    h->orphans_left = h->pins.orphans.count;
    wsg_hub_rebalance(h);
    h->drain_pending = true;
}

static bool end_barriers(struct wsg_hub *h)
{
    bool any = false;
    for (struct wsg_handler *from = h->handlers.by_id; from; from = from->by_id.next) {
        const struct wsg_pin *first = from->acks ? NULL : from->lane.moving;
        any = any || first;
        h->has_passed = h->has_passed || (first && wsg_hub_is_late(h, first));
    }
    if (h->has_passed)
        wsg_hub_change_hands(h);
    return any;
}

void wsg_hub_sweep(struct wsg_hub *h)
{
    if (!h->orphans_left)
        h->orphans_left = h->pins.orphans.count;
    wsg_hub_change_hands(h);
    if (h->pins.orphans.unsent_bytes < WSG_UNSENT_LOW)
        h->pins.orphans.all_paused = false;
    bool any = end_barriers(h);
    h->drain_pending = true;
    if (any || h->pins.orphans.count)
        wsg_hub_sweep_soon(h);
}
