/*
 * What link.h promises, of each link there is: the same tests over ZeroMQ and over shared memory, with both ends in one
 * process. Rings are as small as can be, so that most of what is large goes in parts.
 */
#include "support/test.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "link/link.h"
#include "ring/ring.h"
#include "wsbus/msg.h"

enum { STALL_MS = 20000, LARGEST = 8 << 20, WINDOW = 64 };

struct pair {
    char dir[32];
    struct wsb_server *server;
    struct wsb_client *client;
    struct wsb_account *account;
    uint8_t name[300]; /* the client's, as the server knows it */
    size_t name_len;
    struct wsb_direct *direct;
    bool is_shm;
};

/* ------------------------------------------------------------------ two openers */

static void serve(struct pair *p)
{
    const struct wsb_server_options zmq = {.dir = p->dir, .mode = 0600, .max_message = (size_t)2 * LARGEST};
    const struct wsb_shm_options shm = {.dir = p->dir,
                                        .mode = 0600,
                                        .ring_size = WSB_RING_MIN,
                                        .ring_max = WSB_RING_MAX,
                                        .memory_max = 64 << 20,
                                        .links_max = 8,
                                        .max_message = (size_t)2 * LARGEST};
    wsb_err err =
        p->is_shm ? wsb_shm_server_open(&shm, &p->server, NULL) : wsb_zmtp_server_open(&zmq, &p->server, NULL);
    assert_int_equal(err, WSB_OK);
}

static void dial(struct pair *p)
{
    char endpoint[64];
    const struct wsb_client_options o = {.endpoint = endpoint, .max_message = (size_t)2 * LARGEST, .linger_ms = 1000};
    (void)snprintf(endpoint, sizeof endpoint, p->is_shm ? "%s/shm" : "ipc://%s/handlers", p->dir);
    assert_int_equal(p->is_shm ? wsb_shm_client_open(&o, &p->client, NULL) : wsb_zmq_client_open(&o, &p->client, NULL),
                     WSB_OK);
}

/* ------------------------------------------------------------------ both ends at work */

static bool server_has_input(struct pair *p)
{
    return p->server && p->server->ops->has_input(p->server, WSB_CHANNEL_HANDLERS);
}

static void flush(struct pair *p)
{
    if (p->server)
        p->server->ops->flush(p->server);
    if (p->client)
        wsb_client_flush(p->client);
}

static void look(struct pair *p)
{
    if (p->server)
        p->server->ops->on_readable(p->server, WSB_CHANNEL_HANDLERS);
    flush(p);
}

/* Until a descriptor of one end says that there is something. */
static void wait_for(struct pair *p, int most_ms)
{
    struct pollfd fds[1 + WSB_CLIENT_FDS] = {{.fd = -1, .events = POLLIN}};
    int of_client[WSB_CLIENT_FDS];
    size_t count = p->client ? p->client->ops->fds(p->client, of_client) : 0;
    flush(p);
    if (server_has_input(p) || (p->client && p->client->ops->has_input(p->client))) {
        look(p);
        return;
    }
    if (p->server)
        fds[0].fd = p->server->ops->fd(p->server, WSB_CHANNEL_HANDLERS);
    for (size_t i = 0; i < count; i++)
        fds[1 + i] = (struct pollfd){.fd = of_client[i], .events = POLLIN};
    int n = poll(fds, 1 + count, most_ms);
    assert_true(n > 0 || most_ms < STALL_MS);
    look(p);
}

static wsb_err server_recv(struct pair *p, struct wsb_inbound *ret)
{
    wsb_err err;
    while ((err = p->server->ops->recv(p->server, WSB_CHANNEL_HANDLERS, ret)) == WSB_AGAIN)
        wait_for(p, STALL_MS);
    return err;
}

static struct wsb_received *client_recv(struct pair *p)
{
    struct wsb_received *m = NULL;
    wsb_err err;
    while ((err = p->client->ops->recv(p->client, &m)) == WSB_AGAIN) {
        wait_for(p, STALL_MS);
        (void)p->client->ops->change(p->client);
    }
    assert_int_equal(err, WSB_OK);
    return m;
}

