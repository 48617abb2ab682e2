/* What is written, byte for byte, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/response.h"

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"

static void check(const char *name, const struct wsb_buf *out, const char *want)
{
    if (!wsb_span_eq_str(wsb_buf_span(out), want))
        fail_msg("%s: got\n%.*s---- want\n%s", name, (int)out->len, (const char *)out->data, want);
}

static void test_response_head_is_framed_by_status_and_version(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct wsg_http_response r;
        const char *want;
        struct wsg_http_framing framing;
    } rows[] = {
        {"1.1, length",
         {.status = 200, .date = DATE, .length = 5, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 200 OK\r\nDate: " DATE "\r\nContent-Length: 5\r\n\r\n",
         {true, false, true, 0}},
        {"1.1, close",
         {.status = 200, .length = 5, .request_minor = 1},
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
         {true, false, false, 0}},
        {"1.0, keep-alive",
         {.status = 200, .length = 5, .keep_alive = true},
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
         {true, false, true, 0}},
        {"1.0, close",
         {.status = 200},
         "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
         {true, false, false, 0}},
        {"1.1, unknown length",
         {.status = 200, .body = WSG_HTTP_BODY_UNKNOWN, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
         {true, true, true, 0}},
        {"1.0, unknown length",
         {.status = 200, .body = WSG_HTTP_BODY_UNKNOWN, .keep_alive = true},
         "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
         {true, false, false, 0}},
        {"204",
         {.status = 204, .length = 5, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 204 No Content\r\n\r\n",
         {false, false, true, 0}},
        {"204 of unknown length to 1.0",
         {.status = 204, .body = WSG_HTTP_BODY_UNKNOWN, .keep_alive = true},
         "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n",
         {false, false, true, 0}},
        {"304",
         {.status = 304, .body = WSG_HTTP_BODY_UNKNOWN, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 304 Not Modified\r\n\r\n",
         {false, false, true, 0}},
        {"205",
         {.status = 205, .length = 5, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n",
         {false, false, true, 0}},
        {"100",
         {.status = 100, .date = DATE, .length = 5, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 100 Continue\r\n\r\n",
         {false, false, true, 0}},
        {"101",
         {.status = 101, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
         {false, false, true, 0}},
        {"426",
         {.status = 426, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
         {true, false, true, 0}},
        {"426, close",
         {.status = 426, .request_minor = 1},
         "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nUpgrade: websocket\r\nConnection: Upgrade, "
         "close\r\n\r\n",
         {true, false, false, 0}},
        {"405",
         {.status = 405, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nAllow: GET, HEAD, POST, PUT, DELETE, PATCH, "
         "OPTIONS\r\n\r\n",
         {true, false, true, 0}},
        {"405, what was refused is not allowed",
         {.method = "PUT", .status = 405, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nAllow: GET, HEAD, POST, DELETE, PATCH, "
         "OPTIONS\r\n\r\n",
         {true, false, true, 0}},
        {"405, the first method",
         {.method = "GET", .status = 405, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nAllow: HEAD, POST, PUT, DELETE, PATCH, "
         "OPTIONS\r\n\r\n",
         {true, false, true, 0}},
        {"unknown status",
         {.status = 299, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 299 Success\r\nContent-Length: 0\r\n\r\n",
         {true, false, true, 0}},
        {"status without a class",
         {.status = 999, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 999 Unknown\r\nContent-Length: 0\r\n\r\n",
         {true, false, true, 0}},
        {"largest length",
         {.status = 200, .length = UINT64_MAX, .request_minor = 1, .keep_alive = true},
         "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
         {true, false, true, 0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wsb_buf out = {0};
        struct wsg_http_framing f;
        assert_int_equal(wsg_http_response_head_write(&out, &rows[i].r, &f), WSB_OK);
        check(rows[i].name, &out, rows[i].want);
        if (f.has_body != rows[i].framing.has_body || f.is_chunked != rows[i].framing.is_chunked ||
            f.keep_alive != rows[i].framing.keep_alive)
            fail_msg("%s: framing", rows[i].name);
        wsb_buf_deinit(&out);
    }
}

static void test_response_refuses_status_out_of_place(void **state)
{
    (void)state;
    static const struct wsg_http_response rows[] = {
        {.status = 99, .request_minor = 1},
        {.status = 1000, .request_minor = 1},
        {.status = -1, .request_minor = 1},
        {.status = 101},
        {.status = 100},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wsb_buf out = {0};
        struct wsg_http_framing f;
        assert_int_equal(wsg_http_response_head_write(&out, &rows[i], &f), WSB_ERR_MISUSE);
        assert_int_equal(out.len, 0);
        wsb_buf_deinit(&out);
    }
}

static void test_response_fields_stay_in_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        size_t value_len;
        wsb_err want;
    } rows[] = {
        {"X-A", "b c\t\xc3\xa9", 6, WSB_OK},
        {"X-A", "", 0, WSB_OK},
        {"Set-Cookie", "a=b; Path=/", 11, WSB_OK},
        {"X-A", "b\r\nX-Evil: 1", 12, WSB_ERR_PROTO},
        {"X-A", "b\nX", 3, WSB_ERR_PROTO},
        {"X-A", "b\rX", 3, WSB_ERR_PROTO},
        {"X-A", "b\0X", 3, WSB_ERR_PROTO},
        {"X-A", "b\x7f", 2, WSB_ERR_PROTO},
        {"", "b", 1, WSB_ERR_PROTO},
        {"X A", "b", 1, WSB_ERR_PROTO},
        {"X-A:", "b", 1, WSB_ERR_PROTO},
        {"X-A\r\nX", "b", 1, WSB_ERR_PROTO},
        {"X-\xc3\xa9", "b", 1, WSB_ERR_PROTO},
        {"Content-Length", "5", 1, WSB_ERR_PROTO},
        {"content-length", "5", 1, WSB_ERR_PROTO},
        {"Transfer-Encoding", "x", 1, WSB_ERR_PROTO},
        {"Connection", "x", 1, WSB_ERR_PROTO},
        {"Keep-Alive", "x", 1, WSB_ERR_PROTO},
        {"Proxy-Connection", "x", 1, WSB_ERR_PROTO},
        {"Upgrade", "x", 1, WSB_ERR_PROTO},
        {"Trailer", "x", 1, WSB_ERR_PROTO},
        {"TE", "x", 1, WSB_ERR_PROTO},
        {"Date", "x", 1, WSB_ERR_PROTO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wsg_http_header h = {wsb_span_str(rows[i].name), wsb_span(rows[i].value, rows[i].value_len)};
        struct wsg_http_response r = {.status = 200, .request_minor = 1, .headers = &h, .header_count = 1};
        struct wsb_buf out = {0};
        struct wsg_http_framing f;
        assert_int_equal(wsb_buf_append_str(&out, "before"), WSB_OK);
        wsb_err err = wsg_http_response_head_write(&out, &r, &f);
        if (err != rows[i].want)
            fail_msg("row %zu, %s: %s", i, rows[i].name, wsb_err_name(err));
        if (err)
            check(rows[i].name, &out, "before");
        wsb_buf_deinit(&out);
    }
}

static void test_response_keeps_the_callers_allow(void **state)
{
    (void)state;
    struct wsg_http_header h = {wsb_span_str("allow"), wsb_span_str(" GET ")};
    struct wsg_http_response r = {
        .status = 405, .request_minor = 1, .keep_alive = true, .headers = &h, .header_count = 1};
    struct wsb_buf out = {0};
    struct wsg_http_framing f;
    assert_int_equal(wsg_http_response_head_write(&out, &r, &f), WSB_OK);
    check("allow", &out, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nallow: GET\r\n\r\n");
    wsb_buf_deinit(&out);
}

static void test_response_is_whole_or_not_at_all(void **state)
{
    (void)state;
    struct wsg_http_error e = {.status = 404, .date = DATE, .request_minor = 1, .keep_alive = true};
    struct wsg_http_framing f;
    struct wsb_buf whole = {0};
    assert_int_equal(wsg_http_error_response_write(&whole, &e, &f), WSB_OK);
    check("404", &whole,
          "HTTP/1.1 404 Not Found\r\nDate: " DATE "\r\nContent-Length: 14\r\n"
          "Content-Type: text/plain; charset=utf-8\r\n\r\n404 Not Found\n");
    for (size_t max = 1; max <= whole.len + 1; max++) {
        struct wsb_buf out;
        wsb_buf_init(&out, max);
        wsb_err err = wsg_http_error_response_write(&out, &e, &f);
        if (err)
            assert_int_equal(out.len, 0);
        else
            assert_int_equal(out.len, whole.len);
        assert_true(err == WSB_ERR_LIMIT || max >= whole.len);
        wsb_buf_deinit(&out);
    }
    wsb_buf_deinit(&whole);
}

static void test_error_response_to_head_has_no_body(void **state)
{
    (void)state;
    struct wsg_http_header h = {wsb_span_str("Retry-After"), wsb_span_str("3")};
    struct wsg_http_error e = {.status = 503, .request_minor = 1, .method = "HEAD", .headers = &h, .header_count = 1};
    struct wsg_http_framing f;
    struct wsb_buf out = {0};
    assert_int_equal(wsg_http_error_response_write(&out, &e, &f), WSB_OK);
    check("503", &out,
          "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 24\r\nConnection: close\r\n"
          "Content-Type: text/plain; charset=utf-8\r\nRetry-After: 3\r\n\r\n");
    e.status = 200;
    assert_int_equal(wsg_http_error_response_write(&out, &e, &f), WSB_ERR_MISUSE);
    wsb_buf_deinit(&out);
}

static void test_chunks(void **state)
{
    (void)state;
    struct wsb_buf out = {0};
    assert_int_equal(wsg_http_chunk_head_write(&out, 0), WSB_ERR_MISUSE);
    assert_int_equal(wsg_http_chunk_head_write(&out, 255), WSB_OK);
    assert_int_equal(wsg_http_chunk_tail_write(&out), WSB_OK);
    assert_int_equal(wsg_http_chunk_last_write(&out), WSB_OK);
    assert_int_equal(wsg_http_continue_write(&out), WSB_OK);
    check("chunks", &out, "ff\r\n\r\n0\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    wsb_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_response_head_is_framed_by_status_and_version),
        cmocka_unit_test(test_response_refuses_status_out_of_place),
        cmocka_unit_test(test_response_fields_stay_in_their_line),
        cmocka_unit_test(test_response_keeps_the_callers_allow),
        cmocka_unit_test(test_response_is_whole_or_not_at_all),
        cmocka_unit_test(test_error_response_to_head_has_no_body),
        cmocka_unit_test(test_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
