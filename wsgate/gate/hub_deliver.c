/*
 * Each event to its owner. An event is sent at once, or waits behind those of its connection that wait, or is dropped where
 * the route says so. What its owner acknowledges is kept until then. Whoever waits is on the waiting list of its lane, and
 * is looked at again when there is credit, when the link has room, or when a route has come under its limit.
 */
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "base/scratch.h"
#include "gate/hub_parts.h"

enum {
    ROOM_CHECK_MS = 5,
    BATCH_IDS = 256,
    OPENING_MAX = 32,      /* clients that a handler is told of and has not done with, where it acknowledges */
    IDLE_VISITS = 64,      /* of those that wait, without anything to do: the others are looked at soon */
    VISITS_AT_ONCE = 1024, /* of those that wait for one handler, which has room for more */
    PAUSED_AT_ONCE = 2048
};

/* ---------------------------------------------------------------- keeping accounts */

void wsg_hub_charge(struct wsg_pin *p, const struct wsg_backlog_sum *added)
{
    p->route->retained.messages += added->messages;
    p->route->retained.bytes += added->bytes;
}

/* Well below the limit, so that a client is not stopped and let go for every message. */
static bool is_under_limit(const struct wsg_route *r)
{
    return r->retained.bytes <= r->policy.max_retained - r->policy.max_retained / 4;
}

static void discharge(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_backlog_sum *freed)
{
    struct wsg_route *r = p->route;
    bool was_under = is_under_limit(r);
    r->retained.messages -= freed->messages;
    r->retained.bytes -= freed->bytes;
    if (!was_under && is_under_limit(r))
        h->pump_all = true;
}

static void count_dropped(struct wsg_pin *p, enum wsg_in_drop reason, uint32_t messages)
{
    if (messages == 0)
        return;
    wsg_tally(&p->route->tally.in_dropped[reason], messages);
    p->dropped += messages;
}

static void count_delivered(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_backlog_sum *freed)
{
    discharge(h, p, freed);
    if (freed->messages == 0)
        return;
    wsg_tally(&p->route->tally.delivered, freed->messages);
    p->handler->delivered += freed->messages;
}

void wsg_hub_drop_backlog(struct wsg_hub *h, struct wsg_pin *p, enum wsg_in_drop reason)
{
    struct wsg_backlog_sum freed = {0};
    if (p->lane)
        p->lane->unsent_bytes -= p->backlog.unsent_bytes;
    wsg_backlog_clear(&p->backlog, &freed);
    freed.bytes += p->charged;
    p->charged = 0;
    discharge(h, p, &freed);
    count_dropped(p, reason, freed.messages);
}

void wsg_hub_end_pin(struct wsg_hub *h, struct wsg_pin *p, enum wsg_in_drop reason)
{
    wsg_hub_drop_backlog(h, p, reason);
    wsg_hub_leave_all(h, p);
    wsg_pin_end_move(p);
    if (p->handler && p->handler->drain)
        h->drain_pending = true;
    wsg_hub_note_leaving(h, p);
    wsg_pins_remove(&h->pins, p);
}

void wsg_hub_note_leaving(struct wsg_hub *h, const struct wsg_pin *p)
{
    if (!wsg_pin_is_opening(p) || p->handler->lane.unopened == 0)
        return;
    p->handler->is_pump_due = true;
    h->pump_due = true;
}

void wsg_hub_fail(struct wsg_hub *h, wsb_conn conn, uint16_t status, enum wsg_refusal reason, const char *why)
{
    struct wsg_command c = {.type = WSG_CMD_FAIL,
                            .code = (uint8_t)reason,
                            .by = WSG_BY_GATE,
                            .status = status,
                            .reason = wsb_span_str(why)};
    h->host.command(h->host.ctx, &c, &conn, 1);
}

