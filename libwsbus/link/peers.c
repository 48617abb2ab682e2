/* Asking the kernel about peers. */
#include "link/peers.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    STOPPED_MS = 1500,    /* seen stopped for so long; asked once a second that is two or three times */
    HEARTBEATS_MISSED = 3 /* over TCP */
};

struct wsb_peer_watch {
    UT_hash_handle hh;
    struct sockaddr_storage address; /* of a TCP peer */
    socklen_t address_len;
    int fd;
    pid_t pid; /* of a local peer; 0: not known */
    uint32_t heartbeat_ms;
    uint64_t stopped_since_ms; /* 0: it ran when it was last looked at */
    size_t id_len;
    uint8_t id[];
};

static struct wsb_peer_watch *find(const struct wsb_peers *t, struct wsb_span id)
{
    struct wsb_peer_watch *w = NULL;
    HASH_FIND(hh, t->by_id, id.ptr, id.len, w);
    return w;
}

wsb_err wsb_peers_watch(struct wsb_peers *t, struct wsb_span id, int fd, uint32_t heartbeat_ms)
{
    struct ucred who;
    socklen_t len = sizeof who;
    wsb_peers_unwatch(t, id);
    struct wsb_peer_watch *w = calloc(1, sizeof *w + id.len);
    if (!w)
        return WSB_ERR_NOMEM;
    w->fd = fd;
    w->heartbeat_ms = heartbeat_ms;
    w->address_len = sizeof w->address;
    if (getpeername(fd, (struct sockaddr *)&w->address, &w->address_len) != 0)
        w->address_len = 0;
    if (w->address.ss_family == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
        w->pid = who.pid; /* 0 where it is in a namespace that we do not see */
    w->id_len = id.len;
    memcpy(w->id, id.ptr, id.len);
    HASH_ADD_KEYPTR(hh, t->by_id, w->id, w->id_len, w);
    return WSB_OK;
}

void wsb_peers_unwatch(struct wsb_peers *t, struct wsb_span id)
{
    struct wsb_peer_watch *w = find(t, id);
    if (!w)
        return;
    HASH_DELETE(hh, t->by_id, w);
    free(w);
}

void wsb_peers_deinit(struct wsb_peers *t)
{
    struct wsb_peer_watch *w, *next;
    HASH_ITER (hh, t->by_id, w, next) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): does not see that HASH_ITER has read the next one already */
        HASH_DELETE(hh, t->by_id, w);
        free(w);
    }
}

/* "pid (name) T …": stopped by a signal, or by a debugger. The name may hold anything, so its end is looked for from behind. */
static bool is_stopped(pid_t pid)
{
    char path[32];
    char text[256];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *end = strrchr(text, ')');
    return end && (strncmp(end, ") T", 3) == 0 || strncmp(end, ") t", 3) == 0);
}

/* The descriptor may be somebody else's by now: then the address is another. */
static bool is_same(const struct wsb_peer_watch *w)
{
    struct sockaddr_storage now;
    socklen_t len = sizeof now;
    memset(&now, 0, sizeof now);
    return getpeername(w->fd, (struct sockaddr *)&now, &len) == 0 && len == w->address_len &&
           memcmp(&now, &w->address, len) == 0;
}

static bool is_silent(const struct wsb_peer_watch *w)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (w->heartbeat_ms == 0 || !is_same(w) || getsockopt(w->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    return info.tcpi_last_data_recv > (uint64_t)w->heartbeat_ms * HEARTBEATS_MISSED;
}

bool wsb_peers_is_stalled(struct wsb_peers *t, struct wsb_span id, uint64_t now_ms)
{
    struct wsb_peer_watch *w = find(t, id);
    if (!w)
        return false;
    if (w->address.ss_family == AF_INET || w->address.ss_family == AF_INET6)
        return is_silent(w);
    if (!w->pid || !is_stopped(w->pid)) {
        w->stopped_since_ms = 0;
        return false;
    }
    if (!w->stopped_since_ms)
        w->stopped_since_ms = now_ms;
    return now_ms - w->stopped_since_ms >= STOPPED_MS;
}
