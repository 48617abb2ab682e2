/* Sources and templates: what is understood, the exact refusal of what is not, and the values they find. */
#include "support/test.h"

#include "bus/key.h"

static struct wsb_pattern *path;

static int setup(void **state)
{
    (void)state;
    return wsb_pattern_new(&path, "/chat/{room}/{rest*}", NULL) == WSB_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    wsb_pattern_free(path);
    return 0;
}

static void test_source_is_understood(void **state)
{
    static const struct {
        const char *text;
        enum wsg_source_kind kind;
        const char *name;
        size_t param;
    } rows[] = {
        {NULL, WSG_SOURCE_NONE, NULL, 0},
        {"address", WSG_SOURCE_ADDRESS, NULL, 0},
        {"query:user", WSG_SOURCE_QUERY, "user", 0},
        {"param:room", WSG_SOURCE_PARAM, "room", 0},
        {"param:rest", WSG_SOURCE_PARAM, "rest", 1},
        {"header:X-User", WSG_SOURCE_HEADER, "X-User", 0},
        {"cookie:__Host-id", WSG_SOURCE_COOKIE, "__Host-id", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsg_source got = {.param = 99};
        assert_int_equal(wsg_source_parse(rows[i].text, path, &got, NULL), WSB_OK);
        assert_int_equal(got.kind, rows[i].kind);
        assert_int_equal(got.param, rows[i].param);
        assert_int_equal(got.name == NULL, rows[i].name == NULL);
        if (got.name)
            assert_string_equal(got.name, rows[i].name);
    }
}

static void test_source_that_cannot_be_is_refused(void **state)
{
#define KINDS                                                                                                          \
    " is not one of query:NAME, param:NAME, header:NAME, cookie:NAME, claim:NAME, address, or of a token "             \
    "subprotocol:NAME"
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "''" KINDS},
        {"user", "'user'" KINDS},
        {"Query:user", "'Query:user'" KINDS},
        {"address:", "'address:'" KINDS},
        {"query:", "'query:': '' is not the name of a query parameter that needs no encoding"},
        {"query:a b", "'query:a b': 'a b' is not the name of a query parameter that needs no encoding"},
        {"header:X User", "'header:X User': 'X User' is not the name of a header"},
        {"cookie:a=b", "'cookie:a=b': 'a=b' is not the name of a cookie"},
        {"param:rest*", "'param:rest*': 'rest*' is not the name of a path parameter"},
        {"subprotocol:a b", "'subprotocol:a b': 'a b' is not the name of a subprotocol"},
        {"param:user", "'param:user': the path /chat/{room}/{rest*} has no parameter 'user'"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_fault fault = {0};
        struct wsg_source got = {.param = 99};
        assert_int_equal(wsg_source_parse(rows[i].text, path, &got, &fault), WSB_ERR_CONFIG);
        assert_string_equal(fault.text, rows[i].want);
        assert_int_equal(got.param, 99);
    }
}

static void test_template_that_cannot_be_is_refused(void **state)
{
    static const char braces[] = ": a brace without the other; a parameter is written {name}";
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "'' is empty"},
        {"room:{user}", "'room:{user}': the path /chat/{room}/{rest*} has no parameter 'user'"},
        {"room:{}", "'room:{}': the path /chat/{room}/{rest*} has no parameter ''"},
        {"room:{room", braces},
        {"room:room}", braces},
        {"{{room}}", braces},
        {"\xff", " is not UTF-8"},
    };
    char longest[257];
    struct wsb_fault fault = {0};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        fault = (struct wsb_fault){0};
        assert_int_equal(wsg_template_check(rows[i].text, path, &fault), WSB_ERR_CONFIG);
        if (!strstr(fault.text, rows[i].want))
            fail_msg("'%s' does not say '%s'", fault.text, rows[i].want);
    }
    memset(longest, 'x', 256);
    longest[256] = 0;
    assert_int_equal(wsg_template_check(longest, path, &fault), WSB_ERR_CONFIG);
    longest[255] = 0;
    assert_int_equal(wsg_template_check(longest, path, &fault), WSB_OK);
}

