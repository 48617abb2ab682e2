/* It checks next to nothing and never times out: for loopback, and for the load client beside it only. */
#include "bench/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common.h"
#include "ws/handshake.h"

enum { EVENTS = 512, HEAD_MAX = 8192, SCRATCH = 256 << 10, READ_MIN = 4096, HELD_MAX = 256 << 20 };

/* --- clients ------------------------------------------------------------------------------------------------------ */

static void watch(struct server *s, struct client *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(s->epoll, operation, c->fd, &event))
        bench_die("epoll: %s", strerror(errno));
}

static void accept_all(struct server *s)
{
    for (int fd; (fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct client *c = calloc(1, sizeof *c);
        if (s->count == s->cap) {
            s->cap = s->cap ? s->cap * 2 : 1024;
            s->clients = realloc(s->clients, s->cap * sizeof(struct client *));
        }
        if (!c || !s->clients)
            bench_die("out of memory");
        c->fd = fd;
        c->place = s->count;
        wsb_buf_init(&c->in, HELD_MAX);
        wsb_buf_init(&c->out, HELD_MAX);
        s->clients[s->count++] = c;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        watch(s, c, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void client_free(struct server *s, struct client *c)
{
    struct client *last = s->clients[--s->count];
    s->clients[c->place] = last;
    last->place = c->place;
    (void)close(c->fd);
    wsb_buf_deinit(&c->in);
    wsb_buf_deinit(&c->out);
    free(c);
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

/* As much as the socket takes; returns how much, or -1 when the client is gone. */
static ssize_t send_some(struct client *c, const uint8_t *data, size_t len)
{
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
    return n >= 0 || (errno != EAGAIN && errno != EINTR) ? n : 0;
}

wsb_err server_send(struct server *s, struct client *c, const uint8_t *data, size_t len)
{
    if (!c->out.len) {
        ssize_t n = send_some(c, data, len);
        if (n < 0)
            return WSB_CLOSED;
        if ((size_t)n == len)
            return WSB_OK;
        data += n;
        len -= (size_t)n;
    }
    if (!c->is_full)
        watch(s, c, EPOLL_CTL_MOD, EPOLLOUT);
    c->is_full = true;
    return wsb_buf_append(&c->out, data, len);
}

static wsb_err go_on_sending(struct server *s, struct client *c)
{
    ssize_t n = send_some(c, c->out.data, c->out.len);
    if (n < 0)
        return WSB_CLOSED;
    wsb_buf_consume(&c->out, (size_t)n);
    if (c->out.len)
        return WSB_OK;
    wsb_buf_deinit(&c->out);
    c->is_full = false;
    watch(s, c, EPOLL_CTL_MOD, EPOLLIN);
    return WSB_OK;
}

/* Who cannot be sent to is found out when it is read. */
static void publish(struct server *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct client *c = s->clients[i];
        if (c->path == PATH_SUB && server_send(s, c, s->publish.data, s->publish.len))
            (void)shutdown(c->fd, SHUT_RDWR);
    }
    wsb_buf_clear(&s->publish);
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

/* WSB_MORE until the head is there. Only what wsbench writes is understood. */
static wsb_err shake_hands(struct server *s, struct client *c, const uint8_t *data, size_t len, size_t *ret_used)
{
    static const char key_name[] = "Sec-WebSocket-Key: ";
    const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);
    if (!end)
        return len < HEAD_MAX ? WSB_MORE : WSB_ERR_LIMIT;
    const uint8_t *key = memmem(data, len, key_name, sizeof key_name - 1);
    const uint8_t *key_end = key ? memmem(key, (size_t)(end + 2 - key), "\r\n", 2) : NULL;
    char accept[WSB_ACCEPT_KEY_SIZE];
    if (!key_end)
        return WSB_ERR_PROTO;
    key += sizeof key_name - 1;
    wsb_err err = wsb_handshake_accept_key(wsb_span(key, (size_t)(key_end - key)), accept);
    if (err)
        return err;
    c->path = memcmp(data, "GET /sub ", 9) == 0 ? PATH_SUB : memcmp(data, "GET /pub ", 9) == 0 ? PATH_PUB : PATH_OTHER;
    c->is_open = true;
    *ret_used = (size_t)(end + 4 - data);
    return wsb_buf_printf(&s->reply,
                          "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          "Sec-WebSocket-Accept: %s\r\n\r\n",
                          accept);
}

/* Bytes that the frame at the front has altogether; 0 when its header is not whole. */
static size_t frame_len(const uint8_t *data, size_t len)
{
    struct wsb_frame_hdr hdr;
    size_t used;
    bool is_whole = len && !wsb_frame_hdr_parse(data, len, WSB_ROLE_SERVER, 0, &hdr, &used);
    return is_whole && hdr.payload_len < HELD_MAX ? used + (size_t)hdr.payload_len : 0;
}

/* One recv(): into scratch, or behind the beginning of a frame that is too large for that. */
static wsb_err receive(struct client *c, uint8_t *scratch, uint8_t **ret_data, size_t *ret_len)
{
    size_t need = frame_len(c->in.data, c->in.len), kept = c->in.len, room = SCRATCH;
    uint8_t *data = scratch;
    if (need > SCRATCH / 2) {
        if (wsb_buf_reserve(&c->in, need - kept + READ_MIN))
            return WSB_ERR_NOMEM;
        data = c->in.data;
        room = need; /* no further: so nothing has to be moved behind it */
    } else if (kept) {
        memcpy(data, c->in.data, kept);
    }
    ssize_t n = recv(c->fd, data + kept, room - kept, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? WSB_AGAIN : WSB_ERR_IO;
    if (data != scratch)
        c->in.len += (size_t)n;
    *ret_data = data;
    *ret_len = kept + (size_t)n;
    return n ? WSB_OK : WSB_CLOSED;
}

static wsb_err keep(struct client *c, const uint8_t *scratch, const uint8_t *rest, size_t len)
{
    bool is_ours = rest < scratch || rest > scratch + SCRATCH;
    if (!len) {
        wsb_buf_deinit(&c->in);
        return WSB_OK;
    }
    if (is_ours) {
        wsb_buf_consume(&c->in, (size_t)(rest - c->in.data));
        return WSB_OK;
    }
    wsb_buf_clear(&c->in);
    return wsb_buf_append(&c->in, rest, len);
}

static wsb_err read_client(struct server *s, struct client *c, uint8_t *scratch)
{
    uint8_t *data;
    size_t len, used = 0, of_frames = 0;
    wsb_err err = receive(c, scratch, &data, &len);
    if (err)
        return err == WSB_AGAIN ? WSB_OK : err;
    wsb_buf_clear(&s->reply);
    if (!c->is_open)
        err = shake_hands(s, c, data, len, &used);
    if (!err)
        err = s->take(s, c, data + used, len - used, &of_frames);
    if (err && err != WSB_MORE)
        return err;
    if (s->reply.len && server_send(s, c, s->reply.data, s->reply.len))
        return WSB_CLOSED;
    used += of_frames;
    return keep(c, scratch, data + used, len - used);
}

static wsb_err serve(struct server *s, struct client *c, uint32_t events, uint8_t *scratch)
{
    if (c->is_full)
        return events & EPOLLOUT ? go_on_sending(s, c) : WSB_CLOSED;
    return read_client(s, c, scratch);
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, SOMAXCONN) ||
        getsockname(fd, (struct sockaddr *)&address, &len))
        bench_die("listen: %s", strerror(errno));
    (void)printf("port=%u\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    return fd;
}

static void allow_many_clients(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void server_run(server_take *take)
{
    static uint8_t scratch[SCRATCH];
    struct epoll_event events[EVENTS] = {{.events = EPOLLIN, .data.ptr = NULL}};
    struct server s = {.take = take, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    allow_many_clients();
    wsb_buf_init(&s.reply, HELD_MAX);
    wsb_buf_init(&s.publish, HELD_MAX);
    s.listener = listen_anywhere();
    if (s.epoll < 0 || epoll_ctl(s.epoll, EPOLL_CTL_ADD, s.listener, &events[0]))
        bench_die("epoll: %s", strerror(errno));
    for (;;) {
        int count = epoll_wait(s.epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct client *c = events[i].data.ptr;
            if (!c)
                accept_all(&s);
            else if (serve(&s, c, events[i].events, scratch))
                client_free(&s, c);
        }
        if (s.publish.len)
            publish(&s);
    }
}
