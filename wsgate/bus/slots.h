#ifndef WSG_BUS_SLOTS_H
#define WSG_BUS_SLOTS_H

/*
 * The places of one worker's connections: hands out ids, finds what an id means, and tells a stale id from a live one.
 * Places are reused oldest first; one whose generations are used up is never used again.
 */

#include <stddef.h>

#include "bus/generation.h"

struct wsg_slot {
    void *value;         /* borrowed; NULL while free */
    uint32_t nth;        /* how many holders it has had before the present or the next one */
    uint32_t generation; /* of that one */
    uint32_t next_free;
};

struct wsg_slots {
    struct wsg_slot *slots; /* owned */
    uint32_t count;
    uint32_t used;
    uint32_t free_head; /* oldest free place; WSG_ID_SLOTS when none */
    uint32_t free_tail;
    struct wsb_seed seed; /* of the order of generations */
    uint16_t epoch_tag;
    uint8_t worker;
};

/* seed: random for each epoch, so that an id of another epoch does not fit by chance, and no id can be guessed. */
void wsg_slots_init(struct wsg_slots *s, uint64_t epoch, const struct wsb_seed *seed, uint8_t worker);
void wsg_slots_deinit(struct wsg_slots *s);

/* WSB_ERR_LIMIT: every place is taken. */
WSB_MUST_CHECK wsb_err wsg_slots_add(struct wsg_slots *s, void *value, wsb_conn *ret);
void wsg_slots_remove(struct wsg_slots *s, wsb_conn id);
/* The same holder under a new id; the old one is stale from now on. */
WSB_MUST_CHECK wsb_err wsg_slots_renew(struct wsg_slots *s, wsb_conn *id);

/* WSB_ERR_GONE: was one of ours. WSB_ERR_STALE: another epoch, or never given out. */
WSB_MUST_CHECK wsb_err wsg_slots_find(const struct wsg_slots *s, wsb_conn id, void **ret);

#endif
