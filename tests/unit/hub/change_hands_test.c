/*
 * Very many connections change hands: when their handler dies or is dropped, when one comes, when a weight changes. However many
 * they are, one step is bounded, and what happens between two steps keeps its order and its owner.
 */
#include "fixture.h"

#include "hub/ages.h"
#include "hub/hands.h"

enum { MANY = 10000, AT_ONCE = 2048 };

struct count {
    uint64_t of[128][128]; /* by peer and type */
    uint64_t last_seq[MANY + 200];
    bool is_out_of_order;
};

static void note(void *ctx, char peer, const struct wsb_envelope *e)
{
    struct count *c = ctx;
    uint32_t slot = wsg_id_parts(e->header.conn).slot;
    c->of[(int)peer][e->header.type]++;
    if (e->header.type == WSB_OPEN)
        c->last_seq[slot] = 1;
    if (e->header.type == WSB_DATA)
        c->is_out_of_order = c->is_out_of_order || e->header.seq != ++c->last_seq[slot];
}

static struct count counts;

/* What sessions were told, by the command. */
static size_t commanded[256];

static void count_command(void *ctx, const struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    (void)ctx;
    (void)ids;
    commanded[c->type] += count;
}

static int setup_many(void **state)
{
    static const struct wsg_route_policy policy = {.kinds = WSG_KIND_WEBSOCKET,
                                                   .max_message = 1000,
                                                   .max_retained = 1 << 30,
                                                   .ack_timeout_ms = 30000,
                                                   .no_handler = WSG_NO_HANDLER_WAIT,
                                                   .handler_wait_ms = 1000000};
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open(f, &policy);
    memset(&counts, 0, sizeof counts);
    memset(commanded, 0, sizeof commanded);
    f->hub.host.command = count_command;
    f->server.sink = note;
    f->server.sink_ctx = &counts;
    *state = f;
    return 0;
}

static void come(struct fixture *f, char peer)
{
    char meta[80];
    snprintf(meta, sizeof meta, "{\"routes\":[\"r\"],\"batch\":true,\"ack\":true,\"name\":\"%c\"}", peer);
    hear(f, peer, WSB_HELLO, 0, 0, 0, "", meta);
}

static struct wsg_handler *handler_of(struct fixture *f, char peer)
{
    return wsg_handlers_by_peer(&f->hub.handlers, wsb_span(&peer, 1));
}

/* All with OPEN acknowledged and one message that is not. */
static void connect_many(struct fixture *f, char to, bool by_key)
{
    for (uint32_t slot = 1; slot <= MANY; slot++) {
        struct wsg_out out = {
            .kind = WSG_OUT_EVENT,
            .key = by_key ? slot * 0x9e3779b97f4a7c15u : 0,
            .envelope = {.header = {.type = WSB_OPEN, .conn = conn_of(slot)}, .meta = wsb_span_str("{}")}};
        happen_out(f, &out);
        if (!to)
            continue;
        struct wsb_envelope ack = {.header = {.type = WSB_ACK, .conn = conn_of(slot), .seq = 1}};
        hear_envelope(f, to, &ack);
        happen(f, WSB_DATA, slot, 0, "x");
    }
}

/* As its timer does it. */
static void sweep(struct fixture *f)
{
    f->hub.sweep.fn(&f->hub.sweep);
}

static uint32_t moved_to(struct fixture *f, char peer)
{
    return handler_of(f, peer)->lane.count;
}

/* Step by step until it is over. Returns how many steps there were. */
static int finish(struct fixture *f, char to, uint32_t most)
{
    int steps = 0;
    for (uint32_t before = moved_to(f, to); f->hub.again_posted; before = moved_to(f, to)) {
        f->hub.again_posted = false; /* as the loop does */
        wsg_hub_step(&f->hub);
        wsg_hub_flush(&f->hub);
        assert_in_range(moved_to(f, to) - before, 0, most);
        steps++;
        assert_in_range(steps, 0, 1000);
    }
    return steps;
}

