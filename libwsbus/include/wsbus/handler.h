#ifndef WSBUS_HANDLER_H
#define WSBUS_HANDLER_H

/*
 * A handler: a program that serves routes of a gate. It opens a handle, reads events, and answers.
 *
 *     wsb_handler h;
 *     struct wsb_event ev;
 *     const char *routes[] = {"echo"};
 *     if (!wsb_handler_open(NULL, &(struct wsb_handler_options){.routes = routes, .route_count = 1}, &h))
 *         return 1;
 *     while (wsb_readguarded(h, &ev, -1)) {
 *         if (ev.type == WSB_EV_DATA)
 *             wsb_writeguarded(h, ev.conn, ev.opcode, ev.data, ev.len);
 *     }
 *     wsb_handler_close(h);
 *
 * Every call is guarded. Whatever the gate, the connection or the arguments have become, it returns true, or false
 * with a reason that wsb_reason() tells; it does not crash, raise SIGPIPE, or wait longer than it was allowed to. A handle
 * is a value: one that is closed, made up, or of a parent process is a misuse, never undefined behaviour.
 *
 * Threads. Every function may be called from every thread, also on one handle, except that one thread at a time reads: a
 * second reader is refused as a misuse while the first one is inside wsb_readguarded(). A reader that waits holds
 * nobody up. What the reading thread writes between two reads leaves together, when it asks for more than has arrived, at the
 * latest: over shared memory a gate that is awake may take it earlier. What another thread writes leaves at once, as does everything
 * at wsb_flush().
 *
 * The gate. The handle finds its gate by itself, now or later, and again when the gate restarts; the program sees a
 * WSB_EV_WELCOME each time, after which every connection it knew is gone. While no gate is there, writing is refused with
 * WSB_REASON_GATE_GONE; to connections of before, from when the library knows that they are over until the program has
 * read that WELCOME, with WSB_REASON_STALE. The bus itself is described in docs/protocol.md.
 *
 * Trouble. A handle that finds no gate, may not enter, or names a route that the gate does not give it, says so on stderr: at once,
 * after 10 s, 20 s, 40 s, and so on up to 5 minutes, and at once when the trouble becomes another one. The line names the gate's place,
 * the routes, the reason, and what to do. It comes while the program is inside a call. `on_trouble` takes the lines elsewhere.
 *
 * Acknowledgement. By asking for the next event the program says that it is done with the one before, and the library tells
 * the gate, behind everything that was written meanwhile. When the program dies, another handler gets all that it was not done
 * with, in order and marked as redelivered: at least once, so an answer that changes something should stand being
 * given twice. A program that hands its events to threads must set `manual_ack` and call wsb_ack(): without it an event is
 * acknowledged as soon as the reader asks for the next, before the thread has answered it, and is lost with it. What was
 * written before an acknowledgement is carried out before anything that the next handler writes.
 *
 * Ownership. A connection can be moved to another handler at any time, and all of them are when the gate took this one for
 * dead: it was stopped, or hung. As soon as the library has heard of it, and before the program has read the WSB_EV_REVOKED or
 * WSB_EV_WELCOME that tells it, what it writes to such a connection is refused with WSB_REASON_STALE: a program that
 * wakes up late does not talk into the conversations of others. The gate refuses what is under way at that moment. Events of
 * such a connection that the program has not read by then are another handler's, and it does not get them.
 *
 * Versions. Structs that the program allocates begin with their size. Where they tell the library something, 0 stands for the
 * members of version 0.1: set it to use a member that came later. A library that is older than the program refuses what it
 * does not know as a misuse, and one that is newer keeps to what the program has room for. Structs without a size never change.
 * What returns events and the like is an inline function here that says how large they are; bindings for other languages set
 * `size` and call the function whose name ends with _sized.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/msg.h"
#include "wsbus/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A handle; compare it with nothing and look into it never. A zeroed one is no handle. */
typedef struct wsb_handler {
    uint64_t v;
} wsb_handler;

