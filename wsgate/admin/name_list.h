#ifndef WSG_ADMIN_NAME_LIST_H
#define WSG_ADMIN_NAME_LIST_H

/*
 * Groups, users or tags with their sizes, or the members of one, as JSON: some at a time, since clients choose these names and
 * there may be very many. What comes or goes between two pieces is in the list, or is not. Pure.
 */

#include "base/json.h"
#include "bus/group.h"

struct wsg_name_list {
    const struct wsg_groups *table;    /* borrowed */
    char name[WSG_GROUP_NAME_MAX + 1]; /* of the one whose members are listed; "": all */
    size_t limit;                      /* of names, or of members */
    size_t shard;                      /* all: the next one */
    size_t shown;
};

/* `one` (NULL: all of the table) is there now, and may be gone later. */
void wsg_name_list_begin(struct wsg_name_list *l, const struct wsg_groups *table, const struct wsg_group *one,
                         size_t limit, struct wsb_json *j);
/* A piece of it. False: that was the last one. */
bool wsg_name_list_go_on(struct wsg_name_list *l, struct wsb_json *j);
void wsg_name_list_end(const struct wsg_name_list *l, struct wsb_json *j);

#endif
