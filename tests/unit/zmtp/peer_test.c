/*
 * What peers say: each rule of the protocol a row, with and without keys. Every row runs whole, byte by byte, and cut at each
 * point; the events are the same.
 */
#include "support/test.h"

#include "support/curve_client.h"
#include "zmtp/peer.h"

enum { MAX_FRAME = 1000, MAX_MESSAGE = 2000, STREAM_MAX = 8192, LOG_MAX = 4096 };

#define ZEROS_8     "\0\0\0\0\0\0\0\0"
#define ZEROS_48    ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8
#define GREETING    "\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL" ZEROS_48
#define READY(type) "\4\x1a\5READY\x0bSocket-Type\0\0\0\4" type
#define DEALER      "\4\x1c\5READY\x0bSocket-Type\0\0\0\6DEALER"
#define SUB         "\4\x19\5READY\x0bSocket-Type\0\0\0\3SUB"
#define ROW(bytes)  bytes, sizeof(bytes) - 1

static const struct row {
    const char *name;
    enum wsb_zmtp_role role;
    const char *in;
    size_t in_len;
    const char *want; /* the events, and how it ends */
} rows[] = {
    {"a dealer", WSB_ZMTP_ROUTER, ROW(GREETING DEALER), "greeting ready more"},
    {"a router", WSB_ZMTP_ROUTER, ROW(GREETING "\4\x1c\5READY\x0bSocket-Type\0\0\0\6ROUTER"), "greeting ready more"},
    {"a req", WSB_ZMTP_ROUTER, ROW(GREETING "\4\x19\5READY\x0bSocket-Type\0\0\0\3REQ"), "greeting ready more"},
    {"a pusher", WSB_ZMTP_PULL, ROW(GREETING READY("PUSH")), "greeting ready more"},
    {"an xsub", WSB_ZMTP_XPUB, ROW(GREETING READY("XSUB")), "greeting ready more"},
    {"a pusher at the wrong endpoint", WSB_ZMTP_ROUTER, ROW(GREETING READY("PUSH")), "greeting !socket_type"},
    {"a dealer at the wrong endpoint", WSB_ZMTP_PULL, ROW(GREETING DEALER), "greeting !socket_type"},
    {"a pub", WSB_ZMTP_XPUB, ROW(GREETING "\4\x19\5READY\x0bSocket-Type\0\0\0\3PUB"), "greeting !socket_type"},
    {"nobody", WSB_ZMTP_ROUTER, ROW(GREETING "\4\6\5READY"), "greeting !socket_type"},
    {"an identity", WSB_ZMTP_ROUTER, ROW(GREETING "\4\x2b\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\2me"),
     "greeting ready=me more"},
    {"an identity of ours", WSB_ZMTP_ROUTER,
     ROW(GREETING "\4\x2b\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity\0\0\0\2\0e"), "greeting !identity"},
    {"a long READY", WSB_ZMTP_ROUTER, ROW(GREETING "\6\0\0\0\0\0\0\0\x1c\5READY\x0bSocket-Type\0\0\0\6DEALER"),
     "greeting ready more"},
    {"READY that is cut", WSB_ZMTP_ROUTER, ROW(GREETING "\4\x08\5READY\x0bS"), "greeting !command"},
    {"another command", WSB_ZMTP_ROUTER, ROW(GREETING "\4\6\5HELLO"), "greeting !command"},
    {"ERROR", WSB_ZMTP_ROUTER,
     ROW(GREETING "\4\x0a\5ERROR\3"
                  "400"),
     "greeting !command"},
    {"no command", WSB_ZMTP_ROUTER, ROW(GREETING "\0\1x"), "greeting !command"},
    {"a message in the handshake", WSB_ZMTP_ROUTER, ROW(GREETING "\1\5HELLO"), "greeting !command"},
    {"an empty command", WSB_ZMTP_ROUTER, ROW(GREETING "\4\0"), "greeting !command"},
    {"a handshake that is too long", WSB_ZMTP_ROUTER, ROW(GREETING "\6\0\0\0\0\0\0\x08\1"), "greeting !size"},
    {"a handshake without end", WSB_ZMTP_ROUTER, ROW(GREETING "\6\x7f\0\0\0\0\0\0\0"), "greeting !size"},
    {"reserved flags", WSB_ZMTP_ROUTER, ROW(GREETING "\x84"), "greeting !frame"},
    {"rubbish", WSB_ZMTP_ROUTER, ROW("GET / HTTP/1.1\r\n\r\n"), "!greeting"},
    {"ZMTP 2", WSB_ZMTP_ROUTER, ROW("\xff\0\0\0\0\0\0\0\1\x7f\1\5\0\0"), "!version"},
    {"ZMTP 1", WSB_ZMTP_ROUTER, ROW("\1\0"), "!version"},
    {"one part", WSB_ZMTP_PULL, ROW(GREETING READY("PUSH") "\0\3abc"), "greeting ready message(abc) more"},
    {"an empty message", WSB_ZMTP_PULL, ROW(GREETING READY("PUSH") "\0\0"), "greeting ready message() more"},
    {"two parts, and another", WSB_ZMTP_PULL, ROW(GREETING READY("PUSH") "\1\1a\0\2bc\0\1d"),
     "greeting ready message(a,bc) message(d) more"},
    {"four parts", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\1\1a\1\1b\1\1c\0\1d\0\1e"),
     "greeting ready message(a,b,c,+1) message(e) more"},
    {"a long part", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\2\0\0\0\0\0\0\0\2ab"), "greeting ready message(ab) more"},
    {"half a message", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\1\1a"), "greeting ready more"},
    {"a part that is too long", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\2\0\0\0\0\0\0\3\xe9"), "greeting ready !size"},
    {"PING between messages", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\0\1a\4\x0a\4PING\0\x0axyz\0\1b"),
     "greeting ready message(a) ping(1000,xyz) message(b) more"},
    {"PING between parts, as libzmq may", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\1\1a\4\7\4PING\0\0\0\1b"),
     "greeting ready ping(0,) message(a,b) more"},
    {"a PING that is cut", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\4\6\4PING\0"), "greeting ready !command"},
    {"PONG", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\4\5\4PONG"), "greeting ready - more"},
    {"a command of another age", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\4\5\3NEWx"), "greeting ready - more"},
    {"a command without a name", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\4\1\0"), "greeting ready !command"},
    {"a second READY means nothing", WSB_ZMTP_ROUTER, ROW(GREETING DEALER DEALER), "greeting ready - more"},
    {"ERROR in the traffic", WSB_ZMTP_ROUTER, ROW(GREETING DEALER "\4\7\5ERROR\0"), "greeting ready !command"},
    {"SUBSCRIBE", WSB_ZMTP_XPUB, ROW(GREETING SUB "\4\x0d\x09SUBSCRIBEabc\4\x0a\6CANCELabc\4\x0a\x09SUBSCRIBE"),
     "greeting ready subscribe(abc) cancel(abc) subscribe() more"},
    {"subscriptions of ZMTP 3.0", WSB_ZMTP_XPUB, ROW(GREETING SUB "\0\4\1abc\0\1\1\0\4\0abc"),
     "greeting ready subscribe(abc) subscribe() cancel(abc) more"},
    {"messages to a publisher", WSB_ZMTP_XPUB, ROW(GREETING SUB "\0\1\2\0\0\1\1\1\0\1a"),
     "greeting ready message(\2) message() message(\1,a) more"},
    {"SUBSCRIBE to others means nothing", WSB_ZMTP_PULL, ROW(GREETING READY("PUSH") "\4\x0d\x09SUBSCRIBEabc\0\2\1a"),
     "greeting ready - message(\1a) more"},
};

/* ------------------------------------------------------------------- the reader at work */

struct run {
    struct wsb_zmtp_peer peer;
    struct curve_client *client; /* that answers; NULL: nobody does */
    char log[LOG_MAX];
    size_t log_len;
};

static void say(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct run *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (r->log_len && r->log_len + 1 < LOG_MAX)
        r->log[r->log_len++] = ' ';
    int n = vsnprintf(r->log + r->log_len, LOG_MAX - r->log_len, format,
                      args); /* NOLINT(clang-analyzer-valist.Uninitialized): it was started */
    va_end(args);
    r->log_len += (size_t)n;
    assert_true(r->log_len < LOG_MAX);
}

static void say_message(struct run *r, const struct wsb_zmtp_event *ev)
{
    char text[LOG_MAX] = "";
    size_t at = 0;
    for (size_t i = 0; i < ev->part_count && i < WSB_ZMTP_PARTS; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%.*s", i ? "," : "", (int)ev->parts[i].len,
                               (const char *)ev->parts[i].ptr);
    if (ev->part_count > WSB_ZMTP_PARTS)
        (void)snprintf(text + at, sizeof text - at, ",+%zu", ev->part_count - WSB_ZMTP_PARTS);
    say(r, "message(%s)", text);
}

static void note(struct run *r, const struct wsb_zmtp_event *ev)
{
    switch (ev->kind) {
    case WSB_ZMTP_EV_GREETING:
        say(r, "greeting");
        break;
    case WSB_ZMTP_EV_WELCOME:
        say(r, "welcome");
        break;
    case WSB_ZMTP_EV_READY:
        say(r, ev->identity.len ? "ready=%.*s" : "ready%.*s", (int)ev->identity.len, (const char *)ev->identity.ptr);
        break;
    case WSB_ZMTP_EV_MESSAGE:
        say_message(r, ev);
        break;
    case WSB_ZMTP_EV_SUBSCRIBE:
    case WSB_ZMTP_EV_CANCEL:
        say(r, "%s(%.*s)", ev->kind == WSB_ZMTP_EV_CANCEL ? "cancel" : "subscribe", (int)ev->topic.len,
            (const char *)ev->topic.ptr);
        break;
    case WSB_ZMTP_EV_PING:
        say(r, "ping(%u,%.*s)", ev->ping.ttl_ms, (int)ev->ping.context.len, (const char *)ev->ping.context.ptr);
        break;
    case WSB_ZMTP_EV_NOTHING:
        say(r, "-");
        break;
    }
}

static const uint8_t random_bytes[WSB_CURVEZMQ_RANDOM] = {1, 2, 3};

/* What a connection would hold: bytes arrive behind those that were not used. */
struct feed {
    uint8_t *bytes; /* exactly as long as what is there, so that a sanitizer sees what is read beyond it */
    size_t len;
};

static void arrive(struct feed *f, const uint8_t *more, size_t len)
{
    uint8_t *grown = malloc(f->len + len ? f->len + len : 1); /* in another place each time */
    if (f->len)
        memcpy(grown, f->bytes, f->len);
    memcpy(grown + f->len, more, len);
    free(f->bytes);
    f->bytes = grown;
    f->len += len;
}

static void drop(struct feed *f, size_t used)
{
    assert_true(used <= f->len);
    f->len -= used;
    memmove(f->bytes, f->bytes + used, f->len);
}

/* False: the peer has failed. */
static bool take_all(struct run *r, struct feed *f)
{
    struct wsb_zmtp_event ev;
    size_t used;
    wsb_err err;
    while ((err = wsb_zmtp_next(&r->peer, f->bytes, f->len, random_bytes, &ev, &used)) == WSB_OK) {
        note(r, &ev);
        drop(f, used);
    }
    if (err == WSB_ERR_PROTO) {
        say(r, "!%s", wsb_zmtp_why_name(r->peer.why));
        assert_int_equal(wsb_zmtp_next(&r->peer, f->bytes, f->len, random_bytes, &ev, &used), WSB_ERR_PROTO);
        return false;
    }
    assert_int_equal(err, WSB_MORE);
    assert_true(wsb_zmtp_wanted(&r->peer) > f->len);
    return true;
}

/* The stream in pieces that end where `cuts` say; what comes of it. */
static void run(struct run *r, const struct wsb_zmtp_rules *rules, const uint8_t *in, size_t len, size_t first,
                size_t step)
{
    struct feed f = {malloc(1), 0};
    bool goes_on = true;
    *r = (struct run){0};
    wsb_zmtp_peer_init(&r->peer, rules, 5);
    for (size_t at = 0; at < len && goes_on;) {
        size_t n = at ? step : first;
        n = n < len - at ? n : len - at;
        arrive(&f, in + at, n);
        at += n;
        goes_on = take_all(r, &f);
    }
    if (goes_on)
        say(r, "more");
    free(f.bytes);
    wsb_zmtp_peer_deinit(&r->peer);
}

static void run_every_way(const char *name, const struct wsb_zmtp_rules *rules, const uint8_t *in, size_t len,
                          const char *want)
{
    struct run r;
    run(&r, rules, in, len, len, len);
    if (strcmp(r.log, want) != 0)
        fail_msg("%s: '%s' instead of '%s'", name, r.log, want);
    run(&r, rules, in, len, 1, 1);
    if (strcmp(r.log, want) != 0)
        fail_msg("%s, byte by byte: '%s' instead of '%s'", name, r.log, want);
    for (size_t cut = 1; cut < len; cut++) {
        run(&r, rules, in, len, cut, len);
        if (strcmp(r.log, want) != 0)
            fail_msg("%s, cut at %zu: '%s' instead of '%s'", name, cut, r.log, want);
    }
}

static void test_peers_without_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct wsb_zmtp_rules rules = {rows[i].role, NULL, MAX_FRAME, MAX_MESSAGE};
        run_every_way(rows[i].name, &rules, (const uint8_t *)rows[i].in, rows[i].in_len, rows[i].want);
    }
}

/* -------------------------------------------------------------------------- bounds */

static size_t put(uint8_t *stream, size_t at, const void *bytes, size_t len)
{
    memcpy(stream + at, bytes, len);
    return at + len;
}

static size_t put_frame(uint8_t *stream, size_t at, uint8_t flags, const void *body, size_t len)
{
    at += wsb_zmtp_head_write(stream + at, flags, len);
    return put(stream, at, body, len);
}

static void test_parts_without_end(void **state)
{
    const struct wsb_zmtp_rules rules = {WSB_ZMTP_PULL, NULL, MAX_FRAME, 1 << 20};
    uint8_t stream[STREAM_MAX];
    struct run r;
    (void)state;
    size_t at = put(stream, 0, GREETING READY("PUSH"), sizeof GREETING READY("PUSH") - 1), begin = at;
    for (int i = 0; i < WSB_ZMTP_PARTS_MAX; i++)
        at = put_frame(stream, at, i < WSB_ZMTP_PARTS_MAX - 1 ? 1 : 0, "a", 1);
    run(&r, &rules, stream, at, at, at);
    assert_string_equal(r.log, "greeting ready message(a,a,a,+61) more"); /* as many as there may be */
    for (at = begin; at < STREAM_MAX - 10;)
        at = put_frame(stream, at, 1, "a", 1);
    run(&r, &rules, stream, at, at, at);
    assert_string_equal(r.log, "greeting ready !parts");
    run(&r, &rules, stream, at, 1, 1);
    assert_string_equal(r.log, "greeting ready !parts");
}

/* Parts that are each short enough, and commands between them, are not more than a message may be. */
static void test_a_message_has_a_size(void **state)
{
    const struct wsb_zmtp_rules rules = {WSB_ZMTP_PULL, NULL, MAX_FRAME, MAX_MESSAGE};
    uint8_t stream[STREAM_MAX], body[MAX_FRAME] = {0};
    struct run r;
    (void)state;
    size_t begin = put(stream, 0, GREETING READY("PUSH"), sizeof GREETING READY("PUSH") - 1);
    size_t at = put_frame(stream, begin, 1, body, 900);
    at = put_frame(stream, at, 1, body, 900);
    at = put_frame(stream, at, 0, body, 150);
    run(&r, &rules, stream, at, at, at);
    assert_non_null(strstr(r.log, "greeting ready message("));
    at = put_frame(stream, begin, 1, body, 900);
    at = put_frame(stream, at, 1, body, 900);
    at = put_frame(stream, at, 0, body, 190);
    run(&r, &rules, stream, at, at, at);
    assert_string_equal(r.log, "greeting ready !size");
    at = put_frame(stream, begin, 1, body, 1);
    while (at < begin + MAX_MESSAGE + 10)
        at = put_frame(stream, at, 4, "\4PONGx", 6);
    run(&r, &rules, stream, at, at, at);
    assert_non_null(strstr(r.log, "!size"));
}

/* ------------------------------------------------------------------------ with keys */

static const char curve_greeting[64] = "\xff\0\0\0\0\0\0\0\1\x7f\3\1"
                                       "CURVE";
static const char dealer_metadata[] = "\x0bSocket-Type\0\0\0\6DEALER";

static struct wsb_curvezmq_server server;
static const struct wsb_zmtp_rules curve_rules = {WSB_ZMTP_ROUTER, &server, MAX_FRAME, MAX_MESSAGE};

static void make_server(void)
{
    uint8_t fresh[WSB_CURVEZMQ_KEY];
    assert_true(sodium_init() >= 0);
    memset(fresh, 8, sizeof fresh);
    server.cookie_count = 0;
    curve_pair(1, server.public_key, server.secret_key);
    wsb_curvezmq_rotate(&server, fresh);
}

/* A stream that a client would send: what it hears in between comes of a dry run, since all that is random is known. */
static size_t put_handshake(struct curve_client *c, uint8_t *stream, const char *metadata, size_t metadata_len)
{
    uint8_t body[600], welcome[WSB_CURVEZMQ_WELCOME];
    uint64_t nonce;
    enum wsb_zmtp_why why;
    curve_client_init(c, 2, server.public_key);
    size_t at = put(stream, 0, curve_greeting, sizeof curve_greeting);
    at = put_frame(stream, at, 4, body, curve_hello(c, body));
    assert_int_equal(
        wsb_curvezmq_welcome(&server, 5, wsb_span(body, WSB_CURVEZMQ_HELLO), random_bytes, welcome, &nonce, &why),
        WSB_OK);
    curve_take_welcome(c, welcome, sizeof welcome);
    return put_frame(stream, at, 4, body, curve_initiate(c, metadata, metadata_len, body));
}

static size_t put_box(struct curve_client *c, uint8_t *stream, size_t at, uint8_t frame_flags, uint8_t flags,
                      const void *data, size_t len)
{
    uint8_t body[STREAM_MAX];
    return put_frame(stream, at, frame_flags, body, curve_message(c, flags, data, len, body));
}

static void test_peers_with_keys(void **state)
{
    uint8_t stream[STREAM_MAX], long_part[700];
    struct curve_client c;
    (void)state;
    make_server();
    memset(long_part, 'l', sizeof long_part);
    size_t at = put_handshake(&c, stream, dealer_metadata, sizeof dealer_metadata - 1);
    run_every_way("a handshake", &curve_rules, stream, at, "greeting welcome ready more");
    at = put_box(&c, stream, at, 0, 1, "a", 1);
    at = put_box(&c, stream, at, 4, 0, "bc", 2); /* a command to the RFC, a message to libzmq */
    at = put_box(&c, stream, at, 0, 2, "\4PING\0\1", 7);
    at = put_box(&c, stream, at, 0, 0, "", 0);
    run_every_way("messages", &curve_rules, stream, at,
                  "greeting welcome ready message(a,bc) ping(100,) message() more");
    at = put_box(&c, stream, at, 0, 0, long_part, sizeof long_part);
    char want[LOG_MAX];
    (void)snprintf(want, sizeof want, "greeting welcome ready message(a,bc) ping(100,) message() message(%.*s) more",
                   (int)sizeof long_part, (const char *)long_part);
    run_every_way("a long one", &curve_rules, stream, at, want);
}

static void test_what_keys_do_not_open(void **state)
{
    uint8_t stream[STREAM_MAX], body[100];
    struct curve_client c;
    struct run r;
    (void)state;
    make_server();
    size_t begin = put_handshake(&c, stream, dealer_metadata, sizeof dealer_metadata - 1);
    size_t at = put_frame(stream, begin, 0, "plain", 5);
    run_every_way("a plain message", &curve_rules, stream, at, "greeting welcome ready !frame");
    memset(body, 'x', sizeof body);
    at = put_frame(stream, begin, 0, body, sizeof body);
    run_every_way("a longer plain message", &curve_rules, stream, at, "greeting welcome ready !command");
    at = put_box(&c, stream, begin, 1, 0, "a", 1);
    run_every_way("more outside of the box", &curve_rules, stream, at, "greeting welcome ready !frame");
    at = put_box(&c, stream, begin, 0, 4, "a", 1);
    run_every_way("flags that nobody knows", &curve_rules, stream, at, "greeting welcome ready !frame");
    at = put_box(&c, stream, begin, 0, 0, "a", 1);
    stream[at - 1] ^= 1;
    run_every_way("an altered box", &curve_rules, stream, at, "greeting welcome ready !box");
    at = put_box(&c, stream, begin, 0, 0, "a", 1);
    memcpy(stream + at, stream + begin, at - begin);
    run_every_way("a box that is sent twice", &curve_rules, stream, at + (at - begin),
                  "greeting welcome ready message(a) !nonce");
    at = put_box(&c, stream, begin, 0, 0, stream, MAX_FRAME + 1);
    run(&r, &curve_rules, stream, at, at, at);
    assert_string_equal(r.log, "greeting welcome ready !size");
    at = put_handshake(&c, stream, "\x0bSocket-Type\0\0\0\4PUSH", 20);
    run_every_way("another socket type", &curve_rules, stream, at, "greeting welcome !socket_type");
    at = put_handshake(&c, stream, "\x0bSocket", 7);
    run_every_way("broken metadata", &curve_rules, stream, at, "greeting welcome !command");
    at = put(stream, 0, GREETING DEALER, sizeof GREETING DEALER - 1);
    run_every_way("a peer without keys", &curve_rules, stream, at, "!mechanism");
}

static void test_a_key_that_is_proved_is_told(void **state)
{
    uint8_t stream[STREAM_MAX], out[WSB_ZMTP_READY_FRAME], metadata[100];
    struct curve_client c;
    struct wsb_zmtp_peer p;
    struct wsb_zmtp_event ev;
    size_t used, at = 0;
    (void)state;
    make_server();
    size_t len = put_handshake(&c, stream, dealer_metadata, sizeof dealer_metadata - 1);
    wsb_zmtp_peer_init(&p, &curve_rules, 5);
    do {
        assert_int_equal(wsb_zmtp_next(&p, stream + at, len - at, random_bytes, &ev, &used), WSB_OK);
        at += used;
    } while (ev.kind != WSB_ZMTP_EV_READY);
    assert_memory_equal(p.client, c.public_key, CURVE_KEY);
    size_t n = wsb_zmtp_ready_write(&p, out);
    assert_true(n <= sizeof out);
    assert_int_equal(out[0], 4);
    size_t said = curve_take_ready(&c, out + 2, n - 2, metadata);
    struct wsb_zmtp_metadata m;
    assert_int_equal(wsb_zmtp_metadata_parse(wsb_span(metadata, said), &m), WSB_OK);
    assert_true(wsb_span_eq_str(m.socket_type, "ROUTER"));
    wsb_zmtp_peer_deinit(&p);
}

static void test_our_ready_without_keys(void **state)
{
    const struct wsb_zmtp_rules rules = {WSB_ZMTP_XPUB, NULL, MAX_FRAME, MAX_MESSAGE};
    struct wsb_zmtp_peer p;
    uint8_t out[WSB_ZMTP_READY_FRAME];
    (void)state;
    wsb_zmtp_peer_init(&p, &rules, 1);
    static const char want[] = READY("XPUB");
    assert_int_equal(wsb_zmtp_ready_write(&p, out), sizeof want - 1);
    assert_memory_equal(out, want, sizeof want - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peers_without_keys),     cmocka_unit_test(test_parts_without_end),
        cmocka_unit_test(test_a_message_has_a_size),   cmocka_unit_test(test_peers_with_keys),
        cmocka_unit_test(test_what_keys_do_not_open),  cmocka_unit_test(test_a_key_that_is_proved_is_told),
        cmocka_unit_test(test_our_ready_without_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
