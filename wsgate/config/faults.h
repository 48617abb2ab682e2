#ifndef WSG_CONFIG_FAULTS_H
#define WSG_CONFIG_FAULTS_H

/* Everything that is wrong with a configuration, in the order in which people would look for it: bounded, and the rest counted. */

#include <stddef.h>

#include "base/fault.h"

enum { WSG_FAULTS_MAX = 50 };

struct wsg_faults {
    size_t count;
    size_t left_out; /* beyond those that are kept */
    struct wsb_fault at[WSG_FAULTS_MAX];
};

/* Keep one more. `all` may be NULL. Returns the fault's err. */
wsb_err wsg_faults_add(struct wsg_faults *all, const struct wsb_fault *fault);
/* WSB_OK, or the err of the first. */
wsb_err wsg_faults_err(const struct wsg_faults *all);
/* Put those behind the first `from` into the order of their lines; of one line as they were. */
void wsg_faults_sort(struct wsg_faults *all, size_t from);

#endif
