/* What a line of the access log says, and what hostile clients cannot make of it. */
#include "support/test.h"

#include "access/line.h"

#define TIME_NS 1795966286123456789u /* 2026-11-29T15:31:26.123456789Z */

static struct wsb_span text(const char *s)
{
    return wsb_span_str(s);
}

static struct wsg_access_record simple(void)
{
    return (struct wsg_access_record){
        .time_ns = TIME_NS,
        .duration_us = 1500,
        .peer = "192.0.2.1:4711",
        .method = text("GET"),
        .target = text("/a?b=c"),
        .minor = 1,
        .status = 200,
        .bytes = 12,
        .referer = text("https://example.org/"),
        .agent = text("curl/7.88.1"),
        .request_id = "abc-1",
        .route = "web",
        .conn = 0x1234,
        .is_complete = true,
    };
}

static const struct wsg_access_ending ending = {
    .by = "client", .code = 1000, .clean = true, .messages_in = 1, .bytes_in = 2, .messages_out = 3, .bytes_out = 4};

static struct wsg_access_record websocket(void)
{
    struct wsg_access_record r = simple();
    r.status = 101;
    r.ending = &ending;
    return r;
}

static struct wsg_access_record empty(void)
{
    return (struct wsg_access_record){.peer = "unix:1000", .request_id = "", .route = ""};
}

static struct wsg_access_record hostile(void)
{
    struct wsg_access_record r = simple();
    r.referer = wsb_span("\0\n\" -\\", 6);
    r.agent = text("\x1b[31m\x7f\xff\xc3\xa4 \" 200 0");
    return r;
}

static struct wsg_access_record ipv6(void)
{
    struct wsg_access_record r = empty();
    r.peer = "[2001:db8::1]:80";
    return r;
}

#define COMBINED(host, request, rest) host " - - [29/Nov/2026:15:31:26 +0000] \"" request "\" " rest "\n"

static const struct row {
    const char *name;
    struct wsg_access_record (*record)(void);
    const char *combined, *json;
} rows[] = {
    {"a request", simple,
     COMBINED("192.0.2.1", "GET /a?b=c HTTP/1.1",
              "200 12 \"https://example.org/\" \"curl/7.88.1\" us=1500 conn=0000000000001234 route=web id=abc-1"),
     "{\"time\":\"2026-11-29T15:31:26.123456Z\",\"peer\":\"192.0.2.1:4711\",\"method\":\"GET\",\"target\":\"/"
     "a?b=c\",\"version\":\"1.1\",\"status\":200,\"bytes\":12,\"us\":1500,\"referer\":\"https://example.org/"
     "\",\"agent\":\"curl/7.88.1\",\"request_id\":\"abc-1\",\"route\":\"web\",\"conn\":\"0000000000001234\","
     "\"complete\":true}\n"},
    {"a WebSocket connection", websocket,
     COMBINED("192.0.2.1", "GET /a?b=c HTTP/1.1",
              "101 12 \"https://example.org/\" \"curl/7.88.1\" us=1500 conn=0000000000001234 route=web id=abc-1 "
              "close=1000 by=client clean=1 messages_in=1 bytes_in=2 messages_out=3"),
     "{\"time\":\"2026-11-29T15:31:26.123456Z\",\"peer\":\"192.0.2.1:4711\",\"method\":\"GET\",\"target\":\"/"
     "a?b=c\",\"version\":\"1.1\",\"status\":101,\"bytes\":12,\"us\":1500,\"referer\":\"https://example.org/"
     "\",\"agent\":\"curl/7.88.1\",\"request_id\":\"abc-1\",\"route\":\"web\",\"conn\":\"0000000000001234\","
     "\"complete\":true,\"websocket\":{\"by\":\"client\",\"code\":1000,\"clean\":true,\"messages_in\":1,\"bytes_in\":2,"
     "\"messages_out\":3,\"bytes_out\":4}}\n"},
    {"what could not be read", empty,
     "unix:1000 - - [01/Jan/1970:00:00:00 +0000] \"-\" 000 0 \"-\" \"-\" us=0 conn=0000000000000000 route=- id=- "
     "incomplete=1\n",
     "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"peer\":\"unix:1000\",\"method\":\"\",\"target\":\"\",\"version\":"
     "\"\",\"status\":0,\"bytes\":0,\"us\":0,\"referer\":\"\",\"agent\":\"\",\"request_id\":\"\",\"route\":\"\","
     "\"conn\":\"0000000000000000\",\"complete\":false}\n"},
    {"IPv6", ipv6,
     "2001:db8::1 - - [01/Jan/1970:00:00:00 +0000] \"-\" 000 0 \"-\" \"-\" us=0 conn=0000000000000000 route=- id=- "
     "incomplete=1\n",
     NULL},
    {"what a client sends to be mistaken for something else", hostile,
     COMBINED("192.0.2.1", "GET /a?b=c HTTP/1.1",
              "200 12 \"\\x00\\x0A\\x22 -\\x5C\" \"\\x1B[31m\\x7F\\xFF\\xC3\\xA4 \\x22 200 0\" us=1500 "
              "conn=0000000000001234 route=web id=abc-1"),
     "{\"time\":\"2026-11-29T15:31:26.123456Z\",\"peer\":\"192.0.2.1:4711\",\"method\":\"GET\",\"target\":\"/"
     "a?b=c\",\"version\":\"1.1\",\"status\":200,\"bytes\":12,\"us\":1500,\"referer\":\"\\u0000\\n\\\" "
     "-\\\\\",\"agent\":\"\\u001b[31m\\u007f\xc3\xbf\xc3\x83\xc2\xa4 \\\" 200 "
     "0\",\"request_id\":\"abc-1\",\"route\":\"web\",\"conn\":\"0000000000001234\",\"complete\":true}\n"},
};

