/* The output queue: order, accounts, budgets, and what a full or broken socket means. */
#include "support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/chunk.h"
#include "net/outq.h"

struct fixture {
    struct wsg_outq q;
    struct wsg_chunk_pool pool;
    int pair[2];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, f->pair), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    wsg_outq_deinit(&f->q, &f->pool);
    wsg_chunk_pool_deinit(&f->pool);
    close(f->pair[0]);
    close(f->pair[1]);
    free(f);
    return 0;
}

static size_t read_all(int fd, uint8_t *to, size_t cap)
{
    size_t len = 0;
    for (ssize_t n; len < cap && (n = read(fd, to + len, cap - len)) > 0;)
        len += (size_t)n;
    return len;
}

static void test_everything_leaves_in_the_order_it_was_queued(void **state)
{
    struct fixture *f = *state;
    struct wsg_shared *shared = wsg_shared_new(1000);
    uint8_t got[2048];
    char path[] = "/tmp/wsbus-outq-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, "0123456789", 10), 10);
    memset(shared->data, 's', 1000);
    assert_int_equal(wsg_outq_append(&f->q, &f->pool, "ab", 2), WSB_OK);
    assert_int_equal(wsg_outq_message_shared(&f->q, &f->pool, shared, 996), WSB_OK);
    wsg_shared_unref(shared); /* the queue has a reference of its own */
    assert_int_equal(wsg_outq_append_file(&f->q, &f->pool, file, 3, 4), WSB_OK);
    assert_int_equal(wsg_outq_append(&f->q, &f->pool, "yz", 2), WSB_OK);
    assert_int_equal(f->q.bytes, 1008);
    assert_int_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX), WSB_OK);
    assert_int_equal(f->q.bytes, 0);
    assert_int_equal(f->q.written, 1008);
    assert_int_equal(f->q.messages, 0);
    assert_int_equal(f->q.messages_written, 1);
    assert_int_equal(f->q.sizes_written, 996);
    assert_null(f->q.head);
    assert_int_equal(read_all(f->pair[1], got, sizeof got), 1008);
    assert_memory_equal(got, "ab", 2);
    for (int i = 2; i < 1002; i++)
        assert_int_equal(got[i], 's');
    assert_memory_equal(got + 1002, "3456yz", 6);
    unlink(path);
}

static void test_a_full_socket_says_again_and_goes_on_later(void **state)
{
    struct fixture *f = *state;
    enum { TOTAL = 4 << 20 };
    uint8_t *sent = malloc(TOTAL), *got = malloc(TOTAL);
    size_t len = 0;
    for (size_t i = 0; i < TOTAL; i++)
        sent[i] = (uint8_t)(i * 7 >> 3);
    for (size_t at = 0; at < TOTAL; at += 1 << 12) /* many chunks */
        assert_int_equal(wsg_outq_append(&f->q, &f->pool, sent + at, 1 << 12), WSB_OK);
    wsb_err err;
    while ((err = wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX)) == WSB_AGAIN) {
        size_t n = read_all(f->pair[1], got + len, TOTAL - len);
        assert_true(n > 0);
        len += n;
    }
    assert_int_equal(err, WSB_OK);
    len += read_all(f->pair[1], got + len, TOTAL - len);
    assert_int_equal(len, TOTAL);
    assert_memory_equal(sent, got, TOTAL);
    free(sent);
    free(got);
}

static void test_a_budget_is_kept(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/wsbus-outq-XXXXXX";
    int file = mkstemp(path);
    assert_int_equal(ftruncate(file, 100000), 0);
    assert_int_equal(wsg_outq_append_file(&f->q, &f->pool, file, 0, 100000), WSB_OK);
    assert_int_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], 1000), WSB_MORE);
    assert_int_equal(f->q.written, 1000);
    unlink(path);
}

static void test_a_file_that_was_cut_short_is_a_lost_connection(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/wsbus-outq-XXXXXX";
    int file = mkstemp(path);
    assert_int_equal(wsg_outq_append_file(&f->q, &f->pool, file, 0, 10), WSB_OK);
    assert_int_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX), WSB_ERR_IO);
    unlink(path);
}

