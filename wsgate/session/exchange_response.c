/*
 * The response of an exchange: its head and its body, from a handler, from a static directory, or of our own where there is
 * nothing better to say. Relies on http/response.h for every rule of the protocol.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "session/parts.h"

wsb_err wsg_exchange_begin_response(struct wsg_session *s, const struct wsg_answer *a)
{
    struct wsg_exchange *x = s->exchange;
    struct wsg_http_framing framing;
    /* RFC 9110 §10.1.1: whoever waits for 100 and gets this may send its body, or not; RFC 9112 §9.3: so nothing says where
     * the next request would begin. */
    bool knows_next = x->expect != WSG_EXPECT_WAITS;
    struct wsg_added added;
    wsg_exchange_added(x, &added);
    struct wsg_http_response r = {
        .method = wsg_http_method_name((enum wsg_http_method)x->method),
        .status = a->status,
        .date = wsg_env_date(s->env),
        .body = a->body,
        .length = a->length,
        .request_minor = x->minor,
        .keep_alive = x->keep_alive && knows_next && !s->env->draining,
        .headers = a->headers,
        .header_count = a->header_count,
        .added = added.at,
        .added_count = added.count,
    };
    wsb_buf_clear(&s->env->text);
    wsb_err err = wsg_http_response_head_write(&s->env->text, &r, &framing);
    if (!err)
        err = wsg_outq_append(&s->out, &s->env->pool, s->env->text.data, s->env->text.len);
    if (err)
        return err;
    x->status = (uint16_t)a->status;
    x->response_begun = true;
    x->head_end = s->out.queued;
    x->has_body = framing.has_body && x->method != WSG_HTTP_HEAD;
    x->is_chunked = framing.is_chunked;
    x->keep_alive = framing.keep_alive;
    s->ends_by_close = x->has_body && !x->is_chunked && a->body == WSG_HTTP_BODY_UNKNOWN;
    wsg_session_mark_dirty(s);
    return WSB_OK;
}

wsb_err wsg_exchange_append_text(struct wsg_session *s)
{
    return wsg_outq_append(&s->out, &s->env->pool, s->env->text.data, s->env->text.len);
}

/* As it leaves. */
static wsb_err append_coded(struct wsg_session *s, struct wsb_span body)
{
    struct wsg_exchange *x = s->exchange;
    wsb_err err = WSB_OK;
    if (body.len == 0)
        return WSB_OK;
    wsb_buf_clear(&s->env->text);
    if (x->is_chunked &&
        ((err = wsg_http_chunk_head_write(&s->env->text, body.len)) || (err = wsg_exchange_append_text(s))))
        return err;
    err = wsg_outq_append(&s->out, &s->env->pool, body.ptr, body.len);
    if (!err && x->is_chunked) {
        wsb_buf_clear(&s->env->text);
        if (!(err = wsg_http_chunk_tail_write(&s->env->text)))
            err = wsg_exchange_append_text(s);
    }
    wsg_session_mark_dirty(s);
    return err;
}

wsb_err wsg_exchange_append_body(struct wsg_session *s, struct wsb_span body)
{
    struct wsg_exchange *x = s->exchange;
    if (!x->has_body || body.len == 0)
        return WSB_OK;
    x->in_line = body.ptr[body.len - 1] != '\n';
    return x->packing ? wsg_packing_add(s, body) : append_coded(s, body);
}

static wsb_err close_body(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    wsb_err err = WSB_OK;
    if (x->has_body && x->is_chunked) {
        wsb_buf_clear(&s->env->text);
        if (!(err = wsg_http_chunk_last_write(&s->env->text)))
            err = wsg_exchange_append_text(s);
        wsg_session_mark_dirty(s);
    }
    x->response_complete = !err;
    return err;
}

wsb_err wsg_exchange_end_body(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    x->is_events = false; /* nothing can be added any more */
    if (!x->packing)
        return close_body(s);
    wsg_packing_end(s);
    return WSB_OK;
}

wsb_err wsg_exchange_append_packed(struct wsg_session *s, struct wsb_span piece, bool is_last)
{
    wsb_err err = append_coded(s, piece);
    return err || !is_last ? err : close_body(s);
}

bool wsg_exchange_is_answered(const struct wsg_exchange *x)
{
    return x->response_complete || wsg_packing_has_end(x);
}

