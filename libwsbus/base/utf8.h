#ifndef WSB_BASE_UTF8_H
#define WSB_BASE_UTF8_H

/*
 * UTF-8 by RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. Incremental, so that a text message is
 * refused at its first bad byte and not at its end (RFC 6455 §8.1).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsb_utf8 {
    uint8_t need;  /* continuation bytes still due */
    uint8_t lower; /* bounds of the next continuation byte */
    uint8_t upper;
};

void wsb_utf8_init(struct wsb_utf8 *u);

/* False at the first byte that cannot be part of valid UTF-8; the state is then spent. */
bool wsb_utf8_feed(struct wsb_utf8 *u, const uint8_t *data, size_t len);

/* True when no sequence is open: the text may end here. */
bool wsb_utf8_is_complete(const struct wsb_utf8 *u);

/* A whole text in one call. */
bool wsb_utf8_is_valid(const uint8_t *data, size_t len);

#endif
