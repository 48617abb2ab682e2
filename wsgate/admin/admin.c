/*
 * The control socket and its clients. A client is read only while it takes what it is told; what it sends beyond that
 * waits in its own socket. Nothing is freed in a dispatch: drop() takes a client out of everything, a deferred task frees
 * it. Everything a client began ends with it, however it ended.
 */
#include "admin/admin.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "admin/parts.h"
#include "base/log.h"

enum { READ_BYTES = 64 << 10, FLUSH_BYTES = 256 << 10, LINES_PER_ROUND = 64, GROUPS_MAX = 1024 };

#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ------------------------------------------------------------------ dropping */

static void on_free_task(struct wsg_task *t)
{
    struct wsg_admin_client *c = CONTAINER(t, struct wsg_admin_client, task);
    wsb_buf_deinit(&c->in);
    wsb_buf_deinit(&c->out);
    free(c);
}

static void drop(struct wsg_admin_client *c)
{
    struct wsg_admin *a = c->admin;
    if (c->is_dead)
        return;
    c->is_dead = true;
    wsg_taps_forget(c);
    wsg_orders_forget(c);
    wsg_scans_forget(c);
    wsg_namings_forget(c);
    wsg_loop_unwatch(a->loop, &c->watch);
    close(c->watch.fd);
    DL_DELETE(a->clients, c);
    a->client_count--;
    if (c->task_posted)
        return; /* the task is under way and frees it */
    c->task.fn = on_free_task;
    wsg_loop_defer(a->loop, &c->task);
}

/* ------------------------------------------------------------------- writing */

size_t wsg_client_waiting(const struct wsg_admin_client *c)
{
    return c->out.len - c->written;
}

static bool is_listened_to(const struct wsg_admin_client *c)
{
    return !c->has_ended && !c->wait_for_all && c->orders < WSG_ADMIN_ORDERS_MAX &&
           wsg_client_waiting(c) <= WSG_ADMIN_OUT_MAX;
}

/* What epoll waits for follows from the state, here and nowhere else. */
static void rewatch(struct wsg_admin_client *c)
{
    uint32_t events = c->out.len ? (uint32_t)EPOLLOUT : 0u;
    if (!c->is_dead)
        wsg_loop_rewatch(c->admin->loop, &c->watch, is_listened_to(c) ? events | EPOLLIN : events);
}

static void on_lines_task(struct wsg_task *t);

void wsg_client_goes_on(struct wsg_admin_client *c)
{
    if (c->is_dead || c->task_posted)
        return;
    c->task_posted = true;
    c->task.fn = on_lines_task;
    wsg_loop_post(c->admin->loop, &c->task);
}

/* Lines are put in the middle of walks over clients and taps, so a client that cannot be written to is not dropped here. */
static void fail(struct wsg_admin_client *c)
{
    c->has_failed = true;
    wsg_client_goes_on(c);
}

/* Some of it: a client that reads as fast as it is written to must not keep the loop. The kernel tells when more may be written. */
static void flush(struct wsg_admin_client *c)
{
    size_t until = c->out.len - c->written < FLUSH_BYTES ? c->out.len : c->written + FLUSH_BYTES;
    while (!c->has_failed && c->written < until) {
        ssize_t n = send(c->watch.fd, c->out.data + c->written, until - c->written, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0) {
            fail(c);
            return;
        }
        c->written += (size_t)n;
    }
    if (c->written == c->out.len && c->out.cap > READ_BYTES) {
        wsb_buf_deinit(&c->out); /* a large answer's memory is not kept */
        c->written = 0;
    } else if (c->written >= c->out.len / 2) { /* each byte is moved once at most, however long the answer */
        wsb_buf_consume(&c->out, c->written);
        c->written = 0;
    }
}

static bool is_done(const struct wsg_admin_client *c)
{
    return c->has_ended && !c->out.len && !c->orders && !c->taps && !c->wait_for_all;
}

/* As wsg_client_put(), and without a copy where nothing waits in front of it; `line` has other memory then, and other bytes. */
static void give(struct wsg_admin_client *c, struct wsb_buf *line)
{
    if (c->is_dead || c->has_failed || c->out.len) {
        wsg_client_put(c, wsb_buf_span(line));
        return;
    }
    struct wsb_buf empty = c->out;
    c->out = *line;
    *line = empty;
    flush(c);
    rewatch(c);
}

