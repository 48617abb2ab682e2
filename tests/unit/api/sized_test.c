/* Programs that were built with an older or a newer header than this library. */
#include "support/test.h"

#include "api/sized.h"
#include "both.h"
#include "wsbus/websocket.h"

enum { LATER = 64 }; /* bytes that a later version has added */

/* What each struct is in the eyes of such a program: with canaries behind. */
#define GROWN(type)                                                                                                    \
    union {                                                                                                            \
        type now;                                                                                                      \
        uint8_t bytes[sizeof(type) + LATER];                                                                           \
    }

static void test_the_library_and_its_headers_are_of_one_version(void **state)
{
    char text[32];
    (void)state;
    assert_string_equal(wsb_version(), WSBUS_VERSION); /* of CMakeLists.txt */
    assert_string_equal(wsb_version(), WSB_VERSION_TEXT);
    assert_int_equal(wsb_version_number(), WSB_VERSION_NUMBER);
    (void)snprintf(text, sizeof text, "%d.%d.%d", WSB_VERSION_MAJOR, WSB_VERSION_MINOR, WSB_VERSION_PATCH);
    assert_string_equal(wsb_version(), text);
}

static void test_an_event_is_as_large_as_the_program_says(void **state)
{
    struct both b = join();
    GROWN(struct wsb_event) ev;
    const size_t first = WSB_END_OF(struct wsb_event, meta_len);
    static const size_t sizes[] = {0, WSB_END_OF(struct wsb_event, meta_len), sizeof(struct wsb_event),
                                   sizeof(struct wsb_event) + LATER / 2};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct wsb_header d = head(WSB_OPEN, 7 + i, 1);
        size_t size = sizes[i] ? sizes[i] : first;
        fake_gate_send(b.gate, d, "", "{\"path\":\"/\"}");
        memset(&ev, 0xee, sizeof ev);
        ev.now.size = sizes[i];
        assert_true(wsb_readguarded_sized(b.h, &ev.now, PATIENCE_MS));
        assert_int_equal(ev.now.size, sizes[i]);
        assert_int_equal(ev.now.type, WSB_EV_OPEN);
        assert_int_equal(ev.now.conn, 7 + i);
        assert_string_equal(wsb_event_str(&ev.now, "path"), "/");
        for (size_t at = first; at < sizeof ev.bytes; at++)
            assert_int_equal(ev.bytes[at], at < size ? 0 : 0xee);
    }
    memset(&ev, 0xee, sizeof ev);
    ev.now.size = sizeof ev;
    assert_false(wsb_readguarded_sized(b.h, &ev.now, 0)); /* nothing came: zeroed, as far as it goes */
    for (size_t at = sizeof ev.now.size; at < sizeof ev.bytes; at++)
        assert_int_equal(ev.bytes[at], 0);
    part(&b);
}

static void test_a_size_that_cannot_be_is_a_misuse(void **state)
{
    struct both b = join();
    struct wsb_event ev;
    const size_t sizes[] = {1, sizeof(size_t), WSB_END_OF(struct wsb_event, meta_len) - 1, WSB_SIZED_MAX + 1, SIZE_MAX};
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        memset(&ev, 0xee, sizeof ev);
        ev.size = sizes[i];
        assert_false(wsb_readguarded_sized(b.h, &ev, 0));
        assert_int_equal(wsb_reason(b.h), WSB_REASON_MISUSE);
        assert_int_equal(((const uint8_t *)&ev)[offsetof(struct wsb_event, more)],
                         0xee); /* who knows how far it goes */
    }
    part(&b);
}

/* Set the size of a struct in `room`, and the byte behind what this library knows of it. */
static void *grow(void *room, size_t known, size_t size, uint8_t behind)
{
    memcpy(room, &size, sizeof size);
    ((uint8_t *)room)[known] = behind;
    return room;
}

