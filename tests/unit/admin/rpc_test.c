/* JSON-RPC 2.0 requests, their parameters and answers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "admin/rpc.h"

static const struct request_row {
    const char *name, *line;
    int code;              /* 0: a good request */
    const char *id, *what; /* of the answer; the method, or a part of the complaint */
} requests[] = {
    {"number as id", "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"status\"}", 0, "7", "status"},
    {"text as id", "{\"jsonrpc\":\"2.0\",\"id\":\"a\\nb\",\"method\":\"status\",\"params\":{}}", 0, "\"a\\nb\"",
     "status"},
    {"null as id", "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}", 0, "null", "m"},
    {"notification", "{\"jsonrpc\":\"2.0\",\"method\":\"m\"}", 0, "", "m"},
    {"not JSON", "{", WSG_RPC_PARSE, "null", "not JSON"},
    {"nothing", " ", WSG_RPC_PARSE, "null", "not JSON"},
    {"not UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}", WSG_RPC_PARSE, "null", "not JSON"},
    {"a key twice", "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"m\"}", WSG_RPC_PARSE, "null", "duplicate"},
    {"more behind it", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}{}", WSG_RPC_PARSE, "null", "not JSON"},
    {"NUL in text", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\u0000\"}", WSG_RPC_PARSE, "null", "not JSON"},
    {"batch", "[]", WSG_RPC_REQUEST, "null", "batches"},
    {"a number", "1", WSG_RPC_REQUEST, "null", "object"},
    {"no version", "{\"id\":1,\"method\":\"m\"}", WSG_RPC_REQUEST, "1", "jsonrpc"},
    {"another version", "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}", WSG_RPC_REQUEST, "1", "jsonrpc"},
    {"no method", "{\"jsonrpc\":\"2.0\",\"id\":1}", WSG_RPC_REQUEST, "1", "method"},
    {"no method and no id is still answered", "{\"jsonrpc\":\"2.0\"}", WSG_RPC_REQUEST, "null", "method"},
    {"method is a number", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":1}", WSG_RPC_REQUEST, "1", "method"},
    {"id is an object", "{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"m\"}", WSG_RPC_REQUEST, "null", "id"},
    {"id is a fraction", "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"m\"}", WSG_RPC_REQUEST, "null", "id"},
    {"params is an array", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[1]}", WSG_RPC_PARAMS, "1",
     "params"},
};

static void test_requests_are_judged_as_the_specification_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        const struct request_row *row = &requests[i];
        struct wsg_rpc_request r;
        struct wsg_rpc_error error = {0};
        wsb_err err = wsg_rpc_parse(wsb_span_str(row->line), &r, &error);
        if (err != (row->code ? WSB_ERR_PROTO : WSB_OK) || (int)error.code != row->code)
            fail_msg("%s: err %d, code %d", row->name, err, (int)error.code);
        if (strcmp(r.id, row->id) != 0)
            fail_msg("%s: id is %s", row->name, r.id);
        if (!strstr(row->code ? error.fault.text : r.method, row->what))
            fail_msg("%s: '%s'", row->name, row->code ? error.fault.text : r.method);
        wsg_rpc_request_deinit(&r);
    }
}

static void test_an_id_that_is_too_long_is_refused(void **state)
{
    char line[400];
    struct wsg_rpc_request r;
    struct wsg_rpc_error error;
    (void)state;
    for (int len = WSG_RPC_ID_MAX - 5; len < WSG_RPC_ID_MAX + 2; len++) { /* the quotes and the NUL count */
        (void)snprintf(line, sizeof line, "{\"jsonrpc\":\"2.0\",\"id\":\"%0*d\",\"method\":\"m\"}", len, 1);
        wsb_err want = len + 3 <= WSG_RPC_ID_MAX ? WSB_OK : WSB_ERR_PROTO;
        assert_int_equal(wsg_rpc_parse(wsb_span_str(line), &r, &error), want);
        assert_int_equal(strlen(r.id), want ? 4 : len + 2);
        wsg_rpc_request_deinit(&r);
    }
}

static void test_deep_nesting_is_an_error(void **state)
{
    enum { DEEP = 100000 };
    char *line = malloc(DEEP);
    struct wsg_rpc_request r;
    struct wsg_rpc_error error;
    (void)state;
    memset(line, '[', DEEP);
    assert_int_equal(wsg_rpc_parse(wsb_span(line, DEEP), &r, &error), WSB_ERR_PROTO);
    assert_int_equal(error.code, WSG_RPC_PARSE);
    assert_non_null(strstr(error.fault.text, "deeper than 16 levels"));
    wsg_rpc_request_deinit(&r);
    memset(line, ',', DEEP);
    line[0] = '[';
    assert_int_equal(wsg_rpc_parse(wsb_span(line, DEEP), &r, &error), WSB_ERR_PROTO);
    wsg_rpc_request_deinit(&r);
    free(line);
}

static json_t *load(const char *text)
{
    json_t *v = json_loads(text, 0, NULL);
    assert_non_null(v);
    return v;
}

