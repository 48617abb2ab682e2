/* Connections as the hub sees them. */
#include "bus/pin.h"

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

struct wsg_pin *wsg_pins_find(const struct wsg_pins *t, wsb_conn conn)
{
    struct wsg_id_parts id = wsg_id_parts(conn);
    if (id.slot >= t->workers[id.worker].count)
        return NULL;
    struct wsg_pin *p = t->workers[id.worker].slots[id.slot];
    return p && p->conn == conn ? p : NULL;
}

void wsg_pin_assign(struct wsg_pin *p, struct wsg_handler *h)
{
    if (p->handler) {
        DL_DELETE(p->handler->pins, p);
        p->handler->pinned--;
    }
    p->handler = h;
    if (h) {
        DL_APPEND(h->pins, p);
        h->pinned++;
    }
}

void wsg_pins_remove(struct wsg_pins *t, struct wsg_pin *p)
{
    struct wsg_id_parts id = wsg_id_parts(p->conn);
    wsg_pin_assign(p, NULL);
    wsg_groups_leave_all(p);
    t->workers[id.worker].slots[id.slot] = NULL;
    t->count--;
    free(p->meta);
    free(p);
}

void wsg_pins_deinit(struct wsg_pins *t)
{
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
