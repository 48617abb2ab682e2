/*
 * The bus envelope. The first byte says what the rest is: the payload of a BATCH, or the parts of one message (one byte of
 * payload length, then header, payload, metadata). Properties: what comes out lies within what went in; a batch that ends well
 * is the same bytes when it is written again; a header that is accepted is the same when it is written again.
 */
#include <stdint.h>
#include <stdlib.h>

#include "wire/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void require_within(struct wsb_span inner, struct wsb_span outer)
{
    require(inner.len == 0 || (inner.ptr >= outer.ptr && inner.len <= outer.len &&
                               (size_t)(inner.ptr - outer.ptr) <= outer.len - inner.len));
}

static void require_true(const struct wsb_envelope *e)
{
    require(e->header.payload_len == e->payload.len);
    require((e->meta.len != 0) == ((e->header.flags & WSB_FLAG_META) != 0));
    require(e->meta.len <= WSB_META_MAX);
}

static void try_batch(struct wsb_span batch)
{
    struct wsb_buf again = {0};
    struct wsb_span rest = batch;
    struct wsb_envelope e;
    wsb_err err;
    while ((err = wsb_record_next(&rest, &e)) == WSB_OK) {
        require_true(&e);
        require_within(e.payload, batch);
        require_within(e.meta, batch);
        require_within(rest, batch);
        require(e.header.type != WSB_BATCH);
        require(wsb_record_append(&again, &e) == WSB_OK);
    }
    require(err == WSB_CLOSED || err == WSB_ERR_PROTO);
    struct wsb_span read = wsb_span(batch.ptr, batch.len - rest.len);
    require(wsb_span_eq(wsb_buf_span(&again), read));
    require(err != WSB_CLOSED || read.len == batch.len);
    wsb_buf_deinit(&again);
}

static void try_message(struct wsb_span in)
{
    if (in.len < 1 + WSB_HEADER_SIZE)
        return;
    struct wsb_span header = wsb_span(in.ptr + 1, WSB_HEADER_SIZE);
    struct wsb_span body = wsb_span(header.ptr + header.len, in.len - 1 - header.len);
    size_t payload_len = in.ptr[0] < body.len ? in.ptr[0] : body.len;
    struct wsb_span payload = wsb_span(body.ptr, payload_len);
    struct wsb_span meta = wsb_span(payload_len < body.len ? body.ptr + payload_len : NULL, body.len - payload_len);
    struct wsb_envelope e;
    wsb_err err = wsb_envelope_from_parts(header, payload, meta, &e);
    require(err == WSB_OK || err == WSB_ERR_PROTO);
    if (err)
        return;
    uint8_t again[WSB_HEADER_SIZE];
    wsb_header_write(again, &e.header);
    require(wsb_span_eq(wsb_span(again, sizeof again), header));
    require_true(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        try_batch(wsb_span(data + 1, size - 1));
    else
        try_message(wsb_span(data + 1, size - 1));
    return 0;
}
