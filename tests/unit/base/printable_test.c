/* What of a text may leave to a terminal. */
#include "support/test.h"

#include "base/printable.h"

static void test_characters_of_each_length(void **state)
{
    static const struct {
        const char *text;
        uint32_t character;
        size_t len;
    } cases[] = {
        {"a", 'a', 1},
        {"\x7f", 0x7f, 1},
        {"\xc2\x9b", 0x9b, 2},
        {"\u202e!", 0x202e, 3},
        {"\U000e0041", 0xe0041, 4},
        {"", 0, 0},
        {"\x9b", 0, 0},
        {"\xc2", 0, 0},
        {"\xe2\x80", 0, 0},
        {"\xc1\x9b", 0, 0},
        {"\xed\xa0\x80", 0, 0},
        {"\xf4\x90\x80\x80", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len = 99;
        assert_int_equal(wsb_character(wsb_span_str(cases[i].text), &len), cases[i].character);
        assert_int_equal(len, cases[i].len);
    }
}

static void test_what_moves_turns_or_hides_is_unprintable(void **state)
{
    static const uint32_t bad[] = {0,      '\a',   '\n',   0x1b,   0x7f,   0x80,   0x9b,   0xad,   0x61c,  0x200b,
                                   0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x2060, 0x2066, 0x2069, 0xfeff, 0xe0041};
    static const uint32_t good[] = {' ', '~', 0xa0, 0xe4, 0x4e2d, 0x2010, 0x2030, 0xfffd, 0x1f600};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_true(wsb_is_unprintable(bad[i]));
    for (size_t i = 0; i < COUNT(good); i++)
        assert_false(wsb_is_unprintable(good[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters_of_each_length),
        cmocka_unit_test(test_what_moves_turns_or_hides_is_unprintable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
