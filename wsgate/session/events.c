/* What a session tells the bus: each event with its metadata, written to the worker's outbox. */
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "base/size.h"
#include "session/compress.h"
#include "session/parts.h"
#include "ws/handshake.h"

enum { META_OF_REQUEST_MAX = WSB_META_MAX - 4096 /* the hub adds to it when it gives it to a second handler */ };

/* False: there is no memory, and its connection will be ended. */
static bool put(struct wsg_session *s, const struct wsg_out *out)
{
    bool is_copy = out->kind == WSG_OUT_TAP_IN || out->kind == WSG_OUT_TAP_OUT || out->kind == WSG_OUT_TAP_NOTE;
    bool is_kept = wsg_outbox_put(&s->env->outbox, out) == WSB_OK;
    if (!is_kept && !is_copy) /* only without memory: nothing else bounds it */
        wsg_lost_note(&s->env->lost, &out->envelope.header.conn, 1);
    return is_kept;
}

static struct wsg_out event_of(const struct wsg_session *s, uint8_t type, uint8_t code, uint8_t flags)
{
    return (struct wsg_out){
        .kind = WSG_OUT_EVENT,
        .route = s->route ? s->route->index : 0,
        .envelope.header =
            {.type = type, .code = code, .flags = flags, .conn = s->id, .time_ns = wsg_loop_wall_ns(s->env->loop)},
    };
}

void wsg_emit(struct wsg_session *s, uint8_t type, uint8_t code, uint8_t flags, struct wsb_span payload,
              struct wsb_span meta)
{
    struct wsg_out out = event_of(s, type, code, flags);
    out.envelope.payload = payload;
    out.envelope.meta = meta;
    (void)put(s, &out);
}

static bool is_idempotent(uint8_t method)
{
    return method == WSG_HTTP_GET || method == WSG_HTTP_HEAD || method == WSG_HTTP_OPTIONS || method == WSG_HTTP_PUT ||
           method == WSG_HTTP_DELETE; /* RFC 9110 §9.2.2; the gate does not serve TRACE */
}

void wsg_emit_begin(struct wsg_session *s, uint8_t type, uint8_t flags)
{
    struct wsg_exchange *x = s->exchange;
    struct wsg_out out = event_of(s, type, 0, flags);
    out.key = x->key;
    out.is_idempotent = type == WSB_REQUEST && is_idempotent(x->method);
    out.envelope.payload = wsb_buf_span(&x->body);
    out.envelope.meta = wsb_buf_span(&x->meta);
    out.place = x->place;
    if (put(s, &out))
        x->place = 0; /* it is the event's now */
    x->is_sent = true;
    wsb_buf_deinit(&x->body);
    wsb_buf_deinit(&x->meta);
}

/* The hot path: the message goes from where it was received to its place on the bus, unmasked and checked on the way. */
wsb_err wsg_emit_message(struct wsg_session *s, const struct wsb_ws_event *ev)
{
    struct wsg_out out = event_of(s, WSB_DATA, ev->opcode, 0);
    uint8_t *payload;
    out.envelope.header.payload_len = (uint32_t)ev->len;
    bool is_tapped = wsg_session_is_tapped(s);
    wsb_err err = is_tapped ? wsg_outbox_begin(&s->env->outbox, &out, &payload)
                            : wsg_outbox_begin_message(&s->env->outbox, &out, &payload);
    if (err)
        return err;
    err = wsb_ws_event_take(ev, payload);
    wsg_outbox_end(&s->env->outbox, /*keep=*/err == WSB_OK);
    if (!err && is_tapped) {
        struct wsb_span copy = wsb_span(payload, ev->len); /* the tap shows its beginning, and its true length */
        if (wsb_buf_reserve(&s->env->outbox.buf, (size_t)2 * WSG_TAP_BYTES) == WSB_OK) {
            /* the outbox may have moved: find the payload again, at its end */
            copy.ptr = s->env->outbox.buf.data + s->env->outbox.buf.len - wsb_align8(ev->len);
            wsg_tap(s, WSG_OUT_TAP_IN, ev->opcode, copy);
        }
    }
    return err;
}

