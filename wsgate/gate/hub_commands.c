/*
 * The hub: from handlers to sessions. Every command is checked here, once: type, flags, metadata, payload, whether the
 * sender may give it now. What cannot be carried out is answered with an ERROR, or an OUTCOME for each target.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include "gate/hub_parts.h"
#include "ws/close.h"
#include "ws/frame.h"

enum { JOINS_MAX = 1 << 17 /* memberships that one command may ask for */ };

struct incoming {
    struct wsg_hub *hub;
    struct wsb_span peer;     /* empty on the commands endpoint */
    struct wsg_handler *from; /* NULL: not registered, or the commands endpoint */
    const struct wsb_envelope *e;
    struct wsg_meta meta;
};

static void refuse(const struct incoming *in, enum wsb_error_code code, const char *text)
{
    wsg_hub_error(in->hub, in->peer, code, in->e->header.seq, text);
}

static struct wsg_command command_of(const struct incoming *in)
{
    const struct wsb_header *h = &in->e->header;
    return (struct wsg_command){
        .type = h->type,
        .code = h->code,
        .flags = in->from ? h->flags : (uint8_t)(h->flags & ~WSB_FLAG_WANT_OUTCOME), /* nowhere to answer to */
        .by = WSG_BY_HANDLER,
        .origin = in->from ? in->from->id : 0,
        .seq = h->seq,
        .payload = in->e->payload,
        .reason = in->meta.reason,
        .subprotocol = in->meta.subprotocol,
        .fields = in->meta.fields,
        .field_count = in->meta.field_count,
    };
}

/* The targets: `to`, or the one in the header. False, and an ERROR, when there is none. */
static bool targets_of(const struct incoming *in, const wsb_conn **ret, size_t *ret_count)
{
    if (in->meta.has_to) {
        *ret = in->meta.to;
        *ret_count = in->meta.to_count;
        return true;
    }
    *ret = &in->e->header.conn;
    *ret_count = 1;
    if (in->e->header.conn)
        return true;
    refuse(in, WSB_ERROR_METADATA, "no connection: neither in the header nor in \"to\"");
    return false;
}

static void give(const struct incoming *in, const struct wsg_command *c)
{
    const wsb_conn *ids;
    size_t count;
    if (targets_of(in, &ids, &count) && count)
        in->hub->host.command(in->hub->host.ctx, c, ids, count);
}

/* --------------------------------------------------------------- messages */

/* A message framed once, for all who get it. */
static struct wsg_shared *frame_of(uint8_t opcode, struct wsb_span payload)
{
    uint8_t header[WSG_FRAME_HDR_MAX];
    size_t n =
        wsg_frame_hdr_write(header, &(struct wsg_frame_hdr){.opcode = opcode, .fin = true, .payload_len = payload.len});
    struct wsg_shared *frame = wsg_shared_new(n + payload.len);
    if (!frame)
        return NULL;
    memcpy(frame->data, header, n);
    if (payload.len)
        memcpy(frame->data + n, payload.ptr, payload.len);
    return frame;
}

static void give_framed(struct wsg_hub *h, struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    struct wsg_shared *frame = count > 1 ? frame_of(c->code, c->payload) : NULL;
    c->frame = frame; /* without memory for it each session frames for itself */
    if (count)
        h->host.command(h->host.ctx, c, ids, count);
    wsg_shared_unref(frame);
}

/* NULL when the message may be sent. */
static const char *what_is_wrong(const struct wsg_hub *h, uint8_t opcode, struct wsb_span payload)
{
    if (opcode != WSB_TEXT && opcode != WSB_BINARY)
        return "the code must be 1 (text) or 2 (binary)";
    if (payload.len > h->max_message)
        return "the message is larger than any route allows";
    if (opcode == WSB_TEXT && !wsb_utf8_is_valid(payload.ptr, payload.len))
        return "the text is not UTF-8";
    return NULL;
}

static void outcome_to_all(const struct incoming *in, enum wsb_outcome outcome, const wsb_conn *ids, size_t count,
                           const char *reason)
{
    char text[160];
    int n = snprintf(text, sizeof text, "{\"reason\":\"%s\"}", reason);
    for (size_t i = 0; i < count; i++) {
        struct wsb_envelope e = {
            .header = {.type = WSB_OUTCOME,
                       .code = (uint8_t)outcome,
                       .conn = ids[i],
                       .seq = in->e->header.seq,
                       .time_ns = wsg_loop_wall_ns(in->hub->loop)},
            .meta = wsb_span(text, (size_t)n),
        };
        wsg_hub_send(in->hub, in->from, &e);
    }
}

