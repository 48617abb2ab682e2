#ifndef WSB_BASE_BASE64_H
#define WSB_BASE_BASE64_H

/* Base64 by RFC 4648 §4, with padding, strict: the one encoding of some bytes and nothing else. */

#include "base/span.h"

static inline size_t wsb_base64_encoded_size(size_t len)
{
    return (len + 2) / 3 * 4;
}

static inline size_t wsb_base64_decoded_max(size_t len)
{
    return len / 4 * 3;
}

/* `out` has wsb_base64_encoded_size() bytes, which is what is returned. No NUL. */
size_t wsb_base64_encode(struct wsb_span in, char *out);

/* False on anything that wsb_base64_encode() would not have written. `out` has wsb_base64_decoded_max() bytes. */
bool wsb_base64_decode(struct wsb_span in, uint8_t *out, size_t *ret_len);

#endif
