/*
 * The gate: what main builds and runs. Workers are threads; the first one is the caller's. Ending: listeners close first,
 * then clients are told, then whoever is left after the drain timeout is cut off.
 */
#include "gate/gate.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/runtime_dir.h"
#include "config/allow.h"
#include "config/value.h"
#include "gate/entrances.h"
#include "ring/ring.h"

enum {
    DRAIN_CHECK_MS = 20,
    LIST_PLACES = 2048,
    KEY_NEWS_MS = 1000,
    BATCH_SLACK = 4 << 20,
    LEFTOVERS = 4096, /* rounds at the end */
    RING_FACTOR = 4,  /* a handler may ask for rings so many times the usual: to make them takes time of everybody's */
    ROTATE_MS = WSB_TLS_ROTATE_SECONDS * 1000,
    PARCELS_HIGH = 32 << 20 /* bytes of commands waiting for one worker */
};

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
    struct wsg_timer key_news;  /* tells of keys that were refused */
    uint64_t keys_refused;      /* as last told */
    struct wsg_tls_listeners tls;
    struct wsg_timer ticket_rotation;
    struct wsg_secure_tally tls_tally;
    char (*listeners)[WSG_ADDRESS_TEXT]; /* owned */
    size_t listener_count;
    int unix_fds[WSG_LISTENERS_MAX];     /* owned; shared by the workers */
    char *unix_paths[WSG_LISTENERS_MAX]; /* borrowed from the configuration */
    size_t unix_count;
    struct wsg_gate_listener listener;
    struct wsg_timer drain_timer;
    uint64_t drain_until_ms;
    uint64_t started_ms;
    bool draining;
    struct wsb_deflate_account deflate_account;
    _Atomic size_t connections;
    _Atomic uint64_t accepted;
    struct wsg_gatekeeping gatekeeping;
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
    return g->draining;
}

const struct wsg_tls_listeners *wsg_gate_tls(const struct wsg_gate *g)
{
    return &g->tls;
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
    for (int i = 0; i < WSG_REFUSALS; i++)
        ret->refused += ret->refused_by[i] = atomic_load_explicit(&g->gatekeeping.refused[i], memory_order_relaxed);
}

bool wsg_gate_count_connection(struct wsg_gate *g, struct wsg_worker *w)
{
    (void)w;
    if (atomic_load_explicit(&g->connections, memory_order_relaxed) >= g->config->max_connections) {
        wsg_gatekeeping_count(&g->gatekeeping, WSG_REFUSED_CONNECTIONS);
        return false;
    }
    atomic_fetch_add_explicit(&g->accepted, 1, memory_order_relaxed);
    return true;
}

/* Connections are counted by the workers' places; each worker tells the difference at the end of its rounds. */
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

