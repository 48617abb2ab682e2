/* Addresses as text. */
#include "support/test.h"

#include "net/address.h"

static void test_address_reads_and_writes(void **state)
{
    static const struct {
        const char *text, *want; /* want NULL: refused */
    } rows[] = {
        {"127.0.0.1:8080", "127.0.0.1:8080"},
        {"*:80", "0.0.0.0:80"},
        {"[::1]:443", "[::1]:443"},
        {"[2001:DB8::1]:65535", "[2001:db8::1]:65535"},
        {"unix:/run/app.sock", "unix:/run/app.sock"},
        {"127.0.0.1:0", "127.0.0.1:0"},
        {"127.0.0.1:65536", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:-1", NULL},
        {"127.0.0.1: 1", NULL},
        {"127.0.0.1:1x", NULL},
        {"127.0.0.1", NULL},
        {"::1:80", NULL},
        {"[::1]", NULL},
        {"[::g]:80", NULL},
        {"[]:80", NULL},
        {"localhost:80", NULL},
        {":80", NULL},
        {"", NULL},
        {"unix:", NULL},
        {"unix:/"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaa",
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_address a;
        struct wsb_fault fault = {0};
        char text[WSG_ADDRESS_TEXT];
        wsb_err err = wsg_address_parse(rows[i].text, &a, &fault);
        if (!rows[i].want) {
            assert_int_equal(err, WSB_ERR_CONFIG);
            assert_true(fault.text[0]);
            continue;
        }
        assert_int_equal(err, WSB_OK);
        wsg_address_format(&a, text);
        assert_string_equal(text, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address_reads_and_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
