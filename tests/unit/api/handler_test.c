/* What wsbus/handler.h promises, against a gate whose every word is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/handle.h"
#include "both.h"

#define ROUTES .routes = one_route, .route_count = 1

static const char *const one_route[] = {"echo"};
static const struct wsb_handler_options with_routes = {.size = sizeof with_routes, ROUTES};

static void test_hello_says_who_we_are(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.name = "tester"});
    struct fake_command hello = must_take(b.gate, WSB_HELLO);
    char want[300];
    (void)snprintf(
        want, sizeof want,
        "{\"routes\":[\"echo\",\"chat\"],\"name\":\"tester\",\"batch\":true,\"records\":true,\"pid\":%d,\"language\":"
        "\"C\","
        "\"level\":\"debug\",\"ack\":true,\"heartbeat_ms\":1000,\"credit\":{\"messages\":16384,\"bytes\":33554432}}",
        (int)getpid());
    assert_string_equal(hello.meta, want);
    assert_true(wsb_connected(b.h));
    assert_int_equal(wsb_epoch(b.h), 1);
    assert_int_equal(wsb_handler_id(b.h), 7);
    fake_command_free(&hello);
    part(&b);
}

static void test_echo_there_and_back(void **state)
{
    (void)state;
    struct both b = join();
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{\"path\":\"/echo\",\"params\":{\"room\":\"a\"}}");
    fake_gate_send(b.gate, data_head(5, 2), "hello", NULL);

    struct wsb_event ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_OPEN);
    assert_string_equal(wsb_event_str(&ev, "path"), "/echo");
    assert_string_equal(wsb_event_str(&ev, "params.room"), "a");
    assert_null(wsb_event_str(&ev, "params.other"));
    assert_true(wsb_isopen(b.h, 5));

    ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_DATA);
    assert_int_equal(ev.opcode, WSB_TEXT);
    assert_int_equal(ev.seq, 2);
    assert_int_equal(ev.time_ns, 42);
    assert_int_equal(ev.len, 5);
    assert_memory_equal(ev.data, "hello", 5);
    assert_true(wsb_writeguarded(b.h, ev.conn, ev.opcode, ev.data, ev.len));
    assert_false(wsb_readguarded(b.h, &ev, 0));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_TIMEOUT);

    struct fake_command sent = must_take(b.gate, WSB_SEND);
    assert_int_equal(sent.header.conn, 5);
    assert_int_equal(sent.header.code, WSB_TEXT);
    assert_string_equal(sent.payload, "hello");
    fake_command_free(&sent);
    part(&b);
}

/* A batch is read one by one, and what the reader answers leaves as one batch. */
static void test_replies_to_one_batch_leave_in_one_batch(void **state)
{
    (void)state;
    enum { EVENTS = 100 };
    struct both b = join();
    struct wsb_buf batch = {0};
    fake_batch_add(&batch, head(WSB_OPEN, 5, 1), NULL, "{}");
    for (int i = 0; i < EVENTS; i++)
        fake_batch_add(&batch, data_head(5, (uint64_t)i + 2), "x", NULL);
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    for (int i = 0; i < EVENTS; i++) {
        struct wsb_event ev = must_read(b.h);
        assert_int_equal(ev.seq, i + 2);
        assert_true(wsb_writeguarded(b.h, ev.conn, ev.opcode, &i, 0));
    }
    assert_int_equal(fake_gate_count(b.gate, WSB_SEND), 0);
    struct wsb_event none;
    assert_false(wsb_readguarded(b.h, &none, 0));
    struct fake_command first = must_take(b.gate, WSB_SEND);
    for (int i = 1; i < EVENTS; i++) {
        struct fake_command c = must_take(b.gate, WSB_SEND);
        assert_int_equal(c.batch, first.batch);
        fake_command_free(&c);
    }
    fake_command_free(&first);
    wsb_buf_deinit(&batch);
    part(&b);
}

/* ------------------------------------------------------------------- commands */

static const char long_reason[] = "0123456789012345678901234567890123456789012345678901234567890123456789"
                                  "012345678901234567890123456789012345678901234567890123";

static bool join_group(wsb_handler h)
{
    return wsb_join(h, 5, "g\"1");
}

static bool leave_group(wsb_handler h)
{
    return wsb_leave(h, 5, "g");
}

static bool accept_plain(wsb_handler h)
{
    return wsb_accept(h, 5, NULL);
}

static bool accept_full(wsb_handler h)
{
    const struct wsb_field f[] = {{"X-A", "1"}, {"x-a", "2"}, {"X-B", "3"}};
    const char *const groups[] = {"g", "h"};
    return wsb_accept(h, 5,
                      &(struct wsb_accept_options){.subprotocol = "chat",
                                                   .headers = f,
                                                   .header_count = 3,
                                                   .groups = groups,
                                                   .group_count = 2,
                                                   .user = "u",
                                                   .tags = groups,
                                                   .tag_count = 1});
}

static bool reject(wsb_handler h)
{
    return wsb_reject(h, 5, 0, "no");
}

static bool close_plain(wsb_handler h)
{
    return wsb_close(h, 5, 0, NULL);
}

static bool close_why(wsb_handler h)
{
    return wsb_close(h, 5, 4001, "bye");
}

static bool publish_group(wsb_handler h)
{
    const wsb_conn except[] = {0xab, 5};
    return wsb_publish(h, &(struct wsb_audience){.group = "g", .except = except, .except_count = 2}, WSB_TEXT, "hi", 2,
                       NULL);
}

static bool publish_route(wsb_handler h)
{
    return wsb_publish(h, &(struct wsb_audience){.route = "sub"}, WSB_BINARY, "\1", 1, NULL);
}

static bool send_two(wsb_handler h)
{
    const wsb_conn to[] = {5, 6};
    uint64_t seq = 0;
    return wsb_send_many(h, to, 2, WSB_TEXT, "hi", 2, &(struct wsb_send_options){.ret_seq = &seq}) && seq;
}

static bool publish_user(wsb_handler h)
{
    uint64_t seq = 0;
    const struct wsb_send_options o = {.slow = WSB_SLOW_CONFLATE, .key = "k", .ret_seq = &seq};
    return wsb_publish(h, &(struct wsb_audience){.user = "u"}, WSB_TEXT, "hi", 2, &o) && seq;
}

static bool publish_tag(wsb_handler h)
{
    return wsb_publish(h, &(struct wsb_audience){.tag = "t"}, WSB_TEXT, "hi", 2, NULL);
}

static bool publish_all(wsb_handler h)
{
    return wsb_publish(h, &(struct wsb_audience){.all = true}, WSB_TEXT, "hi", 2, NULL);
}

static bool send_plain(wsb_handler h)
{
    return wsb_send(h, 5, WSB_TEXT, "hi", 2, NULL);
}

static bool send_drop_old(wsb_handler h)
{
    return wsb_send(h, 5, WSB_BINARY, "hi", 2, &(struct wsb_send_options){.slow = WSB_SLOW_DROP_OLD});
}

