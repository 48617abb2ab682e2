/* A client of the control socket: blocking, with deadlines. What the gate says is checked like anything else. */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/runtime_dir.h"

enum { LINE_MAX_BYTES = 256 << 20, READ_BYTES = 64 << 10 };

struct wsc_client {
    int fd;
    struct wsb_buf in;
    size_t searched; /* bytes of `in` without a newline */
    json_int_t last_id;
    json_t *notes; /* owned; notifications that came while an answer was waited for */
};

static volatile sig_atomic_t is_interrupted; /* a signal handler has nowhere else to say it */

static void on_interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

void wsc_client_catch_interrupts(void)
{
    struct sigaction action = {.sa_handler = on_interrupt}; /* without SA_RESTART: waits end */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool wsc_client_is_interrupted(void)
{
    return is_interrupted != 0;
}

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

wsb_err wsc_client_open(const char *dir, struct wsc_client **ret, struct wsb_fault *fault)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strncmp(dir, "tcp://", strlen("tcp://")) == 0)
        return wsb_fault_set(
            fault, WSB_ERR_CONFIG, 0,
            "%s: an address is for handlers; run wsctl on the gate's machine, with its runtime directory", dir);
    int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/control", dir);
    if (n < 0 || (size_t)n >= sizeof address.sun_path)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%s: too long a path", dir);
    struct wsc_client *c = calloc(1, sizeof *c);
    if (!c)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    c->notes = json_array();
    wsb_buf_init(&c->in, LINE_MAX_BYTES);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0 || !c->notes || connect(c->fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        int why = errno;
        wsc_client_close(c);
        if (why == ENOENT || why == ECONNREFUSED)
            return wsb_fault_set(fault, WSB_ERR_NOT_FOUND, why, "no gate is running in %s", dir);
        if (why == EACCES || why == EPERM || why == EROFS) /* by EROFS a file system refuses even root */
            return wsb_fault_set(fault, WSB_ERR_REFUSED, why, WSB_RUNTIME_DIR_DENIED, dir, "wsctl");
        return wsb_fault_set(fault, WSB_ERR_IO, why, "%s: %s", address.sun_path, strerror(why));
    }
    *ret = c;
    return WSB_OK;
}

void wsc_client_close(struct wsc_client *c)
{
    if (!c)
        return;
    if (c->fd >= 0)
        close(c->fd);
    json_decref(c->notes);
    wsb_buf_deinit(&c->in);
    free(c);
}

/* deadline -1: none. */
static wsb_err wait_for(int fd, short events, int64_t deadline_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int64_t left = deadline_ms < 0 ? -1 : deadline_ms - now_ms();
    if (is_interrupted)
        return WSB_ERR_INTERRUPTED;
    if (deadline_ms >= 0 && left < 0)
        left = 0;
    int n = poll(&p, 1, left > 1 << 30 ? 1 << 30 : (int)left);
    if (n < 0)
        return errno == EINTR ? WSB_ERR_INTERRUPTED : WSB_ERR_IO;
    return n == 0 ? WSB_ERR_TIMEOUT : WSB_OK;
}

static wsb_err write_all(struct wsc_client *c, const char *data, size_t len, int64_t deadline_ms)
{
    while (len) {
        ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return errno == EPIPE || errno == ECONNRESET ? WSB_CLOSED : WSB_ERR_IO;
        wsb_err err = wait_for(c->fd, POLLOUT, deadline_ms);
        if (err)
            return err;
    }
    return WSB_OK;
}

static wsb_err read_more(struct wsc_client *c, int64_t deadline_ms)
{
    wsb_err err = wait_for(c->fd, POLLIN, deadline_ms);
    if (!err)
        err = wsb_buf_reserve(&c->in, READ_BYTES);
    if (err)
        return err;
    ssize_t n = recv(c->fd, c->in.data + c->in.len, READ_BYTES, 0);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return WSB_CLOSED;
    if (n < 0)
        return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK ? WSB_OK : WSB_ERR_IO;
    c->in.len += (size_t)n;
    return WSB_OK;
}

