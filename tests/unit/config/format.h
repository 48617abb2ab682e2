#ifndef TESTS_CONFIG_FORMAT_H
#define TESTS_CONFIG_FORMAT_H

/* A configuration as the text of a file that says the same, every option spelled out. Aborts when memory runs out. */

#include "base/buf.h"
#include "config/cli.h"
#include "config/file.h"

void config_format(const struct wsg_config *c,
                   struct wsb_buf *ret); /* the caller's, for wsb_buf_deinit; ends with NUL */

/* What these say of a configuration, where only the first fault matters. `ret` may be NULL. */
wsb_err first_of_parse(const char *name, const char *text, size_t len, struct wsg_config *c, struct wsb_fault *ret);
wsb_err first_of_read(const char *path, struct wsg_config *c, struct wsb_fault *ret);
wsb_err first_of_check(const struct wsg_config *c, struct wsb_fault *ret);
wsb_err first_of_args(int argc, char **argv, struct wsg_config *c, enum wsg_action *action, struct wsb_fault *ret);

#endif
