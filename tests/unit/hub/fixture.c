#include "fixture.h"

#include <sys/eventfd.h>
#include <unistd.h>

/* ---------------------------------------------------------------- the link */

static void fake_close(struct wsb_server *s)
{
    close(((struct fake_server *)s)->fd);
}

static int fake_fd(const struct wsb_server *s, enum wsb_channel c)
{
    (void)c;
    return dup(((const struct fake_server *)s)->fd);
}

static wsb_err fake_recv(struct wsb_server *s, enum wsb_channel c, struct wsb_inbound *ret)
{
    struct fake_server *f = (struct fake_server *)s;
    *ret = (struct wsb_inbound){0};
    if (f->ends && c == WSB_CHANNEL_HANDLERS) {
        f->ended = f->ends;
        f->ends = 0;
        ret->peer = wsb_span(&f->ended, 1);
        return WSB_CLOSED;
    }
    if (f->in.len == 0 || c != (f->in_peer ? WSB_CHANNEL_HANDLERS : WSB_CHANNEL_COMMANDS))
        return WSB_AGAIN;
    ret->peer = wsb_span(&f->in_peer, f->in_peer ? 1 : 0);
    ret->user = wsb_span_str(f->in_user);
    ret->envelope = (struct wsb_envelope){.header = {.type = WSB_BATCH}, .payload = wsb_buf_span(&f->in)};
    ret->envelope.header.payload_len = (uint32_t)f->in.len;
    return WSB_OK;
}

static struct fake_server *server_of_release;

static void fake_release(struct wsb_inbound *in)
{
    (void)in;
    wsb_buf_clear(&server_of_release->in);
}

static bool fake_has_input(struct wsb_server *s, enum wsb_channel c)
{
    (void)s;
    (void)c;
    return false;
}

static void fake_on_readable(struct wsb_server *s, enum wsb_channel c)
{
    (void)s;
    (void)c;
}

static void fake_flush(struct wsb_server *s)
{
    (void)s;
}

static bool fake_is_wanted(const struct wsb_server *s, const char *topic)
{
    (void)topic;
    return ((const struct fake_server *)s)->wants_all;
}

static void log_envelope(struct fake_server *f, char peer, const struct wsb_envelope *e)
{
    if (f->sink) {
        f->sink(f->sink_ctx, peer, e);
        return;
    }
    size_t n = strlen(f->log);
    snprintf(f->log + n, sizeof f->log - n, "%s%c:%s%s%s%s%.*s", n ? " " : "", peer, wsb_type_name(e->header.type),
             e->header.flags & WSB_FLAG_REDELIVERED ? "!" : "", e->header.flags & WSB_FLAG_PENDING ? "?" : "",
             e->payload.len ? "=" : "", (int)e->payload.len, (const char *)e->payload.ptr);
    n = strlen(f->log);
    if (e->header.type == WSB_OPEN)
        snprintf(f->open_meta, sizeof f->open_meta, "%.*s", (int)e->meta.len, (const char *)e->meta.ptr);
    if (e->header.type == WSB_DATA)
        snprintf(f->log + n, sizeof f->log - n, "#%d", (int)e->header.seq);
    if (e->header.type == WSB_OUTCOME || e->header.type == WSB_ERROR)
        snprintf(f->log + n, sizeof f->log - n, "(%d)", e->header.code);
}

static wsb_err fake_send(struct wsb_server *s, struct wsb_span peer, const struct wsb_header *h,
                         struct wsb_block *payload, struct wsb_span meta)
{
    struct fake_server *f = (struct fake_server *)s;
    char p = (char)peer.ptr[0];
    bool gone = f->is_gone[(int)p];
    if (f->fails[(int)p]) {
        f->fails[(int)p]--;
        wsb_block_free(payload);
        return WSB_ERR_NOMEM;
    }
    struct wsb_span rest = wsb_span(payload->data, payload->len);
    struct wsb_envelope e = {.header = *h, .payload = rest, .meta = meta};
    if (!gone && h->type != WSB_BATCH)
        log_envelope(f, p, &e);
    while (!gone && h->type == WSB_BATCH && wsb_record_next(&rest, &e) == WSB_OK)
        log_envelope(f, p, &e);
    wsb_block_free(payload);
    return gone ? WSB_CLOSED : WSB_OK;
}

