/*
 * The hub: from handlers to sessions. Every command is checked here, once: type, flags, metadata, payload, whether the
 * sender may give it now. What cannot be carried out is answered with an ERROR, or an OUTCOME for each target.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/utf8.h"
#include "hub/accounts.h"
#include "hub/ack.h"
#include "hub/admit.h"
#include "hub/commands.h"
#include "hub/going.h"
#include "hub/groups.h"
#include "hub/incoming.h"
#include "ws/close.h"
#include "ws/frame.h"

enum { JOINS_MAX = 1 << 14 /* memberships that one command may ask for */ };

static struct wsg_command command_of(const struct wsg_incoming *in)
{
    const struct wsb_header *h = &in->e->header;
    return (struct wsg_command){
        .type = h->type,
        .code = h->code,
        .flags = in->from ? h->flags : (uint8_t)(h->flags & ~WSB_FLAG_WANT_OUTCOME), /* nowhere to answer to */
        .by = WSG_BY_HANDLER,
        .origin = in->from ? in->from->id : 0,
        .seq = h->seq,
        .slow = in->meta->slow,
        .key = in->meta->key,
        .payload = in->e->payload,
        .reason = in->meta->reason,
        .subprotocol = in->meta->subprotocol,
        .fields = in->meta->fields,
        .field_count = in->meta->field_count,
    };
}

static void outcome_to_all(const struct wsg_incoming *in, enum wsb_outcome outcome, const wsb_conn *ids, size_t count,
                           const char *reason);

static bool wants_outcome(const struct wsg_incoming *in)
{
    return in->from && (in->e->header.flags & WSB_FLAG_WANT_OUTCOME);
}

/* It was the sender's, and was given to somebody else. */
static bool is_revoked(const struct wsg_incoming *in, wsb_conn conn)
{
    const struct wsg_pin *p = in->from ? wsg_pins_find(&in->hub->pins, conn) : NULL;
    if (!p || p->handler == in->from)
        return false;
    bool is_leaving =
        p->handler && p->handler->is_dead; /* it was the sender, under another number; the step is still to come */
    return wsg_pin_was_of(p, in->from) || (is_leaving && wsg_handler_is_or_was(in->from, p->handler->id));
}

/* The same question without an answer to the sender. */
static bool is_its_own(const struct wsg_incoming *in, const struct wsg_pin *p)
{
    return !is_revoked(in, p->conn) && wsg_hub_allows(in->hub, in->user, p->route);
}

/*
 * The route of the connection as its session sees it, for a sender with a key; NULL: the sender may not command it. A connection that
 * the hub does not know (no request of it has come yet, or it is over) is of no route that a key could be for.
 */
static const struct wsg_route *granted_route(const struct wsg_incoming *in, wsb_conn conn)
{
    const struct wsg_pin *p = wsg_pins_find(&in->hub->pins, conn);
    if (!p || !wsg_hub_allows(in->hub, in->user, p->route))
        return NULL;
    return wsg_pin_asks_elsewhere(p) ? p->asked->wanted : p->route;
}

/* The sender may command the connection; otherwise it is told so, if it asked. */
static bool may_command(const struct wsg_incoming *in, wsb_conn conn)
{
    if (in->from && is_revoked(in, conn)) {
        in->from->stale++;
        in->hub->stats.stale++;
        if (wants_outcome(in))
            outcome_to_all(in, WSB_OUTCOME_STALE, &conn, 1, "it belongs to another handler now");
        return false;
    }
    bool is_granted = !in->user.len || granted_route(in, conn);
    if (is_granted && in->peer.len == 0 && !wsg_pins_find(&in->hub->pins, conn))
        wsg_hub_failed(in->hub, in->peer, WSG_FAIL_GONE); /* the session may know it all the same, and decides */
    if (is_granted)
        return true;
    in->hub->stats.forbidden++;
    wsg_hub_failed(in->hub, in->peer, WSG_FAIL_FORBIDDEN);
    if (wants_outcome(in))
        outcome_to_all(in, WSB_OUTCOME_REFUSED, &conn, 1,
                       wsg_pins_find(&in->hub->pins, conn) ? "your key is not for its route"
                                                           : "no connection of a route that your key is for");
    return false;
}