void wsg_hub_give_up(struct wsg_hub *h, struct wsg_pin *p, uint16_t status, const char *why, enum wsg_in_drop reason)
{
    wsb_conn conn = p->conn;
    bool is_there = !p->is_closed;
    enum wsg_refusal refusal = wsg_hub_refusal(p);
    wsg_pin_end_move(p);
    if (p->is_request)
        wsg_tally(&p->route->tally.requests_failed[reason], 1);
    if (p->is_request || p->is_closed) {
        wsg_hub_end_pin(h, p, reason);
    } else {
        p->is_failed = true;
        wsg_pin_end_pending(p);
        wsg_pin_wait_no_more(p);
        wsg_hub_note_leaving(h, p);
        wsg_pin_assign(p, NULL, NULL);
        wsg_hub_drop_backlog(h, p, reason);
    }
    if (is_there)
        wsg_hub_fail(h, conn, status, refusal, why);
}

/* ------------------------------------------------------------------- back-pressure */

static void tell_sessions(struct wsg_hub *h, uint8_t type, const wsb_conn *ids, size_t count)
{
    struct wsg_command c = {.type = type, .by = WSG_BY_GATE};
    if (count)
        h->host.command(h->host.ctx, &c, ids, count);
}

static void pause_client(struct wsg_hub *h, struct wsg_pin *p)
{
    if (p->is_paused || p->is_closed)
        return;
    p->is_paused = true;
    wsg_pin_wait(p);
    tell_sessions(h, WSG_CMD_PAUSE, &p->conn, 1);
}

/*
 * At max_retained clients are not read any more. What they had sent is kept all the same, and so is, for a while, that a
 * client came and went; at twice as much nobody is let in (wsg_hub_place).
 */
void wsg_hub_pause_if_full(struct wsg_hub *h, struct wsg_pin *p)
{
    if (p->lane && wsg_hub_is_over_limit(p->route) && p->route->policy.when_full == WSG_FULL_PAUSE)
        pause_client(h, p);
}

static bool may_be_paused(const struct wsg_pin *p)
{
    return !p->is_paused && !p->is_closed && p->admission != WSG_PENDING;
}

/* Until there is room again, and it is of no use any more. */
static size_t pause_some(struct wsg_hub *h, struct wsg_lane *lane, size_t budget)
{
    WSB_SCRATCH wsb_conn ids[BATCH_IDS];
    size_t count = 0;
    struct wsg_pin *p;
    while (lane->all_paused && budget && (p = wsg_lane_step(lane, WSG_WALK_PAUSE)) != NULL) {
        budget--;
        if (!may_be_paused(p))
            continue;
        p->is_paused = true;
        wsg_pin_wait(p);
        ids[count++] = p->conn;
        if (count == BATCH_IDS) {
            tell_sessions(h, WSG_CMD_PAUSE, ids, count);
            count = 0;
        }
    }
    tell_sessions(h, WSG_CMD_PAUSE, ids, count);
    if (!lane->all_paused)
        lane->walks[WSG_WALK_PAUSE] = NULL;
    return budget;
}

void wsg_hub_pause_on(struct wsg_hub *h)
{
    size_t budget = h->is_pausing ? pause_some(h, &h->pins.orphans, PAUSED_AT_ONCE) : 0;
    for (struct wsg_handler *to = h->handlers.by_id; to && budget; to = to->by_id.next)
        budget = pause_some(h, &to->lane, budget);
    h->is_pausing = h->is_pausing && budget == 0;
    if (h->is_pausing)
        wsg_hub_again(h);
}

/* More than enough waits for one handler: whoever has not sent to it lately must not begin to. One that waits to be let in is
 * not read as it is, and could not be told: it is paused, like any other, when it has spoken. */
static void pause_all(struct wsg_hub *h, struct wsg_lane *lane)
{
    lane->all_paused = true;
    wsg_lane_walk(lane, WSG_WALK_PAUSE);
    h->is_pausing = true;
    wsg_hub_pause_on(h);
}

