/* Requests and responses of HTTP with everything that may happen between them: who asks for a body, and when. */
#include <fcntl.h>
#include <unistd.h>

#include "session/command.h"
#include "session/parts.h"
#include "unit/session/fixture.h"

static struct wsg_route_policy *policy(struct fixture *f)
{
    return &f->routes.routes[0].policy;
}

/* What a client says that has a body and wants to be asked for it. */
static void begin_expecting(struct fixture *f, const char *version)
{
    char request[128];
    policy(f)->expect_by_handler = true;
    snprintf(request, sizeof request,
             "POST /ws/1 HTTP/%s\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", version);
    say_text(f, request);
}

static void say_continue(struct fixture *f, const char *want)
{
    f->replies[0] = 0;
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .status = 100, .flags = WSB_FLAG_WANT_OUTCOME});
    assert_string_equal(f->replies, want);
}

static void test_a_handler_asks_for_the_body(void **state)
{
    struct fixture *f = *state;
    begin_expecting(f, "1.1");
    assert_string_equal(f->events, "request+");
    HAS(f->meta, "\"expect_continue\":true");
    assert_int_equal(f->got_len, 0);
    say_continue(f, "outcomewritten");
    assert_string_equal((char *)f->got, "HTTP/1.1 100 Continue\r\n\r\n");
    say_continue(f, "outcomerefused"); /* once is enough */
    HAS(f->meta, "said already");
    say_text(f, "body");
    assert_string_equal(f->events, "request+ body:body+ body");
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .payload = wsb_span_str("thanks")});
    HAS(f->got, "HTTP/1.1 200");
    assert_null(strstr((char *)f->got, "Connection: close"));
    assert_int_equal(atomic_load(&f->routes.routes[0].tally.continued), 1);
}

static void test_a_body_that_nobody_asked_for_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    begin_expecting(f, "1.1");
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .status = 413, .payload = wsb_span_str("no")});
    HAS(f->got, "HTTP/1.1 413");
    HAS(f->got, "Connection: close");
    HAS(f->events, "aborted");
    f->events[0] = 0;
    say_text(f, "bodyGET /ws/2 HTTP/1.1\r\nHost: h\r\n\r\n"); /* nothing of this is a request */
    assert_string_equal(f->events, "");
}

static void test_a_client_that_does_not_wait_needs_no_100(void **state)
{
    struct fixture *f = *state;
    begin_expecting(f, "1.1");
    say_text(f, "bo");
    assert_string_equal(f->events, "request+ body:bo+");
    say_continue(f, "outcomewritten");
    say_text(f, "dy");
    assert_int_equal(f->got_len, 0); /* RFC 9110 §10.1.1: it may be omitted once the body has begun */
    tell(f, (struct wsg_command){.type = WSB_RESPOND});
    assert_memory_equal(f->got, "HTTP/1.1 200", 12);
    assert_null(strstr((char *)f->got, "Connection: close"));
}

static void test_100_where_nobody_expects_it_is_refused(void **state)
{
    static const struct {
        const char *version, *why;
        bool by_handler;
    } rows[] = {
        {"1.1", "does not expect", false}, /* the gate has said it */
        {"1.0", "HTTP/1.0 has no 100", true},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char request[160];
        policy(f)->expect_by_handler = rows[i].by_handler;
        snprintf(request, sizeof request,
                 "POST /ws/1 HTTP/%s\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody",
                 rows[i].version);
        say_text(f, request);
        assert_string_equal(f->events, "request:body");
        assert_null(strstr(f->meta, "expect_continue"));
        forget(f);
        say_continue(f, "outcomerefused");
        HAS(f->meta, rows[i].why);
        assert_int_equal(f->got_len, 0);
        hang_up(f);
        forget(f);
        connect_client(f);
    }
}