/* Of all that it was told of, and is told of because of that. */
static void ack_opens(struct fixture *f, char peer)
{
    for (uint64_t before = UINT64_MAX; before != counts.of[(int)peer][WSB_OPEN];) {
        before = counts.of[(int)peer][WSB_OPEN];
        for (uint32_t slot = 1; slot <= MANY; slot++) {
            struct wsg_pin *p = wsg_pins_find(&f->hub.pins, conn_of(slot));
            struct wsb_envelope ack = {.header = {.type = WSB_ACK, .conn = conn_of(slot), .seq = 1}};
            if (p->handler == handler_of(f, peer) && p->sent_seq && !p->acked_seq)
                hear_envelope(f, peer, &ack);
        }
    }
}

static void test_a_death_is_dealt_with_in_steps(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    connect_many(f, 'a', false);
    come(f, 'b');
    f->server.is_gone['a'] = true;
    hear(f, 'a', WSB_PING, 0, 0, 0, "", NULL);
    assert_null(handler_of(f, 'a')); /* to everybody it is gone at once */
    assert_in_range(moved_to(f, 'b'), 1, AT_ONCE);
    happen(f, WSB_DATA, MANY, 0, "behind"); /* of one that is still to come */
    f->server.is_gone['a'] = false;
    come(f, 'a'); /* and it comes back meanwhile */
    assert_in_range(finish(f, 'b', AT_ONCE), 3, 60);
    assert_int_equal(moved_to(f, 'b') + moved_to(f, 'a'), MANY);
    ack_opens(f, 'b');
    ack_opens(f, 'a');
    assert_int_equal(counts.of['a'][WSB_DATA] + counts.of['b'][WSB_DATA], 2 * MANY + 1);
    assert_false(counts.is_out_of_order);
    assert_null(f->hub.handlers.leaving);
}

static void test_one_that_is_dropped_commands_none_of_them(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    connect_many(f, 'a', false);
    come(f, 'b');
    wsg_hub_drop_handler(&f->hub, handler_of(f, 'a'), WSG_GOES_IN_ORDER, "dropped");
    wsg_hub_flush(&f->hub);
    f->server.is_gone['a'] = false;
    come(f, 'a');
    struct wsb_envelope pong = {.header = {.type = WSB_PONG, .seq = f->hub.last_ping}};
    hear_envelope(f, 'a', &pong);
    assert_int_equal(handler_of(f, 'a')->fence, 0);
    forget(f);
    const struct wsg_pin *p = wsg_pins_find(&f->hub.pins, conn_of(MANY));
    assert_true(p->handler->is_dead); /* not with another one yet */
    hear(f, 'a', WSB_SEND, WSB_TEXT, 0, MANY, "late", NULL);
    assert_int_equal(commanded[WSB_SEND], 0);
    (void)finish(f, 'b', AT_ONCE);
    assert_int_equal(counts.of['a'][WSB_REVOKED], MANY);
}

static void test_those_that_wait_are_taken_in_steps(void **state)
{
    struct fixture *f = *state;
    connect_many(f, 0, false);
    assert_int_equal(f->hub.pins.orphans.count, MANY);
    come(f, 'a');
    assert_in_range(moved_to(f, 'a'), 1, AT_ONCE);
    assert_in_range(finish(f, 'a', AT_ONCE), 3, 60);
    assert_int_equal(moved_to(f, 'a'), MANY);
}

static void test_a_weight_moves_keys_in_steps(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    connect_many(f, 'a', true);
    for (uint32_t slot = 1; slot <= MANY; slot++) {
        struct wsb_envelope ack = {.header = {.type = WSB_ACK, .conn = conn_of(slot), .seq = 2}};
        hear_envelope(f, 'a', &ack);
    }
    come(f, 'b');
    (void)finish(f, 'b', AT_ONCE);
    uint32_t half = moved_to(f, 'b');
    assert_in_range(half, MANY * 45 / 100, MANY * 55 / 100);
    wsg_hub_weigh(&f->hub, handler_of(f, 'b'), 3);
    wsg_hub_flush(&f->hub);
    assert_in_range(moved_to(f, 'b') - half, 0, AT_ONCE);
    ack_opens(f, 'b');
    (void)finish(f, 'b', AT_ONCE);
    assert_in_range(moved_to(f, 'b'), MANY * 70 / 100, MANY * 80 / 100);
}

