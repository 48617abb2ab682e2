#ifndef WSB_WS_MASK_H
#define WSB_WS_MASK_H

/*
 * Masking, RFC 6455 §5.3: payload byte i is combined with byte i mod 4 of the key, by XOR, so that the same call masks and
 * unmasks. `phase` is the number of payload bytes of the same frame that came before src.
 *
 * dst may be src itself; any other overlap is not allowed. With len 0 the pointers may be NULL.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void wsb_mask_copy(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4], size_t phase);

/* The same, and true when all bytes written are ASCII: such text needs no further check of its UTF-8. */
bool wsb_mask_copy_ascii(uint8_t *dst, const uint8_t *src, size_t len, const uint8_t mask[4], size_t phase);

#endif
