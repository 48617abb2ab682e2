/* What a misspelled name may have meant. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/near.h"

static const char *const names[] = {"route", "router", "max-connections", "log",
                                    "a-name-of-more-than-thirty-one-bytes"};

static const struct {
    const char *wanted, *want; /* NULL: none */
} rows[] = {
    {"rout", "route"},
    {"routre", "route"},
    {"roter", "router"},
    {"rou", "route"},
    {"max-conn", "max-connections"},
    {"ma", "max-connections"},
    {"m", NULL},
    {"lgo", "log"},
    {"xyz", NULL},
    {"", NULL},
    {"colours", NULL},
    {"a-name-of-more-than-thirty-one-byte", "a-name-of-more-than-thirty-one-bytes"},
    {"a-name-of-more-than-thirty-one-bites", NULL},
};

static void test_the_nearest_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wsb_near near = wsb_near_to(rows[i].wanted, strlen(rows[i].wanted));
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            wsb_near_offer(&near, names[k]);
        if ((near.found == NULL) != (rows[i].want == NULL) || (near.found && strcmp(near.found, rows[i].want) != 0))
            fail_msg("'%s': '%s'", rows[i].wanted, near.found ? near.found : "none");
    }
}

static void test_only_so_much_of_the_text_is_looked_at(void **state)
{
    struct wsb_near near = wsb_near_to("logX", 3);
    (void)state;
    wsb_near_offer(&near, "log");
    assert_string_equal(near.found, "log");
    assert_int_equal(near.distance, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_nearest_is_found),
        cmocka_unit_test(test_only_so_much_of_the_text_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
