#ifndef WSG_SESSION_PARTS_H
#define WSG_SESSION_PARTS_H

/*
 * What the files of session/ share, and nobody else uses: life.c lets a client in and out, session.c has its socket and its
 * time, exchange.c and its kin speak HTTP with it, websocket.c WebSocket, events.c tells the bus.
 */

#include "access/log.h"
#include "base/json.h"
#include "http/coding.h"
#include "http/request_id.h"
#include "http/response.h"
#include "http/traceparent.h"
#include "session/body_clock.h"
#include "session/packing.h"
#include "session/quota.h"
#include "session/session.h"
#include "ws/handshake.h"

enum {
    WSG_BODY_WHOLE = 64 << 10,       /* a request body up to this reaches the handler in one piece */
    WSG_HTTP_OUTPUT_MAX = 256 << 10, /* a client that does not take this much gets no further request served */
    WSG_TAP_BYTES = 16 << 10,        /* of a message that a tap shows */
    WSG_RECEIPT_BYTES = 64,          /* what an outcome that is waited for counts in the queue */
    WSG_CONTROL_ROOM = 16 << 10,     /* pongs beyond max_queue: a full queue is no reason to break the protocol */
    WSG_REQUEST_LINES = 200,         /* a second and a worker; the access log has them all */
    WSG_REFUSED_LINES = 20           /* of each kind, a second and a worker, that strangers can have the log write */
};

/*
 * Whose turn it is with Expect: 100-continue (RFC 9110 §10.1.1), on routes that leave it to their handlers.
 *
 *     NONE    WAITS ──100 of the handler──▶ ASKED
 *               └──body──▶ ARRIVES ──100──▶ ASKED
 */
enum wsg_expect {
    WSG_EXPECT_NONE,    /* nothing is expected, or the gate has answered */
    WSG_EXPECT_WAITS,   /* the client sends nothing before it hears from the handler */
    WSG_EXPECT_ARRIVES, /* the client did not wait: 100 is not needed any more */
    WSG_EXPECT_ASKED    /* the handler wants the body */
};

/*
 * Whether the client's queue has room for the response. A part that is refused leaves no hole: until one that says where it
 * belongs is taken, no other is.
 *
 *     FREE ──a part is refused──▶ FULL ──the queue is down to half──▶ TOLD
 *       ▲                          │ ▲                                 │
 *       └──the right part comes────┘ └──and is refused again───────────┘
 */
enum wsg_room {
    WSG_ROOM_FREE,
    WSG_ROOM_FULL, /* WRITABLE is owed */
    WSG_ROOM_TOLD  /* WRITABLE was told */
};

/* One HTTP request and its response, or a handshake that waits for its handler. */
struct wsg_exchange {
    uint8_t method; /* enum wsg_http_method */
    uint8_t minor;
    bool keep_alive;
    bool is_local;         /* answered by the gate: the bus never hears of it */
    bool is_sent;          /* REQUEST is out */
    bool request_complete; /* all of the body is here */
    bool response_begun;
    bool response_complete;
    bool has_body;
    bool is_chunked;
    bool takes_gzip; /* the client, on a route that has it */
    struct wsg_packing
        *packing;   /* owned; the response goes as gzip, piece by piece; NULL: as it is, or it was packed whole */
    uint8_t expect; /* enum wsg_expect */
    uint8_t room;   /* enum wsg_room */
    bool is_events; /* the response is a text/event-stream that may have comments of ours */
    bool in_line;   /* and what was sent of it ends in the middle of a line */
    uint16_t status;
    uint64_t begun_us;
    uint64_t body_bytes;
    uint64_t response_bytes;                 /* of the body, as its handler gave it: what was taken */
    struct wsg_body_clock clock;             /* of the request's body */
    uint64_t key;                            /* hash of what the route pins by; 0: none */
    struct wsb_buf body;                     /* owned; until REQUEST or OPEN is sent: its payload */
    struct wsb_buf meta;                     /* owned; of REQUEST or OPEN */
    char accept[32];                         /* PENDING: Sec-WebSocket-Accept */
    char request_id[WSG_REQUEST_ID_MAX + 1]; /* "": requests have none */
    uint64_t head_end;                       /* position in the output where the head of the response ends */
    struct wsg_access_note *note;            /* owned; NULL: nobody writes down what becomes of it */
    const struct wsg_cors *cors;             /* borrowed; NULL: pages of other origins are no business of the gate's */
    char *origin;                            /* owned; whose pages may read the response; NULL: nobody's */
    const char *exposed;                     /* within it: fields that they may read; while there is an origin */
    char *proxy;     /* owned; the peer itself, while the session's is the client that it named; NULL: none did */
    bool is_secure;  /* the client speaks TLS, with us or with the proxy */
    wsg_place place; /* of the route, for a handshake until OPEN is sent; 0: none */
    json_t *claims;  /* owned; of the token that was good; NULL: none was wanted */
    char *offered;   /* owned; PENDING: the client's subprotocols, each ended by a NUL, and one more NUL */
};

