/*
 * Whose a connection is. A connection moves in good order when its owner lives: what follows is held back until the owner
 * has acknowledged what it has, then it is told REVOKED, and the next owner gets OPEN and what was held back. When the owner
 * is dead, the next one gets what was not acknowledged as well, marked as redelivered. A handler that is found dead while
 * something iterates over handlers or pins is only marked; wsg_hub_remove_dead() takes it out at the end of the step.
 */
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "gate/hub_parts.h"

enum {
    SWEEP_MS = 50,
    PATIENCE_MS = 5000,   /* after we did not listen */
    BARRIER_MS = 1000,    /* longest wait for the PONG of a handler that does not acknowledge */
    LIVES_AT_ONCE = 32,   /* handlers that are asked about in one go */
    HANDS_AT_ONCE = 2048, /* connections, and events of them, that go to others in one go */
    MOVING_AT_ONCE = 64,  /* connections of one handler */
    DRAIN_LOOKS = 4096,   /* at connections, and at handlers for them, in one step of a drain */
    STREAM_LOOKS = 4096,  /* at connections whose response may go on */
    STREAM_COST = 16      /* of them is as dear to end one */
};

static struct wsg_handler *pick(const struct wsg_hub *h, const struct wsg_pin *p, const struct wsg_handler *except)
{
    return wsg_handlers_pick(&h->handlers, p->route, wsg_pin_kind(p), p->key, except);
}

static void sweep_soon(struct wsg_hub *h)
{
    if (!h->sweep.heap_index)
        (void)!wsg_loop_arm(h->loop, &h->sweep, wsg_loop_now_ms(h->loop) + SWEEP_MS);
}

/* How long a connection that has lost its handler waits for another one. */
static uint32_t patience_ms(const struct wsg_pin *p)
{
    const struct wsg_route_policy *policy = &p->route->policy;
    return policy->no_handler == WSG_NO_HANDLER_WAIT ? policy->handler_wait_ms : policy->handler_grace_ms;
}

static void orphan(struct wsg_hub *h, struct wsg_pin *p)
{
    wsg_pin_assign(p, NULL, &h->pins.orphans);
    p->since_ms = wsg_loop_now_ms(h->loop);
    sweep_soon(h);
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
        orphan(h, p);
    if (has_place)
        return true;
    wsb_conn conn = p->conn;
    enum wsg_refusal refusal = wsg_hub_refusal(p);
    if (p->is_request)
        wsg_tally(&p->route->tally.requests_failed[WSG_IN_NO_HANDLER], 1);
    wsg_hub_end_pin(h, p, WSG_IN_NO_HANDLER);
    wsg_hub_fail(h, conn, 503, refusal, "no handler, or too much waits for them");
    return false;
}

/* ------------------------------------------------------------------- moving in order */

