/* Responses as gzip: for whom, which, in one piece and in parts, how much in one round, and what happens without memory. */
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "session/command.h"
#include "unit/session/fixture.h"

enum { LONG = 5000, HUGE = 4 << 20, ROUNDS = 1000 };

static struct wsb_deflate_account account;
static char text[LONG + 1];
static char huge[HUGE + 100], unpacked[HUGE + 100], joined[HUGE + 100];

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
    for (size_t i = 0, n = 0; i < HUGE; n++)
        i += (size_t)snprintf(huge + i, sizeof huge - i, "line %zu of all the work, and no play\n", n * n);
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

static uint64_t packed_by(const struct fixture *f)
{
    return atomic_load(&f->routes.routes[0].tally.gzip_from_bytes);
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
    static char got[2 * LONG];
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

/* ----------------------------------------------------------- piece by piece */

static struct wsg_command respond(struct wsb_span body, uint8_t flags)
{
    static struct wsg_field type;
    type = (struct wsg_field){wsb_span_str("Content-Type"), wsb_span_str("text/plain")};
    return (struct wsg_command){
        .type = WSB_RESPOND, .flags = flags, .fields = &type, .field_count = 1, .payload = body};
}

static struct wsg_command part(struct wsb_span body, uint8_t flags, uint64_t seq)
{
    return (struct wsg_command){.type = WSB_BODY, .flags = flags, .payload = body, .origin = 1, .seq = seq};
}

/* Until nothing waits to be packed. Returns the number of rounds; none has packed more than `most`. */
static size_t pack_all(struct fixture *f, size_t most)
{
    size_t rounds = 0;
    while (wsg_packings_wait(&f->env)) {
        uint64_t before = packed_by(f);
        hear_round(f);
        assert_true(packed_by(f) - before <= most);
        assert_true(rounds++ < ROUNDS);
    }
    turn(f);
    return rounds;
}

static void has_all_of(struct fixture *f, const char *whole, size_t len)
{
    assert_true(unpack(join(body_of(f), joined), unpacked, sizeof unpacked));
    assert_int_equal(strlen(unpacked), len);
    assert_memory_equal(unpacked, whole, len);
}

static void test_a_long_body_is_packed_over_many_rounds(void **state)
{
    static const struct {
        unsigned level;
        size_t most;
    } rows[] = {{1, WSG_PACKING_ROUND}, {5, WSG_PACKING_ROUND}, {9, WSG_PACKING_ROUND / 8}};
    struct fixture *f = *state;
    struct wsg_route *r = begin(f);
    size_t len = HUGE;
    for (size_t i = 0; i < COUNT(rows); i++, len = HUGE / 8) {
        uint64_t before = packed_by(f);
        struct wsg_command c = respond(wsb_span(huge, len), WSB_FLAG_WANT_OUTCOME);
        r->policy.gzip_level = rows[i].level;
        ask(f, "GET", "1.1", "gzip");
        c.origin = 1;
        c.seq = i + 1;
        order(f, c);
        assert_true(packed_by(f) - before <= 4096); /* the answer's own round: no more than a sample */
        hear_round(f);
        HAS(f->events, "done"); /* its handler is not waited for any more */
        assert_int_equal(f->outcomes[c.seq], 0);
        assert_true(account.used > 50000);
        assert_true(pack_all(f, rows[i].most) + 1 >= len / rows[i].most);
        assert_int_equal(f->outcomes[c.seq], WSB_OUTCOME_WRITTEN + 1);
        HAS(f->got, "Content-Encoding: gzip\r\n");
        HAS(f->got, "Transfer-Encoding: chunked\r\n");
        assert_null(strstr((char *)f->got, "Content-Length"));
        has_all_of(f, huge, len);
        assert_memory_equal(f->got + f->got_len - 5, "0\r\n\r\n", 5);
        assert_int_equal(account.used, 0);
        assert_int_equal(packed_by(f) - before, len);
        assert_string_equal(f->events, "request done");
    }
}

static void test_commands_of_one_round_pack_no_more_than_a_round(void **state)
{
    enum { CLIENTS = 8, EACH = 30000 };
    struct fixture *f = *state;
    int clients[CLIENTS];
    wsb_conn conns[CLIENTS];
    begin(f);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (i)
            connect_client(f);
        clients[i] = f->client;
        ask(f, "GET", "1.1", "gzip");
        conns[i] = f->conn;
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        f->conn = conns[i];
        order(f, respond(wsb_span(huge, EACH), 0));
    }
    assert_true(packed_by(f) >= EACH && packed_by(f) <= WSG_PACKING_ROUND + EACH);
    f->reads_nothing = true;
    pack_all(f, WSG_PACKING_ROUND);
    f->reads_nothing = false;
    for (size_t i = 0; i < CLIENTS; i++) {
        forget(f);
        f->client = clients[i];
        turn(f);
        if (strstr((char *)f->got, "chunked"))
            has_all_of(f, huge, EACH);
        else
            assert_true(unpack(wsb_span(body_of(f), f->got_len - (size_t)(body_of(f) - (char *)f->got)), unpacked,
                               sizeof unpacked));
        assert_memory_equal(unpacked, huge, EACH);
        if (i + 1 < CLIENTS)
            close(f->client);
    }
}

