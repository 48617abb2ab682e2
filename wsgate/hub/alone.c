#include "hub/alone.h"

#include <stdio.h>

static bool is_last_try(const struct wsg_pin *p, uint32_t deliveries)
{
    uint32_t limit = p->route->policy.max_deliveries;
    return deliveries > 0 && limit > 1 && deliveries + 1 >= limit && p->handler->acks && !p->handler->acks_late;
}

bool wsg_hub_may_try(struct wsg_hub *h, const struct wsg_pin *p, uint32_t deliveries)
{
    struct wsg_handler *to = p->handler;
    if (!is_last_try(p, deliveries))
        return to->alone == WSG_ALONE_NO;
    if (to->alone == WSG_ALONE_SENT)
        return false;
    if (to->unacked == 0)
        return true;
    if (to->alone == WSG_ALONE_NO) {
        to->alone = WSG_ALONE_WANTED;
        to->alone_conn = p->conn;
        to->alone_since_ms = wsg_loop_now_ms(h->loop);
    }
    return false;
}

void wsg_hub_note_try(struct wsg_hub *h, const struct wsg_pin *p, uint32_t deliveries)
{
    struct wsg_handler *to = p->handler;
    if (!is_last_try(p, deliveries))
        return;
    to->alone = WSG_ALONE_SENT;
    to->alone_conn = p->conn;
    to->alone_since_ms = wsg_loop_now_ms(h->loop);
}

/* How often it has been delivered, this time included, in front of whatever its metadata says. */
void wsg_hub_say_deliveries(struct wsg_hub *h, struct wsb_envelope *e, uint32_t deliveries)
{
    char text[40];
    bool has_more = e->meta.len > 2;
    int n = snprintf(text, sizeof text, "{\"deliveries\":%u%c", (unsigned)deliveries, has_more ? ',' : '}');
    wsb_buf_clear(&h->text);
    if (wsb_buf_append(&h->text, text, (size_t)n) != WSB_OK ||
        (has_more && wsb_buf_append(&h->text, e->meta.ptr + 1, e->meta.len - 1) != WSB_OK))
        return; /* without memory it is not said */
    e->meta = wsb_buf_span(&h->text);
}
