/* Three parts with dots between them: a header, claims, and a signature over both as they are written. */
#include "token/token.h"

#include <math.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/json_shape.h"
#include "token/parts.h"

enum { HS256_SIZE = 32, ES256_SIZE = 64, ED25519_SIZE = 64, DER_MAX = 80 };

struct parts {
    struct wsb_span header, claims, signature;
    struct wsb_span signed_part; /* header.claims */
};

static bool token_split(struct wsb_span token, struct parts *ret)
{
    const uint8_t *first = token.len ? memchr(token.ptr, '.', token.len) : NULL;
    size_t header = first ? (size_t)(first - token.ptr) : 0;
    const uint8_t *second = first ? memchr(first + 1, '.', token.len - header - 1) : NULL;
    if (!second)
        return false;
    size_t claims = (size_t)(second - first) - 1;
    ret->header = wsb_span(token.ptr, header);
    ret->claims = wsb_span(first + 1, claims);
    ret->signature = wsb_span(second + 1, token.len - header - claims - 2);
    ret->signed_part = wsb_span(token.ptr, header + claims + 1);
    return header && claims && ret->signature.len && !memchr(ret->signature.ptr, '.', ret->signature.len);
}

/* A JSON object, and nothing else. What it holds goes to handlers, whose parsers may be less patient: it is bounded here. */
static json_t *object_of(struct wsb_span text, const char **ret_why)
{
    static const struct wsb_json_shape most = {WSB_TOKEN_DEPTH_MAX, WSB_TOKEN_VALUES_MAX};
    size_t len = 0;
    json_error_t error;
    uint8_t *bytes = wsb_token_decode(text, &len);
    bool is_bounded = bytes && wsb_json_shape_check(wsb_span(bytes, len), &most) == WSB_OK;
    json_t *v = is_bounded ? json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (bytes && !is_bounded)
        *ret_why = "the token says too much: its JSON is too deep, or has too many values";
    free(bytes);
    if (json_is_object(v))
        return v;
    json_decref(v);
    return NULL;
}

/* ---------------------------------------------------------------- signatures */

static bool hs256(const struct wsb_token_key *k, struct wsb_span in, uint8_t out[HS256_SIZE])
{
    unsigned len = 0;
    return HMAC(EVP_sha256(), k->secret, (int)k->secret_len, in.ptr, in.len, out, &len) && len == HS256_SIZE;
}

static bool hs256_is_good(const struct wsb_token_key *k, struct wsb_span in, struct wsb_span signature)
{
    uint8_t want[HS256_SIZE];
    return signature.len == sizeof want && hs256(k, in, want) &&
           CRYPTO_memcmp(want, signature.ptr, sizeof want) == 0; /* in constant time */
}

static bool digest_is_good(const struct wsb_token_key *k, const EVP_MD *md, struct wsb_span in,
                           const uint8_t *signature, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, md, NULL, k->pkey) == 1 &&
              EVP_DigestVerify(ctx, signature, len, in.ptr, in.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* R and S of 32 bytes each (RFC 7518 §3.4); OpenSSL wants them in DER. */
static bool es256_is_good(const struct wsb_token_key *k, struct wsb_span in, struct wsb_span signature)
{
    uint8_t der[DER_MAX];
    uint8_t *at = der;
    if (signature.len != ES256_SIZE)
        return false;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.ptr, ES256_SIZE / 2, NULL);
    BIGNUM *s = BN_bin2bn(signature.ptr + ES256_SIZE / 2, ES256_SIZE / 2, NULL);
    bool ok = sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1;
    if (!ok) {
        BN_free(r);
        BN_free(s);
    }
    int len = ok ? i2d_ECDSA_SIG(sig, NULL) : 0;
    ok = len > 0 && len <= DER_MAX && i2d_ECDSA_SIG(sig, &at) == len &&
         digest_is_good(k, EVP_sha256(), in, der, (size_t)len);
    ECDSA_SIG_free(sig);
    return ok;
}

static bool signature_is_good(const struct wsb_token_key *k, struct wsb_span in, struct wsb_span signature)
{
    switch (k->alg) {
    case WSB_TOKEN_HS256:
        return hs256_is_good(k, in, signature);
    case WSB_TOKEN_RS256:
        return digest_is_good(k, EVP_sha256(), in, signature.ptr, signature.len);
    case WSB_TOKEN_ES256:
        return es256_is_good(k, in, signature);
    case WSB_TOKEN_EDDSA:
        return signature.len == ED25519_SIZE && digest_is_good(k, NULL, in, signature.ptr, signature.len);
    }
    return false;
}

/* With those of the header's algorithm, and of its kid where it says one. */
static bool any_key_fits(const struct wsb_token_keys *keys, const json_t *header, const struct parts *p,
                         struct wsb_span signature)
{
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const json_t *kid = json_object_get(header, "kid");
    const char *wanted = json_string_value(kid);
    if (!alg || (kid && !wanted))
        return false;
    for (size_t i = 0; i < keys->count; i++) {
        const struct wsb_token_key *k = &keys->keys[i];
        if (strcmp(alg, wsb_token_alg_name(k->alg)) != 0 || (wanted && k->kid && strcmp(wanted, k->kid) != 0))
            continue;
        if (signature_is_good(k, p->signed_part, signature))
            return true;
    }
    return false;
}

/* --------------------------------------------------------------------- claims */

