#ifndef WSG_HUB_GROUPS_H
#define WSG_HUB_GROUPS_H

/* Groups, users and tags of connections: who is in them, who is told, and who is meant by a name. */

#include "hub/hub.h"

/* User and first groups of a connection, as a session told them: its user is set, the groups are left. */
struct wsb_span wsg_hub_take_user(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span list);
void wsg_hub_join_listed(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span list);
bool wsg_hub_join(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name);
void wsg_hub_leave(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name);
void wsg_hub_leave_all(struct wsg_hub *h, struct wsg_pin *p);
/* "" for none. False when the name is too long, or memory is out. */
bool wsg_hub_set_user(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name);
bool wsg_hub_tag(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_meta *m);

/*
 * Members of all that any of the audiences names, once each, into h->targets, without those that `meta` (NULL: none) excepts and those of routes
 * that the user may not command. False without memory.
 */
bool wsg_hub_gather(struct wsg_hub *h, const struct wsg_audience *to, size_t to_count, const struct wsg_meta *meta,
                    struct wsb_span user, size_t *ret_count);
void wsg_hub_list(struct wsg_hub *h, struct wsg_handler *to, uint64_t seq, const struct wsg_audience *of,
                  struct wsb_span user, uint32_t limit);

#endif
