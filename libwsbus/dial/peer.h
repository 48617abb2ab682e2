#ifndef WSB_DIAL_PEER_H
#define WSB_DIAL_PEER_H

/*
 * A client's end of one WebSocket: socket, TLS, frames, compression. It never waits: what it would have to wait for is
 * WSB_AGAIN. Who waits, and for how long, is the business of websocket.c and dialing.c.
 *
 * Threads   one at a time
 */

#include "base/buf.h"
#include "base/fault.h"
#include "tls/context.h"
#include "tls/stream.h"
#include "ws/deflate.h"
#include "ws/message.h"

enum { WSB_PEER_RANDOM = 256 };

struct wsb_peer {
    int fd;                     /* owned; -1: none */
    struct wsb_tls_stream *tls; /* owned; NULL: plain */
    struct wsb_buf cipher;      /* that came and is not deciphered yet */
    bool has_ended;             /* TLS: the server has said goodbye */
    struct wsb_buf in;          /* plain bytes that came */
    size_t in_at;               /* those before it are used */
    struct wsb_buf plain;       /* TLS: a frame on its way into records */
    struct wsb_buf out;         /* to the kernel */
    size_t out_at;              /* those before it have left */
    struct wsb_ws_in ws;
    bool is_websocket;
    struct wsb_deflate_shared *shared; /* owned; NULL: not compressed */
    struct wsb_deflate *deflate;       /* owned */
    size_t max_message;
    uint8_t random[WSB_PEER_RANDOM];
    size_t random_left;
};

void wsb_peer_init(struct wsb_peer *p);
void wsb_peer_deinit(struct wsb_peer *p);

/*
 * Take what has come off the socket. A goodbye of TLS is told once everything before it was, and without the socket, which
 * may have nothing more to tell: has_ended.
 *
 * Returns   WSB_OK; WSB_AGAIN nothing has come; WSB_CLOSED the server has ended its side; WSB_ERR_IO; WSB_ERR_PROTO,
 *           WSB_ERR_REFUSED of TLS; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsb_peer_fill(struct wsb_peer *p, struct wsb_fault *fault);
/* WSB_OK everything has left; WSB_AGAIN; WSB_ERR_IO. */
WSB_MUST_CHECK wsb_err wsb_peer_flush(struct wsb_peer *p, struct wsb_fault *fault);
size_t wsb_peer_pending(const struct wsb_peer *p); /* bytes that have not left */

/* One step of the TLS handshake. WSB_OK it is done; WSB_MORE fill and flush, then again. */
WSB_MUST_CHECK wsb_err wsb_peer_shake(struct wsb_peer *p, struct wsb_fault *fault);

/* Bytes that are no frame: the request. */
WSB_MUST_CHECK wsb_err wsb_peer_put(struct wsb_peer *p, struct wsb_span bytes, struct wsb_fault *fault);
/* What has come and is not used; and use some of it. */
struct wsb_span wsb_peer_unread(const struct wsb_peer *p);
void wsb_peer_use(struct wsb_peer *p, size_t count);
/* What has come and is not used is the caller's from now on. */
struct wsb_buf wsb_peer_take_unread(struct wsb_peer *p);

/* From here on there are frames. `params`: NULL: not compressed. */
WSB_MUST_CHECK wsb_err wsb_peer_begin(struct wsb_peer *p, size_t max_message, const struct wsb_deflate_params *params);

/*
 * The next event of what has come. Its payload is deciphered, unpacked and checked once it is taken with
 * wsb_ws_event_take().
 *
 * Returns   as wsb_ws_in_next(); the payload is valid until the next call on this peer
 */
WSB_MUST_CHECK wsb_err wsb_peer_next(struct wsb_peer *p, struct wsb_ws_event *ret);

/* A frame on its way: masked, and packed where that was agreed on and makes it smaller. WSB_ERR_NOMEM: nothing of it is;
 * after any other failure the connection is to be failed. */
WSB_MUST_CHECK wsb_err wsb_peer_send(struct wsb_peer *p, uint8_t opcode, struct wsb_span payload,
                                     struct wsb_fault *fault);
/* A close frame; code 1005: one without. False: that may not be sent. */
WSB_MUST_CHECK wsb_err wsb_peer_send_close(struct wsb_peer *p, uint16_t code, struct wsb_span reason,
                                           struct wsb_fault *fault);

#endif
