#ifndef WSB_API_HANDLE_H
#define WSB_API_HANDLE_H

/*
 * What is behind a wsb_handler, and what the files of this folder tell each other about it.
 *
 *   slots.c    which handles there are; why calls failed           handler.c  open, close, getters
 *   inbox.c    what the gate sends, and waiting for it             read.c     events out of the inbox
 *   outbox.c   commands on their way, in batches                   command.c  one function for each command
 *   meta.c     metadata of events                                  log.c      wsb_log
 *   settle.c   acknowledgement and credit                      trouble.c  why there is no registration
 *
 * Of connections, conns.h knows those that the program was told of, fence.h those that were taken away before it knows.
 *
 * There is no thread of our own: whoever calls does the work. One thread at a time polls, with the lock released; the others
 * that have to wait do so on `changed`, until it comes back and tells them.
 *
 * Threads   all fields belong to the lock of the slot, except where it says so
 */

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/acks.h"
#include "api/conns.h"
#include "api/credit.h"
#include "api/fence.h"
#include "api/trouble.h"
#include "link/link.h"
#include "wsbus/handler.h"

/*
 *          link up                 WELCOME           no PING for too long
 *   DOWN ───────────▶ ASKED ──────────────────▶ YES ──────────────────────▶ UNSURE
 *     ▲                │ ▲ ▲                    │ ▲                          │  │
 *     │                │ │ └────────────────────┘ └───────── WELCOME ────────┘  │
 *     │     ERROR, ours│ │ │      ERROR 5                                       │
 *     │                ▼ │ └────────────────────────────────────────────────────┘
 *     │              REFUSED   every RETRY_REFUSED_MS: ASKED
 *     └── link down, from each
 *
 * UNSURE: HELLO is said again, and nobody knows whether the gate still had us. What is written waits for the WELCOME, which
 * tells it: to a gate that had forgotten us it would be about connections that belong to others now.
 */
enum wsb_serving { WSB_SERVING_DOWN, WSB_SERVING_ASKED, WSB_SERVING_REFUSED, WSB_SERVING_YES, WSB_SERVING_UNSURE };

/* A call that waits for its outcome; on the stack of that call. */
struct wsb_waiter {
    struct wsb_waiter *next;
    uint64_t seq;
    bool done;
    enum wsb_reason reason;
};

struct wsb_slot;

struct wsb_handle {
    struct wsb_slot *slot;   /* borrowed: slots live as long as the process */
    struct wsb_client *link; /* owned */
    char *
        zmq_endpoint; /* owned: of the other link, for a gate that does not offer shared memory; NULL: there is only one */
    char *shm_path; /* owned, with it */
    size_t ring_size;
    unsigned other_linger_ms;
    bool is_on_other; /* the link is ZeroMQ's in place of shared memory */
    bool goes_back;   /* that gate has gone: the next one is asked for shared memory first */
    enum wsb_serving serving;
    bool closing;
    unsigned inside; /* threads that are in a call with the lock released */
    pthread_cond_t changed;

    /* in */
    bool polling;                 /* a thread polls, and must be woken when there is something */
    bool is_drained;              /* the program has been told that nothing is left */
    bool reading;                 /* a thread is in wsb_readguarded() */
    struct wsb_received *current; /* owned: the message whose records are being read */
    struct wsb_span rest;         /* of it, when it is a batch */
    bool current_is_spent;
    struct wsb_received *first; /* owned: messages not read yet */
    struct wsb_received *last;
    size_t inbox_bytes;
    size_t in_limit;
    struct wsb_waiter *waiters;
    uint64_t heard_ms;  /* when the gate was last heard of */
    uint64_t pumped_ms; /* when somebody last looked */
    uint64_t coarse_ms; /* when the present call began, coarsely */
    uint64_t malformed;
    int epoll_fd;      /* owned; -1 until asked for */
    int timer_fd;      /* owned; in it, for those who have no other clock than the descriptor */
    uint64_t timer_ms; /* when that is readable; 0: not at all */

