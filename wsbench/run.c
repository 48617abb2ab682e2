/* The controller: it sleeps while the workers work, moves them from phase to phase, and reads the clocks in between. */
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "loads.h"

static const uint64_t TICK_NS = 2000000, LAST_ANSWER_NS = 1000000000, CLOSE_NS = 1000000000;

struct run {
    const struct wsl_options *o;
    struct wsl_shared shared;
    struct wsl_payload payload;
    struct wsl_pids pids;
    struct wsl_result *result;
    unsigned started; /* workers whose thread runs */
};

static const struct wsl_load *const loads[] = {[WSL_ECHO] = &wsl_load_echo,
                                               [WSL_RATE] = &wsl_load_rate,
                                               [WSL_FANOUT] = &wsl_load_fanout,
                                               [WSL_IDLE] = &wsl_load_idle};

bool wsl_result_is_clean(const struct wsl_result *r)
{
    return r->connected == r->total && !r->missing && wsl_tally_is_clean(&r->tally);
}

static void sleep_ns(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};
    (void)nanosleep(&t, NULL);
}

static uint64_t ns_of(double seconds)
{
    return (uint64_t)(seconds * 1e9);
}

static double own_cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void enter(struct run *r, enum wsl_phase phase)
{
    atomic_store_explicit(&r->shared.phase, phase, memory_order_release);
}

/* --- sums over the workers ---------------------------------------------------------------------------------------- */

static unsigned alive(struct run *r)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < r->shared.worker_count; i++)
        sum += atomic_load(&r->shared.workers[i].alive);
    return sum;
}

static bool all_connected(struct run *r)
{
    for (unsigned i = 0; i < r->shared.worker_count; i++) {
        if (!atomic_load(&r->shared.workers[i].is_connected))
            return false;
    }
    return true;
}

/* No worker will send any more. In fan-out only the first one sends. */
static bool all_finished(struct run *r)
{
    unsigned senders = r->o->mode == WSL_FANOUT ? 1 : r->shared.worker_count;
    for (unsigned i = 0; i < senders; i++) {
        if (!atomic_load(&r->shared.workers[i].is_finished))
            return false;
    }
    return true;
}

static uint64_t received(struct run *r)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < r->shared.worker_count; i++)
        sum += wsl_get(&r->shared.workers[i].received);
    return sum;
}

/* Answers, or deliveries, that everything sent so far will have in the end. */
static uint64_t expected(struct run *r)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < r->shared.worker_count; i++)
        sum += wsl_get(&r->shared.workers[i].sent);
    return r->o->mode == WSL_FANOUT ? sum * wsl_get(&r->shared.subscribers) : sum;
}

/* --- setting up --------------------------------------------------------------------------------------------------- */

/* As many descriptors as there will be connections; what the system does not allow shows when they are opened. */
static void raise_limit(uint64_t connections)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= connections + 64)
        return;
    rlim_t wanted = connections + 64;
    struct rlimit more = {wanted, limit.rlim_max > wanted ? limit.rlim_max : wanted};
    if (!setrlimit(RLIMIT_NOFILE, &more))
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static wsb_err set_up_workers(struct run *r)
{
    struct wsl_shared *s = &r->shared;
    unsigned total = r->result->total, next = 0;
    s->workers = calloc(r->o->threads, sizeof *s->workers);
    if (!s->workers)
        return WSB_ERR_NOMEM;
    for (unsigned i = 0; i < r->o->threads; i++) {
        struct wsl_worker *w = &s->workers[i];
        unsigned count = total / (unsigned)r->o->threads + (i < total % r->o->threads);
        uint64_t quota = r->o->count / r->o->threads + (i < r->o->count % r->o->threads);
        w->number = i;
        w->shared = s;
        w->load = loads[r->o->mode];
        w->quota = r->o->mode == WSL_FANOUT ? r->o->count : quota;
        w->random = ((uint64_t)s->run << 32 | (i + 1)) * 0x9e3779b97f4a7c15 | 1;
        s->worker_count = i + 1;
        wsb_err err = wsl_worker_init(w, next, count);
        if (err)
            return err;
        next += count;
    }
    struct wsl_worker *first = &s->workers[0];
    first->conns[first->conn_count - 1].publishes = r->o->mode == WSL_FANOUT;
    return WSB_OK;
}

