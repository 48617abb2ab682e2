/*
 * The gate's end over ZeroMQ with libzmq at the other: every kind of socket that may connect, with and without keys, messages of
 * every size both ways, subscriptions, and heartbeats.
 */
#include "support/test.h"

#include <poll.h>
#include <unistd.h>
#include <zmq.h>

#include "link/zmtp_server.h"

enum { LARGEST = 5 << 20, PATIENCE = 20000, GIVES_UP_MS = 1000 };

struct fixture {
    char dir[32];
    struct wsb_server *server;
    struct wsb_account *account;
    struct wsb_curve curve;
    char public_key[WSB_KEY_TEXT], secret_key[WSB_KEY_TEXT]; /* a handler's */
    void *context;
    uint8_t name[255];
    size_t name_len;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char list[WSB_KEY_TEXT + 1];
    struct wsb_fault fault = {0};
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/wsbus-interop-XXXXXX");
    assert_true(mkdtemp(f->dir));
    assert_int_equal(zmq_curve_keypair(f->curve.pair.public_key, f->curve.pair.secret_key), 0);
    assert_int_equal(zmq_curve_keypair(f->public_key, f->secret_key), 0);
    (void)snprintf(list, sizeof list, "%s\n", f->public_key);
    assert_int_equal(wsb_key_list_parse(&f->curve.clients, wsb_span_str(list), NULL), WSB_OK);
    const struct wsb_server_options o = {.dir = f->dir,
                                         .mode = 0600,
                                         .curve = &f->curve,
                                         .tcp = {"tcp://127.0.0.1:*", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*"},
                                         .max_message = LARGEST + 100};
    if (wsb_zmtp_server_open(&o, &f->server, &fault) != WSB_OK)
        fail_msg("%s", fault.text);
    f->account = wsb_account_new();
    f->context = zmq_ctx_new();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(zmq_ctx_term(f->context), 0);
    f->server->ops->close(f->server);
    assert_int_equal(wsb_account_bytes(f->account), 0);
    wsb_account_unref(f->account);
    wsb_curve_deinit(&f->curve);
    assert_int_equal(rmdir(f->dir), 0);
    free(f);
    return 0;
}

static void set_int(void *socket, int option, int value)
{
    assert_int_equal(zmq_setsockopt(socket, option, &value, sizeof value), 0);
}

static void *dial(struct fixture *f, int type, enum wsb_channel c, bool has_keys, int heartbeat_ms)
{
    char endpoint[64];
    void *s = zmq_socket(f->context, type);
    assert_non_null(s);
    set_int(s, ZMQ_LINGER, 0);
    set_int(s, ZMQ_RCVTIMEO, 1);
    set_int(s, ZMQ_SNDHWM, 0);
    if (heartbeat_ms) {
        set_int(s, ZMQ_HEARTBEAT_IVL, heartbeat_ms);
        set_int(s, ZMQ_HEARTBEAT_TIMEOUT, GIVES_UP_MS);
    }
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/%s", f->dir, wsb_channel_name(c));
    if (has_keys) {
        assert_int_equal(zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, f->curve.pair.public_key, WSB_KEY_TEXT), 0);
        assert_int_equal(zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, f->public_key, WSB_KEY_TEXT), 0);
        assert_int_equal(zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, f->secret_key, WSB_KEY_TEXT), 0);
        (void)snprintf(endpoint, sizeof endpoint, "%s", f->server->ops->endpoint(f->server, c));
    }
    assert_int_equal(zmq_connect(s, endpoint), 0);
    return s;
}

static uint64_t keys_allowed(const struct fixture *f)
{
    struct wsb_server_stats stats;
    wsb_server_stats(f->server, &stats);
    return stats.keys_allowed;
}

/* One round; the next message of a channel, if there is one. */
static wsb_err turn(struct fixture *f, enum wsb_channel c, struct wsb_inbound *ret)
{
    wsb_err err = WSB_AGAIN;
    f->server->ops->on_readable(f->server, c);
    err = f->server->ops->recv(f->server, c, ret);
    f->server->ops->flush(f->server);
    if (err == WSB_AGAIN && !f->server->ops->has_input(f->server, c)) {
        struct pollfd p = {.fd = f->server->ops->fd(f->server, c), .events = POLLIN};
        (void)poll(&p, 1, 1);
    }
    return err;
}

static struct wsb_inbound hear(struct fixture *f, enum wsb_channel c)
{
    struct wsb_inbound in;
    wsb_err err;
    int patience = PATIENCE;
    while ((err = turn(f, c, &in)) == WSB_AGAIN)
        assert_true(--patience > 0);
    assert_int_equal(err, WSB_OK);
    return in;
}

