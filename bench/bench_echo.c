/*
 * The load client: N connections, each with P messages in flight at an echo, all answers compared with what was sent, in
 * order and byte by byte. A closed loop: the next message of a connection leaves when an answer has come, so latency and
 * rate are two sides of one thing, and neither says what happens above the rate that was reached.
 *
 * One line of key=value pairs is the result; anything wrong (a byte, an order, a close, silence) ends it with status 1.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common.h"
#include "bench/histogram.h"
#include "bench/peer.h"
#include "ws/mask.h"

enum {
    EVENTS = 256,
    PIDS_MAX = 8,
    STAMP = 24, /* what tells a message from all others: hexadecimal, 16 digits of number and 8 of connection */
    PATTERN_PERIOD = 64, /* the rest is a piece of a pattern that begins where the two say */
    SILENCE_MS = 10000,  /* nothing at all for that long: the server has lost something */
    SIZE_MAX_BYTES = 1 << 20,
    COUNT_MAX = 10000,
};

struct options {
    uint16_t port;
    const char *path;
    unsigned connections;
    unsigned in_flight;
    size_t size;
    double warm_up_s;
    double duration_s;
    int pids[PIDS_MAX];
    size_t pid_count;
};

struct client {
    struct peer peer; /* first: the event's pointer is both */
    uint32_t id;
    uint64_t sent; /* messages; those from `answered` on are in flight */
    uint64_t answered;
    uint64_t *sent_ns; /* owned; one for each message in flight */
};

/* What is read twice, at both ends of the measured time. */
struct reading {
    uint64_t at_ns;
    uint64_t messages;
    uint64_t own_cpu_ns;
    uint64_t cpu_ticks[PIDS_MAX];
};

/*  WARM_UP ──time──▶ MEASURE ──time──▶ DRAIN ──last answer──▶ end  */
enum phase {
    PHASE_WARM_UP,
    PHASE_MEASURE,
    PHASE_DRAIN,
};

struct load {
    struct options o;
    enum phase phase;
    int epoll;
    struct client *clients; /* owned */
    uint8_t *pattern;       /* owned; size + PATTERN_PERIOD bytes */
    uint8_t *message;       /* owned; the one that is compared or sent */
    uint32_t mask_state;
    uint64_t messages; /* answers since the start */
    uint64_t in_flight;
    struct reading first, last;
    struct histogram latency; /* ns, of the answers in MEASURE */
};

/* --- messages ----------------------------------------------------------------------------------------------------- */

static void hex(uint8_t *out, uint64_t value, int digits)
{
    for (int i = digits - 1; i >= 0; i--, value >>= 4)
        out[i] = (uint8_t) "0123456789abcdef"[value & 15];
}

/* The pattern costs one memcpy, and a message that is not the expected one differs all over. */
static const uint8_t *pattern_of(const struct load *l, uint32_t id, uint64_t number)
{
    return l->pattern + ((uint64_t)id * 7 + number * 31) % PATTERN_PERIOD;
}

static void message_write(struct load *l, uint32_t id, uint64_t number)
{
    hex(l->message, number, 16);
    hex(l->message + 16, id, 8);
    memcpy(l->message + STAMP, pattern_of(l, id, number), l->o.size - STAMP);
}

static bool message_is(const struct load *l, uint32_t id, uint64_t number, const uint8_t *payload)
{
    uint8_t stamp[STAMP];
    hex(stamp, number, 16);
    hex(stamp + 16, id, 8);
    return memcmp(payload, stamp, STAMP) == 0 &&
           memcmp(payload + STAMP, pattern_of(l, id, number), l->o.size - STAMP) == 0;
}

/* Masks of a client have to be unpredictable to others (RFC 6455 §5.3); here they only have to differ. */
static struct wsg_frame_hdr masked_header(struct load *l, uint8_t opcode, size_t len)
{
    struct wsg_frame_hdr hdr = {.opcode = opcode, .fin = true, .masked = true, .payload_len = len};
    l->mask_state = l->mask_state * 1664525u + 1013904223u;
    memcpy(hdr.mask, &l->mask_state, sizeof hdr.mask);
    return hdr;
}

