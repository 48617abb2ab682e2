/*
 * Reading and writing. What is received lies in one run of bytes, from the first that was not used; a chunk is only ever as large
 * as what has arrived asks for. The kernel tells once that something is there: it is read until it is not.
 */
#include "link/zmtp_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/scratch.h"

enum {
    READ_MAX = 256 << 10, /* bytes of one call */
    SHAKE_CHUNK = 2 * WSB_ZMTP_SHAKE_MAX,
    TAIL_ROOM = 256,
    IOVS = 64,
    RUN_COST = 64 /* of a run of bytes beside them, in bytes */
};

struct wsb_zmtp_conn *wsb_zmtp_conn_new(int fd, const struct wsb_zmtp_rules *rules, uint64_t number, uint64_t now_ms)
{
    struct wsb_zmtp_conn *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return NULL;
    }
    c->fd = fd;
    c->process = -1;
    c->since_ms = c->heard_ms = now_ms;
    c->of_socket = (struct wsb_zmtp_source){.what = WSB_ZMTP_SOURCE_SOCKET, .conn = c};
    c->of_process = (struct wsb_zmtp_source){.what = WSB_ZMTP_SOURCE_PROCESS, .conn = c};
    wsb_zmtp_peer_init(&c->peer, rules, number);
    return c;
}

void wsb_zmtp_conn_hang_up(struct wsb_zmtp_conn *c)
{
    if (c->fd >= 0)
        close(c->fd);
    if (c->process >= 0)
        close(c->process);
    c->fd = c->process = -1;
    c->is_deaf = true;
}

void wsb_zmtp_conn_free(struct wsb_zmtp_conn *c, struct wsb_zmtp_pool *pool)
{
    wsb_zmtp_conn_hang_up(c);
    wsb_zmtp_outbox_deinit(&c->out);
    wsb_zmtp_chunk_free(pool, c->in);
    wsb_zmtp_peer_deinit(&c->peer);
    free(c);
}

/* ---------------------------------------------------------------------- reading */

static size_t held(const struct wsb_zmtp_conn *c)
{
    return c->end - c->begin;
}

/* The bytes that are not used, in another chunk. */
static wsb_err move_to(struct wsb_zmtp_conn *c, struct wsb_zmtp_pool *pool, size_t cap)
{
    struct wsb_zmtp_chunk *to;
    wsb_err err = wsb_zmtp_chunk_new(pool, cap, &to);
    if (err)
        return err;
    if (c->in && held(c))
        memcpy(to->data, c->in->data + c->begin, held(c));
    c->end -= c->begin;
    c->begin = 0;
    wsb_zmtp_chunk_free(pool, c->in);
    c->in = to;
    return WSB_OK;
}

static void charge(struct wsb_zmtp_conn *c, struct wsb_zmtp_budget *budget, size_t work)
{
    wsb_zmtp_take_off(&budget->work, work);
    wsb_zmtp_take_off(&c->turn_work, work);
}

/* Room behind what is held: little for a handshake; it doubles as bytes arrive, up to what they are the beginning of. */
static wsb_err make_room(struct wsb_zmtp_conn *c, struct wsb_zmtp_pool *pool)
{
    size_t wanted = wsb_zmtp_wanted(&c->peer), have = held(c);
    size_t least = c->peer.state == WSB_ZMTP_TRAFFIC ? WSB_CHUNK : SHAKE_CHUNK, cap = least;
    if (wanted > cap)
        cap = wanted < 2 * have ? wanted : 2 * have;
    if (cap < least)
        cap = least;
    if (!c->in || c->in->refs > 1 || c->in->cap < least)
        return move_to(c, pool, cap);
    if (have == 0) {
        c->begin = c->end = 0;
    } else if (c->begin + wanted > c->in->cap || c->end == c->in->cap) {
        memmove(c->in->data, c->in->data + c->begin, have);
        c->begin = 0;
        c->end = have;
    }
    return c->end < c->in->cap ? WSB_OK : wsb_zmtp_chunk_grow(pool, &c->in, cap > have ? cap : 2 * have);
}

static void end_of_input(struct wsb_zmtp_conn *c)
{
    c->is_at_end = true;
    c->is_readable = false;
}

