/* The tables behind acknowledgement, credit and the fence, by themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <endian.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/acks.h"
#include "api/conns.h"
#include "api/credit.h"
#include "api/fence.h"

static void assert_pairs(const struct wsb_acks *a, const struct wsb_ack_pair *want, size_t count)
{
    uint8_t out[WSB_ACKS_BYTES];
    assert_int_equal(wsb_acks_write(a, out), count * 16);
    for (size_t i = 0; i < count; i++) {
        uint64_t pair[2];
        memcpy(pair, out + i * 16, sizeof pair);
        assert_int_equal(le64toh(pair[0]), want[i].conn);
        assert_int_equal(le64toh(pair[1]), want[i].seq);
    }
}

static void test_only_the_latest_event_of_a_connection_is_told(void **state)
{
    (void)state;
    struct wsb_acks a = {0};
    assert_true(wsb_acks_note(&a, 9, 1, 10));
    assert_true(wsb_acks_note(&a, 7, 4, 10));
    assert_true(wsb_acks_note(&a, 9, 3, 10));
    assert_true(wsb_acks_note(&a, 9, 2, 10)); /* of a thread that was slower */
    assert_pairs(&a, (struct wsb_ack_pair[]){{9, 3}, {7, 4}}, 2);
    assert_int_equal(a.events, 4);
    assert_int_equal(a.bytes, 40);
    wsb_acks_clear(&a);
    assert_pairs(&a, NULL, 0);
    assert_int_equal(a.events + a.bytes, 0);
    assert_true(wsb_acks_note(&a, 9, 1, 0)); /* what was told is not remembered */
    assert_pairs(&a, (struct wsb_ack_pair[]){{9, 1}}, 1);
}

static void test_pairs_of_the_vectors(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_t *vectors = json_load_file(WSBUS_SOURCE_DIR "/tests/vectors/envelope.json", JSON_REJECT_DUPLICATES, NULL);
    assert_true(json_array_size(json_object_get(vectors, "pairs")) > 0);
    json_array_foreach(json_object_get(vectors, "pairs"), i, row)
    {
        const json_t *pairs = json_object_get(row, "pairs");
        const char *hex = json_string_value(json_object_get(row, "hex"));
        struct wsb_acks a = {0};
        uint8_t out[WSB_ACKS_BYTES];
        for (size_t k = 0; k < json_array_size(pairs); k++) {
            const json_t *pair = json_array_get(pairs, k);
            uint64_t conn = strtoull(json_string_value(json_array_get(pair, 0)), NULL, 16);
            assert_true(wsb_acks_note(&a, conn, strtoull(json_string_value(json_array_get(pair, 1)), NULL, 16), 0));
        }
        size_t len = wsb_acks_write(&a, out);
        assert_int_equal(len * 2, strlen(hex));
        for (size_t k = 0; k < len; k++) {
            const char two[3] = {hex[2 * k], hex[2 * k + 1], '\0'};
            assert_int_equal(out[k], strtoul(two, NULL, 16));
        }
    }
    json_decref(vectors);
}

static void test_a_connection_that_is_forgotten_is_not_told(void **state)
{
    (void)state;
    struct wsb_acks a = {0};
    wsb_acks_forget(&a, 5);
    assert_true(wsb_acks_note(&a, 5, 30, 0) && wsb_acks_note(&a, 6, 1, 0));
    wsb_acks_forget(&a, 5);
    assert_pairs(&a, (struct wsb_ack_pair[]){{6, 1}}, 1);
    assert_true(wsb_acks_note(&a, 5, 1, 0)); /* it came back, and counts anew */
    assert_pairs(&a, (struct wsb_ack_pair[]){{5, 1}, {6, 1}}, 2);
}

static void test_a_full_table_says_so_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct wsb_acks a = {0};
    for (uint64_t i = 1; i <= WSB_ACKS_MAX; i++)
        assert_true(wsb_acks_note(&a, i << 40, i, 0));
    assert_false(wsb_acks_note(&a, 3, 1, 0));
    assert_true(wsb_acks_note(&a, UINT64_C(7) << 40, 1000, 0));
    uint8_t out[WSB_ACKS_BYTES];
    assert_int_equal(wsb_acks_write(&a, out), WSB_ACKS_BYTES);
    wsb_acks_clear(&a);
    assert_true(wsb_acks_note(&a, 3, 1, 0));
    assert_pairs(&a, (struct wsb_ack_pair[]){{3, 1}}, 1);
}

