/*
 * The client process of the seed grid, at bench_seed_handler: for each size 200 messages of it that are answered by nothing, and
 * 200 short ones that are answered by it, one after the other. One line of key=value pairs each: the mean of the middle half, in
 * nanoseconds. Size 8 is the round trip that both halves are taken from.
 *
 *   bench_seed_client PORT SIZE...
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "bench/common.h"
#include "ws/frame.h"
#include "ws/mask.h"

enum { SAMPLES = 200, WARM_UP = 20, SIZE_MIN = 8, SIZE_MAX_BYTES = 16 << 20, SILENCE_S = 20 };

struct link {
    int fd;
    struct wsb_buf out;
    uint8_t in[SIZE_MAX_BYTES + WSB_FRAME_HDR_MAX];
};

static void send_all(struct link *l)
{
    for (size_t at = 0; at < l->out.len;) {
        ssize_t n = send(l->fd, l->out.data + at, l->out.len - at, MSG_NOSIGNAL);
        if (n <= 0)
            bench_die("send: %s", strerror(errno));
        at += (size_t)n;
    }
    wsb_buf_clear(&l->out);
}

static size_t receive(struct link *l, size_t at)
{
    ssize_t n = recv(l->fd, l->in + at, sizeof l->in - at, 0);
    if (n <= 0)
        bench_die("recv: %s", n ? strerror(errno) : "closed");
    return at + (size_t)n;
}

static void open_link(struct link *l, uint16_t port)
{
    static const struct timeval patience = {.tv_sec = SILENCE_S};
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) ||
        connect(l->fd, (struct sockaddr *)&address, sizeof address))
        bench_die("connect to port %u: %s", port, strerror(errno));
    wsb_buf_init(&l->out, 0);
    if (wsb_buf_append_str(&l->out,
                           "GET /seed HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"))
        bench_die("out of memory");
    send_all(l);
    size_t len = 0;
    while (!memmem(l->in, len, "\r\n\r\n", 4))
        len = receive(l, len);
    if (memcmp(l->in, "HTTP/1.1 101 ", 13) != 0)
        bench_die("refused: %.*s", (int)len, (const char *)l->in);
}

/* A message of `up` bytes that asks for `down`. */
static void ask(struct link *l, size_t up, size_t down)
{
    struct wsb_frame_hdr hdr = {
        .opcode = WSB_OP_BINARY, .fin = true, .masked = true, .mask = {0x37, 0xfa, 0x21, 0x3d}, .payload_len = up};
    static uint8_t message[SIZE_MAX_BYTES];
    char digits[SIZE_MIN + 1];
    (void)snprintf(digits, sizeof digits, "%08x", (unsigned)down);
    memcpy(message, digits, SIZE_MIN);
    if (wsb_buf_reserve(&l->out, WSB_FRAME_HDR_MAX + up))
        bench_die("out of memory");
    l->out.len = wsb_frame_hdr_write(l->out.data, &hdr);
    wsb_mask_copy(l->out.data + l->out.len, message, up, hdr.mask, 0);
    l->out.len += up;
    send_all(l);
}

static void take_answer(struct link *l, size_t down)
{
    struct wsb_frame_hdr hdr;
    size_t len = 0, used;
    wsb_err err = WSB_MORE;
    while (err == WSB_MORE || (!err && len < used + hdr.payload_len)) {
        len = receive(l, len);
        err = wsb_frame_hdr_parse(l->in, len, WSB_ROLE_CLIENT, 0, &hdr, &used);
    }
    if (err || hdr.opcode != WSB_OP_BINARY || hdr.payload_len != down || len != used + down)
        bench_die("not the answer that was asked for");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct link *l, const char *way, size_t size, size_t up, size_t down)
{
    double ns[SAMPLES], sum = 0;
    for (int i = -WARM_UP; i < SAMPLES; i++) {
        uint64_t start_ns = bench_now_ns();
        ask(l, up, down);
        take_answer(l, down);
        if (i >= 0)
            ns[i] = (double)(bench_now_ns() - start_ns);
    }
    qsort(ns, SAMPLES, sizeof *ns, by_value);
    for (int i = SAMPLES / 4; i < SAMPLES * 3 / 4; i++)
        sum += ns[i];
    (void)printf("way=%s size=%zu ns=%.0f p99_ns=%.0f\n", way, size, sum * 2 / SAMPLES, ns[SAMPLES * 99 / 100]);
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    static struct link l; /* too large for the stack */
    if (argc < 3)
        bench_die("usage: bench_seed_client PORT SIZE...");
    open_link(&l, (uint16_t)strtoul(argv[1], NULL, 10));
    measure(&l, "round", SIZE_MIN, SIZE_MIN, 0);
    for (int i = 2; i < argc; i++) {
        size_t size = strtoul(argv[i], NULL, 10);
        if (size < SIZE_MIN || size > SIZE_MAX_BYTES)
            bench_die("sizes go from %d to %d", SIZE_MIN, SIZE_MAX_BYTES);
        measure(&l, "up", size, size, 0);
        measure(&l, "down", size, SIZE_MIN, size);
    }
    wsb_buf_deinit(&l.out);
    (void)close(l.fd);
    return 0;
}