static size_t fake_publish(struct wsb_server *s, const char *topic, const struct wsb_header *h,
                           struct wsb_block *payload, struct wsb_span meta)
{
    struct fake_server *f = (struct fake_server *)s;
    size_t n = strlen(f->log);
    (void)meta;
    snprintf(f->log + n, sizeof f->log - n, "%s*:%s%s", n ? " " : "", topic, h->flags & WSB_FLAG_PENDING ? "?" : "");
    wsb_block_free(payload);
    return ((struct fake_server *)s)->missed;
}

static void fake_watch(struct wsb_server *s, const struct wsb_inbound *in, uint32_t heartbeat_ms)
{
    (void)s;
    (void)in;
    (void)heartbeat_ms;
}

static void fake_unwatch(struct wsb_server *s, struct wsb_span peer)
{
    ((struct fake_server *)s)->is_stalled[(int)peer.ptr[0]] = false;
}

static bool fake_is_behind(const struct wsb_server *s, struct wsb_span peer)
{
    (void)s;
    (void)peer;
    return false;
}

static bool fake_is_stalled(struct wsb_server *s, struct wsb_span peer, uint64_t now_ms)
{
    (void)now_ms;
    ((struct fake_server *)s)->asked++;
    return ((struct fake_server *)s)->is_stalled[(int)peer.ptr[0]];
}

static bool fake_has_unread(const struct wsb_server *s, struct wsb_span peer)
{
    return ((const struct fake_server *)s)->has_unread[(int)peer.ptr[0]];
}

static bool fake_allows(const struct wsb_server *s, struct wsb_span user, const char *route)
{
    (void)s;
    return wsb_span_eq_str(user, route);
}

/* Those that begin with the key's name and a colon. */
static bool fake_allows_name(const struct wsb_server *s, struct wsb_span user, struct wsb_span name)
{
    (void)s;
    return name.len > user.len && name.ptr[user.len] == ':' && memcmp(name.ptr, user.ptr, user.len) == 0;
}

static const struct wsb_server_ops fake_ops = {
    .close = fake_close,
    .fd = fake_fd,
    .on_readable = fake_on_readable,
    .recv = fake_recv,
    .release = fake_release,
    .has_input = fake_has_input,
    .send = fake_send,
    .is_behind = fake_is_behind,
    .flush = fake_flush,
    .publish = fake_publish,
    .is_wanted = fake_is_wanted,
    .watch = fake_watch,
    .unwatch = fake_unwatch,
    .has_unread = fake_has_unread,
    .is_stalled = fake_is_stalled,
    .allows = fake_allows,
    .allows_name = fake_allows_name,
};

/* ------------------------------------------------------------- the fixture */

static void host_command(void *ctx, const struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    struct fixture *f = ctx;
    size_t n = strlen(f->commands);
    const char *name = c->type == WSG_CMD_FAIL     ? "fail"
                       : c->type == WSG_CMD_PAUSE  ? "pause"
                       : c->type == WSG_CMD_RESUME ? "resume"
                                                   : wsb_type_name(c->type);
    n += (size_t)snprintf(f->commands + n, sizeof f->commands - n, "%s%s%s%.*s", n ? " " : "", name,
                          c->payload.len ? "=" : "", (int)(c->payload.len < 20 ? c->payload.len : 20),
                          (const char *)c->payload.ptr);
    if (c->status)
        n += (size_t)snprintf(f->commands + n, sizeof f->commands - n, "(%d)", c->status);
    if (c->only_route)
        n += (size_t)snprintf(f->commands + n, sizeof f->commands - n, "|%s", f->routes.routes[c->only_route - 1].name);
    if (c->type == WSG_CMD_FAIL)
        f->refusal = (enum wsg_refusal)c->code;
    for (size_t i = 0; i < count; i++)
        n += (size_t)snprintf(f->commands + n, sizeof f->commands - n, "%s%d", i ? "," : "@",
                              (int)wsg_id_parts(ids[i]).slot);
}

static void host_reply(void *ctx, uint64_t origin, const struct wsb_envelope *e)
{
    (void)ctx;
    (void)origin;
    (void)e;
}

static void host_tap(void *ctx, const struct wsg_out *out)
{
    (void)ctx;
    (void)out;
}

static bool host_is_behind(void *ctx)
{
    return ((struct fixture *)ctx)->is_behind;
}

