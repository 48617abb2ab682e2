/* What is kept where it was sent from: recalled, settled before it is sent again, given back. */
#include "support/test.h"

#include <string.h>

#include "bus/backlog.h"

struct sender { /* as a link would be */
    struct wsb_loan *oldest, *newest;
    uint8_t ring[64];
};

static struct wsg_kept *lend(struct sender *s, struct wsg_kept_pool *pool, struct wsg_backlog *b, uint64_t seq,
                             uint64_t place, const char *text)
{
    struct wsg_backlog_sum sum = {0};
    struct wsg_kept *k =
        wsg_kept_new(pool, &(struct wsb_header){.type = WSB_DATA, .seq = seq, .payload_len = (uint32_t)strlen(text)});
    assert_non_null(k);
    memcpy(s->ring + place, text, strlen(text));
    wsb_loan_begin(&k->loan, &s->oldest, &s->newest, place);
    wsg_backlog_keep(b, k, s->ring + place, &sum);
    assert_int_equal(sum.messages, 1);
    return k;
}

static void assert_payload(const struct wsg_kept *k, const char *text)
{
    struct wsb_envelope e = wsg_kept_envelope(k);
    assert_int_equal(e.payload.len, strlen(text));
    assert_memory_equal(e.payload.ptr, text, strlen(text));
}

static void test_backlog_is_sent_again_from_a_copy(void **state)
{
    struct sender s = {0};
    struct wsg_kept_pool pool = {0};
    struct wsg_backlog b = {0};
    struct wsg_backlog_sum freed = {0};
    (void)state;
    struct wsg_kept *first = lend(&s, &pool, &b, 1, 0, "hello");
    struct wsg_kept *second = lend(&s, &pool, &b, 2, 16, "world");
    wsg_backlog_rewind(&b); /* its owner is another, perhaps on the same link */
    assert_ptr_equal(b.unsent, first);
    assert_true(wsg_kept_settle(first));
    assert_false(wsb_loan_is_out(&first->loan));
    assert_ptr_equal(s.oldest, &second->loan);
    memset(s.ring, 'x', 16); /* it is sent to where it lay */
    assert_payload(first, "hello");
    assert_payload(second, "world");
    assert_true(wsg_kept_settle(first)); /* again: nothing to do */
    wsg_backlog_clear(&b, &freed);
    assert_int_equal(freed.messages, 2);
    assert_null(s.oldest);
    assert_null(s.newest);
    wsg_kept_pool_deinit(&pool);
}

static void test_backlog_recall_and_acknowledge_in_any_order(void **state)
{
    struct sender s = {0};
    struct wsg_kept_pool pool = {0};
    struct wsg_backlog b = {0};
    struct wsg_backlog_sum freed = {0};
    (void)state;
    (void)lend(&s, &pool, &b, 1, 0, "a");
    struct wsg_kept *second = lend(&s, &pool, &b, 2, 16, "b");
    struct wsg_kept *third = lend(&s, &pool, &b, 3, 32, "c");
    assert_true(second->loan.recall(&second->loan));
    wsb_loan_end(&second->loan);
    memset(s.ring + 16, 'x', 16);
    assert_payload(second, "b");
    wsg_backlog_acked(&b, 2, &freed);
    assert_int_equal(freed.messages, 2);
    assert_ptr_equal(b.first, third);
    assert_ptr_equal(s.oldest, &third->loan);
    assert_int_equal(pool.count, 2); /* to be used again */
    assert_non_null(lend(&s, &pool, &b, 4, 48, "d"));
    assert_int_equal(pool.count, 1);
    wsg_backlog_clear(&b, &freed);
    assert_int_equal(pool.count, 3);
    wsg_kept_pool_deinit(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backlog_is_sent_again_from_a_copy),
        cmocka_unit_test(test_backlog_recall_and_acknowledge_in_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
