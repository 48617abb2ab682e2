/*
 * The gate while it lives: what main runs. Workers are threads; the first one is the caller's. Ending: listeners close first,
 * then clients are told, then whoever is left after the drain timeout is cut off.
 */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "gate/gate_parts.h"

enum {
    DRAIN_CHECK_MS = 20,
    LEFTOVERS = 4096,       /* rounds at the end */
    PARCELS_HIGH = 32 << 20 /* bytes of commands waiting for one worker */
};

/* ------------------------------------------------------------------- accessors */

struct wsg_hub *wsg_gate_hub(struct wsg_gate *g)
{
    return &g->hub;
}

struct wsg_loop *wsg_gate_loop(struct wsg_gate *g)
{
    return g->workers[0].loop;
}

const struct wsg_config *wsg_gate_config(const struct wsg_gate *g)
{
    return g->config;
}

struct wsg_routes *wsg_gate_routes(struct wsg_gate *g)
{
    return &g->routes;
}

const char *wsg_gate_dir(const struct wsg_gate *g)
{
    return g->dir;
}

uint64_t wsg_gate_started_ms(const struct wsg_gate *g)
{
    return g->started_ms;
}

bool wsg_gate_is_draining(const struct wsg_gate *g)
{
    return g->phase != WSG_GATE_SERVING;
}

const struct wsg_tls_listeners *wsg_gate_tls(const struct wsg_gate *g)
{
    return &g->tls;
}

struct wsg_dials *wsg_gate_dials(struct wsg_gate *g)
{
    return &g->dials;
}

const struct wsg_secure_tally *wsg_gate_tls_tally(const struct wsg_gate *g)
{
    return &g->tls_tally;
}

size_t wsg_gate_worker_count(const struct wsg_gate *g)
{
    return g->worker_count;
}

struct wsg_worker *wsg_gate_worker(struct wsg_gate *g, size_t index)
{
    return &g->workers[index];
}

size_t wsg_gate_listener_count(const struct wsg_gate *g)
{
    return g->listener_count;
}

const char *wsg_gate_listener(const struct wsg_gate *g, size_t index)
{
    return g->listeners[index];
}

const char *wsg_gate_bus_key(const struct wsg_gate *g)
{
    return g->config->curve_secret ? g->curve.pair.public_key : NULL;
}

const struct wsb_bearer *wsg_gate_metrics_token(const struct wsg_gate *g)
{
    return g->config->metrics_token ? &g->metrics_token : NULL;
}

void wsg_gate_count_refused(struct wsg_gate *g, enum wsg_refusal why)
{
    wsg_gatekeeping_count(&g->gatekeeping, why);
}

void wsg_gate_set_listener(struct wsg_gate *g, const struct wsg_gate_listener *l)
{
    g->listener = *l;
}

void wsg_gate_stats(struct wsg_gate *g, struct wsg_gate_stats *ret)
{
    *ret = (struct wsg_gate_stats){
        .accepted = atomic_load_explicit(&g->accepted, memory_order_relaxed),
        .connections = atomic_load_explicit(&g->connections, memory_order_relaxed),
        .compress_memory = atomic_load_explicit(&g->deflate_account.used, memory_order_relaxed),
        .compress_refused = atomic_load_explicit(&g->deflate_account.refused, memory_order_relaxed),
    };
    if (g->access_log)
        wsg_access_log_stats(g->access_log, &ret->access);
    for (size_t i = 0; i < g->worker_count; i++)
        ret->missed += atomic_load_explicit(&g->workers[i].missed, memory_order_relaxed);
    for (int i = 0; i < WSG_REFUSALS; i++)
        ret->refused += ret->refused_by[i] = atomic_load_explicit(&g->gatekeeping.refused[i], memory_order_relaxed);
}

/*
 * A place is taken before there is a session, and from one sum: workers that accept side by side never have more together
 * than there may be. Sessions that end, and places of sessions that did not come about, are given back by the difference
 * to the worker's own slots.
 */
bool wsg_gate_count_connection(struct wsg_gate *g, struct wsg_worker *w)
{
    wsg_gate_publish_count(g, w);
    w->counted++;
    bool is_full = atomic_fetch_add_explicit(&g->connections, 1, memory_order_relaxed) >= g->config->max_connections;
    if (is_full && !wsg_sessions_end_silent(&w->env)) {
        wsg_gate_publish_count(g, w);
        wsg_gatekeeping_count(&g->gatekeeping, WSG_REFUSED_CONNECTIONS);
        return false;
    }
    atomic_fetch_add_explicit(&g->accepted, 1, memory_order_relaxed);
    return true;
}

