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
#include "base/loan.h"
#include "link/alarm.h"
#include "wire/envelope.h"
#include "zmtp/why.h"

enum wsb_channel {
    WSB_CHANNEL_HANDLERS, /* registered handlers, both ways */
    WSB_CHANNEL_EVENTS,   /* copies out, subscriptions in */
    WSB_CHANNEL_COMMANDS, /* commands in */
    WSB_CHANNELS
};

/* The first byte of a peer's name: by which door it comes in. */
enum wsb_door {
    WSB_DOOR_LOCAL, /* ZeroMQ, without keys */
    WSB_DOOR_KEYS,  /* ZeroMQ, with keys */
    WSB_ZMQ_DOORS,
    WSB_DOOR_SHM = WSB_ZMQ_DOORS
};

/* A place in a peer's memory, where it can be written to directly. Valid until the link has said that the peer is gone. */
struct wsb_direct {
    void *known; /* as in wsb_inbound */
};

/* One message that came in; everything in it is valid until wsb_inbound_release(). */
struct wsb_inbound {
    struct wsb_span peer; /* who, on HANDLERS */
    void *
        *known; /* on HANDLERS: whatever the receiver wants to find with this peer's next messages; valid until the link
                                * has said that the peer is gone. May be NULL */
    struct wsb_direct *direct; /* NULL: its link has no such thing */
    bool is_shared;            /* the payload lies where the peer can still change it: copy it before you look at it */
    struct wsb_span user;      /* the public key that it proved to have; empty: a local peer, who needs none */
    struct wsb_envelope envelope;
    void *message; /* the link's own */
};

/* The gate's end. */
struct wsb_server;

/* Who is connected, who was turned away and why. */
struct wsb_server_stats {
    uint64_t keys_allowed, keys_refused;
    const char *last_refused_key;        /* "" when there was none; borrowed from the server */
    const char *last_refused_address;    /* likewise */
    uint64_t refused_by[WSB_ZMTP_WHYS];  /* ZeroMQ peers; those whose key was refused as well */
    enum wsb_zmtp_why last_why;          /* of the last one that was not for its key */
    const char *last_address;            /* "127.0.0.1", "local", "" when there was none; borrowed */
    uint64_t peers, unproven;            /* over ZeroMQ: connected now; of them, in the handshake */
    uint64_t subscriptions, input_bytes; /* now; memory for what peers say */
    uint64_t attached, refused, ejected; /* over shared memory */
    uint64_t links;                      /* now */
    uint64_t memory;                     /* bytes that they share */
    uint64_t wakes, stalls;              /* of all that there were */
};

/* How the link to one peer does. */
struct wsb_link_stats {
    const char *name;            /* "zmq", "shm" */
    uint64_t ring_down, ring_up; /* bytes */
    uint64_t used_down, used_up; /* of them */
    uint64_t lent;               /* messages that are kept where they were written */
    uint64_t records_in, records_out;
    uint64_t wakes_in, wakes_out; /* system calls that it woke us with, and we it */
    uint64_t stalls;              /* how often there was no room for it */
};

