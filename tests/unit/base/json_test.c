/* The JSON writer: what comes out is JSON, whatever goes in. */
#include "support/test.h"

#include "base/json.h"

static void write_sample(struct wsb_json *j)
{
    wsb_json_object(j);
    wsb_json_kcstr(j, "text",
                   "a\"b\\c\n\t\x01\x7f"
                   "é");
    wsb_json_key(j, "list");
    wsb_json_array(j);
    wsb_json_u64(j, UINT64_MAX);
    wsb_json_i64(j, INT64_MIN);
    wsb_json_bool(j, false);
    wsb_json_object(j);
    wsb_json_object_end(j);
    wsb_json_array_end(j);
    wsb_json_key(j, "id");
    wsb_json_id(j, 255);
    wsb_json_key(j, "null");
    wsb_json_cstr(j, NULL);
    wsb_json_object_end(j);
}

static void test_commas_escapes_and_numbers(void **state)
{
    struct wsb_buf b;
    struct wsb_json j;
    (void)state;
    wsb_buf_init(&b, 0);
    wsb_json_begin(&j, &b);
    write_sample(&j);
    assert_int_equal(wsb_json_end(&j), WSB_OK);
    assert_int_equal(wsb_buf_append(&b, "", 1), WSB_OK);
    assert_string_equal(
        b.data,
        "{\"text\":\"a\\\"b\\\\c\\n\\t\\u0001\\u007fé\",\"list\":[18446744073709551615,-9223372036854775808,false,{}],"
        "\"id\":\"00000000000000ff\",\"null\":\"\"}");
    wsb_buf_deinit(&b);
}

static void test_bytes_that_are_not_utf8_become_latin1(void **state)
{
    struct wsb_buf b;
    struct wsb_json j;
    (void)state;
    wsb_buf_init(&b, 0);
    wsb_json_begin(&j, &b);
    wsb_json_array(&j);
    wsb_json_str(&j, wsb_span("caf\xe9", 4));
    wsb_json_latin1(&j, wsb_span("\xc3\xa9", 2)); /* UTF-8 for é, but two characters of a header field */
    wsb_json_str(&j, wsb_span("\xc3\xa9", 2));
    wsb_json_array_end(&j);
    assert_int_equal(wsb_buf_append(&b, "", 1), WSB_OK);
    assert_string_equal(b.data, "[\"café\",\"Ã©\",\"é\"]");
    wsb_buf_deinit(&b);
}

/* A terminal must not obey them, and nobody must be shown another order of words; JSON says the same either way. */
static void test_what_cannot_be_seen_is_escaped(void **state)
{
    struct wsb_buf b;
    struct wsb_json j;
    (void)state;
    wsb_buf_init(&b, 0);
    wsb_json_begin(&j, &b);
    wsb_json_array(&j);
    wsb_json_str(&j, wsb_span_str("a\xc2\x9b"
                                  "31mb"));
    wsb_json_str(&j, wsb_span("\x9b", 1)); /* the same control, by a stranger who sends no UTF-8 */
    wsb_json_latin1(&j, wsb_span("\x9b", 1));
    wsb_json_str(&j, wsb_span_str("x\u202ey\u2028\ufeff"));
    wsb_json_str(&j, wsb_span_str("\U000e0041")); /* a surrogate pair */
    wsb_json_str(&j, wsb_span_str("grüße, 中文, \U0001f600"));
    wsb_json_array_end(&j);
    assert_int_equal(wsb_json_end(&j), WSB_OK);
    assert_int_equal(wsb_buf_append(&b, "", 1), WSB_OK);
    assert_string_equal(b.data,
                        "[\"a\\u009b31mb\",\"\\u009b\",\"\\u009b\",\"x\\u202ey\\u2028\\ufeff\",\"\\udb40\\udc41\","
                        "\"grüße, 中文, \U0001f600\"]");
    wsb_buf_deinit(&b);
}

static void test_the_first_failure_sticks(void **state)
{
    struct wsb_buf b;
    struct wsb_json j;
    (void)state;
    for (size_t max = 1; max < 100; max++) { /* the buffer ends at each byte in turn */
        wsb_buf_init(&b, max);
        wsb_json_begin(&j, &b);
        write_sample(&j);
        assert_int_equal(wsb_json_end(&j), WSB_ERR_LIMIT);
        wsb_buf_deinit(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commas_escapes_and_numbers),
        cmocka_unit_test(test_bytes_that_are_not_utf8_become_latin1),
        cmocka_unit_test(test_what_cannot_be_seen_is_escaped),
        cmocka_unit_test(test_the_first_failure_sticks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
