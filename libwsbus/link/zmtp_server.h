#ifndef WSB_LINK_ZMTP_SERVER_H
#define WSB_LINK_ZMTP_SERVER_H

/*
 * The gate's end over ZeroMQ: ROUTER for handlers, XPUB for events, PULL for commands. What its files share, and nobody else uses:
 *
 *     zmtp_server.c   the vtable: messages in and out
 *     zmtp_guests.c   who is connected: coming, proving, making room, leaving
 *     zmtp_open.c     beginning and end
 *
 * Threads   the server's
 */

#include "link/zmtp_conn.h"
#include "link/zmtp_entrance.h"

enum {
    WSB_ZMTP_DOORS = WSB_ZMQ_DOORS,
    WSB_ZMTP_ORIGINS = 256,
    WSB_ZMTP_TICK_MS = 250,
    WSB_ZMTP_HANDSHAKE_MS = 5000,
    WSB_ZMTP_COOKIE_MS = 60000, /* as RFC 26 has it */
    /* In one round, of each channel. */
    WSB_ZMTP_ROUND_BYTES = 4 << 20,
    WSB_ZMTP_ROUND_WORK = 32768,
    WSB_ZMTP_ROUND_HANDSHAKES = 8,
    WSB_ZMTP_ROUND_EXPIRED = 64, /* peers whose time is over */
    WSB_ZMTP_ROUND_ACCEPTS = 32, /* at each door */
    /* Of one peer, while others wait. */
    WSB_ZMTP_TURN_BYTES = 256 << 10,
    WSB_ZMTP_TURN_WORK = 256,
    /* Written and sealed: of one peer, of all. */
    WSB_ZMTP_WRITE_BYTES = 1 << 20,
    WSB_ZMTP_WRITE_ALL = 4 << 20,
    WSB_ZMTP_ROUND_WASTE = 4 << 20, /* bytes of it that are freed */
    WSB_ZMTP_QUEUE_MAX = 256 << 20, /* bytes that wait for one peer */
    WSB_ZMTP_COPIES_MAX = 1000,     /* of events, for one subscriber */
    WSB_ZMTP_COPIES_BYTES = 8 << 20,
    WSB_ZMTP_COPIES_SURE = 16 << 10, /* that each subscriber may have waiting, whatever others have */
    WSB_ZMTP_COPIES_ALL = 48 << 20,  /* of all: payloads that they share */
    WSB_ZMTP_COPIES_OWN = 4,         /* times as much: what each has of its own */
    WSB_ZMTP_BEHIND = 16 << 10,      /* bytes that wait for a peer that reads */
    WSB_ZMTP_PONGS_MAX = 64,         /* that wait for one peer; a PING beyond it has no answer */
    WSB_ZMTP_INPUT_MAX = 256 << 20,  /* bytes of messages that are not whole, of all peers */
    WSB_ZMTP_PEERS = 1024,           /* of each channel, unless the options say otherwise */
    WSB_ZMTP_SUBSCRIPTION_FRAME = 512
};

/* A message in the hands of whoever received it. */
struct wsb_zmtp_letter {
    struct wsb_zmtp_server *server;
    struct wsb_zmtp_conn *conn;   /* that has left; NULL: it has not */
    struct wsb_zmtp_conn *sender; /* until the server is asked for anything else */
    struct wsb_zmtp_chunk *chunk; /* a holder */
    uint8_t peer[WSB_CONN_NAME_MAX];
    char user[WSB_KEY_TEXT];
};

struct wsb_zmtp_list {
    struct wsb_zmtp_conn *first, *last;
    size_t count;
};

/* One of the three endpoints. */
struct wsb_zmtp_channel {
    int poll;      /* owned: an epoll */
    bool is_woken; /* it has events that were not looked at */
    struct wsb_zmtp_entrance local, tcp;
    struct wsb_zmtp_rules rules[WSB_ZMTP_DOORS];
    struct wsb_zmtp_conn *conns; /* owned: all */
    size_t conn_count;
    struct wsb_zmtp_list ready, unproven;
    struct wsb_zmtp_list kin[WSB_ZMTP_ORIGINS]; /* the unproven by where they come from */
    struct wsb_zmtp_outbox waste;               /* what was to leave for peers that have left; it is freed in rounds */
    struct wsb_zmtp_budget budget;
    struct wsb_zmtp_letter letter; /* one at a time: a batch may be read over several rounds */
};

