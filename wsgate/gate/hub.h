#ifndef WSG_GATE_HUB_H
#define WSG_GATE_HUB_H

/*
 * The hub stands between the workers' sessions and the handlers: it pins connections to handlers, numbers and forwards
 * events, carries out commands, keeps groups, and notices when a handler is gone. It lives on the first worker's loop,
 * which owns the ZeroMQ sockets.
 *
 * Threads   the first worker's
 */

#include "bus/group.h"
#include "bus/handler.h"
#include "bus/meta.h"
#include "bus/pin.h"
#include "link/link.h"
#include "loop/loop.h"
#include "session/command.h"
#include "session/outbox.h"

enum {
    WSG_HEARTBEAT_MS = 1000,
    WSG_HANDLER_HIGH = 4 << 20,    /* bytes under way to a handler: its clients are not read */
    WSG_HANDLER_LOW = 2 << 20,     /* and are read again */
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

struct wsg_hub_stats {
    uint64_t events, commands, published, publish_drops, malformed, command_errors, outcomes, handlers_gone;
    char last_command_error[200];
};

struct wsg_subscription;

/* A message that is being worked through: a BATCH may hold more commands than one round should carry out. */
struct wsg_reading {
    struct wsb_inbound inbound;
    struct wsb_span rest; /* records to come */
    bool is_open;
};

struct wsg_hub {
    struct wsg_loop *loop;     /* borrowed */
    struct wsb_server *server; /* owned */
    struct wsg_routes *routes; /* borrowed */
    struct wsg_handlers handlers;
    struct wsg_pins pins;
    struct wsg_groups groups;
    struct wsg_groups members; /* of each route, under its name */
    struct wsg_hub_host host;
    struct wsg_watch watches[WSB_CHANNELS];
    struct wsg_timer heartbeat;
    struct wsg_timer pause_check;
    struct wsg_timer retry; /* the workers are behind with commands: receive again soon */
    struct wsg_reading readings[WSB_CHANNELS];
    struct wsg_task again; /* input is left: do not sleep */
    bool again_posted;
    struct wsg_handler **round; /* owned array of borrowed: those with something to send */
    size_t round_count, round_cap;
    uint32_t dead_count;                    /* handlers that are marked dead and not yet removed */
    struct wsg_subscription *subscriptions; /* owned */
    struct wsb_account *strangers;          /* owned: what is under way to peers that are not registered */
    struct wsb_account *copies;             /* owned: what is under way to subscribers */
    wsb_conn *targets;                      /* owned scratch */
    size_t targets_cap;
    uint64_t epoch;
    size_t max_message;
    uint64_t malformed_told_ms;
    struct wsg_hub_stats stats;
};

/* Takes server, also on failure. */
WSB_MUST_CHECK wsb_err wsg_hub_open(struct wsg_hub *h, struct wsg_loop *loop, struct wsg_routes *routes,
                                    struct wsb_server *server, const struct wsg_hub_host *host, uint64_t epoch,
                                    size_t max_message);
void wsg_hub_close(struct wsg_hub *h);

/* The steps of a round, in this order. */
void wsg_hub_receive(struct wsg_hub *h);                      /* commands of handlers */
void wsg_hub_take(struct wsg_hub *h, struct wsb_span outbox); /* what sessions said */
void wsg_hub_flush(struct wsg_hub *h);                        /* batches to handlers */
void wsg_hub_before_sleep(struct wsg_hub *h);                 /* nothing may be left unseen */

/* For the control socket. */
/* Told REVOKED for each of its connections, which go to others. */
void wsg_hub_drop_handler(struct wsg_hub *h, struct wsg_handler *handler, const char *why);
void wsg_hub_set_level(struct wsg_hub *h, struct wsg_handler *handler, enum wsb_level level);
/* Send or publish on behalf of the control socket: SEND to ids, or PUBLISH to a route, a group, or (both NULL) everybody. */
size_t wsg_hub_broadcast(struct wsg_hub *h, struct wsg_command *c, const char *route, const char *group);

#endif
