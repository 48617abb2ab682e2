/* Groups. A member knows its place in the group's array, so leaving costs the same however large the group is. */
#include "bus/group.h"

#include <stdlib.h>

struct wsg_group *wsg_groups_find(const struct wsg_groups *t, struct wsb_span name)
{
    struct wsg_group *g = NULL;
    unsigned hash = wsg_table_hash(name.ptr, name.len);
    HASH_FIND_BYHASHVALUE(hh, t->shards[wsg_table_shard(hash)], name.ptr, name.len, hash, g);
    return g;
}

struct wsg_group *wsg_groups_next(const struct wsg_groups *t, const struct wsg_group *g)
{
    struct wsg_group *next = g ? g->hh.next : NULL;
    for (size_t i = g ? wsg_table_shard(g->hh.hashv) + 1 : 0; !next && i < WSG_TABLE_SHARDS; i++)
        next = t->shards[i];
    return next;
}

static struct wsg_group *group_new(struct wsg_groups *t, struct wsb_span name)
{
    struct wsg_group *g = calloc(1, sizeof *g + name.len + 1);
    if (!g)
        return NULL;
    g->table = t;
    g->name_len = name.len;
    memcpy(g->name, name.ptr, name.len);
    unsigned hash = wsg_table_hash(name.ptr, name.len);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, t->shards[wsg_table_shard(hash)], g->name, g->name_len, hash, g);
    if (!WSG_TABLE_HAS(hh, g)) {
        free(g);
        return NULL;
    }
    t->count++;
    return g;
}

static void group_free(struct wsg_group *g)
{
    HASH_DEL(g->table->shards[wsg_table_shard(g->hh.hashv)], g);
    g->table->count--;
    free(g->members);
    free(g);
}

static void free_if_empty(struct wsg_group *g)
{
    if (g->count == 0)
        group_free(g);
}

static wsb_err make_room(struct wsg_group *g)
{
    if (g->count < g->cap)
        return WSB_OK;
    size_t cap = g->cap ? g->cap * 2 : 4;
    struct wsg_member **members = realloc(g->members, cap * sizeof(struct wsg_member *));
    if (!members)
        return WSB_ERR_NOMEM;
    g->members = members;
    g->cap = cap;
    return WSB_OK;
}

static struct wsg_member **find_member(struct wsg_pin *p, const struct wsg_group *g)
{
    struct wsg_member **at = &p->members;
    while (*at && (*at)->group != g)
        at = &(*at)->next;
    return at;
}

bool wsg_groups_has(const struct wsg_group *g, const struct wsg_pin *p)
{
    const struct wsg_member *m = p->members;
    while (m && m->group != g)
        m = m->next;
    return m != NULL;
}

const struct wsg_member *wsg_groups_next_of(const struct wsg_groups *t, const struct wsg_pin *p,
                                            const struct wsg_member *m)
{
    m = m ? m->next : p->members;
    while (m && m->group->table != t)
        m = m->next;
    return m;
}

/* One walk: whether it is in `g` (NULL: no such group yet), and in how many of the table. */
static bool is_in(const struct wsg_groups *t, const struct wsg_pin *p, const struct wsg_group *g, uint32_t *ret_count)
{
    *ret_count = 0;
    for (const struct wsg_member *m = p->members; m; m = m->next) {
        if (m->group == g)
            return true;
        *ret_count += m->group->table == t;
    }
    return false;
}

wsb_err wsg_groups_join(struct wsg_groups *t, struct wsg_pin *p, struct wsb_span name)
{
    if (name.len == 0 || name.len > WSG_GROUP_NAME_MAX)
        return WSB_ERR_LIMIT;
    struct wsg_group *g = wsg_groups_find(t, name);
    uint32_t count;
    if (is_in(t, p, g, &count))
        return WSB_ERR_EXISTS;
    if (count >= (t->per_connection ? t->per_connection : WSG_GROUPS_PER_CONNECTION))
        return WSB_ERR_LIMIT;
    if (!g)
        g = group_new(t, name);
    if (!g)
        return WSB_ERR_NOMEM;
    struct wsg_member *m = malloc(sizeof *m);
    if (!m || make_room(g) != WSB_OK) {
        free(m);
        free_if_empty(g);
        return WSB_ERR_NOMEM;
    }
    *m = (struct wsg_member){.group = g, .pin = p, .index = g->count, .next = p->members};
    g->members[g->count++] = m;
    p->members = m;
    return WSB_OK;
}

static void leave(struct wsg_member **at)
{
    struct wsg_member *m = *at;
    struct wsg_group *g = m->group;
    struct wsg_member *last = g->members[--g->count];
    g->members[m->index] = last;
    last->index = m->index;
    *at = m->next;
    free(m);
    free_if_empty(g);
}

wsb_err wsg_groups_leave(struct wsg_groups *t, struct wsg_pin *p, struct wsb_span name)
{
    struct wsg_group *g = wsg_groups_find(t, name);
    struct wsg_member **at = g ? find_member(p, g) : NULL;
    if (!at || !*at)
        return WSB_ERR_NOT_FOUND;
    leave(at);
    return WSB_OK;
}

void wsg_groups_leave_all(struct wsg_pin *p)
{
    while (p->members)
        leave(&p->members);
}

void wsg_groups_deinit(struct wsg_groups *t)
{
    for (struct wsg_group *g = wsg_groups_next(t, NULL), *next; g; g = next) {
        next = wsg_groups_next(t, g);
        group_free(g);
    }
}