static void test_a_parameter_that_is_wrong_is_named(void **state)
{
    json_t *p = load("{\"n\":5,\"big\":101,\"neg\":-1,\"s\":\"x\",\"b\":true,\"f\":1.5}");
    struct wsb_fault fault = {0};
    uint64_t n = 77;
    const char *s = "before";
    bool b = false;
    (void)state;
    assert_int_equal(wsg_param_u64(p, "n", 1, 100, &n, &fault), WSB_OK);
    assert_int_equal(n, 5);
    assert_int_equal(wsg_param_u64(p, "none", 1, 100, &n, &fault), WSB_OK);
    assert_int_equal(n, 5);
    static const char *const bad[] = {"big", "neg", "s", "b", "f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char quoted[16];
        (void)snprintf(quoted, sizeof quoted, "\"%s\"", bad[i]);
        assert_int_equal(wsg_param_u64(p, bad[i], 1, 100, &n, &fault), WSB_ERR_PROTO);
        assert_non_null(strstr(fault.text, quoted));
    }
    assert_int_equal(n, 5);
    assert_int_equal(wsg_param_str(p, "n", &s, &fault), WSB_ERR_PROTO);
    assert_string_equal(s, "before");
    assert_int_equal(wsg_param_str(p, "s", &s, &fault), WSB_OK);
    assert_string_equal(s, "x");
    assert_int_equal(wsg_param_bool(p, "n", &b, &fault), WSB_ERR_PROTO);
    assert_int_equal(wsg_param_bool(p, "b", &b, &fault), WSB_OK);
    assert_true(b);
    json_decref(p);
}

static void test_parameters_that_nobody_knows_are_refused(void **state)
{
    static const struct {
        const char *params, *known;
        wsb_err want;
    } rows[] = {
        {"{}", "", WSB_OK},
        {"{\"id\":1}", "", WSB_ERR_PROTO},
        {"{\"id\":1}", "id ", WSB_OK},
        {"{\"id\":1,\"route\":2}", "id route ", WSB_OK},
        {"{\"rout\":1}", "id route ", WSB_ERR_PROTO},
        {"{\"routes\":1}", "id route ", WSB_ERR_PROTO},
        {"{\"\":1}", "id route ", WSB_ERR_PROTO},
        {"{\"id route\":1}", "id route ", WSB_ERR_PROTO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *p = load(rows[i].params);
        struct wsb_fault fault;
        if (wsg_params_check(p, rows[i].known, &fault) != rows[i].want)
            fail_msg("%s against '%s'", rows[i].params, rows[i].known);
        json_decref(p);
    }
    struct wsb_fault fault;
    assert_int_equal(wsg_params_check(NULL, "id ", &fault), WSB_OK);
}

static void test_ids_are_sorted_without_doubles(void **state)
{
    json_t *p = load("{\"ids\":[\"0000000000000003\",\"0000000000000001\",\"0000000000000003\"]}");
    struct wsb_fault fault;
    wsb_conn *ids = NULL;
    size_t count = 0;
    (void)state;
    assert_int_equal(wsg_param_conns(p, "ids", &ids, &count, &fault), WSB_OK);
    assert_int_equal(count, 2);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], 3);
    free(ids);
    json_decref(p);
}

static void test_what_is_not_an_id_is_refused(void **state)
{
    static const char *const bad[] = {"{\"ids\":[1]}",
                                      "{\"ids\":\"0000000000000001\"}",
                                      "{\"ids\":[\"1\"]}",
                                      "{\"ids\":[\"000000000000000G\"]}",
                                      "{\"ids\":[\"00000000000000010\"]}",
                                      "{\"ids\":[\"0000000000000000\"]}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *p = load(bad[i]);
        struct wsb_fault fault;
        wsb_conn *ids = NULL;
        size_t count = 0;
        if (wsg_param_conns(p, "ids", &ids, &count, &fault) != WSB_ERR_PROTO || ids)
            fail_msg("%s", bad[i]);
        json_decref(p);
    }
}

static void test_answers_are_one_line_of_json(void **state)
{
    struct wsb_buf out;
    struct wsb_json j;
    (void)state;
    wsb_buf_init(&out, 0);
    wsg_rpc_result_begin(&j, &out, "7");
    wsb_json_object(&j);
    wsb_json_kcstr(&j, "a", "b\nc");
    wsb_json_object_end(&j);
    assert_int_equal(wsg_rpc_end(&j), WSB_OK);
    assert_true(wsb_span_eq_str(wsb_buf_span(&out), "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"a\":\"b\\nc\"}}\n"));
    wsb_buf_clear(&out);
    assert_int_equal(wsg_rpc_error_write(&out, "\"x\"", WSG_RPC_METHOD, "no \"m\""), WSB_OK);
    assert_true(wsb_span_eq_str(
        wsb_buf_span(&out),
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":-32601,\"message\":\"no \\\"m\\\"\"}}\n"));
    wsb_buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_are_judged_as_the_specification_says),
        cmocka_unit_test(test_an_id_that_is_too_long_is_refused),
        cmocka_unit_test(test_deep_nesting_is_an_error),
        cmocka_unit_test(test_a_parameter_that_is_wrong_is_named),
        cmocka_unit_test(test_parameters_that_nobody_knows_are_refused),
        cmocka_unit_test(test_ids_are_sorted_without_doubles),
        cmocka_unit_test(test_what_is_not_an_id_is_refused),
        cmocka_unit_test(test_answers_are_one_line_of_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
