#ifndef WSG_BUS_LANE_H
#define WSG_BUS_LANE_H

/*
 * The connections that are in the same hands: a handler's, or nobody's yet. A connection is in one of two lists of its lane: of those
 * that stay, or of those that move away. What has to be done with all that stay is a walk, which is done some at a time; so a lane
 * keeps for each kind of walk where it goes on, and a connection that leaves, or changes its place, is in no walk's way.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsg_pin;

enum wsg_walk {
    WSG_WALK_PAUSE,   /* none of them is to be read */
    WSG_WALK_DRAIN,   /* they are to move away */
    WSG_WALK_STREAMS, /* responses that go on are to end */
    WSG_WALKS
};

struct wsg_lane {
    struct wsg_pin *pins;    /* borrowed list: they stay */
    struct wsg_pin *moving;  /* borrowed list: they move; the one that began first is first */
    struct wsg_pin *waiting; /* borrowed list, of both: with events that were not sent, or paused */
    uint32_t count;          /* of both */
    uint32_t waiting_count;
    uint32_t unopened;                /* of a handler's: it has not been told of them */
    size_t unsent_bytes;              /* of all its pins */
    bool all_paused;                  /* too much is unsent: none of its clients is read */
    struct wsg_pin *walks[WSG_WALKS]; /* borrowed: whose turn it is; NULL: nobody's */
};

/* The pin is in no lane; then it stays in this one. */
void wsg_lane_add(struct wsg_lane *lane, struct wsg_pin *p);
/* From whichever list it is in. */
void wsg_lane_remove(struct wsg_lane *lane, struct wsg_pin *p);
/* One that stays stands behind the others that do. */
void wsg_lane_rotate(struct wsg_lane *lane, struct wsg_pin *p);
/* It stays, and moves from now on; and the reverse. */
void wsg_lane_begin_move(struct wsg_lane *lane, struct wsg_pin *p);
void wsg_lane_end_move(struct wsg_lane *lane, struct wsg_pin *p);
/* Any of them; NULL: it is empty. */
struct wsg_pin *wsg_lane_any(const struct wsg_lane *lane);
/* The one behind it; of those that stay first. NULL: the first, or the end. */
struct wsg_pin *wsg_lane_next(const struct wsg_lane *lane, const struct wsg_pin *p);

/* Begin a walk, also in the middle of one. */
void wsg_lane_walk(struct wsg_lane *lane, enum wsg_walk walk);
/* The next one of it; NULL: it is over. It may leave before it is asked for again, and so may any other. */
struct wsg_pin *wsg_lane_step(struct wsg_lane *lane, enum wsg_walk walk);

#endif
