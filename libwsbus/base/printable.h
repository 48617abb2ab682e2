#ifndef WSB_BASE_PRINTABLE_H
#define WSB_BASE_PRINTABLE_H

/*
 * What of a text that strangers wrote may leave to a terminal, or to a log that somebody reads on one. One list for all who write
 * such text: the JSON writer, with it the log, and wsctl. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* The character at the beginning of s. *ret_len: its bytes; 0, and 0 is returned, when nothing valid in UTF-8 is there. */
uint32_t wsb_character(struct wsb_span s, size_t *ret_len);

/* Controls of both kinds (C0, DEL, C1); marks that turn the direction of writing, join, or cannot be seen; line separators; tags. */
bool wsb_is_unprintable(uint32_t character);

#endif
