/* What a gate is told: defaults, ownership, and what each part has to satisfy before it belongs to the whole. */
#include "config/config.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/endpoint.h"
#include "base/pattern.h"
#include "config/option.h"
#include "config/value.h"

#define KIB ((size_t)1024)
#define MIB (KIB * 1024)

enum { CORS_MAX_AGE_MS = 5000 }; /* as browsers do when they are not told, Fetch: CORS-preflight cache */

void wsg_config_init(struct wsg_config *c)
{
    *c = (struct wsg_config){
        .bus_mode = 0600,
        .shm = true,
        .shm_ring = 2 << 20,
        .shm_memory = 512 << 20,
        .shm_handlers = 256,
        .zmq_peers = 1024,
        .max_connections = 65536,
        .accept_burst = 32,
        .request_id = true,
        .max_head = 16 * KIB,
        .max_headers = 100,
        .max_handshakes = 1024,
        .handshake_timeout_ms = 10000,
        .compress_memory = 64 * MIB,
        .message_memory = 256 * MIB,
        .head_timeout_ms = 10000,
        .keepalive_timeout_ms = 60000,
        .close_timeout_ms = 10000,
        .drain_timeout_ms = 10000,
        .drain_spread_ms = 2000,
        .ping_interval_ms = 45000, /* below the 60 s after which proxies take a connection for dead */
        .ping_timeout_ms = 20000,
        .log_format = WSB_LOG_LOGFMT,
        .log_level = WSB_LOG_INFO,
    };
    for (size_t i = 0; i < WSB_LOG_MODULES; i++)
        c->module_levels[i] = -1;
}

static void texts_deinit(struct wsg_texts *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->at[i]);
    free(t->at);
}

static void cors_deinit(struct wsg_cors *c)
{
    texts_deinit(&c->origins);
    texts_deinit(&c->methods);
    texts_deinit(&c->headers);
    texts_deinit(&c->expose);
}

bool wsg_config_serves_clients(const struct wsg_config *c)
{
    for (size_t i = 0; i < c->route_count; i++) {
        if (c->routes[i].path)
            return true;
    }
    return c->static_count > 0;
}

void wsg_config_deinit(struct wsg_config *c)
{
    for (size_t i = 0; i < c->listener_count; i++)
        wsg_listener_config_deinit(&c->listeners[i]);
    for (size_t i = 0; i < c->route_count; i++)
        wsg_route_config_deinit(&c->routes[i]);
    for (size_t i = 0; i < c->static_count; i++)
        wsg_static_config_deinit(&c->statics[i]);
    for (size_t i = 0; i < c->dial_count; i++)
        wsg_dial_config_deinit(&c->dials[i]);
    free(c->dials);
    free(c->listeners);
    free(c->routes);
    free(c->statics);
    free(c->file);
    free(c->runtime_dir);
    free(c->bus_handlers);
    free(c->bus_events);
    free(c->bus_commands);
    free(c->curve_secret);
    free(c->curve_clients);
    free(c->shm_allow);
    free(c->make_key);
    free(c->metrics);
    free(c->metrics_token);
    free(c->access_log);
    texts_deinit(&c->trusted_proxies);
    *c = (struct wsg_config){0};
}

void wsg_route_config_init(struct wsg_route_config *r)
{
    *r = (struct wsg_route_config){
        .kind = WSG_ROUTE_BOTH,
        .no_handler = WSG_NO_HANDLER_REFUSE,
        .compress_threshold = 256,
        .compress_level = 1,
        .compress_window = 12,
        .gzip_level = 5,
        .gzip_min = KIB,
        .max_message = 16 * MIB,
        .max_frame = 0, /* max_message, once that is known */
        .max_fragments = 65536,
        .max_queue = 4 * MIB,
        .max_queue_messages = 65536,
        .slow = WSG_SLOW_CLOSE,
        .handler_wait_ms = 10000,
        .handler_grace_ms = 5000,
        .max_retained = 64 * MIB,
        .max_backlog = 64 * KIB,
        .ack_timeout_ms = 30000,
        .max_deliveries = 3,
        .max_pending = 16384,
        .message_timeout_ms = 120000,
        .max_body = 16 * MIB,
        .accept_timeout_ms = 10000,
        .body_timeout_ms = 60000,
        .request_timeout_ms = 30000,
        .stream_timeout_ms = UINT32_MAX,
        .sse_keepalive_ms = 15000,
        .ping_interval_ms = UINT32_MAX,
        .token_leeway_ms = 30000,
        .cors.max_age_ms = CORS_MAX_AGE_MS,
    };
}

