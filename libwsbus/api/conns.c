/* The sets of connections. Removal closes the gap in the probe sequence, so there are no tombstones to pile up. */
#include "api/conns.h"

#include <stdlib.h>

enum {
    FIRST_PLACES = 64,
    RING_PLACES = WSB_CONNS_GONE_MAX * 2 /* a power of two, so that probing is short and ends */
};

static size_t hash(wsb_conn id)
{
    return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 20);
}

static size_t place_of(const struct wsb_idset *s, wsb_conn id)
{
    return hash(id) & s->mask;
}

/* Where the id is, or the free place where it would be. */
static size_t find(const struct wsb_idset *s, wsb_conn id)
{
    size_t i = place_of(s, id);
    while (s->places[i] && s->places[i] != id)
        i = (i + 1) & s->mask;
    return i;
}

static bool has(const struct wsb_idset *s, wsb_conn id)
{
    return s->count && s->places[find(s, id)] == id;
}

static bool grow(struct wsb_idset *s)
{
    struct wsb_idset bigger = {.count = s->count, .mask = s->mask ? s->mask * 2 + 1 : FIRST_PLACES - 1};
    bigger.places = calloc(bigger.mask + 1, sizeof *bigger.places);
    if (!bigger.places)
        return false;
    for (size_t i = 0; s->places && i <= s->mask; i++) {
        if (s->places[i])
            bigger.places[find(&bigger, s->places[i])] = s->places[i];
    }
    free(s->places);
    *s = bigger;
    return true;
}

static bool add(struct wsb_idset *s, wsb_conn id, size_t max)
{
    if (has(s, id))
        return true;
    if (s->count >= max || ((s->count + 1) * 4 > (s->mask + 1) * 3 && !grow(s)))
        return false;
    s->places[find(s, id)] = id;
    s->count++;
    return true;
}

static bool take_out(struct wsb_idset *s, wsb_conn id)
{
    if (!has(s, id))
        return false;
    size_t gap = find(s, id);
    for (size_t i = (gap + 1) & s->mask; s->places[i]; i = (i + 1) & s->mask) {
        size_t home = place_of(s, s->places[i]);
        if (((i - home) & s->mask) >= ((i - gap) & s->mask)) { /* may stand at the gap */
            s->places[gap] = s->places[i];
            gap = i;
        }
    }
    s->places[gap] = 0;
    s->count--;
    return true;
}

static void ring_deinit(struct wsb_idring *r)
{
    free(r->places);
    free(r->order);
}

static size_t ring_find(const struct wsb_idring *r, wsb_conn id)
{
    size_t i = hash(id) % RING_PLACES;
    while (r->places[i] && r->order[r->places[i] - 1] != id)
        i = (i + 1) % RING_PLACES;
    return i;
}

static bool ring_has(const struct wsb_idring *r, wsb_conn id)
{
    return id && r->order && r->places && r->places[ring_find(r, id)];
}

static void ring_take_out(struct wsb_idring *r, wsb_conn id)
{
    size_t gap = ring_find(r, id);
    size_t was = r->places[gap] - 1;
    for (size_t i = (gap + 1) % RING_PLACES; r->places[i]; i = (i + 1) % RING_PLACES) {
        size_t home = hash(r->order[r->places[i] - 1]);
        if ((i - home) % RING_PLACES >= (i - gap) % RING_PLACES) { /* may stand at the gap */
            r->places[gap] = r->places[i];
            gap = i;
        }
    }
    r->places[gap] = 0;
    r->order[was] = 0;
}

void wsb_conns_deinit(struct wsb_conns *c)
{
    free(c->open.places);
    ring_deinit(&c->gone);
    ring_deinit(&c->moved);
    *c = (struct wsb_conns){0};
}

void wsb_conns_opened(struct wsb_conns *c, wsb_conn conn)
{
    if (conn)
        (void)add(&c->open, conn, WSB_CONNS_OPEN_MAX);
}

static void remember(struct wsb_idring *r, wsb_conn conn)
{
    if (!r->order)
        r->order = calloc(WSB_CONNS_GONE_MAX, sizeof *r->order);
    if (!r->places)
        r->places = calloc(RING_PLACES, sizeof *r->places);
    if (!r->order || !r->places)
        return;
    if (ring_has(r, conn))
        ring_take_out(r, conn);
    if (r->order[r->next])
        ring_take_out(r, r->order[r->next]);
    r->order[r->next] = conn;
    r->places[ring_find(r, conn)] = (uint32_t)r->next + 1;
    r->next = (r->next + 1) % WSB_CONNS_GONE_MAX;
}

void wsb_conns_closed(struct wsb_conns *c, wsb_conn conn)
{
    if (take_out(&c->open, conn))
        remember(&c->gone, conn);
}

void wsb_conns_moved(struct wsb_conns *c, wsb_conn conn)
{
    if (take_out(&c->open, conn))
        remember(&c->moved, conn);
}

void wsb_conns_all_closed(struct wsb_conns *c)
{
    for (size_t i = 0; c->open.places && i <= c->open.mask; i++) {
        if (c->open.places[i])
            remember(&c->gone, c->open.places[i]);
    }
    free(c->open.places);
    c->open = (struct wsb_idset){0};
}

enum wsb_conn_state wsb_conns_state(const struct wsb_conns *c, wsb_conn conn)
{
    if (has(&c->open, conn))
        return WSB_CONN_OPEN;
    if (ring_has(&c->gone, conn))
        return WSB_CONN_GONE;
    return ring_has(&c->moved, conn) ? WSB_CONN_MOVED : WSB_CONN_UNKNOWN;
}