void wsg_gate_publish_count(struct wsg_gate *g, struct wsg_worker *w)
{
    size_t now = w->env.slots.used;
    if (now == w->counted)
        return;
    atomic_fetch_add_explicit(&g->connections, now - w->counted,
                              memory_order_relaxed); /* wraps for a decrease, rightly */
    w->counted = now;
}

/* ----------------------------------------------------------------- commands */

/* An id that names no worker of ours is answered by the first one. */
static size_t worker_of(const struct wsg_gate *g, wsb_conn id)
{
    size_t w = wsg_id_parts(id).worker;
    return w < g->worker_count ? w : 0;
}

static bool reserve_sorted(struct wsg_gate *g, size_t count)
{
    if (count <= g->sorted_cap)
        return true;
    wsb_conn *more = realloc(g->sorted, count * sizeof *more);
    if (!more)
        return false;
    g->sorted = more;
    g->sorted_cap = count;
    return true;
}

void wsg_gate_command(struct wsg_gate *g, const struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    if (g->worker_count == 1 || count == 1) {
        wsg_worker_command(&g->workers[g->worker_count == 1 ? 0 : worker_of(g, ids[0])], c, ids, count);
        return;
    }
    if (!reserve_sorted(g, count)) { /* dearer, and without memory */
        for (size_t i = 0; i < count; i++)
            wsg_worker_command(&g->workers[worker_of(g, ids[i])], c, &ids[i], 1);
        return;
    }
    for (size_t w = 0; w < g->worker_count; w++) {
        size_t n = 0;
        for (size_t i = 0; i < count; i++) {
            if (worker_of(g, ids[i]) == w)
                g->sorted[n++] = ids[i];
        }
        if (n)
            wsg_worker_command(&g->workers[w], c, g->sorted, n);
    }
}

static void hub_command(void *ctx, const struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    wsg_gate_command(ctx, c, ids, count);
}

static void hub_reply(void *ctx, uint64_t origin, const struct wsb_envelope *e)
{
    struct wsg_gate *g = ctx;
    if (g->listener.reply)
        g->listener.reply(g->listener.ctx, origin, e);
}

static void hub_tap(void *ctx, const struct wsg_out *out)
{
    struct wsg_gate *g = ctx;
    if (g->listener.tap)
        g->listener.tap(g->listener.ctx, out);
}

static bool hub_is_behind(void *ctx)
{
    struct wsg_gate *g = ctx;
    for (size_t i = 0; i < g->worker_count; i++) {
        if (wsg_worker_is_behind(&g->workers[i]))
            return true;
    }
    return false;
}

struct wsg_hub_host wsg_gate_host(struct wsg_gate *g)
{
    return (struct wsg_hub_host){
        .ctx = g, .command = hub_command, .reply = hub_reply, .tap = hub_tap, .is_behind = hub_is_behind};
}

/* ----------------------------------------------------------------- draining */

struct each_task {
    struct wsg_task task;
    struct wsg_worker *worker;
};

static void on_drain_worker(struct wsg_task *t)
{
    struct each_task *e = CONTAINER(t, struct each_task, task);
    const struct wsg_config *c = e->worker->gate->config;
    /* messages under way have half of the time, the closing handshakes the other */
    uint64_t force_ms = wsg_loop_now_ms(e->worker->loop) + c->drain_timeout_ms / 2;
    wsg_worker_drain(e->worker, c->drain_spread_ms, force_ms);
    free(e);
}

static void stop_all(struct wsg_gate *g)
{
    for (size_t i = 0; i < g->worker_count; i++)
        wsg_loop_stop(g->workers[i].loop);
}

static void begin_drain(struct wsg_gate *g);

static void on_drain_timer(struct wsg_timer *t)
{
    struct wsg_gate *g = CONTAINER(t, struct wsg_gate, drain_timer);
    uint64_t now_ms = wsg_loop_now_ms(g->workers[0].loop);
    size_t left = atomic_load(&g->connections);
    if (g->phase == WSG_GATE_CORDONED) {
        begin_drain(g);
        return;
    }
    if (left && now_ms < g->drain_until_ms) {
        (void)!wsg_loop_arm(g->workers[0].loop, t, now_ms + DRAIN_CHECK_MS);
        return;
    }
    WSB_LOG(WSB_LOG_GATE, left ? WSB_LOG_WARN : WSB_LOG_INFO, "drained", WSB_KU("cut_off", left));
    stop_all(g);
}

static void notify_stopping(struct wsg_gate *g, uint64_t delay_ms)
{
    char status[80];
    (void)snprintf(status, sizeof status, "Draining %zu connections", atomic_load(&g->connections));
    wsg_notifier_stopping(&g->notifier, status, delay_ms + g->config->drain_timeout_ms);
}

