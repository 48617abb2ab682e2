/* Keys and tokens: the examples of the RFCs, tokens made here with each algorithm, and everything that must be refused. */
#include "support/test.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <sys/stat.h>
#include <unistd.h>

#include "token/parts.h"
#include "token/token.h"

enum { NOW = 1300819380 - 10 }; /* ten seconds before the RFC's examples expire */

static struct wsb_token_keys *keys_of(const char *jwk)
{
    char json[4096];
    struct wsb_token_keys *k = NULL;
    struct wsb_fault fault = {0};
    (void)snprintf(json, sizeof json, "{\"keys\":[%s]}", jwk);
    if (wsb_token_keys_parse(&k, wsb_span_str(json), &fault))
        fail_msg("%s: %s", json, fault.text);
    return k;
}

/* "": it is good. */
static const char *verdict(const struct wsb_token_keys *k, const char *token, const struct wsb_token_rules *rules,
                           int64_t now_s)
{
    json_t *claims = NULL;
    const char *why = NULL;
    struct wsb_token_rules none = {0};
    wsb_err err = wsb_token_check(k, wsb_span_str(token), rules ? rules : &none, now_s, &claims, &why);
    if (err == WSB_OK) {
        assert_true(json_is_object(claims));
        json_decref(claims);
        return "";
    }
    assert_int_equal(err, WSB_ERR_REFUSED);
    assert_null(claims);
    return why;
}

#define HS_KEY                                                                                                         \
    "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"                                           \
    "1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}"
#define EC_KEY                                                                                                         \
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                         \
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"
#define ED_KEY   "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"
#define CLAIMS   "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define HS_TOKEN "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." CLAIMS ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define EC_TOKEN                                                                                                       \
    "eyJhbGciOiJFUzI1NiJ9." CLAIMS                                                                                     \
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
#define ED_TOKEN                                                                                                       \
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."                                                        \
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

/* RFC 7515 A.1 and A.3, RFC 8037 A.4 (whose payload is no claims, so that its signature must be good to hear so). */
static void test_the_examples_of_the_rfcs(void **state)
{
    struct wsb_token_keys *hs = keys_of(HS_KEY);
    struct wsb_token_keys *ec = keys_of(EC_KEY);
    struct wsb_token_keys *ed = keys_of(ED_KEY);
    struct wsb_token_keys *all = keys_of(ED_KEY "," EC_KEY "," HS_KEY);
    (void)state;
    assert_string_equal(verdict(hs, HS_TOKEN, NULL, NOW), "");
    assert_string_equal(verdict(ec, EC_TOKEN, NULL, NOW), "");
    assert_string_equal(verdict(ed, ED_TOKEN, NULL, NOW), "the claims are no object");
    assert_string_equal(verdict(all, HS_TOKEN, NULL, NOW), "");
    assert_string_equal(verdict(all, EC_TOKEN, NULL, NOW), "");
    assert_string_equal(verdict(hs, EC_TOKEN, NULL, NOW), "the signature is not right");
    assert_string_equal(verdict(hs, HS_TOKEN, NULL, NOW + 10), "the token has expired");
    wsb_token_keys_unref(hs);
    wsb_token_keys_unref(ec);
    wsb_token_keys_unref(ed);
    wsb_token_keys_unref(all);
}

/* ----------------------------------------------- tokens of every algorithm */

static char *b64(const void *data, size_t len)
{
    char *text = wsb_token_encode(wsb_span(data, len));
    assert_non_null(text);
    return text;
}

static char *param_b64(EVP_PKEY *pkey, const char *name)
{
    BIGNUM *n = NULL;
    uint8_t bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, name, &n), 1);
    int len = BN_num_bytes(n);
    int width = strcmp(name, OSSL_PKEY_PARAM_EC_PUB_X) == 0 || strcmp(name, OSSL_PKEY_PARAM_EC_PUB_Y) == 0 ? 32 : len;
    assert_true(BN_bn2binpad(n, bytes, width) == width);
    BN_free(n);
    return b64(bytes, (size_t)width);
}

