#ifndef WSG_BUS_ROUTE_H
#define WSG_BUS_ROUTE_H

/*
 * Routes: which requests go to which handlers, and by what policy. The table is built before the workers start and does
 * not change while they run; only the atomics do.
 */

#include <stdatomic.h>

#include "base/fault.h"
#include "base/pattern.h"
#include "base/span.h"

enum { WSG_ROUTES_MAX = 1024, WSG_ROUTE_NAME_MAX = 64 };

enum wsg_kind { WSG_KIND_WEBSOCKET = 1, WSG_KIND_HTTP = 2 };

struct wsg_route_policy {
    unsigned kinds; /* of enum wsg_kind, or-ed */
    bool publish;
    bool tap;
    bool accept_by_handler;
    bool close_without_handler; /* 101 and 1013 instead of 503 */
    char **subprotocols;        /* borrowed from the configuration */
    size_t subprotocol_count;
    size_t max_message;
    size_t max_frame;
    uint32_t max_fragments;
    size_t max_queue;
    size_t max_body;
    uint32_t accept_timeout_ms;
    uint32_t request_timeout_ms;
};

struct wsg_route {
    uint16_t index;
    char name[WSG_ROUTE_NAME_MAX + 1];
    const char *host;            /* borrowed; NULL: any */
    struct wsb_pattern *pattern; /* owned */
    struct wsg_route_policy policy;
    _Atomic uint32_t handlers; /* registered now: the hub writes, workers read */
    _Atomic uint32_t taps;     /* of `wsctl tap` */
    _Atomic uint64_t opened, refused, requests, messages_in, bytes_in, messages_out, bytes_out, dropped;
};

struct wsg_routes {
    struct wsg_route *routes; /* owned */
    size_t count;
    uint16_t *order; /* owned; most specific pattern first */
};

/* Make room for `count` routes; add them, then seal the table. */
WSB_MUST_CHECK wsb_err wsg_routes_init(struct wsg_routes *t, size_t count);
void wsg_routes_deinit(struct wsg_routes *t);
/* name, path and host are checked; host is borrowed for the table's life. */
WSB_MUST_CHECK wsb_err wsg_routes_add(struct wsg_routes *t, const char *name, const char *path, const char *host,
                                      const struct wsg_route_policy *policy, struct wsb_fault *fault);
void wsg_routes_seal(struct wsg_routes *t);

/* The most specific route for a decoded path; NULL when there is none. `kind` is one of enum wsg_kind; *ret_other_kind says
 * that the path would have matched a route of the other kind. */
struct wsg_route *wsg_routes_match(const struct wsg_routes *t, struct wsb_span host, struct wsb_span path,
                                   unsigned kind, struct wsb_span ret_params[WSB_PATTERN_PARAMS_MAX],
                                   bool *ret_other_kind);
struct wsg_route *wsg_routes_find(const struct wsg_routes *t, struct wsb_span name);

#endif
