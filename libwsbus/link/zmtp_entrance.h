#ifndef WSB_LINK_ZMTP_ENTRANCE_H
#define WSB_LINK_ZMTP_ENTRANCE_H

/*
 * Where ZeroMQ peers connect: a Unix socket in the runtime directory, or a TCP address. A socket's file is never wider than asked,
 * not even for a moment; one that somebody listens on is another gate's.
 *
 * Threads   one at a time
 */

#include "base/endpoint.h"
#include "link/zmtp_conn.h"

struct wsb_zmtp_entrance {
    int fd; /* owned; -1: there is none */
    struct wsb_zmtp_source source;
    enum wsb_channel channel;
    enum wsb_door door;
    char *path;                   /* owned: of a Unix socket; NULL: TCP */
    char text[WSB_ENDPOINT_TEXT]; /* TCP: what is really bound */
    unsigned accepts;             /* that are left in this round */
    bool is_waiting;              /* somebody may be waiting to be accepted */
    bool is_out;                  /* no descriptor was left: tried again after a moment */
};

void wsb_zmtp_entrance_init(struct wsb_zmtp_entrance *e);
/* DIR/handlers, and so on. WSB_ERR_EXISTS: another gate has it. */
WSB_MUST_CHECK wsb_err wsb_zmtp_entrance_open_local(struct wsb_zmtp_entrance *e, const char *dir, unsigned mode,
                                                    enum wsb_channel channel, struct wsb_fault *fault);
/* has_keys: an address that others can reach may be bound only with them. */
WSB_MUST_CHECK wsb_err wsb_zmtp_entrance_open_tcp(struct wsb_zmtp_entrance *e, const char *endpoint, bool has_keys,
                                                  enum wsb_channel channel, struct wsb_fault *fault);
void wsb_zmtp_entrance_close(struct wsb_zmtp_entrance *e);

/* Where somebody comes from. */
struct wsb_zmtp_caller {
    char address[WSB_CONN_ADDRESS]; /* "127.0.0.1", or "local" */
    uint64_t origin;                /* an IPv4 address, an IPv6 network, or a local user, as a number */
};

/*
 * Accept one.
 *
 * Returns       WSB_OK; WSB_AGAIN nobody waits; WSB_ERR_FULL no descriptor is left, or no memory for one; WSB_ERR_IO the one that waited has
 *               gone: there may be another
 */
WSB_MUST_CHECK wsb_err wsb_zmtp_entrance_accept(const struct wsb_zmtp_entrance *e, int *ret_fd,
                                                struct wsb_zmtp_caller *ret_caller);

#endif