/* To the sessions. Of a sender with a key each session checks as well that the connection is of the route that was looked at here. */
static void to_sessions(const struct wsg_incoming *in, struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    const struct wsg_hub_host *host = &in->hub->host;
    if (!in->user.len) {
        host->command(host->ctx, c, ids, count);
        return;
    }
    for (size_t i = 0, next; i < count; i = next) {
        const struct wsg_route *r = granted_route(in, ids[i]);
        for (next = i + 1; next < count && granted_route(in, ids[next]) == r; next++)
            ;
        if (!r)
            continue; /* it was looked at before, and has ended since */
        c->only_route = r->index + 1U;
        host->command(host->ctx, c, ids + i, next - i);
    }
}

/* Those of `to` that the sender may command; they are the metadata's own, so they may be moved together. */
static size_t drop_forbidden(const struct wsg_incoming *in)
{
    size_t kept = 0;
    for (size_t i = 0; i < in->meta->to_count; i++) {
        if (may_command(in, in->meta->to[i]))
            in->meta->to[kept++] = in->meta->to[i];
    }
    return kept;
}

/* The targets: `to`, or the one in the header; without those it may not command. False, and an ERROR, when none is named. */
static bool targets_of(const struct wsg_incoming *in, const wsb_conn **ret, size_t *ret_count)
{
    if (in->meta->has_to) {
        *ret = in->meta->to;
        *ret_count = drop_forbidden(in);
        return true;
    }
    *ret = &in->e->header.conn;
    *ret_count = 1;
    if (!in->e->header.conn) {
        wsg_refuse(in, WSB_ERROR_METADATA, "no connection: neither in the header nor in \"to\"");
        return false;
    }
    if (!may_command(in, in->e->header.conn))
        *ret_count = 0;
    return true;
}

static void give(const struct wsg_incoming *in, struct wsg_command *c)
{
    const wsb_conn *ids;
    size_t count;
    if (targets_of(in, &ids, &count) && count)
        to_sessions(in, c, ids, count);
}

/* --------------------------------------------------------------- messages */

/* A message framed once, for all who get it. */
static struct wsg_shared *frame_of(uint8_t opcode, struct wsb_span payload)
{
    uint8_t header[WSB_FRAME_HDR_MAX];
    size_t n =
        wsb_frame_hdr_write(header, &(struct wsb_frame_hdr){.opcode = opcode, .fin = true, .payload_len = payload.len});
    struct wsg_shared *frame = wsg_shared_new(n + payload.len);
    if (!frame)
        return NULL;
    memcpy(frame->data, header, n);
    if (payload.len)
        memcpy(frame->data + n, payload.ptr, payload.len);
    return frame;
}

static void give_framed(const struct wsg_incoming *in, struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    struct wsg_shared *frame = count > 1 ? frame_of(c->code, c->payload) : NULL;
    c->frame = frame; /* without memory for it each session frames for itself */
    c->is_for_many = true;
    if (count)
        to_sessions(in, c, ids, count);
    wsg_shared_unref(frame);
}

/* Is text looked at? For one connection or one route that says so; for many wherever any route does. */
static bool checks_text(const struct wsg_incoming *in)
{
    const struct wsg_hub *h = in->hub;
    const struct wsg_route *r = NULL;
    const struct wsg_pin *p = in->e->header.conn ? wsg_pins_find(&h->pins, in->e->header.conn) : NULL;
    if (p && !in->meta->has_to)
        r = p->route;
    else if (in->meta->route.ptr)
        r = wsg_routes_find(h->routes, in->meta->route);
    return r ? !r->policy.unchecked_text : h->checks_text;
}

/* NULL when the message may be sent. */
static const char *what_is_wrong(const struct wsg_incoming *in)
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
    if (in->meta->key.len > WSG_GROUP_NAME_MAX)
        return "a key has at most 255 bytes";
    return NULL;
}

static void outcome_to_all(const struct wsg_incoming *in, enum wsb_outcome outcome, const wsb_conn *ids, size_t count,
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

static bool check_message(const struct wsg_incoming *in)
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
        wsg_refuse(in, in->e->payload.len > in->hub->max_message ? WSB_ERROR_LIMIT : WSB_ERROR_PAYLOAD, wrong);
    return false;
}

