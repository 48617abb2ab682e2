/* The outbox: what goes in comes out, in order; what is not kept was never there. */
#include "support/test.h"

#include "session/outbox.h"

static struct wsg_out entry(enum wsg_outbox_kind kind, uint8_t type, const char *payload, const char *meta)
{
    return (struct wsg_out){.kind = kind,
                            .route = 7,
                            .origin = 9,
                            .envelope = {.header = {.type = type, .conn = 5},
                                         .payload = wsb_span_str(payload),
                                         .meta = wsb_span_str(meta)}};
}

static void test_entries_come_out_in_order(void **state)
{
    struct wsg_outbox o;
    struct wsg_out e, got;
    (void)state;
    wsg_outbox_init(&o, 0);
    e = entry(WSG_OUT_EVENT, WSB_OPEN, "", "{}");
    assert_int_equal(wsg_outbox_put(&o, &e), WSB_OK);
    e = entry(WSG_OUT_REPLY, WSB_OUTCOME, "abc", NULL);
    assert_int_equal(wsg_outbox_put(&o, &e), WSB_OK);
    struct wsb_span rest = wsb_buf_span(&o.buf);
    assert_true(wsg_outbox_next(&rest, &got));
    assert_int_equal(got.kind, WSG_OUT_EVENT);
    assert_int_equal(got.route, 7);
    assert_int_equal(got.envelope.header.type, WSB_OPEN);
    assert_int_equal(got.envelope.header.flags, WSB_FLAG_META);
    assert_true(wsb_span_eq_str(got.envelope.meta, "{}"));
    assert_true(wsg_outbox_next(&rest, &got));
    assert_int_equal(got.origin, 9);
    assert_int_equal(got.envelope.header.flags, 0);
    assert_true(wsb_span_eq_str(got.envelope.payload, "abc"));
    assert_false(wsg_outbox_next(&rest, &got));
    wsg_outbox_deinit(&o);
}

static void test_entry_that_is_not_kept_leaves_no_trace(void **state)
{
    struct wsg_outbox o;
    struct wsg_out e = entry(WSG_OUT_EVENT, WSB_DATA, NULL, NULL), got;
    uint8_t *payload;
    (void)state;
    wsg_outbox_init(&o, 0);
    e.envelope.header.payload_len = 4;
    assert_int_equal(wsg_outbox_begin(&o, &e, &payload), WSB_OK);
    memcpy(payload, "lost", 4);
    wsg_outbox_end(&o, /*keep=*/false);
    assert_int_equal(wsg_outbox_begin(&o, &e, &payload), WSB_OK);
    memcpy(payload, "kept", 4);
    wsg_outbox_end(&o, /*keep=*/true);
    struct wsb_span rest = wsb_buf_span(&o.buf);
    assert_true(wsg_outbox_next(&rest, &got));
    assert_true(wsb_span_eq_str(got.envelope.payload, "kept"));
    assert_false(wsg_outbox_next(&rest, &got));
    wsg_outbox_deinit(&o);
}

static void test_full_outbox_is_a_limit(void **state)
{
    struct wsg_outbox o;
    struct wsg_out e = entry(WSG_OUT_EVENT, WSB_DATA, "0123456789", NULL);
    (void)state;
    wsg_outbox_init(&o, 100);
    assert_int_equal(wsg_outbox_put(&o, &e), WSB_OK);
    size_t len = o.buf.len;
    assert_int_equal(wsg_outbox_put(&o, &e), WSB_ERR_LIMIT);
    assert_int_equal(o.buf.len, len);
    wsg_outbox_deinit(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_come_out_in_order),
        cmocka_unit_test(test_entry_that_is_not_kept_leaves_no_trace),
        cmocka_unit_test(test_full_outbox_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
