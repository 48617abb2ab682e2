/*
 * Frames on their way out. An entry is one message: bytes in front of the payload, the payload's block, and bytes behind it, which
 * are frames of their own, or the rest of the payload's where the message is one record. Where it has to be sealed, each frame has
 * room for what a box adds, and its plain bytes lie where they stay when they are sealed.
 */
#include "zmtp/outbox.h"

#include <stdlib.h>

#include "zmtp/frame.h"

enum {
    ENTRY_COST = 64 /* of the allocator */,
    SEAL_STEP = 64 << 10,
    SHED_COST = 1 << 10 /* to free a message, in bytes */,
    FRAMES_MAX = 4 /* of a message */
};

struct wsb_zmtp_out {
    struct wsb_zmtp_out *next;
    struct wsb_block *block; /* owned reference; NULL: none */
    size_t front_len, back_len;
    bool is_plain; /* it is still to be sealed */
    bool is_command;
    bool is_record;  /* all of it is one frame */
    bool is_shared;  /* its block may be in other outboxes as well */
    uint8_t bytes[]; /* front, back */
};

/* The payload in hand: a box that is not complete. */
struct wsb_zmtp_sealing {
    struct wsb_box box;
    uint8_t *tag;         /* borrowed: where it goes */
    struct wsb_block *to; /* owned: where others hold the block as well, what is sealed goes here; NULL: in place */
    size_t at;
};

static size_t size_of(const struct wsb_zmtp_out *e)
{
    return e->front_len + (e->block ? e->block->len : 0) + e->back_len;
}

static size_t cost_of(const struct wsb_zmtp_out *e)
{
    return size_of(e) + sizeof *e + ENTRY_COST;
}

static size_t own_of(const struct wsb_zmtp_out *e)
{
    return cost_of(e) - (e->is_shared ? e->block->len : 0);
}

/* ----------------------------------------------------------------------- pushing */

static struct wsb_zmtp_out *entry_new(size_t front_len, size_t back_len)
{
    struct wsb_zmtp_out *e = malloc(sizeof *e + front_len + back_len);
    if (e)
        *e = (struct wsb_zmtp_out){.front_len = front_len, .back_len = back_len};
    return e;
}

static void append(struct wsb_zmtp_outbox *o, struct wsb_zmtp_out *e, bool is_curve)
{
    e->is_plain = is_curve;
    if (is_curve && !o->unsealed)
        o->unsealed = e;
    if (o->last)
        o->last->next = e;
    else
        o->first = e;
    o->last = e;
    o->bytes += cost_of(e);
    o->own += own_of(e);
    o->count++;
}

wsb_err wsb_zmtp_outbox_push_raw(struct wsb_zmtp_outbox *o, struct wsb_span bytes)
{
    struct wsb_zmtp_out *e = entry_new(bytes.len, 0);
    if (!e)
        return WSB_ERR_NOMEM;
    memcpy(e->bytes, bytes.ptr, bytes.len);
    append(o, e, /*is_curve=*/false);
    return WSB_OK;
}

/* What a frame takes: with CURVE the body has its flags inside, behind the name, the nonce and the tag. */
static size_t frame_size(size_t len, bool is_curve)
{
    size_t body = len + (is_curve ? WSB_CURVEZMQ_OVERHEAD : 0);
    return wsb_zmtp_head_len(body) + body;
}

/* Everything of a frame in front of its data. Returns where the data goes. */
static uint8_t *frame_begin(uint8_t *at, uint8_t flags, size_t len, bool is_curve)
{
    if (!is_curve)
        return at + wsb_zmtp_head_write(at, flags, len);
    at += wsb_zmtp_head_write(at, 0, len + WSB_CURVEZMQ_OVERHEAD);
    at[WSB_CURVEZMQ_FRONT] = flags & WSB_ZMTP_COMMAND ? 2 : flags;
    return at + WSB_CURVEZMQ_OVERHEAD;
}

