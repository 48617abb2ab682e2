/*
 * Messages to a client that does not read: what each policy drops, what everybody is told, and that every message is
 * accounted for, once.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "session/parts.h"
#include "unit/session/fixture.h"

enum { MANY = 400, LEN = 500 };

static int open_stalled(void **state)
{
    int small = 1;
    void *found;
    if (setup(state))
        return -1;
    struct fixture *f = *state;
    open_websocket(f);
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &found), WSB_OK);
    struct wsg_session *s = found;
    assert_int_equal(setsockopt(s->watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    f->reads_nothing = true;
    return 0;
}

static struct wsg_session *session_of(struct fixture *f)
{
    void *found = NULL;
    return wsg_slots_find(&f->env.slots, f->conn, &found) == WSB_OK ? found : NULL;
}

static struct wsg_route *route_of(struct fixture *f)
{
    return &f->routes.routes[0];
}

static uint64_t dropped(struct fixture *f, enum wsg_out_drop reason)
{
    return atomic_load(&route_of(f)->tally.out_dropped[reason]);
}

static uint64_t all_dropped(struct fixture *f)
{
    uint64_t sum = 0;
    for (int i = 0; i < WSG_OUT_DROPS; i++)
        sum += dropped(f, (enum wsg_out_drop)i);
    return sum;
}

/* The promise of bus/route.h, and the session's own share of it. */
static void assert_accounted(struct fixture *f, uint64_t sent)
{
    const struct wsg_route_tally *t = &route_of(f)->tally;
    const struct wsg_session *s = session_of(f);
    uint64_t waiting = s ? s->out.messages : 0;
    wsg_sessions_count(&f->env);
    assert_int_equal(atomic_load(&t->messages_out), sent);
    assert_int_equal(atomic_load(&t->written) + all_dropped(f) + waiting, sent);
    if (s) {
        assert_int_equal(s->messages_written + s->messages_dropped + waiting, sent);
        assert_true(s->out.messages <= route_of(f)->policy.max_queue_messages);
    }
}

/* Message number `seq`, of LEN bytes, asking for its outcome. */
static void send_one(struct fixture *f, uint64_t seq, enum wsg_slow slow, const char *key)
{
    char text[LEN + 1];
    snprintf(text, sizeof text, "%0*u", LEN, (unsigned)seq);
    struct wsg_command c = {.type = WSB_SEND,
                            .code = WSB_TEXT,
                            .flags = WSB_FLAG_WANT_OUTCOME,
                            .seq = seq,
                            .slow = (uint8_t)slow,
                            .key = wsb_span_str(key),
                            .payload = wsb_span(text, LEN)};
    struct wsg_session *s = session_of(f);
    assert_non_null(s);
    wsg_session_command(s, &c);
}

/* The client reads at last: the numbers of the messages it gets, in order. Returns how many; pongs are counted apart. */
static size_t read_numbers(struct fixture *f, unsigned *numbers, size_t cap, size_t *ret_pongs)
{
    size_t count = 0;
    size_t pongs = 0;
    f->reads_nothing = false;
    for (int i = 0; i < 200; i++)
        turn(f);
    for (size_t at = 0; at < f->got_len;) {
        const uint8_t *p = f->got + at;
        size_t len = p[1];
        size_t head = 2;
        assert_true(at + 2 <= f->got_len && len != 127);
        if (len == 126) {
            len = (size_t)p[2] << 8 | p[3];
            head = 4;
        }
        if (p[0] == 0x81) {
            char text[LEN + 1] = "";
            assert_int_equal(len, LEN);
            memcpy(text, p + head, LEN);
            assert_true(count < cap);
            numbers[count++] = (unsigned)strtoul(text, NULL, 10);
        }
        pongs += p[0] == 0x8a;
        at += head + len;
        assert_true(at <= f->got_len); /* no message in half */
    }
    if (ret_pongs)
        *ret_pongs = pongs;
    return count;
}

