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
        {"//a", "/a", NULL, NULL},
        {"//", "/", NULL, NULL},
        {"/a//b///c//", "/a/b/c/", NULL, NULL},
        {"/%41//b?c//d", "/A/b", "c//d", NULL},
        {"//..", NULL, NULL, NULL},
        {"/a//./b", NULL, NULL, NULL},
        {"http://a//b", "/b", NULL, "a"},
        {"/%7e%7E", "/~~", NULL, NULL},
        {"/%25%32%66", "/%2f", NULL, NULL}, /* decoded once, never twice */
        {"/a?%zz", "/a", "%zz", NULL},      /* the query is the handler's business */
        {"/?\\", "/", "\\", NULL},
        {"/+", "/+", NULL, NULL},
        {"http://a", "/", NULL, "a"},
        {"HTTPS://A.:01?x", "/", "x", "a:1"},
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
                 (t.query.ptr != NULL) != (rows[i].query != NULL) || t.has_authority != (rows[i].authority != NULL) ||
                 (t.has_authority && strcmp(t.authority.text, rows[i].authority) != 0))
            fail_msg("%s: path %.*s", rows[i].in, (int)t.path.len, (const char *)t.path.ptr);
        free(in);
        free(scratch);
    }
}

static void test_query_find(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        const char *want; /* NULL: not there */
        size_t count;
    } rows[] = {
        {"t=1", "1", 1},     {"a=2&t=1", "1", 1},   {"t=1&t=2", "1", 2},  {"t", "", 1},        {"t=", "", 1},
        {"t=a=b", "a=b", 1}, {"", NULL, 0},         {"tt=1", NULL, 0},    {"xt=1", NULL, 0},   {"&&t=1", "1", 1},
        {"t&x", "", 1},      {NULL, NULL, 0},       {"a=t=1", NULL, 0},   {"T=1", NULL, 0},    {"t=%41", "%41", 1},
        {"%74=1", "1", 1},   {"%74=1&t=2", "1", 2}, {"t&%74&t=", "", 3},  {"%54=1", NULL, 0},  {"%7=1&t%", NULL, 0},
        {"%74%=1", NULL, 0}, {"%%74=1", NULL, 0},   {"%2574=1", NULL, 0}, {"t%00=1", NULL, 0}, {"+t=1&t+=1", NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wsb_span value = {0};
        size_t count = wsg_http_query_find(wsb_span_str(rows[i].query), "t", &value);
        if (count != rows[i].count || !wsb_span_eq_str(value, rows[i].want))
            fail_msg("row %zu: %zu", i, count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target_parts),
        cmocka_unit_test(test_query_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
