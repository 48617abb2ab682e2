/*
 * What reaches whom, and what happens to the rest: credit, acknowledgement, full handlers, death, moving and draining. The log
 * shows what handlers were sent ("a:data=x#2", "!" for redelivered), `commands` what sessions were told.
 */
#include "fixture.h"

#include "hub/accounts.h"
#include "hub/life.h"
#include "hub/meta.h"

static void hello_with(struct fixture *f, char peer, const char *more)
{
    char meta[200];
    snprintf(meta, sizeof meta, "{\"routes\":[\"r\"],\"batch\":true%s%s}", *more ? "," : "", more);
    hear(f, peer, WSB_HELLO, 0, 0, 0, "", meta);
}

static void hello_ack(struct fixture *f, char peer)
{
    hello_with(f, peer, "\"ack\":true");
}

static void ack(struct fixture *f, char peer, uint32_t slot, uint64_t seq)
{
    struct wsb_envelope e = {.header = {.type = WSB_ACK, .conn = conn_of(slot), .seq = seq}};
    hear_envelope(f, peer, &e);
}

/* It answers the latest PING. */
static void pong(struct fixture *f, char peer)
{
    struct wsb_envelope e = {.header = {.type = WSB_PONG, .seq = f->hub.last_ping}};
    hear_envelope(f, peer, &e);
}

static void data(struct fixture *f, uint32_t slot, const char *words)
{
    for (const char *c = words; *c; c++)
        happen(f, WSB_DATA, slot, 0, (char[]){*c, 0});
}

static struct wsg_route *route_of(struct fixture *f)
{
    return &f->routes.routes[0];
}

static uint64_t dropped(struct fixture *f, enum wsg_in_drop reason)
{
    return route_of(f)->tally.in_dropped[reason];
}

/* ------------------------------------------------------------------- acknowledgement */

static void test_what_was_not_acknowledged_goes_to_the_next_one(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "vwxyz");
    ack(f, 'a', 1, 3); /* OPEN, v, w */
    assert_int_equal(route_of(f)->tally.delivered, 2);
    assert_int_equal(route_of(f)->retained.messages, 3);
    hello_ack(f, 'b');
    forget(f);
    f->server.is_gone['a'] = true;
    hear(f, 'a', WSB_PING, 0, 0, 0, "", NULL); /* its answer finds out */
    assert_string_equal(f->server.log, "b:open! b:data!=x#4 b:data!=y#5 b:data!=z#6");
    assert_int_equal(route_of(f)->tally.redelivered, 3);
    forget(f);
    data(f, 1, "n");
    assert_string_equal(f->server.log, "b:data=n#7");
    ack(f, 'b', 1, 7);
    assert_int_equal(route_of(f)->tally.delivered, 6);
    assert_int_equal(route_of(f)->retained.messages, 0);
    assert_int_equal(route_of(f)->retained.bytes, 0);
}

static void test_an_ack_of_many_and_a_malformed_one(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    happen(f, WSB_OPEN, 2, 0, "");
    data(f, 1, "x");
    data(f, 2, "y");
    uint64_t pairs[4] = {conn_of(1), 2, conn_of(2), 1}; /* as they stand on a little-endian machine */
    struct wsb_envelope e = {.header = {.type = WSB_ACK}, .payload = wsb_span(pairs, sizeof pairs)};
    hear_envelope(f, 'a', &e);
    assert_int_equal(route_of(f)->tally.delivered, 1);
    forget(f);
    e.payload.len = 17;
    hear_envelope(f, 'a', &e);
    assert_non_null(strstr(f->server.log, "(4)"));
}

static void test_an_ack_of_what_was_not_sent_or_is_not_its_own(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "x");
    hello_ack(f, 'b');
    ack(f, 'b', 1, 2); /* another's */
    ack(f, 'b', 77, 2);
    assert_int_equal(route_of(f)->retained.messages, 1);
    ack(f, 'a', 1, 1000); /* as far as it was sent, and no further */
    assert_int_equal(route_of(f)->retained.messages, 0);
    data(f, 1, "y");
    assert_int_equal(route_of(f)->retained.messages, 1);
    ack(f, 'a', 1, 2); /* an old one again */
    assert_int_equal(route_of(f)->retained.messages, 1);
}

static void test_a_client_that_left_is_finished_by_the_next_one(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "x");
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    assert_int_equal(f->hub.pins.count, 1); /* until its end is acknowledged */
    struct wsg_out again = {
        .kind = WSG_OUT_EVENT,
        .envelope = {.header = {.type = WSB_OPEN, .conn = wsg_id_make((struct wsg_id_parts){1, 2, 0, 1})},
                     .meta = wsb_span_str("{}")}};
    happen_out(f, &again); /* its place is another's now */
    assert_int_equal(f->hub.pins.count, 2);
    forget(f);
    hello_ack(f, 'b');
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_string_equal(f->server.log, "b:welcome b:open! b:data!=x#2 b:closed! b:open!");
    ack(f, 'b', 1, 3);
    assert_int_equal(f->hub.pins.count, 1);
    assert_int_equal(route_of(f)->tally.delivered, 1);
}

