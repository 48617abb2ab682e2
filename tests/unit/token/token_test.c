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
    assert_string_equal(verdict(hs, EC_TOKEN, NULL, NOW), "no key is for its algorithm");
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

/* An algorithm as its keys and its signatures are made. */
static const struct algorithm {
    const char *name;
    const char *curve;  /* of EC and OKP keys; NULL: an RSA key */
    const char *digest; /* NULL: none of its own */
    int width;          /* of a coordinate, bytes */
    bool has_default;   /* a key of its kind has it without "alg" */
} algorithms[] = {
    {"RS256", NULL, "SHA256", 0, true},     {"RS384", NULL, "SHA384", 0, false},
    {"RS512", NULL, "SHA512", 0, false},    {"PS256", NULL, "SHA256", 0, false},
    {"PS384", NULL, "SHA384", 0, false},    {"PS512", NULL, "SHA512", 0, false},
    {"ES256", "P-256", "SHA256", 32, true}, {"ES384", "P-384", "SHA384", 48, true},
    {"ES512", "P-521", "SHA512", 66, true}, {"EdDSA", "Ed25519", NULL, 0, true},
    {"EdDSA", "Ed448", NULL, 0, true},
};

static const struct algorithm *algorithm_of(const char *name)
{
    for (size_t i = 0; i < COUNT(algorithms); i++) {
        if (strcmp(algorithms[i].name, name) == 0)
            return &algorithms[i];
    }
    fail_msg("%s", name);
    return NULL;
}

/* `width` 0: as long as it is. */
static char *param_b64(EVP_PKEY *pkey, const char *name, int width)
{
    BIGNUM *n = NULL;
    uint8_t bytes[1024];
    assert_int_equal(EVP_PKEY_get_bn_param(pkey, name, &n), 1);
    width = width ? width : BN_num_bytes(n);
    assert_true(BN_bn2binpad(n, bytes, width) == width);
    BN_free(n);
    return b64(bytes, (size_t)width);
}

/* @more  further members, each with a comma behind it */
static void jwk_of(EVP_PKEY *pkey, const struct algorithm *a, const char *more, char *out, size_t size)
{
    if (!a->curve) {
        char *n = param_b64(pkey, OSSL_PKEY_PARAM_RSA_N, 0);
        char *e = param_b64(pkey, OSSL_PKEY_PARAM_RSA_E, 0);
        (void)snprintf(out, size, "{%s\"kty\":\"RSA\",\"kid\":\"r\",\"n\":\"%s\",\"e\":\"%s\"}", more, n, e);
        free(n);
        free(e);
    } else if (a->width) {
        char *x = param_b64(pkey, OSSL_PKEY_PARAM_EC_PUB_X, a->width);
        char *y = param_b64(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, a->width);
        (void)snprintf(out, size, "{%s\"kty\":\"EC\",\"crv\":\"%s\",\"kid\":\"e\",\"x\":\"%s\",\"y\":\"%s\"}", more,
                       a->curve, x, y);
        free(x);
        free(y);
    } else {
        uint8_t raw[64];
        size_t len = sizeof raw;
        assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, raw, &len), 1);
        char *x = b64(raw, len);
        (void)snprintf(out, size, "{%s\"kty\":\"OKP\",\"crv\":\"%s\",\"kid\":\"o\",\"x\":\"%s\"}", more, a->curve, x);
        free(x);
    }
}

/* From DER to two numbers of the curve's length. */
static size_t es_raw(uint8_t *signature, size_t len, int width)
{
    const uint8_t *at = signature;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    uint8_t raw[2 * 66];
    assert_non_null(sig);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, width), width);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + width, width), width);
    ECDSA_SIG_free(sig);
    memcpy(signature, raw, 2 * (size_t)width);
    return 2 * (size_t)width;
}

