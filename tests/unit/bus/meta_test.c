/* Metadata of commands: what is taken, and what is refused with which words. */
#include <inttypes.h>

#include "support/test.h"

#include "bus/meta.h"
#include "bus/route.h"

static void test_meta_takes_what_the_protocol_names(void **state)
{
    static const char json[] = "{\"to\":[\"00000000000000ff\",\"0000000000000001\"],\"except\":[\"0000000000000009\","
                               "\"0000000000000003\"],\"code\":4000,"
                               "\"reason\":\"because\",\"status\":404,\"headers\":{\"X-A\":\"1\",\"Set-Cookie\":[\"a="
                               "1\",\"b=2\"]},\"groups\":[\"g\",\"h\"],"
                               "\"group\":\"room:a\",\"route\":\"r\",\"routes\":[\"r\"],\"name\":\"n\",\"pid\":7,"
                               "\"batch\":true,\"level\":\"wslog\",\"later\":{}}";
    struct wsg_meta m;
    struct wsb_fault fault;
    (void)state;
    assert_int_equal(wsg_meta_parse(wsb_span_str(json), &m, &fault), WSB_OK);
    assert_true(m.has_to);
    assert_int_equal(m.to_count, 2);
    assert_int_equal(m.to[0], 0xff); /* in the order in which they came */
    assert_true(wsg_meta_excepts(&m, 3));
    assert_true(wsg_meta_excepts(&m, 9));
    assert_false(wsg_meta_excepts(&m, 4));
    assert_int_equal(m.code, 4000);
    assert_int_equal(m.status, 404);
    assert_int_equal(m.field_count, 3);
    assert_true(wsb_span_eq_str(m.fields[1].name, "Set-Cookie"));
    assert_true(wsb_span_eq_str(m.fields[2].value, "b=2"));
    assert_int_equal(m.group_count, 2);
    assert_true(wsb_span_eq_str(m.group, "room:a"));
    assert_true(m.batch);
    assert_int_equal(m.level, 2);
    wsg_meta_deinit(&m);
}

static void test_kinds_are_a_set(void **state)
{
    static const struct {
        const char *json;
        uint8_t want;
    } rows[] = {
        {"{}", WSG_KIND_ALL},
        {"{\"kinds\":[\"websocket\"]}", WSG_KIND_WEBSOCKET},
        {"{\"kinds\":[\"http\"]}", WSG_KIND_HTTP},
        {"{\"kinds\":[\"http\",\"websocket\"]}", WSG_KIND_ALL},
        {"{\"kinds\":[\"http\",\"http\"]}", WSG_KIND_HTTP},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_meta m;
        assert_int_equal(wsg_meta_parse(wsb_span_str(rows[i].json), &m, NULL), WSB_OK);
        assert_int_equal(m.kinds, rows[i].want);
        wsg_meta_deinit(&m);
    }
}

static void test_no_metadata_is_all_defaults(void **state)
{
    struct wsg_meta m;
    (void)state;
    assert_int_equal(wsg_meta_parse(wsb_span(NULL, 0), &m, NULL), WSB_OK);
    assert_int_equal(m.code, 1000);
    assert_int_equal(m.level, -1);
    assert_false(m.has_to);
    assert_null(m.group.ptr);
    wsg_meta_deinit(&m);
}

