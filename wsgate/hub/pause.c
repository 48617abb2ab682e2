#include "hub/pause.h"

#include "base/log.h"
#include "base/scratch.h"
#include "hub/accounts.h"
#include "hub/round.h"

enum { ROOM_CHECK_MS = 5, BATCH_IDS = 256, PAUSED_AT_ONCE = 2048 };

static void tell_sessions(struct wsg_hub *h, uint8_t type, const wsb_conn *ids, size_t count)
{
    struct wsg_command c = {.type = type, .by = WSG_BY_GATE};
    if (count)
        h->host.command(h->host.ctx, &c, ids, count);
}

void wsg_hub_pause_client(struct wsg_hub *h, struct wsg_pin *p)
{
    if (p->is_paused || wsg_pin_is_closed(p))
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
        wsg_hub_pause_client(h, p);
}

static bool may_be_paused(const struct wsg_pin *p)
{
    return !p->is_paused && !wsg_pin_is_closed(p) && !wsg_pin_is_unaccepted(p);
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
void wsg_hub_pause_all(struct wsg_hub *h, struct wsg_lane *lane)
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
void wsg_hub_note_link(struct wsg_hub *h, struct wsg_handler *to)
{
    if (to->paused || wsb_account_bytes(to->account) < WSG_HANDLER_HIGH)
        return;
    to->paused = true;
    WSB_LOG_FEW(&h->lines.slow, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_INFO,
                "handler is slow: its clients wait", WSB_KU("handler", to->id), WSB_KS("name", to->name));
    wsg_hub_watch_room(h);
}

void wsg_hub_note_full(struct wsg_hub *h, struct wsg_handler *to)
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
void wsg_hub_settle(struct wsg_hub *h, struct wsg_pin *p)
{
    if (p->backlog.unsent || p->is_moving || !p->handler || (!p->sent_seq && !p->is_request))
        return;
    if (p->is_paused) {
        if (!wsg_handler_has_room(p->handler) || !wsg_hub_is_under_limit(p->route) || p->lane->all_paused)
            return;
        p->is_paused = false;
        if (!wsg_pin_is_closed(p))
            tell_sessions(h, WSG_CMD_RESUME, &p->conn, 1);
    }
    wsg_pin_wait_no_more(p);
}
