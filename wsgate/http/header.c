/* Character classes and header lists. Everything here looks at bytes that were bounded by somebody else. */
#include "http/header.h"

enum {
    T = WSG_HTTP_TOKEN,
    G = WSG_HTTP_TARGET,
    F = WSG_HTTP_FIELD,
    X = WSG_HTTP_HEX,
};

/* No two ranges overlap. '#' is no part of a target: a fragment is never sent (RFC 9112 §3.2). */
const uint8_t wsg_http_classes[256] = {
    ['\t'] = F,
    [' '] = F,
    ['!'] = T | G | F,
    ['"'] = G | F,
    ['#'] = T | F,
    ['$' ... '\''] = T | G | F,
    ['(' ... ')'] = G | F,
    ['*' ... '+'] = T | G | F,
    [','] = G | F,
    ['-' ... '.'] = T | G | F,
    ['/'] = G | F,
    ['0' ... '9'] = T | G | F | X,
    [':' ... '@'] = G | F,
    ['A' ... 'F'] = T | G | F | X,
    ['G' ... 'Z'] = T | G | F,
    ['[' ... ']'] = G | F,
    ['^' ... '`'] = T | G | F,
    ['a' ... 'f'] = T | G | F | X,
    ['g' ... 'z'] = T | G | F,
    ['{'] = G | F,
    ['|'] = T | G | F,
    ['}'] = G | F,
    ['~'] = T | G | F,
    [0x80 ... 0xff] = F,
};

static bool is_all(struct wsb_span s, enum wsg_http_class class)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!wsg_http_is_class(s.ptr[i], class))
            return false;
    }
    return true;
}

bool wsg_http_is_token(struct wsb_span s)
{
    return s.len > 0 && is_all(s, WSG_HTTP_TOKEN);
}

bool wsg_http_is_field_value(struct wsb_span s)
{
    return is_all(s, WSG_HTTP_FIELD);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct wsb_span wsg_http_trim(struct wsb_span s)
{
    while (s.len && is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

size_t wsg_http_header_find(const struct wsg_http_header *headers, size_t count, const char *name,
                            struct wsb_span *ret_first)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (!wsb_span_ieq_str(headers[i].name, name))
            continue;
        if (found == 0 && ret_first)
            *ret_first = headers[i].value;
        found++;
    }
    return found;
}

bool wsg_http_list_next(struct wsb_span *rest, struct wsb_span *ret_item)
{
    if (!rest->ptr)
        return false;
    const uint8_t *comma = rest->len ? memchr(rest->ptr, ',', rest->len) : NULL;
    if (!comma) {
        *ret_item = wsg_http_trim(*rest);
        *rest = wsb_span(NULL, 0);
        return true;
    }
    size_t item_len = (size_t)(comma - rest->ptr);
    *ret_item = wsg_http_trim(wsb_span(rest->ptr, item_len));
    *rest = wsb_span(comma + 1, rest->len - item_len - 1);
    return true;
}

bool wsg_http_header_has_token(const struct wsg_http_header *headers, size_t count, const char *name, const char *token)
{
    for (size_t i = 0; i < count; i++) {
        if (!wsb_span_ieq_str(headers[i].name, name))
            continue;
        struct wsb_span rest = headers[i].value;
        struct wsb_span item;
        while (wsg_http_list_next(&rest, &item)) {
            if (wsb_span_ieq_str(item, token))
                return true;
        }
    }
    return false;
}
