/* Acknowledgement, credit, and the fence around connections that belong to others: docs/protocol.md §5. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <endian.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "both.h"

static void ask_for_more(wsb_handler h)
{
    struct wsb_event ev;
    assert_false(wsb_readguarded(h, &ev, 0));
    assert_int_equal(wsb_reason(h), WSB_REASON_TIMEOUT);
}

/* The pairs of the next ACK; returns which ZeroMQ message brought it. */
static unsigned must_ack(struct fake_gate *g, const uint64_t (*want)[2], size_t count)
{
    struct fake_command c = must_take(g, WSB_ACK);
    unsigned batch = c.batch;
    assert_int_equal(c.header.conn, 0);
    assert_int_equal(c.header.payload_len, count * 16);
    for (size_t i = 0; i < count; i++) {
        uint64_t pair[2];
        memcpy(pair, c.payload + i * 16, sizeof pair);
        assert_int_equal(le64toh(pair[0]), want[i][0]);
        assert_int_equal(le64toh(pair[1]), want[i][1]);
    }
    fake_command_free(&c);
    return batch;
}

#define ACKS(gate, ...)                                                                                                \
    must_ack(gate, (const uint64_t[][2]){__VA_ARGS__}, sizeof((const uint64_t[][2]){__VA_ARGS__}) / 16)

/* ------------------------------------------------------------ acknowledgement */

static void test_an_ack_is_one_and_behind_the_replies(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_buf batch = {0};
    fake_batch_add(&batch, head(WSB_OPEN, 5, 1), NULL, "{}");
    fake_batch_add(&batch, data_head(5, 2), "a", NULL);
    fake_batch_add(&batch, data_head(6, 7), "b", NULL);
    fake_batch_add(&batch, data_head(5, 3), "c", NULL);
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    for (int i = 0; i < 3; i++) {
        struct wsb_event ev = must_read(b.h);
        assert_true(wsb_writeguarded(b.h, ev.conn, ev.opcode, ev.data, ev.len));
    }
    assert_int_equal(fake_gate_count(b.gate, WSB_ACK), 0);
    ask_for_more(b.h);
    for (int i = 0; i < 3; i++) { /* they come first: must_take() passes over what is before them */
        struct fake_command c = must_take(b.gate, WSB_SEND);
        fake_command_free(&c);
    }
    ACKS(b.gate, {5, 3}, {6, 7});
    assert_int_equal(fake_gate_count(b.gate, WSB_ACK), 1);
    wsb_buf_deinit(&batch);
    part(&b);
}

static void test_what_the_program_still_has_is_not_acknowledged(void **state)
{
    (void)state;
    struct both b = join();
    fake_gate_send(b.gate, data_head(5, 2), "a", NULL);
    fake_gate_send(b.gate, data_head(5, 3), "b", NULL);
    assert_int_equal(must_read(b.h).seq, 2);
    assert_true(wsb_flush(b.h));
    assert_int_equal(must_read(b.h).seq, 3);
    assert_true(wsb_flush(b.h));
    ACKS(b.gate, {5, 2});
    assert_true(wsb_handler_close(b.h));
    struct fake_command bye = must_take(b.gate, WSB_BYE);
    fake_command_free(&bye);
    assert_int_equal(fake_gate_count(b.gate, WSB_ACK), 1); /* 3 is not done with: another handler gets it */
    part(&b);
}

static void test_close_tells_what_was_done(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_event ev;
    fake_gate_send(b.gate, data_head(5, 2), "a", NULL);
    assert_int_equal(must_read(b.h).seq, 2);
    wsb_wake(b.h);
    assert_false(wsb_readguarded(b.h, &ev, -1));
    assert_true(wsb_handler_close(b.h));
    ACKS(b.gate, {5, 2});
    struct fake_command bye = must_take(b.gate, WSB_BYE);
    fake_command_free(&bye);
    part(&b);
}

/* Each kind that has a seq of its connection, and no other. */
static void test_events_of_connections_are_acknowledged(void **state)
{
    static const struct {
        uint8_t type;
        bool counts;
    } rows[] = {
        {WSB_OPEN, true},      {WSB_DATA, true},      {WSB_REQUEST, true},  {WSB_BODY_EV, true},
        {WSB_ABORTED, true},   {WSB_CLOSED_EV, true}, {WSB_OUTCOME, false}, {WSB_PONG_EV, false},
        {WSB_WRITABLE, false}, {WSB_JOINED, false},   {WSB_LEFT, false},    {WSB_DRAIN, false},
    };
    (void)state;
    struct both b = join();
    size_t acks = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wsb_header d = head(rows[i].type, 100 + i, i + 1);
        d.code = rows[i].type == WSB_DATA ? WSB_BINARY : 0;
        d.flags = rows[i].type == WSB_DRAIN ? WSB_FLAG_MORE : 0; /* the other one is the last event */
        fake_gate_send(b.gate, d, NULL, "{}");
        assert_int_equal(must_read(b.h).type, rows[i].type);
        ask_for_more(b.h);
        assert_true(wsb_ping(b.h, 0, NULL, 0, NULL)); /* behind it */
        if (rows[i].counts)
            ACKS(b.gate, {100 + i, i + 1});
        acks += rows[i].counts;
        struct fake_command ping = must_take(b.gate, WSB_PING);
        fake_command_free(&ping);
        assert_int_equal(fake_gate_count(b.gate, WSB_ACK), acks);
    }
    part(&b);
}

