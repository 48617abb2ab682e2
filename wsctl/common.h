#ifndef WSC_COMMON_H
#define WSC_COMMON_H

/* What the subcommands share: the gate they talk to, how they say what they found, and what scripts can rely on. */

#include "args.h"
#include "base/runtime_dir.h"
#include "client.h"
#include "table.h"
#include "text.h"

/* Exit statuses, promised in wsctl(1). */
enum wsc_exit {
    WSC_OK = 0,
    WSC_NO = 1,          /* the gate said no, or nothing was found */
    WSC_USAGE = 2,       /* wrong options or arguments */
    WSC_UNREACHABLE = 3, /* no gate is there, or it went away */
    WSC_TIMEOUT = 4,
    WSC_CLOSED = 5,        /* of connect: the server closed, and not because all was done */
    WSC_INTERRUPTED = 130, /* with --json; otherwise the signal ends wsctl */
    WSC_GO_ON = -1         /* not an end */
};

/* One run of a subcommand. */
struct wsc_run {
    const struct wsc_command *command; /* borrowed */
    const char *dir;                   /* borrowed; NULL: found */
    bool json;
    bool asks_json; /* --json stands somewhere: for what is wrong before the options are read */
    bool is_read;   /* the options are read, and `json` says it */
    bool help;
    uint64_t timeout_ms;
    struct wsc_client *client; /* owned */
    int argc;                  /* arguments that are not options */
    char **argv;
};

struct wsc_command {
    const char *name;
    const char *arguments; /* "ID…" */
    const char *help;      /* one line */
    const char *details;   /* more, for --help; may be NULL */
    int (*fn)(struct wsc_run *run);
    int least, most; /* arguments */
};

/*
 * Read a subcommand's options, and those that all of them have. Returns WSC_GO_ON, or the exit status: usage was wrong,
 * or help was asked for and given.
 */
int wsc_begin(struct wsc_run *run, const struct wsc_option *options, size_t count);

/* Ask the gate, connecting first. params is taken. Failures are told; WSC_GO_ON with a result that is the caller's. */
int wsc_ask(struct wsc_run *run, const char *method, json_t *params, uint64_t timeout_ms, json_t **ret_result);
/* The same, and print the answer: as it is with --json, else by `print`, which returns the exit status. */
int wsc_show(struct wsc_run *run, const char *method, json_t *params, int (*print)(const json_t *result));
/* Tell what went wrong, to stderr; and with --json as an error object, to stdout. Returns status. */
int wsc_complain(const struct wsc_run *run, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A handler's number. */
int wsc_handler_id(const struct wsc_run *run, const char *text, uint64_t *ret);

/* The whole id that an argument means: 16 digits, or the end of an id that is the only one to end so. */
int wsc_resolve_id(struct wsc_run *run, const char *text, char ret[17]);

/* Output. */
WSB_MUST_CHECK wsb_err wsc_wrap_help(struct wsb_buf *text); /* lines that fit, in place */
bool wsc_is_json(const struct wsc_run *run);
/* Text that is the whole answer, as help is: with --json an object with it by this name. */
void wsc_print_whole(const struct wsc_run *run, const char *name, struct wsb_span text);
void wsc_print_json(const json_t *value); /* one document; indented on a terminal */
void wsc_print_json_line(const json_t *value);
/* Those of an answer, one a line, to stderr. */
void wsc_print_failures(const json_t *result);
int wsc_print_table(const struct wsc_table *t);
void wsc_print_text(const char *text); /* escaped, no newline */
/* Lines of "name   value". */
void wsc_print_field(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool wsc_is_utf8(void);
struct wsc_look wsc_look_of_stdout(void);

/* Fields of the gate's answers; what is not there is empty or 0. */
const char *wsc_str(const json_t *object, const char *key);
uint64_t wsc_u64(const json_t *object, const char *key);
bool wsc_bool(const json_t *object, const char *key);

/* Filters of list and close. */
struct wsc_filter {
    const char *route, *user, *group, *tag, *peer, *subprotocol, *state, *kind;
    uint64_t handler, older_than_ms, idle_ms;
};

#define WSC_FILTER_OPTIONS(f)                                                                                           \
    {"route", 'r', WSC_TEXT, "NAME", "of this route", &(f).route},                                                      \
        {"user", 'u', WSC_TEXT, "NAME", "of this user", &(f).user},                                                     \
        {"group", 'g', WSC_TEXT, "NAME", "in this group", &(f).group},                                                  \
        {"tag", 0, WSC_TEXT, "NAME", "with this tag", &(f).tag},                                                        \
        {"peer", 'p', WSC_TEXT, "PREFIX", "whose address begins so: 10.1., [2001:db8:", &(f).peer},                     \
        {"subprotocol", 0, WSC_TEXT, "NAME", "that speak this subprotocol", &(f).subprotocol},                          \
        {"handler", 0, WSC_NUMBER, "ID", "that are pinned to this handler", &(f).handler},                              \
        {"state",   0, WSC_TEXT, "STATE", "CONNECTING, CONNECTED, CLOSING, CLOSED; IDLE, READING, WAITING, RESPONDING", \
         &(f).state},                                                                                                   \
        {"kind", 0, WSC_TEXT, "KIND", "websocket or http", &(f).kind},                                                  \
        {"older-than", 0, WSC_DURATION, "TIME", "that are at least this old: 90s, 5m, 1h30m", &(f).older_than_ms},      \
    {                                                                                                                   \
        "idle", 0, WSC_DURATION, "TIME", "that have sent nothing for this long", &(f).idle_ms                           \
    }

json_t *wsc_filter_params(const struct wsc_filter *f); /* NULL without memory */

#define WSC_COUNT(array) (sizeof(array) / sizeof *(array))

int cmd_status(struct wsc_run *run);
int cmd_list(struct wsc_run *run);
int cmd_show(struct wsc_run *run);
int cmd_close(struct wsc_run *run);
int cmd_send(struct wsc_run *run);
int cmd_move(struct wsc_run *run);
int cmd_ping(struct wsc_run *run);
int cmd_handlers(struct wsc_run *run);
int cmd_tls(struct wsc_run *run);
int cmd_routes(struct wsc_run *run);
int cmd_groups(struct wsc_run *run);
int cmd_log(struct wsc_run *run);
int cmd_connect(struct wsc_run *run);
int cmd_dead_letters(struct wsc_run *run);
int cmd_dial(struct wsc_run *run);
int cmd_tap(struct wsc_run *run);
int cmd_token(struct wsc_run *run);
int cmd_stats(struct wsc_run *run);
int cmd_shutdown(struct wsc_run *run);

#endif
