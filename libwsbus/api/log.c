/*
 * wsb_log(): a line to stderr and one to the gate. A stderr that nobody reads must not stop a handler, and one that nobody
 * has open any more must not kill it.
 */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "api/handle.h"
#include "base/journal.h"
#include "base/printable.h"
#include "base/utf8.h"

enum { LINE_MAX_BYTES = 2048, STAMP_MAX = 64 };

static const char *const level_names[] = {"debug", "info", "wslog", "warn", "error"};

/* Write when it would not wait. The SIGPIPE of a closed pipe is ours, so it is taken back before anybody sees it, unless one
 * was pending before. */
static void write_stderr(const char *line, size_t len)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    const struct timespec at_once = {0};
    sigset_t pipe_only, before, pending;
    if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
        return;
    (void)sigemptyset(&pipe_only);
    (void)sigaddset(&pipe_only, SIGPIPE);
    (void)sigpending(&pending);
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    if (write(STDERR_FILENO, line, len) < 0 && !sigismember(&pending, SIGPIPE))
        (void)sigtimedwait(&pipe_only, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static size_t stamp(char *out, size_t size, enum wsb_level level, bool is_journal)
{
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t n = (size_t)snprintf(out, size, "%s", is_journal ? wsb_journal_prefix(level) : "");
    n += strftime(out + n, size - n, "%Y-%m-%dT%H:%M:%S", &utc);
    return n + (size_t)snprintf(out + n, size - n, ".%06ldZ %s ", now.tv_nsec / 1000, level_names[level]);
}

/* One line is one line, and moves no cursor and turns no text, whatever a client has put into it. It is UTF-8. */
static void make_plain(char *s)
{
    for (size_t len; *s; s += len) {
        if (wsb_is_unprintable(wsb_character(wsb_span_str(s), &len)))
            memset(s, ' ', len);
        len += len == 0; /* cannot be, and must not be for ever */
    }
}

/* Whatever the cut has left. */
static void make_utf8(char *s)
{
    size_t len = strlen(s);
    size_t cut = len;
    while (cut > 0 && len - cut < 3 && (uint8_t)s[cut - 1] >= 0x80) /* a character that was cut at the end */
        cut--;
    for (size_t i = cut; i <= len; i++) {
        size_t end = len - (i - cut);
        if (wsb_utf8_is_valid((const uint8_t *)s, end)) {
            s[end] = '\0';
            return;
        }
    }
    for (; *s; s++) {
        if ((uint8_t)*s >= 0x80)
            *s = '?';
    }
}

void wsb_tell_trouble(struct wsb_handle *h)
{
    char line[STAMP_MAX + WSB_TROUBLE_LINE + 2];
    size_t n = h->on_trouble ? 0 : stamp(line, STAMP_MAX, h->trouble.level, h->is_journal);
    wsb_trouble_told on_trouble = h->on_trouble;
    void *of = h->trouble_of;
    size_t len = n + (size_t)snprintf(line + n, WSB_TROUBLE_LINE, "%s", h->trouble.line);
    h->trouble.is_pending = false;
    h->inside++;
    wsb_unlock(h);
    if (on_trouble) {
        on_trouble(of, line);
    } else {
        line[len] = '\n';
        write_stderr(line, len + 1);
    }
    wsb_lock(h);
    h->inside--;
    if (h->closing)
        (void)pthread_cond_broadcast(&h->changed);
}

static enum wsb_reason send_line(wsb_handler handler, enum wsb_level level, const char *text)
{
    struct wsb_handle *h = wsb_enter(handler);
    if (!h)
        return WSB_REASON_MISUSE;
    const struct wsb_header d = {.type = WSB_LOG, .code = (uint8_t)level, .seq = ++h->seq};
    enum wsb_reason reason = wsb_put(h, &d, wsb_span_str(text), wsb_span(NULL, 0));
    (void)wsb_done(h, reason);
    return reason;
}

bool wsb_log(wsb_handler handler, enum wsb_level level, const char *format, ...)
{
    char line[STAMP_MAX + LINE_MAX_BYTES + 2];
    struct wsb_handle *h = wsb_enter(handler);
    if (!h)
        return false;
    if (!format || (unsigned)level > WSB_LOG_ERROR)
        return wsb_done(h, WSB_REASON_MISUSE);
    bool is_journal = h->is_journal;
    bool is_on = (int)level >= atomic_load_explicit(&h->level, memory_order_relaxed);
    (void)wsb_done(h, WSB_REASON_OK);
    if (!is_on)
        return true;

    va_list args;
    size_t n = stamp(line, STAMP_MAX, level, is_journal);
    char *text = line + n;
    va_start(args, format);
    (void)vsnprintf(text, LINE_MAX_BYTES, format, args);
    va_end(args);
    make_utf8(text);
    make_plain(text);
    size_t len = n + strlen(text);
    line[len] = '\n';
    write_stderr(line, len + 1);
    line[len] = '\0';
    return send_line(handler, level, text) == WSB_REASON_OK;
}

enum wsb_level wsb_log_level(wsb_handler handler)
{
    struct wsb_handle *h = wsb_peek(handler);
    if (!h)
        return WSB_LOG_ERROR;
    int level = atomic_load_explicit(&h->level, memory_order_relaxed);
    wsb_unlock(h);
    return (enum wsb_level)level;
}
