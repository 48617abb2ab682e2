/*
 * The lanes are rings with one writer and one reader each: `head` is the worker's, `tail` the thread's, both only grow. The
 * thread sleeps on an eventfd; who puts a line where it sleeps wakes it, and then it gathers for a moment, so that many
 * lines cost one wake and one write.
 */
#include "access/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

enum {
    LANE_BYTES = 1 << 20,  /* a power of two */
    LINE_BYTES = 64 << 10, /* the longest that there can be, everything escaped, is less */
    GATHER_MS = 10,
    TELL_MS = 1000, /* of losses at most once in so long */
    CLOSE_WAIT_MS = 1000
};

/* What the thread does, as far as who puts lines has to know. */
enum mode { WORKS, GATHERS, SLEEPS };

struct wsg_access_lane {
    struct wsg_access_log *log; /* borrowed */
    uint8_t *bytes;             /* owned; LANE_BYTES */
    struct wsb_buf line;        /* the worker's: scratch */
    _Alignas(64) _Atomic size_t head;
    _Atomic uint64_t lines, lost; /* by the worker */
    _Alignas(64) _Atomic size_t tail;
};

struct wsg_access_log {
    struct wsg_access_lane *lanes; /* owned */
    size_t lane_count;
    const char *path; /* borrowed */
    enum wsg_access_format format;
    int fd;              /* owned; the thread's */
    _Atomic int next_fd; /* owned; to go on with; -1: none */
    int wake_fd;         /* owned */
    _Atomic int mode;    /* enum mode */
    _Atomic bool stopping;
    _Atomic uint64_t unwritten; /* lines that the file did not take */
    bool is_torn;               /* the thread's, as the rest: the file ends in the middle of a line */
    uint64_t told;              /* of the lost ones */
    uint64_t told_ms;
    uint64_t stop_at_ms; /* 0: not stopping yet */
    int error;           /* errno of the latest failure; 0: none since it was told */
    pthread_t thread;
    bool has_thread;
};

/* ------------------------------------------------------------------ the workers */

static void wake(struct wsg_access_log *l)
{
    uint64_t one = 1;
    ssize_t ignored = write(l->wake_fd, &one, sizeof one);
    (void)ignored;
}

/* Whoever turns the mode back to WORKS wakes it, and nobody else. */
static void wake_if(struct wsg_access_log *l, int least)
{
    atomic_thread_fence(memory_order_seq_cst);
    int mode = atomic_load_explicit(&l->mode, memory_order_relaxed);
    if (mode >= least && atomic_compare_exchange_strong(&l->mode, &mode, WORKS))
        wake(l);
}

/* Around the end of the ring, if need be. */
static void copy_in(struct wsg_access_lane *lane, size_t at, const uint8_t *data, size_t len)
{
    size_t offset = at % LANE_BYTES;
    size_t first = len < LANE_BYTES - offset ? len : LANE_BYTES - offset;
    memcpy(lane->bytes + offset, data, first);
    if (len > first)
        memcpy(lane->bytes, data + first, len - first);
}

static bool push(struct wsg_access_lane *lane, const uint8_t *line, size_t len)
{
    size_t head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    size_t used = head - atomic_load_explicit(&lane->tail, memory_order_acquire);
    if (len > LANE_BYTES - used)
        return false;
    copy_in(lane, head, line, len);
    atomic_store_explicit(&lane->head, head + len, memory_order_release);
    wake_if(lane->log, used + len > LANE_BYTES / 2 ? GATHERS : SLEEPS);
    return true;
}

void wsg_access_write(struct wsg_access_lane *lane, const struct wsg_access_record *r)
{
    wsb_buf_clear(&lane->line);
    atomic_fetch_add_explicit(&lane->lines, 1, memory_order_relaxed);
    if (wsg_access_line_write(&lane->line, lane->log->format, r) != WSB_OK ||
        !push(lane, lane->line.data, lane->line.len))
        atomic_fetch_add_explicit(&lane->lost, 1, memory_order_relaxed);
}

/* ------------------------------------------------------------------- the thread */

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A pipe is full. False: no more waiting for it, we are to stop or to go on elsewhere. */
static bool wait_for_room(struct wsg_access_log *l)
{
    struct pollfd p = {.fd = l->fd, .events = POLLOUT};
    if (atomic_load(&l->stopping) && !l->stop_at_ms)
        l->stop_at_ms = now_ms() + CLOSE_WAIT_MS;
    if ((l->stop_at_ms && now_ms() >= l->stop_at_ms) || atomic_load(&l->next_fd) >= 0)
        return false;
    (void)poll(&p, 1, 100);
    return true;
}

