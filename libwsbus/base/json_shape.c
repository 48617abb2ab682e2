/* Brackets and commas are counted outside of strings. Text that is no JSON may be counted wrongly, but never too small. */
#include "base/json_shape.h"

/* Behind the quote that ends the string which begins before `at`. */
static size_t string_end(struct wsb_span json, size_t at)
{
    while (at < json.len && json.ptr[at] != '"')
        at += json.ptr[at] == '\\' ? 2 : 1;
    return at + 1;
}

wsb_err wsb_json_shape_check(struct wsb_span json, const struct wsb_json_shape *most)
{
    size_t depth = 0;
    size_t values = 1;
    for (size_t at = 0; at < json.len; at++) {
        switch (json.ptr[at]) {
        case '"':
            at = string_end(json, at + 1) - 1;
            break;
        case '[':
        case '{':
            depth++;
            values++; /* its first one */
            break;
        case ']':
        case '}':
            depth -= depth > 0;
            break;
        case ',':
            values++;
            break;
        default:
            break;
        }
        if (depth > most->depth || values > most->values)
            return WSB_ERR_LIMIT;
    }
    return WSB_OK;
}
