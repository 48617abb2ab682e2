#ifndef WSG_BUS_TABLE_H
#define WSG_BUS_TABLE_H

/*
 * uthash, as the gate uses it; nobody includes uthash.h itself. Keys are what strangers choose (names out of URLs, routing ids), so
 * the hash is SipHash with a seed that is random for each process: nobody can find names that fall together. And a table that cannot
 * grow for want of memory does not end the process: the element is then in no table, which its handle says.
 */

#include "base/siphash.h"

/* Random, and the same for the whole life of the process. */
extern struct wsb_seed wsg_table_seed;

static inline unsigned wsg_table_hash(const void *key, size_t len)
{
    return (unsigned)wsb_siphash(&wsg_table_seed, wsb_span(key, len));
}

#define HASH_FUNCTION(key, len, hash) ((hash) = wsg_table_hash(key, len))
#define HASH_NONFATAL_OOM             1

#include <uthash.h>

/*
 * A table that grows does it at once, and looks at everything in it. One that strangers can fill is cut into shards by the highest
 * bits of the hash, each of which grows by itself.
 */
enum { WSG_TABLE_SHARDS = 64, WSG_TABLE_SHARD_SHIFT = 32 - 6 };

static inline unsigned wsg_table_shard(unsigned hash)
{
    return hash >> WSG_TABLE_SHARD_SHIFT;
}

/* After HASH_ADD: false when there was no memory for it. */
#define WSG_TABLE_HAS(hh, element) ((element)->hh.tbl != NULL)

#endif