    /* the event that was read last */
    uint64_t token;
    struct wsb_span meta; /* of it; in current */
    json_t *parsed;       /* owned: its metadata, once somebody has asked */

    /* what the gate has to be told of events */
    bool manual_ack;
    struct wsb_header held; /* conn 0: none; the event that the program has, to be acknowledged when it comes back */
    struct wsb_acks acks;
    uint64_t since_ms; /* coarsely, when the program was given the first event that the gate was not told of */
    bool is_stuck;     /* what is held could not be noted yet: the next event waits for it */
    struct wsb_credit credit;
    uint64_t most_messages, most_bytes; /* of its window, as the program wants them */

    /* out */
    uint64_t round_of;           /* the thread that holds an event and will read again; 0: none */
    struct wsb_account *account; /* owned */
    struct wsb_block *batch;     /* owned; NULL: nothing is waiting */
    size_t usual_batch;          /* bytes, of the last one */
    size_t out_limit;
    uint64_t seq;
    uint64_t hello_seq;
    uint64_t hello_ms;
    unsigned hellos;        /* since the link came up, or the gate answered */
    struct wsb_buf hello;   /* its metadata */
    struct wsb_buf scratch; /* metadata of the command being written */

    /* what is known */
    unsigned heartbeat_ms;
    size_t max_message;
    uint64_t epoch; /* of the WELCOME that the program has read */
    uint64_t id;
    uint64_t given_epoch; /* of the one that came last: until it is read, the program speaks of connections of before */
    uint64_t given_id;
    bool is_forgotten; /* the gate said that it does not know us */
    struct wsb_conns conns;
    struct wsb_fence fence;
    _Atomic int level; /* read without the lock */
    bool is_journal;   /* our stderr; the same as long as the handle is there */

    struct wsb_trouble trouble;
    char refusal[WSB_TROUBLE_WHY]; /* with REFUSED: the gate's words */
    wsb_trouble_told on_trouble;   /* NULL: stderr */
    void *trouble_of;
};

/* Numbers of commands whose outcome a call waits for: never an event. */
#define WSB_SEQ_WAITED (UINT64_C(1) << 63)

enum { WSB_SETTLE_RETRY_MS = 50 }; /* when there was no room for what the gate has to be told */

/* The gate knows us, as far as anybody here knows. */
static inline bool wsb_is_registered(const struct wsb_handle *h)
{
    return h->serving == WSB_SERVING_YES || h->serving == WSB_SERVING_UNSURE;
}

/* --------------------------------------------------------------------------------------------------------- slots.c */

/* Take the lock of an open handle; NULL, with MISUSE noted, when it is none. Ends with wsb_done(). */
struct wsb_handle *wsb_enter(wsb_handler h);
/* The same for getters, which do not note anything. Ends with wsb_unlock(). */
struct wsb_handle *wsb_peek(wsb_handler h);
/* Note the reason, wake who has to be woken, release the lock; true when the reason is OK. */
bool wsb_done(struct wsb_handle *h, enum wsb_reason reason);
void wsb_lock(struct wsb_handle *h);
void wsb_unlock(struct wsb_handle *h);

/* A place for a new handle, which becomes valid with this. False: there is none left, or no descriptor. */
enum wsb_reason wsb_slots_add(struct wsb_handle *h, wsb_handler *ret);
/* No call finds the handle any more; those inside it still have it. */
void wsb_slots_close(struct wsb_handle *h);
/* The slot can be used again; releases the lock. */
void wsb_slots_free(struct wsb_handle *h);

wsb_handler wsb_handle_value(const struct wsb_handle *h);
void wsb_note_reason(wsb_handler h, enum wsb_reason reason);
enum wsb_reason wsb_reason_of(wsb_err err);
/* A number for the calling thread that is never another's. */
uint64_t wsb_thread_number(void);

