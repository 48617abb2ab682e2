/*
 * The handler's end over shared memory. Messages are handed out where they lie in the gate's ring, which only the gate can
 * write; what was sent lies in ours, which only we can. A gate that is gone, or not there yet, is looked for again by
 * itself. Our place in the gate's ring moves on when everything before it has been given back, in whatever order that is.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "link/link.h"
#include "link/shm_receiver.h"
#include "link/shm_sender.h"
#include "link/shm_wire.h"
#include "ring/region.h"

enum {
    LOOK_MS = 100, /* a program that never sleeps still hears of the gate's end */
    RETRY_MS = 50, /* to find a gate that is not there */
    RETRY_REFUSED_MS = 2000,
    MISSING_MAX = 8,   /* looks, RETRY_MS apart */
    ANSWER_MS = 4000,  /* for a gate to say WELCOME */
    CHUNK = 64,        /* messages that are allocated together */
    RELEASE_PART = 16, /* of the ring, that is given back at once */
    PUSH_MS = 100,     /* for a message that is larger than the room: then it waits for the next call */
    PUSH_IDLE_MS = 10, /* without any room */
    PATIENCE_MIN = 4,  /* looks at an empty ring */
    PATIENCE_MAX = 64, /* some microseconds */
    PATIENCE_STEP = 4,
    OLD_MAX = 4 /* attachments that are over and whose messages are still held */
};

struct attachment;

struct message {
    struct wsb_received base; /* base.next is whoever holds it */
    struct attachment *of;
    struct message *link; /* the next in the order of the ring, or of the free ones */
    uint64_t begin, end;  /* its place in the ring */
    uint8_t *copy;        /* owned: it came in parts; NULL: it lies in the ring */
    bool is_done;
};

struct chunk {
    struct chunk *next;
    struct message messages[CHUNK];
};

/* One time with one gate. What was read of it may be held longer than that. */
struct attachment {
    struct shm_client *client; /* borrowed */
    struct wsb_region down, up;
    struct wsb_sender sender;
    struct wsb_receiver receiver;
    int bell, gate;                  /* owned */
    struct message *oldest, *newest; /* of those that were handed out, in the order of the ring */
    struct message *free;
    struct chunk *chunks; /* owned */
    uint32_t out;         /* messages that somebody holds */
    bool is_over;
};

/*
 *   DOWN ──connected, HELLO──▶ ASKED ──WELCOME, READY──▶ UP
 *     ▲                          │ REFUSED, or nothing     │
 *     └──────────────────────────┴─────── hung up ─────────┘
 */
enum state { DOWN, ASKED, UP };

struct shm_client {
    struct wsb_client base;
    struct sockaddr_un address;
    size_t ring_size, max_message;
    unsigned linger_ms;
    enum state state;
    enum wsb_link_change change; /* not told yet */
    int poll, timer;             /* owned; poll has all the others in it */
    int socket;                  /* owned; -1 while there is none */
    uint64_t looked_ms;          /* whether the gate is still there */
    uint64_t at_ms;              /* when to try again, or to give up waiting */
    bool is_armed;               /* the bell may have been rung */
    struct attachment *now;      /* with state UP */
    uint32_t patience;           /* how often an empty ring is looked at again before anything else */
    uint32_t missing;            /* how often there was a gate, but no shared memory */
    uint32_t old;                /* attachments that are over, and still read */
    enum wsb_link_trouble trouble;
    char why[WSB_SHM_REASON_MAX];
};