enum {
    WSB_HANDLERS_MAX = 64,      /* handles open at a time in one process */
    WSB_CONTROL_MAX = 125,      /* bytes in a ping: RFC 6455 §5.5 */
    WSB_CLOSE_REASON_MAX = 123, /* bytes: RFC 6455 §5.5 less the code */
    WSB_NAME_MAX = 64           /* bytes in the name of a handler */
};

/* Why a call returned false; or, in an outcome, what came of a command. */
enum wsb_reason {
    WSB_REASON_OK = 0,
    WSB_REASON_TIMEOUT,   /* nothing came in time */
    WSB_REASON_CLOSED,    /* the handle was closed while the call waited */
    WSB_REASON_GATE_GONE, /* no gate is there now */
    WSB_REASON_MISUSE,    /* a bad argument, or not an open handle of this process */
    WSB_REASON_SIGNAL,    /* a signal arrived, or wsb_wake() was called */
    WSB_REASON_GONE,      /* the connection is closed or closing */
    WSB_REASON_STALE,     /* the connection is another handler's now, of another gate, or never was */
    WSB_REASON_FULL,      /* a bounded queue is full */
    WSB_REASON_TOO_BIG,   /* larger than the gate, or the protocol, allows */
    WSB_REASON_UTF8,      /* text that is not UTF-8 */
    WSB_REASON_REFUSED,   /* not allowed in this state */
    WSB_REASON_INVALID,   /* the gate could not make sense of it */
    WSB_REASON_DROPPED,   /* the gate took it, and the client was too slow or too far */
    WSB_REASON_ADDRESS,   /* not an address, or a directory or a key that must not be used */
    WSB_REASON_NOMEM,     /* out of memory */
    WSB_REASON_IO,        /* the operating system refused */
    WSB_REASON_TLS,       /* of a WebSocket client: no TLS that both want, or a certificate that is not good */
    WSB_REASON_PROTOCOL,  /* the same: the server broke a rule */
    WSB_REASON_DRAINED /* the gate has drained the handle, and the program has read the DRAIN that says so: close it */
};

/* Kinds of events, numbered as on the bus. */
enum wsb_event_type {
    WSB_EV_NONE = 0,
    WSB_EV_WELCOME = 1, /* registered: all connections of before are gone */
    WSB_EV_OPEN = 2,    /* a client is connected; with `pending` it waits for wsb_accept() or wsb_reject() */
    WSB_EV_DATA = 3,    /* a whole message */
    WSB_EV_CLOSED = 4,  /* the connection is over: wsb_event_close() */
    WSB_EV_PONG = 5,    /* the answer to wsb_ping(); "rtt_us" when a client gave it */
    WSB_EV_REQUEST = 6, /* an HTTP request, with its body, or the beginning of it when `more` */
    WSB_EV_BODY = 7,    /* more of the request's body */
    WSB_EV_ABORTED = 8, /* the request is over without a response */
    WSB_EV_OUTCOME = 9, /* what came of a command that asked: `seq` is its number, `reason` the outcome */
    WSB_EV_WRITABLE =
        10, /* the queue of this client was full and has room again; of a response, "at" is where it goes on */
    WSB_EV_REVOKED =
        11,            /* the connection belongs to another handler now; forget it, also what threads still do for it */
    WSB_EV_DRAIN = 14, /* with `more`: no new connections come, and those that are here move to others. Without: nothing
                             is left: the next read returns false with WSB_REASON_DRAINED; call wsb_handler_close() */
    WSB_EV_ERROR = 15, /* the gate refused a command: `reason`, and text for a human in `data` */
    WSB_EV_MEMBERS = 16, /* the answer to wsb_list(): wsb_event_members(), "count" of all; `more` while others follow */
    WSB_EV_JOINED = 17,  /* the connection joined a group: "group", "count" of its members now, "route", "user" */
    WSB_EV_LEFT = 18     /* it left the group, or is closed: as JOINED */
};

