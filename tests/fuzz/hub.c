/*
 * The hub between handlers and sessions that do anything in any order: each input is a script of what happens. The hub's own
 * sums must be right at every step, and nothing may be left when everybody has gone.
 */
#include "../unit/hub/fixture.h"

#include "hub/life.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLOTS = 6, PEERS = 4, STEPS_MAX = 400 };

static const char *const metas[] = {
    "",
    "{\"to\":[\"0000000000000001\"]}",
    "{\"groups\":[\"g\",\"h\"]}",
    "{\"set\":[\"t\"],\"unset\":[\"u\"],\"user\":\"ann\"}",
    "{\"user\":\"\"}",
    "{\"group\":\"g\"}",
    "{\"tag\":\"t\",\"limit\":1}",
    "{\"route\":\"r\"}",
    "{\"all\":true,\"slow\":\"conflate\",\"key\":\"k\"}",
    "{\"messages\":2,\"bytes\":100}",
    "{\"routes\":[\"r\"],\"batch\":true,\"ack\":true}",
    "{\"routes\":[\"r\"],\"ack\":true,\"credit\":{\"messages\":1,\"bytes\":9}}",
    "{\"routes\":[\"r\",\"q\"],\"batch\":true,\"presence\":true,\"weight\":3}",
    "{\"routes\":[\"q\"],\"pid\":7,\"kinds\":[\"http\"]}",
    "{\"status\":200,\"headers\":{\"a\":\"b\"}}",
    "{\"code\":4000}",
};

struct script {
    const uint8_t *at, *end;
};

static uint8_t next(struct script *s)
{
    return s->at < s->end ? *s->at++ : 0;
}

static wsb_conn conn_at(uint8_t slot, uint8_t generation)
{
    return wsg_id_make((struct wsg_id_parts){1, generation, 0, slot});
}

static void ignore(void *ctx, char peer, const struct wsb_envelope *e)
{
    (void)ctx;
    (void)peer;
    (void)e;
}

static void check(const struct fixture *f)
{
    uint32_t messages = 0;
    size_t bytes = 0;
    for (const struct wsg_handler *h = f->hub.handlers.by_id; h; h = h->by_id.next) {
        size_t unsent = 0;
        uint64_t unacked = 0;
        for (const struct wsg_pin *p = h->lane.pins; p; p = p->next) {
            unsent += p->backlog.unsent_bytes;
            unacked += p->unacked;
            assert_true(p->state != WSG_PIN_PENDING || wsg_pin_is_unaccepted(p));
            assert_true(!wsg_pin_is_unaccepted(p) || p->state == WSG_PIN_PENDING || p->state >= WSG_PIN_FAILED);
            assert_true(p->state != WSG_PIN_ADMITTING || p->sent_seq == 0); /* nobody has heard of it */
            for (const struct wsg_kept *k = p->backlog.first; k; k = k->next)
                messages += k->type == WSB_DATA;
        }
        assert_int_equal(unsent, h->lane.unsent_bytes);
        assert_int_equal(unacked, h->unacked);
    }
    for (const struct wsg_pin *p = f->hub.pins.orphans.pins; p; p = p->next) {
        for (const struct wsg_kept *k = p->backlog.first; k; k = k->next)
            messages += k->type == WSB_DATA;
    }
    for (size_t i = 0; i < f->routes.count; i++) {
        messages -= f->routes.routes[i].retained.messages;
        bytes += f->routes.routes[i].retained.bytes;
    }
    assert_int_equal(messages, 0);
    assert_true(bytes < (size_t)1 << 30);
}

static void session_says(struct fixture *f, struct script *s, uint8_t generations[SLOTS], uint8_t what)
{
    static const uint8_t types[] = {WSB_DATA, WSB_DATA, WSB_BODY_EV, WSB_CLOSED_EV, WSB_ABORTED};
    uint8_t slot = next(s) % SLOTS;
    uint8_t more = next(s);
    struct wsg_out out = {
        .kind = WSG_OUT_EVENT, .route = more & 1, .envelope.header.conn = conn_at(slot, generations[slot])};
    if (what < 3) { /* somebody new, in a place that is free */
        if (wsg_pins_find(&f->hub.pins, conn_at(slot, generations[slot])) &&
            !wsg_pin_is_closed(wsg_pins_find(&f->hub.pins, conn_at(slot, generations[slot]))))
            return;
        out.envelope.header.conn = conn_at(slot, ++generations[slot]);
        out.envelope.header.type = more & 2 ? WSB_REQUEST : WSB_OPEN;
        out.envelope.header.flags = (uint8_t)((more & 4 ? WSB_FLAG_PENDING : 0) | (more & 8 ? WSB_FLAG_MORE : 0));
        out.is_idempotent = more & 16;
        out.key = more & 32 ? more : 0;
        out.envelope.meta =
            wsb_span_str(more & 128 ? "{\"a\":{\"subprotocol\":\"\"},\"subprotocol\":\"\"}" : "{\"a\":1}");
        if (!(more & 2) && more & 64)
            out.envelope.payload = wsb_span("ann\0g\0room\0", 11);
    } else if (what == 7) { /* it has its 101, or says so */
        out.kind = WSG_OUT_ADMITTED;
        out.envelope.header.type = WSB_OPEN;
        out.envelope.payload = wsb_span("v12", more % 4);
    } else {
        const struct wsg_pin *p = wsg_pins_find(&f->hub.pins, out.envelope.header.conn);
        out.envelope.header.type = types[what % sizeof types];
        if (!p || wsg_pin_is_closed(p)) /* no session says anything after its end */
            return;
        if (p->is_request != (out.envelope.header.type == WSB_BODY_EV || out.envelope.header.type == WSB_ABORTED))
            return;
        out.envelope.payload = wsb_span("payload payload", more % 16);
    }
    happen_out(f, &out);
}

