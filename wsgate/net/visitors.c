/*
 * A hash table of addresses with a seed of its own, since strangers choose the keys. Those without connections are in a
 * list too, the one that has been so for the longest first: it is looked at whenever somebody comes, and emptied from
 * the front.
 */
#include "net/visitors.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum { FIRST_BUCKETS = 64, FORGET_PER_VISIT = 2, TOKEN = 1000 /* of an allowance: one connection */ };

struct visitor {
    struct wsb_ip ip;
    uint32_t connections;
    uint64_t allowance;            /* in thousandths of a connection */
    uint64_t counted_ms;           /* when that was */
    struct visitor *next;          /* in its bucket */
    struct visitor *older, *newer; /* while it has no connections */
};

struct wsg_visitors {
    pthread_mutex_t lock;
    struct wsg_visitor_limits limits;
    struct wsb_seed seed;
    size_t most;
    struct visitor **buckets; /* owned, as what hangs on it */
    size_t bucket_count;      /* a power of two */
    size_t count;
    struct visitor *oldest, *newest; /* of those without connections */
};

static bool is_unix(const struct wsb_ip *ip)
{
    static const struct wsb_ip none;
    return memcmp(ip, &none, sizeof none) == 0;
}

static struct visitor **bucket_of(const struct wsg_visitors *v, const struct wsb_ip *ip)
{
    return &v->buckets[wsb_siphash(&v->seed, wsb_span(ip->at, sizeof ip->at)) & (v->bucket_count - 1)];
}

static struct visitor *find(const struct wsg_visitors *v, const struct wsb_ip *ip)
{
    struct visitor *one = *bucket_of(v, ip);
    while (one && memcmp(&one->ip, ip, sizeof *ip) != 0)
        one = one->next;
    return one;
}

static void idle_remove(struct wsg_visitors *v, struct visitor *one)
{
    *(one->older ? &one->older->newer : &v->oldest) = one->newer;
    *(one->newer ? &one->newer->older : &v->newest) = one->older;
    one->older = one->newer = NULL;
}

static void idle_append(struct wsg_visitors *v, struct visitor *one)
{
    one->older = v->newest;
    one->newer = NULL;
    *(v->newest ? &v->newest->newer : &v->oldest) = one;
    v->newest = one;
}

/* One without connections. */
static void forget(struct wsg_visitors *v, struct visitor *one)
{
    struct visitor **at = bucket_of(v, &one->ip);
    while (*at != one)
        at = &(*at)->next;
    *at = one->next;
    idle_remove(v, one);
    v->count--;
    free(one);
}

static void refill(const struct wsg_visitors *v, struct visitor *one, uint64_t now_ms)
{
    uint64_t most = (uint64_t)v->limits.burst * TOKEN;
    if (now_ms <= one->counted_ms) /* another worker's clock may be a little behind */
        return;
    uint64_t elapsed_ms = now_ms - one->counted_ms;
    if (v->limits.rate == 0 || elapsed_ms > (most - one->allowance) / v->limits.rate)
        one->allowance = most;
    else
        one->allowance += elapsed_ms * v->limits.rate; /* thousandths: so many a millisecond */
    one->counted_ms = now_ms;
}

/* Those who would be let in as if they had never been here. */
static void forget_some(struct wsg_visitors *v, uint64_t now_ms)
{
    for (int i = 0; i < FORGET_PER_VISIT && v->oldest; i++) {
        refill(v, v->oldest, now_ms);
        if (v->oldest->allowance < (uint64_t)v->limits.burst * TOKEN)
            return;
        forget(v, v->oldest);
    }
}

static void grow(struct wsg_visitors *v)
{
    struct visitor **before = v->buckets;
    size_t count = v->bucket_count;
    struct visitor **buckets = calloc(count * 2, sizeof(struct visitor *));
    if (!buckets)
        return; /* longer chains, until there is memory */
    v->buckets = buckets;
    v->bucket_count = count * 2;
    for (size_t i = 0; i < count; i++) {
        while (before[i]) {
            struct visitor *one = before[i];
            struct visitor **to = bucket_of(v, &one->ip);
            before[i] = one->next;
            one->next = *to;
            *to = one;
        }
    }
    free(before);
}

