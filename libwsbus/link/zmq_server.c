/*
 * The gate's end over ZeroMQ: ROUTER for handlers, XPUB for events, PULL for commands, all in one context with one I/O
 * thread. Sends are MANDATORY and never wait: ROUTER otherwise drops silently. A dead or stopped peer is cut off by ZeroMQ's
 * own heartbeats, which the peer's library answers even while its program is busy; the next send then says WSB_CLOSED.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link/zmq_parts.h"

enum {
    PARTS_MAX = 4,         /* peer, header, payload, metadata */
    RECEIVE_QUEUE = 32,    /* messages of one peer, which may be large; beyond it the peer waits */
    EVENTS_QUEUE = 1000,   /* messages for one subscriber */
    SUBSCRIPTION_MAX = 512 /* bytes */
};

struct message {
    zmq_msg_t parts[PARTS_MAX];
    size_t count;
};

struct zmq_server {
    struct wsb_server base;
    void *context;
    void *sockets[WSB_CHANNELS];
    char *paths[WSB_CHANNELS];            /* owned */
    struct message inbound[WSB_CHANNELS]; /* one each: a batch may be read over several rounds */
};

static const char *const names[WSB_CHANNELS] = {"handlers", "events", "commands"};
static const int types[WSB_CHANNELS] = {ZMQ_ROUTER, ZMQ_XPUB, ZMQ_PULL};

static struct zmq_server *self(struct wsb_server *s)
{
    return (struct zmq_server *)s;
}

static void message_close(struct message *m)
{
    for (size_t i = 0; i < m->count; i++)
        zmq_msg_close(&m->parts[i]);
    m->count = 0;
}

/* --------------------------------------------------------------- receiving */

/* Take all parts of one message; those beyond PARTS_MAX are dropped and make it malformed. */
static wsb_err take_parts(void *socket, struct message *m, bool *ret_too_many)
{
    *ret_too_many = false;
    for (;;) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (wsb_zmq_recv_part(socket, &part) != WSB_OK) {
            zmq_msg_close(&part);
            return WSB_AGAIN; /* parts of one message arrive together: this can only be the first */
        }
        bool more = zmq_msg_more(&part) != 0;
        if (m->count < PARTS_MAX) {
            zmq_msg_init(&m->parts[m->count]);
            zmq_msg_move(&m->parts[m->count++], &part);
        } else {
            *ret_too_many = true;
        }
        zmq_msg_close(&part);
        if (!more)
            return WSB_OK;
    }
}

static struct wsb_span part_span(struct message *m, size_t at)
{
    if (at >= m->count)
        return wsb_span(NULL, 0);
    return wsb_span(zmq_msg_data(&m->parts[at]), zmq_msg_size(&m->parts[at]));
}

static wsb_err read_subscription(struct message *m, struct wsb_inbound *ret)
{
    struct wsb_span s = part_span(m, 0);
    if (m->count != 1 || s.len == 0 || s.ptr[0] > 1)
        return WSB_ERR_PROTO;
    ret->subscribes = s.ptr[0] == 1;
    ret->subscription = wsb_span(s.ptr + 1, s.len - 1);
    return WSB_OK;
}

static wsb_err zs_recv(struct wsb_server *s, enum wsb_channel c, struct wsb_inbound *ret)
{
    struct message *m = &self(s)->inbound[c];
    bool too_many;
    *ret = (struct wsb_inbound){.message = m};
    wsb_err err = take_parts(self(s)->sockets[c], m, &too_many);
    if (err)
        return err;
    if (c == WSB_CHANNEL_EVENTS)
        return read_subscription(m, ret);
    size_t first = 0;
    if (c == WSB_CHANNEL_HANDLERS)
        ret->peer = part_span(m, first++);
    size_t parts = m->count - first;
    if (too_many || parts < 2 || parts > 3)
        return WSB_ERR_PROTO;
    return wsb_envelope_from_parts(part_span(m, first), part_span(m, first + 1), part_span(m, first + 2),
                                   &ret->envelope);
}

