/*
 * Compressed messages: each row is a payload as it arrives, and what comes of it, in one frame, in fragments split at each
 * point, masked and not; and both ends against each other under all that can be agreed on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ws/deflate.h"
#include "ws/mask.h"
#include "ws/message.h"

enum { MAX_MESSAGE = 64 };

static const struct wsb_ws_limits limits = {.max_message = MAX_MESSAGE, .max_frame = MAX_MESSAGE};

struct end {
    struct wsb_deflate_account account;
    struct wsb_deflate_shared *shared;
    struct wsb_deflate *deflate;
};

static struct wsb_deflate_params params_of(bool takeover, unsigned server_bits, unsigned client_bits)
{
    return (struct wsb_deflate_params){.server_no_takeover = !takeover,
                                       .client_no_takeover = !takeover,
                                       .server_bits = (uint8_t)server_bits,
                                       .client_bits = (uint8_t)client_bits};
}

static void end_init(struct end *e, enum wsb_role role, const struct wsb_deflate_params *p)
{
    *e = (struct end){.account.max = 1 << 20};
    assert_int_equal(wsb_deflate_shared_new(&e->shared, &e->account), WSB_OK);
    assert_int_equal(wsb_deflate_new(&e->deflate, e->shared, role, p, /*level=*/1), WSB_OK);
}

static void end_deinit(struct end *e)
{
    wsb_deflate_free(e->deflate);
    wsb_deflate_shared_free(e->shared);
    assert_int_equal(atomic_load(&e->account.used), 0);
}

/* ---------------------------------------------------------------- unpacking */

#define P(bytes)      bytes, sizeof(bytes) - 1
#define HELLO         "\xf2\x48\xcd\xc9\xc9\x07\x00"
#define STORED_5      "\x00\x05\x00\xfa\xff"
#define TWELVE_HELLOS "HelloHelloHelloHelloHelloHelloHelloHelloHelloHelloHelloHello"