static void wait_change(struct pair *p, enum wsb_link_change wanted)
{
    enum wsb_link_change change;
    while ((change = p->client->ops->change(p->client)) != wanted) {
        struct wsb_inbound in;
        assert_int_equal(change, WSB_LINK_SAME);
        if (p->server) /* which receives in each round; nobody has said anything yet */
            assert_int_equal(p->server->ops->recv(p->server, WSB_CHANNEL_HANDLERS, &in), WSB_AGAIN);
        wait_for(p, 10); /* the monitor of ZeroMQ tells once */
    }
}

static struct wsb_block *block_of(struct pair *p, size_t len, uint8_t seed)
{
    struct wsb_block *b = wsb_block_new(p->account, len);
    assert_non_null(b);
    for (size_t i = 0; i < len; i++)
        b->data[i] = (uint8_t)(seed + i * 7 + (i >> 8));
    b->len = len;
    return b;
}

static void check_payload(struct wsb_span got, size_t len, uint8_t seed)
{
    assert_int_equal(got.len, len);
    for (size_t i = 0; i < len; i++) {
        if (got.ptr[i] != (uint8_t)(seed + i * 7 + (i >> 8)))
            fail_msg("byte %zu of %zu", i, len);
    }
}

static struct wsb_header header_of(uint8_t type, size_t len, struct wsb_span meta, uint64_t seq)
{
    return (struct wsb_header){.type = type,
                               .code = WSB_BINARY,
                               .flags = meta.len ? WSB_FLAG_META : 0,
                               .payload_len = (uint32_t)len,
                               .conn = 77,
                               .seq = seq};
}

static void client_says(struct pair *p, size_t len, struct wsb_span meta, uint64_t seq)
{
    struct wsb_header h = header_of(WSB_SEND, len, meta, seq);
    assert_int_equal(p->client->ops->send(p->client, &h, block_of(p, len, (uint8_t)seq), meta), WSB_OK);
}

static wsb_err server_says(struct pair *p, size_t len, struct wsb_span meta, uint64_t seq)
{
    struct wsb_header h = header_of(WSB_DATA, len, meta, seq);
    return p->server->ops->send(p->server, wsb_span(p->name, p->name_len), &h, block_of(p, len, (uint8_t)seq), meta);
}

static void check_envelope(const struct wsb_envelope *e, uint8_t type, size_t len, struct wsb_span meta, uint64_t seq)
{
    assert_int_equal(e->header.type, type);
    assert_int_equal(e->header.seq, seq);
    assert_int_equal(e->header.conn, 77);
    check_payload(e->payload, len, (uint8_t)seq);
    assert_int_equal(e->meta.len, meta.len);
    assert_true(meta.len == 0 || memcmp(e->meta.ptr, meta.ptr, meta.len) == 0);
}

static void server_hears(struct pair *p, size_t len, struct wsb_span meta, uint64_t seq)
{
    struct wsb_inbound in;
    assert_int_equal(server_recv(p, &in), WSB_OK);
    assert_ptr_equal(*in.known, p);
    check_envelope(&in.envelope, WSB_SEND, len, meta, seq);
    p->server->ops->release(&in);
}

static void client_hears(struct pair *p, size_t len, struct wsb_span meta, uint64_t seq)
{
    struct wsb_received *m = client_recv(p);
    check_envelope(&m->envelope, WSB_DATA, len, meta, seq);
    p->client->ops->release(m);
}

static void meet(struct pair *p)
{
    struct wsb_inbound in;
    wait_change(p, WSB_LINK_UP);
    client_says(p, 1, wsb_span(NULL, 0), 1);
    assert_int_equal(server_recv(p, &in), WSB_OK);
    assert_true(in.peer.len > 0 && in.peer.len <= sizeof p->name);
    memcpy(p->name, in.peer.ptr, in.peer.len);
    p->name_len = in.peer.len;
    p->direct = in.direct;
    assert_null(*in.known);
    *in.known = p; /* found again with each of its messages, until it is gone */
    assert_int_equal(in.direct != NULL, p->is_shm);
    p->server->ops->release(&in);
}

/* What was sent is charged until it has left; at the client's end ZeroMQ frees it in a thread of its own. */
static void wait_account(struct pair *p)
{
    while (wsb_account_bytes(p->account))
        wait_for(p, 1);
}

static int setup(void **state, bool is_shm)
{
    struct pair *p = calloc(1, sizeof *p);
    p->is_shm = is_shm;
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/wsbus-link-XXXXXX");
    assert_true(mkdtemp(p->dir));
    p->account = wsb_account_new();
    serve(p);
    dial(p);
    meet(p);
    *state = p;
    return 0;
}

