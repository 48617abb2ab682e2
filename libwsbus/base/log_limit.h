#ifndef WSB_BASE_LOG_LIMIT_H
#define WSB_BASE_LOG_LIMIT_H

/*
 * A limit on one kind of log line that a stranger can cause: the first few of each second are written, and the first of a
 * later second says how many were left out. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

enum { WSB_LOG_LIMIT_LINES = 5 /* a second */ };

struct wsb_log_limit {
    uint64_t second; /* since whatever the clock counts from, plus 1; 0: nothing was written yet */
    uint32_t lines;  /* in it */
    uint64_t left_out;
};

/* May one more be written now? *ret_left_out, on true: how many were not, since the last one. */
bool wsb_log_limit(struct wsb_log_limit *l, uint64_t now_ms, uint64_t *ret_left_out);

#endif
