/* The log sink, read through a pipe: formats, levels, order, and a reader that stalls. */
#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/journal.h"
#include "base/log.h"

struct fixture {
    int pipe[2];
    char text[1 << 20];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(pipe(f->pipe), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close(f->pipe[0]);
    close(f->pipe[1]);
    free(f);
    return 0;
}

/* Close the log and read what it wrote. */
static char *finish(struct fixture *f)
{
    size_t len = 0;
    wsb_log_close();
    assert_int_equal(fcntl(f->pipe[0], F_SETFL, O_NONBLOCK), 0);
    for (ssize_t n; (n = read(f->pipe[0], f->text + len, sizeof f->text - len - 1)) > 0;)
        len += (size_t)n;
    f->text[len] = 0;
    return f->text;
}

static void test_logfmt_quotes_what_needs_quotes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    WSB_LOG(WSB_LOG_WS, WSB_LOG_WSLOG, "opened", WSB_KID("conn", 255), WSB_KS("route", "r"),
            WSB_KS("evil", "a b\"\nc=d"), WSB_KU("n", 7), WSB_KI("i", -7), WSB_KS("empty", ""));
    char *line = finish(f);
    assert_memory_equal(line, "time=20", 7);
    assert_int_equal(line[strlen("time=2026-01-01T00:00:00.123456Z") - 1], 'Z'); /* microseconds, UTC */
    assert_string_equal(
        strchr(line, ' '),
        " level=wslog module=ws msg=opened conn=00000000000000ff route=r evil=\"a b\\\"\\nc=d\" n=7 i=-7 empty=\"\"\n");
}

static void test_json_is_one_object_a_line(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_JSON, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_ERROR, "a \"b\"", WSB_KU("n", 7));
    char *line = finish(f);
    assert_memory_equal(line, "{\"time\":\"", 9);
    assert_string_equal(strstr(line, "\"level\""),
                        "\"level\":\"error\",\"module\":\"gate\",\"msg\":\"a \\\"b\\\"\",\"n\":7}\n");
}

static void test_a_line_for_the_journal_begins_with_its_priority(void **state)
{
    struct fixture *f = *state;
    for (int format = WSB_LOG_LOGFMT; format <= WSB_LOG_JSON; format++) {
        const char *begins = format == WSB_LOG_JSON ? "{\"time\":\"20" : "time=20";
        char big[5000], *save = NULL;
        memset(big, 'x', sizeof big - 1);
        big[sizeof big - 1] = 0;
        assert_int_equal(wsb_log_open(f->pipe[1], (enum wsb_log_format)format, WSB_LOG_DEBUG, /*is_journal=*/true),
                         WSB_OK);
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_DEBUG, "7");
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "6");
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_WSLOG, "5");
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "4", WSB_KS("big", big));
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_ERROR, "3");
        char *line = strtok_r(finish(f), "\n", &save);
        for (int priority = 7; priority >= 3; priority--, line = strtok_r(NULL, "\n", &save)) {
            char want[16];
            (void)snprintf(want, sizeof want, "<%d>%.10s", priority, begins);
            assert_non_null(line);
            assert_memory_equal(line, want, strlen(want));
        }
        assert_null(line);
    }
}

static void test_the_journal_is_known_by_its_device_and_inode(void **state)
{
    (void)state;
    assert_true(wsb_journal_is("9:12345", 9, 12345));
    assert_false(wsb_journal_is("9:12345", 9, 1234));
    assert_false(wsb_journal_is("9:12345", 8, 12345));
    assert_false(wsb_journal_is("9:12345 ", 9, 12345));
    assert_false(wsb_journal_is("", 0, 0));
    assert_false(wsb_journal_is(NULL, 9, 12345));
    assert_string_equal(wsb_journal_prefix(WSB_LOG_WARN), "<4>");
    assert_string_equal(wsb_journal_prefix((enum wsb_level)99), "<3>");
}

static void test_levels_are_for_each_module(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_WARN, /*is_journal=*/false), WSB_OK);
    wsb_log_set_level(WSB_LOG_HTTP, WSB_LOG_DEBUG);
    WSB_LOG(WSB_LOG_WS, WSB_LOG_INFO, "hidden");
    WSB_LOG(WSB_LOG_HTTP, WSB_LOG_DEBUG, "shown");
    char *text = finish(f);
    assert_null(strstr(text, "hidden"));
    assert_non_null(strstr(text, "shown"));
    WSB_LOG(WSB_LOG_HTTP, WSB_LOG_ERROR, "nobody is there"); /* closed: nothing happens */
}