/* Written is what was read, and the others were dropped. */
static void assert_outcomes(struct fixture *f, uint64_t sent, const unsigned *numbers, size_t count)
{
    size_t at = 0;
    for (uint64_t seq = 1; seq <= sent; seq++) {
        bool was_read = at < count && numbers[at] == seq;
        at += was_read;
        if (f->outcomes[seq] != (was_read ? WSB_OUTCOME_WRITTEN : WSB_OUTCOME_DROPPED) + 1)
            fail_msg("message %u: outcome %d, %s", (unsigned)seq, f->outcomes[seq] - 1, was_read ? "read" : "not read");
    }
    assert_int_equal(at, count); /* in order, none twice */
}

static size_t send_and_read(struct fixture *f, enum wsg_slow slow, unsigned keys, unsigned numbers[MANY])
{
    route_of(f)->policy.slow = slow;
    for (unsigned i = 1; i <= MANY; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u", i % (keys ? keys : 1));
        send_one(f, i, WSG_SLOW_AS_ROUTE, keys ? key : NULL);
        if (i % 7 == 0)
            turn(f);
        assert_accounted(f, i);
        assert_true(wsg_session_waiting(session_of(f)) <= route_of(f)->policy.max_queue);
    }
    assert_int_equal(session_of(f)->state, WSG_SESSION_OPEN);
    size_t count = read_numbers(f, numbers, MANY, NULL);
    assert_outcomes(f, MANY, numbers, count);
    assert_accounted(f, MANY);
    assert_int_equal(session_of(f)->out.messages, 0);
    return count;
}

static void test_drop_new_keeps_the_oldest(void **state)
{
    struct fixture *f = *state;
    unsigned numbers[MANY];
    size_t count = send_and_read(f, WSG_SLOW_DROP_NEW, 0, numbers);
    assert_true(count > 30 && count < MANY);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(numbers[i], i + 1);
    assert_int_equal(dropped(f, WSG_OUT_SLOW_NEW), MANY - count);
}

static void test_drop_old_keeps_the_newest(void **state)
{
    struct fixture *f = *state;
    unsigned numbers[MANY];
    size_t count = send_and_read(f, WSG_SLOW_DROP_OLD, 0, numbers);
    size_t gap = 1;
    assert_true(count > 30 && count < MANY);
    while (numbers[gap] == numbers[gap - 1] + 1) /* what had begun to leave */
        gap++;
    for (size_t i = gap; i < count; i++)
        assert_int_equal(numbers[i], MANY - count + i + 1);
    /* (what fits in max_queue with its receipts, less the one that has begun) */
    assert_true(count - gap >= 20000 / (LEN + 4 + WSG_RECEIPT_BYTES) - 2);
    assert_int_equal(dropped(f, WSG_OUT_SLOW_OLD), MANY - count);
}

