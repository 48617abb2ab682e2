/*
 * One client's whole life over a socket pair, without a gate: what the client says goes in as bytes, what the bus would
 * hear comes out of the outbox, what a handler would say goes in as commands.
 */
#include "support/test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "unit/session/fixture.h"

/* -------------------------------------------------- whose connection it is */

static void test_opening_tells_the_key_the_user_and_the_groups(void **state)
{
    static const struct {
        const char *target, *cookie, *key, *who;
    } rows[] = {
        {"/known/a?k=1", "u=ada", "1", "ada,all,room:a,"},
        {"/known/a%2dz?x=2&k=a+b%21", "x=1; u=\"bo\"; u=no", "a b!", "bo,all,room:a-z,"},
        {"/known/?k=", "u=", "", ",all,room:,"},
        {"/known/a?k=%zz", "v=1", "", ",all,room:a,"},
        {"/known/a?kk=1", "u=\xff", "", ",all,room:a,"},
        {"/patient", "u=ada", "192.0.2.1", ""},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nCookie: %s\r\n"
                 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                 rows[i].target, rows[i].cookie);
        say_text(f, text);
        assert_string_equal(f->events, "open");
        assert_string_equal(f->who, rows[i].who);
        uint64_t want = rows[i].key[0] ? wsg_key_hash(&f->routes.seed, wsb_span_str(rows[i].key)) : 0;
        assert_int_equal(f->key, want);
        assert_false(f->is_idempotent);
        hang_up(f);
        forget(f);
        connect_client(f);
    }
}

static void test_a_name_that_cannot_be_is_not_joined(void **state)
{
    struct fixture *f = *state;
    char text[1024];
    char room[300];
    memset(room, 'r', sizeof room - 1);
    room[251] = 0; /* with "room:", one byte too many */
    snprintf(text, sizeof text,
             "GET /known/%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
             room);
    say_text(f, text);
    assert_string_equal(f->events, "open");
    assert_string_equal(f->who, ",all,");
}

static void test_requests_tell_their_key_and_whether_they_may_be_repeated(void **state)
{
    static const struct {
        const char *method;
        bool want;
    } rows[] = {{"GET", true},    {"HEAD", true},  {"OPTIONS", true}, {"PUT", true},
                {"DELETE", true}, {"POST", false}, {"PATCH", false}};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[200];
        snprintf(text, sizeof text, "%s /known/a?k=7 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
                 rows[i].method);
        say_text(f, text);
        assert_string_equal(f->events, "request:hi");
        assert_string_equal(f->who, "hi"); /* the payload is the body, whatever the route joins */
        assert_int_equal(f->is_idempotent, rows[i].want);
        assert_int_equal(f->key, wsg_key_hash(&f->routes.seed, wsb_span_str("7")));
        tell(f, (struct wsg_command){.type = WSB_RESPOND});
        forget(f);
    }
}

static void test_a_route_that_waits_lets_clients_in_without_a_handler(void **state)
{
    struct fixture *f = *state;
    say_text(f, "GET /patient HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(f->events, "request");
    assert_int_equal(f->got_len, 0);
}

/* ------------------------------------------------------------- WebSocket */

static void test_handshake_tells_the_handler_everything(void **state)
{
    struct fixture *f = *state;
    say_text(f, handshake);
    HAS(f->got, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    HAS(f->got, "Sec-WebSocket-Protocol: two");
    HAS(f->meta, "\"route\":\"ws\"");
    HAS(f->meta, "\"params\":{\"x\":\"a b\"}");
    HAS(f->meta, "\"target\":\"/ws/a%20b?q=1\"");
    HAS(f->meta, "\"query\":\"q=1\"");
    HAS(f->meta, "\"origin\":\"http://o\"");
    HAS(f->meta, "\"subprotocol\":\"two\"");
    HAS(f->meta, "\"offered\":[\"nope\",\"two\"]");
    HAS(f->meta, "\"peer\":\"192.0.2.1:9\"");
    HAS(f->meta, "\"host\":\"h\"");
}

static void test_messages_go_both_ways(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    say_frame(f, 0x81, "hello");
    assert_string_equal(f->events, "data:hello");
    tell(f, (struct wsg_command){
                .type = WSB_SEND, .code = WSB_TEXT, .flags = WSB_FLAG_WANT_OUTCOME, .payload = wsb_span_str("back")});
    assert_int_equal(f->got_len, 6);
    assert_memory_equal(f->got,
                        "\x81\x04"
                        "back",
                        6);
    assert_string_equal(f->replies, "outcomewritten");
}

static void test_frames_behind_the_handshake_are_kept(void **state)
{
    struct fixture *f = *state;
    char bytes[sizeof handshake + 16];
    memcpy(bytes, handshake, sizeof handshake - 1);
    memcpy(bytes + sizeof handshake - 1, "\x81\x82\0\0\0\0hi", 8);
    say(f, bytes, sizeof handshake - 1 + 8);
    assert_string_equal(f->events, "open data:hi");
}

static void test_ping_is_answered_and_pong_measured(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    say_frame(f, 0x89, "p");
    assert_memory_equal(f->got, "\x8a\x01p", 3);
    assert_string_equal(f->events, ""); /* the handler does not see it */
    forget(f);
    tell(f, (struct wsg_command){.type = WSB_PING, .origin = 3, .payload = wsb_span_str("x")});
    assert_memory_equal(f->got, "\x89\x01x", 3);
    say_frame(f, 0x8a, "x");
    assert_string_equal(f->replies, "pong:x");
    HAS(f->meta, "rtt_us");
}

static void test_ping_has_its_outcome_and_one_is_under_way_at_a_time(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    tell(f,
         (struct wsg_command){
             .type = WSB_PING, .origin = 3, .seq = 1, .flags = WSB_FLAG_WANT_OUTCOME, .payload = wsb_span_str("one")});
    assert_string_equal(f->replies, "outcomewritten");
    f->replies[0] = 0;
    tell(f,
         (struct wsg_command){
             .type = WSB_PING, .origin = 3, .seq = 2, .flags = WSB_FLAG_WANT_OUTCOME, .payload = wsb_span_str("two")});
    assert_string_equal(f->replies, "outcomerefused");
    f->replies[0] = 0;
    say_frame(f, 0x8a, "two"); /* not what was asked */
    assert_string_equal(f->replies, "");
    say_frame(f, 0x8a, "one");
    assert_string_equal(f->replies, "pong:one");
}

static void test_close_has_its_outcome_when_it_is_written(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    tell(f,
         (struct wsg_command){.type = WSB_CLOSE, .by = WSG_BY_HANDLER, .status = 1000, .flags = WSB_FLAG_WANT_OUTCOME});
    assert_string_equal(f->replies, "outcomewritten");
}

static void test_a_client_that_reads_is_not_slow_however_much_comes_at_once(void **state)
{
    struct fixture *f = *state;
    char block[1000];
    void *s;
    memset(block, 'x', sizeof block);
    open_websocket(f);
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &s), WSB_OK);
    for (int i = 0; i < 60; i++) { /* three times max_queue, in one round */
        struct wsg_command c = {.type = WSB_SEND, .code = WSB_BINARY, .payload = wsb_span(block, sizeof block)};
        wsg_session_command(s, &c);
    }
    assert_int_equal(((struct wsg_session *)s)->state, WSG_SESSION_OPEN);
    turn(f);
    assert_int_equal(f->got_len, 60 * 1004);
}

