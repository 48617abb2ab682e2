/*
 * Who may come in: route "q" is the gatekeeper of route "r". 'a', 'b' and 'c' serve "r", 'g' and 'k' are gatekeepers; 'x' serves
 * both. The log shows what handlers were sent ("g:open?" is pending), `commands` what sessions were told.
 */
#include "fixture.h"

#include <inttypes.h>
#include <stdlib.h>

#include "hub/deliver.h"

static struct wsg_route *wanted(struct fixture *f)
{
    return &f->routes.routes[0];
}

static struct wsg_route *gate(struct fixture *f)
{
    return &f->routes.routes[1];
}

static int setup_gatekeeper(void **state)
{
    setup(state);
    wsg_routes_set_gatekeeper(&((struct fixture *)*state)->routes, 0, "q");
    return 0;
}

static void serve(struct fixture *f, char peer, const char *routes, const char *more)
{
    char meta[200];
    snprintf(meta, sizeof meta, "{\"routes\":[%s],\"batch\":true%s%s}", routes, *more ? "," : "", more);
    hear(f, peer, WSB_HELLO, 0, 0, 0, "", meta);
}

static void come(struct fixture *f, char peer)
{
    serve(f, peer, peer == 'x' ? "\"r\",\"q\"" : peer == 'g' || peer == 'k' ? "\"q\"" : "\"r\"", "");
}

/* A client shakes hands: with groups, a user and a key where they are said. */
static void knock_as(struct fixture *f, uint32_t slot, uint64_t key, struct wsb_span who, const char *meta)
{
    struct wsg_out out = {.kind = WSG_OUT_EVENT,
                          .key = key,
                          .envelope = {.header = {.type = WSB_OPEN, .flags = WSB_FLAG_PENDING, .conn = conn_of(slot)},
                                       .payload = who,
                                       .meta = wsb_span_str(meta)}};
    happen_out(f, &out);
}

static void knock(struct fixture *f, uint32_t slot)
{
    knock_as(f, slot, 0, wsb_span(NULL, 0), "{}");
}

/* Its session has sent the 101. */
static void enter(struct fixture *f, uint32_t slot, const char *subprotocol)
{
    struct wsg_out out = {
        .kind = WSG_OUT_ADMITTED,
        .envelope = {.header = {.type = WSB_OPEN, .conn = conn_of(slot)}, .payload = wsb_span_str(subprotocol)}};
    happen_out(f, &out);
}

static void leave(struct fixture *f, uint32_t slot)
{
    happen(f, WSB_CLOSED_EV, slot, 0, "");
}

static void accept_with(struct fixture *f, char peer, uint32_t slot, const char *meta)
{
    hear(f, peer, WSB_ACCEPT, 0, WSB_FLAG_WANT_OUTCOME, slot, "", meta);
}

static void die(struct fixture *f, char peer)
{
    f->server.is_gone[(int)peer] = true;
    f->hub.heartbeat.fn(&f->hub.heartbeat);
}

static void ack(struct fixture *f, char peer, uint32_t slot, uint64_t seq)
{
    struct wsb_envelope e = {.header = {.type = WSB_ACK, .conn = conn_of(slot), .seq = seq}};
    hear_envelope(f, peer, &e);
}

static struct wsg_handler *handler_of(struct fixture *f, char peer)
{
    return wsg_handlers_by_peer(&f->hub.handlers, wsb_span(&peer, 1));
}

static size_t members(struct fixture *f, const char *route)
{
    const struct wsg_group *g = wsg_groups_find(&f->hub.members, wsb_span_str(route));
    return g ? g->count : 0;
}

/* ------------------------------------------------------------------- the usual way */

