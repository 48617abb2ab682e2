/* A flood of lines is a few lines. */
#include "support/test.h"

#include "base/log_limit.h"

static void test_the_first_of_each_second(void **state)
{
    struct wsb_log_limit l = {0};
    (void)state;
    for (int i = 0; i < WSB_LOG_LIMIT_LINES; i++)
        assert_true(wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 500));
    for (int i = 0; i < 1000; i++)
        assert_false(wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 999));
    for (int i = 0; i < WSB_LOG_LIMIT_LINES; i++)
        assert_true(wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 1000));
    assert_false(wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 1000));
}

static void test_the_first_second_is_like_any_other(void **state)
{
    struct wsb_log_limit l = {0};
    int lines = 0;
    (void)state;
    for (int i = 0; i < 100; i++)
        lines += wsb_log_limit(&l, WSB_LOG_LIMIT_LINES, 0);
    assert_int_equal(lines, WSB_LOG_LIMIT_LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_of_each_second),
        cmocka_unit_test(test_the_first_second_is_like_any_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
