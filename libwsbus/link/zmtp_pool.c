/* Chunks of received bytes. */
#include "link/zmtp_pool.h"

#include <stdlib.h>

static bool has_room(const struct wsb_zmtp_pool *p, size_t more)
{
    return more <= p->max && p->bytes <= p->max - more;
}

wsb_err wsb_zmtp_chunk_new(struct wsb_zmtp_pool *p, size_t cap, struct wsb_zmtp_chunk **ret)
{
    struct wsb_zmtp_chunk *chunk = p->spare;
    if (cap == WSB_CHUNK && chunk) {
        p->spare = NULL;
        chunk->refs = 1;
        *ret = chunk;
        return WSB_OK;
    }
    if (!has_room(p, cap))
        return WSB_ERR_LIMIT;
    chunk = malloc(sizeof *chunk + cap);
    if (!chunk)
        return WSB_ERR_NOMEM;
    chunk->refs = 1;
    chunk->cap = cap;
    p->bytes += cap;
    *ret = chunk;
    return WSB_OK;
}

wsb_err wsb_zmtp_chunk_grow(struct wsb_zmtp_pool *p, struct wsb_zmtp_chunk **chunk, size_t cap)
{
    size_t before = (*chunk)->cap;
    if (!has_room(p, cap - before))
        return WSB_ERR_LIMIT;
    struct wsb_zmtp_chunk *bigger = realloc(*chunk, sizeof *bigger + cap);
    if (!bigger)
        return WSB_ERR_NOMEM;
    bigger->cap = cap;
    p->bytes += cap - before;
    *chunk = bigger;
    return WSB_OK;
}

void wsb_zmtp_chunk_free(struct wsb_zmtp_pool *p, struct wsb_zmtp_chunk *chunk)
{
    if (!chunk || --chunk->refs)
        return;
    if (chunk->cap == WSB_CHUNK && !p->spare) {
        p->spare = chunk;
        return;
    }
    p->bytes -= chunk->cap;
    free(chunk);
}

void wsb_zmtp_pool_deinit(struct wsb_zmtp_pool *p)
{
    free(p->spare);
    p->spare = NULL;
}
