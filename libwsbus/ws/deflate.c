/*
 * Whole messages in, whole messages out. The reader has put fragments together by then, so that a message that is still
 * arriving costs its bytes and never a decompressor. What an inflated message may cost is bounded before the memory is
 * taken, however much smaller its packed form is.
 */
#include "ws/deflate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/scratch.h"
#include "base/utf8.h"
#include "ws/igzip.h"
#include "ws/mask.h"
#include "ws/zstream.h"

enum {
    DEFLATERS = 8,        /* kinds that a thread keeps */
    SMALL_MESSAGE = 4096, /* up to here a window of its size does: less to clear and to look through */
    SMALL_BITS = 12,      /* of that window */
    UNMASK_PIECE = 4096,  /* stays in the first-level cache until it is inflated */
    ROOM_FIRST = 4096,    /* for an inflated message */
    ROOM_MOST = 64 << 10, /* that is filled in one go */
    WORK_OF_A_BYTE =
        4, /* to read one that is packed, in bytes that are made: tables may cost more than what they make */
    TRIM_ABOVE = 256 << 10, /* of a buffer that is kept */
};

struct wsb_deflate_shared {
    struct wsb_deflate_account *account;       /* borrowed */
    struct wsb_inflater *inflater;             /* owned; NULL: not needed yet */
    struct wsb_deflater *deflaters[DEFLATERS]; /* owned; those that were needed, without a gap */
    size_t next_victim;
    struct wsb_igzip *igzip; /* owned; NULL: not needed yet, or not there */
    struct wsb_buf unpacked;
    struct wsb_buf packed;
};

struct wsb_deflate {
    struct wsb_deflate_shared *shared; /* borrowed */
    struct wsb_inflater *inflater;     /* owned; only with takeover, NULL: not needed yet */
    struct wsb_deflater *deflater;     /* likewise */
    struct wsb_deflate_params params;
    struct wsb_unpacking *unpacking; /* owned; NULL: no message is half unpacked */
    size_t charged;                  /* to the account */
    uint8_t read_bits;
    uint8_t write_bits;
    uint8_t level;
    bool reads_in_order; /* the other end keeps its context */
    bool writes_in_order;
    bool is_stale; /* the deflater's context is not what the other end has: to be reset before its next use */
};

/* ----------------------------------------------------------------- a thread */

wsb_err wsb_deflate_shared_new(struct wsb_deflate_shared **ret, struct wsb_deflate_account *account)
{
    struct wsb_deflate_shared *s = calloc(1, sizeof *s);
    if (!s)
        return WSB_ERR_NOMEM;
    s->account = account;
    *ret = s;
    return WSB_OK;
}

void wsb_deflate_shared_free(struct wsb_deflate_shared *s)
{
    if (!s)
        return;
    wsb_inflater_free(s->inflater);
    for (size_t i = 0; i < DEFLATERS; i++)
        wsb_deflater_free(s->deflaters[i]);
    wsb_igzip_free(s->igzip);
    wsb_buf_deinit(&s->unpacked);
    wsb_buf_deinit(&s->packed);
    free(s);
}

void wsb_deflate_shared_trim(struct wsb_deflate_shared *s)
{
    if (s->unpacked.cap > TRIM_ABOVE)
        wsb_buf_deinit(&s->unpacked);
    if (s->packed.cap > TRIM_ABOVE)
        wsb_buf_deinit(&s->packed);
}

/* One of that kind, ready for a message that refers to nothing. */
static wsb_err shared_deflater(struct wsb_deflate_shared *s, unsigned bits, unsigned level, struct wsb_deflater **ret)
{
    size_t i = 0;
    while (i < DEFLATERS && s->deflaters[i] && (s->deflaters[i]->bits != bits || s->deflaters[i]->level != level))
        i++;
    if (i < DEFLATERS && s->deflaters[i]) {
        wsb_deflater_reset(s->deflaters[i]);
        *ret = s->deflaters[i];
        return WSB_OK;
    }
    if (i == DEFLATERS) { /* more kinds than clients ask for in practice */
        i = s->next_victim++ % DEFLATERS;
        wsb_deflater_free(s->deflaters[i]);
        s->deflaters[i] = NULL;
    }
    wsb_err err = wsb_deflater_new(&s->deflaters[i], bits, (int)level);
    if (!err)
        *ret = s->deflaters[i];
    return err;
}

