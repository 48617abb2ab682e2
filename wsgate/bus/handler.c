/* The registry of handlers. */
#include "bus/handler.h"

#include <math.h>
#include <stdlib.h>
#include <utlist.h>

static void debt_free(struct wsg_handlers *t, struct wsg_debt *d)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): does not see that HASH_ITER has read the next one already */
    HASH_DELETE(hh, t->debts, d);
    wsb_account_unref(d->account);
    free(d);
}

void wsg_handlers_forgive(struct wsg_handlers *t, struct wsb_span peer)
{
    struct wsg_debt *d = NULL;
    HASH_FIND(hh, t->debts, peer.ptr, peer.len, d);
    if (d)
        debt_free(t, d);
}

static void note_debt(struct wsg_handlers *t, const struct wsg_handler *h)
{
    wsg_handlers_forgive(t, wsb_span(h->peer, h->peer_len));
    if (h->is_hung_up || wsb_account_bytes(h->account) == 0)
        return;
    struct wsg_debt *d = malloc(sizeof *d + h->peer_len);
    if (!d)
        return;
    *d = (struct wsg_debt){.account = wsb_account_ref(h->account), .peer_len = h->peer_len};
    memcpy(d->peer, h->peer, h->peer_len);
    HASH_ADD_KEYPTR(hh, t->debts, d->peer, d->peer_len, d);
    if (WSG_TABLE_HAS(hh, d))
        return;
    wsb_account_unref(d->account);
    free(d);
}

void wsg_handlers_settle(struct wsg_handlers *t)
{
    struct wsg_debt *d, *next;
    HASH_ITER (hh, t->debts, d, next) {
        if (wsb_account_bytes(d->account) == 0)
            debt_free(t, d);
    }
}

/* ------------------------------------------------------------------- the past */

static struct wsg_past *past_of(const struct wsg_handlers *t, struct wsb_span peer)
{
    struct wsg_past *p = NULL;
    HASH_FIND(hh, t->pasts, peer.ptr, peer.len, p);
    return p;
}

static void past_free(struct wsg_handlers *t, struct wsg_past *p)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): as above */
    HASH_DELETE(hh, t->pasts, p);
    free(p);
}

void wsg_handlers_remember(struct wsg_handlers *t, const struct wsg_handler *h, bool lives)
{
    struct wsg_past *p = past_of(t, wsb_span(h->peer, h->peer_len));
    if (p)
        past_free(t, p);
    else if (HASH_COUNT(t->pasts) >= WSG_PASTS_MAX)
        past_free(t, t->pasts);
    p = malloc(sizeof *p + h->peer_len);
    if (!p)
        return;
    *p = (struct wsg_past){.peer_len = h->peer_len, .ids = {h->id}, .pid = h->pid, .lives = lives};
    memcpy(p->ids + 1, h->past_ids, sizeof p->ids - sizeof *p->ids);
    memcpy(p->peer, h->peer, h->peer_len);
    HASH_ADD_KEYPTR(hh, t->pasts, p->peer, p->peer_len, p);
    if (!WSG_TABLE_HAS(hh, p))
        free(p);
}

bool wsg_handler_is_or_was(const struct wsg_handler *h, uint32_t id)
{
    for (size_t i = 0; i < WSG_PAST_IDS; i++) {
        if (h->past_ids[i] == id)
            return true;
    }
    return h->id == id;
}

bool wsg_handlers_know(const struct wsg_handlers *t, uint32_t id)
{
    for (const struct wsg_past *p = t->pasts; p; p = p->hh.next) {
        for (size_t i = 0; i < WSG_PAST_IDS; i++) {
            if (p->ids[i] == id)
                return true;
        }
    }
    for (const struct wsg_handler *h = t->by_id; h; h = h->by_id.next) {
        if (wsg_handler_is_or_was(h, id))
            return true;
    }
    return false;
}

/* ------------------------------------------------------------------ the table */

/* The account of a peer that comes back continues; a fresh one otherwise. */
static wsb_err take_account(struct wsg_handlers *t, struct wsb_span peer, struct wsb_account **ret)
{
    struct wsg_debt *d = NULL;
    HASH_FIND(hh, t->debts, peer.ptr, peer.len, d);
    if (d && wsb_account_bytes(d->account) > WSG_DEBT_MAX)
        return WSB_ERR_FULL;
    *ret = d ? wsb_account_ref(d->account) : wsb_account_new();
    if (d)
        debt_free(t, d);
    return *ret ? WSB_OK : WSB_ERR_NOMEM;
}

