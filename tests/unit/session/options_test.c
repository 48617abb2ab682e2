/* What the gate answers because of a method or an origin, and what handlers hear of it. */
#include "support/test.h"

#include <fcntl.h>
#include <unistd.h>

#include "unit/session/fixture.h"

static char *methods[] = {"GET", "PUT"};
static char *app[] = {"https://app.test"};
static char *any[] = {"any"};
static char *names[] = {"X-Total", "ETag"};

static int setup_routes(void **state)
{
    assert_int_equal(setup(state), 0);
    struct fixture *f = *state;
    /* The first routes are rewritten: "ws" serves some methods, "none" has no handler and shares with one origin. */
    f->routes.routes[0].policy.methods = (struct wsg_texts){methods, 2};
    f->routes.routes[1].policy.cors = (struct wsg_cors){.origins = {app, 1},
                                                        .methods = {methods, 2},
                                                        .headers = {names, 2},
                                                        .expose = {names, 2},
                                                        .credentials = true,
                                                        .max_age_ms = 7000};
    f->routes.routes[2].policy.cors = (struct wsg_cors){.origins = {any, 1}};
    return 0;
}

static uint64_t refused(const struct fixture *f, size_t route, enum wsg_refusal why)
{
    return atomic_load(&f->routes.routes[route].tally.refused[why]);
}

static void ask(struct fixture *f, const char *method, const char *target, const char *fields)
{
    char text[512];
    forget(f);
    (void)snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n", method, target, fields);
    say_text(f, text);
}

#define HAS_NOT(text, part)                                                                                            \
    do {                                                                                                               \
        if (strcasestr((const char *)(text), part))                                                                    \
            fail_msg("'%s' is in '%s'", part, (const char *)(text));                                                   \
    } while (0)

static void test_methods_that_are_not_served_are_405(void **state)
{
    struct fixture *f = *state;
    ask(f, "DELETE", "/ws/1", "");
    HAS(f->got, "HTTP/1.1 405 ");
    HAS(f->got, "\r\nAllow: GET, PUT, HEAD, OPTIONS\r\n");
    assert_string_equal(f->events, "");
    assert_int_equal(refused(f, 0, WSG_REFUSED_METHOD), 1);
    ask(f, "PUT", "/ws/1", "");
    assert_string_equal(f->events, "request");
}

static void test_options_is_answered_where_it_is_not_named(void **state)
{
    struct fixture *f = *state;
    ask(f, "OPTIONS", "/ws/1", "");
    HAS(f->got, "HTTP/1.1 204 ");
    HAS(f->got, "\r\nAllow: GET, PUT, HEAD, OPTIONS\r\n");
    HAS_NOT(f->got, "Content-Length");
    assert_string_equal(f->events, "");
    ask(f, "OPTIONS", "*", ""); /* the connection lives */
    HAS(f->got, "HTTP/1.1 204 ");
    HAS(f->got, "\r\nAllow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n");
    ask(f, "OPTIONS", "/ask", "");
    assert_string_equal(f->events, "request"); /* without methods it is the handler's */
}

static void test_a_body_that_nobody_wants_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    ask(f, "OPTIONS", "/ws/1", "Content-Length: 5\r\n");
    HAS(f->got, "HTTP/1.1 204 ");
    HAS(f->got, "\r\nConnection: close\r\n");
    turn(f);
    say_text(f, "12345GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(f->events, "");
}

#define PREFLIGHT "Origin: https://app.test\r\nAccess-Control-Request-Method: PUT\r\n"

static void test_preflights_are_answered_by_the_gate(void **state)
{
    struct fixture *f = *state;
    ask(f, "OPTIONS", "/ask", PREFLIGHT "Access-Control-Request-Headers: etag\r\n");
    HAS(f->got, "HTTP/1.1 204 ");
    HAS(f->got, "\r\nAccess-Control-Allow-Origin: https://app.test\r\n");
    HAS(f->got, "\r\nAccess-Control-Allow-Credentials: true\r\n");
    HAS(f->got, "\r\nAccess-Control-Allow-Methods: GET, PUT\r\n");
    HAS(f->got, "\r\nAccess-Control-Allow-Headers: X-Total, ETag\r\n");
    HAS(f->got, "\r\nAccess-Control-Max-Age: 7\r\n");
    HAS(f->got, "\r\nVary: Origin\r\n");
    ask(f, "OPTIONS", "/ask", "Origin: https://evil.test\r\nAccess-Control-Request-Method: PUT\r\n");
    HAS(f->got, "HTTP/1.1 403 ");
    HAS(f->got, "\r\nVary: Origin\r\n");
    HAS_NOT(f->got, "Access-Control");
    ask(f, "OPTIONS", "/ask", PREFLIGHT "Access-Control-Request-Headers: x-secret\r\n");
    HAS(f->got, "HTTP/1.1 403 ");
    assert_int_equal(refused(f, 1, WSG_REFUSED_PREFLIGHT), 2);
    assert_string_equal(f->events, "");
}

