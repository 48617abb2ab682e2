/*
 * The HTTP side of a session: requests in, one at a time, to a handler, to a static directory, or to a refusal; responses
 * out. Relies on http/ for every rule of the protocol.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "session/parts.h"

void wsg_exchange_free(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    if (!x)
        return;
    wsb_buf_deinit(&x->body);
    wsb_buf_deinit(&x->meta);
    free(x->offered);
    free(x->proxy);
    json_decref(x->claims);
    free(x);
    s->exchange = NULL;
}

static void log_exchange(const struct wsg_session *s)
{
    const struct wsg_exchange *x = s->exchange;
    WSB_LOG(WSB_LOG_HTTP, WSB_LOG_INFO, "request", WSB_KID("conn", s->id),
            WSB_KS("method", wsg_http_method_name(x->method)), WSB_KS("target", s->target ? s->target : ""),
            WSB_KU("status", x->status), WSB_KS("peer", s->peer),
            WSB_KS("route", x->is_local || !s->route ? "" : s->route->name),
            WSB_KU("us", wsg_loop_now_us(s->env->loop) - x->begun_us));
}

static void emit_aborted(struct wsg_session *s, const char *why)
{
    char meta[128];
    int n = snprintf(meta, sizeof meta, "{\"reason\":\"%s\"}", why); /* a word of ours, never the peer's */
    wsg_emit(s, WSB_ABORTED, 0, 0, wsb_span(NULL, 0), wsb_span(meta, (size_t)n));
}

/* Both halves are complete: the next request, or the end. */
static void finish(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    bool keep = x->keep_alive && x->request_complete && !s->env->draining;
    log_exchange(s);
    if (x->is_sent)
        wsg_emit_done(s);
    wsg_session_end_pause(s);     /* that was for this exchange; the hub has forgotten it with its id */
    if (x->proxy) {               /* the next request may be of another client */
        wsg_gatekeeping_leave(s); /* one whose handshake came to nothing was counted by the address that goes now */
        keep = wsg_session_set_peer(s, wsb_span_str(x->proxy)) && keep;
    }
    wsg_exchange_free(s);
    s->route = NULL;
    if (!keep) {
        wsg_session_linger(s);
        return;
    }
    if (wsg_session_renew_id(s) != WSB_OK) {
        wsg_session_linger(s);
        return;
    }
    s->state = WSG_SESSION_HTTP;
    s->request_begun = false;
    wsg_session_set_timer(s, s->env->keepalive_timeout_ms);
}

static void finish_if_complete(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    /* A response that is complete before its request was read ends the connection: nothing says where the next begins. */
    if (x->response_complete && (x->request_complete || !x->keep_alive))
        finish(s);
}

/* --------------------------------------------------------------- responses */

wsb_err wsg_exchange_begin_response(struct wsg_session *s, const struct wsg_answer *a)
{
    struct wsg_exchange *x = s->exchange;
    struct wsg_http_framing framing;
    struct wsg_http_response r = {
        .status = a->status,
        .date = wsg_env_date(s->env),
        .body = a->body,
        .length = a->length,
        .request_minor = x->minor,
        .keep_alive = x->keep_alive && !s->env->draining,
        .headers = a->headers,
        .header_count = a->header_count,
    };
    wsb_buf_clear(&s->env->text);
    wsb_err err = wsg_http_response_head_write(&s->env->text, &r, &framing);
    if (!err)
        err = wsg_outq_append(&s->out, &s->env->pool, s->env->text.data, s->env->text.len);
    if (err)
        return err;
    x->status = (uint16_t)a->status;
    x->response_begun = true;
    x->has_body = framing.has_body && x->method != WSG_HTTP_HEAD;
    x->is_chunked = framing.is_chunked;
    x->keep_alive = framing.keep_alive;
    wsg_session_mark_dirty(s);
    return WSB_OK;
}

static wsb_err append_text(struct wsg_session *s)
{
    return wsg_outq_append(&s->out, &s->env->pool, s->env->text.data, s->env->text.len);
}

