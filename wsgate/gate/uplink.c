/* A ring between two threads that trust each other: a long outbox goes as what it is, a piece of memory with an owner. */
#include "gate/uplink.h"

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

wsb_err wsg_uplink_open(struct wsg_uplink *u, struct wsb_fault *fault)
{
    *u = (struct wsg_uplink){.region.fd = -1};
    wsb_err err = wsb_region_new("wsbus-uplink", RING, &u->region, fault);
    if (err)
        return err;
    wsb_region_close_fd(&u->region);
    u->consumer = aligned_alloc(_Alignof(struct wsb_ring_words), sizeof *u->consumer);
    if (!u->consumer) {
        wsb_region_deinit(&u->region);
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    }
    memset(u->consumer, 0, sizeof *u->consumer);
    wsb_ring_tx_init(&u->tx, wsb_region_data(&u->region), RING, 0, wsb_region_words(&u->region), u->consumer);
    wsb_ring_rx_init(&u->rx, wsb_region_data(&u->region), RING, 0, u->consumer, wsb_region_words(&u->region));
    return WSB_OK;
}

void wsg_uplink_close(struct wsg_uplink *u)
{
    struct wsb_span rest;
    if (!u->region.base)
        return;
    while (wsg_uplink_next(u, &rest))
        wsg_uplink_done(u);
    wsb_region_deinit(&u->region);
    free(u->consumer);
    u->consumer = NULL;
}

/* ------------------------------------------------------------------------ worker */

static uint8_t *reserve(struct wsg_uplink *u, size_t len)
{
    uint8_t *at = wsb_ring_reserve(&u->tx, len);
    if (!at && wsb_ring_look(&u->tx) == WSB_OK)
        at = wsb_ring_reserve(&u->tx, len);
    return at;
}

bool wsg_uplink_put(struct wsg_uplink *u, struct wsb_buf *outbox)
{
    bool moves = outbox->len > COPY_MAX;
    size_t len = HEAD + (moves ? sizeof(struct moved) : outbox->len);
    uint8_t *at = reserve(u, len);
    if (!at)
        return false;
    const uint32_t head[2] = {htole32((uint32_t)len), moves};
    memcpy(at, head, sizeof head);
    if (moves) {
        const struct moved m = {*outbox};
        memcpy(at + HEAD, &m, sizeof m);
        wsb_buf_init(outbox, m.buf.max);
    } else {
        memcpy(at + HEAD, outbox->data, outbox->len);
        wsb_buf_clear(outbox);
    }
    wsb_ring_commit(&u->tx, len);
    return true;
}

bool wsg_uplink_is_empty(struct wsg_uplink *u)
{
    return wsb_ring_look(&u->tx) == WSB_OK && u->tx.head == u->tx.tail;
}

bool wsg_uplink_tell(struct wsg_uplink *u)
{
    return wsb_ring_tell(&u->tx);
}

/* --------------------------------------------------------------------------- hub */

bool wsg_uplink_next(struct wsg_uplink *u, struct wsb_span *ret)
{
    struct wsb_span body;
    uint32_t moves;
    if (wsb_ring_next(&u->rx, &body) != WSB_OK)
        return false;
    memcpy(&moves, body.ptr + 4, sizeof moves);
    if (moves) {
        struct moved m;
        memcpy(&m, body.ptr + HEAD, sizeof m);
        u->taken = m.buf;
        *ret = wsb_buf_span(&u->taken);
    } else {
        *ret = wsb_span(body.ptr + HEAD, body.len - HEAD);
    }
    return true;
}

void wsg_uplink_done(struct wsg_uplink *u)
{
    wsb_buf_deinit(&u->taken);
    (void)wsb_ring_release(&u->rx, u->rx.at); /* whoever waits for room is told by other means */
}

bool wsg_uplink_may_sleep(struct wsg_uplink *u)
{
    return wsb_ring_may_sleep(&u->rx);
}
