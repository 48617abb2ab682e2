#ifndef WSG_GATE_GATE_PARTS_H
#define WSG_GATE_GATE_PARTS_H

/*
 * What the files of the gate proper share, and nobody else uses: gate.c is its life, gate_build.c how it comes about from a
 * configuration, gate_check.c whether it could, gate_list.c what it tells of its connections, gate_reload.c what it reads again while it runs.
 */

#include "access/log.h"
#include "base/runtime_dir.h"
#include "config/allow.h"
#include "gate/dials.h"
#include "gate/entrances.h"
#include "gate/gate.h"
#include "gate/notifier.h"
#include "token/bearer.h"

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct wsg_gate {
    const struct wsg_config *config; /* borrowed */
    char dir[WSB_RUNTIME_DIR_MAX];
    struct wsg_routes routes;
    struct wsg_static_root *statics; /* owned */
    size_t static_count;
    struct wsg_worker *workers; /* owned */
    size_t worker_count;
    wsb_conn *sorted; /* owned; scratch for the targets of one worker */
    size_t sorted_cap;
    struct wsg_hub hub;
    struct wsg_allow shm_allow; /* who may come over shared memory */
    struct wsb_curve curve;     /* keys of the bus on TCP, when the configuration has some */
    struct wsg_timer news;      /* tells of ZeroMQ peers that were refused, and of log lines that were left out */
    uint64_t keys_refused;      /* as last told */
    uint64_t peers_refused;     /* likewise, for other reasons */
    struct wsg_tls_listeners tls;
    struct wsg_timer ticket_rotation;
    struct wsg_secure_tally tls_tally;
    char (*listeners)[WSG_ADDRESS_TEXT]; /* owned */
    size_t listener_count;
    int shared_fds
        [WSG_LISTENERS_MAX]; /* owned; listeners that the workers share: Unix sockets, and what was passed to us */
    char *unix_paths[WSG_LISTENERS_MAX]; /* of ours, to be removed; borrowed from the configuration; else NULL */
    size_t shared_count;
    struct wsg_gate_listener listener;
    struct wsg_listing *listings; /* owned; under way */
    struct wsg_timer drain_timer;
    uint64_t drain_until_ms;
    uint64_t started_ms;
    enum wsg_gate_phase phase;
    struct wsb_deflate_account deflate_account;
    struct wsg_unfinished_account unfinished_account;
    _Atomic size_t connections;
    _Atomic uint64_t accepted;
    struct wsg_gatekeeping gatekeeping;
    struct wsb_bearer metrics_token;   /* when the configuration has one */
    struct wsg_access_log *access_log; /* owned; NULL: there is none */
    struct wsg_dials dials;
    struct wsg_manager *manager; /* borrowed; NULL: nobody manages us */
    struct wsg_notifier notifier;
};

/* Add a fault of a part of the configuration, with the place of that in front of it: wsg_origin_blame(). */
void wsg_gate_add_fault(const struct wsg_origin *o, const char *flag, const char *otherwise, struct wsb_fault *fault,
                        struct wsg_faults *all);
/* Those routes that can be; the others are faults. */
void wsg_gate_build_routes(const struct wsg_config *c, struct wsg_routes *routes, struct wsg_faults *all);
WSB_MUST_CHECK wsb_err wsg_gate_open_static(const struct wsg_static_config *s, int *ret_fd, struct wsb_fault *fault);
/* The file of metrics_token, if there is to be one; its option stands before a fault. */
WSB_MUST_CHECK wsb_err wsg_gate_load_metrics_token(const struct wsg_config *c, struct wsb_bearer *ret,
                                                   struct wsb_fault *fault);
/* gate_list.c: after the workers have stopped. */
void wsg_gate_listings_free(struct wsg_gate *g);
/* What is told once a second at most, and once more at the end: the bus is still there. */
void wsg_gate_tell_news(struct wsg_gate *g);
/* What the hub asks of its gate. */
struct wsg_hub_host wsg_gate_host(struct wsg_gate *g);
/* The service manager is told that the gate serves; `failure`: what went wrong with the last reload, or NULL. */
void wsg_gate_notify_ready(struct wsg_gate *g, const char *failure);
/* What is allowed, and most likely not meant, to the log. */
void wsg_gate_warn_of_tls(const struct wsg_gate *g);

#endif