wsb_err wsg_exchange_append_body(struct wsg_session *s, struct wsb_span body)
{
    struct wsg_exchange *x = s->exchange;
    wsb_err err = WSB_OK;
    if (!x->has_body || body.len == 0)
        return WSB_OK;
    x->in_line = body.ptr[body.len - 1] != '\n';
    wsb_buf_clear(&s->env->text);
    if (x->is_chunked && ((err = wsg_http_chunk_head_write(&s->env->text, body.len)) || (err = append_text(s))))
        return err;
    err = wsg_outq_append(&s->out, &s->env->pool, body.ptr, body.len);
    if (!err && x->is_chunked) {
        wsb_buf_clear(&s->env->text);
        if (!(err = wsg_http_chunk_tail_write(&s->env->text)))
            err = append_text(s);
    }
    wsg_session_mark_dirty(s);
    return err;
}

static wsb_err end_body(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    wsb_err err = WSB_OK;
    if (x->has_body && x->is_chunked) {
        wsb_buf_clear(&s->env->text);
        if (!(err = wsg_http_chunk_last_write(&s->env->text)))
            err = append_text(s);
        wsg_session_mark_dirty(s);
    }
    x->response_complete = true;
    return err;
}

/* A whole answer of our own; the request may be in any state, even unparsable (then there is no exchange). */
static void answer_error(struct wsg_session *s, int status, const char *why, const struct wsg_http_header *headers,
                         size_t count)
{
    struct wsg_exchange *x = s->exchange;
    struct wsg_http_framing framing;
    bool reusable = x && x->keep_alive && x->request_complete && !s->env->draining;
    struct wsg_http_error e = {
        .status = status,
        .date = wsg_env_date(s->env),
        .request_minor = x ? x->minor : 1,
        .is_head = x ? x->method == WSG_HTTP_HEAD : wsg_http_in_method(s->in.http) == WSG_HTTP_HEAD,
        .keep_alive = reusable,
        .headers = headers,
        .header_count = count,
    };
    WSB_LOG(WSB_LOG_HTTP, status >= 500 ? WSB_LOG_WARN : WSB_LOG_INFO, "refused", WSB_KID("conn", s->id),
            WSB_KU("status", status), WSB_KS("why", why), WSB_KS("target", s->target ? s->target : ""),
            WSB_KS("peer", s->peer));
    wsb_buf_clear(&s->env->text);
    if (wsg_http_error_response_write(&s->env->text, &e, &framing) != WSB_OK || append_text(s) != WSB_OK) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    wsg_session_mark_dirty(s);
    if (!x) {
        wsg_session_linger(s);
        return;
    }
    x->status = (uint16_t)status;
    x->response_begun = x->response_complete = true;
    x->keep_alive = reusable;
    finish_if_complete(s);
}

void wsg_exchange_refuse(struct wsg_session *s, enum wsg_refusal reason, int status, const char *why,
                         const struct wsg_http_header *headers, size_t count)
{
    if (s->route)
        wsg_count(&s->route->tally.refused[reason], 1);
    else
        wsg_gatekeeping_count(s->env->gatekeeping, reason);
    answer_error(s, status, why, headers, count);
}

void wsg_exchange_error(struct wsg_session *s, int status, const char *why, const struct wsg_http_header *headers,
                        size_t count)
{
    if (s->route)
        wsg_count(&s->route->tally.refused[WSG_REFUSED_OTHER], 1);
    answer_error(s, status, why, headers, count);
}

/* Fields of a handler, less those that are ours. */
static size_t clean_fields(const struct wsg_command *c, struct wsg_http_header out[WSG_FIELDS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < c->field_count; i++) {
        if (!wsg_http_response_is_reserved(c->fields[i].name))
            out[count++] = (struct wsg_http_header){c->fields[i].name, c->fields[i].value};
    }
    return count;
}

static bool takes_response(struct wsg_session *s, const struct wsg_command *c, bool begun)
{
    struct wsg_exchange *x = s->exchange;
    if (s->state == WSG_SESSION_EXCHANGE && x && x->is_sent && !x->response_complete && x->response_begun == begun)
        return true;
    wsg_outcome(s, c, WSB_OUTCOME_REFUSED, begun ? "no response has been begun" : "no request waits for a response");
    return false;
}