/* One that does not acknowledge: its answer to a PING, or the end of its time, is the end of very many moves. */
static void end_moves(struct fixture *f, bool answers)
{
    hear(f, 'a', WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"batch\":true,\"name\":\"a\"}");
    connect_many(f, 'a', true);
    come(f, 'b');
    (void)finish(f, 'b', 0); /* they wait */
    uint32_t half = handler_of(f, 'a')->moving;
    assert_in_range(half, MANY * 45 / 100, MANY * 55 / 100);
    if (answers) {
        struct wsb_envelope pong = {.header = {.type = WSB_PONG, .seq = handler_of(f, 'a')->ping_seq}};
        hear_envelope(f, 'a', &pong);
    } else {
        for (struct wsg_pin *p = handler_of(f, 'a')->lane.moving; p; p = p->next)
            p->since_ms -= 1000;
        sweep(f);
    }
    assert_in_range(moved_to(f, 'b'), 1, AT_ONCE);
    assert_in_range(finish(f, 'b', AT_ONCE), 2, 60);
    assert_int_equal(moved_to(f, 'b'), half);
    assert_int_equal(handler_of(f, 'a')->moving, 0);
    assert_false(f->hub.has_passed);
}

static void test_moves_end_in_steps_when_a_ping_is_answered(void **state)
{
    end_moves(*state, /*answers=*/true);
}

static void test_moves_end_in_steps_when_their_time_is_over(void **state)
{
    end_moves(*state, /*answers=*/false);
}

/* It grants more than can be sent in a step. */
static void test_what_waits_for_credit_is_sent_in_steps(void **state)
{
    enum { VISITS_AT_ONCE = 1024 };
    struct fixture *f = *state;
    int steps = 0;
    hear(f, 'a', WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"batch\":true,\"credit\":{\"messages\":0,\"bytes\":0}}");
    connect_many(f, 'a', false);
    assert_int_equal(counts.of['a'][WSB_DATA], 0);
    hear(f, 'a', WSB_CREDIT, 0, 0, 0, "", "{\"messages\":1000000,\"bytes\":100000000}");
    for (uint64_t before = 0; before < MANY; steps++) {
        assert_in_range(counts.of['a'][WSB_DATA] - before, 1, VISITS_AT_ONCE);
        before = counts.of['a'][WSB_DATA];
        assert_true(before == MANY || f->hub.again_posted);
        wsg_hub_step(&f->hub);
        wsg_hub_receive(&f->hub);
        wsg_hub_flush(&f->hub);
    }
    assert_in_range(steps, MANY / VISITS_AT_ONCE, 60);
    assert_false(counts.is_out_of_order);
}

enum { VISITS_A_ROUND = 4096 };

/* Many connections for each of so many handlers, with more messages than a few rounds send, and no credit. */
static void wait_for_many(struct fixture *f, char last)
{
    for (char peer = 'a'; peer <= last; peer++)
        hear(f, peer, WSB_HELLO, 0, 0, 0, "",
             "{\"routes\":[\"r\"],\"batch\":true,\"credit\":{\"messages\":0,\"bytes\":0}}");
    connect_many(f, 0, false);
    for (int i = 0; i < 4; i++) {
        for (uint32_t slot = 1; slot <= MANY; slot++)
            happen(f, WSB_DATA, slot, 0, "x");
    }
}

static void next_round(struct fixture *f)
{
    wsg_hub_step(&f->hub);
    wsg_hub_receive(&f->hub);
    wsg_hub_flush(&f->hub);
}

/* Some handlers have use for all of a round: the others are first in the next one. */
static void test_each_handler_has_its_turn_to_be_sent_what_waits(void **state)
{
    enum { IN_A_ROUND = 4 };
    const char last = 'g';
    struct fixture *f = *state;
    uint64_t all = 0;
    wait_for_many(f, last);
    for (char peer = 'a'; peer <= last; peer++) {
        wsg_handler_grant(handler_of(f, peer), 1000000, 100000000);
        handler_of(f, peer)->is_pump_due = true;
    }
    for (int rounds = 1; rounds <= 7; rounds++) { /* of each three or four turns at the end */
        next_round(f);
        for (char peer = 'a'; peer <= last; peer++)
            assert_in_range(counts.of[(int)peer][WSB_DATA], 1024 * (uint64_t)(rounds * IN_A_ROUND / (last - 'a' + 1)),
                            MANY * 4);
        uint64_t before = all;
        all = 0;
        for (char peer = 'a'; peer <= last; peer++)
            all += counts.of[(int)peer][WSB_DATA];
        assert_in_range(all - before, VISITS_A_ROUND / 2, VISITS_A_ROUND);
    }
    for (int rounds = 0; f->hub.again_posted; rounds++) {
        f->hub.again_posted = false;
        next_round(f);
        assert_in_range(rounds, 0, 1000);
    }
    for (uint32_t slot = 1; slot <= MANY; slot++)
        assert_int_equal(counts.last_seq[slot], 5);
    assert_false(counts.is_out_of_order);
}