static void put_frame(struct load *l, struct client *c, uint8_t opcode, const uint8_t *payload, size_t len)
{
    struct wsg_frame_hdr hdr = masked_header(l, opcode, len);
    wsb_err err = peer_put(&c->peer, &hdr, payload, hdr.mask);
    if (err)
        bench_die("connection %u: %s", c->id, wsb_err_name(err));
}

/* As many as may be in flight, in one send(). */
static void fill(struct load *l, struct client *c, uint64_t now_ns)
{
    for (; c->sent - c->answered < l->o.in_flight; c->sent++, l->in_flight++) {
        message_write(l, c->id, c->sent);
        put_frame(l, c, WSG_OP_TEXT, l->message, l->o.size);
        c->sent_ns[c->sent % l->o.in_flight] = now_ns;
    }
}

static void take_answer(struct load *l, struct client *c, const struct wsg_frame_hdr *hdr, const uint8_t *payload,
                        uint64_t now_ns)
{
    if (hdr->opcode != WSG_OP_TEXT || !hdr->fin || c->answered == c->sent || hdr->payload_len != l->o.size ||
        !message_is(l, c->id, c->answered, payload))
        bench_die("connection %u: answer %llu is not what was sent", c->id, (unsigned long long)c->answered);
    if (l->phase == PHASE_MEASURE)
        histogram_add(&l->latency, now_ns - c->sent_ns[c->answered % l->o.in_flight]);
    c->answered++;
    l->messages++;
    l->in_flight--;
}

static void take_frame(struct load *l, struct client *c, const struct wsg_frame_hdr *hdr, const uint8_t *payload,
                       uint64_t now_ns)
{
    if (hdr->opcode == WSG_OP_PING)
        put_frame(l, c, WSG_OP_PONG, payload, (size_t)hdr->payload_len);
    else if (hdr->opcode == WSG_OP_CLOSE)
        bench_die("connection %u: closed by the server with code %d", c->id,
                  hdr->payload_len >= 2 ? payload[0] << 8 | payload[1] : 1005);
    else
        take_answer(l, c, hdr, payload, now_ns);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

static int connect_to(uint16_t port)
{
    static const struct timeval patience = {.tv_sec = SILENCE_MS / 1000};
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) ||
        connect(fd, (struct sockaddr *)&address, sizeof address))
        bench_die("connect to port %u: %s", port, strerror(errno));
    return fd;
}

/* The key and its answer are the ones of RFC 6455 §1.3: that the server computes it is for the tests to show. */
static void shake_hands(struct client *c, const struct options *o)
{
    struct peer *p = &c->peer;
    wsb_err err =
        wsb_buf_printf(&p->out,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                       o->path, o->port);
    if (!err)
        err = peer_flush(p);
    struct wsb_span in = {0};
    const uint8_t *end = NULL;
    while (!err && !end && in.len < PEER_READ) {
        err = peer_recv(p); /* blocks; AGAIN is that it took too long */
        in = peer_received(p);
        end = memmem(in.ptr, in.len, "\r\n\r\n", 4);
    }
    if (err || !end)
        bench_die("connection %u: handshake: %s", c->id, err ? wsb_err_name(err) : "no end of it");
    size_t len = (size_t)(end + 4 - in.ptr);
    if (memcmp(in.ptr, "HTTP/1.1 101 ", 13) != 0 || !memmem(in.ptr, len, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28))
        bench_die("connection %u: refused: %.*s", c->id, (int)strcspn((const char *)in.ptr, "\r"),
                  (const char *)in.ptr);
    p->in_used += len;
}

static void open_all(struct load *l)
{
    for (unsigned i = 0; i < l->o.connections; i++) {
        struct client *c = &l->clients[i];
        c->id = i;
        peer_init(&c->peer, connect_to(l->o.port));
        shake_hands(c, &l->o);
        if (fcntl(c->peer.fd, F_SETFL, O_NONBLOCK))
            bench_die("fcntl: %s", strerror(errno));
    }
}

static void flush(struct load *l, struct client *c)
{
    wsb_err err = peer_flush(&c->peer);
    if (err == WSB_OK || err == WSB_AGAIN)
        err = peer_wait(&c->peer, l->epoll, EPOLLIN | (err ? EPOLLOUT : 0u));
    if (err)
        bench_die("connection %u: %s", c->id, wsb_err_name(err));
}

