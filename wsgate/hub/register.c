/* What handlers say of themselves: who they are and what they serve, how much they take, how far they are. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "hub/ack.h"
#include "hub/going.h"
#include "hub/hands.h"
#include "hub/hearing.h"
#include "hub/incoming.h"
#include "hub/round.h"

enum {
    PAIR_BYTES = 16,       /* of an ACK of many: connection and seq */
    LINES_OF_HANDLER = 200 /* a second, that one handler can have the log write */
};

static void welcome(struct wsg_hub *h, struct wsg_handler *to, uint64_t seq)
{
    struct wsb_buf text;
    struct wsb_json j;
    wsb_buf_init(&text, WSB_META_MAX);
    wsb_json_begin(&j, &text);
    wsb_json_object(&j);
    wsb_json_key(&j, "epoch");
    wsb_json_id(&j, h->epoch);
    wsb_json_ku64(&j, "id", to->id);
    wsb_json_kcstr(&j, "gate", WSBUS_VERSION);
    wsb_json_key(&j, "routes");
    wsb_json_array(&j);
    for (size_t i = 0; i < to->route_count; i++)
        wsb_json_cstr(&j, h->routes->routes[to->routes[i]].name);
    wsb_json_array_end(&j);
    wsb_json_ku64(&j, "heartbeat_ms", WSG_HEARTBEAT_MS);
    wsb_json_ku64(&j, "max_message", h->max_message);
    wsb_json_key(&j, "features");
    wsb_json_array(&j);
    wsb_json_cstr(&j, "batch");
    wsb_json_cstr(&j, "records");
    wsb_json_cstr(&j, "groups");
    wsb_json_cstr(&j, "outcomes");
    wsb_json_cstr(&j, "ack");
    wsb_json_cstr(&j, "credit");
    wsb_json_cstr(&j, "tags");
    wsb_json_cstr(&j, "presence");
    wsb_json_cstr(&j, "drain");
    wsb_json_cstr(&j, "kinds");
    wsb_json_cstr(&j, "working");
    wsb_json_array_end(&j);
    wsb_json_object_end(&j);
    if (wsb_json_end(&j) == WSB_OK) {
        struct wsb_envelope e = {
            .header = {.type = WSB_WELCOME, .seq = seq, .time_ns = wsg_loop_wall_ns(h->loop)},
            .meta = wsb_buf_span(&text),
        };
        (void)wsg_hub_send(h, to, &e);
    }
    wsb_buf_deinit(&text);
}

void wsg_refuse_hello(const struct wsg_incoming *in, enum wsb_error_code code, const char *text)
{
    struct wsg_hub *h = in->hub;
    const struct wsg_meta *m = in->meta;
    h->stats.hellos_refused++;
    WSB_LOG_FEW(&h->lines.refused, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_WARN,
                "handler refused", WSB_KS("why", text), WSB_KSPAN("name", m->name), WSB_KSPAN("language", m->language),
                WSB_KI("pid", m->pid), WSB_KSPAN("key", in->user));
    wsg_refuse(in, code, text);
}

/* Return what handlers of the route are asked about: a gatekeeper's are asked about WebSocket clients of other routes. */
static unsigned kinds_of(const struct wsg_routes *all, const struct wsg_route *r)
{
    unsigned kinds = r->policy.kinds ? r->policy.kinds : WSG_KIND_WEBSOCKET;
    for (size_t i = 0; i < all->count; i++)
        kinds |= all->routes[i].gatekeeper == r ? WSG_KIND_WEBSOCKET : 0u;
    return kinds;
}

/* Return why the handler of this message may not serve a route; NULL when it may. */
static const char *why_not_serve(const struct wsg_incoming *in, const struct wsg_route *r)
{
    if (!r)
        return "does not exist";
    if (!wsg_hub_allows(in->hub, in->user, r))
        return "is not for your key";
    if (r->policy.publish)
        return "only publishes: subscribe to events";
    unsigned kinds = kinds_of(in->hub->routes, r);
    if (!(kinds & in->meta->kinds)) /* otherwise it would wait in vain */
        return kinds == WSG_KIND_HTTP ? "is for HTTP, and \"kinds\" names WebSocket only"
                                      : "is for WebSocket, and \"kinds\" names HTTP only";
    return NULL;
}