static struct shm_client *self(const struct wsb_client *c)
{
    return (struct shm_client *)c;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* To a few milliseconds, and for very little. */
static uint64_t coarse_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* -------------------------------------------------------------------- attachment */

static void attachment_free(struct attachment *a)
{
    if (!a)
        return;
    while (a->chunks) {
        struct chunk *next = a->chunks->next;
        free(a->chunks);
        a->chunks = next;
    }
    if (a->bell >= 0)
        close(a->bell);
    if (a->gate >= 0)
        close(a->gate);
    wsb_sender_deinit(&a->sender);
    wsb_receiver_deinit(&a->receiver);
    wsb_region_deinit(&a->down);
    wsb_region_deinit(&a->up);
    free(a);
}

/* Its gate is gone. What was handed out stays where it is until it is given back. */
static void attachment_end(struct attachment *a)
{
    a->is_over = true;
    if (a->out == 0)
        attachment_free(a);
    else
        a->client->old++;
}

static struct attachment *attachment_new(struct shm_client *z, const struct wsb_shm_welcome *w, const int fds[])
{
    struct wsb_fault fault;
    struct attachment *a = calloc(1, sizeof *a);
    if (!a) {
        for (int i = 0; i < WSB_SHM_FDS; i++)
            close(fds[i]);
        return NULL;
    }
    a->client = z;
    a->bell = fds[WSB_SHM_FD_BELL];
    a->gate = fds[WSB_SHM_FD_GATE];
    wsb_err err = w->ring_down <= WSB_RING_MAX && w->ring_up <= WSB_RING_MAX ? WSB_OK : WSB_ERR_PROTO;
    if (!err)
        err = wsb_region_map(fds[WSB_SHM_FD_DOWN], (size_t)w->ring_down, /*writable=*/false, &a->down, &fault);
    if (!err)
        err = wsb_region_map(fds[WSB_SHM_FD_UP], (size_t)w->ring_up, /*writable=*/true, &a->up, &fault);
    close(fds[WSB_SHM_FD_DOWN]);
    close(fds[WSB_SHM_FD_UP]);
    if (err) {
        attachment_free(a);
        return NULL;
    }
    struct wsb_ring_words *ours = wsb_region_words(&a->up);
    const struct wsb_ring_words *theirs = wsb_region_words(&a->down);
    wsb_sender_init(&a->sender, wsb_region_data(&a->up), w->ring_up, w->key_up, ours, theirs);
    wsb_receiver_init(&a->receiver, wsb_region_data(&a->down), w->ring_down, w->key_down, ours, theirs, z->max_message);
    return a;
}

/* ---------------------------------------------------------------- up and down again */

static void set_timer(struct shm_client *z, uint64_t at_ms)
{
    const struct itimerspec t = {
        .it_value = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000}};
    (void)timerfd_settime(z->timer, TFD_TIMER_ABSTIME, &t, NULL); /* cannot fail: it is a timer and a time */
    z->at_ms = at_ms;
}

