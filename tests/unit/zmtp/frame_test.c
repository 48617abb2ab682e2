/* Heads of frames: each rule a row, whole and byte by byte, and what is written is read again. */
#include "support/test.h"

#include "zmtp/frame.h"

enum { MAX = 70000 };

static const struct row {
    const char *name;
    uint8_t in[9];
    size_t in_len;
    wsb_err want;
    uint8_t flags;
    size_t body_len;
} rows[] = {
    {"empty message", {0, 0}, 2, WSB_OK, 0, 0},
    {"more", {1, 255}, 2, WSB_OK, 1, 255},
    {"command", {4, 5}, 2, WSB_OK, 4, 5},
    {"long", {2, 0, 0, 0, 0, 0, 1, 0, 0}, 9, WSB_OK, 2, 65536},
    {"long and small", {3, 0, 0, 0, 0, 0, 0, 0, 1}, 9, WSB_OK, 3, 1},
    {"long command", {6, 0, 0, 0, 0, 0, 0, 1, 0}, 9, WSB_OK, 6, 256},
    {"the largest", {2, 0, 0, 0, 0, 0, 1, 0x11, 0x70}, 9, WSB_OK, 2, MAX},
    {"one more", {2, 0, 0, 0, 0, 0, 1, 0x11, 0x71}, 9, WSB_ERR_LIMIT, 0, 0},
    {"the largest there is", {2, 0x7f, 255, 255, 255, 255, 255, 255, 255}, 9, WSB_ERR_LIMIT, 0, 0},
    {"a sign", {2, 0x80, 0, 0, 0, 0, 0, 0, 0}, 2, WSB_ERR_PROTO, 0, 0},
    {"reserved flag", {8, 0}, 1, WSB_ERR_PROTO, 0, 0},
    {"reserved flags", {0xf0, 0}, 1, WSB_ERR_PROTO, 0, 0},
    {"a command with more", {5, 0}, 1, WSB_ERR_PROTO, 0, 0},
    {"a long command with more", {7, 0}, 1, WSB_ERR_PROTO, 0, 0},
};

static void test_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *r = &rows[i];
        struct wsb_zmtp_head head = {0};
        for (size_t len = 0; len < r->in_len; len++) {
            if (wsb_zmtp_head_parse(r->in, len, MAX, &head) != WSB_MORE)
                fail_msg("%s: a verdict after %zu bytes", r->name, len);
        }
        for (size_t len = r->in_len; len <= sizeof r->in; len++) {
            if (wsb_zmtp_head_parse(r->in, len, MAX, &head) != r->want)
                fail_msg("%s: not what was wanted", r->name);
        }
        if (r->want == WSB_OK) {
            assert_int_equal(head.flags, r->flags);
            assert_int_equal(head.body_len, r->body_len);
            assert_int_equal(head.len, r->in_len);
        }
    }
}

static void test_heads_are_written_as_they_are_read(void **state)
{
    static const size_t sizes[] = {0, 1, 255, 256, 65535, 65536, (size_t)1 << 40};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (uint8_t flags = 0; flags < 5; flags = (uint8_t)(flags ? flags * 4 : 1)) {
            uint8_t out[WSB_ZMTP_HEAD_MAX];
            struct wsb_zmtp_head head;
            size_t len = wsb_zmtp_head_write(out, flags, sizes[i]);
            assert_int_equal(len, wsb_zmtp_head_len(sizes[i]));
            assert_int_equal(wsb_zmtp_head_parse(out, len, SIZE_MAX, &head), WSB_OK);
            assert_int_equal(head.body_len, sizes[i]);
            assert_int_equal(head.flags & ~WSB_ZMTP_LONG, flags);
            assert_int_equal(!!(head.flags & WSB_ZMTP_LONG), sizes[i] > 255);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_heads_are_written_as_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
