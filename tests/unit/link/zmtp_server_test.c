/*
 * The gate's end over ZeroMQ against peers that a test plays byte by byte: what they break ends them and nobody else, is counted by
 * its reason, and holds no more memory, work or descriptors than it may. The server's loop is the test's: each turn is one round.
 */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/z85.h"
#include "link/zmtp_server.h"
#include "support/curve_client.h"
#include "support/zmtp_wire.h"

enum { PATIENCE = 20000 /* rounds of a millisecond at most */, OUT_MAX = 16 << 20, MAX_MESSAGE = 1 << 20 };

struct fixture {
    char dir[32];
    struct wsb_server *server;
    struct wsb_account *account;
    uint64_t heard, malformed, closed; /* on all channels */
    uint64_t bytes_heard;
    uint8_t last[255]; /* who was heard last */
    size_t last_len;
    bool keeps_last; /* the name of `last` is not changed any more */
    uint8_t gone[255];
    size_t gone_len;
    bool is_watched; /* whoever is heard is watched */
    uint32_t heartbeat_ms;
    uint8_t *buffer;
    struct wire out; /* in buffer */
};

static struct wsb_zmtp_server *zmtp(struct fixture *f)
{
    return wsb_zmtp_server_of(f->server);
}

static void serve(struct fixture *f, struct wsb_server_options o)
{
    struct wsb_fault fault = {0};
    o.dir = f->dir;
    o.mode = 0600;
    o.max_message = o.max_message ? o.max_message : MAX_MESSAGE;
    if (wsb_zmtp_server_open(&o, &f->server, &fault) != WSB_OK)
        fail_msg("%s", fault.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/wsbus-zmtp-XXXXXX");
    assert_true(mkdtemp(f->dir));
    f->account = wsb_account_new();
    f->buffer = malloc(OUT_MAX);
    f->out.bytes = f->buffer;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->server)
        f->server->ops->close(f->server);
    assert_int_equal(wsb_account_bytes(f->account), 0);
    wsb_account_unref(f->account);
    assert_int_equal(rmdir(f->dir), 0);
    free(f->buffer);
    free(f);
    return 0;
}

/* ----------------------------------------------------------------- the gate's rounds */

static void receive_all(struct fixture *f, enum wsb_channel c)
{
    struct wsb_inbound in;
    wsb_err err;
    while ((err = f->server->ops->recv(f->server, c, &in)) != WSB_AGAIN) {
        if (err == WSB_CLOSED) {
            f->closed++;
            memcpy(f->gone, in.peer.ptr, in.peer.len);
            f->gone_len = in.peer.len;
        } else if (err) {
            f->malformed++;
        } else {
            f->heard++;
            f->bytes_heard += in.envelope.payload.len;
            if (in.peer.len && !f->keeps_last) {
                memcpy(f->last, in.peer.ptr, in.peer.len);
                f->last_len = in.peer.len;
            }
            if (f->is_watched)
                f->server->ops->watch(f->server, &in, f->heartbeat_ms);
        }
        f->server->ops->release(&in);
    }
}

static void turn(struct fixture *f)
{
    for (int c = 0; c < WSB_CHANNELS; c++) {
        f->server->ops->on_readable(f->server, (enum wsb_channel)c);
        receive_all(f, (enum wsb_channel)c);
    }
    f->server->ops->flush(f->server);
}

/* Rounds until the condition holds; each waits until something happens. */
#define TURN_UNTIL(f, condition)                                                                                       \
    do {                                                                                                               \
        int patience = PATIENCE;                                                                                       \
        while (turn(f), !(condition)) {                                                                                \
            if (--patience == 0)                                                                                       \
                fail_msg("never: %s", #condition);                                                                     \
            wait_a_moment(f);                                                                                          \
        }                                                                                                              \
    } while (0)

static bool has_work(struct fixture *f)
{
    bool has = false;
    for (int c = 0; c < WSB_CHANNELS; c++)
        has = f->server->ops->has_input(f->server, (enum wsb_channel)c) || has;
    return has;
}

static void wait_a_moment(struct fixture *f)
{
    struct pollfd fds[WSB_CHANNELS];
    for (int c = 0; c < WSB_CHANNELS; c++)
        fds[c] = (struct pollfd){.fd = f->server->ops->fd(f->server, (enum wsb_channel)c), .events = POLLIN};
    if (!has_work(f))
        (void)poll(fds, WSB_CHANNELS, 1);
}

static uint64_t refused(struct fixture *f, enum wsb_zmtp_why why)
{
    struct wsb_server_stats s;
    wsb_server_stats(f->server, &s);
    return s.refused_by[why];
}

static uint64_t refused_in_all(struct fixture *f)
{
    uint64_t sum = 0;
    for (int i = 0; i < WSB_ZMTP_WHYS; i++)
        sum += refused(f, (enum wsb_zmtp_why)i);
    return sum;
}

static struct wsb_server_stats stats_of(struct fixture *f)
{
    struct wsb_server_stats s;
    wsb_server_stats(f->server, &s);
    return s;
}

/* ---------------------------------------------------------------------- the peers */

static int dial(const struct fixture *f, const char *endpoint)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", f->dir, endpoint);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* source: the last byte of an address of our own */
static int dial_tcp_from(struct fixture *f, enum wsb_channel c, uint8_t source)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + source);
    long port = strtol(strrchr(f->server->ops->endpoint(f->server, c), ':') + 1, NULL, 10);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static int dial_tcp(struct fixture *f, enum wsb_channel c)
{
    return dial_tcp_from(f, c, 1);
}

/* Write what was gathered, while the gate goes round. False: the gate has hung up. */
static bool say(struct fixture *f, int fd)
{
    size_t at = 0;
    while (at < f->out.len) {
        ssize_t n = send(fd, f->out.bytes + at, f->out.len - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            f->out.len = 0;
            return false;
        }
        at += n > 0 ? (size_t)n : 0;
        turn(f);
    }
    f->out.len = 0;
    return true;
}

/* The gate has closed the connection; what it had said is dropped. */
static bool has_hung_up(int fd)
{
    char bytes[4096];
    ssize_t n;
    while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
        ;
    return n == 0 || errno != EAGAIN;
}

static void read_exactly(struct fixture *f, int fd, uint8_t *to, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, to + at, len - at, 0);
        assert_true(n != 0);
        at += n > 0 ? (size_t)n : 0;
        turn(f);
    }
}

static void put_message(struct fixture *f, size_t payload_len)
{
    static uint8_t payload[MAX_MESSAGE];
    const struct wsb_header h = {.type = WSB_LOG, .payload_len = (uint32_t)payload_len};
    uint8_t header[WSB_HEADER_SIZE];
    wsb_header_write(header, &h);
    wire_frame(&f->out, 1, header, sizeof header);
    wire_frame(&f->out, 0, payload, payload_len);
}

static void put_hello(struct fixture *f, const char *type, const char *identity)
{
    wire_greeting(&f->out, 1, "NULL");
    wire_ready(&f->out, type, identity);
}

/* A peer that has proved to be one. */
static int join(struct fixture *f, const char *endpoint, const char *type, const char *identity)
{
    int fd = dial(f, endpoint);
    uint8_t greeting[64], head[2], body[256];
    put_hello(f, type, identity);
    assert_true(say(f, fd));
    read_exactly(f, fd, greeting, sizeof greeting);
    read_exactly(f, fd, head, sizeof head);
    assert_int_equal(head[0], 4);
    read_exactly(f, fd, body, head[1]);
    return fd;
}

/* And one that the gate has heard of; its name is in f->last. */
static int join_handler(struct fixture *f, const char *identity)
{
    int fd = join(f, "handlers", "DEALER", identity);
    uint64_t before = f->heard;
    put_message(f, 0);
    assert_true(say(f, fd));
    TURN_UNTIL(f, f->heard > before);
    return fd;
}

/* ---------------------------------------------------------------- what they break */

#define ZEROS_8  "\0\0\0\0\0\0\0\0"
#define ZEROS_48 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8
#define GREETING "\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL" ZEROS_48
#define DEALER   "\4\x1c\5READY\x0bSocket-Type\0\0\0\6DEALER"
#define SUB      "\4\x19\5READY\x0bSocket-Type\0\0\0\3SUB"
#define PUSH     "\4\x1a\5READY\x0bSocket-Type\0\0\0\4PUSH"
#define HUGE     "\2\x7f\xff\xff\xff\xff\xff\xff\xff"

static void test_each_broken_rule_ends_its_peer_and_is_counted(void **state)
{
    static const struct {
        const char *name, *endpoint, *bytes;
        size_t len;
        enum wsb_zmtp_why why;
    } rows[] = {
#define ROW(endpoint, bytes, why) #why " at " endpoint, endpoint, bytes, sizeof(bytes) - 1, WSB_ZMTP_WHY_##why
        {ROW("handlers", "GET / HTTP/1.1\r\n\r\n", GREETING)},
        {ROW("handlers", "\1\0", VERSION)},
        {ROW("commands", "\xff\0\0\0\0\0\0\0\1\x7f\1\5\0\0", VERSION)},
        {ROW("handlers", "\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE" ZEROS_48, MECHANISM)},
        {ROW("handlers", GREETING "\4\5\4OOPS", COMMAND)},
        {ROW("handlers", GREETING PUSH, SOCKET_TYPE)},
        {ROW("events", GREETING DEALER, SOCKET_TYPE)},
        {ROW("commands", GREETING SUB, SOCKET_TYPE)},
        {ROW("handlers", GREETING DEALER "\x40\0", FRAME)},
        {ROW("handlers", GREETING DEALER HUGE, SIZE)},
        {ROW("commands", GREETING PUSH HUGE, SIZE)},
        {ROW("events", GREETING SUB "\2\0\0\0\0\0\0\2\1", SIZE)},
        {ROW("handlers", GREETING "\6\0\0\0\0\0\1\0\0", SIZE)},
        {ROW("handlers", GREETING DEALER "\4\6\4PING\0", COMMAND)},
    };
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    int other = join_handler(f, NULL);
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t before = refused(f, rows[i].why), all = refused_in_all(f);
        int fd = dial(f, rows[i].endpoint);
        wire_put(&f->out, rows[i].bytes, rows[i].len);
        (void)say(f, fd);
        TURN_UNTIL(f, refused_in_all(f) > all);
        if (refused(f, rows[i].why) != before + 1 || refused_in_all(f) != all + 1)
            fail_msg("%s: counted as something else", rows[i].name);
        TURN_UNTIL(f, has_hung_up(fd));
        close(fd);
    }
    assert_false(has_hung_up(other));
    assert_int_equal(stats_of(f).peers, 1);
    close(other);
}

