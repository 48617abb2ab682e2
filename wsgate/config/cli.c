/*
 * The command line. Two walks over it: the first finds the file and what is to be done, the second applies the flags on
 * top of the file, so that their place on the line does not matter.
 */
#include "config/cli.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/flags.h"
#include "config/file.h"
#include "config/option.h"
#include "config/value.h"

/* The flags' values: letters where there is one; the options of the table come behind OPTION_BASE by their index. */
enum {
    FLAG_CONFIG = 'c',
    FLAG_TEST = 't',
    FLAG_HELP = 'h',
    FLAG_VERSION = 'V',
    FLAG_LISTEN = 256,
    FLAG_ROUTE,
    FLAG_STATIC,
    FLAG_MAKE_KEY,
    OPTION_BASE
};
enum { OPTIONS_MAX = 256, FLAGS_MAX = OPTIONS_MAX };

static const struct option own_flags[] = {
    {"config", required_argument, NULL, FLAG_CONFIG}, {"test", no_argument, NULL, FLAG_TEST},
    {"help", no_argument, NULL, FLAG_HELP},           {"version", no_argument, NULL, FLAG_VERSION},
    {"listen", required_argument, NULL, FLAG_LISTEN}, {"route", required_argument, NULL, FLAG_ROUTE},
    {"static", required_argument, NULL, FLAG_STATIC}, {"make-key", required_argument, NULL, FLAG_MAKE_KEY},
};

static void flags_fill(struct option flags[FLAGS_MAX])
{
    size_t n = sizeof own_flags / sizeof own_flags[0];
    assert(n + wsg_option_count < FLAGS_MAX);
    memcpy(flags, own_flags, sizeof own_flags);
    for (size_t i = 0; i < wsg_option_count; i++) {
        if (wsg_options[i].flag)
            flags[n++] = (struct option){wsg_options[i].flag, required_argument, NULL, OPTION_BASE + (int)i};
    }
    for (const struct wsg_synonym *s = wsg_flag_synonyms; s->word; s++) {
        size_t i = 0;
        while (strcmp(flags[i].name, s->name) != 0)
            i++;
        assert(n + 1 < FLAGS_MAX);
        flags[n++] = (struct option){s->word, flags[i].has_arg, NULL, flags[i].val};
    }
    flags[n] = (struct option){0};
}

static wsb_err nomem(struct wsb_fault *fault)
{
    return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
}

/* Cut `text` at the first `separator`: the rest begins behind it, NULL when there is none. */
static char *cut(char *text, char separator)
{
    char *at = strchr(text, separator);
    if (at)
        *at++ = 0;
    return at;
}

/* "a|b|c": one value after the other for a list; the value itself for the rest. */
static wsb_err option_set_all(const struct wsg_option *o, void *target, char *value, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    if (!wsg_option_is_list(o))
        return wsg_option_set(o, target, value, fault);
    for (char *rest; value && !err; value = rest) {
        rest = cut(value, '|');
        err = wsg_option_set(o, target, value, fault);
    }
    return err;
}

/* "key=value,key=value…" of a flag that stands for a section; NULL for none. Each key once. */
static wsb_err keys_apply(enum wsg_section section, void *target, char *text, struct wsb_fault *fault)
{
    bool seen[OPTIONS_MAX] = {false};
    wsb_err err = WSB_OK;
    for (char *rest; text && !err; text = rest) {
        rest = cut(text, ',');
        char *value = cut(text, '=');
        const struct wsg_option *o = wsg_option_find(section, text);
        if (!o) {
            char hint[WSG_OPTION_HINT];
            bool has_hint = wsg_option_flag_hint(section, text, hint);
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "unknown key '%.40s'; %s", text,
                                 has_hint ? hint : "wsgate.conf(5) lists those that are known");
        }
        if (!value)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%s: a value is missing: write %s=VALUE", o->name, o->name);
        if (seen[o - wsg_options])
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%s: it is set twice", o->name);
        seen[o - wsg_options] = true;
        err = option_set_all(o, target, value, fault);
        if (err)
            (void)wsg_fault_prefix(fault, "%s", o->name);
    }
    return err;
}

