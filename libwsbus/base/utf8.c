/*
 * UTF-8 validation, RFC 3629 §4, as a state of three bytes: how many continuation bytes are due and the bounds of the next
 * one. The bounds of the second byte carry all special cases (overlong forms, surrogates, the end of Unicode), so each
 * bad text is refused at its first bad byte. Long texts go through base/utf8_block.c first, which leaves their ends, and what is
 * bad, to be looked at here.
 */
#include "base/utf8.h"

#include <string.h>

#include "base/utf8_block.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { VECTOR = 16, STRIDE = 4 * VECTOR, CONT_LOWER = 0x80, CONT_UPPER = 0xbf };

/* Up to here, ASCII is told faster than it takes to ask what the processor can do. */
enum { SHORT = 4 * WSB_UTF8_BLOCK };

void wsb_utf8_init(struct wsb_utf8 *u)
{
    *u = (struct wsb_utf8){.need = 0, .lower = CONT_LOWER, .upper = CONT_UPPER};
}

#ifdef __SSE2__
/* Is there one among the next four vectors? */
static inline bool has_high_bit(const uint8_t *p)
{
    const __m128i *v = (const __m128i *)(const void *)p;
    __m128i a = _mm_or_si128(_mm_loadu_si128(v), _mm_loadu_si128(v + 1));
    __m128i b = _mm_or_si128(_mm_loadu_si128(v + 2), _mm_loadu_si128(v + 3));
    return _mm_movemask_epi8(_mm_or_si128(a, b)) != 0;
}
#endif

/* The first byte at or behind p that is not ASCII, or end. */
static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
#ifdef __SSE2__
    if (end - p >= STRIDE) {
        while (end - p >= STRIDE && !has_high_bit(p))
            p += STRIDE;
        if (end - p < STRIDE && !has_high_bit(end - STRIDE)) /* overlaps the one before, where all is ASCII */
            return end;
    }
    if (end - p >= VECTOR) {
        for (const uint8_t *last = end - VECTOR; p < end; p += VECTOR) {
            p = p < last ? p : last; /* the last one overlaps the one before, where all is ASCII */
            unsigned high = (unsigned)_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)p));
            if (high)
                return p + __builtin_ctz(high);
        }
        return end;
    }
#endif
    for (; end - p >= 8; p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    while (p < end && *p < 0x80)
        p++;
    return p;
}

/* The lead byte of a sequence of two to four bytes. */
static bool open_sequence(struct wsb_utf8 *u, uint8_t lead)
{
    *u = (struct wsb_utf8){.need = 1, .lower = CONT_LOWER, .upper = CONT_UPPER};
    if (lead < 0xc2) /* a continuation byte out of place; C0 and C1 could only start an overlong form */
        return false;
    if (lead < 0xe0)
        return true;
    if (lead < 0xf0) {
        u->need = 2;
        if (lead == 0xe0)
            u->lower = 0xa0; /* below: overlong */
        else if (lead == 0xed)
            u->upper = 0x9f; /* above: surrogates D800–DFFF */
        return true;
    }
    u->need = 3;
    if (lead == 0xf0)
        u->lower = 0x90; /* below: overlong */
    else if (lead == 0xf4)
        u->upper = 0x8f; /* above: beyond U+10FFFF */
    return lead <= 0xf4;
}

static bool is_cont(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The length of a valid character of two or three bytes that is there whole, which most of the world's text is made of;
 * 0 for everything else, which then goes byte by byte. */
static size_t common_char(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 3 || !is_cont(p[1]))
        return 0;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return 2;
    if ((p[0] & 0xf0) != 0xe0 || !is_cont(p[2]))
        return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
        return 0; /* overlong, surrogate */
    return 3;
}

/* The rest of a character that has begun; returns what is behind it, NULL at a bad byte. */
static const uint8_t *go_on(struct wsb_utf8 *u, const uint8_t *p, const uint8_t *end)
{
    for (; u->need && p < end; p++) {
        if (*p < u->lower || *p > u->upper)
            return NULL;
        *u = (struct wsb_utf8){.need = (uint8_t)(u->need - 1), .lower = CONT_LOWER, .upper = CONT_UPPER};
    }
    return p;
}

/* Character by character, from the beginning of one. */
static bool feed_chars(struct wsb_utf8 *u, const uint8_t *p, const uint8_t *end)
{
    while (p < end) {
        if (*p < 0x80) {
            p = skip_ascii(p, end);
            continue;
        }
        const uint8_t *start = p;
        for (size_t n; (n = common_char(p, end)) != 0;)
            p += n;
        if (p > start)
            continue;
        if (!open_sequence(u, *p++) || !(p = go_on(u, p, end)))
            return false;
    }
    return true;
}

bool wsb_utf8_feed(struct wsb_utf8 *u, const uint8_t *data, size_t len)
{
    if (len == 0)
        return true; /* data may be NULL then */

    const uint8_t *p = data;
    const uint8_t *end = data + len;
    if (u->need == 0 && len < SHORT && (p = skip_ascii(p, end)) == end)
        return true;
    if (!(p = go_on(u, p, end)))
        return false;
    if (end - p >= WSB_UTF8_BLOCK)
        p += wsb_utf8_blocks(p, (size_t)(end - p));
    return feed_chars(u, p, end);
}

bool wsb_utf8_is_complete(const struct wsb_utf8 *u)
{
    return u->need == 0;
}

bool wsb_utf8_is_valid(const uint8_t *data, size_t len)
{
    struct wsb_utf8 u;
    wsb_utf8_init(&u);
    return wsb_utf8_feed(&u, data, len) && wsb_utf8_is_complete(&u);
}