static struct wsg_handler *next_owner(const struct wsg_hub *h, const struct wsg_pin *p)
{
    struct wsg_handler *to = p->move_to ? wsg_handlers_by_id(&h->handlers, p->move_to) : NULL;
    if (to && to != p->handler && !to->is_dead && !to->drain && wsg_handler_serves(to, p->route, wsg_pin_kind(p)))
        return to;
    return pick(h, p, p->handler);
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

static bool can_move(const struct wsg_pin *p)
{
    return p->handler && !p->handler->is_dead && !p->is_request && !p->is_moving && !p->is_closed && !p->is_failed;
}

/* Of those that do not acknowledge, the caller sends the PING that is the barrier. */
static void begin_move(struct wsg_hub *h, struct wsg_pin *p, uint32_t to)
{
    struct wsg_handler *from = p->handler;
    wsg_pin_begin_move(p, to, wsg_loop_now_ms(h->loop));
    from->steps++;
    if (from->acks && p->acked_seq == p->sent_seq)
        wsg_hub_finish_move(h, p);
    else if (!from->acks)
        sweep_soon(h);
}

void wsg_hub_passed_barrier(struct wsg_hub *h, struct wsg_handler *from, uint64_t ping_seq)
{
    if (from->acks || !from->lane.moving)
        return;
    from->barrier_passed = ping_seq > from->barrier_passed ? ping_seq : from->barrier_passed;
    h->has_passed = true;
    wsg_hub_change_hands(h);
}

/* A handler that does not acknowledge, and does not answer its PING either, has had its chance. */
static bool is_late(const struct wsg_hub *h, const struct wsg_pin *p)
{
    return wsg_loop_now_ms(h->loop) - p->since_ms >= BARRIER_MS;
}

/* Those that began to move first are first, and so are their barriers. */
static size_t finish_some_of(struct wsg_hub *h, struct wsg_handler *from, size_t budget)
{
    struct wsg_pin *p;
    while (budget && (p = from->lane.moving) != NULL && (p->barrier <= from->barrier_passed || is_late(h, p))) {
        budget--;
        wsg_hub_finish_move(h, p);
    }
    return budget;
}

static size_t finish_some(struct wsg_hub *h, size_t budget)
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
    if (!can_move(p) || to == from || to->is_dead || to->drain || !wsg_handler_serves(to, p->route, wsg_pin_kind(p)))
        return WSB_ERR_REFUSED;
    p->is_placed = true;
    begin_move(h, p, to->id);
    if (!from->acks)
        wsg_hub_ping(h, from);
    return WSB_OK;
}

/* --------------------------------------------------------------------------- draining */

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
    return pick(h, p, p->handler) != NULL;
}

/* Some of those that can go begin to. True: there were any. */
static bool drain_some(struct wsg_hub *h, struct wsg_handler *from)
{
    struct wsg_lane *lane = &from->lane;
    size_t budget = DRAIN_LOOKS;
    struct wsg_pin *p;
    bool any = false;
    from->steps = 0;
    if (!lane->walks[WSG_WALK_DRAIN])
        wsg_lane_walk(lane, WSG_WALK_DRAIN);
    while (budget && from->moving < MOVING_AT_ONCE && from->steps < MOVING_AT_ONCE &&
           (p = wsg_lane_step(lane, WSG_WALK_DRAIN)) != NULL) {
        bool may = can_move(p);
        size_t cost = may ? h->handlers.count : 1; /* each is asked */
        budget -= cost < budget ? cost : budget;
        if (!may || !has_another(h, p))
            continue;
        any = true;
        begin_move(h, p, 0);
    }
    if (lane->walks[WSG_WALK_DRAIN])
        sweep_soon(h); /* the rest follows */
    return any;
}

void wsg_hub_drain_on(struct wsg_hub *h, struct wsg_handler *from)
{
    if (from->drain != WSG_DRAIN_BEGUN || from->is_dead || (from->lane.count && !has_relief(h, from)))
        return;
    if (drain_some(h, from) && !from->acks)
        wsg_hub_ping(h, from);
    if (from->lane.count == 0) {
        from->drain = WSG_DRAIN_DONE;
        wsg_hub_tell(h, from, WSB_DRAIN, 0, 0, "nothing is left");
        WSB_LOG(WSB_LOG_BUS, WSB_LOG_INFO, "handler is drained", WSB_KU("handler", from->id),
                WSB_KS("name", from->name));
    }
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
    wsg_hub_drain_on(h, handler);
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
    if (!p->is_quiet || p->is_closed || p->backlog.first) /* messages are kept until they are acknowledged */
        return;
    p->is_quiet = false;
    wsg_hub_drain_session(h, p->conn);
}

/* ------------------------------------------------------------------ handlers that come */

/* One of the orphans: a handler takes it, or its time is up, or it goes to the end of the list. */
static void look_at_orphan(struct wsg_hub *h, struct wsg_pin *p, uint64_t now_ms)
{
    struct wsg_handler *to = wsg_route_serving(p->route, wsg_pin_kind(p)) ? pick(h, p, NULL) : NULL;
    if (to) {
        wsg_pin_assign(p, to, NULL);
        wsg_hub_go_on(h, p);
    } else if (now_ms - p->since_ms >= patience_ms(p)) {
        wsg_hub_give_up(h, p, 503, "no handler", WSG_IN_NO_HANDLER);
    } else {
        wsg_lane_rotate(&h->pins.orphans, p);
    }
}

