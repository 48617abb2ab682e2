/* Tokens, blanks and lists of header fields. */
#include "ws/field.h"

#include <string.h>

static bool is_ows(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct wsb_span wsb_field_trim(struct wsb_span s)
{
    while (s.len && is_ows(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && is_ows(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool wsb_field_is_alnum(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 9110 §5.6.2 */
bool wsb_field_is_token_char(uint8_t c)
{
    return wsb_field_is_alnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

bool wsb_field_is_token(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!wsb_field_is_token_char(s.ptr[i]))
            return false;
    }
    return s.len > 0;
}

bool wsb_field_next_element(struct wsb_span *rest, struct wsb_span *ret)
{
    while (rest->len) {
        const uint8_t *comma = memchr(rest->ptr, ',', rest->len);
        size_t len = comma ? (size_t)(comma - rest->ptr) : rest->len;
        struct wsb_span element = wsb_field_trim(wsb_span(rest->ptr, len));
        size_t used = comma ? len + 1 : len;
        rest->ptr += used;
        rest->len -= used;
        if (element.len) {
            *ret = element;
            return true;
        }
    }
    return false;
}