static const struct row {
    const char *name;
    const char *packed;
    size_t len;
    int opcode;
    const char *want; /* the message, or the failure's name in <> */
} rows[] = {
    {"§7.2.3.1 one block", P(HELLO), WSB_OP_TEXT, "Hello"},
    {"§7.2.3.3 no compression", P(STORED_5 "Hello\x00"), WSB_OP_TEXT, "Hello"},
    {"§7.2.3.4 BFINAL", P("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), WSB_OP_TEXT, "Hello"},
    {"§7.2.3.4 BFINAL, and nothing behind it", P("\xf3\x48\xcd\xc9\xc9\x07\x00"), WSB_OP_TEXT, "Hello"},
    {"§7.2.3.5 two blocks", P("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), WSB_OP_TEXT, "Hello"},
    {"§7.2.3.6 an empty message", P("\x00"), WSB_OP_TEXT, ""},
    {"§7.2.3.6 an empty message, other blocks", P("\x02\x00"), WSB_OP_BINARY, ""},
    {"BFINAL in the middle, the window goes on",
     P("\xf3\x48\xcd\xc9\xc9\x07\x00"
       "\xf2\x48\xcd\xc9\xc9\x07\x00"),
     WSB_OP_TEXT, "HelloHello"},
    {"several blocks with BFINAL",
     P("\x01\x02\x00\xfd\xffHe"
       "\x01\x03\x00\xfc\xffllo"
       "\x03\x00"
       "\x03\x00"),
     WSB_OP_TEXT, "Hello"},
    {"a binary message that is not UTF-8", P("\x00\x01\x00\xfe\xff\xff\x00"), WSB_OP_BINARY, "\xff"},
    {"as large as it may be", P("\x00\x40\x00\xbf\xff" TWELVE_HELLOS "1234\x00"), WSB_OP_TEXT, TWELVE_HELLOS "1234"},
    {"§8.1 of RFC 6455: characters across blocks", P("\x00\x01\x00\xfe\xff\xe2\x00\x02\x00\xfd\xff\x82\xac\x00"),
     WSB_OP_TEXT, "\xe2\x82\xac"},

    {"§7.2.2 no byte at all", P(""), WSB_OP_TEXT, "<protocol error>"},
    {"§7.2.2 a block type that does not exist", P("\x07"), WSB_OP_TEXT, "<protocol error>"},
    {"§7.2.2 garbage", P("\xff\xff\xff\xff"), WSB_OP_BINARY, "<protocol error>"},
    {"§7.2.2 lengths that do not fit", P("\x00\x05\x00\x00\x00Hello\x00"), WSB_OP_TEXT, "<protocol error>"},
    {"§7.2.2 cut in a block", P("\xf2\x48\xcd\xc9"), WSB_OP_TEXT, "<protocol error>"},
    {"§7.2.2 cut in a stored block", P("\x00\x0f\x00\xf0\xffHello"), WSB_OP_BINARY, "<protocol error>"},
    {"§7.2.2 a distance before the beginning", P("\x4a\x04\x92\x00"), WSB_OP_BINARY, "<protocol error>"},
    {"§7.2.2 garbage behind a good block", P(HELLO "\xff\x12"), WSB_OP_TEXT, "<protocol error>"},
    {"§7.2.2 garbage behind BFINAL", P("\xf3\x48\xcd\xc9\xc9\x07\x00\xff"), WSB_OP_TEXT, "<protocol error>"},
    {"one byte more than it may be", P("\x00\x41\x00\xbe\xff" TWELVE_HELLOS "12345\x00"), WSB_OP_TEXT,
     "<limit exceeded>"},
    {"a bomb: 2000 equal bytes", P("\x4a\x4c\x1c\x05\xa3\x60\x14\x8c\x82\x51\x30\x0a\x46\xc1\x50\x07\x00"), WSB_OP_TEXT,
     "<limit exceeded>"},
    {"§8.1 of RFC 6455: not UTF-8", P("\x00\x02\x00\xfd\xffH\xff\x00"), WSB_OP_TEXT, "<invalid UTF-8>"},
    {"§8.1 of RFC 6455: cut inside a character", P("\x00\x02\x00\xfd\xff\xe2\x82\x00"), WSB_OP_TEXT, "<invalid UTF-8>"},
    {"§8.1 of RFC 6455: not UTF-8, then a bomb",
     P("\x00\x01\x00\xfe\xff\xff"
       "\x4a\x4c\x1c\x05\xa3\x60\x14\x8c\x82\x51\x30\x0a\x46\xc1\x50\x07\x00"),
     WSB_OP_TEXT, "<invalid UTF-8>"},
};

static size_t put_frame(uint8_t *out, uint8_t opcode, bool fin, uint8_t rsv, bool masked, const void *bytes, size_t len)
{
    struct wsb_frame_hdr hdr = {
        .opcode = opcode, .fin = fin, .rsv = rsv, .masked = masked, .mask = {1, 0x22, 0x80, 0xf1}, .payload_len = len};
    if (!masked)
        memset(hdr.mask, 0, sizeof hdr.mask);
    size_t n = wsb_frame_hdr_write(out, &hdr);
    wsb_mask_copy(out + n, bytes, len, hdr.mask, /*phase=*/0);
    return n + len;
}

/* Read one message from a stream, in pieces of `step` bytes. */
static size_t unpack_step = SIZE_MAX; /* bytes of work, after which it is interrupted */

static wsb_err unpack(struct wsb_deflate *d, struct wsb_ws_event *ev, size_t max)
{
    size_t budget = unpack_step;
    wsb_err err = wsb_deflate_unpack_some(d, ev, max, &budget);
    while (err == WSB_AGAIN) {
        assert_true(wsb_deflate_unpacking_held(d) > 0);
        assert_int_equal(budget, 0);
        budget = unpack_step;
        err = wsb_deflate_unpack_more(d, ev, &budget);
    }
    assert_int_equal(wsb_deflate_unpacking_held(d), 0);
    return err;
}

static wsb_err read_message(struct wsb_ws_in *in, struct wsb_deflate *d, const uint8_t *stream, size_t len, size_t step,
                            size_t max, struct wsb_ws_event *ev)
{
    size_t start = 0, end = 0;
    while (end < len) {
        end = len - end < step ? len : end + step;
        for (;;) {
            size_t used = 0;
            wsb_err err = wsb_ws_in_next(in, stream + start, end - start, &used, ev);
            if (err && err != WSB_MORE)
                return err;
            start += used;
            if (err == WSB_MORE)
                break;
            if (ev->type == WSB_WS_MESSAGE)
                return ev->rsv ? unpack(d, ev, max) : WSB_OK;
        }
    }
    return WSB_MORE;
}

static void check(const char *name, const char *how, size_t at, wsb_err err, const struct wsb_ws_event *ev,
                  const char *want)
{
    char got[256];
    if (err)
        (void)snprintf(got, sizeof got, "<%s>", wsb_err_name(err));
    else
        (void)snprintf(got, sizeof got, "%.*s", (int)ev->len, (const char *)ev->payload);
    if (strcmp(got, want) != 0)
        fail_msg("%s, %s %zu: %s", name, how, at, got);
    if (!err)
        assert_true(ev->checked && !ev->masked && !ev->rsv);
}

/* The same payload, whole and as two fragments split at each point with a ping between; arriving whole and bytewise. */
static void check_row(const struct row *r, bool takeover, enum wsb_role role)
{
    struct wsb_deflate_params p = params_of(takeover, 15, 15);
    bool masked = role == WSB_ROLE_SERVER;
    for (size_t cut = 0; cut <= r->len + 1; cut++) {
        uint8_t stream[512];
        size_t len = 0;
        struct wsb_ws_event ev;
        if (cut > r->len) {
            len = put_frame(stream, (uint8_t)r->opcode, true, WSB_RSV1, masked, r->packed, r->len);
        } else {
            len = put_frame(stream, (uint8_t)r->opcode, false, WSB_RSV1, masked, r->packed, cut);
            len += put_frame(stream + len, WSB_OP_PING, true, 0, masked, "p", 1);
            len += put_frame(stream + len, WSB_OP_CONTINUATION, true, 0, masked, r->packed + cut, r->len - cut);
        }
        for (size_t step = 1; step <= len; step += len - 1) {
            struct end e;
            struct wsb_ws_in in;
            end_init(&e, role, &p);
            wsb_ws_in_init(&in, role, WSB_RSV1, &limits);
            wsb_err err = read_message(&in, e.deflate, stream, len, step, MAX_MESSAGE, &ev);
            check(r->name, step == 1 ? "bytewise, cut" : "whole, cut", cut, err, &ev, r->want);
            wsb_ws_in_deinit(&in);
            end_deinit(&e);
        }
    }
}

static void test_deflate_unpacks_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int how = 0; how < 4; how++)
            check_row(&rows[i], how & 1, how & 2 ? WSB_ROLE_CLIENT : WSB_ROLE_SERVER);
    }
}

static void test_deflate_unpacks_rows_in_steps(void **state)
{
    static const size_t some[] = {1, 5, 1000};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        unpack_step = some[i];
        test_deflate_unpacks_rows(state);
    }
    unpack_step = SIZE_MAX;
}

