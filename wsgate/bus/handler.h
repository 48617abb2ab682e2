#ifndef WSG_BUS_HANDLER_H
#define WSG_BUS_HANDLER_H

/*
 * The registered handlers: who they are, which routes they serve, what they may still be sent, and which of them a
 * connection goes to.
 */

#include "base/block.h"
#include "base/log_limit.h"
#include "bus/lane.h"
#include "bus/route.h"
#include "bus/table.h"
#include "wsbus/msg.h"

struct wsg_pin;
struct wsb_direct;

enum { WSG_PEER_MAX = 255 /* a ZeroMQ routing id */ };

enum { WSG_PAST_IDS = 4 };

/* A peer that was taken out while it lived may register again, under a new number, and is then still who it was. */
struct wsg_past {
    UT_hash_handle hh;
    uint32_t ids[WSG_PAST_IDS]; /* latest first; 0: none */
    int64_t pid;
    bool lives; /* it was given up; otherwise its link broke, and only a process with this pid is the same */
    uint8_t peer_len;
    uint8_t peer[];
};

/*
 * The last delivery that an event may have is made alone, so that the death of its handler says which event it was:
 *
 *     NO ──an event needs it──▶ WANTED ──all is acknowledged──▶ SENT ──acknowledged──▶ NO
 *
 * Nothing else that wants an acknowledgement is sent meanwhile. A handler that acknowledges late (`acks_late`) is not waited for.
 */
enum wsg_alone { WSG_ALONE_NO, WSG_ALONE_WANTED, WSG_ALONE_SENT };

enum wsg_drain { WSG_DRAIN_NO, WSG_DRAIN_BEGUN, WSG_DRAIN_DONE };

struct wsg_handler {
    uint32_t id; /* 1, 2, 3, …; never used twice by one gate */
    uint8_t peer[WSG_PEER_MAX];
    uint8_t peer_len;
    struct wsb_direct *direct; /* borrowed from its link: where it can be written to directly; NULL: nowhere */
    void **known; /* borrowed from its link, which finds it here for each message; NULL: its peer has gone */
    bool batch;
    bool records;        /* over ZeroMQ: it takes each message as one part */
    bool acks;           /* it acknowledges: what it was sent is kept until then */
    bool has_credit;     /* it is sent only what it granted */
    bool presence;       /* it wants JOINED and LEFT */
    uint8_t alone;       /* enum wsg_alone */
    bool acks_late;      /* it did not acknowledge what was sent alone within a second */
    wsb_conn alone_conn; /* whose event it is */
    uint64_t alone_since_ms;
    uint64_t fence;                  /* the PING that it must answer before it may command; 0: none */
    uint32_t opening;                /* OPENs that it has not acknowledged */
    uint8_t drain;                   /* enum wsg_drain; it gets no new connections */
    bool is_counted;                 /* among those that serve its routes */
    bool is_pump_due;                /* some of those that wait have not been looked at */
    uint32_t past_ids[WSG_PAST_IDS]; /* under which it was registered before, and lost its connections while it lived */
    uint32_t moving;                 /* of its connections */
    uint32_t steps;                  /* moves begun in this step of its drain */
    uint64_t barrier_passed;         /* the latest PING that it has answered */
    uint32_t weight;
    uint32_t slot;     /* among those of the same name: the lowest that was free */
    uint64_t identity; /* of name and slot: what keys choose by; the same again when the process is started anew */
    char name[65];
    char language[33];
    int64_t pid;
    int64_t past_pid;  /* its own, of an earlier registration; 0: there was none */
    bool was_given_up; /* it lost its connections while it lived */
    uint8_t level;
    struct wsb_log_limit lines; /* that it has the log write */
    uint16_t *routes;           /* owned */
    size_t route_count;
    uint8_t kinds;      /* enum wsg_kind, or-ed: what it serves on each of its routes */
    uint32_t *in_batch; /* owned; of each of its routes: messages in `block`, of a handler that does not acknowledge */
    struct wsg_lane lane;
    int64_t credit_messages;         /* with has_credit: what is left of what it granted */
    int64_t credit_bytes;            /* below zero when the last message was larger than what was left */
    uint64_t unacked;                /* events that it was sent and has not acknowledged, over all its connections */
    uint64_t progress_ms;            /* when it last acknowledged something, or had nothing to acknowledge */
    uint64_t progress_deaf_ms;       /* for how long the hub had received nothing by then, of all time */
    struct wsb_account *account;     /* owned reference: what is under way to it */
    struct wsb_block *block;         /* owned: the batch of this round */
    bool paused;                     /* too much under way: its clients are not read */
    bool is_dead;                    /* cannot be reached, or has left; is not picked, and removed soon */
    bool is_hung_up;                 /* its link has ended */
    bool is_told;                    /* it has left alive: it is told REVOKED for each connection */
    const char *why;                 /* it has left; static */
    uint64_t balance_round;          /* the round of rebalancing that it was looked at in */
    struct wsg_handler *prev, *next; /* of those that have left */
    struct wsg_handler *prev_dead, *next_dead; /* of those that are marked dead, and have not left yet */
    bool in_round;                             /* on the list of those with something to send this round */
    uint64_t since_ms;
    uint64_t seen_ms;
    uint64_t ping_seq;
    uint64_t ping_sent_us;
    uint64_t rtt_us;
    uint64_t events, event_bytes, commands, errors, dropped;
    uint64_t workings;                      /* how often it said that it is still at it */
    uint64_t delivered, redelivered, stale; /* stale: commands and ACKs for what is not, or no longer, its own */
    uint64_t full_since_ms, full_ms;        /* how long it had no room; since is 0 while it has */
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
    struct wsg_past *pasts;      /* owned; the oldest first */
    struct wsg_handler *by_id;   /* the same ones */
    struct wsg_handler *leaving; /* owned list: they have left, and their connections are not all with others yet */
    uint32_t last_id;
    uint32_t count;
};

