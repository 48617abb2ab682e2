#ifndef WSG_CONFIG_SCAN_H
#define WSG_CONFIG_SCAN_H

/*
 * The look at a file's text before libconfuse sees it. libconfuse drops characters that it does not know, ends quietly in
 * the middle of a string or a comment, puts nothing where an environment variable is not set, and has crashed on odd
 * comments: all that is settled here, with line and column.
 */

#include <stddef.h>

#include "base/fault.h"

/**
 * Check the lexical form of a configuration, and blank its comments.
 *
 * @text   changed in place: comments become spaces, lines stay where they are
 * @len    bytes of text, which has a NUL behind them and may have others inside
 *
 * Returns WSB_OK; WSB_ERR_CONFIG with the fault's line and column set, counted from 1
 */
WSB_MUST_CHECK wsb_err wsg_config_scan(char *text, size_t len, struct wsb_fault *fault);

#endif
