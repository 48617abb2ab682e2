#ifndef WSL_HISTOGRAM_H
#define WSL_HISTOGRAM_H

/* Counts of values, exact below 256 and within 0.8 % above: 128 buckets for each power of two. A zeroed one is empty. */

#include <stdint.h>

enum { WSL_HISTOGRAM_BITS = 7, WSL_HISTOGRAM_BUCKETS = (64 - WSL_HISTOGRAM_BITS + 1) << WSL_HISTOGRAM_BITS };

struct wsl_histogram {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint64_t buckets[WSL_HISTOGRAM_BUCKETS];
};

void wsl_histogram_add(struct wsl_histogram *h, uint64_t value);

/* Add what the other one has counted. */
void wsl_histogram_merge(struct wsl_histogram *h, const struct wsl_histogram *other);

/* The smallest value that at least `ppm` of a million do not exceed, rounded up to the end of its bucket but not above
 * the largest value; 0 when empty. */
uint64_t wsl_histogram_quantile(const struct wsl_histogram *h, unsigned ppm);

/* 0 when empty. */
double wsl_histogram_mean(const struct wsl_histogram *h);

#endif
