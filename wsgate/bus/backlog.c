/* What is kept for a handler, as one list of copies. */
#include "bus/backlog.h"

#include <assert.h>
#include <stdlib.h>

size_t wsg_kept_bytes(const struct wsg_kept *k)
{
    return sizeof *k + k->payload_len + k->meta_len;
}

struct wsb_envelope wsg_kept_envelope(const struct wsg_kept *k)
{
    return (struct wsb_envelope){
        .header = {.type = k->type,
                   .code = k->code,
                   .flags = k->flags,
                   .payload_len = k->payload_len,
                   .seq = k->seq,
                   .time_ns = k->time_ns},
        .payload = wsb_span(k->bytes, k->payload_len),
        .meta = wsb_span(k->bytes + k->payload_len, k->meta_len),
    };
}

static void count(struct wsg_backlog_sum *sum, const struct wsg_kept *k)
{
    sum->messages += k->type == WSB_DATA;
    sum->bytes += wsg_kept_bytes(k);
}

/* -------------------------------------------------------------------- one of them */

enum { POOL_MAX = 16384 };

/* What it was sent from is needed: copy it. */
static bool on_recall(struct wsb_loan *l)
{
    struct wsg_kept *k = (struct wsg_kept *)(void *)((char *)l - offsetof(struct wsg_kept, loan));
    uint8_t *copy = malloc(k->payload_len ? k->payload_len : 1);
    if (!copy)
        return false;
    if (k->payload_len)
        memcpy(copy, k->bytes, k->payload_len);
    k->bytes = k->copy = copy;
    return true;
}

struct wsg_kept *wsg_kept_new(struct wsg_kept_pool *pool, const struct wsb_header *h)
{
    struct wsg_kept *k = pool->free;
    if (k) {
        pool->free = k->next;
        pool->count--;
    } else {
        k = malloc(sizeof *k);
        if (!k)
            return NULL;
    }
    *k = (struct wsg_kept){.loan.recall = on_recall,
                           .pool = pool,
                           .seq = h->seq,
                           .time_ns = h->time_ns,
                           .payload_len = h->payload_len,
                           .type = h->type,
                           .code = h->code,
                           .flags = h->flags};
    return k;
}

bool wsg_kept_settle(struct wsg_kept *k)
{
    if (!wsb_loan_is_out(&k->loan))
        return true;
    if (!on_recall(&k->loan))
        return false;
    wsb_loan_end(&k->loan);
    return true;
}

void wsg_kept_free(struct wsg_kept *k)
{
    wsb_loan_end(&k->loan);
    free(k->copy);
    if (!k->pool || k->pool->count >= POOL_MAX) {
        free(k);
        return;
    }
    k->next = k->pool->free;
    k->pool->free = k;
    k->pool->count++;
}

void wsg_kept_pool_deinit(struct wsg_kept_pool *pool)
{
    while (pool->free) {
        struct wsg_kept *next = pool->free->next;
        free(pool->free);
        pool->free = next;
    }
    pool->count = 0;
}

/* ---------------------------------------------------------------------- the list */

static void append(struct wsg_backlog *b, struct wsg_kept *k)
{
    if (b->last)
        b->last->next = k;
    else
        b->first = k;
    b->last = k;
}

static void append_sent(struct wsg_backlog *b, struct wsg_kept *k)
{
    append(b, k);
    b->last_sent = k;
    b->sent_count++;
}

void wsg_backlog_keep(struct wsg_backlog *b, struct wsg_kept *k, const uint8_t *payload, struct wsg_backlog_sum *sum)
{
    assert(!b->unsent);
    k->bytes = payload;
    append_sent(b, k);
    count(sum, k);
}

