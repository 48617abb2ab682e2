/* Conditions and ranges: one row, one request, one plan. The file has 100 bytes unless the row says otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/range.h"

#define ETAG   "\"e1\""
#define MTIME  "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER  "Sun, 06 Nov 1994 08:49:38 GMT"

struct pair {
    const char *name;
    const char *value;
};

static const struct row {
    const char *name;
    struct pair headers[4];
    uint64_t offset;
    uint64_t length;
    int status;
    bool is_head;
} rows[] = {
    {"nothing asked", {{0}}, 0, 100, 200, false},

    {"If-Match", {{"If-Match", ETAG}}, 0, 100, 200, false},
    {"If-Match, other", {{"If-Match", "\"x\""}}, 0, 0, 412, false},
    {"If-Match, weak never matches", {{"If-Match", "W/" ETAG}}, 0, 0, 412, false},
    {"If-Match, any", {{"If-Match", "*"}}, 0, 100, 200, false},
    {"If-Match, list", {{"If-Match", "\"a\", \"b,c\" ,," ETAG}}, 0, 100, 200, false},
    {"If-Match, two lines", {{"If-Match", "\"x\""}, {"If-Match", ETAG}}, 0, 100, 200, false},
    {"If-Match, malformed", {{"If-Match", "e1"}}, 0, 0, 412, false},
    {"If-Match before If-Unmodified-Since", {{"If-Match", ETAG}, {"If-Unmodified-Since", BEFORE}}, 0, 100, 200, false},
    {"If-Match before If-None-Match", {{"If-None-Match", ETAG}, {"If-Match", "\"x\""}}, 0, 0, 412, false},
    {"If-Unmodified-Since, same", {{"If-Unmodified-Since", MTIME}}, 0, 100, 200, false},
    {"If-Unmodified-Since, earlier", {{"If-Unmodified-Since", BEFORE}}, 0, 0, 412, false},
    {"If-Unmodified-Since, malformed", {{"If-Unmodified-Since", "yesterday"}}, 0, 100, 200, false},

    {"If-None-Match", {{"If-None-Match", ETAG}}, 0, 0, 304, false},
    {"If-None-Match, HEAD", {{"If-None-Match", ETAG}}, 0, 0, 304, true},
    {"If-None-Match, weak matches", {{"If-None-Match", "W/" ETAG}}, 0, 0, 304, false},
    {"If-None-Match, any", {{"If-None-Match", " * "}}, 0, 0, 304, false},
    {"If-None-Match, other", {{"If-None-Match", "\"x\""}}, 0, 100, 200, false},
    {"If-None-Match, list", {{"If-None-Match", "\"x\", W/\"y\", " ETAG}}, 0, 0, 304, false},
    {"If-None-Match, list without commas", {{"If-None-Match", "\"x\" " ETAG}}, 0, 100, 200, false},
    {"If-None-Match, two lines", {{"If-None-Match", "\"x\""}, {"If-None-Match", ETAG}}, 0, 0, 304, false},
    {"If-None-Match, open quote", {{"If-None-Match", "\"e1"}}, 0, 100, 200, false},
    {"If-None-Match, lower case w", {{"If-None-Match", "w/" ETAG}}, 0, 100, 200, false},
    {"If-None-Match, empty", {{"If-None-Match", ""}}, 0, 100, 200, false},
    {"If-None-Match before If-Modified-Since",
     {{"If-None-Match", "\"x\""}, {"If-Modified-Since", AFTER}},
     0,
     100,
     200,
     false},
    {"If-Modified-Since, same", {{"If-Modified-Since", MTIME}}, 0, 0, 304, false},
    {"If-Modified-Since, later", {{"If-Modified-Since", AFTER}}, 0, 0, 304, false},
    {"If-Modified-Since, earlier", {{"If-Modified-Since", BEFORE}}, 0, 100, 200, false},
    {"If-Modified-Since, malformed", {{"If-Modified-Since", "0"}}, 0, 100, 200, false},
    {"If-Modified-Since, twice", {{"If-Modified-Since", MTIME}, {"If-Modified-Since", MTIME}}, 0, 100, 200, false},
    {"conditions before the range", {{"If-None-Match", ETAG}, {"Range", "bytes=0-1"}}, 0, 0, 304, false},

    {"range", {{"Range", "bytes=10-19"}}, 10, 10, 206, false},
    {"range of HEAD is ignored", {{"Range", "bytes=10-19"}}, 0, 100, 200, true},
    {"first byte", {{"Range", "bytes=0-0"}}, 0, 1, 206, false},
    {"last byte", {{"Range", "bytes=99-"}}, 99, 1, 206, false},
    {"whole file as range", {{"Range", "bytes=0-"}}, 0, 100, 206, false},
    {"end is cut", {{"Range", "bytes=90-1000"}}, 90, 10, 206, false},
    {"end beyond 64 bits is cut", {{"Range", "bytes=90-99999999999999999999999"}}, 90, 10, 206, false},
    {"suffix", {{"Range", "bytes=-10"}}, 90, 10, 206, false},
    {"suffix longer than the file", {{"Range", "bytes=-1000"}}, 0, 100, 206, false},
    {"suffix beyond 64 bits", {{"Range", "bytes=-99999999999999999999999"}}, 0, 100, 206, false},
    {"empty suffix", {{"Range", "bytes=-0"}}, 0, 0, 416, false},
    {"behind the end", {{"Range", "bytes=100-"}}, 0, 0, 416, false},
    {"behind the end, beyond 64 bits", {{"Range", "bytes=99999999999999999999999-"}}, 0, 0, 416, false},
    {"2^64 does not become 0", {{"Range", "bytes=18446744073709551616-"}}, 0, 0, 416, false},
    {"backwards is ignored", {{"Range", "bytes=5-4"}}, 0, 100, 200, false},
    {"unit in capitals", {{"Range", "BYTES=0-0"}}, 0, 1, 206, false},
    {"other unit is ignored", {{"Range", "lines=0-0"}}, 0, 100, 200, false},
    {"several ranges are ignored", {{"Range", "bytes=0-0,5-5"}}, 0, 100, 200, false},
    {"two Range lines are ignored", {{"Range", "bytes=0-0"}, {"Range", "bytes=1-1"}}, 0, 100, 200, false},
    {"no number", {{"Range", "bytes=-"}}, 0, 100, 200, false},
    {"no dash", {{"Range", "bytes=5"}}, 0, 100, 200, false},
    {"empty", {{"Range", "bytes="}}, 0, 100, 200, false},
    {"sign", {{"Range", "bytes=+1-2"}}, 0, 100, 200, false},
    {"two dashes", {{"Range", "bytes=--2"}}, 0, 100, 200, false},
    {"garbage behind", {{"Range", "bytes=1-2x"}}, 0, 100, 200, false},

    {"If-Range, ours", {{"Range", "bytes=0-0"}, {"If-Range", ETAG}}, 0, 1, 206, false},
    {"If-Range, other", {{"Range", "bytes=0-0"}, {"If-Range", "\"x\""}}, 0, 100, 200, false},
    {"If-Range, weak", {{"Range", "bytes=0-0"}, {"If-Range", "W/" ETAG}}, 0, 100, 200, false},
    {"If-Range, date", {{"Range", "bytes=0-0"}, {"If-Range", MTIME}}, 0, 1, 206, false},
    {"If-Range, later date is not ours", {{"Range", "bytes=0-0"}, {"If-Range", AFTER}}, 0, 100, 200, false},
    {"If-Range, malformed", {{"Range", "bytes=0-0"}, {"If-Range", "x"}}, 0, 100, 200, false},
    {"If-Range, twice", {{"Range", "bytes=0-0"}, {"If-Range", ETAG}, {"If-Range", ETAG}}, 0, 100, 200, false},
    {"If-Range without a match spares a 416", {{"Range", "bytes=200-"}, {"If-Range", "\"x\""}}, 0, 100, 200, false},
};

static struct wsg_static_plan plan(const struct pair *pairs, enum wsg_http_method method, uint64_t size, int64_t now_s)
{
    struct wsg_http_header headers[4];
    struct wsg_http_head head = {.method = method, .minor = 1, .headers = headers};
    struct wsg_file_facts file = {.size = size, .mtime_s = 784111777, .etag = ETAG, .now_s = now_s};
    struct wsg_static_plan p;
    for (size_t i = 0; i < 4 && pairs[i].name; i++)
        headers[head.header_count++] =
            (struct wsg_http_header){wsb_span_str(pairs[i].name), wsb_span_str(pairs[i].value)};
    wsg_static_plan(&head, &file, &p);
    return p;
}

static void test_plan(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        struct wsg_static_plan p = plan(r->headers, r->is_head ? WSG_HTTP_HEAD : WSG_HTTP_GET, 100, 1700000000);
        if (p.status != r->status || p.offset != r->offset || p.length != r->length)
            fail_msg("%s: %d %llu+%llu", r->name, p.status, (unsigned long long)p.offset, (unsigned long long)p.length);
    }
}

static void test_plan_of_an_empty_file(void **state)
{
    (void)state;
    static const struct pair from_start[4] = {{"Range", "bytes=0-"}};
    static const struct pair suffix[4] = {{"Range", "bytes=-5"}};
    static const struct pair none[4] = {{0}};
    assert_int_equal(plan(none, WSG_HTTP_GET, 0, 0).status, 200);
    assert_int_equal(plan(from_start, WSG_HTTP_GET, 0, 0).status, 416);
    assert_int_equal(plan(suffix, WSG_HTTP_GET, 0, 0).status, 200);
}

static void test_plan_refuses_other_methods(void **state)
{
    (void)state;
    static const struct pair none[4] = {{0}};
    assert_int_equal(plan(none, WSG_HTTP_POST, 100, 0).status, 405);
    assert_int_equal(plan(none, WSG_HTTP_OPTIONS, 100, 0).status, 405);
}

static void test_fresh_date_is_no_strong_validator(void **state)
{
    (void)state;
    static const struct pair pairs[4] = {{"Range", "bytes=0-0"}, {"If-Range", MTIME}};
    assert_int_equal(plan(pairs, WSG_HTTP_GET, 100, 784111778).status, 200);
    assert_int_equal(plan(pairs, WSG_HTTP_GET, 100, 784111779).status, 206);
}

static void test_content_range(void **state)
{
    (void)state;
    char text[WSG_CONTENT_RANGE_SIZE];
    wsg_content_range_format(&(struct wsg_static_plan){206, 10, 5}, 100, text);
    assert_string_equal(text, "bytes 10-14/100");
    wsg_content_range_format(&(struct wsg_static_plan){416, 0, 0}, 100, text);
    assert_string_equal(text, "bytes */100");
    wsg_content_range_format(&(struct wsg_static_plan){200, 0, 100}, 100, text);
    assert_string_equal(text, "");
    wsg_content_range_format(&(struct wsg_static_plan){206, UINT64_MAX - 1, 1}, UINT64_MAX, text);
    assert_string_equal(text, "bytes 18446744073709551614-18446744073709551614/18446744073709551615");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_plan_of_an_empty_file),
        cmocka_unit_test(test_plan_refuses_other_methods),
        cmocka_unit_test(test_fresh_date_is_no_strong_validator),
        cmocka_unit_test(test_content_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
