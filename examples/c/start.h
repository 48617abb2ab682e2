#ifndef EXAMPLES_START_H
#define EXAMPLES_START_H

/* What all examples do first and last: read --runtime-dir and --route, open the handle, end on SIGINT and SIGTERM, and when the gate
 * has drained them. */
#include <wsbus/handler.h>

enum { ROUTES_MAX = 16 };

struct example {
    const char *name;
    const char *about;              /* one line for --help */
    const char *routes[ROUTES_MAX]; /* served when there is no --route; ends with NULL */
    unsigned kinds;                 /* enum wsb_kind, or-ed: what it serves on them */
};

/* Open the handle, or exit: 0 after --help, 2 on a wrong command line, 1 when it cannot be opened. */
wsb_handler example_start(struct example *e, int argc, char **argv);
/* The next event; false when a signal or the end of a drain says that it is time to go, or reading is not possible. */
bool example_next(wsb_handler h, struct wsb_event *ret_ev);
/* Say BYE; the exit status of main: 0 when it was time to go, otherwise 1, and the reason on stderr. */
int example_end(wsb_handler h);
/* What every handler does with the events that are not its business: log them. */
void example_log(wsb_handler h, const struct wsb_event *ev);

#endif