struct wsb_server_ops {
    void (*close)(struct wsb_server *s);
    /* Tells once (EPOLLET) when something has come. */
    int (*fd)(const struct wsb_server *s, enum wsb_channel c);
    /* That descriptor was readable: to be said before the next recv. */
    void (*on_readable)(struct wsb_server *s, enum wsb_channel c);
    /* Also what is no message is done here: to be called in each round. WSB_AGAIN: nothing more. WSB_ERR_PROTO: a message that is
     * not an envelope; WSB_CLOSED: the peer is gone, and nothing more comes from it. *ret has the peer then, the rest is empty,
     * and it must be released all the same. */
    wsb_err (*recv)(struct wsb_server *s, enum wsb_channel c, struct wsb_inbound *ret);
    void (*release)(struct wsb_inbound *in);
    /* True when a receive would not say WSB_AGAIN; must be asked before sleeping on the descriptors. */
    bool (*has_input)(struct wsb_server *s, enum wsb_channel c);
    /* To one peer of HANDLERS. Takes payload (never NULL), whatever it returns. WSB_AGAIN: no room. WSB_CLOSED: gone. */
    wsb_err (*send)(struct wsb_server *s, struct wsb_span peer, const struct wsb_header *h, struct wsb_block *payload,
                    struct wsb_span meta);
    /* So much waits for this peer that it does not read: what is not owed to it need not be sent. */
    bool (*is_behind)(const struct wsb_server *s, struct wsb_span peer);
    /* The same as send without a block: the payload of h->payload_len bytes is written to *ret_payload, and then committed; another may be
     * begun instead. False: send it. All three are NULL where wsb_inbound has no `direct`. */
    bool (*reserve)(struct wsb_direct *to, const struct wsb_header *h, struct wsb_span meta, uint8_t **ret_payload);
    /* loan: with `recall` set; the payload stays where it was written until it is recalled. NULL: nobody will read it. */
    void (*commit)(struct wsb_direct *to, struct wsb_loan *loan);
    /* The end of a round: what was sent, or committed, leaves, or is told to those who sleep. */
    void (*flush)(struct wsb_server *s);
    /* To whoever subscribed. Takes payload, whatever it returns. Returns how many missed it because their queue was full, or for want of
     * memory; the others did not. */
    size_t (*publish)(struct wsb_server *s, const char *topic, const struct wsb_header *h, struct wsb_block *payload,
                      struct wsb_span meta);
    /* Has anybody subscribed to the topic? NULL: nobody can. */
    bool (*is_wanted)(const struct wsb_server *s, const char *topic);
    /* The peer of this message takes each one that follows as one ZeroMQ part, a record (envelope.h), or no longer does. NULL: its link
     * has no parts. */
    void (*take_records)(struct wsb_server *s, const struct wsb_inbound *in, bool on);
    /* Keep an eye on whether the peer of this message still runs, from now until unwatch. heartbeat_ms: how often its ZeroMQ
     * sends heartbeats, as it says; 0: never. All three may be NULL: nothing is known then. */
    void (*watch)(struct wsb_server *s, const struct wsb_inbound *in, uint32_t heartbeat_ms);
    void (*unwatch)(struct wsb_server *s, struct wsb_span peer);
    /* Something that it said may not have been received. NULL: nobody knows. */
    bool (*has_unread)(const struct wsb_server *s, struct wsb_span peer);
    /* It has been stopped, or silent over the network, for so long that it counts as gone. Ask about once a second. What it said and
     * nobody received is no silence. */
    bool (*is_stalled)(struct wsb_server *s, struct wsb_span peer, uint64_t now_ms);
    /* May `user` of an inbound serve the route, and command its connections? A local peer may. NULL: everybody may. */
    bool (*allows)(const struct wsb_server *s, struct wsb_span user, const char *route);
    /* May it use this name of a group, a user or a tag? NULL: everybody may. */
    bool (*allows_name)(const struct wsb_server *s, struct wsb_span user, struct wsb_span name);
    /* The TCP endpoint that is really bound, "tcp://127.0.0.1:40213"; NULL: there is none. */
    const char *(*endpoint)(const struct wsb_server *s, enum wsb_channel c);
    void (*stats)(const struct wsb_server *s, struct wsb_server_stats *ret);
    /* Of one peer; false: there is none, or nothing to say. May be NULL. */
    bool (*link_stats)(struct wsb_server *s, struct wsb_span peer, struct wsb_link_stats *ret);
};

struct wsb_server {
    const struct wsb_server_ops *ops;
};

static inline bool wsb_server_allows(const struct wsb_server *s, struct wsb_span user, const char *route)
{
    return !s->ops->allows || s->ops->allows(s, user, route);
}

static inline bool wsb_server_allows_name(const struct wsb_server *s, struct wsb_span user, struct wsb_span name)
{
    return !s->ops->allows_name || s->ops->allows_name(s, user, name);
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
    uint32_t max_peers;            /* connections of each channel; 0: as many as are usual */
    size_t max_queue;              /* bytes that may wait for one peer; 0: likewise */
    size_t max_copies;             /* bytes that copies of events may take; 0: likewise */
    size_t max_input;              /* bytes of unfinished messages of all peers; 0: likewise */
    size_t max_descriptors;        /* of peers of all channels; 0: as many as there are */
    uint32_t handshake_ms;         /* time for a handshake; 0: likewise */
};

/* What a program may be that attaches to shared memory, and how much there is of it. */
struct wsb_shm_options {
    const char *dir;   /* runtime directory; borrowed for the call */
    unsigned mode;     /* of the socket's file */
    size_t ring_size;  /* of each ring, unless a handler asks for another; a power of two */
    size_t ring_max;   /* and at most */
    size_t memory_max; /* of all links together; bytes */
    uint32_t links_max;
    size_t max_message; /* larger ones end the link */
    const uint32_t
        *uids; /* who may come in besides ourselves and root; borrowed for the server's life; both empty: who can */
    size_t uid_count; /* open the socket */
    const uint32_t *gids;
    size_t gid_count;
};

/* Serve handlers over shared memory, on the socket `shm` of the directory; HANDLERS is its only channel. */
WSB_MUST_CHECK wsb_err wsb_shm_server_open(const struct wsb_shm_options *o, struct wsb_server **ret,
                                           struct wsb_fault *fault);

/* It is not offered in this directory: nothing that an earlier gate left behind says otherwise. */
WSB_MUST_CHECK wsb_err wsb_shm_server_remove(const char *dir, struct wsb_fault *fault);

/* "handlers", "events", "commands" */
const char *wsb_channel_name(enum wsb_channel c);

/* Bind handlers, events and commands in the directory. */
WSB_MUST_CHECK wsb_err wsb_zmtp_server_open(const struct wsb_server_options *o, struct wsb_server **ret,
                                            struct wsb_fault *fault);

/*
 * The handler's end: one gate, which may not be there yet, may vanish, and is connected to again by itself. What was on its
 * way to a gate that vanished is dropped: the next one would not know what it is about.
 */
