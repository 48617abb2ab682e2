#ifndef WSC_ARGS_H
#define WSC_ARGS_H

/* Command line options by a table; they may stand before, between and behind the other arguments. Pure. */

#include "base/buf.h"
#include "base/fault.h"

enum wsc_option_kind {
    WSC_FLAG,     /* bool */
    WSC_TEXT,     /* const char *, not empty; once */
    WSC_NUMBER,   /* uint64_t */
    WSC_DURATION, /* uint64_t, milliseconds */
    WSC_TEXTS,    /* struct wsc_texts: the option may be given again */
};

enum { WSC_TEXTS_MAX = 64 };

struct wsc_texts {
    const char *at[WSC_TEXTS_MAX]; /* borrowed from the arguments */
    size_t count;
};

struct wsc_option {
    const char *name; /* without the dashes */
    char letter;      /* 0: none */
    enum wsc_option_kind kind;
    const char *value_name; /* for the help */
    const char *help;
    void *ret; /* of the kind's type; untouched when the option is not given */
};

/**
 * Take the options out of an argument list. What an option was once called, or is called elsewhere, is taken for it as well (args.c
 * lists these synonyms), and is not described.
 *
 * @argv   without the program's and the subcommand's name; reordered: the other arguments come first
 *
 * Returns  WSB_OK and how many other arguments there are; WSB_ERR_CONFIG what is wrong, in words
 */
WSB_MUST_CHECK wsb_err wsc_args_parse(const struct wsc_option *options, size_t option_count, int argc, char **argv,
                                      int *ret_count, struct wsb_fault *fault);

/* One line for each option. */
WSB_MUST_CHECK wsb_err wsc_args_describe(const struct wsc_option *options, size_t option_count, struct wsb_buf *out);

#endif
