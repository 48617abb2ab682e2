/*
 * Messages that do not become complete: the time they have, the memory that all of them have, and the rates, which know of bytes when they
 * arrive. And what shows that a slow client lives.
 */
#include "session/parts.h"
#include "unit/session/fixture.h"

enum { LARGE = 1 << 16 };

static struct wsg_unfinished_account account;

static struct wsg_session *session_of(struct fixture *f)
{
    void *found = NULL;
    return wsg_slots_find(&f->env.slots, f->conn, &found) == WSB_OK ? found : NULL;
}

static struct wsg_route *route_of(struct fixture *f)
{
    return &f->routes.routes[0];
}

static uint64_t ended(struct fixture *f, enum wsg_ending why)
{
    return atomic_load(&route_of(f)->tally.ended[why]);
}

static int setup_open(void **state)
{
    if (setup(state))
        return -1;
    struct fixture *f = *state;
    route_of(f)->policy.max_message = route_of(f)->policy.max_frame = 4 * LARGE;
    account = (struct wsg_unfinished_account){.max = 2 * LARGE};
    f->env.unfinished_account = &account;
    open_websocket(f);
    return 0;
}

static int teardown_open(void **state)
{
    int status = teardown(state);
    assert_int_equal(atomic_load(&account.used), 0); /* whatever happened, it is given back */
    return status;
}

/* The head of a masked binary frame of 3 * LARGE bytes, and so many of them. */
static void begin_message(struct fixture *f, size_t len)
{
    static const uint8_t head[] = {0x82, 0x80 | 127, 0, 0, 0, 0, 0, 3, 0, 0, 1, 2, 3, 4};
    static uint8_t zeros[4096];
    say(f, head, sizeof head);
    for (size_t n; len; len -= n) {
        n = len < sizeof zeros ? len : sizeof zeros;
        say(f, zeros, n);
    }
}

static void test_a_message_has_so_much_time(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.message_timeout_ms = 5000;
    begin_message(f, 100);
    struct wsg_session *s = session_of(f);
    assert_non_null(s->unfinished);
    assert_int_not_equal(s->timer.heap_index, 0);
    fire_timer(f); /* not yet */
    assert_int_equal(ended(f, WSG_ENDED_MESSAGE), 0);
    s->unfinished->since_ms -= 4000;
    say(f, "more", 4); /* one that goes on slowly is no better */
    s->unfinished->since_ms -= 1001;
    fire_timer(f);
    assert_int_equal(ended(f, WSG_ENDED_MESSAGE), 1);
    assert_memory_equal(f->got, "\x88", 1);
    assert_int_equal(f->got[2] << 8 | f->got[3], 1008);
    HAS(f->events, "closed");
    assert_int_equal(atomic_load(&account.used), 0);
}

static void test_the_oldest_makes_room(void **state)
{
    struct fixture *f = *state;
    begin_message(f, LARGE / 2);
    size_t used = atomic_load(&account.used);
    assert_in_range(used, LARGE / 2, 2 * LARGE);
    assert_null(f->env.unfinished->next);
    say_frame(f, 0x89, "ping"); /* nothing of that is kept */
    begin_message(f, 0);
    assert_int_equal(ended(f, WSG_ENDED_UNFINISHED), 0);
    account.max = LARGE / 4; /* as if others had taken the rest */
    say(f, "more", 4);
    assert_int_equal(ended(f, WSG_ENDED_UNFINISHED), 1);
    assert_int_equal(atomic_load(&account.used), 0);
    assert_null(f->env.unfinished);
}

static void test_a_complete_message_owes_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t first[] = {0x02, 0x83, 0, 0, 0, 0, 'a', 'b', 'c'};
    uint8_t last[] = {0x80, 0x82, 0, 0, 0, 0, 'd', 'e'};
    say(f, first, sizeof first);
    assert_non_null(f->env.unfinished);
    assert_int_not_equal(atomic_load(&account.used), 0);
    say(f, last, sizeof last);
    HAS(f->events, "data:abcde");
    assert_null(f->env.unfinished);
    assert_int_equal(atomic_load(&account.used), 0);
}

static int setup_rates(void **state)
{
    if (setup(state))
        return -1;
    struct fixture *f = *state;
    struct wsg_route_policy *p = &route_of(f)->policy;
    p->max_message = p->max_frame = 4 * LARGE;
    p->byte_rate = p->byte_burst = 1000;
    p->over_rate = WSG_RATE_CLOSE;
    account = (struct wsg_unfinished_account){.max = 100 * LARGE};
    f->env.unfinished_account = &account;
    open_websocket(f);
    return 0;
}

