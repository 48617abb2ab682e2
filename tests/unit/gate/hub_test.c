/*
 * The hub between a scripted link and scripted sessions: registration, pinning, forwarding, commands, and what happens when
 * a handler goes.
 */
#include "support/test.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "gate/hub.h"

/* ---------------------------------------------------------------- the link */

struct fake_server {
    struct wsb_server base;
    int fd;
    char log[8192];    /* "a:welcome a:open{…}" */
    bool is_gone[128]; /* peers by their letter */
    struct wsb_buf in; /* one message to be received */
    char in_peer;
    bool in_is_batch;
};

static void fake_close(struct wsb_server *s)
{
    close(((struct fake_server *)s)->fd);
}

static int fake_fd(const struct wsb_server *s, enum wsb_channel c)
{
    (void)c;
    return dup(((const struct fake_server *)s)->fd);
}

static wsb_err fake_recv(struct wsb_server *s, enum wsb_channel c, struct wsb_inbound *ret)
{
    struct fake_server *f = (struct fake_server *)s;
    *ret = (struct wsb_inbound){0};
    if (f->in.len == 0 || c != (f->in_peer ? WSB_CHANNEL_HANDLERS : WSB_CHANNEL_COMMANDS))
        return WSB_AGAIN;
    ret->peer = wsb_span(&f->in_peer, f->in_peer ? 1 : 0);
    ret->envelope = (struct wsb_envelope){.header = {.type = WSB_BATCH}, .payload = wsb_buf_span(&f->in)};
    ret->envelope.header.payload_len = (uint32_t)f->in.len;
    return WSB_OK;
}

static struct fake_server *server_of_release;

static void fake_release(struct wsb_inbound *in)
{
    (void)in;
    wsb_buf_clear(&server_of_release->in);
}

static bool fake_has_input(struct wsb_server *s, enum wsb_channel c)
{
    (void)s;
    (void)c;
    return false;
}

static void log_envelope(struct fake_server *f, char peer, const struct wsb_envelope *e)
{
    size_t n = strlen(f->log);
    snprintf(f->log + n, sizeof f->log - n, "%s%c:%s%s%s%.*s", n ? " " : "", peer, wsb_type_name(e->header.type),
             e->header.flags & WSB_FLAG_REDELIVERED ? "!" : "", e->payload.len ? "=" : "", (int)e->payload.len,
             (const char *)e->payload.ptr);
    n = strlen(f->log);
    if (e->header.type == WSB_DATA)
        snprintf(f->log + n, sizeof f->log - n, "#%d", (int)e->header.seq);
    if (e->header.type == WSB_OUTCOME || e->header.type == WSB_ERROR)
        snprintf(f->log + n, sizeof f->log - n, "(%d)", e->header.code);
}

static wsb_err fake_send(struct wsb_server *s, struct wsb_span peer, const struct wsb_header *h,
                         struct wsb_block *payload, struct wsb_span meta)
{
    struct fake_server *f = (struct fake_server *)s;
    char p = (char)peer.ptr[0];
    bool gone = f->is_gone[(int)p];
    struct wsb_span rest = wsb_span(payload->data, payload->len);
    struct wsb_envelope e = {.header = *h, .payload = rest, .meta = meta};
    if (!gone && h->type != WSB_BATCH)
        log_envelope(f, p, &e);
    while (!gone && h->type == WSB_BATCH && wsb_record_next(&rest, &e) == WSB_OK)
        log_envelope(f, p, &e);
    wsb_block_free(payload);
    return gone ? WSB_CLOSED : WSB_OK;
}

static wsb_err fake_publish(struct wsb_server *s, const char *topic, const struct wsb_header *h,
                            struct wsb_block *payload, struct wsb_span meta)
{
    (void)s;
    (void)topic;
    (void)h;
    (void)meta;
    wsb_block_free(payload);
    return WSB_OK;
}

static const struct wsb_server_ops fake_ops = {fake_close,     fake_fd,   fake_recv,   fake_release,
                                               fake_has_input, fake_send, fake_publish};

