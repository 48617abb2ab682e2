#ifndef WSB_BASE_SIZE_H
#define WSB_BASE_SIZE_H

/* Arithmetic on lengths that came from outside: every operation says whether the result is true. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool wsb_size_add(size_t a, size_t b, size_t *ret)
{
    return !__builtin_add_overflow(a, b, ret);
}

static inline bool wsb_size_mul(size_t a, size_t b, size_t *ret)
{
    return !__builtin_mul_overflow(a, b, ret);
}

static inline bool wsb_u64_to_size(uint64_t v, size_t *ret)
{
    if (v > SIZE_MAX)
        return false;
    *ret = (size_t)v;
    return true;
}

static inline bool wsb_size_to_u32(size_t v, uint32_t *ret)
{
    if (v > UINT32_MAX)
        return false;
    *ret = (uint32_t)v;
    return true;
}

/* The next multiple of 8; only for sizes already known to be far from SIZE_MAX. */
static inline size_t wsb_align8(size_t v)
{
    return (v + 7u) & ~(size_t)7u;
}

#endif
