/*
 * What is published to many: at once when it is quiet, together with the next when much has just left. The pause is a
 * comparison with the loop's clock, so the tests say when the latest large one left instead of waiting.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "session/parts.h"
#include "unit/session/fixture.h"

enum { CLIENTS = 100, FEW = 10, STEP = 128, VERY_MANY = 2 * STEP + 100, LATER_US = 1000000000 };

static int clients[VERY_MANY];
static struct wsg_session *sessions[VERY_MANY];

static int open_so_many(void **state, size_t count)
{
    if (setup(state))
        return -1;
    struct fixture *f = *state;
    close(f->client);
    memset(clients, -1, sizeof clients);
    for (size_t i = 0; i < count; i++) {
        void *found;
        connect_client(f);
        open_websocket(f);
        assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &found), WSB_OK);
        clients[i] = f->client;
        sessions[i] = found;
    }
    f->client = -1;
    f->env.flushing.fan.flushed_us = 0;
    return 0;
}

static int open_many(void **state)
{
    return open_so_many(state, CLIENTS);
}

static int open_very_many(void **state)
{
    return open_so_many(state, VERY_MANY);
}

static int close_many(void **state)
{
    for (size_t i = 0; i < VERY_MANY && clients[i] >= 0; i++)
        close(clients[i]);
    return teardown(state);
}

static void publish(const char *text, size_t count)
{
    size_t len = strlen(text);
    struct wsg_shared *frame = wsg_shared_new(2 + len);
    assert_non_null(frame);
    frame->data[0] = 0x81;
    frame->data[1] = (uint8_t)len;
    memcpy(frame->data + 2, text, len);
    struct wsg_command c = {
        .type = WSB_SEND, .code = WSB_TEXT, .payload = wsb_span(frame->data + 2, len), .frame = frame};
    for (size_t i = 0; i < count; i++)
        wsg_session_command(sessions[i], &c);
    wsg_shared_unref(frame);
}

static void assert_got(size_t i, const char *want)
{
    char got[64] = "";
    ssize_t n = recv(clients[i], got, sizeof got - 1, MSG_DONTWAIT);
    assert_int_equal(n, *want ? (ssize_t)strlen(want) : -1);
    assert_string_equal(got, want);
}

static void assert_all_got(const char *want)
{
    for (size_t i = 0; i < CLIENTS; i++)
        assert_got(i, want);
}

/* As if much had just left. */
static void set_busy(struct fixture *f, bool on)
{
    f->env.flushing.fan.flushed_us = on ? wsg_loop_now_us(f->env.loop) + LATER_US : 0;
}

static void test_the_first_leaves_at_once(void **state)
{
    struct fixture *f = *state;
    publish("a", CLIENTS);
    wsg_sessions_flush(&f->env);
    assert_all_got("\x81\x01"
                   "a");
    assert_true(f->env.flushing.fan.flushed_us > 0);
}

static void test_much_behind_much_waits_and_leaves_together(void **state)
{
    struct fixture *f = *state;
    set_busy(f, true);
    publish("a", CLIENTS);
    wsg_sessions_flush(&f->env);
    publish("b", CLIENTS);
    wsg_sessions_flush(&f->env);
    assert_all_got("");
    set_busy(f, false);
    wsg_sessions_flush(&f->env);
    assert_all_got("\x81\x01"
                   "a\x81\x01"
                   "b");
}

static void test_what_waits_does_not_wait_for_an_event(void **state)
{
    struct fixture *f = *state;
    publish("a", CLIENTS);
    wsg_sessions_flush(&f->env);
    publish("b", CLIENTS); /* the pause is not over, or it just is */
    while (f->env.flushing.fan.line.count) {
        wsg_sessions_flush(&f->env);
        if (f->env.flushing.fan.line.count)
            wsg_loop_round(f->env.loop, -1); /* sleeps for ever if nobody wakes it */
    }
    assert_all_got("\x81\x01"
                   "a\x81\x01"
                   "b");
}

