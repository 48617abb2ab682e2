/* Options: wherever they stand, and what is said when they are wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "args.h"

struct values {
    bool flag;
    const char *text;
    uint64_t number, time;
};

static const struct row {
    const char *name;
    const char *args[6];
    const char *complaint; /* a part of it; NULL: none */
    struct values want;
    int others;
} rows[] = {
    {"nothing", {0}, NULL, {.text = "", .number = 7, .time = 9}, 0},
    {"short", {"-f", "-t", "x"}, NULL, {true, "x", 7, 9}, 0},
    {"short, together", {"-tx", "-n5"}, NULL, {false, "x", 5, 9}, 0},
    {"long", {"--flag", "--text", "x"}, NULL, {true, "x", 7, 9}, 0},
    {"long with =", {"--text=a=b", "--number=0"}, NULL, {false, "a=b", 0, 9}, 0},
    {"time", {"--time", "1m"}, NULL, {false, "", 7, 60000}, 0},
    {"a text twice", {"--text", "x", "-t", "x"}, "--text is there twice", {0}, 0},
    {"a number twice", {"-n", "5", "-n6"}, NULL, {false, "", 6, 9}, 0},
    {"a flag twice", {"-f", "--flag"}, NULL, {true, "", 7, 9}, 0},
    {"in between", {"a", "-f", "b"}, NULL, {true, "", 7, 9}, 2},
    {"behind --", {"--", "-f", "--text"}, NULL, {false, "", 7, 9}, 2},
    {"- is an argument", {"-"}, NULL, {false, "", 7, 9}, 1},
    {"a value that looks like an option", {"-t", "-f"}, NULL, {false, "-f", 7, 9}, 0},
    {"unknown long", {"--nope"}, "--nope", {0}, 0},
    {"unknown short", {"-x"}, "-x", {0}, 0},
    {"beginning of a name", {"--fla"}, "--fla", {0}, 0},
    {"value missing", {"--text"}, "--text wants", {0}, 0},
    {"value empty", {"--text="}, "--text must not be empty", {0}, 0},
    {"value for a flag", {"--flag=1"}, "--flag takes no value", {0}, 0},
    {"not a number", {"-n", "5x"}, "--number", {0}, 0},
    {"negative number", {"-n", "-5"}, "--number", {0}, 0},
    {"huge number", {"-n", "99999999999"}, "--number", {0}, 0},
    {"not a time", {"--time=soon"}, "--time", {0}, 0},
};

static void test_options_are_taken_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct values v = {.text = "", .number = 7, .time = 9};
        const struct wsc_option options[] = {
            {"flag", 'f', WSC_FLAG, NULL, "", &v.flag},
            {"text", 't', WSC_TEXT, "TEXT", "", &v.text},
            {"number", 'n', WSC_NUMBER, "N", "", &v.number},
            {"time", 0, WSC_DURATION, "TIME", "", &v.time},
        };
        char *argv[6];
        int argc = 0;
        int others = -1;
        struct wsb_fault fault = {0};
        for (; argc < 6 && row->args[argc]; argc++)
            argv[argc] = (char *)row->args[argc];
        wsb_err err = wsc_args_parse(options, 4, argc, argv, &others, &fault);
        if ((err == WSB_OK) != (row->complaint == NULL) || (err && !strstr(fault.text, row->complaint)))
            fail_msg("%s: %d '%s'", row->name, err, fault.text);
        if (!err && (v.flag != row->want.flag || strcmp(v.text, row->want.text) != 0 || v.number != row->want.number ||
                     v.time != row->want.time || others != row->others))
            fail_msg("%s", row->name);
    }
}

static const char *runtime_dir_of(const char *arg, const char *next)
{
    const char *dir = NULL;
    int others;
    char *argv[] = {(char *)arg, (char *)next, NULL};
    struct wsb_fault fault = {0};
    const struct wsc_option options[] = {{"runtime-dir", 'd', WSC_TEXT, "DIR", "", &dir}};
    return wsc_args_parse(options, 1, next ? 2 : 1, argv, &others, &fault) == WSB_OK && others == 0 ? dir : NULL;
}

