/* From JSON to keys: every number is checked before OpenSSL sees it. */
#include "token/keys.h"

#include <errno.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base64.h"
#include "base/json_shape.h"
#include "base/trust_file.h"
#include "token/parts.h"

enum {
    RSA_BITS_MIN = 2048,
    RSA_BITS_MAX = 8192,
    COORDINATE_MAX = 66,
    ED448_KEY = 57,
    ED25519_KEY = 32,
    DEPTH_MAX = 16
};

static const struct alg_row {
    const char *name;
    enum wsb_token_family family;
    const EVP_MD *(*digest)(void); /* NULL: none of its own */
} algs[WSB_TOKEN_ALGS] = {
    [WSB_TOKEN_HS256] = {"HS256", WSB_TOKEN_HS, EVP_sha256}, [WSB_TOKEN_HS384] = {"HS384", WSB_TOKEN_HS, EVP_sha384},
    [WSB_TOKEN_HS512] = {"HS512", WSB_TOKEN_HS, EVP_sha512}, [WSB_TOKEN_RS256] = {"RS256", WSB_TOKEN_RS, EVP_sha256},
    [WSB_TOKEN_RS384] = {"RS384", WSB_TOKEN_RS, EVP_sha384}, [WSB_TOKEN_RS512] = {"RS512", WSB_TOKEN_RS, EVP_sha512},
    [WSB_TOKEN_PS256] = {"PS256", WSB_TOKEN_PS, EVP_sha256}, [WSB_TOKEN_PS384] = {"PS384", WSB_TOKEN_PS, EVP_sha384},
    [WSB_TOKEN_PS512] = {"PS512", WSB_TOKEN_PS, EVP_sha512}, [WSB_TOKEN_ES256] = {"ES256", WSB_TOKEN_ES, EVP_sha256},
    [WSB_TOKEN_ES384] = {"ES384", WSB_TOKEN_ES, EVP_sha384}, [WSB_TOKEN_ES512] = {"ES512", WSB_TOKEN_ES, EVP_sha512},
    [WSB_TOKEN_EDDSA] = {"EdDSA", WSB_TOKEN_ED, NULL},
};

/* RFC 7518 §6.2.1.1, §3.4: each algorithm has its curve. */
static const struct curve_row {
    const char *name, *group; /* as a key says it, as OpenSSL does */
    enum wsb_token_alg alg;
    size_t coordinate; /* bytes */
} curves[] = {{"P-256", "prime256v1", WSB_TOKEN_ES256, 32},
              {"P-384", "secp384r1", WSB_TOKEN_ES384, 48},
              {"P-521", "secp521r1", WSB_TOKEN_ES512, 66}};

const char *wsb_token_alg_name(enum wsb_token_alg alg)
{
    return algs[alg].name;
}

enum wsb_token_family wsb_token_family_of(enum wsb_token_alg alg)
{
    return algs[alg].family;
}

const EVP_MD *wsb_token_digest_of(enum wsb_token_alg alg)
{
    return algs[alg].digest ? algs[alg].digest() : NULL;
}

/* ------------------------------------------------------------------ base64url */

