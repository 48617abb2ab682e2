/* The route table. */
#include "support/test.h"

#include "bus/route.h"

static const struct wsg_route_policy both = {.kinds = WSG_KIND_WEBSOCKET | WSG_KIND_HTTP};
static const struct wsg_route_policy ws_only = {.kinds = WSG_KIND_WEBSOCKET};
static const struct wsg_route_policy http_only = {.kinds = WSG_KIND_HTTP};

static void test_most_specific_route_wins(void **state)
{
    static const struct {
        const char *host, *path, *want;
        unsigned kind;
    } rows[] = {
        {"a.example", "/chat/lobby", "lobby", WSG_KIND_WEBSOCKET},
        {"a.example", "/chat/other", "room", WSG_KIND_WEBSOCKET},
        {"a.example", "/chat/other", "room", WSG_KIND_HTTP},
        {"a.example", "/chat/a/b", "rest", WSG_KIND_WEBSOCKET},
        {"b.example", "/chat/lobby", "b", WSG_KIND_WEBSOCKET},
        {"b.example", "/chat/x", "b", WSG_KIND_WEBSOCKET},
        {"[::1]", "/chat/lobby", "six", WSG_KIND_WEBSOCKET},
        {"a.example", "/none", NULL, WSG_KIND_WEBSOCKET},
        {"", "/chat/lobby", "lobby", WSG_KIND_WEBSOCKET},
    };
    struct wsg_routes t;
    struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
    bool other;
    (void)state;
    assert_int_equal(wsg_routes_init(&t, 5), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "rest", "/{path*}", NULL, &both, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "room", "/chat/{room}", NULL, &both, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "lobby", "/chat/lobby", NULL, &both, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "b", "/chat/{x}", "B.Example.", &both, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "six", "/chat/lobby", "[0::1]", &both, NULL), WSB_OK);
    wsg_routes_seal(&t);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_route *r =
            wsg_routes_match(&t, wsb_span_str(rows[i].host), wsb_span_str(rows[i].path), rows[i].kind, params, &other);
        if (!rows[i].want) {
            assert_true(r && strcmp(r->name, "rest") == 0); /* the rest pattern takes all */
            continue;
        }
        assert_non_null(r);
        assert_string_equal(r->name, rows[i].want);
    }
    wsg_routes_deinit(&t);
}

static void test_route_of_the_other_kind_is_told(void **state)
{
    struct wsg_routes t;
    struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
    bool other;
    (void)state;
    assert_int_equal(wsg_routes_init(&t, 2), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "ws", "/x", NULL, &ws_only, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "http", "/y", NULL, &http_only, NULL), WSB_OK);
    wsg_routes_seal(&t);
    assert_null(wsg_routes_match(&t, wsb_span_str(""), wsb_span_str("/x"), WSG_KIND_HTTP, params, &other));
    assert_true(other);
    assert_null(wsg_routes_match(&t, wsb_span_str(""), wsb_span_str("/z"), WSG_KIND_HTTP, params, &other));
    assert_false(other);
    wsg_routes_deinit(&t);
}

static void test_routes_that_cannot_be_are_refused(void **state)
{
    static const struct {
        const char *name, *path, *host, *want;
    } rows[] = {
        {"", "/x", NULL, "route name"},
        {"a b", "/x", NULL, "route name"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "/x", NULL, "route name"},
        {"first", "/y", NULL, "there twice"},
        {"second", "/a/{other}", NULL, "same paths as route 'first'"},
        {"second", "no-slash", NULL, "path"},
        {"second", "/{", NULL, "path"},
        {"second", "/x", "h:80", "host 'h:80'"},
        {"second", "/x", "127.1", "host '127.1'"},
    };
    struct wsg_routes t;
    (void)state;
    assert_int_equal(wsg_routes_init(&t, 3), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "first", "/a/{b}", NULL, &both, NULL), WSB_OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_fault fault = {0};
        assert_int_not_equal(wsg_routes_add(&t, rows[i].name, rows[i].path, rows[i].host, &both, &fault), WSB_OK);
        if (!strstr(fault.text, rows[i].want))
            fail_msg("'%s' does not say '%s'", fault.text, rows[i].want);
    }
    /* the same paths are fine for another host */
    assert_int_equal(wsg_routes_add(&t, "second", "/a/{other}", "h", &both, NULL), WSB_OK);
    struct wsb_fault fault = {0};
    assert_int_not_equal(wsg_routes_add(&t, "third", "/a/{x}", "H.", &both, &fault), WSB_OK); /* and that is this one */
    assert_non_null(strstr(fault.text, "same paths as route 'second'"));
    wsg_routes_deinit(&t);
}

static void test_a_route_without_a_path_is_only_asked(void **state)
{
    struct wsg_routes t;
    struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
    struct wsb_fault fault = {0};
    bool other;
    struct wsg_route_policy keyed = {.pin_key = "param:x"};
    (void)state;
    assert_int_equal(wsg_routes_init(&t, 4), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "door", NULL, NULL, &(struct wsg_route_policy){0}, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "all", "/{path*}", NULL, &ws_only, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "back", NULL, NULL, &(struct wsg_route_policy){0}, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&t, "key", NULL, NULL, &keyed, &fault), WSB_ERR_CONFIG);
    assert_string_equal(fault.text, "route 'key', pin_key: 'param:x': the path (none) has no parameter 'x'");
    wsg_routes_set_gatekeeper(&t, 1, "door");
    wsg_routes_seal(&t);
    assert_ptr_equal(wsg_routes_match(&t, wsb_span_str("h"), wsb_span_str("/"), WSG_KIND_WEBSOCKET, params, &other),
                     &t.routes[1]);
    assert_ptr_equal(t.routes[1].gatekeeper, wsg_routes_find(&t, wsb_span_str("door")));
    assert_null(wsg_routes_match(&t, wsb_span_str("h"), wsb_span_str("/"), WSG_KIND_HTTP, params, &other));
    wsg_routes_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_most_specific_route_wins),
        cmocka_unit_test(test_route_of_the_other_kind_is_told),
        cmocka_unit_test(test_routes_that_cannot_be_are_refused),
        cmocka_unit_test(test_a_route_without_a_path_is_only_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
