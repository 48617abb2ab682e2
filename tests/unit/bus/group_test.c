/* Handlers, pins and groups: who gets what, and that nothing is left behind. */
#include "support/test.h"

#include "bus/group.h"

static struct wsg_routes routes;

static int setup(void **state)
{
    static const struct wsg_route_policy policy = {.kinds = WSG_KIND_WEBSOCKET};
    (void)state;
    assert_int_equal(wsg_routes_init(&routes, 2), WSB_OK);
    assert_int_equal(wsg_routes_add(&routes, "a", "/a", NULL, &policy, NULL), WSB_OK);
    assert_int_equal(wsg_routes_add(&routes, "b", "/b", NULL, &policy, NULL), WSB_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wsg_routes_deinit(&routes);
    return 0;
}

static wsb_conn conn_at(uint32_t slot, uint32_t generation)
{
    return wsg_id_make((struct wsg_id_parts){1, generation, 0, slot});
}

static void serve(struct wsg_handler *h, uint16_t route)
{
    h->routes = malloc(sizeof *h->routes);
    h->routes[0] = route;
    h->route_count = 1;
}

static void test_pick_takes_the_one_with_fewest_connections(void **state)
{
    struct wsg_handlers t = {0};
    struct wsg_pins pins = {0};
    struct wsg_handler *x, *y, *z;
    struct wsg_pin *p;
    (void)state;
    assert_int_equal(wsg_handlers_add(&t, wsb_span_str("x"), &x), WSB_OK);
    assert_int_equal(wsg_handlers_add(&t, wsb_span_str("y"), &y), WSB_OK);
    assert_int_equal(wsg_handlers_add(&t, wsb_span_str("z"), &z), WSB_OK);
    serve(x, 0);
    serve(y, 0);
    serve(z, 1);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(wsg_pins_add(&pins, conn_at(i, 1), &routes.routes[0], &p), WSB_OK);
        wsg_pin_assign(p, wsg_handlers_pick(&t, &routes.routes[0], WSG_KIND_ALL, 0, NULL), NULL);
    }
    assert_int_equal(x->lane.count, 50);
    assert_int_equal(y->lane.count, 50);
    assert_int_equal(z->lane.count, 0);
    assert_ptr_equal(wsg_handlers_pick(&t, &routes.routes[0], WSG_KIND_ALL, 0, x), y);
    x->paused = true;
    assert_ptr_equal(wsg_handlers_pick(&t, &routes.routes[0], WSG_KIND_ALL, 0, NULL), y);
    y->is_dead = true;
    assert_ptr_equal(wsg_handlers_pick(&t, &routes.routes[0], WSG_KIND_ALL, 0, NULL), x);
    assert_null(wsg_handlers_pick(&t, &routes.routes[0], WSG_KIND_ALL, 0, x));
    wsg_pins_deinit(&pins);
    assert_int_equal(x->lane.count + y->lane.count, 0);
    wsg_handlers_deinit(&t);
}

static void test_handler_is_found_by_peer_and_id_and_ids_are_new(void **state)
{
    struct wsg_handlers t = {0};
    struct wsg_handler *x, *y;
    uint8_t peer[WSG_PEER_MAX + 1] = {0, 1, 2};
    (void)state;
    assert_int_equal(wsg_handlers_add(&t, wsb_span(peer, 5), &x), WSB_OK);
    assert_ptr_equal(wsg_handlers_by_peer(&t, wsb_span(peer, 5)), x);
    assert_null(wsg_handlers_by_peer(&t, wsb_span(peer, 4)));
    assert_ptr_equal(wsg_handlers_by_id(&t, x->id), x);
    uint32_t first = x->id;
    wsg_handlers_remove(&t, x);
    assert_int_equal(wsg_handlers_add(&t, wsb_span(peer, 5), &y), WSB_OK);
    assert_int_not_equal(y->id, first);
    assert_int_equal(wsg_handlers_add(&t, wsb_span(peer, sizeof peer), &x), WSB_ERR_PROTO);
    assert_int_equal(wsg_handlers_add(&t, wsb_span(peer, 0), &x), WSB_ERR_PROTO);
    wsg_handlers_deinit(&t);
}

static void test_pin_is_found_by_its_whole_id_only(void **state)
{
    struct wsg_pins pins = {0};
    struct wsg_pin *p;
    (void)state;
    assert_int_equal(wsg_pins_add(&pins, conn_at(1000, 7), &routes.routes[0], &p), WSB_OK);
    assert_ptr_equal(wsg_pins_find(&pins, conn_at(1000, 7)), p);
    assert_null(wsg_pins_find(&pins, conn_at(1000, 8)));
    assert_null(wsg_pins_find(&pins, conn_at(999, 7)));
    assert_null(wsg_pins_find(&pins, UINT64_MAX));
    assert_int_equal(wsg_pins_add(&pins, conn_at(1000, 8), &routes.routes[0], &p), WSB_ERR_EXISTS);
    wsg_pins_deinit(&pins);
    assert_int_equal(pins.count, 0);
}

