/* Counts by connection: open addressing, linear probing, and removal that closes the gap. Empty nearly always. */
#include "api/fence.h"

#include <stdlib.h>

enum { FIRST_PLACES = 64 };

static size_t home_of(const struct wsb_fence *f, wsb_conn conn)
{
    return (size_t)((conn * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & f->mask;
}

/* Where the connection is, or the free place where it would be. */
static size_t find(const struct wsb_fence *f, wsb_conn conn)
{
    size_t i = home_of(f, conn);
    while (f->places[i].conn && f->places[i].conn != conn)
        i = (i + 1) & f->mask;
    return i;
}

static bool grow(struct wsb_fence *f)
{
    struct wsb_fence bigger = {.count = f->count, .mask = f->mask ? f->mask * 2 + 1 : FIRST_PLACES - 1};
    bigger.places = calloc(bigger.mask + 1, sizeof *bigger.places);
    if (!bigger.places)
        return false;
    for (size_t i = 0; f->places && i <= f->mask; i++) {
        if (f->places[i].conn)
            bigger.places[find(&bigger, f->places[i].conn)] = f->places[i];
    }
    free(f->places);
    *f = bigger;
    return true;
}

void wsb_fence_deinit(struct wsb_fence *f)
{
    free(f->places);
    *f = (struct wsb_fence){0};
}

bool wsb_fence_has(const struct wsb_fence *f, wsb_conn conn)
{
    return f->count && f->places[find(f, conn)].conn == conn;
}

void wsb_fence_add(struct wsb_fence *f, wsb_conn conn)
{
    bool is_there = wsb_fence_has(f, conn);
    if (!is_there && (f->count + 1) * 4 > (f->places ? f->mask + 1 : 0) * 3 && !grow(f))
        return;
    struct wsb_fence_place *place = &f->places[find(f, conn)];
    place->conn = conn;
    place->unread++;
    f->count += !is_there;
}

void wsb_fence_take(struct wsb_fence *f, wsb_conn conn)
{
    if (!wsb_fence_has(f, conn))
        return;
    size_t gap = find(f, conn);
    if (--f->places[gap].unread)
        return;
    if (--f->count == 0) { /* what many of them needed is not kept */
        wsb_fence_deinit(f);
        return;
    }
    for (size_t i = (gap + 1) & f->mask; f->places[i].conn; i = (i + 1) & f->mask) {
        if (((i - home_of(f, f->places[i].conn)) & f->mask) >= ((i - gap) & f->mask)) { /* may stand at the gap */
            f->places[gap] = f->places[i];
            gap = i;
        }
    }
    f->places[gap] = (struct wsb_fence_place){0};
}
