/* Both ends of a ring in one process, and an end that lies. */
#include "support/test.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "ring/region.h"

enum { SIZE = WSB_RING_MIN };
static const uint64_t KEY = UINT64_C(0x0123456789abcdef);

struct pair {
    struct wsb_region up, down; /* the producer's memory, the consumer's memory */
    struct wsb_ring_tx tx;
    struct wsb_ring_rx rx;
};

static int setup(void **state)
{
    struct pair *p = calloc(1, sizeof *p);
    assert_non_null(p);
    assert_int_equal(wsb_region_new("ring-test", SIZE, &p->up, NULL), WSB_OK);
    assert_int_equal(wsb_region_new("ring-test", SIZE, &p->down, NULL), WSB_OK);
    wsb_ring_tx_init(&p->tx, wsb_region_data(&p->up), SIZE, KEY, wsb_region_words(&p->up), wsb_region_words(&p->down));
    wsb_ring_rx_init(&p->rx, wsb_region_data(&p->up), SIZE, KEY, wsb_region_words(&p->down), wsb_region_words(&p->up));
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    wsb_region_deinit(&p->up);
    wsb_region_deinit(&p->down);
    free(p);
    return 0;
}

/* A body: its length, then bytes that follow from the seed. */
static void fill(uint8_t *body, size_t len, unsigned seed)
{
    uint32_t wire = htole32((uint32_t)len);
    memcpy(body, &wire, sizeof wire);
    for (size_t i = sizeof wire; i < len; i++)
        body[i] = (uint8_t)(seed + i * 7);
}

static bool is_body(struct wsb_span got, size_t len, unsigned seed)
{
    static _Thread_local uint8_t want[SIZE / 4];
    fill(want, len, seed);
    return wsb_span_eq(got, wsb_span(want, len));
}

static bool put(struct wsb_ring_tx *t, size_t len, unsigned seed)
{
    uint8_t *body = wsb_ring_reserve(t, len);
    if (!body)
        return false;
    fill(body, len, seed);
    wsb_ring_commit(t, len);
    return true;
}

static void expect(struct wsb_ring_rx *r, size_t len, unsigned seed)
{
    struct wsb_span body = {0};
    assert_int_equal(wsb_ring_next(r, &body), WSB_OK);
    assert_true(is_body(body, len, seed));
}

static void expect_none(struct wsb_ring_rx *r)
{
    struct wsb_span body = {0};
    assert_int_equal(wsb_ring_next(r, &body), WSB_AGAIN);
    assert_null(body.ptr);
    assert_false(wsb_ring_has_next(r));
}

static void take_all(struct pair *p)
{
    struct wsb_span body = {0};
    while (wsb_ring_next(&p->rx, &body) == WSB_OK)
        continue;
    (void)wsb_ring_release(&p->rx, p->rx.at);
    assert_int_equal(wsb_ring_look(&p->tx), WSB_OK);
}

/* Bring both ends to a position, which is a multiple of 64. */
static void advance_to(struct pair *p, uint64_t position)
{
    while (p->tx.tail < position) {
        assert_true(put(&p->tx, WSB_RING_ALIGN - WSB_RING_STAMP, 0));
        take_all(p);
    }
    assert_int_equal(p->tx.tail, position);
}

/* ------------------------------------------------------------------- records */

static void test_records_arrive_whole_and_in_order(void **state)
{
    struct pair *p = *state;
    static const size_t lens[] = {4, 5, 55, 56, 57, 119, 120, 121, 1000, 4096, SIZE / 4 - 8};
    for (unsigned turn = 0; turn < 50; turn++) {
        for (unsigned i = 0; i < COUNT(lens); i++)
            assert_true(put(&p->tx, lens[i], turn + i));
        for (unsigned i = 0; i < COUNT(lens); i++)
            expect(&p->rx, lens[i], turn + i);
        expect_none(&p->rx);
        assert_int_equal(p->rx.at, p->tx.tail);
        take_all(p);
    }
    assert_true(p->tx.tail > 4 * (uint64_t)SIZE);
}

