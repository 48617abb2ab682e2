/*
 * The hub between a scripted link and scripted sessions: registration, pinning, forwarding, commands, and what happens when
 * a handler goes.
 */
#include "fixture.h"

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

/* It lives, and would learn of it by silence only. */
static void test_a_handler_that_is_lost_for_want_of_memory_is_told_to_come_again(void **state)
{
    struct fixture *f = *state;
    hear(f, 'a', WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"]}");
    hello(f, 'b');
    hear(f, 'b', WSB_BYE, 0, 0, 0, "", NULL);
    forget(f);
    f->server.fails['a'] = 1;
    happen(f, WSB_OPEN, 1, 0, "");
    assert_string_equal(f->server.log, "a:error=you were given up: say HELLO again(5)");
    assert_string_equal(f->commands, "fail(503)@1"); /* nobody else is there for its client */
    assert_int_equal(f->hub.handlers.count, 0);
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    forget(f);
    hear(f, 'a', WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"]}");
    happen(f, WSB_OPEN, 2, 0, "");
    assert_string_equal(f->server.log, "a:welcome a:open");
    forget(f);
    f->server.is_gone['a'] = true; /* one whose link has ended hears nothing */
    happen(f, WSB_DATA, 2, 0, "x");
    assert_string_equal(f->server.log, "");
}

