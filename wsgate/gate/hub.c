/*
 * The hub: from sessions to handlers. A handler that cannot be reached any more is only marked while something iterates
 * over handlers or pins; remove_dead() takes it out at the end of the step and moves its connections.
 */
#include "gate/hub.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "base/json.h"
#include "base/log.h"
#include "base/size.h"
#include "gate/hub_parts.h"

enum {
    WORK_PER_ROUND = 8192 /* commands, or KiB of them */,
    RETRY_MS = 2,
    PAUSE_CHECK_MS = 5,
    FIRST_BLOCK = 4096,
    SUBSCRIPTIONS_MAX = 10000
};

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A topic prefix that somebody subscribed to; XPUB tells each one once. */
struct wsg_subscription {
    struct wsg_subscription *next;
    size_t len;
    uint8_t prefix[];
};

/* ---------------------------------------------------------- to the handlers */

static void mark_dead(struct wsg_hub *h, struct wsg_handler *to)
{
    if (!to->is_dead) {
        to->is_dead = true;
        h->dead_count++;
    }
}

static void send_block(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_header *header, struct wsb_block *b,
                       struct wsb_span meta)
{
    wsb_err err = h->server->ops->send(h->server, wsb_span(to->peer, to->peer_len), header, b, meta);
    if (err == WSB_CLOSED)
        mark_dead(h, to);
    else if (err)
        to->dropped++;
}

static void send_batch(struct wsg_hub *h, struct wsg_handler *to)
{
    struct wsb_block *b = to->block;
    struct wsb_header header = {.type = WSB_BATCH, .payload_len = (uint32_t)b->len};
    to->block = NULL;
    send_block(h, to, &header, b, wsb_span(NULL, 0));
}

static bool note_round(struct wsg_hub *h, struct wsg_handler *to)
{
    if (to->in_round)
        return true;
    if (h->round_count == h->round_cap) {
        size_t cap = h->round_cap ? h->round_cap * 2 : 64;
        struct wsg_handler **round = realloc(h->round, cap * sizeof(struct wsg_handler *));
        if (!round)
            return false;
        h->round = round;
        h->round_cap = cap;
    }
    h->round[h->round_count++] = to;
    to->in_round = true;
    return true;
}

/* Room for one record at the end of the handler's batch; NULL without memory. */
static uint8_t *batch_space(struct wsg_hub *h, struct wsg_handler *to, size_t size)
{
    if (to->block && to->block->len + size > to->block->cap && to->block->len >= WSG_BATCH_BYTES)
        send_batch(h, to);
    if (!to->block) {
        if (!note_round(h, to))
            return NULL;
        to->block = wsb_block_new(to->account, size > FIRST_BLOCK ? size : FIRST_BLOCK);
        if (!to->block)
            return NULL;
    }
    if (to->block->len + size > to->block->cap) {
        size_t cap = to->block->cap * 2;
        while (cap < to->block->len + size)
            cap *= 2;
        struct wsb_block *bigger = wsb_block_grow(to->block, cap);
        if (!bigger)
            return NULL;
        to->block = bigger;
    }
    uint8_t *at = to->block->data + to->block->len;
    to->block->len += size;
    return at;
}

static void send_batched(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_envelope *e)
{
    uint8_t *payload;
    size_t size = wsb_record_size(e->payload.len, e->meta.len);
    uint8_t *at = size ? batch_space(h, to, size) : NULL;
    if (!at) {
        to->dropped++;
        WSB_LOG(WSB_LOG_BUS, WSB_LOG_ERROR, "event lost: out of memory", WSB_KU("handler", to->id),
                WSB_KID("conn", e->header.conn));
        return;
    }
    wsb_record_begin(at, &e->header, e->meta, &payload);
    if (e->payload.len)
        memcpy(payload, e->payload.ptr, e->payload.len);
}