static size_t look_at_orphans(struct wsg_hub *h, size_t budget)
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

/* One of the handler's connections that a key, or what is served, gives to somebody else begins to move. */
static bool rebalance_one(struct wsg_hub *h, struct wsg_handler *from, struct wsg_pin *p, size_t *budget)
{
    bool serves = wsg_handler_serves(from, p->route, wsg_pin_kind(p));
    if (!can_move(p) || (serves && (!p->key || p->is_placed)))
        return false;
    *budget -= *budget < h->handlers.count ? *budget : h->handlers.count; /* each is asked */
    struct wsg_handler *to = pick(h, p, serves ? NULL : from);
    if (!to || to == from)
        return false;
    begin_move(h, p, to->id);
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

static size_t rebalance_some(struct wsg_hub *h, size_t budget)
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

/* ------------------------------------------------------------------------------ death */

static void rehome(struct wsg_hub *h, struct wsg_pin *p, struct wsg_handler *from)
{
    wsg_pin_end_move(p);
    bool is_its_own = p->is_answered || (p->sent_seq && (!p->is_idempotent || !p->backlog.first));
    if (p->is_request && is_its_own) {
        wsg_hub_give_up(h, p, 502, "the handler went away", WSG_IN_LOST);
        return;
    }
    if (!wsg_hub_spare(h, p, from))
        return;
    struct wsg_handler *to = pick(h, p, from);
    if (to) {
        wsg_pin_assign(p, to, NULL);
        h->stats.moved++;
        wsg_hub_go_on(h, p);
    } else if (patience_ms(p) && !p->is_failed) {
        orphan(h, p);
    } else {
        wsg_hub_give_up(h, p, 503, "the handler went away", WSG_IN_NO_HANDLER);
    }
}

static void count_routes(struct wsg_hub *h, const struct wsg_handler *handler, int by)
{
    for (size_t i = 0; i < handler->route_count; i++) {
        struct wsg_route *r = &h->routes->routes[handler->routes[i]];
        atomic_fetch_or_explicit(&r->kinds_served, handler->kinds, memory_order_relaxed);
        for (unsigned k = 0; k < WSG_KINDS; k++) {
            if (handler->kinds & 1u << k)
                atomic_fetch_add_explicit(&r->serving[k], (uint32_t)by, memory_order_relaxed);
        }
        atomic_fetch_add_explicit(&r->handlers, (uint32_t)by, memory_order_relaxed);
    }
}

void wsg_hub_count_in(struct wsg_hub *h, struct wsg_handler *handler)
{
    if (!handler->is_counted && !handler->drain)
        count_routes(h, handler, 1);
    handler->is_counted = !handler->drain;
}

void wsg_hub_count_out(struct wsg_hub *h, struct wsg_handler *handler)
{
    if (handler->is_counted)
        count_routes(h, handler, -1);
    handler->is_counted = false;
}

/* It lives, and must know that the connection is somebody else's now, whatever number it comes back under. */
static void tell_revoked(struct wsg_hub *h, struct wsg_pin *p, struct wsg_handler *handler)
{
    if (!handler->is_told || !p->sent_seq)
        return; /* it is dead, or never heard of it */
    wsg_hub_tell(h, handler, WSB_REVOKED, 0, p->conn, handler->why);
    (void)wsg_pin_add_former(p, handler->id, &h->handlers); /* without memory it is told, but not held to it */
}

static void forget_handler(struct wsg_hub *h, struct wsg_handler *handler)
{
    wsg_hub_send_batch(h, handler);
    for (size_t i = 0; i < h->round_count; i++) {
        if (h->round[i] == handler)
            h->round[i] = h->round[--h->round_count];
    }
    wsg_handlers_free(&h->handlers, handler);
}

static size_t rehome_some(struct wsg_hub *h, size_t budget)
{
    struct wsg_handler *from;
    while ((from = h->handlers.leaving) != NULL && budget) {
        struct wsg_pin *p = wsg_lane_any(&from->lane);
        if (!p) {
            forget_handler(h, from);
            continue;
        }
        size_t cost = 1 + p->backlog.sent_count;
        budget -= cost < budget ? cost : budget;
        tell_revoked(h, p, from);
        rehome(h, p, from);
    }
    return budget;
}

/* ------------------------------------------------------------------------ in slices */

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
    budget = rehome_some(h, budget);
    budget = finish_some(h, budget);
    budget = look_at_orphans(h, budget);
    (void)rebalance_some(h, budget);
    h->changes_hands = false;
    h->steps++;
    if (is_changing_hands(h))
        wsg_hub_again(h);
}

