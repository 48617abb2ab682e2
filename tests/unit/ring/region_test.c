/*
 * Shared memory: what the seals keep, what is refused, and that nothing is left behind. The linker sends the system calls that can
 * fail through here (--wrap), so that each of them fails once.
 */
#include "support/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/region.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum { SIZE = WSB_RING_MIN, FILE_SIZE = WSB_RING_CONTROL + SIZE };

/* ------------------------------------------------------------------- system calls that fail */

int __real_memfd_create(const char *name, unsigned flags);
int __wrap_memfd_create(const char *name, unsigned flags);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __real_fallocate(int fd, int mode, off_t at, off_t size);
int __wrap_fallocate(int fd, int mode, off_t at, off_t size);
void *__real_mmap(void *where, size_t size, int protection, int flags, int fd, off_t at);
void *__wrap_mmap(void *where, size_t size, int protection, int flags, int fd, off_t at);
int __real_mprotect(void *where, size_t size, int protection);
int __wrap_mprotect(void *where, size_t size, int protection);

static int calls_left = -1;           /* then one fails; -1: none does */
static int fails_with;                /* errno */
static bool knows_noexec_seal = true; /* the kernel does */

static bool fails(void)
{
    if (calls_left < 0 || calls_left-- > 0)
        return false;
    errno = fails_with;
    return true;
}

int __wrap_memfd_create(const char *name, unsigned flags)
{
    if (!knows_noexec_seal && (flags & MFD_NOEXEC_SEAL)) {
        errno = EINVAL;
        return -1;
    }
    return fails() ? -1 : __real_memfd_create(name, flags);
}

int __wrap_ftruncate(int fd, off_t size)
{
    return fails() ? -1 : __real_ftruncate(fd, size);
}

int __wrap_fallocate(int fd, int mode, off_t at, off_t size)
{
    return fails() ? -1 : __real_fallocate(fd, mode, at, size);
}

void *__wrap_mmap(void *where, size_t size, int protection, int flags, int fd, off_t at)
{
    return fails() ? MAP_FAILED : __real_mmap(where, size, protection, flags, fd, at);
}

int __wrap_mprotect(void *where, size_t size, int protection)
{
    return fails() ? -1 : __real_mprotect(where, size, protection);
}

/* ------------------------------------------------------------------- what we have */

static unsigned fd_count(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    (void)closedir(dir);
    return count;
}

static unsigned mapping_count(void)
{
    unsigned count = 0;
    char line[512];
    FILE *f = fopen("/proc/self/maps", "re");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        count += strstr(line, "/memfd:region-test") != NULL;
    (void)fclose(f);
    return count;
}

static unsigned fds_before;

static int setup(void **state)
{
    (void)state;
    fds_before = fd_count();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(fd_count(), fds_before);
    assert_int_equal(mapping_count(), 0);
    return 0;
}

static struct wsb_region new_region(void)
{
    struct wsb_region r = {.fd = -1};
    assert_int_equal(wsb_region_new("region-test", SIZE, &r, NULL), WSB_OK);
    return r;
}

/* What somebody can do who was given the descriptor and opens it anew, to get rid of how we opened it. */
static int reopen(int fd)
{
    char path[64];
    int again;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    again = open(path, O_RDWR | O_CLOEXEC);
    assert_true(again >= 0);
    return again;
}

static bool can_map_writable(int fd)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        (void)munmap(p, 4096);
    return p != MAP_FAILED;
}

static bool can_make_writable(int fd)
{
    void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    bool can;
    assert_true(p != MAP_FAILED);
    can = mprotect(p, 4096, PROT_READ | PROT_WRITE) == 0;
    (void)munmap(p, 4096);
    return can;
}

/* ------------------------------------------------------------------- regions */