static bool send_uncompressed(wsb_handler h)
{
    return wsb_send(h, 5, WSB_TEXT, "hi", 2, &(struct wsb_send_options){.plain = true});
}

static bool send_two_drop_new(wsb_handler h)
{
    const wsb_conn to[] = {5, 6};
    return wsb_send_many(h, to, 2, WSB_TEXT, "hi", 2,
                         &(struct wsb_send_options){.slow = WSB_SLOW_DROP_NEW, .key = "k"});
}

static bool tag(wsb_handler h)
{
    const char *const set[] = {"a", "b"};
    const char *const unset[] = {"c"};
    return wsb_tag(h, 5,
                   &(struct wsb_marks){.set = set, .set_count = 2, .unset = unset, .unset_count = 1, .user = "me"});
}

static bool tag_nobody(wsb_handler h)
{
    return wsb_tag(h, 5, &(struct wsb_marks){.user = ""});
}

static bool list_tag(wsb_handler h)
{
    uint64_t seq = 0;
    return wsb_list(h, &(struct wsb_audience){.tag = "t"}, 0, &seq) && seq;
}

static bool list_route(wsb_handler h)
{
    return wsb_list(h, &(struct wsb_audience){.route = "echo"}, 262144, NULL);
}

static bool ping_client(wsb_handler h)
{
    return wsb_ping(h, 5, "p", 1, NULL);
}

static bool log_line(wsb_handler h)
{
    return wsb_log(h, WSB_LOG_WARN, "a %s\nb", "\xff");
}

static bool log_evil_line(wsb_handler h)
{
    return wsb_log(h, WSB_LOG_WARN, "%s",
                   "a\xc2\x9b"
                   "2J\u202e \u00fc\nb");
}

static bool respond(wsb_handler h)
{
    const struct wsb_field f[] = {{"set-cookie", "a=1"}, {"Set-Cookie", "b=2"}};
    return wsb_respond(
        h, 9,
        &(struct wsb_response){.status = 201, .headers = f, .header_count = 2, .body = "body", .len = 4, .more = true});
}

static bool respond_part(wsb_handler h)
{
    uint64_t at = 4;
    uint64_t seq = 0;
    return wsb_respond_part(h, 9, &(struct wsb_part){.data = "more", .len = 4, .at = &at, .ret_seq = &seq}) && seq;
}

static bool ask_for_body(wsb_handler h)
{
    return wsb_continue(h, 9);
}

static bool respond_end(wsb_handler h)
{
    return wsb_respond_more(h, 9, "end", 3, true);
}

static void test_commands_say_what_the_protocol_says(void **state)
{
    static const struct {
        bool (*call)(wsb_handler);
        uint8_t type, code, flags;
        wsb_conn conn;
        const char *payload, *meta;
    } rows[] = {
        {join_group, WSB_JOIN, 0, 1, 5, "", "{\"groups\":[\"g\\\"1\"]}"},
        {leave_group, WSB_LEAVE, 0, 1, 5, "", "{\"groups\":[\"g\"]}"},
        {accept_plain, WSB_ACCEPT, 0, 1, 5, "", "{}"},
        {accept_full, WSB_ACCEPT, 0, 1, 5, "",
         "{\"subprotocol\":\"chat\",\"headers\":{\"X-A\":[\"1\",\"2\"],\"X-B\":[\"3\"]},\"groups\":[\"g\",\"h\"],"
         "\"user\":\"u\",\"tags\":[\"g\"]}"},
        {reject, WSB_REJECT, 0, 1, 5, "no", "{\"status\":403}"},
        {close_plain, WSB_CLOSE, 0, 1, 5, "", "{\"code\":1000}"},
        {close_why, WSB_CLOSE, 0, 1, 5, "", "{\"code\":4001,\"reason\":\"bye\"}"},
        {publish_group, WSB_PUBLISH, 1, 1, 0, "hi",
         "{\"group\":\"g\",\"except\":[\"00000000000000ab\",\"0000000000000005\"]}"},
        {publish_route, WSB_PUBLISH, 2, 1, 0, "\1", "{\"route\":\"sub\"}"},
        {send_two, WSB_SEND, 1, 9, 0, "hi", "{\"to\":[\"0000000000000005\",\"0000000000000006\"]}"},
        {publish_user, WSB_PUBLISH, 1, 9, 0, "hi", "{\"user\":\"u\",\"slow\":\"conflate\",\"key\":\"k\"}"},
        {publish_tag, WSB_PUBLISH, 1, 1, 0, "hi", "{\"tag\":\"t\"}"},
        {publish_all, WSB_PUBLISH, 1, 1, 0, "hi", "{\"all\":true}"},
        {send_plain, WSB_SEND, 1, 0, 5, "hi", ""},
        {send_drop_old, WSB_SEND, 2, 1, 5, "hi", "{\"slow\":\"drop-old\"}"},
        {send_uncompressed, WSB_SEND, 1, WSB_FLAG_PLAIN, 5, "hi", ""},
        {send_two_drop_new, WSB_SEND, 1, 1, 0, "hi",
         "{\"to\":[\"0000000000000005\",\"0000000000000006\"],\"slow\":\"drop-new\",\"key\":\"k\"}"},
        {tag, WSB_TAG, 0, 1, 5, "", "{\"set\":[\"a\",\"b\"],\"unset\":[\"c\"],\"user\":\"me\"}"},
        {tag_nobody, WSB_TAG, 0, 1, 5, "", "{\"user\":\"\"}"},
        {list_tag, WSB_LIST, 0, 1, 0, "", "{\"tag\":\"t\",\"limit\":1000}"},
        {list_route, WSB_LIST, 0, 1, 0, "", "{\"route\":\"echo\",\"limit\":262144}"},
        {ping_client, WSB_PING, 0, 0, 5, "p", ""},
        {log_line, WSB_LOG, WSB_LOG_WARN, 0, 0, "a ? b", ""},
        {log_evil_line, WSB_LOG, WSB_LOG_WARN, 0, 0, "a  2J    \u00fc b", ""},
        {ask_for_body, WSB_RESPOND, 0, 1, 9, "", "{\"status\":100}"},
        {respond, WSB_RESPOND, 0, 3, 9, "body", "{\"status\":201,\"headers\":{\"set-cookie\":[\"a=1\",\"b=2\"]}}"},
        {respond_part, WSB_BODY, 0, 11, 9, "more", "{\"at\":4}"},
        {respond_end, WSB_BODY, 0, 0, 9, "end", ""},
    };
    (void)state;
    struct both b = join();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_true(rows[i].call(b.h));
        assert_int_equal(wsb_reason(b.h), WSB_REASON_OK);
        assert_true(wsb_flush(b.h));
        struct fake_command c = must_take(b.gate, rows[i].type);
        assert_int_equal(c.header.code, rows[i].code);
        assert_int_equal(c.header.flags, rows[i].flags);
        assert_int_equal(c.header.conn, rows[i].conn);
        assert_string_equal(c.payload, rows[i].payload);
        assert_string_equal(c.meta, rows[i].meta);
        fake_command_free(&c);
    }
    part(&b);
}