uint8_t *wsb_token_decode(struct wsb_span text, size_t *ret_len)
{
    size_t padded = (text.len + 3) / 4 * 4;
    uint8_t *copy = malloc(padded + 1);
    uint8_t *out = malloc(wsb_base64_decoded_max(padded) + 1);
    bool ok = copy && out;
    for (size_t i = 0; i < text.len && ok; i++) {
        uint8_t c = text.ptr[i];
        ok = c != '+' && c != '/' && c != '=';
        copy[i] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    if (ok) {
        memset(copy + text.len, '=', padded - text.len);
        ok = wsb_base64_decode(wsb_span(copy, padded), out, ret_len);
    }
    free(copy);
    if (ok)
        return out;
    free(out);
    return NULL;
}

char *wsb_token_encode(struct wsb_span bytes)
{
    char *out = malloc(wsb_base64_encoded_size(bytes.len) + 1);
    if (!out)
        return NULL;
    size_t len = wsb_base64_encode(bytes, out);
    while (len && out[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    out[len] = 0;
    return out;
}

/* ----------------------------------------------------------------- one key */

static const char *text_of(const json_t *jwk, const char *name)
{
    const char *text = json_string_value(json_object_get(jwk, name));
    return text ? text : "";
}

static uint8_t *bytes_of(const json_t *jwk, const char *name, size_t *ret_len)
{
    const char *text = text_of(jwk, name);
    return *text ? wsb_token_decode(wsb_span_str(text), ret_len) : NULL;
}

static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    bool ok = params && ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return ok ? pkey : NULL;
}

/* Is it a point of the curve, or an exponent that can be? */
static bool is_sound(EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    bool ok = ctx && EVP_PKEY_public_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* By its "alg", which has to be one of these families; otherwise the one that its kind has without. False: it is another one. */
static bool alg_read(const json_t *jwk, unsigned families, enum wsb_token_alg otherwise, struct wsb_token_key *k)
{
    const char *name = text_of(jwk, "alg");
    k->alg = otherwise;
    for (size_t i = 0; i < WSB_TOKEN_ALGS && *name; i++) {
        if ((families & 1u << algs[i].family) && strcmp(name, algs[i].name) == 0) {
            k->alg = (enum wsb_token_alg)i;
            return true;
        }
    }
    return *name == 0;
}

static const char *oct_read(const json_t *jwk, struct wsb_token_key *k)
{
    if (!alg_read(jwk, 1u << WSB_TOKEN_HS, WSB_TOKEN_HS256, k))
        return "\"alg\" of a symmetric key is HS256, HS384 or HS512";
    k->secret = bytes_of(jwk, "k", &k->secret_len);
    k->signature_size = (size_t)EVP_MD_get_size(wsb_token_digest_of(k->alg));
    if (!k->secret)
        return "\"k\" is not base64url";
    if (k->secret_len >= k->signature_size) /* RFC 7518 §3.2 */
        return NULL;
    return k->alg == WSB_TOKEN_HS256   ? "\"k\" is shorter than 32 bytes, which HS256 wants"
           : k->alg == WSB_TOKEN_HS384 ? "\"k\" is shorter than 48 bytes, which HS384 wants"
                                       : "\"k\" is shorter than 64 bytes, which HS512 wants";
}

static const char *rsa_read(const json_t *jwk, struct wsb_token_key *k)
{
    size_t n_len = 0;
    size_t e_len = 0;
    uint8_t *n = bytes_of(jwk, "n", &n_len);
    uint8_t *e = bytes_of(jwk, "e", &e_len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = NULL;
    BIGNUM *bn_e = NULL;
    const char *why = "\"n\" or \"e\" is not base64url";
    if (!alg_read(jwk, 1u << WSB_TOKEN_RS | 1u << WSB_TOKEN_PS, WSB_TOKEN_RS256, k)) {
        why = "\"alg\" of an RSA key is RS256, RS384, RS512, PS256, PS384 or PS512";
    } else if (n && e && build && n_len <= RSA_BITS_MAX / 8 + 1 && e_len <= 8) {
        bn_n = BN_bin2bn(n, (int)n_len, NULL);
        bn_e = BN_bin2bn(e, (int)e_len, NULL);
        int bits = bn_n ? BN_num_bits(bn_n) : 0;
        if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
            why = "an RSA key has 2048 to 8192 bits";
        else if (bn_e && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
                 OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1)
            why = (k->pkey = pkey_from("RSA", build)) && is_sound(k->pkey) ? NULL : "not an RSA key";
    } else if (n && e) {
        why = "an RSA key has 2048 to 8192 bits";
    }
    BN_free(bn_n);
    BN_free(bn_e);
    OSSL_PARAM_BLD_free(build);
    free(n);
    free(e);
    return why;
}

static const struct curve_row *curve_of(const json_t *jwk)
{
    const char *name = text_of(jwk, "crv");
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
        if (strcmp(name, curves[i].name) == 0)
            return &curves[i];
    }
    return NULL;
}

static const char *ec_read(const json_t *jwk, struct wsb_token_key *k)
{
    const struct curve_row *curve = curve_of(jwk);
    size_t x_len = 0;
    size_t y_len = 0;
    uint8_t point[1 + 2 * COORDINATE_MAX] = {4}; /* not compressed */
    uint8_t *x = bytes_of(jwk, "x", &x_len);
    uint8_t *y = bytes_of(jwk, "y", &y_len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    const char *why = "\"x\" and \"y\" are in base64url, each as long as the curve has it";
    if (!curve) {
        why = "\"crv\" of an EC key is P-256, P-384 or P-521";
    } else if (!alg_read(jwk, 1u << WSB_TOKEN_ES, curve->alg, k) || k->alg != curve->alg) {
        why = "\"alg\" is not the algorithm of its curve";
    } else if (x && y && build && x_len == curve->coordinate && y_len == curve->coordinate) {
        memcpy(point + 1, x, x_len);
        memcpy(point + 1 + x_len, y, y_len);
        if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x_len + y_len) == 1)
            k->pkey = pkey_from("EC", build);
        k->signature_size = 2 * curve->coordinate;
        why = k->pkey && is_sound(k->pkey) ? NULL : "not a point of its curve";
    }
    OSSL_PARAM_BLD_free(build);
    free(x);
    free(y);
    return why;
}

static const char *okp_read(const json_t *jwk, struct wsb_token_key *k)
{
    const char *crv = text_of(jwk, "crv");
    const char *alg = text_of(jwk, "alg");
    bool is_448 = strcmp(crv, "Ed448") == 0;
    size_t want = is_448 ? ED448_KEY : ED25519_KEY;
    size_t len = 0;
    if (!is_448 && strcmp(crv, "Ed25519") != 0)
        return "\"crv\" of an OKP key is Ed25519 or Ed448";
    if (*alg && strcmp(alg, "EdDSA") != 0 && strcmp(alg, crv) != 0)
        return "\"alg\" of an OKP key is EdDSA";
    k->alg = WSB_TOKEN_EDDSA;
    k->other_name = is_448 ? "Ed448" : "Ed25519";
    k->signature_size = 2 * want;
    uint8_t *x = bytes_of(jwk, "x", &len);
    if (x && len == want)
        k->pkey = EVP_PKEY_new_raw_public_key(is_448 ? EVP_PKEY_ED448 : EVP_PKEY_ED25519, NULL, x, len);
    free(x);
    return k->pkey ? NULL : "\"x\" is in base64url, as long as the curve has it";
}

/* RFC 7517 §4.2, §4.3. */
static const char *why_not_for_checking(const json_t *jwk)
{
    const char *use = text_of(jwk, "use");
    const json_t *operations = json_object_get(jwk, "key_ops");
    if (*use && strcmp(use, "sig") != 0)
        return "\"use\" is not \"sig\": it is no key for signatures";
    for (size_t i = 0; i < json_array_size(operations); i++) {
        const char *one = json_string_value(json_array_get(operations, i));
        if (one && strcmp(one, "verify") == 0)
            return NULL;
    }
    return operations ? "\"key_ops\" does not name \"verify\"" : NULL;
}

static const char *key_read(const json_t *jwk, struct wsb_token_key *k)
{
    static const struct {
        const char *kty;
        const char *(*read)(const json_t *jwk, struct wsb_token_key *k);
    } kinds[] = {{"oct", oct_read}, {"RSA", rsa_read}, {"EC", ec_read}, {"OKP", okp_read}};
    const char *why = why_not_for_checking(jwk);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !why; i++) {
        if (strcmp(text_of(jwk, "kty"), kinds[i].kty) == 0)
            return kinds[i].read(jwk, k);
    }
    return why ? why : "\"kty\" is not oct, RSA, EC or OKP";
}

static void key_deinit(struct wsb_token_key *k)
{
    EVP_PKEY_free(k->pkey);
    if (k->secret)
        OPENSSL_cleanse(k->secret, k->secret_len);
    free(k->secret);
    free(k->kid);
    *k = (struct wsb_token_key){0};
}

/* ------------------------------------------------------------------ the set */

static void note_skipped(struct wsb_token_keys *k, size_t number, const char *kid, const char *why)
{
    size_t len = strlen(k->why_skipped);
    (void)snprintf(k->why_skipped + len, sizeof k->why_skipped - len, "%skey %zu%s%.60s%s: %s", len ? "; " : "", number,
                   *kid ? " (" : "", kid, *kid ? ")" : "", why);
    k->skipped++;
}

/* Keys may share a "kid" (RFC 7517 §4.5): each of them is tried. */
static wsb_err key_add(struct wsb_token_keys *k, const json_t *jwk, size_t number, struct wsb_fault *fault)
{
    struct wsb_token_key *key = &k->keys[k->count];
    const char *kid = text_of(jwk, "kid");
    k->has_secret = k->has_secret || json_object_get(jwk, "k") || json_object_get(jwk, "d");
    const char *why = !json_is_object(jwk)             ? "not an object"
                      : k->count == WSB_TOKEN_KEYS_MAX ? "at most 64 keys are used"
                                                       : key_read(jwk, key);
    if (why) {
        if (k->count < WSB_TOKEN_KEYS_MAX)
            key_deinit(key);
        note_skipped(k, number, kid, why);
        return WSB_OK;
    }
    if (*kid && !(key->kid = strdup(kid))) {
        key_deinit(key);
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    }
    k->count++;
    return WSB_OK;
}

static wsb_err set_fill(struct wsb_token_keys *k, const json_t *root, struct wsb_fault *fault)
{
    const json_t *list = json_object_get(root, "keys");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count == 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "no key set: {\"keys\": [...]} with at least one key is wanted");
    for (size_t i = 0; i < count; i++) {
        wsb_err err = key_add(k, json_array_get(list, i), i + 1, fault);
        if (err)
            return err;
    }
    if (k->count == 0)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "no key that can be used: %.200s", k->why_skipped);
    return WSB_OK;
}