/* One event. Everything it points to is valid until the next wsb_readguarded() on the handle, or its close. */
struct wsb_event {
    size_t size;         /* sizeof this struct: wsb_readguarded() sets it before the library fills the rest */
    wsb_handler handler; /* these two are the library's own */
    uint64_t token;
    enum wsb_event_type type;
    enum wsb_opcode opcode; /* of DATA; otherwise 0 */
    enum wsb_reason reason; /* of OUTCOME and ERROR */
    wsb_conn conn;          /* 0 where there is none */
    uint64_t seq;           /* counts a connection's events from 1; in OUTCOME, PONG, MEMBERS and ERROR the command's */
    uint64_t time_ns;       /* since the Unix epoch, when the gate had all of it */
    bool more;              /* the body goes on in BODY */
    bool redelivered;    /* OPEN: another handler had the connection before. DATA and the other events of a connection:
                               another handler may have seen it, and have answered it, before it died */
    bool pending;        /* OPEN: the client has no answer yet */
    unsigned deliveries; /* how often the event has been delivered, this time included: 1, unless `redelivered` */
    const void *data;    /* not terminated; never NULL */
    size_t len;
    const char *meta; /* JSON, not terminated; NULL when there is none */
    size_t meta_len;
};

/* Who closed a connection, and how. */
enum wsb_closed_by { WSB_BY_UNKNOWN = 0, WSB_BY_CLIENT, WSB_BY_HANDLER, WSB_BY_GATE, WSB_BY_NETWORK, WSB_BY_ADMIN };

struct wsb_close_info {
    enum wsb_closed_by by;
    unsigned code;      /* RFC 6455 §7.4; 1006 where there was none */
    bool clean;         /* the closing handshake was completed */
    const char *reason; /* terminated, never NULL; valid as long as the event */
};

/* How messages get to a gate on the same host, and back. Both keep the same promises; shared memory costs less. */
enum wsb_link_kind {
    WSB_LINK_KIND_AUTO, /* $WSBUS_LINK (auto, shm or zmq), else shared memory; ZeroMQ where the gate does not offer that */
    WSB_LINK_KIND_ZMQ,
    WSB_LINK_KIND_SHM /* and nothing else: a gate that does not offer it is as one that is not there */
};

/* What a client speaks. Or them. */
enum wsb_kind { WSB_KIND_WEBSOCKET = 1, WSB_KIND_HTTP = 2 };

/* A line about a handle that is not registered; valid during the call. */
typedef void (*wsb_trouble_told)(void *of, const char *line);

struct wsb_handler_options {
    size_t size;               /* sizeof this struct; 0: that of version 0.1 */
    const char *const *routes; /* names; copied */
    size_t route_count;        /* at least 1 */
    const char *name;          /* shown by wsctl; NULL: the program's */
    unsigned wait_ms;          /* longest wait in open for the gate's WELCOME; 0: do not wait */
    unsigned linger_ms;        /* longest time close gives to what is still on its way; 0: 500 */
    size_t out_limit;          /* bytes that may wait for the gate; 0: 64 MiB */
    size_t in_limit;           /* bytes that may wait for the reader while another call waits; 0: 64 MiB */
    enum wsb_level level;      /* lowest level that wsb_log() lets through, until the gate says otherwise */
    unsigned credit_messages;  /* DATA, REQUEST and BODY that the gate may send ahead of the reader; 0: 16,384 */
    size_t credit_bytes;       /* and their payloads, of which the last may be larger; 0: half of in_limit */
    bool manual_ack;           /* events are done with when wsb_ack() says so, not when the next one is asked for */
    bool presence;             /* send JOINED and LEFT, of all connections of the routes */
    unsigned weight;           /* 1 to 1000: how many connections, compared with other handlers; 0: 1 */
    const char *server_key;    /* the gate's public key, 40 characters of Z85; NULL: $WSBUS_SERVER_KEY, else none */
    const char *key_file;      /* with our secret key, by wsgate --make-key; NULL: $WSBUS_KEY_FILE, else none */
    enum wsb_link_kind link;   /* for a gate on this host */
    size_t ring_size; /* over shared memory, bytes each way; 0: what the gate usually gives; else 64 KiB to 64 MiB */
    unsigned
        kinds; /* enum wsb_kind, or-ed: what the program serves on each of its routes; 0: both. Clients of the other
                         kind go to other handlers, or are answered 426 or 404 at once where there are none */
    /* Told what keeps the handle from being registered, in one line of at most 1 KiB without its end, in place of stderr; and, once
     * that is over, that it is registered. NULL: the line goes to stderr. A function that does nothing turns it off. It runs inside
     * a call on the handle, in the thread of that call: it may call everything but wsb_handler_close() of this handle. */
    wsb_trouble_told on_trouble;
    void *trouble_of; /* its first argument */
};