static void test_rates_are_charged_when_bytes_arrive(void **state)
{
    struct fixture *f = *state;
    begin_message(f, 900);
    assert_int_equal(ended(f, WSG_ENDED_RATE), 0);
    begin_message(f, 0);
    uint8_t more[200] = {0};
    say(f, more, sizeof more); /* it is far from complete */
    assert_int_equal(ended(f, WSG_ENDED_RATE), 1);
}

static void test_a_message_in_parts_is_charged_once(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[6 + 800] = {0x02, 0x80 | 126, 800 >> 8, 800 & 255};
    uint8_t head[8] = {0x02, 0x80 | 126, 800 >> 8, 800 & 255, 0, 0, 0, 0};
    memcpy(frame, head, 6);
    say(f, head, sizeof head);
    say(f, frame + 6, 400);
    say(f, frame + 6, 400);
    uint8_t last[] = {0x80, 0x81, 0, 0, 0, 0, 'x'};
    say(f, last, sizeof last); /* 801 of 1000 */
    assert_int_equal(ended(f, WSG_ENDED_RATE), 0);
    HAS(f->events, "data");
}

/* -------------------------------------------------------------------------- life */

static uint32_t taken_by(const struct wsg_session *s)
{
    size_t waits = wsg_socket_unread(s->watch.fd);
    return (uint32_t)(s->out.written > waits ? s->out.written - waits : 0);
}

static void wait_for_pong(struct fixture *f, uint32_t since_ms)
{
    struct wsg_session *s = session_of(f);
    route_of(f)->policy.ping_interval_ms = 1000;
    route_of(f)->policy.ping_timeout_ms = 1000;
    uint64_t now_us = wsg_loop_now_us(f->env.loop);
    s->alive_ping_us = now_us - (uint64_t)since_ms * 1000;
    s->heard_ms = (uint32_t)(now_us / 1000) - since_ms;
    s->taken = taken_by(s);
}

static void test_who_sends_lives_though_its_pong_is_behind(void **state)
{
    struct fixture *f = *state;
    wait_for_pong(f, 5000);
    begin_message(f, 10); /* its pong comes behind all of that */
    fire_timer(f);
    assert_int_equal(ended(f, WSG_ENDED_PING), 0);
    wait_for_pong(f, 5000);
    fire_timer(f);
    assert_int_equal(ended(f, WSG_ENDED_PING), 1);
}

static void test_who_takes_and_says_nothing_is_dead(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.max_queue = 64 << 20;
    f->reads_nothing = true;
    tell(f, (struct wsg_command){.type = WSB_SEND, .code = WSB_BINARY, .payload = wsb_span(f->got, 1000)});
    wait_for_pong(f, 5000);
    fire_timer(f); /* nothing has moved since */
    assert_int_equal(ended(f, WSG_ENDED_PING), 1);
}

static void test_progress_of_the_output_is_life(void **state)
{
    struct fixture *f = *state;
    struct wsg_session *s = session_of(f);
    wait_for_pong(f, 5000);
    s->taken--; /* it has taken a byte since */
    fire_timer(f);
    assert_int_equal(ended(f, WSG_ENDED_PING), 0);
    assert_int_not_equal(s->alive_ping_us, 0); /* and is still asked */
}

static void test_who_speaks_is_not_pinged(void **state)
{
    struct fixture *f = *state;
    struct wsg_session *s = session_of(f);
    route_of(f)->policy.ping_interval_ms = 1000;
    route_of(f)->policy.ping_timeout_ms = 1000;
    s->heard_ms -= 900;
    say_frame(f, 0x81, "hello");
    s->heard_ms -= 200; /* 1100 since before, and 200 since it spoke */
    fire_timer(f);
    assert_int_equal(s->alive_ping_us, 0);
    s->heard_ms -= 900;
    fire_timer(f);
    assert_int_not_equal(s->alive_ping_us, 0);
}

int main(void)
{
#define TEST(fn)  cmocka_unit_test_setup_teardown(fn, setup_open, teardown_open)
#define RATES(fn) cmocka_unit_test_setup_teardown(fn, setup_rates, teardown_open)
    const struct CMUnitTest tests[] = {
        TEST(test_a_message_has_so_much_time),
        TEST(test_the_oldest_makes_room),
        TEST(test_a_complete_message_owes_nothing),
        RATES(test_rates_are_charged_when_bytes_arrive),
        RATES(test_a_message_in_parts_is_charged_once),
        TEST(test_who_sends_lives_though_its_pong_is_behind),
        TEST(test_who_takes_and_says_nothing_is_dead),
        TEST(test_progress_of_the_output_is_life),
        TEST(test_who_speaks_is_not_pinged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