static void command_worker(struct wsg_gate *g, size_t w, const struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    if (w == 0)
        wsg_worker_command(&g->workers[0], c, ids, count);
    else
        wsg_worker_send_command(&g->workers[w], c, ids, count);
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
        command_worker(g, g->worker_count == 1 ? 0 : worker_of(g, ids[0]), c, ids, count);
        return;
    }
    if (!reserve_sorted(g, count)) {
        WSB_LOG(WSB_LOG_BUS, WSB_LOG_ERROR, "command lost: out of memory");
        return;
    }
    for (size_t w = 0; w < g->worker_count; w++) {
        size_t n = 0;
        for (size_t i = 0; i < count; i++) {
            if (worker_of(g, ids[i]) == w)
                g->sorted[n++] = ids[i];
        }
        if (n)
            command_worker(g, w, c, g->sorted, n);
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
    for (size_t i = 1; i < g->worker_count; i++) {
        if (wsg_worker_is_behind(&g->workers[i]))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------ listing */

struct listing {
    struct wsg_gate *gate;
    void (*done)(void *ctx, struct wsg_conn_info *rows, size_t count);
    void *ctx;
    struct wsg_conn_info *rows; /* owned; of all workers that answered */
    size_t count;
    size_t waiting; /* workers that have not */
};

/* What one worker adds; goes there and comes back. */
struct listing_part {
    struct wsg_task task;
    struct listing *listing;
    struct wsg_worker *worker;
    struct wsg_conn_info *rows; /* owned */
    size_t count, cap;
    uint32_t at; /* the next place to look at */
};

static void cut_text(char *to, size_t size, const char *from)
{
    size_t len = from ? strnlen(from, size - 1) : 0;
    if (len)
        memcpy(to, from, len);
    to[len] = 0;
}

static void add_row(struct wsg_session *s, void *ctx)
{
    struct listing_part *p = ctx;
    uint64_t now_ms = wsg_loop_now_ms(p->worker->loop);
    if (p->count >= p->cap)
        return; /* more came since we counted: the next listing has them */
    struct wsg_conn_info *r = &p->rows[p->count++];
    *r = (struct wsg_conn_info){
        .id = s->id,
        .what = wsg_session_describe(s),
        .route = s->route ? s->route->name : "",
        .worker = p->worker->index,
        .state = s->state,
        .is_tapped = s->is_tapped,
        .is_paused = s->paused != 0,
        .age_ms = now_ms - s->opened_ms,
        .idle_ms = now_ms - s->active_ms,
        .messages_in = s->messages_in,
        .bytes_in = s->bytes_in,
        .messages_out = s->messages_out,
        .bytes_out = s->bytes_out,
        .queued = s->out.bytes,
        .queued_messages = s->out.messages,
        .written = s->out.messages_written,
        .dropped_out = s->messages_dropped,
        .rtt_us = s->rtt_us,
        .is_compressed = s->is_compressed,
    };
    if (s->is_compressed)
        r->deflate = *wsb_deflate_params_of(s->deflate);
    struct wsg_secure_info tls;
    if (wsg_secure_info(s, &tls)) {
        cut_text(r->tls_version, sizeof r->tls_version, tls.version);
        cut_text(r->tls_cipher, sizeof r->tls_cipher, tls.cipher);
        cut_text(r->tls_name, sizeof r->tls_name, tls.name);
        cut_text(r->client_subject, sizeof r->client_subject, tls.subject);
        cut_text(r->client_fingerprint, sizeof r->client_fingerprint, tls.fingerprint);
    }
    cut_text(r->peer, sizeof r->peer, s->peer);
    cut_text(r->target, sizeof r->target, s->target);
    cut_text(r->subprotocol, sizeof r->subprotocol, s->subprotocol);
}

static void on_part_back(struct wsg_task *t)
{
    struct listing_part *p = CONTAINER(t, struct listing_part, task);
    struct listing *l = p->listing;
    if (!l->rows) { /* the first one's rows are taken as they are */
        l->rows = p->rows;
        l->count = p->count;
        p->rows = NULL;
    } else if (p->count) {
        struct wsg_conn_info *rows = realloc(l->rows, (l->count + p->count) * sizeof *rows);
        if (rows) {
            memcpy(rows + l->count, p->rows, p->count * sizeof *rows);
            l->rows = rows;
            l->count += p->count;
        }
    }
    free(p->rows);
    free(p);
    if (--l->waiting == 0) {
        l->done(l->ctx, l->rows, l->count);
        free(l);
    }
}

/* Some thousand places a round, so that a listing of many stalls none of them. */
static void on_part(struct wsg_task *t)
{
    struct listing_part *p = CONTAINER(t, struct listing_part, task);
    const struct wsg_slots *slots = &p->worker->env.slots;
    if (!p->rows) {
        p->cap = slots->used;
        p->rows = malloc((p->cap ? p->cap : 1) * sizeof *p->rows);
        if (!p->rows)
            p->cap = 0;
    }
    uint32_t end = slots->count - p->at < LIST_PLACES ? slots->count : p->at + LIST_PLACES;
    for (; p->at < end; p->at++) {
        if (slots->slots[p->at].value)
            add_row(slots->slots[p->at].value, p);
    }
    bool is_done = p->at == slots->count || p->count == p->cap;
    p->task.fn = is_done ? on_part_back : on_part;
    wsg_loop_post(is_done ? p->listing->gate->workers[0].loop : p->worker->loop, &p->task);
}

wsb_err wsg_gate_list(struct wsg_gate *g, void (*done)(void *ctx, struct wsg_conn_info *rows, size_t count), void *ctx)
{
    size_t count = g->worker_count;
    struct listing_part *parts[WSG_ID_WORKERS] = {0};
    assert(count > 0); /* the one that asks is there */
    struct listing *l = malloc(sizeof *l);
    bool ok = l != NULL;
    for (size_t i = 0; i < count && ok; i++)
        ok = (parts[i] = calloc(1, sizeof *parts[i])) != NULL;
    if (!ok) {
        for (size_t i = 0; i < count; i++)
            free(parts[i]);
        free(l);
        return WSB_ERR_NOMEM;
    }
    *l = (struct listing){.gate = g, .done = done, .ctx = ctx, .waiting = count};
    for (size_t i = 0; i < count; i++) {
        *parts[i] = (struct listing_part){.task.fn = on_part, .listing = l, .worker = &g->workers[i]};
        wsg_loop_post(g->workers[i].loop, &parts[i]->task);
    }
    return WSB_OK;
}

/* ----------------------------------------------------------------- draining */

struct each_task {
    struct wsg_task task;
    struct wsg_worker *worker;
};

static void drain_one(struct wsg_session *s, void *ctx)
{
    static const struct wsg_command drain = {.type = WSG_CMD_DRAIN, .by = WSG_BY_GATE};
    (void)ctx;
    wsg_session_command(s, &drain);
}

static void on_drain_worker(struct wsg_task *t)
{
    struct each_task *e = CONTAINER(t, struct each_task, task);
    wsg_worker_stop_listening(e->worker);
    e->worker->env.draining = true;
    wsg_worker_each(e->worker, drain_one, NULL);
    free(e);
}

static void stop_all(struct wsg_gate *g)
{
    for (size_t i = 0; i < g->worker_count; i++)
        wsg_loop_stop(g->workers[i].loop);
}

static void on_drain_timer(struct wsg_timer *t)
{
    struct wsg_gate *g = CONTAINER(t, struct wsg_gate, drain_timer);
    uint64_t now_ms = wsg_loop_now_ms(g->workers[0].loop);
    size_t left = atomic_load(&g->connections);
    if (left && now_ms < g->drain_until_ms) {
        (void)!wsg_loop_arm(g->workers[0].loop, t, now_ms + DRAIN_CHECK_MS);
        return;
    }
    WSB_LOG(WSB_LOG_GATE, left ? WSB_LOG_WARN : WSB_LOG_INFO, "drained", WSB_KU("cut_off", left));
    stop_all(g);
}

void wsg_gate_drain(struct wsg_gate *g)
{
    if (g->draining) {
        stop_all(g);
        return;
    }
    g->draining = true;
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "draining", WSB_KU("connections", atomic_load(&g->connections)),
            WSB_KU("timeout_ms", g->config->drain_timeout_ms));
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
    g->drain_timer.fn = on_drain_timer;
    if (wsg_loop_arm(g->workers[0].loop, &g->drain_timer, now_ms + DRAIN_CHECK_MS) != WSB_OK)
        stop_all(g);
}

/* ----------------------------------------------------------------- building */

static wsb_err build_routes(const struct wsg_config *c, struct wsg_routes *routes, struct wsb_fault *fault)
{
    wsb_err err = wsg_routes_init(routes, c->route_count);
    if (err)
        return wsb_fault_set(fault, err, 0, "cannot have %zu routes", c->route_count);
    if (getrandom(&routes->seed, sizeof routes->seed, 0) != sizeof routes->seed)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no random numbers: %s", strerror(errno));
    for (size_t i = 0; i < c->route_count; i++) {
        const struct wsg_route_config *r = &c->routes[i];
        struct wsg_route_policy policy = {
            .kinds = ((unsigned)r->kind & WSG_ROUTE_WEBSOCKET ? WSG_KIND_WEBSOCKET : 0u) |
                     ((unsigned)r->kind & WSG_ROUTE_HTTP ? WSG_KIND_HTTP : 0u),
            .publish = r->publish,
            .tap = r->tap,
            .accept_by_handler = r->accept_by_handler,
            .no_handler = r->no_handler,
            .handler_wait_ms = r->handler_wait_ms,
            .when_full = r->when_full,
            .max_retained = r->max_retained,
            .max_backlog = r->max_backlog,
            .ack_timeout_ms = r->ack_timeout_ms,
            .pin_by_hash = r->pin_by_hash,
            .pin_key = r->pin_key,
            .user = r->user,
            .joins = r->joins,
            .slow = r->slow,
            .unchecked_text = r->unchecked_text,
            .subprotocols = r->subprotocols,
            .compress = r->compress,
            .compress_takeover = r->compress_takeover,
            .compress_threshold = r->compress_threshold,
            .compress_level = r->compress_level,
            .compress_window = r->compress_window,
            .max_message = r->max_message,
            .max_frame = r->max_frame,
            .max_fragments = r->max_fragments,
            .max_queue = r->max_queue,
            .max_queue_messages = r->max_queue_messages,
            .max_body = r->max_body,
            .accept_timeout_ms = r->accept_timeout_ms,
            .request_timeout_ms = r->request_timeout_ms,
            .allow = r->allow,
            .deny = r->deny,
            .origins = r->origins,
            .token = r->token,
            .ends_with_token = r->ends_with_token,
            .require_subprotocol = r->require_subprotocol,
            .max_connections = r->max_connections,
            .ping_interval_ms = r->ping_interval_ms != UINT32_MAX ? r->ping_interval_ms : c->ping_interval_ms,
            .ping_timeout_ms = r->ping_timeout_ms ? r->ping_timeout_ms : c->ping_timeout_ms,
            .idle_timeout_ms = r->idle_timeout_ms,
            .lifetime_ms = r->lifetime_ms,
            .message_rate = r->message_rate,
            .message_burst = r->message_burst ? r->message_burst : r->message_rate,
            .byte_rate = r->byte_rate,
            .byte_burst = r->byte_burst ? r->byte_burst : r->byte_rate,
            .over_rate = r->over_rate,
        };
        if (r->pin_by_hash && !r->pin_key)
            err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                                "route '%s', pin: 'hash' needs a pin_key, like pin_key = \"query:user\"", r->name);
        else
            err = wsg_routes_add(routes, r->name, r->path, r->host, &policy, fault);
        if (err) {
            char where[120];
            return wsg_fault_prefix(fault, "%s", wsg_origin_text(&r->origin, "--route", where, sizeof where));
        }
    }
    wsg_routes_seal(routes);
    return WSB_OK;
}