static void test_100_has_neither_headers_nor_a_body(void **state)
{
    struct fixture *f = *state;
    struct wsg_field field = {wsb_span_str("X-A"), wsb_span_str("1")};
    begin_expecting(f, "1.1");
    struct wsg_command c = {.type = WSB_RESPOND, .status = 100, .flags = WSB_FLAG_WANT_OUTCOME};
    c.payload = wsb_span_str("body");
    tell(f, c);
    c.payload.len = 0;
    c.fields = &field;
    c.field_count = 1;
    tell(f, c);
    assert_string_equal(f->replies, "outcomerefused outcomerefused");
    assert_int_equal(f->got_len, 0);
    say_continue(f, "outcomewritten");
}

static void test_100_behind_a_response_is_refused(void **state)
{
    struct fixture *f = *state;
    begin_expecting(f, "1.1");
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .flags = WSB_FLAG_MORE, .payload = wsb_span_str("begun")});
    HAS(f->got, "Connection: close");
    say_continue(f, "outcomerefused");
}

static void test_who_is_never_answered_gets_504(void **state)
{
    struct fixture *f = *state;
    begin_expecting(f, "1.1");
    fire_timer(f);
    assert_string_equal(f->events, "request+ aborted");
    HAS(f->got, "HTTP/1.1 504");
    HAS(f->got, "Connection: close");
}

/* ------------------------------------------------------------------------ files */

static struct wsg_session *only_session(struct fixture *f)
{
    for (uint32_t i = 0; i < f->env.slots.count; i++) {
        if (f->env.slots.slots[i].value)
            return f->env.slots.slots[i].value;
    }
    return NULL;
}