struct wsb_zmtp_server {
    struct wsb_server base;
    struct wsb_zmtp_channel channels[WSB_CHANNELS];
    const struct wsb_curve *curve; /* borrowed; NULL: no keys */
    struct wsb_curvezmq_server curvezmq;
    uint64_t cookie_ms;              /* when the present cookie secret was made */
    struct wsb_zmtp_holder *holders; /* owned: one for each listed key */
    struct wsb_zmtp_pool pool;
    struct wsb_zmtp_list dirty;
    struct wsb_zmtp_conn **names; /* owned: a table of HANDLERS by name */
    size_t name_mask;
    struct wsb_seed seed;
    struct wsb_subscribers subscribers;
    uint64_t last_number;
    size_t peers_max, queue_max, copies_max;
    size_t descriptors, descriptors_max; /* of all channels' peers; so many there may be */
    struct wsb_account *sealed;          /* owned: copies that are sealed */
    size_t copies_own; /* bytes that subscribers share with nobody: at the last flush, and what came since */
    bool has_copied;   /* since then */
    uint32_t handshake_ms;
    uint32_t ttl_count; /* peers that want to be given up when they are silent */
    int timer;          /* owned: a timerfd */
    struct wsb_zmtp_source of_timer;
    bool is_ticking;
    uint64_t now_ms, ticked_ms;
    uint64_t ahead_ms; /* how far this clock is ahead of the one that leaves gaps out; grows with each gap */
    struct wsb_server_stats stats;
    char last_key[WSB_KEY_TEXT], last_key_address[WSB_CONN_ADDRESS], last_address[WSB_CONN_ADDRESS];
};

static inline struct wsb_zmtp_server *wsb_zmtp_server_of(const struct wsb_server *s)
{
    return (struct wsb_zmtp_server *)s; /* its first member */
}

extern const struct wsb_server_ops wsb_zmtp_server_ops;

/* Somebody may be waiting to be accepted, and could be. */
static inline bool wsb_zmtp_is_asked(const struct wsb_zmtp_channel *ch)
{
    return (ch->local.is_waiting && !ch->local.is_out) || (ch->tcp.is_waiting && !ch->tcp.is_out);
}

/* What may be done in a round may be done again. */
void wsb_zmtp_begin_round(struct wsb_zmtp_channel *ch);

/* --------------------------------------------------------------- zmtp_open.c */

void wsb_zmtp_server_close(struct wsb_server *s);

/* ------------------------------------------------------------- zmtp_guests.c */

uint64_t wsb_zmtp_now_ms(void);
/* Look at what the channel's epoll tells. */
void wsb_zmtp_collect(struct wsb_zmtp_server *z, enum wsb_channel c);
/* Let in who waits, as far as there is room. */
void wsb_zmtp_accept(struct wsb_zmtp_server *z, enum wsb_channel c);
/* So much time has passed in which nobody could be heard: it does not count as silence. */
void wsb_zmtp_forgive(struct wsb_zmtp_server *z, uint64_t ms);
/* A tick goes on as long as somebody has to be looked after. */
void wsb_zmtp_tick(struct wsb_zmtp_server *z);
/* There is more to do: it ticks again at once. */
void wsb_zmtp_tick_soon(struct wsb_zmtp_server *z);

void wsb_zmtp_ready_add(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn);
void wsb_zmtp_ready_remove(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn);
void wsb_zmtp_note_dirty(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn);
void wsb_zmtp_forget_dirty(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn);
/* NULL: nobody has this name, or is there no more. */
struct wsb_zmtp_conn *wsb_zmtp_find(const struct wsb_zmtp_server *z, struct wsb_span name);

/* What it was to be told will never leave. */
void wsb_zmtp_throw(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn);
/* Its mechanism is ours: the rest of our greeting goes out. */
void wsb_zmtp_greet(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn);
/* It has shown who it is: the reply goes out. False: it was turned away, and is gone. */
bool wsb_zmtp_admit(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, struct wsb_span identity);
/* It has gone by itself. */
void wsb_zmtp_leave(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn);
/* It has to go; counted. Unless it was heard it is freed. */
void wsb_zmtp_refuse(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn, enum wsb_zmtp_why why);
/* Everybody who needs to know knows. */
void wsb_zmtp_remove(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn);
/* All that may be held of unfinished messages is held, and this one wants more: somebody ends. */
void wsb_zmtp_relieve(struct wsb_zmtp_server *z, struct wsb_zmtp_conn *conn);

#endif