static void jwk_of(EVP_PKEY *pkey, const char *alg, char *out, size_t size)
{
    if (strcmp(alg, "RS256") == 0) {
        char *n = param_b64(pkey, OSSL_PKEY_PARAM_RSA_N);
        char *e = param_b64(pkey, OSSL_PKEY_PARAM_RSA_E);
        (void)snprintf(out, size,
                       "{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":\"r\",\"n\":\"%s\",\"e\":\"%s\"}", n,
                       e);
        free(n);
        free(e);
    } else if (strcmp(alg, "ES256") == 0) {
        char *x = param_b64(pkey, OSSL_PKEY_PARAM_EC_PUB_X);
        char *y = param_b64(pkey, OSSL_PKEY_PARAM_EC_PUB_Y);
        (void)snprintf(out, size, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":\"%s\",\"y\":\"%s\"}", x, y);
        free(x);
        free(y);
    } else {
        uint8_t raw[32];
        size_t len = sizeof raw;
        assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, raw, &len), 1);
        char *x = b64(raw, len);
        (void)snprintf(out, size, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"o\",\"x\":\"%s\"}", x);
        free(x);
    }
}

/* Header and claims as they are given, signed. */
static void sign(EVP_PKEY *pkey, const char *alg, const char *header, const char *claims, char *out, size_t size)
{
    uint8_t signature[1024];
    size_t len = sizeof signature;
    char *h = b64(header, strlen(header));
    char *c = b64(claims, strlen(claims));
    (void)snprintf(out, size, "%s.%s", h, c);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, strcmp(alg, "EdDSA") == 0 ? NULL : EVP_sha256(), NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const uint8_t *)out, strlen(out)), 1);
    EVP_MD_CTX_free(ctx);
    if (strcmp(alg, "ES256") == 0) {
        const uint8_t *at = signature;
        ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
        assert_non_null(sig);
        uint8_t raw[64];
        assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32), 32);
        assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32), 32);
        ECDSA_SIG_free(sig);
        memcpy(signature, raw, len = sizeof raw);
    }
    char *s = b64(signature, len);
    (void)snprintf(out + strlen(out), size - strlen(out), ".%s", s);
    free(h);
    free(c);
    free(s);
}

