#ifndef WSG_HUB_HUB_H
#define WSG_HUB_HUB_H

/*
 * The hub stands between the workers' sessions and the handlers: it pins connections to handlers, numbers and forwards
 * events, carries out commands, keeps groups, and notices when a handler is gone. It lives on the first worker's loop,
 * which owns the ZeroMQ sockets.
 *
 * Threads   the first worker's
 */

#include "base/log_limit.h"
#include "bus/group.h"
#include "bus/handler.h"
#include "bus/meta.h"
#include "bus/pin.h"
#include "bus/words.h"
#include "hub/dead_letters.h"
#include "link/link.h"
#include "loop/loop.h"
#include "session/command.h"
#include "session/outbox.h"

enum {
    WSG_HEARTBEAT_MS = 1000,
    WSG_HANDLER_HIGH = 4 << 20,    /* bytes under way to a handler: it has no room */
    WSG_HANDLER_LOW = 2 << 20,     /* and has room again */
    WSG_UNSENT_HIGH = 8 << 20,     /* bytes that wait for a full handler: none of its clients is read */
    WSG_UNSENT_LOW = 4 << 20,      /* and they may be read again */
    WSG_HANDLER_LIMIT = 256 << 20, /* it takes nothing at all: it counts as dead */
    WSG_STRANGERS_LIMIT = 4 << 20, /* under way to peers that are not registered; beyond it they get no answer */
    WSG_EVENTS_LIMIT = 64 << 20,   /* copies under way to subscribers */
    WSG_BATCH_BYTES = 256 << 10,   /* a batch leaves when it is this large, or at the end of the round */
};

/* What the hub asks of the gate that owns it. */
struct wsg_hub_host {
    void *ctx; /* borrowed */
    /* Carry out a command on connections, which may be on any worker. Whatever the command points at is borrowed. */
    void (*command)(void *ctx, const struct wsg_command *c, const wsb_conn *ids, size_t count);
    /* OUTCOME or PONG for a command of the control socket. */
    void (*reply)(void *ctx, uint64_t origin, const struct wsb_envelope *e);
    void (*tap)(void *ctx, const struct wsg_out *out);
    /* The workers have more commands waiting than they should: give them no more for now. */
    bool (*is_behind)(void *ctx);
};

/* The session of the one connection that it is for carries it out at once: it may write to its client, and end it. What other commands have
 * for a client waits for the end of the round, which has bounds of its own. */
static inline bool wsg_may_end_one(uint8_t type)
{
    return type == WSB_CLOSE || type == WSB_ACCEPT || type == WSB_REJECT || type == WSB_RESPOND || type == WSB_BODY ||
           type == WSG_CMD_FAIL || type == WSG_CMD_DRAIN;
}

/* Who is meant: all connections of a group, a user, a tag, a route, or all that there are. */
enum wsg_audience_kind { WSG_TO_GROUP, WSG_TO_USER, WSG_TO_TAG, WSG_TO_ROUTE, WSG_TO_ALL };

struct wsg_audience {
    enum wsg_audience_kind kind;
    struct wsb_span name; /* borrowed */
};

/* How a handler goes: because somebody wants it, or against everybody's will. The second is a warning, and counted. */
enum wsg_going { WSG_GOES_IN_ORDER, WSG_GOES_LOST };

/* Why a command is not carried out. */
enum wsg_failing {
    WSG_FAIL_TYPE,
    WSG_FAIL_FLAG,
    WSG_FAIL_METADATA,
    WSG_FAIL_PAYLOAD,
    WSG_FAIL_UNREGISTERED,
    WSG_FAIL_REFUSED,
    WSG_FAIL_LIMIT,
    WSG_FAIL_FORBIDDEN, /* it names a connection that the sender's key is not for */
    WSG_FAIL_GONE,      /* `commands` alone: it names a connection that the hub does not know */
    WSG_FAIL_MALFORMED, /* no envelope */
    WSG_FAILINGS
};
const char *wsg_failing_name(enum wsg_failing why); /* as counters have it */

struct wsg_hub_stats {
    uint64_t events, commands, published, publish_drops, malformed, command_errors, outcomes, handlers_gone;
    uint64_t failed[WSG_FAILINGS];         /* commands that were not carried out, or a target of one; by reason */
    uint64_t failed_unheard[WSG_FAILINGS]; /* those of the `commands` endpoint, which has no way back */
    uint64_t hellos_refused;
    uint64_t forbidden;      /* commands of a key that is not for the route */
    uint64_t missed;         /* JOIN, LEAVE and TAG for what is no open WebSocket */
    uint64_t presence_drops; /* JOINED and LEFT that nobody was told */
    uint64_t moved, stale;   /* connections that changed hands; commands and ACKs for what is somebody else's */
    char last_command_error[200];
};

