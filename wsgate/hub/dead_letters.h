#ifndef WSG_HUB_DEAD_LETTERS_H
#define WSG_HUB_DEAD_LETTERS_H

/*
 * The latest events that were set aside because every handler that was given them died or gave up: what, whose, and the
 * beginning of it. A ring of fixed size. Pure.
 */

#include "bus/pin.h"

enum { WSG_DEAD_LETTERS_MAX = 128, WSG_DEAD_LETTER_BYTES = 512 /* of the payload */ };

struct wsg_dead_letter {
    uint64_t number; /* 1, 2, 3, …: of all that there were */
    uint64_t time_ns;
    wsb_conn conn;
    uint64_t seq;
    uint8_t type;
    uint8_t code;
    uint32_t deliveries;
    char route[WSG_ROUTE_NAME_MAX + 1];
    char handler[65]; /* the last one that had it */
    uint32_t payload_len;
    uint32_t kept; /* bytes of it, in payload */
    uint8_t payload[WSG_DEAD_LETTER_BYTES];
};

struct wsg_dead_letters {
    struct wsg_dead_letter *ring; /* owned; NULL before the first */
    uint64_t count;               /* of all that there were, kept or not */
};

void wsg_dead_letters_deinit(struct wsg_dead_letters *t);
/* Note one in place of the oldest. `e` is the event as it was sent last. Without memory it is only counted. */
void wsg_dead_letters_add(struct wsg_dead_letters *t, const struct wsg_pin *p, const struct wsb_envelope *e,
                          uint32_t deliveries, const char *handler, uint64_t time_ns);
/* The one before the first `skip` of the latest; NULL: there is none, or it is kept no more. */
const struct wsg_dead_letter *wsg_dead_letters_latest(const struct wsg_dead_letters *t, uint64_t skip);

#endif
