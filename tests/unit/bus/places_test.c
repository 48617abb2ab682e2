/* Places for clients that wait: how many there are, and what one address may have of them. */
#include "support/test.h"

#include <pthread.h>

#include "bus/places.h"

static const struct wsb_seed seed = {1, 2};

static struct wsb_ip address(uint32_t n)
{
    struct wsb_ip ip = wsb_ip_unknown();
    memset(ip.at, 0, sizeof ip.at);
    ip.at[10] = ip.at[11] = 0xff; /* IPv4: each is a household */
    for (size_t i = 0; i < 4; i++)
        ip.at[12 + i] = (uint8_t)(n >> (24 - 8 * i));
    return ip;
}

static wsg_place take(struct wsg_places *p, uint32_t who)
{
    struct wsb_ip ip = address(who);
    return wsg_places_take(p, &seed, &ip);
}

/* As many as it gets. */
static uint32_t take_all(struct wsg_places *p, uint32_t who)
{
    uint32_t n = 0;
    while (take(p, who))
        n++;
    return n;
}

static void test_one_address_has_half_and_others_get_in(void **state)
{
    struct wsg_places p;
    (void)state;
    assert_int_equal(wsg_places_init(&p, 16384), WSB_OK);
    assert_int_equal(take_all(&p, 1), 8192);
    for (uint32_t who = 2; who < 1000; who++)
        assert_true(take(&p, who));
    assert_int_equal(take(&p, 1), 0);
    assert_int_equal(wsg_places_taken(&p), 8192 + 998);
    wsg_places_deinit(&p);
}

static void test_greedy_ones_leave_room_for_one_that_is_not(void **state)
{
    struct wsg_places p;
    (void)state;
    assert_int_equal(wsg_places_init(&p, 16384), WSB_OK);
    for (uint32_t greedy = 1; greedy <= 10; greedy++)
        assert_true(take_all(&p, greedy) > 0);
    assert_true(wsg_places_taken(&p) < 16384);
    assert_true(take(&p, 99));
    wsg_places_deinit(&p);
}

static void test_there_are_never_more_than_there_may_be(void **state)
{
    (void)state;
    for (uint32_t max = 1; max < 9; max++) {
        struct wsg_places p;
        wsg_place places[9] = {0};
        assert_int_equal(wsg_places_init(&p, max), WSB_OK);
        for (uint32_t who = 0; who < max; who++)
            assert_true(places[who] = take(&p, who));
        assert_int_equal(take(&p, 100), 0);
        wsg_places_give_back(&p, &places[0]);
        wsg_places_give_back(&p, &places[0]); /* there is none any more */
        assert_int_equal(places[0], 0);
        assert_int_equal(wsg_places_taken(&p), max - 1);
        assert_true(take(&p, 100));
        assert_int_equal(take(&p, 101), 0);
        wsg_places_deinit(&p);
    }
}

static void test_what_was_given_back_is_no_part_of_a_share(void **state)
{
    struct wsg_places p;
    (void)state;
    assert_int_equal(wsg_places_init(&p, 4), WSB_OK);
    for (int i = 0; i < 1000; i++) {
        wsg_place a = take(&p, 1);
        wsg_place b = take(&p, 1);
        assert_true(a && b && !take(&p, 1));
        wsg_places_give_back(&p, &a);
        wsg_places_give_back(&p, &b);
    }
    assert_int_equal(wsg_places_taken(&p), 0);
    wsg_places_deinit(&p);
}

static void test_a_household_is_one_address(void **state)
{
    struct wsg_places p;
    struct wsb_ip ip;
    (void)state;
    assert_int_equal(wsg_places_init(&p, 8), WSB_OK);
    assert_true(wsb_ip_parse(wsb_span_str("2001:db8::1"), &ip));
    uint32_t n = 0;
    for (; n < 8 && wsg_places_take(&p, &seed, &ip); n++)
        ip.at[15]++;
    assert_int_equal(n, 4);
    wsg_places_deinit(&p);
}

static void test_without_a_limit_they_are_counted(void **state)
{
    struct wsg_places p;
    wsg_place last = 0;
    (void)state;
    assert_int_equal(wsg_places_init(&p, 0), WSB_OK);
    for (int i = 0; i < 1000; i++)
        assert_true(last = take(&p, 1));
    wsg_places_give_back(&p, &last);
    assert_int_equal(wsg_places_taken(&p), 999);
    wsg_places_deinit(&p);
}

enum { THREADS = 4, TURNS = 20000, MAX = 3 };

struct crowd {
    struct wsg_places places;
    _Atomic uint32_t holders, over; /* now; times that there were too many */
    _Atomic uint32_t next;
};

/* All of one address: it has half of them, and no more than one for each thread that races. */
static void *come_and_stay(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < TURNS; i++) {
        wsg_place place = take(&c->places, 7);
        if (!place)
            continue;
        c->over += atomic_fetch_add(&c->holders, 1) >= TURNS / 2 + THREADS - 1;
        if (i % 2) {
            atomic_fetch_sub(&c->holders, 1);
            wsg_places_give_back(&c->places, &place);
        }
    }
    return NULL;
}

static void *come_and_go(void *arg)
{
    struct crowd *c = arg;
    uint32_t who = atomic_fetch_add(&c->next, 1);
    for (int i = 0; i < TURNS; i++) {
        wsg_place place = take(&c->places, who);
        if (!place)
            continue;
        c->over += atomic_fetch_add(&c->holders, 1) >= MAX;
        atomic_fetch_sub(&c->holders, 1);
        wsg_places_give_back(&c->places, &place);
    }
    return NULL;
}

static void test_threads_that_race_never_have_more(void **state)
{
    static struct crowd c;
    pthread_t threads[THREADS];
    (void)state;
    assert_int_equal(wsg_places_init(&c.places, MAX), WSB_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &c), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(c.over, 0);
    assert_int_equal(wsg_places_taken(&c.places), 0);
    wsg_places_deinit(&c.places);
}

static void test_threads_of_one_address_have_half_together(void **state)
{
    static struct crowd c;
    pthread_t threads[THREADS];
    (void)state;
    assert_int_equal(wsg_places_init(&c.places, TURNS), WSB_OK);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_stay, &c), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(c.over, 0);
    assert_int_equal(wsg_places_taken(&c.places), c.holders);
    c.holders += take_all(&c.places, 7);
    assert_in_range(c.holders, TURNS / 2, TURNS / 2 + THREADS - 1);
    assert_true(take(&c.places, 8));
    wsg_places_deinit(&c.places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_address_has_half_and_others_get_in),
        cmocka_unit_test(test_greedy_ones_leave_room_for_one_that_is_not),
        cmocka_unit_test(test_there_are_never_more_than_there_may_be),
        cmocka_unit_test(test_what_was_given_back_is_no_part_of_a_share),
        cmocka_unit_test(test_a_household_is_one_address),
        cmocka_unit_test(test_without_a_limit_they_are_counted),
        cmocka_unit_test(test_threads_that_race_never_have_more),
        cmocka_unit_test(test_threads_of_one_address_have_half_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
