/*
 * The gate's end over ZeroMQ: ROUTER for handlers, XPUB for events, PULL for commands, all in one context with one I/O
 * thread; twice, where TCP wants keys. Sends are MANDATORY and never wait: ROUTER otherwise drops silently. To a peer that has
 * hung up the next send says WSB_CLOSED.
 */
#include "link/zmq_server.h"

#include <string.h>
#include <sys/epoll.h>

enum { AUTOMATIC_ID_LEN = 5 }; /* of a routing id that ROUTER makes: 0, and four bytes of its own */

static const char *const names[WSB_CHANNELS] = {"handlers", "events", "commands"};

const char *wsb_channel_name(enum wsb_channel c)
{
    return names[c];
}

static struct wsb_zmq_server *self(const struct wsb_server *s)
{
    return wsb_zmq_server_of(s);
}

void wsb_zmq_message_close(struct wsb_zmq_message *m)
{
    for (size_t i = 0; i < m->count; i++)
        zmq_msg_close(&m->parts[i]);
    m->count = 0;
}

/* --------------------------------------------------------------- receiving */

/* Take all parts of one message; those beyond the last that can be are dropped and make it malformed. */
static wsb_err take_parts(void *socket, struct wsb_zmq_message *m, bool *ret_too_many)
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
        if (m->count < WSB_ZMQ_PARTS_MAX) {
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

/* From whichever door has something, the two in turn. */
static wsb_err take_message(struct wsb_zmq_server *z, enum wsb_channel c, bool *ret_too_many, enum wsb_door *ret_door)
{
    for (int i = 0; i < WSB_ZMQ_DOORS; i++) {
        enum wsb_door door = z->next[c];
        z->next[c] = door == WSB_DOOR_LOCAL ? WSB_DOOR_KEYS : WSB_DOOR_LOCAL;
        if (!z->sockets[door][c] || take_parts(z->sockets[door][c], &z->inbound[c], ret_too_many) != WSB_OK)
            continue;
        *ret_door = door;
        return WSB_OK;
    }
    return WSB_AGAIN;
}

static struct wsb_span part_span(struct wsb_zmq_message *m, size_t at)
{
    if (at >= m->count)
        return wsb_span(NULL, 0);
    return wsb_span(zmq_msg_data(&m->parts[at]), zmq_msg_size(&m->parts[at]));
}

/* With keys, an id must be one that ROUTER made: it goes by the id alone, so that whoever else has a key on the list could
 * take the place, and the events, of one who chose his own and is away for a moment. */
static wsb_err read_peer(struct wsb_zmq_message *m, enum wsb_door door, struct wsb_inbound *ret)
{
    struct wsb_span id = part_span(m, 0);
    if (id.len == 0 || id.len + 1 > sizeof m->peer)
        return WSB_ERR_PROTO;
    if (door == WSB_DOOR_KEYS && (id.len != AUTOMATIC_ID_LEN || id.ptr[0] != 0))
        return WSB_ERR_PROTO;
    m->peer[0] = (uint8_t)door;
    memcpy(m->peer + 1, id.ptr, id.len);
    ret->peer = wsb_span(m->peer, id.len + 1);
    return WSB_OK;
}

static wsb_err read_user(struct wsb_zmq_message *m, enum wsb_door door, struct wsb_inbound *ret)
{
    if (door != WSB_DOOR_KEYS)
        return WSB_OK;
    const char *user = zmq_msg_gets(&m->parts[m->count - 1], "User-Id");
    if (!user || !*user)
        return WSB_ERR_PROTO; /* nobody gets in without; and an empty one would be taken for a local peer */
    ret->user = wsb_span_str(user);
    return WSB_OK;
}

static wsb_err read_subscription(struct wsb_zmq_message *m, struct wsb_inbound *ret)
{
    struct wsb_span s = part_span(m, 0);
    if (m->count != 1 || s.len == 0 || s.ptr[0] > 1)
        return WSB_ERR_PROTO;
    ret->subscribes = s.ptr[0] == 1;
    ret->subscription = wsb_span(s.ptr + 1, s.len - 1);
    return WSB_OK;
}

/* The next one that is news to somebody who does not know that there are two doors. */
static wsb_err recv_subscription(struct wsb_zmq_server *z, struct wsb_inbound *ret)
{
    struct wsb_zmq_message *m = &z->inbound[WSB_CHANNEL_EVENTS];
    for (;;) {
        bool too_many;
        enum wsb_door door;
        wsb_err err = take_message(z, WSB_CHANNEL_EVENTS, &too_many, &door);
        if (!err)
            err = read_subscription(m, ret);
        if (err || !z->sockets[WSB_DOOR_KEYS][WSB_CHANNEL_EVENTS] ||
            wsb_subscriptions_note(&z->subscriptions, (unsigned)door, ret->subscription, ret->subscribes))
            return err;
        wsb_zmq_message_close(m);
    }
}

static wsb_err zs_recv(struct wsb_server *s, enum wsb_channel c, struct wsb_inbound *ret)
{
    struct wsb_zmq_server *z = self(s);
    struct wsb_zmq_message *m = &z->inbound[c];
    bool too_many;
    enum wsb_door door;
    *ret = (struct wsb_inbound){.message = m};
    if (c == WSB_CHANNEL_HANDLERS)
        wsb_zap_serve(&z->zap);
    if (c == WSB_CHANNEL_EVENTS)
        return recv_subscription(z, ret);
    wsb_err err = take_message(z, c, &too_many, &door);
    if (err)
        return err;
    size_t first = c == WSB_CHANNEL_HANDLERS;
    err = first ? read_peer(m, door, ret) : WSB_OK;
    if (!err)
        err = read_user(m, door, ret);
    if (err)
        return err;
    size_t parts = m->count - first;
    if (too_many || parts < 2 || parts > 3)
        return WSB_ERR_PROTO;
    return wsb_envelope_from_parts(part_span(m, first), part_span(m, first + 1), part_span(m, first + 2),
                                   &ret->envelope);
}

static void zs_release(struct wsb_inbound *in)
{
    wsb_zmq_message_close(in->message);
    in->message = NULL;
}

static bool has_input(void *socket)
{
    int events = 0;
    size_t len = sizeof events;
    return socket && zmq_getsockopt(socket, ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN);
}

static bool zs_has_input(struct wsb_server *s, enum wsb_channel c)
{
    struct wsb_zmq_server *z = self(s);
    bool keys = has_input(z->sockets[WSB_DOOR_KEYS][c]); /* both are asked: asking is what arms a descriptor again */
    bool zap = c == WSB_CHANNEL_HANDLERS && has_input(z->zap.socket);
    return has_input(z->sockets[WSB_DOOR_LOCAL][c]) || keys || zap;
}

/* ----------------------------------------------------------------- sending */

static wsb_err zs_send(struct wsb_server *s, struct wsb_span peer, const struct wsb_header *h,
                       struct wsb_block *payload, struct wsb_span meta)
{
    wsb_err err = WSB_CLOSED;
    void *socket = NULL;
    if (peer.len > 1 && peer.ptr[0] < WSB_ZMQ_DOORS)
        socket = self(s)->sockets[peer.ptr[0]][WSB_CHANNEL_HANDLERS];
    /* The routing id decides: once ROUTER has taken it, the other parts follow it. */
    if (socket)
        err = wsb_zmq_send_bytes(socket, peer.ptr + 1, peer.len - 1, ZMQ_SNDMORE);
    if (err) {
        wsb_block_free(payload);
        return err;
    }
    return wsb_zmq_send_envelope(socket, h, payload, meta);
}

/* XPUB either drops silently for whoever is slow, or refuses for all when one is slow. We want to know, and serve the others:
 * ask first, and on a refusal send again in the other mode. */
static wsb_err publish_on(void *socket, const char *topic, const struct wsb_header *h, struct wsb_block *payload,
                          struct wsb_span meta)
{
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

/* The same bytes again, on the same account: what the other door sends. */
static struct wsb_block *block_copy(const struct wsb_block *b)
{
    struct wsb_block *copy = wsb_block_new(b->account, b->len);
    if (!copy)
        return NULL;
    if (b->len)
        memcpy(copy->data, b->data, b->len);
    copy->len = b->len;
    return copy;
}

static wsb_err zs_publish(struct wsb_server *s, const char *topic, const struct wsb_header *h,
                          struct wsb_block *payload, struct wsb_span meta)
{
    struct wsb_zmq_server *z = self(s);
    void *keys = z->sockets[WSB_DOOR_KEYS][WSB_CHANNEL_EVENTS];
    wsb_err err = WSB_OK;
    if (keys) {
        struct wsb_block *copy = block_copy(payload);
        err = copy ? publish_on(keys, topic, h, copy, meta) : WSB_ERR_NOMEM;
    }
    wsb_err err2 = publish_on(z->sockets[WSB_DOOR_LOCAL][WSB_CHANNEL_EVENTS], topic, h, payload, meta);
    return err2 ? err2 : err;
}

/* -------------------------------------------------------------------- asking */

int wsb_zmq_fd(void *socket)
{
    int fd = -1;
    size_t len = sizeof fd;
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &len) == 0 ? fd : -1;
}

static int zs_fd(const struct wsb_server *s, enum wsb_channel c)
{
    const struct wsb_zmq_server *z = self(s);
    return z->polls[c] >= 0 ? z->polls[c] : wsb_zmq_fd(z->sockets[WSB_DOOR_LOCAL][c]);
}

static bool zs_allows(const struct wsb_server *s, struct wsb_span user, const char *route)
{
    const struct wsb_curve *curve = self(s)->zap.curve;
    return user.len == 0 || (curve && wsb_key_list_allows(&curve->clients, user, route));
}

static bool zs_allows_name(const struct wsb_server *s, struct wsb_span user, struct wsb_span name)
{
    const struct wsb_curve *curve = self(s)->zap.curve;
    return user.len == 0 || (curve && wsb_key_list_allows_name(&curve->clients, user, name));
}

static const char *zs_endpoint(const struct wsb_server *s, enum wsb_channel c)
{
    const char *text = self(s)->tcp[c];
    return *text ? text : NULL;
}

static void zs_stats(const struct wsb_server *s, struct wsb_server_stats *ret)
{
    const struct wsb_zap *zap = &self(s)->zap;
    *ret = (struct wsb_server_stats){.keys_allowed = zap->allowed,
                                     .keys_refused = zap->refused,
                                     .last_refused_key = zap->last_key,
                                     .last_refused_address = zap->last_address};
}

/* ------------------------------------------------------------------- peers */

static void zs_watch(struct wsb_server *s, const struct wsb_inbound *in, uint32_t heartbeat_ms)
{
    struct wsb_zmq_message *m = in->message;
    int fd = zmq_msg_get(&m->parts[m->count - 1], ZMQ_SRCFD);
    if (fd >= 0)
        (void)!wsb_peers_watch(&self(s)->peers, in->peer, fd, heartbeat_ms); /* without memory it is not watched */
}

static void zs_unwatch(struct wsb_server *s, struct wsb_span peer)
{
    wsb_peers_unwatch(&self(s)->peers, peer);
}

static bool zs_is_stalled(struct wsb_server *s, struct wsb_span peer, uint64_t now_ms)
{
    return wsb_peers_is_stalled(&self(s)->peers, peer, now_ms);
}

const struct wsb_server_ops wsb_zmq_server_ops = {
    .close = wsb_zmq_server_close,
    .fd = zs_fd,
    .recv = zs_recv,
    .release = zs_release,
    .has_input = zs_has_input,
    .send = zs_send,
    .publish = zs_publish,
    .watch = zs_watch,
    .unwatch = zs_unwatch,
    .is_stalled = zs_is_stalled,
    .allows = zs_allows,
    .allows_name = zs_allows_name,
    .endpoint = zs_endpoint,
    .stats = zs_stats,
};
