/* Growing byte buffer: doubles, checks every sum, and honours its ceiling. */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/size.h"

enum { FIRST_CAPACITY = 256 };

void wsb_buf_init(struct wsb_buf *b, size_t max)
{
    *b = (struct wsb_buf){.max = max};
}

void wsb_buf_deinit(struct wsb_buf *b)
{
    if (!b)
        return;
    free(b->data);
    *b = (struct wsb_buf){.max = b->max};
}

wsb_err wsb_buf_reserve(struct wsb_buf *b, size_t more)
{
    size_t need;
    if (!wsb_size_add(b->len, more, &need) || (b->max && need > b->max))
        return WSB_ERR_LIMIT;
    if (need <= b->cap)
        return WSB_OK;
    size_t cap = b->cap ? b->cap : FIRST_CAPACITY;
    while (cap < need) {
        if (!wsb_size_mul(cap, 2, &cap))
            return WSB_ERR_LIMIT;
    }
    if (b->max && cap > b->max)
        cap = b->max;
    uint8_t *data = realloc(b->data, cap);
    if (!data)
        return WSB_ERR_NOMEM;
    b->data = data;
    b->cap = cap;
    return WSB_OK;
}

wsb_err wsb_buf_append(struct wsb_buf *b, const void *data, size_t len)
{
    wsb_err err = wsb_buf_reserve(b, len);
    if (err)
        return err;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    return WSB_OK;
}

wsb_err wsb_buf_append_str(struct wsb_buf *b, const char *s)
{
    return wsb_buf_append(b, s, strlen(s));
}

wsb_err wsb_buf_printf(struct wsb_buf *b, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0)
        return WSB_ERR_INTERNAL;
    wsb_err err = wsb_buf_reserve(b, (size_t)n + 1); /* vsnprintf writes a final 0, which len does not count */
    if (err)
        return err;
    va_start(ap, format);
    (void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, format, ap);
    va_end(ap);
    b->len += (size_t)n;
    return WSB_OK;
}

void wsb_buf_clear(struct wsb_buf *b)
{
    b->len = 0;
}

void wsb_buf_consume(struct wsb_buf *b, size_t count)
{
    assert(count <= b->len);
    if (count && count < b->len)
        memmove(b->data, b->data + count, b->len - count);
    b->len -= count;
}
