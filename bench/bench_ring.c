/*
 * What a ring between two processes costs, beside what no ring can do without: a cache line's way to the other core and back, a stream
 * of lines, one sleep and one wake-up; and beside the same exchange through ZeroMQ. Two processes on two cores run the same list
 * of jobs in step, round after round. Only ratios within one round mean anything; a row is the median of them.
 *
 *     bench_ring [--rounds N] [--csv]        exit 0 whether a figure is what it should be or not
 */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "bench/common.h"
#include "ring/region.h"

enum {
    ROUNDS_MAX = 101,
    ENVELOPE = 32, /* in front of each payload, as on the bus */
    SIZES = 4,
    RING = 1 << 20,
    PART = 64 << 10, /* what is longer goes in parts */
    SAMPLES_MAX = 200000,
    CHUNK = 4096,
    CHUNKS = 256, /* of the buffer through which lines are streamed */
    BATCH = 16,
    SPIN_NS = 50000,
    CLOCK_EVERY = 16 /* looks at the ring between two looks at the clock */
};
static const size_t SIZE_OF[SIZES] = {64, 1 << 10, 64 << 10, 1 << 20};

/* About what the bus puts in front of a payload. */
struct envelope {
    uint32_t len, kind;
    uint64_t route, connection, number;
};
_Static_assert(sizeof(struct envelope) == ENVELOPE, "as on the bus");

/* What both processes see besides the rings. Each word has one writer. */
struct shared {
    _Alignas(128) _Atomic uint64_t met[2]; /* steps; nobody measures here */
    _Alignas(128) _Atomic uint64_t there;  /* a line, and the one that answers it */
    _Alignas(128) _Atomic uint64_t back;
    _Alignas(128) _Atomic uint64_t written; /* chunks */
    _Alignas(128) _Atomic uint64_t read;
    _Alignas(4096) uint8_t chunks[CHUNKS * CHUNK];
};

/* One of the two processes. Both have the same jobs in the same order; `is_second` says who begins and who answers. */
struct side {
    bool is_second;
    struct shared *shared;
    uint64_t steps, laps, chunks;
    struct wsb_region *regions; /* the first's, the second's */
    int bells[2];               /* eventfd: rings for the first, for the second */
    int waiter;                 /* epoll of our own bell; -1: never sleeps */
    uint64_t spin_ns;           /* before it sleeps */
    uint64_t wakes;             /* of the other, by us */
    struct wsb_ring_tx tx;
    struct wsb_ring_rx rx;
    uint8_t *bytes;          /* owned; the payload's source */
    volatile uint64_t taken; /* what was read, so that it is read */
    double *samples;         /* owned */
    char dir[64];            /* for ZeroMQ's sockets */
};

/* ------------------------------------------------------------------- two in step */

static void pin_to(size_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        bench_die("cannot run on CPU %zu: %s", cpu, strerror(errno));
}

static void meet(struct side *s)
{
    s->steps++;
    atomic_store(&s->shared->met[s->is_second], s->steps);
    while (atomic_load(&s->shared->met[!s->is_second]) < s->steps)
        continue;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median_of(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

static double since(uint64_t began)
{
    return (double)(bench_now_ns() - began);
}

/* One byte of each line, so that the lines come here. */
static uint64_t touch(const uint8_t *p, size_t len)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i += 64)
        sum += *(const volatile uint8_t *)(p + i);
    return sum;
}

/* ------------------------------------------------------------------- the limits of the machine */

enum { LAP_PARTS = 40, LAPS = 1000, STREAM_PARTS = 32, STREAMED = 512 };

/* A line there and another one back: ns. The median of many parts, since the rest of the machine has its own life. */
static double line_round_trip(struct side *s)
{
    double parts[LAP_PARTS];
    meet(s);
    for (unsigned part = 0; part < LAP_PARTS; part++) {
        uint64_t began = bench_now_ns();
        for (unsigned i = 0; i < LAPS; i++) {
            uint64_t lap = ++s->laps;
            _Atomic uint64_t *mine = s->is_second ? &s->shared->back : &s->shared->there;
            _Atomic uint64_t *theirs = s->is_second ? &s->shared->there : &s->shared->back;
            if (!s->is_second)
                atomic_store_explicit(mine, lap, memory_order_release);
            while (atomic_load_explicit(theirs, memory_order_acquire) != lap)
                continue;
            if (s->is_second)
                atomic_store_explicit(mine, lap, memory_order_release);
        }
        parts[part] = since(began);
    }
    return median_of(parts, LAP_PARTS) / (double)LAPS;
}

