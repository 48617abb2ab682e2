/* The access log with real files, pipes and threads: what is written, what is lost, and that it is known. */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/log.h"

enum { WRITERS = 4, LINES = 20000 };

struct place {
    char dir[64];
    char path[96], moved[96];
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/wsbus-access-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void)snprintf(p->path, sizeof p->path, "%s/log", p->dir);
    (void)snprintf(p->moved, sizeof p->moved, "%s/log.1", p->dir);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    (void)unlink(p->path);
    (void)unlink(p->moved);
    (void)rmdir(p->dir);
    free(p);
    return 0;
}

static void write_line(struct wsg_access_lane *lane, const char *peer, uint64_t number)
{
    wsg_access_write(lane, &(struct wsg_access_record){.peer = peer,
                                                       .request_id = "",
                                                       .route = "",
                                                       .duration_us = number,
                                                       .method = wsb_span_str("GET"),
                                                       .target = wsb_span_str("/")});
}

static struct wsg_access_log *open_log(const char *path, size_t lanes)
{
    struct wsg_access_log *l = NULL;
    struct wsb_fault fault = {0};
    if (wsg_access_log_open(&l, path, WSG_ACCESS_COMBINED, lanes, &fault) != WSB_OK)
        fail_msg("%s", fault.text);
    return l;
}

/* Of the whole file; to be freed. */
static char *contents(const char *path)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *text = malloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
    text[st.st_size] = 0;
    close(fd);
    return text;
}

/* The test's time limit ends it. */
static void wait_until_written(const char *path)
{
    struct stat st;
    do
        assert_int_equal(stat(path, &st), 0);
    while (st.st_size == 0 && sched_yield() == 0);
}

struct writer {
    pthread_t thread;
    struct wsg_access_lane *lane;
    char name[16];
};

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    for (uint64_t i = 1; i <= LINES; i++)
        write_line(w->lane, w->name, i);
    return NULL;
}

static void test_lines_of_each_worker_are_whole_and_in_order(void **state)
{
    struct place *p = *state;
    struct writer writers[WRITERS];
    struct wsg_access_stats stats;
    struct wsg_access_log *l = open_log(p->path, WRITERS);
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.lane = wsg_access_log_lane(l, i)};
        (void)snprintf(writers[i].name, sizeof writers[i].name, "unix:%zu", i);
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(writers[i].thread, NULL);
    wsg_access_log_stats(l, &stats);
    wsg_access_log_close(l);
    assert_int_equal(stats.lines, WRITERS * LINES);

    uint64_t latest[WRITERS] = {0}, count = 0;
    char *text = contents(p->path);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) && *line; count++) {
        static const char rest_of_it[] = " - - [01/Jan/1970:00:00:00 +0000] \"GET / HTTP/1.0\" 000 0 \"-\" \"-\" us=";
        char *end;
        assert_memory_equal(line, "unix:", 5);
        size_t who = strtoul(line + 5, &end, 10);
        assert_true(who < WRITERS);
        assert_memory_equal(end, rest_of_it, sizeof rest_of_it - 1);
        unsigned long number = strtoul(end + sizeof rest_of_it - 1, &end, 10);
        assert_string_equal(end, " conn=0000000000000000 route=- id=- incomplete=1");
        assert_true(number > latest[who]);
        latest[who] = number;
    }
    assert_int_equal(count, stats.lines - stats.lost);
    free(text);
}

static void test_a_file_that_was_moved_is_left_behind(void **state)
{
    struct place *p = *state;
    struct wsg_access_log *l = open_log(p->path, 1);
    struct wsg_access_lane *lane = wsg_access_log_lane(l, 0);
    write_line(lane, "unix:1", 1);
    wait_until_written(p->path);
    assert_int_equal(rename(p->path, p->moved), 0);
    assert_int_equal(wsg_access_log_reopen(l, NULL), WSB_OK);
    assert_int_equal(wsg_access_log_reopen(l, NULL), WSB_OK);
    assert_int_equal(access(p->path, F_OK), 0);
    wsg_access_log_close(l);
    l = open_log(p->path, 1);
    write_line(wsg_access_log_lane(l, 0), "unix:2", 2); /* behind what is there */
    wsg_access_log_close(l);
    char *old = contents(p->moved);
    char *new = contents(p->path);
    assert_non_null(strstr(old, "unix:1 "));
    assert_null(strstr(new, "unix:1 "));
    assert_non_null(strstr(new, "unix:2 "));
    free(old);
    free(new);
}

