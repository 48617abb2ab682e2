/* wsctl tap: live messages, one line each. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/base64.h"
#include "common.h"

enum { HEX_SHOWN = 24, STOP_CHECK_MS = 1000 };

struct wanted {
    const char *route;
    uint64_t max_bytes;
    uint64_t count;
    uint64_t for_ms;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* ---------------------------------------------------------------- one line */

static void print_time(uint64_t ns)
{
    time_t s = (time_t)(ns / 1000000000u);
    struct tm tm;
    char text[16];
    localtime_r(&s, &tm);
    (void)strftime(text, sizeof text, "%H:%M:%S", &tm);
    (void)printf("%s.%06" PRIu64, text, ns % 1000000000u / 1000);
}

static void print_hex(const char *base64, bool is_cut)
{
    struct wsb_span in = wsb_span_str(base64);
    uint8_t *bytes = malloc(wsb_base64_decoded_max(in.len) + 1);
    size_t len = 0;
    if (bytes && wsb_base64_decode(in, bytes, &len)) {
        size_t n = len < HEX_SHOWN ? len : HEX_SHOWN;
        for (size_t i = 0; i < n; i++)
            (void)printf("%02x ", bytes[i]);
        (void)putchar('|');
        for (size_t i = 0; i < n; i++)
            (void)putchar(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '.');
        (void)putchar('|');
        if (n < len || is_cut)
            (void)fputs("...", stdout);
    }
    free(bytes);
}

static const char *arrow_of(const char *dir)
{
    bool utf8 = wsc_is_utf8();
    if (strcmp(dir, "in") == 0)
        return utf8 ? "\xe2\x86\x92" : ">";
    if (strcmp(dir, "out") == 0)
        return utf8 ? "\xe2\x86\x90" : "<";
    return utf8 ? "\xc2\xb7" : ".";
}

static void print_frame(const json_t *f)
{
    bool is_cut = wsc_bool(f, "cut");
    print_time(wsc_u64(f, "time_ns"));
    (void)putchar(' ');
    wsc_print_text(wsc_str(f, "id"));
    (void)printf(" %s ", arrow_of(wsc_str(f, "dir")));
    if (strcmp(wsc_str(f, "dir"), "note") == 0) {
        wsc_print_text(wsc_str(f, "text"));
    } else {
        wsc_print_text(wsc_str(f, "opcode"));
        (void)printf(" %" PRIu64 " ", wsc_u64(f, "len"));
        if (json_object_get(f, "base64"))
            print_hex(wsc_str(f, "base64"), is_cut);
        else {
            wsc_print_text(wsc_str(f, "text"));
            if (is_cut)
                (void)fputs("...", stdout);
        }
    }
    (void)putchar('\n');
}

/* -------------------------------------------------------------------- loop */

/* True when the tap is over. */
static bool take(const struct wsc_run *run, const json_t *note, uint64_t *frames)
{
    const char *method = wsc_str(note, "method");
    const json_t *params = json_object_get(note, "params");
    bool is_end = strcmp(method, "end") == 0;
    if (run->json) {
        json_t *line = json_copy((json_t *)params);
        if (line && json_object_set_new(line, "type", json_string(method)) == 0)
            wsc_print_json_line(line);
        json_decref(line);
    } else if (strcmp(method, "tap") == 0) {
        print_frame(params);
    } else if (strcmp(method, "lost") == 0) {
        (void)printf("... %" PRIu64 " lost: this terminal was too slow\n", wsc_u64(params, "lost"));
    } else if (is_end) {
        (void)fflush(stdout);
        (void)wsc_complain(run, WSC_OK, "%s", wsc_str(params, "reason"));
    }
    if (strcmp(method, "tap") == 0 && strcmp(wsc_str(params, "dir"), "note") != 0)
        ++*frames;
    return is_end;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int follow(struct wsc_run *run, const struct wanted *w)
{
    int64_t end_ms = w->for_ms ? now_ms() + (int64_t)w->for_ms : INT64_MAX;
    uint64_t frames = 0;
    while (!stopped && (!w->count || frames < w->count) && now_ms() < end_ms) {
        json_t *note;
        int64_t left = end_ms - now_ms();
        wsb_err err = wsc_client_next(run->client, left < STOP_CHECK_MS ? (int)left : STOP_CHECK_MS, &note);
        if (err == WSB_ERR_TIMEOUT || err == WSB_ERR_INTERRUPTED)
            continue;
        if (err)
            return wsc_complain(run, WSC_UNREACHABLE, "the gate closed the connection");
        bool is_over = take(run, note, &frames);
        json_decref(note);
        if (fflush(stdout) != 0 || is_over) /* nobody reads any more, or there is nothing more to read */
            return WSC_OK;
    }
    bool is_enough = w->count && frames >= w->count; /* then there were lines */
    json_t *end = run->json && !is_enough
                      ? json_pack("{s:s, s:s}", "type", "end", "reason", stopped ? "interrupted" : "time")
                      : NULL;
    if (end)
        wsc_print_json_line(end);
    json_decref(end);
    return WSC_OK;
}

int cmd_tap(struct wsc_run *run)
{
    struct wanted w = {.max_bytes = 4096};
    const struct wsc_option options[] = {
        {"route", 'r', WSC_TEXT, "NAME", "all connections of a route", &w.route},
        {"bytes", 0, WSC_NUMBER, "COUNT", "of each message; at most 16384, default 4096", &w.max_bytes},
        {"count", 'c', WSC_NUMBER, "COUNT", "end after so many messages", &w.count},
        {"for", 'f', WSC_DURATION, "TIME", "end after this time", &w.for_ms},
    };
    struct sigaction action = {.sa_handler = on_signal};
    char id[17] = "";
    json_t *r;
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    if ((run->argc > 0) + (w.route != NULL) != 1)
        return wsc_complain(run, WSC_USAGE, "say what to watch: either an id or --route");
    if (run->argc)
        status = wsc_resolve_id(run, run->argv[0], id);
    (void)sigaction(SIGINT, &action, NULL); /* before the gate begins: from then on Ctrl-C is an ordinary end */
    (void)sigaction(SIGTERM, &action, NULL);
    if (status == WSC_GO_ON)
        status = wsc_ask(run, "tap",
                         json_pack("{s:s, s:I}", w.route ? "route" : "id", w.route ? w.route : id, "max_bytes",
                                   (json_int_t)w.max_bytes),
                         run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    json_decref(r);
    return follow(run, &w);
}
