/*
 * The reader of a connection's frames: each row is a stream of frames and what comes of it, in words. Every row is read
 * whole, byte by byte and split at each point, and must come to the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "ws/frame.h"
#include "ws/mask.h"
#include "ws/message.h"

enum { ROOM = 4096, HEADER_REST_MAX = 13 };

struct frame {
    int first; /* first byte of the header; RAW: the bytes are put in as they are */
    const char *bytes;
    size_t len;
};

#define RAW_BYTES (-1)
#define F(first, text)                                                                                                 \
    {                                                                                                                  \
        first, text, sizeof(text) - 1                                                                                  \
    }
#define RAW(text)                                                                                                      \
    {                                                                                                                  \
        RAW_BYTES, text, sizeof(text) - 1                                                                              \
    }

static const struct wsb_ws_limits small = {.max_message = 64, .max_frame = 32, .max_fragments = 4};

#define S8   "12345678"
#define S32  S8 S8 S8 S8
#define S125 S32 S32 S32 S8 S8 S8 "12345"

static const struct row {
    const char *name;
    struct frame frames[7];
    const char *want;
    size_t fails_at; /* bytes of the stream after which the failure is known; 0 when it does not fail */
} rows[] = {
    {"§5.6 text", {F(0x81, "hello")}, "text(hello) ", 0},
    {"§5.6 binary, not UTF-8", {F(0x82, "\xff\xfe")}, "binary(\xff\xfe) ", 0},
    {"§5.2 empty text", {F(0x81, "")}, "text() ", 0},
    {"§5.2 empty binary", {F(0x82, "")}, "binary() ", 0},
    {"two messages", {F(0x81, "a"), F(0x82, "b")}, "text(a) binary(b) ", 0},
    {"§5.4 two fragments", {F(0x01, "he"), F(0x80, "llo")}, "text(hello) ", 0},
    {"§5.4 three fragments, one empty", {F(0x02, "he"), F(0x00, ""), F(0x80, "llo")}, "binary(hello) ", 0},
    {"§5.4 all fragments empty", {F(0x01, ""), F(0x00, ""), F(0x80, "")}, "text() ", 0},
    {"§5.4 a message behind a fragmented one", {F(0x01, "a"), F(0x80, "b"), F(0x81, "c")}, "text(ab) text(c) ", 0},
    {"§5.4 two fragmented messages",
     {F(0x01, "a"), F(0x80, "b"), F(0x02, "c"), F(0x80, "d")},
     "text(ab) binary(cd) ",
     0},
    {"§5.5 ping between fragments", {F(0x01, "he"), F(0x89, "p"), F(0x80, "llo")}, "ping(p) text(hello) ", 0},
    {"§5.5 pings and pong between fragments",
     {F(0x01, "he"), F(0x89, "p"), F(0x8a, ""), F(0x00, "l"), F(0x89, S125), F(0x80, "lo")},
     "ping(p) pong() ping(" S125 ") text(hello) ",
     0},
    {"§5.5.2 ping of 125, above max_frame", {F(0x89, S125)}, "ping(" S125 ") ", 0},
    {"§5.5.3 unsolicited pong", {F(0x8a, "x")}, "pong(x) ", 0},
    {"§5.5 ping in a full message",
     {F(0x02, S32), F(0x00, S32), F(0x89, S125), F(0x80, "")},
     "ping(" S125 ") binary(" S32 S32 ") ",
     0},
    {"§8.1 character across fragments",
     {F(0x01, "\xe2\x82"), F(0x89, "p"), F(0x80, "\xac")},
     "ping(p) text(\xe2\x82\xac) ",
     0},
    {"§5.5.1 empty close", {F(0x88, "")}, "close() closed", 0},
    {"§5.5.1 close with a code", {F(0x88, "\x03\xe8")}, "close(1000 ) closed", 0},
    {"§5.5.1 close with a reason",
     {F(0x88, "\x03\xe9"
              "bye \xe2\x82\xac")},
     "close(1001 bye \xe2\x82\xac) closed",
     0},
    {"§5.5.1 longest reason",
     {F(0x88, "\x0f\xa0" S32 S32 S32 S8 S8 S8 "123")},
     "close(4000 " S32 S32 S32 S8 S8 S8 "123) closed",
     0},
    {"§5.5.1 data behind a close is not read",
     {F(0x88, "\x03\xe8"), F(0x83, "nonsense"), F(0x81, "a")},
     "close(1000 ) closed",
     0},
    {"§5.5.1 close between fragments", {F(0x01, "he"), F(0x88, "\x03\xe8"), F(0x80, "llo")}, "close(1000 ) closed", 0},
    {"§7.4.2 close 3000", {F(0x88, "\x0b\xb8")}, "close(3000 ) closed", 0},
    {"§7.4.2 close 4999", {F(0x88, "\x13\x87")}, "close(4999 ) closed", 0},
    {"limit: message as large as allowed", {F(0x02, S32), F(0x80, S32)}, "binary(" S32 S32 ") ", 0},
    {"limit: as many fragments as allowed", {F(0x01, "a"), F(0x00, "b"), F(0x00, "c"), F(0x80, "d")}, "text(abcd) ", 0},
    {"unfinished header", {F(0x81, "a"), RAW("\x81\xfe\x01")}, "text(a) ", 0},
    {"unfinished message", {F(0x01, "a")}, "", 0},

    {"§5.4 continuation of nothing", {F(0x80, "a")}, "protocol error", 1},
    {"§5.4 continuation of nothing, not final", {F(0x00, "a")}, "protocol error", 1},
    {"§5.4 continuation of a finished message", {F(0x81, "a"), F(0x80, "b")}, "text(a) protocol error", 8},
    {"§5.4 new text inside a message", {F(0x01, "a"), F(0x81, "b")}, "protocol error", 8},
    {"§5.4 new binary inside a message", {F(0x01, "a"), F(0x02, "b")}, "protocol error", 8},
    {"§5.2 bad header behind a good message", {F(0x81, "a"), F(0x83, "b")}, "text(a) protocol error", 8},
    {"§5.1 unmasked",
     {RAW("\x81\x01"
          "a")},
     "protocol error",
     2},
    {"§5.5 ping of 126", {RAW("\x89\xfe")}, "protocol error", 2},
    {"§5.5.1 close payload of one byte", {F(0x88, "\x03")}, "protocol error", 6},
    {"§7.4.1 close 999", {F(0x88, "\x03\xe7")}, "protocol error", 8},
    {"§7.4.2 close 0", {F(0x88, "\0\0")}, "protocol error", 8},
    {"§7.4.1 close 1004", {F(0x88, "\x03\xec")}, "protocol error", 8},
    {"§7.4.1 close 1005",
     {F(0x88, "\x03\xed"
              "why")},
     "protocol error",
     8},
    {"§7.4.1 close 1006", {F(0x88, "\x03\xee")}, "protocol error", 8},
    {"§7.4.1 close 1015", {F(0x88, "\x03\xf7")}, "protocol error", 8},
    {"§7.4.2 close 1016", {F(0x88, "\x03\xf8")}, "protocol error", 8},
    {"§7.4.2 close 2999", {F(0x88, "\x0b\xb7")}, "protocol error", 8},
    {"§7.4.2 close 5000", {F(0x88, "\x13\x88")}, "protocol error", 8},
    {"§7.4.2 close 65535", {F(0x88, "\xff\xff")}, "protocol error", 8},
    {"§5.5.1 reason that is not UTF-8",
     {F(0x88, "\x03\xe8"
              "ab\xff"
              "cd")},
     "invalid UTF-8",
     11},
    {"§5.5.1 reason cut inside a character",
     {F(0x88, "\x03\xe8"
              "\xe2\x82")},
     "invalid UTF-8",
     10},
    {"§8.1 text that is not UTF-8",
     {F(0x81, "ab\xff"
              "cd")},
     "invalid UTF-8",
     9},
    {"§8.1 text cut inside a character", {F(0x81, "ab\xe2\x82")}, "invalid UTF-8", 10},
    {"§8.1 bad byte in a later fragment",
     {F(0x01, "ab"), F(0x80, "c\xc0"
                             "d")},
     "invalid UTF-8",
     16},
    {"§8.1 character left open at the end of the message", {F(0x01, "\xe2"), F(0x80, "\x82")}, "invalid UTF-8", 14},
    {"§8.1 character left open, then an empty end", {F(0x01, "\xe2\x82"), F(0x80, "")}, "invalid UTF-8", 14},
    {"§8.1 ASCII in an open character", {F(0x01, "\xe2\x82"), F(0x00, "a"), F(0x80, "b")}, "invalid UTF-8", 15},
    {"§8.1 state does not leak to the next message",
     {F(0x02, "\xe2\x82"), F(0x80, ""), F(0x81, "\xac")},
     "binary(\xe2\x82) invalid UTF-8",
     21},
    {"limit: frame", {F(0x82, S32 "x")}, "limit exceeded", 6},
    {"limit: message, by its third frame", {F(0x02, S32), F(0x00, S32), F(0x80, "x")}, "limit exceeded", 82},
    {"limit: fragments", {F(0x01, ""), F(0x00, ""), F(0x00, ""), F(0x00, ""), F(0x80, "")}, "limit exceeded", 30},
    {"limit: 2^63-1 bytes",
     {RAW("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"
          "key!")},
     "limit exceeded",
     14},
};

