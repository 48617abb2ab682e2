/*
 * OpenSSL reads and writes through a BIO of ours that points at the caller's bytes for the time of one call, so that
 * there is no memory in between. OpenSSL's queue of errors belongs to the thread and would be taken for the next call's:
 * every failure empties it.
 */
#include "tls/stream.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "tls/parts.h"

struct wsb_tls_stream {
    SSL *ssl;                        /* owned; its BIO points back here */
    struct wsb_tls_context *context; /* a reference */
    struct wsb_tls_io *io;           /* borrowed for the time of a call; NULL in between */
    uint8_t reason;                  /* enum wsb_tls_reason */
    bool is_open; /* the handshake is done. OpenSSL would say no again in the middle of a later message of TLS's own */
    bool is_failed;
    bool is_finished;
    uint32_t key_updates; /* that the peer has sent */
    uint64_t received;    /* plain bytes */
};

/* Each makes new keys: far more work than the bytes that ask for it, and OpenSSL goes on with them for as long as there are any. */
enum { KEY_UPDATES = 16, BYTES_A_KEY_UPDATE = 256 << 10 };

static bool has_too_many_keys(const struct wsb_tls_stream *s)
{
    return s->key_updates > KEY_UPDATES + s->received / BYTES_A_KEY_UPDATE;
}

static void on_message(int is_ours, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    struct wsb_tls_stream *s = arg;
    (void)version;
    (void)ssl;
    if (!is_ours && type == SSL3_RT_HANDSHAKE && len && *(const uint8_t *)data == SSL3_MT_KEY_UPDATE)
        s->key_updates++;
}

/* --------------------------------------------------------------------- the BIO */

static int bio_read(BIO *bio, char *data, size_t room, size_t *ret_len)
{
    struct wsb_tls_stream *s = BIO_get_data(bio);
    size_t len = s->io && !has_too_many_keys(s) ? s->io->in.len : 0;
    BIO_clear_retry_flags(bio);
    len = len < room ? len : room;
    if (len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(data, s->io->in.ptr, len);
    s->io->in.ptr += len;
    s->io->in.len -= len;
    *ret_len = len;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *ret_len)
{
    struct wsb_tls_stream *s = BIO_get_data(bio);
    size_t room = s->io ? s->io->room - s->io->len : 0;
    BIO_clear_retry_flags(bio);
    len = len < room ? len : room;
    if (len == 0) {
        BIO_set_retry_write(bio);
        return 0;
    }
    memcpy(s->io->out + s->io->len, data, len);
    s->io->len += len;
    *ret_len = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *wsb_tls_bio_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "spans");
    if (m && BIO_meth_set_read_ex(m, bio_read) == 1 && BIO_meth_set_write_ex(m, bio_write) == 1 &&
        BIO_meth_set_ctrl(m, bio_ctrl) == 1 && BIO_meth_set_create(m, bio_create) == 1)
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* --------------------------------------------------------------- begin, end */

/* A certificate names an address in another field than a name, and an address is never asked for by SNI (RFC 6066 §3). */
static bool set_host(struct wsb_tls_stream *s, const char *host)
{
    X509_VERIFY_PARAM *rules = SSL_get0_param(s->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(rules, host) == 1)
        return true;
    ERR_clear_error();
    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(s->ssl, host) == 1 && SSL_set_tlsext_host_name(s->ssl, host) == 1;
}

static bool set_side(struct wsb_tls_stream *s, const char *host)
{
    if (s->context->is_server) {
        SSL_set_accept_state(s->ssl);
        return true;
    }
    SSL_set_connect_state(s->ssl);
    return host && *host && set_host(s, host);
}

wsb_err wsb_tls_stream_new(struct wsb_tls_context *context, const char *host, struct wsb_tls_stream **ret,
                           struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    BIO *bio = NULL;
    struct wsb_tls_stream *s = calloc(1, sizeof *s);
    if (!s)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "TLS: out of memory");
    s->context = wsb_tls_context_ref(context);
    s->ssl = SSL_new(context->ssl);
    bio = BIO_new(context->bio);
    if (!s->ssl || !bio) {
        err = wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "TLS: out of memory");
        goto out;
    }
    BIO_set_data(bio, s);
    SSL_set_bio(s->ssl, bio, bio);
    bio = NULL;
    SSL_set_msg_callback(s->ssl, on_message);
    SSL_set_msg_callback_arg(s->ssl, s);
    if (!set_side(s, host)) {
        err = wsb_fault_set(fault, WSB_ERR_MISUSE, 0, "TLS: '%.100s' is no name of a host", host ? host : "");
        goto out;
    }
    *ret = s;
    s = NULL;
out:
    ERR_clear_error();
    BIO_free(bio);
    wsb_tls_stream_free(s);
    return err;
}

void wsb_tls_stream_free(struct wsb_tls_stream *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    wsb_tls_context_unref(s->context);
    free(s);
}

/* ------------------------------------------------------------------- moving bytes */

