/* wsctl connect: a WebSocket client for the terminal and for scripts; needs no gate. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "common.h"
#include "wsbus/websocket.h"

enum { LINE_MAX_BYTES = 16 << 20, READ_BYTES = 64 << 10, CLOSE_MS = 5000, WRITE_MS = 30000 };

struct client {
    const struct wsc_run *run;
    wsb_websocket w;
    struct wsb_buf line; /* what has been typed and has no end yet */
    bool is_json, is_terminal, is_quiet, input_ended, is_done;
    uint64_t count, wait_ms; /* of the options */
    uint64_t seen;           /* messages */
    uint64_t heard_ms;       /* when something came or was sent last */
    unsigned close_code;
    char close_reason[WSB_CLOSE_REASON_MAX + 1];
    int status;
};

/* What a signal is to do: a connection that is open is closed in order, and one that is not yet is not waited for. */
enum interrupt { CLOSE_IN_ORDER, END_AT_ONCE, END_AT_ONCE_IN_JSON };
static volatile sig_atomic_t on_signal = CLOSE_IN_ORDER;
static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    static const char error[] = "{\"error\":{\"message\":\"interrupted\",\"reason\":\"interrupted\",\"status\":130}}\n";
    (void)signal_number;
    interrupted = 1;
    if (on_signal == END_AT_ONCE_IN_JSON)
        (void)!write(STDOUT_FILENO, error, sizeof error - 1);
    if (on_signal != CLOSE_IN_ORDER)
        _exit(WSC_INTERRUPTED);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ------------------------------------------------------------------- showing */

static char *hex_of(const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = data;
    char *out = malloc(2 * len + 1);
    for (size_t i = 0; i < len && out; i++) {
        out[2 * i] = digits[at[i] >> 4];
        out[2 * i + 1] = digits[at[i] & 15];
    }
    if (out)
        out[2 * len] = 0;
    return out;
}

static void show_json(json_t *v)
{
    if (v)
        wsc_print_json_line(v);
    json_decref(v);
}

/* A remark about the connection: on a terminal and in pipes it is not among the messages. */
static void remark(const struct client *c, const char *text)
{
    struct wsb_buf escaped; /* much of it are words of the server */
    if (c->is_quiet || c->is_json)
        return;
    wsb_buf_init(&escaped, 0);
    if (wsc_text_escape(&escaped, wsb_span_str(text)) == WSB_OK)
        (void)fprintf(stderr, "* %.*s\n", (int)escaped.len, (const char *)escaped.data);
    wsb_buf_deinit(&escaped);
}

static void show_message(struct client *c, const struct wsb_message *m)
{
    bool is_text = m->opcode == WSB_TEXT;
    char *hex = is_text ? NULL : hex_of(m->data, m->len);
    c->seen++;
    c->heard_ms = now_ms();
    if (c->is_json && is_text)
        show_json(json_pack("{s:s, s:s%}", "type", "text", "text", (const char *)m->data, m->len));
    else if (c->is_json)
        show_json(json_pack("{s:s, s:s}", "type", "binary", "hex", hex ? hex : ""));
    else if (!is_text)
        (void)printf("%s%s\n", c->is_terminal ? "< 0x" : "", hex ? hex : "");
    else if (!c->is_terminal) { /* as it is: a script wants it so */
        (void)fwrite(m->data, 1, m->len, stdout);
        (void)putchar('\n');
    } else {
        struct wsb_buf escaped;
        wsb_buf_init(&escaped, 0);
        if (wsc_text_escape(&escaped, wsb_span(m->data, m->len)) == WSB_OK)
            (void)printf("< %.*s\n", (int)escaped.len, (const char *)escaped.data);
        wsb_buf_deinit(&escaped);
    }
    free(hex);
    (void)fflush(stdout);
}

static void show_open(const struct client *c, const struct wsb_open_result *r)
{
    char text[600];
    if (c->is_json) {
        show_json(json_pack("{s:s, s:i, s:s, s:b, s:s}", "type", "open", "status", (int)r->status, "subprotocol",
                            r->subprotocol, "compressed", (int)r->is_compressed, "tls", r->tls_version));
        return;
    }
    (void)snprintf(text, sizeof text, "open%s%s%s%s%s", *r->subprotocol ? ", subprotocol " : "", r->subprotocol,
                   r->is_compressed ? ", permessage-deflate" : "", *r->tls_version ? ", " : "", r->tls_version);
    remark(c, text);
}

