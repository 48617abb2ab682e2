#ifndef WSG_LOOP_LOOP_H
#define WSG_LOOP_LOOP_H

/*
 * One thread's event loop: descriptors (epoll, level-triggered), timers, tasks from other threads, and one hook that runs
 * at the end of each round. In a dispatch nothing is freed that another event of the round could still name: defer it.
 *
 * Threads   everything from the loop's own thread, except wsg_loop_post() and wsg_loop_stop()
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/err.h"

struct wsg_loop;

/* A descriptor to wait for; embedded in its owner, which must wsg_loop_unwatch() before it closes the fd. */
struct wsg_watch {
    int fd;
    uint32_t events; /* EPOLLIN, EPOLLOUT as asked for; 0 while not registered */
    void (*fn)(struct wsg_watch *w, uint32_t events);
};

/* Once, at due_ms; embedded in its owner. */
struct wsg_timer {
    uint64_t due_ms;
    size_t heap_index; /* 1-based place in the heap; 0 while not armed */
    void (*fn)(struct wsg_timer *t);
};

/* Something to do; embedded in its owner, which lets it be queued once at a time. */
struct wsg_task {
    struct wsg_task *next;
    void (*fn)(struct wsg_task *t);
};

WSB_MUST_CHECK wsb_err wsg_loop_new(struct wsg_loop **ret);
void wsg_loop_free(struct wsg_loop *l);

/* Run rounds until wsg_loop_stop(). */
void wsg_loop_run(struct wsg_loop *l);
/* One round that waits at most timeout_ms; for tests and for the drain at the end. */
void wsg_loop_round(struct wsg_loop *l, int timeout_ms);
void wsg_loop_stop(struct wsg_loop *l); /* any thread */

WSB_MUST_CHECK wsb_err wsg_loop_watch(struct wsg_loop *l, struct wsg_watch *w, uint32_t events);
/* Change what a registered descriptor waits for; 0 events keep it registered for errors and hang-up only. */
void wsg_loop_rewatch(struct wsg_loop *l, struct wsg_watch *w, uint32_t events);
void wsg_loop_unwatch(struct wsg_loop *l, struct wsg_watch *w);

/* Arm, or move, a timer. */
WSB_MUST_CHECK wsb_err wsg_loop_arm(struct wsg_loop *l, struct wsg_timer *t, uint64_t due_ms);
void wsg_loop_disarm(struct wsg_loop *l, struct wsg_timer *t);

/* Hand a task to the loop; it runs in the loop's thread, after those posted earlier by the same thread. Any thread. */
void wsg_loop_post(struct wsg_loop *l, struct wsg_task *t);
/* Run a task when this round's dispatch is over, after the hook. */
void wsg_loop_defer(struct wsg_loop *l, struct wsg_task *t);
/* The hook at the end of each round: where output is flushed, once for all that the round brought. */
void wsg_loop_set_round_hook(struct wsg_loop *l, void (*fn)(void *ctx), void *ctx);

/* Begin the next round no later than at this time, as wsg_loop_now_us() tells it, for what a timer is too coarse for. The
 * latest call counts, until the next round begins; 0 takes it back. */
void wsg_loop_wake_by(struct wsg_loop *l, uint64_t at_us);

/* The time of this round: read once, so that no event of it needs a clock call. It stands still while the loop does not run. */
uint64_t wsg_loop_gaps(const struct wsg_loop *l);    /* how often that was so */
uint64_t wsg_loop_now_ms(const struct wsg_loop *l);  /* monotonic */
uint64_t wsg_loop_now_us(const struct wsg_loop *l);  /* monotonic */
uint64_t wsg_loop_read_us(const struct wsg_loop *l); /* the same clock as it is now, not as the round began */
uint64_t wsg_loop_wall_ns(const struct wsg_loop *l); /* since the Unix epoch */
bool wsg_loop_is_own_thread(const struct wsg_loop *l);

#endif