/* The head of a response. */
struct wsg_answer {
    int status;
    enum wsg_http_body body;
    uint64_t length;
    const struct wsg_http_header *headers;
    size_t header_count;
};

/* Fields that the gate adds to whatever is answered; borrowed from the exchange. */
enum { WSG_ADDED_MAX = 5 };
struct wsg_added {
    struct wsg_http_header at[WSG_ADDED_MAX];
    size_t count;
};

#define WSG_RECEIPT_UNPACKED UINT64_MAX

/* A command whose outcome is known when the kernel has all up to position `end`, or when its message is dropped. */
struct wsg_receipt {
    struct wsg_receipt *next;
    struct wsg_receipt **link; /* what points at this one */
    uint64_t end;              /* WSG_RECEIPT_UNPACKED: it is not known before the bytes have been packed */
    uint64_t plain_end;        /* UNPACKED: position in what waits to be packed */
    uint64_t origin;
    uint64_t seq;
};

/* What an open connection may do, where that is not everything, and what will be written down of it, if anything. */
struct wsg_terms {
    bool has_quota;
    struct wsg_quota quota;
    uint64_t until_ms;            /* UINT64_MAX: no end */
    struct wsg_access_note *note; /* owned; of its handshake; NULL: nothing */
};

/* A ping that a handler or somebody at the control socket asked for. */
struct wsg_asked_ping {
    uint64_t sent_us;
    uint64_t origin;
    uint64_t seq;
    uint32_t hash; /* of its payload, so that its pong is known */
};

/* life.c */
/* A session that nothing but its maker knows yet; NULL: no memory. wsg_session_free() is for those that were never enlisted. */
struct wsg_session *wsg_session_new(struct wsg_env *env, int fd, const char *peer);
void wsg_session_free(struct wsg_session *s);
/* Put it where the others are, with its timer set. */
WSB_MUST_CHECK wsb_err wsg_session_enlist(struct wsg_session *s, uint32_t timeout_ms);
void wsg_session_end_http(struct wsg_session *s); /* no more requests are read from it */
/* Not let in: told so with a 503, or cut off, as the configuration says. */
void wsg_session_turn_away(struct wsg_session *s, enum wsg_refusal why);
void wsg_session_linger(struct wsg_session *s);
uint32_t wsg_session_linger_ms(const struct wsg_session *s); /* how long it is waited for the client to close */

/* session.c */
void wsg_session_on_timer(struct wsg_timer *t);
void wsg_session_set_timer(struct wsg_session *s, uint32_t after_ms);
/* Something waits for the client, and it has taken some since this was last asked. */
bool wsg_session_has_taken(struct wsg_session *s);
size_t wsg_session_waiting(const struct wsg_session *s);
/* NULL: nobody waits for the outcome, or it could not be kept. */
struct wsg_receipt *wsg_session_add_receipt(struct wsg_session *s, const struct wsg_command *c);
void wsg_session_end_receipt(struct wsg_session *s, struct wsg_receipt *r, enum wsb_outcome outcome,
                             const char *reason);