/* ------------------------------------------------------------------- nonsense */

/* What every call makes of a handle that is none. */
static void assert_all_misuse(wsb_handler h)
{
    struct wsb_event ev = {.type = WSB_EV_DATA};
    const struct wsb_response r = {0};
    const wsb_conn to = 5;
    assert_false(wsb_readguarded(h, &ev, -1));
    assert_int_equal(ev.type, WSB_EV_NONE);
    assert_int_equal(wsb_reason(h), WSB_REASON_MISUSE);
    assert_false(wsb_readguarded(h, NULL, -1));
    assert_false(wsb_writeguarded(h, 5, WSB_TEXT, "x", 1));
    assert_int_equal(wsb_reason(h), WSB_REASON_MISUSE);
    assert_false(wsb_sendwait(h, 5, WSB_TEXT, "x", 1, -1));
    assert_false(wsb_send_many(h, &to, 1, WSB_TEXT, "x", 1, NULL));
    assert_false(wsb_publish(h, &(struct wsb_audience){.group = "g"}, WSB_TEXT, "x", 1, NULL));
    assert_false(wsb_send(h, 5, WSB_TEXT, "x", 1, NULL) || wsb_ack(h, 5, 1));
    assert_int_equal(wsb_reason(h), WSB_REASON_MISUSE);
    assert_false(wsb_tag(h, 5, &(struct wsb_marks){.user = "u"}));
    assert_false(wsb_list(h, &(struct wsb_audience){.group = "g"}, 0, NULL));
    assert_false(wsb_join(h, 5, "g") || wsb_leave(h, 5, "g") || wsb_accept(h, 5, NULL) || wsb_reject(h, 5, 0, NULL));
    assert_false(wsb_close(h, 5, 0, NULL) || wsb_ping(h, 5, NULL, 0, NULL) || wsb_respond(h, 5, &r));
    assert_false(wsb_respond_more(h, 5, NULL, 0, true) || wsb_log(h, WSB_LOG_ERROR, "x") || wsb_flush(h));
    assert_int_equal(wsb_handler_fd(h), -1);
    assert_int_equal(wsb_log_level(h), WSB_LOG_ERROR);
    assert_false(wsb_connected(h) || wsb_epoch(h) || wsb_handler_id(h) || wsb_max_message(h) || wsb_malformed(h));
    assert_false(wsb_isopen(h, 5));
    wsb_wake(h);
    assert_false(wsb_handler_close(h));
}

static void test_handles_that_are_none(void **state)
{
    (void)state;
    struct both b = join();
    assert_all_misuse((wsb_handler){0});
    for (unsigned bit = 0; bit < 64; bit++)
        assert_all_misuse((wsb_handler){b.h.v ^ UINT64_C(1) << bit});
    assert_all_misuse((wsb_handler){UINT64_MAX});
    wsb_handler old = b.h;
    assert_true(wsb_handler_close(b.h));
    assert_all_misuse(old);
    /* Not even when the slot is used again. */
    assert_true(wsb_handler_open(fake_gate_dir(b.gate), &with_routes, &b.h));
    assert_int_not_equal(b.h.v, old.v);
    assert_all_misuse(old);
    assert_int_equal(wsb_reason(b.h), WSB_REASON_OK);
    part(&b);
}

static void test_arguments_that_make_no_sense(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){.max_message = 100}, (struct wsb_handler_options){0});
    wsb_handler h = b.h;
    const char *text = "0123456789";
    const wsb_conn to = 5;
    char big[200];
    memset(big, 'x', sizeof big);
    char name[300];
    memset(name, 'x', sizeof name);
    name[299] = '\0';
    const struct wsb_field bad_name = {"a b", "c"};
    const struct wsb_field bad_value = {"a", "b\r\nset-cookie: c"};
    const struct wsb_field no_value = {"a", NULL};
    const char *const no_group = NULL;
