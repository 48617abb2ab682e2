/*
 * Whether a response goes as gzip: on routes that say so and for clients that take it. A short body that comes whole is packed
 * at once, by a compressor of the worker, and says how long it is. A longer one and one that comes in parts is packed piece by
 * piece, see packing.h. Without memory it goes as it is. Relies on http/coding.h for who may have what.
 */
#include "http/gzip.h"
#include "session/parts.h"

enum {
    WHOLE_BITS = 15,
    SAMPLE = 4 << 10 /* of a long body, by which it is told whether packing it is worth anything */
};

static bool can_pack_whole(const struct wsg_session *s, struct wsb_span body)
{
    return body.len <= wsg_packing_whole_max(s->route->policy.gzip_level) && wsg_packing_has_allowance(s->env);
}

/* Into env->packed. False: it would not become smaller, or there is no memory. */
static bool pack_whole(struct wsg_session *s, struct wsb_span body)
{
    struct wsg_env *env = s->env;
    unsigned level = s->route->policy.gzip_level;
    struct wsb_buf *out = wsg_packing_buffer(env);
    if (!env->gzip && wsg_gzip_new(&env->gzip, WHOLE_BITS, level) != WSB_OK)
        return false;
    wsg_packing_charge(env, body.len, level);
    wsg_gzip_reset(env->gzip, level);
    return wsg_gzip_append(env->gzip, body, WSG_GZIP_END, out) == WSB_OK && out->len < body.len;
}

/* True also where nothing more may be packed in this round: what is not worth it costs little. */
static bool gains(struct wsg_session *s, struct wsb_span body)
{
    return !wsg_packing_has_allowance(s->env) ||
           pack_whole(s, wsb_span(body.ptr, body.len < SAMPLE ? body.len : SAMPLE));
}

/* RFC 9112 §6.1: without chunks, only the end of the connection would say where a body of unknown length ends. */
static bool can_pack_long(struct wsg_session *s, struct wsb_span body)
{
    return s->exchange->minor > 0 && gains(s, body);
}

/* Piece by piece; nobody knows how long it will be. The answer to HEAD says what the answer to GET would. */
static enum wsg_coding_change pack_pieces(struct wsg_session *s, struct wsg_answer *a)
{
    if (s->exchange->method != WSG_HTTP_HEAD && !wsg_packing_open(s))
        return WSG_CODING_VARIES;
    a->body = WSG_HTTP_BODY_UNKNOWN;
    return WSG_CODING_GZIP;
}

/* What is done with a response that may be packed. */
static enum wsg_coding_change change_of(struct wsg_session *s, struct wsg_answer *a, struct wsb_span body)
{
    bool is_head = s->exchange->method == WSG_HTTP_HEAD;
    if (!s->exchange->takes_gzip)
        return WSG_CODING_VARIES;
    if (a->body == WSG_HTTP_BODY_UNKNOWN && is_head && body.len == 0) /* how long it would be nobody says */
        return WSG_CODING_WEAK;
    if (a->body == WSG_HTTP_BODY_UNKNOWN)
        return pack_pieces(s, a);
    if (body.len < s->route->policy.gzip_min)
        return WSG_CODING_VARIES;
    if (can_pack_whole(s, body))
        return pack_whole(s, body) ? WSG_CODING_GZIP : WSG_CODING_VARIES;
    return can_pack_long(s, body) ? pack_pieces(s, a) : WSG_CODING_VARIES;
}

struct wsb_span wsg_exchange_begin_coding(struct wsg_session *s, struct wsg_answer *a, struct wsg_http_header *headers,
                                          struct wsb_span body)
{
    enum wsg_coding_change change;
    enum wsg_http_body kind = a->body;
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
        a->body = kind;
        return body;
    }
    if (change != WSG_CODING_GZIP)
        return body;
    wsg_count(&s->route->tally.gzipped, 1);
    if (a->body == WSG_HTTP_BODY_UNKNOWN)
        return body;
    a->length = s->env->packed.len;
    wsg_count(&s->route->tally.gzip_from_bytes, body.len);
    wsg_count(&s->route->tally.gzip_bytes, a->length);
    return wsb_buf_span(&s->env->packed);
}

void wsg_exchange_note_codings(struct wsg_session *s, const struct wsg_http_head *head)
{
    struct wsg_codings codings;
    if (!s->route->policy.gzip)
        return;
    wsg_codings_parse(head->headers, head->header_count, &codings);
    s->exchange->takes_gzip = wsg_codings_want_gzip(&codings);
}
