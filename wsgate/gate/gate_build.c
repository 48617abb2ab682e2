/* From a configuration to a gate, piece by piece, and back. What cannot be had is told with its place. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/runtime_dir.h"
#include "config/value.h"
#include "gate/gate_parts.h"
#include "ring/ring.h"

enum {
    NEWS_MS = 1000,
    BATCH_SLACK = 4 << 20,
    RING_FACTOR = 4, /* a handler may ask for rings so many times the usual: to make them takes time of everybody's */
    ROTATE_MS = WSB_TLS_ROTATE_SECONDS * 1000
};

void wsg_gate_add_fault(const struct wsg_origin *o, const char *flag, const char *otherwise, struct wsb_fault *fault,
                        struct wsg_faults *all)
{
    (void)wsg_origin_blame(o, flag, otherwise, fault);
    (void)wsg_faults_add(all, fault);
}

void wsg_gate_build_routes(const struct wsg_config *c, struct wsg_routes *routes, struct wsg_faults *all)
{
    struct wsb_fault fault = {0};
    wsb_err err = wsg_routes_init(routes, c->route_count);
    if (err)
        (void)wsb_fault_set(&fault, err, 0, "cannot have %zu routes", c->route_count);
    else if (getrandom(&routes->seed, sizeof routes->seed, 0) != sizeof routes->seed)
        err = wsb_fault_set(&fault, WSB_ERR_IO, errno, "no random numbers: %s", strerror(errno));
    if (err) {
        (void)wsg_faults_add(all, &fault);
        return;
    }
    for (size_t i = 0; i < c->route_count; i++) {
        const struct wsg_route_config *r = &c->routes[i];
        fault = (struct wsb_fault){0};
        if (r->origin.is_bad)
            continue;
        struct wsg_route_policy policy = {
            .kinds = ((unsigned)r->kind & WSG_ROUTE_WEBSOCKET ? WSG_KIND_WEBSOCKET : 0u) |
                     ((unsigned)r->kind & WSG_ROUTE_HTTP ? WSG_KIND_HTTP : 0u),
            .publish = r->publish,
            .tap = r->tap,
            .accept_by_handler = r->accept_by_handler,
            .no_handler = r->no_handler,
            .handler_wait_ms = r->handler_wait_ms,
            .handler_grace_ms = r->handler_grace_ms,
            .when_full = r->when_full,
            .max_retained = r->max_retained,
            .max_backlog = r->max_backlog,
            .ack_timeout_ms = r->ack_timeout_ms,
            .max_deliveries = r->max_deliveries,
            .skips_undeliverable = r->skips_undeliverable,
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
            .gzip = r->gzip,
            .gzip_level = r->gzip_level,
            .gzip_min = r->gzip_min,
            .max_message = r->max_message,
            .max_frame = r->max_frame,
            .max_fragments = r->max_fragments,
            .max_queue = r->max_queue,
            .max_queue_messages = r->max_queue_messages,
            .max_body = r->max_body,
            .expect_by_handler = r->expect_by_handler,
            .half_close_aborts = r->half_close_aborts,
            .accept_timeout_ms = r->accept_timeout_ms,
            .body_timeout_ms = r->body_timeout_ms,
            .request_timeout_ms = r->request_timeout_ms,
            .stream_timeout_ms = r->stream_timeout_ms != UINT32_MAX ? r->stream_timeout_ms : r->request_timeout_ms,
            .sse_keepalive_ms = r->sse_keepalive_ms,
            .allow = r->allow,
            .deny = r->deny,
            .origins = r->origins,
            .methods = r->methods,
            .cors = r->cors,
            .token = r->token,
            .ends_with_token = r->ends_with_token,
            .require_subprotocol = r->require_subprotocol,
            .max_connections = r->max_connections,
            .max_pending = r->max_pending,
            .ping_interval_ms = r->ping_interval_ms != UINT32_MAX ? r->ping_interval_ms : c->ping_interval_ms,
            .ping_timeout_ms = r->ping_timeout_ms ? r->ping_timeout_ms : c->ping_timeout_ms,
            .message_timeout_ms = r->message_timeout_ms,
            .idle_timeout_ms = r->idle_timeout_ms,
            .lifetime_ms = r->lifetime_ms,
            .message_rate = r->message_rate,
            .message_burst = r->message_burst ? r->message_burst : r->message_rate,
            .byte_rate = r->byte_rate,
            .byte_burst = r->byte_burst ? r->byte_burst : r->byte_rate,
            .over_rate = r->over_rate,
        };
        if (r->pin_by_hash && !r->pin_key)
            err = wsb_fault_set(&fault, WSB_ERR_CONFIG, 0,
                                "route '%s', pin: 'hash' needs a pin_key, like pin_key = \"query:user\"", r->name);
        else
            err = wsg_routes_add(routes, r->name, r->path, r->host, &policy, &fault);
        if (err)
            wsg_gate_add_fault(&r->origin, "--route", "path", &fault, all);
    }
    for (size_t i = 0; i < c->route_count && all->count == 0; i++) { /* otherwise their numbers may be others */
        if (c->routes[i].gatekeeper && !c->routes[i].origin.is_bad)
            wsg_routes_set_gatekeeper(routes, i, c->routes[i].gatekeeper);
    }
    wsg_routes_seal(routes);
}

