/* Greetings: each kind of peer a row, whole and in every prefix. */
#include "support/test.h"

#include "zmtp/greeting.h"

#define SIGNATURE  "\xff\0\0\0\0\0\0\0\1\x7f"
#define REST       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define NO_KEYS    "NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define KEYS       "CURVE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define ROW(bytes) bytes, sizeof(bytes) - 1

static const struct row {
    const char *name;
    const char *in;
    size_t in_len; /* with which the verdict is reached, and not before */
    enum wsb_zmtp_mechanism mechanism;
    wsb_err want;
    enum wsb_zmtp_why why;
} rows[] = {
    {"3.1", ROW(SIGNATURE "\3\1" NO_KEYS "\0" REST), WSB_ZMTP_NULL, WSB_OK, 0},
    {"3.0", ROW(SIGNATURE "\3\0" NO_KEYS "\0" REST), WSB_ZMTP_NULL, WSB_OK, 0},
    {"a later version", ROW(SIGNATURE "\4\0" NO_KEYS "\0" REST), WSB_ZMTP_NULL, WSB_OK, 0},
    {"padding means nothing", ROW("\xff\1\2\3\4\5\6\7\x08\x7f\3\1" NO_KEYS "\0" REST), WSB_ZMTP_NULL, WSB_OK, 0},
    {"keys", ROW(SIGNATURE "\3\1" KEYS "\0" REST), WSB_ZMTP_CURVE, WSB_OK, 0},
    {"as-server means nothing without keys", ROW(SIGNATURE "\3\1" NO_KEYS "\1" REST), WSB_ZMTP_NULL, WSB_OK, 0},
    {"two servers", ROW(SIGNATURE "\3\1" KEYS "\1" REST), WSB_ZMTP_CURVE, WSB_ERR_PROTO, WSB_ZMTP_WHY_MECHANISM},
    {"no keys", ROW(SIGNATURE "\3\1" NO_KEYS "\0" REST), WSB_ZMTP_CURVE, WSB_ERR_PROTO, WSB_ZMTP_WHY_MECHANISM},
    {"keys for nothing", ROW(SIGNATURE "\3\1" KEYS "\0" REST), WSB_ZMTP_NULL, WSB_ERR_PROTO, WSB_ZMTP_WHY_MECHANISM},
    {"a mechanism that goes on", ROW(SIGNATURE "\3\1NULLX\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" REST), WSB_ZMTP_NULL,
     WSB_ERR_PROTO, WSB_ZMTP_WHY_MECHANISM},
    {"2.0", ROW(SIGNATURE "\1"), WSB_ZMTP_NULL, WSB_ERR_PROTO, WSB_ZMTP_WHY_VERSION},
    {"2.1", ROW(SIGNATURE "\2"), WSB_ZMTP_NULL, WSB_ERR_PROTO, WSB_ZMTP_WHY_VERSION},
    {"1.0, anonymous", ROW("\1\0"), WSB_ZMTP_NULL, WSB_ERR_PROTO, WSB_ZMTP_WHY_VERSION},
    {"1.0, with an identity", ROW("\5\1"), WSB_ZMTP_NULL, WSB_ERR_PROTO, WSB_ZMTP_WHY_VERSION},
    {"HTTP", ROW("GE"), WSB_ZMTP_NULL, WSB_ERR_PROTO, WSB_ZMTP_WHY_GREETING},
    {"zeros", ROW("\0\0"), WSB_ZMTP_NULL, WSB_ERR_PROTO, WSB_ZMTP_WHY_GREETING},
    {"half a signature", ROW("\xff\0\0\0\0\0\0\0\1\0"), WSB_ZMTP_NULL, WSB_ERR_PROTO, WSB_ZMTP_WHY_GREETING},
};

static void test_greetings(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *r = &rows[i];
        enum wsb_zmtp_why why = WSB_ZMTP_WHYS;
        for (size_t len = 0; len < r->in_len; len++) {
            if (wsb_zmtp_greeting_parse(wsb_span(r->in, len), r->mechanism, &why) != WSB_MORE)
                fail_msg("%s: a verdict after %zu bytes", r->name, len);
        }
        if (wsb_zmtp_greeting_parse(wsb_span(r->in, r->in_len), r->mechanism, &why) != r->want)
            fail_msg("%s: not what was wanted", r->name);
        if (r->want)
            assert_int_equal(why, r->why);
    }
}

static void test_our_own(void **state)
{
    uint8_t out[WSB_ZMTP_GREETING];
    enum wsb_zmtp_why why;
    (void)state;
    wsb_zmtp_greeting_write(out, WSB_ZMTP_NULL);
    assert_memory_equal(out, "\xff\0\0\0\0\0\0\0\0\x7f\3\1" NO_KEYS "\0" REST, sizeof out);
    assert_int_equal(wsb_zmtp_greeting_parse(wsb_span(out, sizeof out), WSB_ZMTP_NULL, &why), WSB_OK);
    wsb_zmtp_greeting_write(out, WSB_ZMTP_CURVE);
    assert_memory_equal(out, "\xff\0\0\0\0\0\0\0\0\x7f\3\1" KEYS "\1" REST, sizeof out);
}

static void test_each_reason_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < WSB_ZMTP_WHYS; i++) {
        assert_non_null(wsb_zmtp_why_name((enum wsb_zmtp_why)i));
        assert_non_null(wsb_zmtp_why_text((enum wsb_zmtp_why)i));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(wsb_zmtp_why_name((enum wsb_zmtp_why)i), wsb_zmtp_why_name((enum wsb_zmtp_why)k));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greetings),
        cmocka_unit_test(test_our_own),
        cmocka_unit_test(test_each_reason_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
