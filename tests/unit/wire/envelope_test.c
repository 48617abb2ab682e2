/* The envelope codec: the shared vectors, and what they cannot say: splits, limits, what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "wire/envelope.h"

static json_t *vectors;

static int load(void **state)
{
    (void)state;
    json_error_t error;
    vectors = json_load_file(WSBUS_SOURCE_DIR "/tests/vectors/envelope.json", JSON_REJECT_DUPLICATES, &error);
    if (!vectors)
        (void)fprintf(stderr, "envelope.json:%d: %s\n", error.line, error.text);
    return vectors ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static const json_t *list(const char *name)
{
    const json_t *l = json_object_get(vectors, name);
    assert_true(json_array_size(l) > 0);
    return l;
}

static const char *name_of(const json_t *row)
{
    return json_string_value(json_object_get(row, "name"));
}

/* Exactly as long as the bytes, so that the sanitizer sees one too many. */
static uint8_t *bytes(const json_t *row, const char *key, size_t *ret_len)
{
    const char *hex = json_string_value(json_object_get(row, key));
    assert_non_null(hex);
    *ret_len = strlen(hex) / 2;
    uint8_t *out = malloc(*ret_len ? *ret_len : 1);
    assert_non_null(out);
    for (size_t i = 0; i < *ret_len; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return out;
}

static uint64_t number(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    if (json_is_string(v))
        return strtoull(json_string_value(v), NULL, 16);
    assert_true(json_is_integer(v));
    return (uint64_t)json_integer_value(v);
}

static struct wsb_header header_of(const json_t *row)
{
    return (struct wsb_header){
        .type = (uint8_t)number(row, "type"),
        .code = (uint8_t)number(row, "code"),
        .flags = (uint8_t)number(row, "flags"),
        .payload_len = (uint32_t)number(row, "payload_len"),
        .conn = number(row, "conn"),
        .seq = number(row, "seq"),
        .time_ns = number(row, "time_ns"),
    };
}

static bool same(const struct wsb_header *a, const struct wsb_header *b)
{
    return a->type == b->type && a->code == b->code && a->flags == b->flags && a->payload_len == b->payload_len &&
           a->conn == b->conn && a->seq == b->seq && a->time_ns == b->time_ns;
}

static void test_headers_of_the_vectors(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(list("headers"), i, row)
    {
        size_t len;
        uint8_t *in = bytes(row, "hex", &len);
        struct wsb_header got;
        wsb_err err = wsb_header_parse(wsb_span(in, len), &got);
        if (!json_is_true(json_object_get(row, "valid"))) {
            if (err != WSB_ERR_PROTO)
                fail_msg("%s: accepted", name_of(row));
        } else {
            struct wsb_header want = header_of(row);
            uint8_t out[WSB_HEADER_SIZE];
            wsb_header_write(out, &want);
            if (err || !same(&got, &want) || memcmp(out, in, sizeof out) != 0)
                fail_msg("%s: not the same", name_of(row));
        }
        free(in);
    }
}

static void test_messages_of_the_vectors(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(list("messages"), i, row)
    {
        size_t header_len, payload_len;
        uint8_t *header = bytes(row, "header", &header_len);
        uint8_t *payload = bytes(row, "payload", &payload_len);
        const char *meta = json_string_value(json_object_get(row, "meta"));
        struct wsb_envelope e;
        wsb_err err = wsb_envelope_from_parts(wsb_span(header, header_len), wsb_span(payload, payload_len),
                                              wsb_span_str(meta), &e);
        bool valid = json_is_true(json_object_get(row, "valid"));
        if (err != (valid ? WSB_OK : WSB_ERR_PROTO))
            fail_msg("%s: %s", name_of(row), wsb_err_name(err));
        if (valid)
            assert_true(wsb_span_eq_str(e.meta, meta) && wsb_span_eq(e.payload, wsb_span(payload, payload_len)));
        free(header);
        free(payload);
    }
}

static bool is_told(const struct wsb_envelope *e, const json_t *row)
{
    size_t len;
    struct wsb_header want = header_of(row);
    uint8_t *payload = bytes(row, "payload", &len);
    bool is = same(&e->header, &want) && wsb_span_eq(e->payload, wsb_span(payload, len)) &&
              wsb_span_eq_str(e->meta, json_string_value(json_object_get(row, "meta")));
    free(payload);
    return is;
}

static void check_batch(const json_t *row, struct wsb_span batch)
{
    const json_t *records = json_object_get(row, "records");
    struct wsb_buf again = {0};
    struct wsb_span in = batch;
    struct wsb_envelope e;
    wsb_err err;
    for (size_t k = 0; (err = wsb_record_next(&in, &e)) == WSB_OK; k++) {
        if (k >= json_array_size(records) || !is_told(&e, json_array_get(records, k)))
            fail_msg("%s: record %zu is not what it should be", name_of(row), k);
        assert_int_equal(wsb_record_append(&again, &e), WSB_OK);
    }
    bool valid = json_is_true(json_object_get(row, "valid"));
    if (err != (valid ? WSB_CLOSED : WSB_ERR_PROTO))
        fail_msg("%s: %s", name_of(row), wsb_err_name(err));
    if (valid && !wsb_span_eq(wsb_buf_span(&again), batch))
        fail_msg("%s: written again, it is not the same", name_of(row));
    wsb_buf_deinit(&again);
}

static void test_batches_of_the_vectors(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(list("batches"), i, row)
    {
        size_t len;
        uint8_t *in = bytes(row, "hex", &len);
        check_batch(row, wsb_span(in, len));
        free(in);
    }
}

/* As one part of ZeroMQ, or in a ring; and written around a payload that lies elsewhere, it is the same. */
static void test_records_that_stand_alone(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(list("alone"), i, row)
    {
        size_t len;
        uint8_t *in = bytes(row, "hex", &len);
        struct wsb_envelope e;
        bool valid = json_is_true(json_object_get(row, "valid"));
        if (wsb_record_alone(wsb_span(in, len), &e) != (valid ? WSB_OK : WSB_ERR_PROTO))
            fail_msg("%s", name_of(row));
        if (valid) {
            uint8_t front[WSB_RECORD_FRONT];
            size_t back_len = wsb_record_back(e.payload.len, e.meta.len);
            uint8_t *back = malloc(back_len ? back_len : 1);
            assert_non_null(back);
            assert_true(is_told(&e, json_object_get(row, "record")));
            wsb_record_wrap(front, back, &e.header, e.meta);
            assert_int_equal(sizeof front + e.payload.len + back_len, len);
            assert_memory_equal(front, in, sizeof front);
            assert_memory_equal(back, in + len - back_len, back_len);
            free(back);
        }
        free(in);
    }
}

/* Each beginning of a valid batch ends in an error, except where a record ends. */
static void test_a_batch_cut_anywhere_else_is_refused(void **state)
{
    (void)state;
    size_t i;
    json_t *row;
    json_array_foreach(list("batches"), i, row)
    {
        size_t len;
        if (!json_is_true(json_object_get(row, "valid")))
            continue;
        uint8_t *in = bytes(row, "hex", &len);
        for (size_t cut = 0; cut < len; cut++) {
            uint8_t *exact = malloc(cut ? cut : 1);
            assert_non_null(exact);
            memcpy(exact, in, cut);
            struct wsb_span some = wsb_span(exact, cut);
            struct wsb_envelope e;
            size_t used = 0;
            wsb_err err;
            while ((err = wsb_record_next(&some, &e)) == WSB_OK)
                used = cut - some.len;
            if ((err == WSB_CLOSED) != (used == cut))
                fail_msg("%s: cut at %zu: %s", name_of(row), cut, wsb_err_name(err));
            free(exact);
        }
        free(in);
    }
}

static void test_sizes_of_records(void **state)
{
    static const struct {
        size_t payload, meta, want;
    } rows[] = {
        {0, 0, 40},
        {1, 0, 48},
        {8, 0, 48},
        {4, 5, 56},
        {UINT32_MAX - 64, 0, (size_t)UINT32_MAX - 64 + 40 + 1},
        {UINT32_MAX - 63, 0, 0},
        {UINT32_MAX, UINT32_MAX, 0},
        {SIZE_MAX, 1, 0},
        {1, SIZE_MAX, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(wsb_record_size(rows[i].payload, rows[i].meta), rows[i].want);
}

static void test_append_says_what_is_true(void **state)
{
    (void)state;
    struct wsb_buf b = {0};
    struct wsb_envelope e = {.header = {.type = WSB_SEND, .flags = WSB_FLAG_META, .payload_len = 99},
                             .payload = wsb_span("abc", 3)};
    struct wsb_envelope got;
    assert_int_equal(wsb_record_append(&b, &e), WSB_OK);
    struct wsb_span in = wsb_buf_span(&b);
    assert_int_equal(wsb_record_next(&in, &got), WSB_OK);
    assert_int_equal(got.header.flags, 0);
    assert_int_equal(got.header.payload_len, 3);
    wsb_buf_deinit(&b);

    struct wsb_buf full = {.max = 47};
    assert_int_equal(wsb_record_append(&full, &e), WSB_ERR_LIMIT);
    assert_int_equal(full.len, 0);
    wsb_buf_deinit(&full);
}

static void test_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 256; i++) {
        const char *name = wsb_type_name((uint8_t)i);
        bool is_event = i >= WSB_WELCOME && i <= WSB_DEAD_LETTER;
        bool is_command = i >= WSB_HELLO && i <= WSB_WORKING;
        assert_int_equal(name != NULL, is_event || is_command || i == WSB_BATCH);
        assert_int_equal(wsb_type_is_command((uint8_t)i), is_command);
        assert_non_null(wsb_outcome_name((uint8_t)i));
    }
    assert_string_equal(wsb_type_name(WSB_OPEN), "open");
    assert_string_equal(wsb_type_name(WSB_RESPOND), "respond");
    assert_string_equal(wsb_type_name(WSB_MEMBERS), "members");
    assert_string_equal(wsb_type_name(WSB_JOINED), "joined");
    assert_string_equal(wsb_type_name(WSB_LEFT), "left");
    assert_string_equal(wsb_type_name(WSB_LIST), "list");
    assert_string_equal(wsb_type_name(WSB_WORKING), "working");
    assert_string_equal(wsb_type_name(WSB_DEAD_LETTER), "dead-letter");
    assert_string_equal(wsb_outcome_name(WSB_OUTCOME_STALE), "stale");
    assert_string_equal(wsb_outcome_name(7), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_of_the_vectors),
        cmocka_unit_test(test_messages_of_the_vectors),
        cmocka_unit_test(test_batches_of_the_vectors),
        cmocka_unit_test(test_records_that_stand_alone),
        cmocka_unit_test(test_a_batch_cut_anywhere_else_is_refused),
        cmocka_unit_test(test_sizes_of_records),
        cmocka_unit_test(test_append_says_what_is_true),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