static void test_hanging_up_anywhere_is_no_refusal(void **state)
{
    static const char stream[] = GREETING DEALER "\1\x20\1";
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    for (size_t cut = 0; cut < sizeof stream; cut++) {
        int fd = dial(f, "handlers");
        wire_put(&f->out, stream, cut);
        (void)say(f, fd);
        close(fd);
        TURN_UNTIL(f, stats_of(f).peers == 0);
    }
    assert_int_equal(refused_in_all(f), 0);
    assert_int_equal(f->heard + f->malformed + f->closed, 0); /* who was never heard is not missed */
}

/* The bytes that ended libzmq: many messages and a PING in one write, and nobody there any more. */
static void test_messages_and_a_ping_and_a_hang_up(void **state)
{
    enum { MESSAGES = 150 };
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    for (int round = 0; round < 10; round++) {
        for (int c = 0; c < 2; c++) {
            uint64_t before = f->heard;
            int fd = dial(f, c ? "commands" : "handlers");
            put_hello(f, c ? "PUSH" : "DEALER", NULL);
            for (int i = 0; i < MESSAGES; i++)
                put_message(f, 40);
            wire_ping(&f->out, 10, "context");
            put_message(f, 40);
            assert_int_equal(send(fd, f->out.bytes, f->out.len, MSG_NOSIGNAL), f->out.len);
            f->out.len = 0;
            close(fd);
            TURN_UNTIL(f, f->heard == before + MESSAGES + 1 && stats_of(f).peers == 0);
        }
    }
    assert_int_equal(f->closed, 10); /* of the handlers the gate is told that they are gone */
    assert_int_equal(refused_in_all(f), 0);
}

/* ------------------------------------------------------------------------- messages */

static void test_what_is_no_envelope_is_malformed_and_harms_nobody(void **state)
{
    struct fixture *f = *state;
    uint8_t part[WSB_HEADER_SIZE] = {0};
    serve(f, (struct wsb_server_options){0});
    int fd = join_handler(f, NULL);
    wire_frame(&f->out, 0, part, sizeof part); /* one part */
    for (int parts = 4; parts <= 64; parts += 20) {
        for (int i = 0; i < parts; i++)
            wire_frame(&f->out, i < parts - 1, part, sizeof part);
    }
    wire_frame(&f->out, 1, "", 0); /* a REQ's empty part in front */
    put_message(f, 3);
    wire_frame(&f->out, 1, "x", 1);
    wire_frame(&f->out, 0, "y", 1);
    put_message(f, 5);
    assert_true(say(f, fd));
    TURN_UNTIL(f, f->bytes_heard == 5);
    assert_int_equal(f->malformed, 1 + 4 + 1 + 1);
    assert_false(has_hung_up(fd));
    for (int i = 0; i < 100; i++)
        wire_frame(&f->out, 1, "x", 1);
    (void)say(f, fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_PARTS) == 1);
    assert_int_equal(f->closed, 1);
    close(fd);
}

static void test_parts_that_are_large_one_by_one_are_too_large_together(void **state)
{
    struct fixture *f = *state;
    static uint8_t part[64 << 10];
    serve(f, (struct wsb_server_options){.max_message = sizeof part});
    int fd = join_handler(f, NULL);
    for (int i = 0; i < 70; i++)
        wire_frame(&f->out, 1, part, sizeof part);
    (void)say(f, fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_SIZE) + refused(f, WSB_ZMTP_WHY_PARTS) == 1);
    close(fd);
    TURN_UNTIL(f, stats_of(f).input_bytes <= WSB_CHUNK); /* what is kept for the next */
}

static void test_a_large_message_comes_whole_and_is_given_back(void **state)
{
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    int fd = join_handler(f, NULL);
    for (size_t size = 1; size <= MAX_MESSAGE; size = size * 3 + 1) {
        uint64_t before = f->bytes_heard;
        put_message(f, size);
        put_message(f, 0);
        assert_true(say(f, fd));
        TURN_UNTIL(f, f->bytes_heard == before + size);
    }
    put_message(f, MAX_MESSAGE);
    f->out.len -= 1000; /* most of it */
    size_t left = f->out.len;
    assert_true(say(f, fd));
    turn(f);
    assert_true(stats_of(f).input_bytes > left && stats_of(f).input_bytes < 3 * left);
    close(fd);
    TURN_UNTIL(f, stats_of(f).input_bytes <= WSB_CHUNK);
}

/* Bytes that arrive are all that is held of an unfinished message, whatever its head claims. */
static void test_what_a_head_claims_is_not_taken(void **state)
{
    enum { PEERS = 50 };
    struct fixture *f = *state;
    int fds[PEERS];
    serve(f, (struct wsb_server_options){0});
    for (int i = 0; i < PEERS; i++) {
        fds[i] = join(f, "commands", "PUSH", NULL);
        wire_put(&f->out, "\2\0\0\0\0\0\x0f\0\0some bytes", 19);
        assert_true(say(f, fds[i]));
    }
    turn(f);
    assert_true(stats_of(f).input_bytes <= WSB_CHUNK + PEERS * 1024);
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    TURN_UNTIL(f, stats_of(f).peers == 0);
}

/* A large message leaves nothing behind it, also when the next one has begun. */
static void test_a_large_message_leaves_no_large_memory(void **state)
{
    enum { BEGUN = 100000 };
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    int fd = join(f, "commands", "PUSH", NULL);
    put_message(f, MAX_MESSAGE);
    size_t whole = f->out.len;
    put_message(f, MAX_MESSAGE);
    f->out.len = whole + BEGUN;
    assert_true(say(f, fd));
    TURN_UNTIL(f, f->heard == 1);
    turn(f);
    assert_true(stats_of(f).input_bytes <= 3 * BEGUN + WSB_CHUNK);
    close(fd);
}

static void test_unfinished_messages_have_a_common_bound(void **state)
{
    enum { MOST = 2 << 20, PEERS = 8, EACH = 512 << 10 };
    struct fixture *f = *state;
    int fds[PEERS];
    serve(f, (struct wsb_server_options){.max_input = MOST});
    int good = join_handler(f, NULL);
    for (int i = 0; i < PEERS; i++) {
        fds[i] = join(f, "commands", "PUSH", NULL);
        put_message(f, MAX_MESSAGE);
        f->out.len = EACH;
        (void)say(f, fds[i]);
        turn(f);
        assert_true(stats_of(f).input_bytes <= MOST);
    }
    assert_true(refused(f, WSB_ZMTP_WHY_MEMORY) > 0);
    assert_true(has_hung_up(fds[0])); /* the oldest made room */
    assert_false(has_hung_up(fds[PEERS - 1]));
    put_message(f, 1000);
    assert_true(say(f, good));
    TURN_UNTIL(f, f->bytes_heard == 1000);
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    close(good);
}

/* Whoever sends little is not ended for those who send much, although it has begun before them. */
static void test_who_holds_the_most_makes_room(void **state)
{
    enum { MOST = 2 << 20, PEERS = 8, EACH = 512 << 10, LITTLE = 100 << 10 };
    struct fixture *f = *state;
    int fds[PEERS];
    serve(f, (struct wsb_server_options){.max_input = MOST});
    int good = join_handler(f, NULL);
    put_message(f, 2 * LITTLE);
    f->out.len = LITTLE;
    assert_true(say(f, good));
    turn(f);
    for (int i = 0; i < PEERS; i++) {
        fds[i] = join(f, "commands", "PUSH", NULL);
        put_message(f, MAX_MESSAGE);
        f->out.len = EACH;
        (void)say(f, fds[i]);
        turn(f);
    }
    assert_true(refused(f, WSB_ZMTP_WHY_MEMORY) > 0);
    assert_false(has_hung_up(good));
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    close(good);
}

