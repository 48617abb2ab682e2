/* What sessions said, event by event. */
#include "base/log.h"
#include "hub/accounts.h"
#include "hub/admit.h"
#include "hub/deliver.h"
#include "hub/drain.h"
#include "hub/going.h"
#include "hub/groups.h"
#include "hub/link.h"
#include "hub/meta.h"
#include "hub/pause.h"
#include "hub/place.h"
#include "hub/publish.h"
#include "hub/step.h"

/* What OPEN says is kept for the next owner, and until it is accepted what is to be done then. False without memory. */
static bool keep_open(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_out *out, struct wsb_span groups)
{
    struct wsg_route *wanted = &h->routes->routes[out->route];
    return wsg_hub_keep_meta(h, p, out->envelope.meta) &&
           (!(out->envelope.header.flags & WSB_FLAG_PENDING) ||
            wsg_hub_ask(p, wanted != p->route ? wanted : NULL, out->key, groups));
}

static void on_open(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_out *out)
{
    struct wsb_span groups = wsg_hub_take_user(h, p, out->envelope.payload);
    if (!keep_open(h, p, out, groups)) {
        wsb_conn conn = p->conn;
        wsg_hub_end_pin(h, p, WSG_IN_NO_MEMORY);
        wsg_hub_fail(h, conn, 503, WSG_REFUSED_MEMORY, "out of memory");
        return;
    }
    p->opened_ns = out->envelope.header.time_ns;
    p->seq = 1;
    if (!wsg_pin_is_unaccepted(p) && p->route->policy.publish)
        wsg_pin_end_pending(p); /* nobody is to hear of it */
    if (!wsg_pin_is_unaccepted(p))
        wsg_hub_join_listed(h, p, groups);
    (void)!wsg_groups_join(&h->members, p, wsb_span_str(p->route->name));
    wsg_hub_publish_open(h, p);
    if (p->route->policy.publish || !wsg_hub_place(h, p))
        return;
    if (!wsg_pin_is_unaccepted(p)) /* one that waits is not read as it is */
        wsg_hub_pause_if_full(h, p);
    wsg_hub_go_on(h, p);
}

static void on_begin(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsb_envelope e = out->envelope;
    struct wsg_route *wanted = &h->routes->routes[out->route];
    bool asks_elsewhere = e.header.type == WSB_OPEN && (e.header.flags & WSB_FLAG_PENDING) && wanted->gatekeeper;
    struct wsg_route *route = asks_elsewhere ? wanted->gatekeeper : wanted;
    struct wsg_pin *p;
    wsg_place place = out->place;
    if (wsg_pins_add(&h->pins, e.header.conn, route, &p) != WSB_OK) {
        wsg_places_give_back(&wanted->pending, &place);
        wsg_hub_fail(h, e.header.conn, 503, WSG_REFUSED_MEMORY, "out of memory");
        return;
    }
    wsg_pin_begin_pending(p, wanted, place);
    p->is_request = e.header.type == WSB_REQUEST;
    p->is_idempotent = out->is_idempotent && !(e.header.flags & WSB_FLAG_MORE);
    p->key = asks_elsewhere ? 0 : out->key; /* it is the wanted route's: of its gatekeepers the one with the fewest */
    if (!p->is_request)
        on_open(h, p, out);
    else if (route->policy.publish || wsg_hub_place(h, p))
        wsg_hub_deliver(h, p, &e);
}

static void on_event(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsb_envelope e = out->envelope;
    if (e.header.type == WSB_OPEN || e.header.type == WSB_REQUEST) {
        on_begin(h, out);
        return;
    }
    struct wsg_pin *p = wsg_pins_find(&h->pins, e.header.conn);
    if (p && !wsg_pin_is_closed(p)) /* otherwise it was failed, or lost: its end is nobody's event */
        wsg_hub_deliver(h, p, &e);
    else if (e.header.type == WSB_DATA)
        wsg_tally(&h->routes->routes[out->route].tally.in_dropped[WSG_IN_NO_HANDLER], 1);
}

static void on_reply(struct wsg_hub *h, const struct wsg_out *out)
{
    h->stats.outcomes++;
    if (out->origin & WSG_ORIGIN_ADMIN) {
        h->host.reply(h->host.ctx, out->origin, &out->envelope);
        return;
    }
    struct wsg_handler *to = wsg_handlers_by_id(&h->handlers, (uint32_t)out->origin);
    if (to)
        (void)wsg_hub_send(h, to, &out->envelope);
}

static void on_writable(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsg_pin *p = wsg_pins_find(&h->pins, out->envelope.header.conn);
    if (p && p->handler)
        (void)wsg_hub_send(h, p->handler, &out->envelope);
}

static void on_quiet(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsg_pin *p = wsg_pins_find(&h->pins, out->envelope.header.conn);
    if (p)
        p->is_quiet = true;
    if (p)
        wsg_hub_end_quiet(h, p);
    else
        wsg_hub_drain_session(h, out->envelope.header.conn);
}

static void on_done(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsg_pin *p = wsg_pins_find(&h->pins, out->envelope.header.conn);
    if (p)
        wsg_hub_end_pin(h, p, WSG_IN_LOST);
}

size_t wsg_hub_take(struct wsg_hub *h, struct wsb_span outbox)
{
    struct wsg_out out;
    size_t count = 0;
    for (; wsg_outbox_next(&outbox, &out); count++) {
        if (h->dead)
            wsg_hub_remove_dead(h); /* so that this event goes to whoever took over */
        switch (out.kind) {
        case WSG_OUT_EVENT:
            on_event(h, &out);
            break;
        case WSG_OUT_REPLY:
            on_reply(h, &out);
            break;
        case WSG_OUT_WRITABLE:
            on_writable(h, &out);
            break;
        case WSG_OUT_ADMITTED:
            wsg_hub_on_admitted(h, &out);
            break;
        case WSG_OUT_QUIET:
            on_quiet(h, &out);
            break;
        case WSG_OUT_DONE:
            on_done(h, &out);
            break;
        case WSG_OUT_TAP_IN:
        case WSG_OUT_TAP_OUT:
        case WSG_OUT_TAP_NOTE:
            h->host.tap(h->host.ctx, &out);
            break;
        }
    }
    wsg_hub_end_step(h);
    return count;
}

/* --------------------------------------------------------- without memory */

void wsg_hub_lose(struct wsg_hub *h, wsb_conn conn)
{
    static const char over[] = "{\"by\":\"gate\",\"code\":1013,\"reason\":\"out of memory\",\"clean\":false}";
    struct wsg_pin *p = wsg_pins_find(&h->pins, conn);
    WSB_LOG_FEW(&h->lines.lost, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_ERROR,
                "connection ended: out of memory for an event", WSB_KID("conn", conn));
    if (p && !wsg_pin_is_closed(p)) {
        struct wsb_envelope e = {.header = {.type = p->is_request ? WSB_ABORTED : WSB_CLOSED_EV,
                                            .conn = conn,
                                            .time_ns = wsg_loop_wall_ns(h->loop)},
                                 .meta = wsb_span_str(over)};
        wsg_hub_deliver(h, p, &e);
    }
    wsg_hub_fail(h, conn, 503, WSG_REFUSED_MEMORY, "out of memory");
}

void wsg_hub_lose_all(struct wsg_hub *h, uint8_t worker)
{
    for (size_t i = 0; i < h->pins.workers[worker].count; i++) {
        if (h->pins.workers[worker].slots[i])
            wsg_hub_lose(h, h->pins.workers[worker].slots[i]->conn);
    }
}
