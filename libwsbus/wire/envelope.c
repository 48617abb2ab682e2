/*
 * The envelope codec. Little-endian bytes on every host; each length is checked against the bytes that are really there
 * before it is used.
 */
#include "wire/envelope.h"

#include <endian.h>

#include "base/size.h"

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

void wsb_header_write(uint8_t out[WSB_HEADER_SIZE], const struct wsb_header *h)
{
    out[0] = WSB_WIRE_VERSION;
    out[1] = h->type;
    out[2] = h->code;
    out[3] = h->flags;
    put32(out + 4, h->payload_len);
    put64(out + 8, h->conn);
    put64(out + 16, h->seq);
    put64(out + 24, h->time_ns);
}

wsb_err wsb_header_parse(struct wsb_span in, struct wsb_header *ret)
{
    if (in.len != WSB_HEADER_SIZE || in.ptr[0] != WSB_WIRE_VERSION)
        return WSB_ERR_PROTO;
    *ret = (struct wsb_header){
        .type = in.ptr[1],
        .code = in.ptr[2],
        .flags = in.ptr[3],
        .payload_len = get32(in.ptr + 4),
        .conn = get64(in.ptr + 8),
        .seq = get64(in.ptr + 16),
        .time_ns = get64(in.ptr + 24),
    };
    return WSB_OK;
}

wsb_err wsb_envelope_from_parts(struct wsb_span header, struct wsb_span payload, struct wsb_span meta,
                                struct wsb_envelope *ret)
{
    struct wsb_header h;
    wsb_err err = wsb_header_parse(header, &h);
    if (err)
        return err;
    bool has_meta = meta.ptr != NULL;
    if (h.payload_len != payload.len || has_meta != ((h.flags & WSB_FLAG_META) != 0))
        return WSB_ERR_PROTO;
    if (has_meta && (meta.len == 0 || meta.len > WSB_META_MAX))
        return WSB_ERR_PROTO;
    *ret = (struct wsb_envelope){h, payload, meta};
    return WSB_OK;
}

size_t wsb_record_size(size_t payload_len, size_t meta_len)
{
    size_t size;
    if (!wsb_size_add(payload_len, meta_len, &size) || size > UINT32_MAX - 64)
        return 0;
    return wsb_align8(size + WSB_RECORD_PREFIX + WSB_HEADER_SIZE);
}

void wsb_record_begin(uint8_t *out, const struct wsb_header *header, struct wsb_span meta, uint8_t **ret_payload)
{
    size_t size = WSB_RECORD_PREFIX + WSB_HEADER_SIZE + (size_t)header->payload_len + meta.len;
    uint8_t *payload = out + WSB_RECORD_PREFIX + WSB_HEADER_SIZE;
    put64(out + wsb_align8(size) - 8, 0); /* first: the padding is what is left of it */
    put32(out, (uint32_t)size);
    put32(out + 4, (uint32_t)meta.len);
    wsb_header_write(out + WSB_RECORD_PREFIX, header);
    if (meta.len)
        memcpy(payload + header->payload_len, meta.ptr, meta.len);
    *ret_payload = payload;
}

size_t wsb_record_back(size_t payload_len, size_t meta_len)
{
    return wsb_record_size(payload_len, meta_len) - WSB_RECORD_FRONT - payload_len;
}

void wsb_record_wrap(uint8_t front[WSB_RECORD_FRONT], uint8_t *back, const struct wsb_header *header,
                     struct wsb_span meta)
{
    size_t back_len = wsb_record_back(header->payload_len, meta.len);
    put32(front, (uint32_t)(WSB_RECORD_FRONT + (size_t)header->payload_len + meta.len));
    put32(front + 4, (uint32_t)meta.len);
    wsb_header_write(front + WSB_RECORD_PREFIX, header);
    if (meta.len)
        memcpy(back, meta.ptr, meta.len);
    if (back_len > meta.len)
        memset(back + meta.len, 0, back_len - meta.len);
}

wsb_err wsb_record_append(struct wsb_buf *batch, const struct wsb_envelope *e)
{
    size_t size = wsb_record_size(e->payload.len, e->meta.len);
    if (!size)
        return WSB_ERR_LIMIT;
    wsb_err err = wsb_buf_reserve(batch, size);
    if (err)
        return err;
    struct wsb_header h = e->header;
    h.payload_len = (uint32_t)e->payload.len;
    h.flags = (uint8_t)(e->meta.len ? h.flags | WSB_FLAG_META : h.flags & ~WSB_FLAG_META);
    uint8_t *payload;
    wsb_record_begin(batch->data + batch->len, &h, e->meta, &payload);
    if (e->payload.len)
        memcpy(payload, e->payload.ptr, e->payload.len);
    batch->len += size;
    return WSB_OK;
}