static void test_without_ack_each_message_is_handed_over_once(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "xy");
    assert_int_equal(route_of(f)->tally.delivered, 2);
    hello(f, 'b');
    f->server.is_gone['a'] = true;
    forget(f);
    data(f, 1, "z"); /* in a batch that goes nowhere */
    assert_string_equal(f->server.log, "b:open!");
    assert_int_equal(dropped(f, WSG_IN_LOST), 1);
    assert_int_equal(route_of(f)->tally.delivered, 2);
}

static void check_life(struct fixture *f)
{
    wsg_hub_check_life(&f->hub);
    wsg_hub_flush(&f->hub);
}

static void test_one_that_acknowledges_nothing_is_dead(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "x");
    hello_ack(f, 'b');
    forget(f);
    check_life(f);
    assert_string_equal(f->server.log, "");
    f->hub.handlers.by_id->progress_ms -= 30001;
    check_life(f);
    assert_string_equal(f->server.log, "a:revoked b:open! b:data!=x#2");
    assert_int_equal(f->hub.handlers.count, 1);
    f->hub.handlers.by_id->progress_ms -= 30001;
    ack(f, 'b', 1, 2);
    check_life(f); /* nothing waits for it: silence is no fault */
    assert_int_equal(f->hub.handlers.count, 1);
}

/* What the kernel says of it does not depend on whether the hub receives. */
static void test_one_that_does_not_run_is_dead_also_when_nobody_listens(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "x");
    hello_ack(f, 'b');
    f->server.is_stalled['a'] = f->server.has_unread['a'] = true;
    f->is_behind = true;
    wsg_hub_receive(&f->hub);
    forget(f);
    check_life(f);
    assert_string_equal(f->server.log, "a:revoked b:open! b:data!=x#2");
    check_life(f);
    assert_int_equal(f->hub.handlers.count, 1);
}

/* The hub begins, or ends, to receive nothing because workers are behind. */
static void be_behind(struct fixture *f, bool is_behind)
{
    f->is_behind = is_behind;
    wsg_hub_receive(&f->hub);
}

/* As if so much time had passed, and of it so much without receiving anything. */
static void let_time_pass(struct fixture *f, uint64_t ms, uint64_t deaf_ms)
{
    for (struct wsg_handler *to = f->hub.handlers.by_id; to; to = to->by_id.next)
        to->progress_ms -= ms;
    f->hub.deafness.total_ms += deaf_ms;
}

/* Any publisher makes workers be behind, again and again: that excuses nobody who says nothing. */
static void test_one_that_hangs_is_dead_however_often_workers_are_behind(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "x");
    hello_ack(f, 'b');
    forget(f);
    for (int i = 0; i < 30; i++) {
        be_behind(f, true);
        let_time_pass(f, 1000, 900);
        be_behind(f, false);
        check_life(f);
        assert_string_equal(f->server.log, "");
    }
    be_behind(f, true);
    let_time_pass(f, 1, 1);
    check_life(f);
    assert_string_equal(f->server.log, "a:revoked b:open! b:data!=x#2");
}

/* What it said lies unread, and may be all that it owes: only time in which somebody listened counts. */
static void test_one_that_could_not_be_heard_is_forgiven(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    let_time_pass(f, 0, 100000); /* before it had anything to do: not of this */
    data(f, 1, "x");
    ack(f, 'a', 1, 1);
    hello_ack(f, 'b');
    forget(f);
    f->server.has_unread['a'] = true;
    be_behind(f, true);
    let_time_pass(f, 100000, 99000);
    check_life(f);
    assert_string_equal(f->server.log, "");
    be_behind(f, false);
    check_life(f); /* it is not its turn yet */
    assert_string_equal(f->server.log, "");
    let_time_pass(f, 29001, 0);
    check_life(f);
    assert_string_equal(f->server.log, "a:revoked b:open! b:data!=x#2");
}

/* The records that it owes are in the batch that the hub has begun to read. */
static void test_one_whose_batch_is_being_read_is_forgiven(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "x");
    struct wsb_envelope log = {.header = {.type = WSB_PING}};
    for (int i = 0; i < 3000; i++)
        assert_int_equal(wsb_record_append(&f->server.in, &log), WSB_OK);
    f->server.in_peer = 'a';
    wsg_hub_receive(&f->hub); /* more than a round reads */
    be_behind(f, true);
    let_time_pass(f, 100000, 99000);
    check_life(f);
    assert_int_equal(f->hub.handlers.count, 1);
    be_behind(f, false);
    be_behind(f, true);
    check_life(f);
    assert_int_equal(f->hub.handlers.count, 0);
}

/* Each copy that a subscriber missed is counted, and the event was sent all the same. */
static void test_copies_that_were_missed_are_counted(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.tap = true;
    f->server.wants_all = true;
    f->server.missed = 3;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "xy");
    assert_int_equal(f->hub.stats.published, 3);
    assert_int_equal(f->hub.stats.publish_drops, 9);
}