/* A stream that gives less than was asked for is empty; but an end behind it shows only when it is read again. */
static wsb_err read_more(struct wsb_zmtp_conn *c, struct wsb_zmtp_pool *pool, struct wsb_zmtp_budget *budget)
{
    wsb_err err = make_room(c, pool);
    if (err)
        return err;
    charge(c, budget, WSB_CONN_READ_WORK);
    size_t room = c->in->cap - c->end;
    ssize_t n;
    room = room < READ_MAX ? room : READ_MAX;
    do {
        n = recv(c->fd, c->in->data + c->end, room, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        c->is_readable = false;
        if (c->has_ended)
            end_of_input(c);
        return WSB_OK;
    }
    if (n <= 0) {
        end_of_input(c);
        return WSB_OK;
    }
    size_t got = (size_t)n;
    c->end += got;
    c->heard_ms = budget->now_ms;
    if (got < room && !c->has_hung_up && !c->has_ended)
        c->is_readable = false;
    wsb_zmtp_take_off(&budget->bytes, wsb_zmtp_conn_is_curve(c) ? got * WSB_CONN_BOX_BYTES : got);
    wsb_zmtp_take_off(&c->turn_bytes, got);
    return WSB_OK;
}

/* Nothing more is there: what is left is kept in as little as it needs. */
static void settle(struct wsb_zmtp_conn *c, struct wsb_zmtp_pool *pool, uint64_t now_ms)
{
    if (held(c) == 0) {
        wsb_zmtp_chunk_free(pool, c->in);
        c->in = NULL;
        c->begin = c->end = 0;
        c->unfinished_since_ms = 0;
        return;
    }
    if (!c->unfinished_since_ms)
        c->unfinished_since_ms = now_ms;
    if (c->in->cap >= WSB_CHUNK && held(c) <= c->in->cap / 4)
        (void)!move_to(c, pool, (held(c) + TAIL_ROOM - 1) / TAIL_ROOM * TAIL_ROOM); /* else it stays as it is */
}

/* Frames are work also when no event has come of them: a message may have many parts. */
static void charge_frames(struct wsb_zmtp_conn *c, struct wsb_zmtp_budget *budget)
{
    size_t each = wsb_zmtp_conn_is_curve(c) ? WSB_CONN_BOX_WORK : 1;
    charge(c, budget, c->peer.frames * each);
    c->peer.frames = 0;
}

/* One step of the protocol with what is held. WSB_AGAIN: it needs more. */
static wsb_err take_event(struct wsb_zmtp_conn *c, struct wsb_zmtp_budget *budget, struct wsb_zmtp_event *ret)
{
    uint8_t random[WSB_CURVEZMQ_RANDOM];
    bool is_costly = wsb_zmtp_is_costly(&c->peer);
    size_t used;
    if (is_costly && c->peer.state == WSB_ZMTP_HELLO && getrandom(random, sizeof random, 0) != sizeof random)
        return WSB_ERR_NOMEM;
    wsb_err err = wsb_zmtp_next(&c->peer, c->in->data + c->begin, held(c), random, ret, &used);
    if (is_costly)
        explicit_bzero(random, sizeof random);
    charge_frames(c, budget);
    if (is_costly && err != WSB_MORE) /* a false one costs as much as a good one */
        budget->handshakes--;
    if (err)
        return err == WSB_MORE ? WSB_AGAIN : err;
    c->begin += used;
    if (used)
        c->unfinished_since_ms = 0;
    return WSB_OK;
}

wsb_err wsb_zmtp_conn_next(struct wsb_zmtp_conn *c, struct wsb_zmtp_pool *pool, struct wsb_zmtp_budget *budget,
                           struct wsb_zmtp_event *ret)
{
    for (;;) {
        wsb_err err = WSB_AGAIN;
        if (budget->work == 0 || c->turn_work == 0)
            return WSB_MORE;
        if (held(c)) {
            if (wsb_zmtp_is_costly(&c->peer) && budget->handshakes == 0)
                return WSB_MORE;
            err = take_event(c, budget, ret);
            if (err != WSB_AGAIN)
                return err;
        }
        if (c->is_at_end)
            return WSB_CLOSED;
        if (!c->is_readable) {
            settle(c, pool, budget->now_ms);
            return WSB_AGAIN;
        }
        if (budget->bytes == 0 || c->turn_bytes == 0)
            return WSB_MORE;
        err = read_more(c, pool, budget);
        if (err)
            return err;
    }
}

bool wsb_zmtp_conn_has_unread(const struct wsb_zmtp_conn *c)
{
    int unread = 0;
    return c->is_readable || c->fd < 0 || ioctl(c->fd, FIONREAD, &unread) != 0 || unread;
}

bool wsb_zmtp_conn_is_silent(const struct wsb_zmtp_conn *c, uint64_t now_ms, uint64_t most_ms)
{
    return wsb_zmtp_since(now_ms, c->heard_ms) > most_ms && !wsb_zmtp_conn_has_unread(c);
}

/* ---------------------------------------------------------------------- writing */

static wsb_err write_once(struct wsb_zmtp_conn *c, size_t *budget)
{
    WSB_SCRATCH struct iovec iov[IOVS];
    size_t bytes;
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = wsb_zmtp_outbox_gather(&c->out, iov, IOVS, &bytes)};
    ssize_t n;
    do {
        n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? WSB_AGAIN : errno == ENOBUFS ? WSB_AGAIN : WSB_CLOSED;
    size_t sent = (size_t)n;
    wsb_zmtp_outbox_advance(&c->out, sent);
    wsb_zmtp_take_off(budget, sent + m.msg_iovlen * RUN_COST);
    return sent < bytes ? WSB_AGAIN : WSB_OK;
}

/* No more than can leave soon: where others hold a block as well, what is sealed is a copy. */
static wsb_err seal_more(struct wsb_zmtp_conn *c, size_t *budget)
{
    size_t before = *budget / WSB_CONN_BOX_BYTES + 1, left = before;
    wsb_err err = wsb_zmtp_outbox_seal(&c->out, &c->peer.session, &left);
    wsb_zmtp_take_off(budget, (before - left) * WSB_CONN_BOX_BYTES);
    return err;
}

wsb_err wsb_zmtp_conn_write(struct wsb_zmtp_conn *c, size_t *budget)
{
    while (!wsb_zmtp_outbox_is_empty(&c->out)) {
        wsb_err err = WSB_OK;
        if (*budget == 0)
            return WSB_MORE;
        if (!wsb_zmtp_outbox_is_ready(&c->out))
            err = seal_more(c, budget);
        if (!err && wsb_zmtp_outbox_is_ready(&c->out))
            err = write_once(c, budget);
        if (err)
            return err;
    }
    return WSB_OK;
}
