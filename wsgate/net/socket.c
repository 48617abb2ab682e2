/* Stream sockets. errno stops here. */
#include "net/socket.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rights.h"

enum { BACKLOG = 4096 };

static int connect_probe(const struct wsg_address *a)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int alive = connect(fd, (const struct sockaddr *)&a->storage, a->len) == 0 || errno == EAGAIN;
    close(fd);
    return alive;
}

/* A socket file that nobody listens on is left from a process that died; replace it. */
static wsb_err clear_stale(const struct wsg_address *a, struct wsb_fault *fault)
{
    const char *path = ((const struct sockaddr_un *)&a->storage)->sun_path;
    struct stat st;
    if (lstat(path, &st) != 0)
        return WSB_OK;
    if (!S_ISSOCK(st.st_mode))
        return wsb_fault_set(fault, WSB_ERR_EXISTS, 0, "%s exists and is not a socket", path);
    if (connect_probe(a) != 0)
        return wsb_fault_set(fault, WSB_ERR_EXISTS, 0, "%s: somebody listens there already", path);
    if (unlink(path) != 0 && errno != ENOENT)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "cannot replace %s: %s", path, strerror(errno));
    return WSB_OK;
}

static int make_listener(const struct wsg_address *a)
{
    int fd = socket(a->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    if (wsg_address_is_unix(a)) {
        wsb_rights_refuse(fd);
    } else {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    }
    if (a->storage.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&a->storage, a->len) != 0 || listen(fd, BACKLOG) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

wsb_err wsg_socket_check_free(const struct wsg_address *a, struct wsb_fault *fault)
{
    char text[WSG_ADDRESS_TEXT];
    const int on = 1;
    bool is_taken = false;
    int fd = wsg_address_is_unix(a) ? -1 : socket(a->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return WSB_OK; /* whoever listens will hear why it cannot */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (a->storage.ss_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    is_taken = bind(fd, (const struct sockaddr *)&a->storage, a->len) != 0 && errno == EADDRINUSE;
    close(fd);
    if (!is_taken)
        return WSB_OK;
    wsg_address_format(a, text);
    return wsb_fault_set(fault, WSB_ERR_EXISTS, EADDRINUSE, "cannot listen on %s: %s", text, strerror(EADDRINUSE));
}

wsb_err wsg_socket_listen(const struct wsg_address *a, unsigned unix_mode, int *ret_fd, struct wsg_address *ret_bound,
                          struct wsb_fault *fault)
{
    char text[WSG_ADDRESS_TEXT];
    bool is_unix = wsg_address_is_unix(a);
    wsg_address_format(a, text);
    if (is_unix) {
        wsb_err err = clear_stale(a, fault);
        if (err)
            return err;
    }
    mode_t before = umask(is_unix ? 0777 & ~(mode_t)unix_mode : 0022); /* the file must never be wider than asked */
    int fd = make_listener(a);
    int saved = errno;
    umask(before);
    if (fd < 0)
        return wsb_fault_set(fault, saved == EADDRINUSE ? WSB_ERR_EXISTS : WSB_ERR_IO, saved, "cannot listen on %s: %s",
                             text, strerror(saved));
    *ret_fd = fd;
    *ret_bound = *a;
    ret_bound->len = sizeof ret_bound->storage;
    if (is_unix || getsockname(fd, (struct sockaddr *)&ret_bound->storage, &ret_bound->len) != 0)
        *ret_bound = *a;
    return WSB_OK;
}

void wsg_socket_address(int fd, struct wsg_address *ret)
{
    *ret = (struct wsg_address){.len = sizeof ret->storage};
    if (getsockname(fd, (struct sockaddr *)&ret->storage, &ret->len) != 0)
        *ret = (struct wsg_address){0};
}

/* A machine that vanished, or a network address translation that forgot, must not look like a client for ever: requests that wait, and
 * routes without pings, have nothing else. Dead after about two minutes. */
static void keep_alive(int fd)
{
    const int on = 1, idle_s = 60, interval_s = 15, count = 4;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

/* A socket that was passed to us may take both kinds: an IPv4 client is an IPv4 client, in logs and for handlers. */
static void unmap(struct wsg_address *a)
{
    struct sockaddr_in6 six;
    if (a->storage.ss_family != AF_INET6)
        return;
    memcpy(&six, &a->storage, sizeof six);
    if (!IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
        return;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = six.sin6_port};
    memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], sizeof four.sin_addr);
    *a = (struct wsg_address){.len = sizeof four};
    memcpy(&a->storage, &four, sizeof four);
}

wsb_err wsg_socket_accept(int listen_fd, int *ret_fd, struct wsg_address *ret_peer)
{
    *ret_peer = (struct wsg_address){.len = sizeof ret_peer->storage};
    int fd = accept4(listen_fd, (struct sockaddr *)&ret_peer->storage, &ret_peer->len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return WSB_AGAIN;
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            return WSB_ERR_LIMIT;
        return WSB_ERR_IO;
    }
    if (ret_peer->storage.ss_family != AF_UNIX) {
        int on = 1; /* output is coalesced by us; Nagle would only add 40 ms to it */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        keep_alive(fd);
        unmap(ret_peer);
    }
    *ret_fd = fd;
    return WSB_OK;
}

static wsb_err receive(int fd, uint8_t *data, size_t len, int flags, size_t *ret_len)
{
    ssize_t n;
    do {
        n = recv(fd, data, len, flags);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        *ret_len = (size_t)n;
        return WSB_OK;
    }
    if (n == 0)
        return WSB_CLOSED;
    return errno == EAGAIN || errno == EWOULDBLOCK ? WSB_AGAIN : WSB_ERR_IO;
}

wsb_err wsg_socket_read(int fd, uint8_t *data, size_t len, size_t *ret_len)
{
    return receive(fd, data, len, 0, ret_len);
}

size_t wsg_socket_unread(int fd)
{
    int waits = 0;
    return ioctl(fd, SIOCOUTQ, &waits) == 0 && waits > 0 ? (size_t)waits : 0;
}

wsb_err wsg_socket_peek(int fd, uint8_t *data, size_t len, size_t *ret_len)
{
    return receive(fd, data, len, MSG_PEEK, ret_len);
}

wsb_err wsg_socket_write(int fd, const uint8_t *data, size_t len, size_t *ret_len)
{
    ssize_t n;
    do {
        n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? WSB_AGAIN : WSB_ERR_IO;
    *ret_len = (size_t)n;
    return WSB_OK;
}

void wsg_socket_doom(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

bool wsg_socket_peer_uid(int fd, unsigned *ret_uid)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return false;
    *ret_uid = cred.uid;
    return true;
}
