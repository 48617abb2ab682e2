#ifndef WSG_HTTP_TARGET_H
#define WSG_HTTP_TARGET_H

/*
 * The request target and the Host field: taken apart, decoded, or refused. A path that comes out of here begins with
 * '/' (or is "*"), is valid UTF-8, has no control characters, no backslash that was not encoded, no "." or ".." segments and
 * no two slashes in a row; an encoded slash is refused because decoding it would change what the segments are. Pure.
 */

#include "wsbus/err.h"
#include "base/host.h"
#include "base/span.h"

struct wsg_http_target {
    bool has_authority;        /* it is of the absolute form */
    struct wsb_host authority; /* then */
    struct wsb_span path;      /* decoded; "*" for the asterisk form */
    struct wsb_span query;     /* raw, behind the '?'; ptr NULL when there is none */
};

/**
 * Parse a request target whose bytes are all of class WSG_HTTP_TARGET.
 *
 * @scratch     at least `target.len` bytes for the decoded path; the result may point into it
 * @ret_reason  static text, on failure
 *
 * Returns   WSB_OK; WSB_ERR_PROTO
 * Lifetime  the spans are as good as target and scratch
 * Source    RFC 9112 §3.2
 */
WSB_MUST_CHECK wsb_err wsg_http_target_parse(struct wsb_span target, bool is_options, uint8_t *scratch,
                                             struct wsg_http_target *ret_target, const char **ret_reason);

/*
 * Percent-decode into out, which has room for in.len bytes and may be where they are. WSB_ERR_PROTO when a '%' is not followed by two hex
 * digits. '+' stays '+'.
 */
WSB_MUST_CHECK wsb_err wsg_http_percent_decode(struct wsb_span in, uint8_t *out, size_t *ret_len);

/* One parameter of a query string, as it is written there. */
struct wsg_http_param {
    struct wsb_span name;
    struct wsb_span value; /* behind the '='; len 0 without one */
};

/* Take the next parameter, which may be empty, off the front of *rest. False at the end. */
bool wsg_http_query_next(struct wsb_span *rest, struct wsg_http_param *ret);
/* Has it this name, however that is encoded? */
bool wsg_http_param_is(const struct wsg_http_param *p, const char *name);

/*
 * The raw value of the first parameter of that name in a query string.
 *
 * Returns   how many parameters have the name; 0: *ret_value is untouched
 */
size_t wsg_http_query_find(struct wsb_span query, const char *name, struct wsb_span *ret_value);

#endif