/* A message that is being looked at is not given back by the end of its sender, so that one does not end for it. */
static void test_who_is_being_heard_does_not_make_room(void **state)
{
    enum { MOST = 2 << 20, PEERS = 6, EACH = 300 << 10 };
    struct fixture *f = *state;
    struct wsb_inbound in = {0};
    int fds[PEERS];
    serve(f, (struct wsb_server_options){.max_input = MOST});
    int heard = join(f, "handlers", "DEALER", NULL);
    put_message(f, MAX_MESSAGE - 1000);
    for (size_t at = 0; at < f->out.len;) { /* all of it, and none of it is released */
        ssize_t n = send(heard, f->out.bytes + at, f->out.len - at, MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        f->server->ops->on_readable(f->server, WSB_CHANNEL_HANDLERS);
        wsb_err err = f->server->ops->recv(f->server, WSB_CHANNEL_HANDLERS, &in);
        assert_true(err == WSB_AGAIN || at == f->out.len);
        f->server->ops->flush(f->server);
    }
    f->out.len = 0;
    for (int patience = PATIENCE; in.envelope.payload.len == 0 && patience; patience--) {
        f->server->ops->on_readable(f->server, WSB_CHANNEL_HANDLERS);
        (void)!f->server->ops->recv(f->server, WSB_CHANNEL_HANDLERS, &in);
        f->server->ops->flush(f->server);
    }
    assert_int_equal(in.envelope.payload.len, MAX_MESSAGE - 1000);
    for (int i = 0; i < PEERS; i++) {
        fds[i] = dial(f, "commands");
        put_hello(f, "PUSH", NULL);
        put_message(f, MAX_MESSAGE);
        f->out.len = EACH;
        for (size_t at = 0, patience = PATIENCE; at < f->out.len && patience; patience--) {
            ssize_t n = send(fds[i], f->out.bytes + at, f->out.len - at, MSG_NOSIGNAL);
            at += n > 0 ? (size_t)n : 0;
            f->server->ops->on_readable(f->server, WSB_CHANNEL_COMMANDS);
            receive_all(f, WSB_CHANNEL_COMMANDS);
            f->server->ops->flush(f->server);
        }
        f->out.len = 0;
    }
    assert_true(refused(f, WSB_ZMTP_WHY_MEMORY) > 0);
    assert_false(has_hung_up(heard));
    f->server->ops->release(&in);
    close(heard);
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
}

/* One that never stops does not keep another one's message waiting. */
static void test_a_flood_does_not_keep_others_waiting(void **state)
{
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    int flood = join_handler(f, NULL), other = join_handler(f, NULL);
    for (int i = 0; i < 5000; i++)
        put_message(f, 0);
    ssize_t sent = send(flood, f->out.bytes, f->out.len, MSG_NOSIGNAL);
    assert_true(sent > 4000);
    f->out.len = 0;
    put_message(f, 7);
    assert_int_equal(send(other, f->out.bytes, f->out.len, MSG_NOSIGNAL), f->out.len);
    f->out.len = 0;
    f->server->ops->on_readable(f->server, WSB_CHANNEL_HANDLERS);
    uint64_t before = 0;
    for (bool is_there = false; !is_there; before++) {
        struct wsb_inbound in;
        assert_int_equal(f->server->ops->recv(f->server, WSB_CHANNEL_HANDLERS, &in), WSB_OK);
        is_there = in.envelope.payload.len == 7;
        f->server->ops->release(&in);
    }
    assert_true(before <= WSB_ZMTP_TURN_WORK / 2 + 1); /* two frames each */
    close(flood);
    close(other);
}

/* As much of what was gathered as the kernel takes, while the gate does nothing. */
static size_t say_at_once(struct fixture *f, int fd)
{
    size_t at = 0;
    ssize_t n;
    while (at < f->out.len && (n = send(fd, f->out.bytes + at, f->out.len - at, MSG_NOSIGNAL)) > 0)
        at += (size_t)n;
    f->out.len = 0;
    return at;
}

/* What is no message takes turns as well. */
static void test_a_flood_of_commands_does_not_keep_others_waiting(void **state)
{
    enum { FLOODS = 4 };
    struct fixture *f = *state;
    int floods[FLOODS];
    serve(f, (struct wsb_server_options){0});
    for (int i = 0; i < FLOODS; i++)
        floods[i] = join_handler(f, NULL);
    int other = join_handler(f, NULL);
    for (int i = 0; i < FLOODS; i++) {
        while (f->out.len < 1 << 20)
            wire_frame(&f->out, 4, "\1x", 2);
        assert_true(say_at_once(f, floods[i]) > (size_t)4 * 16384); /* more than one round's work */
    }
    put_message(f, 7);
    (void)say_at_once(f, other);
    turn(f);
    assert_int_equal(f->bytes_heard, 7);
    for (int i = 0; i < FLOODS; i++)
        close(floods[i]);
    close(other);
}

/* Parts that never become a message are work too. */
static void test_unfinished_parts_are_work(void **state)
{
    enum { PEERS = 600, PARTS = 60 };
    struct fixture *f = *state;
    static int fds[PEERS];
    serve(f, (struct wsb_server_options){0});
    for (int i = 0; i < PEERS; i++)
        fds[i] = join(f, "commands", "PUSH", NULL);
    for (int i = 0; i < PEERS; i++) {
        for (int k = 0; k < PARTS; k++)
            wire_frame(&f->out, 1, "", 0);
        (void)say_at_once(f, fds[i]);
    }
    size_t parts = 0;
    for (int rounds = 0; parts < (size_t)PEERS * PARTS; rounds++) {
        size_t now = 0;
        turn(f);
        for (const struct wsb_zmtp_conn *c = zmtp(f)->channels[WSB_CHANNEL_COMMANDS].conns; c; c = c->next)
            now += c->peer.part_count;
        assert_true(now - parts <= WSB_ZMTP_ROUND_WORK);
        parts = now;
        assert_true(rounds < PATIENCE);
        wait_a_moment(f);
    }
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
}

/* What is no message costs as well: a round of it has an end. */
static void test_a_flood_of_commands_is_read_in_rounds(void **state)
{
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    int fd = join_handler(f, NULL);
    for (int i = 0; i < WSB_ZMTP_ROUND_WORK + 5000; i++)
        wire_frame(&f->out, 4, "\1x", 2);
    put_message(f, 1);
    ssize_t n;
    for (size_t at = 0; at<f->out.len; at += n> 0 ? (size_t)n : 0) {
        n = send(fd, f->out.bytes + at, f->out.len - at, MSG_NOSIGNAL);
        if (n < 0)
            turn(f);
    }
    f->out.len = 0;
    TURN_UNTIL(f, f->bytes_heard == 1);
    assert_int_equal(refused_in_all(f), 0);
    close(fd);
}

static void test_pings_are_answered_but_not_without_end(void **state)
{
    enum { PINGS = 20000 };
    struct fixture *f = *state;
    uint8_t got[4096];
    serve(f, (struct wsb_server_options){0});
    int fd = join(f, "commands", "PUSH", NULL);
    wire_ping(&f->out, 0, "abc");
    assert_true(say(f, fd));
    ssize_t n = -1;
    TURN_UNTIL(f, (n = recv(fd, got, sizeof got, 0)) > 0);
    assert_int_equal(n, 2 + 8);
    assert_memory_equal(got, "\4\x08\4PONGabc", 10);
    for (int i = 0; i < PINGS; i++)
        wire_ping(&f->out, 0, "0123456789abcdef");
    for (int k = 0; k < 20; k++) { /* and it never reads an answer */
        size_t len = f->out.len;
        assert_true(say(f, fd));
        f->out.len = len;
    }
    f->out.len = 0;
    assert_true(zmtp(f)->channels[WSB_CHANNEL_COMMANDS].conns->out.commands <= WSB_ZMTP_PONGS_MAX);
    assert_false(has_hung_up(fd));
    close(fd);
}

/* ---------------------------------------------------------------------- what is sent */

static wsb_err tell(struct fixture *f, size_t len)
{
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = (uint32_t)len};
    struct wsb_block *b = wsb_block_new(f->account, len);
    memset(b->data, 'x', len);
    b->len = len;
    return f->server->ops->send(f->server, wsb_span(f->last, f->last_len), &h, b, wsb_span(NULL, 0));
}

static void test_who_does_not_read_has_a_bound(void **state)
{
    enum { QUEUE = 1 << 20, EACH = 10000 };
    struct fixture *f = *state;
    wsb_err err;
    size_t sent = 0;
    serve(f, (struct wsb_server_options){.max_queue = QUEUE});
    int fd = join_handler(f, NULL);
    while ((err = tell(f, EACH)) == WSB_OK) {
        turn(f);
        assert_true(++sent < 1000);
    }
    assert_int_equal(err, WSB_AGAIN);
    assert_true(wsb_account_bytes(f->account) >= QUEUE - 2 * EACH && wsb_account_bytes(f->account) <= QUEUE + 2 * EACH);
    assert_false(has_work(f)); /* nothing spins: the kernel tells when there is room */
    size_t got = 0;
    char bytes[65536];
    for (ssize_t n; got<sent * EACH; got += n> 0 ? (size_t)n : 0) { /* now it reads all of it */
        n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0)
            turn(f);
        assert_true(n != 0);
    }
    TURN_UNTIL(f, wsb_account_bytes(f->account) == 0);
    assert_int_equal(tell(f, EACH), WSB_OK);
    close(fd);
    TURN_UNTIL(f, f->closed == 1);
    assert_int_equal(wsb_account_bytes(f->account), 0); /* what it never took is given back at once */
    assert_int_equal(tell(f, 1), WSB_CLOSED);
}

/* To free very much takes long, and others would wait for it. */
static void test_what_a_peer_never_took_is_given_back_in_rounds(void **state)
{
    enum { QUEUE = 64 << 20, EACH = 100000, MOST = WSB_ZMTP_ROUND_WASTE + 2 * EACH };
    struct fixture *f = *state;
    size_t rounds = 0;
    serve(f, (struct wsb_server_options){.max_queue = QUEUE});
    int fd = join_handler(f, NULL);
    while (tell(f, EACH) == WSB_OK)
        turn(f);
    close(fd);
    TURN_UNTIL(f, f->closed == 1);
    for (size_t left = wsb_account_bytes(f->account); left; rounds++) {
        struct pollfd pfd = {.fd = f->server->ops->fd(f->server, WSB_CHANNEL_HANDLERS), .events = POLLIN};
        assert_int_equal(poll(&pfd, 1, PATIENCE), 1); /* it does not wait for anything else to happen */
        turn(f);
        assert_true(wsb_account_bytes(f->account) < left && left - wsb_account_bytes(f->account) <= MOST);
        left = wsb_account_bytes(f->account);
    }
    assert_true(rounds >= QUEUE / MOST - 2);
    turn(f);
    assert_false(has_work(f));
    assert_false(zmtp(f)->is_ticking);
}

