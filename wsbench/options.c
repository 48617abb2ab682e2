/* Command line options, by one table: parsing, bounds and the help go by it. */
#include "options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/flags.h"
#include "base/wrap.h"

enum kind { FLAG, TEXT, COUNT, REAL, SECONDS, HEADER, PIDS };

static const struct row {
    const char *name;
    char letter; /* 0: none */
    enum kind kind;
    size_t offset; /* in struct wsl_options */
    double min, max;
    const char *value;
    const char *help;
} rows[] = {
#define AT(field) offsetof(struct wsl_options, field)
    {"connections", 'c', COUNT, AT(connections), 1, 200000, "N", "connections; fanout: subscribers [16]"},
    {"in-flight", 'f', COUNT, AT(in_flight), 1, 65536, "N", "messages of each that wait for their answer [1]"},
    {"size", 's', COUNT, AT(size), 0, 64 << 20, "BYTES", "of a message; fanout: from 32 [125]"},
    {"rate", 'r', REAL, AT(rate), 0.1, 1e8, "N", "rate: messages a second over all; fanout: publishes"},
    {"warm-up", 'w', SECONDS, AT(warm_up_s), 0, 60, "TIME", "not measured [0.5s]"},
    {"duration", 'd', SECONDS, AT(duration_s), 0.05, 3600, "TIME", "measured; idle: held [3s]"},
    {"messages", 'n', COUNT, AT(count), 1, 1e12, "N", "end after so many messages, the warm-up's included [500000000]"},
    {"threads", 't', COUNT, AT(threads), 1, WSL_THREADS_MAX, "N", "of this client [1]"},
    {"binary", 'b', FLAG, AT(binary), 0, 0, NULL, "binary messages, of all byte values; otherwise text"},
    {"deflate", 'z', FLAG, AT(deflate), 0, 0, NULL, "compress: permessage-deflate, which the server must agree to"},
    {"fragment", 0, COUNT, AT(fragment), 1, 64 << 20, "BYTES", "send each message in fragments of this size"},
    {"publish-path", 0, TEXT, AT(publish_path), 0, 0, "PATH", "fanout: where messages are published [the URL's]"},
    {"subscribe", 0, TEXT, AT(subscribe), 0, 0, "TEXT", "fanout: what each subscriber says first"},
    {"unix", 0, TEXT, AT(unix_path), 0, 0, "PATH", "connect to this socket; the URL says path and Host"},
    {"host", 0, TEXT, AT(host), 0, 0, "NAME", "the Host header [from the URL]"},
    {"subprotocol", 0, TEXT, AT(subprotocol), 0, 0, "NAMES", "to offer"},
    {"header", 'H', HEADER, 0, 0, 0, "LINE", "one more header of the handshake; repeatable"},
    {"ca", 0, TEXT, AT(ca_file), 0, 0, "FILE", "wss: trust these certificates"},
    {"insecure", 'k', FLAG, AT(insecure), 0, 0, NULL, "wss: do not verify the server"},
    {"pid", 'p', PIDS, 0, 0, 0, "PID[,PID]...", "CPU time and memory of these server processes"},
    {"pid-tree", 0, FLAG, AT(pid_tree), 0, 0, NULL, "and of all that descend from them"},
    {"handshakes", 0, COUNT, AT(handshakes), 1, 100000, "N", "that may be under way at a time [128]"},
    {"connect-timeout", 0, SECONDS, AT(connect_s), 0.1, 600, "TIME", "for all connections together [60s]"},
    {"settle", 0, SECONDS, AT(settle_s), 0, 60, "TIME", "between connecting and load [100ms; fanout, idle 500ms]"},
    {"drain", 0, SECONDS, AT(drain_s), 0, 60, "TIME", "longest wait for the last answers [2s]"},
    {"sources", 0, COUNT, AT(sources), 1, 250, "N", "spread over source addresses 127.0.0.1 to N: more ports"},
    {"max-message", 0, COUNT, AT(max_message), 1, 1 << 30, "BYTES", "largest message to receive [64 MiB]"},
    {"abrupt", 0, FLAG, AT(abrupt), 0, 0, NULL, "end without closing handshakes"},
    {"label", 'l', TEXT, AT(label), 0, 0, "TEXT", "copied to the result"},
    {"json", 'j', FLAG, AT(json), 0, 0, NULL, "the result as one line of JSON"},
    {"quiet", 'q', FLAG, AT(quiet), 0, 0, NULL, "only the exit status"},
#undef AT
};

