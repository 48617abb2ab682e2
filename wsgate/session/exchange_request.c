/*
 * The request of an exchange: its head finds who answers it, a handler, a static directory or a refusal; its body follows.
 * Relies on http/request.h for every rule of the protocol.
 */
#include <stdlib.h>
#include <string.h>

#include "session/parts.h"

static const char too_long[] = "the body is longer than the route allows";

bool wsg_exchange_refuse_address(struct wsg_session *s)
{
    struct wsb_ip ip = wsg_ip_of_peer(s->peer);
    if (wsb_ip_rules_admit(&s->route->rules, &ip))
        return false;
    wsg_exchange_refuse(s, WSG_REFUSED_ADDRESS, 403, "the address is not allowed", NULL, 0);
    return true;
}

/* From here to the end of the exchange the peer is the client, where a trusted proxy names one. */
static bool find_client(struct wsg_session *s, const struct wsg_http_head *head, bool *ret_is_broken)
{
    char client[WSG_ADDRESS_TEXT];
    struct wsb_span proto;
    struct wsg_exchange *x = s->exchange;
    bool found = wsg_gatekeeping_client(s, head, client, &proto, ret_is_broken);
    x->is_secure = proto.len ? wsb_span_ieq_str(proto, "https") || wsb_span_ieq_str(proto, "wss") : s->secure != NULL;
    if (!found)
        return true;
    x->proxy = strdup(s->peer);
    return x->proxy && wsg_session_set_peer(s, wsb_span_str(client));
}

/* ---------------------------------------------------------- the time of a body */

static bool is_clients_turn(const struct wsg_session *s)
{
    const struct wsg_exchange *x = s->exchange;
    bool is_held =
        s->is_stalled || (s->paused & (WSG_PAUSE_HANDLER | WSG_PAUSE_OUTBOX | WSG_PAUSE_OUTPUT | WSG_PAUSE_TURN));
    return s->state == WSG_SESSION_EXCHANGE && !x->request_complete && x->expect != WSG_EXPECT_WAITS && !is_held;
}

static uint64_t body_left_ms(const struct wsg_session *s)
{
    struct wsg_body_limits limits = {.silence_ms = wsg_session_entrance(s)->head_timeout_ms,
                                     .total_ms = s->route ? s->route->policy.body_timeout_ms : 0};
    return wsg_body_clock_left_ms(&s->exchange->clock, &limits, wsg_loop_now_ms(s->env->loop));
}

bool wsg_body_is_late(const struct wsg_session *s)
{
    return body_left_ms(s) == 0;
}

uint64_t wsg_body_cap_ms(const struct wsg_session *s, uint64_t after_ms)
{
    uint64_t left_ms = body_left_ms(s);
    return left_ms < after_ms ? left_ms : after_ms;
}

void wsg_body_arm(struct wsg_session *s)
{
    if (s->exchange->clock.runs)
        wsg_session_set_timer(s, (uint32_t)wsg_body_cap_ms(s, UINT32_MAX));
}

void wsg_body_check(struct wsg_session *s)
{
    struct wsg_body_clock *c = &s->exchange->clock;
    uint64_t now_ms = wsg_loop_now_ms(s->env->loop);
    bool runs = is_clients_turn(s);
    if (runs == c->runs)
        return;
    if (!runs) {
        wsg_body_clock_stop(c, now_ms);
        if (s->exchange->response_begun && !s->exchange->response_complete)
            wsg_stream_arm(s); /* what was set for the body may come too early for it */
        return;
    }
    wsg_body_clock_start(c, now_ms);
    wsg_body_arm(s);
}

/* ------------------------------------------------------------------------ head */

static void send_request(struct wsg_session *s, bool more)
{
    wsg_emit_begin(s, WSB_REQUEST, more ? WSB_FLAG_MORE : 0);
    wsg_count(&s->route->tally.requests, 1);
}

/* RFC 9110 §10.1.1: the client may wait for 100 Continue before it sends the body. */
static void on_expectation(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    if (s->route->policy.expect_by_handler) {
        x->expect = WSG_EXPECT_WAITS;
        send_request(s, /*more=*/true);
        wsg_session_set_timer(s, s->route->policy.request_timeout_ms);
        return;
    }
    wsb_buf_clear(&s->env->text);
    if (wsg_http_continue_write(&s->env->text) == WSB_OK && wsg_exchange_append_text(s) == WSB_OK)
        wsg_session_mark_dirty(s);
}

