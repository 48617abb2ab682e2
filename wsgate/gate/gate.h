#ifndef WSG_GATE_GATE_H
#define WSG_GATE_GATE_H

/*
 * The gate: owns the route table, the workers and the hub, listens, runs, and ends in good order.
 *
 *   BUILT ──run──▶ RUNNING ──drain──▶ DRAINING ──nobody left, or time up──▶ stopped: run returns
 */

#include "access/log.h"
#include "config/config.h"
#include "hub/hub.h"
#include "gate/dials.h"
#include "gate/tls_listeners.h"
#include "gate/worker.h"
#include "service/manager.h"
#include "token/bearer.h"

struct wsg_gate;

struct wsg_gate_stats {
    uint64_t accepted, refused; /* connections; refused with requests of no route */
    uint64_t refused_by[WSG_REFUSALS];
    struct wsg_access_stats access;
    size_t connections;
    size_t compress_memory;    /* bytes in use for contexts of compressors */
    uint64_t compress_refused; /* connections for whose contexts there was none left */
    uint64_t missed;           /* commands of handlers for connections that are closed, or never were */
};

/**
 * Build a gate: bind the bus, open listeners and static directories. Nothing is served before run.
 *
 * @config   borrowed for the gate's life
 * @manager  borrowed for the gate's life, may be NULL: has the sockets of listeners "fd:NAME", and is told how the gate is
 *
 * Returns  WSB_OK, or what went wrong, in words in *fault
 */
WSB_MUST_CHECK wsb_err wsg_gate_new(const struct wsg_config *config, struct wsg_manager *manager, struct wsg_gate **ret,
                                    struct wsb_fault *fault);
void wsg_gate_free(struct wsg_gate *g);

/* Check all that a start would, of a configuration that may be faulty already: files, keys, certificates, directories. Nothing is made,
 * bound or changed. `warn` is told what is allowed, and most likely not meant. NULL: the start follows, which finds out itself about
 * directories, sockets and logs. */
void wsg_gate_check(const struct wsg_config *config, void (*warn)(const char *text), struct wsg_faults *all);

/* Run in this thread, which becomes the first worker's, until drained. */
WSB_MUST_CHECK wsb_err wsg_gate_run(struct wsg_gate *g, struct wsb_fault *fault);
/*
 * End in good order: readiness says no at once; delay_ms later the listeners close, what is under way is finished, clients are closed with
 * 1001, and the gate stops when all are gone or the drain timeout is over. Idempotent.
 */
void wsg_gate_drain(struct wsg_gate *g, uint64_t delay_ms);
/* A signal asks for that; a second one for less of the delay, a third one for the end. */
void wsg_gate_signal_drain(struct wsg_gate *g);
void wsg_gate_stop(struct wsg_gate *g);

/**
 * Read the files of certificates, of tokens' keys and of the metrics' token anew, in the first worker's thread. Connections keep what they have; who comes from now on
 * gets what is in the files.
 *
 * Returns  WSB_OK; else nothing has changed, and the fault says which file is wrong, and how
 */
WSB_MUST_CHECK wsb_err wsg_gate_reload(struct wsg_gate *g, struct wsb_fault *fault);

/**
 * Open the file of the access log anew: the one that was open has been moved away. In the first worker's thread.
 *
 * Returns  WSB_OK; WSB_ERR_NOT_FOUND there is none; else the old file stays open, and the fault says why
 */
WSB_MUST_CHECK wsb_err wsg_gate_reopen_log(struct wsg_gate *g, struct wsb_fault *fault);

/* For the first worker's thread: the control socket. */
struct wsg_hub *wsg_gate_hub(struct wsg_gate *g);
struct wsg_loop *wsg_gate_loop(struct wsg_gate *g);
const struct wsg_config *wsg_gate_config(const struct wsg_gate *g);
struct wsg_routes *wsg_gate_routes(struct wsg_gate *g);
const char *wsg_gate_dir(const struct wsg_gate *g);
const struct wsg_tls_listeners *wsg_gate_tls(const struct wsg_gate *g);
struct wsg_dials *wsg_gate_dials(struct wsg_gate *g);
const struct wsg_secure_tally *wsg_gate_tls_tally(const struct wsg_gate *g);
uint64_t wsg_gate_started_ms(const struct wsg_gate *g);
/* SERVING ──▶ CORDONED (not ready, serves on) ──▶ DRAINING (no listeners, clients are closed) ──▶ the end */
enum wsg_gate_phase { WSG_GATE_SERVING, WSG_GATE_CORDONED, WSG_GATE_DRAINING };

