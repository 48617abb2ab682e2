/* Base64: RFC 4648 §10, and everything that is nearly base64. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base64.h"

static void test_the_vectors_of_the_rfc(void **state)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[16];
        uint8_t bytes[16];
        size_t len;
        size_t n = wsb_base64_encode(wsb_span_str(rows[i][0]), text);
        assert_true(wsb_span_eq_str(wsb_span(text, n), rows[i][1]));
        assert_int_equal(n, wsb_base64_encoded_size(strlen(rows[i][0])));
        assert_true(wsb_base64_decode(wsb_span_str(rows[i][1]), bytes, &len));
        assert_true(wsb_span_eq_str(wsb_span(bytes, len), rows[i][0]));
    }
}

static void test_only_one_spelling_is_accepted(void **state)
{
    static const char *const bad[] = {
        "Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm9v\n", "Zm-v", "Zm_v", " Zm9", "=m9v", "Zm=v"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t bytes[16];
        size_t len;
        if (wsb_base64_decode(wsb_span_str(bad[i]), bytes, &len))
            fail_msg("'%s'", bad[i]);
    }
}

static void test_all_bytes_come_back(void **state)
{
    uint8_t in[256], out[300];
    char text[400];
    size_t len;
    (void)state;
    for (unsigned i = 0; i < 256; i++)
        in[i] = (uint8_t)(255 - i);
    for (size_t n = 0; n <= 256; n++) {
        size_t t = wsb_base64_encode(wsb_span(in, n), text);
        assert_true(wsb_base64_decode(wsb_span(text, t), out, &len));
        assert_true(wsb_span_eq(wsb_span(out, len), wsb_span(in, n)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_vectors_of_the_rfc),
        cmocka_unit_test(test_only_one_spelling_is_accepted),
        cmocka_unit_test(test_all_bytes_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
