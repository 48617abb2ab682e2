#ifndef WSL_WORKER_H
#define WSL_WORKER_H

/*
 * A thread of the client with its own epoll and its own connections. The controller (run.c) moves all workers through the
 * phases; each looks at the phase once a round.
 *
 *   CONNECT ─▶ WARM_UP ─▶ MEASURE ─▶ DRAIN ─▶ CLOSE ─▶ EXIT        idle has no WARM_UP; nothing connected: straight to EXIT
 */

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "conn.h"
#include "histogram.h"
#include "payload.h"
#include "tally.h"

enum wsl_phase {
    WSL_CONNECT,
    WSL_WARM_UP,
    WSL_MEASURE,
    WSL_DRAIN, /* nothing new is sent; answers are waited for */
    WSL_CLOSE,
    WSL_EXIT,
};

enum { WSL_SCRATCH = 256 << 10 }; /* bytes of one read */

struct wsl_worker;

/* What all workers share. Plain members do not change while workers run. */
struct wsl_shared {
    const struct wsl_options *o;
    const struct wsl_target *target;
    const struct wsl_payload *payload;
    SSL_CTX *tls; /* NULL without TLS */
    uint32_t run; /* the sender in the stamp of what is published */
    struct wsl_worker *workers;
    unsigned worker_count;
    _Atomic int phase;
    _Atomic uint64_t schedule_ns;       /* when the warm-up began */
    _Atomic uint64_t first_ns, last_ns; /* the measured time; 0 while it has not begun, or ended */
    _Atomic uint64_t subscribers;       /* fan-out: that are connected */
};

/* How one mode loads the server. Every function may be NULL. */
struct wsl_load {
    /* Once a round in WARM_UP, MEASURE and DRAIN. ret_wait_ns: longest time until the next call, lowered only. */
    void (*round)(struct wsl_worker *w, enum wsl_phase phase, uint64_t now_ns, uint64_t *ret_wait_ns);
    /* A whole message has come. */
    void (*message)(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_incoming *in, uint64_t now_ns);
    /* Everything that one read has brought was handed over. */
    void (*taken)(struct wsl_worker *w, struct wsl_conn *c, uint64_t now_ns);
};

struct wsl_worker {
    pthread_t thread;
    unsigned number;
    struct wsl_shared *shared;
    const struct wsl_load *load;
    int epoll;              /* owned */
    struct wsl_conn *conns; /* owned */
    unsigned conn_count;
    uint8_t *scratch;      /* owned; for reading */
    struct wsb_buf frames; /* for writing */
    struct wsb_buf plain;  /* a message that is to be compressed */
    struct wsb_deflate_account account;
    struct wsb_deflate_shared *deflate; /* owned; NULL: nothing is compressed */
    uint64_t random;
    /* connecting */
    unsigned begun, under_way, open;
    /* load */
    bool is_primed;
    uint64_t quota;                 /* messages that may be sent */
    uint64_t scheduled;             /* of the schedule, done with */
    uint64_t given_up;              /* fan-out: publishes that were not waited for any longer */
    uint64_t progress, progress_ns; /* fan-out: deliveries, and when there last were new ones */
    /* result */
    struct wsl_tally tally;
    struct wsl_histogram latency, uncorrected, handshake; /* ns */
    uint64_t last_open_ns;
    /* Read by the controller; written by this thread only. */
    _Atomic uint64_t sent, received, sent_measured, received_measured, bytes_measured;
    _Atomic unsigned alive;    /* connections that are open or closing */
    _Atomic bool is_connected; /* done with connecting, well or not */
    _Atomic bool is_finished;  /* will send no more */
};

/* WSB_ERR_NOMEM, WSB_ERR_IO. A zeroed worker with shared, load, number, random and quota set. */
WSB_MUST_CHECK wsb_err wsl_worker_init(struct wsl_worker *w, uint32_t first_conn, unsigned conn_count);
void wsl_worker_deinit(struct wsl_worker *w);

WSB_MUST_CHECK wsb_err wsl_worker_start(struct wsl_worker *w);

/* --- for the loads ------------------------------------------------------------------------------------------------ */

/* The connection is of no use any more: count why, and let it go. */
void wsl_worker_lose(struct wsl_worker *w, struct wsl_conn *c, enum wsl_count why, const char *words);

/* Append a message of a connection to w->frames, compressed, and in fragments, if that is wanted. WSB_ERR_NOMEM. */
WSB_MUST_CHECK wsb_err wsl_worker_frame(struct wsl_worker *w, struct wsl_conn *c, const struct wsl_stamp *stamp);

/* Send w->frames. False: the connection is lost. */
bool wsl_worker_send(struct wsl_worker *w, struct wsl_conn *c);

static inline void wsl_add(_Atomic uint64_t *counter, uint64_t more)
{
    /* one writer: no locked instruction */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + more, memory_order_relaxed);
}

static inline uint64_t wsl_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline enum wsl_phase wsl_phase_of(struct wsl_shared *s)
{
    return (enum wsl_phase)atomic_load_explicit(&s->phase, memory_order_acquire);
}

static inline uint64_t wsl_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
