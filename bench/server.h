#ifndef WSB_BENCH_SERVER_H
#define WSB_BENCH_SERVER_H

/*
 * The sockets of a server that does nothing it could leave out: one thread, one epoll, one recv() and one send() for each
 * connection and round. What is done with frames is the mode's. A connection that is idle holds no buffer.
 */

#include "base/buf.h"
#include "ws/frame.h"

enum server_path { PATH_OTHER, PATH_SUB, PATH_PUB };

struct client {
    int fd;
    uint32_t place;     /* among all clients */
    uint8_t path;       /* enum server_path */
    bool is_open;       /* the handshake is done */
    bool is_full;       /* the socket takes no more: waits until it does, and is not read meanwhile */
    struct wsb_buf in;  /* the beginning of a frame */
    struct wsb_buf out; /* what the socket did not take */
};

struct server;

/* All that has come for a client, writable. Returns WSB_OK with what was used, or an error that ends the client. */
typedef wsb_err server_take(struct server *s, struct client *c, uint8_t *data, size_t len, size_t *ret_used);

struct server {
    server_take *take;
    int epoll, listener;
    struct client **clients; /* owned */
    uint32_t count, cap;
    struct wsb_buf reply;   /* what take() leaves here is sent to the client that it was called for */
    struct wsb_buf publish; /* and this, at the end of the round, to all on PATH_SUB: one send() each */
};

/* Listen on a port of 127.0.0.1 that the kernel chooses, print "port=N", serve until killed. */
_Noreturn void server_run(server_take *take);

/* Send, and keep what the socket does not take. WSB_OK; WSB_CLOSED. */
WSB_MUST_CHECK wsb_err server_send(struct server *s, struct client *c, const uint8_t *data, size_t len);

#endif
