/*
 * Compression in a session: what is agreed, what is packed and what is not, what many share, and that nothing is packed in
 * order that might not be sent. The client's side is ws/deflate.c itself, which its own tests prove.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "session/compress.h"
#include "session/parts.h"
#include "unit/session/fixture.h"

enum { THRESHOLD = 20, ACCOUNT = 4 << 20 };

static struct wsb_deflate_account account;
static struct wsb_deflate_shared *shared; /* the client's */

static const char request[] = "GET /%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

#define TEXT "all work and no play, all work and no play, all work and no play"

static int setup_compressing(void **state)
{
    if (setup(state))
        return -1;
    struct fixture *f = *state;
    account = (struct wsb_deflate_account){.max = ACCOUNT};
    f->env.deflate_account = &account;
    assert_int_equal(wsb_deflate_shared_new(&f->env.deflate, &account), WSB_OK);
    assert_int_equal(wsb_deflate_shared_new(&shared, &account), WSB_OK);
    return 0;
}

static int teardown_compressing(void **state)
{
    int status = teardown(state);
    wsb_deflate_shared_free(shared);
    assert_int_equal(account.used, 0);
    return status;
}

static struct wsg_route *compress_route(struct fixture *f, size_t index, bool takeover)
{
    struct wsg_route *r = &f->routes.routes[index];
    r->policy.compress = true;
    r->policy.compress_takeover = takeover;
    r->policy.compress_threshold = THRESHOLD;
    r->policy.compress_level = 1;
    r->policy.compress_window = 12;
    return r;
}

static void open_offering(struct fixture *f, const char *path)
{
    char text[512];
    (void)snprintf(text, sizeof text, request, path);
    say_text(f, text);
}

static struct wsg_session *session_of(struct fixture *f)
{
    void *found;
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &found), WSB_OK);
    return found;
}

/* The client's end of what the latest handshake agreed on. */
static struct wsb_deflate *client_of(struct fixture *f)
{
    struct wsb_deflate *d;
    const struct wsb_deflate_params *p = wsb_deflate_params_of(session_of(f)->deflate);
    assert_int_equal(wsb_deflate_new(&d, shared, WSB_ROLE_CLIENT, p, /*level=*/1), WSB_OK);
    return d;
}

static struct wsg_command send_of(const char *text, enum wsg_slow slow)
{
    return (struct wsg_command){
        .type = WSB_SEND, .code = WSB_TEXT, .slow = (uint8_t)slow, .payload = wsb_span_str(text)};
}

/* Reads the frames that the client got; each message must be one of the texts, packed or not as said. */
static void expect(struct fixture *f, struct wsb_deflate *d, const char *const *texts, const bool *packed, size_t count)
{
    static const struct wsb_ws_limits limits = {.max_message = 1000, .max_frame = 1000};
    struct wsb_ws_in in;
    struct wsb_ws_event ev;
    size_t at = 0;
    wsb_ws_in_init(&in, WSB_ROLE_CLIENT, d ? WSB_RSV1 : 0, &limits);
    for (size_t i = 0; i < count; i++) {
        size_t used;
        assert_int_equal(wsb_ws_in_next(&in, f->got + at, f->got_len - at, &used, &ev), WSB_OK);
        at += used;
        assert_int_equal(ev.rsv, packed[i] ? WSB_RSV1 : 0);
        if (packed[i])
            assert_int_equal(wsb_deflate_unpack(d, &ev, 1000), WSB_OK);
        assert_int_equal(ev.len, strlen(texts[i]));
        assert_memory_equal(ev.payload, texts[i], ev.len);
    }
    assert_int_equal(at, f->got_len);
    wsb_ws_in_deinit(&in);
    forget(f);
}

static void test_a_route_that_does_not_compress_does_not_answer(void **state)
{
    struct fixture *f = *state;
    open_offering(f, "ws/a");
    HAS(f->got, "101");
    assert_null(strstr((char *)f->got, "Extensions"));
    HAS(f->meta, "\"extensions\":\"\"");
    assert_false(session_of(f)->is_compressed);
}

