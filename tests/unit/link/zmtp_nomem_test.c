/*
 * The gate's end over ZeroMQ when memory runs out. The linker sends malloc, calloc and realloc here (--wrap): the first, second, third …
 * allocation of the server fails while peers connect, subscribe, say things and are told things. The peer that it was for may
 * be ended; one that was there before goes on, and nothing leaks.
 */
#include "support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "link/zmtp_server.h"
#include "support/zmtp_wire.h"

enum { ROUNDS = 40, PAYLOAD = 100000 };

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static int allocations_left = -1; /* -1: no limit */
static bool has_failed;

static bool may_allocate(void)
{
    if (allocations_left > 0)
        allocations_left--;
    else if (allocations_left == 0)
        has_failed = true;
    return allocations_left != 0 || !has_failed;
}

/* One fails; those behind it do not. */
static bool is_refused(void)
{
    if (may_allocate())
        return false;
    allocations_left = -1;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return is_refused() ? NULL : __real_realloc(p, size);
}

struct fixture {
    char dir[32];
    struct wsb_server *server;
    struct wsb_account *account;
    uint64_t heard;
    uint8_t name[255];
    size_t name_len;
    uint8_t *buffer;
    struct wire out;
};

static void turn(struct fixture *f)
{
    for (int c = 0; c < WSB_CHANNELS; c++) {
        struct wsb_inbound in;
        wsb_err err;
        f->server->ops->on_readable(f->server, (enum wsb_channel)c);
        while ((err = f->server->ops->recv(f->server, (enum wsb_channel)c, &in)) != WSB_AGAIN) {
            f->heard += err == WSB_OK;
            if (err == WSB_OK && in.peer.len) {
                memcpy(f->name, in.peer.ptr, in.peer.len);
                f->name_len = in.peer.len;
            }
            f->server->ops->release(&in);
        }
    }
    f->server->ops->flush(f->server);
}

static int dial(struct fixture *f, const char *endpoint, const char *type)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", f->dir, endpoint);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    wire_greeting(&f->out, 1, "NULL");
    wire_ready(&f->out, type, NULL);
    return fd;
}

static void put_message(struct fixture *f, size_t len)
{
    static uint8_t payload[PAYLOAD];
    const struct wsb_header h = {.type = WSB_LOG, .payload_len = (uint32_t)len};
    uint8_t header[WSB_HEADER_SIZE];
    wsb_header_write(header, &h);
    wire_frame(&f->out, 1, header, sizeof header);
    wire_frame(&f->out, 0, payload, len);
}

/* As far as the gate takes it: it may have hung up. */
static void say(struct fixture *f, int fd)
{
    int patience = 1000;
    for (size_t at = 0; at < f->out.len && patience > 0;) {
        ssize_t n = send(fd, f->out.bytes + at, f->out.len - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break;
        at += n > 0 ? (size_t)n : 0;
        patience -= n <= 0;
        turn(f);
    }
    f->out.len = 0;
}

static void drain(int fd)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        ;
}

static struct wsb_block *block(struct fixture *f)
{
    int left = allocations_left;
    allocations_left = -1; /* it is the caller's, and is there */
    struct wsb_block *b = wsb_block_new(f->account, 1000);
    allocations_left = left;
    memset(b->data, 'x', 1000);
    b->len = 1000;
    return b;
}

static void tell(struct fixture *f)
{
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = 1000};
    (void)!f->server->ops->send(f->server, wsb_span(f->name, f->name_len), &h, block(f), wsb_span_str("{}"));
}

static void publish(struct fixture *f)
{
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = 1000};
    (void)f->server->ops->publish(f->server, "topic", &h, block(f), wsb_span(NULL, 0));
}

/* What goes on at each endpoint, with everything that takes memory. */
static void live(struct fixture *f, int fail_at)
{
    int handler = dial(f, "handlers", "DEALER");
    allocations_left = fail_at;
    say(f, handler);
    put_message(f, 10);
    put_message(f, PAYLOAD); /* larger than a chunk */
    wire_ping(&f->out, 10, "ctx");
    say(f, handler);
    wire_frame(&f->out, 1, "half", 4);
    say(f, handler);
    int subscriber = dial(f, "events", "SUB");
    wire_frame(&f->out, 4,
               "\x09SUBSCRIBE"
               "top",
               13);
    wire_frame(&f->out, 4, "\x09SUBSCRIBE", 10);
    say(f, subscriber);
    int pusher = dial(f, "commands", "PUSH");
    put_message(f, 10);
    say(f, pusher);
    for (int i = 0; i < 3; i++) {
        tell(f);
        publish(f);
        turn(f);
        drain(handler);
        drain(subscriber);
    }
    allocations_left = -1;
    close(handler);
    close(subscriber);
    close(pusher);
    turn(f);
}