/* Whoever comes, takes nothing and leaves again and again makes the gate hold no more than its bound. */
static void test_nobody_comes_in_while_much_is_to_be_freed(void **state)
{
    enum { QUEUE = 16 << 20, EACH = 100000, OTHERS = 3 };
    struct fixture *f = *state;
    int fds[OTHERS];
    serve(f, (struct wsb_server_options){.max_queue = QUEUE});
    for (int i = 0; i < OTHERS; i++) {
        fds[i] = join_handler(f, NULL);
        while (tell(f, EACH) == WSB_OK)
            turn(f);
    }
    for (int i = 0; i < OTHERS; i++)
        close(fds[i]);
    f->server->ops->on_readable(f->server, WSB_CHANNEL_HANDLERS);
    receive_all(f, WSB_CHANNEL_HANDLERS);
    assert_int_equal(f->closed, OTHERS);
    int next = dial(f, "handlers");
    size_t rounds = 0;
    for (; stats_of(f).peers == 0; rounds++) {
        struct pollfd pfd = {.fd = f->server->ops->fd(f->server, WSB_CHANNEL_HANDLERS), .events = POLLIN};
        assert_true(has_work(f) || poll(&pfd, 1, PATIENCE) == 1); /* it goes on by itself */
        size_t held = wsb_account_bytes(f->account);
        turn(f);
        assert_true(stats_of(f).peers == 0 || held <= QUEUE + WSB_ZMTP_ROUND_WASTE);
    }
    assert_in_range(rounds, (OTHERS - 1) * QUEUE / WSB_ZMTP_ROUND_WASTE - 2, OTHERS * QUEUE / WSB_ZMTP_ROUND_WASTE + 2);
    close(next);
}

static void test_a_name_belongs_to_one_peer(void **state)
{
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    int first = join_handler(f, "me");
    assert_int_equal(f->last_len, 3);
    assert_memory_equal(f->last, "\0me", 3);
    int second = dial(f, "handlers");
    put_hello(f, "DEALER", "me");
    (void)say(f, second);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_IDENTITY) == 1);
    TURN_UNTIL(f, has_hung_up(second));
    assert_false(has_hung_up(first));
    close(second);
    close(first);
    TURN_UNTIL(f, f->closed == 1);
    assert_int_equal(f->gone_len, 3);
    assert_memory_equal(f->gone, "\0me", 3);
    int third = join_handler(f, "me"); /* and then another's */
    assert_int_equal(tell(f, 1), WSB_OK);
    close(third);
}

/* Whoever was heard under a name is told as gone before another one is heard under it. */
static void test_the_end_of_a_name_comes_before_its_next_beginning(void **state)
{
    struct fixture *f = *state;
    struct wsb_inbound in;
    serve(f, (struct wsb_server_options){0});
    int first = join_handler(f, "me");
    close(first);
    int second = dial(f, "handlers"); /* both are there before the gate looks */
    put_hello(f, "DEALER", "me");
    put_message(f, 9);
    assert_int_equal(send(second, f->out.bytes, f->out.len, MSG_NOSIGNAL), f->out.len);
    f->out.len = 0;
    f->server->ops->on_readable(f->server, WSB_CHANNEL_HANDLERS);
    wsb_err err = f->server->ops->recv(f->server, WSB_CHANNEL_HANDLERS, &in);
    assert_int_equal(err, WSB_CLOSED);
    f->server->ops->release(&in);
    close(second);
}

static void test_an_id_that_is_too_long_is_refused(void **state)
{
    struct fixture *f = *state;
    char identity[256];
    memset(identity, 'i', sizeof identity - 1);
    identity[sizeof identity - 1] = 0;
    serve(f, (struct wsb_server_options){0});
    int fd = dial(f, "handlers");
    put_hello(f, "DEALER", identity); /* 255 bytes */
    (void)say(f, fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_IDENTITY) == 1);
    TURN_UNTIL(f, has_hung_up(fd));
    identity[254] = 0;
    int other = join_handler(f, identity);
    assert_int_equal(f->last_len, 255);
    assert_int_equal(f->heard, 1);
    close(fd);
    close(other);
}

/* --------------------------------------------------------------------- subscriptions */

static void put_subscribe(struct fixture *f, const char *prefix)
{
    uint8_t body[200] = "\x09SUBSCRIBE";
    memcpy(body + 10, prefix, strlen(prefix));
    wire_frame(&f->out, 4, body, 10 + strlen(prefix));
}

static size_t publish(struct fixture *f, const char *topic, size_t len)
{
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = (uint32_t)len};
    struct wsb_block *b = wsb_block_new(f->account, len);
    memset(b->data, 'p', len);
    b->len = len;
    return f->server->ops->publish(f->server, topic, &h, b, wsb_span(NULL, 0));
}

/* All frames of one copy of a topic and a payload, as they arrive. */
static void expect_copy(struct fixture *f, int fd, const char *topic, size_t len)
{
    uint8_t got[4096];
    size_t want = 2 + strlen(topic) + 2 + WSB_HEADER_SIZE + 2 + len, at = 0;
    while (at < want) {
        ssize_t n = recv(fd, got + at, want - at, 0);
        assert_true(n != 0);
        at += n > 0 ? (size_t)n : 0;
        turn(f);
    }
    assert_int_equal(got[0], 1);
    assert_int_equal(got[1], strlen(topic));
    assert_memory_equal(got + 2, topic, strlen(topic));
    assert_int_equal(got[want - 1], 'p');
}

static void test_subscribers_of_both_versions(void **state)
{
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    int new = join(f, "events", "SUB", NULL);
    int old = dial(f, "events");
    wire_greeting(&f->out, 0, "NULL");
    wire_ready(&f->out, "SUB", NULL);
    wire_frame(&f->out, 0, "\1chat ", 6);
    assert_true(say(f, old));
    put_subscribe(f, "chat d");
    assert_true(say(f, new));
    TURN_UNTIL(f, stats_of(f).subscriptions == 2);
    (void)has_hung_up(new); /* takes what was said in the handshake */
    (void)has_hung_up(old);
    assert_true(f->server->ops->is_wanted(f->server, "chat open"));
    assert_false(f->server->ops->is_wanted(f->server, "echo open"));
    assert_int_equal(publish(f, "chat open", 3), 0);
    assert_int_equal(publish(f, "chat data", 4), 0);
    assert_int_equal(publish(f, "echo data", 5), 0);
    turn(f);
    expect_copy(f, old, "chat open", 3);
    expect_copy(f, old, "chat data", 4);
    expect_copy(f, new, "chat data", 4);
    wire_frame(&f->out, 0, "\0chat ", 6);
    assert_true(say(f, old));
    TURN_UNTIL(f, stats_of(f).subscriptions == 1);
    close(new);
    TURN_UNTIL(f, stats_of(f).subscriptions == 0);
    assert_false(f->server->ops->is_wanted(f->server, "chat data"));
    close(old);
    assert_int_equal(f->malformed, 0);
}

static void test_a_subscriber_that_does_not_read_misses_copies(void **state)
{
    struct fixture *f = *state;
    int missed = 0;
    serve(f, (struct wsb_server_options){0});
    int slow = join(f, "events", "SUB", NULL), quick = join(f, "events", "SUB", NULL);
    put_subscribe(f, "");
    assert_true(say(f, slow));
    put_subscribe(f, "");
    assert_true(say(f, quick));
    TURN_UNTIL(f, stats_of(f).subscriptions == 2);
    (void)has_hung_up(quick);
    for (int i = 0; i < 3000; i++) {
        missed += (int)publish(f, "r data", 100);
        turn(f);
        expect_copy(f, quick, "r data", 100); /* the other one misses nothing */
    }
    assert_true(missed > 500 && missed < 2500);
    for (int i = 0; i < 3000; i++) { /* large ones: by bytes */
        (void)publish(f, "r data", 60000);
        turn(f);
        (void)has_hung_up(quick);
    }
    assert_true(wsb_account_bytes(f->account) < (size_t)3 * WSB_ZMTP_COPIES_BYTES);
    close(slow);
    close(quick);
}

static void test_each_missed_copy_is_told(void **state)
{
    enum { STUCK = 3, COPIES = WSB_ZMTP_COPIES_MAX + 3000 };
    struct fixture *f = *state;
    int fds[STUCK];
    size_t missed = 0;
    serve(f, (struct wsb_server_options){0});
    for (int i = 0; i < STUCK; i++) {
        fds[i] = join(f, "events", "SUB", NULL);
        put_subscribe(f, "");
        assert_true(say(f, fds[i]));
    }
    TURN_UNTIL(f, stats_of(f).subscriptions == STUCK);
    for (int i = 0; i < COPIES; i++) {
        missed = publish(f, "r data", 1000);
        assert_true(missed <= STUCK);
        turn(f);
    }
    assert_int_equal(missed, STUCK); /* of the last one all of them */
    for (int i = 0; i < STUCK; i++)
        close(fds[i]);
}

