/*
 * What the access log says of a client: of each request when it is over, of each WebSocket when it has ended. What the line
 * needs of the request's head is noted when that has come, and only where there is a log; a WebSocket keeps its note with
 * its terms.
 */
#include <stdlib.h>

#include "session/parts.h"

/* Texts are behind it, in the same block. */
struct wsg_access_note {
    uint64_t begun_ns; /* since the Unix epoch */
    uint64_t begun_us; /* the loop's time */
    uint16_t id_len, referer_len, agent_len;
    char texts[]; /* the id with a NUL, then the other two without */
};

static struct wsb_span field_of(const struct wsg_http_head *head, const char *name, size_t max)
{
    struct wsb_span value = {NULL, 0};
    (void)wsg_http_header_find(head->headers, head->header_count, name, &value);
    return wsb_span(value.ptr, value.len < max ? value.len : max);
}

/* A page's address without its query: that may hold a token of the page's own request. */
static struct wsb_span referer_of(const struct wsg_http_head *head)
{
    struct wsb_span referer = field_of(head, "referer", WSG_ACCESS_REFERER_MAX);
    const uint8_t *mark = referer.len ? memchr(referer.ptr, '?', referer.len) : NULL;
    return mark ? wsb_span(referer.ptr, (size_t)(mark - referer.ptr)) : referer;
}

static void copy(char **to, struct wsb_span text)
{
    if (text.len)
        memcpy(*to, text.ptr, text.len);
    *to += text.len;
}

/* Without memory the line is lost, and nothing else. */
void wsg_access_begin(struct wsg_session *s, const struct wsg_http_head *head)
{
    if (!s->env->access)
        return;
    struct wsg_exchange *x = s->exchange;
    struct wsb_span id = wsb_span_str(x->request_id);
    struct wsb_span referer = referer_of(head);
    struct wsb_span agent = field_of(head, "user-agent", WSG_ACCESS_AGENT_MAX);
    struct wsg_access_note *n = malloc(sizeof *n + id.len + 1 + referer.len + agent.len);
    if (!n)
        return;
    *n = (struct wsg_access_note){wsg_loop_wall_ns(s->env->loop), x->begun_us, (uint16_t)id.len, (uint16_t)referer.len,
                                  (uint16_t)agent.len};
    char *at = n->texts;
    copy(&at, id);
    *at++ = 0;
    copy(&at, referer);
    copy(&at, agent);
    x->note = n;
}

static struct wsg_access_record record_of(const struct wsg_session *s, const struct wsg_access_note *n)
{
    const char *texts = n->texts + n->id_len + 1;
    return (struct wsg_access_record){
        .time_ns = n->begun_ns,
        .duration_us = wsg_loop_now_us(s->env->loop) - n->begun_us,
        .peer = s->peer,
        .target = wsb_span_str(s->target),
        .referer = wsb_span(texts, n->referer_len),
        .agent = wsb_span(texts + n->referer_len, n->agent_len),
        .request_id = n->texts,
        .route = s->route ? s->route->name : "",
        .conn = s->id,
    };
}

/* Behind the head of the response: what was queued, or, when the connection ends with it, what has left. */
static uint64_t bytes_of(const struct wsg_session *s, const struct wsg_exchange *x)
{
    uint64_t end = x->response_complete ? s->out.queued : s->out.written;
    return x->response_begun && end > x->head_end ? end - x->head_end : 0;
}

void wsg_access_end(struct wsg_session *s)
{
    struct wsg_exchange *x = s->exchange;
    if (!x->note)
        return;
    struct wsg_access_record r = record_of(s, x->note);
    r.method = wsb_span_str(wsg_http_method_name(x->method));
    r.minor = x->minor;
    r.status = x->response_begun ? x->status : 0;
    r.bytes = bytes_of(s, x);
    r.is_complete = x->response_complete;
    wsg_access_write(s->env->access, &r);
    free(x->note);
    x->note = NULL;
}

void wsg_access_refused(struct wsg_session *s, int status, const char *request_id, size_t bytes)
{
    if (!s->env->access)
        return;
    wsg_access_write(s->env->access, &(struct wsg_access_record){
                                         .time_ns = wsg_loop_wall_ns(s->env->loop),
                                         .peer = s->peer,
                                         .status = (uint16_t)status,
                                         .bytes = bytes,
                                         .request_id = request_id,
                                         .route = "",
                                         .conn = s->id,
                                         .is_complete = true,
                                     });
}

void wsg_access_end_websocket(struct wsg_session *s, enum wsg_by by, uint16_t code, bool clean)
{
    if (!s->in_is_ws || !s->terms || !s->terms->note)
        return;
    const struct wsg_access_ending ending = {wsg_by_name(by), code,        clean, s->messages_in, s->bytes_in,
                                             s->messages_out, s->bytes_out};
    struct wsg_access_record r = record_of(s, s->terms->note);
    r.method = wsb_span_str(wsg_http_method_name(WSG_HTTP_GET)); /* RFC 6455 §4.1: no other */
    r.minor = 1;
    r.status = 101;
    r.bytes = s->bytes_out;
    r.is_complete = true;
    r.ending = &ending;
    wsg_access_write(s->env->access, &r);
    free(s->terms->note);
    s->terms->note = NULL;
}