static size_t build(const struct row *r, uint8_t *out)
{
    size_t len = 0;
    for (const struct frame *f = r->frames; f < r->frames + 7 && f->bytes; f++) {
        if (f->first != RAW_BYTES) {
            struct wsb_frame_hdr hdr = {
                .opcode = (uint8_t)(f->first & 0x0f),
                .fin = f->first >> 7,
                .masked = true,
                .mask = {0x37, 0xfa, (uint8_t)(0x21 + len), 0x9d}, /* another one for each frame */
                .payload_len = f->len,
            };
            len += wsb_frame_hdr_write(out + len, &hdr);
            wsb_mask_copy(out + len, (const uint8_t *)f->bytes, f->len, hdr.mask, /*phase=*/0);
        } else {
            memcpy(out + len, f->bytes, f->len);
        }
        len += f->len;
    }
    return len;
}

/* What happened, in words. */
struct transcript {
    char text[ROOM];
    size_t len;
};

static void say(struct transcript *t, const char *what, const uint8_t *bytes, size_t len)
{
    t->len += (size_t)snprintf(t->text + t->len, ROOM - t->len, "%s", what);
    assert_true(t->len + len + 1 < ROOM);
    if (len)
        memcpy(t->text + t->len, bytes, len);
    t->len += len;
    t->text[t->len] = 0;
}

