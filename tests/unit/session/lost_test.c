/* The list of connections with a hole: in order while it has room, and all of them when it has none. */
#include "support/test.h"

#include "session/lost.h"

static void test_ids_come_out_once_and_too_many_are_all(void **state)
{
    static struct wsg_lost l;
    wsb_conn ids[WSG_LOST_MAX];
    bool all;
    (void)state;
    wsg_lost_init(&l);
    assert_false(wsg_lost_has(&l));
    wsg_lost_note(&l, (const wsb_conn[]){5, 7}, 2);
    wsg_lost_note(&l, (const wsb_conn[]){9}, 1);
    assert_true(wsg_lost_has(&l));
    assert_int_equal(wsg_lost_take(&l, ids, &all), 3);
    assert_false(all);
    assert_int_equal(ids[0] * 100 + ids[1] * 10 + ids[2], 579);
    assert_false(wsg_lost_has(&l));
    for (wsb_conn i = 0; i <= WSG_LOST_MAX; i++)
        wsg_lost_note(&l, &i, 1);
    assert_int_equal(wsg_lost_take(&l, ids, &all), 0);
    assert_true(all);
    wsg_lost_note(&l, (const wsb_conn[]){5}, 1);
    assert_int_equal(wsg_lost_take(&l, ids, &all), 1);
    assert_false(all);
    wsg_lost_deinit(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids_come_out_once_and_too_many_are_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
