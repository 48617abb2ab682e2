/*
 * Tables whose keys strangers choose: names that fall together in a hash without a seed are spread, and a table for which there is no
 * memory refuses the element and stays as it was.
 */
#include "support/test.h"

#include "bus/group.h"

static long allocations_left = -1; /* before they fail; negative: they do not */

static bool fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

/* What uthash does by itself. */
static unsigned jenkins(const char *key, size_t len)
{
    unsigned hash;
    HASH_JEN(key, len, hash);
    return hash;
}

static void test_names_that_were_chosen_to_fall_together_do_not(void **state)
{
    enum { NAMES = 40, BITS = 0xfff };
    bool seen[BITS + 1] = {false};
    unsigned names = 0, places = 0;
    (void)state;
    for (unsigned i = 0; names < NAMES; i++) {
        char name[24];
        size_t len = (size_t)snprintf(name, sizeof name, "room:%u", i);
        if ((jenkins(name, len) & BITS) != 7)
            continue;
        names++;
        unsigned place = wsg_table_hash(name, len) & BITS;
        places += !seen[place];
        seen[place] = true;
    }
    assert_in_range(places, NAMES - 5, NAMES);
    assert_true(wsg_table_seed.k0 || wsg_table_seed.k1);
}

static void test_the_seed_decides(void **state)
{
    struct wsb_seed kept = wsg_table_seed;
    (void)state;
    unsigned before = wsg_table_hash("a", 1);
    wsg_table_seed.k0 ^= 1;
    assert_int_not_equal(wsg_table_hash("a", 1), before);
    wsg_table_seed = kept;
    assert_int_equal(wsg_table_hash("a", 1), before);
}

/* The 1st, 2nd, 3rd … allocation fails: no membership is half there, and the process goes on. */
static void test_no_memory_refuses_one_and_harms_no_other(void **state)
{
    enum { GROUPS = 300 /* the table grows meanwhile */, MOST = 2000 };
    static const struct wsg_route_policy policy = {.kinds = WSG_KIND_WEBSOCKET};
    struct wsg_routes routes;
    (void)state;
    assert_int_equal(wsg_routes_init(&routes, 1), WSB_OK);
    assert_int_equal(wsg_routes_add(&routes, "r", "/r", NULL, &policy, NULL), WSB_OK);
    for (long fail_at = 0; fail_at < MOST; fail_at += fail_at < 50 ? 1 : 37) {
        struct wsg_groups groups = {.per_connection = GROUPS};
        struct wsg_pins pins = {0};
        struct wsg_pin *p;
        assert_int_equal(wsg_pins_add(&pins, wsg_id_make((struct wsg_id_parts){1, 1, 0, 1}), &routes.routes[0], &p),
                         WSB_OK);
        unsigned joined = 0;
        allocations_left = fail_at;
        for (int i = 0; i < GROUPS; i++) {
            char name[24];
            struct wsb_span span = wsb_span(name, (size_t)snprintf(name, sizeof name, "g%d", i));
            wsb_err err = wsg_groups_join(&groups, p, span);
            assert_true(err == WSB_OK || err == WSB_ERR_NOMEM);
            joined += !err;
            assert_int_equal(wsg_groups_find(&groups, span) != NULL, !err);
        }
        allocations_left = -1;
        assert_in_range(joined, GROUPS - 1, GROUPS);
        assert_int_equal(groups.count, joined);
        wsg_pins_deinit(&pins);
        wsg_groups_deinit(&groups);
    }
    wsg_routes_deinit(&routes);
}

/* A table that grows looks at all that is in it: whatever is in many shards does so a part at a time. */
static void test_groups_are_spread_over_shards(void **state)
{
    (void)state;
    enum { NAMES = 20000 };
    struct wsg_groups groups = {.per_connection = NAMES};
    struct wsg_pin pin = {0};
    size_t seen = 0;
    for (int i = 0; i < NAMES; i++) {
        char name[24];
        size_t len = (size_t)snprintf(name, sizeof name, "group %d", i);
        pin.members = NULL; /* what it is in need not be looked at each time; all are freed below */
        assert_int_equal(wsg_groups_join(&groups, &pin, wsb_span(name, len)), WSB_OK);
        free(pin.members);
    }
    pin.members = NULL;
    assert_int_equal(groups.count, NAMES);
    for (size_t i = 0; i < WSG_TABLE_SHARDS; i++)
        assert_in_range(HASH_COUNT(groups.shards[i]), NAMES / WSG_TABLE_SHARDS / 2, NAMES / WSG_TABLE_SHARDS * 2);
    for (const struct wsg_group *g = NULL; (g = wsg_groups_next(&groups, g)) != NULL; seen++) {
        assert_ptr_equal(wsg_groups_find(&groups, wsb_span(g->name, g->name_len)), g);
    }
    assert_int_equal(seen, NAMES);
    wsg_groups_deinit(&groups);
    assert_int_equal(groups.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_that_were_chosen_to_fall_together_do_not),
        cmocka_unit_test(test_the_seed_decides),
        cmocka_unit_test(test_no_memory_refuses_one_and_harms_no_other),
        cmocka_unit_test(test_groups_are_spread_over_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