static void test_a_synonym_is_taken(void **state)
{
    (void)state;
    assert_string_equal(runtime_dir_of("--runtime-dir", "/x"), "/x");
    assert_string_equal(runtime_dir_of("--dir", "/x"), "/x");
    assert_string_equal(runtime_dir_of("--dir=/x", NULL), "/x");
    assert_string_equal(runtime_dir_of("--bus=/x", NULL), "/x");
    assert_null(runtime_dir_of("--dir", NULL));
    assert_null(runtime_dir_of("--di", "/x"));
    assert_null(runtime_dir_of("--dirs", "/x"));
}

static void test_a_synonym_of_no_option_is_unknown(void **state)
{
    int others;
    bool flag = false;
    char *argv[] = {(char *)"--dir", (char *)"/x", NULL};
    struct wsb_fault fault = {0};
    const struct wsc_option options[] = {{"flag", 'f', WSC_FLAG, NULL, "", &flag}};
    (void)state;
    assert_int_equal(wsc_args_parse(options, 1, 2, argv, &others, &fault), WSB_ERR_CONFIG);
    assert_string_equal(fault.text, "unknown option --dir");
}

static void test_an_abbreviation_is_unknown_and_told_what_it_may_mean(void **state)
{
    int others;
    const char *route = NULL;
    struct wsb_fault fault = {0};
    const struct wsc_option options[] = {{"route", 'r', WSC_TEXT, "NAME", "", &route}};
    static const char *const words[] = {"--rout", "--ro", "--rout=a", "--rotue"};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char want[80];
        char *argv[] = {(char *)words[i], (char *)"a", NULL};
        (void)snprintf(want, sizeof want, "unknown option %s; did you mean --route?", words[i]);
        assert_int_equal(wsc_args_parse(options, 1, 2, argv, &others, &fault), WSB_ERR_CONFIG);
        assert_string_equal(fault.text, want);
        assert_null(route);
    }
}

static void test_other_arguments_keep_their_order(void **state)
{
    bool flag = false;
    const struct wsc_option options[] = {{"flag", 'f', WSC_FLAG, NULL, "", &flag}};
    char a[] = "a", f[] = "-f", b[] = "b", dashes[] = "--", c[] = "-c";
    char *argv[] = {a, f, b, dashes, c};
    int count;
    struct wsb_fault fault;
    (void)state;
    assert_int_equal(wsc_args_parse(options, 1, 5, argv, &count, &fault), WSB_OK);
    assert_int_equal(count, 3);
    assert_string_equal(argv[0], "a");
    assert_string_equal(argv[1], "b");
    assert_string_equal(argv[2], "-c");
}

static void test_each_option_is_described(void **state)
{
    const struct wsc_option options[] = {{"route", 'r', WSC_TEXT, "NAME", "of this route", NULL},
                                         {"yes", 0, WSC_FLAG, NULL, "do not ask", NULL}};
    struct wsb_buf out;
    (void)state;
    wsb_buf_init(&out, 0);
    assert_int_equal(wsc_args_describe(options, 2, &out), WSB_OK);
    assert_true(wsb_span_eq_str(wsb_buf_span(&out), "  -r, --route NAME               of this route\n"
                                                    "      --yes                      do not ask\n"));
    wsb_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_are_taken_out),
        cmocka_unit_test(test_a_synonym_is_taken),
        cmocka_unit_test(test_a_synonym_of_no_option_is_unknown),
        cmocka_unit_test(test_an_abbreviation_is_unknown_and_told_what_it_may_mean),
        cmocka_unit_test(test_other_arguments_keep_their_order),
        cmocka_unit_test(test_each_option_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