/* Some rounds go by until a publish has reached all, and the next one comes behind it. */
static void test_much_of_which_more_comes_leaves_together(void **state)
{
    struct fixture *f = *state;
    f->env.flushing.fan.more_comes = true;
    publish("a", CLIENTS);
    wsg_sessions_flush(&f->env);
    publish("b", CLIENTS);
    wsg_sessions_flush(&f->env);
    assert_all_got("");
    f->env.flushing.fan.more_comes = false;
    wsg_sessions_flush(&f->env);
    assert_all_got("\x81\x01"
                   "a\x81\x01"
                   "b");
}

/* But not for ever, and then again: without end it comes in parts. */
static void test_much_without_end_leaves_now_and_then(void **state)
{
    struct fixture *f = *state;
    f->env.flushing.fan.more_comes = true;
    for (int part = 0; part < 2; part++) {
        publish("a", CLIENTS);
        wsg_sessions_flush(&f->env);
        assert_all_got("");
        assert_true(f->env.flushing.fan.held_us > 0);
        f->env.flushing.fan.held_us = 1; /* long ago */
        f->env.flushing.fan.flushed_us = 0;
        wsg_sessions_flush(&f->env);
        assert_all_got("\x81\x01"
                       "a");
    }
}

static void test_little_never_waits(void **state)
{
    struct fixture *f = *state;
    set_busy(f, true);
    publish("a", FEW);
    wsg_sessions_flush(&f->env);
    for (size_t i = 0; i < FEW; i++)
        assert_got(i, "\x81\x01"
                      "a");
}

static void test_what_is_for_one_does_not_wait(void **state)
{
    struct fixture *f = *state;
    set_busy(f, true);
    publish("a", CLIENTS - 1);
    wsg_session_command(sessions[CLIENTS - 1],
                        &(struct wsg_command){.type = WSB_SEND, .code = WSB_TEXT, .payload = wsb_span_str("b")});
    wsg_sessions_flush(&f->env);
    assert_got(0, "");
    assert_got(CLIENTS - 1, "\x81\x01"
                            "b");
}

static void test_who_dies_while_it_waits_is_freed(void **state)
{
    struct fixture *f = *state;
    set_busy(f, true);
    publish("a", CLIENTS);
    wsg_session_kill(sessions[0], "test");
    wsg_sessions_flush(&f->env);
    wsg_sessions_reap(&f->env);
    assert_non_null(f->env.dead); /* it is still on the list */
    set_busy(f, false);
    wsg_sessions_flush(&f->env);
    wsg_sessions_reap(&f->env);
    assert_null(f->env.dead);
    assert_got(1, "\x81\x01"
                  "a");
}

static void test_the_end_does_not_wait(void **state)
{
    struct fixture *f = *state;
    set_busy(f, true);
    publish("a", CLIENTS);
    for (size_t i = 0; i < CLIENTS; i++)
        wsg_session_kill(sessions[i], "test");
    wsg_sessions_flush(&f->env);
    wsg_sessions_reap(&f->env);
    assert_null(f->env.dead);
    assert_int_equal(f->env.flushing.fan.line.count, 0);
}

static size_t count_of_those_who_got(const char *want)
{
    size_t count = 0;
    for (size_t i = 0; i < VERY_MANY; i++) {
        char got[64] = "";
        if (recv(clients[i], got, sizeof got - 1, MSG_DONTWAIT) > 0) {
            assert_string_equal(got, want);
            count++;
        }
    }
    return count;
}

static void test_to_very_many_it_leaves_in_steps(void **state)
{
    struct fixture *f = *state;
    struct wsg_command to_one = {.type = WSB_SEND, .code = WSB_TEXT, .payload = wsb_span_str("b")};
    publish("a", VERY_MANY - 1);
    wsg_sessions_flush(&f->env);
    assert_int_equal(f->env.flushing.fan.line.count, VERY_MANY - 1 - STEP);
    wsg_session_command(sessions[VERY_MANY - 1], &to_one); /* is not behind all of it */
    wsg_sessions_flush(&f->env);
    assert_got(VERY_MANY - 1, "\x81\x01"
                              "b");
    wsg_loop_round(f->env.loop, -1); /* sleeps for ever if nobody wakes it */
    wsg_sessions_flush(&f->env);
    assert_int_equal(f->env.flushing.fan.line.count, 0);
    assert_int_equal(count_of_those_who_got("\x81\x01"
                                            "a"),
                     VERY_MANY - 1);
}

