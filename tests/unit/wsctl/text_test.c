/* Escaping, widths, durations, sizes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "text.h"

static void test_nothing_that_moves_a_cursor_gets_through(void **state)
{
    static const struct {
        const char *in, *want;
    } rows[] = {
        {"plain text", "plain text"},
        {"\x1b[2J\x1b]0;title\a", "\\x1b[2J\\x1b]0;title\\x07"},
        {"a\r\nb\tc", "a\\r\\nb\\tc"},
        {"back\\slash", "back\\\\slash"},
        {"\x7f", "\\x7f"},
        {"\xc2\x9b"
         "31m",
         "\\u{9b}31m"},
        {"gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x98\x80",
         "gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xe2\x80\xae"
         "gpj.exe",
         "\\u{202e}gpj.exe"},
        {"\xe2\x81\xa6x\xef\xbb\xbf", "\\u{2066}x\\u{feff}"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"cut \xe2\x82", "cut \\xe2\\x82"},
        {"overlong \xc0\xaf", "overlong \\xc0\\xaf"},
        {"\xf3\xa0\x80\x81", "\\u{e0001}"},
    };
    struct wsb_buf out;
    (void)state;
    wsb_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        wsb_buf_clear(&out);
        assert_int_equal(wsc_text_escape(&out, wsb_span_str(rows[i].in)), WSB_OK);
        if (!wsb_span_eq_str(wsb_buf_span(&out), rows[i].want))
            fail_msg("row %zu: %.*s", i, (int)out.len, (const char *)out.data);
    }
    wsb_buf_deinit(&out);
}

/* Whatever comes in: no control character comes out, and it is UTF-8. */
static void test_every_byte_pair_is_harmless(void **state)
{
    struct wsb_buf out;
    (void)state;
    wsb_buf_init(&out, 0);
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const uint8_t in[] = {(uint8_t)a, (uint8_t)b, 'x'};
            wsb_buf_clear(&out);
            assert_int_equal(wsc_text_escape(&out, wsb_span(in, sizeof in)), WSB_OK);
            assert_true(wsb_utf8_is_valid(out.data, out.len));
            for (size_t i = 0; i < out.len; i++) {
                bool is_c1 = out.data[i] == 0xc2 && i + 1 < out.len && out.data[i + 1] < 0xa0;
                if (out.data[i] < 0x20 || out.data[i] == 0x7f || is_c1)
                    fail_msg("%02x %02x", a, b);
            }
        }
    }
    wsb_buf_deinit(&out);
}

static void test_widths_count_columns(void **state)
{
    static const struct {
        const char *text;
        size_t width;
    } rows[] = {{"", 0},
                {"abc", 3},
                {"gr\xc3\xbc\xc3\x9f", 4},
                {"\xe6\x97\xa5\xe6\x9c\xac", 4},
                {"e\xcc\x81", 1},
                {"\xf0\x9f\x98\x80", 2}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(wsc_text_width(wsb_span_str(rows[i].text)), rows[i].width);
}

static void test_what_fits_ends_at_a_character(void **state)
{
    size_t width;
    struct wsb_span japanese = wsb_span_str("\xe6\x97\xa5\xe6\x9c\xac");
    (void)state;
    assert_int_equal(wsc_text_fit(japanese, 3, &width), 3);
    assert_int_equal(width, 2);
    assert_int_equal(wsc_text_fit(japanese, 1, &width), 0);
    assert_int_equal(wsc_text_fit(japanese, 4, &width), 6);
    assert_int_equal(wsc_text_fit(wsb_span_str("e\xcc\x81x"), 1, &width), 3); /* the accent belongs to its letter */
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
        uint64_t ms;
    } rows[] = {
        {"5", true, 5000},     {"250ms", true, 250},   {"5s", true, 5000},       {"5m", true, 300000},
        {"2h", true, 7200000}, {"1d", true, 86400000}, {"1h30m", true, 5400000}, {"1m500ms", true, 60500},
        {"0", true, 0},        {"", false, 0},         {"s", false, 0},          {"5x", false, 0},
        {"5 s", false, 0},     {"-5s", false, 0},      {"1m1h", false, 0},       {"1m1m", false, 0},
        {"1m5", false, 0},     {"5sec", false, 0},     {"1.5s", false, 0},       {"99999999999999999999", false, 0},
        {"36500d", false, 0},  {"0x5", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t ms = 0;
        if (wsc_duration_parse(rows[i].text, &ms) != rows[i].is_good || ms != rows[i].ms)
            fail_msg("'%s': %llu", rows[i].text, (unsigned long long)ms);
    }
}

static void test_short_forms(void **state)
{
    char out[WSC_SHORT];
    static const struct {
        uint64_t ms;
        const char *want;
    } times[] = {{0, "0.0s"},         {9999, "9.9s"},
                 {10000, "10s"},      {59999, "59s"},
                 {60000, "1m00s"},    {3599999, "59m59s"},
                 {3600000, "1h00m"},  {86399999, "23h59m"},
                 {86400000, "1d00h"}, {(uint64_t)1 << 53, "104249991d08h"}};
    static const struct {
        uint64_t bytes;
        const char *want;
    } sizes[] = {{0, "0"}, {1023, "1023"}, {1024, "1.0K"}, {1048575, "1.0M"}, {4 << 20, "4.0M"}, {UINT64_MAX, "16.0E"}};
    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        wsc_duration_format(times[i].ms, out);
        assert_string_equal(out, times[i].want);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        wsc_size_format(sizes[i].bytes, out);
        assert_string_equal(out, sizes[i].want);
    }
    wsc_rtt_format(0, out);
    assert_string_equal(out, "-");
    wsc_rtt_format(850, out);
    assert_string_equal(out, "850us");
    wsc_rtt_format(12345, out);
    assert_string_equal(out, "12.3ms");
    wsc_rtt_format(1250000, out);
    assert_string_equal(out, "1.25s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_that_moves_a_cursor_gets_through),
        cmocka_unit_test(test_every_byte_pair_is_harmless),
        cmocka_unit_test(test_widths_count_columns),
        cmocka_unit_test(test_what_fits_ends_at_a_character),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_short_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
