/* The WebSocket client against servers that say what a test tells them to, over a Unix socket. */
#include "support/test.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ws/frame.h"
#include "ws/handshake.h"
#include "ws/mask.h"
#include "wsbus/websocket.h"

/* ------------------------------------------------------------------ the server */

struct server {
    char path[64];
    int listen_fd, fd;
    pthread_t thread;
    const char *answer;     /* NULL: a good 101 */
    struct wsb_span behind; /* bytes that come with the 101 */
    void (*talk)(int fd);   /* NULL: nothing */
    bool hangs_up;          /* when all is said */
    char request[4096];
};

static void say(int fd, const void *data, size_t len)
{
    const uint8_t *at = data;
    while (len) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}

static bool hear(int fd, void *to, size_t len)
{
    uint8_t *at = to;
    while (len) {
        ssize_t n = recv(fd, at, len, 0);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

struct heard {
    struct wsb_frame_hdr h;
    uint8_t data[70000];
};

/* A whole frame of the client, unmasked. False: the end. */
static bool hear_frame(int fd, struct heard *ret)
{
    uint8_t raw[WSB_FRAME_HDR_MAX];
    size_t have = 2, used = 0;
    if (!hear(fd, raw, 2))
        return false;
    wsb_err err;
    while ((err = wsb_frame_hdr_parse(raw, have, WSB_ROLE_SERVER, WSB_RSV1, &ret->h, &used)) == WSB_MORE) {
        if (!hear(fd, raw + have, 1))
            return false;
        have++;
    }
    if (err || ret->h.payload_len > sizeof ret->data || !hear(fd, ret->data, ret->h.payload_len))
        return false;
    uint8_t *copy = malloc(ret->h.payload_len + 1);
    memcpy(copy, ret->data, ret->h.payload_len);
    wsb_mask_copy(ret->data, copy, ret->h.payload_len, ret->h.mask, 0);
    free(copy);
    return true;
}

static void *serve(void *arg)
{
    struct server *s = arg;
    char key[32] = "", accept_key[WSB_ACCEPT_KEY_SIZE], head[512];
    size_t len = 0;
    s->fd = accept(s->listen_fd, NULL, NULL);
    while (len < sizeof s->request - 1 && !strstr(s->request, "\r\n\r\n")) {
        ssize_t n = recv(s->fd, s->request + len, 1, 0);
        if (n <= 0)
            return NULL;
        len += (size_t)n;
    }
    const char *at = strstr(s->request, "Sec-WebSocket-Key: ");
    if (at)
        memcpy(key, at + strlen("Sec-WebSocket-Key: "), 24);
    if (wsb_handshake_accept_key(wsb_span_str(key), accept_key))
        return NULL;
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: %s\r\n\r\n",
                   accept_key);
    const char *answer = s->answer ? s->answer : head;
    size_t answer_len = strlen(answer);
    uint8_t *all = malloc(answer_len + s->behind.len + 1);
    if (!all)
        return NULL;
    memcpy(all, answer, answer_len);
    if (s->behind.len)
        memcpy(all + answer_len, s->behind.ptr, s->behind.len);
    say(s->fd, all, answer_len + s->behind.len); /* in one piece */
    free(all);
    if (s->talk)
        s->talk(s->fd);
    if (s->hangs_up)
        (void)shutdown(s->fd, SHUT_WR);
    return NULL;
}

static void server_start(struct server *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(s->path, sizeof s->path, "/tmp/wsbus-ws-test-%d-%p", (int)getpid(), (void *)s);
    (void)unlink(s->path);
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", s->path);
    s->fd = -1;
    s->listen_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->listen_fd, 1), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    (void)pthread_join(s->thread, NULL);
    if (s->fd >= 0)
        (void)close(s->fd);
    (void)close(s->listen_fd);
    (void)unlink(s->path);
}