void wsg_emit_closed(struct wsg_session *s, enum wsg_by by, uint16_t code, struct wsb_span reason, bool clean)
{
    wsg_access_end_websocket(s, by, code, clean);
    struct wsb_json j;
    uint64_t age_ms = wsg_loop_now_ms(s->env->loop) - s->opened_ms;
    if (s->is_dialed)
        wsg_dialed_note(s, by, code, reason);
    wsb_buf_clear(&s->env->text);
    wsb_json_begin(&j, &s->env->text);
    wsb_json_object(&j);
    wsb_json_kcstr(&j, "by", wsg_by_name(by));
    wsb_json_ku64(&j, "code", code);
    wsb_json_kstr(&j, "reason", reason);
    wsb_json_kbool(&j, "clean", clean);
    wsb_json_ku64(&j, "messages_in", s->messages_in);
    wsb_json_ku64(&j, "bytes_in", s->bytes_in);
    wsb_json_ku64(&j, "messages_out", s->messages_out);
    wsb_json_ku64(&j, "bytes_out", s->bytes_out);
    wsb_json_ku64(&j, "age_ms", age_ms);
    wsb_json_object_end(&j);
    if (wsb_json_end(&j) == WSB_OK)
        wsg_emit(s, WSB_CLOSED_EV, 0, 0, wsb_span(NULL, 0), wsb_buf_span(&s->env->text));
    if (wsg_session_is_tapped(s))
        wsg_tap(s, WSG_OUT_TAP_NOTE, 0, wsb_span_str("closed"));
    WSB_LOG_FEW(&s->env->lines.closed, WSG_REQUEST_LINES, wsg_loop_now_ms(s->env->loop), WSB_LOG_WS, WSB_LOG_WSLOG,
                "closed", WSB_KID("conn", s->id), WSB_KS("route", s->route->name), WSB_KS("by", wsg_by_name(by)),
                WSB_KU("code", code), WSB_KSPAN("reason", reason), WSB_KS("peer", s->peer),
                WSB_KU("in", s->messages_in), WSB_KU("out", s->messages_out), WSB_KU("age_ms", age_ms));
}

void wsg_emit_admitted(struct wsg_session *s)
{
    struct wsg_out out = event_of(s, WSB_OPEN, 0, 0);
    out.kind = WSG_OUT_ADMITTED;
    out.envelope.payload = wsb_span_str(s->subprotocol);
    (void)put(s, &out);
}

void wsg_emit_done(struct wsg_session *s)
{
    struct wsg_out out = {.kind = WSG_OUT_DONE, .envelope.header = {.type = WSB_CLOSED_EV, .conn = s->id}};
    (void)put(s, &out);
}

void wsg_emit_quiet(struct wsg_session *s)
{
    struct wsg_out out = {.kind = WSG_OUT_QUIET, .envelope.header = {.type = WSB_DATA, .conn = s->id}};
    (void)put(s, &out);
}

void wsg_emit_writable(struct wsg_session *s, struct wsb_span meta)
{
    struct wsg_out out = event_of(s, WSB_WRITABLE, 0, 0);
    out.kind = WSG_OUT_WRITABLE;
    out.envelope.meta = meta;
    (void)put(s, &out);
}

void wsg_emit_outcome(struct wsg_session *s, uint64_t origin, uint64_t seq, enum wsb_outcome outcome,
                      const char *reason)
{
    struct wsg_out out = {
        .kind = WSG_OUT_REPLY,
        .origin = origin,
        .envelope.header = {.type = WSB_OUTCOME,
                            .code = (uint8_t)outcome,
                            .conn = s->id,
                            .seq = seq,
                            .time_ns = wsg_loop_wall_ns(s->env->loop)},
    };
    if (reason) {
        struct wsb_json j;
        wsb_buf_clear(&s->env->text);
        wsb_json_begin(&j, &s->env->text);
        wsb_json_object(&j);
        wsb_json_kcstr(&j, "reason", reason);
        wsb_json_object_end(&j);
        if (wsb_json_end(&j) == WSB_OK)
            out.envelope.meta = wsb_buf_span(&s->env->text);
    }
    (void)put(s, &out);
}

