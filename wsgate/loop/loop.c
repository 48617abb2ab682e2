/*
 * The event loop. A round is: wait, read the clock once, descriptors, timers, tasks from other threads, the hook, deferred
 * tasks. Posting from another thread costs a system call only while the loop sleeps.
 *
 * Descriptors come before timers, so that nobody is judged silent while what it said waits to be read. And the clock stands still while the
 * loop did not run: the process was stopped, its machine slept, or one step took very long. That time did not pass for those who waited
 * for us; otherwise all deadlines that fell into it would strike at once.
 */
#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "loop/heap.h"

enum { EVENTS_PER_ROUND = 64, TIMERS_PER_ROUND = 4096, GAP_US = 500000, POSTPONED_MAX = 64 };

struct wsg_loop {
    int epoll_fd;
    int wake_fd;
    struct wsg_heap timers;
    struct epoll_event *events; /* owned; the round's, so that unwatch can strike out what is still to come */
    int event_count;
    int event_at;
    _Atomic(struct wsg_task *) posted; /* newest first */
    _Atomic bool sleeps;               /* a poster must write wake_fd */
    _Atomic bool stop;
    struct wsg_task *deferred;
    struct wsg_task **deferred_end;
    void (*hook)(void *ctx);
    void *hook_ctx; /* borrowed */
    uint64_t now_us;
    uint64_t lost_us; /* that the loop did not run, and its clock did not either */
    uint64_t gaps;
    uint32_t postponed; /* rounds in a row without timers */
    uint64_t wall_ns;
    uint64_t wake_by_us; /* 0: whenever there is something */
    pthread_t thread;
};

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t read_us(const struct wsg_loop *l)
{
    return clock_ns(CLOCK_MONOTONIC) / 1000 - l->lost_us;
}

static void read_clocks(struct wsg_loop *l)
{
    l->now_us = read_us(l);
    l->wall_ns = clock_ns(CLOCK_REALTIME);
}

/* From `since_us` of the loop's clock on at most `expected_us` should have passed: what is far beyond that is taken out. */
static void leave_out_gap(struct wsg_loop *l, uint64_t since_us, uint64_t expected_us)
{
    uint64_t now_us = read_us(l);
    if (now_us - since_us < expected_us + GAP_US)
        return;
    l->lost_us += now_us - since_us - expected_us;
    l->gaps++;
}

wsb_err wsg_loop_new(struct wsg_loop **ret)
{
    wsb_err err = WSB_ERR_IO;
    struct wsg_loop *l = calloc(1, sizeof *l);
    if (!l)
        return WSB_ERR_NOMEM;
    l->epoll_fd = l->wake_fd = -1;
    l->deferred_end = &l->deferred;
    l->thread = pthread_self();
    l->events = calloc(EVENTS_PER_ROUND, sizeof *l->events);
    if (!l->events) {
        err = WSB_ERR_NOMEM;
        goto out;
    }
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epoll_fd < 0 || l->wake_fd < 0)
        goto out;
    /* Edge-triggered and never read: each write is one edge. */
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &e) != 0)
        goto out;
    read_clocks(l);
    *ret = l;
    l = NULL;
    err = WSB_OK;
out:
    wsg_loop_free(l);
    return err;
}

void wsg_loop_free(struct wsg_loop *l)
{
    if (!l)
        return;
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    wsg_heap_deinit(&l->timers);
    free(l->events);
    free(l);
}

uint64_t wsg_loop_now_ms(const struct wsg_loop *l)
{
    return l->now_us / 1000;
}

uint64_t wsg_loop_now_us(const struct wsg_loop *l)
{
    return l->now_us;
}

uint64_t wsg_loop_read_us(const struct wsg_loop *l)
{
    return read_us(l);
}

uint64_t wsg_loop_gaps(const struct wsg_loop *l)
{
    return l->gaps;
}

uint64_t wsg_loop_wall_ns(const struct wsg_loop *l)
{
    return l->wall_ns;
}

bool wsg_loop_is_own_thread(const struct wsg_loop *l)
{
    return pthread_equal(l->thread, pthread_self()) != 0;
}

void wsg_loop_set_round_hook(struct wsg_loop *l, void (*fn)(void *ctx), void *ctx)
{
    l->hook = fn;
    l->hook_ctx = ctx;
}

/* ------------------------------------------------------------- descriptors */

wsb_err wsg_loop_watch(struct wsg_loop *l, struct wsg_watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &e) != 0)
        return errno == ENOMEM || errno == ENOSPC ? WSB_ERR_NOMEM : WSB_ERR_IO;
    w->events = events;
    return WSB_OK;
}

void wsg_loop_rewatch(struct wsg_loop *l, struct wsg_watch *w, uint32_t events)
{
    if (w->events == events)
        return;
    struct epoll_event e = {.events = events, .data.ptr = w};
    int failed = epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &e);
    assert(!failed); /* registered before: only a bug can make this fail */
    (void)failed;
    w->events = events;
}

void wsg_loop_unwatch(struct wsg_loop *l, struct wsg_watch *w)
{
    if (w->fd >= 0)
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    w->events = 0;
    for (int i = l->event_at; i < l->event_count; i++) {
        if (l->events[i].data.ptr == w)
            l->events[i].events = 0;
    }
}

static void dispatch(struct wsg_loop *l)
{
    for (l->event_at = 0; l->event_at < l->event_count;) {
        struct epoll_event *e = &l->events[l->event_at++];
        struct wsg_watch *w = e->data.ptr;
        if (w && e->events)
            w->fn(w, e->events);
    }
    l->event_count = l->event_at = 0;
}

