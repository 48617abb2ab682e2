#include "hub/ack.h"

#include "hub/accounts.h"
#include "hub/deliver.h"
#include "hub/drain.h"
#include "hub/hearing.h"
#include "hub/move.h"
#include "hub/round.h"
#include "hub/undeliverable.h"

static void count_delivered(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_backlog_sum *freed)
{
    wsg_hub_discharge(h, p, freed);
    if (freed->messages == 0)
        return;
    wsg_tally(&p->route->tally.delivered, freed->messages);
    p->handler->delivered += freed->messages;
}

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
    wsg_hub_note_progress(h, from);
    bool was_crowded = from->opening >= WSG_HUB_OPENING_MAX;
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
    if (was_crowded && from->opening < WSG_HUB_OPENING_MAX)
        wsg_hub_pump_soon(h, from);
    wsg_hub_alone_on(h, from);
}

void wsg_hub_answered(struct wsg_hub *h, struct wsg_pin *p)
{
    struct wsg_backlog_sum freed = {0};
    p->is_answered = true;
    wsg_backlog_acked(&p->backlog, UINT64_MAX, &freed);
    wsg_hub_discharge(h, p, &freed);
}