static void test_size_of_a_record_is_stamp_and_body_in_whole_lines(void **state)
{
    (void)state;
    assert_int_equal(wsb_ring_size_of(4), 64);
    assert_int_equal(wsb_ring_size_of(56), 64);
    assert_int_equal(wsb_ring_size_of(57), 128);
    assert_int_equal(wsb_ring_size_of(UINT32_MAX), UINT64_C(0x100000040));
    assert_int_equal(wsb_ring_size_of(wsb_ring_body_max(SIZE)), SIZE / 4);
    assert_true(wsb_ring_size_of(wsb_ring_body_max(SIZE) + 1) > SIZE / 4);
}

static void test_what_is_not_committed_is_not_seen(void **state)
{
    struct pair *p = *state;
    uint8_t *body = wsb_ring_reserve(&p->tx, 100);
    assert_non_null(body);
    fill(body, 100, 1);
    expect_none(&p->rx);
    assert_ptr_equal(wsb_ring_reserve(&p->tx, 200), body);
    fill(body, 60, 2);
    expect_none(&p->rx);
    wsb_ring_commit(&p->tx, 60);
    expect(&p->rx, 60, 2);
    expect_none(&p->rx);
}

static void test_full_ring_gives_no_room_until_it_is_released(void **state)
{
    struct pair *p = *state;
    size_t max = wsb_ring_body_max(SIZE);
    for (unsigned i = 0; i < 4; i++)
        assert_true(put(&p->tx, max, i));
    assert_int_equal(wsb_ring_room(&p->tx), 0);
    assert_null(wsb_ring_reserve(&p->tx, WSB_RING_BODY_MIN));
    expect(&p->rx, max, 0);
    assert_int_equal(wsb_ring_look(&p->tx), WSB_OK);
    assert_null(wsb_ring_reserve(&p->tx, WSB_RING_BODY_MIN)); /* seen, but not released */
    assert_false(wsb_ring_release(&p->rx, p->rx.at));
    assert_null(wsb_ring_reserve(&p->tx, WSB_RING_BODY_MIN)); /* released, but we have not looked */
    assert_int_equal(wsb_ring_look(&p->tx), WSB_OK);
    assert_int_equal(wsb_ring_room(&p->tx), SIZE / 4);
    assert_true(put(&p->tx, max, 4));
    for (unsigned i = 1; i < 5; i++)
        expect(&p->rx, max, i);
    expect_none(&p->rx); /* where it looks now, the first of the four lay */
}

static void test_record_over_the_end_lies_in_one_piece(void **state)
{
    struct pair *p = *state;
    struct wsb_span body = {0};
    advance_to(p, SIZE - 64);
    assert_true(put(&p->tx, 1000, 9));
    assert_int_equal(wsb_ring_next(&p->rx, &body), WSB_OK);
    assert_ptr_equal(body.ptr, p->rx.data + SIZE - 64 + WSB_RING_STAMP);
    assert_true(is_body(body, 1000, 9));
    assert_memory_equal(p->rx.data, body.ptr + 56, 1000 - 56); /* the rest is at the beginning */
    expect_none(&p->rx);
}

/* A payload that says of each line behind the record's first one that it is a record; then only that first line is committed. */
static void forge(struct pair *p, uint64_t key)
{
    uint64_t base = p->tx.tail;
    uint8_t *body = wsb_ring_reserve(&p->tx, 4096 - 8);
    assert_non_null(body);
    for (uint64_t at = 64; at < 4096; at += 64) {
        uint64_t stamp = htole64(wsb_ring_stamp(key, base + at));
        memcpy(body - WSB_RING_STAMP + at, &stamp, sizeof stamp);
        fill(body + at, 20, 7);
    }
    fill(body, 20, 6);
    wsb_ring_commit(&p->tx, 20);
    expect(&p->rx, 20, 6);
}

static void test_payload_that_forges_stamps_is_no_record(void **state)
{
    struct pair *p = *state;
    for (unsigned i = 0; i < 100; i++) {
        forge(p, i < 64 ? KEY ^ (UINT64_C(1) << i) : i);
        expect_none(&p->rx);
        take_all(p);
    }
}

