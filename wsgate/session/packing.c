/*
 * See the header. Every response has a compressor of its own, which is paid for from the memory for compressors. Relies on
 * exchange_response.c for what becomes of the bytes that come out of it; never looks at the fields of a response.
 */
#include "session/packing.h"

#include <stdlib.h>
#include <utlist.h>

#include "http/gzip.h"
#include "session/parts.h"

enum {
    BITS = 13,              /* many may be open for hours: 72 KiB each instead of 264 */
    WHOLE_LEAST = 8 << 10,  /* that may be packed at once at every level: what is short has no long chains to search */
    OVERHEAD = 256,         /* what a piece costs besides its bytes, in bytes */
    LEAST = 1 << 10,        /* worth a piece; with less left the next round goes on */
    BUFFER_KEPT = 256 << 10 /* of what is packed */
};

enum state { IDLE, WAITS, LAST, DONE };

struct wsg_packing {
    struct wsg_session *session; /* borrowed: whose it is */
    struct wsg_gzip *gzip;       /* owned */
    size_t charged;              /* to the account */
    unsigned level;
    enum state state;
    struct wsg_outq plain;           /* what waits; `written` is what has been packed */
    struct wsg_receipt *owed;        /* the session's first one whose bytes are not all packed; NULL: there is none */
    struct wsg_packing *prev, *next; /* WAITS, LAST: of the worker's line */
};

/* ----------------------------------------------------------------- allowance */

/* By how much dearer a byte is at a level than at 5, as a power of two: of input with which zlib has most to do. */
static unsigned weight(unsigned level)
{
    static const uint8_t weights[] = {0, 0, 0, 0, 0, 0, 1, 2, 3, 3};
    return weights[level < sizeof weights ? level : sizeof weights - 1];
}

static size_t cost(size_t bytes, unsigned level)
{
    return (bytes + OVERHEAD) << weight(level);
}

size_t wsg_packing_whole_max(unsigned level)
{
    size_t max = (size_t)WSG_PACKING_ROUND >> weight(level);
    return max > WHOLE_LEAST ? max : WHOLE_LEAST;
}

bool wsg_packing_has_allowance(const struct wsg_env *env)
{
    return env->packings.spent < WSG_PACKING_ROUND;
}

void wsg_packing_charge(struct wsg_env *env, size_t bytes, unsigned level)
{
    env->packings.spent += cost(bytes, level);
}

struct wsb_buf *wsg_packing_buffer(struct wsg_env *env)
{
    wsb_buf_clear(&env->packed);
    if (env->packed.cap > BUFFER_KEPT)
        wsb_buf_deinit(&env->packed);
    return &env->packed;
}

/* ------------------------------------------------------------------- one body */

static bool is_in_line(const struct wsg_packing *p)
{
    return p->state == WAITS || p->state == LAST;
}

/* The one place where the state changes. */
static void set_state(struct wsg_packing *p, enum state state)
{
    struct wsg_packing_line *line = &p->session->env->packings;
    bool was_in_line = is_in_line(p);
    p->state = state;
    if (!was_in_line && is_in_line(p))
        DL_APPEND(line->first, p);
    else if (was_in_line && !is_in_line(p)) /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is in the line */
        DL_DELETE(line->first, p);
}

bool wsg_packing_open(struct wsg_session *s)
{
    struct wsb_deflate_account *account = s->env->deflate_account;
    unsigned level = s->route->policy.gzip_level;
    size_t charged = wsg_gzip_cost(BITS);
    if (!account || !wsb_deflate_account_charge(account, charged))
        return false;
    struct wsg_packing *p = malloc(sizeof *p);
    if (p)
        *p = (struct wsg_packing){.session = s, .charged = charged, .level = level};
    if (!p || wsg_gzip_new(&p->gzip, BITS, level) != WSB_OK) {
        free(p);
        wsb_deflate_account_release(account, charged);
        return false;
    }
    s->exchange->packing = p;
    return true;
}

void wsg_packing_free(struct wsg_session *s)
{
    struct wsg_packing *p = s->exchange->packing;
    if (!p)
        return;
    set_state(p, DONE);
    wsg_outq_deinit(&p->plain, &s->env->pool);
    wsg_gzip_free(p->gzip);
    wsb_deflate_account_release(s->env->deflate_account, p->charged);
    free(p);
    s->exchange->packing = NULL;
}

