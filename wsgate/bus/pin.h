#ifndef WSG_BUS_PIN_H
#define WSG_BUS_PIN_H

/*
 * What the hub knows of each connection: its route, the handler it is pinned to, how far its events are, and the groups it
 * is in. Found by connection id; an id that does not fit exactly is not found.
 */

#include "bus/conn_id.h"
#include "bus/handler.h"

struct wsg_group;

/* One connection's place in one group. */
struct wsg_member {
    struct wsg_group *group; /* borrowed */
    struct wsg_pin *pin;     /* borrowed */
    size_t index;            /* in the group's array */
    struct wsg_member *next; /* of the same connection */
};

struct wsg_pin {
    wsb_conn conn;
    struct wsg_route *route;     /* borrowed */
    struct wsg_handler *handler; /* borrowed; NULL on routes that only publish */
    uint64_t seq;                /* of the last event */
    char *meta;                  /* owned; what OPEN said, for the next owner; NULL for a request */
    uint32_t meta_len;
    uint32_t member_count;
    bool is_request;
    bool is_pending; /* OPEN waits for ACCEPT or REJECT */
    bool is_paused;
    struct wsg_member *members;  /* owned */
    struct wsg_pin *prev, *next; /* of the same handler */
};

struct wsg_pins {
    struct {
        struct wsg_pin **slots; /* owned */
        size_t count;
    } workers[WSG_ID_WORKERS];
    size_t count;
};

void wsg_pins_deinit(struct wsg_pins *t);
/* WSB_ERR_EXISTS: the id is there already. */
WSB_MUST_CHECK wsb_err wsg_pins_add(struct wsg_pins *t, wsb_conn conn, struct wsg_route *route, struct wsg_pin **ret);
struct wsg_pin *wsg_pins_find(const struct wsg_pins *t, wsb_conn conn);
/* Leaves handler and groups and frees it. */
void wsg_pins_remove(struct wsg_pins *t, struct wsg_pin *p);

/* Pin to a handler, or to none. */
void wsg_pin_assign(struct wsg_pin *p, struct wsg_handler *h);

#endif
