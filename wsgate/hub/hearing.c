#include "hub/hearing.h"

#include "hub/link.h"

/* Of all time. */
static uint64_t deaf_ms(const struct wsg_hub *h)
{
    const struct wsg_deafness *d = &h->deafness;
    return d->total_ms + (d->is_deaf ? wsg_loop_now_ms(h->loop) - d->since_ms : 0);
}

void wsg_hub_hear(struct wsg_hub *h, bool hears)
{
    struct wsg_deafness *d = &h->deafness;
    if (d->is_deaf != hears)
        return;
    d->total_ms = deaf_ms(h);
    d->since_ms = wsg_loop_now_ms(h->loop);
    d->is_deaf = !hears;
}

void wsg_hub_note_progress(const struct wsg_hub *h, struct wsg_handler *to)
{
    to->progress_ms = wsg_loop_now_ms(h->loop);
    to->progress_deaf_ms = deaf_ms(h);
}

/* The hub has its batch, and has not come to the end of it. */
static bool is_being_read(const struct wsg_hub *h, const struct wsg_handler *to)
{
    for (int i = 0; i < WSG_READINGS; i++) {
        const struct wsg_reading *r = &h->readings[i];
        if (r->is_open && wsb_span_eq(r->inbound.peer, wsb_span(to->peer, to->peer_len)))
            return true;
    }
    return false;
}

static bool has_unread(const struct wsg_hub *h, const struct wsg_handler *to)
{
    struct wsb_server *server = wsg_hub_server_for(h, to);
    return is_being_read(h, to) || !server->ops->has_unread ||
           server->ops->has_unread(server, wsb_span(to->peer, to->peer_len));
}

bool wsg_hub_is_stuck(const struct wsg_hub *h, const struct wsg_handler *to, uint64_t most_ms)
{
    uint64_t waited_ms = wsg_loop_now_ms(h->loop) - to->progress_ms;
    uint64_t unheard_ms = deaf_ms(h) - to->progress_deaf_ms;
    return waited_ms > most_ms && (waited_ms - unheard_ms > most_ms || !has_unread(h, to));
}
