/*
 * getopt_long(3) tells which option it took, and not how it was written: what was written is compared with that. After
 * an option whose value is an argument of its own, optind is behind both.
 */
#include "base/flags.h"

#include <stdbool.h>
#include <string.h>

#include "base/near.h"

static size_t name_len(const char *word)
{
    return strcspn(word + 2, "=");
}

static bool is_long(const char *word)
{
    return word[0] == '-' && word[1] == '-';
}

static bool is_written_out(const char *word, const char *name)
{
    return strlen(name) == name_len(word) && memcmp(word + 2, name, name_len(word)) == 0;
}

static bool is_known(const char *word, const struct option *longs)
{
    for (; longs->name; longs++) {
        if (is_written_out(word, longs->name))
            return true;
    }
    return false;
}

static void refuse(struct wsb_flag *flag, enum wsb_flag_fault fault, const struct option *longs)
{
    flag->fault = fault;
    flag->index = -1;
    if (fault != WSB_FLAG_UNKNOWN || !is_long(flag->word))
        return;
    struct wsb_near near = wsb_near_to(flag->word + 2, name_len(flag->word));
    for (; longs->name; longs++)
        wsb_near_offer(&near, longs->name);
    flag->near = near.found;
}

static bool is_val(int value, const struct option *longs)
{
    for (; longs->name; longs++) {
        if (longs->val == value)
            return true;
    }
    return false;
}

/*
 * optopt is an unknown letter; or the `val` of the option that lacks a value, or has one too many; 0 for an unknown long
 * one. In the middle of several letters, optind is not behind them yet.
 */
static void take_fault(struct wsb_flag *flag, char *const *argv, const struct option *longs)
{
    bool is_missing = flag->answer == ':';
    flag->word = argv[optind - 1];
    if ((is_missing && !is_long(flag->word)) || (!is_missing && optopt && !is_val(optopt, longs))) {
        flag->letter[0] = '-';
        flag->letter[1] = (char)optopt;
        flag->word = flag->letter;
        refuse(flag, is_missing ? WSB_FLAG_VALUE_MISSING : WSB_FLAG_UNKNOWN, longs);
    } else if (!is_known(flag->word, longs)) {
        refuse(flag, WSB_FLAG_UNKNOWN, longs);
    } else {
        refuse(flag, is_missing ? WSB_FLAG_VALUE_MISSING : WSB_FLAG_VALUE_UNWANTED, longs);
    }
}

void wsb_flag_next(int argc, char **argv, const char *letters, const struct option *longs, struct wsb_flag *ret)
{
    *ret = (struct wsb_flag){.index = -1};
    opterr = 0;
    ret->answer = getopt_long(argc, argv, letters, longs, &ret->index);
    if (ret->answer == '?' || ret->answer == ':') {
        take_fault(ret, argv, longs);
    } else if (ret->index >= 0) {
        ret->word = optarg && optarg == argv[optind - 1] ? argv[optind - 2] : argv[optind - 1];
        if (!is_written_out(ret->word, longs[ret->index].name))
            refuse(ret, WSB_FLAG_UNKNOWN, longs);
    }
}
