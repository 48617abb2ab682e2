/* Every step waits by poll() until the one deadline; whatever goes wrong says so in words where it does. */
#include "dial/dialing.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "dial/resolve.h"
#include "dial/wait.h"
#include "ws/dial.h"

enum {
    TIMEOUT_MS = 30000,
    BODY_MAX = 64 << 10,
    ATTEMPT_LEAST_MS = 250, /* for one address of several */
};

struct dialing {
    const struct wsb_open_options *o;
    struct wsb_url url;
    struct wsb_dial_request request;
    char key[WSB_DIAL_KEY_SIZE];
    struct wsb_tls_context *context; /* owned; NULL: ws:// */
    struct wsb_peer *peer;           /* borrowed */
    uint64_t until_ms;
    int stop_fd;
    bool no_body;
    struct wsb_fault fault;
};

static enum wsb_reason late(struct dialing *d, const char *what)
{
    (void)!wsb_fault_set(&d->fault, WSB_ERR_TIMEOUT, 0, "%s took too long", what);
    return WSB_REASON_TIMEOUT;
}

static enum wsb_reason stopped(struct dialing *d)
{
    (void)!wsb_fault_set(&d->fault, WSB_CLOSED, 0, "given up");
    return WSB_REASON_SIGNAL;
}

/* ----------------------------------------------------------------- the socket */

static enum wsb_reason connect_one(struct dialing *d, const struct sockaddr *address, socklen_t len, uint64_t until_ms)
{
    int failed = 0;
    wsb_err waited = WSB_OK;
    socklen_t size = sizeof failed;
    int on = 1;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, address, len) != 0)
        failed = errno;
    if (fd >= 0 && (failed == EINPROGRESS || failed == EINTR)) {
        waited = wsb_wait_fd(fd, POLLOUT, until_ms, d->stop_fd);
        if (waited)
            failed = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) != 0)
            failed = errno;
    }
    if (failed) {
        (void)!wsb_fault_set(&d->fault, WSB_ERR_IO, failed, "cannot connect to %.120s: %s",
                             d->o->unix_socket ? d->o->unix_socket : d->url.authority, strerror(failed));
        if (fd >= 0)
            (void)close(fd);
        return waited == WSB_CLOSED ? stopped(d) : WSB_REASON_IO;
    }
    if (address->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* what is to be sent is sent in one piece */
    d->peer->fd = fd;
    return WSB_REASON_OK;
}

static enum wsb_reason connect_unix(struct dialing *d)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(d->o->unix_socket);
    if (len >= sizeof a.sun_path) {
        (void)!wsb_fault_set(&d->fault, WSB_ERR_CONFIG, 0, "a socket's path has %zu bytes at most",
                             sizeof a.sun_path - 1);
        return WSB_REASON_ADDRESS;
    }
    memcpy(a.sun_path, d->o->unix_socket, len + 1);
    return connect_one(d, (struct sockaddr *)&a, sizeof a, d->until_ms);
}

/* One address after the other; each has its share of what time is left. */
static enum wsb_reason connect_tcp(struct dialing *d)
{
    struct addrinfo *found = NULL;
    size_t left = 0;
    wsb_err err = wsb_resolve(d->url.host, d->url.port, d->until_ms, d->stop_fd, &found, &d->fault);
    if (err)
        return err == WSB_ERR_TIMEOUT ? WSB_REASON_TIMEOUT
               : err == WSB_ERR_NOMEM ? WSB_REASON_NOMEM
               : err == WSB_CLOSED    ? WSB_REASON_SIGNAL
                                      : WSB_REASON_ADDRESS;
    for (const struct addrinfo *a = found; a; a = a->ai_next)
        left++;
    enum wsb_reason reason = WSB_REASON_IO;
    for (const struct addrinfo *a = found; a && reason == WSB_REASON_IO; a = a->ai_next, left--) {
        uint64_t share_ms = (uint64_t)wsb_ms_left(d->until_ms) / left;
        uint64_t until_ms = wsb_monotonic_ms() + (share_ms > ATTEMPT_LEAST_MS ? share_ms : ATTEMPT_LEAST_MS);
        reason = connect_one(d, a->ai_addr, a->ai_addrlen, until_ms < d->until_ms ? until_ms : d->until_ms);
    }
    freeaddrinfo(found);
    return reason == WSB_REASON_IO && wsb_ms_left(d->until_ms) == 0 ? WSB_REASON_TIMEOUT : reason;
}

/* ------------------------------------------------------------------------ TLS */

static enum wsb_reason tls_prepare(struct dialing *d)
{
    struct wsb_tls_client_config c = {
        .ca_file = d->o->ca_file,
        .files = {d->o->certificate, d->o->key},
        .alpn = "http/1.1",
        .insecure = d->o->insecure,
    };
    if (!d->url.is_tls)
        return WSB_REASON_OK;
    wsb_err err = wsb_tls_client_new(&c, &d->context, &d->fault);
    return err == WSB_ERR_NOMEM ? WSB_REASON_NOMEM : err ? WSB_REASON_ADDRESS : WSB_REASON_OK;
}

