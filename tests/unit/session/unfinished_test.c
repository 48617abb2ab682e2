/*
 * Messages that do not become complete: the time they have, the memory that all of them have, and the rates, which know of bytes when they
 * arrive. And what shows that a slow client lives.
 */
#include <unistd.h>

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
    say_frame(f, 0x89, "ping"); /* nothing of that is kept */
    begin_message(f, 0);
    assert_int_equal(ended(f, WSG_ENDED_UNFINISHED), 0);
    account.max = LARGE / 4; /* as if others had taken the rest */
    say(f, "more", 4);
    assert_int_equal(ended(f, WSG_ENDED_UNFINISHED), 1);
    assert_int_equal(atomic_load(&account.used), 0);
    assert_int_equal(f->env.unfinished_held, 0);
}

/* Another client begins a small message, and holds it. */
static int begin_beside(struct fixture *f, struct wsg_session **ret)
{
    void *found = NULL;
    int first = f->client;
    connect_client(f);
    open_websocket(f);
    begin_message(f, 100);
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &found), WSB_OK);
    int client = f->client;
    f->client = first;
    *ret = found;
    return client;
}

static void test_who_holds_much_makes_room_for_who_holds_little(void **state)
{
    struct fixture *f = *state;
    struct wsg_session *much = session_of(f), *little;
    int client = begin_beside(f, &little); /* it began first */
    begin_message(f, 3 * LARGE / 2);
    account.max = LARGE;
    say(f, "more", 4);
    assert_int_equal(ended(f, WSG_ENDED_UNFINISHED), 1);
    assert_null(much->unfinished);
    assert_non_null(little->unfinished);
    assert_int_equal(little->state, WSG_SESSION_OPEN);
    close(client);
    turn(f);
}

static void test_a_complete_message_owes_nothing(void **state)
{
    struct fixture *f = *state;
    uint8_t first[] = {0x02, 0x83, 0, 0, 0, 0, 'a', 'b', 'c'};
    uint8_t last[] = {0x80, 0x82, 0, 0, 0, 0, 'd', 'e'};
    say(f, first, sizeof first);
    assert_int_not_equal(f->env.unfinished_held, 0);
    assert_int_not_equal(atomic_load(&account.used), 0);
    say(f, last, sizeof last);
    HAS(f->events, "data:abcde");
    assert_int_equal(f->env.unfinished_held, 0);
    assert_int_equal(atomic_load(&account.used), 0);
}

/* --------------------------------------------------------------- after goodbye */

static const uint8_t close_frame[] = {0x88, 0x82, 0, 0, 0, 0, 1000 >> 8, 1000 & 255};

static void say_goodbye(struct fixture *f)
{
    tell(f, (struct wsg_command){
                .type = WSB_CLOSE, .by = WSG_BY_HANDLER, .status = 4321, .reason = wsb_span_str("enough")});
    assert_int_equal(session_of(f)->state, WSG_SESSION_CLOSING);
}

static void test_a_message_that_goodbye_cuts_off_is_still_accounted(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.message_timeout_ms = 60000;
    begin_message(f, 100);
    say_goodbye(f);
    uint64_t due_ms = session_of(f)->timer.due_ms;
    size_t before = atomic_load(&account.used);
    begin_message(f, LARGE / 2); /* it goes on, whatever we said */
    assert_in_range(atomic_load(&account.used), before + LARGE / 2, 2 * LARGE);
    assert_int_equal(session_of(f)->timer.due_ms, due_ms); /* the closing handshake's, as it was */
    account.max = LARGE / 4;
    forget(f);
    say(f, "more", 4);
    assert_int_equal(atomic_load(&account.used), 0);
    assert_int_equal(ended(f, WSG_ENDED_UNFINISHED), 0); /* the handler had ended it before */
    assert_int_equal(f->got_len, 0);                     /* one Close frame only */
    HAS(f->events, "closed");
    HAS(f->meta, "enough");
    HAS(f->meta, "4321");
}

static void test_a_message_that_begins_after_goodbye_is_accounted(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.message_timeout_ms = 1000;
    say_goodbye(f);
    uint64_t due_ms = session_of(f)->timer.due_ms;
    begin_message(f, LARGE);
    assert_in_range(atomic_load(&account.used), LARGE, 2 * LARGE);
    assert_int_equal(session_of(f)->timer.due_ms, due_ms);
}

static void test_who_is_gone_holds_nothing(void **state)
{
    struct fixture *f = *state;
    begin_message(f, LARGE / 2);
    hang_up(f); /* before its place is free again */
    assert_int_equal(atomic_load(&account.used), 0);
    assert_int_equal(f->env.unfinished_held, 0);
    assert_int_equal(f->env.unfinished_held, 0);
}

