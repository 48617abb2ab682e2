/* Masking against the definition of RFC 6455 §5.3, over every length, phase and alignment that a loop could get wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ws/mask.h"

enum { LEN_MAX = 600, GUARD = 0xa5 };

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

static void naive(uint8_t *dst, const uint8_t *src, size_t len, size_t phase)
{
    for (size_t i = 0; i < len; i++)
        dst[i] = src[i] ^ key[(phase + i) % 4];
}

static void fill(uint8_t *p, size_t len)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < len; i++) {
        x = x * 1103515245u + 12345u;
        p[i] = (uint8_t)(x >> 16);
    }
}

static void check(size_t len, size_t phase, size_t src_at, size_t dst_at)
{
    uint8_t src[LEN_MAX + 64], dst[LEN_MAX + 64], want[LEN_MAX];
    fill(src, sizeof src);
    memset(dst, GUARD, sizeof dst);
    naive(want, src + src_at, len, phase);
    wsb_mask_copy(dst + dst_at, src + src_at, len, key, phase);
    assert_memory_equal(dst + dst_at, want, len);
    for (size_t i = 0; i < sizeof dst; i++) {
        if ((i < dst_at || i >= dst_at + len) && dst[i] != GUARD)
            fail_msg("wrote outside, at %zu (len %zu, dst %zu)", i, len, dst_at);
    }
    wsb_mask_copy(src + src_at, src + src_at, len, key, phase); /* in place */
    assert_memory_equal(src + src_at, want, len);
}

static void test_mask_every_length_and_phase(void **state)
{
    (void)state;
    for (size_t len = 0; len <= LEN_MAX; len++) {
        for (size_t phase = 0; phase < 5; phase++)
            check(len, phase, /*src_at=*/0, /*dst_at=*/0);
    }
}

static void test_mask_every_alignment(void **state)
{
    (void)state;
    static const size_t lens[] = {3, 17, 66, 131, 321, 600};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        for (size_t src_at = 0; src_at < 33; src_at++) {
            for (size_t dst_at = 0; dst_at < 33; dst_at += 3)
                check(lens[i], src_at & 3, src_at, dst_at);
        }
    }
}

/* RFC 6455 §5.7: the masked "Hello" */
static void test_mask_vector_of_the_rfc(void **state)
{
    (void)state;
    const uint8_t in[] = {0x7f, 0x9f, 0x4d, 0x51, 0x58};
    uint8_t out[5];
    assert_true(wsb_mask_copy_ascii(out, in, sizeof in, key, /*phase=*/0));
    assert_memory_equal(out, "Hello", 5);
}

static void test_mask_ascii_sees_the_one_high_byte_wherever_it_is(void **state)
{
    (void)state;
    uint8_t text[LEN_MAX], masked[LEN_MAX], out[LEN_MAX];
    static const size_t lens[] = {1, 7, 8, 15, 16, 31, 64, 100, 255, 256, 300, 333, 600};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        size_t len = lens[i];
        for (size_t at = 0; at <= len; at++) { /* at == len: none */
            memset(text, 0x7f, len);
            if (at < len)
                text[at] = 0x80;
            naive(masked, text, len, /*phase=*/1);
            if (wsb_mask_copy_ascii(out, masked, len, key, /*phase=*/1) != (at == len))
                fail_msg("len %zu, high byte at %zu", len, at);
            assert_memory_equal(out, text, len);
        }
    }
}

static void test_mask_nothing_is_ascii_and_touches_nothing(void **state)
{
    (void)state;
    assert_true(wsb_mask_copy_ascii(NULL, NULL, 0, key, /*phase=*/0));
    wsb_mask_copy(NULL, NULL, 0, key, /*phase=*/3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask_every_length_and_phase),
        cmocka_unit_test(test_mask_every_alignment),
        cmocka_unit_test(test_mask_vector_of_the_rfc),
        cmocka_unit_test(test_mask_ascii_sees_the_one_high_byte_wherever_it_is),
        cmocka_unit_test(test_mask_nothing_is_ascii_and_touches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