static void test_others_are_written_to_in_between(void **state)
{
    struct fixture *f = *state;
    begin(f);
    ask(f, "GET", "1.1", "gzip");
    order(f, respond(wsb_span(huge, HUGE), 0));
    int busy = f->client;
    connect_client(f);
    forget(f);
    const char *request = "GET /ws/1 HTTP/1.1\r\nHost: h\r\n\r\n";
    client_write(f, request, strlen(request));
    hear_round(f);
    HAS(f->events, "request");
    order(f, respond(wsb_span_str("short"), 0));
    hear_round(f);
    assert_string_equal(body_of(f), "short");
    assert_true(wsg_packings_wait(&f->env));
    assert_true(packed_by(f) < HUGE / 8);
    close(busy);
    turn(f);
    assert_int_equal(account.used, 0);
    assert_false(wsg_packings_wait(&f->env));
}

static void test_who_packs_takes_turns(void **state)
{
    struct fixture *f = *state;
    begin(f);
    ask(f, "GET", "1.1", "gzip");
    order(f, respond(wsb_span(huge, HUGE), WSB_FLAG_MORE));
    int busy = f->client;
    connect_client(f);
    ask(f, "GET", "1.1", "gzip");
    forget(f);
    order(f, respond(wsb_span_str("data: 1\n\n"), WSB_FLAG_MORE));
    hear_round(f);
    hear_round(f);
    assert_false(unpack(join(body_of(f), joined), unpacked, sizeof unpacked));
    assert_string_equal(unpacked, "data: 1\n\n"); /* behind one piece of the other's */
    assert_true(wsg_packings_wait(&f->env));
    close(busy);
}

static void test_outcomes_of_parts_wait_for_what_they_become(void **state)
{
    struct fixture *f = *state;
    const uint8_t flags = WSB_FLAG_WANT_OUTCOME | WSB_FLAG_MORE;
    struct wsb_span half = wsb_span(huge, HUGE / 2);
    struct wsb_span rest = wsb_span(huge + HUGE / 2, HUGE / 2);
    struct wsg_route *r = begin(f);
    r->policy.max_queue = HUGE;
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/plain", nothing, wsb_span(NULL, 0), WSB_FLAG_MORE);
    order(f, part(half, flags, 1));
    order(f, part(rest, flags, 2));
    for (size_t round = 0; round < ROUNDS && !f->outcomes[2]; round++) {
        hear_round(f);
        bool has_first = packed_by(f) >= half.len;
        if (!has_first)
            assert_int_equal(f->outcomes[1], 0);
        if (f->outcomes[1])
            assert_true(has_first);
        assert_false(f->outcomes[2] && packed_by(f) < HUGE);
    }
    assert_int_equal(f->outcomes[1], WSB_OUTCOME_WRITTEN + 1);
    assert_int_equal(f->outcomes[2], WSB_OUTCOME_WRITTEN + 1);
    order(f, part(wsb_span(NULL, 0), WSB_FLAG_WANT_OUTCOME, 3));
    assert_int_equal(f->outcomes[3], 0);
    pack_all(f, WSG_PACKING_ROUND);
    assert_int_equal(f->outcomes[3], WSB_OUTCOME_WRITTEN + 1);
    has_all_of(f, huge, HUGE);
}

