/*
 * The physical limit that a gate is compared with: an echo server of one process that does what no WebSocket server can
 * leave out (recv, unmask, frame, send) and nothing else. It checks next to nothing and never times out: for loopback,
 * and for the load client beside it only. It prints "port=N" and serves until it is killed.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common.h"
#include "bench/peer.h"
#include "ws/handshake.h"

enum { EVENTS = 256, HEAD_MAX = 8192 };

struct client {
    struct peer peer; /* first: the event's pointer is both */
    bool is_open;     /* the handshake is done */
};

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SOMAXCONN) ||
        getsockname(fd, (struct sockaddr *)&address, &len))
        bench_die("listen: %s", strerror(errno));
    (void)printf("port=%u\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    return fd;
}

static void accept_one(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return; /* gone already */
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        bench_die("out of memory");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    peer_init(&c->peer, fd);
    if (peer_wait(&c->peer, epoll, EPOLLIN))
        bench_die("epoll: %s", strerror(errno));
}

static void client_free(struct client *c)
{
    peer_deinit(&c->peer);
    free(c);
}

/* WSB_MORE until the head is there. Only what bench_echo writes is understood. */
static wsb_err shake_hands(struct client *c)
{
    static const char key_name[] = "Sec-WebSocket-Key: ";
    struct wsb_span in = peer_received(&c->peer);
    const uint8_t *end = memmem(in.ptr, in.len, "\r\n\r\n", 4);
    if (!end)
        return in.len < HEAD_MAX ? WSB_MORE : WSB_ERR_LIMIT;
    const uint8_t *key = memmem(in.ptr, in.len, key_name, sizeof key_name - 1);
    const uint8_t *key_end = key ? memmem(key, (size_t)(end + 2 - key), "\r\n", 2) : NULL;
    char accept[WSG_ACCEPT_KEY_SIZE];
    if (!key_end)
        return WSB_ERR_PROTO;
    key += sizeof key_name - 1;
    wsb_err err = wsg_handshake_accept_key(wsb_span(key, (size_t)(key_end - key)), accept);
    if (err)
        return err;
    c->peer.in_used += (size_t)(end + 4 - in.ptr);
    c->is_open = true;
    return wsb_buf_printf(&c->peer.out,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
}

/* Every frame back as it came, a Close frame too. */
static wsb_err echo(struct peer *p)
{
    struct wsg_frame_hdr hdr;
    const uint8_t *payload;
    wsb_err err;
    while ((err = peer_next(p, WSG_ROLE_SERVER, &hdr, &payload)) == WSB_OK) {
        hdr.masked = false;
        err = peer_put(p, &hdr, payload, hdr.mask);
        if (err)
            return err;
    }
    return err;
}

static wsb_err serve(struct client *c, int epoll)
{
    struct peer *p = &c->peer;
    wsb_err err = p->events & EPOLLIN ? peer_recv(p) : WSB_OK;
    if (err)
        return err == WSB_AGAIN ? WSB_OK : err;
    err = c->is_open ? WSB_OK : shake_hands(c);
    if (!err)
        err = echo(p);
    if (err != WSB_MORE)
        return err;
    err = peer_flush(p);
    if (err && err != WSB_AGAIN)
        return err;
    return peer_wait(p, epoll, err ? EPOLLOUT : EPOLLIN); /* who does not read is not read from */
}

int main(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_anywhere();
    struct epoll_event events[EVENTS] = {{.events = EPOLLIN, .data.ptr = NULL}};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &events[0]))
        bench_die("epoll: %s", strerror(errno));

    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            if (!c)
                accept_one(epoll, listener);
            else if (serve(c, epoll))
                client_free(c);
        }
    }
}
