#ifndef WSG_SESSION_QUOTA_H
#define WSG_SESSION_QUOTA_H

/*
 * What one client may send: messages and bytes a second, with a burst. What has been sent is charged afterwards, so a message is
 * never taken in part, and what is owed is waited for. Pure.
 */

#include <stddef.h>
#include <stdint.h>

struct wsg_quota_limits {
    uint64_t message_rate, message_burst; /* rate 0: any number */
    uint64_t byte_rate, byte_burst;
};

struct wsg_quota {
    int64_t messages, bytes; /* left, in thousandths; below zero: owed */
    uint64_t counted_ms;     /* when that was */
};

void wsg_quota_init(struct wsg_quota *q, const struct wsg_quota_limits *l, uint64_t now_ms);
/* A message has come. */
void wsg_quota_charge(struct wsg_quota *q, const struct wsg_quota_limits *l, size_t bytes, uint64_t now_ms);
/* Bytes of a message that has not come whole. */
void wsg_quota_charge_bytes(struct wsg_quota *q, const struct wsg_quota_limits *l, size_t bytes, uint64_t now_ms);
/* How long until nothing is owed, milliseconds; 0: nothing is. */
uint32_t wsg_quota_wait_ms(const struct wsg_quota *q, const struct wsg_quota_limits *l, uint64_t now_ms);

#endif
