#ifndef WSG_GATE_ENTRANCES_H
#define WSG_GATE_ENTRANCES_H

/* What the configuration says of who may come in, as the sessions act by it. */

#include "config/config.h"
#include "session/gatekeeping.h"

WSB_MUST_CHECK wsb_err wsg_entrances_build(struct wsg_gatekeeping *g, const struct wsg_config *c,
                                           struct wsb_fault *fault);
/* Read the keys of tokens again: all of them, or, with a fault, none. From any thread. */
WSB_MUST_CHECK wsb_err wsg_entrances_reload(struct wsg_gatekeeping *g, const struct wsg_config *c,
                                            struct wsb_fault *fault);
void wsg_entrances_deinit(struct wsg_gatekeeping *g);

#endif