static bool watch_fd(struct shm_client *z, int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(z->poll, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* Also for a child that has inherited the socket. */
static void hang_up(struct shm_client *z)
{
    if (z->socket < 0)
        return;
    (void)shutdown(z->socket, SHUT_RDWR);
    close(z->socket);
    z->socket = -1;
}

static void disconnect(struct shm_client *z, uint64_t again_ms)
{
    if (z->state == UP) {
        (void)epoll_ctl(z->poll, EPOLL_CTL_DEL, z->now->bell, NULL);
        attachment_end(z->now);
        z->now = NULL;
        z->change = WSB_LINK_DOWN;
    }
    hang_up(z);
    z->state = DOWN;
    set_timer(z, now_ms() + again_ms);
}

static void be_refused(struct shm_client *z, const char *why)
{
    (void)snprintf(z->why, sizeof z->why, "%s", why);
    disconnect(z, RETRY_REFUSED_MS);
    z->change = WSB_LINK_REFUSED;
    z->trouble = WSB_LINK_UNWELCOME;
}

static void be_denied(struct shm_client *z)
{
    be_refused(z, "the socket of the gate may not be opened");
    z->trouble = WSB_LINK_DENIED;
}

/* Somebody listens there: a gate that was killed leaves its sockets behind, and nobody does. */
static bool is_listened_to(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is = fd >= 0 && (connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 || errno == EAGAIN);
    if (fd >= 0)
        close(fd);
    return is;
}

/* A gate makes its ZeroMQ endpoints first, and the one for shared memory a moment later, if at all. */
static bool is_gate_without(const struct shm_client *z)
{
    struct sockaddr_un other = z->address;
    char *slash = strrchr(other.sun_path, '/');
    size_t room = slash ? sizeof other.sun_path - (size_t)(slash - other.sun_path) : 0;
    return slash && (size_t)snprintf(slash, room, "/handlers") < room && is_listened_to(&other);
}

static void not_connected(struct shm_client *z, int code)
{
    bool is_missing = code == ENOENT || code == ECONNREFUSED; /* the file may be an earlier gate's */
    z->missing = is_missing && is_gate_without(z) ? z->missing + 1 : 0;
    if (!z->missing) /* otherwise a gate is there, and may be about to offer it */
        z->trouble = code == ENOENT || code == ENOTDIR ? WSB_LINK_ABSENT : WSB_LINK_DEAF;
    if (code == EACCES)
        be_denied(z);
    else if (z->missing > MISSING_MAX)
        be_refused(z, "the gate does not offer shared memory");
    else
        disconnect(z, RETRY_MS);
}

static void ask(struct shm_client *z)
{
    const struct wsb_shm_hello hello = {.magic = WSB_SHM_MAGIC,
                                        .kind = WSB_SHM_HELLO,
                                        .major_min = WSB_SHM_MAJOR,
                                        .major_max = WSB_SHM_MAJOR,
                                        .minor = WSB_SHM_MINOR,
                                        .features = WSB_SHM_PARTS,
                                        .ring_down = z->ring_size,
                                        .ring_up = z->ring_size};
    if (z->old >= OLD_MAX) { /* what was read of earlier gates holds their memory: first that has to be given back */
        set_timer(z, now_ms() + RETRY_MS);
        return;
    }
    z->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (z->socket < 0 || connect(z->socket, (const struct sockaddr *)&z->address, sizeof z->address) != 0) {
        not_connected(z, z->socket < 0 ? EMFILE : errno);
        return;
    }
    z->missing = 0;
    if (send(z->socket, &hello, sizeof hello, MSG_NOSIGNAL) != (ssize_t)sizeof hello || !watch_fd(z, z->socket)) {
        disconnect(z, RETRY_MS);
        return;
    }
    z->state = ASKED;
    set_timer(z, now_ms() + ANSWER_MS);
}

static void on_welcome(struct shm_client *z, const struct wsb_shm_welcome *w, const int fds[])
{
    const struct wsb_shm_ready ready = {.magic = WSB_SHM_MAGIC, .kind = WSB_SHM_READY};
    struct attachment *a = attachment_new(z, w, fds);
    if (!a) {
        be_refused(z, "the shared memory is not what it should be, or there is none left");
        return;
    }
    if (!watch_fd(z, a->bell) || send(z->socket, &ready, sizeof ready, MSG_NOSIGNAL) != (ssize_t)sizeof ready) {
        attachment_free(a);
        disconnect(z, RETRY_MS);
        return;
    }
    const struct itimerspec never = {0};
    (void)timerfd_settime(z->timer, 0, &never, NULL);
    z->at_ms = UINT64_MAX;
    z->now = a;
    z->state = UP;
    z->trouble = WSB_LINK_FINE;
    z->change = WSB_LINK_UP;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

static size_t take_fds(struct msghdr *m, int *ret)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return 0;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(ret, CMSG_DATA(c), count * sizeof(int));
    return count;
}

/* While we wait for the WELCOME: it. Afterwards: nothing, or the end. */
static void hear(struct shm_client *z)
{
    struct wsb_shm_welcome w = {0};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * WSB_SHM_FDS)];
    } control;
    int fds[WSB_SHM_FDS];
    struct iovec iov = {&w, sizeof w};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    ssize_t n = recvmsg(z->socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    size_t count = n >= 0 ? take_fds(&m, fds) : 0;
    w.reason[sizeof w.reason - 1] = 0;
    if (n == (ssize_t)sizeof w && w.magic == WSB_SHM_MAGIC && z->state == ASKED) {
        if (w.kind == WSB_SHM_WELCOME && w.major == WSB_SHM_MAJOR && count == WSB_SHM_FDS) {
            on_welcome(z, &w, fds);
            return;
        }
        if (w.kind == WSB_SHM_REFUSED) {
            close_all(fds, count);
            be_refused(z, w.reason);
            return;
        }
    }
    close_all(fds, count);
    disconnect(z, RETRY_MS);
}

/* What has happened since somebody last looked. Costs a system call; not for the path of a message. */
static void look(struct shm_client *z)
{
    uint64_t ticks;
    if (z->socket >= 0)
        hear(z);
    if (z->state == UP)
        return;
    if (now_ms() < z->at_ms)
        return;
    (void)!read(z->timer, &ticks, sizeof ticks);
    if (z->state == ASKED)
        disconnect(z, RETRY_MS);
    else
        ask(z);
}

