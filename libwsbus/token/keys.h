#ifndef WSB_TOKEN_KEYS_H
#define WSB_TOKEN_KEYS_H

/*
 * The keys that tokens are checked with: a JSON Web Key Set (RFC 7517). Symmetric keys ("oct") are secrets, so a file with one
 * must be readable by its owner only. Each key belongs to exactly one algorithm (RFC 8725 §3.1), which its "alg" says, or else
 * its kind; what a token says of it is compared, never obeyed.
 *
 *     kind                                algorithms                     without "alg"
 *     oct, as long as the hash or longer  HS256, HS384, HS512            HS256
 *     RSA, 2048 to 8192 bits              RS256 … RS512, PS256 … PS512   RS256
 *     EC, P-256, P-384, P-521             ES256, ES384, ES512            that of its curve
 *     OKP, Ed25519, Ed448                 EdDSA, also by the curve's name (RFC 9864)
 *
 * A set is often somebody else's, with keys for other uses and other programs. Those are skipped (RFC 7517 §5), and what is wrong
 * with them is told; one that can be used has to be there.
 *
 * Threads   a set does not change once it is made; any thread may check with it. Reference counts are atomic
 */

#include "base/fault.h"
#include "base/span.h"

enum { WSB_TOKEN_KEYS_MAX = 64, WSB_TOKEN_KEYS_FILE_MAX = 256 << 10, WSB_TOKEN_SECRET_MIN = 32 };

enum wsb_token_alg {
    WSB_TOKEN_HS256,
    WSB_TOKEN_HS384,
    WSB_TOKEN_HS512,
    WSB_TOKEN_RS256,
    WSB_TOKEN_RS384,
    WSB_TOKEN_RS512,
    WSB_TOKEN_PS256,
    WSB_TOKEN_PS384,
    WSB_TOKEN_PS512,
    WSB_TOKEN_ES256,
    WSB_TOKEN_ES384,
    WSB_TOKEN_ES512,
    WSB_TOKEN_EDDSA,
    WSB_TOKEN_ALGS
};

struct wsb_token_keys;

/*
 * Read a set.
 *
 * Returns   WSB_OK, and *ret has one reference; WSB_ERR_CONFIG: it is no set, or none of its keys can be used: the fault says
 *           why; WSB_ERR_NOMEM
 */
WSB_MUST_CHECK wsb_err wsb_token_keys_parse(struct wsb_token_keys **ret, struct wsb_span json, struct wsb_fault *fault);
/* The same of a file that can be believed (base/trust_file.h), with secret keys in it a secret one. WSB_ERR_IO: it cannot be
 * read; WSB_ERR_LIMIT: too large. */
WSB_MUST_CHECK wsb_err wsb_token_keys_load(struct wsb_token_keys **ret, const char *path, struct wsb_fault *fault);
struct wsb_token_keys *wsb_token_keys_ref(struct wsb_token_keys *k);
void wsb_token_keys_unref(struct wsb_token_keys *k); /* NULL is allowed */

size_t wsb_token_keys_count(const struct wsb_token_keys *k); /* those that can be used */
/* How many were skipped, and why, of the first ones: "key 2 (enc-1): …; key 3: …". */
size_t wsb_token_keys_skipped(const struct wsb_token_keys *k);
const char *wsb_token_keys_why_skipped(const struct wsb_token_keys *k);
const char *wsb_token_alg_name(enum wsb_token_alg alg);

/* A new set with one random symmetric key, as JSON: WSB_ERR_NOMEM, WSB_ERR_INTERNAL without randomness. Freed with free(). */
WSB_MUST_CHECK wsb_err wsb_token_keys_generate(const char *kid, char **ret_json);

#endif
