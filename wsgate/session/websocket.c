/*
 * The WebSocket side of a session: the opening handshake, messages both ways, pings, and the closing handshake with its
 * timer. Relies on ws/ for every rule of the protocol. Pings are answered and closes completed here, whatever the
 * handlers do.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/origin.h"
#include "base/scratch.h"
#include "session/compress.h"
#include "session/framing.h"
#include "session/parts.h"
#include "ws/close.h"
#include "ws/handshake.h"

enum { RETRY_SPREAD = 8 /* seconds over which those come back for whom there was no room */ };

static void handshake_of(const struct wsg_http_head *head, struct wsb_handshake_header *headers,
                         struct wsb_handshake_request *ret)
{
    for (size_t i = 0; i < head->header_count; i++)
        headers[i] = (struct wsb_handshake_header){head->headers[i].name, head->headers[i].value};
    *ret = (struct wsb_handshake_request){
        .method = wsb_span_str(wsg_http_method_name(head->method)),
        .http_minor = head->minor,
        .host = head->host,
        .headers = headers,
        .header_count = head->header_count,
    };
}

static wsb_err append_line(struct wsb_buf *lines, struct wsb_span name, struct wsb_span value)
{
    return wsb_buf_printf(lines, "%.*s: %.*s\r\n", (int)name.len, (const char *)name.ptr, (int)value.len,
                          (const char *)value.ptr);
}

static wsb_err write_101(struct wsg_session *s, const char *accept, const struct wsg_command *c)
{
    wsb_err err = WSB_OK;
    struct wsb_span subprotocol = wsb_span_str(s->subprotocol);
    const struct wsb_deflate_params *deflate = s->is_compressed ? wsb_deflate_params_of(s->deflate) : NULL;
    struct wsg_added added;
    wsg_exchange_added(s->exchange, &added);
    wsb_buf_clear(&s->env->text);
    wsb_buf_clear(&s->env->text2);
    for (size_t i = 0; c && i < c->field_count && !err; i++) {
        const struct wsg_field *f = &c->fields[i];
        if (wsg_exchange_is_ours(s->exchange, f->name))
            continue;
        if (!wsg_http_is_token(f->name) || !wsg_http_is_field_value(f->value))
            return WSB_ERR_REFUSED; /* here, while it is one field: a line break in it would make it two */
        err = append_line(&s->env->text2, f->name, f->value);
    }
    for (size_t i = 0; i < added.count && !err; i++)
        err = append_line(&s->env->text2, added.at[i].name, added.at[i].value);
    if (!err)
        err = wsb_handshake_response_write(&s->env->text, accept, subprotocol, deflate, wsb_buf_span(&s->env->text2));
    if (!err)
        err = wsg_outq_append(&s->out, &s->env->pool, s->env->text.data, s->env->text.len);
    if (!err)
        wsg_session_mark_dirty(s);
    return err;
}

/* ------------------------------------------------------------------ opening */

/* From HTTP to WebSocket: what the client sent behind its request is the first of its frames. */
void wsg_websocket_open(struct wsg_session *s)
{
    const struct wsg_route_policy *p = &s->route->policy;
    struct wsb_ws_limits limits = {
        .max_message = (uint32_t)(p->max_message < UINT32_MAX ? p->max_message : UINT32_MAX),
        .max_frame = (uint32_t)(p->max_frame < UINT32_MAX ? p->max_frame : UINT32_MAX),
        .max_fragments = p->max_fragments,
    };
    bool has_terms = wsg_terms_begin(s);
    char extensions[WSB_DEFLATE_TEXT_SIZE];
    WSB_LOG_FEW(&s->env->lines.opened, WSG_REQUEST_LINES, wsg_loop_now_ms(s->env->loop), WSB_LOG_WS, WSB_LOG_WSLOG,
                "opened", WSB_KID("conn", s->id), WSB_KS("route", s->route->name), WSB_KS("target", s->target),
                WSB_KS("subprotocol", s->subprotocol ? s->subprotocol : ""),
                WSB_KS("extensions", wsg_compress_text(s, extensions)), WSB_KS("peer", s->peer),
                WSB_KS("request_id", s->exchange->request_id));
    wsg_exchange_free(s);
    wsg_session_end_http(s);
    wsb_ws_in_init(&s->in.ws, s->is_dialed ? WSB_ROLE_CLIENT : WSB_ROLE_SERVER, s->is_compressed ? WSB_RSV1 : 0,
                   &limits);
    s->in_is_ws = true;
    s->state = WSG_SESSION_OPEN;
    s->opened_ms = wsg_loop_now_ms(s->env->loop);
    s->bytes_in = 0;
    s->active_ms = s->sent_ms = s->opened_ms;
    s->heard_ms = (uint32_t)s->opened_ms;
    wsg_count(&s->route->tally.opened, 1);
    if (s->is_compressed)
        wsg_count(&s->route->tally.compressed, 1);
    if (!has_terms) {
        wsg_websocket_end(s, WSG_ENDED_MEMORY, WSB_CLOSE_INTERNAL_ERROR, "out of memory");
        return;
    }
    wsg_deadlines_arm(s);
    if (s->env->draining)
        wsg_websocket_end(s, WSG_ENDED_DRAINING, WSB_CLOSE_GOING_AWAY, "the gate is shutting down");
}