/* Header and claims as they are given, signed. */
static void sign(EVP_PKEY *pkey, const struct algorithm *a, const char *header, const char *claims, char *out,
                 size_t size)
{
    uint8_t signature[1024];
    size_t len = sizeof signature;
    EVP_PKEY_CTX *inner = NULL;
    char *h = b64(header, strlen(header));
    char *c = b64(claims, strlen(claims));
    (void)snprintf(out, size, "%s.%s", h, c);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const EVP_MD *md = a->digest ? EVP_get_digestbyname(a->digest) : NULL;
    assert_int_equal(EVP_DigestSignInit(ctx, &inner, md, NULL, pkey), 1);
    if (a->name[0] == 'P') {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(inner, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(inner, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const uint8_t *)out, strlen(out)), 1);
    EVP_MD_CTX_free(ctx);
    if (a->width)
        len = es_raw(signature, len, a->width);
    char *s = b64(signature, len);
    (void)snprintf(out + strlen(out), size - strlen(out), ".%s", s);
    free(h);
    free(c);
    free(s);
}

static EVP_PKEY *pkey_of(const struct algorithm *a)
{
    return !a->curve ? EVP_RSA_gen(2048) : a->width ? EVP_EC_gen(a->curve) : EVP_PKEY_Q_keygen(NULL, NULL, a->curve);
}

static void test_each_algorithm_and_each_bit_of_its_tokens(void **state)
{
    (void)state;
    for (const struct algorithm *a = algorithms; a < algorithms + COUNT(algorithms); a++) {
        EVP_PKEY *pkey = pkey_of(a);
        char jwk[2048], more[64], header[64], token[2048], broken[2048];
        (void)snprintf(more, sizeof more, "\"alg\":\"%s\",\"use\":\"sig\",", a->name);
        jwk_of(pkey, a, more, jwk, sizeof jwk);
        struct wsb_token_keys *k = keys_of(jwk);
        (void)snprintf(header, sizeof header, "{\"alg\":\"%s\"}", a->name);
        sign(pkey, a, header, "{\"exp\":1000}", token, sizeof token);
        assert_string_equal(verdict(k, token, NULL, 999), "");
        for (size_t at = 0; at < strlen(token); at += 7) {
            memcpy(broken, token, strlen(token) + 1);
            broken[at] = (char)(broken[at] == 'A' ? 'B' : 'A');
            if (strcmp(verdict(k, broken, NULL, 999), "") == 0)
                fail_msg("%s: byte %zu does not matter", a->name, at);
        }
        token[strlen(token) - 4] = 0; /* three bytes less */
        assert_string_equal(verdict(k, token, NULL, 999), "the signature is not right");
        wsb_token_keys_unref(k);
        EVP_PKEY_free(pkey);
    }
}

/* Each key has one algorithm, and checks nothing that claims another one of its kind. */
static void test_a_key_has_one_algorithm(void **state)
{
    EVP_PKEY *pkeys[COUNT(algorithms)];
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    (void)state;
    for (size_t i = 0; i < COUNT(algorithms); i++)
        pkeys[i] = algorithms[i].curve ? pkey_of(&algorithms[i]) : rsa;
    for (size_t i = 0; i < COUNT(algorithms); i++) {
        const struct algorithm *a = &algorithms[i];
        char jwk[2048], more[64], header[64], token[2048];
        (void)snprintf(more, sizeof more, "\"alg\":\"%s\",", a->name);
        jwk_of(pkeys[i], a, more, jwk, sizeof jwk);
        struct wsb_token_keys *named = keys_of(jwk);
        jwk_of(pkeys[i], a, "", jwk, sizeof jwk);
        struct wsb_token_keys *plain = keys_of(jwk);
        for (size_t k = 0; k < COUNT(algorithms); k++) {
            const struct algorithm *b = &algorithms[k];
            (void)snprintf(header, sizeof header, "{\"alg\":\"%s\"}", b->name);
            sign(pkeys[k], b, header, "{\"exp\":1000}", token, sizeof token);
            bool is_good = strcmp(verdict(named, token, NULL, 999), "") == 0;
            if (is_good != (i == k))
                fail_msg("a key for %s %s a token of %s", a->name, is_good ? "takes" : "refuses", b->name);
            is_good = strcmp(verdict(plain, token, NULL, 999), "") == 0;
            bool is_default = b->has_default && (a->curve ? i == k : !b->curve);
            if (is_good != is_default)
                fail_msg("a key like one for %s %s a token of %s", a->name, is_good ? "takes" : "refuses", b->name);
        }
        wsb_token_keys_unref(named);
        wsb_token_keys_unref(plain);
    }
    for (size_t i = 0; i < COUNT(algorithms); i++) {
        if (algorithms[i].curve)
            EVP_PKEY_free(pkeys[i]);
    }
    EVP_PKEY_free(rsa);
}