/* The kernel is asked about each of them, and only once, however many have stopped; in steps that have an end. */
static void test_many_that_do_not_run_are_found_in_steps(void **state)
{
    enum { FIRST = 1, MANY = 120, STEP = 32 };
    struct fixture *f = *state;
    for (char peer = FIRST; peer <= MANY; peer++) {
        hello_ack(f, peer);
        f->server.is_stalled[(int)peer] = peer > MANY / 2; /* behind many that run */
        forget(f);
    }
    wsg_hub_check_life(&f->hub);
    unsigned before = 0;
    for (int steps = 1; f->hub.is_judging; steps++) {
        assert_true(f->server.asked - before <= STEP);
        assert_true(steps <= MANY);
        before = f->server.asked;
        forget(f);
        wsg_hub_judge_on(&f->hub);
        wsg_hub_flush(&f->hub);
    }
    assert_int_equal(f->server.asked, MANY);
    assert_int_equal(f->hub.handlers.count, MANY / 2);
}

/* ---------------------------------------------------------------------------- credit */

static void test_credit_bounds_what_is_sent_and_end_of_it_pauses(void **state)
{
    struct fixture *f = *state;
    hello_with(f, 'a', "\"ack\":true,\"credit\":{\"messages\":2,\"bytes\":100}");
    happen(f, WSB_OPEN, 1, 0, "");
    forget(f);
    data(f, 1, "vwxy");
    assert_string_equal(f->server.log, "a:data=v#2 a:data=w#3");
    assert_string_equal(f->commands, "pause@1");
    happen(f, WSB_OPEN, 2, 0, ""); /* needs none */
    assert_string_equal(f->server.log, "a:data=v#2 a:data=w#3 a:open");
    happen(f, WSB_CLOSED_EV, 2, 0, "");
    ack(f, 'a', 2, 2);
    forget(f);
    hear(f, 'a', WSB_CREDIT, 0, 0, 0, "", "{\"messages\":1,\"bytes\":10}");
    assert_string_equal(f->server.log, "a:data=x#4");
    assert_string_equal(f->commands, "");
    happen(f, WSB_CLOSED_EV, 1, 0, ""); /* needs none, but keeps its place */
    assert_string_equal(f->server.log, "a:data=x#4");
    hear(f, 'a', WSB_CREDIT, 0, 0, 0, "", "{\"messages\":5}");
    assert_string_equal(f->server.log, "a:data=x#4 a:data=y#5 a:closed");
    ack(f, 'a', 1, 6);
    assert_int_equal(f->hub.pins.count, 0);
    assert_int_equal(route_of(f)->retained.bytes, 0);
}

static void test_a_paused_client_is_read_again(void **state)
{
    struct fixture *f = *state;
    hello_with(f, 'a', "\"credit\":{\"messages\":1,\"bytes\":3}");
    happen(f, WSB_OPEN, 1, 0, "");
    forget(f);
    happen(f, WSB_DATA, 1, 0, "longer than what is left"); /* overdraws */
    data(f, 1, "x");
    assert_string_equal(f->server.log, "a:data=longer than what is left#2");
    assert_string_equal(f->commands, "pause@1");
    hear(f, 'a', WSB_CREDIT, 0, 0, 0, "", "{\"messages\":9,\"bytes\":10}");
    assert_string_equal(f->server.log, "a:data=longer than what is left#2"); /* still below zero */
    hear(f, 'a', WSB_CREDIT, 0, 0, 0, "", "{\"bytes\":100}");
    assert_string_equal(f->server.log, "a:data=longer than what is left#2 a:data=x#3");
    assert_string_equal(f->commands, "pause@1 resume@1");
    forget(f);
    hello(f, 'b');
    hear(f, 'b', WSB_CREDIT, 0, 0, 0, "", "{\"bytes\":100}");
    assert_non_null(strstr(f->server.log, "(6)"));
}

