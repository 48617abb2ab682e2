#ifndef WSG_SESSION_UNFINISHED_H
#define WSG_SESSION_UNFINISHED_H

/*
 * Messages of clients that have begun and are not complete: how much memory all of them take, since when each has been on its way, and
 * what of it has been charged. When they take too much, workers that have more than their share of it end one that holds the most:
 * of those of its size, within a factor of two, the one that came to it first.
 *
 * Threads   the account any; the rest the worker's
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsg_session;

enum { WSG_UNFINISHED_SIZES = 40 /* powers of two */ };

/* Of all workers. */
struct wsg_unfinished_account {
    size_t max;   /* bytes */
    size_t share; /* of it, for each worker */
    _Atomic size_t used;
};

/* Of one session, while a message is in flight. */
struct wsg_unfinished {
    struct wsg_session *session;        /* borrowed: whose it is */
    struct wsg_unfinished *prev, *next; /* of the worker's of its size */
    size_t held;                        /* bytes that are accounted for */
    size_t charged;                     /* bytes of its payload that the rates know of */
    uint64_t since_ms;                  /* when it began */
};

/* After bytes of the client were looked at: the account follows. The session may be ended, and others. */
void wsg_unfinished_follow(struct wsg_session *s);
/* Idempotent. */
void wsg_unfinished_end(struct wsg_session *s);
/* The message of so many bytes is complete: those that the rates do not know of yet. */
size_t wsg_unfinished_rest(struct wsg_session *s, size_t len);

#endif
