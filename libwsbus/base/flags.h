#ifndef WSB_BASE_FLAGS_H
#define WSB_BASE_FLAGS_H

/*
 * A program's command line: getopt_long(3) without its abbreviations. Whoever wrote "--rout" in a unit would get another
 * option, or an ambiguous one, when a later version adds "--router".
 */

#include <getopt.h>

enum wsb_flag_fault {
    WSB_FLAG_FINE,
    WSB_FLAG_UNKNOWN, /* also an abbreviation */
    WSB_FLAG_VALUE_MISSING,
    WSB_FLAG_VALUE_UNWANTED /* "--help=1" */
};

struct wsb_flag {
    int answer; /* the option's `val`, or its letter; -1: no more of them, and optind says where the arguments are */
    int index;  /* in `longs`; -1: written as a letter, or there is a fault */
    enum wsb_flag_fault fault;
    const char *word; /* as written, with "=value" if it has one; borrowed from argv, or from the struct: a letter */
    char letter[3];
    const char *near; /* borrowed from `longs`: an option that is like an unknown one; NULL: none */
};

/**
 * Take the next option off a command line; begin with optind = 0. Its value is in optarg.
 *
 * @letters  begins with ':', as getopt(3) wants it to tell a missing value from an unknown option
 * @longs    ends with a zeroed one; a `val` below 256 is one of the letters
 *
 * Threads   one at a time in the process
 */
void wsb_flag_next(int argc, char **argv, const char *letters, const struct option *longs, struct wsb_flag *ret);

#endif
