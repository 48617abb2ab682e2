#ifndef WSG_HTTP_FORWARDED_H
#define WSG_HTTP_FORWARDED_H

/*
 * Where a request comes from when proxies stand in front of the gate: what they say in X-Forwarded-For or in Forwarded
 * (RFC 7239), read from the end, as far as those who say it are trusted. Which of the two headers counts has to be
 * configured, since a proxy that writes one lets a client's own other one pass. Pure.
 */

#include "base/ip.h"
#include "http/header.h"

enum wsg_forwarded { WSG_FORWARDED_NONE, WSG_FORWARDED_X, WSG_FORWARDED_RFC7239 };

enum { WSG_FORWARDED_HOPS_MAX = 32 }; /* of the last ones; whoever has more proxies than that has a loop */

struct wsg_forwarded_client {
    struct wsb_ip ip;
    uint16_t port;         /* 0: not told */
    struct wsb_span proto; /* "https", "http"; as the outermost trusted proxy saw it; empty: not told */
    bool is_broken;        /* the search ended at something that is no list of Forwarded */
};

/*
 * The outermost address that a trusted proxy names: the first, from the end, that is not itself trusted. What cannot be
 * read ("unknown", a name, no name at all, rubbish) ends the search, and the client is unknown (wsb_ip_unknown()): it is not
 * the proxy that wrote it. A proxy that goes on with what its client wrote lets the client decide whether the whole can be
 * taken apart: is_broken says that it cannot.
 *
 * Returns   false: no proxy says anything of a client, so it is who the connection is from; proto may be told all the same
 */
bool wsg_forwarded_find(enum wsg_forwarded kind, const struct wsg_http_header *headers, size_t count,
                        const struct wsb_ip_nets *trusted, struct wsg_forwarded_client *ret);

#endif
