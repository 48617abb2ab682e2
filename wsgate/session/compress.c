/*
 * Compression of the clients' messages. Relies on ws/ for the format and the negotiation; adds when it pays, and what it may
 * cost.
 *
 * A client whose compressor keeps its context must get all that was packed in order, so only messages that nothing drops are
 * packed like that. Those that may be dropped, and those for many, are packed alone: they refer to nothing and nothing
 * refers to them.
 */
#include "session/compress.h"

#include "base/log.h"
#include "session/parts.h"

enum {
    UNPACK_STEP = 256 << 10, /* bytes that are made of a client's message before others have their turn */
    UNPACKED_A_UNIT = 64     /* of work */
};

/* ---------------------------------------------------------------- agreement */

static struct wsb_deflate_policy policy_of(const struct wsg_route_policy *p, bool takeover)
{
    /* Where the route drops what waits, nearly everything would be packed alone: a context would be paid for and not used. */
    bool keeps_order = p->slow == WSG_SLOW_CLOSE || p->slow == WSG_SLOW_DROP_NEW;
    return (struct wsb_deflate_policy){
        .server_takeover = takeover && keeps_order,
        .client_takeover = takeover,
        .bits = (uint8_t)p->compress_window,
    };
}

static wsb_err agree(struct wsg_session *s, const struct wsb_handshake_request *req, bool takeover)
{
    const struct wsg_route_policy *p = &s->route->policy;
    struct wsb_deflate_policy policy = policy_of(p, takeover);
    struct wsb_deflate_params params;
    if (!wsb_handshake_choose_deflate(req, &policy, &params))
        return WSB_OK;
    wsb_err err = wsb_deflate_new(&s->deflate, s->env->deflate, WSB_ROLE_SERVER, &params, (int)p->compress_level);
    s->is_compressed = err == WSB_OK;
    return err;
}

wsb_err wsg_compress_begin_client(struct wsg_session *s, const struct wsb_deflate_params *params)
{
    if (!s->env->deflate)
        return WSB_ERR_NOMEM; /* nobody offers it then */
    wsb_err err =
        wsb_deflate_new(&s->deflate, s->env->deflate, WSB_ROLE_CLIENT, params, (int)s->route->policy.compress_level);
    s->is_compressed = err == WSB_OK;
    return err;
}

bool wsg_compress_agree(struct wsg_session *s, const struct wsb_handshake_request *req)
{
    const struct wsg_route_policy *p = &s->route->policy;
    wsg_compress_end(s);
    if (!p->compress || !s->env->deflate)
        return true;
    wsb_err err = agree(s, req, p->compress_takeover);
    if (err == WSB_ERR_FULL) { /* no memory left for contexts: without them it costs none */
        WSB_LOG(WSB_LOG_WS, WSB_LOG_DEBUG, "compressed without context: compress_memory is used up",
                WSB_KID("conn", s->id), WSB_KS("route", s->route->name));
        err = agree(s, req, /*takeover=*/false);
    }
    return err == WSB_OK;
}

const char *wsg_compress_text(const struct wsg_session *s, char text[WSB_DEFLATE_TEXT_SIZE])
{
    text[0] = 0;
    if (s->is_compressed)
        wsb_deflate_params_format(wsb_deflate_params_of(s->deflate), text);
    return text;
}

void wsg_compress_end(struct wsg_session *s)
{
    if (!s->is_compressed)
        return;
    wsb_deflate_free(s->deflate);
    s->deflate = NULL;
    s->is_compressed = false;
}

/* ----------------------------------------------------------------- incoming */

static void charge(struct wsg_session *s, size_t left)
{
    wsg_turns_charge(&s->env->turns, (UNPACK_STEP - left) / UNPACKED_A_UNIT);
}

static void count_unpacked(struct wsg_session *s, size_t len)
{
    wsg_count(&s->route->tally.unpacked, 1);
    wsg_count(&s->route->tally.unpacked_bytes, len);
    s->env->is_deflate_used = true;
}

wsb_err wsg_compress_unpack(struct wsg_session *s, struct wsb_ws_event *ev)
{
    size_t budget = UNPACK_STEP;
    size_t packed_len = ev->len;
    wsb_err err = wsb_deflate_unpack_some(s->deflate, ev, s->route->policy.max_message, &budget);
    charge(s, budget); /* whatever has become of it */
    if (!err || err == WSB_AGAIN)
        wsg_count(&s->route->tally.unpacked_from_bytes, packed_len);
    if (!err)
        count_unpacked(s, ev->len);
    return err;
}