static void begin_routed(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params)
{
    struct wsg_exchange *x = s->exchange;
    const struct wsg_route_policy *p = &s->route->policy;
    wsg_session_hide_token(s);
    if (!wsg_exchange_note_origin(s, head, &p->cors)) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    if (wsg_exchange_refuse_address(s) || wsg_exchange_answer_method(s, head, &p->methods) ||
        !wsg_session_authorize(s, head, params))
        return;
    if (wsg_route_lacks_kind(s->route, WSG_KIND_HTTP)) {
        wsg_exchange_refuse(s, WSG_REFUSED_KIND, 426, "the route's handlers serve WebSocket only", NULL, 0);
        return;
    }
    if (!wsg_session_has_handler(s, WSG_KIND_HTTP) && s->route->policy.no_handler != WSG_NO_HANDLER_WAIT) {
        wsg_exchange_refuse(s, WSG_REFUSED_NO_HANDLER, 503, "no handler", NULL, 0);
        return;
    }
    if (head->content_length > s->route->policy.max_body) {
        wsg_exchange_refuse(s, WSG_REFUSED_BODY_SIZE, 413, too_long, NULL, 0);
        return;
    }
    wsb_err err = wsg_meta_of_request(s, head, params, /*handshake=*/NULL, &x->meta);
    if (err == WSB_ERR_LIMIT) {
        wsg_exchange_error(s, 431, "the head is too large to be told to a handler", NULL, 0);
        return;
    }
    if (err || wsg_session_identify(s, head, params) != WSB_OK) {
        wsg_exchange_error(s, 500, "out of memory", NULL, 0);
        return;
    }
    wsg_exchange_note_codings(s, head);
    if (head->expect_continue)
        on_expectation(s);
    wsg_body_check(s);
}

/* RFC 9112 §3.2.4: "OPTIONS *" asks about the server and not about anything on it. */
static bool is_for_everything(const struct wsg_http_head *head)
{
    return head->method == WSG_HTTP_OPTIONS && wsb_span_eq_str(head->target, "*");
}

static void on_head(struct wsg_session *s, const struct wsg_http_head *head)
{
    struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
    bool is_broken;
    bool other_kind = false;
    bool has_body = head->content_length > 0 || head->is_chunked;
    struct wsg_exchange *x = calloc(1, sizeof *x);
    if (!x || !wsg_session_set_target(s, head->target)) {
        free(x);
        wsg_session_kill(s, "out of memory");
        return;
    }
    *x = (struct wsg_exchange){
        .method = (uint8_t)head->method,
        .minor = head->minor,
        .keep_alive = head->keep_alive,
        .request_complete = !has_body,
        .begun_us = wsg_loop_now_us(s->env->loop),
    };
    s->exchange = x;
    s->state = WSG_SESSION_EXCHANGE;
    wsg_exchange_name(s, head);
    wsg_access_begin(s, head);
    if (!find_client(s, head, &is_broken)) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    if (is_broken) { /* else whoever sends rubbish through a proxy would have the proxy's rights */
        x->is_local = true;
        wsg_exchange_error(s, 400, "a Forwarded header that cannot be read", NULL, 0);
        return;
    }
    if (head->is_upgrade) {
        wsg_websocket_begin(s, head);
        return;
    }
    if (is_for_everything(head)) {
        x->is_local = true;
        wsg_exchange_tell_methods(s, &(struct wsg_texts){NULL, 0}, /*is_served=*/true);
        return;
    }
    s->route = wsg_routes_match(s->env->routes, head->host_name, head->path, WSG_KIND_HTTP, params, &other_kind);
    if (s->route) {
        begin_routed(s, head, params);
        return;
    }
    x->is_local = true;
    if (head->expect_continue)
        x->expect = WSG_EXPECT_WAITS; /* for what nobody says: a file is sent at once */
    wsg_session_hide_token(s);        /* a page may have it from the URL by which it was called */
    if (wsg_exchange_try_static(s, head, other_kind)) {
        if (s->exchange && s->exchange->response_complete)
            wsg_exchange_finish_if_complete(s);
        return;
    }
    if (other_kind)
        wsg_exchange_refuse(s, WSG_REFUSED_KIND, 426, "the route speaks WebSocket only", NULL, 0);
    else
        wsg_exchange_error(s, 404, "no route", NULL, 0);
}

/* ------------------------------------------------------------------------ body */