/* ADDRESS[,key=value…] */
static wsb_err listen_apply(struct wsg_config *c, char *text, struct wsb_fault *fault)
{
    struct wsg_listener_config l;
    wsg_listener_config_init(&l);
    char *keys = cut(text, ',');
    l.address = strdup(text);
    wsb_err err = l.address ? keys_apply(WSG_SECTION_LISTEN, &l, keys, fault) : nomem(fault);
    if (!err)
        err = wsg_config_add_listener(c, &l, fault);
    wsg_listener_config_deinit(&l);
    return err;
}

/* NAME=PATTERN[,key=value…] */
static wsb_err route_apply(struct wsg_config *c, char *text, struct wsb_fault *fault)
{
    struct wsg_route_config r;
    wsg_route_config_init(&r);
    char *keys = cut(text, ',');
    char *path = cut(text, '=');
    wsb_err err;
    if (!path) {
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                            "'%.60s' is not NAME=PATTERN[,key=value…]: write it like chat=/chat/{room}", text);
        goto out;
    }
    r.name = strdup(text);
    err = r.name ? wsg_value_check_name(text, fault) : nomem(fault);
    if (!err && *path) /* a route that is only asked has none */
        err = wsg_option_set(wsg_option_find(WSG_SECTION_ROUTE, "path"), &r, path, fault);
    if (!err)
        err = keys_apply(WSG_SECTION_ROUTE, &r, keys, fault);
    if (!err)
        err = wsg_config_add_route(c, &r, fault);
    if (err)
        (void)wsg_fault_prefix(fault, "'%.64s'", text);
    if (err == WSB_ERR_CONFIG && r.name) { /* others may name it */
        r.origin.is_bad = true;
        (void)!wsg_config_add_route(c, &r, NULL);
    }
out:
    wsg_route_config_deinit(&r);
    return err;
}

/* PREFIX=DIR */
static wsb_err static_apply(struct wsg_config *c, char *text, struct wsb_fault *fault)
{
    struct wsg_static_config s;
    wsg_static_config_init(&s);
    char *dir = cut(text, '=');
    wsb_err err;
    if (!dir || !*dir) {
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is not PREFIX=DIR: write it like /=/var/www", text);
        goto out;
    }
    s.prefix = strdup(text);
    s.dir = strdup(dir);
    err = s.prefix && s.dir ? wsg_config_add_static(c, &s, fault) : nomem(fault);
out:
    wsg_static_config_deinit(&s);
    return err;
}

static wsb_err part_apply(int flag, struct wsg_config *c, const char *value, struct wsb_fault *fault)
{
    char *copy = strdup(value); /* taken apart */
    if (!copy)
        return nomem(fault);
    wsb_err err;
    if (flag == FLAG_LISTEN)
        err = listen_apply(c, copy, fault);
    else if (flag == FLAG_ROUTE)
        err = route_apply(c, copy, fault);
    else
        err = static_apply(c, copy, fault);
    free(copy);
    return err;
}

static wsb_err flag_apply(int flag, const char *name, struct wsg_config *c, const char *value, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    if (flag >= OPTION_BASE) {
        c->option_lines[flag - OPTION_BASE] = -1;
        err = wsg_option_set(&wsg_options[flag - OPTION_BASE], c, value, fault);
    } else if (flag >= FLAG_LISTEN && flag <= FLAG_STATIC) {
        err = part_apply(flag, c, value, fault);
    }
    if (err)
        (void)wsg_fault_prefix(fault, "--%s", name);
    return err;
}

/* "--max-message=1KiB" is what a route's key looks like to those who know the flags. */
static bool is_key_of_part(const struct wsb_flag *flag, char hint[WSG_OPTION_HINT])
{
    char name[64];
    if (!flag->word || strncmp(flag->word, "--", 2) != 0)
        return false;
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(flag->word + 2, "="), flag->word + 2);
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : *c;
    return wsg_option_flag_hint(WSG_SECTION_TOP, name, hint);
}

static wsb_err flag_refuse(const struct wsb_flag *flag, struct wsb_fault *fault)
{
    char hint[WSG_OPTION_HINT];
    wsb_err err;
    if (flag->fault == WSB_FLAG_VALUE_MISSING)
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "a value is missing; see wsgate --help");
    else if (flag->fault == WSB_FLAG_VALUE_UNWANTED)
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "it takes no value; see wsgate --help");
    else if (is_key_of_part(flag, hint))
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "unknown flag; %s", hint);
    else if (flag->near)
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "unknown flag; did you mean '--%s'?", flag->near);
    else
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "unknown flag; see wsgate --help");
    (void)wsg_fault_prefix(fault, "%.80s", flag->word);
    return err;
}