static void test_the_outcome_waits_for_a_client_that_does_not_read(void **state)
{
    struct fixture *f = *state;
    struct wsg_command c = respond(wsb_span(huge, HUGE), WSB_FLAG_WANT_OUTCOME);
    begin(f);
    ask(f, "GET", "1.1", "gzip");
    f->reads_nothing = true;
    c.seq = 1;
    order(f, c);
    pack_all(f, WSG_PACKING_ROUND);
    assert_int_equal(packed_by(f), HUGE); /* more than the socket takes */
    assert_int_equal(f->outcomes[1], 0);
    f->reads_nothing = false;
    for (int i = 0; i < 20; i++)
        turn(f);
    assert_int_equal(f->outcomes[1], WSB_OUTCOME_WRITTEN + 1);
    has_all_of(f, huge, HUGE);
}

static void test_what_waits_to_be_packed_counts_in_the_queue(void **state)
{
    enum { FIRST = 400000 };
    struct fixture *f = *state;
    struct wsg_command c = part(wsb_span(huge + FIRST, 1000), WSB_FLAG_WANT_OUTCOME | WSB_FLAG_MORE, 1);
    begin(f); /* max_queue: 20000 */
    ask(f, "GET", "1.1", "gzip");
    order(f, respond(wsb_span(huge, FIRST), WSB_FLAG_MORE));
    order(f, c);
    hear_round(f);
    assert_int_equal(f->outcomes[1], WSB_OUTCOME_DROPPED + 1);
    assert_int_equal(f->writables, 0);
    pack_all(f, WSG_PACKING_ROUND);
    assert_int_equal(f->writables, 1);
    assert_string_equal(f->meta, "{\"at\":400000}");
    c.has_at = true;
    c.at = FIRST;
    c.seq = 2;
    c.flags = WSB_FLAG_WANT_OUTCOME;
    order(f, c);
    pack_all(f, WSG_PACKING_ROUND);
    assert_int_equal(f->outcomes[2], WSB_OUTCOME_WRITTEN + 1);
    has_all_of(f, huge, FIRST + 1000);
}

static void test_a_client_that_leaves_in_the_middle(void **state)
{
    static const struct {
        uint8_t flags;
        const char *events; /* a handler that has said all is told by the outcome only */
    } rows[] = {{WSB_FLAG_MORE, "request aborted"}, {0, "request done"}};
    struct fixture *f = *state;
    begin(f);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_command c = respond(wsb_span(huge, HUGE), rows[i].flags | WSB_FLAG_WANT_OUTCOME);
        if (i)
            connect_client(f);
        ask(f, "GET", "1.1", "gzip");
        c.seq = i + 1;
        order(f, c);
        hear_round(f);
        hang_up(f);
        assert_string_equal(f->events, rows[i].events);
        assert_int_equal(f->outcomes[c.seq], WSB_OUTCOME_GONE + 1);
        assert_false(wsg_packings_wait(&f->env));
        assert_int_equal(account.used, 0);
    }
    assert_true(packed_by(f) < HUGE / 8);
}

static void test_long_bodies_of_which_the_length_must_be_known(void **state)
{
    static uint8_t noise[100000];
    struct fixture *f = *state;
    uint32_t x = 1;
    begin(f);
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    ask(f, "GET", "1.0", "gzip"); /* it knows no chunks */
    answer(f, 200, "text/plain", nothing, wsb_span(huge, 100000), 0);
    HAS(f->got, "Content-Length: 100000\r\n");
    HAS(f->got, "Vary: Accept-Encoding\r\n");
    assert_null(strstr((char *)f->got, "Content-Encoding"));
    assert_memory_equal(body_of(f), huge, 100000);

    connect_client(f);
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/plain", nothing, wsb_span(noise, sizeof noise), 0);
    HAS(f->got, "Content-Length: 100000\r\n");
    assert_memory_equal(body_of(f), noise, sizeof noise);
    assert_int_equal(packed_by(f), 0);

    ask(f, "HEAD", "1.1", "gzip"); /* nothing is packed for it */
    answer(f, 200, "text/plain", nothing, wsb_span(huge, HUGE), 0);
    HAS(f->got, "Content-Encoding: gzip\r\n");
    HAS(f->got, "Transfer-Encoding: chunked\r\n");
    assert_null(strstr((char *)f->got, "Content-Length"));
    assert_string_equal(body_of(f), "");
    assert_int_equal(packed_by(f), 0);
    assert_int_equal(account.used, 0);

    account.max = 50000;
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/plain", nothing, wsb_span(huge, 100000), 0);
    HAS(f->got, "Content-Length: 100000\r\n");
    assert_memory_equal(body_of(f), huge, 100000);
}

