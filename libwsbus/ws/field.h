#ifndef WSB_WS_FIELD_H
#define WSB_WS_FIELD_H

/* The pieces that values of header fields are made of, RFC 9110 §5.6. */

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

bool wsb_field_is_alnum(uint8_t c); /* ASCII, whatever the locale is */
bool wsb_field_is_token_char(uint8_t c);
bool wsb_field_is_token(struct wsb_span s); /* at least one byte */

/* Without the blanks at both ends. */
struct wsb_span wsb_field_trim(struct wsb_span s);

/* The next element of a comma-separated list of tokens, trimmed; empty ones do not count (§5.6.1.2). False at the end. */
bool wsb_field_next_element(struct wsb_span *rest, struct wsb_span *ret);

#endif