void fixture_open(struct fixture *f, const struct wsg_route_policy *policy)
{
    const struct wsg_hub_host host = {f, host_command, host_reply, host_tap, host_is_behind};
    assert_int_equal(wsg_loop_new(&f->loop), WSB_OK);
    assert_int_equal(wsg_routes_init(&f->routes, 2), WSB_OK);
    assert_int_equal(wsg_routes_add(&f->routes, "r", "/r", NULL, policy, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&f->routes, "q", "/q", NULL, policy, NULL), WSB_OK);
    f->server = (struct fake_server){.base.ops = &fake_ops, .fd = eventfd(0, EFD_CLOEXEC)};
    server_of_release = &f->server;
    assert_int_equal(wsg_hub_open(&f->hub, f->loop, &f->routes, &f->server.base, &host, 77, 1000), WSB_OK);
    wsg_outbox_init(&f->outbox, 0);
}

int setup(void **state)
{
    static const struct wsg_route_policy policy = {.kinds = WSG_KIND_WEBSOCKET | WSG_KIND_HTTP,
                                                   .max_message = 1000,
                                                   .max_retained = 1 << 20,
                                                   .max_backlog = 1000,
                                                   .ack_timeout_ms = 30000,
                                                   .handler_wait_ms = 1000};
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open(f, &policy);
    *state = f;
    return 0;
}

void fixture_close(struct fixture *f)
{
    int fds[WSB_CHANNELS];
    for (int c = 0; c < WSB_CHANNELS; c++)
        fds[c] = f->hub.readings[c].watch.fd;
    wsg_hub_close(&f->hub);
    for (int c = 0; c < WSB_CHANNELS; c++)
        close(fds[c]);
    wsg_outbox_deinit(&f->outbox);
    wsb_buf_deinit(&f->server.in);
    for (size_t i = 0; i < f->routes.count; i++)
        assert_int_equal(wsg_places_taken(&f->routes.routes[i].pending), 0); /* each was given back, and once */
    wsg_routes_deinit(&f->routes);
    wsg_loop_free(f->loop);
}

int teardown(void **state)
{
    fixture_close(*state);
    free(*state);
    return 0;
}

wsb_conn conn_of(uint32_t slot)
{
    return wsg_id_make((struct wsg_id_parts){1, 1, 0, slot});
}

void hear_envelope(struct fixture *f, char peer, const struct wsb_envelope *e)
{
    f->server.in_peer = peer;
    assert_int_equal(wsb_record_append(&f->server.in, e), WSB_OK);
    wsg_hub_receive(&f->hub);
    wsg_hub_flush(&f->hub);
}

void hear(struct fixture *f, char peer, uint8_t type, uint8_t code, uint8_t flags, uint32_t slot, const char *payload,
          const char *meta)
{
    struct wsb_envelope e = {
        .header = {.type = type, .code = code, .flags = flags, .conn = slot ? conn_of(slot) : 0, .seq = 42},
        .payload = wsb_span_str(payload),
        .meta = wsb_span_str(meta)};
    hear_envelope(f, peer, &e);
}

/* A session has taken a place for whom it lets in. */
static wsg_place place_for(struct fixture *f, const struct wsg_out *out)
{
    bool is_open = out->kind == WSG_OUT_EVENT && out->envelope.header.type == WSB_OPEN;
    struct wsb_ip ip = wsb_ip_unknown();
    return is_open ? wsg_places_take(&f->routes.routes[out->route].pending, &f->routes.seed, &ip) : 0;
}

void happen_out(struct fixture *f, const struct wsg_out *out)
{
    struct wsg_out copy = *out;
    copy.place = place_for(f, out);
    assert_int_equal(wsg_outbox_put(&f->outbox, &copy), WSB_OK);
    (void)wsg_hub_take(&f->hub, wsb_buf_span(&f->outbox.buf));
    wsb_buf_clear(&f->outbox.buf);
    wsg_hub_flush(&f->hub);
}

void happen(struct fixture *f, uint8_t type, uint32_t slot, uint16_t route, const char *payload)
{
    struct wsg_out out = {.kind = WSG_OUT_EVENT,
                          .route = route,
                          .envelope = {.header = {.type = type, .conn = conn_of(slot)},
                                       .payload = wsb_span_str(payload),
                                       .meta = wsb_span_str(type == WSB_OPEN || type == WSB_REQUEST ? "{}" : NULL)}};
    happen_out(f, &out);
}

void hello(struct fixture *f, char peer)
{
    hear(f, peer, WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"batch\":true}");
}

void forget(struct fixture *f)
{
    f->server.log[0] = f->commands[0] = 0;
}