/* However many do not read, and whenever each has stopped, the others are told. */
static void test_subscribers_that_do_not_read_leave_room_for_others(void **state)
{
    enum { STUCK = 12, MOST = 2 << 20 };
    struct fixture *f = *state;
    int stuck[STUCK];
    serve(f, (struct wsb_server_options){.max_copies = MOST});
    int quick = join(f, "events", "SUB", NULL);
    put_subscribe(f, "r ");
    assert_true(say(f, quick));
    for (int i = 0; i < STUCK; i++) {
        uint64_t before = stats_of(f).subscriptions;
        stuck[i] = join(f, "events", "SUB", NULL);
        put_subscribe(f, "");
        assert_true(say(f, stuck[i]));
        TURN_UNTIL(f, stats_of(f).subscriptions > before);
        for (int k = 0; k < 60; k++) {
            (void)publish(f, "big data", 60000); /* not for the quick one */
            (void)publish(f, "r data", 100);
            turn(f);
            expect_copy(f, quick, "r data", 100);
        }
        assert_true(wsb_account_bytes(f->account) <= (size_t)MOST + STUCK * WSB_ZMTP_COPIES_SURE);
    }
    for (int i = 0; i < STUCK; i++)
        close(stuck[i]);
    TURN_UNTIL(f, wsb_account_bytes(f->account) == 0 && zmtp(f)->copies_own == 0);
    close(quick);
}

/* What they held is in memory until it is freed, in rounds; so others do not get it as well. */
static void test_subscribers_that_left_hold_what_is_not_freed(void **state)
{
    enum { STUCK = 3, COPIES = 400, LEN = 60000 };
    struct fixture *f = *state;
    int stuck[STUCK];
    serve(f, (struct wsb_server_options){0});
    for (int i = 0; i < STUCK; i++) {
        stuck[i] = join(f, "events", "SUB", NULL);
        put_subscribe(f, "");
        assert_true(say(f, stuck[i]));
    }
    TURN_UNTIL(f, stats_of(f).subscriptions == STUCK);
    for (int i = 0; i < COPIES; i++) {
        (void)publish(f, "r data", LEN);
        turn(f);
    }
    size_t before = zmtp(f)->copies_own;
    assert_true(before > 0);
    for (int i = 0; i < STUCK; i++)
        close(stuck[i]);
    size_t rounds = 0;
    do {
        turn(f);
        rounds++;
        size_t held = zmtp(f)->copies_own;
        assert_true((held != 0) == (wsb_account_bytes(f->account) != 0));
        assert_true(held < before);
        before = held;
    } while (before);
    assert_true(rounds > STUCK);
}

static void test_a_flood_of_subscriptions_is_cut_off(void **state)
{
    struct fixture *f = *state;
    char prefix[32];
    serve(f, (struct wsb_server_options){0});
    int fd = join(f, "events", "XSUB", NULL), other = join(f, "events", "SUB", NULL);
    put_subscribe(f, "mine");
    assert_true(say(f, other));
    for (int i = 0; i <= WSB_SUBSCRIPTIONS_EACH; i++) {
        (void)snprintf(prefix, sizeof prefix, "topic %d", i);
        put_subscribe(f, prefix);
    }
    (void)say(f, fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_SUBSCRIPTIONS) == 1);
    TURN_UNTIL(f, stats_of(f).subscriptions == 1);
    assert_false(has_hung_up(other));
    close(fd);
    close(other);
}

/* ------------------------------------------------------------ room, time, descriptors */

static void test_the_oldest_in_its_handshake_makes_room(void **state)
{
    enum { PEERS = 8 };
    struct fixture *f = *state;
    int silent[PEERS], good[PEERS];
    serve(f, (struct wsb_server_options){.max_peers = PEERS});
    for (int i = 0; i < PEERS; i++) {
        silent[i] = dial(f, "handlers");
        TURN_UNTIL(f, stats_of(f).peers == (uint64_t)i + 1);
    }
    for (int i = 0; i < PEERS; i++) {
        good[i] = dial(f, "handlers");
        put_hello(f, "DEALER", NULL);
        assert_true(say(f, good[i]));
        TURN_UNTIL(f, has_hung_up(silent[i])); /* one after the other */
        assert_int_equal(refused(f, WSB_ZMTP_WHY_ROOM), i + 1);
        assert_int_equal(stats_of(f).peers, PEERS);
    }
    TURN_UNTIL(f, stats_of(f).unproven == 0);
    int late = dial(f, "handlers");
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_PEERS) == 1);
    TURN_UNTIL(f, has_hung_up(late));
    close(good[0]);
    TURN_UNTIL(f, stats_of(f).peers == PEERS - 1);
    close(join_handler(f, NULL)); /* a place is free again */
    close(late);
    for (int i = 0; i < PEERS; i++) {
        close(silent[i]);
        close(good[i]);
    }
}

static size_t place_of(const struct wsb_seed *seed, uint64_t origin)
{
    return wsb_siphash(seed, wsb_span(&origin, sizeof origin)) % WSB_ZMTP_ORIGINS;
}

/* None of the three who connect falls together with another one. */
static struct wsb_seed seed_that_keeps_apart(void)
{
    struct wsb_seed seed = {0};
    size_t a, b, c;
    do {
        seed.k0++;
        a = place_of(&seed, htonl(INADDR_LOOPBACK + 1));
        b = place_of(&seed, htonl(INADDR_LOOPBACK + 2));
        c = place_of(&seed, getuid());
    } while (a == b || b == c || a == c);
    return seed;
}

/* Whoever connects very often makes room for himself, and pushes out nobody who comes from elsewhere. */
static void test_many_from_one_place_push_out_no_others(void **state)
{
    enum { PEERS = 16, MANY = 100 };
    struct fixture *f = *state;
    int fds[MANY];
    serve(f, (struct wsb_server_options){.max_peers = PEERS, .tcp = {"tcp://127.0.0.1:*"}});
    zmtp(f)->seed = seed_that_keeps_apart();
    int remote = dial_tcp_from(f, WSB_CHANNEL_HANDLERS, 2), local = dial(f, "handlers");
    TURN_UNTIL(f, stats_of(f).unproven == 2);
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial_tcp_from(f, WSB_CHANNEL_HANDLERS, 3);
        turn(f);
    }
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_ROOM) == MANY - (PEERS - 2));
    put_hello(f, "DEALER", NULL);
    assert_true(say(f, remote));
    put_hello(f, "DEALER", NULL);
    assert_true(say(f, local));
    TURN_UNTIL(f, stats_of(f).unproven == PEERS - 2);
    assert_false(has_hung_up(remote) || has_hung_up(local));
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    close(remote);
    close(local);
}

static void test_a_handshake_has_its_time(void **state)
{
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){.handshake_ms = 300});
    int silent = dial(f, "handlers"), half = dial(f, "commands");
    put_hello(f, "PUSH", NULL);
    f->out.len -= 1;
    assert_true(say(f, half));
    int good = join(f, "events", "SUB", NULL);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_TIME) == 2);
    TURN_UNTIL(f, has_hung_up(silent) && has_hung_up(half));
    assert_false(has_hung_up(good));
    close(silent);
    close(half);
    close(good);
}

/* However many end at the same time, each has a price. */
static void test_many_end_in_rounds(void **state)
{
    enum { MANY = 600, MOST = WSB_ZMTP_ROUND_WORK / WSB_CONN_END_WORK };
    struct fixture *f = *state;
    static int fds[MANY];
    serve(f, (struct wsb_server_options){0});
    for (int i = 0; i < MANY; i++) {
        fds[i] = dial(f, "commands");
        turn(f);
    }
    TURN_UNTIL(f, stats_of(f).unproven == MANY);
    for (int i = 0; i < MANY / 2; i++)
        close(fds[i]);
    for (uint64_t left = MANY; left > MANY / 2; wait_a_moment(f)) { /* they hang up */
        turn(f);
        assert_true(left - stats_of(f).peers <= MOST + 1);
        left = stats_of(f).peers;
    }
    for (struct wsb_zmtp_conn *c = zmtp(f)->channels[WSB_CHANNEL_COMMANDS].conns; c; c = c->next)
        c->since_ms -= WSB_ZMTP_HANDSHAKE_MS;
    for (uint64_t before = 0; before < MANY / 2; wait_a_moment(f)) { /* their time is over */
        turn(f);
        assert_true(refused(f, WSB_ZMTP_WHY_TIME) - before <= WSB_ZMTP_ROUND_EXPIRED);
        before = refused(f, WSB_ZMTP_WHY_TIME);
    }
    for (int i = MANY / 2; i < MANY; i++)
        close(fds[i]);
}

static void test_silence_ends_who_has_asked_for_it(void **state)
{
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    int silent = join_handler(f, NULL), good = join(f, "commands", "PUSH", NULL);
    wire_ping(&f->out, 3, ""); /* 300 ms */
    assert_true(say(f, silent));
    wire_ping(&f->out, 0, "");
    assert_true(say(f, good));
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_SILENCE) == 1);
    assert_int_equal(f->closed, 1);
    assert_false(has_hung_up(good));
    close(silent);
    close(good);
}

/* As if so much time had passed since anybody was heard. */
static void let_time_pass(struct fixture *f, uint64_t ms)
{
    for (int c = 0; c < WSB_CHANNELS; c++) {
        for (struct wsb_zmtp_conn *conn = zmtp(f)->channels[c].conns; conn; conn = conn->next)
            conn->heard_ms -= ms;
    }
}

