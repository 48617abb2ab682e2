/* From JSON to keys: every number is checked before OpenSSL sees it. */
#include "token/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "token/parts.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, COORDINATE = 32, ED25519_KEY = 32 };

static const char *const alg_names[] = {"HS256", "RS256", "ES256", "EdDSA"};

const char *wsb_token_alg_name(enum wsb_token_alg alg)
{
    return alg_names[alg];
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

static const char *oct_read(const json_t *jwk, struct wsb_token_key *k)
{
    k->alg = WSB_TOKEN_HS256;
    k->secret = bytes_of(jwk, "k", &k->secret_len);
    if (!k->secret)
        return "\"k\" is not base64url";
    return k->secret_len < WSB_TOKEN_SECRET_MIN ? "\"k\" is shorter than 32 bytes, which HS256 wants" : NULL;
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
    k->alg = WSB_TOKEN_RS256;
    if (n && e && build && n_len <= RSA_BITS_MAX / 8 + 1 && e_len <= 8) {
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

static const char *ec_read(const json_t *jwk, struct wsb_token_key *k)
{
    size_t x_len = 0;
    size_t y_len = 0;
    uint8_t point[1 + 2 * COORDINATE] = {4}; /* not compressed */
    uint8_t *x = bytes_of(jwk, "x", &x_len);
    uint8_t *y = bytes_of(jwk, "y", &y_len);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    const char *why = "\"x\" and \"y\" are 32 bytes in base64url each";
    k->alg = WSB_TOKEN_ES256;
    if (strcmp(text_of(jwk, "crv"), "P-256") != 0) {
        why = "the only curve of an EC key is P-256";
    } else if (x && y && build && x_len == COORDINATE && y_len == COORDINATE) {
        memcpy(point + 1, x, COORDINATE);
        memcpy(point + 1 + COORDINATE, y, COORDINATE);
        if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
            k->pkey = pkey_from("EC", build);
        why = k->pkey && is_sound(k->pkey) ? NULL : "not a point of P-256";
    }
    OSSL_PARAM_BLD_free(build);
    free(x);
    free(y);
    return why;
}

static const char *okp_read(const json_t *jwk, struct wsb_token_key *k)
{
    size_t len = 0;
    uint8_t *x = bytes_of(jwk, "x", &len);
    const char *why = "\"x\" is 32 bytes in base64url";
    k->alg = WSB_TOKEN_EDDSA;
    if (strcmp(text_of(jwk, "crv"), "Ed25519") != 0)
        why = "the only curve of an OKP key is Ed25519";
    else if (x && len == ED25519_KEY)
        why = (k->pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, len)) ? NULL : "not an Ed25519 key";
    free(x);
    return why;
}

static const char *key_read(const json_t *jwk, struct wsb_token_key *k)
{
    const char *kty = text_of(jwk, "kty");
    const char *alg = text_of(jwk, "alg");
    const char *use = text_of(jwk, "use");
    const char *why;
    if (strcmp(kty, "oct") == 0)
        why = oct_read(jwk, k);
    else if (strcmp(kty, "RSA") == 0)
        why = rsa_read(jwk, k);
    else if (strcmp(kty, "EC") == 0)
        why = ec_read(jwk, k);
    else if (strcmp(kty, "OKP") == 0)
        why = okp_read(jwk, k);
    else
        why = "\"kty\" is not oct, RSA, EC or OKP";
    if (!why && *use && strcmp(use, "sig") != 0)
        why = "\"use\" is not \"sig\": it is no key for signatures";
    if (!why && *alg && strcmp(alg, wsb_token_alg_name(k->alg)) != 0)
        why = "\"alg\" is not the algorithm that we use with its kind: HS256, RS256, ES256 or EdDSA";
    return why;
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

static bool has_kid(const struct wsb_token_keys *k, const char *kid)
{
    for (size_t i = 0; i < k->count; i++) {
        if (k->keys[i].kid && strcmp(k->keys[i].kid, kid) == 0)
            return true;
    }
    return false;
}

static wsb_err key_add(struct wsb_token_keys *k, const json_t *jwk, struct wsb_fault *fault)
{
    struct wsb_token_key *key = &k->keys[k->count];
    const char *kid = text_of(jwk, "kid");
    const char *why = json_is_object(jwk) ? key_read(jwk, key) : "not an object";
    if (!why && *kid && has_kid(k, kid))
        why = "its \"kid\" is there twice";
    if (why) {
        key_deinit(key);
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "key %zu%s%.60s%s: %s", k->count + 1, *kid ? " (" : "", kid,
                             *kid ? ")" : "", why);
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
    if (count > WSB_TOKEN_KEYS_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "more than %d keys", WSB_TOKEN_KEYS_MAX);
    for (size_t i = 0; i < count; i++) {
        wsb_err err = key_add(k, json_array_get(list, i), fault);
        if (err)
            return err;
    }
    return WSB_OK;
}

wsb_err wsb_token_keys_parse(struct wsb_token_keys **ret, struct wsb_span json, struct wsb_fault *fault)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)json.ptr, json.len, JSON_REJECT_DUPLICATES, &error);
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

static bool has_secret(const struct wsb_token_keys *k)
{
    for (size_t i = 0; i < k->count; i++) {
        if (k->keys[i].secret)
            return true;
    }
    return false;
}

/* All of it, and its mode; len is one more than allowed when it is too large. */
static wsb_err file_read(const char *path, char *text, size_t *ret_len, mode_t *ret_mode, struct wsb_fault *fault)
{
    struct stat st;
    size_t len = 0;
    ssize_t n = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        n = -1;
    while (n > 0 && len <= WSB_TOKEN_KEYS_FILE_MAX) {
        n = read(fd, text + len, WSB_TOKEN_KEYS_FILE_MAX + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    int code = errno;
    if (fd >= 0)
        (void)close(fd);
    if (n < 0)
        return wsb_fault_set(fault, WSB_ERR_IO, code, "%.100s: %s", path, strerror(code));
    *ret_len = len;
    *ret_mode = st.st_mode;
    return WSB_OK;
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
    size_t len = 0;
    mode_t mode = 0;
    char *text = malloc(WSB_TOKEN_KEYS_FILE_MAX + 1);
    if (!text)
        return wsb_fault_set(fault, WSB_ERR_NOMEM, 0, "out of memory");
    wsb_err err = file_read(path, text, &len, &mode, fault);
    if (!err && len > WSB_TOKEN_KEYS_FILE_MAX)
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "%.100s: larger than 256 KiB", path);
    else if (!err)
        err = named_parse(&k, path, wsb_span(text, len), fault);
    OPENSSL_cleanse(text, len);
    free(text);
    if (!err && has_secret(k) && (mode & (S_IRWXG | S_IRWXO))) {
        err = wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                            "%.100s: it has a secret key, and others may read or write it: chmod 600 is wanted", path);
        wsb_token_keys_unref(k);
    }
    if (!err)
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