/**
 * Open a handle. The gate need not be there: the handle goes on looking for it.
 *
 * @address  NULL: the runtime directory by the rules of docs/protocol.md §1; "ipc:///DIR" or "/DIR": that directory;
 *           "tcp://HOST:PORT": a gate on the network
 * @options  NULL: no routes and the defaults; copied. server_key and key_file are for tcp:// only, and one wants the other:
 *           with both nobody but that gate is talked to, encrypted, and it lets us in when our public key is on its
 *           list. With neither nothing is encrypted. Nobody else may be able to read the key file; it is read now, once
 * @ret      the handle; zeroed on failure
 *
 * Returns   true; false: ADDRESS, MISUSE (options, or more than WSB_HANDLERS_MAX), NOMEM, IO (also a key file that cannot be
 *           read), and with wait_ms GATE_GONE or SIGNAL, by wsb_reason() of a zeroed handle; wsb_why() says it in words.
 *           A gate that does not want our key, or is another than server_key says, is as one that is not there
 * Threads   any
 * Source    docs/protocol.md §1, §4 HELLO
 */
WSB_API bool wsb_handler_open(const char *address, const struct wsb_handler_options *options, wsb_handler *ret);

/**
 * Say BYE and close. A read under way in another thread returns false with WSB_REASON_CLOSED; close waits for it. The event
 * that was read last is not acknowledged by this, and another handler gets it again: a program that is done with it reads
 * once more before, after wsb_wake(), which returns at once with WSB_REASON_SIGNAL; or it has called wsb_ack().
 *
 * Returns   true; false: MISUSE
 * Threads   any
 * Lifetime  events of this handle are void
 */
WSB_API bool wsb_handler_close(wsb_handler h);

/**
 * Wait for the next event; the one before is done with, and acknowledged unless `manual_ack` is set.
 *
 * @ret_ev      the event; zeroed when false is returned
 * @timeout_ms  longest wait; 0: do not wait; negative: for ever
 *
 * Returns   true; false: TIMEOUT; GATE_GONE the same while no gate is there; SIGNAL; CLOSED; DRAINED; NOMEM; MISUSE, also while
 *           another thread reads
 * Threads   any, one at a time
 * Lifetime  the event before this one is void, whatever is returned
 */
static inline bool wsb_readguarded(wsb_handler h, struct wsb_event *ret_ev, int timeout_ms);
/* The same, with ret_ev->size as it is: MISUSE when it cannot be. */
WSB_API bool wsb_readguarded_sized(wsb_handler h, struct wsb_event *ret_ev, int timeout_ms);

static inline bool wsb_readguarded(wsb_handler h, struct wsb_event *ret_ev, int timeout_ms)
{
    if (ret_ev)
        ret_ev->size = sizeof *ret_ev;
    return wsb_readguarded_sized(h, ret_ev, timeout_ms);
}

/**
 * Send one message to a WebSocket client. Never waits.
 *
 * @op       WSB_TEXT or WSB_BINARY; text must be UTF-8
 * @data     copied; may be NULL when len is 0
 *
 * Returns   true: the bus took it; false: GONE, STALE, GATE_GONE, FULL, TOO_BIG, UTF8, NOMEM, MISUSE. So of all calls that
 *           name a connection
 * Threads   any
 */
WSB_API bool wsb_writeguarded(wsb_handler h, wsb_conn conn, enum wsb_opcode op, const void *data, size_t len);