/* The client is told as long as no response has begun, also when the handler has the beginning of the request. */
static void refuse_body(struct wsg_session *s, enum wsg_refusal reason, int status, const char *why)
{
    struct wsg_exchange *x = s->exchange;
    const char *told = reason == WSG_REFUSED_BODY_SIZE ? too_long : "the request's body is malformed";
    if (x->response_begun) {
        wsg_exchange_cut(s, WSG_CUT_BODY, told);
        return;
    }
    if (x->is_sent)
        wsg_exchange_emit_aborted(s, told);
    x->is_sent = false;
    x->keep_alive = false; /* nothing says where the next request begins */
    wsg_exchange_refuse(s, reason, status, why, NULL, 0);
}

/* The next request is too far away to be looked for. What is being packed still leaves before the connection ends. */
static void give_up_next(struct wsg_session *s)
{
    if (!wsg_packing_is_busy(s->exchange)) {
        wsg_session_linger(s);
        return;
    }
    s->exchange->keep_alive = false;
    wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, true);
}

static void on_body(struct wsg_session *s, struct wsb_span body)
{
    struct wsg_exchange *x = s->exchange;
    x->body_bytes += body.len;
    s->bytes_in += body.len;
    if (x->expect == WSG_EXPECT_WAITS)
        x->expect = WSG_EXPECT_ARRIVES;
    wsg_body_clock_hear(&x->clock, wsg_loop_now_ms(s->env->loop));
    wsg_body_check(s);
    if (!s->route || wsg_exchange_is_answered(x)) { /* the rest is read only to find the next request */
        if (x->body_bytes > (s->route ? s->route->policy.max_body : WSG_BODY_WHOLE))
            give_up_next(s);
        return;
    }
    if (x->body_bytes > s->route->policy.max_body) {
        refuse_body(s, WSG_REFUSED_BODY_SIZE, 413, too_long);
        return;
    }
    wsg_body_arm(s);
    if (x->is_sent) {
        wsg_emit(s, WSB_BODY_EV, 0, WSB_FLAG_MORE, body, wsb_span(NULL, 0));
        return;
    }
    if (wsb_buf_append(&x->body, body.ptr, body.len) != WSB_OK) {
        wsg_exchange_error(s, 500, "out of memory", NULL, 0);
        return;
    }
    if (x->body.len > WSG_BODY_WHOLE)
        send_request(s, /*more=*/true);
}

static void on_end(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    x->request_complete = true;
    if (x->response_complete) {
        wsg_exchange_finish_if_complete(s);
        return;
    }
    if (wsg_exchange_is_answered(x)) {
        wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, true);
        return;
    }
    if (x->is_sent)
        wsg_emit(s, WSB_BODY_EV, 0, 0, wsb_span(NULL, 0), wsb_span(NULL, 0));
    else
        send_request(s, /*more=*/false);
    if (x->response_begun)
        wsg_stream_arm(s);
    else
        wsg_session_set_timer(s, s->route->policy.request_timeout_ms);
    wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, true);
}

static void refuse_bytes(struct wsg_session *s)
{
    const struct wsg_http_in *in = s->in.http;
    int status = wsg_http_in_status(in);
    enum wsg_refusal reason = status == 413 ? WSG_REFUSED_BODY_SIZE : WSG_REFUSED_MALFORMED;
    if (s->exchange)
        refuse_body(s, reason, status, wsg_http_in_reason(in));
    else
        wsg_exchange_refuse(s, reason, status, wsg_http_in_reason(in), NULL, 0);
}

wsb_err wsg_exchange_step(struct wsg_session *s, const uint8_t *data, size_t len, size_t *ret_used)
{
    struct wsg_http_event ev;
    if (s->out.bytes > WSG_HTTP_OUTPUT_MAX ||
        wsg_outq_has_file(&s->out)) { /* one open file a connection, however many it asks for */
        wsg_session_set_paused(s, WSG_PAUSE_OUTPUT, true);
        *ret_used = 0;
        return WSB_MORE;
    }
    if (s->state == WSG_SESSION_HTTP && !s->request_begun && len) {
        s->request_begun = true;
        wsg_session_set_timer(s, wsg_session_entrance(s)->head_timeout_ms);
    }
    wsb_err err = wsg_http_in_next(s->in.http, data, len, ret_used, &ev);
    if (err == WSB_MORE)
        return WSB_MORE;
    if (err) {
        *ret_used = len;
        refuse_bytes(s);
        return WSB_MORE;
    }
    if (ev.kind == WSG_HTTP_EV_HEAD)
        on_head(s, ev.head);
    else if (!s->exchange)
        return WSB_OK; /* END of a request that was answered when its head came */
    else if (ev.kind == WSG_HTTP_EV_BODY)
        on_body(s, ev.body);
    else
        on_end(s);
    return WSB_OK;
}
