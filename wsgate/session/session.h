#ifndef WSG_SESSION_SESSION_H
#define WSG_SESSION_SESSION_H

/*
 * One client, from accept to close: the place where bytes, HTTP, WebSocket and the bus are joined. It reads from its
 * socket, writes what happened to its worker's outbox, and is told what to do by commands.
 *
 *            accept ──▶ PROXY, where a proxy says first who the client is
 *              │           │
 *              │◀──────────┘
 *              ├──────▶ SECURING, where TLS is spoken
 *              │           │
 *              ▼ ◀─────────┘  request of a route                 response complete
 *   ┌────────▶ HTTP ───────────────────────▶ EXCHANGE ──────────────────────┐
 *   │           │ │                                                         │
 *   │  keep-alive │ handshake, route asks its handler                       │
 *   └───────────│─│─────────────────────────────────────────────────────────┘
 *               │ └──────▶ PENDING ──ACCEPT──┐
 *               │ handshake                  ▼
 *               └─────────────────────────▶ OPEN ──we close──▶ CLOSING
 *                                            │                   │
 *        anything final was said             ▼                   ▼
 *   HTTP, EXCHANGE, PENDING ─────────────▶ LINGER ──output gone, peer closed, or time up──▶ DEAD
 *
 * A connection that the gate has dialed itself comes to OPEN at once, see dialed.h.
 *
 * Threads   its worker's
 */

#include "base/log_limit.h"
#include "base/siphash.h"
#include "bus/route.h"
#include "bus/slots.h"
#include "http/date.h"
#include "http/request.h"
#include "loop/loop.h"
#include "net/outq.h"
#include "net/socket.h"
#include "session/command.h"
#include "session/gatekeeping.h"
#include "session/flush.h"
#include "session/lost.h"
#include "session/outbox.h"
#include "session/packing.h"
#include "session/reading.h"
#include "session/unfinished.h"
#include "session/secure.h"
#include "ws/deflate.h"
#include "ws/message.h"

enum wsg_session_state {
    WSG_SESSION_PROXY,
    WSG_SESSION_SECURING,
    WSG_SESSION_HTTP,
    WSG_SESSION_EXCHANGE,
    WSG_SESSION_PENDING,
    WSG_SESSION_OPEN,
    WSG_SESSION_CLOSING,
    WSG_SESSION_LINGER,
    WSG_SESSION_DEAD
};

enum wsg_pause {
    WSG_PAUSE_HANDLER = 1, /* the handler has too much under way */
    WSG_PAUSE_OUTBOX = 2,  /* the worker's way to the bus is full */
    WSG_PAUSE_OUTPUT = 4,  /* the client does not take what it asked for */
    WSG_PAUSE_RATE = 16,   /* the client sends more than its route allows in a second */
    WSG_PAUSE_QUIET = 32,  /* the gate ends: what was read is finished, and nothing new begun */
    WSG_PAUSE_TURN = 64,   /* its turn is over, and there is more to use of what it has sent */
    WSG_PAUSE_EXCHANGE = 8 /* one request at a time: the next one waits for the response */
};

struct wsg_static_root {
    const struct wsg_cors *cors; /* borrowed from the configuration */
    struct wsb_span prefix;      /* borrowed */
    int dirfd;                   /* owned by the gate */
    bool has_gzip;               /* files may lie beside themselves as gzip, name.gz */
};

struct wsg_session;
struct wsg_access_lane;

/* Messages of one route in this round, on this worker: added to the route's tally when it ends. */
struct wsg_traffic {
    uint64_t messages_in, bytes_in;
    uint64_t messages_out, bytes_out;
    struct wsg_traffic *next; /* of those with something in them */
    bool is_listed;
};

/* What many get, packed once: the latest one of this round. */
struct wsg_fanned {
    struct wsg_shared *plain;  /* a reference; the frame that was packed; NULL: there is none */
    struct wsg_shared *packed; /* a reference; NULL: not worth it */
    size_t packed_len;         /* of its payload */
    unsigned kind;             /* wsb_deflate_alone_kind() of those who can read it */
};

enum { WSG_SCRATCH_BYTES = 64 << 10 };

struct wsg_gzip;

/* Lines in the log that clients can cause, as often as they like. */
struct wsg_session_lines {
    struct wsb_log_limit refused, failed, tls, cut, invalid, requests, opened,
        closed; /* failed: by us, or by handlers */
};