static void test_what_a_full_handler_costs_is_up_to_the_route(void **state)
{
    struct fixture *f = *state;
    const struct {
        enum wsg_when_full policy;
        size_t max_backlog;
        const char *log;
        const char *commands;
        enum wsg_in_drop reason;
        int dropped;
    } rows[] = {
        {WSG_FULL_DROP_NEW, 0, "a:data=v#2 a:data=n#6", "", WSG_IN_FULL_NEW, 3},
        {WSG_FULL_DROP_OLD, sizeof(struct wsg_kept) + 1, "a:data=v#2 a:data=y#5 a:data=n#6", "", WSG_IN_FULL_OLD, 2},
        {WSG_FULL_DROP_NEW, sizeof(struct wsg_kept) + 1, "a:data=v#2 a:data=w#3 a:data=n#6", "", WSG_IN_FULL_NEW, 2},
        {WSG_FULL_CLOSE, 0, "a:data=v#2", "fail(503)@1", WSG_IN_FULL_CLOSE, 4},
        {WSG_FULL_PAUSE, 0, "a:data=v#2 a:data=w#3 a:data=x#4 a:data=y#5 a:data=n#6", "pause@1 resume@1",
         WSG_IN_FULL_OLD, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t before = dropped(f, rows[i].reason);
        route_of(f)->policy.when_full = rows[i].policy;
        route_of(f)->policy.max_backlog = rows[i].max_backlog;
        hello_with(f, 'a', "\"ack\":true,\"credit\":{\"messages\":1,\"bytes\":100}");
        happen(f, WSB_OPEN, 1, 0, "");
        forget(f);
        data(f, 1, "vwxy");
        hear(f, 'a', WSB_CREDIT, 0, 0, 0, "", "{\"messages\":100,\"bytes\":100}");
        data(f, 1, "n");
        assert_string_equal(f->server.log, rows[i].log);
        assert_string_equal(f->commands, rows[i].commands);
        assert_int_equal(dropped(f, rows[i].reason) - before, rows[i].dropped);
        happen(f, WSB_CLOSED_EV, 1, 0, "");
        ack(f, 'a', 1, 99);
        assert_int_equal(f->hub.pins.count, 0);
        hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    }
    assert_int_equal(route_of(f)->retained.bytes, 0);
}

static void test_a_route_that_has_enough_pauses_and_goes_on(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.max_retained = 4 * (sizeof(struct wsg_kept) + 1);
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    forget(f);
    data(f, 1, "abcde");
    assert_string_equal(f->commands, "pause@1");
    assert_non_null(
        strstr(f->server.log, "a:data=e#6")); /* it was read already: it is sent, but nothing more is read */
    ack(f, 'a', 1, 2);
    assert_string_equal(f->commands, "pause@1");
    ack(f, 'a', 1, 5);
    assert_string_equal(f->commands, "pause@1 resume@1");
}

/* --------------------------------------------------------------------- moving, draining */

static void test_a_drained_handler_hands_over_in_order(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    happen(f, WSB_OPEN, 2, 0, "");
    ack(f, 'a', 2, 1);
    data(f, 1, "x");
    hello_ack(f, 'b');
    forget(f);
    wsg_hub_drain_handler(&f->hub, f->hub.handlers.by_id);
    wsg_hub_flush(&f->hub);
    assert_string_equal(f->server.log, "a:drain a:revoked b:open!"); /* the second one: it had nothing to do */
    forget(f);
    data(f, 1, "y"); /* held back: the first one has x */
    happen(f, WSB_OPEN, 3, 0, "");
    assert_string_equal(f->server.log, "b:open");
    forget(f);
    ack(f, 'a', 1, 2);
    assert_string_equal(f->server.log, "a:revoked a:drain b:open! b:data=y#3"); /* nothing is left */
    assert_int_equal(f->hub.handlers.by_id->drain, WSG_DRAIN_DONE);
    assert_int_equal(route_of(f)->tally.redelivered, 0);
}

static void test_without_ack_a_drain_waits_for_a_pong(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    hello(f, 'b');
    forget(f);
    wsg_hub_drain_handler(&f->hub, f->hub.handlers.by_id);
    wsg_hub_flush(&f->hub);
    assert_string_equal(f->server.log, "a:drain a:ping");
    forget(f);
    data(f, 1, "x");
    assert_string_equal(f->server.log, "");
    struct wsb_envelope pong = {.header = {.type = WSB_PONG, .seq = f->hub.handlers.by_id->ping_seq}};
    hear_envelope(f, 'a', &pong);
    assert_string_equal(f->server.log, "a:revoked a:drain b:open! b:data=x#2");
    assert_string_equal(f->commands, "pause@1 resume@1");
}

static void test_a_drain_alone_waits_for_another(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    ack(f, 'a', 1, 1);
    forget(f);
    wsg_hub_drain_handler(&f->hub, f->hub.handlers.by_id);
    data(f, 1, "x"); /* it serves on */
    ack(f, 'a', 1, 2);
    assert_string_equal(f->server.log, "a:drain a:data=x#2");
    forget(f);
    hello_ack(f, 'b');
    assert_string_equal(f->server.log, "b:welcome b:open! a:revoked a:drain");
}

static void test_a_moved_connection_is_its_former_owners_no_more(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    hello_ack(f, 'b');
    ack(f, 'a', 1, 1);
    struct wsg_handler *b = wsg_handlers_by_id(&f->hub.handlers, 2);
    assert_int_equal(wsg_hub_move(&f->hub, wsg_pins_find(&f->hub.pins, conn_of(1)), b), WSB_OK);
    assert_int_equal(wsg_hub_move(&f->hub, wsg_pins_find(&f->hub.pins, conn_of(1)), b), WSB_ERR_REFUSED);
    wsg_hub_flush(&f->hub);
    forget(f);
    hear(f, 'a', WSB_SEND, WSB_TEXT, WSB_FLAG_WANT_OUTCOME, 1, "late", NULL);
    hear(f, 'a', WSB_SEND, WSB_TEXT, 0, 1, "late", NULL);
    hear(f, 'a', WSB_CLOSE, 0, 0, 1, "", NULL);
    hear(f, 'a', WSB_JOIN, 0, 0, 1, "", "{\"groups\":[\"g\"]}");
    assert_string_equal(f->server.log, "a:outcome(3)");
    assert_string_equal(f->commands, "");
    assert_null(wsg_groups_find(&f->hub.groups, wsb_span_str("g")));
    assert_int_equal(f->hub.handlers.by_id->stale, 4);
    hear(f, 'b', WSB_SEND, WSB_TEXT, 0, 1, "good", NULL);
    assert_string_equal(f->commands, "send=good@1");
    ack(f, 'b', 1, 1); /* and back again */
    assert_int_equal(wsg_hub_move(&f->hub, wsg_pins_find(&f->hub.pins, conn_of(1)), f->hub.handlers.by_id), WSB_OK);
    hear(f, 'a', WSB_SEND, WSB_TEXT, 0, 1, "mine", NULL);
    hear(f, 'b', WSB_SEND, WSB_TEXT, 0, 1, "no", NULL);
    assert_string_equal(f->commands, "send=good@1 send=mine@1");
}

/* ------------------------------------------------------------------------- no handler */

static void test_clients_wait_for_a_handler(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.no_handler = WSG_NO_HANDLER_WAIT;
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "x");
    happen(f, WSB_OPEN, 2, 0, "");
    data(f, 2, "y");
    happen(f, WSB_CLOSED_EV, 2, 0, "");
    happen(f, WSB_REQUEST, 3, 0, "body");
    assert_string_equal(f->commands, "pause@1 pause@2 pause@3");
    forget(f);
    hello_ack(f, 'a');
    assert_string_equal(f->server.log, "a:welcome a:open a:data=x#2 a:open a:data=y#2 a:closed a:request=body");
    assert_string_equal(f->commands, "resume@1 resume@3");
    forget(f);
    f->server.is_gone['a'] = true;
    hear(f, 'a', WSB_PING, 0, 0, 0, "", NULL);
    assert_string_equal(f->commands, "fail(502)@3"); /* not idempotent: it may have been carried out */
    forget(f);
    f->server.is_gone['a'] = false;
    hello_ack(f, 'b');
    assert_string_equal(f->server.log, "b:welcome b:open! b:data!=x#2 b:open! b:data!=y#2 b:closed!");
}

