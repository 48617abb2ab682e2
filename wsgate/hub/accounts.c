#include "hub/accounts.h"

#include "hub/groups.h"
#include "hub/round.h"

void wsg_hub_charge(struct wsg_pin *p, const struct wsg_backlog_sum *added)
{
    p->route->retained.messages += added->messages;
    p->route->retained.bytes += added->bytes;
}

void wsg_hub_discharge(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_backlog_sum *freed)
{
    struct wsg_route *r = p->route;
    bool was_under = wsg_hub_is_under_limit(r);
    r->retained.messages -= freed->messages;
    r->retained.bytes -= freed->bytes;
    if (!was_under && wsg_hub_is_under_limit(r))
        h->pump_all = true;
}

void wsg_hub_count_dropped(struct wsg_pin *p, enum wsg_in_drop reason, uint32_t messages)
{
    if (messages == 0)
        return;
    wsg_tally(&p->route->tally.in_dropped[reason], messages);
    p->dropped += messages;
}

/* ------------------------------------------------ the end of a connection */

void wsg_hub_drop_backlog(struct wsg_hub *h, struct wsg_pin *p, enum wsg_in_drop reason)
{
    struct wsg_backlog_sum freed = {0};
    if (p->lane)
        p->lane->unsent_bytes -= p->backlog.unsent_bytes;
    wsg_backlog_clear(&p->backlog, &freed);
    freed.bytes += p->charged;
    p->charged = 0;
    wsg_hub_discharge(h, p, &freed);
    wsg_hub_count_dropped(p, reason, freed.messages);
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
    wsg_hub_pump_soon(h, p->handler);
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
    bool is_there = !wsg_pin_is_closed(p);
    enum wsg_refusal refusal = wsg_pin_refusal(p);
    wsg_pin_end_move(p);
    if (p->is_request)
        wsg_tally(&p->route->tally.requests_failed[reason], 1);
    if (p->is_request || wsg_pin_is_closed(p)) {
        wsg_hub_end_pin(h, p, reason);
    } else {
        wsg_pin_become(p, WSG_PIN_FAILED);
        wsg_pin_end_pending(p);
        wsg_pin_wait_no_more(p);
        wsg_hub_note_leaving(h, p);
        wsg_pin_assign(p, NULL, NULL);
        wsg_hub_drop_backlog(h, p, reason);
    }
    if (is_there)
        wsg_hub_fail(h, conn, status, refusal, why);
}

struct wsg_kept *wsg_hub_take_spent(struct wsg_hub *h, struct wsg_pin *p, uint32_t limit)
{
    struct wsg_backlog_sum freed = {0};
    struct wsg_kept *k = wsg_backlog_take_spent(&p->backlog, limit, &freed);
    wsg_hub_discharge(h, p, &freed);
    wsg_hub_count_dropped(p, WSG_IN_UNDELIVERABLE, freed.messages);
    return k;
}

/* Its last event has been sent, and acknowledged where that is asked for: nothing more is to be done. */
bool wsg_hub_end_if_over(struct wsg_hub *h, struct wsg_pin *p)
{
    if (!wsg_pin_is_closed(p) || p->backlog.first)
        return false;
    wsg_hub_end_pin(h, p, WSG_IN_LOST);
    return true;
}
