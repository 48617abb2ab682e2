/* CORS as the Fetch standard has it: whose pages may read, and what a preflight is told. */
#include "support/test.h"

#include "http/cors.h"

#define ORIGIN  "Origin"
#define METHOD  "Access-Control-Request-Method"
#define HEADERS "Access-Control-Request-Headers"
#define APP     "https://app.example.org"

static char *origins[] = {APP, "https://*.example.net", "null"};
static char *any[] = {"any"};
static char *methods[] = {"PUT", "GET"};
static char *headers[] = {"Content-Type", "X-Token"};
static char *expose[] = {"ETag", "X-Total"};
static char *two[] = {"GET", "POST"};

static const struct wsg_cors strict = {{origins, 3}, {methods, 2}, {headers, 2}, {expose, 2}, true, 5000};
static const struct wsg_cors bare = {.origins = {origins, 1}};
static const struct wsg_cors open_to_all = {.origins = {any, 1}, .headers = {any, 1}};
static const struct wsg_cors nothing;

static const struct wsg_texts all = {NULL, 0};
static const struct wsg_texts get_post = {two, 2};

/* Names and values in turn, NULL at the end. */
static struct wsg_http_head head_of(const char *const *texts, struct wsg_http_header fields[4])
{
    struct wsg_http_head head = {.method = WSG_HTTP_OPTIONS, .host = wsb_span_str("gate.test"), .headers = fields};
    for (; texts[0]; texts += 2)
        fields[head.header_count++] = (struct wsg_http_header){wsb_span_str(texts[0]), wsb_span_str(texts[1])};
    return head;
}