static void serve(struct load *l, struct client *c)
{
    wsb_err err = peer_recv(&c->peer);
    if (err && err != WSB_AGAIN)
        bench_die("connection %u: %s", c->id, wsb_err_name(err));
    uint64_t now_ns = bench_now_ns();
    struct wsg_frame_hdr hdr;
    const uint8_t *payload;
    while ((err = peer_next(&c->peer, WSG_ROLE_CLIENT, &hdr, &payload)) == WSB_OK)
        take_frame(l, c, &hdr, payload, now_ns);
    if (err != WSB_MORE)
        bench_die("connection %u: %s", c->id, wsb_err_name(err));
    if (l->phase != PHASE_DRAIN)
        fill(l, c, now_ns);
    flush(l, c);
}

/* --- measuring ---------------------------------------------------------------------------------------------------- */

/* User and system time of a process with all its threads, in clock ticks: fields 14 and 15 of proc(5). */
static uint64_t cpu_ticks(int pid)
{
    char path[32], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        (void)fclose(file);
    text[len] = 0;
    char *at = strrchr(text, ')'); /* the name before it may hold anything */
    for (int field = 2; at && field < 14; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        bench_die("no process %d", pid);
    uint64_t user = strtoull(at, &at, 10);
    return user + strtoull(at, NULL, 10);
}

static struct reading read_now(const struct load *l)
{
    struct timespec own;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    struct reading r = {
        .at_ns = bench_now_ns(),
        .messages = l->messages,
        .own_cpu_ns = (uint64_t)own.tv_sec * 1000000000u + (uint64_t)own.tv_nsec,
    };
    for (size_t i = 0; i < l->o.pid_count; i++)
        r.cpu_ticks[i] = cpu_ticks(l->o.pids[i]);
    return r;
}

static void advance(struct load *l, uint64_t start_ns)
{
    double elapsed_s = (double)(bench_now_ns() - start_ns) / 1e9;
    if (l->phase == PHASE_WARM_UP && elapsed_s >= l->o.warm_up_s) {
        l->first = read_now(l);
        l->phase = PHASE_MEASURE;
    } else if (l->phase == PHASE_MEASURE && elapsed_s >= l->o.warm_up_s + l->o.duration_s) {
        l->last = read_now(l);
        l->phase = PHASE_DRAIN;
    }
}

static void run(struct load *l)
{
    struct epoll_event events[EVENTS];
    uint64_t start_ns = bench_now_ns();
    for (unsigned i = 0; i < l->o.connections; i++) {
        fill(l, &l->clients[i], bench_now_ns());
        flush(l, &l->clients[i]);
    }
    while (l->phase != PHASE_DRAIN || l->in_flight) {
        int count = epoll_wait(l->epoll, events, EVENTS, SILENCE_MS);
        if (count == 0)
            bench_die("no answer within %d s, %llu are missing", SILENCE_MS / 1000, (unsigned long long)l->in_flight);
        for (int i = 0; i < count; i++)
            serve(l, events[i].data.ptr);
        advance(l, start_ns);
    }
}

static void print(const struct load *l)
{
    uint64_t count = l->last.messages - l->first.messages;
    double seconds = (double)(l->last.at_ns - l->first.at_ns) / 1e9;
    if (!count)
        bench_die("no answer in the measured time");
    (void)printf("connections=%u in_flight=%u bytes=%zu seconds=%.3f messages=%llu per_s=%.0f", l->o.connections,
                 l->o.in_flight, l->o.size, seconds, (unsigned long long)count, (double)count / seconds);
    (void)printf(" p50_us=%.1f p99_us=%.1f p999_us=%.1f", (double)histogram_quantile(&l->latency, 500) / 1e3,
                 (double)histogram_quantile(&l->latency, 990) / 1e3,
                 (double)histogram_quantile(&l->latency, 999) / 1e3);
    (void)printf(" client_cpu_us=%.3f", (double)(l->last.own_cpu_ns - l->first.own_cpu_ns) / 1e3 / (double)count);
    double tick_us = 1e6 / (double)sysconf(_SC_CLK_TCK);
    for (size_t i = 0; i < l->o.pid_count; i++)
        (void)printf(" cpu_us_%d=%.3f", l->o.pids[i],
                     (double)(l->last.cpu_ticks[i] - l->first.cpu_ticks[i]) * tick_us / (double)count);
    (void)printf("\n");
}

/* --- start -------------------------------------------------------------------------------------------------------- */

static const char usage[] = "Usage: bench_echo --port PORT [option]…   (127.0.0.1 only)\n"
                            "  --path PATH          default /echo\n"
                            "  --connections N      default 64\n"
                            "  --in-flight N        messages of each connection; default 16\n"
                            "  --size BYTES         of a message, from 24; default 125\n"
                            "  --warm-up SECONDS    not measured; default 0.5\n"
                            "  --duration SECONDS   default 3\n"
                            "  --pid PID            print the CPU time of this process for each message; repeatable\n";

static double number(const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= min && value <= max))
        bench_die("'%s' is not a number from %g to %g", text, min, max);
    return value;
}

