/* The growing buffer, checked arithmetic, faults and the names of results. */
#include "support/test.h"

#include "base/buf.h"
#include "base/fault.h"
#include "base/size.h"

static void test_buffer_grows_and_keeps_its_bytes(void **state)
{
    struct wsb_buf b;
    (void)state;
    wsb_buf_init(&b, 0);
    for (int i = 0; i < 10000; i++) {
        uint8_t c = (uint8_t)i;
        assert_int_equal(wsb_buf_append(&b, &c, 1), WSB_OK);
    }
    for (int i = 0; i < 10000; i++)
        assert_int_equal(b.data[i], (uint8_t)i);
    wsb_buf_deinit(&b);
    assert_null(b.data);
}

static void test_buffer_keeps_its_ceiling(void **state)
{
    struct wsb_buf b;
    char big[300] = {0};
    (void)state;
    wsb_buf_init(&b, 300);
    assert_int_equal(wsb_buf_append(&b, big, 299), WSB_OK);
    assert_int_equal(wsb_buf_append(&b, big, 2), WSB_ERR_LIMIT);
    assert_int_equal(b.len, 299);
    assert_int_equal(wsb_buf_append(&b, big, 1), WSB_OK);
    assert_true(b.cap <= 300);
    assert_int_equal(wsb_buf_reserve(&b, SIZE_MAX), WSB_ERR_LIMIT); /* the sum would wrap */
    wsb_buf_deinit(&b);
}

static void test_buffer_consumes_from_the_front(void **state)
{
    struct wsb_buf b;
    (void)state;
    wsb_buf_init(&b, 0);
    assert_int_equal(wsb_buf_append_str(&b, "hello world"), WSB_OK);
    wsb_buf_consume(&b, 6);
    assert_true(wsb_span_eq_str(wsb_buf_span(&b), "world"));
    wsb_buf_consume(&b, 5);
    assert_int_equal(b.len, 0);
    wsb_buf_deinit(&b);
}

static void test_buffer_formats(void **state)
{
    struct wsb_buf b;
    (void)state;
    wsb_buf_init(&b, 0);
    assert_int_equal(wsb_buf_printf(&b, "%d-%s", 7, "x"), WSB_OK);
    assert_int_equal(wsb_buf_printf(&b, "%0300d", 1), WSB_OK);
    assert_int_equal(b.len, 303);
    assert_memory_equal(b.data, "7-x000", 6);
    wsb_buf_deinit(&b);
}

static void test_arithmetic_says_when_it_wraps(void **state)
{
    size_t r;
    uint32_t narrow;
    (void)state;
    assert_true(wsb_size_add(1, 2, &r) && r == 3);
    assert_false(wsb_size_add(SIZE_MAX, 1, &r));
    assert_true(wsb_size_mul(3, 4, &r) && r == 12);
    assert_false(wsb_size_mul(SIZE_MAX / 2, 3, &r));
    assert_true(wsb_size_to_u32(UINT32_MAX, &narrow));
    assert_false(wsb_size_to_u32((size_t)UINT32_MAX + 1, &narrow));
    assert_int_equal(wsb_align8(0), 0);
    assert_int_equal(wsb_align8(1), 8);
    assert_int_equal(wsb_align8(8), 8);
}

static void test_fault_keeps_words_and_cuts_long_ones(void **state)
{
    struct wsb_fault f;
    char big[1000];
    (void)state;
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    assert_int_equal(wsb_fault_set(&f, WSB_ERR_IO, 5, "a %s", "b"), WSB_ERR_IO);
    assert_string_equal(f.text, "a b");
    assert_int_equal(f.os_code, 5);
    assert_int_equal(wsb_fault_set(&f, WSB_ERR_IO, 0, "%s", big), WSB_ERR_IO);
    assert_int_equal(strlen(f.text), sizeof f.text - 1);
    assert_int_equal(wsb_fault_set(NULL, WSB_ERR_LIMIT, 0, "nobody listens"), WSB_ERR_LIMIT);
}

static void test_each_result_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = WSB_OK; a <= WSB_ERR_INTERNAL; a++) {
        for (int b = WSB_OK; b < a; b++) {
            const char *x = wsb_err_name((wsb_err)a), *y = wsb_err_name((wsb_err)b);
            assert_true(strcmp(x, y) != 0 || strcmp(x, "unknown") == 0);
        }
    }
    assert_string_equal(wsb_err_name((wsb_err)9999), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer_grows_and_keeps_its_bytes),
        cmocka_unit_test(test_buffer_keeps_its_ceiling),
        cmocka_unit_test(test_buffer_consumes_from_the_front),
        cmocka_unit_test(test_buffer_formats),
        cmocka_unit_test(test_arithmetic_says_when_it_wraps),
        cmocka_unit_test(test_fault_keeps_words_and_cuts_long_ones),
        cmocka_unit_test(test_each_result_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