static void test_a_gatekeeper_lets_in_and_the_route_serves(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    forget(f);
    knock(f, 1);
    assert_string_equal(f->server.log, "g:open?");
    assert_int_equal(members(f, "q"), 1);
    assert_int_equal(members(f, "r"), 0);
    accept_with(f, 'g', 1, "{}");
    assert_string_equal(f->commands, "accept@1");
    assert_string_equal(f->server.log, "g:open? g:revoked"); /* nothing for the route before the 101 */
    assert_int_equal(members(f, "q"), 0);
    assert_int_equal(members(f, "r"), 1);
    forget(f);
    enter(f, 1, "");
    happen(f, WSB_DATA, 1, 0, "x");
    leave(f, 1);
    assert_string_equal(f->server.log, "a:open a:data=x#2 a:closed");
    assert_int_equal(wanted(f)->tally.delivered, 1);
    assert_int_equal(gate(f)->tally.delivered, 0);
    assert_int_equal(f->hub.pins.count, 0);
    assert_int_equal(members(f, "r"), 0);
}

static void test_what_the_gatekeeper_said_is_in_open(void **state)
{
    struct fixture *f = *state;
    static const char said[] = "{\"route\":\"r\",\"params\":{\"subprotocol\":\"p\",\"x\":\"\\\"{\"},\"origin\":\"\","
                               "\"subprotocol\":\"v1\",\"headers\":{\"subprotocol\":\"h\"}}";
    come(f, 'a');
    come(f, 'g');
    knock_as(f, 1, 0, wsb_span("ann\0room:1\0", 11), said);
    assert_string_equal(f->server.open_meta,
                        "{\"gatekeeper\":\"q\",\"user\":\"ann\",\"route\":\"r\",\"params\":{\"subprotocol\":\"p\","
                        "\"x\":\"\\\"{\"},\"origin\":\"\",\"subprotocol\":\"v1\",\"headers\":{\"subprotocol\":\"h\"}}");
    accept_with(f, 'g', 1, "{\"user\":\"bob\",\"groups\":[\"vip\"],\"tags\":[\"t\"],\"subprotocol\":\"v2\"}");
    enter(f, 1, "v2");
    assert_string_equal(f->server.open_meta,
                        "{\"user\":\"bob\",\"groups\":[\"vip\",\"room:1\"],\"tags\":[\"t\"],\"route\":\"r\","
                        "\"params\":{\"subprotocol\":\"p\",\"x\":\"\\\"{\"},\"origin\":\"\",\"subprotocol\":\"v2\","
                        "\"headers\":{\"subprotocol\":\"h\"}}");
    come(f, 'b');
    die(f, 'a'); /* the next owner reads the same */
    assert_non_null(strstr(f->server.log, "b:open!"));
    assert_non_null(strstr(f->server.open_meta, "\"origin\":\"\",\"subprotocol\":\"v2\""));
}

static void test_without_a_gatekeeper_the_next_owner_reads_the_subprotocol_too(void **state)
{
    struct fixture *f = *state;
    wanted(f)->gatekeeper = NULL;
    come(f, 'a');
    come(f, 'b');
    forget(f);
    knock_as(f, 1, 0, wsb_span(NULL, 0), "{\"subprotocol\":\"\"}");
    char owner = f->server.log[0];
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 1);
    accept_with(f, owner, 1, "{\"subprotocol\":\"v2\"}");
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 0);
    enter(f, 1, "v2");
    assert_null(strstr(f->server.log, "revoked"));
    die(f, owner);
    assert_string_equal(f->server.open_meta, "{\"subprotocol\":\"v2\"}");
}

static void test_a_key_chooses_on_the_wanted_route_only(void **state)
{
    struct fixture *f = *state;
    for (const char *p = "abcgk"; *p; p++)
        come(f, *p);
    for (uint32_t slot = 1; slot < 30; slot++) {
        uint64_t key = 1000 + slot;
        const struct wsg_handler *chosen =
            wsg_handlers_pick(&f->hub.handlers, wanted(f), WSG_KIND_WEBSOCKET, key, NULL);
        knock_as(f, slot, key, wsb_span(NULL, 0), "{}");
        accept_with(f, (char)wsg_pins_find(&f->hub.pins, conn_of(slot))->handler->peer[0], slot, "{}");
        enter(f, slot, "");
        assert_ptr_equal(wsg_pins_find(&f->hub.pins, conn_of(slot))->handler, chosen);
    }
    for (uint32_t slot = 40; slot < 44; slot++) /* of the gatekeepers the one with the fewest is asked */
        knock_as(f, slot, 7, wsb_span(NULL, 0), "{}");
    assert_int_equal(handler_of(f, 'g')->lane.count, 2);
}