static void test_waiting_has_an_end(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.no_handler = WSG_NO_HANDLER_WAIT;
    route_of(f)->policy.handler_wait_ms = 0;
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "xy");
    happen(f, WSB_REQUEST, 3, 0, "");
    happen(f, WSB_OPEN, 2, 0, "");
    data(f, 2, "z");
    happen(f, WSB_CLOSED_EV, 2, 0, "");
    forget(f);
    f->hub.sweep.fn(&f->hub.sweep);
    assert_string_equal(f->commands, "fail(503)@1 fail(503)@3");
    assert_int_equal(dropped(f, WSG_IN_NO_HANDLER), 3);
    data(f, 1, "l"); /* read before the session knew */
    assert_int_equal(dropped(f, WSG_IN_NO_HANDLER), 4);
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    assert_int_equal(f->hub.pins.count, 0);
    assert_int_equal(route_of(f)->retained.bytes, 0);
}

/* --------------------------------------------------------------------------- requests */

static void request(struct fixture *f, uint32_t slot, bool is_idempotent)
{
    struct wsg_out out = {
        .kind = WSG_OUT_EVENT,
        .is_idempotent = is_idempotent,
        .envelope = {.header = {.type = WSB_REQUEST, .conn = conn_of(slot)}, .meta = wsb_span_str("{}")}};
    happen_out(f, &out);
}

static void test_a_request_is_given_twice_only_if_it_may_be(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    request(f, 1, true);
    request(f, 2, false);
    request(f, 3, true);
    hear(f, 'a', WSB_RESPOND, 0, WSB_FLAG_MORE, 3, "beginning", NULL);
    request(f, 4, true);
    hear(f, 'a', WSB_RESPOND, 0, 0, 4, "", "{\"status\":100}"); /* that only asks for a body */
    hello(f, 'b');
    forget(f);
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_string_equal(f->commands, "fail(502)@2 fail(502)@3");
    assert_int_equal(route_of(f)->tally.requests_failed[WSG_IN_LOST], 2);
    assert_int_equal(route_of(f)->tally.redelivered, 2);
    assert_string_equal(f->server.log, "b:request! b:request!");
    struct wsg_out done = {.kind = WSG_OUT_DONE, .envelope = {.header = {.type = WSB_CLOSED_EV, .conn = conn_of(1)}}};
    happen_out(f, &done);
    done.envelope.header.conn = conn_of(4);
    happen_out(f, &done);
    assert_int_equal(f->hub.pins.count, 0);
    assert_int_equal(route_of(f)->retained.bytes, 0);
}

/* ------------------------------------------------------------- groups, users, presence */

