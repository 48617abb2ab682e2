/* The first so many connections by some order. */
#include "admin/top.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[WSG_SORTS] = {
    "age",    "idle",    "messages", "messages_in", "messages_out", "bytes", "bytes_in",    "bytes_out",
    "queued", "dropped", "rtt",      "handler",     "route",        "peer",  "subprotocol", "id",
};

wsb_err wsg_sort_parse(const char *name, enum wsg_sort *ret, struct wsb_fault *fault)
{
    char all[160] = "";
    size_t at = 0;
    for (int i = 0; i < WSG_SORTS; i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum wsg_sort)i;
            return WSB_OK;
        }
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? ", " : "", names[i]);
    }
    return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "\"sort\" must be one of %s", all);
}

/* ------------------------------------------------------------------ order */

static uint64_t number_of(enum wsg_sort by, const struct wsg_top_row *r)
{
    const struct wsg_conn_info *c = &r->info;
    switch (by) {
    case WSG_SORT_AGE: /* not age_ms, which depends on when one looks */
        return UINT64_MAX - c->opened_ms;
    case WSG_SORT_IDLE:
        return UINT64_MAX - c->active_ms;
    case WSG_SORT_MESSAGES:
        return c->messages_in + c->messages_out;
    case WSG_SORT_MESSAGES_IN:
        return c->messages_in;
    case WSG_SORT_MESSAGES_OUT:
        return c->messages_out;
    case WSG_SORT_BYTES:
        return c->bytes_in + c->bytes_out;
    case WSG_SORT_BYTES_IN:
        return c->bytes_in;
    case WSG_SORT_BYTES_OUT:
        return c->bytes_out;
    case WSG_SORT_QUEUED:
        return c->queued;
    case WSG_SORT_DROPPED:
        return c->dropped_out;
    case WSG_SORT_RTT:
        return c->rtt_us;
    case WSG_SORT_HANDLER: /* numbers of handlers are names: the smallest first, as texts */
        return UINT64_MAX - r->handler;
    default:
        return 0;
    }
}

static int compare_texts(enum wsg_sort by, const struct wsg_conn_info *a, const struct wsg_conn_info *b)
{
    switch (by) {
    case WSG_SORT_ROUTE:
        return strcmp(a->route, b->route);
    case WSG_SORT_PEER:
        return strcmp(a->peer, b->peer);
    case WSG_SORT_SUBPROTOCOL:
        return strcmp(a->subprotocol, b->subprotocol);
    default:
        return 0;
    }
}

/* Does `a` come before `b`? Of two different connections exactly one does. */
static bool is_before(const struct wsg_top *t, const struct wsg_top_row *a, const struct wsg_top_row *b)
{
    uint64_t x = number_of(t->by, a);
    uint64_t y = number_of(t->by, b);
    int order = x > y ? -1 : x < y ? 1 : compare_texts(t->by, &a->info, &b->info);
    if (t->by == WSG_SORT_ID)
        order = a->info.id < b->info.id ? -1 : a->info.id > b->info.id ? 1 : 0;
    if (t->reverse)
        order = -order;
    return order ? order < 0 : a->info.id < b->info.id;
}

/* ------------------------------------------------------------------- heap */

static bool is_after(const struct wsg_top *t, uint32_t a, uint32_t b)
{
    return is_before(t, &t->rows[b], &t->rows[a]);
}

static void swap(uint32_t *a, uint32_t *b)
{
    uint32_t other = *a;
    *a = *b;
    *b = other;
}

static void sift_up(struct wsg_top *t, size_t at)
{
    while (at > 0 && is_after(t, t->heap[at], t->heap[(at - 1) / 2])) {
        swap(&t->heap[at], &t->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct wsg_top *t, size_t count)
{
    size_t at = 0;
    for (;;) {
        size_t last = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            if (is_after(t, t->heap[child], t->heap[last]))
                last = child;
        }
        if (last == at)
            return;
        swap(&t->heap[at], &t->heap[last]);
        at = last;
    }
}

static wsb_err make_room(struct wsg_top *t)
{
    if (t->count < t->cap)
        return WSB_OK;
    size_t cap = t->cap ? t->cap * 2 : 64;
    if (t->limit && cap > t->limit)
        cap = t->limit;
    struct wsg_top_row *rows = reallocarray(t->rows, cap, sizeof *rows);
    if (rows)
        t->rows = rows;
    uint32_t *heap = rows ? reallocarray(t->heap, cap, sizeof *heap) : NULL;
    if (!heap)
        return WSB_ERR_NOMEM; /* the larger rows are no harm */
    t->heap = heap;
    t->cap = cap;
    return WSB_OK;
}

void wsg_top_deinit(struct wsg_top *t)
{
    free(t->rows);
    free(t->heap);
    t->rows = NULL;
    t->heap = NULL;
    t->count = t->cap = t->unsorted = 0;
}

wsb_err wsg_top_add(struct wsg_top *t, const struct wsg_conn_info *info, uint64_t handler)
{
    const struct wsg_top_row row = {*info, handler};
    assert(t->unsorted == t->count); /* nothing comes after it was sorted */
    if (t->limit && t->count == t->limit) {
        if (is_before(t, &row, &t->rows[t->heap[0]])) {
            t->rows[t->heap[0]] = row;
            sift_down(t, t->count);
        }
        return WSB_OK;
    }
    if (t->count == UINT32_MAX || make_room(t) != WSB_OK)
        return WSB_ERR_NOMEM;
    t->rows[t->count] = row;
    t->heap[t->count] = (uint32_t)t->count;
    t->unsorted = ++t->count;
    sift_up(t, t->count - 1);
    return WSB_OK;
}

/* Heapsort: the last of all goes to the end, then the last of the rest. */
bool wsg_top_sort(struct wsg_top *t, size_t steps)
{
    for (; steps && t->unsorted > 1; steps--) {
        swap(&t->heap[0], &t->heap[--t->unsorted]);
        sift_down(t, t->unsorted);
    }
    return t->unsorted <= 1;
}
