/* Route patterns: what compiles, what matches, what goes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/pattern.h"

static struct wsb_pattern *compile(const char *text)
{
    struct wsb_pattern *p = NULL;
    struct wsb_fault fault = {0};
    if (wsb_pattern_new(&p, text, &fault))
        fail_msg("%s: %s", text, fault.text);
    return p;
}

static void test_pattern_refuses_with_a_column(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int column;
    } rows[] = {
        {"", 1},        {"chat", 1},   {"{room}", 1},   {"/a//b", 4},
        {"//", 2},      {"/./a", 2},   {"/a/..", 4},    {"/a b", 3},
        {"/a\tb", 3},   {"/a?b", 3},   {"/a#b", 3},     {"/a*", 3},
        {"/a%20b", 3},  {"/*", 2},     {"/a{b}", 2},    {"/{a}b", 2},
        {"/{a", 2},     {"/a}", 2},    {"/{}", 2},      {"/{*}", 2},
        {"/{a**}", 2},  {"/{1a}", 2},  {"/{a-b}", 2},   {"/{{a}}", 2},
        {"/{a*}/b", 2}, {"/{a*}/", 2}, {"/{a}/{a}", 7}, {"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", 35},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wsb_pattern *p = NULL;
        struct wsb_fault fault = {0};
        if (wsb_pattern_new(&p, rows[i].text, &fault) != WSB_ERR_CONFIG || p)
            fail_msg("%s was accepted", rows[i].text);
        if (fault.err != WSB_ERR_CONFIG || fault.column != rows[i].column)
            fail_msg("%s: column %d, not %d: %s", rows[i].text, fault.column, rows[i].column, fault.text);
        assert_int_equal(wsb_pattern_new(&p, rows[i].text, NULL), WSB_ERR_CONFIG);
    }
}

static void test_pattern_refuses_what_is_too_long(void **state)
{
    (void)state;
    const size_t segments_max_len = (size_t)2 * WSB_PATTERN_SEGMENTS_MAX; /* of "/a/a/a…" */
    char text[WSB_PATTERN_TEXT_MAX + 2];
    struct wsb_pattern *p = NULL;
    memset(text, 'a', sizeof text);
    text[0] = '/';
    text[sizeof text - 1] = 0;
    text[sizeof text - 2] = 0;
    assert_int_equal(wsb_pattern_new(&p, text, NULL), WSB_OK);
    wsb_pattern_free(p);
    p = NULL;
    text[sizeof text - 2] = 'a';
    assert_int_equal(wsb_pattern_new(&p, text, NULL), WSB_ERR_CONFIG);
    for (size_t i = 0; i < segments_max_len + 2; i++)
        text[i] = i % 2 ? 'a' : '/';
    text[segments_max_len + 2] = 0;
    assert_int_equal(wsb_pattern_new(&p, text, NULL), WSB_ERR_CONFIG);
    text[segments_max_len] = 0;
    assert_int_equal(wsb_pattern_new(&p, text, NULL), WSB_OK);
    wsb_pattern_free(p);
    wsb_pattern_free(NULL);
}

