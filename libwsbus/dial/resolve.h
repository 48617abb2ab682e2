#ifndef WSB_DIAL_RESOLVE_H
#define WSB_DIAL_RESOLVE_H

/*
 * From a host to its addresses, in bounded time. The C library's own look-up cannot be told when to stop: a name is looked
 * up by a thread that is left to itself when it takes too long, or is not wanted any more. Addresses as text need neither.
 */

#include <netdb.h>
#include <stdint.h>

#include "base/fault.h"

/*
 * @until_ms  of CLOCK_MONOTONIC
 * @stop_fd   as for wsb_wait_fd()
 *
 * Returns   WSB_OK, and *ret is freed with freeaddrinfo(); WSB_ERR_NOT_FOUND; WSB_ERR_TIMEOUT; WSB_CLOSED stopped;
 *           WSB_ERR_NOMEM no memory, thread or descriptor
 * Threads   any
 */
WSB_MUST_CHECK wsb_err wsb_resolve(const char *host, uint16_t port, uint64_t until_ms, int stop_fd,
                                   struct addrinfo **ret, struct wsb_fault *fault);

#endif