/* What happens to a message for a client whose queue is full. */
enum wsb_slow {
    WSB_SLOW_ROUTE = 0, /* what its route says */
    WSB_SLOW_CLOSE,     /* the client is closed with 1013 */
    WSB_SLOW_DROP_NEW,  /* this message is dropped */
    WSB_SLOW_DROP_OLD,  /* the oldest that have not begun to leave are dropped */
    WSB_SLOW_CONFLATE   /* at any time it replaces the one of its key that has not begun to leave */
};

struct wsb_send_options {
    size_t size; /* sizeof this struct; 0: that of version 0.1 */
    enum wsb_slow slow;
    const char *key; /* for WSB_SLOW_CONFLATE: 1 to 255 bytes of UTF-8; NULL: none */
    /* May be NULL; otherwise each target answers with an OUTCOME event of this number, unless it was taken away before the
     * message left. Set on success. */
    uint64_t *ret_seq;
    bool
        plain; /* not compressed, whatever was agreed with the client: a secret beside what a stranger chose, or noise */
};

/**
 * wsb_writeguarded() with a say in what happens when the client does not read.
 *
 * @options  NULL: none
 *
 * Returns, Threads: as wsb_writeguarded()
 * Source    docs/protocol.md §5, slow clients
 */
WSB_API bool wsb_send(wsb_handler h, wsb_conn conn, enum wsb_opcode op, const void *data, size_t len,
                      const struct wsb_send_options *options);

/**
 * Say that the program is done with an event and all before it of its connection; only with `manual_ack`. Call it when what
 * the event asks for is done and the answers are written, in that order. After REVOKED and WELCOME nothing of before may be
 * acknowledged: when the connection is opened again, its numbers are those of its new events.
 *
 * @seq      of the event
 *
 * Returns   true: the gate will know; false: STALE (the connection is another handler's now), GATE_GONE, FULL, NOMEM, MISUSE
 * Threads   any
 * Source    docs/protocol.md §5, acknowledgement
 */
WSB_API bool wsb_ack(wsb_handler h, wsb_conn conn, uint64_t seq);

/**
 * Say that the program still works on what it was given: the gate's clock for `ack_timeout` begins anew. For work that takes longer
 * than that; once in a third of it is enough. Leaves at once.
 *
 * Returns   true: the gate will know; false: GATE_GONE, FULL, NOMEM, MISUSE
 * Threads   any; while the reading thread works, it or another one
 * Source    docs/protocol.md §5, acknowledgement
 */
WSB_API bool wsb_working(wsb_handler h);

/**
 * Send one message and wait for what comes of it. Events that come in the meantime wait for the reader.
 *
 * Returns   true: the kernel of the gate's host has all of it; false: as wsb_writeguarded(), and TIMEOUT, SIGNAL, CLOSED,
 *           DROPPED, STALE, REFUSED, INVALID. After TIMEOUT it may still arrive. FULL may also mean that in_limit is
 *           reached: read first.
 * Threads   any
 * Source    docs/protocol.md §3 OUTCOME
 */
WSB_API bool wsb_sendwait(wsb_handler h, wsb_conn conn, enum wsb_opcode op, const void *data, size_t len,
                          int timeout_ms);

/**
 * Send one message to many clients. Those that are gone do not keep it from the others.
 *
 * @conns    copied; none is fine
 * @options  NULL: none
 *
 * Returns   true: the bus took it; false: as wsb_writeguarded(), but never GONE, and STALE only when none of the program's
 *           connections is its own any more. One that is another handler's is refused by the gate, silently: with
 *           `ret_seq` its OUTCOME tells
 * Threads   any
 */
WSB_API bool wsb_send_many(wsb_handler h, const wsb_conn *conns, size_t count, enum wsb_opcode op, const void *data,
                           size_t len, const struct wsb_send_options *options);

/* Who is meant: the members of a group, the connections of a route, of a user, with a tag, or all. One of the five, the others
 * NULL or false. */