static int by_prefix_length(const void *a, const void *b)
{
    size_t x = ((const struct wsg_static_root *)a)->prefix.len;
    size_t y = ((const struct wsg_static_root *)b)->prefix.len;
    return x < y ? 1 : x > y ? -1 : 0;
}

static wsb_err open_statics(struct wsg_gate *g, struct wsb_fault *fault)
{
    const struct wsg_config *c = g->config;
    g->statics = calloc(c->static_count ? c->static_count : 1, sizeof *g->statics);
    if (!g->statics)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < c->static_count; i++) {
        int fd = open(c->statics[i].dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return wsb_fault_set(fault, WSB_ERR_IO, errno, "static directory %s: %s", c->statics[i].dir,
                                 strerror(errno));
        g->statics[g->static_count++] = (struct wsg_static_root){wsb_span_str(c->statics[i].prefix), fd};
    }
    qsort(g->statics, g->static_count, sizeof *g->statics, by_prefix_length);
    return WSB_OK;
}

static size_t largest_message(const struct wsg_config *c)
{
    size_t largest = 1 << 20;
    for (size_t i = 0; i < c->route_count; i++) {
        if (c->routes[i].max_message > largest)
            largest = c->routes[i].max_message;
        if (c->routes[i].max_body > largest)
            largest = c->routes[i].max_body;
    }
    return largest;
}

