#ifndef WSG_GATE_NOTIFIER_H
#define WSG_GATE_NOTIFIER_H

/*
 * Tells the service manager how the gate is, and as long as every worker's loop turns, that it lives.
 *
 *   STARTING ──ready──▶ READY ◀──ready── RELOADING
 *                         └──reloading──────▲           any ──stopping──▶ STOPPING
 *
 * What the manager does not take at once is told again, in its order: nothing here waits.
 *
 * Threads   the first worker's; a pulse runs in the worker's that it is of
 */

#include "loop/loop.h"
#include "service/manager.h"

enum wsg_phase { WSG_PHASE_STARTING, WSG_PHASE_READY, WSG_PHASE_RELOADING, WSG_PHASE_STOPPING };

/* Asks the loop of one worker to say that it turns. */
struct wsg_pulse {
    struct wsg_task task;
    struct wsg_loop *loop; /* borrowed */
    _Atomic bool is_out;   /* posted, and has not run */
    bool is_missed;        /* and that is in the log */
};

enum { WSG_UNTOLD_MAX = 4 };

struct wsg_notifier {
    struct wsg_manager *manager; /* borrowed; NULL: there is none */
    struct wsg_loop *loop;       /* borrowed; the first worker's */
    struct wsg_timer watchdog;
    struct wsg_timer retry;
    uint64_t watchdog_ms; /* between two signs of life; 0: none are wanted */
    enum wsg_phase phase;
    char (*untold)[WSG_MANAGER_TEXT_MAX]; /* owned; what the manager did not take, oldest first */
    size_t untold_count;
    struct wsg_pulse *pulses; /* owned; of the other workers */
    size_t pulse_count;
};

/* `loops`: of the workers, the first one's first. */
WSB_MUST_CHECK wsb_err wsg_notifier_init(struct wsg_notifier *n, struct wsg_manager *manager,
                                         struct wsg_loop *const *loops, size_t count);
void wsg_notifier_deinit(struct wsg_notifier *n); /* when no loop runs any more; a zeroed one is fine */

/* Serving, from now on or again. `status`: in words, for people; control characters become spaces. */
void wsg_notifier_ready(struct wsg_notifier *n, const char *status);
/* The files are about to be read again: wsg_notifier_ready() says that this is over. */
void wsg_notifier_reloading(struct wsg_notifier *n);
/* Draining: it may take so long, whatever the manager's own limit is. */
void wsg_notifier_stopping(struct wsg_notifier *n, const char *status, uint64_t within_ms);

#endif