void wsg_hub_watch_room(struct wsg_hub *h)
{
    if (!h->room.heap_index)
        (void)!wsg_loop_arm(h->loop, &h->room, wsg_loop_now_ms(h->loop) + ROOM_CHECK_MS);
}

/* The link says how much is under way only when it is asked. */
static void note_link(struct wsg_hub *h, struct wsg_handler *to)
{
    if (to->paused || wsb_account_bytes(to->account) < WSG_HANDLER_HIGH)
        return;
    to->paused = true;
    WSB_LOG_FEW(&h->lines.slow, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_INFO,
                "handler is slow: its clients wait", WSB_KU("handler", to->id), WSB_KS("name", to->name));
    wsg_hub_watch_room(h);
}

static void note_full(struct wsg_hub *h, struct wsg_handler *to)
{
    bool is_full = !wsg_handler_has_room(to);
    uint64_t now_ms = wsg_loop_now_ms(h->loop);
    if (is_full && !to->full_since_ms) {
        to->full_since_ms = now_ms;
    } else if (!is_full && to->full_since_ms) {
        to->full_ms += now_ms - to->full_since_ms;
        to->full_since_ms = 0;
    }
}

/* Nothing of it waits any more: it may speak, unless the handler or the route has enough as it is. */
static void settle(struct wsg_hub *h, struct wsg_pin *p)
{
    if (p->backlog.unsent || p->is_moving || !p->handler || (!p->sent_seq && !p->is_request))
        return;
    if (p->is_paused) {
        if (!wsg_handler_has_room(p->handler) || !is_under_limit(p->route) || p->lane->all_paused)
            return;
        p->is_paused = false;
        if (!p->is_closed)
            tell_sessions(h, WSG_CMD_RESUME, &p->conn, 1);
    }
    wsg_pin_wait_no_more(p);
}

/* ----------------------------------------------------------------------- sending */

static bool is_message(uint8_t type)
{
    return type == WSB_DATA || type == WSB_REQUEST || type == WSB_BODY_EV;
}

/* A WebSocket's events until they are acknowledged; a request until its response begins, if it may be asked twice. The body
 * of a long one is not kept: it would be there until the response, and the response may wait for the rest of it. */
static bool is_kept(const struct wsg_pin *p, uint8_t type)
{
    if (p->is_request)
        return p->is_idempotent && !p->is_answered && type == WSB_REQUEST;
    return p->handler->acks;
}

static void note_sent(struct wsg_hub *h, struct wsg_pin *p, uint64_t seq)
{
    struct wsg_handler *to = p->handler;
    if (!to->acks) {
        p->sent_seq = p->acked_seq = seq;
        return;
    }
    if (to->unacked == 0)
        to->progress_ms = wsg_loop_now_ms(h->loop);
    to->unacked++;
    p->unacked++;
    p->sent_seq = seq;
}

static void note_message_sent(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    struct wsg_handler *to = p->handler;
    if (!is_message(e->header.type))
        return;
    wsg_handler_spend(to, e->payload.len);
    note_link(h, to);
    note_full(h, to);
    if (e->header.flags & WSB_FLAG_REDELIVERED) {
        wsg_tally(&p->route->tally.redelivered, 1);
        to->redelivered++;
    }
    if (e->header.type == WSB_DATA && !to->acks)
        wsg_hub_count_handed(to, p->route);
}

void wsg_hub_note_sent(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    note_sent(h, p, e->header.seq);
    note_message_sent(h, p, e);
}

/* Those who come are introduced as fast as the handler gets done with them: of one that leaves before, it never hears. */
static bool may_introduce(struct wsg_hub *h, const struct wsg_pin *p)
{
    const struct wsg_handler *to = p->handler;
    return !to->paused && to->opening < OPENING_MAX && wsg_hub_may_try(h, p, p->open_deliveries);
}

/* OPEN, before anything else. It needs no credit, but what a death brings to the next one at once may be more than its link
 * has room for: then it waits. */