static uint32_t share_of(uint32_t limit, size_t workers)
{
    uint32_t share = limit / (uint32_t)workers;
    return share ? share : 1;
}

static wsb_err init_worker(struct wsg_gate *g, size_t index, size_t count, uint64_t epoch, struct wsb_fault *fault)
{
    const struct wsg_config *c = g->config;
    struct wsg_worker *w = &g->workers[index];
    w->env = (struct wsg_env){
        .routes = &g->routes,
        .statics = g->statics,
        .static_count = g->static_count,
        .http_limits = WSG_HTTP_LIMITS_DEFAULT,
        .head_timeout_ms = c->head_timeout_ms,
        .keepalive_timeout_ms = c->keepalive_timeout_ms,
        .close_timeout_ms = c->close_timeout_ms,
        .gatekeeping = &g->gatekeeping,
        .secure = {.tally = &g->tls_tally,
                   .handshake_timeout_ms = c->handshake_timeout_ms,
                   .handshakes_max = share_of(c->max_handshakes, count)},
        .deflate_account = &g->deflate_account,
    };
    w->env.http_limits.max_head_bytes = c->max_head;
    w->env.http_limits.max_headers = c->max_headers;
    w->env.http_limits.max_body = SIZE_MAX; /* the route's limit decides */
    wsg_slots_init(&w->env.slots, epoch, (uint8_t)index);
    return wsg_worker_init(w, g, (uint8_t)index, fault);
}