static void stream_chunk(struct side *s, uint64_t number)
{
    uint8_t *chunk = s->shared->chunks + number % CHUNKS * CHUNK;
    if (s->is_second) {
        while (atomic_load_explicit(&s->shared->written, memory_order_acquire) <= number)
            continue;
        s->taken = touch(chunk, CHUNK);
        atomic_store_explicit(&s->shared->read, number + 1, memory_order_release);
    } else {
        while (number - atomic_load_explicit(&s->shared->read, memory_order_acquire) >= CHUNKS)
            continue;
        memcpy(chunk, s->bytes, CHUNK);
        atomic_store_explicit(&s->shared->written, number + 1, memory_order_release);
    }
}

/* Lines written here and read there, 4 KiB at a time: bytes in a nanosecond. */
static double line_stream(struct side *s)
{
    double parts[STREAM_PARTS];
    meet(s);
    for (unsigned part = 0; part < STREAM_PARTS; part++) {
        uint64_t began = bench_now_ns();
        for (unsigned i = 0; i < STREAMED; i++)
            stream_chunk(s, s->chunks++);
        parts[part] = since(began);
    }
    return (double)STREAMED * CHUNK / median_of(parts, STREAM_PARTS);
}

static void ring_bell(struct side *s)
{
    uint64_t one = 1;
    if (write(s->bells[!s->is_second], &one, sizeof one) != sizeof one)
        bench_die("eventfd: %s", strerror(errno));
}

static void sleep_until_bell(struct side *s)
{
    struct epoll_event event;
    while (epoll_wait(s->waiter, &event, 1, -1) != 1)
        continue;
}

enum { NAPS = 1500, WARM = 150 };

/* Sleep and be woken, and nothing else: ns. Edges of a descriptor that nobody reads, as the ring uses it. */
static double bare_sleep(struct side *s)
{
    struct epoll_event old;
    meet(s);
    while (epoll_wait(s->waiter, &old, 1, 0) == 1) /* a wake-up of the job before, which came when it was awake */
        continue;
    meet(s);
    for (unsigned i = 0; i < NAPS + WARM; i++) {
        uint64_t began = bench_now_ns();
        if (!s->is_second)
            ring_bell(s);
        sleep_until_bell(s);
        if (s->is_second)
            ring_bell(s);
        if (i >= WARM)
            s->samples[i - WARM] = since(began);
    }
    meet(s);
    return median_of(s->samples, NAPS);
}

/* ------------------------------------------------------------------- the ring */

static void open_ring(struct side *s, int waiter, uint64_t spin_ns)
{
    struct wsb_region *mine = &s->regions[s->is_second], *theirs = &s->regions[!s->is_second];
    uint64_t key = UINT64_C(0x428a2f98d728ae22);
    meet(s);
    memset(mine->base, 0, WSB_RING_CONTROL + RING); /* stamps of the ring that was here before */
    wsb_ring_tx_init(&s->tx, wsb_region_data(mine), RING, key, wsb_region_words(mine), wsb_region_words(theirs));
    wsb_ring_rx_init(&s->rx, wsb_region_data(theirs), RING, key, wsb_region_words(mine), wsb_region_words(theirs));
    s->waiter = waiter;
    s->spin_ns = spin_ns;
    s->wakes = 0;
    meet(s);
}

/* Spin as long as we may, then sleep. */
static void await_record(struct side *s)
{
    uint64_t until = 0;
    for (unsigned i = 1; s->waiter < 0 || s->spin_ns; i++) {
        if (wsb_ring_has_next(&s->rx))
            return;
        if (s->waiter < 0 || i % CLOCK_EVERY)
            continue;
        if (!until)
            until = bench_now_ns() + s->spin_ns;
        else if (bench_now_ns() > until)
            break;
    }
    while (wsb_ring_may_sleep(&s->rx))
        sleep_until_bell(s);
}

static uint8_t *reserve(struct side *s, size_t len)
{
    uint8_t *body;
    while (!(body = wsb_ring_reserve(&s->tx, ENVELOPE + len)))
        if (wsb_ring_look(&s->tx))
            bench_die("the other end lies");
    return body;
}

static void tell(struct side *s)
{
    if (wsb_ring_tell(&s->tx)) {
        s->wakes++;
        ring_bell(s);
    }
}

