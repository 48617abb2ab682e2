/* A short list under a lock: it is used only where there is no memory. */
#include "session/lost.h"

#include <string.h>

void wsg_lost_init(struct wsg_lost *l)
{
    (void)pthread_mutex_init(&l->lock, NULL);
    l->count = 0;
    l->all = false;
    atomic_init(&l->any, false);
}

void wsg_lost_deinit(struct wsg_lost *l)
{
    (void)pthread_mutex_destroy(&l->lock);
}

void wsg_lost_note(struct wsg_lost *l, const wsb_conn *ids, size_t count)
{
    pthread_mutex_lock(&l->lock);
    if (count > WSG_LOST_MAX - l->count)
        l->all = true;
    else if (count)
        memcpy(l->ids + l->count, ids, count * sizeof *ids);
    l->count += l->all ? 0 : count;
    atomic_store_explicit(&l->any, true, memory_order_release);
    pthread_mutex_unlock(&l->lock);
}

size_t wsg_lost_take(struct wsg_lost *l, wsb_conn *ids, bool *ret_all)
{
    pthread_mutex_lock(&l->lock);
    size_t count = l->all ? 0 : l->count;
    *ret_all = l->all;
    memcpy(ids, l->ids, count * sizeof *ids);
    l->count = 0;
    l->all = false;
    atomic_store_explicit(&l->any, false, memory_order_release);
    pthread_mutex_unlock(&l->lock);
    return count;
}
