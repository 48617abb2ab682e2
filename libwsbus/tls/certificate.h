#ifndef WSB_TLS_CERTIFICATE_H
#define WSB_TLS_CERTIFICATE_H

/*
 * A certificate with its chain and its private key, read from PEM files, and the names that it is for.
 *
 * Threads   any, once it is loaded: nothing changes
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

enum { WSB_TLS_FINGERPRINT_TEXT = 65, WSB_TLS_SUBJECT_MAX = 1024 };

/* What people look at. Pointers are good as long as what it was asked of. */
struct wsb_tls_certificate_info {
    const char *file;
    const char *subject; /* as RFC 2253 writes it; "" when it is longer than WSB_TLS_SUBJECT_MAX */
    const char *kind;    /* of its key: "RSA", "EC", "ED25519", … */
    const char *const *names;
    size_t name_count;
    const char *fingerprint; /* SHA-256 of the certificate, lower-case hexadecimal */
    int64_t not_before_s;    /* Unix time */
    int64_t not_after_s;
};

struct wsb_tls_certificate;

/**
 * Read a certificate, with the rest of its chain behind it, and its key.
 *
 * @cert_file  PEM: the certificate first, then those that signed it
 * @key_file   PEM, without a pass phrase; NULL: the key is in cert_file as well
 *
 * Returns     WSB_OK; WSB_ERR_CONFIG and which file is wrong, and how; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsb_tls_certificate_load(const char *cert_file, const char *key_file,
                                                struct wsb_tls_certificate **ret, struct wsb_fault *fault);
void wsb_tls_certificate_free(struct wsb_tls_certificate *c);
void wsb_tls_certificate_info(const struct wsb_tls_certificate *c, struct wsb_tls_certificate_info *ret);

/* How well it serves a host name: 2 it has that name, 1 it has a wildcard for it, 0 it does not (RFC 6125 §6.4). */
int wsb_tls_certificate_rank(const struct wsb_tls_certificate *c, const char *host);

#endif
