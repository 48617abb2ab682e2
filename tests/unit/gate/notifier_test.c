/* What the service manager hears, in which order, and what a loop that hangs does to it. */
#include "support/test.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gate/notifier.h"

enum { WORKERS = 3, DEADLINE_MS = 10000 };

struct fixture {
    int told;
    struct wsg_manager manager;
    struct wsg_loop *loops[WORKERS];
    struct wsg_notifier notifier;
    char text[WSG_MANAGER_TEXT_MAX];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = sizeof at;
    char path[120];
    struct wsb_fault fault;
    f->told = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->told, (struct sockaddr *)&at, sizeof at.sun_family), 0);
    assert_int_equal(getsockname(f->told, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(path, sizeof path, "@%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path) - 1),
                   at.sun_path + 1);
    assert_int_equal(wsg_manager_open(&f->manager,
                                      &(struct wsg_manager_env){.notify_socket = path, .watchdog_usec = "40000"}, 1, 3,
                                      &fault),
                     WSB_OK);
    for (int i = 0; i < WORKERS; i++)
        assert_int_equal(wsg_loop_new(&f->loops[i]), WSB_OK);
    assert_int_equal(wsg_notifier_init(&f->notifier, &f->manager, f->loops, WORKERS), WSB_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 1; i < WORKERS; i++)
        wsg_loop_round(f->loops[i], 0); /* pulses that are out */
    wsg_notifier_deinit(&f->notifier);
    for (int i = 0; i < WORKERS; i++)
        wsg_loop_free(f->loops[i]);
    wsg_manager_close(&f->manager);
    close(f->told);
    free(f);
    return 0;
}

/* The next thing that was told; NULL: nothing. */
static const char *hear(struct fixture *f)
{
    ssize_t n = recv(f->told, f->text, sizeof f->text - 1, 0);
    f->text[n > 0 ? n : 0] = 0;
    return n > 0 ? f->text : NULL;
}

static void assert_hears(struct fixture *f, const char *want)
{
    const char *text = hear(f);
    assert_non_null(text);
    assert_string_equal(text, want);
}

static void assert_begins(struct fixture *f, const char *want)
{
    const char *text = hear(f);
    assert_non_null(text);
    assert_memory_equal(text, want, strlen(want));
}

/* Rounds of the first worker, until its watchdog timer has run once more. */
static void tick(struct fixture *f)
{
    uint64_t due_ms = f->notifier.watchdog.due_ms;
    for (int i = 0; f->notifier.watchdog.due_ms == due_ms; i++) {
        assert_true(i < DEADLINE_MS);
        wsg_loop_round(f->loops[0], 1);
    }
}

static void answer(struct fixture *f)
{
    for (int i = 1; i < WORKERS; i++)
        wsg_loop_round(f->loops[i], 0);
}

static void test_a_life_is_told_in_order(void **state)
{
    struct fixture *f = *state;
    wsg_notifier_reloading(&f->notifier); /* before it serves this is nobody's business */
    assert_null(hear(f));
    wsg_notifier_ready(&f->notifier, "up");
    assert_hears(f, "READY=1\nSTATUS=up");
    assert_hears(f, "WATCHDOG=1");
    wsg_notifier_reloading(&f->notifier);
    assert_begins(f, "RELOADING=1\nMONOTONIC_USEC=");
    wsg_notifier_ready(&f->notifier, "up; the last\nreload \xff failed");
    assert_hears(f, "READY=1\nSTATUS=up; the last reload   failed");
    wsg_notifier_stopping(&f->notifier, "draining", 5000);
    assert_hears(f, "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\nSTATUS=draining");
    wsg_notifier_stopping(&f->notifier, "again", 5000);
    wsg_notifier_reloading(&f->notifier);
    wsg_notifier_ready(&f->notifier, "not any more");
    assert_null(hear(f));
}

static void test_signs_of_life_want_all_workers(void **state)
{
    struct fixture *f = *state;
    wsg_notifier_ready(&f->notifier, "up");
    assert_begins(f, "READY=1");
    assert_hears(f, "WATCHDOG=1");
    answer(f);
    tick(f);
    assert_hears(f, "WATCHDOG=1");
    wsg_loop_round(f->loops[1], 0); /* the other one hangs */
    for (int i = 0; i < 5; i++) {
        tick(f);
        wsg_loop_round(f->loops[1], 0);
        assert_null(hear(f));
    }
    answer(f);
    tick(f);
    assert_hears(f, "WATCHDOG=1");
}

static void test_while_it_drains_it_lives(void **state)
{
    struct fixture *f = *state;
    wsg_notifier_ready(&f->notifier, "up");
    wsg_notifier_stopping(&f->notifier, "draining", 0);
    assert_begins(f, "READY=1");
    assert_begins(f, "WATCHDOG=1");
    assert_begins(f, "STOPPING=1");
    answer(f);
    tick(f);
    assert_hears(f, "WATCHDOG=1");
}

static void test_what_the_manager_does_not_take_is_told_later(void **state)
{
    struct fixture *f = *state;
    size_t filled = 0;
    while (wsg_manager_tell(&f->manager, "STATUS=noise") == WSB_OK)
        filled++;
    wsg_notifier_ready(&f->notifier, "up");
    wsg_notifier_reloading(&f->notifier);
    wsg_notifier_ready(&f->notifier, "up again");
    for (size_t i = 0; i < filled; i++)
        assert_hears(f, "STATUS=noise");
    wsg_notifier_stopping(&f->notifier, "draining", 0); /* there is room: but first comes what was first */
    static const char *const order[] = {"READY=1\nSTATUS=up", "RELOADING=1", "READY=1\nSTATUS=up again", "STOPPING=1"};
    size_t heard = 0;
    for (int i = 0; heard < COUNT(order); i++) {
        assert_true(i < DEADLINE_MS);
        wsg_loop_round(f->loops[0], 1);
        answer(f);
        for (const char *text; heard < COUNT(order) && (text = hear(f));) {
            if (strcmp(text, "WATCHDOG=1") == 0)
                continue;
            assert_memory_equal(text, order[heard], strlen(order[heard]));
            heard++;
        }
    }
}

static void test_of_what_is_never_taken_the_latest_is_kept(void **state)
{
    struct fixture *f = *state;
    wsg_notifier_ready(&f->notifier, "up");
    while (wsg_manager_tell(&f->manager, "STATUS=noise") == WSB_OK)
        ;
    for (int i = 0; i < 100; i++) {
        wsg_notifier_reloading(&f->notifier);
        wsg_notifier_ready(&f->notifier, i < 99 ? "up" : "the last one");
    }
    assert_int_equal(f->notifier.untold_count, WSG_UNTOLD_MAX);
    assert_string_equal(f->notifier.untold[WSG_UNTOLD_MAX - 1], "READY=1\nSTATUS=the last one");
}

static void test_without_a_manager_nothing_happens(void **state)
{
    struct wsg_loop *loop;
    struct wsg_notifier n;
    (void)state;
    assert_int_equal(wsg_loop_new(&loop), WSB_OK);
    assert_int_equal(wsg_notifier_init(&n, NULL, &loop, 1), WSB_OK);
    wsg_notifier_ready(&n, "up");
    wsg_notifier_reloading(&n);
    wsg_notifier_stopping(&n, "draining", 1);
    assert_int_equal(n.watchdog.heap_index, 0);
    wsg_notifier_deinit(&n);
    wsg_loop_free(loop);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_life_is_told_in_order),
        TEST(test_signs_of_life_want_all_workers),
        TEST(test_while_it_drains_it_lives),
        TEST(test_what_the_manager_does_not_take_is_told_later),
        TEST(test_of_what_is_never_taken_the_latest_is_kept),
        cmocka_unit_test(test_without_a_manager_nothing_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