static bool introduce(struct wsg_hub *h, struct wsg_pin *p)
{
    if (p->is_request || p->sent_seq)
        return true;
    if (p->admission == WSG_ADMITTING)
        return false;
    if (!may_introduce(h, p)) {
        wsg_pin_wait(p);
        return false;
    }
    struct wsb_envelope e = {
        .header = {.type = WSB_OPEN,
                   .flags = (uint8_t)((p->was_opened ? WSB_FLAG_REDELIVERED : 0) |
                                      (p->admission == WSG_PENDING ? WSB_FLAG_PENDING : 0)),
                   .conn = p->conn,
                   .seq = 1,
                   .time_ns = p->opened_ns},
        .meta = wsg_hub_open_meta(h, p),
    };
    if (!wsg_hub_send(h, p->handler, &e)) {
        wsg_hub_mark_dead(h, p->handler); /* whatever the reason: it must not miss one */
        return false;
    }
    p->lane->unopened--;
    note_sent(h, p, 1);
    p->handler->opening += wsg_pin_is_opening(p);
    wsg_hub_note_try(h, p, p->open_deliveries);
    note_link(h, p->handler);
    p->was_opened = true;
    if (p->admission == WSG_ADMITTED)
        wsg_pin_end_pending(p);
    return true;
}

/* Out of memory for what must not be lost: the client is told rather than left with a hole. */
static void give_up_nomem(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    count_dropped(p, WSG_IN_NO_MEMORY, e->header.type == WSB_DATA);
    wsg_hub_give_up(h, p, 503, "out of memory", WSG_IN_NO_MEMORY);
}

/* Put it behind those that wait. False: there is no memory, and it has been given up. */
static bool append(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    struct wsg_backlog_sum added = {0};
    if (wsg_backlog_add(&p->backlog, e, /*is_sent=*/false, &added) != WSB_OK) {
        give_up_nomem(h, p, e);
        return false;
    }
    p->lane->unsent_bytes += added.bytes;
    wsg_hub_charge(p, &added);
    wsg_pin_wait(p);
    return true;
}

/* Nothing waits in front of it. False: there was no memory for it, and the pin may be gone. */
static bool send_now(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    struct wsg_backlog_sum added = {0};
    bool keep = is_kept(p, e->header.type);
    if (keep && wsg_backlog_add(&p->backlog, e, /*is_sent=*/true, &added) != WSB_OK) {
        give_up_nomem(h, p, e);
        return false;
    }
    wsg_hub_charge(p, &added);
    if (wsg_hub_send(h, p->handler, e)) {
        note_sent(h, p, e->header.seq);
        note_message_sent(h, p, e);
        return true;
    }
    wsg_hub_mark_dead(h, p->handler); /* whatever the reason: there is a hole in what it was sent */
    if (!keep)
        return append(h, p, e);
    note_sent(h, p, e->header.seq); /* the next owner gets it as redelivered */
    return true;
}

struct wsg_kept *wsg_hub_take_spent(struct wsg_hub *h, struct wsg_pin *p, uint32_t limit)
{
    struct wsg_backlog_sum freed = {0};
    struct wsg_kept *k = wsg_backlog_take_spent(&p->backlog, limit, &freed);
    discharge(h, p, &freed);
    count_dropped(p, WSG_IN_UNDELIVERABLE, freed.messages);
    return k;
}

/* Its last event has been sent, and acknowledged where that is asked for: nothing more is to be done. */
bool wsg_hub_end_if_over(struct wsg_hub *h, struct wsg_pin *p)
{
    if (!p->is_closed || p->backlog.first)
        return false;
    wsg_hub_end_pin(h, p, WSG_IN_LOST);
    return true;
}

