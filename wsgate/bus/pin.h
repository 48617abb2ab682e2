#ifndef WSG_BUS_PIN_H
#define WSG_BUS_PIN_H

/*
 * What the hub knows of each connection: its route, whose it is, how far its events are, what of them is kept, and the
 * groups it is in. Found by connection id; an id that does not fit exactly is not found.
 *
 *     seq        of the last event that the client brought about
 *     sent_seq   of the last one that the owner was sent; 0: not even OPEN
 *     acked_seq  of the last one that the owner acknowledged
 */

#include "bus/backlog.h"
#include "bus/conn_id.h"
#include "bus/handler.h"

struct wsg_group;

/* One connection's place in one group. */
struct wsg_member {
    struct wsg_group *group; /* borrowed */
    struct wsg_pin *pin;     /* borrowed */
    size_t index;            /* in the group's array */
    struct wsg_member *next; /* of the same connection */
};

/*
 * How far a client is. Requests are OPEN from the beginning.
 *
 *                 ┌──── ACCEPT, of its own route ────┐
 *     OPEN ──▶ PENDING ──ACCEPT──▶ ADMITTING ──101──▶ OPEN ──▶ FAILED ──▶ CLOSED
 *
 * PENDING and ADMITTING fail as OPEN does, and each of them may close at once.
 */
enum wsg_pin_state {
    WSG_PIN_OPEN,
    WSG_PIN_PENDING,   /* its 101 waits for ACCEPT or REJECT: hub/admit.h */
    WSG_PIN_ADMITTING, /* accepted by a gatekeeper: its owner hears of it when the client has its 101 */
    WSG_PIN_FAILED,    /* its session was told to end: nothing more of it reaches a handler */
    WSG_PIN_CLOSED     /* the client is gone; its events are not */
};

/* What is done when it is accepted. */
struct wsg_asked {
    struct wsg_route *wanted; /* borrowed; the route it goes to, where a gatekeeper was asked; NULL: it stays */
    uint64_t key;             /* what it is pinned by there */
    uint32_t names_len;
    char names[]; /* groups that it joins, each ended by a NUL */
};

struct wsg_pin {
    wsb_conn conn;
    struct wsg_route *route;     /* borrowed */
    struct wsg_handler *handler; /* borrowed; NULL: nobody's */
    struct wsg_lane *lane;       /* borrowed; its handler's, that of the orphans, or NULL on routes that only publish */
    uint64_t key;                /* what it is pinned by; 0: the fewest */
    uint64_t seq, sent_seq, acked_seq;
    uint64_t opened_ns;
    uint64_t since_ms; /* it began to wait for a handler; or, while it moves, to move */
    char *meta;        /* owned; what OPEN said, packed (bus/words.h), for the next owner; NULL for a request */
    uint32_t meta_len;
    uint32_t dropped;        /* events that no handler will see */
    uint32_t unacked;        /* events that the owner was sent and has not acknowledged */
    uint8_t open_deliveries; /* of OPEN, to owners that did not acknowledge it; no more than 255 */
    uint32_t balance_round;  /* of the hub, in which it was looked at */
    uint32_t charged;        /* bytes of itself, once the client is gone and it is only kept for its events */
    struct wsg_backlog backlog;
    struct wsg_member *members; /* owned */
    struct wsg_asked *asked;    /* owned; while it is pending; else NULL */
    struct wsg_route *pends;    /* borrowed; while it has a place among the pending clients of that route */
    wsg_place place;            /* that place; 0: none */
    uint8_t state;              /* enum wsg_pin_state; wsg_pin_become() */
    bool is_request : 1;
    bool is_idempotent : 1; /* the request may be given to a second handler */
    bool is_answered : 1;   /* the response has begun */
    bool is_placed : 1;     /* an operator moved it: its key says nothing any more */
    bool is_paused : 1;     /* the client is not read */
    bool is_quiet : 1;      /* its client is not read any more, and is to be closed when all of it is acknowledged */
    bool is_moving : 1;     /* what follows waits for the next owner */
    bool is_waiting : 1;    /* on its lane's list */
    bool was_opened : 1;    /* an owner was sent OPEN */
    bool was_asked : 1;     /* a gatekeeper let it in */
    uint32_t gathering;     /* of the hub, in which it was found last */
    uint32_t *former;       /* owned array: handlers that it was taken from, and that may not command it any more */
    uint32_t former_count;
    uint32_t move_to; /* while it moves: a handler's id, or 0 for any */
    uint64_t barrier; /* while it moves away from a handler that does not acknowledge: the PING that must be answered */
    struct wsg_pin *prev, *next;           /* of the same lane */
    struct wsg_pin *prev_wait, *next_wait; /* of the lane's waiting ones */
};

