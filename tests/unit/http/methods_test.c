/* Which methods are served, and how that is said. */
#include "support/test.h"

#include "http/methods.h"

static const struct row {
    const char *name;
    const char *methods[4];
    const char *have, *have_not; /* with a space behind each */
    const char *allow;
} rows[] = {
    {"none named: all",
     {NULL},
     "GET HEAD POST PUT DELETE PATCH OPTIONS ",
     "",
     "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"},
    {"HEAD goes with GET", {"GET"}, "GET HEAD ", "POST PUT DELETE PATCH OPTIONS ", "GET, HEAD, OPTIONS"},
    {"and not the other way round", {"HEAD"}, "HEAD ", "GET OPTIONS ", "HEAD, OPTIONS"},
    {"both", {"HEAD", "GET"}, "GET HEAD ", "OPTIONS ", "HEAD, GET, OPTIONS"},
    {"others", {"POST", "DELETE"}, "POST DELETE ", "GET HEAD PUT PATCH OPTIONS ", "POST, DELETE, OPTIONS"},
    {"OPTIONS", {"OPTIONS", "PUT"}, "OPTIONS PUT ", "GET HEAD ", "OPTIONS, PUT"},
    {"case matters", {"get"}, "get ", "GET HEAD ", "get, OPTIONS"},
};

static void check_each(const struct row *r, const struct wsg_texts *methods, const char *words, bool want)
{
    char word[16];
    for (int n = 0; sscanf(words, "%15s%n", word, &n) == 1; words += n) {
        if (wsg_methods_have(methods, word) != want)
            fail_msg("%s: %s", r->name, word);
    }
}

static void test_each_row(void **state)
{
    (void)state;
    for (const struct row *r = rows; r < rows + COUNT(rows); r++) {
        char *texts[COUNT(r->methods)];
        struct wsg_texts methods = {texts, 0};
        struct wsb_buf out;
        while (methods.count < COUNT(r->methods) && r->methods[methods.count]) {
            texts[methods.count] = (char *)r->methods[methods.count];
            methods.count++;
        }
        check_each(r, &methods, r->have, true);
        check_each(r, &methods, r->have_not, false);
        wsb_buf_init(&out, 0);
        assert_int_equal(wsg_methods_write(&out, &methods), WSB_OK);
        if (!wsb_span_eq_str(wsb_buf_span(&out), r->allow))
            fail_msg("%s: %.*s", r->name, (int)out.len, (const char *)out.data);
        wsb_buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