static bool check_message(const struct incoming *in)
{
    const wsb_conn *ids;
    size_t count;
    const char *wrong = what_is_wrong(in->hub, in->e->header.code, in->e->payload);
    if (!wrong)
        return true;
    bool wants = in->from && (in->e->header.flags & WSB_FLAG_WANT_OUTCOME) && in->e->header.type == WSB_SEND;
    if (wants && targets_of(in, &ids, &count))
        outcome_to_all(in, in->e->payload.len > in->hub->max_message ? WSB_OUTCOME_TOO_BIG : WSB_OUTCOME_INVALID, ids,
                       count, wrong);
    else if (!wants)
        refuse(in, in->e->payload.len > in->hub->max_message ? WSB_ERROR_LIMIT : WSB_ERROR_PAYLOAD, wrong);
    return false;
}

static void on_send(const struct incoming *in)
{
    const wsb_conn *ids;
    size_t count;
    struct wsg_command c = command_of(in);
    if (check_message(in) && targets_of(in, &ids, &count))
        give_framed(in->hub, &c, ids, count);
}

static bool gather(struct wsg_hub *h, const struct wsg_group *g, const struct wsg_meta *meta, size_t *count)
{
    if (!g)
        return true;
    if (*count + g->count > h->targets_cap) {
        size_t cap = (*count + g->count) * 2;
        wsb_conn *targets = realloc(h->targets, cap * sizeof *targets);
        if (!targets)
            return false;
        h->targets = targets;
        h->targets_cap = cap;
    }
    for (size_t i = 0; i < g->count; i++) {
        const struct wsg_pin *p = g->members[i]->pin;
        if (!p->is_pending && !(meta && wsg_meta_excepts(meta, p->conn)))
            h->targets[(*count)++] = p->conn;
    }
    return true;
}

static void on_publish(const struct incoming *in)
{
    struct wsg_hub *h = in->hub;
    size_t count = 0;
    struct wsg_command c = command_of(in);
    bool to_group = in->meta.group.ptr != NULL;
    if (to_group == (in->meta.route.ptr != NULL)) {
        refuse(in, WSB_ERROR_METADATA, "PUBLISH wants either \"group\" or \"route\"");
        return;
    }
    if (!to_group && !wsg_routes_find(h->routes, in->meta.route)) {
        refuse(in, WSB_ERROR_REFUSED, "no such route");
        return;
    }
    if (!check_message(in))
        return;
    const struct wsg_group *g =
        to_group ? wsg_groups_find(&h->groups, in->meta.group) : wsg_groups_find(&h->members, in->meta.route);
    if (!gather(h, g, &in->meta, &count)) {
        refuse(in, WSB_ERROR_LIMIT, "out of memory");
        return;
    }
    give_framed(h, &c, h->targets, count);
}

size_t wsg_hub_broadcast(struct wsg_hub *h, struct wsg_command *c, const char *route, const char *group)
{
    size_t count = 0;
    bool ok = true;
    if (group)
        ok = gather(h, wsg_groups_find(&h->groups, wsb_span_str(group)), NULL, &count);
    for (size_t i = 0; !group && i < h->routes->count && ok; i++) {
        if (!route || strcmp(route, h->routes->routes[i].name) == 0)
            ok = gather(h, wsg_groups_find(&h->members, wsb_span_str(h->routes->routes[i].name)), NULL, &count);
    }
    if (!ok)
        return 0;
    if (c->type == WSB_SEND)
        give_framed(h, c, h->targets, count);
    else if (count)
        h->host.command(h->host.ctx, c, h->targets, count);
    return count;
}

/* ------------------------------------------------------------- connections */

static void on_close(const struct incoming *in)
{
    struct wsg_command c = command_of(in);
    if (!wsg_close_code_is_sendable(in->meta.code)) {
        refuse(in, WSB_ERROR_METADATA,
               "\"code\" must be a close code that may be sent: 1000-1003, 1007-1014 or 3000-4999");
        return;
    }
    c.status = in->meta.code;
    give(in, &c);
}

static const char limits_of_groups[] = "a group's name has 1 to 255 bytes, a connection is in at most 256 groups";

static bool join_all(const struct incoming *in, struct wsg_pin *p)
{
    for (size_t i = 0; i < in->meta.group_count; i++) {
        if (wsg_groups_join(&in->hub->groups, p, in->meta.groups[i]) != WSB_OK)
            return false;
    }
    return true;
}

static void leave_all(const struct incoming *in, struct wsg_pin *p)
{
    for (size_t i = 0; i < in->meta.group_count; i++)
        (void)!wsg_groups_leave(&in->hub->groups, p, in->meta.groups[i]); /* not being in it is what was asked for */
}