static void test_outcomes_that_wait_count_in_the_queue(void **state)
{
    struct fixture *f = *state;
    void *found;
    int small = 1;
    open_websocket(f);
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &found), WSB_OK);
    struct wsg_session *s = found;
    assert_int_equal(setsockopt(s->watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (int i = 0; i < 20000 && s->state == WSG_SESSION_OPEN; i++) {
        struct wsg_command c = {.type = WSB_SEND, .code = WSB_BINARY, .flags = WSB_FLAG_WANT_OUTCOME};
        wsg_session_command(s, &c);
        assert_true(s->receipt_count <= 20000 / 64 + 1);
    }
    assert_int_equal(s->state, WSG_SESSION_CLOSING);
}

static void test_client_close_is_answered_with_its_code(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    say_frame(f, 0x88,
              "\x0f\xa1"
              "bye");
    assert_string_equal(f->events, "closed");
    HAS(f->meta, "\"by\":\"client\",\"code\":4001,\"reason\":\"bye\",\"clean\":true");
    assert_int_equal(f->got_len, 4);
    assert_memory_equal(f->got, "\x88\x02\x0f\xa1", 4);
}

static void test_handler_close_waits_for_the_client(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    tell(f, (struct wsg_command){
                .type = WSB_CLOSE, .by = WSG_BY_HANDLER, .status = 4000, .reason = wsb_span_str("enough")});
    assert_memory_equal(f->got,
                        "\x88\x08\x0f\xa0"
                        "enough",
                        10);
    assert_string_equal(f->events, "");
    say_frame(f, 0x81, "too late");
    assert_string_equal(f->events, "");
    tell(f, (struct wsg_command){
                .type = WSB_SEND, .code = WSB_TEXT, .flags = WSB_FLAG_WANT_OUTCOME, .payload = wsb_span_str("x")});
    assert_string_equal(f->replies, "outcomegone");
    say_frame(f, 0x88, "\x0f\xa0");
    assert_string_equal(f->events, "closed");
    HAS(f->meta, "\"by\":\"handler\",\"code\":4000,\"reason\":\"enough\",\"clean\":true");
}

static void test_client_that_floods_after_our_close_is_cut_off(void **state)
{
    struct fixture *f = *state;
    static uint8_t block[WSB_FRAME_HDR_MAX + 1000] = {0x82, 0x80 | 126, 0x03, 0xe8};
    open_websocket(f);
    tell(f, (struct wsg_command){.type = WSB_CLOSE, .by = WSG_BY_HANDLER, .status = 1000});
    for (int i = 0; i < 40000 && !f->events[0]; i++) {
        client_write(f, block, 1008);
        wsg_loop_round(f->env.loop, 0);
        wsg_sessions_flush(&f->env);
        if (f->env.outbox.buf.len)
            turn(f);
    }
    assert_string_equal(f->events, "closed");
    HAS(f->meta, "\"clean\":false");
}

static void test_client_that_vanishes_is_told_of(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    say_frame(f, 0x81, "last words");
    hang_up(f);
    assert_string_equal(f->events, "data:last words closed");
    HAS(f->meta, "\"by\":\"network\",\"code\":1006");
    HAS(f->meta, "\"messages_in\":1,\"bytes_in\":10");
}

static void test_broken_rules_close_with_their_code(void **state)
{
    static const struct {
        const char *name;
        uint8_t first;
        const char *payload, *want; /* want: the code's two bytes */
    } rows[] = {
        {"reserved opcode", 0x83, "x", "\x03\xea"},         {"reserved bit", 0xc1, "x", "\x03\xea"},
        {"continuation of nothing", 0x80, "x", "\x03\xea"}, {"not UTF-8", 0x81, "\xff", "\x03\xef"},
        {"one byte of close", 0x88, "x", "\x03\xea"},       {"reserved close code", 0x88, "\x03\xee", "\x03\xea"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        open_websocket(f);
        say_frame(f, rows[i].first, rows[i].payload);
        assert_int_equal(f->got[0], 0x88);
        assert_memory_equal(f->got + 2, rows[i].want, 2);
        assert_string_equal(f->events, "closed");
        HAS(f->meta, "\"by\":\"gate\"");
        hang_up(f);
        forget(f);
        connect_client(f);
    }
}

static void test_message_over_the_limit_is_1009(void **state)
{
    struct fixture *f = *state;
    char big[1002];
    memset(big, 'x', 1001);
    big[1001] = 0;
    open_websocket(f);
    say_frame(f, 0x81, big + 1); /* exactly the limit */
    assert_memory_equal(f->events, "data:", 5);
    forget(f);
    say_frame(f, 0x81, big);
    assert_memory_equal(f->got + 2, "\x03\xf1", 2);
    assert_string_equal(f->events, "closed");
}

static void test_slow_client_is_closed_and_the_outcome_says_dropped(void **state)
{
    struct fixture *f = *state;
    char block[1000];
    int dropped = 0;
    memset(block, 'x', sizeof block);
    open_websocket(f);
    int small = 1; /* as little as the kernel allows */
    void *s;
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &s), WSB_OK);
    assert_int_equal(setsockopt(((struct wsg_session *)s)->watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (int i = 0; i < 200 && !dropped; i++) { /* nobody reads: the client is not asked between the commands */
        struct wsg_command c = {.type = WSB_SEND,
                                .code = WSB_BINARY,
                                .flags = WSB_FLAG_WANT_OUTCOME,
                                .seq = (uint64_t)i,
                                .payload = wsb_span(block, sizeof block)};
        wsg_session_command(s, &c);
        wsg_sessions_flush(&f->env);
        dropped = ((struct wsg_session *)s)->state == WSG_SESSION_CLOSING;
        assert_true(((struct wsg_session *)s)->out.bytes <= 20000 + 200);
    }
    assert_true(dropped);
    struct wsb_span rest = wsb_buf_span(&f->env.outbox.buf);
    struct wsg_out out;
    bool told = false;
    while (wsg_outbox_next(&rest, &out))
        told = told || out.envelope.header.code == WSB_OUTCOME_DROPPED;
    assert_true(told);
}

static void test_paused_client_is_not_read_and_nothing_is_lost(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    tell(f, (struct wsg_command){.type = WSG_CMD_PAUSE});
    say_frame(f, 0x81, "one");
    say_frame(f, 0x81, "two");
    assert_string_equal(f->events, "");
    tell(f, (struct wsg_command){.type = WSG_CMD_RESUME});
    assert_string_equal(f->events, "data:one data:two");
}

static void test_route_without_handler_refuses_or_closes(void **state)
{
    struct fixture *f = *state;
    char request[512];
    snprintf(request, sizeof request, "GET /none%s", strstr(handshake, " HTTP"));
    say_text(f, request);
    HAS(f->got, "HTTP/1.1 503");
    assert_string_equal(f->events, "");
    forget(f);
    hang_up(f);
    connect_client(f);
    snprintf(request, sizeof request, "GET /soft%s", strstr(handshake, " HTTP"));
    say_text(f, request);
    HAS(f->got, "HTTP/1.1 101");
    uint8_t *frame = (uint8_t *)strstr((char *)f->got, "\r\n\r\n") + 4;
    assert_memory_equal(frame + 2, "\x03\xf5", 2); /* 1013 */
}

static void test_handler_accepts_with_subprotocol_and_headers(void **state)
{
    struct fixture *f = *state;
    char request[512];
    struct wsg_field field = {wsb_span_str("X-Session"), wsb_span_str("7")};
    snprintf(request, sizeof request, "GET /ask%s", strstr(handshake, " HTTP"));
    say_text(f, request);
    assert_string_equal(f->events, "open");
    assert_int_equal(f->got_len, 0); /* the client waits */
    tell(f, (struct wsg_command){
                .type = WSB_ACCEPT, .subprotocol = wsb_span_str("nope"), .fields = &field, .field_count = 1});
    HAS(f->got, "HTTP/1.1 101");
    HAS(f->got, "Sec-WebSocket-Protocol: nope");
    HAS(f->got, "X-Session: 7");
    forget(f);
    say_frame(f, 0x81, "in");
    assert_string_equal(f->events, "data:in");
}

static void test_handler_rejects_with_status_and_body(void **state)
{
    struct fixture *f = *state;
    char request[512];
    snprintf(request, sizeof request, "GET /ask%s", strstr(handshake, " HTTP"));
    say_text(f, request);
    tell(f, (struct wsg_command){.type = WSB_REJECT, .status = 401, .payload = wsb_span_str("who are you?")});
    HAS(f->got, "HTTP/1.1 401");
    HAS(f->got, "who are you?");
    HAS(f->events, "open closed");
}

static void test_accept_with_a_subprotocol_not_offered_is_invalid(void **state)
{
    struct fixture *f = *state;
    char request[512];
    snprintf(request, sizeof request, "GET /ask%s", strstr(handshake, " HTTP"));
    say_text(f, request);
    tell(f, (struct wsg_command){
                .type = WSB_ACCEPT, .flags = WSB_FLAG_WANT_OUTCOME, .subprotocol = wsb_span_str("other")});
    HAS(f->got, "HTTP/1.1 502");
    assert_string_equal(f->replies, "outcomeinvalid");
    HAS(f->events, "open closed");
}

static void test_accept_cannot_begin_a_header_line_inside_another(void **state)
{
    struct fixture *f = *state;
    char request[512];
    struct wsg_field field = {wsb_span_str("X-Session"), wsb_span_str("7\r\nSet-Cookie: a=b")};
    snprintf(request, sizeof request, "GET /ask%s", strstr(handshake, " HTTP"));
    say_text(f, request);
    tell(f,
         (struct wsg_command){.type = WSB_ACCEPT, .flags = WSB_FLAG_WANT_OUTCOME, .fields = &field, .field_count = 1});
    HAS(f->got, "HTTP/1.1 502");
    assert_null(strstr((char *)f->got, "Set-Cookie"));
    assert_string_equal(f->replies, "outcomeinvalid");
}

/* "ws" asks a handler of "ask" first. */
static void knock(struct fixture *f)
{
    f->routes.routes[0].gatekeeper = &f->routes.routes[1];
    say_text(f, handshake);
}

static void test_a_gatekeeper_is_asked_before_the_101(void **state)
{
    struct fixture *f = *state;
    knock(f);
    assert_string_equal(f->events, "open");
    assert_int_equal(f->got_len, 0);
    assert_int_equal(f->routes.routes[0].tally.asked, 1);
    assert_int_equal(f->routes.routes[1].tally.asked, 0);
    HAS(f->meta, "\"route\":\"ws\"");
    say_frame(f, 0x81, "early");
    assert_string_equal(f->events, "open"); /* it is read when it is let in */
    tell(f, (struct wsg_command){.type = WSB_ACCEPT, .subprotocol = wsb_span_str("nope")});
    HAS(f->got, "HTTP/1.1 101");
    assert_string_equal(f->events, "open admitted:nope data:early");
}

static void test_without_a_gatekeeper_the_door_is_closed(void **state)
{
    struct fixture *f = *state;
    serve_route(&f->routes.routes[1], 0);
    knock(f);
    HAS(f->got, "HTTP/1.1 503");
    assert_null(strstr((char *)f->got, "gatekeeper")); /* why is not the client's business */
    assert_string_equal(f->events, "");
    assert_int_equal(f->routes.routes[0].tally.refused[WSG_REFUSED_NO_GATEKEEPER], 1);
}

static void test_a_gatekeeper_may_be_waited_for(void **state)
{
    struct fixture *f = *state;
    serve_route(&f->routes.routes[1], 0);
    f->routes.routes[1].policy.no_handler = WSG_NO_HANDLER_WAIT;
    knock(f);
    assert_string_equal(f->events, "open");
    assert_int_equal(f->got_len, 0);
    tell(f, (struct wsg_command){.type = WSG_CMD_FAIL,
                                 .by = WSG_BY_GATE,
                                 .status = 503,
                                 .code = WSG_REFUSED_NO_GATEKEEPER,
                                 .reason = wsb_span_str("no handler")});
    HAS(f->got, "HTTP/1.1 503");
    HAS(f->events, "open closed");
    assert_int_equal(f->routes.routes[0].tally.refused[WSG_REFUSED_NO_GATEKEEPER], 1);
}

static void test_a_gatekeeper_has_only_so_much_time(void **state)
{
    struct fixture *f = *state;
    f->routes.routes[0].policy.accept_timeout_ms = 1;
    knock(f);
    for (int i = 0; i < 1000000 && f->got_len == 0; i++) /* a millisecond */
        turn(f);
    HAS(f->got, "HTTP/1.1 504");
    HAS(f->events, "open closed");
    HAS(f->meta, "accept timed out");
    assert_int_equal(f->routes.routes[0].tally.refused[WSG_REFUSED_ACCEPT_TIMEOUT], 1);
}

static void test_who_is_accepted_may_be_one_too_many(void **state)
{
    struct fixture *f = *state;
    f->routes.routes[0].policy.max_connections = 1;
    knock(f);
    f->routes.routes[0].tally.opened++; /* somebody else was faster */
    tell(f, (struct wsg_command){.type = WSB_ACCEPT, .flags = WSB_FLAG_WANT_OUTCOME});
    HAS(f->got, "HTTP/1.1 503");
    assert_string_equal(f->replies, "outcomerefused");
    HAS(f->events, "open closed");
    assert_int_equal(f->routes.routes[0].tally.refused[WSG_REFUSED_CONNECTIONS], 1);
}

static struct wsg_turnstile *turnstile_of_two(void)
{
    struct wsg_turnstile *t;
    assert_int_equal(
        wsg_turnstile_new(&t, &(struct wsg_turnstile_limits){.rate = 1, .burst = 2}, &(struct wsb_seed){1, 2}), WSB_OK);
    return t;
}

/* Room for so many that wait. */
static void set_places(struct fixture *f, uint32_t max)
{
    wsg_places_deinit(&f->routes.routes[0].pending);
    assert_int_equal(wsg_places_init(&f->routes.routes[0].pending, max), WSB_OK);
}

static wsg_place take_place(struct fixture *f, const char *who)
{
    struct wsb_ip ip = wsg_ip_of_peer(who);
    wsg_place place = wsg_places_take(&f->routes.routes[0].pending, &f->routes.seed, &ip);
    assert_true(place);
    return place;
}

static uint32_t places_taken(struct fixture *f)
{
    return wsg_places_taken(&f->routes.routes[0].pending);
}

static void test_there_may_be_as_many_as_wait(void **state)
{
    struct fixture *f = *state;
    set_places(f, 2);
    wsg_place other = take_place(f, "198.51.100.1:1");
    wsg_place another = take_place(f, "198.51.100.2:1");
    say_text(f, handshake);
    HAS(f->got, "HTTP/1.1 503");
    HAS(f->got, "\r\nRetry-After: 1\r\n");
    assert_string_equal(f->events, "");
    assert_int_equal(f->routes.routes[0].tally.refused[WSG_REFUSED_PENDING], 1);
    forget(f);
    say_text(f, handshake); /* and the next one a little later */
    HAS(f->got, "\r\nRetry-After: 2\r\n");
    forget(f);
    wsg_places_give_back(&f->routes.routes[0].pending, &another);
    say_text(f, handshake);
    HAS(f->got, "HTTP/1.1 101");
    assert_int_equal(places_taken(f), 2);
    wsg_places_give_back(&f->routes.routes[0].pending, &other);
}

/* The places count from the handshake on, whenever the bus hears of it. */
static void test_a_place_is_taken_before_the_bus_hears(void **state)
{
    struct fixture *f = *state;
    set_places(f, 2);
    knock(f);
    assert_int_equal(places_taken(f), 1);
    assert_int_equal(f->places, 1);
}

static void test_who_is_refused_in_the_end_has_no_place(void **state)
{
    struct fixture *f = *state;
    struct wsg_turnstile *none = turnstile_of_two();
    struct wsb_ip ip = wsg_ip_of_peer("198.51.100.1:1");
    while (wsg_turnstile_pass(none, &ip, wsg_loop_now_ms(f->env.loop)) == 0)
        ip.at[sizeof ip.at - 1]++;
    set_places(f, 2);
    f->gatekeeping.handshakes_of = &none;
    f->gatekeeping.handshakes_count = 1;
    say_text(f, handshake);
    HAS(f->got, "HTTP/1.1 503");
    assert_int_equal(places_taken(f), 0);
    assert_int_equal(f->routes.routes[0].tally.refused[WSG_REFUSED_HANDSHAKE_RATE], 1);
    f->gatekeeping.handshakes_of = NULL;
    f->gatekeeping.handshakes_count = 0;
    wsg_turnstile_free(none);
}

/* OPEN did not come about: nobody else will ever give the place back. */
static void test_without_memory_for_open_there_is_no_place(void **state)
{
    struct fixture *f = *state;
    size_t max = f->env.outbox.buf.max;
    f->env.outbox.buf.max = 1;
    say_text(f, handshake);
    f->env.outbox.buf.max = max;
    assert_true(wsg_lost_has(&f->env.lost));
    assert_int_equal(places_taken(f), 0);
}

static void test_who_is_for_nobody_has_no_place(void **state)
{
    struct fixture *f = *state;
    f->routes.routes[0].policy.no_handler = WSG_NO_HANDLER_CLOSE;
    f->routes.routes[0].serving[0] = f->routes.routes[0].handlers = 0;
    say_text(f, handshake);
    HAS(f->got, "HTTP/1.1 101");
    assert_string_equal(f->events, "");
    assert_int_equal(places_taken(f), 0);
}

/* Nobody may pass for a second; this one asks last, so that it is not over on a busy machine. */
static unsigned use_up(struct fixture *f, struct wsg_turnstile *t)
{
    struct wsb_ip ip = wsg_ip_of_peer("198.51.100.1:1");
    unsigned left = 0;
    for (; wsg_turnstile_pass(t, &ip, wsg_loop_now_ms(f->env.loop)) == 0; left++)
        ip.at[sizeof ip.at - 1]++;
    return left;
}

static void test_handshakes_of_a_route_have_a_rate(void **state)
{
    struct fixture *f = *state;
    struct wsg_turnstile *of_routes[] = {turnstile_of_two()};
    f->gatekeeping.handshakes_of = of_routes;
    f->gatekeeping.handshakes_count = COUNT(of_routes);
    f->routes.routes[0].policy.require_subprotocol = true;
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    HAS(f->got, "HTTP/1.1 400");
    forget(f);
    f->routes.routes[0].policy.require_subprotocol = false;
    say_text(f, handshake);
    HAS(f->got, "HTTP/1.1 101");
    hang_up(f);
    connect_client(f);
    forget(f);
    assert_int_not_equal(use_up(f, of_routes[0]), 0); /* what is not let in did not count */
    say_text(f, handshake);
    HAS(f->got, "HTTP/1.1 503");
    HAS(f->got, "\r\nRetry-After: ");
    assert_int_equal(f->routes.routes[0].tally.refused[WSG_REFUSED_HANDSHAKE_RATE], 1);
    wsg_turnstile_free(of_routes[0]);
}

static void test_handshakes_of_the_gate_have_a_rate(void **state)
{
    struct fixture *f = *state;
    f->gatekeeping.handshakes = turnstile_of_two();
    f->routes.routes[0].policy.require_subprotocol = true;
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    HAS(f->got, "HTTP/1.1 400");
    forget(f);
    (void)use_up(f, f->gatekeeping.handshakes);
    say_text(f, handshake);
    HAS(f->got, "HTTP/1.1 503");
    assert_int_equal(f->routes.routes[0].tally.refused[WSG_REFUSED_HANDSHAKE_RATE], 1);
    forget(f);
    say_text(f, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"); /* requests do not */
    HAS(f->got, "HTTP/1.1 404");
    wsg_turnstile_free(f->gatekeeping.handshakes);
}

/* ------------------------------------------------------------------ HTTP */

static void test_request_and_response_and_the_next_request(void **state)
{
    struct fixture *f = *state;
    say_text(f, "POST /ws/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbodyGET /ws/2 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(f->events, "request:body"); /* the second one waits for the first response */
    HAS(f->meta, "\"method\":\"POST\"");
    wsb_conn first = f->conn;
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .status = 201, .payload = wsb_span_str("made")});
    HAS(f->got, "HTTP/1.1 201");
    HAS(f->got, "Content-Length: 4");
    assert_string_equal(f->events, "request:body done request");
    assert_int_not_equal(f->conn, first); /* a late answer to the first cannot reach the second */
    void *s;
    assert_int_equal(wsg_slots_find(&f->env.slots, first, &s), WSB_ERR_GONE);
}

static void test_long_bodies_come_in_parts_and_responses_may_too(void **state)
{
    struct fixture *f = *state;
    char *body = malloc(90001);
    memset(body, 'b', 90000);
    body[90000] = 0;
    say_text(f, "POST /ws/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n");
    assert_string_equal(f->events, "");
    for (int i = 0; i < 9; i++)
        say(f, body, 10000);
    HAS(f->events, "request:bbbb");
    HAS(f->events, "+ body:");
    assert_string_equal(f->events + strlen(f->events) - 5, " body"); /* the last one, empty and without MORE */
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .flags = WSB_FLAG_MORE, .payload = wsb_span_str("one")});
    tell(f, (struct wsg_command){.type = WSB_BODY, .payload = wsb_span_str("two")});
    HAS(f->got, "Transfer-Encoding: chunked");
    HAS(f->got, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
    free(body);
}

static void test_an_answer_before_the_body_ends_the_request_for_the_handler(void **state)
{
    struct fixture *f = *state;
    char *body = malloc(70001);
    memset(body, 'b', 70000);
    body[70000] = 0;
    say_text(f, "POST /ws/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n");
    say_text(f, body);
    HAS(f->events, "request:bbbb");
    f->events[0] = 0;
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .status = 400, .payload = wsb_span_str("no")});
    say_text(f, "the rest, unwanted");
    say(f, body, 20000 - 18);
    HAS(f->events, "aborted");
    HAS(f->meta, "answered before");
    assert_null(strstr(f->events, "body"));
    free(body);
}