#define ASSERT_SIZED(type, call)                                                                                       \
    do {                                                                                                               \
        static const struct {                                                                                          \
            size_t size;                                                                                               \
            uint8_t behind;                                                                                            \
            bool is_taken;                                                                                             \
        } rows[] = {                                                                                                   \
            {0, 0xee, true},                                                                                           \
            {sizeof(type), 0xee, true},                                                                                \
            {sizeof(type) + LATER, 0, true},                                                                           \
            {sizeof(type) + 1, 1, false},                                                                              \
            {sizeof(size_t), 0, false},                                                                                \
            {SIZE_MAX, 0, false},                                                                                      \
        };                                                                                                             \
        for (size_t i = 0; i < COUNT(rows); i++) {                                                                     \
            GROWN(type) given = {.now = init};                                                                         \
            const type *o = grow(&given, sizeof(type), rows[i].size, rows[i].behind);                                  \
            if ((call) != rows[i].is_taken)                                                                            \
                fail_msg("%s, row %zu: %s", #type, i, wsb_reason_name(wsb_reason(b.h)));                               \
            if (!rows[i].is_taken)                                                                                     \
                assert_int_equal(wsb_reason(b.h), WSB_REASON_MISUSE);                                                  \
        }                                                                                                              \
    } while (0)

static void test_what_the_program_says_is_taken_as_far_as_it_is_known(void **state)
{
    struct both b = join();
    (void)state;
    {
        const struct wsb_send_options init = {.slow = WSB_SLOW_CLOSE};
        const wsb_conn to = 5;
        ASSERT_SIZED(struct wsb_send_options, wsb_send(b.h, 5, WSB_TEXT, "x", 1, o));
        ASSERT_SIZED(struct wsb_send_options, wsb_send_many(b.h, &to, 1, WSB_TEXT, "x", 1, o));
        ASSERT_SIZED(struct wsb_send_options,
                     wsb_publish(b.h, &(struct wsb_audience){.group = "g"}, WSB_TEXT, "x", 1, o));
    }
    {
        const struct wsb_audience init = {.group = "g"};
        ASSERT_SIZED(struct wsb_audience, wsb_publish(b.h, o, WSB_TEXT, "x", 1, NULL));
        ASSERT_SIZED(struct wsb_audience, wsb_list(b.h, o, 0, NULL));
    }
    {
        const struct wsb_marks init = {.user = "u"};
        ASSERT_SIZED(struct wsb_marks, wsb_tag(b.h, 5, o));
    }
    {
        const struct wsb_accept_options init = {.user = "u"};
        ASSERT_SIZED(struct wsb_accept_options, wsb_accept(b.h, 5, o));
    }
    {
        const struct wsb_part init = {.data = "x", .len = 1};
        ASSERT_SIZED(struct wsb_part, wsb_respond_part(b.h, 5, o));
    }
    {
        const struct wsb_response init = {.body = "x", .len = 1, .more = true};
        ASSERT_SIZED(struct wsb_response, wsb_respond(b.h, 5, o));
    }
    part(&b);
}

static void test_the_options_of_a_handle_say_what_is_not_known(void **state)
{
    static const char *const routes[] = {"echo"};
    GROWN(struct wsb_handler_options) given = {.now = {.routes = routes, .route_count = 1, .name = "sized"}};
    wsb_handler h = {1};
    (void)state;
    assert_false(wsb_handler_open("/nowhere", grow(&given, sizeof given.now, sizeof given, 1), &h));
    assert_int_equal(h.v, 0);
    assert_int_equal(wsb_reason(h), WSB_REASON_MISUSE);
    assert_non_null(strstr(wsb_why(), wsb_version()));
    assert_true(wsb_handler_open("/nowhere", grow(&given, sizeof given.now, sizeof given, 0), &h));
    assert_true(wsb_handler_close(h));
}

static void test_a_websocket_keeps_to_the_sizes_too(void **state)
{
    GROWN(struct wsb_open_result) result;
    GROWN(struct wsb_open_options) given = {.now = {.timeout_ms = 1}};
    struct wsb_message m = {.size = 1};
    struct wsb_websocket_close_info info = {.size = 1};
    wsb_websocket w;
    (void)state;
    memset(&result, 0xee, sizeof result);
    result.now.size = sizeof result.now;
    assert_false(wsb_open_sized("ws://", grow(&given, sizeof given.now, sizeof given, 0), &w, &result.now));
    assert_int_equal(result.now.reason, WSB_REASON_ADDRESS);
    assert_int_equal(result.bytes[sizeof result.now], 0xee);
    assert_false(wsb_open_sized("ws://", grow(&given, sizeof given.now, sizeof given, 1), &w, &result.now));
    assert_int_equal(result.now.reason, WSB_REASON_MISUSE);
    result.now.size = 3;
    result.now.reason = WSB_REASON_OK;
    assert_false(wsb_open_sized("ws://", NULL, &w, &result.now));
    assert_int_equal(wsb_websocket_reason((wsb_websocket){0}), WSB_REASON_MISUSE);
    assert_int_equal(result.now.reason, WSB_REASON_OK);
    assert_false(wsb_websocket_read_sized(w, &m, 0));
    assert_false(wsb_websocket_closed_sized(w, &info));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_library_and_its_headers_are_of_one_version),
        cmocka_unit_test(test_an_event_is_as_large_as_the_program_says),
        cmocka_unit_test(test_a_size_that_cannot_be_is_a_misuse),
        cmocka_unit_test(test_what_the_program_says_is_taken_as_far_as_it_is_known),
        cmocka_unit_test(test_the_options_of_a_handle_say_what_is_not_known),
        cmocka_unit_test(test_a_websocket_keeps_to_the_sizes_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
