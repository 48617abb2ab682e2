/* Connection ids and places: an id is never good for two holders. */
#include "support/test.h"

#include "bus/slots.h"

static const uint64_t epoch = 0x1234567890abcdef;
static const struct wsb_seed seed = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
static const struct wsb_seed other_seed = {1, 2};

static void test_id_has_its_parts_and_its_text(void **state)
{
    struct wsg_id_parts p = {.epoch_tag = 0x3abc, .generation = 0x2abcdef, .worker = 63, .slot = WSG_ID_SLOTS - 1};
    wsb_conn id = wsg_id_make(p), parsed;
    char text[20];
    (void)state;
    struct wsg_id_parts q = wsg_id_parts(id);
    assert_int_equal(q.epoch_tag, p.epoch_tag);
    assert_int_equal(q.generation, p.generation);
    assert_int_equal(q.worker, p.worker);
    assert_int_equal(q.slot, p.slot);
    snprintf(text, sizeof text, "%016llx", (unsigned long long)id);
    assert_true(wsg_id_parse(text, &parsed));
    assert_int_equal(parsed, id);
}

static void test_id_text_is_16_lower_case_digits(void **state)
{
    static const char *const bad[] = {
        "", "0", "123456789abcdef", "123456789abcdef01", "123456789ABCDEF0", "123456789abcdefg", " 23456789abcdef0"};
    wsb_conn id;
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(wsg_id_parse(bad[i], &id));
    assert_true(wsg_id_parse("0123456789abcdef", &id));
    assert_int_equal(id, 0x0123456789abcdef);
}

static void test_epoch_tag_is_never_0(void **state)
{
    (void)state;
    assert_int_not_equal(wsg_epoch_tag(0), 0);
    for (uint64_t e = 1; e < 100000; e++)
        assert_in_range(wsg_epoch_tag(e * 0x9e3779b97f4a7c15u), 1, (1 << WSG_ID_EPOCH_BITS) - 1);
}

static void test_removed_id_is_gone_and_never_comes_back(void **state)
{
    struct wsg_slots s;
    wsb_conn first, again;
    void *found;
    int a, b;
    (void)state;
    wsg_slots_init(&s, epoch, &seed, 3);
    assert_int_equal(wsg_slots_add(&s, &a, &first), WSB_OK);
    assert_int_equal(wsg_slots_find(&s, first, &found), WSB_OK);
    assert_ptr_equal(found, &a);
    wsg_slots_remove(&s, first);
    assert_int_equal(wsg_slots_find(&s, first, &found), WSB_ERR_GONE);
    for (int i = 0; i < 1000; i++) { /* every place comes round again, with other generations */
        assert_int_equal(wsg_slots_add(&s, &b, &again), WSB_OK);
        assert_int_not_equal(again, first);
        wsg_slots_remove(&s, again);
    }
    assert_int_equal(wsg_slots_find(&s, first, &found), WSB_ERR_GONE);
    wsg_slots_deinit(&s);
}

static void test_foreign_ids_are_stale(void **state)
{
    struct wsg_slots s, other;
    wsb_conn id, foreign;
    void *found;
    int a;
    (void)state;
    wsg_slots_init(&s, epoch, &seed, 0);
    wsg_slots_init(&other, epoch + 1, &other_seed, 0);
    assert_int_equal(wsg_slots_add(&s, &a, &id), WSB_OK);
    assert_int_equal(wsg_slots_add(&other, &a, &foreign), WSB_OK);
    assert_int_equal(wsg_slots_find(&s, foreign, &found), WSB_ERR_STALE);
    assert_int_equal(wsg_slots_find(&s, 0, &found), WSB_ERR_STALE);
    assert_int_equal(wsg_slots_find(&s, UINT64_MAX, &found), WSB_ERR_STALE);
    struct wsg_id_parts p = wsg_id_parts(id);
    p.worker = 1;
    assert_int_equal(wsg_slots_find(&s, wsg_id_make(p), &found), WSB_ERR_STALE);
    p = wsg_id_parts(id);
    p.generation = wsg_generation_of(&seed, p.slot, 1); /* the future */
    assert_int_equal(wsg_slots_find(&s, wsg_id_make(p), &found), WSB_ERR_STALE);
    wsg_slots_deinit(&s);
    wsg_slots_deinit(&other);
}

