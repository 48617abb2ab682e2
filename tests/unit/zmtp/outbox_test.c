/*
 * What leaves for a peer: the frames of the protocol, whatever is written of them at a time, sealed or not, in any steps; and
 * every block is freed with what it was charged.
 */
#include "support/test.h"

#include "support/curve_client.h"
#include "zmtp/frame.h"
#include "zmtp/outbox.h"

enum { OUT_MAX = 1 << 20, IOVS = 5 };

struct fixture {
    struct wsb_zmtp_outbox box;
    struct wsb_account *account, *copies;
    struct wsb_curvezmq_session session;
    struct curve_client client; /* the other end of the session */
    uint8_t *out;
    size_t out_len;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->account = wsb_account_new();
    f->out = malloc(OUT_MAX);
    f->copies = wsb_account_new();
    wsb_zmtp_outbox_init(&f->box, f->copies);
    memset(f->session.key, 3, sizeof f->session.key);
    memset(f->client.shared, 3, sizeof f->client.shared);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    wsb_zmtp_outbox_deinit(&f->box);
    assert_int_equal(wsb_account_bytes(f->account), 0);
    assert_int_equal(wsb_account_bytes(f->copies), 0);
    wsb_account_unref(f->account);
    wsb_account_unref(f->copies);
    free(f->out);
    free(f);
    return 0;
}

static struct wsb_block *block_of(struct fixture *f, size_t len)
{
    struct wsb_block *b = wsb_block_new(f->account, len);
    for (size_t i = 0; i < len; i++)
        b->data[i] = (uint8_t)(i * 5 + (i >> 8));
    b->len = len;
    return b;
}

static void push(struct fixture *f, const char *topic, struct wsb_block *b, const char *meta, bool is_curve)
{
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = (uint32_t)b->len, .conn = 9};
    const struct wsb_zmtp_parcel parcel = {
        .topic = wsb_span_str(topic), .header = &h, .payload = b, .meta = wsb_span_str(meta)};
    assert_int_equal(wsb_zmtp_outbox_push(&f->box, &parcel, is_curve), WSB_OK);
}

static void push_record(struct fixture *f, struct wsb_block *b, const char *meta, bool is_curve)
{
    const struct wsb_header h = {
        .type = WSB_DATA, .flags = *meta ? WSB_FLAG_META : 0, .payload_len = (uint32_t)b->len, .conn = 9};
    const struct wsb_zmtp_parcel parcel = {.is_record = true, .header = &h, .payload = b, .meta = wsb_span_str(meta)};
    size_t before = f->box.own;
    size_t cost = wsb_zmtp_outbox_cost(&parcel, is_curve);
    assert_int_equal(wsb_zmtp_outbox_push(&f->box, &parcel, is_curve), WSB_OK);
    if (is_curve)
        assert_int_equal(f->box.own - before, cost);
}

/* Write all that is ready, at most so many bytes at a time. */
static void write_in(struct fixture *f, size_t step)
{
    struct iovec iov[IOVS];
    size_t bytes;
    while (wsb_zmtp_outbox_is_ready(&f->box)) {
        size_t count = wsb_zmtp_outbox_gather(&f->box, iov, IOVS, &bytes), left = step, sum = 0;
        assert_true(count > 0 && count <= IOVS && bytes > 0);
        for (size_t i = 0; i < count; i++) {
            size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;
            assert_true(f->out_len + n <= OUT_MAX);
            memcpy(f->out + f->out_len, iov[i].iov_base, n);
            f->out_len += n;
            left -= n;
            sum += iov[i].iov_len;
        }
        assert_int_equal(sum, bytes);
        wsb_zmtp_outbox_advance(&f->box, bytes < step ? bytes : step);
    }
}

static void seal_in(struct fixture *f, size_t step)
{
    while (f->box.unsealed) {
        size_t budget = step;
        assert_int_equal(wsb_zmtp_outbox_seal(&f->box, &f->session, &budget), WSB_OK);
    }
}

/* The next frame of what was written: its flags, and its data. */
static uint8_t frame_next(struct fixture *f, size_t *at, bool is_curve, struct wsb_span *ret)
{
    struct wsb_zmtp_head head;
    static uint8_t plain[OUT_MAX];
    uint8_t flags;
    assert_int_equal(wsb_zmtp_head_parse(f->out + *at, f->out_len - *at, OUT_MAX, &head), WSB_OK);
    const uint8_t *body = f->out + *at + head.len;
    *at += head.len + head.body_len;
    assert_true(*at <= f->out_len);
    *ret = wsb_span(body, head.body_len);
    if (!is_curve)
        return head.flags & (WSB_ZMTP_MORE | WSB_ZMTP_COMMAND);
    assert_int_equal(head.flags & ~WSB_ZMTP_LONG, 0);
    *ret = wsb_span(plain, curve_open(&f->client, body, head.body_len, plain, &flags));
    return flags;
}

