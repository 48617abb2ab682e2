/* Z85. Keys are written in it; the time that it takes does not depend on them. */
#include "base/z85.h"

enum { GROUP_TEXT = 5, GROUP_BYTES = 4, RADIX = 85, NONE = 255 };

static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/* Looks at the whole alphabet whatever the character is. */
static uint32_t value_of(uint8_t c)
{
    uint32_t value = NONE;
    for (uint32_t i = 0; i < RADIX; i++) {
        uint32_t differs = (uint32_t)(uint8_t)alphabet[i] ^ c;
        uint32_t is_same = (differs - 1) >> 31; /* 1 for 0 */
        value = (value & (is_same - 1)) | (i & (0 - is_same));
    }
    return value;
}

bool wsb_z85_decode(struct wsb_span text, uint8_t *ret)
{
    bool is_good = text.len % GROUP_TEXT == 0;
    for (size_t at = 0; at + GROUP_TEXT <= text.len; at += GROUP_TEXT) {
        uint64_t group = 0;
        for (size_t i = 0; i < GROUP_TEXT; i++) {
            uint32_t value = value_of(text.ptr[at + i]);
            is_good = is_good && value != NONE;
            group = group * RADIX + value;
        }
        is_good = is_good && group <= UINT32_MAX;
        for (size_t i = GROUP_BYTES; i-- > 0; group >>= 8)
            ret[at / GROUP_TEXT * GROUP_BYTES + i] = (uint8_t)group;
    }
    return is_good;
}

/* The character for a value below 85, by looking at all of them. */
static char char_of(uint32_t value)
{
    uint32_t c = 0;
    for (uint32_t i = 0; i < RADIX; i++) {
        uint32_t is_same = ((i ^ value) - 1) >> 31;
        c |= (uint32_t)(uint8_t)alphabet[i] & (0 - is_same);
    }
    return (char)c;
}

void wsb_z85_encode(struct wsb_span bytes, char *out)
{
    for (size_t at = 0; at + GROUP_BYTES <= bytes.len; at += GROUP_BYTES) {
        uint32_t group = 0;
        for (size_t i = 0; i < GROUP_BYTES; i++)
            group = group << 8 | bytes.ptr[at + i];
        for (size_t i = GROUP_TEXT; i-- > 0; group /= RADIX)
            out[at / GROUP_BYTES * GROUP_TEXT + i] = char_of(group % RADIX);
    }
    out[bytes.len / GROUP_BYTES * GROUP_TEXT] = 0;
}
