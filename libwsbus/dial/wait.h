#ifndef WSB_DIAL_WAIT_H
#define WSB_DIAL_WAIT_H

/* Waiting for a descriptor, until a time, or until somebody wants no more of it. */

#include <stdint.h>

#include "wsbus/err.h"

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t wsb_monotonic_ms(void);

/* Milliseconds until then, as poll() wants them; 0: it is over. */
int wsb_ms_left(uint64_t until_ms);

/*
 * @events   POLLIN, POLLOUT
 * @stop_fd  once it is readable nobody waits any more; -1: there is none
 *
 * Returns   WSB_OK something of the events, or an error, is there; WSB_ERR_TIMEOUT; WSB_CLOSED stopped
 * Threads   any
 */
WSB_MUST_CHECK wsb_err wsb_wait_fd(int fd, short events, uint64_t until_ms, int stop_fd);

#endif