static void publish(struct side *s, const uint8_t *payload, size_t len, uint64_t number)
{
    uint8_t *body = reserve(s, len);
    *(struct envelope *)(void *)body = (struct envelope){.len = htole32((uint32_t)(ENVELOPE + len)), .number = number};
    memcpy(body + ENVELOPE, payload, len);
    wsb_ring_commit(&s->tx, ENVELOPE + len);
}

static void publish_now(struct side *s, const uint8_t *payload, size_t len, uint64_t number)
{
    publish(s, payload, len, number);
    tell(s);
}

static struct wsb_span take(struct side *s)
{
    struct wsb_span body;
    wsb_err err;
    while ((err = wsb_ring_next(&s->rx, &body)) == WSB_AGAIN)
        await_record(s);
    if (err)
        bench_die("a record is broken");
    return body;
}

/* Not each record is worth a fence. */
static void release_some(struct side *s)
{
    if (s->rx.at - s->rx.released >= s->rx.size / 8)
        (void)wsb_ring_release(&s->rx, s->rx.at);
}

static unsigned parts_of(size_t len)
{
    return len > PART ? (unsigned)(len / PART) : 1;
}

/* A payload there and the same payload back, written anew: ns. */
static double ring_round_trip(struct side *s, size_t len, unsigned count)
{
    unsigned parts = parts_of(len);
    size_t piece = len / parts;
    for (unsigned i = 0; i < count; i++) {
        uint64_t began = bench_now_ns();
        for (unsigned part = 0; part < parts && !s->is_second; part++)
            publish_now(s, s->bytes + part * piece, piece, i);
        for (unsigned part = 0; part < parts; part++) {
            struct wsb_span body = take(s);
            if (s->is_second)
                publish_now(s, body.ptr + ENVELOPE, piece, i);
            else
                s->taken = touch(body.ptr, body.len);
            release_some(s);
        }
        s->samples[i] = since(began);
    }
    meet(s);
    return median_of(s->samples + count / 10, count - count / 10);
}

/* One message, or part of one. Who is awake is told of a batch, as a gate tells once a round; who may sleep, of each. */
static void go_one_way(struct side *s, size_t len, unsigned number)
{
    if (s->is_second) {
        struct wsb_span body = take(s);
        s->taken = touch(body.ptr, body.len);
        release_some(s);
    } else {
        publish(s, s->bytes, len, number);
        if (s->waiter >= 0 || number % BATCH == 0)
            tell(s);
    }
}

/* Records one way, each line of them read: ns for one message. The median of parts, as with the lines. */
static double ring_one_way(struct side *s, size_t len, unsigned count)
{
    double times[STREAM_PARTS];
    unsigned each = count / STREAM_PARTS, pieces = parts_of(len);
    for (unsigned part = 0; part < STREAM_PARTS; part++) {
        uint64_t began = bench_now_ns();
        for (unsigned i = 0; i < each * pieces; i++)
            go_one_way(s, len / pieces, i);
        times[part] = since(began);
    }
    meet(s);
    return median_of(times, STREAM_PARTS) / each;
}

/* What it costs to publish into a ring that is read by nobody and has room: ns. */
static double publish_alone(struct side *s, size_t len, unsigned count)
{
    open_ring(s, -1, 0);
    uint64_t began = bench_now_ns();
    for (unsigned i = 0; i < count && !s->is_second; i++) {
        s->tx.floor = s->tx.tail;
        publish_now(s, s->bytes, len, i);
    }
    return since(began) / count;
}

/* ------------------------------------------------------------------- ZeroMQ */

struct zmq_pair {
    void *context, *out, *in;
};

static void zmq_put(struct zmq_pair *z, const uint8_t *bytes, size_t len)
{
    zmq_msg_t m;
    if (zmq_msg_init_size(&m, len) != 0)
        bench_die("ZeroMQ has no memory");
    memcpy(zmq_msg_data(&m), bytes, len);
    if (zmq_msg_send(&m, z->out, 0) < 0)
        bench_die("ZeroMQ does not send");
}

/* Read a message and, if it is to be answered, send the same bytes back. */
static void zmq_take(struct side *s, struct zmq_pair *z, bool answers)
{
    zmq_msg_t m;
    (void)zmq_msg_init(&m);
    if (zmq_msg_recv(&m, z->in, 0) < 0)
        bench_die("ZeroMQ does not receive");
    s->taken = touch(zmq_msg_data(&m), zmq_msg_size(&m));
    if (answers)
        zmq_put(z, zmq_msg_data(&m), zmq_msg_size(&m));
    (void)zmq_msg_close(&m);
}