static wsb_err say_event(struct transcript *t, const struct wsb_ws_event *ev)
{
    char code[8] = "";
    switch (ev->type) {
    case WSB_WS_MESSAGE: {
        uint8_t *text = malloc(ev->len + 1); /* + 1: malloc(0) may be NULL */
        assert_non_null(text);
        wsb_err err = wsb_ws_event_take(ev, text);
        if (!err)
            say(t, ev->opcode == WSB_OP_TEXT ? "text(" : "binary(", text, ev->len);
        free(text);
        if (err)
            return err;
        break;
    }
    case WSB_WS_PING:
        say(t, "ping(", ev->control, ev->len);
        break;
    case WSB_WS_PONG:
        say(t, "pong(", ev->control, ev->len);
        break;
    case WSB_WS_CLOSE:
        if (ev->has_code)
            (void)snprintf(code, sizeof code, "%u ", (unsigned)ev->code);
        say(t, "close(", (const uint8_t *)code, strlen(code));
        say(t, "", ev->control, ev->len);
        break;
    }
    say(t, ") ", NULL, 0);
    return WSB_OK;
}

/* Read one piece, behind what was left over. Returns the last verdict: WSB_MORE, WSB_CLOSED or a failure. */
static wsb_err feed(struct wsb_ws_in *in, uint8_t *left, size_t *left_len, const uint8_t *piece, size_t len,
                    struct transcript *t)
{
    size_t all = *left_len + len;
    uint8_t *data = malloc(all + 1);
    assert_non_null(data);
    memcpy(data, left, *left_len);
    if (len)
        memcpy(data + *left_len, piece, len);

    size_t at = 0;
    wsb_err err;
    for (;;) {
        struct wsb_ws_event ev;
        size_t used = 0;
        err = wsb_ws_in_next(in, data + at, all - at, &used, &ev);
        assert_true(used <= all - at);
        at += used;
        if (!err)
            err = say_event(t, &ev);
        if (err)
            break;
    }
    if (err == WSB_MORE) {
        *left_len = all - at;
        assert_true(*left_len <= HEADER_REST_MAX);
        memcpy(left, data + at, *left_len);
    }
    if (err == WSB_CLOSED)
        assert_int_equal(at, all);
    free(data);
    return err;
}