wsb_err wsg_compress_unpack_more(struct wsg_session *s, struct wsb_ws_event *ret_ev)
{
    size_t budget = UNPACK_STEP;
    wsb_err err = wsb_deflate_unpack_more(s->deflate, ret_ev, &budget);
    charge(s, budget);
    if (!err)
        count_unpacked(s, ret_ev->len);
    return err;
}

size_t wsg_compress_held(const struct wsg_session *s)
{
    return s->is_compressed ? wsb_deflate_unpacking_held(s->deflate) : 0;
}

/* ----------------------------------------------------------------- outgoing */

static struct wsg_shared *frame_of(uint8_t opcode, struct wsb_span packed)
{
    struct wsb_frame_hdr hdr = {.opcode = opcode, .fin = true, .rsv = WSB_RSV1, .payload_len = packed.len};
    uint8_t header[WSB_FRAME_HDR_MAX];
    size_t n = wsb_frame_hdr_write(header, &hdr);
    struct wsg_shared *frame = wsg_shared_new(n + packed.len);
    if (!frame)
        return NULL;
    memcpy(frame->data, header, n);
    memcpy(frame->data + n, packed.ptr, packed.len);
    return frame;
}

static void forget_fanned(struct wsg_env *env)
{
    wsg_shared_unref(env->fanned.plain);
    wsg_shared_unref(env->fanned.packed);
    env->fanned = (struct wsg_fanned){0};
}

/* What many get is packed once for all of this worker's that can read the same. NULL: it goes out as it is. */
static struct wsg_shared *pack_for_many(struct wsg_session *s, const struct wsg_command *c)
{
    struct wsg_fanned *f = &s->env->fanned;
    unsigned kind = wsb_deflate_alone_kind(s->deflate, c->payload.len);
    struct wsb_span packed;
    if (f->plain != c->frame || f->kind != kind) {
        forget_fanned(s->env);
        f->plain = wsg_shared_ref(c->frame); /* held, so that no other message can be at its address */
        f->kind = kind;
        if (wsb_deflate_pack(s->deflate, WSB_DEFLATE_ALONE, c->payload, &packed) == WSB_OK) {
            f->packed = frame_of(c->code, packed);
            f->packed_len = packed.len;
        }
    }
    wsb_deflate_forget(s->deflate); /* the client's window has it, our context has not */
    return f->packed;
}

static void count_packed(struct wsg_session *s, size_t from, size_t to)
{
    struct wsg_route_tally *t = &s->route->tally;
    wsg_count(&t->packed, 1);
    wsg_count(&t->packed_from_bytes, from);
    wsg_count(&t->packed_bytes, to);
}

void wsg_compress_pack(struct wsg_session *s, const struct wsg_command *c, bool may_be_dropped,
                       struct wsg_outgoing *out)
{
    if (c->payload.len < s->route->policy.compress_threshold || (c->flags & WSB_FLAG_PLAIN))
        return;
    s->env->is_deflate_used = true;
    if (out->frame && c->is_for_many) {
        struct wsg_shared *frame = pack_for_many(s, c);
        if (frame) {
            out->frame = frame;
            count_packed(s, c->payload.len, s->env->fanned.packed_len);
        }
        return;
    }
    struct wsb_span packed;
    enum wsb_deflate_context context = may_be_dropped ? WSB_DEFLATE_ALONE : WSB_DEFLATE_IN_ORDER;
    if (wsb_deflate_pack(s->deflate, context, c->payload, &packed) != WSB_OK)
        return;
    *out = (struct wsg_outgoing){.payload = packed, .rsv = WSB_RSV1};
    count_packed(s, c->payload.len, packed.len);
}

void wsg_compress_undo(struct wsg_session *s)
{
    if (s->is_compressed)
        wsb_deflate_forget(s->deflate);
}

void wsg_compress_round_end(struct wsg_env *env)
{
    if (!env->is_deflate_used)
        return;
    env->is_deflate_used = false;
    forget_fanned(env);
    wsb_deflate_shared_trim(env->deflate);
}
