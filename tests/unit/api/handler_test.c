/* What wsbus/handler.h promises, against a gate whose every word is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fake_gate.h"
#include "wsbus/handler.h"

enum { PATIENCE_MS = 5000 };

struct both {
    struct fake_gate *gate;
    wsb_handler h;
};

static struct both join_with(struct fake_options o, struct wsb_handler_options ho)
{
    static const char *const routes[] = {"echo", "chat"};
    struct both b = {.gate = fake_gate_open(o)};
    struct wsb_event ev;
    ho.routes = routes;
    ho.route_count = 2;
    ho.wait_ms = PATIENCE_MS;
    if (!wsb_handler_open(fake_gate_dir(b.gate), &ho, &b.h))
        fail_msg("open: %s", wsb_why());
    assert_true(wsb_readguarded(b.h, &ev, PATIENCE_MS));
    assert_int_equal(ev.type, WSB_EV_WELCOME);
    return b;
}

static struct both join(void)
{
    return join_with((struct fake_options){0}, (struct wsb_handler_options){0});
}

static void part(struct both *b)
{
    char dir[64];
    (void)snprintf(dir, sizeof dir, "%s", fake_gate_dir(b->gate));
    (void)wsb_handler_close(b->h);
    fake_gate_close(b->gate);
    fake_gate_remove_dir(dir);
}

static struct wsb_header head(uint8_t type, uint64_t conn, uint64_t seq)
{
    return (struct wsb_header){.type = type, .conn = conn, .seq = seq, .time_ns = 42};
}

static struct wsb_header data_head(uint64_t conn, uint64_t seq)
{
    struct wsb_header h = head(WSB_DATA, conn, seq);
    h.code = WSB_TEXT;
    return h;
}

static struct wsb_event must_read(wsb_handler h)
{
    struct wsb_event ev;
    if (!wsb_readguarded(h, &ev, PATIENCE_MS))
        fail_msg("read: %s", wsb_reason_name(wsb_reason(h)));
    return ev;
}

static struct fake_command must_take(struct fake_gate *g, uint8_t type)
{
    struct fake_command c;
    if (!fake_gate_take(g, type, &c))
        fail_msg("no %s came", wsb_type_name(type));
    return c;
}

static void test_hello_says_who_we_are(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.name = "tester"});
    struct fake_command hello = must_take(b.gate, WSB_HELLO);
    char want[200];
    (void)snprintf(want, sizeof want,
                   "{\"routes\":[\"echo\",\"chat\"],\"name\":\"tester\",\"batch\":true,\"pid\":%d,\"language\":\"C\","
                   "\"level\":\"debug\"}",
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello_says_who_we_are),
        cmocka_unit_test(test_echo_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
