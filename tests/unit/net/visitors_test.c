/* Limits of one address. */
#include "support/test.h"

#include "net/visitors.h"

static const struct wsb_seed seed = {1, 2};

static struct wsg_visitors *visitors(uint32_t connections, uint32_t rate, uint32_t burst, size_t most)
{
    struct wsg_visitors *v = NULL;
    struct wsg_visitor_limits limits = {connections, rate, burst};
    assert_int_equal(wsg_visitors_new(&v, &limits, most, &seed), WSB_OK);
    return v;
}

static struct wsb_ip ip_of(const char *text)
{
    struct wsb_ip ip = {{0}};
    assert_true(strcmp(text, "unix") == 0 || wsb_ip_parse(wsb_span_str(text), &ip));
    return ip;
}

static enum wsg_visit enter(struct wsg_visitors *v, const char *who, uint64_t now_ms)
{
    struct wsb_ip ip = ip_of(who);
    return wsg_visitors_enter(v, &ip, now_ms);
}

static void leave(struct wsg_visitors *v, const char *who, uint64_t now_ms)
{
    struct wsb_ip ip = ip_of(who);
    wsg_visitors_leave(v, &ip, now_ms);
}

static void test_an_address_has_so_many_connections(void **state)
{
    struct wsg_visitors *v = visitors(2, 0, 0, 100);
    (void)state;
    assert_int_equal(enter(v, "192.0.2.1", 0), WSG_VISIT_WELCOME);
    assert_int_equal(enter(v, "192.0.2.1", 0), WSG_VISIT_WELCOME);
    assert_int_equal(enter(v, "192.0.2.1", 0), WSG_VISIT_TOO_MANY);
    assert_int_equal(enter(v, "192.0.2.2", 0), WSG_VISIT_WELCOME);
    leave(v, "192.0.2.1", 0);
    assert_int_equal(enter(v, "192.0.2.1", 0), WSG_VISIT_WELCOME);
    assert_int_equal(enter(v, "192.0.2.1", 0), WSG_VISIT_TOO_MANY);
    wsg_visitors_free(v);
}

static void test_a_household_is_one_and_a_unix_socket_none(void **state)
{
    struct wsg_visitors *v = visitors(1, 0, 0, 100);
    (void)state;
    assert_int_equal(enter(v, "2001:db8:0:1::1", 0), WSG_VISIT_WELCOME);
    assert_int_equal(enter(v, "2001:db8:0:1:ffff::2", 0), WSG_VISIT_TOO_MANY);
    assert_int_equal(enter(v, "2001:db8:0:2::1", 0), WSG_VISIT_WELCOME);
    for (int i = 0; i < 5; i++)
        assert_int_equal(enter(v, "unix", 0), WSG_VISIT_WELCOME);
    leave(v, "unix", 0);
    leave(v, "2001:db8:0:1:7::7", 0);
    assert_int_equal(enter(v, "2001:db8:0:1::9", 0), WSG_VISIT_WELCOME);
    wsg_visitors_free(v);
}

static void test_an_address_comes_so_fast(void **state)
{
    struct wsg_visitors *v = visitors(0, 10, 3, 100);
    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(enter(v, "192.0.2.1", 1000), WSG_VISIT_WELCOME);
    assert_int_equal(enter(v, "192.0.2.1", 1000), WSG_VISIT_TOO_FAST);
    assert_int_equal(enter(v, "192.0.2.1", 1099), WSG_VISIT_TOO_FAST);
    assert_int_equal(enter(v, "192.0.2.1", 1100), WSG_VISIT_WELCOME); /* ten a second, whatever was refused */
    assert_int_equal(enter(v, "192.0.2.1", 1199), WSG_VISIT_TOO_FAST);
    for (int i = 0; i < 4; i++)
        leave(v, "192.0.2.1", 1199); /* to have left does not give it back */
    assert_int_equal(enter(v, "192.0.2.1", 1199), WSG_VISIT_TOO_FAST);
    for (int i = 0; i < 3; i++) /* and the burst is no larger after a long time */
        assert_int_equal(enter(v, "192.0.2.1", 1000000000), WSG_VISIT_WELCOME);
    assert_int_equal(enter(v, "192.0.2.1", 1000000000), WSG_VISIT_TOO_FAST);
    assert_int_equal(enter(v, "192.0.2.1", 5), WSG_VISIT_TOO_FAST); /* another worker's clock is a little behind */
    wsg_visitors_free(v);
}

static void test_who_has_gone_is_forgotten(void **state)
{
    struct wsg_visitors *v = visitors(0, 1, 1, 1000);
    char who[32];
    (void)state;
    for (int i = 0; i < 200; i++) {
        (void)snprintf(who, sizeof who, "192.0.2.%d", i);
        assert_int_equal(enter(v, who, 0), WSG_VISIT_WELCOME);
        leave(v, who, 0);
    }
    assert_int_equal(wsg_visitors_count(v), 200);
    for (int i = 0; i < 100; i++) { /* two at each visit, one of them may be the visitor's own */
        assert_int_equal(enter(v, "198.51.100.1", (uint64_t)(i + 1) * 2000), WSG_VISIT_WELCOME);
        leave(v, "198.51.100.1", (uint64_t)(i + 1) * 2000);
    }
    assert_in_range(wsg_visitors_count(v), 0, 1);
    wsg_visitors_free(v);
}

static void test_memory_is_bounded(void **state)
{
    struct wsg_visitors *v = visitors(5, 1, 1, 300);
    char who[64];
    (void)state;
    assert_int_equal(enter(v, "192.0.2.1", 0), WSG_VISIT_WELCOME); /* stays */
    for (int i = 0; i < 5000; i++) {
        (void)snprintf(who, sizeof who, "2001:db8:%x:%x::1", i / 100, i);
        assert_int_equal(enter(v, who, 0), WSG_VISIT_WELCOME);
        leave(v, who, 0);
    }
    assert_int_equal(wsg_visitors_count(v), 300);
    assert_int_equal(enter(v, "192.0.2.1", 0), WSG_VISIT_TOO_FAST); /* who is there is not forgotten */
    leave(v, "192.0.2.1", 0);
    wsg_visitors_free(v);

    v = visitors(5, 0, 0, 2);
    assert_int_equal(enter(v, "192.0.2.1", 0), WSG_VISIT_WELCOME);
    assert_int_equal(enter(v, "192.0.2.2", 0), WSG_VISIT_WELCOME);
    assert_int_equal(enter(v, "192.0.2.3", 0), WSG_VISIT_NO_MEMORY);
    wsg_visitors_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_has_so_many_connections),
        cmocka_unit_test(test_a_household_is_one_and_a_unix_socket_none),
        cmocka_unit_test(test_an_address_comes_so_fast),
        cmocka_unit_test(test_who_has_gone_is_forgotten),
        cmocka_unit_test(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