/* Read the keys, if there are any; names of routes in them must be names of routes. */
static wsb_err load_curve(const struct wsg_config *c, const struct wsg_routes *routes, struct wsb_curve *ret,
                          struct wsb_fault *fault)
{
    if (!c->curve_secret)
        return WSB_OK;
    wsb_err err = wsb_curve_load(ret, c->curve_secret, c->curve_clients, fault);
    for (size_t i = 0; i < ret->clients.route_count && !err; i++) {
        struct wsb_span name = ret->clients.routes[i];
        if (!wsg_routes_find(routes, name))
            err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.100s: there is no route '%.*s'", c->curve_clients,
                                (int)name.len, (const char *)name.ptr);
    }
    return err;
}

/* Strangers who knock are told once a second at most, however many they are. */
static void on_key_news(struct wsg_timer *t)
{
    struct wsg_gate *g = CONTAINER(t, struct wsg_gate, key_news);
    struct wsg_loop *loop = g->workers[0].loop;
    struct wsb_server_stats s;
    wsb_server_stats(g->hub.server, &s);
    if (s.keys_refused != g->keys_refused)
        WSB_LOG(WSB_LOG_LINK, WSB_LOG_WARN, "key refused", WSB_KS("key", s.last_refused_key),
                WSB_KS("address", s.last_refused_address), WSB_KU("total", s.keys_refused));
    g->keys_refused = s.keys_refused;
    (void)!wsg_loop_arm(loop, t, wsg_loop_now_ms(loop) + KEY_NEWS_MS);
}

/* A power of two that is at least as much. */
static size_t power_above(size_t v)
{
    size_t power = 1;
    while (power < v)
        power *= 2;
    return power;
}

/* After the ZeroMQ endpoints: that they could be bound says that no other gate runs in this directory. */
static wsb_err open_shm(struct wsg_gate *g, struct wsb_fault *fault)
{
    const struct wsg_config *c = g->config;
    struct wsb_server *server;
    size_t ring = power_above(c->shm_ring);
    wsb_err err = wsg_allow_parse(c->shm_allow, &g->shm_allow, fault);
    struct wsb_shm_options o = {
        .dir = g->dir,
        .mode = c->bus_mode,
        .ring_size = ring,
        .ring_max = ring < WSB_RING_MAX / RING_FACTOR ? ring * RING_FACTOR : WSB_RING_MAX,
        .memory_max = c->shm_memory,
        .links_max = c->shm_handlers,
        .max_message = largest_message(c) + BATCH_SLACK,
        .uids = g->shm_allow.uids,
        .uid_count = g->shm_allow.uid_count,
        .gids = g->shm_allow.gids,
        .gid_count = g->shm_allow.gid_count,
    };
    if (!err)
        err = wsb_shm_server_open(&o, &server, fault);
    if (!err && wsg_hub_add_shm(&g->hub, server) != WSB_OK)
        err = wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot watch the bus");
    return err;
}