static bool open_at(struct server *s, const struct wsb_open_options *o, wsb_websocket *ret,
                    struct wsb_open_result *result)
{
    struct wsb_open_options options = o ? *o : (struct wsb_open_options){0};
    options.unix_socket = s->path;
    server_start(s);
    return wsb_open("ws://test/path?q=1", &options, ret, result);
}

static wsb_websocket open_ok(struct server *s)
{
    struct wsb_open_result r = {0};
    wsb_websocket w;
    if (!open_at(s, NULL, &w, &r))
        fail_msg("%s", r.why);
    assert_int_equal(r.status, 101);
    wsb_open_result_free(&r);
    return w;
}

static void say_frame(int fd, uint8_t first, const void *data, size_t len)
{
    uint8_t h[4] = {first, (uint8_t)(len < 126 ? len : 126), (uint8_t)(len >> 8), (uint8_t)len};
    say(fd, h, len < 126 ? 2 : 4);
    say(fd, data, len);
}

static void say_text(int fd, const char *text)
{
    say_frame(fd, 0x81, text, strlen(text));
}

/* Until the client has closed: what it sends comes back. */
static void talk_echo(int fd)
{
    struct heard *f = malloc(sizeof *f);
    while (f && hear_frame(fd, f)) {
        uint8_t opcode = f->h.opcode == WSB_OP_PING ? WSB_OP_PONG : f->h.opcode;
        say_frame(fd, (uint8_t)(0x80 | opcode), f->data, (size_t)f->h.payload_len);
        if (opcode == WSB_OP_CLOSE)
            break;
    }
    free(f);
}

/* ----------------------------------------------------------------------- tests */

static void assert_message(wsb_websocket w, enum wsb_opcode opcode, const void *data, size_t len)
{
    struct wsb_message m;
    if (!wsb_websocket_read(w, &m, 10000))
        fail_msg("%s", wsb_websocket_why(w));
    assert_int_equal(m.opcode, opcode);
    assert_int_equal(m.len, len);
    assert_memory_equal(m.data, data, len);
}

static void test_messages_come_back(void **state)
{
    struct server s = {.talk = talk_echo};
    wsb_websocket w = open_ok(&s);
    uint8_t bytes[65535], before[65535];
    struct wsb_websocket_close_info info;
    (void)state;
    assert_non_null(strstr(s.request, "GET /path?q=1 HTTP/1.1\r\nHost: test\r\n"));
    assert_non_null(strstr(s.request, "permessage-deflate; client_max_window_bits"));
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    memcpy(before, bytes, sizeof bytes);
    assert_true(wsb_websocket_write(w, WSB_TEXT, "h\xc3\xa9llo", 6, 1000));
    assert_message(w, WSB_TEXT, "h\xc3\xa9llo", 6);
    for (size_t len = 0; len <= sizeof bytes; len = len ? len * 4 - 1 : 2) {
        assert_true(wsb_websocket_write(w, WSB_BINARY, bytes, len, 1000));
        assert_message(w, WSB_BINARY, bytes, len);
    }
    assert_memory_equal(bytes, before, sizeof bytes); /* masked somewhere else */
    assert_false(wsb_websocket_closed(w, &info));
    assert_true(wsb_websocket_close(w, 4001, "bye", 5000));
    assert_false(wsb_websocket_read(w, &(struct wsb_message){0}, 0));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_MISUSE);
    server_stop(&s);
}

static void test_what_comes_with_the_101_is_kept(void **state)
{
    struct server s = {.behind = wsb_span("\x81\x05"
                                          "first\x82\x01\xff\x81",
                                          11),
                       .talk = talk_echo};
    wsb_websocket w = open_ok(&s);
    (void)state;
    assert_message(w, WSB_TEXT, "first", 5);
    assert_message(w, WSB_BINARY, "\xff", 1);
    assert_false(wsb_websocket_read(w, &(struct wsb_message){0}, 0)); /* the first byte of a frame */
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_TIMEOUT);
    (void)wsb_websocket_close(w, 1000, NULL, 0);
    server_stop(&s);
}