static char *list_of_offered(const struct wsb_handshake_request *req)
{
    struct wsb_subprotocol_iter it = {.req = req};
    struct wsb_span name;
    struct wsb_buf list;
    wsb_buf_init(&list, 0); /* of the request's head, which has its limit */
    wsb_err err = WSB_OK;
    while (!err && wsb_handshake_next_subprotocol(&it, &name)) {
        if (!(err = wsb_buf_append(&list, name.ptr, name.len)))
            err = wsb_buf_append(&list, "", 1);
    }
    if (!err)
        err = wsb_buf_append(&list, "", 1);
    if (err)
        wsb_buf_deinit(&list);
    return (char *)list.data;
}

static bool choose_subprotocol(struct wsg_session *s, const struct wsb_handshake_request *req)
{
    struct wsb_span allowed[WSB_MAX_SUBPROTOCOLS];
    const struct wsg_route_policy *p = &s->route->policy;
    struct wsb_span chosen = {NULL, 0};
    size_t count = p->subprotocols.count < WSB_MAX_SUBPROTOCOLS ? p->subprotocols.count : WSB_MAX_SUBPROTOCOLS;
    for (size_t i = 0; i < count; i++)
        allowed[i] = wsb_span_str(p->subprotocols.at[i]);
    if (!wsb_handshake_choose_subprotocol(req, allowed, count, &chosen))
        return true; /* none: the client decides whether it stays */
    return wsg_session_set_subprotocol(s, chosen);
}

static void open_now(struct wsg_session *s, const struct wsb_handshake *hs, bool is_for_bus)
{
    if (write_101(s, hs->accept, NULL) != WSB_OK) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    if (is_for_bus)
        wsg_emit_begin(s, WSB_OPEN, 0);
    wsg_websocket_open(s);
    if (!is_for_bus) /* it never heard of it: close with nobody to tell */
        wsg_websocket_end(s, WSG_ENDED_HANDLER, WSB_CLOSE_TRY_AGAIN_LATER, "no handler");
}

static void wait_for_accept(struct wsg_session *s, const struct wsb_handshake *hs,
                            const struct wsb_handshake_request *req)
{
    struct wsg_exchange *x = s->exchange;
    x->offered = list_of_offered(req);
    if (!x->offered) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    memcpy(x->accept, hs->accept, sizeof hs->accept);
    s->state = WSG_SESSION_PENDING;
    wsg_count(&s->route->tally.asked, 1);
    wsg_emit_begin(s, WSB_OPEN, WSB_FLAG_PENDING);
    wsg_session_set_timer(s, s->route->policy.accept_timeout_ms);
    wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, true);
}

static void refuse_handshake(struct wsg_session *s, const struct wsb_handshake *hs)
{
    static const struct wsg_http_header version = {{(const uint8_t *)"Sec-WebSocket-Version", 21},
                                                   {(const uint8_t *)"13", 2}};
    static const struct wsg_http_header allow = {{(const uint8_t *)"Allow", 5}, {(const uint8_t *)"GET", 3}};
    const struct wsg_http_header *header = hs->status == 405 ? &allow : &version;
    bool has_header = hs->status == 405 || strstr(hs->headers, "Sec-WebSocket-Version");
    s->exchange->keep_alive = false;
    wsg_exchange_refuse(s, WSG_REFUSED_MALFORMED, hs->status, hs->reason, header, has_header);
}

