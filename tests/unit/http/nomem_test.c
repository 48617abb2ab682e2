/*
 * When memory runs out. The linker sends malloc and realloc here (--wrap); the first, second, third … allocation
 * fails, and each time the request is refused with 503, nothing leaks and the failure is final.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/request.h"
#include "http/response.h"

void *__real_malloc(size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *p, size_t size);

static int allocations_left = -1; /* -1: no limit */

static bool may_allocate(void)
{
    if (allocations_left > 0)
        allocations_left--;
    else if (allocations_left == 0)
        return false;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_realloc(void *p, size_t size)
{
    return may_allocate() ? __real_realloc(p, size) : NULL;
}

/* Feed a head and a chunked body in pieces of 7 bytes; the last result, which is WSB_MORE when all went well. */
static wsb_err feed_request(struct wsg_http_in *in)
{
    static const char text[] =
        "POST /a%20b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    wsb_err err = WSB_OK;
    for (size_t at = 0; at < sizeof text - 1 && (err == WSB_OK || err == WSB_MORE); at += 7) {
        size_t left = sizeof text - 1 - at < 7 ? sizeof text - 1 - at : 7;
        const uint8_t *p = (const uint8_t *)text + at;
        do {
            size_t used = 0;
            struct wsg_http_event event;
            err = wsg_http_in_next(in, p, left, &used, &event);
            p += used;
            left -= used;
        } while (err == WSB_OK);
    }
    return err;
}

static void test_request_fails_cleanly_at_each_allocation(void **state)
{
    (void)state;
    static const struct wsg_http_limits limits = WSG_HTTP_LIMITS_DEFAULT;
    int failures = 0;
    wsb_err err;
    do {
        struct wsg_http_in in;
        wsg_http_in_init(&in, &limits);
        allocations_left = failures;
        err = feed_request(&in);
        allocations_left = -1;
        if (err != WSB_MORE) {
            size_t used;
            struct wsg_http_event event;
            assert_int_equal(err, WSB_ERR_NOMEM);
            assert_int_equal(wsg_http_in_status(&in), 503);
            assert_int_equal(wsg_http_in_next(&in, NULL, 0, &used, &event), WSB_ERR_NOMEM);
            failures++;
        }
        wsg_http_in_deinit(&in);
    } while (err != WSB_MORE);
    assert_int_equal(failures, 2); /* the buffer for a head in pieces, and the request */
}

static void test_response_fails_cleanly_at_each_allocation(void **state)
{
    (void)state;
    static const struct wsg_http_error e = {.status = 404, .request_minor = 1, .keep_alive = true};
    int failures = 0;
    for (;; failures++) {
        struct wsb_buf out = {0};
        struct wsg_http_framing framing;
        allocations_left = failures;
        wsb_err err = wsg_http_error_response_write(&out, &e, &framing);
        allocations_left = -1;
        size_t len = out.len;
        wsb_buf_deinit(&out);
        if (err == WSB_OK)
            break;
        assert_int_equal(err, WSB_ERR_NOMEM);
        assert_int_equal(len, 0);
    }
    assert_true(failures > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_fails_cleanly_at_each_allocation),
        cmocka_unit_test(test_response_fails_cleanly_at_each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
