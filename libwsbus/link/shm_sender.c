/* Envelopes into a ring, whole or in parts. What lies in front of the floor of the ring and is lent is recalled first. */
#include "link/shm_sender.h"

#include <stdlib.h>

#include "link/shm_wire.h"

enum { PART_HEAD = 8 /* length and kind, in front of a part's bytes */ };

/* An envelope that waits for room. */
struct wsb_queued {
    struct wsb_queued *next;
    struct wsb_header header;
    struct wsb_block *payload; /* owned */
    size_t size;               /* as a record */
    size_t at;                 /* bytes of it that were written in parts */
    size_t meta_len;
    uint8_t meta[];
};

void wsb_sender_init(struct wsb_sender *s, uint8_t *data, uint64_t size, uint64_t key, struct wsb_ring_words *mine,
                     const struct wsb_ring_words *peers)
{
    *s = (struct wsb_sender){0};
    wsb_ring_tx_init(&s->ring, data, size, key, mine, peers);
    s->ring.holds = true;
}

static void free_first(struct wsb_sender *s)
{
    struct wsb_queued *q = s->first;
    s->first = q->next;
    if (!s->first)
        s->last = NULL;
    wsb_block_free(q->payload);
    free(q);
}

void wsb_sender_deinit(struct wsb_sender *s)
{
    while (s->first)
        free_first(s);
}

/* ---------------------------------------------------------------------- room */

/* What the consumer has released, and nobody reads any more, may be written over. Of what is still lent, recall as much as
 * is needed. */
static bool recall_until(struct wsb_sender *s, uint64_t floor)
{
    while (s->oldest && s->oldest->place < floor) {
        struct wsb_loan *l = s->oldest;
        if (!l->recall(l)) {
            wsb_ring_let_go(&s->ring, l->place);
            return false;
        }
        wsb_loan_end(l);
    }
    wsb_ring_let_go(&s->ring, floor);
    return true;
}

bool wsb_sender_recall_all(struct wsb_sender *s)
{
    return recall_until(s, s->ring.tail);
}

/* Room for a body of so many bytes, as far as the consumer has come. */
static bool make_room(struct wsb_sender *s, size_t len)
{
    uint64_t need = wsb_ring_size_of(len);
    uint64_t floor = s->ring.tail + need - s->ring.size; /* what has to be free; there is less room than that now */
    if (s->ring.head - s->ring.floor < floor - s->ring.floor) {
        if (wsb_ring_look(&s->ring) != WSB_OK) {
            s->is_broken = true;
            return false;
        }
        if (s->ring.head - s->ring.floor < floor - s->ring.floor)
            return false;
    }
    /* a good deal more than is needed now, so that this is not done for each record */
    uint64_t more = floor + s->ring.size / 16;
    if (s->ring.head - s->ring.floor < more - s->ring.floor)
        more = s->ring.head;
    return recall_until(s, more) || need <= wsb_ring_room(&s->ring);
}

static uint8_t *reserve(struct wsb_sender *s, size_t len)
{
    uint8_t *at = wsb_ring_reserve(&s->ring, len);
    if (!at && !s->is_broken && make_room(s, len))
        at = wsb_ring_reserve(&s->ring, len);
    return at;
}

static bool is_too_large(const struct wsb_sender *s, size_t record_size)
{
    return wsb_ring_size_of(record_size) > s->ring.size / 4;
}

/* -------------------------------------------------------------------- sending */

bool wsb_sender_reserve(struct wsb_sender *s, const struct wsb_header *h, struct wsb_span meta, uint8_t **ret_payload)
{
    size_t size = wsb_record_size(h->payload_len, meta.len);
    if (s->first || size == 0 || is_too_large(s, size))
        return false;
    uint8_t *at = reserve(s, size);
    if (!at) {
        s->stalls++;
        return false;
    }
    wsb_record_begin(at, h, meta, ret_payload);
    s->reserved = size;
    return true;
}

void wsb_sender_commit(struct wsb_sender *s, struct wsb_loan *loan)
{
    if (loan)
        wsb_loan_begin(loan, &s->oldest, &s->newest, s->ring.tail);
    wsb_ring_commit(&s->ring, s->reserved);
    s->reserved = 0;
    s->records++;
}

static wsb_err enqueue(struct wsb_sender *s, const struct wsb_header *h, struct wsb_block *payload,
                       struct wsb_span meta)
{
    struct wsb_queued *q = malloc(sizeof *q + meta.len);
    if (!q) {
        wsb_block_free(payload);
        return WSB_ERR_NOMEM;
    }
    *q = (struct wsb_queued){
        .header = *h, .payload = payload, .size = wsb_record_size(payload->len, meta.len), .meta_len = meta.len};
    if (meta.len)
        memcpy(q->meta, meta.ptr, meta.len);
    if (s->last)
        s->last->next = q;
    else
        s->first = q;
    s->last = q;
    return WSB_OK;
}

