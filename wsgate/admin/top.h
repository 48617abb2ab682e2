#ifndef WSG_ADMIN_TOP_H
#define WSG_ADMIN_TOP_H

/*
 * The first so many connections by some order, out of any number that pass by: what is not among them is forgotten at once, so
 * memory is that of what is shown. A heap whose root is the last of those kept. Pure.
 */

#include "base/fault.h"
#include "gate/gate.h"

/* What numbers are sorted by comes with the largest first, a text with the smallest. The same rows by id, so that every order is one. */
enum wsg_sort {
    WSG_SORT_AGE, /* the oldest first */
    WSG_SORT_IDLE,
    WSG_SORT_MESSAGES, /* both ways */
    WSG_SORT_MESSAGES_IN,
    WSG_SORT_MESSAGES_OUT,
    WSG_SORT_BYTES, /* both ways */
    WSG_SORT_BYTES_IN,
    WSG_SORT_BYTES_OUT,
    WSG_SORT_QUEUED,
    WSG_SORT_DROPPED,
    WSG_SORT_RTT,
    WSG_SORT_HANDLER, /* its number; those without come first */
    WSG_SORT_ROUTE,
    WSG_SORT_PEER,
    WSG_SORT_SUBPROTOCOL,
    WSG_SORT_ID,
    WSG_SORTS
};

struct wsg_top_row {
    struct wsg_conn_info info;
    uint64_t handler; /* its number; 0: none */
};

struct wsg_top {
    enum wsg_sort by;
    bool reverse;
    size_t limit;             /* 0: all of them are kept */
    struct wsg_top_row *rows; /* owned */
    uint32_t *heap;           /* owned; indexes of rows */
    size_t count, cap;
    size_t unsorted; /* those at the beginning of `heap` that wsg_top_sort() has still to place */
};

/* By its name, such as "age"; a fault names all of them. */
WSB_MUST_CHECK wsb_err wsg_sort_parse(const char *name, enum wsg_sort *ret, struct wsb_fault *fault);

/* A zeroed one with by, reverse and limit set is empty. */
void wsg_top_deinit(struct wsg_top *t);

/* One more that passed by; it is copied if it is among the first. WSB_ERR_NOMEM: it is not in it, and the rest stays. */
WSB_MUST_CHECK wsb_err wsg_top_add(struct wsg_top *t, const struct wsg_conn_info *info, uint64_t handler);

/* After the last one: place up to `steps` of them. True when all are. */
bool wsg_top_sort(struct wsg_top *t, size_t steps);

/* After wsg_top_sort() has said that all are placed: the first, the second, … */
static inline const struct wsg_top_row *wsg_top_at(const struct wsg_top *t, size_t i)
{
    return &t->rows[t->heap[i]];
}

#endif
