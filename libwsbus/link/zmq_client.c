/*
 * The handler's end over ZeroMQ: a DEALER and the monitor that tells when it is connected. IMMEDIATE, so that nothing is
 * queued for a gate that is not there, and what was queued for one that died dies with it; what it was about to receive as
 * well, even in the middle of a message of several parts, which libzmq does not survive (`!_more` in fq.cpp). So HELLO asks
 * for messages of one part. Queues out are not bounded here in messages: whoever sends bounds them in bytes, by the account
 * of the blocks.
 */
#include <errno.h>
#include <stdlib.h>

#include "link/zmq_parts.h"

enum {
    PARTS_MAX = 3,       /* header, payload, metadata */
    RECEIVE_QUEUE = 256, /* messages; beyond it the gate waits */
    RECONNECT_MS = 100,
    RECONNECT_MAX_MS = 1000,
    RECONNECT_LOCAL_MS = 250, /* at most, on this host, where an attempt costs one connect() */
    HANDSHAKE_MS = 5000
};

struct received {
    struct wsb_received base;
    zmq_msg_t parts[PARTS_MAX];
    size_t count;
};

struct zmq_client {
    struct wsb_client base;
    void *context;
    void *socket;
    void *monitor;
    struct received *spare; /* owned: made for a message that then was not there */
    bool is_up;             /* as the monitor has told */
    bool is_retry_late;     /* the next retry that is told of is only the pause before it */
    enum wsb_link_trouble trouble;
};

static const char monitor_name[] = "inproc://link-changes"; /* one context has one client */

static struct zmq_client *self(struct wsb_client *c)
{
    return (struct zmq_client *)c;
}

/* --------------------------------------------------------------- receiving */

/* Take all parts of one message; those beyond PARTS_MAX are dropped and make it malformed. */
static wsb_err take_parts(void *socket, struct received *m)
{
    bool malformed = false;
    for (bool more = true; more;) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (wsb_zmq_recv_part(socket, &part) != WSB_OK) {
            zmq_msg_close(&part);
            return WSB_AGAIN; /* parts of one message arrive together: this can only be the first */
        }
        more = zmq_msg_more(&part) != 0;
        if (m->count < PARTS_MAX) {
            zmq_msg_init(&m->parts[m->count]);
            zmq_msg_move(&m->parts[m->count++], &part);
        } else {
            malformed = true;
        }
        zmq_msg_close(&part);
    }
    return malformed ? WSB_ERR_PROTO : WSB_OK;
}

static struct wsb_span part_span(struct received *m, size_t at)
{
    if (at >= m->count)
        return wsb_span(NULL, 0);
    return wsb_span(zmq_msg_data(&m->parts[at]), zmq_msg_size(&m->parts[at]));
}

static void drop_parts(struct received *m)
{
    for (size_t i = 0; i < m->count; i++)
        zmq_msg_close(&m->parts[i]);
    m->count = 0;
}

static void zc_release(struct wsb_received *received)
{
    struct received *m = (struct received *)received;
    if (!m)
        return;
    drop_parts(m);
    free(m);
}

static wsb_err zc_recv(struct wsb_client *c, struct wsb_received **ret)
{
    struct zmq_client *z = self(c);
    struct received *m = z->spare ? z->spare : calloc(1, sizeof *m);
    if (!m)
        return WSB_ERR_NOMEM;
    z->spare = m;
    wsb_err err = take_parts(z->socket, m);
    if (!err && m->count == 1)
        err = wsb_record_alone(part_span(m, 0), &m->base.envelope);
    else if (!err)
        err = wsb_envelope_from_parts(part_span(m, 0), part_span(m, 1), part_span(m, 2), &m->base.envelope);
    if (err) {
        drop_parts(m);
        return err;
    }
    m->base.size = sizeof *m + m->base.envelope.payload.len + m->base.envelope.meta.len;
    z->spare = NULL;
    *ret = &m->base;
    return WSB_OK;
}

/* Asking also makes the socket take note of what its I/O thread has told it, connections included. */
static bool zc_has_input(struct wsb_client *c)
{
    int events = 0;
    size_t len = sizeof events;
    return zmq_getsockopt(self(c)->socket, ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN);
}

/* Keep account of why there is no connection. ZeroMQ tells of a retry when a connection could not be made, and also when it begins
 * the pause behind one that has ended. */
