/* What one client may send in a second. */
#include "support/test.h"

#include "session/quota.h"

static uint32_t charge(struct wsg_quota *q, const struct wsg_quota_limits *l, size_t bytes, uint64_t now_ms)
{
    wsg_quota_charge(q, l, bytes, now_ms);
    return wsg_quota_wait_ms(q, l, now_ms);
}

static void test_messages_have_a_burst_and_a_rate(void **state)
{
    struct wsg_quota_limits l = {.message_rate = 10, .message_burst = 3};
    struct wsg_quota q;
    (void)state;
    wsg_quota_init(&q, &l, 1000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(charge(&q, &l, 1 << 30, 1000), 0); /* bytes have no limit here */
    assert_int_equal(charge(&q, &l, 0, 1000), 100);
    assert_int_equal(wsg_quota_wait_ms(&q, &l, 1099), 1);
    assert_int_equal(wsg_quota_wait_ms(&q, &l, 1100), 0);
    assert_int_equal(charge(&q, &l, 0, 1100), 100);
    assert_int_equal(charge(&q, &l, 0, 1000000), 0); /* the burst is no larger after a long time */
    assert_int_equal(charge(&q, &l, 0, 1000000), 0);
    assert_int_equal(charge(&q, &l, 0, 1000000), 0);
    assert_int_equal(charge(&q, &l, 0, 1000000), 100);
}

static void test_bytes_are_owed(void **state)
{
    struct wsg_quota_limits l = {.byte_rate = 1000, .byte_burst = 500};
    struct wsg_quota q;
    (void)state;
    wsg_quota_init(&q, &l, 0);
    assert_int_equal(charge(&q, &l, 500, 0), 0);
    assert_int_equal(charge(&q, &l, 16 << 20, 0), 16 << 20); /* a second for each thousand of them */
    assert_int_equal(wsg_quota_wait_ms(&q, &l, 16 << 20), 0);
    assert_int_equal(charge(&q, &l, 0, 16 << 20), 0);
    assert_int_equal(charge(&q, &l, 1, 16 << 20), 1);
}

static void test_the_longer_wait_counts(void **state)
{
    struct wsg_quota_limits l = {.message_rate = 1, .message_burst = 1, .byte_rate = 1000, .byte_burst = 1000};
    struct wsg_quota q;
    (void)state;
    wsg_quota_init(&q, &l, 0);
    assert_int_equal(charge(&q, &l, 1500, 0), 500);
    assert_int_equal(charge(&q, &l, 0, 0), 1000);
}

static void test_the_largest_limits_do_not_wrap(void **state)
{
    struct wsg_quota_limits l = {1000000, 1000000, 1ull << 40, 1ull << 40};
    struct wsg_quota q;
    (void)state;
    wsg_quota_init(&q, &l, 0);
    for (int i = 0; i < 1000; i++)
        (void)charge(&q, &l, 1u << 30, 0);
    assert_int_equal(wsg_quota_wait_ms(&q, &l, 0), 0);
    for (int i = 0; i < 100000; i++)
        (void)charge(&q, &l, 1u << 30, UINT64_MAX / 2 + (uint64_t)i);
    assert_int_equal(wsg_quota_wait_ms(&q, &l, UINT64_MAX / 2 + 200000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_have_a_burst_and_a_rate),
        cmocka_unit_test(test_bytes_are_owed),
        cmocka_unit_test(test_the_longer_wait_counts),
        cmocka_unit_test(test_the_largest_limits_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
