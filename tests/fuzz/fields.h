#ifndef FUZZ_FIELDS_H
#define FUZZ_FIELDS_H

/* What targets of http/ have in common: header fields out of lines of input, and a condition that must hold. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "http/header.h"

enum { FIELDS = 16 };

static inline void require(bool truth)
{
    if (!truth)
        abort();
}

static inline size_t fields_of(struct wsb_span in, struct wsg_http_header fields[FIELDS])
{
    size_t count = 0;
    while (in.len && count < FIELDS) {
        const uint8_t *end = memchr(in.ptr, '\n', in.len);
        struct wsb_span line = wsb_span(in.ptr, end ? (size_t)(end - in.ptr) : in.len);
        const uint8_t *colon = line.len ? memchr(line.ptr, ':', line.len) : NULL;
        size_t gone = line.len + (end ? 1 : 0);
        in = wsb_span(in.ptr + gone, in.len - gone);
        if (!colon)
            continue;
        size_t at = (size_t)(colon - line.ptr);
        fields[count++] =
            (struct wsg_http_header){wsb_span(line.ptr, at), wsg_http_trim(wsb_span(colon + 1, line.len - at - 1))};
    }
    return count;
}

#endif
