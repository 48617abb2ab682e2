/* The event loop: descriptors, tasks from other threads, what may be undone in the middle of a round. */
#include "support/test.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"

struct fixture {
    struct wsg_loop *loop;
    int pair[2];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(wsg_loop_new(&f->loop), WSB_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->pair), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close(f->pair[0]);
    close(f->pair[1]);
    wsg_loop_free(f->loop);
    free(f);
    return 0;
}

struct counted {
    struct wsg_watch watch;
    int calls;
    struct wsg_loop *loop;
    struct counted *other; /* to be unwatched when this one is called */
};

static void on_counted(struct wsg_watch *w, uint32_t events)
{
    struct counted *c = (struct counted *)(void *)w;
    assert_true(events & EPOLLIN);
    c->calls++;
    if (c->other && c->other->watch.events)
        wsg_loop_unwatch(c->loop, &c->other->watch);
}

static void test_loop_calls_a_watch_until_it_is_unwatched(void **state)
{
    struct fixture *f = *state;
    struct counted c = {.watch = {.fd = f->pair[0], .fn = on_counted}};
    assert_int_equal(wsg_loop_watch(f->loop, &c.watch, EPOLLIN), WSB_OK);
    assert_int_equal(write(f->pair[1], "x", 1), 1);
    wsg_loop_round(f->loop, 0);
    wsg_loop_round(f->loop, 0); /* level-triggered: it was not read */
    assert_int_equal(c.calls, 2);
    wsg_loop_rewatch(f->loop, &c.watch, 0);
    wsg_loop_round(f->loop, 0);
    assert_int_equal(c.calls, 2);
    wsg_loop_unwatch(f->loop, &c.watch);
}

static void test_unwatching_in_a_round_silences_what_was_still_to_come(void **state)
{
    struct fixture *f = *state;
    struct counted a = {.watch = {.fd = f->pair[0], .fn = on_counted}, .loop = f->loop};
    struct counted b = {.watch = {.fd = f->pair[1], .fn = on_counted}, .loop = f->loop};
    a.other = &b;
    b.other = &a;
    assert_int_equal(write(f->pair[0], "x", 1), 1);
    assert_int_equal(write(f->pair[1], "x", 1), 1);
    assert_int_equal(wsg_loop_watch(f->loop, &a.watch, EPOLLIN), WSB_OK);
    assert_int_equal(wsg_loop_watch(f->loop, &b.watch, EPOLLIN), WSB_OK);
    wsg_loop_round(f->loop, 0);
    assert_int_equal(a.calls + b.calls, 1); /* whoever came first silenced the other */
    if (a.watch.events)
        wsg_loop_unwatch(f->loop, &a.watch);
    if (b.watch.events)
        wsg_loop_unwatch(f->loop, &b.watch);
}

enum { POSTERS = 4, POSTS = 5000 };

struct post {
    struct wsg_task task;
    int thread, number;
    int (*last)[POSTERS];
    int *total;
    struct wsg_loop *loop;
};

static void on_post(struct wsg_task *t)
{
    struct post *p = (struct post *)(void *)t;
    assert_int_equal((*p->last)[p->thread] + 1, p->number); /* in the order in which its thread posted */
    (*p->last)[p->thread] = p->number;
    if (++*p->total == POSTERS * POSTS)
        wsg_loop_stop(p->loop);
}

struct poster {
    struct post *posts;
    struct wsg_loop *loop;
};

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++)
        wsg_loop_post(p->loop, &p->posts[i].task);
    return NULL;
}

static void test_posts_of_many_threads_all_arrive_in_order(void **state)
{
    struct fixture *f = *state;
    int last[POSTERS] = {-1, -1, -1, -1};
    int total = 0;
    pthread_t threads[POSTERS];
    struct poster posters[POSTERS];
    for (int t = 0; t < POSTERS; t++) {
        posters[t] = (struct poster){calloc(POSTS, sizeof(struct post)), f->loop};
        for (int i = 0; i < POSTS; i++)
            posters[t].posts[i] = (struct post){{NULL, on_post}, t, i, &last, &total, f->loop};
        assert_int_equal(pthread_create(&threads[t], NULL, post_all, &posters[t]), 0);
    }
    wsg_loop_run(f->loop); /* a lost wake-up would hang here, and the test's time limit tells */
    assert_int_equal(total, POSTERS * POSTS);
    for (int t = 0; t < POSTERS; t++) {
        pthread_join(threads[t], NULL);
        free(posters[t].posts);
    }
}

struct fired {
    struct wsg_timer timer;
    int calls;
};

static void on_timer(struct wsg_timer *t)
{
    ((struct fired *)(void *)t)->calls++;
}

static void test_timer_fires_once(void **state)
{
    struct fixture *f = *state;
    struct fired due = {.timer.fn = on_timer};
    struct fired later = {.timer.fn = on_timer};
    assert_int_equal(wsg_loop_arm(f->loop, &due.timer, wsg_loop_now_ms(f->loop)), WSB_OK);
    assert_int_equal(wsg_loop_arm(f->loop, &later.timer, wsg_loop_now_ms(f->loop) + 3600000), WSB_OK);
    wsg_loop_round(f->loop, 0);
    wsg_loop_round(f->loop, 0);
    assert_int_equal(due.calls, 1);
    assert_int_equal(later.calls, 0);
    wsg_loop_disarm(f->loop, &later.timer);
}

