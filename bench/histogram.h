#ifndef WSB_BENCH_HISTOGRAM_H
#define WSB_BENCH_HISTOGRAM_H

/* Counts of values, exact below 256 and within 0.8 % above: 128 buckets for each power of two. */

#include <stdint.h>

enum { HISTOGRAM_BITS = 7, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS };

struct histogram {
    uint64_t count;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);

/* The smallest value that at least `permille` of 1000 do not exceed, rounded up to the end of its bucket; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, unsigned permille);

#endif