struct wsb_audience {
    size_t size; /* sizeof this struct; 0: that of version 0.1 */
    const char *group;
    const char *route;
    const char *user;
    const char *tag;
    bool all;
    const wsb_conn *except; /* who does not get it; may be NULL when except_count is 0 */
    size_t except_count;    /* at most 65,536: TOO_BIG */
};

/**
 * Send one message to all WebSocket connections of an audience, whichever handlers they have.
 *
 * @options  NULL: none
 *
 * Returns   true: the bus took it; false: GATE_GONE, FULL, TOO_BIG, UTF8, NOMEM, MISUSE
 * Threads   any
 */
WSB_API bool wsb_publish(wsb_handler h, const struct wsb_audience *to, enum wsb_opcode op, const void *data, size_t len,
                         const struct wsb_send_options *options);

/**
 * Ask who is in an audience. The answers are MEMBERS events of this number.
 *
 * @of       not all, and nobody excepted
 * @limit    how many connections are told at most, up to 262,144; 0: 1000
 * @ret_seq  may be NULL
 *
 * Returns   true: the bus took it; false: GATE_GONE, FULL, UTF8, NOMEM, MISUSE
 * Threads   any
 * Source    docs/protocol.md §4 LIST, §3 MEMBERS
 */
WSB_API bool wsb_list(wsb_handler h, const struct wsb_audience *of, unsigned limit, uint64_t *ret_seq);

/**
 * The connections in a MEMBERS event.
 *
 * @ret      where the first `max` of them go; may be NULL when max is 0
 *
 * Returns   how many there are in the event; 0 for an event that is not a valid MEMBERS
 * Threads   the reader's
 */
WSB_API size_t wsb_event_members(const struct wsb_event *ev, wsb_conn *ret, size_t max);

/**
 * Put a connection into a group, or take it out. A group is there while it has members.
 *
 * @group    UTF-8, not empty
 *
 * Returns   true: the bus took it; false: GONE, GATE_GONE, FULL, NOMEM, MISUSE
 * Threads   any
 */
WSB_API bool wsb_join(wsb_handler h, wsb_conn conn, const char *group);
WSB_API bool wsb_leave(wsb_handler h, wsb_conn conn, const char *group);

/* What a connection is marked with: tags, and the user it belongs to. They vanish with it. */
struct wsb_marks {
    size_t size;            /* sizeof this struct; 0: that of version 0.1 */
    const char *const *set; /* tags of 1 to 255 bytes of UTF-8, at most 64 a connection */
    size_t set_count;
    const char *const *unset;
    size_t unset_count;
    const char *user; /* at most 255 bytes; "": nobody's; NULL: as it is */
};

/**
 * Change the tags and the user of a connection.
 *
 * @marks    something of it must be there
 *
 * Returns   true: the bus took it; false: GONE, GATE_GONE, FULL, UTF8, NOMEM, MISUSE
 * Threads   any
 * Source    docs/protocol.md §4 TAG
 */
WSB_API bool wsb_tag(wsb_handler h, wsb_conn conn, const struct wsb_marks *marks);

/* One field of an HTTP head. */
struct wsb_field {
    const char *name;
    const char *value;
};

struct wsb_accept_options {
    size_t size;             /* sizeof this struct; 0: that of version 0.1 */
    const char *subprotocol; /* one of those offered; NULL: leave the gate's choice */
    const struct wsb_field *headers;
    size_t header_count;
    const char *const *groups; /* joined before the first message */
    size_t group_count;
    const char *user; /* whose connection it is; NULL: as the route says */
    const char *const *tags;
    size_t tag_count;
};

/**
 * Let a pending client in, or send it away.
 *
 * @options  may be NULL
 * @status   of the HTTP response, 300 to 599; 0: 403
 * @body     text for a human; may be NULL
 *
 * Returns   true: the bus took it; false: GONE, GATE_GONE, FULL, TOO_BIG, NOMEM, MISUSE
 * Threads   any
 */
WSB_API bool wsb_accept(wsb_handler h, wsb_conn conn, const struct wsb_accept_options *options);
WSB_API bool wsb_reject(wsb_handler h, wsb_conn conn, unsigned status, const char *body);

