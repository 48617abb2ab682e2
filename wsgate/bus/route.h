#ifndef WSG_BUS_ROUTE_H
#define WSG_BUS_ROUTE_H

/*
 * Routes: which requests go to which handlers, and by what policy. The table is built before the workers start and does
 * not change while they run; only the atomics and the places do.
 */

#include <stdatomic.h>

#include "base/fault.h"
#include "base/ip.h"
#include "base/pattern.h"
#include "base/span.h"
#include "bus/backlog.h"
#include "bus/key.h"
#include "bus/places.h"
#include "policy/policy.h"

enum { WSG_ROUTES_MAX = 1024, WSG_ROUTE_NAME_MAX = 64 };

/* What a client speaks. Sets of them are or-ed. */
enum wsg_kind { WSG_KIND_WEBSOCKET = 1, WSG_KIND_HTTP = 2 };
enum { WSG_KINDS = 2, WSG_KIND_ALL = WSG_KIND_WEBSOCKET | WSG_KIND_HTTP };

/* Why a message of a client never reached a handler. */
enum wsg_in_drop {
    WSG_IN_NO_HANDLER, /* none came in time */
    WSG_IN_FULL_NEW,   /* the handler was full: drop-new */
    WSG_IN_FULL_OLD,   /* drop-old */
    WSG_IN_FULL_CLOSE, /* close: it and what was waiting of that client */
    WSG_IN_LOST,       /* with a handler that does not acknowledge, or in a connection the gate gave up */
    WSG_IN_NO_MEMORY,
    WSG_IN_UNDELIVERABLE, /* set aside: it was delivered as often as the route allows, and nobody was done with it */
    WSG_IN_DROPS
};

/* Why a message never reached a client. */
enum wsg_out_drop {
    WSG_OUT_SLOW_NEW,   /* the client was slow: drop-new */
    WSG_OUT_SLOW_OLD,   /* drop-old */
    WSG_OUT_SLOW_CLOSE, /* close: the message that was too many */
    WSG_OUT_CONFLATED,  /* a newer one of its key took its place */
    WSG_OUT_GONE,       /* the connection ended before the kernel had it */
    WSG_OUT_REFUSED,    /* no open WebSocket, or too large for the route */
    WSG_OUT_NO_MEMORY,
    WSG_OUT_DROPS
};

const char *wsg_refusal_name(enum wsg_refusal why);
const char *wsg_ending_name(enum wsg_ending why);
const char *wsg_cut_name(enum wsg_cut why);

