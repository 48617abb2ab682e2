/*
 * An end that is killed at any instruction, and an end that writes whatever it likes wherever it can. Nothing that was committed is
 * lost or torn, nothing else is seen, and no lie does more than end the ring. Where a record is lost, an end may wait for
 * ever, and the test's time limit says so. WSBUS_CRASH_ROUNDS says how many processes
 * each test kills.
 */
#include "support/test.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/region.h"

enum { SIZE = WSB_RING_MIN, BODY_HEAD = 16, BODY_MAX = 2048, ROUNDS = 150 };
static const uint64_t KEY_DOWN = UINT64_C(0x6a09e667f3bcc908), KEY_UP = UINT64_C(0xbb67ae8584caa73b);

/* What a process that will be killed writes down about itself: `begun` before it does something, `done` after it. */
struct diary {
    _Atomic uint64_t begun, done;
};

/* We are the gate: we made both memories, write into one and only read the other. */
struct link {
    struct wsb_region down, up;
    struct wsb_ring_tx tx;
    struct wsb_ring_rx rx;
    struct diary *diary;
    pid_t peer;
};

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    return *seed ^= *seed << 17;
}

static unsigned round_count(void)
{
    const char *text = getenv("WSBUS_CRASH_ROUNDS");
    unsigned long count = text ? strtoul(text, NULL, 10) : 0;
    return count ? (unsigned)count : ROUNDS;
}

/* ------------------------------------------------------------------- a link and its other end */

static void link_open(struct link *l)
{
    *l = (struct link){.peer = -1};
    assert_int_equal(wsb_region_new("crash-test", SIZE, &l->down, NULL), WSB_OK);
    assert_int_equal(wsb_region_new("crash-test", SIZE, &l->up, NULL), WSB_OK);
    assert_int_equal(wsb_region_seal_content(&l->down, NULL), WSB_OK);
    assert_int_equal(wsb_region_seal_size(&l->up, NULL), WSB_OK);
    l->diary = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(l->diary != MAP_FAILED);
    wsb_ring_tx_init(&l->tx, wsb_region_data(&l->down), SIZE, KEY_DOWN, wsb_region_words(&l->down),
                     wsb_region_words(&l->up));
    wsb_ring_rx_init(&l->rx, wsb_region_data(&l->up), SIZE, KEY_UP, wsb_region_words(&l->down),
                     wsb_region_words(&l->up));
}

static void link_close(struct link *l)
{
    wsb_region_deinit(&l->down);
    wsb_region_deinit(&l->up);
    (void)munmap(l->diary, 4096);
}

typedef void peer_fn(struct link *peer, uint64_t seed);

/* Run the other end in a process of its own; it never returns. Its memories are mapped anew, as a stranger would. */
static void start_peer(struct link *l, peer_fn *run, uint64_t seed)
{
    l->peer = fork();
    assert_true(l->peer >= 0);
    if (l->peer == 0) {
        struct link p = {.diary = l->diary};
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (wsb_region_map(l->down.fd, SIZE, false, &p.down, NULL) || wsb_region_map(l->up.fd, SIZE, true, &p.up, NULL))
            _exit(2);
        wsb_ring_tx_init(&p.tx, wsb_region_data(&p.up), SIZE, KEY_UP, wsb_region_words(&p.up),
                         wsb_region_words(&p.down));
        wsb_ring_rx_init(&p.rx, wsb_region_data(&p.down), SIZE, KEY_DOWN, wsb_region_words(&p.up),
                         wsb_region_words(&p.down));
        run(&p, seed);
        _exit(3);
    }
}

/* Once in many times that somebody waits: one that found something wrong has exited, and nothing would come any more. */
static void check_peer(const struct link *l, uint64_t *times)
{
    int status = 0;
    if (++*times % 4096 == 0 && waitpid(l->peer, &status, WNOHANG) != 0)
        fail_msg("the other end is gone, status 0x%x", (unsigned)status);
}

static void kill_peer(struct link *l)
{
    int status = 0;
    assert_int_equal(kill(l->peer, SIGKILL), 0);
    assert_int_equal(waitpid(l->peer, &status, 0), l->peer);
    assert_true(WIFSIGNALED(status)); /* had it found something wrong, it would have exited by itself */
    l->peer = -1;
}

/* ------------------------------------------------------------------- records that tell whether they are whole */

static size_t len_of(uint64_t number)
{
    return BODY_HEAD +
           (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 40) % (number % 8 ? 150 : BODY_MAX - BODY_HEAD);
}

static void fill(uint8_t *body, uint64_t number)
{
    size_t len = len_of(number);
    uint32_t wire = htole32((uint32_t)len);
    memcpy(body, &wire, sizeof wire);
    memset(body + 4, (int)(number % 251), len - 4);
    memcpy(body + 8, &number, sizeof number);
}

static bool is_whole(struct wsb_span body, uint64_t number)
{
    uint8_t want[BODY_MAX];
    fill(want, number);
    return wsb_span_eq(body, wsb_span(want, len_of(number)));
}

