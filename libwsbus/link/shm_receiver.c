/* Records out of a ring. A message in parts takes as much memory as has arrived of it, never what its beginning claims. */
#include "link/shm_receiver.h"

#include "base/size.h"
#include "link/shm_wire.h"
#include "wire/envelope.h"

enum { PART_HEAD = 8, KEEP = 64 << 10 /* bytes of a buffer that is not given back */ };

void wsb_receiver_init(struct wsb_receiver *r, const uint8_t *data, uint64_t size, uint64_t key,
                       struct wsb_ring_words *mine, const struct wsb_ring_words *peers, size_t max)
{
    *r = (struct wsb_receiver){0};
    wsb_ring_rx_init(&r->ring, data, size, key, mine, peers);
    wsb_buf_init(&r->parts, max);
}

void wsb_receiver_deinit(struct wsb_receiver *r)
{
    wsb_buf_deinit(&r->parts);
}

static void begin_anew(struct wsb_receiver *r)
{
    size_t max = r->parts.max;
    r->is_over = false;
    if (r->parts.cap <= KEEP) {
        wsb_buf_clear(&r->parts);
        return;
    }
    wsb_buf_deinit(&r->parts);
    wsb_buf_init(&r->parts, max);
}

wsb_err wsb_receiver_next(struct wsb_receiver *r, struct wsb_span *ret, bool *ret_is_shared)
{
    if (r->is_over)
        begin_anew(r);
    for (;;) {
        struct wsb_span body;
        uint32_t kind;
        wsb_err err = wsb_ring_next(&r->ring, &body);
        if (err)
            return err;
        if (body.len < PART_HEAD)
            return WSB_ERR_PROTO;
        memcpy(&kind, body.ptr + 4, sizeof kind);
        kind = le32toh(kind);
        if (!(kind & WSB_SHM_PART)) {
            if (r->parts.len)
                return WSB_ERR_PROTO;                        /* in the middle of another */
            *ret = wsb_span(body.ptr, wsb_align8(body.len)); /* padding included, as in a batch */
            *ret_is_shared = true;
            return WSB_OK;
        }
        err = wsb_buf_append(&r->parts, body.ptr + PART_HEAD, body.len - PART_HEAD);
        if (err)
            return err;
        if (kind & WSB_SHM_PART_LAST) {
            r->is_over = true;
            *ret = wsb_buf_span(&r->parts);
            *ret_is_shared = false;
            return WSB_OK;
        }
    }
}
