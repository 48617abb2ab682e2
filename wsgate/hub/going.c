#include "hub/going.h"

#include <utlist.h>

#include "base/log.h"
#include "hub/hands.h"
#include "hub/link.h"

static void count_routes(struct wsg_hub *h, const struct wsg_handler *handler, int by)
{
    for (size_t i = 0; i < handler->route_count; i++) {
        struct wsg_route *r = &h->routes->routes[handler->routes[i]];
        atomic_fetch_or_explicit(&r->kinds_served, handler->kinds, memory_order_relaxed);
        for (unsigned k = 0; k < WSG_KINDS; k++) {
            if (handler->kinds & 1u << k)
                atomic_fetch_add_explicit(&r->serving[k], (uint32_t)by, memory_order_relaxed);
        }
        atomic_fetch_add_explicit(&r->handlers, (uint32_t)by, memory_order_relaxed);
    }
}

void wsg_hub_count_in(struct wsg_hub *h, struct wsg_handler *handler)
{
    if (!handler->is_counted && !handler->drain)
        count_routes(h, handler, 1);
    handler->is_counted = !handler->drain;
}

void wsg_hub_count_out(struct wsg_hub *h, struct wsg_handler *handler)
{
    if (handler->is_counted)
        count_routes(h, handler, -1);
    handler->is_counted = false;
}

void wsg_hub_drop_handler(struct wsg_hub *h, struct wsg_handler *handler, enum wsg_going how, const char *why)
{
    if (!handler->is_dead) {
        wsg_handlers_remember(&h->handlers, handler, /*lives=*/true);
        handler->is_told = true;
    }
    wsg_hub_remove_handler(h, handler, how, why);
}

static void log_going(struct wsg_hub *h, const struct wsg_handler *handler, enum wsg_going how, const char *why)
{
    uint64_t now_ms = wsg_loop_now_ms(h->loop);
    if (how == WSG_GOES_LOST)
        WSB_LOG_FEW(&h->lines.went, WSB_LOG_LIMIT_LINES, now_ms, WSB_LOG_BUS, WSB_LOG_WARN, "handler lost",
                    WSB_KU("handler", handler->id), WSB_KS("name", handler->name), WSB_KI("pid", handler->pid),
                    WSB_KS("why", why), WSB_KU("connections", handler->lane.count),
                    WSB_KU("unacknowledged", handler->unacked));
    else
        WSB_LOG_FEW(&h->lines.went, WSB_LOG_LIMIT_LINES, now_ms, WSB_LOG_BUS, WSB_LOG_INFO, "handler gone",
                    WSB_KU("handler", handler->id), WSB_KS("name", handler->name), WSB_KI("pid", handler->pid),
                    WSB_KS("why", why), WSB_KU("connections", handler->lane.count),
                    WSB_KU("unacknowledged", handler->unacked));
}

void wsg_hub_remove_handler(struct wsg_hub *h, struct wsg_handler *handler, enum wsg_going how, const char *why)
{
    log_going(h, handler, how, why);
    h->stats.handlers_gone += how == WSG_GOES_LOST;
    wsg_hub_send_batch(h, handler); /* to one that lives it is on its way; to one that is dead it is counted as lost */
    if (handler->is_dead)
        DL_DELETE2(h->dead, handler, prev_dead, next_dead);
    handler->is_dead = true; /* nobody picks it any more */
    handler->why = why;
    wsg_hub_count_out(h, handler);
    h->presence_count -= handler->presence;
    if (handler->known)
        *handler->known = NULL;
    handler->known = NULL;
    struct wsb_server *server = wsg_hub_server_for(h, handler);
    if (server->ops->unwatch)
        server->ops->unwatch(server, wsb_span(handler->peer, handler->peer_len));
    wsg_handlers_retire(&h->handlers, handler);
    wsg_hub_change_hands(h);
}

/* Its link has ended without BYE: the process has, as a rule, and otherwise nobody knows. */
static const char *why_lost(const struct wsg_handler *to)
{
    return to->is_hung_up ? "it ended, or hung up, without a goodbye" : "unreachable";
}

/* Its link may live: something could not be sent to it for want of memory, or it takes nothing. If it hears this, it says HELLO at
 * once; if not, its own clock tells it. */
static void tell_to_come_again(struct wsg_hub *h, struct wsb_span peer)
{
    const struct wsb_envelope e = {.header = {.type = WSB_ERROR, .code = WSB_ERROR_NOT_REGISTERED},
                                   .payload = wsb_span_str("you were given up: say HELLO again")};
    wsg_hub_send_peer(h, peer, &e);
}

static void remove_dead(struct wsg_hub *h, struct wsg_handler *to)
{
    uint8_t peer[sizeof to->peer];
    size_t len = to->is_hung_up ? 0 : to->peer_len;
    memcpy(peer, to->peer, len);
    if (to->pid)
        wsg_handlers_remember(&h->handlers, to, /*lives=*/false); /* perhaps only its link broke */
    wsg_hub_remove_handler(h, to, WSG_GOES_LOST, why_lost(to));
    if (len)
        tell_to_come_again(h, wsb_span(peer, len));
}

void wsg_hub_remove_dead(struct wsg_hub *h)
{
    while (h->dead) /* moving connections may find another one dead */
        remove_dead(h, h->dead);
}
