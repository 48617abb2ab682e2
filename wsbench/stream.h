#ifndef WSL_STREAM_H
#define WSL_STREAM_H

/* Bytes to and from a server, through TLS or not. Never blocks. */

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "options.h"
#include "target.h"

struct wsl_stream {
    int fd;   /* owned; -1: none */
    SSL *tls; /* owned; NULL without TLS */
};

/* What all TLS connections share. WSB_ERR_CONFIG no certificates to trust; WSB_ERR_INTERNAL. */
WSB_MUST_CHECK wsb_err wsl_tls_open(const struct wsl_options *o, SSL_CTX **ret, struct wsb_fault *fault);

/* Begin to connect; `number` chooses the source address. WSB_OK it is under way; WSB_ERR_IO. */
WSB_MUST_CHECK wsb_err wsl_stream_open(struct wsl_stream *s, const struct wsl_target *t, uint64_t sources,
                                       uint32_t number, struct wsb_fault *fault);
void wsl_stream_close(struct wsl_stream *s);

/* Did the connect() that was under way work? WSB_OK; WSB_ERR_REFUSED nobody listens; WSB_ERR_IO. */
WSB_MUST_CHECK wsb_err wsl_stream_connected(struct wsl_stream *s, struct wsb_fault *fault);

/* One step of the TLS handshake; the first begins it. WSB_OK done; WSB_MORE wait until it can be read; WSB_AGAIN until it
 * can be written; WSB_ERR_PROTO, and why. */
WSB_MUST_CHECK wsb_err wsl_stream_secure(struct wsl_stream *s, SSL_CTX *context, const char *host, bool verify,
                                         struct wsb_fault *fault);

/* WSB_OK with at least one byte; WSB_AGAIN; WSB_CLOSED, also when it broke. */
WSB_MUST_CHECK wsb_err wsl_stream_read(struct wsl_stream *s, void *out, size_t room, size_t *ret_len);
WSB_MUST_CHECK wsb_err wsl_stream_write(struct wsl_stream *s, const void *data, size_t len, size_t *ret_len);

#endif