static int setup_zmq(void **state)
{
    return setup(state, /*is_shm=*/false);
}

static int setup_shm(void **state)
{
    return setup(state, /*is_shm=*/true);
}

static int teardown(void **state)
{
    struct pair *p = *state;
    if (p->client)
        p->client->ops->close(p->client);
    if (p->server)
        p->server->ops->close(p->server);
    assert_int_equal(wsb_account_bytes(p->account), 0);
    wsb_account_unref(p->account);
    assert_int_equal(rmdir(p->dir), 0); /* nothing is left in it */
    free(p);
    return 0;
}

/* ------------------------------------------------------------------ of both */

static void test_envelopes_of_every_size_both_ways(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 4 << 10, 16299, 16300, 64 << 10, 1 << 20, LARGEST};
    const struct wsb_span metas[] = {wsb_span(NULL, 0), wsb_span_str("{\"to\":[\"0000000000000001\"]}")};
    struct pair *p = *state;
    uint64_t seq = 1;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t m = 0; m < COUNT(metas); m++) {
            client_says(p, sizes[i], metas[m], ++seq);
            server_hears(p, sizes[i], metas[m], seq);
            assert_int_equal(server_says(p, sizes[i], metas[m], ++seq), WSB_OK);
            client_hears(p, sizes[i], metas[m], seq);
        }
    }
    wait_account(p);
}

static size_t size_in_turn(uint64_t n)
{
    return n % 997 == 0 ? 40000 : n % 31 == 0 ? 3000 : n % 97;
}

static void test_many_messages_stay_in_order(void **state)
{
    const struct wsb_span none = {0};
    struct pair *p = *state;
    for (uint64_t n = 0; n < 50000; n += WINDOW) {
        for (uint64_t i = n; i < n + WINDOW; i++) {
            client_says(p, size_in_turn(i), none, i);
            assert_int_equal(server_says(p, size_in_turn(i), none, i), WSB_OK);
        }
        for (uint64_t i = n; i < n + WINDOW; i++) {
            server_hears(p, size_in_turn(i), none, i);
            client_hears(p, size_in_turn(i), none, i);
        }
    }
    wait_account(p);
}

/* The same while the other end is at work in its own thread: each sleeps on its descriptors alone. */
enum { PINGS = 10000 };

