#include "hub/move.h"

#include "hub/deliver.h"
#include "hub/link.h"
#include "hub/place.h"
#include "hub/round.h"

enum { BARRIER_MS = 1000 /* longest wait for the PONG of a handler that does not acknowledge */ };

static struct wsg_handler *next_owner(const struct wsg_hub *h, const struct wsg_pin *p)
{
    struct wsg_handler *to = p->move_to ? wsg_handlers_by_id(&h->handlers, p->move_to) : NULL;
    if (to && to != p->handler && !to->is_dead && !to->drain && wsg_handler_serves(to, p->route, wsg_pin_kind(p)))
        return to;
    return wsg_hub_pick(h, p, p->handler);
}

void wsg_hub_finish_move(struct wsg_hub *h, struct wsg_pin *p)
{
    struct wsg_handler *from = p->handler;
    struct wsg_handler *to = next_owner(h, p);
    wsg_pin_end_move(p);
    bool has_heard = p->sent_seq != 0; /* otherwise it has nothing to be told, or held to */
    if (to && (!has_heard || wsg_pin_add_former(p, from->id, &h->handlers))) {
        if (has_heard)
            wsg_hub_tell(h, from, WSB_REVOKED, 0, p->conn, "moved to another handler");
        wsg_pin_assign(p, to, NULL);
        h->stats.moved++;
    }
    wsg_hub_go_on(h, p);
    h->drain_pending = true;
}

bool wsg_hub_can_move(const struct wsg_pin *p)
{
    return p->handler && !p->handler->is_dead && !p->is_request && !p->is_moving && wsg_pin_is_alive(p);
}

/* Of those that do not acknowledge, the caller sends the PING that is the barrier. */
void wsg_hub_begin_move(struct wsg_hub *h, struct wsg_pin *p, uint32_t to)
{
    struct wsg_handler *from = p->handler;
    wsg_pin_begin_move(p, to, wsg_loop_now_ms(h->loop));
    from->steps++;
    if (from->acks && p->acked_seq == p->sent_seq)
        wsg_hub_finish_move(h, p);
    else if (!from->acks)
        wsg_hub_sweep_soon(h);
}

/* A handler that does not acknowledge, and does not answer its PING either, has had its chance. */
bool wsg_hub_is_late(const struct wsg_hub *h, const struct wsg_pin *p)
{
    return wsg_loop_now_ms(h->loop) - p->since_ms >= BARRIER_MS;
}

/* Those that began to move first are first, and so are their barriers. */
static size_t finish_some_of(struct wsg_hub *h, struct wsg_handler *from, size_t budget)
{
    struct wsg_pin *p;
    while (budget && (p = from->lane.moving) != NULL && (p->barrier <= from->barrier_passed || wsg_hub_is_late(h, p))) {
        budget--;
        wsg_hub_finish_move(h, p);
    }
    return budget;
}

size_t wsg_hub_finish_some(struct wsg_hub *h, size_t budget)
{
    for (struct wsg_handler *from = h->has_passed ? h->handlers.by_id : NULL; from && budget; from = from->by_id.next) {
        if (!from->acks)
            budget = finish_some_of(h, from, budget);
    }
    h->has_passed = h->has_passed && budget == 0;
    return budget;
}

wsb_err wsg_hub_move(struct wsg_hub *h, struct wsg_pin *p, struct wsg_handler *to)
{
    struct wsg_handler *from = p->handler;
    if (!wsg_hub_can_move(p) || to == from || to->is_dead || to->drain ||
        !wsg_handler_serves(to, p->route, wsg_pin_kind(p)))
        return WSB_ERR_REFUSED;
    p->is_placed = true;
    wsg_hub_begin_move(h, p, to->id);
    if (!from->acks)
        wsg_hub_ping(h, from);
    return WSB_OK;
}

/* --------------------------------------------- because of keys and routes */

/* One of the handler's connections that a key, or what is served, gives to somebody else begins to move. */
static bool rebalance_one(struct wsg_hub *h, struct wsg_handler *from, struct wsg_pin *p, size_t *budget)
{
    bool serves = wsg_handler_serves(from, p->route, wsg_pin_kind(p));
    if (!wsg_hub_can_move(p) || (serves && (!p->key || p->is_placed)))
        return false;
    *budget -= *budget < h->handlers.count ? *budget : h->handlers.count; /* each is asked */
    struct wsg_handler *to = wsg_hub_pick(h, p, serves ? NULL : from);
    if (!to || to == from)
        return false;
    wsg_hub_begin_move(h, p, to->id);
    return true;
}

/* Those that were looked at stand behind those that were not: the first one that was ends it. False: there is more. */
static bool rebalance_handler(struct wsg_hub *h, struct wsg_handler *from, size_t *budget)
{
    struct wsg_pin *p;
    bool any = false;
    while ((p = from->lane.pins) != NULL && p->balance_round != (uint32_t)h->balance_round && *budget) {
        --*budget;
        p->balance_round = (uint32_t)h->balance_round;
        wsg_lane_rotate(&from->lane, p);
        any = rebalance_one(h, from, p, budget) || any;
    }
    if (any && !from->acks)
        wsg_hub_ping(h, from);
    return !p || p->balance_round == (uint32_t)h->balance_round;
}

size_t wsg_hub_rebalance_some(struct wsg_hub *h, size_t budget)
{
    for (struct wsg_handler *from = h->is_rebalancing ? h->handlers.by_id : NULL; from; from = from->by_id.next) {
        if (from->balance_round == h->balance_round)
            continue;
        if (!rebalance_handler(h, from, &budget))
            return 0;
        from->balance_round = h->balance_round;
    }
    h->is_rebalancing = false;
    return budget;
}