static wsb_err open_bus(struct wsg_gate *g, uint64_t epoch, struct wsb_fault *fault)
{
    struct wsb_server *server;
    struct wsg_loop *loop = g->workers[0].loop;
    struct wsb_server_options o = {
        .dir = g->dir,
        .mode = g->config->bus_mode,
        .tcp = {[WSB_CHANNEL_HANDLERS] = g->config->bus_handlers,
                [WSB_CHANNEL_EVENTS] = g->config->bus_events,
                [WSB_CHANNEL_COMMANDS] = g->config->bus_commands},
        .curve = g->config->curve_secret ? &g->curve : NULL,
        .max_message = largest_message(g->config) + BATCH_SLACK,
    };
    struct wsg_hub_host host = {
        .ctx = g, .command = hub_command, .reply = hub_reply, .tap = hub_tap, .is_behind = hub_is_behind};
    wsb_err err = load_curve(g->config, &g->routes, &g->curve, fault);
    if (!err)
        err = wsb_zmq_server_open(&o, &server, fault);
    if (err)
        return err;
    err = wsg_hub_open(&g->hub, loop, &g->routes, server, &host, epoch, largest_message(g->config));
    g->key_news.fn = on_key_news;
    if (!err && o.curve)
        err = wsg_loop_arm(loop, &g->key_news, wsg_loop_now_ms(loop) + KEY_NEWS_MS);
    if (err)
        return wsb_fault_set(fault, err, 0, "cannot watch the bus");
    wsg_worker_offer_express(&g->workers[0]);
    return g->config->shm ? open_shm(g, fault) : wsb_shm_server_remove(g->dir, fault);
}

static wsb_err listen_everywhere(struct wsg_gate *g, uint8_t entrance, const struct wsg_address *address,
                                 struct wsb_fault *fault)
{
    const struct wsg_listener_config *l = &g->config->listeners[entrance];
    struct wsg_address bound = *address;
    bool is_unix = wsg_address_is_unix(address);
    int fd = -1;
    wsb_err err = WSB_OK;
    for (size_t i = 0; i < g->worker_count && !err; i++) {
        if (i == 0 || !is_unix) {
            struct wsg_address at = bound; /* the port that the kernel chose for the first */
            err = wsg_socket_listen(&at, l->mode, &fd, &bound, fault);
            if (err)
                return err;
        }
        if (is_unix && i == 0) {
            g->unix_fds[g->unix_count] = fd;
            g->unix_paths[g->unix_count++] = l->address + strlen("unix:");
        }
        err = wsg_worker_listen(&g->workers[i], fd, entrance, !is_unix, g->tls.contexts[entrance]);
        if (err && !is_unix)
            close(fd);
    }
    wsg_address_format(&bound, g->listeners[g->listener_count++]);
    return err ? wsb_fault_set(fault, err, 0, "cannot watch a listener") : WSB_OK;
}

static wsb_err open_listeners(struct wsg_gate *g, struct wsb_fault *fault)
{
    const struct wsg_config *c = g->config;
    if (c->listener_count > WSG_LISTENERS_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "at most %d listeners", WSG_LISTENERS_MAX);
    g->listeners = calloc(c->listener_count ? c->listener_count : 1, sizeof *g->listeners);
    if (!g->listeners)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < c->listener_count; i++) { /* all of them first: our own may overlap, like * and 127.0.0.1 */
        struct wsg_address address;
        wsb_err err = wsg_address_parse(c->listeners[i].address, &address, fault);
        if (!err)
            err = wsg_socket_check_free(&address, fault);
        if (err)
            return err;
    }
    for (size_t i = 0; i < c->listener_count; i++) {
        struct wsg_address address;
        wsb_err err = wsg_address_parse(c->listeners[i].address, &address, fault);
        if (!err)
            err = listen_everywhere(g, (uint8_t)i, &address, fault);
        if (err)
            return err;
    }
    return WSB_OK;
}

static void log_warning(const char *text)
{
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "TLS", WSB_KS("what", text));
}