/* Of browsers only, and therefore no secret: RFC 6455 §10.2. Two of them are none of theirs. */
static bool origin_is_allowed(const struct wsg_session *s, const struct wsg_http_head *head)
{
    const struct wsg_texts *rules = &s->route->policy.origins;
    struct wsb_span origin = {NULL, 0};
    size_t count = wsg_http_header_find(head->headers, head->header_count, "origin", &origin);
    if (count == 1 && !origin.ptr)
        origin = wsb_span("", 0); /* there, and empty */
    return count <= 1 && wsb_origin_is_allowed(rules->at, rules->count, count ? origin : wsb_span(NULL, 0), head->host);
}

/*
 * A browser ends a connection whose 101 names none of the subprotocols that it offered. One that offered a token and its mark
 * is told the mark, where nothing better was chosen, and never the token.
 */
static const char *fallback_subprotocol(const struct wsg_session *s)
{
    return s->route->token.kind == WSG_SOURCE_SUBPROTOCOL ? s->route->token.name : NULL;
}

/* Whom the route asks is not there, and nobody waits for him. */
static bool lacks_gatekeeper(const struct wsg_route *r)
{
    const struct wsg_route *asked = r->gatekeeper;
    return asked && asked->policy.no_handler != WSG_NO_HANDLER_WAIT &&
           wsg_route_serving(asked, WSG_KIND_WEBSOCKET) == 0;
}

/* Behind a proxy it is only now that somebody's connection is known as his. */
static bool counts_client(struct wsg_session *s, enum wsg_refusal *ret_why)
{
    struct wsb_ip ip = wsg_ip_of_peer(s->peer);
    return !s->exchange->proxy || wsg_gatekeeping_count_client(s, &ip, ret_why);
}

/* Told when it may come again; clients that all come again at once are no fewer than they were. */
static void refuse_for_now(struct wsg_session *s, enum wsg_refusal why, uint32_t seconds)
{
    char text[16];
    int len = snprintf(text, sizeof text, "%u", seconds);
    struct wsg_http_header header = {wsb_span_str("Retry-After"), wsb_span(text, (size_t)len)};
    wsg_exchange_refuse(s, why, 503, wsg_refusal_name(why), &header, 1);
}

/* True: refused, and answered. */
static bool refuse_by_rate(struct wsg_session *s, struct wsg_turnstile *t)
{
    struct wsb_ip ip = wsg_ip_of_peer(s->peer);
    uint32_t wait = t ? wsg_turnstile_pass(t, &ip, wsg_loop_now_ms(s->env->loop)) : 0;
    if (wait)
        refuse_for_now(s, WSG_REFUSED_HANDSHAKE_RATE, wait);
    return wait != 0;
}

/* Its handlers have not heard of those who came before. Otherwise the client has its place among them, as long as its
 * exchange goes on. */
static bool refuse_by_crowd(struct wsg_session *s)
{
    struct wsb_ip ip = wsg_ip_of_peer(s->peer);
    s->exchange->place = wsg_places_take(&s->route->pending, &s->env->routes->seed, &ip);
    if (s->exchange->place)
        return false;
    uint64_t refused = atomic_load_explicit(&s->route->tally.refused[WSG_REFUSED_PENDING], memory_order_relaxed);
    refuse_for_now(s, WSG_REFUSED_PENDING, 1 + (uint32_t)(refused % RETRY_SPREAD));
    return true;
}

static struct wsg_turnstile *handshakes_of(const struct wsg_session *s)
{
    const struct wsg_gatekeeping *g = s->env->gatekeeping;
    return s->route->index < g->handshakes_count ? g->handshakes_of[s->route->index] : NULL;
}

