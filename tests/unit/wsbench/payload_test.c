/* A message is itself and no other, whole or in pieces, whatever its size. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "payload.h"
#include "ws/mask.h"

static const size_t sizes[] = {0, 1, 7, 8, 31, 32, 33, 125, 1000};
static const uint8_t mask[4] = {1, 2, 3, 4};

/* As a server would see it, sent in pieces. */
static void build(const struct wsl_payload *p, const struct wsl_stamp *stamp, size_t piece, uint8_t *out)
{
    for (size_t done = 0; done < p->size; done += piece) {
        size_t len = p->size - done < piece ? p->size - done : piece;
        wsl_payload_write_masked(p, stamp, done, len, mask, out + done);
        wsb_mask_copy(out + done, out + done, len, mask, 0);
    }
}

static void test_a_message_is_recognised_however_it_was_cut(void **state)
{
    (void)state;
    const struct wsl_stamp stamp = {123456789, 7, 42};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct wsl_payload p;
        uint8_t message[1000];
        assert_int_equal(wsl_payload_init(&p, sizes[i], (enum wsl_pattern)(i % 3)), WSB_OK);
        for (size_t piece = 1; piece <= sizes[i]; piece++) {
            memset(message, 0, sizeof message);
            build(&p, &stamp, piece, message);
            assert_true(wsl_payload_is(&p, &stamp, wsb_span(message, sizes[i])));
        }
        wsl_payload_deinit(&p);
    }
}

static void test_one_wrong_byte_is_seen_wherever_it_is(void **state)
{
    (void)state;
    const struct wsl_stamp stamp = {123456789, 7, 42};
    struct wsl_payload p;
    uint8_t message[200];
    assert_int_equal(wsl_payload_init(&p, 200, WSL_LETTERS), WSB_OK);
    build(&p, &stamp, 200, message);
    for (size_t at = 0; at < 200; at++) {
        message[at] ^= 1;
        assert_false(wsl_payload_is(&p, &stamp, wsb_span(message, 200)));
        message[at] ^= 1;
    }
    assert_false(wsl_payload_is(&p, &stamp, wsb_span(message, 199)));
    wsl_payload_deinit(&p);
}

static void test_neighbours_differ(void **state)
{
    (void)state;
    const struct wsl_stamp stamp = {1, 7, 42}, others[] = {{1, 7, 43}, {1, 8, 42}, {2, 7, 42}};
    struct wsl_payload p;
    uint8_t message[125];
    assert_int_equal(wsl_payload_init(&p, sizeof message, WSL_LETTERS), WSB_OK);
    build(&p, &stamp, sizeof message, message);
    for (size_t i = 0; i < 3; i++)
        assert_false(wsl_payload_is(&p, &others[i], wsb_span(message, sizeof message)));
    wsl_payload_deinit(&p);
}

static void test_the_stamp_can_be_read(void **state)
{
    (void)state;
    const struct wsl_stamp stamp = {UINT64_MAX, 0xabcdef01, 42};
    struct wsl_payload p;
    struct wsl_stamp got;
    uint8_t message[40];
    assert_int_equal(wsl_payload_init(&p, sizeof message, WSL_BYTES), WSB_OK);
    build(&p, &stamp, sizeof message, message);
    assert_true(wsl_stamp_read(wsb_span(message, sizeof message), &got));
    assert_true(got.time_ns == stamp.time_ns && got.sender == stamp.sender && got.number == stamp.number);
    assert_false(wsl_stamp_read(wsb_span(message, 31), &got));
    message[3] = 'x';
    assert_false(wsl_stamp_read(wsb_span(message, sizeof message), &got));
    message[3] = 0;
    assert_false(wsl_stamp_read(wsb_span(message, sizeof message), &got));
    wsl_payload_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_is_recognised_however_it_was_cut),
        cmocka_unit_test(test_one_wrong_byte_is_seen_wherever_it_is),
        cmocka_unit_test(test_neighbours_differ),
        cmocka_unit_test(test_the_stamp_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