/* RFC 6455 §7.4.1: 1000 it is done, 1001 it goes away, 1005 it did not say. With any other code it complains. */
static bool is_ordinary(const struct wsb_websocket_close_info *info)
{
    return info->by_us || info->code == 1000 || info->code == 1001 || info->code == 1005;
}

static void show_end(struct client *c)
{
    struct wsb_websocket_close_info info = {.code = 1006};
    char text[300];
    (void)wsb_websocket_closed(c->w, &info);
    if (c->status == WSC_OK && !is_ordinary(&info))
        c->status = WSC_CLOSED;
    if (c->is_json)
        show_json(json_pack("{s:s, s:i, s:s, s:b, s:s}", "type", "close", "code", (int)info.code, "reason", info.reason,
                            "clean", (int)info.clean, "by", info.by_us ? "us" : "server"));
    (void)snprintf(text, sizeof text, "closed by %s: %u%s%s%s", info.by_us ? "us" : "the server", info.code,
                   *info.reason ? " " : "", info.reason, info.clean ? "" : ", without a goodbye from both sides");
    remark(c, text);
}

/* ------------------------------------------------------------------- sending */

static void complain(struct client *c, const char *text)
{
    (void)wsc_complain(c->run, WSC_USAGE, "%s", text);
    if (!c->is_terminal) { /* in a script a wrong line is an end, on a terminal one types it again */
        c->status = WSC_USAGE;
        c->is_done = true;
    }
}

static void send_message(struct client *c, enum wsb_opcode opcode, const void *data, size_t len)
{
    c->heard_ms = now_ms();
    if (opcode == WSB_TEXT && !wsb_utf8_is_valid(data, len))
        complain(c, "not UTF-8, so not a text: /binary HEX sends bytes");
    else if (!wsb_websocket_write(c->w, opcode, data, len, WRITE_MS) && wsb_websocket_reason(c->w) == WSB_REASON_FULL)
        complain(c, "the server does not take what is sent");
}

static void send_hex(struct client *c, struct wsb_span hex)
{
    uint8_t *bytes = malloc(hex.len / 2 + 1);
    size_t len = 0;
    bool ok = bytes != NULL;
    for (size_t i = 0; i < hex.len && ok;) {
        unsigned value;
        char two[3] = {(char)hex.ptr[i], i + 1 < hex.len ? (char)hex.ptr[i + 1] : 0, 0};
        if (isspace(hex.ptr[i])) {
            i++;
            continue;
        }
        ok = isxdigit((unsigned char)two[0]) && isxdigit((unsigned char)two[1]) && sscanf(two, "%2x", &value) == 1;
        if (ok)
            bytes[len++] = (uint8_t)value;
        i += 2;
    }
    if (ok)
        send_message(c, WSB_BINARY, bytes, len);
    else
        complain(c, "/binary wants pairs of hexadecimal digits");
    free(bytes);
}

static void ping(struct client *c, struct wsb_span data)
{
    uint64_t rtt_us = 0;
    char rtt[WSC_SHORT], text[64];
    if (!wsb_websocket_ping(c->w, data.ptr, data.len, (int)c->run->timeout_ms, &rtt_us)) {
        remark(c, wsb_websocket_why(c->w));
        return;
    }
    wsc_rtt_format(rtt_us ? rtt_us : 1, rtt);
    (void)snprintf(text, sizeof text, "pong after %s", rtt);
    remark(c, text);
    if (c->is_json)
        show_json(json_pack("{s:s, s:I}", "type", "pong", "rtt_us", (json_int_t)rtt_us));
}

/* "/close", "/close 1001", "/close 1001 why" */
static void close_by_line(struct client *c, struct wsb_span rest)
{
    unsigned code = 0;
    size_t at = 0;
    while (at < rest.len && isdigit(rest.ptr[at]) && code < 100000)
        code = code * 10 + (unsigned)(rest.ptr[at++] - '0');
    while (at < rest.len && rest.ptr[at] == ' ')
        at++;
    if (rest.len - at > WSB_CLOSE_REASON_MAX || (code == 0 && rest.len)) {
        complain(c, "/close [CODE [REASON]], and a reason of 123 bytes at most");
        return;
    }
    c->close_code = code;
    (void)snprintf(c->close_reason, sizeof c->close_reason, "%.*s", (int)(rest.len - at), (const char *)rest.ptr + at);
    c->is_done = true;
}