/* Many connections and many events in one batch: the table is full now and then, and nothing is lost. */
static void test_a_long_batch_is_acknowledged_in_between(void **state)
{
    (void)state;
    enum { CONNS = 1000, EVENTS = 3 };
    struct both b = join();
    struct wsb_buf batch = {0};
    uint64_t done[CONNS + 1] = {0};
    for (uint64_t seq = 1; seq <= EVENTS; seq++)
        for (uint64_t conn = 1; conn <= CONNS; conn++)
            fake_batch_add(&batch, data_head(conn, seq), "x", NULL);
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    for (int i = 0; i < CONNS * EVENTS; i++)
        (void)must_read(b.h);
    assert_true(fake_gate_count(b.gate, WSB_ACK) > 0 || wsb_flush(b.h));
    ask_for_more(b.h);
    for (uint64_t total = 0; total < (uint64_t)CONNS * EVENTS;) {
        struct fake_command c = must_take(b.gate, WSB_ACK);
        for (size_t at = 0; at < c.header.payload_len; at += 16) {
            uint64_t pair[2];
            memcpy(pair, c.payload + at, sizeof pair);
            assert_in_range(le64toh(pair[0]), 1, CONNS);
            total += le64toh(pair[1]) - done[le64toh(pair[0])];
            done[le64toh(pair[0])] = le64toh(pair[1]);
        }
        fake_command_free(&c);
    }
    wsb_buf_deinit(&batch);
    part(&b);
}

/* A program that takes its time with a batch does not look dead. */
static void test_a_slow_program_is_not_silent(void **state)
{
    (void)state;
    enum { EVENTS = 50 };
    struct both b = join();
    struct wsb_buf batch = {0};
    for (uint64_t seq = 1; seq <= EVENTS; seq++)
        fake_batch_add(&batch, data_head(5, seq), "x", NULL);
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    for (int i = 0; fake_gate_count(b.gate, WSB_ACK) == 0; i++) {
        assert_true(i < EVENTS - 1);
        (void)must_read(b.h);
        (void)poll(NULL, 0, 20);
    }
    wsb_buf_deinit(&batch);
    part(&b);
}

/* One whose single events take long: each is told when it is done, not with the one after it. */
static void test_a_slow_event_is_acknowledged_when_it_is_done(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_buf batch = {0};
    for (uint64_t seq = 1; seq <= 3; seq++)
        fake_batch_add(&batch, data_head(5, seq), "x", NULL);
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    assert_int_equal(must_read(b.h).seq, 1);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        assert_true(wsb_writeguarded(b.h, 5, WSB_TEXT, "done", 4));
        (void)poll(NULL, 0, 150); /* the work */
        assert_int_equal(must_read(b.h).seq, seq + 1);
        struct fake_command reply = must_take(b.gate, WSB_SEND);
        ACKS(b.gate, {5, seq});
        fake_command_free(&reply);
    }
    wsb_buf_deinit(&batch);
    part(&b);
}

/* --------------------------------------------------------------- manual_ack */

static void test_with_manual_ack_the_program_says_it(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.manual_ack = true});
    struct wsb_buf batch = {0};
    for (uint64_t seq = 1; seq <= 4; seq++)
        fake_batch_add(&batch, data_head(5, seq), "x", NULL);
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    for (uint64_t seq = 1; seq <= 3; seq++)
        assert_int_equal(must_read(b.h).seq, seq);
    assert_true(wsb_flush(b.h));
    assert_true(wsb_writeguarded(b.h, 5, WSB_TEXT, "to 1", 4));
    assert_true(wsb_ack(b.h, 5, 1));
    assert_true(wsb_ack(b.h, 5, 2));
    assert_int_equal(must_read(b.h).seq, 4);
    ask_for_more(b.h);
    struct fake_command reply = must_take(b.gate, WSB_SEND);
    assert_int_equal(ACKS(b.gate, {5, 2}), reply.batch);
    fake_command_free(&reply);
    assert_int_equal(fake_gate_count(b.gate, WSB_ACK), 1);
    assert_false(wsb_ack(b.h, 0, 1));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_MISUSE);
    assert_false(wsb_ack(b.h, 5, 0));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_MISUSE);
    wsb_buf_deinit(&batch);
    part(&b);
}

static void *reply_and_ack(void *arg)
{
    struct both *b = arg;
    bool done = wsb_writeguarded(b->h, 5, WSB_TEXT, "done", 4) && wsb_ack(b->h, 5, 1);
    return done ? NULL : arg;
}

static void test_an_ack_of_another_thread_leaves_at_once(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.manual_ack = true});
    pthread_t t;
    void *failed;
    fake_gate_send(b.gate, data_head(5, 1), "x", NULL);
    (void)must_read(b.h);
    assert_int_equal(pthread_create(&t, NULL, reply_and_ack, &b), 0);
    (void)pthread_join(t, &failed);
    assert_null(failed);
    struct fake_command reply = must_take(b.gate, WSB_SEND); /* while the reader still has its event */
    ACKS(b.gate, {5, 1});
    fake_command_free(&reply);
    part(&b);
}

/* -------------------------------------------------------------------- credit */

static int64_t number_in(const char *meta, const char *key)
{
    const char *at = strstr(meta, key);
    assert_non_null(at);
    return strtoll(at + strlen(key), NULL, 10);
}

