/* Sessions in which we are the client: the fixture's client plays the server. */
#include <sys/socket.h>
#include <unistd.h>

#include "session/dialed.h"
#include "unit/session/fixture.h"
#include "ws/frame.h"
#include "ws/mask.h"

static struct wsg_dialed dialed;
static int ended;

static void on_ended(struct wsg_dialed *d)
{
    assert_ptr_equal(d, &dialed);
    ended++;
}

/* Hand one over, with bytes that came with its answer. */
static wsb_err adopt(struct fixture *f, const char *unread, size_t unread_len)
{
    static char *groups[] = {"g", "h"};
    static struct wsg_texts all = {groups, 2};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    dialed = (struct wsg_dialed){
        .fd = pair[0],
        .route = &f->routes.routes[0],
        .name = "d",
        .url = "ws://h/p?q=1",
        .target = "ws://h/p",
        .path = "/p?q=1",
        .host = "h",
        .subprotocol = "one",
        .user = "u",
        .groups = &all,
        .fields = "Server: x\r\nSet-Cookie: a\r\nserver: y\r\n",
        .ended = on_ended,
    };
    ended = 0;
    wsb_buf_init(&dialed.unread, 0);
    assert_int_equal(wsb_buf_append(&dialed.unread, unread, unread_len), WSB_OK);
    (void)close(f->client);
    f->client = pair[1];
    turn(f); /* the one that is gone */
    forget(f);
    wsb_err err = wsg_session_adopt(&f->env, &dialed);
    turn(f);
    return err;
}

/* What the server got: frames that are masked, with different keys, as text "81:hello". */
static void assert_got(struct fixture *f, const char *want)
{
    char text[256] = "";
    uint8_t before[4] = {0};
    for (size_t at = 0; at < f->got_len;) {
        struct wsb_frame_hdr h;
        size_t used = 0;
        size_t n = strlen(text);
        char payload[128];
        assert_int_equal(wsb_frame_hdr_parse(f->got + at, f->got_len - at, WSB_ROLE_SERVER, 0, &h, &used), WSB_OK);
        assert_true(h.masked && memcmp(h.mask, before, 4) != 0 && h.payload_len < sizeof payload);
        memcpy(before, h.mask, 4);
        wsb_mask_copy((uint8_t *)payload, f->got + at + used, (size_t)h.payload_len, h.mask, 0);
        (void)snprintf(text + n, sizeof text - n, "%s%x:%.*s", n ? " " : "", (unsigned)f->got[at],
                       (int)(h.opcode == WSB_OP_CLOSE ? 0 : h.payload_len), payload);
        if (h.opcode == WSB_OP_CLOSE && h.payload_len)
            (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%u",
                           (unsigned)((uint8_t)payload[0] << 8 | (uint8_t)payload[1]));
        at += used + (size_t)h.payload_len;
    }
    assert_string_equal(text, want);
    f->got_len = 0;
}

static void test_it_is_told_as_it_is(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(adopt(f, "", 0), WSB_OK);
    assert_string_equal(f->events, "open");
    assert_string_equal(f->who, "u,g,h,");
    HAS(f->meta, "\"dialed\":{\"name\":\"d\",\"url\":\"ws://h/p?q=1\"}");
    HAS(f->meta, "\"path\":\"/p\",\"query\":\"q=1\",\"host\":\"h\"");
    HAS(f->meta, "\"subprotocol\":\"one\"");
    HAS(f->meta, "\"headers\":{\"server\":\"x, y\",\"set-cookie\":\"a\"}");
    assert_int_not_equal(f->key, 0);
    assert_int_equal(dialed.id, f->conn);
    assert_string_equal(wsg_session_describe(dialed.session), "WebSocket(client, CONNECTED)");
    assert_int_equal(atomic_load(&dialed.route->tally.opened), 1);
}

static void test_frames_of_the_answer_are_heard(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(adopt(f, "\x81\x03one\x89\x01p\x81\x05t", 11), WSB_OK);
    assert_string_equal(f->events, "open data:one");
    assert_got(f, "8a:p");
    client_write(f, "hree", 4);
    forget(f);
    turn(f);
    HAS(f->events, "data:three");
}