static void note_trouble(struct zmq_client *z, uint16_t event)
{
    switch (event) {
    case ZMQ_EVENT_CONNECT_RETRIED:
        z->trouble = z->is_retry_late ? z->trouble : WSB_LINK_DEAF;
        z->is_retry_late = false;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        z->trouble = WSB_LINK_SHAKEN;
        z->is_retry_late = true;
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        z->trouble = WSB_LINK_FINE;
        z->is_retry_late = false;
        break;
    case ZMQ_EVENT_DISCONNECTED:
        z->is_retry_late = true;
        break;
    default:
        break;
    }
}

static enum wsb_link_change read_change(struct zmq_client *z, zmq_msg_t *m)
{
    uint16_t event = 0;
    if (zmq_msg_size(m) >= sizeof event)
        memcpy(&event, zmq_msg_data(m), sizeof event);
    note_trouble(z, event);
    return event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED ? WSB_LINK_UP
           : event == ZMQ_EVENT_DISCONNECTED      ? WSB_LINK_DOWN
                                                  : WSB_LINK_SAME;
}

static enum wsb_link_change zc_change(struct wsb_client *c)
{
    enum wsb_link_change change = WSB_LINK_SAME;
    while (change == WSB_LINK_SAME) {
        zmq_msg_t m;
        zmq_msg_init(&m);
        wsb_err err = wsb_zmq_recv_part(self(c)->monitor, &m);
        if (!err)
            change = read_change(self(c), &m);
        if (change != WSB_LINK_SAME)
            self(c)->is_up = change == WSB_LINK_UP;
        bool more = !err && zmq_msg_more(&m) != 0;
        zmq_msg_close(&m);
        if (err)
            return WSB_LINK_SAME;
        while (more) { /* the address */
            zmq_msg_init(&m);
            more = wsb_zmq_recv_part(self(c)->monitor, &m) == WSB_OK && zmq_msg_more(&m) != 0;
            zmq_msg_close(&m);
        }
    }
    (void)zc_has_input(c); /* the monitor may be ahead of the socket */
    return change;
}

static int fd_of(void *socket)
{
    int fd = -1;
    size_t len = sizeof fd;
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &len) == 0 ? fd : -1;
}

static size_t zc_fds(const struct wsb_client *c, int ret[WSB_CLIENT_FDS])
{
    const struct zmq_client *z = (const struct zmq_client *)c;
    ret[0] = fd_of(z->socket);
    ret[1] = fd_of(z->monitor);
    return 2;
}

/* ----------------------------------------------------------------- sending */

/* The header decides whether there is somebody to send to; the other parts follow it. The monitor may be ahead of the socket,
 * which would take a message for a gate that is known to be gone. */
static wsb_err zc_send(struct wsb_client *c, const struct wsb_header *h, struct wsb_block *payload,
                       struct wsb_span meta)
{
    if (!self(c)->is_up) {
        wsb_block_free(payload);
        return WSB_AGAIN;
    }
    return wsb_zmq_send_envelope(self(c)->socket, h, payload, meta);
}

static enum wsb_link_trouble zc_trouble(const struct wsb_client *c)
{
    return ((const struct zmq_client *)c)->trouble;
}

/* ------------------------------------------------------------ open and close */

static void zc_close(struct wsb_client *c)
{
    struct zmq_client *z = self(c);
    if (!z)
        return;
    if (z->monitor) {
        (void)zmq_socket_monitor(z->socket, NULL, 0); /* first: libzmq leaks what it cannot tell a monitor any more */
        zmq_close(z->monitor);
    }
    if (z->socket)
        zmq_close(z->socket);
    wsb_zmq_terminate(z->context);
    zc_release(z->spare ? &z->spare->base : NULL);
    free(z);
}