static void advance(struct iovec parts[2], size_t count)
{
    for (int i = 0; i < 2; i++) {
        size_t step = count < parts[i].iov_len ? count : parts[i].iov_len;
        parts[i].iov_base = (uint8_t *)parts[i].iov_base + step;
        parts[i].iov_len -= step;
        count -= step;
    }
}

static uint64_t count_lines(const struct iovec parts[2])
{
    uint64_t lines = 0;
    for (int i = 0; i < 2; i++) {
        const uint8_t *at = parts[i].iov_base;
        for (size_t k = 0; k < parts[i].iov_len; k++)
            lines += at[k] == '\n';
    }
    return lines;
}

static ssize_t write_some(struct wsg_access_log *l, struct iovec parts[2])
{
    for (;;) {
        ssize_t n = writev(l->fd, parts, 2);
        if (n > 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return n;
        if (!wait_for_room(l)) {
            errno = EAGAIN;
            return -1;
        }
    }
}

/* What a failed write left of a line is ended before the next line begins. */
static bool mend(struct wsg_access_log *l)
{
    struct iovec end[2] = {{(void *)"\n", 1}, {NULL, 0}};
    if (l->is_torn && write_some(l, end) != 1)
        return false;
    l->is_torn = false;
    return true;
}

/* All of it, or what there is room for: the rest is lost, since what is new is worth more than a queue that stands. */
static void write_out(struct wsg_access_log *l, struct iovec parts[2])
{
    bool is_good = mend(l);
    while (is_good && parts[0].iov_len + parts[1].iov_len) {
        ssize_t n = write_some(l, parts);
        is_good = n > 0;
        if (!is_good)
            break;
        size_t last = (size_t)n - 1;
        const uint8_t *end = last < parts[0].iov_len ? (const uint8_t *)parts[0].iov_base + last
                                                     : (const uint8_t *)parts[1].iov_base + (last - parts[0].iov_len);
        l->is_torn = *end != '\n';
        advance(parts, (size_t)n);
    }
    if (is_good)
        return;
    l->error = errno;
    atomic_fetch_add_explicit(&l->unwritten, count_lines(parts), memory_order_relaxed);
}

/* True: there was something. */
static bool drain(struct wsg_access_log *l, struct wsg_access_lane *lane)
{
    size_t tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
    size_t len = atomic_load_explicit(&lane->head, memory_order_acquire) - tail;
    size_t offset = tail % LANE_BYTES;
    size_t first = len < LANE_BYTES - offset ? len : LANE_BYTES - offset;
    struct iovec parts[2] = {{lane->bytes + offset, first}, {lane->bytes, len - first}};
    if (len == 0)
        return false;
    write_out(l, parts);
    atomic_store_explicit(&lane->tail, tail + len, memory_order_release);
    return true;
}

static bool drain_all(struct wsg_access_log *l)
{
    bool any = false;
    for (size_t i = 0; i < l->lane_count; i++)
        any = drain(l, &l->lanes[i]) || any;
    return any;
}

static bool is_same_file(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void take_next_file(struct wsg_access_log *l)
{
    int fd = atomic_exchange(&l->next_fd, -1);
    if (fd < 0)
        return;
    l->is_torn = l->is_torn && is_same_file(l->fd, fd);
    close(l->fd);
    l->fd = fd;
}

/* True: there is still something to tell of. */
static bool tell_losses(struct wsg_access_log *l, bool at_once)
{
    struct wsg_access_stats stats;
    wsg_access_log_stats(l, &stats);
    if (stats.lost == l->told)
        return false;
    if (!at_once && l->told_ms && now_ms() < l->told_ms + TELL_MS)
        return true;
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "access log lines lost", WSB_KU("count", stats.lost - l->told),
            WSB_KS("why", l->error ? strerror(l->error) : "they came faster than they could be written"),
            WSB_KS("path", l->path));
    l->told = stats.lost;
    l->told_ms = now_ms();
    l->error = 0;
    return false;
}

static bool has_work(struct wsg_access_log *l)
{
    bool any = atomic_load(&l->stopping) || atomic_load(&l->next_fd) >= 0;
    for (size_t i = 0; i < l->lane_count && !any; i++)
        any = atomic_load(&l->lanes[i].head) != atomic_load(&l->lanes[i].tail);
    return any;
}

static void wait_in(struct wsg_access_log *l, int mode, int timeout_ms)
{
    struct pollfd p = {.fd = l->wake_fd, .events = POLLIN};
    uint64_t ignored;
    atomic_store(&l->mode, mode);
    atomic_thread_fence(memory_order_seq_cst);
    if (mode == GATHERS || !has_work(l)) {
        if (poll(&p, 1, timeout_ms) > 0) {
            ssize_t n = read(l->wake_fd, &ignored, sizeof ignored);
            (void)n;
        }
    }
    atomic_store(&l->mode, WORKS);
}

static void *thread_main(void *arg)
{
    struct wsg_access_log *l = arg;
    for (;;) {
        bool stops =
            atomic_load(&l->stopping); /* before the lanes are looked at: nothing is put into them afterwards */
        take_next_file(l);
        bool any = drain_all(l);
        bool tells_later = tell_losses(l, stops);
        if (any)
            continue;
        if (stops)
            return NULL;
        wait_in(l, SLEEPS, tells_later ? TELL_MS : -1);
        if (!atomic_load(&l->stopping))
            wait_in(l, GATHERS, GATHER_MS);
    }
}

/* ----------------------------------------------------------------- begin and end */

static wsb_err open_file(const char *path, int *ret, struct wsb_fault *fault)
{
    /* A pipe that nobody reads is an error now, and not a gate that does not start; and one that stalls is waited for with
     * poll(). To a file it makes no difference. */
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd < 0)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "access log %s: %s", path,
                             errno == ENXIO ? "nobody reads from the pipe" : strerror(errno));
    *ret = fd;
    return WSB_OK;
}