static void test_the_next_request_waits_until_all_is_packed(void **state)
{
    struct fixture *f = *state;
    begin(f);
    ask(f, "GET", "1.1", "gzip");
    order(f, respond(wsb_span(huge, HUGE), 0));
    const char *next = "GET /ws/2 HTTP/1.1\r\nHost: h\r\n\r\n";
    client_write(f, next, strlen(next));
    hear_round(f);
    hear_round(f);
    assert_string_equal(f->events, "request done");
    pack_all(f, WSG_PACKING_ROUND);
    assert_string_equal(f->events, "request done request");
    has_all_of(f, huge, HUGE);
    forget(f);
    answer(f, 200, "text/plain", nothing, wsb_span_str("next"), 0);
    assert_string_equal(body_of(f), "next");
}

/* It is answered before all of it is here; the rest comes while the answer is packed. */
static void test_the_rest_of_the_request_is_read_meanwhile(void **state)
{
    struct fixture *f = *state;
    const char *head = "POST /ws/1 HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nContent-Length: 230000\r\n\r\n";
    const char *next = "GET /ws/2 HTTP/1.1\r\nHost: h\r\n\r\n";
    struct wsg_route *r = begin(f);
    r->policy.max_body = 400000;
    say_text(f, head);
    say(f, huge, 70000);
    HAS(f->events, "request:");
    order(f, respond(wsb_span(huge, HUGE), 0));
    forget(f);
    f->entrance.head_timeout_ms = 0; /* the body is late, but it is the gate that has something to do */
    fire_timer(f);
    f->entrance.head_timeout_ms = 10000;
    client_write(f, huge, 100000);
    hear_round(f);
    hear_round(f);
    client_write(f, huge, 60000);
    client_write(f, next, strlen(next));
    hear_round(f);
    hear_round(f);
    assert_string_equal(f->events, "aborted"); /* and no more of the body */
    assert_true(wsg_packings_wait(&f->env));
    pack_all(f, WSG_PACKING_ROUND);
    HAS(f->events, "request");
    has_all_of(f, huge, HUGE);
    forget(f);
    answer(f, 200, "text/plain", nothing, wsb_span_str("next"), 0);
    assert_string_equal(body_of(f), "next");
}

static void test_a_request_that_never_ends_costs_no_answer(void **state)
{
    struct fixture *f = *state;
    const char *head = "POST /ws/1 HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
    begin(f); /* max_body: 100000 */
    say_text(f, head);
    say_text(f, "186a0\r\n");
    say(f, huge, 100000);
    say_text(f, "\r\n");
    HAS(f->events, "request:");
    order(f, respond(wsb_span(huge, HUGE), 0));
    say_text(f, "186a0\r\nabc");
    pack_all(f, WSG_PACKING_ROUND);
    has_all_of(f, huge, HUGE);
    uint8_t byte;
    assert_int_equal(read(f->client, &byte, 1), 0); /* and that is the end */
}

static void test_a_stream_is_not_silent_while_the_gate_packs(void **state)
{
    struct fixture *f = *state;
    struct wsg_route *r = begin(f);
    r->policy.max_queue = HUGE;
    ask(f, "GET", "1.1", "gzip");
    order(f, respond(wsb_span(huge, HUGE), WSB_FLAG_MORE));
    hear_round(f);
    fire_timer(f);
    fire_timer(f);
    tell(f, part(wsb_span(NULL, 0), 0, 0));
    pack_all(f, WSG_PACKING_ROUND);
    has_all_of(f, huge, HUGE);
}

