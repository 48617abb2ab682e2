/* Whatever is packed comes back as it was; a usual handshake becomes much smaller. */
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "bus/words.h"

static const char usual[] =
    "{\"route\":\"echo\",\"params\":{},\"target\":\"/echo\",\"path\":\"/"
    "echo\",\"query\":\"\",\"host\":\"127.0.0.1:18099\","
    "\"peer\":\"127.0.0.1:33758\",\"scheme\":\"ws\",\"origin\":\"\",\"subprotocol\":\"\",\"offered\":[],\"headers\":{"
    "\"host\":"
    "\"127.0.0.1:18099\",\"upgrade\":\"websocket\",\"connection\":\"Upgrade\",\"sec-websocket-key\":"
    "\"GVV3hK5MSb54/7HTHGOvKg==\",\"sec-websocket-version\":\"13\"}}";

/* Packs and unpacks; returns the packed size. */
static size_t round_trip(const void *bytes, size_t len)
{
    struct wsg_words w;
    struct wsb_buf packed, text;
    wsg_words_init(&w);
    wsb_buf_init(&packed, 0);
    wsb_buf_init(&text, 0);
    assert_int_equal(wsg_words_pack(&w, wsb_span(bytes, len), &packed), WSB_OK);
    assert_int_equal(wsg_words_unpack(wsb_buf_span(&packed), &text), WSB_OK);
    assert_int_equal(text.len, len);
    if (len)
        assert_memory_equal(text.data, bytes, len);
    size_t size = packed.len;
    wsb_buf_deinit(&packed);
    wsb_buf_deinit(&text);
    return size;
}

static void test_words_usual_handshake(void **state)
{
    (void)state;
    assert_true(round_trip(usual, sizeof usual - 1) < 120);
}

static void test_words_every_beginning_and_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof usual; i++) {
        (void)round_trip(usual, i);
        (void)round_trip(usual + i, sizeof usual - 1 - i);
    }
}

static void test_words_any_bytes(void **state)
{
    uint8_t bytes[300];
    (void)state;
    srand(7);
    for (int round = 0; round < 2000; round++) {
        size_t len = (size_t)rand() % sizeof bytes;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(rand() % 3 ? "\xff\x00\"{,:h"[rand() % 7] : rand());
        assert_true(round_trip(bytes, len) <= 2 * len);
    }
}

static void test_words_what_was_not_packed(void **state)
{
    static const char *const rows[] = {"\xff", "a\xff\xfe", "\xff\x70z", "abc\xff"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wsb_buf out;
        wsb_buf_init(&out, 0);
        assert_int_equal(wsg_words_unpack(wsb_span_str(rows[i]), &out), WSB_ERR_PROTO);
        wsb_buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_usual_handshake),
        cmocka_unit_test(test_words_every_beginning_and_end),
        cmocka_unit_test(test_words_any_bytes),
        cmocka_unit_test(test_words_what_was_not_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