static void test_stamps_of_an_earlier_turn_are_no_records(void **state)
{
    struct pair *p = *state;
    for (unsigned i = 0; i < 3 * SIZE / 64; i++) {
        assert_true(put(&p->tx, 30, i));
        expect(&p->rx, 30, i);
        expect_none(&p->rx);
        take_all(p);
    }
}

/* The key is all that keeps a stranger's bytes apart from records: who knows it (the other end) can forge. */
static void test_who_knows_the_key_can_forge(void **state)
{
    struct pair *p = *state;
    forge(p, KEY);
    expect(&p->rx, 20, 7);
}

static void test_stamps_differ_from_place_to_place(void **state)
{
    (void)state;
    for (uint64_t at = 64; at < 64 * (uint64_t)SIZE; at += 64) {
        assert_true(wsb_ring_stamp(KEY, at) != wsb_ring_stamp(KEY, at - 64));
        assert_true(wsb_ring_stamp(KEY, at) != wsb_ring_stamp(KEY, at + SIZE));
        assert_true(wsb_ring_stamp(at, at) != 0); /* fresh memory is no record, whatever the key */
    }
}

/* ------------------------------------------------------------------- lies */

static void test_lies_of_the_head_are_refused(void **state)
{
    struct pair *p = *state;
    static const struct row {
        const char *name;
        uint64_t head;
        wsb_err want;
    } rows[] = {
        {"as before", 1024, WSB_OK},
        {"one on", 1088, WSB_OK},
        {"everything", 2048, WSB_OK},
        {"back", 960, WSB_ERR_PROTO},
        {"to the beginning", 0, WSB_ERR_PROTO},
        {"beyond what was written", 2112, WSB_ERR_PROTO},
        {"a turn ahead", 1024 + SIZE, WSB_ERR_PROTO},
        {"a turn back", 1024 - (uint64_t)SIZE, WSB_ERR_PROTO},
        {"beyond and not aligned", 2049, WSB_ERR_PROTO},
        {"not aligned", 1025, WSB_ERR_PROTO},
        {"not aligned to a line", 1056, WSB_ERR_PROTO},
        {"the largest", UINT64_MAX, WSB_ERR_PROTO},
        {"the largest that is aligned", UINT64_MAX - 63, WSB_ERR_PROTO},
        {"half way round the numbers", UINT64_C(1) << 63, WSB_ERR_PROTO},
    };
    advance_to(p, 1024);
    while (p->tx.tail < 2048)
        assert_true(put(&p->tx, 20, 0));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_ring_tx t = p->tx;
        atomic_store(&p->rx.mine->head, rows[i].head);
        if (wsb_ring_look(&t) != rows[i].want)
            fail_msg("%s", rows[i].name);
        assert_int_equal(t.head, rows[i].want ? 1024 : rows[i].head);
        assert_int_equal(t.floor, t.head);
        t.floor = t.tail - SIZE; /* full: asking for room has the same look at it */
        t.holds = true;
        if (wsb_ring_want_room(&t, 20) != (rows[i].want ? rows[i].want : WSB_AGAIN))
            fail_msg("%s, when full", rows[i].name);
    }
}

static void test_lies_of_the_length_are_refused(void **state)
{
    struct pair *p = *state;
    static const struct row {
        uint32_t len;
        wsb_err want;
    } rows[] = {
        {0, WSB_ERR_PROTO},
        {1, WSB_ERR_PROTO},
        {3, WSB_ERR_PROTO},
        {4, WSB_OK},
        {SIZE / 4 - 8, WSB_OK},
        {SIZE / 4 - 7, WSB_ERR_PROTO},
        {SIZE / 4, WSB_ERR_PROTO},
        {SIZE, WSB_ERR_PROTO},
        {UINT32_C(1) << 31, WSB_ERR_PROTO},
        {UINT32_MAX - 64, WSB_ERR_PROTO},
        {UINT32_MAX - 7, WSB_ERR_PROTO},
        {UINT32_MAX, WSB_ERR_PROTO},
    };
    assert_true(put(&p->tx, 20, 0));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_ring_rx r = p->rx;
        struct wsb_span body = {0};
        uint32_t wire = htole32(rows[i].len);
        memcpy(p->tx.data + WSB_RING_STAMP, &wire, sizeof wire);
        for (int again = 0; again < 2; again++) {
            if (again && rows[i].want == WSB_OK)
                break;
            assert_int_equal(wsb_ring_next(&r, &body), rows[i].want);
        }
        assert_int_equal(body.len, rows[i].want ? 0 : rows[i].len);
        assert_int_equal(r.at, rows[i].want ? 0 : wsb_ring_size_of(rows[i].len));
    }
}