static void test_a_closed_peer_is_an_error_and_no_signal(void **state)
{
    struct fixture *f = *state;
    close(f->pair[1]);
    f->pair[1] = -1;
    assert_int_equal(wsg_outq_append(&f->q, &f->pool, "x", 1), WSB_OK);
    assert_int_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX), WSB_ERR_IO);
}

static void test_a_drained_queue_gives_its_chunks_to_the_pool(void **state)
{
    struct fixture *f = *state;
    static uint8_t many[WSG_CHUNK_FEW + 1], got[sizeof many];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wsg_outq_append(&f->q, &f->pool, many, i ? 1 : sizeof many), WSB_OK);
        assert_int_equal(f->pool.count, 0);
        assert_int_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX), WSB_OK);
        assert_int_equal(f->pool.count, 1);
        read_all(f->pair[1], got, sizeof got);
    }
}

/* A page for each of many thousand clients would cost more than what is said to them. */
static void test_the_first_small_message_takes_a_small_chunk(void **state)
{
    struct fixture *f = *state;
    uint8_t many[WSG_CHUNK_FEW];
    memset(many, 'm', sizeof many);
    assert_int_equal(wsg_outq_append(&f->q, &f->pool, "x", 1), WSB_OK);
    assert_int_equal(f->q.head->of.cap, WSG_CHUNK_FEW);
    assert_int_equal(wsg_outq_append(&f->q, &f->pool, many, sizeof many),
                     WSB_OK); /* what does not fit goes on in a whole one */
    assert_int_equal(f->q.tail->of.cap, WSG_CHUNK_BYTES);
    assert_int_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX), WSB_OK);
    assert_int_equal(f->pool.count, 1);
    uint8_t got[1 + sizeof many];
    read_all(f->pair[1], got, sizeof got);
    assert_int_equal(got[0], 'x');
    assert_memory_equal(got + 1, many, sizeof many);
}

static wsb_err add_message(struct fixture *f, const char *text, uint32_t size)
{
    uint8_t *to;
    wsb_err err = wsg_outq_message(&f->q, &f->pool, strlen(text), size, &to);
    if (!err)
        memcpy(to, text, strlen(text));
    return err;
}

static struct wsg_chunk *add_loose(struct fixture *f, const char *text, const char *key)
{
    struct wsg_chunk *c;
    struct wsg_loose m = {
        .len = strlen(text), .size = 1, .key = wsb_span_str(key), .key_hash = key ? (uint64_t)*key : 0};
    assert_int_equal(wsg_outq_loose(&f->q, &m, &c), WSB_OK);
    memcpy(wsg_outq_bytes(c), text, strlen(text));
    return c;
}

static void assert_leaves(struct fixture *f, const char *want)
{
    uint8_t got[4096];
    assert_int_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX), WSB_OK);
    size_t len = read_all(f->pair[1], got, sizeof got);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(got, want, len);
}

static void test_messages_are_counted_when_all_of_them_is_written(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(wsg_outq_append(&f->q, &f->pool, "head", 4), WSB_OK);
    assert_int_equal(add_message(f, "one", 1), WSB_OK);
    assert_int_equal(wsg_outq_append(&f->q, &f->pool, "pong", 4), WSB_OK);
    assert_int_equal(add_message(f, "two", 20), WSB_OK);
    assert_int_equal(f->q.messages, 2);
    assert_int_equal(f->q.messages_written, 0);
    assert_leaves(f, "headonepongtwo");
    assert_int_equal(f->q.messages, 0);
    assert_int_equal(f->q.messages_written, 2);
    assert_int_equal(f->q.sizes_written, 21);
}