static void test_refusals_tell_what_the_server_said(void **state)
{
    static const struct {
        const char *answer;
        unsigned status;
        const char *body; /* NULL: none */
        enum wsb_reason reason;
    } rows[] = {
        {"HTTP/1.1 403 Forbidden\r\nX: y\r\nContent-Length: 4\r\n\r\nno!\nrest", 403, "no!\n", WSB_REASON_REFUSED},
        {"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", 401, "", WSB_REASON_REFUSED},
        {"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;e=f\r\nde\r\n0\r\n\r\n", 500, "abcde",
         WSB_REASON_REFUSED},
        {"HTTP/1.0 404 x\r\n\r\nto the end", 404, "to the end", WSB_REASON_REFUSED},
        {"HTTP/1.1 403 x\r\nContent-Length: 100\r\n\r\ncut", 403, "cut", WSB_REASON_REFUSED},
        {"HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 403, "ab", WSB_REASON_REFUSED},
        {"HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab", 403, "", WSB_REASON_REFUSED},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", 0, NULL,
         WSB_REASON_PROTOCOL},
        {"SSH-2.0-OpenSSH_9\r\n\r\n", 0, NULL, WSB_REASON_PROTOCOL},
        {"", 0, NULL, WSB_REASON_IO},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct server s = {.answer = rows[i].answer, .hangs_up = true};
        struct wsb_open_result r = {0};
        wsb_websocket w = {1};
        assert_false(open_at(&s, NULL, &w, &r));
        assert_int_equal(w.v, 0);
        if (r.reason != rows[i].reason || r.status != rows[i].status)
            fail_msg("row %zu: %s, %u: %s", i, wsb_reason_name(r.reason), r.status, r.why);
        assert_int_equal(wsb_websocket_reason(w), rows[i].reason);
        assert_string_equal(wsb_websocket_why(w), r.why);
        assert_int_equal(r.body != NULL, rows[i].body != NULL);
        if (rows[i].body) {
            assert_string_equal(r.body, rows[i].body);
            assert_int_equal(r.body_len, strlen(rows[i].body));
        }
        if (i == 0)
            assert_string_equal(r.fields, "X: y\r\nContent-Length: 4\r\n");
        wsb_open_result_free(&r);
        server_stop(&s);
    }
}

static void test_a_large_refusal_is_cut(void **state)
{
    size_t len = 200000;
    char *answer = malloc(len + 1);
    struct server s = {.hangs_up = true};
    struct wsb_open_result r = {0};
    wsb_websocket w;
    (void)state;
    assert_non_null(answer);
    memset(answer, 'x', len);
    answer[len] = 0;
    memcpy(answer, "HTTP/1.1 403 x\r\n\r\n", 18);
    s.answer = answer;
    assert_false(open_at(&s, NULL, &w, &r));
    assert_int_equal(r.body_len, 65536);
    wsb_open_result_free(&r);
    server_stop(&s);
    free(answer);
}

static void talk_never(int fd)
{
    char c;
    (void)!recv(fd, &c, 1, 0); /* until the client goes */
}

static void test_a_server_that_does_not_answer(void **state)
{
    struct server s = {.answer = "HTTP/1.1 101 Switch", .talk = talk_never};
    struct wsb_open_options o = {.timeout_ms = 50};
    struct wsb_open_result r = {0};
    wsb_websocket w;
    (void)state;
    assert_false(open_at(&s, &o, &w, &r));
    assert_int_equal(r.reason, WSB_REASON_TIMEOUT);
    assert_non_null(strstr(r.why, "took too long"));
    wsb_open_result_free(&r);
    server_stop(&s);
}

