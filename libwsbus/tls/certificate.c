/* Certificates and keys from PEM files. Every failure names the file and what is wrong with it. */
#include "tls/certificate.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/parts.h"

enum { CHAIN_MAX = 16, AUTHORITIES_MAX = 1024, NAMES_MAX = 256 };

/* ------------------------------------------------------------------ reading */

static BIO *open_file(const char *file, struct wsb_fault *fault)
{
    errno = 0;
    BIO *bio = BIO_new_file(file, "r");
    if (!bio)
        (void)wsb_fault_set(fault, WSB_ERR_CONFIG, errno, "%s: %s", file, errno ? strerror(errno) : "cannot be read");
    ERR_clear_error();
    return bio;
}

/* Nobody is there to be asked for a pass phrase; without this OpenSSL would ask the terminal. */
static int no_phrase(char *buf, int size, int rwflag, void *is_asked)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    *(bool *)is_asked = true;
    return -1;
}

static bool is_end_of_pem(void)
{
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/* WSB_MORE: no further certificate in the file. */
static wsb_err next_certificate(BIO *bio, const char *file, int number, X509 **ret, struct wsb_fault *fault)
{
    char what[200];
    *ret = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    if (*ret)
        return WSB_OK;
    if (is_end_of_pem()) {
        ERR_clear_error();
        return WSB_MORE;
    }
    (void)snprintf(what, sizeof what, "%.150s: certificate %d is damaged", file, number);
    return wsb_tls_fault(fault, WSB_ERR_CONFIG, what);
}

wsb_err wsb_tls_authorities_read(const char *file, struct wsb_fault *fault,
                                 wsb_err (*each)(void *ctx, X509 *x509, struct wsb_fault *fault), void *ctx)
{
    int count = 0;
    wsb_err err;
    BIO *bio = open_file(file, fault);
    if (!bio)
        return WSB_ERR_CONFIG;
    do {
        X509 *x509 = NULL;
        err = next_certificate(bio, file, count + 1, &x509, fault);
        if (!err && ++count > AUTHORITIES_MAX)
            err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%s: more than %d certificates", file, AUTHORITIES_MAX);
        if (!err)
            err = each(ctx, x509, fault);
        X509_free(x509);
    } while (!err);
    BIO_free(bio);
    if (err != WSB_MORE)
        return err;
    return count ? WSB_OK : wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%s: no certificate (PEM) in it", file);
}

struct loading {
    struct wsb_tls_certificate *certificate;
    const char *file;
};

static wsb_err add_to_chain(void *ctx, X509 *x509, struct wsb_fault *fault)
{
    struct loading *l = ctx;
    struct wsb_tls_certificate *c = l->certificate;
    if (!c->x509) {
        X509_up_ref(x509);
        c->x509 = x509;
        return WSB_OK;
    }
    if (sk_X509_num(c->chain) == CHAIN_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%s: more than %d certificates in the chain", l->file,
                             CHAIN_MAX);
    if (!sk_X509_push(c->chain, x509))
        return wsb_tls_nomem(fault);
    X509_up_ref(x509);
    return WSB_OK;
}

/* The same of a key, which OpenSSL looks for in several ways before it gives up. */
static bool has_no_key(const char *file)
{
    static const char mark[] = "PRIVATE KEY-----";
    char line[256];
    bool is_there = false;
    BIO *bio = BIO_new_file(file, "r");
    while (bio && !is_there && BIO_gets(bio, line, sizeof line) > 0)
        is_there = strstr(line, mark) != NULL;
    BIO_free(bio);
    return !is_there;
}

static wsb_err read_key(struct wsb_tls_certificate *c, const char *file, struct wsb_fault *fault)
{
    bool is_asked = false;
    char what[200];
    BIO *bio = open_file(file, fault);
    if (!bio)
        return WSB_ERR_CONFIG;
    c->key = PEM_read_bio_PrivateKey(bio, NULL, no_phrase, &is_asked);
    BIO_free(bio);
    if (c->key)
        return WSB_OK;
    bool is_missing = !is_asked && has_no_key(file);
    if (is_asked || is_missing) {
        ERR_clear_error();
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             is_asked ? "%s: the key has a pass phrase: store it without one, readable by nobody else"
                                      : "%s: no private key (PEM) in it",
                             file);
    }
    (void)snprintf(what, sizeof what, "%.150s: the private key is damaged", file);
    return wsb_tls_fault(fault, WSB_ERR_CONFIG, what);
}

/* -------------------------------------------------------------------- names */

/* A string of bytes that end nowhere; owned by the caller. */
static char *text_of(const void *bytes, size_t len)
{
    char *text = malloc(len + 1);
    if (!text)
        return NULL;
    if (len)
        memcpy(text, bytes, len);
    text[len] = 0;
    return text;
}