/* What all sessions of a worker share. The gate fills it in; only the lists and buffers change afterwards. */
struct wsg_env {
    struct wsg_loop *loop;                 /* borrowed */
    const struct wsg_routes *routes;       /* borrowed */
    const struct wsg_static_root *statics; /* borrowed; longest prefix first */
    size_t static_count;
    struct wsg_gatekeeping *gatekeeping; /* borrowed; shared by all workers */
    uint32_t keepalive_timeout_ms, close_timeout_ms;
    struct wsg_access_lane *access; /* borrowed; NULL: there is no access log */
    bool has_request_ids;
    bool begins_traces;
    struct wsb_seed naming_seed; /* random, and the worker's own */
    uint64_t named;              /* so many numbers were drawn from it */
    struct wsg_slots slots;
    struct wsg_chunk_pool pool;
    struct wsg_session_lines lines;
    uint32_t silent_at; /* the place where those who say nothing are looked for next */
    struct wsg_outbox outbox;
    struct wsg_lost lost;        /* connections of which an event was not kept */
    struct wsg_traffic *traffic; /* owned; of each route */
    struct wsg_traffic *listed;
    uint8_t *scratch;    /* owned; WSG_SCRATCH_BYTES, what one read brings */
    struct wsb_buf text; /* scratch for heads and metadata, at most until the next use */
    struct wsb_buf text2;
    struct wsg_gzip *gzip; /* owned; NULL: it was not needed yet */
    struct wsb_buf packed; /* scratch: what it made of a body */
    struct wsg_packing_line packings;
    struct wsg_flushing flushing;
    struct wsg_turns turns;
    struct wsg_unfinished_account *unfinished_account; /* borrowed; NULL: no limit */
    struct wsg_unfinished
        *unfinished[WSG_UNFINISHED_SIZES];       /* borrowed lists, of those with a message in flight, by size */
    size_t unfinished_held;                      /* bytes of all of them */
    struct wsb_deflate_account *deflate_account; /* borrowed; NULL: nobody is compressed */
    struct wsb_deflate_shared *deflate;          /* owned; NULL likewise */
    struct wsg_fanned fanned;
    bool is_deflate_used;        /* in this round */
    struct wsg_masks *masks;     /* owned; NULL while we are nobody's client */
    struct wsg_dialed *dialed;   /* of the sessions in which we are the client */
    struct wsg_session *dead;    /* to be freed when the round is over */
    struct wsg_session *stalled; /* paused because of the outbox: first stalled, first gone on */
    struct wsg_session **stalled_end;
    bool outbox_full; /* the bus is behind; sessions stop reading until the gate says otherwise */
    bool draining;
    struct wsg_secure_env secure;
    uint32_t taps; /* sessions watched, to skip the question when there are none */
    int64_t date_s;
    char date[WSG_HTTP_DATE_SIZE];
};

struct wsg_access_note;
struct wsg_exchange;
struct wsg_receipt;
struct wsg_asked_ping;
struct wsg_terms;
struct wsg_secure;
struct wsg_masks;
struct wsg_dialed;