static inline void wsg_tally(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

const char *wsg_in_drop_name(enum wsg_in_drop reason);
const char *wsg_out_drop_name(enum wsg_out_drop reason);

/*
 * What has passed through a route. All counters only grow; in a quiet moment
 *     messages_in  = delivered + Σ in_dropped + retained messages
 *     messages_out = written + Σ out_dropped + messages in the queues of clients
 */
struct wsg_route_tally {
    /* by the workers */
    _Atomic uint64_t opened, closed, requests;
    _Atomic uint64_t gzipped, gzip_from_bytes, gzip_bytes; /* responses that left as gzip; bytes before and after */
    _Atomic uint64_t body_refused;                         /* parts of responses, since the client's queue was full */
    _Atomic uint64_t cut[WSG_CUTS];                        /* responses, by the gate */
    _Atomic uint64_t continued;                            /* requests whose body a handler asked for with 100 */
    _Atomic uint64_t asked;                                /* handshakes that a handler was asked about */
    _Atomic uint64_t refused[WSG_REFUSALS];                /* handshakes and requests */
    _Atomic uint64_t ended[WSG_ENDINGS];                   /* connections, by the gate */
    _Atomic uint64_t messages_in, bytes_in;
    _Atomic uint64_t messages_out, bytes_out; /* for an existing connection of the route */
    _Atomic uint64_t written, written_bytes;  /* the kernel has them */
    _Atomic uint64_t out_dropped[WSG_OUT_DROPS];
    _Atomic uint64_t rate_pauses;       /* of clients that sent more than they may in a second */
    _Atomic uint64_t pauses, paused_ms; /* of clients, because their handler is full; those that ended */
    _Atomic uint64_t compressed;        /* connections that agreed to it */
    _Atomic uint64_t packed, packed_from_bytes, packed_bytes;       /* messages to clients: before and after */
    _Atomic uint64_t unpacked, unpacked_from_bytes, unpacked_bytes; /* messages of clients, likewise */
    /* by the hub */
    _Atomic uint64_t delivered,
        redelivered; /* delivered: acknowledged, or handed to a handler that does not acknowledge */
    _Atomic uint64_t in_dropped[WSG_IN_DROPS];
    _Atomic uint64_t
        requests_failed[WSG_IN_DROPS]; /* HTTP requests that a handler had, or should have had, and did not answer */
};

struct wsg_route_policy {
    unsigned kinds; /* of enum wsg_kind, or-ed */
    bool publish;
    bool tap;
    bool accept_by_handler;
    enum wsg_no_handler no_handler;
    uint32_t handler_wait_ms;  /* of new clients, where no_handler is to wait, and of those that are here then */
    uint32_t handler_grace_ms; /* where it is not: of those that are here when their handler goes; 0: none */
    enum wsg_when_full when_full;
    size_t max_retained; /* bytes of the route, not acknowledged or not sent yet */
    size_t max_backlog;  /* bytes of one connection that wait for a full handler, where the policy is not to pause */
    uint32_t ack_timeout_ms;
    uint32_t max_deliveries;  /* of one event; 0: any number */
    bool skips_undeliverable; /* its client goes on without an event that was set aside; otherwise it is closed */
    bool pin_by_hash;
    const char *pin_key; /* a source, see bus/key.h; borrowed from the configuration, as the next two; NULL: none */
    const char *user;
    struct wsg_texts joins; /* templates of groups */
    enum wsg_slow slow;
    bool unchecked_text;           /* text of handlers is not looked at */
    struct wsg_texts subprotocols; /* borrowed from the configuration */
    bool compress;
    bool compress_takeover;
    size_t compress_threshold; /* bytes; smaller messages go as they are */
    uint32_t compress_level;   /* 1 to 9 */
    uint32_t compress_window;  /* 9 to 15, log2 of bytes: of those who keep their context */
    bool gzip;                 /* responses, for clients that take it */
    uint32_t gzip_level;       /* 1 to 9 */
    size_t gzip_min;           /* bytes; a smaller body that comes whole goes as it is */
    size_t max_message;
    size_t max_frame;
    uint32_t max_fragments;
    size_t max_queue; /* bytes waiting for one client */
    uint32_t max_queue_messages;
    size_t max_body;
    bool expect_by_handler; /* 100 Continue is for the handler to say */
    bool half_close_aborts; /* a client that has closed its direction counts as gone */
    uint32_t accept_timeout_ms;
    uint32_t body_timeout_ms; /* for the whole body of a request; 0: any time */
    uint32_t request_timeout_ms;
    uint32_t stream_timeout_ms;   /* silence of a response that has begun; 0: any */
    uint32_t sse_keepalive_ms;    /* between comments of an event stream; 0: none */
    struct wsg_texts allow, deny; /* borrowed from the configuration, as the origins, base/origin.h */
    struct wsg_texts origins;
    struct wsg_texts methods; /* of HTTP; none: all; borrowed from the configuration, as the next one's texts */
    struct wsg_cors cors;
    const char *token;    /* a source, borrowed from the configuration; NULL: none is wanted */
    bool ends_with_token; /* when that expires */
    bool require_subprotocol;
    uint32_t max_connections;                   /* 0: any number */
    uint32_t max_pending;                       /* likewise */
    uint32_t ping_interval_ms, ping_timeout_ms; /* interval 0: no pings */
    uint32_t message_timeout_ms;                /* from the first byte of a message to its last; 0: any time */
    uint32_t idle_timeout_ms, lifetime_ms;      /* 0: any time */
    uint32_t message_rate, message_burst;       /* of one connection, a second; rate 0: any number */
    size_t byte_rate, byte_burst;
    enum wsg_over_rate over_rate;
};

struct wsg_route {
    uint16_t index;
    char name[WSG_ROUTE_NAME_MAX + 1];
    char *host;                   /* owned; canonical, base/host.h; NULL: any */
    struct wsb_pattern *pattern;  /* owned; NULL: no request matches, other routes ask it */
    struct wsg_route *gatekeeper; /* borrowed; whose handlers let clients in; NULL: nobody else's */
    struct wsg_route_policy policy;
    struct wsg_source pin_key;
    struct wsg_source user;
    struct wsg_source token;
    struct wsb_ip_rules rules; /* owned */
    struct wsg_places pending; /* of clients of which no handler has heard, or which wait for ACCEPT */
    /* The hub writes the next four, workers read them. */
    _Atomic uint32_t handlers;           /* registered now */
    _Atomic uint32_t serving[WSG_KINDS]; /* of those, how many serve the kind 1 << index: wsg_route_serving() */
    _Atomic uint32_t kinds_served;       /* enum wsg_kind, or-ed: of all handlers that ever registered */
    _Atomic uint32_t taps;               /* of `wsctl tap` */
    struct wsg_route_tally tally;
    struct wsg_backlog_sum retained; /* by the hub: what handlers have not acknowledged or not been sent */
    uint64_t oldest_ns;  /* by the hub: when the oldest of them came, as far as the last look found; 0: none is kept */
    uint64_t finding_ns; /* by the hub: the same of the look that goes on */
};

struct wsg_routes {
    struct wsg_route *routes; /* owned */
    size_t count;
    uint16_t *order;      /* owned; most specific pattern first: `matched` of them */
    size_t matched;       /* those with a pattern */
    struct wsb_seed seed; /* of the hashes of keys: set once, before anybody matches */
};

/* Make room for `count` routes; add them, then seal the table. */
WSB_MUST_CHECK wsb_err wsg_routes_init(struct wsg_routes *t, size_t count);
void wsg_routes_deinit(struct wsg_routes *t);
/* name, path (NULL: it has none) and host (NULL: any) are checked and copied. */
WSB_MUST_CHECK wsb_err wsg_routes_add(struct wsg_routes *t, const char *name, const char *path, const char *host,
                                      const struct wsg_route_policy *policy, struct wsb_fault *fault);
void wsg_routes_seal(struct wsg_routes *t);
/* Handlers of the route with this name, which is there and another one, say who may come in to the route at `index`. */
void wsg_routes_set_gatekeeper(struct wsg_routes *t, size_t index, const char *name);

/* The most specific route for a canonical host without its port and a canonical path; NULL when there is none. `kind` is one of enum wsg_kind; *ret_other_kind says
 * that the path would have matched a route of the other kind. */
struct wsg_route *wsg_routes_match(const struct wsg_routes *t, struct wsb_span host, struct wsb_span path,
                                   unsigned kind, struct wsb_span ret_params[WSB_PATTERN_PARAMS_MAX],
                                   bool *ret_other_kind);
struct wsg_route *wsg_routes_find(const struct wsg_routes *t, struct wsb_span name);

/* Return how many handlers of the route serve clients of this kind. */
static inline uint32_t wsg_route_serving(const struct wsg_route *r, enum wsg_kind kind)
{
    return atomic_load_explicit(&r->serving[kind == WSG_KIND_HTTP], memory_order_relaxed);
}

/* Return whether the handlers of the route say that they serve the other kind only. A kind that a handler has served before
 * is one that may come back: its absence is no answer that a client may keep. */
static inline bool wsg_route_lacks_kind(const struct wsg_route *r, enum wsg_kind kind)
{
    return !(atomic_load_explicit(&r->kinds_served, memory_order_relaxed) & kind) &&
           atomic_load_explicit(&r->handlers, memory_order_relaxed) > 0;
}

/* Are there as many WebSockets as it may have, with `more` that are on their way? */
static inline bool wsg_route_is_full(const struct wsg_route *r, uint64_t more)
{
    uint64_t open = atomic_load_explicit(&r->tally.opened, memory_order_relaxed) -
                    atomic_load_explicit(&r->tally.closed, memory_order_relaxed);
    return r->policy.max_connections && open + more >= r->policy.max_connections;
}

#endif