static int by_prefix_length(const void *a, const void *b)
{
    size_t x = ((const struct wsg_static_root *)a)->prefix.len;
    size_t y = ((const struct wsg_static_root *)b)->prefix.len;
    return x < y ? 1 : x > y ? -1 : 0;
}

wsb_err wsg_gate_open_static(const struct wsg_static_config *s, int *ret_fd, struct wsb_fault *fault)
{
    int fd = open(s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "static directory %s: %s", s->dir, strerror(errno));
    *ret_fd = fd;
    return WSB_OK;
}

static wsb_err open_statics(struct wsg_gate *g, struct wsb_fault *fault)
{
    const struct wsg_config *c = g->config;
    g->statics = calloc(c->static_count ? c->static_count : 1, sizeof *g->statics);
    if (!g->statics)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < c->static_count; i++) {
        int fd;
        wsb_err err = wsg_gate_open_static(&c->statics[i], &fd, fault);
        if (err)
            return err;
        g->statics[g->static_count++] = (struct wsg_static_root){.prefix = wsb_span_str(c->statics[i].prefix),
                                                                 .dirfd = fd,
                                                                 .has_gzip = c->statics[i].gzip_static,
                                                                 .cors = &c->statics[i].cors};
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
        .keepalive_timeout_ms = c->keepalive_timeout_ms,
        .close_timeout_ms = c->close_timeout_ms,
        .gatekeeping = &g->gatekeeping,
        .secure = {.tally = &g->tls_tally, .handshakes_max = share_of(c->max_handshakes, count)},
        .deflate_account = &g->deflate_account,
        .unfinished_account = &g->unfinished_account,
        .access = g->access_log ? wsg_access_log_lane(g->access_log, index) : NULL,
        .has_request_ids = c->request_id,
        .begins_traces = c->begin_traces,
    };
    if (getrandom(&w->env.naming_seed, sizeof w->env.naming_seed, 0) != sizeof w->env.naming_seed)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no random numbers: %s", strerror(errno));
    struct wsb_seed seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no random numbers: %s", strerror(errno));
    wsg_slots_init(&w->env.slots, epoch, &seed, (uint8_t)index);
    wsg_lost_init(&w->env.lost);
    wsg_lost_init(&w->down.lost);
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

