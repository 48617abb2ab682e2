#include "hub/presence.h"

#include "base/json.h"
#include "hub/link.h"
#include "hub/meta.h"
#include "hub/round.h"

enum { TOLD_AT_ONCE = 256, WAITING_MAX = 4 << 20 /* bytes that not all have heard; the queue holds as many besides */ };

void wsg_hub_presence_init(struct wsg_presence *t)
{
    *t = (struct wsg_presence){0};
    wsb_buf_init(&t->queue, (size_t)2 * WAITING_MAX);
}

static bool hears(const struct wsg_handler *to, const struct wsg_route *r)
{
    return to->presence && wsg_handler_serves(to, r, WSG_KIND_ALL);
}

/* Tell the event to the handlers that have not heard it. True: to all of them. */
static bool tell(struct wsg_hub *h, const struct wsb_envelope *e)
{
    struct wsg_presence *t = &h->presence;
    struct wsb_envelope out = *e;
    const struct wsg_route *r = &h->routes->routes[e->header.seq];
    out.header.seq = 0;
    for (struct wsg_handler *to = h->handlers.by_id; to; to = to->by_id.next) {
        if (to->id <= t->told || !hears(to, r))
            continue;
        if (t->left == 0)
            return false;
        t->left--;
        t->told = to->id;
        if (to->paused)
            to->dropped++; /* it can LIST when it has caught up; a flood of these must not be its end */
        else
            (void)wsg_hub_send(h, to, &out);
    }
    t->told = 0;
    return true;
}

/* At half of the queue, so that each byte is moved once at most, also when it is never empty. */
static void drop_told(struct wsg_presence *t)
{
    if (t->at < t->queue.len - t->at)
        return;
    wsb_buf_consume(&t->queue, t->at);
    t->at = 0;
}

static void tell_some(struct wsg_hub *h)
{
    struct wsg_presence *t = &h->presence;
    struct wsb_envelope e;
    while (t->at < t->queue.len) {
        struct wsb_span rest = wsb_span(t->queue.data + t->at, t->queue.len - t->at);
        if (wsb_record_next(&rest, &e) != WSB_OK || !tell(h, &e))
            break;
        t->at = t->queue.len - rest.len;
    }
    drop_told(t);
}

static wsb_err append(struct wsg_presence *t, const struct wsb_envelope *e)
{
    size_t size = wsb_record_size(e->payload.len, e->meta.len);
    return size > WAITING_MAX - (t->queue.len - t->at) ? WSB_ERR_FULL : wsb_record_append(&t->queue, e);
}

void wsg_hub_tell_presence(struct wsg_hub *h, uint8_t type, const struct wsg_pin *p, struct wsb_span group,
                           size_t count)
{
    struct wsg_presence *t = &h->presence;
    struct wsb_json j;
    if (h->presence_count == 0)
        return;
    wsb_buf_clear(&h->text);
    wsb_json_begin(&j, &h->text);
    wsb_json_object(&j);
    wsb_json_kstr(&j, "group", group);
    wsb_json_ku64(&j, "count", count);
    wsb_json_kcstr(&j, "route", p->route->name);
    wsg_hub_put_user(&j, h, p);
    wsb_json_object_end(&j);
    /* seq holds the route until it is told: such events have no seq of their own */
    struct wsb_envelope e = {
        .header = {.type = type, .conn = p->conn, .seq = p->route->index, .time_ns = wsg_loop_wall_ns(h->loop)},
        .meta = wsb_buf_span(&h->text)};
    if (wsb_json_end(&j) != WSB_OK || append(t, &e) != WSB_OK)
        h->stats.presence_drops++;
    tell_some(h);
}

void wsg_hub_presence_on(struct wsg_hub *h)
{
    struct wsg_presence *t = &h->presence;
    t->left = TOLD_AT_ONCE;
    tell_some(h);
    if (t->queue.len)
        wsg_hub_again(h);
}