void wsg_route_config_deinit(struct wsg_route_config *r)
{
    texts_deinit(&r->subprotocols);
    texts_deinit(&r->joins);
    texts_deinit(&r->allow);
    texts_deinit(&r->deny);
    texts_deinit(&r->origins);
    free(r->gatekeeper);
    texts_deinit(&r->methods);
    cors_deinit(&r->cors);
    free(r->pin_key);
    free(r->user);
    free(r->token);
    free(r->token_keys);
    free(r->token_issuer);
    free(r->token_audience);
    free(r->name);
    free(r->path);
    free(r->host);
    free(r->origin.file);
    free(r->origin.lines);
    *r = (struct wsg_route_config){0};
}

void wsg_static_config_init(struct wsg_static_config *s)
{
    *s = (struct wsg_static_config){.cors.max_age_ms = CORS_MAX_AGE_MS};
}

void wsg_static_config_deinit(struct wsg_static_config *s)
{
    cors_deinit(&s->cors);
    free(s->prefix);
    free(s->dir);
    free(s->origin.file);
    free(s->origin.lines);
    *s = (struct wsg_static_config){0};
}

void wsg_dial_config_init(struct wsg_dial_config *d)
{
    *d = (struct wsg_dial_config){.timeout_ms = 10000, .retry_min_ms = 500, .retry_max_ms = 60000};
}

void wsg_dial_config_deinit(struct wsg_dial_config *d)
{
    texts_deinit(&d->headers);
    texts_deinit(&d->subprotocols);
    texts_deinit(&d->groups);
    free(d->name);
    free(d->url);
    free(d->route);
    free(d->from);
    free(d->user);
    free(d->ca);
    free(d->certificate);
    free(d->key);
    free(d->origin.file);
    free(d->origin.lines);
    *d = (struct wsg_dial_config){0};
}

void wsg_listener_config_init(struct wsg_listener_config *l)
{
    *l = (struct wsg_listener_config){0}; /* mode 0: not said, which on a Unix socket will be 0600 */
}

void wsg_listener_config_deinit(struct wsg_listener_config *l)
{
    texts_deinit(&l->certificates);
    texts_deinit(&l->keys);
    free(l->client_ca);
    free(l->tls_ciphers);
    free(l->address);
    texts_deinit(&l->allow);
    texts_deinit(&l->deny);
    free(l->origin.file);
    free(l->origin.lines);
    *l = (struct wsg_listener_config){0};
}

const char *wsg_origin_text(const struct wsg_origin *o, const char *flag, char *buf, size_t buf_len)
{
    if (o->file)
        (void)snprintf(buf, buf_len, "%s:%d", o->file, o->line);
    else
        (void)snprintf(buf, buf_len, "%s", flag);
    return buf;
}

static int line_of_word(const struct wsg_origin *o, const char *word, size_t len)
{
    for (size_t i = 0; i < wsg_option_count && len; i++) {
        if (o->lines[i] && strlen(wsg_options[i].name) == len && memcmp(wsg_options[i].name, word, len) == 0)
            return o->lines[i];
    }
    return 0;
}

int wsg_origin_line(const struct wsg_origin *o, const char *text, const char *otherwise)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    const char *behind = strstr(text, "', ");
    if (!behind)
        behind = strstr(text, "': ");
    if (!o->lines)
        return 0;
    int line = line_of_word(o, text, strspn(text, letters));
    if (!line && behind)
        line = line_of_word(o, behind + 3, strspn(behind + 3, letters));
    return line || !otherwise ? line : line_of_word(o, otherwise, strlen(otherwise));
}

wsb_err wsg_origin_blame(const struct wsg_origin *o, const char *flag, const char *otherwise, struct wsb_fault *fault)
{
    int line = wsg_origin_line(o, fault->text, otherwise);
    line = line ? line : o->line;
    if (o->file)
        (void)wsg_fault_prefix(fault, "%s:%d", o->file, line);
    else
        (void)wsg_fault_prefix(fault, "%s", flag);
    fault->line = line;
    return fault->err;
}