static void test_region_is_empty_memory_of_its_size(void **state)
{
    (void)state;
    struct wsb_region r = new_region();
    static const uint8_t zeros[4096];
    assert_int_equal(lseek(r.fd, 0, SEEK_END), FILE_SIZE);
    for (size_t at = 0; at < WSB_RING_CONTROL + 2 * (size_t)SIZE; at += sizeof zeros)
        assert_memory_equal(r.base + at, zeros, sizeof zeros);
    assert_int_equal(fcntl(r.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal((uintptr_t)r.base % 4096, 0);
    wsb_region_deinit(&r);
    assert_null(r.base);
    assert_int_equal(r.fd, -1);
}

static void test_second_mapping_is_the_same_bytes(void **state)
{
    (void)state;
    struct wsb_region r = new_region();
    uint8_t *data = wsb_region_data(&r);
    wsb_region_words(&r)->terms[0] = 1;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (uint8_t)(i ^ (i >> 8));
    assert_memory_equal(data, data + SIZE, SIZE);
    memcpy(data + SIZE - 4, "abcdefgh", 8);
    assert_memory_equal(data, "efgh", 4);
    assert_memory_equal(data + 2 * (size_t)SIZE - 4, "abcd", 4);
    assert_int_equal(wsb_region_words(&r)->terms[0], 1);
    wsb_region_deinit(&r);
}

static void test_sizes_that_no_ring_has_are_refused(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,
                                   1,
                                   4096,
                                   WSB_RING_MIN / 2,
                                   WSB_RING_MIN + 1,
                                   WSB_RING_MIN + 4096,
                                   3 * (size_t)WSB_RING_MIN,
                                   2 * (size_t)WSB_RING_MAX,
                                   SIZE_MAX};
    struct wsb_region kept = new_region();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct wsb_region r = {.fd = -7};
        struct wsb_fault fault = {0};
        assert_int_equal(wsb_region_new("region-test", sizes[i], &r, &fault), WSB_ERR_MISUSE);
        assert_true(fault.text[0] && fault.err == WSB_ERR_MISUSE);
        assert_int_equal(wsb_region_map(kept.fd, sizes[i], true, &r, &fault), WSB_ERR_PROTO);
        assert_true(!r.base && r.fd == -7); /* written on success only */
    }
    wsb_region_deinit(&kept);
}

static void test_largest_region_can_be_had(void **state)
{
    (void)state;
    struct wsb_region r;
    assert_int_equal(wsb_region_new("region-test", WSB_RING_MAX, &r, NULL), WSB_OK);
    wsb_region_data(&r)[WSB_RING_MAX - 1] = 7;
    assert_int_equal(wsb_region_data(&r)[2 * (size_t)WSB_RING_MAX - 1], 7);
    wsb_region_deinit(&r);
}

static void test_deinit_of_nothing_closes_nothing(void **state)
{
    (void)state;
    struct wsb_region r = {0}; /* 0 is a real descriptor */
    wsb_region_deinit(&r);
    wsb_region_deinit(&r);
    assert_true(fcntl(0, F_GETFD) >= 0 || errno == EBADF);
    assert_int_equal(fd_count(), fds_before);
}

static void test_mapping_outlives_its_descriptor(void **state)
{
    (void)state;
    struct wsb_region r = new_region();
    wsb_region_close_fd(&r);
    assert_int_equal(r.fd, -1);
    wsb_region_close_fd(&r);
    wsb_region_punch(&r); /* cannot, and does nothing */
    wsb_region_data(&r)[0] = 3;
    assert_int_equal(wsb_region_data(&r)[SIZE], 3);
    wsb_region_deinit(&r);
}

/* ------------------------------------------------------------------- seals */

static void test_sealed_content_can_only_be_read(void **state)
{
    (void)state;
    struct wsb_region r = new_region(), theirs;
    int fd;
    wsb_region_data(&r)[0] = 1;
    assert_int_equal(wsb_region_seal_content(&r, NULL), WSB_OK);
    fd = reopen(r.fd);
    assert_int_equal(pwrite(fd, "x", 1, WSB_RING_CONTROL), -1);
    assert_false(can_map_writable(fd));
    assert_false(can_make_writable(fd));
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 2 * (off_t)FILE_SIZE), -1);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
    assert_int_equal(fallocate(fd, 0, FILE_SIZE, 4096), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);

    assert_int_equal(wsb_region_map(fd, SIZE, false, &theirs, NULL), WSB_OK);
    assert_int_equal(theirs.fd, -1);
    assert_int_equal(wsb_region_data(&theirs)[0], 1);
    wsb_region_data(&r)[SIZE - 1] = 2; /* our mapping is older than the seal */
    assert_int_equal(wsb_region_data(&theirs)[2 * (size_t)SIZE - 1], 2);
    (void)close(fd);
    wsb_region_deinit(&theirs);
    wsb_region_deinit(&r);
}

