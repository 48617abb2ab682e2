#ifndef WSL_EXCHANGE_H
#define WSL_EXCHANGE_H

/* Messages and their answers on one connection, in order: what echo and rate have in common. */

#include "worker.h"

/* Send `count` messages in one write; due_ns as the schedule said. Ends at the quota, and at a connection that holds as much
 * as it may: that is counted as skipped. False: the connection is lost. */
bool wsl_exchange_send(struct wsl_worker *w, struct wsl_conn *c, unsigned count, uint64_t due_ns, uint64_t now_ns);

/* An answer has come. The slot of its message, or NULL when none was due. */
const struct wsl_slot *wsl_exchange_take(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_incoming *in);

#endif