static void test_credit_is_never_more_than_the_window(void **state)
{
    (void)state;
    enum { MESSAGES = 8, BYTES = 1000, TOTAL = 300 };
    struct both b = join_with((struct fake_options){0},
                              (struct wsb_handler_options){.credit_messages = MESSAGES, .credit_bytes = BYTES});
    struct fake_command hello = must_take(b.gate, WSB_HELLO);
    assert_non_null(strstr(hello.meta, "\"credit\":{\"messages\":8,\"bytes\":1000}"));
    fake_command_free(&hello);
    char data[700];
    memset(data, 'x', sizeof data);
    int64_t messages = MESSAGES;
    int64_t bytes = BYTES;
    size_t taken = 0;
    for (uint64_t sent = 0, read = 0; read < TOTAL;) {
        while (messages > 0 && bytes > 0) {
            size_t size = (size_t)(sent * 37) % sizeof data;
            fake_gate_send_raw(b.gate, data_head(5, ++sent), data, size, NULL);
            messages--;
            bytes -= (int64_t)size;
        }
        assert_true(read < sent);                       /* otherwise the gate would wait for ever */
        for (size_t before = taken; taken == before;) { /* until more is granted */
            assert_int_equal(must_read(b.h).seq, ++read);
            assert_true(wsb_flush(b.h));
            while (taken < fake_gate_count(b.gate, WSB_CREDIT)) {
                struct fake_command c = must_take(b.gate, WSB_CREDIT);
                messages += number_in(c.meta, "\"messages\":");
                bytes += number_in(c.meta, "\"bytes\":");
                fake_command_free(&c);
                taken++;
            }
            assert_true((int64_t)(sent - read) + messages <= MESSAGES);
            if (read == sent && taken == before) { /* it is on its way */
                struct fake_command c = must_take(b.gate, WSB_CREDIT);
                messages += number_in(c.meta, "\"messages\":");
                bytes += number_in(c.meta, "\"bytes\":");
                fake_command_free(&c);
                taken++;
            }
        }
    }
    part(&b);
}

static void test_only_what_costs_is_granted_again(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.credit_messages = 1});
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    fake_gate_send(b.gate, head(WSB_CLOSED_EV, 6, 1), NULL, "{}");
    fake_gate_send(b.gate, head(WSB_REQUEST, 7, 1), "body", "{}");
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    assert_int_equal(must_read(b.h).type, WSB_EV_CLOSED);
    assert_int_equal(must_read(b.h).type, WSB_EV_REQUEST);
    ask_for_more(b.h);
    struct fake_command c = must_take(b.gate, WSB_CREDIT);
    assert_string_equal(c.meta, "{\"messages\":1,\"bytes\":4}");
    assert_int_equal(fake_gate_count(b.gate, WSB_CREDIT), 1);
    fake_command_free(&c);
    part(&b);
}

/* What is dropped has cost all the same: a gate that is never given it back stops sending. */
static void test_what_makes_no_sense_is_granted_again(void **state)
{
    (void)state;
    struct wsb_header strange = data_head(5, 1);
    strange.code = 9;
    for (int in_batch = 0; in_batch <= 2; in_batch++) {
        struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.credit_messages = 2});
        struct wsb_buf batch = {0};
        if (in_batch == 0) {
            fake_gate_send(b.gate, strange, "abcd", NULL);
        } else {
            fake_batch_add(&batch, in_batch == 1 ? strange : data_head(5, 1), "abcd", NULL);
            fake_batch_add(&batch, head(WSB_OPEN, 6, 1), NULL, "{}");
            if (in_batch == 2) /* it ends within a record */
                batch.len -= 8;
            fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
        }
        fake_gate_send(b.gate, head(WSB_OPEN, 7, 1), NULL, "{}");
        if (in_batch == 1)
            assert_int_equal(must_read(b.h).conn, 6);
        assert_int_equal(must_read(b.h).conn, 7);
        ask_for_more(b.h);
        struct fake_command c = must_take(b.gate, WSB_CREDIT);
        assert_string_equal(c.meta, "{\"messages\":1,\"bytes\":4}");
        assert_int_equal(fake_gate_count(b.gate, WSB_CREDIT), 1);
        assert_int_equal(wsb_malformed(b.h), 1);
        fake_command_free(&c);
        wsb_buf_deinit(&batch);
        part(&b);
    }
}

/* --------------------------------------------------------------------- fence */

static void welcome(struct both *b, unsigned id)
{
    char meta[100];
    (void)snprintf(meta, sizeof meta, "{\"epoch\":\"0000000000000001\",\"id\":%u}", id);
    fake_gate_send(b->gate, head(WSB_WELCOME, 0, 0), NULL, meta);
}

/* Write without reading until it is refused. */
static void await_refusal(wsb_handler h, wsb_conn conn, enum wsb_reason why)
{
    for (int i = 0; wsb_writeguarded(h, conn, WSB_TEXT, "x", 1); i++) {
        assert_true(i < PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(wsb_reason(h), why);
}

static void test_a_new_registration_fences_what_was_before(void **state)
{
    (void)state;
    struct both b = join();
    const wsb_conn to[] = {5};
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    fake_gate_send(b.gate, data_head(5, 2), "old", NULL);
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    assert_int_equal(must_read(b.h).seq, 2); /* the program has it, and is stopped here */
    welcome(&b, 8);
    fake_gate_send(b.gate, head(WSB_OPEN, 6, 1), NULL, "{}");
    await_refusal(b.h, 5, WSB_REASON_STALE);
    assert_false(wsb_close(b.h, 5, 0, NULL));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_STALE);
    assert_false(wsb_send_many(b.h, to, 1, WSB_TEXT, "x", 1, NULL));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_STALE);
    assert_true(wsb_publish(b.h, &(struct wsb_audience){.all = true}, WSB_TEXT, "x", 1, NULL)); /* names none */
    assert_int_equal(must_read(b.h).type, WSB_EV_WELCOME);
    assert_int_equal(wsb_handler_id(b.h), 8);
    assert_false(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_GONE);
    assert_int_equal(must_read(b.h).conn, 6);
    assert_true(wsb_writeguarded(b.h, 6, WSB_TEXT, "x", 1));
    ask_for_more(b.h);
    ACKS(b.gate, {5, 1}); /* of before: 2 was not done with when it was taken away */
    ACKS(b.gate, {6, 1});
    part(&b);
}