/**
 * Begin the closing handshake. CLOSED comes when it is over.
 *
 * @code     1000 to 4999, of those that may be sent (RFC 6455 §7.4); 0: 1000
 * @reason   UTF-8, at most WSB_CLOSE_REASON_MAX bytes; may be NULL
 *
 * Returns   true: the bus took it; false: GONE, GATE_GONE, FULL, TOO_BIG, UTF8, NOMEM, MISUSE
 * Threads   any
 */
WSB_API bool wsb_close(wsb_handler h, wsb_conn conn, unsigned code, const char *reason);

/**
 * Ping a client, or with connection 0 the gate. The answer is a PONG event with the number of the ping.
 *
 * @data     at most WSB_CONTROL_MAX bytes; may be NULL when len is 0
 * @ret_seq  may be NULL
 *
 * Returns   true: the bus took it; false: GONE, GATE_GONE, FULL, TOO_BIG, NOMEM, MISUSE
 * Threads   any
 */
WSB_API bool wsb_ping(wsb_handler h, wsb_conn conn, const void *data, size_t len, uint64_t *ret_seq);

/**
 * Ask for the body of a request whose client waits for 100 Continue: a REQUEST with `expect_continue` in its metadata, on a
 * route with `expect = handler`. The body comes in BODY events. wsb_respond() without it is a refusal: the client need not
 * send what nobody wants.
 *
 * Returns   true: the bus took it; false: GONE, GATE_GONE, FULL, NOMEM, MISUSE
 * Threads   any
 * Source    docs/protocol.md §5 HTTP, RFC 9110 §10.1.1
 */
WSB_API bool wsb_continue(wsb_handler h, wsb_conn conn);

/* An HTTP response, or its beginning. */
struct wsb_response {
    size_t size;                     /* sizeof this struct; 0: that of version 0.1 */
    unsigned status;                 /* 200 to 599; 0: 200 */
    const struct wsb_field *headers; /* one name may stand in several */
    size_t header_count;
    const void *body;
    size_t len;
    bool more; /* wsb_respond_more() brings the rest */
};

/**
 * Answer an HTTP request.
 *
 * Returns   true: the bus took it; false: GONE (over, or answered), GATE_GONE, FULL, TOO_BIG, NOMEM, MISUSE
 * Threads   any
 */
WSB_API bool wsb_respond(wsb_handler h, wsb_conn conn, const struct wsb_response *response);

/**
 * More of a response's body.
 *
 * @last     this is the end of it
 *
 * Returns, Threads: as wsb_respond()
 */
WSB_API bool wsb_respond_more(wsb_handler h, wsb_conn conn, const void *data, size_t len, bool last);

struct wsb_part {
    size_t size; /* sizeof this struct; 0: that of version 0.1 */
    const void *data;
    size_t len;
    bool last; /* it ends the body */
    /* NULL: behind what was sent before. Otherwise the byte of the body with which it begins, counted from the first one of
     * wsb_respond(): taken there only, and refused, without harm, while the client's queue is full. */
    const uint64_t *at;
    uint64_t
        *ret_seq; /* may be NULL; otherwise an OUTCOME event of this number tells what became of it. Set on success */
};

/**
 * More of a response's body, for a handler that keeps pace with its client. A part that says where it belongs and finds the
 * client's queue full is refused (OUTCOME: DROPPED), and so is all that is behind it; WSB_EV_WRITABLE, whose metadata has `at`,
 * tells when there is room, and where to go on. wsb_respond_more() in its place ends the exchange.
 *
 * Returns, Threads: as wsb_respond()
 * Source    docs/protocol.md §5 HTTP
 */
WSB_API bool wsb_respond_part(wsb_handler h, wsb_conn conn, const struct wsb_part *part);

/**
 * Write one line to stderr and to the gate's log, when the level is on. Never waits: what does not fit is lost.
 *
 * @format   as printf; lines are cut at 2 KiB, control characters become spaces
 *
 * Returns   true: written, or the level is off; false: MISUSE, GATE_GONE (stderr has it), FULL, NOMEM
 * Threads   any
 */