static void test_one_handler_may_be_both(void **state)
{
    struct fixture *f = *state;
    serve(f, 'x', "\"r\",\"q\"", "\"ack\":true");
    forget(f);
    knock(f, 1);
    accept_with(f, 'x', 1, "{}");
    enter(f, 1, "");
    assert_string_equal(f->server.log, "x:open? x:revoked x:open");
    hear(f, 'x', WSB_SEND, WSB_TEXT, 0, 1, "hello", NULL); /* it is its own again */
    assert_string_equal(f->commands, "accept@1 send=hello@1");
    assert_int_equal(handler_of(f, 'x')->unacked, 1);
    ack(f, 'x', 1, 1);
    assert_int_equal(handler_of(f, 'x')->unacked, 0);
    assert_int_equal(handler_of(f, 'x')->stale, 0);
}

static void test_groups_are_joined_on_the_wanted_route(void **state)
{
    struct fixture *f = *state;
    serve(f, 'a', "\"r\"", "\"presence\":true");
    serve(f, 'g', "\"q\"", "\"presence\":true");
    forget(f);
    knock_as(f, 1, 0, wsb_span("\0room\0", 6), "{}");
    hear(f, 'g', WSB_JOIN, 0, WSB_FLAG_WANT_OUTCOME, 1, "", "{\"groups\":[\"early\"]}");
    assert_string_equal(f->server.log, "g:open? g:outcome(5)");
    assert_int_equal(f->hub.groups.count, 0);
    forget(f);
    accept_with(f, 'g', 1, "{\"groups\":[\"vip\"]}");
    assert_string_equal(f->server.log, "g:revoked a:joined a:joined");
    leave(f, 1); /* before its 101 */
    assert_string_equal(f->server.log, "g:revoked a:joined a:joined a:left a:left");
}

/* --------------------------------------------------------------- nobody is there */

static void test_who_is_accepted_and_not_served(void **state)
{
    static const struct {
        enum wsg_no_handler policy;
        const char *commands, *log;
    } rows[] = {
        {WSG_NO_HANDLER_REFUSE, "fail(503)@1", "g:outcome(5)"},
        {WSG_NO_HANDLER_CLOSE, "accept@1 fail(503)@1", "g:revoked"},
        {WSG_NO_HANDLER_WAIT, "accept@1", "g:revoked"},
    };
    struct fixture *f = *state;
    come(f, 'g');
    for (uint32_t i = 0; i < COUNT(rows); i++) {
        wanted(f)->policy.no_handler = rows[i].policy;
        knock(f, 1);
        forget(f);
        accept_with(f, 'g', 1, "{}");
        assert_string_equal(f->commands, rows[i].commands);
        assert_string_equal(f->server.log, rows[i].log);
        forget(f);
        if (rows[i].policy == WSG_NO_HANDLER_REFUSE) { /* it is the gatekeeper's until the session has ended it */
            assert_int_equal(f->refusal, WSG_REFUSED_NO_HANDLER);
            leave(f, 1);
            assert_string_equal(f->server.log, "g:closed");
        } else if (rows[i].policy == WSG_NO_HANDLER_CLOSE) {
            enter(f, 1, "");
            leave(f, 1);
            assert_string_equal(f->server.log, "");
        } else {
            assert_int_equal(f->hub.pins.orphans.count, 1);
            enter(f, 1, "");
            assert_string_equal(f->server.log, "");
            come(f, 'a');
            assert_string_equal(f->server.log, "a:welcome a:open");
            leave(f, 1);
        }
        assert_int_equal(f->hub.pins.count, 0);
    }
}

static void test_a_handler_that_comes_before_the_101_waits_for_it(void **state)
{
    struct fixture *f = *state;
    wanted(f)->policy.no_handler = WSG_NO_HANDLER_WAIT;
    come(f, 'g');
    knock(f, 1);
    accept_with(f, 'g', 1, "{}");
    forget(f);
    come(f, 'a');
    f->hub.heartbeat.fn(&f->hub.heartbeat);
    wsg_hub_flush(&f->hub);
    assert_null(strstr(f->server.log, "open"));
    enter(f, 1, "");
    assert_non_null(strstr(f->server.log, "a:open"));
}

