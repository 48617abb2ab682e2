#ifndef WSB_TOKEN_PARTS_H
#define WSB_TOKEN_PARTS_H

/* What the files of token/ share, and nobody else uses. */

#include <jansson.h>
#include <openssl/evp.h>
#include <stdatomic.h>

#include "token/keys.h"

struct wsb_token_key {
    enum wsb_token_alg alg;
    char *kid;       /* owned; NULL: none */
    EVP_PKEY *pkey;  /* owned; HS256: NULL */
    uint8_t *secret; /* owned; of HS256 */
    size_t secret_len;
};

struct wsb_token_keys {
    _Atomic size_t refs;
    size_t count;
    struct wsb_token_key keys[WSB_TOKEN_KEYS_MAX];
};

/* Base64url without padding, RFC 7515 §2: freed with free(); NULL when it is not, or without memory. */
uint8_t *wsb_token_decode(struct wsb_span text, size_t *ret_len);
char *wsb_token_encode(struct wsb_span bytes);

#endif
