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

enum {
    JOINS_MAX = 1 << 14, /* memberships that one command may ask for */
    NAMES_A_UNIT = 4,    /* and memberships */
    PAIR_BYTES = 16      /* of an ACK of many: connection and seq */
};

struct incoming {
    struct wsg_hub *hub;
    struct wsb_span peer; /* empty on the commands endpoint */
    struct wsb_span user; /* the key it came with; empty: a local peer */
    const struct wsb_inbound *by;
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
        .slow = in->meta.slow,
        .key = in->meta.key,
        .payload = in->e->payload,
        .reason = in->meta.reason,
        .subprotocol = in->meta.subprotocol,
        .fields = in->meta.fields,
        .field_count = in->meta.field_count,
    };
}

static void outcome_to_all(const struct incoming *in, enum wsb_outcome outcome, const wsb_conn *ids, size_t count,
                           const char *reason);

static bool wants_outcome(const struct incoming *in)
{
    return in->from && (in->e->header.flags & WSB_FLAG_WANT_OUTCOME);
}

/* It was the sender's, and was given to somebody else. */
static bool is_revoked(const struct incoming *in, wsb_conn conn)
{
    const struct wsg_pin *p = in->from ? wsg_pins_find(&in->hub->pins, conn) : NULL;
    return p && p->handler != in->from && wsg_pin_was_of(p, in->from);
}

/* The same question without an answer to the sender. */
static bool is_its_own(const struct incoming *in, const struct wsg_pin *p)
{
    return !is_revoked(in, p->conn) && wsg_hub_allows(in->hub, in->user, p->route);
}

/* The sender may command the connection; otherwise it is told so, if it asked. */
static bool may_command(const struct incoming *in, wsb_conn conn)
{
    const struct wsg_pin *p = in->user.len ? wsg_pins_find(&in->hub->pins, conn) : NULL;
    if (is_revoked(in, conn)) {
        in->from->stale++;
        in->hub->stats.stale++;
        if (wants_outcome(in))
            outcome_to_all(in, WSB_OUTCOME_STALE, &conn, 1, "it belongs to another handler now");
        return false;
    }
    if (!p || wsg_hub_allows(in->hub, in->user, p->route))
        return true;
    in->hub->stats.forbidden++;
    if (wants_outcome(in))
        outcome_to_all(in, WSB_OUTCOME_REFUSED, &conn, 1, "your key is not for its route");
    return false;
}

/* Those of `to` that the sender may command; they are the metadata's own, so they may be moved together. */
static size_t drop_forbidden(const struct incoming *in)
{
    size_t kept = 0;
    for (size_t i = 0; i < in->meta.to_count; i++) {
        if (may_command(in, in->meta.to[i]))
            in->meta.to[kept++] = in->meta.to[i];
    }
    return kept;
}

/* The targets: `to`, or the one in the header; without those it may not command. False, and an ERROR, when none is named. */
static bool targets_of(const struct incoming *in, const wsb_conn **ret, size_t *ret_count)
{
    if (in->meta.has_to) {
        *ret = in->meta.to;
        *ret_count = drop_forbidden(in);
        return true;
    }
    *ret = &in->e->header.conn;
    *ret_count = 1;
    if (!in->e->header.conn) {
        refuse(in, WSB_ERROR_METADATA, "no connection: neither in the header nor in \"to\"");
        return false;
    }
    if (!may_command(in, in->e->header.conn))
        *ret_count = 0;
    return true;
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

/* Is text looked at? For one connection or one route that says so; for many wherever any route does. */
static bool checks_text(const struct incoming *in)
{
    const struct wsg_hub *h = in->hub;
    const struct wsg_route *r = NULL;
    const struct wsg_pin *p = in->e->header.conn ? wsg_pins_find(&h->pins, in->e->header.conn) : NULL;
    if (p && !in->meta.has_to)
        r = p->route;
    else if (in->meta.route.ptr)
        r = wsg_routes_find(h->routes, in->meta.route);
    return r ? !r->policy.unchecked_text : h->checks_text;
}

/* NULL when the message may be sent. */
static const char *what_is_wrong(const struct incoming *in)
{
    const struct wsg_hub *h = in->hub;
    uint8_t opcode = in->e->header.code;
    struct wsb_span payload = in->e->payload;
    if (opcode != WSB_TEXT && opcode != WSB_BINARY)
        return "the code must be 1 (text) or 2 (binary)";
    if (payload.len > h->max_message)
        return "the message is larger than any route allows";
    if (opcode == WSB_TEXT && checks_text(in) && !wsb_utf8_is_valid(payload.ptr, payload.len))
        return "the text is not UTF-8";
    if (in->meta.key.len > WSG_GROUP_NAME_MAX)
        return "a key has at most 255 bytes";
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
        (void)wsg_hub_send(in->hub, in->from, &e);
    }
}