wsb_err wsb_token_keys_parse(struct wsb_token_keys **ret, struct wsb_span json, struct wsb_fault *fault)
{
    static const struct wsb_json_shape most = {DEPTH_MAX, SIZE_MAX};
    json_error_t error = {.text = "too deep"};
    bool is_flat = wsb_json_shape_check(json, &most) == WSB_OK;
    json_t *root = is_flat ? json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, &error) : NULL;
    struct wsb_token_keys *k = calloc(1, sizeof *k);
    wsb_err err = WSB_OK;
    if (!k)
        err = wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    else if (!root)
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "line %d: %.120s", error.line, error.text);
    else
        err = set_fill(k, root, fault);
    json_decref(root);
    if (k)
        atomic_init(&k->refs, 1);
    if (err)
        wsb_token_keys_unref(k);
    else
        *ret = k;
    return err;
}

static wsb_err named_parse(struct wsb_token_keys **ret, const char *path, struct wsb_span json, struct wsb_fault *fault)
{
    struct wsb_fault inner = {0};
    wsb_err err = wsb_token_keys_parse(ret, json, &inner);
    return err ? wsb_fault_set(fault, err, 0, "%.100s: %.200s", path, inner.text) : WSB_OK;
}

wsb_err wsb_token_keys_load(struct wsb_token_keys **ret, const char *path, struct wsb_fault *fault)
{
    struct wsb_token_keys *k = NULL;
    struct wsb_trust_file f = {0};
    wsb_err err = wsb_trust_file_read(path, WSB_TRUST_PUBLIC, WSB_TOKEN_KEYS_FILE_MAX, &f, fault);
    if (!err)
        err = named_parse(&k, path, wsb_span(f.data, f.len), fault);
    if (!err && k->has_secret)
        err = wsb_trust_file_check(&f, path, WSB_TRUST_SECRET, fault);
    wsb_trust_file_wipe(&f);
    if (err)
        wsb_token_keys_unref(k);
    else
        *ret = k;
    return err;
}

