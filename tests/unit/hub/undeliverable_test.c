/*
 * What no handler gets done with: how often it is delivered, how the one that kills is told from those that were only there,
 * and what becomes of it and of its client.
 */
#include "fixture.h"

#include "hub/accounts.h"
#include "hub/life.h"
#include "hub/undeliverable.h"

enum { LIMIT = 3 };

static struct wsg_route *route_of(struct fixture *f)
{
    return &f->routes.routes[0];
}

static int setup_limited(void **state)
{
    static const struct wsg_route_policy policy = {.kinds = WSG_KIND_WEBSOCKET | WSG_KIND_HTTP,
                                                   .max_message = 1000,
                                                   .max_retained = 1 << 20,
                                                   .max_backlog = 1000,
                                                   .ack_timeout_ms = 30000,
                                                   .max_deliveries = LIMIT,
                                                   .no_handler = WSG_NO_HANDLER_WAIT,
                                                   .handler_wait_ms = 1000000};
    struct fixture *f = calloc(1, sizeof *f);
    fixture_open(f, &policy);
    *state = f;
    return 0;
}

static void come(struct fixture *f, char peer)
{
    hear(f, peer, WSB_HELLO, 0, 0, 0, "", "{\"routes\":[\"r\"],\"batch\":true,\"ack\":true}");
}

static struct wsg_handler *handler_of(struct fixture *f, char peer)
{
    return wsg_handlers_by_peer(&f->hub.handlers, wsb_span(&peer, 1));
}

static void die(struct fixture *f, char peer)
{
    f->server.is_gone[(int)peer] = true;
    hear(f, peer, WSB_PING, 0, 0, 0, "", NULL); /* its answer finds out */
    assert_null(handler_of(f, peer));
    f->server.is_gone[(int)peer] = false;
}

static void ack(struct fixture *f, char peer, uint32_t slot, uint64_t seq)
{
    struct wsb_envelope e = {.header = {.type = WSB_ACK, .conn = conn_of(slot), .seq = seq}};
    hear_envelope(f, peer, &e);
}

static uint64_t undeliverable(struct fixture *f)
{
    return route_of(f)->tally.in_dropped[WSG_IN_UNDELIVERABLE];
}

/* ------------------------------------------------------------------- the limit */

