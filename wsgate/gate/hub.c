/*
 * The hub's rounds: what the sessions said goes to the handlers, what the handlers said is carried out. The other files of
 * the hub, and who does what, are named in hub_parts.h.
 */
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "gate/hub_parts.h"

enum {
    WORK_PER_ROUND = 2048, /* commands, or KiB of them; of all links together */
    META_WORK = 8,   /* metadata is parsed, and names things that are made: it is as dear as so many messages without */
    META_BYTES = 64, /* of which are one more */
    VISITS_A_ROUND = 4096, /* to connections that wait for their handlers */
    RETRY_MS = 2
};

/* ------------------------------------------------------------------- end of a step */

/* What a step has brought about for handlers as a whole. */
static void end_step(struct wsg_hub *h)
{
    struct wsg_handler *to;
    wsg_hub_remove_dead(h);
    if (h->pump_all) {
        h->pump_all = false;
        for (to = h->handlers.by_id; to; to = to->by_id.next)
            wsg_hub_pump(h, to);
    }
    if (h->pump_due) {
        h->pump_due = false;
        for (to = h->handlers.by_id; to; to = to->by_id.next) {
            if (to->is_pump_due)
                wsg_hub_pump(h, to);
        }
    }
    if (h->drain_pending) {
        h->drain_pending = false;
        for (to = h->handlers.by_id; to; to = to->by_id.next)
            wsg_hub_drain_on(h, to);
    }
    wsg_hub_remove_dead(h);
}

void wsg_hub_flush(struct wsg_hub *h)
{
    wsg_hub_presence_on(h);
    do {
        wsg_hub_flush_batches(h);
        end_step(h); /* those who take over are sent to in turn */
    } while (h->round_count);
    h->server->ops->flush(h->server);
    if (h->shm)
        h->shm->ops->flush(h->shm);
}

/* --------------------------------------------------------------- events of sessions */

bool wsg_hub_keep_meta(struct wsg_hub *h, struct wsg_pin *p, struct wsb_span meta)
{
    wsb_buf_clear(&h->said);
    if (wsg_words_pack(&h->words, meta, &h->said) != WSB_OK)
        return false;
    char *packed = malloc(h->said.len ? h->said.len : 1);
    if (!packed)
        return false;
    if (h->said.len)
        memcpy(packed, h->said.data, h->said.len);
    free(p->meta);
    p->meta = packed;
    p->meta_len = (uint32_t)h->said.len;
    return true;
}

/* What OPEN says is kept for the next owner, and until it is accepted what is to be done then. False without memory. */
static bool keep_open(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_out *out, struct wsb_span groups)
{
    struct wsg_route *wanted = &h->routes->routes[out->route];
    return wsg_hub_keep_meta(h, p, out->envelope.meta) &&
           (!(out->envelope.header.flags & WSB_FLAG_PENDING) ||
            wsg_hub_ask(p, wanted != p->route ? wanted : NULL, out->key, groups));
}

static void on_open(struct wsg_hub *h, struct wsg_pin *p, const struct wsg_out *out)
{
    struct wsb_span groups = wsg_hub_take_user(h, p, out->envelope.payload);
    if (!keep_open(h, p, out, groups)) {
        wsb_conn conn = p->conn;
        wsg_hub_end_pin(h, p, WSG_IN_NO_MEMORY);
        wsg_hub_fail(h, conn, 503, WSG_REFUSED_MEMORY, "out of memory");
        return;
    }
    p->opened_ns = out->envelope.header.time_ns;
    p->seq = 1;
    if (p->admission != WSG_PENDING && p->route->policy.publish)
        wsg_pin_end_pending(p); /* nobody is to hear of it */
    if (p->admission != WSG_PENDING)
        wsg_hub_join_listed(h, p, groups);
    (void)!wsg_groups_join(&h->members, p, wsb_span_str(p->route->name));
    wsg_hub_publish_open(h, p);
    if (p->route->policy.publish || !wsg_hub_place(h, p))
        return;
    if (p->admission != WSG_PENDING) /* one that waits is not read as it is */
        wsg_hub_pause_if_full(h, p);
    wsg_hub_go_on(h, p);
}

