/* Two buckets that fill with time. A thousandth of a message or byte comes in a millisecond, times the rate. */
#include "session/quota.h"

enum { UNIT = 1000 };

static int64_t filled(int64_t left, uint64_t rate, uint64_t burst, uint64_t elapsed_ms)
{
    int64_t most = (int64_t)(burst * UNIT);
    if (rate == 0 || elapsed_ms >= (uint64_t)(most - left) / rate + 1)
        return most;
    return left + (int64_t)(elapsed_ms * rate);
}

static uint64_t elapsed_of(const struct wsg_quota *q, uint64_t now_ms)
{
    return now_ms > q->counted_ms ? now_ms - q->counted_ms : 0;
}

void wsg_quota_init(struct wsg_quota *q, const struct wsg_quota_limits *l, uint64_t now_ms)
{
    *q = (struct wsg_quota){
        .messages = (int64_t)(l->message_burst * UNIT), .bytes = (int64_t)(l->byte_burst * UNIT), .counted_ms = now_ms};
}

void wsg_quota_charge_bytes(struct wsg_quota *q, const struct wsg_quota_limits *l, size_t bytes, uint64_t now_ms)
{
    uint64_t elapsed_ms = elapsed_of(q, now_ms);
    q->messages = filled(q->messages, l->message_rate, l->message_burst, elapsed_ms);
    q->bytes = filled(q->bytes, l->byte_rate, l->byte_burst, elapsed_ms);
    q->counted_ms += elapsed_ms;
    if (l->byte_rate)
        q->bytes -= (int64_t)bytes * UNIT;
}

void wsg_quota_charge(struct wsg_quota *q, const struct wsg_quota_limits *l, size_t bytes, uint64_t now_ms)
{
    wsg_quota_charge_bytes(q, l, bytes, now_ms);
    if (l->message_rate)
        q->messages -= UNIT;
}

static uint64_t wait_of(int64_t left, uint64_t rate)
{
    return left >= 0 || rate == 0 ? 0 : ((uint64_t)-left + rate - 1) / rate;
}

uint32_t wsg_quota_wait_ms(const struct wsg_quota *q, const struct wsg_quota_limits *l, uint64_t now_ms)
{
    uint64_t messages_ms = wait_of(q->messages, l->message_rate);
    uint64_t bytes_ms = wait_of(q->bytes, l->byte_rate);
    uint64_t wait_ms = messages_ms > bytes_ms ? messages_ms : bytes_ms;
    uint64_t elapsed_ms = elapsed_of(q, now_ms);
    wait_ms = wait_ms > elapsed_ms ? wait_ms - elapsed_ms : 0;
    return wait_ms < UINT32_MAX ? (uint32_t)wait_ms : UINT32_MAX;
}
