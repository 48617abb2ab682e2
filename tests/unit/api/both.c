#include "both.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

struct both join_with(struct fake_options o, struct wsb_handler_options ho)
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

struct both join(void)
{
    return join_with((struct fake_options){0}, (struct wsb_handler_options){0});
}

void part(struct both *b)
{
    char dir[64];
    (void)snprintf(dir, sizeof dir, "%s", fake_gate_dir(b->gate));
    (void)wsb_handler_close(b->h);
    fake_gate_close(b->gate);
    fake_gate_remove_dir(dir);
}

struct wsb_header head(uint8_t type, uint64_t conn, uint64_t seq)
{
    return (struct wsb_header){.type = type, .conn = conn, .seq = seq, .time_ns = 42};
}

struct wsb_header data_head(uint64_t conn, uint64_t seq)
{
    struct wsb_header h = head(WSB_DATA, conn, seq);
    h.code = WSB_TEXT;
    return h;
}

struct wsb_event must_read(wsb_handler h)
{
    struct wsb_event ev;
    if (!wsb_readguarded(h, &ev, PATIENCE_MS))
        fail_msg("read: %s", wsb_reason_name(wsb_reason(h)));
    return ev;
}

struct fake_command must_take(struct fake_gate *g, uint8_t type)
{
    struct fake_command c;
    if (!fake_gate_take(g, type, &c))
        fail_msg("no %s came", wsb_type_name(type));
    return c;
}
