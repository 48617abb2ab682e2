#ifndef WSB_BASE_JSON_SHAPE_H
#define WSB_BASE_JSON_SHAPE_H

/*
 * How deep and how wide a JSON text is, found in one pass over its bytes, before a parser sees it that calls itself for each level
 * and takes memory for each value. Whether it is JSON at all is the parser's to say. Pure.
 */

#include <stddef.h>

#include "base/span.h"
#include "wsbus/err.h"

struct wsb_json_shape {
    size_t depth;  /* arrays and objects within each other */
    size_t values; /* at most so many: members of objects and elements of arrays, and those around them */
};

/* WSB_OK; WSB_ERR_LIMIT: deeper or wider than `most`. */
WSB_MUST_CHECK wsb_err wsb_json_shape_check(struct wsb_span json, const struct wsb_json_shape *most);

#endif
