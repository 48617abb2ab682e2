/* What an audit line tells of many targets: their number, the first ones, and no more bytes than there is room for. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "admin/audit.h"

static void test_names_are_quoted_and_cut_between_characters(void **state)
{
    static const struct {
        const char *name, *want;
    } rows[] = {
        {"", "\"\""},
        {"room one", "\"room one\""},
        {"a\" \"b", "\"a\\\" \\\"b\""},
        {"\\", "\"\\\\\""},
        {"012345678901234567890123456789012345", "\"012345678901234567890123456789012345\""},
        {"0123456789012345678901234567890123456", "\"012345678901234567890123456789012345\"..."},
        {"0123456789012345678901234567890123\xc3\xa9", "\"0123456789012345678901234567890123\"..."},
        {"\001\001\001\001\001\001\001", "\"\001\001\001\001\001\001\"..."},
        {"\"\"\"\"\"\"\"\"\"\"", "\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\\\"\"..."},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wsg_audit_text t = {0};
        wsg_audit_add_name(&t, wsb_span_str(rows[i].name));
        assert_string_equal(t.text, rows[i].want);
        assert_int_equal(t.len, strlen(t.text));
    }
}

static void test_the_first_ids_and_how_many(void **state)
{
    static const wsb_conn ids[] = {0x100000001, 2, 3, 4, 5};
    static const char *const want[] = {"0 ids", "1 id 0000000100000001", "2 ids 0000000100000001 0000000000000002",
                                       "3 ids 0000000100000001 0000000000000002 0000000000000003",
                                       "4 ids 0000000100000001 0000000000000002 0000000000000003 and 1 more"};
    (void)state;
    for (size_t count = 0; count < sizeof want / sizeof *want; count++) {
        struct wsg_audit_text t = {0};
        wsg_audit_add_ids(&t, ids, count);
        assert_string_equal(t.text, want[count]);
    }
}

static void test_a_full_text_takes_no_more(void **state)
{
    struct {
        struct wsg_audit_text t;
        char behind[64];
    } s = {0};
    (void)state;
    for (int i = 0; i < 2 * WSG_AUDIT_TEXT_MAX; i++)
        wsg_audit_add_name(&s.t, wsb_span_str("name"));
    assert_int_equal(s.t.len, WSG_AUDIT_TEXT_MAX - 1);
    assert_int_equal(strlen(s.t.text), s.t.len);
    for (size_t i = 0; i < sizeof s.behind; i++)
        assert_int_equal(s.behind[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_quoted_and_cut_between_characters),
        cmocka_unit_test(test_the_first_ids_and_how_many),
        cmocka_unit_test(test_a_full_text_takes_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
