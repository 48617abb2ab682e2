/*
 * The gate's end over ZeroMQ with several peers at once. Input: two bytes (with or without keys; which allocation or system call
 * fails), then a script: peers connect, say things whole and in part, subscribe, read or do not, hang up in either direction, while
 * the gate receives, holds what it received, sends, publishes, and its clock goes on.
 * Properties: the server's own sums are right after each step; no bound is passed; when all have gone nothing is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/z85.h"
#include "link/zmtp_server.h"
#include "support/curve_client.h"
#include "support/zmtp_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PEERS = 6,
    PEERS_MAX = 4,       /* of a channel */
    DESCRIPTORS_MAX = 6, /* of all */
    STEPS_MAX = 300,
    MESSAGE_MAX = 3000,
    QUEUE_MAX = 16 << 10,
    INPUT_MAX = 6 * WSB_CHUNK,
    SAID_MAX = 8192,
    NAMES = 4,
    PATIENCE = 100
};

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* ------------------------------------------------------------- what may fail, once */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
int __real_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int __real_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);
int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags);

static unsigned calls_left; /* 0: nothing fails */
static bool is_gate;        /* whose calls they are: the peers' never fail */

static bool fails(void)
{
    return is_gate && calls_left && --calls_left == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

int __wrap_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    errno = ENOSPC;
    return fails() ? -1 : __real_epoll_ctl(epfd, op, fd, event);
}

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    errno = EMFILE;
    return fails() ? -1 : __real_accept4(fd, address, len, flags);
}

/* ------------------------------------------------------------------- the two ends */

struct peer {
    int fd; /* -1: none */
    enum wsb_channel channel;
    enum { GREETS, WELCOMED, IN } phase;
    struct curve_client curve;
};

struct world {
    char dir[32];
    struct wsb_server *server;
    struct wsb_zmtp_server *z;
    struct wsb_account *account;
    bool has_keys;
    struct wsb_curve keys;
    uint8_t server_key[CURVE_KEY];
    struct peer peers[PEERS];
    struct wsb_inbound held[WSB_CHANNELS]; /* received, not released */
    bool is_held[WSB_CHANNELS];
    uint8_t names[NAMES][WSB_CONN_NAME_MAX]; /* of who was heard */
    size_t name_lens[NAMES];
    unsigned named;
    uint8_t bytes[SAID_MAX];
    struct wire out;
};

struct script {
    const uint8_t *at, *end;
};

static uint8_t next(struct script *s)
{
    return s->at < s->end ? *s->at++ : 0;
}

static void make_keys(struct world *w)
{
    uint8_t secret[CURVE_KEY], public[CURVE_KEY];
    char list[200] = "", key[WSB_KEY_TEXT];
    curve_pair(1, w->server_key, secret);
    wsb_z85_encode(wsb_span(w->server_key, CURVE_KEY), w->keys.pair.public_key);
    wsb_z85_encode(wsb_span(secret, CURVE_KEY), w->keys.pair.secret_key);
    for (uint8_t seed = 2; seed < 4; seed++) {
        curve_pair(seed, public, secret);
        wsb_z85_encode(wsb_span(public, CURVE_KEY), key);
        size_t at = strlen(list);
        (void)snprintf(list + at, sizeof list - at, "%s%s\n", key, seed == 2 ? "" : " chat"); /* limited to a route */
    }
    require(wsb_key_list_parse(&w->keys.clients, wsb_span_str(list), NULL) == WSB_OK);
}

/* One for all inputs: each leaves it as it was. With keys its Unix sockets want them: what TCP has is the same behind accept. */
static void world_open(struct world *w, bool has_keys)
{
    struct wsb_fault fault = {0};
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/wsbus-fuzz-XXXXXX");
    require(sodium_init() >= 0 && mkdtemp(w->dir) != NULL);
    w->has_keys = has_keys;
    w->out.bytes = w->bytes;
    make_keys(w);
    w->account = wsb_account_new();
    const struct wsb_server_options o = {.dir = w->dir,
                                         .mode = 0600,
                                         .curve = &w->keys,
                                         .max_message = MESSAGE_MAX,
                                         .max_peers = PEERS_MAX,
                                         .max_descriptors = DESCRIPTORS_MAX,
                                         .max_queue = QUEUE_MAX,
                                         .max_input = INPUT_MAX};
    require(w->account && wsb_zmtp_server_open(&o, &w->server, &fault) == WSB_OK);
    w->z = wsb_zmtp_server_of(w->server);
    for (int c = 0; c < WSB_CHANNELS && has_keys; c++)
        w->z->channels[c].local.door = WSB_DOOR_KEYS;
    for (int i = 0; i < PEERS; i++)
        w->peers[i].fd = -1;
}