wsb_err wsg_session_renew_id(struct wsg_session *s);
const char *wsg_env_date(struct wsg_env *env);

/* secure.c: of sessions with TLS only, but for the last two */
WSB_MUST_CHECK wsb_err wsg_secure_begin(struct wsg_session *s, struct wsb_tls_context *context);
/* A stream that is open already, on which we are the client. Takes it on success. */
WSB_MUST_CHECK wsb_err wsg_secure_adopt(struct wsg_session *s, struct wsb_tls_stream *stream);
void wsg_secure_read(struct wsg_session *s);                                   /* the socket is readable */
WSB_MUST_CHECK wsb_err wsg_secure_flush(struct wsg_session *s, size_t budget); /* as wsg_outq_flush() */
uint64_t wsg_secure_sent(const struct wsg_session *s);                         /* bytes that the kernel took, ever */
void wsg_secure_timeout(struct wsg_session *s);                                /* the handshake takes too long */
void wsg_secure_end(struct wsg_session *s);                                    /* the socket is about to be closed */
void wsg_secure_free(struct wsg_session *s);
void wsg_secure_write_meta(const struct wsg_session *s, struct wsb_json *j);

/* exchange.c */
void wsg_exchange_finish_if_complete(struct wsg_session *s);            /* then the next request, or the end */
void wsg_exchange_emit_aborted(struct wsg_session *s, const char *why); /* a word of ours, never the peer's */
void wsg_exchange_abort(struct wsg_session *s, const char *why);
/* By the gate: the same, and counted by its reason where a response has begun. */
void wsg_exchange_cut(struct wsg_session *s, enum wsg_cut reason, const char *why);
void wsg_exchange_fail(struct wsg_session *s, int status, const char *why);
void wsg_exchange_timeout(struct wsg_session *s);
void wsg_exchange_drain(struct wsg_session *s); /* end what could go on for ever */
void wsg_exchange_free(struct wsg_session *s);

/* exchange_request.c: WSB_OK one event was handled, WSB_MORE nothing more to be had from these bytes now */
wsb_err wsg_exchange_step(struct wsg_session *s, const uint8_t *data, size_t len, size_t *ret_used);
/* By the rules of its route. True: refused, and answered. */
bool wsg_exchange_refuse_address(struct wsg_session *s);

/* Its body is the client's turn, or not any more: whatever it may depend on has changed. */
void wsg_body_check(struct wsg_session *s);
void wsg_body_arm(struct wsg_session *s); /* the timer, for when it is late */
bool wsg_body_is_late(const struct wsg_session *s);
/* No longer than until the body is late, if any is to come. */
uint64_t wsg_body_cap_ms(const struct wsg_session *s, uint64_t after_ms);

/* exchange_response.c */
void wsg_exchange_respond(struct wsg_session *s, const struct wsg_command *c);
void wsg_exchange_body(struct wsg_session *s, const struct wsg_command *c);
void wsg_exchange_check_writable(struct wsg_session *s); /* some of the queue may have left */
void wsg_exchange_error(struct wsg_session *s, int status, const char *why, const struct wsg_http_header *headers,
                        size_t count);
/* The same, counted by its reason. */
void wsg_exchange_refuse(struct wsg_session *s, enum wsg_refusal reason, int status, const char *why,
                         const struct wsg_http_header *headers, size_t count);
