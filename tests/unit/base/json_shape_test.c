/* How deep and how wide JSON is. */
#include "support/test.h"

#include <stdlib.h>

#include "base/json_shape.h"

static void test_shapes(void **state)
{
    static const struct {
        const char *json;
        size_t depth, values; /* the least that it passes with */
    } rows[] = {
        {"", 0, 1},
        {"1", 0, 1},
        {"\"[[[[,,,,\"", 0, 1},
        {"\"\\\"[[\"", 0, 1},
        {"\"\\\\\"", 0, 1},
        {"\"\\\\\",[", 1, 3},
        {"[]", 1, 2},
        {"{}", 1, 2},
        {"[1,2,3]", 1, 4},
        {"{\"a\":1,\"b\":2}", 1, 3},
        {"{\"a\":{\"b\":[1]}}", 3, 4},
        {"[[],[],[]]", 2, 7},
        {"[[[]],[]]", 3, 6},
        {"]]]][", 1, 2}, /* no JSON: it is not counted too small */
        {"[\"no end", 1, 2},
        {"[\"no end\\", 1, 2},
        {"{\"[\":\"]\",\"{\":1}", 1, 3},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = strlen(rows[i].json);
        char *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read behind it */
        assert_non_null(exact);
        memcpy(exact, rows[i].json, len);
        struct wsb_json_shape most = {rows[i].depth, rows[i].values};
        struct wsb_json_shape narrow = {rows[i].depth, rows[i].values - 1};
        if (wsb_json_shape_check(wsb_span(exact, len), &most) != WSB_OK)
            fail_msg("%s: too much", rows[i].json);
        if (rows[i].values > 1 && wsb_json_shape_check(wsb_span(exact, len), &narrow) != WSB_ERR_LIMIT)
            fail_msg("%s: fewer values", rows[i].json);
        if (rows[i].depth) {
            struct wsb_json_shape flat = {rows[i].depth - 1, rows[i].values};
            if (wsb_json_shape_check(wsb_span(exact, len), &flat) != WSB_ERR_LIMIT)
                fail_msg("%s: less deep", rows[i].json);
        }
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
