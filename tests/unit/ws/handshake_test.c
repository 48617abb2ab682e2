/* The opening handshake: each row is a request head as a client would write it, and the verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ws/handshake.h"

enum { HEADERS_MAX = 100 };

#define HOST       "Host: server.example\n"
#define UPGRADE    "Upgrade: websocket\n"
#define CONNECTION "Connection: Upgrade\n"
#define KEY        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
#define VERSION    "Sec-WebSocket-Version: 13\n"
#define GOOD       HOST UPGRADE CONNECTION KEY VERSION

static const struct row {
    const char *name;
    const char *head; /* "METHOD minor\n" and lines "Name: value\n" */
    int status;
    bool is_upgrade;
    const char *headers; /* of the refusal: a line that must be among them */
} rows[] = {
    {"§1.2 the usual request", "GET 1\n" GOOD, 101, true, ""},
    {"§4.2.1 item 3, names and values in any case",
     "GET 1\nhost: x\nUPGRADE: WebSocket\ncoNNection: uPGRADE\n" KEY VERSION, 101, true, ""},
    {"§4.2.1 item 4, a list, as browsers write it",
     "GET 1\n" HOST UPGRADE "Connection: keep-alive, Upgrade\n" KEY VERSION, 101, true, ""},
    {"a list in two headers", "GET 1\n" HOST UPGRADE "Connection: keep-alive\nConnection: upgrade\n" KEY VERSION, 101,
     true, ""},
    {"a list with empty elements", "GET 1\n" HOST UPGRADE "Connection: ,, \t,Upgrade ,\n" KEY VERSION, 101, true, ""},
    {"Upgrade offers two protocols", "GET 1\n" HOST "Upgrade: h2c, websocket\n" CONNECTION KEY VERSION, 101, true, ""},
    {"blanks around values",
     "GET 1\n" HOST UPGRADE CONNECTION "Sec-WebSocket-Key:  dGhlIHNhbXBsZSBub25jZQ== \t\nSec-WebSocket-Version: 13 \n",
     101, true, ""},
    {"Content-Length 0", "GET 1\n" GOOD "Content-Length: 0\n", 101, true, ""},
    {"Content-Length 00", "GET 1\n" GOOD "Content-Length: 00\n", 101, true, ""},
    {"an Origin", "GET 1\n" GOOD "Origin: https://a.example\n", 101, true, ""},
    {"key with unused bits", "GET 1\n" HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZb==\n",
     101, true, ""},
    {"§9.1 extensions that we do not know", "GET 1\n" GOOD "Sec-WebSocket-Extensions: x-one; a=b, x-two\n", 101, true,
     ""},
    {"§9.1 extensions in two headers",
     "GET 1\n" GOOD "Sec-WebSocket-Extensions: permessage-deflate\nSec-WebSocket-Extensions: x-two\n", 101, true, ""},
    {"§11.3.4 subprotocols in two headers", "GET 1\n" GOOD "Sec-WebSocket-Protocol: a, b\nSec-WebSocket-Protocol: c\n",
     101, true, ""},
    {"subprotocol with a slash", "GET 1\n" GOOD "Sec-WebSocket-Protocol: my.server/json-zmq\n", 101, true, ""},

    {"§9.1 malformed extensions", "GET 1\n" GOOD "Sec-WebSocket-Extensions: permessage-deflate;\n", 400, true, ""},
    {"§9.1 malformed extensions in the second header",
     "GET 1\n" GOOD "Sec-WebSocket-Extensions: x\nSec-WebSocket-Extensions: y; a=\"\n", 400, true, ""},
    {"§9.1 no extension", "GET 1\n" GOOD "Sec-WebSocket-Extensions: ,\n", 400, true, ""},
    {"§4.2.1 item 1, POST", "POST 1\n" GOOD, 405, true, "Allow: GET\r\n"},
    {"§4.2.1 item 1, get", "get 1\n" GOOD, 405, true, "Allow: GET\r\n"},
    {"§4.2.1 item 1, HTTP/1.0", "GET 0\n" GOOD, 400, false, ""},
    {"§4.2.1 item 2, no Host", "GET 1\n" UPGRADE CONNECTION KEY VERSION, 400, true, ""},
    {"§4.2.1 item 2, empty Host", "GET 1\nHost:\n" UPGRADE CONNECTION KEY VERSION, 400, true, ""},
    {"§4.2.1 item 3, no Upgrade", "GET 1\n" HOST CONNECTION KEY VERSION, 426, false, "Upgrade: websocket\r\n"},
    {"§4.2.1 item 3, other Upgrade", "GET 1\n" HOST "Upgrade: websockets, h2c\n" CONNECTION KEY VERSION, 426, false,
     "Upgrade: websocket\r\n"},
    {"§4.2.1 item 4, no Connection", "GET 1\n" HOST UPGRADE KEY VERSION, 400, true, ""},
    {"§4.2.1 item 4, other Connection", "GET 1\n" HOST UPGRADE "Connection: upgraded, keep-alive\n" KEY VERSION, 400,
     true, ""},
    {"§4.2.1 item 5, no key", "GET 1\n" HOST UPGRADE CONNECTION VERSION, 400, true, ""},
    {"§4.2.1 item 5, empty key", "GET 1\n" HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key:\n", 400, true, ""},
    {"§4.2.1 item 5, key of 15 bytes",
     "GET 1\n" HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\n", 400, true, ""},
    {"§4.2.1 item 5, key of 17 bytes",
     "GET 1\n" HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWU=\n", 400, true, ""},
    {"§4.2.1 item 5, key without padding",
     "GET 1\n" HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\n", 400, true, ""},
    {"§4.2.1 item 5, key of another alphabet",
     "GET 1\n" HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSB_b25jZQ==\n", 400, true, ""},
    {"§4.2.1 item 5, padding inside",
     "GET 1\n" HOST UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: dGhlIHNh=XBsZSBub25jZQ==\n", 400, true, ""},
    {"§11.3.1, two keys", "GET 1\n" GOOD KEY, 400, true, ""},
    {"§4.2.1 item 6, no version", "GET 1\n" HOST UPGRADE CONNECTION KEY, 400, true, "Sec-WebSocket-Version: 13\r\n"},
    {"§11.3.5, two versions", "GET 1\n" GOOD VERSION, 400, true, "Sec-WebSocket-Version: 13\r\n"},
    {"§4.4, version 8", "GET 1\n" HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 8\n", 426, true,
     "Sec-WebSocket-Version: 13\r\n"},
    {"§4.4, version 25", "GET 1\n" HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 25\n", 426, true,
     "Sec-WebSocket-Version: 13\r\n"},
    {"§4.4, version 013", "GET 1\n" HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 013\n", 426, true,
     "Sec-WebSocket-Version: 13\r\n"},
    {"§4.4, a list of versions", "GET 1\n" HOST UPGRADE CONNECTION KEY "Sec-WebSocket-Version: 13, 8\n", 426, true,
     "Sec-WebSocket-Version: 13\r\n"},
    {"§4.1 item 10, subprotocol twice", "GET 1\n" GOOD "Sec-WebSocket-Protocol: a, b, a\n", 400, true, ""},
    {"§4.1 item 10, twice over two headers", "GET 1\n" GOOD "Sec-WebSocket-Protocol: a\nSec-WebSocket-Protocol: a\n",
     400, true, ""},
    {"§4.1 item 10, not a token", "GET 1\n" GOOD "Sec-WebSocket-Protocol: a b\n", 400, true, ""},
    {"§4.1 item 10, a separator", "GET 1\n" GOOD "Sec-WebSocket-Protocol: a;b\n", 400, true, ""},
    {"§4.1 item 10, not ASCII", "GET 1\n" GOOD "Sec-WebSocket-Protocol: \xc3\xa4\n", 400, true, ""},
    {"§11.3.4, empty", "GET 1\n" GOOD "Sec-WebSocket-Protocol:\n", 400, true, ""},
    {"§11.3.4, only commas", "GET 1\n" GOOD "Sec-WebSocket-Protocol: , ,\n", 400, true, ""},
    {"RFC 6454 §7.3, two origins", "GET 1\n" GOOD "Origin: https://a.example\nOrigin: https://b.example\n", 400, true,
     ""},
    {"a body by length", "GET 1\n" GOOD "Content-Length: 5\n", 400, true, ""},
    {"a body by two lengths", "GET 1\n" GOOD "Content-Length: 0\nContent-Length: 5\n", 400, true, ""},
    {"a body in chunks", "GET 1\n" GOOD "Transfer-Encoding: chunked\n", 400, true, ""},
};

static struct wsb_handshake_header headers[HEADERS_MAX]; /* of the request parsed last */

static struct wsb_handshake_request parse(const char *head)
{
    struct wsb_handshake_request req = {.headers = headers};
    const char *end = strchr(head, '\n');
    req.method = wsb_span(head, strcspn(head, " "));
    req.http_minor = (unsigned)(end[-1] - '0');
    for (const char *line = end + 1; *line; line = end + 1) {
        assert_true(req.header_count < HEADERS_MAX);
        end = strchr(line, '\n');
        const char *colon = strchr(line, ':');
        struct wsb_handshake_header *h = &headers[req.header_count++];
        h->name = wsb_span(line, (size_t)(colon - line));
        h->value = wsb_span(colon + 1, (size_t)(end - colon - 1));
        if (wsb_span_ieq_str(h->name, "Host"))
            req.host = h->value;
    }
    return req;
}

static void test_handshake_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        struct wsb_handshake_request req = parse(r->head);
        struct wsb_handshake verdict;
        wsb_handshake_check(&req, &verdict);
        if (verdict.status != r->status)
            fail_msg("%s: %d %s", r->name, verdict.status, verdict.reason);
        if (wsb_handshake_is_upgrade(&req) != r->is_upgrade)
            fail_msg("%s: is_upgrade", r->name);
        if (!strstr(verdict.headers, r->headers) || (verdict.status == 101 && verdict.headers[0]))
            fail_msg("%s: headers %s", r->name, verdict.headers);
        assert_int_equal(strlen(verdict.accept), verdict.status == 101 ? 28 : 0);
        assert_true(strlen(verdict.reason) > 0);
    }
}

/* RFC 6455 §1.3 */
static void test_handshake_accept_key_of_the_rfc(void **state)
{
    (void)state;
    struct wsb_handshake_request req = parse("GET 1\n" GOOD);
    struct wsb_handshake verdict;
    wsb_handshake_check(&req, &verdict);
    assert_string_equal(verdict.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    char accept[WSB_ACCEPT_KEY_SIZE] = "";
    assert_int_equal(wsb_handshake_accept_key(wsb_span_str("too short"), accept), WSB_ERR_PROTO);
    assert_string_equal(accept, "");
}

static void test_handshake_reports_the_origin(void **state)
{
    (void)state;
    struct wsb_handshake verdict;
    struct wsb_handshake_request req = parse("GET 1\n" GOOD "origin:  https://a.example \n");
    wsb_handshake_check(&req, &verdict);
    assert_true(wsb_span_eq_str(verdict.origin, "https://a.example"));
    req = parse("GET 1\n" GOOD);
    wsb_handshake_check(&req, &verdict);
    assert_null(verdict.origin.ptr);
}

static void test_handshake_lists_subprotocols_in_the_clients_order(void **state)
{
    (void)state;
    static const char *const want[] = {"superchat", "chat", "x"};
    struct wsb_handshake_request req =
        parse("GET 1\n" GOOD "Sec-WebSocket-Protocol: superchat,,chat\nX: y\nsec-websocket-protocol: x\n");
    struct wsb_subprotocol_iter it = {.req = &req};
    struct wsb_span name;
    for (size_t i = 0; i < 3; i++) {
        assert_true(wsb_handshake_next_subprotocol(&it, &name));
        assert_true(wsb_span_eq_str(name, want[i]));
    }
    assert_false(wsb_handshake_next_subprotocol(&it, &name));
    assert_false(wsb_handshake_next_subprotocol(&it, &name));
}

static void test_handshake_chooses_by_the_clients_preference(void **state)
{
    (void)state;
    const struct wsb_span allowed[] = {wsb_span_str("chat"), wsb_span_str("superchat")};
    struct wsb_span name = {0};
    struct wsb_handshake_request req = parse("GET 1\n" GOOD "Sec-WebSocket-Protocol: other, superchat, chat\n");
    assert_true(wsb_handshake_choose_subprotocol(&req, allowed, 2, &name));
    assert_true(wsb_span_eq_str(name, "superchat"));
    assert_false(wsb_handshake_choose_subprotocol(&req, NULL, 0, &name));
    req = parse("GET 1\n" GOOD "Sec-WebSocket-Protocol: CHAT\n"); /* names are compared byte by byte */
    assert_false(wsb_handshake_choose_subprotocol(&req, allowed, 2, &name));
    req = parse("GET 1\n" GOOD);
    assert_false(wsb_handshake_choose_subprotocol(&req, allowed, 2, &name));
}

static void test_handshake_bounds_the_offer(void **state)
{
    (void)state;
    for (size_t count = WSB_MAX_SUBPROTOCOLS; count <= WSB_MAX_SUBPROTOCOLS + 1; count++) {
        char head[2048] = "GET 1\n" GOOD "Sec-WebSocket-Protocol: ";
        size_t len = strlen(head);
        for (size_t i = 0; i < count; i++)
            len += (size_t)snprintf(head + len, sizeof head - len, "p%zu,", i);
        (void)snprintf(head + len, sizeof head - len, "\n");
        struct wsb_handshake_request req = parse(head);
        struct wsb_handshake verdict;
        wsb_handshake_check(&req, &verdict);
        assert_int_equal(verdict.status, count <= WSB_MAX_SUBPROTOCOLS ? 101 : 400);
    }
}

static void test_a_subprotocols_name_is_a_token_of_any_length(void **state)
{
    (void)state;
    char name[5000];
    memset(name, 'a', sizeof name);
    assert_true(wsb_subprotocol_is_valid(wsb_span(name, sizeof name)));
    assert_true(wsb_subprotocol_is_valid(wsb_span_str("my.server/json")));
    assert_false(wsb_subprotocol_is_valid(wsb_span("", 0)));
    assert_false(wsb_subprotocol_is_valid(wsb_span("a\0b", 3)));
}

/* What stands behind the mark is nobody's to choose, nor is the mark. */
static void test_a_secret_and_its_mark_are_not_offered(void **state)
{
    static const struct {
        const char *offer, *want; /* the names that are left */
    } lists[] = {
        {"a, b", "a b "},
        {"mark, s", ""},
        {"a, mark, s, b", "a b "},
        {"mark, s, a", "a "},
        {"mark\nSec-WebSocket-Protocol: s\nSec-WebSocket-Protocol: a", "a "},
        {", mark ,, s, , a", "a "},
        {"a, mark", "a "},
        {"marks, mar, Mark", "marks mar Mark "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char head[256], got[64] = "";
        (void)snprintf(head, sizeof head, "GET 1\n" GOOD "Sec-WebSocket-Protocol: %s\n", lists[i].offer);
        struct wsb_handshake_request req = parse(head);
        struct wsb_span allowed[] = {wsb_span_str("s"), wsb_span_str("mark")}, chosen, name;
        req.token_mark = "mark";
        struct wsb_subprotocol_iter it = {.req = &req};
        while (wsb_handshake_next_subprotocol(&it, &name))
            (void)snprintf(got + strlen(got), sizeof got - strlen(got), "%.*s ", (int)name.len, (const char *)name.ptr);
        assert_string_equal(got, lists[i].want);
        assert_false(wsb_handshake_choose_subprotocol(&req, allowed, 2, &chosen));
    }
}

#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static void test_handshake_response(void **state)
{
    (void)state;
    struct wsb_buf out;
    wsb_buf_init(&out, 4096);
    struct wsb_span extra = wsb_span_str("Set-Cookie: a=b\r\nX-Id:\t\xc3\xa4\r\n");
    assert_int_equal(wsb_handshake_response_write(&out, ACCEPT, wsb_span_str("chat"), NULL, extra), WSB_OK);
    assert_true(wsb_span_eq_str(wsb_buf_span(&out), "HTTP/1.1 101 Switching Protocols\r\n"
                                                    "Upgrade: websocket\r\n"
                                                    "Connection: Upgrade\r\n"
                                                    "Sec-WebSocket-Accept: " ACCEPT "\r\n"
                                                    "Sec-WebSocket-Protocol: chat\r\n"
                                                    "Set-Cookie: a=b\r\nX-Id:\t\xc3\xa4\r\n"
                                                    "\r\n"));
    wsb_buf_clear(&out);
    assert_int_equal(wsb_handshake_response_write(&out, ACCEPT, wsb_span(NULL, 0), NULL, wsb_span(NULL, 0)), WSB_OK);
    assert_true(wsb_span_eq_str(wsb_buf_span(&out), "HTTP/1.1 101 Switching Protocols\r\n"
                                                    "Upgrade: websocket\r\n"
                                                    "Connection: Upgrade\r\n"
                                                    "Sec-WebSocket-Accept: " ACCEPT "\r\n"
                                                    "\r\n"));
    wsb_buf_deinit(&out);
}

static void test_handshake_response_refuses_injection(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *subprotocol;
        const char *extra;
        size_t extra_len;
    } bad[] = {
#define EXTRA(text) "", text, sizeof(text) - 1
        {"subprotocol with a line end", "a\r\nX: y", "", 0},
        {"subprotocol with a comma", "a,b", "", 0},
        {"no line end", EXTRA("X: y")},
        {"only LF", EXTRA("X: y\n")},
        {"only CR", EXTRA("X: y\r")},
        {"LF inside", EXTRA("X: y\nZ: z\r\n")},
        {"CR inside", EXTRA("X: y\rZ: z\r\n")},
        {"NUL", EXTRA("X: y\0\r\n")},
        {"DEL", EXTRA("X: \x7f\r\n")},
        {"empty line", EXTRA("X: y\r\n\r\n")},
        {"no colon", EXTRA("X\r\n")},
        {"no name", EXTRA(": y\r\n")},
        {"blank in front of the colon", EXTRA("X : y\r\n")},
        {"folded line", EXTRA("X: y\r\n z\r\n")},
        {"Connection", EXTRA("connection: close\r\n")},
        {"Upgrade", EXTRA("X: y\r\nUPGRADE: h2c\r\n")},
        {"a second accept key", EXTRA("Sec-WebSocket-Accept: x\r\n")},
        {"a subprotocol by the back door", EXTRA("sec-websocket-protocol: x\r\n")},
        {"Content-Length", EXTRA("Content-Length: 1\r\n")},
        {"Transfer-Encoding", EXTRA("Transfer-Encoding: chunked\r\n")},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wsb_buf out;
        wsb_buf_init(&out, 4096);
        assert_int_equal(wsb_buf_append_str(&out, "before"), WSB_OK);
        wsb_err err = wsb_handshake_response_write(&out, ACCEPT, wsb_span_str(bad[i].subprotocol), NULL,
                                                   wsb_span(bad[i].extra, bad[i].extra_len));
        if (err != WSB_ERR_REFUSED)
            fail_msg("%s: %s", bad[i].name, wsb_err_name(err));
        assert_true(wsb_span_eq_str(wsb_buf_span(&out), "before"));
        wsb_buf_deinit(&out);
    }
}

static void test_handshake_response_is_whole_or_not_at_all(void **state)
{
    (void)state;
    struct wsb_span extra = wsb_span_str("X: y\r\n");
    for (size_t max = 1; max < 160; max += 7) {
        struct wsb_buf out;
        wsb_buf_init(&out, max);
        assert_int_equal(wsb_handshake_response_write(&out, ACCEPT, wsb_span_str("chat"), NULL, extra), WSB_ERR_LIMIT);
        assert_int_equal(out.len, 0);
        wsb_buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handshake_rules),
        cmocka_unit_test(test_handshake_accept_key_of_the_rfc),
        cmocka_unit_test(test_handshake_reports_the_origin),
        cmocka_unit_test(test_handshake_lists_subprotocols_in_the_clients_order),
        cmocka_unit_test(test_handshake_chooses_by_the_clients_preference),
        cmocka_unit_test(test_handshake_bounds_the_offer),
        cmocka_unit_test(test_a_subprotocols_name_is_a_token_of_any_length),
        cmocka_unit_test(test_a_secret_and_its_mark_are_not_offered),
        cmocka_unit_test(test_handshake_response),
        cmocka_unit_test(test_handshake_response_refuses_injection),
        cmocka_unit_test(test_handshake_response_is_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
