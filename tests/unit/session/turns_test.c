/*
 * What a client sends is used in turns: very much work in few bytes delays the client that sent it, and others do not wait for it. Nothing is
 * lost or changes its order, whatever happens between two turns.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "session/parts.h"
#include "unit/session/fixture.h"

enum {
    REQUESTS = 2000,
    MESSAGES = 12000,
    A_ROUND = (WSG_WORK_TURN + WSG_WORK_LINE) / (WSG_WORK_HTTP + WSG_WORK_ERROR) + 2 /* when it is read, and in line */
};

static const char request[] = "GET /x HTTP/1.1\r\nHost: h\r\n\r\n";

static struct wsg_session *session_of(const struct fixture *f)
{
    for (uint32_t i = 0; i < f->env.slots.count; i++) {
        if (f->env.slots.slots[i].value)
            return f->env.slots.slots[i].value;
    }
    fail_msg("no session");
    return NULL;
}

static size_t count_of(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
        count++;
    return count;
}

/* All of them in as few writes as the socket takes. */
static void send_requests(struct fixture *f, size_t count)
{
    static char all[REQUESTS * sizeof request];
    size_t len = 0;
    for (size_t i = 0; i < count; i++, len += sizeof request - 1)
        memcpy(all + len, request, sizeof request - 1);
    client_write(f, all, len);
}

static void read_some(struct fixture *f)
{
    f->got_len += client_read(f, f->got + f->got_len, sizeof f->got - f->got_len - 1);
    f->got[f->got_len] = 0;
}

static void one_round(struct fixture *f)
{
    wsg_loop_round(f->env.loop, 0);
    wsg_sessions_flush(&f->env);
    wsg_sessions_reap(&f->env);
}

/* As the worker takes them: in order, without a hole. */
static size_t count_messages(struct fixture *f, uint32_t *next)
{
    size_t count = 0;
    struct wsb_span rest = wsb_buf_span(&f->env.outbox.buf);
    struct wsg_out out;
    while (wsg_outbox_next(&rest, &out)) {
        if (out.kind != WSG_OUT_EVENT || out.envelope.header.type != WSB_DATA)
            continue;
        uint32_t number;
        assert_int_equal(out.envelope.payload.len, sizeof number);
        memcpy(&number, out.envelope.payload.ptr, sizeof number);
        assert_int_equal(number, (*next)++);
        count++;
    }
    wsb_buf_clear(&f->env.outbox.buf);
    return count;
}

static void send_messages(struct fixture *f)
{
    static uint8_t all[MESSAGES * 10];
    for (uint32_t i = 0; i < MESSAGES; i++) {
        static const uint8_t head[6] = {0x82, 0x84}; /* masked with zeros */
        memcpy(all + (size_t)i * 10, head, sizeof head);
        memcpy(all + (size_t)i * 10 + 6, &i, sizeof i);
    }
    client_write(f, all, sizeof all);
}

static void test_requests_are_answered_in_turns(void **state)
{
    struct fixture *f = *state;
    size_t before = 0;
    int rounds = 0;
    send_requests(f, REQUESTS);
    while (before < REQUESTS) {
        one_round(f);
        read_some(f);
        size_t now = count_of((char *)f->got, "HTTP/1.1 404");
        assert_in_range(now - before, 0, A_ROUND);
        before = now;
        assert_in_range(++rounds, 1, 500);
    }
    assert_true(rounds >= REQUESTS / A_ROUND);
    assert_null(f->env.turns.line);
    assert_int_equal(session_of(f)->paused, 0);
    assert_null(session_of(f)->unread);
}

/* The loop does not sleep on what waits for its turn. */
static void test_a_round_follows_for_those_in_line(void **state)
{
    struct fixture *f = *state;
    send_requests(f, REQUESTS);
    one_round(f);
    while (f->env.turns.line) {
        wsg_loop_round(f->env.loop, -1); /* sleeps for ever if nobody wakes it */
        wsg_sessions_flush(&f->env);
        read_some(f);
    }
    assert_int_equal(count_of((char *)f->got, "HTTP/1.1 404"), REQUESTS);
}

static void test_another_client_does_not_wait(void **state)
{
    struct fixture *f = *state;
    int busy = f->client;
    send_requests(f, REQUESTS);
    one_round(f);
    assert_non_null(f->env.turns.line);
    struct wsb_tls_stream *tls = f->tls;
    f->tls = NULL;
    f->wire.len = 0;
    connect_client(f);
    send_requests(f, 1);
    one_round(f);
    read_some(f);
    assert_int_equal(count_of((char *)f->got, "HTTP/1.1 404"), 1);
    assert_non_null(f->env.turns.line);
    wsb_tls_stream_free(tls);
    close(busy);
}

