#ifndef WSG_CONFIG_CLI_H
#define WSG_CONFIG_CLI_H

/* The command line: see wsgate(1). */

#include "config/config.h"

enum wsg_action {
    WSG_ACTION_RUN,
    WSG_ACTION_CHECK,    /* -t: the configuration is good; say so and exit */
    WSG_ACTION_MAKE_KEY, /* --make-key FILE: make a key for the bus on TCP and exit */
    WSG_ACTION_VERSION,
    WSG_ACTION_HELP
};

/**
 * Take what the command line says, after reading the file that it may name. Flags win over the file; listeners, routes
 * and static directories are added to the file's. Prints nothing.
 *
 * @argv        its order may change, as with getopt_long
 * @c           initialised. After a failure good for wsg_config_deinit only
 * @ret_action  written on failure as well: -t tells everything that is wrong, beyond the command line. For VERSION, HELP and MAKE_KEY nothing else was looked at: c is not a configuration to run; for
 *              MAKE_KEY it has make_key
 * @all         each fault names the flag, or file and line, the value, and what would be right
 *
 * Returns      WSB_OK; of the first fault: WSB_ERR_CONFIG; WSB_ERR_EXISTS; WSB_ERR_LIMIT; WSB_ERR_IO the file cannot be read; WSB_ERR_NOMEM
 * Threads      one at a time in the process: getopt and libconfuse have global state
 */
WSB_MUST_CHECK wsb_err wsg_config_from_args(int argc, char **argv, struct wsg_config *c, enum wsg_action *ret_action,
                                            struct wsg_faults *all);

/* The text of --help; static. */
const char *wsg_cli_help(void);

#endif