/* Of a record that is there whole: nothing but zeros between its end and the next multiple of 8. */
static bool is_padded_with_zeros(const uint8_t *record, size_t size, size_t padded)
{
    uint64_t last = get64(record + padded - 8);
    return size == padded || last >> (64 - 8 * (padded - size)) == 0;
}

static wsb_err next_record(struct wsb_span *batch, bool may_be_batch, struct wsb_envelope *ret)
{
    const size_t fixed = WSB_RECORD_PREFIX + WSB_HEADER_SIZE;
    if (batch->len == 0)
        return WSB_CLOSED;
    if (batch->len < fixed)
        return WSB_ERR_PROTO;
    const uint8_t *p = batch->ptr;
    size_t size = get32(p);
    size_t meta_len = get32(p + 4);
    if (size > batch->len || size < fixed || meta_len > WSB_META_MAX || meta_len > size - fixed)
        return WSB_ERR_PROTO;
    struct wsb_header h;
    wsb_err err = wsb_header_parse(wsb_span(p + WSB_RECORD_PREFIX, WSB_HEADER_SIZE), &h);
    if (err)
        return err;
    size_t padded = wsb_align8(size);
    if ((h.type == WSB_BATCH && !may_be_batch) || h.payload_len != size - fixed - meta_len || padded > batch->len ||
        (meta_len != 0) != ((h.flags & WSB_FLAG_META) != 0) || !is_padded_with_zeros(p, size, padded))
        return WSB_ERR_PROTO;
    *ret = (struct wsb_envelope){
        h,
        wsb_span(p + fixed, h.payload_len),
        wsb_span(meta_len ? p + fixed + h.payload_len : NULL, meta_len),
    };
    *batch = wsb_span(p + padded, batch->len - padded);
    return WSB_OK;
}

wsb_err wsb_record_next(struct wsb_span *batch, struct wsb_envelope *ret)
{
    return next_record(batch, /*may_be_batch=*/false, ret);
}

wsb_err wsb_record_alone(struct wsb_span record, struct wsb_envelope *ret)
{
    wsb_err err = next_record(&record, /*may_be_batch=*/true, ret);
    return err == WSB_CLOSED || (!err && record.len) ? WSB_ERR_PROTO : err;
}

const char *wsb_type_name(uint8_t type)
{
    static const char *const names[128] = {
        [WSB_WELCOME] = "welcome",
        [WSB_OPEN] = "open",
        [WSB_DATA] = "data",
        [WSB_CLOSED_EV] = "closed",
        [WSB_PONG_EV] = "pong",
        [WSB_REQUEST] = "request",
        [WSB_BODY_EV] = "body",
        [WSB_ABORTED] = "aborted",
        [WSB_OUTCOME] = "outcome",
        [WSB_WRITABLE] = "writable",
        [WSB_REVOKED] = "revoked",
        [WSB_PING_EV] = "ping",
        [WSB_LEVEL] = "level",
        [WSB_DRAIN] = "drain",
        [WSB_ERROR] = "error",
        [WSB_HELLO] = "hello",
        [WSB_CREDIT] = "credit",
        [WSB_ACK] = "ack",
        [WSB_ACCEPT] = "accept",
        [WSB_REJECT] = "reject",
        [WSB_SEND] = "send",
        [WSB_CLOSE] = "close",
        [WSB_JOIN] = "join",
        [WSB_LEAVE] = "leave",
        [WSB_PUBLISH] = "publish",
        [WSB_TAG] = "tag",
        [WSB_RESPOND] = "respond",
        [WSB_BODY] = "body",
        [WSB_PING] = "ping",
        [WSB_PONG] = "pong",
        [WSB_LOG] = "log",
        [WSB_BYE] = "bye",
        [WSB_MEMBERS] = "members",
        [WSB_JOINED] = "joined",
        [WSB_LEFT] = "left",
        [WSB_LIST] = "list",
        [WSB_DEAD_LETTER] = "dead-letter",
        [WSB_WORKING] = "working",
        [WSB_BATCH] = "batch",
    };
    return type < 128 ? names[type] : NULL;
}

bool wsb_type_is_command(uint8_t type)
{
    return type >= WSB_HELLO && type <= WSB_WORKING;
}

const char *wsb_outcome_name(uint8_t outcome)
{
    static const char *const names[] = {"written", "dropped", "gone", "stale", "too big", "refused", "invalid"};
    return outcome < sizeof names / sizeof *names ? names[outcome] : "unknown";
}
