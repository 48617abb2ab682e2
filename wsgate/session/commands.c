/* What a session is told to do, by handlers, by the gate, and by whoever holds the control socket. */
#include <assert.h>
#include <stdio.h>

#include "session/parts.h"

/* Between requests: what was promised still leaves. */
static void end_idle(struct wsg_session *s, const char *why)
{
    if (s->out.bytes)
        wsg_session_linger(s);
    else
        wsg_session_kill(s, why);
}

static void drain(struct wsg_session *s)
{
    switch ((enum wsg_session_state)s->state) {
    case WSG_SESSION_PROXY:
    case WSG_SESSION_SECURING:
    case WSG_SESSION_HTTP:
        if (s->unread)
            s->unread->is_quiet_due = true; /* its next request may lie there: it is the last one */
        else if (!s->request_begun)
            end_idle(s, "the gate is shutting down");
        break;
    case WSG_SESSION_EXCHANGE:
        s->exchange->keep_alive = s->exchange->keep_alive && s->exchange->response_begun;
        wsg_exchange_drain(s);
        break;
    case WSG_SESSION_OPEN:
        wsg_websocket_end(s, WSG_ENDED_DRAINING, 1001, "the gate is shutting down");
        break;
    default:
        break;
    }
}

/* What has no messages under way is drained at once. What was read, and waits for its turn, is under way. */
void wsg_session_quiet(struct wsg_session *s)
{
    if (s->state != WSG_SESSION_OPEN) {
        drain(s);
    } else if (s->unread) {
        s->unread->is_quiet_due = true;
    } else {
        wsg_session_set_paused(s, WSG_PAUSE_QUIET, true);
        wsg_emit_quiet(s);
    }
}

static void close_by_command(struct wsg_session *s, const struct wsg_command *c)
{
    switch ((enum wsg_session_state)s->state) {
    case WSG_SESSION_OPEN:
        wsg_websocket_close(s, (enum wsg_by)c->by, c->status, c->reason);
        wsg_session_add_receipt(s, c);
        break;
    case WSG_SESSION_PROXY:
    case WSG_SESSION_SECURING:
    case WSG_SESSION_HTTP:
        wsg_outcome(s, c, WSB_OUTCOME_WRITTEN, NULL);
        end_idle(s, "closed by command");
        break;
    case WSG_SESSION_EXCHANGE:
        wsg_outcome(s, c, WSB_OUTCOME_WRITTEN, NULL);
        wsg_exchange_abort(s, "closed by command");
        break;
    case WSG_SESSION_PENDING:
        wsg_outcome(s, c, WSB_OUTCOME_WRITTEN, NULL);
        wsg_emit_closed(s, (enum wsg_by)c->by, 1006, wsb_span_str("closed before it was accepted"), /*clean=*/false);
        s->exchange->is_sent = false;
        s->exchange->keep_alive = false;
        wsg_exchange_error(s, 503, "closed by command", NULL, 0);
        break;
    case WSG_SESSION_CLOSING:
    case WSG_SESSION_LINGER:
    case WSG_SESSION_DEAD:
        wsg_outcome(s, c, WSB_OUTCOME_GONE, "closing already");
        break;
    }
}

static void fail_by_command(struct wsg_session *s, const struct wsg_command *c)
{
    char why[128];
    struct wsg_command reject = {
        .type = WSB_REJECT, .code = c->code, .status = c->status, .by = WSG_BY_GATE, .reason = c->reason};
    (void)snprintf(why, sizeof why, "%.*s", (int)c->reason.len, (const char *)c->reason.ptr);
    if (s->state == WSG_SESSION_PENDING) {
        wsg_websocket_reject(s, &reject);
    } else if (s->state == WSG_SESSION_OPEN) {
        wsg_count(&s->route->tally.ended[WSG_ENDED_HANDLER], 1);
        /* 1013: another time it may be served; 1011: not this connection */
        wsg_websocket_close(s, WSG_BY_GATE, c->status == 503 ? 1013 : 1011, c->reason);
    } else if (s->state == WSG_SESSION_EXCHANGE) {
        wsg_exchange_fail(s, c->status, why);
    }
}

static void set_tap(struct wsg_session *s, bool on)
{
    if (s->is_tapped == on)
        return;
    s->is_tapped = on;
    s->env->taps += on ? 1 : -1u;
}

/* The route that a command came for, if it may reach one only. The hub has looked already; but it knows a connection by what has
 * been told to it, and this is the one place where the connection itself is. */
static bool is_of_its_route(const struct wsg_session *s, const struct wsg_command *c)
{
    return !c->only_route || (s->route && s->route->index + 1U == c->only_route);
}

/* It speaks of an exchange whose handler has said all, as if that were complete: what is left of it is packed and sent, and the
 * next one has another id. The gate's own commands are for the connection. */
static bool is_too_late(const struct wsg_session *s, const struct wsg_command *c)
{
    bool is_for_connection = c->type == WSG_CMD_TAP || c->type == WSG_CMD_DRAIN || c->type == WSG_CMD_QUIET;
    return !is_for_connection && s->state == WSG_SESSION_EXCHANGE && wsg_packing_has_end(s->exchange);
}

void wsg_session_command(struct wsg_session *s, const struct wsg_command *c)
{
    if (!is_of_its_route(s, c)) {
        wsg_outcome(s, c, WSB_OUTCOME_REFUSED, "not of a route that your key is for");
        return;
    }
    if (is_too_late(s, c)) {
        wsg_outcome(s, c, WSB_OUTCOME_GONE, "closed");
        return;
    }
    switch (c->type) {
    case WSB_SEND:
    case WSB_PUBLISH:
        wsg_websocket_send(s, c);
        break;
    case WSB_CLOSE:
        close_by_command(s, c);
        break;
    case WSB_PING:
        wsg_websocket_ping(s, c);
        break;
    case WSB_ACCEPT:
        wsg_websocket_accept(s, c);
        break;
    case WSB_REJECT:
        wsg_websocket_reject(s, c);
        break;
    case WSB_RESPOND:
        wsg_exchange_respond(s, c);
        break;
    case WSB_BODY:
        wsg_exchange_body(s, c);
        break;
    case WSG_CMD_PAUSE:
        if (s->state == WSG_SESSION_OPEN || s->state == WSG_SESSION_EXCHANGE)
            wsg_session_set_paused(s, WSG_PAUSE_HANDLER, true);
        break;
    case WSG_CMD_RESUME:
        wsg_session_set_paused(s, WSG_PAUSE_HANDLER, false);
        break;
    case WSG_CMD_TAP:
        set_tap(s, c->code != 0);
        break;
    case WSG_CMD_DRAIN:
        drain(s);
        break;
    case WSG_CMD_QUIET:
        wsg_session_quiet(s);
        break;
    case WSG_CMD_FAIL:
        fail_by_command(s, c);
        break;
    default:
        assert(false && "a command that no session carries out");
    }
}