static void test_responses_say_who_may_read_them_and_handlers_do_not(void **state)
{
    static const struct {
        const char *fields;
        bool is_allowed;
    } rows[] = {{"", false}, {"Origin: https://app.test\r\n", true}, {"Origin: https://evil.test\r\n", false}};
    struct wsg_field own[] = {{wsb_span_str("access-control-allow-origin"), wsb_span_str("*")},
                              {wsb_span_str("X-Total"), wsb_span_str("7")},
                              {wsb_span_str("Access-Control-Max-Age"), wsb_span_str("1")}};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        ask(f, "GET", "/ask", rows[i].fields);
        tell(f, (struct wsg_command){.type = WSB_RESPOND, .fields = own, .field_count = COUNT(own)});
        HAS(f->got, "HTTP/1.1 200 ");
        HAS(f->got, "\r\nX-Total: 7\r\n");
        HAS(f->got, "\r\nVary: Origin\r\n");
        HAS_NOT(f->got, "Origin: *");
        HAS_NOT(f->got, "Max-Age");
        if (!rows[i].is_allowed) {
            HAS_NOT(f->got, "Access-Control");
            continue;
        }
        HAS(f->got, "\r\nAccess-Control-Allow-Origin: https://app.test\r\n");
        HAS(f->got, "\r\nAccess-Control-Allow-Credentials: true\r\n");
        HAS(f->got, "\r\nAccess-Control-Expose-Headers: X-Total, ETag\r\n");
    }
}

static void test_errors_say_it_too(void **state)
{
    struct fixture *f = *state;
    ask(f, "GET", "/none", "Origin: https://who.ever\r\n");
    HAS(f->got, "HTTP/1.1 503 ");
    HAS(f->got, "\r\nAccess-Control-Allow-Origin: https://who.ever\r\n");
    HAS_NOT(f->got, "Credentials");
    ask(f, "GET", "/ws/1", "Origin: https://app.test\r\n"); /* of this route nothing is said */
    tell(f, (struct wsg_command){.type = WSB_RESPOND});
    HAS_NOT(f->got, "Vary");
}

static void test_static_files_have_methods_and_origins(void **state)
{
    static const struct wsg_cors cors = {.origins = {app, 1}, .expose = {names, 1}};
    struct wsg_static_root root = {.prefix = wsb_span_str("/files/"), .cors = &cors};
    struct fixture *f = *state;
    root.dirfd = open(WSBUS_SOURCE_DIR, O_PATH | O_DIRECTORY);
    assert_true(root.dirfd >= 0);
    f->env.statics = &root;
    f->env.static_count = 1;
    ask(f, "GET", "/files/LICENSE", "Origin: https://app.test\r\n");
    HAS(f->got, "HTTP/1.1 200 ");
    HAS(f->got, "\r\nAccess-Control-Allow-Origin: https://app.test\r\nAccess-Control-Expose-Headers: X-Total\r\n");
    ask(f, "GET", "/files/nothing", "Origin: https://app.test\r\n");
    HAS(f->got, "HTTP/1.1 404 ");
    HAS(f->got, "\r\nAccess-Control-Allow-Origin: https://app.test\r\n");
    ask(f, "OPTIONS", "/files/LICENSE", "Origin: https://app.test\r\nAccess-Control-Request-Method: GET\r\n");
    HAS(f->got, "HTTP/1.1 204 ");
    HAS(f->got, "\r\nAccess-Control-Allow-Methods: GET, HEAD\r\n");
    ask(f, "OPTIONS", "/files/LICENSE", "Origin: https://app.test\r\nAccess-Control-Request-Method: POST\r\n");
    HAS(f->got, "HTTP/1.1 403 ");
    ask(f, "OPTIONS", "/files/LICENSE", "");
    HAS(f->got, "HTTP/1.1 204 ");
    HAS(f->got, "\r\nAllow: GET, HEAD, OPTIONS\r\n");
    ask(f, "POST", "/files/LICENSE", "");
    HAS(f->got, "HTTP/1.1 405 ");
    HAS(f->got, "\r\nAllow: GET, HEAD, OPTIONS\r\n");
    assert_int_equal(atomic_load(&f->gatekeeping.refused[WSG_REFUSED_METHOD]), 1);
    assert_int_equal(atomic_load(&f->gatekeeping.refused[WSG_REFUSED_PREFLIGHT]), 1);
    close(root.dirfd);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_routes, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_methods_that_are_not_served_are_405),
        TEST(test_options_is_answered_where_it_is_not_named),
        TEST(test_a_body_that_nobody_wants_ends_the_connection),
        TEST(test_preflights_are_answered_by_the_gate),
        TEST(test_responses_say_who_may_read_them_and_handlers_do_not),
        TEST(test_errors_say_it_too),
        TEST(test_static_files_have_methods_and_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