/* Strangers who knock are told of once a second at most, however many they are. */
static void tell_bus_news(struct wsg_gate *g)
{
    struct wsb_server_stats s;
    uint64_t refused = 0;
    wsb_server_stats(g->hub.server, &s);
    for (int i = 0; i < WSB_ZMTP_WHYS; i++)
        refused += i == WSB_ZMTP_WHY_KEY ? 0 : s.refused_by[i];
    if (s.keys_refused != g->keys_refused)
        WSB_LOG(WSB_LOG_LINK, WSB_LOG_WARN, "key refused", WSB_KS("key", s.last_refused_key),
                WSB_KS("address", s.last_refused_address), WSB_KU("total", s.keys_refused));
    if (refused != g->peers_refused)
        WSB_LOG(WSB_LOG_LINK, WSB_LOG_WARN, "peer refused", WSB_KS("why", wsb_zmtp_why_text(s.last_why)),
                WSB_KS("address", s.last_address), WSB_KU("total", refused));
    g->keys_refused = s.keys_refused;
    g->peers_refused = refused;
}

void wsg_gate_tell_news(struct wsg_gate *g)
{
    tell_bus_news(g);
    wsb_log_tell_left_out();
}

static void on_news(struct wsg_timer *t)
{
    struct wsg_gate *g = CONTAINER(t, struct wsg_gate, news);
    struct wsg_loop *loop = g->workers[0].loop;
    wsg_gate_tell_news(g);
    (void)!wsg_loop_arm(loop, t, wsg_loop_now_ms(loop) + NEWS_MS);
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
        .max_peers = g->config->zmq_peers,
        .max_descriptors = g->config->bus_descriptors,
    };
    struct wsg_hub_host host = wsg_gate_host(g);
    wsb_err err = load_curve(g->config, &g->routes, &g->curve, fault);
    if (!err)
        err = wsb_zmtp_server_open(&o, &server, fault);
    if (err)
        return err;
    err = wsg_hub_open(&g->hub, loop, &g->routes, server, &host, epoch, largest_message(g->config));
    g->news.fn = on_news;
    if (!err)
        err = wsg_loop_arm(loop, &g->news, wsg_loop_now_ms(loop) + NEWS_MS);
    if (err)
        return wsb_fault_set(fault, err, 0, "cannot watch the bus");
    wsg_worker_offer_express(&g->workers[0]);
    return g->config->shm ? open_shm(g, fault) : wsb_shm_server_remove(g->dir, fault);
}

static void note_listener(struct wsg_gate *g, const struct wsg_address *bound)
{
    wsg_address_format(bound, g->listeners[g->listener_count++]);
}

/* One descriptor for all workers. It is the gate's from now on, whatever comes of it. */
static wsb_err listen_shared(struct wsg_gate *g, uint8_t entrance, int fd, char *path, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    if (g->shared_count == WSG_LISTENERS_MAX) {
        close(fd);
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "at most %d listeners", WSG_LISTENERS_MAX);
    }
    g->shared_fds[g->shared_count] = fd;
    g->unix_paths[g->shared_count++] = path;
    for (size_t i = 0; i < g->worker_count && !err; i++)
        err = wsg_worker_listen(&g->workers[i], fd, entrance, /*owns_fd=*/false, g->tls.contexts[entrance]);
    return err ? wsb_fault_set(fault, err, 0, "cannot watch a listener") : WSB_OK;
}

static wsb_err listen_unix(struct wsg_gate *g, uint8_t entrance, const struct wsg_address *address,
                           struct wsb_fault *fault)
{
    const struct wsg_listener_config *l = &g->config->listeners[entrance];
    struct wsg_address bound;
    int fd;
    wsb_err err = wsg_socket_listen(address, l->mode, &fd, &bound, fault);
    if (err)
        return err;
    note_listener(g, &bound);
    return listen_shared(g, entrance, fd, l->address + strlen("unix:"), fault);
}

