#ifndef WSB_API_RESOLVE_H
#define WSB_API_RESOLVE_H

/*
 * From a host to its addresses, in bounded time. The C library's own look-up cannot be told when to stop: a name is looked
 * up by a thread that is left to itself when it takes too long. Addresses as text need neither.
 */

#include <netdb.h>
#include <stdint.h>

#include "base/fault.h"

/*
 * @until_ms  of CLOCK_MONOTONIC
 *
 * Returns   WSB_OK, and *ret is freed with freeaddrinfo(); WSB_ERR_NOT_FOUND; WSB_ERR_TIMEOUT; WSB_ERR_NOMEM
 * Threads   any
 */
WSB_MUST_CHECK wsb_err wsb_resolve(const char *host, uint16_t port, uint64_t until_ms, struct addrinfo **ret,
                                   struct wsb_fault *fault);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t wsb_monotonic_ms(void);

#endif
