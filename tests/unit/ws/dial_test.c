/* The client's handshake: requests as they must be, answers whole, byte by byte, and wrong in every way. */
#include "support/test.h"

#include "ws/dial.h"

#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define OK101  "HTTP/1.1 101 Switching Protocols\r\n"
#define UP     "Upgrade: websocket\r\nConnection: Upgrade\r\n"

static const char *const offered[] = {"v2", "v1"};
static const struct wsb_deflate_offer offer = {0};

static struct wsb_url *url_of(const char *text)
{
    struct wsb_url *u = malloc(sizeof *u);
    assert_non_null(u);
    assert_int_equal(wsb_url_parse(text, u, NULL), WSB_OK);
    return u;
}

static void test_the_request(void **state)
{
    static const char *const headers[] = {"X-A: b", "Cookie:c=d ; e"};
    struct wsb_url *u = url_of("ws://h:81/p?q");
    struct wsb_dial_request r = {.url = u,
                                 .headers = headers,
                                 .header_count = 2,
                                 .subprotocols = offered,
                                 .subprotocol_count = 2,
                                 .origin = "https://o",
                                 .offer = &offer};
    struct wsb_buf out;
    (void)state;
    wsb_buf_init(&out, 0);
    assert_int_equal(wsb_dial_write(&out, &r, KEY, NULL), WSB_OK);
    assert_int_equal(wsb_buf_append(&out, "", 1), WSB_OK);
    assert_string_equal((char *)out.data,
                        "GET /p?q HTTP/1.1\r\nHost: h:81\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\nOrigin: https://o\r\n"
                        "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                        "Sec-WebSocket-Protocol: v2, v1\r\nX-A: b\r\nCookie: c=d ; e\r\n\r\n");
    wsb_buf_deinit(&out);
    free(u);
}

static void test_what_cannot_be_asked(void **state)
{
    static const char *const bad_headers[] = {"",
                                              ":x",
                                              "A B: c",
                                              "A: b\r\nC: d",
                                              "A: b\n",
                                              "A",
                                              "Host: x",
                                              "upgrade: x",
                                              "Connection: close",
                                              "Sec-WebSocket-Key: x",
                                              "SEC-WEBSOCKET-FOO: x",
                                              "Content-Length: 1",
                                              "Transfer-Encoding: chunked",
                                              "A : b",
                                              "A: \x7f"};
    static const char *const bad_protocols[][2] = {{"a b", "x"}, {"", "x"}, {"x", "x"}, {"a,b", "x"}, {"a\r\n", "x"}};
    struct wsb_url *u = url_of("ws://h");
    struct wsb_buf out;
    struct wsb_fault fault;
    (void)state;
    wsb_buf_init(&out, 0);
    for (size_t i = 0; i < COUNT(bad_headers); i++) {
        struct wsb_dial_request r = {.url = u, .headers = &bad_headers[i], .header_count = 1};
        if (wsb_dial_write(&out, &r, KEY, &fault) != WSB_ERR_CONFIG)
            fail_msg("'%s' is taken", bad_headers[i]);
    }
    for (size_t i = 0; i < COUNT(bad_protocols); i++) {
        struct wsb_dial_request r = {.url = u, .subprotocols = bad_protocols[i], .subprotocol_count = 2};
        assert_int_equal(wsb_dial_write(&out, &r, KEY, &fault), WSB_ERR_CONFIG);
    }
    struct wsb_dial_request r = {.url = u, .origin = "x\r\nA: b"};
    assert_int_equal(wsb_dial_write(&out, &r, KEY, &fault), WSB_ERR_CONFIG);
    wsb_buf_deinit(&out);
    free(u);
}

static const struct row {
    const char *name, *in;
    wsb_err want;
    unsigned status;
    const char *subprotocol;
    int packed;
    int body;
} rows[] = {
    {"as in RFC 6455 §1.3", OK101 UP ACCEPT "\r\n", WSB_OK, 101, "", 0, 0},
    {"no reason phrase", "HTTP/1.1 101 \r\n" UP ACCEPT "\r\n", WSB_OK, 101, "", 0, 0},
    {"no blank before no reason", "HTTP/1.1 101\r\n" UP ACCEPT "\r\n", WSB_OK, 101, "", 0, 0},
    {"other cases", OK101 "UPGRADE: WebSocket\r\nconnection: keep-alive, uPgRaDe\r\n" ACCEPT "\r\n", WSB_OK, 101, "", 0,
     0},
    {"a subprotocol", OK101 UP ACCEPT "Sec-WebSocket-Protocol: v1\r\n\r\n", WSB_OK, 101, "v1", 0, 0},
    {"compressed", OK101 UP ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", WSB_OK, 101, "", 1, 0},
    {"interim answers first",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK101 UP ACCEPT "\r\n", WSB_OK, 101, "",
     0, 0},
    {"403", "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n", WSB_ERR_REFUSED, 403, NULL, 0, WSB_DIAL_BODY_LENGTH},
    {"HTTP/1.0", "HTTP/1.0 404 Not Found\r\n\r\n", WSB_ERR_REFUSED, 404, NULL, 0, WSB_DIAL_BODY_TO_END},
    {"200", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", WSB_ERR_REFUSED, 200, NULL, 0,
     WSB_DIAL_BODY_CHUNKED},
    {"204", "HTTP/1.1 204 No\r\n\r\n", WSB_ERR_REFUSED, 204, NULL, 0, WSB_DIAL_BODY_NONE},
    {"302", "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", WSB_ERR_REFUSED, 302, NULL, 0,
     WSB_DIAL_BODY_LENGTH},
    {"101 of HTTP/1.0", "HTTP/1.0 101 Switching Protocols\r\n" UP ACCEPT "\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"no Upgrade", OK101 "Connection: Upgrade\r\n" ACCEPT "\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"Upgrade to something else", OK101 "Upgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT "\r\n", WSB_ERR_PROTO, 0, NULL,
     0, 0},
    {"two Upgrades", OK101 UP "Upgrade: websocket\r\n" ACCEPT "\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"no Connection", OK101 "Upgrade: websocket\r\n" ACCEPT "\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"Connection without upgrade", OK101 "Upgrade: websocket\r\nConnection: close\r\n" ACCEPT "\r\n", WSB_ERR_PROTO, 0,
     NULL, 0, 0},
    {"no accept", OK101 UP "\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"another accept", OK101 UP "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0,
     0},
    {"two accepts", OK101 UP ACCEPT ACCEPT "\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"a subprotocol that was not offered", OK101 UP ACCEPT "Sec-WebSocket-Protocol: v3\r\n\r\n", WSB_ERR_PROTO, 0, NULL,
     0, 0},
    {"two subprotocols", OK101 UP ACCEPT "Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Protocol: v2\r\n\r\n",
     WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"an empty subprotocol", OK101 UP ACCEPT "Sec-WebSocket-Protocol:\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"an extension that was not offered", OK101 UP ACCEPT "Sec-WebSocket-Extensions: x-foo\r\n\r\n", WSB_ERR_PROTO, 0,
     NULL, 0, 0},
    {"an extension twice", OK101 UP ACCEPT "Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate\r\n\r\n",
     WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"a folded line", OK101 UP ACCEPT "X: a\r\n b\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"a name with a blank", OK101 UP ACCEPT "X : a\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"a line without a colon", OK101 UP ACCEPT "hello\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"a bare LF in a value", OK101 UP ACCEPT "X: a\nb\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"not HTTP", "SSH-2.0-OpenSSH\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"HTTP/2.0", "HTTP/2.0 101 x\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"a status of two digits", "HTTP/1.1 99 x\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"a status of four", "HTTP/1.1 1010 x\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"two lengths", "HTTP/1.1 403 x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"a length that is none", "HTTP/1.1 403 x\r\nContent-Length: -1\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
    {"a length and chunks", "HTTP/1.1 403 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", WSB_ERR_PROTO,
     0, NULL, 0, 0},
    {"another coding", "HTTP/1.1 403 x\r\nTransfer-Encoding: gzip\r\n\r\n", WSB_ERR_PROTO, 0, NULL, 0, 0},
};

static void check(const struct row *r, const char *in, size_t len, size_t head)
{
    struct wsb_dial_request req = {.subprotocols = offered, .subprotocol_count = 2, .offer = &offer};
    struct wsb_dial_answer a = {0};
    struct wsb_fault fault = {0};
    size_t used = 0;
    wsb_err err = wsb_dial_read(wsb_span(in, len), &req, KEY, &used, &a, &fault);
    if (err != r->want)
        fail_msg("%s: %s %s", r->name, wsb_err_name(err), fault.text);
    if (err == WSB_ERR_PROTO) {
        assert_true(fault.text[0] != 0);
        return;
    }
    assert_int_equal(used, head);
    assert_int_equal(a.status, r->status);
    assert_int_equal(a.body, r->body);
    if (r->subprotocol && !wsb_span_eq_str(a.subprotocol, r->subprotocol))
        fail_msg("%s: subprotocol '%.*s'", r->name, (int)a.subprotocol.len, (const char *)a.subprotocol.ptr);
    assert_int_equal(a.is_packed, r->packed);
}

static void test_answers(void **state)
{
    (void)state;
    for (const struct row *r = rows; r < rows + COUNT(rows); r++) {
        char behind[1024];
        size_t len = strlen(r->in);
        check(r, r->in, len, len);
        (void)snprintf(behind, sizeof behind, "%s\x81\x02hi\r\n\r\n", r->in);
        check(r, behind, strlen(behind), len); /* frames that came with it are not its own */
        for (size_t cut = 0; cut < len; cut++) {
            struct wsb_dial_request req = {.subprotocols = offered, .subprotocol_count = 2, .offer = &offer};
            struct wsb_dial_answer a;
            size_t used;
            char *exact = malloc(cut ? cut : 1);
            assert_non_null(exact);
            memcpy(exact, r->in, cut);
            wsb_err err = wsb_dial_read(wsb_span(exact, cut), &req, KEY, &used, &a, NULL);
            free(exact);
            if (err != WSB_MORE && err != r->want)
                fail_msg("%s: %s after %zu bytes", r->name, wsb_err_name(err), cut);
        }
    }
}

static void test_without_offers(void **state)
{
    struct wsb_dial_request req = {0};
    struct wsb_dial_answer a;
    size_t used;
    (void)state;
    assert_int_equal(wsb_dial_read(wsb_span_str(OK101 UP ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
                                   &req, KEY, &used, &a, NULL),
                     WSB_ERR_PROTO);
    assert_int_equal(
        wsb_dial_read(wsb_span_str(OK101 UP ACCEPT "Sec-WebSocket-Protocol: v1\r\n\r\n"), &req, KEY, &used, &a, NULL),
        WSB_ERR_PROTO);
    assert_int_equal(wsb_dial_read(wsb_span_str(OK101 UP ACCEPT "\r\n"), &req, KEY, &used, &a, NULL), WSB_OK);
}

static void test_a_head_that_does_not_end(void **state)
{
    struct wsb_dial_request req = {0};
    struct wsb_dial_answer a;
    size_t used;
    size_t len = WSB_DIAL_HEAD_MAX;
    char *in = malloc(len);
    (void)state;
    assert_non_null(in);
    memset(in, 'a', len);
    memcpy(in, OK101, strlen(OK101));
    assert_int_equal(wsb_dial_read(wsb_span(in, len - 1), &req, KEY, &used, &a, NULL), WSB_MORE);
    assert_int_equal(wsb_dial_read(wsb_span(in, len), &req, KEY, &used, &a, NULL), WSB_ERR_PROTO);
    free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_request),
        cmocka_unit_test(test_what_cannot_be_asked),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_without_offers),
        cmocka_unit_test(test_a_head_that_does_not_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
