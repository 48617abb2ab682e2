/*
 * The gate's end over shared memory: who comes in on the socket `shm`, and the rings of those who did. All descriptors are in one
 * epoll, whose own descriptor the loop waits for; rings of handlers that are awake are looked at in each round without a
 * system call. Whoever breaks the rules is put out; nobody else notices.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rights.h"
#include "base/size.h"
#include "link/shm_server.h"

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static struct shm_server *self(const struct wsb_server *s)
{
    return (struct shm_server *)s;
}

/* It woke us more often than we had asked for: not listened to for a moment, then looked at. */
static void check_flood(struct shm_server *s, struct wsb_shm_peer *p)
{
    if (p->is_masked || p->window_wakes <= p->window_arms + FLOOD_A_SECOND)
        return;
    struct epoll_event e = {.events = EPOLLET, .data.ptr = &p->of_bell}; /* errors as well are told once */
    if (epoll_ctl(s->poll, EPOLL_CTL_MOD, p->gate, &e) != 0)
        return;
    p->is_masked = true;
    s->masked++;
    wsb_shm_tick(s);
}

static void on_bell(struct shm_server *s, struct wsb_shm_peer *p)
{
    p->wakes_in++;
    p->window_wakes++;
    wsb_shm_wake_up(s, p);
    if (wsb_sender_is_waiting(&p->sender))
        wsb_shm_note_dirty(s, p); /* there may be room: the flush tries */
    if (p->window_wakes > FLOOD_A_SECOND) {
        uint64_t now = wsb_shm_now_ms();
        if (now - p->window_ms >= 1000) {
            p->window_ms = now;
            p->window_wakes = p->window_arms = 0;
        }
        check_flood(s, p);
    }
}

static void unmask(struct shm_server *s, struct wsb_shm_peer *p)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = &p->of_bell};
    if (epoll_ctl(s->poll, EPOLL_CTL_MOD, p->gate, &e) != 0)
        return;
    p->is_masked = false;
    s->masked--;
    p->window_wakes = p->window_arms = 0;
    wsb_shm_wake_up(s, p);
}

static void on_tick(struct shm_server *s)
{
    uint64_t now = wsb_shm_now_ms();
    uint64_t ticks;
    struct wsb_shm_peer *next;
    (void)!read(s->timer, &ticks, sizeof ticks);
    if (s->pending < PENDING_MAX)
        wsb_shm_unmask_listener(s);
    for (struct wsb_shm_peer *p = s->peers; p; p = next) {
        next = p->next;
        if (p->is_masked)
            unmask(s, p);
        if (p->state < WSB_SHM_PEER_RUNNING && now - p->since_ms >= PENDING_MS)
            wsb_shm_refuse(s, p, "it did not say READY in time");
    }
    wsb_shm_tick(s);
}

static void on_event(struct shm_server *s, const struct wsb_shm_source *source)
{
    switch (source->what) {
    case WSB_SHM_LISTENER:
        wsb_shm_on_listener(s);
        break;
    case WSB_SHM_TIMER:
        on_tick(s);
        break;
    case WSB_SHM_SOCKET:
        wsb_shm_on_socket(s, source->peer);
        break;
    case WSB_SHM_PROCESS:
        wsb_shm_let_go(s, source->peer);
        break;
    case WSB_SHM_DEBT:
        wsb_shm_settle(s, source->debt);
        break;
    case WSB_SHM_BELL: /* heard already */
        break;
    }
}

/* Bells first, all of them: they are told once. The others are told again as long as they have not been heard, so one of them is
 * enough for each look: what it removes may have more events in the same array. */
static int look(struct shm_server *s)
{
    struct epoll_event events[EVENTS];
    const struct wsb_shm_source *other = NULL;
    int n = epoll_wait(s->poll, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        const struct wsb_shm_source *source = events[i].data.ptr;
        if (source->what == WSB_SHM_BELL)
            on_bell(s, source->peer);
        else if (!other)
            other = source;
    }
    if (other)
        on_event(s, other);
    return other ? EVENTS : n;
}