/* The descriptor that interrupts a poll, and whether it was wsb_wake() that did. */
int wsb_signal_fd(const struct wsb_handle *h);
struct wsb_alarm *wsb_alarm_of(struct wsb_handle *h);
void wsb_signal_set(struct wsb_handle *h);
void wsb_signal_clear(struct wsb_handle *h);
bool wsb_signal_is_set(const struct wsb_handle *h);
bool wsb_take_interrupt(struct wsb_handle *h);
bool wsb_is_interrupted(const struct wsb_handle *h); /* and nobody has taken it */
/* With the lock released, wait on the condition until something changes or the time has come (CLOCK_MONOTONIC). */
void wsb_cond_wait(struct wsb_handle *h, uint64_t until_ms);

/* --------------------------------------------------------------------------------------------------------- inbox.c */

uint64_t wsb_now_ms(void);
/* Cheap, behind by a few milliseconds: for what is asked with each event. */
uint64_t wsb_coarse_ms(void);
#define WSB_FOREVER UINT64_MAX
uint64_t wsb_deadline(int timeout_ms);

/* Take what has arrived, without waiting; answer, note and file it. */
enum wsb_reason wsb_pump(struct wsb_handle *h);
/* The same, for calls that need nothing: whenever the gate has to be found, and now and then. */
void wsb_look(struct wsb_handle *h);
/* Wait until something may have changed, then pump. OK, TIMEOUT, SIGNAL, CLOSED, NOMEM. */
enum wsb_reason wsb_wait(struct wsb_handle *h, uint64_t until_ms);
/* The descriptor that others may poll tells the truth after this. */
void wsb_tell_pollers(struct wsb_handle *h);
/* The event that nearly all are: a client's message. */
static inline bool wsb_is_data(const struct wsb_envelope *e)
{
    const struct wsb_header *d = &e->header;
    return d->type == WSB_DATA && d->conn && (d->code == WSB_TEXT || d->code == WSB_BINARY);
}

bool wsb_is_other_event(const struct wsb_envelope *e);
/* True when the record is something for the program, which the others are not. */
static inline bool wsb_is_event(const struct wsb_envelope *e)
{
    return wsb_is_data(e) || wsb_is_other_event(e);
}
/* The call that waits for the outcome of this command, if there is one, has it. */
void wsb_finish_waiter(struct wsb_handle *h, uint64_t seq, enum wsb_reason reason);
enum wsb_reason wsb_outcome_reason(uint8_t code);
enum wsb_reason wsb_error_reason(uint8_t code);
/* The next message of the inbox becomes the current one; false when there is none. */
bool wsb_inbox_next(struct wsb_handle *h);
void wsb_inbox_deinit(struct wsb_handle *h);

/* Note why there is no registration, or that there is one; the line about it may be due then. */
void wsb_note_trouble(struct wsb_handle *h);

/* --------------------------------------------------------------------------------------------------------- log.c */

/* A line that was due, to whoever is to have it. Releases the lock meanwhile; the handle stays. */
void wsb_tell_trouble(struct wsb_handle *h);

/* ------------------------------------------------------------------------------------------------------- handler.c */

/* The gate does not offer shared memory, or not to us: go on over ZeroMQ. False: not now, or it was insisted on. */
bool wsb_link_fall_back(struct wsb_handle *h);
/* And back, for the next gate; false while something of the link is still in use. */
bool wsb_link_go_back(struct wsb_handle *h);

/* -------------------------------------------------------------------------------------------------------- outbox.c */

/* Put one command on its way. Payload and metadata are copied. */
enum wsb_reason wsb_put(struct wsb_handle *h, const struct wsb_header *header, struct wsb_span payload,
                        struct wsb_span meta);
/* The same for what the library says in the name of the program: it never leaves at once, and has some room of its own. */
enum wsb_reason wsb_put_own(struct wsb_handle *h, const struct wsb_header *header, struct wsb_span payload,
                            struct wsb_span meta);