/* A producer that goes round and round without being released: the consumer never holds more than one turn. */
static void test_records_over_what_was_not_released_are_refused(void **state)
{
    struct pair *p = *state;
    struct wsb_span body = {0};
    unsigned seen = 0;
    for (;; seen++) {
        wsb_err err;
        p->tx.floor = p->tx.tail; /* the lie */
        assert_true(put(&p->tx, 1000, seen));
        err = wsb_ring_next(&p->rx, &body);
        if (err == WSB_ERR_PROTO)
            break;
        assert_int_equal(err, WSB_OK);
    }
    assert_int_equal(seen, SIZE / 1024);
    assert_int_equal(p->rx.at, SIZE);
}

/* ------------------------------------------------------------------- waking */

static void test_nobody_is_woken_who_does_not_sleep(void **state)
{
    struct pair *p = *state;
    for (unsigned i = 0; i < 4 * SIZE / 64; i++) {
        assert_true(put(&p->tx, 20, i));
        assert_false(wsb_ring_tell(&p->tx));
        expect(&p->rx, 20, i);
        assert_false(wsb_ring_release(&p->rx, p->rx.at));
        assert_int_equal(wsb_ring_look(&p->tx), WSB_OK);
    }
}

static void test_who_sleeps_is_woken_once(void **state)
{
    struct pair *p = *state;
    for (unsigned turn = 0; turn < 3000; turn++) {
        unsigned batch = 1 + turn % 5;
        assert_true(wsb_ring_may_sleep(&p->rx));
        assert_false(wsb_ring_tell(&p->tx)); /* nothing was written */
        for (unsigned i = 0; i < batch; i++)
            assert_true(put(&p->tx, 20, i));
        assert_true(wsb_ring_tell(&p->tx));
        assert_false(wsb_ring_tell(&p->tx));
        assert_true(put(&p->tx, 20, batch));
        assert_false(wsb_ring_tell(&p->tx)); /* it was woken already */
        for (unsigned i = 0; i <= batch; i++)
            expect(&p->rx, 20, i);
        assert_true(put(&p->tx, 20, 0));
        assert_false(wsb_ring_tell(&p->tx)); /* it has not gone to sleep again */
        take_all(p);
    }
}

static void test_nobody_sleeps_on_a_record(void **state)
{
    struct pair *p = *state;
    assert_true(put(&p->tx, 20, 1));
    assert_false(wsb_ring_may_sleep(&p->rx)); /* committed, although nobody told of it */
    expect(&p->rx, 20, 1);
    assert_true(wsb_ring_may_sleep(&p->rx));
    assert_true(put(&p->tx, 20, 2));
    assert_true(wsb_ring_tell(&p->tx)); /* the batch began before where it sleeps, and goes beyond */
}

/* It slept behind the first record of a batch that is told as a whole. */
static void test_sleep_amid_a_batch_is_no_lost_wakeup(void **state)
{
    struct pair *p = *state;
    assert_true(put(&p->tx, 20, 1));
    expect(&p->rx, 20, 1);
    assert_true(wsb_ring_may_sleep(&p->rx));
    assert_false(wsb_ring_tell(&p->tx)); /* of the first it knows */
    assert_true(put(&p->tx, 20, 2));
    assert_true(wsb_ring_tell(&p->tx));
}

static void test_statistics_tell_the_tail(void **state)
{
    struct pair *p = *state;
    assert_true(put(&p->tx, 20, 1));
    assert_true(put(&p->tx, 20, 1));
    assert_int_equal(atomic_load(&p->rx.peers->tail), 0);
    (void)wsb_ring_tell(&p->tx);
    assert_int_equal(atomic_load(&p->rx.peers->tail), 128);
}