/* Send the first event that waits. False when it has to wait on, or nothing does. */
static bool send_waiting(struct wsg_hub *h, struct wsg_pin *p)
{
    struct wsg_handler *to = p->handler;
    struct wsg_kept *k = p->backlog.unsent;
    if (!k || !to || to->is_dead || p->is_moving)
        return false;
    if (!introduce(h, p) || (is_message(k->type) && !wsg_handler_has_credit(to)) ||
        !wsg_hub_may_try(h, p, k->deliveries) || !wsg_kept_settle(k))
        return false;
    struct wsb_envelope e = wsg_kept_envelope(k);
    struct wsg_backlog_sum freed = {0};
    bool keep = is_kept(p, k->type);
    e.header.conn = p->conn;
    if (k->deliveries)
        wsg_hub_say_deliveries(h, &e, k->deliveries + 1U);
    if (!wsg_hub_send(h, to, &e))
        return false;
    wsg_hub_note_try(h, p, k->deliveries);
    note_sent(h, p, k->seq);
    note_message_sent(h, p, &e);
    p->lane->unsent_bytes -= wsg_kept_bytes(k);
    wsg_backlog_sent(&p->backlog, keep, &freed);
    discharge(h, p, &freed);
    return true;
}

/* One message, and the events behind it that need no credit. False: nothing could be sent. *ret_over: the pin is gone. */
static bool send_some(struct wsg_hub *h, struct wsg_pin *p, bool *ret_over)
{
    bool any = false;
    *ret_over = false;
    if (p->handler && !p->handler->is_dead && !p->is_request && !p->sent_seq)
        any = introduce(h, p);
    while (send_waiting(h, p)) {
        any = true;
        if (p->backlog.unsent && is_message(p->backlog.unsent->type))
            break;
    }
    if (any)
        *ret_over = wsg_hub_end_if_over(h, p);
    return any;
}

void wsg_hub_go_on(struct wsg_hub *h, struct wsg_pin *p)
{
    bool over = false;
    if (!p->handler || p->handler->is_dead || !introduce(h, p))
        return;
    while (!over && send_some(h, p, &over))
        ;
    if (!over)
        settle(h, p);
}

/* Without credit there may still be some to be told of. */
static bool can_introduce(const struct wsg_handler *to)
{
    return !to->paused && to->alone == WSG_ALONE_NO && to->lane.unopened && to->opening < OPENING_MAX;
}

void wsg_hub_pump(struct wsg_hub *h, struct wsg_handler *to)
{
    struct wsg_lane *lane = &to->lane;
    uint32_t idle = 0;
    uint32_t visits = 0;
    note_full(h, to);
    to->is_pump_due = false;
    while (lane->waiting && idle < lane->waiting_count && !to->is_dead &&
           (wsg_handler_has_room(to) || can_introduce(to))) {
        if (visits == VISITS_AT_ONCE || h->visits_left == 0) {
            to->is_pump_due = true;
            wsg_hub_again(h);
            break;
        }
        if (idle >= IDLE_VISITS) {
            to->is_pump_due = true;
            wsg_hub_watch_room(h);
            break;
        }
        visits++;
        h->visits_left--;
        struct wsg_pin *p = lane->waiting; /* each in its turn */
        bool over;
        wsg_pin_wait_no_more(p);
        wsg_pin_wait(p);
        if (lane->all_paused && lane->unsent_bytes < WSG_UNSENT_LOW)
            lane->all_paused = false;
        idle = send_some(h, p, &over) ? 0 : idle + 1;
        if (!over) {
            settle(h, p);
            idle = p->is_waiting ? idle : 0;
        }
    }
    h->extra_work += visits / 8;
}

void wsg_hub_on_room_timer(struct wsg_timer *t)
{
    struct wsg_hub *h = CONTAINER(t, struct wsg_hub, room);
    bool any = false;
    for (struct wsg_handler *to = h->handlers.by_id; to; to = to->by_id.next) {
        if (!to->paused && !to->is_pump_due)
            continue;
        if (to->paused && wsb_account_bytes(to->account) > WSG_HANDLER_LOW) {
            any = true;
            continue;
        }
        to->paused = false;
        wsg_hub_pump(h, to);
        any = any || to->paused || to->is_pump_due;
    }
    wsg_hub_flush(h);
    if (any)
        wsg_hub_watch_room(h);
}