static void send_single(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_envelope *e)
{
    struct wsb_block *b = wsb_block_new(to->account, e->payload.len + e->meta.len);
    if (!b) {
        to->dropped++;
        return;
    }
    if (e->payload.len)
        memcpy(b->data, e->payload.ptr, e->payload.len);
    b->len = e->payload.len;
    send_block(h, to, &e->header, b, e->meta);
}

void wsg_hub_send(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_envelope *e)
{
    struct wsb_envelope copy = *e;
    if (to->is_dead)
        return;
    if (wsb_account_bytes(to->account) > WSG_HANDLER_LIMIT) {
        WSB_LOG(WSB_LOG_BUS, WSB_LOG_WARN, "handler takes nothing", WSB_KU("handler", to->id),
                WSB_KS("name", to->name));
        mark_dead(h, to);
        return;
    }
    copy.header.payload_len = (uint32_t)e->payload.len;
    copy.header.flags = (uint8_t)(e->meta.len ? e->header.flags | WSB_FLAG_META : e->header.flags & ~WSB_FLAG_META);
    if (to->batch)
        send_batched(h, to, &copy);
    else
        send_single(h, to, &copy);
    to->events++;
    to->event_bytes += e->payload.len;
    h->stats.events++;
}

/* A block with a copy of the payload; NULL without memory, or when too much is under way already. */
static struct wsb_block *copy_block(struct wsb_account *account, size_t limit, struct wsb_span payload)
{
    if (wsb_account_bytes(account) > limit)
        return NULL;
    struct wsb_block *b = wsb_block_new(account, payload.len);
    if (!b)
        return NULL;
    if (payload.len)
        memcpy(b->data, payload.ptr, payload.len);
    b->len = payload.len;
    return b;
}

void wsg_hub_send_peer(struct wsg_hub *h, struct wsb_span peer, const struct wsb_envelope *e)
{
    struct wsb_header header = e->header;
    struct wsb_block *b = copy_block(h->strangers, WSG_STRANGERS_LIMIT, e->payload);
    if (!b)
        return; /* strangers that do not read their answers get no more of them */
    header.payload_len = (uint32_t)e->payload.len;
    header.flags = (uint8_t)(e->meta.len ? header.flags | WSB_FLAG_META : header.flags);
    (void)!h->server->ops->send(h->server, peer, &header, b, e->meta); /* it may have left already */
}

void wsg_hub_error(struct wsg_hub *h, struct wsb_span peer, enum wsb_error_code code, uint64_t seq, const char *text)
{
    struct wsg_handler *to = wsg_handlers_by_peer(&h->handlers, peer);
    struct wsb_envelope e = {
        .header = {.type = WSB_ERROR, .code = (uint8_t)code, .seq = seq, .time_ns = wsg_loop_wall_ns(h->loop)},
        .payload = wsb_span_str(text),
    };
    h->stats.command_errors++;
    (void)snprintf(h->stats.last_command_error, sizeof h->stats.last_command_error, "%s", text);
    WSB_LOG(WSB_LOG_BUS, WSB_LOG_DEBUG, "bad command", WSB_KS("why", text), WSB_KU("handler", to ? to->id : 0));
    if (to) {
        to->errors++;
        wsg_hub_send(h, to, &e);
    } else if (peer.len) {
        wsg_hub_send_peer(h, peer, &e);
    }
}

static void flush_batches(struct wsg_hub *h)
{
    for (size_t i = 0; i < h->round_count; i++) {
        struct wsg_handler *to = h->round[i];
        to->in_round = false;
        if (to->block)
            send_batch(h, to);
    }
    h->round_count = 0;
}

/* ----------------------------------------------------------- back-pressure */

/* True while more is under way to the handler than it should have waiting; looked at again until it is not. */
static bool note_if_full(struct wsg_hub *h, struct wsg_handler *to)
{
    if (to->paused)
        return true;
    if (wsb_account_bytes(to->account) < WSG_HANDLER_HIGH)
        return false;
    to->paused = true;
    WSB_LOG(WSB_LOG_BUS, WSB_LOG_INFO, "handler is slow: its clients wait", WSB_KU("handler", to->id),
            WSB_KS("name", to->name));
    if (!h->pause_check.heap_index)
        (void)!wsg_loop_arm(h->loop, &h->pause_check, wsg_loop_now_ms(h->loop) + PAUSE_CHECK_MS);
    return true;
}

