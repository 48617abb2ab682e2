/* Sec-WebSocket-Extensions by its grammar: each row is a value and what it says, in a normal form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ws/extension.h"

static const struct row {
    const char *name;
    const char *value;
    const char *want; /* "name;param=value, …", or "… malformed" after what came before the fault */
} rows[] = {
    {"§9.1 a name", "foo", "foo"},
    {"§9.1 two", "foo, bar", "foo, bar"},
    {"§9.1 a parameter without a value", "foo; bar", "foo;bar"},
    {"§9.1 a parameter with a value", "foo; bar=baz", "foo;bar=baz"},
    {"§9.1 several of each", "foo; a=1; b, bar;c=2", "foo;a=1;b, bar;c=2"},
    {"§9.1 quoted value", "foo; bar=\"baz\"", "foo;bar=baz"},
    {"§9.1 quoted value with escapes", "foo; bar=\"b\\a\\z\"", "foo;bar=b\\a\\z"},
    {"§9.1 the same name twice: two offers", "foo, foo; use_y", "foo, foo;use_y"},
    {"§9.1 all characters of a token", "!#$%&'*+-.^_`|~09azAZ", "!#$%&'*+-.^_`|~09azAZ"},
    {"RFC 9110 §5.6.1.2 empty elements", ",, foo , ,bar,", "foo, bar"},
    {"RFC 9110 §5.6.3 blanks anywhere between", " \tfoo ;\tbar = baz ;a ,b ", "foo;bar=baz;a, b"},
    {"nothing", "", ""},
    {"blanks and commas", " , ,\t", ""},

    {"no name", "; a", "malformed"},
    {"no name behind a comma", "foo, ; a", "foo, malformed"},
    {"no parameter behind a semicolon", "foo;", "malformed"},
    {"an empty parameter", "foo;;a", "malformed"},
    {"no value behind =", "foo; a=", "malformed"},
    {"no value, then another parameter", "foo; a=; b", "malformed"},
    {"two names without a comma", "foo bar", "malformed"},
    {"two values", "foo; a=b c", "malformed"},
    {"two =", "foo; a=b=c", "malformed"},
    {"a quoted name", "\"foo\"", "malformed"},
    {"a quoted parameter", "foo; \"a\"", "malformed"},
    {"quotes that do not end", "foo; a=\"b", "malformed"},
    {"quotes that end in an escape", "foo; a=\"b\\", "malformed"},
    {"an escaped quote ends nothing", "foo; a=\"b\\\"", "malformed"},
    {"§9.1 empty quotes are no token", "foo; a=\"\"", "malformed"},
    {"§9.1 a blank in quotes is no token", "foo; a=\"b c\"", "malformed"},
    {"§9.1 a comma in quotes is no token", "foo; a=\"b,c\"", "malformed"},
    {"§9.1 an escaped backslash is no token", "foo; a=\"\\\\\"", "malformed"},
    {"something behind the quotes", "foo; a=\"b\"c", "malformed"},
    {"a slash", "foo/bar", "malformed"},
    {"not ASCII", "f\xc3\xb6\xc3\xb6", "malformed"},
    {"a control character", "foo\x01", "malformed"},
    {"a bad one behind a good one", "foo; a=1, bar;", "foo;a=1, malformed"},
};

static void say(char out[256], const char *text, struct wsb_span s)
{
    size_t len = strlen(out);
    assert_true(len + strlen(text) + s.len < 255);
    (void)snprintf(out + len, 256 - len, "%s%.*s", text, (int)s.len, (const char *)s.ptr);
}

static void transcribe(struct wsb_span rest, char out[256])
{
    struct wsb_extension e;
    struct wsb_extension_param p;
    wsb_err err;
    out[0] = 0;
    while ((err = wsb_extension_next(&rest, &e)) == WSB_OK) {
        say(out, out[0] ? ", " : "", e.name);
        while (wsb_extension_next_param(&e.params, &p)) {
            say(out, ";", p.name);
            if (p.has_value)
                say(out, "=", p.value);
        }
        assert_int_equal(e.params.len, 0);
    }
    if (err != WSB_CLOSED) {
        assert_int_equal(err, WSB_ERR_PROTO);
        say(out, out[0] ? ", malformed" : "malformed", wsb_span(NULL, 0));
    }
}

static void test_extension_grammar(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char got[256];
        size_t len = strlen(rows[i].value);
        uint8_t *exact = malloc(len + 1); /* the sanitizer sees who reads too far */
        assert_non_null(exact);
        memcpy(exact, rows[i].value, len);
        transcribe(wsb_span(exact, len), got);
        free(exact);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: %s", rows[i].name, got);
    }
}

static void test_extension_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        unsigned want;
    } numbers[] = {
        {"8", 8},         {"15", 15}, {"1", 1}, {"99", 99}, {"\\1\\5", 15}, {"0", 0},  {"08", 0},
        {"100", 0},       {"1a", 0},  {"a", 0}, {"+8", 0},  {"-8", 0},      {"8.", 0}, {"18446744073709551624", 0},
        {"1000000000", 0}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct wsb_extension_param p = {.has_value = true, .value = wsb_span_str(numbers[i].value)};
        if (wsb_extension_param_number(&p) != numbers[i].want)
            fail_msg("%s: %u", numbers[i].value, wsb_extension_param_number(&p));
    }
    assert_int_equal(wsb_extension_param_number(&(struct wsb_extension_param){.has_value = false}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extension_grammar),
        cmocka_unit_test(test_extension_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
