/* Quantiles: exact when small, within 0.8 % when not, never above the largest value. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "histogram.h"

static void test_an_empty_one_answers_zero(void **state)
{
    (void)state;
    static struct wsl_histogram h;
    assert_int_equal(wsl_histogram_quantile(&h, 500000), 0);
    assert_true(wsl_histogram_mean(&h) == 0);
}

static void test_quantiles_of_a_hundred_numbers(void **state)
{
    (void)state;
    static struct wsl_histogram h;
    for (uint64_t i = 1; i <= 100; i++)
        wsl_histogram_add(&h, i);
    assert_int_equal(wsl_histogram_quantile(&h, 0), 1);
    assert_int_equal(wsl_histogram_quantile(&h, 500000), 50);
    assert_int_equal(wsl_histogram_quantile(&h, 990000), 99);
    assert_int_equal(wsl_histogram_quantile(&h, 990001), 100);
    assert_int_equal(wsl_histogram_quantile(&h, 1000000), 100);
    assert_true(wsl_histogram_mean(&h) == 50.5);
}

static void test_every_power_of_two_is_within_a_hundredth(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        static struct wsl_histogram h;
        uint64_t value = (uint64_t)1 << bit;
        h = (struct wsl_histogram){0};
        wsl_histogram_add(&h, value);
        wsl_histogram_add(&h, UINT64_MAX);
        uint64_t got = wsl_histogram_quantile(&h, 500000);
        assert_true(got >= value && got - value <= value / 100);
    }
}

static void test_merging_counts_both(void **state)
{
    (void)state;
    static struct wsl_histogram a, b;
    wsl_histogram_add(&a, 1);
    wsl_histogram_add(&b, 200);
    wsl_histogram_merge(&a, &b);
    assert_int_equal(a.count, 2);
    assert_int_equal(a.max, 200);
    assert_int_equal(wsl_histogram_quantile(&a, 1000000), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_one_answers_zero),
        cmocka_unit_test(test_quantiles_of_a_hundred_numbers),
        cmocka_unit_test(test_every_power_of_two_is_within_a_hundredth),
        cmocka_unit_test(test_merging_counts_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
