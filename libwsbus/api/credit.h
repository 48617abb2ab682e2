#ifndef WSB_API_CREDIT_H
#define WSB_API_CREDIT_H

/*
 * How much the gate may send ahead of the program. HELLO grants the window; what the program has taken is granted again when
 * it is half of it, so that neither too much waits here nor the gate waits for us. What the gate may still send and what
 * waits here are never more than the window together, but for the one message that may overdraw the bytes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsb_credit {
    uint64_t window_messages;
    uint64_t window_bytes;
    uint64_t taken_messages; /* by the program, and not granted again yet */
    uint64_t taken_bytes;
};

/* The program takes a message. */
static inline void wsb_credit_take(struct wsb_credit *c, size_t bytes)
{
    c->taken_messages++;
    c->taken_bytes += bytes;
}

/* It is time to grant what was taken. */
static inline bool wsb_credit_is_due(const struct wsb_credit *c)
{
    return c->taken_messages && (c->taken_messages >= c->window_messages / 2 || c->taken_bytes >= c->window_bytes / 2);
}

/* It has been granted, or a new registration begins. */
static inline void wsb_credit_granted(struct wsb_credit *c)
{
    c->taken_messages = 0;
    c->taken_bytes = 0;
}

#endif