static void test_what_cannot_be_reached_or_asked(void **state)
{
    static const char *const bad_header[] = {"Host: x"};
    static const char *const bad_protocol[] = {"a b"};
    static const struct {
        const char *url;
        struct wsb_open_options o;
        enum wsb_reason reason;
    } rows[] = {
        {"http://h", {0}, WSB_REASON_ADDRESS},
        {"ws://", {0}, WSB_REASON_ADDRESS},
        {NULL, {0}, WSB_REASON_MISUSE},
        {"ws://h", {.header_count = 1}, WSB_REASON_MISUSE},
        {"ws://h", {.headers = bad_header, .header_count = 1}, WSB_REASON_ADDRESS},
        {"ws://h", {.subprotocols = bad_protocol, .subprotocol_count = 1}, WSB_REASON_ADDRESS},
        {"ws://h", {.unix_socket = "/nonexistent/socket"}, WSB_REASON_IO},
        {"wss://h", {.ca_file = "/nonexistent/ca.pem"}, WSB_REASON_ADDRESS},
        {"ws://127.0.0.1:1", {.timeout_ms = 5000}, WSB_REASON_IO}, /* nobody listens there */
        {"ws://does-not-exist.invalid", {.timeout_ms = 5000}, WSB_REASON_ADDRESS},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_open_result r = {0};
        wsb_websocket w = {7};
        assert_false(wsb_open(rows[i].url, &rows[i].o, &w, &r));
        bool is_late =
            r.reason == WSB_REASON_TIMEOUT && rows[i].o.timeout_ms; /* a machine without names may take its time */
        if (r.reason != rows[i].reason && !is_late)
            fail_msg("%s: %s: %s", rows[i].url, wsb_reason_name(r.reason), r.why);
        assert_int_equal(w.v, 0);
        assert_true(r.why[0] != 0);
        wsb_open_result_free(&r);
    }
    assert_false(wsb_open("ws://h", NULL, NULL, NULL));
    wsb_open_result_free(NULL);
}

/* ------------------------------------------------------------------- the end */

static void talk_close(int fd)
{
    struct heard *f = malloc(sizeof *f);
    say_text(fd, "last");
    say_frame(fd, 0x88,
              "\x0f\xa1"
              "enough",
              8);
    assert_true(hear_frame(fd, f));
    assert_int_equal(f->h.opcode, WSB_OP_CLOSE);
    assert_memory_equal(f->data, "\x0f\xa1", 2); /* the same code back */
    free(f);
}

static void test_the_server_says_goodbye(void **state)
{
    struct server s = {.talk = talk_close};
    wsb_websocket w = open_ok(&s);
    struct wsb_message m;
    struct wsb_websocket_close_info info;
    (void)state;
    assert_message(w, WSB_TEXT, "last", 4);
    assert_false(wsb_websocket_read(w, &m, 10000));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_CLOSED);
    assert_null(m.data);
    assert_true(wsb_websocket_closed(w, &info));
    assert_int_equal(info.code, 4001);
    assert_string_equal(info.reason, "enough");
    assert_true(info.clean);
    assert_false(info.by_us);
    assert_false(wsb_websocket_write(w, WSB_TEXT, "x", 1, 0));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_CLOSED);
    assert_true(wsb_websocket_close(w, 1000, NULL, 1000)); /* it is complete already */
    server_stop(&s);
}

static void talk_nothing(int fd)
{
    (void)fd;
}

static void test_the_server_just_goes(void **state)
{
    struct server s = {.talk = talk_nothing, .hangs_up = true};
    wsb_websocket w = open_ok(&s);
    struct wsb_message m;
    struct wsb_websocket_close_info info;
    (void)state;
    assert_false(wsb_websocket_read(w, &m, 10000));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_IO);
    assert_true(wsb_websocket_closed(w, &info));
    assert_int_equal(info.code, 1006);
    assert_false(info.clean);
    assert_false(wsb_websocket_close(w, 1000, NULL, 1000));
    server_stop(&s);
}

