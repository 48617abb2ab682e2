/* Which handler a key chooses, and that it chooses the same one again when that is started anew. */
#include "support/test.h"

#include "bus/handler.h"

enum { KEYS = 300, HANDLERS = 5 };

struct world {
    struct wsg_routes routes;
    struct wsg_handlers handlers;
    uint8_t peers;
};

static struct wsg_handler *add(struct world *w, const char *name)
{
    struct wsg_handler *h;
    uint8_t peer = ++w->peers;
    assert_int_equal(wsg_handlers_add(&w->handlers, wsb_span(&peer, 1), &h), WSB_OK);
    h->routes = calloc(1, sizeof *h->routes);
    h->route_count = 1;
    h->kinds = WSG_KIND_WEBSOCKET | WSG_KIND_HTTP;
    wsg_handlers_name(&w->handlers, h, wsb_span_str(name));
    return h;
}

static int setup(void **state)
{
    static const struct wsg_route_policy policy = {.kinds = WSG_KIND_WEBSOCKET};
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(wsg_routes_init(&w->routes, 1), WSB_OK);
    assert_int_equal(wsg_routes_add(&w->routes, "r", "/r", NULL, &policy, NULL), WSB_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    wsg_handlers_deinit(&w->handlers);
    wsg_routes_deinit(&w->routes);
    free(w);
    return 0;
}

static void choose(struct world *w, uint64_t identities[KEYS])
{
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t key = (i + 1) * 0x9e3779b97f4a7c15u;
        identities[i] = wsg_handlers_pick(&w->handlers, &w->routes.routes[0], WSG_KIND_WEBSOCKET, key, NULL)->identity;
    }
}

static void test_one_that_is_started_anew_has_its_keys_again(void **state)
{
    struct world *w = *state;
    struct wsg_handler *all[HANDLERS];
    uint64_t before[KEYS], without[KEYS], after[KEYS];
    size_t moved = 0;
    for (int i = 0; i < HANDLERS; i++)
        all[i] = add(w, "worker");
    choose(w, before);
    uint64_t gone = all[2]->identity;
    wsg_handlers_remove(&w->handlers, all[2]);
    choose(w, without);
    for (int i = 0; i < KEYS; i++) {
        if (before[i] != gone)
            assert_true(without[i] == before[i]); /* nobody else's key moves */
        moved += before[i] != without[i];
    }
    assert_in_range(moved, KEYS / HANDLERS / 2, KEYS / HANDLERS * 2);
    assert_true(add(w, "worker")->identity == gone);
    choose(w, after);
    assert_memory_equal(after, before, sizeof before);
}

static void test_names_and_slots_are_told_apart(void **state)
{
    struct world *w = *state;
    struct wsg_handler *a = add(w, "a"), *a1 = add(w, "a"), *b = add(w, "b");
    assert_int_equal(a->slot, 0);
    assert_int_equal(a1->slot, 1);
    assert_int_equal(b->slot, 0);
    assert_true(a->identity != a1->identity && a->identity != b->identity && a1->identity != b->identity);
    uint64_t was = a1->identity;
    wsg_handlers_remove(&w->handlers, a);
    wsg_handlers_name(&w->handlers, a1, wsb_span_str("a")); /* HELLO again: it keeps what it has */
    assert_true(a1->identity == was);
    wsg_handlers_name(&w->handlers, a1, wsb_span_str("b"));
    assert_int_equal(a1->slot, 1);
}

static void test_a_long_name_is_cut_between_characters(void **state)
{
    struct world *w = *state;
    char name[100];
    memset(name, 'x', sizeof name);
    memcpy(name + 63, "\xc3\xa9", 2);
    struct wsg_handler *h = add(w, "short");
    wsg_handlers_name(&w->handlers, h, wsb_span(name, sizeof name));
    assert_int_equal(strlen(h->name), 63);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_one_that_is_started_anew_has_its_keys_again),
        TEST(test_names_and_slots_are_told_apart),
        TEST(test_a_long_name_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
