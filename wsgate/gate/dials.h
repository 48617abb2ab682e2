#ifndef WSG_GATE_DIALS_H
#define WSG_GATE_DIALS_H

/*
 * The WebSocket servers that the gate connects to as a client. Each dial has one connection at most; when there is none it is
 * attempted, after a failure with pauses that grow, and differ by chance, so that many gates do not come back at one moment.
 *
 *     WAITING ──somebody serves the route──▶ CONNECTING ──▶ OPENING ──▶ OPEN
 *        ▲                                       │             │         │
 *        └───────────── PAUSING ◀────────────────┴─────────────┴─────────┘        any ──▶ STOPPED
 *
 * Threads   the first worker's. The attempts have threads of their own, the connections belong to workers by turns; both come
 *           back here by tasks.
 */

#include "config/config.h"
#include "gate/dial_attempt.h"
#include "session/dialed.h"

struct wsg_gate;

enum wsg_dial_state {
    WSG_DIAL_WAITING,    /* for a handler of its route, or for room in it */
    WSG_DIAL_PAUSING,    /* after a failure */
    WSG_DIAL_CONNECTING, /* an attempt is under way */
    WSG_DIAL_OPENING,    /* on its way to its worker */
    WSG_DIAL_OPEN,
    WSG_DIAL_STOPPED
};
const char *wsg_dial_state_name(enum wsg_dial_state state);

/* Why an attempt came to nothing. */
enum wsg_dial_failure {
    WSG_DIAL_ADDRESS,  /* its name is not found */
    WSG_DIAL_CONNECT,  /* it cannot be reached, or cuts the connection */
    WSG_DIAL_TIMEOUT,  /* all of it took too long */
    WSG_DIAL_TLS,      /* its certificate is not good, or nothing in common */
    WSG_DIAL_REFUSED,  /* it answered with another status than 101 */
    WSG_DIAL_PROTOCOL, /* its answer breaks a rule */
    WSG_DIAL_MEMORY,   /* we have no memory, threads or descriptors */
    WSG_DIAL_FAILURES
};
const char *wsg_dial_failure_name(enum wsg_dial_failure failure);

struct wsg_dial {
    struct wsg_dials *dials;              /* borrowed */
    const struct wsg_dial_config *config; /* borrowed, or owned when `is_own` */
    struct wsg_dial_config own;           /* of one that was made while the gate runs */
    char *target;                         /* owned, with the next two; the URL without its query, for people */
    char *path;                           /* with the query */
    char *host;                           /* as in Host */
    struct wsg_route *route;              /* borrowed */
    bool is_own;
    bool is_once;     /* no second connection, no second attempt */
    bool is_stopping; /* whatever is under way is to be ended */
    bool is_wanted;   /* and then, since somebody has started it meanwhile, it begins again */
    enum wsg_dial_state state;
    uint8_t worker; /* of its latest connection */
    unsigned failures_in_a_row;
    uint64_t since_ms; /* when the state began */
    uint64_t due_ms;   /* PAUSING: when it ends */
    uint64_t attempts, opened;
    char last[256]; /* why the latest attempt failed, or how the latest connection ended; "": nothing yet */
    struct wsg_timer timer;
    struct wsg_dial_attempt *attempt; /* owned; CONNECTING, OPENING */
    struct wsg_task attempted;        /* the attempt is over */
    struct wsg_task adopt;            /* on the worker */
    struct wsg_task adopted;          /* and back */
    struct wsg_task ended;
    wsb_err adoption;        /* of the latest */
    bool is_told, has_ended; /* its worker's */
    struct wsg_dialed dialed;
    struct wsg_dial *next;
};

struct wsg_dials {
    struct wsg_gate *gate;  /* borrowed */
    struct wsg_loop *loop;  /* borrowed */
    struct wsg_dial *first; /* owned list, in the order in which they came */
    size_t count;
    size_t next_worker;
    unsigned last_name;
    bool is_draining;
    bool is_halted; /* nothing comes back any more */
    struct {
        uint64_t attempts, opened, failed[WSG_DIAL_FAILURES];
    } stats;
};

/* Are all dials of the configuration such that they can be dialed? */
void wsg_dials_check(const struct wsg_config *c, struct wsg_faults *all);
/* All of the configuration begin. */
WSB_MUST_CHECK wsb_err wsg_dials_begin(struct wsg_dials *d, struct wsg_gate *gate, struct wsb_fault *fault);

/*
 * One more, until it is stopped or the gate ends.
 *
 * @c  with its name, or none: it gets one; taken and zeroed on success
 *
 * Returns   WSB_OK; WSB_ERR_CONFIG; WSB_ERR_EXISTS the name is taken; WSB_ERR_LIMIT; WSB_ERR_REFUSED the gate is draining; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsg_dials_add(struct wsg_dials *d, struct wsg_dial_config *c, bool is_once,
                                     struct wsg_dial **ret, struct wsb_fault *fault);
struct wsg_dial *wsg_dials_find(const struct wsg_dials *d, const char *name);

/* Its connection is closed with 1000, nothing is attempted any more. One that was made while the gate runs is forgotten then,
 * one of the configuration can be started again. */
void wsg_dial_stop(struct wsg_dial *d);
void wsg_dial_start(struct wsg_dial *d); /* nothing, unless it is stopped; while it is being stopped: afterwards */
size_t wsg_dials_open_count(const struct wsg_dials *d);

void wsg_dials_drain(struct wsg_dials *d);  /* no more attempts; the workers close what is open */
void wsg_dials_halt(struct wsg_dials *d);   /* before the workers end: nothing is under way any more */
void wsg_dials_deinit(struct wsg_dials *d); /* after they have */

#endif