/* They are another handler's; and while the program went through them, those of the new registration would wait. */
static void test_events_of_a_registration_that_is_over_are_passed_over(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.credit_messages = 4});
    struct wsb_buf batch = {0};
    struct wsb_header outcome = head(WSB_OUTCOME, 5, 99);
    for (uint64_t seq = 2; seq <= 4; seq++)
        fake_batch_add(&batch, data_head(5, seq), "old", NULL);
    fake_batch_add(&batch, outcome, NULL, NULL); /* of a command: nobody else gets it */
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    fake_gate_send(b.gate, head(WSB_REQUEST, 9, 1), "old", "{}");
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    assert_int_equal(must_read(b.h).seq, 2); /* the program has it, and is stopped here */
    welcome(&b, 8);
    fake_gate_send(b.gate, data_head(5, 3), "new", NULL);
    fake_gate_send(b.gate, data_head(5, 4), "new", NULL);
    await_refusal(b.h, 5, WSB_REASON_STALE);
    assert_int_equal(must_read(b.h).type, WSB_EV_OUTCOME);
    assert_int_equal(must_read(b.h).type, WSB_EV_WELCOME);
    for (uint64_t seq = 3; seq <= 4; seq++) {
        struct wsb_event ev = must_read(b.h);
        assert_int_equal(ev.seq, seq);
        assert_memory_equal(ev.data, "new", 3);
    }
    ask_for_more(b.h);
    struct fake_command c = must_take(b.gate, WSB_CREDIT); /* of the new registration only */
    assert_string_equal(c.meta, "{\"messages\":2,\"bytes\":6}");
    fake_command_free(&c);
    wsb_buf_deinit(&batch);
    part(&b);
}

/* The same for one connection; what it cost is granted again, because the registration goes on. */
static void test_events_of_a_connection_that_was_taken_are_passed_over(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.credit_messages = 8});
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    for (uint64_t seq = 2; seq <= 5; seq++)
        fake_gate_send(b.gate, data_head(5, seq), "old", NULL);
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    assert_int_equal(must_read(b.h).seq, 2);
    fake_gate_send(b.gate, head(WSB_REVOKED, 5, 0), NULL, "{}");
    fake_gate_send(b.gate, data_head(6, 1), "x", NULL);
    await_refusal(b.h, 5, WSB_REASON_STALE);
    assert_int_equal(must_read(b.h).type, WSB_EV_REVOKED);
    assert_int_equal(must_read(b.h).conn, 6);
    ask_for_more(b.h);
    struct fake_command c = must_take(b.gate, WSB_CREDIT);
    assert_string_equal(c.meta, "{\"messages\":4,\"bytes\":12}");
    fake_command_free(&c);
    part(&b);
}

/* A program that reads and never writes has to hear it as well. */
static void test_a_reader_hears_the_gate_between_its_events(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_buf batch = {0};
    for (uint64_t seq = 1; seq <= 3; seq++)
        fake_batch_add(&batch, data_head(5, seq), "x", NULL);
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    assert_int_equal(must_read(b.h).seq, 1);
    fake_gate_send(b.gate, head(WSB_PING_EV, 0, 77), NULL, NULL);
    (void)poll(NULL, 0, 300); /* the work */
    assert_int_equal(must_read(b.h).seq, 2);
    struct fake_command pong = must_take(b.gate, WSB_PONG);
    assert_int_equal(pong.header.seq, 77);
    fake_command_free(&pong);
    wsb_buf_deinit(&batch);
    part(&b);
}

static void test_what_was_written_before_is_not_sent_after(void **state)
{
    (void)state;
    struct both b = join();
    fake_gate_send(b.gate, data_head(5, 2), "old", NULL);
    (void)must_read(b.h);
    assert_true(wsb_writeguarded(b.h, 5, WSB_TEXT, "late", 4)); /* in the round, so it waits here */
    welcome(&b, 8);
    await_refusal(b.h, 5, WSB_REASON_STALE);
    assert_int_equal(must_read(b.h).type, WSB_EV_WELCOME);
    assert_true(wsb_ping(b.h, 0, NULL, 0, NULL));
    ask_for_more(b.h);
    struct fake_command ping = must_take(b.gate, WSB_PING);
    fake_command_free(&ping);
    assert_int_equal(fake_gate_count(b.gate, WSB_SEND), 0);
    assert_int_equal(fake_gate_count(b.gate, WSB_ACK), 0);
    part(&b);
}

static void test_error_5_fences_until_the_welcome(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_header error = head(WSB_ERROR, 0, 3);
    error.code = WSB_ERROR_NOT_REGISTERED;
    fake_gate_set_silent(b.gate, true);
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    fake_gate_send(b.gate, error, "say HELLO", NULL);
    await_refusal(b.h, 5, WSB_REASON_STALE);
    assert_false(wsb_connected(b.h));
    assert_false(wsb_publish(b.h, &(struct wsb_audience){.all = true}, WSB_TEXT, "x", 1, NULL));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_GATE_GONE);
    welcome(&b, 9);
    assert_int_equal(must_read(b.h).type, WSB_EV_WELCOME);
    ask_for_more(b.h);
    assert_int_equal(fake_gate_count(b.gate, WSB_ACK), 0); /* of OPEN: that registration is over */
    part(&b);
}

static struct wsb_event read_meanwhile(struct both *b)
{
    struct wsb_event ev;
    for (int i = 0; !wsb_readguarded(b->h, &ev, 5); i++)
        assert_true(i < PATIENCE_MS / 5);
    return ev;
}

static void read_until_acked(struct both *b)
{
    struct wsb_event ev;
    for (int i = 0; fake_gate_count(b->gate, WSB_ACK) == 0; i++) {
        assert_true(i < PATIENCE_MS / 5);
        assert_false(wsb_readguarded(b->h, &ev, 5));
    }
}