/* A directory with one file, which is larger than what the kernel takes at once. */
static int make_files(char *dir)
{
    static const char zeros[1 << 20];
    assert_non_null(mkdtemp(dir));
    int dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = openat(dirfd, "big.bin", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(dirfd >= 0 && fd >= 0);
    assert_int_equal(write(fd, zeros, sizeof zeros), sizeof zeros);
    close(fd);
    return dirfd;
}

static void test_a_body_that_nobody_wants_and_that_does_not_come(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/wsbus-files-XXXXXX";
    uint8_t some[65536];
    struct wsg_static_root root = {.prefix = wsb_span_str("/files/"), .dirfd = make_files(dir)};
    f->env.statics = &root;
    f->env.static_count = 1;
    f->reads_nothing = true;
    say_text(f, "GET /files/big.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    struct wsg_session *s = only_session(f);
    for (int i = 0; i < 1000 && s->out.bytes;
         i++) { /* the time for the body is over again and again, and it takes the file */
        uint64_t before = s->out.written;
        for (int k = 0; k < 1000 && s->out.written == before && client_read(f, some, sizeof some); k++)
            turn(f);
        s->timer.fn(&s->timer);
        assert_int_equal(s->state, s->out.bytes ? WSG_SESSION_EXCHANGE : WSG_SESSION_DEAD);
    }
    turn(f);
    assert_int_equal(f->env.slots.used, 0);
    assert_int_equal(unlinkat(root.dirfd, "big.bin", 0), 0);
    assert_int_equal(rmdir(dir), 0);
    close(root.dirfd);
}

/* Nothing says whether the body comes that nobody has asked for: what looks like the next request may be part of it. */
static void test_a_file_is_sent_without_100(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/wsbus-files-XXXXXX";
    struct wsg_static_root root = {.prefix = wsb_span_str("/files/"), .dirfd = make_files(dir)};
    f->env.statics = &root;
    f->env.static_count = 1;
    say_text(f, "HEAD /files/big.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    HAS(f->got, "HTTP/1.1 200");
    HAS(f->got, "Connection: close");
    say_text(f, "HEAD /files/big.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_null(strstr((char *)f->got + 1, "HTTP/1.1"));
    assert_int_equal(unlinkat(root.dirfd, "big.bin", 0), 0);
    assert_int_equal(rmdir(dir), 0);
    close(root.dirfd);
}

/* ------------------------------------------------------- parts and a full queue */

enum { PART = 16000, FEW = 40 };

static char part[PART];

static void begin_response(struct fixture *f)
{
    memset(part, 'p', PART);
    f->reads_nothing = true;
    say_text(f, "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n");
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .flags = WSB_FLAG_MORE, .payload = wsb_span_str("begun")});
    forget(f);
}

/* -1: it says nothing of where it belongs. */
static void say_part(struct fixture *f, int64_t at, uint8_t flags)
{
    tell(f, (struct wsg_command){.type = WSB_BODY,
                                 .flags = flags,
                                 .has_at = at >= 0,
                                 .at = at >= 0 ? (uint64_t)at : 0,
                                 .payload = wsb_span(part, PART)});
}

/* Parts until one is refused. Returns where that one belongs. */
static int64_t fill_queue(struct fixture *f)
{
    int64_t at = 5;
    f->replies[0] = 0;
    for (int i = 0; i < FEW && !strstr(f->replies, "dropped"); i++) {
        say_part(f, at, WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME);
        at += PART;
    }
    assert_non_null(strstr(f->replies, "dropped"));
    return at - PART;
}

static void test_a_part_that_is_refused_can_be_sent_again(void **state)
{
    struct fixture *f = *state;
    char meta[40];
    begin_response(f);
    int64_t at = fill_queue(f);
    assert_string_equal(f->events, "");                            /* the exchange lives */
    say_part(f, at + PART, WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME); /* it was under way when the other was refused */
    HAS(f->meta, "goes on at byte");
    assert_int_equal(f->writables, 0);
    f->reads_nothing = false;
    for (int i = 0; i < 100 && !f->writables; i++)
        turn(f);
    assert_int_equal(f->writables, 1);
    snprintf(meta, sizeof meta, "{\"at\":%lld}", (long long)at);
    assert_string_equal(f->meta, meta);
    f->replies[0] = 0;
    say_part(f, at + PART, WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME); /* still not its turn, though there is room */
    assert_string_equal(f->replies, "outcomedropped");
    say_part(f, at, WSB_FLAG_MORE);
    say_part(f, at, WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME); /* and not twice */
    assert_string_equal(f->replies, "outcomedropped outcomedropped");
    tell(f, (struct wsg_command){.type = WSB_BODY, .payload = wsb_span_str("end")});
    turn(f);
    assert_memory_equal(f->got + f->got_len - 13, "3\r\nend\r\n0\r\n\r\n", 13);
    size_t count = 0;
    for (size_t i = 0; i < f->got_len; i++)
        count += f->got[i] == 'p';
    assert_int_equal(count, at - 5 + PART);
    assert_int_equal(atomic_load(&f->routes.routes[0].tally.body_refused), 1);
}

/* It sends, and is not read: the response that it asked for has to leave first. Who takes none of that is another matter. */
static void test_time_that_the_response_takes_is_not_the_bodys(void **state)
{
    static char body[70000];
    struct fixture *f = *state;
    memset(part, 'p', PART);
    policy(f)->max_queue = 1 << 20;
    policy(f)->max_body = 1 << 20;
    f->reads_nothing = true;
    say_text(f, "POST /ws/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 70001\r\n\r\n");
    say(f, body, sizeof body);
    for (int i = 0; i < 20; i++)
        turn(f);
    struct wsg_session *s = only_session(f);
    assert_true(s->exchange->clock.runs);
    tell(f, (struct wsg_command){.type = WSB_RESPOND, .flags = WSB_FLAG_MORE, .payload = wsb_span_str("begun")});
    for (int i = 0; i < FEW; i++)
        say_part(f, -1, WSB_FLAG_MORE);
    assert_true(s->exchange->clock.runs);
    say_text(f, "e");
    assert_true(s->paused & WSG_PAUSE_OUTPUT);
    assert_false(s->exchange->clock.runs);
    f->reads_nothing = false;
    for (int i = 0; i < 100 && !s->exchange->request_complete; i++)
        turn(f);
    assert_true(s->exchange->request_complete);
    tell(f, (struct wsg_command){.type = WSB_BODY, .payload = wsb_span_str("end")});
    turn(f);
    assert_memory_equal(f->got + f->got_len - 13, "3\r\nend\r\n0\r\n\r\n", 13);
}

static void test_an_end_that_finds_no_memory_is_none(void **state)
{
    struct fixture *f = *state;
    begin_response(f);
    f->env.text.max = 4; /* the last chunk is longer */
    tell(f, (struct wsg_command){.type = WSB_BODY});
    assert_string_equal(f->events, "aborted");
    HAS(f->meta, "out of memory");
    assert_int_equal(atomic_load(&f->routes.routes[0].tally.cut[WSG_CUT_MEMORY]), 1);
}

static void test_whoever_does_not_heed_a_refusal_loses_the_exchange(void **state)
{
    static const struct {
        const char *name;
        bool is_full;      /* a part has been refused already */
        bool has_room_now; /* and WRITABLE was told */
        uint8_t flags;
    } rows[] = {
        {"behind a refused part", true, false, WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME},
        {"behind a refused part, without an outcome", true, false, WSB_FLAG_MORE},
        {"behind a refused part, with room", true, true, WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME},
        {"the last one, with room", true, true, WSB_FLAG_WANT_OUTCOME},
        {"who cannot learn of it", false, false, WSB_FLAG_MORE},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        begin_response(f);
        f->writables = 0;
        if (rows[i].is_full)
            (void)fill_queue(f);
        f->reads_nothing = !rows[i].has_room_now;
        for (int k = 0; k < 100 && rows[i].has_room_now && !f->writables; k++)
            turn(f);
        for (int k = 0; k < FEW && !strstr(f->events, "aborted"); k++)
            say_part(f, -1, rows[i].flags);
        if (strcmp(f->events + strlen(f->events) - 7, "aborted") != 0)
            fail_msg("%s: %s", rows[i].name, f->events);
        f->reads_nothing = false;
        turn(f);
        assert_null(strstr((char *)f->got, "0\r\n\r\n")); /* it does not look whole */
        hang_up(f);
        forget(f);
        connect_client(f);
    }
}

static void test_a_part_in_the_wrong_place_is_not_taken(void **state)
{
    struct fixture *f = *state;
    begin_response(f);
    f->reads_nothing = false;
    for (int at = 0; at < 8; at++) {
        if (at == 5)
            continue;
        f->replies[0] = 0;
        say_part(f, at, WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME);
        assert_string_equal(f->replies, "outcomedropped");
        HAS(f->meta, "goes on at byte 5");
    }
    f->replies[0] = 0;
    say_part(f, 5, WSB_FLAG_WANT_OUTCOME);
    assert_string_equal(f->replies, "outcomewritten");
    assert_memory_equal(f->got + f->got_len - 5, "0\r\n\r\n", 5);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_handler_asks_for_the_body),
        TEST(test_a_body_that_nobody_asked_for_ends_the_connection),
        TEST(test_a_client_that_does_not_wait_needs_no_100),
        TEST(test_100_where_nobody_expects_it_is_refused),
        TEST(test_100_has_neither_headers_nor_a_body),
        TEST(test_100_behind_a_response_is_refused),
        TEST(test_who_is_never_answered_gets_504),
        TEST(test_a_body_that_nobody_wants_and_that_does_not_come),
        TEST(test_a_file_is_sent_without_100),
        TEST(test_a_part_that_is_refused_can_be_sent_again),
        TEST(test_time_that_the_response_takes_is_not_the_bodys),
        TEST(test_an_end_that_finds_no_memory_is_none),
        TEST(test_whoever_does_not_heed_a_refusal_loses_the_exchange),
        TEST(test_a_part_in_the_wrong_place_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