static void test_much_for_each_leaves_in_smaller_steps(void **state)
{
    enum { EACH = 60000, MOST = (1 << 20) / EACH + 1 };
    struct fixture *f = *state;
    struct wsg_shared *frame = wsg_shared_new(4 + EACH);
    assert_non_null(frame);
    f->routes.routes[0].policy.max_queue = f->routes.routes[0].policy.max_message = 1 << 20;
    frame->data[0] = 0x82;
    frame->data[1] = 126;
    frame->data[2] = EACH >> 8;
    frame->data[3] = EACH & 255;
    memset(frame->data + 4, 0, EACH);
    struct wsg_command c = {
        .type = WSB_SEND, .code = WSB_BINARY, .payload = wsb_span(frame->data + 4, EACH), .frame = frame};
    for (size_t i = 0; i < CLIENTS; i++)
        wsg_session_command(sessions[i], &c);
    wsg_shared_unref(frame);
    wsg_sessions_flush(&f->env);
    assert_in_range(f->env.flushing.fan.line.count, CLIENTS - MOST, CLIENTS - 10);
    while (f->env.flushing.fan.line.count)
        wsg_sessions_flush(&f->env);
}

static void send_to(size_t first, size_t end, const char *text)
{
    struct wsg_command c = {.type = WSB_SEND, .code = WSB_TEXT, .payload = wsb_span_str(text)};
    for (size_t i = first; i < end; i++)
        wsg_session_command(sessions[i], &c);
}

/* Commands for one client each, for very many clients: the first ones have theirs first, and the loop does not sleep on the rest. */
static void test_to_very_many_one_by_one_it_leaves_in_steps(void **state)
{
    struct fixture *f = *state;
    send_to(0, VERY_MANY, "a");
    wsg_sessions_flush(&f->env);
    wsg_sessions_flush_more(&f->env);
    assert_int_equal(f->env.flushing.dirty.count, VERY_MANY - STEP);
    assert_got(STEP - 1, "\x81\x01"
                         "a");
    assert_got(STEP, "");
    send_to(STEP, VERY_MANY, "b"); /* stands in line already, and goes along */
    while (f->env.flushing.dirty.count) {
        wsg_loop_round(f->env.loop, -1); /* sleeps for ever if nobody wakes it */
        wsg_sessions_flush(&f->env);
    }
    for (size_t i = STEP; i < VERY_MANY; i++)
        assert_got(i, "\x81\x01"
                      "a\x81\x01"
                      "b");
}

static void test_who_dies_in_line_is_freed_behind_it(void **state)
{
    struct fixture *f = *state;
    send_to(0, VERY_MANY, "a");
    wsg_session_kill(sessions[VERY_MANY - 1], "test");
    wsg_sessions_flush(&f->env);
    wsg_sessions_reap(&f->env);
    assert_non_null(f->env.dead);
    while (f->env.flushing.dirty.count)
        wsg_sessions_flush(&f->env);
    wsg_sessions_reap(&f->env);
    assert_null(f->env.dead);
}

/* As many clients fetch something large at once: all have room, and each could take a megabyte. */
static void test_much_for_one_each_leaves_in_smaller_steps(void **state)
{
    enum { EACH = 60000, MOST = (1 << 20) / EACH + 1 };
    struct fixture *f = *state;
    uint8_t *block = calloc(1, EACH);
    assert_non_null(block);
    f->routes.routes[0].policy.max_queue = f->routes.routes[0].policy.max_message = 1 << 20;
    struct wsg_command c = {.type = WSB_SEND, .code = WSB_BINARY, .payload = wsb_span(block, EACH)};
    for (size_t i = 0; i < CLIENTS; i++)
        wsg_session_command(sessions[i], &c);
    free(block);
    wsg_sessions_flush(&f->env);
    assert_in_range(f->env.flushing.dirty.count, CLIENTS - MOST, CLIENTS - 10);
    wsg_sessions_flush_more(&f->env); /* nothing is left over for it */
    assert_in_range(f->env.flushing.dirty.count, CLIENTS - MOST, CLIENTS - 10);
    while (f->env.flushing.dirty.count)
        wsg_sessions_flush(&f->env);
}