static void test_the_loop_does_not_sleep_while_there_is_something_to_pack(void **state)
{
    struct fixture *f = *state;
    begin(f);
    ask(f, "GET", "1.1", "gzip");
    f->reads_nothing = true;
    order(f, respond(wsb_span(huge, HUGE), 0));
    for (size_t round = 0; round < ROUNDS && wsg_packings_wait(&f->env); round++) {
        wsg_sessions_flush(&f->env);
        if (wsg_packings_wait(&f->env))
            wsg_loop_round(f->env.loop, -1); /* sleeps for ever if nobody wakes it */
    }
    assert_false(wsg_packings_wait(&f->env));
}

static void test_nothing_disturbs_what_is_yet_to_be_packed(void **state)
{
    static const uint8_t types[] = {WSB_CLOSE, WSG_CMD_FAIL, WSB_BODY, WSB_RESPOND, WSG_CMD_DRAIN};
    struct fixture *f = *state;
    begin(f);
    ask(f, "GET", "1.1", "gzip");
    order(f, respond(wsb_span(huge, HUGE), 0));
    for (size_t i = 0; i < COUNT(types); i++)
        order(f, (struct wsg_command){
                     .type = types[i], .flags = WSB_FLAG_WANT_OUTCOME, .origin = 1, .seq = i + 1, .status = 503});
    fire_timer(f); /* it is the gate that takes its time */
    for (size_t i = 0; i < COUNT(types) - 1; i++)
        assert_int_equal(f->outcomes[i + 1], WSB_OUTCOME_GONE + 1);
    assert_true(wsg_packings_wait(&f->env));
    pack_all(f, WSG_PACKING_ROUND);
    has_all_of(f, huge, HUGE);
    assert_memory_equal(f->got + f->got_len - 5, "0\r\n\r\n", 5);
}

static void test_draining_ends_a_stream_behind_what_waits(void **state)
{
    struct fixture *f = *state;
    begin(f);
    size_t len = (size_t)(strchr(huge + HUGE / 2, '\n') + 1 - huge);
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/event-stream", nothing, wsb_span_str(""), WSB_FLAG_MORE);
    order(f, part(wsb_span(huge, len), WSB_FLAG_MORE, 0));
    f->env.draining = true;
    order(f, (struct wsg_command){.type = WSG_CMD_DRAIN});
    hear_round(f);
    HAS(f->events, "aborted");
    pack_all(f, WSG_PACKING_ROUND);
    has_all_of(f, huge, len);
    uint8_t byte;
    assert_int_equal(read(f->client, &byte, 1), 0); /* the end of the connection */
}

static void test_a_client_that_closes_its_side_gets_the_rest(void **state)
{
    struct fixture *f = *state;
    begin(f);
    ask(f, "GET", "1.1", "gzip");
    answer(f, 200, "text/event-stream", nothing, wsb_span(huge, 10), WSB_FLAG_MORE); /* while it goes on: gone */
    order(f, part(wsb_span(huge + 10, HUGE - 10), 0, 0));
    hear_round(f);
    assert_int_equal(shutdown(f->client, SHUT_WR), 0);
    pack_all(f, WSG_PACKING_ROUND);
    has_all_of(f, huge, HUGE);
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
        TEST(test_a_long_body_is_packed_over_many_rounds),
        TEST(test_commands_of_one_round_pack_no_more_than_a_round),
        TEST(test_others_are_written_to_in_between),
        TEST(test_who_packs_takes_turns),
        TEST(test_outcomes_of_parts_wait_for_what_they_become),
        TEST(test_the_outcome_waits_for_a_client_that_does_not_read),
        TEST(test_what_waits_to_be_packed_counts_in_the_queue),
        TEST(test_a_client_that_leaves_in_the_middle),
        TEST(test_long_bodies_of_which_the_length_must_be_known),
        TEST(test_the_next_request_waits_until_all_is_packed),
        TEST(test_the_rest_of_the_request_is_read_meanwhile),
        TEST(test_a_request_that_never_ends_costs_no_answer),
        TEST(test_a_stream_is_not_silent_while_the_gate_packs),
        TEST(test_the_loop_does_not_sleep_while_there_is_something_to_pack),
        TEST(test_nothing_disturbs_what_is_yet_to_be_packed),
        TEST(test_draining_ends_a_stream_behind_what_waits),
        TEST(test_a_client_that_closes_its_side_gets_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
