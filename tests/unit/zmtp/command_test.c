/* Bodies of commands. */
#include "support/test.h"

#include "zmtp/command.h"

#define BYTES(text) wsb_span(text, sizeof(text) - 1)
#define ROW(text)   text, sizeof(text) - 1

static void test_names_and_data(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        wsb_err want;
        const char *name, *data;
    } rows[] = {
        {"\4PING\0\1x", 8, WSB_OK, "PING", "\0\1x"}, {"\1x", 2, WSB_OK, "x", ""},
        {"", 0, WSB_ERR_PROTO, NULL, NULL},          {"\0", 1, WSB_ERR_PROTO, NULL, NULL},
        {"\2x", 2, WSB_ERR_PROTO, NULL, NULL},       {"\xff", 1, WSB_ERR_PROTO, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_zmtp_command c;
        assert_int_equal(wsb_zmtp_command_parse(wsb_span(rows[i].in, rows[i].len), &c), rows[i].want);
        if (rows[i].want)
            continue;
        assert_true(wsb_span_eq_str(c.name, rows[i].name));
        assert_int_equal(c.data.len, rows[i].len - 1 - c.name.len);
        assert_true(c.data.len == 0 || memcmp(c.data.ptr, rows[i].data, c.data.len) == 0);
    }
}

static void test_metadata(void **state)
{
    static const struct {
        const char *name;
        const char *in;
        size_t len;
        wsb_err want;
        const char *type, *identity;
    } rows[] = {
        {"nothing", NULL, 0, WSB_OK, "", ""},
        {"both", ROW("\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\2me"), WSB_OK, "DEALER", "me"},
        {"case", ROW("\x0bsocket-TYPE\0\0\0\3REQ"), WSB_OK, "REQ", ""},
        {"others between", ROW("\3X-a\0\0\0\1b\x0bSocket-Type\0\0\0\4PUSH\1z\0\0\0\0"), WSB_OK, "PUSH", ""},
        {"the last one counts", ROW("\x08Identity\0\0\0\1a\x08Identity\0\0\0\1b"), WSB_OK, "", "b"},
        {"no name", ROW("\0\0\0\0\0"), WSB_ERR_PROTO, NULL, NULL},
        {"a name that is cut", ROW("\x0bSock"), WSB_ERR_PROTO, NULL, NULL},
        {"no value", ROW("\1x"), WSB_ERR_PROTO, NULL, NULL},
        {"half a length", ROW("\1x\0\0\0"), WSB_ERR_PROTO, NULL, NULL},
        {"a value that is cut", ROW("\1x\0\0\0\2y"), WSB_ERR_PROTO, NULL, NULL},
        {"a value of 4 GiB", ROW("\1x\xff\xff\xff\xffy"), WSB_ERR_PROTO, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_zmtp_metadata said;
        uint8_t *copy = malloc(rows[i].len + 1); /* a sanitizer sees what is read beyond it */
        copy = realloc(copy, rows[i].len ? rows[i].len : 1);
        if (rows[i].len)
            memcpy(copy, rows[i].in, rows[i].len);
        if (wsb_zmtp_metadata_parse(wsb_span(copy, rows[i].len), &said) != rows[i].want)
            fail_msg("%s", rows[i].name);
        if (rows[i].want == WSB_OK) {
            assert_true(wsb_span_eq_str(said.socket_type, rows[i].type));
            assert_true(wsb_span_eq_str(said.identity, rows[i].identity));
        }
        free(copy);
    }
}

static void test_an_identity_has_a_length(void **state)
{
    uint8_t in[1 + 8 + 4 + 256] = "\x08Identity\0\0";
    struct wsb_zmtp_metadata said;
    (void)state;
    in[12] = 255;
    assert_int_equal(wsb_zmtp_metadata_parse(wsb_span(in, sizeof in - 1), &said), WSB_OK);
    assert_int_equal(said.identity.len, 255);
    in[11] = 1;
    in[12] = 0;
    assert_int_equal(wsb_zmtp_metadata_parse(wsb_span(in, sizeof in), &said), WSB_ERR_PROTO);
}

static void test_our_metadata_is_read_again(void **state)
{
    static const char *const types[] = {"ROUTER", "XPUB", "PULL"};
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++) {
        uint8_t out[WSB_ZMTP_METADATA_MAX];
        struct wsb_zmtp_metadata said;
        size_t len = wsb_zmtp_metadata_write(out, types[i]);
        assert_true(len <= sizeof out);
        assert_int_equal(wsb_zmtp_metadata_parse(wsb_span(out, len), &said), WSB_OK);
        assert_true(wsb_span_eq_str(said.socket_type, types[i]));
    }
}

static void test_ping_and_pong(void **state)
{
    struct wsb_zmtp_ping p;
    uint8_t out[WSB_ZMTP_PONG_MAX];
    (void)state;
    assert_int_equal(wsb_zmtp_ping_parse(BYTES("\1\2"), &p), WSB_OK);
    assert_int_equal(p.ttl_ms, 25800);
    assert_int_equal(p.context.len, 0);
    assert_int_equal(wsb_zmtp_ping_parse(BYTES("\0\0"
                                               "0123456789abcdef"),
                                         &p),
                     WSB_OK);
    assert_int_equal(wsb_zmtp_pong_write(out, p.context), sizeof out);
    assert_memory_equal(out,
                        "\4PONG"
                        "0123456789abcdef",
                        sizeof out);
    assert_int_equal(wsb_zmtp_ping_parse(BYTES("\0\0"
                                               "0123456789abcdefg"),
                                         &p),
                     WSB_ERR_PROTO);
    assert_int_equal(wsb_zmtp_ping_parse(BYTES("\0"), &p), WSB_ERR_PROTO);
    assert_int_equal(wsb_zmtp_ping_parse(BYTES(""), &p), WSB_ERR_PROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_data),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_an_identity_has_a_length),
        cmocka_unit_test(test_our_metadata_is_read_again),
        cmocka_unit_test(test_ping_and_pong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