static void command_one(struct wsg_hub *h, uint8_t type, const struct wsg_pin *p)
{
    struct wsg_command c = {.type = type, .by = WSG_BY_GATE};
    h->host.command(h->host.ctx, &c, &p->conn, 1);
}

static void pause_if_full(struct wsg_hub *h, struct wsg_handler *to, struct wsg_pin *p)
{
    if (!note_if_full(h, to))
        return;
    if (!p->is_paused) {
        p->is_paused = true;
        command_one(h, WSG_CMD_PAUSE, p);
    }
}

static void resume(struct wsg_hub *h, struct wsg_pin *p)
{
    if (p->is_paused) {
        p->is_paused = false;
        command_one(h, WSG_CMD_RESUME, p);
    }
}

static void on_pause_check(struct wsg_timer *t)
{
    struct wsg_hub *h = CONTAINER(t, struct wsg_hub, pause_check);
    bool any = false;
    for (struct wsg_handler *to = h->handlers.by_id; to; to = to->by_id.next) {
        struct wsg_pin *p;
        if (!to->paused)
            continue;
        if (wsb_account_bytes(to->account) > WSG_HANDLER_LOW) {
            any = true;
            continue;
        }
        to->paused = false;
        DL_FOREACH (to->pins, p)
            resume(h, p);
    }
    if (any)
        (void)!wsg_loop_arm(h->loop, t, wsg_loop_now_ms(h->loop) + PAUSE_CHECK_MS);
}

/* ---------------------------------------------------------------- publishing */

static bool is_subscribed(const struct wsg_hub *h, const char *topic)
{
    size_t len = strlen(topic);
    for (const struct wsg_subscription *s = h->subscriptions; s; s = s->next) {
        if (s->len <= len && memcmp(s->prefix, topic, s->len) == 0)
            return true;
    }
    return false;
}

static void publish_copy(struct wsg_hub *h, const struct wsg_pin *p, const struct wsb_envelope *e)
{
    char topic[WSG_ROUTE_NAME_MAX + 16];
    if (!p->route->policy.publish && !p->route->policy.tap)
        return;
    (void)snprintf(topic, sizeof topic, "%s %s", p->route->name, wsb_type_name(e->header.type));
    if (!is_subscribed(h, topic))
        return;
    struct wsb_header header = e->header;
    header.payload_len = (uint32_t)e->payload.len;
    header.flags = (uint8_t)(e->meta.len ? e->header.flags | WSB_FLAG_META : e->header.flags & ~WSB_FLAG_META);
    struct wsb_block *b = copy_block(h->copies, WSG_EVENTS_LIMIT, e->payload);
    if (b && h->server->ops->publish(h->server, topic, &header, b, e->meta) == WSB_OK)
        h->stats.published++;
    else
        h->stats.publish_drops++;
}

static void on_subscription(struct wsg_hub *h, const struct wsb_inbound *in)
{
    struct wsg_subscription **at = &h->subscriptions;
    size_t count = 0;
    while (*at && !wsb_span_eq(in->subscription, wsb_span((*at)->prefix, (*at)->len))) {
        at = &(*at)->next;
        count++;
    }
    if (in->subscribes && !*at && count < SUBSCRIPTIONS_MAX) {
        struct wsg_subscription *s = malloc(sizeof *s + in->subscription.len);
        if (!s)
            return;
        *s = (struct wsg_subscription){.len = in->subscription.len};
        if (s->len)
            memcpy(s->prefix, in->subscription.ptr, s->len);
        *at = s;
    } else if (!in->subscribes && *at) {
        struct wsg_subscription *s = *at;
        *at = s->next;
        free(s);
    }
}

/* ------------------------------------------------------- events of sessions */