/* What is wrong with a body is told for as long as no response has begun, also behind what its handler has got. */
static void test_a_bad_body_is_answered_until_the_response_begins(void **state)
{
    static const struct {
        const char *more; /* behind two chunks of 40,000 bytes */
        bool begin;
        const char *want; /* NULL: the connection ends without a word */
        enum wsg_refusal reason;
    } rows[] = {
        {"7530\r\n", false, "HTTP/1.1 413", WSG_REFUSED_BODY_SIZE}, /* 30,000 more than the route allows */
        {"x\r\n", false, "HTTP/1.1 400", WSG_REFUSED_MALFORMED},
        {"7530\r\n", true, NULL, WSG_REFUSED_OTHER},
        {"x\r\n", true, NULL, WSG_REFUSED_OTHER},
    };
    struct fixture *f = *state;
    const struct wsg_route *r = &f->routes.routes[0];
    char *body = calloc(1, 40001);
    memset(body, 'b', 40000);
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t before = r->tally.refused[rows[i].reason];
        say_text(f, "POST /ws/1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int k = 0; k < 2; k++) {
            say_text(f, "9c40\r\n");
            say(f, body, 40000);
            say_text(f, "\r\n");
        }
        HAS(f->events, "request:bbbb");
        if (rows[i].begin)
            tell(f, (struct wsg_command){.type = WSB_RESPOND, .flags = WSB_FLAG_MORE, .payload = wsb_span_str("one")});
        forget(f);
        say_text(f, rows[i].more);
        if (rows[i].more[0] != 'x')
            say(f, body, 30000);
        HAS(f->events, "aborted");
        if (rows[i].want)
            HAS(f->got, rows[i].want);
        else
            assert_int_equal(f->got_len, 0);
        assert_int_equal(r->tally.refused[rows[i].reason], before + (rows[i].want != NULL));
        hang_up(f);
        forget(f);
        connect_client(f);
    }
    free(body);
}