static void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 3 + (i >> 8) + len);
}

static bool is_filled(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != (uint8_t)(i * 3 + (i >> 8) + s.len))
            return false;
    }
    return true;
}

static void say_part(void *s, const void *bytes, size_t len, int flags)
{
    while (zmq_send(s, bytes, len, flags) < 0)
        assert_int_equal(zmq_errno(), EINTR);
}

/* Header, payload and, when it is there, metadata. */
static void say(void *s, size_t len, const char *meta)
{
    static uint8_t payload[LARGEST];
    const struct wsb_header h = {
        .type = WSB_SEND, .flags = meta ? WSB_FLAG_META : 0, .payload_len = (uint32_t)len, .conn = 5};
    uint8_t header[WSB_HEADER_SIZE];
    wsb_header_write(header, &h);
    fill(payload, len);
    say_part(s, header, sizeof header, ZMQ_SNDMORE);
    say_part(s, payload, len, meta ? ZMQ_SNDMORE : 0);
    if (meta)
        say_part(s, meta, strlen(meta), 0);
}

static struct wsb_block *block_of(struct fixture *f, size_t len)
{
    struct wsb_block *b = wsb_block_new(f->account, len);
    fill(b->data, len);
    b->len = len;
    return b;
}

/* The next part that the socket has, while the gate goes round and hears nothing. */
static int read_part(struct fixture *f, enum wsb_channel c, void *s, uint8_t *to, size_t size)
{
    int patience = PATIENCE, n;
    while ((n = zmq_recv(s, to, size, 0)) < 0) {
        struct wsb_inbound in;
        assert_int_equal(zmq_errno(), EAGAIN);
        assert_int_equal(turn(f, c, &in), WSB_AGAIN);
        assert_true(--patience > 0);
    }
    return n;
}

static void expect_message(struct fixture *f, enum wsb_channel c, void *s, const char *topic, size_t len,
                           const char *meta)
{
    static uint8_t got[LARGEST + 1];
    struct wsb_header h;
    if (topic) {
        assert_int_equal(read_part(f, c, s, got, sizeof got), strlen(topic));
        assert_memory_equal(got, topic, strlen(topic));
    }
    assert_int_equal(read_part(f, c, s, got, sizeof got), WSB_HEADER_SIZE);
    assert_int_equal(wsb_header_parse(wsb_span(got, WSB_HEADER_SIZE), &h), WSB_OK);
    assert_int_equal(h.payload_len, len);
    assert_int_equal(read_part(f, c, s, got, sizeof got), len);
    assert_true(is_filled(wsb_span(got, len)));
    if (meta) {
        assert_int_equal(read_part(f, c, s, got, sizeof got), strlen(meta));
        assert_memory_equal(got, meta, strlen(meta));
    }
    int more = 0;
    size_t more_len = sizeof more;
    assert_int_equal(zmq_getsockopt(s, ZMQ_RCVMORE, &more, &more_len), 0);
    assert_int_equal(more, 0);
}

static void answer(struct fixture *f, size_t len, const char *meta)
{
    const struct wsb_header h = {
        .type = WSB_DATA, .flags = meta ? WSB_FLAG_META : 0, .payload_len = (uint32_t)len, .conn = 5};
    assert_int_equal(
        f->server->ops->send(f->server, wsb_span(f->name, f->name_len), &h, block_of(f, len), wsb_span_str(meta)),
        WSB_OK);
}

static void check_both_ways(struct fixture *f, bool has_keys)
{
    static const size_t sizes[] = {0, 1, 221, 222, 223, 255, 256, 65535, 65536, 300000, LARGEST};
    static const char *const metas[] = {NULL, "{\"to\":[\"0000000000000001\"]}"};
    void *s = dial(f, ZMQ_DEALER, WSB_CHANNEL_HANDLERS, has_keys, 0);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t m = 0; m < COUNT(metas); m++) {
            say(s, sizes[i], metas[m]);
            struct wsb_inbound in = hear(f, WSB_CHANNEL_HANDLERS);
            assert_int_equal(in.envelope.payload.len, sizes[i]);
            assert_true(is_filled(in.envelope.payload));
            assert_true(wsb_span_eq_str(in.envelope.meta, metas[m] ? metas[m] : ""));
            assert_true(wsb_span_eq_str(in.user, has_keys ? f->public_key : ""));
            memcpy(f->name, in.peer.ptr, in.peer.len);
            f->name_len = in.peer.len;
            f->server->ops->release(&in);
            answer(f, sizes[i], metas[m]);
            expect_message(f, WSB_CHANNEL_HANDLERS, s, NULL, sizes[i], metas[m]);
        }
    }
    for (int i = 0; i < 1000; i++) /* many in one call */
        answer(f, (size_t)i, NULL);
    for (int i = 0; i < 1000; i++)
        expect_message(f, WSB_CHANNEL_HANDLERS, s, NULL, (size_t)i, NULL);
    for (int i = 0; i < 1000; i++)
        say(s, (size_t)i, NULL);
    for (size_t i = 0; i < 1000; i++) {
        struct wsb_inbound in = hear(f, WSB_CHANNEL_HANDLERS);
        assert_int_equal(in.envelope.payload.len, i);
        f->server->ops->release(&in);
    }
    zmq_close(s);
}

