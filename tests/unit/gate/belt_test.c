/* Loads from one thread to another: all of them, in order, short and long, and no wake that is lost. */
#include "support/test.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "gate/belt.h"

enum { LOADS = 20000 };

static void fill(struct wsb_buf *b, uint32_t number)
{
    size_t len = number % 997 == 0 ? 100000 : 4 + number % 3000; /* now and then one that changes hands */
    wsb_buf_clear(b);
    if (wsb_buf_reserve(b, len) != WSB_OK)
        abort();
    memset(b->data, (int)(number & 0xff), len);
    memcpy(b->data, &number, sizeof number);
    b->len = len;
}

static void check(struct wsb_span s, uint32_t number)
{
    uint32_t got;
    size_t len = number % 997 == 0 ? 100000 : 4 + number % 3000;
    assert_int_equal(s.len, len);
    memcpy(&got, s.ptr, sizeof got);
    assert_int_equal(got, number);
    for (size_t i = 4; i < s.len; i++)
        assert_int_equal(s.ptr[i], number & 0xff);
}

static void test_belt_full_then_room(void **state)
{
    struct wsg_belt b;
    struct wsb_buf out;
    struct wsb_span got;
    uint32_t put = 0;
    (void)state;
    assert_int_equal(wsg_belt_open(&b, NULL), WSB_OK);
    wsb_buf_init(&out, 0);
    for (fill(&out, 1); wsg_belt_put(&b, &out); fill(&out, put + 1))
        put++;
    assert_true(put > 10);
    assert_int_equal(out.len, 4 + (put + 1) % 3000); /* as it was */
    for (uint32_t i = 1; i <= put; i++) {
        assert_true(wsg_belt_next(&b, &got));
        check(got, i);
        wsg_belt_done(&b);
    }
    assert_false(wsg_belt_next(&b, &got));
    assert_true(wsg_belt_put(&b, &out));
    assert_int_equal(out.len, 0);
    wsg_belt_close(&b); /* with one in it */
    wsb_buf_deinit(&out);
}

static void test_belt_wakes_once(void **state)
{
    struct wsg_belt b;
    struct wsb_buf out;
    struct wsb_span got;
    (void)state;
    assert_int_equal(wsg_belt_open(&b, NULL), WSB_OK);
    wsb_buf_init(&out, 0);
    assert_true(wsg_belt_may_sleep(&b));
    fill(&out, 5);
    assert_true(wsg_belt_put(&b, &out));
    assert_true(wsg_belt_tell(&b));
    assert_false(wsg_belt_tell(&b));
    fill(&out, 6);
    assert_true(wsg_belt_put(&b, &out));
    assert_false(wsg_belt_tell(&b)); /* it is awake */
    assert_false(wsg_belt_may_sleep(&b));
    while (wsg_belt_next(&b, &got))
        wsg_belt_done(&b);
    assert_true(wsg_belt_may_sleep(&b));
    wsg_belt_close(&b);
    wsb_buf_deinit(&out);
}

static void test_belt_long_ones_left_inside(void **state)
{
    struct wsg_belt b;
    struct wsb_buf out;
    (void)state;
    assert_int_equal(wsg_belt_open(&b, NULL), WSB_OK);
    wsb_buf_init(&out, 0);
    for (uint32_t i = 0; i < 3; i++) {
        fill(&out, 997 * i);
        assert_true(wsg_belt_put(&b, &out));
        assert_null(out.data); /* it changed hands */
    }
    wsg_belt_close(&b); /* the leak check says whether they were freed */
    wsb_buf_deinit(&out);
}

/* Two threads: the consumer sleeps whenever it may. */
struct pair {
    struct wsg_belt b;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    int wakes;
};

static void *produce(void *arg)
{
    struct pair *p = arg;
    struct wsb_buf out;
    wsb_buf_init(&out, 0);
    for (uint32_t i = 0; i < LOADS; i++) {
        fill(&out, i);
        while (!wsg_belt_put(&p->b, &out))
            sched_yield();
        if (!wsg_belt_tell(&p->b))
            continue;
        pthread_mutex_lock(&p->lock);
        p->wakes++;
        pthread_cond_signal(&p->woken);
        pthread_mutex_unlock(&p->lock);
    }
    wsb_buf_deinit(&out);
    return NULL;
}

static void test_belt_two_threads(void **state)
{
    static struct pair p = {.lock = PTHREAD_MUTEX_INITIALIZER, .woken = PTHREAD_COND_INITIALIZER};
    pthread_t producer;
    struct wsb_span got;
    uint32_t next = 0;
    int seen = 0;
    (void)state;
    assert_int_equal(wsg_belt_open(&p.b, NULL), WSB_OK);
    assert_int_equal(pthread_create(&producer, NULL, produce, &p), 0);
    while (next < LOADS) {
        while (wsg_belt_next(&p.b, &got)) {
            check(got, next++);
            wsg_belt_done(&p.b);
        }
        if (next == LOADS || !wsg_belt_may_sleep(&p.b))
            continue;
        pthread_mutex_lock(&p.lock);
        while (p.wakes == seen) /* a lost wake would never end this */
            pthread_cond_wait(&p.woken, &p.lock);
        seen = p.wakes;
        pthread_mutex_unlock(&p.lock);
    }
    pthread_join(producer, NULL);
    wsg_belt_close(&p.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_belt_full_then_room),
        cmocka_unit_test(test_belt_wakes_once),
        cmocka_unit_test(test_belt_long_ones_left_inside),
        cmocka_unit_test(test_belt_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
