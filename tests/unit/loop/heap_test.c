/* The timer heap: earliest first, whatever is moved or taken out in between. */
#include "support/test.h"

#include "loop/heap.h"

enum { TIMERS = 500 };

static void test_heap_pops_in_order_of_time(void **state)
{
    struct wsg_heap h = {0};
    struct wsg_timer timers[TIMERS] = {0};
    uint32_t seed = 1;
    (void)state;
    for (int i = 0; i < TIMERS; i++) {
        seed = seed * 1664525u + 1013904223u;
        assert_int_equal(wsg_heap_set(&h, &timers[i], seed % 1000), WSB_OK);
    }
    for (int i = 0; i < TIMERS; i += 3) { /* move a third, take out a third */
        assert_int_equal(wsg_heap_set(&h, &timers[i], timers[i].due_ms / 2), WSB_OK);
        if (i + 1 < TIMERS)
            wsg_heap_remove(&h, &timers[i + 1]);
    }
    uint64_t last = 0;
    int count = 0;
    for (struct wsg_timer *t; (t = wsg_heap_pop_due(&h, 1000)); count++) {
        assert_true(t->due_ms >= last);
        assert_int_equal(t->heap_index, 0);
        last = t->due_ms;
    }
    assert_int_equal(count, TIMERS - TIMERS / 3 - (TIMERS % 3 > 1));
    assert_int_equal(h.count, 0);
    wsg_heap_deinit(&h);
}

static void test_heap_pops_nothing_before_its_time(void **state)
{
    struct wsg_heap h = {0};
    struct wsg_timer t = {0};
    (void)state;
    assert_int_equal(wsg_heap_wait_ms(&h, 0), -1);
    assert_int_equal(wsg_heap_set(&h, &t, 100), WSB_OK);
    assert_null(wsg_heap_pop_due(&h, 99));
    assert_int_equal(wsg_heap_wait_ms(&h, 40), 60);
    assert_int_equal(wsg_heap_wait_ms(&h, 200), 0);
    assert_ptr_equal(wsg_heap_pop_due(&h, 100), &t);
    wsg_heap_remove(&h, &t); /* not armed: nothing happens */
    wsg_heap_deinit(&h);
}

static void test_heap_waits_at_most_what_an_int_holds(void **state)
{
    struct wsg_heap h = {0};
    struct wsg_timer t = {0};
    (void)state;
    assert_int_equal(wsg_heap_set(&h, &t, UINT64_MAX), WSB_OK);
    assert_int_equal(wsg_heap_wait_ms(&h, 0), INT32_MAX);
    wsg_heap_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heap_pops_in_order_of_time),
        cmocka_unit_test(test_heap_pops_nothing_before_its_time),
        cmocka_unit_test(test_heap_waits_at_most_what_an_int_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
