#ifndef WSG_GATE_TLS_LISTENERS_H
#define WSG_GATE_TLS_LISTENERS_H

/*
 * The TLS of all listeners, as their files have it now: a context for each that has certificates. Reading the files anew
 * makes new contexts, or changes nothing.
 *
 * Threads   the first worker's
 */

#include "config/config.h"
#include "tls/context.h"

struct wsg_tls_listeners {
    struct wsb_tls_context **contexts; /* owned, each a reference, as the listeners of the configuration; NULL: plain */
    size_t count;
    struct wsb_tls_tickets *tickets; /* a reference; outlive what is read anew, so that sessions go on */
};

/**
 * Read the files of all listeners.
 *
 * @t  zeroed, or loaded before: its contexts are replaced on success
 */
/* Load what can be, and tell of each listener whose files cannot be used. `t` is zeroed. */
void wsg_tls_listeners_check(struct wsg_tls_listeners *t, const struct wsg_config *config, struct wsg_faults *all);
WSB_MUST_CHECK wsb_err wsg_tls_listeners_load(struct wsg_tls_listeners *t, const struct wsg_config *config,
                                              struct wsb_fault *fault);
void wsg_tls_listeners_deinit(struct wsg_tls_listeners *t);
bool wsg_tls_listeners_has_any(const struct wsg_tls_listeners *t);

/* What is allowed, and most likely not meant: certificates that are not valid now, keys that others can read. */
void wsg_tls_listeners_warn(const struct wsg_tls_listeners *t, const struct wsg_config *config, int64_t now_s,
                            void (*warn)(const char *text));

/* Unix time when the first of the certificates ends; 0: there are none. */
int64_t wsg_tls_listeners_end_s(const struct wsg_tls_listeners *t);

#endif
