#ifndef WSB_TOKEN_BEARER_H
#define WSB_TOKEN_BEARER_H

/* One token that both sides know (RFC 6750), kept in a secret file: who shows it may in. It claims nothing. */

#include "base/fault.h"
#include "base/span.h"

enum { WSB_BEARER_MIN = 16, WSB_BEARER_MAX = 1024 };

struct wsb_bearer {
    size_t len; /* 0: there is none, and nothing is good */
    char token[WSB_BEARER_MAX];
};

/* A text that is the token and white space around it. WSB_OK; WSB_ERR_CONFIG: the fault says why. */
WSB_MUST_CHECK wsb_err wsb_bearer_parse(struct wsb_bearer *ret, struct wsb_span text, struct wsb_fault *fault);
/* The same of a file that nobody else may read (base/trust_file.h). */
WSB_MUST_CHECK wsb_err wsb_bearer_load(struct wsb_bearer *ret, const char *path, struct wsb_fault *fault);
void wsb_bearer_wipe(struct wsb_bearer *b);

/* Is it what stands behind "Bearer" in an Authorization header? How long that takes tells nothing but lengths. */
bool wsb_bearer_is_good(const struct wsb_bearer *b, struct wsb_span authorization);

#endif