static void await_doubt(struct both *b)
{
    fake_gate_set_silent(b->gate, true);
    for (int i = 0; wsb_connected(b->h); i++) {
        assert_true(i < PATIENCE_MS);
        (void)poll(NULL, 0, 1);
        (void)wsb_flush(b->h);
    }
}

/* After silence nobody knows; what is written waits for the WELCOME that tells. */
static void test_what_is_written_in_doubt_waits_for_the_welcome(void **state)
{
    (void)state;
    for (unsigned id = 7; id <= 8; id++) {
        struct both b = join_with((struct fake_options){.heartbeat_ms = 10}, (struct wsb_handler_options){0});
        fake_gate_send(b.gate, data_head(5, 1), "a", NULL);
        assert_int_equal(read_meanwhile(&b).seq, 1);
        await_doubt(&b);
        fake_gate_send(b.gate, data_head(5, 2), "b", NULL); /* of a gate that was only slow */
        assert_int_equal(read_meanwhile(&b).seq, 2);
        size_t acks = fake_gate_count(b.gate, WSB_ACK);
        assert_true(wsb_writeguarded(b.h, 5, WSB_TEXT, "to b", 4));
        assert_true(wsb_flush(b.h));
        welcome(&b, id);
        if (id == 7) { /* it knew us all the time */
            assert_false(wsb_readguarded(b.h, &(struct wsb_event){0}, 50));
            struct fake_command c = must_take(b.gate, WSB_SEND);
            assert_string_equal(c.payload, "to b");
            fake_command_free(&c);
        } else { /* it did not: these were another's by then */
            assert_int_equal(read_meanwhile(&b).type, WSB_EV_WELCOME);
            assert_true(wsb_ping(b.h, 0, NULL, 0, NULL));
            assert_true(wsb_flush(b.h));
            struct fake_command ping = must_take(b.gate, WSB_PING);
            fake_command_free(&ping);
            assert_int_equal(fake_gate_count(b.gate, WSB_SEND), 0);
            assert_int_equal(fake_gate_count(b.gate, WSB_ACK), acks);
        }
        part(&b);
    }
}

/* An ACK that waited with the answers would come after its connection was taken away. */
static void test_nothing_is_acknowledged_in_doubt(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){.heartbeat_ms = 10}, (struct wsb_handler_options){0});
    await_doubt(&b);
    fake_gate_send(b.gate, data_head(5, 1), "a", NULL);
    fake_gate_send(b.gate, data_head(6, 1), "b", NULL);
    assert_int_equal(read_meanwhile(&b).conn, 5);
    assert_int_equal(read_meanwhile(&b).conn, 6);
    assert_false(wsb_readguarded(b.h, &(struct wsb_event){0}, 0)); /* done with both */
    fake_gate_send(b.gate, head(WSB_REVOKED, 6, 0), NULL, "{}");
    assert_int_equal(read_meanwhile(&b).type, WSB_EV_REVOKED);
    welcome(&b, 7);
    read_until_acked(&b);
    ACKS(b.gate, {5, 1});
    assert_int_equal(fake_gate_count(b.gate, WSB_ACK), 1);
    part(&b);
}

/* More connections than the table of acknowledgements holds, and no room to write it: the reader waits, and hears. */
static void test_a_full_table_in_doubt_waits_for_the_welcome(void **state)
{
    (void)state;
    enum { CONNS = 300 };
    static char filler[64 << 10];
    struct both b = join_with((struct fake_options){.heartbeat_ms = 10}, (struct wsb_handler_options){0});
    struct wsb_buf batch = {0};
    struct wsb_event ev;
    uint64_t read = 0;
    for (uint64_t conn = 1; conn <= CONNS; conn++)
        fake_batch_add(&batch, data_head(conn, 1), "x", NULL);
    await_doubt(&b);
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    for (size_t len = sizeof filler; len; len /= 2) { /* to the last byte */
        while (wsb_writeguarded(b.h, 5, WSB_BINARY, filler, len))
            ;
        assert_int_equal(wsb_reason(b.h), WSB_REASON_FULL);
    }
    assert_int_equal(read_meanwhile(&b).conn, ++read);
    while (wsb_readguarded(b.h, &ev, 20))
        assert_int_equal(ev.conn, ++read);
    assert_int_equal(wsb_reason(b.h), WSB_REASON_GATE_GONE);
    assert_true(read < CONNS);
    struct pollfd p = {.fd = wsb_handler_fd(b.h), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0); /* a read would not return at once, though an event is there */
    assert_int_equal(fake_gate_count(b.gate, WSB_ACK), 0);
    welcome(&b, 7);
    while (read < CONNS)
        assert_int_equal(must_read(b.h).conn, ++read);
    (void)wsb_readguarded(b.h, &ev, 0); /* done with the last */
    for (uint64_t told = 0; told < CONNS;) {
        struct fake_command c = must_take(b.gate, WSB_ACK);
        told += c.header.payload_len / 16;
        fake_command_free(&c);
    }
    wsb_buf_deinit(&batch);
    part(&b);
}

struct stranger {
    struct both *b;
    size_t hellos;
};

/* When the call waits it says HELLO again; the gate that answers does not know it any more. */
static void *welcome_as_another(void *arg)
{
    const struct stranger *s = arg;
    for (int i = 0; fake_gate_count(s->b->gate, WSB_HELLO) <= s->hellos && i < PATIENCE_MS; i++)
        (void)poll(NULL, 0, 1);
    welcome(s->b, 8);
    return NULL;
}

