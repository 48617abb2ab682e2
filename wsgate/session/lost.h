#ifndef WSG_SESSION_LOST_H
#define WSG_SESSION_LOST_H

/*
 * Connections of which something could not be kept for want of memory: an event for the hub, or a command of it. There must be no hole in
 * what a client or a handler hears, so these connections are ended. The list itself needs no memory; when it is full, all of the
 * worker's are meant.
 *
 * Threads   any
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "wsbus/msg.h"

enum { WSG_LOST_MAX = 256 };

struct wsg_lost {
    pthread_mutex_t lock;
    _Atomic bool any;
    bool all;
    size_t count;
    wsb_conn ids[WSG_LOST_MAX];
};

void wsg_lost_init(struct wsg_lost *l);
void wsg_lost_deinit(struct wsg_lost *l);
void wsg_lost_note(struct wsg_lost *l, const wsb_conn *ids, size_t count);
/* Empty the list into `ids`, of WSG_LOST_MAX. Returns how many; *ret_all: all of the worker's, and no ids. */
size_t wsg_lost_take(struct wsg_lost *l, wsb_conn *ids, bool *ret_all);

static inline bool wsg_lost_has(const struct wsg_lost *l)
{
    return atomic_load_explicit(&l->any, memory_order_acquire);
}

#endif
