#ifndef WSB_BASE_UTF8_BLOCK_H
#define WSB_BASE_UTF8_BLOCK_H

/*
 * UTF-8 checked many bytes at a time, where the processor can. It only ever says how far a text is good without doubt; what
 * is behind that, and which byte is bad, is for base/utf8.c to find out.
 */

#include <stddef.h>
#include <stdint.h>

enum { WSB_UTF8_BLOCK = 64 }; /* shorter texts are not worth a call */

/* How many bytes from the beginning of the text, which is that of a character, are whole and valid characters for certain.
 * The most that can be missing is a block and a character, unless the text is bad. */
size_t wsb_utf8_blocks(const uint8_t *data, size_t len);

/* The ways there are, best first, for tests: name and function, ended by a NULL name. Those that this processor cannot run
 * are left out. */
struct wsb_utf8_way {
    const char *name;
    size_t (*blocks)(const uint8_t *data, size_t len);
};
const struct wsb_utf8_way *wsb_utf8_ways(void);

#endif