enum wsb_link_change {
    WSB_LINK_SAME,
    WSB_LINK_UP,     /* connected: whoever is there knows nobody yet */
    WSB_LINK_DOWN,   /* the connection is gone */
    WSB_LINK_REFUSED /* this gate does not offer this link, or not to us; wsb_client_why() says why */
};

/* Why a link is not up, as far as it knows. */
enum wsb_link_trouble {
    WSB_LINK_FINE,     /* it is up, or it is too early to tell */
    WSB_LINK_ABSENT,   /* there is no socket */
    WSB_LINK_DENIED,   /* there is one, and we may not use it */
    WSB_LINK_DEAF,     /* nobody listens; or, over ZeroMQ, any of these */
    WSB_LINK_SHAKEN,   /* somebody does, and ends the connection before the handshake is over */
    WSB_LINK_UNWELCOME /* this gate does not offer the link; wsb_client's `why` says why */
};

enum { WSB_CLIENT_FDS = 2 /* at most */ };

/* One message from the gate; its bytes are valid until it is released. `next` is for whoever holds it. */
struct wsb_received {
    struct wsb_received *next;
    struct wsb_envelope envelope;
    size_t size; /* bytes it keeps */
};

struct wsb_client;

/* The word that a client sleeps on. */
struct wsb_nap {
    const _Atomic uint32_t *word;
    uint32_t seen;
    void *of; /* the link's own */
};

struct wsb_client_ops {
    /* What was sent still leaves, within a bounded time. */
    void (*close)(struct wsb_client *c);
    /* Readable when something may have come; to be believed only when recv and change have said that nothing is left, and
     * has_input was asked. Returns how many there are; they stay the same. */
    size_t (*fds)(const struct wsb_client *c, int ret[WSB_CLIENT_FDS]);
    /* Also what is no message is done here: to be called in each round. WSB_AGAIN: nothing more. WSB_ERR_PROTO: a message that is no envelope, and is gone. WSB_ERR_NOMEM. */
    wsb_err (*recv)(struct wsb_client *c, struct wsb_received **ret);
    void (*release)(struct wsb_received *m); /* accepts NULL */
    /* True when recv would not say WSB_AGAIN. Sending may swallow what the descriptors would have told: ask before a wait. */
    bool (*has_input)(struct wsb_client *c);
    /* The next change of the link, in order; WSB_LINK_SAME when there is none. */
    enum wsb_link_change (*change)(struct wsb_client *c);
    /* Takes payload (never NULL), whatever it returns. WSB_AGAIN: no gate is connected. */
    wsb_err (*send)(struct wsb_client *c, const struct wsb_header *h, struct wsb_block *payload, struct wsb_span meta);
    /* Write it at once, without a block; told with the next flush. False: not now, or not at all: send it. Both may be NULL. */
    bool (*put)(struct wsb_client *c, const struct wsb_header *h, struct wsb_span payload, struct wsb_span meta);
    void (*flush)(struct wsb_client *c);
    /* Bytes of messages that may lie unread before nothing more comes in. NULL: as many as there is memory for. */
    size_t (*room)(const struct wsb_client *c);
    /* Wait for input for as long as a sleep would cost, if it is likely to come; false: it has not. May be NULL. */
    bool (*spin)(struct wsb_client *c);
    /* A word to sleep on, with wsb_alarm_sleep() and without whatever guards the link: cheaper than the descriptors, but the end
     * of the gate may go unnoticed. False: there is input already, or no such word. Each true wants its end. May be NULL. */
    bool (*nap_begin)(struct wsb_client *c, struct wsb_nap *ret);
    void (*nap_end)(struct wsb_nap *n);
    const char *(*why)(const struct wsb_client *c); /* it was refused; may be NULL */
    enum wsb_link_trouble (*trouble)(const struct wsb_client *c);
    const char *name; /* "zmq", "shm" */
};

struct wsb_client {
    const struct wsb_client_ops *ops;
};

static inline void wsb_client_flush(struct wsb_client *c)
{
    if (c->ops->flush)
        c->ops->flush(c);
}

struct wsb_client_options {
    const char *endpoint; /* ZeroMQ's, "ipc://DIR/handlers" or "tcp://HOST:PORT"; borrowed for the call */
    size_t ring_size;     /* over shared memory: of each ring; 0: as the gate usually has them */
    size_t max_message;   /* a larger part cuts the gate off */
    unsigned heartbeat_ms;
    unsigned linger_ms;     /* longest wait in close */
    const char *server_key; /* the gate's public key, when its endpoint wants keys; NULL: it does not; borrowed */
    const struct wsb_key_pair *keys; /* our own, with server_key; borrowed for the call */
};

WSB_MUST_CHECK wsb_err wsb_zmq_client_open(const struct wsb_client_options *o, struct wsb_client **ret,
                                           struct wsb_fault *fault);

/* The same over shared memory; `endpoint` is the path of the gate's socket, "DIR/shm". */
WSB_MUST_CHECK wsb_err wsb_shm_client_open(const struct wsb_client_options *o, struct wsb_client **ret,
                                           struct wsb_fault *fault);

#endif
