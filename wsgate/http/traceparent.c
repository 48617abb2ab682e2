/* W3C Trace Context, level 1, §3.2: fields of fixed width, lower-case hexadecimal, with dashes between them. */
#include "http/traceparent.h"

#include <inttypes.h>
#include <stdio.h>

enum { FIELDS = 4, VERSION = 0, TRACE_ID = 1, PARENT_ID = 2 };

static bool is_lower_hex(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!(s.ptr[i] >= '0' && s.ptr[i] <= '9') && !(s.ptr[i] >= 'a' && s.ptr[i] <= 'f'))
            return false;
    }
    return true;
}

static bool is_all(struct wsb_span s, uint8_t c)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != c)
            return false;
    }
    return true;
}

bool wsg_traceparent_is_valid(struct wsb_span value)
{
    static const size_t widths[FIELDS] = {2, 32, 16, 2};
    struct wsb_span fields[FIELDS];
    size_t at = 0;
    if (value.len < WSG_TRACEPARENT_LEN)
        return false;
    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = wsb_span(value.ptr + at, widths[i]);
        at += widths[i];
        if (!is_lower_hex(fields[i]) || (at < value.len && value.ptr[at++] != '-'))
            return false;
    }
    if (wsb_span_eq_str(fields[VERSION], "ff") || is_all(fields[TRACE_ID], '0') || is_all(fields[PARENT_ID], '0'))
        return false; /* §3.2.2: these mean nothing, and never will */
    return value.len == WSG_TRACEPARENT_LEN || !wsb_span_eq_str(fields[VERSION], "00");
}

bool wsg_traceparent_is_there(const struct wsg_http_header *headers, size_t count)
{
    struct wsb_span value;
    return wsg_http_header_find(headers, count, "traceparent", &value) == 1 && wsg_traceparent_is_valid(value);
}

void wsg_traceparent_write(const uint64_t random[3], char out[WSG_TRACEPARENT_LEN + 1])
{
    uint64_t low = random[0] || random[1] ? random[1] : 1; /* all zeros would be no id */
    uint64_t parent = random[2] ? random[2] : 1;
    (void)snprintf(out, WSG_TRACEPARENT_LEN + 1, "00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-01", random[0], low,
                   parent);
}
