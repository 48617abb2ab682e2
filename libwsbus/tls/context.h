#ifndef WSB_TLS_CONTEXT_H
#define WSB_TLS_CONTEXT_H

/*
 * What all TLS connections of a server, or of a client, have in common: certificates, versions, ciphers, whom to trust.
 * It is built once and never changes; each stream holds a reference, so that it may be replaced under way.
 *
 * TLS 1.2 and 1.3 only (RFC 8996), no renegotiation, no compression, forward secrecy by default (RFC 9325).
 *
 * Threads   any, references are counted for all; the streams are each one thread's
 */

#include "tls/certificate.h"
#include "tls/tickets.h"

enum wsb_tls_version { WSB_TLS_1_2, WSB_TLS_1_3 };

enum wsb_tls_client_certificates {
    WSB_TLS_CLIENT_NONE,     /* not asked for */
    WSB_TLS_CLIENT_OPTIONAL, /* whoever shows one has to show a good one */
    WSB_TLS_CLIENT_REQUIRED
};

struct wsb_tls_files {
    const char *certificate;
    const char *key; /* NULL: in the same file */
};

/* Everything is borrowed for the call. */
struct wsb_tls_server_config {
    const struct wsb_tls_files *files; /* chosen by the name that the client asks for (SNI); the first is the default */
    size_t file_count;                 /* at least one */
    enum wsb_tls_client_certificates client_certificates;
    const char *client_ca; /* file with the authorities of client certificates; needed unless none are asked for */
    enum wsb_tls_version min_version;
    const char *ciphers;             /* OpenSSL's names, joined by ':'; NULL: the strong ones */
    const char *alpn;                /* protocols, the preferred first, joined by ','; NULL: ALPN is ignored */
    struct wsb_tls_tickets *tickets; /* of which a reference is taken; NULL: sessions are not resumed */
};

struct wsb_tls_client_config {
    const char *ca_file;        /* whom to trust; NULL: the system's authorities */
    struct wsb_tls_files files; /* our own certificate; NULL: none */
    enum wsb_tls_version min_version;
    const char *ciphers;
    const char *alpn;
    bool insecure; /* take any certificate: whoever sits on the way can read and change everything */
};

struct wsb_tls_context;

/* WSB_ERR_CONFIG says which file or word is wrong, and how. */
WSB_MUST_CHECK wsb_err wsb_tls_server_new(const struct wsb_tls_server_config *config, struct wsb_tls_context **ret,
                                          struct wsb_fault *fault);
WSB_MUST_CHECK wsb_err wsb_tls_client_new(const struct wsb_tls_client_config *config, struct wsb_tls_context **ret,
                                          struct wsb_fault *fault);
struct wsb_tls_context *wsb_tls_context_ref(struct wsb_tls_context *c);
void wsb_tls_context_unref(struct wsb_tls_context *c); /* NULL is nothing */

size_t wsb_tls_certificate_count(const struct wsb_tls_context *c);
const struct wsb_tls_certificate *wsb_tls_certificate_at(const struct wsb_tls_context *c, size_t index);

/* Are these ciphers that OpenSSL knows? */
WSB_MUST_CHECK wsb_err wsb_tls_ciphers_check(const char *ciphers, struct wsb_fault *fault);

#endif