static void test_meta_refuses_and_says_why(void **state)
{
    static const struct {
        const char *json, *want; /* a part of the text */
    } rows[] = {
        {"", NULL},
        {"{", "not JSON"},
        {"[]", "must be a JSON object"},
        {"3", "JSON"},
        {"{\"a\":1,\"a\":2}", "duplicate"},
        {"{\"a\":\"\xff\"}", "not JSON"},
        {"{\"name\":\"a\\u0000b\"}", "not JSON"},
        {"{} x", "not JSON"},
        {"{\"to\":7}", "\"to\" must be an array"},
        {"{\"to\":[7]}", "\"to\"[0] must be a string of 16"},
        {"{\"to\":[\"00000000000000FF\"]}", "\"to\"[0]"},
        {"{\"except\":[\"0000000000000001\",\"x\"]}", "\"except\"[1]"},
        {"{\"code\":999}", "\"code\" must be an integer from 1000 to 4999"},
        {"{\"code\":\"1000\"}", "\"code\""},
        {"{\"code\":1e3}", "\"code\""},
        {"{\"status\":99}", "\"status\""},
        {"{\"status\":600}", "\"status\""},
        {"{\"reason\":1}", "\"reason\" must be a string"},
        {"{\"batch\":1}", "\"batch\" must be true or false"},
        {"{\"level\":\"loud\"}", "\"level\" must be debug"},
        {"{\"headers\":[]}", "\"headers\" must be an object"},
        {"{\"headers\":{\"a\":1}}", "header \"a\""},
        {"{\"headers\":{\"a\":[1]}}", "header \"a\""},
        {"{\"groups\":\"g\"}", "\"groups\" must be an array"},
        {"{\"groups\":[1]}", "\"groups\"[0] must be a string"},
        {"{\"routes\":{}}", "\"routes\" must be an array"},
        {"{\"pid\":-1}", "\"pid\""},
        {"{\"kinds\":\"http\"}", "\"kinds\" must be an array"},
        {"{\"kinds\":[]}", "at least one kind"},
        {"{\"kinds\":[\"http\",\"gopher\"]}", "\"kinds\"[1] must be \"websocket\" or \"http\""},
        {"{\"kinds\":[1]}", "\"kinds\"[0]"},
        {"{\"kinds\":[\"http\",\"http\",\"http\"]}", "an array of at most 2"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_meta m;
        struct wsb_fault fault = {0};
        wsb_err err = wsg_meta_parse(wsb_span_str(rows[i].json), &m, &fault);
        assert_int_equal(err, rows[i].want ? WSB_ERR_PROTO : WSB_OK);
        if (rows[i].want && !strstr(fault.text, rows[i].want))
            fail_msg("%s: '%s' does not say '%s'", rows[i].json, fault.text, rows[i].want);
        wsg_meta_deinit(&m);
    }
}

static void test_too_many_headers_are_refused(void **state)
{
    char *json = malloc(WSG_FIELDS_MAX * 16 + 64);
    struct wsg_meta m;
    struct wsb_fault fault = {0};
    size_t n = (size_t)sprintf(json, "{\"headers\":{");
    (void)state;
    for (int i = 0; i <= WSG_FIELDS_MAX; i++)
        n += (size_t)sprintf(json + n, "%s\"h%d\":\"\"", i ? "," : "", i);
    memcpy(json + n, "}}", sizeof "}}");
    assert_int_equal(wsg_meta_parse(wsb_span_str(json), &m, &fault), WSB_ERR_PROTO);
    assert_non_null(strstr(fault.text, "more than"));
    wsg_meta_deinit(&m);
    free(json);
}

static void test_65536_targets_are_taken(void **state)
{
    enum { TARGETS = 65536 };
    char *json = malloc(TARGETS * 20 + 64);
    struct wsg_meta m;
    size_t n = (size_t)sprintf(json, "{\"to\":[");
    (void)state;
    for (int i = 0; i < TARGETS; i++)
        n += (size_t)sprintf(json + n, "%s\"%016x\"", i ? "," : "", i + 1);
    memcpy(json + n, "]}", sizeof "]}");
    assert_int_equal(wsg_meta_parse(wsb_span_str(json), &m, NULL), WSB_OK);
    assert_int_equal(m.to_count, TARGETS);
    wsg_meta_deinit(&m);
    free(json);
}

/* However many are excepted, and in whatever order: each is, and nobody else. */
static void test_very_many_are_excepted(void **state)
{
    enum { MANY = 20000 };
    char *json = malloc(MANY * 20 + 64);
    struct wsg_meta m;
    size_t n = (size_t)sprintf(json, "{\"except\":[");
    (void)state;
    for (uint64_t i = 0; i < MANY; i++)
        n += (size_t)sprintf(json + n, "%s\"%016" PRIx64 "\"", i ? "," : "", (i / 2 + 1) * 0x9e3779b97f4a7c15u);
    memcpy(json + n, "]}", sizeof "]}");
    assert_int_equal(wsg_meta_parse(wsb_span_str(json), &m, NULL), WSB_OK);
    assert_int_equal(m.except_count, MANY);
    for (size_t i = 1; i < MANY; i++)
        assert_true(m.except[i - 1] <= m.except[i]);
    for (uint64_t i = 0; i < MANY / 2; i++) {
        assert_true(wsg_meta_excepts(&m, (i + 1) * 0x9e3779b97f4a7c15u));
        assert_false(wsg_meta_excepts(&m, (i + 1) * 0x9e3779b97f4a7c15u + 1));
    }
    wsg_meta_deinit(&m);
    free(json);
}

/* The same metadata with blanks behind it is long, and is read by the pass that looks for lists first. */
static void test_long_metadata_means_what_short_does(void **state)
{
    static const char *const rows[] = {
        "{}",
        "{\"to\":[]}",
        "{\"to\":[\"00000000000000ff\"],\"except\":[\"0000000000000009\",\"0000000000000003\"]}",
        " { \"except\" : [ \"0000000000000009\" , \"0000000000000003\" ] , \"to\":[\"00000000000000ff\"\n] , \"code\" "
        ": 1001 } ",
        "{\"to\":[\"00000000000000ff\",]}",
        "{\"to\":[\"00000000000000ff\"",
        "{\"to\":[\"00000000000000FF\"]}",
        "{\"to\":[7]}",
        "{\"to\":7}",
        "{\"to\":[\"00000000000000ff\"],\"to\":[\"00000000000000fe\"]}",
        "{\"x\":{\"to\":[\"00000000000000ff\"]}}",
        "{\"x\":\"to\",\"reason\":\"\\\"to\\\":[\\\"00000000000000ff\\\"]\"}",
        "{\"t\\u006f\":[\"00000000000000ff\"]}",
        "{\"x\":\"except\":[\"00000000000000ff\"]}",
        "[\"to\",[\"00000000000000ff\"]]",
        "\"to\":[\"00000000000000ff\"]",
        "{\"to\"[\"00000000000000ff\"]}",
        "{\"reason\":\"no end",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        static char text[8192];
        struct wsg_meta small, large;
        memset(text, ' ', sizeof text);
        memcpy(text, rows[i], strlen(rows[i]));
        wsb_err a = wsg_meta_parse(wsb_span_str(rows[i]), &small, NULL);
        wsb_err b = wsg_meta_parse(wsb_span(text, sizeof text), &large, NULL);
        if (a != b || (!a && (small.has_to != large.has_to || small.to_count != large.to_count ||
                              small.except_count != large.except_count || small.code != large.code)))
            fail_msg("%s: %d, %d", rows[i], a, b);
        if (!a && small.to_count)
            assert_memory_equal(small.to, large.to, small.to_count * sizeof *small.to);
        if (!a && small.except_count)
            assert_memory_equal(small.except, large.except, small.except_count * sizeof *small.except);
        wsg_meta_deinit(&small);
        wsg_meta_deinit(&large);
    }
}

static void assert_too_much(const char *head, const char *part, const char *tail, size_t count, const char *why)
{
    size_t len = strlen(part);
    char *json = malloc(strlen(head) + count * len + strlen(tail) + 1);
    char *at = stpcpy(json, head);
    for (size_t i = 0; i < count; i++)
        at = stpcpy(at, part);
    (void)stpcpy(at, tail);
    struct wsg_meta m;
    struct wsb_fault fault = {0};
    assert_int_equal(wsg_meta_parse(wsb_span_str(json), &m, &fault), WSB_ERR_PROTO);
    if (!strstr(fault.text, why))
        fail_msg("%s", fault.text);
    wsg_meta_deinit(&m);
    free(json);
}

/* Four million bytes of it took the general parser seconds. */
static void test_there_is_an_end_to_what_is_not_a_list(void **state)
{
    (void)state;
    assert_too_much("{\"x\":[", "1,", "1]}", 5000, "4096 values");
    assert_too_much("{\"x\":[", "{},", "1]}", 3000, "4096 values");
    assert_too_much("{\"x\":[", "[", "", 5000, "32 levels");
    assert_too_much("{\"x\":\"", "0123456789abcdef", "\"}", 20000, "262144 bytes");
    assert_too_much("{\"to\":[", "\"0000000000000001\",", "\"0000000000000001\"]}", WSG_TARGETS_MAX, "65536 ids");
    assert_too_much("{\"all\":true,\"except\":[", "\"0000000000000001\",", "\"0000000000000001\"]}", WSG_TARGETS_MAX,
                    "65536 ids");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_meta_takes_what_the_protocol_names),
        cmocka_unit_test(test_kinds_are_a_set),
        cmocka_unit_test(test_no_metadata_is_all_defaults),
        cmocka_unit_test(test_meta_refuses_and_says_why),
        cmocka_unit_test(test_long_metadata_means_what_short_does),
        cmocka_unit_test(test_there_is_an_end_to_what_is_not_a_list),
        cmocka_unit_test(test_too_many_headers_are_refused),
        cmocka_unit_test(test_65536_targets_are_taken),
        cmocka_unit_test(test_very_many_are_excepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