/* Room for one more element behind `count` of them. */
static wsb_err array_grow(void **array, size_t count, size_t element_size, size_t max, const char *what,
                          struct wsb_fault *fault)
{
    if (count == max)
        return wsb_fault_set(fault, WSB_ERR_LIMIT, 0, "more than %zu %s", max, what);
    void *grown = reallocarray(*array, count + 1, element_size);
    if (!grown)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    *array = grown;
    return WSB_OK;
}

static wsb_err is_there_already(const char *what, const struct wsg_origin *o, const char *flag, struct wsb_fault *fault)
{
    char where[120];
    return wsb_fault_set(fault, WSB_ERR_EXISTS, 0, "%s is there already, from %s", what,
                         wsg_origin_text(o, flag, where, sizeof where));
}

static bool has_text(const struct wsg_texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (strcmp(texts->at[i], text) == 0)
            return true;
    }
    return false;
}

static wsb_err cors_check(const struct wsg_cors *c, struct wsb_fault *fault)
{
    const char *alone = c->methods.count   ? "cors_methods"
                        : c->headers.count ? "cors_headers"
                        : c->expose.count  ? "cors_expose"
                        : c->credentials   ? "cors_credentials"
                                           : NULL;
    if (alone && c->origins.count == 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%s: cors_origins is missing, those whose pages may", alone);
    /* Whoever can make a page would be let in as whoever looks at it. */
    for (int i = 0; c->credentials && i < 2; i++) {
        const char *open = i ? "null" : "any";
        if (has_text(&c->origins, open))
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                                 "cors_credentials: not with '%s' in cors_origins: name the origins whose pages may",
                                 open);
    }
    if (c->headers.count > 1 && has_text(&c->headers, "any"))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "cors_headers: 'any' stands alone");
    return WSB_OK;
}

/* Methods and pages of other origins: of HTTP. */
static wsb_err http_check(const struct wsg_route_config *r, struct wsb_fault *fault)
{
    const char *alone = r->methods.count ? "methods" : r->cors.origins.count ? "cors_origins" : NULL;
    if (alone && !(r->kind & WSG_ROUTE_HTTP))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%s: it is for HTTP, which a route of this kind does not speak",
                             alone);
    for (size_t i = 0; i < r->cors.methods.count; i++) {
        if (r->methods.count && !has_text(&r->methods, r->cors.methods.at[i]))
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "cors_methods: '%s' is not one of methods",
                                 r->cors.methods.at[i]);
    }
    return cors_check(&r->cors, fault);
}

static wsb_err route_check(const struct wsg_route_config *r, struct wsb_fault *fault)
{
    assert(r->name);
    wsb_err err = wsg_value_check_name(r->name, fault);
    if (err)
        return err;
    if (r->path && r->kind == WSG_ROUTE_GATEKEEPER)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "path: kind = gatekeeper has none, only other routes ask it: remove one of them");
    if (!r->path && r->kind != WSG_ROUTE_GATEKEEPER)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "path is missing, like path = \"/%.40s\"", r->name);
    if (r->max_frame > r->max_message)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "max_frame: %zu bytes are more than max_message, %zu",
                             r->max_frame, r->max_message);
    if (r->require_subprotocol && r->subprotocols.count == 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "require_subprotocol: there are none to require: subprotocols is missing");
    if (r->message_burst && !r->message_rate)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "message_burst: message_rate is missing");
    if (r->byte_burst && !r->byte_rate)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "byte_burst: byte_rate is missing");
    if (r->publish && r->accept_by_handler)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "accept: 'handler' needs a handler, and deliver = publish has none: remove one of them");
    if (r->gatekeeper && r->accept_by_handler)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "gatekeeper: with accept = handler two would have to accept: remove one of them");
    if (r->gatekeeper && r->kind != WSG_ROUTE_WEBSOCKET)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "gatekeeper: it is asked about WebSocket clients, not about HTTP requests: the route has "
                             "to be of kind = websocket");
    return http_check(r, fault);
}

wsb_err wsg_config_add_route(struct wsg_config *c, struct wsg_route_config *r, struct wsb_fault *fault)
{
    wsb_err err = r->origin.is_bad ? WSB_OK : route_check(r, fault);
    if (err)
        return err;
    for (size_t i = 0; i < c->route_count; i++) {
        if (strcmp(c->routes[i].name, r->name) == 0)
            return is_there_already("a route of this name", &c->routes[i].origin, "--route", fault);
    }
    err = array_grow((void **)&c->routes, c->route_count, sizeof *r, WSG_CONFIG_ROUTES_MAX, "routes", fault);
    if (err)
        return err;
    if (r->max_frame == 0)
        r->max_frame = r->max_message;
    c->routes[c->route_count++] = *r;
    *r = (struct wsg_route_config){0};
    return WSB_OK;
}