/* What it was packed as is overwritten meanwhile, and others of the thread unpack theirs. */
static void check_interrupted(bool takeover, bool masked)
{
    enum { LEN = 100000 };
    static uint8_t text[LEN], packed[LEN];
    struct wsb_deflate_params p = params_of(takeover, 15, 15);
    struct end client, server;
    struct wsb_span out;
    end_init(&client, WSB_ROLE_CLIENT, &p);
    end_init(&server, WSB_ROLE_SERVER, &p);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < LEN; i++)
            text[i] = (uint8_t)(i * i >> 7 ^ i % (size_t)(5 + round));
        assert_int_equal(wsb_deflate_pack(client.deflate, WSB_DEFLATE_IN_ORDER, wsb_span(text, LEN), &out), WSB_OK);
        struct wsb_ws_event ev = {.type = WSB_WS_MESSAGE,
                                  .opcode = WSB_OP_BINARY,
                                  .rsv = WSB_RSV1,
                                  .masked = masked,
                                  .mask = {1, 2, 3, 4},
                                  .payload = packed,
                                  .len = out.len};
        for (size_t i = 0; i < out.len; i++)
            packed[i] = out.ptr[i] ^ (masked ? ev.mask[i % 4] : 0);
        size_t budget = 1000;
        wsb_err err = wsb_deflate_unpack_some(server.deflate, &ev, LEN, &budget);
        assert_int_equal(err, WSB_AGAIN);
        memset(packed, 0xff, sizeof packed);
        for (int steps = 0; err == WSB_AGAIN; steps++) {
            struct wsb_deflate *other;
            struct wsb_ws_event hello = {.type = WSB_WS_MESSAGE,
                                         .opcode = WSB_OP_TEXT,
                                         .rsv = WSB_RSV1,
                                         .payload = (const uint8_t *)HELLO,
                                         .len = 7};
            assert_int_equal(wsb_deflate_new(&other, server.shared, WSB_ROLE_SERVER, &p, 1), WSB_OK);
            assert_int_equal(wsb_deflate_unpack(other, &hello, MAX_MESSAGE), WSB_OK);
            assert_memory_equal(hello.payload, "Hello", 5);
            wsb_deflate_free(other);
            assert_in_range(steps, 0, 1000);
            budget = 1000;
            err = wsb_deflate_unpack_more(server.deflate, &ev, &budget);
        }
        assert_int_equal(err, WSB_OK);
        assert_int_equal(ev.len, LEN);
        assert_memory_equal(ev.payload, text, LEN);
    }
    size_t budget = 10;
    struct wsb_ws_event ev = {
        .type = WSB_WS_MESSAGE, .opcode = WSB_OP_BINARY, .rsv = WSB_RSV1, .payload = out.ptr, .len = out.len};
    (void)!wsb_deflate_unpack_some(server.deflate, &ev, LEN, &budget); /* and one that is never done */
    end_deinit(&client);
    end_deinit(&server);
}

