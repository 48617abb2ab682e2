/* The server's side: which certificate for which name, which clients, which sessions may be resumed. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tls/parts.h"

/* What a client may make us hold for its certificates: a chain of any sense is smaller. */
enum { CLIENT_CHAIN_BYTES = 32 << 10 };

static struct wsb_tls_context *context_of(const SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

/* ---------------------------------------------------------------- certificates */

static bool is_same_kind(const struct wsb_tls_certificate *a, const struct wsb_tls_certificate *b)
{
    assert(a && b);
    return EVP_PKEY_get_base_id(a->key) == EVP_PKEY_get_base_id(b->key);
}

/* The best certificate for a name; NULL: none is for it. */
static const struct wsb_tls_certificate *find(const struct wsb_tls_context *c, const char *host)
{
    const struct wsb_tls_certificate *best = NULL;
    int best_rank = 0;
    for (size_t i = 0; i < c->certificate_count; i++) {
        int rank = wsb_tls_certificate_rank(c->certificates[i], host);
        if (rank > best_rank) {
            best_rank = rank;
            best = c->certificates[i];
        }
    }
    return best;
}

/*
 * Called by OpenSSL before the server's certificate is needed. A name that none is for gets the default one, and the
 * client decides. Two keys of different kinds for one name are both offered: OpenSSL takes the one that the client can
 * check.
 */
static int choose_certificate(SSL *ssl, void *arg)
{
    const struct wsb_tls_context *c = arg;
    const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const struct wsb_tls_certificate *best = host ? find(c, host) : NULL;
    if (!best)
        best = c->certificates[0];
    SSL_certs_clear(ssl);
    if (!wsb_tls_certificate_use(best, ssl))
        return 0;
    for (size_t i = 0; host && i < c->certificate_count; i++) {
        const struct wsb_tls_certificate *other = c->certificates[i];
        if (other == best || is_same_kind(other, best) || wsb_tls_certificate_rank(other, host) == 0)
            continue;
        if (!wsb_tls_certificate_use(other, ssl))
            return 0;
    }
    return 1;
}

/* Any name is heard: OpenSSL keeps it with the session then, and knows it again when that is resumed. */
static int on_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

static wsb_err load_certificates(struct wsb_tls_context *c, const struct wsb_tls_server_config *config,
                                 struct wsb_fault *fault)
{
    assert(config->file_count > 0);
    c->certificates = calloc(config->file_count, sizeof(struct wsb_tls_certificate *));
    if (!c->certificates)
        return wsb_tls_nomem(fault);
    for (size_t i = 0; i < config->file_count; i++) {
        const struct wsb_tls_files *files = &config->files[i];
        wsb_err err = wsb_tls_certificate_load(files->certificate, files->key, &c->certificates[i], fault);
        if (err)
            return err;
        c->certificate_count++;
        /* also to learn now what OpenSSL would say about it later: too small a key, a signature too weak */
        if (!wsb_tls_certificate_use_for_all(c->certificates[i], c->ssl))
            return wsb_tls_fault(fault, WSB_ERR_CONFIG, files->certificate);
    }
    if (!wsb_tls_certificate_use_for_all(c->certificates[0], c->ssl))
        return wsb_tls_fault(fault, WSB_ERR_CONFIG, config->files[0].certificate);
    SSL_CTX_set_cert_cb(c->ssl, config->file_count > 1 ? choose_certificate : NULL, c);
    return WSB_OK;
}

/* --------------------------------------------------------------------- clients */

struct admitting {
    SSL_CTX *ssl;
    EVP_MD_CTX *digest;
};

static wsb_err admit(void *ctx, X509 *x509, struct wsb_fault *fault)
{
    struct admitting *a = ctx;
    unsigned char print[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(a->ssl), x509) == 1 && SSL_CTX_add_client_CA(a->ssl, x509) == 1 &&
        X509_digest(x509, EVP_sha256(), print, &len) == 1 && EVP_DigestUpdate(a->digest, print, len) == 1)
        return WSB_OK;
    return wsb_tls_nomem(fault);
}

/*
 * A session is resumed only where its client would be let in just so: the session id context is a hash of the rules for
 * client certificates, the authorities included. With a new list of authorities all sessions begin anew.
 */
static wsb_err set_clients(struct wsb_tls_context *c, const struct wsb_tls_server_config *config,
                           struct wsb_fault *fault)
{
    static const int modes[] = {SSL_VERIFY_NONE, SSL_VERIFY_PEER, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT};
    unsigned char mode = (unsigned char)config->client_certificates;
    unsigned char sid[EVP_MAX_MD_SIZE];
    unsigned sid_len = 0;
    wsb_err err = WSB_OK;
    struct admitting a = {c->ssl, EVP_MD_CTX_new()};
    bool is_good = a.digest && EVP_DigestInit_ex(a.digest, EVP_sha256(), NULL) == 1 &&
                   EVP_DigestUpdate(a.digest, &mode, sizeof mode) == 1;
    SSL_CTX_set_verify(c->ssl, modes[config->client_certificates], NULL);
    SSL_CTX_set_max_cert_list(c->ssl, CLIENT_CHAIN_BYTES);
    if (is_good && config->client_certificates != WSB_TLS_CLIENT_NONE)
        err = config->client_ca ? wsb_tls_authorities_read(config->client_ca, fault, admit, &a)
                                : wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "no authorities for client certificates");
    if (!err)
        is_good = is_good && EVP_DigestFinal_ex(a.digest, sid, &sid_len) == 1 && sid_len <= SSL_MAX_SID_CTX_LENGTH &&
                  SSL_CTX_set_session_id_context(c->ssl, sid, sid_len) == 1;
    EVP_MD_CTX_free(a.digest);
    return err || is_good ? err : wsb_tls_nomem(fault);
}

/* ------------------------------------------------------------ tickets and ALPN */

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                     int enc)
{
    return wsb_tls_tickets_seal(context_of(ssl)->tickets, name, iv, cipher, mac, enc);
}

static void set_tickets(struct wsb_tls_context *c, struct wsb_tls_tickets *tickets)
{
    if (!tickets) {
        (void)SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
        (void)SSL_CTX_set_num_tickets(c->ssl, 0);
        return;
    }
    c->tickets = wsb_tls_tickets_ref(tickets);
    (void)SSL_CTX_set_timeout(c->ssl, WSB_TLS_TICKET_SECONDS);
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(c->ssl, on_ticket);
}

/* RFC 7301 §3.2: a client that offers protocols, and none of ours, is refused with no_application_protocol. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                           unsigned in_len, void *arg)
{
    const struct wsb_tls_context *c = arg;
    unsigned char *chosen = NULL;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, out_len, c->alpn, c->alpn_len, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

wsb_err wsb_tls_server_new(const struct wsb_tls_server_config *config, struct wsb_tls_context **ret,
                           struct wsb_fault *fault)
{
    struct wsb_tls_context *c = NULL;
    wsb_err err =
        wsb_tls_context_begin(/*is_server=*/true, config->min_version, config->ciphers, config->alpn, &c, fault);
    if (err)
        return err;
    (void)SSL_CTX_set_app_data(c->ssl, c);
    (void)SSL_CTX_set_tlsext_servername_callback(c->ssl, on_name);
    set_tickets(c, config->tickets);
    if (c->alpn)
        SSL_CTX_set_alpn_select_cb(c->ssl, choose_protocol, c);
    err = load_certificates(c, config, fault);
    if (!err)
        err = set_clients(c, config, fault);
    if (err) {
        wsb_tls_context_unref(c);
        return err;
    }
    *ret = c;
    return WSB_OK;
}
