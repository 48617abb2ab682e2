/* What the contexts of both sides have in common. */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "tls/parts.h"

/* RFC 9325 §4.2: forward secrecy and authenticated encryption. TLS 1.3 has no others. */
static const char default_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL";

enum { CIPHERS_TEXT = 1024 };

/* ------------------------------------------------------------------ ciphers */

static void append(char *list, const char *word, size_t len)
{
    size_t used = strlen(list);
    if (used)
        list[used++] = ':';
    memcpy(list + used, word, len);
    list[used + len] = 0;
}

/* OpenSSL keeps two lists, and wants to be told which is which: the names of TLS 1.3 begin with "TLS_". */
static wsb_err set_ciphers(SSL_CTX *ssl, const char *ciphers, struct wsb_fault *fault)
{
    char old[CIPHERS_TEXT] = "";
    char suites[CIPHERS_TEXT] = "";
    if (strlen(ciphers) >= CIPHERS_TEXT)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "the list of ciphers is longer than %d bytes", CIPHERS_TEXT - 1);
    for (const char *at = ciphers; *at;) {
        size_t len = strcspn(at, ":");
        append(strncmp(at, "TLS_", 4) == 0 ? suites : old, at, len);
        at += len + (at[len] == ':');
    }
    if ((*old && SSL_CTX_set_cipher_list(ssl, old) != 1) || (*suites && SSL_CTX_set_ciphersuites(ssl, suites) != 1) ||
        (!*old && !*suites)) {
        ERR_clear_error();
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "'%.150s' has a cipher that OpenSSL does not know, or none: `openssl ciphers` lists them",
                             ciphers);
    }
    return WSB_OK;
}

wsb_err wsb_tls_ciphers_check(const char *ciphers, struct wsb_fault *fault)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_method());
    wsb_err err = ssl ? set_ciphers(ssl, ciphers, fault) : wsb_tls_nomem(fault);
    SSL_CTX_free(ssl);
    return err;
}

/* ------------------------------------------------------------------------ ALPN */

/* "h2,http/1.1" as it goes over the wire: each behind its length (RFC 7301 §3.1). */
static wsb_err set_alpn(struct wsb_tls_context *c, const char *alpn)
{
    size_t len = strlen(alpn);
    c->alpn = malloc(len + 1);
    if (!c->alpn)
        return WSB_ERR_NOMEM;
    unsigned char *out = c->alpn;
    for (const char *at = alpn; *at;) {
        size_t word = strcspn(at, ",");
        if (word == 0 || word > 255)
            return WSB_ERR_MISUSE;
        *out++ = (unsigned char)word;
        memcpy(out, at, word);
        out += word;
        at += word + (at[word] == ',');
    }
    c->alpn_len = (unsigned)(out - c->alpn);
    return WSB_OK;
}

/* --------------------------------------------------------------------- context */

wsb_err wsb_tls_context_begin(bool is_server, enum wsb_tls_version min_version, const char *ciphers, const char *alpn,
                              struct wsb_tls_context **ret, struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    struct wsb_tls_context *c = calloc(1, sizeof *c);
    if (!c)
        return wsb_tls_nomem(fault);
    atomic_init(&c->refs, 1);
    c->is_server = is_server;
    c->bio = wsb_tls_bio_new();
    c->ssl = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    if (!c->bio || !c->ssl) {
        err = wsb_tls_nomem(fault);
        goto out;
    }
    (void)SSL_CTX_set_min_proto_version(c->ssl, min_version == WSB_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
    (void)SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF); /* a server's sessions are in their tickets */
    err = set_ciphers(c->ssl, ciphers ? ciphers : default_ciphers, fault);
    if (!err && alpn && set_alpn(c, alpn) != WSB_OK)
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "'%.60s' is no list of protocols", alpn);
    if (err)
        goto out;
    *ret = c;
    c = NULL;
out:
    wsb_tls_context_unref(c);
    return err;
}

struct wsb_tls_context *wsb_tls_context_ref(struct wsb_tls_context *c)
{
    if (c)
        atomic_fetch_add(&c->refs, 1);
    return c;
}

void wsb_tls_context_unref(struct wsb_tls_context *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    for (size_t i = 0; i < c->certificate_count; i++)
        wsb_tls_certificate_free(c->certificates[i]);
    free(c->certificates);
    wsb_tls_tickets_unref(c->tickets);
    free(c->alpn);
    free(c);
}

size_t wsb_tls_certificate_count(const struct wsb_tls_context *c)
{
    return c->certificate_count;
}

const struct wsb_tls_certificate *wsb_tls_certificate_at(const struct wsb_tls_context *c, size_t index)
{
    return c->certificates[index];
}