static void test_a_pause_ends_with_its_exchange(void **state)
{
    struct fixture *f = *state;
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    tell(f, (struct wsg_command){.type = WSG_CMD_PAUSE});
    tell(f, (struct wsg_command){.type = WSB_RESPOND});
    say_text(f, "GET /ws/2 HTTP/1.1\r\nHost: h\r\n\r\n"); /* the hub will never resume an id that is spent */
    assert_string_equal(f->events, "request done request");
}

static void test_a_half_closed_client_gets_what_it_was_promised(void **state)
{
    struct fixture *f = *state;
    char *body = malloc(300000);
    memset(body, 'x', 300000);
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    void *s;
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &s), WSB_OK);
    struct wsg_command c = {.type = WSB_RESPOND, .payload = wsb_span(body, 300000)};
    wsg_session_command(s, &c);
    assert_int_equal(shutdown(f->client, SHUT_WR), 0);
    size_t total = 0;
    for (int i = 0; i < 100; i++) {
        f->got_len = 0;
        turn(f);
        total += f->got_len;
    }
    assert_true(total > 300000);
    assert_int_equal(f->env.slots.used, 0);
    free(body);
}

static void half_close(struct fixture *f)
{
    assert_int_equal(shutdown(f->client, SHUT_WR), 0);
    turn(f);
}

