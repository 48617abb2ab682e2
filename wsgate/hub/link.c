/*
 * Messages to handlers: one by one, or gathered in a batch that leaves at the end of the round. A handler that cannot be
 * reached any more is only marked here; whoever iterates over handlers or pins goes on in peace, and removes it afterwards.
 */
#include "hub/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"

enum { FIRST_BLOCK = 4096 };

void wsg_hub_mark_dead(struct wsg_hub *h, struct wsg_handler *to)
{
    if (!to->is_dead) {
        to->is_dead = true;
        DL_APPEND2(h->dead, to, prev_dead, next_dead);
    }
}

static bool send_block(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_header *header, struct wsb_block *b,
                       struct wsb_span meta)
{
    struct wsb_server *server = wsg_hub_server_for(h, to);
    wsg_hub_touch(h, server);
    wsb_err err = server->ops->send(server, wsb_span(to->peer, to->peer_len), header, b, meta);
    if (err == WSB_CLOSED)
        wsg_hub_mark_dead(h, to);
    else if (err)
        to->dropped++;
    return err == WSB_OK;
}

/* What the batch holds of messages that nobody will acknowledge has arrived, as far as we ever know, or is lost. */
static void settle_batch(struct wsg_hub *h, struct wsg_handler *to, bool sent)
{
    for (size_t i = 0; to->in_batch && i < to->route_count; i++) {
        struct wsg_route_tally *t = &h->routes->routes[to->routes[i]].tally;
        if (to->in_batch[i] == 0)
            continue;
        wsg_tally(sent ? &t->delivered : &t->in_dropped[WSG_IN_LOST], to->in_batch[i]);
        if (sent)
            to->delivered += to->in_batch[i];
        to->in_batch[i] = 0;
    }
}

void wsg_hub_count_handed(struct wsg_handler *to, struct wsg_route *route)
{
    for (size_t i = 0; to->block && i < to->route_count; i++) {
        if (to->routes[i] == route->index) {
            to->in_batch[i]++;
            return;
        }
    }
    wsg_tally(&route->tally.delivered, 1); /* it went by itself */
    to->delivered++;
}

void wsg_hub_send_batch(struct wsg_hub *h, struct wsg_handler *to)
{
    struct wsb_block *b = to->block;
    if (!b)
        return;
    struct wsb_header header = {.type = WSB_BATCH, .payload_len = (uint32_t)b->len};
    to->block = NULL;
    settle_batch(h, to, send_block(h, to, &header, b, wsb_span(NULL, 0)));
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
        wsg_hub_send_batch(h, to);
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

static bool send_batched(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_envelope *e)
{
    uint8_t *payload;
    size_t size = wsb_record_size(e->payload.len, e->meta.len);
    uint8_t *at = size ? batch_space(h, to, size) : NULL;
    if (!at) {
        to->dropped++;
        WSB_LOG_FEW(&h->lines.dropped, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_ERROR,
                    "event lost: out of memory", WSB_KU("handler", to->id), WSB_KID("conn", e->header.conn));
        return false;
    }
    wsb_record_begin(at, &e->header, e->meta, &payload);
    if (e->payload.len)
        memcpy(payload, e->payload.ptr, e->payload.len);
    return true;
}

/* Straight to where the handler reads it; what finds no room goes by itself, and waits in front of it. */
static bool send_direct(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_envelope *e)
{
    uint8_t *payload;
    if (!h->shm->ops->reserve(to->direct, &e->header, e->meta, &payload))
        return false;
    if (e->payload.len)
        memcpy(payload, e->payload.ptr, e->payload.len);
    h->shm->ops->commit(to->direct, NULL);
    return true;
}

static bool send_single(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_envelope *e)
{
    struct wsb_block *b = wsb_block_new(to->account, e->payload.len + e->meta.len);
    if (!b) {
        to->dropped++;
        return false;
    }
    if (e->payload.len)
        memcpy(b->data, e->payload.ptr, e->payload.len);
    b->len = e->payload.len;
    return send_block(h, to, &e->header, b, e->meta);
}

bool wsg_hub_send(struct wsg_hub *h, struct wsg_handler *to, const struct wsb_envelope *e)
{
    struct wsb_envelope copy = *e;
    if (to->is_dead && !to->is_told)
        return false;
    if (wsb_account_bytes(to->account) > WSG_HANDLER_LIMIT) {
        WSB_LOG_FEW(&h->lines.stuck, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_WARN,
                    "handler takes nothing", WSB_KU("handler", to->id), WSB_KS("name", to->name));
        wsg_hub_mark_dead(h, to);
        return false;
    }
    copy.header.payload_len = (uint32_t)e->payload.len;
    copy.header.flags = (uint8_t)(e->meta.len ? e->header.flags | WSB_FLAG_META : e->header.flags & ~WSB_FLAG_META);
    bool sent;
    if (to->direct)
        sent = send_direct(h, to, &copy) || send_single(h, to, &copy);
    else
        sent = to->batch ? send_batched(h, to, &copy) : send_single(h, to, &copy);
    if (!sent)
        return false;
    to->events++;
    to->event_bytes += e->payload.len;
    h->stats.events++;
    return true;
}

void wsg_hub_tell(struct wsg_hub *h, struct wsg_handler *to, uint8_t type, uint8_t flags, wsb_conn conn,
                  const char *reason)
{
    char meta[160];
    int n = reason ? snprintf(meta, sizeof meta, "{\"reason\":\"%s\"}", reason) : 0;
    struct wsb_envelope e = {
        .header = {.type = type, .flags = flags, .conn = conn, .time_ns = wsg_loop_wall_ns(h->loop)},
        .meta = wsb_span(meta, (size_t)n),
    };
    (void)wsg_hub_send(h, to, &e);
}

void wsg_hub_ping(struct wsg_hub *h, struct wsg_handler *to)
{
    to->ping_sent_us = wsg_loop_now_us(h->loop);
    struct wsb_envelope e = {
        .header = {.type = WSB_PING_EV, .seq = to->ping_seq = ++h->last_ping, .time_ns = wsg_loop_wall_ns(h->loop)}};
    (void)wsg_hub_send(h, to, &e);
}

struct wsb_block *wsg_hub_copy_block(struct wsb_account *account, size_t limit, struct wsb_span payload)
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
    struct wsb_server *server = wsg_hub_server_of(h, peer);
    if (server->ops->is_behind(server, peer))
        return; /* what it does not read must not cost others their answers */
    struct wsb_block *b = wsg_hub_copy_block(h->strangers, WSG_STRANGERS_LIMIT, e->payload);
    if (!b)
        return; /* strangers that do not read their answers get no more of them */
    header.payload_len = (uint32_t)e->payload.len;
    header.flags = (uint8_t)(e->meta.len ? header.flags | WSB_FLAG_META : header.flags);
    wsg_hub_touch(h, server);
    (void)!server->ops->send(server, peer, &header, b, e->meta); /* it may have left already */
}