/* Where messages come in: one channel of one link, and the message that is being worked through. A BATCH may hold more
 * commands than one round should carry out. */
struct wsg_reading {
    struct wsb_server *server; /* borrowed; NULL: there is no such link */
    enum wsb_channel channel;
    struct wsg_watch watch;
    struct wsb_inbound inbound;
    struct wsb_span rest; /* records to come */
    bool is_open;
    bool is_quiet; /* nothing was there, its descriptor has not told of anything since, and nothing was sent by it */
};

enum { WSG_READINGS = WSB_CHANNELS + 1 /* those of ZeroMQ, and handlers over shared memory */ };

/* JOINED and LEFT that are still to be told. */
struct wsg_presence {
    struct wsb_buf queue; /* records */
    size_t at;            /* of the first one that not all have heard */
    uint32_t told;        /* the last handler that has heard it; 0: none */
    size_t left;          /* that may be told in this round */
};

/* A look at the events that are kept, for the oldest of each route: how far it is. */
struct wsg_ages {
    bool is_looking;
    uint16_t worker; /* the next one, with its next place */
    size_t slot;
    size_t shard; /* of those whose clients are gone: the next one */
};

/* Time in which the workers were behind, and the hub received nothing. */
struct wsg_deafness {
    bool is_deaf;      /* now */
    uint64_t since_ms; /* of the latest change */
    uint64_t total_ms; /* up to then */
};

/* Lines in the log that peers can cause, as often as they like. */
struct wsg_hub_lines {
    struct wsb_log_limit letters, lost, dropped, slow, stuck, malformed, joins, said, refused, came, went;
};

struct wsg_hub {
    struct wsg_loop *loop;     /* borrowed */
    struct wsb_server *server; /* owned: ZeroMQ */
    struct wsb_server *shm;    /* owned: shared memory; NULL: not offered */
    struct wsg_routes *routes; /* borrowed */
    struct wsg_handlers handlers;
    struct wsg_pins pins;
    struct wsg_groups groups;
    struct wsg_groups users;
    struct wsg_groups tags;
    struct wsg_groups members; /* of each route, under its name */
    uint32_t presence_count;   /* handlers that want JOINED and LEFT */
    struct wsg_presence presence;
    struct wsg_ages ages;
    struct wsg_hub_host host;
    struct wsg_timer heartbeat;
    struct wsg_timer room;  /* somebody is full: look whether that is still so */
    struct wsg_timer sweep; /* something moves or waits for a handler: look whether its time is up */
    size_t orphans_left;    /* of those that wait for a handler: to be looked at */
    uint64_t balance_round; /* counts how often connections were given out anew */
    bool has_passed;        /* handlers have answered the PING that some of their connections wait for */
    bool is_rebalancing;    /* some have not been looked at in this round */
    bool changes_hands;     /* inside of it */
    bool is_pausing;        /* clients of handlers that have too much are still to be paused */
    bool is_ending_streams; /* responses of handlers that drain are still to be ended */
    bool is_judging;        /* some handlers are still to be asked about */
    uint32_t judged;        /* the last one that was */
    uint64_t steps;         /* of connections that change hands */
    uint32_t visits_left;   /* to connections that wait, in this round */
    uint32_t pump_turn;     /* the handler that is the first to be visited for */
    uint32_t drain_turn;    /* likewise, that may move connections because it drains */
    bool pump_due;          /* some handlers have room that they did not have before: is_pump_due */
    bool pump_all;          /* a route has come under its limit: all its handlers may go on */
    bool drain_pending;     /* something changed that a handler that drains may wait for */
    uint32_t gathering;     /* counts the searches by several names, which may find one connection twice */
    size_t extra_work;      /* connections that the command in hand has named, in units of the budget */
    bool checks_text;       /* some route does */
    struct wsg_timer retry; /* the workers are behind with commands: receive again soon */
    struct wsg_reading readings[WSG_READINGS];
    unsigned first_reading;  /* whose turn it is */
    struct wsg_pin *express; /* the connection whose message is being written straight to its handler */
    struct wsb_header express_header;
    struct wsg_kept *express_kept; /* of it; owned; NULL: its handler does not acknowledge */
    struct wsg_kept_pool kept;     /* free ones */
    struct wsg_task again;         /* input is left: do not sleep */
    bool again_posted;
    struct wsg_handler **round; /* owned array of borrowed: those with something to send */
    size_t round_count, round_cap;
    struct wsg_handler *dead;      /* borrowed list: marked dead and not yet removed */
    struct wsb_account *strangers; /* owned: what is under way to peers that are not registered */
    struct wsb_account *copies;    /* owned: what is under way to subscribers */
    struct wsg_dead_letters dead_letters;
    struct wsg_hub_lines lines;
    uint64_t last_ping; /* number of the latest PING to any handler */
    wsb_conn *targets;  /* owned scratch */
    size_t targets_cap;
    struct wsb_buf text; /* scratch for metadata */
    struct wsb_buf said; /* scratch for the metadata of OPEN as it came */
    struct wsg_words words;
    struct wsg_meta no_meta; /* of commands without: as an empty one is parsed */
    uint64_t epoch;
    size_t max_message;
    struct wsg_deafness deafness;
    struct wsg_hub_stats stats;
};