static wsb_err find_pids(struct run *r, struct wsb_fault *fault)
{
    int missing;
    struct wsl_pids found;
    wsb_err err = wsl_pids_find(r->o->pids, r->o->pid_count, r->o->pid_tree, &found, &missing);
    if (err == WSB_ERR_NOT_FOUND)
        return wsb_fault_set(fault, err, 0, "--pid: there is no process %d", missing);
    if (err)
        return wsb_fault_set(fault, err, 0, "out of memory");
    wsl_pids_free(&r->pids);
    r->pids = found;
    r->result->processes = found.count;
    return WSB_OK;
}

static wsb_err set_up(struct run *r, const struct wsl_target *t, struct wsb_fault *fault)
{
    struct wsl_shared *s = &r->shared;
    r->result->total = (unsigned)r->o->connections + (r->o->mode == WSL_FANOUT);
    *s = (struct wsl_shared){.o = r->o, .target = t, .payload = &r->payload};
    s->run = (uint32_t)((wsl_now_ns() ^ (uint64_t)getpid() << 40) * 0x9e3779b97f4a7c15 >> 32);
    raise_limit(r->result->total);
    wsb_err err = t->is_tls ? wsl_tls_open(r->o, &s->tls, fault) : WSB_OK;
    if (!err)
        err = find_pids(r, fault);
    if (err)
        return err;
    enum wsl_pattern pattern = r->o->binary ? WSL_BYTES : r->o->deflate ? WSL_RECORDS : WSL_LETTERS;
    err = wsl_payload_init(&r->payload, r->o->size, pattern);
    if (!err)
        err = set_up_workers(r);
    return err ? wsb_fault_set(fault, err, errno, "%s", err == WSB_ERR_NOMEM ? "out of memory" : strerror(errno))
               : WSB_OK;
}

static wsb_err start(struct run *r, struct wsb_fault *fault)
{
    for (; r->started < r->shared.worker_count; r->started++) {
        if (wsl_worker_start(&r->shared.workers[r->started]))
            return wsb_fault_set(fault, WSB_ERR_IO, 0, "no thread to be had");
    }
    return WSB_OK;
}

/* --- the phases --------------------------------------------------------------------------------------------------- */

static void connect_all(struct run *r, uint64_t start_ns)
{
    uint64_t last_ns = start_ns;
    while (!all_connected(r))
        sleep_ns(TICK_NS / 4);
    for (unsigned i = 0; i < r->shared.worker_count; i++) { /* connecting is over: these do not change any more */
        struct wsl_worker *w = &r->shared.workers[i];
        r->result->connected += w->open;
        if (w->last_open_ns > last_ns)
            last_ns = w->last_open_ns;
    }
    r->result->connect_s = (double)(last_ns - start_ns) / 1e9;
    bool has_publisher = r->o->mode == WSL_FANOUT && r->result->connected;
    atomic_store(&r->shared.subscribers, r->result->connected - has_publisher);
}

/* Sleep, but not longer than anything is going on. */
static void let_run(struct run *r, double seconds)
{
    uint64_t end_ns = wsl_now_ns() + ns_of(seconds), now_ns;
    bool idle = r->o->mode == WSL_IDLE;
    while ((now_ns = wsl_now_ns()) < end_ns && alive(r) && (idle || !all_finished(r)))
        sleep_ns(end_ns - now_ns < TICK_NS ? end_ns - now_ns : TICK_NS);
}

static wsb_err measure(struct run *r, struct wsb_fault *fault)
{
    struct wsl_result *result = r->result;
    wsb_err err = r->o->pid_tree ? find_pids(r, fault) : WSB_OK; /* a process for each connection may have come */
    if (err)
        return err;
    result->first = wsl_usage_cpu(&r->pids);
    double cpu_s = own_cpu_s();
    uint64_t first_ns = wsl_now_ns();
    atomic_store(&r->shared.first_ns, first_ns);
    enter(r, WSL_MEASURE);
    let_run(r, r->o->duration_s);
    uint64_t last_ns = wsl_now_ns();
    atomic_store(&r->shared.last_ns, last_ns);
    if (r->o->mode != WSL_IDLE)
        enter(r, WSL_DRAIN);
    result->client_cpu_s = own_cpu_s() - cpu_s;
    result->last = wsl_usage_cpu(&r->pids);
    result->measured_s = (double)(last_ns - first_ns) / 1e9;
    struct wsl_usage memory = wsl_usage_memory(&r->pids);
    result->last.rss_kib = memory.rss_kib;
    result->last.pss_kib = memory.pss_kib;
    return WSB_OK;
}

