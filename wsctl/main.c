/*
 * wsctl: looks at a running gate and manages it. Here is the table of subcommands; each is a file of its own. Exit status:
 * see enum wsc_exit, which scripts rely on.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/near.h"
#include "common.h"

enum { TIMEOUT_DEFAULT_MS = 10000 };

static const char send_details[] = "To connections by id; or to all of groups, users, tags and routes, each once;\n"
                                   "or to all that there are. The message is --text, --base64, or else standard\n"
                                   "input: text, or with --binary, bytes.";

static const struct wsc_command commands[] = {
    {"status", "", "What this gate is and how it is doing", NULL, cmd_status, 0, 0},
    {"list", "", "The connections, oldest first",
     "Filters can be combined; a connection is shown when all of them fit.\n"
     "--sort: age, idle, messages, messages-in, messages-out, bytes, bytes-in, bytes-out, queue, dropped, rtt (the "
     "largest\n"
     "first), handler, route, peer, subprotocol or id (the smallest first).",
     cmd_list, 0, 0},
    {"show", "ID", "All that is known of one connection", NULL, cmd_show, 1, 1},
    {"close", "[ID...]", "Close connections",
     "By id, by filters, or all. With filters or --all, the number is shown first, and asked about on a terminal;\n"
     "without a terminal --yes is needed.",
     cmd_close, 0, INT_MAX},
    {"send", "[ID...]", "Send a message to connections, or to all of a group, a user, ...", send_details, cmd_send, 0,
     INT_MAX},
    {"publish", "[ID...]", "The same", send_details, cmd_send, 0, INT_MAX},
    {"ping", "ID", "Measure a client's round trip time", NULL, cmd_ping, 1, 1},
    {"handlers", "[VERB ID]", "The handlers; show, drain, weight or drop one",
     "show ID            all that is known of one\n"
     "drain ID [--wait]  no new connections; its own move, one by one and in order; then it is told to leave\n"
     "undrain ID         it gets new connections again, unless its drain is over\n"
     "weight ID NUMBER   its share of new connections, 1 to 1000\n"
     "drop ID            out with it: its connections move at once. If its process lives, it registers again",
     cmd_handlers, 0, 3},
    {"move", "ID HANDLER", "Give a connection to another handler", NULL, cmd_move, 2, 2},
    {"routes", "", "The routes", NULL, cmd_routes, 0, 0},
    {"groups", "[NAME]", "The groups, users or tags, or the members of one", NULL, cmd_groups, 0, 1},
    {"log", "[VERB]", "Show or set logging levels; reopen the access log",
     "set MODULE=LEVEL   --for TIME: and back again after this time\n"
     "reopen             open the access log's file anew, after it was moved away\n"
     "MODULE: gate, http, ws, bus, link, admin, handler, all; or handler:ID for the process of a handler.\n"
     "LEVEL: debug, info, wslog, warn, error.",
     cmd_log, 0, 2},
    {"tap", "[ID]", "Watch messages live, one line each; Ctrl-C ends", NULL, cmd_tap, 0, 1},
    {"connect", "URL", "A WebSocket client: lines are messages; needs no gate",
     "ws://HOST[:PORT]/PATH or wss://... Each line of standard input is sent as a text, but for\n"
     "/text TEXT           the same\n"
     "/binary HEX          bytes\n"
     "/ping [TEXT]         and how long the pong takes\n"
     "/close [CODE [WHY]]  and end\n"
     "//...                a text that begins with a slash\n"
     "Texts are printed as they come, binary messages in hexadecimal; --json prints an object a line.\n"
     "Exit status 5: the server closed with another code than 1000, 1001 and 1005 (none).",
     cmd_connect, 1, 1},
    {"dead-letters", "", "Events that were set aside: no handler got done with them", NULL, cmd_dead_letters, 0, 0},
    {"dial", "[URL | VERB]", "What the gate connects to as a client; one more, or one less",
     "URL          connect to it for --route, again and again, until the gate ends or it is stopped; prints its name\n"
     "list         all of them, and how it goes; also without an argument\n"
     "stop NAME    close its connection with 1000 and attempt no other\n"
     "start NAME   one of the configuration that was stopped",
     cmd_dial, 0, 2},
    {"token", "VERB", "Make keys and tokens, and check tokens; needs no gate",
     "new FILE      a key set with a new random key\n"
     "make          a token, signed with a symmetric key of --keys\n"
     "check TOKEN   whether it is good, and what it claims",
     cmd_token, 1, 2},
    {"stats", "", "All counters", NULL, cmd_stats, 0, 0},
    {"tls", "[show]", "The certificates", NULL, cmd_tls, 0, 1},
    {"reload", "", "Read the files of certificates and of tokens' keys anew", NULL, cmd_tls, 0, 0},
    {"shutdown", "", "Drain the gate and stop it", NULL, cmd_shutdown, 0, 0},
    {"drain", "", "The same: no new clients, those that are here finish, then the gate ends", NULL, cmd_shutdown, 0, 0},
};

static void show_help(const struct wsc_run *run, FILE *to)
{
    struct wsb_buf text;
    wsb_buf_init(&text, 0);
    wsb_err err = wsb_buf_append_str(&text, "Usage: wsctl [-d DIR] [--json] COMMAND [OPTION]... [ARGUMENT]...\n"
                                            "Looks at a running wsgate and manages it.\n\nCommands:\n");
    for (size_t i = 0; i < WSC_COUNT(commands) && !err; i++) {
        char left[40]; /* one column: a gap in it would be taken for its end */
        (void)snprintf(left, sizeof left, "%s %s", commands[i].name, commands[i].arguments);
        err = wsb_buf_printf(&text, "  %-22s %s\n", left, commands[i].help);
    }
    if (!err)
        err =
            wsb_buf_append_str(&text, "  help [COMMAND]         This text, or a command's\n"
                                      "  -V, --version          The version\n\n"
                                      "wsctl COMMAND --help tells a command's options. The runtime directory is\n"
                                      "--runtime-dir, else $WSBUS_DIR, else /run/wsbus, else $XDG_RUNTIME_DIR/wsbus,\n"
                                      "else /tmp/wsbus-<uid>.\n\n"
                                      "Exit status: 0 done; 1 the gate said no, or nothing was found; 2 wrong usage;\n"
                                      "3 no gate can be reached; 4 it did not answer in time; 5 connect: the server\n"
                                      "closed with another code than 1000, 1001 and 1005.\n");
    if (!err)
        err = wsc_wrap_help(&text);
    if (!err)
        to == stdout ? wsc_print_whole(run, "help", wsb_buf_span(&text)) : (void)fwrite(text.data, 1, text.len, to);
    wsb_buf_deinit(&text);
}