static void test_a_route_with_too_much_takes_nobody_who_was_accepted(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    knock(f, 1);
    wanted(f)->retained.bytes += 2 * wanted(f)->policy.max_retained;
    forget(f);
    accept_with(f, 'g', 1, "{}");
    assert_string_equal(f->commands, "fail(503)@1");
    wanted(f)->retained.bytes -= 2 * wanted(f)->policy.max_retained;
}

/* Nothing can be told to a session that waits; what is said to it then must not be what keeps it from being told later. */
static void test_who_waited_is_stopped_like_any_other(void **state)
{
    struct fixture *f = *state;
    char *big = malloc((1 << 20) + 1);
    assert_non_null(big);
    memset(big, 'x', 1 << 20);
    big[1 << 20] = 0;
    wanted(f)->gatekeeper = NULL;
    serve(f, 'a', "\"r\"", "\"ack\":true,\"credit\":{\"messages\":1,\"bytes\":1}");
    knock(f, 1);
    happen(f, WSB_OPEN, 2, 0, "");
    happen(f, WSB_DATA, 2, 0, "x"); /* all its credit */
    for (int i = 0; i < 9; i++)
        happen(f, WSB_DATA, 2, 0, big); /* so much that nobody is to send to it */
    assert_string_equal(f->commands, "pause@2");
    forget(f);
    accept_with(f, 'a', 1, "{}");
    enter(f, 1, "");
    happen(f, WSB_DATA, 1, 0, "y");
    assert_string_equal(f->commands, "accept@1 pause@1");
    free(big);
}

/* Otherwise a gatekeeper could let one in and move another, and hear itself what the first one says. */
static void test_what_is_for_one_connection_is_for_that_of_its_header(void **state)
{
    struct fixture *f = *state;
    static const uint8_t types[] = {WSB_ACCEPT, WSB_REJECT, WSB_RESPOND, WSB_BODY, WSB_PING};
    char meta[64];
    come(f, 'a');
    come(f, 'g');
    knock(f, 1);
    knock(f, 2);
    snprintf(meta, sizeof meta, "{\"to\":[\"%016" PRIx64 "\"]}", conn_of(2));
    for (size_t i = 0; i < COUNT(types); i++) {
        forget(f);
        hear(f, 'g', types[i], 0, 0, 1, "", meta);
        assert_string_equal(f->commands, "");
        assert_non_null(strstr(f->server.log, "g:error=\"to\""));
    }
    assert_int_equal(members(f, "q"), 2);
    forget(f);
    hear(f, 'g', WSB_CLOSE, 0, 0, 0, "", meta);
    assert_string_equal(f->commands, "close(1000)@2");
}

static void test_a_full_route_is_not_read_once_it_is_accepted(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    gate(f)->retained.bytes += gate(f)->policy.max_retained; /* of its gatekeepers: nobody reads one that waits */
    knock(f, 1);
    assert_string_equal(f->commands, "");
    gate(f)->retained.bytes -= gate(f)->policy.max_retained;
    wanted(f)->retained.bytes += wanted(f)->policy.max_retained;
    accept_with(f, 'g', 1, "{}");
    assert_string_equal(f->commands, "accept@1 pause@1");
    enter(f, 1, "");
    wanted(f)->retained.bytes -= wanted(f)->policy.max_retained;
    forget(f);
    wsg_hub_pump(&f->hub, handler_of(f, 'a'));
    assert_string_equal(f->commands, "resume@1");
}

static void test_without_a_gatekeeper_nobody_comes_in(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    knock(f, 1);
    assert_string_equal(f->commands, "fail(503)@1");
    assert_int_equal(f->refusal, WSG_REFUSED_NO_GATEKEEPER);
    assert_int_equal(f->hub.pins.count, 0);
    gate(f)->policy.no_handler = WSG_NO_HANDLER_WAIT;
    forget(f);
    knock(f, 2);
    assert_string_equal(f->commands, "");
    come(f, 'g');
    assert_string_equal(f->server.log, "g:welcome g:open?");
}

/* -------------------------------------------------------------------------- death */