/* ------------------------------------------------------------- the fixture */

struct fixture {
    struct wsg_loop *loop;
    struct wsg_routes routes;
    struct fake_server server;
    struct wsg_hub hub;
    struct wsg_outbox outbox;
    bool is_behind;
    char commands[4096]; /* what sessions are told: "send=x@5,6 fail@5" */
};

static void host_command(void *ctx, const struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    struct fixture *f = ctx;
    size_t n = strlen(f->commands);
    const char *name = c->type == WSG_CMD_FAIL     ? "fail"
                       : c->type == WSG_CMD_PAUSE  ? "pause"
                       : c->type == WSG_CMD_RESUME ? "resume"
                                                   : wsb_type_name(c->type);
    n += (size_t)snprintf(f->commands + n, sizeof f->commands - n, "%s%s%s%.*s", n ? " " : "", name,
                          c->payload.len ? "=" : "", (int)(c->payload.len < 20 ? c->payload.len : 20),
                          (const char *)c->payload.ptr);
    if (c->status)
        n += (size_t)snprintf(f->commands + n, sizeof f->commands - n, "(%d)", c->status);
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(f->commands + n, sizeof f->commands - n, "%s%d", i ? "," : "@",
                              (int)wsg_id_parts(ids[i]).slot);
}

static void host_reply(void *ctx, uint64_t origin, const struct wsb_envelope *e)
{
    (void)ctx;
    (void)origin;
    (void)e;
}

static void host_tap(void *ctx, const struct wsg_out *out)
{
    (void)ctx;
    (void)out;
}

static bool host_is_behind(void *ctx)
{
    return ((struct fixture *)ctx)->is_behind;
}