void wsg_gate_notify_ready(struct wsg_gate *g, const char *failure)
{
    char status[400];
    int n = snprintf(status, sizeof status, "Serving %zu routes on %zu addresses with %zu workers",
                     g->config->route_count, g->listener_count, g->worker_count);
    if (failure)
        (void)snprintf(status + n, sizeof status - (size_t)n, "; the last reload failed: %s", failure);
    wsg_notifier_ready(&g->notifier, status);
}

/* The listeners close, and the clients are closed. */
static void begin_drain(struct wsg_gate *g)
{
    g->phase = WSG_GATE_DRAINING;
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "draining", WSB_KU("connections", atomic_load(&g->connections)),
            WSB_KU("timeout_ms", g->config->drain_timeout_ms));
    wsg_dials_drain(&g->dials);
    for (size_t i = 0; i < g->worker_count; i++) {
        struct each_task *e = malloc(sizeof *e);
        if (!e) {
            stop_all(g);
            return;
        }
        *e = (struct each_task){.task.fn = on_drain_worker, .worker = &g->workers[i]};
        wsg_loop_post(g->workers[i].loop, &e->task);
    }
    uint64_t now_ms = wsg_loop_now_ms(g->workers[0].loop);
    g->drain_until_ms = now_ms + g->config->drain_timeout_ms;
    if (wsg_loop_arm(g->workers[0].loop, &g->drain_timer, now_ms + DRAIN_CHECK_MS) != WSB_OK)
        stop_all(g);
}

void wsg_gate_drain(struct wsg_gate *g, uint64_t delay_ms)
{
    if (g->phase != WSG_GATE_SERVING)
        return;
    g->phase = WSG_GATE_CORDONED;
    g->drain_timer.fn = on_drain_timer;
    notify_stopping(g, delay_ms);
    if (delay_ms == 0) {
        begin_drain(g);
        return;
    }
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "not ready any more", WSB_KU("connections", atomic_load(&g->connections)),
            WSB_KU("delay_ms", delay_ms));
    if (wsg_loop_arm(g->workers[0].loop, &g->drain_timer, wsg_loop_now_ms(g->workers[0].loop) + delay_ms) != WSB_OK)
        begin_drain(g);
}

void wsg_gate_stop(struct wsg_gate *g)
{
    g->phase = WSG_GATE_DRAINING;
    stop_all(g);
}

void wsg_gate_signal_drain(struct wsg_gate *g)
{
    switch (g->phase) {
    case WSG_GATE_SERVING:
        wsg_gate_drain(g, g->config->drain_delay_ms);
        break;
    case WSG_GATE_CORDONED:
        wsg_loop_disarm(g->workers[0].loop, &g->drain_timer);
        begin_drain(g);
        break;
    case WSG_GATE_DRAINING:
        wsg_gate_stop(g);
        break;
    }
}

/* ------------------------------------------------------------------ running */

static void *worker_main(void *arg)
{
    struct wsg_worker *w = arg;
    wsg_loop_run(w->loop);
    return NULL;
}

static wsb_err start_threads(struct wsg_gate *g, struct wsb_fault *fault)
{
    sigset_t all, before;
    int failed = 0;
    sigfillset(&all); /* signals are for the first worker */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 1; i < g->worker_count && !failed; i++) {
        failed = pthread_create(&g->workers[i].thread, NULL, worker_main, &g->workers[i]);
        g->workers[i].has_thread = !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed ? wsb_fault_set(fault, WSB_ERR_IO, failed, "cannot start a worker: %s", strerror(failed)) : WSB_OK;
}

/* What was posted before the end still owns memory: let it run. */
static void run_leftovers(struct wsg_gate *g)
{
    for (int pass = 0; pass < 2 || (pass < LEFTOVERS && !wsg_workers_are_heard(&g->workers[0])); pass++) {
        for (size_t i = g->worker_count; i-- > 0;)
            wsg_loop_round(g->workers[i].loop, 0);
    }
}

wsb_err wsg_gate_run(struct wsg_gate *g, struct wsb_fault *fault)
{
    wsb_err err = start_threads(g, fault);
    if (!err) {
        wsg_gate_notify_ready(g, NULL);
        wsg_loop_run(g->workers[0].loop);
    }
    stop_all(g);
    for (size_t i = 1; i < g->worker_count; i++) {
        if (g->workers[i].has_thread)
            pthread_join(g->workers[i].thread, NULL);
    }
    run_leftovers(g);
    wsg_gate_tell_news(g);
    return err;
}