static void test_template_is_expanded_or_nothing_is(void **state)
{
    static const struct {
        const char *text, *room, *rest, *want; /* NULL: not a name */
    } rows[] = {
        {"all", "a", "", "all"},
        {"room:{room}", "a b", "", "room:a b"},
        {"{rest}{room}{rest}", "r", "x/y", "x/yrx/y"},
        {"{rest}", "r", "", NULL},
        {"x{rest}", "r", "\xff", NULL},
    };
    struct wsb_span params[WSB_PATTERN_PARAMS_MAX];
    struct wsb_buf out = {0};
    uint8_t many[256];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        params[0] = wsb_span_str(rows[i].room);
        params[1] = wsb_span_str(rows[i].rest);
        assert_int_equal(wsg_template_check(rows[i].text, path, NULL), WSB_OK);
        wsb_buf_clear(&out);
        assert_int_equal(wsb_buf_append_str(&out, "before "), WSB_OK);
        assert_int_equal(wsg_template_expand(rows[i].text, path, params, &out),
                         rows[i].want ? WSB_OK : WSB_ERR_REFUSED);
        assert_int_equal(out.len, 7 + (rows[i].want ? strlen(rows[i].want) : 0));
        if (rows[i].want)
            assert_memory_equal(out.data + 7, rows[i].want, strlen(rows[i].want));
    }
    memset(many, 'm', sizeof many);
    params[1] = wsb_span(many, 256);
    assert_int_equal(wsg_template_expand("{rest}", path, params, &out), WSB_ERR_REFUSED);
    params[1] = wsb_span(many, 255);
    assert_int_equal(wsg_template_expand("{rest}", path, params, &out), WSB_OK);
    params[1] = wsb_span("a\0b", 3);
    assert_int_equal(wsg_template_expand("{rest}", path, params, &out), WSB_ERR_REFUSED);
    wsb_buf_deinit(&out);
}

static void test_cookie_is_found(void **state)
{
    static const struct {
        const char *header, *want; /* NULL: not there */
    } rows[] = {
        {"id=1", "1"},    {"a=b; id=1; id=2", "1"}, {"a=b;id=x=y", "x=y"},   {"id=\"q\"", "q"},
        {"id=\"", "\""},  {"id=\"\"", ""},          {"\tid=1 ;", "1"},       {"xid=1", NULL},
        {"id", NULL},     {"ID=1", NULL},           {"a=\"; id=1\"", "1\""}, {"", NULL},
        {";;=; id=", ""}, {"id =1", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_span got = {NULL, 0};
        bool found = wsg_cookie_find(wsb_span_str(rows[i].header), "id", &got);
        if (found != (rows[i].want != NULL) || (found && !wsb_span_eq_str(got, rows[i].want)))
            fail_msg("%s: %.*s", rows[i].header, (int)got.len, (const char *)got.ptr);
    }
}

static void test_address_has_no_port(void **state)
{
    static const struct {
        const char *peer, *want;
    } rows[] = {{"192.0.2.1:80", "192.0.2.1"}, {"[::1]:80", "[::1]"}, {"unix:1000", ""}, {"odd", "odd"}, {"", ""}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_true(wsb_span_eq_str(wsg_address_of_peer(wsb_span_str(rows[i].peer)), rows[i].want));
}

static void test_key_hash_is_never_none(void **state)
{
    const struct wsb_seed seed = {1, 2};
    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_not_equal(wsg_key_hash(&seed, wsb_span(&i, sizeof i)), 0);
    assert_int_equal(wsg_key_hash(&seed, wsb_span_str("a")), wsg_key_hash(&seed, wsb_span_str("a")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_is_understood),
        cmocka_unit_test(test_source_that_cannot_be_is_refused),
        cmocka_unit_test(test_template_that_cannot_be_is_refused),
        cmocka_unit_test(test_template_is_expanded_or_nothing_is),
        cmocka_unit_test(test_cookie_is_found),
        cmocka_unit_test(test_address_has_no_port),
        cmocka_unit_test(test_key_hash_is_never_none),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
