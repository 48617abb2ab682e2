#ifndef WSB_BASE_NEAR_H
#define WSB_BASE_NEAR_H

/* The name that a misspelled or abbreviated one may mean, for a hint. Pure. */

#include <stddef.h>

struct wsb_near {
    const char *wanted; /* borrowed; need not end with a NUL */
    size_t len;
    const char *found; /* borrowed from an offer; NULL: none is like it */
    unsigned distance;
};

struct wsb_near wsb_near_to(const char *wanted, size_t len);
/* One of the names there are; it has to outlive `n`. Of equally near ones the first is kept. */
void wsb_near_offer(struct wsb_near *n, const char *name);

#endif
