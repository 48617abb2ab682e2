/* Commands in one piece: what comes out is what went in, whatever became of the originals, and frames are held and let go. */
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "gate/parcel.h"

enum { IDS_MAX = 3 };

static const struct wsg_field no_fields[1];
static const struct wsg_field two_fields[] = {
    {{(const uint8_t *)"X-Name", 6}, {(const uint8_t *)"value", 5}},
    {{(const uint8_t *)"Empty", 5}, {(const uint8_t *)"", 0}},
};

#define TEXT(s)                                                                                                        \
    {                                                                                                                  \
        (const uint8_t *)(s), sizeof(s) - 1                                                                            \
    }

static const struct row {
    const char *name;
    struct wsg_command command;
    size_t ids;
} rows[] = {
    {"nothing but a type", {.type = WSG_CMD_PAUSE}, 1},
    {"a message", {.type = WSB_SEND, .code = WSB_TEXT, .flags = 4, .origin = 7, .seq = 9, .payload = TEXT("hello")}, 1},
    {"an empty message", {.type = WSB_SEND, .payload = TEXT("")}, 1},
    {"a key, of a message to three", {.type = WSB_PUBLISH, .slow = 2, .key = TEXT("k"), .payload = TEXT("1234567")}, 3},
    {"an empty key is a key", {.type = WSB_SEND, .key = TEXT(""), .payload = TEXT("x")}, 2},
    {"a close", {.type = WSB_CLOSE, .by = WSG_BY_ADMIN, .status = 4001, .reason = TEXT("enough")}, 1},
    {"an accept", {.type = WSB_ACCEPT, .subprotocol = TEXT("chat.v2"), .fields = two_fields, .field_count = 2}, 1},
    {"a response",
     {.type = WSB_RESPOND, .status = 200, .fields = two_fields, .field_count = 2, .payload = TEXT("<html>")},
     1},
    {"to nobody", {.type = WSB_SEND, .payload = TEXT("x")}, 0},
};

enum { ROWS = sizeof rows / sizeof *rows };

static const wsb_conn ids[IDS_MAX] = {11, UINT64_MAX, 13};

static void same(struct wsb_span got, struct wsb_span want)
{
    assert_int_equal(got.len, want.len);
    assert_int_equal(got.ptr == NULL, want.ptr == NULL);
    if (want.len)
        assert_memory_equal(got.ptr, want.ptr, want.len);
}

static void check(const struct wsg_parcel *p, const struct row *r)
{
    const struct wsg_command *got = &p->command;
    const struct wsg_command *want = &r->command;
    assert_int_equal(got->type, want->type);
    assert_int_equal(got->code, want->code);
    assert_int_equal(got->flags, want->flags);
    assert_int_equal(got->by, want->by);
    assert_int_equal(got->status, want->status);
    assert_int_equal(got->slow, want->slow);
    assert_int_equal(got->origin, want->origin);
    assert_int_equal(got->seq, want->seq);
    same(got->payload, want->payload);
    same(got->key, want->key);
    same(got->reason, want->reason);
    same(got->subprotocol, want->subprotocol);
    assert_int_equal(got->field_count, want->field_count);
    for (size_t i = 0; i < want->field_count; i++) {
        same(got->fields[i].name, want->fields[i].name);
        same(got->fields[i].value, want->fields[i].value);
    }
    assert_int_equal(p->count, r->ids);
    if (r->ids)
        assert_memory_equal(p->ids, ids, r->ids * sizeof *ids);
}

static void test_parcels_come_out_as_they_went_in(void **state)
{
    struct wsb_buf buf;
    uint64_t sent = 0;
    uint64_t arrived = 0;
    struct wsg_parcel p;
    size_t n = 0;
    (void)state;
    wsb_buf_init(&buf, 0);
    for (size_t i = 0; i < ROWS; i++) {
        struct wsg_command c = rows[i].command;
        if (!c.fields)
            c.fields = no_fields;
        assert_int_equal(wsg_parcel_put(&buf, &c, ids, rows[i].ids, &sent), WSB_OK);
    }
    uint8_t *moved = malloc(buf.len); /* nothing in it may point at where it was */
    assert_non_null(moved);
    memcpy(moved, buf.data, buf.len);
    memset(buf.data, 0xee, buf.len);
    for (struct wsb_span rest = wsb_span(moved, buf.len); wsg_parcel_next(&rest, &p); n++) {
        print_message("%s\n", rows[n].name);
        check(&p, &rows[n]);
        arrived += p.weight;
        wsg_parcel_done(&p);
    }
    assert_int_equal(n, ROWS);
    assert_int_equal(arrived, sent);
    free(moved);
    wsb_buf_deinit(&buf);
}

