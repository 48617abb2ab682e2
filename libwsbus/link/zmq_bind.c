/*
 * Making and ending the gate's end over ZeroMQ: sockets, what they are told, and where they are bound. A Unix socket's file
 * is never wider than asked, not even for a moment; one that somebody listens on is another gate's.
 */
#include "link/zmq_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    RECEIVE_QUEUE = 32,     /* messages of one peer, which may be large; beyond it the peer waits */
    EVENTS_QUEUE = 1000,    /* messages for one subscriber */
    SUBSCRIPTION_MAX = 512, /* bytes */
    HANDSHAKE_MAX =
        1024, /* bytes of a part of the handshake with keys, which the limit of messages holds for as well */
    HANDSHAKE_MS = 5000,
    LINGER_MS = 500 /* what was said last should still leave */
};

static const int types[WSB_CHANNELS] = {ZMQ_ROUTER, ZMQ_XPUB, ZMQ_PULL};

/* -------------------------------------------------------------------- ending */

void wsb_zmq_server_close(struct wsb_server *s)
{
    struct wsb_zmq_server *z = wsb_zmq_server_of(s);
    if (!z)
        return;
    for (int c = 0; c < WSB_CHANNELS; c++) {
        wsb_zmq_message_close(&z->inbound[c]);
        if (z->polls[c] >= 0)
            close(z->polls[c]);
        for (int door = 0; door < WSB_ZMQ_DOORS; door++) {
            if (z->sockets[door][c])
                zmq_close(z->sockets[door][c]); /* LINGER is short: terminating the context is bounded by it */
        }
        if (z->paths[c])
            (void)unlink(z->paths[c]);
        free(z->paths[c]);
    }
    wsb_zap_close(&z->zap);
    wsb_zmq_terminate(z->context);
    wsb_subscriptions_deinit(&z->subscriptions);
    wsb_peers_deinit(&z->peers);
    free(z);
}

/* ------------------------------------------------------------------- options */

static void set_max_message(void *socket, size_t bytes)
{
    int64_t max = (int64_t)bytes;
    (void)zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max, sizeof max);
}

/*
 * The kernel finds out about machines that are gone. ZeroMQ's heartbeats must stay off here: in libzmq up to 4.3.5 a connection
 * that fails while its messages are not taken (RCVHWM) ends the whole process at the next heartbeat.
 */
static void set_keepalive(void *socket)
{
    wsb_zmq_set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    wsb_zmq_set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, 10);
    wsb_zmq_set_int(socket, ZMQ_TCP_KEEPALIVE_INTVL, 5);
    wsb_zmq_set_int(socket, ZMQ_TCP_KEEPALIVE_CNT, 3);
}

static void set_options(void *const sockets[WSB_CHANNELS], const struct wsb_server_options *o)
{
    for (int c = 0; c < WSB_CHANNELS; c++) {
        set_max_message(sockets[c], o->max_message);
        wsb_zmq_set_int(sockets[c], ZMQ_LINGER, LINGER_MS);
        wsb_zmq_set_int(sockets[c], ZMQ_RCVHWM, RECEIVE_QUEUE);
        wsb_zmq_set_int(sockets[c], ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
        set_keepalive(sockets[c]);
    }
    void *router = sockets[WSB_CHANNEL_HANDLERS];
    wsb_zmq_set_int(router, ZMQ_ROUTER_MANDATORY, 1);
    wsb_zmq_set_int(router, ZMQ_SNDHWM, 0); /* bounded in bytes by the accounts, not in messages here */
    /* Subscriptions are all that comes in there, and each byte of one is a node of a tree in the library: 35 bytes of
     * memory, and time when its subscriber leaves. No topic is longer than a route's name and a word. */
    set_max_message(sockets[WSB_CHANNEL_EVENTS], SUBSCRIPTION_MAX);
    wsb_zmq_set_int(sockets[WSB_CHANNEL_EVENTS], ZMQ_SNDHWM, EVENTS_QUEUE);
    wsb_zmq_set_int(sockets[WSB_CHANNEL_EVENTS], ZMQ_XPUB_NODROP, 1); /* so that a drop is ours to count */
}

/* The domain is what makes ZeroMQ ask the doorkeeper, who is there before these sockets are. */
static wsb_err set_keys(void *const sockets[WSB_CHANNELS], const struct wsb_server_options *o)
{
    static const char *const domains[WSB_CHANNELS] = {WSB_ZAP_ANY_KEY, WSB_ZAP_ALL_ROUTES, WSB_ZAP_ANY_KEY};
    const int on = 1;
    for (int c = 0; c < WSB_CHANNELS; c++) {
        if (zmq_setsockopt(sockets[c], ZMQ_CURVE_SERVER, &on, sizeof on) != 0 ||
            zmq_setsockopt(sockets[c], ZMQ_CURVE_SECRETKEY, o->curve->pair.secret_key, WSB_KEY_TEXT) != 0 ||
            zmq_setsockopt(sockets[c], ZMQ_ZAP_DOMAIN, domains[c], strlen(domains[c])) != 0)
            return WSB_ERR_IO;
    }
    set_max_message(sockets[WSB_CHANNEL_EVENTS], HANDSHAKE_MAX);
    return WSB_OK;
}

static wsb_err make_sockets(struct wsb_zmq_server *z, enum wsb_door door, const struct wsb_server_options *o,
                            struct wsb_fault *fault)
{
    for (int c = 0; c < WSB_CHANNELS; c++) {
        z->sockets[door][c] = zmq_socket(z->context, types[c]);
        if (!z->sockets[door][c])
            return wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot make a ZeroMQ socket: %s", zmq_strerror(errno));
    }
    set_options(z->sockets[door], o);
    if (door == WSB_DOOR_KEYS && set_keys(z->sockets[door], o) != WSB_OK)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot give a ZeroMQ socket its key: %s", zmq_strerror(errno));
    return WSB_OK;
}

/* ------------------------------------------------------------------- binding */

static bool somebody_listens(const struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool alive = connect(fd, (const struct sockaddr *)sun, sizeof *sun) == 0 || errno == EAGAIN;
    close(fd);
    return alive;
}

static wsb_err bind_path(struct wsb_zmq_server *z, enum wsb_channel c, const struct wsb_server_options *o,
                         struct wsb_fault *fault)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    char *path = sun.sun_path;
    char endpoint[sizeof "ipc://" + sizeof sun.sun_path];
    int n = snprintf(path, sizeof sun.sun_path, "%s/%s", o->dir, wsb_channel_name(c));
    if (n < 0 || (size_t)n >= sizeof sun.sun_path)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "runtime directory %.100s: the path is too long for a socket",
                             o->dir);
    if (somebody_listens(&sun))
        return wsb_fault_set(fault, WSB_ERR_EXISTS, 0, "%s: a gate is running in this directory already", path);
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s", path);
    mode_t before = umask(0777 & ~(mode_t)o->mode);
    int failed = zmq_bind(z->sockets[WSB_DOOR_LOCAL][c], endpoint);
    int code = errno;
    umask(before);
    if (failed)
        return wsb_fault_set(fault, WSB_ERR_IO, code, "cannot bind %s: %s", endpoint, zmq_strerror(code));
    z->paths[c] = strdup(path);
    return z->paths[c] ? WSB_OK : WSB_ERR_NOMEM;
}