/* A descriptor for each worker: the kernel spreads the clients. */
static wsb_err listen_tcp(struct wsg_gate *g, uint8_t entrance, const struct wsg_address *address,
                          struct wsb_fault *fault)
{
    struct wsg_address bound = *address;
    wsb_err err = WSB_OK;
    for (size_t i = 0; i < g->worker_count && !err; i++) {
        struct wsg_address at = bound; /* the port that the kernel chose for the first */
        int fd;
        err = wsg_socket_listen(&at, 0, &fd, &bound, fault);
        if (err)
            return err;
        err = wsg_worker_listen(&g->workers[i], fd, entrance, /*owns_fd=*/true, g->tls.contexts[entrance]);
        if (err)
            close(fd);
    }
    note_listener(g, &bound);
    return err ? wsb_fault_set(fault, err, 0, "cannot watch a listener") : WSB_OK;
}

/* All sockets that the service manager passed with this name. */
static wsb_err listen_passed(struct wsg_gate *g, uint8_t entrance, const char *name, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    int fd = g->manager ? wsg_manager_take(g->manager, name) : -1;
    if (fd < 0)
        return wsb_fault_set(fault, WSB_ERR_NOT_FOUND, 0,
                             "listen 'fd:%.60s': the service manager passed no socket of this name", name);
    for (; fd >= 0 && !err; fd = wsg_manager_take(g->manager, name)) {
        struct wsg_address bound;
        wsg_socket_address(fd, &bound);
        note_listener(g, &bound);
        err = listen_shared(g, entrance, fd, NULL, fault);
    }
    return err;
}

static wsb_err listen_at(struct wsg_gate *g, uint8_t entrance, struct wsb_fault *fault)
{
    struct wsg_address address;
    const char *text = g->config->listeners[entrance].address;
    const char *name = wsg_address_passed_name(text);
    wsb_err err = name ? WSB_OK : wsg_address_parse(text, &address, fault);
    if (err)
        return err;
    return name                            ? listen_passed(g, entrance, name, fault)
           : wsg_address_is_unix(&address) ? listen_unix(g, entrance, &address, fault)
                                           : listen_tcp(g, entrance, &address, fault);
}

static wsb_err open_listeners(struct wsg_gate *g, struct wsb_fault *fault)
{
    const struct wsg_config *c = g->config;
    if (c->listener_count > WSG_LISTENERS_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "at most %d listeners", WSG_LISTENERS_MAX);
    g->listeners =
        calloc(c->listener_count + WSG_PASSED_MAX, sizeof *g->listeners); /* one name may stand for several */
    if (!g->listeners)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (size_t i = 0; i < c->listener_count; i++) { /* all of them first: our own may overlap, like * and 127.0.0.1 */
        struct wsg_address address;
        if (wsg_address_passed_name(c->listeners[i].address))
            continue;
        wsb_err err = wsg_address_parse(c->listeners[i].address, &address, fault);
        if (!err)
            err = wsg_socket_check_free(&address, fault);
        if (err)
            return err;
    }
    for (size_t i = 0; i < c->listener_count; i++) {
        wsb_err err = listen_at(g, (uint8_t)i, fault);
        if (err)
            return err;
    }
    /* Clients would wait in its queue for ever. */
    const char *leftover = g->manager ? wsg_manager_leftover(g->manager) : NULL;
    return leftover ? wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                                    "the service manager passed a socket '%.60s', and there is no listener 'fd:%.60s'",
                                    leftover, leftover)
                    : WSB_OK;
}

static wsb_err open_notifier(struct wsg_gate *g, struct wsb_fault *fault)
{
    struct wsg_loop *loops[WSG_ID_WORKERS];
    for (size_t i = 0; i < g->worker_count; i++)
        loops[i] = g->workers[i].loop;
    return wsg_notifier_init(&g->notifier, g->manager, loops, g->worker_count) == WSB_OK
               ? WSB_OK
               : wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
}

static void log_warning(const char *text)
{
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "TLS", WSB_KS("what", text));
}

