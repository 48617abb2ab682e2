/* OpenMetrics text, to the letter. */
#include "support/test.h"

#include "admin/counters.h"

static void test_exposition_is_written_to_the_letter(void **state)
{
    struct wsb_buf out;
    struct wsg_exposition x;
    const struct wsg_label labels[] = {{"route", "chat"}, {"reason", "lost"}};
    (void)state;
    wsb_buf_init(&out, 0);
    wsg_exposition_begin(&x, &out);
    wsg_exposition_family(&x, "a", WSG_GAUGE, "", "An a.");
    wsg_exposition_sample(&x, "a", WSG_GAUGE, NULL, 0, UINT64_MAX, 1);
    wsg_exposition_family(&x, "b_seconds", WSG_COUNTER, "seconds", "A b.");
    wsg_exposition_sample(&x, "b_seconds", WSG_COUNTER, labels, 1, 12034, 1000);
    wsg_exposition_sample(&x, "b_seconds", WSG_COUNTER, labels, 2, 7, 1000000);
    wsg_exposition_family(&x, "c", WSG_INFO, "", "A c.");
    wsg_exposition_sample(&x, "c", WSG_INFO, labels, 1, 1, 1);
    assert_int_equal(wsg_exposition_end(&x), WSB_OK);
    assert_int_equal(wsb_buf_append(&out, "", 1), WSB_OK);
    assert_string_equal((const char *)out.data, "# TYPE a gauge\n# HELP a An a.\na 18446744073709551615\n"
                                                "# TYPE b_seconds counter\n# UNIT b_seconds seconds\n"
                                                "# HELP b_seconds A b.\nb_seconds_total{route=\"chat\"} 12.034\n"
                                                "b_seconds_total{route=\"chat\",reason=\"lost\"} 0.000007\n"
                                                "# TYPE c info\n# HELP c A c.\nc_info{route=\"chat\"} 1\n# EOF\n");
    wsb_buf_deinit(&out);
}

static void test_exposition_label_values_cannot_break_out(void **state)
{
    static const struct {
        const char *value, *want;
    } rows[] = {
        {"", ""},
        {"plain", "plain"},
        {"a\"b", "a\\\"b"},
        {"a\\b", "a\\\\b"},
        {"a\nb", "a\\nb"},
        {"\"} 1\n# EOF", "\\\"} 1\\n# EOF"},
        {"\r\t\x01\x7f", "????"},
        {"caf\xc3\xa9 \xf0\x9f\x98\x80", "caf\xc3\xa9 \xf0\x9f\x98\x80"},
        {"caf\xc3", "caf?"},
        {"\xc3\xa9\xff\"", "???\\\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_buf out;
        struct wsg_exposition x;
        const struct wsg_label label = {"l", rows[i].value};
        char want[100];
        wsb_buf_init(&out, 0);
        wsg_exposition_begin(&x, &out);
        wsg_exposition_sample(&x, "a", WSG_GAUGE, &label, 1, 0, 1);
        (void)snprintf(want, sizeof want, "a{l=\"%s\"} 0\n# EOF\n", rows[i].want);
        assert_int_equal(wsg_exposition_end(&x), WSB_OK);
        assert_int_equal(out.len, strlen(want));
        assert_memory_equal(out.data, want, out.len);
        wsb_buf_deinit(&out);
    }
}

static void test_exposition_failure_sticks(void **state)
{
    struct wsb_buf out;
    struct wsg_exposition x;
    (void)state;
    wsb_buf_init(&out, 20);
    wsg_exposition_begin(&x, &out);
    wsg_exposition_family(&x, "a", WSG_GAUGE, "", "It is too long for the buffer.");
    wsg_exposition_sample(&x, "a", WSG_GAUGE, NULL, 0, 1, 1);
    assert_int_equal(wsg_exposition_end(&x), WSB_ERR_LIMIT);
    assert_true(out.len <= 20);
    wsb_buf_deinit(&out);
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

/* What OpenMetrics asks of names, and the two readers of the table of each other. */
static void test_counters_table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < wsg_counter_count; i++) {
        const struct wsg_counter *c = &wsg_counters[i];
        assert_non_null(c->get);
        assert_true(c->key || c->metric);
        assert_int_equal(c->reasons > 0, c->reason_name != NULL);
        for (size_t k = i + 1; k < wsg_counter_count; k++) {
            if (c->metric && wsg_counters[k].metric && strcmp(c->metric, wsg_counters[k].metric) == 0)
                fail_msg("%s twice", c->metric);
            if (c->key && wsg_counters[k].key && c->of == wsg_counters[k].of &&
                strcmp(c->key, wsg_counters[k].key) == 0)
                fail_msg("%s twice", c->key);
        }
        if (!c->metric)
            continue;
        assert_true(strspn(c->metric, "abcdefghijklmnopqrstuvwxyz_") == strlen(c->metric));
        assert_false(ends_with(c->metric, "_total") || ends_with(c->metric, "_info"));
        assert_true(ends_with(c->metric, c->unit));
        assert_int_equal(c->scale > 1, strcmp(c->unit, "seconds") == 0);
        assert_true(ends_with(c->help, "."));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exposition_is_written_to_the_letter),
        cmocka_unit_test(test_exposition_label_values_cannot_break_out),
        cmocka_unit_test(test_exposition_failure_sticks),
        cmocka_unit_test(test_counters_table_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
