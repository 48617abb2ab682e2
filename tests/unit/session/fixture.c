/* See the header. */
#include "unit/session/fixture.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tls/context.h"
#include "unit/tls/pki.h"
#include "ws/frame.h"

enum { WIRE = 80 << 10 };

static char *subprotocols[] = {"one", "two"};

struct wsg_route_policy policy_of(bool by_handler, bool close_without)
{
    return (struct wsg_route_policy){
        .kinds = WSG_KIND_WEBSOCKET | WSG_KIND_HTTP,
        .accept_by_handler = by_handler,
        .no_handler = close_without ? WSG_NO_HANDLER_CLOSE : WSG_NO_HANDLER_REFUSE,
        .max_queue_messages = 1000,
        .slow = WSG_SLOW_CLOSE,
        .subprotocols = {subprotocols, 2},
        .max_message = 1000,
        .max_frame = 1000,
        .max_fragments = 10,
        .max_queue = 20000,
        .max_body = 100000,
        .accept_timeout_ms = 10000,
        .body_timeout_ms = 60000,
        .request_timeout_ms = 10000,
        .stream_timeout_ms = 10000,
        .sse_keepalive_ms = 15000,
    };
}

void serve_route(struct wsg_route *r, unsigned kinds)
{
    atomic_store(&r->handlers, kinds != 0);
    for (unsigned k = 0; k < WSG_KINDS; k++)
        atomic_store(&r->serving[k], (kinds & 1u << k) != 0);
    atomic_store(&r->kinds_served, kinds);
}

void add_policy(struct fixture *f, const char *name, const char *path, const struct wsg_route_policy *p)
{
    struct wsb_fault fault = {0};
    if (wsg_routes_add(&f->routes, name, path, NULL, p, &fault))
        fail_msg("%s", fault.text);
    serve_route(&f->routes.routes[f->routes.count - 1], WSG_KIND_ALL);
}

void add_route(struct fixture *f, const char *name, const char *path, bool by_handler, bool close_without)
{
    struct wsg_route_policy p = policy_of(by_handler, close_without);
    add_policy(f, name, path, &p);
}

static void add_known_route(struct fixture *f)
{
    static char *joins[] = {"all", "room:{room}"};
    struct wsg_route_policy p = policy_of(false, false);
    p.pin_by_hash = true;
    p.pin_key = "query:k";
    p.user = "cookie:u";
    p.joins = (struct wsg_texts){joins, 2};
    add_policy(f, "known", "/known/{room*}", &p);
    p.user = NULL;
    p.pin_key = "address";
    p.joins.count = 0;
    p.no_handler = WSG_NO_HANDLER_WAIT;
    add_policy(f, "patient", "/patient", &p);
    serve_route(&f->routes.routes[f->routes.count - 1], 0);
}

#ifdef FIXTURE_TLS
static struct wsb_tls_context *server, *client;
static struct wsg_secure_tally tally;

/* Once for all tests of the program. */
static void make_contexts(void)
{
    struct pki pki;
    pki_open(&pki);
    pki_make(&pki, &(struct pki_ask){.file = "a", .names = "DNS:a", .common_name = "a", .days = 30});
    struct wsb_tls_files files = {pki_path(&pki, "a.pem"), pki_path(&pki, "a.key")};
    assert_int_equal(
        wsb_tls_server_new(&(struct wsb_tls_server_config){.files = &files, .file_count = 1}, &server, NULL), WSB_OK);
    assert_int_equal(
        wsb_tls_client_new(&(struct wsb_tls_client_config){.ca_file = pki_path(&pki, "a.pem")}, &client, NULL), WSB_OK);
    pki_close(&pki);
}

static struct wsb_tls_context *tls_of(struct fixture *f)
{
    if (!server)
        make_contexts();
    f->env.secure = (struct wsg_secure_env){
        .tally = &tally, .handshakes = f->env.secure.handshakes, .scratch = f->env.secure.scratch};
    return server;
}

static void begin_client(struct fixture *f)
{
    static uint8_t in[WIRE], out[WIRE];
    wsb_tls_stream_free(f->tls);
    f->tls = NULL;
    f->wire.len = 0;
    assert_int_equal(wsb_tls_stream_new(client, "a", &f->tls, NULL), WSB_OK);
    wsb_err err = WSB_MORE;
    for (int i = 0; err == WSB_MORE && i < 20; i++) {
        ssize_t got = read(f->client, in, sizeof in);
        struct wsb_tls_io io = {wsb_span(in, got > 0 ? (size_t)got : 0), out, WIRE, 0};
        err = wsb_tls_stream_handshake(f->tls, &io, NULL);
        assert_int_equal(write(f->client, out, io.len), (ssize_t)io.len);
        wsg_loop_round(f->env.loop, 0);
        wsg_sessions_flush(&f->env);
    }
    assert_int_equal(err, WSB_OK);
    assert_int_equal(f->env.secure.handshakes, 0);
}
#else
static struct wsb_tls_context *tls_of(struct fixture *f)
{
    (void)f;
    return NULL;
}