static void set_options(void *socket, const struct wsb_client_options *o)
{
    int64_t max = (int64_t)o->max_message;
    (void)zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &max, sizeof max);
    wsb_zmq_set_int(socket, ZMQ_IMMEDIATE, 1);
    wsb_zmq_set_int(socket, ZMQ_LINGER, (int)o->linger_ms);
    wsb_zmq_set_int(socket, ZMQ_SNDHWM, 0);
    wsb_zmq_set_int(socket, ZMQ_RCVHWM,
                    0); /* credit bounds it; and a full queue must not meet a heartbeat, see zmq_bind.c */
    wsb_zmq_set_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    wsb_zmq_set_int(socket, ZMQ_RECONNECT_IVL_MAX,
                    strncmp(o->endpoint, "ipc://", 6) == 0 ? RECONNECT_LOCAL_MS : RECONNECT_MAX_MS);
    wsb_zmq_set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    wsb_zmq_set_int(socket, ZMQ_HEARTBEAT_IVL, (int)o->heartbeat_ms);
    wsb_zmq_set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, (int)o->heartbeat_ms * 10);
    if (strchr(o->endpoint, '['))
        wsb_zmq_set_int(socket, ZMQ_IPV6, 1);
}

/* A gate that has keys lets only those in whose key it knows; and it is not talked to unless it proves to have its own. */
static wsb_err set_keys(void *socket, const struct wsb_client_options *o, struct wsb_fault *fault)
{
    if (!o->server_key)
        return WSB_OK;
    if (!zmq_has("curve"))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "this build of libzmq cannot do CURVE");
    if (strlen(o->server_key) != WSB_KEY_LEN ||
        zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, o->server_key, WSB_KEY_TEXT) != 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "the gate's public key is not 40 characters of Z85");
    if (!o->keys || zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, o->keys->public_key, WSB_KEY_TEXT) != 0 ||
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, o->keys->secret_key, WSB_KEY_TEXT) != 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "our own key is not 40 characters of Z85");
    return WSB_OK;
}

/* The monitor's queue has no limit, because ZeroMQ's I/O thread waits for room in it; it grows by one line or two an
 * attempt to connect, as long as nobody calls. */
static wsb_err open_monitor(struct zmq_client *z)
{
    const int events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CONNECT_RETRIED |
                       ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                       ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    int pending;
    size_t len = sizeof pending;
    if (zmq_socket_monitor(z->socket, monitor_name, events) != 0)
        return WSB_ERR_IO;
    z->monitor = zmq_socket(z->context, ZMQ_PAIR);
    if (!z->monitor)
        return WSB_ERR_IO;
    wsb_zmq_set_int(z->monitor, ZMQ_RCVHWM, 0);
    wsb_zmq_set_int(z->monitor, ZMQ_LINGER, 0);
    if (zmq_connect(z->monitor, monitor_name) != 0)
        return WSB_ERR_IO;
    /* Its descriptor tells of a message only to who has found none before: whoever waits on it next may not have looked. */
    (void)zmq_getsockopt(z->monitor, ZMQ_EVENTS, &pending, &len);
    return WSB_OK;
}

static const struct wsb_client_ops zmq_client_ops = {
    .close = zc_close,
    .fds = zc_fds,
    .recv = zc_recv,
    .release = zc_release,
    .has_input = zc_has_input,
    .change = zc_change,
    .send = zc_send,
    .trouble = zc_trouble,
    .name = "zmq",
};

wsb_err wsb_zmq_client_open(const struct wsb_client_options *o, struct wsb_client **ret, struct wsb_fault *fault)
{
    struct zmq_client *z = calloc(1, sizeof *z);
    if (!z)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    z->base.ops = &zmq_client_ops;
    wsb_err err = WSB_OK;
    z->context = zmq_ctx_new();
    z->socket = z->context ? zmq_socket(z->context, ZMQ_DEALER) : NULL;
    if (!z->socket) {
        err = wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot make a ZeroMQ socket: %s", zmq_strerror(errno));
        goto out;
    }
    set_options(z->socket, o);
    err = set_keys(z->socket, o, fault);
    if (err)
        goto out;
    err = open_monitor(z);
    if (err) {
        err = wsb_fault_set(fault, err, errno, "cannot watch a ZeroMQ socket: %s", zmq_strerror(errno));
        goto out;
    }
    if (zmq_connect(z->socket, o->endpoint) != 0) {
        err = wsb_fault_set(fault, errno == EINVAL || errno == EPROTONOSUPPORT ? WSB_ERR_CONFIG : WSB_ERR_IO, errno,
                            "cannot connect to %.150s: %s", o->endpoint, zmq_strerror(errno));
        goto out;
    }
    *ret = &z->base;
    z = NULL;
out:
    zc_close(z ? &z->base : NULL);
    return err;
}