static void after_response_part(struct wsg_session *s, const struct wsg_command *c, wsb_err err)
{
    if (!err && !(c->flags & WSB_FLAG_MORE))
        err = end_body(s);
    if (err) { /* half a response is out: only closing tells the client */
        wsg_outcome(s, c, WSB_OUTCOME_DROPPED, "out of memory");
        wsg_exchange_abort(s, "out of memory");
        return;
    }
    wsg_session_add_receipt(s, c);
    if (s->exchange->response_complete && !s->exchange->request_complete) {
        emit_aborted(s, "answered before the request was complete"); /* what still comes is nobody's */
        s->exchange->is_sent = false;
    }
    if (s->exchange->response_complete)
        finish_if_complete(s);
    else
        wsg_stream_arm(s);
    if (s->state == WSG_SESSION_HTTP)
        wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, false);
}

void wsg_exchange_respond(struct wsg_session *s, const struct wsg_command *c)
{
    struct wsg_http_header headers[WSG_FIELDS_MAX];
    bool more = (c->flags & WSB_FLAG_MORE) != 0;
    bool is_empty_head = s->exchange && s->exchange->method == WSG_HTTP_HEAD && c->payload.len == 0;
    struct wsg_answer a = {
        .status = c->status ? c->status : 200,
        /* An empty answer to HEAD does not say how long the answer to GET would be. */
        .body = more || is_empty_head ? WSG_HTTP_BODY_UNKNOWN : WSG_HTTP_BODY_LENGTH,
        .length = c->payload.len,
        .headers = headers,
        .header_count = clean_fields(c, headers),
    };
    if (!takes_response(s, c, /*begun=*/false))
        return;
    if (a.status < 200 || wsg_exchange_begin_response(s, &a) != WSB_OK) {
        wsg_outcome(s, c, WSB_OUTCOME_INVALID, "status or headers cannot be sent");
        wsg_exchange_error(s, 502, "the handler's response is invalid", NULL, 0);
        if (s->state == WSG_SESSION_HTTP)
            wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, false);
        return;
    }
    wsg_stream_begin(s, &a);
    after_response_part(s, c, wsg_exchange_append_body(s, c->payload));
}

void wsg_exchange_body(struct wsg_session *s, const struct wsg_command *c)
{
    if (!takes_response(s, c, /*begun=*/true))
        return;
    if (wsg_session_waiting(s) > s->route->policy.max_queue)
        wsg_session_make_room(s);
    if (wsg_session_waiting(s) > s->route->policy.max_queue) {
        wsg_outcome(s, c, WSB_OUTCOME_DROPPED, "the client does not take what is sent");
        wsg_exchange_abort(s, "slow client");
        return;
    }
    after_response_part(s, c, wsg_exchange_append_body(s, c->payload));
}

/* The exchange ends in the middle: the handler is told, the client loses its connection. */
void wsg_exchange_abort(struct wsg_session *s, const char *why)
{
    struct wsg_exchange *x = s->exchange;
    if (x && x->is_sent && !x->response_complete) {
        emit_aborted(s, why);
    } else if (x && x->is_sent) {
        wsg_emit_done(s);
    }
    if (x)
        x->is_sent = false;
    wsg_session_kill(s, why);
}

/* Clients of event streams come back by themselves, to another gate. Anything else may yet be complete before the drain is
 * over, and so may a line. */
void wsg_exchange_drain(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    if (!x->is_events || !x->is_sent || x->response_complete || x->in_line)
        return;
    if (end_body(s) != WSB_OK) {
        wsg_exchange_abort(s, "out of memory");
        return;
    }
    emit_aborted(s, "the gate is shutting down");
    x->is_sent = false;
    x->keep_alive = false;
    finish_if_complete(s);
}

/* The bus has nobody who will answer; it has forgotten the exchange already. */
void wsg_exchange_fail(struct wsg_session *s, int status, const char *why)
{
    struct wsg_exchange *x = s->exchange;
    x->is_sent = false;
    if (x->response_begun) {
        wsg_session_kill(s, why);
        return;
    }
    wsg_exchange_error(s, status, why, NULL, 0);
    if (s->state == WSG_SESSION_HTTP)
        wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, false);
}

