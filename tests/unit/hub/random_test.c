/*
 * The hub against chance: clients that come, send and go, handlers that come, take, acknowledge, drain, hang and die, in random
 * order under every policy. What must hold afterwards does not depend on the order:
 *
 *   - an owner sees OPEN first, then messages in rising order, none from before what it has seen, CLOSED last and once
 *   - every message was acknowledged by its owner, or is counted as dropped; under `pause` with a handler left, none is dropped
 *   - what an owner gets that another one was sent before is flagged as redelivered
 *   - a handler is never sent more than it granted
 *   - in = delivered + dropped + retained, at every step, for each route
 *   - with a gatekeeper, an owner hears of a client only when it has its 101, and then nobody had it before; the gatekeeper hears
 *     of it until it accepts it
 *
 * The seed is printed when something does not hold.
 */
#include "fixture.h"

enum {
    CLIENTS = 12,
    HANDLERS = 6,
    GATEKEEPER = 4 /* the first of them */,
    STEPS = 4000,
    SEEDS = 60,
    MESSAGES_MAX = STEPS
};

struct client {
    wsb_conn conn;
    uint32_t generation;
    bool is_open;
    bool is_waiting;  /* for its 101 */
    bool is_accepted; /* the session was told so, and has not sent it */
    bool is_failed;   /* it was told that nothing will come of it */
    uint64_t sent;    /* messages since OPEN */
};

/* What one handler knows of one connection. */
struct view {
    wsb_conn conn;
    uint64_t seen;  /* last seq */
    uint64_t acked; /* last seq that it acknowledged */
    bool is_over;
    bool is_pending;
};

struct model {
    struct fixture f;
    uint64_t random;
    struct client clients[CLIENTS];
    struct {
        char peer;
        bool is_registered, acks, has_credit;
        int64_t messages; /* granted and not used */
        struct view views[512];
        size_t count;
    } handlers[HANDLERS];
    bool has_gatekeeper;
    uint64_t in;
    /* for each connection by number of opening: the highest seq that any owner has acknowledged or seen */
    struct {
        wsb_conn conn;
        uint64_t acked, seen;
        bool was_asked, is_admitted;  /* with a gatekeeper */
        bool was_pending, was_opened; /* what handlers were sent */
    } known[8192];
    size_t known_count;
};

static uint32_t chance(struct model *m, uint32_t n)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (uint32_t)(m->random >> 33) % n;
}

static struct view *view_of(struct model *m, int i, wsb_conn conn)
{
    for (size_t k = 0; k < m->handlers[i].count; k++) {
        if (m->handlers[i].views[k].conn == conn)
            return &m->handlers[i].views[k];
    }
    return NULL;
}

static size_t known_of(struct model *m, wsb_conn conn)
{
    for (size_t k = m->known_count; k-- > 0;) {
        if (m->known[k].conn == conn)
            return k;
    }
    m->known[m->known_count] = (__typeof__(m->known[0])){.conn = conn};
    return m->known_count++;
}

static void forget_view(struct model *m, int i, wsb_conn conn)
{
    struct view *v = view_of(m, i, conn);
    if (v)
        *v = m->handlers[i].views[--m->handlers[i].count];
}

static void check_opening(struct model *m, int i, const struct wsb_header *d)
{
    size_t k = known_of(m, d->conn);
    bool is_again = (d->flags & WSB_FLAG_REDELIVERED) != 0;
    bool *before = i >= GATEKEEPER ? &m->known[k].was_pending : &m->known[k].was_opened;
    assert_int_equal((d->flags & WSB_FLAG_PENDING) != 0, i >= GATEKEEPER);
    assert_int_equal(m->known[k].was_asked && m->known[k].is_admitted, m->known[k].was_asked && i < GATEKEEPER);
    assert_int_equal(is_again, *before);
    *before = true;
    if (!is_again)
        assert_int_equal(m->known[k].seen, 0);
}