static bool routes_of(const struct wsg_incoming *in, uint16_t **ret, size_t *ret_count)
{
    char text[160];
    size_t count = 0;
    uint16_t *routes = in->meta->route_count ? calloc(in->meta->route_count, sizeof *routes) : NULL;
    if (!routes) {
        wsg_refuse_hello(in, WSB_ERROR_METADATA, "HELLO wants \"routes\": an array with at least one route");
        return false;
    }
    for (size_t i = 0; i < in->meta->route_count; i++) {
        const struct wsg_route *r = wsg_routes_find(in->hub->routes, in->meta->routes[i]);
        bool twice = false;
        const char *why_not = why_not_serve(in, r);
        if (why_not) {
            (void)snprintf(text, sizeof text, "route '%.*s' %s",
                           (int)(in->meta->routes[i].len < 64 ? in->meta->routes[i].len : 64),
                           (const char *)in->meta->routes[i].ptr, why_not);
            wsg_refuse_hello(in, WSB_ERROR_REFUSED, text);
            free(routes);
            return false;
        }
        for (size_t k = 0; k < count; k++)
            twice = twice || routes[k] == r->index;
        if (!twice)
            routes[count++] = r->index;
    }
    *ret = routes;
    *ret_count = count;
    return true;
}

static void copy_text(char *to, size_t size, struct wsb_span from)
{
    size_t n = from.len < size - 1 ? from.len : size - 1;
    while (n < from.len && n > 0 && (from.ptr[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    if (n)
        memcpy(to, from.ptr, n);
    to[n] = 0;
}

static wsb_err set_routes(const struct wsg_incoming *in, struct wsg_handler *to, uint16_t *routes, size_t count)
{
    struct wsg_hub *h = in->hub;
    uint32_t *in_batch = calloc(count, sizeof *in_batch);
    if (!in_batch)
        return WSB_ERR_NOMEM;
    wsg_hub_send_batch(h, to); /* what waits was meant for the handler as it was */
    wsg_hub_count_out(h, to);
    free(to->routes);
    free(to->in_batch);
    to->routes = routes;
    to->in_batch = in_batch;
    to->route_count = count;
    to->kinds = in->meta->kinds;
    wsg_hub_count_in(h, to);
    return WSB_OK;
}

/* What a registration says once and for all: repeating HELLO changes none of it. */
static void begin_terms(const struct wsg_incoming *in, struct wsg_handler *to)
{
    to->since_ms = to->seen_ms = wsg_loop_now_ms(in->hub->loop);
    wsg_hub_note_progress(in->hub, to);
    to->acks = in->meta->ack;
    to->has_credit = in->meta->has_credit;
    to->pid = in->meta->pid;
    to->weight = in->meta->weight;
    if (in->meta->has_credit)
        wsg_handler_grant(to, in->meta->messages, in->meta->bytes);
}

/*
 * A peer that had connections before, lost them while it lived, and registers again may have written answers to what it was sent
 * then, and they may come only now: behind its HELLO, from an owner, and behind what others have answered meanwhile. Whatever it
 * sent before it has seen this WELCOME is of that time, and stale.
 */
static void fence(struct wsg_hub *h, struct wsg_handler *to)
{
    if (!to->was_given_up && !(to->past_pid && to->past_pid == to->pid))
        return;
    wsg_hub_ping(h, to);
    to->fence = to->ping_seq;
}

static bool serves_the_same(const struct wsg_handler *h, const struct wsg_incoming *in, const uint16_t *routes,
                            size_t count)
{
    return h->kinds == in->meta->kinds && h->route_count == count &&
           memcmp(h->routes, routes, count * sizeof *routes) == 0;
}

void wsg_on_hello(const struct wsg_incoming *in)
{
    struct wsg_hub *h = in->hub;
    struct wsg_handler *to = in->from;
    uint16_t *routes;
    size_t route_count;
    if (!routes_of(in, &routes, &route_count))
        return;
    if (to && to->pid !=
                  in->meta->pid) { /* another process under the same ZeroMQ routing id: what was pinned is lost to it */
        wsg_hub_remove_handler(h, to, WSG_GOES_LOST, "replaced by another process");
        to = NULL;
    }
    bool is_new = !to;
    bool is_news = is_new || !serves_the_same(to, in, routes, route_count);
    wsb_err err = is_new ? wsg_handlers_add(&h->handlers, in->peer, &to) : WSB_OK;
    if (err) {
        free(routes);
        wsg_refuse_hello(in, WSB_ERROR_LIMIT,
                         err == WSB_ERR_FULL ? "take what you were sent before you register again"
                                             : "too many handlers");
        return;
    }
    if (is_new)
        begin_terms(in, to);
    if (set_routes(in, to, routes, route_count) != WSB_OK) {
        free(routes);
        wsg_refuse_hello(in, WSB_ERROR_LIMIT, "out of memory");
        if (is_new)
            wsg_hub_remove_handler(h, to, WSG_GOES_LOST, "out of memory");
        return;
    }
    to->batch = in->meta->batch;
    to->level = in->meta->level >= 0 ? (uint8_t)in->meta->level : WSB_LOG_INFO;
    h->presence_count += (uint32_t)in->meta->presence - (uint32_t)to->presence;
    to->presence = in->meta->presence;
    wsg_handlers_name(&h->handlers, to, in->meta->name.ptr ? in->meta->name : wsb_span_str("unnamed"));
    copy_text(to->language, sizeof to->language, in->meta->language);
    if (is_new)
        WSB_LOG_FEW(&h->lines.came, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(h->loop), WSB_LOG_BUS, WSB_LOG_INFO, "handler",
                    WSB_KU("handler", to->id), WSB_KS("name", to->name), WSB_KS("language", to->language),
                    WSB_KI("pid", to->pid), WSB_KU("routes", to->route_count));
    to->direct = in->by->direct;
    to->known = in->by->known;
    if (to->known)
        *to->known = to;
    struct wsb_server *server = wsg_hub_server_for(h, to);
    to->records = server->ops->take_records && in->meta->records;
    if (server->ops->take_records)
        server->ops->take_records(server, in->by, to->records);
    if (server->ops->watch)
        server->ops->watch(server, in->by, in->meta->heartbeat_ms);
    welcome(h, to, in->e->header.seq);
    if (is_new)
        fence(h, to);
    if (is_news)
        wsg_hub_welcome_handler(h, to);
}

void wsg_on_credit(const struct wsg_incoming *in)
{
    if (!in->from->has_credit) {
        wsg_refuse(in, WSB_ERROR_REFUSED, "CREDIT without \"credit\" in HELLO");
        return;
    }
    if (in->meta->messages == 0 && in->meta->bytes == 0)
        return;
    wsg_handler_grant(in->from, in->meta->messages, in->meta->bytes);
    wsg_hub_pump_soon(in->hub, in->from);
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

void wsg_on_ack(const struct wsg_incoming *in)
{
    struct wsb_span pairs = in->e->payload;
    if (in->e->header.conn) {
        wsg_hub_acked(in->hub, in->from, in->e->header.conn, in->e->header.seq);
        return;
    }
    if (pairs.len % PAIR_BYTES) {
        wsg_refuse(in, WSB_ERROR_PAYLOAD, "ACK of many carries pairs of connection and seq, 16 bytes each");
        return;
    }
    for (size_t at = 0; at < pairs.len; at += PAIR_BYTES)
        wsg_hub_acked(in->hub, in->from, get_u64(pairs.ptr + at), get_u64(pairs.ptr + at + 8));
}

/* It lives and works, however long one event takes. */
void wsg_on_working(const struct wsg_incoming *in)
{
    wsg_hub_note_progress(in->hub, in->from);
    in->from->workings++;
}

void wsg_on_log(const struct wsg_incoming *in)
{
    struct wsg_handler *from = in->from;
    uint8_t level = in->e->header.code <= WSB_LOG_ERROR ? in->e->header.code : (uint8_t)WSB_LOG_INFO;
    WSB_LOG_FEW(from ? &from->lines : &in->hub->lines.said, from ? LINES_OF_HANDLER : WSB_LOG_LIMIT_LINES,
                wsg_loop_now_ms(in->hub->loop), WSB_LOG_HANDLER, level, from ? from->name : "unregistered",
                WSB_KU("handler", from ? from->id : 0), WSB_KSPAN("text", in->e->payload));
}

/* Only the answer to the latest ping says how long it took. */
void wsg_on_pong(const struct wsg_incoming *in)
{
    if (in->from && in->from->ping_sent_us && in->e->header.seq == in->from->ping_seq) {
        in->from->rtt_us = wsg_loop_now_us(in->hub->loop) - in->from->ping_sent_us;
        in->from->ping_sent_us = 0;
    }
    if (in->from && in->from->fence && in->e->header.seq >= in->from->fence && in->e->header.seq <= in->from->ping_seq)
        in->from->fence = 0;
    if (in->from && in->e->header.seq <= in->from->ping_seq)
        wsg_hub_passed_barrier(in->hub, in->from, in->e->header.seq);
}