static void test_the_next_gatekeeper_is_asked_when_one_dies(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    knock(f, 1);
    come(f, 'k');
    forget(f);
    die(f, 'g');
    assert_string_equal(strstr(f->server.log, "k:open"), "k:open!?");
    forget(f);
    die(f, 'k');
    assert_string_equal(f->commands, "fail(503)@1");
    assert_int_equal(f->refusal, WSG_REFUSED_NO_GATEKEEPER);
    hear(f, 0, WSB_ACCEPT, 0, 0, 1, "", NULL); /* somebody on `commands`, too late: the session says so */
    leave(f, 1);
    assert_int_equal(f->hub.pins.count, 0);
    assert_null(strstr(f->server.log, "a:open"));
}

static void test_a_gatekeeper_that_dies_after_accept_takes_nobody_along(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    knock(f, 1);
    accept_with(f, 'g', 1, "{}");
    die(f, 'g');
    forget(f);
    enter(f, 1, "");
    assert_string_equal(f->server.log, "a:open");
    assert_string_equal(f->commands, "");
}

static void test_the_owner_may_die_before_it_has_heard(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    knock(f, 1);
    accept_with(f, 'g', 1, "{}");
    come(f, 'b');
    die(f, 'a');
    forget(f);
    enter(f, 1, "");
    assert_string_equal(f->server.log, "b:open"); /* nobody had it before */
    knock(f, 2);
    accept_with(f, 'g', 2, "{}");
    forget(f);
    die(f, 'b');
    assert_string_equal(f->commands, "fail(503)@1 fail(503)@2");
    enter(f, 2, "");
    leave(f, 1);
    leave(f, 2);
    assert_int_equal(f->hub.pins.count, 0);
}

static void test_who_leaves_before_the_101_is_nobodys_news(void **state)
{
    struct fixture *f = *state;
    serve(f, 'a', "\"r\"", "\"ack\":true");
    serve(f, 'g', "\"q\"", "\"ack\":true");
    knock(f, 1);
    forget(f);
    leave(f, 1);
    assert_string_equal(f->server.log, "g:closed");
    ack(f, 'g', 1, 2);
    assert_int_equal(f->hub.pins.count, 0);
    assert_int_equal(gate(f)->retained.bytes, 0);
    knock(f, 2);
    accept_with(f, 'g', 2, "{}");
    forget(f);
    leave(f, 2); /* an ACCEPT that was not valid, or a client that was gone */
    assert_string_equal(f->server.log, "");
    assert_int_equal(f->hub.pins.count, 0);
    assert_int_equal(wanted(f)->retained.bytes, 0);
}

/* ------------------------------------------------------------------- the gatekeeper */

static void test_a_gatekeeper_owes_nothing_after_accept(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    serve(f, 'g', "\"q\"", "\"ack\":true,\"credit\":{\"messages\":0,\"bytes\":0}"); /* OPEN needs none */
    for (uint32_t slot = 1; slot <= 3; slot++)
        knock(f, slot);
    assert_int_equal(handler_of(f, 'g')->unacked, 3);
    accept_with(f, 'g', 1, "{}");
    assert_int_equal(handler_of(f, 'g')->unacked, 2);
    ack(f, 'g', 1, 1); /* as it says of all that it has done with */
    assert_int_equal(handler_of(f, 'g')->stale, 0);
    assert_int_equal(handler_of(f, 'g')->unacked, 2);
    ack(f, 'g', 2, 1); /* or before ACCEPT */
    accept_with(f, 'g', 2, "{}");
    assert_int_equal(handler_of(f, 'g')->unacked, 1);
    assert_int_equal(handler_of(f, 'g')->lane.count, 1);
    assert_int_equal(handler_of(f, 'g')->credit_messages, 0);
}

