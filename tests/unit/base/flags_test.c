/* A command line without abbreviations: each word is what it says, or refused. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/flags.h"

enum { WORDS = 5 };

static const struct option longs[] = {
    {"route", required_argument, NULL, 300},
    {"test", no_argument, NULL, 't'},
    {"config", required_argument, NULL, 'c'},
    {"version", no_argument, NULL, 301},
    {0},
};

/* What the last one of the words is. */
static const struct {
    const char *words[WORDS];
    enum wsb_flag_fault fault;
    int answer; /* of a good one */
    const char *value, *word, *near;
} rows[] = {
    {{"--route", "a"}, WSB_FLAG_FINE, 300, "a", "--route", NULL},
    {{"--route=a"}, WSB_FLAG_FINE, 300, "a", "--route=a", NULL},
    {{"--route", "--rout"}, WSB_FLAG_FINE, 300, "--rout", "--route", NULL},
    {{"x", "y", "--route", "a"}, WSB_FLAG_FINE, 300, "a", "--route", NULL},
    {{"--test"}, WSB_FLAG_FINE, 't', NULL, "--test", NULL},
    {{"--test", "-t"}, WSB_FLAG_FINE, 't', NULL, NULL, NULL},
    {{"-c", "f"}, WSB_FLAG_FINE, 'c', "f", NULL, NULL},
    {{"-tcf"}, WSB_FLAG_FINE, 'c', "f", NULL, NULL},
    {{"--rout", "a"}, WSB_FLAG_UNKNOWN, 0, NULL, "--rout", "route"},
    {{"--r=a"}, WSB_FLAG_UNKNOWN, 0, NULL, "--r=a", NULL},
    {{"x", "--rout", "a", "y"}, WSB_FLAG_UNKNOWN, 0, NULL, "--rout", "route"},
    {{"--rout"}, WSB_FLAG_UNKNOWN, 0, NULL, "--rout", "route"},
    {{"--vers"}, WSB_FLAG_UNKNOWN, 0, NULL, "--vers", "version"},
    {{"--vers=1"}, WSB_FLAG_UNKNOWN, 0, NULL, "--vers=1", "version"},
    {{"--colour"}, WSB_FLAG_UNKNOWN, 0, NULL, "--colour", NULL},
    {{"-x"}, WSB_FLAG_UNKNOWN, 0, NULL, "-x", NULL},
    {{"--test", "-xx"}, WSB_FLAG_UNKNOWN, 0, NULL, "-x", NULL},
    {{"--route"}, WSB_FLAG_VALUE_MISSING, 0, NULL, "--route", NULL},
    {{"-tc"}, WSB_FLAG_VALUE_MISSING, 0, NULL, "-c", NULL},
    {{"--test=1"}, WSB_FLAG_VALUE_UNWANTED, 0, NULL, "--test=1", NULL},
};

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void test_each_word_is_what_it_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *argv[WORDS + 2] = {(char *)"program"};
        int argc = 1;
        struct wsb_flag flag, last = {0};
        char letter[3] = "";
        const char *value = NULL;
        for (; argc <= WORDS && rows[i].words[argc - 1]; argc++)
            argv[argc] = (char *)rows[i].words[argc - 1];
        optind = 0;
        for (;;) {
            wsb_flag_next(argc, argv, ":c:t", longs, &flag);
            if (flag.answer == -1)
                break;
            last = flag;
            (void)strcpy(letter, flag.letter);
            value = optarg;
        }
        const char *word = *letter ? letter : last.word;
        if (last.fault != rows[i].fault || !is_same(word, rows[i].word) || !is_same(last.near, rows[i].near))
            fail_msg("row %zu: fault %d, '%s', near '%s'", i, (int)last.fault, word ? word : "none",
                     last.near ? last.near : "none");
        if (!last.fault && (last.answer != rows[i].answer || !is_same(value, rows[i].value)))
            fail_msg("row %zu: answer %d", i, last.answer);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_word_is_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
