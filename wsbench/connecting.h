#ifndef WSL_CONNECTING_H
#define WSL_CONNECTING_H

/* From nothing to an open WebSocket, so many handshakes at a time. */

#include "worker.h"

/* Begin as many as may be under way; with the deadline over, give up those that are not open. Sets is_connected when none is
 * left. */
void wsl_connecting_round(struct wsl_worker *w, uint64_t now_ns, uint64_t deadline_ns);

/* Something happened at a connection that is not open yet. */
void wsl_connecting_step(struct wsl_worker *w, struct wsl_conn *c, uint32_t events);

#endif