static void test_pattern_matches(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *path;
        const char *want; /* the parameters, each followed by '|'; NULL: no match */
    } rows[] = {
        {"/", "/", ""},
        {"/", "", NULL},
        {"/", "/a", NULL},
        {"/a", "/a", ""},
        {"/a", "/a/", NULL},
        {"/a", "/A", NULL},
        {"/a", "/ab", NULL},
        {"/a", "a", NULL},
        {"/a", "*", NULL},
        {"/a/", "/a/", ""},
        {"/a/", "/a", NULL},
        {"/a/", "/a//", NULL},
        {"/chat/{room}", "/chat/lobby", "lobby|"},
        {"/chat/{room}", "/chat/a b\xc3\xa9", "a b\xc3\xa9|"},
        {"/chat/{room}", "/chat/", NULL},
        {"/chat/{room}", "/chat", NULL},
        {"/chat/{room}", "/chat/a/", NULL},
        {"/chat/{room}", "/chat/a/b", NULL},
        {"/{a}/x/{b}", "/1/x/2", "1|2|"},
        {"/{a}/x/{b}", "/1/y/2", NULL},
        {"/{a}/x/{b}", "//x/2", NULL},
        {"/files/{path*}", "/files/a/b.txt", "a/b.txt|"},
        {"/files/{path*}", "/files/a//", "a//|"},
        {"/files/{path*}", "/files/", "|"},
        {"/files/{path*}", "/files", NULL},
        {"/{all*}", "/", "|"},
        {"/{all*}", "", NULL},
        {"/{u}/{rest*}", "/me/a/b", "me|a/b|"},
        {"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h*}", "/1/2/3/4/5/6/7/8/9", "1|2|3|4|5|6|7|8/9|"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wsb_pattern *p = compile(rows[i].pattern);
        struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
        char got[128] = "";
        size_t path_len = strlen(rows[i].path);
        char *path = malloc(path_len ? path_len : 1); /* not terminated: an overrun is seen */
        assert_non_null(path);
        memcpy(path, rows[i].path, path_len);
        bool matches = wsb_pattern_match(p, wsb_span(path, path_len), params);
        if (matches != (rows[i].want != NULL))
            fail_msg("%s on %s: %s", rows[i].pattern, rows[i].path, matches ? "matches" : "does not match");
        for (size_t k = 0; matches && k < wsb_pattern_param_count(p); k++) {
            (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s|", (int)params[k].len,
                           (const char *)params[k].ptr);
        }
        if (matches)
            assert_string_equal(got, rows[i].want);
        free(path);
        wsb_pattern_free(p);
    }
}

static void test_pattern_knows_its_names(void **state)
{
    (void)state;
    struct wsb_pattern *p = compile("/{user_1}/x/{rest*}");
    assert_int_equal(wsb_pattern_param_count(p), 2);
    assert_string_equal(wsb_pattern_param_name(p, 0), "user_1");
    assert_string_equal(wsb_pattern_param_name(p, 1), "rest");
    assert_string_equal(wsb_pattern_text(p), "/{user_1}/x/{rest*}");
    wsb_pattern_free(p);
}

/* Each is more specific than all that follow: the whole table is checked against itself. */
static void test_pattern_order_is_literal_parameter_rest(void **state)
{
    (void)state;
    static const char *const order[] = {
        "/a",         "/a/b",    "/a/b/c", "/a/b/{x}", "/a/c",   "/a/{x}",    "/a/{x}/c",
        "/a/{x}/{y}", "/a/{x*}", "/ab",    "/{x}",     "/{x}/b", "/{x}/{y*}", "/{x*}",
    };
    enum { COUNT = sizeof order / sizeof order[0] };
    struct wsb_pattern *p[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        p[i] = compile(order[i]);
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t k = 0; k < COUNT; k++) {
            int got = wsb_pattern_compare(p[i], p[k]);
            if ((got < 0) != (i < k) || (got > 0) != (i > k))
                fail_msg("%s against %s: %d", order[i], order[k], got);
        }
    }
    for (size_t i = 0; i < COUNT; i++)
        wsb_pattern_free(p[i]);
}

static void test_pattern_compares_equal_whatever_the_names_are(void **state)
{
    (void)state;
    struct wsb_pattern *a = compile("/chat/{room}");
    struct wsb_pattern *b = compile("/chat/{name}");
    assert_int_equal(wsb_pattern_compare(a, b), 0);
    wsb_pattern_free(a);
    wsb_pattern_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pattern_refuses_with_a_column),
        cmocka_unit_test(test_pattern_refuses_what_is_too_long),
        cmocka_unit_test(test_pattern_matches),
        cmocka_unit_test(test_pattern_knows_its_names),
        cmocka_unit_test(test_pattern_order_is_literal_parameter_rest),
        cmocka_unit_test(test_pattern_compares_equal_whatever_the_names_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
