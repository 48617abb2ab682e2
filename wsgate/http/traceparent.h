#ifndef WSG_HTTP_TRACEPARENT_H
#define WSG_HTTP_TRACEPARENT_H

/*
 * The traceparent of W3C Trace Context: which trace a request belongs to, and what in it caused the request. Who gets one
 * passes it on as it is; who gets none, or one that breaks the rules, may begin a trace. Pure.
 *
 *     00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *     version, trace id, parent id, flags
 */

#include "http/header.h"

enum { WSG_TRACEPARENT_LEN = 55 }; /* of version 00 */

/* One field's value. Of versions that are not known yet what is known is checked, and what may follow is let be. */
bool wsg_traceparent_is_valid(struct wsb_span value);

/* Is there one among the fields, and only one, that is valid? */
bool wsg_traceparent_is_there(const struct wsg_http_header *headers, size_t count);

/* A new trace, sampled, of 192 bits that nobody can guess. */
void wsg_traceparent_write(const uint64_t random[3], char out[WSG_TRACEPARENT_LEN + 1]);

#endif
