#ifndef WSG_NET_PROXY_HEADER_H
#define WSG_NET_PROXY_HEADER_H

/*
 * The header of the PROXY protocol, versions 1 and 2: what a proxy in front of the gate says, before the client's first
 * byte, of where the client is. Read strictly: whatever comes in its place is refused, since a client that could leave it
 * out could also make it up. Pure.
 *
 * Source   The PROXY protocol, versions 1 & 2, of HAProxy (2020/03/05)
 */

#include "base/ip.h"

enum { WSG_PROXY_HEADER_MAX = 4096 };

struct wsg_proxy_header {
    bool has_client;  /* false: the proxy speaks for itself (LOCAL), and the connection is from whom it is from */
    struct wsb_ip ip; /* wsb_ip_unknown(): the client has no address on a network, or the proxy does not know it */
    uint16_t port;
};

/*
 * Read a header from the beginning of what has come.
 *
 * Returns   WSB_OK, and *ret_used bytes were the header; WSB_MORE: all of it is header so far; WSB_ERR_PROTO: it is none
 */
WSB_MUST_CHECK wsb_err wsg_proxy_header_parse(const uint8_t *in, size_t len, struct wsg_proxy_header *ret,
                                              size_t *ret_used);

#endif
