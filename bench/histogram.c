/* Log-linear: the bucket of a value is its highest HISTOGRAM_BITS + 1 bits, and how far they were shifted. */
#include "bench/histogram.h"

static unsigned bucket_of(uint64_t value)
{
    if (value < 2u << HISTOGRAM_BITS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
    return (shift << HISTOGRAM_BITS) + (unsigned)(value >> shift);
}

static uint64_t last_value_of(unsigned bucket)
{
    if (bucket < 2u << HISTOGRAM_BITS)
        return bucket;
    unsigned shift = (bucket >> HISTOGRAM_BITS) - 1;
    uint64_t highest = (bucket & ((1u << HISTOGRAM_BITS) - 1)) | 1u << HISTOGRAM_BITS;
    return ((highest + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    h->buckets[bucket_of(value)]++;
    h->count++;
}

uint64_t histogram_quantile(const struct histogram *h, unsigned permille)
{
    uint64_t wanted = (h->count * permille + 999) / 1000;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen && seen >= wanted)
            return last_value_of(i);
    }
    return 0;
}
