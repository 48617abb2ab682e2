/* Responses as gzip: for whom, which, in one piece and in parts, and what happens without memory. */
#include <zlib.h>

#include "session/command.h"
#include "unit/session/fixture.h"

enum { LONG = 5000 };

static struct wsb_deflate_account account;
static char text[LONG + 1];

static struct wsg_route *begin(struct fixture *f)
{
    struct wsg_route *r = &f->routes.routes[0];
    r->policy.gzip = true;
    r->policy.gzip_level = 5;
    r->policy.gzip_min = 1024;
    account = (struct wsb_deflate_account){.max = 1 << 20};
    f->env.deflate_account = &account;
    for (size_t i = 0; i < LONG; i++)
        text[i] = "all work and no play\n"[i % 21];
    return r;
}

static void ask(struct fixture *f, const char *method, const char *version, const char *accept)
{
    char request[200];
    forget(f);
    snprintf(request, sizeof request, "%s /ws/1 HTTP/%s\r\nHost: h\r\n%s%s%s\r\n", method, version,
             accept ? "Accept-Encoding: " : "", accept ? accept : "", accept ? "\r\n" : "");
    say_text(f, request);
    HAS(f->events, "request");
}

/* Fields: type, and one more. */
static void answer(struct fixture *f, int status, const char *type, struct wsg_field more, struct wsb_span body,
                   uint8_t flags)
{
    struct wsg_field fields[] = {{wsb_span_str("Content-Type"), wsb_span_str(type)}, more};
    tell(f, (struct wsg_command){.type = WSB_RESPOND,
                                 .status = (uint16_t)status,
                                 .flags = flags,
                                 .fields = fields,
                                 .field_count = more.name.ptr ? 2 : 1,
                                 .payload = body});
}

static const struct wsg_field nothing;

static const char *body_of(struct fixture *f)
{
    const char *end = strstr((char *)f->got, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

/* What a client reads of it; false: it has not ended. */
static bool unpack(struct wsb_span packed, char *out, size_t room)
{
    z_stream z = {.next_in = (z_const Bytef *)packed.ptr, .avail_in = (unsigned)packed.len, .next_out = (Bytef *)out};
    z.avail_out = (unsigned)room - 1;
    assert_int_equal(inflateInit2(&z, 16 + 15), Z_OK);
    int result = inflate(&z, Z_SYNC_FLUSH);
    assert_true(result == Z_OK || result == Z_STREAM_END);
    *z.next_out = 0;
    assert_int_equal(inflateEnd(&z), Z_OK);
    return result == Z_STREAM_END;
}

static void test_a_body_that_comes_whole(void **state)
{
    struct fixture *f = *state;
    struct wsg_route *r = begin(f);
    static char got[2 * LONG];
    struct wsg_field etag = {wsb_span_str("ETag"), wsb_span_str("\"1\"")};
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/plain", etag, wsb_span_str(text), 0);
    HAS(f->got, "Content-Encoding: gzip\r\n");
    HAS(f->got, "Vary: Accept-Encoding\r\n");
    HAS(f->got, "ETag: W/\"1\"\r\n");
    char length[40];
    size_t len = f->got_len - (size_t)(body_of(f) - (char *)f->got);
    snprintf(length, sizeof length, "Content-Length: %zu\r\n", len);
    HAS(f->got, length);
    assert_true(len < LONG / 10);
    assert_true(unpack(wsb_span(body_of(f), len), got, sizeof got));
    assert_string_equal(got, text);
    assert_int_equal(atomic_load(&r->tally.gzipped), 1);
    assert_int_equal(atomic_load(&r->tally.gzip_from_bytes), LONG);
    assert_int_equal(atomic_load(&r->tally.gzip_bytes), len);
    assert_int_equal(account.used, 0);

    ask(f, "HEAD", "1.1", "gzip"); /* the same fields, and no body */
    answer(f, 200, "text/plain", etag, wsb_span_str(text), 0);
    HAS(f->got, length);
    HAS(f->got, "Content-Encoding: gzip\r\n");
    HAS(f->got, "ETag: W/\"1\"\r\n");
    assert_string_equal(body_of(f), "");
}

static void test_who_gets_it_as_it_is(void **state)
{
    static const struct {
        const char *accept, *type, *name, *value;
        int status;
        size_t len;
        bool varies; /* for others it would be another */
    } rows[] = {
        {NULL, "text/plain", NULL, NULL, 200, LONG, true},
        {"br", "text/plain", NULL, NULL, 200, LONG, true},
        {"gzip;q=0", "text/plain", NULL, NULL, 200, LONG, true},
        {"gzip", "text/plain", NULL, NULL, 200, 1023, true},
        {"gzip", "image/png", NULL, NULL, 200, LONG, false},
        {"gzip", "text/plain", "Content-Encoding", "br", 200, LONG, false},
        {"gzip", "text/plain", "Cache-Control", "no-transform", 200, LONG, false},
        {"gzip", "text/plain", "Content-Range", "bytes 0-9/10", 206, LONG, false},
    };
    struct fixture *f = *state;
    struct wsg_route *r = begin(f);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_field more = nothing;
        if (rows[i].name)
            more = (struct wsg_field){wsb_span_str(rows[i].name), wsb_span_str(rows[i].value)};
        ask(f, "GET", "1.1", rows[i].accept);
        answer(f, rows[i].status, rows[i].type, more, wsb_span(text, rows[i].len), 0);
        assert_null(strstr((char *)f->got, "Content-Encoding: gzip"));
        assert_int_equal(strstr((char *)f->got, "Vary: Accept-Encoding") != NULL, rows[i].varies);
        assert_memory_equal(body_of(f), text, rows[i].len);
    }
    assert_int_equal(atomic_load(&r->tally.gzipped), 0);
}

static void test_noise_goes_as_it_is(void **state)
{
    struct fixture *f = *state;
    uint8_t noise[2000];
    uint32_t x = 1;
    begin(f);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/plain", nothing, wsb_span(noise, sizeof noise), 0);
    HAS(f->got, "Content-Length: 2000\r\n");
    assert_null(strstr((char *)f->got, "Content-Encoding"));
}

static void test_not_modified_speaks_of_what_was_sent(void **state)
{
    struct fixture *f = *state;
    struct wsg_field etag = {wsb_span_str("ETag"), wsb_span_str("\"1\"")};
    begin(f);
    ask(f, "GET", "1.1", "gzip");
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .status = 304, .fields = &etag, .field_count = 1});
    HAS(f->got, "ETag: W/\"1\"\r\nVary: Accept-Encoding\r\n");
    assert_null(strstr((char *)f->got, "Content-Encoding"));
    ask(f, "GET", "1.1", NULL);
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .status = 304, .fields = &etag, .field_count = 1});
    HAS(f->got, "ETag: \"1\"\r\nVary: Accept-Encoding\r\n");
    /* RFC 9110 §15.4.5: it has the Cache-Control of the 200, which went as it was. */
    const struct wsg_field kept[] = {etag, {wsb_span_str("Cache-Control"), wsb_span_str("no-transform")}};
    ask(f, "GET", "1.1", "gzip");
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .status = 304, .fields = kept, .field_count = 2});
    HAS(f->got, "ETag: \"1\"\r\nCache-Control: no-transform\r\n");
    assert_null(strstr((char *)f->got, "Vary"));
}