/* What the route asks of a handshake before anybody hears of it. True: refused, and answered. */
static bool refuse_by_route(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params)
{
    const struct wsg_route_policy *p = &s->route->policy;
    enum wsg_refusal why = WSG_REFUSED_OTHER;
    if (wsg_exchange_refuse_address(s) || refuse_by_rate(s, s->env->gatekeeping->handshakes) ||
        !wsg_session_authorize(s, head, params))
        return true;
    if (s->env->draining)
        wsg_exchange_refuse(s, WSG_REFUSED_DRAINING, 503, "the gate is shutting down", NULL, 0);
    else if (wsg_route_lacks_kind(s->route, WSG_KIND_WEBSOCKET))
        wsg_exchange_refuse(s, WSG_REFUSED_KIND, 404, "the route's handlers serve HTTP only", NULL, 0);
    else if (!wsg_session_has_handler(s, WSG_KIND_WEBSOCKET) && p->no_handler == WSG_NO_HANDLER_REFUSE)
        wsg_exchange_refuse(s, WSG_REFUSED_NO_HANDLER, 503, "no handler", NULL, 0);
    else if (lacks_gatekeeper(s->route))
        wsg_exchange_refuse(s, WSG_REFUSED_NO_GATEKEEPER, 503, "no gatekeeper", NULL, 0);
    else if (wsg_route_is_full(s->route, 0))
        wsg_exchange_refuse(s, WSG_REFUSED_CONNECTIONS, 503, "the route has as many connections as it may", NULL, 0);
    else if (!origin_is_allowed(s, head))
        wsg_exchange_refuse(s, WSG_REFUSED_ORIGIN, 403, "the origin is not allowed", NULL, 0);
    else if (p->require_subprotocol && !s->subprotocol)
        wsg_exchange_refuse(s, WSG_REFUSED_SUBPROTOCOL, 400, "no subprotocol of the route", NULL, 0);
    else if (refuse_by_crowd(s))
        return true;
    else if (!counts_client(s, &why))
        wsg_exchange_refuse(s, why, 503, wsg_refusal_name(why), NULL, 0);
    else
        return refuse_by_rate(s, handshakes_of(s)); /* last: nobody who is refused uses up what others may have */
    return true;
}

void wsg_websocket_begin(struct wsg_session *s, const struct wsg_http_head *head)
{
    struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
    struct wsb_handshake_header headers[256];
    struct wsb_handshake_request req;
    struct wsb_handshake hs;
    bool other_kind;
    struct wsg_exchange *x = s->exchange;
    x->is_local = true; /* until the bus hears of it */
    if (head->header_count > sizeof headers / sizeof *headers) {
        wsg_exchange_error(s, 431, "too many headers for a handshake", NULL, 0);
        return;
    }
    handshake_of(head, headers, &req);
    wsb_handshake_check(&req, &hs);
    if (hs.status != 101) {
        refuse_handshake(s, &hs);
        return;
    }
    s->route = wsg_routes_match(s->env->routes, head->host_name, head->path, WSG_KIND_WEBSOCKET, params, &other_kind);
    if (!s->route) {
        if (other_kind)
            wsg_exchange_refuse(s, WSG_REFUSED_KIND, 404, "the route does not speak WebSocket", NULL, 0);
        else
            wsg_exchange_error(s, 404, "no route", NULL, 0);
        return;
    }
    wsg_session_hide_token(s);
    const struct wsg_route_policy *p = &s->route->policy;
    req.token_mark = fallback_subprotocol(s);
    bool has_handler = wsg_session_has_handler(s, WSG_KIND_WEBSOCKET);
    if (!choose_subprotocol(s, &req)) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    if (refuse_by_route(s, head, params))
        return;
    if (!s->subprotocol && !wsg_session_set_subprotocol(s, wsb_span_str(fallback_subprotocol(s)))) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    wsb_err err = wsg_compress_agree(s, &req) ? wsg_meta_of_request(s, head, params, &req, &x->meta) : WSB_ERR_NOMEM;
    if (err == WSB_ERR_LIMIT) {
        wsg_exchange_error(s, 431, "the head is too large to be told to a handler", NULL, 0);
        return;
    }
    if (err || wsg_session_identify(s, head, params) != WSB_OK) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    x->is_local = false;
    bool is_for_bus = has_handler || p->no_handler == WSG_NO_HANDLER_WAIT;
    if (is_for_bus && wsg_session_asks(s))
        wait_for_accept(s, &hs, &req);
    else
        open_now(s, &hs, is_for_bus);
}