static EVP_PKEY *pkey_of(const char *alg)
{
    return strcmp(alg, "RS256") == 0   ? EVP_RSA_gen(2048)
           : strcmp(alg, "ES256") == 0 ? EVP_EC_gen("P-256")
                                       : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static void test_each_algorithm_and_each_bit_of_its_tokens(void **state)
{
    static const char *const algs[] = {"RS256", "ES256", "EdDSA"};
    (void)state;
    for (size_t i = 0; i < COUNT(algs); i++) {
        EVP_PKEY *pkey = pkey_of(algs[i]);
        char jwk[2048], header[64], token[2048], broken[2048];
        jwk_of(pkey, algs[i], jwk, sizeof jwk);
        struct wsb_token_keys *k = keys_of(jwk);
        (void)snprintf(header, sizeof header, "{\"alg\":\"%s\"}", algs[i]);
        sign(pkey, algs[i], header, "{\"exp\":1000}", token, sizeof token);
        assert_string_equal(verdict(k, token, NULL, 999), "");
        for (size_t at = 0; at < strlen(token); at += 7) {
            memcpy(broken, token, strlen(token) + 1);
            broken[at] = (char)(broken[at] == 'A' ? 'B' : 'A');
            if (strcmp(verdict(k, broken, NULL, 999), "") == 0)
                fail_msg("%s: byte %zu does not matter", algs[i], at);
        }
        wsb_token_keys_unref(k);
        EVP_PKEY_free(pkey);
    }
}

/* What a key is for is said by the key, not by the token (RFC 8725 §2.1). */
static void test_algorithms_are_not_confused(void **state)
{
    EVP_PKEY *rsa = pkey_of("RS256");
    char jwk[2048], token[2048];
    (void)state;
    jwk_of(rsa, "RS256", jwk, sizeof jwk);
    struct wsb_token_keys *k = keys_of(jwk);
    static const char *const headers[] = {"{\"alg\":\"none\"}",  "{\"alg\":\"HS256\"}",  "{\"alg\":\"RS512\"}", "{}",
                                          "{\"alg\":\"rs256\"}", "{\"alg\":[\"RS256\"]}"};
    for (size_t i = 0; i < COUNT(headers); i++) {
        sign(rsa, "RS256", headers[i], "{\"exp\":1000}", token, sizeof token);
        assert_string_equal(verdict(k, token, NULL, 0), "the signature is not right");
    }
    sign(rsa, "RS256", "{\"alg\":\"RS256\",\"kid\":\"other\"}", "{\"exp\":1000}", token, sizeof token);
    assert_string_equal(verdict(k, token, NULL, 0), "the signature is not right");
    sign(rsa, "RS256", "{\"alg\":\"RS256\",\"kid\":\"r\"}", "{\"exp\":1000}", token, sizeof token);
    assert_string_equal(verdict(k, token, NULL, 0), "");
    sign(rsa, "RS256", "{\"alg\":\"RS256\",\"crit\":[\"exp\"]}", "{\"exp\":1000}", token, sizeof token);
    assert_string_equal(verdict(k, token, NULL, 0), "the token has critical extensions");
    sign(rsa, "RS256", "{\"alg\":\"RS256\",\"alg\":\"RS256\"}", "{\"exp\":1000}", token, sizeof token);
    assert_string_equal(verdict(k, token, NULL, 0), "not a token");
    wsb_token_keys_unref(k);
    EVP_PKEY_free(rsa);
}

/* -------------------------------------------------------------------- claims */

static void test_claims(void **state)
{
    static const struct {
        const char *claims;
        const char *issuer, *audience;
        bool audience_required;
        int64_t now_s;
        const char *want;
    } rows[] = {
        {"{\"exp\":1000}", NULL, NULL, false, 999, ""},
        {"{\"exp\":1000.5}", NULL, NULL, false, 1000, ""},
        {"{\"exp\":1000}", NULL, NULL, false, 1004, ""}, /* the leeway is five */
        {"{\"exp\":1000}", NULL, NULL, false, 1005, "the token has expired"},
        {"{}", NULL, NULL, false, 0, "the token has no expiry"},
        {"{\"exp\":null}", NULL, NULL, false, 0, "the token has no expiry"},
        {"{\"exp\":\"1000\"}", NULL, NULL, false, 0, "the token has no expiry"},
        {"{\"exp\":-1}", NULL, NULL, false, 0, "the token has no expiry"},
        {"{\"exp\":1e300}", NULL, NULL, false, 5000000000, ""},
        {"{\"exp\":1000,\"nbf\":500}", NULL, NULL, false, 495, ""},
        {"{\"exp\":1000,\"nbf\":500}", NULL, NULL, false, 494, "the token is not good yet"},
        {"{\"exp\":1000,\"nbf\":\"x\"}", NULL, NULL, false, 600, "the token is not good yet"},
        {"{\"exp\":1000,\"iat\":500}", NULL, NULL, false, 494, "the token is of the future"},
        {"{\"exp\":1000,\"iss\":\"me\"}", "me", NULL, false, 0, ""},
        {"{\"exp\":1000,\"iss\":\"you\"}", "me", NULL, false, 0, "the token is of another issuer"},
        {"{\"exp\":1000}", "me", NULL, false, 0, "the token is of another issuer"},
        {"{\"exp\":1000}", NULL, "chat", false, 0, ""},
        {"{\"exp\":1000}", NULL, "chat", true, 0, "the token is for somebody else"},
        {"{\"exp\":1000,\"aud\":\"chat\"}", NULL, "chat", true, 0, ""},
        {"{\"exp\":1000,\"aud\":[\"x\",\"chat\"]}", NULL, "chat", true, 0, ""},
        {"{\"exp\":1000,\"aud\":\"x\"}", NULL, "chat", false, 0, "the token is for somebody else"},
        {"{\"exp\":1000,\"aud\":[]}", NULL, "chat", false, 0, "the token is for somebody else"},
        {"{\"exp\":1000,\"aud\":7}", NULL, "chat", false, 0, "the token is for somebody else"},
        {"{\"exp\":1000,\"aud\":\"x\"}", NULL, NULL, false, 0, "the token is for somebody else"},
    };
    struct wsb_token_keys *k = keys_of(HS_KEY);
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_t *claims = json_loads(rows[i].claims, 0, NULL);
        struct wsb_token_rules rules = {rows[i].issuer, rows[i].audience, rows[i].audience_required, 5000};
        char *token = NULL;
        assert_non_null(claims);
        assert_int_equal(wsb_token_make(k, NULL, claims, &token), WSB_OK);
        const char *got = verdict(k, token, &rules, rows[i].now_s);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: '%s', not '%s'", rows[i].claims, got, rows[i].want);
        free(token);
        json_decref(claims);
    }
    wsb_token_keys_unref(k);
}

