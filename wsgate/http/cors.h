#ifndef WSG_HTTP_CORS_H
#define WSG_HTTP_CORS_H

/*
 * Whose pages may read what is answered, and send what: the server's half of CORS, as the Fetch standard has it. Browsers
 * keep pages to it; whoever is no browser is not kept from anything by it. Pure.
 */

#include "base/buf.h"
#include "http/request.h"
#include "policy/policy.h"

/* The request's origin, when its pages may read the answer; ptr NULL: there is none, or it may not. Borrowed from the head. */
struct wsb_span wsg_cors_origin(const struct wsg_cors *c, const struct wsg_http_head *head);

/* Does a browser ask whether a page may send a request? (Fetch, CORS-preflight fetch) */
bool wsg_cors_is_preflight(const struct wsg_http_head *head);

/*
 * Whether a page may send what a preflight asks for.
 *
 * @served   methods; of others no page may send one
 *
 * Returns   NULL: it may; else why not, for the log
 */
const char *wsg_cors_refusal(const struct wsg_cors *c, const struct wsg_texts *served,
                             const struct wsg_http_head *preflight);

/* What stands in Access-Control-Allow-Methods, in -Allow-Headers and in -Expose-Headers; nothing where that says nothing. */
WSB_MUST_CHECK wsb_err wsg_cors_methods_write(struct wsb_buf *out, const struct wsg_cors *c,
                                              const struct wsg_texts *served);
WSB_MUST_CHECK wsb_err wsg_cors_headers_write(struct wsb_buf *out, const struct wsg_cors *c,
                                              const struct wsg_http_head *preflight);
WSB_MUST_CHECK wsb_err wsg_cors_exposed_write(struct wsb_buf *out, const struct wsg_cors *c);

/* A field of CORS: where the gate answers for it, handlers do not. */
bool wsg_cors_is_field(struct wsb_span name);

#endif