/* What it sent before is all answered, in order, also what had not been read when it said its last word. */
static void test_a_half_closed_client_gets_every_answer(void **state)
{
    struct fixture *f = *state;
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\nGET /ws/2 HTTP/1.1\r\nHost: h\r\n\r\n");
    half_close(f);
    assert_string_equal(f->events, "request");
    turn(f);
    assert_string_equal(f->events, "request"); /* nobody hears that it has ended */
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .payload = wsb_span_str("first")});
    HAS(f->got, "\r\n\r\nfirst");
    assert_string_equal(f->events, "request done request");
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .payload = wsb_span_str("second")});
    HAS(f->got, "\r\n\r\nsecond");
    turn(f);
    assert_int_equal(f->env.slots.used, 0);
}

static void test_who_counts_as_gone_behind_a_half_close(void **state)
{
    static const char stream[] = "text/event-stream";
    struct wsg_field type = {wsb_span_str("Content-Type"), wsb_span_str(stream)};
    struct fixture *f = *state;
    f->routes.routes[0].policy.half_close_aborts = true;
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    half_close(f); /* on a route that takes it so */
    HAS(f->events, "request aborted");
    f->routes.routes[0].policy.half_close_aborts = false;
    hang_up(f);
    forget(f);
    connect_client(f);
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .flags = WSB_FLAG_MORE, .fields = &type, .field_count = 1});
    half_close(f); /* a stream of events never ends by itself */
    HAS(f->events, "request aborted");
    hang_up(f);
    forget(f);
    connect_client(f);
    say_text(f, "POST /ws/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    say(f, f->got, 80000);
    HAS(f->events, "request");
    half_close(f); /* the rest of its request will not come */
    HAS(f->events, "aborted");
    hang_up(f);
    forget(f);
    connect_client(f);
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    half_close(f);
    assert_string_equal(f->events, "request");
    hang_up(f); /* and then it is gone */
    HAS(f->events, "request aborted");
}