static bool word_take(struct wsb_span *line, const char *word)
{
    size_t len = strlen(word);
    if (line->len < len || memcmp(line->ptr, word, len) != 0 || (line->len > len && line->ptr[len] != ' '))
        return false;
    size_t gone = line->len > len ? len + 1 : len;
    *line = wsb_span(line->ptr + gone, line->len - gone);
    return true;
}

static void take_line(struct client *c, struct wsb_span line)
{
    if (line.len == 0 || line.ptr[0] != '/')
        send_message(c, WSB_TEXT, line.ptr, line.len);
    else if (line.len > 1 && line.ptr[1] == '/')
        send_message(c, WSB_TEXT, line.ptr + 1, line.len - 1);
    else if (word_take(&line, "/text"))
        send_message(c, WSB_TEXT, line.ptr, line.len);
    else if (word_take(&line, "/binary"))
        send_hex(c, line);
    else if (word_take(&line, "/ping"))
        ping(c, wsb_span(line.ptr, line.len < WSB_CONTROL_MAX ? line.len : WSB_CONTROL_MAX));
    else if (word_take(&line, "/close"))
        close_by_line(c, line);
    else
        complain(
            c, "there are /text, /binary HEX, /ping [TEXT] and /close [CODE [REASON]]; // begins a text with a slash");
}

static void read_input(struct client *c)
{
    ssize_t n = -1;
    if (c->line.len <= LINE_MAX_BYTES && wsb_buf_reserve(&c->line, READ_BYTES) == WSB_OK)
        n = read(STDIN_FILENO, c->line.data + c->line.len, READ_BYTES);
    else
        complain(c, "a line is too long");
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        if (c->line.len && !c->is_done)
            take_line(c, wsb_buf_span(&c->line)); /* the last one, without an end */
        wsb_buf_clear(&c->line);
        c->input_ended = true;
        c->heard_ms = now_ms();
        return;
    }
    c->line.len += (size_t)n;
    const uint8_t *end;
    while (!c->is_done && (end = c->line.len ? memchr(c->line.data, '\n', c->line.len) : NULL)) {
        size_t len = (size_t)(end - c->line.data);
        take_line(c, wsb_span(c->line.data, len));
        wsb_buf_consume(&c->line, len + 1);
    }
}

/* ----------------------------------------------------------------- the round */

/* All that has come. */
static void read_messages(struct client *c)
{
    struct wsb_message m;
    while (!c->is_done && wsb_websocket_read(c->w, &m, 0)) {
        show_message(c, &m);
        c->is_done = c->count && c->seen >= c->count;
    }
    enum wsb_reason reason = wsb_websocket_reason(c->w);
    if (c->is_done || reason == WSB_REASON_TIMEOUT || reason == WSB_REASON_SIGNAL)
        return;
    c->is_done = true;
    if (reason != WSB_REASON_CLOSED)
        c->status = wsc_complain(c->run, WSC_NO, "%s", wsb_websocket_why(c->w));
}

static void converse(struct client *c)
{
    int fd = wsb_websocket_fd(c->w);
    while (!c->is_done && !interrupted) {
        read_messages(c);
        uint64_t quiet_ms = now_ms() - c->heard_ms;
        if (c->is_done || (c->input_ended && !c->count && quiet_ms >= c->wait_ms))
            break;
        struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                               {.fd = c->input_ended ? -1 : STDIN_FILENO, .events = POLLIN}};
        int timeout = c->input_ended && !c->count ? (int)(c->wait_ms - quiet_ms) : -1;
        if (poll(fds, 2, timeout) > 0 && fds[1].revents)
            read_input(c);
    }
}

