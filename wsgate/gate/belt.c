/* A ring between two threads that trust each other: a long load goes as what it is, a piece of memory with an owner. */
#include "gate/belt.h"

#include <stdlib.h>

enum {
    RING = 256 << 10,
    COPY_MAX = 32 << 10, /* bytes that are cheaper to copy than to allocate again */
    HEAD = 8             /* length, and whether it is a piece of memory */
};

/* In the ring, behind its length. */
struct moved {
    struct wsb_buf buf;
};

wsb_err wsg_belt_open(struct wsg_belt *b, struct wsb_fault *fault)
{
    *b = (struct wsg_belt){.region.fd = -1};
    wsb_err err = wsb_region_new("wsbus-belt", RING, &b->region, fault);
    if (err)
        return err;
    wsb_region_close_fd(&b->region);
    b->consumer = aligned_alloc(_Alignof(struct wsb_ring_words), sizeof *b->consumer);
    if (!b->consumer) {
        wsb_region_deinit(&b->region);
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    }
    memset(b->consumer, 0, sizeof *b->consumer);
    wsb_ring_tx_init(&b->tx, wsb_region_data(&b->region), RING, 0, wsb_region_words(&b->region), b->consumer);
    wsb_ring_rx_init(&b->rx, wsb_region_data(&b->region), RING, 0, b->consumer, wsb_region_words(&b->region));
    return WSB_OK;
}

void wsg_belt_close(struct wsg_belt *b)
{
    struct wsb_span rest;
    if (!b->region.base)
        return;
    while (wsg_belt_next(b, &rest))
        wsg_belt_done(b);
    wsb_region_deinit(&b->region);
    free(b->consumer);
    b->consumer = NULL;
}

/* ------------------------------------------------------------------------ producer */

static uint8_t *reserve(struct wsg_belt *b, size_t len)
{
    uint8_t *at = wsb_ring_reserve(&b->tx, len);
    if (!at && wsb_ring_look(&b->tx) == WSB_OK)
        at = wsb_ring_reserve(&b->tx, len);
    return at;
}

bool wsg_belt_put(struct wsg_belt *b, struct wsb_buf *load)
{
    bool moves = load->len > COPY_MAX;
    size_t len = HEAD + (moves ? sizeof(struct moved) : load->len);
    uint8_t *at = reserve(b, len);
    if (!at)
        return false;
    const uint32_t head[2] = {htole32((uint32_t)len), moves};
    memcpy(at, head, sizeof head);
    if (moves) {
        const struct moved m = {*load};
        memcpy(at + HEAD, &m, sizeof m);
        wsb_buf_init(load, m.buf.max);
    } else {
        memcpy(at + HEAD, load->data, load->len);
        wsb_buf_clear(load);
    }
    wsb_ring_commit(&b->tx, len);
    return true;
}

bool wsg_belt_is_empty(struct wsg_belt *b)
{
    return wsb_ring_look(&b->tx) == WSB_OK && b->tx.head == b->tx.tail;
}

bool wsg_belt_tell(struct wsg_belt *b)
{
    return wsb_ring_tell(&b->tx);
}

/* --------------------------------------------------------------------------- consumer */

bool wsg_belt_next(struct wsg_belt *b, struct wsb_span *ret)
{
    struct wsb_span body;
    uint32_t moves;
    if (wsb_ring_next(&b->rx, &body) != WSB_OK)
        return false;
    memcpy(&moves, body.ptr + 4, sizeof moves);
    if (moves) {
        struct moved m;
        memcpy(&m, body.ptr + HEAD, sizeof m);
        b->taken = m.buf;
        *ret = wsb_buf_span(&b->taken);
    } else {
        *ret = wsb_span(body.ptr + HEAD, body.len - HEAD);
    }
    return true;
}

void wsg_belt_done(struct wsg_belt *b)
{
    wsb_buf_deinit(&b->taken);
    (void)wsb_ring_release(&b->rx, b->rx.at); /* whoever waits for room is told by other means */
}

bool wsg_belt_has_next(const struct wsg_belt *b)
{
    return wsb_ring_has_next(&b->rx);
}

bool wsg_belt_may_sleep(struct wsg_belt *b)
{
    return wsb_ring_may_sleep(&b->rx);
}
