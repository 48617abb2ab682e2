/* CurveZMQ: a client that is written from the RFC comes in; whatever is changed on the way, or used a second time, does not. */
#include "support/test.h"

#include "support/curve_client.h"
#include "zmtp/curvezmq.h"

enum { CONNECTION = 77 };

static const uint8_t metadata[] = "\x0bSocket-Type\0\0\0\6DEALER";

struct fixture {
    struct wsb_curvezmq_server server;
    struct curve_client client;
    struct wsb_curvezmq_session session;
    uint8_t random[WSB_CURVEZMQ_RANDOM];
    uint8_t hello[WSB_CURVEZMQ_HELLO], welcome[WSB_CURVEZMQ_WELCOME], initiate[400];
    size_t initiate_len;
    uint64_t hello_nonce;
    uint8_t found[CURVE_KEY]; /* the key that the client has proved */
    struct wsb_span metadata;
    enum wsb_zmtp_why why;
};

static wsb_err say_hello(struct fixture *f)
{
    return wsb_curvezmq_welcome(&f->server, CONNECTION, wsb_span(f->hello, sizeof f->hello), f->random, f->welcome,
                                &f->hello_nonce, &f->why);
}

static wsb_err initiate_on(struct fixture *f, uint64_t connection)
{
    return wsb_curvezmq_initiate(&f->server, connection, f->hello_nonce, f->initiate, f->initiate_len, &f->session,
                                 f->found, &f->metadata, &f->why);
}

static void rotate(struct fixture *f, uint8_t seed)
{
    uint8_t fresh[WSB_CURVEZMQ_KEY];
    memset(fresh, seed, sizeof fresh);
    wsb_curvezmq_rotate(&f->server, fresh);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_true(sodium_init() >= 0);
    curve_pair(1, f->server.public_key, f->server.secret_key);
    rotate(f, 9);
    curve_client_init(&f->client, 2, f->server.public_key);
    memset(f->random, 0x5a, sizeof f->random);
    (void)curve_hello(&f->client, f->hello);
    f->why = WSB_ZMTP_WHYS;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* As far as INITIATE, which is not sent yet. */
static void prepare(struct fixture *f)
{
    assert_int_equal(say_hello(f), WSB_OK);
    curve_take_welcome(&f->client, f->welcome, sizeof f->welcome);
    f->initiate_len = curve_initiate(&f->client, metadata, sizeof metadata - 1, f->initiate);
}

static void test_a_client_comes_in(void **state)
{
    struct fixture *f = *state;
    uint8_t out[100], said[100];
    prepare(f);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_OK);
    assert_memory_equal(f->found, f->client.public_key, CURVE_KEY);
    assert_true(wsb_span_eq(f->metadata, wsb_span(metadata, sizeof metadata - 1)));
    size_t len = wsb_curvezmq_ready(&f->session, wsb_span("metadata", 8), out);
    assert_int_equal(len, 8 + WSB_CURVEZMQ_READY_OVERHEAD);
    assert_int_equal(curve_take_ready(&f->client, out, len, said), 8);
    assert_memory_equal(said, "metadata", 8);
}

static void test_without_metadata(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(say_hello(f), WSB_OK);
    curve_take_welcome(&f->client, f->welcome, sizeof f->welcome);
    f->initiate_len = curve_initiate(&f->client, NULL, 0, f->initiate);
    assert_int_equal(f->initiate_len, WSB_CURVEZMQ_INITIATE_MIN);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_OK);
    assert_int_equal(f->metadata.len, 0);
}

/* The padding may be anything: RFC 26 says zeros, nobody looks. */
static bool is_padding(size_t at)
{
    return at >= 8 && at < 80;
}

static void test_no_bit_of_hello_can_be_changed(void **state)
{
    struct fixture *f = *state;
    for (size_t at = 0; at < sizeof f->hello; at++) {
        if (is_padding(at))
            continue;
        f->hello[at] ^= 1;
        if (say_hello(f) != WSB_ERR_PROTO)
            fail_msg("byte %zu", at);
        assert_int_equal(f->why, at < 8 ? WSB_ZMTP_WHY_COMMAND : WSB_ZMTP_WHY_BOX);
        f->hello[at] ^= 1;
    }
    assert_int_equal(say_hello(f), WSB_OK);
}

