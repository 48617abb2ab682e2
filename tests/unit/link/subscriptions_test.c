/* Subscriptions of several sockets: the first and the last are told, however the others come and go. */
#include "support/test.h"

#include "link/subscriptions.h"

static void test_subscriptions_first_and_last_are_told(void **state)
{
    static const struct {
        const char *prefix;
        unsigned socket;
        bool begins, want;
    } rows[] = {
        {"chat ", 0, true, true},   {"chat ", 1, true, false},  {"chat d", 1, true, true}, {"", 1, true, true},
        {"chat ", 0, false, false}, {"chat ", 0, true, false},  {"", 0, true, false},      {"chat ", 1, false, false},
        {"chat ", 0, false, true},  {"chat ", 0, false, true},  {"", 1, false, false},     {"", 0, false, true},
        {"chat ", 1, true, true},   {"chat d", 1, false, true}, {"chat ", 1, false, true},
    };
    struct wsb_subscriptions t = {0};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (wsb_subscriptions_note(&t, rows[i].socket, wsb_span_str(rows[i].prefix), rows[i].begins) != rows[i].want)
            fail_msg("row %zu", i);
    }
    assert_int_equal(t.count, 0);
    wsb_subscriptions_deinit(&t);
}

static void test_subscriptions_are_bounded(void **state)
{
    struct wsb_subscriptions t = {0};
    char prefix[32];
    (void)state;
    for (int i = 0; i <= WSB_SUBSCRIPTIONS_MAX; i++) {
        (void)snprintf(prefix, sizeof prefix, "topic %d", i);
        assert_true(wsb_subscriptions_note(&t, 0, wsb_span_str(prefix), /*begins=*/true));
    }
    assert_int_equal(t.count, WSB_SUBSCRIPTIONS_MAX);
    assert_true(wsb_subscriptions_note(&t, 1, wsb_span_str(prefix), /*begins=*/true)); /* as it came */
    assert_true(wsb_subscriptions_note(&t, 1, wsb_span_str(prefix), /*begins=*/false));
    wsb_subscriptions_deinit(&t);
    assert_int_equal(t.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subscriptions_first_and_last_are_told),
        cmocka_unit_test(test_subscriptions_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