static const struct wsc_command *find(const char *name)
{
    for (size_t i = 0; i < WSC_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

static bool is_json_flag(const char *arg)
{
    return strcmp(arg, "--json") == 0 || strcmp(arg, "-j") == 0;
}

static int help(const struct wsc_run *from, int argc, char **argv)
{
    static char flag[] = "--help";
    for (; argc && is_json_flag(argv[0]); argc--)
        argv++;
    char *args[] = {flag};
    struct wsc_run run = {.command = argc ? find(argv[0]) : NULL,
                          .argc = 1,
                          .argv = args,
                          .timeout_ms = TIMEOUT_DEFAULT_MS,
                          .json = from->asks_json,
                          .asks_json = from->asks_json};
    if (argc && run.command)
        return run.command->fn(&run);
    if (argc)
        return wsc_complain(from, WSC_USAGE, "no command '%.40s'; see wsctl --help", argv[0]);
    show_help(from, stdout);
    return WSC_OK;
}

/* --runtime-dir DIR or one of its other names, at argv[*at]; *at moves to its last word. NULL: something else, or DIR is missing. */
static const char *runtime_dir_at(int argc, char **argv, int *at)
{
    static const char *const names[] = {"--runtime-dir", "--dir", "--bus", "-d"};
    const char *arg = argv[*at];
    for (size_t i = 0; i < WSC_COUNT(names); i++) {
        size_t len = strlen(names[i]);
        if (strncmp(arg, names[i], len) != 0)
            continue;
        if (!arg[len] && *at + 1 < argc)
            return argv[++*at];
        if (arg[len] == '=' && names[i][1] == '-')
            return arg + len + 1;
    }
    return NULL;
}

/* Return the option in front of the command that a misspelled one is like; NULL: none. */
static const char *nearest_option(const char *arg)
{
    static const char *const names[] = {"runtime-dir", "json", "help", "version"};
    struct wsb_near near = wsb_near_to(arg + 2, strcspn(arg + 2, "="));
    for (size_t i = 0; i < WSC_COUNT(names); i++)
        wsb_near_offer(&near, names[i]);
    return near.found;
}

static int refuse_option(const struct wsc_run *run, const char *arg)
{
    const char *near = arg[1] == '-' ? nearest_option(arg) : NULL;
    return near ? wsc_complain(run, WSC_USAGE, "unknown option %.60s; did you mean --%s?", arg, near)
                : wsc_complain(run, WSC_USAGE, "unknown option %.60s; see wsctl --help", arg);
}

/* Also where something in front of it, or behind it, is wrong. What follows "--" is no option. */
static bool asks_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_json_flag(argv[i]))
            return true;
    }
    return false;
}

static void show_version(const struct wsc_run *run)
{
    if (run->asks_json)
        wsc_print_whole(run, "version", wsb_span_str(WSBUS_VERSION));
    else
        (void)puts("wsctl " WSBUS_VERSION);
}

static int run_command(int argc, char **argv)
{
    struct wsc_run run = {.timeout_ms = TIMEOUT_DEFAULT_MS, .asks_json = asks_json(argc, argv)};
    const char *dir;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) { /* the few options that may stand before the command */
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return help(&run, 0, NULL);
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            show_version(&run);
            return WSC_OK;
        }
        if (is_json_flag(argv[i]))
            run.json = true;
        else if ((dir = runtime_dir_at(argc, argv, &i)) != NULL)
            run.dir = dir;
        else
            return refuse_option(&run, argv[i]);
    }
    if (i == argc) {
        if (run.asks_json)
            return wsc_complain(&run, WSC_USAGE, "a command is missing; see wsctl --help");
        show_help(&run, stderr);
        return WSC_USAGE;
    }
    if (strcmp(argv[i], "help") == 0)
        return help(&run, argc - i - 1, argv + i + 1);
    run.command = find(argv[i]);
    if (!run.command)
        return wsc_complain(&run, WSC_USAGE, "no command '%.40s'; see wsctl --help", argv[i]);
    run.argc = argc - i - 1;
    run.argv = argv + i + 1;
    int status = run.command->fn(&run);
    wsc_client_close(run.client);
    return status;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN); /* `wsctl list | head` is an ordinary end */
    int status = run_command(argc, argv);
    if (fflush(stdout) != 0 && errno != EPIPE) {
        (void)fprintf(stderr, "wsctl: cannot write: %s\n", strerror(errno));
        return status ? status : WSC_NO;
    }
    return status;
}
