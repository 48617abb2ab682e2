/* What a service manager passes, and what it is told. */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/manager.h"

enum { SELF = 4242 };

/* Two listening sockets and one that is none, on three descriptors in a row, as a manager would leave them. */
struct fixture {
    int first;
    char pid[16];
    int told; /* where a manager listens, on an abstract name of the kernel's choice */
    char told_at[120];
    struct wsg_manager manager;
    struct wsb_fault fault;
};

static int listener(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any.sun_family), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

/* Behind all that the test has open itself. */
static int place(int fd, int at)
{
    assert_int_equal(dup2(fd, at), at);
    close(fd);
    return at;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = sizeof at;
    f->first = 40;
    place(listener(), 40);
    place(listener(), 41);
    place(socket(AF_UNIX, SOCK_STREAM, 0), 42);
    f->told = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(f->told, (struct sockaddr *)&at, sizeof at.sun_family), 0);
    assert_int_equal(getsockname(f->told, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(f->told_at, sizeof f->told_at, "@%.*s", (int)(len - offsetof(struct sockaddr_un, sun_path) - 1),
                   at.sun_path + 1);
    (void)snprintf(f->pid, sizeof f->pid, "%d", SELF);
    f->manager.fd = -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    wsg_manager_close(&f->manager);
    for (int fd = 40; fd < 43; fd++)
        close(fd); /* or it is closed already */
    close(f->told);
    free(f);
    return 0;
}

static wsb_err open_with(struct fixture *f, struct wsg_manager_env env)
{
    return wsg_manager_open(&f->manager, &env, SELF, f->first, &f->fault);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void test_without_a_manager_there_is_nothing_to_do(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(open_with(f, (struct wsg_manager_env){0}), WSB_OK);
    assert_int_equal(wsg_manager_tell(&f->manager, "READY=1"), WSB_OK);
    assert_int_equal(wsg_manager_take(&f->manager, "unknown"), -1);
    assert_null(wsg_manager_leftover(&f->manager));
    assert_int_equal(f->manager.watchdog_us, 0);
}

static void test_sockets_are_taken_by_name_in_their_order(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        open_with(f, (struct wsg_manager_env){.listen_pid = f->pid, .listen_fds = "2", .listen_fdnames = "web:web"}),
        WSB_OK);
    assert_int_equal(wsg_manager_take(&f->manager, "we"), -1);
    assert_string_equal(wsg_manager_leftover(&f->manager), "web");
    assert_int_equal(wsg_manager_take(&f->manager, "web"), 40);
    assert_true(fcntl(40, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(40, F_GETFL) & O_NONBLOCK);
    assert_int_equal(wsg_manager_take(&f->manager, "web"), 41);
    assert_int_equal(wsg_manager_take(&f->manager, "web"), -1);
    assert_null(wsg_manager_leftover(&f->manager));
    wsg_manager_close(&f->manager);
    assert_true(is_open(40) && is_open(41)); /* they are the taker's */
}

static void test_a_socket_that_nobody_took_is_closed(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(open_with(f, (struct wsg_manager_env){.listen_pid = f->pid, .listen_fds = "2"}), WSB_OK);
    assert_int_equal(wsg_manager_take(&f->manager, "unknown"), 40);
    wsg_manager_close(&f->manager);
    assert_true(is_open(40));
    assert_false(is_open(41));
}

static void test_what_is_for_another_process_is_left_alone(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(open_with(f, (struct wsg_manager_env){.listen_pid = "1",
                                                           .listen_fds = "2",
                                                           .watchdog_pid = "1",
                                                           .watchdog_usec = "5000000"}),
                     WSB_OK);
    assert_null(wsg_manager_leftover(&f->manager));
    assert_int_equal(f->manager.watchdog_us, 0);
    wsg_manager_close(&f->manager);
    assert_true(is_open(40) && is_open(41));
}

static void test_the_watchdog_is_ours_without_a_pid_too(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(open_with(f, (struct wsg_manager_env){.watchdog_usec = "5000000"}), WSB_OK);
    assert_int_equal(f->manager.watchdog_us, 5000000);
    assert_int_equal(open_with(f, (struct wsg_manager_env){.watchdog_usec = "7", .watchdog_pid = f->pid}), WSB_OK);
    assert_int_equal(f->manager.watchdog_us, 7);
}

static void test_what_cannot_be_is_refused(void **state)
{
    static char long_name[300], long_path[200] = "/";
    memset(long_name, 'n', 256);
    memset(long_path + 1, 'p', 150);
    static const struct row {
        const char *name;
        struct wsg_manager_env env;
        const char *why;
    } rows[] = {
        {"a pid that is none", {.listen_pid = "12x", .listen_fds = "1"}, "LISTEN_PID='12x'"},
        {"a negative number", {.listen_pid = "4242", .listen_fds = "-1"}, "LISTEN_FDS='-1'"},
        {"too many sockets", {.listen_pid = "4242", .listen_fds = "65"}, "LISTEN_FDS='65'"},
        {"fewer names than sockets",
         {.listen_pid = "4242", .listen_fds = "2", .listen_fdnames = "web"},
         "LISTEN_FDNAMES"},
        {"more names than sockets",
         {.listen_pid = "4242", .listen_fds = "1", .listen_fdnames = "a:b"},
         "LISTEN_FDNAMES"},
        {"a name that is too long",
         {.listen_pid = "4242", .listen_fds = "1", .listen_fdnames = long_name},
         "LISTEN_FDNAMES"},
        {"a socket that does not listen", {.listen_pid = "4242", .listen_fds = "3"}, "descriptor 42, 'unknown'"},
        {"no number of microseconds", {.watchdog_usec = "soon"}, "WATCHDOG_USEC='soon'"},
        {"a watchdog's pid that is none", {.watchdog_usec = "1", .watchdog_pid = ""}, "WATCHDOG_PID=''"},
        {"a socket that is no path", {.notify_socket = "vsock:2:1"}, "NOTIFY_SOCKET='vsock:2:1'"},
        {"a path that is too long", {.notify_socket = long_path}, "NOTIFY_SOCKET='/ppp"},
        {"an empty path", {.notify_socket = ""}, "NOTIFY_SOCKET=''"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fixture *f;
        setup((void **)&f);
        assert_int_equal(open_with(f, rows[i].env), WSB_ERR_CONFIG);
        if (!strstr(f->fault.text, rows[i].why))
            fail_msg("%s: '%s' instead of %s", rows[i].name, f->fault.text, rows[i].why);
        assert_int_equal(f->manager.passed_count, 0);
        teardown((void **)&f);
    }
}

static void test_a_descriptor_that_is_not_open_is_refused(void **state)
{
    struct fixture *f = *state;
    f->first = 43;
    assert_int_equal(open_with(f, (struct wsg_manager_env){.listen_pid = f->pid, .listen_fds = "1"}), WSB_ERR_CONFIG);
    assert_non_null(strstr(f->fault.text, "descriptor 43"));
}

static void test_it_is_told_by_an_abstract_name_or_a_path(void **state)
{
    struct fixture *f = *state;
    char text[64], path[] = "/tmp/wsbus-manager-XXXXXX";
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    assert_int_equal(open_with(f, (struct wsg_manager_env){.notify_socket = f->told_at}), WSB_OK);
    assert_int_equal(wsg_manager_tell(&f->manager, "READY=1\nSTATUS=up"), WSB_OK);
    assert_int_equal(recv(f->told, text, sizeof text, 0), 17);
    assert_memory_equal(text, "READY=1\nSTATUS=up", 17);

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_non_null(mkdtemp(path));
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s/notify", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    wsg_manager_close(&f->manager);
    assert_int_equal(open_with(f, (struct wsg_manager_env){.notify_socket = at.sun_path}), WSB_OK);
    assert_int_equal(wsg_manager_tell(&f->manager, "STOPPING=1"), WSB_OK);
    assert_int_equal(recv(fd, text, sizeof text, 0), 10);
    close(fd);
    (void)unlink(at.sun_path);
    (void)rmdir(path);
    assert_int_equal(wsg_manager_tell(&f->manager, "STOPPING=1"), WSB_ERR_IO); /* it is gone: no crash, no signal */
}

static void test_a_manager_that_does_not_read_does_not_make_us_wait(void **state)
{
    struct fixture *f = *state;
    wsb_err err = WSB_OK;
    assert_int_equal(open_with(f, (struct wsg_manager_env){.notify_socket = f->told_at}), WSB_OK);
    for (int i = 0; i < 100000 && !err; i++)
        err = wsg_manager_tell(&f->manager, "WATCHDOG=1");
    assert_int_equal(err, WSB_AGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_a_manager_there_is_nothing_to_do, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sockets_are_taken_by_name_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_socket_that_nobody_took_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_for_another_process_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_watchdog_is_ours_without_a_pid_too, setup, teardown),
        cmocka_unit_test(test_what_cannot_be_is_refused),
        cmocka_unit_test_setup_teardown(test_a_descriptor_that_is_not_open_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_is_told_by_an_abstract_name_or_a_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_manager_that_does_not_read_does_not_make_us_wait, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