static void test_a_goodbye_that_is_not_answered(void **state)
{
    struct server s = {.talk = talk_never};
    wsb_websocket w = open_ok(&s);
    (void)state;
    assert_false(wsb_websocket_close(w, 1000, "tired", 30));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_TIMEOUT);
    assert_false(wsb_websocket_write(w, WSB_TEXT, "x", 1, 0));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_MISUSE);
    server_stop(&s);
}

/* --------------------------------------------------------------- broken rules */

static struct {
    const char *bytes;
    size_t len;
    unsigned code; /* that the client says goodbye with */
} broken;

static void talk_broken(int fd)
{
    struct heard *f = malloc(sizeof *f);
    say(fd, broken.bytes, broken.len);
    while (hear_frame(fd, f) && f->h.opcode != WSB_OP_CLOSE)
        ;
    broken.code = f->h.opcode == WSB_OP_CLOSE && f->h.payload_len >= 2 ? (unsigned)(f->data[0] << 8 | f->data[1]) : 0;
    free(f);
}

static void test_rules_are_kept(void **state)
{
#define BAD(bytes, ...)                                                                                                \
    {                                                                                                                  \
        bytes, sizeof(bytes) - 1, __VA_ARGS__                                                                          \
    }
    static const struct {
        const char *bytes;
        size_t len;
        enum wsb_reason reason;
        unsigned code;
    } rows[] = {
        BAD("\x81\x80\1\2\3\4", WSB_REASON_PROTOCOL, 1002),           /* RFC 6455 §5.1: a server does not mask */
        BAD("\xc1\x01x", WSB_REASON_PROTOCOL, 1002),                  /* §5.2: RSV1, and nothing was agreed */
        BAD("\x83\x00", WSB_REASON_PROTOCOL, 1002),                   /* §5.2: an opcode that is not */
        BAD("\x80\x00", WSB_REASON_PROTOCOL, 1002),                   /* §5.4: a continuation of nothing */
        BAD("\x01\x00\x81\x00", WSB_REASON_PROTOCOL, 1002),           /* §5.4: a message within another */
        BAD("\x09\x00", WSB_REASON_PROTOCOL, 1002),                   /* §5.5: half a ping */
        BAD("\x89\x7e\x00\x7e", WSB_REASON_PROTOCOL, 1002),           /* §5.5: a long ping */
        BAD("\x82\x7e\x00\x01x", WSB_REASON_PROTOCOL, 1002),          /* §5.2: not the shortest length */
        BAD("\x82\x7f\x80\0\0\0\0\0\0\0", WSB_REASON_PROTOCOL, 1002), /* §5.2: the highest bit */
        BAD("\x88\x01x", WSB_REASON_PROTOCOL, 1002),                  /* §5.5.1: half a code */
        BAD("\x88\x02\x03\xed", WSB_REASON_PROTOCOL, 1002),           /* §7.4.1: 1005 is not sent */
        BAD("\x88\x03\x03\xe8\xff", WSB_REASON_UTF8, 1007),           /* §5.5.1: a reason is UTF-8 */
        BAD("\x81\x01\xff", WSB_REASON_UTF8, 1007),                   /* §8.1 */
        BAD("\x01\x01\xc3\x80\x01x", WSB_REASON_UTF8, 1007),          /* the same over two frames */
        BAD("\x82\x7e\x04\x01", WSB_REASON_TOO_BIG, 1009), /* §7.4.1: more than 1,024 bytes, as the test has it */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct server s = {.talk = talk_broken};
        struct wsb_open_options o = {.max_message = 1024, .no_compression = true};
        struct wsb_message m;
        wsb_websocket w;
        broken.bytes = rows[i].bytes;
        broken.len = rows[i].len;
        broken.code = 0;
        assert_true(open_at(&s, &o, &w, NULL));
        assert_null(strstr(s.request, "permessage-deflate"));
        assert_false(wsb_websocket_read(w, &m, 10000));
        if (wsb_websocket_reason(w) != rows[i].reason)
            fail_msg("row %zu: %s", i, wsb_websocket_why(w));
        (void)wsb_websocket_close(w, 1000, NULL, 0);
        server_stop(&s);
        if (broken.code != rows[i].code)
            fail_msg("row %zu: closed with %u", i, broken.code);
    }
}