/* The next line, as JSON. */
static wsb_err next_object(struct wsc_client *c, int64_t deadline_ms, json_t **ret)
{
    const uint8_t *end;
    while (!(end = c->in.len > c->searched ? memchr(c->in.data + c->searched, '\n', c->in.len - c->searched) : NULL)) {
        c->searched = c->in.len;
        wsb_err err = read_more(c, deadline_ms);
        if (err)
            return err;
    }
    size_t len = (size_t)(end - c->in.data);
    json_t *v = json_loadb((const char *)c->in.data, len, JSON_REJECT_DUPLICATES, NULL);
    wsb_buf_consume(&c->in, len + 1);
    c->searched = 0;
    if (!json_is_object(v)) {
        json_decref(v);
        return WSB_ERR_PROTO;
    }
    *ret = v;
    return WSB_OK;
}

static wsb_err send_request(struct wsc_client *c, const char *method, json_t *params, int64_t deadline_ms)
{
    json_t *request = json_pack("{s:s, s:I, s:s}", "jsonrpc", "2.0", "id", ++c->last_id, "method", method);
    wsb_err err = WSB_ERR_NOMEM;
    char *line = NULL;
    if (request && (!params || json_object_set(request, "params", params) == 0))
        line = json_dumps(request, JSON_COMPACT);
    if (line) {
        size_t len = strlen(line);
        line[len] = '\n'; /* its NUL is not sent */
        err = write_all(c, line, len + 1, deadline_ms);
    }
    free(line);
    json_decref(request);
    json_decref(params);
    return err;
}

static void take_error(const json_t *error, struct wsc_error *ret)
{
    const char *text = json_string_value(json_object_get(error, "message"));
    ret->code = (int)json_integer_value(json_object_get(error, "code"));
    (void)snprintf(ret->text, sizeof ret->text, "%s", text ? text : "an error without words");
}

wsb_err wsc_client_call(struct wsc_client *c, const char *method, json_t *params, int timeout_ms, json_t **ret_result,
                        struct wsc_error *ret_error)
{
    int64_t deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    wsb_err err = send_request(c, method, params, deadline_ms);
    if (err && err != WSB_CLOSED) /* a gate that refused us said why before it closed */
        return err;
    for (;;) {
        json_t *v;
        err = next_object(c, deadline_ms, &v);
        if (err)
            return err;
        const json_t *id = json_object_get(v, "id");
        json_t *result = json_object_get(v, "result");
        const json_t *error = json_object_get(v, "error");
        if (!id && json_object_get(v, "method")) {
            err = json_array_append(c->notes, v) == 0 ? WSB_OK : WSB_ERR_NOMEM;
        } else if (error && (json_is_null(id) || json_integer_value(id) == c->last_id)) {
            take_error(error, ret_error);
            err = WSB_ERR_REFUSED;
        } else if (result && json_is_integer(id) && json_integer_value(id) == c->last_id) {
            *ret_result = json_incref(result);
            json_decref(v);
            return WSB_OK;
        } /* else the answer to a question that timed out */
        json_decref(v);
        if (err)
            return err;
    }
}

wsb_err wsc_client_next(struct wsc_client *c, int timeout_ms, json_t **ret_notification)
{
    int64_t deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    if (json_array_size(c->notes)) {
        *ret_notification = json_incref(json_array_get(c->notes, 0));
        (void)json_array_remove(c->notes, 0);
        return WSB_OK;
    }
    for (;;) {
        json_t *v;
        wsb_err err = next_object(c, deadline_ms, &v);
        if (err)
            return err;
        if (json_object_get(v, "method")) {
            *ret_notification = v;
            return WSB_OK;
        }
        json_decref(v);
    }
}
