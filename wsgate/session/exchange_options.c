/*
 * What the gate answers because of a request's method: OPTIONS, the preflights of CORS among them, and methods that are not
 * served. Nobody else hears of these requests. They come before tokens: a preflight never has one.
 */
#include <inttypes.h>
#include <stdio.h>

#include "http/cors.h"
#include "http/methods.h"
#include "session/parts.h"

static void answer_nothing(struct wsg_session *s, const struct wsg_http_header *headers, size_t count)
{
    struct wsg_exchange *x = s->exchange;
    struct wsg_answer a = {204, WSG_HTTP_BODY_LENGTH, 0, headers, count};
    x->keep_alive = x->keep_alive && x->request_complete; /* a body is not waited for */
    if (wsg_exchange_begin_response(s, &a) != WSB_OK || wsg_exchange_end_body(s) != WSB_OK)
        wsg_session_kill(s, "out of memory");
    else
        wsg_exchange_finish_if_complete(s);
}

void wsg_exchange_tell_methods(struct wsg_session *s, const struct wsg_texts *methods, bool is_served)
{
    struct wsg_http_header allow = {.name = wsb_span_str("Allow")};
    wsb_buf_clear(&s->env->text2);
    if (wsg_methods_write(&s->env->text2, methods) != WSB_OK) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    allow.value = wsb_buf_span(&s->env->text2);
    if (is_served)
        answer_nothing(s, &allow, 1);
    else
        wsg_exchange_refuse(s, WSG_REFUSED_METHOD, 405, "the method is not served", &allow, 1);
}

/* Three values in one buffer, which moves while it grows. */
static wsb_err preflight_values(struct wsb_buf *text, const struct wsg_cors *c, const struct wsg_texts *served,
                                const struct wsg_http_head *head, size_t ends[2])
{
    wsb_buf_clear(text);
    wsb_err err = wsg_cors_methods_write(text, c, served);
    ends[0] = text->len;
    if (!err)
        err = wsg_cors_headers_write(text, c, head);
    ends[1] = text->len;
    return err ? err : wsb_buf_printf(text, "%" PRIu32, c->max_age_ms / 1000);
}

static void answer_preflight(struct wsg_session *s, const struct wsg_http_head *head, const struct wsg_texts *served)
{
    struct wsb_buf *text = &s->env->text2;
    struct wsg_http_header headers[3];
    size_t ends[2];
    size_t count = 0;
    if (preflight_values(text, s->exchange->cors, served, head, ends) != WSB_OK) {
        wsg_session_kill(s, "out of memory");
        return;
    }
    if (ends[0])
        headers[count++] =
            (struct wsg_http_header){wsb_span_str("Access-Control-Allow-Methods"), wsb_span(text->data, ends[0])};
    if (ends[1] > ends[0])
        headers[count++] = (struct wsg_http_header){wsb_span_str("Access-Control-Allow-Headers"),
                                                    wsb_span(text->data + ends[0], ends[1] - ends[0])};
    headers[count++] = (struct wsg_http_header){wsb_span_str("Access-Control-Max-Age"),
                                                wsb_span(text->data + ends[1], text->len - ends[1])};
    answer_nothing(s, headers, count);
}

bool wsg_exchange_answer_method(struct wsg_session *s, const struct wsg_http_head *head, const struct wsg_texts *served)
{
    const struct wsg_cors *cors = s->exchange->cors;
    const char *method = wsg_http_method_name(head->method);
    if (cors && wsg_cors_is_preflight(head)) {
        const char *why = wsg_cors_refusal(cors, served, head);
        if (why)
            wsg_exchange_refuse(s, WSG_REFUSED_PREFLIGHT, 403, why, NULL, 0);
        else
            answer_preflight(s, head, served);
        return true;
    }
    if (wsg_methods_have(served, method))
        return false;
    wsg_exchange_tell_methods(s, served, /*is_served=*/head->method == WSG_HTTP_OPTIONS);
    return true;
}