static void hang_up(struct peer *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

static void dial(struct world *w, struct peer *p, enum wsb_channel c)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", w->dir, wsb_channel_name(c));
    hang_up(p);
    p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    require(p->fd >= 0);
    p->channel = c;
    p->phase = GREETS;
    if (connect(p->fd, (const struct sockaddr *)&a, sizeof a) != 0)
        hang_up(p);
}

/* As much as the kernel takes: the rest is lost, and what follows makes no sense to the gate. */
static void say(struct world *w, struct peer *p)
{
    if (p->fd >= 0 && w->out.len)
        (void)!send(p->fd, w->out.bytes, w->out.len, MSG_NOSIGNAL);
    w->out.len = 0;
}

static void put(struct world *w, struct peer *p, uint8_t flags, const void *body, size_t len)
{
    uint8_t boxed[SAID_MAX];
    if (w->out.len + len + 100 > SAID_MAX)
        return;
    if (w->has_keys && p->phase == IN)
        wire_frame(&w->out, 0, boxed, curve_message(&p->curve, flags & 4 ? 2 : flags & 1, body, len, boxed));
    else
        wire_frame(&w->out, flags, body, len);
}

/* -------------------------------------------------------------------- what peers do */

static const char *const types[WSB_CHANNELS] = {"DEALER", "SUB", "PUSH"};
static const char *const identities[] = {NULL, "a", "b", "\1"};

static void greet(struct world *w, struct peer *p, uint8_t how)
{
    uint8_t body[600], metadata[300];
    const char *identity = identities[how & 3];
    if (!w->has_keys) {
        wire_greeting(&w->out, how >> 2 & 1, "NULL");
        wire_ready(&w->out, types[p->channel], identity);
        p->phase = IN;
    } else if (p->phase == GREETS) {
        curve_client_init(&p->curve, how & 8 ? 3 : 2, w->server_key);
        wire_greeting(&w->out, 1, "CURVE");
        wire_frame(&w->out, 4, body, curve_hello(&p->curve, body));
        p->phase = WELCOMED;
    } else if (p->phase == WELCOMED) {
        uint8_t got[WSB_ZMTP_GREETING + 2 + WSB_CURVEZMQ_WELCOME];
        static const char head[] = "\x04\xa8\x07WELCOME";
        if (p->fd < 0 || recv(p->fd, got, sizeof got, MSG_PEEK) < (ssize_t)sizeof got ||
            memcmp(got + WSB_ZMTP_GREETING, head, sizeof head - 1) != 0 || recv(p->fd, got, sizeof got, 0) < 0)
            return; /* not yet, or some of it was read by another step */
        curve_take_welcome(&p->curve, got + WSB_ZMTP_GREETING + 2, WSB_CURVEZMQ_WELCOME);
        wire_frame(&w->out, 4, body,
                   curve_initiate(&p->curve, metadata, wire_metadata(metadata, types[p->channel], identity), body));
        p->phase = IN;
    }
    say(w, p);
}

static void send_message(struct world *w, struct peer *p, size_t len, bool is_cut)
{
    static const uint8_t payload[SAID_MAX]; /* it may be too large for the gate */
    const struct wsb_header h = {.type = WSB_LOG, .payload_len = (uint32_t)len};
    uint8_t header[WSB_HEADER_SIZE];
    wsb_header_write(header, &h);
    put(w, p, 1, header, sizeof header);
    put(w, p, 0, payload, len);
    if (is_cut)
        w->out.len -= w->out.len / 3;
    say(w, p);
}

static void subscribe(struct world *w, struct peer *p, uint8_t what)
{
    static const char *const bodies[] = {"\x09SUBSCRIBE", "\x09SUBSCRIBEchat ", "\x09SUBSCRIBEchat d",
                                         "\x06"
                                         "CANCEL",
                                         "\x06"
                                         "CANCELchat "};
    const char *body = bodies[what % 5];
    if (what & 0x80)
        put(w, p, 0, what & 0x40 ? "\1chat" : "\0chat", 5); /* as in 3.0 */
    else
        put(w, p, 4, body, strlen(body));
    say(w, p);
}

static void ping(struct world *w, struct peer *p, uint8_t ttl)
{
    uint8_t body[] = "\x04PING\0\0context";
    body[6] = ttl;
    for (int i = 0; i <= ttl >> 4; i++)
        put(w, p, 4, body, sizeof body - 1);
    say(w, p);
}

static void read_some(struct peer *p, size_t len)
{
    uint8_t bytes[4096];
    while (p->fd >= 0 && len) {
        ssize_t n = recv(p->fd, bytes, len < sizeof bytes ? len : sizeof bytes, 0);
        if (n <= 0)
            return;
        len -= (size_t)n;
    }
}

