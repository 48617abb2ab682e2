#include "hub/place.h"

#include "hub/accounts.h"
#include "hub/deliver.h"
#include "hub/round.h"

/* How long a connection that has lost its handler waits for another one. */
uint32_t wsg_hub_patience_ms(const struct wsg_pin *p)
{
    const struct wsg_route_policy *policy = &p->route->policy;
    return policy->no_handler == WSG_NO_HANDLER_WAIT ? policy->handler_wait_ms : policy->handler_grace_ms;
}

void wsg_hub_orphan(struct wsg_hub *h, struct wsg_pin *p)
{
    wsg_pin_assign(p, NULL, &h->pins.orphans);
    p->since_ms = wsg_loop_now_ms(h->loop);
    wsg_hub_sweep_soon(h);
}

/* What becomes of one more: *ret_to NULL, and true, when it is to wait for a handler. */
static bool find_place(const struct wsg_hub *h, const struct wsg_route *r, enum wsg_kind kind, uint64_t key,
                       struct wsg_handler **ret_to)
{
    bool is_full = r->retained.bytes / 2 >= r->policy.max_retained; /* see hub_deliver.c */
    *ret_to = is_full ? NULL : wsg_handlers_pick(&h->handlers, r, kind, key, NULL);
    return *ret_to || (!is_full && r->policy.no_handler == WSG_NO_HANDLER_WAIT);
}

bool wsg_hub_has_place(const struct wsg_hub *h, const struct wsg_route *r, uint64_t key)
{
    struct wsg_handler *ignored;
    return find_place(h, r, WSG_KIND_WEBSOCKET, key, &ignored);
}

bool wsg_hub_place(struct wsg_hub *h, struct wsg_pin *p)
{
    struct wsg_handler *to;
    bool has_place = find_place(h, p->route, wsg_pin_kind(p), p->key, &to);
    if (to)
        wsg_pin_assign(p, to, NULL);
    else if (has_place)
        wsg_hub_orphan(h, p);
    if (has_place)
        return true;
    wsb_conn conn = p->conn;
    enum wsg_refusal refusal = wsg_pin_refusal(p);
    if (p->is_request)
        wsg_tally(&p->route->tally.requests_failed[WSG_IN_NO_HANDLER], 1);
    wsg_hub_end_pin(h, p, WSG_IN_NO_HANDLER);
    wsg_hub_fail(h, conn, 503, refusal, "no handler, or too much waits for them");
    return false;
}

/* One of the orphans: a handler takes it, or its time is up, or it goes to the end of the list. */
static void look_at_orphan(struct wsg_hub *h, struct wsg_pin *p, uint64_t now_ms)
{
    struct wsg_handler *to = wsg_route_serving(p->route, wsg_pin_kind(p)) ? wsg_hub_pick(h, p, NULL) : NULL;
    if (to) {
        wsg_pin_assign(p, to, NULL);
        wsg_hub_go_on(h, p);
    } else if (now_ms - p->since_ms >= wsg_hub_patience_ms(p)) {
        wsg_hub_give_up(h, p, 503, "no handler", WSG_IN_NO_HANDLER);
    } else {
        wsg_lane_rotate(&h->pins.orphans, p);
    }
}

size_t wsg_hub_look_at_orphans(struct wsg_hub *h, size_t budget)
{
    uint64_t now_ms = wsg_loop_now_ms(h->loop);
    while (h->orphans_left && h->pins.orphans.pins && budget) {
        h->orphans_left--;
        budget--;
        look_at_orphan(h, h->pins.orphans.pins, now_ms);
    }
    if (!h->pins.orphans.pins)
        h->orphans_left = 0;
    return budget;
}
