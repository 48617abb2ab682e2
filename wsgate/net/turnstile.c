/* A bucket of passes, the lower half of which is kept for those who have had little. */
#include "net/turnstile.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 2,
    PLACES = 4096, /* of a row; a power of two */
    PASS = 1000,   /* of the bucket */
    SECOND_MS = 1000,
    WAIT_MAX = 60 /* seconds */
};

struct wsg_turnstile {
    pthread_mutex_t lock;
    struct wsg_turnstile_limits limits;
    struct wsb_seed seed;
    uint64_t passes; /* left, in thousandths */
    uint64_t counted_ms;
    uint64_t second; /* the one that the table is about */
    uint32_t came, came_before, turned_away;
    uint32_t passed[ROWS][PLACES]; /* of an address: the smaller of its two, should others be at the one */
    uint8_t has_come[PLACES];
};

static uint32_t more_of(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void refill(struct wsg_turnstile *t, uint64_t now_ms)
{
    uint64_t most = (uint64_t)t->limits.burst * PASS;
    if (now_ms <= t->counted_ms) /* another worker's clock may be a little behind */
        return;
    uint64_t elapsed_ms = now_ms - t->counted_ms;
    if (elapsed_ms > (most - t->passes) / t->limits.rate)
        t->passes = most;
    else
        t->passes += elapsed_ms * t->limits.rate; /* thousandths: so many a millisecond */
    t->counted_ms = now_ms;
}

static void turn_page(struct wsg_turnstile *t, uint64_t now_ms)
{
    uint64_t second = now_ms / SECOND_MS;
    if (second <= t->second)
        return;
    t->came_before = second == t->second + 1 ? t->came : 0;
    t->came = 0;
    uint64_t passed_since = (second - t->second) * t->limits.rate; /* of those who were asked to come back */
    t->turned_away -= (uint32_t)(passed_since < t->turned_away ? passed_since : t->turned_away);
    t->second = second;
    memset(t->passed, 0, sizeof t->passed);
    memset(t->has_come, 0, sizeof t->has_come);
}

static uint64_t hash_of(const struct wsg_turnstile *t, const struct wsb_ip *ip)
{
    struct wsb_ip who = wsb_ip_household(ip);
    uint8_t key[sizeof who.at + sizeof t->second];
    memcpy(key, who.at, sizeof who.at);
    memcpy(key + sizeof who.at, &t->second, sizeof t->second);
    return wsb_siphash(&t->seed, wsb_span(key, sizeof key));
}

static uint32_t pass(struct wsg_turnstile *t, const struct wsb_ip *ip, uint64_t now_ms)
{
    refill(t, now_ms);
    turn_page(t, now_ms);
    uint64_t hash = hash_of(t, ip);
    uint32_t *places[ROWS] = {&t->passed[0][hash % PLACES], &t->passed[1][(hash >> 32) % PLACES]};
    uint8_t *came = &t->has_come[hash % PLACES];
    t->came += !*came;
    *came = 1;
    uint32_t passed = *places[0] < *places[1] ? *places[0] : *places[1];
    uint32_t share = more_of(1, t->limits.rate / (more_of(t->came, t->came_before) + 1)); /* one may still come */
    /* Its share comes to it in the course of the second: what is kept for others is not all gone at its beginning. */
    bool is_modest = passed < share && (uint64_t)passed * SECOND_MS <= share * (now_ms % SECOND_MS);
    uint64_t kept = is_modest ? 0 : (uint64_t)(t->limits.burst / 2) * PASS;
    if (t->passes < PASS + kept) {
        uint32_t wait = 1 + t->turned_away++ / t->limits.rate;
        return wait < WAIT_MAX ? wait : WAIT_MAX;
    }
    t->passes -= PASS;
    for (int i = 0; i < ROWS; i++)
        ++*places[i];
    return 0;
}

uint32_t wsg_turnstile_pass(struct wsg_turnstile *t, const struct wsb_ip *ip, uint64_t now_ms)
{
    pthread_mutex_lock(&t->lock);
    uint32_t wait = pass(t, ip, now_ms);
    pthread_mutex_unlock(&t->lock);
    return wait;
}

wsb_err wsg_turnstile_new(struct wsg_turnstile **ret, const struct wsg_turnstile_limits *limits,
                          const struct wsb_seed *seed)
{
    struct wsg_turnstile *t = calloc(1, sizeof *t);
    if (!t)
        return WSB_ERR_NOMEM;
    pthread_mutex_init(&t->lock, NULL);
    t->limits.rate = more_of(limits->rate, 1);
    t->limits.burst = more_of(limits->burst, 2);
    t->seed = *seed;
    t->passes = (uint64_t)t->limits.burst * PASS;
    *ret = t;
    return WSB_OK;
}

void wsg_turnstile_free(struct wsg_turnstile *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    free(t);
}
