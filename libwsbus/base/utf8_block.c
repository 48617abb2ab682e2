/*
 * UTF-8 by table lookup, after Keiser and Lemire, "Validating UTF-8 In Less Than One Instruction Per Byte" (2020). Every
 * rule of RFC 3629 but one shows in two bytes that follow each other: three tables, by the nibbles of the first byte and
 * the upper nibble of the second, say which rules a pair could break, and a rule that all three name is broken. The
 * one that is left, how many continuation bytes there are, is a comparison with the bytes two and three before.
 *
 * 16 bytes a step with SSSE3 or NEON, 32 with AVX2, in blocks of 64: one question for each block, whether all was well.
 */
#include "base/utf8_block.h"

#include <stdbool.h>

#ifdef __x86_64__
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* The rules, a bit each. 80 is no rule: two continuation bytes are good or bad by what stands before them. */
#define TOO_SHORT  0x01 /* a lead byte, and no continuation byte behind it */
#define TOO_LONG   0x02 /* ASCII, and a continuation byte behind it */
#define OVERLONG_3 0x04 /* E0 80..9F */
#define TOO_LARGE  0x08 /* F4 90.., F5.. */
#define SURROGATE  0x10 /* ED A0..BF */
#define OVERLONG_2 0x20 /* C0, C1 */
#define OVERLONG_4 0x40 /* F0 80..8F; and F5.. 80..8F, which is too large */
#define TWO_CONTS  0x80
#define CARRY      (TOO_SHORT | TOO_LONG | TWO_CONTS) /* whatever the lower nibble of the first byte is */
#define ABOVE      (CARRY | TOO_LARGE | OVERLONG_4)
#define CONT       (TOO_LONG | OVERLONG_2 | TWO_CONTS)

#define FIRST_HIGH                                                                                                     \
    TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TWO_CONTS, TWO_CONTS, TWO_CONTS,   \
        TWO_CONTS, TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,                              \
        TOO_SHORT | TOO_LARGE | OVERLONG_4
#define FIRST_LOW                                                                                                      \
    CARRY | OVERLONG_2 | OVERLONG_3 | OVERLONG_4, CARRY | OVERLONG_2, CARRY, CARRY, CARRY | TOO_LARGE, ABOVE, ABOVE,   \
        ABOVE, ABOVE, ABOVE, ABOVE, ABOVE, ABOVE, ABOVE | SURROGATE, ABOVE, ABOVE
#define SECOND_HIGH                                                                                                    \
    TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,                            \
        CONT | OVERLONG_3 | OVERLONG_4, CONT | OVERLONG_3 | TOO_LARGE, CONT | SURROGATE | TOO_LARGE,                   \
        CONT | SURROGATE | TOO_LARGE, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT

enum { LEAD_OF_3 = 0xe0, LEAD_OF_4 = 0xf0 };

/* Good up to `at`, but for a character that goes on behind it: up to where that one begins. */
static size_t whole_characters(const uint8_t *data, size_t at)
{
    for (size_t back = 1; back <= 3 && back <= at; back++) {
        uint8_t byte = data[at - back];
        if ((byte & 0xc0) == 0x80)
            continue;
        size_t need = byte < 0x80 ? 1 : byte < LEAD_OF_3 ? 2 : byte < LEAD_OF_4 ? 3 : 4;
        return need > back ? at - back : at;
    }
    return at;
}

/* ------------------------------------------------------------------------ 16 bytes */

#if defined(__x86_64__) || defined(__aarch64__)
static const uint8_t first_high[16] = {FIRST_HIGH};
static const uint8_t first_low[16] = {FIRST_LOW};
static const uint8_t second_high[16] = {SECOND_HIGH};
#endif

#ifdef __x86_64__
#define NARROW static inline __attribute__((target("ssse3"), always_inline))
typedef __m128i narrow;

NARROW narrow load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}
NARROW narrow fill(uint8_t byte)
{
    return _mm_set1_epi8((char)byte);
}
NARROW narrow lookup(narrow table, narrow nibbles)
{
    return _mm_shuffle_epi8(table, nibbles);
}
NARROW narrow upper(narrow v)
{
    return _mm_and_si128(_mm_srli_epi16(v, 4), fill(0x0f));
}
NARROW narrow both(narrow a, narrow b)
{
    return _mm_and_si128(a, b);
}
NARROW narrow either(narrow a, narrow b)
{
    return _mm_or_si128(a, b);
}
NARROW narrow differ(narrow a, narrow b)
{
    return _mm_xor_si128(a, b);
}
NARROW narrow beyond(narrow v, uint8_t byte) /* 0 up to it */
{
    return _mm_subs_epu8(v, fill(byte));
}
NARROW bool is_zero(narrow v)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_setzero_si128())) == 0xffff;
}
#define BEFORE(v, last, n) _mm_alignr_epi8(v, last, 16 - (n)) /* the bytes n before each */
#elif defined(__aarch64__)
#define NARROW             static inline __attribute__((always_inline))
typedef uint8x16_t narrow;