/* Read a stream in pieces that end at each of `cuts`; `step` is used instead when it is not 0. */
static void read_stream(const uint8_t *stream, size_t len, size_t cut, size_t step, struct transcript *t,
                        size_t *ret_at)
{
    struct wsb_ws_in in;
    uint8_t left[HEADER_REST_MAX];
    size_t left_len = 0, at = 0;
    wsb_err err = WSB_MORE;
    t->len = 0;
    t->text[0] = 0;
    wsb_ws_in_init(&in, WSB_ROLE_SERVER, /*allowed_rsv=*/0, &small);
    while (at < len && (err == WSB_MORE || err == WSB_CLOSED)) {
        size_t end = step ? at + step : (at < cut ? cut : len);
        err = feed(&in, left, &left_len, stream + at, end - at, t);
        at = end;
    }
    if (err != WSB_MORE)
        say(t, wsb_err_name(err), NULL, 0);
    *ret_at = at;
    wsb_ws_in_deinit(&in);
}

static void test_message_streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *r = &rows[i];
        static uint8_t stream[ROOM];
        static struct transcript t;
        size_t len = build(r, stream);
        size_t at;
        for (size_t cut = 0; cut < len; cut++) {
            read_stream(stream, len, cut, /*step=*/0, &t, &at);
            if (strcmp(t.text, r->want) != 0)
                fail_msg("%s, split at %zu: %s", r->name, cut, t.text);
        }
        read_stream(stream, len, /*cut=*/0, /*step=*/1, &t, &at);
        if (strcmp(t.text, r->want) != 0)
            fail_msg("%s, byte by byte: %s", r->name, t.text);
        if (r->fails_at && at != r->fails_at)
            fail_msg("%s: failed after %zu bytes and not after %zu", r->name, at, r->fails_at);
    }
}