void wsg_client_put(struct wsg_admin_client *c, struct wsb_span line)
{
    bool was_empty = c->out.len == 0;
    if (c->is_dead || c->has_failed)
        return;
    if (wsb_buf_append(&c->out, line.ptr, line.len) != WSB_OK) {
        fail(c); /* it would wait for this line for ever */
        return;
    }
    if (was_empty)
        flush(c);
    rewatch(c);
}

bool wsg_client_offer(struct wsg_admin_client *c, struct wsb_span line)
{
    if (c->is_dead || c->has_failed || wsg_client_waiting(c) + line.len > WSG_ADMIN_OUT_MAX)
        return false;
    wsg_client_put(c, line);
    return true;
}

/* ------------------------------------------------------------------- answers */

struct wsb_json *wsg_answer_begin(struct wsg_admin *a, const char *id, struct wsb_json *j)
{
    wsb_buf_clear(&a->scratch);
    wsg_rpc_result_begin(j, &a->scratch, id);
    return j;
}

void wsg_answer_end(struct wsg_admin_client *c, const char *id, struct wsb_json *j)
{
    if (wsg_rpc_end(j) != WSB_OK)
        wsg_answer_error(c, id, WSG_RPC_INTERNAL, "out of memory");
    else if (*id)
        give(c, j->out);
}

void wsg_answer_error(struct wsg_admin_client *c, const char *id, enum wsg_rpc_code code, const char *format, ...)
{
    char text[400];
    struct wsb_buf line;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    c->admin->stats.bad_requests++;
    if (!*id)
        return;
    wsb_buf_init(&line, 0);
    if (wsg_rpc_error_write(&line, id, code, text) == WSB_OK)
        wsg_client_put(c, wsb_buf_span(&line));
    else
        fail(c);
    wsb_buf_deinit(&line);
}

void wsg_answer_ok(const struct wsg_call *call)
{
    struct wsb_json j;
    wsg_answer_begin(call->admin, call->id, &j);
    wsb_json_object(&j);
    wsb_json_object_end(&j);
    wsg_answer_end(call->client, call->id, &j);
}

/* ------------------------------------------------------------------- reading */

static void on_line(struct wsg_admin_client *c, struct wsb_span line)
{
    struct wsg_rpc_request r;
    struct wsg_rpc_error error;
    struct wsb_fault fault = {0};
    c->admin->stats.requests++;
    if (wsg_rpc_parse(line, &r, &error) != WSB_OK) {
        wsg_answer_error(c, r.id, error.code, "%s", error.fault.text);
    } else {
        const struct wsg_method *m = wsg_method_find(r.method);
        struct wsg_call call = {.admin = c->admin, .client = c, .id = r.id, .method = r.method, .params = r.params};
        if (!m)
            wsg_answer_error(c, r.id, WSG_RPC_METHOD, "no method \"%s\"", r.method);
        else if (wsg_params_check(r.params, m->params, &fault) != WSB_OK)
            wsg_answer_error(c, r.id, WSG_RPC_PARAMS, "%s", fault.text);
        else
            m->fn(&call);
    }
    wsg_rpc_request_deinit(&r);
}

/* Whole lines out of what came. The rest of a budget's worth is left for the next round. */
static void take_lines(struct wsg_admin_client *c)
{
    size_t at = 0;
    int budget = LINES_PER_ROUND;
    if (c->has_failed) {
        drop(c);
        return;
    }
    while (!c->has_failed && (is_listened_to(c) || c->has_ended) && budget) {
        const uint8_t *begin = c->in.data + at;
        const uint8_t *end = c->in.len > at ? memchr(begin, '\n', c->in.len - at) : NULL;
        if (!end || c->wait_for_all || c->orders >= WSG_ADMIN_ORDERS_MAX || wsg_client_waiting(c) > WSG_ADMIN_OUT_MAX)
            break;
        size_t len = (size_t)(end - begin);
        at += len + 1;
        if (len && begin[len - 1] == '\r')
            len--;
        if (len) {
            on_line(c, wsb_span(begin, len));
            budget--;
        }
    }
    wsb_buf_consume(&c->in, at);
    if (c->in.len > WSG_RPC_LINE_MAX && !memchr(c->in.data, '\n', c->in.len)) {
        wsg_answer_error(c, "null", WSG_RPC_REQUEST, "a request has at most %d bytes", WSG_RPC_LINE_MAX);
        c->has_ended = true; /* where the next one begins cannot be told */
        wsb_buf_deinit(&c->in);
    }
    if (!budget)
        wsg_client_goes_on(c);
    if (c->in.len == 0)
        wsb_buf_deinit(&c->in);
    rewatch(c);
    if (!c->task_posted && is_done(c) && !c->in.len)
        drop(c);
}