static void test_who_waits_for_room_is_woken_once(void **state)
{
    struct pair *p = *state;
    for (unsigned turn = 0; turn < 100; turn++) {
        while (put(&p->tx, 1000, turn))
            continue;
        assert_int_equal(wsb_ring_want_room(&p->tx, 2000), WSB_AGAIN);
        expect(&p->rx, 1000, turn);
        assert_false(wsb_ring_release(&p->rx, p->rx.at)); /* not enough for 2000 */
        assert_int_equal(wsb_ring_want_room(&p->tx, 2000), WSB_AGAIN);
        expect(&p->rx, 1000, turn);
        assert_true(wsb_ring_release(&p->rx, p->rx.at));
        assert_false(wsb_ring_release(&p->rx, p->rx.at)); /* nothing new */
        expect(&p->rx, 1000, turn);
        assert_false(wsb_ring_release(&p->rx, p->rx.at)); /* it was woken already */
        assert_null(wsb_ring_reserve(&p->tx, 2000));
        assert_int_equal(wsb_ring_want_room(&p->tx, 2000), WSB_OK);
        assert_true(put(&p->tx, 2000, turn));
        take_all(p);
    }
}

static void test_room_is_asked_for_and_looked_at_in_one(void **state)
{
    struct pair *p = *state;
    assert_int_equal(wsb_ring_want_room(&p->tx, wsb_ring_body_max(SIZE)), WSB_OK);
    while (put(&p->tx, 1000, 0))
        continue;
    expect(&p->rx, 1000, 0);
    assert_false(wsb_ring_release(&p->rx, p->rx.at));
    assert_int_equal(wsb_ring_want_room(&p->tx, 1000), WSB_OK); /* nobody would have told us */
    assert_true(put(&p->tx, 1000, 0));
}

static void test_release_of_a_part_keeps_the_rest(void **state)
{
    struct pair *p = *state;
    while (put(&p->tx, 1000, 3))
        continue;
    expect(&p->rx, 1000, 3);
    expect(&p->rx, 1000, 3);
    assert_false(wsb_ring_release(&p->rx, 1024));
    assert_int_equal(wsb_ring_look(&p->tx), WSB_OK);
    assert_int_equal(p->tx.head, 1024);
    assert_int_equal(wsb_ring_room(&p->tx), 1024);
}

static void test_what_is_held_is_not_written_over(void **state)
{
    struct pair *p = *state;
    p->tx.holds = true;
    while (put(&p->tx, 1000, 5))
        continue;
    for (unsigned i = 0; i < 4; i++)
        expect(&p->rx, 1000, 5);
    assert_false(wsb_ring_release(&p->rx, p->rx.at));
    assert_int_equal(wsb_ring_look(&p->tx), WSB_OK);
    assert_int_equal(p->tx.head, 4096);
    assert_int_equal(wsb_ring_room(&p->tx), 0); /* released by the consumer, but still needed */
    assert_null(wsb_ring_reserve(&p->tx, 1000));
    assert_int_equal(wsb_ring_want_room(&p->tx, 1000), WSB_AGAIN);
    wsb_ring_let_go(&p->tx, 2048);
    assert_int_equal(wsb_ring_room(&p->tx), 2048);
    assert_int_equal(wsb_ring_want_room(&p->tx, 2000), WSB_OK);
    assert_true(put(&p->tx, 1000, 6));
    assert_true(is_body(wsb_span(p->tx.data + 2048 + WSB_RING_STAMP, 1000), 1000, 5)); /* what is held is as it was */
}

/* ------------------------------------------------------------------- two threads */

enum { STRESS = 60000 };

/* The two ends sleep whenever they can: whoever is not woken sleeps for ever, and the test runs into its time limit. */
struct stress {
    struct pair *pair;
    sem_t data, room;
    unsigned bad, naps, waits;       /* the consumer's, the consumer's, the producer's */
    unsigned data_wakes, room_wakes; /* told by the producer, by the consumer */
};

static size_t stress_len(unsigned i)
{
    return WSB_RING_BODY_MIN + (i * UINT32_C(2654435761) >> 7) % (i % 64 ? 200 : wsb_ring_body_max(SIZE) - 4);
}

