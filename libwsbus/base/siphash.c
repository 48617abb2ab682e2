/* SipHash-2-4, as in the paper; the reference's test vectors are in its unit test. */
#include "base/siphash.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void rounds(struct state *s, int count)
{
    while (count--) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32) + s->v3;
        s->v2 += s->v1;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v2 = rotate(s->v2, 32);
    }
}

/* Little-endian, up to eight bytes. */
static uint64_t word_of(const uint8_t *p, size_t len)
{
    uint64_t word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)p[i] << 8 * i;
    return word;
}

static void mix(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 2);
    s->v0 ^= word;
}

uint64_t wsb_siphash(const struct wsb_seed *seed, struct wsb_span data)
{
    struct state s = {
        seed->k0 ^ 0x736f6d6570736575u,
        seed->k1 ^ 0x646f72616e646f6du,
        seed->k0 ^ 0x6c7967656e657261u,
        seed->k1 ^ 0x7465646279746573u,
    };
    size_t at = 0;
    for (; data.len - at >= 8; at += 8)
        mix(&s, word_of(data.ptr + at, 8));
    mix(&s, word_of(data.ptr + at, data.len - at) | (uint64_t)data.len << 56);
    s.v2 ^= 0xff;
    rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
