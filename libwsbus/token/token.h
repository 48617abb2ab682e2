#ifndef WSB_TOKEN_TOKEN_H
#define WSB_TOKEN_TOKEN_H

/*
 * Signed tokens that expire: JSON Web Tokens (RFC 7519) in the compact form, signed by one of the algorithms of keys.h. Read
 * strictly: no other algorithm, "none" least of all; no critical extension; an expiry has to be there. Time is an
 * argument.
 *
 * Threads   any
 */

#include <jansson.h>

#include "token/keys.h"

enum {
    WSB_TOKEN_MAX = 8192,
    WSB_TOKEN_DEPTH_MAX = 32,   /* objects and arrays within each other, in its header and in its claims */
    WSB_TOKEN_VALUES_MAX = 1024 /* in each of them */
};

struct wsb_token_rules {
    const char *issuer;     /* that "iss" has to be; NULL: any */
    const char *audience;   /* that "aud" has to name, where there is one */
    bool audience_required; /* there has to be one */
    uint32_t leeway_ms;     /* by which clocks may differ */
};

/*
 * Is it a token, is it signed with one of these keys, and is it good now?
 *
 * @ret_claims   what it says; to be given back with json_decref()
 * @ret_why      static text, on refusal
 *
 * Returns   WSB_OK; WSB_ERR_REFUSED; WSB_ERR_NOMEM
 * Source    RFC 7515 §5.2, RFC 7519 §7.2, RFC 8725
 */
WSB_MUST_CHECK wsb_err wsb_token_check(const struct wsb_token_keys *keys, struct wsb_span token,
                                       const struct wsb_token_rules *rules, int64_t now_s, json_t **ret_claims,
                                       const char **ret_why);

/*
 * Make a token with the set's symmetric key of that kid, or its first one when kid is NULL.
 *
 * @claims   as they stand in it
 *
 * Returns   WSB_OK, and *ret is freed with free(); WSB_ERR_NOT_FOUND: no such key; WSB_ERR_LIMIT: the claims are more than a token
 *           may say; WSB_ERR_NOMEM; WSB_ERR_INTERNAL
 */
WSB_MUST_CHECK wsb_err wsb_token_make(const struct wsb_token_keys *keys, const char *kid, const json_t *claims,
                                      char **ret);

#endif
