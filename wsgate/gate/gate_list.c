/* All connections as `wsctl list` shows them: each worker is asked, looks at its own a piece at a time, and comes back. */
#include <assert.h>
#include <stdlib.h>

#include "gate/gate_parts.h"

enum { LIST_PLACES = 2048 };

struct listing {
    struct wsg_gate *gate;
    void (*done)(void *ctx, struct wsg_conn_info *rows, size_t count);
    void *ctx;
    struct wsg_conn_info *rows; /* owned; of all workers that answered */
    size_t count;
    size_t waiting; /* workers that have not */
};

/* What one worker adds; goes there and comes back. */
struct listing_part {
    struct wsg_task task;
    struct listing *listing;
    struct wsg_worker *worker;
    struct wsg_conn_info *rows; /* owned */
    size_t count, cap;
    uint32_t at; /* the next place to look at */
};

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
    if (p->count >= p->cap)
        return; /* more came since we counted: the next listing has them */
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
        .messages_in = s->messages_in,
        .bytes_in = s->bytes_in,
        .messages_out = s->messages_out,
        .bytes_out = s->bytes_out,
        .queued = s->out.bytes,
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

static void on_part_back(struct wsg_task *t)
{
    struct listing_part *p = CONTAINER(t, struct listing_part, task);
    struct listing *l = p->listing;
    if (!l->rows) { /* the first one's rows are taken as they are */
        l->rows = p->rows;
        l->count = p->count;
        p->rows = NULL;
    } else if (p->count) {
        struct wsg_conn_info *rows = realloc(l->rows, (l->count + p->count) * sizeof *rows);
        if (rows) {
            memcpy(rows + l->count, p->rows, p->count * sizeof *rows);
            l->rows = rows;
            l->count += p->count;
        }
    }
    free(p->rows);
    free(p);
    if (--l->waiting == 0) {
        l->done(l->ctx, l->rows, l->count);
        free(l);
    }
}

/* Some thousand places a round, so that a listing of many stalls none of them. */
static void on_part(struct wsg_task *t)
{
    struct listing_part *p = CONTAINER(t, struct listing_part, task);
    const struct wsg_slots *slots = &p->worker->env.slots;
    if (!p->rows) {
        p->cap = slots->used;
        p->rows = malloc((p->cap ? p->cap : 1) * sizeof *p->rows);
        if (!p->rows)
            p->cap = 0;
    }
    uint32_t end = slots->count - p->at < LIST_PLACES ? slots->count : p->at + LIST_PLACES;
    for (; p->at < end; p->at++) {
        if (slots->slots[p->at].value)
            add_row(slots->slots[p->at].value, p);
    }
    bool is_done = p->at == slots->count || p->count == p->cap;
    p->task.fn = is_done ? on_part_back : on_part;
    wsg_loop_post(is_done ? p->listing->gate->workers[0].loop : p->worker->loop, &p->task);
}

wsb_err wsg_gate_list(struct wsg_gate *g, void (*done)(void *ctx, struct wsg_conn_info *rows, size_t count), void *ctx)
{
    size_t count = g->worker_count;
    struct listing_part *parts[WSG_ID_WORKERS] = {0};
    assert(count > 0); /* the one that asks is there */
    struct listing *l = malloc(sizeof *l);
    bool ok = l != NULL;
    for (size_t i = 0; i < count && ok; i++)
        ok = (parts[i] = calloc(1, sizeof *parts[i])) != NULL;
    if (!ok) {
        for (size_t i = 0; i < count; i++)
            free(parts[i]);
        free(l);
        return WSB_ERR_NOMEM;
    }
    *l = (struct listing){.gate = g, .done = done, .ctx = ctx, .waiting = count};
    for (size_t i = 0; i < count; i++) {
        *parts[i] = (struct listing_part){.task.fn = on_part, .listing = l, .worker = &g->workers[i]};
        wsg_loop_post(g->workers[i].loop, &parts[i]->task);
    }
    return WSB_OK;
}