static wsb_err put(struct wsb_ring_tx *t, uint64_t number, struct diary *diary)
{
    uint8_t *body = wsb_ring_reserve(t, len_of(number));
    if (!body)
        return wsb_ring_look(t) ? WSB_ERR_PROTO : WSB_AGAIN;
    fill(body, number);
    if (diary)
        atomic_store(&diary->begun, number + 1);
    wsb_ring_commit(t, len_of(number));
    if (diary)
        atomic_store(&diary->done, number + 1);
    return WSB_OK;
}

/* ------------------------------------------------------------------- killed while it writes */

static void write_for_ever(struct link *p, uint64_t seed)
{
    (void)seed;
    for (uint64_t number = 0;;) {
        wsb_err err = put(&p->tx, number, p->diary);
        if (err == WSB_ERR_PROTO)
            _exit(4);
        number += err == WSB_OK;
        (void)wsb_ring_tell(&p->tx);
    }
}

/* Take the records that are there, from a number on; the number after the last one. */
static uint64_t take(struct link *l, uint64_t number)
{
    struct wsb_span body = {0};
    wsb_err err;
    while ((err = wsb_ring_next(&l->rx, &body)) == WSB_OK) {
        assert_true(is_whole(body, number));
        number++;
        if (number % 5 == 0)
            (void)wsb_ring_release(&l->rx, l->rx.at);
    }
    assert_int_equal(err, WSB_AGAIN);
    (void)wsb_ring_release(&l->rx, l->rx.at);
    return number;
}

static void test_writer_that_is_killed_leaves_whole_records(void **state)
{
    uint64_t seed = 88172645463325252U, total = 0, times = 0;
    (void)state;
    for (unsigned i = 0; i < round_count(); i++) {
        struct link l;
        uint64_t number = 0, enough = next_random(&seed) % 400;
        link_open(&l);
        start_peer(&l, write_for_ever, seed);
        while (number < enough) {
            number = take(&l, number);
            check_peer(&l, &times);
        }
        for (uint64_t spins = next_random(&seed) % 3000; spins; spins--) /* a moment that has to do with nothing */
            number = spins % 64 ? number : take(&l, number);
        kill_peer(&l);
        number = take(&l, number);
        assert_true(number >= atomic_load(&l.diary->done));  /* nothing is lost */
        assert_true(number <= atomic_load(&l.diary->begun)); /* nothing is seen that was not committed */
        total += number;
        link_close(&l);
    }
    assert_true(total > round_count());
}

/* ------------------------------------------------------------------- killed while it reads */

static void read_for_ever(struct link *p, uint64_t seed)
{
    struct wsb_span body = {0};
    for (uint64_t number = 0;;) {
        wsb_err err = wsb_ring_next(&p->rx, &body);
        if (err == WSB_AGAIN) {
            (void)wsb_ring_may_sleep(&p->rx);
            continue;
        }
        if (err || !is_whole(body, number))
            _exit(4);
        number++;
        atomic_store(&p->diary->done, number);
        if (next_random(&seed) % 4 == 0)
            (void)wsb_ring_release(&p->rx, p->rx.at);
    }
}

/* What the dead one had not released lies in our own memory, from its head on, to be given to somebody else: count it. */
static uint64_t to_redeliver(const struct link *l, uint64_t first)
{
    uint64_t count = 0;
    for (uint64_t at = l->tx.head; at != l->tx.tail; count++) {
        const uint8_t *record = l->tx.data + (at & (SIZE - 1));
        uint64_t stamp;
        memcpy(&stamp, record, sizeof stamp);
        assert_true(le64toh(stamp) == wsb_ring_stamp(KEY_DOWN, at));
        assert_true(is_whole(wsb_span(record + WSB_RING_STAMP, len_of(first + count)), first + count));
        at += wsb_ring_size_of(len_of(first + count));
    }
    return count;
}

static void test_reader_that_is_killed_leaves_what_it_had_not_released(void **state)
{
    uint64_t seed = 0x2545f4914f6cdd1dU, total = 0, times = 0;
    (void)state;
    for (unsigned i = 0; i < round_count(); i++) {
        struct link l;
        uint64_t sent = 0, released = 0, enough = next_random(&seed) % 400;
        link_open(&l);
        start_peer(&l, read_for_ever, seed);
        for (uint64_t more = next_random(&seed) % 200; sent < enough || more; more -= more && sent >= enough) {
            wsb_err err = put(&l.tx, sent, NULL);
            assert_true(err == WSB_OK || err == WSB_AGAIN);
            sent += err == WSB_OK;
            (void)wsb_ring_tell(&l.tx);
            check_peer(&l, &times);
        }
        kill_peer(&l);
        assert_int_equal(wsb_ring_look(&l.tx), WSB_OK);
        for (uint64_t at = 0; at < l.tx.head; released++)
            at += wsb_ring_size_of(len_of(released));
        assert_true(released <= atomic_load(&l.diary->done)); /* what it released it had read */
        assert_int_equal(released + to_redeliver(&l, released), sent);
        total += released;
        link_close(&l);
    }
    assert_true(total > round_count());
}

