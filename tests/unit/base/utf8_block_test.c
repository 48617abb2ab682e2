/* UTF-8 in blocks against UTF-8 byte by byte: every way this processor knows says no more than the slow one, and enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "base/utf8_block.h"

enum { ROOM = 4 * WSB_UTF8_BLOCK, LONGEST = 4 };

/* Where good text ends: all of `len`, or less when it is bad or ends inside a character. */
static size_t good_until(const uint8_t *text, size_t len)
{
    struct wsb_utf8 u;
    size_t good = 0;
    wsb_utf8_init(&u);
    for (size_t at = 0; at < len && wsb_utf8_feed(&u, text + at, 1); at++) {
        if (wsb_utf8_is_complete(&u))
            good = at + 1;
    }
    return good;
}

static bool is_boundary(const uint8_t *text, size_t len, size_t at)
{
    return at == len || (text[at] & 0xc0) != 0x80;
}

static void check(const uint8_t *text, size_t len)
{
    size_t good = good_until(text, len);
    if (wsb_utf8_is_valid(text, len) != (good == len))
        fail_msg("%zu bytes, good up to %zu: wsb_utf8_is_valid() thinks otherwise", len, good);
    for (const struct wsb_utf8_way *w = wsb_utf8_ways(); w->name; w++) {
        size_t said = w->blocks(text, len);
        if (said > good || (said < good && !is_boundary(text, good, said)))
            fail_msg("%s: %zu of %zu bytes, and %zu are good", w->name, said, len, good);
        if (good == len && len - said >= WSB_UTF8_BLOCK + LONGEST)
            fail_msg("%s: only %zu of %zu good bytes", w->name, said, len);
    }
}

/* A sequence in the midst of good text, at every place between the beginning and the end of a block. */
static void check_everywhere(const uint8_t *seq, size_t n, size_t step)
{
    static const char around[] = "a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"; /* one of each length */
    uint8_t text[ROOM];
    for (size_t at = 0; at < (size_t)2 * WSB_UTF8_BLOCK; at += step) {
        memset(text, 'x', sizeof text);
        text[0] = (uint8_t)around[0];
        memcpy(text + WSB_UTF8_BLOCK - 30, around + 1, sizeof around - 2);
        memcpy(text + at, seq, n);
        check(text, sizeof text);
    }
}

static void test_all_of_one_and_two_bytes(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        check_everywhere((const uint8_t[]){(uint8_t)a}, 1, 1);
        for (unsigned b = 0; b < 256; b++)
            check_everywhere((const uint8_t[]){(uint8_t)a, (uint8_t)b}, 2, 31);
    }
}

/* Bytes on both sides of every bound in RFC 3629's table. */
static const uint8_t bounds[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
                                 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xfb, 0xff};

static void test_all_of_three_and_four_bytes_at_the_bounds(void **state)
{
    (void)state;
    const size_t count = sizeof bounds;
    uint8_t text[2 * WSB_UTF8_BLOCK];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < count * count * count * count; i++) {
        const uint8_t seq[LONGEST] = {bounds[i % count], bounds[i / count % count], bounds[i / count / count % count],
                                      bounds[i / count / count / count]};
        size_t at = WSB_UTF8_BLOCK - 1 - i % LONGEST; /* across the end of the first block */
        memcpy(text + at, seq, sizeof seq);
        check(text, sizeof text);
        memset(text + at, 'x', sizeof seq);
    }
}

static uint32_t next_random(uint32_t *x)
{
    return *x = *x * 1664525u + 1013904223u;
}

/* Characters of all lengths in a row, as many as fit. */
static size_t random_text(uint8_t *text, size_t room, uint32_t *x)
{
    static const uint32_t ranges[][2] = {{0x20, 0x7f}, {0x80, 0x7ff}, {0x800, 0xd7ff}, {0x10000, 0x10ffff}};
    size_t len = 0;
    while (len + LONGEST <= room) {
        size_t kind = next_random(x) >> 30;
        uint32_t c = ranges[kind][0] + (next_random(x) >> 8) % (ranges[kind][1] - ranges[kind][0] + 1);
        static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
        text[len++] = (uint8_t)(leads[kind] | c >> 6 * kind);
        for (size_t left = kind; left-- > 0;)
            text[len++] = (uint8_t)(0x80 | (c >> 6 * left & 0x3f));
    }
    return len;
}

static void test_random_text_whole_cut_and_damaged(void **state)
{
    (void)state;
    uint32_t x = 1;
    uint8_t text[ROOM];
    for (int i = 0; i < 20000; i++) {
        size_t len = random_text(text, sizeof text, &x);
        assert_int_equal(good_until(text, len), len);
        check(text, len);
        check(text, len - (next_random(&x) >> 8) % len);
        text[(next_random(&x) >> 8) % len] ^= (uint8_t)(1u << (next_random(&x) >> 29));
        check(text, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_one_and_two_bytes),
        cmocka_unit_test(test_all_of_three_and_four_bytes_at_the_bounds),
        cmocka_unit_test(test_random_text_whole_cut_and_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
