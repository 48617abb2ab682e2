#ifndef WSB_API_CONNS_H
#define WSB_API_CONNS_H

/*
 * Which connections a handler has, as far as it has read: those that are open, and the last of those that are over or were
 * moved to another handler. All are bounded: beyond the bounds a connection is simply not known, and the gate, which always
 * knows, decides.
 *
 * Threads   one at a time
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wsbus/msg.h"

enum { WSB_CONNS_OPEN_MAX = 1 << 20, WSB_CONNS_GONE_MAX = 1 << 16 };

enum wsb_conn_state { WSB_CONN_UNKNOWN, WSB_CONN_OPEN, WSB_CONN_GONE, WSB_CONN_MOVED };

/* A set of ids that are not 0: open addressing, linear probing. */
struct wsb_idset {
    wsb_conn *places; /* owned; 0 is free */
    size_t count;
    size_t mask; /* places - 1, or 0 when there are none */
};

/* The last WSB_CONNS_GONE_MAX that were put in; one that is put in again counts from then. */
struct wsb_idring {
    wsb_conn *order;  /* owned: a ring, the order in which they came; 0: nobody, or one that came again */
    uint32_t *places; /* owned: open addressing: 1 + where in order; 0 is free */
    size_t next;      /* in order */
};

struct wsb_conns {
    struct wsb_idset open;
    struct wsb_idring gone;
    struct wsb_idring moved;
};

void wsb_conns_deinit(struct wsb_conns *c);

/* Neither can fail: without memory the connection is not known. */
void wsb_conns_opened(struct wsb_conns *c, wsb_conn conn);
void wsb_conns_closed(struct wsb_conns *c, wsb_conn conn);
void wsb_conns_moved(struct wsb_conns *c, wsb_conn conn); /* another handler has it, until it is opened again */
void wsb_conns_all_closed(struct wsb_conns *c);

enum wsb_conn_state wsb_conns_state(const struct wsb_conns *c, wsb_conn conn);

#endif