wsb_err wsg_backlog_add(struct wsg_backlog *b, const struct wsb_envelope *e, bool is_sent, struct wsg_backlog_sum *sum)
{
    assert(!is_sent || !b->unsent);
    struct wsg_kept *k = malloc(sizeof *k + e->payload.len + e->meta.len);
    if (!k)
        return WSB_ERR_NOMEM;
    *k = (struct wsg_kept){.seq = e->header.seq,
                           .time_ns = e->header.time_ns,
                           .payload_len = (uint32_t)e->payload.len,
                           .meta_len = (uint32_t)e->meta.len,
                           .type = e->header.type,
                           .code = e->header.code,
                           .flags = e->header.flags};
    k->bytes = k->data;
    if (e->payload.len)
        memcpy(k->data, e->payload.ptr, e->payload.len);
    if (e->meta.len)
        memcpy(k->data + e->payload.len, e->meta.ptr, e->meta.len);
    if (is_sent) {
        append_sent(b, k);
    } else {
        append(b, k);
        b->unsent_bytes += wsg_kept_bytes(k);
        if (!b->unsent)
            b->unsent = k;
    }
    count(sum, k);
    return WSB_OK;
}

/* Take k, whose predecessor is `before` (NULL: it is the first), out of the list. */
static void unlink_kept(struct wsg_backlog *b, struct wsg_kept *before, struct wsg_kept *k,
                        struct wsg_backlog_sum *freed)
{
    count(freed, k);
    if (before)
        before->next = k->next;
    else
        b->first = k->next;
    if (b->last == k)
        b->last = before;
    if (b->last_sent == k)
        b->last_sent = before;
    if (b->unsent == k)
        b->unsent = k->next;
}

static void take_out(struct wsg_backlog *b, struct wsg_kept *before, struct wsg_kept *k, struct wsg_backlog_sum *freed)
{
    unlink_kept(b, before, k, freed);
    wsg_kept_free(k);
}

void wsg_backlog_sent(struct wsg_backlog *b, bool keep, struct wsg_backlog_sum *freed)
{
    struct wsg_kept *k = b->unsent;
    b->unsent_bytes -= wsg_kept_bytes(k);
    if (keep) {
        b->last_sent = k;
        b->sent_count++;
        b->unsent = k->next;
    } else {
        take_out(b, b->last_sent, k, freed);
    }
}

void wsg_backlog_acked(struct wsg_backlog *b, uint64_t seq, struct wsg_backlog_sum *freed)
{
    while (b->first && b->first != b->unsent && b->first->seq <= seq) {
        take_out(b, NULL, b->first, freed);
        b->sent_count--;
    }
}

void wsg_backlog_rewind(struct wsg_backlog *b)
{
    for (struct wsg_kept *k = b->first; k != b->unsent; k = k->next) {
        k->flags |= WSB_FLAG_REDELIVERED;
        k->deliveries = (uint8_t)(k->deliveries + (k->deliveries < UINT8_MAX));
        b->unsent_bytes += wsg_kept_bytes(k);
    }
    b->unsent = b->first;
    b->last_sent = NULL;
    b->sent_count = 0;
}

struct wsg_kept *wsg_backlog_take_spent(struct wsg_backlog *b, uint32_t limit, struct wsg_backlog_sum *freed)
{
    struct wsg_kept *before = NULL;
    for (struct wsg_kept *k = b->first; k != b->unsent; before = k, k = k->next) {
        if (k->deliveries + 1U < limit)
            continue;
        unlink_kept(b, before, k, freed);
        b->sent_count--;
        return k;
    }
    return NULL;
}

bool wsg_backlog_drop_oldest(struct wsg_backlog *b, struct wsg_backlog_sum *freed)
{
    struct wsg_kept *before = b->last_sent;
    struct wsg_kept *k = b->unsent;
    while (k && k->type != WSB_DATA) {
        before = k;
        k = k->next;
    }
    if (!k)
        return false;
    b->unsent_bytes -= wsg_kept_bytes(k);
    take_out(b, before, k, freed);
    return true;
}

void wsg_backlog_clear(struct wsg_backlog *b, struct wsg_backlog_sum *freed)
{
    while (b->first)
        take_out(b, NULL, b->first, freed);
    b->unsent_bytes = 0;
    b->sent_count = 0;
}
