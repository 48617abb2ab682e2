/* Three parts with dots between them: a header, claims, and a signature over both as they are written. */
#include "token/token.h"

#include <math.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "base/json_shape.h"
#include "token/parts.h"

enum { DER_MAX = 160 /* of two numbers of 66 bytes */ };

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

static const struct wsb_json_shape shape_most = {WSB_TOKEN_DEPTH_MAX, WSB_TOKEN_VALUES_MAX};

/* A JSON object, and nothing else. What it holds goes to handlers, whose parsers may be less patient: it is bounded here. */
static json_t *object_of(struct wsb_span text, const char **ret_why)
{
    size_t len = 0;
    json_error_t error;
    uint8_t *bytes = wsb_token_decode(text, &len);
    bool is_bounded = bytes && wsb_json_shape_check(wsb_span(bytes, len), &shape_most) == WSB_OK;
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

static bool hs_sign(const struct wsb_token_key *k, struct wsb_span in, uint8_t out[EVP_MAX_MD_SIZE])
{
    unsigned len = 0;
    return HMAC(wsb_token_digest_of(k->alg), k->secret, (int)k->secret_len, in.ptr, in.len, out, &len) &&
           len == k->signature_size;
}

static bool hs_is_good(const struct wsb_token_key *k, struct wsb_span in, struct wsb_span signature)
{
    uint8_t want[EVP_MAX_MD_SIZE];
    return hs_sign(k, in, want) && CRYPTO_memcmp(want, signature.ptr, signature.len) == 0; /* in constant time */
}

/* RFC 7518 §3.5: the salt is as long as the hash, and MGF1 has the same one. */
static bool set_pss(EVP_PKEY_CTX *ctx, const EVP_MD *md)
{
    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1;
}

static bool pkey_is_good(const struct wsb_token_key *k, struct wsb_span in, struct wsb_span signature)
{
    const EVP_MD *md = wsb_token_digest_of(k->alg);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *inner = NULL; /* ctx's */
    bool ok = ctx && EVP_DigestVerifyInit(ctx, &inner, md, NULL, k->pkey) == 1;
    if (ok && wsb_token_family_of(k->alg) == WSB_TOKEN_PS)
        ok = set_pss(inner, md);
    ok = ok && EVP_DigestVerify(ctx, signature.ptr, signature.len, in.ptr, in.len) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

/* R and S, each as long as the curve has it (RFC 7518 §3.4); OpenSSL wants them in DER. */
static bool es_is_good(const struct wsb_token_key *k, struct wsb_span in, struct wsb_span signature)
{
    uint8_t der[DER_MAX];
    uint8_t *at = der;
    int half = (int)(signature.len / 2);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.ptr, half, NULL);
    BIGNUM *s = BN_bin2bn(signature.ptr + half, half, NULL);
    bool ok = sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1;
    if (!ok) {
        BN_free(r);
        BN_free(s);
    }
    int len = ok ? i2d_ECDSA_SIG(sig, NULL) : 0;
    ok = len > 0 && len <= DER_MAX && i2d_ECDSA_SIG(sig, &at) == len && pkey_is_good(k, in, wsb_span(der, (size_t)len));
    ECDSA_SIG_free(sig);
    return ok;
}

static bool signature_is_good(const struct wsb_token_key *k, struct wsb_span in, struct wsb_span signature)
{
    if (k->signature_size && signature.len != k->signature_size)
        return false;
    switch (wsb_token_family_of(k->alg)) {
    case WSB_TOKEN_HS:
        return hs_is_good(k, in, signature);
    case WSB_TOKEN_RS:
    case WSB_TOKEN_PS:
    case WSB_TOKEN_ED:
        return pkey_is_good(k, in, signature);
    case WSB_TOKEN_ES:
        return es_is_good(k, in, signature);
    }
    return false;
}

static bool is_for(const struct wsb_token_key *k, const char *alg)
{
    return strcmp(alg, wsb_token_alg_name(k->alg)) == 0 || (k->other_name && strcmp(alg, k->other_name) == 0);
}

/* Look for one of the header's algorithm, and of its kid where it says one. NULL: it fits; otherwise how near one came. */
static const char *keys_refuse(const struct wsb_token_keys *keys, const json_t *header, const struct parts *p,
                               struct wsb_span signature)
{
    static const char *const whys[] = {"no key is for its algorithm", "no key of its algorithm has its kid",
                                       "the signature is not right"};
    const char *alg = json_string_value(json_object_get(header, "alg"));
    const json_t *kid = json_object_get(header, "kid");
    const char *wanted = json_string_value(kid);
    size_t nearest = 0;
    if (!alg || (kid && !wanted))
        return "not a token";
    for (size_t i = 0; i < keys->count; i++) {
        const struct wsb_token_key *k = &keys->keys[i];
        bool is_named = !wanted || !k->kid || strcmp(wanted, k->kid) == 0;
        if (!is_for(k, alg))
            continue;
        if (is_named && signature_is_good(k, p->signed_part, signature))
            return NULL;
        nearest = is_named || nearest == 2 ? 2 : 1;
    }
    return whys[nearest];
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
    if (signature)
        why = keys_refuse(keys, header, &p, wsb_span(signature, len));
    if (why)
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
        if (k->secret && (!kid || (k->kid && strcmp(k->kid, kid) == 0)))
            return k;
    }
    return NULL;
}