#define REFUSED(why, call)                                                                                             \
    do {                                                                                                               \
        assert_false(call);                                                                                            \
        assert_int_equal(wsb_reason(h), why);                                                                          \
    } while (0)
    REFUSED(WSB_REASON_MISUSE, wsb_readguarded(h, NULL, 0));
    REFUSED(WSB_REASON_MISUSE, wsb_writeguarded(h, 0, WSB_TEXT, text, 1));
    REFUSED(WSB_REASON_MISUSE, wsb_writeguarded(h, 5, WSB_TEXT, NULL, 1));
    REFUSED(WSB_REASON_MISUSE, wsb_writeguarded(h, 5, (enum wsb_opcode)0, text, 1));
    REFUSED(WSB_REASON_MISUSE, wsb_writeguarded(h, 5, (enum wsb_opcode)9, text, 1));
    REFUSED(WSB_REASON_TOO_BIG, wsb_writeguarded(h, 5, WSB_BINARY, big, 101));
    REFUSED(WSB_REASON_TOO_BIG, wsb_writeguarded(h, 5, WSB_BINARY, text, SIZE_MAX));
    REFUSED(WSB_REASON_TOO_BIG, wsb_writeguarded(h, 5, WSB_TEXT, text, SIZE_MAX / 2));
    REFUSED(WSB_REASON_UTF8, wsb_writeguarded(h, 5, WSB_TEXT, "\xff", 1));
    REFUSED(WSB_REASON_UTF8, wsb_writeguarded(h, 5, WSB_TEXT, "\xe2\x82", 2));
    REFUSED(WSB_REASON_UTF8, wsb_sendwait(h, 5, WSB_TEXT, "\xff", 1, -1));
    REFUSED(WSB_REASON_MISUSE, wsb_sendwait(h, 0, WSB_TEXT, text, 1, -1));
    REFUSED(WSB_REASON_MISUSE, wsb_send_many(h, NULL, 1, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_send_many(h, &to, SIZE_MAX, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_publish(h, NULL, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_publish(h, &(struct wsb_audience){0}, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_MISUSE,
            wsb_publish(h, &(struct wsb_audience){.group = "a", .route = "b"}, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_publish(h, &(struct wsb_audience){.group = ""}, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_UTF8, wsb_publish(h, &(struct wsb_audience){.group = "\xff"}, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_MISUSE,
            wsb_publish(h, &(struct wsb_audience){.group = "a", .except_count = 1}, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_TOO_BIG,
            wsb_publish(h, &(struct wsb_audience){.group = "a", .except = &to, .except_count = 65537}, WSB_TEXT, text,
                        1, NULL));
    REFUSED(WSB_REASON_MISUSE,
            wsb_publish(h, &(struct wsb_audience){.group = "a", .all = true}, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_publish(h, &(struct wsb_audience){.tag = name}, WSB_TEXT, text, 1, NULL));
    const struct wsb_send_options bad_slow = {.slow = (enum wsb_slow)5};
    const struct wsb_send_options empty_key = {.key = ""};
    const struct wsb_send_options bad_key = {.key = "\xff"};
    REFUSED(WSB_REASON_MISUSE, wsb_send(h, 5, WSB_TEXT, text, 1, &bad_slow));
    REFUSED(WSB_REASON_MISUSE, wsb_send(h, 5, WSB_TEXT, text, 1, &empty_key));
    REFUSED(WSB_REASON_UTF8, wsb_send(h, 5, WSB_TEXT, text, 1, &bad_key));
    REFUSED(WSB_REASON_MISUSE, wsb_send(h, 0, WSB_TEXT, text, 1, NULL));
    REFUSED(WSB_REASON_UTF8, wsb_send(h, 5, WSB_TEXT, "\xff", 1, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_send_many(h, &to, 1, WSB_TEXT, text, 1, &bad_slow));
    REFUSED(WSB_REASON_MISUSE, wsb_publish(h, &(struct wsb_audience){.all = true}, WSB_TEXT, text, 1, &bad_slow));
    REFUSED(WSB_REASON_MISUSE, wsb_tag(h, 5, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_tag(h, 5, &(struct wsb_marks){0}));
    REFUSED(WSB_REASON_MISUSE, wsb_tag(h, 0, &(struct wsb_marks){.user = "u"}));
    REFUSED(WSB_REASON_MISUSE, wsb_tag(h, 5, &(struct wsb_marks){.user = name}));
    REFUSED(WSB_REASON_MISUSE, wsb_tag(h, 5, &(struct wsb_marks){.set_count = 1}));
    REFUSED(WSB_REASON_MISUSE, wsb_tag(h, 5, &(struct wsb_marks){.set = &no_group, .set_count = 1}));
    REFUSED(WSB_REASON_MISUSE, wsb_tag(h, 5, &(struct wsb_marks){.unset = &no_group, .unset_count = SIZE_MAX}));
    REFUSED(WSB_REASON_MISUSE, wsb_list(h, NULL, 0, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_list(h, &(struct wsb_audience){0}, 0, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_list(h, &(struct wsb_audience){.all = true}, 0, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_list(h, &(struct wsb_audience){.group = "g"}, 262145, NULL));
    REFUSED(WSB_REASON_MISUSE,
            wsb_list(h, &(struct wsb_audience){.group = "g", .except = &to, .except_count = 1}, 0, NULL));
    REFUSED(WSB_REASON_UTF8, wsb_list(h, &(struct wsb_audience){.user = "\xff"}, 0, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_ack(h, 5, 1)); /* without manual_ack */
    REFUSED(WSB_REASON_MISUSE, wsb_accept(h, 5, &(struct wsb_accept_options){.user = ""}));
    REFUSED(WSB_REASON_MISUSE, wsb_accept(h, 5, &(struct wsb_accept_options){.tag_count = 1}));
    REFUSED(WSB_REASON_MISUSE, wsb_join(h, 5, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_join(h, 5, name));
    REFUSED(WSB_REASON_MISUSE, wsb_leave(h, 0, "g"));
    REFUSED(WSB_REASON_MISUSE, wsb_accept(h, 0, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_accept(h, 5, &(struct wsb_accept_options){.header_count = 1}));
    REFUSED(WSB_REASON_MISUSE, wsb_accept(h, 5, &(struct wsb_accept_options){.headers = &bad_name, .header_count = 1}));
    REFUSED(WSB_REASON_MISUSE, wsb_accept(h, 5, &(struct wsb_accept_options){.groups = &no_group, .group_count = 1}));
    REFUSED(WSB_REASON_MISUSE, wsb_reject(h, 5, 200, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_reject(h, 5, 600, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_close(h, 5, 999, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_close(h, 5, 1005, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_close(h, 5, 1006, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_close(h, 5, 1015, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_close(h, 5, 2999, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_close(h, 5, 5000, NULL));
    REFUSED(WSB_REASON_TOO_BIG, wsb_close(h, 5, 1000, long_reason));
    REFUSED(WSB_REASON_UTF8, wsb_close(h, 5, 1000, "\xc0"));
    REFUSED(WSB_REASON_TOO_BIG, wsb_ping(h, 5, name, 126, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_ping(h, 5, NULL, 1, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_respond(h, 5, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_respond(h, 5, &(struct wsb_response){.status = 199}));
    REFUSED(WSB_REASON_MISUSE, wsb_respond(h, 5, &(struct wsb_response){.len = 1}));
    REFUSED(WSB_REASON_MISUSE, wsb_respond(h, 5, &(struct wsb_response){.headers = &bad_value, .header_count = 1}));
    REFUSED(WSB_REASON_MISUSE, wsb_respond(h, 5, &(struct wsb_response){.headers = &no_value, .header_count = 1}));
    REFUSED(WSB_REASON_MISUSE,
            wsb_respond(h, 5, &(struct wsb_response){.headers = &bad_name, .header_count = SIZE_MAX}));
    REFUSED(WSB_REASON_MISUSE, wsb_respond_more(h, 5, NULL, 1, true));
    const uint64_t nowhere = UINT64_MAX;
    REFUSED(WSB_REASON_MISUSE, wsb_respond_part(h, 5, NULL));
    REFUSED(WSB_REASON_MISUSE, wsb_respond_part(h, 5, &(struct wsb_part){.at = &nowhere}));
    REFUSED(WSB_REASON_MISUSE, wsb_continue(h, 0));
    REFUSED(WSB_REASON_MISUSE, wsb_log(h, (enum wsb_level)5, "x"));
    REFUSED(WSB_REASON_MISUSE, wsb_log(h, WSB_LOG_WARN, NULL));
#undef REFUSED
    assert_null(wsb_event_str(NULL, "a"));
    struct wsb_event zero = {0};
    assert_null(wsb_event_str(&zero, "a"));
    assert_null(wsb_event_str(&zero, NULL));
    assert_int_equal(wsb_event_num(&zero, "a", -3), -3);
    assert_null(wsb_event_item(NULL, "a", 0));
    assert_null(wsb_event_item(&zero, "a", 0));
    assert_int_equal(wsb_event_members(NULL, NULL, 0), 0);
    assert_int_equal(wsb_event_members(&zero, NULL, 1), 0);
    assert_int_equal(wsb_event_close(NULL).code, 1006);
    assert_string_equal(wsb_reason_name((enum wsb_reason)999), "unknown");
    assert_string_equal(wsb_event_type_name((enum wsb_event_type) - 1), "unknown");
    part(&b);
}

static void test_open_refuses(void **state)
{
    static const char *const null_route[] = {NULL};
    static const char *const bad_route[] = {"\xff"};
    char long_path[200] = "/";
    memset(long_path + 1, 'd', sizeof long_path - 2);
    const struct {
        const char *address;
        struct wsb_handler_options options;
        enum wsb_reason want;
    } rows[] = {
        {"", {ROUTES}, WSB_REASON_ADDRESS},
        {"nonsense", {ROUTES}, WSB_REASON_ADDRESS},
        {"ipc://relative", {ROUTES}, WSB_REASON_ADDRESS},
        {"shm:/run/wsbus", {ROUTES}, WSB_REASON_ADDRESS},
        {"tcp://", {ROUTES}, WSB_REASON_ADDRESS},
        {"tcp://127.0.0.1", {ROUTES}, WSB_REASON_ADDRESS},
        {"tcp://127.0.0.1:99999", {ROUTES}, WSB_REASON_ADDRESS},
        {long_path, {ROUTES}, WSB_REASON_ADDRESS},
        {"/tmp", {0}, WSB_REASON_MISUSE},
        {"/tmp", {.routes = one_route}, WSB_REASON_MISUSE},
        {"/tmp", {.route_count = 1}, WSB_REASON_MISUSE},
        {"/tmp", {.routes = null_route, .route_count = 1}, WSB_REASON_MISUSE},
        {"/tmp", {.routes = bad_route, .route_count = 1}, WSB_REASON_MISUSE},
        {"/tmp", {.routes = null_route, .route_count = SIZE_MAX}, WSB_REASON_MISUSE},
        {"/tmp", {ROUTES, .name = ""}, WSB_REASON_MISUSE},
        {"/tmp", {ROUTES, .name = long_path}, WSB_REASON_MISUSE},
        {"/tmp", {ROUTES, .level = (enum wsb_level)7}, WSB_REASON_MISUSE},
        {"/tmp", {ROUTES, .weight = 1001}, WSB_REASON_MISUSE},
        {"/tmp", {ROUTES, .credit_messages = UINT32_MAX}, WSB_REASON_MISUSE},
        {"/tmp", {ROUTES, .credit_bytes = SIZE_MAX}, WSB_REASON_MISUSE},
        {"/tmp/wsb-nobody", {ROUTES, .wait_ms = 1}, WSB_REASON_GATE_GONE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        wsb_handler h = {77};
        if (wsb_handler_open(rows[i].address, &rows[i].options, &h))
            fail_msg("opened: %s", rows[i].address);
        assert_int_equal(wsb_reason(h), rows[i].want);
        assert_int_equal(h.v, 0);
        assert_string_not_equal(wsb_why(), "");
    }
    wsb_handler h = {77};
    assert_false(wsb_handler_open("/tmp", NULL, &h)); /* no options: no routes */
    assert_int_equal(wsb_reason(h), WSB_REASON_MISUSE);
    assert_non_null(strstr(wsb_why(), "routes: at least one"));
    assert_false(wsb_handler_open("/tmp", &(struct wsb_handler_options){ROUTES}, NULL));
}

static void test_one_handle_too_many(void **state)
{
    (void)state;
    wsb_handler h[WSB_HANDLERS_MAX + 1];
    for (int i = 0; i < WSB_HANDLERS_MAX; i++)
        if (!wsb_handler_open("/tmp/wsb-nobody", &with_routes, &h[i]))
            fail_msg("%d: %s", i, wsb_why());
    assert_false(wsb_handler_open("/tmp/wsb-nobody", &with_routes, &h[WSB_HANDLERS_MAX]));
    assert_int_equal(wsb_reason((wsb_handler){0}), WSB_REASON_MISUSE);
    for (int i = 0; i < WSB_HANDLERS_MAX; i++)
        assert_true(wsb_handler_close(h[i]));
}

static void test_no_gate_is_a_reason_and_not_a_wait(void **state)
{
    (void)state;
    wsb_handler h;
    struct wsb_event ev;
    assert_true(wsb_handler_open("/tmp/wsb-nobody", &with_routes, &h));
    assert_false(wsb_readguarded(h, &ev, 1));
    assert_int_equal(wsb_reason(h), WSB_REASON_GATE_GONE);
    assert_false(wsb_writeguarded(h, 5, WSB_TEXT, "x", 1));
    assert_int_equal(wsb_reason(h), WSB_REASON_GATE_GONE);
    assert_false(wsb_sendwait(h, 5, WSB_TEXT, "x", 1, -1));
    assert_int_equal(wsb_reason(h), WSB_REASON_GATE_GONE);
    assert_false(wsb_connected(h));
    assert_true(wsb_handler_close(h));
}

/* ------------------------------------------------------------ gates that misbehave */

static void test_what_makes_no_sense_is_dropped_and_counted(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_buf batch = {0};
    struct wsb_header odd = data_head(5, 1);
    odd.code = 7;
    fake_batch_add(&batch, data_head(5, 2), "good", NULL);
    size_t one = batch.len;
    fake_batch_add(&batch, data_head(5, 3), "cut off", NULL);

    fake_gate_send(b.gate, head(99, 0, 0), NULL, NULL);                                 /* unknown type */
    fake_gate_send(b.gate, head(WSB_SEND, 5, 0), "x", NULL);                            /* a command */
    fake_gate_send(b.gate, odd, "x", NULL);                                             /* unknown opcode */
    fake_gate_send(b.gate, data_head(0, 0), "x", NULL);                                 /* no connection */
    fake_gate_send(b.gate, head(WSB_BATCH, 0, 0), "rubbish", NULL);                     /* no record */
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len - 8, NULL); /* truncated: dropped whole */
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, one, "{}");           /* metadata of a batch */
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{\"path\":1,\"path\":2}");      /* an event, its JSON is not */
    fake_gate_send(b.gate, head(WSB_CLOSED_EV, 5, 2), NULL, "[1]");
    fake_gate_send(b.gate, head(WSB_WELCOME, 0, 0), NULL, "{}"); /* without an epoch: not told */
    fake_gate_send(b.gate, data_head(6, 9), "end", NULL);

    struct wsb_event ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_OPEN);
    assert_null(wsb_event_str(&ev, "path"));
    assert_int_equal(wsb_event_num(&ev, "path", -1), -1);
    ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_CLOSED);
    assert_int_equal(wsb_event_close(&ev).code, 1006);
    assert_int_equal(must_read(b.h).seq, 9);
    assert_int_equal(wsb_malformed(b.h), 7);
    assert_true(wsb_connected(b.h));
    wsb_buf_deinit(&batch);
    part(&b);
}

static void test_after_closed_a_write_says_gone(void **state)
{
    (void)state;
    struct both b = join();
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    fake_gate_send(b.gate, head(WSB_CLOSED_EV, 5, 2), NULL,
                   "{\"by\":\"client\",\"code\":4002,\"reason\":\"done\",\"clean\":true}");
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    assert_true(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1));
    struct wsb_event ev = must_read(b.h);
    struct wsb_close_info info = wsb_event_close(&ev);
    assert_int_equal(info.by, WSB_BY_CLIENT);
    assert_int_equal(info.code, 4002);
    assert_true(info.clean);
    assert_string_equal(info.reason, "done");
    assert_false(wsb_isopen(b.h, 5));
    assert_false(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_GONE);
    assert_false(wsb_close(b.h, 5, 0, NULL));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_GONE);
    assert_true(wsb_writeguarded(b.h, 6, WSB_TEXT, "x", 1)); /* not known here: the gate decides */
    /* An event that has been read past is void, and so is one of a closed handle. */
    struct wsb_event next;
    assert_false(wsb_readguarded(b.h, &next, 0));
    assert_null(wsb_event_str(&ev, "by"));
    part(&b);
    assert_null(wsb_event_str(&ev, "by"));
}

static void test_a_new_gate_is_found_and_told_of(void **state)
{
    (void)state;
    struct both b = join();
    char dir[64];
    struct wsb_event ev;
    (void)snprintf(dir, sizeof dir, "%s", fake_gate_dir(b.gate));
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    fake_gate_close(b.gate);
    while (wsb_connected(b.h))
        (void)wsb_readguarded(b.h, &ev, 10);
    assert_int_equal(wsb_reason(b.h), WSB_REASON_GATE_GONE);
    assert_false(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_GATE_GONE);

    b.gate = fake_gate_open((struct fake_options){.dir = dir, .epoch = 2});
    ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_WELCOME);
    assert_int_equal(wsb_epoch(b.h), 2);
    assert_false(wsb_isopen(b.h, 5));
    assert_false(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_GONE);
    part(&b);
}

/* Read without waiting until a number of commands has come to the gate; the handle works only while it is called. */
static void read_until(struct both *b, uint8_t type, size_t count)
{
    struct wsb_event ev;
    for (int i = 0; fake_gate_count(b->gate, type) < count; i++) {
        assert_true(i < PATIENCE_MS / 5);
        assert_false(wsb_readguarded(b->h, &ev, 5));
    }
}

static void test_error_5_is_answered_with_hello(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_header error = head(WSB_ERROR, 0, 3);
    error.code = WSB_ERROR_NOT_REGISTERED;
    fake_gate_send(b.gate, error, "say HELLO", NULL);
    read_until(&b, WSB_HELLO, 2);
    while (!wsb_connected(b.h)) { /* the same epoch and id: nothing that the program would have to know */
        struct wsb_event ev;
        assert_false(wsb_readguarded(b.h, &ev, 5));
    }
    part(&b);
}

static void test_silence_is_answered_with_hello(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){.heartbeat_ms = 20}, (struct wsb_handler_options){0});
    read_until(&b, WSB_HELLO, 3);
    part(&b);
}

static void test_ping_is_answered_and_level_obeyed(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_header level = head(WSB_LEVEL, 0, 0);
    level.code = WSB_LOG_ERROR;
    fake_gate_send(b.gate, level, NULL, NULL);
    fake_gate_send(b.gate, head(WSB_PING_EV, 0, 11), "abc", NULL);
    read_until(&b, WSB_PONG, 1);
    struct fake_command pong = must_take(b.gate, WSB_PONG);
    assert_int_equal(pong.header.seq, 11);
    assert_string_equal(pong.payload, "abc");
    fake_command_free(&pong);
    assert_int_equal(wsb_log_level(b.h), WSB_LOG_ERROR);
    assert_true(wsb_log(b.h, WSB_LOG_WARN, "not to be seen"));
    assert_int_equal(fake_gate_count(b.gate, WSB_LOG), 0);
    part(&b);
}

static void test_a_refused_hello_is_an_error_event(void **state)
{
    (void)state;
    struct fake_gate *g = fake_gate_open((struct fake_options){.refuse_hello = WSB_ERROR_REFUSED});
    wsb_handler h;
    assert_true(wsb_handler_open(fake_gate_dir(g), &with_routes, &h));
    struct wsb_event ev = must_read(h);
    assert_int_equal(ev.type, WSB_EV_ERROR);
    assert_int_equal(ev.reason, WSB_REASON_REFUSED);
    assert_memory_equal(ev.data, "no", 2);
    assert_false(wsb_connected(h));
    struct both b = {g, h};
    part(&b);
}

/* -------------------------------------------------------------------- outcomes */

static void *answer_outcome(void *arg)
{
    struct both *b = arg;
    struct fake_command c = must_take(b->gate, WSB_SEND);
    fake_gate_send(b->gate, data_head(5, 2), "in between", NULL);
    struct wsb_header o = head(WSB_OUTCOME, 5, c.header.seq);
    o.code = WSB_OUTCOME_DROPPED;
    fake_gate_send(b->gate, o, NULL, "{\"reason\":\"slow\"}");
    fake_command_free(&c);
    return NULL;
}

static void test_sendwait_tells_the_outcome_and_keeps_events(void **state)
{
    (void)state;
    struct both b = join();
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, answer_outcome, &b), 0);
    assert_false(wsb_sendwait(b.h, 5, WSB_TEXT, "x", 1, PATIENCE_MS));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_DROPPED);
    (void)pthread_join(t, NULL);
    assert_int_equal(must_read(b.h).seq, 2);
    struct wsb_event ev;
    assert_false(wsb_readguarded(b.h, &ev, 0)); /* the outcome is not an event as well */
    assert_false(wsb_sendwait(b.h, 5, WSB_TEXT, "x", 1, 1));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_TIMEOUT);
    part(&b);
}

/* --------------------------------------------------------------------- threads */

struct reader {
    wsb_handler h;
    enum wsb_reason reason;
    struct wsb_event ev;
    bool got;
};

static void *read_for_ever(void *arg)
{
    struct reader *r = arg;
    do { /* await_reader() may be inside at this moment */
        r->got = wsb_readguarded(r->h, &r->ev, -1);
        r->reason = wsb_reason(r->h);
    } while (r->reason == WSB_REASON_MISUSE);
    return NULL;
}

/* Until the reader is inside: a second read is refused then, and only then. */
static void await_reader(wsb_handler h)
{
    struct wsb_event ev;
    while (wsb_readguarded(h, &ev, 0) || wsb_reason(h) != WSB_REASON_MISUSE)
        (void)poll(NULL, 0, 1);
}

static void test_close_and_wake_end_a_read(void **state)
{
    (void)state;
    for (int closes = 0; closes < 2; closes++) {
        struct both b = join();
        struct reader r = {.h = b.h};
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, read_for_ever, &r), 0);
        await_reader(b.h);
        if (closes)
            assert_true(wsb_handler_close(b.h));
        else
            wsb_wake(b.h);
        (void)pthread_join(t, NULL);
        assert_false(r.got);
        assert_int_equal(r.reason, closes ? WSB_REASON_CLOSED : WSB_REASON_SIGNAL);
        part(&b);
    }
}

static void test_a_reader_and_a_sendwait_at_a_time(void **state)
{
    (void)state;
    struct both b = join();
    struct reader r = {.h = b.h};
    pthread_t t, gate;
    assert_int_equal(pthread_create(&t, NULL, read_for_ever, &r), 0);
    await_reader(b.h);
    assert_int_equal(pthread_create(&gate, NULL, answer_outcome, &b), 0);
    assert_false(wsb_sendwait(b.h, 5, WSB_TEXT, "x", 1, PATIENCE_MS));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_DROPPED);
    (void)pthread_join(t, NULL);
    (void)pthread_join(gate, NULL);
    assert_true(r.got);
    assert_int_equal(r.ev.seq, 2);
    part(&b);
}

enum { WRITERS = 4, WRITES = 500 };

static void *write_many(void *arg)
{
    struct both *b = arg;
    for (int i = 0; i < WRITES; i++) {
        if (!wsb_writeguarded(b->h, 5, WSB_TEXT, "x", 1))
            return arg;
    }
    return NULL;
}

static void test_a_waiting_reader_holds_no_writer_up(void **state)
{
    (void)state;
    struct both b = join();
    struct reader r = {.h = b.h};
    pthread_t reader, writers[WRITERS];
    assert_int_equal(pthread_create(&reader, NULL, read_for_ever, &r), 0);
    await_reader(b.h);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, write_many, &b), 0);
    for (int i = 0; i < WRITERS; i++) {
        void *failed;
        (void)pthread_join(writers[i], &failed);
        assert_null(failed);
    }
    for (int i = 0; i < WRITERS * WRITES; i++) {
        struct fake_command c = must_take(b.gate, WSB_SEND);
        fake_command_free(&c);
    }
    fake_gate_send(b.gate, data_head(5, 1), "now", NULL);
    (void)pthread_join(reader, NULL);
    assert_true(r.got);
    part(&b);
}

/* ---------------------------------------------------------------------- trouble */

struct told {
    wsb_handler *h;
    int count;
    bool was_connected;
    char line[1024];
};

/* It calls the handle that it is about. */
static void on_trouble(void *of, const char *line)
{
    struct told *told = of;
    told->count++;
    told->was_connected = wsb_connected(*told->h);
    (void)snprintf(told->line, sizeof told->line, "%s", line);
}

static struct wsb_handler_options telling(struct told *told, const char *const *routes)
{
    return (struct wsb_handler_options){.size = sizeof(struct wsb_handler_options),
                                        .routes = routes,
                                        .route_count = 1,
                                        .name = "tester",
                                        .on_trouble = on_trouble,
                                        .trouble_of = told};
}

static void read_until_told(wsb_handler h, const struct told *told, int count)
{
    struct wsb_event ev;
    uint64_t until = wsb_now_ms() + PATIENCE_MS;
    while (told->count < count && wsb_now_ms() < until)
        (void)wsb_readguarded(h, &ev, 50);
    assert_int_equal(told->count, count);
}

static void test_a_refusal_is_told_once_and_its_end(void **state)
{
    (void)state;
    static const char *const routes[] = {"ekko"};
    struct fake_gate *g = fake_gate_open((struct fake_options){.refuse_hello = WSB_ERROR_REFUSED});
    wsb_handler h = {0};
    struct told told = {.h = &h};
    struct wsb_handler_options o = telling(&told, routes);
    char dir[64], want[300];
    (void)snprintf(dir, sizeof dir, "%s", fake_gate_dir(g));
    assert_true(wsb_handler_open(dir, &o, &h));
    read_until_told(h, &told, 1);
    (void)snprintf(want, sizeof want,
                   "wsbus: handler 'tester' (route 'ekko'): the gate at %s refuses the registration: no; correct the "
                   "handler, or the gate's configuration",
                   dir);
    assert_string_equal(told.line, want);
    assert_false(told.was_connected);
    struct wsb_event ev;
    for (int i = 0; i < 100; i++) /* looking at it again says nothing new */
        (void)wsb_readguarded(h, &ev, 0);
    assert_int_equal(told.count, 1);
    fake_gate_close(g);
    read_until_told(h, &told, 2);
    assert_non_null(strstr(told.line, "no gate at"));
    g = fake_gate_open((struct fake_options){.dir = dir, .epoch = 2});
    read_until_told(h, &told, 3);
    assert_non_null(strstr(told.line, "registered with the gate at"));
    assert_true(told.was_connected);
    assert_true(wsb_handler_close(h));
    fake_gate_close(g);
    fake_gate_remove_dir(dir);
}

static void wake_when_told(void *of, const char *line)
{
    struct told *told = of;
    told->count += line != NULL;
    wsb_wake(*told->h);
}

/* What is wrong was found before the sleep, which nothing may end for hours. */
static void test_a_line_does_not_wait_for_the_end_of_a_sleep(void **state)
{
    (void)state;
    struct told told = {0};
    struct wsb_handler_options o = telling(&told, NULL);
    o.on_trouble = wake_when_told;
    struct both b = join_with((struct fake_options){.heartbeat_ms = 200000}, o);
    struct wsb_event ev;
    told.h = &b.h;
    struct wsb_handle *h = wsb_enter(b.h);
    wsb_trouble_note(&h->trouble, WSB_TROUBLE_MUTE, "", wsb_now_ms());
    assert_true(h->trouble.is_pending);
    wsb_unlock(h);
    assert_false(wsb_readguarded(b.h, &ev, -1)); /* ten minutes, if it does not */
    assert_int_equal(wsb_reason(b.h), WSB_REASON_SIGNAL);
    assert_int_equal(told.count, 1);
    part(&b);
}

/* The end of the connection says it: no PING is due for ten minutes. */
static void test_a_new_gate_is_found_without_a_silence(void **state)
{
    (void)state;
    char dir[64];
    struct both b = join_with((struct fake_options){.heartbeat_ms = 200000}, (struct wsb_handler_options){.name = "t"});
    (void)snprintf(dir, sizeof dir, "%s", fake_gate_dir(b.gate));
    fake_gate_close(b.gate);
    b.gate = fake_gate_open((struct fake_options){.dir = dir, .epoch = 2, .heartbeat_ms = 200000});
    struct wsb_event ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_WELCOME);
    assert_int_equal(wsb_epoch(b.h), 2);
    part(&b);
}

static void test_open_that_waits_says_what_was_wrong(void **state)
{
    (void)state;
    static const char *const routes[] = {"ekko"};
    wsb_handler h = {0};
    struct told told = {.h = &h};
    struct wsb_handler_options o = telling(&told, routes);
    for (o.wait_ms = 50; told.count == 0 && o.wait_ms <= PATIENCE_MS; o.wait_ms *= 2) { /* it is a thread that tries */
        assert_false(wsb_handler_open("/nonexistent/wsbus", &o, &h));
        assert_int_equal(wsb_reason(h), WSB_REASON_GATE_GONE);
    }
    assert_int_equal(told.count, 1);
    assert_non_null(strstr(wsb_why(), "no gate at /nonexistent/wsbus: no socket is there"));
}

static void test_a_child_has_no_handles(void **state)
{
    (void)state;
    struct both b = join();
    pid_t child = fork();
    if (child == 0) {
        struct wsb_event ev;
        bool refused = !wsb_readguarded(b.h, &ev, -1) && wsb_reason(b.h) == WSB_REASON_MISUSE &&
                       !wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1) && !wsb_handler_close(b.h);
        wsb_wake(b.h);
        _exit(refused ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_true(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1)); /* the parent's is as it was */
    assert_true(wsb_flush(b.h));
    struct fake_command c = must_take(b.gate, WSB_SEND);
    fake_command_free(&c);
    part(&b);
}

/* ------------------------------------------------------------- descriptor, limits */

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

static void test_fd_is_readable_while_there_is_something(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_event ev;
    int fd = wsb_handler_fd(b.h);
    assert_true(fd >= 0);
    assert_int_equal(wsb_handler_fd(b.h), fd);
    while (wsb_readguarded(b.h, &ev, 0))
        ;
    struct wsb_buf batch = {0};
    fake_batch_add(&batch, data_head(5, 1), "a", NULL);
    fake_batch_add(&batch, data_head(5, 2), "b", NULL);
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    for (uint64_t want = 1; want <= 2; want++) {
        do {
            assert_true(is_readable(fd, PATIENCE_MS));
            (void)wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1); /* must not swallow what the descriptor has to tell */
        } while (!wsb_readguarded(b.h, &ev, 0));
        assert_int_equal(ev.seq, want);
    }
    while (wsb_readguarded(b.h, &ev, 0) || is_readable(fd, 0))
        ; /* ends: nothing is left, and the descriptor knows */
    wsb_wake(b.h);
    assert_true(is_readable(fd, 0));
    assert_false(wsb_readguarded(b.h, &ev, 0));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_SIGNAL);
    wsb_buf_deinit(&batch);
    part(&b);
}

/* It has no other clock: while nothing comes, the descriptor says when the gate has to be asked again. */
static void test_a_program_that_only_polls_asks_again(void **state)
{
    (void)state;
    struct fake_gate *gate = fake_gate_open((struct fake_options){.is_silent = true});
    struct both b = {.gate = gate};
    struct wsb_event ev;
    assert_true(wsb_handler_open(fake_gate_dir(gate), &with_routes, &b.h));
    int fd = wsb_handler_fd(b.h);
    while (fake_gate_count(gate, WSB_HELLO) < 2) {
        while (wsb_readguarded(b.h, &ev, 0))
            ;
        if (fake_gate_count(gate, WSB_HELLO) < 2)
            assert_true(is_readable(fd, PATIENCE_MS));
    }
    fake_gate_set_silent(gate, false);
    do {
        assert_true(is_readable(fd, PATIENCE_MS));
    } while (!wsb_readguarded(b.h, &ev, 0));
    assert_int_equal(ev.type, WSB_EV_WELCOME);
    part(&b);
}

/* A call that does not end by a wake takes the signal of it, and leaves the wake to the next read. */
static void test_a_wake_outlives_a_sendwait(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_event ev;
    int fd = wsb_handler_fd(b.h);
    while (wsb_readguarded(b.h, &ev, 0) || is_readable(fd, 0))
        ;
    wsb_wake(b.h);
    assert_false(wsb_sendwait(b.h, 5, WSB_TEXT, "x", 1, 50));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_TIMEOUT);
    assert_true(is_readable(fd, 0));
    assert_false(wsb_readguarded(b.h, &ev, 0));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_SIGNAL);
    part(&b);
}

static void test_a_full_queue_is_a_reason(void **state)
{
    (void)state;
    enum { LIMIT = 100000, SIZE = 1000 };
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.out_limit = LIMIT});
    struct wsb_event ev;
    char data[SIZE] = {0};
    fake_gate_send(b.gate, data_head(5, 1), "x", NULL);
    ev = must_read(b.h); /* in a round, so that nothing leaves */
    int taken = 0;
    while (taken <= LIMIT / SIZE && wsb_writeguarded(b.h, ev.conn, WSB_BINARY, data, SIZE))
        taken++;
    assert_int_equal(wsb_reason(b.h), WSB_REASON_FULL);
    assert_true(taken > 0);
    assert_true(wsb_flush(b.h));
    for (int i = 0; i < taken; i++) {
        struct fake_command c = must_take(b.gate, WSB_SEND);
        fake_command_free(&c);
    }
    while (!wsb_writeguarded(b.h, ev.conn, WSB_BINARY, data, SIZE)) /* the account follows ZeroMQ's thread */
        assert_int_equal(wsb_reason(b.h), WSB_REASON_FULL);
    part(&b);
}

static void test_a_large_message_keeps_its_place(void **state)
{
    (void)state;
    enum { LARGE = 1 << 20 };
    struct both b = join();
    char *large = calloc(1, LARGE);
    assert_non_null(large);
    fake_gate_send(b.gate, data_head(5, 1), "x", NULL);
    struct wsb_event ev = must_read(b.h);
    assert_true(wsb_writeguarded(b.h, ev.conn, WSB_TEXT, "first", 5));
    assert_true(wsb_writeguarded(b.h, ev.conn, WSB_BINARY, large, LARGE));
    assert_true(wsb_writeguarded(b.h, ev.conn, WSB_TEXT, "last", 4));
    assert_true(wsb_flush(b.h));
    static const size_t want[] = {5, LARGE, 4};
    for (int i = 0; i < 3; i++) {
        struct fake_command c = must_take(b.gate, WSB_SEND);
        assert_int_equal(c.header.payload_len, want[i]);
        fake_command_free(&c);
    }
    free(large);
    part(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_says_who_we_are),
        cmocka_unit_test(test_echo_there_and_back),
        cmocka_unit_test(test_replies_to_one_batch_leave_in_one_batch),
        cmocka_unit_test(test_commands_say_what_the_protocol_says),
        cmocka_unit_test(test_handles_that_are_none),
        cmocka_unit_test(test_arguments_that_make_no_sense),
        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_one_handle_too_many),
        cmocka_unit_test(test_no_gate_is_a_reason_and_not_a_wait),
        cmocka_unit_test(test_what_makes_no_sense_is_dropped_and_counted),
        cmocka_unit_test(test_after_closed_a_write_says_gone),
        cmocka_unit_test(test_a_new_gate_is_found_and_told_of),
        cmocka_unit_test(test_error_5_is_answered_with_hello),
        cmocka_unit_test(test_silence_is_answered_with_hello),
        cmocka_unit_test(test_ping_is_answered_and_level_obeyed),
        cmocka_unit_test(test_a_refused_hello_is_an_error_event),
        cmocka_unit_test(test_sendwait_tells_the_outcome_and_keeps_events),
        cmocka_unit_test(test_close_and_wake_end_a_read),
        cmocka_unit_test(test_a_reader_and_a_sendwait_at_a_time),
        cmocka_unit_test(test_a_waiting_reader_holds_no_writer_up),
        cmocka_unit_test(test_a_refusal_is_told_once_and_its_end),
        cmocka_unit_test(test_a_line_does_not_wait_for_the_end_of_a_sleep),
        cmocka_unit_test(test_a_new_gate_is_found_without_a_silence),
        cmocka_unit_test(test_open_that_waits_says_what_was_wrong),
        cmocka_unit_test(test_a_child_has_no_handles),
        cmocka_unit_test(test_fd_is_readable_while_there_is_something),
        cmocka_unit_test(test_a_program_that_only_polls_asks_again),
        cmocka_unit_test(test_a_wake_outlives_a_sendwait),
        cmocka_unit_test(test_a_full_queue_is_a_reason),
        cmocka_unit_test(test_a_large_message_keeps_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
