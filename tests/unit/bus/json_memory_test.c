/* The JSON library where each allocation fails in turn: it says so, and stays within its bounds (run under AddressSanitizer too). */
#include "support/test.h"

#include <jansson.h>

#include "bus/json_memory.h"
#include "bus/meta.h"

static bool is_out_of_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return is_out_of_memory ? NULL : __real_malloc(size);
}

static void test_pieces_come_from_the_reserve_and_go_back(void **state)
{
    (void)state;
    is_out_of_memory = true;
    void *all = wsg_json_malloc(WSG_JSON_RESERVE);
    assert_non_null(all);
    assert_null(wsg_json_malloc(1));
    wsg_json_free(all);
    char *a = wsg_json_malloc(3), *b = wsg_json_malloc(0), *c = wsg_json_malloc(100);
    assert_true(a && b && c);
    assert_true(b >= a + 3 && c >= b + 1);
    assert_int_equal((uintptr_t)c % _Alignof(max_align_t), 0);
    wsg_json_free(b);
    wsg_json_free(a);
    assert_null(wsg_json_malloc(WSG_JSON_RESERVE)); /* one is still out */
    wsg_json_free(c);
    all = wsg_json_malloc(WSG_JSON_RESERVE);
    assert_non_null(all);
    wsg_json_free(all);
    is_out_of_memory = false;
    wsg_json_free(wsg_json_malloc(5));
    wsg_json_free(NULL);
}

static void test_long_strings_are_read_without_memory(void **state)
{
    enum { LEN = 100000 };
    char *json = malloc(LEN + 64);
    (void)state;
    size_t n = (size_t)sprintf(json, "{\"reason\":\"");
    memset(json + n, 'x', LEN);
    memcpy(json + n + LEN, "\"}", 3);
    is_out_of_memory = true;
    json_t *root = json_loadb(json, n + LEN + 2, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_int_equal(json_string_length(json_object_get(root, "reason")), LEN);
    json_decref(root);
    is_out_of_memory = false;
    free(json);
}

static int install(void **state)
{
    (void)state;
    wsg_json_memory_install();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_come_from_the_reserve_and_go_back),
        cmocka_unit_test(test_long_strings_are_read_without_memory),
    };
    return cmocka_run_group_tests(tests, install, NULL);
}