/* ------------------------------------------------------------------------ receiving */

static bool more_messages(struct attachment *a)
{
    struct chunk *c = calloc(1, sizeof *c);
    if (!c)
        return false;
    c->next = a->chunks;
    a->chunks = c;
    for (size_t i = 0; i < CHUNK; i++) {
        c->messages[i].of = a;
        c->messages[i].link = a->free;
        a->free = &c->messages[i];
    }
    return true;
}

/* The gate's ring may go on where the oldest message is that somebody still has. */
static void give_back(struct attachment *a)
{
    struct wsb_ring_rx *r = &a->receiver.ring;
    uint64_t position = r->at;
    while (a->oldest && a->oldest->is_done) {
        struct message *m = a->oldest;
        a->oldest = m->link;
        m->link = a->free;
        a->free = m;
    }
    if (a->oldest)
        position = a->oldest->begin;
    else
        a->newest = NULL;
    if (position - r->released >= r->size / RELEASE_PART && wsb_ring_release(r, position))
        (void)!write(a->gate, &(uint64_t){1}, sizeof(uint64_t));
}

/* All that can be, before a sleep. */
static void give_all_back(struct attachment *a)
{
    struct wsb_ring_rx *r = &a->receiver.ring;
    uint64_t position = a->oldest ? a->oldest->begin : r->at;
    if (position != r->released && wsb_ring_release(r, position))
        (void)!write(a->gate, &(uint64_t){1}, sizeof(uint64_t));
}

static void end_if_unused(struct attachment *a)
{
    if (!a->is_over || a->out)
        return;
    a->client->old--;
    attachment_free(a);
}

static void sc_release(struct wsb_received *base)
{
    struct message *m = (struct message *)base;
    if (!m)
        return;
    struct attachment *a = m->of;
    free(m->copy);
    m->copy = NULL;
    m->is_done = true;
    a->out--;
    if (!a->is_over)
        give_back(a);
    end_if_unused(a);
}

/* It came in parts, and is ours: the buffer goes with the message. */
static void take_copy(struct attachment *a, struct message *m)
{
    struct wsb_buf *b = &a->receiver.parts;
    m->copy = b->data;
    *b = (struct wsb_buf){.max = b->max};
}

static wsb_err sc_recv(struct wsb_client *c, struct wsb_received **ret)
{
    struct shm_client *z = self(c);
    struct attachment *a = z->now;
    struct wsb_span record;
    bool is_shared;
    bool was_armed = z->is_armed;
    z->is_armed = false;
    if (was_armed && a)
        (void)!read(a->bell, (char[64]){0}, 64);
    if (!a || z->change)
        return WSB_AGAIN; /* what has changed is to be told first */
    if (!a->free && !more_messages(a))
        return WSB_ERR_NOMEM;
    uint64_t begin = a->receiver.ring.at;
    wsb_err err = wsb_receiver_next(&a->receiver, &record, &is_shared);
    if (err == WSB_AGAIN || err == WSB_ERR_NOMEM) {
        give_back(a); /* parts of a message that is not whole yet */
        if (was_armed && err == WSB_AGAIN)
            look(z); /* woken for nothing: is the gate still there? */
        return err;
    }
    struct message *m = a->free;
    if (!err)
        err = wsb_record_alone(record, &m->base.envelope);
    if (err) { /* a gate does not do that */
        disconnect(z, RETRY_MS);
        return WSB_ERR_PROTO;
    }
    a->free = m->link;
    if (!is_shared)
        take_copy(a, m);
    m->link = NULL;
    m->is_done = false;
    m->begin = begin;
    m->end = a->receiver.ring.at;
    m->base.next = NULL;
    m->base.size = is_shared ? (size_t)(m->end - begin) : sizeof *m + m->base.envelope.payload.len;
    if (a->newest)
        a->newest->link = m;
    else
        a->oldest = m;
    a->newest = m;
    a->out++;
    *ret = &m->base;
    return WSB_OK;
}

/* ------------------------------------------------------------------------- sending */

static void tell(struct attachment *a)
{
    if (wsb_ring_tell(&a->sender.ring))
        (void)!write(a->gate, &(uint64_t){1}, sizeof(uint64_t));
}

