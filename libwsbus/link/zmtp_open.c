/* Making and ending the gate's end over ZeroMQ. What was said last still leaves, within a short time. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/z85.h"
#include "link/zmtp_server.h"

enum { LINGER_MS = 500, NAMES_FACTOR = 2 };

/* ------------------------------------------------------------------------ ending */

static bool has_something_to_write(const struct wsb_zmtp_conn *conn)
{
    return conn->state == WSB_CONN_PROVEN && !conn->is_deaf && !wsb_zmtp_outbox_is_empty(&conn->out);
}

/* Write to everybody who takes something, and list the others. Returns how many they are. */
static size_t write_out(struct wsb_zmtp_server *z, struct pollfd *ret, size_t max)
{
    size_t count = 0;
    for (int c = 0; c < WSB_CHANNELS; c++) {
        for (struct wsb_zmtp_conn *conn = z->channels[c].conns; conn; conn = conn->next) {
            size_t budget = SIZE_MAX;
            if (!has_something_to_write(conn) || wsb_zmtp_conn_write(conn, &budget) != WSB_AGAIN || count == max)
                continue;
            ret[count++] = (struct pollfd){.fd = conn->fd, .events = POLLOUT};
        }
    }
    return count;
}

static void linger(struct wsb_zmtp_server *z)
{
    size_t most = 0, count;
    uint64_t until_ms = wsb_zmtp_now_ms() + LINGER_MS;
    for (int c = 0; c < WSB_CHANNELS; c++)
        most += z->channels[c].conn_count;
    struct pollfd *fds = calloc(most ? most : 1, sizeof *fds);
    while (fds && (count = write_out(z, fds, most)) > 0) {
        uint64_t now_ms = wsb_zmtp_now_ms();
        if (now_ms >= until_ms || poll(fds, count, (int)(until_ms - now_ms)) == 0)
            break;
    }
    free(fds);
}

static void channel_close(struct wsb_zmtp_server *z, struct wsb_zmtp_channel *ch)
{
    wsb_zmtp_chunk_free(&z->pool, ch->letter.chunk);
    while (ch->conns)
        wsb_zmtp_remove(z, ch->conns);
    wsb_zmtp_entrance_close(&ch->local);
    wsb_zmtp_entrance_close(&ch->tcp);
    if (ch->poll >= 0)
        close(ch->poll);
}

void wsb_zmtp_server_close(struct wsb_server *s)
{
    struct wsb_zmtp_server *z = wsb_zmtp_server_of(s);
    if (!z)
        return;
    linger(z);
    for (int c = 0; c < WSB_CHANNELS; c++)
        channel_close(z, &z->channels[c]);
    for (int c = 0; c < WSB_CHANNELS; c++)
        wsb_zmtp_outbox_deinit(&z->channels[c].waste);
    if (z->timer >= 0)
        close(z->timer);
    wsb_account_unref(z->sealed);
    wsb_subscribers_deinit(&z->subscribers);
    wsb_zmtp_pool_deinit(&z->pool);
    explicit_bzero(&z->curvezmq, sizeof z->curvezmq);
    free(z->names);
    free(z->holders);
    free(z);
}

/* ----------------------------------------------------------------------- opening */

static void make_rules(struct wsb_zmtp_server *z, const struct wsb_server_options *o)
{
    static const enum wsb_zmtp_role roles[WSB_CHANNELS] = {[WSB_CHANNEL_HANDLERS] = WSB_ZMTP_ROUTER,
                                                           [WSB_CHANNEL_EVENTS] = WSB_ZMTP_XPUB,
                                                           [WSB_CHANNEL_COMMANDS] = WSB_ZMTP_PULL};
    for (int c = 0; c < WSB_CHANNELS; c++) {
        size_t frame = c == WSB_CHANNEL_EVENTS ? WSB_ZMTP_SUBSCRIPTION_FRAME : o->max_message;
        for (int door = 0; door < WSB_ZMTP_DOORS; door++)
            z->channels[c].rules[door] = (struct wsb_zmtp_rules){
                .role = roles[c],
                .curve = door == WSB_DOOR_KEYS ? &z->curvezmq : NULL,
                .max_frame = frame,
                .max_message = frame + (c == WSB_CHANNEL_EVENTS ? frame : WSB_META_MAX) + WSB_CHUNK,
            };
    }
}

static bool read_keys(struct wsb_zmtp_server *z, const struct wsb_curve *curve)
{
    z->curve = curve;
    z->holders = calloc(curve->clients.key_count + 1, sizeof *z->holders);
    return z->holders && sodium_init() >= 0 &&
           wsb_z85_decode(wsb_span(curve->pair.public_key, WSB_KEY_LEN), z->curvezmq.public_key) &&
           wsb_z85_decode(wsb_span(curve->pair.secret_key, WSB_KEY_LEN), z->curvezmq.secret_key);
}