static void test_deflate_is_interrupted(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++)
        check_interrupted(how & 1, how & 2);
}

/* Where RSV1 may stand. Frames are unmasked: the reader is a client's. */
static void test_deflate_rsv1_only_where_agreed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *bytes;
        size_t len;
        uint8_t allowed;
        wsb_err want;
    } streams[] = {
        {"RFC 6455 §5.2 not agreed", P("\xc1\x07" HELLO), 0, WSB_ERR_PROTO},
        {"agreed", P("\xc1\x07" HELLO), WSB_RSV1, WSB_OK},
        {"agreed, and not used", P("\x81\x05Hello"), WSB_RSV1, WSB_OK},
        {"§6.1 on a later frame", P("\x41\x01\xf2\xc0\x06\x48\xcd\xc9\xc9\x07\x00"), WSB_RSV1, WSB_ERR_PROTO},
        {"§6.1 on a later frame of one that has it not", P("\x01\x01H\xc0\x01i"), WSB_RSV1, WSB_ERR_PROTO},
        {"§6.1 on a ping", P("\xc9\x01p"), WSB_RSV1, WSB_ERR_PROTO},
        {"§6.1 on a close", P("\xc8\x00"), WSB_RSV1, WSB_ERR_PROTO},
        {"RFC 6455 §5.2 RSV2", P("\xe1\x07" HELLO), WSB_RSV1, WSB_ERR_PROTO},
        {"RFC 6455 §5.2 RSV3", P("\xd1\x07" HELLO), WSB_RSV1, WSB_ERR_PROTO},
    };
    struct wsb_deflate_params p = params_of(false, 15, 15);
    struct end e;
    end_init(&e, WSB_ROLE_CLIENT, &p);
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        struct wsb_ws_in in;
        struct wsb_ws_event ev;
        wsb_ws_in_init(&in, WSB_ROLE_CLIENT, streams[i].allowed, &limits);
        wsb_err err = read_message(&in, e.deflate, (const uint8_t *)streams[i].bytes, streams[i].len, streams[i].len,
                                   MAX_MESSAGE, &ev);
        if (err != streams[i].want)
            fail_msg("%s: %s", streams[i].name, wsb_err_name(err));
        if (!err)
            assert_memory_equal(ev.payload, "Hello", 5);
        wsb_ws_in_deinit(&in);
    }
    end_deinit(&e);
}