/* What is to be sent leaves, what has come is taken. */
static enum wsb_reason exchange(struct dialing *d, const char *what)
{
    wsb_err err = wsb_peer_flush(d->peer, &d->fault);
    short events = (short)(POLLIN | (err == WSB_AGAIN ? POLLOUT : 0));
    if (err && err != WSB_AGAIN)
        return WSB_REASON_IO;
    wsb_err waited = d->peer->has_ended ? WSB_OK : wsb_wait_fd(d->peer->fd, events, d->until_ms, d->stop_fd);
    if (waited)
        return waited == WSB_CLOSED ? stopped(d) : late(d, what);
    err = wsb_peer_fill(d->peer, &d->fault);
    if (err == WSB_CLOSED) {
        (void)!wsb_fault_set(&d->fault, WSB_ERR_IO, 0, "the server closed the connection during %s", what);
        return WSB_REASON_IO;
    }
    if (err && err != WSB_AGAIN)
        return err == WSB_ERR_NOMEM ? WSB_REASON_NOMEM : err == WSB_ERR_IO ? WSB_REASON_IO : WSB_REASON_TLS;
    return WSB_REASON_OK;
}

static enum wsb_reason tls_shake(struct dialing *d, struct wsb_open_result *result)
{
    struct wsb_tls_info info;
    wsb_err err;
    if (!d->context)
        return WSB_REASON_OK;
    if (wsb_tls_stream_new(d->context, d->url.host, &d->peer->tls, &d->fault) != WSB_OK)
        return WSB_REASON_TLS;
    while ((err = wsb_peer_shake(d->peer, &d->fault)) == WSB_MORE) {
        enum wsb_reason reason = exchange(d, "the TLS handshake");
        if (reason)
            return reason;
    }
    if (err) {
        struct wsb_fault unsaid;
        (void)!wsb_peer_flush(d->peer, &unsaid); /* our alert, for the server's log */
        return err == WSB_ERR_NOMEM ? WSB_REASON_NOMEM : WSB_REASON_TLS;
    }
    wsb_tls_stream_info(d->peer->tls, &info);
    (void)snprintf(result->tls_version, sizeof result->tls_version, "%s", info.version ? info.version : "");
    return WSB_REASON_OK;
}

/* ------------------------------------------------------------------- the body */

static bool take(struct wsb_buf *body, struct wsb_span bytes)
{
    size_t room = BODY_MAX - body->len;
    size_t len = bytes.len < room ? bytes.len : room;
    return wsb_buf_append(body, bytes.ptr, len) == WSB_OK && body->len < BODY_MAX;
}

/* Chunks that are whole; what is not is left where it is. False: there is no more to be had. */
static bool chunks_take(struct wsb_peer *p, struct wsb_buf *body, size_t *chunk_left)
{
    for (;;) {
        struct wsb_span in = wsb_peer_unread(p);
        if (*chunk_left > 2) {
            size_t len = *chunk_left - 2 < in.len ? *chunk_left - 2 : in.len;
            if (len == 0)
                return true;
            wsb_peer_use(p, len);
            *chunk_left -= len;
            if (!take(body, wsb_span(in.ptr, len)))
                return false;
            continue;
        }
        if (*chunk_left) { /* CR LF behind a chunk */
            if (in.len < 2)
                return true;
            wsb_peer_use(p, 2);
            *chunk_left = 0;
            continue;
        }
        const uint8_t *end = in.len ? memmem(in.ptr, in.len, "\r\n", 2) : NULL;
        size_t size = 0;
        size_t digits = 0;
        if (!end)
            return in.len < 64;
        for (; digits < 6 && in.ptr + digits < end; digits++) {
            uint8_t c = in.ptr[digits] | 0x20;
            if (c >= '0' && c <= '9')
                size = size * 16 + c - '0';
            else if (c >= 'a' && c <= 'f')
                size = size * 16 + c - 'a' + 10;
            else
                break;
        }
        if (size == 0) /* the last, or none at all */
            return false;
        wsb_peer_use(p, (size_t)(end + 2 - in.ptr));
        *chunk_left = size + 2;
    }
}

/* As much of a refusal's body as comes in time and fits: it is a help for people, and nothing depends on it. */
static void body_read(struct dialing *d, const struct wsb_dial_answer *a, struct wsb_open_result *result)
{
    struct wsb_buf body;
    struct wsb_fault ignored = d->fault;
    uint64_t left = a->body_len;
    size_t chunk_left = 0;
    bool goes_on = a->body != WSB_DIAL_BODY_NONE && !(a->body == WSB_DIAL_BODY_LENGTH && left == 0);
    wsb_buf_init(&body, 0);
    while (goes_on) {
        struct wsb_span in = wsb_peer_unread(d->peer);
        if (a->body == WSB_DIAL_BODY_CHUNKED) {
            goes_on = chunks_take(d->peer, &body, &chunk_left);
        } else {
            size_t len = a->body == WSB_DIAL_BODY_LENGTH && left < in.len ? (size_t)left : in.len;
            goes_on = take(&body, wsb_span(in.ptr, len));
            wsb_peer_use(d->peer, len);
            left -= len;
            goes_on = goes_on && !(a->body == WSB_DIAL_BODY_LENGTH && left == 0);
        }
        goes_on = goes_on && exchange(d, "the answer") == WSB_REASON_OK;
    }
    d->fault = ignored;
    result->body_len = body.len;
    if (wsb_buf_append(&body, "", 1) == WSB_OK)
        result->body = (char *)body.data;
    else
        wsb_buf_deinit(&body);
    if (!result->body)
        result->body_len = 0;
}