/* --------------------------------------------------------------- what the gate does */

static void release(struct world *w, int c)
{
    if (w->is_held[c])
        w->server->ops->release(&w->held[c]);
    w->is_held[c] = false;
}

/* Receive one; it is released with the next one. False: there is nothing. */
static bool receive(struct world *w, int c)
{
    struct wsb_inbound *in = &w->held[c];
    release(w, c);
    wsb_err err = w->server->ops->recv(w->server, (enum wsb_channel)c, in);
    if (err == WSB_AGAIN)
        return false;
    w->is_held[c] = true;
    if (err == WSB_OK) {
        require(in->envelope.payload.len <= MESSAGE_MAX);
        if (in->peer.len) {
            unsigned at = w->named++ % NAMES;
            memcpy(w->names[at], in->peer.ptr, in->peer.len);
            w->name_lens[at] = in->peer.len;
            w->server->ops->watch(w->server, in, 0);
        }
    }
    if (err == WSB_CLOSED)
        require(in->known && in->peer.len);
    return true;
}

static void turn(struct world *w, unsigned most)
{
    is_gate = true;
    for (int c = 0; c < WSB_CHANNELS; c++) {
        w->server->ops->on_readable(w->server, (enum wsb_channel)c);
        for (unsigned i = 0; i < most && receive(w, c); i++)
            ;
    }
    w->server->ops->flush(w->server);
    is_gate = false;
}

static struct wsb_block *block_of(struct world *w, size_t len)
{
    struct wsb_block *b = wsb_block_new(w->account, len);
    if (b) {
        memset(b->data, 'x', len);
        b->len = len;
    }
    return b;
}

static void tell(struct world *w, uint8_t whom, size_t len)
{
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = (uint32_t)len};
    struct wsb_block *b = block_of(w, len);
    unsigned at = whom % NAMES;
    is_gate = true;
    if (b)
        (void)!w->server->ops->send(w->server, wsb_span(w->names[at], w->name_lens[at]), &h, b,
                                    wsb_span("meta", whom & 8 ? 4 : 0));
    is_gate = false;
}

static void publish(struct world *w, uint8_t topic, size_t len)
{
    static const char *const topics[] = {"chat open", "chat data", "chat", "echo data"};
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = (uint32_t)len};
    struct wsb_block *b = block_of(w, len);
    is_gate = true;
    if (b)
        (void)w->server->ops->publish(w->server, topics[topic & 3], &h, b, wsb_span(NULL, 0));
    is_gate = false;
}

/* So much time has passed, and the timer tells. */
static void let_time_pass(struct world *w, uint64_t ms)
{
    for (int c = 0; c < WSB_CHANNELS; c++) {
        for (struct wsb_zmtp_conn *conn = w->z->channels[c].conns; conn; conn = conn->next) {
            conn->since_ms -= ms < conn->since_ms ? ms : 0;
            conn->heard_ms -= ms < conn->heard_ms ? ms : 0;
        }
    }
    w->z->ticked_ms = wsb_zmtp_now_ms();
    const struct itimerspec t = {.it_value = {.tv_nsec = 1}, .it_interval = {.tv_sec = 1000}};
    (void)timerfd_settime(w->z->timer, 0, &t, NULL);
}

/* --------------------------------------------------------------------- what is right */

struct sums {
    size_t ttls, subscriptions, descriptors;
};

static void check_channel(const struct world *w, int c, struct sums *sums)
{
    const struct wsb_zmtp_channel *ch = &w->z->channels[c];
    size_t count = 0, ready = 0, unproven = 0, leaving = 0;
    for (const struct wsb_zmtp_conn *conn = ch->conns; conn; conn = conn->next) {
        count++;
        ready += conn->is_ready;
        unproven += conn->state == WSB_CONN_UNPROVEN;
        leaving += conn->state == WSB_CONN_LEAVING;
        sums->ttls += conn->ttl_ms != 0;
        sums->subscriptions += conn->subscriber.count;
        sums->descriptors += (conn->fd >= 0) + (size_t)(conn->process >= 0);
        require(conn->out.own <= conn->out.bytes);
        require(conn->channel == (enum wsb_channel)c);
        require((conn->fd < 0) == (conn->state == WSB_CONN_LEAVING));
        require(conn->state == WSB_CONN_UNPROVEN || conn->channel != WSB_CHANNEL_HANDLERS || conn->is_named);
        require(conn->begin <= conn->end && (!conn->in || conn->end <= conn->in->cap));
        require(conn->out.commands <= WSB_ZMTP_PONGS_MAX && conn->out.commands <= conn->out.count);
        require(conn->out.bytes < (size_t)QUEUE_MAX + WSB_ZMTP_COPIES_BYTES + (64 << 10));
        require((conn->out.bytes == 0) == wsb_zmtp_outbox_is_empty(&conn->out));
    }
    require(count == ch->conn_count && ready == ch->ready.count && unproven == ch->unproven.count);
    require(count - leaving <= PEERS_MAX);
}