/* As many places as there may be names, so that none of them grows long, and none is ever made later. */
static bool make_names(struct wsb_zmtp_server *z)
{
    size_t places = 1;
    while (places < z->peers_max * NAMES_FACTOR)
        places *= 2;
    z->names = calloc(places, sizeof(struct wsb_zmtp_conn *));
    z->name_mask = places - 1;
    return z->names != NULL;
}

static struct wsb_zmtp_server *server_new(const struct wsb_server_options *o)
{
    struct wsb_zmtp_server *z = calloc(1, sizeof *z);
    if (!z)
        return NULL;
    z->base.ops = &wsb_zmtp_server_ops;
    z->peers_max = o->max_peers ? o->max_peers : WSB_ZMTP_PEERS;
    z->queue_max = o->max_queue ? o->max_queue : WSB_ZMTP_QUEUE_MAX;
    z->descriptors_max = o->max_descriptors ? o->max_descriptors : SIZE_MAX;
    z->copies_max = o->max_copies ? o->max_copies : WSB_ZMTP_COPIES_ALL;
    z->handshake_ms = o->handshake_ms ? o->handshake_ms : WSB_ZMTP_HANDSHAKE_MS;
    z->timer = -1;
    z->of_timer.what = WSB_ZMTP_SOURCE_TIMER;
    z->now_ms = wsb_zmtp_now_ms();
    for (int c = 0; c < WSB_CHANNELS; c++) {
        struct wsb_zmtp_channel *ch = &z->channels[c];
        ch->poll = -1;
        ch->is_woken = true;
        ch->letter.server = z;
        wsb_zmtp_entrance_init(&ch->local);
        wsb_zmtp_entrance_init(&ch->tcp);
        wsb_zmtp_begin_round(ch);
    }
    make_rules(z, o);
    size_t message = z->channels[WSB_CHANNEL_HANDLERS].rules[WSB_DOOR_LOCAL].max_message;
    z->pool.max = message < WSB_ZMTP_INPUT_MAX / 2 ? WSB_ZMTP_INPUT_MAX : 2 * message;
    if (o->max_input)
        z->pool.max = o->max_input;
    return z;
}

static bool watch(struct wsb_zmtp_server *z, enum wsb_channel c, int fd, struct wsb_zmtp_source *source)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = source};
    return fd < 0 || epoll_ctl(z->channels[c].poll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* What the kernel has to give: random numbers, a timer, and an epoll for each channel. */
static wsb_err open_kernel(struct wsb_zmtp_server *z, struct wsb_fault *fault)
{
    bool ok = getrandom(&z->seed, sizeof z->seed, 0) == sizeof z->seed &&
              getrandom(&z->last_number, sizeof z->last_number / 2, 0) == sizeof z->last_number / 2;
    for (int c = 0; c < WSB_CHANNELS && ok; c++) {
        z->channels[c].poll = epoll_create1(EPOLL_CLOEXEC);
        ok = z->channels[c].poll >= 0;
    }
    if (ok) {
        z->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        ok = z->timer >= 0 && watch(z, WSB_CHANNEL_HANDLERS, z->timer, &z->of_timer);
    }
    wsb_subscribers_init(&z->subscribers, &z->seed);
    return ok ? WSB_OK : wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot watch the bus: %s", strerror(errno));
}

static wsb_err open_entrances(struct wsb_zmtp_server *z, const struct wsb_server_options *o, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    for (int c = 0; c < WSB_CHANNELS && !err; c++)
        err = wsb_zmtp_entrance_open_local(&z->channels[c].local, o->dir, o->mode, (enum wsb_channel)c, fault);
    for (int c = 0; c < WSB_CHANNELS && !err; c++) {
        if (o->tcp[c])
            err = wsb_zmtp_entrance_open_tcp(&z->channels[c].tcp, o->tcp[c], o->curve != NULL, (enum wsb_channel)c,
                                             fault);
    }
    for (int c = 0; c < WSB_CHANNELS && !err; c++) {
        struct wsb_zmtp_channel *ch = &z->channels[c];
        if (!watch(z, (enum wsb_channel)c, ch->local.fd, &ch->local.source) ||
            !watch(z, (enum wsb_channel)c, ch->tcp.fd, &ch->tcp.source))
            err = wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot watch the bus: %s", strerror(errno));
    }
    return err;
}

wsb_err wsb_zmtp_server_open(const struct wsb_server_options *o, struct wsb_server **ret, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    struct wsb_zmtp_server *z = server_new(o);
    if (!z)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    z->sealed = wsb_account_new();
    if (!z->sealed || !make_names(z))
        err = wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    if (!err && o->curve && !read_keys(z, o->curve))
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "the gate's keys are not keys");
    if (!err)
        err = open_kernel(z, fault);
    if (!err)
        err = open_entrances(z, o, fault);
    if (err) {
        wsb_zmtp_server_close(&z->base);
        return err;
    }
    *ret = &z->base;
    return WSB_OK;
}
