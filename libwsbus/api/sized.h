#ifndef WSB_API_SIZED_H
#define WSB_API_SIZED_H

/*
 * Structs of the caller that begin with their size, so that programs that were built with an older or a newer header get along
 * with this library: what the caller's does not have is zero, what ours does not have must be.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { WSB_SIZED_MAX = 4096 }; /* bytes: more is no size but garbage */

#define WSB_END_OF(type, member) (offsetof(type, member) + sizeof(((type *)0)->member))

/* The size that a struct claims; 0: it cannot be. `first`: bytes of its first version, which 0 stands for. */
static inline size_t wsb_sized_claim(const void *given, size_t first)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size == 0)
        return first;
    return size < first || size > WSB_SIZED_MAX ? 0 : size;
}

/* Copy a struct of the caller into one of ours, of `known` bytes. NULL: its size cannot be, or it says something in what we do
 * not know. */
static inline void *wsb_sized_take(void *room, size_t known, const void *given, size_t first)
{
    const uint8_t *bytes = given;
    size_t size = wsb_sized_claim(given, first);
    if (size == 0)
        return NULL;
    for (size_t i = known; i < size; i++) {
        if (bytes[i])
            return NULL;
    }
    memset(room, 0, known);
    memcpy(room, given, size < known ? size : known);
    memcpy(room, &known, sizeof known);
    return room;
}

/* Give the caller as much of ours as his has; the rest of his becomes zero. `size` is his claim. */
static inline void wsb_sized_give(void *given, size_t size, const void *ours, size_t known)
{
    uint8_t *bytes = given;
    memcpy(bytes + sizeof size, (const uint8_t *)ours + sizeof size, (size < known ? size : known) - sizeof size);
    if (size > known)
        memset(bytes + known, 0, size - known);
}

static inline void wsb_sized_clear(void *given, size_t size)
{
    memset((uint8_t *)given + sizeof size, 0, size - sizeof size);
}

/* WSB_TAKE(options, &room, plain): `options` becomes our copy, in room; false: it cannot be. NULL stays NULL. `last` is the last
 * member of the struct's first version, for ever. */
#define WSB_TAKE(given, room, last)                                                                                    \
    (!(given) ||                                                                                                       \
     ((given) = wsb_sized_take((room), sizeof *(room), (given), WSB_END_OF(__typeof__(*(room)), last))) != NULL)

#endif