static void ss_on_readable(struct wsb_server *base, enum wsb_channel c)
{
    struct shm_server *s = self(base);
    (void)c; /* there is one */
    s->has_events = true;
    for (int i = 0; i < LOOKS && s->has_events && !s->has_made; i++)
        s->has_events = look(s) == EVENTS;
}

/* --------------------------------------------------------------------- receiving */

/* Everything in it that anybody looks at is copied out of the ring before it is looked at. Only the payload of a large message to
 * clients stays where it is: it is copied once, on its way. */
static wsb_err read_record(struct shm_server *s, struct wsb_span record, bool is_shared, struct wsb_inbound *ret)
{
    const size_t fixed = WSB_RECORD_PREFIX + WSB_HEADER_SIZE;
    if (is_shared && record.len <= SCRATCH) {
        memcpy(s->scratch, record.ptr, record.len);
        record.ptr = s->scratch;
    } else if (is_shared) {
        struct wsb_header h;
        uint32_t lens[2];
        memcpy(s->scratch, record.ptr, fixed);
        memcpy(lens, s->scratch, sizeof lens);
        wsb_err err = wsb_header_parse(wsb_span(s->scratch + WSB_RECORD_PREFIX, WSB_HEADER_SIZE), &h);
        if (err)
            return err;
        if (h.type == WSB_SEND && lens[1] == 0 && !(h.flags & WSB_FLAG_META) &&
            wsb_align8(fixed + h.payload_len) == record.len) {
            ret->envelope = (struct wsb_envelope){.header = h, .payload = wsb_span(record.ptr + fixed, h.payload_len)};
            ret->is_shared = true;
            return WSB_OK;
        }
        wsb_buf_clear(&s->large);
        err = wsb_buf_append(&s->large, record.ptr, record.len);
        if (err)
            return err;
        record = wsb_buf_span(&s->large);
    }
    return wsb_record_alone(record, &ret->envelope);
}

static void release_ring(struct wsb_shm_peer *p)
{
    struct wsb_ring_rx *r = &p->receiver.ring;
    if (r->released != r->at && wsb_ring_release(r, r->at))
        wsb_shm_peer_wake(p);
}

static struct wsb_shm_peer *next_in_turn(struct shm_server *s)
{
    if (!s->turn)
        s->turn = s->awake;
    return s->turn;
}

static void pass_turn(struct shm_server *s)
{
    s->turn = s->turn ? s->turn->next_awake : NULL;
    s->turn_left = TURN_RECORDS;
}

/* True: *ret is filled, and *ret_err says with what. */
static bool receive_from(struct shm_server *s, struct wsb_shm_peer *p, struct wsb_inbound *ret, wsb_err *ret_err)
{
    struct wsb_span record;
    bool is_shared;
    bool is_enough = p->state == WSB_SHM_PEER_LEAVING && p->receiver.ring.at - p->left_at >= p->receiver.ring.size;
    wsb_err err = p->sender.is_broken ? WSB_ERR_PROTO
                  : is_enough         ? WSB_AGAIN /* a child of it goes on writing */
                                      : wsb_receiver_next(&p->receiver, &record, &is_shared);
    if (err == WSB_AGAIN && p->state == WSB_SHM_PEER_RUNNING) {
        release_ring(p);
        return false;
    }
    *ret = (struct wsb_inbound){.peer = wsb_span(p->name, sizeof p->name), .known = &p->direct.known, .message = p};
    if (!err) {
        err = read_record(s, record, is_shared, ret);
        ret->direct = &p->direct;
        p->records_in++;
    }
    if (!err) {
        *ret_err = WSB_OK;
        return true;
    }
    if (err != WSB_AGAIN && p->state == WSB_SHM_PEER_RUNNING)
        wsb_shm_put_out(s, p, p->sender.is_broken ? "its head is where it cannot be" : "a record that is none");
    *ret = (struct wsb_inbound){.peer = wsb_span(p->name, sizeof p->name), .known = &p->direct.known, .message = p};
    p->is_over = true;
    *ret_err = WSB_CLOSED;
    return true;
}

