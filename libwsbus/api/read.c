/*
 * wsb_readguarded(): events out of the inbox, one by one, where they stand in the message that brought them. Nothing is
 * copied; the message is released when the reader comes back and has seen all of it.
 */
#include "api/handle.h"
#include "api/sized.h"
#include "base/scratch.h"

static void forget_event(struct wsb_handle *h)
{
    json_decref(h->parsed);
    h->parsed = NULL;
    h->meta = wsb_span(NULL, 0);
    h->token++;
}

/* Keep the account of connections, in step with what the program has been told. */
static void follow(struct wsb_handle *h, const struct wsb_header *d)
{
    switch (d->type) {
    case WSB_OPEN:
    case WSB_REQUEST:
    case WSB_WRITABLE: /* also where the last part of a response was refused: it is not over */
        wsb_conns_opened(&h->conns, d->conn);
        break;
    case WSB_CLOSED_EV:
    case WSB_ABORTED:
        wsb_conns_closed(&h->conns, d->conn);
        break;
    case WSB_REVOKED:
        wsb_fence_take(&h->fence, d->conn);
        wsb_conns_moved(&h->conns, d->conn);
        break;
    case WSB_DRAIN:
        h->is_drained = !(d->flags & WSB_FLAG_MORE);
        break;
    case WSB_WELCOME:
        h->is_drained = false;
        break;
    default:
        break;
    }
}

/* A gate repeats its welcome when it is asked twice; the program hears of it when something has changed. */
static bool is_news(struct wsb_handle *h, const struct wsb_envelope *e)
{
    struct wsb_welcome w;
    if (e->header.type != WSB_WELCOME)
        return true;
    if (wsb_welcome_parse(e->meta, &w) != WSB_OK || (w.epoch == h->epoch && w.id == h->id))
        return false;
    h->epoch = w.epoch;
    h->id = w.id;
    wsb_conns_all_closed(&h->conns);
    return true;
}

static enum wsb_reason event_reason(const struct wsb_header *d)
{
    return d->type == WSB_OUTCOME ? wsb_outcome_reason(d->code)
           : d->type == WSB_ERROR ? wsb_error_reason(d->code)
                                  : WSB_REASON_OK;
}

static void hand_out(struct wsb_handle *h, const struct wsb_envelope *e, struct wsb_event *ret)
{
    const struct wsb_header *d = &e->header;
    wsb_settle_handed_out(h, d);
    h->meta = e->meta;
    *ret = (struct wsb_event){
        .size = ret->size, /* as the program has it */
        .type = (enum wsb_event_type)d->type,
        .opcode = d->type == WSB_DATA ? (enum wsb_opcode)d->code : (enum wsb_opcode)0,
        .reason = event_reason(d),
        .conn = d->conn,
        .seq = d->seq,
        .time_ns = d->time_ns,
        .more = (d->flags & WSB_FLAG_MORE) != 0,
        .redelivered = (d->flags & WSB_FLAG_REDELIVERED) != 0,
        .pending = (d->flags & WSB_FLAG_PENDING) != 0,
        .deliveries = 1,
        .data = e->payload.len ? (const void *)e->payload.ptr : "",
        .len = e->payload.len,
        .meta = (const char *)e->meta.ptr,
        .meta_len = e->meta.len,
        .handler = wsb_handle_value(h),
        .token = h->token,
    };
    if (ret->redelivered)
        ret->deliveries = wsb_event_deliveries(h, ret);
}

/* The next record of the current message, which may be put into *room; NULL when it has none left. */
static const struct wsb_envelope *next_record(struct wsb_handle *h, struct wsb_envelope *room)
{
    if (!h->current || h->current_is_spent)
        return NULL;
    if (h->current->envelope.header.type == WSB_BATCH) {
        bool got = wsb_record_next(&h->rest, room) == WSB_OK;
        h->current_is_spent = h->rest.len == 0;
        return got ? room : NULL;
    }
    h->current_is_spent = true;
    return &h->current->envelope;
}

static bool next_event(struct wsb_handle *h, struct wsb_event *ret)
{
    WSB_SCRATCH struct wsb_envelope room;
    const struct wsb_envelope *e;
    while ((e = next_record(h, &room)) != NULL) {
        if (!wsb_is_event(e) || !is_news(h, e))
            continue;
        wsb_settle_taken(h, &e->header);
        if (wsb_is_over(h, &e->header))
            continue;
        follow(h, &e->header);
        hand_out(h, e, ret);
        return true;
    }
    return false;
}