void wsg_gate_warn_of_tls(const struct wsg_gate *g)
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
    wsg_gate_warn_of_tls(g);
    err = wsg_loop_arm(loop, &g->ticket_rotation, wsg_loop_now_ms(loop) + ROTATE_MS);
    return err ? wsb_fault_set(fault, err, 0, "out of memory") : WSB_OK;
}

static wsb_err open_access_log(struct wsg_gate *g, size_t workers, struct wsb_fault *fault)
{
    const struct wsg_config *c = g->config;
    if (!c->access_log || strcmp(c->access_log, "off") == 0)
        return WSB_OK;
    return wsg_access_log_open(&g->access_log, c->access_log, c->access_format, workers, fault);
}

wsb_err wsg_gate_load_metrics_token(const struct wsg_config *c, struct wsb_bearer *ret, struct wsb_fault *fault)
{
    wsb_err err = c->metrics_token ? wsb_bearer_load(ret, c->metrics_token, fault) : WSB_OK;
    return err ? wsg_fault_prefix(fault, "metrics_token") : WSB_OK;
}

static wsb_err build_routes(struct wsg_gate *g, struct wsb_fault *fault)
{
    struct wsg_faults all = {0};
    wsg_gate_build_routes(g->config, &g->routes, &all);
    if (all.count)
        *fault = all.at[0];
    return wsg_faults_err(&all);
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
        (err = wsb_runtime_dir_prepare(g->dir, fault)) || (err = build_routes(g, fault)) ||
        (err = open_statics(g, fault)) || (err = wsg_entrances_build(&g->gatekeeping, c, fault)) ||
        (err = wsg_gate_load_metrics_token(c, &g->metrics_token, fault)))
        return err;
    count = count < WSG_ID_WORKERS ? count : WSG_ID_WORKERS;
    if ((err = open_access_log(g, count, fault)))
        return err;
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
    g->unfinished_account.max = c->message_memory;
    g->unfinished_account.share = c->message_memory / g->worker_count;
    g->started_ms = wsg_loop_now_ms(g->workers[0].loop);
    if ((err = open_bus(g, epoch, fault)) || (err = open_tls(g, fault)))
        return err;
    if ((err = open_listeners(g, fault)) || (err = open_notifier(g, fault)))
        return err;
    return wsg_dials_begin(&g->dials, g, fault);
}

wsb_err wsg_gate_new(const struct wsg_config *config, struct wsg_manager *manager, struct wsg_gate **ret,
                     struct wsb_fault *fault)
{
    struct wsg_gate *g = calloc(1, sizeof *g);
    if (!g)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    g->config = config;
    g->manager = manager;
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
    for (size_t i = 0; i < g->shared_count; i++) {
        if (g->unix_paths[i]) /* while it is still ours: the next gate makes it anew once nobody listens */
            (void)unlink(g->unix_paths[i]);
        close(g->shared_fds[i]);
    }
    if (g->worker_count) {
        wsg_loop_disarm(g->workers[0].loop, &g->news);
        wsg_loop_disarm(g->workers[0].loop, &g->ticket_rotation);
    }
    wsg_notifier_deinit(&g->notifier);
    wsg_dials_halt(&g->dials);
    wsg_hub_close(&g->hub);
    wsb_curve_deinit(&g->curve);
    for (size_t i = g->worker_count; i-- > 0;)
        wsg_worker_deinit(&g->workers[i]);
    wsg_gate_listings_free(g);
    wsg_access_log_close(g->access_log); /* it has what their last clients did */
    wsg_dials_deinit(&g->dials);
    for (size_t i = 0; i < g->static_count; i++)
        close(g->statics[i].dirfd);
    wsg_entrances_deinit(&g->gatekeeping);
    wsb_bearer_wipe(&g->metrics_token);
    wsg_tls_listeners_deinit(&g->tls);
    free(g->statics);
    free(g->workers);
    free(g->sorted);
    free(g->listeners);
    wsg_routes_deinit(&g->routes);
    free(g);
}