static wsb_err ss_recv(struct wsb_server *base, enum wsb_channel c, struct wsb_inbound *ret)
{
    struct shm_server *s = self(base);
    wsb_err err;
    if (c != WSB_CHANNEL_HANDLERS)
        return WSB_AGAIN;
    if (s->has_events)
        ss_on_readable(base, c);
    const struct wsb_shm_peer *idle = NULL;
    for (;;) {
        struct wsb_shm_peer *p = next_in_turn(s);
        if (!p || p == idle)
            return WSB_AGAIN;
        if (s->turn_left == 0) {
            pass_turn(s);
            continue;
        }
        if (receive_from(s, p, ret, &err)) {
            s->turn_left--;
            return err;
        }
        idle = idle ? idle : p;
        pass_turn(s);
    }
}

static void ss_release(struct wsb_inbound *in)
{
    struct wsb_shm_peer *p = in->message;
    struct wsb_ring_rx *r = &p->receiver.ring;
    in->message = NULL;
    if (p->is_over) { /* whoever was told has let go of it */
        wsb_shm_remove(p->server, p);
    } else if (r->at - r->released >= r->size / RING_RELEASE) {
        release_ring(p);
    }
}

/* All that are awake and have nothing say from where on they are to wake us, with one fence for each; then they are not
 * looked at any more. */
static bool ss_has_input(struct wsb_server *base, enum wsb_channel c)
{
    struct shm_server *s = self(base);
    struct wsb_shm_peer *next;
    if (c != WSB_CHANNEL_HANDLERS)
        return false;
    s->has_made = false; /* the end of the round */
    if (s->has_events)
        return true;
    for (struct wsb_shm_peer *p = s->awake; p; p = next) {
        next = p->next_awake;
        if (p->state == WSB_SHM_PEER_LEAVING || p->sender.is_broken)
            return true;
        release_ring(p);
        p->arms++;
        p->window_arms++;
        if (!wsb_ring_may_sleep(&p->receiver.ring))
            return true;
        wsb_shm_fall_asleep(s, p);
    }
    return false;
}

/* ----------------------------------------------------------------------- sending */

static struct wsb_shm_peer *peer_of(struct wsb_direct *d)
{
    return CONTAINER(d, struct wsb_shm_peer, direct);
}

static struct wsb_shm_peer *find(const struct shm_server *s, struct wsb_span name)
{
    for (struct wsb_shm_peer *p = s->peers; p; p = p->next) {
        if (name.len == sizeof p->name && memcmp(p->name, name.ptr, name.len) == 0)
            return p->state == WSB_SHM_PEER_RUNNING ? p : NULL;
    }
    return NULL;
}

static wsb_err ss_send(struct wsb_server *base, struct wsb_span name, const struct wsb_header *h,
                       struct wsb_block *payload, struct wsb_span meta)
{
    struct shm_server *s = self(base);
    struct wsb_shm_peer *p = find(s, name);
    if (!p) {
        wsb_block_free(payload);
        return WSB_CLOSED;
    }
    wsb_shm_note_dirty(s, p);
    return wsb_sender_send(&p->sender, h, payload, meta);
}

static bool ss_reserve(struct wsb_direct *to, const struct wsb_header *h, struct wsb_span meta, uint8_t **ret_payload)
{
    return wsb_sender_reserve(&peer_of(to)->sender, h, meta, ret_payload);
}

static void ss_commit(struct wsb_direct *to, struct wsb_loan *loan)
{
    struct wsb_shm_peer *p = peer_of(to);
    wsb_sender_commit(&p->sender, loan);
    wsb_shm_note_dirty(p->server, p);
}

static void ss_flush(struct wsb_server *base)
{
    struct shm_server *s = self(base);
    struct wsb_shm_peer *p;
    while ((p = s->dirty) != NULL) {
        s->dirty = p->next_dirty;
        p->is_dirty = false;
        wsb_sender_go_on(&p->sender);
        if (p->sender.is_broken)
            wsb_shm_wake_up(s, p); /* the next receive puts it out */
        else
            wsb_shm_peer_tell(p);
    }
}

static size_t ss_publish(struct wsb_server *base, const char *topic, const struct wsb_header *h,
                         struct wsb_block *payload, struct wsb_span meta)
{
    (void)base, (void)topic, (void)h, (void)meta;
    wsb_block_free(payload);
    return 0; /* events go over ZeroMQ */
}

