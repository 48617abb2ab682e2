#ifndef WSG_ADMIN_LISTENER_H
#define WSG_ADMIN_LISTENER_H

/* A listening socket on the first worker's loop that takes a rest when descriptors run out: it would wake us again at once. */

#include "loop/loop.h"
#include "net/address.h"

struct wsg_listener {
    struct wsg_watch watch;
    struct wsg_timer rest;
    struct wsg_loop *loop;              /* borrowed */
    void (*welcome)(void *ctx, int fd); /* takes fd */
    void *ctx;                          /* borrowed */
};

/* Not listening yet; may be closed. */
void wsg_listener_init(struct wsg_listener *l, struct wsg_loop *loop, void (*welcome)(void *ctx, int fd), void *ctx);
WSB_MUST_CHECK wsb_err wsg_listener_open(struct wsg_listener *l, const struct wsg_address *at, unsigned mode,
                                         struct wsg_address *ret_bound, struct wsb_fault *fault);
void wsg_listener_close(struct wsg_listener *l);

#endif