static void test_a_long_line_is_cut_and_says_so(void **state)
{
    struct fixture *f = *state;
    char big[5000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "long", WSB_KS("big", big));
    char *line = finish(f);
    assert_true(strlen(line) < 1010);
    assert_string_equal(line + strlen(line) - 4, "...\n");
}

enum { LINES = 5000 };

static void test_a_reader_that_stalls_costs_lines_and_no_time(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    for (int i = 0; i < LINES; i++) /* nobody reads: if this waited, it would wait for ever */
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "line", WSB_KU("n", i));
    assert_true(wsb_log_lost() > 0);
    uint64_t lost = wsb_log_lost();
    assert_true(lost < LINES);
    finish(f); /* bounded as well */
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 200; i++)
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "many", WSB_KU("thread", *(int *)arg), WSB_KU("n", i));
    return NULL;
}

static void test_lines_of_one_thread_keep_their_order(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[4];
    int numbers[4] = {0, 1, 2, 3};
    int next[4] = {0};
    assert_true(fcntl(f->pipe[1], F_SETPIPE_SZ, 1 << 20) > 0);
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, &numbers[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(wsb_log_lost(), 0);
    char *save = NULL;
    for (char *line = strtok_r(finish(f), "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *at = strstr(line, "thread=");
        assert_non_null(at);
        long thread = strtol(at + strlen("thread="), &at, 10);
        assert_in_range(thread, 0, 3);
        assert_memory_equal(at, " n=", 3);
        assert_int_equal(strtol(at + 3, NULL, 10), next[thread]++);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(next[i], 200);
}

static void test_names_of_levels_and_modules_go_both_ways(void **state)
{
    enum wsb_level level;
    enum wsb_log_module module;
    (void)state;
    for (int i = 0; i <= WSB_LOG_ERROR; i++)
        assert_true(wsb_level_parse(wsb_level_name((enum wsb_level)i), &level) && (int)level == i);
    for (int i = 0; i < WSB_LOG_MODULES; i++)
        assert_true(wsb_log_module_parse(wsb_log_module_name((enum wsb_log_module)i), &module) && (int)module == i);
    assert_false(wsb_level_parse("loud", &level));
    assert_false(wsb_log_module_parse("", &module));
}

static unsigned count_of(const char *text, const char *part)
{
    unsigned n = 0;
    for (; (text = strstr(text, part)); text++)
        n++;
    return n;
}

static void flood(struct wsb_log_limit *limit, uint64_t now_ms)
{
    for (uint64_t i = 0; i < 100; i++) {
        WSB_LOG_FEW(limit, 10, now_ms, WSB_LOG_HTTP, WSB_LOG_WARN, "refused", WSB_KU("i", i));
        WSB_LOG_FEW(limit, 10, now_ms, WSB_LOG_HTTP, WSB_LOG_DEBUG, "nobody reads that");
    }
}

static const char sum_of_90[] = " level=warn module=http msg=\"lines left out\" of=refused count=90\n";

static void test_a_flood_is_a_few_lines_and_a_sum(void **state)
{
    struct fixture *f = *state;
    struct wsb_log_limit limit = {0};
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    for (uint64_t now_ms = 0; now_ms < 3000; now_ms += 1000) {
        flood(&limit, now_ms);
        wsb_log_tell_left_out();
        wsb_log_tell_left_out(); /* nothing was left out since */
    }
    char *text = finish(f);
    assert_int_equal(count_of(text, "msg=refused i="), 30);
    assert_int_equal(count_of(text, sum_of_90), 3);
    assert_int_equal(count_of(text, "\n"), 33);
}

static void test_a_sum_needs_no_further_line_of_its_kind(void **state)
{
    struct fixture *f = *state;
    struct wsb_log_limit limit = {0};
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    flood(&limit, 0);
    char *text = finish(f); /* the log's end is the last occasion */
    assert_int_equal(count_of(text, "msg=refused i="), 10);
    assert_int_equal(count_of(text, sum_of_90), 1);
    assert_int_equal(count_of(text, "\n"), 11);
}

static void test_nothing_left_out_is_no_line(void **state)
{
    struct fixture *f = *state;
    struct wsb_log_limit limit = {0};
    wsb_log_tell_left_out(); /* there is no log */
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    wsb_log_tell_left_out();
    for (int i = 0; i < 10; i++)
        WSB_LOG_FEW(&limit, 10, 0, WSB_LOG_HTTP, WSB_LOG_WARN, "refused");
    wsb_log_tell_left_out();
    assert_int_equal(count_of(finish(f), "\n"), 10);
}

static void test_each_kind_that_shares_a_limit_has_a_sum_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct wsb_log_limit limit = {0};
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    for (int i = 0; i < 3; i++) {
        WSB_LOG_FEW(&limit, 1, 0, WSB_LOG_BUS, WSB_LOG_WARN, "lost");
        WSB_LOG_FEW(&limit, 1, 0, WSB_LOG_BUS, WSB_LOG_INFO, "gone");
    }
    char *text = finish(f);
    assert_int_equal(count_of(text, "level=warn module=bus msg=\"lines left out\" of=lost count=2\n"), 1);
    assert_int_equal(count_of(text, "level=info module=bus msg=\"lines left out\" of=gone count=3\n"), 1);
}

/* Nothing can be written to it until somebody reads. */
static void fill_pipe(struct fixture *f)
{
    char dots[4096];
    int flags = fcntl(f->pipe[1], F_GETFL);
    memset(dots, '.', sizeof dots);
    assert_int_equal(fcntl(f->pipe[1], F_SETFL, flags | O_NONBLOCK), 0);
    while (write(f->pipe[1], dots, sizeof dots) > 0)
        continue;
    while (write(f->pipe[1], dots, 1) > 0)
        continue;
    assert_int_equal(fcntl(f->pipe[1], F_SETFL, flags), 0);
}

/* The queue is full, and the writer, who has taken one line, cannot take another. */
static void fill_log(struct fixture *f)
{
    fill_pipe(f);
    for (uint64_t sent = 0; sent - wsb_log_lost() < WSB_LOG_QUEUE + 1; sent++)
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "line");
}

/* A sum that the queue does not take is not forgotten. */
static void test_a_sum_waits_for_a_reader_that_stalls(void **state)
{
    struct fixture *f = *state;
    struct wsb_log_limit limit = {0};
    assert_int_equal(wsb_log_open(f->pipe[1], WSB_LOG_LOGFMT, WSB_LOG_INFO, /*is_journal=*/false), WSB_OK);
    fill_log(f);
    for (uint64_t i = 0; i < 100; i++)
        WSB_LOG_FEW(&limit, 10, 0, WSB_LOG_HTTP, WSB_LOG_WARN, "refused", WSB_KU("i", i));
    uint64_t lost = wsb_log_lost();
    assert_true(lost > 0);
    wsb_log_tell_left_out();
    assert_int_equal(wsb_log_lost(), lost + 1);
    for (size_t len = 0; !strstr(f->text, sum_of_90);) { /* the reader goes on; it waits for ever when no sum comes */
        ssize_t n = read(f->pipe[0], f->text + len, 4096);
        assert_true(n > 0 && len + (size_t)n < sizeof f->text);
        f->text[len += (size_t)n] = 0;
        lost = wsb_log_lost();
        wsb_log_tell_left_out();
    }
    assert_int_equal(wsb_log_lost(), lost); /* the last time there was nothing to tell */
    (void)finish(f);
}

static void test_what_cannot_be_seen_is_escaped(void **state)
{
    for (int format = WSB_LOG_LOGFMT; format <= WSB_LOG_JSON; format++) {
        struct fixture *f = *state;
        assert_int_equal(wsb_log_open(f->pipe[1], (enum wsb_log_format)format, WSB_LOG_INFO, /*is_journal=*/false),
                         WSB_OK);
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "x",
                WSB_KS("a", "\x1b[2J\xc2\x9b"
                            "2J\u202e"),
                WSB_KS("b", "\x9b"));
        const char *text = finish(f);
        assert_non_null(strstr(text, "\\u001b[2J\\u009b2J\\u202e"));
        assert_int_equal(count_of(text, "\x9b"), 0);
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_logfmt_quotes_what_needs_quotes),
        TEST(test_json_is_one_object_a_line),
        TEST(test_a_line_for_the_journal_begins_with_its_priority),
        cmocka_unit_test(test_the_journal_is_known_by_its_device_and_inode),
        TEST(test_levels_are_for_each_module),
        TEST(test_a_flood_is_a_few_lines_and_a_sum),
        TEST(test_a_sum_needs_no_further_line_of_its_kind),
        TEST(test_nothing_left_out_is_no_line),
        TEST(test_each_kind_that_shares_a_limit_has_a_sum_of_its_own),
        TEST(test_a_sum_waits_for_a_reader_that_stalls),
        TEST(test_what_cannot_be_seen_is_escaped),
        TEST(test_a_long_line_is_cut_and_says_so),
        TEST(test_a_reader_that_stalls_costs_lines_and_no_time),
        TEST(test_lines_of_one_thread_keep_their_order),
        cmocka_unit_test(test_names_of_levels_and_modules_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