static void test_generations_come_once_each_and_in_no_order(void **state)
{
    enum { SOME = 1 << 16 };
    static bool seen[WSG_ID_GENERATIONS];
    unsigned neighbours = 0;
    (void)state;
    memset(seen, 0, sizeof seen);
    for (uint32_t n = 0, last = 0; n < WSG_ID_GENERATIONS; n += n < SOME ? 1 : 997) {
        uint32_t g = wsg_generation_of(&seed, 5, n);
        assert_in_range(g, 0, WSG_ID_GENERATIONS - 1);
        assert_false(seen[g]);
        seen[g] = true;
        assert_int_equal(wsg_generation_nth(&seed, 5, g), n);
        neighbours += n > 0 && (g > last ? g - last : last - g) <= 64;
        last = g;
    }
    assert_in_range(neighbours, 0, 16); /* by chance one in half a million */
    assert_int_not_equal(wsg_generation_of(&seed, 6, 0), wsg_generation_of(&seed, 5, 0));
    assert_int_not_equal(wsg_generation_of(&other_seed, 5, 0), wsg_generation_of(&seed, 5, 0));
}

static void test_renewed_holder_has_another_id(void **state)
{
    struct wsg_slots s;
    wsb_conn id, old;
    void *found;
    int a;
    (void)state;
    wsg_slots_init(&s, epoch, &seed, 0);
    assert_int_equal(wsg_slots_add(&s, &a, &id), WSB_OK);
    old = id;
    assert_int_equal(wsg_slots_renew(&s, &id), WSB_OK);
    assert_int_not_equal(id, old);
    assert_int_equal(wsg_slots_find(&s, old, &found), WSB_ERR_GONE);
    assert_int_equal(wsg_slots_find(&s, id, &found), WSB_OK);
    assert_int_equal(s.used, 1);
    wsg_slots_deinit(&s);
}

static void test_place_without_generations_left_is_retired(void **state)
{
    struct wsg_slots s;
    wsb_conn id, next;
    void *found;
    int a;
    (void)state;
    wsg_slots_init(&s, epoch, &seed, 0);
    assert_int_equal(wsg_slots_add(&s, &a, &id), WSB_OK);
    uint32_t at = wsg_id_parts(id).slot;
    struct wsg_id_parts p = wsg_id_parts(id);
    s.slots[at].nth = WSG_ID_GENERATIONS - 1; /* as after 67 million holders */
    p.generation = s.slots[at].generation = wsg_generation_of(&seed, at, WSG_ID_GENERATIONS - 1);
    id = wsg_id_make(p);
    next = id;
    assert_int_equal(wsg_slots_renew(&s, &next), WSB_OK);
    assert_int_not_equal(wsg_id_parts(next).slot, at);
    assert_int_equal(wsg_slots_find(&s, id, &found), WSB_ERR_GONE);
    assert_int_equal(wsg_slots_find(&s, next, &found), WSB_OK);
    for (int i = 0; i < 500; i++) { /* nobody gets that place again */
        wsb_conn other;
        assert_int_equal(wsg_slots_add(&s, &a, &other), WSB_OK);
        assert_int_not_equal(wsg_id_parts(other).slot, at);
    }
    wsg_slots_deinit(&s);
}

static void test_full_table_is_a_limit(void **state)
{
    struct wsg_slots s;
    wsb_conn id;
    int a;
    (void)state;
    wsg_slots_init(&s, epoch, &seed, 0);
    for (int i = 0; i < WSG_ID_SLOTS; i++)
        assert_int_equal(wsg_slots_add(&s, &a, &id), WSB_OK);
    assert_int_equal(wsg_slots_add(&s, &a, &id), WSB_ERR_LIMIT);
    wsg_slots_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_has_its_parts_and_its_text),
        cmocka_unit_test(test_id_text_is_16_lower_case_digits),
        cmocka_unit_test(test_epoch_tag_is_never_0),
        cmocka_unit_test(test_removed_id_is_gone_and_never_comes_back),
        cmocka_unit_test(test_foreign_ids_are_stale),
        cmocka_unit_test(test_generations_come_once_each_and_in_no_order),
        cmocka_unit_test(test_renewed_holder_has_another_id),
        cmocka_unit_test(test_place_without_generations_left_is_retired),
        cmocka_unit_test(test_full_table_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