static void test_no_bit_of_initiate_can_be_changed(void **state)
{
    struct fixture *f = *state;
    uint8_t good[sizeof f->initiate];
    prepare(f);
    memcpy(good, f->initiate, sizeof good);
    for (size_t at = 0; at < f->initiate_len; at++) {
        memcpy(f->initiate, good, sizeof good);
        f->initiate[at] ^= 0x40;
        if (initiate_on(f, CONNECTION) != WSB_ERR_PROTO)
            fail_msg("byte %zu", at);
    }
    memcpy(f->initiate, good, sizeof good);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_OK);
}

static void test_every_length_but_the_right_one(void **state)
{
    struct fixture *f = *state;
    uint8_t good[sizeof f->initiate];
    prepare(f);
    size_t len = f->initiate_len;
    memcpy(good, f->initiate, sizeof good);
    for (f->initiate_len = 0; f->initiate_len < len; f->initiate_len++) {
        uint8_t *exact = malloc(f->initiate_len ? f->initiate_len : 1); /* a sanitizer sees what is read beyond it */
        memcpy(exact, good, f->initiate_len);
        assert_int_equal(wsb_curvezmq_initiate(&f->server, CONNECTION, f->hello_nonce, exact, f->initiate_len,
                                               &f->session, f->found, &f->metadata, &f->why),
                         WSB_ERR_PROTO);
        free(exact);
    }
    for (size_t n = 0; n < sizeof f->hello; n++) {
        uint64_t nonce;
        assert_int_equal(
            wsb_curvezmq_welcome(&f->server, CONNECTION, wsb_span(f->hello, n), f->random, f->welcome, &nonce, &f->why),
            WSB_ERR_PROTO);
    }
}

static void test_a_recorded_initiate_is_worthless_on_another_connection(void **state)
{
    struct fixture *f = *state;
    uint8_t recorded[sizeof f->initiate];
    prepare(f);
    memcpy(recorded, f->initiate, sizeof recorded);
    assert_int_equal(initiate_on(f, CONNECTION + 1), WSB_ERR_PROTO);
    assert_int_equal(f->why, WSB_ZMTP_WHY_BOX);
    memcpy(f->initiate, recorded, sizeof recorded);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_OK);
}

static void test_cookies_grow_old(void **state)
{
    struct fixture *f = *state;
    uint8_t recorded[sizeof f->initiate];
    prepare(f);
    memcpy(recorded, f->initiate, sizeof recorded);
    rotate(f, 10);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_OK); /* it may have been under way */
    memcpy(f->initiate, recorded, sizeof recorded);
    rotate(f, 11);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_ERR_PROTO);
    wsb_curvezmq_forget(&f->server);
    static const uint8_t zeros[sizeof f->server.cookie_secrets];
    assert_memory_equal(f->server.cookie_secrets, zeros, sizeof zeros);
}

static void test_a_cookie_of_zeros_opens_nothing_when_there_are_no_secrets(void **state)
{
    struct fixture *f = *state;
    prepare(f);
    wsb_curvezmq_forget(&f->server);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_ERR_PROTO);
    assert_int_equal(f->why, WSB_ZMTP_WHY_BOX);
}

/* Who has a listed client's INITIATE text cannot use it: the vouch is for one C' and one S. */
static void test_a_vouch_for_another(void **state)
{
    struct fixture *f = *state;
    struct curve_client thief;
    assert_int_equal(say_hello(f), WSB_OK);
    curve_take_welcome(&f->client, f->welcome, sizeof f->welcome);
    thief = f->client;
    curve_pair(50, thief.public_key, (uint8_t[CURVE_KEY]){0}); /* the key of somebody whose secret it does not have */
    f->initiate_len = curve_initiate(&thief, metadata, sizeof metadata - 1, f->initiate);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_ERR_PROTO);
    thief = f->client;
    memset(thief.server, 3, sizeof thief.server); /* made for another server */
    f->initiate_len = curve_initiate(&thief, metadata, sizeof metadata - 1, f->initiate);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_ERR_PROTO);
    thief = f->client;
    memset(thief.transient_public, 3, sizeof thief.transient_public); /* for another connection */
    f->initiate_len = curve_initiate(&thief, metadata, sizeof metadata - 1, f->initiate);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_ERR_PROTO);
}

