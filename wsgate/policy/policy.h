#ifndef WSG_POLICY_POLICY_H
#define WSG_POLICY_POLICY_H

#include <stddef.h>

/* A list of words of the configuration, which owns them; who acts by it borrows the whole. */
struct wsg_texts {
    char **at;
    size_t count;
};

/* What a route does when somebody does not keep up: the words that the configuration and those who act by it share. */

/* When a handler is full: what becomes of the messages for it. */
enum wsg_when_full { WSG_FULL_PAUSE, WSG_FULL_DROP_NEW, WSG_FULL_DROP_OLD, WSG_FULL_CLOSE };

/* When a client is slow: what becomes of the messages to it. The first is for commands only: as the route says. */
enum wsg_slow { WSG_SLOW_AS_ROUTE, WSG_SLOW_CLOSE, WSG_SLOW_DROP_NEW, WSG_SLOW_DROP_OLD, WSG_SLOW_CONFLATE };

enum wsg_no_handler { WSG_NO_HANDLER_REFUSE, WSG_NO_HANDLER_CLOSE, WSG_NO_HANDLER_WAIT };

#endif
