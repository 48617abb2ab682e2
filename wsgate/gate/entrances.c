/* From lists of texts to rules, one set for each listener. */
#include "gate/entrances.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "config/value.h"

enum {
    VISITORS_SLACK = 65536
}; /* addresses without a connection that are remembered, when all connections are taken */

static wsb_err random_seed(struct wsb_seed *ret, struct wsb_fault *fault)
{
    if (getrandom(ret, sizeof *ret, 0) != sizeof *ret)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no random numbers: %s", strerror(errno));
    return WSB_OK;
}

static wsb_err turnstile_new(struct wsg_turnstile **ret, uint32_t rate, uint32_t burst, struct wsb_fault *fault)
{
    struct wsg_turnstile_limits limits = {rate, burst ? burst : rate};
    struct wsb_seed seed;
    if (!rate)
        return WSB_OK;
    if (random_seed(&seed, fault) != WSB_OK)
        return fault->err;
    wsb_err err = wsg_turnstile_new(ret, &limits, &seed);
    return err ? wsb_fault_set(fault, err, 0, "out of memory") : WSB_OK;
}

static wsb_err turnstiles_build(struct wsg_gatekeeping *g, const struct wsg_config *c, struct wsb_fault *fault)
{
    wsb_err err = turnstile_new(&g->handshakes, c->handshake_rate, c->handshake_burst, fault);
    if (err)
        return err;
    g->handshakes_of = calloc(c->route_count + 1, sizeof *g->handshakes_of);
    if (!g->handshakes_of)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    g->handshakes_count = c->route_count;
    for (size_t i = 0; i < c->route_count && !err; i++)
        err = turnstile_new(&g->handshakes_of[i], c->routes[i].handshake_rate, c->routes[i].handshake_burst, fault);
    return err;
}

static void turnstiles_free(struct wsg_gatekeeping *g)
{
    wsg_turnstile_free(g->handshakes);
    for (size_t i = 0; i < g->handshakes_count; i++)
        wsg_turnstile_free(g->handshakes_of[i]);
    free(g->handshakes_of);
    g->handshakes = NULL;
    g->handshakes_of = NULL;
    g->handshakes_count = 0;
}

static wsb_err visitors_new(struct wsg_gatekeeping *g, const struct wsg_config *c, struct wsb_fault *fault)
{
    struct wsg_visitor_limits limits = {c->max_per_address, c->accept_rate, c->accept_burst};
    struct wsb_seed seed;
    if (!limits.connections && !limits.rate)
        return WSB_OK;
    if (random_seed(&seed, fault) != WSB_OK)
        return fault->err;
    wsb_err err = wsg_visitors_new(&g->visitors, &limits, c->max_connections + VISITORS_SLACK, &seed);
    return err ? wsb_fault_set(fault, err, 0, "out of memory") : WSB_OK;
}

static wsb_err route_keys_load(const struct wsg_route_config *r, struct wsb_token_keys **ret, struct wsb_fault *fault)
{
    if (r->token && !r->token_keys)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "token: token_keys is missing, the file with the keys that tokens are checked with");
    if (!r->token && (r->token_keys || r->token_issuer || r->token_audience || r->ends_with_token))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "token is missing: where a client has it, like token = \"query:token\"");
    if (!r->token)
        return WSB_OK;
    wsb_err err = wsb_token_keys_load(ret, r->token_keys, fault);
    if (err)
        return wsg_fault_prefix(fault, "token_keys");
    if (wsb_token_keys_skipped(*ret))
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "keys skipped", WSB_KS("route", r->name), WSB_KS("file", r->token_keys),
                WSB_KU("used", wsb_token_keys_count(*ret)), WSB_KU("skipped", wsb_token_keys_skipped(*ret)),
                WSB_KS("why", wsb_token_keys_why_skipped(*ret)));
    return WSB_OK;
}

static wsb_err named_keys_load(const struct wsg_route_config *r, struct wsb_token_keys **ret, struct wsb_fault *fault)
{
    wsb_err err = route_keys_load(r, ret, fault);
    if (!err)
        return WSB_OK;
    (void)wsg_fault_prefix(fault, "route '%.64s'", r->name);
    return wsg_origin_blame(&r->origin, "--route", "token", fault);
}

void wsg_token_news_deinit(struct wsg_token_news *n)
{
    for (size_t i = 0; i < n->count; i++)
        wsb_token_keys_unref(n->keys[i]);
    free(n->keys);
    *n = (struct wsg_token_news){0};
}

wsb_err wsg_token_news_load(struct wsg_token_news *n, const struct wsg_config *c, struct wsb_fault *fault)
{
    *n = (struct wsg_token_news){.keys = calloc(c->route_count + 1, sizeof(struct wsb_token_keys *))};
    if (!n->keys)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (; n->count < c->route_count; n->count++) {
        const struct wsg_route_config *r = &c->routes[n->count];
        wsb_err err = named_keys_load(r, &n->keys[n->count], fault);
        if (!err)
            continue;
        wsg_token_news_deinit(n);
        return err;
    }
    return WSB_OK;
}