/* Some have left, and others were marked behind them: whoever flushes until nobody is in line leaves nobody behind. */
static void test_the_dead_of_several_publishes_all_leave(void **state)
{
    struct fixture *f = *state;
    publish("a", VERY_MANY);
    wsg_sessions_flush(&f->env);
    publish("b", STEP);
    for (size_t i = 0; i < VERY_MANY; i++)
        wsg_session_kill(sessions[i], "test");
    for (int i = 0; wsg_sessions_are_in_line(&f->env); i++) {
        assert_in_range(i, 0, 3);
        wsg_sessions_flush(&f->env);
    }
    while (!wsg_sessions_reap(&f->env))
        ;
    assert_null(f->env.dead);
}

static size_t count_dead(const struct wsg_env *env)
{
    size_t count = 0;
    for (const struct wsg_session *s = env->dead; s; s = s->next_dead)
        count++;
    return count;
}

/* To free very much takes long, as to write it does. */
static void test_what_the_dead_never_took_is_freed_in_steps(void **state)
{
    enum { EACH = 600000, MOST = (4 << 20) / EACH + 1 };
    struct fixture *f = *state;
    uint8_t *block = calloc(1, EACH);
    assert_non_null(block);
    f->routes.routes[0].policy.max_queue = f->routes.routes[0].policy.max_message = 1 << 20;
    struct wsg_command c = {.type = WSB_SEND, .code = WSB_BINARY, .payload = wsb_span(block, EACH)};
    for (size_t i = 0; i < CLIENTS; i++) {
        wsg_session_command(sessions[i], &c);
        wsg_session_kill(sessions[i], "test");
    }
    free(block);
    wsg_sessions_flush(&f->env); /* nothing of them is in a line any more */
    size_t before = CLIENTS;
    while (!wsg_sessions_reap(&f->env)) {
        size_t left = count_dead(&f->env);
        assert_true(before - left > 0 && before - left <= MOST);
        before = left;
    }
    assert_int_equal(count_dead(&f->env), 0);
    assert_true(before <= MOST);
}

/* Who has had its turn is behind those who have not. */
static void test_what_follows_does_not_get_in_front(void **state)
{
    struct fixture *f = *state;
    publish("a", VERY_MANY);
    wsg_sessions_flush(&f->env);
    publish("b", STEP);
    wsg_sessions_flush(&f->env);
    wsg_sessions_flush(&f->env);
    assert_int_equal(f->env.flushing.fan.line.count, STEP); /* of the second, nobody */
    assert_got(VERY_MANY - 1, "\x81\x01"
                              "a");
}

static void test_very_many_that_are_dead_leave_together(void **state)
{
    struct fixture *f = *state;
    publish("a", VERY_MANY);
    wsg_sessions_flush(&f->env);
    for (size_t i = 0; i < VERY_MANY; i++)
        wsg_session_kill(sessions[i], "test");
    wsg_sessions_flush(&f->env);
    wsg_sessions_reap(&f->env);
    assert_null(f->env.dead);
    assert_int_equal(f->env.flushing.fan.line.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_first_leaves_at_once, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_much_behind_much_waits_and_leaves_together, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_what_waits_does_not_wait_for_an_event, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_much_of_which_more_comes_leaves_together, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_much_without_end_leaves_now_and_then, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_little_never_waits, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_what_is_for_one_does_not_wait, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_who_dies_while_it_waits_is_freed, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_the_end_does_not_wait, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_to_very_many_it_leaves_in_steps, open_very_many, close_many),
        cmocka_unit_test_setup_teardown(test_much_for_each_leaves_in_smaller_steps, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_to_very_many_one_by_one_it_leaves_in_steps, open_very_many, close_many),
        cmocka_unit_test_setup_teardown(test_who_dies_in_line_is_freed_behind_it, open_very_many, close_many),
        cmocka_unit_test_setup_teardown(test_much_for_one_each_leaves_in_smaller_steps, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_the_dead_of_several_publishes_all_leave, open_very_many, close_many),
        cmocka_unit_test_setup_teardown(test_what_the_dead_never_took_is_freed_in_steps, open_many, close_many),
        cmocka_unit_test_setup_teardown(test_what_follows_does_not_get_in_front, open_very_many, close_many),
        cmocka_unit_test_setup_teardown(test_very_many_that_are_dead_leave_together, open_very_many, close_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