/* A handler is sent this. */
static void on_sent(void *ctx, char peer, const struct wsb_envelope *e)
{
    struct model *m = ctx;
    int i = peer - 'a';
    const struct wsb_header *d = &e->header;
    struct view *v = view_of(m, i, d->conn);
    assert_true(m->handlers[i].is_registered || d->type == WSB_WELCOME || d->type == WSB_ERROR);
    switch (d->type) {
    case WSB_OPEN:
        if (v)
            forget_view(m, i, d->conn);
        assert_true(m->handlers[i].count < COUNT(m->handlers[i].views));
        m->handlers[i].views[m->handlers[i].count++] =
            (struct view){.conn = d->conn, .seen = 1, .is_pending = (d->flags & WSB_FLAG_PENDING) != 0};
        check_opening(m, i, d);
        break;
    case WSB_DATA: {
        size_t k = known_of(m, d->conn);
        assert_non_null(v);
        assert_false(v->is_over);
        assert_true(i < GATEKEEPER);
        assert_true(d->seq > v->seen);
        assert_true(d->seq > m->known[k].acked); /* what is done with does not come back */
        assert_int_equal(d->seq <= m->known[k].seen, (d->flags & WSB_FLAG_REDELIVERED) != 0);
        uint64_t number;
        assert_int_equal(e->payload.len, sizeof number + sizeof d->conn);
        memcpy(&number, e->payload.ptr, sizeof number);
        assert_int_equal(number + 1, d->seq); /* the right message */
        assert_memory_equal(e->payload.ptr + sizeof number, &d->conn, sizeof d->conn);
        v->seen = d->seq;
        if (d->seq > m->known[k].seen)
            m->known[k].seen = d->seq;
        if (m->handlers[i].has_credit)
            assert_true(m->handlers[i].messages-- > 0);
        break;
    }
    case WSB_CLOSED_EV:
        assert_non_null(v);
        assert_true(d->seq > v->seen);
        v->seen = d->seq;
        v->is_over = true;
        if (!m->handlers[i].acks)
            forget_view(m, i, d->conn);
        break;
    case WSB_REVOKED:
        assert_non_null(v);
        forget_view(m, i, d->conn);
        break;
    case WSB_DRAIN:
        assert_true((d->flags & WSB_FLAG_MORE) || m->handlers[i].count == 0);
        break;
    default:
        break;
    }
}

static void check_sums(struct model *m)
{
    for (size_t k = 0; k < m->f.routes.count; k++) {
        const struct wsg_route *r = &m->f.routes.routes[k];
        uint64_t dropped = 0;
        for (int i = 0; i < WSG_IN_DROPS; i++)
            dropped += r->tally.in_dropped[i];
        assert_int_equal(k ? 0 : m->in, r->tally.delivered + dropped + r->retained.messages);
    }
}

static bool should_pend(const struct wsg_pin *p)
{
    bool is_there = !p->is_request && wsg_pin_is_alive(p);
    bool is_heard_of = p->state == WSG_PIN_OPEN && (p->was_opened || p->route->policy.publish);
    return is_there && !is_heard_of;
}

/* As many wait to be heard of as each route says. */
static void check_pending(struct model *m)
{
    uint32_t pending[8] = {0};
    for (size_t w = 0; w < WSG_ID_WORKERS; w++) {
        for (size_t i = 0; i < m->f.hub.pins.workers[w].count; i++) {
            const struct wsg_pin *p = m->f.hub.pins.workers[w].slots[i];
            if (p && should_pend(p))
                pending[wsg_pin_asks_elsewhere(p) ? p->asked->wanted->index : p->route->index]++;
        }
    }
    for (size_t i = 0; i < m->f.routes.count; i++)
        assert_int_equal(wsg_places_taken(&m->f.routes.routes[i].pending), pending[i]);
}

/* What a handler's lane says is what its connections say. */
static void check_lanes(struct model *m)
{
    for (const struct wsg_handler *h = m->f.hub.handlers.by_id; h; h = h->by_id.next) {
        size_t unsent = 0;
        uint64_t unacked = 0;
        uint32_t count = 0;
        uint32_t waiting = 0;
        uint32_t moving = 0;
        for (const struct wsg_pin *p = NULL; (p = wsg_lane_next(&h->lane, p)) != NULL;) {
            unsent += p->backlog.unsent_bytes;
            unacked += p->unacked;
            assert_true(p->unacked <= p->sent_seq - p->acked_seq);
            assert_int_equal(p->unacked == 0, p->sent_seq == p->acked_seq);
            count++;
            waiting += p->is_waiting;
            moving += p->is_moving;
        }
        assert_int_equal(unsent, h->lane.unsent_bytes);
        assert_int_equal(unacked, h->unacked);
        assert_int_equal(count, h->lane.count);
        assert_int_equal(waiting, h->lane.waiting_count);
        assert_int_equal(moving, h->moving);
    }
}