static void test_parcel_holds_the_frame(void **state)
{
    struct wsb_buf buf;
    uint64_t sent = 0;
    struct wsg_parcel p;
    struct wsg_shared *frame = wsg_shared_new(100000);
    (void)state;
    assert_non_null(frame);
    memset(frame->data, 'f', frame->len);
    wsb_buf_init(&buf, 0);
    const struct wsg_command c = {
        .type = WSB_SEND, .frame = frame, .payload = {frame->data + 10, frame->len - 10}, .key = TEXT("key")};
    assert_int_equal(wsg_parcel_put(&buf, &c, ids, 2, &sent), WSB_OK);
    assert_true(buf.len < 1000);    /* the bytes stay where they are */
    assert_true(sent > frame->len); /* and count nevertheless */
    assert_int_equal(frame->refs, 2);
    struct wsb_span rest = wsb_buf_span(&buf);
    assert_true(wsg_parcel_next(&rest, &p));
    assert_ptr_equal(p.command.frame, frame);
    assert_ptr_equal(p.command.payload.ptr, frame->data + 10);
    assert_int_equal(p.command.payload.len, frame->len - 10);
    same(p.command.key, c.key);
    wsg_parcel_done(&p);
    assert_int_equal(frame->refs, 1);
    assert_false(wsg_parcel_next(&rest, &p));
    wsg_shared_unref(frame);
    wsb_buf_deinit(&buf);
}

/* Each connection hears each command once, in the order in which they were given, whatever the size of the steps. */
static void test_steps_leave_nothing_out(void **state)
{
    (void)state;
    static const size_t counts[] = {3, 0, 1, 2, 3};
    enum { COMMANDS = sizeof counts / sizeof *counts, GIVEN = 3 + 0 + 1 + 2 + 3 };
    for (size_t most = 1; most <= 4; most++) {
        struct wsb_buf buf;
        struct wsg_errands errands = {0};
        struct wsg_errand e;
        struct wsg_shared *frame = wsg_shared_new(100);
        uint64_t sent = 0;
        size_t heard[COMMANDS] = {0}, total = 0, steps = 0;
        wsb_buf_init(&buf, 0);
        assert_non_null(frame);
        for (size_t i = 0; i < COMMANDS; i++) {
            const struct wsg_command c = {
                .type = WSB_PUBLISH, .seq = i, .frame = frame, .payload = {frame->data, frame->len}};
            assert_int_equal(wsg_parcel_put(&buf, &c, ids, counts[i], &sent), WSB_OK);
        }
        assert_int_equal(frame->refs, 1 + COMMANDS);
        wsg_errands_begin(&errands, wsb_buf_span(&buf));
        for (uint64_t last = 0; wsg_errands_next(&errands, most, &e); steps++) {
            assert_true(e.count <= most);
            assert_true(e.command->seq >= last);
            last = e.command->seq;
            for (size_t i = 0; i < e.count; i++)
                assert_int_equal(e.ids[i], ids[heard[last]++]);
            total += e.count;
            assert_true(errands.done_weight < sent); /* the one that was given out last is not done */
        }
        assert_int_equal(total, GIVEN);
        assert_memory_equal(heard, counts, sizeof heard);
        assert_int_equal(errands.done_weight, sent);
        assert_false(errands.are_open);
        assert_int_equal(frame->refs, 1);
        wsg_shared_unref(frame);
        wsb_buf_deinit(&buf);
    }
}

static void test_steps_that_are_not_taken_hold_nothing(void **state)
{
    (void)state;
    for (size_t taken = 0; taken <= 4; taken++) {
        struct wsb_buf buf;
        struct wsg_errands errands = {0};
        struct wsg_errand e;
        struct wsg_shared *frame = wsg_shared_new(100);
        uint64_t sent = 0;
        wsb_buf_init(&buf, 0);
        assert_non_null(frame);
        const struct wsg_command c = {.type = WSB_PUBLISH, .frame = frame, .payload = {frame->data, frame->len}};
        for (int i = 0; i < 3; i++)
            assert_int_equal(wsg_parcel_put(&buf, &c, ids, 2, &sent), WSB_OK);
        wsg_errands_begin(&errands, wsb_buf_span(&buf));
        for (size_t i = 0; i < taken; i++)
            assert_true(wsg_errands_next(&errands, 1, &e));
        wsg_errands_drop(&errands);
        assert_int_equal(frame->refs, 1);
        assert_false(errands.are_open);
        wsg_errands_drop(&errands); /* there is nothing to drop */
        assert_int_equal(errands.done_weight, sent);
        wsg_shared_unref(frame);
        wsb_buf_deinit(&buf);
    }
}

static void test_parcel_without_memory_is_not_there(void **state)
{
    struct wsb_buf buf;
    uint64_t sent = 0;
    const struct wsg_command c = {.type = WSB_SEND, .payload = TEXT("some text")};
    (void)state;
    wsb_buf_init(&buf, 16);
    assert_int_equal(wsg_parcel_put(&buf, &c, ids, 1, &sent), WSB_ERR_LIMIT);
    assert_int_equal(buf.len, 0);
    assert_int_equal(sent, 0);
    wsb_buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_leave_nothing_out),
        cmocka_unit_test(test_steps_that_are_not_taken_hold_nothing),
        cmocka_unit_test(test_parcels_come_out_as_they_went_in),
        cmocka_unit_test(test_parcel_holds_the_frame),
        cmocka_unit_test(test_parcel_without_memory_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
