/*
 * The log sink. The queue is a bounded ring of fixed cells, each with a sequence number that says whose turn it is: many
 * producers claim a cell by compare-and-swap, one consumer takes them in order. Nothing in a producer waits.
 */
#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/journal.h"
#include "base/json.h"
#include "base/log_sums.h"

enum { CELL_BYTES = 1008, CLOSE_WAIT_MS = 1000, PRIORITY_BYTES = sizeof "<3>" - 1 };

struct cell {
    _Atomic size_t turn;
    uint32_t len;
    char text[CELL_BYTES];
};

static struct sink {
    struct cell *cells;  /* owned */
    _Atomic size_t head; /* next cell to claim */
    size_t tail;         /* writer's */
    _Atomic bool writer_sleeps;
    _Atomic bool stopping;
    _Atomic uint64_t lost;
    uint64_t lost_told; /* writer's */
    int fd;             /* borrowed */
    int wake_fd;        /* owned */
    enum wsb_log_format format;
    bool is_journal; /* lines begin with their priority */
    pthread_t writer;
    pthread_mutex_t sums_lock;
    struct wsb_log_sums sums; /* lines that limits left out and that were not told yet */
} sink = {.fd = -1, .wake_fd = -1, .sums_lock = PTHREAD_MUTEX_INITIALIZER};

static _Atomic bool is_open;

_Atomic uint8_t wsb_log_levels[WSB_LOG_MODULES] = {255, 255, 255, 255, 255, 255, 255};

static const char *const module_names[WSB_LOG_MODULES] = {"gate", "http", "ws", "bus", "link", "admin", "handler"};
static const char *const level_names[] = {"debug", "info", "wslog", "warn", "error"};

const char *wsb_log_module_name(enum wsb_log_module module)
{
    return module_names[module];
}

const char *wsb_level_name(enum wsb_level level)
{
    return (unsigned)level <= WSB_LOG_ERROR ? level_names[level] : "off";
}

bool wsb_level_parse(const char *name, enum wsb_level *ret)
{
    for (int i = 0; i <= WSB_LOG_ERROR; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret = (enum wsb_level)i;
            return true;
        }
    }
    return false;
}

bool wsb_log_module_parse(const char *name, enum wsb_log_module *ret)
{
    for (int i = 0; i < WSB_LOG_MODULES; i++) {
        if (strcmp(name, module_names[i]) == 0) {
            *ret = (enum wsb_log_module)i;
            return true;
        }
    }
    return false;
}

void wsb_log_set_level(enum wsb_log_module module, enum wsb_level level)
{
    atomic_store_explicit(&wsb_log_levels[module], (uint8_t)level, memory_order_relaxed);
}

enum wsb_level wsb_log_get_level(enum wsb_log_module module)
{
    return (enum wsb_level)atomic_load_explicit(&wsb_log_levels[module], memory_order_relaxed);
}

uint64_t wsb_log_lost(void)
{
    return atomic_load_explicit(&sink.lost, memory_order_relaxed);
}

/* ------------------------------------------------------------------ format */

static void format_time(char out[32])
{
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out + n, 32 - n, ".%06ldZ", ts.tv_nsec / 1000);
}

static bool needs_quotes(struct wsb_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
            return true;
    }
    return s.len == 0;
}

/* logfmt: a bare word, or what JSON would write. */
static void put_logfmt_str(struct wsb_json *j, struct wsb_span s)
{
    j->comma = false;
    if (needs_quotes(s))
        wsb_json_str(j, s);
    else if (!j->err)
        j->err = wsb_buf_append(j->out, s.ptr, s.len);
}

static void put_key(struct wsb_json *j, const char *key, enum wsb_log_format format)
{
    if (format == WSB_LOG_JSON) {
        wsb_json_key(j, key);
        return;
    }
    size_t begin = sink.is_journal ? PRIORITY_BYTES : 0;
    if (!j->err)
        j->err = wsb_buf_printf(j->out, "%s%s=", j->out->len > begin ? " " : "", key);
    j->comma = false;
}

static void put_str(struct wsb_json *j, struct wsb_span s, enum wsb_log_format format)
{
    if (format == WSB_LOG_JSON)
        wsb_json_str(j, s);
    else
        put_logfmt_str(j, s);
}

static void put_kv(struct wsb_json *j, const struct wsb_kv *kv, enum wsb_log_format format)
{
    char text[24];
    put_key(j, kv->key, format);
    switch (kv->kind) {
    case WSB_KV_STR:
        put_str(j, kv->str, format);
        break;
    case WSB_KV_U64:
        wsb_json_u64(j, kv->num);
        break;
    case WSB_KV_I64:
        wsb_json_i64(j, (int64_t)kv->num);
        break;
    case WSB_KV_ID:
        (void)snprintf(text, sizeof text, "%016" PRIx64, kv->num);
        put_str(j, wsb_span_str(text), format);
        break;
    }
}