static void test_sealed_size_can_be_written_and_not_cut(void **state)
{
    (void)state;
    struct wsb_region r = new_region(), theirs;
    int fd;
    assert_int_equal(wsb_region_seal_size(&r, NULL), WSB_OK);
    fd = reopen(r.fd);
    assert_int_equal(pwrite(fd, "x", 1, WSB_RING_CONTROL), 1);
    assert_int_equal(wsb_region_data(&r)[SIZE], 'x');
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 4096), -1);
    assert_int_equal(ftruncate(fd, 2 * (off_t)FILE_SIZE), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
    assert_int_equal(wsb_region_map(fd, SIZE, true, &theirs, NULL), WSB_OK);
    wsb_region_data(&theirs)[1] = 'y';
    assert_int_equal(wsb_region_data(&r)[1], 'y');
    (void)close(fd);
    wsb_region_deinit(&theirs);
    wsb_region_deinit(&r);
}

/* The kernel tries to write there for us, and says what it thinks of it. */
static bool is_writable(uint8_t *where)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    bool is;
    assert_true(fd >= 0);
    is = read(fd, where, 1) == 1;
    assert_true(is || errno == EFAULT);
    (void)close(fd);
    return is;
}

static void test_our_mapping_of_what_others_write_is_for_reading(void **state)
{
    (void)state;
    struct wsb_region r = new_region();
    assert_true(is_writable(r.base) && is_writable(r.base + FILE_SIZE + SIZE - 1));
    assert_int_equal(wsb_region_seal_size(&r, NULL), WSB_OK);
    assert_false(is_writable(r.base) || is_writable(wsb_region_data(&r)) || is_writable(r.base + FILE_SIZE));
    wsb_region_deinit(&r);
}

static void test_mapping_for_reading_cannot_be_written(void **state)
{
    (void)state;
    struct wsb_region r = new_region(), theirs;
    assert_int_equal(wsb_region_seal_content(&r, NULL), WSB_OK);
    assert_int_equal(wsb_region_map(r.fd, SIZE, false, &theirs, NULL), WSB_OK);
    assert_true(is_writable(r.base));
    assert_false(is_writable(theirs.base) || is_writable(theirs.base + FILE_SIZE));
    wsb_region_deinit(&theirs);
    wsb_region_deinit(&r);
}

static void test_who_punches_makes_zeros_and_no_fault(void **state)
{
    (void)state;
    struct wsb_region r = new_region();
    memset(wsb_region_data(&r), 7, SIZE);
    assert_int_equal(wsb_region_seal_size(&r, NULL), WSB_OK);
    wsb_region_punch(&r);
    for (size_t i = 0; i < 2 * (size_t)SIZE; i += 512)
        assert_int_equal(wsb_region_data(&r)[i], 0);
    assert_int_equal(lseek(r.fd, 0, SEEK_END), FILE_SIZE);
    wsb_region_deinit(&r);
}

static void test_what_is_sealed_is_not_sealed_again(void **state)
{
    (void)state;
    struct wsb_region r = new_region();
    struct wsb_fault fault = {0};
    assert_int_equal(wsb_region_seal_content(&r, &fault), WSB_OK);
    assert_int_equal(wsb_region_seal_size(&r, &fault), WSB_ERR_IO);
    assert_int_equal(wsb_region_seal_content(&r, &fault), WSB_ERR_IO);
    assert_true(fault.os_code == EPERM && fault.text[0]);
    wsb_region_deinit(&r);
}

/* ------------------------------------------------------------------- what is refused */

