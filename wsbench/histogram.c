/* Log-linear: the bucket of a value is its highest WSL_HISTOGRAM_BITS + 1 bits, and how far they were shifted. */
#include "histogram.h"

static unsigned bucket_of(uint64_t value)
{
    if (value < 2u << WSL_HISTOGRAM_BITS)
        return (unsigned)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - WSL_HISTOGRAM_BITS;
    return (shift << WSL_HISTOGRAM_BITS) + (unsigned)(value >> shift);
}

static uint64_t last_value_of(unsigned bucket)
{
    if (bucket < 2u << WSL_HISTOGRAM_BITS)
        return bucket;
    unsigned shift = (bucket >> WSL_HISTOGRAM_BITS) - 1;
    uint64_t highest = (bucket & ((1u << WSL_HISTOGRAM_BITS) - 1)) | 1u << WSL_HISTOGRAM_BITS;
    return ((highest + 1) << shift) - 1; /* wraps to UINT64_MAX in the last bucket of all */
}

void wsl_histogram_add(struct wsl_histogram *h, uint64_t value)
{
    h->buckets[bucket_of(value)]++;
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
}

void wsl_histogram_merge(struct wsl_histogram *h, const struct wsl_histogram *other)
{
    for (unsigned i = 0; i < WSL_HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += other->buckets[i];
    h->count += other->count;
    h->sum += other->sum;
    if (other->max > h->max)
        h->max = other->max;
}

uint64_t wsl_histogram_quantile(const struct wsl_histogram *h, unsigned ppm)
{
    uint64_t wanted = (uint64_t)(((unsigned __int128)h->count * ppm + 999999) / 1000000);
    uint64_t seen = 0;
    for (unsigned i = 0; i < WSL_HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen && seen >= wanted) {
            uint64_t value = last_value_of(i);
            return value < h->max ? value : h->max;
        }
    }
    return 0;
}

double wsl_histogram_mean(const struct wsl_histogram *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0;
}