/* --------------------------------------------------------------------------- steps */

static void register_handler(struct model *m, int i)
{
    char meta[200];
    m->handlers[i].peer = (char)('a' + i);
    m->handlers[i].is_registered = true;
    m->f.server.is_gone['a' + i] = false;
    m->handlers[i].count = 0;
    m->handlers[i].has_credit = chance(m, 2);
    m->handlers[i].messages = m->handlers[i].has_credit ? chance(m, 6) : 0;
    snprintf(meta, sizeof meta, "{\"routes\":[\"%s\"],\"batch\":%s,\"ack\":%s,\"weight\":%u%s%d%s}",
             i >= GATEKEEPER ? "q" : "r", chance(m, 2) ? "true" : "false", m->handlers[i].acks ? "true" : "false",
             1 + chance(m, 3), m->handlers[i].has_credit ? ",\"credit\":{\"bytes\":1000000,\"messages\":" : ",\"pid\":",
             (int)m->handlers[i].messages, m->handlers[i].has_credit ? "}" : "");
    hear(&m->f, m->handlers[i].peer, WSB_HELLO, 0, 0, 0, "", meta);
}

static void ack_some(struct model *m, int i)
{
    struct view *v = m->handlers[i].count ? &m->handlers[i].views[chance(m, (uint32_t)m->handlers[i].count)] : NULL;
    if (!v || !m->handlers[i].acks || v->acked == v->seen)
        return;
    uint64_t seq = v->acked + 1 + chance(m, (uint32_t)(v->seen - v->acked));
    size_t k = known_of(m, v->conn);
    struct wsb_envelope e = {.header = {.type = WSB_ACK, .conn = v->conn, .seq = seq}};
    v->acked = seq;
    if (seq > m->known[k].acked)
        m->known[k].acked = seq;
    if (v->is_over && v->acked == v->seen)
        forget_view(m, i, v->conn);
    hear_envelope(&m->f, m->handlers[i].peer, &e);
}

static void ack_all(struct model *m, int i)
{
    for (size_t k = 0; k < m->handlers[i].count;) {
        size_t before = m->handlers[i].count;
        struct view *v = &m->handlers[i].views[k];
        struct wsb_envelope e = {.header = {.type = WSB_ACK, .conn = v->conn, .seq = v->seen}};
        size_t at = known_of(m, v->conn);
        bool over = v->is_over;
        v->acked = v->seen;
        if (v->seen > m->known[at].acked)
            m->known[at].acked = v->seen;
        if (over)
            forget_view(m, i, v->conn);
        hear_envelope(&m->f, m->handlers[i].peer, &e);
        k = m->handlers[i].count < before ? 0 : k + 1;
    }
}

static void grant(struct model *m, int i, uint32_t n)
{
    char meta[60];
    m->handlers[i].messages += n;
    snprintf(meta, sizeof meta, "{\"messages\":%u,\"bytes\":1000}", n);
    hear(&m->f, m->handlers[i].peer, WSB_CREDIT, 0, 0, 0, "", meta);
}

static void kill_handler(struct model *m, int i)
{
    m->f.server.is_gone['a' + i] = true;
    m->f.hub.heartbeat.fn(&m->f.hub.heartbeat); /* the next PING finds out */
    m->handlers[i].is_registered = false;
}

/* What sessions were told. */
static void hear_commands(struct model *m)
{
    char *rest = m->f.commands;
    for (char *word = strsep(&rest, " "); word; word = strsep(&rest, " ")) {
        bool accepts = strncmp(word, "accept@", 7) == 0;
        char *at = strchr(word, '@');
        if (!accepts && strncmp(word, "fail", 4) != 0)
            continue;
        for (char *id = at + 1; *id; id += *id == ',') {
            struct client *c = &m->clients[strtoul(id, &id, 10)];
            c->is_accepted = c->is_accepted || (accepts && c->is_waiting);
            c->is_failed = c->is_failed || !accepts;
        }
    }
    m->f.commands[0] = 0;
}

