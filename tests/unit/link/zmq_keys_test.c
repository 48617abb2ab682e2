/* Both ends over TCP with keys: who comes in, what the gate is told of him, and who does not. */
#include "support/test.h"

#include <poll.h>
#include <unistd.h>

#include "link/link.h"

enum { WAIT_MS = 20000 }; /* nothing takes that long; a wait ends with what it waits for */

struct fixture {
    char dir[32];
    struct wsb_curve curve;
    struct wsb_key_pair listed, limited, stranger;
    struct wsb_server *server;
};

static void make_pair(const struct fixture *f, const char *name, struct wsb_key_pair *ret)
{
    char path[64];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, name);
    assert_int_equal(wsb_key_make(path, ret, NULL), WSB_OK);
    assert_int_equal(unlink(path), 0);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char list[200];
    struct wsb_fault fault = {0};
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/wsbus-keys-XXXXXX");
    assert_true(mkdtemp(f->dir));
    make_pair(f, "gate", &f->curve.pair);
    make_pair(f, "listed", &f->listed);
    make_pair(f, "limited", &f->limited);
    make_pair(f, "stranger", &f->stranger);
    (void)snprintf(list, sizeof list, "%s\n%s chat\n", f->listed.public_key, f->limited.public_key);
    assert_int_equal(wsb_key_list_parse(&f->curve.clients, wsb_span_str(list), NULL), WSB_OK);
    const struct wsb_server_options o = {.dir = f->dir,
                                         .mode = 0600,
                                         .tcp = {[WSB_CHANNEL_HANDLERS] = "tcp://127.0.0.1:*"},
                                         .curve = &f->curve,
                                         .max_message = 1 << 20};
    if (wsb_zmtp_server_open(&o, &f->server, &fault))
        fail_msg("%s", fault.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    f->server->ops->close(f->server);
    wsb_curve_deinit(&f->curve);
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static struct wsb_client *connect_with(const struct fixture *f, const char *endpoint, const struct wsb_key_pair *keys,
                                       const char *server_key)
{
    struct wsb_client *c = NULL;
    const struct wsb_client_options o = {.endpoint = endpoint,
                                         .max_message = 1 << 20,
                                         .heartbeat_ms = 1000,
                                         .server_key = keys ? server_key : NULL,
                                         .keys = keys};
    (void)f;
    assert_int_equal(wsb_zmq_client_open(&o, &c, NULL), WSB_OK);
    return c;
}

/* Until something may have come at either end. */
static void wait_a_while(const struct fixture *f, struct wsb_client *c, int timeout_ms)
{
    int fds[WSB_CLIENT_FDS];
    f->server->ops->flush(f->server);
    if (f->server->ops->has_input(f->server, WSB_CHANNEL_HANDLERS) || c->ops->has_input(c))
        return;
    c->ops->fds(c, fds);
    struct pollfd polls[] = {{.fd = f->server->ops->fd(f->server, WSB_CHANNEL_HANDLERS), .events = POLLIN},
                             {.fd = fds[0], .events = POLLIN},
                             {.fd = fds[1], .events = POLLIN}};
    assert_true(poll(polls, COUNT(polls), timeout_ms) > 0);
    f->server->ops->on_readable(f->server, WSB_CHANNEL_HANDLERS);
}

/* The client says something once it is connected; what the gate hears is left open in *ret. */
static void hear(const struct fixture *f, struct wsb_client *c, struct wsb_inbound *ret)
{
    struct wsb_account *account = wsb_account_new();
    bool is_said = false;
    wsb_err err;
    while ((err = f->server->ops->recv(f->server, WSB_CHANNEL_HANDLERS, ret)) == WSB_AGAIN || err == WSB_CLOSED) {
        if (err == WSB_CLOSED) /* an earlier one */
            f->server->ops->release(ret);
        if (c->ops->change(c) == WSB_LINK_UP && !is_said) {
            const struct wsb_header h = {.type = WSB_HELLO};
            assert_int_equal(c->ops->send(c, &h, wsb_block_new(account, 0), wsb_span(NULL, 0)), WSB_OK);
            is_said = true;
        }
        wait_a_while(f, c, WAIT_MS);
    }
    assert_int_equal(err, WSB_OK);
    assert_true(is_said);
    wsb_account_unref(account);
}

/* What the gate sends to the peer arrives at the client. */
static void answer(const struct fixture *f, struct wsb_client *c, struct wsb_span peer)
{
    struct wsb_account *account = wsb_account_new();
    struct wsb_received *m = NULL;
    const struct wsb_header h = {.type = WSB_WELCOME};
    assert_int_equal(f->server->ops->send(f->server, peer, &h, wsb_block_new(account, 0), wsb_span(NULL, 0)), WSB_OK);
    while (c->ops->recv(c, &m) == WSB_AGAIN)
        wait_a_while(f, c, WAIT_MS);
    assert_int_equal(m->envelope.header.type, WSB_WELCOME);
    c->ops->release(m);
    wsb_account_unref(account);
}

static void test_keys_tell_the_gate_who_it_is(void **state)
{
    const struct fixture *f = *state;
    const struct {
        const struct wsb_key_pair *keys;
        bool may_chat, may_game;
    } rows[] = {{&f->listed, true, true}, {&f->limited, true, false}};
    const char *endpoint = wsb_server_endpoint(f->server, WSB_CHANNEL_HANDLERS);
    assert_non_null(endpoint);
    assert_null(wsb_server_endpoint(f->server, WSB_CHANNEL_EVENTS));
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_client *c = connect_with(f, endpoint, rows[i].keys, f->curve.pair.public_key);
        struct wsb_inbound in;
        hear(f, c, &in);
        assert_true(wsb_span_eq_str(in.user, rows[i].keys->public_key));
        assert_int_equal(wsb_server_allows(f->server, in.user, "chat"), rows[i].may_chat);
        assert_int_equal(wsb_server_allows(f->server, in.user, "game"), rows[i].may_game);
        answer(f, c, in.peer);
        f->server->ops->release(&in);
        c->ops->close(c);
    }
    struct wsb_server_stats stats;
    wsb_server_stats(f->server, &stats);
    assert_int_equal(stats.keys_allowed, 2);
    assert_int_equal(stats.keys_refused, 0);
}