/* ----------------------------------------------------------------------- pings */

static void talk_ping(int fd)
{
    struct heard *f = malloc(sizeof *f);
    say_frame(fd, 0x89, "are you there", 13);
    assert_true(hear_frame(fd, f));
    assert_int_equal(f->h.opcode, WSB_OP_PONG);
    assert_memory_equal(f->data, "are you there", 13);
    free(f);
    say_text(fd, "so you are");
    talk_echo(fd);
}

static void test_pings_both_ways(void **state)
{
    struct server s = {.talk = talk_ping};
    wsb_websocket w = open_ok(&s);
    uint64_t rtt_us = 0;
    (void)state;
    assert_message(w, WSB_TEXT, "so you are", 10);
    assert_true(wsb_websocket_write(w, WSB_TEXT, "before", 6, 1000));
    assert_true(wsb_websocket_ping(w, "x", 1, 10000, &rtt_us));
    assert_true(rtt_us > 0);
    assert_true(wsb_websocket_ping(w, NULL, 0, 10000, NULL));
    assert_message(w, WSB_TEXT, "before", 6); /* it came before the pong, and waited */
    assert_true(wsb_websocket_close(w, 0, NULL, 5000));
    server_stop(&s);
}

static void test_a_ping_that_is_not_answered(void **state)
{
    struct server s = {.talk = talk_never};
    struct wsb_open_options o = {.ping_interval_ms = 10, .ping_timeout_ms = 20};
    struct wsb_message m;
    wsb_websocket w;
    (void)state;
    assert_true(open_at(&s, &o, &w, NULL));
    assert_false(wsb_websocket_ping(w, "x", 1, 1, NULL));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_TIMEOUT);
    assert_false(wsb_websocket_read(w, &m, -1));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_IO);
    assert_non_null(strstr(wsb_websocket_why(w), "does not answer pings"));
    (void)wsb_websocket_close(w, 1000, NULL, 0);
    server_stop(&s);
}

/* --------------------------------------------------------------------- threads */

static void *close_later(void *arg)
{
    wsb_websocket w = *(wsb_websocket *)arg;
    assert_true(wsb_websocket_write(w, WSB_TEXT, "from the other", 14, 1000));
    assert_true(wsb_websocket_close(w, 1000, NULL, 5000));
    return NULL;
}

static void test_another_thread_writes_and_closes(void **state)
{
    struct server s = {.talk = talk_echo};
    wsb_websocket w = open_ok(&s);
    struct wsb_message m;
    pthread_t other;
    (void)state;
    assert_int_equal(pthread_create(&other, NULL, close_later, &w), 0);
    bool got = wsb_websocket_read(w, &m, -1);
    if (got) { /* the echo was there before the close */
        assert_int_equal(m.len, 14);
        assert_false(wsb_websocket_read(w, &m, -1));
    }
    enum wsb_reason reason = wsb_websocket_reason(w);
    assert_true(reason == WSB_REASON_CLOSED || reason == WSB_REASON_MISUSE);
    assert_int_equal(pthread_join(other, NULL), 0);
    server_stop(&s);
}

enum { MANY = 200 };

static void *write_many(void *arg)
{
    wsb_websocket w = *(wsb_websocket *)arg;
    for (int i = 0; i < MANY; i++)
        assert_true(wsb_websocket_write(w, WSB_BINARY, "0123456789", 10, 10000));
    return NULL;
}

static void test_many_threads_write_while_one_reads(void **state)
{
    struct server s = {.talk = talk_echo};
    wsb_websocket w = open_ok(&s);
    pthread_t writers[3];
    (void)state;
    for (size_t i = 0; i < COUNT(writers); i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_many, &w), 0);
    for (size_t i = 0; i < COUNT(writers) * MANY; i++)
        assert_message(w, WSB_BINARY, "0123456789", 10);
    for (size_t i = 0; i < COUNT(writers); i++)
        assert_int_equal(pthread_join(writers[i], NULL), 0);
    assert_true(wsb_websocket_close(w, 1000, NULL, 5000));
    server_stop(&s);
}

