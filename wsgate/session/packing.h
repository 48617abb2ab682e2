#ifndef WSG_SESSION_PACKING_H
#define WSG_SESSION_PACKING_H

/*
 * Bodies of responses on their way through a compressor. What a handler gives waits here in plain and is packed a piece at a
 * time, when it is its session's turn: a round of the worker packs so much of all of them and no more, however large a part is.
 * What waits here waits for the client and counts in its queue. An exchange whose response is packed has one of these:
 *
 *     IDLE ──a part──▶ WAITS ──all packed──▶ IDLE
 *       └──────the end──▶ LAST ◀──the end──┘
 *                          └──all packed──▶ DONE, and the response is complete
 *
 * While it is WAITS or LAST it stands in the worker's line: first come, first packed, and behind the others for the next piece.
 *
 * Threads   the worker's
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "wsbus/err.h"

enum {
    WSG_PACKING_ROUND = 32 << 10 /* bytes at a level up to 5 that a round packs: about a millisecond, or two at worst */
};

struct wsg_env;
struct wsg_exchange;
struct wsg_packing;
struct wsg_receipt;
struct wsg_session;

/* Those of a worker that have something to pack. */
struct wsg_packing_line {
    struct wsg_packing *first; /* borrowed: an exchange owns each; NULL: there is none */
    size_t spent;              /* since the latest step, by commands; as WSG_PACKING_ROUND counts */
};

/* For the parts that are to come. False: there is no memory for a compressor, or none may be used. */
bool wsg_packing_open(struct wsg_session *s);
/* Idempotent. */
void wsg_packing_free(struct wsg_session *s);

/* Copies `part`; of a response that has not ended. */
WSB_MUST_CHECK wsb_err wsg_packing_add(struct wsg_session *s, struct wsb_span part);
/* No more parts come. */
void wsg_packing_end(struct wsg_session *s);
/* Let `r` end when all that was given so far has been packed and has left. NULL is ignored. */
void wsg_packing_owe(struct wsg_session *s, struct wsg_receipt *r);

/* The rest answer for an exchange that is not packed, or no exchange, too. */
size_t wsg_packing_waiting(const struct wsg_session *s); /* bytes */
bool wsg_packing_is_busy(const struct wsg_exchange *x);  /* something waits, if only the end */
bool wsg_packing_has_end(const struct wsg_exchange *x);  /* LAST: the handler has nothing to do with it any more */

/* What a worker packs into, empty; good until the next call. */
struct wsb_buf *wsg_packing_buffer(struct wsg_env *env);

/* The longest body that may be packed at once, by its level. */
size_t wsg_packing_whole_max(unsigned level);
/* May a command pack something at once? The first ones of a round may. */
bool wsg_packing_has_allowance(const struct wsg_env *env);
void wsg_packing_charge(struct wsg_env *env, size_t bytes, unsigned level);

/* Of each round, before it writes: pack the pieces of those whose turn it is. */
void wsg_packings_step(struct wsg_env *env);
bool wsg_packings_wait(const struct wsg_env *env); /* for the next step */

#endif
