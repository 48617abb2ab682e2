#ifndef WSB_BASE_SIPHASH_H
#define WSB_BASE_SIPHASH_H

/*
 * SipHash-2-4 of Aumasson and Bernstein: a hash for tables whose keys strangers choose. Without the seed nobody can find
 * keys that fall together. Pure.
 */

#include "base/span.h"

struct wsb_seed {
    uint64_t k0, k1; /* random, and nobody else's business */
};

uint64_t wsb_siphash(const struct wsb_seed *seed, struct wsb_span data);

#endif
