/* What the subcommands share. */
#include "common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/wrap.h"

enum { RPC_PARAMS = -32602, RPC_TIMEOUT = -32002, CANDIDATES = 6, ID_DIGITS = 16, OPTIONS_MAX = 32 };

/* ----------------------------------------------------------------- options */

wsb_err wsc_wrap_help(struct wsb_buf *text)
{
    struct wsb_buf wrapped;
    wsb_buf_init(&wrapped, 0);
    wsb_err err = wsb_buf_append(text, "", 1);
    if (!err)
        err = wsb_wrap_lines(&wrapped, (const char *)text->data, WSB_HELP_WIDTH);
    wsb_buf_clear(text);
    if (!err)
        err = wsb_buf_append(text, wrapped.data, wrapped.len);
    wsb_buf_deinit(&wrapped);
    return err;
}

static int show_help(const struct wsc_run *run, const struct wsc_option *options, size_t count)
{
    const struct wsc_command *c = run->command;
    struct wsb_buf text;
    wsb_buf_init(&text, 0);
    wsb_err err = wsb_buf_printf(&text, "Usage: wsctl %s [OPTION]...%s%s\n%s.\n%s%s%s\nOptions:\n", c->name,
                                 *c->arguments ? " " : "", c->arguments, c->help, c->details ? "\n" : "",
                                 c->details ? c->details : "", c->details ? "\n" : "");
    if (!err)
        err = wsc_args_describe(options, count, &text);
    if (!err)
        err = wsc_wrap_help(&text);
    if (!err)
        wsc_print_whole(run, "help", wsb_buf_span(&text));
    wsb_buf_deinit(&text);
    return err ? WSC_NO : WSC_OK;
}

int wsc_begin(struct wsc_run *run, const struct wsc_option *options, size_t count)
{
    const struct wsc_option common[] = {
        {"json", 'j', WSC_FLAG, NULL, "answer in JSON", &run->json},
        {"runtime-dir", 'd', WSC_TEXT, "DIR", "where the gate's sockets are", &run->dir},
        {"timeout", 'T', WSC_DURATION, "TIME", "how long to wait for the gate; default 10s", &run->timeout_ms},
        {"help", 'h', WSC_FLAG, NULL, "this text", &run->help},
    };
    struct wsc_option all[OPTIONS_MAX];
    struct wsb_fault fault = {0};
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        all[total++] = options[i];
    for (size_t i = 0; i < WSC_COUNT(common); i++)
        all[total++] = common[i];
    if (wsc_args_parse(all, total, run->argc, run->argv, &run->argc, &fault) != WSB_OK)
        return wsc_complain(run, WSC_USAGE, "%s", fault.text);
    run->is_read = true;
    if (run->json)
        wsc_client_catch_interrupts();
    if (run->help)
        return show_help(run, all, total);
    if (run->argc < run->command->least || run->argc > run->command->most)
        return wsc_complain(run, WSC_USAGE, "%s: usage: wsctl %s [OPTION]...%s%s",
                            run->argc < run->command->least ? "too few arguments" : "too many arguments",
                            run->command->name, *run->command->arguments ? " " : "", run->command->arguments);
    if (run->timeout_ms == 0 || run->timeout_ms > 1 << 30)
        return wsc_complain(run, WSC_USAGE, "--timeout must be between 1ms and 12d");
    return WSC_GO_ON;
}

/* ------------------------------------------------------------------- asking */

bool wsc_is_json(const struct wsc_run *run)
{
    return run->is_read ? run->json : run->asks_json;
}

void wsc_print_whole(const struct wsc_run *run, const char *name, struct wsb_span text)
{
    json_t *v = wsc_is_json(run) ? json_pack("{s:s#}", name, (const char *)text.ptr, (int)text.len) : NULL;
    if (v)
        wsc_print_json(v);
    else if (text.len)
        (void)fwrite(text.ptr, 1, text.len, stdout);
    json_decref(v);
}

static const char *reason_of(int status)
{
    switch (status) {
    case WSC_USAGE:
        return "usage";
    case WSC_UNREACHABLE:
        return "unreachable";
    case WSC_TIMEOUT:
        return "timeout";
    case WSC_INTERRUPTED:
        return "interrupted";
    default:
        return "refused";
    }
}

/* The one shape of an error: wsctl(1). `code` is the gate's own, 0 without. */
static void print_error(int status, int code, const char *text)
{
    json_t *e = json_pack("{s:s#, s:s, s:i}", "message", text, (int)strlen(text), "reason", reason_of(status), "status",
                          status);
    json_t *v = e ? json_pack("{s:O}", "error", e) : NULL;
    if (v && code)
        (void)json_object_set_new(e, "code", json_integer(code));
    if (v)
        wsc_print_json(v);
    else /* no memory, or text that is no UTF-8 */
        (void)printf("{\"error\":{\"message\":\"\",\"reason\":\"%s\",\"status\":%d}}\n", reason_of(status), status);
    json_decref(e);
    json_decref(v);
}