/* RFC 9864: the curve's name is the algorithm's as well. */
static void test_eddsa_by_its_other_names(void **state)
{
    static const char *const curves[] = {"Ed25519", "Ed448"};
    (void)state;
    for (size_t i = 0; i < COUNT(curves); i++) {
        const struct algorithm a = {"EdDSA", curves[i], NULL, 0, true};
        EVP_PKEY *pkey = pkey_of(&a);
        char jwk[2048], more[64], header[64], token[2048];
        (void)snprintf(more, sizeof more, "\"alg\":\"%s\",", curves[i]);
        jwk_of(pkey, &a, more, jwk, sizeof jwk);
        struct wsb_token_keys *k = keys_of(jwk);
        (void)snprintf(header, sizeof header, "{\"alg\":\"%s\"}", curves[i]);
        sign(pkey, &a, header, "{\"exp\":1000}", token, sizeof token);
        assert_string_equal(verdict(k, token, NULL, 999), "");
        (void)snprintf(header, sizeof header, "{\"alg\":\"%s\"}", curves[1 - i]);
        sign(pkey, &a, header, "{\"exp\":1000}", token, sizeof token);
        assert_string_equal(verdict(k, token, NULL, 999), "no key is for its algorithm");
        wsb_token_keys_unref(k);
        EVP_PKEY_free(pkey);
    }
}

static void test_symmetric_keys_of_each_length(void **state)
{
    static const struct {
        const char *alg;
        size_t bytes;
        bool want;
    } rows[] = {{NULL, 32, true},    {NULL, 64, true},     {NULL, 31, false},
                {"HS256", 32, true}, {"HS384", 48, true},  {"HS384", 47, false},
                {"HS512", 64, true}, {"HS512", 63, false}, {"RS256", 64, false}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t secret[64];
        char json[512], *token = NULL;
        struct wsb_token_keys *k = NULL;
        json_t *claims = json_pack("{s:i}", "exp", 1000);
        memset(secret, 's', sizeof secret);
        char *text = b64(secret, rows[i].bytes);
        (void)snprintf(json, sizeof json, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"%s\"%s%s%s}]}", text,
                       rows[i].alg ? ",\"alg\":\"" : "", rows[i].alg ? rows[i].alg : "", rows[i].alg ? "\"" : "");
        assert_int_equal(wsb_token_keys_parse(&k, wsb_span_str(json), NULL), rows[i].want ? WSB_OK : WSB_ERR_CONFIG);
        if (k) {
            assert_int_equal(wsb_token_make(k, NULL, claims, &token), WSB_OK);
            assert_string_equal(verdict(k, token, NULL, 999), "");
            token[strlen(token) - 2] ^= 1;
            assert_string_equal(verdict(k, token, NULL, 999), "the signature is not right");
        }
        free(token);
        free(text);
        json_decref(claims);
        wsb_token_keys_unref(k);
    }
}