static void zs_release(struct wsb_inbound *in)
{
    message_close(in->message);
    in->message = NULL;
}

static bool zs_has_input(struct wsb_server *s, enum wsb_channel c)
{
    int events = 0;
    size_t len = sizeof events;
    return zmq_getsockopt(self(s)->sockets[c], ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN);
}

/* ----------------------------------------------------------------- sending */

static wsb_err zs_send(struct wsb_server *s, struct wsb_span peer, const struct wsb_header *h,
                       struct wsb_block *payload, struct wsb_span meta)
{
    void *socket = self(s)->sockets[WSB_CHANNEL_HANDLERS];
    /* The routing id decides: once ROUTER has taken it, the other parts follow it. */
    wsb_err err = wsb_zmq_send_bytes(socket, peer.ptr, peer.len, ZMQ_SNDMORE);
    if (err) {
        wsb_block_free(payload);
        return err;
    }
    return wsb_zmq_send_envelope(socket, h, payload, meta);
}

/* XPUB either drops silently for whoever is slow, or refuses for all when one is slow. We want to know, and serve the others:
 * ask first, and on a refusal send again in the other mode. */
static wsb_err zs_publish(struct wsb_server *s, const char *topic, const struct wsb_header *h,
                          struct wsb_block *payload, struct wsb_span meta)
{
    void *socket = self(s)->sockets[WSB_CHANNEL_EVENTS];
    wsb_err asked = wsb_zmq_send_bytes(socket, topic, strlen(topic), ZMQ_SNDMORE);
    wsb_err err = asked;
    if (asked == WSB_AGAIN) {
        wsb_zmq_set_int(socket, ZMQ_XPUB_NODROP, 0);
        err = wsb_zmq_send_bytes(socket, topic, strlen(topic), ZMQ_SNDMORE);
        wsb_zmq_set_int(socket, ZMQ_XPUB_NODROP, 1);
    }
    if (err) {
        wsb_block_free(payload);
        return err;
    }
    err = wsb_zmq_send_envelope(socket, h, payload, meta);
    return asked ? asked : err;
}

static int zs_fd(const struct wsb_server *s, enum wsb_channel c)
{
    int fd = -1;
    size_t len = sizeof fd;
    const struct zmq_server *z = (const struct zmq_server *)s;
    return zmq_getsockopt(z->sockets[c], ZMQ_FD, &fd, &len) == 0 ? fd : -1;
}

/* ------------------------------------------------------------ open and close */

static void zs_close(struct wsb_server *s)
{
    struct zmq_server *z = self(s);
    if (!z)
        return;
    for (int i = 0; i < WSB_CHANNELS; i++) {
        message_close(&z->inbound[i]);
        if (z->sockets[i])
            zmq_close(z->sockets[i]); /* LINGER is short: terminating the context is bounded by it */
        if (z->paths[i])
            (void)unlink(z->paths[i]);
        free(z->paths[i]);
    }
    wsb_zmq_terminate(z->context);
    free(z);
}

static bool somebody_listens(const struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool alive = connect(fd, (const struct sockaddr *)sun, sizeof *sun) == 0 || errno == EAGAIN;
    close(fd);
    return alive;
}

