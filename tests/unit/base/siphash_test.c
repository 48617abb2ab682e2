/* SipHash against vectors of its reference implementation: key 00 01 … 0f, input 00 01 … of growing length. */
#include "support/test.h"

#include "base/siphash.h"

static const struct wsb_seed reference = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

static void test_siphash_of_the_reference(void **state)
{
    static const struct {
        size_t len;
        uint64_t want;
    } rows[] = {
        {0, 0x726fdb47dd0e0e31u}, {1, 0x74f839c593dc67fdu},  {2, 0x0d6c8009d9a94f5au},
        {3, 0x85676696d7fb7e2du}, {15, 0xa129ca6149be45e5u},
    };
    uint8_t in[16];
    (void)state;
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (uint8_t)i;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(wsb_siphash(&reference, wsb_span(in, rows[i].len)), rows[i].want);
}

static void test_siphash_depends_on_its_seed(void **state)
{
    struct wsb_seed other = reference;
    (void)state;
    other.k1 ^= 1;
    assert_int_not_equal(wsb_siphash(&reference, wsb_span_str("key")), wsb_siphash(&other, wsb_span_str("key")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash_of_the_reference),
        cmocka_unit_test(test_siphash_depends_on_its_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
