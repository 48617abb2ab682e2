/*
 * The chunk line guard by itself: in requests llhttp would refuse most of this a second time, and so hide a hole here.
 * Each row runs cut at each point.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/chunk.h"

static const struct row {
    const char *name;
    const char *in;
    uint64_t size;
    wsb_err want;
    bool is_next; /* a chunk was read before: its CRLF comes first */
} rows[] = {
    {"one digit", "5\r\n", 5, WSB_OK, false},
    {"zero", "0\r\n", 0, WSB_OK, false},
    {"hex in both cases", "aBcDeF09\r\n", 0xabcdef09, WSB_OK, false},
    {"largest", "ffffffffffffffff\r\n", UINT64_MAX, WSB_OK, false},
    {"leading zeros", "0000000000000001\r\n", 1, WSB_OK, false},
    {"17 digits", "00000000000000001\r\n", 0, WSB_ERR_PROTO, false},
    {"extension", "5;a=b; c=\"d\"\r\n", 5, WSB_OK, false},
    {"empty extension", "5;\r\n", 5, WSB_OK, false},
    {"after data", "\r\n5\r\n", 5, WSB_OK, true},
    {"no digit", "\r\n", 0, WSB_ERR_PROTO, false},
    {"no digit but an extension", ";a\r\n", 0, WSB_ERR_PROTO, false},
    {"no hex digit", "g\r\n", 0, WSB_ERR_PROTO, false},
    {"prefix", "0x5\r\n", 0, WSB_ERR_PROTO, false},
    {"sign", "-5\r\n", 0, WSB_ERR_PROTO, false},
    {"space first", " 5\r\n", 0, WSB_ERR_PROTO, false},
    {"space behind", "5 \r\n", 0, WSB_ERR_PROTO, false},
    {"tab behind", "5\t\r\n", 0, WSB_ERR_PROTO, false},
    {"bare LF", "5\n", 0, WSB_ERR_PROTO, false},
    {"bare CR", "5\r5", 0, WSB_ERR_PROTO, false},
    {"two CR", "5\r\r\n", 0, WSB_ERR_PROTO, false},
    {"bare LF in an extension", "5;a\n", 0, WSB_ERR_PROTO, false},
    {"bare CR in an extension", "5;a\rb", 0, WSB_ERR_PROTO, false},
    {"control character in an extension", "5;a\x01\r\n", 0, WSB_ERR_PROTO, false},
    {"data without CRLF", "5\r\n", 0, WSB_ERR_PROTO, true},
    {"data with bare LF", "\n5\r\n", 0, WSB_ERR_PROTO, true},
    {"data with bare CR", "\r5\r\n", 0, WSB_ERR_PROTO, true},
    {"unfinished", "5;a\r", 0, WSB_MORE, false},
};

static wsb_err feed(struct wsg_http_chunk *c, const char *in, size_t len)
{
    size_t used = SIZE_MAX;
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, in, len);
    wsb_err err = wsg_http_chunk_feed(c, copy, len, &used);
    if (err == WSB_OK || err == WSB_MORE) {
        assert_int_equal(used, len); /* no row has bytes behind its end */
        for (size_t i = c->ext_begin; i < c->ext_end; i++)
            assert_true(copy[i] != '\r' && copy[i] != '\n');
    }
    free(copy);
    return err;
}

static void test_line_has_one_verdict_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].in);
        for (size_t cut = 0; cut <= len; cut++) {
            struct wsg_http_chunk c;
            wsg_http_chunk_init(&c);
            if (rows[i].is_next) {
                assert_int_equal(feed(&c, "1\r\n", 3), WSB_OK);
                wsg_http_chunk_next(&c);
            }
            wsb_err err = feed(&c, rows[i].in, cut);
            if (err == WSB_MORE)
                err = feed(&c, rows[i].in + cut, len - cut);
            if (err != rows[i].want || (err == WSB_OK && c.size != rows[i].size))
                fail_msg("%s, cut at %zu: %s, %llu", rows[i].name, cut, wsb_err_name(err), (unsigned long long)c.size);
            if (err == WSB_ERR_PROTO)
                assert_non_null(c.reason);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_has_one_verdict_however_it_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