/* -------------------------------------------------------------------------- asking */

static int ss_fd(const struct wsb_server *s, enum wsb_channel c)
{
    return c == WSB_CHANNEL_HANDLERS ? self(s)->poll : -1;
}

static void ss_watch(struct wsb_server *base, const struct wsb_inbound *in, uint32_t heartbeat_ms)
{
    struct wsb_shm_peer *p = in->message;
    (void)base;
    (void)heartbeat_ms; /* nothing is between us and the kernel */
    wsb_life_begin(&p->life, p->socket);
    p->is_watched = true;
}

static void ss_unwatch(struct wsb_server *base, struct wsb_span peer)
{
    struct wsb_shm_peer *p = find(self(base), peer);
    if (p)
        p->is_watched = false;
}

static bool ss_has_unread(const struct wsb_server *base, struct wsb_span peer)
{
    const struct wsb_shm_peer *p = find(self(base), peer);
    return p && wsb_ring_has_next(&p->receiver.ring);
}

static bool ss_is_stalled(struct wsb_server *base, struct wsb_span peer, uint64_t at_ms)
{
    struct wsb_shm_peer *p = find(self(base), peer);
    if (!p)
        return false;
    if (wsb_sender_is_waiting(&p->sender))
        wsb_shm_note_dirty(self(base), p); /* there was room, perhaps, and no memory to recall what is lent */
    return p->is_watched && wsb_life_is_over(&p->life, at_ms);
}

static void ss_stats(const struct wsb_server *base, struct wsb_server_stats *ret)
{
    const struct shm_server *s = self(base);
    *ret = s->stats;
    ret->links = s->links;
    for (const struct wsb_shm_peer *p = s->peers; p; p = p->next) {
        ret->wakes += p->wakes_in + p->wakes_out;
        ret->stalls += p->sender.stalls;
    }
}

static bool ss_is_behind(const struct wsb_server *base, struct wsb_span peer)
{
    const struct wsb_shm_peer *p = find(self(base), peer);
    return p && wsb_sender_is_waiting(&p->sender);
}

static bool ss_link_stats(struct wsb_server *base, struct wsb_span peer, struct wsb_link_stats *ret)
{
    const struct wsb_shm_peer *p = find(self(base), peer);
    if (!p)
        return false;
    const struct wsb_ring_tx *t = &p->sender.ring;
    const struct wsb_ring_rx *r = &p->receiver.ring;
    uint64_t written = atomic_load_explicit(&r->peers->tail, memory_order_relaxed); /* as it says */
    uint64_t lent = 0;
    for (const struct wsb_loan *l = p->sender.oldest; l; l = l->next)
        lent++;
    *ret = (struct wsb_link_stats){.name = "shm",
                                   .ring_down = t->size,
                                   .ring_up = r->size,
                                   .used_down = t->tail - t->floor,
                                   .used_up = written - r->at <= r->size ? written - r->at : 0,
                                   .lent = lent,
                                   .records_in = p->records_in,
                                   .records_out = p->sender.records,
                                   .wakes_in = p->wakes_in,
                                   .wakes_out = p->wakes_out,
                                   .stalls = p->sender.stalls};
    return true;
}

/* -------------------------------------------------------------------- begin, end */

static void ss_close(struct wsb_server *base)
{
    struct shm_server *s = self(base);
    if (!s)
        return;
    while (s->peers)
        wsb_shm_remove(s, s->peers);
    while (s->debts)
        wsb_shm_settle(s, s->debts);
    wsb_shm_free_kept(s);
    wsb_buf_deinit(&s->large);
    if (s->path)
        (void)unlink(s->path); /* while it is still ours */
    free(s->path);
    if (s->listener >= 0)
        close(s->listener);
    if (s->timer >= 0)
        close(s->timer);
    if (s->poll >= 0)
        close(s->poll);
    free(s);
}