/* One that grants a little again and again is not sent more for it than another. */
static void test_credit_in_many_pieces_takes_no_turn_of_another(void **state)
{
    struct fixture *f = *state;
    const char *meta = "{\"messages\":2000,\"bytes\":100000}";
    const struct wsb_envelope credit = {.header = {.type = WSB_CREDIT}, .meta = wsb_span_str(meta)};
    wait_for_many(f, 'b');
    wsg_handler_grant(handler_of(f, 'b'), 1000000, 100000000);
    for (int rounds = 1; rounds <= 5; rounds++) {
        handler_of(f, 'b')->is_pump_due = true;
        wsg_hub_step(&f->hub);
        for (int i = 0; i < 8; i++)
            assert_int_equal(wsb_record_append(&f->server.in, &credit), WSB_OK);
        f->server.in_peer = 'a';
        wsg_hub_receive(&f->hub);
        wsg_hub_flush(&f->hub);
        assert_in_range(counts.of['b'][WSB_DATA], 1024 * (uint64_t)rounds, MANY * 4);
    }
    assert_true(counts.of['a'][WSB_DATA] > 0);
}

/* So many look for somebody to take their connections that a step is not enough: each has its turn. */
static void test_each_handler_has_its_turn_to_drain(void **state)
{
    enum { HANDLERS = 100, ALL = 4 * HANDLERS, IN_A_STEP = 32768 / HANDLERS };
    const char last = HANDLERS;
    static const char hello_meta[] = "{\"routes\":[\"r\"],\"batch\":true,\"ack\":true}";
    struct fixture *f = *state;
    for (char peer = 1; peer <= last; peer++)
        hear(f, peer, WSB_HELLO, 0, 0, 0, "", hello_meta);
    for (uint32_t slot = 1; slot <= ALL; slot++)
        happen(f, WSB_OPEN, slot, 0, "");
    hear(f, last + 1, WSB_HELLO, 0, 0, 0, "", hello_meta); /* it takes all of them */
    for (char peer = 1; peer <= last; peer++)
        handler_of(f, peer)->drain = WSG_DRAIN_BEGUN;
    uint32_t moving = 0;
    for (int steps = 0; moving < ALL; steps++) {
        uint32_t before = moving;
        moving = 0;
        sweep(f);
        for (char peer = 1; peer <= last; peer++)
            moving += handler_of(f, peer)->moving;
        assert_in_range(moving - before, 1, IN_A_STEP);
        assert_in_range(steps, 0, 3);
    }
}

static void request_many(struct fixture *f, char to, bool answer)
{
    for (uint32_t slot = 1; slot <= MANY; slot++) {
        happen(f, WSB_REQUEST, slot, 0, "");
        if (!answer)
            continue;
        struct wsb_envelope response = {.header = {.type = WSB_RESPOND, .flags = WSB_FLAG_MORE, .conn = conn_of(slot)},
                                        .payload = wsb_span_str("x")};
        hear_envelope(f, to, &response);
    }
}

static void test_a_drain_looks_at_so_many_in_a_step(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    request_many(f, 'a', false); /* they cannot go, and stand in front of those that can */
    for (uint32_t slot = MANY + 1; slot <= MANY + 100; slot++)
        happen(f, WSB_OPEN, slot, 0, "");
    come(f, 'b');
    wsg_hub_drain_handler(&f->hub, handler_of(f, 'a'));
    struct wsg_handler *from = handler_of(f, 'a');
    int steps = 0;
    for (; from->moving == 0; steps++) {
        assert_non_null(from->lane.walks[WSG_WALK_DRAIN]); /* it goes on from there */
        assert_in_range(steps, 0, 10);
        sweep(f);
    }
    assert_in_range(steps, 1, 10);
    ack_opens(f, 'a'); /* so they go, and the others begin */
    for (uint32_t slot = MANY + 1; slot <= MANY + 100; slot++) {
        struct wsb_envelope ack = {.header = {.type = WSB_ACK, .conn = conn_of(slot), .seq = 1}};
        if (wsg_pins_find(&f->hub.pins, conn_of(slot))->handler == from)
            hear_envelope(f, 'a', &ack);
        sweep(f);
    }
    assert_int_equal(moved_to(f, 'b'), 100);
    assert_int_equal(moved_to(f, 'a'), MANY);
    wsg_hub_undrain_handler(&f->hub, from);
    assert_null(from->lane.walks[WSG_WALK_DRAIN]);
}