/* -------------------------------------------------------------- the handshake */

static bool answer_copy(const struct wsb_dial_answer *a, struct wsb_open_result *result)
{
    size_t len = a->subprotocol.len < sizeof result->subprotocol ? a->subprotocol.len : 0;
    result->status = a->status;
    result->is_compressed = a->is_packed;
    if (len)
        memcpy(result->subprotocol, a->subprotocol.ptr, len);
    result->subprotocol[len] = 0;
    result->fields = malloc(a->fields.len + 1); /* not strndup(): nothing ends the bytes of a socket */
    if (!result->fields)
        return false;
    if (a->fields.len)
        memcpy(result->fields, a->fields.ptr, a->fields.len);
    result->fields[a->fields.len] = 0;
    return true;
}

static enum wsb_reason request_write(struct dialing *d)
{
    uint8_t random[16];
    struct wsb_buf request;
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return WSB_REASON_IO;
    wsb_dial_key(random, d->key);
    wsb_buf_init(&request, 0);
    wsb_err err = wsb_dial_write(&request, &d->request, d->key, &d->fault);
    if (!err && d->peer->fd >= 0)
        err = wsb_peer_put(d->peer, wsb_buf_span(&request), &d->fault);
    wsb_buf_deinit(&request);
    return err == WSB_ERR_NOMEM    ? WSB_REASON_NOMEM
           : err == WSB_ERR_CONFIG ? WSB_REASON_ADDRESS
           : err                   ? WSB_REASON_TLS
                                   : WSB_REASON_OK;
}

static enum wsb_reason answer_read(struct dialing *d, struct wsb_open_result *result, struct wsb_deflate_params *params)
{
    struct wsb_dial_answer a = {0};
    size_t used = 0;
    wsb_err err;
    while ((err = wsb_dial_read(wsb_peer_unread(d->peer), &d->request, d->key, &used, &a, &d->fault)) == WSB_MORE) {
        enum wsb_reason reason = exchange(d, "the handshake");
        if (reason)
            return reason;
    }
    if (err && err != WSB_ERR_REFUSED)
        return err == WSB_ERR_PROTO ? WSB_REASON_PROTOCOL : WSB_REASON_IO;
    if (!answer_copy(&a, result))
        return WSB_REASON_NOMEM;
    wsb_peer_use(d->peer, used);
    if (err) {
        if (!d->no_body)
            body_read(d, &a, result);
        return WSB_REASON_REFUSED;
    }
    *params = a.params;
    return WSB_REASON_OK;
}

static enum wsb_reason dial(struct dialing *d, struct wsb_open_result *result, struct wsb_deflate_params *params)
{
    enum wsb_reason reason = request_write(d); /* what cannot be asked is told before anybody is bothered */
    if (!reason)
        reason = tls_prepare(d);
    if (!reason)
        reason = d->o->unix_socket ? connect_unix(d) : connect_tcp(d);
    if (!reason)
        reason = tls_shake(d, result);
    if (!reason)
        reason = request_write(d);
    return reason ? reason : answer_read(d, result, params);
}

enum wsb_reason wsb_dial(const char *url, const struct wsb_open_options *o, const struct wsb_dial_terms *terms,
                         struct wsb_peer *peer, struct wsb_open_result *result, struct wsb_deflate_params *ret_params)
{
    static const struct wsb_deflate_offer usual = {.client_bits = WSB_DEFLATE_BITS_MAX};
    struct dialing *d = calloc(1, sizeof *d);
    if (!d) {
        result->reason = WSB_REASON_NOMEM;
        return WSB_REASON_NOMEM;
    }
    d->o = o;
    d->peer = peer;
    d->until_ms = wsb_monotonic_ms() + (o->timeout_ms ? o->timeout_ms : TIMEOUT_MS);
    d->stop_fd = terms->stop_fd;
    d->no_body = terms->no_body;
    d->request = (struct wsb_dial_request){
        .url = &d->url,
        .headers = o->headers,
        .header_count = o->header_count,
        .subprotocols = o->subprotocols,
        .subprotocol_count = o->subprotocol_count,
        .origin = o->origin,
        .offer = o->no_compression ? NULL
                 : terms->offer    ? terms->offer
                                   : &usual,
    };
    enum wsb_reason reason = wsb_url_parse(url, &d->url, &d->fault) ? WSB_REASON_ADDRESS : dial(d, result, ret_params);
    if (reason) {
        wsb_peer_deinit(peer);
        (void)snprintf(result->why, sizeof result->why, "%s", d->fault.text);
    }
    result->reason = reason;
    wsb_tls_context_unref(d->context);
    free(d);
    return reason;
}