/* Without keys an address that others can reach is refused here as well, whoever asks. */
static wsb_err bind_tcp(struct wsb_zmq_server *z, enum wsb_channel c, const struct wsb_server_options *o,
                        struct wsb_fault *fault)
{
    struct wsb_endpoint e;
    char text[WSB_ENDPOINT_TEXT];
    void *socket = z->sockets[o->curve ? WSB_DOOR_KEYS : WSB_DOOR_LOCAL][c];
    wsb_err err = wsb_endpoint_parse(o->tcp[c], &e, fault);
    if (err)
        return err;
    if (!o->curve && !e.is_loopback)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.80s: not a loopback address, and there are no keys",
                             o->tcp[c]);
    wsb_endpoint_format(&e, text);
    wsb_zmq_set_int(socket, ZMQ_IPV6, e.is_v6);
    int failed = zmq_bind(socket, text);
    int code = errno;
    wsb_zmq_set_int(socket, ZMQ_IPV6, 0);
    if (failed)
        return wsb_fault_set(fault, code == EADDRINUSE ? WSB_ERR_EXISTS : WSB_ERR_IO, code, "cannot bind %s: %s", text,
                             zmq_strerror(code));
    size_t len = sizeof z->tcp[c];
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, z->tcp[c], &len) != 0)
        memcpy(z->tcp[c], text, sizeof text);
    return WSB_OK;
}

/* One descriptor for both doors, and with HANDLERS for the doorkeeper. */
static wsb_err join_doors(struct wsb_zmq_server *z, enum wsb_channel c, struct wsb_fault *fault)
{
    void *const sockets[] = {z->sockets[WSB_DOOR_LOCAL][c], z->sockets[WSB_DOOR_KEYS][c],
                             c == WSB_CHANNEL_HANDLERS ? z->zap.socket : NULL};
    z->polls[c] = epoll_create1(EPOLL_CLOEXEC);
    bool ok = z->polls[c] >= 0;
    for (size_t i = 0; ok && i < sizeof sockets / sizeof *sockets; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        ok = !sockets[i] || epoll_ctl(z->polls[c], EPOLL_CTL_ADD, wsb_zmq_fd(sockets[i]), &event) == 0;
    }
    return ok ? WSB_OK : wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot watch the bus: %s", strerror(errno));
}

static wsb_err open_keys(struct wsb_zmq_server *z, const struct wsb_server_options *o, struct wsb_fault *fault)
{
    wsb_err err = wsb_zap_open(&z->zap, z->context, o->curve);
    if (err)
        return wsb_fault_set(fault, err, errno, "cannot check keys: %s", zmq_strerror(errno));
    err = make_sockets(z, WSB_DOOR_KEYS, o, fault);
    for (int c = 0; c < WSB_CHANNELS && !err; c++)
        err = join_doors(z, (enum wsb_channel)c, fault);
    return err;
}

wsb_err wsb_zmq_server_open(const struct wsb_server_options *o, struct wsb_server **ret, struct wsb_fault *fault)
{
    wsb_err err = WSB_ERR_NOMEM;
    struct wsb_zmq_server *z = calloc(1, sizeof *z);
    if (!z)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    z->base.ops = &wsb_zmq_server_ops;
    for (int c = 0; c < WSB_CHANNELS; c++)
        z->polls[c] = -1;
    z->context = zmq_ctx_new();
    if (!z->context) {
        (void)wsb_fault_set(fault, err, errno, "cannot make a ZeroMQ context: %s", zmq_strerror(errno));
        goto out;
    }
    err = make_sockets(z, WSB_DOOR_LOCAL, o, fault);
    if (!err && o->curve)
        err = open_keys(z, o, fault);
    for (int c = 0; c < WSB_CHANNELS && !err; c++)
        err = bind_path(z, (enum wsb_channel)c, o, fault);
    for (int c = 0; c < WSB_CHANNELS && !err; c++)
        err = o->tcp[c] ? bind_tcp(z, (enum wsb_channel)c, o, fault) : WSB_OK;
    if (err)
        goto out;
    *ret = &z->base;
    z = NULL;
out:
    wsb_zmq_server_close(z ? &z->base : NULL);
    return err;
}