wsb_err wsg_config_add_static(struct wsg_config *c, struct wsg_static_config *s, struct wsb_fault *fault)
{
    assert(s->prefix);
    wsb_err err = wsg_value_check_prefix(s->prefix, fault);
    if (err)
        return err;
    if (!s->dir)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "directory is missing, like directory = \"/var/www\"");
    for (size_t i = 0; i < c->static_count; i++) {
        if (strcmp(c->statics[i].prefix, s->prefix) == 0)
            return is_there_already("this prefix", &c->statics[i].origin, "--static", fault);
    }
    err = cors_check(&s->cors, fault);
    if (err)
        return err;
    err =
        array_grow((void **)&c->statics, c->static_count, sizeof *s, WSG_CONFIG_STATICS_MAX, "static prefixes", fault);
    if (err)
        return err;
    c->statics[c->static_count++] = *s;
    *s = (struct wsg_static_config){0};
    return WSB_OK;
}

/* Whether the URL, the headers and the files are good is found out by whoever uses them. */
wsb_err wsg_dial_config_check(const struct wsg_dial_config *d, struct wsb_fault *fault)
{
    assert(d->name);
    wsb_err err = wsg_value_check_name(d->name, fault);
    if (err)
        return err;
    if (!d->url)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "url is missing, like url = \"wss://example.org/feed\"");
    if (!d->route)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "route is missing: the name of the one whose handlers have the connection");
    if (d->key && !d->certificate)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "key: certificate is missing");
    if (d->retry_max_ms < d->retry_min_ms)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "retry_max: %u ms are less than retry_min, %u ms",
                             d->retry_max_ms, d->retry_min_ms);
    return WSB_OK;
}

wsb_err wsg_config_add_dial(struct wsg_config *c, struct wsg_dial_config *d, struct wsb_fault *fault)
{
    wsb_err err = d->origin.is_bad ? WSB_OK : wsg_dial_config_check(d, fault);
    if (err)
        return err;
    for (size_t i = 0; i < c->dial_count; i++) {
        if (strcmp(c->dials[i].name, d->name) == 0)
            return is_there_already("a dial of this name", &c->dials[i].origin, "", fault);
    }
    err = array_grow((void **)&c->dials, c->dial_count, sizeof *d, WSG_CONFIG_DIALS_MAX, "dials", fault);
    if (err)
        return err;
    c->dials[c->dial_count++] = *d;
    *d = (struct wsg_dial_config){0};
    return WSB_OK;
}

/* Two listeners on port 0 are two ports: the kernel chooses each. */
static bool is_any_port(const char *address)
{
    const char *colon = strrchr(address, ':');
    return strncmp(address, "unix:", 5) != 0 && colon && strspn(colon + 1, "0") == strlen(colon + 1);
}

/* Whether the files are there and good is found out by whoever reads them. */
static wsb_err tls_check(const struct wsg_listener_config *l, struct wsb_fault *fault)
{
    bool asks = l->client_certificates != WSG_CLIENTS_NONE;
    const char *alone = l->keys.count     ? "keys"
                        : l->client_ca    ? "client_ca"
                        : asks            ? "client_certificates"
                        : l->tls_ciphers  ? "tls_ciphers"
                        : l->tls_1_3_only ? "tls_min_version"
                                          : NULL;
    if (l->certificates.count == 0)
        return alone ? wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                                     "%s: it is for TLS, and there are no certificates, like certificates = "
                                     "{\"/etc/wsbus/tls.pem\"}",
                                     alone)
                     : WSB_OK;
    if (l->keys.count && l->keys.count != l->certificates.count)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "keys: %zu for %zu certificates: one for each in their order, or none when each file of "
                             "certificates has its key",
                             l->keys.count, l->certificates.count);
    if (asks && !l->client_ca)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "client_certificates: client_ca is missing, the file with the authorities that sign them");
    if (!asks && l->client_ca)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "client_ca: nobody is asked for a certificate: set client_certificates to optional or "
                             "required");
    return WSB_OK;
}

