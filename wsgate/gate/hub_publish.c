/* Copies of events for whoever subscribed. */
#include <stdio.h>
#include <stdlib.h>

#include "gate/hub_parts.h"

enum { SUBSCRIPTIONS_MAX = 10000 };

/* A topic prefix that somebody subscribed to; XPUB tells each one once. */
struct wsg_subscription {
    struct wsg_subscription *next;
    size_t len;
    uint8_t prefix[];
};

static bool is_subscribed(const struct wsg_hub *h, const char *topic)
{
    size_t len = strlen(topic);
    for (const struct wsg_subscription *s = h->subscriptions; s; s = s->next) {
        if (s->len <= len && memcmp(s->prefix, topic, s->len) == 0)
            return true;
    }
    return false;
}

void wsg_hub_publish_copy(struct wsg_hub *h, const struct wsg_pin *p, const struct wsb_envelope *e)
{
    if (p->route->policy.publish || p->route->policy.tap)
        wsg_hub_publish(h, p->route, e);
}

void wsg_hub_publish(struct wsg_hub *h, const struct wsg_route *r, const struct wsb_envelope *e)
{
    char topic[WSG_ROUTE_NAME_MAX + 16];
    (void)snprintf(topic, sizeof topic, "%s %s", r->name, wsb_type_name(e->header.type));
    if (!is_subscribed(h, topic))
        return;
    struct wsb_header header = e->header;
    header.payload_len = (uint32_t)e->payload.len;
    header.flags = (uint8_t)(e->meta.len ? e->header.flags | WSB_FLAG_META : e->header.flags & ~WSB_FLAG_META);
    struct wsb_block *b = wsg_hub_copy_block(h->copies, WSG_EVENTS_LIMIT, e->payload);
    wsg_hub_touch(h, h->server);
    if (b && h->server->ops->publish(h->server, topic, &header, b, e->meta) == WSB_OK)
        h->stats.published++;
    else
        h->stats.publish_drops++;
}

void wsg_hub_publish_open(struct wsg_hub *h, const struct wsg_pin *p)
{
    if (!p->route->policy.publish && !p->route->policy.tap)
        return;
    struct wsb_envelope e = {.header = {.type = WSB_OPEN,
                                        .flags = p->admission == WSG_PENDING ? WSB_FLAG_PENDING : 0,
                                        .conn = p->conn,
                                        .seq = 1,
                                        .time_ns = p->opened_ns},
                             .meta = wsg_hub_open_meta(h, p)};
    wsg_hub_publish_copy(h, p, &e);
}

void wsg_hub_subscription(struct wsg_hub *h, const struct wsb_inbound *in)
{
    struct wsg_subscription **at = &h->subscriptions;
    size_t count = 0;
    while (*at && !wsb_span_eq(in->subscription, wsb_span((*at)->prefix, (*at)->len))) {
        at = &(*at)->next;
        count++;
    }
    if (in->subscribes && !*at && count < SUBSCRIPTIONS_MAX) {
        struct wsg_subscription *s = malloc(sizeof *s + in->subscription.len);
        if (!s)
            return;
        *s = (struct wsg_subscription){.len = in->subscription.len};
        if (s->len)
            memcpy(s->prefix, in->subscription.ptr, s->len);
        *at = s;
    } else if (!in->subscribes && *at) {
        struct wsg_subscription *s = *at;
        *at = s->next;
        free(s);
    }
}

void wsg_hub_forget_subscriptions(struct wsg_hub *h)
{
    while (h->subscriptions) {
        struct wsg_subscription *s = h->subscriptions;
        h->subscriptions = s->next;
        free(s);
    }
}