static void warn_of_tls(const struct wsg_gate *g)
{
    int64_t now_s = (int64_t)(wsg_loop_wall_ns(g->workers[0].loop) / 1000000000u);
    wsg_tls_listeners_warn(&g->tls, g->config, now_s, log_warning);
}

static void on_ticket_rotation(struct wsg_timer *t)
{
    struct wsg_gate *g = CONTAINER(t, struct wsg_gate, ticket_rotation);
    struct wsg_loop *loop = g->workers[0].loop;
    if (wsb_tls_tickets_rotate(g->tls.tickets) != WSB_OK)
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_ERROR, "no new key for TLS tickets");
    (void)!wsg_loop_arm(loop, t, wsg_loop_now_ms(loop) + ROTATE_MS);
}

static wsb_err open_tls(struct wsg_gate *g, struct wsb_fault *fault)
{
    struct wsg_loop *loop = g->workers[0].loop;
    wsb_err err = wsg_tls_listeners_load(&g->tls, g->config, fault);
    g->ticket_rotation.fn = on_ticket_rotation;
    if (err || !wsg_tls_listeners_has_any(&g->tls))
        return err;
    warn_of_tls(g);
    err = wsg_loop_arm(loop, &g->ticket_rotation, wsg_loop_now_ms(loop) + ROTATE_MS);
    return err ? wsb_fault_set(fault, err, 0, "out of memory") : WSB_OK;
}

static wsb_err build(struct wsg_gate *g, struct wsb_fault *fault)
{
    const struct wsg_config *c = g->config;
    uint64_t epoch;
    wsb_err err;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = c->workers ? c->workers : (size_t)(cores > 0 ? cores : 1);
    if (getrandom(&epoch, sizeof epoch, 0) != sizeof epoch)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no random numbers: %s", strerror(errno));
    if ((err = wsb_runtime_dir_resolve(c->runtime_dir, g->dir, fault)) ||
        (err = wsb_runtime_dir_prepare(g->dir, fault)) || (err = build_routes(c, &g->routes, fault)) ||
        (err = open_statics(g, fault)) || (err = wsg_entrances_build(&g->gatekeeping, c, fault)))
        return err;
    count = count < WSG_ID_WORKERS ? count : WSG_ID_WORKERS;
    g->workers = calloc(count, sizeof *g->workers);
    if (!g->workers)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (; g->worker_count < count; g->worker_count++) {
        err = init_worker(g, g->worker_count, count, epoch, fault);
        if (err == WSB_ERR_UNSUPPORTED && g->worker_count) { /* no such memory with this kernel's pages */
            WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "one worker only", WSB_KS("why", fault->text));
            *fault = (struct wsb_fault){0};
            break;
        }
        if (err)
            return fault->err ? wsg_fault_prefix(fault, "worker %zu", g->worker_count)
                              : wsb_fault_set(fault, err, 0, "cannot make worker %zu", g->worker_count);
    }
    g->started_ms = wsg_loop_now_ms(g->workers[0].loop);
    if ((err = open_bus(g, epoch, fault)) || (err = open_tls(g, fault)))
        return err;
    return open_listeners(g, fault);
}

wsb_err wsg_gate_new(const struct wsg_config *config, struct wsg_gate **ret, struct wsb_fault *fault)
{
    struct wsg_gate *g = calloc(1, sizeof *g);
    if (!g)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    g->config = config;
    g->deflate_account.max = config->compress_memory;
    wsb_err err = build(g, fault);
    if (err) {
        wsg_gate_free(g);
        return err;
    }
    *ret = g;
    return WSB_OK;
}

void wsg_gate_free(struct wsg_gate *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->worker_count; i++)
        wsg_worker_stop_listening(&g->workers[i]);
    for (size_t i = 0; i < g->unix_count; i++) {
        close(g->unix_fds[i]);
        (void)unlink(g->unix_paths[i]);
    }
    if (g->worker_count) {
        wsg_loop_disarm(g->workers[0].loop, &g->key_news);
        wsg_loop_disarm(g->workers[0].loop, &g->ticket_rotation);
    }
    wsg_hub_close(&g->hub);
    wsb_curve_deinit(&g->curve);
    for (size_t i = g->worker_count; i-- > 0;)
        wsg_worker_deinit(&g->workers[i]);
    for (size_t i = 0; i < g->static_count; i++)
        close(g->statics[i].dirfd);
    wsg_entrances_deinit(&g->gatekeeping);
    wsg_tls_listeners_deinit(&g->tls);
    free(g->statics);
    free(g->workers);
    free(g->sorted);
    free(g->listeners);
    wsg_routes_deinit(&g->routes);
    free(g);
}

