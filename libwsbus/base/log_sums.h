#ifndef WSB_BASE_LOG_SUMS_H
#define WSB_BASE_LOG_SUMS_H

/*
 * How many lines of each kind a limit kept out of the log since that was last told. A kind is a module, a level and a text.
 * The table has a fixed size: kinds for which it has no place share one sum. Pure.
 */

#include <stddef.h>
#include <stdint.h>

enum {
    WSB_LOG_SUMS = 64,
    WSB_LOG_SUM_TEXT = 80 /* bytes of the text that count, with its NUL */
};

struct wsb_log_sum {
    uint64_t count;
    uint8_t module, level;
    char of[WSB_LOG_SUM_TEXT];
};

struct wsb_log_sums {
    struct wsb_log_sum at[WSB_LOG_SUMS];
    size_t used; /* the first ones; the last place of all is for kinds that had none */
};

/* Add `count` lines to the sum of their kind. */
void wsb_log_sums_add(struct wsb_log_sums *s, uint8_t module, uint8_t level, const char *of, uint64_t count);

#endif