void wsg_outcome(struct wsg_session *s, const struct wsg_command *c, enum wsb_outcome outcome, const char *reason)
{
    if (c->flags & WSB_FLAG_WANT_OUTCOME)
        wsg_emit_outcome(s, c->origin, c->seq, outcome, reason);
}

void wsg_emit_pong(struct wsg_session *s, struct wsb_span payload, uint64_t rtt_us)
{
    struct wsb_json j;
    wsb_buf_clear(&s->env->text);
    wsb_json_begin(&j, &s->env->text);
    wsb_json_object(&j);
    wsb_json_ku64(&j, "rtt_us", rtt_us);
    wsb_json_object_end(&j);
    if (wsb_json_end(&j) != WSB_OK)
        return;
    struct wsg_out out = {
        .kind = WSG_OUT_REPLY,
        .origin = s->asked_ping->origin,
        .envelope = {.header = {.type = WSB_PONG_EV,
                                .conn = s->id,
                                .seq = s->asked_ping->seq,
                                .time_ns = wsg_loop_wall_ns(s->env->loop)},
                     .payload = payload,
                     .meta = wsb_buf_span(&s->env->text)},
    };
    (void)put(s, &out);
}

void wsg_tap(struct wsg_session *s, enum wsg_outbox_kind kind, uint8_t opcode, struct wsb_span payload)
{
    struct wsg_out out = event_of(s, WSB_DATA, opcode, 0);
    out.kind = kind;
    out.envelope.header.seq = payload.len; /* how long it really is */
    out.envelope.payload = wsb_span(payload.ptr, payload.len < WSG_TAP_BYTES ? payload.len : WSG_TAP_BYTES);
    (void)put(s, &out);
}

/* ---------------------------------------------------------------- metadata */

/* Without a traceparent that is valid there is no trace that a tracestate could be of. */
static bool is_of_trace(const char *name)
{
    return strcmp(name, "traceparent") == 0 || strcmp(name, "tracestate") == 0;
}

/* Headers as one object: repeated ones are joined, as RFC 9110 §5.3 allows. */
void wsg_meta_put_headers(struct wsb_json *j, const struct wsg_http_head *head, const char *traceparent,
                          struct wsb_buf *scratch)
{
    wsb_json_key(j, "headers");
    wsb_json_object(j);
    if (traceparent)
        wsb_json_kcstr(j, "traceparent", traceparent);
    for (size_t i = 0; i < head->header_count; i++) {
        char name[256];
        struct wsb_span n = head->headers[i].name;
        bool seen = false;
        size_t len = n.len < sizeof name ? n.len : sizeof name - 1;
        for (size_t k = 0; k < len; k++)
            name[k] = (char)(n.ptr[k] >= 'A' && n.ptr[k] <= 'Z' ? n.ptr[k] | 0x20 : n.ptr[k]);
        name[len] = 0;
        for (size_t k = 0; k < i && !seen; k++)
            seen = head->headers[k].name.len == n.len && wsb_span_ieq_str(head->headers[k].name, name);
        if (seen || n.len >= sizeof name || (traceparent && is_of_trace(name)))
            continue;
        wsb_buf_clear(scratch);
        for (size_t k = i; k < head->header_count; k++) {
            if (!wsb_span_ieq_str(head->headers[k].name, name))
                continue;
            const char *joint = strcmp(name, "cookie") == 0 ? "; " : ", ";
            if ((scratch->len && wsb_buf_append_str(scratch, joint) != WSB_OK) ||
                wsb_buf_append(scratch, head->headers[k].value.ptr, head->headers[k].value.len) != WSB_OK)
                j->err = WSB_ERR_NOMEM;
        }
        wsb_json_key(j, name);
        wsb_json_latin1(j, wsb_buf_span(scratch));
    }
    wsb_json_object_end(j);
}

