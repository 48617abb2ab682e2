/* What the thread and its caller share has a count of two, so that either may go first. */
#include "dial/resolve.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dial/wait.h"

/* Those that were given up last until the C library has had enough: with a dead name server that may be long. */
enum { LOOKUPS_MAX = 256 };
static _Atomic int lookups; /* threads under way */

struct lookup {
    pthread_mutex_t lock;
    int done_fd; /* owned; readable once it is done */
    int refs;
    int status;
    struct addrinfo *found; /* owned */
    char port[8];
    char host[]; /* terminated */
};

static int look_up(const char *host, const char *port, int flags, struct addrinfo **ret)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    return getaddrinfo(host, port, &hints, ret);
}

static void lookup_unref(struct lookup *l)
{
    pthread_mutex_lock(&l->lock);
    int left = --l->refs;
    pthread_mutex_unlock(&l->lock);
    if (left > 0)
        return;
    if (l->found)
        freeaddrinfo(l->found);
    pthread_mutex_destroy(&l->lock);
    (void)close(l->done_fd);
    free(l);
}

static void *lookup_main(void *arg)
{
    struct lookup *l = arg;
    struct addrinfo *found = NULL;
    int status = look_up(l->host, l->port, AI_ADDRCONFIG, &found);
    pthread_mutex_lock(&l->lock);
    l->status = status;
    l->found = status ? NULL : found;
    pthread_mutex_unlock(&l->lock);
    (void)!eventfd_write(l->done_fd, 1);
    lookup_unref(l);
    atomic_fetch_sub(&lookups, 1);
    return NULL;
}

static struct lookup *lookup_new(const char *host, const char *port)
{
    size_t len = strlen(host) + 1;
    struct lookup *l = calloc(1, sizeof *l + len);
    if (!l)
        return NULL;
    l->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->done_fd < 0) {
        free(l);
        return NULL;
    }
    memcpy(l->host, host, len);
    (void)snprintf(l->port, sizeof l->port, "%s", port);
    l->refs = 2;
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

/* A thread that nobody waits for, and that takes no signals of the program's. */
static bool start(struct lookup *l)
{
    if (atomic_fetch_add(&lookups, 1) >= LOOKUPS_MAX) {
        atomic_fetch_sub(&lookups, 1);
        return false;
    }
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, &attr, lookup_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (failed)
        atomic_fetch_sub(&lookups, 1);
    return !failed;
}

static wsb_err lookup_wait(struct lookup *l, uint64_t until_ms, int stop_fd, int *ret_status, struct addrinfo **ret)
{
    wsb_err err = wsb_wait_fd(l->done_fd, POLLIN, until_ms, stop_fd);
    if (err)
        return err;
    pthread_mutex_lock(&l->lock);
    *ret_status = l->status;
    *ret = l->found;
    l->found = NULL;
    pthread_mutex_unlock(&l->lock);
    return WSB_OK;
}

wsb_err wsb_resolve(const char *host, uint16_t port, uint64_t until_ms, int stop_fd, struct addrinfo **ret,
                    struct wsb_fault *fault)
{
    char text[8];
    struct addrinfo *found = NULL;
    (void)snprintf(text, sizeof text, "%u", (unsigned)port);
    if (look_up(host, text, AI_NUMERICHOST, ret) == 0)
        return WSB_OK;
    struct lookup *l = lookup_new(host, text);
    if (!l)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory or descriptors");
    if (!start(l)) {
        l->refs = 1;
        lookup_unref(l);
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "cannot start a thread to look up a name, or there are too many");
    }
    int status = 0;
    wsb_err err = lookup_wait(l, until_ms, stop_fd, &status, &found);
    lookup_unref(l);
    if (err)
        return wsb_fault_set(fault, err, 0, "%.120s: %s", host,
                             err == WSB_CLOSED ? "nobody asks for it any more" : "its address was not found in time");
    if (status)
        return wsb_fault_set(fault, WSB_ERR_NOT_FOUND, 0, "%.120s: %s", host, gai_strerror(status));
    *ret = found;
    return WSB_OK;
}