static const struct wsb_server_ops shm_server_ops = {
    .close = ss_close,
    .fd = ss_fd,
    .on_readable = ss_on_readable,
    .recv = ss_recv,
    .release = ss_release,
    .has_input = ss_has_input,
    .send = ss_send,
    .reserve = ss_reserve,
    .commit = ss_commit,
    .flush = ss_flush,
    .publish = ss_publish,
    .watch = ss_watch,
    .unwatch = ss_unwatch,
    .has_unread = ss_has_unread,
    .is_stalled = ss_is_stalled,
    .stats = ss_stats,
    .link_stats = ss_link_stats,
    .is_behind = ss_is_behind,
};

static wsb_err address_in(const char *dir, struct sockaddr_un *ret, struct wsb_fault *fault)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    int n = snprintf(ret->sun_path, sizeof ret->sun_path, "%s/" WSB_SHM_FILE, dir);
    if (n < 0 || (size_t)n >= sizeof ret->sun_path)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "runtime directory %.100s: the path is too long for a socket",
                             dir);
    return WSB_OK;
}

wsb_err wsb_shm_server_remove(const char *dir, struct wsb_fault *fault)
{
    struct sockaddr_un sun;
    wsb_err err = address_in(dir, &sun, fault);
    if (!err && unlink(sun.sun_path) != 0 && errno != ENOENT)
        err = wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot remove %s: %s", sun.sun_path, strerror(errno));
    return err;
}

/* Whoever ran here before has left its file; that nobody runs now was found out when `handlers` was bound. */
static wsb_err listen_on(struct shm_server *s, const char *dir, unsigned mode, struct wsb_fault *fault)
{
    struct sockaddr_un sun;
    wsb_err err = address_in(dir, &sun, fault);
    if (err)
        return err;
    s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listener < 0)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no socket for shared memory: %s", strerror(errno));
    wsb_rights_refuse(s->listener);
    (void)unlink(sun.sun_path);
    mode_t before = umask(0777 & ~(mode_t)mode);
    int failed = bind(s->listener, (const struct sockaddr *)&sun, sizeof sun) || listen(s->listener, 64);
    int code = errno;
    umask(before);
    if (failed)
        return wsb_fault_set(fault, WSB_ERR_IO, code, "cannot listen on %s: %s", sun.sun_path, strerror(code));
    s->path = strdup(sun.sun_path);
    return s->path ? WSB_OK : wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
}

static wsb_err check(const struct wsb_shm_options *o, struct wsb_fault *fault)
{
    bool is_power = o->ring_size && (o->ring_size & (o->ring_size - 1)) == 0;
    if (!is_power || o->ring_size < WSB_RING_MIN || o->ring_size > WSB_RING_MAX || o->ring_max < o->ring_size)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "ring of %zu bytes: must be a power of two from 64 KiB to 64 MiB", o->ring_size);
    return WSB_OK;
}

wsb_err wsb_shm_server_open(const struct wsb_shm_options *o, struct wsb_server **ret, struct wsb_fault *fault)
{
    wsb_err err = check(o, fault);
    struct shm_server *s = err ? NULL : calloc(1, sizeof *s);
    if (!s)
        return err ? err : wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    s->base.ops = &shm_server_ops;
    s->o = *o;
    s->o.dir = NULL; /* it was for this call */
    s->turn_left = TURN_RECORDS;
    s->listener = -1;
    s->of_listener.what = WSB_SHM_LISTENER;
    s->of_timer.what = WSB_SHM_TIMER;
    wsb_buf_init(&s->large, o->ring_max);
    s->poll = epoll_create1(EPOLL_CLOEXEC);
    s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (s->poll < 0 || s->timer < 0 || getrandom(&s->last_link, sizeof s->last_link / 2, 0) < 0)
        err = wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot serve shared memory: %s", strerror(errno));
    if (!err)
        err = listen_on(s, o->dir, o->mode, fault);
    if (!err && (!wsb_shm_watch_fd(s, s->listener, EPOLLIN, &s->of_listener) ||
                 !wsb_shm_watch_fd(s, s->timer, EPOLLIN, &s->of_timer)))
        err = wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot watch for shared memory: %s", strerror(errno));
    if (err) {
        ss_close(&s->base);
        return err;
    }
    *ret = &s->base;
    return WSB_OK;
}
