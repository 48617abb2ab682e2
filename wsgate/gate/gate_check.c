/*
 * `wsgate -t`: everything that a start would find out, without making, binding or changing anything. A part that the configuration has
 * refused already is not looked at again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/value.h"
#include "gate/gate_parts.h"

static bool may_use(const char *path, int how)
{
    return faccessat(AT_FDCWD, path, how, AT_EACCESS) == 0;
}

/* Is there a directory that `path` can be made in? */
static wsb_err check_parent(const char *path, struct wsb_fault *fault)
{
    char parent[512];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 1;
    if (len >= sizeof parent)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, ENAMETOOLONG, "%.100s...: the path is too long", path);
    (void)snprintf(parent, sizeof parent, "%.*s", (int)(len ? len : 1), slash ? path : ".");
    if (may_use(parent, W_OK | X_OK))
        return WSB_OK;
    return wsb_fault_set(fault, WSB_ERR_IO, errno, "%.150s cannot be made: directory %.100s: %s", path, parent,
                         strerror(errno));
}

static wsb_err check_unix_socket(const struct wsg_address *a, struct wsb_fault *fault)
{
    const char *path = ((const struct sockaddr_un *)&a->storage)->sun_path;
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return wsb_fault_set(fault, WSB_ERR_EXISTS, 0, "%s exists and is not a socket", path);
    return check_parent(path, fault);
}

static wsb_err check_address(const char *text, struct wsb_fault *fault)
{
    struct wsg_address a;
    if (wsg_address_passed_name(text))
        return WSB_OK;
    wsb_err err = wsg_address_parse(text, &a, fault);
    return !err && wsg_address_is_unix(&a) ? check_unix_socket(&a, fault) : err;
}

static void check_listeners(const struct wsg_config *c, struct wsg_faults *all)
{
    for (size_t i = 0; i < c->listener_count; i++) {
        struct wsb_fault fault = {0};
        if (c->listeners[i].origin.is_bad || check_address(c->listeners[i].address, &fault) == WSB_OK)
            continue;
        wsg_gate_add_fault(&c->listeners[i].origin, "--listen", NULL, &fault, all);
    }
}

static void check_statics(const struct wsg_config *c, struct wsg_faults *all)
{
    for (size_t i = 0; i < c->static_count; i++) {
        struct wsb_fault fault = {0};
        int fd;
        if (c->statics[i].origin.is_bad)
            continue;
        if (wsg_gate_open_static(&c->statics[i], &fd, &fault) == WSB_OK)
            close(fd);
        else
            wsg_gate_add_fault(&c->statics[i].origin, "--static", "directory", &fault, all);
    }
}

/* What belongs to an option outside of titled sections. */
static void note(const struct wsg_config *c, const char *option, struct wsb_fault *fault, struct wsg_faults *all)
{
    if (!fault->err)
        return;
    (void)wsg_config_blame(c, option, fault);
    (void)wsg_faults_add(all, fault);
}

/* The keys of the bus, and that the routes which they are limited to are there. */
static void check_curve(const struct wsg_config *c, struct wsg_faults *all)
{
    struct wsb_curve curve = {0};
    struct wsb_fault fault = {0};
    if (c->curve_secret)
        (void)!wsb_key_read(c->curve_secret, &curve.pair, &fault);
    note(c, "curve_secret", &fault, all);
    fault = (struct wsb_fault){0};
    if (c->curve_clients)
        (void)!wsb_key_list_load(&curve.clients, c->curve_clients, &fault);
    note(c, "curve_clients", &fault, all);
    for (size_t i = 0; i < curve.clients.route_count; i++) {
        struct wsb_span name = curve.clients.routes[i];
        bool is_there = false;
        for (size_t k = 0; k < c->route_count && !is_there; k++)
            is_there = wsb_span_eq_str(name, c->routes[k].name);
        fault = (struct wsb_fault){0};
        if (!is_there)
            (void)wsb_fault_set(&fault, WSB_ERR_CONFIG, 0, "%.100s: there is no route '%.*s'", c->curve_clients,
                                (int)name.len, (const char *)name.ptr);
        note(c, "curve_clients", &fault, all);
    }
    wsb_curve_deinit(&curve);
}