/* ---------------------------------------------------------------------- limits */

static _Atomic bool may_go;

static void talk_never_reading(int fd)
{
    struct pollfd p = {.fd = fd, .events = 0}; /* the end of the connection, and nothing else */
    while (!atomic_load(&may_go) && poll(&p, 1, 10) == 0)
        ;
}

static void test_a_server_that_does_not_read(void **state)
{
    struct server s = {.talk = talk_never_reading};
    wsb_websocket w = open_ok(&s);
    size_t len = 1 << 20, written = 0;
    uint8_t *bytes = calloc(1, len);
    (void)state;
    assert_non_null(bytes);
    while (wsb_websocket_write(w, WSB_BINARY, bytes, len, 0))
        assert_true(++written < 64);
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_FULL);
    assert_true(written >= 15);
    assert_false(wsb_websocket_flush(w, 10));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_TIMEOUT);
    assert_false(wsb_websocket_close(w, 1000, NULL, 10));
    free(bytes);
    atomic_store(&may_go, true);
    server_stop(&s);
}

static _Atomic bool has_come;

static void talk_seeing(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    (void)poll(&p, 1, 10000);
    has_come = true;
    talk_never_reading(fd);
}

static void *close_while_writing(void *arg)
{
    wsb_websocket w = *(wsb_websocket *)arg;
    while (!has_come) /* then the other has begun, and cannot end */
        (void)poll(NULL, 0, 1);
    assert_false(wsb_websocket_close(w, 1000, NULL, 100));
    may_go = true;
    return NULL;
}

/* Who waits without end for a server to read comes out when the handle is closed. */
static void test_a_write_ends_with_its_handle(void **state)
{
    struct server s = {.talk = talk_seeing};
    pthread_t closer;
    (void)state;
    may_go = has_come = false;
    wsb_websocket w = open_ok(&s);
    char *data = calloc(1, 8 << 20);
    assert_non_null(data);
    assert_int_equal(pthread_create(&closer, NULL, close_while_writing, &w), 0);
    assert_false(wsb_websocket_write(w, WSB_BINARY, data, 8 << 20, -1));
    (void)pthread_join(closer, NULL);
    free(data);
    server_stop(&s);
}

static void talk_flood(int fd)
{
    static uint8_t bytes[65535];
    for (int i = 0; i < 64; i++)
        say_frame(fd, 0x82, bytes, sizeof bytes);
    talk_echo(fd);
}

static void test_what_nobody_reads_stays_with_the_kernel(void **state)
{
    struct server s = {.talk = talk_flood};
    wsb_websocket w = open_ok(&s);
    struct wsb_message m;
    (void)state;
    assert_false(wsb_websocket_ping(w, "x", 1, 10000, NULL)); /* 4 MiB are in front of its pong */
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_FULL);
    for (int i = 0; i < 64; i++) {
        assert_true(wsb_websocket_read(w, &m, 10000));
        assert_int_equal(m.len, 65535);
    }
    assert_true(wsb_websocket_close(w, 1000, NULL, 5000));
    server_stop(&s);
}

/* --------------------------------------------------------------------- misuse */