static void test_a_dealer(void **state)
{
    check_both_ways(*state, /*has_keys=*/false);
}

static void test_a_dealer_with_keys(void **state)
{
    check_both_ways(*state, /*has_keys=*/true);
}

static void test_a_router_that_connects(void **state)
{
    struct fixture *f = *state;
    void *s = zmq_socket(f->context, ZMQ_ROUTER);
    char endpoint[64];
    set_int(s, ZMQ_LINGER, 0);
    set_int(s, ZMQ_ROUTER_MANDATORY, 1);
    set_int(s, ZMQ_RCVTIMEO, 1);
    assert_int_equal(zmq_setsockopt(s, ZMQ_CONNECT_ROUTING_ID, "gate", 4), 0);
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/handlers", f->dir);
    assert_int_equal(zmq_connect(s, endpoint), 0);
    say_part(s, "gate", 4, ZMQ_SNDMORE);
    say(s, 10, NULL);
    struct wsb_inbound in = hear(f, WSB_CHANNEL_HANDLERS);
    assert_int_equal(in.envelope.payload.len, 10);
    memcpy(f->name, in.peer.ptr, in.peer.len);
    f->name_len = in.peer.len;
    f->server->ops->release(&in);
    answer(f, 20, NULL);
    expect_message(f, WSB_CHANNEL_HANDLERS, s, "gate", 20, NULL);
    zmq_close(s);
}

static void test_a_routing_id_of_ones_own(void **state)
{
    struct fixture *f = *state;
    char endpoint[64];
    for (int i = 0; i < 3; i++) { /* it goes, and comes again */
        void *s = zmq_socket(f->context, ZMQ_DEALER);
        struct wsb_inbound in;
        wsb_err err;
        set_int(s, ZMQ_LINGER, 0);
        assert_int_equal(zmq_setsockopt(s, ZMQ_ROUTING_ID, "worker-1", 8), 0);
        (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/handlers", f->dir);
        assert_int_equal(zmq_connect(s, endpoint), 0);
        say(s, 1, NULL);
        while ((err = turn(f, WSB_CHANNEL_HANDLERS, &in)) != WSB_OK) {
            if (err == WSB_CLOSED) /* the one before */
                f->server->ops->release(&in);
        }
        assert_int_equal(in.peer.len, 9);
        assert_memory_equal(in.peer.ptr, "\0worker-1", 9);
        f->server->ops->release(&in);
        zmq_close(s);
    }
}

static void check_subscriber(struct fixture *f, bool has_keys)
{
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = 100};
    const char *meta = "{\"a\":1}";
    struct wsb_inbound in;
    void *s = dial(f, ZMQ_SUB, WSB_CHANNEL_EVENTS, has_keys, 0);
    assert_int_equal(zmq_setsockopt(s, ZMQ_SUBSCRIBE, "chat ", 5), 0);
    assert_int_equal(zmq_setsockopt(s, ZMQ_SUBSCRIBE, "chat ", 5), 0);
    assert_int_equal(zmq_setsockopt(s, ZMQ_SUBSCRIBE, "echo data", 9), 0);
    while (!f->server->ops->is_wanted(f->server, "chat data") || !f->server->ops->is_wanted(f->server, "echo data"))
        assert_int_equal(turn(f, WSB_CHANNEL_EVENTS, &in), WSB_AGAIN);
    struct wsb_header with_meta = h;
    with_meta.flags = WSB_FLAG_META;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(
            f->server->ops->publish(f->server, "chat data", &with_meta, block_of(f, 100), wsb_span_str(meta)), 0);
        assert_int_equal(f->server->ops->publish(f->server, "other data", &h, block_of(f, 100), wsb_span(NULL, 0)), 0);
        assert_int_equal(f->server->ops->publish(f->server, "echo data", &h, block_of(f, 100), wsb_span(NULL, 0)), 0);
        expect_message(f, WSB_CHANNEL_EVENTS, s, "chat data", 100, meta);
        expect_message(f, WSB_CHANNEL_EVENTS, s, "echo data", 100, NULL);
    }
    assert_int_equal(zmq_setsockopt(s, ZMQ_UNSUBSCRIBE, "echo data", 9), 0);
    while (f->server->ops->is_wanted(f->server, "echo data"))
        assert_int_equal(turn(f, WSB_CHANNEL_EVENTS, &in), WSB_AGAIN);
    assert_true(f->server->ops->is_wanted(f->server, "chat data"));
    zmq_close(s);
    while (f->server->ops->is_wanted(f->server, "chat data"))
        assert_int_equal(turn(f, WSB_CHANNEL_EVENTS, &in), WSB_AGAIN);
}