/* Other names: taken, and not in the help. A single character is a letter. */
static const struct synonym {
    const char *word, *name;
} synonyms[] = {
    {"ca-file", "ca"},
    {"cacert", "ca"},
    {"count", "messages"},
    {"u", "unix"},
};

enum {
    ROWS = sizeof rows / sizeof *rows,
    SYNONYMS = sizeof synonyms / sizeof *synonyms,
    FIRST = 256,
    HELP = FIRST + ROWS,
    VERSION
};

static const char *const modes[] = {
    [WSL_ECHO] = "echo", [WSL_RATE] = "rate", [WSL_FANOUT] = "fanout", [WSL_IDLE] = "idle"};

const char *wsl_mode_name(enum wsl_mode mode)
{
    return modes[mode];
}

static wsb_err help_write(struct wsb_buf *out)
{
    wsb_err err = wsb_buf_append_str(
        out, "Usage: wsbench echo|rate|fanout|idle [OPTION]... ws[s]://HOST[:PORT][/PATH]\n"
             "Loads a WebSocket server, checks every answer, and says how fast and at what cost.\n\n"
             "  echo    each connection keeps --in-flight messages on their way; every one has to come back\n"
             "  rate    --rate messages a second by a schedule; latency counts from when a message was due\n"
             "  fanout  one connection publishes, every other one has to get everything\n"
             "  idle    opens connections and holds them: handshakes a second, memory for each\n\n");
    for (size_t i = 0; i < ROWS && !err; i++) {
        const struct row *r = &rows[i];
        char left[64], letter[8] = "    ";
        if (r->letter)
            (void)snprintf(letter, sizeof letter, "-%c, ", r->letter);
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, r->name, r->value ? " " : "", r->value ? r->value : "");
        err = wsb_buf_printf(out, "  %-30s %s\n", left, r->help);
    }
    return err ? err
               : wsb_buf_append_str(
                     out, "  -h, --help                     this text\n"
                          "  -V, --version                  the version\n\n"
                          "A %d in a path becomes the number of the connection.\n\n"
                          "Exit status: 0 all came back as it should; 1 something was lost, wrong, refused or closed;\n"
                          "2 wrong usage.\n");
}

static void help(FILE *to)
{
    struct wsb_buf text, wrapped;
    wsb_buf_init(&text, 0);
    wsb_buf_init(&wrapped, 0);
    wsb_err err = help_write(&text);
    if (!err)
        err = wsb_buf_append(&text, "", 1);
    if (!err)
        err = wsb_wrap_lines(&wrapped, (const char *)text.data, WSB_HELP_WIDTH);
    if (!err)
        (void)fwrite(wrapped.data, 1, wrapped.len, to);
    wsb_buf_deinit(&text);
    wsb_buf_deinit(&wrapped);
}

static wsb_err parse_real(const struct row *r, const char *text, double *ret, struct wsb_fault *fault)
{
    char *end;
    double value = strtod(text, &end);
    /* strtod also takes spaces, hexadecimal, inf and nan */
    bool plain = text[0] && !text[strspn(text, "0123456789.eE+")];
    if (!plain || *end || !(value >= r->min && value <= r->max))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s: '%.60s' is not a number from %.12g to %.12g", r->name,
                             text, r->min, r->max);
    *ret = value;
    return WSB_OK;
}

static wsb_err parse_count(const struct row *r, const char *text, uint64_t *ret, struct wsb_fault *fault)
{
    double value = 0;
    if (text[0] && !text[strspn(text, "0123456789")] && !parse_real(r, text, &value, NULL)) {
        *ret = (uint64_t)value; /* below 2^53 by its row */
        return WSB_OK;
    }
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s: '%.60s' is not a whole number from %.12g to %.12g", r->name,
                         text, r->min, r->max);
}

