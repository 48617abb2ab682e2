/*
 * wsgate: reads what it is told, builds the gate and its control socket, runs until a signal says to end. Exit status: 0
 * after an orderly end, and of -t when the configuration is good; 1 when it could not start or run; 2 when what it was told is wrong.
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <sys/epoll.h>

#include "admin/admin.h"
#include "admin/metrics.h"
#include "base/journal.h"
#include "base/log.h"
#include "base/wrap.h"
#include "bus/json_memory.h"
#include "config/cli.h"
#include "config/value.h"
#include "gate/gate.h"
#include "service/manager.h"

enum {
    RESERVED_DESCRIPTORS = 256, /* the gate's own */
    PEER_DESCRIPTORS = 4,       /* of a peer of the bus: three endpoints, and a handler's process */
    LINK_DESCRIPTORS = 4,       /* of a link over shared memory: its socket and its process, and a bell each way */
    MMAP_BYTES = 32 << 20,
    TRIM_BYTES = 64 << 20,
    TOP_PAD_BYTES = 256 << 10
};

struct signals {
    struct wsg_watch watch;
    struct wsg_gate *gate; /* borrowed */
};

/* What comes of it is in the log. */
static void reload(struct wsg_gate *gate)
{
    struct wsb_fault fault = {0};
    (void)!wsg_gate_reload(gate, &fault);
}

static void reopen_log(struct wsg_gate *gate)
{
    struct wsb_fault fault = {0};
    if (wsg_gate_reopen_log(gate, &fault) == WSB_ERR_NOT_FOUND)
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "nothing to reopen", WSB_KS("why", fault.text));
}

static void on_signal(struct wsg_watch *w, uint32_t events)
{
    struct signals *s = (struct signals *)(void *)w; /* the watch is its first member */
    struct signalfd_siginfo info;
    (void)events;
    while (read(w->fd, &info, sizeof info) == sizeof info) {
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "signal", WSB_KU("number", info.ssi_signo),
                WSB_KI("from_pid", info.ssi_pid));
        if (info.ssi_signo == SIGHUP)
            reload(s->gate);
        else if (info.ssi_signo == SIGUSR1)
            reopen_log(s->gate);
        else
            wsg_gate_signal_drain(s->gate);
    }
}

/* Before there are threads: those of libraries begin with the mask of whoever starts them, and block signals only then. */
static void block_signals(sigset_t *ret)
{
    sigemptyset(ret);
    sigaddset(ret, SIGTERM);
    sigaddset(ret, SIGINT);
    sigaddset(ret, SIGHUP);
    sigaddset(ret, SIGUSR1);
    (void)sigprocmask(SIG_BLOCK, ret, NULL);
}

/* Signals become bytes on a descriptor of the first worker's loop. */
static wsb_err watch_signals(struct signals *s, const sigset_t *set, struct wsg_gate *gate)
{
    s->gate = gate;
    s->watch = (struct wsg_watch){.fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC), .fn = on_signal};
    if (s->watch.fd < 0)
        return WSB_ERR_IO;
    return wsg_loop_watch(wsg_gate_loop(gate), &s->watch, EPOLLIN);
}

/* Before there is a log, and after it. */
static void say(enum wsb_level level, const char *what, const char *text)
{
    (void)fprintf(stderr, "%swsgate: %s%s\n", wsb_is_journal(STDERR_FILENO) ? wsb_journal_prefix(level) : "", what,
                  text);
}

static int complain(const struct wsb_fault *fault, int status)
{
    say(WSB_LOG_ERROR, "", fault->text);
    return status;
}

/* Everything that is wrong, a line each. */
static int complain_of_all(const struct wsg_faults *all)
{
    char more[80];
    for (size_t i = 0; i < all->count; i++)
        say(WSB_LOG_ERROR, "", all->at[i].text);
    (void)snprintf(more, sizeof more, "and %zu more", all->left_out);
    if (all->left_out)
        say(WSB_LOG_ERROR, "", more);
    return all->count ? 2 : 0;
}

static void warn(const char *text)
{
    say(WSB_LOG_WARN, "warning: ", text);
}

