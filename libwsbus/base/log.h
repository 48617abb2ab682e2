#ifndef WSB_BASE_LOG_H
#define WSB_BASE_LOG_H

/*
 * The log sink: one for the process. A line is formatted by the thread that logs it and put into a bounded queue; one
 * writer thread writes them out. A reader that stalls (a full pipe, a slow disk) costs lines, which are counted and told
 * of, and never time in a worker.
 *
 * Threads   every function from any thread, except open and close
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log_limit.h"
#include "base/span.h"
#include "wsbus/msg.h"

enum wsb_log_module {
    WSB_LOG_GATE,    /* start, stop, signals, listeners */
    WSB_LOG_HTTP,    /* requests and their refusals */
    WSB_LOG_WS,      /* WebSocket connections */
    WSB_LOG_BUS,     /* routes, handlers, pinning */
    WSB_LOG_LINK,    /* malformed messages */
    WSB_LOG_ADMIN,   /* the control socket */
    WSB_LOG_HANDLER, /* lines that handlers sent */
    WSB_LOG_MODULES
};

enum wsb_log_format { WSB_LOG_LOGFMT, WSB_LOG_JSON };

/* One key of a line. Built by the macros below; a NULL key ends the list. */
struct wsb_kv {
    const char *key;
    enum { WSB_KV_STR, WSB_KV_U64, WSB_KV_I64, WSB_KV_ID } kind;
    struct wsb_span str;
    uint64_t num;
};

#define WSB_KS(key, s)    ((struct wsb_kv){key, WSB_KV_STR, wsb_span_str(s), 0})
#define WSB_KSPAN(key, s) ((struct wsb_kv){key, WSB_KV_STR, s, 0})
#define WSB_KU(key, n)    ((struct wsb_kv){key, WSB_KV_U64, {NULL, 0}, (uint64_t)(n)})
#define WSB_KI(key, n)    ((struct wsb_kv){key, WSB_KV_I64, {NULL, 0}, (uint64_t)(int64_t)(n)})
#define WSB_KID(key, id)  ((struct wsb_kv){key, WSB_KV_ID, {NULL, 0}, (uint64_t)(id)})

/* WSB_LOG(WSB_LOG_WS, WSB_LOG_WSLOG, "opened", WSB_KID("conn", id), WSB_KS("route", name)); costs one relaxed load when off. */
#define WSB_LOG(module, level, msg, ...)                                                                               \
    do {                                                                                                               \
        if (wsb_log_is_on(module, level))                                                                              \
            wsb_log_write(module, level, msg, (const struct wsb_kv[]){__VA_ARGS__ __VA_OPT__(, ){0}});                 \
    } while (0)

/* The same for a line that strangers can cause: no more than `lines` of its kind in a second. `limit` belongs to whoever writes it, and
 * to one thread. The sink counts what was left out: wsb_log_tell_left_out(). */
#define WSB_LOG_FEW(limit, lines, now_ms, module, level, msg, ...)                                                     \
    do {                                                                                                               \
        if (wsb_log_is_on(module, level) && wsb_log_passes(limit, lines, now_ms, module, level, msg))                  \
            wsb_log_write(module, level, msg, (const struct wsb_kv[]){__VA_ARGS__ __VA_OPT__(, ){0}});                 \
    } while (0)

extern _Atomic uint8_t wsb_log_levels[WSB_LOG_MODULES];

static inline bool wsb_log_is_on(enum wsb_log_module module, enum wsb_level level)
{
    return level >= atomic_load_explicit(&wsb_log_levels[module], memory_order_relaxed);
}

/* Start the writer. `fd` is borrowed until wsb_log_close(); lines for the journal begin with their priority. Before this, and
 * after close, lines go nowhere. */
WSB_MUST_CHECK wsb_err wsb_log_open(int fd, enum wsb_log_format format, enum wsb_level level, bool is_journal);
/* Tell what was left out, write out what is queued, waiting at most a second for a reader that stalls, and stop. */
void wsb_log_close(void);

void wsb_log_write(enum wsb_log_module module, enum wsb_level level, const char *msg, const struct wsb_kv *kv);
/* What WSB_LOG_FEW asks: may the line be written? Counts it as left out otherwise. */
bool wsb_log_passes(struct wsb_log_limit *limit, uint32_t lines, uint64_t now_ms, enum wsb_log_module module,
                    enum wsb_level level, const char *msg);
/* Write one line for each kind of which lines were left out since the last call, with how many; nothing where none were.
 * Whoever opened the log calls it once a second; wsb_log_close() does, too. */
void wsb_log_tell_left_out(void);

void wsb_log_set_level(enum wsb_log_module module, enum wsb_level level);
enum wsb_level wsb_log_get_level(enum wsb_log_module module);
enum { WSB_LOG_QUEUE = 1024 /* lines that may wait for whoever reads */ };
uint64_t wsb_log_lost(void); /* lines lost since open */

const char *wsb_log_module_name(enum wsb_log_module module);
const char *wsb_level_name(enum wsb_level level);
bool wsb_level_parse(const char *name, enum wsb_level *ret);
bool wsb_log_module_parse(const char *name, enum wsb_log_module *ret);

#endif
