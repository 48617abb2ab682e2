#ifndef WSB_TLS_STREAM_H
#define WSB_TLS_STREAM_H

/*
 * One TLS connection, of either side: records in, plain bytes out, and back. It has no socket: every call is given the
 * bytes that came and room for those that shall leave.
 *
 *   NEW ──handshake──▶ OPEN ──finish──▶ we say no more        every failure is final: send what is in `out`, and free
 *
 * While it is idle it holds no buffer; between two parts of one record it holds that record, at most 17 KiB. An input is
 * always used up, except by a call that has an event to tell first, or none: WSB_AGAIN.
 *
 * Threads   one at a time
 */

#include <stdbool.h>

#include "base/span.h"
#include "tls/certificate.h"

struct wsb_tls_context;
struct wsb_tls_stream;

enum {
    WSB_TLS_RECORD_BYTES = 16384, /* the most that one record carries (RFC 8446 §5.1) */
    WSB_TLS_RECORD_ROOM = 512     /* what is around them, with a message of TLS itself in front, is always less */
};

/* What a call may read and write. */
struct wsb_tls_io {
    struct wsb_span in; /* from the peer; what is used is cut off its front */
    uint8_t *out;       /* to the peer */
    size_t room;        /* of out, as a whole */
    size_t len;         /* filled so far; the caller sets it back when the bytes have left */
};

/* Why a connection failed, as counters tell it apart. The words are in the fault. */
enum wsb_tls_reason {
    WSB_TLS_OK,
    WSB_TLS_GARBAGE,     /* what came is not TLS, or is wrong */
    WSB_TLS_VERSION,     /* no version in common */
    WSB_TLS_CIPHER,      /* no cipher, group or signature in common */
    WSB_TLS_CERTIFICATE, /* the peer's certificate is missing or not good */
    WSB_TLS_ALPN,        /* no protocol in common (RFC 7301 §3.2) */
    WSB_TLS_ALERT,       /* the peer refused, and said why */
    WSB_TLS_OTHER,       /* no memory, or OpenSSL is at its wits' end */
    WSB_TLS_REASONS
};

const char *wsb_tls_reason_name(enum wsb_tls_reason reason); /* "garbage", "version", … */

/* What was agreed, once the handshake is done. Static strings, or the stream's. */
struct wsb_tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    const char *name;    /* the host that the client asked for; NULL: none, or not made of the letters of names */
    struct wsb_span alpn;
    bool is_resumed;
    bool has_certificate; /* the peer showed one, and it is good; else the next two are empty */
    char fingerprint[WSB_TLS_FINGERPRINT_TEXT];
    char subject[WSB_TLS_SUBJECT_MAX + 1]; /* as RFC 2253 writes it: ASCII; "" when it is longer */
};

/**
 * @context  of which a reference is taken; it says which side we are
 * @host     client: whom we mean to reach, a name or an IP address, which the certificate must be for; server: NULL
 */
WSB_MUST_CHECK wsb_err wsb_tls_stream_new(struct wsb_tls_context *context, const char *host,
                                          struct wsb_tls_stream **ret, struct wsb_fault *fault);
void wsb_tls_stream_free(struct wsb_tls_stream *s);

/**
 * Go on with the handshake. A client's first call wants no input.
 *
 * Returns  WSB_OK it is done, and the rest of the input is for wsb_tls_stream_read(); WSB_MORE more has to come;
 *          WSB_ERR_PROTO, WSB_ERR_REFUSED (a certificate or an alert), WSB_ERR_NOMEM: failed, the fault says why.
 *          Whatever it returns, `out` may hold something to send: in the end, our alert
 */
WSB_MUST_CHECK wsb_err wsb_tls_stream_handshake(struct wsb_tls_stream *s, struct wsb_tls_io *io,
                                                struct wsb_fault *fault);

/**
 * Plain bytes, after the handshake.
 *
 * Returns  WSB_OK at least one byte; WSB_MORE the input is used up; WSB_CLOSED the peer has said that this was all
 *          (close_notify); WSB_ERR_PROTO, WSB_ERR_REFUSED, WSB_ERR_NOMEM as above. An input that ends before WSB_CLOSED has
 *          been cut off by somebody (RFC 8446 §6.1)
 */
WSB_MUST_CHECK wsb_err wsb_tls_stream_read(struct wsb_tls_stream *s, struct wsb_tls_io *io, uint8_t *data, size_t room,
                                           size_t *ret_len, struct wsb_fault *fault);

/**
 * Records of plain bytes, as many as there is room for.
 *
 * @ret_used  of data; 0 when there is not even room for one record of them
 */
WSB_MUST_CHECK wsb_err wsb_tls_stream_write(struct wsb_tls_stream *s, struct wsb_tls_io *io, struct wsb_span data,
                                            size_t *ret_used, struct wsb_fault *fault);

/* Say that this was all (close_notify). Reading goes on. Before the handshake is done there is nothing to say. */
void wsb_tls_stream_finish(struct wsb_tls_stream *s, struct wsb_tls_io *io);

bool wsb_tls_stream_is_open(const struct wsb_tls_stream *s); /* the handshake is done, nothing has failed */
enum wsb_tls_reason wsb_tls_stream_reason(const struct wsb_tls_stream *s);
void wsb_tls_stream_info(const struct wsb_tls_stream *s, struct wsb_tls_info *ret);

/* May this be the first byte of a TLS connection (RFC 8446 §5.1: a handshake record)? */
static inline bool wsb_tls_is_hello(uint8_t first)
{
    return first == 22;
}

#endif
