/* The output queue. */
#include "net/outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CHUNK_BYTES = 4096, POOL_MAX = 512, IOV_MAX_USED = 64 };

struct wsg_chunk {
    struct wsg_chunk *next;
    enum { CHUNK_OWN, CHUNK_SHARED, CHUNK_FILE } kind;
    int fd;                    /* CHUNK_FILE, owned */
    off_t offset;              /* CHUNK_FILE */
    size_t start;              /* first byte not yet written */
    size_t len;                /* end of the bytes; of a file, what is left */
    size_t cap;                /* CHUNK_OWN */
    struct wsg_shared *shared; /* CHUNK_SHARED, one reference owned */
    uint8_t data[];
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

static struct wsg_chunk *chunk_new(struct wsg_chunk_pool *pool, size_t cap)
{
    struct wsg_chunk *c = pool->spare;
    if (cap <= CHUNK_BYTES && c) {
        pool->spare = c->next;
        pool->count--;
        cap = CHUNK_BYTES;
    } else {
        if (cap <= CHUNK_BYTES)
            cap = CHUNK_BYTES;
        if (cap > SIZE_MAX - sizeof *c)
            return NULL;
        c = malloc(sizeof *c + cap);
        if (!c)
            return NULL;
    }
    *c = (struct wsg_chunk){.kind = CHUNK_OWN, .fd = -1, .cap = cap};
    return c;
}

static void chunk_free(struct wsg_chunk_pool *pool, struct wsg_chunk *c)
{
    if (c->kind == CHUNK_FILE)
        close(c->fd);
    wsg_shared_unref(c->shared);
    if (c->cap == CHUNK_BYTES && pool->count < POOL_MAX) {
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

static void push_chunk(struct wsg_outq *q, struct wsg_chunk *c)
{
    if (q->tail)
        q->tail->next = c;
    else
        q->head = c;
    q->tail = c;
}

static void pop_chunk(struct wsg_outq *q, struct wsg_chunk_pool *pool)
{
    struct wsg_chunk *c = q->head;
    q->head = c->next;
    if (!q->head)
        q->tail = NULL;
    chunk_free(pool, c);
}

void wsg_outq_deinit(struct wsg_outq *q, struct wsg_chunk_pool *pool)
{
    while (q->head)
        pop_chunk(q, pool);
    q->bytes = 0;
}

/* ------------------------------------------------------------------ filling */

static void account(struct wsg_outq *q, size_t len)
{
    q->bytes += len;
    q->queued += len;
}

wsb_err wsg_outq_space(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t len, uint8_t **ret)
{
    struct wsg_chunk *c = q->tail;
    if (!c || c->kind != CHUNK_OWN || c->cap - c->len < len) {
        c = chunk_new(pool, len);
        if (!c)
            return WSB_ERR_NOMEM;
        push_chunk(q, c);
    }
    *ret = c->data + c->len;
    c->len += len;
    account(q, len);
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

wsb_err wsg_outq_append_shared(struct wsg_outq *q, struct wsg_chunk_pool *pool, struct wsg_shared *s)
{
    if (s->len == 0)
        return WSB_OK;
    if (s->len <= 512) /* a copy is cheaper than one more element of the vector */
        return wsg_outq_append(q, pool, s->data, s->len);
    struct wsg_chunk *c = chunk_new(pool, 0);
    if (!c)
        return WSB_ERR_NOMEM;
    c->kind = CHUNK_SHARED;
    c->shared = wsg_shared_ref(s);
    c->len = s->len;
    push_chunk(q, c);
    account(q, s->len);
    return WSB_OK;
}

wsb_err wsg_outq_append_file(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, off_t offset, size_t len)
{
    struct wsg_chunk *c = chunk_new(pool, 0);
    if (!c)
        return WSB_ERR_NOMEM;
    c->kind = CHUNK_FILE;
    c->fd = fd;
    c->offset = offset;
    c->len = len;
    push_chunk(q, c);
    account(q, len);
    return WSB_OK;
}

/* ----------------------------------------------------------------- flushing */

static wsb_err error_of(int code)
{
    return code == EAGAIN || code == EWOULDBLOCK ? WSB_AGAIN : WSB_ERR_IO;
}

static void consume(struct wsg_outq *q, struct wsg_chunk_pool *pool, size_t count)
{
    q->bytes -= count;
    q->written += count;
    while (count || (q->head && q->head->start == q->head->len)) {
        struct wsg_chunk *c = q->head;
        size_t left = c->len - c->start;
        size_t take = count < left ? count : left;
        c->start += take;
        count -= take;
        if (c->start < c->len)
            return;
        pop_chunk(q, pool);
    }
}

static wsb_err flush_memory(struct wsg_outq *q, struct wsg_chunk_pool *pool, int fd, size_t *ret_count)
{
    struct iovec iov[IOV_MAX_USED];
    size_t n = 0;
    for (struct wsg_chunk *c = q->head; c && c->kind != CHUNK_FILE && n < IOV_MAX_USED; c = c->next) {
        uint8_t *base = c->kind == CHUNK_SHARED ? c->shared->data : c->data;
        iov[n++] = (struct iovec){base + c->start, c->len - c->start};
    }
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
    ssize_t sent;
    do {
        sent = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
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
        sent = sendfile(fd, c->fd, &c->offset, left < budget ? left : budget);
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
        wsb_err err =
            q->head->kind == CHUNK_FILE ? flush_file(q, pool, fd, budget, &count) : flush_memory(q, pool, fd, &count);
        if (err)
            return err;
        budget = count < budget ? budget - count : 0;
    }
    return WSB_OK;
}