static void test_streams_of_a_drain_end_in_steps(void **state)
{
    enum { STREAMS_AT_ONCE = 256 };
    struct fixture *f = *state;
    int steps = 0;
    come(f, 'a');
    request_many(f, 'a', true);
    wsg_hub_drain_handler(&f->hub, handler_of(f, 'a'));
    for (size_t before = 0; f->hub.is_ending_streams; steps++) {
        assert_in_range(commanded[WSG_CMD_DRAIN] - before, 1, STREAMS_AT_ONCE);
        assert_true(f->hub.again_posted);
        before = commanded[WSG_CMD_DRAIN];
        wsg_hub_step(&f->hub);
    }
    assert_in_range(steps, MANY / STREAMS_AT_ONCE - 1, MANY);
    assert_int_equal(commanded[WSG_CMD_DRAIN], MANY);
}

static void test_all_are_paused_in_steps(void **state)
{
    static char large[1 << 18];
    struct fixture *f = *state;
    int steps = 0;
    memset(large, 'x', sizeof large - 1);
    come(f, 'a');
    connect_many(f, 'a', false);
    handler_of(f, 'a')->paused = true; /* its link is full */
    for (int i = 0; !handler_of(f, 'a')->lane.all_paused; i++) {
        happen(f, WSB_DATA, 5, 0, large);
        assert_in_range(i, 0, 100);
    }
    for (size_t before = 1; f->hub.is_pausing; steps++) { /* the first one was, when it spoke */
        assert_in_range(commanded[WSG_CMD_PAUSE] - before, 1, AT_ONCE);
        assert_true(f->hub.again_posted);
        before = commanded[WSG_CMD_PAUSE];
        if (steps == 0) { /* who ends or changes its place meanwhile is in nobody's way */
            happen(f, WSB_CLOSED_EV, wsg_id_parts(handler_of(f, 'a')->lane.walks[WSG_WALK_PAUSE]->conn).slot, 0, "");
            wsg_lane_rotate(&handler_of(f, 'a')->lane, handler_of(f, 'a')->lane.walks[WSG_WALK_PAUSE]);
        }
        wsg_hub_step(&f->hub);
    }
    assert_in_range(steps, 3, 60);
    assert_int_equal(commanded[WSG_CMD_PAUSE], MANY - 1);
}

/* What is not needed any more is not done. */
static void test_there_is_room_before_all_are_paused(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    connect_many(f, 'a', false);
    struct wsg_lane *lane = &handler_of(f, 'a')->lane;
    lane->all_paused = f->hub.is_pausing = true;
    wsg_lane_walk(lane, WSG_WALK_PAUSE);
    wsg_hub_step(&f->hub);
    assert_int_equal(commanded[WSG_CMD_PAUSE], AT_ONCE);
    lane->all_paused = false;
    wsg_hub_step(&f->hub);
    assert_int_equal(commanded[WSG_CMD_PAUSE], AT_ONCE);
    assert_false(f->hub.is_pausing);
}

static uint32_t last_closed;
static bool is_closed_out_of_order;

static void note_close(void *ctx, const struct wsg_command *c, const wsb_conn *ids, size_t count)
{
    uint32_t slot = wsg_id_parts(ids[0]).slot;
    count_command(ctx, c, ids, count);
    is_closed_out_of_order = is_closed_out_of_order || slot != last_closed + 1;
    last_closed = slot;
}