/* What a call of OpenSSL that did not succeed means. WSB_AGAIN: there was no room for what it has to say. */
static wsb_err outcome(struct wsb_tls_stream *s, int result, struct wsb_fault *fault)
{
    wsb_err err = WSB_ERR_PROTO;
    enum wsb_tls_reason reason = WSB_TLS_OTHER;
    switch (SSL_get_error(s->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return WSB_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return WSB_CLOSED;
    case SSL_ERROR_WANT_WRITE:
        err = wsb_fault_set(fault, WSB_ERR_LIMIT, 0, "TLS: the peer makes us say more than there is room for");
        break;
    default:
        reason = wsb_tls_reason_take(s->ssl, &err, fault);
    }
    s->is_failed = true;
    s->reason = (uint8_t)reason;
    ERR_clear_error();
    return err;
}

static wsb_err is_over(struct wsb_fault *fault)
{
    return wsb_fault_set(fault, WSB_ERR_GONE, 0, "TLS: the connection is over");
}

wsb_err wsb_tls_stream_handshake(struct wsb_tls_stream *s, struct wsb_tls_io *io, struct wsb_fault *fault)
{
    if (s->is_failed)
        return is_over(fault);
    s->io = io;
    int result = SSL_do_handshake(s->ssl);
    wsb_err err = result == 1 ? WSB_OK : outcome(s, result, fault);
    s->io = NULL;
    s->is_open = err == WSB_OK;
    if (err == WSB_CLOSED) { /* a goodbye instead of a handshake */
        s->is_failed = true;
        s->reason = WSB_TLS_ALERT;
        err = wsb_fault_set(fault, WSB_ERR_REFUSED, 0, "TLS: the peer closed the connection in the handshake");
    }
    return err;
}

/* One record's bytes, or the rest of them. */
wsb_err wsb_tls_stream_read(struct wsb_tls_stream *s, struct wsb_tls_io *io, uint8_t *data, size_t room,
                            size_t *ret_len, struct wsb_fault *fault)
{
    size_t len = 0;
    if (s->is_failed)
        return is_over(fault);
    s->io = io;
    int result = SSL_read_ex(s->ssl, data, room, &len);
    wsb_err err = result == 1 ? WSB_OK : outcome(s, result, fault);
    s->io = NULL;
    if (err == WSB_MORE && has_too_many_keys(s)) {
        s->is_failed = true;
        s->reason = WSB_TLS_OTHER;
        return wsb_fault_set(fault, WSB_ERR_PROTO, 0, "TLS: the peer changes its keys again and again");
    }
    if (!err) {
        s->received += len;
        *ret_len = len;
    }
    return err;
}

wsb_err wsb_tls_stream_write(struct wsb_tls_stream *s, struct wsb_tls_io *io, struct wsb_span data, size_t *ret_used,
                             struct wsb_fault *fault)
{
    size_t used = 0;
    wsb_err err = WSB_OK;
    if (s->is_failed || s->is_finished || !s->is_open)
        return is_over(fault);
    s->io = io;
    while (used < data.len) {
        size_t left = data.len - used;
        size_t take = left < WSB_TLS_RECORD_BYTES ? left : WSB_TLS_RECORD_BYTES;
        size_t taken = 0;
        if (io->room - io->len < take + WSB_TLS_RECORD_ROOM)
            break;
        int result = SSL_write_ex(s->ssl, data.ptr + used, take, &taken);
        if (result != 1) {
            err = outcome(s, result, fault);
            break;
        }
        used += taken;
    }
    s->io = NULL;
    if (err == WSB_MORE || err == WSB_CLOSED) { /* it leaves a message of TLS's own half said: nobody does that */
        s->is_failed = true;
        err = wsb_fault_set(fault, WSB_ERR_PROTO, 0, "TLS: the peer stops in the middle of a message");
    }
    if (!err)
        *ret_used = used;
    return err;
}

void wsb_tls_stream_finish(struct wsb_tls_stream *s, struct wsb_tls_io *io)
{
    if (s->is_failed || s->is_finished || !s->is_open)
        return;
    s->io = io;
    s->is_finished = true;
    (void)SSL_shutdown(s->ssl); /* 0 or 1: said; anything else: there is nobody to tell */
    ERR_clear_error();
    s->io = NULL;
}

/* ------------------------------------------------------------------------- looking */

bool wsb_tls_stream_is_open(const struct wsb_tls_stream *s)
{
    return s->is_open && !s->is_failed;
}

enum wsb_tls_reason wsb_tls_stream_reason(const struct wsb_tls_stream *s)
{
    return (enum wsb_tls_reason)s->reason;
}

/* What a client asks for goes into logs and metadata: nothing but what names are made of. */
static bool is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    return text && *text && text[strspn(text, letters)] == 0;
}

static void describe_peer(const struct wsb_tls_stream *s, struct wsb_tls_info *ret)
{
    const X509 *x509 = SSL_get0_peer_certificate(s->ssl);
    if (!x509 || s->context->is_insecure || !wsb_tls_fingerprint_of(x509, ret->fingerprint))
        return;
    char *subject = wsb_tls_subject_of(x509);
    if (subject)
        memcpy(ret->subject, subject, strlen(subject) + 1); /* at most WSB_TLS_SUBJECT_MAX */
    free(subject);
    ret->has_certificate = true;
}

void wsb_tls_stream_info(const struct wsb_tls_stream *s, struct wsb_tls_info *ret)
{
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    const char *name = SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name);
    SSL_get0_alpn_selected(s->ssl, &alpn, &alpn_len);
    *ret = (struct wsb_tls_info){
        .version = SSL_get_version(s->ssl),
        .cipher = SSL_get_cipher_name(s->ssl),
        .name = is_name(name) ? name : NULL,
        .alpn = wsb_span(alpn, alpn_len),
        .is_resumed = SSL_session_reused(s->ssl),
    };
    describe_peer(s, ret);
}