static void zmq_pair_open(struct side *s, struct zmq_pair *z)
{
    char mine[96], theirs[96];
    (void)snprintf(mine, sizeof mine, "ipc://%s/to-%d", s->dir, s->is_second);
    (void)snprintf(theirs, sizeof theirs, "ipc://%s/to-%d", s->dir, !s->is_second);
    z->context = zmq_ctx_new();
    z->in = zmq_socket(z->context, ZMQ_PULL);
    z->out = zmq_socket(z->context, ZMQ_PUSH);
    if (!z->in || !z->out || zmq_bind(z->in, mine) != 0)
        bench_die("ZeroMQ does not bind %s", mine);
    meet(s);
    if (zmq_connect(z->out, theirs) != 0)
        bench_die("ZeroMQ does not connect to %s", theirs);
    zmq_put(z, s->bytes, 1); /* both are connected when both have had one */
    zmq_take(s, z, /*answers=*/false);
    (void)unlink(mine + strlen("ipc://"));
    meet(s);
}

static void zmq_pair_close(struct side *s, struct zmq_pair *z)
{
    meet(s);
    (void)zmq_close(z->in);
    (void)zmq_close(z->out);
    (void)zmq_ctx_term(z->context);
}

static double zmq_round_trip(struct side *s, size_t len, unsigned count)
{
    struct zmq_pair z;
    zmq_pair_open(s, &z);
    for (unsigned i = 0; i < count; i++) {
        uint64_t began = bench_now_ns();
        if (!s->is_second)
            zmq_put(&z, s->bytes, len);
        zmq_take(s, &z, /*answers=*/s->is_second);
        s->samples[i] = since(began);
    }
    zmq_pair_close(s, &z);
    return median_of(s->samples + count / 10, count - count / 10);
}

static double zmq_one_way(struct side *s, size_t len, unsigned count)
{
    struct zmq_pair z;
    unsigned each = count / STREAM_PARTS;
    double parts[STREAM_PARTS];
    zmq_pair_open(s, &z);
    for (unsigned part = 0; part < STREAM_PARTS; part++) {
        uint64_t began = bench_now_ns();
        for (unsigned i = 0; i < each; i++) {
            if (s->is_second)
                zmq_take(s, &z, /*answers=*/false);
            else
                zmq_put(&z, s->bytes, len);
        }
        parts[part] = since(began);
    }
    zmq_pair_close(s, &z);
    return median_of(parts, STREAM_PARTS) / each;
}

/* ------------------------------------------------------------------- the figures */

struct row {
    const char *name;
    double must;
    bool is_most; /* the figure may be at most that; otherwise at least */
    double values[ROUNDS_MAX];
};

enum {
    RTT_LINE, /* and one more: 64 B, 1 KiB */
    RTT_ZMQ = RTT_LINE + 2,
    ASLEEP_BARE,
    ASLEEP_ZMQ, /* each size */
    ONE_WAY_ZMQ = ASLEEP_ZMQ + SIZES,
    STREAM = ONE_WAY_ZMQ + SIZES, /* 64 B, 1 KiB, 64 KiB */
    PUBLISH = STREAM + 3,
    WAKES_SPIN,
    WAKES_SLEEP,
    LINE_NS, /* what they were made of */
    RTT_NS,
    ASLEEP_NS,
    ROWS
};

