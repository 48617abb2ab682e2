/* Endpoints on TCP as text. */
#include "support/test.h"

#include "base/endpoint.h"

static void test_endpoint_reads_and_writes(void **state)
{
    static const struct {
        const char *text, *want; /* want NULL: refused */
        bool is_loopback;
    } rows[] = {
        {"tcp://127.0.0.1:5555", "tcp://127.0.0.1:5555", true},
        {"tcp://127.255.0.9:1", "tcp://127.255.0.9:1", true},
        {"tcp://localhost:65535", "tcp://127.0.0.1:65535", true},
        {"tcp://127.0.0.1:*", "tcp://127.0.0.1:*", true},
        {"tcp://127.0.0.1:0", "tcp://127.0.0.1:*", true},
        {"tcp://[::1]:5555", "tcp://[::1]:5555", true},
        {"tcp://[0:0::1]:5555", "tcp://[::1]:5555", true},
        {"tcp://*:5555", "tcp://0.0.0.0:5555", false},
        {"tcp://0.0.0.0:1", "tcp://0.0.0.0:1", false},
        {"tcp://128.0.0.1:1", "tcp://128.0.0.1:1", false},
        {"tcp://126.255.255.255:1", "tcp://126.255.255.255:1", false},
        {"tcp://[::]:1", "tcp://[::]:1", false},
        {"tcp://[::2]:1", "tcp://[::2]:1", false},
        {"tcp://[::ffff:127.0.0.1]:1", "tcp://[::ffff:127.0.0.1]:1", false},
        {"tcp://[2001:DB8::1]:1", "tcp://[2001:db8::1]:1", false},
        {"tcp://[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
         "tcp://[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", false},
        {"tcp://127.0.0.1:65536", NULL, false},
        {"tcp://127.0.0.1:99999999999999999999", NULL, false},
        {"tcp://127.0.0.1:-1", NULL, false},
        {"tcp://127.0.0.1: 1", NULL, false},
        {"tcp://127.0.0.1:1x", NULL, false},
        {"tcp://127.0.0.1:**", NULL, false},
        {"tcp://127.0.0.1:", NULL, false},
        {"tcp://127.0.0.1", NULL, false},
        {"tcp://:1", NULL, false},
        {"tcp://::1:1", NULL, false},
        {"tcp://[::1:1", NULL, false},
        {"tcp://[]:1", NULL, false},
        {"tcp://[fe80::1%lo]:1", NULL, false},
        {"tcp://127.1:1", NULL, false},
        {"tcp://localhost.example.org:1", NULL, false},
        {"tcp://lo:1", NULL, false},
        {"tcp://127.0.0.1;10.0.0.1:1", NULL, false},
        {"ipc:///run/x", NULL, false},
        {"TCP://127.0.0.1:1", NULL, false},
        {"127.0.0.1:1", NULL, false},
        {"tcp://", NULL, false},
        {"", NULL, false},
        {"tcp://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:1",
         NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_endpoint e, again;
        struct wsb_fault fault = {0};
        char text[WSB_ENDPOINT_TEXT];
        char text_again[WSB_ENDPOINT_TEXT];
        wsb_err err = wsb_endpoint_parse(rows[i].text, &e, &fault);
        if ((err == WSB_OK) != (rows[i].want != NULL))
            fail_msg("%s: %s", rows[i].text, err ? fault.text : "accepted");
        if (err) {
            assert_int_equal(err, WSB_ERR_CONFIG);
            assert_true(fault.text[0]);
            continue;
        }
        wsb_endpoint_format(&e, text);
        assert_string_equal(text, rows[i].want);
        assert_int_equal(e.is_loopback, rows[i].is_loopback);
        assert_int_equal(wsb_endpoint_parse(text, &again, NULL), WSB_OK);
        wsb_endpoint_format(&again, text_again);
        assert_string_equal(text_again, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_endpoint_reads_and_writes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