enum wsb_reason wsb_outbox_flush(struct wsb_handle *h);
/* What the calling thread writes leaves when it reads again. */
bool wsb_is_in_round(const struct wsb_handle *h);
void wsb_outbox_drop(struct wsb_handle *h);
/* Of what waits, drop what names a connection inside the fence. */
void wsb_outbox_drop_fenced(struct wsb_handle *h);
/* Send a message that belongs to the link, not to the program: HELLO, PONG, BYE. */
enum wsb_reason wsb_send_control(struct wsb_handle *h, const struct wsb_header *header, struct wsb_span payload,
                                 struct wsb_span meta);

/* -------------------------------------------------------------------------------------------------------- settle.c */

/* Is it an event of a connection, or of a registration, that the gate has taken away since? Then it is another handler's,
 * and the program does not get it. */
bool wsb_is_over(const struct wsb_handle *h, const struct wsb_header *d);
/* An event leaves the inbox, for the program or not: what it cost is granted again. */
void wsb_settle_taken(struct wsb_handle *h, const struct wsb_header *d);
/* It made no sense and never gets into the inbox; what it cost is granted again as well. */
void wsb_settle_lost(struct wsb_handle *h, const struct wsb_header *d);
/* The program is given this event. */
void wsb_settle_handed_out(struct wsb_handle *h, const struct wsb_header *d);
/* The program has come back: it is done with the event it was given. OK, or a reason of wsb_put(): then try again, before
 * it is given another. */
enum wsb_reason wsb_settle_done(struct wsb_handle *h);
/* What it is done with is not said; one that comes later of that connection may cover it. */
void wsb_settle_forgo(struct wsb_handle *h);
/* Put what has to be said behind what is written. */
enum wsb_reason wsb_settle(struct wsb_handle *h);
/* The registration is over, and all that was to be said about it. */
void wsb_settle_forget(struct wsb_handle *h);

/* ------------------------------------------------------------------------------------------------------- command.c */

/* wsb_enter() of a call that writes: hears first what the gate has said meanwhile. */
struct wsb_handle *wsb_begin(wsb_handler h);

/* ---------------------------------------------------------------------------------------------------------- meta.c */

/* The welcome of a gate. */
struct wsb_welcome {
    uint64_t epoch;
    uint64_t id;
    unsigned heartbeat_ms;
    size_t max_message;
};

WSB_MUST_CHECK wsb_err wsb_welcome_parse(struct wsb_span meta, struct wsb_welcome *ret);
/* How often the event of a handle, one that is redelivered, has been delivered. */
unsigned wsb_event_deliveries(struct wsb_handle *h, const struct wsb_event *ev);
/* The metadata of HELLO, but for the credit, which the link has a say in. */
WSB_MUST_CHECK wsb_err wsb_hello_write(struct wsb_buf *out, const struct wsb_handler_options *o);

/* ------------------------------------------------------------------------------------------------------- address.c */

/* Which link the options and the environment ask for at this endpoint. */
WSB_MUST_CHECK wsb_err wsb_link_kind_of(const char *endpoint, const struct wsb_handler_options *o,
                                        enum wsb_link_kind *ret, struct wsb_fault *fault);
/* Where the gate of a local endpoint offers shared memory. */
WSB_MUST_CHECK wsb_err wsb_shm_path(const char *endpoint, struct wsb_buf *ret);

/* The ZeroMQ endpoint of an address, by the rules of docs/protocol.md §1. */
WSB_MUST_CHECK wsb_err wsb_endpoint(const char *address, struct wsb_buf *ret, struct wsb_fault *fault);

/* How that endpoint is entered. */
struct wsb_keys {
    const char *server_key; /* NULL: without keys; borrowed from the options, or the environment */
    struct wsb_key_pair own;
};

/* What the options and the environment say about keys for the endpoint. Wipe ret->own when the link has it. */
WSB_MUST_CHECK wsb_err wsb_keys_read(const char *endpoint, const struct wsb_handler_options *o, struct wsb_keys *ret,
                                     struct wsb_fault *fault);

#endif