/* It says that this was all, in TLS and on the socket. */
static void end_output(struct fixture *f)
{
    if (f->tls) {
        uint8_t out[1024];
        struct wsb_tls_io io = {.out = out, .room = sizeof out};
        wsb_tls_stream_finish(f->tls, &io);
        assert_int_equal(write(f->client, out, io.len), (ssize_t)io.len);
    }
    assert_int_equal(shutdown(f->client, SHUT_WR), 0);
}

static void test_who_hangs_up_behind_its_requests_gets_all_answers(void **state)
{
    struct fixture *f = *state;
    send_requests(f, REQUESTS / 4);
    end_output(f);
    for (int i = 0; i < 200 && count_of((char *)f->got, "HTTP/1.1 404") < REQUESTS / 4; i++) {
        one_round(f);
        read_some(f);
    }
    assert_int_equal(count_of((char *)f->got, "HTTP/1.1 404"), REQUESTS / 4);
}

/* And who takes its time to read them: what was not used because of that is used then. */
static void test_who_hangs_up_and_reads_late_gets_all_answers(void **state)
{
    struct fixture *f = *state;
    int small = 4096;
    assert_int_equal(setsockopt(session_of(f)->watch.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    send_requests(f, REQUESTS);
    end_output(f);
    for (int i = 0; i < 100 && !(session_of(f)->paused & WSG_PAUSE_OUTPUT); i++)
        one_round(f);
    assert_true(session_of(f)->paused & WSG_PAUSE_OUTPUT);
    for (int i = 0; i < 1000 && count_of((char *)f->got, "HTTP/1.1 404") < REQUESTS; i++) {
        one_round(f);
        read_some(f);
    }
    assert_int_equal(count_of((char *)f->got, "HTTP/1.1 404"), REQUESTS);
}

/* Everything it has said has come with its end, and its handler has too much: nothing of it is lost. */
static void test_an_end_behind_what_waits_for_the_handler(void **state)
{
    struct fixture *f = *state;
    uint32_t next = 0;
    open_websocket(f);
    send_messages(f);
    end_output(f);
    struct wsg_session *s = session_of(f);
    wsg_loop_round(f->env.loop, 0); /* a first turn, and with TLS more is read */
    wsg_session_command(s, &(struct wsg_command){.type = WSG_CMD_PAUSE, .by = WSG_BY_GATE});
    for (int i = 0; i < 5; i++) {
        wsg_sessions_flush(&f->env);
        wsg_loop_round(f->env.loop, 0);
    }
    (void)count_messages(f, &next);
    assert_in_range(next, 1, MESSAGES - 1);
    assert_int_equal(s->state, WSG_SESSION_OPEN);
    wsg_session_command(s, &(struct wsg_command){.type = WSG_CMD_RESUME, .by = WSG_BY_GATE});
    for (int i = 0; i < 100 && next < MESSAGES; i++) {
        wsg_sessions_flush(&f->env);
        (void)count_messages(f, &next);
        wsg_loop_round(f->env.loop, 0);
    }
    assert_int_equal(next, MESSAGES);
    for (int i = 0; i < 5; i++)
        one_round(f);
    assert_int_equal(f->env.slots.used, 0); /* and then it ends */
}

/* The gate drains: what was read before is heard all the same, and nothing that comes then. */
static void test_a_drain_behind_what_was_read(void **state)
{
    struct fixture *f = *state;
    uint32_t next = 0;
    open_websocket(f);
    send_messages(f);
    struct wsg_session *s = session_of(f);
    wsg_loop_round(f->env.loop, 0);
    assert_non_null(s->unread);
    wsg_session_command(s, &(struct wsg_command){.type = WSG_CMD_QUIET, .by = WSG_BY_GATE});
    assert_int_equal(s->paused & WSG_PAUSE_QUIET, 0);
    for (int i = 0; i < 200 && !(s->paused & WSG_PAUSE_QUIET); i++) {
        wsg_sessions_flush(&f->env);
        (void)count_messages(f, &next);
        wsg_loop_round(f->env.loop, 0);
    }
    (void)count_messages(f, &next);
    assert_int_equal(s->paused, WSG_PAUSE_QUIET);
    assert_null(s->unread);
    assert_in_range(next, 1000, MESSAGES);
    uint32_t before = next;
    for (int i = 0; i < 20; i++)
        one_round(f);
    (void)count_messages(f, &next);
    assert_int_equal(next, before);
}

/* Its turn ended exactly with its last request: it is idle, and ends. */
static void test_a_drain_of_one_whose_turn_is_just_over(void **state)
{
    struct fixture *f = *state;
    struct wsg_session *s = session_of(f);
    size_t count = 0;
    do {
        for (int i = 0; i < 20; i++) {
            one_round(f);
            read_some(f);
        }
        f->got_len = 0;
        assert_in_range(++count, 1, 60);
        send_requests(f, count);
        wsg_loop_round(f->env.loop, 0);
    } while (!(s->unread && s->unread->bytes.len == 0 && s->state == WSG_SESSION_HTTP));
    f->env.draining = true;
    wsg_session_command(s, &(struct wsg_command){.type = WSG_CMD_QUIET, .by = WSG_BY_GATE});
    assert_int_equal(s->state, WSG_SESSION_HTTP); /* not known yet */
    for (int i = 0; i < 5; i++) {
        wsg_sessions_flush(&f->env);
        wsg_loop_round(f->env.loop, 0);
    }
    assert_true(s->state == WSG_SESSION_LINGER || s->state == WSG_SESSION_DEAD);
}

static size_t count_outcomes(struct fixture *f)
{
    size_t count = 0;
    struct wsb_span rest = wsb_buf_span(&f->env.outbox.buf);
    struct wsg_out out;
    while (wsg_outbox_next(&rest, &out))
        count += out.envelope.header.type == WSB_OUTCOME && out.envelope.header.seq == 9;
    wsb_buf_clear(&f->env.outbox.buf);
    return count;
}

/* CLOSE lets it go on with what waits, and with TLS come to its end, before the command is done: it is answered for once all the same. */
static void test_a_close_that_comes_to_the_end(void **state)
{
    enum { FEW = 400 };
    struct fixture *f = *state;
    static uint8_t all[FEW * 10];
    open_websocket(f);
    for (uint32_t i = 0; i < FEW; i++)
        memcpy(all + (size_t)i * 10, "\x82\x84\0\0\0\0more", 10);
    client_write(f, all, sizeof all);
    end_output(f);
    struct wsg_session *s = session_of(f);
    wsg_loop_round(f->env.loop, 0);
    wsg_session_command(s, &(struct wsg_command){.type = WSG_CMD_PAUSE, .by = WSG_BY_GATE});
    for (int i = 0; i < 5; i++) {
        wsg_sessions_flush(&f->env);
        wsg_loop_round(f->env.loop, 0);
    }
    wsb_buf_clear(&f->env.outbox.buf);
    wsg_session_command(s, &(struct wsg_command){.type = WSB_CLOSE,
                                                 .by = WSG_BY_HANDLER,
                                                 .status = 1000,
                                                 .flags = WSB_FLAG_WANT_OUTCOME,
                                                 .origin = 7,
                                                 .seq = 9});
    size_t outcomes = count_outcomes(f);
    for (int i = 0; i < 20; i++) {
        one_round(f);
        outcomes += count_outcomes(f);
    }
    assert_int_equal(outcomes, 1);
}

static void test_who_ends_in_line_is_in_nobodys_way(void **state)
{
    struct fixture *f = *state;
    send_requests(f, REQUESTS);
    one_round(f);
    assert_int_equal(f->env.turns.count, 1);
    wsg_session_kill(session_of(f), "test");
    assert_null(f->env.turns.line);
    assert_int_equal(f->env.turns.count, 0);
    one_round(f);
    assert_null(f->env.dead);
}

static void test_messages_come_in_turns_and_in_order(void **state)
{
    enum { READS = 5 /* TLS hands out several records of one read, each in a turn */ };
    struct fixture *f = *state;
    uint32_t next = 0;
    open_websocket(f);
    send_messages(f);
    for (int rounds = 0; next < MESSAGES; rounds++) {
        one_round(f);
        assert_in_range(count_messages(f, &next), 0, (size_t)READS * WSG_WORK_TURN + WSG_WORK_LINE);
        assert_in_range(rounds, 0, 100);
    }
    assert_null(session_of(f)->unread);
    assert_int_equal(session_of(f)->paused, 0);
}

/* Its handler has too much: what is in line waits for that, and goes on then. */
static void test_a_pause_while_it_is_in_line(void **state)
{
    struct fixture *f = *state;
    uint32_t next = 0;
    open_websocket(f);
    send_messages(f);
    one_round(f);
    (void)count_messages(f, &next);
    assert_int_equal(f->env.turns.count, 1);
    wsg_session_command(session_of(f), &(struct wsg_command){.type = WSG_CMD_PAUSE, .by = WSG_BY_GATE});
    one_round(f);
    one_round(f);
    assert_int_equal(count_messages(f, &next), 0);
    assert_null(f->env.turns.line);
    wsg_session_command(session_of(f), &(struct wsg_command){.type = WSG_CMD_RESUME, .by = WSG_BY_GATE});
    for (int rounds = 0; next < MESSAGES; rounds++) {
        one_round(f);
        (void)count_messages(f, &next);
        assert_in_range(rounds, 0, 100);
    }
}

/* While the output of others is written it is not read yet, though its response is there: its next request is not lost. */
static void test_a_request_and_the_end_behind_a_response_that_waits(void **state)
{
    struct fixture *f = *state;
    int others[200];
    int client;
    if (f->tls) /* with close_notify it is seen in the stream */
        return;
    say_text(f, "GET /ws/a HTTP/1.1\r\nHost: h\r\n\r\n");
    HAS(f->events, "request");
    wsb_conn conn = f->conn;
    client = f->client;
    for (size_t i = 0; i < COUNT(others); i++) {
        forget(f);
        connect_client(f);
        open_websocket(f);
        others[i] = f->client;
    }
    struct wsg_command to_all = {.type = WSB_SEND, .code = WSB_TEXT, .payload = wsb_span_str("x")};
    for (uint32_t i = 0; i < f->env.slots.count; i++) {
        struct wsg_session *s = f->env.slots.slots[i].value;
        if (s && s->in_is_ws)
            wsg_session_command(s, &to_all);
    }
    void *found;
    assert_int_equal(wsg_slots_find(&f->env.slots, conn, &found), WSB_OK);
    wsg_session_command(found, &(struct wsg_command){.type = WSB_RESPOND, .by = WSG_BY_HANDLER, .status = 200});
    wsg_sessions_flush(&f->env); /* it is behind the first ones */
    f->client = client;
    f->events[0] = 0;
    client_write(f, "GET /ws/b HTTP/1.1\r\nHost: h\r\n\r\n", 31);
    assert_int_equal(shutdown(client, SHUT_WR), 0);
    turn(f);
    HAS(f->events, "request");
    for (size_t i = 0; i < COUNT(others); i++)
        close(others[i]);
}

/* It says by TLS that this was all, and leaves TCP to us: it is answered, and then the connection ends at once. */
static void check_end_of_tls(struct fixture *f, const char *requests, size_t answers)
{
    uint8_t out[1024];
    struct wsb_tls_io io = {.out = out, .room = sizeof out};
    if (!f->tls) /* there is only one end to say */
        return;
    client_write(f, requests, strlen(requests));
    wsb_tls_stream_finish(f->tls, &io);
    assert_int_equal(write(f->client, out, io.len), (ssize_t)io.len);
    const struct wsg_command here = {
        .type = WSB_RESPOND, .by = WSG_BY_HANDLER, .status = 200, .payload = wsb_span_str("here")};
    bool has_ended = false;
    for (int i = 0; i < 20 && !has_ended; i++) {
        one_round(f);
        read_some(f);
        has_ended = f->env.slots.used == 0 || session_of(f)->state == WSG_SESSION_LINGER;
        if (!has_ended && session_of(f)->state == WSG_SESSION_EXCHANGE)
            wsg_session_command(session_of(f), &here);
    }
    one_round(f);
    read_some(f);
    assert_true(has_ended);
    assert_int_equal(count_of((char *)f->got, "HTTP/1.1 "), answers);
}

static void test_the_end_of_tls_behind_one_request(void **state)
{
    check_end_of_tls(*state, "GET /ws/a HTTP/1.1\r\nHost: h\r\n\r\n", 1);
}

static void test_the_end_of_tls_behind_two_requests(void **state)
{
    check_end_of_tls(*state, "GET /ws/a HTTP/1.1\r\nHost: h\r\n\r\nGET /ws/b HTTP/1.1\r\nHost: h\r\n\r\n", 2);
}

static void test_the_end_of_tls_behind_one_that_the_gate_answers(void **state)
{
    check_end_of_tls(*state, "GET /ws/a HTTP/1.1\r\nHost: h\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", 2);
}

/* What those in line have used too much of is paid for by them. */
static void test_a_debt_of_the_line_keeps_nobody_from_being_read(void **state)
{
    struct fixture *f = *state;
    int busy = f->client;
    send_requests(f, REQUESTS);
    one_round(f);
    assert_int_equal(f->env.turns.count, 1);
    f->env.turns.line_debt = -10 * WSG_WORK_LINE;
    struct wsb_tls_stream *tls = f->tls;
    f->tls = NULL;
    f->wire.len = 0;
    connect_client(f);
    f->got_len = 0;
    send_requests(f, 1);
    one_round(f);
    read_some(f);
    assert_int_equal(count_of((char *)f->got, "HTTP/1.1 404"), 1);
    assert_int_equal(f->env.turns.count, 1); /* it waits for its own */
    assert_true(f->env.turns.line_debt < 0);
    f->env.turns.left = -1000 * (int64_t)WSG_WORK_DEBT; /* a machine that stood still for hours owes nothing for that */
    one_round(f);
    assert_true(f->env.turns.left >= -WSG_WORK_DEBT);
    wsb_tls_stream_free(tls);
    close(busy);
}

/* It ends in its turn, by what it says; nothing of it is armed or waits any more. */
static void test_a_session_that_dies_in_its_turn_has_no_timer(void **state)
{
    static char body[66000];
    char rest[300] = "";
    struct fixture *f = *state;
    say_text(f, "POST /ws/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    memset(body, 'x', sizeof body);
    say_text(f, "101d0\r\n");
    for (size_t at = 0; at < sizeof body; at += 16500)
        say(f, body + at, 16500);
    say_text(f, "\r\n");
    HAS(f->events, "request");
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .flags = WSB_FLAG_MORE, .payload = wsb_span_str("early")});
    struct wsg_session *s = session_of(f);
    for (int i = 0; i < 40; i++)
        strcat(rest, "1\r\ny\r\n");
    strcat(rest, "zz\r\n");
    client_write(f, rest, strlen(rest));
    wsg_loop_round(f->env.loop, 0);
    assert_int_equal(f->env.turns.count, 1); /* the rest of it is in line */
    wsg_sessions_flush(&f->env);
    assert_int_equal(s->state, WSG_SESSION_DEAD);
    assert_int_equal(s->timer.heap_index, 0);
}

/* The last request of a connection uses up its turn: nothing behind it is waited for. */
static void test_a_goodbye_at_the_end_of_a_turn(void **state)
{
    static char all[12000];
    struct fixture *f = *state;
    size_t len = 0;
    for (int i = 0; i < 17; i++, len += sizeof request - 1)
        memcpy(all + len, request, sizeof request - 1);
    len += (size_t)sprintf(all + len, "GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: ");
    memset(all + len, 'p', 7300);
    len += 7300;
    len += (size_t)sprintf(all + len, "\r\n\r\ntrailing bytes");
    client_write(f, all, len);
    struct wsg_session *s = session_of(f);
    for (int i = 0; i < 3; i++) {
        wsg_loop_round(f->env.loop, 0);
        wsg_sessions_flush(&f->env);
    }
    assert_int_equal(s->state, WSG_SESSION_LINGER);
    assert_null(s->unread);
    assert_null(f->env.turns.line);
}

/* The time for a head, or of silence, is not over while what it has said waits for its turn; and a drain lets it be answered. */
static void test_who_waits_for_its_turn_is_not_idle(void **state)
{
    struct fixture *f = *state;
    send_requests(f, REQUESTS);
    one_round(f);
    assert_int_equal(f->env.turns.count, 1);
    session_of(f)->timer.fn(&session_of(f)->timer);
    wsg_session_command(session_of(f), &(struct wsg_command){.type = WSG_CMD_DRAIN, .by = WSG_BY_GATE});
    assert_int_equal(f->env.turns.count, 1);
    assert_int_equal(session_of(f)->state, WSG_SESSION_HTTP);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_requests_are_answered_in_turns),
        TEST(test_a_round_follows_for_those_in_line),
        TEST(test_another_client_does_not_wait),
        TEST(test_who_hangs_up_behind_its_requests_gets_all_answers),
        TEST(test_who_hangs_up_and_reads_late_gets_all_answers),
        TEST(test_who_ends_in_line_is_in_nobodys_way),
        TEST(test_messages_come_in_turns_and_in_order),
        TEST(test_a_pause_while_it_is_in_line),
        TEST(test_an_end_behind_what_waits_for_the_handler),
        TEST(test_a_close_that_comes_to_the_end),
        TEST(test_a_drain_behind_what_was_read),
        TEST(test_a_drain_of_one_whose_turn_is_just_over),
        TEST(test_the_end_of_tls_behind_one_request),
        TEST(test_the_end_of_tls_behind_two_requests),
        TEST(test_the_end_of_tls_behind_one_that_the_gate_answers),
        TEST(test_a_debt_of_the_line_keeps_nobody_from_being_read),
        TEST(test_a_session_that_dies_in_its_turn_has_no_timer),
        TEST(test_a_goodbye_at_the_end_of_a_turn),
        TEST(test_who_waits_for_its_turn_is_not_idle),
        TEST(test_a_request_and_the_end_behind_a_response_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