static void test_keys_are_not_for_local_peers(void **state)
{
    const struct fixture *f = *state;
    struct wsb_inbound in;
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "ipc://%s/handlers", f->dir);
    struct wsb_client *c = connect_with(f, endpoint, NULL, NULL);
    hear(f, c, &in);
    assert_int_equal(in.user.len, 0);
    assert_true(wsb_server_allows(f->server, in.user, "any"));
    answer(f, c, in.peer);
    f->server->ops->release(&in);
    c->ops->close(c);
}

/* It stays outside; the gate knows who it was. */
static void test_keys_that_are_not_listed(void **state)
{
    const struct fixture *f = *state;
    struct wsb_server_stats stats = {0};
    struct wsb_inbound in;
    struct wsb_client *c =
        connect_with(f, wsb_server_endpoint(f->server, WSB_CHANNEL_HANDLERS), &f->stranger, f->curve.pair.public_key);
    while (stats.keys_refused == 0) {
        wait_a_while(f, c, WAIT_MS);
        assert_int_equal(f->server->ops->recv(f->server, WSB_CHANNEL_HANDLERS, &in), WSB_AGAIN);
        assert_int_not_equal(c->ops->change(c), WSB_LINK_UP);
        wsb_server_stats(f->server, &stats);
    }
    assert_string_equal(stats.last_refused_key, f->stranger.public_key);
    assert_string_equal(stats.last_refused_address, "127.0.0.1");
    assert_int_equal(stats.keys_allowed, 0);
    assert_false(wsb_server_allows(f->server, wsb_span_str(f->stranger.public_key), "chat"));
    c->ops->close(c);
}

static void test_keys_must_be_keys(void **state)
{
    const struct fixture *f = *state;
    struct wsb_key_pair bad = f->listed;
    struct wsb_client *c = NULL;
    bad.secret_key[39] = '~';
    const struct {
        const char *server_key;
        const struct wsb_key_pair *keys;
    } rows[] = {{"short", &f->listed}, {f->curve.pair.public_key, &bad}, {f->curve.pair.public_key, NULL}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_fault fault = {0};
        const struct wsb_client_options o = {.endpoint = "tcp://127.0.0.1:1",
                                             .max_message = 100,
                                             .heartbeat_ms = 1000,
                                             .server_key = rows[i].server_key,
                                             .keys = rows[i].keys};
        assert_int_equal(wsb_zmq_client_open(&o, &c, &fault), WSB_ERR_CONFIG);
        assert_true(fault.text[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys_tell_the_gate_who_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_are_not_for_local_peers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_that_are_not_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_must_be_keys, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