static void test_names_follow_a_connection_to_its_next_owner(void **state)
{
    struct fixture *f = *state;
    struct wsg_out open = {.kind = WSG_OUT_EVENT,
                           .envelope = {.header = {.type = WSB_OPEN, .conn = conn_of(1)},
                                        .payload = wsb_span("ann\0room:1\0all\0", 15),
                                        .meta = wsb_span_str("{\"route\":\"r\"}")}};
    hello_with(f, 'a', "\"ack\":true,\"presence\":true");
    forget(f);
    happen_out(f, &open);
    assert_string_equal(f->server.log, "a:joined a:joined a:open");
    hear(f, 'a', WSB_TAG, 0, 0, 1, "", "{\"set\":[\"vip\"]}");
    hear(f, 'a', WSB_LEAVE, 0, 0, 1, "", "{\"groups\":[\"all\"]}");
    struct wsb_span meta = wsg_hub_open_meta(&f->hub, wsg_pins_find(&f->hub.pins, conn_of(1)));
    assert_memory_equal(meta.ptr, "{\"user\":\"ann\",\"groups\":[\"room:1\"],\"tags\":[\"vip\"],\"route\":\"r\"}",
                        meta.len);
    forget(f);
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "u", "{\"user\":\"ann\"}");
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "t", "{\"tag\":\"vip\"}");
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "a", "{\"all\":true}");
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "-", "{\"group\":\"all\"}");
    assert_string_equal(f->commands, "publish=u@1 publish=t@1 publish=a@1");
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "?", "{\"all\":true,\"tag\":\"vip\"}");
    assert_non_null(strstr(f->server.log, "(3)"));
    forget(f);
    hear(f, 'a', WSB_LIST, 0, 0, 0, "", "{\"group\":\"room:1\"}");
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    assert_string_equal(f->server.log, "a:members a:left a:closed");
    assert_int_equal(f->hub.users.count, 0);
    assert_int_equal(f->hub.tags.count, 0);
}

/* ------------------------------------------------------------- what must not get out of hand */

static void body(struct fixture *f, uint8_t type, uint32_t slot, uint8_t flags, const char *payload)
{
    struct wsg_out out = {.kind = WSG_OUT_EVENT,
                          .is_idempotent = true,
                          .envelope = {.header = {.type = type, .flags = flags, .conn = conn_of(slot)},
                                       .payload = wsb_span_str(payload),
                                       .meta = wsb_span_str(type == WSB_REQUEST ? "{}" : NULL)}};
    happen_out(f, &out);
}

static void test_a_long_body_is_not_kept(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    body(f, WSB_REQUEST, 1, WSB_FLAG_MORE, "beginning");
    for (int i = 0; i < 100; i++)
        body(f, WSB_BODY_EV, 1, WSB_FLAG_MORE, "more of it, and more");
    assert_int_equal(route_of(f)->retained.bytes, 0);
    hello(f, 'b');
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_string_equal(f->commands, "fail(502)@1");
}

static void test_a_stray_body_is_no_response(void **state)
{
    struct fixture *f = *state;
    hello(f, 'a');
    request(f, 1, true);
    hear(f, 'a', WSB_BODY, 0, 0, 1, "no", NULL);
    hello(f, 'b');
    forget(f);
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_string_equal(f->server.log, "b:request!");
}

static void test_a_route_that_has_enough_takes_nobody_new(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.no_handler = WSG_NO_HANDLER_WAIT;
    route_of(f)->policy.max_retained = 3000;
    uint32_t slot = 1;
    while (!strstr(f->commands, "fail(503)") && slot < 1000) { /* they come, say something, and go */
        happen(f, WSB_OPEN, slot, 0, "");
        data(f, slot, "x");
        happen(f, WSB_CLOSED_EV, slot, 0, "");
        f->commands[0] = strstr(f->commands, "fail") ? f->commands[0] : 0;
        slot++;
    }
    assert_true(slot < 40);
    assert_true(route_of(f)->retained.bytes < 7000);
    hello_ack(f, 'a');
    for (const struct wsg_ghost *g; (g = wsg_pins_next_ghost(&f->hub.pins, NULL)) != NULL;)
        ack(f, 'a', wsg_id_parts(g->conn).slot, 99);
    assert_int_equal(route_of(f)->retained.bytes, 0);
}

static void test_the_next_owner_is_not_flooded_with_openings(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    for (uint32_t slot = 1; slot <= 10; slot++)
        happen(f, WSB_OPEN, slot, 0, "");
    hello_ack(f, 'b');
    struct wsg_handler *b = wsg_handlers_by_id(&f->hub.handlers, 2);
    struct wsb_block *under_way = wsb_block_new(b->account, WSG_HANDLER_HIGH);
    forget(f);
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_string_equal(f->server.log, "b:open!"); /* this one finds that there is no room */
    data(f, 3, "x");
    wsb_block_free(under_way);
    forget(f);
    f->hub.room.fn(&f->hub.room);
    assert_string_equal(f->server.log,
                        "b:open! b:open! b:data=x#2 b:open! b:open! b:open! b:open! b:open! b:open! b:open!");
    assert_int_equal(b->lane.waiting_count, 0);
}

static void test_clients_wait_behind_a_full_handler_not_for_another(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.no_handler = WSG_NO_HANDLER_WAIT;
    hello_with(f, 'a', "\"ack\":true,\"credit\":{\"messages\":0,\"bytes\":0}");
    happen(f, WSB_OPEN, 1, 0, "");
    data(f, 1, "x");
    assert_int_equal(f->hub.pins.orphans.count, 0);
    forget(f);
    hear(f, 'a', WSB_CREDIT, 0, 0, 0, "", "{\"messages\":9,\"bytes\":99}");
    assert_string_equal(f->server.log, "a:data=x#2");
}