/* ------------------------------------------------------------------ timers */

wsb_err wsg_loop_arm(struct wsg_loop *l, struct wsg_timer *t, uint64_t due_ms)
{
    return wsg_heap_set(&l->timers, t, due_ms);
}

void wsg_loop_disarm(struct wsg_loop *l, struct wsg_timer *t)
{
    wsg_heap_remove(&l->timers, t);
}

static void run_timers(struct wsg_loop *l)
{
    for (int budget = TIMERS_PER_ROUND; budget; budget--) { /* a storm of timers must not starve the descriptors */
        struct wsg_timer *t = wsg_heap_pop_due(&l->timers, wsg_loop_now_ms(l));
        if (!t)
            return;
        t->fn(t);
    }
}

/* ------------------------------------------------------------------- tasks */

static void wake(struct wsg_loop *l)
{
    uint64_t one = 1;
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_exchange_explicit(&l->sleeps, false, memory_order_acq_rel)) {
        ssize_t ignored = write(l->wake_fd, &one, sizeof one);
        (void)ignored; /* EAGAIN: the counter is full, so a wake-up is on its way */
    }
}

void wsg_loop_post(struct wsg_loop *l, struct wsg_task *t)
{
    struct wsg_task *head = atomic_load_explicit(&l->posted, memory_order_relaxed);
    do {
        t->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&l->posted, &head, t, memory_order_release, memory_order_relaxed));
    wake(l);
}

void wsg_loop_stop(struct wsg_loop *l)
{
    atomic_store(&l->stop, true);
    wake(l);
}

static void run_posted(struct wsg_loop *l)
{
    struct wsg_task *newest = atomic_exchange_explicit(&l->posted, NULL, memory_order_acquire);
    struct wsg_task *oldest = NULL;
    while (newest) { /* turn the list round: oldest first */
        struct wsg_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct wsg_task *t = oldest;
        oldest = t->next; /* before the call: the task may free itself */
        t->fn(t);
    }
}

void wsg_loop_defer(struct wsg_loop *l, struct wsg_task *t)
{
    t->next = NULL;
    *l->deferred_end = t;
    l->deferred_end = &t->next;
}

static void run_deferred(struct wsg_loop *l)
{
    while (l->deferred) {
        struct wsg_task *t = l->deferred;
        l->deferred = t->next;
        if (!l->deferred)
            l->deferred_end = &l->deferred;
        t->fn(t);
    }
}

/* ------------------------------------------------------------------ rounds */

static int sleep_time(struct wsg_loop *l, int limit_ms)
{
    uint64_t now_ms = l->timers.count ? read_us(l) / 1000 : 0; /* a long round must not make timers late */
    int wait_ms = wsg_heap_wait_ms(&l->timers, now_ms);
    if (limit_ms >= 0 && (wait_ms < 0 || wait_ms > limit_ms))
        wait_ms = limit_ms;
    return wait_ms;
}

void wsg_loop_wake_by(struct wsg_loop *l, uint64_t at_us)
{
    l->wake_by_us = at_us;
}

/* Milliseconds are too coarse when somebody wants to be woken by a certain time. */
static int wait_for_events(struct wsg_loop *l, int wait_ms)
{
    if (!l->wake_by_us || wait_ms == 0)
        return epoll_wait(l->epoll_fd, l->events, EVENTS_PER_ROUND, wait_ms);
    uint64_t now_us = read_us(l);
    uint64_t wait_us = l->wake_by_us > now_us ? l->wake_by_us - now_us : 0;
    if (wait_ms > 0 && wait_us > (uint64_t)wait_ms * 1000)
        wait_us = (uint64_t)wait_ms * 1000;
    struct timespec wait = {.tv_sec = (time_t)(wait_us / 1000000), .tv_nsec = (long)(wait_us % 1000000) * 1000};
    int n = epoll_pwait2(l->epoll_fd, l->events, EVENTS_PER_ROUND, &wait, NULL);
    if (n < 0 && errno == ENOSYS) /* Linux before 5.11: rather too early */
        n = epoll_wait(l->epoll_fd, l->events, EVENTS_PER_ROUND, (int)(wait_us / 1000));
    return n;
}

void wsg_loop_round(struct wsg_loop *l, int timeout_ms)
{
    leave_out_gap(l, l->now_us, 0); /* one step of the round before took so long, or we were stopped in it */
    int wait_ms = sleep_time(l, timeout_ms);
    uint64_t before_us = read_us(l);
    atomic_store(&l->sleeps, true);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&l->posted) || atomic_load(&l->stop))
        wait_ms = 0;
    int n = wait_for_events(l, wait_ms);
    atomic_store(&l->sleeps, false);
    l->wake_by_us = 0;
    l->event_count = n > 0 ? n : 0;
    l->event_at = 0;
    if (wait_ms >= 0)
        leave_out_gap(l, before_us, (uint64_t)wait_ms * 1000);
    read_clocks(l);
    dispatch(l);
    bool may_have_more = n == EVENTS_PER_ROUND; /* of those some may have spoken as well */
    l->postponed = may_have_more && l->postponed < POSTPONED_MAX ? l->postponed + 1 : 0;
    if (!l->postponed)
        run_timers(l);
    run_posted(l);
    if (l->hook)
        l->hook(l->hook_ctx);
    run_deferred(l);
}

void wsg_loop_run(struct wsg_loop *l)
{
    l->thread = pthread_self();
    while (!atomic_load(&l->stop))
        wsg_loop_round(l, -1);
}
