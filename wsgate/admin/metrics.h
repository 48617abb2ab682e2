#ifndef WSG_ADMIN_METRICS_H
#define WSG_ADMIN_METRICS_H

/*
 * Metrics and health by HTTP: /metrics, for who shows the token if one is wanted, /healthz and /readyz. It lives on the
 * first worker's loop. A request a connection; few connections, of which the oldest makes room for a new one, so that one
 * who is stuck never keeps a probe out. Source: wsgate(1), METRICS.
 *
 * Threads   the first worker's; new and free while it does not run
 */

#include "base/fault.h"

struct wsg_gate;
struct wsg_metrics;

/**
 * Listen.
 *
 * @gate    borrowed for the listener's life; its configuration has the address
 *
 * Returns  WSB_OK, or what went wrong, in words in *fault
 */
WSB_MUST_CHECK wsb_err wsg_metrics_new(struct wsg_gate *gate, struct wsg_metrics **ret, struct wsb_fault *fault);
void wsg_metrics_free(struct wsg_metrics *m); /* accepts NULL */
/* Where it listens, with the port that is really bound. */
const char *wsg_metrics_address(const struct wsg_metrics *m);

#endif
