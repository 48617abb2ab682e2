/* Addresses, networks and rules. */
#include "support/test.h"

#include "base/ip.h"

static void test_ip_reads_and_writes(void **state)
{
    static const struct {
        const char *text, *want; /* want NULL: refused */
        bool is_v4;
    } rows[] = {
        {"192.0.2.1", "192.0.2.1", true},
        {"0.0.0.0", "0.0.0.0", true},
        {"::ffff:192.0.2.1", "192.0.2.1", true},
        {"2001:DB8::1", "2001:db8::1", false},
        {"::1", "::1", false},
        {"::", "unix", false},
        {"", NULL, false},
        {"192.0.2", NULL, false},
        {"192.0.2.01", NULL, false}, /* an octal eight to some, to others a one */
        {"192.0.2.256", NULL, false},
        {" 192.0.2.1", NULL, false},
        {"192.0.2.1 ", NULL, false},
        {"192.0.2.1:80", NULL, false},
        {"[::1]", NULL, false},
        {"fe80::1%eth0", NULL, false},
        {"1:2:3:4:5:6:7:8:9", NULL, false},
        {"unix", NULL, false},
        {"unknown", NULL, false},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "unknown", false},
        {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555555", NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_ip ip;
        char text[WSB_IP_TEXT];
        bool ok = wsb_ip_parse(wsb_span_str(rows[i].text), &ip);
        if (ok != (rows[i].want != NULL))
            fail_msg("'%s' is %s", rows[i].text, ok ? "taken" : "refused");
        if (!ok)
            continue;
        wsb_ip_format(&ip, text);
        assert_string_equal(text, rows[i].want);
        assert_int_equal(wsb_ip_is_v4(&ip), rows[i].is_v4);
    }
    struct wsb_ip ip;
    assert_false(wsb_ip_parse(wsb_span("1.1.1.1\0", 8), &ip));
}

static void test_net_says_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *why; /* NULL: it is right */
    } rows[] = {
        {"10.0.0.0/8", NULL},
        {"10.0.0.1", NULL},
        {"0.0.0.0/0", NULL},
        {"::/0", NULL},
        {"2001:db8::/32", NULL},
        {"::ffff:10.0.0.0/104", NULL},
        {"unix", NULL},
        {"unknown", NULL},
        {"10.1.0.0/8", "write 10.0.0.0/8"},
        {"2001:db8::1/32", "write 2001:db8::/32"},
        {"10.0.0.0/33", "0 to 32 bits"},
        {"2001:db8::/129", "0 to 128 bits"},
        {"10.0.0.0/", "0 to 32 bits"},
        {"10.0.0.0/-1", "0 to 32 bits"},
        {"10.0.0.0/0008", "0 to 32 bits"},
        {"10.0.0.0/8/8", "0 to 32 bits"},
        {"example.org", "is not an address"},
        {"/8", "is not an address"},
        {"", "is not an address"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_fault fault = {0};
        wsb_err err = wsb_ip_net_check(rows[i].text, &fault);
        assert_int_equal(err, rows[i].why ? WSB_ERR_CONFIG : WSB_OK);
        if (rows[i].why && !strstr(fault.text, rows[i].why))
            fail_msg("'%s': %s", rows[i].text, fault.text);
    }
}

static void test_a_proxy_has_an_address(void **state)
{
    struct wsb_fault fault = {0};
    (void)state;
    assert_int_equal(wsb_ip_proxy_check("10.0.0.0/8", &fault), WSB_OK);
    assert_int_equal(wsb_ip_proxy_check("unix", &fault), WSB_OK);
    assert_int_equal(wsb_ip_proxy_check("10.0.0.0/x", &fault), WSB_ERR_CONFIG);
    assert_int_equal(wsb_ip_proxy_check("unknown", &fault), WSB_ERR_CONFIG);
    assert_non_null(strstr(fault.text, "is not believed"));
    assert_int_equal(wsb_ip_proxy_check("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", &fault), WSB_ERR_CONFIG);
}

static bool admits(const char *allow, const char *deny, const char *who)
{
    struct wsb_ip_rules rules = {0};
    struct wsb_ip ip = {{0}};
    assert_int_equal(wsb_ip_nets_init(&rules.allow, (char *const *)&allow, allow != NULL, NULL), WSB_OK);
    assert_int_equal(wsb_ip_nets_init(&rules.deny, (char *const *)&deny, deny != NULL, NULL), WSB_OK);
    if (strcmp(who, "unknown") == 0)
        ip = wsb_ip_unknown();
    else
        assert_true(strcmp(who, "unix") == 0 || wsb_ip_parse(wsb_span_str(who), &ip));
    bool admitted = wsb_ip_rules_admit(&rules, &ip);
    wsb_ip_rules_deinit(&rules);
    return admitted;
}

static void test_rules_admit_whom_they_say(void **state)
{
    (void)state;
    assert_true(admits(NULL, NULL, "192.0.2.1"));
    assert_true(admits(NULL, NULL, "unix"));
    assert_true(admits("192.0.2.0/24", NULL, "192.0.2.255"));
    assert_false(admits("192.0.2.0/24", NULL, "192.0.3.0"));
    assert_false(admits("192.0.2.0/24", NULL, "unix"));
    assert_true(admits("unix", NULL, "unix"));
    assert_false(admits("unix", NULL, "192.0.2.1"));
    assert_false(admits(NULL, "192.0.2.0/25", "192.0.2.127"));
    assert_true(admits(NULL, "192.0.2.0/25", "192.0.2.128"));
    assert_false(admits("192.0.2.1", "192.0.2.0/24", "192.0.2.1")); /* no beats yes */
    assert_false(admits("0.0.0.0/0", NULL, "2001:db8::1"));
    assert_true(admits("::/0", NULL, "2001:db8::1"));
    assert_false(admits("::/0", NULL, "unix"));     /* it has no address to be in any network */
    assert_true(admits("::/0", NULL, "192.0.2.1")); /* all there are */
    assert_true(admits(NULL, NULL, "unknown"));
    assert_false(admits("::/0", NULL, "unknown"));
    assert_false(admits("ffff::/16", NULL, "unknown"));
    assert_false(admits("unix", NULL, "unknown"));
    assert_true(admits("unknown", NULL, "unknown"));
    assert_false(admits("unknown", NULL, "unix"));
    assert_false(admits("unknown", NULL, "192.0.2.1"));
    assert_false(admits(NULL, "192.0.2.1", "unknown")); /* it may be that one */
    assert_false(admits(NULL, "unknown", "unknown"));
    assert_true(admits(NULL, "unknown", "192.0.2.1"));
    assert_false(admits("unknown", "unknown", "unknown"));
    assert_false(admits(NULL, "2001:db8::/33", "2001:db8:7fff:ffff::1"));
    assert_true(admits(NULL, "2001:db8::/33", "2001:db8:8000::1"));
}

static void test_nets_hold_nothing_after_a_failure(void **state)
{
    char *texts[] = {"10.0.0.0/8", "nonsense"};
    struct wsb_ip_nets nets;
    struct wsb_fault fault = {0};
    (void)state;
    assert_int_equal(wsb_ip_nets_init(&nets, texts, 2, &fault), WSB_ERR_CONFIG);
    assert_null(nets.at);
    assert_int_equal(nets.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ip_reads_and_writes),
        cmocka_unit_test(test_net_says_what_is_wrong),
        cmocka_unit_test(test_a_proxy_has_an_address),
        cmocka_unit_test(test_rules_admit_whom_they_say),
        cmocka_unit_test(test_nets_hold_nothing_after_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
