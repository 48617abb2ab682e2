/*
 * Bodies of responses as gzip, on routes that say so and for clients that take it. A body that comes whole is packed by a
 * compressor of the worker, one that comes in parts by one of its own, which is paid for from the memory for compressors.
 * Without memory it goes as it is. Relies on http/coding.h for who may have what.
 */
#include <stdlib.h>

#include "http/gzip.h"
#include "session/parts.h"

enum {
    WHOLE_BITS = 15,
    PARTS_BITS = 13,         /* many may be open for hours: 72 KiB each instead of 264 */
    WHOLE_MAX = 4 << 20,     /* a larger body would keep the worker's other clients waiting */
    BUFFER_KEPT = 256 << 10, /* of what is packed */
};

/* A response that is packed part by part. */
struct wsg_packing {
    struct wsg_gzip *gzip; /* owned */
    size_t charged;        /* to the account */
};

static void count_bytes(struct wsg_session *s, size_t before, size_t after)
{
    wsg_count(&s->route->tally.gzip_from_bytes, before);
    wsg_count(&s->route->tally.gzip_bytes, after);
}

void wsg_packing_free(struct wsg_session *s)
{
    struct wsg_packing *p = s->exchange->packing;
    if (!p)
        return;
    wsg_gzip_free(p->gzip);
    wsb_deflate_account_release(s->env->deflate_account, p->charged);
    free(p);
    s->exchange->packing = NULL;
}

/* For the parts that are to come. */
static bool begin_parts(struct wsg_session *s)
{
    size_t cost = wsg_gzip_cost(PARTS_BITS);
    struct wsg_packing *p = NULL;
    if (!s->env->deflate_account || !wsb_deflate_account_charge(s->env->deflate_account, cost))
        return false;
    p = calloc(1, sizeof *p);
    if (!p || wsg_gzip_new(&p->gzip, PARTS_BITS, s->route->policy.gzip_level) != WSB_OK) {
        free(p);
        wsb_deflate_account_release(s->env->deflate_account, cost);
        return false;
    }
    p->charged = cost;
    s->exchange->packing = p;
    return true;
}

static void trim(struct wsb_buf *b)
{
    wsb_buf_clear(b);
    if (b->cap > BUFFER_KEPT)
        wsb_buf_deinit(b);
}

/* Into env->packed. False: it would not become smaller, or there is no memory. */
static bool pack_whole(struct wsg_session *s, struct wsb_span body)
{
    struct wsg_env *env = s->env;
    unsigned level = s->route->policy.gzip_level;
    trim(&env->packed);
    if (body.len > WHOLE_MAX || (!env->gzip && wsg_gzip_new(&env->gzip, WHOLE_BITS, level) != WSB_OK))
        return false;
    wsg_gzip_reset(env->gzip, level);
    return wsg_gzip_append(env->gzip, body, WSG_GZIP_END, &env->packed) == WSB_OK && env->packed.len < body.len;
}

/* What is done with a response that may be packed. */
static enum wsg_coding_change change_of(struct wsg_session *s, const struct wsg_answer *a, struct wsb_span body)
{
    bool is_head = s->exchange->method == WSG_HTTP_HEAD;
    if (!s->exchange->takes_gzip)
        return WSG_CODING_VARIES;
    if (a->body == WSG_HTTP_BODY_UNKNOWN && is_head) /* how long it would be nobody says */
        return body.len ? WSG_CODING_GZIP : WSG_CODING_WEAK;
    if (a->body == WSG_HTTP_BODY_UNKNOWN)
        return begin_parts(s) ? WSG_CODING_GZIP : WSG_CODING_VARIES;
    return body.len >= s->route->policy.gzip_min && pack_whole(s, body) ? WSG_CODING_GZIP : WSG_CODING_VARIES;
}

struct wsb_span wsg_packing_begin(struct wsg_session *s, struct wsg_answer *a, struct wsg_http_header *headers,
                                  struct wsb_span body)
{
    enum wsg_coding_change change;
    if (!s->route->policy.gzip || (a->status == 304 && !wsg_coding_is_allowed(headers, a->header_count)))
        return body;
    if (a->status == 304 && s->exchange->takes_gzip)
        change = WSG_CODING_WEAK; /* RFC 9110 §15.4.5: the fields of the 200 that it stands for, which went as gzip */
    else if (a->status == 304)
        change = WSG_CODING_VARIES;
    else if (wsg_coding_suits(a->status, headers, a->header_count))
        change = change_of(s, a, body);
    else
        return body;
    if (wsg_coding_apply(headers, &a->header_count, change, &s->env->text2) != WSB_OK) {
        wsg_packing_free(s);
        return body;
    }
    if (change != WSG_CODING_GZIP)
        return body;
    wsg_count(&s->route->tally.gzipped, 1);
    if (a->body == WSG_HTTP_BODY_UNKNOWN)
        return body;
    count_bytes(s, body.len, s->env->packed.len);
    a->length = s->env->packed.len;
    return wsb_buf_span(&s->env->packed);
}

wsb_err wsg_packing_next(struct wsg_session *s, struct wsb_span part, bool is_last, struct wsb_span *ret)
{
    trim(&s->env->packed);
    wsb_err err =
        wsg_gzip_append(s->exchange->packing->gzip, part, is_last ? WSG_GZIP_END : WSG_GZIP_FLUSH, &s->env->packed);
    if (err)
        return err;
    count_bytes(s, part.len, s->env->packed.len);
    *ret = wsb_buf_span(&s->env->packed);
    return WSB_OK;
}

void wsg_packing_note_client(struct wsg_session *s, const struct wsg_http_head *head)
{
    struct wsg_codings codings;
    if (!s->route->policy.gzip)
        return;
    wsg_codings_parse(head->headers, head->header_count, &codings);
    s->exchange->takes_gzip = wsg_codings_want_gzip(&codings);
}