static void format_line(struct wsb_buf *out, enum wsb_log_module module, enum wsb_level level, const char *msg,
                        const struct wsb_kv *kv)
{
    char when[32];
    struct wsb_json j;
    enum wsb_log_format format = sink.format;
    format_time(when);
    const struct wsb_kv fixed[] = {WSB_KS("time", when), WSB_KS("level", wsb_level_name(level)),
                                   WSB_KS("module", module_names[module]), WSB_KS("msg", msg)};
    wsb_json_begin(&j, out);
    if (sink.is_journal)
        j.err = wsb_buf_append(out, wsb_journal_prefix(level), PRIORITY_BYTES);
    if (format == WSB_LOG_JSON)
        wsb_json_object(&j);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        put_kv(&j, &fixed[i], format);
    for (; kv->key; kv++)
        put_kv(&j, kv, format);
    if (format == WSB_LOG_JSON)
        wsb_json_object_end(&j);
}

/* ------------------------------------------------------------------- queue */

static bool push(const char *text, size_t len)
{
    size_t at = atomic_load_explicit(&sink.head, memory_order_relaxed);
    for (;;) {
        struct cell *c = &sink.cells[at % WSB_LOG_QUEUE];
        size_t turn = atomic_load_explicit(&c->turn, memory_order_acquire);
        if (turn == at) {
            if (!atomic_compare_exchange_weak_explicit(&sink.head, &at, at + 1, memory_order_relaxed,
                                                       memory_order_relaxed))
                continue;
            memcpy(c->text, text, len);
            c->len = (uint32_t)len;
            atomic_store_explicit(&c->turn, at + 1, memory_order_release);
            return true;
        }
        if (turn < at)
            return false; /* a full round behind: the queue is full */
        at = atomic_load_explicit(&sink.head, memory_order_relaxed);
    }
}

static bool pop(char *text, size_t *ret_len)
{
    struct cell *c = &sink.cells[sink.tail % WSB_LOG_QUEUE];
    if (atomic_load_explicit(&c->turn, memory_order_acquire) != sink.tail + 1)
        return false;
    memcpy(text, c->text, c->len);
    *ret_len = c->len;
    atomic_store_explicit(&c->turn, sink.tail + WSB_LOG_QUEUE, memory_order_release);
    sink.tail++;
    return true;
}

static void wake_writer(void)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_exchange_explicit(&sink.writer_sleeps, false, memory_order_acq_rel)) {
        uint64_t one = 1;
        ssize_t ignored = write(sink.wake_fd, &one, sizeof one);
        (void)ignored;
    }
}

/* False: the line is lost, and counted. */
static bool write_line(enum wsb_log_module module, enum wsb_level level, const char *msg, const struct wsb_kv *kv)
{
    struct wsb_buf line;
    wsb_buf_init(&line, 16 << 10);
    format_line(&line, module, level, msg, kv);
    if (line.len >= CELL_BYTES && sink.format == WSB_LOG_JSON) { /* half an object would not be JSON */
        size_t bytes = line.len;
        wsb_buf_clear(&line);
        format_line(&line, module, level, msg, (const struct wsb_kv[]){WSB_KU("cut_bytes", bytes), {0}});
    }
    if (line.len >= CELL_BYTES) {
        line.len = CELL_BYTES - 5;
        while (line.len && (line.data[line.len] & 0xc0) == 0x80)
            line.len--;
        memcpy(line.data + line.len, "...", 3); /* said to be cut, not silently */
        line.len += 3;
    }
    bool is_pushed = wsb_buf_append(&line, "\n", 1) == WSB_OK && push((const char *)line.data, line.len);
    if (is_pushed)
        wake_writer();
    else
        atomic_fetch_add_explicit(&sink.lost, 1, memory_order_relaxed);
    wsb_buf_deinit(&line);
    return is_pushed;
}

void wsb_log_write(enum wsb_log_module module, enum wsb_level level, const char *msg, const struct wsb_kv *kv)
{
    if (atomic_load_explicit(&is_open, memory_order_acquire))
        (void)write_line(module, level, msg, kv);
}

/* --------------------------------------------------------------- what is left out */

static void count_left_out(uint8_t module, uint8_t level, const char *of, uint64_t count)
{
    pthread_mutex_lock(&sink.sums_lock);
    wsb_log_sums_add(&sink.sums, module, level, of, count);
    pthread_mutex_unlock(&sink.sums_lock);
}

bool wsb_log_passes(struct wsb_log_limit *limit, uint32_t lines, uint64_t now_ms, enum wsb_log_module module,
                    enum wsb_level level, const char *msg)
{
    if (wsb_log_limit(limit, lines, now_ms))
        return true;
    count_left_out((uint8_t)module, (uint8_t)level, msg, 1);
    return false;
}

void wsb_log_tell_left_out(void)
{
    struct wsb_log_sums sums;
    if (!atomic_load_explicit(&is_open, memory_order_acquire))
        return;
    pthread_mutex_lock(&sink.sums_lock);
    sums = sink.sums;
    sink.sums.used = 0;
    pthread_mutex_unlock(&sink.sums_lock);
    for (size_t i = 0; i < sums.used; i++) {
        const struct wsb_log_sum *sum = &sums.at[i];
        if (!write_line(sum->module, sum->level, "lines left out",
                        (const struct wsb_kv[]){WSB_KS("of", sum->of), WSB_KU("count", sum->count), {0}}))
            count_left_out(sum->module, sum->level, sum->of, sum->count); /* the next call has it */
    }
}