void wsg_hub_drop_handler(struct wsg_hub *h, struct wsg_handler *handler, enum wsg_going how, const char *why)
{
    if (!handler->is_dead) {
        wsg_handlers_remember(&h->handlers, handler, /*lives=*/true);
        handler->is_told = true;
    }
    wsg_hub_remove_handler(h, handler, how, why);
}

static void log_going(struct wsg_hub *h, const struct wsg_handler *handler, enum wsg_going how, const char *why)
{
    uint64_t now_ms = wsg_loop_now_ms(h->loop);
    if (how == WSG_GOES_LOST)
        WSB_LOG_FEW(&h->lines.went, WSB_LOG_LIMIT_LINES, now_ms, WSB_LOG_BUS, WSB_LOG_WARN, "handler lost",
                    WSB_KU("handler", handler->id), WSB_KS("name", handler->name), WSB_KI("pid", handler->pid),
                    WSB_KS("why", why), WSB_KU("connections", handler->lane.count),
                    WSB_KU("unacknowledged", handler->unacked));
    else
        WSB_LOG_FEW(&h->lines.went, WSB_LOG_LIMIT_LINES, now_ms, WSB_LOG_BUS, WSB_LOG_INFO, "handler gone",
                    WSB_KU("handler", handler->id), WSB_KS("name", handler->name), WSB_KI("pid", handler->pid),
                    WSB_KS("why", why), WSB_KU("connections", handler->lane.count),
                    WSB_KU("unacknowledged", handler->unacked));
}

void wsg_hub_remove_handler(struct wsg_hub *h, struct wsg_handler *handler, enum wsg_going how, const char *why)
{
    log_going(h, handler, how, why);
    h->stats.handlers_gone += how == WSG_GOES_LOST;
    wsg_hub_send_batch(h, handler); /* to one that lives it is on its way; to one that is dead it is counted as lost */
    if (handler->is_dead)
        DL_DELETE2(h->dead, handler, prev_dead, next_dead);
    handler->is_dead = true; /* nobody picks it any more */
    handler->why = why;
    wsg_hub_count_out(h, handler);
    h->presence_count -= handler->presence;
    if (handler->known)
        *handler->known = NULL;
    handler->known = NULL;
    struct wsb_server *server = wsg_hub_server_for(h, handler);
    if (server->ops->unwatch)
        server->ops->unwatch(server, wsb_span(handler->peer, handler->peer_len));
    wsg_handlers_retire(&h->handlers, handler);
    wsg_hub_change_hands(h);
}

/* Its link has ended without BYE: the process has, as a rule, and otherwise nobody knows. */
static const char *why_lost(const struct wsg_handler *to)
{
    return to->is_hung_up ? "it ended, or hung up, without a goodbye" : "unreachable";
}

/* Its link may live: something could not be sent to it for want of memory, or it takes nothing. If it hears this, it says HELLO at
 * once; if not, its own clock tells it. */
static void tell_to_come_again(struct wsg_hub *h, struct wsb_span peer)
{
    const struct wsb_envelope e = {.header = {.type = WSB_ERROR, .code = WSB_ERROR_NOT_REGISTERED},
                                   .payload = wsb_span_str("you were given up: say HELLO again")};
    wsg_hub_send_peer(h, peer, &e);
}

