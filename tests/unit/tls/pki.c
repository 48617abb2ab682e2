#include "support/test.h"

#include "unit/tls/pki.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <unistd.h>

void pki_open(struct pki *p)
{
    (void)strcpy(p->dir, "/tmp/wsbus-pki-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
}

void pki_close(struct pki *p)
{
    DIR *dir = opendir(p->dir);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (e->d_name[0] != '.')
            assert_int_equal(unlink(pki_path(p, e->d_name)), 0);
    }
    closedir(dir);
    assert_int_equal(rmdir(p->dir), 0);
}

const char *pki_path(const struct pki *p, const char *file)
{
    static char paths[64][PKI_PATH];
    static unsigned next;
    char *path = paths[next++ % 64];
    (void)snprintf(path, PKI_PATH, "%s/%s", p->dir, file);
    return path;
}

static const char *with_suffix(const struct pki *p, const char *file, const char *suffix)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s%s", file, suffix);
    return pki_path(p, name);
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

static X509 *read_cert(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
    assert_non_null(x);
    fclose(f);
    return x;
}

static EVP_PKEY *read_key(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    EVP_PKEY *k = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    assert_non_null(k);
    fclose(f);
    return k;
}

void pki_make(struct pki *p, const struct pki_ask *ask)
{
    static long serial;
    EVP_PKEY *key = ask->is_rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509 *issuer = ask->issuer ? read_cert(with_suffix(p, ask->issuer, ".pem")) : x;
    EVP_PKEY *signer = ask->issuer ? read_key(with_suffix(p, ask->issuer, ".key")) : key;
    assert_non_null(key);
    assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), ask->days < 0 ? ask->days * 2 * 86400 : -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), ask->days * 86400);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const unsigned char *)ask->common_name,
                               -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(issuer));
    X509_set_pubkey(x, key);
    extend(x, issuer, NID_basic_constraints, ask->is_authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (ask->names)
        extend(x, issuer, NID_subject_alt_name, ask->names);
    assert_true(X509_sign(x, signer, EVP_sha256()) > 0);
    FILE *f = fopen(with_suffix(p, ask->file, ".pem"), "w");
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    f = fopen(with_suffix(p, ask->file, ".key"), "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    if (ask->issuer) {
        X509_free(issuer);
        EVP_PKEY_free(signer);
    }
    X509_free(x);
    EVP_PKEY_free(key);
}

const char *pki_write(const struct pki *p, const char *file, const char *text)
{
    const char *path = pki_path(p, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
    return path;
}

static void copy_into(const struct pki *p, const char *file, FILE *to)
{
    FILE *from = fopen(pki_path(p, file), "r");
    assert_non_null(from);
    for (int c = fgetc(from); c != EOF; c = fgetc(from))
        fputc(c, to);
    fclose(from);
}

const char *pki_join(const struct pki *p, const char *file, const char *first, const char *second)
{
    const char *path = pki_path(p, file);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    copy_into(p, first, f);
    copy_into(p, second, f);
    fclose(f);
    return path;
}
