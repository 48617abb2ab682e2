/* The chunk line guard: like the head guard, one byte, one state, one verdict. */
#include "http/chunk.h"

#include <assert.h>

#include "http/header.h"

enum {
    DIGITS_MAX = 16,
    /* In the whole message: many tiny chunks with long extensions would make us read without progress. */
    EXT_BYTES_MAX = 4096,
};

void wsg_http_chunk_init(struct wsg_http_chunk *c)
{
    *c = (struct wsg_http_chunk){.state = WSG_CHUNK_SIZE};
}

void wsg_http_chunk_next(struct wsg_http_chunk *c)
{
    assert(c->state == WSG_CHUNK_DONE);
    c->size = 0;
    c->digits = 0;
    c->state = WSG_CHUNK_DATA_CR;
}

static wsb_err refuse(struct wsg_http_chunk *c, const char *reason)
{
    c->reason = reason;
    return WSB_ERR_PROTO;
}

static wsb_err on_size(struct wsg_http_chunk *c, uint8_t b)
{
    if (wsg_http_is_class(b, WSG_HTTP_HEX)) {
        if (c->digits == DIGITS_MAX)
            return refuse(c, "chunk size too long");
        c->digits++;
        c->size = c->size << 4 | wsg_http_hex_value(b);
        return WSB_OK;
    }
    if (c->digits == 0 || (b != '\r' && b != ';'))
        return refuse(c, "invalid chunk size");
    c->state = b == ';' ? WSG_CHUNK_EXT : WSG_CHUNK_LF;
    return WSB_OK;
}

static wsb_err on_ext(struct wsg_http_chunk *c, uint8_t b)
{
    if (b == '\r') {
        c->state = WSG_CHUNK_LF;
        return WSB_OK;
    }
    if (!wsg_http_is_class(b, WSG_HTTP_FIELD))
        return refuse(c, "control character in a chunk extension");
    if (c->ext_bytes == EXT_BYTES_MAX)
        return refuse(c, "chunk extensions too long");
    c->ext_bytes++;
    return WSB_OK;
}

static wsb_err on_fixed(struct wsg_http_chunk *c, uint8_t b, uint8_t want, enum wsg_http_chunk_state next)
{
    if (b != want)
        return refuse(c, "chunk line or data not ended by CRLF");
    c->state = (uint8_t)next;
    return WSB_OK;
}

static wsb_err on_byte(struct wsg_http_chunk *c, uint8_t b)
{
    switch ((enum wsg_http_chunk_state)c->state) {
    case WSG_CHUNK_DATA_CR:
        return on_fixed(c, b, '\r', WSG_CHUNK_DATA_LF);
    case WSG_CHUNK_DATA_LF:
        return on_fixed(c, b, '\n', WSG_CHUNK_SIZE);
    case WSG_CHUNK_SIZE:
        return on_size(c, b);
    case WSG_CHUNK_EXT:
        return on_ext(c, b);
    case WSG_CHUNK_LF:
        return on_fixed(c, b, '\n', WSG_CHUNK_DONE);
    case WSG_CHUNK_DONE:
        break;
    }
    assert(0 && "a finished chunk line takes no more bytes");
    return WSB_ERR_INTERNAL;
}

wsb_err wsg_http_chunk_feed(struct wsg_http_chunk *c, const uint8_t *data, size_t len, size_t *ret_used)
{
    c->ext_begin = c->ext_end = 0;
    for (size_t i = 0; i < len; i++) {
        wsb_err err = on_byte(c, data[i]);
        if (err)
            return err;
        if (c->state == WSG_CHUNK_EXT) {
            c->ext_begin = c->ext_end ? c->ext_begin : i;
            c->ext_end = i + 1;
        }
        if (c->state == WSG_CHUNK_DONE) {
            *ret_used = i + 1;
            return WSB_OK;
        }
    }
    *ret_used = len;
    return WSB_MORE;
}