/* Points of small order make a shared secret that everybody knows. */
static void test_weak_keys(void **state)
{
    struct fixture *f = *state;
    memset(f->client.transient_public, 0, CURVE_KEY);
    memcpy(f->hello + 80, f->client.transient_public, CURVE_KEY);
    assert_int_equal(say_hello(f), WSB_ERR_PROTO);
    f->hello[80] = 1;
    assert_int_equal(say_hello(f), WSB_ERR_PROTO);
}

static void test_nonces_only_grow(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[100];
    struct wsb_box box;
    prepare(f);
    f->hello_nonce = 2; /* as if HELLO had used the nonce of INITIATE */
    assert_int_equal(initiate_on(f, CONNECTION), WSB_ERR_PROTO);
    assert_int_equal(f->why, WSB_ZMTP_WHY_NONCE);
    f->hello_nonce = 1;
    assert_int_equal(initiate_on(f, CONNECTION), WSB_OK);
    static const struct {
        uint64_t nonce;
        wsb_err want;
    } rows[] = {{2, WSB_ERR_PROTO}, {0, WSB_ERR_PROTO}, {3, WSB_OK},          {3, WSB_ERR_PROTO},
                {9, WSB_OK},        {8, WSB_ERR_PROTO}, {UINT64_MAX, WSB_OK}, {UINT64_MAX, WSB_ERR_PROTO},
                {0, WSB_ERR_PROTO}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        f->client.nonce = rows[i].nonce;
        (void)curve_message(&f->client, 0, "x", 1, frame);
        assert_int_equal(wsb_curvezmq_open_begin(&f->session, frame, &box, &f->why), rows[i].want);
        if (rows[i].want)
            assert_int_equal(f->why, WSB_ZMTP_WHY_NONCE);
    }
}

static void test_messages_both_ways(void **state)
{
    struct fixture *f = *state;
    uint8_t frame[200], got[200], flags;
    struct wsb_box box;
    prepare(f);
    assert_int_equal(initiate_on(f, CONNECTION), WSB_OK);
    for (size_t len = 0; len < 100; len++) {
        size_t n = curve_message(&f->client, 1, metadata, len < sizeof metadata ? len : 0, frame);
        assert_int_equal(wsb_curvezmq_open_begin(&f->session, frame, &box, &f->why), WSB_OK);
        wsb_box_open(&box, frame + WSB_CURVEZMQ_FRONT, n - WSB_CURVEZMQ_FRONT);
        assert_true(wsb_box_is_true(&box, frame + WSB_CURVEZMQ_HEAD));
        assert_int_equal(frame[WSB_CURVEZMQ_FRONT], 1);
        wsb_curvezmq_seal_begin(&f->session, frame, &box);
        memset(frame + WSB_CURVEZMQ_FRONT, (int)len, len + 1);
        wsb_box_seal(&box, frame + WSB_CURVEZMQ_FRONT, frame + WSB_CURVEZMQ_FRONT, len + 1);
        wsb_box_end(&box, frame + WSB_CURVEZMQ_HEAD);
        assert_int_equal(curve_open(&f->client, frame, WSB_CURVEZMQ_OVERHEAD + len, got, &flags), len);
        assert_int_equal(flags, len);
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_client_comes_in),
        TEST(test_without_metadata),
        TEST(test_no_bit_of_hello_can_be_changed),
        TEST(test_no_bit_of_initiate_can_be_changed),
        TEST(test_every_length_but_the_right_one),
        TEST(test_a_recorded_initiate_is_worthless_on_another_connection),
        TEST(test_cookies_grow_old),
        TEST(test_a_cookie_of_zeros_opens_nothing_when_there_are_no_secrets),
        TEST(test_a_vouch_for_another),
        TEST(test_weak_keys),
        TEST(test_nonces_only_grow),
        TEST(test_messages_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