/* The usual one: an answer to one connection, of the handler that it belongs to. False: it is not that simple. */
static bool send_plainly(struct wsg_hub *h, const struct wsb_inbound *by, const struct wsg_handler *from,
                         const struct wsb_envelope *e)
{
    const struct wsb_header *d = &e->header;
    bool is_text = d->code == WSB_TEXT;
    if (e->meta.len || !from || by->is_shared || by->user.len || d->flags & ~(WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME) ||
        (!is_text && d->code != WSB_BINARY) || e->payload.len > h->max_message)
        return false;
    const struct wsg_pin *p = wsg_pins_find(&h->pins, d->conn);
    if (!p || p->handler != from)
        return false;
    if (is_text && !p->route->policy.unchecked_text && !wsb_utf8_is_valid(e->payload.ptr, e->payload.len))
        return false;
    const struct wsg_command c = {.type = WSB_SEND,
                                  .code = d->code,
                                  .flags = d->flags,
                                  .by = WSG_BY_HANDLER,
                                  .origin = from->id,
                                  .seq = d->seq,
                                  .payload = e->payload};
    h->host.command(h->host.ctx, &c, &d->conn, 1);
    return true;
}

/* A payload that its sender can still change is copied first, to where it is sent from: what is checked is what is sent. */
static void send_shared(const struct wsg_incoming *in)
{
    struct wsg_shared *frame = frame_of(in->e->header.code, in->e->payload);
    if (!frame) {
        wsg_refuse(in, WSB_ERROR_LIMIT, "out of memory");
        return;
    }
    size_t len = in->e->payload.len;
    struct wsb_envelope copy = *in->e;
    struct wsg_incoming own = *in;
    const wsb_conn *ids;
    size_t count;
    copy.payload = wsb_span(frame->data + frame->len - len, len);
    own.e = &copy;
    struct wsg_command c = command_of(&own);
    c.frame = frame;
    if (check_message(&own) && targets_of(&own, &ids, &count) && count) {
        c.is_for_many = count > 1;
        to_sessions(in, &c, ids, count);
    }
    wsg_shared_unref(frame);
}

static void on_send(const struct wsg_incoming *in)
{
    const wsb_conn *ids;
    size_t count;
    if (in->by->is_shared) {
        send_shared(in);
        return;
    }
    struct wsg_command c = command_of(in);
    if (check_message(in) && targets_of(in, &ids, &count))
        give_framed(in, &c, ids, count);
}

static void refuse_name(const struct wsg_incoming *in)
{
    in->hub->stats.forbidden++;
    wsg_refuse(in, WSB_ERROR_REFUSED, "your key is not for this name of a group, a user or a tag");
}

static bool allows_names(const struct wsg_incoming *in, const struct wsb_span *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!wsg_hub_allows_name(in->hub, in->user, names[i]))
            return false;
    }
    return true;
}

/* All the names that a command gives to connections, or takes from them, are the sender's to use. */
static bool may_use_names(const struct wsg_incoming *in)
{
    const struct wsg_meta *m = in->meta;
    bool may =
        in->user.len == 0 || (allows_names(in, m->groups, m->group_count) && allows_names(in, m->set, m->set_count) &&
                              allows_names(in, m->unset, m->unset_count) && allows_names(in, m->tags, m->tag_count) &&
                              allows_names(in, &m->user, m->user.len != 0));
    if (!may)
        refuse_name(in);
    return may;
}

/* Who is meant. False, and an ERROR, unless exactly one is named, and one that there can be. */
static bool audience_of(const struct wsg_incoming *in, bool may_be_all, struct wsg_audience *ret)
{
    const struct wsg_meta *m = in->meta;
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
        wsg_refuse(in, WSB_ERROR_METADATA,
                   may_be_all ? "it wants exactly one of \"group\", \"user\", \"tag\", \"route\" and \"all\""
                              : "it wants exactly one of \"group\", \"user\", \"tag\" and \"route\"");
        return false;
    }
    if (ret->kind != WSG_TO_ALL && ret->kind != WSG_TO_ROUTE && !wsg_hub_allows_name(in->hub, in->user, ret->name)) {
        refuse_name(in);
        return false;
    }
    const struct wsg_route *r = ret->kind == WSG_TO_ROUTE ? wsg_routes_find(in->hub->routes, ret->name) : NULL;
    if (ret->kind == WSG_TO_ROUTE && (!r || !wsg_hub_allows(in->hub, in->user, r))) {
        wsg_refuse(in, WSB_ERROR_REFUSED, r ? "your key is not for this route" : "no such route");
        return false;
    }
    return true;
}