wsb_err wsg_config_add_listener(struct wsg_config *c, struct wsg_listener_config *l, struct wsb_fault *fault)
{
    assert(l->address);
    wsb_err err = wsg_value_check_listen(l->address, fault);
    if (err)
        return err;
    if (l->mode && strncmp(l->address, "unix:", 5) != 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "mode: only a Unix socket (unix:/path) has one");
    err = tls_check(l, fault);
    if (err)
        return err;
    for (size_t i = 0; i < c->listener_count; i++) {
        if (strcmp(c->listeners[i].address, l->address) == 0 && !is_any_port(l->address))
            return is_there_already("this address", &c->listeners[i].origin, "--listen", fault);
    }
    err =
        array_grow((void **)&c->listeners, c->listener_count, sizeof *l, WSG_CONFIG_LISTENERS_MAX, "listeners", fault);
    if (err)
        return err;
    if (l->mode == 0)
        l->mode = 0600;
    c->listeners[c->listener_count++] = *l;
    *l = (struct wsg_listener_config){0};
    return WSB_OK;
}

/* ------------------------------------------------------------------------ the whole */

static const char *flag_of(const struct wsg_option *o, char buf[64])
{
    (void)snprintf(buf, 64, "--%s", o->flag ? o->flag : o->name);
    return buf;
}

wsb_err wsg_config_blame(const struct wsg_config *c, const char *name, struct wsb_fault *fault)
{
    char flag[64];
    const struct wsg_option *o = NULL;
    for (size_t i = 0; i < wsg_option_count && !o; i++) {
        bool is_titled = wsg_options[i].section >= WSG_SECTION_LISTEN && wsg_options[i].section <= WSG_SECTION_DIAL;
        if (!is_titled && strcmp(wsg_options[i].name, name) == 0)
            o = &wsg_options[i];
    }
    assert(o);
    int line = c->option_lines[o - wsg_options];
    const char *section = wsg_section_name(o->section);
    if (line < 0)
        return wsg_fault_prefix(fault, "%s", flag_of(o, flag));
    (void)wsg_fault_prefix(fault, "%s%s%s", section, *section ? ": " : "", name);
    if (line > 0 && c->file)
        (void)wsg_fault_prefix(fault, "%s:%d", c->file, line);
    fault->line = line;
    return fault->err;
}

/* One thing that is wrong with an option outside of titled sections. */
static void refuse(const struct wsg_config *c, struct wsg_faults *all, const char *name, const char *text)
{
    struct wsb_fault fault = {0};
    (void)wsb_fault_set(&fault, WSB_ERR_CONFIG, 0, "%s", text);
    (void)wsg_config_blame(c, name, &fault);
    (void)wsg_faults_add(all, &fault);
}

/* Without keys whoever can connect may serve any route: that must not be the rest of the network. */
static void endpoint_check(const struct wsg_config *c, const char *name, const char *endpoint, struct wsg_faults *all)
{
    struct wsb_endpoint e;
    struct wsb_fault fault = {0};
    wsb_err err = endpoint ? wsb_endpoint_parse(endpoint, &e, &fault) : WSB_OK;
    if (!endpoint || (!err && (c->curve_secret || e.is_loopback)))
        return;
    if (!err)
        (void)wsb_fault_set(&fault, WSB_ERR_CONFIG, 0,
                            "'%.64s' is open to other machines: take 127.0.0.1 or [::1], or let in who has a key: "
                            "curve_secret and curve_clients, see wsgate.conf(5)",
                            endpoint);
    (void)wsg_config_blame(c, name, &fault);
    (void)wsg_faults_add(all, &fault);
}

static void bus_check(const struct wsg_config *c, struct wsg_faults *all)
{
    if (c->curve_secret && !c->curve_clients)
        refuse(c, all, "curve_secret", "curve_clients is missing, the file with the keys of those who may come in");
    if (!c->curve_secret && c->curve_clients)
        refuse(c, all, "curve_clients",
               "curve_secret is missing, the file with the gate's key: wsgate --make-key FILE makes one");
    if (c->curve_secret && !c->bus_handlers && !c->bus_events && !c->bus_commands)
        refuse(c, all, "curve_secret",
               "keys are for endpoints on TCP, and there is none: set handlers, events or commands, or leave the keys "
               "out");
    endpoint_check(c, "handlers", c->bus_handlers, all);
    endpoint_check(c, "events", c->bus_events, all);
    endpoint_check(c, "commands", c->bus_commands, all);
}

static const struct wsg_route_config *find_route(const struct wsg_config *c, const char *name)
{
    for (size_t i = 0; i < c->route_count; i++) {
        if (strcmp(c->routes[i].name, name) == 0)
            return &c->routes[i];
    }
    return NULL;
}