static uint8_t *frame_write(uint8_t *at, uint8_t flags, struct wsb_span data, bool is_curve)
{
    at = frame_begin(at, flags, data.len, is_curve);
    if (data.len)
        memcpy(at, data.ptr, data.len);
    return at + data.len;
}

wsb_err wsb_zmtp_outbox_push_command(struct wsb_zmtp_outbox *o, struct wsb_span body, bool is_curve)
{
    struct wsb_zmtp_out *e = entry_new(frame_size(body.len, is_curve), 0);
    if (!e)
        return WSB_ERR_NOMEM;
    (void)frame_write(e->bytes, WSB_ZMTP_COMMAND, body, is_curve);
    e->is_command = true;
    o->commands++;
    append(o, e, is_curve);
    return WSB_OK;
}

/* All in front of the payload's bytes. */
static size_t front_of(const struct wsb_zmtp_parcel *parcel, bool is_curve)
{
    size_t topic_len = parcel->topic.len, payload_len = parcel->payload->len;
    if (parcel->is_record) {
        size_t size = wsb_record_size(payload_len, parcel->meta.len);
        return frame_size(size, is_curve) - size + WSB_RECORD_FRONT;
    }
    return (topic_len ? frame_size(topic_len, is_curve) : 0) + frame_size(WSB_HEADER_SIZE, is_curve) +
           frame_size(payload_len, is_curve) - payload_len;
}

static size_t back_of(const struct wsb_zmtp_parcel *parcel, bool is_curve)
{
    if (parcel->is_record)
        return wsb_record_back(parcel->payload->len, parcel->meta.len);
    return parcel->meta.len ? frame_size(parcel->meta.len, is_curve) : 0;
}

size_t wsb_zmtp_outbox_cost(const struct wsb_zmtp_parcel *parcel, bool is_curve)
{
    return front_of(parcel, is_curve) + (is_curve ? parcel->payload->len : 0) + back_of(parcel, is_curve) +
           sizeof(struct wsb_zmtp_out) + ENTRY_COST;
}

static void write_parts(uint8_t *at, const struct wsb_zmtp_parcel *parcel, bool is_curve)
{
    const struct wsb_span topic = parcel->topic, meta = parcel->meta;
    if (topic.len)
        at = frame_write(at, WSB_ZMTP_MORE, topic, is_curve);
    at = frame_begin(at, WSB_ZMTP_MORE, WSB_HEADER_SIZE, is_curve);
    wsb_header_write(at, parcel->header);
    at = frame_begin(at + WSB_HEADER_SIZE, meta.len ? WSB_ZMTP_MORE : 0, parcel->payload->len, is_curve);
    if (meta.len)
        (void)frame_write(at, 0, meta, is_curve);
}

static void write_record(uint8_t *at, const struct wsb_zmtp_parcel *parcel, bool is_curve)
{
    size_t size = wsb_record_size(parcel->payload->len, parcel->meta.len);
    at = frame_begin(at, 0, size, is_curve);
    wsb_record_wrap(at, at + WSB_RECORD_FRONT, parcel->header, parcel->meta);
}

wsb_err wsb_zmtp_outbox_push(struct wsb_zmtp_outbox *o, const struct wsb_zmtp_parcel *parcel, bool is_curve)
{
    struct wsb_zmtp_out *e = entry_new(front_of(parcel, is_curve), back_of(parcel, is_curve));
    if (!e) {
        wsb_block_free(parcel->payload);
        return WSB_ERR_NOMEM;
    }
    e->block = parcel->payload;
    e->is_record = parcel->is_record;
    e->is_shared = e->block->refs > 1 && !is_curve;
    (parcel->is_record ? write_record : write_parts)(e->bytes, parcel, is_curve);
    append(o, e, is_curve);
    return WSB_OK;
}

/* ----------------------------------------------------------------------- sealing */

static void spend(size_t *budget, size_t bytes)
{
    *budget -= bytes < *budget ? bytes : *budget;
}

