#ifndef WSG_BUS_GROUP_H
#define WSG_BUS_GROUP_H

/* Groups of connections, by name. A group exists while it has members. Users, tags and routes are kept the same way. */

#include "bus/pin.h"

enum { WSG_GROUP_NAME_MAX = 255, WSG_GROUPS_PER_CONNECTION = 256, WSG_TAGS_PER_CONNECTION = 64 };

struct wsg_groups;

struct wsg_group {
    struct wsg_groups *table;    /* borrowed */
    struct wsg_member **members; /* owned array; the members are owned by their pins */
    size_t count;
    size_t cap;
    UT_hash_handle hh;
    size_t name_len;
    char name[];
};

struct wsg_groups {
    struct wsg_group *shards[WSG_TABLE_SHARDS]; /* owned */
    size_t count;
    uint32_t per_connection; /* of these groups; 0: WSG_GROUPS_PER_CONNECTION */
};

static inline struct wsb_span wsg_group_name(const struct wsg_group *g)
{
    return wsb_span(g->name, g->name_len);
}

/* Call after the pins are gone. */
void wsg_groups_deinit(struct wsg_groups *t);

/* WSB_ERR_EXISTS: it is in it. WSB_ERR_LIMIT: the name is empty or too long, or the connection is in too many. */
WSB_MUST_CHECK wsb_err wsg_groups_join(struct wsg_groups *t, struct wsg_pin *p, struct wsb_span name);
/* WSB_ERR_NOT_FOUND: not in it. */
WSB_MUST_CHECK wsb_err wsg_groups_leave(struct wsg_groups *t, struct wsg_pin *p, struct wsb_span name);
void wsg_groups_leave_all(struct wsg_pin *p);
struct wsg_group *wsg_groups_find(const struct wsg_groups *t, struct wsb_span name);
/* All of them, in no order: the one after `g` (NULL: the first); NULL at the end. */
struct wsg_group *wsg_groups_next(const struct wsg_groups *t, const struct wsg_group *g);
bool wsg_groups_has(const struct wsg_group *g, const struct wsg_pin *p);
/* The next of these groups that the connection is in, after `m` (NULL: the first); NULL at the end. */
const struct wsg_member *wsg_groups_next_of(const struct wsg_groups *t, const struct wsg_pin *p,
                                            const struct wsg_member *m);

#endif