/* Like 3s, 500ms, 5m, or seconds without a unit. */
static wsb_err parse_seconds(const struct row *r, const char *text, double *ret, struct wsb_fault *fault)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1}, {"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
    char number[32];
    size_t len = strspn(text, "0123456789.eE+");
    double value;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(text + len, units[i].unit) != 0 || len >= sizeof number)
            continue;
        (void)snprintf(number, sizeof number, "%.*s", (int)len, text);
        char *end;
        value = strtod(number, &end) * units[i].seconds;
        if (len && !*end && value >= r->min && value <= r->max) {
            *ret = value;
            return WSB_OK;
        }
    }
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                         "--%s: '%.60s' is not a time from %.12gs to %.12gs, like 3s or 500ms", r->name, text, r->min,
                         r->max);
}

/* It goes into the handshake as it is, so it must be one line that is a header and none of ours. */
static wsb_err add_header(struct wsl_options *o, const char *line, struct wsb_fault *fault)
{
    size_t name = strcspn(line, ":");
    if (!line[name] || !name || strcspn(line, " \t") < name)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--header: '%.60s' is not NAME: VALUE", line);
    for (const char *c = line; *c; c++) {
        if (iscntrl((unsigned char)*c) && *c != '\t')
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--header: it has a control character");
    }
    if (o->header_count == WSL_HEADERS_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--header: %d at most", WSL_HEADERS_MAX);
    o->headers[o->header_count++] = line;
    return WSB_OK;
}

static wsb_err add_pids(struct wsl_options *o, const char *text, struct wsb_fault *fault)
{
    for (const char *at = text;; at++) {
        char *end;
        long pid = isdigit((unsigned char)*at) ? strtol(at, &end, 10) : 0;
        if (pid < 1 || pid > 1 << 22 || (*end && *end != ','))
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--pid: '%.60s' is not PID[,PID]...", text);
        if (o->pid_count == WSL_PIDS_MAX)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--pid: %d at most", WSL_PIDS_MAX);
        o->pids[o->pid_count++] = (int)pid;
        at = end;
        if (!*at)
            return WSB_OK;
    }
}

static wsb_err set(struct wsl_options *o, const struct row *r, const char *value, struct wsb_fault *fault)
{
    void *field = (char *)o + r->offset;
    switch (r->kind) {
    case FLAG:
        *(bool *)field = true;
        return WSB_OK;
    case TEXT:
        if (!*value)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--%s must not be empty", r->name);
        *(const char **)field = value;
        return WSB_OK;
    case COUNT:
        return parse_count(r, value, field, fault);
    case REAL:
        return parse_real(r, value, field, fault);
    case SECONDS:
        return parse_seconds(r, value, field, fault);
    case HEADER:
        return add_header(o, value, fault);
    case PIDS:
        return add_pids(o, value, fault);
    }
    return WSB_ERR_INTERNAL;
}

/* What one option alone cannot know. */
static wsb_err check_together(struct wsl_options *o, struct wsb_fault *fault)
{
    if (o->mode == WSL_RATE && o->rate <= 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "rate wants --rate");
    if (o->mode != WSL_RATE && o->mode != WSL_FANOUT && o->rate > 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--rate is for rate and fanout");
    if (o->mode != WSL_FANOUT && (o->publish_path || o->subscribe))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--publish-path and --subscribe are for fanout");
    if (o->mode == WSL_FANOUT && o->size < WSL_STAMP_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "fanout wants messages of %d bytes or more", WSL_STAMP_MAX);
    if (o->subscribe && strlen(o->subscribe) > 4096)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--subscribe: 4096 bytes at most");
    if (o->size > o->max_message)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--size is above --max-message");
    uint64_t senders = o->mode == WSL_FANOUT ? 1 : o->connections;
    if (senders * o->in_flight * (o->size + 64) > WSL_IN_FLIGHT_BYTES_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "more than 1 GiB would be in flight: fewer or smaller messages");
    if (o->threads > o->connections)
        o->threads = o->connections;
    if (o->settle_s < 0)
        o->settle_s = o->mode == WSL_ECHO || o->mode == WSL_RATE ? 0.1 : 0.5;
    return WSB_OK;
}

static wsb_err take_mode(struct wsl_options *o, const char *name, struct wsb_fault *fault)
{
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(name, modes[i]) == 0) {
            o->mode = (enum wsl_mode)i;
            return WSB_OK;
        }
    }
    return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.40s' is not echo, rate, fanout or idle", name);
}