static struct visitor *add(struct wsg_visitors *v, const struct wsb_ip *ip, uint64_t now_ms)
{
    if (v->count >= v->most && v->oldest)
        forget(v, v->oldest);
    struct visitor *one = v->count < v->most ? malloc(sizeof *one) : NULL;
    if (!one)
        return NULL;
    if (v->count >= v->bucket_count)
        grow(v);
    struct visitor **bucket = bucket_of(v, ip);
    *one = (struct visitor){.ip = *ip, .counted_ms = now_ms, .next = *bucket};
    one->allowance = (uint64_t)v->limits.burst * TOKEN;
    *bucket = one;
    v->count++;
    idle_append(v, one);
    return one;
}

static enum wsg_visit enter(struct wsg_visitors *v, const struct wsb_ip *ip, uint64_t now_ms)
{
    forget_some(v, now_ms);
    struct visitor *one = find(v, ip);
    if (!one)
        one = add(v, ip, now_ms);
    if (!one)
        return WSG_VISIT_NO_MEMORY;
    refill(v, one, now_ms);
    if (v->limits.connections && one->connections >= v->limits.connections)
        return WSG_VISIT_TOO_MANY;
    if (v->limits.rate && one->allowance < TOKEN)
        return WSG_VISIT_TOO_FAST;
    if (one->connections++ == 0)
        idle_remove(v, one);
    if (v->limits.rate)
        one->allowance -= TOKEN;
    return WSG_VISIT_WELCOME;
}

enum wsg_visit wsg_visitors_enter(struct wsg_visitors *v, const struct wsb_ip *ip, uint64_t now_ms)
{
    struct wsb_ip who = wsb_ip_household(ip);
    if (is_unix(ip))
        return WSG_VISIT_WELCOME;
    pthread_mutex_lock(&v->lock);
    enum wsg_visit visit = enter(v, &who, now_ms);
    pthread_mutex_unlock(&v->lock);
    return visit;
}

void wsg_visitors_leave(struct wsg_visitors *v, const struct wsb_ip *ip, uint64_t now_ms)
{
    struct wsb_ip who = wsb_ip_household(ip);
    if (is_unix(ip))
        return;
    pthread_mutex_lock(&v->lock);
    struct visitor *one = find(v, &who);
    assert(one && one->connections > 0); /* who leaves has entered */
    if (--one->connections == 0)
        idle_append(v, one);
    forget_some(v, now_ms);
    pthread_mutex_unlock(&v->lock);
}

size_t wsg_visitors_count(struct wsg_visitors *v)
{
    pthread_mutex_lock(&v->lock);
    size_t count = v->count;
    pthread_mutex_unlock(&v->lock);
    return count;
}

wsb_err wsg_visitors_new(struct wsg_visitors **ret, const struct wsg_visitor_limits *limits, size_t most,
                         const struct wsb_seed *seed)
{
    struct wsg_visitors *v = calloc(1, sizeof *v);
    if (v)
        v->buckets = calloc(FIRST_BUCKETS, sizeof(struct visitor *));
    if (!v || !v->buckets) {
        free(v);
        return WSB_ERR_NOMEM;
    }
    pthread_mutex_init(&v->lock, NULL);
    v->limits = *limits;
    v->limits.burst = limits->burst ? limits->burst : 1;
    v->seed = *seed;
    v->most = most;
    v->bucket_count = FIRST_BUCKETS;
    *ret = v;
    return WSB_OK;
}

void wsg_visitors_free(struct wsg_visitors *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->bucket_count; i++) {
        while (v->buckets[i]) {
            struct visitor *one = v->buckets[i];
            v->buckets[i] = one->next;
            free(one);
        }
    }
    free(v->buckets);
    pthread_mutex_destroy(&v->lock);
    free(v);
}