static void check_metrics(const struct wsg_config *c, bool has_places, struct wsg_faults *all)
{
    struct wsb_bearer token = {0};
    struct wsb_fault of_address = {0};
    struct wsb_fault of_token = {0};
    if (c->metrics && has_places)
        (void)!check_address(c->metrics, &of_address);
    if (c->metrics_token)
        (void)!wsb_bearer_load(&token, c->metrics_token, &of_token);
    note(c, "metrics", &of_address, all);
    note(c, "metrics_token", &of_token, all);
    wsb_bearer_wipe(&token);
}

/* root looks at what is for another user: of that he can say who it is. */
static void check_runtime_dir(const struct wsg_config *c, void (*warn)(const char *text), struct wsg_faults *all)
{
    char dir[WSB_RUNTIME_DIR_MAX], text[300];
    struct wsb_fault fault = {0};
    struct stat st;
    wsb_err err = wsb_runtime_dir_resolve(c->runtime_dir, dir, &fault);
    if (!err)
        err = wsb_runtime_dir_check(dir, &fault);
    if (!err)
        return;
    bool is_others =
        err == WSB_ERR_REFUSED && geteuid() == 0 && lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid;
    if (!is_others) {
        note(c, "runtime_dir", &fault, all);
    } else if (warn) {
        (void)snprintf(
            text, sizeof text,
            "runtime directory %s belongs to user %lu: check as that user what it may do, root may everything", dir,
            (unsigned long)st.st_uid);
        warn(text);
    }
}

static void check_access_log(const struct wsg_config *c, struct wsg_faults *all)
{
    struct wsb_fault fault = {0};
    struct stat st;
    if (!c->access_log || strcmp(c->access_log, "off") == 0)
        return;
    if (stat(c->access_log, &st) != 0)
        (void)!check_parent(c->access_log, &fault);
    else if (S_ISDIR(st.st_mode) || !may_use(c->access_log, W_OK))
        (void)wsb_fault_set(&fault, WSB_ERR_IO, errno, "%.150s: %s", c->access_log,
                            S_ISDIR(st.st_mode) ? "it is a directory" : strerror(errno));
    note(c, "access_log", &fault, all);
}

static void warn_of_nothing(const struct wsg_config *c, void (*warn)(const char *text))
{
    if (!wsg_config_serves_clients(c))
        warn("nothing to serve: there is no route with a path and no static directory, and each request gets "
             "404: " WSG_CONFIG_SERVE_HINT);
}

static void warn_of_metrics(const struct wsg_config *c, void (*warn)(const char *text))
{
    char text[300];
    if (!c->metrics || wsg_value_is_near(c->metrics))
        return;
    (void)snprintf(text, sizeof text, "metrics: '%.64s' is open to other machines%s", c->metrics,
                   c->metrics_token ? "; what they read, and the token, can be read on the way"
                                    : ", and tells whoever asks names of routes and handlers: metrics_token keeps "
                                      "others than you from them");
    warn(text);
}

void wsg_gate_check(const struct wsg_config *config, void (*warn)(const char *text), struct wsg_faults *all)
{
    struct wsg_routes routes = {0};
    struct wsg_tls_listeners tls = {0};
    size_t before = all->count;
    wsg_gate_build_routes(config, &routes, all);
    wsg_routes_deinit(&routes);
    check_curve(config, all);
    check_statics(config, all);
    wsg_tokens_check(config, all);
    check_metrics(config, warn != NULL, all);
    wsg_tls_listeners_check(&tls, config, all);
    wsg_dials_check(config, all);
    if (warn) {
        check_listeners(config, all);
        check_runtime_dir(config, warn, all);
        check_access_log(config, all);
    }
    wsg_faults_sort(all, before);
    if (warn) {
        wsg_tls_listeners_warn(&tls, config, (int64_t)time(NULL), warn);
        warn_of_metrics(config, warn);
        if (!all->count) /* else a route may be there that is wrong */
            warn_of_nothing(config, warn);
    }
    wsg_tls_listeners_deinit(&tls);
}
