#ifndef WSB_TOKEN_KEYS_H
#define WSB_TOKEN_KEYS_H

/*
 * The keys that tokens are checked with: a JSON Web Key Set (RFC 7517). Symmetric keys ("oct", for HS256) are secrets, so a
 * file with one must be readable by its owner only. Others are public: RSA from 2048 bits for RS256, P-256 for ES256,
 * Ed25519 for EdDSA. Each key belongs to one algorithm, by its kind; what a token says of it is compared, never obeyed.
 *
 * Threads   a set does not change once it is made; any thread may check with it. Reference counts are atomic
 */

#include "base/fault.h"
#include "base/span.h"

enum { WSB_TOKEN_KEYS_MAX = 64, WSB_TOKEN_KEYS_FILE_MAX = 256 << 10, WSB_TOKEN_SECRET_MIN = 32 };

enum wsb_token_alg { WSB_TOKEN_HS256, WSB_TOKEN_RS256, WSB_TOKEN_ES256, WSB_TOKEN_EDDSA };

struct wsb_token_keys;

/*
 * Read a set.
 *
 * Returns   WSB_OK, and *ret has one reference; WSB_ERR_CONFIG: the fault says which key is wrong and why; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsb_token_keys_parse(struct wsb_token_keys **ret, struct wsb_span json, struct wsb_fault *fault);
/* The same of a file, whose mode is looked at too. WSB_ERR_IO: it cannot be read. */
WSB_MUST_CHECK wsb_err wsb_token_keys_load(struct wsb_token_keys **ret, const char *path, struct wsb_fault *fault);
struct wsb_token_keys *wsb_token_keys_ref(struct wsb_token_keys *k);
void wsb_token_keys_unref(struct wsb_token_keys *k); /* NULL is allowed */

size_t wsb_token_keys_count(const struct wsb_token_keys *k);
const char *wsb_token_alg_name(enum wsb_token_alg alg);

/* A new set with one random symmetric key, as JSON: WSB_ERR_NOMEM, WSB_ERR_INTERNAL without randomness. Freed with free(). */
WSB_MUST_CHECK wsb_err wsb_token_keys_generate(const char *kid, char **ret_json);

#endif