static void check(const struct world *w)
{
    struct sums sums = {0};
    size_t dirty = 0;
    for (int c = 0; c < WSB_CHANNELS; c++)
        check_channel(w, c, &sums);
    for (const struct wsb_zmtp_conn *conn = w->z->dirty.first; conn; conn = conn->next_dirty)
        dirty++;
    require(sums.ttls == w->z->ttl_count && sums.subscriptions == w->z->subscribers.count);
    require(sums.descriptors == w->z->descriptors && sums.descriptors <= DESCRIPTORS_MAX);
    require(dirty == w->z->dirty.count);
    require(w->z->pool.bytes <= INPUT_MAX);
}

static void end(struct world *w)
{
    size_t left = 1;
    calls_left = 0;
    for (int i = 0; i < PEERS; i++)
        hang_up(&w->peers[i]);
    for (int patience = PATIENCE; left && patience; patience--) {
        turn(w, UINT32_MAX); /* a round has an end of its own */
        left = 0;
        for (int c = 0; c < WSB_CHANNELS; c++) {
            w->z->channels[c].local.is_out = false;
            left += w->z->channels[c].conn_count;
        }
        check(w);
    }
    require(left == 0 && w->z->dirty.count == 0 && w->z->subscribers.prefix_count == 0);
    require(w->z->pool.bytes <= WSB_CHUNK); /* what is kept for the next */
    require(wsb_account_bytes(w->account) == 0 && wsb_account_bytes(w->z->sealed) == 0);
    for (size_t i = 0; i <= w->z->name_mask; i++)
        require(w->z->names[i] == NULL);
    for (size_t i = 0; i < w->keys.clients.key_count; i++)
        for (int c = 0; c < WSB_CHANNELS; c++)
            require(w->z->holders[i].conns[c] == 0);
    w->named = 0;
    memset(w->name_lens, 0, sizeof w->name_lens);
}

static void step(struct world *w, struct script *s)
{
    uint8_t op = next(s), arg = next(s);
    struct peer *p = &w->peers[(op >> 4) % PEERS];
    switch (op & 15) {
    case 0:
        dial(w, p, (enum wsb_channel)(arg % WSB_CHANNELS));
        break;
    case 1:
        greet(w, p, arg);
        break;
    case 2:
        send_message(w, p, (size_t)arg * 12, /*is_cut=*/false);
        break;
    case 3:
        send_message(w, p, (size_t)arg * 12, /*is_cut=*/true);
        break;
    case 4: /* anything */
        for (int i = 0; i < arg && w->out.len < SAID_MAX; i++)
            w->out.bytes[w->out.len++] = next(s);
        say(w, p);
        break;
    case 5:
        subscribe(w, p, arg);
        break;
    case 6:
        ping(w, p, arg);
        break;
    case 7:
        hang_up(p);
        break;
    case 8:
        if (p->fd >= 0)
            (void)shutdown(p->fd, arg & 1 ? SHUT_RD : SHUT_WR);
        break;
    case 9:
        turn(w, arg);
        break;
    case 10:
        for (int i = 0; i <= op >> 6; i++)
            tell(w, op >> 4, (size_t)arg * 16);
        break;
    case 11:
        for (int i = 0; i <= op >> 6; i++)
            publish(w, op >> 4, (size_t)arg * 16);
        break;
    case 12:
        read_some(p, (size_t)arg * 64);
        break;
    case 13:
        let_time_pass(w, (uint64_t)arg * 100);
        break;
    case 14: /* with what it holds of the others */
        is_gate = true;
        w->server->ops->on_readable(w->server, (enum wsb_channel)(arg % WSB_CHANNELS));
        if (arg >= 128 && w->is_held[arg % WSB_CHANNELS]) /* who sent it may have gone meanwhile */
            w->server->ops->watch(w->server, &w->held[arg % WSB_CHANNELS], 1000);
        else
            (void)receive(w, arg % WSB_CHANNELS);
        is_gate = false;
        break;
    default:
        put(w, p, arg & 5, "\4xyz?", arg >> 3 & 3); /* a part, or a command that means nothing */
        say(w, p);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world worlds[2];
    struct script s = {data, data + size};
    struct world *w = &worlds[next(&s) & 1];
    if (!w->server)
        world_open(w, w == &worlds[1]);
    calls_left = next(&s);
    for (int steps = 0; s.at < s.end && steps < STEPS_MAX; steps++) {
        step(w, &s);
        check(w);
    }
    end(w);
    return 0;
}
