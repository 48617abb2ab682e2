#include "admin/name_list.h"

#include <string.h>

enum { A_PIECE = 1024 /* names or members; of names, and what else is in the last shard */ };

static void begin_group(struct wsb_json *j, const struct wsg_group *g)
{
    wsb_json_object(j);
    wsb_json_kstr(j, "name", wsg_group_name(g));
    wsb_json_ku64(j, "count", g->count);
}

void wsg_name_list_begin(struct wsg_name_list *l, const struct wsg_groups *table, const struct wsg_group *one,
                         size_t limit, struct wsb_json *j)
{
    *l = (struct wsg_name_list){.table = table, .limit = limit};
    wsb_json_object(j);
    wsb_json_ku64(j, "total", table->count);
    wsb_json_key(j, "groups");
    wsb_json_array(j);
    if (!one)
        return;
    memcpy(l->name, one->name, one->name_len);
    begin_group(j, one);
    wsb_json_key(j, "members");
    wsb_json_array(j);
}

/* A shard has no order that would outlast a piece: it is shown whole. */
static bool show_groups(struct wsg_name_list *l, struct wsb_json *j)
{
    size_t until = l->shown + A_PIECE;
    for (; l->shard < WSG_TABLE_SHARDS && l->shown < until; l->shard++) {
        for (const struct wsg_group *g = l->table->shards[l->shard]; g; g = g->hh.next) {
            if (l->shown == l->limit)
                return false;
            begin_group(j, g);
            wsb_json_object_end(j);
            l->shown++;
        }
    }
    return l->shard < WSG_TABLE_SHARDS;
}

/* Since the piece before there may be fewer members than were shown, or the group may be gone. */
static bool show_members(struct wsg_name_list *l, struct wsb_json *j)
{
    const struct wsg_group *g = wsg_groups_find(l->table, wsb_span_str(l->name));
    size_t left = A_PIECE;
    for (; g && left && l->shown < g->count && l->shown < l->limit; left--, l->shown++)
        wsb_json_id(j, g->members[l->shown]->pin->conn);
    return left == 0;
}

bool wsg_name_list_go_on(struct wsg_name_list *l, struct wsb_json *j)
{
    return *l->name ? show_members(l, j) : show_groups(l, j);
}

void wsg_name_list_end(const struct wsg_name_list *l, struct wsb_json *j)
{
    if (*l->name) {
        wsb_json_array_end(j);
        wsb_json_object_end(j);
    }
    wsb_json_array_end(j);
    wsb_json_object_end(j);
}