static int setup(void **state)
{
    static const struct wsg_route_policy policy = {.kinds = WSG_KIND_WEBSOCKET | WSG_KIND_HTTP,
                                                   .max_message = 1000,
                                                   .max_retained = 1 << 20,
                                                   .max_backlog = 1000,
                                                   .ack_timeout_ms = 30000,
                                                   .handler_wait_ms = 1000};
    struct fixture *f = calloc(1, sizeof *f);
    const struct wsg_hub_host host = {f, host_command, host_reply, host_tap, host_is_behind};
    assert_int_equal(wsg_loop_new(&f->loop), WSB_OK);
    assert_int_equal(wsg_routes_init(&f->routes, 2), WSB_OK);
    assert_int_equal(wsg_routes_add(&f->routes, "r", "/r", NULL, &policy, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&f->routes, "q", "/q", NULL, &policy, NULL), WSB_OK);
    f->server = (struct fake_server){.base.ops = &fake_ops, .fd = eventfd(0, EFD_CLOEXEC)};
    server_of_release = &f->server;
    assert_int_equal(wsg_hub_open(&f->hub, f->loop, &f->routes, &f->server.base, &host, 77, 1000), WSB_OK);
    wsg_outbox_init(&f->outbox, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int fds[WSB_CHANNELS];
    for (int c = 0; c < WSB_CHANNELS; c++)
        fds[c] = f->hub.watches[c].fd;
    wsg_hub_close(&f->hub);
    for (int c = 0; c < WSB_CHANNELS; c++)
        close(fds[c]);
    wsg_outbox_deinit(&f->outbox);
    wsb_buf_deinit(&f->server.in);
    wsg_routes_deinit(&f->routes);
    wsg_loop_free(f->loop);
    free(f);
    return 0;
}

static wsb_conn conn_of(uint32_t slot)
{
    return wsg_id_make((struct wsg_id_parts){1, 1, 0, slot});
}

/* A handler (peer 0: somebody on `commands`) says this. */
static void hear(struct fixture *f, char peer, uint8_t type, uint8_t code, uint8_t flags, uint32_t slot,
                 const char *payload, const char *meta)
{
    struct wsb_envelope e = {
        .header = {.type = type, .code = code, .flags = flags, .conn = slot ? conn_of(slot) : 0, .seq = 42},
        .payload = wsb_span_str(payload),
        .meta = wsb_span_str(meta)};
    f->server.in_peer = peer;
    assert_int_equal(wsb_record_append(&f->server.in, &e), WSB_OK);
    wsg_hub_receive(&f->hub);
    wsg_hub_flush(&f->hub);
}

/* A session says this. */
static void happen(struct fixture *f, uint8_t type, uint32_t slot, uint16_t route, const char *payload)
{
    struct wsg_out out = {.kind = WSG_OUT_EVENT,
                          .route = route,
                          .envelope = {.header = {.type = type, .conn = conn_of(slot)},
                                       .payload = wsb_span_str(payload),
                                       .meta = wsb_span_str(type == WSB_OPEN || type == WSB_REQUEST ? "{}" : NULL)}};
    assert_int_equal(wsg_outbox_put(&f->outbox, &out), WSB_OK);
    wsg_hub_take(&f->hub, wsb_buf_span(&f->outbox.buf));
    wsb_buf_clear(&f->outbox.buf);
    wsg_hub_flush(&f->hub);
}

static void hello(struct fixture *f, char peer)
{
    hear(f, peer, WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"batch\":true}");
}

static void forget(struct fixture *f)
{
    f->server.log[0] = f->commands[0] = 0;
}

/* ------------------------------------------------------------------- tests */

static void test_hello_registers_and_bye_leaves(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    assert_string_equal(f->server.log, "a:welcome");
    assert_int_equal(atomic_load(&f->routes.routes[0].handlers), 1);
    hello(f, 'a'); /* again is harmless */
    assert_int_equal(atomic_load(&f->routes.routes[0].handlers), 1);
    assert_int_equal(f->hub.handlers.count, 1);
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_int_equal(f->hub.handlers.count, 0);
    assert_int_equal(atomic_load(&f->routes.routes[0].handlers), 0);
}

static void test_events_go_to_the_pinned_handler_in_order(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    hello(f, 'b');
    forget(f);
    happen(f, WSB_OPEN, 1, 0, "");
    happen(f, WSB_OPEN, 2, 0, "");
    happen(f, WSB_DATA, 1, 0, "x");
    happen(f, WSB_DATA, 2, 0, "y");
    happen(f, WSB_DATA, 1, 0, "z");
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    assert_string_equal(f->server.log, "a:open b:open a:data=x#2 b:data=y#2 a:data=z#3 a:closed");
    assert_int_equal(f->hub.pins.count, 1);
}

static void test_no_handler_fails_the_connection(void **state)
{
    struct fixture *f = *state;
    happen(f, WSB_OPEN, 1, 0, "");
    happen(f, WSB_REQUEST, 2, 1, "");
    assert_string_equal(f->commands, "fail(503)@1 fail(503)@2");
    assert_int_equal(f->hub.pins.count, 0);
    happen(f, WSB_CLOSED_EV, 1, 0, ""); /* its end is nobody's event */
}

static void test_dead_handler_hands_over_its_connections(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    happen(f, WSB_DATA, 1, 0, "one");
    happen(f, WSB_REQUEST, 2, 0, "");
    hello(f, 'b');
    forget(f);
    f->server.is_gone['a'] = true;
    happen(f, WSB_DATA, 1, 0, "two"); /* the send finds out */
    happen(f, WSB_DATA, 1, 0, "three");
    assert_string_equal(f->server.log, "b:open! b:data=three#4");
    assert_string_equal(f->commands, "fail(502)@2");
    assert_int_equal(f->hub.handlers.count, 1);
}

static void test_last_handler_gone_fails_everything(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    forget(f);
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_string_equal(f->commands, "fail(503)@1");
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    assert_int_equal(f->hub.pins.count, 0);
}

static void test_send_goes_to_one_or_many(void **state)
{
    struct fixture *f = *state;
    char meta[128];
    hello(f, 'a');
    hear(f, 'a', WSB_SEND, WSB_TEXT, 0, 5, "one", NULL);
    snprintf(meta, sizeof meta, "{\"to\":[\"%016llx\",\"%016llx\"]}", (unsigned long long)conn_of(5),
             (unsigned long long)conn_of(6));
    hear(f, 'a', WSB_SEND, WSB_BINARY, 0, 0, "many", meta);
    assert_string_equal(f->commands, "send=one@5 send=many@5,6");
}

static void test_bad_commands_are_answered_and_harm_nobody(void **state)
{
    static const struct {
        const char *name;
        uint8_t type, code, flags;
        uint32_t slot;
        const char *payload, *meta, *want;
    } rows[] = {
        {"unknown type", 90, 0, 0, 0, "", NULL, "(1)"},
        {"an event's type", WSB_DATA, 0, 0, 0, "", NULL, "(1)"},
        {"unknown flag", WSB_SEND, WSB_TEXT, 64, 5, "x", NULL, "(2)"},
        {"a flag for events", WSB_SEND, WSB_TEXT, WSB_FLAG_REDELIVERED, 5, "x", NULL, "(2)"},
        {"metadata is not JSON", WSB_SEND, WSB_TEXT, 0, 5, "x", "{", "(3)"},
        {"no target", WSB_SEND, WSB_TEXT, 0, 0, "x", NULL, "(3)"},
        {"opcode", WSB_SEND, 3, 0, 5, "x", NULL, "(4)"},
        {"not UTF-8", WSB_SEND, WSB_TEXT, 0, 5, "\xff", NULL, "(4)"},
        {"not UTF-8, with outcome", WSB_SEND, WSB_TEXT, WSB_FLAG_WANT_OUTCOME, 5, "\xff", NULL, "a:outcome(6)"},
        {"close code", WSB_CLOSE, 0, 0, 5, "", "{\"code\":1005}", "(3)"},
        {"publish to nothing", WSB_PUBLISH, WSB_TEXT, 0, 0, "x", NULL, "(3)"},
        {"publish to both", WSB_PUBLISH, WSB_TEXT, 0, 0, "x", "{\"group\":\"g\",\"route\":\"r\"}", "(3)"},
        {"publish to no route", WSB_PUBLISH, WSB_TEXT, 0, 0, "x", "{\"route\":\"none\"}", "(6)"},
        {"join nothing", WSB_JOIN, 0, 0, 5, "", NULL, "(3)"},
        {"route that is not there", WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"none\"]}", "(6)"},
        {"no routes", WSB_HELLO, 0, 0, 0, "", "{}", "(3)"},
    };
    struct fixture *f = *state;
    hello(f, 'a');
    for (size_t i = 0; i < COUNT(rows); i++) {
        forget(f);
        hear(f, 'a', rows[i].type, rows[i].code, rows[i].flags, rows[i].slot, rows[i].payload, rows[i].meta);
        if (!strstr(f->server.log, rows[i].want) || f->commands[0])
            fail_msg("%s: '%s' and '%s'", rows[i].name, f->server.log, f->commands);
    }
    assert_int_equal(f->hub.handlers.count, 1);
}

static void test_strangers_must_say_hello_first(void **state)
{
    struct fixture *f = *state;
    hear(f, 's', WSB_SEND, WSB_TEXT, 0, 5, "x", NULL);
    hear(f, 's', WSB_PING, 0, 0, 0, "p", NULL);
    assert_string_equal(f->server.log, "s:error=say HELLO first(5) s:pong=p");
    assert_string_equal(f->commands, "");
}

static void test_commands_endpoint_takes_commands_and_answers_nothing(void **state)
{
    struct fixture *f = *state;
    hear(f, 0, WSB_SEND, WSB_TEXT, WSB_FLAG_WANT_OUTCOME, 5, "x", NULL);
    hear(f, 0, WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"]}");
    assert_string_equal(f->commands, "send=x@5");
    assert_string_equal(f->server.log, "");
    assert_int_equal(f->hub.handlers.count, 0);
    assert_int_equal(f->hub.stats.command_errors, 1);
}

static void test_publish_reaches_a_group_and_a_route_with_exceptions(void **state)
{
    struct fixture *f = *state;
    char meta[128];
    hello(f, 'a');
    for (uint32_t i = 1; i <= 4; i++)
        happen(f, WSB_OPEN, i, 0, "");
    hear(f, 'a', WSB_JOIN, 0, 0, 1, "", "{\"groups\":[\"g\"]}");
    hear(f, 'a', WSB_JOIN, 0, 0, 3, "", "{\"groups\":[\"g\",\"h\"]}");
    forget(f);
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "x", "{\"group\":\"g\"}");
    assert_string_equal(f->commands, "publish=x@1,3");
    forget(f);
    hear(f, 'a', WSB_LEAVE, 0, 0, 1, "", "{\"groups\":[\"g\"]}");
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "x", "{\"group\":\"g\"}");
    assert_string_equal(f->commands, "publish=x@3");
    forget(f);
    snprintf(meta, sizeof meta, "{\"route\":\"r\",\"except\":[\"%016llx\"]}", (unsigned long long)conn_of(2));
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "y", meta);
    assert_string_equal(f->commands, "publish=y@1,3,4");
    happen(f, WSB_CLOSED_EV, 3, 0, "");
    forget(f);
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "x", "{\"group\":\"g\"}");
    assert_string_equal(f->commands, ""); /* the group went with its last member */
}