/* NumericDate, RFC 7519 §2. */
static bool time_of(const json_t *claims, const char *name, bool *ret_is_there, double *ret)
{
    const json_t *v = json_object_get(claims, name);
    *ret_is_there = v != NULL;
    if (!v)
        return true;
    *ret = json_number_value(v);
    return json_is_number(v) && isfinite(*ret) && *ret >= 0;
}

static bool audience_has(const json_t *aud, const char *wanted)
{
    if (json_is_string(aud))
        return strcmp(json_string_value(aud), wanted) == 0;
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const char *one = json_string_value(json_array_get(aud, i));
        if (one && strcmp(one, wanted) == 0)
            return true;
    }
    return false;
}

static const char *times_refuse(const json_t *claims, const struct wsb_token_rules *rules, int64_t now_s)
{
    bool is_there;
    double at = 0;
    double now = (double)now_s;
    double leeway = rules->leeway_ms / 1000.0;
    if (!time_of(claims, "exp", &is_there, &at) || !is_there)
        return "the token has no expiry";
    if (now >= at + leeway)
        return "the token has expired";
    if (!time_of(claims, "nbf", &is_there, &at) || (is_there && now + leeway < at))
        return "the token is not good yet";
    if (!time_of(claims, "iat", &is_there, &at) || (is_there && now + leeway < at))
        return "the token is of the future";
    return NULL;
}

static const char *claims_refuse(const json_t *claims, const struct wsb_token_rules *rules, int64_t now_s)
{
    const char *iss = json_string_value(json_object_get(claims, "iss"));
    const json_t *aud = json_object_get(claims, "aud");
    const char *why = times_refuse(claims, rules, now_s);
    if (why)
        return why;
    if (rules->issuer && (!iss || strcmp(iss, rules->issuer) != 0))
        return "the token is of another issuer";
    if (aud ? !rules->audience || !audience_has(aud, rules->audience) : rules->audience_required)
        return "the token is for somebody else";
    return NULL;
}

static const char *header_refuse(const json_t *header)
{
    if (json_object_get(header, "crit")) /* RFC 7515 §4.1.11: what we do not know we must refuse, and we know none */
        return "the token has critical extensions";
    return NULL;
}

wsb_err wsb_token_check(const struct wsb_token_keys *keys, struct wsb_span token, const struct wsb_token_rules *rules,
                        int64_t now_s, json_t **ret_claims, const char **ret_why)
{
    struct parts p;
    json_t *header = NULL;
    json_t *claims = NULL;
    uint8_t *signature = NULL;
    size_t len = 0;
    const char *why = "not a token";
    if (token.len > WSB_TOKEN_MAX || !token_split(token, &p))
        goto out;
    header = object_of(p.header, &why);
    if (!header)
        goto out;
    why = header_refuse(header);
    if (why)
        goto out;
    why = "the signature is not right";
    signature = wsb_token_decode(p.signature, &len);
    if (!signature || !any_key_fits(keys, header, &p, wsb_span(signature, len)))
        goto out;
    why = "the claims are no object";
    claims = object_of(p.claims, &why); /* only now: of a stranger's words as few as possible are read */
    if (claims)
        why = claims_refuse(claims, rules, now_s);
out:
    free(signature);
    json_decref(header);
    if (!why) {
        *ret_claims = claims;
        return WSB_OK;
    }
    json_decref(claims);
    *ret_why = why;
    return WSB_ERR_REFUSED;
}

/* --------------------------------------------------------------------- making */

static const struct wsb_token_key *key_to_sign(const struct wsb_token_keys *keys, const char *kid)
{
    for (size_t i = 0; i < keys->count; i++) {
        const struct wsb_token_key *k = &keys->keys[i];
        if (k->alg == WSB_TOKEN_HS256 && (!kid || (k->kid && strcmp(k->kid, kid) == 0)))
            return k;
    }
    return NULL;
}

static char *encoded_object(const json_t *v)
{
    char *json = json_dumps(v, JSON_COMPACT);
    char *text = json ? wsb_token_encode(wsb_span_str(json)) : NULL;
    free(json);
    return text;
}

wsb_err wsb_token_make(const struct wsb_token_keys *keys, const char *kid, const json_t *claims, char **ret)
{
    const struct wsb_token_key *k = key_to_sign(keys, kid);
    uint8_t signature[HS256_SIZE];
    wsb_err err = WSB_ERR_NOMEM;
    if (!k)
        return WSB_ERR_NOT_FOUND;
    json_t *header = k->kid ? json_pack("{s:s, s:s, s:s}", "alg", "HS256", "typ", "JWT", "kid", k->kid)
                            : json_pack("{s:s, s:s}", "alg", "HS256", "typ", "JWT");
    char *first = header ? encoded_object(header) : NULL;
    char *second = encoded_object(claims);
    char *third = NULL;
    size_t len = first && second ? strlen(first) + 1 + strlen(second) : 0;
    char *token = len ? malloc(len + 2 + ES256_SIZE) : NULL;
    if (token) {
        memcpy(token, first, strlen(first));
        token[strlen(first)] = '.';
        memcpy(token + strlen(first) + 1, second, strlen(second));
        if (!hs256(k, wsb_span(token, len), signature))
            err = WSB_ERR_INTERNAL;
        else
            third = wsb_token_encode(wsb_span(signature, sizeof signature));
    }
    if (third) {
        token[len] = '.';
        memcpy(token + len + 1, third, strlen(third) + 1);
        *ret = token;
        token = NULL;
        err = WSB_OK;
    }
    free(token);
    free(third);
    free(second);
    free(first);
    json_decref(header);
    return err;
}
