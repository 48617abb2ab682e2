/* The lines about handlers that are not registered, and their times: what the helpers in other languages are tested with as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "api/trouble.h"

enum { ROUTES_MAX = 16 };

static json_t *vectors;

static int load(void **state)
{
    (void)state;
    vectors = json_load_file(WSBUS_SOURCE_DIR "/tests/vectors/trouble.json", JSON_REJECT_DUPLICATES, NULL);
    return vectors ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static enum wsb_trouble_kind kind_of(const char *name)
{
    static const char *const names[WSB_TROUBLE_KINDS] = {"none",      "absent", "denied",  "deaf",
                                                         "handshake", "link",   "refused", "mute"};
    for (int i = 0; i < WSB_TROUBLE_KINDS; i++) {
        if (strcmp(names[i], name) == 0)
            return (enum wsb_trouble_kind)i;
    }
    fail_msg("no such kind: %s", name);
    return WSB_TROUBLE_NONE;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void test_each_trouble_has_its_line(void **state)
{
    (void)state;
    size_t at;
    json_t *v;
    json_array_foreach(json_object_get(vectors, "lines"), at, v)
    {
        const char *routes[ROUTES_MAX];
        struct wsb_trouble t;
        size_t count = json_array_size(json_object_get(v, "routes"));
        assert_true(count <= ROUTES_MAX);
        for (size_t i = 0; i < count; i++)
            routes[i] = json_string_value(json_array_get(json_object_get(v, "routes"), i));
        assert_int_equal(wsb_trouble_init(&t, text_of(v, "name"), routes, count, text_of(v, "endpoint")), WSB_OK);
        if (text_of(v, "public_key"))
            wsb_trouble_set_key(&t, text_of(v, "public_key"));
        wsb_trouble_note(&t, kind_of(text_of(v, "kind")), text_of(v, "why") ? text_of(v, "why") : "", 1);
        assert_true(t.is_pending);
        assert_string_equal(t.line, text_of(v, "line"));
        wsb_trouble_deinit(&t);
    }
}

static void begin(struct wsb_trouble *t)
{
    assert_int_equal(wsb_trouble_init(t, "echo", (const char *const[]){"echo"}, 1, "ipc:///run/wsbus/handlers"),
                     WSB_OK);
}

static void test_lines_are_due_at_their_times(void **state)
{
    (void)state;
    size_t at, k;
    json_t *v, *note;
    json_array_foreach(json_object_get(vectors, "times"), at, v)
    {
        struct wsb_trouble t;
        begin(&t);
        json_array_foreach(json_object_get(v, "notes"), k, note)
        {
            t.is_pending = false;
            wsb_trouble_note(&t, kind_of(json_string_value(json_array_get(note, 1))),
                             json_string_value(json_array_get(note, 2)),
                             (uint64_t)json_integer_value(json_array_get(note, 0)));
            if (t.is_pending != json_is_true(json_array_get(note, 3)))
                fail_msg("%s: note %zu", text_of(v, "what"), k);
        }
        wsb_trouble_deinit(&t);
    }
}

static void test_the_end_of_a_trouble_is_told(void **state)
{
    (void)state;
    struct wsb_trouble t;
    begin(&t);
    wsb_trouble_note(&t, WSB_TROUBLE_DEAF, "", 1);
    assert_int_equal(t.level, WSB_LOG_WARN);
    wsb_trouble_note(&t, WSB_TROUBLE_NONE, "", 2);
    assert_int_equal(t.level, WSB_LOG_INFO);
    assert_string_equal(t.line, json_string_value(json_object_get(vectors, "registered")));
    wsb_trouble_deinit(&t);
}

/* The longest of everything still is one line, with its end. */
static void test_no_line_is_longer_than_its_place(void **state)
{
    (void)state;
    char name[65], route[300], dir[108], why[400];
    const char *routes[WSB_TROUBLE_ROUTES + 1];
    struct wsb_trouble t;
    memset(name, 'n', sizeof name);
    memset(route, 'r', sizeof route);
    memset(dir, 'd', sizeof dir);
    memset(why, 'w', sizeof why);
    memcpy(dir, "ipc:///", 7);
    name[64] = route[299] = dir[107] = why[399] = 0;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        routes[i] = route;
    assert_int_equal(wsb_trouble_init(&t, name, routes, sizeof routes / sizeof *routes, dir), WSB_OK);
    for (int kind = WSB_TROUBLE_ABSENT; kind < WSB_TROUBLE_KINDS; kind++) {
        wsb_trouble_note(&t, (enum wsb_trouble_kind)kind, why, (uint64_t)kind * 5000);
        assert_non_null(memchr(t.line, 0, sizeof t.line));
        assert_int_equal(strncmp(t.line, "wsbus: handler", 14), 0);
    }
    wsb_trouble_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_trouble_has_its_line),
        cmocka_unit_test(test_lines_are_due_at_their_times),
        cmocka_unit_test(test_the_end_of_a_trouble_is_told),
        cmocka_unit_test(test_no_line_is_longer_than_its_place),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