static void test_what_is_agreed_is_answered_and_told(void **state)
{
    struct fixture *f = *state;
    compress_route(f, 0, false);
    open_offering(f, "ws/a");
#define ANSWER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    HAS(f->got, "\r\nSec-WebSocket-Extensions: " ANSWER "\r\n");
    HAS(f->meta, "\"extensions\":\"" ANSWER "\"");
    assert_int_equal(f->routes.routes[0].tally.compressed, 1);
}

static void test_a_client_that_waits_is_answered_when_it_is_accepted(void **state)
{
    struct fixture *f = *state;
    compress_route(f, 1, true);
    open_offering(f, "ask");
    HAS(f->meta, "\"extensions\":\"permessage-deflate; server_max_window_bits=12\"");
    assert_int_equal(f->got_len, 0);
    assert_true(account.used > 0);
    tell(f, (struct wsg_command){.type = WSB_ACCEPT});
    HAS(f->got, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n");
}

static void test_a_client_that_is_rejected_gives_its_memory_back(void **state)
{
    struct fixture *f = *state;
    compress_route(f, 1, true);
    open_offering(f, "ask");
    assert_true(account.used > 0);
    tell(f, (struct wsg_command){.type = WSB_REJECT, .status = 403});
    HAS(f->got, "HTTP/1.1 403");
    assert_int_equal(account.used, 0);
}

static void test_memory_that_is_used_up_costs_the_context_only(void **state)
{
    struct fixture *f = *state;
    compress_route(f, 0, true);
    account.max = 1000;
    open_offering(f, "ws/a");
    HAS(f->got, "server_no_context_takeover; client_no_context_takeover\r\n");
    assert_int_equal(account.refused, 1);
    assert_int_equal(account.used, 0);
}

static void test_messages_come_unpacked_and_are_counted(void **state)
{
    struct fixture *f = *state;
    struct wsg_route *r = compress_route(f, 0, true);
    open_offering(f, "ws/a");
    struct wsb_deflate *d = client_of(f);
    for (int i = 0; i < 2; i++) { /* the second refers to the first */
        struct wsb_span packed;
        char payload[200] = "";
        forget(f);
        assert_int_equal(wsb_deflate_pack(d, WSB_DEFLATE_IN_ORDER, wsb_span_str(TEXT), &packed), WSB_OK);
        uint8_t frame[200] = {0xc1, (uint8_t)(0x80 | packed.len)}; /* a mask of zeros */
        memcpy(frame + 6, packed.ptr, packed.len);
        say(f, frame, 6 + packed.len);
        (void)snprintf(payload, sizeof payload, "data:%.40s", TEXT);
        assert_string_equal(f->events, payload);
    }
    assert_int_equal(r->tally.unpacked, 2);
    assert_int_equal(r->tally.unpacked_bytes, 2 * strlen(TEXT));
    assert_int_equal(r->tally.bytes_in, 2 * strlen(TEXT));
    assert_true(r->tally.unpacked_from_bytes < strlen(TEXT));
    wsb_deflate_free(d);
}

enum { MUCH = 2 << 20 };

/* A message of so many a's, packed, and a short one behind it, in one write. */
static void say_much(struct fixture *f, bool takeover)
{
    struct wsg_route *r = compress_route(f, 0, takeover);
    struct wsb_span packed;
    char *text = malloc(MUCH);
    assert_non_null(text);
    memset(text, 'a', MUCH);
    r->policy.max_message = r->policy.max_frame = MUCH;
    open_offering(f, "ws/a");
    forget(f);
    struct wsb_deflate *d = client_of(f);
    assert_int_equal(wsb_deflate_pack(d, WSB_DEFLATE_IN_ORDER, wsb_span(text, MUCH), &packed), WSB_OK);
    assert_in_range(packed.len, 126, 60000);
    uint8_t *frames = calloc(1, packed.len + 15);
    assert_non_null(frames);
    memcpy(frames, ((uint8_t[]){0xc1, 0xfe, (uint8_t)(packed.len >> 8), (uint8_t)packed.len}), 4); /* a mask of zeros */
    memcpy(frames + 8, packed.ptr, packed.len);
    memcpy(frames + 8 + packed.len, "\x81\x81\0\0\0\0b", 7);
    client_write(f, frames, packed.len + 15);
    free(frames);
    free(text);
    wsb_deflate_free(d);
}

/* Some hundred thousand bytes of it a round; what came behind it waits. */
static void test_a_message_that_is_much_is_unpacked_in_turns(void **state)
{
    struct fixture *f = *state;
    for (int takeover = 0; takeover < 2; takeover++) {
        int rounds = 0;
        say_much(f, takeover);
        for (size_t held = 0; !strstr(f->events, "data:"); rounds++, held = wsg_compress_held(session_of(f))) {
            size_t now = wsg_compress_held(session_of(f));
            assert_in_range(rounds, 0, 100);
            assert_true(now <= MUCH + 100000 && now >= held);
            assert_int_equal(f->env.unfinished_held, now);
            assert_true(!now || f->env.turns.count == 1);
            hear_round(f);
        }
        assert_in_range(rounds, 4, 20);
        turn(f);
        assert_string_equal(f->events, "data:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa data:b");
        assert_int_equal(wsg_compress_held(session_of(f)), 0);
        assert_int_equal(f->env.unfinished_held, 0);
        assert_null(session_of(f)->unread);
        assert_int_equal(session_of(f)->paused, 0);
        assert_int_equal(f->routes.routes[0].tally.unpacked_bytes, (uint64_t)MUCH * (unsigned)(takeover + 1));
        connect_client(f);
    }
}

/* It is paused meanwhile, as its handler has too much: it is finished when that is over. */
static void test_a_pause_while_a_message_is_unpacked(void **state)
{
    struct fixture *f = *state;
    say_much(f, true);
    while (!wsg_compress_held(session_of(f)))
        hear_round(f);
    wsg_session_command(session_of(f), &(struct wsg_command){.type = WSG_CMD_PAUSE, .by = WSG_BY_GATE});
    for (int i = 0; i < 20; i++)
        hear_round(f);
    assert_string_equal(f->events, "");
    assert_true(wsg_compress_held(session_of(f)) > 0);
    assert_null(f->env.turns.held);
    wsg_session_command(session_of(f), &(struct wsg_command){.type = WSG_CMD_RESUME, .by = WSG_BY_GATE});
    for (int i = 0; i < 20; i++)
        hear_round(f);
    assert_string_equal(f->events, "data:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa data:b");
}

/* We say goodbye, or the client is gone, while it is unpacked: nothing of it is heard, and nothing is left. */
static void test_an_end_while_a_message_is_unpacked(void **state)
{
    struct fixture *f = *state;
    say_much(f, true);
    while (!wsg_compress_held(session_of(f)))
        hear_round(f);
    wsg_websocket_close(session_of(f), WSG_BY_GATE, 1001, wsb_span_str("enough"));
    assert_int_equal(wsg_compress_held(session_of(f)), 0);
    turn(f);
    assert_null(strstr(f->events, "data:"));
    assert_int_equal(f->env.unfinished_held, 0);
}

/* The gate drains meanwhile: what was read is heard, the message and the one behind it, and only then that there is no more. */
static void test_a_drain_while_a_message_is_unpacked(void **state)
{
    struct fixture *f = *state;
    say_much(f, true);
    while (!wsg_compress_held(session_of(f)))
        hear_round(f);
    wsg_session_command(session_of(f), &(struct wsg_command){.type = WSG_CMD_QUIET, .by = WSG_BY_GATE});
    assert_int_equal(session_of(f)->paused & WSG_PAUSE_QUIET, 0);
    for (int i = 0; i < 20; i++)
        hear_round(f);
    assert_string_equal(
        f->events,
        "data:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa data:b data"); /* the last one is no message: it says that there are no more */
    assert_int_equal(session_of(f)->paused & WSG_PAUSE_QUIET, WSG_PAUSE_QUIET);
}

/* All of it has come: its clock does not go on. */
static void test_a_message_that_is_unpacked_is_not_late(void **state)
{
    struct fixture *f = *state;
    say_much(f, true);
    session_of(f)->route->policy.message_timeout_ms = 1000;
    while (!wsg_compress_held(session_of(f)))
        hear_round(f);
    assert_non_null(session_of(f)->unfinished);
    session_of(f)->unfinished->since_ms -= 5000;
    session_of(f)->timer.fn(&session_of(f)->timer);
    assert_int_equal(session_of(f)->state, WSG_SESSION_OPEN);
    for (int i = 0; i < 20; i++)
        hear_round(f);
    assert_string_equal(f->events, "data:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa data:b");
}

static void test_what_is_no_deflate_is_a_protocol_error(void **state)
{
    struct fixture *f = *state;
    compress_route(f, 0, true);
    open_offering(f, "ws/a");
    forget(f);
    say_frame(f, 0xc1, "\xff\xff\xff");
    assert_memory_equal(f->got,
                        "\x88\x10\x03\xea"
                        "protocol error",
                        18);
    assert_int_equal(account.used, 0); /* at once, not when the client has gone */
}

static void test_small_and_plain_messages_are_not_packed(void **state)
{
    struct fixture *f = *state;
    struct wsg_route *r = compress_route(f, 0, true);
    open_offering(f, "ws/a");
    struct wsb_deflate *d = client_of(f);
    struct wsg_command plain = send_of(TEXT, WSG_SLOW_AS_ROUTE);
    plain.flags = WSB_FLAG_PLAIN;
    forget(f);
    tell(f, send_of("nineteen characters", WSG_SLOW_AS_ROUTE));
    tell(f, plain);
    tell(f, send_of("xzqwjkvbpyfgmlducthrsnio", WSG_SLOW_AS_ROUTE)); /* would not become smaller */
    tell(f, send_of(TEXT, WSG_SLOW_AS_ROUTE));
    expect(f, d, (const char *[]){"nineteen characters", TEXT, "xzqwjkvbpyfgmlducthrsnio", TEXT},
           (bool[]){false, false, false, true}, 4);
    assert_int_equal(r->tally.packed, 1);
    assert_int_equal(r->tally.packed_from_bytes, strlen(TEXT));
    assert_int_equal(r->tally.written_bytes, 19 + 2 * strlen(TEXT) + 24); /* messages are counted, not the wire */
    wsb_deflate_free(d);
}

/* A message that may be dropped is dropped, and those packed before and behind it are read nevertheless. */
static void test_a_dropped_message_spoils_no_context(void **state)
{
    struct fixture *f = *state;
    compress_route(f, 0, true);
    open_offering(f, "ws/a");
    struct wsb_deflate *d = client_of(f);
    struct wsg_session *s = session_of(f);
    struct wsg_command loose = send_of("another text, another text, another text: " TEXT, WSG_SLOW_CONFLATE);
    struct wsg_command fixed = send_of(TEXT, WSG_SLOW_AS_ROUTE);
    struct wsg_command newer = send_of("the latest of its key, and " TEXT, WSG_SLOW_CONFLATE);
    loose.key = newer.key = wsb_span_str("k");
    forget(f);
    wsg_session_command(s, &fixed);
    wsg_session_command(s, &loose);
    wsg_session_command(s, &fixed);
    wsg_session_command(s, &newer); /* takes the place of loose */
    wsg_session_command(s, &fixed);
    turn(f);
    expect(f, d, (const char *[]){TEXT, TEXT, "the latest of its key, and " TEXT, TEXT},
           (bool[]){true, true, true, true}, 4);
    assert_int_equal(f->routes.routes[0].tally.out_dropped[WSG_OUT_CONFLATED], 1);
    wsb_deflate_free(d);
}

/* Two clients with a context each: what is for both is packed once, and the contexts go on. */
static void test_what_many_get_is_packed_once(void **state)
{
    struct fixture *f = *state;
    struct wsg_route *r = compress_route(f, 0, true);
    struct wsb_deflate *d[2];
    struct wsg_session *s[2];
    int clients[2];
    for (int i = 0; i < 2; i++) {
        if (i)
            connect_client(f);
        open_offering(f, "ws/a");
        s[i] = session_of(f);
        d[i] = client_of(f);
        clients[i] = f->client;
        forget(f);
    }
    static const char all[] = TEXT ", and this is for every single one of you";
    struct wsg_shared *frame = wsg_shared_new(2 + sizeof all - 1);
    assert_non_null(frame);
    frame->data[0] = 0x81;
    frame->data[1] = sizeof all - 1;
    memcpy(frame->data + 2, all, sizeof all - 1);
    struct wsg_command one = send_of(TEXT, WSG_SLOW_AS_ROUTE);
    struct wsg_command many = send_of("", WSG_SLOW_AS_ROUTE);
    many.payload = wsb_span(frame->data + 2, sizeof all - 1);
    many.frame = frame;
    many.is_for_many = true;
    for (int i = 0; i < 2; i++)
        wsg_session_command(s[i], &one);
    for (int i = 0; i < 2; i++)
        wsg_session_command(s[i], &many);
    assert_ptr_equal(f->env.fanned.plain, frame);
    assert_non_null(f->env.fanned.packed);
    for (int i = 0; i < 2; i++)
        wsg_session_command(s[i], &one);
    for (int i = 0; i < 2; i++) {
        f->client = clients[i];
        turn(f);
        expect(f, d[i], (const char *[]){TEXT, all, TEXT}, (bool[]){true, true, true}, 3);
    }
    assert_int_equal(r->tally.packed, 6);
    assert_null(f->env.fanned.plain); /* the round is over */
    assert_int_equal(frame->refs, 1);
    wsg_shared_unref(frame);
    close(clients[0]);
    wsb_deflate_free(d[0]);
    wsb_deflate_free(d[1]);
}

static void test_a_route_that_drops_agrees_on_no_context_of_its_own(void **state)
{
    struct fixture *f = *state;
    compress_route(f, 0, true)->policy.slow = WSG_SLOW_DROP_OLD;
    open_offering(f, "ws/a");
    HAS(f->got, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n");
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup_compressing, teardown_compressing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW(test_a_route_that_does_not_compress_does_not_answer),
        ROW(test_what_is_agreed_is_answered_and_told),
        ROW(test_a_client_that_waits_is_answered_when_it_is_accepted),
        ROW(test_a_client_that_is_rejected_gives_its_memory_back),
        ROW(test_memory_that_is_used_up_costs_the_context_only),
        ROW(test_messages_come_unpacked_and_are_counted),
        ROW(test_a_message_that_is_much_is_unpacked_in_turns),
        ROW(test_a_pause_while_a_message_is_unpacked),
        ROW(test_an_end_while_a_message_is_unpacked),
        ROW(test_a_drain_while_a_message_is_unpacked),
        ROW(test_a_message_that_is_unpacked_is_not_late),
        ROW(test_what_is_no_deflate_is_a_protocol_error),
        ROW(test_small_and_plain_messages_are_not_packed),
        ROW(test_a_dropped_message_spoils_no_context),
        ROW(test_what_many_get_is_packed_once),
        ROW(test_a_route_that_drops_agrees_on_no_context_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
