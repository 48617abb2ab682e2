/* UTF-8 by RFC 3629: a table of texts, each checked whole, byte by byte and split at each point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

enum verdict {
    GOOD,
    CUT, /* a good beginning that ends inside a character */
    BAD,
};

static const struct row {
    const char *name;
    const char *text;
    enum verdict want;
    size_t bad_at; /* BAD: the first byte that no continuation could save */
} rows[] = {
    {"empty", "", GOOD, 0},
    {"ASCII", "The quick brown fox jumps over the lazy dog, twice", GOOD, 0},
    {"DEL is ASCII", "\x7f", GOOD, 0},
    {"two bytes, first", "\xc2\x80", GOOD, 0},
    {"two bytes, last", "\xdf\xbf", GOOD, 0},
    {"three bytes, first", "\xe0\xa0\x80", GOOD, 0},
    {"below the surrogates", "\xed\x9f\xbf", GOOD, 0},
    {"above the surrogates", "\xee\x80\x80", GOOD, 0},
    {"three bytes, last", "\xef\xbf\xbf", GOOD, 0},
    {"four bytes, first", "\xf0\x90\x80\x80", GOOD, 0},
    {"end of Unicode", "\xf4\x8f\xbf\xbf", GOOD, 0},
    {"mixed", "0123456789abcdef\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5 0123456789abcdef \xf0\x9f\x98\x80!", GOOD,
     0},
    {"lead of two", "a\xc3", CUT, 0},
    {"lead of three", "\xe2", CUT, 0},
    {"two of three", "\xe2\x82", CUT, 0},
    {"three of four behind a long run", "0123456789abcdef0123456789abcdef\xf0\x9f\x98", CUT, 0},
    {"lone continuation", "\x80", BAD, 0},
    {"lone continuation behind a run", "0123456789abcdef0123456\xbf", BAD, 23},
    {"continuation too many", "\xc3\xa4\xa4", BAD, 2},
    {"overlong of two, C0", "\xc0\xaf", BAD, 0},
    {"overlong of two, C1", "\xc1\xbf", BAD, 0},
    {"overlong of three", "\xe0\x9f\xbf", BAD, 1},
    {"overlong of four", "\xf0\x8f\xbf\xbf", BAD, 1},
    {"first surrogate", "\xed\xa0\x80", BAD, 1},
    {"last surrogate", "\xed\xbf\xbf", BAD, 1},
    {"above U+10FFFF", "\xf4\x90\x80\x80", BAD, 1},
    {"F5", "\xf5\x80\x80\x80", BAD, 0},
    {"FE", "\xfe", BAD, 0},
    {"FF in the second half of a vector",
     "0123456789ab\xff"
     "def0123456789",
     BAD, 12},
    {"ASCII where a continuation is due", "\xe2\x82 ", BAD, 2},
    {"lead where a continuation is due", "\xe2\xc3\xa4", BAD, 1},
};

static enum verdict verdict_of(const struct wsb_utf8 *u, bool good)
{
    if (!good)
        return BAD;
    return wsb_utf8_is_complete(u) ? GOOD : CUT;
}

static void test_utf8_verdict_is_the_same_for_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        const uint8_t *text = (const uint8_t *)r->text;
        size_t len = strlen(r->text);
        for (size_t cut = 0; cut <= len; cut++) {
            struct wsb_utf8 u;
            wsb_utf8_init(&u);
            bool good = wsb_utf8_feed(&u, text, cut) && wsb_utf8_feed(&u, text + cut, len - cut);
            if (verdict_of(&u, good) != r->want)
                fail_msg("%s, split at %zu", r->name, cut);
        }
        assert_int_equal(wsb_utf8_is_valid(text, len), r->want == GOOD);
    }
}

static void test_utf8_refuses_at_the_first_bad_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        size_t len = strlen(r->text);
        struct wsb_utf8 u;
        wsb_utf8_init(&u);
        size_t at = 0;
        while (at < len && wsb_utf8_feed(&u, (const uint8_t *)r->text + at, 1))
            at++;
        if (at != (r->want == BAD ? r->bad_at : len))
            fail_msg("%s: stopped at %zu", r->name, at);
    }
}

static void test_utf8_finds_a_bad_byte_at_every_place_and_alignment(void **state)
{
    (void)state;
    enum { ROOM = 96 };
    uint8_t text[ROOM];
    for (size_t start = 0; start < 16; start++) {
        for (size_t at = start; at < ROOM; at++) {
            memset(text, 'x', sizeof text);
            assert_true(wsb_utf8_is_valid(text + start, ROOM - start));
            text[at] = 0xff;
            assert_false(wsb_utf8_is_valid(text + start, ROOM - start));
        }
    }
}

static void test_utf8_takes_every_code_point_and_no_surrogate(void **state)
{
    (void)state;
    for (uint32_t c = 0x80; c < 0x120000; c++) {
        uint8_t s[4];
        size_t n = 0;
        if (c < 0x800) {
            s[n++] = (uint8_t)(0xc0 | c >> 6);
        } else {
            if (c < 0x10000) {
                s[n++] = (uint8_t)(0xe0 | c >> 12);
            } else {
                s[n++] = (uint8_t)(0xf0 | c >> 18);
                s[n++] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
            }
            s[n++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        }
        s[n++] = (uint8_t)(0x80 | (c & 0x3f));
        bool want = c <= 0x10ffff && !(c >= 0xd800 && c <= 0xdfff);
        if (wsb_utf8_is_valid(s, n) != want)
            fail_msg("U+%04X", (unsigned)c);
    }
}

static void test_utf8_empty_pieces_change_nothing(void **state)
{
    (void)state;
    struct wsb_utf8 u;
    wsb_utf8_init(&u);
    assert_true(wsb_utf8_feed(&u, NULL, 0));
    assert_true(wsb_utf8_feed(&u, (const uint8_t *)"\xc3", 1));
    assert_true(wsb_utf8_feed(&u, NULL, 0));
    assert_false(wsb_utf8_is_complete(&u));
    assert_true(wsb_utf8_feed(&u, (const uint8_t *)"\xa4", 1));
    assert_true(wsb_utf8_is_complete(&u));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_verdict_is_the_same_for_every_split),
        cmocka_unit_test(test_utf8_refuses_at_the_first_bad_byte),
        cmocka_unit_test(test_utf8_finds_a_bad_byte_at_every_place_and_alignment),
        cmocka_unit_test(test_utf8_takes_every_code_point_and_no_surrogate),
        cmocka_unit_test(test_utf8_empty_pieces_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
