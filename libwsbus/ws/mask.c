/*
 * Masking at the speed of memory. One loop for each width, widest first; each leaves a rest shorter than its own block to
 * the next. All widths are multiples of 4, so the key never has to be turned on the way. Every loop also ORs together
 * what it writes: the top bits of that say whether all of it was ASCII, at no measurable cost.
 */
#include "ws/mask.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* What is still to do, the key, and the OR of all bytes written so far. */
struct run {
    uint8_t *dst;
    const uint8_t *src;
    size_t len;
    uint64_t key; /* the mask twice, turned to the phase, in memory order */
    uint64_t seen;
};

static inline void advance(struct run *r, size_t n)
{
    r->dst += n;
    r->src += n;
    r->len -= n;
}

#ifdef __x86_64__
enum { AVX2_BLOCK = 64, SSE2_BLOCK = 16, SHORT = 4 * AVX2_BLOCK };

__attribute__((target("avx2"))) static void run_avx2(struct run *r)
{
    const __m256i key = _mm256_set1_epi64x((long long)r->key);
    __m256i seen = _mm256_setzero_si256();
    size_t i = 0;
    for (; r->len - i >= AVX2_BLOCK; i += AVX2_BLOCK) {
        const __m256i *src = (const __m256i *)(const void *)(r->src + i);
        __m256i *dst = (__m256i *)(void *)(r->dst + i);
        __m256i a = _mm256_xor_si256(_mm256_loadu_si256(src), key);
        __m256i b = _mm256_xor_si256(_mm256_loadu_si256(src + 1), key);
        _mm256_storeu_si256(dst, a);
        _mm256_storeu_si256(dst + 1, b);
        seen = _mm256_or_si256(seen, _mm256_or_si256(a, b));
    }
    if (_mm256_movemask_epi8(seen))
        r->seen |= HIGH_BITS;
    advance(r, i);
}

static void run_sse2(struct run *r)
{
    const __m128i key = _mm_set1_epi64x((long long)r->key);
    __m128i seen = _mm_setzero_si128();
    size_t i = 0;
    for (; r->len - i >= SSE2_BLOCK; i += SSE2_BLOCK) {
        __m128i a = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)(r->src + i)), key);
        _mm_storeu_si128((__m128i *)(void *)(r->dst + i), a);
        seen = _mm_or_si128(seen, a);
    }
    if (_mm_movemask_epi8(seen))
        r->seen |= HIGH_BITS;
    advance(r, i);
}

/* All of a message of ordinary length, when it goes to another place: the last vector overlaps the one before, and so needs the
 * key as it is there. */
static bool copy_short(uint8_t *dst, const uint8_t *src, size_t len, uint64_t key, uint64_t last_key)
{
    __m128i seen = _mm_setzero_si128();
    __m128i k = _mm_set1_epi64x((long long)key);
    for (size_t i = 0;; i += SSE2_BLOCK) {
        bool is_last = i + SSE2_BLOCK >= len;
        if (is_last) {
            i = len - SSE2_BLOCK;
            k = _mm_set1_epi64x((long long)last_key);
        }
        __m128i a = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)(src + i)), k);
        _mm_storeu_si128((__m128i *)(void *)(dst + i), a);
        seen = _mm_or_si128(seen, a);
        if (is_last)
            return _mm_movemask_epi8(seen) == 0;
    }
}

static void run_vectors(struct run *r)
{
    if (r->len >= SHORT && __builtin_cpu_supports("avx2"))
        run_avx2(r);
    if (r->len >= SSE2_BLOCK)
        run_sse2(r);
}
#elif defined(__aarch64__)
enum { NEON_BLOCK = 16 };

static void run_vectors(struct run *r) /* every processor of this kind has them */
{
    const uint8x16_t key = vreinterpretq_u8_u64(vdupq_n_u64(r->key));
    uint8x16_t seen = vdupq_n_u8(0);
    size_t i = 0;
    for (; r->len - i >= NEON_BLOCK; i += NEON_BLOCK) {
        uint8x16_t a = veorq_u8(vld1q_u8(r->src + i), key);
        vst1q_u8(r->dst + i, a);
        seen = vorrq_u8(seen, a);
    }
    if (vmaxvq_u8(seen) & 0x80)
        r->seen |= HIGH_BITS;
    advance(r, i);
}
#else
static void run_vectors(struct run *r)
{
    (void)r; /* words do all of it */
}
#endif

static void run_words(struct run *r)
{
    size_t i = 0;
    for (; r->len - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, r->src + i, sizeof word);
        word ^= r->key;
        memcpy(r->dst + i, &word, sizeof word);
        r->seen |= word;
    }
    advance(r, i);
}

static void run_bytes(struct run *r)
{
    uint8_t key[8];
    memcpy(key, &r->key, sizeof key);
    for (size_t i = 0; i < r->len; i++) {
        uint8_t byte = r->src[i] ^ key[i];
        r->dst[i] = byte;
        r->seen |= byte;
    }
}

/* In registers: bytes stored one by one and loaded as a word would stall, and most messages are short. */
static uint64_t turned_key(const uint8_t mask[4], size_t phase)
{
    unsigned turn = 8 * (unsigned)(phase & 3);
    uint32_t key;
    memcpy(&key, mask, sizeof key);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    key = key >> turn | key << (-turn & 31);
#else
    key = key << turn | key >> (-turn & 31);
#endif
    return (uint64_t)key << 32 | key;
}

bool wsb_mask_copy_ascii(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4], size_t phase)
{
    if (len == 0)
        return true;
    struct run r = {.dst = dst, .src = src, .len = len, .key = turned_key(mask, phase)};
#ifdef __x86_64__
    if (len >= SSE2_BLOCK && len < SHORT && dst != src)
        return copy_short(dst, src, len, r.key, turned_key(mask, phase + len - SSE2_BLOCK));
#endif
    run_vectors(&r);
    run_words(&r);
    run_bytes(&r);
    return (r.seen & HIGH_BITS) == 0;
}

void wsb_mask_copy(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4], size_t phase)
{
    (void)wsb_mask_copy_ascii(dst, src, len, mask, phase);
}