static void test_each_row(void **state)
{
    (void)state;
    for (const struct row *r = rows; r < rows + COUNT(rows); r++) {
        struct wsg_access_record record = r->record();
        struct wsb_buf out;
        for (enum wsg_access_format f = WSG_ACCESS_COMBINED; f <= WSG_ACCESS_JSON; f++) {
            const char *want = f == WSG_ACCESS_JSON ? r->json : r->combined;
            wsb_buf_init(&out, 0);
            assert_int_equal(wsg_access_line_write(&out, f, &record), WSB_OK);
            if (want && !wsb_span_eq_str(wsb_buf_span(&out), want))
                fail_msg("%s:\n%.*s instead of\n%s", r->name, (int)out.len, (const char *)out.data, want);
            wsb_buf_deinit(&out);
        }
    }
}

/* Whatever a client sends, the line has an end that is known before. */
static void test_the_longest_line_is_bounded(void **state)
{
    static uint8_t bytes[1 << 20];
    (void)state;
    for (int c = 0; c < 256; c++) {
        struct wsg_access_record r = websocket();
        memset(bytes, c, sizeof bytes);
        r.target = r.referer = r.agent = wsb_span(bytes, sizeof bytes);
        for (enum wsg_access_format f = WSG_ACCESS_COMBINED; f <= WSG_ACCESS_JSON; f++) {
            struct wsb_buf out;
            wsb_buf_init(&out, 40 << 10);
            assert_int_equal(wsg_access_line_write(&out, f, &r), WSB_OK);
            assert_ptr_equal(memchr(out.data, '\n', out.len), out.data + out.len - 1);
            wsb_buf_deinit(&out);
        }
    }
}

static void test_without_room_nothing_is_written(void **state)
{
    struct wsg_access_record r = hostile();
    (void)state;
    for (size_t room = 1; room < 150; room++) {
        for (enum wsg_access_format f = WSG_ACCESS_COMBINED; f <= WSG_ACCESS_JSON; f++) {
            struct wsb_buf out;
            wsb_buf_init(&out, room);
            assert_int_equal(wsb_buf_append_str(&out, "x"), WSB_OK);
            assert_int_equal(wsg_access_line_write(&out, f, &r), WSB_ERR_LIMIT);
            assert_int_equal(out.len, 1);
            wsb_buf_deinit(&out);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row),
        cmocka_unit_test(test_the_longest_line_is_bounded),
        cmocka_unit_test(test_without_room_nothing_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