wsb_err wsg_gate_check(const struct wsg_config *config, void (*warn)(const char *text), struct wsb_fault *fault)
{
    struct wsg_gate g = {.config = config};
    struct wsg_address ignored;
    wsb_err err = build_routes(config, &g.routes, fault);
    if (!err)
        err = load_curve(config, &g.routes, &g.curve, fault);
    if (!err)
        err = open_statics(&g, fault);
    if (!err)
        err = wsg_entrances_build(&g.gatekeeping, config, fault);
    for (size_t i = 0; i < config->listener_count && !err; i++)
        err = wsg_address_parse(config->listeners[i].address, &ignored, fault);
    if (!err)
        err = wsg_tls_listeners_load(&g.tls, config, fault);
    if (!err && warn)
        wsg_tls_listeners_warn(&g.tls, config, (int64_t)time(NULL), warn);
    wsg_tls_listeners_deinit(&g.tls);
    for (size_t i = 0; i < g.static_count; i++)
        close(g.statics[i].dirfd);
    wsg_entrances_deinit(&g.gatekeeping);
    free(g.statics);
    wsb_curve_deinit(&g.curve);
    wsg_routes_deinit(&g.routes);
    return err;
}

/* ---------------------------------------------------------------- reloading */

/* New contexts on their way to a worker, each with a reference. */
struct tls_news {
    struct wsg_task task;
    struct wsg_worker *worker;
    size_t count;
    struct wsb_tls_context *contexts[];
};

static void on_tls_news(struct wsg_task *t)
{
    struct tls_news *n = CONTAINER(t, struct tls_news, task);
    wsg_worker_set_tls(n->worker, n->contexts, n->count);
    for (size_t i = 0; i < n->count; i++)
        wsb_tls_context_unref(n->contexts[i]);
    free(n);
}

static void tell_worker(struct wsg_gate *g, struct wsg_worker *w, struct tls_news *n)
{
    assert(n);
    *n = (struct tls_news){.task.fn = on_tls_news, .worker = w, .count = g->tls.count};
    for (size_t i = 0; i < n->count; i++)
        n->contexts[i] = wsb_tls_context_ref(g->tls.contexts[i]);
    wsg_loop_post(w->loop, &n->task);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): each is freed by the task that it is, or here */
wsb_err wsg_gate_reload_tls(struct wsg_gate *g, struct wsb_fault *fault)
{
    struct tls_news *news[WSG_ID_WORKERS] = {0};
    bool ok = true;
    wsb_err err = WSB_OK;
    assert(g->worker_count > 0);
    for (size_t i = 0; i < g->worker_count && ok; i++)
        ok = (news[i] = malloc(sizeof **news + g->tls.count * sizeof *g->tls.contexts)) != NULL;
    if (!ok)
        err = wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    if (!err)
        err = wsg_tls_listeners_load(&g->tls, g->config, fault);
    for (size_t i = 0; i < g->worker_count; i++) {
        if (err)
            free(news[i]);
        else
            tell_worker(g, &g->workers[i], news[i]);
    }
    if (err) {
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_ERROR, "TLS files not taken", WSB_KS("why", fault->text));
        return err;
    }
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "TLS files read anew",
            WSB_KS("listeners", wsg_tls_listeners_has_any(&g->tls) ? "some" : "none"));
    warn_of_tls(g);
    return WSB_OK;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

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
    if (!err)
        wsg_loop_run(g->workers[0].loop);
    stop_all(g);
    for (size_t i = 1; i < g->worker_count; i++) {
        if (g->workers[i].has_thread)
            pthread_join(g->workers[i].thread, NULL);
    }
    run_leftovers(g);
    return err;
}
