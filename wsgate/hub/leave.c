#include "hub/leave.h"

#include "hub/accounts.h"
#include "hub/deliver.h"
#include "hub/link.h"
#include "hub/place.h"
#include "hub/undeliverable.h"

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
    struct wsg_handler *to = wsg_hub_pick(h, p, from);
    if (to) {
        wsg_pin_assign(p, to, NULL);
        h->stats.moved++;
        wsg_hub_go_on(h, p);
    } else if (wsg_hub_patience_ms(p) && p->state != WSG_PIN_FAILED) {
        wsg_hub_orphan(h, p);
    } else {
        wsg_hub_give_up(h, p, 503, "the handler went away", WSG_IN_NO_HANDLER);
    }
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

size_t wsg_hub_rehome_some(struct wsg_hub *h, size_t budget)
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
