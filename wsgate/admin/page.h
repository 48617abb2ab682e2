#ifndef WSG_ADMIN_PAGE_H
#define WSG_ADMIN_PAGE_H

/*
 * The page of metrics, written once for all who ask at a time, and in steps: a gate with a thousand routes and handlers has
 * a hundred thousand lines, and clients wait for whoever writes them in one go.
 *
 * Threads   the first worker's
 */

#include "admin/counters.h"

enum { WSG_PAGE_BYTES_MAX = 64 << 20 };

struct wsg_page {
    unsigned refs;
    bool is_done;
    wsb_err err;         /* once done: why there is none */
    struct wsb_buf text; /* whole once done without an error */
    struct wsg_exposition out;
    struct wsg_counter_source source;
    size_t row;         /* of wsg_counters */
    size_t at;          /* the next route or handler of that row */
    uint32_t *handlers; /* owned: the ids of those that were there when it was begun */
    size_t handler_count;
};

/* One reference; NULL without memory. */
struct wsg_page *wsg_page_new(struct wsg_gate *gate);
void wsg_page_unref(struct wsg_page *p); /* accepts NULL */
/* Write about so many samples more; true when it is done. */
bool wsg_page_step(struct wsg_page *p, size_t samples);

#endif
