/* The outbox: a prefix of our own in front of each bus record. It never leaves the process, so it is trusted. */
#include "session/outbox.h"

#include <assert.h>

struct prefix {
    uint64_t origin_or_key; /* of a reply; of an event */
    wsg_place place;
    uint16_t route;
    uint8_t kind;
    uint8_t is_idempotent;
};

void wsg_outbox_init(struct wsg_outbox *o, size_t max)
{
    *o = (struct wsg_outbox){0};
    wsb_buf_init(&o->buf, max);
}

void wsg_outbox_deinit(struct wsg_outbox *o)
{
    wsb_buf_deinit(&o->buf);
}

wsb_err wsg_outbox_begin(struct wsg_outbox *o, const struct wsg_out *entry, uint8_t **ret_payload)
{
    const struct wsb_envelope *e = &entry->envelope;
    struct prefix p = {.origin_or_key = entry->kind == WSG_OUT_REPLY ? entry->origin : entry->key,
                       .place = entry->place,
                       .route = entry->route,
                       .kind = (uint8_t)entry->kind,
                       .is_idempotent = entry->is_idempotent};
    size_t size = wsb_record_size(e->header.payload_len, e->meta.len);
    assert(o->begun == 0);
    if (!size || e->meta.len > WSB_META_MAX) /* whoever reads it would refuse it, and all behind it */
        return WSB_ERR_LIMIT;
    wsb_err err = wsb_buf_reserve(&o->buf, sizeof p + size);
    if (err)
        return err;
    struct wsb_header h = e->header;
    o->has_data = o->has_data || (entry->kind == WSG_OUT_EVENT && h.type == WSB_DATA);
    h.flags = (uint8_t)(e->meta.len ? h.flags | WSB_FLAG_META : h.flags & ~WSB_FLAG_META);
    memcpy(o->buf.data + o->buf.len, &p, sizeof p);
    wsb_record_begin(o->buf.data + o->buf.len + sizeof p, &h, e->meta, ret_payload);
    o->begun = sizeof p + size;
    return WSB_OK;
}

wsb_err wsg_outbox_begin_message(struct wsg_outbox *o, const struct wsg_out *entry, uint8_t **ret_payload)
{
    if (o->express.begin && o->is_reading && !o->has_data &&
        o->express.begin(o->express.ctx, &entry->envelope.header, ret_payload)) {
        o->is_express = true;
        return WSB_OK;
    }
    return wsg_outbox_begin(o, entry, ret_payload);
}

void wsg_outbox_end(struct wsg_outbox *o, bool keep)
{
    if (o->is_express) {
        o->is_express = false;
        o->express.end(o->express.ctx, keep);
        return;
    }
    if (keep)
        o->buf.len += o->begun;
    o->begun = 0;
}

wsb_err wsg_outbox_put(struct wsg_outbox *o, const struct wsg_out *entry)
{
    struct wsg_out copy = *entry;
    uint8_t *payload;
    copy.envelope.header.payload_len = (uint32_t)entry->envelope.payload.len;
    wsb_err err = wsg_outbox_begin(o, &copy, &payload);
    if (err)
        return err;
    if (entry->envelope.payload.len)
        memcpy(payload, entry->envelope.payload.ptr, entry->envelope.payload.len);
    wsg_outbox_end(o, /*keep=*/true);
    return WSB_OK;
}

bool wsg_outbox_next(struct wsb_span *rest, struct wsg_out *ret)
{
    struct prefix p;
    if (rest->len == 0)
        return false;
    memcpy(&p, rest->ptr, sizeof p);
    struct wsb_span record = wsb_span(rest->ptr + sizeof p, rest->len - sizeof p);
    ret->kind = (enum wsg_outbox_kind)p.kind;
    ret->route = p.route;
    ret->place = p.place;
    ret->is_idempotent = p.is_idempotent != 0;
    ret->origin = ret->kind == WSG_OUT_REPLY ? p.origin_or_key : 0;
    ret->key = ret->kind == WSG_OUT_REPLY ? 0 : p.origin_or_key;
    wsb_err err = wsb_record_next(&record, &ret->envelope);
    assert(err == WSB_OK); /* written by us */
    *rest = record;
    return err == WSB_OK;
}
