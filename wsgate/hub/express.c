/*
 * A client's message straight into its handler's memory: it is unmasked to where the handler reads it, and what is kept of
 * it until it is acknowledged is that place, for as long as the ring does not need it. Only where nothing stands in its
 * way, and nobody else wants to see it; whatever is not so simple goes through the outbox.
 */
#include "hub/hub.h"

#include "hub/accounts.h"
#include "hub/deliver.h"

bool wsg_hub_express(struct wsg_hub *h, const struct wsb_header *header, uint8_t **ret_payload)
{
    struct wsg_pin *p = wsg_pins_find(&h->pins, header->conn);
    if (!p || !p->handler || !p->handler->direct || p->is_request || !wsg_pin_is_alive(p) || p->route->policy.tap ||
        !wsg_hub_may_send(p))
        return false;
    struct wsg_handler *to = p->handler;
    h->express_header = *header;
    h->express_header.seq = p->seq + 1;
    h->express_kept = NULL;
    if (!h->shm->ops->reserve(to->direct, &h->express_header, wsb_span(NULL, 0), ret_payload))
        return false;
    if (to->acks) {
        h->express_kept = wsg_kept_new(&h->kept, &h->express_header);
        if (!h->express_kept)
            return false; /* what was reserved is reserved again by whoever comes next */
        h->express_kept->bytes = *ret_payload;
    }
    h->express = p;
    return true;
}

void wsg_hub_express_end(struct wsg_hub *h, bool keep)
{
    struct wsg_pin *p = h->express;
    struct wsg_kept *k = h->express_kept;
    struct wsg_backlog_sum added = {0};
    h->express = NULL;
    h->express_kept = NULL;
    if (!keep) {
        if (k)
            wsg_kept_free(k);
        return;
    }
    struct wsg_handler *to = p->handler;
    p->seq++;
    h->shm->ops->commit(to->direct, k ? &k->loan : NULL);
    if (k) {
        wsg_backlog_keep(&p->backlog, k, k->bytes, &added);
        wsg_hub_charge(p, &added);
    }
    to->events++;
    to->event_bytes += h->express_header.payload_len;
    h->stats.events++;
    const struct wsb_envelope e = {.header = h->express_header,
                                   .payload = wsb_span(NULL, h->express_header.payload_len)};
    wsg_hub_note_sent(h, p, &e);
}
