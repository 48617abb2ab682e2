/* A table of prefixes by their seeded hash; each has a list of subscriptions, which are in a list of their subscriber's as well. */
#include "link/subscribers.h"

#include <stdlib.h>

enum { FIRST_TABLE = 64 };

struct wsb_subscription {
    struct wsb_subscription *next_of_prefix, *prev_of_prefix;
    struct wsb_subscription *next_of_subscriber, *prev_of_subscriber;
    struct wsb_subscriber *subscriber;
    struct wsb_prefix *prefix;
};

struct wsb_prefix {
    struct wsb_prefix *next; /* of the same place in the table */
    struct wsb_subscription *first;
    uint64_t hash;
    uint8_t len;
    uint8_t bytes[];
};

void wsb_subscribers_init(struct wsb_subscribers *t, const struct wsb_seed *seed)
{
    *t = (struct wsb_subscribers){.seed = *seed};
}

void wsb_subscribers_deinit(struct wsb_subscribers *t)
{
    free(t->table);
    t->table = NULL;
    t->table_size = 0;
}

/* ------------------------------------------------------------------- prefixes */

static struct wsb_prefix **place_of(const struct wsb_subscribers *t, uint64_t hash)
{
    return &t->table[hash & (t->table_size - 1)];
}

static struct wsb_prefix *find(const struct wsb_subscribers *t, struct wsb_span prefix)
{
    if (prefix.len > WSB_TOPIC_MAX || t->lengths[prefix.len] == 0)
        return NULL;
    uint64_t hash = wsb_siphash(&t->seed, prefix);
    for (struct wsb_prefix *p = *place_of(t, hash); p; p = p->next) {
        if (p->hash == hash && wsb_span_eq(wsb_span(p->bytes, p->len), prefix))
            return p;
    }
    return NULL;
}

/* Room for one more without chains; false without memory, when there is no table at all. */
static bool grow(struct wsb_subscribers *t)
{
    if (t->table && t->prefix_count < t->table_size)
        return true;
    struct wsb_subscribers bigger = *t;
    bigger.table_size = t->table ? t->table_size * 2 : FIRST_TABLE;
    bigger.table = calloc(bigger.table_size, sizeof(struct wsb_prefix *));
    if (!bigger.table)
        return t->table != NULL; /* longer chains will do */
    for (size_t i = 0; t->table && i < t->table_size; i++) {
        struct wsb_prefix *p = t->table[i], *next;
        for (; p; p = next) {
            next = p->next;
            p->next = *place_of(&bigger, p->hash);
            *place_of(&bigger, p->hash) = p;
        }
    }
    free(t->table);
    t->table = bigger.table;
    t->table_size = bigger.table_size;
    return true;
}

static struct wsb_prefix *prefix_add(struct wsb_subscribers *t, struct wsb_span bytes)
{
    struct wsb_prefix *p = grow(t) ? malloc(sizeof *p + bytes.len) : NULL;
    if (!p)
        return NULL;
    *p = (struct wsb_prefix){.hash = wsb_siphash(&t->seed, bytes), .len = (uint8_t)bytes.len};
    if (bytes.len)
        memcpy(p->bytes, bytes.ptr, bytes.len);
    p->next = *place_of(t, p->hash);
    *place_of(t, p->hash) = p;
    t->lengths[p->len]++;
    t->prefix_count++;
    return p;
}

static void prefix_remove(struct wsb_subscribers *t, struct wsb_prefix *p)
{
    struct wsb_prefix **at = place_of(t, p->hash);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    t->lengths[p->len]--;
    t->prefix_count--;
    free(p);
}

/* --------------------------------------------------------------- subscriptions */

/* Of the two lists that it could be in, neither is long: a subscriber's is bounded, and it is the shorter one of a rare prefix. */
static struct wsb_subscription *subscription_of(const struct wsb_prefix *p, const struct wsb_subscriber *s)
{
    struct wsb_subscription *a = p->first, *b = s->first;
    while (a && b) { /* both at once, as far as the shorter one goes */
        if (a->subscriber == s)
            return a;
        if (b->prefix == p)
            return b;
        a = a->next_of_prefix;
        b = b->next_of_subscriber;
    }
    return NULL;
}

static void subscription_remove(struct wsb_subscribers *t, struct wsb_subscription *n)
{
    struct wsb_subscriber *s = n->subscriber;
    struct wsb_prefix *p = n->prefix;
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

wsb_err wsb_subscribers_add(struct wsb_subscribers *t, struct wsb_subscriber *s, struct wsb_span prefix)
{
    if (prefix.len > WSB_TOPIC_MAX)
        return WSB_OK;
    struct wsb_prefix *p = find(t, prefix);
    if (p && subscription_of(p, s))
        return WSB_OK;
    if (s->count >= WSB_SUBSCRIPTIONS_EACH || t->count >= WSB_SUBSCRIPTIONS_ALL)
        return WSB_ERR_LIMIT;
    struct wsb_subscription *n = malloc(sizeof *n);
    p = p || !n ? p : prefix_add(t, prefix);
    if (!n || !p) {
        free(n);
        return WSB_ERR_NOMEM;
    }
    *n = (struct wsb_subscription){
        .next_of_prefix = p->first, .next_of_subscriber = s->first, .subscriber = s, .prefix = p};
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
    struct wsb_subscription *n = p ? subscription_of(p, s) : NULL;
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