/* ------------------------------------------------------------- a connection */

bool wsb_deflate_account_charge(struct wsb_deflate_account *a, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&a->used, bytes, memory_order_relaxed);
    if (before <= a->max && bytes <= a->max - before)
        return true;
    atomic_fetch_sub_explicit(&a->used, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&a->refused, 1, memory_order_relaxed);
    return false;
}

void wsb_deflate_account_release(struct wsb_deflate_account *a, size_t bytes)
{
    atomic_fetch_sub_explicit(&a->used, bytes, memory_order_relaxed);
}

wsb_err wsb_deflate_new(struct wsb_deflate **ret, struct wsb_deflate_shared *shared, enum wsb_role role,
                        const struct wsb_deflate_params *params, int level)
{
    bool is_server = role == WSB_ROLE_SERVER;
    struct wsb_deflate *d = calloc(1, sizeof *d);
    if (!d)
        return WSB_ERR_NOMEM;
    d->shared = shared;
    d->params = *params;
    d->level = (uint8_t)level;
    d->read_bits = is_server ? params->client_bits : params->server_bits;
    d->write_bits = is_server ? params->server_bits : params->client_bits;
    d->reads_in_order = !(is_server ? params->client_no_takeover : params->server_no_takeover);
    d->writes_in_order = !(is_server ? params->server_no_takeover : params->client_no_takeover) &&
                         d->write_bits >= WSB_DEFLATE_WRITE_BITS_MIN;
    size_t cost = (d->reads_in_order ? wsb_inflater_cost(d->read_bits) : 0) +
                  (d->writes_in_order ? wsb_deflater_cost(d->write_bits) : 0);
    if (cost && !wsb_deflate_account_charge(shared->account, cost)) {
        free(d);
        return WSB_ERR_FULL;
    }
    d->charged = cost;
    *ret = d;
    return WSB_OK;
}

const struct wsb_deflate_params *wsb_deflate_params_of(const struct wsb_deflate *d)
{
    return &d->params;
}

/* ---------------------------------------------------------------- unpacking */

/*
 * A message on its way from packed to itself. One that takes long is interrupted, and then has copies of its own of what it still
 * needs: the rest of its bytes, and where connections share an inflater, that.
 */
struct wsb_unpacking {
    struct wsb_inflater *inflater; /* borrowed from the connection, or from the thread until it is interrupted */
    struct wsb_buf out;            /* owned */
    struct wsb_buf held;           /* owned: the rest of the payload, unmasked, of one that was interrupted */
    struct wsb_ws_event ev;        /* its payload, len and mask are those of the packed bytes */
    size_t taken;                  /* of the payload */
    struct wsb_span piece;         /* borrowed: what was taken and is not used */
    uint8_t plain[UNMASK_PIECE];   /* where pieces are unmasked */
    size_t max;
    struct wsb_utf8 utf8;
    bool is_text;
    bool is_full;     /* the room was used up: more may wait inside the inflater */
    bool has_its_end; /* all of it is taken, and what the sender cut off */
};

static wsb_err inflater_of(struct wsb_deflate *d, struct wsb_inflater **ret)
{
    struct wsb_inflater **slot = d->reads_in_order ? &d->inflater : &d->shared->inflater;
    if (!*slot) {
        /* A window larger than was agreed does no harm where all share one. */
        wsb_err err = wsb_inflater_new(slot, d->reads_in_order ? d->read_bits : WSB_DEFLATE_BITS_MAX);
        if (err)
            return err;
    } else if (!d->reads_in_order) {
        wsb_inflater_reset(*slot);
    }
    wsb_inflater_begin(*slot);
    *ret = *slot;
    return WSB_OK;
}