/* WSB_ERR_LIMIT: nobody would take it. */
static wsb_err encoded_object(const json_t *v, char **ret)
{
    char *json = json_dumps(v, JSON_COMPACT);
    wsb_err err = json ? wsb_json_shape_check(wsb_span_str(json), &shape_most) : WSB_ERR_NOMEM;
    if (!err && !(*ret = wsb_token_encode(wsb_span_str(json))))
        err = WSB_ERR_NOMEM;
    free(json);
    return err;
}

/* "header.claims", with room behind it for the longest signature. */
static wsb_err unsigned_token(const struct wsb_token_key *k, const json_t *claims, char **ret, size_t *ret_len)
{
    const char *alg = wsb_token_alg_name(k->alg);
    json_t *header = k->kid ? json_pack("{s:s, s:s, s:s}", "alg", alg, "typ", "JWT", "kid", k->kid)
                            : json_pack("{s:s, s:s}", "alg", alg, "typ", "JWT");
    char *first = NULL;
    char *second = NULL;
    wsb_err err = header ? encoded_object(header, &first) : WSB_ERR_NOMEM;
    if (!err)
        err = encoded_object(claims, &second);
    size_t len = err ? 0 : strlen(first) + 1 + strlen(second);
    char *token = len ? malloc(len + 2 + (size_t)2 * EVP_MAX_MD_SIZE) : NULL;
    if (token) {
        (void)stpcpy(stpcpy(stpcpy(token, first), "."), second);
        *ret = token;
        *ret_len = len;
    } else if (!err) {
        err = WSB_ERR_NOMEM;
    }
    free(second);
    free(first);
    json_decref(header);
    return err;
}

wsb_err wsb_token_make(const struct wsb_token_keys *keys, const char *kid, const json_t *claims, char **ret)
{
    const struct wsb_token_key *k = key_to_sign(keys, kid);
    uint8_t signature[EVP_MAX_MD_SIZE];
    char *token = NULL;
    size_t len = 0;
    if (!k)
        return WSB_ERR_NOT_FOUND;
    wsb_err err = unsigned_token(k, claims, &token, &len);
    if (err)
        return err;
    char *last = NULL;
    if (!hs_sign(k, wsb_span(token, len), signature))
        err = WSB_ERR_INTERNAL;
    else if (!(last = wsb_token_encode(wsb_span(signature, k->signature_size))))
        err = WSB_ERR_NOMEM;
    if (err) {
        free(token);
        return err;
    }
    (void)stpcpy(stpcpy(token + len, "."), last);
    free(last);
    *ret = token;
    return WSB_OK;
}
