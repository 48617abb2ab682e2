#ifndef WSG_SESSION_BODY_CLOCK_H
#define WSG_SESSION_BODY_CLOCK_H

/*
 * How long the body of a request takes: in all, and since the client last sent some of it. The clock stands still while we do
 * not read: that time is not the client's. Pure.
 *
 *     stopped ──start──▶ running ──stop──▶ stopped
 */

#include <stdbool.h>
#include <stdint.h>

struct wsg_body_clock {
    uint64_t since_ms; /* running: since when */
    uint64_t heard_ms; /* running: when some of the body came, or the clock started */
    uint64_t used_ms;  /* before that */
    bool runs;
};

struct wsg_body_limits {
    uint32_t silence_ms;
    uint32_t total_ms; /* 0: none */
};

/* Each does nothing when that is so already. */
void wsg_body_clock_start(struct wsg_body_clock *c, uint64_t now_ms);
void wsg_body_clock_stop(struct wsg_body_clock *c, uint64_t now_ms);
void wsg_body_clock_hear(struct wsg_body_clock *c, uint64_t now_ms);
/* 0: it is late; UINT64_MAX while the clock is stopped. */
uint64_t wsg_body_clock_left_ms(const struct wsg_body_clock *c, const struct wsg_body_limits *l, uint64_t now_ms);

#endif
