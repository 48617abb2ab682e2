/*
 * Fields that the gate adds to whatever is answered to a request, by a handler, from a file or by itself: its id, and what
 * CORS says. What is added here handlers do not decide about.
 */
#include <stdlib.h>

#include "http/cors.h"
#include "session/parts.h"

static const char id_field[] = "X-Request-Id";

static void add(struct wsg_added *added, const char *name, const char *value)
{
    added->at[added->count++] = (struct wsg_http_header){wsb_span_str(name), wsb_span_str(value)};
}

void wsg_added_id(struct wsg_added *added, const char *request_id)
{
    if (request_id[0])
        add(added, id_field, request_id);
}

/* Vary also where nothing is allowed: a cache must not give that answer to the page of another origin. */
void wsg_exchange_added(const struct wsg_exchange *x, struct wsg_added *ret)
{
    ret->count = 0;
    wsg_added_id(ret, x->request_id);
    if (!x->cors)
        return;
    add(ret, "Vary", "Origin");
    if (!x->origin)
        return;
    add(ret, "Access-Control-Allow-Origin", x->origin);
    if (x->cors->credentials)
        add(ret, "Access-Control-Allow-Credentials", "true");
    if (x->exposed[0])
        add(ret, "Access-Control-Expose-Headers", x->exposed);
}

bool wsg_exchange_is_ours(const struct wsg_exchange *x, struct wsb_span field)
{
    return wsg_http_response_is_reserved(field) || (x->request_id[0] && wsb_span_ieq_str(field, id_field)) ||
           (x->cors && wsg_cors_is_field(field));
}

/* The origin and the names that it may read, as one block. */
bool wsg_exchange_note_origin(struct wsg_session *s, const struct wsg_http_head *head, const struct wsg_cors *cors)
{
    struct wsg_exchange *x = s->exchange;
    struct wsb_buf text;
    if (!cors || cors->origins.count == 0)
        return true;
    x->cors = cors;
    struct wsb_span origin = wsg_cors_origin(cors, head);
    if (!origin.ptr)
        return true;
    wsb_buf_init(&text, 0);
    if (wsb_buf_append(&text, origin.ptr, origin.len) != WSB_OK || wsb_buf_append(&text, "", 1) != WSB_OK ||
        wsg_cors_exposed_write(&text, cors) != WSB_OK || wsb_buf_append(&text, "", 1) != WSB_OK) {
        wsb_buf_deinit(&text);
        return false;
    }
    x->origin = (char *)text.data;
    x->exposed = x->origin + origin.len + 1;
    return true;
}