static bool was_offered(const char *offered, struct wsb_span name)
{
    for (; *offered; offered += strlen(offered) + 1) {
        if (wsb_span_eq_str(name, offered))
            return true;
    }
    return false;
}

/* Nothing becomes of a client that waits: it is told the status, its handler CLOSED with the reason. */
static void give_up_waiting(struct wsg_session *s, enum wsg_refusal why, int status, const char *reason)
{
    wsg_emit_closed(s, WSG_BY_GATE, WSB_CLOSE_ABNORMAL, wsb_span_str(reason), /*clean=*/false);
    s->exchange->is_sent = false;
    s->exchange->keep_alive = false;
    wsg_exchange_refuse(s, why, status, reason, NULL, 0);
}

void wsg_websocket_accept_timeout(struct wsg_session *s)
{
    give_up_waiting(s, WSG_REFUSED_ACCEPT_TIMEOUT, 504, "accept timed out");
}

void wsg_websocket_accept(struct wsg_session *s, const struct wsg_command *c)
{
    if (s->state != WSG_SESSION_PENDING) {
        wsg_outcome(s, c, WSB_OUTCOME_REFUSED, "the connection does not wait for ACCEPT");
        return;
    }
    struct wsg_exchange *x = s->exchange;
    if (wsg_route_is_full(s->route, 0)) { /* others were accepted while it waited */
        wsg_outcome(s, c, WSB_OUTCOME_REFUSED, "the route has as many connections as it may");
        give_up_waiting(s, WSG_REFUSED_CONNECTIONS, 503, "the route has as many connections as it may");
        return;
    }
    struct wsb_span none = wsb_span_str(fallback_subprotocol(s));
    bool is_none = c->subprotocol.len == 0 || wsb_span_eq(c->subprotocol, none);
    bool valid = !c->subprotocol.ptr || is_none || was_offered(x->offered, c->subprotocol);
    if (valid && c->subprotocol.ptr)
        valid = wsg_session_set_subprotocol(s, is_none ? none : c->subprotocol);
    if (!valid || write_101(s, x->accept, c) != WSB_OK) {
        wsg_outcome(s, c, WSB_OUTCOME_INVALID, "a subprotocol that was not offered, or headers that cannot be sent");
        WSB_LOG_FEW(&s->env->lines.invalid, WSG_REFUSED_LINES, wsg_loop_now_ms(s->env->loop), WSB_LOG_BUS, WSB_LOG_WARN,
                    "invalid ACCEPT", WSB_KID("conn", s->id), WSB_KS("route", s->route->name),
                    WSB_KS("request_id", x->request_id));
        give_up_waiting(s, WSG_REFUSED_OTHER, 502, "invalid ACCEPT");
        return;
    }
    wsg_session_add_receipt(s, c);
    wsg_emit_admitted(s); /* before anything else of it */
    wsg_websocket_open(s);
    wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, false);
}

void wsg_websocket_reject(struct wsg_session *s, const struct wsg_command *c)
{
    if (s->state != WSG_SESSION_PENDING) {
        wsg_outcome(s, c, WSB_OUTCOME_REFUSED, "the connection does not wait for REJECT");
        return;
    }
    struct wsg_command respond = *c;
    struct wsg_exchange *x = s->exchange;
    bool is_failed = c->by == WSG_BY_GATE; /* nobody is there to say it */
    enum wsg_refusal why = is_failed ? (enum wsg_refusal)c->code : WSG_REFUSED_BY_HANDLER;
    if (respond.status < 300)
        respond.status = 403;
    respond.flags &= (uint8_t)~WSB_FLAG_MORE;
    x->keep_alive = false;
    wsg_emit_closed(s, is_failed ? WSG_BY_GATE : WSG_BY_HANDLER, WSB_CLOSE_ABNORMAL, wsb_span_str("rejected"),
                    /*clean=*/true);
    wsg_count(&s->route->tally.refused[why], 1);
    if (is_failed)
        WSB_LOG_FEW(&s->env->lines.failed, WSG_REFUSED_LINES, wsg_loop_now_ms(s->env->loop), WSB_LOG_HTTP, WSB_LOG_WARN,
                    "refused", WSB_KID("conn", s->id), WSB_KU("status", respond.status),
                    WSB_KS("why", wsg_refusal_name(why)), WSB_KS("route", s->route->name),
                    WSB_KSPAN("reason", c->reason), WSB_KS("peer", s->peer), WSB_KS("request_id", x->request_id));
    s->state = WSG_SESSION_EXCHANGE; /* from here on an ordinary response; its outcome is REJECT's */
    wsg_exchange_respond(s, &respond);
}