static void forward(struct wsg_hub *h, struct wsg_pin *p, struct wsb_envelope *e)
{
    e->header.seq = ++p->seq;
    publish_copy(h, p, e);
    if (p->handler) {
        wsg_hub_send(h, p->handler, e);
        if (e->header.type == WSB_DATA || e->header.type == WSB_BODY_EV)
            pause_if_full(h, p->handler, p);
        else
            (void)note_if_full(h, p->handler);
    }
}

/* Nobody will serve it: the session says so to the client, and there is no pin. */
static void fail_connection(struct wsg_hub *h, wsb_conn conn, uint16_t status, const char *why)
{
    struct wsg_command c = {.type = WSG_CMD_FAIL, .by = WSG_BY_GATE, .status = status, .reason = wsb_span_str(why)};
    h->host.command(h->host.ctx, &c, &conn, 1);
}

static void on_open(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsb_envelope e = out->envelope;
    struct wsg_route *route = &h->routes->routes[out->route];
    struct wsg_handler *handler =
        route->policy.publish ? NULL : wsg_handlers_pick(&h->handlers, route, NULL, /*with_room=*/true);
    struct wsg_pin *p;
    if (!handler && !route->policy.publish) {
        fail_connection(h, e.header.conn, 503, "no handler, or none that keeps up");
        return;
    }
    if (wsg_pins_add(&h->pins, e.header.conn, route, &p) != WSB_OK) {
        fail_connection(h, e.header.conn, 500, "out of memory");
        return;
    }
    p->is_request = e.header.type == WSB_REQUEST;
    p->is_pending = (e.header.flags & WSB_FLAG_PENDING) != 0;
    wsg_pin_assign(p, handler);
    if (!p->is_request) {
        p->meta = malloc(e.meta.len ? e.meta.len : 1);
        if (p->meta) {
            memcpy(p->meta, e.meta.ptr, e.meta.len);
            p->meta_len = (uint32_t)e.meta.len;
        }
        (void)!wsg_groups_join(&h->members, p, wsb_span_str(route->name));
    }
    forward(h, p, &e);
}

static void on_event(struct wsg_hub *h, const struct wsg_out *out)
{
    struct wsb_envelope e = out->envelope;
    if (e.header.type == WSB_OPEN || e.header.type == WSB_REQUEST) {
        on_open(h, out);
        return;
    }
    struct wsg_pin *p = wsg_pins_find(&h->pins, e.header.conn);
    if (!p)
        return; /* it was failed: its end is nobody's event */
    forward(h, p, &e);
    if (e.header.type == WSB_CLOSED_EV || e.header.type == WSB_ABORTED)
        wsg_pins_remove(&h->pins, p);
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
        wsg_hub_send(h, to, &out->envelope);
}

static void remove_dead(struct wsg_hub *h);

void wsg_hub_take(struct wsg_hub *h, struct wsb_span outbox)
{
    struct wsg_out out;
    struct wsg_pin *p;
    while (wsg_outbox_next(&outbox, &out)) {
        if (h->dead_count)
            remove_dead(h); /* so that this event goes to whoever took over */
        switch (out.kind) {
        case WSG_OUT_EVENT:
            on_event(h, &out);
            break;
        case WSG_OUT_REPLY:
            on_reply(h, &out);
            break;
        case WSG_OUT_DONE:
            p = wsg_pins_find(&h->pins, out.envelope.header.conn);
            if (p)
                wsg_pins_remove(&h->pins, p);
            break;
        case WSG_OUT_WRITABLE:
        case WSG_OUT_TAP_IN:
        case WSG_OUT_TAP_OUT:
        case WSG_OUT_TAP_NOTE:
            h->host.tap(h->host.ctx, &out);
            break;
        }
    }
    remove_dead(h);
}

/* -------------------------------------------------------- death of handlers */