WSB_MUST_CHECK wsb_err wsg_exchange_begin_response(struct wsg_session *s, const struct wsg_answer *a);
/* Of a response that has begun: more of what its handler says, and its end. What is packed leaves later, and then it ends. */
WSB_MUST_CHECK wsb_err wsg_exchange_append_body(struct wsg_session *s, struct wsb_span body);
WSB_MUST_CHECK wsb_err wsg_exchange_end_body(struct wsg_session *s);
/* A piece as it has been packed; `is_last`: the response is complete with it. */
WSB_MUST_CHECK wsb_err wsg_exchange_append_packed(struct wsg_session *s, struct wsb_span piece, bool is_last);
void wsg_exchange_after_response(struct wsg_session *s); /* it is complete: the next request, or the end */
/* All of the response is here: nobody will be asked for more of it, though some of it may be yet to be packed. */
bool wsg_exchange_is_answered(const struct wsg_exchange *x);
WSB_MUST_CHECK wsb_err wsg_exchange_append_text(struct wsg_session *s); /* env->text, as it is */

/* access.c: lines of the access log */
void wsg_access_begin(struct wsg_session *s, const struct wsg_http_head *head); /* of a request that has its id */
void wsg_access_end(struct wsg_session *s); /* its exchange is over, complete or not */
/* Of a request that was refused before it became an exchange: it could not be read, or its connection was turned away. */
void wsg_access_refused(struct wsg_session *s, int status, const char *request_id, size_t bytes);
/* An open WebSocket has ended. */
void wsg_access_end_websocket(struct wsg_session *s, enum wsg_by by, uint16_t code, bool clean);

/* naming.c */
void wsg_exchange_name(struct wsg_session *s, const struct wsg_http_head *head); /* its request_id */
/* Of a request that never became an exchange; "" when requests have none. */
const char *wsg_env_request_id(struct wsg_env *env, char made[WSG_REQUEST_ID_OWN + 1]);
/* Where the request belongs to no trace, and the gate is to begin one: true, and its traceparent. */
bool wsg_env_begin_trace(struct wsg_env *env, const struct wsg_http_head *head, char out[WSG_TRACEPARENT_LEN + 1]);

/* exchange_gzip.c: whether a response goes as gzip */
void wsg_exchange_note_codings(struct wsg_session *s, const struct wsg_http_head *head); /* what it takes */
/*
 * Before the head of a response is written. `headers` are those of `a`, with room for WSG_CODING_FIELDS more. Returns what the
 * body has become, perhaps the same, until env->packed and text2 are used again.
 */
struct wsb_span wsg_exchange_begin_coding(struct wsg_session *s, struct wsg_answer *a, struct wsg_http_header *headers,
                                          struct wsb_span body);

/* added.c */
void wsg_exchange_added(const struct wsg_exchange *x, struct wsg_added *ret);
void wsg_added_id(struct wsg_added *added, const char *request_id); /* nothing, when it is "" */
/* A field that handlers do not decide about. */
bool wsg_exchange_is_ours(const struct wsg_exchange *x, struct wsb_span field);
/* Where there is something to say of it. False without memory. */
bool wsg_exchange_note_origin(struct wsg_session *s, const struct wsg_http_head *head, const struct wsg_cors *cors);

/* exchange_options.c */
/* True: the method said that it is the gate who answers, and it has. */
bool wsg_exchange_answer_method(struct wsg_session *s, const struct wsg_http_head *head,
                                const struct wsg_texts *served);
/* By Allow; with 405 when the request's own is not among them. */
void wsg_exchange_tell_methods(struct wsg_session *s, const struct wsg_texts *methods, bool is_served);

/* exchange_stream.c */
void wsg_stream_begin(struct wsg_session *s, const struct wsg_answer *a); /* its head is written */
void wsg_stream_arm(struct wsg_session *s);
void wsg_stream_timeout(struct wsg_session *s);

/*
 * exchange_static.c: true: a static directory took the request, and its answer is queued.
 *
 * @has_route  the path is that of a WebSocket route: a directory answers only for what lies in it
 */
bool wsg_exchange_try_static(struct wsg_session *s, const struct wsg_http_head *head, bool has_route);