static void test_whose_pages_may_read(void **state)
{
    static const struct {
        const char *name;
        const struct wsg_cors *cors;
        const char *fields[9];
        const char *origin; /* NULL: nobody's */
    } rows[] = {
        {"the one that is named", &strict, {ORIGIN, APP}, APP},
        {"below the other one", &strict, {ORIGIN, "https://a.example.net"}, "https://a.example.net"},
        {"another", &strict, {ORIGIN, "https://evil.example.org"}, NULL},
        {"another scheme", &strict, {ORIGIN, "http://app.example.org"}, NULL},
        {"another port", &strict, {ORIGIN, APP ":8443"}, NULL},
        {"its beginning only", &strict, {ORIGIN, APP ".evil.test"}, NULL},
        {"null, where it is named", &strict, {ORIGIN, "null"}, "null"},
        {"null, where it is not", &bare, {ORIGIN, "null"}, NULL},
        {"none", &strict, {NULL}, NULL},
        {"an empty one", &strict, {ORIGIN, ""}, NULL},
        {"an empty one, to all", &open_to_all, {ORIGIN, ""}, NULL},
        {"any", &open_to_all, {ORIGIN, "https://who.ever"}, "https://who.ever"},
        {"none, to all", &open_to_all, {NULL}, NULL},
        {"two", &strict, {ORIGIN, APP, ORIGIN, APP}, NULL},
        {"without a policy", &nothing, {ORIGIN, APP}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_http_header fields[4];
        struct wsg_http_head head = head_of(rows[i].fields, fields);
        struct wsb_span origin = wsg_cors_origin(rows[i].cors, &head);
        if ((origin.ptr != NULL) != (rows[i].origin != NULL) ||
            (origin.ptr && !wsb_span_eq_str(origin, rows[i].origin)))
            fail_msg("%s: '%.*s'", rows[i].name, (int)origin.len, (const char *)origin.ptr);
    }
}

static void test_preflights_are_told_from_other_requests(void **state)
{
    static const struct {
        const char *fields[9];
        enum wsg_http_method method;
        bool is_one;
    } rows[] = {
        {{ORIGIN, APP, METHOD, "PUT"}, WSG_HTTP_OPTIONS, true},
        {{ORIGIN, APP, METHOD, "PUT"}, WSG_HTTP_GET, false},
        {{ORIGIN, APP}, WSG_HTTP_OPTIONS, false},
        {{METHOD, "PUT"}, WSG_HTTP_OPTIONS, false},
        {{"origin", APP, "access-control-request-method", ""}, WSG_HTTP_OPTIONS, true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_http_header fields[4];
        struct wsg_http_head head = head_of(rows[i].fields, fields);
        head.method = rows[i].method;
        assert_int_equal(wsg_cors_is_preflight(&head), rows[i].is_one);
    }
}

static void test_what_a_preflight_is_told(void **state)
{
    static const struct {
        const char *name;
        const struct wsg_cors *cors;
        const struct wsg_texts *served;
        const char *fields[9];
        const char *refusal; /* its beginning; NULL: none */
        const char *methods, *headers;
    } rows[] = {
#define NO_ORIGIN "pages of the origin"
#define NO_METHOD "pages may not use"
#define NO_HEADER "pages may not send"
        {"a method that is named",
         &strict,
         &all,
         {ORIGIN, APP, METHOD, "PUT"},
         NULL,
         "PUT, GET",
         "Content-Type, X-Token"},
        {"one that is not", &strict, &all, {ORIGIN, APP, METHOD, "DELETE"}, NO_METHOD, NULL, NULL},
        {"one that any form sends",
         &strict,
         &all,
         {ORIGIN, APP, METHOD, "POST"},
         NULL,
         "PUT, GET",
         "Content-Type, X-Token"},
        {"HEAD", &strict, &all, {ORIGIN, APP, METHOD, "HEAD"}, NULL, "PUT, GET", "Content-Type, X-Token"},
        {"in lower case", &strict, &all, {ORIGIN, APP, METHOD, "put"}, NO_METHOD, NULL, NULL},
        {"unknown", &strict, &all, {ORIGIN, APP, METHOD, "BREW"}, NO_METHOD, NULL, NULL},
        {"long", &strict, &all, {ORIGIN, APP, METHOD, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, NO_METHOD, NULL, NULL},
        {"empty", &strict, &all, {ORIGIN, APP, METHOD, ""}, NO_METHOD, NULL, NULL},
        {"no token", &strict, &all, {ORIGIN, APP, METHOD, "PUT, GET"}, NO_METHOD, NULL, NULL},
        {"two", &strict, &all, {ORIGIN, APP, METHOD, "PUT", METHOD, "PUT"}, NO_METHOD, NULL, NULL},
        {"no methods named", &bare, &all, {ORIGIN, APP, METHOD, "PUT"}, NO_METHOD, NULL, NULL},
        {"no methods named, a form's", &bare, &all, {ORIGIN, APP, METHOD, "POST"}, NULL, "", ""},
        {"those that are served", &bare, &get_post, {ORIGIN, APP, METHOD, "GET"}, NULL, "GET, POST", ""},
        {"not served", &strict, &get_post, {ORIGIN, APP, METHOD, "PUT"}, NO_METHOD, NULL, NULL},
        {"another origin", &strict, &all, {ORIGIN, "https://evil.test", METHOD, "PUT"}, NO_ORIGIN, NULL, NULL},
        {"headers",
         &strict,
         &all,
         {ORIGIN, APP, METHOD, "PUT", HEADERS, "content-type,x-token"},
         NULL,
         "PUT, GET",
         "Content-Type, X-Token"},
        {"headers with spaces",
         &strict,
         &all,
         {ORIGIN, APP, METHOD, "PUT", HEADERS, " x-token , ,content-type"},
         NULL,
         "PUT, GET",
         "Content-Type, X-Token"},
        {"empty headers",
         &strict,
         &all,
         {ORIGIN, APP, METHOD, "PUT", HEADERS, ""},
         NULL,
         "PUT, GET",
         "Content-Type, X-Token"},
        {"another header",
         &strict,
         &all,
         {ORIGIN, APP, METHOD, "PUT", HEADERS, "x-token, x-other"},
         NO_HEADER,
         NULL,
         NULL},
        {"headers where none are",
         &bare,
         &all,
         {ORIGIN, APP, METHOD, "GET", HEADERS, "x-token"},
         NO_HEADER,
         NULL,
         NULL},
        {"any header",
         &open_to_all,
         &all,
         {ORIGIN, APP, METHOD, "GET", HEADERS, "x-a,authorization"},
         NULL,
         "",
         "x-a,authorization"},
        {"any header, none asked for", &open_to_all, &all, {ORIGIN, APP, METHOD, "GET"}, NULL, "", ""},
        {"any header, but not rubbish",
         &open_to_all,
         &all,
         {ORIGIN, APP, METHOD, "GET", HEADERS, "x-a, b c"},
         NO_HEADER,
         NULL,
         NULL},
        {"headers in two fields",
         &open_to_all,
         &all,
         {ORIGIN, APP, HEADERS, "a", HEADERS, "b", METHOD, "GET"},
         NO_HEADER,
         NULL,
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_http_header fields[4];
        struct wsg_http_head head = head_of(rows[i].fields, fields);
        struct wsb_buf out;
        const char *why = wsg_cors_refusal(rows[i].cors, rows[i].served, &head);
        if (!why != !rows[i].refusal || (why && strncmp(why, rows[i].refusal, strlen(rows[i].refusal)) != 0))
            fail_msg("%s: %s", rows[i].name, why ? why : "allowed");
        if (why)
            continue;
        wsb_buf_init(&out, 0);
        assert_int_equal(wsg_cors_methods_write(&out, rows[i].cors, rows[i].served), WSB_OK);
        if (!wsb_span_eq_str(wsb_buf_span(&out), rows[i].methods))
            fail_msg("%s: '%.*s'", rows[i].name, (int)out.len, (const char *)out.data);
        wsb_buf_clear(&out);
        assert_int_equal(wsg_cors_headers_write(&out, rows[i].cors, &head), WSB_OK);
        if (!wsb_span_eq_str(wsb_buf_span(&out), rows[i].headers))
            fail_msg("%s: '%.*s'", rows[i].name, (int)out.len, (const char *)out.data);
        wsb_buf_deinit(&out);
    }
}

static void test_fields_of_cors_are_known(void **state)
{
    struct wsb_buf out;
    (void)state;
    assert_true(wsg_cors_is_field(wsb_span_str("ACCESS-Control-Allow-Origin")));
    assert_true(wsg_cors_is_field(wsb_span_str("access-control-max-age")));
    assert_false(wsg_cors_is_field(wsb_span_str("access-control-request-method")));
    assert_false(wsg_cors_is_field(wsb_span_str("vary")));
    wsb_buf_init(&out, 0);
    assert_int_equal(wsg_cors_exposed_write(&out, &strict), WSB_OK);
    assert_true(wsb_span_eq_str(wsb_buf_span(&out), "ETag, X-Total"));
    wsb_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_pages_may_read),
        cmocka_unit_test(test_preflights_are_told_from_other_requests),
        cmocka_unit_test(test_what_a_preflight_is_told),
        cmocka_unit_test(test_fields_of_cors_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
