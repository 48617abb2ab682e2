/* ws-URIs, RFC 6455 §3. */
#include "support/test.h"

#include "ws/url.h"

static void test_what_is_a_url(void **state)
{
    static const struct {
        const char *text;
        bool is_tls;
        const char *host;
        unsigned port;
        const char *authority, *path; /* NULL: refused */
    } rows[] = {
        {"ws://example.org", false, "example.org", 80, "example.org", "/"},
        {"wss://example.org", true, "example.org", 443, "example.org", "/"},
        {"WSS://Example.org/Chat", true, "Example.org", 443, "Example.org", "/Chat"},
        {"ws://example.org:80/", false, "example.org", 80, "example.org", "/"},
        {"wss://example.org:80/", true, "example.org", 80, "example.org:80", "/"},
        {"ws://127.0.0.1:8080/a/b?c=d&e=%20", false, "127.0.0.1", 8080, "127.0.0.1:8080", "/a/b?c=d&e=%20"},
        {"ws://[::1]:8080/x", false, "::1", 8080, "[::1]:8080", "/x"},
        {"ws://[::1]", false, "::1", 80, "[::1]", "/"},
        {"ws://h?q", false, "h", 80, "h", "/?q"},
        {"ws://a_b.c-d", false, "a_b.c-d", 80, "a_b.c-d", "/"},
        {.text = "http://example.org"},
        {.text = "ws:/example.org"},
        {.text = "ws://"},
        {.text = "ws://:80"},
        {.text = "ws://h:"},
        {.text = "ws://h:0"},
        {.text = "ws://h:65536"},
        {.text = "ws://h:8a"},
        {.text = "ws://h:-1"},
        {.text = "ws://user@h/"},
        {.text = "ws://user:secret@h/"},
        {.text = "ws://h/#top"},
        {.text = "ws://h#top"},
        {.text = "ws://h/a b"},
        {.text = "ws://h/\r\nX: y"},
        {.text = "ws://h\r\n/"},
        {.text = "ws://h/\xc3\xa4"},
        {.text = "ws://[::1/"},
        {.text = "ws://[::1]x/"},
        {.text = "ws://[]/"},
        {.text = "ws://::1/"},
        {.text = "ws://[fe80::1%eth0]/"},
        {.text = "ws://h\\evil/"},
        {.text = ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_url *u = malloc(sizeof *u);
        struct wsb_fault fault = {0};
        assert_non_null(u);
        wsb_err err = wsb_url_parse(rows[i].text, u, &fault);
        if ((err == WSB_OK) != (rows[i].path != NULL))
            fail_msg("'%s': %s %s", rows[i].text, wsb_err_name(err), fault.text);
        if (!err) {
            assert_int_equal(u->is_tls, rows[i].is_tls);
            assert_string_equal(u->host, rows[i].host);
            assert_int_equal(u->port, rows[i].port);
            assert_string_equal(u->authority, rows[i].authority);
            assert_string_equal(u->path, rows[i].path);
        } else {
            assert_int_equal(err, WSB_ERR_CONFIG);
            assert_true(fault.text[0] != 0);
        }
        free(u);
    }
}

static void test_long_ones_are_refused(void **state)
{
    char text[WSB_URL_PATH + 300];
    struct wsb_url *u = malloc(sizeof *u);
    (void)state;
    assert_non_null(u);
    (void)snprintf(text, sizeof text, "ws://%0*d", WSB_URL_HOST, 1);
    assert_int_equal(wsb_url_parse(text, u, NULL), WSB_ERR_CONFIG);
    (void)snprintf(text, sizeof text, "ws://%0*d", WSB_URL_HOST - 1, 1);
    assert_int_equal(wsb_url_parse(text, u, NULL), WSB_OK);
    (void)snprintf(text, sizeof text, "ws://h/%0*d", WSB_URL_PATH - 2, 1);
    assert_int_equal(wsb_url_parse(text, u, NULL), WSB_ERR_CONFIG);
    (void)snprintf(text, sizeof text, "ws://h/%0*d", WSB_URL_PATH - 3, 1);
    assert_int_equal(wsb_url_parse(text, u, NULL), WSB_OK);
    free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_a_url),
        cmocka_unit_test(test_long_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
