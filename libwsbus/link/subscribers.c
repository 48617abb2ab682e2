/*
 * Two tables by seeded hashes: prefixes, each with a list of its subscriptions, and subscriptions, each of which is in a list of its
 * subscriber as well. Whether somebody has subscribed to something is one look, however long both lists are.
 */
#include "link/subscribers.h"

#include <stdlib.h>

enum { FIRST_TABLE = 64 };

struct wsb_hashed {
    struct wsb_hashed *next; /* of the same place */
    uint64_t hash;
};

struct wsb_subscription {
    struct wsb_hashed hashed; /* first */
    struct wsb_subscription *next_of_prefix, *prev_of_prefix;
    struct wsb_subscription *next_of_subscriber, *prev_of_subscriber;
    struct wsb_subscriber *subscriber;
    struct wsb_prefix *prefix;
};

struct wsb_prefix {
    struct wsb_hashed hashed; /* first */
    struct wsb_subscription *first;
    uint8_t len;
    uint8_t bytes[];
};

void wsb_subscribers_init(struct wsb_subscribers *t, const struct wsb_seed *seed)
{
    *t = (struct wsb_subscribers){.seed = *seed};
}

void wsb_subscribers_deinit(struct wsb_subscribers *t)
{
    free(t->prefixes.places);
    free(t->subscriptions.places);
    t->prefixes = t->subscriptions = (struct wsb_hashed_table){0};
}

/* --------------------------------------------------------------------- tables */

static struct wsb_hashed **place_of(const struct wsb_hashed_table *t, uint64_t hash)
{
    return &t->places[hash & (t->size - 1)];
}

/* Room for one more without chains; false without memory, when there is no table at all. */
static bool grow(struct wsb_hashed_table *t, size_t count)
{
    if (t->places && count < t->size)
        return true;
    struct wsb_hashed_table bigger = {.size = t->places ? t->size * 2 : FIRST_TABLE};
    bigger.places = calloc(bigger.size, sizeof(struct wsb_hashed *));
    if (!bigger.places)
        return t->places != NULL; /* longer chains will do */
    for (size_t i = 0; t->places && i < t->size; i++) {
        struct wsb_hashed *e = t->places[i], *next;
        for (; e; e = next) {
            next = e->next;
            e->next = *place_of(&bigger, e->hash);
            *place_of(&bigger, e->hash) = e;
        }
    }
    free(t->places);
    *t = bigger;
    return true;
}

static void put_in(struct wsb_hashed_table *t, struct wsb_hashed *e)
{
    e->next = *place_of(t, e->hash);
    *place_of(t, e->hash) = e;
}

static void take_out(struct wsb_subscribers *s, struct wsb_hashed_table *t, const struct wsb_hashed *e)
{
    struct wsb_hashed **at = place_of(t, e->hash);
    while (*at != e) {
        at = &(*at)->next;
        s->steps++;
    }
    *at = e->next;
}

/* ------------------------------------------------------------------- prefixes */

static struct wsb_prefix *find(const struct wsb_subscribers *t, struct wsb_span prefix)
{
    if (prefix.len > WSB_TOPIC_MAX || t->lengths[prefix.len] == 0)
        return NULL;
    uint64_t hash = wsb_siphash(&t->seed, prefix);
    for (struct wsb_hashed *e = *place_of(&t->prefixes, hash); e; e = e->next) {
        struct wsb_prefix *p = (struct wsb_prefix *)e;
        if (e->hash == hash && wsb_span_eq(wsb_span(p->bytes, p->len), prefix))
            return p;
    }
    return NULL;
}

static struct wsb_prefix *prefix_add(struct wsb_subscribers *t, struct wsb_span bytes)
{
    struct wsb_prefix *p = grow(&t->prefixes, t->prefix_count) ? malloc(sizeof *p + bytes.len) : NULL;
    if (!p)
        return NULL;
    *p = (struct wsb_prefix){.hashed.hash = wsb_siphash(&t->seed, bytes), .len = (uint8_t)bytes.len};
    if (bytes.len)
        memcpy(p->bytes, bytes.ptr, bytes.len);
    put_in(&t->prefixes, &p->hashed);
    t->lengths[p->len]++;
    t->prefix_count++;
    return p;
}

static void prefix_remove(struct wsb_subscribers *t, struct wsb_prefix *p)
{
    take_out(t, &t->prefixes, &p->hashed);
    t->lengths[p->len]--;
    t->prefix_count--;
    free(p);
}

/* --------------------------------------------------------------- subscriptions */

/* A prefix's hash is secret, so that nobody chooses where a pair comes to lie. */
static uint64_t hash_of(const struct wsb_prefix *p, const struct wsb_subscriber *s)
{
    uint64_t mixed = (p->hashed.hash ^ (uintptr_t)s >> 4) * UINT64_C(0x9e3779b97f4a7c15);
    return mixed ^ mixed >> 32;
}