static void on_publish(const struct wsg_incoming *in)
{
    struct wsg_hub *h = in->hub;
    struct wsg_audience to;
    size_t count;
    struct wsg_command c = command_of(in);
    if (!audience_of(in, /*may_be_all=*/true, &to) || !check_message(in))
        return;
    if (!wsg_hub_gather(h, &to, 1, in->meta, in->user, &count)) {
        wsg_refuse(in, WSB_ERROR_LIMIT, "out of memory");
        return;
    }
    give_framed(in, &c, h->targets, count);
}

static void on_list(const struct wsg_incoming *in)
{
    struct wsg_audience of;
    if (!audience_of(in, /*may_be_all=*/false, &of))
        return;
    wsg_hub_list(in->hub, in->from, in->e->header.seq, &of, in->user, in->meta->limit);
}

size_t wsg_hub_broadcast(struct wsg_hub *h, struct wsg_command *c, const struct wsg_audience *to, size_t to_count,
                         const struct wsg_meta *meta)
{
    size_t count;
    const struct wsg_incoming in = {.hub = h}; /* of the control socket: without a key */
    if (!wsg_hub_gather(h, to, to_count, meta, in.user, &count))
        return 0;
    if (c->type == WSB_SEND)
        give_framed(&in, c, h->targets, count);
    else if (count)
        h->host.command(h->host.ctx, c, h->targets, count);
    return count;
}

/* ------------------------------------------------------------- connections */

static void on_close(const struct wsg_incoming *in)
{
    struct wsg_command c = command_of(in);
    if (!wsb_close_code_is_sendable(in->meta->code)) {
        wsg_refuse(in, WSB_ERROR_METADATA,
                   "\"code\" must be a close code that may be sent: 1000-1003, 1007-1014 or 3000-4999");
        return;
    }
    c.status = in->meta->code;
    give(in, &c);
}

static const char limits_of_names[] =
    "a name has 1 to 255 bytes; a connection has at most 256 groups, 64 tags and one user";

static bool join_all(const struct wsg_incoming *in, struct wsg_pin *p)
{
    bool ok = true;
    for (size_t i = 0; i < in->meta->group_count && ok; i++)
        ok = wsg_hub_join(in->hub, p, in->meta->groups[i]);
    return ok;
}

static bool leave_all(const struct wsg_incoming *in, struct wsg_pin *p)
{
    for (size_t i = 0; i < in->meta->group_count; i++)
        wsg_hub_leave(in->hub, p, in->meta->groups[i]); /* not being in it is what was asked for */
    return true;
}

static bool tag(const struct wsg_incoming *in, struct wsg_pin *p)
{
    return wsg_hub_tag(in->hub, p, in->meta);
}

/* Something about connections that the hub itself knows. */
static void for_each_pin(const struct wsg_incoming *in, size_t names,
                         bool (*fn)(const struct wsg_incoming *, struct wsg_pin *))
{
    const wsb_conn *ids;
    size_t count;
    if (!targets_of(in, &ids, &count))
        return;
    if (count > JOINS_MAX / names) {
        wsg_refuse(in, WSB_ERROR_LIMIT, "targets times names: at most 16384 in one command");
        return;
    }
    in->hub->extra_work += count * names;
    for (size_t i = 0; i < count; i++) {
        struct wsg_pin *p = wsg_pins_find(&in->hub->pins, ids[i]);
        if (!p || p->is_request || wsg_pin_is_closed(p)) {
            in->hub->stats.missed++;
            if (wants_outcome(in))
                outcome_to_all(in, WSB_OUTCOME_GONE, &ids[i], 1, "not an open WebSocket");
            continue;
        }
        if (wsg_pin_asks_elsewhere(p) && fn != tag) {
            if (wants_outcome(in))
                outcome_to_all(in, WSB_OUTCOME_REFUSED, &ids[i], 1, "it waits to be accepted: ACCEPT names its groups");
            continue;
        }
        bool done = fn(in, p);
        if (wants_outcome(in))
            outcome_to_all(in, done ? WSB_OUTCOME_WRITTEN : WSB_OUTCOME_REFUSED, &ids[i], 1,
                           done ? "done" : limits_of_names);
        else if (!done)
            wsg_refuse(in, WSB_ERROR_LIMIT, limits_of_names);
    }
}