static struct stranger in_doubt(struct both *b)
{
    await_doubt(b);
    fake_gate_send(b->gate, head(WSB_PING_EV, 0, 78), NULL, NULL);
    for (int i = 0; fake_gate_count(b->gate, WSB_PONG) == 0; i++) { /* the HELLO of before has come as well */
        assert_true(i < PATIENCE_MS);
        (void)poll(NULL, 0, 1);
        (void)wsb_flush(b->h);
    }
    return (struct stranger){b, fake_gate_count(b->gate, WSB_HELLO)};
}

static void test_a_call_that_waits_hears_that_its_registration_is_over(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){.heartbeat_ms = 10}, (struct wsb_handler_options){0});
    pthread_t t;
    struct stranger s = in_doubt(&b);
    assert_int_equal(pthread_create(&t, NULL, welcome_as_another, &s), 0);
    assert_false(wsb_sendwait(b.h, 5, WSB_TEXT, "x", 1, PATIENCE_MS * 2));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_GATE_GONE);
    (void)pthread_join(t, NULL);
    part(&b);
}

static void test_revoked_fences_before_it_is_read(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_header again = head(WSB_OPEN, 5, 1);
    again.flags = WSB_FLAG_REDELIVERED;
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    fake_gate_send(b.gate, data_head(5, 2), "a", NULL);
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    assert_int_equal(must_read(b.h).seq, 2);
    fake_gate_send(b.gate, head(WSB_REVOKED, 5, 0), NULL, "{\"reason\":\"moved\"}");
    fake_gate_send(b.gate, again, NULL, "{}");
    fake_gate_send(b.gate, data_head(5, 2), "a", NULL);
    await_refusal(b.h, 5, WSB_REASON_STALE);
    assert_false(wsb_isopen(b.h, 5));
    struct wsb_event ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_REVOKED);
    assert_string_equal(wsb_event_str(&ev, "reason"), "moved");
    assert_false(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_STALE);
    ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_OPEN);
    assert_true(ev.redelivered);
    assert_true(wsb_isopen(b.h, 5));
    assert_true(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1));
    assert_int_equal(must_read(b.h).seq, 2);
    ask_for_more(b.h);
    ACKS(b.gate, {5, 1}); /* the first OPEN */
    ACKS(b.gate, {5, 1}); /* the second; the 2 before it was taken away unfinished */
    ACKS(b.gate, {5, 2});
    part(&b);
}

/* It may be ours again at once, and would get the answers to what another handler answers. */
static void test_what_was_written_before_it_was_taken_is_not_sent_after(void **state)
{
    (void)state;
    struct both b = join();
    fake_gate_send(b.gate, data_head(5, 1), "x", NULL);
    assert_int_equal(must_read(b.h).seq, 1);
    assert_true(wsb_writeguarded(b.h, 6, WSB_TEXT, "one", 3)); /* in the round, so they wait here */
    assert_true(wsb_writeguarded(b.h, 5, WSB_TEXT, "late", 4));
    assert_true(wsb_join(b.h, 5, "late"));
    assert_true(wsb_writeguarded(b.h, 6, WSB_TEXT, "another", 7));
    assert_true(wsb_writeguarded(b.h, 5, WSB_TEXT, "later", 5));
    fake_gate_send(b.gate, head(WSB_REVOKED, 5, 0), NULL, "{}");
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    await_refusal(b.h, 5, WSB_REASON_STALE);
    assert_true(wsb_ping(b.h, 0, NULL, 0, NULL));
    assert_true(wsb_flush(b.h));
    struct fake_command c = must_take(b.gate, WSB_SEND);
    assert_string_equal(c.payload, "one");
    fake_command_free(&c);
    c = must_take(b.gate, WSB_SEND);
    assert_string_equal(c.payload, "another");
    fake_command_free(&c);
    c = must_take(b.gate, WSB_PING);
    fake_command_free(&c);
    assert_int_equal(fake_gate_count(b.gate, WSB_SEND), 2);
    assert_int_equal(fake_gate_count(b.gate, WSB_JOIN), 0);
    part(&b);
}

/* In doubt even a call that waits for its outcome is among what waits here. */
static void *take_away(void *arg)
{
    const struct stranger *s = arg;
    for (int i = 0; fake_gate_count(s->b->gate, WSB_HELLO) <= s->hellos && i < PATIENCE_MS; i++)
        (void)poll(NULL, 0, 1);
    fake_gate_send(s->b->gate, head(WSB_REVOKED, 5, 0), NULL, "{}");
    return NULL;
}

static void test_a_call_that_waits_hears_that_its_connection_was_taken(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){.heartbeat_ms = 10}, (struct wsb_handler_options){0});
    pthread_t t;
    struct stranger s = in_doubt(&b);
    assert_int_equal(pthread_create(&t, NULL, take_away, &s), 0);
    assert_false(wsb_sendwait(b.h, 5, WSB_TEXT, "x", 1, PATIENCE_MS * 2));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_STALE);
    (void)pthread_join(t, NULL);
    part(&b);
}

static void test_a_connection_that_comes_and_goes_stays_fenced(void **state)
{
    (void)state;
    struct both b = join();
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    assert_int_equal(must_read(b.h).type, WSB_EV_OPEN);
    struct wsb_buf batch = {0};
    fake_batch_add(&batch, head(WSB_REVOKED, 5, 0), NULL, "{}");
    fake_batch_add(&batch, head(WSB_OPEN, 5, 1), NULL, "{}");
    fake_batch_add(&batch, head(WSB_REVOKED, 5, 0), NULL, "{}");
    fake_gate_send_raw(b.gate, head(WSB_BATCH, 0, 0), batch.data, batch.len, NULL);
    assert_int_equal(must_read(b.h).type, WSB_EV_REVOKED);
    assert_false(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1)); /* the second one is unread; the OPEN between is over */
    assert_int_equal(wsb_reason(b.h), WSB_REASON_STALE);
    assert_int_equal(must_read(b.h).type, WSB_EV_REVOKED);
    assert_false(wsb_writeguarded(b.h, 5, WSB_TEXT, "x", 1));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_STALE);
    wsb_buf_deinit(&batch);
    part(&b);
}

