/*
 * A response that has begun and goes on: how long it may be silent. One that its client is taking is never cut off. One whose
 * handler says nothing is, but for streams of events (text/event-stream): they are silent for hours and kept alive by comments,
 * which proxies on the way count as life, and by which a client that is gone is found out.
 */
#include "session/parts.h"

static bool is_event_stream(struct wsb_span type)
{
    static const char name[] = "text/event-stream";
    size_t len = sizeof name - 1;
    return type.len >= len && wsb_span_ieq_str(wsb_span(type.ptr, len), name) &&
           (type.len == len || type.ptr[len] == ';' || type.ptr[len] == ' ' || type.ptr[len] == '\t');
}

/* Comments can be added to what is told in plain, and whose length is not. What we pack ourselves is told to us in plain. */
void wsg_stream_begin(struct wsg_session *s, const struct wsg_answer *a)
{
    bool is_events = false;
    bool is_encoded = false;
    for (size_t i = 0; i < a->header_count; i++) {
        const struct wsg_http_header *h = &a->headers[i];
        is_events = is_events || (wsb_span_ieq_str(h->name, "content-type") && is_event_stream(h->value));
        is_encoded = is_encoded || wsb_span_ieq_str(h->name, "content-encoding");
    }
    s->exchange->is_events =
        is_events && (!is_encoded || s->exchange->packing) && s->exchange->has_body && a->body == WSG_HTTP_BODY_UNKNOWN;
}

void wsg_stream_arm(struct wsg_session *s)
{
    if (s->state == WSG_SESSION_DEAD)
        return;
    const struct wsg_route_policy *p = &s->route->policy;
    uint32_t silence_ms = s->exchange->is_events ? p->sse_keepalive_ms : p->stream_timeout_ms;
    uint64_t after_ms = wsg_body_cap_ms(s, silence_ms ? silence_ms : UINT64_MAX);
    if (after_ms != UINT64_MAX)
        wsg_session_set_timer(s, (uint32_t)after_ms);
    else
        wsg_loop_disarm(s->env->loop, &s->timer);
}

/* WHATWG HTML §9.2.6: a line that begins with a colon is ignored. Without an empty line behind it, it does not end the event
 * that it may stand in; in the middle of a line it would be part of that. */
static wsb_err add_comment(struct wsg_session *s)
{
    return s->exchange->in_line ? WSB_OK : wsg_exchange_append_body(s, wsb_span_str(":\n"));
}

void wsg_stream_timeout(struct wsg_session *s)
{
    bool is_taking = wsg_session_has_taken(s) || wsg_packing_is_busy(s->exchange); /* which is our doing */
    if (!is_taking && s->out.bytes)
        wsg_exchange_cut(s, WSG_CUT_SLOW, "the client does not take what is sent");
    else if (!is_taking && !s->exchange->is_events)
        wsg_exchange_cut(s, WSG_CUT_SILENT, "response timed out");
    else if (!is_taking && add_comment(s) != WSB_OK)
        wsg_exchange_cut(s, WSG_CUT_MEMORY, "out of memory");
    else
        wsg_stream_arm(s);
}