static void on_join_or_leave(const struct wsg_incoming *in)
{
    if (in->meta->group_count == 0)
        wsg_refuse(in, WSB_ERROR_METADATA, "\"groups\" must name at least one group");
    else if (may_use_names(in))
        for_each_pin(in, in->meta->group_count, in->e->header.type == WSB_JOIN ? join_all : leave_all);
}

static void on_tag(const struct wsg_incoming *in)
{
    size_t names = in->meta->set_count + in->meta->unset_count + (in->meta->user.ptr != NULL);
    if (names == 0)
        wsg_refuse(in, WSB_ERROR_METADATA, "TAG wants \"set\", \"unset\" or \"user\"");
    else if (may_use_names(in))
        for_each_pin(in, names, tag);
}

/* Nobody would serve it: that is said before it is let in. The gatekeeper hears CLOSED. */
static void refuse_to_admit(const struct wsg_incoming *in, const struct wsg_pin *p)
{
    if (wants_outcome(in))
        outcome_to_all(in, WSB_OUTCOME_REFUSED, &p->conn, 1, "its route has no handler, or one with too much");
    wsg_hub_fail(in->hub, p->conn, 503, WSG_REFUSED_NO_HANDLER, "accepted, and no handler");
}

static void on_accept(const struct wsg_incoming *in)
{
    struct wsg_hub *h = in->hub;
    struct wsg_command c = command_of(in);
    struct wsg_pin *p = wsg_pins_find(&h->pins, in->e->header.conn);
    if (!may_use_names(in))
        return;
    bool waits = p && p->state == WSG_PIN_PENDING && is_its_own(in, p);
    if (waits && !wsg_hub_can_admit(h, p)) {
        refuse_to_admit(in, p);
        return;
    }
    give(in, &c); /* before it is another's */
    if (!waits)
        return;
    wsg_hub_admit(h, p);
    bool joined = join_all(in, p);
    if (!wsg_hub_tag(h, p, in->meta) || !joined)
        wsg_refuse(in, WSB_ERROR_LIMIT, limits_of_names);
    wsg_hub_settle_in(h, p);
}

static void on_respond(const struct wsg_incoming *in)
{
    struct wsg_command c = command_of(in);
    c.status = in->meta->status;
    c.has_at = in->meta->at >= 0;
    c.at = c.has_at ? (uint64_t)in->meta->at : 0;
    struct wsg_pin *p = wsg_pins_find(&in->hub->pins, in->e->header.conn);
    bool begins = in->e->header.type == WSB_RESPOND && c.status != 100; /* that only asks for the body */
    if (begins && p && p->is_request && is_its_own(in, p))
        wsg_hub_answered(in->hub, p);
    give(in, &c);
}

static void on_ping(const struct wsg_incoming *in)
{
    struct wsg_command c = command_of(in);
    struct wsb_envelope pong = {
        .header = {.type = WSB_PONG_EV, .seq = in->e->header.seq, .time_ns = wsg_loop_wall_ns(in->hub->loop)},
        .payload = in->e->payload,
    };
    if (in->e->payload.len > WSB_FRAME_CONTROL_MAX)
        wsg_refuse(in, WSB_ERROR_PAYLOAD, "PING carries at most 125 bytes");
    else if (in->e->header.conn)
        give(in, &c);
    else if (in->from)
        (void)wsg_hub_send(in->hub, in->from, &pong);
    else if (in->peer.len)
        wsg_hub_send_peer(in->hub, in->peer, &pong);
}

/* ---------------------------------------------------------------- dispatch */