static void stress_tell(struct stress *s)
{
    if (wsb_ring_tell(&s->pair->tx)) {
        s->data_wakes++;
        (void)sem_post(&s->data);
    }
}

static void *produce(void *arg)
{
    struct stress *s = arg;
    for (unsigned i = 0; i < STRESS; i++) {
        wsb_err err = WSB_OK;
        while (!put(&s->pair->tx, stress_len(i), i)) {
            stress_tell(s);
            err = wsb_ring_want_room(&s->pair->tx, stress_len(i));
            s->waits++;
            if (err == WSB_AGAIN)
                (void)sem_wait(&s->room);
            else if (err)
                abort();
        }
        if (i % 3 == 0)
            stress_tell(s);
        if (i % 512 == 0)
            (void)sched_yield();
    }
    stress_tell(s);
    return NULL;
}

static void stress_release(struct stress *s)
{
    if (wsb_ring_release(&s->pair->rx, s->pair->rx.at)) {
        s->room_wakes++;
        (void)sem_post(&s->room);
    }
}

static void consume(struct stress *s)
{
    struct wsb_span body = {0};
    for (unsigned i = 0; i < STRESS;) {
        wsb_err err = wsb_ring_next(&s->pair->rx, &body);
        if (err == WSB_AGAIN) {
            stress_release(s);
            s->naps++;
            if (wsb_ring_may_sleep(&s->pair->rx))
                (void)sem_wait(&s->data);
            continue;
        }
        s->bad += err || !is_body(body, stress_len(i), i);
        if (i % 7 == 0)
            stress_release(s);
        i++;
    }
    stress_release(s);
}

static void test_no_wakeup_is_lost_between_two_threads(void **state)
{
    struct stress s = {.pair = *state};
    pthread_t producer;
    assert_int_equal(sem_init(&s.data, 0, 0), 0);
    assert_int_equal(sem_init(&s.room, 0, 0), 0);
    assert_int_equal(pthread_create(&producer, NULL, produce, &s), 0);
    consume(&s);
    assert_int_equal(pthread_join(producer, NULL), 0);
    assert_int_equal(s.bad, 0);
    assert_int_equal(s.pair->rx.released, s.pair->tx.tail);
    assert_true(s.data_wakes > 0 && s.data_wakes <= s.naps);
    assert_true(s.room_wakes <= s.waits);
    (void)sem_destroy(&s.data);
    (void)sem_destroy(&s.room);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(test_records_arrive_whole_and_in_order),
        cmocka_unit_test(test_size_of_a_record_is_stamp_and_body_in_whole_lines),
        WITH_PAIR(test_what_is_not_committed_is_not_seen),
        WITH_PAIR(test_full_ring_gives_no_room_until_it_is_released),
        WITH_PAIR(test_record_over_the_end_lies_in_one_piece),
        WITH_PAIR(test_payload_that_forges_stamps_is_no_record),
        WITH_PAIR(test_stamps_of_an_earlier_turn_are_no_records),
        WITH_PAIR(test_who_knows_the_key_can_forge),
        cmocka_unit_test(test_stamps_differ_from_place_to_place),
        WITH_PAIR(test_lies_of_the_head_are_refused),
        WITH_PAIR(test_lies_of_the_length_are_refused),
        WITH_PAIR(test_records_over_what_was_not_released_are_refused),
        WITH_PAIR(test_nobody_is_woken_who_does_not_sleep),
        WITH_PAIR(test_who_sleeps_is_woken_once),
        WITH_PAIR(test_nobody_sleeps_on_a_record),
        WITH_PAIR(test_sleep_amid_a_batch_is_no_lost_wakeup),
        WITH_PAIR(test_statistics_tell_the_tail),
        WITH_PAIR(test_who_waits_for_room_is_woken_once),
        WITH_PAIR(test_room_is_asked_for_and_looked_at_in_one),
        WITH_PAIR(test_release_of_a_part_keeps_the_rest),
        WITH_PAIR(test_what_is_held_is_not_written_over),
        WITH_PAIR(test_no_wakeup_is_lost_between_two_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