static void test_what_cannot_be_opened_is_said(void **state)
{
    struct place *p = *state;
    struct wsg_access_log *l = NULL;
    struct wsb_fault fault = {0};
    char want[160];
    assert_int_equal(wsg_access_log_open(&l, "/nowhere/log", WSG_ACCESS_JSON, 1, &fault), WSB_ERR_IO);
    assert_string_equal(fault.text, "access log /nowhere/log: No such file or directory");
    assert_int_equal(wsg_access_log_open(&l, p->dir, WSG_ACCESS_JSON, 1, &fault), WSB_ERR_IO);
    (void)snprintf(want, sizeof want, "access log %s: Is a directory", p->dir);
    assert_string_equal(fault.text, want);
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_equal(wsg_access_log_open(&l, p->path, WSG_ACCESS_JSON, 1, &fault), WSB_ERR_IO);
    (void)snprintf(want, sizeof want, "access log %s: nobody reads from the pipe", p->path);
    assert_string_equal(fault.text, want);
    assert_null(l);
}

static void test_a_failed_reopening_changes_nothing(void **state)
{
    struct place *p = *state;
    struct wsb_fault fault = {0};
    struct wsg_access_log *l = open_log(p->path, 1);
    assert_int_equal(rename(p->path, p->moved), 0);
    assert_int_equal(mkdir(p->path, 0700), 0);
    assert_int_equal(wsg_access_log_reopen(l, &fault), WSB_ERR_IO);
    write_line(wsg_access_log_lane(l, 0), "unix:1", 1);
    wsg_access_log_close(l);
    char *text = contents(p->moved);
    assert_non_null(strstr(text, "unix:1 "));
    free(text);
    (void)rmdir(p->path);
}

static void test_a_full_disk_costs_lines_that_are_counted(void **state)
{
    struct wsg_access_stats stats;
    struct wsg_access_log *l = open_log("/dev/full", 1);
    (void)state;
    for (uint64_t i = 0; i < 10; i++)
        write_line(wsg_access_log_lane(l, 0), "unix:1", i);
    do
        wsg_access_log_stats(l, &stats);
    while (stats.lost < 10 && sched_yield() == 0); /* the test's time limit ends it */
    assert_int_equal(stats.lines, 10);
    assert_int_equal(stats.lost, 10);
    wsg_access_log_close(l);
}

/* A pipe whose reader stalls: nothing waits, and what there is no room for is lost. */
static void test_a_reader_that_stalls_costs_lines_and_no_time(void **state)
{
    struct place *p = *state;
    struct wsg_access_stats stats;
    enum { MANY = 40000 };
    assert_int_equal(mkfifo(p->path, 0600), 0);
    int reader = open(p->path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    struct wsg_access_log *l = open_log(p->path, 1);
    for (uint64_t i = 1; i <= MANY; i++)
        write_line(wsg_access_log_lane(l, 0), "unix:1", i);
    wsg_access_log_stats(l, &stats);
    assert_int_equal(stats.lines, MANY);
    assert_true(stats.lost > 0);
    wsg_access_log_close(l); /* with a queue that nobody takes: it does not wait for ever */
    char first[5];
    assert_int_equal(read(reader, first, sizeof first), sizeof first);
    assert_memory_equal(first, "unix:", 5);
    close(reader);
}

/* What is left of a line that did not fit is ended before the next one begins. */
static void test_a_torn_line_is_ended(void **state)
{
    struct place *p = *state;
    char *text = calloc(1, 1 << 20);
    size_t len = 0;
    assert_int_equal(mkfifo(p->path, 0600), 0);
    int reader = open(p->path, O_RDONLY | O_NONBLOCK);
    struct wsg_access_stats stats;
    struct wsg_access_log *l = open_log(p->path, 1);
    struct wsg_access_lane *lane = wsg_access_log_lane(l, 0);
    for (uint64_t i = 1; i <= 2000; i++) /* more than a pipe holds */
        write_line(lane, "unix:1", i);
    do { /* the same pipe, but what waits for it is given up */
        assert_int_equal(wsg_access_log_reopen(l, NULL), WSB_OK);
        wsg_access_log_stats(l, &stats);
    } while (stats.lost == 0 && sched_yield() == 0);
    write_line(lane, "unix:2", 1);
    while (!strstr(text, "unix:2 ")) { /* the test's time limit ends it */
        ssize_t got = read(reader, text + len, 4096);
        len += got > 0 ? (size_t)got : 0;
    }
    wsg_access_log_close(l);
    assert_non_null(strstr(text, "\nunix:2 ")); /* and not behind half of another one */
    free(text);
    close(reader);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        TEST(test_lines_of_each_worker_are_whole_and_in_order),
        TEST(test_a_file_that_was_moved_is_left_behind),
        TEST(test_what_cannot_be_opened_is_said),
        TEST(test_a_failed_reopening_changes_nothing),
        TEST(test_a_full_disk_costs_lines_that_are_counted),
        TEST(test_a_reader_that_stalls_costs_lines_and_no_time),
        TEST(test_a_torn_line_is_ended),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