static bool sleep_on(const int *fds, size_t count)
{
    struct pollfd of[WSB_CLIENT_FDS];
    for (size_t i = 0; i < count; i++)
        of[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    return poll(of, count, STALL_MS) > 0;
}

/* NULL: somebody should have woken it. */
static void *answer_pings(void *arg)
{
    const struct wsb_span none = {0};
    struct pair *p = arg;
    const int fd = p->server->ops->fd(p->server, WSB_CHANNEL_HANDLERS);
    struct wsb_inbound in;
    for (uint64_t n = 0; n < PINGS; n++) {
        while (p->server->ops->recv(p->server, WSB_CHANNEL_HANDLERS, &in) == WSB_AGAIN) {
            if (server_has_input(p))
                continue;
            if (!sleep_on(&fd, 1))
                return NULL;
            p->server->ops->on_readable(p->server, WSB_CHANNEL_HANDLERS);
        }
        p->server->ops->release(&in);
        if (server_says(p, 16, none, n) != WSB_OK)
            return NULL;
        p->server->ops->flush(p->server);
    }
    return p;
}

static bool is_answered(struct pair *p, const int *fds, size_t count)
{
    struct wsb_received *m;
    while (p->client->ops->recv(p->client, &m) == WSB_AGAIN) {
        if (!p->client->ops->has_input(p->client) && !sleep_on(fds, count))
            return false;
        (void)p->client->ops->change(p->client);
    }
    p->client->ops->release(m);
    return true;
}

static void test_no_wakeup_is_lost(void **state)
{
    struct pair *p = *state;
    pthread_t other;
    void *ended;
    int fds[WSB_CLIENT_FDS];
    size_t count = p->client->ops->fds(p->client, fds);
    bool goes_on = true;
    assert_int_equal(pthread_create(&other, NULL, answer_pings, p), 0);
    for (uint64_t n = 0; n < PINGS && goes_on; n++) {
        client_says(p, 16, wsb_span(NULL, 0), n);
        wsb_client_flush(p->client);
        goes_on = is_answered(p, fds, count);
    }
    assert_int_equal(pthread_join(other, &ended), 0);
    assert_true(goes_on);
    assert_non_null(ended);
}

static void test_what_finds_no_room_waits_and_is_charged(void **state)
{
    enum { MESSAGES = 100, SIZE = 100000 };
    const struct wsb_span none = {0};
    struct pair *p = *state;
    for (uint64_t n = 0; n < MESSAGES; n++)
        assert_int_equal(server_says(p, SIZE, none, n), WSB_OK);
    flush(p);
    if (p->is_shm) /* the client's ZeroMQ has a thread that takes it all */
        assert_true(wsb_account_bytes(p->account) > (size_t)(MESSAGES - 2) * SIZE);
    for (uint64_t n = 0; n < MESSAGES; n++)
        client_hears(p, SIZE, none, n);
    wait_account(p);
}

static void test_the_next_server_is_found(void **state)
{
    struct pair *p = *state;
    p->server->ops->close(p->server);
    p->server = NULL;
    wait_change(p, WSB_LINK_DOWN);
    struct wsb_header h = header_of(WSB_SEND, 1, wsb_span(NULL, 0), 1);
    assert_int_equal(p->client->ops->send(p->client, &h, block_of(p, 1, 1), wsb_span(NULL, 0)), WSB_AGAIN);
    serve(p);
    meet(p);
    assert_int_equal(server_says(p, 5, wsb_span(NULL, 0), 5), WSB_OK);
    client_hears(p, 5, wsb_span(NULL, 0), 5);
}

static void test_who_is_gone_cannot_be_sent_to(void **state)
{
    struct pair *p = *state;
    struct wsb_inbound in;
    client_says(p, 3, wsb_span(NULL, 0), 9);
    p->client->ops->close(p->client);
    p->client = NULL;
    server_hears(p, 3, wsb_span(NULL, 0), 9);          /* what it had said is heard */
    assert_int_equal(server_recv(p, &in), WSB_CLOSED); /* and then that it is gone */
    assert_ptr_equal(*in.known, p);
    assert_true(in.peer.len == p->name_len && memcmp(in.peer.ptr, p->name, p->name_len) == 0);
    p->server->ops->release(&in);
    assert_int_equal(server_says(p, 1, wsb_span(NULL, 0), 1), WSB_CLOSED);
    assert_false(server_has_input(p));
    wait_account(p);
}

/* ------------------------------------------------------------------ of shared memory */

struct keeper {
    struct wsb_loan loan;
    const uint8_t *lent;
    uint8_t copy[512];
    size_t len;
    int recalls;
    bool has_no_memory;
};

static bool take_back(struct wsb_loan *l)
{
    struct keeper *k = (struct keeper *)l;
    if (k->has_no_memory)
        return false;
    memcpy(k->copy, k->lent, k->len);
    k->recalls++;
    return true;
}

static bool lend(struct pair *p, struct keeper *k, uint64_t seq)
{
    struct wsb_header h = header_of(WSB_DATA, sizeof k->copy, wsb_span(NULL, 0), seq);
    uint8_t *at;
    if (!p->server->ops->reserve(p->direct, &h, wsb_span(NULL, 0), &at))
        return false;
    *k = (struct keeper){.loan.recall = take_back, .lent = at, .len = h.payload_len};
    for (size_t i = 0; i < k->len; i++)
        at[i] = (uint8_t)(seq + i * 7 + (i >> 8));
    p->server->ops->commit(p->direct, &k->loan);
    flush(p);
    client_hears(p, k->len, wsb_span(NULL, 0), seq); /* and gives it back: it stays lent all the same */
    return true;
}

/* More than the ring holds. */
static void turn_the_ring(struct pair *p)
{
    for (uint64_t n = 0; n < 2 * WSB_RING_MIN / 8192; n++) {
        assert_int_equal(server_says(p, 8000, wsb_span(NULL, 0), n), WSB_OK);
        client_hears(p, 8000, wsb_span(NULL, 0), n);
    }
}

static void test_a_loan_is_recalled_before_its_place_is_needed(void **state)
{
    struct pair *p = *state;
    struct keeper kept, ended;
    assert_true(lend(p, &kept, 3));
    assert_true(lend(p, &ended, 4));
    check_payload(wsb_span(kept.lent, kept.len), kept.len, 3);
    assert_int_equal(kept.recalls, 0);
    wsb_loan_end(&ended.loan);
    turn_the_ring(p);
    assert_int_equal(kept.recalls, 1);
    assert_false(wsb_loan_is_out(&kept.loan));
    check_payload(wsb_span(kept.copy, kept.len), kept.len, 3);
    assert_int_equal(ended.recalls, 0);
}

static void test_what_cannot_be_recalled_is_not_written_over(void **state)
{
    struct pair *p = *state;
    struct keeper kept = {0};
    uint64_t sent = 0;
    assert_true(lend(p, &kept, 3));
    kept.has_no_memory = true;
    while (wsb_account_bytes(p->account) == 0) { /* until something has to wait */
        assert_true(sent < 2 * WSB_RING_MIN / 8192);
        assert_int_equal(server_says(p, 8000, wsb_span(NULL, 0), sent++), WSB_OK);
        if (wsb_account_bytes(p->account) == 0)
            client_hears(p, 8000, wsb_span(NULL, 0), sent - 1);
    }
    check_payload(wsb_span(kept.lent, kept.len), kept.len, 3);
    assert_true(wsb_loan_is_out(&kept.loan));
    kept.has_no_memory = false;
    (void)p->server->ops->is_stalled(p->server, wsb_span(p->name, p->name_len),
                                     0); /* asked now and then: it tries again */
    client_hears(p, 8000, wsb_span(NULL, 0), sent - 1);
    check_payload(wsb_span(kept.copy, kept.len), kept.len, 3);
    wait_account(p);
}

static void test_nothing_is_written_in_front_of_what_waits(void **state)
{
    struct pair *p = *state;
    struct wsb_header h = header_of(WSB_DATA, 1, wsb_span(NULL, 0), 1);
    uint8_t *at;
    assert_int_equal(server_says(p, 200000, wsb_span(NULL, 0), 1), WSB_OK);
    struct wsb_received *m = NULL;
    assert_int_equal(p->client->ops->recv(p->client, &m), WSB_AGAIN); /* it took a part, so there is room */
    assert_false(p->server->ops->reserve(p->direct, &h, wsb_span(NULL, 0), &at));
    client_hears(p, 200000, wsb_span(NULL, 0), 1);
    assert_true(p->server->ops->reserve(p->direct, &h, wsb_span(NULL, 0), &at));
}

static void test_loans_are_recalled_when_the_peer_goes(void **state)
{
    struct pair *p = *state;
    struct wsb_inbound in;
    struct keeper kept = {0};
    assert_true(lend(p, &kept, 8));
    p->client->ops->close(p->client);
    p->client = NULL;
    assert_int_equal(server_recv(p, &in), WSB_CLOSED);
    check_payload(wsb_span(kept.lent, kept.len), kept.len, 8); /* whoever hears of it may still read there */
    p->server->ops->release(&in);
    assert_int_equal(kept.recalls, 1);
    check_payload(wsb_span(kept.copy, kept.len), kept.len, 8);
}

#define OVER_BOTH(test)                                                                                                \
    {"zmq: " #test, test, setup_zmq, teardown, NULL},                                                                  \
    {                                                                                                                  \
        "shm: " #test, test, setup_shm, teardown, NULL                                                                 \
    }
#define OVER_SHM(test)                                                                                                 \
    {                                                                                                                  \
        "shm: " #test, test, setup_shm, teardown, NULL                                                                 \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_BOTH(test_envelopes_of_every_size_both_ways),
        OVER_BOTH(test_many_messages_stay_in_order),
        OVER_BOTH(test_no_wakeup_is_lost),
        OVER_BOTH(test_what_finds_no_room_waits_and_is_charged),
        OVER_BOTH(test_the_next_server_is_found),
        OVER_BOTH(test_who_is_gone_cannot_be_sent_to),
        OVER_SHM(test_a_loan_is_recalled_before_its_place_is_needed),
        OVER_SHM(test_what_cannot_be_recalled_is_not_written_over),
        OVER_SHM(test_nothing_is_written_in_front_of_what_waits),
        OVER_SHM(test_loans_are_recalled_when_the_peer_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