/* dialed.c: of sessions that are dialed only */
void wsg_dialed_note(struct wsg_session *s, enum wsg_by by, uint16_t code, struct wsb_span reason); /* it is closing */
void wsg_dialed_end(struct wsg_session *s);                                                         /* it is gone */

/* websocket.c */
/* The handshake is done: what comes now are frames. */
void wsg_websocket_open(struct wsg_session *s);
void wsg_websocket_begin(struct wsg_session *s, const struct wsg_http_head *head);
wsb_err wsg_websocket_step(struct wsg_session *s, const uint8_t *data, size_t len, size_t *ret_used);
void wsg_websocket_accept_timeout(struct wsg_session *s); /* nobody said whether it may come in */
void wsg_websocket_accept(struct wsg_session *s, const struct wsg_command *c);
void wsg_websocket_reject(struct wsg_session *s, const struct wsg_command *c);
void wsg_websocket_ping(struct wsg_session *s, const struct wsg_command *c);
/* The gate ends an open connection by itself, and counts why. */
void wsg_websocket_end(struct wsg_session *s, enum wsg_ending why, uint16_t code, const char *reason);
void wsg_websocket_close(struct wsg_session *s, enum wsg_by by, uint16_t code, struct wsb_span reason);
/* One frame of ours behind what is queued. */
WSB_MUST_CHECK wsb_err wsg_websocket_append(struct wsg_session *s, uint8_t opcode, struct wsb_span payload);

/* deadlines.c */
/* Before the exchange is forgotten: what it says of the connection's terms. False without memory. */
bool wsg_terms_begin(struct wsg_session *s);
void wsg_terms_free(struct wsg_session *s);
void wsg_terms_charge(struct wsg_session *s, size_t bytes); /* a message has come, or a ping: whatever makes work */
/* Bytes of a message that is not complete yet. */
void wsg_terms_charge_bytes(struct wsg_session *s, size_t bytes);
/* Say so, unless we said goodbye before, and be done: the client's answer is not waited for. */
void wsg_websocket_give_up(struct wsg_session *s, enum wsg_ending why, uint16_t code, const char *reason);
/* One timer for all that may end or check an open connection. It may come early: then it is set again. */
void wsg_deadlines_arm(struct wsg_session *s);
void wsg_websocket_timer(struct wsg_session *s);
bool wsg_websocket_is_over(const struct wsg_session *s); /* its lifetime, or its token's */
/* websocket.c */
/* The connection ended without, or in the middle of, a closing handshake. */
void wsg_websocket_lost(struct wsg_session *s, const char *why);

/* deliver.c */
void wsg_websocket_send(struct wsg_session *s, const struct wsg_command *c);
void wsg_deliver_settle(struct wsg_session *s); /* count what the kernel has taken */
void wsg_deliver_end(struct wsg_session *s);    /* and what it never will */
void wsg_deliver_check_writable(struct wsg_session *s);
/* Room for bytes that are no message, after the kernel has been asked. */
bool wsg_deliver_has_room(struct wsg_session *s, size_t bytes);

/* texts.c */
bool wsg_session_set_text(char **field, struct wsb_span text); /* of a field with memory of its own */
/* False without memory: nothing has changed then. ptr NULL: there is none. */
bool wsg_session_set_peer(struct wsg_session *s, struct wsb_span peer);
bool wsg_session_set_target(struct wsg_session *s, struct wsb_span target);
bool wsg_session_set_subprotocol(struct wsg_session *s, struct wsb_span subprotocol);

/* credentials.c: true: go on; false: refused, and answered */
bool wsg_session_authorize(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params);
/* Tokens in the query are nothing for logs and listings. Where no route has been found it may have been meant for any. */
void wsg_session_hide_token(struct wsg_session *s);
uint64_t wsg_claims_expiry_ms(const json_t *claims); /* since the epoch; UINT64_MAX: too far away to tell */
/* A text or a whole number; empty: it is not there, or something else. Valid as long as both. */
struct wsb_span wsg_claim_value(const json_t *claims, const char *name, struct wsb_buf *scratch);

