/* The runtime directory: which one, and which are refused. The environment is the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/runtime_dir.h"

static void test_runtime_dir_order(void **state)
{
    (void)state;
    char dir[WSB_RUNTIME_DIR_MAX];
    char last[WSB_RUNTIME_DIR_MAX];
    assert_int_equal(setenv("WSBUS_DIR", "/a", 1) | setenv("XDG_RUNTIME_DIR", "/b", 1), 0);
    assert_int_equal(wsb_runtime_dir_resolve("/wanted", dir, NULL), WSB_OK);
    assert_string_equal(dir, "/wanted");
    assert_int_equal(wsb_runtime_dir_resolve("", dir, NULL), WSB_OK);
    assert_string_equal(dir, "/a");
    assert_int_equal(wsb_runtime_dir_find(NULL, dir, NULL), WSB_OK);
    assert_string_equal(dir, "/a");

    assert_int_equal(setenv("WSBUS_RUNTIME_DIR", "/c", 1), 0); /* the same by another name */
    assert_int_equal(wsb_runtime_dir_resolve(NULL, dir, NULL), WSB_OK);
    assert_string_equal(dir, "/a");
    assert_int_equal(setenv("WSBUS_DIR", "", 1), 0);
    assert_int_equal(wsb_runtime_dir_resolve(NULL, dir, NULL), WSB_OK);
    assert_string_equal(dir, "/c");
    assert_int_equal(unsetenv("WSBUS_RUNTIME_DIR"), 0);

    assert_int_equal(wsb_runtime_dir_resolve(NULL, dir, NULL), WSB_OK);
    assert_string_equal(dir, access("/run/wsbus", W_OK | X_OK) == 0 ? "/run/wsbus" : "/b/wsbus");
    assert_int_equal(wsb_runtime_dir_find(NULL, dir, NULL), WSB_OK);
    assert_string_equal(dir, access("/run/wsbus", X_OK) == 0 ? "/run/wsbus" : "/b/wsbus");

    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
    (void)snprintf(last, sizeof last, "/tmp/wsbus-%lu", (unsigned long)geteuid());
    assert_int_equal(wsb_runtime_dir_resolve(NULL, dir, NULL), WSB_OK);
    assert_string_equal(dir, access("/run/wsbus", W_OK | X_OK) == 0 ? "/run/wsbus" : last);
}

static void test_runtime_dir_of_somebody_else_in_tmp(void **state)
{
    (void)state;
    char dir[WSB_RUNTIME_DIR_MAX];
    char last[WSB_RUNTIME_DIR_MAX];
    struct wsb_fault fault = {0};
    (void)snprintf(last, sizeof last, "/tmp/wsbus-%lu", (unsigned long)geteuid());
    assert_int_equal(unsetenv("WSBUS_DIR") | unsetenv("XDG_RUNTIME_DIR"), 0);
    if (access("/run/wsbus", X_OK) == 0 || symlink("/usr", last) != 0)
        skip(); /* this machine has a gate of its own */
    assert_int_equal(wsb_runtime_dir_find(NULL, dir, &fault), WSB_ERR_REFUSED);
    assert_non_null(strstr(fault.text, "not a directory of our own"));
    assert_int_equal(wsb_runtime_dir_find(last, dir, NULL), WSB_OK); /* whoever names it means it */
    assert_int_equal(unlink(last), 0);
    assert_int_equal(wsb_runtime_dir_find(NULL, dir, NULL), WSB_OK); /* there may be one later */
}

static void test_runtime_dir_has_room_for_an_endpoint(void **state)
{
    (void)state;
    char long_dir[WSB_RUNTIME_DIR_MAX + 1];
    char dir[WSB_RUNTIME_DIR_MAX] = "untouched";
    struct wsb_fault fault = {0};
    memset(long_dir, 'a', sizeof long_dir);
    long_dir[WSB_RUNTIME_DIR_MAX] = 0;
    assert_int_equal(wsb_runtime_dir_resolve(long_dir, dir, &fault), WSB_ERR_CONFIG);
    assert_string_equal(dir, "untouched");
    assert_non_null(strstr(fault.text, "longer than 89 bytes"));
    long_dir[WSB_RUNTIME_DIR_MAX - 1] = 0;
    assert_int_equal(wsb_runtime_dir_resolve(long_dir, dir, NULL), WSB_OK);
}

