/*
 * Clients that are not read because the bus is behind: they go on in the order in which they stopped, some of them in a round, and who
 * has ended meanwhile is in nobody's way.
 */
#include <unistd.h>

#include "session/parts.h"
#include "unit/session/fixture.h"

enum { STEP = 64, CLIENTS = 2 * STEP + 10 };

static int clients[CLIENTS];

static int open_stalled(void **state)
{
    if (setup(state))
        return -1;
    struct fixture *f = *state;
    close(f->client);
    f->env.outbox_full = true;
    for (size_t i = 0; i < CLIENTS; i++) {
        connect_client(f);
        clients[i] = f->client;
        assert_int_equal(write(clients[i], "G", 1), 1);
        wsg_loop_round(f->env.loop, 0); /* this one stops now */
    }
    f->client = -1;
    f->env.outbox_full = false;
    return 0;
}

static int close_clients(void **state)
{
    for (size_t i = 0; i < CLIENTS; i++)
        close(clients[i]);
    return teardown(state);
}

/* As many as are stalled, from the first to the last; and the list is whole. */
static size_t count_stalled(const struct wsg_env *env)
{
    size_t count = 0;
    struct wsg_session *const *link = &env->stalled;
    for (; *link; link = &(*link)->stalled.next) {
        assert_true((*link)->is_stalled);
        assert_ptr_equal((*link)->stalled.link, link);
        count++;
    }
    assert_true(count == 0 || env->stalled_end == link);
    return count;
}

static void test_they_go_on_in_order_and_in_steps(void **state)
{
    struct fixture *f = *state;
    struct wsg_session *first = f->env.stalled;
    assert_int_equal(count_stalled(&f->env), CLIENTS);
    wsg_sessions_unstall(&f->env);
    assert_int_equal(count_stalled(&f->env), CLIENTS - STEP);
    assert_false(first->is_stalled);

    f->env.outbox_full = true;
    wsg_loop_round(f->env.loop,
                   0); /* those that went on are stopped again, and are behind those that have not gone on */
    f->env.outbox_full = false;
    assert_int_equal(count_stalled(&f->env), CLIENTS);
    wsg_sessions_unstall(&f->env);
    assert_true(first->is_stalled);
    wsg_sessions_unstall(&f->env);
    wsg_sessions_unstall(&f->env);
    assert_int_equal(count_stalled(&f->env), 0);
    assert_false(first->is_stalled);
}

static void test_who_ends_leaves_the_line(void **state)
{
    struct fixture *f = *state;
    struct wsg_session *first = f->env.stalled, *second = first->stalled.next, *last = first;
    while (last->stalled.next)
        last = last->stalled.next;
    wsg_session_kill(second, "test");
    wsg_session_kill(last, "test");
    wsg_session_kill(first, "test");
    assert_int_equal(count_stalled(&f->env), CLIENTS - 3);
    wsg_sessions_reap(&f->env);
    while (f->env.stalled)
        wsg_session_kill(f->env.stalled, "test");
    wsg_sessions_reap(&f->env);

    connect_client(f); /* and the next one begins a line */
    f->env.outbox_full = true;
    assert_int_equal(write(f->client, "G", 1), 1);
    wsg_loop_round(f->env.loop, 0);
    assert_int_equal(count_stalled(&f->env), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_they_go_on_in_order_and_in_steps, open_stalled, close_clients),
        cmocka_unit_test_setup_teardown(test_who_ends_leaves_the_line, open_stalled, close_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
