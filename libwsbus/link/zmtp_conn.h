#ifndef WSB_LINK_ZMTP_CONN_H
#define WSB_LINK_ZMTP_CONN_H

/*
 * The connection of one ZeroMQ peer: its socket, what it says and what it is to be told.
 *
 *     UNPROVEN ──handshake──▶ PROVEN ──it hangs up, ends, or breaks a rule──▶ LEAVING ──read to the end──▶ gone
 *         └──────────────────────────────any end─────────────────────────────────────────────────────▶ gone
 *
 * While it is LEAVING its socket is closed; what it had said whole is still handed out.
 *
 * Threads   one at a time
 */

#include "link/life.h"
#include "link/link.h"
#include "link/subscribers.h"
#include "link/zmtp_pool.h"
#include "zmtp/outbox.h"
#include "zmtp/peer.h"

enum wsb_zmtp_conn_state { WSB_CONN_UNPROVEN, WSB_CONN_PROVEN, WSB_CONN_LEAVING };

enum {
    WSB_CONN_NAME_MAX = 255, /* the door, and a routing id of up to 254 bytes */
    WSB_CONN_ADDRESS = 64
};

struct wsb_zmtp_server;
struct wsb_zmtp_conn;
struct wsb_zmtp_entrance;

/* What an event of an epoll is about. */
struct wsb_zmtp_source {
    enum { WSB_ZMTP_SOURCE_ENTRANCE, WSB_ZMTP_SOURCE_SOCKET, WSB_ZMTP_SOURCE_PROCESS, WSB_ZMTP_SOURCE_TIMER } what;
    struct wsb_zmtp_conn *conn;
    struct wsb_zmtp_entrance *entrance;
};

/* All connections that came with one key. */
struct wsb_zmtp_holder {
    uint32_t conns[WSB_CHANNELS];
    size_t bytes; /* of unfinished messages; counted when there are too many of them */
};

struct wsb_zmtp_conn {
    struct wsb_zmtp_peer peer;
    enum wsb_zmtp_conn_state state;
    enum wsb_channel channel;
    enum wsb_door door;
    int fd;      /* owned; -1 while LEAVING */
    int process; /* owned: a pidfd; -1: there is none */
    struct wsb_zmtp_source of_socket, of_process;
    /* The server's lists. */
    struct wsb_zmtp_conn *next, *prev;                   /* of all of its channel */
    struct wsb_zmtp_conn *next_ready, *prev_ready;       /* of those with something to read */
    struct wsb_zmtp_conn *next_unproven, *prev_unproven; /* the oldest first */
    struct wsb_zmtp_conn *next_kin, *prev_kin;           /* of those among them that come from the same place */
    struct wsb_zmtp_conn *next_dirty, *prev_dirty;       /* of those with something to write */
    struct wsb_zmtp_conn *next_named;                    /* of one place in the table of names */
    bool is_ready, is_dirty, is_named;
    uint8_t origin; /* the place that it comes from, or one that falls together with it */
    void *known;    /* the receiver's */
    /* Input: bytes of `in` from begin to end are not used yet. */
    struct wsb_zmtp_chunk *in; /* NULL: there are none */
    size_t begin, end;
    uint64_t unfinished_since_ms; /* bytes of something that is not whole are held since then; 0: none */
    bool is_readable;             /* as far as we know */
    bool has_hung_up;             /* the kernel has said so: read until it shows */
    bool has_ended;               /* its process has: what is there now is all */
    bool is_at_end;
    bool was_heard; /* whoever was told of a message is told of the end */
    /* Output. */
    struct wsb_zmtp_outbox out;
    bool is_blocked; /* the kernel takes no more: its epoll tells when it does */
    bool is_deaf;    /* nothing can be written any more */
    /* Who it is. */
    uint8_t name[WSB_CONN_NAME_MAX];
    uint8_t name_len;
    char user[WSB_KEY_TEXT];        /* "": without a key */
    struct wsb_zmtp_holder *holder; /* the server's; NULL: without a key, or not proven */
    char address[WSB_CONN_ADDRESS];
    uint64_t since_ms, heard_ms;
    uint32_t ttl_ms;       /* it wants to be given up after so long a silence; 0: never */
    uint32_t heartbeat_ms; /* it says something at least so often; 0: it does not */
    bool takes_records;    /* it wants each message as one part */
    bool is_watched;
    struct wsb_life life;
    struct wsb_subscriber subscriber; /* EVENTS */
    size_t turn_bytes, turn_work;
};

/* Takes the socket, also on failure. NULL without memory. */
struct wsb_zmtp_conn *wsb_zmtp_conn_new(int fd, const struct wsb_zmtp_rules *rules, uint64_t number, uint64_t now_ms);
void wsb_zmtp_conn_free(struct wsb_zmtp_conn *c, struct wsb_zmtp_pool *pool);
/* Its socket, and what it would have been told, are gone. Idempotent. */
void wsb_zmtp_conn_hang_up(struct wsb_zmtp_conn *c);

/* Work is counted in frames without a box: a twentieth of a microsecond or so. */
enum {
    WSB_CONN_BOX_WORK = 8,   /* of a frame in a box, beside its bytes */
    WSB_CONN_READ_WORK = 16, /* of a call of the kernel */
    WSB_CONN_END_WORK = 128  /* of closing a socket, and forgetting who was there */
};

static inline void wsb_zmtp_take_off(size_t *left, size_t n)
{
    *left -= n < *left ? n : *left;
}

/* What may be done in a round, and is taken off as it is done. */
struct wsb_zmtp_budget {
    size_t bytes; /* read from sockets; those in boxes count WSB_CONN_BOX_BYTES times */
    size_t work;
    unsigned handshakes; /* steps that take elliptic curves */
    uint64_t now_ms;
};

enum { WSB_CONN_BOX_BYTES = 4 };

/*
 * The next event of what it says.
 *
 * Returns   WSB_OK; WSB_AGAIN nothing is there; WSB_MORE the budget, or its turn, is over; WSB_CLOSED it is at its end; WSB_ERR_PROTO it
 *           broke a rule, c->peer.why; WSB_ERR_LIMIT, WSB_ERR_NOMEM no memory for what it says
 */
WSB_MUST_CHECK wsb_err wsb_zmtp_conn_next(struct wsb_zmtp_conn *c, struct wsb_zmtp_pool *pool,
                                          struct wsb_zmtp_budget *budget, struct wsb_zmtp_event *ret);

/*
 * Write what it is to be told, as far as the kernel takes it.
 *
 * @budget   bytes that may be written, and sealed
 *
 * Returns   WSB_OK; WSB_AGAIN the kernel takes no more; WSB_MORE the budget is used up; WSB_CLOSED nobody is there; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsb_zmtp_conn_write(struct wsb_zmtp_conn *c, size_t *budget);

/* Clocks are read at several places: what seems to be later is now. */
static inline uint64_t wsb_zmtp_since(uint64_t now_ms, uint64_t then_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* Something may wait in its socket; or it has none, and is at its end. */
bool wsb_zmtp_conn_has_unread(const struct wsb_zmtp_conn *c);
/* Nothing was heard of it for so long, and nothing waits to be read. */
bool wsb_zmtp_conn_is_silent(const struct wsb_zmtp_conn *c, uint64_t now_ms, uint64_t most_ms);

static inline bool wsb_zmtp_conn_is_curve(const struct wsb_zmtp_conn *c)
{
    return c->door == WSB_DOOR_KEYS;
}

#endif
