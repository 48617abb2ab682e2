/* A flood of lines is a few lines and a sum. */
#include "support/test.h"

#include "base/log_limit.h"

static void test_the_first_of_a_second_and_then_a_sum(void **state)
{
    struct wsb_log_limit l = {0};
    uint64_t left_out = 99;
    (void)state;
    for (int i = 0; i < WSB_LOG_LIMIT_LINES; i++) {
        assert_true(wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 500, &left_out));
        assert_int_equal(left_out, 0);
    }
    for (int i = 0; i < 1000; i++)
        assert_false(wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 999, &left_out));
    assert_true(wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 1000, &left_out));
    assert_int_equal(left_out, 1000);
    assert_true(wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 1000, &left_out));
    assert_int_equal(left_out, 0);
}

static void test_the_first_second_is_like_any_other(void **state)
{
    struct wsb_log_limit l = {0};
    uint64_t left_out;
    int lines = 0;
    (void)state;
    for (int i = 0; i < 100; i++)
        lines += wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 0, &left_out);
    assert_int_equal(lines, WSB_LOG_LIMIT_LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_of_a_second_and_then_a_sum),
        cmocka_unit_test(test_the_first_second_is_like_any_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