/* Until every answer is there, or none has come for a while. */
static void drain(struct run *r)
{
    uint64_t now_ns = wsl_now_ns(), end_ns = now_ns + ns_of(r->o->drain_s), progress_ns = now_ns, before = received(r);
    while (alive(r) && now_ns < end_ns && now_ns - progress_ns < LAST_ANSWER_NS) {
        if (all_finished(r) && received(r) >= expected(r))
            return;
        sleep_ns(TICK_NS);
        now_ns = wsl_now_ns();
        if (received(r) != before) {
            before = received(r);
            progress_ns = now_ns;
        }
    }
}

static void close_all(struct run *r)
{
    uint64_t end_ns = wsl_now_ns() + CLOSE_NS;
    r->result->alive = alive(r);
    if (r->o->abrupt)
        return;
    enter(r, WSL_CLOSE);
    while (alive(r) && wsl_now_ns() < end_ns)
        sleep_ns(TICK_NS);
}

static wsb_err go(struct run *r, struct wsb_fault *fault)
{
    struct wsl_usage memory = wsl_usage_memory(&r->pids);
    r->result->before = wsl_usage_cpu(&r->pids);
    r->result->before.rss_kib = memory.rss_kib;
    r->result->before.pss_kib = memory.pss_kib;
    uint64_t start_ns = wsl_now_ns();
    wsb_err err = start(r, fault);
    if (err)
        return err;
    connect_all(r, start_ns);
    if (!r->result->connected)
        return WSB_OK;
    sleep_ns(ns_of(r->o->settle_s));
    if (r->o->mode != WSL_IDLE) {
        atomic_store(&r->shared.schedule_ns, wsl_now_ns());
        enter(r, WSL_WARM_UP);
        let_run(r, r->o->warm_up_s);
    }
    err = measure(r, fault);
    if (err)
        return err;
    if (r->o->mode != WSL_IDLE)
        drain(r);
    close_all(r);
    return WSB_OK;
}

/* --- the result --------------------------------------------------------------------------------------------------- */

/* With a schedule, what never came has waited at least until now, and belongs to the latencies. */
static void add_unanswered(struct run *r, const struct wsl_conn *c, uint64_t now_ns)
{
    uint64_t first_ns = wsl_get(&r->shared.first_ns), last_ns = wsl_get(&r->shared.last_ns);
    r->result->missing += c->sent - c->answered;
    for (uint32_t i = c->answered; r->o->mode == WSL_RATE && i != c->sent; i++) {
        uint64_t due_ns = c->slots[i & (c->slot_count - 1)].due_ns;
        if (first_ns && due_ns >= first_ns && due_ns < last_ns)
            wsl_histogram_add(&r->result->latency, now_ns - due_ns);
    }
}

/* After the workers' threads have ended. */
static void sum_up(struct run *r)
{
    struct wsl_result *result = r->result;
    uint64_t now_ns = wsl_now_ns();
    for (unsigned i = 0; i < r->shared.worker_count; i++) {
        const struct wsl_worker *w = &r->shared.workers[i];
        wsl_histogram_merge(&result->latency, &w->latency);
        wsl_histogram_merge(&result->uncorrected, &w->uncorrected);
        wsl_histogram_merge(&result->handshake, &w->handshake);
        wsl_tally_merge(&result->tally, &w->tally);
        result->sent += wsl_get(&w->sent);
        result->received += wsl_get(&w->received);
        result->sent_measured += wsl_get(&w->sent_measured);
        result->received_measured += wsl_get(&w->received_measured);
        result->bytes_measured += wsl_get(&w->bytes_measured);
        for (unsigned k = 0; k < w->conn_count && r->o->mode != WSL_FANOUT; k++)
            add_unanswered(r, &w->conns[k], now_ns);
    }
    uint64_t deliveries = r->o->mode == WSL_FANOUT ? expected(r) : 0;
    if (deliveries > result->received)
        result->missing = deliveries - result->received;
}

wsb_err wsl_run(const struct wsl_options *o, const struct wsl_target *t, struct wsl_result *ret,
                struct wsb_fault *fault)
{
    struct run r = {.o = o, .result = ret};
    *ret = (struct wsl_result){0};
    wsb_err err = set_up(&r, t, fault);
    if (!err)
        err = go(&r, fault);
    enter(&r, WSL_EXIT);
    for (unsigned i = 0; i < r.started; i++)
        (void)pthread_join(r.shared.workers[i].thread, NULL);
    if (!err)
        sum_up(&r);
    for (unsigned i = 0; i < r.shared.worker_count; i++)
        wsl_worker_deinit(&r.shared.workers[i]);
    free(r.shared.workers);
    wsl_payload_deinit(&r.payload);
    wsl_pids_free(&r.pids);
    SSL_CTX_free(r.shared.tls);
    return err;
}