/* The chunks that have come, joined. */
static struct wsb_span join(const char *chunks, char *out)
{
    size_t len = 0;
    for (;;) {
        char *end;
        size_t size = strtoul(chunks, &end, 16);
        if (end == chunks || size == 0)
            return wsb_span(out, len);
        memcpy(out + len, end + 2, size);
        len += size;
        chunks = end + 2 + size + 2;
    }
}

static void test_parts_leave_at_once(void **state)
{
    struct fixture *f = *state;
    struct wsg_route *r = begin(f);
    static char got[2 * LONG], joined[2 * LONG];
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/event-stream", nothing, wsb_span_str("data: 1\n\n"), WSB_FLAG_MORE);
    HAS(f->got, "Content-Encoding: gzip\r\n");
    HAS(f->got, "Transfer-Encoding: chunked\r\n");
    assert_true(account.used > 50000);
    assert_false(unpack(join(body_of(f), joined), got, sizeof got));
    assert_string_equal(got, "data: 1\n\n");
    tell(f, (struct wsg_command){.type = WSB_BODY, .flags = WSB_FLAG_MORE, .payload = wsb_span_str("data: 2\n\n")});
    assert_false(unpack(join(body_of(f), joined), got, sizeof got));
    assert_string_equal(got, "data: 1\n\ndata: 2\n\n");
    tell(f, (struct wsg_command){.type = WSB_BODY, .flags = WSB_FLAG_MORE, .payload = wsb_span_str("data: 3\n\n")});
    fire_timer(f); /* a comment of ours is packed like the rest */
    assert_false(unpack(join(body_of(f), joined), got, sizeof got));
    HAS(got, "data: 3\n\n:\n");
    tell(f, (struct wsg_command){.type = WSB_BODY, .payload = wsb_span_str("data: 4\n\n")});
    assert_true(unpack(join(body_of(f), joined), got, sizeof got));
    HAS(got, "data: 4\n\n");
    assert_memory_equal(f->got + f->got_len - 5, "0\r\n\r\n", 5);
    assert_int_equal(account.used, 0);
    assert_int_equal(atomic_load(&r->tally.gzipped), 1);
}

static void test_parts_for_http_1_0_end_with_the_connection(void **state)
{
    struct fixture *f = *state;
    begin(f);
    static char got[2 * LONG];
    ask(f, "GET", "1.0", "gzip");
    answer(f, 200, "text/plain", nothing, wsb_span_str("one "), WSB_FLAG_MORE);
    tell(f, (struct wsg_command){.type = WSB_BODY, .payload = wsb_span_str("two")});
    assert_null(strstr((char *)f->got, "Transfer-Encoding"));
    size_t len = f->got_len - (size_t)(body_of(f) - (char *)f->got);
    assert_true(unpack(wsb_span(body_of(f), len), got, sizeof got));
    assert_string_equal(got, "one two");
}

static void test_without_memory_for_a_compressor_it_goes_as_it_is(void **state)
{
    struct fixture *f = *state;
    begin(f);
    account.max = 50000;
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/plain", nothing, wsb_span_str("one"), WSB_FLAG_MORE);
    assert_null(strstr((char *)f->got, "Content-Encoding"));
    HAS(f->got, "Vary: Accept-Encoding\r\n");
    assert_string_equal(body_of(f), "3\r\none\r\n");
    assert_int_equal(account.used, 0);
    assert_int_equal(account.refused, 1);
}

static void test_a_client_that_leaves_gives_the_memory_back(void **state)
{
    struct fixture *f = *state;
    begin(f);
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/plain", nothing, wsb_span_str("one"), WSB_FLAG_MORE);
    assert_true(account.used > 0);
    hang_up(f);
    assert_int_equal(account.used, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_body_that_comes_whole),
        TEST(test_who_gets_it_as_it_is),
        TEST(test_noise_goes_as_it_is),
        TEST(test_not_modified_speaks_of_what_was_sent),
        TEST(test_parts_leave_at_once),
        TEST(test_parts_for_http_1_0_end_with_the_connection),
        TEST(test_without_memory_for_a_compressor_it_goes_as_it_is),
        TEST(test_a_client_that_leaves_gives_the_memory_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
