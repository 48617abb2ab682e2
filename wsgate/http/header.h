#ifndef WSG_HTTP_HEADER_H
#define WSG_HTTP_HEADER_H

/*
 * A header field and the questions one asks of a list of them. Names compare without regard to case; values are
 * kept as received, without the white space around them. Pure, and any thread may call it.
 */

#include "base/span.h"

struct wsg_http_header {
    struct wsb_span name;  /* borrowed from the head */
    struct wsb_span value; /* borrowed from the head */
};

/* What a byte may be part of (RFC 9110 §5.5 and §5.6.2, RFC 3986 §2). */
enum wsg_http_class {
    WSG_HTTP_TOKEN = 1,  /* method, field name, list token */
    WSG_HTTP_TARGET = 2, /* request target: visible ASCII without '#' */
    WSG_HTTP_FIELD = 4,  /* field value: HT, SP, visible ASCII and obs-text */
    WSG_HTTP_HEX = 8,
};

extern const uint8_t wsg_http_classes[256];

static inline bool wsg_http_is_class(uint8_t c, enum wsg_http_class class)
{
    return (wsg_http_classes[c] & class) != 0;
}

/* Of a character of class WSG_HTTP_HEX. */
static inline unsigned wsg_http_hex_value(uint8_t c)
{
    return c <= '9' ? (unsigned)c - '0' : (c | 0x20u) - 'a' + 10;
}

/* A non-empty run of token characters. */
bool wsg_http_is_token(struct wsb_span s);

/* Nothing in it can end a field line: no CR, LF, NUL or other control character but HT. */
bool wsg_http_is_field_value(struct wsb_span s);

/* Without the spaces and tabs at both ends. */
struct wsb_span wsg_http_trim(struct wsb_span s);

/* How often a field is there; the first value goes to ret_first (which may be NULL) when it is at all. */
size_t wsg_http_header_find(const struct wsg_http_header *headers, size_t count, const char *name,
                            struct wsb_span *ret_first);

/*
 * Walk over a comma separated list: takes the next element off `rest`, trimmed and perhaps empty. False at the end.
 * An empty value is a list of one empty element. Quoted strings are not looked into: not for ETags.
 */
bool wsg_http_list_next(struct wsb_span *rest, struct wsb_span *ret_item);

/* Is `token` an element of any of the fields of that name? */
bool wsg_http_header_has_token(const struct wsg_http_header *headers, size_t count, const char *name,
                               const char *token);

#endif
