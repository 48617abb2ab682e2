/* Rules of origins. */
#include "support/test.h"

#include "base/origin.h"

static void test_rules_are_checked(void **state)
{
    static const struct {
        const char *rule;
        bool good;
    } rows[] = {
        {"any", true},
        {"none", true},
        {"same", true},
        {"null", true},
        {"https://app.example.org", true},
        {"https://app.example.org:8443", true},
        {"http://[::1]:3000", true},
        {"https://*.example.org", true},
        {"chrome-extension://abcdefgh", true},
        {"example.org", false},
        {"https://", false},
        {"https://app.example.org/", false},
        {"https://app.example.org:0", false},
        {"https://app.example.org:99999", false},
        {"https://app.example.org:", false},
        {"https://*", false},
        {"https://*.", false},
        {"https://app.*.org", false},
        {"https://*example.org", false},
        {"://x", false},
        {"Any", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_fault fault = {0};
        wsb_err err = wsb_origin_check(rows[i].rule, &fault);
        if ((err == WSB_OK) != rows[i].good)
            fail_msg("'%s': %s %s", rows[i].rule, wsb_err_name(err), fault.text);
    }
}

static void test_who_is_allowed(void **state)
{
    static const struct {
        const char *rule, *origin, *host; /* origin NULL: there is none */
        bool want;
    } rows[] = {
        {"any", "https://evil.example", "h", true},
        {"any", NULL, "h", true},
        {"any", "null", "h", true},
        {"none", NULL, "h", true},
        {"none", "https://h", "h", false},
        {"none", "", "h", false},
        {"null", "null", "h", true},
        {"null", NULL, "h", false},
        {"same", "https://h", "h", true},
        {"same", "http://H", "h", true},
        {"same", "http://h:8080", "h:8080", true},
        {"same", "http://h:80", "h", true},
        {"same", "http://h", "h:80", true},
        {"same", "https://h", "h:443", true},
        {"same", "https://h", "h:80", false},
        {"same", "http://h:8080", "h", false},
        {"same", "http://h", "h:8080", false},
        {"same", "http://h.evil.example", "h", false},
        {"same", "http://[::1]:3000", "[::1]:3000", true},
        {"same", "http://h.", "h", true},
        {"same", "http://h", "H.", true},
        {"same", "http://[::1]", "[0::1]", true},
        {"same", "http://127.1", "127.0.0.1", false},
        {"https://App.Example.Org.", "https://app.example.org", "h", true},
        {"https://app.example.org", "https://app.example.org.", "h", true},
        {"https://app.example.org", "https://app.example.org:", "h", false},
        {"https://*.example.org", "https://a.example.org.", "h", true},
        {"https://*.example.org", "https://*.example.org", "h", false},
        {"https://[0::1]:8443", "https://[::1]:8443", "h", true},
        {"same", "null", "null", false},
        {"same", "http://", "", false},
        {"https://app.example.org", "https://app.example.org", "h", true},
        {"https://app.example.org", "HTTPS://App.Example.Org", "h", true},
        {"https://app.example.org", "https://app.example.org:443", "h", true},
        {"https://app.example.org:443", "https://app.example.org", "h", true},
        {"https://app.example.org", "http://app.example.org", "h", false},
        {"https://app.example.org", "https://app.example.org:8443", "h", false},
        {"https://app.example.org", "https://app.example.org.evil.example", "h", false},
        {"https://app.example.org", "https://evil.example/https://app.example.org", "h", false},
        {"https://app.example.org", NULL, "h", false},
        {"https://*.example.org", "https://a.example.org", "h", true},
        {"https://*.example.org", "https://a.b.example.org", "h", true},
        {"https://*.example.org", "https://example.org", "h", false},
        {"https://*.example.org", "https://.example.org", "h", false},
        {"https://*.example.org", "https://evilexample.org", "h", false},
        {"https://*.example.org", "https://a.example.org:8443", "h", false},
        {"https://*.example.org", "https://a.example.org/x", "h", false},
        {"https://*.example.org", "https://evil.example#.example.org", "h", false},
        {"https://*.example.org", "https://evil.example\\.example.org", "h", false},
        {"https://*.example.org", "https://user@a.example.org", "h", false},
        {"https://*.example.org", "https://a.example.org https://evil.example", "h", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *rule = (char *)(uintptr_t)rows[i].rule;
        bool got = wsb_origin_is_allowed(&rule, 1, wsb_span_str(rows[i].origin), wsb_span_str(rows[i].host));
        if (got != rows[i].want)
            fail_msg("%s: '%s' at %s is %s", rule, rows[i].origin ? rows[i].origin : "(none)", rows[i].host,
                     got ? "allowed" : "refused");
    }
}

static void test_one_rule_of_several_is_enough_and_none_is_any(void **state)
{
    char *rules[] = {"https://a.example", "none"};
    (void)state;
    assert_true(wsb_origin_is_allowed(rules, 2, wsb_span(NULL, 0), wsb_span_str("h")));
    assert_true(wsb_origin_is_allowed(rules, 2, wsb_span_str("https://a.example"), wsb_span_str("h")));
    assert_false(wsb_origin_is_allowed(rules, 2, wsb_span_str("https://b.example"), wsb_span_str("h")));
    assert_true(wsb_origin_is_allowed(NULL, 0, wsb_span_str("https://b.example"), wsb_span_str("h")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules_are_checked),
        cmocka_unit_test(test_who_is_allowed),
        cmocka_unit_test(test_one_rule_of_several_is_enough_and_none_is_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