static void test_a_late_ack_of_a_thread_is_stale(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.manual_ack = true});
    fake_gate_send(b.gate, head(WSB_OPEN, 5, 1), NULL, "{}");
    (void)must_read(b.h);
    fake_gate_send(b.gate, head(WSB_REVOKED, 5, 0), NULL, "{}");
    await_refusal(b.h, 5, WSB_REASON_STALE);
    assert_false(wsb_ack(b.h, 5, 1));
    assert_int_equal(wsb_reason(b.h), WSB_REASON_STALE);
    fake_gate_send(b.gate, head(WSB_OPEN, 7, 1), NULL, "{}");
    assert_int_equal(must_read(b.h).type, WSB_EV_REVOKED);
    assert_false(wsb_ack(b.h, 5, 1)); /* and after it was read */
    assert_int_equal(wsb_reason(b.h), WSB_REASON_STALE);
    assert_int_equal(must_read(b.h).conn, 7);
    assert_true(wsb_ack(b.h, 7, 1));
    fake_gate_send(b.gate, head(WSB_CLOSED_EV, 7, 2), NULL, "{}");
    assert_int_equal(must_read(b.h).type, WSB_EV_CLOSED);
    assert_true(wsb_ack(b.h, 7, 2)); /* is to be acknowledged like all others */
    welcome(&b, 8);
    for (int i = 0; wsb_ack(b.h, 6, 1) || wsb_reason(b.h) != WSB_REASON_STALE; i++) {
        assert_true(i < PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
    part(&b);
}

/* What was noted and not told yet is not told any more. */
static void test_an_ack_that_waits_is_taken_back(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0}, (struct wsb_handler_options){.manual_ack = true});
    fake_gate_send(b.gate, data_head(5, 1), "x", NULL);
    (void)must_read(b.h);
    assert_true(wsb_ack(b.h, 5, 1)); /* in the round, so it waits here */
    fake_gate_send(b.gate, head(WSB_REVOKED, 5, 0), NULL, "{}");
    await_refusal(b.h, 5, WSB_REASON_STALE);
    assert_true(wsb_ping(b.h, 0, NULL, 0, NULL));
    assert_true(wsb_flush(b.h));
    struct fake_command ping = must_take(b.gate, WSB_PING);
    fake_command_free(&ping);
    assert_true(wsb_ping(b.h, 0, NULL, 0, NULL));
    assert_true(wsb_flush(b.h));
    ping = must_take(b.gate, WSB_PING); /* behind whatever the first flush sent */
    fake_command_free(&ping);
    assert_int_equal(fake_gate_count(b.gate, WSB_ACK), 0);
    part(&b);
}

/* -------------------------------------------------------------------- events */

static void test_drain_begins_and_ends(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_header begins = head(WSB_DRAIN, 0, 0);
    begins.flags = WSB_FLAG_MORE;
    fake_gate_send(b.gate, begins, NULL, "{\"reason\":\"update\"}");
    fake_gate_send(b.gate, head(WSB_DRAIN, 0, 0), NULL, NULL);
    struct wsb_event ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_DRAIN);
    assert_true(ev.more);
    assert_string_equal(wsb_event_str(&ev, "reason"), "update");
    ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_DRAIN);
    assert_false(ev.more);
    for (int again = 0; again < 2; again++) { /* a loop of reads ends, and would not begin anew */
        assert_false(wsb_readguarded(b.h, &ev, -1));
        assert_int_equal(wsb_reason(b.h), WSB_REASON_DRAINED);
    }
    assert_string_equal(wsb_reason_name(WSB_REASON_DRAINED), "drained");
    assert_true(wsb_handler_close(b.h));
    struct fake_command bye = must_take(b.gate, WSB_BYE);
    fake_command_free(&bye);
    part(&b);
}

static void test_members_are_told(void **state)
{
    (void)state;
    struct both b = join();
    struct wsb_header more = head(WSB_MEMBERS, 0, 17);
    more.flags = WSB_FLAG_MORE;
    fake_gate_send(b.gate, more, NULL,
                   "{\"group\":\"g\",\"count\":9,\"members\":[\"00000000000000ab\",\"ffffffffffffffff\",7,\"x\",null,"
                   "\"000000000000000G\",\"0000000000000000\",\" 00000000000000a\"]}");
    struct wsb_event ev = must_read(b.h);
    wsb_conn ids[3] = {0};
    assert_int_equal(ev.type, WSB_EV_MEMBERS);
    assert_int_equal(ev.seq, 17);
    assert_true(ev.more);
    assert_int_equal(wsb_event_num(&ev, "count", 0), 9);
    assert_int_equal(wsb_event_members(&ev, ids, 1), 2);
    assert_true(ids[0] == 0xab && ids[1] == 0);
    assert_int_equal(wsb_event_members(&ev, ids, 3), 2);
    assert_true(ids[0] == 0xab && ids[1] == UINT64_MAX && ids[2] == 0);
    assert_int_equal(wsb_event_members(&ev, NULL, 0), 2);
    assert_int_equal(wsb_event_members(&ev, NULL, 3), 0);
    fake_gate_send(b.gate, head(WSB_MEMBERS, 0, 18), NULL, "{\"members\":{\"a\":1}}");
    struct wsb_event next = must_read(b.h);
    assert_int_equal(wsb_event_members(&ev, ids, 3), 0); /* void by now */
    assert_int_equal(wsb_event_members(&next, ids, 3), 0);
    part(&b);
}