static void test_a_subscriber(void **state)
{
    check_subscriber(*state, /*has_keys=*/false);
}

static void test_a_subscriber_with_keys(void **state)
{
    check_subscriber(*state, /*has_keys=*/true);
    assert_int_equal(keys_allowed(*state), 1);
}

/* A copy for both: the block is one, what is sealed is not. */
static void test_subscribers_at_both_doors(void **state)
{
    struct fixture *f = *state;
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = 70000};
    struct wsb_inbound in;
    void *subscribers[] = {dial(f, ZMQ_SUB, WSB_CHANNEL_EVENTS, true, 0),
                           dial(f, ZMQ_SUB, WSB_CHANNEL_EVENTS, false, 0),
                           dial(f, ZMQ_SUB, WSB_CHANNEL_EVENTS, true, 0)};
    struct wsb_server_stats stats = {0};
    for (size_t i = 0; i < COUNT(subscribers); i++)
        assert_int_equal(zmq_setsockopt(subscribers[i], ZMQ_SUBSCRIBE, "", 0), 0);
    for (; stats.subscriptions < COUNT(subscribers); wsb_server_stats(f->server, &stats))
        assert_int_equal(turn(f, WSB_CHANNEL_EVENTS, &in), WSB_AGAIN);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(f->server->ops->publish(f->server, "t", &h, block_of(f, 70000), wsb_span(NULL, 0)), 0);
        for (size_t k = 0; k < COUNT(subscribers); k++)
            expect_message(f, WSB_CHANNEL_EVENTS, subscribers[k], "t", 70000, NULL);
    }
    for (size_t i = 0; i < COUNT(subscribers); i++)
        zmq_close(subscribers[i]);
}

static void test_pushers(void **state)
{
    struct fixture *f = *state;
    for (int has_keys = 0; has_keys < 2; has_keys++) {
        void *s = dial(f, ZMQ_PUSH, WSB_CHANNEL_COMMANDS, has_keys, 0);
        for (size_t len = 0; len < 200000; len = len * 5 + 1) {
            say(s, len, NULL);
            struct wsb_inbound in = hear(f, WSB_CHANNEL_COMMANDS);
            assert_int_equal(in.envelope.payload.len, len);
            assert_int_equal(in.peer.len, 0);
            assert_true(wsb_span_eq_str(in.user, has_keys ? f->public_key : ""));
            f->server->ops->release(&in);
        }
        zmq_close(s);
    }
}

/* Its library asks again and again, and gives up whoever does not answer: many answers later it is still there. */
static void test_heartbeats_are_answered(void **state)
{
    enum { HEARTBEAT_MS = 50, MANY = 40 /* so that they take longer than it waits for an answer */ };
    struct fixture *f = *state;
    for (int has_keys = 0; has_keys < 2; has_keys++) {
        struct wsb_inbound in;
        void *s = dial(f, ZMQ_DEALER, WSB_CHANNEL_HANDLERS, has_keys, HEARTBEAT_MS);
        say(s, 1, NULL);
        in = hear(f, WSB_CHANNEL_HANDLERS);
        struct wsb_zmtp_conn *c = wsb_zmtp_find(wsb_zmtp_server_of(f->server), in.peer);
        f->server->ops->release(&in);
        uint64_t heard_ms = 0;
        for (int beats = 0; beats < MANY;) {
            assert_int_equal(turn(f, WSB_CHANNEL_HANDLERS, &in), WSB_AGAIN); /* it does not hang up */
            beats += c->heard_ms != heard_ms;
            heard_ms = c->heard_ms;
        }
        zmq_close(s);
        wsb_err err;
        while ((err = turn(f, WSB_CHANNEL_HANDLERS, &in)) == WSB_AGAIN)
            ;
        assert_int_equal(err, WSB_CLOSED);
        f->server->ops->release(&in);
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_dealer),
        TEST(test_a_dealer_with_keys),
        TEST(test_a_router_that_connects),
        TEST(test_a_routing_id_of_ones_own),
        TEST(test_a_subscriber),
        TEST(test_a_subscriber_with_keys),
        TEST(test_subscribers_at_both_doors),
        TEST(test_pushers),
        TEST(test_heartbeats_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