static void test_an_accepted_client_is_its_gatekeepers_no_more(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    knock(f, 1);
    accept_with(f, 'g', 1, "{}");
    forget(f);
    hear(f, 'g', WSB_SEND, WSB_TEXT, WSB_FLAG_WANT_OUTCOME, 1, "late", NULL);
    accept_with(f, 'g', 1, "{}");
    hear(f, 'g', WSB_REJECT, 0, WSB_FLAG_WANT_OUTCOME, 1, "", NULL);
    hear(f, 'g', WSB_CLOSE, 0, WSB_FLAG_WANT_OUTCOME, 1, "", NULL);
    hear(f, 'g', WSB_TAG, 0, WSB_FLAG_WANT_OUTCOME, 1, "", "{\"user\":\"eve\"}");
    assert_string_equal(f->server.log, "g:outcome(3) g:outcome(3) g:outcome(3) g:outcome(3) g:outcome(3)");
    assert_string_equal(f->commands, "");
    assert_int_equal(handler_of(f, 'g')->stale, 5);
}

static void test_a_rejected_client_stays_its_gatekeepers(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    knock(f, 1);
    forget(f);
    hear(f, 'g', WSB_REJECT, 0, 0, 1, "no", "{\"status\":401}");
    assert_string_equal(f->commands, "reject=no(401)@1");
    leave(f, 1);
    assert_string_equal(f->server.log, "g:closed");
}

static void test_a_key_for_a_route_is_for_what_waits_there(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    for (uint32_t slot = 1; slot <= 2; slot++)
        knock(f, slot);
    forget(f);
    f->server.in_user = "r"; /* the wanted route's key decides nothing */
    accept_with(f, 'a', 1, "{}");
    assert_string_equal(f->commands, "");
    assert_string_equal(f->server.log, "a:outcome(5)");
    f->server.in_user = "q";
    accept_with(f, 'g', 1, "{}");
    assert_string_equal(f->commands, "accept|r@1"); /* the session is of the route that it asked for */
    forget(f);
    hear(f, 0, WSB_SEND, WSB_TEXT, 0, 1, "no", NULL); /* and the gatekeeper's none after it */
    assert_string_equal(f->commands, "");
    f->server.in_user = "r";
    hear(f, 0, WSB_SEND, WSB_TEXT, 0, 1, "yes", NULL);
    assert_string_equal(f->commands, "send=yes|r@1");
}

static void test_a_gatekeeper_that_drains_hands_on_who_waits(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    serve(f, 'g', "\"q\"", "\"ack\":true");
    knock(f, 1);
    knock(f, 2);
    serve(f, 'k', "\"q\"", "\"ack\":true");
    forget(f);
    wsg_hub_drain_handler(&f->hub, handler_of(f, 'g'));
    wsg_hub_flush(&f->hub);
    assert_string_equal(f->server.log, "g:drain");
    assert_int_equal(handler_of(f, 'g')->moving, 2);
    ack(f, 'g', 1, 1); /* it will not decide */
    assert_string_equal(f->server.log, "g:drain g:revoked k:open!?");
    accept_with(f, 'g', 2, "{}"); /* and here it does after all */
    assert_int_equal(handler_of(f, 'g')->moving, 0);
    enter(f, 2, "");
    assert_string_equal(f->server.log, "g:drain g:revoked k:open!? g:revoked g:drain a:open");
}

static void test_who_waits_does_not_count_among_those_a_name_means(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    knock_as(f, 1, 0, wsb_span("ann\0", 4), "{}");
    forget(f);
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "x", "{\"route\":\"q\"}");
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "x", "{\"user\":\"ann\"}");
    assert_string_equal(f->commands, "");
    accept_with(f, 'g', 1, "{}");
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "x", "{\"route\":\"q\"}");
    hear(f, 'a', WSB_PUBLISH, WSB_TEXT, 0, 0, "y", "{\"route\":\"r\"}");
    assert_string_equal(f->commands, "accept@1 publish=y@1");
}

/* -------------------------------------------------------------------------- copies */

static void test_copies_go_under_the_route_that_has_it(void **state)
{
    struct fixture *f = *state;
    wanted(f)->policy.tap = gate(f)->policy.tap = true;
    f->server.wants_all = true;
    come(f, 'a');
    come(f, 'g');
    forget(f);
    knock(f, 1);
    accept_with(f, 'g', 1, "{}");
    enter(f, 1, "");
    leave(f, 1);
    assert_string_equal(f->server.log, "*:q open? g:open? g:revoked *:r open a:open *:r closed a:closed");
    forget(f);
    knock(f, 2);
    accept_with(f, 'g', 2, "{}");
    leave(f, 2);
    assert_string_equal(f->server.log, "*:q open? g:open? g:revoked");
}

