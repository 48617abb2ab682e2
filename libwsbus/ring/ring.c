/*
 * What a ring does seldom: begin, look at the other end's position, ask for room, release. What it does for each record is in
 * the header. Whatever the other end wrote is read once, judged, and only then used: a lie ends the ring and nothing else.
 */
#include "ring/ring.h"

#include <assert.h>

/* A position that is never passed: nobody asked for anything yet. */
#define NOWHERE UINT64_MAX

/* Is `position` one that a move from `before` to `now` has passed? Also true of what a liar asks for at most once a move. */
static bool is_passed(uint64_t position, uint64_t before, uint64_t now)
{
    return now - position - 1 < now - before;
}

/* ------------------------------------------------------------------- producing */

void wsb_ring_tx_init(struct wsb_ring_tx *t, uint8_t *data, uint64_t size, uint64_t key, struct wsb_ring_words *mine,
                      const struct wsb_ring_words *peers)
{
    assert(wsb_ring_is_size(size));
    *t = (struct wsb_ring_tx){.data = data, .mine = mine, .peers = peers, .size = size, .key = key};
    atomic_store_explicit(&mine->space_at, NOWHERE, memory_order_relaxed);
    atomic_store_explicit(&mine->tail, 0, memory_order_relaxed);
}

wsb_err wsb_ring_look(struct wsb_ring_tx *t)
{
    /* Acquire: what the consumer has read before it released is read before we write over it. */
    uint64_t head = atomic_load_explicit(&t->peers->head, memory_order_acquire);
    if (head - t->head > t->tail - t->head || head % WSB_RING_ALIGN)
        return WSB_ERR_PROTO;
    t->head = head;
    if (!t->holds)
        t->floor = head;
    return WSB_OK;
}

wsb_err wsb_ring_want_room(struct wsb_ring_tx *t, size_t len)
{
    uint64_t need = wsb_ring_size_of(len);
    assert(need <= t->size / 4);
    if (need > wsb_ring_room(t)) {
        /* The head must come to tail + need - size, so it must pass the byte before. Ask first and look then: either we see that
         * it is there already, or who brings it there sees that we asked. */
        atomic_store_explicit(&t->mine->space_at, t->tail + need - t->size - 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
        wsb_err err = wsb_ring_look(t);
        if (err)
            return err;
    }
    return need > wsb_ring_room(t) ? WSB_AGAIN : WSB_OK;
}

/* ------------------------------------------------------------------- consuming */

void wsb_ring_rx_init(struct wsb_ring_rx *r, const uint8_t *data, uint64_t size, uint64_t key,
                      struct wsb_ring_words *mine, const struct wsb_ring_words *peers)
{
    assert(wsb_ring_is_size(size));
    *r = (struct wsb_ring_rx){.data = data, .mine = mine, .peers = peers, .size = size, .key = key};
    atomic_store_explicit(&mine->wake_at, NOWHERE, memory_order_relaxed);
    atomic_store_explicit(&mine->head, 0, memory_order_relaxed);
}

bool wsb_ring_release(struct wsb_ring_rx *r, uint64_t position)
{
    uint64_t before = r->released;
    assert(position - before <= r->at - before);
    if (position == before)
        return false;
    r->released = position;
    atomic_store_explicit(&r->mine->head, position, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); /* as in wsb_ring_tell(): who asks after this sees the head */
    return is_passed(atomic_load_explicit(&r->peers->space_at, memory_order_relaxed), before, position);
}