static void on_lines_task(struct wsg_task *t)
{
    struct wsg_admin_client *c = CONTAINER(t, struct wsg_admin_client, task);
    c->task_posted = false;
    if (c->is_dead)
        on_free_task(t);
    else
        take_lines(c);
}

static void on_readable(struct wsg_admin_client *c)
{
    size_t len;
    if (wsb_buf_reserve(&c->in, READ_BYTES) != WSB_OK) {
        drop(c);
        return;
    }
    wsb_err err = wsg_socket_read(c->watch.fd, c->in.data + c->in.len, READ_BYTES, &len);
    if (err == WSB_AGAIN)
        return;
    if (err == WSB_OK) {
        c->in.len += len;
    } else if (err == WSB_CLOSED) { /* it may have closed one direction only, and still want its answers */
        c->has_ended = true;
        if (c->in.len && wsb_buf_append(&c->in, "\n", 1) != WSB_OK)
            c->in.len = 0;
    } else {
        drop(c);
        return;
    }
    take_lines(c);
}

static void on_client(struct wsg_watch *w, uint32_t events)
{
    struct wsg_admin_client *c = CONTAINER(w, struct wsg_admin_client, watch);
    if (events & EPOLLOUT) {
        flush(c);
        wsg_taps_tell_losses(c);
        take_lines(c);
    }
    if (c->is_dead || (c->task_posted && is_listened_to(c)))
        return; /* lines are left from before: who sends them faster than they are carried out waits in his socket */
    if ((events & EPOLLIN) && is_listened_to(c))
        on_readable(c);
    else if (events & (EPOLLHUP | EPOLLERR))
        drop(c); /* nobody is there to take an answer */
}

/* ----------------------------------------------------------------- accepting */

static bool has_group(int fd, const struct ucred *cred, gid_t wanted)
{
    gid_t groups[GROUPS_MAX];
    socklen_t len = sizeof groups;
    if (cred->gid == wanted)
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0)
        return false;
    for (size_t i = 0; i < len / sizeof *groups; i++) {
        if (groups[i] == wanted)
            return true;
    }
    return false;
}

/* The file's mode says the same, but whoever got hold of a descriptor, or a wider directory, is asked again here. */
static bool is_allowed(const struct wsg_admin *a, int fd, struct ucred *ret)
{
    unsigned mode = wsg_gate_config(a->gate)->bus_mode;
    socklen_t len = sizeof *ret;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &len) != 0)
        return false;
    return ret->uid == 0 || ret->uid == geteuid() || (mode & 0002) || ((mode & 0020) && has_group(fd, ret, getegid()));
}