/* {"exp":1000,"x":[[[…]]]}, or with `width` numbers in one array. */
static char *claims_of(size_t depth, size_t width)
{
    char *text = malloc(2 * (depth + width) + 64);
    assert_non_null(text);
    char *at = stpcpy(text, "{\"exp\":1000,\"x\":");
    for (size_t i = 0; i < depth; i++)
        *at++ = '[';
    for (size_t i = 0; i < width; i++) {
        *at++ = '1';
        *at++ = i + 1 < width ? ',' : ' ';
    }
    for (size_t i = 0; i < depth; i++)
        *at++ = ']';
    (void)stpcpy(at, "}");
    return text;
}

/* Handlers get what it says, and their parsers give up sooner than ours. */
static void test_what_a_token_says_is_bounded(void **state)
{
    static const struct {
        size_t depth, width;
        bool want;
    } rows[] = {{WSB_TOKEN_DEPTH_MAX - 1, 1, true},  {WSB_TOKEN_DEPTH_MAX, 1, false}, {990, 1, false}, {2047, 0, false},
                {1, WSB_TOKEN_VALUES_MAX - 4, true}, {1, WSB_TOKEN_VALUES_MAX, false}};
    static const char too_much[] = "the token says too much: its JSON is too deep, or has too many values";
    EVP_PKEY *pkey = pkey_of("EdDSA");
    char jwk[2048], token[WSB_TOKEN_MAX];
    (void)state;
    jwk_of(pkey, "EdDSA", jwk, sizeof jwk);
    struct wsb_token_keys *k = keys_of(jwk);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *claims = claims_of(rows[i].depth, rows[i].width);
        sign(pkey, "EdDSA", "{\"alg\":\"EdDSA\"}", claims, token, sizeof token);
        assert_string_equal(verdict(k, token, NULL, 999), rows[i].want ? "" : too_much);
        sign(pkey, "EdDSA", claims, "{\"exp\":1000}", token, sizeof token); /* the header is nobody's word yet */
        assert_string_equal(verdict(k, token, NULL, 999), rows[i].want ? "the signature is not right" : too_much);
        free(claims);
    }
    wsb_token_keys_unref(k);
    EVP_PKEY_free(pkey);
}

static void test_what_is_no_token(void **state)
{
    static const char *const rows[] = {"",     ".",    "..",   "a.b",     "a.b.c",
                                       "a..c", ".b.c", "a.b.", "a.b.c.d", "bnVsbA.bnVsbA.bnVsbA"};
    struct wsb_token_keys *k = keys_of(HS_KEY);
    char *huge = malloc(WSB_TOKEN_MAX + 2);
    char padded[sizeof HS_TOKEN + 1] = HS_TOKEN "=";
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(verdict(k, rows[i], NULL, 0), "not a token");
    assert_non_null(huge);
    memset(huge, 'a', WSB_TOKEN_MAX + 1);
    huge[WSB_TOKEN_MAX + 1] = 0;
    huge[5] = huge[9] = '.';
    assert_string_equal(verdict(k, huge, NULL, 0), "not a token");
    free(huge);
    assert_string_equal(verdict(k, padded, NULL, NOW), "the signature is not right");
    wsb_token_keys_unref(k);
}

static void test_a_token_goes_round(void **state)
{
    char *json = NULL, *token = NULL;
    const char *why;
    struct wsb_token_keys *k = NULL;
    json_t *claims = json_pack("{s:I, s:s}", "exp", (json_int_t)1000, "sub", "ünïcode");
    json_t *got = NULL;
    struct wsb_token_rules rules = {0};
    (void)state;
    assert_int_equal(wsb_token_keys_generate("k1", &json), WSB_OK);
    assert_int_equal(wsb_token_keys_parse(&k, wsb_span_str(json), NULL), WSB_OK);
    assert_int_equal(wsb_token_make(k, "k2", claims, &token), WSB_ERR_NOT_FOUND);
    assert_int_equal(wsb_token_make(k, "k1", claims, &token), WSB_OK);
    assert_int_equal(wsb_token_check(k, wsb_span_str(token), &rules, 0, &got, &why), WSB_OK);
    assert_true(json_equal(got, claims));
    json_decref(got);
    json_decref(claims);
    wsb_token_keys_unref(k);
    free(token);
    free(json);
}