/* Into both tables, or into none. */
static bool list(struct wsg_handlers *t, struct wsg_handler *h)
{
    HASH_ADD(by_peer, t->by_peer, peer, h->peer_len, h);
    if (!WSG_TABLE_HAS(by_peer, h))
        return false;
    HASH_ADD(by_id, t->by_id, id, sizeof h->id, h);
    if (!WSG_TABLE_HAS(by_id, h)) {
        HASH_DELETE(by_peer, t->by_peer, h);
        return false;
    }
    t->count++;
    return true;
}

wsb_err wsg_handlers_add(struct wsg_handlers *t, struct wsb_span peer, struct wsg_handler **ret)
{
    if (peer.len == 0 || peer.len > WSG_PEER_MAX)
        return WSB_ERR_PROTO;
    if (t->count >= WSG_HANDLERS_MAX)
        return WSB_ERR_LIMIT;
    struct wsb_account *account;
    wsb_err err = take_account(t, peer, &account);
    if (err)
        return err;
    struct wsg_handler *h = calloc(1, sizeof *h);
    if (!h) {
        wsb_account_unref(account);
        return WSB_ERR_NOMEM;
    }
    h->account = account;
    memcpy(h->peer, peer.ptr, peer.len);
    h->peer_len = (uint8_t)peer.len;
    h->id = ++t->last_id;
    h->weight = 1;
    wsg_handlers_name(t, h, wsb_span_str("unnamed"));
    h->kinds = WSG_KIND_ALL;
    struct wsg_past *past = past_of(t, peer);
    if (past) {
        memcpy(h->past_ids, past->ids, sizeof h->past_ids);
        h->past_pid = past->pid;
        h->was_given_up = past->lives;
        past_free(t, past);
    }
    if (!list(t, h)) {
        wsb_account_unref(h->account);
        free(h);
        return WSB_ERR_NOMEM;
    }
    *ret = h;
    return WSB_OK;
}

void wsg_handlers_retire(struct wsg_handlers *t, struct wsg_handler *h)
{
    HASH_DELETE(by_peer, t->by_peer, h);
    HASH_DELETE(by_id, t->by_id, h);
    t->count--;
    DL_APPEND(t->leaving, h);
    note_debt(t, h);
}

void wsg_handlers_free(struct wsg_handlers *t, struct wsg_handler *h)
{
    DL_DELETE(t->leaving, h);
    wsb_block_free(h->block);
    wsb_account_unref(h->account);
    free(h->routes);
    free(h->in_batch);
    free(h);
}

void wsg_handlers_remove(struct wsg_handlers *t, struct wsg_handler *h)
{
    wsg_handlers_retire(t, h);
    wsg_handlers_free(t, h);
}

void wsg_handlers_deinit(struct wsg_handlers *t)
{
    struct wsg_handler *h, *next;
    HASH_ITER (by_id, t->by_id, h, next)
        wsg_handlers_remove(t, h);
    while (t->leaving)
        wsg_handlers_free(t, t->leaving);
    struct wsg_debt *d, *next_debt;
    HASH_ITER (hh, t->debts, d, next_debt)
        debt_free(t, d);
    struct wsg_past *p, *next_past;
    HASH_ITER (hh, t->pasts, p, next_past)
        past_free(t, p);
}

struct wsg_handler *wsg_handlers_by_peer(const struct wsg_handlers *t, struct wsb_span peer)
{
    struct wsg_handler *h = NULL;
    HASH_FIND(by_peer, t->by_peer, peer.ptr, peer.len, h);
    return h;
}

struct wsg_handler *wsg_handlers_by_id(const struct wsg_handlers *t, uint32_t id)
{
    struct wsg_handler *h = NULL;
    HASH_FIND(by_id, t->by_id, &id, sizeof id, h);
    return h;
}

struct wsg_handler *wsg_handlers_from(const struct wsg_handlers *t, uint32_t id)
{
    struct wsg_handler *h = t->by_id;
    while (h && h->id < id)
        h = h->by_id.next;
    return h ? h : t->by_id;
}