static void test_a_loose_message_leaves_without_a_trace(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    struct fixture *f = *state;
    for (size_t victim = 0; victim < 3; victim++) {
        struct wsg_chunk *c[3];
        char want[16] = "";
        size_t len = 0;
        uint64_t before = f->q.queued;
        for (size_t i = 0; i < 3; i++) {
            c[i] = add_loose(f, names[i], names[i]);
            wsg_outq_set_note(&f->q, c[i], c[i]);
            len += (size_t)snprintf(want + len, sizeof want - len, "%s", i == victim ? "" : names[i]);
        }
        assert_ptr_equal(wsg_outq_find(&f->q, wsb_span_str(names[victim]), (uint64_t)*names[victim]), c[victim]);
        assert_null(wsg_outq_find(&f->q, wsb_span_str("d"), 'a'));
        assert_ptr_equal(wsg_outq_drop(&f->q, &f->pool, c[victim]), c[victim]);
        assert_null(wsg_outq_find(&f->q, wsb_span_str(names[victim]), (uint64_t)*names[victim]));
        assert_int_equal(f->q.bytes, 2);
        assert_int_equal(f->q.extra, 2);
        assert_int_equal(f->q.messages, 2);
        assert_int_equal(wsg_outq_droppable(&f->q)->count, 2);
        assert_int_equal(wsg_outq_droppable(&f->q)->noted, 2);
        assert_int_equal(f->q.queued, before + (victim == 2 ? 2 : 3)); /* what ends behind a gap keeps its position */
        assert_leaves(f, want);
        assert_int_equal(f->q.written, f->q.queued);
    }
    assert_int_equal(f->q.messages_written, 6);
}

static void test_the_oldest_is_one_that_has_not_begun(void **state)
{
    struct fixture *f = *state;
    assert_null(wsg_outq_droppable(&f->q)->oldest);
    assert_int_equal(add_message(f, "fixed", 1), WSB_OK);
    struct wsg_chunk *a = add_loose(f, "a", NULL);
    assert_int_equal(add_message(f, "fixed", 1), WSB_OK);
    struct wsg_chunk *b = add_loose(f, "b", NULL);
    assert_ptr_equal(wsg_outq_droppable(&f->q)->oldest, a);
    assert_null(wsg_outq_drop(&f->q, &f->pool, a));
    assert_ptr_equal(wsg_outq_droppable(&f->q)->oldest, b);
    assert_null(wsg_outq_drop(&f->q, &f->pool, b));
    assert_null(wsg_outq_droppable(&f->q)->oldest);
    assert_leaves(f, "fixedfixed");
}

static void test_pieces_behind_loose_messages_count_their_memory(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 1000; i++) { /* a client that pings while its messages come and go */
        struct wsg_chunk *c = add_loose(f, "x", NULL);
        assert_int_equal(wsg_outq_append(&f->q, &f->pool, "po", 2), WSB_OK);
        assert_int_equal(wsg_outq_append(&f->q, &f->pool, "ng", 2), WSB_OK);
        wsg_outq_drop(&f->q, &f->pool, c);
    }
    assert_int_equal(f->q.bytes, 4000);
    assert_true(f->q.extra >= (size_t)2000 * 64);
    while (f->q.head) {
        uint8_t got[4096];
        assert_true(wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX) != WSB_ERR_IO);
        assert_true(read_all(f->pair[1], got, sizeof got) > 0);
    }
    assert_int_equal(f->q.extra, 0);
}

/* ------------------------------------------------- against a model, at random */

enum { MODEL_PIECES = 4000, MODEL_BYTES = 1 << 20, KEYS = 40 };

struct piece {
    size_t len;
    uint32_t size;
    bool is_message, is_loose, is_dropped;
    int key; /* 0: none */
    struct wsg_chunk *chunk;
    uint64_t end; /* position, when it was queued */
    uint8_t *bytes;
};

struct model {
    struct piece pieces[MODEL_PIECES];
    size_t count, first; /* pieces[first…count) wait, less those dropped */
    size_t begun;        /* bytes of the first that have left */
    uint64_t messages_written, sizes_written;
    uint8_t want[MODEL_BYTES], got[MODEL_BYTES];
    size_t want_len, got_len;
    uint32_t random;
};

static uint32_t next_random(struct model *m, uint32_t below)
{
    m->random = m->random * 1664525u + 1013904223u;
    return (m->random >> 8) % below;
}

static void key_text(int key, char text[16])
{
    snprintf(text, 16, "key-%d", key);
}

