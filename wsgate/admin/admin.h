#ifndef WSG_ADMIN_ADMIN_H
#define WSG_ADMIN_ADMIN_H

/*
 * The control socket: JSON-RPC 2.0, one object a line, on the Unix socket `control` in the runtime directory. It lives on
 * the first worker's loop and never makes it wait: what needs the workers is answered later, what is long is written in
 * slices, and a client that does not read loses what it watches, not the gate's time. Source: docs/protocol.md, part II.
 *
 * Threads   the first worker's; new and free while it does not run
 */

#include "base/fault.h"

struct wsg_gate;
struct wsg_admin;

/**
 * Open the control socket.
 *
 * @gate    borrowed for the admin's life
 *
 * Returns  WSB_OK; WSB_ERR_EXISTS another gate listens there; or what went wrong, in words in *fault
 */
WSB_MUST_CHECK wsb_err wsg_admin_new(struct wsg_gate *gate, struct wsg_admin **ret, struct wsb_fault *fault);

/* After the gate has stopped running and before it is freed. */
void wsg_admin_free(struct wsg_admin *a);

#endif
