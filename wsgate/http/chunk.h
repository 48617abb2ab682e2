#ifndef WSG_HTTP_CHUNK_H
#define WSG_HTTP_CHUNK_H

/*
 * The guard in front of llhttp for the lines between the chunks of a body: CRLF after the data, size, extensions,
 * CRLF. Extensions are bounded, and then ignored as RFC 9112 §7.1.1 asks. Pure.
 */

#include "wsbus/err.h"
#include "base/span.h"

/* DATA_CR ─► DATA_LF ─► SIZE ─► (EXT ─►) LF ─► DONE, the first two only between chunks. */
enum wsg_http_chunk_state {
    WSG_CHUNK_SIZE,
    WSG_CHUNK_EXT,
    WSG_CHUNK_LF,
    WSG_CHUNK_DONE,
    WSG_CHUNK_DATA_CR,
    WSG_CHUNK_DATA_LF,
};

struct wsg_http_chunk {
    uint64_t size;      /* of the chunk whose line was read, valid in DONE */
    const char *reason; /* static text, why it was refused */
    size_t ext_begin;   /* the extensions, ';' included, within the bytes that were fed last */
    size_t ext_end;
    uint32_t ext_bytes; /* bytes of extensions in the whole message */
    uint8_t digits;
    uint8_t state; /* enum wsg_http_chunk_state */
};

void wsg_http_chunk_init(struct wsg_http_chunk *c);

/* The data of the chunk was read: expect its CRLF and the next line. */
void wsg_http_chunk_next(struct wsg_http_chunk *c);

/* WSB_OK the line ends after *ret_used bytes; WSB_MORE it goes on behind all of them; WSB_ERR_PROTO refused. */
WSB_MUST_CHECK wsb_err wsg_http_chunk_feed(struct wsg_http_chunk *c, const uint8_t *data, size_t len, size_t *ret_used);

#endif
