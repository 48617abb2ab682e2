#ifndef WSG_BUS_KEY_H
#define WSG_BUS_KEY_H

/*
 * What a route reads out of a request to know whose connection it is: sources of keys and users ("query:user"), and
 * templates of group names ("room:{room}"). They are checked against the route's path once, at start. Pure.
 */

#include "base/buf.h"
#include "base/fault.h"
#include "base/pattern.h"
#include "base/siphash.h"

enum { WSG_NAME_MAX = 255 }; /* bytes of a user, a group or a tag */

enum wsg_source_kind {
    WSG_SOURCE_NONE,
    WSG_SOURCE_QUERY,
    WSG_SOURCE_PARAM,
    WSG_SOURCE_HEADER,
    WSG_SOURCE_COOKIE,
    WSG_SOURCE_CLAIM,
    WSG_SOURCE_SUBPROTOCOL, /* the one behind this name in the client's list */
    WSG_SOURCE_ADDRESS
};

struct wsg_source {
    enum wsg_source_kind kind;
    const char *
        name; /* borrowed from the configuration; of a query or path parameter, a header, a cookie or a token's claim */
    size_t param; /* its place among the parameters of the path */
};

/* "query:NAME", "param:NAME", "header:NAME", "cookie:NAME", "claim:NAME", "subprotocol:NAME" or "address"; ret->name points into text. NULL is no source. */
WSB_MUST_CHECK wsb_err wsg_source_parse(const char *text, const struct wsb_pattern *path, struct wsg_source *ret,
                                        struct wsb_fault *fault);

/* Is it literal text with parameters of the path, in braces, and can it be a group's name? */
WSB_MUST_CHECK wsb_err wsg_template_check(const char *text, const struct wsb_pattern *path, struct wsb_fault *fault);

/*
 * Append the name that a checked template stands for.
 *
 * @params   of the path, as wsb_pattern_match() found them
 *
 * Returns   WSB_OK; WSB_ERR_REFUSED it is not a name, and nothing was appended; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsg_template_expand(const char *text, const struct wsb_pattern *path,
                                           const struct wsb_span *params, struct wsb_buf *out);

/* A user, a group or a tag: 1 to 255 bytes of UTF-8, none of them NUL. */
bool wsg_is_name(struct wsb_span s);

/* The first cookie of that name in a Cookie header (RFC 6265 §4.2), as it is sent, without quotes around it. */
bool wsg_cookie_find(struct wsb_span header, const char *name, struct wsb_span *ret_value);

/* "192.0.2.1:80" without its port; a Unix socket has no address. */
struct wsb_span wsg_address_of_peer(struct wsb_span peer);

/* Never 0, which stands for no key. */
uint64_t wsg_key_hash(const struct wsb_seed *seed, struct wsb_span key);

#endif