/* Note that the program is done with what it had. Until that is possible it gets no more: what it would be done with then has
 * no place. But a gate that cannot be heard for a full inbox would never make it possible; so rather not say it, as is
 * always allowed. */
static enum wsb_reason settle_done(struct wsb_handle *h)
{
    bool is_full = h->inbox_bytes >= h->in_limit || (h->link->ops->room && h->is_stuck);
    if (is_full && h->serving == WSB_SERVING_UNSURE)
        wsb_settle_forgo(h);
    enum wsb_reason reason = wsb_settle_done(h);
    h->is_stuck = reason != WSB_REASON_OK;
    return reason;
}

/* There was no room for what the gate has to be told: that cannot wait for the next event. */
static uint64_t sooner(uint64_t until_ms)
{
    uint64_t soon = wsb_now_ms() + WSB_SETTLE_RETRY_MS;
    return until_ms < soon ? until_ms : soon;
}

/* A link that brings messages one by one, for nothing: the gate is told how far we are when no more of them comes, not between two. The
 * answers do not wait for that where the gate may sleep. */
static bool next_without_a_word(struct wsb_handle *h)
{
    if (!h->link->ops->spin || h->serving != WSB_SERVING_YES)
        return false;
    if (!h->first) {
        wsb_client_flush(h->link);
        if (!h->link->ops->spin(h->link) || wsb_pump(h) != WSB_REASON_OK)
            return false;
    }
    return wsb_inbox_next(h);
}

static enum wsb_reason read_event(struct wsb_handle *h, struct wsb_event *ret, uint64_t until_ms)
{
    for (;;) {
        enum wsb_reason settled = settle_done(h);
        if (h->is_drained && !h->first) {
            (void)wsb_settle(h);
            (void)wsb_outbox_flush(h);
            return WSB_REASON_DRAINED;
        }
        do {
            if (wsb_take_interrupt(h))
                return WSB_REASON_SIGNAL;
            if (!h->is_stuck && next_event(h, ret))
                return WSB_REASON_OK;
        } while (!h->is_stuck && next_without_a_word(h));
        if (!h->is_stuck)
            settled = wsb_settle(h);
        (void)wsb_outbox_flush(h); /* a gate that is gone has its own way to the program */
        if (!h->is_stuck && wsb_inbox_next(h))
            continue;
        enum wsb_reason reason = wsb_pump(h);
        if (!reason && (h->is_stuck || !h->first))
            reason = wsb_wait(h, settled ? sooner(until_ms) : until_ms);
        if (reason)
            return reason == WSB_REASON_TIMEOUT && h->serving != WSB_SERVING_YES ? WSB_REASON_GATE_GONE : reason;
    }
}

bool wsb_readguarded_sized(wsb_handler handler, struct wsb_event *ret_ev, int timeout_ms)
{
    WSB_SCRATCH struct wsb_event room; /* for a program that knows less of an event, or more */
    size_t size = ret_ev ? wsb_sized_claim(ret_ev, WSB_END_OF(struct wsb_event, meta_len)) : 0;
    struct wsb_event *ev = size == sizeof room ? ret_ev : &room;
    room.size = size;
    struct wsb_handle *h = wsb_enter(handler);
    if (size && (!h || h->reading))
        wsb_sized_clear(ret_ev, size);
    if (!h)
        return false;
    if (!size || h->reading)
        return wsb_done(h, WSB_REASON_MISUSE);
    h->reading = true;
    h->round_of = 0;
    forget_event(h);
    wsb_look(h);
    enum wsb_reason reason = read_event(h, ev, wsb_deadline(timeout_ms));
    if (!reason)
        h->round_of = wsb_thread_number();
    if (reason)
        wsb_sized_clear(ret_ev, size);
    else if (ev == &room)
        wsb_sized_give(ret_ev, size, ev, sizeof *ev);
    if (reason && h->epoll_fd >= 0)
        wsb_signal_clear(h); /* a wake that came late; what is true is set again below */
    h->reading = false;
    return wsb_done(h, reason);
}
