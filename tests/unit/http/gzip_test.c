/* Bodies as gzip: whole and in parts, each of which can be read as soon as it is there. */
#include <zlib.h>

#include "support/test.h"

#include "http/gzip.h"

enum { LARGE = 300000 };

/* What a client reads of it so far. */
static size_t unpack(struct wsb_span packed, uint8_t *out, size_t room, bool *ret_ended)
{
    z_stream z = {.next_in = (z_const Bytef *)packed.ptr, .avail_in = (unsigned)packed.len, .next_out = out};
    z.avail_out = (unsigned)room;
    assert_int_equal(inflateInit2(&z, 16 + 15), Z_OK);
    int result = inflate(&z, Z_SYNC_FLUSH);
    assert_true(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR);
    *ret_ended = result == Z_STREAM_END;
    assert_int_equal(inflateEnd(&z), Z_OK);
    return room - z.avail_out;
}

static void fill(uint8_t *data, size_t len, bool is_noise)
{
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        data[i] = is_noise ? (uint8_t)(x >> 24) : (uint8_t)("abcdefgh"[x >> 29]);
    }
}

static void test_parts_can_be_read_as_they_come(void **state)
{
    static const size_t parts[] = {0, 1, 5, 0, 4096, 65536, 100000, 1, 0};
    static uint8_t plain[LARGE], got[LARGE + 1];
    (void)state;
    for (int noise = 0; noise < 2; noise++) {
        for (unsigned bits = 9; bits <= 15; bits += 3) {
            struct wsg_gzip *g;
            struct wsb_buf out;
            size_t at = 0;
            bool ended;
            fill(plain, sizeof plain, noise);
            wsb_buf_init(&out, 0);
            assert_int_equal(wsg_gzip_new(&g, bits, 5), WSB_OK);
            for (size_t i = 0; i < COUNT(parts); i++) {
                assert_int_equal(wsg_gzip_append(g, wsb_span(plain + at, parts[i]), WSG_GZIP_FLUSH, &out), WSB_OK);
                at += parts[i];
                assert_int_equal(unpack(wsb_buf_span(&out), got, sizeof got, &ended), at);
                assert_false(ended);
                assert_memory_equal(got, plain, at);
            }
            assert_int_equal(wsg_gzip_append(g, wsb_span(NULL, 0), WSG_GZIP_END, &out), WSB_OK);
            assert_int_equal(unpack(wsb_buf_span(&out), got, sizeof got, &ended), at);
            assert_true(ended);
            wsg_gzip_free(g);
            wsb_buf_deinit(&out);
        }
    }
}

static void test_bodies_one_after_the_other_have_nothing_in_common(void **state)
{
    static uint8_t plain[LARGE], got[LARGE + 1];
    struct wsg_gzip *g;
    struct wsb_buf out;
    size_t first = 0;
    (void)state;
    fill(plain, sizeof plain, false);
    wsb_buf_init(&out, 0);
    assert_int_equal(wsg_gzip_new(&g, 15, 1), WSB_OK);
    for (unsigned level = 1; level <= 9; level++) {
        bool ended;
        wsb_buf_clear(&out);
        wsg_gzip_reset(g, level);
        assert_int_equal(wsg_gzip_append(g, wsb_span(plain, sizeof plain), WSG_GZIP_END, &out), WSB_OK);
        assert_int_equal(unpack(wsb_buf_span(&out), got, sizeof got, &ended), sizeof plain);
        assert_true(ended);
        assert_memory_equal(got, plain, sizeof plain);
        first = level == 1 ? out.len : first;
    }
    assert_true(out.len < first); /* the level counts */
    wsg_gzip_reset(g, 1);
    assert_int_equal(wsg_gzip_append(g, wsb_span(plain, 1000), WSG_GZIP_FLUSH, &out), WSB_OK); /* given up */
    wsb_buf_clear(&out);
    wsg_gzip_reset(g, 1);
    assert_int_equal(wsg_gzip_append(g, wsb_span(plain, sizeof plain), WSG_GZIP_END, &out), WSB_OK);
    assert_int_equal(out.len, first);
    wsg_gzip_free(g);
    wsb_buf_deinit(&out);
}

static void test_kept_parts_come_with_the_next_flush(void **state)
{
    enum { PART = 4096, PARTS = 16 };
    static uint8_t plain[PART * PARTS], got[PART * PARTS + 1];
    size_t len[2];
    (void)state;
    fill(plain, sizeof plain, false);
    for (int keeps = 0; keeps < 2; keeps++) {
        struct wsg_gzip *g;
        struct wsb_buf out;
        bool ended;
        wsb_buf_init(&out, 0);
        assert_int_equal(wsg_gzip_new(&g, 13, 5), WSB_OK);
        for (size_t i = 0; i < PARTS; i++) {
            enum wsg_gzip_flush flush = keeps && i + 1 < PARTS ? WSG_GZIP_KEEP : WSG_GZIP_FLUSH;
            assert_int_equal(wsg_gzip_append(g, wsb_span(plain + i * PART, PART), flush, &out), WSB_OK);
        }
        assert_int_equal(unpack(wsb_buf_span(&out), got, sizeof got, &ended), sizeof plain);
        assert_false(ended);
        assert_memory_equal(got, plain, sizeof plain);
        len[keeps] = out.len;
        wsg_gzip_free(g);
        wsb_buf_deinit(&out);
    }
    assert_true(len[1] < len[0]); /* a flush costs something */
}

static void test_a_buffer_that_may_not_grow_is_a_failure(void **state)
{
    static uint8_t plain[LARGE];
    struct wsg_gzip *g;
    struct wsb_buf out;
    (void)state;
    fill(plain, sizeof plain, true);
    wsb_buf_init(&out, 10000);
    assert_int_equal(wsg_gzip_new(&g, 15, 5), WSB_OK);
    assert_int_not_equal(wsg_gzip_append(g, wsb_span(plain, sizeof plain), WSG_GZIP_END, &out), WSB_OK);
    wsg_gzip_free(g);
    wsb_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_can_be_read_as_they_come),
        cmocka_unit_test(test_bodies_one_after_the_other_have_nothing_in_common),
        cmocka_unit_test(test_kept_parts_come_with_the_next_flush),
        cmocka_unit_test(test_a_buffer_that_may_not_grow_is_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
