/* Parcels: a fixed part as it is in memory, then the ids, the fields, and the bytes of all spans in one order. */
#include "gate/parcel.h"

#include <assert.h>
#include <string.h>

#include "base/size.h"

struct head {
    size_t size; /* of the parcel, this included: a multiple of 8 */
    size_t count;
    struct wsg_command command; /* of its spans and fields only lengths, and whether there are any, mean something */
};

/* The bytes of the payload are those of the frame, when there is one. */
static size_t text_size(const struct wsg_command *c)
{
    size_t size = c->key.len + c->reason.len + c->subprotocol.len + (c->frame ? 0 : c->payload.len);
    for (size_t i = 0; i < c->field_count; i++)
        size += c->fields[i].name.len + c->fields[i].value.len;
    return size;
}

static size_t weight_of(const struct head *h)
{
    return h->size + (h->command.frame ? h->command.frame->len : 0) + h->count * WSG_PARCEL_TARGET;
}

/* ------------------------------------------------------------------------ put */

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
    if (len)
        memcpy(at, data, len);
    return at + len;
}

static uint8_t *put_span(uint8_t *at, struct wsb_span s)
{
    return put(at, s.ptr, s.len);
}

wsb_err wsg_parcel_put(struct wsb_buf *to, const struct wsg_command *c, const wsb_conn *ids, size_t count,
                       uint64_t *ret_weight)
{
    assert(c->field_count <= WSG_FIELDS_MAX);
    struct head h = {.count = count, .command = *c};
    size_t fixed = sizeof h + count * sizeof *ids + c->field_count * sizeof *c->fields;
    h.size = wsb_align8(fixed + text_size(c));
    wsb_err err = wsb_buf_reserve(to, h.size);
    if (err)
        return err;
    uint8_t *at = to->data + to->len;
    at = put(at, &h, sizeof h);
    at = put(at, ids, count * sizeof *ids);
    at = put(at, c->fields, c->field_count * sizeof *c->fields);
    for (size_t i = 0; i < c->field_count; i++)
        at = put_span(put_span(at, c->fields[i].name), c->fields[i].value);
    at = put_span(put_span(put_span(at, c->key), c->reason), c->subprotocol);
    if (c->frame)
        (void)wsg_shared_ref(c->frame);
    else
        (void)put_span(at, c->payload);
    to->len += h.size;
    *ret_weight += weight_of(&h);
    return WSB_OK;
}

/* ----------------------------------------------------------------------- next */

/* What was none stays none. */
static void get_span(const uint8_t **at, struct wsb_span *s)
{
    if (!s->ptr)
        return;
    s->ptr = *at;
    *at += s->len;
}

bool wsg_parcel_next(struct wsb_span *rest, struct wsg_parcel *ret)
{
    struct head h;
    if (rest->len == 0)
        return false;
    memcpy(&h, rest->ptr, sizeof h);
    const uint8_t *at = rest->ptr + sizeof h;
    struct wsg_command *c = &ret->command;
    *c = h.command;
    ret->count = h.count;
    ret->weight = weight_of(&h);
    ret->ids = (const wsb_conn *)(const void *)at;
    at += h.count * sizeof *ret->ids;
    memcpy(ret->fields, at, c->field_count * sizeof *ret->fields);
    at += c->field_count * sizeof *ret->fields;
    c->fields = ret->fields;
    for (size_t i = 0; i < c->field_count; i++) {
        get_span(&at, &ret->fields[i].name);
        get_span(&at, &ret->fields[i].value);
    }
    get_span(&at, &c->key);
    get_span(&at, &c->reason);
    get_span(&at, &c->subprotocol);
    if (c->frame) /* the payload is at its end */
        c->payload.ptr = c->frame->data + c->frame->len - c->payload.len;
    else
        get_span(&at, &c->payload);
    *rest = wsb_span(rest->ptr + h.size, rest->len - h.size);
    return true;
}

void wsg_parcel_done(struct wsg_parcel *p)
{
    wsg_shared_unref(p->command.frame);
    p->command.frame = NULL;
}

/* -------------------------------------------------------------------- in steps */

void wsg_errands_begin(struct wsg_errands *e, struct wsb_span load)
{
    assert(!e->are_open);
    e->rest = load;
    e->are_open = true;
}

static void end_now(struct wsg_errands *e)
{
    if (!e->has_now)
        return;
    e->done_weight += e->now.weight;
    wsg_parcel_done(&e->now);
    e->has_now = false;
}

bool wsg_errands_next(struct wsg_errands *e, size_t most, struct wsg_errand *ret)
{
    if (!e->has_now || e->at == e->now.count) {
        end_now(e);
        e->has_now = e->are_open = wsg_parcel_next(&e->rest, &e->now);
        e->at = 0;
        if (!e->has_now)
            return false;
    }
    size_t left = e->now.count - e->at;
    *ret = (struct wsg_errand){&e->now.command, e->now.ids + e->at, left < most ? left : most};
    e->at += ret->count;
    return true;
}

void wsg_errands_drop(struct wsg_errands *e)
{
    end_now(e);
    while (wsg_parcel_next(&e->rest, &e->now)) {
        e->has_now = true;
        end_now(e);
    }
    e->are_open = false;
}
