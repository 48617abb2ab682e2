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
#include "wire/envelope.h"

enum wsb_channel {
    WSB_CHANNEL_HANDLERS, /* registered handlers, both ways */
    WSB_CHANNEL_EVENTS,   /* copies out, subscriptions in */
    WSB_CHANNEL_COMMANDS, /* commands in */
    WSB_CHANNELS
};

/* One message that came in; everything in it is valid until wsb_inbound_release(). */
struct wsb_inbound {
    struct wsb_span peer;          /* who, on HANDLERS */
    struct wsb_envelope envelope;
    struct wsb_span subscription;  /* on EVENTS: the topic prefix */
    bool subscribes;               /* on EVENTS: begins, or ends */
    void *message;                 /* the link's own */
};

/* The gate's end. */
struct wsb_server;

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
    /* To whoever subscribed. WSB_AGAIN: somebody's queue was full, and that one missed it. */
    wsb_err (*publish)(struct wsb_server *s, const char *topic, const struct wsb_envelope *e);
};

struct wsb_server {
    const struct wsb_server_ops *ops;
};

struct wsb_server_options {
    const char *dir;       /* runtime directory; borrowed for the call */
    unsigned mode;         /* of the endpoints' files */
    size_t max_message;    /* larger ZeroMQ parts cut the peer off */
    unsigned heartbeat_ms;
};

/* Bind handlers, events and commands in the directory. */
WSB_MUST_CHECK wsb_err wsb_zmq_server_open(const struct wsb_server_options *o, struct wsb_server **ret,
                                           struct wsb_fault *fault);

#endif