static void test_clients_that_are_here_wait_a_little_for_the_next_handler(void **state)
{
    struct fixture *f = *state;
    f->routes.routes[0].policy.handler_grace_ms = 5000;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    happen(f, WSB_OPEN, 2, 0, ""); /* one that comes now is refused, as no_handler says */
    assert_string_equal(f->commands, "fail(503)@2");
    happen(f, WSB_DATA, 1, 0, "meanwhile");
    forget(f);
    hello(f, 'b');
    assert_string_equal(f->server.log, "b:welcome b:open! b:data=meanwhile#2");
    hear(f, 'b', WSB_BYE, 0, 0, 0, "", NULL);
    forget(f);
    wsg_pins_find(&f->hub.pins, conn_of(1))->since_ms -= 4999;
    f->hub.sweep.fn(&f->hub.sweep);
    assert_string_equal(f->commands, "");
    wsg_pins_find(&f->hub.pins, conn_of(1))->since_ms -= 2;
    f->hub.sweep.fn(&f->hub.sweep);
    assert_string_equal(f->commands, "fail(503)@1");
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

/* Nobody is told what becomes of these: each is counted by its reason. */
static void test_failures_of_the_commands_endpoint_are_counted_by_reason(void **state)
{
    struct fixture *f = *state;
    const uint64_t *unheard = f->hub.stats.failed_unheard;
    hear(f, 0, WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"]}");
    hear(f, 0, WSB_SEND, WSB_TEXT, 0x80, 5, "x", NULL);
    hear(f, 0, WSB_SEND, WSB_TEXT, 0, 0, "x", NULL);
    hear(f, 0, WSB_SEND, WSB_TEXT, 0, 0, "x", "{\"to\":[\"00000000000000aa\",\"00000000000000ab\"]}");
    hear(f, 0, WSB_SEND, 7, 0, 5, "x", NULL);
    hear(f, 0, WSB_SEND, WSB_TEXT, 0, 0, "x", "{");
    hear(f, 0, 99, 0, 0, 0, "", NULL);
    assert_int_equal(unheard[WSG_FAIL_REFUSED], 1);
    assert_int_equal(unheard[WSG_FAIL_FLAG], 1);
    assert_int_equal(unheard[WSG_FAIL_METADATA], 2);
    assert_int_equal(unheard[WSG_FAIL_PAYLOAD], 1);
    assert_int_equal(unheard[WSG_FAIL_GONE], 2);
    assert_int_equal(unheard[WSG_FAIL_TYPE], 1);
    f->server.in_user = "r"; /* a key: one command has one reason */
    hear(f, 0, WSB_SEND, WSB_TEXT, 0, 77, "x", NULL);
    f->server.in_user = NULL;
    assert_int_equal(unheard[WSG_FAIL_GONE], 2);
    assert_int_equal(unheard[WSG_FAIL_FORBIDDEN], 1);
    hear(f, 's', WSB_SEND, WSB_TEXT, 0, 5, "x", NULL); /* this one is told */
    assert_int_equal(unheard[WSG_FAIL_UNREGISTERED], 0);
    assert_int_equal(f->hub.stats.failed[WSG_FAIL_UNREGISTERED], 1);
    assert_int_equal(f->hub.stats.failed[WSG_FAIL_METADATA], 2);
}

static void test_handlers_that_say_goodbye_are_not_lost(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_int_equal(f->hub.stats.handlers_gone, 0);
    hello(f, 'a');
    wsg_hub_drop_handler(&f->hub, f->hub.handlers.by_id, WSG_GOES_LOST, "stopped");
    assert_int_equal(f->hub.stats.handlers_gone, 1);
    hear(f, 'b', WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"nowhere\"]}");
    hear(f, 'b', WSB_HELLO, 0, 0, 0, "", "{\"routes\":");
    assert_int_equal(f->hub.stats.hellos_refused, 2);
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
    wsg_hub_drop_handler(&f->hub, wsg_handlers_by_peer(&f->hub.handlers, wsb_span_str("a")), WSG_GOES_IN_ORDER,
                         "dropped");
    wsg_hub_flush(&f->hub);
    assert_string_equal(f->server.log, "a:revoked b:open!");
}

static void test_dropping_a_handler_that_has_just_died_ends(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    f->server.is_gone['a'] = true; /* found out by REVOKED itself */
    wsg_hub_drop_handler(&f->hub, f->hub.handlers.by_id, WSG_GOES_IN_ORDER, "dropped");
    assert_null(f->hub.dead);
    wsg_hub_flush(&f->hub); /* would look for the dead one for ever */
    hello(f, 'b');
    assert_int_equal(f->hub.handlers.count, 1);
}

static void test_new_clients_go_to_a_handler_with_room_or_wait(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    struct wsb_block *under_way = wsb_block_new(f->hub.handlers.by_id->account, WSG_HANDLER_HIGH);
    happen(f, WSB_REQUEST, 1, 0, "one"); /* this one finds out */
    happen(f, WSB_REQUEST, 2, 0, "two");
    forget(f);
    wsb_block_free(under_way);
    f->hub.room.fn(&f->hub.room);
    assert_string_equal(f->server.log, "a:request=two");
    forget(f);
    under_way = wsb_block_new(f->hub.handlers.by_id->account, WSG_HANDLER_HIGH);
    happen(f, WSB_REQUEST, 3, 0, "three"); /* finds out again */
    hello(f, 'b');
    forget(f);
    happen(f, WSB_REQUEST, 4, 0, "four");
    assert_string_equal(f->server.log, "b:request=four");
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

static void hello_kinds(struct fixture *f, char peer, const char *kinds)
{
    char meta[128];
    snprintf(meta, sizeof meta, "{\"routes\":[\"r\"],\"batch\":true,\"kinds\":%s}", kinds);
    hear(f, peer, WSB_HELLO, 0, 0, 0, "", meta);
}

static void assert_serving(struct fixture *f, uint32_t websocket, uint32_t http)
{
    assert_int_equal(wsg_route_serving(&f->routes.routes[0], WSG_KIND_WEBSOCKET), websocket);
    assert_int_equal(wsg_route_serving(&f->routes.routes[0], WSG_KIND_HTTP), http);
}

static void test_each_client_goes_to_a_handler_of_its_kind(void **state)
{
    struct fixture *f = *state;
    hello_kinds(f, 'w', "[\"websocket\"]");
    hello_kinds(f, 'h', "[\"http\"]");
    assert_serving(f, 1, 1);
    forget(f);
    for (uint32_t slot = 1; slot <= 3; slot++) { /* the one with the fewest would be the other one */
        happen(f, WSB_OPEN, slot, 0, "");
        happen(f, WSB_REQUEST, slot + 10, 0, "");
    }
    assert_string_equal(f->server.log, "w:open h:request w:open h:request w:open h:request");
    forget(f);
    hear(f, 'w', WSB_BYE, 0, 0, 0, "", NULL); /* the other one takes none of its clients */
    assert_string_equal(f->commands, "fail(503)@1 fail(503)@2 fail(503)@3");
    assert_string_equal(f->server.log, "");
    assert_serving(f, 0, 1);
}

static void test_who_waits_is_taken_by_a_handler_of_its_kind(void **state)
{
    struct fixture *f = *state;
    f->routes.routes[0].policy.no_handler = WSG_NO_HANDLER_WAIT;
    f->routes.routes[0].policy.handler_wait_ms = 1000000;
    hello_kinds(f, 'w', "[\"websocket\"]");
    forget(f);
    happen(f, WSB_REQUEST, 1, 0, "");
    hello_kinds(f, 'v', "[\"websocket\"]");
    assert_string_equal(f->server.log, "v:welcome");
    hello(f, 'b'); /* says nothing of kinds: it is asked about both */
    assert_string_equal(f->server.log, "v:welcome b:welcome b:request");
    assert_serving(f, 3, 1);
}

static void test_a_handler_may_change_its_kinds(void **state)
{
    struct fixture *f = *state;
    struct wsg_route *r = &f->routes.routes[0];
    hello_kinds(f, 'a', "[\"http\"]");
    assert_true(wsg_route_lacks_kind(r, WSG_KIND_WEBSOCKET));
    assert_false(wsg_route_lacks_kind(r, WSG_KIND_HTTP));
    hello_kinds(f, 'a', "[\"websocket\"]");
    assert_serving(f, 1, 0);
    assert_int_equal(atomic_load(&r->handlers), 1);
    assert_false(wsg_route_lacks_kind(r, WSG_KIND_WEBSOCKET));
    assert_false(wsg_route_lacks_kind(r, WSG_KIND_HTTP)); /* it was served, and may be again */
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_serving(f, 0, 0);
}

static void test_kinds_that_no_route_of_it_has_are_refused(void **state)
{
    struct fixture *f = *state;
    f->routes.routes[0].policy.kinds = WSG_KIND_HTTP;
    hello_kinds(f, 'a', "[\"websocket\"]");
    assert_non_null(strstr(f->server.log, "route 'r' is for HTTP, and \"kinds\" names WebSocket only"));
    assert_int_equal(f->hub.handlers.count, 0);
    f->routes.routes[0].policy.kinds = WSG_KIND_WEBSOCKET;
    hello_kinds(f, 'a', "[\"http\"]");
    assert_non_null(strstr(f->server.log, "route 'r' is for WebSocket, and \"kinds\" names HTTP only"));
    assert_int_equal(f->hub.handlers.count, 0);
    f->routes.routes[0].policy.kinds = WSG_KIND_HTTP;
    f->routes.routes[1].gatekeeper = &f->routes.routes[0]; /* then it is asked about WebSocket clients as well */
    hello_kinds(f, 'a', "[\"websocket\"]");
    assert_int_equal(f->hub.handlers.count, 1);
    f->routes.routes[1].policy.kinds = 0; /* a route that is a gatekeeper only */
    hear(f, 'b', WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"q\"],\"kinds\":[\"websocket\"]}");
    assert_int_equal(f->hub.handlers.count, 2);
}

static void test_a_key_for_a_route_reaches_nobody_that_is_not_known_to_be_of_it(void **state)
{
    static const uint8_t types[] = {WSB_SEND, WSB_CLOSE, WSB_PING, WSB_ACCEPT, WSB_REJECT, WSB_RESPOND, WSB_BODY};
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    happen(f, WSB_OPEN, 3, 1, ""); /* of q, which has no handler: it has failed */
    forget(f);
    f->server.in_user = "r";
    for (size_t i = 0; i < COUNT(types); i++) { /* 2 is between requests, or has not been told of yet */
        hear(f, 'a', types[i], WSB_TEXT, WSB_FLAG_WANT_OUTCOME, 2, "x",
             types[i] == WSB_CLOSE ? "{\"code\":1000}" : NULL);
        assert_string_equal(f->commands, "");
        assert_string_equal(f->server.log, "a:outcome(5)");
        forget(f);
    }
    assert_int_equal(f->hub.stats.forbidden, COUNT(types));
    char to[160];
    snprintf(to, sizeof to, "{\"to\":[\"%016llx\",\"%016llx\",\"%016llx\"]}", (unsigned long long)conn_of(2),
             (unsigned long long)conn_of(1), (unsigned long long)conn_of(3));
    hear(f, 'a', WSB_SEND, WSB_TEXT, 0, 0, "y", to);
    assert_string_equal(f->commands, "send=y|r@1");
    forget(f);
    f->server.in_user = NULL;
    hear(f, 'a', WSB_CLOSE, 0, 0, 2, "", "{\"code\":1000}"); /* a local handler may: the session decides */
    assert_string_equal(f->commands, "close(1000)@2");
}

static void test_a_key_for_a_route_uses_its_own_names_only(void **state)
{
    static const struct {
        uint8_t type;
        const char *meta;
    } rows[] = {
        {WSB_JOIN, "{\"groups\":[\"%s\"]}"}, {WSB_LEAVE, "{\"groups\":[\"r:mine\",\"%s\"]}"},
        {WSB_TAG, "{\"set\":[\"%s\"]}"},     {WSB_TAG, "{\"unset\":[\"%s\"]}"},
        {WSB_TAG, "{\"user\":\"%s\"}"},      {WSB_ACCEPT, "{\"groups\":[\"%s\"]}"},
        {WSB_ACCEPT, "{\"tags\":[\"%s\"]}"}, {WSB_ACCEPT, "{\"user\":\"%s\"}"},
        {WSB_PUBLISH, "{\"group\":\"%s\"}"}, {WSB_PUBLISH, "{\"user\":\"%s\"}"},
        {WSB_PUBLISH, "{\"tag\":\"%s\"}"},   {WSB_LIST, "{\"group\":\"%s\"}"},
        {WSB_LIST, "{\"user\":\"%s\"}"},     {WSB_LIST, "{\"tag\":\"%s\"}"},
    };
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    f->server.in_user = "r";
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool names_one = rows[i].type != WSB_PUBLISH && rows[i].type != WSB_LIST;
        char meta[128];
        for (int own = 0; own < 2; own++) {
            uint64_t before = f->hub.stats.forbidden;
            snprintf(meta, sizeof meta, rows[i].meta, own ? "r:mine" : "room:secret");
            forget(f);
            hear(f, 'a', rows[i].type, WSB_TEXT, 0, names_one, "", meta);
            if ((f->hub.stats.forbidden == before) != own)
                fail_msg("%s %s: %s", wsb_type_name(rows[i].type), meta, f->server.log);
            assert_int_equal(strstr(f->server.log, "your key is not for this name") == NULL, own);
        }
    }
    assert_null(wsg_groups_find(&f->hub.groups, wsb_span_str("room:secret")));
}

static void count_joined(void *ctx, char peer, const struct wsb_envelope *e)
{
    (void)peer;
    *(size_t *)ctx += e->header.type == WSB_JOINED;
}

/* One command, and very many events: so many in one round, the others in the next ones, and none is lost or told twice. */
static void test_presence_is_told_in_rounds(void **state)
{
    enum { HANDLERS = 60, GROUPS = 200, AT_ONCE = 256 };
    struct fixture *f = *state;
    struct wsb_buf meta;
    size_t joined = 0;
    for (int i = 0; i < HANDLERS; i++)
        hear(f, (char)(33 + i), WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"batch\":true,\"presence\":true}");
    happen(f, WSB_OPEN, 1, 0, "");
    wsb_buf_init(&meta, 0);
    assert_int_equal(wsb_buf_append_str(&meta, "{\"groups\":[\"first\""), WSB_OK);
    for (int i = 1; i < GROUPS; i++)
        assert_int_equal(wsb_buf_printf(&meta, ",\"group %d\"", i), WSB_OK);
    assert_int_equal(wsb_buf_append(&meta, "]}", 3), WSB_OK); /* and its NUL */
    f->server.sink = count_joined;
    f->server.sink_ctx = &joined;
    hear(f, '!', WSB_JOIN, 0, 0, 1, "", (const char *)meta.data);
    assert_in_range(joined, 1, 2 * AT_ONCE); /* in the command's round, and at its end */
    int rounds = 1;
    for (size_t before = 0; before != joined; rounds++) {
        before = joined;
        wsg_hub_flush(&f->hub);
        assert_in_range(joined - before, 0, AT_ONCE);
    }
    assert_int_equal(joined, HANDLERS * GROUPS);
    assert_int_equal(f->hub.stats.presence_drops, 0);
    assert_in_range(rounds, HANDLERS * GROUPS / AT_ONCE, HANDLERS * GROUPS / AT_ONCE + 2);
    wsb_buf_deinit(&meta);
}

/* JOIN or LEAVE of so many groups with long names. */
static void change_groups(struct fixture *f, uint8_t type, uint32_t slot, size_t groups)
{
    struct wsb_buf meta;
    wsb_buf_init(&meta, 0);
    for (size_t i = 0; i < groups; i++)
        assert_int_equal(wsb_buf_printf(&meta, "%s%0100zu\"", i ? ",\"" : "{\"groups\":[\"", i), WSB_OK);
    assert_int_equal(wsb_buf_append(&meta, "]}", 3), WSB_OK); /* and its NUL */
    hear(f, 'a', type, 0, 0, slot, "", (const char *)meta.data);
    wsb_buf_deinit(&meta);
}

static size_t presence_waiting(const struct fixture *f)
{
    return f->hub.presence.queue.len - f->hub.presence.at;
}

/* A queue that is never quite empty holds what waits, not what it has ever held. */
static void test_presence_that_never_ends_is_told(void **state)
{
    enum { AT_ONCE = 256, LIMIT = 4 << 20, STEADY = AT_ONCE / 2, OTHERS = 6, EACH = 200 };
    struct fixture *f = *state;
    size_t joined = 0, changes = 0, told_bytes = 0;
    for (int i = 0; i < 2; i++)
        hear(f, (char)('a' + i), WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"batch\":true,\"presence\":true}");
    f->server.sink = count_joined;
    f->server.sink_ctx = &joined;
    for (uint32_t slot = 1; slot <= OTHERS + 1; slot++)
        happen(f, WSB_OPEN, slot, 0, "");
    for (uint32_t slot = 2; slot <= OTHERS + 1; slot++)
        change_groups(f, WSB_JOIN, slot, EACH); /* more than is told in a round: some wait */
    size_t least = presence_waiting(f) / 4;
    for (; told_bytes < (size_t)3 * LIMIT; changes++) {
        change_groups(f, changes % 2 ? WSB_LEAVE : WSB_JOIN, 1, STEADY); /* as many as are told in a round */
        assert_in_range(presence_waiting(f), least, LIMIT / 8);
        assert_in_range(f->hub.presence.queue.len, 1, 2 * presence_waiting(f));
        told_bytes += (size_t)STEADY * 150;
    }
    assert_int_equal(f->hub.stats.presence_drops, 0);
    while (presence_waiting(f))
        wsg_hub_flush(&f->hub);
    assert_int_equal(joined, 2 * ((size_t)OTHERS * EACH + (changes + 1) / 2 * STEADY));
}

/* So much of what the peer was sent has neither left nor been freed. */
static struct wsb_block *leave_under_way(struct fixture *f, char peer)
{
    struct wsg_handler *to = wsg_handlers_by_peer(&f->hub.handlers, wsb_span(&peer, 1));
    struct wsb_block *b = wsb_block_new(to->account, (size_t)2 * WSG_DEBT_MAX);
    assert_non_null(b);
    return b;
}

static void end_link(struct fixture *f, char peer)
{
    f->server.ends = peer;
    wsg_hub_receive(&f->hub);
    wsg_hub_flush(&f->hub);
}

/* It must take what it was sent before it registers again; with its link that is gone, also while it waits to be freed. */
static void test_a_peer_that_hung_up_owes_nothing(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    struct wsb_block *first = leave_under_way(f, 'a');
    end_link(f, 'a');
    assert_int_equal(f->hub.handlers.count, 0);
    forget(f);
    hello(f, 'a');
    assert_string_equal(f->server.log, "a:welcome");
    struct wsb_block *second = leave_under_way(f, 'a');
    wsg_hub_drop_handler(&f->hub, f->hub.handlers.by_id, WSG_GOES_LOST, "a test"); /* its link lives */
    wsg_hub_flush(&f->hub);
    forget(f);
    hello(f, 'a');
    assert_int_equal(f->hub.handlers.count, 0);
    assert_non_null(strstr(f->server.log, "before you register again"));
    end_link(f, 'a'); /* and of somebody who is not registered */
    forget(f);
    hello(f, 'a');
    assert_int_equal(f->hub.handlers.count, 1);
    assert_null(strstr(f->server.log, "error"));
    wsb_block_free(first);
    wsb_block_free(second);
}

/* An event of it could not be kept: its owner hears that it is over, its client is told, and what it still says is nobody's. */
static void test_a_connection_with_a_hole_is_over_for_both_ends(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    happen(f, WSB_OPEN, 2, 0, "");
    happen(f, WSB_REQUEST, 3, 0, "");
    forget(f);
    wsg_hub_lose(&f->hub, conn_of(1));
    wsg_hub_lose(&f->hub, conn_of(3));
    wsg_hub_lose(&f->hub, conn_of(77)); /* its OPEN was what was lost */
    wsg_hub_flush(&f->hub);
    assert_string_equal(f->server.log, "a:closed a:aborted");
    assert_string_equal(f->commands, "fail(503)@1 fail(503)@3 fail(503)@77");
    forget(f);
    happen(f, WSB_DATA, 1, 0, "late");
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    happen(f, WSB_ABORTED, 3, 0, "");
    assert_string_equal(f->server.log, "");
    wsg_hub_lose_all(&f->hub, 0);
    wsg_hub_flush(&f->hub);
    assert_string_equal(f->server.log, "a:closed");
    assert_string_equal(f->commands, "fail(503)@2");
    assert_int_equal(f->hub.pins.count, 0);
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
        TEST(test_a_handler_that_is_lost_for_want_of_memory_is_told_to_come_again),
        TEST(test_clients_that_are_here_wait_a_little_for_the_next_handler),
        TEST(test_send_goes_to_one_or_many),
        TEST(test_bad_commands_are_answered_and_harm_nobody),
        TEST(test_strangers_must_say_hello_first),
        TEST(test_commands_endpoint_takes_commands_and_answers_nothing),
        TEST(test_failures_of_the_commands_endpoint_are_counted_by_reason),
        TEST(test_handlers_that_say_goodbye_are_not_lost),
        TEST(test_publish_reaches_a_group_and_a_route_with_exceptions),
        TEST(test_garbage_in_a_batch_ends_it_and_keeps_what_was_good),
        TEST(test_slow_handler_pauses_its_clients),
        TEST(test_a_large_batch_is_carried_out_over_several_rounds),
        TEST(test_nothing_is_received_while_the_workers_are_behind),
        TEST(test_another_process_under_the_same_id_is_another_handler),
        TEST(test_a_dropped_handler_that_lives_is_told_revoked),
        TEST(test_dropping_a_handler_that_has_just_died_ends),
        TEST(test_new_clients_go_to_a_handler_with_room_or_wait),
        TEST(test_handler_that_takes_nothing_is_dropped_and_stays_out),
        TEST(test_each_client_goes_to_a_handler_of_its_kind),
        TEST(test_who_waits_is_taken_by_a_handler_of_its_kind),
        TEST(test_a_handler_may_change_its_kinds),
        TEST(test_kinds_that_no_route_of_it_has_are_refused),
        TEST(test_a_connection_with_a_hole_is_over_for_both_ends),
        TEST(test_presence_is_told_in_rounds),
        TEST(test_a_peer_that_hung_up_owes_nothing),
        TEST(test_presence_that_never_ends_is_told),
        TEST(test_a_key_for_a_route_uses_its_own_names_only),
        TEST(test_a_key_for_a_route_reaches_nobody_that_is_not_known_to_be_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
