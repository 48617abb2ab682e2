/* Errors of OpenSSL are kept per thread and would be found by the next call: every failure empties the queue. */
#include "stream.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

wsb_err wsl_tls_open(const struct wsl_options *o, SSL_CTX **ret, struct wsb_fault *fault)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return wsb_fault_set(fault, WSB_ERR_INTERNAL, 0, "no TLS to be had");
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                        SSL_MODE_RELEASE_BUFFERS);
    if (!o->insecure) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        int loaded = o->ca_file ? SSL_CTX_load_verify_locations(context, o->ca_file, NULL)
                                : SSL_CTX_set_default_verify_paths(context);
        ERR_clear_error();
        if (!loaded) {
            SSL_CTX_free(context);
            return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "--ca-file: no certificates in %.120s",
                                 o->ca_file ? o->ca_file : "the system's folder");
        }
    }
    *ret = context;
    return WSB_OK;
}

/* Before the port is chosen, so that each source address has all ports to itself. */
static int bind_source(int fd, uint64_t sources, uint32_t number)
{
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number % sources))};
    return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)) ||
           bind(fd, (struct sockaddr *)&source, sizeof source);
}

wsb_err wsl_stream_open(struct wsl_stream *s, const struct wsl_target *t, uint64_t sources, uint32_t number,
                        struct wsb_fault *fault)
{
    int family = t->address.ss_family;
    *s = (struct wsl_stream){.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (s->fd < 0)
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "socket: %s", strerror(errno));
    if (family != AF_UNIX)
        (void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (sources && family == AF_INET && bind_source(s->fd, sources, number))
        return wsb_fault_set(fault, WSB_ERR_IO, errno, "bind: %s", strerror(errno));
    if (connect(s->fd, (const struct sockaddr *)&t->address, t->address_len) && errno != EINPROGRESS)
        return wsb_fault_set(fault, errno == ECONNREFUSED ? WSB_ERR_REFUSED : WSB_ERR_IO, errno, "connect: %s",
                             strerror(errno));
    return WSB_OK;
}

void wsl_stream_close(struct wsl_stream *s)
{
    SSL_free(s->tls);
    s->tls = NULL;
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
}

wsb_err wsl_stream_connected(struct wsl_stream *s, struct wsb_fault *fault)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len))
        error = errno;
    if (!error)
        return WSB_OK;
    return wsb_fault_set(fault, error == ECONNREFUSED ? WSB_ERR_REFUSED : WSB_ERR_IO, error, "connect: %s",
                         strerror(error));
}

static wsb_err begin_tls(struct wsl_stream *s, SSL_CTX *context, const char *host, bool verify)
{
    s->tls = SSL_new(context);
    if (!s->tls || !SSL_set_fd(s->tls, s->fd) || !SSL_set_tlsext_host_name(s->tls, host))
        return WSB_ERR_NOMEM;
    /* a certificate names an address in another field than a name */
    if (verify && !X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->tls), host) && !SSL_set1_host(s->tls, host))
        return WSB_ERR_NOMEM;
    ERR_clear_error();
    return WSB_OK;
}

wsb_err wsl_stream_secure(struct wsl_stream *s, SSL_CTX *context, const char *host, bool verify,
                          struct wsb_fault *fault)
{
    if (!s->tls && begin_tls(s, context, host, verify))
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "TLS: out of memory");
    int result = SSL_connect(s->tls);
    if (result == 1)
        return WSB_OK;
    int error = SSL_get_error(s->tls, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return error == SSL_ERROR_WANT_READ ? WSB_MORE : WSB_AGAIN;
    char text[128] = "the connection broke";
    unsigned long code = ERR_get_error();
    if (code)
        ERR_error_string_n(code, text, sizeof text);
    ERR_clear_error();
    return wsb_fault_set(fault, WSB_ERR_PROTO, (int)code, "TLS: %s", text);
}

/* What a call of OpenSSL or of the kernel came to. */
static wsb_err outcome(struct wsl_stream *s, ssize_t result, size_t *ret_len)
{
    if (result > 0) {
        *ret_len = (size_t)result;
        return WSB_OK;
    }
    if (!s->tls)
        return result < 0 && (errno == EAGAIN || errno == EINTR) ? WSB_AGAIN : WSB_CLOSED;
    int error = SSL_get_error(s->tls, (int)result);
    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? WSB_AGAIN : WSB_CLOSED;
}

static int as_int(size_t len)
{
    return len < INT_MAX ? (int)len : INT_MAX;
}

wsb_err wsl_stream_read(struct wsl_stream *s, void *out, size_t room, size_t *ret_len)
{
    return outcome(s, s->tls ? SSL_read(s->tls, out, as_int(room)) : recv(s->fd, out, room, 0), ret_len);
}

wsb_err wsl_stream_write(struct wsl_stream *s, const void *data, size_t len, size_t *ret_len)
{
    return outcome(s, s->tls ? SSL_write(s->tls, data, as_int(len)) : send(s->fd, data, len, MSG_NOSIGNAL), ret_len);
}