static wsb_err make_lanes(struct wsg_access_log *l, size_t count)
{
    l->lanes = aligned_alloc(64, count * sizeof *l->lanes);
    if (!l->lanes)
        return WSB_ERR_NOMEM;
    memset(l->lanes, 0, count * sizeof *l->lanes);
    for (; l->lane_count < count; l->lane_count++) {
        struct wsg_access_lane *lane = &l->lanes[l->lane_count];
        lane->log = l;
        wsb_buf_init(&lane->line, LINE_BYTES);
        lane->bytes = malloc(LANE_BYTES);
        if (!lane->bytes)
            return WSB_ERR_NOMEM;
    }
    return WSB_OK;
}

static wsb_err start(struct wsg_access_log *l)
{
    sigset_t all, before; /* signals are for the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    l->has_thread = pthread_create(&l->thread, NULL, thread_main, l) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return l->has_thread ? WSB_OK : WSB_ERR_IO;
}

wsb_err wsg_access_log_open(struct wsg_access_log **ret, const char *path, enum wsg_access_format format, size_t lanes,
                            struct wsb_fault *fault)
{
    struct wsg_access_log *l = calloc(1, sizeof *l);
    if (!l)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    l->path = path;
    l->format = format;
    l->fd = -1;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&l->next_fd, -1);
    wsb_err err = open_file(path, &l->fd, fault);
    if (!err) {
        err = l->wake_fd < 0 ? WSB_ERR_IO : make_lanes(l, lanes);
        if (!err)
            err = start(l);
        if (err)
            (void)wsb_fault_set(fault, err, 0, "cannot start the access log");
    }
    if (err) {
        wsg_access_log_close(l);
        return err;
    }
    *ret = l;
    return WSB_OK;
}

void wsg_access_log_close(struct wsg_access_log *l)
{
    if (!l)
        return;
    atomic_store(&l->stopping, true);
    if (l->has_thread) {
        wake(l);
        pthread_join(l->thread, NULL);
    }
    for (size_t i = 0; i < l->lane_count; i++) {
        free(l->lanes[i].bytes);
        wsb_buf_deinit(&l->lanes[i].line);
    }
    free(l->lanes);
    int next = atomic_load(&l->next_fd);
    if (next >= 0)
        close(next);
    if (l->fd >= 0)
        close(l->fd);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    free(l);
}

wsb_err wsg_access_log_reopen(struct wsg_access_log *l, struct wsb_fault *fault)
{
    int fd = -1;
    wsb_err err = open_file(l->path, &fd, fault);
    if (err)
        return err;
    int unused = atomic_exchange(&l->next_fd, fd); /* opened a moment ago, and not taken yet */
    if (unused >= 0)
        close(unused);
    wake_if(l, GATHERS);
    return WSB_OK;
}

struct wsg_access_lane *wsg_access_log_lane(struct wsg_access_log *l, size_t index)
{
    assert(index < l->lane_count);
    return &l->lanes[index];
}

void wsg_access_log_stats(const struct wsg_access_log *l, struct wsg_access_stats *ret)
{
    *ret = (struct wsg_access_stats){.lost = atomic_load_explicit(&l->unwritten, memory_order_relaxed)};
    for (size_t i = 0; i < l->lane_count; i++) {
        ret->lines += atomic_load_explicit(&l->lanes[i].lines, memory_order_relaxed);
        ret->lost += atomic_load_explicit(&l->lanes[i].lost, memory_order_relaxed);
    }
}