static void set(struct options *o, int option, const char *value)
{
    switch (option) {
    case 'p':
        o->port = (uint16_t)number(value, 1, UINT16_MAX);
        break;
    case 'u':
        o->path = value;
        break;
    case 'c':
        o->connections = (unsigned)number(value, 1, COUNT_MAX);
        break;
    case 'f':
        o->in_flight = (unsigned)number(value, 1, COUNT_MAX);
        break;
    case 's':
        o->size = (size_t)number(value, STAMP, SIZE_MAX_BYTES);
        break;
    case 'w':
        o->warm_up_s = number(value, 0, 60);
        break;
    case 'd':
        o->duration_s = number(value, 0.1, 600);
        break;
    case 'i':
        if (o->pid_count == PIDS_MAX)
            bench_die("%d processes at most", PIDS_MAX);
        o->pids[o->pid_count++] = (int)number(value, 1, INT32_MAX);
        break;
    default: /* --help, or what getopt has complained about */
        (void)fputs(usage, option == 'h' ? stdout : stderr);
        exit(option == 'h' ? 0 : 2);
    }
}

static struct options parse(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},
        {"path", required_argument, NULL, 'u'},
        {"connections", required_argument, NULL, 'c'},
        {"in-flight", required_argument, NULL, 'f'},
        {"size", required_argument, NULL, 's'},
        {"warm-up", required_argument, NULL, 'w'},
        {"duration", required_argument, NULL, 'd'},
        {"pid", required_argument, NULL, 'i'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct options o = {
        .path = "/echo", .connections = 64, .in_flight = 16, .size = 125, .warm_up_s = 0.5, .duration_s = 3};
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;)
        set(&o, c, optarg);
    if (optind < argc || !o.port)
        set(&o, '?', NULL);
    if (o.in_flight * (o.size + WSG_FRAME_HDR_MAX) > PEER_HELD_MAX / 2)
        bench_die("%u messages of %zu bytes are too much for one connection", o.in_flight, o.size);
    return o;
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        bench_die("out of memory");
    return memory;
}

int main(int argc, char **argv)
{
    static struct load l; /* zeroed; too large for the stack */
    l.o = parse(argc, argv);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.clients = allocate(l.o.connections, sizeof *l.clients);
    l.message = allocate(1, l.o.size);
    l.pattern = allocate(1, l.o.size + PATTERN_PERIOD);
    for (size_t i = 0; i < l.o.size + PATTERN_PERIOD; i++)
        l.pattern[i] = (uint8_t)(' ' + i * 37 % 95);
    for (unsigned i = 0; i < l.o.connections; i++)
        l.clients[i].sent_ns = allocate(l.o.in_flight, sizeof(uint64_t));

    open_all(&l);
    run(&l);
    print(&l);

    for (unsigned i = 0; i < l.o.connections; i++) {
        peer_deinit(&l.clients[i].peer);
        free(l.clients[i].sent_ns);
    }
    free(l.pattern);
    free(l.message);
    free(l.clients);
    (void)close(l.epoll);
    return 0;
}
