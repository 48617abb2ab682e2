#ifndef WSB_BASE_LOG_LIMIT_H
#define WSB_BASE_LOG_LIMIT_H

/*
 * A limit on one kind of log line that a stranger can cause: so many of each second are written. The log sink counts the
 * others (WSB_LOG_FEW, base/log.h). Pure.
 */

#include <stdbool.h>
#include <stdint.h>

enum { WSB_LOG_LIMIT_LINES = 5 /* a second, where nothing else is said */ };

struct wsb_log_limit {
    uint64_t second; /* since whatever the clock counts from, plus 1; 0: nothing was written yet */
    uint32_t lines;  /* in it */
};

/* May one more be written now, if so many may in a second? */
bool wsb_log_limit(struct wsb_log_limit *l, uint32_t lines, uint64_t now_ms);

#endif