static void test_a_worker_within_its_share_ends_nobody(void **state)
{
    struct fixture *f = *state;
    account.share = LARGE;
    atomic_fetch_add(&account.used, 2 * LARGE); /* another worker's */
    begin_message(f, LARGE / 2);
    assert_int_equal(ended(f, WSG_ENDED_UNFINISHED), 0);
    begin_message(f, LARGE);
    assert_int_equal(ended(f, WSG_ENDED_UNFINISHED), 1);
    atomic_fetch_sub(&account.used, 2 * LARGE);
}

static void test_the_answer_to_a_goodbye_is_read_though_reading_was_paused(void **state)
{
    struct fixture *f = *state;
    wsg_session_set_paused(session_of(f), WSG_PAUSE_QUIET, true);
    say_goodbye(f);
    say(f, close_frame, sizeof close_frame);
    HAS(f->events, "closed");
    HAS(f->meta, "enough");
    HAS(f->meta, "\"clean\":true");
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

static void test_what_a_pause_kept_is_followed(void **state)
{
    struct fixture *f = *state;
    struct wsg_session *s = session_of(f);
    route_of(f)->policy.over_rate = WSG_RATE_PAUSE;
    uint8_t both[8 + 1200 + 8 + 100] = {0x82, 0x80 | 126, 1200 >> 8, 1200 & 255};
    uint8_t second[] = {0x82, 0x80 | 126, 1200 >> 8, 1200 & 255};
    memcpy(both + 8 + 1200, second, sizeof second);
    say(f, both, sizeof both); /* the first one is too much, the second is kept unread */
    assert_int_not_equal(s->paused & WSG_PAUSE_RATE, 0);
    assert_int_equal(atomic_load(&account.used), 0);
    wsg_session_set_paused(s, WSG_PAUSE_RATE, false);
    assert_int_not_equal(atomic_load(&account.used), 0);
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

static void test_a_ping_that_the_kernel_takes_is_no_life(void **state)
{
    struct fixture *f = *state;
    struct wsg_session *s = session_of(f);
    route_of(f)->policy.ping_interval_ms = 1000;
    route_of(f)->policy.ping_timeout_ms = 1000;
    s->heard_ms -= 1100;
    fire_timer(f);
    assert_int_not_equal(s->alive_ping_us, 0);
    turn(f); /* the other end has taken it, and no program there says anything */
    s->alive_ping_us -= 5000000;
    s->heard_ms -= 5000;
    fire_timer(f);
    assert_int_equal(ended(f, WSG_ENDED_PING), 1);
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

static void make_old(struct wsg_session *s)
{
    uint64_t before_ms = wsg_loop_now_ms(s->env->loop) - 5000;
    s->opened_ms = s->active_ms = before_ms;
}

static void test_only_who_never_spoke_makes_room(void **state)
{
    struct fixture *f = *state;
    void *found = f->env.slots.slots[0].value;
    struct wsg_session *s = found;
    say_text(f, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
    HAS(f->got, "404");
    make_old(s); /* it asked in the millisecond in which it came */
    assert_false(wsg_sessions_end_silent(&f->env));
    hang_up(f);
    connect_client(f);
    turn(f);
    for (uint32_t i = 0; i < f->env.slots.count; i++) {
        if (f->env.slots.slots[i].value)
            make_old(f->env.slots.slots[i].value);
    }
    assert_true(wsg_sessions_end_silent(&f->env));
    assert_false(wsg_sessions_end_silent(&f->env));
}

int main(void)
{
#define TEST(fn)  cmocka_unit_test_setup_teardown(fn, setup_open, teardown_open)
#define RATES(fn) cmocka_unit_test_setup_teardown(fn, setup_rates, teardown_open)
    const struct CMUnitTest tests[] = {
        TEST(test_a_message_has_so_much_time),
        TEST(test_the_oldest_makes_room),
        TEST(test_who_holds_much_makes_room_for_who_holds_little),
        TEST(test_a_complete_message_owes_nothing),
        TEST(test_a_message_that_goodbye_cuts_off_is_still_accounted),
        TEST(test_a_message_that_begins_after_goodbye_is_accounted),
        TEST(test_who_is_gone_holds_nothing),
        TEST(test_a_worker_within_its_share_ends_nobody),
        TEST(test_the_answer_to_a_goodbye_is_read_though_reading_was_paused),
        RATES(test_rates_are_charged_when_bytes_arrive),
        RATES(test_what_a_pause_kept_is_followed),
        RATES(test_a_message_in_parts_is_charged_once),
        TEST(test_who_sends_lives_though_its_pong_is_behind),
        TEST(test_who_takes_and_says_nothing_is_dead),
        TEST(test_progress_of_the_output_is_life),
        TEST(test_a_ping_that_the_kernel_takes_is_no_life),
        TEST(test_who_speaks_is_not_pinged),
        cmocka_unit_test_setup_teardown(test_only_who_never_spoke_makes_room, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
