/*
 * Accept-Encoding. Input: lines, each the value of one field.
 * Property: weights are weights; many fields mean what one list of all of them does; what forbids gzip last, forbids it.
 */
#include <stdlib.h>

#include "http/coding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS = 16 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

static bool is_weight(int weight)
{
    return weight >= -1 && weight <= 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wsg_http_header fields[FIELDS + 1];
    struct wsg_codings apart, together;
    struct wsb_buf joined;
    size_t count = 0;
    size_t at = 0;
    wsb_buf_init(&joined, 0);
    while (at < size && count < FIELDS) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end ? (size_t)(end - data) - at : size - at;
        fields[count++] = (struct wsg_http_header){wsb_span_str("Accept-Encoding"), wsb_span(data + at, len)};
        require(wsb_buf_append(&joined, data + at, len) == WSB_OK && wsb_buf_append_str(&joined, ",") == WSB_OK);
        at += len + 1;
    }
    wsg_codings_parse(fields, count, &apart);
    require(is_weight(apart.gzip) && is_weight(apart.identity) && is_weight(apart.any));
    struct wsg_http_header list = {wsb_span_str("accept-encoding"), wsb_buf_span(&joined)};
    wsg_codings_parse(&list, joined.len ? 1 : 0, &together);
    require(apart.gzip == together.gzip && apart.identity == together.identity && apart.any == together.any);
    require(wsg_codings_want_gzip(&apart) == wsg_codings_want_gzip(&together));
    fields[count] = (struct wsg_http_header){wsb_span_str("Accept-Encoding"), wsb_span_str("gzip;q=0")};
    wsg_codings_parse(fields, count + 1, &apart);
    require(!wsg_codings_want_gzip(&apart));
    wsb_buf_deinit(&joined);
    return 0;
}
