/* The opening handshake: what is asked, and which answers are good. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "shake.h"

/* RFC 6455 §1.3 */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define UP     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static const struct row {
    const char *name, *answer, *subprotocol;
    wsb_err err;
    int status;
    size_t rest; /* bytes behind the answer */
    bool deflate;
} rows[] = {
    {"good", UP ACCEPT "\r\n", NULL, WSB_OK, 101, 0, false},
    {"with a frame",
     UP ACCEPT "\r\n\x81\x01"
               "a",
     NULL, WSB_OK, 101, 3, false},
    {"any case, any space",
     "HTTP/1.1 101 X\r\nupgrade:WebSocket\r\nsec-websocket-accept: \t s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n\r\n", NULL,
     WSB_OK, 101, 0, false},
    {"a subprotocol that was offered", UP ACCEPT "Sec-WebSocket-Protocol: a\r\n\r\n", "a", WSB_OK, 101, 0, false},
    {"not whole", UP ACCEPT, NULL, WSB_MORE, 0, 0, false},
    {"refused", "HTTP/1.1 403 Forbidden\r\n\r\n", NULL, WSB_ERR_REFUSED, 403, 0, false},
    {"another protocol", "SSH-2.0-x\r\n\r\n", NULL, WSB_ERR_PROTO, 0, 0, false},
    {"no accept", UP "\r\n", NULL, WSB_ERR_PROTO, 101, 0, false},
    {"another accept", UP "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOa=\r\n\r\n", NULL, WSB_ERR_PROTO, 101, 0,
     false},
    {"no upgrade", "HTTP/1.1 101 X\r\n" ACCEPT "\r\n", NULL, WSB_ERR_PROTO, 101, 0, false},
    {"an extension", UP ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", NULL, WSB_ERR_PROTO, 101, 0,
     false},
    {"compression that was asked for",
     UP ACCEPT "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n", NULL, WSB_OK, 101, 0,
     true},
    {"no compression", UP ACCEPT "\r\n", NULL, WSB_ERR_PROTO, 101, 0, true},
    {"another compression", UP ACCEPT "Sec-WebSocket-Extensions: permessage-deflate; x\r\n\r\n", NULL, WSB_ERR_PROTO,
     101, 0, true},
    {"a subprotocol", UP ACCEPT "Sec-WebSocket-Protocol: a\r\n\r\n", NULL, WSB_ERR_PROTO, 101, 0, false},
};

static void test_every_answer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        struct wsl_options o = {.subprotocol = row->subprotocol, .deflate = row->deflate};
        struct wsb_fault fault = {0};
        size_t used = 0;
        int status = 0;
        struct wsb_deflate_params deflate;
        wsb_err err = wsl_shake_read(wsb_span_str(row->answer), &o, KEY, &used, &status, &deflate, &fault);
        if (err != row->err || status != row->status || (!err && strlen(row->answer) - used != row->rest))
            fail_msg("%s: %s %d %zu '%s'", row->name, wsb_err_name(err), status, used, fault.text);
    }
}

static void test_a_head_without_end_is_given_up(void **state)
{
    (void)state;
    static uint8_t much[WSL_HEAD_MAX];
    struct wsl_options o = {0};
    struct wsb_fault fault = {0};
    size_t used;
    int status;
    struct wsb_deflate_params deflate;
    memset(much, 'a', sizeof much);
    assert_int_equal(wsl_shake_read(wsb_span(much, sizeof much), &o, KEY, &used, &status, &deflate, &fault),
                     WSB_ERR_PROTO);
}

static void test_the_request_has_what_was_asked_for(void **state)
{
    (void)state;
    struct wsl_options o = {.subprotocol = "a, b", .headers = {"X-A: b"}, .header_count = 1, .deflate = true};
    struct wsl_target t = {.authority = "h:1"};
    struct wsb_buf out;
    wsb_buf_init(&out, 0);
    assert_int_equal(wsl_shake_write(&out, &o, &t, "/a%d/b%d", 17, KEY), WSB_OK);
    assert_int_equal(wsb_buf_append(&out, "", 1), WSB_OK);
    assert_string_equal((const char *)out.data,
                        "GET /a17/b%d HTTP/1.1\r\nHost: h:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Protocol: a, b\r\n"
                        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nX-A: b\r\n\r\n");
    wsb_buf_deinit(&out);
}

static void test_keys_are_sixteen_bytes(void **state)
{
    (void)state;
    uint64_t random[2] = {0x0123456789abcdef, 0xfedcba9876543210};
    char key[WSL_KEY_SIZE];
    wsl_shake_key(random, key);
    assert_int_equal(strlen(key), 24);
    assert_string_equal(key + 22, "==");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_answer),
        cmocka_unit_test(test_a_head_without_end_is_given_up),
        cmocka_unit_test(test_the_request_has_what_was_asked_for),
        cmocka_unit_test(test_keys_are_sixteen_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