void wsg_exchange_timeout(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    if (x->response_begun) {
        wsg_stream_timeout(s);
        return;
    }
    if (x->is_sent) {
        emit_aborted(s, "request timed out");
        x->is_sent = false;
        bool was_held = (s->paused & WSG_PAUSE_HANDLER) != 0; /* by us, not by the client */
        wsg_exchange_error(s, x->request_complete ? 504 : was_held ? 503 : 408, "timed out", NULL, 0);
    } else {
        wsg_exchange_error(s, 408, "the request's body did not come in time", NULL, 0);
    }
    if (s->state == WSG_SESSION_HTTP)
        wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, false);
}

/* ---------------------------------------------------------------- requests */

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

static void begin_routed(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params)
{
    struct wsg_exchange *x = s->exchange;
    wsg_session_hide_token(s);
    if (wsg_exchange_refuse_address(s) || !wsg_session_authorize(s, head, params))
        return;
    if (!wsg_session_has_handler(s) && s->route->policy.no_handler != WSG_NO_HANDLER_WAIT) {
        wsg_exchange_refuse(s, WSG_REFUSED_NO_HANDLER, 503, "no handler", NULL, 0);
        return;
    }
    if (head->content_length > s->route->policy.max_body) {
        wsg_exchange_error(s, 413, "the body is longer than the route allows", NULL, 0);
        return;
    }
    if (wsg_meta_of_request(s, head, params, /*is_websocket=*/false, wsb_span(NULL, 0), &x->meta) != WSB_OK ||
        wsg_session_identify(s, head, params) != WSB_OK) {
        wsg_exchange_error(s, 500, "out of memory", NULL, 0);
        return;
    }
    if (head->expect_continue) {
        wsb_buf_clear(&s->env->text);
        if (wsg_http_continue_write(&s->env->text) == WSB_OK && append_text(s) == WSB_OK)
            wsg_session_mark_dirty(s);
    }
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
    s->route = wsg_routes_match(s->env->routes, head->host, head->path, WSG_KIND_HTTP, params, &other_kind);
    if (s->route) {
        begin_routed(s, head, params);
        return;
    }
    x->is_local = true;
    if (wsg_exchange_try_static(s, head)) {
        if (s->exchange && s->exchange->response_complete)
            finish_if_complete(s);
        return;
    }
    if (other_kind)
        wsg_exchange_error(s, 426, "the route speaks WebSocket only", NULL, 0);
    else
        wsg_exchange_error(s, 404, "no route", NULL, 0);
}

static void send_request(struct wsg_session *s, bool more)
{
    wsg_emit_begin(s, WSB_REQUEST, more ? WSB_FLAG_MORE : 0);
    wsg_count(&s->route->tally.requests, 1);
}

static void on_body(struct wsg_session *s, struct wsb_span body)
{
    struct wsg_exchange *x = s->exchange;
    x->body_bytes += body.len;
    s->bytes_in += body.len;
    if (x->response_complete || !s->route) { /* answered already: the rest is read only to find the next request */
        if (x->body_bytes > (s->route ? s->route->policy.max_body : WSG_BODY_WHOLE))
            wsg_session_linger(s);
        return;
    }
    if (x->body_bytes > s->route->policy.max_body) {
        if (x->is_sent || x->response_begun) {
            wsg_exchange_abort(s, "the body is longer than the route allows");
            return;
        }
        wsg_exchange_error(s, 413, "the body is longer than the route allows", NULL, 0);
        return;
    }
    wsg_session_set_timer(s, wsg_session_entrance(s)->head_timeout_ms);
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
        finish_if_complete(s);
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
    struct wsg_http_in *in = s->in.http;
    struct wsg_exchange *x = s->exchange;
    if (x && (x->is_sent || x->response_begun)) {
        wsg_exchange_abort(s, "the request's body is malformed");
        return;
    }
    if (x)
        x->keep_alive = false;
    wsg_exchange_error(s, wsg_http_in_status(in), wsg_http_in_reason(in), NULL, 0);
}

wsb_err wsg_exchange_step(struct wsg_session *s, const uint8_t *data, size_t len, size_t *ret_used)
{
    struct wsg_http_event ev;
    if (s->out.bytes > WSG_HTTP_OUTPUT_MAX) {
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
