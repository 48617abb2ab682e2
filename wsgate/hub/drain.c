#include "hub/drain.h"

#include "base/log.h"
#include "hub/going.h"
#include "hub/hands.h"
#include "hub/link.h"
#include "hub/move.h"
#include "hub/place.h"
#include "hub/round.h"

enum {
    MOVING_AT_ONCE = 64,            /* connections of one handler */
    DRAIN_LOOKS = 4096,             /* at connections, and at handlers for them, in one step of a drain */
    DRAINS_LOOKS = 8 * DRAIN_LOOKS, /* of all that drain */
    STREAM_LOOKS = 4096,            /* at connections whose response may go on */
    STREAM_COST = 16                /* of them is as dear to end one */
};

/* Somebody else serves one of its routes; otherwise nothing of it can go. */
static bool has_relief(const struct wsg_hub *h, const struct wsg_handler *from)
{
    for (size_t i = 0; i < from->route_count; i++) {
        if (wsg_handlers_pick(&h->handlers, &h->routes->routes[from->routes[i]], from->kinds, 0, from))
            return true;
    }
    return false;
}

static bool has_another(const struct wsg_hub *h, const struct wsg_pin *p)
{
    return wsg_hub_pick(h, p, p->handler) != NULL;
}

static void spend(size_t *budget, size_t cost)
{
    *budget -= cost < *budget ? cost : *budget;
}

/* Some of those that can go begin to. True: there were any. */
static bool drain_some(struct wsg_hub *h, struct wsg_handler *from, size_t *budget)
{
    struct wsg_lane *lane = &from->lane;
    size_t begun = *budget < DRAIN_LOOKS ? *budget : DRAIN_LOOKS, left = begun;
    struct wsg_pin *p;
    bool any = false;
    from->steps = 0;
    if (!lane->walks[WSG_WALK_DRAIN])
        wsg_lane_walk(lane, WSG_WALK_DRAIN);
    while (left && from->moving < MOVING_AT_ONCE && from->steps < MOVING_AT_ONCE &&
           (p = wsg_lane_step(lane, WSG_WALK_DRAIN)) != NULL) {
        bool may = wsg_hub_can_move(p);
        spend(&left, may ? h->handlers.count : 1); /* each is asked */
        if (!may || !has_another(h, p))
            continue;
        any = true;
        wsg_hub_begin_move(h, p, 0);
    }
    if (lane->walks[WSG_WALK_DRAIN])
        wsg_hub_sweep_soon(h); /* the rest follows */
    *budget -= begun - left;
    return any;
}

static void drain_on(struct wsg_hub *h, struct wsg_handler *from, size_t *budget)
{
    if (from->drain != WSG_DRAIN_BEGUN || from->is_dead)
        return;
    spend(budget, from->lane.count ? from->route_count * h->handlers.count : 1);
    if (from->lane.count && !has_relief(h, from))
        return;
    if (drain_some(h, from, budget) && !from->acks)
        wsg_hub_ping(h, from);
    if (from->lane.count == 0) {
        from->drain = WSG_DRAIN_DONE;
        wsg_hub_tell(h, from, WSB_DRAIN, 0, 0, "nothing is left");
        WSB_LOG(WSB_LOG_BUS, WSB_LOG_INFO, "handler is drained", WSB_KU("handler", from->id),
                WSB_KS("name", from->name));
    }
}

void wsg_hub_drain_in_turn(struct wsg_hub *h)
{
    struct wsg_handler *first = wsg_handlers_from(&h->handlers, h->drain_turn), *from = first;
    size_t budget = DRAINS_LOOKS;
    h->drain_pending = false;
    while (from && budget) {
        drain_on(h, from, &budget);
        from = wsg_handlers_behind(&h->handlers, from);
        if (from == first)
            return;
    }
    if (!from)
        return;
    h->drain_turn = from->id;
    wsg_hub_sweep_soon(h);
}

void wsg_hub_drain_session(struct wsg_hub *h, wsb_conn conn)
{
    const struct wsg_command c = {.type = WSG_CMD_DRAIN, .by = WSG_BY_GATE};
    h->host.command(h->host.ctx, &c, &conn, 1);
}

static size_t end_some_streams(struct wsg_hub *h, struct wsg_handler *from, size_t budget)
{
    const struct wsg_pin *p;
    while (budget && (p = wsg_lane_step(&from->lane, WSG_WALK_STREAMS)) != NULL) {
        bool is_stream = p->is_request && p->is_answered;
        size_t cost = is_stream ? STREAM_COST : 1;
        budget -= cost < budget ? cost : budget;
        if (is_stream)
            wsg_hub_drain_session(h, p->conn);
    }
    return budget;
}

/* Event streams end in good order: their clients come back, to another handler. Other requests are finished. */
void wsg_hub_streams_on(struct wsg_hub *h)
{
    size_t budget = h->is_ending_streams ? STREAM_LOOKS : 0;
    for (struct wsg_handler *from = h->handlers.by_id; from && budget; from = from->by_id.next)
        budget = end_some_streams(h, from, budget);
    h->is_ending_streams = h->is_ending_streams && budget == 0;
    if (h->is_ending_streams)
        wsg_hub_again(h);
}

static void end_streams(struct wsg_hub *h, struct wsg_handler *from)
{
    wsg_lane_walk(&from->lane, WSG_WALK_STREAMS);
    h->is_ending_streams = true;
    wsg_hub_streams_on(h);
}

void wsg_hub_drain_handler(struct wsg_hub *h, struct wsg_handler *handler)
{
    if (handler->drain || handler->is_dead)
        return;
    handler->drain = WSG_DRAIN_BEGUN;
    wsg_hub_count_out(h, handler); /* new clients are told that nobody is there, if nobody else is */
    WSB_LOG(WSB_LOG_BUS, WSB_LOG_INFO, "draining handler", WSB_KU("handler", handler->id),
            WSB_KS("name", handler->name), WSB_KU("connections", handler->lane.count));
    wsg_hub_tell(h, handler, WSB_DRAIN, WSB_FLAG_MORE, 0, "drained by an operator");
    end_streams(h, handler);
    size_t budget = DRAINS_LOOKS;
    drain_on(h, handler, &budget);
}

void wsg_hub_undrain_handler(struct wsg_hub *h, struct wsg_handler *handler)
{
    if (handler->drain != WSG_DRAIN_BEGUN || handler->is_dead)
        return;
    handler->drain = WSG_DRAIN_NO;
    handler->lane.walks[WSG_WALK_DRAIN] = handler->lane.walks[WSG_WALK_STREAMS] = NULL;
    wsg_hub_count_in(h, handler);
    WSB_LOG(WSB_LOG_BUS, WSB_LOG_INFO, "handler drains no more", WSB_KU("handler", handler->id),
            WSB_KS("name", handler->name), WSB_KU("connections", handler->lane.count));
    wsg_hub_welcome_handler(h, handler);
}

void wsg_hub_end_quiet(struct wsg_hub *h, struct wsg_pin *p)
{
    if (!p->is_quiet || wsg_pin_is_closed(p) || p->backlog.first) /* messages are kept until they are acknowledged */
        return;
    p->is_quiet = false;
    wsg_hub_drain_session(h, p->conn);
}
