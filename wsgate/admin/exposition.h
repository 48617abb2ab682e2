#ifndef WSG_ADMIN_EXPOSITION_H
#define WSG_ADMIN_EXPOSITION_H

/*
 * A writer of OpenMetrics text (version 1.0.0) into a wsb_buf. The first failure sticks and end tells it, so that the calls
 * in between need no checks. Samples of a family follow it, and are not interrupted by another one: that is the caller's
 * business. Pure.
 */

#include "base/buf.h"

#define WSG_EXPOSITION_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

enum wsg_metric_type { WSG_GAUGE, WSG_COUNTER, WSG_INFO };

struct wsg_label {
    const char *name;
    const char *value; /* any bytes: what is not UTF-8, or would break its line, is replaced */
};

struct wsg_exposition {
    struct wsb_buf *out; /* borrowed */
    wsb_err err;
};

void wsg_exposition_begin(struct wsg_exposition *x, struct wsb_buf *out);
/* `unit` is "" or the end of the name: "bytes" of "wsbus_route_in_bytes". */
void wsg_exposition_family(struct wsg_exposition *x, const char *name, enum wsg_metric_type type, const char *unit,
                           const char *help);
/* A sample of the family of that name; value / scale, where scale is a power of ten up to 1000000. */
void wsg_exposition_sample(struct wsg_exposition *x, const char *name, enum wsg_metric_type type,
                           const struct wsg_label *labels, size_t label_count, uint64_t value, uint32_t scale);
WSB_MUST_CHECK wsb_err wsg_exposition_end(struct wsg_exposition *x);

#endif
