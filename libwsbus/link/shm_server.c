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
#include "base/size.h"
#include "link/peers.h"
#include "link/shm_peer.h"

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

enum {
    PENDING_MAX = 8,   /* that have not said READY */
    PENDING_MS = 2000, /* and so long at most */
    TICK_MS = 10,      /* while somebody is pending or masked */
    EVENTS = 64,       /* a call of epoll */
    LOOKS = 16,        /* calls of it in a round */
    ACCEPTS = 16,
    TURN_RECORDS = 256,    /* of one handler, while others wait */
    FLOOD_A_SECOND = 1000, /* wakes more than we had asked for */
    MASK_MS = 10,
    SCRATCH = 4096,  /* bytes of records that are copied out before they are looked at */
    RING_RELEASE = 8 /* one eighth of a ring */
};

struct shm_server {
    struct wsb_server base;
    int listener, poll, timer; /* owned */
    struct wsb_shm_source of_listener, of_timer;
    char *path; /* owned */
    struct wsb_shm_options o;
    struct wsb_shm_peer *peers; /* owned: all */
    struct wsb_shm_peer *awake; /* those whose rings are looked at */
    struct wsb_shm_peer *dirty; /* written to since the last flush */
    struct wsb_shm_peer *kept;  /* owned: gone, but something of theirs is still lent */
    struct wsb_shm_peer *turn;  /* whose turn it is; NULL: the first */
    uint32_t turn_left;
    uint32_t pending, links, masked;
    bool is_ticking;
    bool has_events; /* that have not been looked at */
    uint64_t last_link;
    struct wsb_peers watch;
    struct wsb_server_stats stats;
    uint8_t scratch[SCRATCH];
    struct wsb_buf large; /* a larger record that was copied out */
};

