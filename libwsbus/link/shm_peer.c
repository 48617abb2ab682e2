/*
 * The things that are shared with one handler, and who may do what with them: our ring is sealed before it is shared, so
 * that nobody can write it but us; the other one is mapped for reading here. The handler's bell is a pipe of which only we hold the
 * end that is written: on a descriptor that both hold it could make our writes block. Ours is an eventfd that is
 * never read, for the same reason: edge-triggered epoll tells of each write.
 */
#include "link/shm_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A descriptor of the process itself: its number may be somebody else's when it has ended. */
static int open_process(int socket, int32_t *ret_pid)
{
    int fd = -1;
    socklen_t len = sizeof fd;
    struct ucred who = {0};
    socklen_t who_len = sizeof who;
    *ret_pid = getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &who_len) == 0 ? (int32_t)who.pid : 0;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
        return fd;
    return *ret_pid > 0 ? (int)syscall(SYS_pidfd_open, *ret_pid, 0)
                        : -1; /* an older kernel: the socket's end has to do */
}

struct wsb_shm_peer *wsb_shm_peer_new(int socket, uint64_t now_ms)
{
    struct wsb_shm_peer *p = calloc(1, sizeof *p);
    if (!p) {
        close(socket);
        return NULL;
    }
    p->socket = socket;
    p->bell = p->gate = p->down.fd = p->up.fd = -1;
    p->since_ms = now_ms;
    p->process = open_process(socket, &p->pid);
    p->of_socket = (struct wsb_shm_source){.what = WSB_SHM_SOCKET, .peer = p};
    p->of_process = (struct wsb_shm_source){.what = WSB_SHM_PROCESS, .peer = p};
    p->of_bell = (struct wsb_shm_source){.what = WSB_SHM_BELL, .peer = p};
    return p;
}

static wsb_err make_regions(struct wsb_shm_peer *p, const struct wsb_shm_grant *g, struct wsb_fault *fault)
{
    wsb_err err = wsb_region_new("wsbus-down", g->ring_down, &p->down, fault);
    if (!err)
        err = wsb_region_seal_content(&p->down, fault);
    if (!err)
        err = wsb_region_new("wsbus-up", g->ring_up, &p->up, fault);
    if (!err)
        err = wsb_region_seal_size(&p->up, fault);
    return err;
}

static wsb_err make_bells(struct wsb_shm_peer *p, int *ret_read_end, struct wsb_fault *fault)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return wsb_fault_set(fault, WSB_ERR_LIMIT, errno, "no pipe: %s", strerror(errno));
    *ret_read_end = ends[0];
    p->bell = ends[1];
    p->gate = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return p->gate >= 0 ? WSB_OK : wsb_fault_set(fault, WSB_ERR_LIMIT, errno, "no eventfd: %s", strerror(errno));
}

static wsb_err send_welcome(struct wsb_shm_peer *p, struct wsb_shm_welcome *w, int bell, struct wsb_fault *fault)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * WSB_SHM_FDS)];
    } control = {0};
    const int fds[WSB_SHM_FDS] = {p->down.fd, p->up.fd, bell, p->gate};
    struct iovec iov = {w, sizeof *w};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    if (sendmsg(p->socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof *w)
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot send the descriptors: %s", strerror(errno));
}

static void make_name(struct wsb_shm_peer *p, uint64_t link_id)
{
    p->name[0] = WSB_DOOR_SHM;
    memcpy(p->name + 1, &link_id, sizeof link_id);
}

wsb_err wsb_shm_peer_welcome(struct wsb_shm_peer *p, const struct wsb_shm_grant *g, struct wsb_fault *fault)
{
    struct wsb_shm_welcome w = {.magic = WSB_SHM_MAGIC,
                                .kind = WSB_SHM_WELCOME,
                                .major = WSB_SHM_MAJOR,
                                .minor = WSB_SHM_MINOR,
                                .features = g->features,
                                .ring_down = g->ring_down,
                                .ring_up = g->ring_up,
                                .link_id = g->link_id};
    uint64_t keys[2];
    int bell = -1;
    if (getrandom(keys, sizeof keys, 0) != sizeof keys)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no random numbers: %s", strerror(errno));
    w.key_down = keys[0];
    w.key_up = keys[1];
    wsb_err err = make_regions(p, g, fault);
    if (!err)
        err = make_bells(p, &bell, fault);
    if (!err)
        err = send_welcome(p, &w, bell, fault);
    close_fd(&bell);
    if (err)
        return err;
    make_name(p, g->link_id);
    const struct wsb_ring_words *theirs = wsb_region_words(&p->up);
    struct wsb_ring_words *ours = wsb_region_words(&p->down);
    wsb_sender_init(&p->sender, wsb_region_data(&p->down), g->ring_down, keys[0], ours, theirs);
    wsb_receiver_init(&p->receiver, wsb_region_data(&p->up), g->ring_up, keys[1], ours, theirs, g->max_message);
    p->state = WSB_SHM_PEER_READY;
    return WSB_OK;
}

void wsb_shm_peer_refuse(struct wsb_shm_peer *p, const char *reason)
{
    struct wsb_shm_welcome w = {
        .magic = WSB_SHM_MAGIC, .kind = WSB_SHM_REFUSED, .major = WSB_SHM_MAJOR, .minor = WSB_SHM_MINOR};
    size_t len = strnlen(reason, sizeof w.reason - 1);
    memcpy(w.reason, reason, len);
    (void)!send(p->socket, &w, sizeof w, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Both ways cost about the same here; which one the handler waits on, it says. Whatever it says, neither can block us. */
void wsb_shm_peer_wake(struct wsb_shm_peer *p)
{
    struct wsb_ring_words *ours = wsb_region_words(&p->down);
    const struct wsb_ring_words *theirs = wsb_region_words(&p->up);
    p->wakes_out++;
    if (atomic_load_explicit(&theirs->state, memory_order_acquire) == WSB_SHM_BY_FUTEX) {
        atomic_fetch_add_explicit(&ours->bell, 1, memory_order_release);
        (void)syscall(SYS_futex, &ours->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
    } else {
        (void)!write(p->bell, "", 1); /* full: it has been rung often enough */
    }
}

bool wsb_shm_holds_on(const struct wsb_shm_peer *p)
{
    struct pollfd f = {.fd = p->process, .events = POLLIN};
    return p->state >= WSB_SHM_PEER_READY && p->process >= 0 && poll(&f, 1, 0) == 0;
}

void wsb_shm_peer_tell(struct wsb_shm_peer *p)
{
    if (wsb_ring_tell(&p->sender.ring))
        wsb_shm_peer_wake(p);
}

bool wsb_shm_peer_end(struct wsb_shm_peer *p)
{
    close_fd(&p->socket);
    close_fd(&p->process);
    close_fd(&p->bell);
    close_fd(&p->gate);
    wsb_region_close_fd(&p->down);
    if (p->up.base)
        wsb_region_punch(&p->up);
    return p->state < WSB_SHM_PEER_READY || wsb_sender_recall_all(&p->sender);
}

void wsb_shm_peer_free(struct wsb_shm_peer *p)
{
    if (p->state >= WSB_SHM_PEER_READY) {
        wsb_sender_deinit(&p->sender);
        wsb_receiver_deinit(&p->receiver);
    }
    wsb_region_deinit(&p->down);
    wsb_region_deinit(&p->up);
    free(p);
}