/* A whole frame body: room for name, nonce and tag, then flags and data. */
static void seal_body(struct wsb_curvezmq_session *session, uint8_t *body, size_t len)
{
    struct wsb_box box;
    uint8_t *text = body + WSB_CURVEZMQ_FRONT;
    wsb_curvezmq_seal_begin(session, body, &box);
    wsb_box_seal(&box, text, text, len - WSB_CURVEZMQ_FRONT);
    wsb_box_end(&box, body + WSB_CURVEZMQ_HEAD);
}

static wsb_err sealing_begin(struct wsb_zmtp_outbox *o, struct wsb_curvezmq_session *session, struct wsb_zmtp_out *e,
                             uint8_t *body)
{
    struct wsb_zmtp_sealing *s = malloc(sizeof *s);
    struct wsb_block *to = e->block->refs > 1 ? wsb_block_new(o->copies, e->block->len) : NULL;
    if (!s || (e->block->refs > 1 && !to)) {
        free(s);
        wsb_block_free(to);
        return WSB_ERR_NOMEM;
    }
    uint8_t *text = body + WSB_CURVEZMQ_FRONT;
    s->tag = body + WSB_CURVEZMQ_HEAD;
    s->to = to;
    s->at = 0;
    if (to)
        to->len = e->block->len;
    wsb_curvezmq_seal_begin(session, body, &s->box);
    wsb_box_seal(&s->box, text, text, (size_t)(e->bytes + e->front_len - text));
    o->sealing = s;
    return WSB_OK;
}

/* The frames in front of the payload, and the beginning of the payload's own, which goes on in the block. */
static wsb_err seal_front(struct wsb_zmtp_outbox *o, struct wsb_curvezmq_session *session, struct wsb_zmtp_out *e)
{
    struct wsb_zmtp_head head;
    for (size_t at = 0; at < e->front_len; at += head.len + head.body_len) {
        if (wsb_zmtp_head_parse(e->bytes + at, e->front_len - at, SIZE_MAX, &head) != WSB_OK)
            return WSB_ERR_INTERNAL;
        uint8_t *body = e->bytes + at + head.len;
        if (head.body_len > e->front_len - at - head.len)
            return sealing_begin(o, session, e, body);
        seal_body(session, body, head.body_len);
    }
    return WSB_OK;
}

static void sealing_end(struct wsb_zmtp_outbox *o, struct wsb_zmtp_out *e)
{
    struct wsb_zmtp_sealing *s = o->sealing;
    uint8_t *back = e->bytes + e->front_len;
    if (e->is_record)
        wsb_box_seal(&s->box, back, back, e->back_len);
    wsb_box_end(&s->box, s->tag);
    if (s->to) {
        wsb_block_free(e->block);
        e->block = s->to;
    }
    free(s);
    o->sealing = NULL;
}

static void seal_block(struct wsb_zmtp_outbox *o, struct wsb_zmtp_out *e, size_t *budget)
{
    struct wsb_zmtp_sealing *s = o->sealing;
    uint8_t *to = s->to ? s->to->data : e->block->data;
    while (s->at < e->block->len && *budget) {
        size_t n = e->block->len - s->at;
        n = n < SEAL_STEP ? n : SEAL_STEP;
        wsb_box_seal(&s->box, e->block->data + s->at, to + s->at, n);
        s->at += n;
        spend(budget, n);
    }
    if (s->at == e->block->len)
        sealing_end(o, e);
}

static void seal_back(struct wsb_curvezmq_session *session, struct wsb_zmtp_out *e)
{
    struct wsb_zmtp_head head;
    uint8_t *back = e->bytes + e->front_len;
    if (e->back_len && !e->is_record && wsb_zmtp_head_parse(back, e->back_len, SIZE_MAX, &head) == WSB_OK)
        seal_body(session, back + head.len, head.body_len);
}

