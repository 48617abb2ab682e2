/* Targets, hosts, percent-encoding. That requests use them is tested in request_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/target.h"

static void test_target_parts(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *path; /* NULL: refused */
        const char *query;
        const char *authority;
    } rows[] = {
        {"/", "/", NULL, NULL},
        {"/a?b?c", "/a", "b?c", NULL},
        {"/a?", "/a", "", NULL},
        {"/a/.b/c.", "/a/.b/c.", NULL, NULL},
        {"/...", "/...", NULL, NULL},
        {"//a", "//a", NULL, NULL},
        {"/%7e%7E", "/~~", NULL, NULL},
        {"/%25%32%66", "/%2f", NULL, NULL}, /* decoded once, never twice */
        {"/a?%zz", "/a", "%zz", NULL},      /* the query is the handler's business */
        {"/?\\", "/", "\\", NULL},
        {"/+", "/+", NULL, NULL},
        {"http://a", "/", NULL, "a"},
        {"HTTPS://A:1?x", "/", "x", "A:1"},
        {"http://[::1]/%41", "/A", NULL, "[::1]"},
        {"http://", NULL, NULL, NULL},
        {"http:///a", NULL, NULL, NULL},
        {"http:/a", NULL, NULL, NULL},
        {"http://a@b/", NULL, NULL, NULL},
        {"http://a\\b/", NULL, NULL, NULL},
        {"ws://a/", NULL, NULL, NULL},
        {"a", NULL, NULL, NULL},
        {"?a", NULL, NULL, NULL},
        {"*", NULL, NULL, NULL},
        {"/.", NULL, NULL, NULL},
        {"/..", NULL, NULL, NULL},
        {"/./", NULL, NULL, NULL},
        {"/a/..", NULL, NULL, NULL},
        {"/%2e", NULL, NULL, NULL},
        {"/.%2E/a", NULL, NULL, NULL},
        {"/%2F", NULL, NULL, NULL},
        {"/a%2f", NULL, NULL, NULL},
        {"/%", NULL, NULL, NULL},
        {"/%a", NULL, NULL, NULL},
        {"/%ag", NULL, NULL, NULL},
        {"/%ga", NULL, NULL, NULL},
        {"/%00", NULL, NULL, NULL},
        {"/%1f", NULL, NULL, NULL},
        {"/%7f", NULL, NULL, NULL},
        {"/%ff", NULL, NULL, NULL},
        {"/%c0%ae", NULL, NULL, NULL}, /* overlong '.' */
        {"/%ed%a0%80", NULL, NULL, NULL},
        {"/\\", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].in);
        uint8_t *in = malloc(len);
        uint8_t *scratch = malloc(len);
        struct wsg_http_target t;
        const char *reason = NULL;
        assert_non_null(in);
        assert_non_null(scratch);
        memcpy(in, rows[i].in, len);
        wsb_err err = wsg_http_target_parse(wsb_span(in, len), /*is_options=*/false, scratch, &t, &reason);
        if ((err == WSB_OK) != (rows[i].path != NULL))
            fail_msg("%s: %s", rows[i].in, wsb_err_name(err));
        if (err)
            assert_non_null(reason);
        else if (!wsb_span_eq_str(t.path, rows[i].path) || !wsb_span_eq_str(t.query, rows[i].query) ||
                 (t.query.ptr != NULL) != (rows[i].query != NULL) || !wsb_span_eq_str(t.authority, rows[i].authority))
            fail_msg("%s: path %.*s", rows[i].in, (int)t.path.len, (const char *)t.path.ptr);
        free(in);
        free(scratch);
    }
}

static void test_host(void **state)
{
    (void)state;
    static const char *const good[] = {
        "a",   "a.b-c_d~e", "A.",   "1.2.3.4",    "1.2.3.4:80",          "a:",
        "a:0", "a:65535",   "[::]", "[::1]:8080", "[2001:db8::1.2.3.4]",
    };
    static const char *const bad[] = {
        "",
        ":80",
        "a:65536",
        "a:123456",
        "a:8x",
        "a:80:80",
        "a b",
        "a,b",
        "a/b",
        "a@b",
        "a\\b",
        "a%41",
        "a#",
        "a?",
        "[",
        "[]",
        "[::1",
        "::1",
        "[:::]",
        "[1.2.3.4]",
        "[::1]x",
        "[::1]:x",
        "[fe80::1%25eth0]",
        "\xc3\xa9",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!wsg_http_is_host(wsb_span_str(good[i])))
            fail_msg("refused %s", good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (wsg_http_is_host(wsb_span_str(bad[i])))
            fail_msg("accepted %s", bad[i]);
    }
    assert_false(wsg_http_is_host(wsb_span("[::1\0]", 6)));
}

static void test_query_find(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *want; /* NULL: not there */
    } rows[] = {
        {"t=1", "1"},     {"a=2&t=1", "1"}, {"t=1&t=2", "1"}, {"t", ""},      {"t=", ""},
        {"t=a=b", "a=b"}, {"", NULL},       {"tt=1", NULL},   {"xt=1", NULL}, {"&&t=1", "1"},
        {"t&x", ""},      {NULL, NULL},     {"a=t=1", NULL},  {"T=1", NULL},  {"t=%41", "%41"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wsb_span value = {0};
        bool found = wsg_http_query_find(wsb_span_str(rows[i].query), "t", &value);
        if (found != (rows[i].want != NULL) || !wsb_span_eq_str(value, rows[i].want))
            fail_msg("row %zu: %d", i, found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target_parts),
        cmocka_unit_test(test_host),
        cmocka_unit_test(test_query_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