/* Deeper than any gate says: it is as metadata that is not there, and what follows is not. */
static void test_metadata_too_deep_to_be_read(void **state)
{
    enum { DEEP = 5000 };
    struct both b = join();
    char *meta = malloc(2 * DEEP + 64);
    (void)state;
    assert_non_null(meta);
    char *at = stpcpy(meta, "{\"route\":\"r\",\"x\":");
    memset(at, '[', DEEP);
    memset(at + DEEP, ']', DEEP);
    (void)stpcpy(at + (size_t)2 * DEEP, "}");
    fake_gate_send(b.gate, head(WSB_OPEN, 6, 1), NULL, meta);
    fake_gate_send(b.gate, head(WSB_OPEN, 7, 1), NULL, "{\"route\":\"r\"}");
    struct wsb_event ev = must_read(b.h);
    assert_int_equal(ev.conn, 6);
    assert_null(wsb_event_str(&ev, "route"));
    ev = must_read(b.h);
    assert_string_equal(wsb_event_str(&ev, "route"), "r");
    free(meta);
    part(&b);
}

static void test_presence_and_lists_of_words(void **state)
{
    (void)state;
    struct both b = join_with((struct fake_options){0},
                              (struct wsb_handler_options){.presence = true, .weight = 3, .kinds = WSB_KIND_HTTP});
    struct fake_command hello = must_take(b.gate, WSB_HELLO);
    assert_non_null(strstr(hello.meta, "\"weight\":3,\"presence\":true,\"kinds\":[\"http\"]"));
    fake_command_free(&hello);
    fake_gate_send(b.gate, head(WSB_JOINED, 0, 0), NULL, "{}"); /* of no connection */
    fake_gate_send(b.gate, head(WSB_JOINED, 5, 0), NULL, "{\"group\":\"g\",\"count\":2,\"user\":\"u\"}");
    fake_gate_send(b.gate, head(WSB_LEFT, 5, 0), NULL, "{\"group\":\"g\",\"count\":1}");
    fake_gate_send(b.gate, head(WSB_WRITABLE, 5, 0), NULL, NULL);
    fake_gate_send(b.gate, head(WSB_OPEN, 6, 1), NULL, "{\"user\":\"u\",\"tags\":[\"a\",\"b\",3],\"groups\":\"g\"}");
    struct wsb_event ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_JOINED);
    assert_string_equal(wsb_event_str(&ev, "user"), "u");
    assert_int_equal(wsb_event_num(&ev, "count", 0), 2);
    ev = must_read(b.h);
    assert_int_equal(ev.type, WSB_EV_LEFT);
    assert_int_equal(must_read(b.h).type, WSB_EV_WRITABLE);
    ev = must_read(b.h);
    assert_string_equal(wsb_event_item(&ev, "tags", 0), "a");
    assert_string_equal(wsb_event_item(&ev, "tags", 1), "b");
    assert_null(wsb_event_item(&ev, "tags", 2));
    assert_null(wsb_event_item(&ev, "tags", 3));
    assert_null(wsb_event_item(&ev, "groups", 0));
    assert_null(wsb_event_item(&ev, NULL, 0));
    assert_int_equal(wsb_malformed(b.h), 1);
    part(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_ack_is_one_and_behind_the_replies),
        cmocka_unit_test(test_what_the_program_still_has_is_not_acknowledged),
        cmocka_unit_test(test_close_tells_what_was_done),
        cmocka_unit_test(test_events_of_connections_are_acknowledged),
        cmocka_unit_test(test_a_long_batch_is_acknowledged_in_between),
        cmocka_unit_test(test_a_slow_program_is_not_silent),
        cmocka_unit_test(test_a_slow_event_is_acknowledged_when_it_is_done),
        cmocka_unit_test(test_with_manual_ack_the_program_says_it),
        cmocka_unit_test(test_an_ack_of_another_thread_leaves_at_once),
        cmocka_unit_test(test_credit_is_never_more_than_the_window),
        cmocka_unit_test(test_only_what_costs_is_granted_again),
        cmocka_unit_test(test_what_makes_no_sense_is_granted_again),
        cmocka_unit_test(test_a_new_registration_fences_what_was_before),
        cmocka_unit_test(test_events_of_a_registration_that_is_over_are_passed_over),
        cmocka_unit_test(test_events_of_a_connection_that_was_taken_are_passed_over),
        cmocka_unit_test(test_a_reader_hears_the_gate_between_its_events),
        cmocka_unit_test(test_what_was_written_before_is_not_sent_after),
        cmocka_unit_test(test_error_5_fences_until_the_welcome),
        cmocka_unit_test(test_what_is_written_in_doubt_waits_for_the_welcome),
        cmocka_unit_test(test_nothing_is_acknowledged_in_doubt),
        cmocka_unit_test(test_a_full_table_in_doubt_waits_for_the_welcome),
        cmocka_unit_test(test_a_call_that_waits_hears_that_its_registration_is_over),
        cmocka_unit_test(test_revoked_fences_before_it_is_read),
        cmocka_unit_test(test_what_was_written_before_it_was_taken_is_not_sent_after),
        cmocka_unit_test(test_a_call_that_waits_hears_that_its_connection_was_taken),
        cmocka_unit_test(test_a_connection_that_comes_and_goes_stays_fenced),
        cmocka_unit_test(test_a_late_ack_of_a_thread_is_stale),
        cmocka_unit_test(test_an_ack_that_waits_is_taken_back),
        cmocka_unit_test(test_drain_begins_and_ends),
        cmocka_unit_test(test_members_are_told),
        cmocka_unit_test(test_metadata_too_deep_to_be_read),
        cmocka_unit_test(test_presence_and_lists_of_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