static void set_options(struct zmq_server *z, const struct wsb_server_options *o)
{
    int64_t max = (int64_t)o->max_message;
    for (int i = 0; i < WSB_CHANNELS; i++) {
        (void)zmq_setsockopt(z->sockets[i], ZMQ_MAXMSGSIZE, &max, sizeof max);
        wsb_zmq_set_int(z->sockets[i], ZMQ_LINGER, 500); /* ms: what was said last should still leave */
        wsb_zmq_set_int(z->sockets[i], ZMQ_RCVHWM, RECEIVE_QUEUE);
        wsb_zmq_set_int(z->sockets[i], ZMQ_HANDSHAKE_IVL, 5000);
    }
    void *router = z->sockets[WSB_CHANNEL_HANDLERS];
    wsb_zmq_set_int(router, ZMQ_ROUTER_MANDATORY, 1);
    wsb_zmq_set_int(router, ZMQ_SNDHWM, 0); /* bounded in bytes by the accounts, not in messages here */
    wsb_zmq_set_int(router, ZMQ_HEARTBEAT_IVL, (int)o->heartbeat_ms);
    wsb_zmq_set_int(router, ZMQ_HEARTBEAT_TIMEOUT, (int)o->heartbeat_ms * 2);
    wsb_zmq_set_int(router, ZMQ_HEARTBEAT_TTL, (int)o->heartbeat_ms * 3);
    /* Subscriptions are all that comes in there, and each byte of one is a node of a tree in the library: 35 bytes of
     * memory, and time when its subscriber leaves. No topic is longer than a route's name and a word. */
    max = SUBSCRIPTION_MAX;
    (void)zmq_setsockopt(z->sockets[WSB_CHANNEL_EVENTS], ZMQ_MAXMSGSIZE, &max, sizeof max);
    wsb_zmq_set_int(z->sockets[WSB_CHANNEL_EVENTS], ZMQ_SNDHWM, EVENTS_QUEUE);
    wsb_zmq_set_int(z->sockets[WSB_CHANNEL_EVENTS], ZMQ_XPUB_NODROP, 1); /* so that a drop is ours to count */
}

static wsb_err bind_one(struct zmq_server *z, int i, const struct wsb_server_options *o, struct wsb_fault *fault)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    char *path = sun.sun_path;
    char endpoint[sizeof "ipc://" + sizeof sun.sun_path];
    int n = snprintf(path, sizeof sun.sun_path, "%s/%s", o->dir, names[i]);
    if (n < 0 || (size_t)n >= sizeof sun.sun_path)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "runtime directory %.100s: the path is too long for a socket",
                             o->dir);
    if (somebody_listens(&sun))
        return wsb_fault_set(fault, WSB_ERR_EXISTS, 0, "%s: a gate is running in this directory already", path);
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    mode_t before = umask(0777 & ~(mode_t)o->mode);
    int failed = zmq_bind(z->sockets[i], endpoint);
    int code = errno;
    umask(before);
    if (failed)
        return wsb_fault_set(fault, WSB_ERR_IO, code, "cannot bind %s: %s", endpoint, zmq_strerror(code));
    z->paths[i] = strdup(path);
    return z->paths[i] ? WSB_OK : WSB_ERR_NOMEM;
}

static const struct wsb_server_ops zmq_server_ops = {
    .close = zs_close,
    .fd = zs_fd,
    .recv = zs_recv,
    .release = zs_release,
    .has_input = zs_has_input,
    .send = zs_send,
    .publish = zs_publish,
};

wsb_err wsb_zmq_server_open(const struct wsb_server_options *o, struct wsb_server **ret, struct wsb_fault *fault)
{
    wsb_err err = WSB_ERR_NOMEM;
    struct zmq_server *z = calloc(1, sizeof *z);
    if (!z)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    z->base.ops = &zmq_server_ops;
    z->context = zmq_ctx_new();
    if (!z->context)
        goto out;
    for (int i = 0; i < WSB_CHANNELS; i++) {
        z->sockets[i] = zmq_socket(z->context, types[i]);
        if (!z->sockets[i]) {
            err = wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot make a ZeroMQ socket: %s", zmq_strerror(errno));
            goto out;
        }
    }
    set_options(z, o);
    for (int i = 0; i < WSB_CHANNELS; i++) {
        err = bind_one(z, i, o, fault);
        if (err)
            goto out;
    }
    *ret = &z->base;
    z = NULL;
out:
    zs_close(z ? &z->base : NULL);
    return err;
}