static void put_offered(struct wsb_json *j, const struct wsb_handshake_request *handshake)
{
    struct wsb_subprotocol_iter it = {.req = handshake};
    struct wsb_span name;
    wsb_json_key(j, "offered");
    wsb_json_array(j);
    while (wsb_handshake_next_subprotocol(&it, &name))
        wsb_json_str(j, name);
    wsb_json_array_end(j);
}

static void put_claims(struct wsb_json *j, const json_t *claims)
{
    char *text = json_dumps(claims, JSON_COMPACT);
    wsb_json_key(j, "claims");
    if (text)
        wsb_json_raw(j, wsb_span_str(text));
    else
        j->err = WSB_ERR_NOMEM;
    free(text);
}

wsb_err wsg_meta_of_request(struct wsg_session *s, const struct wsg_http_head *head, const struct wsb_span *params,
                            const struct wsb_handshake_request *handshake, struct wsb_buf *out)
{
    bool is_websocket = handshake != NULL;
    struct wsb_json j;
    struct wsb_span origin = {NULL, 0};
    const struct wsb_pattern *pattern = s->route->pattern;
    wsb_json_begin(&j, out);
    wsb_json_object(&j);
    wsb_json_kcstr(&j, "route", s->route->name);
    wsb_json_key(&j, "params");
    wsb_json_object(&j);
    for (size_t i = 0; i < wsb_pattern_param_count(pattern); i++)
        wsb_json_kstr(&j, wsb_pattern_param_name(pattern, i), params[i]);
    wsb_json_object_end(&j);
    if (!is_websocket)
        wsb_json_kcstr(&j, "method", wsg_http_method_name(head->method));
    wsb_json_kstr(&j, "target", head->target);
    wsb_json_kstr(&j, "path", head->path);
    wsb_json_kstr(&j, "query", head->query);
    if (!is_websocket)
        wsb_json_kcstr(&j, "version", head->minor ? "1.1" : "1.0");
    if (!is_websocket && head->expect_continue && s->route->policy.expect_by_handler)
        wsb_json_kbool(&j, "expect_continue", true);
    wsb_json_kstr(&j, "host", head->host);
    wsb_json_kcstr(&j, "peer", s->peer);
    if (s->exchange->proxy)
        wsb_json_kcstr(&j, "proxy", s->exchange->proxy);
    bool is_secure = s->exchange->is_secure;
    wsb_json_kcstr(&j, "scheme", is_websocket ? (is_secure ? "wss" : "ws") : is_secure ? "https" : "http");
    wsg_secure_write_meta(s, &j);
    if (is_websocket) {
        (void)wsg_http_header_find(head->headers, head->header_count, "origin", &origin);
        wsb_json_key(&j, "origin");
        wsb_json_latin1(&j, origin);
        char extensions[WSB_DEFLATE_TEXT_SIZE];
        wsb_json_kcstr(&j, "subprotocol", s->subprotocol ? s->subprotocol : "");
        wsb_json_kcstr(&j, "extensions", wsg_compress_text(s, extensions));
        put_offered(&j, handshake);
    }
    if (s->exchange->request_id[0])
        wsb_json_kcstr(&j, "request_id", s->exchange->request_id);
    char traceparent[WSG_TRACEPARENT_LEN + 1];
    bool is_begun = wsg_env_begin_trace(s->env, head, traceparent);
    wsg_meta_put_headers(&j, head, is_begun ? traceparent : NULL, &s->env->text2);
    if (s->exchange->claims)
        put_claims(&j, s->exchange->claims);
    wsb_json_object_end(&j);
    wsb_err err = wsb_json_end(&j);
    return !err && out->len > META_OF_REQUEST_MAX ? WSB_ERR_LIMIT : err;
}
