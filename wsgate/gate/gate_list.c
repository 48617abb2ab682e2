/*
 * All connections as `wsctl list` shows them: each worker is asked, looks at some of its own, and comes back with them, again and
 * again. A listing has as many rows in memory as one such walk brings, however many connections there are.
 */
#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "gate/gate_parts.h"

enum { LIST_PLACES = 2048, LIST_ROWS = 128 };

/* What one worker brings; goes there and comes back. */
struct listing_part {
    struct wsg_task task;
    struct wsg_listing *listing;
    struct wsg_worker *worker;
    struct wsg_conn_info *rows; /* owned; LIST_ROWS of them */
    size_t count;
    uint32_t at; /* the next place to look at */
    bool is_last;
};

struct wsg_listing {
    struct wsg_listing *prev, *next;
    struct wsg_gate *gate; /* borrowed */
    bool (*part)(void *ctx, const struct wsg_conn_info *rows, size_t count);
    void (*done)(void *ctx);
    void *ctx;
    bool is_enough; /* the reader wants no more */
    size_t waiting; /* workers that have not brought their last */
    struct listing_part parts[];
};

static void listing_free(struct wsg_listing *l)
{
    DL_DELETE(l->gate->listings, l);
    for (size_t i = 0; i < l->gate->worker_count; i++)
        free(l->parts[i].rows);
    free(l);
}

static void cut_text(char *to, size_t size, const char *from)
{
    size_t len = from ? strnlen(from, size - 1) : 0;
    if (len)
        memcpy(to, from, len);
    to[len] = 0;
}

static void add_row(struct wsg_session *s, void *ctx)
{
    struct listing_part *p = ctx;
    uint64_t now_ms = wsg_loop_now_ms(p->worker->loop);
    struct wsg_conn_info *r = &p->rows[p->count++];
    *r = (struct wsg_conn_info){
        .id = s->id,
        .what = wsg_session_describe(s),
        .route = s->route ? s->route->name : "",
        .worker = p->worker->index,
        .state = s->state,
        .is_tapped = s->is_tapped,
        .is_paused = s->paused != 0,
        .age_ms = now_ms - s->opened_ms,
        .idle_ms = now_ms - s->active_ms,
        .opened_ms = s->opened_ms,
        .active_ms = s->active_ms,
        .messages_in = s->messages_in,
        .bytes_in = s->bytes_in,
        .messages_out = s->messages_out,
        .bytes_out = s->bytes_out,
        .queued = s->out.bytes + wsg_packing_waiting(s),
        .queued_messages = s->out.messages,
        .written = s->out.messages_written,
        .dropped_out = s->messages_dropped,
        .rtt_us = s->rtt_us,
        .is_compressed = s->is_compressed,
    };
    if (s->is_compressed)
        r->deflate = *wsb_deflate_params_of(s->deflate);
    struct wsg_secure_info tls;
    if (wsg_secure_info(s, &tls)) {
        cut_text(r->tls_version, sizeof r->tls_version, tls.version);
        cut_text(r->tls_cipher, sizeof r->tls_cipher, tls.cipher);
        cut_text(r->tls_name, sizeof r->tls_name, tls.name);
        cut_text(r->client_subject, sizeof r->client_subject, tls.subject);
        cut_text(r->client_fingerprint, sizeof r->client_fingerprint, tls.fingerprint);
    }
    cut_text(r->peer, sizeof r->peer, s->peer);
    cut_text(r->target, sizeof r->target, s->target);
    cut_text(r->subprotocol, sizeof r->subprotocol, s->subprotocol);
}

static void on_part(struct wsg_task *t);

/* What came from a worker is shown; it goes on, or has no more. */
static void on_part_back(struct wsg_task *t)
{
    struct listing_part *p = CONTAINER(t, struct listing_part, task);
    struct wsg_listing *l = p->listing;
    if (p->count && !l->is_enough)
        l->is_enough = !l->part(l->ctx, p->rows, p->count);
    if (!p->is_last && !l->is_enough) {
        p->task.fn = on_part;
        wsg_loop_post(p->worker->loop, &p->task);
    } else if (--l->waiting == 0) {
        void (*done)(void *ctx) = l->done;
        void *ctx = l->ctx;
        listing_free(l);
        done(ctx);
    }
}

/* Some rows, out of some thousand places a round, so that a listing of many stalls no worker and needs no more memory than this. */
static void on_part(struct wsg_task *t)
{
    struct listing_part *p = CONTAINER(t, struct listing_part, task);
    const struct wsg_slots *slots = &p->worker->env.slots;
    uint32_t until = slots->count - p->at < LIST_PLACES ? slots->count : p->at + LIST_PLACES;
    for (p->count = 0; p->at < until && p->count < LIST_ROWS; p->at++) {
        if (slots->slots[p->at].value)
            add_row(slots->slots[p->at].value, p);
    }
    p->is_last = p->at == slots->count;
    p->task.fn = on_part_back;
    wsg_loop_post(p->listing->gate->workers[0].loop, &p->task);
}

wsb_err wsg_gate_list(struct wsg_gate *g, const struct wsg_list_reader *reader, void *ctx)
{
    assert(g->worker_count > 0); /* the one that asks is there */
    struct wsg_listing *l = calloc(1, sizeof *l + g->worker_count * sizeof *l->parts);
    if (!l)
        return WSB_ERR_NOMEM;
    l->gate = g;
    l->part = reader->part;
    l->done = reader->done;
    l->ctx = ctx;
    l->waiting = g->worker_count;
    DL_APPEND(g->listings, l);
    for (size_t i = 0; i < g->worker_count; i++) {
        l->parts[i] = (struct listing_part){.task.fn = on_part, .listing = l, .worker = &g->workers[i]};
        l->parts[i].rows = malloc(LIST_ROWS * sizeof *l->parts[i].rows);
        if (!l->parts[i].rows) {
            listing_free(l);
            return WSB_ERR_NOMEM;
        }
    }
    for (size_t i = 0; i < g->worker_count; i++)
        wsg_loop_post(g->workers[i].loop, &l->parts[i].task);
    return WSB_OK;
}

void wsg_gate_listings_free(struct wsg_gate *g)
{
    struct wsg_listing *l, *next;
    DL_FOREACH_SAFE (g->listings, l, next)
        listing_free(l);
}