/* §7.2.3.2: the second "Hello" refers to the first, which is good with takeover only. */
static void test_deflate_takeover_is_what_was_agreed(void **state)
{
    (void)state;
    static const uint8_t again[] = {0xf2, 0x00, 0x11, 0x00, 0x00};
    for (int takeover = 0; takeover < 2; takeover++) {
        struct wsb_deflate_params p = params_of(takeover, 15, 15);
        struct end e;
        end_init(&e, WSB_ROLE_CLIENT, &p);
        struct wsb_ws_event ev = {.type = WSB_WS_MESSAGE,
                                  .opcode = WSB_OP_TEXT,
                                  .rsv = WSB_RSV1,
                                  .payload = (const uint8_t *)HELLO,
                                  .len = 7};
        assert_int_equal(wsb_deflate_unpack(e.deflate, &ev, MAX_MESSAGE), WSB_OK);
        ev.rsv = WSB_RSV1;
        ev.payload = again;
        ev.len = sizeof again;
        wsb_err err = wsb_deflate_unpack(e.deflate, &ev, MAX_MESSAGE);
        assert_int_equal(err, takeover ? WSB_OK : WSB_ERR_PROTO);
        if (!err)
            assert_memory_equal(ev.payload, "Hello", 5);
        end_deinit(&e);
    }
}

/* A small message inflates to as much as is allowed and no further, and memory is taken for no more than that. */
static void test_deflate_bomb_is_bounded(void **state)
{
    (void)state;
    enum { LEN = 8 << 20, MAX = 1 << 20 };
    uint8_t *zeros = calloc(1, LEN);
    assert_non_null(zeros);
    struct wsb_deflate_params p = params_of(false, 15, 15);
    struct end server, client;
    struct wsb_span packed;
    end_init(&server, WSB_ROLE_SERVER, &p);
    end_init(&client, WSB_ROLE_CLIENT, &p);
    assert_int_equal(wsb_deflate_pack(client.deflate, WSB_DEFLATE_IN_ORDER, wsb_span(zeros, LEN), &packed), WSB_OK);
    assert_in_range(packed.len, 1, LEN / 200);
    struct wsb_ws_event ev = {
        .type = WSB_WS_MESSAGE, .opcode = WSB_OP_BINARY, .rsv = WSB_RSV1, .payload = packed.ptr, .len = packed.len};
    assert_int_equal(wsb_deflate_unpack(server.deflate, &ev, MAX), WSB_ERR_LIMIT);
    assert_int_equal(wsb_deflate_unpack(server.deflate, &ev, LEN - 1), WSB_ERR_LIMIT);
    assert_int_equal(wsb_deflate_unpack(server.deflate, &ev, LEN), WSB_OK);
    assert_int_equal(ev.len, LEN);
    assert_memory_equal(ev.payload, zeros, LEN);
    end_deinit(&server);
    end_deinit(&client);
    free(zeros);
}

