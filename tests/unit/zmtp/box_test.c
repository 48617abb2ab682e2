/* Boxes piece by piece are libsodium's boxes, whatever the pieces. */
#include "support/test.h"

#include "zmtp/box.h"

enum { LARGEST = 5000 };

static uint8_t key[WSB_BOX_KEY], nonce[WSB_BOX_NONCE], text[LARGEST], box[LARGEST + WSB_BOX_TAG];

static const size_t sizes[] = {0, 1, 16, 31, 32, 33, 63, 64, 65, 95, 96, 97, 128, 160, 1000, LARGEST};
/* Pieces in turn. */
static const size_t pieces[][3] = {
    {LARGEST, LARGEST, LARGEST}, {1, 1, 1}, {7, 33, 64}, {32, 64, 64}, {31, 1, 65}, {0, 100, 3}};

static int setup(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    memset(key, 0x11, sizeof key);
    memset(nonce, 0x22, sizeof nonce);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)(i * 7 + (i >> 8));
    return 0;
}

static size_t piece(size_t row, size_t turn, size_t left)
{
    size_t n = pieces[row][turn % 3];
    return n < left ? n : left;
}

static void test_sealed_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_int_equal(crypto_box_easy_afternm(box, text, sizes[i], nonce, key), 0);
        for (size_t row = 0; row < COUNT(pieces); row++) {
            struct wsb_box b;
            uint8_t tag[WSB_BOX_TAG], to[LARGEST];
            wsb_box_begin(&b, key, nonce);
            for (size_t at = 0, turn = 0, n; at < sizes[i]; at += n, turn++) {
                n = piece(row, turn, sizes[i] - at);
                wsb_box_seal(&b, text + at, to + at, n);
            }
            wsb_box_end(&b, tag);
            assert_memory_equal(tag, box, sizeof tag);
            assert_memory_equal(to, box + WSB_BOX_TAG, sizes[i]);
        }
    }
}

static void test_opened_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        for (size_t row = 0; row < COUNT(pieces); row++) {
            struct wsb_box b;
            assert_int_equal(crypto_box_easy_afternm(box, text, sizes[i], nonce, key), 0);
            wsb_box_begin(&b, key, nonce);
            for (size_t at = 0, turn = 0, n; at < sizes[i]; at += n, turn++) {
                n = piece(row, turn, sizes[i] - at);
                wsb_box_open(&b, box + WSB_BOX_TAG + at, n);
            }
            assert_true(wsb_box_is_true(&b, box));
            assert_memory_equal(box + WSB_BOX_TAG, text, sizes[i]);
        }
    }
}

static void test_a_changed_bit_is_seen(void **state)
{
    (void)state;
    for (size_t at = 0; at < WSB_BOX_TAG + 100; at++) {
        struct wsb_box b;
        assert_int_equal(crypto_box_easy_afternm(box, text, 100, nonce, key), 0);
        box[at] ^= 4;
        wsb_box_begin(&b, key, nonce);
        wsb_box_open(&b, box + WSB_BOX_TAG, 100);
        assert_false(wsb_box_is_true(&b, box));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed_in_pieces),
        cmocka_unit_test(test_opened_in_pieces),
        cmocka_unit_test(test_a_changed_bit_is_seen),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