/* Time in which the gate did not run did not pass for peers either: whoever was stopped with it could not say anything. */
static void test_time_that_the_gate_missed_is_no_silence(void **state)
{
    enum { GAP = 8000 };
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    int fd = join_handler(f, NULL);
    wire_ping(&f->out, 20, ""); /* two seconds */
    assert_true(say(f, fd));
    TURN_UNTIL(f, zmtp(f)->ttl_count == 1);
    let_time_pass(f, GAP);
    zmtp(f)->ticked_ms -= GAP;
    uint64_t before = zmtp(f)->ticked_ms;
    TURN_UNTIL(f, zmtp(f)->ticked_ms > before); /* a tick */
    assert_int_equal(refused(f, WSB_ZMTP_WHY_SILENCE), 0);
    let_time_pass(f, GAP); /* and this is its own */
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_SILENCE) == 1);
    close(fd);
}

static void test_heartbeats_that_the_gate_missed_are_not_missing(void **state)
{
    enum { GAP = 8000, NOW = 1000000 };
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    f->is_watched = true;
    f->heartbeat_ms = 1000;
    int fd = join_handler(f, NULL);
    const struct wsb_span peer = wsb_span(f->last, f->last_len);
    assert_false(f->server->ops->is_stalled(f->server, peer, NOW));
    let_time_pass(f, GAP);
    assert_false(f->server->ops->is_stalled(f->server, peer, NOW - GAP)); /* the hub's clock has left it out */
    let_time_pass(f, GAP);
    assert_true(f->server->ops->is_stalled(f->server, peer, NOW - GAP));
    close(fd);
}

/* The gate had nothing to do for a while, and now it begins to tick: nothing was missed. */
static void test_a_tick_that_begins_late_has_missed_nothing(void **state)
{
    enum { IDLE = 8000 };
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    f->is_watched = true;
    f->heartbeat_ms = 1000;
    int silent = join_handler(f, "silent");
    f->is_watched = false;
    int leaving = join_handler(f, "leaving");
    let_time_pass(f, IDLE);
    zmtp(f)->now_ms -= IDLE;
    zmtp(f)->ticked_ms -= IDLE;
    assert_false(zmtp(f)->is_ticking);
    close(leaving);
    for (int i = 0; i < 10; i++) /* more than is freed in a round, found out by writing */
        assert_int_equal(tell(f, MAX_MESSAGE), WSB_OK);
    f->server->ops->flush(f->server);
    assert_true(zmtp(f)->is_ticking);
    uint64_t before = zmtp(f)->ticked_ms;
    TURN_UNTIL(f, zmtp(f)->ticked_ms > before || !zmtp(f)->is_ticking);
    assert_true(f->server->ops->is_stalled(f->server, wsb_span("\0silent", 7), 1000000));
    close(silent);
}

static void limit_descriptors(rlim_t most)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &l), 0);
    l.rlim_cur = most;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &l), 0);
}

/* No descriptor is left: nobody ends, nothing spins, and those who wait come in when there is one. */
static void test_without_descriptors_peers_wait(void **state)
{
    struct fixture *f = *state;
    struct rlimit before;
    serve(f, (struct wsb_server_options){0});
    int other = join_handler(f, NULL), waiting = dial(f, "handlers");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    put_hello(f, "DEALER", NULL);
    put_message(f, 11);
    assert_int_equal(send(waiting, f->out.bytes, f->out.len, MSG_NOSIGNAL), f->out.len);
    f->out.len = 0;
    int next = dup(0);
    close(next);
    limit_descriptors((rlim_t)next);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_DESCRIPTORS) == 1);
    assert_false(has_work(f));
    for (int i = 0; i < 100; i++)
        turn(f);
    assert_true(refused(f, WSB_ZMTP_WHY_DESCRIPTORS) <= 2); /* once a tick at most, not once a round */
    put_message(f, 13);
    assert_true(say(f, other)); /* who is in goes on */
    TURN_UNTIL(f, f->bytes_heard == 13);
    limit_descriptors(before.rlim_cur);
    TURN_UNTIL(f, f->bytes_heard == 13 + 11);
    close(other);
    close(waiting);
}

/* The linker sends unlink here (--wrap): somebody must still listen behind the name, or it may be the next gate's already. */
int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

static int names_removed, names_lost;

int __wrap_unlink(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    names_removed++;
    names_lost += connect(fd, (const struct sockaddr *)&a, sizeof a) != 0;
    close(fd);
    return __real_unlink(path);
}

/* Many who come by one door do not keep out who comes by the other. */
static void test_each_door_lets_in_some(void **state)
{
    enum { MANY = 3 * WSB_ZMTP_ROUND_ACCEPTS };
    struct fixture *f = *state;
    int fds[MANY];
    serve(f, (struct wsb_server_options){.tcp = {"tcp://127.0.0.1:*"}});
    turn(f);
    for (int i = 0; i < MANY; i++)
        fds[i] = dial(f, "handlers");
    int other = dial_tcp(f, WSB_CHANNEL_HANDLERS);
    turn(f);
    bool is_in = false;
    for (const struct wsb_zmtp_conn *c = zmtp(f)->channels[WSB_CHANNEL_HANDLERS].conns; c; c = c->next)
        is_in = is_in || strcmp(c->address, "127.0.0.1") == 0;
    assert_true(is_in);
    assert_true(stats_of(f).peers <= 2 * WSB_ZMTP_ROUND_ACCEPTS);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    close(other);
}

static void test_names_go_before_their_sockets(void **state)
{
    struct fixture *f = *state;
    serve(f, (struct wsb_server_options){0});
    names_removed = names_lost = 0;
    f->server->ops->close(f->server);
    f->server = NULL;
    assert_int_equal(names_removed, WSB_CHANNELS);
    assert_int_equal(names_lost, 0);
}

/* ----------------------------------------------------------------------- processes */

/* A handler whose child holds its socket: the handler's end counts. */
static void test_a_process_that_ends_while_its_child_holds_the_socket(void **state)
{
    struct fixture *f = *state;
    int to_child[2], from_child[2];
    pid_t grandchild = 0;
    serve(f, (struct wsb_server_options){0});
    assert_int_equal(pipe(to_child), 0);
    assert_int_equal(pipe(from_child), 0);
    pid_t child = fork();
    if (child == 0) {
        f->out.len = 0;
        int fd = dial(f, "handlers");
        put_hello(f, "DEALER", NULL);
        put_message(f, 21);
        if (send(fd, f->out.bytes, f->out.len, MSG_NOSIGNAL) < 0)
            _exit(1);
        pid_t own = fork(); /* it holds everything, and does nothing */
        if (own == 0) {
            close(from_child[1]);
            for (;;)
                (void)pause();
        }
        if (write(from_child[1], &own, sizeof own) != sizeof own)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(from_child[0], &grandchild, sizeof grandchild), sizeof grandchild);
    f->is_watched = true;
    TURN_UNTIL(f, f->bytes_heard == 21);
    assert_int_equal(f->closed, 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    TURN_UNTIL(f, f->closed == 1); /* and not by asking: nobody has */
    assert_int_equal(tell(f, 1), WSB_CLOSED);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(kill(grandchild, SIGKILL), 0);
    for (int i = 0; i < 2; i++) {
        close(to_child[i]);
        close(from_child[i]);
    }
}

/* --------------------------------------------------------------------------- keys */

/* The linker sends getrandom here (--wrap). */
ssize_t __real_getrandom(void *to, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags);

static bool is_without_random;

ssize_t __wrap_getrandom(void *to, size_t len, unsigned flags)
{
    return is_without_random ? -1 : __real_getrandom(to, len, flags);
}

struct guarded {
    struct wsb_curve curve;
    struct curve_client client;
    uint8_t server_key[CURVE_KEY];
    int fd;
};

static void serve_keys(struct fixture *f, struct guarded *g, const char *routes, struct wsb_server_options o)
{
    uint8_t secret[CURVE_KEY], public[CURVE_KEY], ignored[CURVE_KEY];
    char list[200] = "", key[WSB_KEY_TEXT];
    assert_true(sodium_init() >= 0);
    *g = (struct guarded){0};
    curve_pair(1, g->server_key, secret);
    wsb_z85_encode(wsb_span(g->server_key, CURVE_KEY), g->curve.pair.public_key);
    wsb_z85_encode(wsb_span(secret, CURVE_KEY), g->curve.pair.secret_key);
    for (uint8_t seed = 2; seed <= 3; seed++) { /* two who may come in */
        curve_pair(seed, public, ignored);
        wsb_z85_encode(wsb_span(public, CURVE_KEY), key);
        size_t at = strlen(list);
        (void)snprintf(list + at, sizeof list - at, "%s %s\n", key, routes);
    }
    assert_int_equal(wsb_key_list_parse(&g->curve.clients, wsb_span_str(list), NULL), WSB_OK);
    o.curve = &g->curve;
    for (int c = 0; c < WSB_CHANNELS; c++)
        o.tcp[c] = "tcp://127.0.0.1:*";
    serve(f, o);
}

static void serve_with_keys(struct fixture *f, struct guarded *g)
{
    serve_keys(f, g, "chat", (struct wsb_server_options){0}); /* limited to one route */
}

/* As far as INITIATE, which is in f->out and not said yet. */
static void begin_handshake(struct fixture *f, struct guarded *g, enum wsb_channel c, uint8_t seed, const char *type)
{
    uint8_t body[600], metadata[100], frame[2 + WSB_CURVEZMQ_WELCOME], greeting[64];
    curve_client_init(&g->client, seed, g->server_key);
    g->fd = dial_tcp(f, c);
    wire_greeting(&f->out, 1, "CURVE");
    wire_frame(&f->out, 4, body, curve_hello(&g->client, body));
    assert_true(say(f, g->fd));
    read_exactly(f, g->fd, greeting, sizeof greeting);
    read_exactly(f, g->fd, frame, sizeof frame);
    curve_take_welcome(&g->client, frame + 2, WSB_CURVEZMQ_WELCOME);
    wire_frame(&f->out, 4, body, curve_initiate(&g->client, metadata, wire_metadata(metadata, type, NULL), body));
}

static void finish_handshake(struct fixture *f, struct guarded *g)
{
    uint8_t head[2], body[256], metadata[256];
    assert_true(say(f, g->fd));
    read_exactly(f, g->fd, head, sizeof head);
    read_exactly(f, g->fd, body, head[1]);
    (void)curve_take_ready(&g->client, body, head[1], metadata);
}

static int join_with_key(struct fixture *f, struct guarded *g, enum wsb_channel c, uint8_t seed, const char *type)
{
    begin_handshake(f, g, c, seed, type);
    finish_handshake(f, g);
    return g->fd;
}

static void put_sealed(struct fixture *f, struct guarded *g, uint8_t flags, const void *data, size_t len)
{
    uint8_t body[2000];
    wire_frame(&f->out, 0, body, curve_message(&g->client, flags, data, len, body));
}

static void put_sealed_message(struct fixture *f, struct guarded *g, size_t payload_len)
{
    static const uint8_t payload[1000];
    const struct wsb_header h = {.type = WSB_LOG, .payload_len = (uint32_t)payload_len};
    uint8_t header[WSB_HEADER_SIZE];
    wsb_header_write(header, &h);
    put_sealed(f, g, 1, header, sizeof header);
    put_sealed(f, g, 0, payload, payload_len);
}

static void test_keys_and_the_bytes_that_ended_libzmq(void **state)
{
    static const enum wsb_channel channels[] = {WSB_CHANNEL_HANDLERS, WSB_CHANNEL_COMMANDS};
    struct fixture *f = *state;
    struct guarded g;
    serve_with_keys(f, &g);
    for (size_t i = 0; i < COUNT(channels); i++) {
        uint64_t before = f->heard;
        begin_handshake(f, &g, channels[i], 2, i ? "PUSH" : "DEALER");
        finish_handshake(f, &g);
        for (int k = 0; k < 150; k++)
            put_sealed_message(f, &g, 10);
        put_sealed(f, &g, 2,
                   "\4PING\0\xa"
                   "ctx",
                   10);
        assert_int_equal(send(g.fd, f->out.bytes, f->out.len, MSG_NOSIGNAL), f->out.len);
        f->out.len = 0;
        close(g.fd);
        TURN_UNTIL(f, f->heard == before + 150 && stats_of(f).peers == 0);
    }
    assert_int_equal(stats_of(f).keys_allowed, 2);
    assert_int_equal(refused_in_all(f), 0);
    wsb_curve_deinit(&g.curve);
}

/* A cookie that everybody could open would hold the session's secret key. */
static void test_without_random_numbers_there_are_no_cookies(void **state)
{
    struct fixture *f = *state;
    struct guarded g;
    serve_with_keys(f, &g);
    is_without_random = true;
    int fd = dial_tcp(f, WSB_CHANNEL_HANDLERS);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_MEMORY) == 1);
    is_without_random = false;
    close(fd);
    close(join_with_key(f, &g, WSB_CHANNEL_HANDLERS, 2, "DEALER"));
    wsb_curve_deinit(&g.curve);
}