static void test_an_empty_answer_to_head_says_nothing_of_the_length(void **state)
{
    struct fixture *f = *state;
    say_text(f, "HEAD /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    tell(f, (struct wsg_command){.type = WSB_RESPOND});
    HAS(f->got, "HTTP/1.1 200");
    assert_null(strstr((char *)f->got, "Content-Length"));
}

static void test_client_that_gives_up_aborts_the_request(void **state)
{
    struct fixture *f = *state;
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    hang_up(f);
    HAS(f->events, "request aborted");
}

static void test_refusals_have_their_status(void **state)
{
    static const struct {
        const char *request, *want;
    } rows[] = {
        {"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", "404"},
        {"GET /none HTTP/1.1\r\nHost: h\r\n\r\n", "503"},
        {"BREW /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n", "501"},
        {"GET /ws/1 HTTP/2.0\r\nHost: h\r\n\r\n", "505"},
        {"GET /ws/1 HTTP/1.1\r\n\r\n", "400"},
        {"POST /ws/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n", "413"},
        {"POST /ws/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: magic\r\n\r\n", "417"},
        {"GET /ws/1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
         "8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
         "426"},
        {"POST /ws/1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
         "13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
         "405"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char want[32];
        say_text(f, rows[i].request);
        snprintf(want, sizeof want, "HTTP/1.1 %s", rows[i].want);
        if (memcmp(f->got, want, strlen(want)) != 0)
            fail_msg("%s: %.60s", rows[i].request, (const char *)f->got);
        assert_string_equal(f->events, "");
        hang_up(f);
        forget(f);
        connect_client(f);
    }
}

static void test_invalid_response_of_a_handler_is_502(void **state)
{
    struct fixture *f = *state;
    struct wsg_field evil = {wsb_span_str("X-A"), wsb_span_str("1\r\nSet-Cookie: evil=1")};
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    tell(f,
         (struct wsg_command){.type = WSB_RESPOND, .flags = WSB_FLAG_WANT_OUTCOME, .fields = &evil, .field_count = 1});
    HAS(f->got, "HTTP/1.1 502");
    assert_null(strstr((char *)f->got, "evil"));
    assert_string_equal(f->replies, "outcomeinvalid");
}

static void test_respond_to_nothing_is_refused(void **state)
{
    struct fixture *f = *state;
    open_websocket(f);
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .flags = WSB_FLAG_WANT_OUTCOME});
    assert_string_equal(f->replies, "outcomerefused");
    assert_int_equal(f->got_len, 0);
}

