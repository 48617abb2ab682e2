/* The protocols of systemd: a datagram socket and some variables of the environment. */
#include "service/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/rights.h"

void wsg_manager_env_read(struct wsg_manager_env *ret)
{
    *ret = (struct wsg_manager_env){
        .notify_socket = getenv("NOTIFY_SOCKET"),
        .watchdog_usec = getenv("WATCHDOG_USEC"),
        .watchdog_pid = getenv("WATCHDOG_PID"),
        .listen_pid = getenv("LISTEN_PID"),
        .listen_fds = getenv("LISTEN_FDS"),
        .listen_fdnames = getenv("LISTEN_FDNAMES"),
    };
}

void wsg_manager_env_clear(void)
{
    static const char *const names[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                        "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unsetenv(names[i]);
}

static wsb_err parse_number(const char *name, const char *text, uint64_t max, uint64_t *ret, struct wsb_fault *fault)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value > max)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "%s='%.40s' in the environment: a number up to %" PRIu64 ", please", name, text, max);
    *ret = value;
    return WSB_OK;
}

/* Is it for us? The variables of others are inherited where somebody forgot to take them out. */
static wsb_err is_for(const char *name, const char *text, pid_t self, bool *ret, struct wsb_fault *fault)
{
    uint64_t pid = 0;
    wsb_err err = parse_number(name, text, INT32_MAX, &pid, fault);
    *ret = !err && (pid_t)pid == self;
    return err;
}

static wsb_err parse_socket(struct wsg_manager *m, const char *path, struct wsb_fault *fault)
{
    size_t len = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof m->to.sun_path)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "NOTIFY_SOCKET='%.60s' in the environment: neither a path nor an abstract socket", path);
    m->to = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(m->to.sun_path, path, len);
    if (path[0] == '@')
        m->to.sun_path[0] = '\0'; /* abstract: its length is a part of its name, and no zero ends it */
    m->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] == '/' ? 1 : 0));
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return m->fd >= 0
               ? WSB_OK
               : wsb_fault_set(fault, WSB_ERR_IO, errno, "no socket to tell the service manager: %s", strerror(errno));
}

static wsb_err parse_watchdog(struct wsg_manager *m, const struct wsg_manager_env *env, pid_t self,
                              struct wsb_fault *fault)
{
    bool ours = true;
    wsb_err err = env->watchdog_pid ? is_for("WATCHDOG_PID", env->watchdog_pid, self, &ours, fault) : WSB_OK;
    if (err || !ours)
        return err;
    return parse_number("WATCHDOG_USEC", env->watchdog_usec, UINT64_MAX / 2, &m->watchdog_us, fault);
}

static bool is_listener(int fd)
{
    int type = 0, listens = 0, domain = 0;
    socklen_t len = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);
}

static wsb_err take_over(struct wsg_passed *p, struct wsb_fault *fault)
{
    int flags = fcntl(p->fd, F_GETFL);
    if (flags < 0 || !is_listener(p->fd))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "descriptor %d, '%.60s', of the service manager: not a listening stream socket", p->fd,
                             p->name);
    wsb_rights_refuse(p->fd); /* of a TCP socket it is none of the kernel's business */
    if (fcntl(p->fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(p->fd, F_SETFD, FD_CLOEXEC) != 0)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "descriptor %d: %s", p->fd, strerror(errno));
    return WSB_OK;
}

/* "web:admin:web": one for each descriptor. Without names all of them are "unknown", as sd_listen_fds_with_names(3) says. */
static wsb_err parse_names(struct wsg_manager *m, const char *names, struct wsb_fault *fault)
{
    for (size_t i = 0; i < m->passed_count; i++) {
        size_t len = names ? strcspn(names, ":") : 0;
        if (len > WSG_PASSED_NAME_MAX || (names && (names[len] == ':') != (i + 1 < m->passed_count)))
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                                 "LISTEN_FDNAMES in the environment: %zu names of at most %d bytes, please",
                                 m->passed_count, (int)WSG_PASSED_NAME_MAX);
        memcpy(m->passed[i].name, names ? names : "unknown", names ? len : sizeof "unknown");
        m->passed[i].name[names ? len : strlen("unknown")] = '\0';
        names = names ? names + len + 1 : NULL;
    }
    return WSB_OK;
}

static wsb_err parse_passed(struct wsg_manager *m, const struct wsg_manager_env *env, pid_t self, int first_fd,
                            struct wsb_fault *fault)
{
    bool ours;
    uint64_t count = 0;
    wsb_err err = is_for("LISTEN_PID", env->listen_pid, self, &ours, fault);
    if (err || !ours)
        return err;
    if ((err = parse_number("LISTEN_FDS", env->listen_fds, WSG_PASSED_MAX, &count, fault)))
        return err;
    for (; m->passed_count < count; m->passed_count++)
        m->passed[m->passed_count].fd = first_fd + (int)m->passed_count;
    err = parse_names(m, env->listen_fdnames, fault);
    for (size_t i = 0; i < count && !err; i++)
        err = take_over(&m->passed[i], fault);
    return err;
}

wsb_err wsg_manager_open(struct wsg_manager *m, const struct wsg_manager_env *env, pid_t self, int first_fd,
                         struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    *m = (struct wsg_manager){.fd = -1};
    if (env->listen_pid && env->listen_fds)
        err = parse_passed(m, env, self, first_fd, fault);
    if (!err && env->watchdog_usec)
        err = parse_watchdog(m, env, self, fault);
    if (!err && env->notify_socket)
        err = parse_socket(m, env->notify_socket, fault);
    if (err)
        wsg_manager_close(m);
    return err;
}

void wsg_manager_close(struct wsg_manager *m)
{
    if (m->fd >= 0)
        close(m->fd);
    for (size_t i = 0; i < m->passed_count; i++) {
        if (m->passed[i].fd >= 0)
            close(m->passed[i].fd);
    }
    *m = (struct wsg_manager){.fd = -1};
}

wsb_err wsg_manager_tell(struct wsg_manager *m, const char *text)
{
    if (m->fd < 0)
        return WSB_OK;
    ssize_t n;
    do {
        n = sendto(m->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&m->to, m->to_len);
    } while (n < 0 && errno == EINTR);
    if (n >= 0)
        return WSB_OK;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? WSB_AGAIN : WSB_ERR_IO;
}

int wsg_manager_take(struct wsg_manager *m, const char *name)
{
    for (size_t i = 0; i < m->passed_count; i++) {
        struct wsg_passed *p = &m->passed[i];
        if (p->fd >= 0 && strcmp(p->name, name) == 0) {
            int fd = p->fd;
            p->fd = -1;
            return fd;
        }
    }
    return -1;
}

const char *wsg_manager_leftover(const struct wsg_manager *m)
{
    for (size_t i = 0; i < m->passed_count; i++) {
        if (m->passed[i].fd >= 0)
            return m->passed[i].name;
    }
    return NULL;
}
