#ifndef WSB_LINK_LINK_H
#define WSB_LINK_LINK_H

/*
 * How envelopes travel between the gate and handlers. A link hands out descriptors to wait on and never blocks. There are
 * two ends: the gate's, which serves many peers, and the handler's, which has one gate.
 *
 * Threads   one at a time for each end
 */

#include "base/block.h"
#include "base/fault.h"
#include "link/curve.h"
#include "wire/envelope.h"

enum wsb_channel {
    WSB_CHANNEL_HANDLERS, /* registered handlers, both ways */
    WSB_CHANNEL_EVENTS,   /* copies out, subscriptions in */
    WSB_CHANNEL_COMMANDS, /* commands in */
    WSB_CHANNELS
};

/* One message that came in; everything in it is valid until wsb_inbound_release(). */
struct wsb_inbound {
    struct wsb_span peer; /* who, on HANDLERS */
    struct wsb_span user; /* the public key that it proved to have; empty: a local peer, who needs none */
    struct wsb_envelope envelope;
    struct wsb_span subscription; /* on EVENTS: the topic prefix */
    bool subscribes;              /* on EVENTS: begins, or ends */
    void *message;                /* the link's own */
};

/* The gate's end. */
struct wsb_server;

/* Who asked to come in over TCP with a key. */
struct wsb_server_stats {
    uint64_t keys_allowed, keys_refused;
    const char *last_refused_key;     /* "" when there was none; borrowed from the server */
    const char *last_refused_address; /* likewise */
};

struct wsb_server_ops {
    void (*close)(struct wsb_server *s);
    int (*fd)(const struct wsb_server *s, enum wsb_channel c);
    /* WSB_AGAIN: nothing more. WSB_ERR_PROTO: a message that is not an envelope; *ret has its peer, the rest is empty, and it
     * must be released all the same. */
    wsb_err (*recv)(struct wsb_server *s, enum wsb_channel c, struct wsb_inbound *ret);
    void (*release)(struct wsb_inbound *in);
    /* True when a receive would not say WSB_AGAIN; must be asked before sleeping on the descriptors. */
    bool (*has_input)(struct wsb_server *s, enum wsb_channel c);
    /* To one peer of HANDLERS. Takes payload (never NULL), whatever it returns. WSB_AGAIN: no room. WSB_CLOSED: gone. */
    wsb_err (*send)(struct wsb_server *s, struct wsb_span peer, const struct wsb_header *h, struct wsb_block *payload,
                    struct wsb_span meta);
    /* To whoever subscribed. Takes payload, whatever it returns. WSB_AGAIN: somebody's queue was full; that one missed it, the
     * others did not. */
    wsb_err (*publish)(struct wsb_server *s, const char *topic, const struct wsb_header *h, struct wsb_block *payload,
                       struct wsb_span meta);
    /* Keep an eye on whether the peer of this message still runs, from now until unwatch. heartbeat_ms: how often its ZeroMQ
     * sends heartbeats, as it says; 0: never. All three may be NULL: nothing is known then. */
    void (*watch)(struct wsb_server *s, const struct wsb_inbound *in, uint32_t heartbeat_ms);
    void (*unwatch)(struct wsb_server *s, struct wsb_span peer);
    /* It has been stopped, or silent over the network, for so long that it counts as gone. Ask about once a second. */
    bool (*is_stalled)(struct wsb_server *s, struct wsb_span peer, uint64_t now_ms);
    /* May `user` of an inbound serve the route, and command its connections? A local peer may. NULL: everybody may. */
    bool (*allows)(const struct wsb_server *s, struct wsb_span user, const char *route);
    /* The TCP endpoint that is really bound, "tcp://127.0.0.1:40213"; NULL: there is none. */
    const char *(*endpoint)(const struct wsb_server *s, enum wsb_channel c);
    void (*stats)(const struct wsb_server *s, struct wsb_server_stats *ret);
};

struct wsb_server {
    const struct wsb_server_ops *ops;
};