static void move_pin(struct wsg_hub *h, struct wsg_pin *p, struct wsg_handler *from)
{
    struct wsg_handler *to = wsg_handlers_pick(&h->handlers, p->route, from, /*with_room=*/false);
    wsb_conn conn = p->conn;
    resume(h, p);
    if (p->is_request) {
        wsg_pins_remove(&h->pins, p);
        fail_connection(h, conn, 502, "the handler went away");
        return;
    }
    if (!to || !p->meta) {
        wsg_pin_assign(p, NULL);
        fail_connection(h, conn, 503, "the handler went away");
        return;
    }
    wsg_pin_assign(p, to);
    struct wsb_envelope e = {
        .header = {.type = WSB_OPEN,
                   .flags = (uint8_t)(WSB_FLAG_REDELIVERED | (p->is_pending ? WSB_FLAG_PENDING : 0)),
                   .conn = conn,
                   .seq = 1,
                   .time_ns = wsg_loop_wall_ns(h->loop)},
        .meta = wsb_span(p->meta, p->meta_len),
    };
    wsg_hub_send(h, to, &e);
}

static void count_routes(struct wsg_hub *h, const struct wsg_handler *handler, int by)
{
    for (size_t i = 0; i < handler->route_count; i++)
        atomic_fetch_add_explicit(&h->routes->routes[handler->routes[i]].handlers, (uint32_t)by, memory_order_relaxed);
}

/* It lives, and must know that its connections are somebody else's now. */
static void revoke_all(struct wsg_hub *h, struct wsg_handler *handler, const char *why)
{
    char meta[128];
    struct wsg_pin *p;
    int n = snprintf(meta, sizeof meta, "{\"reason\":\"%s\"}", why); /* words of ours */
    DL_FOREACH (handler->pins, p) {
        struct wsb_envelope e = {
            .header = {.type = WSB_REVOKED, .conn = p->conn, .time_ns = wsg_loop_wall_ns(h->loop)},
            .meta = wsb_span(meta, (size_t)n),
        };
        wsg_hub_send(h, handler, &e);
    }
    if (handler->block)
        send_batch(h, handler);
}

void wsg_hub_drop_handler(struct wsg_hub *h, struct wsg_handler *handler, const char *why)
{
    if (!handler->is_dead)
        revoke_all(h, handler, why);
    wsg_hub_remove_handler(h, handler, why);
}

void wsg_hub_remove_handler(struct wsg_hub *h, struct wsg_handler *handler, const char *why)
{
    WSB_LOG(WSB_LOG_BUS, WSB_LOG_INFO, "handler gone", WSB_KU("handler", handler->id), WSB_KS("name", handler->name),
            WSB_KS("why", why), WSB_KU("connections", handler->pinned));
    h->stats.handlers_gone++;
    if (handler->is_dead)
        h->dead_count--;
    handler->is_dead = true; /* nobody picks it any more */
    count_routes(h, handler, -1);
    while (handler->pins) {
        struct wsg_pin *p = handler->pins;
        move_pin(h, p, handler);
    }
    for (size_t i = 0; i < h->round_count; i++) {
        if (h->round[i] == handler)
            h->round[i] = h->round[--h->round_count];
    }
    wsg_handlers_remove(&h->handlers, handler);
}

static void remove_dead(struct wsg_hub *h)
{
    while (h->dead_count) { /* moving connections may find another one dead */
        struct wsg_handler *to, *next;
        HASH_ITER (by_id, h->handlers.by_id, to, next) {
            if (to->is_dead) {
                wsg_hub_remove_handler(h, to, "unreachable");
                break;
            }
        }
    }
}

void wsg_hub_flush(struct wsg_hub *h)
{
    do {
        flush_batches(h);
        remove_dead(h); /* those who take over are sent to in turn */
    } while (h->round_count);
}

