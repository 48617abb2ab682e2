/* Sums of lines that were left out, by kind, in a table that does not grow. */
#include "support/test.h"

#include <stdio.h>

#include "base/log_sums.h"

static uint64_t total_of(const struct wsb_log_sums *s)
{
    uint64_t total = 0;
    for (size_t i = 0; i < s->used; i++)
        total += s->at[i].count;
    return total;
}

static void test_a_kind_is_a_module_a_level_and_a_text(void **state)
{
    struct wsb_log_sums s = {.used = 0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        wsb_log_sums_add(&s, 1, 2, "refused", 1);
        wsb_log_sums_add(&s, 1, 3, "refused", 10);
        wsb_log_sums_add(&s, 2, 2, "refused", 100);
        wsb_log_sums_add(&s, 1, 2, "refuse", 1000);
    }
    assert_int_equal(s.used, 4);
    assert_int_equal(s.at[0].count, 3);
    assert_int_equal(s.at[1].count, 30);
    assert_int_equal(s.at[2].count, 300);
    assert_int_equal(s.at[3].count, 3000);
    assert_string_equal(s.at[3].of, "refuse");
}

static void test_a_table_that_was_emptied_begins_at_zero(void **state)
{
    struct wsb_log_sums s = {.used = 0};
    (void)state;
    wsb_log_sums_add(&s, 1, 2, "a rather long text", 7);
    s.used = 0;
    wsb_log_sums_add(&s, 1, 2, "short", 1);
    assert_int_equal(s.at[0].count, 1);
    assert_string_equal(s.at[0].of, "short");
}

static void test_kinds_without_a_place_share_one_and_none_is_missed(void **state)
{
    struct wsb_log_sums s = {.used = 0};
    uint64_t added = 0;
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3 * WSB_LOG_SUMS; i++, added++) {
            char of[32];
            (void)snprintf(of, sizeof of, "handler %d", i);
            wsb_log_sums_add(&s, 6, 1, of, 1);
        }
    }
    assert_int_equal(s.used, WSB_LOG_SUMS);
    assert_int_equal(total_of(&s), added);
    assert_int_equal(s.at[0].count, 2);
    assert_string_equal(s.at[WSB_LOG_SUMS - 1].of, "other lines");
}

static void test_a_text_that_is_too_long_is_cut(void **state)
{
    struct wsb_log_sums s = {.used = 0};
    char of[200];
    (void)state;
    memset(of, 'x', sizeof of - 1);
    of[sizeof of - 1] = 0;
    wsb_log_sums_add(&s, 1, 2, of, 1);
    wsb_log_sums_add(&s, 1, 2, of, 1);
    assert_int_equal(s.used, 1);
    assert_int_equal(s.at[0].count, 2);
    assert_int_equal(strlen(s.at[0].of), WSB_LOG_SUM_TEXT - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_kind_is_a_module_a_level_and_a_text),
        cmocka_unit_test(test_a_table_that_was_emptied_begins_at_zero),
        cmocka_unit_test(test_kinds_without_a_place_share_one_and_none_is_missed),
        cmocka_unit_test(test_a_text_that_is_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
