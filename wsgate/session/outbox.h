#ifndef WSG_SESSION_OUTBOX_H
#define WSG_SESSION_OUTBOX_H

/*
 * What the sessions of one worker have to say to the bus in one loop round: events for handlers, outcomes of commands,
 * copies for taps. The payload is written straight to its place here; whoever owns the bus takes all of it at the end
 * of the round. Pure.
 *
 * The payload of OPEN is for the hub, which does not pass it on: the user of the connection and its first groups, each
 * ended by a NUL; the user may be empty.
 */

#include "bus/places.h"
#include "wire/envelope.h"

enum wsg_outbox_kind {
    WSG_OUT_EVENT,    /* for the owner of the connection */
    WSG_OUT_REPLY,    /* OUTCOME or PONG, for whoever gave the command */
    WSG_OUT_ADMITTED, /* it waited to be accepted and has its 101; the payload is the subprotocol */
    WSG_OUT_QUIET,    /* nothing more of the client will be read */
    WSG_OUT_DONE,     /* the connection's id is spent; nobody is told */
    WSG_OUT_WRITABLE, /* its queue was full and has room again, for the owner */
    WSG_OUT_TAP_IN,   /* a message from the client, for those who watch it */
    WSG_OUT_TAP_OUT,  /* a message to the client */
    WSG_OUT_TAP_NOTE  /* something else about the connection, in words */
};

/* A shorter way for messages of clients, past the outbox; whoever owns the bus offers it. */
struct wsg_express {
    bool (*begin)(void *ctx, const struct wsb_header *h, uint8_t **ret_payload); /* false: not for this one */
    void (*end)(void *ctx, bool keep);
    void *ctx; /* borrowed */
};

struct wsg_outbox {
    struct wsb_buf buf;
    size_t begun;               /* bytes of the entry between begin and end */
    bool has_data;              /* messages of clients are in it: one of the same client must not overtake them */
    bool is_reading;            /* a socket is being read: nobody else's work is under way */
    bool is_express;            /* the message between begin and end goes the short way */
    struct wsg_express express; /* begin NULL: there is none */
};

/* One entry; the spans are valid until the outbox is cleared. */
struct wsg_out {
    enum wsg_outbox_kind kind;
    uint16_t route;     /* index, with OPEN and REQUEST */
    bool is_idempotent; /* with REQUEST: may be given to a second handler */
    uint64_t key;       /* with OPEN and REQUEST: hash of what the route pins by; 0: none */
    uint64_t origin;    /* of the command, with a reply */
    wsg_place place;    /* with OPEN: of the route, owned by whoever takes the entry; 0: none */
    struct wsb_envelope envelope;
};

void wsg_outbox_init(struct wsg_outbox *o, size_t max);
void wsg_outbox_deinit(struct wsg_outbox *o);

/* The same as wsg_outbox_begin() for a message of a client, which need not be seen by anybody but its handler: it may go the short
 * way. */
WSB_MUST_CHECK wsb_err wsg_outbox_begin_message(struct wsg_outbox *o, const struct wsg_out *entry,
                                                uint8_t **ret_payload);
/* Begin an entry whose payload of header->payload_len bytes the caller writes to *ret_payload. Seq is the bus's to fill in. */
WSB_MUST_CHECK wsb_err wsg_outbox_begin(struct wsg_outbox *o, const struct wsg_out *entry, uint8_t **ret_payload);
/* End it: keep it, or as if it had never been begun. */
void wsg_outbox_end(struct wsg_outbox *o, bool keep);
/* A whole entry in one call. */
WSB_MUST_CHECK wsb_err wsg_outbox_put(struct wsg_outbox *o, const struct wsg_out *entry);

/* Walk over entries; *rest begins as all bytes of the outbox. False at the end. */
bool wsg_outbox_next(struct wsb_span *rest, struct wsg_out *ret);

#endif