NARROW narrow load(const uint8_t *p)
{
    return vld1q_u8(p);
}
NARROW narrow fill(uint8_t byte)
{
    return vdupq_n_u8(byte);
}
NARROW narrow lookup(narrow table, narrow nibbles)
{
    return vqtbl1q_u8(table, nibbles);
}
NARROW narrow upper(narrow v)
{
    return vshrq_n_u8(v, 4);
}
NARROW narrow both(narrow a, narrow b)
{
    return vandq_u8(a, b);
}
NARROW narrow either(narrow a, narrow b)
{
    return vorrq_u8(a, b);
}
NARROW narrow differ(narrow a, narrow b)
{
    return veorq_u8(a, b);
}
NARROW narrow beyond(narrow v, uint8_t byte)
{
    return vqsubq_u8(v, vdupq_n_u8(byte));
}
NARROW bool is_zero(narrow v)
{
    return vmaxvq_u8(v) == 0;
}
#define BEFORE(v, last, n) vextq_u8(last, v, 16 - (n))
#endif

#ifdef NARROW
/* What is wrong with 16 bytes, of which `last` are those before. */
NARROW narrow wrong16(narrow v, narrow last)
{
    narrow first = BEFORE(v, last, 1);
    narrow pairs = both(both(lookup(load(first_high), upper(first)), lookup(load(first_low), both(first, fill(0x0f)))),
                        lookup(load(second_high), upper(v)));
    narrow third = beyond(BEFORE(v, last, 2), LEAD_OF_3 - 0x80); /* top bit: a lead byte of three or more */
    narrow fourth = beyond(BEFORE(v, last, 3), LEAD_OF_4 - 0x80);
    return differ(both(either(third, fourth), fill(0x80)), pairs); /* then, and only then, two continuation bytes */
}

#ifdef __x86_64__
__attribute__((target("ssse3")))
#endif
static size_t
blocks16(const uint8_t *data, size_t len)
{
    narrow last = fill(0);
    size_t at = 0;
    for (; len - at >= WSB_UTF8_BLOCK; at += WSB_UTF8_BLOCK) {
        const uint8_t *p = data + at;
        narrow a = load(p), b = load(p + 16), c = load(p + 32), d = load(p + 48);
        bool is_ascii = is_zero(both(either(either(either(a, b), either(c, d)), last), fill(0x80)));
        if (!is_ascii &&
            !is_zero(either(either(wrong16(a, last), wrong16(b, a)), either(wrong16(c, b), wrong16(d, c)))))
            break;
        last = d;
    }
    return whole_characters(data, at);
}
#endif

/* ------------------------------------------------------------------------ 32 bytes */

#ifdef __x86_64__
#define WIDE static inline __attribute__((target("avx2"), always_inline))

WIDE __m256i load_twice(const uint8_t table[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
}

WIDE __m256i wrong32(__m256i v, __m256i last)
{
    const __m256i nibble = _mm256_set1_epi8(0x0f);
    __m256i across = _mm256_permute2x128_si256(last, v, 0x21); /* the upper half of last, the lower half of v */
    __m256i first = _mm256_alignr_epi8(v, across, 15);
    __m256i first_up = _mm256_and_si256(_mm256_srli_epi16(first, 4), nibble);
    __m256i second_up = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
    __m256i pairs =
        _mm256_and_si256(_mm256_and_si256(_mm256_shuffle_epi8(load_twice(first_high), first_up),
                                          _mm256_shuffle_epi8(load_twice(first_low), _mm256_and_si256(first, nibble))),
                         _mm256_shuffle_epi8(load_twice(second_high), second_up));
    __m256i third = _mm256_subs_epu8(_mm256_alignr_epi8(v, across, 14), _mm256_set1_epi8(LEAD_OF_3 - 0x80));
    __m256i fourth = _mm256_subs_epu8(_mm256_alignr_epi8(v, across, 13), _mm256_set1_epi8(LEAD_OF_4 - 0x80));
    __m256i due = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(due, pairs);
}

__attribute__((target("avx2"))) static size_t blocks32(const uint8_t *data, size_t len)
{
    __m256i last = _mm256_setzero_si256();
    size_t at = 0;
    for (; len - at >= WSB_UTF8_BLOCK; at += WSB_UTF8_BLOCK) {
        const __m256i *p = (const __m256i *)(const void *)(data + at);
        __m256i a = _mm256_loadu_si256(p), b = _mm256_loadu_si256(p + 1);
        if (_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(a, b), last))) {
            __m256i wrong = _mm256_or_si256(wrong32(a, last), wrong32(b, a));
            if (!_mm256_testz_si256(wrong, wrong))
                break;
        }
        last = b;
    }
    return whole_characters(data, at);
}
#endif

/* ------------------------------------------------------------------------ the best */

const struct wsb_utf8_way *wsb_utf8_ways(void)
{
#ifdef __x86_64__
    static const struct wsb_utf8_way ways[] = {{"AVX2", blocks32}, {"SSSE3", blocks16}, {NULL, NULL}};
    if (__builtin_cpu_supports("avx2"))
        return ways;
    return __builtin_cpu_supports("ssse3") ? ways + 1 : ways + 2;
#elif defined(__aarch64__)
    static const struct wsb_utf8_way ways[] = {{"NEON", blocks16}, {NULL, NULL}};
    return ways;
#else
    static const struct wsb_utf8_way ways[] = {{NULL, NULL}};
    return ways;
#endif
}

size_t wsb_utf8_blocks(const uint8_t *data, size_t len)
{
    const struct wsb_utf8_way *best = wsb_utf8_ways();
    return best->name ? best->blocks(data, len) : 0;
}
