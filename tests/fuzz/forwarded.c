/*
 * X-Forwarded-For and Forwarded. Input: lines, each a field "name: value".
 * Property: whoever is named is somebody, and trusted ones are passed over: with all of them trusted the search comes at
 * least as far; what it says of the protocol lies within the fields.
 */
#include <stdlib.h>

#include "fuzz/fields.h"
#include "http/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
