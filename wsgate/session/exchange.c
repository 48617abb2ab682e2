/*
 * One HTTP request and its response as a whole: how an exchange ends, in good order or not. What the client sends is in
 * exchange_request.c, what it gets in exchange_response.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "session/parts.h"
#include "session/secure.h"

void wsg_exchange_free(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    if (!x)
        return;
    wsg_packing_free(s);
    if (x->place) /* nobody will be asked about the handshake */
        wsg_places_give_back(&s->route->pending, &x->place);
    wsb_buf_deinit(&x->body);
    wsb_buf_deinit(&x->meta);
    free(x->offered);
    free(x->proxy);
    free(x->note);
    free(x->origin);
    json_decref(x->claims);
    free(x);
    s->exchange = NULL;
}

static void log_exchange(const struct wsg_session *s)
{
    const struct wsg_exchange *x = s->exchange;
    WSB_LOG_FEW(&s->env->lines.requests, WSG_REQUEST_LINES, wsg_loop_now_ms(s->env->loop), WSB_LOG_HTTP, WSB_LOG_INFO,
                "request", WSB_KID("conn", s->id), WSB_KS("method", wsg_http_method_name(x->method)),
                WSB_KS("target", s->target ? s->target : ""), WSB_KU("status", x->status), WSB_KS("peer", s->peer),
                WSB_KS("route", x->is_local || !s->route ? "" : s->route->name),
                WSB_KU("us", wsg_loop_now_us(s->env->loop) - x->begun_us), WSB_KS("request_id", x->request_id));
}

void wsg_exchange_emit_aborted(struct wsg_session *s, const char *why)
{
    char meta[128];
    int n = snprintf(meta, sizeof meta, "{\"reason\":\"%s\"}", why); /* a word of ours, never the peer's */
    wsg_emit(s, WSB_ABORTED, 0, 0, wsb_span(NULL, 0), wsb_span(meta, (size_t)n));
}

/* Both halves are complete: the next request, or the end. */
static void finish(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    bool is_last = wsg_secure_has_ended(s) && !s->unread;
    bool keep = x->keep_alive && x->request_complete && !s->env->draining && !is_last;
    log_exchange(s);
    wsg_access_end(s);
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

void wsg_exchange_finish_if_complete(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    /* A response that is complete before its request was read ends the connection: nothing says where the next begins. */
    if (x->response_complete && (x->request_complete || !x->keep_alive))
        finish(s);
}

/* The exchange ends in the middle: the handler is told, the client loses its connection. */
void wsg_exchange_abort(struct wsg_session *s, const char *why)
{
    struct wsg_exchange *x = s->exchange;
    if (x && x->is_sent && !x->response_complete) {
        wsg_exchange_emit_aborted(s, why);
    } else if (x && x->is_sent) {
        wsg_emit_done(s);
    }
    if (x)
        x->is_sent = false;
    wsg_session_kill(s, why);
}

static void note_cut(struct wsg_session *s, enum wsg_cut reason, const char *why)
{
    const struct wsg_exchange *x = s->exchange;
    if (!s->route || !x->response_begun || x->response_complete)
        return;
    wsg_count(&s->route->tally.cut[reason], 1);
    WSB_LOG_FEW(&s->env->lines.cut, WSG_REFUSED_LINES, wsg_loop_now_ms(s->env->loop), WSB_LOG_HTTP, WSB_LOG_INFO,
                "response cut off", WSB_KID("conn", s->id), WSB_KS("why", why),
                WSB_KS("target", s->target ? s->target : ""), WSB_KS("route", s->route->name), WSB_KS("peer", s->peer),
                WSB_KU("bytes", x->response_bytes), WSB_KS("request_id", x->request_id));
}

void wsg_exchange_cut(struct wsg_session *s, enum wsg_cut reason, const char *why)
{
    note_cut(s, reason, why);
    wsg_exchange_abort(s, why);
}

/* Clients of event streams come back by themselves, to another gate. Anything else may yet be complete before the drain is
 * over, and so may a line. */
void wsg_exchange_drain(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    if (!x->is_events || !x->is_sent || x->response_complete || x->in_line)
        return;
    note_cut(s, WSG_CUT_DRAINING, "the gate is shutting down");
    if (wsg_exchange_end_body(s) != WSB_OK) {
        wsg_exchange_abort(s, "out of memory");
        return;
    }
    wsg_exchange_emit_aborted(s, "the gate is shutting down");
    x->is_sent = false;
    x->keep_alive = false;
    wsg_exchange_finish_if_complete(s);
}

/* The bus has nobody who will answer; it has forgotten the exchange already. */
void wsg_exchange_fail(struct wsg_session *s, int status, const char *why)
{
    struct wsg_exchange *x = s->exchange;
    x->is_sent = false;
    if (x->response_begun) {
        note_cut(s, WSG_CUT_HANDLER, why);
        wsg_session_kill(s, why);
        return;
    }
    wsg_exchange_error(s, status, why, NULL, 0);
    if (s->state == WSG_SESSION_HTTP)
        wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, false);
}

/* The response is complete, perhaps of a file and without a route, and the rest of the request does not come. */
static void end_leftover(struct wsg_session *s)
{
    if (wsg_session_has_taken(s))
        wsg_session_set_timer(s, wsg_session_entrance(s)->head_timeout_ms);
    else
        wsg_exchange_abort(s, "the rest of the request did not come in time");
}

static void end_late_body(struct wsg_session *s)
{
    static const char why[] = "the request's body did not come in time";
    struct wsg_exchange *x = s->exchange;
    if (x->response_begun) {
        wsg_exchange_cut(s, WSG_CUT_BODY_TIMEOUT, why);
        return;
    }
    if (x->is_sent)
        wsg_exchange_emit_aborted(s, "request timed out");
    x->is_sent = false;
    wsg_exchange_refuse(s, WSG_REFUSED_BODY_TIMEOUT, 408, why, NULL, 0);
}

/* Neither an answer, nor a word about the body. */
static void end_unanswered(struct wsg_session *s)
{
    bool was_held = !s->exchange->request_complete && (s->paused & WSG_PAUSE_HANDLER); /* by us, not by the client */
    wsg_exchange_emit_aborted(s, "request timed out");
    s->exchange->is_sent = false;
    wsg_exchange_refuse(s, WSG_REFUSED_REQUEST_TIMEOUT, was_held ? 503 : 504, "timed out", NULL, 0);
    if (s->state == WSG_SESSION_HTTP)
        wsg_session_set_paused(s, WSG_PAUSE_EXCHANGE, false);
}

void wsg_exchange_timeout(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    if (x->response_complete)
        end_leftover(s);
    else if (wsg_exchange_is_answered(x))
        wsg_session_set_timer(s, wsg_session_entrance(s)->head_timeout_ms); /* it is ours to pack the rest */
    else if (wsg_body_is_late(s))
        end_late_body(s);
    else if (x->response_begun)
        wsg_stream_timeout(s);
    else if (x->clock.runs)
        wsg_body_arm(s); /* it came early */
    else
        end_unanswered(s);
}