static void on_heartbeat(struct wsg_timer *t)
{
    struct wsg_hub *h = CONTAINER(t, struct wsg_hub, heartbeat);
    for (struct wsg_handler *to = h->handlers.by_id; to; to = to->by_id.next) {
        if (wsb_account_bytes(to->account) > WSG_BATCH_BYTES) /* it has enough to read; is it reachable at all? */
            continue;
        to->ping_sent_us = wsg_loop_now_us(h->loop);
        struct wsb_envelope e = {
            .header = {.type = WSB_PING_EV, .seq = ++to->ping_seq, .time_ns = wsg_loop_wall_ns(h->loop)}};
        wsg_hub_send(h, to, &e);
    }
    wsg_hub_flush(h);
    wsg_handlers_settle(&h->handlers);
    (void)!wsg_loop_arm(h->loop, t, wsg_loop_now_ms(h->loop) + WSG_HEARTBEAT_MS);
}

void wsg_hub_set_level(struct wsg_hub *h, struct wsg_handler *handler, enum wsb_level level)
{
    struct wsb_envelope e = {
        .header = {.type = WSB_LEVEL, .code = (uint8_t)level, .time_ns = wsg_loop_wall_ns(h->loop)}};
    handler->level = (uint8_t)level;
    wsg_hub_send(h, handler, &e);
}

/* ----------------------------------------------------------------- receiving */

static void on_malformed(struct wsg_hub *h, const struct wsb_inbound *in)
{
    uint64_t now_ms = wsg_loop_now_ms(h->loop);
    struct wsg_handler *from = wsg_handlers_by_peer(&h->handlers, in->peer);
    h->stats.malformed++;
    if (from)
        from->errors++;
    if (now_ms - h->malformed_told_ms < 1000 && h->malformed_told_ms)
        return; /* a flood of rubbish is not a flood of log lines */
    h->malformed_told_ms = now_ms;
    WSB_LOG(WSB_LOG_LINK, WSB_LOG_WARN, "malformed message", WSB_KU("handler", from ? from->id : 0),
            WSB_KU("total", h->stats.malformed));
}

static void on_message(struct wsg_hub *h, enum wsb_channel c, const struct wsb_inbound *in)
{
    struct wsg_handler *from = c == WSB_CHANNEL_HANDLERS ? wsg_handlers_by_peer(&h->handlers, in->peer) : NULL;
    if (from)
        from->seen_ms = wsg_loop_now_ms(h->loop);
    if (in->envelope.header.type != WSB_BATCH) {
        wsg_hub_command(h, in->peer, from, &in->envelope);
        return;
    }
    h->readings[c].rest = in->envelope.payload;
    h->readings[c].is_open = true;
}

static int cost_of(const struct wsb_envelope *e)
{
    return 1 + (int)((e->payload.len + e->meta.len) >> 10);
}

/* Go on with the BATCH that is open, as far as the budget reaches. */
static void read_on(struct wsg_hub *h, enum wsb_channel c, int *budget)
{
    struct wsg_reading *r = &h->readings[c];
    struct wsb_envelope e;
    wsb_err err = WSB_OK;
    while (*budget > 0 && (err = wsb_record_next(&r->rest, &e)) == WSB_OK) {
        /* asked each time: HELLO and BYE change it */
        struct wsg_handler *from =
            c == WSB_CHANNEL_HANDLERS ? wsg_handlers_by_peer(&h->handlers, r->inbound.peer) : NULL;
        *budget -= cost_of(&e);
        wsg_hub_command(h, r->inbound.peer, from, &e);
    }
    if (!err)
        return;
    if (err != WSB_CLOSED)
        wsg_hub_error(h, r->inbound.peer, WSB_ERROR_PAYLOAD, r->inbound.envelope.header.seq,
                      "malformed record in a BATCH: the rest is dropped");
    r->is_open = false;
    h->server->ops->release(&r->inbound);
}