wsb_err wsb_sender_send(struct wsb_sender *s, const struct wsb_header *h, struct wsb_block *payload,
                        struct wsb_span meta)
{
    uint8_t *at;
    if (!wsb_record_size(payload->len, meta.len)) {
        wsb_block_free(payload);
        return WSB_ERR_LIMIT;
    }
    if (!wsb_sender_reserve(s, h, meta, &at)) {
        wsb_err err = enqueue(s, h, payload, meta);
        if (!err)
            wsb_sender_go_on(s);
        return err;
    }
    if (payload->len)
        memcpy(at, payload->data, payload->len);
    wsb_sender_commit(s, NULL);
    wsb_block_free(payload);
    return WSB_OK;
}

/* ---------------------------------------------------------------------- parts */

/* Copy [from, from + len) of what is made of pieces. */
struct cut {
    uint8_t *to;
    size_t from, len;
};

static void take(struct cut *c, size_t *piece_at, const uint8_t *piece, size_t piece_len)
{
    if (c->len && c->from < *piece_at + piece_len) {
        size_t skip = c->from - *piece_at;
        size_t n = piece_len - skip < c->len ? piece_len - skip : c->len;
        memcpy(c->to, piece + skip, n);
        c->to += n;
        c->from += n;
        c->len -= n;
    }
    *piece_at += piece_len;
}

/* Bytes of the record as which the envelope would stand in a batch. */
static void copy_record(const struct wsb_queued *q, struct cut c)
{
    static const uint8_t padding[8];
    uint8_t head[WSB_RECORD_PREFIX + WSB_HEADER_SIZE + 8];
    uint8_t *unused;
    size_t at = 0;
    struct wsb_header h = q->header;
    h.payload_len = 0;
    wsb_record_begin(head, &h, wsb_span(NULL, 0), &unused);
    h.payload_len = (uint32_t)q->payload->len;
    const uint32_t lens[2] = {htole32((uint32_t)(WSB_RECORD_PREFIX + WSB_HEADER_SIZE + q->payload->len + q->meta_len)),
                              htole32((uint32_t)q->meta_len)};
    memcpy(head, lens, sizeof lens);
    wsb_header_write(head + WSB_RECORD_PREFIX, &h);
    take(&c, &at, head, WSB_RECORD_PREFIX + WSB_HEADER_SIZE);
    take(&c, &at, q->payload->data, q->payload->len);
    take(&c, &at, q->meta, q->meta_len);
    take(&c, &at, padding, q->size - at);
}

static bool write_part(struct wsb_sender *s, struct wsb_queued *q)
{
    size_t most = (size_t)(s->ring.size / 8) - WSB_RING_ALIGN;
    size_t len = q->size - q->at < most ? q->size - q->at : most;
    uint8_t *at = reserve(s, PART_HEAD + len);
    if (!at)
        return false;
    uint32_t kind = WSB_SHM_PART | (q->at + len == q->size ? WSB_SHM_PART_LAST : 0);
    const uint32_t head[2] = {htole32((uint32_t)(PART_HEAD + len)), htole32(kind)};
    memcpy(at, head, sizeof head);
    copy_record(q, (struct cut){at + PART_HEAD, q->at, len});
    q->at += len;
    s->reserved = PART_HEAD + len;
    wsb_sender_commit(s, NULL);
    return true;
}

static bool write_whole(struct wsb_sender *s, struct wsb_queued *q)
{
    uint8_t *at = reserve(s, q->size);
    uint8_t *payload;
    if (!at)
        return false;
    wsb_record_begin(at, &q->header, wsb_span(q->meta, q->meta_len), &payload);
    if (q->payload->len)
        memcpy(payload, q->payload->data, q->payload->len);
    s->reserved = q->size;
    q->at = q->size;
    wsb_sender_commit(s, NULL);
    return true;
}

static bool write_some(struct wsb_sender *s, struct wsb_queued *q)
{
    return is_too_large(s, q->size) ? write_part(s, q) : write_whole(s, q);
}

void wsb_sender_go_on(struct wsb_sender *s)
{
    while (s->first && !s->is_broken) {
        struct wsb_queued *q = s->first;
        if (!write_some(s, q)) {
            size_t want = is_too_large(s, q->size) ? (size_t)(s->ring.size / 8) - WSB_RING_ALIGN : q->size;
            s->is_broken = s->is_broken || wsb_ring_want_room(&s->ring, want) == WSB_ERR_PROTO;
            if (s->is_broken || !write_some(s, q)) /* it was asked first, and looked at again then */
                return;
        }
        if (q->at == q->size)
            free_first(s);
    }
}