/* It is not ready for new clients: in any phase but the first. */
bool wsg_gate_is_draining(const struct wsg_gate *g);
size_t wsg_gate_worker_count(const struct wsg_gate *g);
void wsg_gate_stats(struct wsg_gate *g, struct wsg_gate_stats *ret);
size_t wsg_gate_listener_count(const struct wsg_gate *g);
const char *wsg_gate_listener(const struct wsg_gate *g, size_t index); /* with the port that is really bound */

/* What who reads metrics has to show; NULL: nothing is wanted. Not for long: it changes when files are read anew. */
const struct wsb_bearer *wsg_gate_metrics_token(const struct wsg_gate *g);
/* Somebody was refused who asked for no route. */
void wsg_gate_count_refused(struct wsg_gate *g, enum wsg_refusal why);

/* The public key that handlers on TCP must know; NULL: none is wanted. Its endpoints: wsb_server_endpoint() of the hub's. */
const char *wsg_gate_bus_key(const struct wsg_gate *g);

/* Carry out a command on connections, wherever they are. What it points at is borrowed. */
void wsg_gate_command(struct wsg_gate *g, const struct wsg_command *c, const wsb_conn *ids, size_t count);

/* Where OUTCOME and PONG of commands with WSG_ORIGIN_ADMIN go, and what taps show. */
struct wsg_gate_listener {
    void *ctx; /* borrowed */
    void (*reply)(void *ctx, uint64_t origin, const struct wsb_envelope *e);
    void (*tap)(void *ctx, const struct wsg_out *out);
};
void wsg_gate_set_listener(struct wsg_gate *g, const struct wsg_gate_listener *l);

/* One connection as `wsctl list` shows it. */
struct wsg_conn_info {
    wsb_conn id;
    const char *what;  /* static; "WebSocket(server, CONNECTED)" */
    const char *route; /* the route's name, or "" */
    char peer[64];
    char target[160]; /* cut when longer */
    char subprotocol[64];
    uint8_t worker;
    uint8_t state; /* enum wsg_session_state */
    bool is_tapped;
    bool is_paused;
    bool is_compressed;
    struct wsb_deflate_params deflate; /* when it is */
    uint64_t age_ms, idle_ms;
    uint64_t opened_ms, active_ms; /* of the loops' clock: what they are counted from */
    uint64_t messages_in, bytes_in, messages_out, bytes_out;
    uint64_t queued; /* bytes waiting for the client */
    uint64_t queued_messages, written, dropped_out;
    uint32_t rtt_us;      /* 0: never measured */
    char tls_version[16]; /* "": no TLS; then the next ones are empty too */
    char tls_cipher[48];
    char tls_name[64];
    char client_subject[160];
    char client_fingerprint[WSB_TLS_FINGERPRINT_TEXT];
};

/* Whom the connections are shown to, some at a time, in the first worker's thread. */
struct wsg_list_reader {
    /* The rows are good until it returns. False: enough; no more come. */
    bool (*part)(void *ctx, const struct wsg_conn_info *rows, size_t count);
    void (*done)(void *ctx); /* once, after the last part */
};

/**
 * Ask all workers for their connections, in no order. One that comes or goes meanwhile may be missing; none is shown twice.
 *
 * @reader  borrowed for the call; its functions are called later, and never from inside. `ctx` has to live until `done`, or until
 *          the gate has stopped
 *
 * Returns  WSB_OK; WSB_ERR_NOMEM, and nothing is called
 */
WSB_MUST_CHECK wsb_err wsg_gate_list(struct wsg_gate *g, const struct wsg_list_reader *reader, void *ctx);

/* For workers. */
struct wsg_worker *wsg_gate_worker(struct wsg_gate *g, size_t index);
bool wsg_gate_count_connection(struct wsg_gate *g, struct wsg_worker *w); /* false: there are as many as may be */
void wsg_gate_publish_count(struct wsg_gate *g, struct wsg_worker *w);

#endif
