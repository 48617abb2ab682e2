/*
 * Who has something to write when a round ends, and in which order. A round writes to some of them and of no more than some bytes; the
 * rest is for the next round, which begins at once. So nobody waits long for the others of his worker, however many
 * of them there is something for.
 *
 * A round first packs pieces of what waits for that, see packing.h, so that they leave with the rest.
 *
 * What is for one client stands in `dirty`. What is for many stands in `fan`, behind that, and may wait a moment for more: docs/adr/0007.
 *
 * Threads   the worker's
 */
#ifndef WSG_SESSION_FLUSH_H
#define WSG_SESSION_FLUSH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsg_session;
struct wsg_env;

/* In the order in which they were marked. A session is in one line, once, until it was its turn, even when it dies. */
struct wsg_line {
    struct wsg_session *first, *last; /* last says nothing while there is none */
    uint32_t count;
};

struct wsg_fan {
    struct wsg_line line;
    uint32_t leaving;    /* so many of the first ones leave in this round and the next ones; 0: nobody does */
    bool is_large;       /* they are many */
    bool more_comes;     /* the worker's: commands for very many are under way, which leave together with these */
    uint64_t held_us;    /* since when these wait for those; 0: they do not */
    uint64_t flushed_us; /* when the latest large one was done; 0: never */
};

/* What a round may still write. */
struct wsg_allowance {
    uint32_t sessions; /* to write to, or to end */
    size_t bytes;
};

struct wsg_flushing {
    struct wsg_line dirty;
    uint32_t ended;            /* sessions that were killed or shut since the last round */
    struct wsg_allowance left; /* of what is for one client */
    struct wsg_fan fan;
};

/* It has something to write, for its client alone; or what many get, which may wait a moment for more. Idempotent. */
void wsg_session_mark_dirty(struct wsg_session *s);
void wsg_session_mark_fanned(struct wsg_session *s);
/* Write now: somebody is about to be called slow. */
void wsg_session_make_room(struct wsg_session *s);

/* The end of a round: write what the sessions have queued, or so much of it as a round may, and wake the loop for the rest. */
void wsg_sessions_flush(struct wsg_env *env);

/* The same for what that has led to, within what it has left over. */
void wsg_sessions_flush_more(struct wsg_env *env);

/* Somebody has something to write, or has died while it had. */
bool wsg_sessions_are_in_line(const struct wsg_env *env);

#endif
