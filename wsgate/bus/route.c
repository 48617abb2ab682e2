/* The table of routes: most specific pattern first, a route for one host before one for all. */
#include "bus/route.h"

#include <assert.h>
#include <stdlib.h>

#include "base/host.h"

wsb_err wsg_routes_init(struct wsg_routes *t, size_t count)
{
    *t = (struct wsg_routes){0};
    if (count > WSG_ROUTES_MAX)
        return WSB_ERR_LIMIT;
    t->routes = calloc(count ? count : 1, sizeof *t->routes);
    t->order = calloc(count ? count : 1, sizeof *t->order);
    if (t->routes && t->order)
        return WSB_OK;
    free(t->routes);
    free(t->order);
    *t = (struct wsg_routes){0};
    return WSB_ERR_NOMEM;
}

void wsg_routes_deinit(struct wsg_routes *t)
{
    for (size_t i = 0; i < t->count; i++) {
        wsb_pattern_free(t->routes[i].pattern);
        free(t->routes[i].host);
        wsb_ip_rules_deinit(&t->routes[i].rules);
        wsg_places_deinit(&t->routes[i].pending);
    }
    free(t->routes);
    free(t->order);
    *t = (struct wsg_routes){0};
}

static bool is_name(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return n > 0 && n <= WSG_ROUTE_NAME_MAX && name[n] == 0;
}

static bool overlaps(const struct wsg_route *a, const struct wsg_route *b)
{
    bool same_host = a->host && b->host ? strcmp(a->host, b->host) == 0 : a->host == b->host;
    return a->pattern && b->pattern && same_host && (a->policy.kinds & b->policy.kinds) &&
           wsb_pattern_compare(a->pattern, b->pattern) == 0;
}

static wsb_err check_sources(struct wsg_route *r, struct wsb_fault *fault)
{
    const struct wsg_route_policy *p = &r->policy;
    struct wsb_fault inner = {0};
    wsb_err err = wsg_source_parse(p->pin_key, r->pattern, &r->pin_key, &inner);
    if (err)
        return wsb_fault_set(fault, err, 0, "route '%s', pin_key: %.180s", r->name, inner.text);
    err = wsg_source_parse(p->user, r->pattern, &r->user, &inner);
    if (err)
        return wsb_fault_set(fault, err, 0, "route '%s', user: %.180s", r->name, inner.text);
    err = wsg_source_parse(p->token, r->pattern, &r->token, &inner);
    if (err || r->token.kind == WSG_SOURCE_ADDRESS || r->token.kind == WSG_SOURCE_CLAIM)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "route '%s', token: %.180s", r->name,
                             err ? inner.text
                                 : "a token comes in query:NAME, param:NAME, header:NAME, cookie:NAME or "
                                   "subprotocol:NAME");
    if (r->user.kind == WSG_SOURCE_SUBPROTOCOL || r->pin_key.kind == WSG_SOURCE_SUBPROTOCOL)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "route '%s': subprotocol:NAME is for token only", r->name);
    if ((r->user.kind == WSG_SOURCE_CLAIM || r->pin_key.kind == WSG_SOURCE_CLAIM) && !p->token)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "route '%s': claims are a token's: token is missing", r->name);
    for (size_t i = 0; i < p->joins.count; i++) {
        err = wsg_template_check(p->joins.at[i], r->pattern, &inner);
        if (err)
            return wsb_fault_set(fault, err, 0, "route '%s', join: %.180s", r->name, inner.text);
    }
    return WSB_OK;
}

static wsb_err check_overlaps(const struct wsg_routes *t, const struct wsg_route *r, struct wsb_fault *fault)
{
    for (size_t i = 0; i < t->count; i++) {
        if (overlaps(&t->routes[i], r))
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "route '%s' matches the same paths as route '%s'", r->name,
                                 t->routes[i].name);
    }
    return WSB_OK;
}

/* The one form in which requests are compared with it. */
static wsb_err take_host(struct wsg_route *r, const char *host, struct wsb_fault *fault)
{
    struct wsb_host canonical;
    if (!host)
        return WSB_OK;
    if (wsb_host_parse(wsb_span_str(host), &canonical) != WSB_OK || canonical.has_port)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "route '%s', host '%.80s': not a host, or with a port", r->name,
                             host);
    r->host = strdup(canonical.text);
    return r->host ? WSB_OK : wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
}

