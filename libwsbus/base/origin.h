#ifndef WSB_BASE_ORIGIN_H
#define WSB_BASE_ORIGIN_H

/*
 * Which web pages may connect, by the Origin that a browser puts into the handshake (RFC 6455 §10.2, RFC 6454). A rule is
 *
 *     any                        whoever it is, also without an origin
 *     none                       without an origin: programs that are no browsers
 *     same                       the page is of the host that is connected to
 *     https://app.example.org    exactly that; a port where it is not the scheme's own
 *     null                       what browsers say of sandboxed pages and files
 *
 * With "*." in front of its host an origin stands for every host below that, not for itself.
 *
 * Pure.
 */

#include "base/fault.h"
#include "base/span.h"

/* Is it a rule? WSB_ERR_CONFIG: the fault says why not. */
WSB_MUST_CHECK wsb_err wsb_origin_check(const char *rule, struct wsb_fault *fault);

/*
 * @rules, @count  that were checked; none of them: any
 * @origin         as received; ptr NULL: there is none
 * @host           of the request, with its port where it has one
 */
bool wsb_origin_is_allowed(char *const *rules, size_t count, struct wsb_span origin, struct wsb_span host);

#endif