/* ------------------------------------------------------------------- an end that writes whatever it likes */

/* By what a scribbler begins with: its seed modulo MODES. Who only writes garbage never ends a ring, the others do at last. */
enum { GARBAGE, LIES_OF_HEAD, FORGED_RECORDS, EVERYTHING, MODES };
enum { STEPS = 20000 };

/* Somewhere from where the gate reads on: a stamp that is right, and a length that may be. */
static void forge_record(struct link *p, uint64_t random)
{
    uint64_t at = atomic_load(&p->rx.peers->head) + (random & 7) * WSB_RING_ALIGN;
    uint8_t *record = p->tx.data + (at & (SIZE - 1));
    uint32_t len = (uint32_t)(random >> 32) >> (random >> 8) % 32;
    *(volatile uint32_t *)(void *)(record + WSB_RING_STAMP) = len;
    atomic_store((_Atomic uint64_t *)(void *)record, htole64(wsb_ring_stamp(KEY_UP, at)));
}

static void scribble_words(struct link *p, uint64_t random)
{
    struct wsb_ring_words *w = wsb_region_words(&p->up);
    uint64_t value =
        random % 3 ? atomic_load(&p->rx.peers->tail) - (random >> 40) % 64 * WSB_RING_ALIGN : random * random;
    atomic_store(random % 2 ? &w->wake_at : &w->space_at, value);
    if (random >> 8 & 1)
        atomic_store(&w->head, value);
}

static void scribble_for_ever(struct link *p, uint64_t seed)
{
    uint64_t mode = seed % MODES;
    for (;;) {
        uint64_t random = next_random(&seed);
        if (random % 4 == 0)
            *(volatile uint32_t *)(void *)(p->tx.data + (random >> 8) % (SIZE / 4) * 4) = (uint32_t)(random >> 32);
        else if (mode == FORGED_RECORDS || mode == EVERYTHING)
            forge_record(p, random >> 2);
        if ((mode == LIES_OF_HEAD || mode == EVERYTHING) && random % 64 == 1)
            scribble_words(p, random >> 6);
        atomic_store(&p->diary->done, 1);
    }
}

struct seen {
    uint64_t records, bytes, bad_records, bad_heads, times;
};

/* Read everything there is of a body, as somebody would who believes in its length. */
static uint64_t touch(const struct link *l, struct wsb_span body)
{
    uint64_t sum = 0;
    assert_true(body.ptr > l->rx.data && body.ptr + body.len <= l->rx.data + 2 * (size_t)SIZE);
    assert_in_range(body.len, WSB_RING_BODY_MIN, wsb_ring_body_max(SIZE));
    for (size_t i = 0; i < body.len; i++)
        sum += body.ptr[i];
    return sum;
}

/* One step of a gate; false: the link is over. */
static bool serve(struct link *l, uint64_t step, struct seen *seen)
{
    struct wsb_span body = {0};
    wsb_err err = wsb_ring_next(&l->rx, &body);
    if (err == WSB_ERR_PROTO) {
        seen->bad_records++;
        return false;
    }
    if (err == WSB_OK) {
        seen->records++;
        seen->bytes += touch(l, body) ? body.len : 0;
    } else {
        (void)wsb_ring_may_sleep(&l->rx);
    }
    if (err || step % 3 == 0)
        (void)wsb_ring_release(&l->rx, l->rx.at);
    err = put(&l->tx, step, NULL);
    if (err == WSB_AGAIN)
        err = wsb_ring_want_room(&l->tx, len_of(step));
    (void)wsb_ring_tell(&l->tx);
    assert_true(l->tx.tail - l->tx.head <= SIZE && l->rx.at - l->rx.released <= SIZE);
    seen->bad_heads += err == WSB_ERR_PROTO;
    return err != WSB_ERR_PROTO;
}

static void test_scribbler_ends_its_ring_and_nothing_else(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15U;
    struct seen seen = {0};
    (void)state;
    for (unsigned i = 0; i < round_count(); i++) {
        struct link l;
        link_open(&l);
        start_peer(&l, scribble_for_ever, next_random(&seed) / MODES * MODES + i % MODES);
        while (!atomic_load(&l.diary->done))
            check_peer(&l, &seen.times);
        for (uint64_t step = 0; serve(&l, step, &seen); step++) {
            check_peer(&l, &seen.times);
            if (i % MODES == GARBAGE && step > STEPS)
                break;
        }
        kill_peer(&l);
        link_close(&l);
    }
    assert_true(seen.records > 0 && seen.bytes > 0); /* forged ones: the scribbler knows the key */
    assert_true(seen.bad_records > 0 && seen.bad_heads >= round_count() / MODES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_that_is_killed_leaves_whole_records),
        cmocka_unit_test(test_reader_that_is_killed_leaves_what_it_had_not_released),
        cmocka_unit_test(test_scribbler_ends_its_ring_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