const char *wsg_failing_name(enum wsg_failing why)
{
    static const char *const names[WSG_FAILINGS] = {
        [WSG_FAIL_TYPE] = "type",
        [WSG_FAIL_FLAG] = "flag",
        [WSG_FAIL_METADATA] = "metadata",
        [WSG_FAIL_PAYLOAD] = "payload",
        [WSG_FAIL_UNREGISTERED] = "unregistered",
        [WSG_FAIL_REFUSED] = "refused",
        [WSG_FAIL_LIMIT] = "limit",
        [WSG_FAIL_FORBIDDEN] = "forbidden",
        [WSG_FAIL_GONE] = "gone",
        [WSG_FAIL_MALFORMED] = "malformed",
    };
    return names[why];
}

static enum wsg_failing failing_of(enum wsb_error_code code)
{
    switch (code) {
    case WSB_ERROR_TYPE:
        return WSG_FAIL_TYPE;
    case WSB_ERROR_FLAG:
        return WSG_FAIL_FLAG;
    case WSB_ERROR_METADATA:
        return WSG_FAIL_METADATA;
    case WSB_ERROR_PAYLOAD:
        return WSG_FAIL_PAYLOAD;
    case WSB_ERROR_NOT_REGISTERED:
        return WSG_FAIL_UNREGISTERED;
    case WSB_ERROR_LIMIT:
        return WSG_FAIL_LIMIT;
    case WSB_ERROR_REFUSED:
        break;
    }
    return WSG_FAIL_REFUSED;
}

void wsg_hub_failed(struct wsg_hub *h, struct wsb_span peer, enum wsg_failing why)
{
    h->stats.failed[why]++;
    h->stats.failed_unheard[why] += peer.len == 0;
}

void wsg_hub_error(struct wsg_hub *h, struct wsb_span peer, enum wsb_error_code code, uint64_t seq, const char *text)
{
    struct wsg_handler *to = wsg_handlers_by_peer(&h->handlers, peer);
    struct wsb_envelope e = {
        .header = {.type = WSB_ERROR, .code = (uint8_t)code, .seq = seq, .time_ns = wsg_loop_wall_ns(h->loop)},
        .payload = wsb_span_str(text),
    };
    h->stats.command_errors++;
    wsg_hub_failed(h, peer, failing_of(code));
    (void)snprintf(h->stats.last_command_error, sizeof h->stats.last_command_error, "%s", text);
    WSB_LOG(WSB_LOG_BUS, WSB_LOG_DEBUG, "bad command", WSB_KS("why", text), WSB_KU("handler", to ? to->id : 0));
    if (to) {
        to->errors++;
        (void)wsg_hub_send(h, to, &e);
    } else if (peer.len) {
        wsg_hub_send_peer(h, peer, &e);
    }
}

void wsg_hub_flush_batches(struct wsg_hub *h)
{
    for (size_t i = 0; i < h->round_count; i++) {
        struct wsg_handler *to = h->round[i];
        to->in_round = false;
        if (to->block)
            wsg_hub_send_batch(h, to);
    }
    h->round_count = 0;
}
