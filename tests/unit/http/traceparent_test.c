/* W3C Trace Context §3.2, each rule a row. */
#include "support/test.h"

#include "http/traceparent.h"

#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
#define NONE32 "00000000000000000000000000000000"
#define NONE16 "0000000000000000"

static const struct row {
    const char *name;
    const char *value;
    bool is_valid;
} rows[] = {
    {"the example of the standard", "00-" TRACE "-" PARENT "-01", true},
    {"not sampled", "00-" TRACE "-" PARENT "-00", true},
    {"flags that are not known yet", "00-" TRACE "-" PARENT "-ff", true},
    {"a version that is not known yet", "cc-" TRACE "-" PARENT "-01", true},
    {"the same, with more behind it", "cc-" TRACE "-" PARENT "-01-what-the-future-brings", true},
    {"the same, with nothing behind the dash", "cc-" TRACE "-" PARENT "-01-", true},
    {"the same, with more and no dash", "cc-" TRACE "-" PARENT "-01.what", false},
    {"version 00 with more behind it", "00-" TRACE "-" PARENT "-01-more", false},
    {"version 00 with a dash behind it", "00-" TRACE "-" PARENT "-01-", false},
    {"version ff", "ff-" TRACE "-" PARENT "-01", false},
    {"no trace", "00-" NONE32 "-" PARENT "-01", false},
    {"no parent", "00-" TRACE "-" NONE16 "-01", false},
    {"upper case", "00-4BF92F3577B34DA6A3CE929D0E0E4736-" PARENT "-01", false},
    {"upper case in the version", "CC-" TRACE "-" PARENT "-01", false},
    {"not hexadecimal", "00-" TRACE "-00f067aa0ba902bg-01", false},
    {"flags that are not hexadecimal", "00-" TRACE "-" PARENT "-0x", false},
    {"one too short", "00-" TRACE "-" PARENT "-0", false},
    {"no flags", "00-" TRACE "-" PARENT, false},
    {"a dash that is missing", "00-" TRACE "0" PARENT "-01", false},
    {"a dash too early", "0-0" TRACE "-" PARENT "-01", false},
    {"spaces for dashes", "00 " TRACE " " PARENT " 01", false},
    {"empty", "", false},
};

static void test_each_row(void **state)
{
    (void)state;
    for (const struct row *r = rows; r < rows + COUNT(rows); r++) {
        if (wsg_traceparent_is_valid(wsb_span_str(r->value)) != r->is_valid)
            fail_msg("%s: %s", r->name, r->is_valid ? "refused" : "taken");
    }
}

static void test_one_and_only_one(void **state)
{
    (void)state;
    const struct wsg_http_header headers[] = {
        {wsb_span_str("Traceparent"), wsb_span_str(rows[0].value)},
        {wsb_span_str("traceparent"), wsb_span_str(rows[1].value)},
    };
    assert_false(wsg_traceparent_is_there(headers, 0));
    assert_true(wsg_traceparent_is_there(headers, 1));
    assert_false(wsg_traceparent_is_there(headers, 2));
}

static void test_a_new_one_is_valid(void **state)
{
    static const struct {
        uint64_t random[3];
        const char *text;
    } made[] = {
        {{0x4bf92f3577b34da6u, 0xa3ce929d0e0e4736u, 0xf067aa0ba902b7u}, "00-" TRACE "-" PARENT "-01"},
        {{0, 0, 0}, "00-00000000000000000000000000000001-0000000000000001-01"},
        {{1, 0, 2}, "00-00000000000000010000000000000000-0000000000000002-01"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(made); i++) {
        char text[WSG_TRACEPARENT_LEN + 1];
        wsg_traceparent_write(made[i].random, text);
        assert_string_equal(text, made[i].text);
        assert_true(wsg_traceparent_is_valid(wsb_span_str(text)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row),
        cmocka_unit_test(test_one_and_only_one),
        cmocka_unit_test(test_a_new_one_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