static void test_each_allocation_may_fail(void **state)
{
    struct fixture f = {.dir = "/tmp/wsbus-nomem-XXXXXX"};
    int fail_at = 0, last;
    (void)state;
    assert_true(mkdtemp(f.dir));
    f.buffer = malloc((size_t)3 * PAYLOAD);
    f.out.bytes = f.buffer;
    f.account = wsb_account_new();
    const struct wsb_server_options o = {.dir = f.dir, .mode = 0600, .max_message = 1 << 20};
    assert_int_equal(wsb_zmtp_server_open(&o, &f.server, NULL), WSB_OK);
    int good = dial(&f, "handlers", "DEALER");
    put_message(&f, 1);
    say(&f, good);
    for (int i = 0; f.heard == 0 && i < 1000; i++)
        turn(&f);
    do {
        has_failed = false;
        live(&f, fail_at);
        last = fail_at++;
        uint64_t before = f.heard; /* who was there before is there */
        put_message(&f, 2);
        say(&f, good);
        for (int i = 0; f.heard == before && i < 1000; i++)
            turn(&f);
        assert_int_equal(f.heard, before + 1);
        for (int i = 0; i < ROUNDS; i++)
            turn(&f);
        struct wsb_server_stats s;
        wsb_server_stats(f.server, &s);
        assert_int_equal(s.peers, 1);
        assert_int_equal(s.subscriptions, 0);
        assert_int_equal(wsb_account_bytes(f.account), 0);
    } while (has_failed && last < 500);
    assert_true(last > 15); /* so many there are */
    assert_true(last < 500);
    close(good);
    f.server->ops->close(f.server);
    wsb_account_unref(f.account);
    free(f.buffer);
    assert_int_equal(rmdir(f.dir), 0);
}

static void test_opening_may_fail_at_each_allocation(void **state)
{
    char dir[] = "/tmp/wsbus-nomem-XXXXXX";
    struct wsb_server *server;
    int fail_at = 0;
    (void)state;
    assert_true(mkdtemp(dir));
    const struct wsb_server_options o = {
        .dir = dir, .mode = 0600, .tcp = {"tcp://127.0.0.1:*"}, .max_message = 1 << 20};
    for (;; fail_at++) {
        struct wsb_fault fault = {0};
        has_failed = false;
        allocations_left = fail_at;
        wsb_err err = wsb_zmtp_server_open(&o, &server, &fault);
        allocations_left = -1;
        if (!err)
            break;
        assert_int_equal(err, WSB_ERR_NOMEM);
        assert_true(fault.text[0]);
    }
    assert_false(has_failed);
    assert_true(fail_at >= 2);
    server->ops->close(server);
    assert_int_equal(rmdir(dir), 0);
}

/* An answer that cannot be kept ends the peer that it is for: it would wait in vain. */
static void test_a_ping_without_memory_for_its_answer(void **state)
{
    struct fixture f = {.dir = "/tmp/wsbus-nomem-XXXXXX"};
    struct wsb_server_stats s = {0};
    (void)state;
    assert_true(mkdtemp(f.dir));
    f.buffer = malloc(PAYLOAD);
    f.out.bytes = f.buffer;
    const struct wsb_server_options o = {.dir = f.dir, .mode = 0600, .max_message = 1 << 20};
    assert_int_equal(wsb_zmtp_server_open(&o, &f.server, NULL), WSB_OK);
    int fd = dial(&f, "commands", "PUSH");
    for (uint64_t messages = 1; messages <= 2; messages++) { /* one with its handshake, one behind it */
        put_message(&f, 1);
        say(&f, fd);
        for (int i = 0; f.heard < messages && i < 1000; i++)
            turn(&f);
    }
    wire_ping(&f.out, 10, "ctx");
    has_failed = false;
    allocations_left = 0; /* its bytes go where earlier ones were */
    say(&f, fd);
    for (int i = 0; !has_failed && i < 1000; i++)
        turn(&f);
    allocations_left = -1;
    wsb_server_stats(f.server, &s);
    assert_true(has_failed);
    assert_int_equal(s.refused_by[WSB_ZMTP_WHY_MEMORY], 1);
    assert_int_equal(s.peers, 0);
    close(fd);
    f.server->ops->close(f.server);
    assert_int_equal(rmdir(f.dir), 0);
    free(f.buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening_may_fail_at_each_allocation),
        cmocka_unit_test(test_each_allocation_may_fail),
        cmocka_unit_test(test_a_ping_without_memory_for_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
