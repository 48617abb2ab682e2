/* The command line: what is taken, and what is said when it is wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <getopt.h>
#include <string.h>

#include "options.h"

static const struct row {
    const char *name;
    const char *args[10];
    const char *complaint; /* a part of it; NULL: none */
} rows[] = {
    {"the least", {"echo", "ws://h/"}, NULL},
    {"options behind", {"echo", "ws://h/", "-c", "5"}, NULL},
    {"rate", {"rate", "-r", "0.5", "ws://h/"}, NULL},
    {"pids", {"idle", "-p", "1,2", "--pid=3", "ws://h/"}, NULL},
    {"header", {"idle", "-H", "X-A: b", "ws://h/"}, NULL},
    {"nothing", {0}, "a mode and a URL"},
    {"no URL", {"echo"}, "a mode and a URL"},
    {"two URLs", {"echo", "ws://h/", "ws://h/"}, "a mode and a URL"},
    {"no such mode", {"shout", "ws://h/"}, "'shout'"},
    {"unknown option", {"echo", "ws://h/", "--nope"}, "--nope"},
    {"an abbreviation", {"echo", "ws://h/", "--conn", "5"}, "unknown option --conn; did you mean --connections?"},
    {"an abbreviation with its value", {"echo", "ws://h/", "--conn=5"}, "--conn=5; did you mean --connections?"},
    {"a slip", {"echo", "ws://h/", "--conections=5"}, "did you mean --connections?"},
    {"value missing", {"echo", "ws://h/", "-c"}, "-c wants a value"},
    {"value for a flag", {"echo", "ws://h/", "--json=1"}, "--json=1"},
    {"no number", {"echo", "ws://h/", "-c", "x"}, "--connections: 'x'"},
    {"negative", {"echo", "ws://h/", "-c", "-1"}, "--connections: '-1'"},
    {"not whole", {"echo", "ws://h/", "-c", "1.5"}, "--connections: '1.5'"},
    {"too many", {"echo", "ws://h/", "-c", "200001"}, "from 1 to 200000"},
    {"empty number", {"echo", "ws://h/", "-d", ""}, "--duration"},
    {"not finite", {"echo", "ws://h/", "-d", "inf"}, "--duration"},
    {"hexadecimal", {"echo", "ws://h/", "-d", "0x1"}, "--duration"},
    {"an unknown unit", {"echo", "ws://h/", "-d", "3d"}, "--duration"},
    {"a unit alone", {"echo", "ws://h/", "-d", "s"}, "--duration"},
    {"two units", {"echo", "ws://h/", "-d", "3sm"}, "--duration"},
    {"too long a time", {"echo", "ws://h/", "-d", "2h"}, "--duration"},
    {"bad pid", {"echo", "ws://h/", "-p", "1,"}, "--pid"},
    {"pid 0", {"echo", "ws://h/", "-p", "0"}, "--pid"},
    {"header without a colon", {"echo", "ws://h/", "-H", "X"}, "--header"},
    {"header of two lines", {"echo", "ws://h/", "-H", "X: a\r\nY: b"}, "--header"},
    {"empty path", {"echo", "ws://h/", "-u", ""}, "--unix must not be empty"},
    {"rate without one", {"rate", "ws://h/"}, "rate wants --rate"},
    {"echo with a rate", {"echo", "ws://h/", "-r", "5"}, "--rate is for"},
    {"fan-out too short", {"fanout", "ws://h/", "-s", "31"}, "32 bytes"},
    {"echo with a publisher", {"echo", "ws://h/", "--publish-path", "/p"}, "for fanout"},
    {"above the largest", {"echo", "ws://h/", "-s", "2000", "--max-message", "1000"}, "--max-message"},
    {"more than memory", {"echo", "ws://h/", "-s", "1000000", "-f", "100", "-c", "100"}, "1 GiB"},
};

static wsb_err parse(const struct row *row, struct wsl_options *o, struct wsb_fault *fault)
{
    char *argv[12] = {(char *)"wsbench"};
    int argc = 1;
    for (; row->args[argc - 1]; argc++)
        argv[argc] = (char *)row->args[argc - 1];
    optind = 0; /* of glibc: begin again */
    return wsl_options_parse(argc, argv, o, fault);
}

static void test_every_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wsl_options o;
        struct wsb_fault fault = {0};
        wsb_err err = parse(&rows[i], &o, &fault);
        if (err != (rows[i].complaint ? WSB_ERR_CONFIG : WSB_OK) ||
            (rows[i].complaint && !strstr(fault.text, rows[i].complaint)))
            fail_msg("%s: %s, '%s'", rows[i].name, wsb_err_name(err), fault.text);
    }
}

static void test_values_arrive_and_defaults_stay(void **state)
{
    (void)state;
    const struct row row = {"", {"fanout", "-c2", "--size=64", "--rate", "2.5", "-bj", "-p", "7,8", "ws://h/x"}, NULL};
    struct wsl_options o;
    assert_int_equal(parse(&row, &o, NULL), WSB_OK);
    assert_int_equal(o.mode, WSL_FANOUT);
    assert_string_equal(o.url, "ws://h/x");
    assert_int_equal(o.connections, 2);
    assert_int_equal(o.size, 64);
    assert_true(o.rate == 2.5 && o.duration_s == 3 && o.settle_s == 0.5);
    assert_true(o.binary && o.json && !o.quiet);
    assert_int_equal(o.pid_count, 2);
    assert_int_equal(o.pids[1], 8);
}

static void test_times_have_units(void **state)
{
    static const struct {
        const char *text;
        double seconds;
    } times[] = {{"4", 4}, {"0.5", 0.5}, {"500ms", 0.5}, {"4s", 4}, {"1.5m", 90}, {"1h", 3600}, {"4e1s", 40}};
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        const struct row row = {"", {"echo", "ws://h/", "-d", times[i].text}, NULL};
        struct wsl_options o;
        assert_int_equal(parse(&row, &o, NULL), WSB_OK);
        if (o.duration_s != times[i].seconds)
            fail_msg("%s: %g", times[i].text, o.duration_s);
    }
}

static void test_other_names(void **state)
{
    static const char *const args[][2] = {{"--ca", "--ca-file"}, {"--ca", "--cacert"}, {"--unix", "-u"}};
    (void)state;
    for (size_t i = 0; i < sizeof args / sizeof *args; i++) {
        for (size_t k = 0; k < 2; k++) {
            const struct row row = {"", {"echo", "wss://h/", args[i][k], "/x"}, NULL};
            struct wsl_options o;
            assert_int_equal(parse(&row, &o, NULL), WSB_OK);
            assert_string_equal(args[i][0][2] == 'c' ? o.ca_file : o.unix_path, "/x");
        }
    }
    for (size_t k = 0; k < 3; k++) {
        const struct row row = {"", {"echo", "ws://h/", k == 0 ? "-n" : k == 1 ? "--messages" : "--count", "7"}, NULL};
        struct wsl_options o;
        assert_int_equal(parse(&row, &o, NULL), WSB_OK);
        assert_int_equal(o.count, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_values_arrive_and_defaults_stay),
        cmocka_unit_test(test_times_have_units),
        cmocka_unit_test(test_other_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
