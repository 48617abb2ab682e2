/*
 * Key sets, tokens, and tokens that both sides know. Input: a key set, a NUL, and a token; without a NUL the whole is a
 * token for a set of our own. The same two are a bearer's file, and an Authorization header.
 * Property: a set that is taken has keys; a token is taken only with a signature, so what a key of the set signs is
 * taken, and the same with another byte in it is not. A bearer that is taken is good behind "Bearer ", and a header is
 * good only where that token is all that it has.
 */
#include <stdlib.h>

#include "token/bearer.h"
#include "token/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static struct wsb_token_keys *own_keys(void)
{
    static const char json[] =
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"},"
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
    struct wsb_token_keys *keys = NULL;
    require(wsb_token_keys_parse(&keys, wsb_span_str(json), NULL) == WSB_OK);
    return keys;
}

static void check_stranger(const struct wsb_token_keys *keys, struct wsb_span token)
{
    struct wsb_token_rules rules = {NULL, "r", false, 30000};
    json_t *claims = NULL;
    const char *why = NULL;
    wsb_err err = wsb_token_check(keys, token, &rules, 1000, &claims, &why);
    require((err == WSB_OK) == (claims != NULL) && (err == WSB_OK) == (why == NULL));
    json_decref(claims);
}

/* The token as claims of a good one. */
static void check_own(const struct wsb_token_keys *keys, struct wsb_span text)
{
    struct wsb_token_rules rules = {0};
    json_t *claims = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *got = NULL;
    const char *why = NULL;
    char *token = NULL;
    if (json_is_object(claims) && json_object_set_new(claims, "exp", json_integer(2000)) == 0) {
        (void)json_object_del(claims, "nbf");
        (void)json_object_del(claims, "iat");
        (void)json_object_del(claims, "aud");
        wsb_err err = wsb_token_make(keys, NULL, claims, &token);
        require(err == WSB_OK || err == WSB_ERR_LIMIT);
        size_t len = err ? 0 : strlen(token);
        if (!err && len <= WSB_TOKEN_MAX) {
            require(wsb_token_check(keys, wsb_span(token, len), &rules, 1000, &got, &why) == WSB_OK);
            require(json_equal(got, claims));
            json_decref(got);
            size_t at = text.len % len;
            token[at] = (char)(token[at] == 'x' ? 'y' : 'x');
            require(wsb_token_check(keys, wsb_span(token, len), &rules, 1000, &got, &why) == WSB_ERR_REFUSED);
        }
        free(token);
    }
    json_decref(claims);
}

static void check_bearer(struct wsb_span file, struct wsb_span header)
{
    struct wsb_bearer b = {0};
    char right[7 + WSB_BEARER_MAX] = "Bearer ";
    if (wsb_bearer_parse(&b, file, NULL) != WSB_OK) {
        require(b.len == 0 && !wsb_bearer_is_good(&b, header));
        return;
    }
    memcpy(right + 7, b.token, b.len);
    require(wsb_bearer_is_good(&b, wsb_span(right, 7 + b.len)));
    require(!wsb_bearer_is_good(&b, wsb_span(right, 6 + b.len)));
    require(!wsb_bearer_is_good(&b, header) ||
            (header.len >= 7 + b.len && memmem(header.ptr, header.len, b.token, b.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    struct wsb_token_keys *keys = NULL;
    struct wsb_token_keys *own = own_keys();
    struct wsb_span token = wsb_span(data, size);
    if (nul) {
        size_t len = (size_t)(nul - data);
        token = wsb_span(nul + 1, size - len - 1);
        if (wsb_token_keys_parse(&keys, wsb_span(data, len), NULL) == WSB_OK) {
            require(wsb_token_keys_count(keys) > 0);
            check_stranger(keys, token);
            wsb_token_keys_unref(keys);
        }
    }
    check_bearer(nul ? wsb_span(data, (size_t)(nul - data)) : token, token);
    check_stranger(own, token);
    check_own(own, token);
    wsb_token_keys_unref(own);
    return 0;
}