/* As many blocks with BFINAL as fit into a message cost no more than other blocks. */
static void test_deflate_many_final_blocks(void **state)
{
    (void)state;
    enum { BLOCKS = 1 << 19 };
    uint8_t *blocks = malloc((size_t)2 * BLOCKS);
    assert_non_null(blocks);
    for (size_t i = 0; i < BLOCKS; i++)
        memcpy(blocks + 2 * i, "\x03\x00", 2);
    struct wsb_deflate_params p = params_of(true, 15, 15);
    struct end e;
    end_init(&e, WSB_ROLE_CLIENT, &p);
    struct wsb_ws_event ev = {
        .type = WSB_WS_MESSAGE, .opcode = WSB_OP_BINARY, .rsv = WSB_RSV1, .payload = blocks, .len = (size_t)2 * BLOCKS};
    assert_int_equal(wsb_deflate_unpack(e.deflate, &ev, MAX_MESSAGE), WSB_OK);
    assert_int_equal(ev.len, 0);
    end_deinit(&e);
    free(blocks);
}

/* ---------------------------------------------------------------- both ends */

/* Text that repeats itself within and across messages, with some noise; the same for the same seed. */
static size_t compose(uint8_t *out, unsigned seed)
{
    static const size_t lengths[] = {1, 2, 30, 127, 700, 4096, 4097, 20000, 70000};
    size_t len = lengths[seed % (sizeof lengths / sizeof *lengths)];
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        out[i] = seed % 5 == 4 ? (uint8_t)(x >> 24) : (uint8_t)("the quick brown fox "[(i + (x >> 29)) % 20]);
    }
    return len;
}

/* One message from one end to the other. */
static void carry(struct end *from, struct end *to, enum wsb_deflate_context context, unsigned seed, bool arrives)
{
    static uint8_t message[70000], wire[80000];
    size_t len = compose(message, seed);
    struct wsb_span packed;
    wsb_err err = wsb_deflate_pack(from->deflate, context, wsb_span(message, len), &packed);
    assert_true(err == WSB_OK || err == WSB_AGAIN);
    if (err || !arrives)
        return;
    assert_true(packed.len < len);
    memcpy(wire, packed.ptr, packed.len);
    struct wsb_ws_event ev = {
        .type = WSB_WS_MESSAGE, .opcode = WSB_OP_BINARY, .rsv = WSB_RSV1, .payload = wire, .len = packed.len};
    assert_int_equal(wsb_deflate_unpack(to->deflate, &ev, sizeof message), WSB_OK);
    assert_int_equal(ev.len, len);
    assert_memory_equal(ev.payload, message, len);
}

static void test_deflate_ends_understand_each_other(void **state)
{
    (void)state;
    for (unsigned server_bits = 8; server_bits <= 15; server_bits++) {
        for (unsigned client_bits = 8; client_bits <= 15; client_bits++) {
            for (unsigned how = 0; how < 4; how++) {
                const struct wsb_deflate_params p = {.server_no_takeover = how & 1,
                                                     .client_no_takeover = how >> 1,
                                                     .server_bits = (uint8_t)server_bits,
                                                     .client_bits = (uint8_t)client_bits};
                struct end server, client;
                end_init(&server, WSB_ROLE_SERVER, &p);
                end_init(&client, WSB_ROLE_CLIENT, &p);
                for (unsigned i = 0; i < 9; i++) {
                    carry(&server, &client, WSB_DEFLATE_IN_ORDER, i * 7 + how, /*arrives=*/true);
                    carry(&client, &server, WSB_DEFLATE_IN_ORDER, i * 4 + how, /*arrives=*/true);
                }
                end_deinit(&server);
                end_deinit(&client);
            }
        }
    }
}