/* In one batch. What may write and end its client at once is dearer, on the worker that the hub shares a thread with. */
static void test_commands_that_end_their_clients_are_taken_in_steps(void **state)
{
    enum { COMMANDS = 2000, ENDS_AT_ONCE = 2048 / 24 + 1 };
    static const uint8_t types[] = {WSB_CLOSE, WSB_RESPOND, WSB_REJECT, WSB_BODY};
    struct fixture *f = *state;
    come(f, 'a');
    f->hub.host.command = note_close;
    for (size_t i = 0; i < COUNT(types); i++) {
        uint8_t type = types[i];
        size_t before = 0;
        last_closed = 0;
        for (uint32_t slot = 1; slot <= COMMANDS; slot++) {
            struct wsb_envelope e = {.header = {.type = type, .conn = conn_of(slot)}};
            assert_int_equal(wsb_record_append(&f->server.in, &e), WSB_OK);
        }
        f->server.in_peer = 'a';
        for (size_t left = COMMANDS; left; left -= commanded[type] - before) {
            before = commanded[type];
            wsg_hub_receive(&f->hub);
            assert_in_range(commanded[type] - before, 1, ENDS_AT_ONCE);
        }
        assert_int_equal(commanded[type], COMMANDS);
    }
    assert_false(is_closed_out_of_order);
    for (uint32_t slot = 1; slot <= COMMANDS; slot++) {
        wsb_conn elsewhere = wsg_id_make((struct wsg_id_parts){1, 1, 1, slot});
        struct wsb_envelope e = {.header = {.type = WSB_CLOSE, .conn = elsewhere}};
        assert_int_equal(wsb_record_append(&f->server.in, &e), WSB_OK);
    }
    wsg_hub_receive(&f->hub);
    assert_true(commanded[WSB_CLOSE] > COMMANDS + COMMANDS / 2);
}

static void look_once(struct fixture *f)
{
    wsg_hub_ages_begin(&f->hub);
    while (f->hub.ages.is_looking)
        wsg_hub_step(&f->hub);
}

/* Of connections whose clients are there or gone, and of each route by itself. */
static void test_the_oldest_event_is_looked_for_in_steps(void **state)
{
    struct fixture *f = *state;
    struct wsg_route *r = &f->routes.routes[0];
    come(f, 'a');
    connect_many(f, 'a', false);
    happen(f, WSB_CLOSED_EV, 7, 0, "");
    happen(f, WSB_CLOSED_EV, 9000, 0, "");
    for (uint32_t slot = 1; slot <= MANY; slot++)
        wsg_pins_find(&f->hub.pins, conn_of(slot))->backlog.first->time_ns = 1000000 + slot;
    wsg_pins_find(&f->hub.pins, conn_of(9500))->backlog.first->time_ns = 12;
    wsg_pins_find(&f->hub.pins, conn_of(9000))->backlog.first->time_ns = 11;

    wsg_hub_ages_begin(&f->hub);
    assert_true(f->hub.ages.is_looking && f->hub.again_posted); /* so many are more than a step */
    assert_int_equal(r->oldest_ns, 0);
    look_once(f);
    assert_int_equal(r->oldest_ns, 11);
    assert_int_equal(f->routes.routes[1].oldest_ns, 0);

    struct wsb_envelope ack = {.header = {.type = WSB_ACK, .conn = conn_of(9000), .seq = 3}};
    hear_envelope(f, 'a', &ack);
    look_once(f);
    assert_int_equal(r->oldest_ns, 12);
    for (uint32_t slot = 1; slot <= MANY; slot++) {
        ack.header.conn = conn_of(slot);
        hear_envelope(f, 'a', &ack);
    }
    assert_int_equal(r->retained.bytes, 0);
    look_once(f);
    assert_int_equal(r->oldest_ns, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_many, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_death_is_dealt_with_in_steps),
        TEST(test_one_that_is_dropped_commands_none_of_them),
        TEST(test_those_that_wait_are_taken_in_steps),
        TEST(test_a_weight_moves_keys_in_steps),
        TEST(test_moves_end_in_steps_when_a_ping_is_answered),
        TEST(test_moves_end_in_steps_when_their_time_is_over),
        TEST(test_what_waits_for_credit_is_sent_in_steps),
        TEST(test_each_handler_has_its_turn_to_be_sent_what_waits),
        TEST(test_credit_in_many_pieces_takes_no_turn_of_another),
        TEST(test_each_handler_has_its_turn_to_drain),
        TEST(test_a_drain_looks_at_so_many_in_a_step),
        TEST(test_streams_of_a_drain_end_in_steps),
        TEST(test_all_are_paused_in_steps),
        TEST(test_commands_that_end_their_clients_are_taken_in_steps),
        TEST(test_the_oldest_event_is_looked_for_in_steps),
        TEST(test_there_is_room_before_all_are_paused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