static void test_a_message_that_kills_is_delivered_so_often_and_no_more(void **state)
{
    struct fixture *f = *state;
    f->server.wants_all = true;
    come(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    ack(f, 'a', 1, 1);
    happen(f, WSB_DATA, 1, 0, "poison");
    for (int i = 1; i < LIMIT; i++) {
        die(f, 'a');
        forget(f);
        come(f, 'a');
        ack(f, 'a', 1, 1);
        assert_non_null(strstr(f->server.log, "a:data!=poison#2"));
        assert_int_equal(undeliverable(f), 0);
    }
    forget(f);
    die(f, 'a');
    assert_string_equal(f->commands, "fail(502)@1"); /* 1011 */
    assert_int_equal(undeliverable(f), 1);
    assert_int_equal(route_of(f)->retained.messages, 0);
    assert_non_null(strstr(f->server.log, "*:r dead-letter"));
    const struct wsg_dead_letter *d = wsg_dead_letters_latest(&f->hub.dead_letters, 0);
    assert_non_null(d);
    assert_int_equal(d->conn, conn_of(1));
    assert_int_equal(d->seq, 2);
    assert_int_equal(d->type, WSB_DATA);
    assert_int_equal(d->deliveries, LIMIT);
    assert_memory_equal(d->payload, "poison", 6);
    forget(f);
    come(f, 'a');
    assert_string_equal(f->server.log, "a:welcome");
}

static void test_with_skip_its_client_goes_on_without_it(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.skips_undeliverable = true;
    come(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    ack(f, 'a', 1, 1);
    happen(f, WSB_DATA, 1, 0, "poison");
    happen(f, WSB_DATA, 1, 0, "good");
    for (int i = 1; i < LIMIT; i++) {
        die(f, 'a');
        come(f, 'a');
        ack(f, 'a', 1, 1);
    }
    die(f, 'a');
    forget(f);
    come(f, 'a');
    ack(f, 'a', 1, 1);
    assert_string_equal(f->commands, "");
    assert_string_equal(f->server.log, "a:welcome a:open! a:data!=good#3");
    assert_int_equal(undeliverable(f), 1);
    ack(f, 'a', 1, 3);
    assert_int_equal(route_of(f)->tally.delivered, 1);
    assert_int_equal(route_of(f)->retained.messages, 0);
}

/* All that was with the handler is suspected; the last delivery is made alone, and clears those that only were there. */
static void test_who_was_only_there_is_not_set_aside(void **state)
{
    enum { CLIENTS = 20 };
    struct fixture *f = *state;
    come(f, 'a');
    for (uint32_t slot = 1; slot <= CLIENTS; slot++) {
        happen(f, WSB_OPEN, slot, 0, "");
        ack(f, 'a', slot, 1);
        happen(f, WSB_DATA, slot, 0, slot == 7 ? "poison" : "good");
    }
    for (int i = 1; i < LIMIT; i++) {
        die(f, 'a');
        come(f, 'a');
    }
    /* From here on as a handler that works on one event after the other, and dies of the poison. */
    int deaths = 0;
    for (int step = 0; step < 10 * CLIENTS && route_of(f)->retained.messages; step++) {
        struct wsg_handler *to = handler_of(f, 'a');
        struct wsg_pin *p, *at = NULL;
        for (p = to->lane.pins; p; p = p->next)
            at = !at && p->unacked ? p : at;
        assert_non_null(at);
        uint64_t working_on = at->acked_seq + 1;
        bool is_poison = working_on == 2 && wsg_id_parts(at->conn).slot == 7;
        if (working_on == 2)
            assert_int_equal(to->unacked, 1); /* alone */
        if (is_poison) {
            deaths++;
            die(f, 'a');
            come(f, 'a');
        } else {
            ack(f, 'a', wsg_id_parts(at->conn).slot, working_on);
            f->hub.room.fn(&f->hub.room);
        }
    }
    assert_int_equal(deaths, 1);
    assert_int_equal(undeliverable(f), 1);
    assert_int_equal(route_of(f)->tally.delivered, CLIENTS - 1);
    assert_int_equal(route_of(f)->retained.messages, 0);
}

static void test_one_that_acknowledges_late_is_not_waited_for(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    for (uint32_t slot = 1; slot <= 2; slot++) {
        happen(f, WSB_OPEN, slot, 0, "");
        happen(f, WSB_DATA, slot, 0, "x");
    }
    for (int i = 1; i < LIMIT; i++) {
        die(f, 'a');
        come(f, 'a');
    }
    struct wsg_handler *to = handler_of(f, 'a');
    assert_int_equal(to->alone, WSG_ALONE_SENT); /* an OPEN, which was never acknowledged either */
    assert_int_equal(to->unacked, 1);
    forget(f);
    wsg_hub_end_alone(&f->hub, to->alone_since_ms + 1000);
    f->hub.room.fn(&f->hub.room);
    assert_int_equal(to->unacked, 4);
    assert_string_equal(f->server.log, "a:data!=x#2 a:open! a:data!=x#2");
}

static void test_a_wish_to_be_alone_ends_with_its_client(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    ack(f, 'a', 1, 1);
    happen(f, WSB_DATA, 1, 0, "x");
    for (int i = 1; i < LIMIT; i++) {
        die(f, 'a');
        come(f, 'a');
    }
    struct wsg_handler *to = handler_of(f, 'a');
    assert_int_equal(to->alone, WSG_ALONE_WANTED); /* its OPEN is not acknowledged yet */
    happen(f, WSB_OPEN, 2, 0, "");
    happen(f, WSB_DATA, 2, 0, "waits");
    wsg_hub_end_pin(&f->hub, wsg_pins_find(&f->hub.pins, conn_of(1)), WSG_IN_LOST);
    forget(f);
    wsg_hub_alone_on(&f->hub, to);
    wsg_hub_flush(&f->hub);
    assert_int_equal(to->alone, WSG_ALONE_NO);
    assert_string_equal(f->server.log, "a:open a:data=waits#2");
}

/* ------------------------------------------------------------------ other events */

static void test_an_open_that_kills_ends_its_connection(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    for (int i = 1; i < LIMIT; i++) {
        die(f, 'a');
        forget(f);
        come(f, 'a');
        assert_string_equal(f->server.log, "a:welcome a:open!");
        char says[40];
        snprintf(says, sizeof says, "\"deliveries\":%d", i + 1);
        assert_non_null(strstr(f->server.open_meta, says));
    }
    die(f, 'a');
    assert_string_equal(f->commands, "fail(502)@1");
    assert_int_equal(wsg_dead_letters_latest(&f->hub.dead_letters, 0)->type, WSB_OPEN);
}

static void test_a_request_that_kills_is_502(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    struct wsg_out out = {
        .kind = WSG_OUT_EVENT,
        .is_idempotent = true,
        .envelope = {.header = {.type = WSB_REQUEST, .conn = conn_of(1)}, .meta = wsb_span_str("{}")}};
    happen_out(f, &out);
    for (int i = 1; i < LIMIT; i++) {
        die(f, 'a');
        forget(f);
        come(f, 'a');
        assert_string_equal(f->server.log, "a:welcome a:request!");
    }
    die(f, 'a');
    assert_string_equal(f->commands, "fail(502)@1");
    assert_int_equal(route_of(f)->tally.requests_failed[WSG_IN_UNDELIVERABLE], 1);
    assert_int_equal(f->hub.pins.count, 0);
}

static void test_it_ends_also_when_its_client_has_left(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    ack(f, 'a', 1, 1);
    happen(f, WSB_DATA, 1, 0, "poison");
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    for (int i = 1; i < 2 * LIMIT && f->hub.pins.count; i++) {
        die(f, 'a');
        come(f, 'a');
        if (f->hub.pins.count)
            ack(f, 'a', 1, 1);
    }
    assert_int_equal(undeliverable(f), 1);
    come(f, 'a');
    ack(f, 'a', 1, 3); /* CLOSED, if it was still to come */
    assert_int_equal(f->hub.pins.count, 0);
    assert_string_equal(f->commands, "");
}

static void test_no_limit_is_no_limit(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.max_deliveries = 0;
    come(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    happen(f, WSB_DATA, 1, 0, "x");
    for (int i = 0; i < 300; i++) { /* more than are counted */
        die(f, 'a');
        forget(f);
        come(f, 'a');
        assert_string_equal(f->server.log, "a:welcome a:open! a:data!=x#2");
    }
    assert_int_equal(undeliverable(f), 0);
}

/* ------------------------------------------------------------------------ working */

static void test_one_that_says_it_works_is_not_given_up(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    struct wsg_handler *to = handler_of(f, 'a');
    to->progress_ms -= 30001;
    hear(f, 'a', WSB_WORKING, 0, 0, 0, "", NULL);
    wsg_hub_check_life(&f->hub);
    assert_ptr_equal(handler_of(f, 'a'), to);
    to->progress_ms -= 30001;
    wsg_hub_check_life(&f->hub);
    assert_null(handler_of(f, 'a'));
    hear(f, 'z', WSB_WORKING, 0, 0, 0, "", NULL); /* a stranger has nothing to work on */
    assert_non_null(strstr(f->server.log, "z:error=say HELLO first(5)"));
}

/* ---------------------------------------------------------------- those who come */

static void test_a_handler_is_told_of_as_many_as_it_gets_done_with(void **state)
{
    enum { CLIENTS = 100, AT_ONCE = 32 };
    struct fixture *f = *state;
    come(f, 'a');
    for (uint32_t slot = 1; slot <= CLIENTS; slot++)
        happen(f, WSB_OPEN, slot, 0, "");
    struct wsg_handler *to = handler_of(f, 'a');
    assert_int_equal(to->unacked, AT_ONCE);
    for (uint32_t slot = AT_ONCE + 1; slot <= CLIENTS; slot++)
        happen(f, WSB_CLOSED_EV, slot, 0, ""); /* they have lost patience, and it has never heard of them */
    assert_int_equal(f->hub.pins.count, AT_ONCE);
    forget(f);
    happen(f, WSB_OPEN, CLIENTS + 1, 0, "");
    assert_string_equal(f->server.log, "");
    ack(f, 'a', 1, 1);
    assert_string_equal(f->server.log, "a:open");
    for (uint32_t slot = 2; slot <= AT_ONCE; slot++)
        ack(f, 'a', slot, 1);
    ack(f, 'a', CLIENTS + 1, 1);
    assert_int_equal(to->unacked, 0);
    assert_int_equal(to->opening, 0);
}

/* Those that leave without an acknowledgement make room as well. */
static void test_who_leaves_makes_room_for_the_next(void **state)
{
    enum { CLIENTS = 40, AT_ONCE = 32 };
    struct fixture *f = *state;
    come(f, 'a');
    for (uint32_t slot = 1; slot <= CLIENTS; slot++)
        happen(f, WSB_OPEN, slot, 0, "");
    forget(f);
    wsg_hub_end_pin(&f->hub, wsg_pins_find(&f->hub.pins, conn_of(1)), WSG_IN_LOST);
    happen(f, WSB_DATA, 2, 0, "x"); /* whatever happens next */
    assert_string_equal(f->server.log, "a:data=x#2 a:open");
    wsg_hub_give_up(&f->hub, wsg_pins_find(&f->hub.pins, conn_of(2)), 503, "no", WSG_IN_LOST);
    forget(f);
    happen(f, WSB_DATA, 3, 0, "x");
    assert_string_equal(f->server.log, "a:data=x#2 a:open");
}

static void test_what_one_said_before_it_left_is_delivered(void **state)
{
    struct fixture *f = *state;
    happen(f, WSB_OPEN, 1, 0, ""); /* no handler yet */
    happen(f, WSB_DATA, 1, 0, "last words");
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    come(f, 'a');
    assert_string_equal(f->server.log, "a:welcome a:open a:data=last words#2 a:closed");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_limited, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_message_that_kills_is_delivered_so_often_and_no_more),
        TEST(test_with_skip_its_client_goes_on_without_it),
        TEST(test_who_was_only_there_is_not_set_aside),
        TEST(test_one_that_acknowledges_late_is_not_waited_for),
        TEST(test_a_wish_to_be_alone_ends_with_its_client),
        TEST(test_an_open_that_kills_ends_its_connection),
        TEST(test_a_request_that_kills_is_502),
        TEST(test_it_ends_also_when_its_client_has_left),
        TEST(test_no_limit_is_no_limit),
        TEST(test_one_that_says_it_works_is_not_given_up),
        TEST(test_a_handler_is_told_of_as_many_as_it_gets_done_with),
        TEST(test_who_leaves_makes_room_for_the_next),
        TEST(test_what_one_said_before_it_left_is_delivered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