static int memory_file(off_t size, int seals)
{
    int fd = memfd_create("region-test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0 && ftruncate(fd, size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static void test_what_is_no_such_region_is_refused(void **state)
{
    (void)state;
    enum {
        SIZES = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
        ALL = SIZES | F_SEAL_FUTURE_WRITE,
    };
    static const struct row {
        const char *name;
        off_t size;
        int seals;
        wsb_err readable, writable;
    } rows[] = {
        {"sealed content", FILE_SIZE, ALL, WSB_OK, WSB_ERR_PROTO},
        {"sealed size", FILE_SIZE, SIZES, WSB_ERR_PROTO, WSB_OK},
        {"no seal", FILE_SIZE, 0, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"can shrink", FILE_SIZE, ALL & ~F_SEAL_SHRINK, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"can shrink, writable", FILE_SIZE, SIZES & ~F_SEAL_SHRINK, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"can grow", FILE_SIZE, ALL & ~F_SEAL_GROW, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"can be sealed", FILE_SIZE, ALL & ~F_SEAL_SEAL, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"can be sealed, writable", FILE_SIZE, SIZES & ~F_SEAL_SEAL, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"nobody writes", FILE_SIZE, ALL | F_SEAL_WRITE, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"one byte short", FILE_SIZE - 1, ALL, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"one page long", FILE_SIZE + 4096, SIZES, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"without a control page", SIZE, ALL, WSB_ERR_PROTO, WSB_ERR_PROTO},
        {"empty", 0, SIZES, WSB_ERR_PROTO, WSB_ERR_PROTO},
    };
    for (size_t i = 0; i < 2 * COUNT(rows); i++) {
        const struct row *row = &rows[i / 2];
        bool writable = i % 2;
        struct wsb_region r = {.fd = -7};
        struct wsb_fault fault = {0};
        int fd = memory_file(row->size, row->seals);
        wsb_err want = writable ? row->writable : row->readable;
        if (wsb_region_map(fd, SIZE, writable, &r, &fault) != want || fault.err != want || (r.base == NULL) != !!want)
            fail_msg("%s, %s: %s", row->name, writable ? "writable" : "for reading", fault.text);
        if (!want)
            wsb_region_deinit(&r);
        (void)close(fd);
    }
}

static void test_what_is_no_memory_is_refused(void **state)
{
    (void)state;
    struct wsb_region r;
    struct wsb_fault fault;
    FILE *file = tmpfile();
    int ends[2] = {-1, -1};
    assert_true(file && ftruncate(fileno(file), FILE_SIZE) == 0 && pipe2(ends, O_CLOEXEC) == 0);
    assert_int_equal(wsb_region_map(fileno(file), SIZE, true, &r, &fault), WSB_ERR_PROTO);
    assert_int_equal(wsb_region_map(fileno(file), SIZE, false, &r, &fault), WSB_ERR_PROTO);
    assert_int_equal(wsb_region_map(ends[0], SIZE, false, &r, &fault), WSB_ERR_PROTO);
    assert_int_equal(wsb_region_map(-1, SIZE, false, &r, &fault), WSB_ERR_IO);
    assert_int_equal(fault.os_code, EBADF);
    (void)close(ends[0]);
    (void)close(ends[1]);
    (void)fclose(file);
}

/* ------------------------------------------------------------------- what fails */

static void test_every_call_that_fails_leaves_nothing(void **state)
{
    (void)state;
    static const struct row {
        int code;
        wsb_err want;
    } rows[] = {{ENOMEM, WSB_ERR_NOMEM}, {ENOSPC, WSB_ERR_NOMEM}, {EMFILE, WSB_ERR_LIMIT},
                {ENFILE, WSB_ERR_LIMIT}, {EFBIG, WSB_ERR_LIMIT},  {EACCES, WSB_ERR_IO}};
    enum { CALLS = 6 }; /* memfd_create, ftruncate, fallocate, mmap three times */
    for (size_t i = 0; i < COUNT(rows) * (CALLS + 1); i++) {
        int call = (int)(i % (CALLS + 1));
        struct wsb_region r = {.fd = -7};
        struct wsb_fault fault = {0};
        wsb_err err;
        fails_with = rows[i / (CALLS + 1)].code;
        calls_left = call;
        err = wsb_region_new("region-test", SIZE, &r, &fault);
        assert_int_equal(calls_left, call < CALLS ? -1 : 0); /* all of them were reached, and there are no more */
        calls_left = -1;
        assert_int_equal(err, call < CALLS ? rows[i / (CALLS + 1)].want : WSB_OK);
        if (!err)
            wsb_region_deinit(&r);
        else
            assert_true(!r.base && r.fd == -7 && fault.os_code == fails_with && fault.text[0]);
        assert_int_equal(fd_count(), fds_before);
        assert_int_equal(mapping_count(), 0);
    }
}

static void test_every_mapping_that_fails_leaves_nothing(void **state)
{
    (void)state;
    struct wsb_region r = new_region(), theirs;
    unsigned before = mapping_count();
    assert_int_equal(wsb_region_seal_content(&r, NULL), WSB_OK);
    fails_with = ENOMEM;
    for (int call = 0; call < 3; call++) {
        calls_left = call;
        assert_int_equal(wsb_region_map(r.fd, SIZE, false, &theirs, NULL), WSB_ERR_NOMEM);
        assert_int_equal(calls_left, -1);
        assert_int_equal(mapping_count(), before);
    }
    wsb_region_deinit(&r);
    r = new_region();
    calls_left = 0;
    assert_int_equal(wsb_region_seal_size(&r, NULL), WSB_ERR_NOMEM);
    wsb_region_deinit(&r);
}

static void test_signal_that_interrupts_is_no_failure(void **state)
{
    (void)state;
    struct wsb_region r;
    fails_with = EINTR;
    calls_left = 2; /* fallocate */
    assert_int_equal(wsb_region_new("region-test", SIZE, &r, NULL), WSB_OK);
    assert_int_equal(calls_left, -1);
    wsb_region_deinit(&r);
}

static void test_kernel_without_noexec_seal_will_do(void **state)
{
    (void)state;
    struct wsb_region r;
    knows_noexec_seal = false;
    assert_int_equal(wsb_region_new("region-test", SIZE, &r, NULL), WSB_OK);
    knows_noexec_seal = true;
    assert_int_equal(wsb_region_seal_content(&r, NULL), WSB_OK);
    wsb_region_deinit(&r);
}

/* ------------------------------------------------------------------- the limits of a process */

static struct rlimit lower(int resource, rlim_t to)
{
    struct rlimit before, now;
    assert_int_equal(getrlimit((__rlimit_resource_t)resource, &before), 0);
    now = (struct rlimit){.rlim_cur = to, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit((__rlimit_resource_t)resource, &now), 0);
    return before;
}

static void test_no_descriptor_left_is_a_limit(void **state)
{
    (void)state;
    struct wsb_region r;
    struct wsb_fault fault = {0};
    struct rlimit before;
    int lowest = dup(2); /* what is open below it stays */
    wsb_err err;
    assert_true(lowest >= 0);
    (void)close(lowest);
    before = lower(RLIMIT_NOFILE, (rlim_t)lowest);
    err = wsb_region_new("region-test", SIZE, &r, &fault);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(err, WSB_ERR_LIMIT);
    assert_int_equal(fault.os_code, EMFILE);
}

/* Were the limit reached, SIGXFSZ would end the test. */
static void test_limit_of_file_size_is_refused_without_a_signal(void **state)
{
    (void)state;
    struct wsb_region r;
    struct wsb_fault fault = {0};
    struct rlimit before = lower(RLIMIT_FSIZE, FILE_SIZE - 1);
    wsb_err err = wsb_region_new("region-test", SIZE, &r, &fault), enough;
    (void)lower(RLIMIT_FSIZE, FILE_SIZE);
    enough = wsb_region_new("region-test", SIZE, &r, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(err, WSB_ERR_LIMIT);
    assert_int_equal(fault.os_code, EFBIG);
    assert_int_equal(enough, WSB_OK);
    wsb_region_deinit(&r);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need all the addresses there are */
/* In a process of its own: a limit of addresses below what is in use would starve the rest of the test. */
static void test_no_addresses_left_is_no_memory(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct wsb_region r = {.fd = -7};
        struct rlimit none = {.rlim_cur = 4096, .rlim_max = 4096};
        unsigned before = fd_count();
        if (setrlimit(RLIMIT_AS, &none) != 0)
            _exit(2);
        if (wsb_region_new("region-test", SIZE, &r, NULL) != WSB_ERR_NOMEM || r.base)
            _exit(3);
        _exit(fd_count() == before ? 0 : 4);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}
#endif

#define COUNTED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COUNTED(test_region_is_empty_memory_of_its_size),
        COUNTED(test_second_mapping_is_the_same_bytes),
        COUNTED(test_sizes_that_no_ring_has_are_refused),
        COUNTED(test_largest_region_can_be_had),
        COUNTED(test_deinit_of_nothing_closes_nothing),
        COUNTED(test_mapping_outlives_its_descriptor),
        COUNTED(test_sealed_content_can_only_be_read),
        COUNTED(test_sealed_size_can_be_written_and_not_cut),
        COUNTED(test_our_mapping_of_what_others_write_is_for_reading),
        COUNTED(test_mapping_for_reading_cannot_be_written),
        COUNTED(test_who_punches_makes_zeros_and_no_fault),
        COUNTED(test_what_is_sealed_is_not_sealed_again),
        COUNTED(test_what_is_no_such_region_is_refused),
        COUNTED(test_what_is_no_memory_is_refused),
        COUNTED(test_every_call_that_fails_leaves_nothing),
        COUNTED(test_every_mapping_that_fails_leaves_nothing),
        COUNTED(test_signal_that_interrupts_is_no_failure),
        COUNTED(test_kernel_without_noexec_seal_will_do),
        COUNTED(test_no_descriptor_left_is_a_limit),
        COUNTED(test_limit_of_file_size_is_refused_without_a_signal),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        COUNTED(test_no_addresses_left_is_no_memory),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
