#ifndef WSB_API_FENCE_H
#define WSB_API_FENCE_H

/*
 * The connections that the gate has taken away and whose REVOKED the program has not read yet: how many such messages wait
 * for each. They are bounded by the inbox that holds those messages.
 *
 * Threads   one at a time
 */

#include <stdbool.h>
#include <stddef.h>

#include "wsbus/msg.h"

struct wsb_fence_place {
    wsb_conn conn; /* 0 is free */
    size_t unread;
};

struct wsb_fence {
    struct wsb_fence_place *places; /* owned */
    size_t count;
    size_t mask; /* places - 1, or 0 when there are none */
};

void wsb_fence_deinit(struct wsb_fence *f);
/* One more REVOKED has come. Cannot fail: without memory the gate, which refuses such writes as well, is alone with it. */
void wsb_fence_add(struct wsb_fence *f, wsb_conn conn);
/* One of them has been read. */
void wsb_fence_take(struct wsb_fence *f, wsb_conn conn);
bool wsb_fence_has(const struct wsb_fence *f, wsb_conn conn);

#endif
