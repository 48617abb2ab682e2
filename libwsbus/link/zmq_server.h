#ifndef WSB_LINK_ZMQ_SERVER_H
#define WSB_LINK_ZMQ_SERVER_H

/* What zmq_server.c (a bound server at work) and zmq_bind.c (making and ending one) share. */

#include "base/endpoint.h"
#include "link/peers.h"
#include "link/subscriptions.h"
#include "link/zap.h"
#include "link/zmq_parts.h"

/* A security mechanism is a socket's, for all that it binds: what wants keys has a set of sockets of its own. Without keys
 * there is the local door only, and TCP comes in through it as well. The number is the first byte of a peer's id, so that
 * peers of the two cannot be taken for each other. */

enum {
    WSB_ZMQ_PARTS_MAX = 4, /* peer, header, payload, metadata */
    WSB_ZMQ_PEER_MAX = 255 /* a routing id of up to 254 bytes, and the door */
};

struct wsb_zmq_message {
    zmq_msg_t parts[WSB_ZMQ_PARTS_MAX];
    size_t count;
    uint8_t peer[WSB_ZMQ_PEER_MAX];
};

struct wsb_zmq_server {
    struct wsb_server base;
    void *context;
    void *sockets[WSB_ZMQ_DOORS][WSB_CHANNELS];   /* those of KEYS are NULL without keys */
    int polls[WSB_CHANNELS];                      /* epoll, over both doors; -1 without keys */
    char *paths[WSB_CHANNELS];                    /* owned */
    char tcp[WSB_CHANNELS][WSB_ENDPOINT_TEXT];    /* "": none */
    struct wsb_zmq_message inbound[WSB_CHANNELS]; /* one each: a batch may be read over several rounds */
    enum wsb_door next[WSB_CHANNELS];             /* the door that is looked at first */
    struct wsb_zap zap;
    struct wsb_subscriptions subscriptions; /* of both doors */
    struct wsb_peers peers;
};

static inline struct wsb_zmq_server *wsb_zmq_server_of(const struct wsb_server *s)
{
    return (struct wsb_zmq_server *)s; /* its first member */
}

int wsb_zmq_fd(void *socket); /* -1 on failure */
void wsb_zmq_message_close(struct wsb_zmq_message *m);

extern const struct wsb_server_ops wsb_zmq_server_ops;
void wsb_zmq_server_close(struct wsb_server *s);

#endif