struct walk {
    const struct option *flags;
    int argc;
    char **argv;
    struct wsg_config *config; /* borrowed; NULL: the first walk */
    const char *file;          /* borrowed from argv; NULL: none */
    const char *key_file;      /* likewise */
    enum wsg_action action;
};

static wsb_err flag_note(struct walk *w, int flag, struct wsb_fault *fault)
{
    switch (flag) {
    case FLAG_CONFIG:
        if (w->file)
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--config: '%.80s': there can be one file only", optarg);
        w->file = optarg;
        break;
    case FLAG_TEST:
        if (w->action == WSG_ACTION_RUN)
            w->action = WSG_ACTION_CHECK;
        break;
    case FLAG_VERSION:
    case FLAG_HELP:
    case FLAG_MAKE_KEY:
        if (w->action != WSG_ACTION_RUN && w->action != WSG_ACTION_CHECK) /* the first one */
            break;
        w->action = flag == FLAG_HELP      ? WSG_ACTION_HELP
                    : flag == FLAG_VERSION ? WSG_ACTION_VERSION
                                           : WSG_ACTION_MAKE_KEY;
        w->key_file = optarg;
        break;
    default:
        break;
    }
    return WSB_OK;
}

static void args_walk(struct walk *w, struct wsg_faults *all)
{
    struct wsb_flag flag;
    optind = 0; /* glibc: begin anew */
    for (;;) {
        struct wsb_fault fault = {0};
        wsb_err err = WSB_OK;
        wsb_flag_next(w->argc, w->argv, ":c:thV", w->flags, &flag);
        if (flag.answer == -1)
            break;
        if (flag.fault && !w->config)
            err = flag_refuse(&flag, &fault);
        else if (!flag.fault && !w->config)
            err = flag_note(w, flag.answer, &fault);
        else if (!flag.fault && flag.index >= 0) /* letters have been noted */
            err = flag_apply(flag.answer, w->flags[flag.index].name, w->config, optarg, &fault);
        if (err)
            (void)wsg_faults_add(all, &fault);
    }
    if (optind < w->argc && !w->config) {
        struct wsb_fault fault = {0};
        (void)wsb_fault_set(&fault, WSB_ERR_CONFIG, 0, "unexpected argument '%.80s'; see wsgate --help",
                            w->argv[optind]);
        (void)wsg_faults_add(all, &fault);
    }
}

wsb_err wsg_config_from_args(int argc, char **argv, struct wsg_config *c, enum wsg_action *ret_action,
                             struct wsg_faults *all)
{
    struct option flags[FLAGS_MAX];
    flags_fill(flags);
    struct walk w = {.flags = flags, .argc = argc, .argv = argv, .action = WSG_ACTION_RUN};
    args_walk(&w, all);
    *ret_action = w.action;
    if (w.action == WSG_ACTION_RUN || w.action == WSG_ACTION_CHECK) {
        if (w.file)
            (void)!wsg_config_read(w.file, c, all);
        w.config = c;
        args_walk(&w, all);
        (void)wsg_config_check(c, all);
    } else if (w.action == WSG_ACTION_MAKE_KEY && !all->count) {
        struct wsb_fault fault = {0};
        c->make_key = strdup(w.key_file);
        if (!c->make_key && nomem(&fault))
            (void)wsg_faults_add(all, &fault);
    }
    return wsg_faults_err(all);
}