static void test_who_was_dropped_is_known_when_it_comes_back(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    hello_ack(f, 'b');
    wsg_hub_drop_handler(&f->hub, f->hub.handlers.by_id, WSG_GOES_IN_ORDER, "dropped");
    wsg_hub_flush(&f->hub);
    hello_ack(f, 'a');
    pong(f, 'a');
    forget(f);
    hear(f, 'a', WSB_SEND, WSB_TEXT, WSB_FLAG_WANT_OUTCOME, 1, "late", NULL);
    assert_string_equal(f->server.log, "a:outcome(3)");
    assert_string_equal(f->commands, "");
    hear(f, 'b', WSB_BYE, 0, 0, 0, "", NULL); /* and now it is its own again */
    hear(f, 'a', WSB_SEND, WSB_TEXT, 0, 1, "mine", NULL);
    assert_string_equal(f->commands, "send=mine@1");
}

/* Given up, its successor dead: what it wrote in answer to what it was sent before comes only now, and behind its HELLO. */
static void test_answers_of_before_a_registration_are_stale(void **state)
{
    static const uint8_t types[] = {WSB_SEND, WSB_CLOSE,   WSB_JOIN,   WSB_LEAVE,
                                    WSB_TAG,  WSB_PUBLISH, WSB_ACCEPT, WSB_RESPOND};
    struct fixture *f = *state;
    route_of(f)->policy.no_handler = WSG_NO_HANDLER_WAIT;
    route_of(f)->policy.handler_wait_ms = 1000;
    for (int acks = 0; acks < 2; acks++) {
        char peer = acks ? 'a' : 'c';
        uint32_t slot = acks ? 1 : 2;
        hello_with(f, peer, acks ? "\"ack\":true" : "\"ack\":false");
        happen(f, WSB_OPEN, slot, 0, "");
        data(f, slot, "xyz");
        wsg_hub_drop_handler(&f->hub, wsg_handlers_by_peer(&f->hub.handlers, wsb_span(&peer, 1)), WSG_GOES_IN_ORDER,
                             "stopped");
        wsg_hub_flush(&f->hub);
        hello_ack(f, 'b');
        hear(f, 'b', WSB_SEND, WSB_TEXT, 0, slot, "newer", NULL);
        hear(f, 'b', WSB_BYE, 0, 0, 0, "", NULL);
        hello_with(f, peer, acks ? "\"ack\":true" : "\"ack\":false");
        struct wsg_handler *again = wsg_handlers_by_peer(&f->hub.handlers, wsb_span(&peer, 1));
        assert_int_equal(again->lane.count, 1);
        assert_non_null(strstr(f->server.log, "ping")); /* behind its WELCOME */
        forget(f);
        for (size_t i = 0; i < COUNT(types); i++)
            hear(f, peer, types[i], WSB_TEXT, 0, slot, "old", NULL);
        ack(f, peer, slot, 2);
        assert_string_equal(f->commands, "");
        assert_int_equal(again->stale, COUNT(types) + 1);
        assert_int_equal(again->lane.pins->acked_seq, acks ? 0 : again->lane.pins->sent_seq);
        hear(f, peer, WSB_SEND, WSB_TEXT, WSB_FLAG_WANT_OUTCOME, slot, "old", NULL);
        assert_non_null(strstr(f->server.log, "outcome(3)"));
        struct wsb_envelope old = {.header = {.type = WSB_PONG, .seq = again->fence - 1}}; /* to a PING of before */
        hear_envelope(f, peer, &old);
        hear(f, peer, WSB_SEND, WSB_TEXT, 0, slot, "old", NULL);
        assert_string_equal(f->commands, "");
        pong(f, peer);
        hear(f, peer, WSB_SEND, WSB_TEXT, 0, slot, "new", NULL);
        assert_non_null(strstr(f->commands, "send=new@"));
        hear(f, peer, WSB_BYE, 0, 0, 0, "", NULL);
        wsg_hub_end_pin(&f->hub, wsg_pins_find(&f->hub.pins, conn_of(slot)), WSG_IN_LOST);
        forget(f);
    }
}

/* A link that broke and came back is the same process with the same answers under way; another process is not. */
static void test_a_process_whose_link_broke_is_fenced_and_another_is_not(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.no_handler = WSG_NO_HANDLER_WAIT;
    for (int same = 0; same < 2; same++) {
        hello_with(f, 'a', "\"pid\":7");
        f->server.is_gone['a'] = true;
        hear(f, 'a', WSB_PING, 0, 0, 0, "", NULL); /* its answer finds out */
        assert_int_equal(f->hub.handlers.count, 0);
        f->server.is_gone['a'] = false;
        hello_with(f, 'a', same ? "\"pid\":7" : "\"pid\":8");
        assert_int_equal(f->hub.handlers.by_id->fence != 0, same);
        hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    }
}

static void test_a_drained_handler_gets_nothing_whatever_it_says(void **state)
{
    struct fixture *f = *state;
    route_of(f)->policy.no_handler = WSG_NO_HANDLER_WAIT;
    hello_ack(f, 'a');
    assert_int_equal(route_of(f)->handlers, 1);
    wsg_hub_drain_handler(&f->hub, f->hub.handlers.by_id);
    wsg_hub_flush(&f->hub);
    assert_int_equal(route_of(f)->handlers, 0); /* new clients are told so before their 101 */
    happen(f, WSB_OPEN, 1, 0, "");
    forget(f);
    hello_ack(f, 'a');
    assert_string_equal(f->server.log, "a:welcome");
    assert_int_equal(f->hub.pins.orphans.count, 1);
    hello_ack(f, 'b');
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_int_equal(route_of(f)->handlers, 1);
    assert_int_equal(wsg_handlers_by_id(&f->hub.handlers, 2)->lane.count, 1);
}

