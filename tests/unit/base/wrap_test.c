/* Lines that fit: the words stay, in their order, and no line is wider than it may be. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/wrap.h"

static const struct {
    const char *name, *text;
    size_t width;
    const char *want;
} rows[] = {
    {"nothing", "", 10, ""},
    {"it fits", "one two\n", 7, "one two\n"},
    {"no newline at the end", "one two", 7, "one two"},
    {"it does not", "one two\n", 6, "one\ntwo\n"},
    {"three lines of one", "one two three\n", 5, "one\ntwo\nthree\n"},
    {"below the text of an option", "  -x, --x N    does this and that\n", 24,
     "  -x, --x N    does this\n               and that\n"},
    {"below the indentation", "    one two three\n", 11, "    one two\n    three\n"},
    {"an empty line stays", "a\n\nb\n", 5, "a\n\nb\n"},
    {"a gap in the text stays", "a  b c\n", 10, "a  b c\n"},
    {"a word that is too long", "  a  longer than that\n", 6, "  a  longer\n     than\n     that\n"},
    {"an option that leaves no room", "  --a-long-option  text here\n", 12,
     "  --a-long-option  text\n                   here\n"},
    {"each line by itself", "one two\nthree four\n", 7, "one two\nthree\nfour\n"},
    {"spaces at the end", "one   \n", 10, "one\n"},
    {"spaces alone", "   \n", 10, "\n"},
};

static void test_lines_are_wrapped(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wsb_buf out;
        wsb_buf_init(&out, 0);
        assert_int_equal(wsb_wrap_lines(&out, rows[i].text, rows[i].width), WSB_OK);
        assert_int_equal(wsb_buf_append(&out, "", 1), WSB_OK);
        if (strcmp((const char *)out.data, rows[i].want) != 0)
            fail_msg("%s: '%s'", rows[i].name, (const char *)out.data);
        wsb_buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines_are_wrapped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