static void refuse(struct wsg_admin *a, int fd, enum wsg_rpc_code code, const char *why)
{
    struct wsb_buf line;
    a->stats.refused_clients++;
    wsb_buf_init(&line, 0);
    if (wsg_rpc_error_write(&line, "null", code, why) == WSB_OK)
        (void)!send(fd, line.data, line.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    wsb_buf_deinit(&line);
    close(fd);
}

static void welcome(void *ctx, int fd)
{
    struct wsg_admin *a = ctx;
    struct ucred cred = {0};
    if (!is_allowed(a, fd, &cred)) {
        WSB_LOG_FEW(&a->lines, WSB_LOG_LIMIT_LINES, wsg_loop_now_ms(a->loop), WSB_LOG_ADMIN, WSB_LOG_WARN,
                    "control connection refused", WSB_KU("uid", cred.uid), WSB_KI("pid", cred.pid));
        refuse(a, fd, WSG_RPC_REFUSED, "this user may not manage this gate");
        return;
    }
    if (a->client_count >= WSG_ADMIN_CLIENTS_MAX) {
        refuse(a, fd, WSG_RPC_BUSY, "too many connections to the control socket");
        return;
    }
    struct wsg_admin_client *c = calloc(1, sizeof *c);
    if (!c) {
        refuse(a, fd, WSG_RPC_BUSY, "out of memory");
        return;
    }
    c->admin = a;
    c->number = ++a->last_client;
    c->uid = cred.uid;
    c->pid = cred.pid;
    c->watch = (struct wsg_watch){.fd = fd, .fn = on_client};
    wsb_buf_init(&c->in, 0);
    wsb_buf_init(&c->out, 0);
    if (wsg_loop_watch(a->loop, &c->watch, EPOLLIN) != WSB_OK) {
        free(c);
        refuse(a, fd, WSG_RPC_BUSY, "out of memory");
        return;
    }
    DL_APPEND(a->clients, c);
    a->client_count++;
    a->stats.clients++;
    WSB_LOG(WSB_LOG_ADMIN, WSB_LOG_DEBUG, "control connection", WSB_KU("client", c->number), WSB_KU("uid", c->uid),
            WSB_KI("pid", c->pid));
}

/* --------------------------------------------------------------- begin, end */

static void on_reply(void *ctx, uint64_t origin, const struct wsb_envelope *e)
{
    struct wsg_admin *a = ctx;
    if (!wsg_orders_reply(a, origin, e))
        wsg_taps_reply(a, origin);
}

static void on_tap(void *ctx, const struct wsg_out *out)
{
    wsg_taps_show(ctx, out);
}

static wsb_err listen_there(struct wsg_admin *a, struct wsb_fault *fault)
{
    struct wsg_address address, bound;
    char text[sizeof a->path + sizeof "unix:"];
    int n = snprintf(a->path, sizeof a->path, "%s/control", wsg_gate_dir(a->gate));
    if (n < 0 || (size_t)n >= sizeof a->path || (size_t)n >= sizeof((struct sockaddr_un *)0)->sun_path) {
        a->path[0] = 0;
        return wsb_fault_set(fault, WSB_ERR_LIMIT, 0, "%s: too long a path for a socket", wsg_gate_dir(a->gate));
    }
    (void)snprintf(text, sizeof text, "unix:%s", a->path);
    wsb_err err = wsg_address_parse(text, &address, fault);
    if (!err)
        err = wsg_listener_open(&a->listener, &address, wsg_gate_config(a->gate)->bus_mode, &bound, fault);
    if (err) {
        if (a->listener.watch.fd < 0)
            a->path[0] = 0; /* not ours to remove */
        return err;
    }
    return WSB_OK;
}

wsb_err wsg_admin_new(struct wsg_gate *gate, struct wsg_admin **ret, struct wsb_fault *fault)
{
    struct wsg_admin *a = calloc(1, sizeof *a);
    if (!a)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    a->gate = gate;
    a->loop = wsg_gate_loop(gate);
    wsg_listener_init(&a->listener, a->loop, welcome, a);
    a->scan_task.fn = wsg_on_scan_task;
    a->names_task.fn = wsg_on_names_task;
    wsb_buf_init(&a->scratch, 0);
    wsb_err err = listen_there(a, fault);
    if (err)
        goto out;
    struct wsg_gate_listener listener = {.ctx = a, .reply = on_reply, .tap = on_tap};
    wsg_gate_set_listener(gate, &listener);
    *ret = a;
    a = NULL;
out:
    wsg_admin_free(a);
    return err;
}

void wsg_admin_free(struct wsg_admin *a)
{
    if (!a)
        return;
    struct wsg_gate_listener none = {0};
    wsg_gate_set_listener(a->gate, &none);
    struct wsg_admin_client *c, *next;
    DL_FOREACH_SAFE (a->clients, c, next) {
        c->task_posted = true; /* no task will run any more: it is freed here */
        flush(c);              /* the answer to `shutdown` */
        drop(c);
        on_free_task(&c->task);
    }
    wsg_scans_deinit(a);
    wsg_namings_deinit(a);
    wsg_levels_deinit(a);
    if (a->path[0])
        (void)unlink(a->path); /* while it is still ours */
    wsg_listener_close(&a->listener);
    wsb_buf_deinit(&a->scratch);
    free(a);
}
