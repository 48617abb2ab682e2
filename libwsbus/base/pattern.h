#ifndef WSB_BASE_PATTERN_H
#define WSB_BASE_PATTERN_H

/*
 * Route patterns: "/chat/{room}", "/files/{path*}". A segment is literal text or one parameter; a parameter takes
 * exactly one segment that is not empty; a rest parameter, the last segment, takes everything, slashes and nothing
 * included. Matching is exact to the byte and to the trailing slash, and costs one walk over the path.
 * Compiled once, immutable after that: any thread may match.
 */

#include "base/fault.h"
#include "base/span.h"

enum {
    WSB_PATTERN_PARAMS_MAX = 8,
    WSB_PATTERN_SEGMENTS_MAX = 32,
    WSB_PATTERN_TEXT_MAX = 1024, /* bytes */
};

struct wsb_pattern;

/**
 * Compile a pattern.
 *
 * @fault    may be NULL; on failure says what is wrong, with the column, counted from 1
 *
 * Returns   WSB_OK; WSB_ERR_CONFIG not a pattern; WSB_ERR_NOMEM
 * Lifetime  *ret is the caller's, for wsb_pattern_free; text is copied
 */
WSB_MUST_CHECK wsb_err wsb_pattern_new(struct wsb_pattern **ret, const char *text, struct wsb_fault *fault);
void wsb_pattern_free(struct wsb_pattern *p);

const char *wsb_pattern_text(const struct wsb_pattern *p);
size_t wsb_pattern_param_count(const struct wsb_pattern *p);
const char *wsb_pattern_param_name(const struct wsb_pattern *p, size_t index);

/*
 * Does the (decoded) path fit? Then ret_params[0 … param_count) are the parts of it that the parameters took, in the
 * order of the pattern; otherwise they are untouched.
 */
bool wsb_pattern_match(const struct wsb_pattern *p, struct wsb_span path,
                       struct wsb_span ret_params[WSB_PATTERN_PARAMS_MAX]);

/*
 * Order for qsort-like use: negative when a is to be tried before b. Segment by segment, literal text comes before a
 * parameter and a parameter before a rest, so the first pattern that matches is the most specific one. 0 means that
 * both match exactly the same paths, whatever their parameters are called: one of them can never be reached.
 */
int wsb_pattern_compare(const struct wsb_pattern *a, const struct wsb_pattern *b);

#endif