/* A whole answer of our own; the request may be in any state, even unparsable (then there is no exchange). */
static void answer_error(struct wsg_session *s, int status, const char *why, const struct wsg_http_header *headers,
                         size_t count)
{
    struct wsg_exchange *x = s->exchange;
    struct wsg_http_framing framing;
    struct wsg_added added = {.count = 0};
    bool reusable = x && x->keep_alive && x->request_complete && !s->env->draining;
    char made[WSG_REQUEST_ID_OWN + 1];
    const char *request_id = x ? x->request_id : wsg_env_request_id(s->env, made);
    if (!s->route)
        wsg_session_hide_token(s);
    if (x)
        wsg_exchange_added(x, &added);
    else
        wsg_added_id(&added, request_id);
    struct wsg_http_error e = {
        .status = status,
        .date = wsg_env_date(s->env),
        .request_minor = x ? x->minor : 1,
        .method = wsg_http_method_name(x ? (enum wsg_http_method)x->method : wsg_http_in_method(s->in.http)),
        .keep_alive = reusable,
        .headers = headers,
        .header_count = count,
        .added = added.at,
        .added_count = added.count,
    };
    wsg_turns_charge(&s->env->turns, WSG_WORK_ERROR);
    WSB_LOG_FEW(status >= 500 ? &s->env->lines.failed : &s->env->lines.refused, WSG_REFUSED_LINES,
                wsg_loop_now_ms(s->env->loop), WSB_LOG_HTTP, status >= 500 ? WSB_LOG_WARN : WSB_LOG_INFO, "refused",
                WSB_KID("conn", s->id), WSB_KU("status", status), WSB_KS("why", why),
                WSB_KS("target", s->target ? s->target : ""), WSB_KS("peer", s->peer),
                WSB_KS("request_id", request_id));
    wsb_buf_clear(&s->env->text);
    if (wsg_http_error_response_write(&s->env->text, &e, &framing) != WSB_OK || wsg_exchange_append_text(s) != WSB_OK) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    wsg_session_mark_dirty(s);
    if (!x) {
        wsg_access_refused(s, status, request_id, framing.body_len);
        wsg_session_linger(s);
        return;
    }
    x->status = (uint16_t)status;
    x->head_end = s->out.queued - framing.body_len;
    x->response_begun = x->response_complete = true;
    x->keep_alive = reusable;
    wsg_exchange_finish_if_complete(s);
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
static size_t clean_fields(const struct wsg_exchange *x, const struct wsg_command *c,
                           struct wsg_http_header out[WSG_FIELDS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < c->field_count; i++) {
        if (!wsg_exchange_is_ours(x, c->fields[i].name))
            out[count++] = (struct wsg_http_header){c->fields[i].name, c->fields[i].value};
    }
    return count;
}

void wsg_exchange_after_response(struct wsg_session *s)
{
    wsg_exchange_finish_if_complete(s);
    if (s->state == WSG_SESSION_HTTP)
        wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, false);
}

/* The handler has said all: the exchange is over for it, though some of the response may be yet to be packed. */
static void leave_handler(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    if (!x->request_complete) {
        wsg_exchange_emit_aborted(s, "answered before the request was complete"); /* what still comes is nobody's */
        x->is_sent = false;
    } else if (!x->response_complete) {
        wsg_emit_done(s);
        x->is_sent = false;
    }
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
        err = wsg_exchange_end_body(s);
    if (err) { /* half a response is out: only closing tells the client */
        wsg_outcome(s, c, WSB_OUTCOME_DROPPED, "out of memory");
        wsg_exchange_cut(s, WSG_CUT_MEMORY, "out of memory");
        return;
    }
    wsg_packing_owe(s, wsg_session_add_receipt(s, c));
    if (wsg_exchange_is_answered(s->exchange))
        leave_handler(s);
    if (s->exchange->response_complete)
        wsg_exchange_after_response(s);
    else
        wsg_stream_arm(s);
}

/* NULL: it may be said. */
static const char *why_not_continue(const struct wsg_session *s, const struct wsg_command *c)
{
    const struct wsg_exchange *x = s->exchange;
    if (x->minor == 0)
        return "HTTP/1.0 has no 100 Continue"; /* RFC 9110 §15.2 */
    if (x->expect == WSG_EXPECT_NONE)
        return "the request does not expect 100 Continue of its handler";
    if (x->expect == WSG_EXPECT_ASKED)
        return "100 Continue was said already";
    return c->payload.len || c->field_count ? "100 Continue has neither headers nor a body" : NULL;
}

/* The handler wants the body. The response is still to come. */
static void ask_for_body(struct wsg_session *s, const struct wsg_command *c)
{
    struct wsg_exchange *x = s->exchange;
    const char *why_not = why_not_continue(s, c);
    if (why_not) {
        wsg_outcome(s, c, WSB_OUTCOME_REFUSED, why_not);
        return;
    }
    if (x->expect == WSG_EXPECT_WAITS) { /* RFC 9110 §10.1.1: not needed where the body has begun */
        wsb_buf_clear(&s->env->text);
        if (wsg_http_continue_write(&s->env->text) != WSB_OK || wsg_exchange_append_text(s) != WSB_OK) {
            wsg_outcome(s, c, WSB_OUTCOME_DROPPED, "out of memory");
            wsg_exchange_abort(s, "out of memory");
            return;
        }
    }
    wsg_session_mark_dirty(s);
    x->expect = WSG_EXPECT_ASKED;
    wsg_body_check(s);
    wsg_count(&s->route->tally.continued, 1);
    wsg_session_add_receipt(s, c);
}