static void begin_client(struct fixture *f)
{
    (void)f;
}
#endif

void connect_client(struct fixture *f)
{
    int pair[2];
    struct wsg_address peer;
    struct wsb_tls_context *tls = tls_of(f);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(wsg_address_parse("192.0.2.1:9", &peer, NULL), WSB_OK);
    assert_int_equal(wsg_session_open(&f->env, pair[0], 0, &peer, tls), WSB_OK);
    f->client = pair[1];
    begin_client(f);
}

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(wsg_routes_init(&f->routes, 6), WSB_OK);
    add_route(f, "ws", "/ws/{x}", false, false);
    add_route(f, "ask", "/ask", true, false);
    add_route(f, "none", "/none", false, false);
    add_route(f, "soft", "/soft", false, true);
    serve_route(&f->routes.routes[2], 0);
    serve_route(&f->routes.routes[3], 0);
    add_known_route(f);
    f->routes.seed = (struct wsb_seed){1, 2};
    wsg_routes_seal(&f->routes);
    assert_int_equal(wsg_loop_new(&f->env.loop), WSB_OK);
    f->env.routes = &f->routes;
    f->entrance.http_limits = (struct wsg_http_limits)WSG_HTTP_LIMITS_DEFAULT;
    f->entrance.head_timeout_ms = f->entrance.handshake_timeout_ms = 10000;
    f->gatekeeping = (struct wsg_gatekeeping){.entrances = &f->entrance, .entrance_count = 1};
    f->env.gatekeeping = &f->gatekeeping;
    f->env.keepalive_timeout_ms = f->env.close_timeout_ms = 10000;
    wsg_slots_init(&f->env.slots, 1, &(struct wsb_seed){1, 2}, 0);
    assert_int_equal(wsg_env_init(&f->env), WSB_OK);
    connect_client(f);
    *state = f;
    return 0;
}

static void note_beginning(struct fixture *f, const struct wsg_out *out)
{
    const struct wsb_envelope *e = &out->envelope;
    if (out->kind != WSG_OUT_EVENT || (e->header.type != WSB_OPEN && e->header.type != WSB_REQUEST))
        return;
    f->key = out->key;
    f->places += out->place != 0;
    f->is_idempotent = out->is_idempotent;
    size_t len = e->payload.len < sizeof f->who - 1 ? e->payload.len : sizeof f->who - 1;
    for (size_t i = 0; i < len; i++)
        f->who[i] = (char)(e->payload.ptr[i] ? e->payload.ptr[i] : ',');
    f->who[len] = 0;
}

static void note_outcome(struct fixture *f, const struct wsb_envelope *e)
{
    if (e->header.type != WSB_OUTCOME || e->header.seq == 0 || e->header.seq >= COUNT(f->outcomes))
        return;
    assert_int_equal(f->outcomes[e->header.seq], 0); /* each command has one */
    f->outcomes[e->header.seq] = (uint8_t)(e->header.code + 1);
}

static void note(char *log, size_t size, const struct wsg_out *out)
{
    size_t n = strlen(log);
    const struct wsb_envelope *e = &out->envelope;
    if (out->kind == WSG_OUT_DONE) {
        snprintf(log + n, size - n, " done");
        return;
    }
    if (out->kind == WSG_OUT_ADMITTED) {
        snprintf(log + n, size - n, " admitted:%.*s", (int)e->payload.len, (const char *)e->payload.ptr);
        return;
    }
    snprintf(log + n, size - n, "%s%s%s%.*s%s%s", n ? " " : "", wsb_type_name(e->header.type),
             e->payload.len && e->header.type != WSB_OPEN ? ":" : "",
             e->header.type == WSB_OPEN ? 0 : (int)(e->payload.len < 40 ? e->payload.len : 40),
             (const char *)e->payload.ptr, e->header.flags & WSB_FLAG_MORE ? "+" : "",
             e->header.type == WSB_OUTCOME ? wsb_outcome_name(e->header.code) : "");
}

void client_write(struct fixture *f, const void *data, size_t len)
{
    static uint8_t wire[WIRE];
    if (!f->tls) {
        assert_int_equal(write(f->client, data, len), (ssize_t)len);
        return;
    }
    for (size_t at = 0; at < len;) {
        size_t used = 0;
        struct wsb_tls_io io = {.out = wire, .room = WIRE};
        struct wsb_span rest = wsb_span((const uint8_t *)data + at, len - at);
        assert_int_equal(wsb_tls_stream_write(f->tls, &io, rest, &used, NULL), WSB_OK);
        assert_int_equal(write(f->client, wire, io.len), (ssize_t)io.len);
        at += used;
    }
}

