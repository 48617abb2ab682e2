#ifndef WSG_HUB_ROUND_H
#define WSG_HUB_ROUND_H

/* A round of the hub is not enough: another one follows, at once or soon. */

#include "hub/hub.h"

enum { WSG_HUB_SWEEP_MS = 50 };

/* Run another round without sleeping. */
static inline void wsg_hub_again(struct wsg_hub *h)
{
    if (h->again_posted)
        return;
    h->again_posted = true;
    wsg_loop_post(h->loop, &h->again);
}

/* The handler may be sent more: some of those that wait for it are looked at when the step ends, in its turn. */
static inline void wsg_hub_pump_soon(struct wsg_hub *h, struct wsg_handler *to)
{
    to->is_pump_due = true;
    h->pump_due = true;
}

/* Look soon whether the time of what moves, or waits for a handler, is up. */
static inline void wsg_hub_sweep_soon(struct wsg_hub *h)
{
    if (!h->sweep.heap_index)
        (void)!wsg_loop_arm(h->loop, &h->sweep, wsg_loop_now_ms(h->loop) + WSG_HUB_SWEEP_MS);
}

#endif
