/* Responses that go on: how long one may be silent, which may be for ever, and who is cut off. */
#include "session/command.h"
#include "unit/session/fixture.h"

static struct wsg_route *route(struct fixture *f)
{
    return &f->routes.routes[0];
}

/* A response that has begun, of a type; `more`: one more field, or none. */
static void begin_typed(struct fixture *f, const char *type, struct wsg_field more, const char *body)
{
    struct wsg_field fields[] = {{wsb_span_str("Content-Type"), wsb_span_str(type)}, more};
    forget(f);
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    tell(f, (struct wsg_command){.type = WSB_RESPOND,
                                 .flags = WSB_FLAG_MORE,
                                 .fields = fields,
                                 .field_count = more.name.ptr ? 2 : 1,
                                 .payload = wsb_span_str(body)});
}

static const struct wsg_field nothing;

static bool is_cut(const struct fixture *f)
{
    return strstr(f->events, "aborted") != NULL;
}

static bool has_comment(const struct fixture *f)
{
    return strstr((const char *)f->got, "2\r\n:\n\r\n") != NULL;
}

static void test_which_responses_may_be_silent_for_ever(void **state)
{
    static const struct {
        const char *type, *name, *value, *body;
        bool is_kept; /* alive, by comments */
    } rows[] = {
        {"text/event-stream", NULL, NULL, "data: 1\n\n", true},
        {"Text/Event-Stream; charset=utf-8", NULL, NULL, "data: 1\n\n", true},
        {"text/event-stream\t;a=b", NULL, NULL, "data: 1\n\n", true},
        {"text/event-stream", NULL, NULL, "", true},
        {"text/event-streams", NULL, NULL, "data: 1\n\n", false},
        {"text/event-strea", NULL, NULL, "data: 1\n\n", false},
        {"text/plain", NULL, NULL, "data: 1\n\n", false},
        {"text/event-stream", "Content-Encoding", "br", "packed", false},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_field more = nothing;
        if (rows[i].name)
            more = (struct wsg_field){wsb_span_str(rows[i].name), wsb_span_str(rows[i].value)};
        begin_typed(f, rows[i].type, more, rows[i].body);
        fire_timer(f);
        if (is_cut(f) == rows[i].is_kept || has_comment(f) != rows[i].is_kept)
            fail_msg("%s, %s: %s", rows[i].type, rows[i].name ? rows[i].value : "plain", f->events);
        hang_up(f);
        connect_client(f);
    }
    assert_int_equal(atomic_load(&route(f)->tally.cut[WSG_CUT_SILENT]), 4);
}

static void test_a_comment_waits_for_the_end_of_a_line(void **state)
{
    struct fixture *f = *state;
    begin_typed(f, "text/event-stream", nothing, "data: in the mid");
    for (int i = 0; i < 3; i++)
        fire_timer(f);
    assert_false(has_comment(f));
    assert_false(is_cut(f));
    tell(f, (struct wsg_command){.type = WSB_BODY, .flags = WSB_FLAG_MORE, .payload = wsb_span_str("dle\n")});
    fire_timer(f);
    assert_true(has_comment(f));
    assert_true(strstr((char *)f->got, "dle\n") < strstr((char *)f->got, ":\n\r\n"));
}

static void test_no_limit_is_no_timer(void **state)
{
    struct fixture *f = *state;
    route(f)->policy.sse_keepalive_ms = 0;
    route(f)->policy.stream_timeout_ms = 0;
    for (int events = 0; events < 2; events++) {
        void *s;
        begin_typed(f, events ? "text/event-stream" : "text/plain", nothing, "one\n");
        assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &s), WSB_OK);
        assert_int_equal(((struct wsg_session *)s)->timer.heap_index, 0);
        tell(f, (struct wsg_command){.type = WSB_BODY, .payload = wsb_span_str("end")});
        assert_memory_equal(f->got + f->got_len - 5, "0\r\n\r\n", 5);
    }
}

/* More than the kernel takes. */
static void fill_queue(struct fixture *f)
{
    static char part[200000];
    memset(part, 'p', sizeof part);
    f->reads_nothing = true;
    for (uint64_t i = 0, at = 1; i < 5; i++, at += sizeof part)
        tell(f, (struct wsg_command){.type = WSB_BODY,
                                     .flags = WSB_FLAG_MORE,
                                     .has_at = true,
                                     .at = at,
                                     .payload = wsb_span(part, sizeof part)});
}

static void test_a_client_that_takes_nothing_is_cut_off(void **state)
{
    static const char *const types[] = {"text/plain", "text/event-stream"};
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(types); i++) {
        begin_typed(f, types[i], nothing, "\n");
        fill_queue(f);
        fire_timer(f); /* the kernel has taken some */
        assert_false(is_cut(f));
        fire_timer(f);
        HAS(f->meta, "the client does not take what is sent");
        assert_int_equal(atomic_load(&route(f)->tally.cut[WSG_CUT_SLOW]), i + 1);
        f->reads_nothing = false;
        hang_up(f);
        connect_client(f);
    }
}

/* It takes a little between any two looks at it: its handler, which waits for it, has said nothing for much longer. */
static void test_a_client_that_takes_some_is_not(void **state)
{
    struct fixture *f = *state;
    uint8_t some[8192];
    begin_typed(f, "text/plain", nothing, "\n");
    fill_queue(f);
    void *at;
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &at), WSB_OK);
    struct wsg_session *s = at;
    size_t got = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t before = s->out.written;
        for (int k = 0; k < 1000 && s->out.written == before; k++) {
            got += client_read(f, some, sizeof some);
            turn(f);
        }
        if (s->out.bytes == 0)
            break;
        fire_timer(f);
        assert_false(is_cut(f));
    }
    assert_true(got > 0);
    assert_int_equal(s->out.bytes, 0);
    fire_timer(f); /* all is taken now, and nobody says anything */
    assert_true(is_cut(f));
    HAS(f->meta, "response timed out");
}

static void test_what_the_gate_cuts_is_counted_by_its_reason(void **state)
{
    struct fixture *f = *state;
    begin_typed(f, "text/plain", nothing, "begun");
    tell(f, (struct wsg_command){.type = WSG_CMD_FAIL, .status = 502, .reason = wsb_span_str("the handler is gone")});
    assert_int_equal(atomic_load(&route(f)->tally.cut[WSG_CUT_HANDLER]), 1);
    hang_up(f);
    connect_client(f);
    begin_typed(f, "text/event-stream", nothing, "data: 1\n\n");
    tell(f, (struct wsg_command){.type = WSG_CMD_DRAIN});
    assert_int_equal(atomic_load(&route(f)->tally.cut[WSG_CUT_DRAINING]), 1);
    assert_memory_equal(f->got + f->got_len - 5, "0\r\n\r\n", 5);
    hang_up(f);
    connect_client(f);
    begin_typed(f, "text/plain", nothing, "begun");
    hang_up(f); /* that was not the gate */
    uint64_t sum = 0;
    for (int i = 0; i < WSG_CUTS; i++)
        sum += atomic_load(&route(f)->tally.cut[i]);
    assert_int_equal(sum, 2);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_which_responses_may_be_silent_for_ever),
        TEST(test_a_comment_waits_for_the_end_of_a_line),
        TEST(test_no_limit_is_no_timer),
        TEST(test_a_client_that_takes_nothing_is_cut_off),
        TEST(test_a_client_that_takes_some_is_not),
        TEST(test_what_the_gate_cuts_is_counted_by_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