static void test_group_lives_while_it_has_members(void **state)
{
    struct wsg_pins pins = {0};
    struct wsg_groups groups = {0};
    struct wsg_pin *p[10];
    struct wsb_span name = wsb_span_str("room:a");
    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(wsg_pins_add(&pins, conn_at(i, 1), &routes.routes[0], &p[i]), WSB_OK);
        assert_int_equal(wsg_groups_join(&groups, p[i], name), WSB_OK);
        assert_int_equal(wsg_groups_join(&groups, p[i], name), WSB_ERR_EXISTS); /* twice is once */
        assert_int_equal(wsg_groups_join(&groups, p[i], wsb_span_str("all")), WSB_OK);
    }
    assert_int_equal(wsg_groups_find(&groups, name)->count, 10);
    assert_int_equal(wsg_groups_leave(&groups, p[3], name), WSB_OK);
    assert_int_equal(wsg_groups_leave(&groups, p[3], name), WSB_ERR_NOT_FOUND);
    wsg_pins_remove(&pins, p[0]);
    wsg_pins_remove(&pins, p[9]);
    struct wsg_group *g = wsg_groups_find(&groups, name);
    assert_int_equal(g->count, 7);
    for (size_t i = 0; i < g->count; i++) { /* each still knows its place */
        assert_int_equal(g->members[i]->index, i);
        assert_ptr_not_equal(g->members[i]->pin, p[3]);
    }
    wsg_pins_deinit(&pins);
    assert_null(wsg_groups_find(&groups, name));
    assert_int_equal(groups.count, 0);
    wsg_groups_deinit(&groups);
}

static void test_group_names_and_numbers_have_limits(void **state)
{
    struct wsg_pins pins = {0};
    struct wsg_groups groups = {0};
    struct wsg_pin *p;
    char name[WSG_GROUP_NAME_MAX + 2];
    (void)state;
    memset(name, 'n', sizeof name);
    assert_int_equal(wsg_pins_add(&pins, conn_at(0, 1), &routes.routes[0], &p), WSB_OK);
    assert_int_equal(wsg_groups_join(&groups, p, wsb_span(name, WSG_GROUP_NAME_MAX + 1)), WSB_ERR_LIMIT);
    assert_int_equal(wsg_groups_join(&groups, p, wsb_span(name, 0)), WSB_ERR_LIMIT);
    for (int i = 0; i < WSG_GROUPS_PER_CONNECTION; i++) {
        int n = snprintf(name, sizeof name, "g%d", i);
        assert_int_equal(wsg_groups_join(&groups, p, wsb_span(name, (size_t)n)), WSB_OK);
    }
    assert_int_equal(wsg_groups_join(&groups, p, wsb_span_str("one more")), WSB_ERR_LIMIT);
    wsg_pins_deinit(&pins);
    wsg_groups_deinit(&groups);
}

/* A key stays where it is while handlers come and go, except what must move; weights are shares. */
static void test_keys_choose_with_little_movement(void **state)
{
    enum { KEYS = 20000, HANDLERS = 5 };
    struct wsg_handlers t = {0};
    struct wsg_handler *h[HANDLERS];
    static uint32_t before[KEYS];
    uint32_t count[HANDLERS + 1] = {0};
    (void)state;
    for (int i = 0; i < HANDLERS - 1; i++) {
        assert_int_equal(wsg_handlers_add(&t, wsb_span_str((char[]){(char)('a' + i), 0}), &h[i]), WSB_OK);
        serve(h[i], 0);
    }
    h[3]->weight = 2;
    for (uint64_t key = 1; key <= KEYS; key++) {
        before[key - 1] = wsg_handlers_pick(&t, &routes.routes[0], WSG_KIND_ALL, key, NULL)->id;
        count[before[key - 1]]++;
    }
    for (int i = 1; i <= 3; i++) /* a fifth each, and two fifths */
        assert_in_range(count[i], KEYS / 5 - KEYS / 50, KEYS / 5 + KEYS / 50);
    assert_in_range(count[4], KEYS * 2 / 5 - KEYS / 50, KEYS * 2 / 5 + KEYS / 50);

    assert_int_equal(wsg_handlers_add(&t, wsb_span_str("n"), &h[4]), WSB_OK);
    serve(h[4], 0);
    uint32_t moved = 0;
    for (uint64_t key = 1; key <= KEYS; key++) {
        uint32_t now = wsg_handlers_pick(&t, &routes.routes[0], WSG_KIND_ALL, key, NULL)->id;
        assert_true(now == before[key - 1] || now == h[4]->id); /* only to the new one */
        moved += now != before[key - 1];
        before[key - 1] = now;
    }
    assert_in_range(moved, KEYS / 6 - KEYS / 50, KEYS / 6 + KEYS / 50);
    h[1]->is_dead = true;
    for (uint64_t key = 1; key <= KEYS; key++) {
        uint32_t now = wsg_handlers_pick(&t, &routes.routes[0], WSG_KIND_ALL, key, NULL)->id;
        assert_true(now == before[key - 1] || before[key - 1] == h[1]->id); /* only from the dead one */
    }
    wsg_handlers_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_keys_choose_with_little_movement, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pick_takes_the_one_with_fewest_connections, setup, teardown),
        cmocka_unit_test(test_handler_is_found_by_peer_and_id_and_ids_are_new),
        cmocka_unit_test_setup_teardown(test_pin_is_found_by_its_whole_id_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group_lives_while_it_has_members, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group_names_and_numbers_have_limits, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