static uint64_t key_hash(int key)
{
    return (uint64_t)key % 7; /* many fall together */
}

static struct piece *model_add(struct model *m)
{
    static const size_t lens[] = {1, 2, 7, 100, 600, 5000};
    struct piece *p = &m->pieces[m->count++];
    *p = (struct piece){.len = lens[next_random(m, 6)]};
    p->bytes = malloc(p->len);
    for (size_t i = 0; i < p->len; i++)
        p->bytes[i] = (uint8_t)next_random(m, 256);
    return p;
}

static struct wsg_shared *share(const struct piece *p)
{
    struct wsg_shared *s = wsg_shared_new(p->len);
    memcpy(s->data, p->bytes, p->len);
    return s;
}

static void op_add(struct fixture *f, struct model *m)
{
    struct piece *p = model_add(m);
    uint8_t *to = NULL;
    p->is_message = next_random(m, 4) > 0;
    p->size = p->is_message ? (uint32_t)next_random(m, 50) : 0;
    if (p->is_message && next_random(m, 3) == 0) {
        struct wsg_shared *s = share(p);
        assert_int_equal(wsg_outq_message_shared(&f->q, &f->pool, s, p->size), WSB_OK);
        wsg_shared_unref(s);
    } else {
        assert_int_equal(p->is_message ? wsg_outq_message(&f->q, &f->pool, p->len, p->size, &to)
                                       : wsg_outq_space(&f->q, &f->pool, p->len, &to),
                         WSB_OK);
        memcpy(to, p->bytes, p->len);
    }
    p->end = f->q.queued;
}

static void drop(struct fixture *f, struct piece *p)
{
    assert_ptr_equal(wsg_outq_drop(&f->q, &f->pool, p->chunk), p);
    p->is_dropped = true;
}

static bool can_drop(const struct model *m, size_t i)
{
    return m->pieces[i].is_loose && !m->pieces[i].is_dropped && (i > m->first || m->begun == 0);
}

/* A keyed one takes the place of that of its key, as the session does it. */
static void op_loose(struct fixture *f, struct model *m)
{
    struct piece *p = model_add(m);
    char text[16];
    p->is_message = p->is_loose = true;
    p->size = 1;
    p->key = (int)next_random(m, KEYS);
    key_text(p->key, text);
    struct wsg_chunk *old = p->key ? wsg_outq_find(&f->q, wsb_span_str(text), key_hash(p->key)) : NULL;
    struct piece *want = NULL;
    for (size_t i = m->first; i + 1 < m->count && p->key; i++)
        want = can_drop(m, i) && m->pieces[i].key == p->key ? &m->pieces[i] : want;
    assert_ptr_equal(old, want ? want->chunk : NULL);
    if (want)
        drop(f, want);
    struct wsg_shared *shared = next_random(m, 2) ? share(p) : NULL;
    struct wsg_loose spec = {.len = p->len, .shared = shared, .size = 1, .key_hash = key_hash(p->key)};
    spec.key = p->key ? wsb_span_str(text) : wsb_span(NULL, 0);
    assert_int_equal(wsg_outq_loose(&f->q, &spec, &p->chunk), WSB_OK);
    if (!shared)
        memcpy(wsg_outq_bytes(p->chunk), p->bytes, p->len);
    wsg_shared_unref(shared);
    wsg_outq_set_note(&f->q, p->chunk, p);
    p->end = f->q.queued;
}

static void op_drop_oldest(struct fixture *f, struct model *m)
{
    struct piece *oldest = NULL;
    for (size_t i = m->count; i-- > m->first;)
        oldest = can_drop(m, i) ? &m->pieces[i] : oldest;
    assert_ptr_equal(wsg_outq_droppable(&f->q)->oldest, oldest ? oldest->chunk : NULL);
    if (oldest)
        drop(f, oldest);
}

