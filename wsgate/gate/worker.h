#ifndef WSG_GATE_WORKER_H
#define WSG_GATE_WORKER_H

/*
 * One thread with one loop, its own listeners and its own connections. The first worker also has the hub. Workers share
 * nothing but the route table, two rings between each and the hub, one with what its sessions said and one with commands on the way
 * back, and the tasks they post to each other.
 */

#include <pthread.h>

#include "base/log_limit.h"
#include "gate/belt.h"
#include "gate/parcel.h"
#include "net/socket.h"
#include "session/session.h"

struct wsg_gate;

enum { WSG_LISTENERS_MAX = 64 };

struct wsg_acceptor {
    struct wsg_watch watch;
    struct wsg_worker *worker;   /* borrowed */
    uint8_t entrance;            /* index of the listener in the configuration */
    bool owns_fd;                /* a Unix socket's descriptor is shared by all workers */
    struct wsb_tls_context *tls; /* a reference; NULL: plain */
    uint64_t round_us;           /* the latest round in which it let somebody in */
};

/* Commands of the hub for the sessions of a worker: those of a round together, and the first worker's when they are many. */
struct wsg_down {
    struct wsb_buf parcels; /* owned; the hub's: not on the belt yet */
    uint64_t sent;          /* the hub's: bytes, as parcels weigh */
    bool is_full;           /* the hub's: the belt */
    struct wsg_belt belt;
    struct wsg_errands errands; /* the worker's: what it has taken from the belt and not carried out */
    struct wsg_task wake;       /* of the worker */
    _Atomic bool wake_posted;
    _Atomic bool wants_room;      /* the hub wants to be woken when the worker has taken something */
    _Atomic uint64_t carried_out; /* by the worker: of the bytes sent */
    struct wsg_lost lost;         /* connections of which a command was not kept */
};

/* Clients are closed so many at a time, and none with messages under way before the time for that is over. */
struct wsg_drain_plan {
    struct wsg_timer timer;
    uint32_t last_accepts; /* rounds of them that there were */
    uint32_t at;           /* the next place that is looked at */
    uint32_t forced;       /* the same, once everybody is closed */
    uint32_t tick_ms;
    uint64_t force_ms; /* then everybody is closed */
};

struct wsg_worker {
    struct wsg_gate *gate; /* borrowed */
    uint8_t index;
    struct wsg_loop *loop; /* owned */
    struct wsg_env env;
    struct wsg_acceptor acceptors[WSG_LISTENERS_MAX];
    size_t acceptor_count;
    bool is_held;                  /* those with TLS do not accept: too many handshakes are under way */
    struct wsg_timer accept_pause; /* out of descriptors: try again */
    struct wsg_belt uplink;        /* to the hub; the first worker has no use for it */
    struct wsg_down down;
    struct wsg_task wake; /* of the hub, for the belts */
    _Atomic bool wake_posted;
    _Atomic size_t in_flight; /* bytes posted to the hub that it has not taken */
    _Atomic bool is_stalled;  /* wants to be told when the hub has caught up */
    _Atomic bool unstall_posted;
    struct wsg_task unstall;
    struct wsg_task again;
    bool again_posted;
    struct wsb_log_limit accept_lines;
    size_t first_uplink; /* of the first worker: whose turn it is */
    size_t work_left;    /* of this round, for commands to many connections */
    size_t work_unseen;  /* since the last look at the clock */
    uint64_t work_until_us;
    _Atomic uint64_t missed; /* commands of handlers for connections that are not here */
    struct wsg_drain_plan drain;
    size_t counted; /* connections, as last told to the gate */
    pthread_t thread;
    bool has_thread;
};

WSB_MUST_CHECK wsb_err wsg_worker_init(struct wsg_worker *w, struct wsg_gate *gate, uint8_t index,
                                       struct wsb_fault *fault);
/* From the hub's worker, when the others have stopped: nothing that they said is left. */
bool wsg_workers_are_heard(struct wsg_worker *hubs);
/* Messages of its clients may go straight to their handlers: it is the hub's thread. */
void wsg_worker_offer_express(struct wsg_worker *w);
void wsg_worker_deinit(struct wsg_worker *w); /* all sessions are gone afterwards */
/* Takes fd if owns_fd, on success; and a reference of tls, which may be NULL. */
WSB_MUST_CHECK wsb_err wsg_worker_listen(struct wsg_worker *w, int fd, uint8_t entrance, bool owns_fd,
                                         struct wsb_tls_context *tls);
/* In the worker's thread: who comes from now on gets these, by listener, of which references are taken. */
void wsg_worker_set_tls(struct wsg_worker *w, struct wsb_tls_context *const *contexts, size_t count);
void wsg_worker_stop_listening(struct wsg_worker *w);
/* In the worker's thread: accept who waits, and nobody else; then close all clients, spread over some time. Those with messages under
 * way have until force_ms of the loop's clock. */
void wsg_worker_drain(struct wsg_worker *w, uint32_t spread_ms, uint64_t force_ms);

/*
 * From the hub's thread, in a round of its: a command for connections of this worker. The first worker carries it out at once, if it is
 * for few and nothing waits in front of it; otherwise it is carried out some connections a round, and all of it but a frame is
 * copied. An id that is not there gets its outcome then.
 */
void wsg_worker_command(struct wsg_worker *w, const struct wsg_command *c, const wsb_conn *ids, size_t count);
/* Too much was sent that it has not carried out: the hub had better receive no more. */
bool wsg_worker_is_behind(const struct wsg_worker *w);

/* Each session that there is; the callback may kill it. */
void wsg_worker_each(struct wsg_worker *w, void (*fn)(struct wsg_session *s, void *ctx), void *ctx);

#endif
