/* A Feistel network over the two halves of a generation (Luby and Rackoff: four rounds), with SipHash as its function. */
#include "bus/generation.h"

enum { HALF_BITS = WSG_ID_GENERATION_BITS / 2, HALF_MASK = (1 << HALF_BITS) - 1, ROUNDS = 4 };

_Static_assert(WSG_ID_GENERATION_BITS % 2 == 0, "two halves of the same size");

static uint32_t mix(const struct wsb_seed *seed, uint32_t slot, uint32_t round, uint32_t half)
{
    const uint32_t words[] = {slot, round, half};
    return (uint32_t)wsb_siphash(seed, wsb_span(words, sizeof words)) & HALF_MASK;
}

uint32_t wsg_generation_of(const struct wsb_seed *seed, uint32_t slot, uint32_t nth)
{
    uint32_t left = nth >> HALF_BITS & HALF_MASK;
    uint32_t right = nth & HALF_MASK;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t next = left ^ mix(seed, slot, round, right);
        left = right;
        right = next;
    }
    return left << HALF_BITS | right;
}

uint32_t wsg_generation_nth(const struct wsb_seed *seed, uint32_t slot, uint32_t generation)
{
    uint32_t left = generation >> HALF_BITS & HALF_MASK;
    uint32_t right = generation & HALF_MASK;
    for (uint32_t round = ROUNDS; round-- > 0;) {
        uint32_t before = right ^ mix(seed, slot, round, left);
        right = left;
        left = before;
    }
    return left << HALF_BITS | right;
}
