/* The output queue. */
#include "net/outq.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/scratch.h"
#include "net/chunk.h"

enum { POOL_MAX = 512, IOV_MAX_USED = 64 };

/* A message that ends in a chunk with others. */
struct mark {
    uint32_t end;
    uint32_t size;
};

struct wsg_shared *wsg_shared_new(size_t len)
{
    if (len > SIZE_MAX - sizeof(struct wsg_shared))
        return NULL;
    struct wsg_shared *s = malloc(sizeof *s + len);
    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    s->len = len;
    return s;
}

struct wsg_shared *wsg_shared_ref(struct wsg_shared *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void wsg_shared_unref(struct wsg_shared *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        free(s);
}

/* ------------------------------------------------------------------ chunks */

struct wsg_chunk *wsg_chunk_new(enum wsg_chunk_kind kind, size_t cap)
{
    struct wsg_chunk *c = cap <= SIZE_MAX - sizeof *c ? malloc(sizeof *c + cap) : NULL;
    if (c)
        *c = (struct wsg_chunk){.kind = (uint8_t)kind};
    if (c && kind == WSG_CHUNK_OWN)
        c->of.cap = cap;
    return c;
}

/* For small pieces to share. */
static struct wsg_chunk *chunk_from_pool(struct wsg_chunk_pool *pool)
{
    struct wsg_chunk *c = pool->spare;
    if (!c)
        return wsg_chunk_new(WSG_CHUNK_OWN, WSG_CHUNK_BYTES);
    pool->spare = c->next;
    pool->count--;
    *c = (struct wsg_chunk){.kind = WSG_CHUNK_OWN, .of.cap = WSG_CHUNK_BYTES};
    return c;
}

void wsg_chunk_free(struct wsg_chunk_pool *pool, struct wsg_chunk *c)
{
    if (c->kind == WSG_CHUNK_FILE)
        close(c->of.file.fd);
    if (c->kind == WSG_CHUNK_SHARED)
        wsg_shared_unref(c->of.shared);
    if (pool && c->kind == WSG_CHUNK_OWN && c->of.cap == WSG_CHUNK_BYTES && !c->is_loose && pool->count < POOL_MAX) {
        c->next = pool->spare;
        pool->spare = c;
        pool->count++;
    } else {
        free(c);
    }
}

void wsg_chunk_pool_deinit(struct wsg_chunk_pool *p)
{
    while (p->spare) {
        struct wsg_chunk *c = p->spare;
        p->spare = c->next;
        free(c);
    }
    p->count = 0;
}

void wsg_outq_push(struct wsg_outq *q, struct wsg_chunk *c)
{
    c->at = q->queued;
    c->prev = q->tail;
    if (q->tail)
        q->tail->next = c;
    else
        q->head = c;
    q->tail = c;
    q->bytes += c->len;
    q->queued += c->len;
    q->messages += c->messages;
    q->extra += c->extra;
}

void wsg_outq_unlink(struct wsg_outq *q, struct wsg_chunk *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        q->head = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        q->tail = c->prev;
    q->extra -= c->extra;
    if (!q->head)
        wsg_loose_deinit(q);
}

/* Its bytes are on their way. */
static void begin(struct wsg_outq *q, struct wsg_chunk *c)
{
    if (c->is_loose && !c->has_begun)
        wsg_loose_begin(q, c);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): as in consume() */
void wsg_outq_deinit(struct wsg_outq *q, struct wsg_chunk_pool *pool)
{
    while (q->head) {
        struct wsg_chunk *c = q->head;
        begin(q, c);
        wsg_outq_unlink(q, c);
        wsg_chunk_free(pool, c);
    }
    q->bytes = 0;
    q->messages = 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* ------------------------------------------------------------------ filling */

static size_t free_of(const struct wsg_chunk *c)
{
    return c->of.cap - c->len - c->messages * sizeof(struct mark);
}

static uint8_t *mark_at(struct wsg_chunk *c, size_t index)
{
    return c->data + c->of.cap - (index + 1) * sizeof(struct mark);
}

/*
 * A chunk at the end that has so much room. Behind loose messages it is no larger than that: what stands around it may be
 * dropped, and a peer could have us keep a whole chunk for each of its pings. Its own memory then counts.
 */
static struct wsg_chunk *chunk_with_room(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t room)
{
    struct wsg_chunk *c = q->tail;
    if (c && c->kind == WSG_CHUNK_OWN && !c->is_loose && free_of(c) >= room)
        return c;
    bool is_alone = c && (c->is_loose || c->extra);
    if (!c && !pool->spare && room <= WSG_CHUNK_FEW)
        c = wsg_chunk_new(WSG_CHUNK_OWN, WSG_CHUNK_FEW);
    else
        c = room <= WSG_CHUNK_BYTES && !is_alone ? chunk_from_pool(pool) : wsg_chunk_new(WSG_CHUNK_OWN, room);
    if (!c)
        return NULL;
    c->extra = is_alone ? sizeof *c : 0;
    wsg_outq_push(q, c);
    return c;
}

static uint8_t *add_bytes(struct wsg_outq *q, struct wsg_chunk *c, size_t len)
{
    uint8_t *to = c->data + c->len;
    assert(c->at + c->len == q->queued);
    c->len += len;
    q->bytes += len;
    q->queued += len;
    return to;
}

wsb_err wsg_outq_space(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t len, uint8_t **ret)
{
    struct wsg_chunk *c = chunk_with_room(q, pool, len);
    if (!c)
        return WSB_ERR_NOMEM;
    *ret = add_bytes(q, c, len);
    return WSB_OK;
}

wsb_err wsg_outq_append(struct wsg_outq *q, struct wsg_chunk_pool *pool, const void *data, size_t len)
{
    uint8_t *to;
    if (len == 0)
        return WSB_OK;
    wsb_err err = wsg_outq_space(q, pool, len, &to);
    if (!err)
        memcpy(to, data, len);
    return err;
}

wsb_err wsg_outq_append_file(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, off_t offset, size_t len)
{
    struct wsg_chunk *c = wsg_chunk_new(WSG_CHUNK_FILE, 0);
    (void)pool;
    if (!c)
        return WSB_ERR_NOMEM;
    c->of.file.fd = fd;
    c->of.file.offset = offset;
    c->len = len;
    wsg_outq_push(q, c);
    return WSB_OK;
}

bool wsg_outq_has_file(const struct wsg_outq *q)
{
    const struct wsg_chunk *c = q->head;
    while (c && c->kind != WSG_CHUNK_FILE)
        c = c->next;
    return c != NULL;
}

wsb_err wsg_outq_message(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t len, uint32_t size, uint8_t **ret)
{
    assert(len > 0);
    if (len > UINT32_MAX - WSG_CHUNK_BYTES)
        return WSB_ERR_LIMIT; /* marks are as wide as a message can be */
    struct wsg_chunk *c = chunk_with_room(q, pool, len + sizeof(struct mark));
    if (!c)
        return WSB_ERR_NOMEM;
    *ret = add_bytes(q, c, len);
    struct mark mark = {(uint32_t)c->len, size};
    memcpy(mark_at(c, c->messages), &mark, sizeof mark);
    c->messages++;
    c->sizes += size;
    q->messages++;
    return WSB_OK;
}

wsb_err wsg_outq_message_shared(struct wsg_outq *q, struct wsg_chunk_pool *pool, struct wsg_shared *s, uint32_t size)
{
    uint8_t *to;
    if (s->len <= 512) { /* a copy is cheaper than one more element of the vector */
        wsb_err err = wsg_outq_message(q, pool, s->len, size, &to);
        if (!err)
            memcpy(to, s->data, s->len);
        return err;
    }
    struct wsg_chunk *c = wsg_chunk_new(WSG_CHUNK_SHARED, 0);
    if (!c)
        return WSB_ERR_NOMEM;
    c->of.shared = wsg_shared_ref(s);
    c->len = s->len;
    c->messages = 1;
    c->sizes = size;
    wsg_outq_push(q, c);
    return WSB_OK;
}

/* ----------------------------------------------------------------- flushing */

static wsb_err error_of(int code)
{
    return code == EAGAIN || code == EWOULDBLOCK ? WSB_AGAIN : WSB_ERR_IO;
}

static void count_written(struct wsg_outq *q, struct wsg_chunk *c, uint32_t messages, uint64_t sizes)
{
    c->counted += messages;
    c->sizes -= sizes;
    q->messages -= messages;
    q->messages_written += messages;
    q->sizes_written += sizes;
}

/* Of a chunk of which a part has left. */
static void count_marks(struct wsg_outq *q, struct wsg_chunk *c)
{
    struct mark mark;
    if (c->kind != WSG_CHUNK_OWN || c->is_loose)
        return;
    while (c->counted < c->messages) {
        memcpy(&mark, mark_at(c, c->counted), sizeof mark);
        if (mark.end > c->start)
            return;
        count_written(q, c, 1, mark.size);
    }
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): does not see that what is freed is unlinked from the list before */
static void consume(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t count)
{
    q->bytes -= count;
    while (count || (q->head && q->head->start == q->head->len)) {
        struct wsg_chunk *c = q->head;
        assert(c); /* there are as many bytes */
        size_t left = c->len - c->start;
        size_t take = count < left ? count : left;
        begin(q, c);
        c->start += take;
        count -= take;
        q->written = c->at + c->start;
        if (c->start < c->len) {
            count_marks(q, c);
            return;
        }
        count_written(q, c, c->messages - c->counted, c->sizes);
        wsg_outq_unlink(q, c);
        wsg_chunk_free(pool, c);
    }
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* Most often one piece waits, and for one the kernel need not read and check a vector. */
static ssize_t send_vector(int fd, struct iovec *iov, size_t n)
{
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    if (n == 1)
        return send(fd, iov->iov_base, iov->iov_len, flags);
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
    return sendmsg(fd, &m, flags);
}

static wsb_err flush_memory(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, size_t *ret_count)
{
    WSB_SCRATCH struct iovec iov[IOV_MAX_USED];
    size_t n = 0;
    for (struct wsg_chunk *c = q->head; c && c->kind != WSG_CHUNK_FILE && n < IOV_MAX_USED; c = c->next) {
        uint8_t *base = c->kind == WSG_CHUNK_SHARED ? c->of.shared->data : c->data;
        iov[n++] = (struct iovec){base + c->start, c->len - c->start};
    }
    ssize_t sent;
    do {
        sent = send_vector(fd, iov, n);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return error_of(errno);
    *ret_count = (size_t)sent;
    consume(q, pool, *ret_count);
    return WSB_OK;
}

static wsb_err flush_file(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, size_t budget, size_t *ret_count)
{
    struct wsg_chunk *c = q->head;
    size_t left = c->len - c->start;
    ssize_t sent;
    do {
        sent = sendfile(fd, c->of.file.fd, &c->of.file.offset, left < budget ? left : budget);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return error_of(errno);
    if (sent == 0)
        return WSB_ERR_IO; /* cut short while we served it: the promised length cannot be kept */
    *ret_count = (size_t)sent;
    consume(q, pool, *ret_count);
    return WSB_OK;
}

wsb_err wsg_outq_flush(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, size_t budget)
{
    while (q->head) {
        size_t count = 0;
        if (budget == 0)
            return WSB_MORE;
        wsb_err err = q->head->kind == WSG_CHUNK_FILE ? flush_file(q, pool, fd, budget, &count)
                                                      : flush_memory(q, pool, fd, &count);
        if (err)
            return err;
        budget = count < budget ? budget - count : 0;
    }
    return WSB_OK;
}

/* ------------------------------------------------------------------ walking */

static wsb_err read_file(const struct wsg_chunk *c, size_t from, uint8_t *buf, size_t len, size_t *ret_len)
{
    ssize_t got;
    do {
        got = pread(c->of.file.fd, buf, len, c->of.file.offset + (off_t)(from - c->start));
    } while (got < 0 && errno == EINTR);
    if (got <= 0)
        return WSB_ERR_IO; /* cut short while we served it, or worse */
    *ret_len = (size_t)got;
    return WSB_OK;
}

wsb_err wsg_outq_walk(struct wsg_outq *q, struct wsg_outq_walk *w, uint8_t *buf, size_t max, struct wsb_span *ret)
{
    struct wsg_chunk *c = w->next;
    size_t len;
    if (!w->has_begun) {
        *w = (struct wsg_outq_walk){.next = q->head, .at = q->head ? q->head->start : 0, .has_begun = true};
        c = w->next;
    }
    if (!c)
        return WSB_MORE;
    len = c->len - w->at;
    len = len < max ? len : max;
    if (c->kind == WSG_CHUNK_FILE) {
        wsb_err err = read_file(c, w->at, buf, len, &len);
        if (err)
            return err;
        *ret = wsb_span(buf, len);
    } else {
        *ret = wsb_span((c->kind == WSG_CHUNK_SHARED ? c->of.shared->data : c->data) + w->at, len);
    }
    begin(q, c);
    w->at += len;
    if (w->at == c->len) {
        w->next = c->next;
        w->at = 0;
    }
    return WSB_OK;
}

void wsg_outq_take(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t count)
{
    struct wsg_chunk *c = q->head;
    size_t left = count;
    assert(count <= q->bytes);
    for (; c && left; c = c->next) { /* sendfile() moves the offset by itself */
        size_t take = c->len - c->start < left ? c->len - c->start : left;
        if (c->kind == WSG_CHUNK_FILE)
            c->of.file.offset += (off_t)take;
        left -= take;
    }
    consume(q, pool, count);
}