/* The kernel took so many bytes: which pieces are they? */
static void model_take(struct model *m, size_t count)
{
    while (m->first < m->count) {
        struct piece *p = &m->pieces[m->first];
        size_t take = p->is_dropped ? 0 : p->len - m->begun < count ? p->len - m->begun : count;
        memcpy(m->want + m->want_len, p->bytes + (take ? m->begun : 0), take);
        m->want_len += take;
        m->begun += take;
        count -= take;
        if (!p->is_dropped && m->begun < p->len)
            break;
        m->messages_written += p->is_message && !p->is_dropped;
        m->sizes_written += p->is_dropped ? 0 : p->size;
        m->begun = 0;
        m->first++;
    }
    assert_int_equal(count, 0);
}

static void op_flush(struct fixture *f, struct model *m)
{
    static const size_t budgets[] = {1, 50, 3000, SIZE_MAX};
    size_t before = f->q.bytes;
    assert_int_not_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], budgets[next_random(m, 4)]), WSB_ERR_IO);
    model_take(m, before - f->q.bytes);
    if (next_random(m, 4) == 0)
        m->got_len += read_all(f->pair[1], m->got + m->got_len, 1 + next_random(m, 20000));
}

static void assert_same(struct fixture *f, struct model *m)
{
    size_t bytes = 0, messages = 0, loose = 0;
    for (size_t i = m->first; i < m->count; i++) {
        const struct piece *p = &m->pieces[i];
        bool is_written = false;
        if (p->is_dropped)
            continue;
        bytes += p->len - (i == m->first ? m->begun : 0);
        messages += p->is_message;
        loose += can_drop(m, i);
        is_written = p->end <= f->q.written;
        assert_false(is_written); /* an outcome would be told too early */
    }
    for (size_t i = 0; i < m->first; i++)
        assert_true(m->pieces[i].is_dropped || m->pieces[i].end <= f->q.written);
    assert_int_equal(f->q.bytes, bytes);
    assert_int_equal(f->q.messages, messages);
    assert_int_equal(wsg_outq_droppable(&f->q)->count, loose);
    assert_int_equal(wsg_outq_droppable(&f->q)->noted, loose);
    assert_int_equal(f->q.messages_written, m->messages_written);
    assert_int_equal(f->q.sizes_written, m->sizes_written);
}

