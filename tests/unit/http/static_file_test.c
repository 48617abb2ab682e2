/* Opening files below a directory: both ways of doing it, on a tree made for the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/static_file.h"

struct tree {
    char path[64];
    int root;    /* path/root */
    int outside; /* path: what must not be reached */
};

static void write_file(int dirfd, const char *name, const char *text)
{
    int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static int setup(void **state)
{
    struct tree *t = calloc(1, sizeof *t);
    assert_non_null(t);
    strcpy(t->path, "/tmp/wsbus-static-XXXXXX");
    assert_non_null(mkdtemp(t->path));
    t->outside = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(t->outside >= 0);
    assert_int_equal(mkdirat(t->outside, "root", 0755), 0);
    t->root = openat(t->outside, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(t->root >= 0);
    write_file(t->outside, "secret", "s");
    write_file(t->root, "a.txt", "hello");
    assert_int_equal(mkdirat(t->root, "d", 0755), 0);
    write_file(t->root, "d/b", "");
    assert_int_equal(mkdirat(t->root, "d/e", 0755), 0);
    write_file(t->root, "d/e/f", "deep");
    assert_int_equal(mkfifoat(t->root, "fifo", 0644), 0);
    assert_int_equal(symlinkat("../secret", t->root, "up"), 0);
    assert_int_equal(symlinkat("/etc/hostname", t->root, "absolute"), 0);
    assert_int_equal(symlinkat("..", t->root, "updir"), 0);
    assert_int_equal(symlinkat("a.txt", t->root, "inside"), 0);
    assert_int_equal(symlinkat("loop", t->root, "loop"), 0);
    assert_int_equal(symlinkat("/proc/self/cwd", t->root, "magic"), 0);
    *state = t;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct tree *t = *state;
    close(t->root);
    close(t->outside);
    int result = nftw(t->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(t);
    return result;
}

typedef wsb_err (*open_fn)(int root_dirfd, const char *name, struct wsg_static_file *ret_file);

static const struct {
    const char *name;
    wsb_err want;
    bool is_directory;
} rows[] = {
    {"a.txt", WSB_OK, false},
    {"d/b", WSB_OK, false},
    {"d", WSB_OK, true},
    {"d/e/f", WSB_OK, false},
    {"missing", WSB_ERR_NOT_FOUND, false},
    {"d/missing", WSB_ERR_NOT_FOUND, false},
    {"a.txt/x", WSB_ERR_NOT_FOUND, false},
    {"fifo", WSB_ERR_NOT_FOUND, false}, /* and does not hang */
    {"up", WSB_ERR_NOT_FOUND, false},
    {"absolute", WSB_ERR_NOT_FOUND, false},
    {"updir/secret", WSB_ERR_NOT_FOUND, false},
    {"../secret", WSB_ERR_NOT_FOUND, false},
    {"d/../../secret", WSB_ERR_NOT_FOUND, false},
    {"..", WSB_ERR_NOT_FOUND, false},
    {"/etc/hostname", WSB_ERR_NOT_FOUND, false},
    {"", WSB_ERR_NOT_FOUND, false},
    {"loop", WSB_ERR_NOT_FOUND, false},
    {"magic/a", WSB_ERR_NOT_FOUND, false},
};

static void check_rows(const struct tree *t, open_fn open_file)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wsg_static_file f = {.fd = -1};
        wsb_err err = open_file(t->root, rows[i].name, &f);
        if (err != rows[i].want || f.is_directory != rows[i].is_directory)
            fail_msg("%s: %s", rows[i].name, wsb_err_name(err));
        assert_true((f.fd >= 0) == (err == WSB_OK && !rows[i].is_directory));
        if (f.fd >= 0)
            close(f.fd);
    }
}

static void test_open_stays_below_the_directory(void **state)
{
    check_rows(*state, wsg_static_open);
}

static void test_open_stepwise_stays_below_the_directory(void **state)
{
    check_rows(*state, wsg_static_open_stepwise);
}

static void test_open_stepwise_follows_no_link(void **state)
{
    const struct tree *t = *state;
    struct wsg_static_file f;
    assert_int_equal(wsg_static_open_stepwise(t->root, "inside", &f), WSB_ERR_NOT_FOUND);
    char name[300];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 0;
    assert_int_equal(wsg_static_open_stepwise(t->root, name, &f), WSB_ERR_NOT_FOUND);
    assert_int_equal(wsg_static_open_stepwise(t->root, "d//b", &f), WSB_ERR_NOT_FOUND);
    assert_int_equal(wsg_static_open_stepwise(t->root, "./a.txt", &f), WSB_ERR_NOT_FOUND);
}

static void test_open_tells_size_time_and_a_tag_that_changes(void **state)
{
    const struct tree *t = *state;
    struct wsg_static_file before;
    struct wsg_static_file after;
    struct timespec times[2] = {{.tv_sec = 784111777, .tv_nsec = 5}, {.tv_sec = 784111777, .tv_nsec = 5}};
    assert_int_equal(utimensat(t->root, "a.txt", times, 0), 0);
    assert_int_equal(wsg_static_open(t->root, "a.txt", &before), WSB_OK);
    assert_int_equal(before.size, 5);
    assert_int_equal(before.mtime_s, 784111777);
    assert_string_equal(before.etag, "\"5-ae1b981bc490a05\""); /* the same on each host that has the file */
    times[1].tv_nsec = 6;                                      /* the same second */
    assert_int_equal(utimensat(t->root, "a.txt", times, 0), 0);
    assert_int_equal(wsg_static_open_stepwise(t->root, "a.txt", &after), WSB_OK);
    assert_string_not_equal(before.etag, after.etag);
    char text[6] = "";
    assert_int_equal(read(after.fd, text, 5), 5);
    assert_string_equal(text, "hello");
    close(before.fd);
    close(after.fd);
}

static void test_open_leaks_no_descriptor(void **state)
{
    const struct tree *t = *state;
    int before = dup(t->root);
    close(before);
    check_rows(t, wsg_static_open);
    check_rows(t, wsg_static_open_stepwise);
    int after = dup(t->root);
    close(after);
    assert_int_equal(before, after); /* the lowest free number is what it was */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_stays_below_the_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_stepwise_stays_below_the_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_stepwise_follows_no_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_tells_size_time_and_a_tag_that_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_leaks_no_descriptor, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
