#include "hub/ages.h"

#include "hub/round.h"

enum { LOOKS_AT_ONCE = 4096 };

static void look_at(const struct wsg_pin *p)
{
    if (!p || !p->backlog.first)
        return;
    uint64_t time_ns = p->backlog.first->time_ns, *found = &p->route->finding_ns;
    if (!*found || time_ns < *found)
        *found = time_ns;
}

/* Those whose clients are there, worker by worker. */
static size_t look_at_pins(const struct wsg_pins *pins, struct wsg_ages *t, size_t budget)
{
    for (; t->worker < WSG_ID_WORKERS; t->worker++, t->slot = 0) {
        for (; t->slot < pins->workers[t->worker].count; t->slot++, budget--) {
            if (budget == 0)
                return 0;
            look_at(pins->workers[t->worker].slots[t->slot]);
        }
    }
    return budget;
}

/* Those whose clients are gone. A shard is looked at in one step. */
static size_t look_at_ghosts(const struct wsg_pins *pins, struct wsg_ages *t, size_t budget)
{
    for (; budget && t->shard < WSG_TABLE_SHARDS; t->shard++) {
        for (const struct wsg_ghost *g = pins->ghosts[t->shard]; g; g = g->hh.next) {
            look_at(g->pin);
            budget -= budget != 0;
        }
    }
    return budget;
}

static void finish(struct wsg_hub *h)
{
    for (size_t i = 0; i < h->routes->count; i++)
        h->routes->routes[i].oldest_ns = h->routes->routes[i].finding_ns;
    h->ages.is_looking = false;
}

void wsg_hub_ages_begin(struct wsg_hub *h)
{
    size_t kept = 0;
    if (h->ages.is_looking)
        return;
    for (size_t i = 0; i < h->routes->count; i++) {
        kept += h->routes->routes[i].retained.bytes;
        h->routes->routes[i].finding_ns = 0;
    }
    h->ages = (struct wsg_ages){.is_looking = true};
    if (kept)
        wsg_hub_ages_on(h);
    else
        finish(h);
}

void wsg_hub_ages_on(struct wsg_hub *h)
{
    struct wsg_ages *t = &h->ages;
    if (!t->is_looking)
        return;
    size_t left = look_at_ghosts(&h->pins, t, look_at_pins(&h->pins, t, LOOKS_AT_ONCE));
    if (left || t->shard == WSG_TABLE_SHARDS)
        finish(h);
    else
        wsg_hub_again(h);
}