static void on_begin(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsb_envelope e = out->envelope;
    struct wsg_route *wanted = &h->routes->routes[out->route];
    bool asks_elsewhere = e.header.type == WSB_OPEN && (e.header.flags & WSB_FLAG_PENDING) && wanted->gatekeeper;
    struct wsg_route *route = asks_elsewhere ? wanted->gatekeeper : wanted;
    struct wsg_pin *p;
    wsg_place place = out->place;
    if (wsg_pins_add(&h->pins, e.header.conn, route, &p) != WSB_OK) {
        wsg_places_give_back(&wanted->pending, &place);
        wsg_hub_fail(h, e.header.conn, 503, WSG_REFUSED_MEMORY, "out of memory");
        return;
    }
    wsg_pin_begin_pending(p, wanted, place);
    p->is_request = e.header.type == WSB_REQUEST;
    p->is_idempotent = out->is_idempotent && !(e.header.flags & WSB_FLAG_MORE);
    p->key = asks_elsewhere ? 0 : out->key; /* it is the wanted route's: of its gatekeepers the one with the fewest */
    if (!p->is_request)
        on_open(h, p, out);
    else if (route->policy.publish || wsg_hub_place(h, p))
        wsg_hub_deliver(h, p, &e);
}

static void on_event(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsb_envelope e = out->envelope;
    if (e.header.type == WSB_OPEN || e.header.type == WSB_REQUEST) {
        on_begin(h, out);
        return;
    }
    struct wsg_pin *p = wsg_pins_find(&h->pins, e.header.conn);
    if (p && !p->is_closed) /* otherwise it was failed, or lost: its end is nobody's event */
        wsg_hub_deliver(h, p, &e);
    else if (e.header.type == WSB_DATA)
        wsg_tally(&h->routes->routes[out->route].tally.in_dropped[WSG_IN_NO_HANDLER], 1);
}

static void on_reply(struct wsg_hub *h, const struct wsg_out *out)
{
    h->stats.outcomes++;
    if (out->origin & WSG_ORIGIN_ADMIN) {
        h->host.reply(h->host.ctx, out->origin, &out->envelope);
        return;
    }
    struct wsg_handler *to = wsg_handlers_by_id(&h->handlers, (uint32_t)out->origin);
    if (to)
        (void)wsg_hub_send(h, to, &out->envelope);
}

static void on_writable(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsg_pin *p = wsg_pins_find(&h->pins, out->envelope.header.conn);
    if (p && p->handler)
        (void)wsg_hub_send(h, p->handler, &out->envelope);
}

static void on_quiet(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsg_pin *p = wsg_pins_find(&h->pins, out->envelope.header.conn);
    if (p)
        p->is_quiet = true;
    if (p)
        wsg_hub_end_quiet(h, p);
    else
        wsg_hub_drain_session(h, out->envelope.header.conn);
}

static void on_done(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsg_pin *p = wsg_pins_find(&h->pins, out->envelope.header.conn);
    if (p)
        wsg_hub_end_pin(h, p, WSG_IN_LOST);
}

void wsg_hub_take(struct wsg_hub *h, struct wsb_span outbox)
{
    struct wsg_out out;
    while (wsg_outbox_next(&outbox, &out)) {
        if (h->dead)
            wsg_hub_remove_dead(h); /* so that this event goes to whoever took over */
        switch (out.kind) {
        case WSG_OUT_EVENT:
            on_event(h, &out);
            break;
        case WSG_OUT_REPLY:
            on_reply(h, &out);
            break;
        case WSG_OUT_WRITABLE:
            on_writable(h, &out);
            break;
        case WSG_OUT_ADMITTED:
            wsg_hub_on_admitted(h, &out);
            break;
        case WSG_OUT_QUIET:
            on_quiet(h, &out);
            break;
        case WSG_OUT_DONE:
            on_done(h, &out);
            break;
        case WSG_OUT_TAP_IN:
        case WSG_OUT_TAP_OUT:
        case WSG_OUT_TAP_NOTE:
            h->host.tap(h->host.ctx, &out);
            break;
        }
    }
    end_step(h);
}

/* -------------------------------------------------------------------- without memory */

