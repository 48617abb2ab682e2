/*
 * The messages of an output queue that may be dropped: which is the oldest, which has a key. Each is a chunk of its own, so
 * that one leaves the queue without a trace, wherever it stands.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/chunk.h"

enum { BUCKETS_MIN = 16 };

/* ---------------------------------------------------------------- the index */

static struct wsb_span key_of(const struct wsg_chunk *c)
{
    return wsb_span(c->data + (c->kind == WSG_CHUNK_OWN ? c->len : 0), c->key_len);
}

static struct wsg_chunk **bucket_of(const struct wsg_outq_index *x, uint64_t hash)
{
    return &x->buckets[hash & (x->bucket_count - 1)];
}

/* Without memory the chains only become longer; the first table has to be there. */
static bool index_grow(struct wsg_outq_index *x)
{
    if (x->count < x->bucket_count)
        return true;
    struct wsg_outq_index bigger = {.bucket_count = x->bucket_count ? x->bucket_count * 2 : BUCKETS_MIN,
                                    .count = x->count};
    bigger.buckets = calloc(bigger.bucket_count, sizeof *bigger.buckets);
    if (!bigger.buckets)
        return x->buckets != NULL;
    for (size_t i = 0; i < x->bucket_count; i++) {
        for (struct wsg_chunk *c = x->buckets[i], *next; c; c = next) {
            struct wsg_chunk **bucket = bucket_of(&bigger, c->key_hash);
            next = c->next_in_bucket;
            c->next_in_bucket = *bucket;
            *bucket = c;
        }
    }
    free(x->buckets);
    *x = bigger;
    return true;
}

static void index_add(struct wsg_outq_index *x, struct wsg_chunk *c)
{
    struct wsg_chunk **bucket = bucket_of(x, c->key_hash);
    c->next_in_bucket = *bucket;
    *bucket = c;
    c->is_indexed = true;
    x->count++;
}

static void index_remove(struct wsg_outq_index *x, struct wsg_chunk *c)
{
    struct wsg_chunk **at = bucket_of(x, c->key_hash);
    while (*at != c)
        at = &(*at)->next_in_bucket;
    *at = c->next_in_bucket;
    c->is_indexed = false;
    x->count--;
}

const struct wsg_outq_droppable *wsg_outq_droppable(const struct wsg_outq *q)
{
    static const struct wsg_outq_droppable none;
    return q->droppable ? q->droppable : &none;
}

struct wsg_chunk *wsg_outq_find(const struct wsg_outq *q, struct wsb_span key, uint64_t hash)
{
    const struct wsg_outq_index *x = &wsg_outq_droppable(q)->index;
    if (x->count == 0)
        return NULL;
    struct wsg_chunk *c = *bucket_of(x, hash);
    while (c && (c->key_hash != hash || !wsb_span_eq(key_of(c), key)))
        c = c->next_in_bucket;
    return c;
}

/* ------------------------------------------------------------ loose messages */

static struct wsg_chunk *chunk_of(const struct wsg_loose *m)
{
    size_t len = m->shared ? 0 : m->len;
    if (m->key.len > UINT32_MAX || m->key.len > SIZE_MAX - len)
        return NULL;
    struct wsg_chunk *c = wsg_chunk_new(m->shared ? WSG_CHUNK_SHARED : WSG_CHUNK_OWN, len + m->key.len);
    if (!c)
        return NULL;
    if (m->shared)
        c->of.shared = wsg_shared_ref(m->shared);
    c->len = m->len;
    c->is_loose = true;
    c->messages = 1;
    c->sizes = m->size;
    c->extra = c->key_len = (uint32_t)m->key.len;
    c->key_hash = m->key_hash;
    if (m->key.len)
        memcpy(c->data + len, m->key.ptr, m->key.len);
    return c;
}

wsb_err wsg_outq_loose(struct wsg_outq *q, const struct wsg_loose *m, struct wsg_chunk **ret)
{
    assert(m->len > 0 && (!m->shared || m->shared->len == m->len));
    if (!q->droppable && !(q->droppable = calloc(1, sizeof *q->droppable)))
        return WSB_ERR_NOMEM;
    struct wsg_outq_droppable *d = q->droppable;
    struct wsg_chunk *c = chunk_of(m);
    if (!c)
        goto no_memory;
    if (m->key.ptr && !index_grow(&d->index)) {
        wsg_chunk_free(NULL, c);
        goto no_memory;
    }
    if (m->key.ptr)
        index_add(&d->index, c);
    wsg_outq_push(q, c);
    d->oldest = d->oldest ? d->oldest : c;
    d->count++;
    d->bytes += wsg_outq_cost(c);
    *ret = c;
    return WSB_OK;
no_memory:
    if (!q->head)
        wsg_loose_deinit(q); /* an empty queue holds none */
    return WSB_ERR_NOMEM;
}

uint8_t *wsg_outq_bytes(struct wsg_chunk *c)
{
    return c->data;
}

void wsg_outq_set_note(struct wsg_outq *q, struct wsg_chunk *c, void *note)
{
    q->droppable->noted += (note != NULL) - (size_t)(c->note != NULL);
    c->note = note;
}

bool wsg_outq_has_note(const struct wsg_chunk *c)
{
    return c->note != NULL;
}

size_t wsg_outq_len(const struct wsg_chunk *c)
{
    return c->len;
}

size_t wsg_outq_cost(const struct wsg_chunk *c)
{
    return c->len + c->extra;
}

void wsg_loose_begin(struct wsg_outq *q, struct wsg_chunk *c)
{
    struct wsg_outq_droppable *d = q->droppable;
    c->has_begun = true;
    d->count--;
    d->bytes -= wsg_outq_cost(c);
    d->noted -= c->note != NULL;
    if (c->is_indexed)
        index_remove(&d->index, c);
    /* the walk never goes back, so all walks together pass each chunk once */
    while (d->oldest == c || (d->oldest && !d->oldest->is_loose))
        d->oldest = d->oldest->next;
}

void *wsg_outq_drop(struct wsg_outq *q, struct wsg_chunk_pool *pool, struct wsg_chunk *c)
{
    void *note = c->note;
    assert(c->is_loose && !c->has_begun);
    wsg_loose_begin(q, c);
    q->bytes -= c->len;
    q->messages--;
    bool was_last = c == q->tail;
    wsg_outq_unlink(q, c);
    wsg_chunk_free(pool, c);
    if (was_last) /* nothing ends behind what is last now, and what comes next may join it */
        q->queued = q->tail ? q->tail->at + q->tail->len : q->written;
    return note;
}

void wsg_loose_deinit(struct wsg_outq *q)
{
    if (!q->droppable)
        return;
    assert(q->droppable->index.count == 0);
    free(q->droppable->index.buckets);
    free(q->droppable);
    q->droppable = NULL;
}
