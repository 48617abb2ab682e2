/* Tables: they fit, and nothing in a cell breaks them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "table.h"
#include "text.h"

static const struct wsc_column columns[] = {{"ID", false, 0, 0}, {"NAME", false, 4, 0}, {"COUNT", true, 0, 1}};

static void render(const char *const *cells, size_t count, const struct wsc_look *look, const char *want)
{
    struct wsc_table t;
    struct wsb_buf out;
    wsc_table_init(&t, columns, 3);
    wsb_buf_init(&out, 0);
    for (size_t i = 0; i < count; i++)
        wsc_table_add(&t, cells[i]);
    assert_int_equal(wsc_table_write(&t, look, &out), WSB_OK);
    assert_int_equal(wsb_buf_append(&out, "", 1), WSB_OK);
    assert_string_equal((const char *)out.data, want);
    wsb_buf_deinit(&out);
    wsc_table_deinit(&t);
}

static void test_columns_are_as_wide_as_they_need(void **state)
{
    static const char *const cells[] = {"1", "gr\xc3\xbc\xc3\x9f", "5", "22", "a", "12345678"};
    static const struct wsc_look look = {0};
    (void)state;
    render(cells, 6, &look,
           "ID  NAME     COUNT\n"
           "1   gr\xc3\xbc\xc3\x9f         5\n"
           "22  a     12345678\n");
}

static void test_a_narrow_terminal_cuts_what_may_be_cut(void **state)
{
    static const char *const cells[] = {"1", "abcdefghij", "5"};
    static const struct wsc_look utf8 = {.width = 18, .is_utf8 = true};
    static const struct wsc_look ascii = {.width = 18};
    (void)state;
    render(cells, 3, &utf8, "ID  NAME     COUNT\n1   abcdef\xe2\x80\xa6      5\n");
    render(cells, 3, &ascii, "ID  NAME     COUNT\n1   abcd...      5\n");
}

static void test_a_very_narrow_terminal_leaves_columns_out(void **state)
{
    static const char *const cells[] = {"1", "abcdefghij", "5"};
    static const struct wsc_look look = {.width = 10, .is_utf8 = true};
    (void)state;
    render(cells, 3, &look, "ID  NAME\n1   abcde\xe2\x80\xa6\n");
}

static void test_too_narrow_for_anything_still_fits(void **state)
{
    static const char *const cells[] = {"1234567890", "abcdefghij", "5"};
    static const struct wsc_look one = {.width = 1, .is_utf8 = true}, five = {.width = 5, .is_utf8 = true},
                                 ascii = {.width = 5}, eleven = {.width = 11, .is_utf8 = true};
    (void)state;
    render(cells, 3, &one, "I\n1\n");
    render(cells, 3, &five, "ID\n1234\xe2\x80\xa6\n");
    render(cells, 3, &ascii, "ID\n12...\n");
    render(cells, 3, &eleven, "ID\n1234567890\n");
}

/* Whatever the columns promise to keep. */
static void test_every_width_is_kept(void **state)
{
    static const struct wsc_column many[] = {{"ID", false, 0, 0},   {"CONNECTION", false, 0, 1}, {"ROUTE", false, 5, 0},
                                             {"PEER", false, 9, 0}, {"COUNT", true, 0, 0},       {"RTT", true, 0, 2}};
    static const char grue[] = "gr\xc3\xbc\xc3\x9f"
                               "e"; /* e is a digit, too */
    static const char *const cells[] = {
        "0123456789abcdef", "WebSocket(server, CONNECTED)", grue, "[2001:db8::1]:4711", "12345678", "5 ms"};
    (void)state;
    for (size_t width = 1; width < 120; width++) {
        struct wsc_look look = {.width = width, .is_utf8 = width % 2};
        struct wsc_table t;
        struct wsb_buf out;
        wsc_table_init(&t, many, 6);
        wsb_buf_init(&out, 0);
        for (size_t i = 0; i < 12; i++)
            wsc_table_add(&t, cells[i % 6]);
        assert_int_equal(wsc_table_write(&t, &look, &out), WSB_OK);
        assert_int_equal(wsb_buf_append(&out, "", 1), WSB_OK);
        size_t lines = 0;
        for (char *line = strtok((char *)out.data, "\n"); line; line = strtok(NULL, "\n"), lines++) {
            if (wsc_text_width(wsb_span_str(line)) > width)
                fail_msg("%zu columns: '%s'", width, line);
        }
        assert_int_equal(lines, 3);
        wsb_buf_deinit(&out);
        wsc_table_deinit(&t);
    }
}

static void test_cells_cannot_break_out(void **state)
{
    static const char *const cells[] = {"1", "a\nb\x1b[31m", ""};
    static const struct wsc_look look = {.is_bold = true};
    (void)state;
    render(cells, 3, &look, "\x1b[1mID  NAME          COUNT\x1b[0m\n1   a\\nb\\x1b[31m\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_as_wide_as_they_need),
        cmocka_unit_test(test_a_narrow_terminal_cuts_what_may_be_cut),
        cmocka_unit_test(test_a_very_narrow_terminal_leaves_columns_out),
        cmocka_unit_test(test_too_narrow_for_anything_still_fits),
        cmocka_unit_test(test_every_width_is_kept),
        cmocka_unit_test(test_cells_cannot_break_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