static void test_garbage_in_a_batch_ends_it_and_keeps_what_was_good(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    forget(f);
    struct wsb_envelope e = {.header = {.type = WSB_SEND, .code = WSB_TEXT, .conn = conn_of(5)},
                             .payload = wsb_span_str("good")};
    assert_int_equal(wsb_record_append(&f->server.in, &e), WSB_OK);
    assert_int_equal(wsb_buf_append(&f->server.in, "garbage garbage garbage garbage garbage garbage", 48), WSB_OK);
    f->server.in_peer = 'a';
    wsg_hub_receive(&f->hub);
    wsg_hub_flush(&f->hub);
    assert_string_equal(f->commands, "send=good@5");
    assert_non_null(strstr(f->server.log, "a:error="));
}

static void test_slow_handler_pauses_its_clients(void **state)
{
    struct fixture *f = *state;
    struct wsg_handler *h;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    h = f->hub.handlers.by_id;
    struct wsb_block *under_way = wsb_block_new(h->account, WSG_HANDLER_HIGH);
    forget(f);
    happen(f, WSB_DATA, 1, 0, "x");
    happen(f, WSB_DATA, 1, 0, "y");
    assert_string_equal(f->commands, "pause@1"); /* once */
    assert_true(h->paused);
    forget(f);
    wsb_block_free(under_way);
    f->hub.room.fn(&f->hub.room);
    assert_string_equal(f->commands, "resume@1");
    assert_false(h->paused);
}

