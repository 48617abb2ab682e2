/* See the header. */
#include "session/body_clock.h"

void wsg_body_clock_start(struct wsg_body_clock *c, uint64_t now_ms)
{
    if (c->runs)
        return;
    c->runs = true;
    c->since_ms = c->heard_ms = now_ms;
}

void wsg_body_clock_stop(struct wsg_body_clock *c, uint64_t now_ms)
{
    if (!c->runs)
        return;
    c->runs = false;
    c->used_ms += now_ms - c->since_ms;
}

void wsg_body_clock_hear(struct wsg_body_clock *c, uint64_t now_ms)
{
    c->heard_ms = now_ms;
}

static uint64_t left_of(uint64_t limit_ms, uint64_t used_ms)
{
    return used_ms < limit_ms ? limit_ms - used_ms : 0;
}

uint64_t wsg_body_clock_left_ms(const struct wsg_body_clock *c, const struct wsg_body_limits *l, uint64_t now_ms)
{
    if (!c->runs)
        return UINT64_MAX;
    uint64_t silence_ms = left_of(l->silence_ms, now_ms - c->heard_ms);
    uint64_t total_ms = l->total_ms ? left_of(l->total_ms, c->used_ms + (now_ms - c->since_ms)) : UINT64_MAX;
    return silence_ms < total_ms ? silence_ms : total_ms;
}