static void test_keys_that_are_refused(void **state)
{
    struct fixture *f = *state;
    struct guarded g;
    serve_with_keys(f, &g);
    begin_handshake(f, &g, WSB_CHANNEL_HANDLERS, 77, "DEALER"); /* not listed */
    (void)say(f, g.fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_KEY) == 1);
    TURN_UNTIL(f, has_hung_up(g.fd));
    close(g.fd);
    begin_handshake(f, &g, WSB_CHANNEL_EVENTS, 2, "SUB"); /* listed, for one route */
    (void)say(f, g.fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_KEY) == 2);
    close(g.fd);
    assert_int_equal(stats_of(f).keys_refused, 2);
    assert_int_equal(stats_of(f).keys_allowed, 0);
    wsb_curve_deinit(&g.curve);
}

static void test_wrong_boxes_and_what_is_replayed(void **state)
{
    struct fixture *f = *state;
    struct guarded g;
    uint8_t recorded[600];
    serve_with_keys(f, &g);

    begin_handshake(f, &g, WSB_CHANNEL_HANDLERS, 2, "DEALER");
    size_t recorded_len = f->out.len;
    memcpy(recorded, f->out.bytes, recorded_len); /* INITIATE */
    finish_handshake(f, &g);
    put_sealed_message(f, &g, 5);
    size_t len = f->out.len;
    assert_true(say(f, g.fd));
    TURN_UNTIL(f, f->heard == 1);
    f->out.len = len; /* the same boxes again */
    (void)say(f, g.fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_NONCE) == 1);
    assert_int_equal(f->heard, 1);
    assert_int_equal(f->closed, 1);
    close(g.fd);

    begin_handshake(f, &g, WSB_CHANNEL_HANDLERS, 2, "DEALER"); /* another connection, the INITIATE of the first */
    f->out.len = 0;
    wire_put(&f->out, recorded, recorded_len);
    (void)say(f, g.fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_BOX) == 1);
    close(g.fd);

    begin_handshake(f, &g, WSB_CHANNEL_HANDLERS, 2, "DEALER");
    finish_handshake(f, &g);
    put_sealed_message(f, &g, 5);
    f->out.bytes[f->out.len - 1] ^= 1;
    (void)say(f, g.fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_BOX) == 2);
    assert_int_equal(f->heard, 1);
    close(g.fd);
    wsb_curve_deinit(&g.curve);
}

static bool is_turned_away(struct fixture *f, struct guarded *g, uint8_t seed)
{
    uint64_t before = refused(f, WSB_ZMTP_WHY_PEERS), in = stats_of(f).peers;
    begin_handshake(f, g, WSB_CHANNEL_COMMANDS, seed, "PUSH");
    (void)say(f, g->fd);
    TURN_UNTIL(f, refused(f, WSB_ZMTP_WHY_PEERS) > before);
    close(g->fd);
    return stats_of(f).peers == in;
}

/* A key has as many places as it leaves for others. */
static void test_a_key_does_not_keep_out_others(void **state)
{
    enum { PEERS = 16 };
    struct fixture *f = *state;
    struct guarded g;
    int fds[PEERS], count = 0;
    serve_keys(f, &g, "chat", (struct wsb_server_options){.max_peers = PEERS});
    while (count < PEERS / 2)
        fds[count++] = join_with_key(f, &g, WSB_CHANNEL_COMMANDS, 2, "PUSH");
    assert_true(is_turned_away(f, &g, 2));
    while (count < PEERS / 2 + PEERS / 4)
        fds[count++] = join_with_key(f, &g, WSB_CHANNEL_COMMANDS, 3, "PUSH");
    assert_true(is_turned_away(f, &g, 3));
    while (count < PEERS)
        fds[count++] = join(f, "commands", "PUSH", NULL);
    assert_int_equal(stats_of(f).peers, PEERS);
    close(join_with_key(f, &g, WSB_CHANNEL_HANDLERS, 2, "DEALER")); /* another endpoint has places of its own */
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    TURN_UNTIL(f, stats_of(f).peers == 0);
    close(join_with_key(f, &g, WSB_CHANNEL_COMMANDS, 2, "PUSH"));
    wsb_curve_deinit(&g.curve);
}

/* What many peers with one key hold is that key's. */
static void test_the_key_that_holds_the_most_makes_room(void **state)
{
    enum { MOST = 2 << 20, PEERS = 16, EACH = 200 << 10, LITTLE = 400 << 10 };
    struct fixture *f = *state;
    struct guarded g;
    int fds[PEERS];
    serve_keys(f, &g, "", (struct wsb_server_options){.max_input = MOST});
    int good = join_with_key(f, &g, WSB_CHANNEL_HANDLERS, 2, "DEALER");
    wire_put(&f->out, "\2\0\0\0\0\0\x0f\0\0\7MESSAGE\1", 18);
    f->out.len = LITTLE;
    assert_true(say(f, good));
    turn(f);
    for (int i = 0; i < PEERS; i++) {
        fds[i] = join_with_key(f, &g, WSB_CHANNEL_COMMANDS, 3, "PUSH");
        wire_put(&f->out, "\2\0\0\0\0\0\x0f\0\0\7MESSAGE\1", 18);
        f->out.len = EACH;
        (void)say(f, fds[i]);
        turn(f);
    }
    assert_true(refused(f, WSB_ZMTP_WHY_MEMORY) > 0);
    assert_false(has_hung_up(good));
    close(good);
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    wsb_curve_deinit(&g.curve);
}

