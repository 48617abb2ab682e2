/* Z85, by the examples of its RFC, and there and back. */
#include "support/test.h"

#include "base/z85.h"

static void test_the_example_of_the_rfc(void **state)
{
    static const uint8_t bytes[] = {0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b};
    char text[11];
    uint8_t back[8];
    (void)state;
    wsb_z85_encode(wsb_span(bytes, sizeof bytes), text);
    assert_string_equal(text, "HelloWorld");
    assert_true(wsb_z85_decode(wsb_span_str("HelloWorld"), back));
    assert_memory_equal(back, bytes, sizeof bytes);
}

static void test_there_and_back(void **state)
{
    (void)state;
    for (uint32_t v = 0, turn = 0; turn < 20000; turn++, v = v * 2654435761u + 12345) {
        const uint8_t bytes[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        char text[6];
        uint8_t back[4];
        wsb_z85_encode(wsb_span(bytes, sizeof bytes), text);
        assert_int_equal(strlen(text), 5);
        assert_true(wsb_z85_decode(wsb_span_str(text), back));
        assert_memory_equal(back, bytes, sizeof bytes);
    }
}

static void test_what_it_is_not(void **state)
{
    static const struct {
        const char *text;
        bool want;
    } rows[] = {
        {"", true},
        {"00000", true},
        {"%nSc0", true},
        {"%nSc1", false}, /* 2^32 - 1, and one more */
        {"#####", false},
        {"0000", false},
        {"000000", false},
        {"0000 ", false},
        {"0000\"", false},
        {"0000~", false},
        {"\x80"
         "0000",
         false},
        {"0000,", false},
        {"0000;", false},
        {"0000\\", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t out[8];
        if (wsb_z85_decode(wsb_span_str(rows[i].text), out) != rows[i].want)
            fail_msg("'%s'", rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_of_the_rfc),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_what_it_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
