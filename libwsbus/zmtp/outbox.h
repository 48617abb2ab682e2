#ifndef WSB_ZMTP_OUTBOX_H
#define WSB_ZMTP_OUTBOX_H

/*
 * What is to be written to one ZeroMQ peer: frames, in order, without a copy of payloads. The caller gathers what is ready, writes
 * it, and says how much of it has left. With CURVE messages are sealed first, in steps. Pure but for memory.
 */

#include <sys/uio.h>

#include "base/block.h"
#include "base/span.h"
#include "wire/envelope.h"
#include "zmtp/curvezmq.h"

struct wsb_zmtp_out;

struct wsb_zmtp_outbox {
    struct wsb_zmtp_out *first, *last; /* owned */
    struct wsb_zmtp_out *unsealed; /* from here on messages are as they were pushed; NULL: nothing has to be sealed */
    size_t done;                   /* bytes of `first` that have left */
    size_t bytes;                  /* that have not left, with what they cost besides */
    size_t own;                    /* of them, those that no other outbox shares, or will not when they are sealed */
    size_t count;                  /* messages and commands that have not left */
    size_t commands;               /* commands among them */
    struct wsb_account *copies;    /* borrowed: what is sealed beside a shared block is charged to it */
    struct wsb_zmtp_sealing *sealing; /* owned; NULL: nothing is half sealed */
};

/* One message: an envelope, and in front of it a topic where there is one. */
struct wsb_zmtp_parcel {
    struct wsb_span topic; /* empty: none */
    bool
        is_record; /* the envelope is one part, a record, and not one part for each of what it has; there is no topic */
    const struct wsb_header *header;
    struct wsb_block *payload;
    struct wsb_span meta;
};

void wsb_zmtp_outbox_init(struct wsb_zmtp_outbox *o, struct wsb_account *copies);
void wsb_zmtp_outbox_deinit(struct wsb_zmtp_outbox *o); /* empty and usable afterwards */
/* What will never leave, at once behind what is in `waste` already; `o` is empty and usable afterwards. */
void wsb_zmtp_outbox_throw(struct wsb_zmtp_outbox *o, struct wsb_zmtp_outbox *waste);
/* Free about so many bytes of waste, or of as many messages as cost that. Returns how many are left of `bytes`. */
size_t wsb_zmtp_outbox_shed(struct wsb_zmtp_outbox *waste, size_t bytes);

/* Bytes that are frames already, or the greeting; they are copied. */
WSB_MUST_CHECK wsb_err wsb_zmtp_outbox_push_raw(struct wsb_zmtp_outbox *o, struct wsb_span bytes);
/* The body of a command. is_curve: it has to be sealed. */
WSB_MUST_CHECK wsb_err wsb_zmtp_outbox_push_command(struct wsb_zmtp_outbox *o, struct wsb_span body, bool is_curve);
/* Takes the payload, whatever it returns. WSB_ERR_NOMEM. */
WSB_MUST_CHECK wsb_err wsb_zmtp_outbox_push(struct wsb_zmtp_outbox *o, const struct wsb_zmtp_parcel *parcel,
                                            bool is_curve);

enum { WSB_ZMTP_BOX_COST = 256 /* of a box beside its bytes, in bytes */ };

/* What a message will add to `own`. */
size_t wsb_zmtp_outbox_cost(const struct wsb_zmtp_parcel *parcel, bool is_curve);

/* Seal about so many bytes more. WSB_OK: all is sealed, or *budget is used up; WSB_ERR_NOMEM: the peer is to be ended. */
WSB_MUST_CHECK wsb_err wsb_zmtp_outbox_seal(struct wsb_zmtp_outbox *o, struct wsb_curvezmq_session *session,
                                            size_t *budget);

/* What is ready to leave. Returns how many of `iov` are filled. */
size_t wsb_zmtp_outbox_gather(const struct wsb_zmtp_outbox *o, struct iovec *iov, size_t max, size_t *ret_bytes);
void wsb_zmtp_outbox_advance(struct wsb_zmtp_outbox *o, size_t bytes);

static inline bool wsb_zmtp_outbox_is_empty(const struct wsb_zmtp_outbox *o)
{
    return o->first == NULL;
}

/* Something is ready to leave. */
static inline bool wsb_zmtp_outbox_is_ready(const struct wsb_zmtp_outbox *o)
{
    return o->first != o->unsealed;
}

#endif