/* Raise the limit as far as it may be raised. Return what it is now. */
static rlim_t raise_limit(struct rlimit limit, rlim_t want)
{
    if (limit.rlim_cur >= want)
        return limit.rlim_cur;
    bool may_be_raised = limit.rlim_max != RLIM_INFINITY && limit.rlim_max < want &&
                         setrlimit(RLIMIT_NOFILE, &(struct rlimit){want, want}) == 0; /* privileged: both limits */
    limit.rlim_cur = may_be_raised || limit.rlim_max == RLIM_INFINITY || want < limit.rlim_max ? want : limit.rlim_max;
    if (!may_be_raised)
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

/* What some who want so many get where there are too few: an eighth of all, or a part of the reserve. */
static rlim_t share_of(rlim_t want, rlim_t have, rlim_t part)
{
    rlim_t most = have / 8 > part ? have / 8 : part;
    return want < most ? want : most;
}

/*
 * Each connection is a descriptor, and so is each peer of the bus: take as many as we may have. Where those are too few, connections
 * get what is beyond a reserve for workers, the control socket, files and the log, and handlers an eighth by each link, or a part of that
 * reserve: whoever connects, to whatever, must not keep out the others.
 */
static void share_descriptors(struct wsg_config *c)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    rlim_t zmq = (rlim_t)PEER_DESCRIPTORS * c->zmq_peers, shm = c->shm ? (rlim_t)LINK_DESCRIPTORS * c->shm_handlers : 0;
    rlim_t want = c->max_connections + RESERVED_DESCRIPTORS + zmq + shm, have = raise_limit(limit, want);
    if (have >= want)
        return;
    rlim_t reserve = have / 2 < RESERVED_DESCRIPTORS ? have / 2 : RESERVED_DESCRIPTORS;
    rlim_t zmq_part = reserve / 3, shm_part = reserve / 4, own = reserve - zmq_part - shm_part;
    zmq = share_of(zmq, have, zmq_part);
    shm = share_of(shm, have, shm_part);
    rlim_t left = have - own - zmq - shm;
    if (left > c->max_connections) {
        zmq += left - c->max_connections;
        left = c->max_connections;
    }
    c->bus_descriptors = zmq;
    if (c->shm)
        c->shm_handlers = (uint32_t)(shm / LINK_DESCRIPTORS);
    if (left < c->max_connections)
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "fewer connections than configured: the limit of descriptors is too low",
                WSB_KU("descriptors", have), WSB_KU("configured", c->max_connections), WSB_KU("connections", left),
                WSB_KU("zmq", zmq), WSB_KU("shm_handlers", c->shm_handlers));
    c->max_connections = left;
}

static void announce(struct wsg_gate *gate, const struct wsg_config *config)
{
    if (!wsg_config_serves_clients(config))
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_WARN, "nothing to serve",
                WSB_KS("why", "there is no route with a path and no static directory, and each request gets 404"),
                WSB_KS("help", WSG_CONFIG_SERVE_HINT));
    for (size_t i = 0; i < wsg_gate_listener_count(gate); i++)
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "listening", WSB_KS("address", wsg_gate_listener(gate, i)));
    for (int c = 0; c < WSB_CHANNELS; c++) {
        const char *endpoint = wsb_server_endpoint(wsg_gate_hub(gate)->server, (enum wsb_channel)c);
        if (endpoint)
            WSB_LOG(WSB_LOG_LINK, WSB_LOG_INFO, "bus on tcp", WSB_KS("channel", wsb_channel_name((enum wsb_channel)c)),
                    WSB_KS("endpoint", endpoint),
                    WSB_KS("server_key", wsg_gate_bus_key(gate) ? wsg_gate_bus_key(gate) : "none"));
    }
    WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "ready", WSB_KS("version", WSBUS_VERSION),
            WSB_KS("runtime_dir", wsg_gate_dir(gate)), WSB_KU("workers", wsg_gate_worker_count(gate)),
            WSB_KI("pid", getpid()));
}

static int help(void)
{
    struct wsb_buf text;
    wsb_buf_init(&text, 0);
    wsb_err err = wsb_wrap_lines(&text, wsg_cli_help(), WSB_HELP_WIDTH);
    if (!err)
        (void)fwrite(text.data, 1, text.len, stdout);
    wsb_buf_deinit(&text);
    return err ? 1 : 0;
}

static int make_key(const char *path)
{
    struct wsb_fault fault = {0};
    struct wsb_key_pair pair;
    if (wsb_key_make(path, &pair, &fault) != WSB_OK)
        return complain(&fault, 1);
    (void)puts(pair.public_key);
    wsb_key_pair_wipe(&pair);
    return 0;
}

static wsb_err open_log(const struct wsg_config *config)
{
    wsb_err err = wsb_log_open(STDERR_FILENO, config->log_format, config->log_level, wsb_is_journal(STDERR_FILENO));
    for (int i = 0; !err && i < WSB_LOG_MODULES; i++) {
        if (config->module_levels[i] >= 0)
            wsb_log_set_level((enum wsb_log_module)i, (enum wsb_level)config->module_levels[i]);
    }
    return err;
}

