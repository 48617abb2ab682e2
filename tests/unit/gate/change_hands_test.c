/*
 * Very many connections change hands: when their handler dies or is dropped, when one comes, when a weight changes. However many
 * they are, one step is bounded, and what happens between two steps keeps its order and its owner.
 */
#include "hub_fixture.h"

#include "gate/hub_parts.h"

enum { MANY = 10000, AT_ONCE = 2048 };

struct count {
    uint64_t of[128][128]; /* by peer and type */
    uint64_t last_seq[MANY + 2];
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
        wsg_hub_change_hands(&f->hub);
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
    assert_string_equal(f->commands, "");
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

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_many, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_death_is_dealt_with_in_steps),
        TEST(test_one_that_is_dropped_commands_none_of_them),
        TEST(test_those_that_wait_are_taken_in_steps),
        TEST(test_a_weight_moves_keys_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