static bool check_message(const struct incoming *in)
{
    const wsb_conn *ids;
    size_t count;
    const char *wrong = what_is_wrong(in);
    if (!wrong)
        return true;
    bool wants = wants_outcome(in) && in->e->header.type == WSB_SEND;
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

/* Who is meant. False, and an ERROR, unless exactly one is named, and one that there can be. */
static bool audience_of(const struct incoming *in, bool may_be_all, struct wsg_audience *ret)
{
    const struct wsg_meta *m = &in->meta;
    const struct {
        enum wsg_audience_kind kind;
        struct wsb_span name;
    } names[] = {{WSG_TO_GROUP, m->group}, {WSG_TO_USER, m->user}, {WSG_TO_TAG, m->tag}, {WSG_TO_ROUTE, m->route}};
    int count = m->all && may_be_all;
    *ret = (struct wsg_audience){.kind = WSG_TO_ALL};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!names[i].name.ptr)
            continue;
        *ret = (struct wsg_audience){names[i].kind, names[i].name};
        count++;
    }
    if (count != 1) {
        refuse(in, WSB_ERROR_METADATA,
               may_be_all ? "it wants exactly one of \"group\", \"user\", \"tag\", \"route\" and \"all\""
                          : "it wants exactly one of \"group\", \"user\", \"tag\" and \"route\"");
        return false;
    }
    const struct wsg_route *r = ret->kind == WSG_TO_ROUTE ? wsg_routes_find(in->hub->routes, ret->name) : NULL;
    if (ret->kind == WSG_TO_ROUTE && (!r || !wsg_hub_allows(in->hub, in->user, r))) {
        refuse(in, WSB_ERROR_REFUSED, r ? "your key is not for this route" : "no such route");
        return false;
    }
    return true;
}

static void on_publish(const struct incoming *in)
{
    struct wsg_hub *h = in->hub;
    struct wsg_audience to;
    size_t count;
    struct wsg_command c = command_of(in);
    if (!audience_of(in, /*may_be_all=*/true, &to) || !check_message(in))
        return;
    if (!wsg_hub_gather(h, &to, &in->meta, in->user, &count)) {
        refuse(in, WSB_ERROR_LIMIT, "out of memory");
        return;
    }
    give_framed(h, &c, h->targets, count);
}

static void on_list(const struct incoming *in)
{
    struct wsg_audience of;
    if (!audience_of(in, /*may_be_all=*/false, &of))
        return;
    wsg_hub_list(in->hub, in->from, in->e->header.seq, &of, in->user, in->meta.limit);
}

