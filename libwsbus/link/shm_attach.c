/*
 * Who comes in on the socket `shm`, and who has to go. Nobody who has not said READY within a short time keeps anything, and there
 * are never many of them; what a link takes is charged before it is given, and given back when it is gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

#include "base/log.h"
#include "link/shm_server.h"

uint64_t wsb_shm_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* -------------------------------------------------------------------- lists */

void wsb_shm_wake_up(struct shm_server *s, struct wsb_shm_peer *p)
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

void wsb_shm_fall_asleep(struct shm_server *s, struct wsb_shm_peer *p)
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

void wsb_shm_note_dirty(struct shm_server *s, struct wsb_shm_peer *p)
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

bool wsb_shm_watch_fd(struct shm_server *s, int fd, uint32_t events, struct wsb_shm_source *source)
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

void wsb_shm_tick(struct shm_server *s)
{
    bool wanted = s->pending || s->masked || s->is_listener_masked;
    if (wanted == s->is_ticking)
        return;
    const struct timespec every = {.tv_nsec = wanted ? (long)TICK_MS * 1000000 : 0};
    const struct itimerspec t = {.it_interval = every, .it_value = every};
    (void)timerfd_settime(s->timer, 0, &t, NULL); /* cannot fail: it is a timer and a time */
    s->is_ticking = wanted;
}

/*
 * A program that lives may still map what it was given, whatever has become of the link: the ring that we wrote stays charged until its
 * process ends. The other one was emptied.
 */
static bool owe(struct shm_server *s, const struct wsb_shm_peer *p, int process)
{
    uint64_t bytes = p->sender.ring.size + WSB_RING_CONTROL;
    struct wsb_shm_debt *d = s->debts;
    while (d && d->pid != p->pid)
        d = d->next;
    if (d) { /* its pidfd keeps the number from being anybody else's */
        d->bytes += bytes;
        s->stats.memory -= p->memory - bytes;
        close(process);
        return true;
    }
    d = malloc(sizeof *d);
    if (!d) {
        close(process);
        return false;
    }
    *d = (struct wsb_shm_debt){
        .next = s->debts, .source = {.what = WSB_SHM_DEBT}, .process = process, .pid = p->pid, .bytes = bytes};
    d->source.debt = d;
    s->debts = d;
    s->stats.memory -= p->memory - bytes;
    if (!wsb_shm_watch_fd(s, process, EPOLLIN, &d->source))
        wsb_shm_settle(s, d);
    return true;
}

void wsb_shm_settle(struct shm_server *s, struct wsb_shm_debt *d)
{
    struct wsb_shm_debt **at = &s->debts;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    s->stats.memory -= d->bytes;
    unwatch_fd(s, d->process);
    close(d->process);
    free(d);
}

/* What a process owes of links before this one. */
static uint64_t debt_of(const struct shm_server *s, int32_t pid)
{
    uint64_t bytes = 0;
    for (const struct wsb_shm_debt *d = s->debts; d; d = d->next)
        bytes += d->pid == pid ? d->bytes : 0;
    return bytes;
}

void wsb_shm_remove(struct shm_server *s, struct wsb_shm_peer *p)
{
    s->pending -= p->state < WSB_SHM_PEER_RUNNING;
    s->links -= p->state >= WSB_SHM_PEER_RUNNING;
    s->masked -= p->is_masked;
    s->stats.wakes += p->wakes_in + p->wakes_out;
    s->stats.stalls += p->sender.stalls;
    unwatch_fd(s, p->socket);
    unwatch_fd(s, p->process);
    unwatch_fd(s, p->gate);
    wsb_shm_fall_asleep(s, p);
    if (p->is_dirty)
        forget_dirty(s, p);
    if (p->prev)
        p->prev->next = p->next;
    else
        s->peers = p->next;
    if (p->next)
        p->next->prev = p->prev;
    int process = wsb_shm_holds_on(p) ? p->process : -1;
    if (process >= 0)
        p->process = -1; /* it is the debt's now */
    if (wsb_shm_peer_end(p)) {
        if (process < 0 || !owe(s, p, process))
            s->stats.memory -= p->memory;
        wsb_shm_peer_free(p);
    } else {
        if (process >= 0)
            close(process);
        p->next = s->kept;
        s->kept = p;
    }
    wsb_shm_tick(s);
}

/* Those that could not be freed for want of memory; now and then. */
void wsb_shm_free_kept(struct shm_server *s)
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
void wsb_shm_let_go(struct shm_server *s, struct wsb_shm_peer *p)
{
    if (p->state < WSB_SHM_PEER_RUNNING) {
        wsb_shm_remove(s, p);
        return;
    }
    if (p->state == WSB_SHM_PEER_LEAVING)
        return;
    p->state = WSB_SHM_PEER_LEAVING;
    p->left_at = p->receiver.ring.at;
    unwatch_fd(s, p->socket); /* it would be readable for ever */
    unwatch_fd(s, p->process);
    wsb_shm_wake_up(s, p);
}

/* Whoever can open the socket can make us say this as often as it likes: once a second is enough. */
static void complain(struct shm_server *s, const struct wsb_shm_peer *p, const char *what, const char *why)
{
    uint64_t now = wsb_shm_now_ms();
    s->complaints++;
    if (s->complained_ms && now - s->complained_ms < 1000)
        return;
    s->complained_ms = now;
    WSB_LOG(WSB_LOG_LINK, WSB_LOG_WARN, what, WSB_KI("pid", p->pid), WSB_KS("why", why),
            WSB_KU("total", s->complaints));
}

