#include "hub/groups.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "hub/link.h"
#include "hub/presence.h"

enum {
    IDS_PER_LISTING = 4096, /* of one MEMBERS event */
    TARGETS_A_UNIT = 4      /* connections that are as much work as one command */
};

/* --------------------------------------------------------------- being in them */

bool wsg_hub_join(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name)
{
    wsb_err err = wsg_groups_join(&h->groups, p, name);
    if (err)
        return err == WSB_ERR_EXISTS;
    wsg_hub_tell_presence(h, WSB_JOINED, p, name, wsg_groups_find(&h->groups, name)->count);
    return true;
}

void wsg_hub_leave(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name)
{
    if (wsg_groups_leave(&h->groups, p, name) != WSB_OK)
        return;
    const struct wsg_group *left = wsg_groups_find(&h->groups, name);
    wsg_hub_tell_presence(h, WSB_LEFT, p, name, left ? left->count : 0);
}

void wsg_hub_leave_all(struct wsg_hub *h, struct wsg_pin *p)
{
    const struct wsg_member *m;
    while (h->presence_count && (m = wsg_groups_next_of(&h->groups, p, NULL)) != NULL) {
        char copy[WSG_GROUP_NAME_MAX]; /* the group may end with its last member */
        struct wsb_span name = wsg_group_name(m->group);
        memcpy(copy, name.ptr, name.len);
        wsg_hub_leave(h, p, wsb_span(copy, name.len));
    }
    wsg_groups_leave_all(p);
}

bool wsg_hub_set_user(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name)
{
    const struct wsg_member *old = wsg_groups_next_of(&h->users, p, NULL);
    if (old && wsb_span_eq(wsg_group_name(old->group), name))
        return true;
    if (name.len > WSG_GROUP_NAME_MAX)
        return false;
    if (old) {
        char copy[WSG_GROUP_NAME_MAX];
        struct wsb_span was = wsg_group_name(old->group);
        memcpy(copy, was.ptr, was.len);
        (void)!wsg_groups_leave(&h->users, p, wsb_span(copy, was.len));
    }
    return name.len == 0 || wsg_groups_join(&h->users, p, name) == WSB_OK;
}

static bool set_tag(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span name)
{
    wsb_err err = wsg_groups_join(&h->tags, p, name);
    return err == WSB_OK || err == WSB_ERR_EXISTS;
}

bool wsg_hub_tag(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_meta *m)
{
    bool ok = true;
    for (size_t i = 0; i < m->unset_count; i++)
        (void)!wsg_groups_leave(&h->tags, p, m->unset[i]); /* not having it is what was asked for */
    for (size_t i = 0; i < m->set_count; i++)
        ok = set_tag(h, p, m->set[i]) && ok;
    for (size_t i = 0; i < m->tag_count; i++)
        ok = set_tag(h, p, m->tags[i]) && ok;
    return (!m->user.ptr || wsg_hub_set_user(h, p, m->user)) && ok;
}

static struct wsb_span next_name(struct wsb_span *list)
{
    const uint8_t *end = memchr(list->ptr, 0, list->len);
    struct wsb_span name = wsb_span(list->ptr, end ? (size_t)(end - list->ptr) : list->len);
    size_t used = name.len + (end ? 1 : 0);
    *list = wsb_span(list->ptr + used, list->len - used);
    return name;
}

static void cannot_join(struct wsg_hub *h, const struct wsg_pin *p, struct wsb_span name)
{
    WSB_LOG_FEW(&h->lines.joins, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_WARN,
                "cannot join", WSB_KID("conn", p->conn), WSB_KSPAN("name", name));
}

void wsg_hub_join_listed(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span list)
{
    while (list.len) {
        struct wsb_span name = next_name(&list);
        if (!wsg_hub_join(h, p, name))
            cannot_join(h, p, name);
    }
}

struct wsb_span wsg_hub_take_user(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span list)
{
    if (list.len == 0)
        return list;
    struct wsb_span user = next_name(&list);
    if (!wsg_hub_set_user(h, p, user))
        cannot_join(h, p, user);
    return list;
}

/* --------------------------------------------------------------- who is meant */