static int refuse(const struct wsc_run *run, const struct wsb_open_result *r)
{
    bool is_far = r->reason == WSB_REASON_IO || r->reason == WSB_REASON_TLS;
    int status = r->reason == WSB_REASON_TIMEOUT                                       ? WSC_TIMEOUT
                 : is_far                                                              ? WSC_UNREACHABLE
                 : r->reason == WSB_REASON_REFUSED || r->reason == WSB_REASON_PROTOCOL ? WSC_NO
                                                                                       : WSC_USAGE;
    (void)wsc_complain(run, status, "%s", r->why);
    if (r->body && r->body_len && !run->json) {
        struct wsb_buf escaped;
        wsb_buf_init(&escaped, 0);
        if (wsc_text_escape(&escaped, wsb_span(r->body, r->body_len < 1000 ? r->body_len : 1000)) == WSB_OK)
            (void)fprintf(stderr, "* it said: %.*s\n", (int)escaped.len, (const char *)escaped.data);
        wsb_buf_deinit(&escaped);
    }
    return status;
}

static void catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

int cmd_connect(struct wsc_run *run)
{
    struct wsb_open_options o = {0};
    struct wsb_open_result result = {0};
    struct wsc_texts headers = {0};
    struct wsc_texts subprotocols = {0};
    struct client c = {.run = run, .wait_ms = 1000, .close_code = 1000, .status = WSC_OK};
    uint64_t ping_ms = 0;
    const struct wsc_option options[] = {
        {"subprotocol", 's', WSC_TEXTS, "NAME", "that we speak; more of them in the order of preference",
         &subprotocols},
        {"header", 'H', WSC_TEXTS, "LINE", "\"Name: value\" in the request; more than once", &headers},
        {"origin", 'o', WSC_TEXT, "ORIGIN", "as a page of that origin", &o.origin},
        {"unix", 0, WSC_TEXT, "PATH", "connect to this socket instead of the URL's host", &o.unix_socket},
        {"ca", 0, WSC_TEXT, "FILE", "whom to trust with wss://; default the system's authorities", &o.ca_file},
        {"certificate", 0, WSC_TEXT, "FILE", "our own certificate", &o.certificate},
        {"key", 0, WSC_TEXT, "FILE", "its key; default in the same file", &o.key},
        {"insecure", 'k', WSC_FLAG, NULL, "take any certificate", &o.insecure},
        {"no-compression", 0, WSC_FLAG, NULL, "do not offer permessage-deflate", &o.no_compression},
        {"ping-interval", 0, WSC_DURATION, "TIME", "ping a server that is silent for so long", &ping_ms},
        {"count", 'c', WSC_NUMBER, "COUNT", "end after so many messages", &c.count},
        {"wait", 0, WSC_DURATION, "TIME", "at the end of the input, until nothing came for so long; default 1s",
         &c.wait_ms},
        {"quiet", 'q', WSC_FLAG, NULL, "messages only", &c.is_quiet},
    };
    int status = wsc_begin(run, options, WSC_COUNT(options));
    if (status != WSC_GO_ON)
        return status;
    o.headers = headers.at;
    o.header_count = headers.count;
    o.subprotocols = subprotocols.at;
    o.subprotocol_count = subprotocols.count;
    o.timeout_ms = (unsigned)(run->timeout_ms < INT32_MAX ? run->timeout_ms : INT32_MAX);
    o.ping_interval_ms = (unsigned)(ping_ms < INT32_MAX ? ping_ms : INT32_MAX);
    c.is_json = run->json;
    c.is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    c.wait_ms = c.wait_ms < INT32_MAX ? c.wait_ms : INT32_MAX;
    on_signal = run->json ? END_AT_ONCE_IN_JSON : END_AT_ONCE;
    catch_interrupts();
    if (!wsb_open(run->argv[0], &o, &c.w, &result)) {
        status = refuse(run, &result);
        wsb_open_result_free(&result);
        return status;
    }
    on_signal = CLOSE_IN_ORDER;
    show_open(&c, &result);
    wsb_open_result_free(&result);
    c.heard_ms = now_ms();
    wsb_buf_init(&c.line, 0);
    converse(&c);
    wsb_buf_deinit(&c.line);
    bool is_over = wsb_websocket_closed(c.w, NULL);
    if (is_over)
        show_end(&c);
    if (!wsb_websocket_close(c.w, c.close_code, c.close_reason, CLOSE_MS) && !is_over) {
        if (wsb_websocket_reason(c.w) == WSB_REASON_MISUSE)
            c.status = wsc_complain(run, WSC_USAGE, "%u is no code that may be sent", c.close_code);
        else
            remark(&c, wsb_websocket_why(c.w));
    }
    return c.status;
}