/* Everybody can make a directory in `open`, nobody else in `closed`. */
static void test_runtime_dir_trust(void **state)
{
    (void)state;
    char base[] = "/tmp/wsb_trust_test.XXXXXX";
    char open_dir[64], path[80], deep[96];
    struct wsb_fault fault = {0};
    struct stat st;
    assert_non_null(mkdtemp(base));
    (void)snprintf(open_dir, sizeof open_dir, "%s/open", base);
    (void)snprintf(path, sizeof path, "%s/mine", open_dir);
    (void)snprintf(deep, sizeof deep, "%s//gate/", path);
    assert_int_equal(mkdir(open_dir, 0777) | chmod(open_dir, 01777), 0);

    assert_int_equal(wsb_runtime_dir_trust(open_dir, false, &fault), WSB_ERR_REFUSED);
    assert_non_null(strstr(fault.text, "can be written by others than its owner (mode 1777)"));
    assert_int_equal(wsb_runtime_dir_trust(path, false, NULL), WSB_OK); /* there may be one later */
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(wsb_runtime_dir_trust(deep, true, NULL), WSB_OK); /* and then it is not somebody else's */
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(deep, &st), -1);
    assert_int_equal(wsb_runtime_dir_trust("/run", false, NULL), WSB_OK); /* root's */
    assert_int_equal(wsb_runtime_dir_trust("nowhere/at/all", false, NULL), WSB_OK);
    if (geteuid() == 0) { /* only root can give a directory away */
        assert_int_equal(mkdir(deep, 0700), 0);
        assert_int_equal(chown(deep, 4711, 4711), 0);
        assert_int_equal(wsb_runtime_dir_trust(deep, true, NULL), WSB_OK); /* the gate's, where only we make some */
        assert_int_equal(chown(path, 4711, 4711), 0);
        assert_int_equal(wsb_runtime_dir_trust(path, true, &fault), WSB_ERR_REFUSED);
        assert_non_null(strstr(fault.text, "belongs to user 4711, and everybody can make one in"));
        assert_int_equal(wsb_runtime_dir_trust(deep, true, NULL),
                         WSB_ERR_REFUSED); /* whoever has the way has its end */
        char cwd[256];                     /* by whatever name */
        assert_non_null(getcwd(cwd, sizeof cwd));
        assert_int_equal(chdir(open_dir), 0);
        assert_int_equal(wsb_runtime_dir_trust("mine", false, NULL), WSB_ERR_REFUSED);
        assert_int_equal(wsb_runtime_dir_trust("./mine", false, NULL), WSB_ERR_REFUSED);
        assert_int_equal(wsb_runtime_dir_trust("././/mine/", false, NULL), WSB_ERR_REFUSED);
        assert_int_equal(chdir(cwd), 0);
        assert_int_equal(rmdir(deep) | rmdir(path) | symlink("/run", path) | lchown(path, 4711, 4711), 0);
        assert_int_equal(wsb_runtime_dir_trust(path, true, NULL), WSB_ERR_REFUSED);
        assert_int_equal(unlink(path), 0);
    } else {
        assert_int_equal(rmdir(path), 0);
    }
    assert_int_equal(rmdir(open_dir) | rmdir(base), 0);
}

static void test_runtime_dir_prepare(void **state)
{
    (void)state;
    char base[] = "/tmp/wsb_runtime_test.XXXXXX";
    char dir[64];
    char link[64];
    char file[64];
    char deep[64];
    struct stat st;
    assert_non_null(mkdtemp(base));
    (void)snprintf(dir, sizeof dir, "%s/dir", base);
    (void)snprintf(link, sizeof link, "%s/link", base);
    (void)snprintf(file, sizeof file, "%s/file", base);
    (void)snprintf(deep, sizeof deep, "%s/no/dir", base);
    const mode_t mask = umask(0);
    assert_int_equal(wsb_runtime_dir_prepare(dir, NULL), WSB_OK);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(wsb_runtime_dir_prepare(dir, NULL), WSB_OK);
    (void)umask(mask);

    static const struct {
        mode_t mode;
        wsb_err want;
    } rows[] = {
        {0750, WSB_OK}, {0755, WSB_OK}, {0720, WSB_ERR_REFUSED}, {0702, WSB_ERR_REFUSED}, {01777, WSB_ERR_REFUSED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(chmod(dir, rows[i].mode), 0);
        assert_int_equal(wsb_runtime_dir_prepare(dir, NULL), rows[i].want);
    }
    assert_int_equal(chmod(dir, 0700) | symlink(dir, link), 0);
    assert_int_equal(wsb_runtime_dir_prepare(link, NULL), WSB_ERR_REFUSED);
    FILE *f = fopen(file, "we");
    assert_non_null(f);
    (void)fclose(f);
    assert_int_equal(wsb_runtime_dir_prepare(file, NULL), WSB_ERR_REFUSED);
    assert_int_equal(wsb_runtime_dir_prepare(deep, NULL), WSB_ERR_IO);
    if (geteuid() == 0) { /* only root can give a directory away */
        struct wsb_fault fault = {0};
        assert_int_equal(chown(dir, 4711, 4711), 0);
        assert_int_equal(wsb_runtime_dir_prepare(dir, &fault), WSB_ERR_REFUSED);
        assert_non_null(strstr(fault.text, "belongs to user 4711"));
    } else {
        assert_int_equal(wsb_runtime_dir_prepare("/usr", NULL), WSB_ERR_REFUSED);
    }
    (void)unlink(link);
    (void)unlink(file);
    (void)rmdir(dir);
    (void)rmdir(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runtime_dir_order),
        cmocka_unit_test(test_runtime_dir_of_somebody_else_in_tmp),
        cmocka_unit_test(test_runtime_dir_has_room_for_an_endpoint),
        cmocka_unit_test(test_runtime_dir_trust),
        cmocka_unit_test(test_runtime_dir_prepare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