/* A connection whose place may be somebody else's by now, while events of it are still kept. */
struct wsg_ghost {
    UT_hash_handle hh;
    wsb_conn conn;
    struct wsg_pin *pin; /* owned */
};

struct wsg_pins {
    struct {
        struct wsg_pin **slots; /* owned */
        size_t count;
    } workers[WSG_ID_WORKERS];
    struct wsg_ghost *ghosts[WSG_TABLE_SHARDS]; /* owned */
    size_t ghost_count;
    struct wsg_lane orphans; /* wait for a handler */
    size_t count;            /* ghosts included */
};

void wsg_pins_deinit(struct wsg_pins *t);
/* WSB_ERR_EXISTS: the id is there already. */
WSB_MUST_CHECK wsb_err wsg_pins_add(struct wsg_pins *t, wsb_conn conn, struct wsg_route *route, struct wsg_pin **ret);
struct wsg_pin *wsg_pins_find(const struct wsg_pins *t, wsb_conn conn);
/* All that are gone and kept, in no order: the one after `g` (NULL: the first); NULL at the end. */
const struct wsg_ghost *wsg_pins_next_ghost(const struct wsg_pins *t, const struct wsg_ghost *g);
/* The client is gone: another connection may take its place now. WSB_ERR_NOMEM: the pin is as it was. */
WSB_MUST_CHECK wsb_err wsg_pins_bury(struct wsg_pins *t, struct wsg_pin *p);
/* Leaves lane and groups and frees it; what is kept must have been accounted for. */
void wsg_pins_remove(struct wsg_pins *t, struct wsg_pin *p);

/* The only way from one state to another. */
void wsg_pin_become(struct wsg_pin *p, enum wsg_pin_state state);

static inline bool wsg_pin_is_closed(const struct wsg_pin *p)
{
    return p->state == WSG_PIN_CLOSED;
}

/* Its client is there, and has not been told to go. */
static inline bool wsg_pin_is_alive(const struct wsg_pin *p)
{
    return p->state < WSG_PIN_FAILED;
}

/* Nobody has accepted it: also of one that has ended before. */
static inline bool wsg_pin_is_unaccepted(const struct wsg_pin *p)
{
    return p->asked != NULL;
}

/* What its client speaks. */
static inline enum wsg_kind wsg_pin_kind(const struct wsg_pin *p)
{
    return p->is_request ? WSG_KIND_HTTP : WSG_KIND_WEBSOCKET;
}

/* It waits for the handler of another route than the client asked for. */
static inline bool wsg_pin_asks_elsewhere(const struct wsg_pin *p)
{
    return p->asked && p->asked->wanted;
}

/* Who was not there for it, should it fail now. */
static inline enum wsg_refusal wsg_pin_refusal(const struct wsg_pin *p)
{
    return wsg_pin_asks_elsewhere(p) ? WSG_REFUSED_NO_GATEKEEPER : WSG_REFUSED_NO_HANDLER;
}

/* Its owner has been sent OPEN, and has not acknowledged it. */
static inline bool wsg_pin_is_opening(const struct wsg_pin *p)
{
    return p->handler && p->handler->acks && !p->is_request && p->sent_seq && !p->acked_seq;
}

/* Its owner has not been sent OPEN. */
static inline bool wsg_pin_is_unopened(const struct wsg_pin *p)
{
    return p->handler && !p->is_request && !p->sent_seq;
}

/* Its client waits to be heard of. It owns a place of the route that it asked for, until it ends at the latest. */
void wsg_pin_begin_pending(struct wsg_pin *p, struct wsg_route *of, wsg_place place);
/* Idempotent. */
void wsg_pin_end_pending(struct wsg_pin *p);

/* Into the hands of a handler; of nobody (NULL) with the orphans' lane, or with none. It has been sent nothing yet. */
void wsg_pin_assign(struct wsg_pin *p, struct wsg_handler *h, struct wsg_lane *lane);

/*
 * An owner's connection moves to another one in good order, or does not move any more: it has moved, or its owner is not
 * waited for. The second is idempotent.
 *
 * @to     a handler's id; 0: any
 */
void wsg_pin_begin_move(struct wsg_pin *p, uint32_t to, uint64_t now_ms);
void wsg_pin_end_move(struct wsg_pin *p);

/* The list of those that wait; each may be said twice. */
void wsg_pin_wait(struct wsg_pin *p);
void wsg_pin_wait_no_more(struct wsg_pin *p);

/* It was taken from this handler. False without memory. Numbers that nobody answers to any more are forgotten. */
bool wsg_pin_add_former(struct wsg_pin *p, uint32_t id, const struct wsg_handlers *alive);
/* It was taken from this handler, under whatever number it was registered then. */
bool wsg_pin_was_of(const struct wsg_pin *p, const struct wsg_handler *h);

#endif