static void test_what_we_say_is_masked(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(adopt(f, "", 0), WSB_OK);
    for (int i = 0; i < 3; i++)
        tell(f, (struct wsg_command){.type = WSB_SEND, .code = WSB_OP_TEXT, .payload = wsb_span("same", 4)});
    tell(f, (struct wsg_command){.type = WSB_PING, .payload = wsb_span("p", 1)});
    turn(f);
    assert_got(f, "81:same 81:same 81:same 89:p");
    tell(f, (struct wsg_command){.type = WSB_CLOSE, .by = WSG_BY_HANDLER, .status = 4000});
    turn(f);
    assert_got(f, "88:4000");
    assert_string_equal(wsg_session_describe(dialed.session), "WebSocket(client, CLOSING)");
    client_write(f, "\x88\x02\x0f\xa0", 4);
    (void)shutdown(f->client, SHUT_WR);
    turn(f);
    assert_int_equal(ended, 1);
    assert_int_equal(dialed.close_code, 4000);
    assert_int_equal(dialed.close_by, WSG_BY_HANDLER);
}

/* What many get is framed once, unmasked: it is not for this one. */
static void test_a_shared_frame_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct wsg_shared *frame = wsg_shared_new(6);
    assert_non_null(frame);
    if (!frame)
        return; /* says so to the compiler as well */
    memcpy(frame->data, "\x81\x04many", 6);
    assert_int_equal(adopt(f, "", 0), WSB_OK);
    tell(f, (struct wsg_command){.type = WSB_PUBLISH,
                                 .code = WSB_OP_TEXT,
                                 .frame = frame,
                                 .is_for_many = true,
                                 .payload = wsb_span(frame->data + 2, 4)});
    turn(f);
    wsg_shared_unref(frame);
    assert_got(f, "81:many");
}

static void test_the_server_goes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(adopt(f, "", 0), WSB_OK);
    client_write(f,
                 "\x88\x05\x03\xe9"
                 "bye",
                 7);
    (void)shutdown(f->client, SHUT_WR);
    turn(f);
    HAS(f->events, "closed");
    assert_got(f, "88:1001");
    assert_int_equal(ended, 1);
    assert_int_equal(dialed.close_code, 1001);
    assert_string_equal(dialed.close_reason, "bye");
    assert_null(dialed.session);
}

/* It ends before it was ever waited for: told all the same, and once. */
static void test_the_server_was_gone_already(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(adopt(f, "\x81\x81xxxxx", 7), WSB_OK); /* masked: against the rules */
    HAS(f->events, "open closed");
    assert_got(f, "88:1002");
    (void)close(f->client);
    f->client = -1;
    turn(f);
    assert_int_equal(ended, 1);
    assert_int_equal(dialed.close_code, 1002);
}

static void test_no_room_for_one_more(void **state)
{
    struct fixture *f = *state;
    f->env.deflate = NULL;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    static struct wsg_texts none;
    struct wsg_dialed d = {.fd = pair[0],
                           .route = &f->routes.routes[0],
                           .name = "d",
                           .url = "ws://h/",
                           .target = "ws://h/",
                           .path = "/",
                           .host = "h",
                           .subprotocol = "",
                           .groups = &none,
                           .fields = "",
                           .is_compressed = true, /* and nobody has any memory for that */
                           .ended = on_ended};
    wsb_buf_init(&d.unread, 0);
    uint8_t byte;
    forget(f);
    assert_int_equal(wsg_session_adopt(&f->env, &d), WSB_ERR_NOMEM);
    assert_int_equal(d.fd, -1);
    assert_int_equal(read(pair[1], &byte, 1), 0); /* closed */
    turn(f);
    assert_string_equal(f->events, "");
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_is_told_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_frames_of_the_answer_are_heard, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_we_say_is_masked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_shared_frame_is_not_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_server_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_server_was_gone_already, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_for_one_more, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
