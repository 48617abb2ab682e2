/*
 * traceparent. Input: the value of one field.
 * Property: what is valid is four fields that, taken apart and put together, give its beginning again; its version changed
 * to 00 it is valid exactly when nothing follows; and nothing that is valid can be cut short.
 */
#include <stdlib.h>

#include "http/traceparent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static uint64_t number_of(const uint8_t *digits, size_t count)
{
    uint64_t v = 0;
    for (size_t i = 0; i < count; i++)
        v = v << 4 | wsg_http_hex_value(digits[i]);
    return v;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t copy[4096];
    char made[WSG_TRACEPARENT_LEN + 1];
    if (size > sizeof copy || !wsg_traceparent_is_valid(wsb_span(data, size)))
        return 0;
    require(size >= WSG_TRACEPARENT_LEN);
    require(!wsg_traceparent_is_valid(wsb_span(data, WSG_TRACEPARENT_LEN - 1)));
    const uint64_t random[] = {number_of(data + 3, 16), number_of(data + 19, 16), number_of(data + 36, 16)};
    wsg_traceparent_write(random, made);
    require(memcmp(made + 2, data + 2, WSG_TRACEPARENT_LEN - 4) == 0);
    memcpy(copy, data, size);
    copy[0] = copy[1] = '0';
    require(wsg_traceparent_is_valid(wsb_span(copy, size)) == (size == WSG_TRACEPARENT_LEN));
    return 0;
}