/* Some room behind what there is, never beyond max. None left: *ret_room is 0. */
static wsb_err make_room(struct wsb_unpacking *u, size_t *ret_room)
{
    struct wsb_buf *out = &u->out;
    size_t left = u->max - out->len;
    size_t ready = out->cap - out->len;
    if (ready == 0) {
        size_t more = out->len < ROOM_FIRST ? ROOM_FIRST : out->len;
        wsb_err err = wsb_buf_reserve(out, more < left ? more : left);
        if (err)
            return err;
        ready = out->cap - out->len;
    }
    ready = ready < left ? ready : left;
    *ret_room = ready < ROOM_MOST ? ready : ROOM_MOST;
    return WSB_OK;
}

/* The message is as large as it may be: anything more is too much. */
static wsb_err inflate_nothing(struct wsb_unpacking *u)
{
    uint8_t one_too_many;
    size_t n;
    wsb_err err = wsb_inflater_next(u->inflater, &u->piece, &one_too_many, 1, &n);
    u->is_full = false;
    return !err && n ? WSB_ERR_LIMIT : err;
}

/* *ret_work: what that was, in bytes that were made of it. */
static wsb_err inflate_some(struct wsb_unpacking *u, size_t *ret_work)
{
    size_t room, n = 0, before = u->piece.len;
    wsb_err err = make_room(u, &room);
    if (!err && room == 0)
        err = inflate_nothing(u);
    else if (!err)
        err = wsb_inflater_next(u->inflater, &u->piece, u->out.data + u->out.len, room, &n);
    if (err)
        return err;
    if (u->is_text && !wsb_utf8_feed(&u->utf8, u->out.data + u->out.len, n))
        return WSB_ERR_UTF8;
    u->out.len += n;
    u->is_full = room && n == room;
    *ret_work = n + WORK_OF_A_BYTE * (before - u->piece.len);
    return WSB_OK;
}

/* The next piece of what is to be inflated. False: there is none. */
static bool take_piece(struct wsb_unpacking *u)
{
    /* RFC 7692 §7.2.2 item 1: put back what the sender cut off. One that ends with BFINAL has had nothing cut off. */
    static const uint8_t tail[] = {0x00, 0x00, 0xff, 0xff};
    const struct wsb_ws_event *ev = &u->ev;
    size_t left = ev->len - u->taken;
    size_t n = left < UNMASK_PIECE ? left : UNMASK_PIECE;
    if (n) {
        if (ev->masked)
            wsb_mask_copy(u->plain, ev->payload + u->taken, n, ev->mask, /*phase=*/u->taken);
        u->piece = wsb_span(ev->masked ? u->plain : ev->payload + u->taken, n);
        u->taken += n;
        return true;
    }
    if (u->has_its_end || wsb_inflater_is_ended(u->inflater))
        return false;
    u->has_its_end = true;
    u->piece = wsb_span(tail, sizeof tail);
    return true;
}

/* WSB_AGAIN: the budget is used up. */
static wsb_err inflate_on(struct wsb_unpacking *u, size_t *budget)
{
    while (u->piece.len || u->is_full || take_piece(u)) {
        size_t work;
        if (*budget == 0)
            return WSB_AGAIN;
        wsb_err err = inflate_some(u, &work);
        if (err)
            return err;
        *budget -= work < *budget ? work : *budget;
    }
    if (!wsb_inflater_is_complete(u->inflater))
        return WSB_ERR_PROTO;
    return u->is_text && !wsb_utf8_is_complete(&u->utf8) ? WSB_ERR_UTF8 : WSB_OK;
}