static void test_a_large_batch_is_carried_out_over_several_rounds(void **state)
{
    enum { COMMANDS = 30000 };
    struct fixture *f = *state;
    struct wsb_envelope e = {.header = {.type = WSB_PING}}; /* of a stranger: each is answered */
    for (int i = 0; i < COMMANDS; i++)
        assert_int_equal(wsb_record_append(&f->server.in, &e), WSB_OK);
    f->server.in_peer = 's';
    int rounds = 0;
    do {
        uint64_t before = f->hub.stats.commands;
        wsg_hub_receive(&f->hub);
        f->server.log[0] = 0;
        assert_true(f->hub.stats.commands - before <= 8192);
        assert_true(f->hub.stats.commands > before);
        rounds++;
    } while (f->hub.readings[WSB_CHANNEL_HANDLERS].is_open);
    assert_int_equal(f->hub.stats.commands, COMMANDS);
    assert_true(rounds >= 4);
}

static void test_nothing_is_received_while_the_workers_are_behind(void **state)
{
    struct fixture *f = *state;
    f->is_behind = true;
    hello(f, 'a');
    assert_int_equal(f->hub.handlers.count, 0);
    f->is_behind = false;
    wsg_hub_receive(&f->hub);
    assert_int_equal(f->hub.handlers.count, 1);
}