static int row_named(const char *name)
{
    int i = 0;
    while (strcmp(rows[i].name, name) != 0)
        i++;
    return i;
}

static void describe(struct option longs[ROWS + SYNONYMS + 3], char letters[2 * (ROWS + SYNONYMS) + 5])
{
    size_t at = 0;
    int n = ROWS + 2;
    letters[at++] = ':'; /* tell a missing value from an unknown option */
    letters[at++] = 'h';
    letters[at++] = 'V';
    for (int i = 0; i < ROWS; i++) {
        bool wants = rows[i].kind != FLAG;
        longs[i] = (struct option){rows[i].name, wants, NULL, FIRST + i};
        if (!rows[i].letter)
            continue;
        letters[at++] = rows[i].letter;
        if (wants)
            letters[at++] = ':';
    }
    longs[ROWS] = (struct option){"help", 0, NULL, HELP};
    longs[ROWS + 1] = (struct option){"version", 0, NULL, VERSION};
    for (size_t i = 0; i < SYNONYMS; i++) {
        struct option o = longs[row_named(synonyms[i].name)];
        if (synonyms[i].word[1]) {
            o.name = synonyms[i].word;
            longs[n++] = o;
        } else {
            letters[at++] = synonyms[i].word[0];
            if (o.has_arg)
                letters[at++] = ':';
        }
    }
}

static const struct row *row_of(int option)
{
    if (option >= FIRST)
        return &rows[option - FIRST];
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].letter == option)
            return &rows[i];
    }
    for (size_t i = 0; i < SYNONYMS; i++) {
        if (synonyms[i].word[0] == option && !synonyms[i].word[1])
            return &rows[row_named(synonyms[i].name)];
    }
    return NULL;
}

static wsb_err refuse(const struct wsb_flag *flag, struct wsb_fault *fault)
{
    switch (flag->fault) {
    case WSB_FLAG_VALUE_MISSING:
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.60s wants a value", flag->word);
    case WSB_FLAG_VALUE_UNWANTED:
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.60s: it takes no value", flag->word);
    default:
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "unknown option %.60s%s%s%s", flag->word,
                             flag->near ? "; did you mean --" : "; see wsbench --help", flag->near ? flag->near : "",
                             flag->near ? "?" : "");
    }
}

wsb_err wsl_options_parse(int argc, char **argv, struct wsl_options *ret, struct wsb_fault *fault)
{
    struct option longs[ROWS + SYNONYMS + 3] = {{0}};
    char letters[2 * (ROWS + SYNONYMS) + 5] = {0};
    *ret = (struct wsl_options){.connections = 16,
                                .in_flight = 1,
                                .threads = 1,
                                .size = 125,
                                .max_message = 64 << 20,
                                .count = 500000000,
                                .handshakes = 128,
                                .warm_up_s = 0.5,
                                .duration_s = 3,
                                .connect_s = 60,
                                .settle_s = -1,
                                .drain_s = 2};
    describe(longs, letters);
    optind = 0; /* glibc: begin anew */
    for (struct wsb_flag flag; wsb_flag_next(argc, argv, letters, longs, &flag), flag.answer != -1;) {
        int option = flag.answer;
        if (flag.fault)
            return refuse(&flag, fault);
        if (option == HELP || option == 'h') {
            help(stdout);
            return WSB_CLOSED;
        }
        if (option == VERSION || option == 'V') {
            (void)puts("wsbench " WSBUS_VERSION);
            return WSB_CLOSED;
        }
        wsb_err err = set(ret, row_of(option), optarg, fault);
        if (err)
            return err;
    }
    if (argc - optind != 2)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "a mode and a URL are wanted");
    wsb_err err = take_mode(ret, argv[optind], fault);
    ret->url = argv[optind + 1];
    return err ? err : check_together(ret, fault);
}
