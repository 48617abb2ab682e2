/* URLs, good and bad. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "target.h"

static const struct row {
    const char *url;
    const char *host, *port, *authority, *path; /* host NULL: it is refused */
    bool is_tls;
} rows[] = {
    {"ws://h", "h", "80", "h", "/", false},
    {"ws://h:8080/a?b=c", "h", "8080", "h:8080", "/a?b=c", false},
    {"wss://h/", "h", "443", "h", "/", true},
    {"ws://h?x", "h", "80", "h", "/?x", false},
    {"ws://[::1]:9/a", "::1", "9", "[::1]:9", "/a", false},
    {"ws://[::1]", "::1", "80", "[::1]", "/", false},
    {"http://h/", NULL, NULL, NULL, NULL, false},
    {"h", NULL, NULL, NULL, NULL, false},
    {"ws://", NULL, NULL, NULL, NULL, false},
    {"ws:///a", NULL, NULL, NULL, NULL, false},
    {"ws://h:/", NULL, NULL, NULL, NULL, false},
    {"ws://h:0/", NULL, NULL, NULL, NULL, false},
    {"ws://h:65536/", NULL, NULL, NULL, NULL, false},
    {"ws://h:1x/", NULL, NULL, NULL, NULL, false},
    {"ws://a:1:2/", NULL, NULL, NULL, NULL, false},
    {"ws://[::1/", NULL, NULL, NULL, NULL, false},
    {"ws://[::1]x/", NULL, NULL, NULL, NULL, false},
    {"ws://u@h/", NULL, NULL, NULL, NULL, false},
    {"ws://h/a#b", NULL, NULL, NULL, NULL, false},
    {"ws://h/a b", NULL, NULL, NULL, NULL, false},
    {"ws://h/\r\nX: y", NULL, NULL, NULL, NULL, false},
};

static void test_every_url(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct wsl_target t;
        struct wsb_fault fault = {0};
        wsb_err err = wsl_target_parse(row->url, &t, &fault);
        if (err != (row->host ? WSB_OK : WSB_ERR_CONFIG))
            fail_msg("%s: %s", row->url, wsb_err_name(err));
        if (err)
            continue;
        assert_string_equal(t.host, row->host);
        assert_string_equal(t.port, row->port);
        assert_string_equal(t.authority, row->authority);
        assert_string_equal(t.path, row->path);
        assert_int_equal(t.is_tls, row->is_tls);
    }
}

static void test_what_is_too_long_is_refused(void **state)
{
    (void)state;
    static char url[4096];
    struct wsl_target t;
    struct wsb_fault fault;
    memset(url, 'a', sizeof url - 1);
    memcpy(url, "ws://", 5);
    assert_int_equal(wsl_target_parse(url, &t, &fault), WSB_ERR_CONFIG);
    url[6] = '/';
    assert_int_equal(wsl_target_parse(url, &t, &fault), WSB_ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_url),
        cmocka_unit_test(test_what_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