/* ----------------------------------------------------------------- incoming */

wsb_err wsg_websocket_append(struct wsg_session *s, uint8_t opcode, struct wsb_span payload)
{
    uint8_t header[WSB_FRAME_HDR_MAX];
    uint8_t *to;
    size_t n = wsg_frame_head(s, header, opcode, 0, payload.len);
    wsb_err err = n ? wsg_outq_space(&s->out, &s->env->pool, n + payload.len, &to) : WSB_ERR_IO;
    if (err)
        return err;
    wsg_frame_fill(to, header, n, payload);
    wsg_session_mark_dirty(s);
    return WSB_OK;
}

/* Our close frame, once. */
static void send_close(struct wsg_session *s, uint16_t code, struct wsb_span reason)
{
    uint8_t frame[WSB_CLOSE_FRAME_MAX];
    size_t len = wsb_close_frame_write(frame, code, reason);
    if (s->close_sent || len == 0)
        return;
    s->close_sent = true;
    s->discarded = 0;                                                           /* nothing of what comes from here on */
    (void)!wsg_websocket_append(s, WSB_OP_CLOSE, wsb_span(frame + 2, len - 2)); /* its header is ours to write */
}

static enum wsg_ending ending_of(wsb_err err)
{
    switch (err) {
    case WSB_ERR_LIMIT:
        return WSG_ENDED_TOO_BIG;
    case WSB_ERR_UTF8:
        return WSG_ENDED_TEXT;
    case WSB_ERR_NOMEM:
        return WSG_ENDED_MEMORY;
    default:
        return WSG_ENDED_PROTOCOL;
    }
}

void wsg_websocket_give_up(struct wsg_session *s, enum wsg_ending why, uint16_t code, const char *reason)
{
    if (s->state == WSG_SESSION_OPEN) {
        wsg_count(&s->route->tally.ended[why], 1);
        send_close(s, code, wsb_span_str(reason));
        wsg_emit_closed(s, WSG_BY_GATE, code, wsb_span_str(reason), /*clean=*/false);
    } else {
        wsg_emit_closed(s, (enum wsg_by)s->close_by, s->close_code, wsb_span_str(s->close_reason), /*clean=*/false);
    }
    wsg_session_linger(s);
}

/* The client broke a rule (RFC 6455 §7.1.7). */
static void fail(struct wsg_session *s, wsb_err err)
{
    wsg_websocket_give_up(s, ending_of(err), wsb_ws_in_close_code(err),
                          err == WSB_ERR_LIMIT ? "message too big" : wsb_err_name(err));
}

/* err: what was said when it was unpacked. */
static void take_message(struct wsg_session *s, const struct wsb_ws_event *ev, wsb_err err)
{
    if (!err)
        err = wsg_emit_message(s, ev);
    if (err) {
        fail(s, err);
        return;
    }
    s->active_ms = wsg_loop_now_ms(s->env->loop);
    s->messages_in++;
    s->bytes_in += ev->len;
    struct wsg_traffic *t = wsg_session_traffic(s);
    t->messages_in++;
    t->bytes_in += ev->len;
}

static void on_message(struct wsg_session *s, struct wsb_ws_event *ev)
{
    bool is_taken = s->state == WSG_SESSION_OPEN; /* or we said goodbye already */
    wsb_err err = is_taken && ev->rsv ? wsg_compress_unpack(s, ev) : WSB_OK;
    if (is_taken && err != WSB_AGAIN)
        take_message(s, ev, err);
    if (!ev->masked)
        wsb_ws_in_release(&s->in.ws); /* a big message leaves no big buffer behind */
}

