#ifndef WSB_TLS_PARTS_H
#define WSB_TLS_PARTS_H

/* What the files of tls/ share, and nobody else uses: whoever includes this sees OpenSSL. */

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdatomic.h>

#include "tls/certificate.h"
#include "tls/context.h"
#include "tls/stream.h"
#include "tls/tickets.h"

struct wsb_tls_certificate {
    X509 *x509;             /* owned */
    STACK_OF(X509) * chain; /* owned */
    EVP_PKEY *key;          /* owned */
    char *file;             /* owned */
    char *subject;          /* owned */
    char **names;           /* owned array of owned strings, in lower case */
    size_t name_count;
    char fingerprint[WSB_TLS_FINGERPRINT_TEXT];
    int64_t not_before_s, not_after_s;
};

struct wsb_tls_context {
    _Atomic uint32_t refs;
    bool is_server;
    bool is_insecure;                          /* client: any certificate will do */
    SSL_CTX *ssl;                              /* owned */
    BIO_METHOD *bio;                           /* owned; of the streams, which keep the context */
    struct wsb_tls_certificate **certificates; /* owned; server: the first is the default */
    size_t certificate_count;
    struct wsb_tls_tickets *tickets; /* a reference; NULL: sessions are not resumed */
    unsigned char *alpn;             /* owned; names, each behind its length; NULL: none */
    unsigned alpn_len;
};

/* context.c */
WSB_MUST_CHECK wsb_err wsb_tls_context_begin(bool is_server, enum wsb_tls_version min_version, const char *ciphers,
                                             const char *alpn, struct wsb_tls_context **ret, struct wsb_fault *fault);
/* certificate.c */
/* Each certificate of a file, until `each` fails; it takes none of them. */
WSB_MUST_CHECK wsb_err wsb_tls_authorities_read(const char *file, struct wsb_fault *fault,
                                                wsb_err (*each)(void *ctx, X509 *x509, struct wsb_fault *fault),
                                                void *ctx);
/* Make it the one to be shown, of a context or of one connection. */
WSB_MUST_CHECK bool wsb_tls_certificate_use_for_all(const struct wsb_tls_certificate *c, SSL_CTX *ssl);
WSB_MUST_CHECK bool wsb_tls_certificate_use(const struct wsb_tls_certificate *c, SSL *ssl);

char *wsb_tls_subject_of(const X509 *x509); /* owned by the caller; NULL: without memory, or too long */
bool wsb_tls_fingerprint_of(const X509 *x509, char out[WSB_TLS_FINGERPRINT_TEXT]);

/* stream.c: what moves its records */
BIO_METHOD *wsb_tls_bio_new(void);

/* tickets.c: for SSL_CTX_set_tlsext_ticket_key_evp_cb */
int wsb_tls_tickets_seal(struct wsb_tls_tickets *t, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int enc);

/* reason.c: OpenSSL's queue of errors of this thread, which is empty afterwards */
wsb_err wsb_tls_nomem(struct wsb_fault *fault);
wsb_err wsb_tls_fault(struct wsb_fault *fault, wsb_err err, const char *what);
enum wsb_tls_reason wsb_tls_reason_take(const SSL *ssl, wsb_err *ret_err, struct wsb_fault *fault);

#endif
