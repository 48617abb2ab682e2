#ifndef WSB_API_ACKS_H
#define WSB_API_ACKS_H

/*
 * What the program is done with and the gate has not been told yet: the latest event of each connection. It is of a fixed
 * size, because it is written to for every event; who finds it full tells the gate and begins anew.
 *
 * Threads   one at a time
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/msg.h"

enum {
    WSB_ACKS_MAX = 256, /* connections */
    WSB_ACKS_BYTES = WSB_ACKS_MAX * 16,
    WSB_ACKS_PLACES = WSB_ACKS_MAX * 2 /* a power of two, so that probing is short and ends */
};

struct wsb_ack_pair {
    wsb_conn conn;
    uint64_t seq; /* 0: forgotten */
};

struct wsb_acks {
    struct wsb_ack_pair pairs[WSB_ACKS_MAX]; /* in the order in which the connections came */
    uint16_t places[WSB_ACKS_PLACES];        /* open addressing: 1 + where in pairs; 0 is free */
    uint16_t place_of[WSB_ACKS_MAX];         /* of each pair, in places */
    size_t count;                            /* of pairs */
    size_t events;
    size_t bytes; /* of their payloads */
};

/* False when there is no room for another connection. A seq that is not above the one noted changes nothing. */
bool wsb_acks_note(struct wsb_acks *a, wsb_conn conn, uint64_t seq, size_t bytes);
/* The connection is somebody else's now. */
void wsb_acks_forget(struct wsb_acks *a, wsb_conn conn);
void wsb_acks_clear(struct wsb_acks *a);
/* The payload of an ACK, docs/protocol.md §4; returns its bytes. */
size_t wsb_acks_write(const struct wsb_acks *a, uint8_t out[WSB_ACKS_BYTES]);

#endif
