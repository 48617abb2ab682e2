#ifndef WSB_LINK_SUBSCRIBERS_H
#define WSB_LINK_SUBSCRIBERS_H

/*
 * Who subscribed to what: prefixes of topics, each with those who want it. Whom a topic is for is found by looking up its
 * prefixes, one for each length that somebody has asked for, however many subscriptions there are. What one subscriber may
 * hold is bounded, and what all of them may.
 *
 * Threads   one at a time
 */

#include "base/siphash.h"
#include "base/span.h"
#include "wsbus/err.h"

enum {
    WSB_TOPIC_MAX = 127,             /* a longer subscription fits no topic; it is not kept */
    WSB_SUBSCRIPTIONS_EACH = 1024,   /* of one subscriber */
    WSB_SUBSCRIPTIONS_ALL = 1 << 14, /* of all */
    WSB_SUBSCRIPTIONS_SURE = 16      /* of one subscriber, also when all have so many */
};

struct wsb_subscription;

/* One who subscribes; embedded. */
struct wsb_subscriber {
    struct wsb_subscription *first; /* owned: what it wants */
    uint32_t count;
    uint64_t seen; /* the last topic that it was found for: once, however many of its subscriptions fit */
};

struct wsb_hashed;

struct wsb_hashed_table {
    struct wsb_hashed **places; /* owned; NULL while there is nothing in it */
    size_t size;                /* a power of two */
};

struct wsb_subscribers {
    struct wsb_hashed_table prefixes, subscriptions;
    struct wsb_seed seed;
    uint32_t lengths[WSB_TOPIC_MAX + 1]; /* how many prefixes of each length there are */
    size_t count;                        /* subscriptions */
    size_t prefix_count;
    uint64_t topics; /* that were looked up */
    uint64_t steps;  /* the work that finding and removing subscriptions was */
};

void wsb_subscribers_init(struct wsb_subscribers *t, const struct wsb_seed *seed);
void wsb_subscribers_deinit(struct wsb_subscribers *t); /* when all subscribers have left */

/* Idempotent. WSB_ERR_LIMIT: it has all that one may have, or all have, and it has more than a few; WSB_ERR_NOMEM. */
WSB_MUST_CHECK wsb_err wsb_subscribers_add(struct wsb_subscribers *t, struct wsb_subscriber *s, struct wsb_span prefix);
void wsb_subscribers_remove(struct wsb_subscribers *t, struct wsb_subscriber *s, struct wsb_span prefix);
/* All that it wants. Idempotent. */
void wsb_subscribers_leave(struct wsb_subscribers *t, struct wsb_subscriber *s);

/* Does anybody want it? */
bool wsb_subscribers_want(const struct wsb_subscribers *t, struct wsb_span topic);
/* Call fn once for each subscriber that wants it; fn must not change who subscribes. */
void wsb_subscribers_each(struct wsb_subscribers *t, struct wsb_span topic,
                          void (*fn)(void *ctx, struct wsb_subscriber *s), void *ctx);

#endif