struct wsb_token_keys *wsb_token_keys_ref(struct wsb_token_keys *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    return k;
}

void wsb_token_keys_unref(struct wsb_token_keys *k)
{
    if (!k || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < k->count; i++)
        key_deinit(&k->keys[i]);
    free(k);
}

size_t wsb_token_keys_count(const struct wsb_token_keys *k)
{
    return k->count;
}

size_t wsb_token_keys_skipped(const struct wsb_token_keys *k)
{
    return k->skipped;
}

const char *wsb_token_keys_why_skipped(const struct wsb_token_keys *k)
{
    return k->why_skipped;
}

wsb_err wsb_token_keys_generate(const char *kid, char **ret_json)
{
    uint8_t secret[WSB_TOKEN_SECRET_MIN];
    if (RAND_bytes(secret, sizeof secret) != 1)
        return WSB_ERR_INTERNAL;
    char *text = wsb_token_encode(wsb_span(secret, sizeof secret));
    json_t *set = text ? json_pack("{s:[{s:s, s:s, s:s, s:s, s:s}]}", "keys", "kty", "oct", "kid", kid, "alg", "HS256",
                                   "use", "sig", "k", text)
                       : NULL;
    char *json = set ? json_dumps(set, JSON_INDENT(2)) : NULL;
    json_decref(set);
    OPENSSL_cleanse(secret, sizeof secret);
    free(text);
    *ret_json = json;
    return json ? WSB_OK : WSB_ERR_NOMEM;
}
