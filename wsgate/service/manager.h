#ifndef WSG_SERVICE_MANAGER_H
#define WSG_SERVICE_MANAGER_H

/*
 * The service manager that started this process, by the protocols of systemd and without its library: the sockets that it
 * passed (sd_listen_fds(3)), how often it wants to hear of us (sd_watchdog_enabled(3)), and where we tell it how we are
 * (sd_notify(3)). Without a manager all of it is empty, and telling is a no-op.
 *
 * Threads   one at a time
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fault.h"

enum {
    WSG_PASSED_MAX = 64,        /* sockets */
    WSG_PASSED_NAME_MAX = 255,  /* bytes, by sd_listen_fds_with_names(3) */
    WSG_PASSED_FIRST_FD = 3,    /* SD_LISTEN_FDS_START */
    WSG_MANAGER_TEXT_MAX = 1024 /* bytes of what it is told at once */
};

/* What the environment says; NULL where it says nothing. */
struct wsg_manager_env {
    const char *notify_socket;
    const char *watchdog_usec;
    const char *watchdog_pid;
    const char *listen_pid;
    const char *listen_fds;
    const char *listen_fdnames;
};

struct wsg_passed {
    int fd; /* owned; -1 once it was taken */
    char name[WSG_PASSED_NAME_MAX + 1];
};

struct wsg_manager {
    int fd; /* owned; -1: nobody wants to be told */
    struct sockaddr_un to;
    socklen_t to_len;
    uint64_t watchdog_us; /* it gives us up after such a silence; 0: never */
    struct wsg_passed passed[WSG_PASSED_MAX];
    size_t passed_count;
};

/* The variables of this process. They are borrowed until wsg_manager_env_clear(). */
void wsg_manager_env_read(struct wsg_manager_env *ret);
/* Take them out of the environment: they are not for programs that this one starts. */
void wsg_manager_env_clear(void);

/**
 * Take over what the environment promises.
 *
 * @self      our process: what is for another one is ignored
 * @first_fd  of those passed; WSG_PASSED_FIRST_FD
 *
 * Returns    WSB_OK, also when there is no manager; WSB_ERR_CONFIG: a variable that cannot be, or a descriptor that is no
 *            listening stream socket, in *fault; then nothing is held
 */
WSB_MUST_CHECK wsb_err wsg_manager_open(struct wsg_manager *m, const struct wsg_manager_env *env, pid_t self,
                                        int first_fd, struct wsb_fault *fault);
/* Closes what nobody took. */
void wsg_manager_close(struct wsg_manager *m);

/**
 * Tell the manager something: lines of NAME=VALUE. Never waits.
 *
 * Returns  WSB_OK, also without a manager; WSB_AGAIN: it has not read what it was told before; WSB_ERR_IO
 */
WSB_MUST_CHECK wsb_err wsg_manager_tell(struct wsg_manager *m, const char *text);

/* The next socket of a name, which is the caller's from now on: non-blocking, close-on-exec. -1: there is none (any more). */
int wsg_manager_take(struct wsg_manager *m, const char *name);
/* The name of one that nobody took; NULL: all are taken. */
const char *wsg_manager_leftover(const struct wsg_manager *m);

#endif
