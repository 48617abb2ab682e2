/* Close codes and close frames, RFC 6455 §5.5.1 and §7.4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ws/close.h"

static void test_close_names(void **state)
{
    (void)state;
    static const struct {
        uint16_t code;
        const char *name;
    } rows[] = {
        {999, "Unknown"},           {1000, "Normal"},           {1001, "Going Away"},
        {1002, "Protocol Error"},   {1003, "Unsupported Data"}, {1004, "Reserved"},
        {1005, "No Status Recvd"},  {1006, "Abnormal Closure"}, {1007, "Invalid frame payload data"},
        {1008, "Policy Violation"}, {1009, "Message too big"},  {1010, "Missing Extension"},
        {1011, "Internal Error"},   {1012, "Service Restart"},  {1013, "Try Again Later"},
        {1014, "Bad Gateway"},      {1015, "TLS Handshake"},    {1016, "Unknown"},
        {3000, "Registered"},       {4999, "Private"},          {5000, "Unknown"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(wsb_close_code_name(rows[i].code), rows[i].name);
}

/* §7.4.1, §7.4.2: ranges, with both ends of each */
static void test_close_codes_on_the_wire(void **state)
{
    (void)state;
    static const struct {
        uint32_t first, last;
        bool sendable;
    } ranges[] = {
        {0, 999, false},     {1000, 1003, true}, {1004, 1006, false},  {1007, 1014, true},
        {1015, 2999, false}, {3000, 4999, true}, {5000, 65535, false},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        for (uint32_t code = ranges[i].first; code <= ranges[i].last; code++) {
            if (wsb_close_code_is_sendable((uint16_t)code) != ranges[i].sendable)
                fail_msg("code %u", (unsigned)code);
        }
    }
}

static void test_close_frame_carries_code_and_reason(void **state)
{
    (void)state;
    uint8_t out[WSB_CLOSE_FRAME_MAX];
    assert_int_equal(wsb_close_frame_write(out, 1001, wsb_span_str("bye")), 7);
    assert_memory_equal(out,
                        "\x88\x05\x03\xe9"
                        "bye",
                        7);
    assert_int_equal(wsb_close_frame_write(out, 1000, wsb_span(NULL, 0)), 4);
    assert_memory_equal(out, "\x88\x02\x03\xe8", 4);
}

static void test_close_frame_without_a_code_has_no_reason_either(void **state)
{
    (void)state;
    uint8_t out[WSB_CLOSE_FRAME_MAX];
    assert_int_equal(wsb_close_frame_write(out, WSB_CLOSE_NO_STATUS, wsb_span_str("dropped")), 2);
    assert_memory_equal(out, "\x88\x00", 2);
}

static void test_close_frame_refuses_a_code_that_is_not_for_the_wire(void **state)
{
    (void)state;
    uint8_t out[WSB_CLOSE_FRAME_MAX] = {0x55};
    static const uint16_t codes[] = {0, 999, 1004, 1006, 1015, 1016, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        assert_int_equal(wsb_close_frame_write(out, codes[i], wsb_span_str("x")), 0);
    assert_int_equal(out[0], 0x55);
}

/* A reason is cut at a character: `pad` ASCII bytes and then euro signs, three bytes each */
static void test_close_frame_cuts_a_long_reason_at_a_character(void **state)
{
    (void)state;
    for (size_t pad = 0; pad < 6; pad++) {
        char reason[200];
        size_t len = pad;
        memset(reason, 'x', pad);
        for (; len + 3 <= sizeof reason; len += 3)
            memcpy(reason + len, "\xe2\x82\xac", 3);
        size_t want = pad + (WSB_CLOSE_TEXT_MAX - pad) / 3 * 3;
        uint8_t out[WSB_CLOSE_FRAME_MAX];
        assert_int_equal(wsb_close_frame_write(out, 1000, wsb_span(reason, len)), 4 + want);
        assert_int_equal(out[1], 2 + want);
        assert_memory_equal(out + 4, reason, want);
    }
}

static void test_close_frame_cuts_in_front_of_what_is_not_utf8(void **state)
{
    (void)state;
    uint8_t out[WSB_CLOSE_FRAME_MAX];
    assert_int_equal(wsb_close_frame_write(out, 1000,
                                           wsb_span_str("ab\xff"
                                                        "cd")),
                     4 + 2);
    assert_int_equal(wsb_close_frame_write(out, 1000, wsb_span_str("ab\xe2\x82")), 4 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_close_names),
        cmocka_unit_test(test_close_codes_on_the_wire),
        cmocka_unit_test(test_close_frame_carries_code_and_reason),
        cmocka_unit_test(test_close_frame_without_a_code_has_no_reason_either),
        cmocka_unit_test(test_close_frame_refuses_a_code_that_is_not_for_the_wire),
        cmocka_unit_test(test_close_frame_cuts_a_long_reason_at_a_character),
        cmocka_unit_test(test_close_frame_cuts_in_front_of_what_is_not_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
