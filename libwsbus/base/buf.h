#ifndef WSB_BASE_BUF_H
#define WSB_BASE_BUF_H

/*
 * A growing run of bytes with a ceiling. Appending beyond `max` is WSB_ERR_LIMIT, never silent and never unbounded.
 * A zeroed struct with max set is a valid empty buffer that holds no memory.
 */

#include "base/span.h"
#include "wsbus/err.h"

struct wsb_buf {
    uint8_t *data; /* owned; NULL while cap is 0 */
    size_t len;
    size_t cap;
    size_t max; /* ceiling for len, bytes; 0 means no ceiling but memory */
};

void wsb_buf_init(struct wsb_buf *b, size_t max);
void wsb_buf_deinit(struct wsb_buf *b); /* frees the memory; the buffer is empty and usable afterwards */

/* Room for `more` bytes behind len, without changing len. */
WSB_MUST_CHECK wsb_err wsb_buf_reserve(struct wsb_buf *b, size_t more);
WSB_MUST_CHECK wsb_err wsb_buf_append(struct wsb_buf *b, const void *data, size_t len);
WSB_MUST_CHECK wsb_err wsb_buf_append_str(struct wsb_buf *b, const char *s);
WSB_MUST_CHECK wsb_err wsb_buf_printf(struct wsb_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

void wsb_buf_clear(struct wsb_buf *b);                 /* len = 0, memory kept */
void wsb_buf_consume(struct wsb_buf *b, size_t count); /* drop bytes from the front */

static inline struct wsb_span wsb_buf_span(const struct wsb_buf *b)
{
    return wsb_span(b->data, b->len);
}

#endif