void wsg_tokens_check(const struct wsg_config *c, struct wsg_faults *all)
{
    for (size_t i = 0; i < c->route_count; i++) {
        struct wsb_token_keys *keys = NULL;
        struct wsb_fault fault = {0};
        if (!c->routes[i].origin.is_bad && named_keys_load(&c->routes[i], &keys, &fault) != WSB_OK)
            (void)wsg_faults_add(all, &fault);
        wsb_token_keys_unref(keys);
    }
}

void wsg_token_news_take(struct wsg_token_news *n, struct wsg_gatekeeping *g)
{
    for (size_t i = 0; i < n->count; i++) {
        if (n->keys[i])
            wsg_token_rule_set_keys(&g->tokens[i], n->keys[i]);
        n->keys[i] = NULL;
    }
    wsg_token_news_deinit(n);
}

static wsb_err tokens_build(struct wsg_gatekeeping *g, const struct wsg_config *c, struct wsb_fault *fault)
{
    g->tokens = calloc(c->route_count + 1, sizeof *g->tokens);
    if (!g->tokens)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (; g->token_count < c->route_count; g->token_count++) {
        const struct wsg_route_config *r = &c->routes[g->token_count];
        struct wsg_token_rule *t = &g->tokens[g->token_count];
        pthread_mutex_init(&t->lock, NULL);
        t->rules = (struct wsb_token_rules){
            .issuer = r->token_issuer,
            .audience = r->token_audience ? r->token_audience : r->name,
            .audience_required = r->token_audience != NULL,
            .leeway_ms = r->token_leeway_ms,
        };
    }
    struct wsg_token_news keys;
    wsb_err err = wsg_token_news_load(&keys, c, fault);
    if (!err)
        wsg_token_news_take(&keys, g);
    return err;
}

wsb_err wsg_entrances_build(struct wsg_gatekeeping *g, const struct wsg_config *c, struct wsb_fault *fault)
{
    static const enum wsg_forwarded headers[] = {[WSG_BY_NO_HEADER] = WSG_FORWARDED_NONE,
                                                 [WSG_BY_X_FORWARDED] = WSG_FORWARDED_X,
                                                 [WSG_BY_FORWARDED] = WSG_FORWARDED_RFC7239};
    g->forwarded = headers[c->forwarded];
    g->answers = c->answer_refused;
    g->entrances = calloc(c->listener_count ? c->listener_count : 1, sizeof *g->entrances);
    if (!g->entrances)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    for (; g->entrance_count < c->listener_count; g->entrance_count++) {
        const struct wsg_listener_config *l = &c->listeners[g->entrance_count];
        struct wsg_entrance *e = &g->entrances[g->entrance_count];
        e->has_proxy_header = l->proxy_protocol;
        e->http_limits = (struct wsg_http_limits)WSG_HTTP_LIMITS_DEFAULT;
        e->http_limits.max_head_bytes = l->max_head ? l->max_head : c->max_head;
        e->http_limits.max_headers = l->max_headers ? l->max_headers : c->max_headers;
        e->http_limits.max_body = SIZE_MAX; /* the route's limit decides */
        e->head_timeout_ms = l->head_timeout_ms ? l->head_timeout_ms : c->head_timeout_ms;
        e->handshake_timeout_ms = l->handshake_timeout_ms ? l->handshake_timeout_ms : c->handshake_timeout_ms;
        if (wsb_ip_rules_init(&e->rules, l->allow.at, l->allow.count, l->deny.at, l->deny.count, fault))
            return fault->err;
    }
    wsb_err err = wsb_ip_nets_init(&g->trusted, c->trusted_proxies.at, c->trusted_proxies.count, fault);
    if (!err)
        err = tokens_build(g, c, fault);
    if (!err)
        err = turnstiles_build(g, c, fault);
    return err ? err : visitors_new(g, c, fault);
}

void wsg_entrances_deinit(struct wsg_gatekeeping *g)
{
    for (size_t i = 0; i < g->entrance_count; i++)
        wsb_ip_rules_deinit(&g->entrances[i].rules);
    free(g->entrances);
    for (size_t i = 0; i < g->token_count; i++) {
        wsb_token_keys_unref(g->tokens[i].keys);
        pthread_mutex_destroy(&g->tokens[i].lock);
    }
    free(g->tokens);
    g->tokens = NULL;
    g->token_count = 0;
    wsb_ip_nets_deinit(&g->trusted);
    wsg_visitors_free(g->visitors);
    turnstiles_free(g);
    g->entrances = NULL;
    g->entrance_count = 0;
    g->visitors = NULL;
}
