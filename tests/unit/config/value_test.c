/* Values: what is one, what is refused, and that nothing wraps around. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/value.h"

enum { BAD = -1 };
#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

struct row {
    const char *text;
    int64_t want; /* BAD: refused */
};

typedef wsb_err (*parse_fn)(const char *text, uint64_t min, uint64_t max, uint64_t *ret, struct wsb_fault *fault);

static void check_rows(parse_fn parse, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t v = 4711;
        struct wsb_fault fault = {0};
        wsb_err err = parse(rows[i].text, 0, INT64_MAX, &v, &fault);
        if (err != (rows[i].want == BAD ? WSB_ERR_CONFIG : WSB_OK))
            fail_msg("'%s': %s", rows[i].text, err ? fault.text : "accepted");
        if (v != (rows[i].want == BAD ? 4711 : (uint64_t)rows[i].want))
            fail_msg("'%s' became %llu", rows[i].text, (unsigned long long)v);
        assert_int_equal(err != WSB_OK, fault.text[0] != 0);
    }
}

static void test_value_number(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0", 0},
        {"7", 7},
        {"007", 7},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", BAD},
        {"18446744073709551616", BAD},
        {"18446744073709551617", BAD},
        {"99999999999999999999999999999999", BAD},
        {"", BAD},
        {" 1", BAD},
        {"1 ", BAD},
        {"+1", BAD},
        {"-1", BAD},
        {"1e3", BAD},
        {"0x1", BAD},
        {"1K", BAD},
        {"one", BAD},
    };
    check_rows(wsg_value_number, rows, COUNT(rows));
}

static void test_value_size(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0", 0},
        {"1", 1},
        {"1B", 1},
        {"1KiB", 1024},
        {"3MiB", 3145728},
        {"4GiB", 4294967296},
        {"0GiB", 0},
        {"17179869184GiB", BAD},
        {"17179869185GiB", BAD},
        {"1kib", BAD},
        {"1KB", BAD},
        {"1K", BAD},
        {"1 KiB", BAD},
        {"KiB", BAD},
        {"1KiBs", BAD},
        {"1.5MiB", BAD},
        {"", BAD},
        {"1KiB1KiB", BAD},
    };
    check_rows(wsg_value_size, rows, COUNT(rows));
}

static void test_value_duration(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0", 0},         {"0s", 0},  {"1ms", 1},     {"1s", 1000}, {"2m", 120000},
        {"3h", 10800000}, {"000", 0}, {"1", BAD},     {"1S", BAD},  {"1sec", BAD},
        {"s", BAD},       {"", BAD},  {"1m30s", BAD}, {"-1s", BAD}, {"5124095576030432h", BAD},
    };
    check_rows(wsg_value_duration, rows, COUNT(rows));
}

static void test_value_mode(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"0600", 0600}, {"600", 0600},  {"0777", 0777}, {"0660", 0660}, {"0400", BAD}, {"1777", BAD},
        {"00600", BAD}, {"0o600", BAD}, {"0680", BAD},  {"", BAD},      {"rw", BAD},   {"-600", BAD},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        unsigned mode = 1;
        if (wsg_value_mode(rows[i].text, &mode, NULL) != (rows[i].want == BAD ? WSB_ERR_CONFIG : WSB_OK))
            fail_msg("'%s'", rows[i].text);
        assert_int_equal(mode, rows[i].want == BAD ? 1 : rows[i].want);
    }
}

static const char long_name[] = "0123456789012345678901234567890123456789012345678901234567890123456789";

