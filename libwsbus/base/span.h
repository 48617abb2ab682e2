#ifndef WSB_BASE_SPAN_H
#define WSB_BASE_SPAN_H

/* Bytes that belong to somebody else: a pointer and a length, valid as long as their owner says. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct wsb_span {
    const uint8_t *ptr;
    size_t len;
};

static inline struct wsb_span wsb_span(const void *ptr, size_t len)
{
    return (struct wsb_span){(const uint8_t *)ptr, len};
}

static inline struct wsb_span wsb_span_str(const char *s)
{
    return (struct wsb_span){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool wsb_span_eq(struct wsb_span a, struct wsb_span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool wsb_span_eq_str(struct wsb_span a, const char *s)
{
    return wsb_span_eq(a, wsb_span_str(s));
}

/* ASCII case-insensitive. */
static inline bool wsb_span_ieq_str(struct wsb_span a, const char *s)
{
    size_t n = strlen(s);
    return a.len == n && (n == 0 || strncasecmp((const char *)a.ptr, s, n) == 0);
}

#endif