static int complain(const struct wsc_run *run, int status, int code, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));

static int complain(const struct wsc_run *run, int status, int code, const char *format, va_list args)
{
    char text[600];
    struct wsb_buf escaped;
    (void)vsnprintf(text, sizeof text, format, args);
    wsb_buf_init(&escaped, 0);
    if (wsc_text_escape(&escaped, wsb_span_str(text)) == WSB_OK)
        (void)fprintf(stderr, "wsctl: %.*s\n", (int)escaped.len, (const char *)escaped.data);
    wsb_buf_deinit(&escaped);
    if (wsc_is_json(run))
        print_error(status, code, text);
    return status;
}

int wsc_complain(const struct wsc_run *run, int status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    status = complain(run, status, 0, format, args);
    va_end(args);
    return status;
}

static int complain_of_gate(const struct wsc_run *run, int status, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int complain_of_gate(const struct wsc_run *run, int status, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    status = complain(run, status, code, format, args);
    va_end(args);
    return status;
}

static int connect_to_gate(struct wsc_run *run)
{
    char dir[WSB_RUNTIME_DIR_MAX];
    struct wsb_fault fault = {0};
    if (run->client)
        return WSC_GO_ON;
    if (wsb_runtime_dir_find(run->dir, dir, &fault) != WSB_OK)
        return wsc_complain(run, WSC_UNREACHABLE, "%s", fault.text);
    if (wsc_client_open(dir, &run->client, &fault) != WSB_OK)
        return wsc_complain(run, WSC_UNREACHABLE, "%s", fault.text);
    return WSC_GO_ON;
}

int wsc_ask(struct wsc_run *run, const char *method, json_t *params, uint64_t timeout_ms, json_t **ret_result)
{
    struct wsc_error error;
    int status = connect_to_gate(run);
    if (status != WSC_GO_ON) {
        json_decref(params);
        return status;
    }
    switch (wsc_client_call(run->client, method, params, (int)timeout_ms, ret_result, &error)) {
    case WSB_OK:
        return WSC_GO_ON;
    case WSB_ERR_REFUSED:
        return complain_of_gate(run,
                                error.code == RPC_PARAMS    ? WSC_USAGE
                                : error.code == RPC_TIMEOUT ? WSC_TIMEOUT
                                                            : WSC_NO,
                                error.code, "%s", error.text);
    case WSB_ERR_INTERRUPTED:
        return wsc_complain(run, WSC_INTERRUPTED, "interrupted");
    case WSB_ERR_TIMEOUT:
        return wsc_complain(run, WSC_TIMEOUT, "the gate does not answer");
    case WSB_CLOSED:
        return wsc_complain(run, WSC_UNREACHABLE, "the gate closed the connection");
    case WSB_ERR_PROTO:
        return wsc_complain(run, WSC_UNREACHABLE, "what answers there is not a gate");
    default:
        return wsc_complain(run, WSC_UNREACHABLE, "cannot talk to the gate");
    }
}

int wsc_show(struct wsc_run *run, const char *method, json_t *params, int (*print)(const json_t *result))
{
    json_t *r;
    int status = wsc_ask(run, method, params, run->timeout_ms, &r);
    if (status != WSC_GO_ON)
        return status;
    status = WSC_OK;
    if (run->json)
        wsc_print_json(r);
    else
        status = print(r);
    json_decref(r);
    return status;
}

int wsc_handler_id(const struct wsc_run *run, const char *text, uint64_t *ret)
{
    char *end;
    unsigned long id = strtoul(text, &end, 10);
    if (*end || *text < '0' || *text > '9' || id == 0 || id > UINT32_MAX)
        return wsc_complain(run, WSC_USAGE, "'%.40s' is not a handler's id; see wsctl handlers", text);
    *ret = id;
    return WSC_GO_ON;
}

int wsc_resolve_id(struct wsc_run *run, const char *text, char ret[17])
{
    char found[CANDIDATES * (ID_DIGITS + 2) + 8] = "";
    json_t *result;
    size_t len = strlen(text);
    if (!len || len > ID_DIGITS || strspn(text, "0123456789abcdef") != len)
        return wsc_complain(run, WSC_USAGE,
                            "'%.40s' is not a connection id: 16 hexadecimal digits, or the last of them", text);
    if (len == ID_DIGITS) {
        memcpy(ret, text, ID_DIGITS + 1);
        return WSC_GO_ON;
    }
    int status =
        wsc_ask(run, "list", json_pack("{s:s, s:i}", "id", text, "limit", CANDIDATES), run->timeout_ms, &result);
    if (status != WSC_GO_ON)
        return status;
    const json_t *rows = json_object_get(result, "connections");
    uint64_t matched = wsc_u64(result, "matched");
    for (size_t i = 0, at = 0; i < json_array_size(rows) && i < CANDIDATES; i++)
        at += (size_t)snprintf(found + at, sizeof found - at, "%s%.16s", i ? ", " : "",
                               wsc_str(json_array_get(rows, i), "id"));
    json_decref(result);
    if (matched == 0)
        return wsc_complain(run, WSC_NO, "no connection's id ends in %s", text);
    if (matched > 1)
        return wsc_complain(run, WSC_NO, "%s is ambiguous: %s%s", text, found, matched > CANDIDATES ? ", ..." : "");
    memcpy(ret, found, ID_DIGITS + 1);
    return WSC_GO_ON;
}

json_t *wsc_filter_params(const struct wsc_filter *f)
{
    const struct {
        const char *name;
        const char *text;
        uint64_t number;
    } params[] = {
        {"route", f->route, 0},        {"user", f->user, 0},
        {"group", f->group, 0},        {"tag", f->tag, 0},
        {"peer", f->peer, 0},          {"subprotocol", f->subprotocol, 0},
        {"state", f->state, 0},        {"kind", f->kind, 0},
        {"handler", NULL, f->handler}, {"older_than_ms", NULL, f->older_than_ms},
        {"idle_ms", NULL, f->idle_ms},
    };
    json_t *v = json_object();
    for (size_t i = 0; v && i < WSC_COUNT(params); i++) {
        json_t *value = params[i].text     ? json_string(params[i].text)
                        : params[i].number ? json_integer((json_int_t)params[i].number)
                                           : NULL;
        if (value)
            (void)json_object_set_new(v, params[i].name, value);
    }
    return v;
}

/* ------------------------------------------------------------------- output */

bool wsc_is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < WSC_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

struct wsc_look wsc_look_of_stdout(void)
{
    struct wsc_look look = {.is_utf8 = wsc_is_utf8()};
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    bool is_terminal = isatty(STDOUT_FILENO) != 0;
    long n = is_terminal && columns ? strtol(columns, NULL, 10) : 0; /* a pipe gets everything */
    if (n > 0 && n < 10000)
        look.width = (size_t)n;
    else if (is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        look.width = size.ws_col;
    look.is_bold = is_terminal && !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;
    return look;
}

static int dump(const char *data, size_t len, void *ctx)
{
    (void)ctx;
    return fwrite(data, 1, len, stdout) == len ? 0 : -1;
}

/* JSON escapes the C0 controls only; what else a peer may have written is escaped where a terminal would obey it. */
static void print_json(const json_t *value, size_t on_terminal, size_t elsewhere)
{
    size_t flags = isatty(STDOUT_FILENO) ? on_terminal | JSON_ENSURE_ASCII : elsewhere;
    (void)json_dump_callback(value, dump, NULL, flags | JSON_ENCODE_ANY);
    (void)putchar('\n');
}

void wsc_print_json_line(const json_t *value)
{
    print_json(value, JSON_COMPACT, JSON_COMPACT);
}

void wsc_print_json(const json_t *value)
{
    print_json(value, JSON_INDENT(2), JSON_COMPACT);
}

void wsc_print_failures(const json_t *result)
{
    size_t i;
    json_t *f;
    struct wsb_buf out;
    wsb_buf_init(&out, 0);
    json_array_foreach(json_object_get(result, "failures"), i, f)
    {
        wsb_buf_clear(&out);
        if (wsc_text_escape(&out, wsb_span_str(wsc_str(f, "id"))) == WSB_OK &&
            (out.len == 0 || wsb_buf_append_str(&out, ": ") == WSB_OK) &&
            wsc_text_escape(&out, wsb_span_str(wsc_str(f, "outcome"))) == WSB_OK &&
            wsb_buf_append_str(&out, ": ") == WSB_OK &&
            wsc_text_escape(&out, wsb_span_str(wsc_str(f, "reason"))) == WSB_OK)
            (void)fprintf(stderr, "%.*s\n", (int)out.len, (const char *)out.data);
    }
    wsb_buf_deinit(&out);
}

int wsc_print_table(const struct wsc_table *t)
{
    struct wsc_look look = wsc_look_of_stdout();
    struct wsb_buf out;
    wsb_buf_init(&out, 0);
    wsb_err err = wsc_table_write(t, &look, &out);
    if (!err)
        (void)fwrite(out.data, 1, out.len, stdout);
    wsb_buf_deinit(&out);
    return err ? WSC_NO : WSC_OK;
}

void wsc_print_text(const char *text)
{
    struct wsb_buf out;
    wsb_buf_init(&out, 0);
    if (wsc_text_escape(&out, wsb_span_str(text)) == WSB_OK && out.len)
        (void)fwrite(out.data, 1, out.len, stdout);
    wsb_buf_deinit(&out);
}

void wsc_print_field(const char *name, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)printf("%-18s ", name);
    wsc_print_text(text);
    (void)putchar('\n');
}

const char *wsc_str(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

uint64_t wsc_u64(const json_t *object, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(object, key));
    return n > 0 ? (uint64_t)n : 0;
}

bool wsc_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}