/*
 * identity.c: what a source says of a request; empty: nothing. A header, or a parameter of the query, that is there twice
 * says nothing either: who looks at the other one would be told something else. Valid until env->text is used again.
 *
 * @ret_is_twice  may be NULL
 */
struct wsb_span wsg_session_value_of(struct wsg_session *s, const struct wsg_source *source,
                                     const struct wsg_http_head *head, const struct wsb_span *params,
                                     bool *ret_is_twice);
/* identity.c: the exchange's key, and of a handshake the user and the groups */
wsb_err wsg_session_identify(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params);

/* events.c */
void wsg_emit(struct wsg_session *s, uint8_t type, uint8_t code, uint8_t flags, struct wsb_span payload,
              struct wsb_span meta);
/* OPEN or REQUEST, with all that the exchange knows; its buffers are given back. */
void wsg_emit_begin(struct wsg_session *s, uint8_t type, uint8_t flags);
wsb_err wsg_emit_message(struct wsg_session *s, const struct wsb_ws_event *ev);
void wsg_emit_closed(struct wsg_session *s, enum wsg_by by, uint16_t code, struct wsb_span reason, bool clean);
void wsg_emit_admitted(struct wsg_session *s);
void wsg_emit_done(struct wsg_session *s);
void wsg_emit_quiet(struct wsg_session *s);
void wsg_emit_writable(struct wsg_session *s, struct wsb_span meta);
void wsg_emit_outcome(struct wsg_session *s, uint64_t origin, uint64_t seq, enum wsb_outcome outcome,
                      const char *reason);
/* The same, only if the command wants to know. */
void wsg_outcome(struct wsg_session *s, const struct wsg_command *c, enum wsb_outcome outcome, const char *reason);
void wsg_emit_pong(struct wsg_session *s, struct wsb_span payload, uint64_t rtt_us);
void wsg_tap(struct wsg_session *s, enum wsg_outbox_kind kind, uint8_t opcode, struct wsb_span payload);
/* Headers as one object of the metadata. `traceparent`: instead of what they say of it; NULL: as they are. */
void wsg_meta_put_headers(struct wsb_json *j, const struct wsg_http_head *head, const char *traceparent,
                          struct wsb_buf *scratch);
/* `handshake`: of a WebSocket; NULL: a request of HTTP. */
wsb_err wsg_meta_of_request(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params,
                            const struct wsb_handshake_request *handshake, struct wsb_buf *out);

/* What the listener asks that it came through. */
static inline const struct wsg_entrance *wsg_session_entrance(const struct wsg_session *s)
{
    return &s->env->gatekeeping->entrances[s->entrance];
}

static inline bool wsg_session_is_tapped(const struct wsg_session *s)
{
    return s->is_tapped || (s->route && atomic_load_explicit(&s->route->taps, memory_order_relaxed));
}

/* Return whether somebody is there now who would get the events of the session's route. */
static inline bool wsg_session_has_handler(const struct wsg_session *s, enum wsg_kind kind)
{
    return s->route->policy.publish || wsg_route_serving(s->route, kind) > 0;
}

/* Does the gate ask somebody before it lets a client in? */
static inline bool wsg_session_asks(const struct wsg_session *s)
{
    return s->route->gatekeeper || (s->route->policy.accept_by_handler && !s->route->policy.publish);
}

/* Where a message is counted: in memory of the worker's own, since a counter that all share costs more than a frame's header. */
static inline struct wsg_traffic *wsg_session_traffic(const struct wsg_session *s)
{
    struct wsg_env *env = s->env;
    struct wsg_traffic *t = &env->traffic[s->route->index];
    if (!t->is_listed) {
        t->is_listed = true;
        t->next = env->listed;
        env->listed = t;
    }
    return t;
}

static inline void wsg_count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

#endif