struct step {
    struct wsg_task task;
    char *log;
    char name;
};

static void on_step(struct wsg_task *t)
{
    struct step *s = (struct step *)(void *)t;
    s->log[strlen(s->log)] = s->name;
}

static void hook(void *ctx)
{
    char *log = ctx;
    log[strlen(log)] = 'h';
}

static void test_deferred_tasks_run_after_the_hook(void **state)
{
    struct fixture *f = *state;
    char log[16] = "";
    struct step posted = {{NULL, on_step}, log, 'p'};
    struct step deferred = {{NULL, on_step}, log, 'd'};
    wsg_loop_set_round_hook(f->loop, hook, log);
    wsg_loop_defer(f->loop, &deferred.task);
    wsg_loop_post(f->loop, &posted.task);
    wsg_loop_round(f->loop, 0);
    assert_string_equal(log, "phd");
}

/* Without it these rounds would never end. */
static void test_a_round_begins_when_it_was_asked_to(void **state)
{
    struct fixture *f = *state;
    wsg_loop_wake_by(f->loop, 1); /* long ago */
    wsg_loop_round(f->loop, -1);
    uint64_t at_us = wsg_loop_read_us(f->loop) + 300;
    wsg_loop_wake_by(f->loop, at_us);
    wsg_loop_round(f->loop, -1);
    assert_true(wsg_loop_now_us(f->loop) >= at_us);
}

/* ------------------------------------------------------------------ silence */

struct judge {
    struct wsg_timer timer;
    struct wsg_watch watch;
    struct wsg_loop *loop;
    int fd;
    bool has_spoken, was_judged_silent;
};

static void on_judgement(struct wsg_timer *t)
{
    struct judge *j = (struct judge *)(void *)t;
    j->was_judged_silent = !j->has_spoken;
}

static void on_word(struct wsg_watch *w, uint32_t events)
{
    struct judge *j = (struct judge *)(void *)((char *)w - offsetof(struct judge, watch));
    char byte;
    (void)events;
    j->has_spoken = j->has_spoken || read(j->fd, &byte, 1) == 1;
}

static void begin_judging(struct fixture *f, struct judge *j)
{
    *j = (struct judge){
        .timer.fn = on_judgement, .watch = {.fd = f->pair[0], .fn = on_word}, .loop = f->loop, .fd = f->pair[0]};
    assert_int_equal(wsg_loop_watch(f->loop, &j->watch, EPOLLIN), WSB_OK);
}

/* Both are there in the same round: what was said, and the end of the time to say it in. */
static void test_what_was_said_is_read_before_anybody_is_judged(void **state)
{
    struct fixture *f = *state;
    struct judge j;
    begin_judging(f, &j);
    assert_int_equal(wsg_loop_arm(f->loop, &j.timer, wsg_loop_now_ms(f->loop)), WSB_OK);
    assert_int_equal(write(f->pair[1], "x", 1), 1);
    wsg_loop_round(f->loop, 0);
    assert_true(j.has_spoken);
    assert_false(j.was_judged_silent);
    assert_int_equal(j.timer.heap_index, 0); /* it was its time */
}

static void hold_up(struct wsg_task *t)
{
    const struct timespec long_step = {.tv_nsec = 700000000};
    (void)t;
    nanosleep(&long_step, NULL); /* the process was stopped meanwhile, for all that the loop knows */
}

static void test_time_in_which_the_loop_did_not_run_has_not_passed(void **state)
{
    struct fixture *f = *state;
    struct wsg_task step = {.fn = hold_up};
    struct judge j;
    begin_judging(f, &j);
    uint64_t begin_ms = wsg_loop_now_ms(f->loop);
    assert_int_equal(wsg_loop_arm(f->loop, &j.timer, begin_ms + 300), WSB_OK);
    wsg_loop_post(f->loop, &step);
    wsg_loop_round(f->loop, 0);
    wsg_loop_round(f->loop, 0);
    assert_int_equal(wsg_loop_gaps(f->loop), 1);
    assert_in_range(wsg_loop_now_ms(f->loop), begin_ms, begin_ms + 100);
    assert_int_not_equal(j.timer.heap_index, 0); /* not its time yet: nobody could have spoken */
    while (j.timer.heap_index)
        wsg_loop_round(f->loop, -1);
    assert_in_range(wsg_loop_now_ms(f->loop), begin_ms + 300, begin_ms + 800);
    assert_int_equal(wsg_loop_gaps(f->loop), 1); /* to wait is no gap */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_loop_calls_a_watch_until_it_is_unwatched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unwatching_in_a_round_silences_what_was_still_to_come, setup, teardown),
        cmocka_unit_test_setup_teardown(test_posts_of_many_threads_all_arrive_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer_fires_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_said_is_read_before_anybody_is_judged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_time_in_which_the_loop_did_not_run_has_not_passed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_round_begins_when_it_was_asked_to, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deferred_tasks_run_after_the_hook, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