static struct wsb_subscription *subscription_of(struct wsb_subscribers *t, const struct wsb_prefix *p,
                                                const struct wsb_subscriber *s)
{
    for (struct wsb_hashed *e = *place_of(&t->subscriptions, hash_of(p, s)); e; e = e->next) {
        struct wsb_subscription *n = (struct wsb_subscription *)e;
        t->steps++;
        if (n->prefix == p && n->subscriber == s)
            return n;
    }
    return NULL;
}

static void subscription_remove(struct wsb_subscribers *t, struct wsb_subscription *n)
{
    struct wsb_subscriber *s = n->subscriber;
    struct wsb_prefix *p = n->prefix;
    take_out(t, &t->subscriptions, &n->hashed);
    if (n->prev_of_prefix)
        n->prev_of_prefix->next_of_prefix = n->next_of_prefix;
    else
        p->first = n->next_of_prefix;
    if (n->next_of_prefix)
        n->next_of_prefix->prev_of_prefix = n->prev_of_prefix;
    if (n->prev_of_subscriber)
        n->prev_of_subscriber->next_of_subscriber = n->next_of_subscriber;
    else
        s->first = n->next_of_subscriber;
    if (n->next_of_subscriber)
        n->next_of_subscriber->prev_of_subscriber = n->prev_of_subscriber;
    free(n);
    s->count--;
    t->count--;
    if (!p->first)
        prefix_remove(t, p);
}

/* Those who came first do not keep out those who come later: a few are everybody's. */
static bool has_all(const struct wsb_subscribers *t, const struct wsb_subscriber *s)
{
    return s->count >= WSB_SUBSCRIPTIONS_EACH ||
           (t->count >= WSB_SUBSCRIPTIONS_ALL && s->count >= WSB_SUBSCRIPTIONS_SURE);
}

wsb_err wsb_subscribers_add(struct wsb_subscribers *t, struct wsb_subscriber *s, struct wsb_span prefix)
{
    if (prefix.len > WSB_TOPIC_MAX)
        return WSB_OK;
    struct wsb_prefix *p = find(t, prefix);
    if (p && subscription_of(t, p, s))
        return WSB_OK;
    if (has_all(t, s))
        return WSB_ERR_LIMIT;
    struct wsb_subscription *n = grow(&t->subscriptions, t->count) ? malloc(sizeof *n) : NULL;
    p = p || !n ? p : prefix_add(t, prefix);
    if (!n || !p) {
        free(n);
        return WSB_ERR_NOMEM;
    }
    *n = (struct wsb_subscription){.hashed.hash = hash_of(p, s),
                                   .next_of_prefix = p->first,
                                   .next_of_subscriber = s->first,
                                   .subscriber = s,
                                   .prefix = p};
    put_in(&t->subscriptions, &n->hashed);
    if (p->first)
        p->first->prev_of_prefix = n;
    if (s->first)
        s->first->prev_of_subscriber = n;
    p->first = s->first = n;
    s->count++;
    t->count++;
    return WSB_OK;
}

void wsb_subscribers_remove(struct wsb_subscribers *t, struct wsb_subscriber *s, struct wsb_span prefix)
{
    struct wsb_prefix *p = find(t, prefix);
    struct wsb_subscription *n = p ? subscription_of(t, p, s) : NULL;
    if (n)
        subscription_remove(t, n);
}

void wsb_subscribers_leave(struct wsb_subscribers *t, struct wsb_subscriber *s)
{
    struct wsb_subscription *n = s->first, *next;
    for (; n; n = next) {
        next = n->next_of_subscriber;
        subscription_remove(t, n);
    }
}

/* ---------------------------------------------------------------------- topics */

static size_t longest_of(struct wsb_span topic)
{
    return topic.len < WSB_TOPIC_MAX ? topic.len : WSB_TOPIC_MAX;
}

bool wsb_subscribers_want(const struct wsb_subscribers *t, struct wsb_span topic)
{
    for (size_t len = 0; t->count && len <= longest_of(topic); len++) {
        if (find(t, wsb_span(topic.ptr, len)))
            return true;
    }
    return false;
}

void wsb_subscribers_each(struct wsb_subscribers *t, struct wsb_span topic,
                          void (*fn)(void *ctx, struct wsb_subscriber *s), void *ctx)
{
    t->topics++;
    for (size_t len = 0; t->count && len <= longest_of(topic); len++) {
        const struct wsb_prefix *p = find(t, wsb_span(topic.ptr, len));
        for (struct wsb_subscription *n = p ? p->first : NULL; n; n = n->next_of_prefix) {
            if (n->subscriber->seen == t->topics)
                continue;
            n->subscriber->seen = t->topics;
            fn(ctx, n->subscriber);
        }
    }
}
