#ifndef WSG_BUS_GENERATION_H
#define WSG_BUS_GENERATION_H

/*
 * Generations of a place, in an order that nobody can guess: whoever has seen the ids of some connections knows nothing of
 * those of others. A permutation keyed by the seed and the place, so no generation comes twice. Pure.
 */

#include "base/siphash.h"
#include "bus/conn_id.h"

/* The generation of the nth holder of a place, n < WSG_ID_GENERATIONS. */
uint32_t wsg_generation_of(const struct wsb_seed *seed, uint32_t slot, uint32_t nth);
/* Which holder has, had or will have this generation: the inverse. */
uint32_t wsg_generation_nth(const struct wsb_seed *seed, uint32_t slot, uint32_t generation);

#endif
