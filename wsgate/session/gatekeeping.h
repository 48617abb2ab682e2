#ifndef WSG_SESSION_GATEKEEPING_H
#define WSG_SESSION_GATEKEEPING_H

/*
 * Who is let in, as far as the address says: the rules of a listener and of a route, the limits of one address, and who
 * the client is when proxies stand in front of the gate. What all workers share of it is made before they start; only
 * the counters and the table of visitors change afterwards.
 *
 * Threads   any for the shared part; the functions on a session its worker's
 */

#include <pthread.h>
#include <stdatomic.h>

#include "base/ip.h"
#include "http/forwarded.h"
#include "http/scan.h"
#include "net/address.h"
#include "net/turnstile.h"
#include "net/visitors.h"
#include "policy/policy.h"
#include "token/token.h"

struct wsg_session;
struct wsg_http_head;

/* What a listener asks of whoever comes. */
struct wsg_entrance {
    struct wsb_ip_rules rules; /* owned */
    bool has_proxy_header;     /* each connection begins with one */
    struct wsg_http_limits http_limits;
    uint32_t head_timeout_ms, handshake_timeout_ms; /* a request's head; TLS */
};

/* What a route asks of tokens. */
struct wsg_token_rule {
    pthread_mutex_t lock;         /* of keys: they change when they are read again */
    struct wsb_token_keys *keys;  /* owned; NULL: the route wants no token */
    struct wsb_token_rules rules; /* borrowed from the configuration and the route */
};

/* One reference, to be given back; and the other way round, takes one. */
struct wsb_token_keys *wsg_token_rule_keys(struct wsg_token_rule *r);
void wsg_token_rule_set_keys(struct wsg_token_rule *r, struct wsb_token_keys *keys);

struct wsg_gatekeeping {
    struct wsg_entrance *entrances; /* owned; as the listeners of the configuration */
    size_t entrance_count;
    struct wsg_token_rule *tokens; /* owned; as the routes of the configuration */
    size_t token_count;
    struct wsb_ip_nets trusted; /* owned; proxies that are believed */
    enum wsg_forwarded forwarded;
    struct wsg_visitors *visitors;        /* owned; NULL: addresses have no limits */
    struct wsg_turnstile *handshakes;     /* owned; of WebSocket; NULL: any number a second */
    struct wsg_turnstile **handshakes_of; /* owned; of each route likewise, as the routes of the configuration */
    size_t handshakes_count;
    bool answers;                           /* who is one too many is told with a 503, not only cut off */
    _Atomic uint64_t refused[WSG_REFUSALS]; /* before a route was known */
};

/* Of a connection that has no session, and will have none. */
static inline void wsg_gatekeeping_count(struct wsg_gatekeeping *g, enum wsg_refusal why)
{
    atomic_fetch_add_explicit(&g->refused[why], 1, memory_order_relaxed);
}

/*
 * A connection has come: from then on it counts, or it is refused.
 *
 * Returns   true: let in; false: *ret_why says why not
 */
bool wsg_gatekeeping_enter(struct wsg_session *s, const struct wsb_ip *ip, enum wsg_refusal *ret_why);
/* Of a handshake that a proxy handed on: its client counts from now on. The same returns. */
bool wsg_gatekeeping_count_client(struct wsg_session *s, const struct wsb_ip *ip, enum wsg_refusal *ret_why);
/* It has gone. */
void wsg_gatekeeping_leave(struct wsg_session *s);

/* Bytes are there, and the header of the PROXY protocol is not complete yet. The connection may be dead afterwards. */
void wsg_gatekeeping_read_proxy(struct wsg_session *s);

/*
 * The client of a request, where a trusted proxy names one.
 *
 * @ret_peer   "192.0.2.1:80", "192.0.2.1:0" without a port, or "unknown"
 * @ret_proto  as the proxy saw it; borrowed from the head; empty: not told
 * @ret_is_broken  what was said cannot be read, and the peer, a proxy, is not the client
 *
 * Returns     false: the client is the peer
 */
bool wsg_gatekeeping_client(const struct wsg_session *s, const struct wsg_http_head *head,
                            char ret_peer[WSG_ADDRESS_TEXT], struct wsb_span *ret_proto, bool *ret_is_broken);

/* The address in "192.0.2.1:80", "[::1]:80", "192.0.2.1"; "::" for "unix:1000"; wsb_ip_unknown() for anything else. */
struct wsb_ip wsg_ip_of_peer(const char *peer);

#endif