WSB_API bool wsb_log(wsb_handler h, enum wsb_level level, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* The lowest level that is on; the gate can change it at any time. WSB_LOG_ERROR for what is no handle. Threads: any. */
WSB_API enum wsb_level wsb_log_level(wsb_handler h);

/**
 * Hand everything written so far to the link, and the acknowledgements behind it.
 *
 * Returns   true; false: GATE_GONE (it is lost), NOMEM, MISUSE
 * Threads   any
 */
WSB_API bool wsb_flush(wsb_handler h);

/**
 * Make the read under way, or the next one, return false with WSB_REASON_SIGNAL. Does nothing on what is no handle.
 *
 * Threads   any; safe in a signal handler
 */
WSB_API void wsb_wake(wsb_handler h);

/**
 * A descriptor for poll() and the like: readable whenever a read would return at once, or has to look after the gate. It may
 * be readable for nothing, so read with timeout 0 until that returns false; no other timer is needed. It belongs to the
 * handle: do not read, write or close it.
 *
 * Returns   the descriptor, the same one each time; -1: MISUSE, IO
 * Threads   any
 */
WSB_API int wsb_handler_fd(wsb_handler h);

/* Registered with a gate at this moment. Threads: any. */
WSB_API bool wsb_connected(wsb_handler h);
/* Of the last WELCOME that was read: which run of the gate, and the handler's number there; 0 before. Threads: any. */
WSB_API uint64_t wsb_epoch(wsb_handler h);
WSB_API uint64_t wsb_handler_id(wsb_handler h);
/* The largest message that the gate takes, bytes; 0 for what is no handle. Threads: any. */
WSB_API size_t wsb_max_message(wsb_handler h);
/* Messages from the gate that made no sense and were dropped. Threads: any. */
WSB_API uint64_t wsb_malformed(wsb_handler h);

/**
 * Is the connection (or the request) of this handler, and not over as far as it has read, nor taken away as far as the library
 * has heard? Costs no system call.
 *
 * Threads   any
 */
WSB_API bool wsb_isopen(wsb_handler h, wsb_conn conn);

/**
 * Why the last call of this thread on this handle returned false; WSB_REASON_OK after true. Of a zeroed handle: why
 * wsb_handler_open() did. The getters above do not change it.
 *
 * Threads   any; each has its own
 */
WSB_API enum wsb_reason wsb_reason(wsb_handler h);

/* "ok", "timeout", "gate gone", …; never NULL, for any value. Threads: any. */
WSB_API const char *wsb_reason_name(enum wsb_reason reason);

/* What the last wsb_handler_open() of this thread that failed had to say; never NULL. Valid until the next. */
WSB_API const char *wsb_why(void);

/**
 * A text of an event's metadata.
 *
 * @ev       an event that is still valid; otherwise NULL is returned
 * @key      "path", "peer", …; what follows the first dot is looked up in the object before it: "params.room",
 *           "headers.user-agent"
 *
 * Returns   terminated UTF-8; NULL: not there, not a string, or with a zero byte in it
 * Threads   the reader's
 * Lifetime  as the event
 */
WSB_API const char *wsb_event_str(const struct wsb_event *ev, const char *key);

/* A number (or boolean) of an event's metadata, keys as in wsb_event_str(); `otherwise` when it is not there. */
WSB_API int64_t wsb_event_num(const struct wsb_event *ev, const char *key, int64_t otherwise);

/* The text at a place of an array in an event's metadata: "tags", "groups", "offered"; NULL when there is none. The rest as
 * wsb_event_str(). */
WSB_API const char *wsb_event_item(const struct wsb_event *ev, const char *key, size_t index);

/* How a connection ended. For an event that is not a valid CLOSED: unknown, 1006, "". */
WSB_API struct wsb_close_info wsb_event_close(const struct wsb_event *ev);

/* "open", "data", …; "unknown" for any other number. Threads: any. */
WSB_API const char *wsb_event_type_name(enum wsb_event_type type);

#ifdef __cplusplus
}
#endif
#endif
