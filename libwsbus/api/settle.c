/*
 * What the gate is told about events: how far the program is with each connection (ACK), and how much more it may be sent
 * (CREDIT). Both stand behind the answers that the program has written so far, never before them: an event whose
 * acknowledgement arrives has been answered, or never will be. Nothing is said about events of a registration, or of a connection,
 * that the gate has taken away: they are another handler's now. Source: docs/protocol.md §5.
 */
#include <stdio.h>

#include "api/handle.h"
#include "base/scratch.h"

enum {
    EVERY_EVENTS = 1024, /* acknowledged at least every so many events */
    EVERY_BYTES = 256 << 10,
    EVERY_MS = 100 /* and, by a program that takes its time, with the event that is done after so long */
};

static bool is_current(const struct wsb_handle *h)
{
    return wsb_is_registered(h) && h->given_epoch == h->epoch && h->given_id == h->id;
}

static bool counts(uint8_t type)
{
    return type == WSB_DATA || type == WSB_OPEN || type == WSB_CLOSED_EV || type == WSB_REQUEST ||
           type == WSB_BODY_EV || type == WSB_ABORTED;
}

static bool costs(uint8_t type)
{
    return type == WSB_DATA || type == WSB_REQUEST || type == WSB_BODY_EV;
}

bool wsb_is_over(const struct wsb_handle *h, const struct wsb_header *d)
{
    bool is_told = h->given_epoch == h->epoch && h->given_id == h->id;
    return counts(d->type) && (h->is_forgotten || !is_told || wsb_fence_has(&h->fence, d->conn));
}

void wsb_settle_taken(struct wsb_handle *h, const struct wsb_header *d)
{
    if (is_current(h) && costs(d->type))
        wsb_credit_take(&h->credit, d->payload_len);
}

void wsb_settle_lost(struct wsb_handle *h, const struct wsb_header *d)
{
    if (wsb_is_registered(h) && costs(d->type))
        wsb_credit_take(&h->credit, d->payload_len);
}

void wsb_settle_handed_out(struct wsb_handle *h, const struct wsb_header *d)
{
    if (!is_current(h) || !counts(d->type))
        return;
    if (!h->acks.events)
        h->since_ms = wsb_coarse_ms();
    if (!h->manual_ack)
        h->held = *d;
}

static enum wsb_reason put_acks(struct wsb_handle *h)
{
    WSB_SCRATCH uint8_t pairs[WSB_ACKS_BYTES];
    size_t len = wsb_acks_write(&h->acks, pairs);
    const struct wsb_header d = {.type = WSB_ACK, .seq = h->seq + 1};
    enum wsb_reason reason = len ? wsb_put_own(h, &d, wsb_span(pairs, len), wsb_span(NULL, 0)) : WSB_REASON_OK;
    if (reason)
        return reason;
    h->seq += len != 0;
    wsb_acks_clear(&h->acks);
    return WSB_REASON_OK;
}

static enum wsb_reason put_credit(struct wsb_handle *h)
{
    char meta[80];
    (void)snprintf(meta, sizeof meta, "{\"messages\":%llu,\"bytes\":%llu}",
                   (unsigned long long)h->credit.taken_messages, (unsigned long long)h->credit.taken_bytes);
    const struct wsb_header d = {.type = WSB_CREDIT, .seq = h->seq + 1};
    enum wsb_reason reason = wsb_put_own(h, &d, wsb_span(NULL, 0), wsb_span_str(meta));
    if (reason)
        return reason;
    h->seq++;
    wsb_credit_granted(&h->credit);
    return WSB_REASON_OK;
}

enum wsb_reason wsb_settle(struct wsb_handle *h)
{
    if (h->serving != WSB_SERVING_YES)
        return WSB_REASON_OK; /* nobody to tell; or not sure whom, and it waits */
    enum wsb_reason reason = h->acks.count ? put_acks(h) : WSB_REASON_OK;
    return !reason && wsb_credit_is_due(&h->credit) ? put_credit(h) : reason;
}

void wsb_settle_forget(struct wsb_handle *h)
{
    wsb_acks_clear(&h->acks);
    wsb_credit_granted(&h->credit);
    h->held = (struct wsb_header){0};
}

static enum wsb_reason note(struct wsb_handle *h, wsb_conn conn, uint64_t seq, size_t bytes)
{
    if (wsb_acks_note(&h->acks, conn, seq, bytes))
        return WSB_REASON_OK;
    if (h->serving != WSB_SERVING_YES)
        return WSB_REASON_FULL; /* not sure whom to tell */
    enum wsb_reason reason = put_acks(h);
    if (reason)
        return reason;
    (void)wsb_outbox_flush(h); /* what is said of a connection must not wait until that is taken away */
    (void)wsb_acks_note(&h->acks, conn, seq, bytes);
    return WSB_REASON_OK;
}

void wsb_settle_forgo(struct wsb_handle *h)
{
    h->held.conn = 0;
}

enum wsb_reason wsb_settle_done(struct wsb_handle *h)
{
    const struct wsb_header d = h->held;
    enum wsb_reason reason = WSB_REASON_OK;
    if (d.conn && is_current(h) && !wsb_fence_has(&h->fence, d.conn))
        reason = note(h, d.conn, d.seq, d.payload_len);
    if (reason)
        return reason; /* it stays held: what is not acknowledged is not lost either */
    h->held.conn = 0;
    bool is_due = h->acks.events >= EVERY_EVENTS || h->acks.bytes >= EVERY_BYTES ||
                  (h->acks.events && (int64_t)(h->coarse_ms - h->since_ms) >= EVERY_MS);
    if (is_due && !wsb_settle(h))
        (void)wsb_outbox_flush(h);
    return WSB_REASON_OK;
}

static enum wsb_reason ack(struct wsb_handle *h, wsb_conn conn, uint64_t seq)
{
    if (!h->manual_ack || !conn || !seq)
        return WSB_REASON_MISUSE;
    if (!wsb_is_registered(h))
        return WSB_REASON_GATE_GONE;
    if (!is_current(h) || wsb_fence_has(&h->fence, conn) || wsb_conns_state(&h->conns, conn) == WSB_CONN_MOVED)
        return WSB_REASON_STALE;
    enum wsb_reason reason = note(h, conn, seq, 0);
    if (reason || wsb_is_in_round(h))
        return reason; /* the reader tells the gate when it flushes */
    reason = wsb_settle(h);
    return reason ? reason : wsb_outbox_flush(h);
}

static enum wsb_reason working(struct wsb_handle *h)
{
    if (h->serving != WSB_SERVING_YES)
        return WSB_REASON_GATE_GONE; /* a gate that does not know us has given us nothing to work on */
    const struct wsb_header d = {.type = WSB_WORKING, .seq = h->seq + 1};
    enum wsb_reason reason = wsb_put_own(h, &d, wsb_span(NULL, 0), wsb_span(NULL, 0));
    if (reason)
        return reason;
    h->seq++;
    return wsb_outbox_flush(h);
}

bool wsb_working(wsb_handler handler)
{
    struct wsb_handle *h = wsb_begin(handler);
    return h && wsb_done(h, working(h));
}

bool wsb_ack(wsb_handler handler, wsb_conn conn, uint64_t seq)
{
    struct wsb_handle *h = wsb_begin(handler);
    return h && wsb_done(h, ack(h, conn, seq));
}