static void say_open(struct model *m, struct client *c, uint32_t slot)
{
    c->generation++;
    *c = (struct client){.conn = wsg_id_make((struct wsg_id_parts){1, c->generation, 0, slot}),
                         .generation = c->generation,
                         .is_open = true,
                         .is_waiting = m->has_gatekeeper};
    m->known[known_of(m, c->conn)].was_asked = m->has_gatekeeper;
    struct wsg_out out = {
        .kind = WSG_OUT_EVENT,
        .key = chance(m, 2) ? 1 + chance(m, 5) : 0,
        .envelope = {.header = {.type = WSB_OPEN, .flags = m->has_gatekeeper ? WSB_FLAG_PENDING : 0, .conn = c->conn},
                     .meta = wsb_span_str("{}")}};
    happen_out(&m->f, &out);
}

static void say_closed(struct model *m, struct client *c)
{
    struct wsg_out out = {.kind = WSG_OUT_EVENT, .envelope = {.header = {.type = WSB_CLOSED_EV, .conn = c->conn}}};
    c->is_open = false;
    happen_out(&m->f, &out);
}

static void say_admitted(struct model *m, struct client *c)
{
    struct wsg_out out = {.kind = WSG_OUT_ADMITTED, .envelope = {.header = {.type = WSB_OPEN, .conn = c->conn}}};
    c->is_waiting = false;
    m->known[known_of(m, c->conn)].is_admitted = true;
    happen_out(&m->f, &out);
}

static void client_step(struct model *m, uint32_t slot)
{
    struct client *c = &m->clients[slot];
    if (!c->is_open) {
        say_open(m, c, slot);
    } else if (c->is_waiting) { /* an ACCEPT that is not good is the end as well */
        if (c->is_accepted && chance(m, 8))
            say_admitted(m, c);
        else if (c->is_accepted || c->is_failed || chance(m, 20) == 0)
            say_closed(m, c);
    } else if (chance(m, 20) == 0) {
        say_closed(m, c);
    } else {
        uint8_t payload[16];
        c->sent++;
        m->in++;
        memcpy(payload, &c->sent, 8);
        memcpy(payload + 8, &c->conn, 8);
        struct wsg_out out = {.kind = WSG_OUT_EVENT,
                              .envelope = {.header = {.type = WSB_DATA, .code = WSB_BINARY, .conn = c->conn},
                                           .payload = wsb_span(payload, sizeof payload)}};
        happen_out(&m->f, &out);
    }
}

static void answer_ping(struct model *m, int i)
{
    struct wsg_handler *h = wsg_handlers_by_peer(&m->f.hub.handlers, wsb_span(&m->handlers[i].peer, 1));
    struct wsb_envelope pong = {.header = {.type = WSB_PONG, .seq = h ? h->ping_seq : 0}};
    hear_envelope(&m->f, m->handlers[i].peer, &pong);
}

static void move_one(struct model *m)
{
    struct wsg_pin *p = wsg_pins_find(&m->f.hub.pins, m->clients[chance(m, CLIENTS)].conn);
    char peer = (char)('a' + (int)chance(m, HANDLERS));
    struct wsg_handler *to = wsg_handlers_by_peer(&m->f.hub.handlers, wsb_span(&peer, 1));
    if (p && to)
        (void)!wsg_hub_move(&m->f.hub, p, to);
    wsg_hub_flush(&m->f.hub);
}

static void decide(struct model *m, int i)
{
    struct view *v = m->handlers[i].count ? &m->handlers[i].views[chance(m, (uint32_t)m->handlers[i].count)] : NULL;
    struct wsb_envelope e = {.header = {.type = chance(m, 8) ? WSB_ACCEPT : WSB_REJECT, .conn = v ? v->conn : 0}};
    /* `commands` names places only: an ACCEPT that crosses the end of its client must not be taken for the next one's */
    if (v && v->is_pending && !v->is_over && m->clients[wsg_id_parts(v->conn).slot].conn == v->conn)
        hear_envelope(&m->f, m->handlers[i].peer, &e);
}

