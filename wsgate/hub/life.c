#include "hub/life.h"

#include "hub/going.h"
#include "hub/hearing.h"
#include "hub/link.h"
#include "hub/round.h"
#include "hub/undeliverable.h"

enum { LIVES_AT_ONCE = 32 /* handlers that are asked about in one go */ };

static uint32_t ack_timeout_of(const struct wsg_hub *h, const struct wsg_handler *to)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < to->route_count; i++) {
        uint32_t ms = h->routes->routes[to->routes[i]].policy.ack_timeout_ms;
        least = ms < least ? ms : least;
    }
    return least;
}

/* It has work and tells nothing of it. */
static bool is_hanging(const struct wsg_hub *h, const struct wsg_handler *to)
{
    return to->acks && to->unacked && wsg_hub_is_stuck(h, to, ack_timeout_of(h, to));
}

/* The kernel is asked about it, which takes a while. Its answer does not depend on whether the hub receives. */
static bool is_stalled(struct wsg_hub *h, const struct wsg_handler *to, uint64_t now_ms)
{
    struct wsb_server *server = wsg_hub_server_for(h, to);
    return server->ops->is_stalled && server->ops->is_stalled(server, wsb_span(to->peer, to->peer_len), now_ms);
}

/* The first behind this one: their numbers grow. */
static struct wsg_handler *handler_behind(const struct wsg_hub *h, uint32_t id)
{
    struct wsg_handler *to = h->handlers.by_id;
    while (to && to->id <= id)
        to = to->by_id.next;
    return to;
}

void wsg_hub_judge_on(struct wsg_hub *h)
{
    uint64_t now_ms = wsg_loop_now_ms(h->loop);
    struct wsg_handler *to = h->is_judging ? handler_behind(h, h->judged) : NULL, *next;
    for (int left = LIVES_AT_ONCE; to && left; left--, to = next) {
        h->judged = to->id;
        next = to->by_id.next;
        if (is_stalled(h, to, now_ms))
            wsg_hub_drop_handler(h, to, WSG_GOES_LOST, "stopped, or out of reach");
        else if (is_hanging(h, to))
            wsg_hub_drop_handler(h, to, WSG_GOES_LOST, "acknowledges nothing");
        else
            continue;
        next = handler_behind(h, h->judged); /* others may have gone with it */
    }
    h->is_judging = to != NULL;
    if (to)
        wsg_hub_again(h);
}

/* Who is stopped or hangs loses its connections, and is told so for when it wakes. Once a second each; so many in one go. */
void wsg_hub_check_life(struct wsg_hub *h)
{
    wsg_hub_end_alone(h, wsg_loop_now_ms(h->loop));
    if (!h->is_judging)
        h->judged = 0;
    h->is_judging = true;
    wsg_hub_judge_on(h);
}