/* ---------------------------------------------------------------------- keys */

static void test_keys_say_what_is_wrong(void **state)
{
    static const struct {
        const char *json, *why;
    } rows[] = {
        {"", "line"},
        {"[]", "no key set"},
        {"{\"keys\":[]}", "no key set"},
        {"{\"keys\":{}}", "no key set"},
        {"{\"keys\":[7]}", "key 1: not an object"},
        {"{\"keys\":[{\"kty\":\"oct\"}]}", "key 1: \"k\" is not base64url"},
        {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}", "shorter than 32 bytes"},
        {"{\"keys\":[{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"A+//\"}]}", "key 1 (x): \"k\" is not base64url"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", "2048 to 8192 bits"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\"}]}", "P-256"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
         "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}",
         "not a point of P-256"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\"}]}", "Ed25519"},
        {"{\"keys\":[{\"kty\":\"dsa\"}]}", "\"kty\" is not"},
        {"{\"keys\":[" ED_KEY ",{\"kty\":\"x\"}]}", "key 2"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"enc\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
         "\"use\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"HS256\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
         "\"alg\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
         "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
         "twice"},
        {"{\"keys\":[],\"keys\":[]}", "line 1"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wsb_token_keys *k = NULL;
        struct wsb_fault fault = {0};
        assert_int_equal(wsb_token_keys_parse(&k, wsb_span_str(rows[i].json), &fault), WSB_ERR_CONFIG);
        assert_null(k);
        if (!strstr(fault.text, rows[i].why))
            fail_msg("%s: %s", rows[i].json, fault.text);
    }
}

static void test_files_have_a_mode(void **state)
{
    char path[] = "/tmp/wsbus-keys-XXXXXX";
    struct wsb_token_keys *k = NULL;
    struct wsb_fault fault = {0};
    int fd = mkstemp(path);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "{\"keys\":[" HS_KEY "]}", strlen("{\"keys\":[" HS_KEY "]}")),
                     strlen("{\"keys\":[" HS_KEY "]}"));
    assert_int_equal(wsb_token_keys_load(&k, path, &fault), WSB_OK);
    wsb_token_keys_unref(k);
    assert_int_equal(fchmod(fd, 0640), 0);
    assert_int_equal(wsb_token_keys_load(&k, path, &fault), WSB_ERR_CONFIG);
    assert_non_null(strstr(fault.text, "chmod 600"));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(write(fd, "{\"keys\":[" ED_KEY "]}", strlen("{\"keys\":[" ED_KEY "]}")),
                     strlen("{\"keys\":[" ED_KEY "]}"));
    assert_int_equal(wsb_token_keys_load(&k, path, &fault), WSB_OK); /* public keys may be read by all */
    assert_int_equal(wsb_token_keys_count(k), 1);
    wsb_token_keys_unref(k);
    assert_int_equal(ftruncate(fd, (WSB_TOKEN_KEYS_FILE_MAX) + 1), 0);
    assert_int_equal(wsb_token_keys_load(&k, path, &fault), WSB_ERR_CONFIG);
    assert_non_null(strstr(fault.text, "256 KiB"));
    (void)close(fd);
    (void)unlink(path);
    assert_int_equal(wsb_token_keys_load(&k, path, &fault), WSB_ERR_IO);
    assert_non_null(strstr(fault.text, "No such file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_examples_of_the_rfcs),
        cmocka_unit_test(test_each_algorithm_and_each_bit_of_its_tokens),
        cmocka_unit_test(test_algorithms_are_not_confused),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_what_a_token_says_is_bounded),
        cmocka_unit_test(test_what_is_no_token),
        cmocka_unit_test(test_a_token_goes_round),
        cmocka_unit_test(test_keys_say_what_is_wrong),
        cmocka_unit_test(test_files_have_a_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