enum {
    WSG_HANDLERS_MAX = 4096,
    WSG_PASTS_MAX = 1024,
    WSG_DEBT_MAX = 1 << 20, /* bytes that a peer may still have to take when it registers again */
};

/* WSB_ERR_LIMIT: too many. WSB_ERR_FULL: the peer has not taken what it was sent before. It must not be registered yet. */
WSB_MUST_CHECK wsb_err wsg_handlers_add(struct wsg_handlers *t, struct wsb_span peer, struct wsg_handler **ret);
/* It is known to nobody any more, and waits among those that leave until its pins have been moved or dropped. */
void wsg_handlers_retire(struct wsg_handlers *t, struct wsg_handler *h);
/* One that leaves has no pins any more. */
void wsg_handlers_free(struct wsg_handlers *t, struct wsg_handler *h);
/* Both at once. */
void wsg_handlers_remove(struct wsg_handlers *t, struct wsg_handler *h);
void wsg_handlers_deinit(struct wsg_handlers *t);
/* It is about to be taken out, and lives (or its process may): when its peer registers again, that is remembered. */
void wsg_handlers_remember(struct wsg_handlers *t, const struct wsg_handler *h, bool lives);
/* Somebody answers, or may come to answer, to this number. */
bool wsg_handlers_know(const struct wsg_handlers *t, uint32_t id);
bool wsg_handler_is_or_was(const struct wsg_handler *h, uint32_t id);
/* The peer's link has ended: what it was sent and did not take will never arrive, and whoever comes under its name owes nothing. */
void wsg_handlers_forgive(struct wsg_handlers *t, struct wsb_span peer);
/* Forget debts that are paid; now and then. */
void wsg_handlers_settle(struct wsg_handlers *t);

struct wsg_handler *wsg_handlers_by_peer(const struct wsg_handlers *t, struct wsb_span peer);
struct wsg_handler *wsg_handlers_by_id(const struct wsg_handlers *t, uint32_t id);

/*
 * Handlers in turn, for work that a round may not be enough for: the one with this number or the first behind it, and the one behind a
 * handler. Behind the last comes the first. NULL: there are none.
 */
struct wsg_handler *wsg_handlers_from(const struct wsg_handlers *t, uint32_t id);
struct wsg_handler *wsg_handlers_behind(const struct wsg_handlers *t, const struct wsg_handler *h);

/* `kinds`: one of enum wsg_kind, or several of which one is enough. */
bool wsg_handler_serves(const struct wsg_handler *h, const struct wsg_route *r, unsigned kinds);
/*
 * Which handler of a route gets a connection; those that drain or are dead do not.
 *
 * @kinds      that it serves one of them, as wsg_handler_serves()
 * @key        0: the one with the fewest connections for its weight, of those that have room if there are any. Otherwise the
 *             key chooses among them in proportion to their weights, and so that a handler that comes or goes changes
 *             nothing for the keys of the others (rendezvous hashing). One that is started anew has its own keys again
 * @except     leave this one out; may be NULL
 *
 * Returns     NULL when there is none
 */
struct wsg_handler *wsg_handlers_pick(const struct wsg_handlers *t, const struct wsg_route *r, unsigned kinds,
                                      uint64_t key, const struct wsg_handler *except);

/* It has credit, and not too much is under way to it. */
bool wsg_handler_has_credit(const struct wsg_handler *h);
/* Its name, and with it the slot and the identity; one that keeps its name keeps both. */
void wsg_handlers_name(const struct wsg_handlers *t, struct wsg_handler *h, struct wsb_span name);

/* It may be sent another message: it has credit, and nothing that is to be alone. */
bool wsg_handler_has_room(const struct wsg_handler *h);
void wsg_handler_spend(struct wsg_handler *h, size_t bytes);
/* Grants add up, to no more than a reasonable end. */
void wsg_handler_grant(struct wsg_handler *h, uint64_t messages, uint64_t bytes);

#endif
