/* The output queue: order, accounts, budgets, and what a full or broken socket means. */
#include "support/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

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
    assert_int_equal(wsg_outq_append_shared(&f->q, &f->pool, shared), WSB_OK);
    wsg_shared_unref(shared); /* the queue has a reference of its own */
    assert_int_equal(wsg_outq_append_file(&f->q, &f->pool, file, 3, 4), WSB_OK);
    assert_int_equal(wsg_outq_append(&f->q, &f->pool, "yz", 2), WSB_OK);
    assert_int_equal(f->q.bytes, 1008);
    assert_int_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX), WSB_OK);
    assert_int_equal(f->q.bytes, 0);
    assert_int_equal(f->q.written, 1008);
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
    uint8_t got[64];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wsg_outq_append(&f->q, &f->pool, "x", 1), WSB_OK);
        assert_int_equal(f->pool.count, 0);
        assert_int_equal(wsg_outq_flush(&f->q, &f->pool, f->pair[0], SIZE_MAX), WSB_OK);
        assert_int_equal(f->pool.count, 1);
        read_all(f->pair[1], got, sizeof got);
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
