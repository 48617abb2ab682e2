#include "hub/deliver.h"

#include <stdlib.h>

#include "hub/accounts.h"
#include "hub/alone.h"
#include "hub/groups.h"
#include "hub/hearing.h"
#include "hub/link.h"
#include "hub/meta.h"
#include "hub/pause.h"
#include "hub/publish.h"
#include "hub/round.h"

enum {
    IDLE_VISITS = 64,     /* of those that wait, without anything to do: the others are looked at soon */
    VISITS_AT_ONCE = 1024 /* of those that wait for one handler, which has room for more */
};

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
        wsg_hub_note_progress(h, to);
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
    wsg_hub_note_link(h, to);
    wsg_hub_note_full(h, to);
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
    return !to->paused && to->opening < WSG_HUB_OPENING_MAX && wsg_hub_may_try(h, p, p->open_deliveries);
}

/* OPEN, before anything else. It needs no credit, but what a death brings to the next one at once may be more than its link
 * has room for: then it waits. */
static bool introduce(struct wsg_hub *h, struct wsg_pin *p)
{
    if (p->is_request || p->sent_seq)
        return true;
    if (p->state == WSG_PIN_ADMITTING)
        return false;
    if (!may_introduce(h, p)) {
        wsg_pin_wait(p);
        return false;
    }
    struct wsb_envelope e = {
        .header = {.type = WSB_OPEN,
                   .flags = (uint8_t)((p->was_opened ? WSB_FLAG_REDELIVERED : 0) |
                                      (wsg_pin_is_unaccepted(p) ? WSB_FLAG_PENDING : 0)),
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
    wsg_hub_note_link(h, p->handler);
    p->was_opened = true;
    if (!wsg_pin_is_unaccepted(p))
        wsg_pin_end_pending(p);
    return true;
}

/* Out of memory for what must not be lost: the client is told rather than left with a hole. */
static void give_up_nomem(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    wsg_hub_count_dropped(p, WSG_IN_NO_MEMORY, e->header.type == WSB_DATA);
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
    wsg_hub_discharge(h, p, &freed);
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
        wsg_hub_settle(h, p);
}

/* Without credit there may still be some to be told of. */
static bool can_introduce(const struct wsg_handler *to)
{
    return !to->paused && to->alone == WSG_ALONE_NO && to->lane.unopened && to->opening < WSG_HUB_OPENING_MAX;
}

bool wsg_hub_pump(struct wsg_hub *h, struct wsg_handler *to)
{
    struct wsg_lane *lane = &to->lane;
    uint32_t idle = 0;
    uint32_t visits = 0;
    bool had_its_turn = true;
    wsg_hub_note_full(h, to);
    to->is_pump_due = false;
    while (lane->waiting && idle < lane->waiting_count && !to->is_dead &&
           (wsg_handler_has_room(to) || can_introduce(to))) {
        if (visits == VISITS_AT_ONCE || h->visits_left == 0) {
            had_its_turn = visits == VISITS_AT_ONCE;
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
            wsg_hub_settle(h, p);
            idle = p->is_waiting ? idle : 0;
        }
    }
    h->extra_work += visits / 8;
    return had_its_turn;
}

/* -------------------------------------------------------- when it is full */

static void drop_oldest(struct wsg_hub *h, struct wsg_pin *p)
{
    struct wsg_backlog_sum freed = {0};
    size_t before = p->backlog.unsent_bytes;
    if (!wsg_backlog_drop_oldest(&p->backlog, &freed))
        return;
    p->lane->unsent_bytes -= before - p->backlog.unsent_bytes;
    wsg_hub_discharge(h, p, &freed);
    wsg_hub_count_dropped(p, WSG_IN_FULL_OLD, freed.messages);
}

static void hold_or_pause(struct wsg_hub *h, struct wsg_pin *p, const struct wsb_envelope *e)
{
    if (!append(h, p, e))
        return;
    wsg_hub_pause_client(h, p);
    if (p->lane->unsent_bytes > WSG_UNSENT_HIGH && !p->lane->all_paused)
        wsg_hub_pause_all(h, p->lane);
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
            wsg_hub_count_dropped(p, WSG_IN_FULL_NEW, 1);
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
        wsg_hub_count_dropped(p, WSG_IN_FULL_CLOSE, 1);
        wsg_pin_become(p, WSG_PIN_FAILED);
        wsg_hub_fail(h, p->conn, 503, wsg_pin_refusal(p), "the handler is full");
        break;
    }
}

/* ----------------------------------------------------------------- events */

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
    if (p->state == WSG_PIN_FAILED) { /* it was read before the session knew */
        wsg_hub_count_dropped(p, p->lane ? WSG_IN_FULL_CLOSE : WSG_IN_NO_HANDLER, e->header.type == WSB_DATA);
        return;
    }
    if (wsg_hub_may_send(p))
        (void)send_now(h, p, e);
    else
        hold(h, p, e);
}

void wsg_hub_deliver(struct wsg_hub *h, struct wsg_pin *p, struct wsb_envelope *e)
{
    if (p->state == WSG_PIN_ADMITTING && e->header.type == WSB_CLOSED_EV) {
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