size_t client_read(struct fixture *f, uint8_t *to, size_t cap)
{
    static uint8_t out[WIRE];
    size_t len = 0;
    if (!f->tls) {
        ssize_t n = read(f->client, to, cap);
        return n > 0 ? (size_t)n : 0;
    }
    while (len < cap) {
        size_t count = 0;
        struct wsb_tls_io io = {.in = f->wire, .out = out, .room = WIRE};
        wsb_err err = wsb_tls_stream_read(f->tls, &io, to + len, cap - len, &count, NULL);
        f->wire = io.in;
        if (err == WSB_MORE) {
            ssize_t n =
                read(f->client, f->wire_bytes, cap - len < sizeof f->wire_bytes ? cap - len : sizeof f->wire_bytes);
            if (n <= 0)
                break;
            f->wire = wsb_span(f->wire_bytes, (size_t)n);
        } else if (err) {
            break;
        }
        len += count;
    }
    return len;
}

void hear_round(struct fixture *f)
{
    wsg_loop_round(f->env.loop, 0);
    wsg_sessions_flush(&f->env);
    struct wsb_span rest = wsb_buf_span(&f->env.outbox.buf);
    struct wsg_out out;
    while (wsg_outbox_next(&rest, &out)) {
        f->writables += out.kind == WSG_OUT_WRITABLE;
        if (out.kind == WSG_OUT_REPLY)
            note_outcome(f, &out.envelope);
        if (out.kind == WSG_OUT_REPLY)
            note(f->replies, sizeof f->replies, &out);
        else
            note(f->events, sizeof f->events, &out);
        note_beginning(f, &out);
        if (out.kind == WSG_OUT_EVENT)
            f->conn = out.envelope.header.conn;
        if (out.envelope.meta.len && out.envelope.meta.len < sizeof f->meta) {
            memcpy(f->meta, out.envelope.meta.ptr, out.envelope.meta.len);
            f->meta[out.envelope.meta.len] = 0;
        }
    }
    wsb_buf_clear(&f->env.outbox.buf);
    wsg_sessions_reap(&f->env);
    if (f->client >= 0 && !f->reads_nothing)
        f->got_len += client_read(f, f->got + f->got_len, sizeof f->got - f->got_len - 1);
    f->got[f->got_len] = 0;
}

void turn(struct fixture *f)
{
    for (int i = 0; i < 6; i++)
        hear_round(f);
}

void say(struct fixture *f, const void *data, size_t len)
{
    client_write(f, data, len);
    turn(f);
}

void say_text(struct fixture *f, const char *text)
{
    say(f, text, strlen(text));
}

void say_frame(struct fixture *f, uint8_t first, const char *payload)
{
    uint8_t frame[WSB_FRAME_HDR_MAX + 2000] = {first};
    size_t len = strlen(payload), n = 2;
    if (len < 126) {
        frame[1] = (uint8_t)(0x80 | len);
    } else {
        frame[1] = 0x80 | 126;
        frame[2] = (uint8_t)(len >> 8);
        frame[3] = (uint8_t)len;
        n = 4;
    }
    memset(frame + n, 0, 4); /* a mask of zeros leaves the payload readable */
    memcpy(frame + n + 4, payload, len);
    say(f, frame, n + 4 + len);
}

void forget(struct fixture *f)
{
    f->events[0] = f->replies[0] = 0;
    f->got_len = 0;
}

void order(struct fixture *f, struct wsg_command c)
{
    void *s;
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &s), WSB_OK);
    wsg_session_command(s, &c);
}

void tell(struct fixture *f, struct wsg_command c)
{
    order(f, c);
    turn(f);
}

void fire_timer(struct fixture *f)
{
    void *at;
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &at), WSB_OK);
    struct wsg_session *s = at;
    s->timer.fn(&s->timer);
    turn(f);
}

void hang_up(struct fixture *f)
{
    if (f->client >= 0)
        close(f->client);
    f->client = -1;
    turn(f);
}

static void kill_one(struct fixture *f)
{
    for (uint32_t i = 0; i < f->env.slots.count; i++) {
        if (f->env.slots.slots[i].value)
            wsg_session_kill(f->env.slots.slots[i].value, "test");
    }
}

int teardown(void **state)
{
    struct fixture *f = *state;
    hang_up(f);
    kill_one(f);
    turn(f);
    assert_int_equal(f->env.slots.used, 0);
    wsb_tls_stream_free(f->tls);
    for (size_t i = 0; i < f->routes.count; i++)
        f->places -= wsg_places_taken(&f->routes.routes[i].pending);
    assert_int_equal(f->places, 0); /* a place went with each OPEN, and every other one was given back */
    wsg_env_deinit(&f->env);
    wsg_loop_free(f->env.loop);
    wsg_routes_deinit(&f->routes);
    free(f);
    return 0;
}

void open_websocket(struct fixture *f)
{
    say_text(f, handshake);
    assert_memory_equal(f->got, "HTTP/1.1 101", 12);
    assert_string_equal(f->events, "open");
    forget(f);
}