/* Of the message that is half unpacked; what came behind it waits. */
static void on_more_of_message(struct wsg_session *s)
{
    struct wsb_ws_event ev = {0};
    wsb_err err = wsg_compress_unpack_more(s, &ev);
    if (err == WSB_AGAIN)
        return;
    take_message(s, &ev, err);
    wsg_terms_charge(s, wsg_unfinished_rest(s, ev.len));
    wsg_turns_charge(&s->env->turns, WSG_WORK_TURN); /* the next one begins in a turn of its own */
}

static void on_ping(struct wsg_session *s, const struct wsb_ws_event *ev)
{
    if (s->close_sent)
        return;
    wsg_turns_charge(&s->env->turns, WSG_WORK_CONTROL);
    if (!wsg_deliver_has_room(s, ev->len) &&
        wsg_session_waiting(s) + ev->len > s->route->policy.max_queue + WSG_CONTROL_ROOM)
        wsg_websocket_end(s, WSG_ENDED_SLOW, WSB_CLOSE_TRY_AGAIN_LATER, "slow client");
    else if (wsg_websocket_append(s, WSB_OP_PONG, wsb_span(ev->control, ev->len)) != WSB_OK)
        fail(s, WSB_ERR_NOMEM);
}

/* FNV-1a; 32 bits are enough to tell one ping of a connection from another. */
static uint32_t hash_of(struct wsb_span s)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ s.ptr[i]) * 16777619u;
    return hash;
}

static void on_pong(struct wsg_session *s, const struct wsb_ws_event *ev)
{
    struct wsb_span payload = wsb_span(ev->control, ev->len);
    bool is_asked_for = s->asked_ping && hash_of(payload) == s->asked_ping->hash;
    if (!is_asked_for && (!s->alive_ping_us || payload.len)) {
        wsg_terms_charge(s, ev->len); /* unsolicited: allowed, and means nothing (RFC 6455 §5.5.3), but it is work */
        return;
    }
    uint64_t sent_us = is_asked_for ? s->asked_ping->sent_us : s->alive_ping_us;
    uint64_t rtt_us = wsg_loop_now_us(s->env->loop) - sent_us;
    s->rtt_us = (uint32_t)(rtt_us < UINT32_MAX ? rtt_us : UINT32_MAX);
    if (is_asked_for) {
        wsg_emit_pong(s, payload, rtt_us);
        free(s->asked_ping);
        s->asked_ping = NULL;
        return;
    }
    s->alive_ping_us = 0;
    s->heard_ms = (uint32_t)wsg_loop_now_ms(s->env->loop);
    if (s->state == WSG_SESSION_OPEN)
        wsg_deadlines_arm(s);
}

static void on_close(struct wsg_session *s, const struct wsb_ws_event *ev)
{
    uint16_t code = ev->has_code ? ev->code : WSB_CLOSE_NO_STATUS;
    struct wsb_span reason = wsb_span(ev->control, ev->len);
    if (s->state == WSG_SESSION_OPEN) {
        send_close(s, code, wsb_span(NULL, 0)); /* the same code back, RFC 6455 §5.5.1 */
        wsg_emit_closed(s, WSG_BY_CLIENT, code, reason, /*clean=*/true);
    } else {
        wsg_emit_closed(s, (enum wsg_by)s->close_by, s->close_code, wsb_span_str(s->close_reason), /*clean=*/true);
    }
    wsg_session_linger(s);
}

wsb_err wsg_websocket_step(struct wsg_session *s, const uint8_t *data, size_t len, size_t *ret_used)
{
    WSB_SCRATCH struct wsb_ws_event ev;
    if (wsg_compress_held(s) && s->state == WSG_SESSION_OPEN) {
        *ret_used = 0;
        on_more_of_message(s);
        return WSB_OK;
    }
    wsb_err err = wsb_ws_in_next(&s->in.ws, data, len, ret_used, &ev);
    if (err == WSB_MORE)
        return WSB_MORE;
    if (err) {
        *ret_used = len;
        fail(s, err);
        return WSB_MORE;
    }
    switch (ev.type) {
    case WSB_WS_MESSAGE:
        on_message(s, &ev);
        if (!wsg_compress_held(s))
            wsg_terms_charge(s, wsg_unfinished_rest(s, ev.len));
        break;
    case WSB_WS_PING:
        on_ping(s, &ev);
        wsg_terms_charge(s, ev.len);
        break;
    case WSB_WS_PONG:
        on_pong(s, &ev);
        break;
    case WSB_WS_CLOSE:
        on_close(s, &ev);
        break;
    }
    return WSB_OK;
}