struct wsg_handler *wsg_handlers_behind(const struct wsg_handlers *t, const struct wsg_handler *h)
{
    return h->by_id.next ? h->by_id.next : t->by_id;
}

bool wsg_handler_serves(const struct wsg_handler *h, const struct wsg_route *r, unsigned kinds)
{
    for (size_t i = 0; (h->kinds & kinds) && i < h->route_count; i++) {
        if (h->routes[i] == r->index)
            return true;
    }
    return false;
}

/* A well mixed number of two (the finalizer of splitmix64). */
static uint64_t mix(uint64_t key, uint64_t id)
{
    uint64_t x = key ^ (id * 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* FNV-1a, of a name that the handler itself chose. It only spreads keys: no table is made of it. */
static uint64_t hash_of_name(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return hash;
}

static uint32_t free_slot(const struct wsg_handlers *t, const struct wsg_handler *h)
{
    bool taken[WSG_HANDLERS_MAX] = {false};
    uint32_t slot = 0;
    for (const struct wsg_handler *other = t->by_id; other; other = other->by_id.next) {
        if (other != h && other->identity && strcmp(other->name, h->name) == 0)
            taken[other->slot] = true;
    }
    while (taken[slot]) /* there is one: h is one of at most so many, and takes none yet */
        slot++;
    return slot;
}

void wsg_handlers_name(const struct wsg_handlers *t, struct wsg_handler *h, struct wsb_span name)
{
    char text[sizeof h->name];
    size_t n = name.len < sizeof text - 1 ? name.len : sizeof text - 1;
    while (n < name.len && n > 0 && (name.ptr[n] & 0xc0) == 0x80)
        n--; /* not in the middle of a character */
    if (n)
        memcpy(text, name.ptr, n);
    text[n] = 0;
    if (h->identity && strcmp(text, h->name) == 0)
        return;
    memcpy(h->name, text, sizeof text);
    h->slot = free_slot(t, h);
    h->identity = mix(hash_of_name(text), h->slot) | 1; /* never 0, which stands for none */
}

/* Weighted rendezvous: each handler draws weight ÷ -ln(u) for the key, the highest wins. */
static double draw(const struct wsg_handler *h, uint64_t key)
{
    double u = ((double)(mix(key, h->identity) >> 11) + 0.5) / 9007199254740992.0; /* in (0, 1): 53 bits */
    return (double)h->weight / -log(u);
}

static bool has_fewer(const struct wsg_handler *a, const struct wsg_handler *b)
{
    return (uint64_t)a->lane.count * b->weight < (uint64_t)b->lane.count * a->weight;
}

struct wsg_handler *wsg_handlers_pick(const struct wsg_handlers *t, const struct wsg_route *r, unsigned kinds,
                                      uint64_t key, const struct wsg_handler *except)
{
    struct wsg_handler *best = NULL;
    bool best_has_room = false;
    double highest = 0;
    for (struct wsg_handler *h = t->by_id; h; h = h->by_id.next) {
        if (h == except || h->is_dead || h->drain || !wsg_handler_serves(h, r, kinds))
            continue;
        if (key) {
            double d = draw(h, key);
            if (!best || d > highest) {
                best = h;
                highest = d;
            }
            continue;
        }
        bool has_room = wsg_handler_has_room(h);
        if (!best || has_room > best_has_room || (has_room == best_has_room && has_fewer(h, best))) {
            best = h;
            best_has_room = has_room;
        }
    }
    return best;
}

bool wsg_handler_has_room(const struct wsg_handler *h)
{
    return h->alone == WSG_ALONE_NO && wsg_handler_has_credit(h);
}

bool wsg_handler_has_credit(const struct wsg_handler *h)
{
    return !h->paused && (!h->has_credit || (h->credit_messages > 0 && h->credit_bytes > 0));
}

void wsg_handler_spend(struct wsg_handler *h, size_t bytes)
{
    if (h->has_credit) {
        h->credit_messages--;
        h->credit_bytes -= (int64_t)bytes;
    }
}

void wsg_handler_grant(struct wsg_handler *h, uint64_t messages, uint64_t bytes)
{
    const int64_t end = INT64_MAX / 4;
    h->credit_messages = (int64_t)messages < end - h->credit_messages ? h->credit_messages + (int64_t)messages : end;
    h->credit_bytes = (int64_t)bytes < end - h->credit_bytes ? h->credit_bytes + (int64_t)bytes : end;
}