/* It has done what it must not do: nothing of it is read any more. */
void wsb_shm_put_out(struct shm_server *s, struct wsb_shm_peer *p, const char *why)
{
    complain(s, p, "shared memory: put out", why);
    s->stats.ejected++;
    (void)shutdown(p->socket, SHUT_RDWR);
    p->sender.is_broken = true;
    wsb_shm_let_go(s, p);
}

static bool is_among(const uint32_t *ids, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (ids[i] == id)
            return true;
    }
    return false;
}

/* Of one of the groups besides its own. */
static bool is_member(const struct shm_server *s, int socket)
{
    gid_t groups[GROUPS_MAX];
    socklen_t len = sizeof groups;
    if (s->o.gid_count == 0 || getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
        return false;
    for (size_t i = 0; i < len / sizeof *groups; i++) {
        if (is_among(s->o.gids, s->o.gid_count, groups[i]))
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
           is_among(s->o.gids, s->o.gid_count, who.gid) || is_member(s, p->socket);
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

void wsb_shm_refuse(struct shm_server *s, struct wsb_shm_peer *p, const char *why)
{
    complain(s, p, "shared memory: refused", why);
    s->stats.refused++;
    wsb_shm_peer_refuse(p, why);
    wsb_shm_remove(s, p);
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
    p->memory = g.ring_down + g.ring_up + (uint64_t)2 * WSB_RING_CONTROL;
    s->has_made = true;
    wsb_shm_free_kept(s);
    s->stats.memory += p->memory; /* also of one that is refused: until it is gone */
    if (h->major_min > WSB_SHM_MAJOR || h->major_max < WSB_SHM_MAJOR) {
        (void)snprintf(why, sizeof why, "this gate speaks version %d of the link, not %u to %u", WSB_SHM_MAJOR,
                       h->major_min, h->major_max);
        wsb_shm_refuse(s, p, why);
    } else if (!(g.features & WSB_SHM_PARTS)) {
        wsb_shm_refuse(s, p, "large messages go in parts, and it does not know that");
    } else if (!may_come_in(s, p)) {
        wsb_shm_refuse(s, p, "its user and group are not among those that may attach");
    } else if (s->links + s->pending > s->o.links_max) {
        wsb_shm_refuse(s, p, "as many handlers are attached as may be");
    } else if (debt_of(s, p->pid) > s->o.memory_max / DEBT_SHARE) {
        wsb_shm_refuse(s, p, "it has attached and left too often: what it still could map stays charged until it ends");
    } else if (s->stats.memory > s->o.memory_max) {
        (void)snprintf(why, sizeof why, "no room for %llu KiB: shm_memory is %zu KiB in all",
                       (unsigned long long)(p->memory >> 10), s->o.memory_max >> 10);
        wsb_shm_refuse(s, p, why);
    } else if (wsb_shm_peer_welcome(p, &g, &fault) != WSB_OK) {
        wsb_shm_refuse(s, p, fault.text);
    }
}

static void on_ready(struct shm_server *s, struct wsb_shm_peer *p)
{
    if (!wsb_shm_watch_fd(s, p->gate, EPOLLIN | EPOLLET, &p->of_bell) ||
        (p->process >= 0 && !wsb_shm_watch_fd(s, p->process, EPOLLIN, &p->of_process))) {
        wsb_shm_remove(s, p);
        return;
    }
    s->pending--;
    s->links++;
    s->stats.attached++;
    p->state = WSB_SHM_PEER_RUNNING;
    WSB_LOG(WSB_LOG_LINK, WSB_LOG_DEBUG, "shared memory: attached", WSB_KI("pid", p->pid),
            WSB_KU("ring_down", p->sender.ring.size), WSB_KU("ring_up", p->receiver.ring.size));
    wsb_shm_wake_up(s, p);
    wsb_shm_tick(s);
}

/* Descriptors that somebody sends along are discarded by the kernel: there is no room for them in this receive. */
void wsb_shm_on_socket(struct shm_server *s, struct wsb_shm_peer *p)
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
        wsb_shm_let_go(s, p);
    else if (p->state < WSB_SHM_PEER_RUNNING)
        wsb_shm_refuse(s, p, "not a word of this protocol");
    else
        wsb_shm_put_out(s, p, "it speaks on its socket");
}

/* Those who come while enough are pending, or while we have no descriptor for them, wait in the kernel's queue for the next tick. */
static void mask_listener(struct shm_server *s)
{
    struct epoll_event e = {.data.ptr = &s->of_listener};
    if (!s->is_listener_masked && epoll_ctl(s->poll, EPOLL_CTL_MOD, s->listener, &e) == 0)
        s->is_listener_masked = true;
    wsb_shm_tick(s);
}

void wsb_shm_unmask_listener(struct shm_server *s)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &s->of_listener};
    if (s->is_listener_masked && epoll_ctl(s->poll, EPOLL_CTL_MOD, s->listener, &e) == 0)
        s->is_listener_masked = false;
}

void wsb_shm_on_listener(struct shm_server *s)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                mask_listener(s);
            return;
        }
        struct wsb_shm_peer *p = wsb_shm_peer_new(fd, wsb_shm_now_ms());
        if (!p)
            return;
        p->server = s;
        p->next = s->peers;
        if (s->peers)
            s->peers->prev = p;
        s->peers = p;
        s->pending++;
        if (!wsb_shm_watch_fd(s, fd, EPOLLIN, &p->of_socket))
            wsb_shm_remove(s, p);
        if (s->pending >= PENDING_MAX) {
            mask_listener(s);
            return;
        }
        wsb_shm_tick(s);
    }
}
