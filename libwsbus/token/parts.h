#ifndef WSB_TOKEN_PARTS_H
#define WSB_TOKEN_PARTS_H

/* What the files of token/ share, and nobody else uses. */

#include <jansson.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "token/keys.h"

enum wsb_token_family { WSB_TOKEN_HS, WSB_TOKEN_RS, WSB_TOKEN_PS, WSB_TOKEN_ES, WSB_TOKEN_ED };

struct wsb_token_key {
    enum wsb_token_alg alg;
    const char *other_name; /* static; of the algorithm, by which tokens may call it as well; NULL: none */
    size_t signature_size;  /* bytes that a signature has; 0: the kind of key says */
    char *kid;              /* owned; NULL: none */
    EVP_PKEY *pkey;         /* owned; of symmetric ones NULL */
    uint8_t *secret;        /* owned; of symmetric ones */
    size_t secret_len;
};

enum { WSB_TOKEN_WHY_MAX = 300 };

struct wsb_token_keys {
    _Atomic size_t refs;
    bool has_secret; /* also of a key that was skipped: nobody else may read the file */
    size_t count;
    size_t skipped;
    char why_skipped[WSB_TOKEN_WHY_MAX];
    struct wsb_token_key keys[WSB_TOKEN_KEYS_MAX];
};

enum wsb_token_family wsb_token_family_of(enum wsb_token_alg alg);
const EVP_MD *wsb_token_digest_of(enum wsb_token_alg alg); /* NULL: it has none of its own */

/* Base64url without padding, RFC 7515 §2: freed with free(); NULL when it is not, or without memory. */
uint8_t *wsb_token_decode(struct wsb_span text, size_t *ret_len);
char *wsb_token_encode(struct wsb_span bytes);

#endif