static void test_random_operations_agree_with_a_model(void **state)
{
    struct fixture *f = *state;
    int small = 4096;
    assert_int_equal(setsockopt(f->pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (uint32_t seed = 1; seed <= 12; seed++) {
        struct model *m = calloc(1, sizeof *m);
        m->random = seed;
        while (m->count < 600) {
            bool any_loose = seed % 3 > 0; /* without them, messages share chunks */
            switch (next_random(m, 6)) {
            case 0:
                op_add(f, m);
                break;
            case 1:
            case 2:
            case 3:
                if (any_loose)
                    op_loose(f, m);
                else
                    op_add(f, m);
                break;
            case 4:
                op_drop_oldest(f, m);
                break;
            default:
                op_flush(f, m);
                break;
            }
            assert_same(f, m);
        }
        while (f->q.head || m->got_len < m->want_len) {
            op_flush(f, m);
            assert_same(f, m);
        }
        assert_int_equal(m->got_len, m->want_len);
        assert_memory_equal(m->got, m->want, m->want_len);
        assert_int_equal(f->q.extra, 0);
        f->q.messages_written = f->q.sizes_written = 0;
        for (size_t i = 0; i < m->count; i++)
            free(m->pieces[i].bytes);
        free(m);
    }
}

static void test_a_queue_that_ends_forgets_what_waits(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 100; i++) {
        char key[16];
        key_text(i, key);
        add_loose(f, "message", key);
        assert_int_equal(add_message(f, "fixed", 1), WSB_OK);
    }
    wsg_outq_deinit(&f->q, &f->pool);
    assert_null(f->q.head);
    assert_int_equal(f->q.messages + wsg_outq_droppable(&f->q)->count + wsg_outq_droppable(&f->q)->bytes + f->q.extra +
                         f->q.bytes,
                     0);
    assert_null(wsg_outq_droppable(&f->q)->oldest);
}

/* As TLS does it: over everything in pieces of at most `max`, then taken off in two steps. */
static void test_a_walk_passes_everything_and_takes_nothing(void **state)
{
    struct fixture *f = *state;
    static const size_t pieces[] = {1, 3, 100, 100000};
    for (size_t p = 0; p < COUNT(pieces); p++) {
        char path[] = "/tmp/wsbus-outq-XXXXXX";
        int file = mkstemp(path);
        struct wsg_shared *shared = wsg_shared_new(1000);
        struct wsg_outq_walk w = {0};
        struct wsb_span span;
        uint8_t got[2048], buf[4];
        size_t len = 0;
        memset(shared->data, 's', 1000);
        assert_int_equal(write(file, "0123456789", 10), 10);
        assert_int_equal(wsg_outq_append(&f->q, &f->pool, "!ab", 3), WSB_OK);
        wsg_outq_take(&f->q, &f->pool, 1);
        assert_int_equal(wsg_outq_message_shared(&f->q, &f->pool, shared, 996), WSB_OK);
        wsg_shared_unref(shared);
        assert_int_equal(wsg_outq_append_file(&f->q, &f->pool, file, 3, 7), WSB_OK);
        add_loose(f, "loose", NULL);
        while (wsg_outq_walk(&f->q, &w, buf, pieces[p] < sizeof buf ? pieces[p] : sizeof buf, &span) == WSB_OK) {
            memcpy(got + len, span.ptr, span.len);
            len += span.len;
        }
        assert_int_equal(len, 1014);
        assert_memory_equal(got, "ab", 2);
        assert_memory_equal(got + 1002, "3456789loose", 12);
        assert_int_equal(f->q.bytes, 1014);
        wsg_outq_take(&f->q, &f->pool, 1004); /* into the file: the next walk begins there */
        w = (struct wsg_outq_walk){0};
        assert_int_equal(wsg_outq_walk(&f->q, &w, buf, 4, &span), WSB_OK);
        assert_memory_equal(span.ptr, "5678", 4);
        wsg_outq_take(&f->q, &f->pool, 10);
        assert_null(f->q.head);
        assert_int_equal(f->q.bytes, 0);
        unlink(path);
    }
}

static void test_what_was_walked_over_cannot_be_dropped(void **state)
{
    struct fixture *f = *state;
    struct wsg_outq_walk w = {0};
    struct wsb_span span;
    add_loose(f, "first", "a");
    add_loose(f, "second", "b");
    assert_int_equal(wsg_outq_walk(&f->q, &w, NULL, 100, &span), WSB_OK);
    assert_int_equal(wsg_outq_droppable(&f->q)->count, 1);
    assert_null(wsg_outq_find(&f->q, wsb_span_str("a"), 'a'));
    assert_int_equal(wsg_outq_len(wsg_outq_droppable(&f->q)->oldest), 6);
    (void)wsg_outq_drop(&f->q, &f->pool, wsg_outq_droppable(&f->q)->oldest);
    wsg_outq_take(&f->q, &f->pool, 5);
    assert_null(f->q.head);
    assert_int_equal(f->q.messages_written, 1);
}

static void test_a_walk_over_a_file_that_was_cut_short_fails(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/wsbus-outq-XXXXXX";
    int file = mkstemp(path);
    struct wsg_outq_walk w = {0};
    struct wsb_span span;
    uint8_t buf[16];
    assert_int_equal(wsg_outq_append_file(&f->q, &f->pool, file, 0, 10), WSB_OK);
    assert_int_equal(wsg_outq_walk(&f->q, &w, buf, sizeof buf, &span), WSB_ERR_IO);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_leaves_in_the_order_it_was_queued, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_socket_says_again_and_goes_on_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_budget_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_was_cut_short_is_a_lost_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_closed_peer_is_an_error_and_no_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_drained_queue_gives_its_chunks_to_the_pool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_first_small_message_takes_a_small_chunk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages_are_counted_when_all_of_them_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_loose_message_leaves_without_a_trace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_oldest_is_one_that_has_not_begun, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pieces_behind_loose_messages_count_their_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_operations_agree_with_a_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_queue_that_ends_forgets_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_walk_passes_everything_and_takes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_walked_over_cannot_be_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_walk_over_a_file_that_was_cut_short_fails, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