/* What is sealed for each is a copy of its own: there is an end of those as well. */
static void test_sealed_copies_have_a_common_bound(void **state)
{
    enum { STUCK = 8, MOST = 1 << 20, LARGE = 900 << 10 };
    struct fixture *f = *state;
    struct guarded g;
    int fds[STUCK], missed = 0;
    serve_keys(f, &g, "", (struct wsb_server_options){.max_copies = MOST});
    for (int i = 0; i < STUCK; i++) {
        uint64_t before = stats_of(f).subscriptions;
        begin_handshake(f, &g, WSB_CHANNEL_EVENTS, 2, "SUB");
        finish_handshake(f, &g);
        put_sealed(f, &g, 2, "\x09SUBSCRIBE", 10);
        assert_true(say(f, g.fd));
        TURN_UNTIL(f, stats_of(f).subscriptions > before);
        fds[i] = g.fd;
    }
    for (int k = 0; k < 20; k++) {
        missed += (int)publish(f, "r data", LARGE);
        for (int i = 0; i < 100; i++)
            turn(f);
        assert_true(wsb_account_bytes(zmtp(f)->sealed) <= (size_t)MOST * WSB_ZMTP_COPIES_OWN);
        assert_true(wsb_account_bytes(f->account) <= MOST);
    }
    assert_true(missed > 0);
    for (int i = 0; i < STUCK; i++)
        close(fds[i]);
    TURN_UNTIL(f, stats_of(f).peers == 0);
    assert_int_equal(wsb_account_bytes(zmtp(f)->sealed), 0);
    wsb_curve_deinit(&g.curve);
}

/* A box costs much more than the few bytes in it. */
static void test_boxes_are_taken_in_rounds(void **state)
{
    enum { PARTS = 60, MOST = WSB_ZMTP_ROUND_WORK / WSB_CONN_BOX_WORK };
    struct fixture *f = *state;
    struct guarded g;
    serve_with_keys(f, &g);
    begin_handshake(f, &g, WSB_CHANNEL_HANDLERS, 2, "DEALER");
    finish_handshake(f, &g);
    while (f->out.len < 4 << 20) {
        for (int i = 0; i < PARTS; i++)
            put_sealed(f, &g, i < PARTS - 1, "", 0);
    }
    size_t sent = say_at_once(f, g.fd) / (33 + 2), boxes = 0;
    assert_true(sent > MOST + 2 * PARTS);
    turn(f);
    for (int rounds = 0; boxes < sent / PARTS * PARTS; rounds++) {
        size_t before = f->malformed;
        turn(f);
        /* one that was begun in the round before, and one that reaches into the next */
        assert_true((f->malformed - before) * PARTS <= MOST + 2 * PARTS);
        boxes = f->malformed * PARTS;
        assert_true(rounds < PATIENCE);
        wait_a_moment(f);
    }
    close(g.fd);
    wsb_curve_deinit(&g.curve);
}

/* Elliptic curves take time: in one round there are only so many of them. */
static void test_handshakes_are_taken_in_rounds(void **state)
{
    enum { PEERS = 3 * WSB_ZMTP_ROUND_HANDSHAKES };
    struct fixture *f = *state;
    struct guarded g;
    struct curve_client clients[PEERS];
    int fds[PEERS];
    serve_with_keys(f, &g);
    for (int i = 0; i < PEERS; i++) {
        uint8_t body[WSB_CURVEZMQ_HELLO];
        curve_client_init(&clients[i], 2, g.server_key);
        fds[i] = dial_tcp(f, WSB_CHANNEL_HANDLERS);
        wire_greeting(&f->out, 1, "CURVE");
        wire_frame(&f->out, 4, body, curve_hello(&clients[i], body));
        assert_int_equal(send(fds[i], f->out.bytes, f->out.len, MSG_NOSIGNAL), f->out.len);
        f->out.len = 0;
    }
    int rounds = 0, welcomed = 0;
    for (; welcomed < PEERS; rounds++) {
        int now = 0;
        turn(f);
        for (const struct wsb_zmtp_conn *c = zmtp(f)->channels[WSB_CHANNEL_HANDLERS].conns; c; c = c->next)
            now += c->peer.state == WSB_ZMTP_INITIATE;
        assert_true(now - welcomed <= WSB_ZMTP_ROUND_HANDSHAKES);
        welcomed = now;
        assert_true(rounds < PATIENCE);
        wait_a_moment(f);
    }
    assert_true(rounds >= PEERS / WSB_ZMTP_ROUND_HANDSHAKES);
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    TURN_UNTIL(f, stats_of(f).peers == 0 && zmtp(f)->curvezmq.cookie_count == 0); /* nobody needs them any more */
    wsb_curve_deinit(&g.curve);
}

/* Whoever waits for a step of its handshake holds little, whatever it has said already. */
static void test_handshakes_hold_little(void **state)
{
    enum { PEERS = 5 * WSB_ZMTP_ROUND_HANDSHAKES, MORE = 50000 };
    struct fixture *f = *state;
    struct guarded g;
    int fds[PEERS];
    serve_with_keys(f, &g);
    for (int i = 0; i < PEERS; i++) {
        uint8_t body[WSB_CURVEZMQ_HELLO];
        curve_client_init(&g.client, 2, g.server_key);
        fds[i] = dial_tcp(f, WSB_CHANNEL_HANDLERS);
        wire_greeting(&f->out, 1, "CURVE");
        wire_frame(&f->out, 4, body, curve_hello(&g.client, body));
        f->out.len += MORE;
        assert_int_equal(say_at_once(f, fds[i]), 64 + 202 + MORE);
    }
    for (int i = 0; i < 3; i++) {
        turn(f);
        assert_true(stats_of(f).input_bytes <= PEERS * 4096 + WSB_CHUNK);
    }
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    wsb_curve_deinit(&g.curve);
}

static void test_false_handshakes_are_taken_in_rounds(void **state)
{
    enum { PEERS = 4 * WSB_ZMTP_ROUND_HANDSHAKES };
    struct fixture *f = *state;
    struct guarded g;
    int fds[PEERS];
    serve_with_keys(f, &g);
    for (int i = 0; i < PEERS; i++) {
        uint8_t body[WSB_CURVEZMQ_HELLO];
        curve_client_init(&g.client, 2, g.server_key);
        fds[i] = dial_tcp(f, WSB_CHANNEL_HANDLERS);
        wire_greeting(&f->out, 1, "CURVE");
        wire_frame(&f->out, 4, body, curve_hello(&g.client, body));
        f->out.bytes[f->out.len - 1] ^= 1;
        (void)say_at_once(f, fds[i]);
    }
    for (int rounds = 0; refused(f, WSB_ZMTP_WHY_BOX) < PEERS; rounds++) {
        uint64_t before = refused(f, WSB_ZMTP_WHY_BOX);
        turn(f);
        assert_true(refused(f, WSB_ZMTP_WHY_BOX) - before <= WSB_ZMTP_ROUND_HANDSHAKES);
        assert_true(rounds < PATIENCE);
        wait_a_moment(f);
    }
    for (int i = 0; i < PEERS; i++)
        close(fds[i]);
    wsb_curve_deinit(&g.curve);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_broken_rule_ends_its_peer_and_is_counted),
        TEST(test_hanging_up_anywhere_is_no_refusal),
        TEST(test_messages_and_a_ping_and_a_hang_up),
        TEST(test_what_is_no_envelope_is_malformed_and_harms_nobody),
        TEST(test_parts_that_are_large_one_by_one_are_too_large_together),
        TEST(test_a_large_message_comes_whole_and_is_given_back),
        TEST(test_what_a_head_claims_is_not_taken),
        TEST(test_a_large_message_leaves_no_large_memory),
        TEST(test_unfinished_messages_have_a_common_bound),
        TEST(test_who_holds_the_most_makes_room),
        TEST(test_who_is_being_heard_does_not_make_room),
        TEST(test_a_flood_does_not_keep_others_waiting),
        TEST(test_a_flood_of_commands_does_not_keep_others_waiting),
        TEST(test_a_flood_of_commands_is_read_in_rounds),
        TEST(test_unfinished_parts_are_work),
        TEST(test_a_key_does_not_keep_out_others),
        TEST(test_the_key_that_holds_the_most_makes_room),
        TEST(test_sealed_copies_have_a_common_bound),
        TEST(test_boxes_are_taken_in_rounds),
        TEST(test_pings_are_answered_but_not_without_end),
        TEST(test_who_does_not_read_has_a_bound),
        TEST(test_what_a_peer_never_took_is_given_back_in_rounds),
        TEST(test_nobody_comes_in_while_much_is_to_be_freed),
        TEST(test_a_name_belongs_to_one_peer),
        TEST(test_the_end_of_a_name_comes_before_its_next_beginning),
        TEST(test_an_id_that_is_too_long_is_refused),
        TEST(test_subscribers_of_both_versions),
        TEST(test_a_subscriber_that_does_not_read_misses_copies),
        TEST(test_each_missed_copy_is_told),
        TEST(test_subscribers_that_do_not_read_leave_room_for_others),
        TEST(test_subscribers_that_left_hold_what_is_not_freed),
        TEST(test_a_flood_of_subscriptions_is_cut_off),
        TEST(test_the_oldest_in_its_handshake_makes_room),
        TEST(test_many_from_one_place_push_out_no_others),
        TEST(test_a_handshake_has_its_time),
        TEST(test_many_end_in_rounds),
        TEST(test_silence_ends_who_has_asked_for_it),
        TEST(test_time_that_the_gate_missed_is_no_silence),
        TEST(test_heartbeats_that_the_gate_missed_are_not_missing),
        TEST(test_a_tick_that_begins_late_has_missed_nothing),
        TEST(test_without_descriptors_peers_wait),
        TEST(test_each_door_lets_in_some),
        TEST(test_names_go_before_their_sockets),
        TEST(test_a_process_that_ends_while_its_child_holds_the_socket),
        TEST(test_keys_and_the_bytes_that_ended_libzmq),
        TEST(test_without_random_numbers_there_are_no_cookies),
        TEST(test_keys_that_are_refused),
        TEST(test_wrong_boxes_and_what_is_replayed),
        TEST(test_handshakes_are_taken_in_rounds),
        TEST(test_handshakes_hold_little),
        TEST(test_false_handshakes_are_taken_in_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
