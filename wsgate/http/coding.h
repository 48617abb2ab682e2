#ifndef WSG_HTTP_CODING_H
#define WSG_HTTP_CODING_H

/*
 * Content codings (RFC 9110 §8.4 and §12.5.3): what a client takes, which responses gain by gzip and may have it, and what
 * it means for their fields. Pure.
 */

#include "base/buf.h"
#include "http/header.h"

/* Weights of an Accept-Encoding in thousandths. */
struct wsg_codings {
    int gzip;     /* -1: not named, as the others */
    int identity; /* no coding */
    int any;      /* '*': whatever is not named */
};

/* Of all fields of that name. An element that is malformed says that its coding is not taken; named twice, the lower weight
 * counts. */
void wsg_codings_parse(const struct wsg_http_header *headers, size_t count, struct wsg_codings *ret);

/* May gzip be sent, and would the client rather have it? A client that says nothing is not sent any. */
bool wsg_codings_want_gzip(const struct wsg_codings *c);

/* Do these fields of a response, or of a 304 that stands for it, leave the gate the choice? */
bool wsg_coding_is_allowed(const struct wsg_http_header *headers, size_t count);

/* Can a response with this status and these fields have a coding at all, and does its type gain by it? */
bool wsg_coding_suits(int status, const struct wsg_http_header *headers, size_t count);

enum wsg_coding_change {
    WSG_CODING_VARIES, /* it goes as it is, and would not for another client */
    WSG_CODING_WEAK,   /* likewise, without saying which: the answer to HEAD, or 304 */
    WSG_CODING_GZIP    /* it goes as gzip */
};

enum { WSG_CODING_FIELDS = 2 }; /* that may be added */

/**
 * Change the fields of a response by what is done with it: Vary, Content-Encoding, a weak ETag, no Accept-Ranges.
 *
 * @headers  room for WSG_CODING_FIELDS more
 * @etag     what the new ETag is written to; its field points there
 *
 * Returns   WSB_OK; WSB_ERR_NOMEM: nothing has changed
 * Source    RFC 9110 §8.4, §8.8.3.3, §12.5.5, §14.3
 */
WSB_MUST_CHECK wsb_err wsg_coding_apply(struct wsg_http_header *headers, size_t *count, enum wsg_coding_change change,
                                        struct wsb_buf *etag);

#endif