void wsg_hub_lose(struct wsg_hub *h, wsb_conn conn)
{
    static const char over[] = "{\"by\":\"gate\",\"code\":1013,\"reason\":\"out of memory\",\"clean\":false}";
    struct wsg_pin *p = wsg_pins_find(&h->pins, conn);
    WSB_LOG_FEW(&h->lines.lost, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_ERROR,
                "connection ended: out of memory for an event", WSB_KID("conn", conn));
    if (p && !p->is_closed) {
        struct wsb_envelope e = {.header = {.type = p->is_request ? WSB_ABORTED : WSB_CLOSED_EV,
                                            .conn = conn,
                                            .time_ns = wsg_loop_wall_ns(h->loop)},
                                 .meta = wsb_span_str(over)};
        wsg_hub_deliver(h, p, &e);
    }
    wsg_hub_fail(h, conn, 503, WSG_REFUSED_MEMORY, "out of memory");
}

void wsg_hub_lose_all(struct wsg_hub *h, uint8_t worker)
{
    for (size_t i = 0; i < h->pins.workers[worker].count; i++) {
        if (h->pins.workers[worker].slots[i])
            wsg_hub_lose(h, h->pins.workers[worker].slots[i]->conn);
    }
}

/* ------------------------------------------------------------------------ heartbeat */

void wsg_hub_ping(struct wsg_hub *h, struct wsg_handler *to)
{
    to->ping_sent_us = wsg_loop_now_us(h->loop);
    struct wsb_envelope e = {
        .header = {.type = WSB_PING_EV, .seq = to->ping_seq = ++h->last_ping, .time_ns = wsg_loop_wall_ns(h->loop)}};
    (void)wsg_hub_send(h, to, &e);
}

static void on_heartbeat(struct wsg_timer *t)
{
    struct wsg_hub *h = CONTAINER(t, struct wsg_hub, heartbeat);
    for (struct wsg_handler *to = h->handlers.by_id; to; to = to->by_id.next) {
        if (wsb_account_bytes(to->account) <=
            WSG_BATCH_BYTES) /* otherwise it has enough to read; is it reachable at all? */
            wsg_hub_ping(h, to);
    }
    wsg_hub_check_life(h);
    wsg_hub_sweep(h);
    wsg_hub_ages_begin(h);
    wsg_handlers_settle(&h->handlers);
    (void)!wsg_loop_arm(h->loop, t, wsg_loop_now_ms(h->loop) + WSG_HEARTBEAT_MS);
}

static void on_sweep(struct wsg_timer *t)
{
    wsg_hub_sweep(CONTAINER(t, struct wsg_hub, sweep));
}

void wsg_hub_set_level(struct wsg_hub *h, struct wsg_handler *handler, enum wsb_level level)
{
    struct wsb_envelope e = {
        .header = {.type = WSB_LEVEL, .code = (uint8_t)level, .time_ns = wsg_loop_wall_ns(h->loop)}};
    handler->level = (uint8_t)level;
    (void)wsg_hub_send(h, handler, &e);
}

/* ------------------------------------------------------------------------ receiving */

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

