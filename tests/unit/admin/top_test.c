/* The first so many connections: against sorting all of them, for every order, limit and direction. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/top.h"

enum { ROWS = 300 };

static const char *const names[] = {"age",      "idle",      "messages",    "messages_in", "messages_out", "bytes",
                                    "bytes_in", "bytes_out", "queued",      "dropped",     "rtt",          "handler",
                                    "route",    "peer",      "subprotocol", "id"};

static uint32_t seed;

static uint32_t next_random(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static struct wsg_top_row rows[ROWS];

/* Few different values, so that many are equal in what is sorted by. */
static void fill(uint32_t from)
{
    static const char *const routes[] = {"", "chat", "echo"};
    seed = from;
    for (size_t i = 0; i < ROWS; i++) {
        rows[i] = (struct wsg_top_row){.info = {.id = i * 7919 % ROWS + 1,
                                                .route = routes[next_random(3)],
                                                .opened_ms = next_random(20),
                                                .active_ms = next_random(20),
                                                .messages_in = next_random(9),
                                                .messages_out = next_random(9),
                                                .bytes_in = next_random(9),
                                                .bytes_out = next_random(9),
                                                .queued = next_random(4) ? 0 : UINT64_MAX - next_random(3),
                                                .dropped_out = next_random(3),
                                                .rtt_us = next_random(50)},
                                       .handler = next_random(4)};
        (void)snprintf(rows[i].info.peer, sizeof rows[i].info.peer, "10.0.0.%u:1", next_random(12));
        (void)snprintf(rows[i].info.subprotocol, sizeof rows[i].info.subprotocol, "%s", routes[next_random(3)]);
    }
}

/* What the header promises, said another way. */
static enum wsg_sort by;
static bool reverse;

static int compare(const void *a, const void *b)
{
    const struct wsg_top_row *p = a, *q = b;
    const struct wsg_conn_info *x = &p->info, *y = &q->info;
#define LARGEST(u, v) ((u) > (v) ? -1 : (u) < (v) ? 1 : 0)
    int order[WSG_SORTS] = {
        [WSG_SORT_AGE] = -LARGEST(x->opened_ms, y->opened_ms),
        [WSG_SORT_IDLE] = -LARGEST(x->active_ms, y->active_ms),
        [WSG_SORT_MESSAGES] = LARGEST(x->messages_in + x->messages_out, y->messages_in + y->messages_out),
        [WSG_SORT_MESSAGES_IN] = LARGEST(x->messages_in, y->messages_in),
        [WSG_SORT_MESSAGES_OUT] = LARGEST(x->messages_out, y->messages_out),
        [WSG_SORT_BYTES] = LARGEST(x->bytes_in + x->bytes_out, y->bytes_in + y->bytes_out),
        [WSG_SORT_BYTES_IN] = LARGEST(x->bytes_in, y->bytes_in),
        [WSG_SORT_BYTES_OUT] = LARGEST(x->bytes_out, y->bytes_out),
        [WSG_SORT_QUEUED] = LARGEST(x->queued, y->queued),
        [WSG_SORT_DROPPED] = LARGEST(x->dropped_out, y->dropped_out),
        [WSG_SORT_RTT] = LARGEST(x->rtt_us, y->rtt_us),
        [WSG_SORT_HANDLER] = -LARGEST(p->handler, q->handler),
        [WSG_SORT_ROUTE] = strcmp(x->route, y->route),
        [WSG_SORT_PEER] = strcmp(x->peer, y->peer),
        [WSG_SORT_SUBPROTOCOL] = strcmp(x->subprotocol, y->subprotocol),
        [WSG_SORT_ID] = -LARGEST(x->id, y->id),
    };
    int first = reverse ? -order[by] : order[by];
    return first ? first : -LARGEST(x->id, y->id);
}

static void assert_first(size_t limit, size_t count)
{
    static struct wsg_top_row want[ROWS];
    struct wsg_top t = {.by = by, .reverse = reverse, .limit = limit};
    size_t kept = !limit || limit > count ? count : limit;
    memcpy(want, rows, sizeof want);
    qsort(want, count, sizeof *want, compare);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(wsg_top_add(&t, &rows[i].info, rows[i].handler), WSB_OK);
    assert_int_equal(t.count, kept);
    assert_true(!limit || t.cap <= limit); /* memory is that of what is shown */
    size_t rounds = 1;
    while (!wsg_top_sort(&t, 16))
        rounds++;
    assert_true(rounds <= kept / 16 + 1);
    assert_true(wsg_top_sort(&t, 1));
    for (size_t i = 0; i < kept; i++) {
        if (wsg_top_at(&t, i)->info.id != want[i].info.id)
            fail_msg("by %s%s, limit %zu of %zu: place %zu", names[by], reverse ? " reversed" : "", limit, count, i);
        assert_int_equal(wsg_top_at(&t, i)->handler, want[i].handler);
    }
    wsg_top_deinit(&t);
}

static void test_the_first_are_the_first(void **state)
{
    static const size_t limits[] = {0, 1, 2, 10, 63, 64, 65, 299, 300, 1000};
    (void)state;
    for (uint32_t round = 0; round < 3; round++) {
        fill(round);
        for (int i = 0; i < 2 * WSG_SORTS; i++) {
            by = (enum wsg_sort)(i / 2);
            reverse = i % 2;
            for (size_t k = 0; k < sizeof limits / sizeof *limits; k++)
                assert_first(limits[k], ROWS);
            assert_first(10, 0);
            assert_first(10, 1);
            assert_first(0, 2);
        }
    }
}

static void test_orders_have_names(void **state)
{
    struct wsb_fault fault = {0};
    enum wsg_sort sort = WSG_SORTS;
    (void)state;
    assert_int_equal(sizeof names / sizeof *names, WSG_SORTS);
    for (int i = 0; i < WSG_SORTS; i++) {
        assert_int_equal(wsg_sort_parse(names[i], &sort, &fault), WSB_OK);
        assert_int_equal(sort, i);
    }
    sort = WSG_SORT_RTT;
    assert_int_equal(wsg_sort_parse("ages", &sort, &fault), WSB_ERR_PROTO);
    assert_int_equal(sort, WSG_SORT_RTT);
    for (int i = 0; i < WSG_SORTS; i++)
        assert_non_null(strstr(fault.text, names[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_are_the_first),
        cmocka_unit_test(test_orders_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
