/* Binding, listening, accepting. */
#include "link/zmtp_entrance.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/rights.h"

enum { BACKLOG = 512, KEEPALIVE_IDLE_S = 10, KEEPALIVE_INTERVAL_S = 5, KEEPALIVE_COUNT = 3 };

static const char *const names[WSB_CHANNELS] = {"handlers", "events", "commands"};

const char *wsb_channel_name(enum wsb_channel c)
{
    return names[c];
}

void wsb_zmtp_entrance_init(struct wsb_zmtp_entrance *e)
{
    *e = (struct wsb_zmtp_entrance){.fd = -1};
}

/* The name goes first: once nobody listens behind it, the next gate may have made it anew. */
void wsb_zmtp_entrance_close(struct wsb_zmtp_entrance *e)
{
    if (e->path)
        (void)unlink(e->path);
    if (e->fd >= 0)
        close(e->fd);
    free(e->path);
    wsb_zmtp_entrance_init(e);
}

static void begin(struct wsb_zmtp_entrance *e, int fd, enum wsb_channel channel, enum wsb_door door)
{
    e->fd = fd;
    e->channel = channel;
    e->door = door;
    e->source = (struct wsb_zmtp_source){.what = WSB_ZMTP_SOURCE_ENTRANCE, .entrance = e};
    e->is_waiting = true; /* whoever was faster than we are */
}

/* ------------------------------------------------------------------------ local */

static bool somebody_listens(const struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool alive = connect(fd, (const struct sockaddr *)sun, sizeof *sun) == 0 || errno == EAGAIN;
    close(fd);
    return alive;
}

wsb_err wsb_zmtp_entrance_open_local(struct wsb_zmtp_entrance *e, const char *dir, unsigned mode,
                                     enum wsb_channel channel, struct wsb_fault *fault)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    char *path = sun.sun_path;
    int n = snprintf(path, sizeof sun.sun_path, "%s/%s", dir, wsb_channel_name(channel));
    if (n < 0 || (size_t)n >= sizeof sun.sun_path)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "runtime directory %.100s: the path is too long for a socket",
                             dir);
    if (somebody_listens(&sun))
        return wsb_fault_set(fault, WSB_ERR_EXISTS, 0, "%s: a gate is running in this directory already", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no socket for ipc://%s: %s", path, strerror(errno));
    begin(e, fd, channel, WSB_DOOR_LOCAL);
    wsb_rights_refuse(fd);
    (void)unlink(path);
    mode_t before = umask(0777 & ~(mode_t)mode);
    int failed = bind(fd, (const struct sockaddr *)&sun, sizeof sun);
    int code = errno;
    umask(before);
    if (!failed) {
        e->path = strdup(path);
        if (!e->path) {
            (void)unlink(path);
            return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
        }
        failed = listen(fd, BACKLOG);
        code = errno;
    }
    return failed ? wsb_fault_set(fault, WSB_ERR_IO, code, "cannot bind ipc://%s: %s", path, strerror(code)) : WSB_OK;
}

/* -------------------------------------------------------------------------- TCP */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool address_of(const struct wsb_endpoint *e, union address *ret, socklen_t *ret_len)
{
    *ret = (union address){0};
    if (e->is_v6) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(e->port);
        *ret_len = sizeof ret->v6;
        return inet_pton(AF_INET6, e->host, &ret->v6.sin6_addr) == 1;
    }
    ret->v4.sin_family = AF_INET;
    ret->v4.sin_port = htons(e->port);
    *ret_len = sizeof ret->v4;
    return inet_pton(AF_INET, e->host, &ret->v4.sin_addr) == 1;
}

static void set_int(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

static bool bind_and_listen(int fd, const union address *a, socklen_t len)
{
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (a->any.sa_family == AF_INET6)
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0); /* [::] is every address, as ZeroMQ has it */
    return bind(fd, &a->any, len) == 0 && listen(fd, BACKLOG) == 0;
}

/* The port that the kernel chose. */
static void note_port(int fd, struct wsb_endpoint *e)
{
    union address a = {0};
    socklen_t len = sizeof a;
    if (getsockname(fd, &a.any, &len) == 0)
        e->port = ntohs(e->is_v6 ? a.v6.sin6_port : a.v4.sin_port);
}

wsb_err wsb_zmtp_entrance_open_tcp(struct wsb_zmtp_entrance *e, const char *endpoint, bool has_keys,
                                   enum wsb_channel channel, struct wsb_fault *fault)
{
    struct wsb_endpoint parsed;
    union address a;
    socklen_t len;
    char text[WSB_ENDPOINT_TEXT];
    wsb_err err = wsb_endpoint_parse(endpoint, &parsed, fault);
    if (err)
        return err;
    if (!has_keys && !parsed.is_loopback)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.80s: not a loopback address, and there are no keys",
                             endpoint);
    wsb_endpoint_format(&parsed, text);
    if (!address_of(&parsed, &a, &len))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.80s: not an address", endpoint);
    int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "no socket for %s: %s", text, strerror(errno));
    begin(e, fd, channel, has_keys ? WSB_DOOR_KEYS : WSB_DOOR_LOCAL);
    if (!bind_and_listen(fd, &a, len))
        return wsb_fault_set(fault, errno == EADDRINUSE ? WSB_ERR_EXISTS : WSB_ERR_IO, errno, "cannot bind %s: %s",
                             text, strerror(errno));
    note_port(fd, &parsed);
    wsb_endpoint_format(&parsed, e->text);
    return WSB_OK;
}

/* -------------------------------------------------------------------- accepting */

/* The kernel finds out about machines that are gone. */
static void prepare_tcp(int fd)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
}

/* Whoever has an IPv6 address has 2^64 of them. */
static uint64_t origin_of(const union address *a)
{
    uint64_t origin = 0;
    const struct in6_addr *v6 = &a->v6.sin6_addr;
    if (a->any.sa_family == AF_INET)
        origin = a->v4.sin_addr.s_addr;
    else if (IN6_IS_ADDR_V4MAPPED(v6))
        memcpy(&origin, &v6->s6_addr[12], sizeof(struct in_addr));
    else
        memcpy(&origin, v6->s6_addr, sizeof origin);
    return origin;
}

static uint64_t user_of(int fd)
{
    struct ucred who = {0};
    socklen_t len = sizeof who;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 ? who.uid : 0;
}

static void format_address(const union address *a, char ret[WSB_CONN_ADDRESS])
{
    const void *bytes = a->any.sa_family == AF_INET6 ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr;
    if (!inet_ntop(a->any.sa_family, bytes, ret, WSB_CONN_ADDRESS))
        ret[0] = 0;
}

static bool out_of(int code)
{
    return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

wsb_err wsb_zmtp_entrance_accept(const struct wsb_zmtp_entrance *e, int *ret_fd, struct wsb_zmtp_caller *ret_caller)
{
    union address a = {0};
    socklen_t len = sizeof a;
    int fd;
    do {
        fd = accept4(e->fd, e->path ? NULL : &a.any, e->path ? NULL : &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? WSB_AGAIN : out_of(errno) ? WSB_ERR_FULL : WSB_ERR_IO;
    if (e->path) {
        (void)snprintf(ret_caller->address, sizeof ret_caller->address, "local");
        ret_caller->origin = user_of(fd);
    } else {
        prepare_tcp(fd);
        format_address(&a, ret_caller->address);
        ret_caller->origin = origin_of(&a);
    }
    *ret_fd = fd;
    return WSB_OK;
}
