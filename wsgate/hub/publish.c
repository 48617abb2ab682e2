#include "hub/publish.h"

#include <stdio.h>

#include "hub/link.h"
#include "hub/meta.h"

void wsg_hub_publish_copy(struct wsg_hub *h, const struct wsg_pin *p, const struct wsb_envelope *e)
{
    if (p->route->policy.publish || p->route->policy.tap)
        wsg_hub_publish(h, p->route, e);
}

void wsg_hub_publish(struct wsg_hub *h, const struct wsg_route *r, const struct wsb_envelope *e)
{
    char topic[WSG_ROUTE_NAME_MAX + 16];
    (void)snprintf(topic, sizeof topic, "%s %s", r->name, wsb_type_name(e->header.type));
    if (!h->server->ops->is_wanted(h->server, topic))
        return;
    struct wsb_header header = e->header;
    header.payload_len = (uint32_t)e->payload.len;
    header.flags = (uint8_t)(e->meta.len ? e->header.flags | WSB_FLAG_META : e->header.flags & ~WSB_FLAG_META);
    struct wsb_block *b = wsg_hub_copy_block(h->copies, WSG_EVENTS_LIMIT, e->payload);
    wsg_hub_touch(h, h->server);
    if (!b) {
        h->stats.publish_drops++; /* for however many it was */
        return;
    }
    h->stats.published++;
    h->stats.publish_drops += h->server->ops->publish(h->server, topic, &header, b, e->meta);
}

void wsg_hub_publish_open(struct wsg_hub *h, const struct wsg_pin *p)
{
    if (!p->route->policy.publish && !p->route->policy.tap)
        return;
    struct wsb_envelope e = {.header = {.type = WSB_OPEN,
                                        .flags = wsg_pin_is_unaccepted(p) ? WSB_FLAG_PENDING : 0,
                                        .conn = p->conn,
                                        .seq = 1,
                                        .time_ns = p->opened_ns},
                             .meta = wsg_hub_open_meta(h, p)};
    wsg_hub_publish_copy(h, p, &e);
}
