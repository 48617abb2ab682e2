#ifndef WSB_LINK_LIFE_H
#define WSB_LINK_LIFE_H

/*
 * Whether the process at the other end of a local socket still runs. One that ends is told by its pidfd, also while a child of it
 * holds the socket open; one that is stopped is not told by anybody, so the kernel is asked about once a second. docs/adr/0004.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct wsb_life {
    pid_t pid;                 /* 0: not known, as over TCP or in a namespace that we do not see */
    uint64_t stopped_since_ms; /* 0: it ran when it was last looked at */
};

/* Of the process that connected. */
void wsb_life_begin(struct wsb_life *l, int socket);
/* It has ended, or has been seen stopped for so long that it counts as gone. */
bool wsb_life_is_over(struct wsb_life *l, uint64_t now_ms);

/* A pidfd of the process that connected; -1: there is none to be had. The caller closes it. */
int wsb_life_pidfd(int socket);

#endif
