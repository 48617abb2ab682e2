/* What the thread and its caller share has a count of two, so that either may go first. */
#include "api/resolve.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int refs;
    bool is_done;
    int status;
    struct addrinfo *found; /* owned */
    char port[8];
    char host[]; /* terminated */
};

uint64_t wsb_monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

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
    pthread_cond_destroy(&l->done);
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
    l->is_done = true;
    pthread_cond_signal(&l->done);
    pthread_mutex_unlock(&l->lock);
    lookup_unref(l);
    return NULL;
}

static struct lookup *lookup_new(const char *host, const char *port)
{
    size_t len = strlen(host) + 1;
    pthread_condattr_t attr;
    struct lookup *l = calloc(1, sizeof *l + len);
    if (!l)
        return NULL;
    memcpy(l->host, host, len);
    (void)snprintf(l->port, sizeof l->port, "%s", port);
    l->refs = 2;
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->done, &attr);
    pthread_condattr_destroy(&attr);
    return l;
}

/* A thread that nobody waits for, and that takes no signals of the program's. */
static bool start(struct lookup *l)
{
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
    return !failed;
}

static wsb_err lookup_wait(struct lookup *l, uint64_t until_ms, int *ret_status, struct addrinfo **ret)
{
    const struct timespec at = {.tv_sec = (time_t)(until_ms / 1000), .tv_nsec = (long)(until_ms % 1000) * 1000000};
    int timed_out = 0;
    pthread_mutex_lock(&l->lock);
    while (!l->is_done && !timed_out)
        timed_out = pthread_cond_timedwait(&l->done, &l->lock, &at);
    wsb_err err = l->is_done ? WSB_OK : WSB_ERR_TIMEOUT;
    if (!err) {
        *ret_status = l->status;
        *ret = l->found;
        l->found = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    return err;
}

wsb_err wsb_resolve(const char *host, uint16_t port, uint64_t until_ms, struct addrinfo **ret, struct wsb_fault *fault)
{
    char text[8];
    struct addrinfo *found = NULL;
    (void)snprintf(text, sizeof text, "%u", (unsigned)port);
    if (look_up(host, text, AI_NUMERICHOST, ret) == 0)
        return WSB_OK;
    struct lookup *l = lookup_new(host, text);
    if (!l)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    if (!start(l)) {
        l->refs = 1;
        lookup_unref(l);
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "cannot start a thread to look up a name");
    }
    int status = 0;
    wsb_err err = lookup_wait(l, until_ms, &status, &found);
    lookup_unref(l);
    if (err)
        return wsb_fault_set(fault, err, 0, "%.120s: its address was not found in time", host);
    if (status)
        return wsb_fault_set(fault, WSB_ERR_NOT_FOUND, 0, "%.120s: %s", host, gai_strerror(status));
    *ret = found;
    return WSB_OK;
}
