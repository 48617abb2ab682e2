/* HTTP dates, checked against known ones and, over the whole range, against the C library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "http/date.h"

static const int64_t NOW = 1700000000; /* in 2023 */

static void test_date_formats_known_times(void **state)
{
    (void)state;
    static const struct {
        int64_t time_s;
        const char *text;
    } rows[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},  {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},  {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"}, {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
        {INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[WSG_HTTP_DATE_SIZE];
        wsg_http_date_format(rows[i].time_s, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void test_date_agrees_with_the_c_library_and_parses_back(void **state)
{
    (void)state;
    for (int64_t t = -62167219200; t < 253402300800; t += 7777777) {
        char got[WSG_HTTP_DATE_SIZE];
        char want[64];
        struct tm tm;
        time_t tt = (time_t)t;
        int64_t back = 0;
        assert_non_null(gmtime_r(&tt, &tm));
        static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        (void)snprintf(want, sizeof want, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
                       months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        wsg_http_date_format(t, got);
        assert_string_equal(got, want);
        assert_int_equal(wsg_http_date_parse(wsb_span_str(got), NOW, &back), WSB_OK);
        assert_true(back == t);
    }
}

static void test_date_parses_three_formats_and_nothing_else(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want; /* -1: refused */
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Wed Nov 16 08:49:37 1994", 784975777},
        {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
        {"Mon, 06 Nov 1994 08:49:37 GMT", 784111777},    /* the wrong day is not our problem */
        {"Sun, 31 Dec 1995 23:59:60 GMT", 820454400},    /* a leap second */
        {"Tuesday, 14-Nov-73 00:00:00 GMT", 3277843200}, /* 50 years ahead of 2023: still the future */
        {"Tuesday, 14-Nov-74 00:00:00 GMT", 153619200},  /* 51: the past */
        {"", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 94 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 06 Nov 1994 08:49:37 +0000", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"sun, 06 nov 1994 08:49:37 gmt", -1},
        {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 29 Feb 1900 08:49:37 GMT", -1},
        {"Sun, 06 Foo 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:00:00 GMT", -1},
        {"Sun, 06 Nov 1994 08:60:00 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:61 GMT", -1},
        {"Sun, 06 Nov 1994 -8:49:37 GMT", -1},
        {"Xun, 06 Nov 1994 08:49:37 GMT", -1},
        {"Sun Nov 006 08:49:37 1994", -1},
        {"784111777", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t got = -1;
        wsb_err err = wsg_http_date_parse(wsb_span_str(rows[i].text), NOW, &got);
        if ((err == WSB_OK) != (rows[i].want != -1) || got != rows[i].want)
            fail_msg("%s: %s, %lld", rows[i].text, wsb_err_name(err), (long long)got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_date_formats_known_times),
        cmocka_unit_test(test_date_agrees_with_the_c_library_and_parses_back),
        cmocka_unit_test(test_date_parses_three_formats_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
