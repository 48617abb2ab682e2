/* See the header. */
#include "unit/session/fixture.h"

#include <sys/socket.h>
#include <unistd.h>

#include "ws/frame.h"

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
        .request_timeout_ms = 10000,
    };
}

void add_policy(struct fixture *f, const char *name, const char *path, const struct wsg_route_policy *p)
{
    struct wsb_fault fault = {0};
    if (wsg_routes_add(&f->routes, name, path, NULL, p, &fault))
        fail_msg("%s", fault.text);
    atomic_store(&f->routes.routes[f->routes.count - 1].handlers, 1);
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
    atomic_store(&f->routes.routes[f->routes.count - 1].handlers, 0);
}

void connect_client(struct fixture *f)
{
    int pair[2];
    struct wsg_address peer;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    assert_int_equal(wsg_address_parse("192.0.2.1:9", &peer, NULL), WSB_OK);
    assert_int_equal(wsg_session_open(&f->env, pair[0], 0, &peer), WSB_OK);
    f->client = pair[1];
}

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(wsg_routes_init(&f->routes, 6), WSB_OK);
    add_route(f, "ws", "/ws/{x}", false, false);
    add_route(f, "ask", "/ask", true, false);
    add_route(f, "none", "/none", false, false);
    add_route(f, "soft", "/soft", false, true);
    atomic_store(&f->routes.routes[2].handlers, 0);
    atomic_store(&f->routes.routes[3].handlers, 0);
    add_known_route(f);
    f->routes.seed = (struct wsb_seed){1, 2};
    wsg_routes_seal(&f->routes);
    assert_int_equal(wsg_loop_new(&f->env.loop), WSB_OK);
    f->env.routes = &f->routes;
    f->env.http_limits = (struct wsg_http_limits)WSG_HTTP_LIMITS_DEFAULT;
    f->gatekeeping = (struct wsg_gatekeeping){.entrances = &f->entrance, .entrance_count = 1};
    f->env.gatekeeping = &f->gatekeeping;
    f->env.head_timeout_ms = f->env.keepalive_timeout_ms = f->env.close_timeout_ms = 10000;
    wsg_slots_init(&f->env.slots, 1, 0);
    assert_int_equal(wsg_env_init(&f->env), WSB_OK);
    connect_client(f);
    *state = f;
    return 0;
}

static void note_beginning(struct fixture *f, const struct wsg_out *out)
{
    const struct wsb_envelope *e = &out->envelope;
    if (e->header.type != WSB_OPEN && e->header.type != WSB_REQUEST)
        return;
    f->key = out->key;
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
    snprintf(log + n, size - n, "%s%s%s%.*s%s%s", n ? " " : "", wsb_type_name(e->header.type),
             e->payload.len && e->header.type != WSB_OPEN ? ":" : "",
             e->header.type == WSB_OPEN ? 0 : (int)(e->payload.len < 40 ? e->payload.len : 40),
             (const char *)e->payload.ptr, e->header.flags & WSB_FLAG_MORE ? "+" : "",
             e->header.type == WSB_OUTCOME ? wsb_outcome_name(e->header.code) : "");
}

/* A few rounds, as the worker does them; what the bus hears is noted, what the client gets is kept. */
void turn(struct fixture *f)
{
    for (int i = 0; i < 6; i++) {
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
        ssize_t n = f->client < 0 || f->reads_nothing
                        ? 0
                        : read(f->client, f->got + f->got_len, sizeof f->got - f->got_len - 1);
        if (n > 0)
            f->got_len += (size_t)n;
    }
    f->got[f->got_len] = 0;
}

void say(struct fixture *f, const void *data, size_t len)
{
    assert_int_equal(write(f->client, data, len), (ssize_t)len);
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

void tell(struct fixture *f, struct wsg_command c)
{
    void *s;
    assert_int_equal(wsg_slots_find(&f->env.slots, f->conn, &s), WSB_OK);
    wsg_session_command(s, &c);
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