static struct shm_server *self(const struct wsb_server *s)
{
    return (struct shm_server *)s;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* -------------------------------------------------------------------- lists */

static void wake_up(struct shm_server *s, struct wsb_shm_peer *p)
{
    if (p->is_awake)
        return;
    p->is_awake = true;
    p->prev_awake = NULL;
    p->next_awake = s->awake;
    if (s->awake)
        s->awake->prev_awake = p;
    s->awake = p;
}

static void fall_asleep(struct shm_server *s, struct wsb_shm_peer *p)
{
    if (!p->is_awake)
        return;
    p->is_awake = false;
    if (s->turn == p)
        s->turn = p->next_awake;
    if (p->prev_awake)
        p->prev_awake->next_awake = p->next_awake;
    else
        s->awake = p->next_awake;
    if (p->next_awake)
        p->next_awake->prev_awake = p->prev_awake;
}

static void note_dirty(struct shm_server *s, struct wsb_shm_peer *p)
{
    if (p->is_dirty)
        return;
    p->is_dirty = true;
    p->next_dirty = s->dirty;
    s->dirty = p;
}

static void forget_dirty(struct shm_server *s, const struct wsb_shm_peer *p)
{
    for (struct wsb_shm_peer **at = &s->dirty; *at; at = &(*at)->next_dirty) {
        if (*at == p) {
            *at = p->next_dirty;
            return;
        }
    }
}

/* ------------------------------------------------------------- coming and going */

static bool watch_fd(struct shm_server *s, int fd, uint32_t events, struct wsb_shm_source *source)
{
    struct epoll_event e = {.events = events, .data.ptr = source};
    return epoll_ctl(s->poll, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* Before it is closed: the other end may hold it open, and would go on ringing at what is gone. */
static void unwatch_fd(struct shm_server *s, int fd)
{
    if (fd >= 0)
        (void)epoll_ctl(s->poll, EPOLL_CTL_DEL, fd, NULL);
}

static void tick(struct shm_server *s)
{
    bool wanted = s->pending || s->masked;
    if (wanted == s->is_ticking)
        return;
    const struct timespec every = {.tv_nsec = wanted ? TICK_MS * 1000000L : 0};
    const struct itimerspec t = {.it_interval = every, .it_value = every};
    (void)timerfd_settime(s->timer, 0, &t, NULL); /* cannot fail: it is a timer and a time */
    s->is_ticking = wanted;
}

static void remove_peer(struct shm_server *s, struct wsb_shm_peer *p)
{
    s->pending -= p->state < WSB_SHM_PEER_RUNNING;
    s->links -= p->state >= WSB_SHM_PEER_RUNNING;
    s->masked -= p->is_masked;
    unwatch_fd(s, p->socket);
    unwatch_fd(s, p->process);
    unwatch_fd(s, p->gate);
    fall_asleep(s, p);
    if (p->is_dirty)
        forget_dirty(s, p);
    if (p->prev)
        p->prev->next = p->next;
    else
        s->peers = p->next;
    if (p->next)
        p->next->prev = p->prev;
    if (wsb_shm_peer_end(p)) {
        s->stats.memory -= p->memory;
        wsb_shm_peer_free(p);
    } else {
        p->next = s->kept;
        s->kept = p;
    }
    tick(s);
}

/* Those that could not be freed for want of memory; now and then. */
static void free_kept(struct shm_server *s)
{
    struct wsb_shm_peer **at = &s->kept;
    while (*at) {
        struct wsb_shm_peer *p = *at;
        if (!wsb_sender_recall_all(&p->sender)) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        s->stats.memory -= p->memory;
        wsb_shm_peer_free(p);
    }
}

/* What it has written is still read; then it is told that it is gone. */
static void let_go(struct shm_server *s, struct wsb_shm_peer *p)
{
    if (p->state < WSB_SHM_PEER_RUNNING) {
        remove_peer(s, p);
        return;
    }
    if (p->state == WSB_SHM_PEER_LEAVING)
        return;
    p->state = WSB_SHM_PEER_LEAVING;
    unwatch_fd(s, p->socket); /* it would be readable for ever */
    unwatch_fd(s, p->process);
    wake_up(s, p);
}

/* It has done what it must not do: nothing of it is read any more. */
static void put_out(struct shm_server *s, struct wsb_shm_peer *p, const char *why)
{
    WSB_LOG(WSB_LOG_LINK, WSB_LOG_WARN, "shared memory: put out", WSB_KI("pid", p->pid), WSB_KS("why", why));
    s->stats.ejected++;
    (void)shutdown(p->socket, SHUT_RDWR);
    p->sender.is_broken = true;
    let_go(s, p);
}

static bool is_among(const uint32_t *ids, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

static bool may_come_in(const struct shm_server *s, const struct wsb_shm_peer *p)
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (s->o.uid_count == 0 && s->o.gid_count == 0)
        return true; /* the mode of the socket's file has decided */
    if (getsockopt(p->socket, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
        return false;
    return who.uid == geteuid() || who.uid == 0 || is_among(s->o.uids, s->o.uid_count, who.uid) ||
           is_among(s->o.gids, s->o.gid_count, who.gid);
}

static uint64_t ring_size_for(const struct shm_server *s, uint64_t wanted)
{
    uint64_t size = WSB_RING_MIN;
    if (wanted == 0)
        return s->o.ring_size;
    if (wanted > s->o.ring_max)
        wanted = s->o.ring_max;
    while (size < wanted)
        size *= 2;
    return size <= s->o.ring_max ? size : s->o.ring_max;
}

static void refuse(struct shm_server *s, struct wsb_shm_peer *p, const char *why)
{
    WSB_LOG(WSB_LOG_LINK, WSB_LOG_WARN, "shared memory: refused", WSB_KI("pid", p->pid), WSB_KS("why", why));
    s->stats.refused++;
    wsb_shm_peer_refuse(p, why);
    remove_peer(s, p);
}

static void on_hello(struct shm_server *s, struct wsb_shm_peer *p, const struct wsb_shm_hello *h)
{
    struct wsb_fault fault = {0};
    char why[WSB_SHM_REASON_MAX];
    struct wsb_shm_grant g = {.ring_down = ring_size_for(s, h->ring_down),
                              .ring_up = ring_size_for(s, h->ring_up),
                              .features = h->features & WSB_SHM_PARTS,
                              .link_id = ++s->last_link,
                              .max_message = s->o.max_message};
    p->memory = g.ring_down + g.ring_up + 2 * WSB_RING_CONTROL;
    free_kept(s);
    s->stats.memory += p->memory; /* also of one that is refused: until it is gone */
    if (h->major_min > WSB_SHM_MAJOR || h->major_max < WSB_SHM_MAJOR) {
        (void)snprintf(why, sizeof why, "this gate speaks version %d of the link, not %u to %u", WSB_SHM_MAJOR,
                       h->major_min, h->major_max);
        refuse(s, p, why);
    } else if (!(g.features & WSB_SHM_PARTS)) {
        refuse(s, p, "large messages go in parts, and it does not know that");
    } else if (!may_come_in(s, p)) {
        refuse(s, p, "its user and group are not among those that may attach");
    } else if (s->links >= s->o.links_max) {
        refuse(s, p, "as many handlers are attached as may be");
    } else if (s->stats.memory > s->o.memory_max) {
        (void)snprintf(why, sizeof why, "no room for %llu KiB: shm_memory is %zu KiB in all",
                       (unsigned long long)(p->memory >> 10), s->o.memory_max >> 10);
        refuse(s, p, why);
    } else if (wsb_shm_peer_welcome(p, &g, &fault) != WSB_OK) {
        refuse(s, p, fault.text);
    }
}

static void on_ready(struct shm_server *s, struct wsb_shm_peer *p)
{
    if (!watch_fd(s, p->gate, EPOLLIN | EPOLLET, &p->of_bell) ||
        (p->process >= 0 && !watch_fd(s, p->process, EPOLLIN, &p->of_process))) {
        remove_peer(s, p);
        return;
    }
    s->pending--;
    s->links++;
    s->stats.attached++;
    p->state = WSB_SHM_PEER_RUNNING;
    WSB_LOG(WSB_LOG_LINK, WSB_LOG_INFO, "shared memory: attached", WSB_KI("pid", p->pid),
            WSB_KU("ring_down", p->sender.ring.size), WSB_KU("ring_up", p->receiver.ring.size));
    wake_up(s, p);
    tick(s);
}

/* Descriptors that somebody sends along are discarded by the kernel: there is no room for them in this receive. */
static void on_socket(struct shm_server *s, struct wsb_shm_peer *p)
{
    union {
        uint64_t magic;
        struct wsb_shm_hello hello;
        struct wsb_shm_ready ready;
        uint8_t bytes[512];
    } m = {0};
    ssize_t n = recv(p->socket, &m, sizeof m, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (p->state == WSB_SHM_PEER_HELLO && n >= (ssize_t)sizeof m.hello && m.magic == WSB_SHM_MAGIC &&
        m.hello.kind == WSB_SHM_HELLO)
        on_hello(s, p, &m.hello);
    else if (p->state == WSB_SHM_PEER_READY && n >= (ssize_t)sizeof m.ready && m.magic == WSB_SHM_MAGIC &&
             m.ready.kind == WSB_SHM_READY)
        on_ready(s, p);
    else if (n <= 0)
        let_go(s, p);
    else if (p->state < WSB_SHM_PEER_RUNNING)
        refuse(s, p, "not a word of this protocol");
    else
        put_out(s, p, "it speaks on its socket");
}

static void on_listener(struct shm_server *s)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        struct wsb_shm_peer *p = wsb_shm_peer_new(fd, now_ms());
        if (!p)
            return;
        p->server = s;
        p->next = s->peers;
        if (s->peers)
            s->peers->prev = p;
        s->peers = p;
        s->pending++;
        if (s->pending > PENDING_MAX)
            refuse(s, p, "too many attach at once: try again");
        else if (!watch_fd(s, fd, EPOLLIN, &p->of_socket))
            remove_peer(s, p);
        tick(s);
    }
}

/* It woke us more often than we had asked for: not listened to for a moment, then looked at. */
static void check_flood(struct shm_server *s, struct wsb_shm_peer *p)
{
    if (p->window_wakes <= p->window_arms + FLOOD_A_SECOND)
        return;
    struct epoll_event e = {.data.ptr = &p->of_bell};
    if (epoll_ctl(s->poll, EPOLL_CTL_MOD, p->gate, &e) != 0)
        return;
    p->is_masked = true;
    s->masked++;
    tick(s);
}

static void on_bell(struct shm_server *s, struct wsb_shm_peer *p)
{
    p->wakes_in++;
    p->window_wakes++;
    wake_up(s, p);
    if (wsb_sender_is_waiting(&p->sender))
        note_dirty(s, p); /* there may be room: the flush tries */
    if (p->window_wakes > FLOOD_A_SECOND) {
        uint64_t now = now_ms();
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
    wake_up(s, p);
}

static void on_tick(struct shm_server *s)
{
    uint64_t now = now_ms();
    uint64_t ticks;
    struct wsb_shm_peer *next;
    (void)!read(s->timer, &ticks, sizeof ticks);
    for (struct wsb_shm_peer *p = s->peers; p; p = next) {
        next = p->next;
        if (p->is_masked)
            unmask(s, p);
        if (p->state < WSB_SHM_PEER_RUNNING && now - p->since_ms >= PENDING_MS)
            refuse(s, p, "it did not say READY in time");
    }
    tick(s);
}

static void on_event(struct shm_server *s, const struct wsb_shm_source *source)
{
    switch (source->what) {
    case WSB_SHM_LISTENER:
        on_listener(s);
        break;
    case WSB_SHM_TIMER:
        on_tick(s);
        break;
    case WSB_SHM_SOCKET:
        on_socket(s, source->peer);
        break;
    case WSB_SHM_PROCESS:
        let_go(s, source->peer);
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

static void ss_on_readable(struct wsb_server *base)
{
    struct shm_server *s = self(base);
    s->has_events = true;
    for (int i = 0; i < LOOKS && s->has_events; i++)
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
    wsb_err err = p->sender.is_broken ? WSB_ERR_PROTO : wsb_receiver_next(&p->receiver, &record, &is_shared);
    if (err == WSB_AGAIN && p->state == WSB_SHM_PEER_RUNNING) {
        release_ring(p);
        return false;
    }
    *ret = (struct wsb_inbound){.peer = wsb_span(p->name, sizeof p->name), .message = p};
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
        put_out(s, p, p->sender.is_broken ? "its head is where it cannot be" : "a record that is none");
    *ret = (struct wsb_inbound){.peer = wsb_span(p->name, sizeof p->name), .message = p};
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
        ss_on_readable(base);
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
        wsb_peers_unwatch(&p->server->watch, wsb_span(p->name, sizeof p->name));
        remove_peer(p->server, p);
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
        fall_asleep(s, p);
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
    note_dirty(s, p);
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
    note_dirty(p->server, p);
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
            wake_up(s, p); /* the next receive puts it out */
        else
            wsb_shm_peer_tell(p);
    }
}

static wsb_err ss_publish(struct wsb_server *base, const char *topic, const struct wsb_header *h,
                          struct wsb_block *payload, struct wsb_span meta)
{
    (void)base, (void)topic, (void)h, (void)meta;
    wsb_block_free(payload);
    return WSB_ERR_UNSUPPORTED; /* events go over ZeroMQ */
}

/* -------------------------------------------------------------------------- asking */

static int ss_fd(const struct wsb_server *s, enum wsb_channel c)
{
    return c == WSB_CHANNEL_HANDLERS ? self(s)->poll : -1;
}

static void ss_watch(struct wsb_server *base, const struct wsb_inbound *in, uint32_t heartbeat_ms)
{
    const struct wsb_shm_peer *p = in->message;
    (void)heartbeat_ms; /* nothing is between us and the kernel */
    (void)!wsb_peers_watch(&self(base)->watch, in->peer, p->socket, 0);
}

static void ss_unwatch(struct wsb_server *base, struct wsb_span peer)
{
    wsb_peers_unwatch(&self(base)->watch, peer);
}

static bool ss_is_stalled(struct wsb_server *base, struct wsb_span peer, uint64_t at_ms)
{
    struct wsb_shm_peer *p = find(self(base), peer);
    if (p && wsb_sender_is_waiting(&p->sender))
        note_dirty(self(base), p); /* there was room, perhaps, and no memory to recall what is lent */
    return wsb_peers_is_stalled(&self(base)->watch, peer, at_ms);
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
        remove_peer(s, s->peers);
    free_kept(s);
    wsb_peers_deinit(&s->watch);
    wsb_buf_deinit(&s->large);
    if (s->listener >= 0)
        close(s->listener);
    if (s->timer >= 0)
        close(s->timer);
    if (s->poll >= 0)
        close(s->poll);
    if (s->path)
        (void)unlink(s->path);
    free(s->path);
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
    .is_stalled = ss_is_stalled,
    .stats = ss_stats,
    .link_stats = ss_link_stats,
};

/* Whoever ran here before has left its file; that nobody runs now was found out when `handlers` was bound. */
static wsb_err listen_on(struct shm_server *s, const char *dir, unsigned mode, struct wsb_fault *fault)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int n = snprintf(sun.sun_path, sizeof sun.sun_path, "%s/" WSB_SHM_FILE, dir);
    if (n < 0 || (size_t)n >= sizeof sun.sun_path)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "runtime directory %.100s: the path is too long for a socket",
                             dir);
    s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listener < 0)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no socket for shared memory: %s", strerror(errno));
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
    if (!err && (!watch_fd(s, s->listener, EPOLLIN, &s->of_listener) || !watch_fd(s, s->timer, EPOLLIN, &s->of_timer)))
        err = wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot watch for shared memory: %s", strerror(errno));
    if (err) {
        ss_close(&s->base);
        return err;
    }
    *ret = &s->base;
    return WSB_OK;
}