/* ------------------------------------------------------------------ writer */

static uint64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* False when the reader stalls and we are to stop, or when nobody reads any more. */
static bool write_out(const char *text, size_t len, uint64_t *stop_at_ms)
{
    while (len) {
        struct pollfd p = {.fd = sink.fd, .events = POLLOUT};
        int ready = poll(&p, 1, 100);
        if (atomic_load(&sink.stopping)) {
            if (!*stop_at_ms)
                *stop_at_ms = now_ms() + CLOSE_WAIT_MS;
            if (ready == 0 && now_ms() >= *stop_at_ms)
                return false;
        }
        if (ready <= 0)
            continue;
        ssize_t n = write(sink.fd, text, len < 4096 ? len : 4096); /* within PIPE_BUF a ready pipe does not block */
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static void tell_losses(uint64_t *stop_at_ms)
{
    uint64_t lost = atomic_load_explicit(&sink.lost, memory_order_relaxed);
    if (lost == sink.lost_told)
        return;
    struct wsb_buf line;
    wsb_buf_init(&line, CELL_BYTES);
    format_line(&line, WSB_LOG_GATE, WSB_LOG_WARN, "log lines lost",
                (const struct wsb_kv[]){WSB_KU("count", lost - sink.lost_told), {0}});
    sink.lost_told = lost;
    if (wsb_buf_append(&line, "\n", 1) == WSB_OK)
        (void)write_out((const char *)line.data, line.len, stop_at_ms);
    wsb_buf_deinit(&line);
}

static void *writer_main(void *arg)
{
    char text[CELL_BYTES];
    size_t len;
    uint64_t stop_at_ms = 0;
    (void)arg;
    for (;;) {
        while (pop(text, &len)) {
            if (write_out(text, len, &stop_at_ms))
                continue;
            atomic_fetch_add_explicit(&sink.lost, 1, memory_order_relaxed);
            if (atomic_load(&sink.stopping))
                return NULL; /* nobody reads: what is left is lost, and the end does not wait for each line */
        }
        tell_losses(&stop_at_ms);
        if (atomic_load(&sink.stopping))
            return NULL;
        atomic_store(&sink.writer_sleeps, true);
        atomic_thread_fence(memory_order_seq_cst);
        struct cell *c = &sink.cells[sink.tail % WSB_LOG_QUEUE];
        if (atomic_load_explicit(&c->turn, memory_order_acquire) == sink.tail + 1 || atomic_load(&sink.stopping)) {
            atomic_store(&sink.writer_sleeps, false);
            continue;
        }
        uint64_t ignored;
        ssize_t n = read(sink.wake_fd, &ignored, sizeof ignored);
        (void)n;
    }
}

wsb_err wsb_log_open(int fd, enum wsb_log_format format, enum wsb_level level, bool is_journal)
{
    if (atomic_load(&is_open) || fd < 0)
        return WSB_ERR_MISUSE;
    struct cell *cells = calloc(WSB_LOG_QUEUE, sizeof *cells);
    if (!cells)
        return WSB_ERR_NOMEM;
    int wake_fd = eventfd(0, EFD_CLOEXEC);
    if (wake_fd < 0) {
        free(cells);
        return WSB_ERR_IO;
    }
    for (size_t i = 0; i < WSB_LOG_QUEUE; i++)
        atomic_init(&cells[i].turn, i);
    sink.cells = cells;
    sink.wake_fd = wake_fd;
    sink.fd = fd;
    sink.format = format;
    sink.is_journal = is_journal;
    sink.tail = 0;
    sink.lost_told = 0;
    sink.sums.used = 0;
    atomic_store(&sink.head, 0);
    atomic_store(&sink.lost, 0);
    atomic_store(&sink.stopping, false);
    atomic_store(&sink.writer_sleeps, false);

    sigset_t all, before; /* signals are for the main thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&sink.writer, NULL, writer_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        close(wake_fd);
        free(cells);
        sink.cells = NULL;
        return WSB_ERR_IO;
    }
    for (int i = 0; i < WSB_LOG_MODULES; i++)
        wsb_log_set_level((enum wsb_log_module)i, level);
    atomic_store_explicit(&is_open, true, memory_order_release);
    return WSB_OK;
}

void wsb_log_close(void)
{
    wsb_log_tell_left_out();
    if (!atomic_exchange(&is_open, false))
        return;
    for (int i = 0; i < WSB_LOG_MODULES; i++)
        atomic_store(&wsb_log_levels[i], 255);
    atomic_store(&sink.stopping, true);
    uint64_t one = 1;
    ssize_t n = write(sink.wake_fd, &one, sizeof one);
    (void)n;
    pthread_join(sink.writer, NULL);
    close(sink.wake_fd);
    free(sink.cells);
    sink.cells = NULL;
    sink.wake_fd = -1;
    sink.fd = -1;
}