static void handler_says(struct fixture *f, struct script *s, const uint8_t generations[SLOTS])
{
    uint8_t slot = next(s) % SLOTS;
    uint8_t back = next(s);
    struct wsb_envelope e = {
        .header = {.type = (uint8_t)(WSB_HELLO + next(s) % 20),
                   .code = next(s) % 4,
                   .flags = next(s) & (WSB_FLAG_MORE | WSB_FLAG_WANT_OUTCOME),
                   .conn = back & 64 ? 0 : conn_at(slot, (uint8_t)(generations[slot] - (back & 1))),
                   .seq = next(s)},
        .meta = wsb_span_str(metas[next(s) % (sizeof metas / sizeof *metas)]),
    };
    uint64_t pairs[4] = {e.header.conn, next(s), conn_at(0, generations[0]), next(s)};
    if (back & 128)
        e.payload = wsb_span(pairs, next(s) % (sizeof pairs + 1));
    hear_envelope(f, (char)(back % 8 < PEERS ? 'a' + back % 8 : back % 8 == 7 ? 0 : 'a'), &e);
}

static void operator_does(struct fixture *f, struct script *s, const uint8_t generations[SLOTS])
{
    char peer = (char)('a' + next(s) % PEERS);
    uint8_t slot = next(s) % SLOTS;
    struct wsg_handler *h = wsg_handlers_by_peer(&f->hub.handlers, wsb_span(&peer, 1));
    struct wsg_pin *p = wsg_pins_find(&f->hub.pins, conn_at(slot, generations[slot]));
    switch (next(s) % 7) {
    case 0:
        if (h)
            wsg_hub_drain_handler(&f->hub, h);
        break;
    case 1:
        if (h)
            wsg_hub_drop_handler(&f->hub, h, WSG_GOES_IN_ORDER, "dropped");
        break;
    case 2:
        if (h && p)
            (void)!wsg_hub_move(&f->hub, p, h);
        break;
    case 3:
        f->server.is_gone[(int)peer] = !f->server.is_gone[(int)peer];
        f->hub.heartbeat.fn(&f->hub.heartbeat);
        break;
    case 4:
        f->hub.room.fn(&f->hub.room);
        f->hub.sweep.fn(&f->hub.sweep);
        break;
    case 5:
        if (h)
            wsg_hub_weigh(&f->hub, h, 1 + slot);
        break;
    default:
        if (h) {
            h->progress_ms -= 1000000;
            wsg_hub_check_life(&f->hub);
        }
        break;
    }
    wsg_hub_flush(&f->hub);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fixture f;
    uint8_t generations[SLOTS] = {1, 1, 1, 1, 1, 1};
    struct script s = {data, data + size};
    uint8_t how = next(&s);
    const struct wsg_route_policy policy = {.kinds = WSG_KIND_WEBSOCKET | WSG_KIND_HTTP,
                                            .max_message = 1000,
                                            .max_retained = how & 1 ? 1000 : 100000,
                                            .max_backlog = how & 2 ? 100 : 0,
                                            .when_full = (enum wsg_when_full)(how >> 2 & 3),
                                            .no_handler = (enum wsg_no_handler)((how >> 4 & 3) % 3),
                                            .handler_wait_ms = how & 64 ? 0 : 100000,
                                            .ack_timeout_ms = 30000};
    memset(&f, 0, sizeof f);
    fixture_open(&f, &policy);
    if (how & 128)
        wsg_routes_set_gatekeeper(&f.routes, 0, "q");
    f.server.sink = ignore;
    for (int step = 0; step < STEPS_MAX && s.at < s.end; step++) {
        uint8_t what = next(&s);
        if (what % 16 < 8)
            session_says(&f, &s, generations, what % 16);
        else if (what % 16 < 14)
            handler_says(&f, &s, generations);
        else
            operator_does(&f, &s, generations);
        f.commands[0] = 0;
        check(&f);
    }
    fixture_close(&f);
    return 0;
}
