#ifndef WSG_CONFIG_FILE_H
#define WSG_CONFIG_FILE_H

/* The configuration file: see wsgate.conf(5). */

#include "config/config.h"

enum { WSG_CONFIG_FILE_MAX = 1024 * 1024 }; /* bytes */

/**
 * Read a configuration file into a configuration.
 *
 * @path     also the name in messages
 * @c        initialised; the file's options replace its values, its sections are added. After a failure it holds those that could be
 *           read, and parts that were refused, marked; it can be checked further, and not be run
 * @all      may be NULL. Each fault says file, line, option, value, and what would be right. Behind what breaks the grammar nothing
 *           is looked at
 *
 * Returns   WSB_OK; of the first fault: WSB_ERR_CONFIG; WSB_ERR_EXISTS; WSB_ERR_LIMIT; WSB_ERR_IO the file cannot be read; WSB_ERR_NOMEM
 * Threads   one at a time in the process: libconfuse's lexer is global
 */
WSB_MUST_CHECK wsb_err wsg_config_read(const char *path, struct wsg_config *c, struct wsg_faults *all);

/* The same for text in memory, len bytes of anything, with or without a byte order mark; `name` stands for the file in messages. */
WSB_MUST_CHECK wsb_err wsg_config_parse(const char *name, const char *text, size_t len, struct wsg_config *c,
                                        struct wsg_faults *all);

#endif
