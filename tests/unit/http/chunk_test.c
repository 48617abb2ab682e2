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
    wsb_err want;
    uint64_t size;
    bool is_next; /* a chunk was read before: its CRLF comes first */
} rows[] = {
    {"one digit", "5\r\n", WSB_OK, 5, false},
    {"zero", "0\r\n", WSB_OK, 0, false},
    {"hex in both cases", "aBcDeF09\r\n", WSB_OK, 0xabcdef09, false},
    {"largest", "ffffffffffffffff\r\n", WSB_OK, UINT64_MAX, false},
    {"leading zeros", "0000000000000001\r\n", WSB_OK, 1, false},
    {"17 digits", "00000000000000001\r\n", WSB_ERR_PROTO, 0, false},
    {"extension", "5;a=b; c=\"d\"\r\n", WSB_OK, 5, false},
    {"empty extension", "5;\r\n", WSB_OK, 5, false},
    {"after data", "\r\n5\r\n", WSB_OK, 5, true},
    {"no digit", "\r\n", WSB_ERR_PROTO, 0, false},
    {"no digit but an extension", ";a\r\n", WSB_ERR_PROTO, 0, false},
    {"no hex digit", "g\r\n", WSB_ERR_PROTO, 0, false},
    {"prefix", "0x5\r\n", WSB_ERR_PROTO, 0, false},
    {"sign", "-5\r\n", WSB_ERR_PROTO, 0, false},
    {"space first", " 5\r\n", WSB_ERR_PROTO, 0, false},
    {"space behind", "5 \r\n", WSB_ERR_PROTO, 0, false},
    {"tab behind", "5\t\r\n", WSB_ERR_PROTO, 0, false},
    {"bare LF", "5\n", WSB_ERR_PROTO, 0, false},
    {"bare CR", "5\r5", WSB_ERR_PROTO, 0, false},
    {"two CR", "5\r\r\n", WSB_ERR_PROTO, 0, false},
    {"bare LF in an extension", "5;a\n", WSB_ERR_PROTO, 0, false},
    {"bare CR in an extension", "5;a\rb", WSB_ERR_PROTO, 0, false},
    {"control character in an extension", "5;a\x01\r\n", WSB_ERR_PROTO, 0, false},
    {"data without CRLF", "5\r\n", WSB_ERR_PROTO, 0, true},
    {"data with bare LF", "\n5\r\n", WSB_ERR_PROTO, 0, true},
    {"data with bare CR", "\r5\r\n", WSB_ERR_PROTO, 0, true},
    {"unfinished", "5;a\r", WSB_MORE, 0, false},
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