/* Add a fault of a part, with the part's place in front of it. */
static void blame_part(const struct wsg_origin *o, const char *flag, struct wsb_fault *fault, struct wsg_faults *all)
{
    (void)wsg_origin_blame(o, flag, NULL, fault);
    (void)wsg_faults_add(all, fault);
}

static void dials_check(const struct wsg_config *c, struct wsg_faults *all)
{
    for (size_t i = 0; i < c->dial_count; i++) {
        const struct wsg_dial_config *d = &c->dials[i];
        if (d->origin.is_bad)
            continue;
        const struct wsg_route_config *r = find_route(c, d->route);
        struct wsb_fault fault = {0};
        if (r && (r->origin.is_bad || (unsigned)r->kind & WSG_ROUTE_WEBSOCKET))
            continue;
        (void)wsb_fault_set(&fault, WSB_ERR_CONFIG, 0, "dial '%.64s': route: %s '%.64s'", d->name,
                            r ? "it does not speak WebSocket:" : "there is no route", d->route);
        blame_part(&d->origin, "", &fault, all);
    }
}

/* Whom a route asks: another one, that has handlers and asks nobody. */
static wsb_err gatekeeper_check(const struct wsg_config *c, const struct wsg_route_config *r, struct wsb_fault *fault)
{
    const struct wsg_route_config *asked = find_route(c, r->gatekeeper);
    if (asked && asked->origin.is_bad)
        return WSB_OK;
    if (!asked)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "there is no route '%s'", r->gatekeeper);
    if (asked == r)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "it is the route itself: accept = handler asks a handler of the same route");
    if (asked->gatekeeper)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "route '%s' has a gatekeeper itself: only one is asked",
                             r->gatekeeper);
    if (asked->publish)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "route '%s' has no handlers to ask: it has deliver = publish",
                             r->gatekeeper);
    return WSB_OK;
}

static void gatekeepers_check(const struct wsg_config *c, struct wsg_faults *all)
{
    for (size_t i = 0; i < c->route_count; i++) {
        const struct wsg_route_config *r = &c->routes[i];
        struct wsb_fault fault = {0};
        if (!r->gatekeeper || r->origin.is_bad || gatekeeper_check(c, r, &fault) == WSB_OK)
            continue;
        (void)wsg_fault_prefix(&fault, "route '%s': gatekeeper", r->name);
        blame_part(&r->origin, "--route", &fault, all);
    }
}

static void proxies_check(const struct wsg_config *c, struct wsg_faults *all)
{
    for (size_t i = 0; i < c->listener_count; i++) {
        const struct wsg_listener_config *l = &c->listeners[i];
        struct wsb_fault fault = {0};
        if (!l->proxy_protocol || c->trusted_proxies.count || l->origin.is_bad)
            continue;
        (void)wsb_fault_set(&fault, WSB_ERR_CONFIG, 0,
                            "listen '%.64s': proxy_protocol: trusted_proxies is missing, the networks of those who "
                            "may say who the client is",
                            l->address);
        blame_part(&l->origin, "--listen", &fault, all);
    }
    if (c->forwarded != WSG_BY_NO_HEADER && c->trusted_proxies.count == 0)
        refuse(c, all, "forwarded", "trusted_proxies is missing, the networks of those who may write the header");
}

wsb_err wsg_config_check(const struct wsg_config *c, struct wsg_faults *all)
{
    struct wsg_faults own = {0};
    struct wsg_faults *to = all ? all : &own;
    size_t before = to->count;
    struct wsb_fault fault = {0};
    if (c->listener_count == 0 && before == 0) {
        (void)wsb_fault_set(&fault, WSB_ERR_CONFIG, 0,
                            "%s%snothing to listen on: give --listen 127.0.0.1:8080, or a section "
                            "listen \"127.0.0.1:8080\" {} in the file of --config",
                            c->file ? c->file : "", c->file ? ": " : "");
        (void)wsg_faults_add(to, &fault);
    }
    proxies_check(c, to);
    dials_check(c, to);
    gatekeepers_check(c, to);
    if (c->metrics_token && !c->metrics)
        refuse(c, to, "metrics_token", "metrics is missing, the address where they are served");
    bus_check(c, to);
    wsg_faults_sort(to, before);
    return to->count > before ? to->at[before].err : WSB_OK;
}
