#ifndef WSB_BASE_LOG_LIMIT_H
#define WSB_BASE_LOG_LIMIT_H

/*
 * A limit on one kind of log line that a stranger can cause: so many of each second are written, and in front of the first of a
 * later second is said how many were left out (WSB_LOG_FEW, base/log.h). Pure.
 */

#include <stdbool.h>
#include <stdint.h>

enum { WSB_LOG_LIMIT_LINES = 5 /* a second, where nothing else is said */ };

struct wsb_log_limit {
    uint64_t second; /* since whatever the clock counts from, plus 1; 0: nothing was written yet */
    uint32_t lines;  /* in it */
    uint64_t left_out;
};

/* May one more be written now, if so many may in a second? *ret_left_out, on true: how many were not, since the last one. */
bool wsb_log_limit(struct wsb_log_limit *l, uint32_t lines, uint64_t now_ms, uint64_t *ret_left_out);

#endif