/* A gate that sends as long as it may, and a program that takes one now and then. */
static void test_never_more_under_way_than_the_window(void **state)
{
    static const struct {
        uint64_t messages, bytes;
        size_t size;
    } rows[] = {{1, 1, 0}, {1, 1, 100}, {2, 10, 3}, {7, 1000, 10}, {16384, 1000, 333}, {100, 1 << 30, 5}, {3, 5, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wsb_credit c = {.window_messages = rows[i].messages, .window_bytes = rows[i].bytes};
        int64_t messages = (int64_t)c.window_messages;
        int64_t bytes = (int64_t)c.window_bytes;
        int64_t under_way = 0;
        unsigned draw = 1;
        for (int taken = 0; taken < 5000;) {
            draw = draw * 1103515245 + 12345;
            while (messages > 0 && bytes > 0) {
                messages--;
                bytes -= (int64_t)rows[i].size;
                under_way++;
            }
            assert_true(under_way > 0); /* or nobody would ever move again */
            assert_true(under_way <= (int64_t)c.window_messages);
            assert_true((under_way - 1) * (int64_t)rows[i].size < (int64_t)c.window_bytes + !rows[i].size);
            for (unsigned n = 1 + (draw >> 16) % 5; n && under_way; n--, under_way--, taken++) {
                wsb_credit_take(&c, rows[i].size);
                if (wsb_credit_is_due(&c)) {
                    messages += (int64_t)c.taken_messages;
                    bytes += (int64_t)c.taken_bytes;
                    wsb_credit_granted(&c);
                }
            }
        }
    }
}

static void test_the_fence_counts_what_is_unread(void **state)
{
    (void)state;
    struct wsb_fence f = {0};
    assert_false(wsb_fence_has(&f, 5));
    wsb_fence_take(&f, 5);
    wsb_fence_add(&f, 5);
    wsb_fence_add(&f, 5);
    wsb_fence_add(&f, 6);
    wsb_fence_take(&f, 5);
    assert_true(wsb_fence_has(&f, 5));
    wsb_fence_take(&f, 5);
    assert_false(wsb_fence_has(&f, 5));
    assert_true(wsb_fence_has(&f, 6));
    wsb_fence_take(&f, 6);
    assert_null(f.places); /* nothing is kept */
    wsb_fence_deinit(&f);
}

/* Against a table that is nothing but an array. */
static void test_the_fence_is_a_table_of_counts(void **state)
{
    (void)state;
    enum { IDS = 300 };
    unsigned counts[IDS] = {0};
    unsigned draw = 7;
    struct wsb_fence f = {0};
    for (int step = 0; step < 20000; step++) {
        draw = draw * 1103515245 + 12345;
        size_t id = (draw >> 16) % IDS;
        if ((step / 3000) % 2 ? (draw & 0x300) == 0 : (draw & 0x300) != 0) {
            wsb_fence_add(&f, (wsb_conn)(id + 1) << 20);
            counts[id]++;
        } else {
            wsb_fence_take(&f, (wsb_conn)(id + 1) << 20);
            counts[id] -= counts[id] > 0;
        }
        for (size_t k = 0; k < IDS && step % 97 == 0; k++)
            assert_int_equal(wsb_fence_has(&f, (wsb_conn)(k + 1) << 20), counts[k] > 0);
    }
    wsb_fence_deinit(&f);
}

static void test_a_connection_that_moved_may_come_back(void **state)
{
    (void)state;
    struct wsb_conns c = {0};
    wsb_conns_moved(&c, 5); /* never heard of: stays unknown */
    assert_int_equal(wsb_conns_state(&c, 5), WSB_CONN_UNKNOWN);
    wsb_conns_opened(&c, 5);
    wsb_conns_moved(&c, 5);
    assert_int_equal(wsb_conns_state(&c, 5), WSB_CONN_MOVED);
    wsb_conns_opened(&c, 5);
    assert_int_equal(wsb_conns_state(&c, 5), WSB_CONN_OPEN);
    wsb_conns_moved(&c, 5);
    assert_int_equal(wsb_conns_state(&c, 5), WSB_CONN_MOVED);
    wsb_conns_opened(&c, 5);
    wsb_conns_closed(&c, 5);
    assert_int_equal(wsb_conns_state(&c, 5), WSB_CONN_GONE);
    for (wsb_conn id = 10; id < 10 + 2 * (wsb_conn)WSB_CONNS_GONE_MAX; id++) { /* only the last are remembered */
        wsb_conns_opened(&c, id);
        wsb_conns_moved(&c, id);
    }
    assert_int_equal(wsb_conns_state(&c, 10), WSB_CONN_UNKNOWN);
    assert_int_equal(wsb_conns_state(&c, 9 + 2 * (wsb_conn)WSB_CONNS_GONE_MAX), WSB_CONN_MOVED);
    assert_int_equal(wsb_conns_state(&c, 5), WSB_CONN_GONE);
    wsb_conns_deinit(&c);
}

static void test_what_moves_again_is_remembered_from_then(void **state)
{
    (void)state;
    struct wsb_conns c = {0};
    enum { ROUNDS = 5, BETWEEN = WSB_CONNS_GONE_MAX - 1 };
    wsb_conn id = 10;
    for (int round = 0; round < ROUNDS; round++) {
        wsb_conns_opened(&c, 5);
        wsb_conns_moved(&c, 5);
        for (int i = 0; i < BETWEEN; i++, id++) {
            wsb_conns_opened(&c, id);
            wsb_conns_moved(&c, id);
        }
        assert_int_equal(wsb_conns_state(&c, 5), WSB_CONN_MOVED);
        assert_int_equal(wsb_conns_state(&c, id - 1), WSB_CONN_MOVED);
        assert_int_equal(wsb_conns_state(&c, id - BETWEEN), WSB_CONN_MOVED);
        assert_int_equal(wsb_conns_state(&c, id - BETWEEN - 1), WSB_CONN_UNKNOWN);
        wsb_conns_opened(&c, 5);
        wsb_conns_moved(&c, 5); /* once more, at the end of its time */
        for (int i = 0; i < 1000; i++, id++) {
            wsb_conns_opened(&c, id);
            wsb_conns_moved(&c, id);
        }
        assert_int_equal(wsb_conns_state(&c, 5), WSB_CONN_MOVED);
    }
    wsb_conns_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_latest_event_of_a_connection_is_told),
        cmocka_unit_test(test_pairs_of_the_vectors),
        cmocka_unit_test(test_a_connection_that_is_forgotten_is_not_told),
        cmocka_unit_test(test_a_full_table_says_so_and_keeps_what_it_has),
        cmocka_unit_test(test_never_more_under_way_than_the_window),
        cmocka_unit_test(test_the_fence_counts_what_is_unread),
        cmocka_unit_test(test_the_fence_is_a_table_of_counts),
        cmocka_unit_test(test_a_connection_that_moved_may_come_back),
        cmocka_unit_test(test_what_moves_again_is_remembered_from_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
