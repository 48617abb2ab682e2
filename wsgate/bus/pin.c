/* Connections as the hub sees them. */
#include "bus/pin.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "bus/group.h"

static wsb_err make_room(struct wsg_pins *t, struct wsg_id_parts id)
{
    size_t count = t->workers[id.worker].count;
    if (id.slot < count)
        return WSB_OK;
    size_t want = count ? count : 64;
    while (want <= id.slot)
        want *= 2;
    struct wsg_pin **slots = realloc(t->workers[id.worker].slots, want * sizeof(struct wsg_pin *));
    if (!slots)
        return WSB_ERR_NOMEM;
    memset(slots + count, 0, (want - count) * sizeof(struct wsg_pin *));
    t->workers[id.worker].slots = slots;
    t->workers[id.worker].count = want;
    return WSB_OK;
}

void wsg_pin_become(struct wsg_pin *p, enum wsg_pin_state state)
{
    static const uint8_t from[] = {
        [WSG_PIN_OPEN] = 1u << WSG_PIN_PENDING | 1u << WSG_PIN_ADMITTING,
        [WSG_PIN_PENDING] = 1u << WSG_PIN_OPEN,
        [WSG_PIN_ADMITTING] = 1u << WSG_PIN_PENDING,
        [WSG_PIN_FAILED] = 1u << WSG_PIN_OPEN | 1u << WSG_PIN_PENDING | 1u << WSG_PIN_ADMITTING | 1u << WSG_PIN_FAILED,
        [WSG_PIN_CLOSED] = 1u << WSG_PIN_OPEN | 1u << WSG_PIN_PENDING | 1u << WSG_PIN_ADMITTING | 1u << WSG_PIN_FAILED,
    };
    (void)from; /* where there are no assertions */
    assert(from[state] & 1u << p->state);
    p->state = (uint8_t)state;
}

wsb_err wsg_pins_add(struct wsg_pins *t, wsb_conn conn, struct wsg_route *route, struct wsg_pin **ret)
{
    struct wsg_id_parts id = wsg_id_parts(conn);
    wsb_err err = make_room(t, id);
    if (err)
        return err;
    if (t->workers[id.worker].slots[id.slot])
        return WSB_ERR_EXISTS;
    struct wsg_pin *p = calloc(1, sizeof *p);
    if (!p)
        return WSB_ERR_NOMEM;
    p->conn = conn;
    p->route = route;
    t->workers[id.worker].slots[id.slot] = p;
    t->count++;
    *ret = p;
    return WSB_OK;
}

static struct wsg_pin **place_of(const struct wsg_pins *t, wsb_conn conn)
{
    struct wsg_id_parts id = wsg_id_parts(conn);
    if (id.slot >= t->workers[id.worker].count)
        return NULL;
    struct wsg_pin **at = &t->workers[id.worker].slots[id.slot];
    return *at && (*at)->conn == conn ? at : NULL;
}

static struct wsg_ghost *ghost_of(const struct wsg_pins *t, wsb_conn conn)
{
    struct wsg_ghost *g = NULL;
    if (t->ghost_count == 0)
        return NULL;
    unsigned hash = wsg_table_hash(&conn, sizeof conn);
    HASH_FIND_BYHASHVALUE(hh, t->ghosts[wsg_table_shard(hash)], &conn, sizeof conn, hash, g);
    return g;
}

const struct wsg_ghost *wsg_pins_next_ghost(const struct wsg_pins *t, const struct wsg_ghost *g)
{
    const struct wsg_ghost *next = g ? g->hh.next : NULL;
    for (size_t i = g ? wsg_table_shard(g->hh.hashv) + 1 : 0; !next && i < WSG_TABLE_SHARDS; i++)
        next = t->ghosts[i];
    return next;
}

struct wsg_pin *wsg_pins_find(const struct wsg_pins *t, wsb_conn conn)
{
    struct wsg_pin **at = place_of(t, conn);
    if (at)
        return *at;
    struct wsg_ghost *g = ghost_of(t, conn);
    return g ? g->pin : NULL;
}

wsb_err wsg_pins_bury(struct wsg_pins *t, struct wsg_pin *p)
{
    struct wsg_ghost *g = malloc(sizeof *g);
    if (!g)
        return WSB_ERR_NOMEM;
    *g = (struct wsg_ghost){.conn = p->conn, .pin = p};
    unsigned hash = wsg_table_hash(&g->conn, sizeof g->conn);
    HASH_ADD_BYHASHVALUE(hh, t->ghosts[wsg_table_shard(hash)], conn, sizeof g->conn, hash, g);
    if (!WSG_TABLE_HAS(hh, g)) {
        free(g);
        return WSB_ERR_NOMEM;
    }
    t->ghost_count++;
    struct wsg_pin **at = place_of(t, p->conn);
    assert(at); /* it is not closed yet */
    *at = NULL;
    wsg_pin_become(p, WSG_PIN_CLOSED);
    wsg_pin_end_pending(p);
    return WSB_OK;
}

/* ------------------------------------------------------------------------ pending */