static void expect_payload(struct fixture *f, size_t *at, bool is_curve, size_t len, bool more)
{
    struct wsb_span got;
    assert_int_equal(frame_next(f, at, is_curve, &got), more);
    assert_int_equal(got.len, len);
    for (size_t i = 0; i < len; i++) {
        if (got.ptr[i] != (uint8_t)(i * 5 + (i >> 8)))
            fail_msg("byte %zu of %zu", i, len);
    }
}

static void expect_text(struct fixture *f, size_t *at, bool is_curve, const char *text, uint8_t flags)
{
    struct wsb_span got;
    assert_int_equal(frame_next(f, at, is_curve, &got), flags);
    assert_true(wsb_span_eq_str(got, text));
}

static void expect_header(struct fixture *f, size_t *at, bool is_curve, size_t payload_len)
{
    struct wsb_span got;
    struct wsb_header h;
    assert_int_equal(frame_next(f, at, is_curve, &got), 1);
    assert_int_equal(wsb_header_parse(got, &h), WSB_OK);
    assert_int_equal(h.payload_len, payload_len);
    assert_int_equal(h.conn, 9);
}

static void expect_record(struct fixture *f, size_t *at, bool is_curve, size_t payload_len, const char *meta)
{
    struct wsb_span got;
    struct wsb_envelope e;
    assert_int_equal(frame_next(f, at, is_curve, &got), 0);
    assert_int_equal(wsb_record_alone(got, &e), WSB_OK);
    assert_int_equal(e.header.conn, 9);
    assert_int_equal(e.payload.len, payload_len);
    for (size_t i = 0; i < payload_len; i++) {
        if (e.payload.ptr[i] != (uint8_t)(i * 5 + (i >> 8)))
            fail_msg("byte %zu of %zu", i, payload_len);
    }
    assert_true(wsb_span_eq_str(e.meta, meta));
}

static const size_t sizes[] = {0, 1, 222, 223, 255, 256, 5000, 200000};
static const size_t steps[] = {1, 7, 1000, OUT_MAX};

static void check_messages(struct fixture *f, bool is_curve)
{
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t s = 0; s < COUNT(steps); s++) {
            size_t at = 0;
            f->out_len = 0;
            push(f, NULL, block_of(f, sizes[i]), NULL, is_curve);
            push(f, "route data", block_of(f, sizes[i]), "{\"meta\":\"data\"}", is_curve);
            assert_int_equal(wsb_zmtp_outbox_push_command(&f->box, wsb_span_str("\4PONGx"), is_curve), WSB_OK);
            assert_int_equal(f->box.count, 3);
            assert_true(f->box.bytes > 2 * sizes[i]);
            assert_int_equal(wsb_zmtp_outbox_is_ready(&f->box), !is_curve);
            seal_in(f, steps[s]);
            write_in(f, steps[COUNT(steps) - 1 - s] > 7 ? steps[COUNT(steps) - 1 - s] : 7);
            expect_header(f, &at, is_curve, sizes[i]);
            expect_payload(f, &at, is_curve, sizes[i], false);
            expect_text(f, &at, is_curve, "route data", 1);
            expect_header(f, &at, is_curve, sizes[i]);
            expect_payload(f, &at, is_curve, sizes[i], true);
            expect_text(f, &at, is_curve, "{\"meta\":\"data\"}", 0);
            expect_text(f, &at, is_curve, "\4PONGx", is_curve ? 2 : 4);
            assert_int_equal(at, f->out_len);
            assert_true(wsb_zmtp_outbox_is_empty(&f->box));
            assert_int_equal(f->box.bytes, 0);
            assert_int_equal(f->box.count, 0);
            assert_int_equal(wsb_account_bytes(f->account), 0);
        }
    }
}

/* Each one frame, whatever it has. */
static void check_records(struct fixture *f, bool is_curve)
{
    static const char *const metas[] = {"", "{\"meta\":\"data\"}", "{}"};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t s = 0; s < COUNT(steps); s++) {
            size_t at = 0;
            f->out_len = 0;
            for (size_t m = 0; m < COUNT(metas); m++)
                push_record(f, block_of(f, sizes[i]), metas[m], is_curve);
            struct wsb_block *shared = block_of(f, sizes[i]);
            push_record(f, wsb_block_ref(shared), "{}", is_curve);
            seal_in(f, steps[s]);
            write_in(f, steps[COUNT(steps) - 1 - s] > 7 ? steps[COUNT(steps) - 1 - s] : 7);
            for (size_t m = 0; m < COUNT(metas); m++)
                expect_record(f, &at, is_curve, sizes[i], metas[m]);
            expect_record(f, &at, is_curve, sizes[i], "{}");
            assert_int_equal(at, f->out_len);
            assert_int_equal(f->box.bytes, 0);
            assert_int_equal(f->box.own, 0);
            for (size_t k = 0; k < shared->len; k++) /* whoever else has it has it as it was */
                assert_int_equal(shared->data[k], (uint8_t)(k * 5 + (k >> 8)));
            wsb_block_free(shared);
            assert_int_equal(wsb_account_bytes(f->account), 0);
        }
    }
}

static void test_records(void **state)
{
    check_records(*state, /*is_curve=*/false);
}

static void test_sealed_records(void **state)
{
    check_records(*state, /*is_curve=*/true);
}

