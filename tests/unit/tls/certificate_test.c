/* Certificates and keys from files: what is told of good ones, and what is said about bad ones. */
#include "support/test.h"

#include <time.h>

#include "tls/certificate.h"
#include "tls/context.h"
#include "unit/tls/pki.h"

static struct pki pki;

static int setup(void **state)
{
    (void)state;
    pki_open(&pki);
    pki_make(&pki, &(struct pki_ask){.file = "ca", .common_name = "authority", .days = 30, .is_authority = true});
    pki_make(&pki, &(struct pki_ask){.file = "a",
                                     .names = "DNS:Example.com,DNS:*.example.net,IP:127.0.0.1",
                                     .issuer = "ca",
                                     .common_name = "a",
                                     .days = 10});
    pki_make(&pki, &(struct pki_ask){.file = "cn", .common_name = "only.example.org", .days = 10, .is_rsa = true});
    pki_make(&pki, &(struct pki_ask){.file = "old", .names = "DNS:old", .common_name = "old", .days = -2});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pki_close(&pki);
    return 0;
}

static struct wsb_tls_certificate *load(const char *cert, const char *key)
{
    struct wsb_tls_certificate *c = NULL;
    struct wsb_fault fault = {0};
    wsb_err err = wsb_tls_certificate_load(pki_path(&pki, cert), key ? pki_path(&pki, key) : NULL, &c, &fault);
    if (err)
        fail_msg("%s", fault.text);
    return c;
}

static void test_info_says_what_is_in_the_file(void **state)
{
    (void)state;
    struct wsb_tls_certificate_info info;
    struct wsb_tls_certificate *c = load("a.pem", "a.key");
    wsb_tls_certificate_info(c, &info);
    assert_string_equal(info.subject, "CN=a");
    assert_string_equal(info.kind, "EC");
    assert_int_equal(info.name_count, 2);
    assert_string_equal(info.names[0], "example.com");
    assert_string_equal(info.names[1], "*.example.net");
    assert_int_equal(strlen(info.fingerprint), 64);
    assert_int_equal(info.not_after_s - info.not_before_s, 10 * 86400 + 3600);
    wsb_tls_certificate_free(c);
    c = load("cn.pem", "cn.key");
    wsb_tls_certificate_info(c, &info);
    assert_string_equal(info.kind, "RSA");
    assert_string_equal(info.names[0], "only.example.org");
    wsb_tls_certificate_free(c);
    c = load("old.pem", "old.key"); /* whoever uses it decides what that means */
    wsb_tls_certificate_info(c, &info);
    assert_true(info.not_after_s < (int64_t)time(NULL));
    wsb_tls_certificate_free(c);
}

static void test_rank_prefers_the_name_to_the_wildcard(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        int rank;
    } rows[] = {
        {"example.com", 2},     {"EXAMPLE.com", 2},     {"www.example.com", 0},
        {"www.example.net", 1}, {"WWW.EXAMPLE.NET", 1}, {"a.b.example.net", 0},
        {"example.net", 0},     {".example.net", 0},    {"", 0},
        {"127.0.0.1", 0},
    };
    struct wsb_tls_certificate *c = load("a.pem", "a.key");
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (wsb_tls_certificate_rank(c, rows[i].host) != rows[i].rank)
            fail_msg("%s", rows[i].host);
    }
    wsb_tls_certificate_free(c);
}

static void test_load_takes_chain_and_key_of_one_file(void **state)
{
    (void)state;
    pki_join(&pki, "chain.pem", "a.pem", "ca.pem");
    pki_join(&pki, "all.pem", "chain.pem", "a.key");
    wsb_tls_certificate_free(load("chain.pem", "a.key"));
    wsb_tls_certificate_free(load("all.pem", NULL));
}

static void test_load_says_what_is_wrong_with_which_file(void **state)
{
    (void)state;
    pki_write(&pki, "empty.pem", "");
    pki_write(&pki, "text.pem", "this is not a certificate\n");
    pki_write(&pki, "bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    pki_write(&pki, "bad.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    pki_write(&pki, "locked.key",
              "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
              "DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n"
              "AAAAAAAAAAAAAAAAAAAAAA==\n-----END EC PRIVATE KEY-----\n");
    pki_join(&pki, "tail.pem", "a.pem", "bad.pem");
    static const struct {
        const char *cert, *key, *says;
    } rows[] = {
        {"none.pem", "a.key", "/none.pem: No such file or directory"},
        {"a.pem", "none.key", "/none.key: No such file or directory"},
        {"empty.pem", "a.key", "/empty.pem: no certificate (PEM) in it"},
        {"text.pem", "a.key", "/text.pem: no certificate (PEM) in it"},
        {"bad.pem", "a.key", "/bad.pem: certificate 1 is damaged"},
        {"tail.pem", "a.key", "/tail.pem: certificate 2 is damaged"},
        {"a.pem", "text.pem", "/text.pem: no private key (PEM) in it"},
        {"a.pem", NULL, "/a.pem: no private key (PEM) in it"},
        {"a.pem", "bad.key", "/bad.key: the private key is damaged"},
        {"a.pem", "locked.key", "/locked.key: the key has a pass phrase"},
        {"a.pem", "cn.key", "/cn.key: not the key of the certificate in "},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_tls_certificate *c = NULL;
        struct wsb_fault fault = {0};
        wsb_err err = wsb_tls_certificate_load(pki_path(&pki, rows[i].cert),
                                               rows[i].key ? pki_path(&pki, rows[i].key) : NULL, &c, &fault);
        if (err != WSB_ERR_CONFIG || c || !strstr(fault.text, rows[i].says))
            fail_msg("row %zu: %d %s", i, err, fault.text);
    }
}

static void test_ciphers_are_checked(void **state)
{
    (void)state;
    struct wsb_fault fault = {0};
    char longest[2048];
    memset(longest, 'A', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(wsb_tls_ciphers_check("ECDHE+AESGCM", &fault), WSB_OK);
    assert_int_equal(wsb_tls_ciphers_check("TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256", &fault), WSB_OK);
    assert_int_equal(wsb_tls_ciphers_check("TLS_AES_128_GCM_SHA256", &fault), WSB_OK);
    assert_int_equal(wsb_tls_ciphers_check("NOSUCH", &fault), WSB_ERR_CONFIG);
    assert_non_null(strstr(fault.text, "'NOSUCH' has a cipher that OpenSSL does not know"));
    assert_int_equal(wsb_tls_ciphers_check("TLS_NO_SUCH", &fault), WSB_ERR_CONFIG);
    assert_int_equal(wsb_tls_ciphers_check("", &fault), WSB_ERR_CONFIG);
    assert_int_equal(wsb_tls_ciphers_check(longest, &fault), WSB_ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info_says_what_is_in_the_file),
        cmocka_unit_test(test_rank_prefers_the_name_to_the_wildcard),
        cmocka_unit_test(test_load_takes_chain_and_key_of_one_file),
        cmocka_unit_test(test_load_says_what_is_wrong_with_which_file),
        cmocka_unit_test(test_ciphers_are_checked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