/* Its bytes belong to others, and so may its inflater: they stay as they are for as long as it takes. */
static wsb_err interrupt(struct wsb_deflate *d, const struct wsb_unpacking *now)
{
    struct wsb_unpacking *u = malloc(sizeof *u);
    const struct wsb_ws_event *ev = &now->ev;
    size_t left = ev->len - now->taken;
    if (!u)
        return WSB_ERR_NOMEM;
    *u = *now;
    u->held = (struct wsb_buf){0};
    if (wsb_buf_reserve(&u->held, now->piece.len + left + 1) != WSB_OK) {
        free(u);
        return WSB_ERR_NOMEM;
    }
    if (now->piece.len)
        memcpy(u->held.data, now->piece.ptr, now->piece.len);
    if (left && ev->masked)
        wsb_mask_copy(u->held.data + now->piece.len, ev->payload + now->taken, left, ev->mask, /*phase=*/now->taken);
    else if (left)
        memcpy(u->held.data + now->piece.len, ev->payload + now->taken, left);
    u->held.len = now->piece.len + left;
    u->piece =
        wsb_span(u->held.data, now->piece.len); /* the pieces stay what they are, and so does what is found first */
    u->ev.payload = u->held.data + now->piece.len;
    u->ev.len = left;
    u->ev.masked = false;
    u->taken = 0;
    if (!d->reads_in_order)
        d->shared->inflater = NULL; /* it is this message's now */
    d->unpacking = u;
    return WSB_OK;
}

static void give_back_inflater(struct wsb_deflate *d, struct wsb_inflater *inflater)
{
    if (d->reads_in_order)
        return;
    if (d->shared->inflater)
        wsb_inflater_free(inflater);
    else
        d->shared->inflater = inflater;
}

static void drop_unpacking(struct wsb_deflate *d)
{
    if (!d->unpacking)
        return;
    give_back_inflater(d, d->unpacking->inflater);
    wsb_buf_deinit(&d->unpacking->out);
    wsb_buf_deinit(&d->unpacking->held);
    free(d->unpacking);
    d->unpacking = NULL;
}

void wsb_deflate_free(struct wsb_deflate *d)
{
    if (!d)
        return;
    drop_unpacking(d);
    wsb_deflate_account_release(d->shared->account, d->charged);
    wsb_inflater_free(d->inflater);
    wsb_deflater_free(d->deflater);
    free(d);
}

static void hand_out(struct wsb_deflate *d, struct wsb_unpacking *u, struct wsb_ws_event *ev)
{
    *ev = u->ev;
    ev->rsv = 0;
    ev->masked = false;
    ev->checked = true;
    ev->payload = u->out.data;
    ev->len = u->out.len;
    wsb_buf_deinit(&d->shared->unpacked);
    d->shared->unpacked = u->out;
    u->out = (struct wsb_buf){0};
}

wsb_err wsb_deflate_unpack_some(struct wsb_deflate *d, struct wsb_ws_event *ev, size_t max_message, size_t *budget)
{
    WSB_SCRATCH struct wsb_unpacking u;
    assert(ev->type == WSB_WS_MESSAGE && ev->rsv == WSB_RSV1 && !d->unpacking);
    u.ev = *ev;
    u.out = d->shared->unpacked;
    d->shared->unpacked = (struct wsb_buf){0};
    wsb_buf_clear(&u.out);
    u.held = (struct wsb_buf){0};
    u.taken = 0;
    u.piece = wsb_span(NULL, 0);
    u.max = max_message;
    u.is_text = ev->opcode == WSB_OP_TEXT;
    u.is_full = u.has_its_end = false;
    wsb_utf8_init(&u.utf8);
    wsb_err err = inflater_of(d, &u.inflater);
    if (!err)
        err = inflate_on(&u, budget);
    if (err == WSB_AGAIN && interrupt(d, &u) == WSB_OK)
        return WSB_AGAIN;
    if (!err)
        hand_out(d, &u, ev);
    else
        wsb_buf_deinit(&u.out);
    return err == WSB_AGAIN ? WSB_ERR_NOMEM : err;
}