static void receive_channel(struct wsg_hub *h, enum wsb_channel c, int budget)
{
    while (budget > 0) {
        struct wsg_reading *r = &h->readings[c];
        if (r->is_open) {
            read_on(h, c, &budget);
            continue;
        }
        wsb_err err = h->server->ops->recv(h->server, c, &r->inbound);
        if (err == WSB_AGAIN)
            return;
        budget -= cost_of(&r->inbound.envelope);
        if (err)
            on_malformed(h, &r->inbound);
        else if (c == WSB_CHANNEL_EVENTS)
            on_subscription(h, &r->inbound);
        else
            on_message(h, c, &r->inbound);
        if (!r->is_open)
            h->server->ops->release(&r->inbound);
    }
}

static void on_retry(struct wsg_timer *t)
{
    (void)t; /* waking up is all */
}

static void on_again(struct wsg_task *t)
{
    CONTAINER(t, struct wsg_hub, again)->again_posted = false; /* the round that runs this receives */
}

void wsg_hub_receive(struct wsg_hub *h)
{
    if (h->host.is_behind(h->host.ctx)) {
        (void)!wsg_loop_arm(h->loop, &h->retry, wsg_loop_now_ms(h->loop) + RETRY_MS);
        return;
    }
    for (int c = 0; c < WSB_CHANNELS; c++)
        receive_channel(h, (enum wsb_channel)c, WORK_PER_ROUND);
    remove_dead(h);
}

/* ZeroMQ's descriptor is edge-triggered, and any send may have eaten the edge: ask before sleeping. */
void wsg_hub_before_sleep(struct wsg_hub *h)
{
    bool left = false;
    if (h->retry.heap_index)
        return; /* that timer wakes us */
    for (int c = 0; c < WSB_CHANNELS && !left; c++)
        left = h->readings[c].is_open || h->server->ops->has_input(h->server, (enum wsb_channel)c);
    if (left && !h->again_posted) {
        h->again_posted = true;
        wsg_loop_post(h->loop, &h->again);
    }
}

static void on_input(struct wsg_watch *w, uint32_t events)
{
    (void)w; /* waking up is all: the round's hook receives */
    (void)events;
}

/* -------------------------------------------------------------- begin, end */

wsb_err wsg_hub_open(struct wsg_hub *h, struct wsg_loop *loop, struct wsg_routes *routes, struct wsb_server *server,
                     const struct wsg_hub_host *host, uint64_t epoch, size_t max_message)
{
    *h = (struct wsg_hub){
        .loop = loop, .server = server, .routes = routes, .host = *host, .epoch = epoch, .max_message = max_message};
    h->heartbeat.fn = on_heartbeat;
    h->pause_check.fn = on_pause_check;
    h->strangers = wsb_account_new();
    h->copies = wsb_account_new();
    h->again.fn = on_again;
    h->retry.fn = on_retry;
    for (int c = 0; c < WSB_CHANNELS; c++)
        h->watches[c].fd = -1;
    if (!h->strangers || !h->copies) {
        wsg_hub_close(h);
        return WSB_ERR_NOMEM;
    }
    for (int c = 0; c < WSB_CHANNELS; c++) {
        h->watches[c] = (struct wsg_watch){.fd = server->ops->fd(server, (enum wsb_channel)c), .fn = on_input};
        wsb_err err = wsg_loop_watch(loop, &h->watches[c], EPOLLIN | EPOLLET);
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
    for (int c = 0; c < WSB_CHANNELS; c++) {
        if (h->watches[c].events)
            wsg_loop_unwatch(h->loop, &h->watches[c]);
    }
    wsg_loop_disarm(h->loop, &h->heartbeat);
    wsg_loop_disarm(h->loop, &h->pause_check);
    wsg_loop_disarm(h->loop, &h->retry);
    wsg_pins_deinit(&h->pins);
    wsg_groups_deinit(&h->groups);
    wsg_groups_deinit(&h->members);
    wsg_handlers_deinit(&h->handlers);
    while (h->subscriptions) {
        struct wsg_subscription *s = h->subscriptions;
        h->subscriptions = s->next;
        free(s);
    }
    free(h->round);
    free(h->targets);
    h->server->ops->close(h->server);
    h->server = NULL;
    wsb_account_unref(h->strangers);
    wsb_account_unref(h->copies);
}
