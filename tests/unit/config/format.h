#ifndef TESTS_CONFIG_FORMAT_H
#define TESTS_CONFIG_FORMAT_H

/* A configuration as the text of a file that says the same, every option spelled out. Aborts when memory runs out. */

#include "base/buf.h"
#include "config/config.h"

void config_format(const struct wsg_config *c,
                   struct wsb_buf *ret); /* the caller's, for wsb_buf_deinit; ends with NUL */

#endif