static void test_value_checks(void **state)
{
    (void)state;
    static const struct {
        wsb_err (*check)(const char *text, struct wsb_fault *fault);
        const char *text;
        bool is_good;
    } rows[] = {
        {wsg_value_check_name, "echo", true},
        {wsg_value_check_name, "A-z_0.9", true},
        {wsg_value_check_name, &long_name[6], true},
        {wsg_value_check_name, &long_name[5], false},
        {wsg_value_check_name, "", false},
        {wsg_value_check_name, "a b", false},
        {wsg_value_check_name, "\xc3\xa4", false},
        {wsg_value_check_host, "localhost", true},
        {wsg_value_check_host, "a-b.example.org", true},
        {wsg_value_check_host, "[::1]", true},
        {wsg_value_check_host, "[::1]:80", false},
        {wsg_value_check_host, "::1", false},
        {wsg_value_check_host, "a:80", false},
        {wsg_value_check_host, "http://a", false},
        {wsg_value_check_host, "*", false},
        {wsg_value_check_host, "", false},
        {wsg_value_check_host, "[]", false},
        {wsg_value_check_token, "chat.v1", true},
        {wsg_value_check_token, "my.server/json", true},
        {wsg_value_check_token, "a,b", false},
        {wsg_value_check_token, "a b", false},
        {wsg_value_check_token, "", false},
        {wsg_value_check_prefix, "/", true},
        {wsg_value_check_prefix, "/app/", true},
        {wsg_value_check_prefix, "/app", false},
        {wsg_value_check_prefix, "app/", false},
        {wsg_value_check_prefix, "//", false},
        {wsg_value_check_prefix, "/../", false},
        {wsg_value_check_prefix, "/{a}/", false},
        {wsg_value_check_prefix, "/a?/", false},
        {wsg_value_check_prefix, "", false},
        {wsg_value_check_address, "127.0.0.1:8080", true},
        {wsg_value_check_address, "127.0.0.1:0", true},
        {wsg_value_check_address, "[::1]:8080", true},
        {wsg_value_check_address, "*:65535", true},
        {wsg_value_check_address, "unix:/run/a.sock", true},
        {wsg_value_check_address, "127.0.0.1:65536", false},
        {wsg_value_check_address, "127.0.0.1:-1", false},
        {wsg_value_check_address, "127.0.0.1:", false},
        {wsg_value_check_address, "127.0.0.1", false},
        {wsg_value_check_address, "127.0.0:80", false},
        {wsg_value_check_address, "localhost:80", false},
        {wsg_value_check_address, "::1:80", false},
        {wsg_value_check_address, "[::1]80", false},
        {wsg_value_check_address, ":80", false},
        {wsg_value_check_address, "unix:", false},
        {wsg_value_check_address, "", false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_fault fault = {0};
        if (rows[i].check(rows[i].text, &fault) != (rows[i].is_good ? WSB_OK : WSB_ERR_CONFIG))
            fail_msg("row %zu, '%s': %s", i, rows[i].text, rows[i].is_good ? fault.text : "accepted");
        assert_int_equal(rows[i].is_good, fault.text[0] == 0);
    }
}

static void test_value_address_has_room_for_a_socket_path(void **state)
{
    (void)state;
    char text[5 + 108 + 1] = "unix:";
    memset(text + 5, 'a', 108);
    assert_int_equal(wsg_value_check_address(text, NULL), WSB_ERR_CONFIG);
    text[5 + 107] = 0;
    assert_int_equal(wsg_value_check_address(text, NULL), WSB_OK);
}

static void test_value_prefix_is_cut_and_cleaned(void **state)
{
    (void)state;
    struct wsb_fault fault;
    char big[400];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = 0;
    (void)wsb_fault_set(&fault, WSB_ERR_CONFIG, 0, "'\x1b[2J\n' is wrong");
    assert_int_equal(wsg_fault_prefix(&fault, "a%d", 1), WSB_ERR_CONFIG);
    assert_string_equal(fault.text, "a1: '?[2J?' is wrong");
    (void)wsg_fault_prefix(&fault, "%s", big);
    assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
    assert_string_equal(fault.text + sizeof fault.text - 4, "...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_value_number),
        cmocka_unit_test(test_value_size),
        cmocka_unit_test(test_value_duration),
        cmocka_unit_test(test_value_mode),
        cmocka_unit_test(test_value_checks),
        cmocka_unit_test(test_value_address_has_room_for_a_socket_path),
        cmocka_unit_test(test_value_prefix_is_cut_and_cleaned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
