/* A token that both sides know: what is one, what a file has to be like, and who shows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "token/bearer.h"

#define TOKEN "abcDEF0123456-._~+/=="

static void test_what_a_token_is(void **state)
{
    char long_one[WSB_BEARER_MAX + 2];
    struct wsb_bearer b = {0};
    static const char *const good[] = {TOKEN, (TOKEN "\n"), ("  " TOKEN "\r\n\r\n"), ("\n\t" TOKEN),
                                       "0123456789abcdef"};
    static const char *const bad[] = {"",
                                      "\n",
                                      "0123456789abcde",
                                      "0123456789 abcdef",
                                      "0123456789\nabcdef",
                                      "====0123456789abcdef",
                                      "================",
                                      "0123456789=abcdef",
                                      "0123456789abcd\303\244",
                                      "\"0123456789abcdef\"",
                                      ("Bearer " TOKEN)};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(wsb_bearer_parse(&b, wsb_span_str(good[i]), NULL), WSB_OK);
        assert_int_equal(b.len, i == 4 ? 16 : strlen(TOKEN));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct wsb_fault fault = {0};
        assert_int_equal(wsb_bearer_parse(&b, wsb_span_str(bad[i]), &fault), WSB_ERR_CONFIG);
        assert_true(strlen(fault.text) > 0);
        assert_int_equal(b.len, 16); /* the one before */
    }
    assert_int_equal(wsb_bearer_parse(&b, wsb_span("0123456789abcdef\0", 17), NULL), WSB_ERR_CONFIG);
    memset(long_one, 'x', sizeof long_one);
    assert_int_equal(wsb_bearer_parse(&b, wsb_span(long_one, WSB_BEARER_MAX), NULL), WSB_OK);
    assert_int_equal(wsb_bearer_parse(&b, wsb_span(long_one, (WSB_BEARER_MAX) + 1), NULL), WSB_ERR_CONFIG);
}

static void test_who_shows_it(void **state)
{
    struct wsb_bearer b = {0};
    static const char *const good[] = {"Bearer " TOKEN, "bearer " TOKEN, "BEARER   " TOKEN " "};
    static const char *const bad[] = {"",
                                      "Bearer",
                                      "Bearer ",
                                      "Bearer  ",
                                      TOKEN,
                                      "Basic " TOKEN,
                                      "Bearer " TOKEN "=",
                                      "Bearer " TOKEN ",x",
                                      "Bearer" TOKEN,
                                      "Bearer abcDEF0123456-._~+/=",
                                      "Bearer AbcDEF0123456-._~+/==",
                                      "Bearer abcDEF0123456-._~+/=x"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_false(wsb_bearer_is_good(&b, wsb_span_str(good[i]))); /* there is none */
    assert_int_equal(wsb_bearer_parse(&b, wsb_span_str(TOKEN), NULL), WSB_OK);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(wsb_bearer_is_good(&b, wsb_span_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(wsb_bearer_is_good(&b, wsb_span_str(bad[i])));
    wsb_bearer_wipe(&b);
    assert_false(wsb_bearer_is_good(&b, wsb_span_str(good[0])));
    assert_false(wsb_bearer_is_good(&b, wsb_span_str("Bearer ")));
}

static void test_its_file(void **state)
{
    char path[] = "/tmp/wsbus-bearer-XXXXXX";
    struct wsb_bearer b = {0};
    struct wsb_fault fault = {0};
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(wsb_bearer_load(&b, path, &fault), WSB_ERR_CONFIG);
    assert_memory_equal(fault.text, path, strlen(path));
    assert_string_equal(fault.text + strlen(path), ": a token has 16 to 1024 characters, and here are 0");
    assert_int_equal(write(fd, TOKEN "\n", strlen(TOKEN "\n")), strlen(TOKEN "\n"));
    assert_int_equal(wsb_bearer_load(&b, path, &fault), WSB_OK);
    assert_true(wsb_bearer_is_good(&b, wsb_span_str("Bearer " TOKEN)));
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(wsb_bearer_load(&b, path, &fault), WSB_ERR_CONFIG);
    assert_non_null(strstr(fault.text, "(mode 0644): chmod 0600 it"));
    assert_int_equal(fchmod(fd, 0600) | ftruncate(fd, 4097), 0);
    assert_int_equal(wsb_bearer_load(&b, path, &fault), WSB_ERR_LIMIT);
    assert_int_equal(close(fd) | unlink(path), 0);
    assert_int_equal(wsb_bearer_load(&b, path, &fault), WSB_ERR_IO);
    assert_true(wsb_bearer_is_good(&b, wsb_span_str("Bearer " TOKEN))); /* the one that was read */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_token_is),
        cmocka_unit_test(test_who_shows_it),
        cmocka_unit_test(test_its_file),
    };
    return cmocka_run_group_tests_name("bearer", tests, NULL, NULL);
}