/* What a key is for is said by the key, not by the token (RFC 8725 §2.1). */
static void test_algorithms_are_not_confused(void **state)
{
    const struct algorithm *rs256 = algorithm_of("RS256");
    EVP_PKEY *rsa = pkey_of(rs256);
    char jwk[2048], token[2048];
    (void)state;
    jwk_of(rsa, rs256, "", jwk, sizeof jwk);
    struct wsb_token_keys *k = keys_of(jwk);
    static const struct {
        const char *header, *want;
    } rows[] = {
        {"{\"alg\":\"none\"}", "no key is for its algorithm"},
        {"{\"alg\":\"HS256\"}", "no key is for its algorithm"},
        {"{\"alg\":\"RS512\"}", "no key is for its algorithm"},
        {"{\"alg\":\"rs256\"}", "no key is for its algorithm"},
        {"{}", "not a token"},
        {"{\"alg\":[\"RS256\"]}", "not a token"},
        {"{\"alg\":\"RS256\",\"kid\":7}", "not a token"},
        {"{\"alg\":\"RS256\",\"kid\":\"other\"}", "no key of its algorithm has its kid"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\"}", ""},
        {"{\"alg\":\"RS256\",\"crit\":[\"exp\"]}", "the token has critical extensions"},
        {"{\"alg\":\"RS256\",\"alg\":\"RS256\"}", "not a token"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        sign(rsa, rs256, rows[i].header, "{\"exp\":1000}", token, sizeof token);
        assert_string_equal(verdict(k, token, NULL, 0), rows[i].want);
    }
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
    const struct algorithm *eddsa = algorithm_of("EdDSA");
    EVP_PKEY *pkey = pkey_of(eddsa);
    char jwk[2048], token[WSB_TOKEN_MAX];
    (void)state;
    jwk_of(pkey, eddsa, "", jwk, sizeof jwk);
    struct wsb_token_keys *k = keys_of(jwk);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *claims = claims_of(rows[i].depth, rows[i].width);
        sign(pkey, eddsa, "{\"alg\":\"EdDSA\"}", claims, token, sizeof token);
        assert_string_equal(verdict(k, token, NULL, 999), rows[i].want ? "" : too_much);
        sign(pkey, eddsa, claims, "{\"exp\":1000}", token, sizeof token); /* the header is nobody's word yet */
        assert_string_equal(verdict(k, token, NULL, 999), rows[i].want ? "not a token" : too_much); /* it has no alg */
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
    char *deep_text = claims_of(WSB_TOKEN_DEPTH_MAX, 1);
    json_t *deep = json_loads(deep_text, 0, NULL);
    assert_int_equal(wsb_token_make(k, "k1", deep, &token), WSB_ERR_LIMIT);
    json_decref(deep);
    free(deep_text);
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
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-384\"}]}", "each as long as the curve has it"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"secp256k1\"}]}", "P-256, P-384 or P-521"},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
         "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}",
         "not a point of its curve"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\"}]}", "Ed25519"},
        {"{\"keys\":[{\"kty\":\"dsa\"}]}", "\"kty\" is not"},
        {"{\"keys\":[{\"kty\":\"x\",\"kid\":\"a\"},{\"kty\":\"y\"}]}",
         "no key that can be used: key 1 (a): \"kty\" is not oct, RSA, EC or OKP; key 2: \"kty\" is not"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"enc\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
         "\"use\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"HS256\",\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
         "\"alg\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"key_ops\":[\"sign\"],\"x\":\"11qYAYKxCrfVS_"
         "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}",
         "\"key_ops\" does not name \"verify\""},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES384\"}]}", "not the algorithm of its curve"},
        {"{\"keys\":[{\"kty\":\"RSA\",\"alg\":\"RSA-OAEP\"}]}", "\"alg\" of an RSA key is"},
        {"{\"keys\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}", "too deep"},
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

/* RFC 7517 §5: a set holds keys for other uses, and of kinds that are not known here. They do not spoil the others. */
static void test_foreign_keys_are_skipped(void **state)
{
    static const char *const foreign[] = {
        "{\"kty\":\"RSA\",\"use\":\"enc\",\"kid\":\"enc-1\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"AKP\",\"alg\":\"ML-DSA-65\",\"pub\":\"AAAA\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AAAA\",\"y\":\"AAAA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AAAA\"}",
        "{\"kty\":\"RSA\",\"alg\":\"RSA-OAEP-256\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"RSA\"}",
        "{}",
        "7",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(foreign); i++) {
        for (int is_last = 0; is_last <= 1; is_last++) {
            char jwks[4096], want[16];
            (void)snprintf(jwks, sizeof jwks, "%s%s%s", is_last ? EC_KEY "," : "", foreign[i],
                           is_last ? "" : "," EC_KEY);
            (void)snprintf(want, sizeof want, "key %d", is_last + 1);
            struct wsb_token_keys *k = keys_of(jwks);
            assert_int_equal(wsb_token_keys_count(k), 1);
            assert_int_equal(wsb_token_keys_skipped(k), 1);
            if (strncmp(wsb_token_keys_why_skipped(k), want, strlen(want)) != 0)
                fail_msg("%s: %s", foreign[i], wsb_token_keys_why_skipped(k));
            assert_string_equal(verdict(k, EC_TOKEN, NULL, NOW), "");
            wsb_token_keys_unref(k);
        }
    }
}

