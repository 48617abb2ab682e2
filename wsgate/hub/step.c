#include "hub/step.h"

#include "hub/ages.h"
#include "hub/deliver.h"
#include "hub/drain.h"
#include "hub/going.h"
#include "hub/hands.h"
#include "hub/life.h"
#include "hub/link.h"
#include "hub/pause.h"
#include "hub/presence.h"

/* Those that have room send to some of those that wait. The first that finds nothing left of the round begins the next one. */
static void pump_in_turn(struct wsg_hub *h)
{
    struct wsg_handler *first = wsg_handlers_from(&h->handlers, h->pump_turn), *to = first;
    bool all = h->pump_all, is_over = false;
    h->pump_all = h->pump_due = false;
    if (!to)
        return;
    do {
        if ((all || to->is_pump_due) && !wsg_hub_pump(h, to) && !is_over) {
            is_over = true;
            h->pump_turn = to->id;
        }
        to = wsg_handlers_behind(&h->handlers, to);
    } while (to != first);
}

/* What a step has brought about for handlers as a whole. */
void wsg_hub_end_step(struct wsg_hub *h)
{
    wsg_hub_remove_dead(h);
    if (h->pump_all || h->pump_due)
        pump_in_turn(h);
    if (h->drain_pending)
        wsg_hub_drain_in_turn(h);
    wsg_hub_remove_dead(h);
}

void wsg_hub_flush(struct wsg_hub *h)
{
    wsg_hub_presence_on(h);
    do {
        wsg_hub_flush_batches(h);
        wsg_hub_end_step(h); /* those who take over are sent to in turn */
    } while (h->round_count);
    h->server->ops->flush(h->server);
    if (h->shm)
        h->shm->ops->flush(h->shm);
}

void wsg_hub_step(struct wsg_hub *h)
{
    h->pump_due = true; /* for whom a round was not enough */
    wsg_hub_change_hands(h);
    wsg_hub_pause_on(h);
    wsg_hub_streams_on(h);
    wsg_hub_ages_on(h);
    wsg_hub_judge_on(h);
}
