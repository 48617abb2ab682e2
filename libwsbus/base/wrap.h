#ifndef WSB_BASE_WRAP_H
#define WSB_BASE_WRAP_H

/* Text of ours, such as a --help, in lines that fit a terminal of the usual width. Pure. */

#include "base/buf.h"

enum { WSB_HELP_WIDTH = 80 };

/**
 * Append lines of ASCII, those that are too long broken at spaces. What follows hangs below the text of its line: behind the
 * first gap of two spaces or more (as between an option and what it does), or else behind the indentation.
 *
 * @width  columns; only a word that is longer than the room for it passes them
 */
WSB_MUST_CHECK wsb_err wsb_wrap_lines(struct wsb_buf *out, const char *text, size_t width);

#endif
