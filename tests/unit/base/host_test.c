/* Hosts: which texts are one, and which are none. */
#include "support/test.h"

#include <stdlib.h>

#include "base/host.h"

#define TEN   "abcdefghi."
#define FIFTY TEN TEN TEN TEN TEN

static void test_each_host_has_one_form(void **state)
{
    static const struct {
        const char *text, *want; /* want NULL: refused */
        const char *name;        /* NULL: as want */
    } rows[] = {
        {"a", "a", NULL},
        {"admin.test", "admin.test", NULL},
        {"Admin.TEST", "admin.test", NULL},
        {"admin.test.", "admin.test", NULL},
        {"ADMIN.test.:80", "admin.test:80", "admin.test"},
        {"admin.test:", "admin.test", NULL},
        {"admin.test:0", "admin.test:0", "admin.test"},
        {"admin.test:00443", "admin.test:443", "admin.test"},
        {"admin.test:65535", "admin.test:65535", "admin.test"},
        {"a_b.c~d-e", "a_b.c~d-e", NULL},
        {"xn--bcher-kva.example", "xn--bcher-kva.example", NULL},
        {"1.2.3.4", "1.2.3.4", NULL},
        {"1.2.3.4.", "1.2.3.4", NULL},
        {"1.2.3.4:80", "1.2.3.4:80", "1.2.3.4"},
        {"1.example", "1.example", NULL},
        {"a.1b", "a.1b", NULL},
        {"a.0xyz", "a.0xyz", NULL},
        {"[::1]", "[::1]", NULL},
        {"[0:0:0:0:0:0:0:1]", "[::1]", NULL},
        {"[0000::0001]:0080", "[::1]:80", "[::1]"},
        {"[2001:DB8::A]", "[2001:db8::a]", NULL},
        {"[2001:db8::1.2.3.4]", "[2001:db8::102:304]", NULL},
        {"[::ffff:192.0.2.1]", "192.0.2.1", NULL},
        {"[::ffff:c000:201]:80", "192.0.2.1:80", "192.0.2.1"},
        {FIFTY FIFTY FIFTY FIFTY FIFTY "abcde", FIFTY FIFTY FIFTY FIFTY FIFTY "abcde", NULL},
        {FIFTY FIFTY FIFTY FIFTY FIFTY "abcdef", NULL, NULL},
        {"", NULL, NULL},
        {".", NULL, NULL},
        {"..", NULL, NULL},
        {".a", NULL, NULL},
        {"a..", NULL, NULL},
        {"a..b", NULL, NULL},
        {":80", NULL, NULL},
        {".:80", NULL, NULL},
        {"a:65536", NULL, NULL},
        {"a:123456", NULL, NULL},
        {"a:8x", NULL, NULL},
        {"a: 80", NULL, NULL},
        {"a:80:80", NULL, NULL},
        {"a b", NULL, NULL},
        {"a,b", NULL, NULL},
        {"a/b", NULL, NULL},
        {"a@b", NULL, NULL},
        {"a\\b", NULL, NULL},
        {"a%41", NULL, NULL},
        {"a#", NULL, NULL},
        {"a?", NULL, NULL},
        {"*", NULL, NULL},
        {"\xc3\xa9", NULL, NULL},
        /* names that some take for an address, and others for another one */
        {"1", NULL, NULL},
        {"127.1", NULL, NULL},
        {"2130706433", NULL, NULL},
        {"0x7f000001", NULL, NULL},
        {"0X7F.0.0.0X1", NULL, NULL},
        {"127.0.0.01", NULL, NULL},
        {"127.0.0.256", NULL, NULL},
        {"1.2.3.4.5", NULL, NULL},
        {"a.1", NULL, NULL},
        {"a.0x", NULL, NULL},
        {"[", NULL, NULL},
        {"[]", NULL, NULL},
        {"[::1", NULL, NULL},
        {"::1", NULL, NULL},
        {"[:::]", NULL, NULL},
        {"[::]", NULL, NULL},
        {"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]", NULL, NULL},
        {"[1.2.3.4]", NULL, NULL},
        {"[::1]x", NULL, NULL},
        {"[::1]:x", NULL, NULL},
        {"[::1].", NULL, NULL},
        {"[fe80::1%25eth0]", NULL, NULL},
        {"[v1.a]", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_host h;
        size_t len = strlen(rows[i].text);
        uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read behind it */
        assert_non_null(exact);
        memcpy(exact, rows[i].text, len);
        wsb_err err = wsb_host_parse(wsb_span(exact, len), &h);
        free(exact);
        if ((err == WSB_OK) != (rows[i].want != NULL))
            fail_msg("'%s': %s", rows[i].text, wsb_err_name(err));
        if (err)
            continue;
        assert_string_equal(h.text, rows[i].want);
        assert_true(wsb_span_eq_str(wsb_host_text(&h), rows[i].want));
        assert_true(wsb_span_eq_str(wsb_host_name(&h), rows[i].name ? rows[i].name : rows[i].want));
        assert_int_equal(h.has_port, h.name_len != h.text_len);
    }
    struct wsb_host h;
    assert_int_equal(wsb_host_parse(wsb_span("a\0b", 3), &h), WSB_ERR_PROTO);
    assert_int_equal(wsb_host_parse(wsb_span(NULL, 0), &h), WSB_ERR_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_host_has_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
