/*
 * Commands on their way to the gate. They are gathered as records in one block, which leaves as one BATCH: one ZeroMQ
 * message costs as much as many records. The block and what ZeroMQ still holds of those before it are charged to one
 * account, and that is what the limit is about.
 */
#include <stdlib.h>

#include "api/handle.h"
#include "base/size.h"

enum {
    BATCH_MAX = 256 << 10,
    BATCH_MIN = 512,
    DIRECT_MAX = 64 << 10, /* payloads for which the rest need not be asked */
    OWN_ROOM = 1 << 20     /* bytes above the limit for what the library has to say */
};

static enum wsb_reason send_block(struct wsb_handle *h, struct wsb_header header, struct wsb_block *block,
                                  struct wsb_span meta)
{
    header.payload_len = (uint32_t)block->len;
    header.flags = (uint8_t)(meta.len ? header.flags | WSB_FLAG_META : header.flags);
    return wsb_reason_of(h->link->ops->send(h->link, &header, block, meta));
}

enum wsb_reason wsb_outbox_flush(struct wsb_handle *h)
{
    struct wsb_block *batch = h->batch;
    if (h->serving == WSB_SERVING_UNSURE) /* it waits for the WELCOME */
        return WSB_REASON_OK;
    if (!batch) {
        wsb_client_flush(h->link);
        return WSB_REASON_OK;
    }
    h->batch = NULL;
    h->usual_batch = batch->len;
    return send_block(h, (struct wsb_header){.type = WSB_BATCH}, batch, wsb_span(NULL, 0));
}

void wsb_outbox_drop(struct wsb_handle *h)
{
    wsb_block_free(h->batch);
    h->batch = NULL;
}

void wsb_outbox_drop_fenced(struct wsb_handle *h)
{
    if (!h->batch)
        return;
    struct wsb_span rest = wsb_span(h->batch->data, h->batch->len);
    struct wsb_envelope e;
    size_t kept = 0;
    for (const uint8_t *from = rest.ptr; wsb_record_next(&rest, &e) == WSB_OK; from = rest.ptr) {
        size_t size = (size_t)(rest.ptr - from);
        if (e.header.conn && wsb_fence_has(&h->fence, e.header.conn)) {
            wsb_finish_waiter(h, e.header.seq, WSB_REASON_STALE);
        } else {
            memmove(h->batch->data + kept, from, size);
            kept += size;
        }
    }
    h->batch->len = kept;
    if (!kept)
        wsb_outbox_drop(h);
}

static enum wsb_reason send_alone(struct wsb_handle *h, const struct wsb_header *header, struct wsb_span payload,
                                  struct wsb_span meta)
{
    struct wsb_block *block = wsb_block_new(h->account, payload.len);
    if (!block)
        return WSB_REASON_NOMEM;
    if (payload.len)
        memcpy(block->data, payload.ptr, payload.len);
    block->len = payload.len;
    return send_block(h, *header, block, meta);
}

enum wsb_reason wsb_send_control(struct wsb_handle *h, const struct wsb_header *header, struct wsb_span payload,
                                 struct wsb_span meta)
{
    if (wsb_account_bytes(h->account) > h->out_limit)
        return WSB_REASON_FULL;
    return send_alone(h, header, payload, meta);
}

static bool make_room(struct wsb_handle *h, size_t more)
{
    if (!h->batch) {
        size_t cap = h->usual_batch > BATCH_MIN ? h->usual_batch : BATCH_MIN;
        h->batch = wsb_block_new(h->account, cap > more ? cap : more);
        return h->batch != NULL;
    }
    size_t need = h->batch->len + more;
    if (need <= h->batch->cap)
        return true;
    struct wsb_block *bigger = wsb_block_grow(h->batch, need > h->batch->cap * 2 ? need : h->batch->cap * 2);
    if (bigger)
        h->batch = bigger;
    return bigger != NULL;
}

/* Where the link takes messages one by one for nothing, and none waits in front of it. */
static bool put_directly(struct wsb_handle *h, const struct wsb_header *header, struct wsb_span payload,
                         struct wsb_span meta)
{
    return h->link->ops->put && !h->batch && h->serving == WSB_SERVING_YES &&
           h->link->ops->put(h->link, header, payload, meta);
}

static enum wsb_reason append(struct wsb_handle *h, const struct wsb_header *header, struct wsb_span payload,
                              struct wsb_span meta, size_t size)
{
    if (put_directly(h, header, payload, meta))
        return WSB_REASON_OK;
    bool fits = !h->batch || h->batch->len + size <= BATCH_MAX;
    if (!fits && h->serving == WSB_SERVING_UNSURE)
        return WSB_REASON_FULL;
    enum wsb_reason reason = fits ? WSB_REASON_OK : wsb_outbox_flush(h);
    if (reason)
        return reason;
    if (!make_room(h, size))
        return WSB_REASON_NOMEM;
    struct wsb_header full = *header;
    full.payload_len = (uint32_t)payload.len;
    full.flags = (uint8_t)(meta.len ? full.flags | WSB_FLAG_META : full.flags);
    uint8_t *place;
    wsb_record_begin(h->batch->data + h->batch->len, &full, meta, &place);
    if (payload.len)
        memcpy(place, payload.ptr, payload.len);
    h->batch->len += size;
    return WSB_REASON_OK;
}

bool wsb_is_in_round(const struct wsb_handle *h)
{
    return h->round_of && h->round_of == wsb_thread_number();
}

static enum wsb_reason check_room(const struct wsb_handle *h, size_t size, size_t room)
{
    size_t total;
    size_t most;
    if (!wsb_is_registered(h))
        return WSB_REASON_GATE_GONE;
    if (wsb_account_bytes(h->account) == 0)
        return WSB_REASON_OK; /* when nothing waits there is room for one, however large: there will never be more */
    if (!wsb_size_add(wsb_account_bytes(h->account), size, &total) || !wsb_size_add(h->out_limit, room, &most))
        return WSB_REASON_FULL;
    return total > most ? WSB_REASON_FULL : WSB_REASON_OK;
}

enum wsb_reason wsb_put_own(struct wsb_handle *h, const struct wsb_header *header, struct wsb_span payload,
                            struct wsb_span meta)
{
    size_t size = wsb_record_size(payload.len, meta.len);
    enum wsb_reason reason = check_room(h, size, OWN_ROOM);
    return reason ? reason : append(h, header, payload, meta, size);
}

enum wsb_reason wsb_put(struct wsb_handle *h, const struct wsb_header *header, struct wsb_span payload,
                        struct wsb_span meta)
{
    if (payload.len <= DIRECT_MAX && meta.len == 0 && put_directly(h, header, payload, meta))
        return wsb_is_in_round(h) ? WSB_REASON_OK : wsb_outbox_flush(h); /* nothing of it waits here */
    size_t size = wsb_record_size(payload.len, meta.len);
    if (!size || meta.len > WSB_META_MAX)
        return WSB_REASON_TOO_BIG;
    enum wsb_reason reason = check_room(h, size, 0);
    if (reason)
        return reason;
    if (size <= BATCH_MAX) {
        reason = append(h, header, payload, meta, size);
        return reason || wsb_is_in_round(h) ? reason : wsb_outbox_flush(h);
    }
    if (h->serving == WSB_SERVING_UNSURE)
        return WSB_REASON_FULL;
    /* A large one gains nothing from a batch, and order is kept by sending what is before it. */
    reason = wsb_outbox_flush(h);
    return reason ? reason : send_alone(h, header, payload, meta);
}
