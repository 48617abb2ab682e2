#ifndef WSG_BUS_HANDLER_H
#define WSG_BUS_HANDLER_H

/* The registered handlers: who they are, which routes they serve, and which of them a new connection goes to. */

#include <uthash.h>

#include "base/block.h"
#include "bus/route.h"

struct wsg_pin;

enum { WSG_PEER_MAX = 255 /* a ZeroMQ routing id */ };

struct wsg_handler {
    uint32_t id; /* 1, 2, 3, …; never used twice by one gate */
    uint8_t peer[WSG_PEER_MAX];
    uint8_t peer_len;
    bool batch;
    char name[65];
    char language[33];
    int64_t pid;
    uint8_t level;
    uint16_t *routes; /* owned */
    size_t route_count;
    uint32_t pinned;
    struct wsg_pin *pins;        /* borrowed list of the connections that are its own */
    struct wsb_account *account; /* owned reference: what is under way to it */
    struct wsb_block *block;     /* owned: the batch of this round */
    bool paused;                 /* too much under way: its clients are not read */
    bool is_dead;                /* cannot be reached; is not picked, and removed soon */
    bool in_round;               /* on the list of those with something to send this round */
    uint64_t since_ms;
    uint64_t seen_ms;
    uint64_t ping_seq;
    uint64_t ping_sent_us;
    uint64_t rtt_us;
    uint64_t events, event_bytes, commands, errors, dropped;
    UT_hash_handle by_peer;
    UT_hash_handle by_id;
};

/* What is still under way to a peer whose registration ended: it must not begin again with an empty account. */
struct wsg_debt {
    struct wsb_account *account; /* owned reference */
    UT_hash_handle hh;
    uint8_t peer_len;
    uint8_t peer[];
};

struct wsg_handlers {
    struct wsg_handler *by_peer; /* owned */
    struct wsg_debt *debts;      /* owned */
    struct wsg_handler *by_id;   /* the same ones */
    uint32_t last_id;
    uint32_t count;
};

enum {
    WSG_HANDLERS_MAX = 4096,
    WSG_DEBT_MAX = 1 << 20, /* bytes that a peer may still have to take when it registers again */
};

/* WSB_ERR_LIMIT: too many. WSB_ERR_FULL: the peer has not taken what it was sent before. It must not be registered yet. */
WSB_MUST_CHECK wsb_err wsg_handlers_add(struct wsg_handlers *t, struct wsb_span peer, struct wsg_handler **ret);
/* Frees it; its pins must have been moved or dropped. */
void wsg_handlers_remove(struct wsg_handlers *t, struct wsg_handler *h);
void wsg_handlers_deinit(struct wsg_handlers *t);
/* Forget debts that are paid; now and then. */
void wsg_handlers_settle(struct wsg_handlers *t);

struct wsg_handler *wsg_handlers_by_peer(const struct wsg_handlers *t, struct wsb_span peer);
struct wsg_handler *wsg_handlers_by_id(const struct wsg_handlers *t, uint32_t id);

bool wsg_handler_serves(const struct wsg_handler *h, const struct wsg_route *r);
/* The one with the fewest connections of those that serve the route, leaving out `except`, and those that have too much
 * under way if it shall be one with room; NULL when there is none. */
struct wsg_handler *wsg_handlers_pick(const struct wsg_handlers *t, const struct wsg_route *r,
                                      const struct wsg_handler *except, bool with_room);

#endif