static void on_join_or_leave(const struct incoming *in)
{
    const wsb_conn *ids;
    size_t count;
    bool wants = in->from && (in->e->header.flags & WSB_FLAG_WANT_OUTCOME);
    if (in->meta.group_count == 0) {
        refuse(in, WSB_ERROR_METADATA, "\"groups\" must name at least one group");
        return;
    }
    if (!targets_of(in, &ids, &count))
        return;
    if (count > JOINS_MAX / in->meta.group_count) {
        refuse(in, WSB_ERROR_LIMIT, "targets times groups: at most 131072 in one command");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct wsg_pin *p = wsg_pins_find(&in->hub->pins, ids[i]);
        if (!p || p->is_request) {
            if (wants)
                outcome_to_all(in, WSB_OUTCOME_GONE, &ids[i], 1, "not an open WebSocket");
            continue;
        }
        bool done = true;
        if (in->e->header.type == WSB_JOIN)
            done = join_all(in, p);
        else
            leave_all(in, p);
        if (wants)
            outcome_to_all(in, done ? WSB_OUTCOME_WRITTEN : WSB_OUTCOME_REFUSED, &ids[i], 1,
                           done ? "done" : limits_of_groups);
        else if (!done)
            refuse(in, WSB_ERROR_LIMIT, limits_of_groups);
    }
}

static void on_accept(const struct incoming *in)
{
    struct wsg_command c = command_of(in);
    struct wsg_pin *p = wsg_pins_find(&in->hub->pins, in->e->header.conn);
    if (p && p->is_pending) {
        p->is_pending = false;
        if (!join_all(in, p))
            refuse(in, WSB_ERROR_LIMIT, limits_of_groups);
    }
    give(in, &c);
}

static void on_respond(const struct incoming *in)
{
    struct wsg_command c = command_of(in);
    c.status = in->meta.status;
    give(in, &c);
}

static void on_ping(const struct incoming *in)
{
    struct wsg_command c = command_of(in);
    struct wsb_envelope pong = {
        .header = {.type = WSB_PONG_EV, .seq = in->e->header.seq, .time_ns = wsg_loop_wall_ns(in->hub->loop)},
        .payload = in->e->payload,
    };
    if (in->e->payload.len > WSG_CONTROL_MAX)
        refuse(in, WSB_ERROR_PAYLOAD, "PING carries at most 125 bytes");
    else if (in->e->header.conn)
        give(in, &c);
    else if (in->from)
        wsg_hub_send(in->hub, in->from, &pong);
    else if (in->peer.len)
        wsg_hub_send_peer(in->hub, in->peer, &pong);
}

/* ---------------------------------------------------------------- handlers */

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
    wsb_json_cstr(&j, "groups");
    wsb_json_cstr(&j, "outcomes");
    wsb_json_array_end(&j);
    wsb_json_object_end(&j);
    if (wsb_json_end(&j) == WSB_OK) {
        struct wsb_envelope e = {
            .header = {.type = WSB_WELCOME, .seq = seq, .time_ns = wsg_loop_wall_ns(h->loop)},
            .meta = wsb_buf_span(&text),
        };
        wsg_hub_send(h, to, &e);
    }
    wsb_buf_deinit(&text);
}