static void test_unacknowledged_counts_events(void **state)
{
    struct fixture *f = *state;
    hello_ack(f, 'a');
    happen(f, WSB_OPEN, 1, 0, "");
    for (int i = 0; i < 20; i++)
        data(f, 1, "0123456789");
    ack(f, 'a', 1, 200);
    assert_int_equal(f->hub.handlers.by_id->unacked, 1);
    hello_ack(f, 'b');
    hear(f, 'a', WSB_BYE, 0, 0, 0, "", NULL);
    assert_int_equal(f->hub.handlers.by_id->unacked, 2); /* OPEN, and the last one */
    ack(f, 'b', 1, 1);
    assert_int_equal(f->hub.handlers.by_id->unacked, 1);
}

static void test_who_is_not_accepted_is_in_no_group(void **state)
{
    struct fixture *f = *state;
    struct wsg_out open = {.kind = WSG_OUT_EVENT,
                           .envelope = {.header = {.type = WSB_OPEN, .flags = WSB_FLAG_PENDING, .conn = conn_of(1)},
                                        .payload = wsb_span("ann\0room:1\0", 11),
                                        .meta = wsb_span_str("{}")}};
    hello_with(f, 'a', "\"presence\":true");
    forget(f);
    happen_out(f, &open);
    assert_string_equal(f->server.log, "a:open?");
    assert_int_equal(f->hub.groups.count, 0);
    hear(f, 'a', WSB_ACCEPT, 0, 0, 1, "", NULL);
    assert_string_equal(f->server.log, "a:open? a:joined");
}

static void test_who_left_before_it_was_accepted_joins_nothing(void **state)
{
    struct fixture *f = *state;
    struct wsg_out open = {.kind = WSG_OUT_EVENT,
                           .envelope = {.header = {.type = WSB_OPEN, .flags = WSB_FLAG_PENDING, .conn = conn_of(1)},
                                        .payload = wsb_span("ann\0room:1\0", 11),
                                        .meta = wsb_span_str("{}")}};
    hello_with(f, 'a', "\"ack\":true,\"presence\":true");
    happen_out(f, &open);
    happen(f, WSB_CLOSED_EV, 1, 0, "");
    forget(f);
    hear(f, 'a', WSB_ACCEPT, 0, 0, 1, "", "{\"groups\":[\"g\"]}"); /* it was on its way */
    assert_string_equal(f->server.log, "");
    assert_int_equal(f->hub.groups.count, 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_not_acknowledged_goes_to_the_next_one),
        TEST(test_an_ack_of_many_and_a_malformed_one),
        TEST(test_an_ack_of_what_was_not_sent_or_is_not_its_own),
        TEST(test_a_client_that_left_is_finished_by_the_next_one),
        TEST(test_without_ack_each_message_is_handed_over_once),
        TEST(test_one_that_acknowledges_nothing_is_dead),
        TEST(test_one_that_does_not_run_is_dead_also_when_nobody_listens),
        TEST(test_one_that_hangs_is_dead_however_often_workers_are_behind),
        TEST(test_one_that_could_not_be_heard_is_forgiven),
        TEST(test_one_whose_batch_is_being_read_is_forgiven),
        TEST(test_copies_that_were_missed_are_counted),
        TEST(test_many_that_do_not_run_are_found_in_steps),
        TEST(test_credit_bounds_what_is_sent_and_end_of_it_pauses),
        TEST(test_a_paused_client_is_read_again),
        TEST(test_what_a_full_handler_costs_is_up_to_the_route),
        TEST(test_a_route_that_has_enough_pauses_and_goes_on),
        TEST(test_a_drained_handler_hands_over_in_order),
        TEST(test_without_ack_a_drain_waits_for_a_pong),
        TEST(test_a_drain_alone_waits_for_another),
        TEST(test_a_moved_connection_is_its_former_owners_no_more),
        TEST(test_clients_wait_for_a_handler),
        TEST(test_waiting_has_an_end),
        TEST(test_a_request_is_given_twice_only_if_it_may_be),
        TEST(test_names_follow_a_connection_to_its_next_owner),
        TEST(test_a_long_body_is_not_kept),
        TEST(test_a_stray_body_is_no_response),
        TEST(test_a_route_that_has_enough_takes_nobody_new),
        TEST(test_the_next_owner_is_not_flooded_with_openings),
        TEST(test_clients_wait_behind_a_full_handler_not_for_another),
        TEST(test_who_was_dropped_is_known_when_it_comes_back),
        TEST(test_answers_of_before_a_registration_are_stale),
        TEST(test_a_process_whose_link_broke_is_fenced_and_another_is_not),
        TEST(test_a_drained_handler_gets_nothing_whatever_it_says),
        TEST(test_unacknowledged_counts_events),
        TEST(test_who_is_not_accepted_is_in_no_group),
        TEST(test_who_left_before_it_was_accepted_joins_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