wsb_err wsb_deflate_unpack_more(struct wsb_deflate *d, struct wsb_ws_event *ev, size_t *budget)
{
    struct wsb_unpacking *u = d->unpacking;
    wsb_err err = inflate_on(u, budget);
    if (err == WSB_AGAIN)
        return err;
    if (!err)
        hand_out(d, u, ev);
    drop_unpacking(d);
    return err;
}

wsb_err wsb_deflate_unpack(struct wsb_deflate *d, struct wsb_ws_event *ev, size_t max_message)
{
    size_t all = SIZE_MAX;
    return wsb_deflate_unpack_some(d, ev, max_message, &all);
}

size_t wsb_deflate_unpacking_held(const struct wsb_deflate *d)
{
    const struct wsb_unpacking *u = d->unpacking;
    size_t inflater = d->reads_in_order ? 0 : wsb_inflater_cost(WSB_DEFLATE_BITS_MAX);
    return u ? sizeof *u + u->out.cap + u->held.cap + inflater : 0;
}

/* ------------------------------------------------------------------ packing */

static unsigned alone_bits(const struct wsb_deflate *d, size_t len)
{
    return len <= SMALL_MESSAGE && d->write_bits > SMALL_BITS ? SMALL_BITS : d->write_bits;
}

/* What one that is packed alone always is packed by follows from its kind. */
static bool is_for_igzip(const struct wsb_deflate *d, size_t len)
{
    return len >= WSB_IGZIP_FROM && d->level == WSB_IGZIP_LEVEL && d->write_bits == WSB_IGZIP_BITS &&
           wsb_igzip_is_there();
}

unsigned wsb_deflate_alone_kind(const struct wsb_deflate *d, size_t payload_len)
{
    unsigned bits = is_for_igzip(d, payload_len) ? 0 : alone_bits(d, payload_len);
    return bits << 8 | d->level;
}

static wsb_err pack_alone(struct wsb_deflate *d, struct wsb_span payload)
{
    struct wsb_deflate_shared *s = d->shared;
    struct wsb_deflater *f;
    bool by_igzip = is_for_igzip(d, payload.len);
    wsb_err err = by_igzip && !s->igzip ? wsb_igzip_new(&s->igzip) : WSB_OK;
    if (err)
        return err;
    if (by_igzip)
        return wsb_igzip_message(s->igzip, payload, &s->packed);
    err = shared_deflater(s, alone_bits(d, payload.len), d->level, &f);
    return err ? err : wsb_deflater_message(f, payload, &s->packed);
}

static wsb_err pack_in_order(struct wsb_deflate *d, struct wsb_span payload)
{
    if (!d->deflater) {
        wsb_err err = wsb_deflater_new(&d->deflater, d->write_bits, d->level);
        if (err)
            return err;
    } else if (d->is_stale) {
        wsb_deflater_reset(d->deflater);
    }
    d->is_stale = false;
    return wsb_deflater_message(d->deflater, payload, &d->shared->packed);
}

wsb_err wsb_deflate_pack(struct wsb_deflate *d, enum wsb_deflate_context context, struct wsb_span payload,
                         struct wsb_span *ret)
{
    bool is_alone = context == WSB_DEFLATE_ALONE || !d->writes_in_order;
    if (d->write_bits < WSB_DEFLATE_WRITE_BITS_MIN)
        return WSB_AGAIN; /* agreed to by a client: it may send everything as it is */
    wsb_err err = is_alone ? pack_alone(d, payload) : pack_in_order(d, payload);
    /* What is packed alone goes into the other end's window too, and not into ours; what failed, into ours only. Either
     * way our context is worth nothing any more. */
    if (err || is_alone)
        wsb_deflate_forget(d);
    if (!err)
        *ret = wsb_buf_span(&d->shared->packed);
    return err;
}

void wsb_deflate_forget(struct wsb_deflate *d)
{
    d->is_stale = true;
}