/* ------------------------------------------------------------------ when it is full */

static void drop_oldest(struct wsg_hub *h, struct wsg_pin *p)
{
    struct wsg_backlog_sum freed = {0};
    size_t before = p->backlog.unsent_bytes;
    if (!wsg_backlog_drop_oldest(&p->backlog, &freed))
        return;
    p->lane->unsent_bytes -= before - p->backlog.unsent_bytes;
    discharge(h, p, &freed);
    count_dropped(p, WSG_IN_FULL_OLD, freed.messages);
}

static void hold_or_pause(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    if (!append(h, p, e))
        return;
    pause_client(h, p);
    if (p->lane->unsent_bytes > WSG_UNSENT_HIGH && !p->lane->all_paused)
        pause_all(h, p->lane);
    bool over;
    if (p->handler &&
        wsg_handler_has_room(p->handler)) /* only the route's limit stood in its way, which it is within now */
        (void)send_some(h, p, &over);
}

static void hold_or_drop_old(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    bool over = wsg_hub_is_over_limit(p->route);
    if (!append(h, p, e))
        return;
    if (over)
        drop_oldest(h, p);
    while (p->backlog.unsent_bytes > p->route->policy.max_backlog && p->backlog.unsent)
        drop_oldest(h, p);
}

/* A message that cannot be sent now. */
static void hold(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    const struct wsg_route_policy *policy = &p->route->policy;
    bool too_much = wsg_hub_is_over_limit(p->route) || p->backlog.unsent_bytes + e->payload.len > policy->max_backlog;
    bool must_wait = !p->handler || p->is_moving || p->handler->is_dead || p->is_request;
    switch (must_wait ? WSG_FULL_PAUSE : policy->when_full) {
    case WSG_FULL_PAUSE:
        hold_or_pause(h, p, e);
        break;
    case WSG_FULL_DROP_NEW:
        if (too_much)
            count_dropped(p, WSG_IN_FULL_NEW, 1);
        else
            (void)append(h, p, e);
        break;
    case WSG_FULL_DROP_OLD:
        hold_or_drop_old(h, p, e);
        break;
    case WSG_FULL_CLOSE:
        if (!too_much) {
            (void)append(h, p, e);
            break;
        }
        count_dropped(p, WSG_IN_FULL_CLOSE, 1);
        p->is_failed = true;
        wsg_hub_fail(h, p->conn, 503, wsg_hub_refusal(p), "the handler is full");
        break;
    }
}

/* ------------------------------------------------------------------------- events */

/* The request is over: what of it was not sent is not sent any more. */
static void abort_request(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    if (p->handler && p->sent_seq)
        (void)wsg_hub_send(h, p->handler, e);
    wsg_hub_end_pin(h, p, WSG_IN_LOST);
}

/* The client is gone; its place is another's from now on, and what its owner has not acknowledged stays. */
static void close_pin(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    wsg_hub_leave_all(h, p);
    if (!p->sent_seq && !p->was_opened && !p->backlog.first) { /* no handler has heard of it, or has to */
        wsg_hub_end_pin(h, p, WSG_IN_LOST);
        return;
    }
    if (!p->lane || wsg_pins_bury(&h->pins, p) != WSB_OK) {
        if (p->handler)
            (void)wsg_hub_send(h, p->handler, e);
        wsg_hub_end_pin(h, p, WSG_IN_LOST);
        return;
    }
    p->is_paused = false;
    p->charged = (uint32_t)sizeof *p + p->meta_len; /* many may come and go while their handler is behind */
    p->route->retained.bytes += p->charged;
    bool can_send = p->handler && !p->handler->is_dead && !p->is_moving && !p->backlog.unsent && p->sent_seq;
    if (!can_send) {
        if (append(h, p, e) && p->handler && !p->is_moving)
            wsg_hub_go_on(h, p);
        return;
    }
    if (send_now(h, p, e))
        (void)wsg_hub_end_if_over(h, p);
}