/* Messages that are packed alone may be lost, those in order may not; whatever the mixture, all that arrives is read. */
static void test_deflate_alone_messages_may_be_dropped(void **state)
{
    (void)state;
    const struct wsb_deflate_params p = params_of(true, 12, 12);
    struct end server, client;
    uint32_t x = 1;
    end_init(&server, WSB_ROLE_SERVER, &p);
    end_init(&client, WSB_ROLE_CLIENT, &p);
    for (unsigned i = 0; i < 2000; i++) {
        x = x * 1664525u + 1013904223u;
        bool is_alone = x >> 30 & 1;
        bool arrives = !is_alone || x >> 31;
        carry(&server, &client, is_alone ? WSB_DEFLATE_ALONE : WSB_DEFLATE_IN_ORDER, x >> 8 & 0xff, arrives);
        if (x % 16 == 0) { /* one that was to be sent in order, and could not */
            carry(&server, &client, WSB_DEFLATE_IN_ORDER, x >> 9 & 0xff, /*arrives=*/false);
            wsb_deflate_forget(server.deflate);
        }
    }
    end_deinit(&server);
    end_deinit(&client);
}

static void test_deflate_same_kind_same_bytes(void **state)
{
    (void)state;
    struct wsb_deflate_params p15 = params_of(false, 15, 15);
    struct wsb_deflate_params p12 = params_of(false, 12, 15);
    struct end e;
    struct wsb_deflate *other;
    end_init(&e, WSB_ROLE_SERVER, &p15);
    assert_int_equal(wsb_deflate_new(&other, e.shared, WSB_ROLE_SERVER, &p12, 1), WSB_OK);
    assert_int_equal(wsb_deflate_alone_kind(e.deflate, 100), wsb_deflate_alone_kind(other, 100));
    assert_int_not_equal(wsb_deflate_alone_kind(e.deflate, 100000), wsb_deflate_alone_kind(other, 100000));
    wsb_deflate_free(other);
    end_deinit(&e);
}

/* ------------------------------------------------------------------- memory */

static void test_deflate_account(void **state)
{
    (void)state;
    struct wsb_deflate_params keep = params_of(true, 12, 12);
    struct wsb_deflate_params alone = params_of(false, 15, 15);
    struct wsb_deflate_account account = {.max = 100 << 10};
    struct wsb_deflate_shared *shared;
    struct wsb_deflate *d[64];
    size_t count = 0;
    wsb_err err;
    assert_int_equal(wsb_deflate_shared_new(&shared, &account), WSB_OK);
    while ((err = wsb_deflate_new(&d[count], shared, WSB_ROLE_SERVER, &keep, 1)) == WSB_OK)
        assert_in_range(++count, 1, 4); /* each of some 50 KiB */
    assert_int_equal(err, WSB_ERR_FULL);
    assert_int_equal(account.refused, 1);
    assert_true(account.used <= account.max);
    assert_int_equal(wsb_deflate_new(&d[count], shared, WSB_ROLE_SERVER, &alone, 1), WSB_OK); /* costs nothing there */
    wsb_deflate_free(d[count]);
    while (count)
        wsb_deflate_free(d[--count]);
    assert_int_equal(account.used, 0);
    wsb_deflate_shared_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deflate_unpacks_rows),
        cmocka_unit_test(test_deflate_unpacks_rows_in_steps),
        cmocka_unit_test(test_deflate_is_interrupted),
        cmocka_unit_test(test_deflate_rsv1_only_where_agreed),
        cmocka_unit_test(test_deflate_takeover_is_what_was_agreed),
        cmocka_unit_test(test_deflate_bomb_is_bounded),
        cmocka_unit_test(test_deflate_many_final_blocks),
        cmocka_unit_test(test_deflate_ends_understand_each_other),
        cmocka_unit_test(test_deflate_alone_messages_may_be_dropped),
        cmocka_unit_test(test_deflate_same_kind_same_bytes),
        cmocka_unit_test(test_deflate_account),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
