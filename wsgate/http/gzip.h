#ifndef WSG_HTTP_GZIP_H
#define WSG_HTTP_GZIP_H

/*
 * A compressor for bodies of responses: the gzip format (RFC 1952), whole or in parts. Pure.
 */

#include "base/buf.h"
#include "base/span.h"
#include "wsbus/err.h"

struct wsg_gzip;

/* What the output has to say behind a part. */
enum wsg_gzip_flush {
    WSG_GZIP_KEEP,  /* nothing yet: the compressor may keep the part until more comes */
    WSG_GZIP_FLUSH, /* all that was given, so that a client need not wait for the next part */
    WSG_GZIP_END    /* the same, and the body ends with it */
};

/* bits: 9 to 15, log2 of the window; level: 1 to 9 */
WSB_MUST_CHECK wsb_err wsg_gzip_new(struct wsg_gzip **ret, unsigned bits, unsigned level);
void wsg_gzip_free(struct wsg_gzip *g);
size_t wsg_gzip_cost(unsigned bits); /* bytes, about */

/* Begin another body. */
void wsg_gzip_reset(struct wsg_gzip *g, unsigned level);

/**
 * One more part of the body.
 *
 * @out     what it has become is appended
 *
 * Returns  WSB_OK; WSB_ERR_NOMEM: the body cannot go on
 */
WSB_MUST_CHECK wsb_err wsg_gzip_append(struct wsg_gzip *g, struct wsb_span part, enum wsg_gzip_flush flush,
                                       struct wsb_buf *out);

#endif