bool wsg_hub_may_send(const struct wsg_pin *p)
{
    const struct wsg_handler *to = p->handler;
    bool is_free = to && !to->is_dead && !p->is_moving && !p->backlog.unsent && (p->sent_seq || p->is_request);
    return is_free && wsg_handler_has_room(to) && !wsg_hub_is_over_limit(p->route);
}

static void deliver_message(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    if (p->is_failed) { /* it was read before the session knew */
        count_dropped(p, p->lane ? WSG_IN_FULL_CLOSE : WSG_IN_NO_HANDLER, e->header.type == WSB_DATA);
        return;
    }
    if (wsg_hub_may_send(p))
        (void)send_now(h, p, e);
    else
        hold(h, p, e);
}

void wsg_hub_deliver(struct wsg_hub *h, struct wsg_pin *p, struct wsb_envelope *e)
{
    if (p->admission == WSG_ADMITTING && e->header.type == WSB_CLOSED_EV) {
        wsg_hub_end_pin(h, p, WSG_IN_LOST); /* it never got its 101, and nobody has heard of it */
        return;
    }
    e->header.seq = ++p->seq;
    wsg_hub_publish_copy(h, p, e);
    if (p->route->policy.publish && e->header.type == WSB_DATA)
        wsg_tally(&p->route->tally.delivered, 1);
    if (e->header.type == WSB_CLOSED_EV)
        close_pin(h, p, e);
    else if (e->header.type == WSB_ABORTED)
        abort_request(h, p, e);
    else if (!p->route->policy.publish)
        deliver_message(h, p, e);
}

/* ----------------------------------------------------------------- acknowledgement */

void wsg_hub_acked(struct wsg_hub *h, struct wsg_handler *from, wsb_conn conn, uint64_t seq)
{
    struct wsg_backlog_sum freed = {0};
    struct wsg_pin *p = wsg_pins_find(&h->pins, conn);
    if (p && p->was_asked && seq == 1 && p->handler != from && wsg_pin_was_of(p, from))
        return; /* a gatekeeper has done with OPEN: it said so by ACCEPT */
    if (!p || p->handler != from || !from->acks) {
        from->stale++;
        h->stats.stale++;
        return;
    }
    if (seq > p->sent_seq)
        seq = p->sent_seq; /* of an ownership before this one, or made up: what was not sent is not done */
    if (seq <= p->acked_seq)
        return;
    from->progress_ms = wsg_loop_now_ms(h->loop);
    bool was_crowded = from->opening >= OPENING_MAX;
    from->opening -= wsg_pin_is_opening(p);
    p->acked_seq = seq;
    if (!p->is_request) {
        wsg_backlog_acked(&p->backlog, seq, &freed);
        count_delivered(h, p, &freed);
    }
    uint32_t left = p->is_request ? p->unacked - 1 : p->backlog.sent_count;
    left = seq == p->sent_seq ? 0 : left;
    from->unacked -= p->unacked - left;
    p->unacked = left;
    bool p_is_there = !wsg_hub_end_if_over(h, p);
    if (p_is_there && p->is_moving && p->acked_seq == p->sent_seq) {
        wsg_hub_finish_move(h, p);
        p = wsg_pins_find(&h->pins, conn); /* the next owner may have ended it */
        p_is_there = p != NULL;
    }
    if (p_is_there && p->is_quiet)
        wsg_hub_end_quiet(h, p);
    if (was_crowded && from->opening < OPENING_MAX)
        wsg_hub_pump(h, from);
    wsg_hub_alone_on(h, from);
}

void wsg_hub_answered(struct wsg_hub *h, struct wsg_pin *p)
{
    struct wsg_backlog_sum freed = {0};
    p->is_answered = true;
    wsg_backlog_acked(&p->backlog, UINT64_MAX, &freed);
    discharge(h, p, &freed);
}