static void remove_dead(struct wsg_hub *h, struct wsg_handler *to)
{
    uint8_t peer[sizeof to->peer];
    size_t len = to->is_hung_up ? 0 : to->peer_len;
    memcpy(peer, to->peer, len);
    if (to->pid)
        wsg_handlers_remember(&h->handlers, to, /*lives=*/false); /* perhaps only its link broke */
    wsg_hub_remove_handler(h, to, WSG_GOES_LOST, why_lost(to));
    if (len)
        tell_to_come_again(h, wsb_span(peer, len));
}

void wsg_hub_remove_dead(struct wsg_hub *h)
{
    while (h->dead) /* moving connections may find another one dead */
        remove_dead(h, h->dead);
}

/* ------------------------------------------------------------------------------ sweep */

static uint32_t ack_timeout_of(const struct wsg_hub *h, const struct wsg_handler *to)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < to->route_count; i++) {
        uint32_t ms = h->routes->routes[to->routes[i]].policy.ack_timeout_ms;
        least = ms < least ? ms : least;
    }
    return least;
}

/* It has work and tells nothing of it. */
static bool is_hanging(const struct wsg_hub *h, const struct wsg_handler *to, uint64_t now_ms)
{
    uint64_t since_ms =
        to->progress_ms > h->behind_ms ? to->progress_ms : h->behind_ms; /* what it said may lie unread */
    return to->acks && to->unacked && now_ms - since_ms > ack_timeout_of(h, to);
}

/* The kernel is asked about it, which takes a while. */
static bool is_stalled(struct wsg_hub *h, const struct wsg_handler *to, uint64_t now_ms)
{
    struct wsb_server *server = wsg_hub_server_for(h, to);
    if (h->behind_ms && now_ms - h->behind_ms < PATIENCE_MS) /* they could not be heard: their silence is our doing */
        return false;
    return server->ops->is_stalled && server->ops->is_stalled(server, wsb_span(to->peer, to->peer_len), now_ms);
}

/* The first behind this one: their numbers grow. */
static struct wsg_handler *handler_behind(const struct wsg_hub *h, uint32_t id)
{
    struct wsg_handler *to = h->handlers.by_id;
    while (to && to->id <= id)
        to = to->by_id.next;
    return to;
}

void wsg_hub_judge_on(struct wsg_hub *h)
{
    uint64_t now_ms = wsg_loop_now_ms(h->loop);
    struct wsg_handler *to = h->is_judging ? handler_behind(h, h->judged) : NULL, *next;
    for (int left = LIVES_AT_ONCE; to && left; left--, to = next) {
        h->judged = to->id;
        next = to->by_id.next;
        if (is_stalled(h, to, now_ms))
            wsg_hub_drop_handler(h, to, WSG_GOES_LOST, "stopped, or out of reach");
        else if (is_hanging(h, to, now_ms))
            wsg_hub_drop_handler(h, to, WSG_GOES_LOST, "acknowledges nothing");
        else
            continue;
        next = handler_behind(h, h->judged); /* others may have gone with it */
    }
    h->is_judging = to != NULL;
    if (to)
        wsg_hub_again(h);
}

/* Who is stopped or hangs loses its connections, and is told so for when it wakes. Once a second each; so many in one go. */
void wsg_hub_check_life(struct wsg_hub *h)
{
    wsg_hub_end_alone(h, wsg_loop_now_ms(h->loop));
    if (!h->is_judging)
        h->judged = 0;
    h->is_judging = true;
    wsg_hub_judge_on(h);
}

static bool end_barriers(struct wsg_hub *h)
{
    bool any = false;
    for (struct wsg_handler *from = h->handlers.by_id; from; from = from->by_id.next) {
        const struct wsg_pin *first = from->acks ? NULL : from->lane.moving;
        any = any || first;
        h->has_passed = h->has_passed || (first && is_late(h, first));
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
    wsg_hub_flush(h);
    if (any || h->pins.orphans.count)
        sweep_soon(h);
}
