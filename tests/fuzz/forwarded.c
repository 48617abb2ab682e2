/*
 * X-Forwarded-For and Forwarded. Input: lines, each a field "name: value".
 * Property: whoever is named is somebody, and trusted ones are passed over: with all of them trusted the search comes at
 * least as far; what it says of the protocol lies within the fields.
 */
#include <stdlib.h>

#include "http/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS = 16 };

static void require(bool truth)
{
    if (!truth)
        abort();
}

static size_t fields_of(struct wsb_span in, struct wsg_http_header fields[FIELDS])
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

static bool is_within(struct wsb_span part, const uint8_t *data, size_t size)
{
    return part.len == 0 || (part.ptr >= data && part.ptr + part.len <= data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wsb_ip nobody;
    char *everybody[] = {"::/0"};
    struct wsb_ip_nets none = {0};
    struct wsb_ip_nets all;
    struct wsg_http_header fields[FIELDS];
    size_t count = fields_of(wsb_span(data, size), fields);
    require(wsb_ip_nets_init(&all, everybody, 1, NULL) == WSB_OK);
    for (enum wsg_forwarded kind = WSG_FORWARDED_NONE; kind <= WSG_FORWARDED_RFC7239; kind++) {
        struct wsg_forwarded_client near, far;
        bool found = wsg_forwarded_find(kind, fields, count, &none, &near);
        require(wsg_forwarded_find(kind, fields, count, &all, &far) == found);
        require(!found || kind != WSG_FORWARDED_NONE);
        require(!found || (memcmp(&near.ip, &nobody, sizeof nobody) != 0 && memcmp(&far.ip, &nobody, sizeof nobody)));
        require(is_within(near.proto, data, size) && is_within(far.proto, data, size));
    }
    wsb_ip_nets_deinit(&all);
    return 0;
}
