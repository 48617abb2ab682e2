/* Asking the kernel about processes. */
#include "link/life.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

enum { STOPPED_MS = 1500 /* asked once a second that is two or three times */ };

static pid_t pid_of(int socket)
{
    struct ucred who;
    socklen_t len = sizeof who;
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 ? who.pid : 0;
}

void wsb_life_begin(struct wsb_life *l, int socket)
{
    *l = (struct wsb_life){.pid = pid_of(socket)};
}

/* "pid (name) T …" in /proc/PID/stat. The name may hold anything, so its end is looked for from behind. */
static char state_of(pid_t pid)
{
    char path[32];
    char text[256];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end[2] : 0;
}

/* Nothing has this number any more, or what had it waits to be buried. Another user's process may be hidden, and lives. */
static bool has_ended(pid_t pid, char state)
{
    return state ? state == 'Z' || state == 'X' : kill(pid, 0) != 0 && errno == ESRCH;
}

bool wsb_life_is_over(struct wsb_life *l, uint64_t now_ms)
{
    if (l->pid <= 0)
        return false;
    char state = state_of(l->pid);
    if (has_ended(l->pid, state))
        return true;
    if (state != 'T' && state != 't') { /* stopped by a signal, or by a debugger */
        l->stopped_since_ms = 0;
        return false;
    }
    if (!l->stopped_since_ms)
        l->stopped_since_ms = now_ms;
    return now_ms - l->stopped_since_ms >= STOPPED_MS;
}

/* Where the kernel cannot give it for the socket, it is asked for by number, which may be another's by now: then an end is told
 * too late, but never of somebody who lives. */
int wsb_life_pidfd(int socket)
{
    int fd = -1;
    socklen_t len = sizeof fd;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
        return fd; /* close-on-exec by itself */
    pid_t pid = pid_of(socket);
    return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}