void wsg_exchange_respond(struct wsg_session *s, const struct wsg_command *c)
{
    struct wsg_http_header headers[WSG_FIELDS_MAX + WSG_CODING_FIELDS];
    bool more = (c->flags & WSB_FLAG_MORE) != 0;
    if (!takes_response(s, c, /*begun=*/false))
        return;
    bool is_empty_head = s->exchange->method == WSG_HTTP_HEAD && c->payload.len == 0;
    struct wsg_answer a = {
        .status = c->status ? c->status : 200,
        /* An empty answer to HEAD does not say how long the answer to GET would be. */
        .body = more || is_empty_head ? WSG_HTTP_BODY_UNKNOWN : WSG_HTTP_BODY_LENGTH,
        .length = c->payload.len,
        .headers = headers,
        .header_count = clean_fields(s->exchange, c, headers),
    };
    if (a.status == 100) {
        ask_for_body(s, c);
        return;
    }
    struct wsb_span body = wsg_exchange_begin_coding(s, &a, headers, c->payload);
    if (a.status < 200 || wsg_exchange_begin_response(s, &a) != WSB_OK) {
        wsg_outcome(s, c, WSB_OUTCOME_INVALID, "status or headers cannot be sent");
        wsg_exchange_error(s, 502, "the handler's response is invalid", NULL, 0);
        if (s->state == WSG_SESSION_HTTP)
            wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, false);
        return;
    }
    wsg_stream_begin(s, &a);
    s->exchange->response_bytes = c->payload.len;
    after_response_part(s, c, wsg_exchange_append_body(s, body));
}

/* ------------------------------------------------------------- parts of a response */

/* For the client, packed or not. */
static size_t waiting(const struct wsg_session *s)
{
    return wsg_session_waiting(s) + wsg_packing_waiting(s);
}

/* As much as max_queue may wait, and one part besides: a part of any size can be sent. */
static bool has_room(struct wsg_session *s)
{
    if (waiting(s) > s->route->policy.max_queue)
        wsg_session_make_room(s);
    return waiting(s) <= s->route->policy.max_queue;
}

static void refuse_misplaced(struct wsg_session *s, const struct wsg_command *c)
{
    char why[64];
    (void)snprintf(why, sizeof why, "the response goes on at byte %" PRIu64, s->exchange->response_bytes);
    wsg_outcome(s, c, WSB_OUTCOME_DROPPED, why);
}

/* There is no room for the part. Whoever could not learn of it would leave a hole. */
static void refuse_part(struct wsg_session *s, const struct wsg_command *c)
{
    bool is_told = c->has_at || (c->flags & WSB_FLAG_WANT_OUTCOME);
    wsg_count(&s->route->tally.body_refused, 1);
    wsg_outcome(s, c, WSB_OUTCOME_DROPPED, "the client does not take what is sent: wait for WRITABLE");
    if (is_told)
        s->exchange->room = WSG_ROOM_FULL;
    else
        wsg_exchange_cut(s, WSG_CUT_SLOW, "slow client");
}

void wsg_exchange_body(struct wsg_session *s, const struct wsg_command *c)
{
    if (!takes_response(s, c, /*begun=*/true))
        return;
    struct wsg_exchange *x = s->exchange;
    if (c->has_at && c->at != x->response_bytes) {
        refuse_misplaced(s, c);
        return;
    }
    if (!c->has_at && x->room != WSG_ROOM_FREE) { /* it was sent behind one that was refused */
        wsg_outcome(s, c, WSB_OUTCOME_DROPPED, "an earlier part was refused");
        wsg_exchange_cut(s, WSG_CUT_REFUSED_PART, "a part of the response was refused, and not sent again");
        return;
    }
    if (!has_room(s)) {
        refuse_part(s, c);
        return;
    }
    x->room = WSG_ROOM_FREE;
    x->response_bytes += c->payload.len;
    after_response_part(s, c, wsg_exchange_append_body(s, c->payload));
}

/* A part is refused only when more waits than may, so that it is the client that has made the room. */
void wsg_exchange_check_writable(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    char meta[40];
    if (x->room != WSG_ROOM_FULL || !x->is_sent || s->state != WSG_SESSION_EXCHANGE ||
        waiting(s) > s->route->policy.max_queue / 2)
        return;
    int n = snprintf(meta, sizeof meta, "{\"at\":%" PRIu64 "}", x->response_bytes);
    x->room = WSG_ROOM_TOLD;
    wsg_emit_writable(s, wsb_span(meta, (size_t)n));
}