wsb_err wsb_zmtp_outbox_seal(struct wsb_zmtp_outbox *o, struct wsb_curvezmq_session *session, size_t *budget)
{
    while (o->unsealed && *budget) {
        struct wsb_zmtp_out *e = o->unsealed;
        if (!o->sealing) {
            wsb_err err = e->is_plain ? seal_front(o, session, e) : WSB_OK;
            if (err)
                return err;
        }
        if (o->sealing)
            seal_block(o, e, budget);
        if (o->sealing)
            return WSB_OK;
        if (e->is_plain)
            seal_back(session, e);
        spend(budget, e->front_len + e->back_len + (size_t)FRAMES_MAX * WSB_ZMTP_BOX_COST);
        e->is_plain = false;
        o->unsealed = e->next;
    }
    return WSB_OK;
}

/* ----------------------------------------------------------------------- leaving */

/* What of a run of bytes is left behind the first *skip. */
static void add_run(struct iovec *iov, size_t *count, size_t max, uint8_t *run, size_t len, size_t *skip, size_t *bytes)
{
    size_t skipped = *skip < len ? *skip : len;
    *skip -= skipped;
    if (skipped == len || *count == max)
        return;
    iov[*count] = (struct iovec){run + skipped, len - skipped};
    *bytes += len - skipped;
    (*count)++;
}

size_t wsb_zmtp_outbox_gather(const struct wsb_zmtp_outbox *o, struct iovec *iov, size_t max, size_t *ret_bytes)
{
    size_t count = 0, skip = o->done;
    *ret_bytes = 0;
    for (struct wsb_zmtp_out *e = o->first; e != o->unsealed && count < max; e = e->next) {
        add_run(iov, &count, max, e->bytes, e->front_len, &skip, ret_bytes);
        if (e->block)
            add_run(iov, &count, max, e->block->data, e->block->len, &skip, ret_bytes);
        add_run(iov, &count, max, e->bytes + e->front_len, e->back_len, &skip, ret_bytes);
    }
    return count;
}

static void drop_first(struct wsb_zmtp_outbox *o)
{
    struct wsb_zmtp_out *e = o->first;
    o->bytes -= cost_of(e);
    o->own -= own_of(e);
    o->count--;
    o->commands -= e->is_command;
    o->first = e->next;
    if (!o->first)
        o->last = NULL;
    wsb_block_free(e->block);
    free(e);
}

void wsb_zmtp_outbox_advance(struct wsb_zmtp_outbox *o, size_t bytes)
{
    o->done += bytes;
    while (o->first && o->done >= size_of(o->first)) {
        o->done -= size_of(o->first);
        drop_first(o);
    }
}

void wsb_zmtp_outbox_init(struct wsb_zmtp_outbox *o, struct wsb_account *copies)
{
    *o = (struct wsb_zmtp_outbox){.copies = copies};
}

static void forget_sealing(struct wsb_zmtp_outbox *o)
{
    if (!o->sealing)
        return;
    wsb_block_free(o->sealing->to);
    sodium_memzero(o->sealing, sizeof *o->sealing);
    free(o->sealing);
    o->sealing = NULL;
}

void wsb_zmtp_outbox_deinit(struct wsb_zmtp_outbox *o)
{
    forget_sealing(o);
    while (o->first)
        drop_first(o);
    wsb_zmtp_outbox_init(o, o->copies);
}

void wsb_zmtp_outbox_throw(struct wsb_zmtp_outbox *o, struct wsb_zmtp_outbox *waste)
{
    forget_sealing(o);
    if (o->first) {
        *(waste->last ? &waste->last->next : &waste->first) = o->first;
        waste->last = o->last;
        waste->bytes += o->bytes;
        waste->own += o->own;
        waste->count += o->count;
        waste->commands += o->commands;
    }
    wsb_zmtp_outbox_init(o, o->copies);
}

size_t wsb_zmtp_outbox_shed(struct wsb_zmtp_outbox *waste, size_t bytes)
{
    while (waste->first && bytes) {
        spend(&bytes, cost_of(waste->first) + SHED_COST);
        drop_first(waste);
    }
    return bytes;
}
