/* Files that are believed: whose they may be, who else may read or write them, and what is not read at all. */
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

#include "base/trust_file.h"

enum { SELF = 1000, OTHER = 1001 };

static const struct row {
    uid_t owner;
    mode_t mode;                       /* and the type */
    const char *is_public, *is_secret; /* what is wrong with it as such; NULL: nothing */
} rows[] = {
    {SELF, S_IFREG | 0600, NULL, NULL},
    {SELF, S_IFREG | 0400, NULL, NULL},
    {SELF, S_IFREG | 0700, NULL, NULL},
    {SELF, S_IFREG | 0644, NULL, "others than its owner can read it (mode 0644): chmod 0600 it"},
    {SELF, S_IFREG | 0640, NULL, "others than its owner can read it (mode 0640): chmod 0600 it"},
    {SELF, S_IFREG | 0604, NULL, "others than its owner can read it (mode 0604): chmod 0600 it"},
    {SELF, S_IFREG | 0610, NULL, "others than its owner can open it (mode 0610): chmod 0600 it"},
    {SELF, S_IFREG | 0620, "others than its owner can write it (mode 0620): chmod go-w it",
     "others than its owner can open it (mode 0620): chmod 0600 it"},
    {SELF, S_IFREG | 0602, "others than its owner can write it (mode 0602): chmod go-w it",
     "others than its owner can open it (mode 0602): chmod 0600 it"},
    {0, S_IFREG | 0600, NULL, NULL},
    {0, S_IFREG | 0640, NULL, NULL}, /* root gave it to a group, ours most likely */
    {0, S_IFREG | 0644, NULL, "others than its owner can read it (mode 0644): chmod 0640 it"},
    {0, S_IFREG | 0660, "others than its owner can write it (mode 0660): chmod go-w it",
     "others than its owner can read it (mode 0660): chmod 0640 it"},
    {0, S_IFREG | 0641, NULL, "others than its owner can read it (mode 0641): chmod 0640 it"},
    {OTHER, S_IFREG | 0600, "it belongs to somebody else (uid 1001)", "it belongs to somebody else (uid 1001)"},
    {OTHER, S_IFREG | 0444, "it belongs to somebody else (uid 1001)", "it belongs to somebody else (uid 1001)"},
    {SELF, S_IFIFO | 0600, "not a file", "not a file"},
    {SELF, S_IFDIR | 0700, "not a file", "not a file"},
    {SELF, S_IFCHR | 0600, "not a file", "not a file"},
};

static void check(const struct row *row, enum wsb_trust trust, const char *wrong)
{
    struct stat st = {.st_uid = row->owner, .st_mode = row->mode};
    struct wsb_fault fault = {0};
    wsb_err err = wsb_trust_check(&st, SELF, trust, &fault);
    assert_int_equal(err, wrong ? WSB_ERR_CONFIG : WSB_OK);
    assert_string_equal(fault.text, wrong ? wrong : "");
}

static void test_whose_it_is_and_its_mode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        check(&rows[i], WSB_TRUST_PUBLIC, rows[i].is_public);
        check(&rows[i], WSB_TRUST_SECRET, rows[i].is_secret);
    }
    struct stat of_root = {.st_uid = 0, .st_mode = S_IFREG | 0640};
    assert_int_equal(wsb_trust_check(&of_root, 0, WSB_TRUST_SECRET, NULL), WSB_ERR_CONFIG); /* root needs no group */
}

static void refused(const char *path, enum wsb_trust trust, size_t max, wsb_err err, const char *why)
{
    struct wsb_trust_file f = {.len = 77};
    struct wsb_fault fault = {0};
    assert_int_equal(wsb_trust_file_read(path, trust, max, &f, &fault), err);
    assert_int_equal(f.len, 77); /* not touched */
    assert_memory_equal(fault.text, path, strlen(path));
    assert_string_equal(fault.text + strlen(path), why);
}

static void test_reading(void **state)
{
    char dir[] = "/tmp/wsbus-trust-XXXXXX", path[64], pipe[64];
    struct wsb_trust_file f = {0};
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/file", dir);
    (void)snprintf(pipe, sizeof pipe, "%s/pipe", dir);
    refused(path, WSB_TRUST_PUBLIC, 10, WSB_ERR_IO, ": cannot be read: No such file or directory");
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fputs("0123456789", file) < 0, 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(wsb_trust_file_read(path, WSB_TRUST_SECRET, 10, &f, NULL), WSB_OK);
    assert_int_equal(f.len, 10);
    assert_memory_equal(f.data, "0123456789", 10);
    assert_int_equal(wsb_trust_file_check(&f, path, WSB_TRUST_SECRET, NULL), WSB_OK);
    wsb_trust_file_wipe(&f);
    assert_null(f.data);
    wsb_trust_file_wipe(&f);
    refused(path, WSB_TRUST_SECRET, 9, WSB_ERR_LIMIT, ": larger than 9 bytes");

    assert_int_equal(chmod(path, 0644), 0);
    refused(path, WSB_TRUST_SECRET, 10, WSB_ERR_CONFIG,
            ": others than its owner can read it (mode 0644): chmod 0600 it");
    assert_int_equal(wsb_trust_file_read(path, WSB_TRUST_PUBLIC, 10, &f, NULL), WSB_OK);
    assert_int_equal(wsb_trust_file_check(&f, path, WSB_TRUST_SECRET, NULL), WSB_ERR_CONFIG); /* it is one after all */
    wsb_trust_file_wipe(&f);
    assert_int_equal(chmod(path, 0666), 0);
    refused(path, WSB_TRUST_PUBLIC, 10, WSB_ERR_CONFIG,
            ": others than its owner can write it (mode 0666): chmod go-w it");
    assert_int_equal(truncate(path, 3 << 10), 0);
    assert_int_equal(chmod(path, 0600), 0);
    refused(path, WSB_TRUST_SECRET, 2 << 10, WSB_ERR_LIMIT, ": larger than 2 KiB");

    assert_int_equal(mkfifo(pipe, 0600), 0);
    refused(pipe, WSB_TRUST_SECRET, 10, WSB_ERR_CONFIG, ": not a file"); /* and nobody waits for its writer */
    refused(dir, WSB_TRUST_SECRET, 10, WSB_ERR_CONFIG, ": not a file");
    assert_int_equal(unlink(path) | unlink(pipe) | rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_it_is_and_its_mode),
        cmocka_unit_test(test_reading),
    };
    return cmocka_run_group_tests_name("trust_file", tests, NULL, NULL);
}
