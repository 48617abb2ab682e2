/* What requests are called, and the traces that they belong to: seen by the client, by the handler, and by nobody when off. */
#include "support/test.h"

#include "unit/session/fixture.h"

#define GIVEN "0af76519-16cd-43dd-8448-eb211c80319c"
#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static struct fixture *begin(void **state)
{
    struct fixture *f = *state;
    f->env.has_request_ids = true;
    f->env.naming_seed = (struct wsb_seed){3, 4};
    return f;
}

/* The client is a proxy that is believed. */
static void trust(struct fixture *f)
{
    void *s;
    uint32_t i = 0;
    while (!f->env.slots.slots[i].value)
        i++;
    s = f->env.slots.slots[i].value;
    ((struct wsg_session *)s)->is_trusted = true;
}

/* What stands behind `field` in what the client got; "" when it is not there. */
static const char *value_of(const struct fixture *f, const char *field)
{
    static char value[256];
    const char *at = strstr((const char *)f->got, field);
    value[0] = 0;
    if (at)
        (void)snprintf(value, sizeof value, "%.*s", (int)strcspn(at + strlen(field), "\r"), at + strlen(field));
    return value;
}

static void assert_id_everywhere(struct fixture *f, const char *want)
{
    char id[256], meta[300];
    (void)snprintf(id, sizeof id, "%s", value_of(f, "\r\nX-Request-Id: "));
    if (want)
        assert_string_equal(id, want);
    else
        assert_int_equal(strspn(id, "0123456789abcdef"), 32);
    const char *first = strcasestr((char *)f->got, "X-Request-Id");
    assert_true(first && !strcasestr(first + 1, "X-Request-Id"));
    (void)snprintf(meta, sizeof meta, "\"request_id\":\"%s\"", id);
    if (f->meta[0])
        HAS(f->meta, meta);
}

static void respond(struct fixture *f)
{
    struct wsg_field fields[] = {{wsb_span_str("x-request-ID"), wsb_span_str("of-the-handler")}};
    tell(f,
         (struct wsg_command){.type = WSB_RESPOND, .payload = wsb_span_str("x"), .fields = fields, .field_count = 1});
}

static void test_each_request_has_an_id_of_its_own(void **state)
{
    struct fixture *f = begin(state);
    char first[256];
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\nX-Request-Id: " GIVEN "\r\n\r\n");
    respond(f);
    assert_id_everywhere(f, NULL);
    (void)snprintf(first, sizeof first, "%s", value_of(f, "\r\nX-Request-Id: "));
    assert_string_not_equal(first, GIVEN); /* said by anybody */
    forget(f);
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    respond(f);
    assert_string_not_equal(value_of(f, "\r\nX-Request-Id: "), first);
}

static void test_a_trusted_proxy_names_requests(void **state)
{
    struct fixture *f = begin(state);
    trust(f);
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\nX-Request-Id: " GIVEN "\r\n\r\n");
    respond(f);
    assert_id_everywhere(f, GIVEN);
    forget(f);
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\nX-Request-Id: not a token\r\n\r\n");
    respond(f);
    assert_id_everywhere(f, NULL);
}

static void test_refusals_have_ids(void **state)
{
    static const char *const requests[] = {
        "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /none HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /ws/1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "rubbish\r\n\r\n",
    };
    struct fixture *f = begin(state);
    for (size_t i = 0; i < COUNT(requests); i++) {
        say_text(f, requests[i]);
        HAS(f->got, "HTTP/1.1 ");
        assert_id_everywhere(f, NULL);
        hang_up(f);
        forget(f);
        connect_client(f);
    }
}

static void test_handshakes_have_ids(void **state)
{
    struct fixture *f = begin(state);
    say_text(f, handshake);
    assert_id_everywhere(f, NULL);
    hang_up(f);
    forget(f);
    connect_client(f);
    trust(f);
    say_text(f,
             "GET /ask HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Request-Id: " GIVEN "\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    struct wsg_field fields[] = {{wsb_span_str("X-REQUEST-ID"), wsb_span_str("of-the-handler")}};
    tell(f, (struct wsg_command){.type = WSB_ACCEPT, .fields = fields, .field_count = 1});
    HAS(f->got, "HTTP/1.1 101");
    assert_id_everywhere(f, GIVEN);
}

static void test_without_ids_handlers_may_say_their_own(void **state)
{
    struct fixture *f = *state;
    trust(f);
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\nX-Request-Id: " GIVEN "\r\n\r\n");
    assert_null(strstr(f->meta, "request_id"));
    respond(f);
    assert_string_equal(value_of(f, "\r\nx-request-ID: "), "of-the-handler");
    assert_string_equal(value_of(f, "\r\nX-Request-Id: "), "");
}

static void test_traces_are_passed_or_begun(void **state)
{
    static const struct {
        const char *name;
        bool begins;
        const char *headers;
        const char *has, *has_not;
    } rows[] = {
        {"passed", false, "traceparent: " TRACE "\r\ntracestate: a=b\r\n", "\"traceparent\":\"" TRACE "\"", NULL},
        {"rubbish is passed too", false, "traceparent: rubbish\r\n", "\"traceparent\":\"rubbish\"", NULL},
        {"none", false, "", NULL, "traceparent"},
        {"a good one stays", true, "traceparent: " TRACE "\r\ntracestate: a=b\r\n", "\"tracestate\":\"a=b\"", NULL},
        {"and is not doubled", true, "traceparent: " TRACE "\r\n", "\"traceparent\":\"" TRACE "\"}", NULL},
        {"none: one is made", true, "tracestate: a=b\r\n", "\"traceparent\":\"00-", "tracestate"},
        {"rubbish: one is made", true, "Traceparent: rubbish\r\n", "\"traceparent\":\"00-", "rubbish"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[512];
        f->env.begins_traces = rows[i].begins;
        (void)snprintf(text, sizeof text, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n%s\r\n", rows[i].headers);
        say_text(f, text);
        if (rows[i].has && !strstr(f->meta, rows[i].has))
            fail_msg("%s: %s", rows[i].name, f->meta);
        if (rows[i].has_not && strstr(f->meta, rows[i].has_not))
            fail_msg("%s: %s", rows[i].name, f->meta);
        respond(f);
        forget(f);
    }
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_request_has_an_id_of_its_own),
        TEST(test_a_trusted_proxy_names_requests),
        TEST(test_refusals_have_ids),
        TEST(test_handshakes_have_ids),
        TEST(test_without_ids_handlers_may_say_their_own),
        TEST(test_traces_are_passed_or_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
