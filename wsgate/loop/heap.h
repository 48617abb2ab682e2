#ifndef WSG_LOOP_HEAP_H
#define WSG_LOOP_HEAP_H

/* The timers of one loop: a binary heap of pointers, earliest first. Each timer knows its place, so it can be moved or
 * taken out without a search. No clock: the caller says what time it is. */

#include "loop/loop.h"

struct wsg_heap {
    struct wsg_timer **slots; /* owned array of borrowed timers; slots[0] is unused */
    size_t count;
    size_t cap;
};

void wsg_heap_deinit(struct wsg_heap *h);
WSB_MUST_CHECK wsb_err wsg_heap_set(struct wsg_heap *h, struct wsg_timer *t, uint64_t due_ms);
void wsg_heap_remove(struct wsg_heap *h, struct wsg_timer *t);
/* The earliest timer that is due, taken out; NULL when there is none. */
struct wsg_timer *wsg_heap_pop_due(struct wsg_heap *h, uint64_t now_ms);
/* Milliseconds until the earliest one; -1 when there is none. */
int wsg_heap_wait_ms(const struct wsg_heap *h, uint64_t now_ms);

#endif
