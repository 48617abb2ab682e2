/* The timer heap. */
#include "loop/heap.h"

#include <limits.h>
#include <stdlib.h>

static void place(struct wsg_heap *h, size_t at, struct wsg_timer *t)
{
    h->slots[at] = t;
    t->heap_index = at;
}

static void sift_up(struct wsg_heap *h, size_t at)
{
    struct wsg_timer *t = h->slots[at];
    while (at > 1 && h->slots[at / 2]->due_ms > t->due_ms) {
        place(h, at, h->slots[at / 2]);
        at /= 2;
    }
    place(h, at, t);
}

static void sift_down(struct wsg_heap *h, size_t at)
{
    struct wsg_timer *t = h->slots[at];
    for (;;) {
        size_t child = at * 2;
        if (child > h->count)
            break;
        if (child < h->count && h->slots[child + 1]->due_ms < h->slots[child]->due_ms)
            child++;
        if (h->slots[child]->due_ms >= t->due_ms)
            break;
        place(h, at, h->slots[child]);
        at = child;
    }
    place(h, at, t);
}

void wsg_heap_deinit(struct wsg_heap *h)
{
    free(h->slots);
    *h = (struct wsg_heap){0};
}

wsb_err wsg_heap_set(struct wsg_heap *h, struct wsg_timer *t, uint64_t due_ms)
{
    if (t->heap_index) {
        t->due_ms = due_ms;
        sift_up(h, t->heap_index);
        sift_down(h, t->heap_index);
        return WSB_OK;
    }
    if (h->count + 1 >= h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 64;
        struct wsg_timer **slots = realloc(h->slots, cap * sizeof *slots);
        if (!slots)
            return WSB_ERR_NOMEM;
        h->slots = slots;
        h->cap = cap;
    }
    t->due_ms = due_ms;
    h->count++;
    place(h, h->count, t);
    sift_up(h, h->count);
    return WSB_OK;
}

void wsg_heap_remove(struct wsg_heap *h, struct wsg_timer *t)
{
    size_t at = t->heap_index;
    if (!at)
        return;
    struct wsg_timer *last = h->slots[h->count--];
    t->heap_index = 0;
    if (last == t)
        return;
    place(h, at, last);
    sift_up(h, at);
    sift_down(h, last->heap_index);
}

struct wsg_timer *wsg_heap_pop_due(struct wsg_heap *h, uint64_t now_ms)
{
    if (h->count == 0 || h->slots[1]->due_ms > now_ms)
        return NULL;
    struct wsg_timer *t = h->slots[1];
    wsg_heap_remove(h, t);
    return t;
}

int wsg_heap_wait_ms(const struct wsg_heap *h, uint64_t now_ms)
{
    if (h->count == 0)
        return -1;
    uint64_t due = h->slots[1]->due_ms;
    if (due <= now_ms)
        return 0;
    return due - now_ms > INT_MAX ? INT_MAX : (int)(due - now_ms);
}