static void dispatch(const struct wsg_incoming *in)
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
        wsg_on_credit(in);
        break;
    case WSB_ACK:
        wsg_on_ack(in);
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
        wsg_on_hello(in);
        break;
    case WSB_BYE:
        if (in->from)
            wsg_hub_remove_handler(in->hub, in->from, WSG_GOES_IN_ORDER, "said goodbye");
        break;
    case WSB_LOG:
        wsg_on_log(in);
        break;
    case WSB_PONG:
        wsg_on_pong(in);
        break;
    case WSB_WORKING:
        wsg_on_working(in);
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
    return needs_registration(type) ? type != WSB_CREDIT && type != WSB_ACK && type != WSB_LIST && type != WSB_WORKING
                                    : type == WSB_PING;
}

static void refuse_number(const struct wsg_incoming *in, enum wsb_error_code code, const char *format, unsigned number)
{
    char text[80];
    (void)snprintf(text, sizeof text, format, number);
    wsg_refuse(in, code, text);
}

/* What is said about one connection is decided about that one, and must not reach another. */
static bool is_for_one(uint8_t type)
{
    return type == WSB_ACCEPT || type == WSB_REJECT || type == WSB_RESPOND || type == WSB_BODY || type == WSB_PING;
}

static void dispatch_with_meta(const struct wsg_incoming *in)
{
    struct wsg_meta meta;
    struct wsb_fault fault = {0};
    struct wsg_incoming full = *in;
    full.meta = &meta;
    bool is_good = wsg_meta_parse(in->e->meta, &meta, &fault) == WSB_OK;
    if (!is_good && in->e->header.type == WSB_HELLO)
        wsg_refuse_hello(&full, WSB_ERROR_METADATA, fault.text);
    else if (!is_good)
        wsg_refuse(in, WSB_ERROR_METADATA, fault.text);
    else if (meta.has_to && is_for_one(in->e->header.type))
        wsg_refuse(in, WSB_ERROR_METADATA, "\"to\": it is for one connection, the header's");
    else
        dispatch(&full);
    wsg_meta_deinit(&meta);
}

/* What a fenced peer says of connections is of before: it has not seen its WELCOME. What it says of itself counts. */
static bool is_of_before(uint8_t type)
{
    return needs_registration(type) && type != WSB_CREDIT && type != WSB_WORKING;
}

static void refuse_as_stale(struct wsg_hub *h, const struct wsb_inbound *by, struct wsg_handler *from,
                            const struct wsb_envelope *e)
{
    static const char why[] = "you were given up: answer the PING behind WELCOME first";
    const struct wsg_incoming in = {.hub = h, .peer = by->peer, .by = by, .from = from, .e = e, .meta = &h->no_meta};
    from->stale++;
    h->stats.stale++;
    if (wants_outcome(&in))
        outcome_to_all(&in, WSB_OUTCOME_STALE, &e->header.conn, 1, why);
    else if (e->header.type != WSB_ACK)
        wsg_refuse(&in, WSB_ERROR_REFUSED, why);
}

void wsg_hub_command(struct wsg_hub *h, const struct wsb_inbound *by, struct wsg_handler *from,
                     const struct wsb_envelope *e)
{
    struct wsb_span peer = by->peer;
    h->stats.commands++;
    if (from)
        from->commands++;
    if (from && from->fence && is_of_before(e->header.type)) {
        refuse_as_stale(h, by, from, e);
        return;
    }
    if (e->header.type == WSB_SEND && send_plainly(h, by, from, e))
        return;
    struct wsg_incoming in = {
        .hub = h, .peer = peer, .user = by->user, .by = by, .from = from, .e = e, .meta = &h->no_meta};
    if (!wsb_type_is_command(e->header.type))
        refuse_number(&in, WSB_ERROR_TYPE, "type %u is not a command", e->header.type);
    else if (e->header.flags & ~(WSB_FLAG_META | WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME | WSB_FLAG_PLAIN))
        refuse_number(&in, WSB_ERROR_FLAG, "flags 0x%02x are not for commands", e->header.flags);
    else if (peer.len ? !from && needs_registration(e->header.type) : !is_for_commands_endpoint(e->header.type))
        wsg_refuse(&in, peer.len ? WSB_ERROR_NOT_REGISTERED : WSB_ERROR_REFUSED,
                   peer.len ? "say HELLO first" : "not on the commands endpoint");
    else if (e->meta.len)
        dispatch_with_meta(&in);
    else
        dispatch(&in);
}