const char *wsg_cli_help(void)
{
    return "Usage: wsgate [-c FILE] [FLAG]...\n"
           "A WebSocket and HTTP gateway on a message bus.\n"
           "\n"
           "  -c, --config FILE              read FILE first; flags win over it, and add to it\n"
           "  -t, --test                     check the configuration and exit\n"
           "  -h, --help                     this text\n"
           "  -V, --version                  the version\n"
           "      --make-key FILE            make a key for the bus on TCP: the secret one into FILE, the public one "
           "is printed\n"
           "\n"
           "What to serve (repeatable):\n"
           "      --listen ADDRESS[,key=value]...\n"
           "                                 127.0.0.1:8080, [::1]:8080, *:8080,\n"
           "                                 unix:/path,mode=0660, fd:NAME (passed by the\n"
           "                                 service manager); with TLS:\n"
           "                                 *:8443,certificates=a.pem,keys=a.key\n"
           "                                 keys: those of listen in wsgate.conf(5)\n"
           "      --route NAME=PATTERN[,key=value]...\n"
           "                                 echo=/echo\n"
           "                                 chat=/chat/{room},subprotocols=a|b\n"
           "                                 keys: those of a route in wsgate.conf(5)\n"
           "      --static PREFIX=DIR        files: /=/var/www\n"
           "\n"
           "The gate:\n"
           "      --runtime-dir DIR          where the bus and the control socket are\n"
           "      --bus-mode MODE            file mode of the bus's sockets, octal (0600)\n"
           "      --bus-handlers ENDPOINT    handlers come in on TCP as well: tcp://127.0.0.1:5555, tcp://[::1]:*\n"
           "      --bus-events ENDPOINT      the same for subscribers of events\n"
           "      --bus-commands ENDPOINT    the same for those who send commands only\n"
           "      --curve-secret FILE        the gate's key: TCP wants keys, and may be open to other machines\n"
           "      --curve-clients FILE       the public keys of those who may come in\n"
           "      --zmq-peers N              connections of each ZeroMQ endpoint (1024)\n"
           "      --shm yes|no               handlers on this host may come over shared memory (yes)\n"
           "      --shm-ring SIZE            of each of a handler's two rings (2MiB)\n"
           "      --shm-memory SIZE          of all rings together (512MiB)\n"
           "      --shm-handlers N           at most (256)\n"
           "      --shm-allow NAMES          who may, like 'alice @staff' (whoever can open the socket)\n"
           "      --metrics ADDRESS          serve /metrics, /healthz and /readyz: 127.0.0.1:9464 or unix:/path\n"
           "      --metrics-token FILE       /metrics only for who shows the token that is in the file\n"
           "      --request-id on|off        each request has an id (on)\n"
           "      --trace pass|make          make a traceparent where there is none (pass)\n"
           "      --workers N|auto           threads that serve clients, up to 64 (auto: one for each core)\n"
           "      --max-connections N        open at once (65536)\n"
           "      --max-connections-per-address N, --accept-rate N, --accept-burst N, --refuse drop|503\n"
           "                                 of one address, and how it hears of it\n"
           "      --handshake-rate N, --handshake-burst N\n"
           "                                 of WebSocket, a second, of all clients (any number)\n"
           "      --max-tls-handshakes N     under way at once (1024)\n"
           "      --max-head SIZE            of a request's head (16KiB)\n"
           "      --max-headers N            of a request (100)\n"
           "      --max-message-memory SIZE  for messages of clients that are not complete (256MiB)\n"
           "      --max-compress-memory SIZE for contexts that compressors keep (64MiB)\n"
           "\n"
           "Times, like 500ms, 10s, 5m or 1h:\n"
           "      --tls-handshake-timeout TIME\n"
           "                                 from accept to the end of a TLS handshake (10s)\n"
           "      --head-timeout TIME        for a whole request head (10s)\n"
           "      --keepalive-timeout TIME   between requests (60s)\n"
           "      --close-timeout TIME       of the closing handshake (10s)\n"
           "      --drain-delay TIME         from SIGTERM to when the listeners close (0s)\n"
           "      --drain-timeout TIME       from there to the end (10s)\n"
           "      --drain-spread TIME        over which very many clients are closed (2s)\n"
           "      --ping-interval TIME       of pings to silent WebSocket clients (45s; 0: none)\n"
           "      --ping-timeout TIME        for the answer to a ping (20s)\n"
           "\n"
           "Logs:\n"
           "      --log-level LEVEL          debug, info, wslog, warn or error (info)\n"
           "      --log MODULE=LEVEL         for gate, http, ws, bus, link, admin or handler (repeatable)\n"
           "      --log-format FORMAT        logfmt or json (logfmt)\n"
           "      --access-log FILE|off      a line for each request and each WebSocket connection (off)\n"
           "      --access-format FORMAT     combined or json (combined)\n";
}