static int cost_of(const struct wsb_envelope *e)
{
    int meta = e->meta.len ? META_WORK + (int)(e->meta.len / META_BYTES) : 0;
    return 1 + meta + (int)(e->payload.len >> 10);
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

static void on_retry(struct wsg_timer *t)
{
    (void)t; /* waking up is all */
}

void wsg_hub_step(struct wsg_hub *h)
{
    h->pump_due = true; /* for whom a round was not enough */
    wsg_hub_change_hands(h);
    wsg_hub_pause_on(h);
    wsg_hub_streams_on(h);
    wsg_hub_ages_on(h);
    wsg_hub_judge_on(h);
}

static void on_again(struct wsg_task *t)
{
    struct wsg_hub *h = CONTAINER(t, struct wsg_hub, again);
    h->again_posted = false; /* the round that runs this receives */
    wsg_hub_step(h);
}

void wsg_hub_again(struct wsg_hub *h)
{
    if (h->again_posted)
        return;
    h->again_posted = true;
    wsg_loop_post(h->loop, &h->again);
}

void wsg_hub_receive(struct wsg_hub *h)
{
    h->visits_left = VISITS_A_ROUND;
    if (h->host.is_behind(h->host.ctx)) {
        h->behind_ms = wsg_loop_now_ms(h->loop);
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
    end_step(h);
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

static void on_input(struct wsg_watch *w, uint32_t events)
{
    struct wsg_reading *r = CONTAINER(w, struct wsg_reading, watch);
    (void)events; /* waking up is most of it: the round's hook receives */
    r->is_quiet = false;
    r->server->ops->on_readable(r->server, r->channel);
}

static wsb_err watch_channel(struct wsg_hub *h, struct wsg_reading *r, struct wsb_server *server, enum wsb_channel c)
{
    r->server = server;
    r->channel = c;
    r->watch = (struct wsg_watch){.fd = server->ops->fd(server, c), .fn = on_input};
    return wsg_loop_watch(h->loop, &r->watch, EPOLLIN | EPOLLET);
}

wsb_err wsg_hub_add_shm(struct wsg_hub *h, struct wsb_server *shm)
{
    h->shm = shm;
    return watch_channel(h, &h->readings[WSB_CHANNELS], shm, WSB_CHANNEL_HANDLERS);
}

/* -------------------------------------------------------------- begin, end */

wsb_err wsg_hub_open(struct wsg_hub *h, struct wsg_loop *loop, struct wsg_routes *routes, struct wsb_server *server,
                     const struct wsg_hub_host *host, uint64_t epoch, size_t max_message)
{
    *h = (struct wsg_hub){
        .loop = loop, .server = server, .routes = routes, .host = *host, .epoch = epoch, .max_message = max_message};
    h->heartbeat.fn = on_heartbeat;
    h->room.fn = wsg_hub_on_room_timer;
    h->sweep.fn = on_sweep;
    h->tags.per_connection = WSG_TAGS_PER_CONNECTION;
    h->users.per_connection = 1;
    wsb_buf_init(&h->text, (size_t)2 * WSB_META_MAX);
    wsb_buf_init(&h->said, WSB_META_MAX);
    wsg_hub_presence_init(&h->presence);
    wsg_words_init(&h->words);
    (void)!wsg_meta_parse(wsb_span(NULL, 0), &h->no_meta, NULL); /* cannot fail: there is nothing in it */
    for (size_t i = 0; i < routes->count; i++)
        h->checks_text = h->checks_text || !routes->routes[i].policy.unchecked_text;
    h->strangers = wsb_account_new();
    h->copies = wsb_account_new();
    h->again.fn = on_again;
    h->retry.fn = on_retry;
    if (!h->strangers || !h->copies) {
        wsg_hub_close(h);
        return WSB_ERR_NOMEM;
    }
    for (int c = 0; c < WSB_CHANNELS; c++) {
        wsb_err err = watch_channel(h, &h->readings[c], server, (enum wsb_channel)c);
        if (err) {
            wsg_hub_close(h);
            return err;
        }
    }
    return wsg_loop_arm(loop, &h->heartbeat, wsg_loop_now_ms(loop) + WSG_HEARTBEAT_MS);
}

void wsg_hub_close(struct wsg_hub *h)
{
    if (!h->server)
        return;
    for (int i = 0; i < WSG_READINGS; i++) {
        if (h->readings[i].watch.events)
            wsg_loop_unwatch(h->loop, &h->readings[i].watch);
    }
    wsg_loop_disarm(h->loop, &h->heartbeat);
    wsg_loop_disarm(h->loop, &h->room);
    wsg_loop_disarm(h->loop, &h->sweep);
    wsg_loop_disarm(h->loop, &h->retry);
    wsg_pins_deinit(&h->pins);
    wsg_groups_deinit(&h->groups);
    wsg_groups_deinit(&h->users);
    wsg_groups_deinit(&h->tags);
    wsg_groups_deinit(&h->members);
    wsg_handlers_deinit(&h->handlers);
    free(h->round);
    free(h->targets);
    wsb_buf_deinit(&h->text);
    wsb_buf_deinit(&h->said);
    wsb_buf_deinit(&h->presence.queue);
    if (h->shm) /* first: the next gate binds ZeroMQ's endpoints before it makes this one's socket */
        h->shm->ops->close(h->shm);
    h->shm = NULL;
    h->server->ops->close(h->server);
    h->server = NULL;
    wsg_kept_pool_deinit(&h->kept);
    wsg_dead_letters_deinit(&h->dead_letters);
    wsb_account_unref(h->strangers);
    wsb_account_unref(h->copies);
}
