/*
 * The header of the PROXY protocol. Input: what a proxy, or somebody in its place, sends first.
 * Property: the verdict on the whole is that on some prefix of it, everything shorter wants more, nothing behind the
 * header changes it, and what it says of the client reads back as the same address.
 */
#include <stdlib.h>

#include "net/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_client(const struct wsg_proxy_header *h)
{
    char text[WSB_IP_TEXT];
    struct wsb_ip again;
    if (!h->has_client || wsb_ip_is_unknown(&h->ip))
        return;
    wsb_ip_format(&h->ip, text);
    require(wsb_ip_parse(wsb_span_str(text), &again));
    require(memcmp(&again, &h->ip, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wsg_proxy_header h = {0};
    size_t used = 0;
    wsb_err err = wsg_proxy_header_parse(data, size, &h, &used);
    require(err == WSB_OK || err == WSB_MORE || err == WSB_ERR_PROTO);
    require(err != WSB_MORE || size < WSG_PROXY_HEADER_MAX);
    if (err == WSB_OK) {
        require(used > 0 && used <= size);
        check_client(&h);
    }
    size_t end = err == WSB_OK ? used : size;
    for (size_t len = 0; len < end && len < 600; len++) {
        struct wsg_proxy_header prefix = {0};
        size_t prefix_used = 0;
        wsb_err sooner = wsg_proxy_header_parse(data, len, &prefix, &prefix_used);
        require(sooner == WSB_MORE || (sooner == WSB_ERR_PROTO && err == WSB_ERR_PROTO));
    }
    return 0;
}