/* What handlers say of themselves decides at once; a kind that was served before may come back. */
static void test_a_kind_that_no_handler_serves_is_refused_at_once(void **state)
{
#define WS                                                                                                             \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                     \
    "Sec-WebSocket-Version: 13\r\n"
    static const struct {
        const char *path, *fields;
        unsigned serve, before;
        const char *want;
    } rows[] = {
        {"/ws/1", "", WSG_KIND_WEBSOCKET, 0, "426"},
        {"/patient", "", WSG_KIND_WEBSOCKET, 0, "426"},
        {"/ws/1", "", WSG_KIND_WEBSOCKET, WSG_KIND_HTTP, "503"},
        {"/patient", "", WSG_KIND_WEBSOCKET, WSG_KIND_HTTP, ""}, /* it waits for one */
        {"/ws/1", "", WSG_KIND_HTTP, 0, ""},
        {"/ws/1", WS, WSG_KIND_HTTP, 0, "404"},
        {"/patient", WS, WSG_KIND_HTTP, 0, "404"},
        {"/ws/1", WS, WSG_KIND_HTTP, WSG_KIND_WEBSOCKET, "503"},
        {"/ws/1", WS, WSG_KIND_WEBSOCKET, 0, "101"},
        {"/ws/1", WS, WSG_KIND_ALL, 0, "101"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[512], want[32] = "";
        struct wsg_route *r = wsg_routes_find(&f->routes, wsb_span_str(rows[i].path[1] == 'w' ? "ws" : "patient"));
        uint64_t refused = r->tally.refused[WSG_REFUSED_KIND];
        bool by_kind = strcmp(rows[i].want, "426") == 0 || strcmp(rows[i].want, "404") == 0;
        serve_route(r, rows[i].serve);
        atomic_fetch_or(&r->kinds_served, rows[i].before);
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", rows[i].path, rows[i].fields);
        say_text(f, text);
        if (rows[i].want[0])
            snprintf(want, sizeof want, "HTTP/1.1 %s", rows[i].want);
        if (f->got_len < strlen(want) || memcmp(f->got, want, strlen(want)) != 0 || (!want[0] && f->got_len))
            fail_msg("row %zu: %.60s", i, (const char *)f->got);
        if (by_kind)
            assert_string_equal(f->events, "");
        assert_int_equal(r->tally.refused[WSG_REFUSED_KIND], refused + by_kind);
        hang_up(f);
        forget(f);
        connect_client(f);
    }
#undef WS
}

static void test_a_command_for_another_route_is_refused_by_the_session(void **state)
{
    static const uint8_t types[] = {WSB_SEND, WSB_CLOSE, WSB_PING, WSB_RESPOND};
    struct fixture *f = *state;
    open_websocket(f);
    for (size_t i = 0; i < COUNT(types); i++) {
        forget(f);
        tell(f, (struct wsg_command){.type = types[i],
                                     .code = WSB_TEXT,
                                     .flags = WSB_FLAG_WANT_OUTCOME,
                                     .status = 1000,
                                     .only_route = 2,
                                     .payload = wsb_span_str("no")});
        HAS(f->replies, "refused");
        assert_int_equal(f->got_len, 0);
    }
    tell(f, (struct wsg_command){.type = WSB_SEND, .code = WSB_TEXT, .only_route = 1, .payload = wsb_span_str("yes")});
    assert_int_equal(f->got_len, 5);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_opening_tells_the_key_the_user_and_the_groups),
        TEST(test_a_name_that_cannot_be_is_not_joined),
        TEST(test_requests_tell_their_key_and_whether_they_may_be_repeated),
        TEST(test_a_route_that_waits_lets_clients_in_without_a_handler),
        TEST(test_handshake_tells_the_handler_everything),
        TEST(test_messages_go_both_ways),
        TEST(test_frames_behind_the_handshake_are_kept),
        TEST(test_ping_is_answered_and_pong_measured),
        TEST(test_ping_has_its_outcome_and_one_is_under_way_at_a_time),
        TEST(test_close_has_its_outcome_when_it_is_written),
        TEST(test_a_client_that_reads_is_not_slow_however_much_comes_at_once),
        TEST(test_outcomes_that_wait_count_in_the_queue),
        TEST(test_client_close_is_answered_with_its_code),
        TEST(test_handler_close_waits_for_the_client),
        TEST(test_client_that_floods_after_our_close_is_cut_off),
        TEST(test_client_that_vanishes_is_told_of),
        TEST(test_broken_rules_close_with_their_code),
        TEST(test_message_over_the_limit_is_1009),
        TEST(test_slow_client_is_closed_and_the_outcome_says_dropped),
        TEST(test_paused_client_is_not_read_and_nothing_is_lost),
        TEST(test_route_without_handler_refuses_or_closes),
        TEST(test_handler_accepts_with_subprotocol_and_headers),
        TEST(test_handler_rejects_with_status_and_body),
        TEST(test_accept_with_a_subprotocol_not_offered_is_invalid),
        TEST(test_accept_cannot_begin_a_header_line_inside_another),
        TEST(test_a_gatekeeper_is_asked_before_the_101),
        TEST(test_without_a_gatekeeper_the_door_is_closed),
        TEST(test_a_gatekeeper_may_be_waited_for),
        TEST(test_a_gatekeeper_has_only_so_much_time),
        TEST(test_who_is_accepted_may_be_one_too_many),
        TEST(test_there_may_be_as_many_as_wait),
        TEST(test_a_place_is_taken_before_the_bus_hears),
        TEST(test_who_is_refused_in_the_end_has_no_place),
        TEST(test_who_is_for_nobody_has_no_place),
        TEST(test_without_memory_for_open_there_is_no_place),
        TEST(test_handshakes_of_a_route_have_a_rate),
        TEST(test_handshakes_of_the_gate_have_a_rate),
        TEST(test_request_and_response_and_the_next_request),
        TEST(test_long_bodies_come_in_parts_and_responses_may_too),
        TEST(test_an_answer_before_the_body_ends_the_request_for_the_handler),
        TEST(test_a_bad_body_is_answered_until_the_response_begins),
        TEST(test_a_pause_ends_with_its_exchange),
        TEST(test_a_half_closed_client_gets_what_it_was_promised),
        TEST(test_a_half_closed_client_gets_every_answer),
        TEST(test_who_counts_as_gone_behind_a_half_close),
        TEST(test_an_empty_answer_to_head_says_nothing_of_the_length),
        TEST(test_client_that_gives_up_aborts_the_request),
        TEST(test_refusals_have_their_status),
        TEST(test_invalid_response_of_a_handler_is_502),
        TEST(test_respond_to_nothing_is_refused),
        TEST(test_a_kind_that_no_handler_serves_is_refused_at_once),
        TEST(test_a_command_for_another_route_is_refused_by_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
