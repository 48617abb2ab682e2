/*
 * Connections that fail while one end does not take its messages, and peers that do not run. libzmq ends a process whose heartbeat
 * falls into the first of these, so a handler has no limit at which it stops reading, and the gate sends it no heartbeats.
 */
#include "support/test.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/link.h"

enum {
    MESSAGES = 200 /* more than any queue, less than a socket holds */,
    HEARTBEAT_MS = 20,
    SAID_HEARTBEAT_MS = 500, /* what the gate is told: three of them are a long time on a busy machine too */
    MANY_HEARTBEATS_MS = 30 * HEARTBEAT_MS
};

struct fixture {
    char dir[32];
    struct wsb_server *server;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/wsbus-backlog-XXXXXX");
    assert_true(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static void open_server(struct fixture *f)
{
    const struct wsb_server_options o = {
        .dir = f->dir, .mode = 0600, .tcp = {[WSB_CHANNEL_HANDLERS] = "tcp://127.0.0.1:*"}, .max_message = 1 << 20};
    assert_int_equal(wsb_zmtp_server_open(&o, &f->server, NULL), WSB_OK);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->server)
        f->server->ops->close(f->server);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static struct wsb_client *connect_to(const char *endpoint)
{
    struct wsb_client *c = NULL;
    const struct wsb_client_options o = {.endpoint = endpoint, .max_message = 1 << 20, .heartbeat_ms = HEARTBEAT_MS};
    assert_int_equal(wsb_zmq_client_open(&o, &c, NULL), WSB_OK);
    return c;
}

static void wait_for_input(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    (void)poll(&p, 1, 10); /* edge-triggered: whoever waits asks again */
}

/* The gate's loop goes round once. What it hears is left for whoever receives. */
static void go_round(struct wsb_server *s)
{
    if (!s)
        return;
    s->ops->on_readable(s, WSB_CHANNEL_HANDLERS);
    s->ops->flush(s);
}

/* The next message; false: nothing is there. */
static bool hear(struct wsb_server *s, struct wsb_inbound *ret)
{
    go_round(s);
    wsb_err err = s->ops->recv(s, WSB_CHANNEL_HANDLERS, ret);
    s->ops->flush(s);
    return err == WSB_OK;
}

/* Nothing is heard before the client says anything. */
static void wait_up(struct fixture *f, struct wsb_client *c)
{
    int fds[WSB_CLIENT_FDS];
    struct wsb_inbound in;
    c->ops->fds(c, fds);
    while (c->ops->change(c) != WSB_LINK_UP) {
        assert_true(!f->server || !hear(f->server, &in));
        wait_for_input(fds[1]);
    }
}

static void say(struct wsb_client *c, struct wsb_account *account, uint8_t type, size_t len)
{
    const struct wsb_header h = {.type = type, .payload_len = (uint32_t)len};
    struct wsb_block *b = wsb_block_new(account, len);
    memset(b->data, 0, len);
    b->len = len;
    assert_int_equal(c->ops->send(c, &h, b, wsb_span(NULL, 0)), WSB_OK);
}

/* Some heartbeats' time; what is waited for is that nothing happens. */
static void let_heartbeats_pass(void)
{
    (void)poll(NULL, 0, MANY_HEARTBEATS_MS);
}

static void test_a_handler_that_is_busy_outlives_its_gate(void **state)
{
    struct fixture *f = *state;
    open_server(f);
    struct wsb_account *account = wsb_account_new();
    struct wsb_client *c = connect_to(f->server->ops->endpoint(f->server, WSB_CHANNEL_HANDLERS));
    struct wsb_inbound in;
    wait_up(f, c);
    say(c, account, WSB_HELLO, 0);
    while (!hear(f->server, &in))
        wait_for_input(f->server->ops->fd(f->server, WSB_CHANNEL_HANDLERS));
    for (int i = 0; i < MESSAGES; i++) {
        struct wsb_block *b = wsb_block_new(account, 1000);
        const struct wsb_header h = {.type = WSB_DATA, .code = 1, .conn = 1, .payload_len = 1000};
        memset(b->data, 'x', 1000);
        b->len = 1000;
        assert_int_equal(f->server->ops->send(f->server, in.peer, &h, b, wsb_span(NULL, 0)), WSB_OK);
    }
    f->server->ops->release(&in);
    f->server->ops->flush(f->server);
    while (!c->ops->has_input(c)) {
        int fds[WSB_CLIENT_FDS];
        c->ops->fds(c, fds);
        wait_for_input(fds[0]);
    }
    f->server->ops->close(f->server); /* the gate goes, and the handler has read nothing yet */
    f->server = NULL;
    let_heartbeats_pass();
    while (c->ops->change(c) != WSB_LINK_DOWN) /* it has noticed, and lives */
        let_heartbeats_pass();
    c->ops->close(c);
    wsb_account_unref(account);
}

static void test_a_gate_that_is_busy_outlives_a_handler(void **state)
{
    struct fixture *f = *state;
    open_server(f);
    struct wsb_account *account = wsb_account_new();
    struct wsb_client *c = connect_to(f->server->ops->endpoint(f->server, WSB_CHANNEL_HANDLERS));
    wait_up(f, c);
    for (int i = 0; i < MESSAGES; i++)
        say(c, account, WSB_LOG, 1000);
    let_heartbeats_pass();
    c->ops->close(c); /* it goes, and the gate has read nothing yet */
    let_heartbeats_pass();
    struct wsb_inbound in;
    int count = 0;
    while (hear(f->server, &in)) {
        f->server->ops->release(&in);
        count++;
    }
    assert_int_equal(count, MESSAGES); /* all that it had said is heard */
    wsb_account_unref(account);
}

/* A child that is told where to connect, says one word, and waits. It is there before there are threads. */
static pid_t start_child(int *ret_tell)
{
    int ends[2];
    char endpoint[100] = "";
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    *ret_tell = ends[1];
    if (child) {
        close(ends[0]);
        return child;
    }
    close(ends[1]);
    if (read(ends[0], endpoint, sizeof endpoint - 1) <= 0)
        _exit(0);
    struct wsb_account *account = wsb_account_new();
    struct wsb_client *c = connect_to(endpoint);
    wait_up(&(struct fixture){0}, c);
    say(c, account, WSB_HELLO, 0);
    for (;;)
        (void)pause();
}

static void test_a_stopped_peer_is_seen(void **state)
{
    struct fixture *f = *state;
    int tell[2];
    pid_t children[] = {start_child(&tell[0]), start_child(&tell[1])};
    open_server(f);
    char local[64];
    (void)snprintf(local, sizeof local, "ipc://%s/handlers", f->dir);
    const char *endpoints[] = {local, f->server->ops->endpoint(f->server, WSB_CHANNEL_HANDLERS)};
    for (size_t i = 0; i < COUNT(endpoints); i++) {
        struct wsb_inbound in;
        char peer[256];
        pid_t child = children[i];
        assert_int_equal(write(tell[i], endpoints[i], strlen(endpoints[i])), strlen(endpoints[i]));
        close(tell[i]);
        while (!hear(f->server, &in))
            wait_for_input(f->server->ops->fd(f->server, WSB_CHANNEL_HANDLERS));
        struct wsb_span id = wsb_span(peer, in.peer.len);
        memcpy(peer, in.peer.ptr, in.peer.len);
        f->server->ops->watch(f->server, &in, SAID_HEARTBEAT_MS);
        f->server->ops->release(&in);
        uint64_t now_ms = 1;
        for (int k = 0; k < 10; k++) { /* it runs */
            assert_false(f->server->ops->is_stalled(f->server, id, now_ms));
            now_ms += 1000;
        }
        assert_int_equal(kill(child, SIGSTOP), 0);
        assert_int_equal(waitpid(child, NULL, WUNTRACED), child);
        assert_false(f->server->ops->is_stalled(f->server, id, now_ms) && i == 0); /* once is not enough */
        assert_false(hear(f->server, &in));                                        /* what it had said before */
        while (!f->server->ops->is_stalled(f->server, id, now_ms + 2000)) {
            let_heartbeats_pass();
            now_ms += MANY_HEARTBEATS_MS; /* time that this clock leaves out is nobody's silence */
        }
        assert_int_equal(kill(child, SIGCONT), 0);
        assert_int_equal(waitpid(child, NULL, WCONTINUED), child);
        while (f->server->ops->is_stalled(f->server, id, now_ms + 3000)) {
            let_heartbeats_pass();
            now_ms += MANY_HEARTBEATS_MS;
            assert_false(hear(f->server, &in));
        }
        f->server->ops->unwatch(f->server, id);
        assert_false(f->server->ops->is_stalled(f->server, id, now_ms));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
    }
}

/* Whoever opens a client may wait on its descriptors at once: all may be said before it has looked for the first time. */
static void test_who_waits_without_having_looked_is_woken(void **state)
{
    struct fixture *f = *state;
    int fds[WSB_CLIENT_FDS];
    struct pollfd p = {.events = POLLIN};
    struct wsb_inbound in;
    open_server(f);
    struct wsb_client *c = connect_to(wsb_server_endpoint(f->server, WSB_CHANNEL_HANDLERS));
    assert_int_equal(c->ops->fds(c, fds), 2);
    p.fd = fds[1];
    for (int i = 0; i < 500 && poll(&p, 1, 10) == 0; i++)
        assert_false(hear(f->server, &in));
    assert_int_equal(p.revents, POLLIN);
    assert_int_equal(c->ops->change(c), WSB_LINK_UP);
    c->ops->close(c);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_handler_that_is_busy_outlives_its_gate),
        TEST(test_a_gate_that_is_busy_outlives_a_handler),
        TEST(test_a_stopped_peer_is_seen),
        TEST(test_who_waits_without_having_looked_is_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