/* RFC 7517 §4.5 allows it, as while keys are rotated; and so many are more than are used. */
static void test_keys_of_one_kid_and_very_many(void **state)
{
    enum { MANY = WSB_TOKEN_KEYS_MAX + 2 };
    static char jwks[MANY * sizeof HS_KEY + sizeof EC_KEY + 64];
    struct wsb_token_keys *k = NULL;
    struct wsb_fault fault;
    char *at = stpcpy(jwks, "{\"keys\":[" EC_KEY);
    (void)state;
    for (int i = 0; i < MANY; i++)
        at = stpcpy(at, "," HS_KEY);
    (void)stpcpy(at, "]}");
    assert_int_equal(wsb_token_keys_parse(&k, wsb_span_str(jwks), &fault), WSB_OK);
    assert_int_equal(wsb_token_keys_count(k), WSB_TOKEN_KEYS_MAX);
    assert_int_equal(wsb_token_keys_skipped(k), 3);
    assert_string_equal(verdict(k, EC_TOKEN, NULL, NOW), "");
    wsb_token_keys_unref(k);
    k = keys_of(
        "{\"kid\":\"a\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
        "{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}");
    assert_int_equal(wsb_token_keys_count(k), 2);
    assert_string_equal(verdict(k, EC_TOKEN, NULL, NOW), "");
    wsb_token_keys_unref(k);
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
    assert_non_null(strstr(fault.text, "chmod 0600"));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(write(fd, "{\"keys\":[" ED_KEY "]}", strlen("{\"keys\":[" ED_KEY "]}")),
                     strlen("{\"keys\":[" ED_KEY "]}"));
    assert_int_equal(wsb_token_keys_load(&k, path, &fault), WSB_OK); /* public keys may be read by all */
    assert_int_equal(wsb_token_keys_count(k), 1);
    wsb_token_keys_unref(k);
    static const char private_key[] = "{\"keys\":[" ED_KEY ",{\"kty\":\"OKP\",\"crv\":\"X25519\",\"d\":\"AAAA\"}]}";
    assert_int_equal(pwrite(fd, private_key, sizeof private_key - 1, 0), sizeof private_key - 1);
    assert_int_equal(wsb_token_keys_load(&k, path, &fault), WSB_ERR_CONFIG); /* not with private ones among them */
    assert_non_null(strstr(fault.text, "chmod 0600"));
    assert_int_equal(ftruncate(fd, (WSB_TOKEN_KEYS_FILE_MAX) + 1), 0);
    assert_int_equal(wsb_token_keys_load(&k, path, &fault), WSB_ERR_LIMIT);
    assert_non_null(strstr(fault.text, "256 KiB"));
    assert_int_equal(fchmod(fd, 0646), 0); /* whoever can write it makes the tokens that are good */
    assert_int_equal(wsb_token_keys_load(&k, path, &fault), WSB_ERR_CONFIG);
    assert_non_null(strstr(fault.text, "chmod go-w"));
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
        cmocka_unit_test(test_a_key_has_one_algorithm),
        cmocka_unit_test(test_eddsa_by_its_other_names),
        cmocka_unit_test(test_symmetric_keys_of_each_length),
        cmocka_unit_test(test_algorithms_are_not_confused),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_what_a_token_says_is_bounded),
        cmocka_unit_test(test_what_is_no_token),
        cmocka_unit_test(test_a_token_goes_round),
        cmocka_unit_test(test_keys_say_what_is_wrong),
        cmocka_unit_test(test_foreign_keys_are_skipped),
        cmocka_unit_test(test_keys_of_one_kid_and_very_many),
        cmocka_unit_test(test_files_have_a_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