static struct row rows[ROWS] = {
    [RTT_LINE] = {"RTT awake 64 B / line RTT", 1.8, true, {0}},
    [RTT_LINE + 1] = {"RTT awake 1 KiB / line RTT", 3.5, true, {0}},
    [RTT_ZMQ] = {"ZeroMQ RTT / RTT awake, 64 B", 200, false, {0}},
    [ASLEEP_BARE] = {"RTT asleep 64 B / bare eventfd and epoll", 1.2, true, {0}},
    [ASLEEP_ZMQ] = {"ZeroMQ RTT / RTT asleep, 64 B", 1.5, false, {0}},
    [ASLEEP_ZMQ + 1] = {"ZeroMQ RTT / RTT asleep, 1 KiB", 1.7, false, {0}},
    [ASLEEP_ZMQ + 2] = {"ZeroMQ RTT / RTT asleep, 64 KiB", 2.5, false, {0}},
    [ASLEEP_ZMQ + 3] = {"ZeroMQ RTT / RTT asleep, 1 MiB", 3.5, false, {0}},
    [ONE_WAY_ZMQ] = {"one way / ZeroMQ, 64 B", 6, false, {0}},
    [ONE_WAY_ZMQ + 1] = {"one way / ZeroMQ, 1 KiB", 8, false, {0}},
    [ONE_WAY_ZMQ + 2] = {"one way / ZeroMQ, 64 KiB", 10, false, {0}},
    [ONE_WAY_ZMQ + 3] = {"one way / ZeroMQ, 1 MiB", 10, false, {0}},
    [STREAM] = {"ring bytes / stream of lines, 64 B", 0.20, false, {0}},
    [STREAM + 1] = {"ring bytes / stream of lines, 1 KiB", 0.45, false, {0}},
    [STREAM + 2] = {"ring bytes / stream of lines, 64 KiB", 1.0, false, {0}},
    [PUBLISH] = {"publish 64 B with its fence, ns", 10, true, {0}},
    [WAKES_SPIN] = {"wakes for 10,000 messages, 50 us of spinning", 1, true, {0}},
    [WAKES_SLEEP] = {"wakes for 30 messages, without", 1, true, {0}},
    [LINE_NS] = {"line RTT, ns", 0, false, {0}},
    [RTT_NS] = {"RTT awake 64 B, ns", 0, false, {0}},
    [ASLEEP_NS] = {"RTT asleep 64 B, ns", 0, false, {0}},
};

/* So many messages of a size that a job takes about as long as the others. */
static unsigned count_for(size_t len, unsigned most, size_t bytes)
{
    size_t count = bytes / len;
    return count > most ? most : count < 64 ? 64 : (unsigned)count;
}

static void measure_awake(struct side *s, unsigned round)
{
    double before = line_round_trip(s);
    for (unsigned i = 0; i < 2; i++) {
        open_ring(s, -1, 0);
        double rtt = ring_round_trip(s, SIZE_OF[i], SAMPLES_MAX), after = line_round_trip(s);
        rows[RTT_LINE + i].values[round] = rtt / ((before + after) / 2);
        if (i == 0)
            rows[RTT_NS].values[round] = rtt;
        rows[LINE_NS].values[round] = before = after;
    }
}

static void measure_asleep(struct side *s, unsigned round, int waiter)
{
    double before, after, rtt[SIZES], zmq[SIZES];
    s->waiter = waiter;
    before = bare_sleep(s);
    for (unsigned i = 0; i < SIZES; i++) {
        unsigned count = count_for(SIZE_OF[i], 1500, 64 << 20);
        open_ring(s, waiter, 0);
        rtt[i] = ring_round_trip(s, SIZE_OF[i], count);
        if (i == 0) {
            after = bare_sleep(s);
            rows[ASLEEP_BARE].values[round] = rtt[0] / ((before + after) / 2);
        }
        zmq[i] = zmq_round_trip(s, SIZE_OF[i], count);
        rows[ASLEEP_ZMQ + i].values[round] = zmq[i] / rtt[i];
    }
    rows[ASLEEP_NS].values[round] = rtt[0];
    rows[RTT_ZMQ].values[round] = zmq[0] / rows[RTT_NS].values[round];
}

static void measure_one_way(struct side *s, unsigned round)
{
    double before = line_stream(s);
    for (unsigned i = 0; i < SIZES; i++) {
        size_t len = SIZE_OF[i];
        double ns, after;
        open_ring(s, -1, 0);
        ns = ring_one_way(s, len, count_for(len, 2000000, 1 << 30));
        after = line_stream(s);
        if (i < 3)
            rows[STREAM + i].values[round] = (double)wsb_ring_size_of(ENVELOPE + len) / ns / ((before + after) / 2);
        before = after;
        rows[ONE_WAY_ZMQ + i].values[round] = zmq_one_way(s, len, count_for(len, 200000, 128 << 20)) / ns;
    }
}

static void measure_wakes(struct side *s, unsigned round, int waiter)
{
    enum { MESSAGES = 1000000 };
    open_ring(s, waiter, SPIN_NS);
    (void)ring_one_way(s, 64, MESSAGES);
    rows[WAKES_SPIN].values[round] = (double)s->wakes / (MESSAGES / 10000.0);
    open_ring(s, waiter, 0);
    (void)ring_one_way(s, 64, MESSAGES);
    rows[WAKES_SLEEP].values[round] = (double)s->wakes / (MESSAGES / 30.0);
}