static void test_another_process_under_the_same_id_is_another_handler(void **state)
{
    struct fixture *f = *state;
    hear(f, 'a', WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"pid\":1,\"batch\":true}");
    happen(f, WSB_OPEN, 1, 0, "");
    uint32_t first = f->hub.handlers.by_id->id;
    hear(f, 'b', WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"pid\":2,\"batch\":true}");
    forget(f);
    hear(f, 'a', WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"pid\":3,\"batch\":true}");
    assert_non_null(strstr(f->server.log, "b:open!")); /* what it had went to the other one */
    assert_null(wsg_handlers_by_id(&f->hub.handlers, first));
    assert_int_equal(f->hub.handlers.count, 2);
}

static void test_a_dropped_handler_that_lives_is_told_revoked(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    hello(f, 'b');
    forget(f);
    wsg_hub_drop_handler(&f->hub, wsg_handlers_by_peer(&f->hub.handlers, wsb_span_str("a")), "dropped");
    wsg_hub_flush(&f->hub);
    assert_string_equal(f->server.log, "a:revoked b:open!");
}

static void test_dropping_a_handler_that_has_just_died_ends(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    f->server.is_gone['a'] = true; /* found out by REVOKED itself */
    wsg_hub_drop_handler(&f->hub, f->hub.handlers.by_id, "dropped");
    assert_int_equal(f->hub.dead_count, 0);
    wsg_hub_flush(&f->hub); /* would look for the dead one for ever */
    hello(f, 'b');
    assert_int_equal(f->hub.handlers.count, 1);
}

static void test_new_clients_do_not_go_to_a_full_handler(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    struct wsb_block *under_way = wsb_block_new(f->hub.handlers.by_id->account, WSG_HANDLER_HIGH);
    happen(f, WSB_REQUEST, 1, 0, ""); /* this one finds out */
    happen(f, WSB_REQUEST, 2, 0, "");
    assert_string_equal(f->commands, "fail(503)@2");
    wsb_block_free(under_way);
}

static void test_handler_that_takes_nothing_is_dropped_and_stays_out(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    struct wsb_block *under_way = wsb_block_new(f->hub.handlers.by_id->account, WSG_HANDLER_LIMIT);
    hear(f, 'a', WSB_PING, 0, 0, 0, "p", NULL);
    assert_int_equal(f->hub.handlers.count, 0);
    hello(f, 'a'); /* with all that still under way to it */
    assert_int_equal(f->hub.handlers.count, 0);
    wsb_block_free(under_way);
    hello(f, 'a');
    assert_int_equal(f->hub.handlers.count, 1);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_hello_registers_and_bye_leaves),
        TEST(test_events_go_to_the_pinned_handler_in_order),
        TEST(test_no_handler_fails_the_connection),
        TEST(test_dead_handler_hands_over_its_connections),
        TEST(test_last_handler_gone_fails_everything),
        TEST(test_send_goes_to_one_or_many),
        TEST(test_bad_commands_are_answered_and_harm_nobody),
        TEST(test_strangers_must_say_hello_first),
        TEST(test_commands_endpoint_takes_commands_and_answers_nothing),
        TEST(test_publish_reaches_a_group_and_a_route_with_exceptions),
        TEST(test_garbage_in_a_batch_ends_it_and_keeps_what_was_good),
        TEST(test_slow_handler_pauses_its_clients),
        TEST(test_a_large_batch_is_carried_out_over_several_rounds),
        TEST(test_nothing_is_received_while_the_workers_are_behind),
        TEST(test_another_process_under_the_same_id_is_another_handler),
        TEST(test_a_dropped_handler_that_lives_is_told_revoked),
        TEST(test_dropping_a_handler_that_has_just_died_ends),
        TEST(test_new_clients_do_not_go_to_a_full_handler),
        TEST(test_handler_that_takes_nothing_is_dropped_and_stays_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