wsb_err wsg_packing_add(struct wsg_session *s, struct wsb_span part)
{
    struct wsg_packing *p = s->exchange->packing;
    wsb_err err = wsg_outq_append(&p->plain, &s->env->pool, part.ptr, part.len);
    if (!err && p->state == IDLE && part.len)
        set_state(p, WAITS);
    return err;
}

void wsg_packing_end(struct wsg_session *s)
{
    set_state(s->exchange->packing, LAST);
}

void wsg_packing_owe(struct wsg_session *s, struct wsg_receipt *r)
{
    struct wsg_packing *p = s->exchange->packing;
    if (!r || !wsg_packing_is_busy(s->exchange))
        return;
    r->end = WSG_RECEIPT_UNPACKED;
    r->plain_end = p->plain.queued;
    if (!p->owed)
        p->owed = r;
}

/* Their bytes are in the output now. Those that follow the first one are of this response too. */
static void settle(struct wsg_packing *p)
{
    for (; p->owed && p->owed->plain_end <= p->plain.written; p->owed = p->owed->next)
        p->owed->end = p->session->out.queued;
}

size_t wsg_packing_waiting(const struct wsg_session *s)
{
    return s->exchange && s->exchange->packing ? s->exchange->packing->plain.bytes : 0;
}

bool wsg_packing_is_busy(const struct wsg_exchange *x)
{
    return x->packing && is_in_line(x->packing);
}

bool wsg_packing_has_end(const struct wsg_exchange *x)
{
    return x->packing && x->packing->state == LAST;
}

/* -------------------------------------------------------------------- a piece */

static enum wsg_gzip_flush flush_behind(const struct wsg_packing *p, bool is_all, bool is_enough)
{
    return is_all && p->state == LAST ? WSG_GZIP_END : is_all || is_enough ? WSG_GZIP_FLUSH : WSG_GZIP_KEEP;
}

/* Into `out`: at most `max` bytes of what waits, such that a client can read all of them. */
static wsb_err pack(struct wsg_packing *p, size_t max, struct wsb_buf *out)
{
    struct wsg_outq_walk walk = {0};
    struct wsb_span span = {NULL, 0};
    size_t total = p->plain.bytes < max ? p->plain.bytes : max;
    wsb_err err = WSB_OK;
    size_t count = 0;
    do {
        if (total && (err = wsg_outq_walk(&p->plain, &walk, /*buf=*/NULL, total - count, &span)))
            break;
        count += span.len;
        err = wsg_gzip_append(p->gzip, span, flush_behind(p, count == p->plain.bytes, count == total), out);
    } while (!err && count < total);
    if (err)
        return err;
    wsg_outq_take(&p->plain, &p->session->env->pool, total);
    wsg_count(&p->session->route->tally.gzip_from_bytes, total);
    wsg_count(&p->session->route->tally.gzip_bytes, out->len);
    return WSB_OK;
}

/* Packs what is worth at most `left`, which is LEAST or more. Returns what it has cost. */
static size_t step(struct wsg_packing *p, size_t left)
{
    struct wsg_session *s = p->session;
    size_t before = p->plain.bytes;
    size_t max = left >> weight(p->level);
    if (s->state == WSG_SESSION_DEAD) { /* what waits goes with the exchange */
        set_state(p, IDLE);
        return 0;
    }
    struct wsb_buf *out = wsg_packing_buffer(s->env);
    wsb_err err = pack(p, max, out);
    size_t spent = cost(before - p->plain.bytes, p->level);
    if (p->plain.bytes == 0)
        set_state(p, p->state == LAST ? DONE : IDLE);
    bool is_done = p->state == DONE;
    if (!err)
        err = wsg_exchange_append_packed(s, wsb_buf_span(out), is_done);
    if (err) {
        wsg_exchange_cut(s, WSG_CUT_MEMORY, "out of memory");
        return spent;
    }
    settle(p);
    if (is_done)
        wsg_exchange_after_response(s); /* p is gone */
    return spent;
}

void wsg_packings_step(struct wsg_env *env)
{
    struct wsg_packing_line *line = &env->packings;
    size_t half = WSG_PACKING_ROUND / 2; /* however much commands have spent */
    size_t left = line->spent < half ? WSG_PACKING_ROUND - line->spent : half;
    while (line->first && left >= LEAST) {
        struct wsg_packing *p = line->first;
        DL_DELETE(line->first, p);
        DL_APPEND(line->first, p);
        size_t spent = step(p, left);
        left -= spent < left ? spent : left;
    }
    line->spent = 0;
}

bool wsg_packings_wait(const struct wsg_env *env)
{
    return env->packings.first != NULL;
}
