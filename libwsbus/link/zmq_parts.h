#ifndef WSB_LINK_ZMQ_PARTS_H
#define WSB_LINK_ZMQ_PARTS_H

/* What both ends over ZeroMQ share: parts of messages in and out without waiting, and ZeroMQ's errors as ours. */

#include <zmq.h>

#include "link/link.h"

/* WSB_AGAIN: nothing is there. *part is initialised by the caller and closed by it, whatever is returned. */
WSB_MUST_CHECK wsb_err wsb_zmq_recv_part(void *socket, zmq_msg_t *part);

/* WSB_AGAIN: no room; WSB_CLOSED: nobody there; WSB_ERR_IO: anything else. flags: ZMQ_SNDMORE or 0. */
WSB_MUST_CHECK wsb_err wsb_zmq_send_bytes(void *socket, const void *data, size_t len, int flags);
/* Takes the block, whatever it returns; it is freed when ZeroMQ has written it. */
WSB_MUST_CHECK wsb_err wsb_zmq_send_block(void *socket, struct wsb_block *b, int flags);
/* Everything behind the first part of a message: header, payload, metadata. Takes the block. */
WSB_MUST_CHECK wsb_err wsb_zmq_send_envelope(void *socket, const struct wsb_header *h, struct wsb_block *payload,
                                             struct wsb_span meta);

void wsb_zmq_set_int(void *socket, int option, int value);
/* Close all sockets first. Bounded by their LINGER. */
void wsb_zmq_terminate(void *context);

#endif