static const struct wsg_group *group_of(const struct wsg_hub *h, const struct wsg_audience *a)
{
    switch (a->kind) {
    case WSG_TO_GROUP:
        return wsg_groups_find(&h->groups, a->name);
    case WSG_TO_USER:
        return wsg_groups_find(&h->users, a->name);
    case WSG_TO_TAG:
        return wsg_groups_find(&h->tags, a->name);
    case WSG_TO_ROUTE:
        return wsg_groups_find(&h->members, a->name);
    case WSG_TO_ALL:
        break;
    }
    return NULL;
}

/* Whom a search leaves out, and how many it has found. */
struct search {
    const struct wsg_meta *meta; /* borrowed; NULL: it excepts nobody */
    struct wsb_span user;
    uint32_t mark; /* of those that were found; 0: nobody can be found twice */
    size_t count;
};

static bool is_found_again(const struct search *s, struct wsg_pin *p)
{
    bool again = s->mark && p->gathering == s->mark;
    if (s->mark)
        p->gathering = s->mark;
    return again;
}

static bool gather_group(struct wsg_hub *h, const struct wsg_group *g, struct search *s)
{
    if (!g)
        return true;
    h->extra_work += g->count / TARGETS_A_UNIT;
    if (s->count + g->count > h->targets_cap) {
        size_t cap = (s->count + g->count) * 2;
        wsb_conn *targets = reallocarray(h->targets, cap, sizeof *targets);
        if (!targets)
            return false;
        h->targets = targets;
        h->targets_cap = cap;
    }
    for (size_t i = 0; i < g->count; i++) {
        struct wsg_pin *p = g->members[i]->pin;
        if (!wsg_pin_is_unaccepted(p) && !(s->meta && wsg_meta_excepts(s->meta, p->conn)) &&
            wsg_hub_allows(h, s->user, p->route) && !is_found_again(s, p))
            h->targets[s->count++] = p->conn;
    }
    return true;
}

static bool gather_audience(struct wsg_hub *h, const struct wsg_audience *to, struct search *s)
{
    if (to->kind != WSG_TO_ALL)
        return gather_group(h, group_of(h, to), s);
    for (const struct wsg_group *g = wsg_groups_next(&h->members, NULL); g; g = wsg_groups_next(&h->members, g)) {
        if (!gather_group(h, g, s))
            return false;
    }
    return true;
}

static uint32_t next_mark(struct wsg_hub *h)
{
    h->gathering += h->gathering == UINT32_MAX ? 2 : 1;
    return h->gathering;
}

bool wsg_hub_gather(struct wsg_hub *h, const struct wsg_audience *to, size_t to_count, const struct wsg_meta *meta,
                    struct wsb_span user, size_t *ret_count)
{
    struct search s = {.meta = meta, .user = user, .mark = to_count > 1 ? next_mark(h) : 0};
    *ret_count = 0;
    for (size_t i = 0; i < to_count; i++) {
        if (!gather_audience(h, &to[i], &s))
            return false;
    }
    *ret_count = s.count;
    return true;
}

void wsg_hub_list(struct wsg_hub *h, struct wsg_handler *to, uint64_t seq, const struct wsg_audience *of,
                  struct wsb_span user, uint32_t limit)
{
    static const char *const kinds[] = {"group", "user", "tag", "route", "all"};
    size_t total = 0;
    size_t at = 0;
    if (!wsg_hub_gather(h, of, 1, NULL, user, &total))
        total = 0;
    size_t count = total < limit ? total : limit;
    do {
        struct wsb_json j;
        size_t end = count - at < IDS_PER_LISTING ? count : at + IDS_PER_LISTING;
        wsb_buf_clear(&h->text);
        wsb_json_begin(&j, &h->text);
        wsb_json_object(&j);
        wsb_json_kstr(&j, kinds[of->kind], of->name);
        wsb_json_ku64(&j, "count", total);
        wsb_json_key(&j, "members");
        wsb_json_array(&j);
        for (; at < end; at++)
            wsb_json_id(&j, h->targets[at]);
        wsb_json_array_end(&j);
        wsb_json_object_end(&j);
        struct wsb_envelope e = {.header = {.type = WSB_MEMBERS,
                                            .flags = at < count ? WSB_FLAG_MORE : 0,
                                            .seq = seq,
                                            .time_ns = wsg_loop_wall_ns(h->loop)}};
        if (wsb_json_end(&j) == WSB_OK)
            e.meta = wsb_buf_span(&h->text);
        (void)wsg_hub_send(h, to, &e);
    } while (at < count);
}