static void handler_step(struct model *m, int i)
{
    uint32_t what = chance(m, 40);
    if (!m->handlers[i].is_registered) {
        if (what < 10)
            register_handler(m, i);
    } else if (i >= GATEKEEPER && what % 2) {
        decide(m, i);
    } else if (what < 15) {
        ack_some(m, i);
    } else if (what < 20) {
        ack_all(m, i);
    } else if (what < 30 && m->handlers[i].has_credit) {
        grant(m, i, 1 + chance(m, 8));
    } else if (what == 30) {
        kill_handler(m, i);
    } else if (what == 31) {
        hear(&m->f, m->handlers[i].peer, WSB_BYE, 0, 0, 0, "", NULL);
        m->handlers[i].is_registered = false;
    } else if (what == 32) {
        char peer = m->handlers[i].peer;
        struct wsg_handler *h = wsg_handlers_by_peer(&m->f.hub.handlers, wsb_span(&peer, 1));
        wsg_hub_drain_handler(&m->f.hub, h);
        wsg_hub_flush(&m->f.hub);
    } else if (what == 33) {
        move_one(m);
    } else if (what < 36) {
        answer_ping(m, i);
    }
}

/* ---------------------------------------------------------------------------- runs */

static void run(uint64_t seed, enum wsg_when_full policy, enum wsg_no_handler no_handler, bool acks)
{
    struct model *m = calloc(1, sizeof *m);
    const struct wsg_route_policy p = {.kinds = WSG_KIND_WEBSOCKET,
                                       .max_message = 1000,
                                       .max_retained = seed % 3 ? 400000 : 600,
                                       .max_backlog = seed % 2 ? 0 : 200,
                                       .when_full = policy,
                                       .no_handler = no_handler,
                                       .handler_wait_ms = 1000000,
                                       .ack_timeout_ms = 1000000};
    m->random = seed * 0x9e3779b97f4a7c15u + 1;
    fixture_open(&m->f, &p);
    m->has_gatekeeper = seed % 2;
    if (m->has_gatekeeper)
        wsg_routes_set_gatekeeper(&m->f.routes, 0, "q");
    m->f.server.sink = on_sent;
    m->f.server.sink_ctx = m;
    for (int i = 0; i < HANDLERS; i++) {
        m->handlers[i].acks = acks;
        m->handlers[i].peer = (char)('a' + i);
    }
    for (int step = 0; step < STEPS; step++) {
        if (chance(m, 3))
            client_step(m, chance(m, CLIENTS));
        else
            handler_step(m, (int)chance(m, m->has_gatekeeper ? HANDLERS : GATEKEEPER));
        hear_commands(m);
        check_sums(m);
        check_pending(m);
        check_lanes(m);
    }
    /* All who are left take everything: nothing may be left behind. */
    for (int i = 0; i < HANDLERS; i++) {
        if (m->handlers[i].is_registered) {
            hear(&m->f, m->handlers[i].peer, WSB_BYE, 0, 0, 0, "", NULL);
            m->handlers[i].is_registered = false;
        }
    }
    for (uint32_t slot = 0; slot < CLIENTS; slot++) {
        if (m->clients[slot].is_open)
            say_closed(m, &m->clients[slot]);
    }
    for (int i = 0; i < HANDLERS; i += GATEKEEPER) {
        register_handler(m, i);
        if (m->handlers[i].has_credit)
            grant(m, i, 1000000);
        ack_all(m, i);
    }
    check_sums(m);
    check_pending(m);
    assert_int_equal(m->f.hub.pins.count, 0);
    for (size_t i = 0; i < m->f.routes.count; i++) {
        assert_int_equal(m->f.routes.routes[i].retained.messages, 0);
        assert_int_equal(m->f.routes.routes[i].retained.bytes, 0);
    }
    for (const struct wsg_handler *h = m->f.hub.handlers.by_id; h; h = h->by_id.next) {
        assert_int_equal(h->unacked, 0);
        assert_int_equal(h->lane.unsent_bytes, 0);
    }
    if (m->has_gatekeeper)
        assert_true(m->in > 0);                                                            /* somebody was let in */
    if (policy == WSG_FULL_PAUSE && no_handler == WSG_NO_HANDLER_WAIT && acks && seed % 3) /* room for new clients */
        assert_int_equal(m->f.routes.routes[0].tally.delivered, m->in);                    /* not one was lost */
    fixture_close(&m->f);
    free(m);
}

static void test_chance_breaks_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %d\n", (int)seed);
        run(seed, (enum wsg_when_full)(seed % 4), seed % 5 ? WSG_NO_HANDLER_WAIT : WSG_NO_HANDLER_REFUSE,
            seed % 7 != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_chance_breaks_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