/* What is larger than the room in the ring goes on as the gate makes more. That is soon, as a rule: wait a moment, since the program may not call
 * again for a long time. As long as it gets on. */
static void push(struct attachment *a)
{
    tell(a);
    if (!wsb_sender_is_waiting(&a->sender))
        return;
    uint64_t end_ms = now_ms() + PUSH_MS;
    uint64_t idle_ms = now_ms() + PUSH_IDLE_MS;
    while (!a->sender.is_broken) {
        uint64_t before = a->sender.ring.tail;
        wsb_sender_go_on(&a->sender);
        tell(a);
        uint64_t now = now_ms();
        if (a->sender.ring.tail != before)
            idle_ms = now + PUSH_IDLE_MS;
        if (!wsb_sender_is_waiting(&a->sender) || now >= idle_ms || now >= end_ms)
            return;
        struct pollfd p = {.fd = a->bell, .events = POLLIN};
        (void)poll(&p, 1, 1);
        (void)!read(a->bell, (char[64]){0}, 64);
    }
}

static bool sc_has_input(struct wsb_client *c)
{
    struct shm_client *z = self(c);
    struct attachment *a = z->now;
    z->is_armed = true;
    if (z->change)
        return true;
    if (!a)
        return now_ms() >= z->at_ms;
    if (wsb_sender_is_waiting(&a->sender))
        wsb_sender_go_on(&a->sender);
    tell(a);
    give_all_back(a);
    return !wsb_ring_may_sleep(&a->receiver.ring);
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* As long as looking again pays, a bit longer each time; when it does not, less and less. */
static bool sc_spin(struct wsb_client *c)
{
    struct shm_client *z = self(c);
    const struct attachment *a = z->now;
    if (!a)
        return false;
    for (uint32_t i = 0; i < z->patience; i++) {
        if (wsb_ring_has_next(&a->receiver.ring)) {
            z->patience = z->patience < PATIENCE_MAX ? z->patience + PATIENCE_STEP : PATIENCE_MAX;
            return true;
        }
        relax();
    }
    z->patience = z->patience > PATIENCE_MIN * 2 ? z->patience / 2 : PATIENCE_MIN;
    return false;
}

/* The ring is looked at once more after the gate could see how we want to be woken. Whatever others do with the link meanwhile,
 * the memory stays until the end of the nap. */
static bool sc_nap_begin(struct wsb_client *c, struct wsb_nap *ret)
{
    struct shm_client *z = self(c);
    struct attachment *a = z->now;
    if (!a || sc_has_input(c))
        return false;
    _Atomic uint32_t *state = &wsb_region_words(&a->up)->state;
    *ret = (struct wsb_nap){.word = &wsb_region_words(&a->down)->bell, .of = a};
    ret->seen = atomic_load_explicit(ret->word, memory_order_acquire);
    atomic_store_explicit(state, WSB_SHM_BY_FUTEX, memory_order_release);
    if (!wsb_ring_may_sleep(&a->receiver.ring)) {
        atomic_store_explicit(state, WSB_SHM_BY_BELL, memory_order_release);
        return false;
    }
    z->is_armed = false;
    a->out++;
    return true;
}

static void sc_nap_end(struct wsb_nap *n)
{
    struct attachment *a = n->of;
    atomic_store_explicit(&wsb_region_words(&a->up)->state, WSB_SHM_BY_BELL, memory_order_release);
    a->out--;
    end_if_unused(a);
}

static enum wsb_link_change sc_change(struct wsb_client *c)
{
    struct shm_client *z = self(c);
    uint64_t now = coarse_ms();
    if (!z->change && (z->state != UP || now - z->looked_ms >= LOOK_MS)) {
        z->looked_ms = now;
        look(z);
    }
    enum wsb_link_change change = z->change;
    z->change = WSB_LINK_SAME;
    return change;
}

static bool sc_put(struct wsb_client *c, const struct wsb_header *h, struct wsb_span payload, struct wsb_span meta)
{
    struct attachment *a = self(c)->now;
    struct wsb_header full = *h;
    uint8_t *at;
    full.payload_len = (uint32_t)payload.len;
    full.flags = (uint8_t)(meta.len ? full.flags | WSB_FLAG_META : full.flags);
    if (!a || !wsb_sender_reserve(&a->sender, &full, meta, &at))
        return false;
    if (payload.len)
        memcpy(at, payload.ptr, payload.len);
    wsb_sender_commit(&a->sender, NULL);
    return true;
}

static wsb_err sc_send(struct wsb_client *c, const struct wsb_header *h, struct wsb_block *payload,
                       struct wsb_span meta)
{
    struct attachment *a = self(c)->now;
    if (!a) {
        wsb_block_free(payload);
        return WSB_AGAIN;
    }
    wsb_err err = wsb_sender_send(&a->sender, h, payload, meta);
    push(a);
    return err;
}

static void sc_flush(struct wsb_client *c)
{
    struct attachment *a = self(c)->now;
    if (!a)
        return;
    if (wsb_sender_is_waiting(&a->sender))
        wsb_sender_go_on(&a->sender);
    tell(a);
}

static size_t sc_fds(const struct wsb_client *c, int ret[WSB_CLIENT_FDS])
{
    ret[0] = self(c)->poll;
    return 1;
}

static size_t sc_room(const struct wsb_client *c)
{
    const struct attachment *a = self(c)->now;
    return a ? (size_t)a->receiver.ring.size : SIZE_MAX;
}

static enum wsb_link_trouble sc_trouble(const struct wsb_client *c)
{
    return self(c)->trouble;
}

static const char *sc_why(const struct wsb_client *c)
{
    return self(c)->why;
}

/* ---------------------------------------------------------------------- begin, end */

/* What is in the ring is the gate's to read: it reads it to the end after we have hung up. What waits in front of it gets a
 * while to get in. */
static void sc_close(struct wsb_client *c)
{
    struct shm_client *z = self(c);
    if (!z)
        return;
    uint64_t until_ms = now_ms() + z->linger_ms;
    while (z->now && wsb_sender_is_waiting(&z->now->sender) && !z->now->sender.is_broken && now_ms() < until_ms) {
        struct epoll_event e;
        sc_flush(c);
        z->is_armed = true;
        (void)epoll_wait(z->poll, &e, 1, 10);
        char rung[64];
        (void)!read(z->now->bell, rung, sizeof rung);
        if (recv(z->socket, rung, sizeof rung, MSG_DONTWAIT) == 0)
            break;
    }
    sc_flush(c);
    if (z->now) {
        z->now->out = 0; /* whoever closes has given everything back */
        attachment_end(z->now);
    }
    hang_up(z);
    if (z->timer >= 0)
        close(z->timer);
    if (z->poll >= 0)
        close(z->poll);
    free(z);
}

static const struct wsb_client_ops shm_client_ops = {
    .close = sc_close,
    .fds = sc_fds,
    .recv = sc_recv,
    .release = sc_release,
    .has_input = sc_has_input,
    .change = sc_change,
    .send = sc_send,
    .put = sc_put,
    .flush = sc_flush,
    .spin = sc_spin,
    .nap_begin = sc_nap_begin,
    .nap_end = sc_nap_end,
    .room = sc_room,
    .why = sc_why,
    .trouble = sc_trouble,
    .name = "shm",
};

wsb_err wsb_shm_client_open(const struct wsb_client_options *o, struct wsb_client **ret, struct wsb_fault *fault)
{
    struct shm_client *z = calloc(1, sizeof *z);
    if (!z)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    z->base.ops = &shm_client_ops;
    z->socket = -1;
    z->linger_ms = o->linger_ms;
    z->max_message = o->max_message;
    z->ring_size = o->ring_size;
    z->address.sun_family = AF_UNIX;
    z->poll = epoll_create1(EPOLL_CLOEXEC);
    z->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    wsb_err err = WSB_OK;
    if (strlen(o->endpoint) >= sizeof z->address.sun_path)
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.100s…: the path is too long for a socket", o->endpoint);
    else if (z->poll < 0 || z->timer < 0 || !watch_fd(z, z->timer))
        err = wsb_fault_set(fault, WSB_ERR_IO, errno, "no descriptors for shared memory: %s", strerror(errno));
    if (err) {
        sc_close(&z->base);
        return err;
    }
    memcpy(z->address.sun_path, o->endpoint, strlen(o->endpoint));
    ask(z);
    *ret = &z->base;
    return WSB_OK;
}