/* ----------------------------------------------------------------- outgoing */

/* False, and the outcome is told, when the connection is not, or no longer, a WebSocket to send to. */
static bool is_open_for(struct wsg_session *s, const struct wsg_command *c)
{
    bool is_gone = s->state == WSG_SESSION_CLOSING || s->state == WSG_SESSION_LINGER || s->state == WSG_SESSION_DEAD;
    if (s->state == WSG_SESSION_OPEN)
        return true;
    wsg_outcome(s, c, is_gone ? WSB_OUTCOME_GONE : WSB_OUTCOME_REFUSED, is_gone ? "closing" : "not an open WebSocket");
    return false;
}

void wsg_websocket_ping(struct wsg_session *s, const struct wsg_command *c)
{
    if (!is_open_for(s, c))
        return;
    if (c->payload.len > WSB_FRAME_CONTROL_MAX) {
        wsg_outcome(s, c, WSB_OUTCOME_TOO_BIG, "a ping carries at most 125 bytes");
        return;
    }
    if (s->asked_ping) {
        wsg_outcome(s, c, WSB_OUTCOME_REFUSED, "another ping is under way");
        return;
    }
    struct wsg_asked_ping *ping = malloc(sizeof *ping);
    if (!ping || !wsg_deliver_has_room(s, c->payload.len) ||
        wsg_websocket_append(s, WSB_OP_PING, c->payload) != WSB_OK) {
        wsg_outcome(s, c, WSB_OUTCOME_DROPPED, ping ? "slow client" : "out of memory");
        free(ping);
        return;
    }
    *ping = (struct wsg_asked_ping){wsg_loop_now_us(s->env->loop), c->origin, c->seq, hash_of(c->payload)};
    s->asked_ping = ping;
    wsg_session_add_receipt(s, c);
}

void wsg_websocket_close(struct wsg_session *s, enum wsg_by by, uint16_t code, struct wsb_span reason)
{
    if (s->state != WSG_SESSION_OPEN)
        return;
    if (reason.len > WSB_CLOSE_TEXT_MAX) {
        reason.len = WSB_CLOSE_TEXT_MAX;
        while (reason.len && (reason.ptr[reason.len] & 0xc0) == 0x80)
            reason.len--; /* not in the middle of a character */
    }
    s->state = WSG_SESSION_CLOSING;
    s->close_by = (uint8_t)by;
    s->close_code = code;
    wsg_compress_end(s);
    (void)wsg_session_set_text(&s->close_reason, reason);
    send_close(s, code, reason);
    wsg_session_set_timer(s, s->env->close_timeout_ms);
    /* nothing of it goes to the handler any more, and its answer is to be read */
    wsg_session_set_paused(s, WSG_PAUSE_HANDLER | WSG_PAUSE_RATE | WSG_PAUSE_QUIET, false);
}

void wsg_websocket_end(struct wsg_session *s, enum wsg_ending why, uint16_t code, const char *reason)
{
    if (s->state != WSG_SESSION_OPEN)
        return;
    wsg_count(&s->route->tally.ended[why], 1);
    wsg_websocket_close(s, WSG_BY_GATE, code, wsb_span_str(reason));
}

void wsg_websocket_lost(struct wsg_session *s, const char *why)
{
    if (s->state == WSG_SESSION_CLOSING)
        wsg_emit_closed(s, (enum wsg_by)s->close_by, s->close_code, wsb_span_str(s->close_reason), /*clean=*/false);
    else
        wsg_emit_closed(s, WSG_BY_NETWORK, WSB_CLOSE_ABNORMAL, wsb_span_str(why), /*clean=*/false);
    wsg_session_kill(s, why);
}