wsb_err wsg_routes_add(struct wsg_routes *t, const char *name, const char *path, const char *host,
                       const struct wsg_route_policy *policy, struct wsb_fault *fault)
{
    struct wsg_route *r = &t->routes[t->count];
    if (!is_name(name))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "route name '%.70s': use 1 to %d letters, digits, '_', '.' or '-'", name,
                             WSG_ROUTE_NAME_MAX);
    if (wsg_routes_find(t, wsb_span_str(name)))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "route '%s' is there twice", name);
    struct wsb_pattern *pattern = NULL;
    struct wsb_fault inner = {0};
    wsb_err err = path ? wsb_pattern_new(&pattern, path, &inner) : WSB_OK;
    if (err)
        return wsb_fault_set(fault, err, 0, "route '%s', path '%.80s': %.120s", name, path, inner.text);
    *r = (struct wsg_route){.index = (uint16_t)t->count, .pattern = pattern, .policy = *policy};
    memcpy(r->name, name, strlen(name) + 1);
    if (wsg_places_init(&r->pending, policy->max_pending) != WSB_OK) {
        wsb_pattern_free(pattern);
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    }
    if ((err = take_host(r, host, fault)) || (err = check_overlaps(t, r, fault)) || (err = check_sources(r, fault)) ||
        (err = wsb_ip_rules_init(&r->rules, policy->allow.at, policy->allow.count, policy->deny.at, policy->deny.count,
                                 fault))) {
        wsb_pattern_free(pattern);
        free(r->host);
        wsg_places_deinit(&r->pending);
        return err;
    }
    t->count++;
    return WSB_OK;
}

static bool comes_before(const struct wsg_route *a, const struct wsg_route *b)
{
    if ((a->host != NULL) != (b->host != NULL))
        return a->host != NULL;
    return wsb_pattern_compare(a->pattern, b->pattern) < 0;
}

void wsg_routes_seal(struct wsg_routes *t)
{
    t->matched = 0;
    for (size_t i = 0; i < t->count; i++) { /* insertion sort: once at start, and stable */
        size_t at = t->matched;
        if (!t->routes[i].pattern)
            continue; /* nobody comes to it by a path */
        t->matched++;
        while (at > 0 && comes_before(&t->routes[i], &t->routes[t->order[at - 1]])) {
            t->order[at] = t->order[at - 1];
            at--;
        }
        t->order[at] = (uint16_t)i;
    }
}

struct wsg_route *wsg_routes_match(const struct wsg_routes *t, struct wsb_span host, struct wsb_span path,
                                   unsigned kind, struct wsb_span ret_params[WSB_PATTERN_PARAMS_MAX],
                                   bool *ret_other_kind)
{
    *ret_other_kind = false;
    for (size_t i = 0; i < t->matched; i++) {
        struct wsg_route *r = &t->routes[t->order[i]];
        if (r->host && !wsb_span_eq_str(host, r->host))
            continue;
        if (!wsb_pattern_match(r->pattern, path, ret_params))
            continue;
        if (r->policy.kinds & kind)
            return r;
        *ret_other_kind = true;
    }
    return NULL;
}

struct wsg_route *wsg_routes_find(const struct wsg_routes *t, struct wsb_span name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (wsb_span_eq_str(name, t->routes[i].name))
            return &t->routes[i];
    }
    return NULL;
}

void wsg_routes_set_gatekeeper(struct wsg_routes *t, size_t index, const char *name)
{
    t->routes[index].gatekeeper = wsg_routes_find(t, wsb_span_str(name));
    assert(t->routes[index].gatekeeper); /* the configuration was checked */
}

const char *wsg_refusal_name(enum wsg_refusal why)
{
    static const char *const names[] = {
        "connections", "no_memory",      "address",         "per_address",    "rate",
        "proxy",       "origin",         "subprotocol",     "token",          "no_handler",
        "draining",    "by_handler",     "no_gatekeeper",   "accept_timeout", "malformed",
        "body_size",   "body_timeout",   "request_timeout", "method",         "preflight",
        "kind",        "handshake_rate", "pending",         "silent",         "other",
    };
    return names[why];
}

const char *wsg_ending_name(enum wsg_ending why)
{
    static const char *const names[] = {"ping",     "idle",      "lifetime",        "token",     "rate",
                                        "protocol", "text",      "too_big",         "slow",      "handler",
                                        "draining", "no_memory", "message_timeout", "unfinished"};
    return names[why];
}

const char *wsg_cut_name(enum wsg_cut why)
{
    static const char *const names[] = {"silent", "slow",    "refused_part", "body_timeout",
                                        "body",   "handler", "draining",     "no_memory"};
    return names[why];
}

const char *wsg_in_drop_name(enum wsg_in_drop reason)
{
    static const char *const names[] = {"no_handler", "full_new",  "full_old",     "full_close",
                                        "lost",       "no_memory", "undeliverable"};
    return names[reason];
}

const char *wsg_out_drop_name(enum wsg_out_drop reason)
{
    static const char *const names[] = {"slow_new", "slow_old", "slow_close", "conflated",
                                        "gone",     "refused",  "no_memory"};
    return names[reason];
}