static bool routes_of(const struct incoming *in, uint16_t **ret, size_t *ret_count)
{
    char text[160];
    size_t count = 0;
    uint16_t *routes = in->meta.route_count ? calloc(in->meta.route_count, sizeof *routes) : NULL;
    if (!routes) {
        refuse(in, WSB_ERROR_METADATA, "HELLO wants \"routes\": an array with at least one route");
        return false;
    }
    for (size_t i = 0; i < in->meta.route_count; i++) {
        const struct wsg_route *r = wsg_routes_find(in->hub->routes, in->meta.routes[i]);
        bool twice = false;
        if (!r || r->policy.publish) {
            (void)snprintf(
                text, sizeof text, "route '%.*s' %s", (int)(in->meta.routes[i].len < 64 ? in->meta.routes[i].len : 64),
                (const char *)in->meta.routes[i].ptr, r ? "only publishes: subscribe to events" : "does not exist");
            refuse(in, WSB_ERROR_REFUSED, text);
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

static void count_routes(struct wsg_hub *h, const struct wsg_handler *handler, int by)
{
    for (size_t i = 0; i < handler->route_count; i++)
        atomic_fetch_add_explicit(&h->routes->routes[handler->routes[i]].handlers, (uint32_t)by, memory_order_relaxed);
}

static void on_hello(const struct incoming *in)
{
    struct wsg_hub *h = in->hub;
    struct wsg_handler *to = in->from;
    uint16_t *routes;
    size_t route_count;
    if (!routes_of(in, &routes, &route_count))
        return;
    if (to &&
        to->pid != in->meta.pid) { /* another process under the same ZeroMQ routing id: what was pinned is lost to it */
        wsg_hub_remove_handler(h, to, "replaced by another process");
        to = NULL;
    }
    if (!to) {
        wsb_err err = wsg_handlers_add(&h->handlers, in->peer, &to);
        if (err) {
            free(routes);
            refuse(in, WSB_ERROR_LIMIT,
                   err == WSB_ERR_FULL ? "take what you were sent before you register again" : "too many handlers");
            return;
        }
        to->since_ms = to->seen_ms = wsg_loop_now_ms(h->loop);
    } else {
        wsg_hub_flush(h); /* what waits was meant for the handler as it was */
        count_routes(h, to, -1);
        free(to->routes);
    }
    to->routes = routes;
    to->route_count = route_count;
    count_routes(h, to, 1);
    to->batch = in->meta.batch;
    to->pid = in->meta.pid;
    to->level = in->meta.level >= 0 ? (uint8_t)in->meta.level : WSB_LOG_INFO;
    copy_text(to->name, sizeof to->name, in->meta.name.ptr ? in->meta.name : wsb_span_str("unnamed"));
    copy_text(to->language, sizeof to->language, in->meta.language);
    WSB_LOG(WSB_LOG_BUS, WSB_LOG_INFO, "handler", WSB_KU("handler", to->id), WSB_KS("name", to->name),
            WSB_KS("language", to->language), WSB_KI("pid", to->pid), WSB_KU("routes", to->route_count));
    welcome(h, to, in->e->header.seq);
}

static void on_log(const struct incoming *in)
{
    uint8_t level = in->e->header.code <= WSB_LOG_ERROR ? in->e->header.code : (uint8_t)WSB_LOG_INFO;
    WSB_LOG(WSB_LOG_HANDLER, level, in->from ? in->from->name : "unregistered",
            WSB_KU("handler", in->from ? in->from->id : 0), WSB_KSPAN("text", in->e->payload));
}

/* Only the answer to the latest ping says how long it took. */
static void on_pong(const struct incoming *in)
{
    if (in->from && in->from->ping_sent_us && in->e->header.seq == in->from->ping_seq) {
        in->from->rtt_us = wsg_loop_now_us(in->hub->loop) - in->from->ping_sent_us;
        in->from->ping_sent_us = 0;
    }
}

/* ---------------------------------------------------------------- dispatch */

static void dispatch(const struct incoming *in)
{
    switch (in->e->header.type) {
    case WSB_SEND:
        on_send(in);
        break;
    case WSB_PUBLISH:
        on_publish(in);
        break;
    case WSB_CLOSE:
        on_close(in);
        break;
    case WSB_JOIN:
    case WSB_LEAVE:
        on_join_or_leave(in);
        break;
    case WSB_ACCEPT:
        on_accept(in);
        break;
    case WSB_REJECT:
    case WSB_RESPOND:
    case WSB_BODY:
        on_respond(in);
        break;
    case WSB_PING:
        on_ping(in);
        break;
    case WSB_HELLO:
        on_hello(in);
        break;
    case WSB_BYE:
        if (in->from)
            wsg_hub_remove_handler(in->hub, in->from, "said goodbye");
        break;
    case WSB_LOG:
        on_log(in);
        break;
    case WSB_PONG:
        on_pong(in);
        break;
    default: /* CREDIT, ACK, TAG, whose time comes */
        break;
    }
}

static bool needs_registration(uint8_t type)
{
    return type != WSB_HELLO && type != WSB_PING && type != WSB_PONG && type != WSB_LOG && type != WSB_BYE;
}

static bool is_for_commands_endpoint(uint8_t type)
{
    return needs_registration(type) ? type != WSB_CREDIT && type != WSB_ACK && type != WSB_TAG : type == WSB_PING;
}

void wsg_hub_command(struct wsg_hub *h, struct wsb_span peer, struct wsg_handler *from, const struct wsb_envelope *e)
{
    struct incoming in = {.hub = h, .peer = peer, .from = from, .e = e};
    struct wsb_fault fault = {0};
    char text[80];
    h->stats.commands++;
    if (from)
        from->commands++;
    if (!wsb_type_is_command(e->header.type)) {
        (void)snprintf(text, sizeof text, "type %u is not a command", e->header.type);
        refuse(&in, WSB_ERROR_TYPE, text);
    } else if (e->header.flags & ~(WSB_FLAG_META | WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME)) {
        (void)snprintf(text, sizeof text, "flags 0x%02x are not for commands", e->header.flags);
        refuse(&in, WSB_ERROR_FLAG, text);
    } else if (peer.len ? !from && needs_registration(e->header.type) : !is_for_commands_endpoint(e->header.type)) {
        refuse(&in, peer.len ? WSB_ERROR_NOT_REGISTERED : WSB_ERROR_REFUSED,
               peer.len ? "say HELLO first" : "not on the commands endpoint");
    } else if (wsg_meta_parse(e->meta, &in.meta, &fault) != WSB_OK) {
        refuse(&in, WSB_ERROR_METADATA, fault.text);
    } else {
        dispatch(&in);
    }
    wsg_meta_deinit(&in.meta);
}