/* First of all, while the descriptors that were passed are the only ones. */
static wsb_err open_manager(struct wsg_manager *manager, struct wsb_fault *fault)
{
    struct wsg_manager_env env;
    wsg_manager_env_read(&env);
    wsb_err err = wsg_manager_open(manager, &env, getpid(), WSG_PASSED_FIRST_FD, fault);
    wsg_manager_env_clear();
    return err;
}

static int run(struct wsg_config *config)
{
    struct wsb_fault fault = {0};
    struct wsg_manager manager;
    struct wsg_gate *gate = NULL;
    struct wsg_admin *admin = NULL;
    struct wsg_metrics *metrics = NULL;
    struct signals signals = {.watch.fd = -1};
    sigset_t signal_set;
    int status = 1;
    if (open_manager(&manager, &fault) != WSB_OK)
        return complain(&fault, 1);
    block_signals(&signal_set);
    (void)signal(SIGPIPE, SIG_IGN); /* a client that left is an error of its own write, not our end */
    if (open_log(config) != WSB_OK) {
        say(WSB_LOG_ERROR, "", "cannot start the log");
        wsg_manager_close(&manager);
        return 1;
    }
    share_descriptors(config);
    if (wsg_gate_new(config, &manager, &gate, &fault) != WSB_OK || wsg_admin_new(gate, &admin, &fault) != WSB_OK)
        goto out;
    if (config->metrics && wsg_metrics_new(gate, &metrics, &fault) != WSB_OK)
        goto out;
    if (watch_signals(&signals, &signal_set, gate) != WSB_OK) {
        (void)wsb_fault_set(&fault, WSB_ERR_IO, 0, "cannot watch for signals");
        goto out;
    }
    if (metrics) {
        WSB_LOG(WSB_LOG_ADMIN, WSB_LOG_INFO, "metrics", WSB_KS("at", wsg_metrics_address(metrics)),
                WSB_KS("token", config->metrics_token ? "yes" : "no"));
        if (!wsg_value_is_near(config->metrics))
            WSB_LOG(WSB_LOG_ADMIN, WSB_LOG_WARN, "metrics are open to other machines",
                    WSB_KS("at", wsg_metrics_address(metrics)), WSB_KS("token", config->metrics_token ? "yes" : "no"));
    }
    announce(gate, config);
    if (wsg_gate_run(gate, &fault) == WSB_OK)
        status = 0;
out:
    wsg_metrics_free(metrics);
    wsg_admin_free(admin);
    if (signals.watch.fd >= 0) {
        wsg_loop_unwatch(wsg_gate_loop(gate), &signals.watch);
        close(signals.watch.fd);
    }
    wsg_gate_free(gate);
    wsg_manager_close(&manager);
    if (status == 0)
        WSB_LOG(WSB_LOG_GATE, WSB_LOG_INFO, "stopped");
    wsb_log_close();
    return status ? complain(&fault, status) : 0;
}

int main(int argc, char **argv)
{
    struct wsg_config config;
    struct wsg_faults faults = {0};
    enum wsg_action action;
    int status = 0;
    /* Large messages come and go all the time: do not give their memory back to the system, and take it again, page by page, each
     * time. To say one of these keeps the C library from learning the first by itself. */
    (void)mallopt(M_MMAP_THRESHOLD, MMAP_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, TRIM_BYTES);
    (void)mallopt(M_TOP_PAD, TOP_PAD_BYTES);
    wsg_json_memory_install();
    wsg_config_init(&config);
    bool is_good = wsg_config_from_args(argc, argv, &config, &action, &faults) == WSB_OK;
    if (action == WSG_ACTION_CHECK || action == WSG_ACTION_RUN)
        wsg_gate_check(&config, action == WSG_ACTION_CHECK ? warn : NULL, &faults);
    status = complain_of_all(&faults);
    if (!is_good || status)
        goto out;
    switch (action) {
    case WSG_ACTION_HELP:
        status = help();
        break;
    case WSG_ACTION_VERSION:
        (void)puts("wsgate " WSBUS_VERSION);
        break;
    case WSG_ACTION_MAKE_KEY:
        status = make_key(config.make_key);
        break;
    case WSG_ACTION_CHECK:
        (void)puts("wsgate: the configuration is good");
        break;
    case WSG_ACTION_RUN:
        status = run(&config);
        break;
    }
out:
    wsg_config_deinit(&config);
    return status;
}
