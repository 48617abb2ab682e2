/* What handlers said, as far as a round reaches. */
#include "base/log.h"
#include "hub/commands.h"
#include "hub/hearing.h"
#include "hub/link.h"
#include "hub/round.h"
#include "hub/step.h"

enum {
    WORK_PER_ROUND = 2048, /* commands, or KiB of them; of all links together */
    META_WORK = 8,   /* metadata is parsed, and names things that are made: it is as dear as so many messages without */
    META_BYTES = 64, /* of which are one more */
    ENDING_WORK = 24,      /* as a command that may write to its client at once and end it: four calls of the kernel */
    VISITS_A_ROUND = 4096, /* to connections that wait for their handlers */
    RETRY_MS = 2
};

static void on_malformed(struct wsg_hub *h, const struct wsb_inbound *in)
{
    struct wsg_handler *from = wsg_handlers_by_peer(&h->handlers, in->peer);
    h->stats.malformed++;
    wsg_hub_failed(h, in->peer, WSG_FAIL_MALFORMED);
    if (from)
        from->errors++;
    WSB_LOG_FEW(&h->lines.malformed, 1, wsg_loop_now_ms(h->loop), WSB_LOG_LINK, WSB_LOG_WARN, "malformed message",
                WSB_KU("handler", from ? from->id : 0), WSB_KU("total", h->stats.malformed));
}

static struct wsg_handler *sender_of(struct wsg_hub *h, const struct wsg_reading *r)
{
    if (r->inbound.known)
        return *r->inbound.known;
    return r->channel == WSB_CHANNEL_HANDLERS ? wsg_handlers_by_peer(&h->handlers, r->inbound.peer) : NULL;
}

static void on_message(struct wsg_hub *h, struct wsg_reading *r)
{
    const struct wsb_inbound *in = &r->inbound;
    struct wsg_handler *from = sender_of(h, r);
    if (from)
        from->seen_ms = wsg_loop_now_ms(h->loop);
    if (in->envelope.header.type != WSB_BATCH) {
        wsg_hub_command(h, in, from, &in->envelope);
        return;
    }
    r->rest = in->envelope.payload;
    r->is_open = true;
}

/* Its link says so, so it is certain: its connections go to others at once. */
static void on_gone(struct wsg_hub *h, const struct wsg_reading *r)
{
    struct wsg_handler *from = sender_of(h, r);
    wsg_handlers_forgive(&h->handlers, r->inbound.peer);
    if (!from)
        return;
    from->direct = NULL; /* what is there of it ends with this message */
    from->known = NULL;
    from->is_hung_up = true;
    wsg_hub_mark_dead(h, from);
}

/* What a short command has caused: a name may stand for very many connections. More than a round's work is paid for by the
 * next ones. */
static int take_extra(struct wsg_hub *h)
{
    size_t extra = h->extra_work < WORK_PER_ROUND ? h->extra_work : WORK_PER_ROUND;
    h->extra_work -= extra;
    return (int)extra;
}

/* The connection is of this thread's worker, or its name is not in the header. Other workers have bounds of their own. */
static bool may_end_one_here(const struct wsb_header *h)
{
    return wsg_may_end_one(h->type) && wsg_id_parts(h->conn).worker == 0;
}

static int cost_of(const struct wsb_envelope *e)
{
    int meta = e->meta.len ? META_WORK + (int)(e->meta.len / META_BYTES) : 0;
    return (may_end_one_here(&e->header) ? ENDING_WORK : 1) + meta + (int)(e->payload.len >> 10);
}

/* Go on with the BATCH that is open, as far as the budget reaches. */
static void read_on(struct wsg_hub *h, struct wsg_reading *r, int *budget)
{
    struct wsb_envelope e;
    wsb_err err = WSB_OK;
    while (*budget > 0 && (err = wsb_record_next(&r->rest, &e)) == WSB_OK) {
        wsg_hub_command(h, &r->inbound, sender_of(h, r), &e); /* asked each time: HELLO and BYE change it */
        *budget -= cost_of(&e) + take_extra(h);
    }
    if (!err)
        return;
    if (err != WSB_CLOSED)
        wsg_hub_error(h, r->inbound.peer, WSB_ERROR_PAYLOAD, r->inbound.envelope.header.seq,
                      "malformed record in a BATCH: the rest is dropped");
    r->is_open = false;
    r->server->ops->release(&r->inbound);
}

static void receive_from(struct wsg_hub *h, struct wsg_reading *r, int *budget)
{
    while (*budget > 0) {
        if (r->is_open) {
            read_on(h, r, budget);
            continue;
        }
        wsb_err err = r->server->ops->recv(r->server, r->channel, &r->inbound);
        if (err == WSB_AGAIN)
            return;
        *budget -= cost_of(&r->inbound.envelope);
        if (err == WSB_CLOSED)
            on_gone(h, r);
        else if (err)
            on_malformed(h, &r->inbound);
        else
            on_message(h, r);
        *budget -= take_extra(h);
        if (!r->is_open)
            r->server->ops->release(&r->inbound);
    }
}

void wsg_hub_receive(struct wsg_hub *h)
{
    h->visits_left = VISITS_A_ROUND;
    bool hears = !h->host.is_behind(h->host.ctx);
    wsg_hub_hear(h, hears);
    if (!hears) {
        (void)!wsg_loop_arm(h->loop, &h->retry, wsg_loop_now_ms(h->loop) + RETRY_MS);
        return;
    }
    int budget = WORK_PER_ROUND - take_extra(h);
    h->first_reading = (h->first_reading + 1) % WSG_READINGS; /* each has its turn, also when one takes all */
    for (unsigned i = 0; i < WSG_READINGS; i++) {
        struct wsg_reading *r = &h->readings[(h->first_reading + i) % WSG_READINGS];
        if (r->server && !r->is_quiet)
            receive_from(h, r, &budget);
    }
    wsg_hub_end_step(h);
}

/* The descriptors tell once: what is left is asked for before sleeping. */
void wsg_hub_before_sleep(struct wsg_hub *h)
{
    bool left = false;
    if (h->retry.heap_index)
        return; /* that timer wakes us */
    for (int i = 0; i < WSG_READINGS && !left; i++) {
        struct wsg_reading *r = &h->readings[i];
        if (!r->server || r->is_quiet)
            continue;
        left = r->is_open || r->server->ops->has_input(r->server, r->channel);
        r->is_quiet = !left && r->server == h->server; /* the other one costs nothing to look at */
    }
    if (left)
        wsg_hub_again(h);
}