/* A frame that is there whole is not copied: the event points into the data and carries the key. */
static void test_message_in_one_frame_is_left_in_place(void **state)
{
    (void)state;
    const uint8_t data[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    struct wsb_ws_in in;
    struct wsb_ws_event ev;
    size_t used;
    uint8_t text[5];
    wsb_ws_in_init(&in, WSB_ROLE_SERVER, /*allowed_rsv=*/0, &small);
    assert_int_equal(wsb_ws_in_next(&in, data, sizeof data, &used, &ev), WSB_OK);
    assert_int_equal(used, sizeof data);
    assert_ptr_equal(ev.payload, data + 6);
    assert_true(ev.masked);
    assert_false(ev.checked);
    assert_memory_equal(ev.mask, data + 2, 4);
    assert_int_equal(wsb_ws_in_held(&in), 0);
    assert_int_equal(wsb_ws_event_take(&ev, text), WSB_OK);
    assert_memory_equal(text, "Hello", 5);
    wsb_ws_in_deinit(&in);
}

static void test_message_client_reads_unmasked_frames(void **state)
{
    (void)state;
    const uint8_t data[] = {0x81, 0x02, 'h', 'i', 0x81, 0x02, 0xc3, 0x28};
    struct wsb_ws_in in;
    struct wsb_ws_event ev;
    size_t used;
    uint8_t text[2];
    wsb_ws_in_init(&in, WSB_ROLE_CLIENT, /*allowed_rsv=*/0, &small);
    assert_int_equal(wsb_ws_in_next(&in, data, sizeof data, &used, &ev), WSB_OK);
    assert_false(ev.masked);
    assert_int_equal(wsb_ws_event_take(&ev, text), WSB_OK);
    assert_memory_equal(text, "hi", 2);
    assert_int_equal(wsb_ws_in_next(&in, data + used, sizeof data - used, &used, &ev), WSB_OK);
    assert_int_equal(wsb_ws_event_take(&ev, text), WSB_ERR_UTF8);
    wsb_ws_in_deinit(&in);
}

/* What an extension has packed is not text yet. */
static void test_message_with_rsv_is_not_checked_as_text(void **state)
{
    (void)state;
    const uint8_t data[] = {0xc1, 0x82, 0, 0,    0,    0,    0xff, 0xfe, 0x41, 0x81, 0,
                            0,    0,    0, 0xff, 0x80, 0x81, 0,    0,    0,    0,    0xfe};
    struct wsb_ws_in in;
    struct wsb_ws_event ev;
    size_t used;
    uint8_t raw[2];
    wsb_ws_in_init(&in, WSB_ROLE_SERVER, WSB_RSV1, &small);
    for (size_t at = 0; at < sizeof data; at += used) {
        assert_int_equal(wsb_ws_in_next(&in, data + at, sizeof data - at, &used, &ev), WSB_OK);
        assert_int_equal(ev.rsv, WSB_RSV1);
        assert_int_equal(ev.opcode, WSB_OP_TEXT);
        assert_int_equal(wsb_ws_event_take(&ev, raw), WSB_OK);
        assert_memory_equal(raw, "\xff\xfe", 2);
    }
    wsb_ws_in_deinit(&in);
}

/* Memory follows what has arrived: not what a header claims, and nothing is kept by an idle connection. */
static void test_message_memory_follows_what_has_arrived(void **state)
{
    (void)state;
    static const struct wsb_ws_limits large = {.max_message = 16u << 20, .max_frame = 16u << 20, .max_fragments = 9};
    enum { PIECE = 1000, LEN = 1 << 20 };
    static uint8_t piece[PIECE];
    struct wsb_frame_hdr hdr = {.opcode = WSB_OP_BINARY, .fin = true, .masked = true, .payload_len = LEN};
    uint8_t head[WSB_FRAME_HDR_MAX];
    size_t head_len = wsb_frame_hdr_write(head, &hdr);
    struct wsb_ws_in in;
    struct wsb_ws_event ev;
    size_t used;

    wsb_ws_in_init(&in, WSB_ROLE_SERVER, /*allowed_rsv=*/0, &large);
    assert_int_equal(wsb_ws_in_next(&in, head, head_len, &used, &ev), WSB_MORE);
    assert_int_equal(used, head_len);
    assert_int_equal(wsb_ws_in_held(&in), 0);

    size_t arrived = 0;
    while (arrived + PIECE < LEN) {
        assert_int_equal(wsb_ws_in_next(&in, piece, PIECE, &used, &ev), WSB_MORE);
        arrived += PIECE;
        assert_in_range(wsb_ws_in_held(&in), arrived, 2 * arrived + 256);
        wsb_ws_in_release(&in); /* must not touch a message in flight */
    }
    assert_int_equal(wsb_ws_in_next(&in, piece, LEN - arrived, &used, &ev), WSB_OK);
    assert_int_equal(ev.len, LEN);
    assert_true(wsb_ws_in_held(&in) >= LEN);
    assert_int_equal(wsb_ws_in_next(&in, NULL, 0, &used, &ev), WSB_MORE);
    assert_int_equal(wsb_ws_in_held(&in), 0);
    wsb_ws_in_deinit(&in);
}

static void test_message_release_frees_a_delivered_message(void **state)
{
    (void)state;
    const uint8_t data[] = {0x02, 0x81, 0, 0, 0, 0, 'a', 0x80, 0x81, 0, 0, 0, 0, 'b'};
    struct wsb_ws_in in;
    struct wsb_ws_event ev;
    size_t used;
    wsb_ws_in_init(&in, WSB_ROLE_SERVER, /*allowed_rsv=*/0, &small);
    assert_int_equal(wsb_ws_in_next(&in, data, sizeof data, &used, &ev), WSB_OK);
    assert_true(wsb_ws_in_held(&in) > 0);
    wsb_ws_in_release(&in);
    assert_int_equal(wsb_ws_in_held(&in), 0);
    assert_int_equal(wsb_ws_in_next(&in, data, sizeof data, &used, &ev), WSB_OK); /* and it goes on */
    assert_memory_equal(ev.payload, "ab", 2);
    wsb_ws_in_deinit(&in);
}

static void test_message_failure_is_final_and_frees_the_message(void **state)
{
    (void)state;
    const uint8_t begun[] = {0x01, 0x81, 0, 0, 0, 0, 'a'};
    const uint8_t bad[] = {0x83};
    const uint8_t good[] = {0x81, 0x81, 0, 0, 0, 0, 'a'};
    struct wsb_ws_in in;
    struct wsb_ws_event ev;
    size_t used;
    wsb_ws_in_init(&in, WSB_ROLE_SERVER, /*allowed_rsv=*/0, &small);
    assert_int_equal(wsb_ws_in_next(&in, begun, sizeof begun, &used, &ev), WSB_MORE);
    assert_true(wsb_ws_in_held(&in) > 0);
    assert_int_equal(wsb_ws_in_next(&in, bad, sizeof bad, &used, &ev), WSB_ERR_PROTO);
    assert_int_equal(wsb_ws_in_held(&in), 0);
    assert_int_equal(wsb_ws_in_next(&in, good, sizeof good, &used, &ev), WSB_ERR_PROTO);
    wsb_ws_in_deinit(&in);
}

/* The default number of fragments is reached, and one more is refused. */
static void test_message_of_65536_fragments(void **state)
{
    (void)state;
    static const struct wsb_ws_limits limits = {.max_fragments = WSB_WS_DEFAULT_MAX_FRAGMENTS};
    uint8_t frame[] = {0x02, 0x81, 0, 0, 0, 0, 'x'};
    for (int extra = 0; extra < 2; extra++) {
        struct wsb_ws_in in;
        struct wsb_ws_event ev;
        size_t used;
        wsb_ws_in_init(&in, WSB_ROLE_SERVER, /*allowed_rsv=*/0, &limits);
        for (int i = 0; i < WSB_WS_DEFAULT_MAX_FRAGMENTS - 1 + extra; i++) {
            frame[0] = i ? 0x00 : 0x02;
            assert_int_equal(wsb_ws_in_next(&in, frame, sizeof frame, &used, &ev), WSB_MORE);
        }
        frame[0] = 0x80;
        assert_int_equal(wsb_ws_in_next(&in, frame, sizeof frame, &used, &ev), extra ? WSB_ERR_LIMIT : WSB_OK);
        if (!extra)
            assert_int_equal(ev.len, WSB_WS_DEFAULT_MAX_FRAGMENTS);
        wsb_ws_in_deinit(&in);
    }
}

/* A long text is taken in pieces; a character on their border is as good as any. */
static void test_message_take_checks_long_text(void **state)
{
    (void)state;
    enum { LEN = 40000 };
    static uint8_t payload[LEN], dst[LEN];
    static const uint8_t bad_at[] = {0, 1, 2, 3};
    for (size_t shift = 0; shift < 3; shift++) {
        struct wsb_ws_event ev = {
            .type = WSB_WS_MESSAGE, .opcode = WSB_OP_TEXT, .masked = true, .len = LEN, .payload = payload};
        memset(payload, 'x', LEN);
        for (size_t at = shift; at + 3 <= LEN; at += 3)
            memcpy(payload + at, "\xe2\x82\xac", 3);
        if ((LEN - shift) % 3)
            memset(payload + LEN - (LEN - shift) % 3, 'x', (LEN - shift) % 3);
        assert_int_equal(wsb_ws_event_take(&ev, dst), WSB_OK);
        assert_memory_equal(dst, payload, LEN);
        for (size_t i = 0; i < sizeof bad_at; i++) {
            size_t at = 16384 - 2 + bad_at[i];
            uint8_t was = payload[at];
            payload[at] = 0xff;
            assert_int_equal(wsb_ws_event_take(&ev, dst), WSB_ERR_UTF8);
            payload[at] = was;
        }
        payload[LEN - 1] = 0xe2; /* ends inside a character */
        payload[LEN - 2] = payload[LEN - 3] = 'x';
        payload[LEN - 4] = payload[LEN - 5] = 'x';
        assert_int_equal(wsb_ws_event_take(&ev, dst), WSB_ERR_UTF8);
    }
}

static void test_message_close_codes_of_failures(void **state)
{
    (void)state;
    assert_int_equal(wsb_ws_in_close_code(WSB_ERR_PROTO), 1002);
    assert_int_equal(wsb_ws_in_close_code(WSB_ERR_UTF8), 1007);
    assert_int_equal(wsb_ws_in_close_code(WSB_ERR_LIMIT), 1009);
    assert_int_equal(wsb_ws_in_close_code(WSB_ERR_NOMEM), 1011);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_streams),
        cmocka_unit_test(test_message_in_one_frame_is_left_in_place),
        cmocka_unit_test(test_message_client_reads_unmasked_frames),
        cmocka_unit_test(test_message_with_rsv_is_not_checked_as_text),
        cmocka_unit_test(test_message_memory_follows_what_has_arrived),
        cmocka_unit_test(test_message_release_frees_a_delivered_message),
        cmocka_unit_test(test_message_failure_is_final_and_frees_the_message),
        cmocka_unit_test(test_message_of_65536_fragments),
        cmocka_unit_test(test_message_take_checks_long_text),
        cmocka_unit_test(test_message_close_codes_of_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
