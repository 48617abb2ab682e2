/* So many in a second, and a share of it for each address. */
#include "support/test.h"

#include <stdio.h>

#include "net/turnstile.h"

static const struct wsb_seed seed = {1, 2};

static struct wsg_turnstile *turnstile(uint32_t rate, uint32_t burst)
{
    struct wsg_turnstile *t = NULL;
    assert_int_equal(wsg_turnstile_new(&t, &(struct wsg_turnstile_limits){rate, burst}, &seed), WSB_OK);
    return t;
}

static uint32_t pass(struct wsg_turnstile *t, const char *who, uint64_t now_ms)
{
    struct wsb_ip ip = {{0}};
    assert_true(strcmp(who, "unix") == 0 || wsb_ip_parse(wsb_span_str(who), &ip));
    return wsg_turnstile_pass(t, &ip, now_ms);
}

static uint32_t pass_number(struct wsg_turnstile *t, unsigned number, uint64_t now_ms)
{
    char who[32];
    (void)snprintf(who, sizeof who, "10.%u.%u.%u", number >> 16 & 255, number >> 8 & 255, number & 255);
    return pass(t, who, now_ms);
}

static void test_one_alone_has_all_of_it(void **state)
{
    struct wsg_turnstile *t = turnstile(100, 100);
    unsigned passed = 0;
    (void)state;
    for (uint64_t now_ms = 5000; now_ms < 15000; now_ms++)
        passed += pass(t, "192.0.2.1", now_ms) == 0;
    assert_in_range(passed, 1000, 1100); /* ten seconds, and the burst */
    wsg_turnstile_free(t);
}

static void test_the_burst_and_then_the_rate(void **state)
{
    struct wsg_turnstile *t = turnstile(10, 4);
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pass_number(t, i, 1000), 0);
    assert_int_not_equal(pass_number(t, 4, 1000), 0);
    assert_int_not_equal(pass_number(t, 4, 1099), 0);
    assert_int_equal(pass_number(t, 4, 1100), 0);
    assert_int_not_equal(pass_number(t, 5, 1100), 0);
    assert_int_not_equal(pass_number(t, 5, 900), 0); /* a worker whose clock is behind */
    for (unsigned i = 10; i < 14; i++)
        assert_int_equal(pass_number(t, i, 1000000), 0); /* and no more than the burst after a long time */
    assert_int_not_equal(pass_number(t, 14, 1000000), 0);
    wsg_turnstile_free(t);
}

/* One comes a thousand times a second; fifty others once a second each. */
static void test_who_comes_seldom_is_not_kept_out_by_who_comes_often(void **state)
{
    struct wsg_turnstile *t = turnstile(100, 100);
    unsigned turned_away = 0, greedy = 0;
    (void)state;
    for (uint64_t now_ms = 0; now_ms < 10000; now_ms++) {
        greedy += pass(t, "192.0.2.1", now_ms) == 0;
        if (now_ms % 20 == 0)
            turned_away += pass_number(t, (unsigned)(now_ms / 20 % 50), now_ms) != 0;
    }
    assert_int_equal(turned_away, 0);
    assert_in_range(greedy, 450, 650); /* what the others left */
    wsg_turnstile_free(t);
}

/* Many come as often as they like, and there is little at once; one who comes at the beginning of each second is let in. */
static void test_not_even_by_ten_of_them(void **state)
{
    struct wsg_turnstile *t = turnstile(100, 20);
    unsigned turned_away = 0;
    (void)state;
    for (uint64_t now_ms = 0; now_ms < 10000; now_ms++) {
        for (unsigned i = 0; i < 10; i++)
            (void)pass_number(t, i, now_ms);
        if (now_ms % 1000 == 100 && now_ms >= 1000)
            turned_away += pass_number(t, 100, now_ms) != 0;
    }
    assert_in_range(turned_away, 0, 1);
    wsg_turnstile_free(t);
}

/* A storm that goes on is asked back later and later. */
static void test_who_was_asked_back_is_not_forgotten(void **state)
{
    struct wsg_turnstile *t = turnstile(10, 10);
    uint32_t last = 0;
    (void)state;
    for (uint64_t second = 1; second <= 5; second++) {
        for (unsigned i = 0; i < 110; i++)
            last = pass_number(t, (unsigned)second * 1000 + i, second * 1000);
    }
    assert_in_range(last, 40, 55); /* some 500 have been asked back, and 40 of them could have passed since */
    assert_int_not_equal(pass_number(t, 1, 5000), 0);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(pass_number(t, i, 100000), 0);
    assert_int_equal(pass_number(t, 10, 100000), 1); /* and when it is over it is */
    wsg_turnstile_free(t);
}

/* Ten thousand are too many for each to have a place of its own. */
static void test_a_crowd_passes_at_the_rate(void **state)
{
    struct wsg_turnstile *t = turnstile(100, 100);
    static bool has_passed[10000];
    unsigned passed = 0, never = 0;
    (void)state;
    for (uint64_t second = 1; second <= 100; second++) {
        for (unsigned i = 0; i < COUNT(has_passed); i++) {
            if (has_passed[i] || pass_number(t, i, second * 1000 + i / 10) != 0)
                continue;
            has_passed[i] = true;
            passed++;
        }
    }
    for (unsigned i = 0; i < COUNT(has_passed); i++)
        never += !has_passed[i];
    assert_in_range(passed, 9900, 10000);
    assert_in_range(never, 0, 100);
    wsg_turnstile_free(t);
}

static void test_a_household_is_one(void **state)
{
    struct wsg_turnstile *t = turnstile(100, 100);
    char who[64];
    unsigned turned_away = 0;
    (void)state;
    for (uint64_t now_ms = 0; now_ms < 5000; now_ms++) {
        (void)snprintf(who, sizeof who, "2001:db8:0:1::%x", (unsigned)now_ms);
        (void)pass(t, who, now_ms);
        if (now_ms % 100 == 0)
            turned_away += pass_number(t, (unsigned)(now_ms / 100 % 10), now_ms) != 0;
    }
    assert_int_equal(turned_away, 0);
    wsg_turnstile_free(t);
}

static void test_they_are_asked_back_one_after_the_other(void **state)
{
    struct wsg_turnstile *t = turnstile(10, 10);
    uint32_t count[61] = {0};
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(pass_number(t, i, 1000), 0);
    for (unsigned i = 10; i < 1000; i++) {
        uint32_t wait = pass_number(t, i, 1000);
        assert_in_range(wait, 1, 60);
        count[wait]++;
    }
    for (unsigned s = 1; s < 60; s++)
        assert_int_equal(count[s], 10); /* as many in each second as may pass */
    assert_int_equal(count[60], 400);
    wsg_turnstile_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_alone_has_all_of_it),
        cmocka_unit_test(test_the_burst_and_then_the_rate),
        cmocka_unit_test(test_who_comes_seldom_is_not_kept_out_by_who_comes_often),
        cmocka_unit_test(test_not_even_by_ten_of_them),
        cmocka_unit_test(test_who_was_asked_back_is_not_forgotten),
        cmocka_unit_test(test_a_crowd_passes_at_the_rate),
        cmocka_unit_test(test_a_household_is_one),
        cmocka_unit_test(test_they_are_asked_back_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
