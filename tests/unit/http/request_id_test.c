/* Which X-Request-Id is taken, and what ours look like. */
#include "support/test.h"

#include "http/request_id.h"

#define A32  "0123456789abcdef0123456789abcdef"
#define A128 A32 A32 A32 A32

static const struct row {
    const char *name;
    const char *values[2]; /* of the fields, NULL: no more */
    bool is_taken;
} rows[] = {
    {"none", {NULL}, false},
    {"a UUID", {"7b7b2f5e-5a3c-4c55-9a3b-0d6f9a1d7c11"}, true},
    {"one character", {"x"}, true},
    {"every kind of character", {"aZ09!#$%&'*+-.^_`|~"}, true},
    {"as long as may be", {A128}, true},
    {"too long", {A128 "0"}, false},
    {"empty", {""}, false},
    {"a space", {"a b"}, false},
    {"a quote", {"a\"b"}, false},
    {"an equals sign, which logs give a meaning", {"a=b"}, false},
    {"a backslash", {"a\\b"}, false},
    {"beyond ASCII", {"\xc3\xa4"}, false},
    {"two: whose is it?", {"a", "b"}, false},
    {"the same twice", {"a", "a"}, false},
};

static void test_each_row(void **state)
{
    (void)state;
    for (const struct row *r = rows; r < rows + COUNT(rows); r++) {
        struct wsg_http_header headers[3] = {{wsb_span_str("Host"), wsb_span_str("h")}};
        size_t count = 1;
        for (size_t i = 0; i < COUNT(r->values) && r->values[i]; i++)
            headers[count++] = (struct wsg_http_header){wsb_span_str("X-Request-ID"), wsb_span_str(r->values[i])};
        struct wsb_span id = wsg_request_id_find(headers, count);
        if ((id.ptr != NULL) != r->is_taken || (r->is_taken && !wsb_span_eq_str(id, r->values[0])))
            fail_msg("%s: %s", r->name, id.ptr ? "taken" : "not taken");
    }
}

static void test_ours_can_be_taken_by_the_next_gate(void **state)
{
    char id[WSG_REQUEST_ID_OWN + 1];
    (void)state;
    wsg_request_id_write((const uint64_t[]){0xfedcba9876543210u, 1}, id);
    assert_string_equal(id, "fedcba98765432100000000000000001");
    struct wsg_http_header header = {wsb_span_str("x-request-id"), wsb_span_str(id)};
    assert_ptr_equal(wsg_request_id_find(&header, 1).ptr, id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_row),
        cmocka_unit_test(test_ours_can_be_taken_by_the_next_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
