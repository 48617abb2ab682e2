/* What the access log says of a client: each request once, each WebSocket once, whatever becomes of them. */
#include "support/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/log.h"
#include "session/parts.h"
#include "unit/session/fixture.h"

static char path[64];
static struct wsg_access_log *access_log;

static int setup_log(void **state)
{
    struct wsb_fault fault = {0};
    (void)snprintf(path, sizeof path, "/tmp/wsbus-access-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    if (wsg_access_log_open(&access_log, path, WSG_ACCESS_COMBINED, 1, &fault) != WSB_OK)
        fail_msg("%s", fault.text);
    assert_int_equal(setup(state), 0);
    struct fixture *f = *state;
    f->env.access = wsg_access_log_lane(access_log, 0);
    return 0;
}

static int teardown_log(void **state)
{
    int result = teardown(state);
    wsg_access_log_close(access_log);
    (void)unlink(path);
    return result;
}

/* What was written, and the log begins anew. */
static const char *lines(struct fixture *f)
{
    static char text[16384];
    wsg_access_log_close(access_log);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n >= 0);
    text[n] = 0;
    close(fd);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(wsg_access_log_open(&access_log, path, WSG_ACCESS_COMBINED, 1, NULL), WSB_OK);
    f->env.access = wsg_access_log_lane(access_log, 0);
    return text;
}

/* One line, with this in it. */
static void expect(struct fixture *f, const char *part, const char *more)
{
    const char *text = lines(f);
    const char *end = strchr(text, '\n');
    if (!end || end[1])
        fail_msg("not one line: '%s'", text);
    HAS(text, part);
    HAS(text, more);
}

static void respond(struct fixture *f, const char *body, uint8_t flags)
{
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .status = 201, .payload = wsb_span_str(body), .flags = flags});
}

static void test_a_request_is_a_line(void **state)
{
    struct fixture *f = *state;
    f->env.has_request_ids = true;
    say_text(f, "GET /ws/1?a=b HTTP/1.1\r\nHost: h\r\nUser-Agent: me \"0\"\r\nReferer: http://h/p?token=x\r\n\r\n");
    assert_string_equal(lines(f), "");
    respond(f, "12345", 0);
    expect(f, "192.0.2.1 - - [", "] \"GET /ws/1?a=b HTTP/1.1\" 201 5 \"http://h/p\" \"me \\x220\\x22\" us=");
    say_text(f, "HEAD /ws/2 HTTP/1.0\r\nHost: h\r\n\r\n"); /* the next one of the same connection */
    respond(f, "12345", 0);
    const char *text = lines(f);
    HAS(text, "\"HEAD /ws/2 HTTP/1.0\" 201 0 \"-\" \"-\" us=");
    HAS(text, " route=ws id=");
    assert_null(strstr(text, "id=-"));
    assert_null(strstr(text, "incomplete"));
}

static void test_parts_of_a_response_add_up(void **state)
{
    struct fixture *f = *state;
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    respond(f, "12345", WSB_FLAG_MORE);
    tell(f, (struct wsg_command){.type = WSB_BODY, .payload = wsb_span_str("678")});
    expect(f, "\" 201 23 \"", ""); /* 5 CRLF 12345 CRLF 3 CRLF 678 CRLF 0 CRLF CRLF */
}

static void test_refusals_are_lines(void **state)
{
    static const struct {
        const char *request, *line;
    } rows[] = {
        {"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "\"GET /nowhere HTTP/1.1\" 404 14 "},
        {"GET /none HTTP/1.1\r\nHost: h\r\n\r\n", "\"GET /none HTTP/1.1\" 503 24 "},
        {"HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n", "\"HEAD /none HTTP/1.1\" 503 0 "},
        {"GET /ws/1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
         "\"GET /ws/1 HTTP/1.1\" 400 "},
        {"rubbish\r\n\r\n", "\"-\" 400 16 \"-\" \"-\" us=0 "},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        say_text(f, rows[i].request);
        expect(f, rows[i].line, "");
        hang_up(f);
        assert_string_equal(lines(f), "");
        connect_client(f);
    }
}

static void test_what_was_given_up_is_incomplete(void **state)
{
    struct fixture *f = *state;
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    hang_up(f);
    expect(f, "\"GET /ws/1 HTTP/1.1\" 000 0 ", " incomplete=1");
    connect_client(f);
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    respond(f, "12345", WSB_FLAG_MORE);
    hang_up(f);
    expect(f, "\"GET /ws/1 HTTP/1.1\" 201 10 ", " incomplete=1");
}

static void test_a_websocket_is_a_line_when_it_has_ended(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    say_frame(f, 0x81, "hello");
    tell(f, (struct wsg_command){.type = WSB_SEND, .code = WSB_TEXT, .payload = wsb_span_str("back!!")});
    assert_string_equal(lines(f), "");
    say_frame(f, 0x88, "\x03\xe9");
    expect(f, "] \"GET /ws/a%20b?q=1 HTTP/1.1\" 101 6 \"-\" \"-\" us=",
           " route=ws id=- close=1001 by=client clean=1 messages_in=1 bytes_in=5 messages_out=1\n");
    hang_up(f);
    assert_string_equal(lines(f), "");
}

static void test_a_websocket_that_vanishes_is_a_line(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    hang_up(f);
    expect(f, " close=1006 by=network clean=0 ", "");
    connect_client(f);
    forget(f);
    open_websocket(f); /* this one is cut off when the gate ends */
    void *s;
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &s), WSB_OK);
    wsg_session_kill(s, "test");
    expect(f, " close=1006 by=network clean=0 ", "");
}

static void test_a_handshake_that_waits_is_a_line(void **state)
{
    static const char ask[] = "GET /ask HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    struct fixture *f = *state;
    say_text(f, ask);
    tell(f, (struct wsg_command){.type = WSB_REJECT, .status = 409});
    expect(f, "\"GET /ask HTTP/1.1\" 409 0 ", "");
    hang_up(f);
    connect_client(f);
    say_text(f, ask);
    hang_up(f);
    expect(f, "\"GET /ask HTTP/1.1\" 000 0 ", " incomplete=1");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_log, teardown_log)
    const struct CMUnitTest tests[] = {
        TEST(test_a_request_is_a_line),
        TEST(test_parts_of_a_response_add_up),
        TEST(test_refusals_are_lines),
        TEST(test_what_was_given_up_is_incomplete),
        TEST(test_a_websocket_is_a_line_when_it_has_ended),
        TEST(test_a_websocket_that_vanishes_is_a_line),
        TEST(test_a_handshake_that_waits_is_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
