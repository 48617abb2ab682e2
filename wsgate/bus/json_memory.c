/* A reserve for when malloc has nothing: pieces are cut off one behind the other, and when all are given back it is whole again. */
#include "bus/json_memory.h"

#include <jansson.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Zeros of the program's own: they take no memory before they are needed. */
static alignas(max_align_t) uint8_t reserve[WSG_JSON_RESERVE];
static size_t used;
static size_t pieces;
static atomic_flag is_held = ATOMIC_FLAG_INIT; /* for a few instructions, and only where there is no memory */

static void hold(void)
{
    while (atomic_flag_test_and_set_explicit(&is_held, memory_order_acquire))
        ;
}

static void let_go(void)
{
    atomic_flag_clear_explicit(&is_held, memory_order_release);
}

static void *cut(size_t size)
{
    const size_t unit = alignof(max_align_t);
    void *piece = NULL;
    hold();
    if (size <= WSG_JSON_RESERVE - used) {
        piece = reserve + used;
        used += (size + unit - 1) / unit * unit;
        used = used < WSG_JSON_RESERVE ? used : WSG_JSON_RESERVE;
        pieces++;
    }
    let_go();
    return piece;
}

static bool is_of_reserve(const void *p)
{
    return (uintptr_t)p >= (uintptr_t)reserve && (uintptr_t)p < (uintptr_t)reserve + WSG_JSON_RESERVE;
}

void *wsg_json_malloc(size_t size)
{
    void *p = malloc(size);
    return p ? p : cut(size ? size : 1);
}

void wsg_json_free(void *p)
{
    if (!is_of_reserve(p)) {
        free(p);
        return;
    }
    hold();
    if (--pieces == 0)
        used = 0;
    let_go();
}

void wsg_json_memory_install(void)
{
    json_set_alloc_funcs(wsg_json_malloc, wsg_json_free);
}