static void test_misuse_is_refused(void **state)
{
    struct server s = {.talk = talk_echo};
    wsb_websocket w = open_ok(&s);
    struct wsb_message m;
    static const uint64_t bad[] = {0, 1, UINT64_MAX, 0xffff, 1ull << 16, 12345678901ull};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        wsb_websocket b = {bad[i] == w.v ? UINT64_MAX : bad[i]};
        assert_false(wsb_websocket_read(b, &m, -1));
        assert_int_equal(wsb_websocket_reason(b), WSB_REASON_MISUSE);
        assert_false(wsb_websocket_write(b, WSB_TEXT, "x", 1, -1));
        assert_false(wsb_websocket_flush(b, -1));
        assert_false(wsb_websocket_ping(b, NULL, 0, -1, NULL));
        assert_false(wsb_websocket_close(b, 1000, NULL, -1));
        assert_false(wsb_websocket_closed(b, NULL));
        assert_int_equal(wsb_websocket_fd(b), -1);
    }
    assert_false(wsb_websocket_read(w, NULL, 0));
    assert_false(wsb_websocket_write(w, (enum wsb_opcode)8, "x", 1, 0));
    assert_false(wsb_websocket_write(w, WSB_TEXT, NULL, 1, 0));
    assert_false(wsb_websocket_write(w, WSB_TEXT, "\xff", 1, 0));
    assert_int_equal(wsb_websocket_reason(w), WSB_REASON_UTF8);
    assert_false(wsb_websocket_ping(w, NULL, 126, 0, NULL));
    static const unsigned bad_codes[] = {1, 999, 1004, 1005, 1006, 1015, 2999, 5000, 70000};
    for (size_t i = 0; i < COUNT(bad_codes); i++) {
        assert_false(wsb_websocket_close(w, bad_codes[i], NULL, 0));
        assert_int_equal(wsb_websocket_reason(w), WSB_REASON_MISUSE);
    }
    assert_false(wsb_websocket_close(w, 1000, "\xff", 0));
    assert_false(wsb_websocket_close(w, 0, "a reason without a code", 0));
    assert_true(wsb_websocket_write(w, WSB_TEXT, "alive", 5, 1000));
    assert_message(w, WSB_TEXT, "alive", 5);
    pid_t child = fork();
    if (child == 0) /* the parent's handle is not a child's */
        _exit(wsb_websocket_write(w, WSB_TEXT, "x", 1, 0) || wsb_websocket_reason(w) != WSB_REASON_MISUSE);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(wsb_websocket_close(w, 1000, NULL, 5000));
    server_stop(&s);
}

static void test_the_descriptor_tells(void **state)
{
    struct server s = {.talk = talk_echo};
    wsb_websocket w = open_ok(&s);
    struct pollfd p = {.fd = wsb_websocket_fd(w), .events = POLLIN};
    struct wsb_message m;
    (void)state;
    assert_true(p.fd >= 0);
    assert_false(wsb_websocket_read(w, &m, 0));
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_true(wsb_websocket_write(w, WSB_TEXT, "x", 1, 1000));
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_message(w, WSB_TEXT, "x", 1);
    assert_true(wsb_websocket_close(w, 1000, NULL, 5000));
    server_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_come_back),
        cmocka_unit_test(test_what_comes_with_the_101_is_kept),
        cmocka_unit_test(test_refusals_tell_what_the_server_said),
        cmocka_unit_test(test_a_large_refusal_is_cut),
        cmocka_unit_test(test_a_server_that_does_not_answer),
        cmocka_unit_test(test_what_cannot_be_reached_or_asked),
        cmocka_unit_test(test_the_server_says_goodbye),
        cmocka_unit_test(test_the_server_just_goes),
        cmocka_unit_test(test_a_goodbye_that_is_not_answered),
        cmocka_unit_test(test_rules_are_kept),
        cmocka_unit_test(test_pings_both_ways),
        cmocka_unit_test(test_a_ping_that_is_not_answered),
        cmocka_unit_test(test_another_thread_writes_and_closes),
        cmocka_unit_test(test_many_threads_write_while_one_reads),
        cmocka_unit_test(test_a_server_that_does_not_read),
        cmocka_unit_test(test_a_write_ends_with_its_handle),
        cmocka_unit_test(test_what_nobody_reads_stays_with_the_kernel),
        cmocka_unit_test(test_misuse_is_refused),
        cmocka_unit_test(test_the_descriptor_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