void wsg_pin_begin_pending(struct wsg_pin *p, struct wsg_route *of, wsg_place place)
{
    assert(!p->place);
    p->pends = place ? of : NULL;
    p->place = place;
}

void wsg_pin_end_pending(struct wsg_pin *p)
{
    if (p->place)
        wsg_places_give_back(&p->pends->pending, &p->place);
    p->pends = NULL;
}

/* ---------------------------------------------------------------- in whose hands */

void wsg_pin_wait(struct wsg_pin *p)
{
    if (p->is_waiting || !p->lane)
        return;
    DL_APPEND2(p->lane->waiting, p, prev_wait, next_wait);
    p->lane->waiting_count++;
    p->is_waiting = true;
}

void wsg_pin_wait_no_more(struct wsg_pin *p)
{
    if (!p->is_waiting)
        return;
    DL_DELETE2(p->lane->waiting, p, prev_wait, next_wait);
    p->lane->waiting_count--;
    p->is_waiting = false;
}

void wsg_pin_begin_move(struct wsg_pin *p, uint32_t to, uint64_t now_ms)
{
    wsg_lane_begin_move(p->lane, p);
    p->move_to = to;
    p->since_ms = now_ms;
    p->barrier = p->handler->ping_seq + 1;
    p->handler->moving++;
}

void wsg_pin_end_move(struct wsg_pin *p)
{
    if (!p->is_moving)
        return;
    p->handler->moving--;
    wsg_lane_end_move(p->lane, p);
}

void wsg_pin_assign(struct wsg_pin *p, struct wsg_handler *h, struct wsg_lane *lane)
{
    bool waits = p->is_waiting;
    wsg_pin_end_move(p);
    if (p->lane) {
        wsg_pin_wait_no_more(p);
        p->lane->unopened -= wsg_pin_is_unopened(p);
        p->lane->unsent_bytes -= p->backlog.unsent_bytes;
        wsg_lane_remove(p->lane, p);
    }
    if (wsg_pin_is_opening(p)) {
        p->handler->opening--;
        p->open_deliveries = (uint8_t)(p->open_deliveries + (p->open_deliveries < UINT8_MAX));
    }
    if (p->handler)
        p->handler->unacked -= p->unacked;
    p->handler = h;
    p->lane = h ? &h->lane : lane;
    p->sent_seq = p->acked_seq = 0;
    p->unacked = 0;
    wsg_backlog_rewind(&p->backlog);
    if (p->lane) {
        wsg_lane_add(p->lane, p);
        p->lane->unopened += wsg_pin_is_unopened(p);
        p->lane->unsent_bytes += p->backlog.unsent_bytes;
        if (waits || p->backlog.unsent)
            wsg_pin_wait(p);
    }
}

bool wsg_pin_was_of(const struct wsg_pin *p, const struct wsg_handler *h)
{
    for (uint32_t i = 0; i < p->former_count; i++) {
        if (wsg_handler_is_or_was(h, p->former[i]))
            return true;
    }
    return false;
}

bool wsg_pin_add_former(struct wsg_pin *p, uint32_t id, const struct wsg_handlers *alive)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->former_count; i++) {
        if (p->former[i] != id && wsg_handlers_know(alive, p->former[i]))
            p->former[kept++] = p->former[i];
    }
    p->former_count = kept;
    uint32_t *former = reallocarray(p->former, kept + 1, sizeof *former);
    if (!former)
        return false;
    p->former = former;
    former[p->former_count++] = id;
    return true;
}

/* ------------------------------------------------------------------------- end */

void wsg_pins_remove(struct wsg_pins *t, struct wsg_pin *p)
{
    struct wsg_backlog_sum freed = {0};
    if (p->lane)
        p->lane->unsent_bytes -= p->backlog.unsent_bytes;
    wsg_backlog_clear(&p->backlog, &freed);
    wsg_pin_wait_no_more(p);
    wsg_pin_end_pending(p);
    wsg_pin_assign(p, NULL, NULL);
    wsg_groups_leave_all(p);
    if (wsg_pin_is_closed(p)) {
        struct wsg_ghost *g = ghost_of(t, p->conn);
        assert(g); /* buried when it was closed */
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): does not see through the table's own links */
        HASH_DELETE(hh, t->ghosts[wsg_table_shard(g->hh.hashv)], g);
        t->ghost_count--;
        free(g);
    } else {
        struct wsg_pin **at = place_of(t, p->conn);
        assert(at);
        *at = NULL;
    }
    t->count--;
    free(p->former);
    free(p->asked);
    free(p->meta);
    free(p);
}

void wsg_pins_deinit(struct wsg_pins *t)
{
    for (const struct wsg_ghost *g; (g = wsg_pins_next_ghost(t, NULL)) != NULL;)
        wsg_pins_remove(t, g->pin);
    for (size_t w = 0; w < WSG_ID_WORKERS; w++) {
        for (size_t i = 0; i < t->workers[w].count; i++) {
            if (t->workers[w].slots[i])
                wsg_pins_remove(t, t->workers[w].slots[i]);
        }
        free(t->workers[w].slots);
        t->workers[w].slots = NULL;
        t->workers[w].count = 0;
    }
}
