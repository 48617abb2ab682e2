#ifndef WSG_BUS_CONN_ID_H
#define WSG_BUS_CONN_ID_H

/*
 * Connection ids: 64 bits that say which gate, which worker, which place, and which of those that held the place.
 *
 *   63      50 49            24 23    18 17              0
 *   epoch tag  generation       worker   slot
 */

#include <stdbool.h>
#include <stdint.h>

#include "wsbus/msg.h"

enum {
    WSG_ID_SLOT_BITS = 18,
    WSG_ID_WORKER_BITS = 6,
    WSG_ID_GENERATION_BITS = 26,
    WSG_ID_EPOCH_BITS = 14,
    WSG_ID_SLOTS = 1 << WSG_ID_SLOT_BITS,
    WSG_ID_WORKERS = 1 << WSG_ID_WORKER_BITS,
    WSG_ID_GENERATIONS = 1 << WSG_ID_GENERATION_BITS
};

struct wsg_id_parts {
    uint16_t epoch_tag;
    uint32_t generation;
    uint8_t worker;
    uint32_t slot;
};

static inline wsb_conn wsg_id_make(struct wsg_id_parts p)
{
    return (uint64_t)p.epoch_tag << 50 | (uint64_t)p.generation << 24 | (uint64_t)p.worker << 18 | p.slot;
}

static inline struct wsg_id_parts wsg_id_parts(wsb_conn id)
{
    return (struct wsg_id_parts){
        .epoch_tag = (uint16_t)(id >> 50),
        .generation = (uint32_t)(id >> 24) & (WSG_ID_GENERATIONS - 1),
        .worker = (uint8_t)((id >> 18) & (WSG_ID_WORKERS - 1)),
        .slot = (uint32_t)(id & (WSG_ID_SLOTS - 1)),
    };
}

/* 14 bits out of a 64-bit epoch, never 0, so that no id is 0. */
uint16_t wsg_epoch_tag(uint64_t epoch);

/* The 16 hexadecimal digits of JSON and `wsctl`. False on anything else. */
bool wsg_id_parse(const char *text, wsb_conn *ret);

#endif