size_t wsg_hub_broadcast(struct wsg_hub *h, struct wsg_command *c, const struct wsg_audience *to,
                         const struct wsg_meta *meta)
{
    size_t count;
    if (!wsg_hub_gather(h, to, meta, wsb_span(NULL, 0), &count))
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

static const char limits_of_names[] =
    "a name has 1 to 255 bytes; a connection has at most 256 groups, 64 tags and one user";

static bool join_all(const struct incoming *in, struct wsg_pin *p)
{
    bool ok = true;
    for (size_t i = 0; i < in->meta.group_count && ok; i++)
        ok = wsg_hub_join(in->hub, p, in->meta.groups[i]);
    return ok;
}

static bool leave_all(const struct incoming *in, struct wsg_pin *p)
{
    for (size_t i = 0; i < in->meta.group_count; i++)
        wsg_hub_leave(in->hub, p, in->meta.groups[i]); /* not being in it is what was asked for */
    return true;
}

static bool tag(const struct incoming *in, struct wsg_pin *p)
{
    return wsg_hub_tag(in->hub, p, &in->meta);
}

/* Something about connections that the hub itself knows. */
static void for_each_pin(const struct incoming *in, size_t names, bool (*fn)(const struct incoming *, struct wsg_pin *))
{
    const wsb_conn *ids;
    size_t count;
    if (!targets_of(in, &ids, &count))
        return;
    if (count > JOINS_MAX / names) {
        refuse(in, WSB_ERROR_LIMIT, "targets times names: at most 16384 in one command");
        return;
    }
    in->hub->extra_work += count * names / NAMES_A_UNIT;
    for (size_t i = 0; i < count; i++) {
        struct wsg_pin *p = wsg_pins_find(&in->hub->pins, ids[i]);
        if (!p || p->is_request || p->is_closed) {
            if (wants_outcome(in))
                outcome_to_all(in, WSB_OUTCOME_GONE, &ids[i], 1, "not an open WebSocket");
            continue;
        }
        bool done = fn(in, p);
        if (wants_outcome(in))
            outcome_to_all(in, done ? WSB_OUTCOME_WRITTEN : WSB_OUTCOME_REFUSED, &ids[i], 1,
                           done ? "done" : limits_of_names);
        else if (!done)
            refuse(in, WSB_ERROR_LIMIT, limits_of_names);
    }
}

static void on_join_or_leave(const struct incoming *in)
{
    if (in->meta.group_count == 0)
        refuse(in, WSB_ERROR_METADATA, "\"groups\" must name at least one group");
    else
        for_each_pin(in, in->meta.group_count, in->e->header.type == WSB_JOIN ? join_all : leave_all);
}

static void on_tag(const struct incoming *in)
{
    size_t names = in->meta.set_count + in->meta.unset_count + (in->meta.user.ptr != NULL);
    if (names == 0)
        refuse(in, WSB_ERROR_METADATA, "TAG wants \"set\", \"unset\" or \"user\"");
    else
        for_each_pin(in, names, tag);
}

static void on_accept(const struct incoming *in)
{
    struct wsg_command c = command_of(in);
    struct wsg_pin *p = wsg_pins_find(&in->hub->pins, in->e->header.conn);
    if (p && p->is_pending && is_its_own(in, p)) {
        p->is_pending = false;
        wsg_hub_join_accepted(in->hub, p);
        bool joined = join_all(in, p);
        if (!wsg_hub_tag(in->hub, p, &in->meta) || !joined)
            refuse(in, WSB_ERROR_LIMIT, limits_of_names);
    }
    give(in, &c);
}

static void on_respond(const struct incoming *in)
{
    struct wsg_command c = command_of(in);
    c.status = in->meta.status;
    struct wsg_pin *p = wsg_pins_find(&in->hub->pins, in->e->header.conn);
    if (in->e->header.type == WSB_RESPOND && p && p->is_request && is_its_own(in, p))
        wsg_hub_answered(in->hub, p);
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
        (void)wsg_hub_send(in->hub, in->from, &pong);
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
    wsb_json_cstr(&j, "ack");
    wsb_json_cstr(&j, "credit");
    wsb_json_cstr(&j, "tags");
    wsb_json_cstr(&j, "presence");
    wsb_json_cstr(&j, "drain");
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
        bool is_allowed = !r || wsg_hub_allows(in->hub, in->user, r);
        if (!r || r->policy.publish || !is_allowed) {
            (void)snprintf(text, sizeof text, "route '%.*s' %s",
                           (int)(in->meta.routes[i].len < 64 ? in->meta.routes[i].len : 64),
                           (const char *)in->meta.routes[i].ptr,
                           !is_allowed ? "is not for your key"
                           : r         ? "only publishes: subscribe to events"
                                       : "does not exist");
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

static wsb_err set_routes(struct wsg_hub *h, struct wsg_handler *to, uint16_t *routes, size_t count)
{
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
    wsg_hub_count_in(h, to);
    return WSB_OK;
}

/* What a registration says once and for all: repeating HELLO changes none of it. */
static void begin_terms(const struct incoming *in, struct wsg_handler *to)
{
    to->since_ms = to->seen_ms = to->progress_ms = wsg_loop_now_ms(in->hub->loop);
    to->acks = in->meta.ack;
    to->has_credit = in->meta.has_credit;
    to->pid = in->meta.pid;
    to->weight = in->meta.weight;
    if (in->meta.has_credit)
        wsg_handler_grant(to, in->meta.messages, in->meta.bytes);
}

static bool serves_the_same(const struct wsg_handler *h, const uint16_t *routes, size_t count)
{
    return h->route_count == count && memcmp(h->routes, routes, count * sizeof *routes) == 0;
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
    bool is_new = !to;
    bool is_news = is_new || !serves_the_same(to, routes, route_count);
    wsb_err err = is_new ? wsg_handlers_add(&h->handlers, in->peer, &to) : WSB_OK;
    if (err) {
        free(routes);
        refuse(in, WSB_ERROR_LIMIT,
               err == WSB_ERR_FULL ? "take what you were sent before you register again" : "too many handlers");
        return;
    }
    if (is_new)
        begin_terms(in, to);
    if (set_routes(h, to, routes, route_count) != WSB_OK) {
        free(routes);
        refuse(in, WSB_ERROR_LIMIT, "out of memory");
        if (is_new)
            wsg_hub_remove_handler(h, to, "out of memory");
        return;
    }
    to->batch = in->meta.batch;
    to->level = in->meta.level >= 0 ? (uint8_t)in->meta.level : WSB_LOG_INFO;
    h->presence_count += (uint32_t)in->meta.presence - (uint32_t)to->presence;
    to->presence = in->meta.presence;
    copy_text(to->name, sizeof to->name, in->meta.name.ptr ? in->meta.name : wsb_span_str("unnamed"));
    copy_text(to->language, sizeof to->language, in->meta.language);
    if (is_new)
        WSB_LOG(WSB_LOG_BUS, WSB_LOG_INFO, "handler", WSB_KU("handler", to->id), WSB_KS("name", to->name),
                WSB_KS("language", to->language), WSB_KI("pid", to->pid), WSB_KU("routes", to->route_count));
    if (h->server->ops->watch)
        h->server->ops->watch(h->server, in->by, in->meta.heartbeat_ms);
    welcome(h, to, in->e->header.seq);
    if (is_news)
        wsg_hub_welcome_handler(h, to);
}

static void on_credit(const struct incoming *in)
{
    if (!in->from->has_credit) {
        refuse(in, WSB_ERROR_REFUSED, "CREDIT without \"credit\" in HELLO");
        return;
    }
    if (in->meta.messages == 0 && in->meta.bytes == 0)
        return;
    wsg_handler_grant(in->from, in->meta.messages, in->meta.bytes);
    wsg_hub_pump(in->hub, in->from);
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static void on_ack(const struct incoming *in)
{
    struct wsb_span pairs = in->e->payload;
    if (in->e->header.conn) {
        wsg_hub_acked(in->hub, in->from, in->e->header.conn, in->e->header.seq);
        return;
    }
    if (pairs.len % PAIR_BYTES) {
        refuse(in, WSB_ERROR_PAYLOAD, "ACK of many carries pairs of connection and seq, 16 bytes each");
        return;
    }
    for (size_t at = 0; at < pairs.len; at += PAIR_BYTES)
        wsg_hub_acked(in->hub, in->from, get_u64(pairs.ptr + at), get_u64(pairs.ptr + at + 8));
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
    if (in->from && in->e->header.seq <= in->from->ping_seq)
        wsg_hub_passed_barrier(in->hub, in->from, in->e->header.seq);
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
    case WSB_TAG:
        on_tag(in);
        break;
    case WSB_LIST:
        on_list(in);
        break;
    case WSB_CREDIT:
        on_credit(in);
        break;
    case WSB_ACK:
        on_ack(in);
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
    default: /* a BATCH in a BATCH is refused before */
        break;
    }
}

static bool needs_registration(uint8_t type)
{
    return type != WSB_HELLO && type != WSB_PING && type != WSB_PONG && type != WSB_LOG && type != WSB_BYE;
}

static bool is_for_commands_endpoint(uint8_t type)
{
    return needs_registration(type) ? type != WSB_CREDIT && type != WSB_ACK && type != WSB_LIST : type == WSB_PING;
}

void wsg_hub_command(struct wsg_hub *h, const struct wsb_inbound *by, struct wsg_handler *from,
                     const struct wsb_envelope *e)
{
    struct wsb_span peer = by->peer;
    struct incoming in = {.hub = h, .peer = peer, .user = by->user, .by = by, .from = from, .e = e};
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
