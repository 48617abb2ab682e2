/* The client's side: whom to trust, and what to show. */
#include "tls/parts.h"

static wsb_err trust(void *ctx, X509 *x509, struct wsb_fault *fault)
{
    return X509_STORE_add_cert(ctx, x509) == 1 ? WSB_OK : wsb_tls_nomem(fault);
}

static wsb_err set_trust(struct wsb_tls_context *c, const char *ca_file, struct wsb_fault *fault)
{
    if (ca_file)
        return wsb_tls_authorities_read(ca_file, fault, trust, SSL_CTX_get_cert_store(c->ssl));
    if (SSL_CTX_set_default_verify_paths(c->ssl) == 1)
        return WSB_OK;
    return wsb_tls_fault(fault, WSB_ERR_CONFIG, "the system's authorities cannot be read");
}

static wsb_err set_own(struct wsb_tls_context *c, const struct wsb_tls_files *files, struct wsb_fault *fault)
{
    struct wsb_tls_certificate *own = NULL;
    wsb_err err = wsb_tls_certificate_load(files->certificate, files->key, &own, fault);
    if (!err && !wsb_tls_certificate_use_for_all(own, c->ssl))
        err = wsb_tls_fault(fault, WSB_ERR_CONFIG, files->certificate);
    wsb_tls_certificate_free(own);
    return err;
}

wsb_err wsb_tls_client_new(const struct wsb_tls_client_config *config, struct wsb_tls_context **ret,
                           struct wsb_fault *fault)
{
    struct wsb_tls_context *c = NULL;
    wsb_err err =
        wsb_tls_context_begin(/*is_server=*/false, config->min_version, config->ciphers, config->alpn, &c, fault);
    if (err)
        return err;
    c->is_insecure = config->insecure;
    SSL_CTX_set_verify(c->ssl, config->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (!config->insecure)
        err = set_trust(c, config->ca_file, fault);
    if (!err && config->files.certificate)
        err = set_own(c, &config->files, fault);
    if (!err && c->alpn && SSL_CTX_set_alpn_protos(c->ssl, c->alpn, c->alpn_len) != 0) /* 0 is success here */
        err = wsb_tls_nomem(fault);
    if (err) {
        wsb_tls_context_unref(c);
        return err;
    }
    *ret = c;
    return WSB_OK;
}