static wsb_err add_name(struct wsb_tls_certificate *c, const unsigned char *text, int len)
{
    if (len <= 0 || len > 253 || memchr(text, 0, (size_t)len) || c->name_count == NAMES_MAX)
        return WSB_OK; /* no name that a client could ask for */
    char *name = text_of(text, (size_t)len);
    char **grown = name ? reallocarray(c->names, c->name_count + 1, sizeof *grown) : NULL;
    if (!grown) {
        free(name);
        return WSB_ERR_NOMEM;
    }
    for (char *p = name; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    c->names = grown;
    c->names[c->name_count++] = name;
    return WSB_OK;
}

/* The common name counts only where there are no others (RFC 6125 §6.4.4). */
static wsb_err add_common_name(struct wsb_tls_certificate *c)
{
    const X509_NAME *subject = X509_get_subject_name(c->x509);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0)
        return WSB_OK;
    const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    return add_name(c, ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
}

static wsb_err read_names(struct wsb_tls_certificate *c)
{
    wsb_err err = WSB_OK;
    GENERAL_NAMES *all = X509_get_ext_d2i(c->x509, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; !err && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        if (name->type == GEN_DNS)
            err = add_name(c, ASN1_STRING_get0_data(name->d.dNSName), ASN1_STRING_length(name->d.dNSName));
    }
    GENERAL_NAMES_free(all);
    if (!err && c->name_count == 0)
        err = add_common_name(c);
    ERR_clear_error();
    return err;
}

int wsb_tls_certificate_rank(const struct wsb_tls_certificate *c, const char *host)
{
    int rank = 0;
    const char *rest = strchr(host, '.'); /* a wildcard stands for one label, the first */
    for (size_t i = 0; i < c->name_count; i++) {
        const char *name = c->names[i];
        if (strcasecmp(name, host) == 0)
            return 2;
        if (name[0] == '*' && name[1] == '.' && rest && rest != host && strcasecmp(name + 1, rest) == 0)
            rank = 1;
    }
    return rank;
}

/* -------------------------------------------------------------- descriptions */

char *wsb_tls_subject_of(const X509 *x509)
{
    char *copy = NULL;
    const char *text = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(x509), 0, XN_FLAG_RFC2253) >= 0) {
        long len = BIO_get_mem_data(bio, &text);
        if (len >= 0 && len <= WSB_TLS_SUBJECT_MAX)
            copy = text_of(text, (size_t)len);
    }
    BIO_free(bio);
    ERR_clear_error();
    return copy;
}

bool wsb_tls_fingerprint_of(const X509 *x509, char out[WSB_TLS_FINGERPRINT_TEXT])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (X509_digest(x509, EVP_sha256(), digest, &len) != 1 || len != 32) {
        ERR_clear_error();
        return false;
    }
    for (unsigned i = 0; i < len; i++)
        (void)snprintf(out + 2 * (size_t)i, 3, "%02x", digest[i]);
    return true;
}

static int64_t unix_time(const ASN1_TIME *t)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int64_t s = epoch && ASN1_TIME_diff(&days, &seconds, epoch, t) ? (int64_t)days * 86400 + seconds : 0;
    ASN1_TIME_free(epoch);
    return s;
}

static wsb_err describe(struct wsb_tls_certificate *c, const char *file)
{
    c->file = strdup(file);
    c->subject = wsb_tls_subject_of(c->x509);
    if (!c->subject)
        c->subject = strdup("");
    c->not_before_s = unix_time(X509_get0_notBefore(c->x509));
    c->not_after_s = unix_time(X509_get0_notAfter(c->x509));
    bool is_done = c->file && c->subject && wsb_tls_fingerprint_of(c->x509, c->fingerprint);
    return is_done ? read_names(c) : WSB_ERR_NOMEM;
}

void wsb_tls_certificate_info(const struct wsb_tls_certificate *c, struct wsb_tls_certificate_info *ret)
{
    const char *kind = EVP_PKEY_get0_type_name(c->key);
    *ret = (struct wsb_tls_certificate_info){
        .file = c->file,
        .subject = c->subject,
        .kind = kind ? kind : "unknown",
        .names = (const char *const *)c->names,
        .name_count = c->name_count,
        .fingerprint = c->fingerprint,
        .not_before_s = c->not_before_s,
        .not_after_s = c->not_after_s,
    };
}

/* --------------------------------------------------------------- begin, end */

wsb_err wsb_tls_certificate_load(const char *cert_file, const char *key_file, struct wsb_tls_certificate **ret,
                                 struct wsb_fault *fault)
{
    wsb_err err = WSB_OK;
    struct wsb_tls_certificate *c = calloc(1, sizeof *c);
    struct loading loading = {c, cert_file};
    if (c)
        c->chain = sk_X509_new_null();
    if (!c || !c->chain) {
        err = wsb_tls_nomem(fault);
        goto out;
    }
    err = wsb_tls_authorities_read(cert_file, fault, add_to_chain, &loading);
    if (!err)
        err = read_key(c, key_file ? key_file : cert_file, fault);
    if (err)
        goto out;
    if (X509_check_private_key(c->x509, c->key) != 1) {
        ERR_clear_error();
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.100s: not the key of the certificate in %.100s",
                            key_file ? key_file : cert_file, cert_file);
        goto out;
    }
    err = describe(c, cert_file);
    if (err) {
        (void)wsb_tls_nomem(fault);
        goto out;
    }
    *ret = c;
    c = NULL;
out:
    wsb_tls_certificate_free(c);
    return err;
}

void wsb_tls_certificate_free(struct wsb_tls_certificate *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->name_count; i++)
        free(c->names[i]);
    free(c->names);
    free(c->subject);
    free(c->file);
    EVP_PKEY_free(c->key);
    sk_X509_pop_free(c->chain, X509_free);
    X509_free(c->x509);
    free(c);
}

bool wsb_tls_certificate_use_for_all(const struct wsb_tls_certificate *c, SSL_CTX *ssl)
{
    return SSL_CTX_use_cert_and_key(ssl, c->x509, c->key, c->chain, /*override=*/1) == 1;
}

bool wsb_tls_certificate_use(const struct wsb_tls_certificate *c, SSL *ssl)
{
    return SSL_use_cert_and_key(ssl, c->x509, c->key, c->chain, /*override=*/1) == 1;
}
