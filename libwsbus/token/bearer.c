#include "token/bearer.h"

#include <openssl/crypto.h>
#include <strings.h>

#include "base/trust_file.h"

enum { FILE_BYTES_MAX = 4096 };

static bool is_white(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct wsb_span trim(struct wsb_span s)
{
    while (s.len && is_white(s.ptr[s.len - 1]))
        s.len--;
    while (s.len && is_white(*s.ptr))
        s = wsb_span(s.ptr + 1, s.len - 1);
    return s;
}

/* b64token of RFC 6750 §2.1: "=" only at its end. */
static bool is_b64token(struct wsb_span s)
{
    size_t i = 0;
    while (i < s.len && s.ptr[i] &&
           strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/", s.ptr[i]))
        i++;
    bool is_there = i > 0;
    while (i < s.len && s.ptr[i] == '=')
        i++;
    return is_there && i == s.len;
}

wsb_err wsb_bearer_parse(struct wsb_bearer *ret, struct wsb_span text, struct wsb_fault *fault)
{
    struct wsb_span token = trim(text);
    if (token.len < WSB_BEARER_MIN || token.len > WSB_BEARER_MAX)
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0, "a token has %d to %d characters, and here are %zu",
                             (int)WSB_BEARER_MIN, (int)WSB_BEARER_MAX, token.len);
    if (!is_b64token(token))
        return wsb_fault_set(fault, WSB_ERR_CONFIG, 0,
                             "not one token: letters, digits and -._~+/ are what it is made of, and = at its end");
    ret->len = token.len;
    memcpy(ret->token, token.ptr, token.len);
    return WSB_OK;
}

wsb_err wsb_bearer_load(struct wsb_bearer *ret, const char *path, struct wsb_fault *fault)
{
    struct wsb_trust_file f = {0};
    struct wsb_fault own = {0};
    wsb_err err = wsb_trust_file_read(path, WSB_TRUST_SECRET, FILE_BYTES_MAX, &f, fault);
    if (!err && wsb_bearer_parse(ret, wsb_span(f.data, f.len), &own) != WSB_OK)
        err = wsb_fault_set(fault, own.err, 0, "%.100s: %.120s", path, own.text);
    wsb_trust_file_wipe(&f);
    return err;
}

void wsb_bearer_wipe(struct wsb_bearer *b)
{
    OPENSSL_cleanse(b, sizeof *b);
}

bool wsb_bearer_is_good(const struct wsb_bearer *b, struct wsb_span authorization)
{
    static const char scheme[] = "bearer ";
    size_t len = sizeof scheme - 1;
    if (!b->len || authorization.len <= len || strncasecmp((const char *)authorization.ptr, scheme, len) != 0)
        return false;
    struct wsb_span token = trim(wsb_span(authorization.ptr + len, authorization.len - len));
    return token.len == b->len && CRYPTO_memcmp(token.ptr, b->token, b->len) == 0;
}
