/* Frames in and out of two plain buffers, one recv() and one send() a turn. */
#include "bench/peer.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ws/mask.h"

void peer_init(struct peer *p, int fd)
{
    *p = (struct peer){.fd = fd};
    wsb_buf_init(&p->in, PEER_HELD_MAX);
    wsb_buf_init(&p->out, PEER_HELD_MAX);
}

void peer_deinit(struct peer *p)
{
    if (p->fd >= 0)
        (void)close(p->fd);
    p->fd = -1;
    wsb_buf_deinit(&p->in);
    wsb_buf_deinit(&p->out);
}

wsb_err peer_recv(struct peer *p)
{
    wsb_buf_consume(&p->in, p->in_used); /* a part of one frame at most is moved */
    p->in_used = 0;
    wsb_err err = wsb_buf_reserve(&p->in, PEER_READ);
    if (err)
        return err;
    ssize_t n = recv(p->fd, p->in.data + p->in.len, PEER_READ, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? WSB_AGAIN : WSB_ERR_IO;
    p->in.len += (size_t)n;
    return n ? WSB_OK : WSB_CLOSED;
}

struct wsb_span peer_received(const struct peer *p)
{
    return wsb_span(p->in.data + p->in_used, p->in.len - p->in_used);
}

wsb_err peer_next(struct peer *p, enum wsg_role role, struct wsg_frame_hdr *ret_hdr, const uint8_t **ret_payload)
{
    struct wsb_span in = peer_received(p);
    struct wsg_frame_hdr hdr;
    size_t used;
    wsb_err err = in.len ? wsg_frame_hdr_parse(in.ptr, in.len, role, 0, &hdr, &used) : WSB_MORE;
    if (err)
        return err;
    if (hdr.payload_len > in.len - used)
        return WSB_MORE;
    *ret_hdr = hdr;
    *ret_payload = in.ptr + used;
    p->in_used += used + (size_t)hdr.payload_len;
    return WSB_OK;
}

wsb_err peer_put(struct peer *p, const struct wsg_frame_hdr *hdr, const uint8_t *payload, const uint8_t mask[4])
{
    size_t len = (size_t)hdr->payload_len;
    wsb_err err = wsb_buf_reserve(&p->out, WSG_FRAME_HDR_MAX + len);
    if (err)
        return err;
    p->out.len += wsg_frame_hdr_write(p->out.data + p->out.len, hdr);
    wsg_mask_copy(p->out.data + p->out.len, payload, len, mask, 0);
    p->out.len += len;
    return WSB_OK;
}

wsb_err peer_flush(struct peer *p)
{
    while (p->out_sent < p->out.len) {
        ssize_t n = send(p->fd, p->out.data + p->out_sent, p->out.len - p->out_sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? WSB_AGAIN : WSB_ERR_IO;
        p->out_sent += (size_t)n;
    }
    wsb_buf_clear(&p->out);
    p->out_sent = 0;
    return WSB_OK;
}

wsb_err peer_wait(struct peer *p, int epoll, uint32_t events)
{
    if (p->events == events)
        return WSB_OK;
    struct epoll_event ev = {.events = events, .data.ptr = p};
    if (epoll_ctl(epoll, p->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, p->fd, &ev))
        return WSB_ERR_IO;
    p->events = events;
    return WSB_OK;
}