struct wsg_session {
    struct wsg_watch watch;
    struct wsg_timer timer;
    struct wsg_env *env; /* borrowed */
    wsb_conn id;
    uint8_t state;    /* enum wsg_session_state */
    uint8_t paused;   /* enum wsg_pause, or-ed */
    uint8_t close_by; /* CLOSING: whose wish it was */
    bool is_dirty : 1;
    bool is_stalled : 1;
    bool is_tapped : 1;
    bool wants_write : 1;
    bool shut : 1;        /* LINGER: our direction is closed */
    bool read_ended : 1;  /* LINGER: the client has closed its direction */
    bool half_closed : 1; /* EXCHANGE: the same; what it sent before that may still be to be read */
    bool request_begun : 1;
    bool close_sent : 1;
    bool was_full : 1; /* the output queue, and WRITABLE was not told yet */
    bool in_is_ws : 1;
    bool is_trusted : 1; /* the peer is a proxy that is believed */
    bool is_compressed : 1;
    bool is_counted : 1;    /* the peer's address counts this connection */
    bool is_dialed : 1;     /* we are the client */
    bool ends_by_close : 1; /* the latest response: nothing else says where it ends */
    uint8_t entrance;       /* index of the listener it came through */
    uint16_t close_code;
    union {
        char *close_reason;          /* owned; NULL: none */
        struct wsb_deflate *deflate; /* owned; PENDING, OPEN: while is_compressed */
    };
    struct wsg_route *route; /* borrowed; NULL before a request */
    union {
        struct wsg_http_in *http; /* owned; HTTP, EXCHANGE, PENDING */
        struct wsb_ws_in ws;      /* OPEN, CLOSING */
    } in;
    struct wsg_secure *secure; /* owned; TLS; NULL: none */
    struct wsg_unread *unread; /* owned; NULL: nothing waits to be used */
    struct wsg_outq out;
    struct wsg_exchange *exchange; /* owned; EXCHANGE, PENDING */
    struct wsg_receipt *receipts;  /* owned; outcomes waiting for the kernel to take the bytes */
    struct wsg_receipt **receipts_end;
    char *peer;        /* owned, with the memory of the next two: one block for all */
    char *target;      /* within it; of the handshake or the latest request; NULL: none */
    char *subprotocol; /* within it; NULL: none */
    uint64_t opened_ms;
    uint64_t active_ms; /* last message from the client, or part of one; byte, before there are messages */
    uint64_t sent_ms;   /* last message that was queued for it */
    union {
        uint64_t written_then; /* HTTP, LINGER: of the output when the timer was last armed for it; has it moved? */
        uint64_t full_at;      /* OPEN: position of the output when it was found full */
    };
    uint64_t alive_ping_us;            /* when our own ping left that was not answered yet; 0: none under way */
    struct wsg_asked_ping *asked_ping; /* owned; NULL: no ping that somebody asked for is under way */
    struct wsg_terms *terms;           /* owned; OPEN, with rates, a token's time or an access log; NULL: none */
    struct wsg_unfinished *unfinished; /* owned; while a message is in flight; else NULL */
    uint32_t heard_ms;                 /* OPEN: the low bits of when something of it last came, or it took something */
    uint32_t receipt_count;
    union {
        uint32_t taken; /* OPEN: low bits of how much of the output the client had taken when that was last looked at */
        uint32_t discarded; /* afterwards: bytes that came after we had said goodbye */
    };
    uint32_t rtt_us;                                         /* of the latest ping; 0: never measured */
    uint64_t messages_in, bytes_in, messages_out, bytes_out; /* out: those that were queued */
    uint64_t messages_written, bytes_written;                /* the route knows of them */
    uint64_t messages_dropped;                               /* of those to the client */
    uint64_t paused_ms;                                      /* when the handler's pause began */
    struct wsg_session *next_dirty;
    union {
        struct {
            struct wsg_session *next, **link; /* link: what points to it */
        } stalled;                            /* while is_stalled */
        struct wsg_session *next_dead;        /* DEAD */
    };
};

/* Takes fd, also on failure, and says to the counters why. `tls` is borrowed; NULL: none is spoken. */
WSB_MUST_CHECK wsb_err wsg_session_open(struct wsg_env *env, int fd, uint8_t entrance, const struct wsg_address *peer,
                                        struct wsb_tls_context *tls);

/*
 * Do what a command says.
 *
 * Returns   nothing: when the command asks for an outcome it is in the outbox at once, or when the kernel has the bytes
 */
void wsg_session_command(struct wsg_session *s, const struct wsg_command *c);
/* It says no more to its handler, for the gate drains: behind what was read already, and at once where that is nothing. */
void wsg_session_quiet(struct wsg_session *s);

void wsg_sessions_count(struct wsg_env *env); /* add the round's messages to the routes' tallies; flush does, first */
/* Free those that died, when they are in no line any more. False: that would take long, and there may be more in the next round. */
bool wsg_sessions_reap(struct wsg_env *env);
/*
 * There are as many connections as may be, and one more wants to come: end one that has not said a word since it came, the oldest of
 * some that are looked at. False: there is none.
 */
bool wsg_sessions_end_silent(struct wsg_env *env);

/* No more waiting: the connection is gone now. */
void wsg_session_kill(struct wsg_session *s, const char *why);

/* "WebSocket(server, CONNECTED)", "HTTP(server, IDLE)", …: as `wsctl` and the logs print it. */
const char *wsg_session_describe(const struct wsg_session *s);

wsb_err wsg_env_init(struct wsg_env *env); /* after the borrowed fields are set */
void wsg_env_deinit(struct wsg_env *env);

#endif
