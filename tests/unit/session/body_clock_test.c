/* How long a body takes, and whose time it is. */
#include "support/test.h"

#include "session/body_clock.h"

static const struct wsg_body_limits limits = {.silence_ms = 10, .total_ms = 100};

static uint64_t left(const struct wsg_body_clock *c, uint64_t now_ms)
{
    return wsg_body_clock_left_ms(c, &limits, now_ms);
}

static void test_silence_ends_a_body(void **state)
{
    struct wsg_body_clock c = {0};
    (void)state;
    assert_int_equal(left(&c, 1000), UINT64_MAX); /* it has not begun */
    wsg_body_clock_start(&c, 1000);
    assert_int_equal(left(&c, 1000), 10);
    assert_int_equal(left(&c, 1009), 1);
    assert_int_equal(left(&c, 1010), 0);
    assert_int_equal(left(&c, 9999), 0);
    wsg_body_clock_hear(&c, 1009);
    assert_int_equal(left(&c, 1010), 9);
}

static void test_a_drip_ends_with_the_time_of_the_whole(void **state)
{
    struct wsg_body_clock c = {0};
    (void)state;
    wsg_body_clock_start(&c, 1000);
    for (uint64_t now_ms = 1000; now_ms < 1100; now_ms++) {
        wsg_body_clock_hear(&c, now_ms);
        assert_int_equal(left(&c, now_ms), now_ms <= 1090 ? 10 : 1100 - now_ms);
    }
    wsg_body_clock_hear(&c, 1100);
    assert_int_equal(left(&c, 1100), 0);
    assert_int_equal(wsg_body_clock_left_ms(&c, &(struct wsg_body_limits){.silence_ms = 10}, 1100),
                     10); /* no such limit */
}

static void test_time_that_we_do_not_read_is_not_the_clients(void **state)
{
    struct wsg_body_clock c = {0};
    (void)state;
    wsg_body_clock_start(&c, 1000);
    wsg_body_clock_hear(&c, 1004);
    wsg_body_clock_stop(&c, 1005);
    wsg_body_clock_stop(&c, 2000); /* said twice */
    assert_int_equal(left(&c, 5000), UINT64_MAX);
    wsg_body_clock_start(&c, 9000);
    assert_int_equal(left(&c, 9000), 10); /* the client has to be told first that it may go on */
    for (uint64_t now_ms = 9000; now_ms <= 9094; now_ms++)
        wsg_body_clock_hear(&c, now_ms);
    wsg_body_clock_start(&c, 9094);
    assert_int_equal(left(&c, 9094), 1); /* 5 before, 94 since */
    assert_int_equal(left(&c, 9095), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence_ends_a_body),
        cmocka_unit_test(test_a_drip_ends_with_the_time_of_the_whole),
        cmocka_unit_test(test_time_that_we_do_not_read_is_not_the_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