/* Something is sent by this link: that may swallow what its descriptor would have told. */
static inline void wsg_hub_touch(struct wsg_hub *h, const struct wsb_server *server)
{
    for (int i = 0; server == h->server && i < WSB_CHANNELS; i++)
        h->readings[i].is_quiet = false;
}

/* Takes server, also on failure. */
WSB_MUST_CHECK wsb_err wsg_hub_open(struct wsg_hub *h, struct wsg_loop *loop, struct wsg_routes *routes,
                                    struct wsb_server *server, const struct wsg_hub_host *host, uint64_t epoch,
                                    size_t max_message);
void wsg_hub_close(struct wsg_hub *h);
/* Handlers come over this link as well. Takes it, also on failure. */
WSB_MUST_CHECK wsb_err wsg_hub_add_shm(struct wsg_hub *h, struct wsb_server *shm);

/* The steps of a round, in this order. */
void wsg_hub_receive(struct wsg_hub *h);                        /* commands of handlers */
size_t wsg_hub_take(struct wsg_hub *h, struct wsb_span outbox); /* what sessions said; returns how many records */
void wsg_hub_flush(struct wsg_hub *h);                          /* batches to handlers */
/* There was no memory for an event of this connection, or of all of a worker's: it is over, for its owner and for its client. */
void wsg_hub_lose(struct wsg_hub *h, wsb_conn conn);
void wsg_hub_lose_all(struct wsg_hub *h, uint8_t worker);
void wsg_hub_before_sleep(struct wsg_hub *h); /* nothing may be left unseen */
/* One step of all that is done in steps; the loop does it when a round was not enough. */
void wsg_hub_step(struct wsg_hub *h);

/*
 * The short way of a client's message, while the loop hands out what sockets have: from where it was received into the memory of its
 * handler, without a stop. Its place of header->payload_len bytes is given to the caller, who ends it with keep, or as if it had never
 * been begun.
 *
 * Returns  false: it goes the long way, through the outbox
 */
bool wsg_hub_express(struct wsg_hub *h, const struct wsb_header *header, uint8_t **ret_payload);
void wsg_hub_express_end(struct wsg_hub *h, bool keep);

/* For the control socket. */
/* Told REVOKED for each of its connections, which go to others. */
void wsg_hub_drop_handler(struct wsg_hub *h, struct wsg_handler *handler, enum wsg_going how, const char *why);
/* No new connections; its own go to others one by one, when it has acknowledged what it was sent; then it is told to go. */
void wsg_hub_drain_handler(struct wsg_hub *h, struct wsg_handler *handler);
/* It is in good standing again, unless its drain is over. */
void wsg_hub_undrain_handler(struct wsg_hub *h, struct wsg_handler *handler);
/* Its share of connections from now on; those that a key gives to somebody else now begin to move. */
void wsg_hub_weigh(struct wsg_hub *h, struct wsg_handler *handler, uint32_t weight);
/* One connection goes to another handler of its route, in good order. WSB_ERR_REFUSED: not an open WebSocket with an owner,
 * or the handler does not serve its route, drains, or has it already. */
WSB_MUST_CHECK wsb_err wsg_hub_move(struct wsg_hub *h, struct wsg_pin *p, struct wsg_handler *to);
void wsg_hub_set_level(struct wsg_hub *h, struct wsg_handler *handler, enum wsb_level level);
/* Carry out a command on behalf of the control socket on all that any of these audiences means, once on each, but not on those that
 * `meta` excepts (NULL: none); returns how many. */
size_t wsg_hub_broadcast(struct wsg_hub *h, struct wsg_command *c, const struct wsg_audience *to, size_t to_count,
                         const struct wsg_meta *meta);

#endif