static int open_waiter(int bell)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, bell, &event) != 0)
        bench_die("epoll: %s", strerror(errno));
    return fd;
}

static void run(struct side *s, unsigned rounds)
{
    int waiter = open_waiter(s->bells[s->is_second]);
    s->bytes = malloc(SIZE_OF[SIZES - 1]);
    s->samples = calloc(SAMPLES_MAX, sizeof *s->samples);
    if (!s->bytes || !s->samples)
        bench_die("out of memory");
    memset(s->bytes, 1, SIZE_OF[SIZES - 1]);
    for (unsigned round = 0; round < rounds; round++) {
        rows[PUBLISH].values[round] = publish_alone(s, 64, 2000000);
        measure_awake(s, round);
        measure_one_way(s, round);
        measure_wakes(s, round, waiter);
        measure_asleep(s, round, waiter);
    }
    free(s->bytes);
    free(s->samples);
    (void)close(waiter);
}

/* ------------------------------------------------------------------- the table */

static void print_row(struct row *row, unsigned rounds, bool csv)
{
    char must[32] = "", range[64];
    double *v = row->values, median = median_of(v, rounds);
    if (row->must > 0)
        (void)snprintf(must, sizeof must, "%s %g", row->is_most ? "<=" : ">=", row->must);
    if (csv) {
        printf("\"%s\",%s,%.4g,%.4g,%.4g,%u\n", row->name, must, median, v[0], v[rounds - 1], rounds);
        return;
    }
    (void)snprintf(range, sizeof range, "[%.3g, %.3g]", v[0], v[rounds - 1]);
    printf("%-46s | %-7s | %8.3g %-18s%s\n", row->name, must, median, range,
           row->must <= 0 || (row->is_most ? median <= row->must : median >= row->must) ? "" : " missed");
}

static void print_table(unsigned rounds, bool csv)
{
    if (csv)
        printf("figure,must,median,least,most,rounds\n");
    else
        printf("%-46s | %-7s | measured, median of %u rounds\n", "figure", "must", rounds);
    for (unsigned i = 0; i < ROWS; i++)
        print_row(&rows[i], rounds, csv);
}

/* Everything is made before the fork, so that both have it. */
static void make(struct side *s, struct wsb_region regions[2])
{
    struct wsb_fault fault;
    s->shared = mmap(NULL, sizeof *s->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (s->shared == MAP_FAILED)
        bench_die("memory: %s", strerror(errno));
    s->regions = regions;
    for (unsigned i = 0; i < 2; i++) {
        if (wsb_region_new("bench", RING, &regions[i], &fault))
            bench_die("%s", fault.text);
        if ((s->bells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            bench_die("eventfd: %s", strerror(errno));
    }
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/wsbus-bench-XXXXXX");
    if (!mkdtemp(s->dir))
        bench_die("%s: %s", s->dir, strerror(errno));
}

static unsigned read_options(int argc, char **argv, bool *csv)
{
    unsigned long rounds = 5;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--csv") == 0)
            *csv = true;
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = strtoul(argv[++i], NULL, 10);
        else
            rounds = 0;
    }
    if (rounds < 1 || rounds > ROUNDS_MAX)
        bench_die("usage: bench_ring [--rounds 1 to %d] [--csv]", ROUNDS_MAX);
    return (unsigned)rounds;
}

/* Who measures together with one that is gone would wait for ever. */
static void on_child(int number)
{
    int status = 0;
    (void)number;
    if (waitpid(-1, &status, WNOHANG) > 0 && status != 0)
        _exit(1);
}

int main(int argc, char **argv)
{
    bool csv = false;
    unsigned rounds = read_options(argc, argv, &csv);
    struct wsb_region regions[2];
    struct side side = {.waiter = -1};
    pid_t pid;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        bench_die("two processes that spin need two CPUs");
    make(&side, regions);
    (void)signal(SIGCHLD, on_child);
    pid = fork();
    if (pid < 0)
        bench_die("fork: %s", strerror(errno));
    side.is_second = pid == 0;
    if (side.is_second)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin_to(side.is_second);
    run(&side, rounds);
    wsb_region_deinit(&regions[0]);
    wsb_region_deinit(&regions[1]);
    if (!side.is_second) {
        (void)rmdir(side.dir);
        print_table(rounds, csv);
    }
    return 0;
}