static void test_messages(void **state)
{
    check_messages(*state, /*is_curve=*/false);
}

static void test_sealed_messages(void **state)
{
    check_messages(*state, /*is_curve=*/true);
}

static void test_a_block_of_many_is_sealed_for_each(void **state)
{
    struct fixture *f = *state;
    struct wsb_zmtp_outbox plain = {0};
    struct wsb_block *b = block_of(f, 3000);
    const struct wsb_header h = {.type = WSB_DATA, .payload_len = 3000, .conn = 9};
    const struct wsb_zmtp_parcel parcel = {.topic = wsb_span_str("t"), .header = &h, .payload = wsb_block_ref(b)};
    struct iovec iov[IOVS];
    size_t at = 0, bytes;
    push(f, "t", b, NULL, /*is_curve=*/true);
    assert_int_equal(wsb_zmtp_outbox_push(&plain, &parcel, /*is_curve=*/false), WSB_OK);
    assert_int_equal(f->box.own, wsb_zmtp_outbox_cost(&parcel, /*is_curve=*/true));
    assert_int_equal(plain.own, wsb_zmtp_outbox_cost(&parcel, /*is_curve=*/false));
    assert_true(f->box.own > 3000 && plain.own < 300 && plain.bytes > 3000); /* the payload is the block's */
    seal_in(f, 100);
    assert_true(wsb_account_bytes(f->copies) > 3000);
    write_in(f, OUT_MAX);
    assert_int_equal(f->box.own, 0);
    expect_text(f, &at, true, "t", 1);
    expect_header(f, &at, true, 3000);
    expect_payload(f, &at, true, 3000, false);
    assert_int_equal(wsb_zmtp_outbox_gather(&plain, iov, IOVS, &bytes), 2);
    assert_int_equal(iov[1].iov_len, 3000);
    assert_int_equal(((uint8_t *)iov[1].iov_base)[1], 5); /* the other one's is as it was */
    wsb_zmtp_outbox_deinit(&plain);
}

static void test_what_has_not_left_is_freed(void **state)
{
    struct fixture *f = *state;
    struct iovec iov[IOVS];
    size_t bytes, budget = 100;
    assert_int_equal(wsb_zmtp_outbox_push_raw(&f->box, wsb_span_str("raw")), WSB_OK);
    push(f, "t", block_of(f, 200000), "{}", /*is_curve=*/true);
    push(f, "t", block_of(f, 10), "{}", /*is_curve=*/true);
    assert_int_equal(wsb_zmtp_outbox_seal(&f->box, &f->session, &budget), WSB_OK);
    assert_int_equal(budget, 0);
    assert_int_equal(wsb_zmtp_outbox_gather(&f->box, iov, IOVS, &bytes), 1); /* what is half sealed does not leave */
    assert_int_equal(bytes, 3);
    wsb_zmtp_outbox_advance(&f->box, 2);
    assert_int_equal(wsb_zmtp_outbox_gather(&f->box, iov, IOVS, &bytes), 1);
    assert_int_equal(bytes, 1);
}

/* Much is not freed at once; what is thrown from several boxes is freed in order, each block with its charge, half sealed or not. */
static void test_waste_is_shed_in_steps(void **state)
{
    enum { EACH = 100000, COUNT = 10 };
    struct fixture *f = *state;
    struct wsb_zmtp_outbox waste = {0}, none = {0};
    size_t budget = EACH / 2;
    for (int i = 0; i < COUNT; i++)
        push(f, "", block_of(f, EACH), "meta", /*is_curve=*/false);
    wsb_zmtp_outbox_throw(&f->box, &waste);
    assert_true(wsb_zmtp_outbox_is_empty(&f->box) && f->box.bytes == 0 && f->box.count == 0);
    wsb_zmtp_outbox_throw(&f->box, &waste); /* nothing */
    for (int i = 0; i < COUNT; i++)
        push(f, "topic", block_of(f, EACH), "", /*is_curve=*/true);
    assert_int_equal(wsb_zmtp_outbox_seal(&f->box, &f->session, &budget), WSB_OK); /* in the middle of the first one */
    wsb_zmtp_outbox_throw(&f->box, &waste);
    assert_int_equal(waste.count, 2 * COUNT);
    assert_int_equal(wsb_account_bytes(f->copies), 0);

    for (size_t left = 2 * COUNT; left; left -= 2) {
        assert_int_equal(waste.count, left);
        assert_true(wsb_account_bytes(f->account) >= left * EACH &&
                    wsb_account_bytes(f->account) < left * (EACH + 1000));
        wsb_zmtp_outbox_shed(&waste, EACH + EACH / 2);
    }
    assert_memory_equal(&waste, &none, sizeof waste);
    assert_int_equal(wsb_account_bytes(f->account), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_messages),
        TEST(test_sealed_messages),
        TEST(test_records),
        TEST(test_sealed_records),
        TEST(test_a_block_of_many_is_sealed_for_each),
        TEST(test_what_has_not_left_is_freed),
        cmocka_unit_test_setup_teardown(test_waste_is_shed_in_steps, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
