#ifndef WSB_BENCH_PEER_H
#define WSB_BENCH_PEER_H

/*
 * One end of a WebSocket connection with nothing but frames on it: what the load client and the limit server share, so
 * that both spend as little as can be. It uses the gate's own codec; what that gets wrong the tests have to find.
 */

#include "base/buf.h"
#include "ws/frame.h"

enum {
    PEER_READ = 64 << 10,    /* bytes asked of one recv() */
    PEER_HELD_MAX = 64 << 20 /* most bytes in each buffer */
};

struct peer {
    int fd;          /* owned once set */
    uint32_t events; /* what epoll waits for; 0: not registered yet */
    struct wsb_buf in;
    size_t in_used; /* bytes of `in` that are done with */
    struct wsb_buf out;
    size_t out_sent;
};

void peer_init(struct peer *p, int fd);
void peer_deinit(struct peer *p);

/* One recv(). WSB_OK; WSB_AGAIN nothing is there; WSB_CLOSED; WSB_ERR_IO, WSB_ERR_LIMIT, WSB_ERR_NOMEM. */
WSB_MUST_CHECK wsb_err peer_recv(struct peer *p);

/* What was received and not taken. */
struct wsb_span peer_received(const struct peer *p);

/* The next whole frame; ret_payload is still masked and valid until the next peer_recv(). WSB_MORE; WSB_ERR_PROTO. */
WSB_MUST_CHECK wsb_err peer_next(struct peer *p, enum wsg_role role, struct wsg_frame_hdr *ret_hdr,
                                 const uint8_t **ret_payload);

/* Append a frame: its header, and the payload combined with `mask`, which masks, unmasks or (zeros) leaves it as it is. */
WSB_MUST_CHECK wsb_err peer_put(struct peer *p, const struct wsg_frame_hdr *hdr, const uint8_t *payload,
                                const uint8_t mask[4]);

/* Send what was appended. WSB_OK all of it; WSB_AGAIN the socket is full; WSB_ERR_IO. */
WSB_MUST_CHECK wsb_err peer_flush(struct peer *p);

/* Wait for these events from now on; the peer itself is the event's pointer. */
WSB_MUST_CHECK wsb_err peer_wait(struct peer *p, int epoll, uint32_t events);

#endif
