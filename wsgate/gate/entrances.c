/* From lists of texts to rules, one set for each listener. */
#include "gate/entrances.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
    VISITORS_SLACK = 65536
}; /* addresses without a connection that are remembered, when all connections are taken */

static wsb_err visitors_new(struct wsg_gatekeeping *g, const struct wsg_config *c, struct wsb_fault *fault)
{
    struct wsg_visitor_limits limits = {c->max_per_address, c->accept_rate, c->accept_burst};
    struct wsb_seed seed;
    if (!limits.connections && !limits.rate)
        return WSB_OK;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no random numbers: %s", strerror(errno));
    wsb_err err = wsg_visitors_new(&g->visitors, &limits, c->max_connections + VISITORS_SLACK, &seed);
    return err ? wsb_fault_set(fault, err, 0, "out of memory") : WSB_OK;
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
        if (wsb_ip_rules_init(&e->rules, l->allow.at, l->allow.count, l->deny.at, l->deny.count, fault))
            return fault->err;
    }
    wsb_err err = wsb_ip_nets_init(&g->trusted, c->trusted_proxies.at, c->trusted_proxies.count, fault);
    return err ? err : visitors_new(g, c, fault);
}

void wsg_entrances_deinit(struct wsg_gatekeeping *g)
{
    for (size_t i = 0; i < g->entrance_count; i++)
        wsb_ip_rules_deinit(&g->entrances[i].rules);
    free(g->entrances);
    wsb_ip_nets_deinit(&g->trusted);
    wsg_visitors_free(g->visitors);
    g->entrances = NULL;
    g->entrance_count = 0;
    g->visitors = NULL;
}