static void test_conflate_keeps_the_latest_of_each_key(void **state)
{
    struct fixture *f = *state;
    unsigned numbers[MANY];
    size_t count = send_and_read(f, WSG_SLOW_CONFLATE, 10, numbers);
    assert_true(count >= 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(numbers[count - 10 + i], MANY - 10 + i + 1);
    assert_int_equal(dropped(f, WSG_OUT_CONFLATED), MANY - count);
}

static void test_conflate_without_room_drops_what_replaces_nothing(void **state)
{
    struct fixture *f = *state;
    unsigned numbers[MANY];
    size_t count = send_and_read(f, WSG_SLOW_CONFLATE, 0, numbers); /* no keys at all */
    assert_true(count > 30 && count < MANY);
    assert_int_equal(numbers[count - 1], count);
    assert_int_equal(dropped(f, WSG_OUT_SLOW_NEW), MANY - count);
    assert_int_equal(dropped(f, WSG_OUT_CONFLATED), 0);
}

static void test_conflate_replaces_at_any_time(void **state)
{
    struct fixture *f = *state;
    unsigned numbers[MANY];
    route_of(f)->policy.slow = WSG_SLOW_CONFLATE;
    send_one(f, 1, WSG_SLOW_AS_ROUTE, "a");
    send_one(f, 2, WSG_SLOW_AS_ROUTE, "b");
    send_one(f, 3, WSG_SLOW_AS_ROUTE, "");
    send_one(f, 4, WSG_SLOW_AS_ROUTE, NULL);
    send_one(f, 5, WSG_SLOW_AS_ROUTE, "a");
    send_one(f, 6, WSG_SLOW_AS_ROUTE, "");
    size_t count = read_numbers(f, numbers, MANY, NULL);
    assert_int_equal(count, 4);
    assert_outcomes(f, 6, numbers, count);
    HAS(f->replies, "outcomedropped");
    assert_int_equal(dropped(f, WSG_OUT_CONFLATED), 2);
}

/* Send one of its own key each until the queue is full; returns how many. */
static unsigned fill_with_keys(struct fixture *f)
{
    unsigned i = 0;
    route_of(f)->policy.slow = WSG_SLOW_CONFLATE;
    while (dropped(f, WSG_OUT_SLOW_NEW) == 0) {
        char key[16];
        snprintf(key, sizeof key, "%u", ++i);
        send_one(f, i, WSG_SLOW_AS_ROUTE, key);
    }
    return i;
}

static void test_a_full_queue_still_takes_newer_messages_of_its_keys(void **state)
{
    struct fixture *f = *state;
    unsigned numbers[MANY];
    unsigned keys = fill_with_keys(f);
    unsigned sent = keys;
    uint64_t before = dropped(f, WSG_OUT_SLOW_NEW);
    for (unsigned i = keys - 1; i > keys - 20; i--) {
        char key[16];
        snprintf(key, sizeof key, "%u", i);
        send_one(f, ++sent, WSG_SLOW_AS_ROUTE, key);
    }
    assert_int_equal(dropped(f, WSG_OUT_CONFLATED), 19);
    assert_int_equal(dropped(f, WSG_OUT_SLOW_NEW), before);
    size_t count = read_numbers(f, numbers, MANY, NULL);
    assert_outcomes(f, sent, numbers, count);
}

static void test_one_that_has_left_meanwhile_is_not_replaced(void **state)
{
    struct fixture *f = *state;
    char large[1000] = {0};
    char key[16];
    unsigned sent = fill_with_keys(f);
    struct wsg_session *s = session_of(f);
    snprintf(key, sizeof key, "%u",
             sent - (unsigned)wsg_outq_droppable(&s->out)->count); /* the oldest; the latest was dropped */
    assert_ptr_equal(wsg_outq_find(&s->out, wsb_span_str(key), wsb_siphash(&f->routes.seed, wsb_span_str(key))),
                     wsg_outq_droppable(&s->out)->oldest);
    route_of(f)->policy.max_queue = wsg_session_waiting(s); /* no room for a larger one, so the kernel is asked */
    while (client_read(f, f->got, sizeof f->got) > 0)
        continue;
    struct wsg_command c = {
        .type = WSB_SEND, .code = WSB_BINARY, .key = wsb_span_str(key), .payload = wsb_span(large, sizeof large)};
    wsg_session_command(s, &c);
    assert_accounted(f, sent + 1);
    assert_int_equal(dropped(f, WSG_OUT_CONFLATED), 0);
    assert_int_equal(dropped(f, WSG_OUT_SLOW_NEW), 1);
}

static void test_close_closes_and_says_why(void **state)
{
    struct fixture *f = *state;
    unsigned i = 0;
    while (session_of(f)->state == WSG_SESSION_OPEN && i < MANY)
        send_one(f, ++i, WSG_SLOW_AS_ROUTE, NULL);
    assert_true(i > 30 && i < MANY);
    turn(f);
    assert_int_equal(f->outcomes[i], WSB_OUTCOME_DROPPED + 1);
    HAS(f->meta, "slow client");
    send_one(f, i + 1, WSG_SLOW_AS_ROUTE, NULL);
    turn(f);
    assert_int_equal(f->outcomes[i + 1], WSB_OUTCOME_GONE + 1);
    assert_int_equal(dropped(f, WSG_OUT_SLOW_CLOSE), 1);
    assert_int_equal(dropped(f, WSG_OUT_GONE), 1);
    assert_accounted(f, i + 1);
    assert_int_equal(f->writables, 0);
}

static void test_a_command_may_say_otherwise(void **state)
{
    struct fixture *f = *state;
    unsigned numbers[MANY];
    unsigned i = 0;
    while (dropped(f, WSG_OUT_SLOW_NEW) == 0) {
        i++;
        send_one(f, i, i % 2 ? WSG_SLOW_DROP_NEW : WSG_SLOW_DROP_OLD, NULL);
    }
    /* drop-old makes room by those that came with it, and never by the others */
    size_t fixed = session_of(f)->out.messages - wsg_outq_droppable(&session_of(f)->out)->count;
    for (int k = 0; k < 50; k++)
        send_one(f, ++i, WSG_SLOW_DROP_OLD, NULL);
    assert_true(dropped(f, WSG_OUT_SLOW_OLD) >= 49);
    assert_true(session_of(f)->out.messages - wsg_outq_droppable(&session_of(f)->out)->count >= fixed);
    assert_int_equal(session_of(f)->state, WSG_SESSION_OPEN);
    size_t count = read_numbers(f, numbers, MANY, NULL);
    assert_outcomes(f, i, numbers, count);
    assert_accounted(f, i);
    f->reads_nothing = true; /* and the route's own word is `close` */
    while (session_of(f)->state == WSG_SESSION_OPEN)
        send_one(f, ++i, WSG_SLOW_AS_ROUTE, NULL);
    assert_int_equal(dropped(f, WSG_OUT_SLOW_CLOSE), 1);
}

static void test_messages_are_limited_too(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.slow = WSG_SLOW_DROP_OLD;
    route_of(f)->policy.max_queue_messages = 8;
    struct wsg_command c = {.type = WSB_SEND, .code = WSB_BINARY, .payload = wsb_span("x", 1)};
    uint64_t sent = 0;
    if (f->tls) { /* some are sealed ahead, and cannot be dropped: let that not be all of them */
        static const char large[900];
        c.payload = wsb_span(large, sizeof large);
    }
    while (dropped(f, WSG_OUT_SLOW_OLD) < 3) {
        wsg_session_command(session_of(f), &c);
        assert_accounted(f, ++sent); /* and never more than eight wait */
    }
    assert_int_equal(session_of(f)->out.messages, 8);
    assert_true(session_of(f)->out.bytes < 8 * (c.payload.len + 12));
}

static void test_a_message_for_which_dropping_makes_no_room_drops_none(void **state)
{
    struct fixture *f = *state;
    char large[1000] = {0};
    unsigned i = 0;
    route_of(f)->policy.slow = WSG_SLOW_DROP_OLD;
    while (dropped(f, WSG_OUT_SLOW_OLD) == 0)
        send_one(f, ++i, WSG_SLOW_AS_ROUTE, NULL);
    route_of(f)->policy.max_queue = 900;
    size_t waiting = session_of(f)->out.messages;
    struct wsg_command c = {.type = WSB_SEND, .code = WSB_BINARY, .payload = wsb_span(large, sizeof large)};
    wsg_session_command(session_of(f), &c);
    assert_int_equal(session_of(f)->out.messages, waiting);
    assert_int_equal(dropped(f, WSG_OUT_SLOW_NEW), 1);
    assert_accounted(f, i + 1);
}

static void test_pongs_are_never_dropped(void **state)
{
    struct fixture *f = *state;
    unsigned numbers[MANY];
    size_t pongs;
    route_of(f)->policy.slow = WSG_SLOW_DROP_OLD;
    for (unsigned i = 1; i <= MANY; i++) {
        send_one(f, i, WSG_SLOW_AS_ROUTE, NULL);
        if (i % 20 == 0)
            say_frame(f, 0x89, "p");
    }
    size_t count = read_numbers(f, numbers, MANY, &pongs);
    assert_int_equal(pongs, MANY / 20);
    assert_outcomes(f, MANY, numbers, count);
    assert_int_equal(session_of(f)->state, WSG_SESSION_OPEN);
}

static void test_a_stalled_client_that_pings_is_closed_in_the_end(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.slow = WSG_SLOW_DROP_NEW;
    for (unsigned i = 1; i <= MANY; i++)
        send_one(f, i, WSG_SLOW_AS_ROUTE, NULL);
    for (int i = 0; i < 10000 && session_of(f)->state == WSG_SESSION_OPEN; i++) {
        say_frame(f, 0x89, "a ping that is never read the answer of");
        assert_true(wsg_session_waiting(session_of(f)) <= 20000 + WSG_CONTROL_ROOM + 200);
    }
    assert_int_equal(session_of(f)->state, WSG_SESSION_CLOSING);
}

static void test_writable_is_told_once_and_not_before_half(void **state)
{
    struct fixture *f = *state;
    uint8_t some[2000];
    route_of(f)->policy.slow = WSG_SLOW_DROP_NEW;
    unsigned i = 0;
    while (dropped(f, WSG_OUT_SLOW_NEW) == 0)
        send_one(f, ++i, WSG_SLOW_AS_ROUTE, NULL);
    turn(f);
    assert_int_equal(f->writables, 0);
    for (int k = 0; f->writables == 0; k++) {
        assert_true(k < 1000);
        (void)client_read(f, some, sizeof some);
        size_t before = wsg_session_waiting(session_of(f));
        turn(f);
        if (wsg_session_waiting(session_of(f)) > 10000)
            assert_int_equal(f->writables, 0);
        else if (before <= 10000)
            assert_int_equal(f->writables, 1);
    }
    for (int k = 0; k < 100; k++) {
        (void)client_read(f, some, sizeof some);
        turn(f);
    }
    assert_int_equal(session_of(f)->out.bytes, 0);
    assert_int_equal(f->writables, 1);
    /* and not without having been full */
    send_one(f, ++i, WSG_SLOW_AS_ROUTE, NULL);
    turn(f);
    assert_int_equal(f->writables, 1);
}

static void test_one_large_message_does_not_call_for_itself_for_ever(void **state)
{
    struct fixture *f = *state;
    char large[1000] = {0};
    route_of(f)->policy.slow = WSG_SLOW_DROP_NEW;
    unsigned i = 0;
    while (dropped(f, WSG_OUT_SLOW_NEW) == 0)
        send_one(f, ++i, WSG_SLOW_AS_ROUTE, NULL);
    route_of(f)->policy.max_queue = 1 << 20; /* as if almost nothing waited, for */
    route_of(f)->policy.max_queue_messages = 1 << 20;
    turn(f);
    assert_int_equal(f->writables, 0); /* the client has read nothing since */
    route_of(f)->policy.max_queue = session_of(f)->out.bytes;
    struct wsg_command c = {.type = WSB_SEND, .code = WSB_BINARY, .payload = wsb_span(large, sizeof large)};
    wsg_session_command(session_of(f), &c);
    turn(f);
    assert_int_equal(f->writables, 0);
}

static void test_what_waits_at_the_end_is_gone(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.slow = WSG_SLOW_DROP_OLD;
    for (unsigned i = 1; i <= MANY; i++)
        send_one(f, i, i % 3 ? WSG_SLOW_AS_ROUTE : WSG_SLOW_DROP_NEW, NULL);
    turn(f);
    size_t waiting = session_of(f)->out.messages;
    assert_true(waiting > 10);
    assert_int_equal(atomic_load(&route_of(f)->tally.closed), 0);
    hang_up(f);
    assert_null(session_of(f));
    assert_int_equal(dropped(f, WSG_OUT_GONE), waiting);
    assert_int_equal(atomic_load(&route_of(f)->tally.closed), 1);
    assert_accounted(f, MANY);
    for (unsigned i = 1; i <= MANY; i++)
        assert_int_not_equal(f->outcomes[i], 0);
}

static void test_refused_messages_count(void **state)
{
    struct fixture *f = *state;
    char large[1001] = {0};
    struct wsg_command c = {.type = WSB_PUBLISH, .code = WSB_BINARY, .payload = wsb_span(large, sizeof large)};
    wsg_session_command(session_of(f), &c);
    assert_int_equal(dropped(f, WSG_OUT_REFUSED), 1);
    assert_accounted(f, 1);
    struct wsg_command other = {.type = WSB_RESPOND, .flags = WSB_FLAG_WANT_OUTCOME};
    wsg_session_command(session_of(f), &other); /* refused, and no message */
    assert_accounted(f, 1);
}

static void test_pauses_are_counted(void **state)
{
    struct fixture *f = *state;
    const struct wsg_route_tally *t = &route_of(f)->tally;
    tell(f, (struct wsg_command){.type = WSG_CMD_PAUSE});
    tell(f, (struct wsg_command){.type = WSG_CMD_PAUSE});
    assert_int_equal(atomic_load(&t->pauses), 1);
    assert_int_equal(atomic_load(&t->paused_ms), 0);
    session_of(f)->paused_ms -= 70; /* as if it had begun then */
    tell(f, (struct wsg_command){.type = WSG_CMD_RESUME});
    assert_true(atomic_load(&t->paused_ms) >= 70);
    uint64_t sum = atomic_load(&t->paused_ms);
    tell(f, (struct wsg_command){.type = WSG_CMD_PAUSE});
    session_of(f)->paused_ms -= 70;
    wsg_session_kill(session_of(f), "test");
    assert_int_equal(atomic_load(&t->pauses), 2);
    assert_true(atomic_load(&t->paused_ms) >= sum + 70);
}

/* Any policy, any key, a client that reads now and then: everything is told once, and adds up at every step. */
static void test_anything_adds_up(void **state)
{
    struct fixture *f = *state;
    static unsigned numbers[COUNT(((struct fixture *)0)->outcomes)];
    uint32_t random = 7;
    unsigned sent = 0;
    struct wsg_shared *frame = wsg_shared_new(4 + LEN);
    while (sent < 2500) {
        random = random * 1664525u + 1013904223u;
        unsigned what = random >> 24;
        char key[4];
        snprintf(key, sizeof key, "%u", what % 30);
        if (what < 40) {
            f->reads_nothing = what > 12 || f->got_len > (300 << 10);
            turn(f);
        } else if (what < 50) { /* it reads while the session is not looking: what waits may be on its way any time */
            f->got_len += client_read(f, f->got + f->got_len, (size_t)what * 100);
        } else if (what < 60) {
            say_frame(f, 0x89, "p");
        } else if (what < 100) { /* framed once for many */
            char text[LEN + 1];
            snprintf(text, sizeof text, "%0*u", LEN, ++sent);
            memcpy(frame->data, "\x81\x7e\x01\xf4", 4);
            memcpy(frame->data + 4, text, LEN);
            struct wsg_command c = {.type = WSB_PUBLISH, .code = WSB_TEXT, .flags = WSB_FLAG_WANT_OUTCOME, .seq = sent};
            c.slow = (uint8_t)(WSG_SLOW_DROP_NEW + what % 3);
            c.key = wsb_span_str(key);
            c.frame = frame;
            c.payload = wsb_span(frame->data + 4, LEN);
            wsg_session_command(session_of(f), &c);
            if (atomic_load(&frame->refs) > 1) { /* it waits, and is not to change */
                wsg_shared_unref(frame);
                frame = wsg_shared_new(4 + LEN);
            }
        } else {
            send_one(f, ++sent, (enum wsg_slow)(WSG_SLOW_DROP_NEW + what % 3), what % 2 ? key : NULL);
        }
        assert_accounted(f, sent);
    }
    wsg_shared_unref(frame);
    size_t count = read_numbers(f, numbers, COUNT(numbers), NULL);
    assert_outcomes(f, sent, numbers, count);
    assert_accounted(f, sent);
    assert_true(dropped(f, WSG_OUT_SLOW_NEW) && dropped(f, WSG_OUT_SLOW_OLD) && dropped(f, WSG_OUT_CONFLATED));
    assert_int_equal(session_of(f)->out.bytes + session_of(f)->out.extra, 0);
    assert_int_equal(session_of(f)->receipt_count, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, open_stalled, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_drop_new_keeps_the_oldest),
        TEST(test_drop_old_keeps_the_newest),
        TEST(test_conflate_keeps_the_latest_of_each_key),
        TEST(test_conflate_without_room_drops_what_replaces_nothing),
        TEST(test_conflate_replaces_at_any_time),
        TEST(test_a_full_queue_still_takes_newer_messages_of_its_keys),
        TEST(test_one_that_has_left_meanwhile_is_not_replaced),
        TEST(test_close_closes_and_says_why),
        TEST(test_a_command_may_say_otherwise),
        TEST(test_messages_are_limited_too),
        TEST(test_a_message_for_which_dropping_makes_no_room_drops_none),
        TEST(test_pongs_are_never_dropped),
        TEST(test_a_stalled_client_that_pings_is_closed_in_the_end),
        TEST(test_writable_is_told_once_and_not_before_half),
        TEST(test_one_large_message_does_not_call_for_itself_for_ever),
        TEST(test_what_waits_at_the_end_is_gone),
        TEST(test_refused_messages_count),
        TEST(test_pauses_are_counted),
        TEST(test_anything_adds_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