static inline bool wsb_server_allows(const struct wsb_server *s, struct wsb_span user, const char *route)
{
    return !s->ops->allows || s->ops->allows(s, user, route);
}

static inline const char *wsb_server_endpoint(const struct wsb_server *s, enum wsb_channel c)
{
    return s->ops->endpoint ? s->ops->endpoint(s, c) : NULL;
}

static inline void wsb_server_stats(const struct wsb_server *s, struct wsb_server_stats *ret)
{
    *ret = (struct wsb_server_stats){0};
    if (s->ops->stats)
        s->ops->stats(s, ret);
}

struct wsb_server_options {
    const char *dir;               /* runtime directory; borrowed for the call */
    unsigned mode;                 /* of the endpoints' files */
    const char *tcp[WSB_CHANNELS]; /* endpoints besides, base/endpoint.h; NULL: none; borrowed for the call */
    const struct wsb_curve *curve; /* TCP wants keys; NULL: it does not; borrowed for the server's life */
    size_t max_message;            /* larger ZeroMQ parts cut the peer off */
    unsigned heartbeat_ms;
};

/* "handlers", "events", "commands" */
const char *wsb_channel_name(enum wsb_channel c);

/* Bind handlers, events and commands in the directory. */
WSB_MUST_CHECK wsb_err wsb_zmq_server_open(const struct wsb_server_options *o, struct wsb_server **ret,
                                           struct wsb_fault *fault);

/*
 * The handler's end: one gate, which may not be there yet, may vanish, and is connected to again by itself. What was on its
 * way to a gate that vanished is dropped: the next one would not know what it is about.
 */
enum wsb_link_change {
    WSB_LINK_SAME,
    WSB_LINK_UP,  /* connected: whoever is there knows nobody yet */
    WSB_LINK_DOWN /* the connection is gone */
};

enum { WSB_CLIENT_FDS = 2 };

/* One message from the gate; its bytes are valid until it is released. `next` is for whoever holds it. */
struct wsb_received {
    struct wsb_received *next;
    struct wsb_envelope envelope;
    size_t size; /* bytes it keeps */
};

struct wsb_client;

struct wsb_client_ops {
    /* What was sent still leaves, within a bounded time. */
    void (*close)(struct wsb_client *c);
    /* Readable when something may have come; to be believed only when recv and change have said that nothing is left. */
    void (*fds)(const struct wsb_client *c, int ret[WSB_CLIENT_FDS]);
    /* WSB_AGAIN: nothing more. WSB_ERR_PROTO: a message that is no envelope, and is gone. WSB_ERR_NOMEM. */
    wsb_err (*recv)(struct wsb_client *c, struct wsb_received **ret);
    void (*release)(struct wsb_received *m); /* accepts NULL */
    /* True when recv would not say WSB_AGAIN. Sending may swallow what the descriptors would have told: ask before a wait. */
    bool (*has_input)(struct wsb_client *c);
    /* The next change of the link, in order; WSB_LINK_SAME when there is none. */
    enum wsb_link_change (*change)(struct wsb_client *c);
    /* Takes payload (never NULL), whatever it returns. WSB_AGAIN: no gate is connected. */
    wsb_err (*send)(struct wsb_client *c, const struct wsb_header *h, struct wsb_block *payload, struct wsb_span meta);
};

struct wsb_client {
    const struct wsb_client_ops *ops;
};

struct wsb_client_options {
    const char *endpoint; /* ZeroMQ's, "ipc://DIR/handlers" or "tcp://HOST:PORT"; borrowed for the call */
    size_t max_message;   /* a larger part cuts the gate off */
    unsigned heartbeat_ms;
    unsigned linger_ms;     /* longest wait in close */
    const char *server_key; /* the gate's public key, when its endpoint wants keys; NULL: it does not; borrowed */
    const struct wsb_key_pair *keys; /* our own, with server_key; borrowed for the call */
};

WSB_MUST_CHECK wsb_err wsb_zmq_client_open(const struct wsb_client_options *o, struct wsb_client **ret,
                                           struct wsb_fault *fault);

#endif
