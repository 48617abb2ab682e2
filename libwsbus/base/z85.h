#ifndef WSB_BASE_Z85_H
#define WSB_BASE_Z85_H

/* Z85: bytes as printable text, five characters for four bytes (ZeroMQ RFC 32). Pure. */

#include "base/span.h"

/* Writes text.len / 5 * 4 bytes. False, and nothing is written that may be used: not a multiple of 5, another character, or five that stand
 * for more than 32 bits. */
bool wsb_z85_decode(struct wsb_span text, uint8_t *ret);
/* bytes.len is a multiple of 4. Writes bytes.len / 4 * 5 characters, and a NUL. */
void wsb_z85_encode(struct wsb_span bytes, char *out);

#endif