static void test_a_route_that_only_publishes_may_have_one(void **state)
{
    struct fixture *f = *state;
    wanted(f)->policy.publish = true;
    f->server.wants_all = true;
    come(f, 'g');
    forget(f);
    knock(f, 1);
    accept_with(f, 'g', 1, "{}");
    assert_string_equal(f->commands, "accept@1");
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 0); /* for nobody */
    enter(f, 1, "");
    happen(f, WSB_DATA, 1, 0, "x");
    leave(f, 1);
    assert_string_equal(f->server.log, "g:open? g:revoked *:r open *:r data *:r closed");
    assert_int_equal(f->hub.pins.count, 0);
    knock(f, 2);
    accept_with(f, 'g', 2, "{}");
    leave(f, 2);
    assert_int_equal(f->hub.pins.count, 0);
}

/* Where nobody is to hear of a client, and where the hub cannot keep it, the place goes back at once. */
static void test_a_place_is_given_back_where_nobody_will_hear(void **state)
{
    struct fixture *f = *state;
    wanted(f)->gatekeeper = NULL;
    wanted(f)->policy.publish = true;
    happen(f, WSB_OPEN, 1, 0, "");
    assert_int_equal(f->hub.pins.count, 1);
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 0);
    happen(f, WSB_OPEN, 1, 0, ""); /* that id is there */
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 0);
}

/* They count for the route that they asked for, until one of its handlers has heard of them. */
static void test_who_waits_is_counted_until_its_owner_has_heard(void **state)
{
    struct fixture *f = *state;
    come(f, 'a');
    come(f, 'g');
    knock(f, 1);
    knock(f, 2);
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 2);
    assert_int_equal(wsg_places_taken(&gate(f)->pending), 0);
    accept_with(f, 'g', 1, "{}");
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 2); /* it has no 101 yet */
    enter(f, 1, "");
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 1);
    die(f, 'a'); /* who was heard of once waits no more */
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 1);
    leave(f, 2);
    assert_int_equal(wsg_places_taken(&wanted(f)->pending), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup_gatekeeper, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_gatekeeper_lets_in_and_the_route_serves),
        TEST(test_what_the_gatekeeper_said_is_in_open),
        TEST(test_without_a_gatekeeper_the_next_owner_reads_the_subprotocol_too),
        TEST(test_a_key_chooses_on_the_wanted_route_only),
        TEST(test_one_handler_may_be_both),
        TEST(test_groups_are_joined_on_the_wanted_route),
        TEST(test_who_is_accepted_and_not_served),
        TEST(test_a_handler_that_comes_before_the_101_waits_for_it),
        TEST(test_a_route_with_too_much_takes_nobody_who_was_accepted),
        TEST(test_what_is_for_one_connection_is_for_that_of_its_header),
        TEST(test_a_full_route_is_not_read_once_it_is_accepted),
        TEST(test_who_waited_is_stopped_like_any_other),
        TEST(test_without_a_gatekeeper_nobody_comes_in),
        TEST(test_the_next_gatekeeper_is_asked_when_one_dies),
        TEST(test_a_gatekeeper_that_dies_after_accept_takes_nobody_along),
        TEST(test_the_owner_may_die_before_it_has_heard),
        TEST(test_who_leaves_before_the_101_is_nobodys_news),
        TEST(test_a_gatekeeper_owes_nothing_after_accept),
        TEST(test_an_accepted_client_is_its_gatekeepers_no_more),
        TEST(test_a_rejected_client_stays_its_gatekeepers),
        TEST(test_a_key_for_a_route_is_for_what_waits_there),
        TEST(test_a_gatekeeper_that_drains_hands_on_who_waits),
        TEST(test_who_waits_does_not_count_among_those_a_name_means),
        TEST(test_copies_go_under_the_route_that_has_it),
        TEST(test_a_route_that_only_publishes_may_have_one),
        TEST(test_who_waits_is_counted_until_its_owner_has_heard),
        TEST(test_a_place_is_given_back_where_nobody_will_hear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
