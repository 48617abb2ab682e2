#ifndef WSG_GATE_PARCEL_H
#define WSG_GATE_PARCEL_H

/*
 * A command on its way to another worker, with everything that it points at in one piece, behind others in a buffer. Only a message
 * that is framed already stays where it is: the parcel holds a reference to it. Parcels never leave the process, so they are
 * trusted. Pure.
 */

#include "session/command.h"

/* An id is short, and to carry out a command on it takes long: what waits, PAUSE above all, must not wait behind millions. */
enum { WSG_PARCEL_TARGET = 4096 };

/* One parcel; the pointers in it are valid as long as the bytes that it was read from, and itself, are. */
struct wsg_parcel {
    struct wsg_command command;
    const wsb_conn *ids;
    size_t count;
    size_t weight; /* bytes that it keeps in memory, and WSG_PARCEL_TARGET for each connection */
    struct wsg_field fields[WSG_FIELDS_MAX];
};

/* Append the command. *ret_weight grows by what wsg_parcel_next() will say. */
WSB_MUST_CHECK wsb_err wsg_parcel_put(struct wsb_buf *to, const struct wsg_command *c, const wsb_conn *ids,
                                      size_t count, uint64_t *ret_weight);
/* Walk over parcels; *rest begins as all bytes of them, at a multiple of 8. False at the end. */
bool wsg_parcel_next(struct wsb_span *rest, struct wsg_parcel *ret);
/* The parcel was carried out: what it holds is let go. */
void wsg_parcel_done(struct wsg_parcel *p);

/* Parcels that are carried out in steps: some of the connections of one, then the next. Zero: none. */
struct wsg_errands {
    bool are_open;
    struct wsb_span rest;  /* borrowed: parcels that were not looked at */
    struct wsg_parcel now; /* owned, while has_now */
    size_t at;             /* how many of its connections were given out */
    bool has_now;
    uint64_t done_weight; /* of all that were carried out, ever: what wsg_parcel_put() has said of them */
};

/* A command and some of the connections that it is for. */
struct wsg_errand {
    const struct wsg_command *command;
    const wsb_conn *ids;
    size_t count;
};

/* When there are none. The load is valid until there are none again. */
void wsg_errands_begin(struct wsg_errands *e, struct wsb_span load);
/*
 * The next one, for no more than `most` connections; it is valid until the next call.
 * False: all of them were carried out, and there are none now.
 */
bool wsg_errands_next(struct wsg_errands *e, size_t most, struct wsg_errand *ret);
void wsg_errands_drop(struct wsg_errands *e); /* what is left is not carried out */

#endif
